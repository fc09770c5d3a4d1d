"""Malformed NIDD-Information-Requests and -Answers: refused in the RFC's words or dropped, and the next good one is served."""
import itertools

import pytest
from diameter.message.commands import NIDDInformation
from diameter_host import GateHarness
from diameter_peer import S6T, V3GPP, RawPeer, avp, cer, find, origin, raw_avp, request, result_of
from host import until
from mme import encode

HSS = "hss1.example.org"
numbers = itertools.count(1)
PAST = b"\xbc\x17\xc2\x00"  # 2000-01-01 as a Time (RFC 6733 4.3.1)


@pytest.fixture(scope="module")
def module_host():
    harness = GateHarness("--any")
    yield harness
    assert harness.stop() == 0
    assert not any("001010000000001" in line for line in harness.log), "an IMSI was logged"


@pytest.fixture
def host(module_host):
    yield module_host
    assert module_host.is_alive()


@pytest.fixture
def hss(host):
    with RawPeer(host.port) as peer:
        peer.send(cer(HSS, S6T))
        assert result_of(peer.receive()) == 2001
        yield peer
        peer.send(nir(named(raw_avp(3111, b"good@acme.example", vendor=V3GPP))))  # it is served on
        assert result_of(peer.receive()) == 2001
        host.core_gets("update")


def named(*inside):
    return raw_avp(3102, b"".join(inside), vendor=V3GPP)


def validity(*inside):
    return raw_avp(3161, raw_avp(3169, b"".join(inside), vendor=V3GPP), vendor=V3GPP)


def nir(*raw):
    avps = [avp(263, "hss1.example.org;1;1"), avp(277, 1), *origin(HSS), avp(283, b"dromio.test")]
    return request(NIDDInformation, S6T, avps, extra=b"".join(raw))


GOOD = raw_avp(3111, b"t1@acme.example", vendor=V3GPP)
LAST = raw_avp(3160, PAST, vendor=V3GPP)
BAD_REQUESTS = {
    "no User-Identifier": ([], 5005),
    "no identity in it": ([named()], 5005),
    "only a kind of identity": ([named(raw_avp(3168, b"\0\0\0\0", vendor=V3GPP))], 5005),
    "two User-Identifiers": ([named(GOOD), named(GOOD)], 5009),
    "an IMSI of letters": ([named(raw_avp(1, b"00101000000000x"))], 5004),
    "an IMSI of 5 digits": ([named(raw_avp(1, b"00101"))], 5004),
    "an IMSI of 16 digits": ([named(raw_avp(1, b"0010100000000010"))], 5004),
    "an IMSI with a NUL": ([named(raw_avp(1, b"0010100\0000000"))], 5004),
    "no MSISDN in it": ([named(raw_avp(701, b"", vendor=V3GPP))], 5004),
    "an MSISDN of 16 digits": ([named(raw_avp(701, b"\x21\x43\x65\x87\x21\x43\x65\x87", vendor=V3GPP))], 5004),
    "an MSISDN with a letter": ([named(raw_avp(701, b"\x21\xa3\xf5", vendor=V3GPP))], 5004),
    "a filler in the middle of an MSISDN": ([named(raw_avp(701, b"\xf1\x43", vendor=V3GPP))], 5004),
    "an identifier without domain": ([named(raw_avp(3111, b"t1", vendor=V3GPP))], 5004),
    "an identifier without name": ([named(raw_avp(3111, b"@acme.example", vendor=V3GPP))], 5004),
    "an identifier that is too long": ([named(raw_avp(3111, b"a" * 250 + b"@b.example", vendor=V3GPP))], 5004),
    "an identifier with a NUL": ([named(raw_avp(3111, b"t\x001@acme.example", vendor=V3GPP))], 5004),
    "two identifiers of a user": ([named(GOOD, GOOD)], 5009),
    "an APN without time": ([named(GOOD), validity(raw_avp(493, b"iot"))], 5005),
    "a time of three bytes": ([named(GOOD), validity(raw_avp(3160, PAST[:3], vendor=V3GPP))], 5014),
    "an APN with a blank": ([named(GOOD), validity(LAST, raw_avp(493, b"i t"))], 5004),
    "an APN that is too long": ([named(GOOD), validity(LAST, raw_avp(493, b"a" * 101))], 5004),
    "an APN of nothing": ([named(GOOD), validity(LAST, raw_avp(493, b""))], 5004),
    "too many times": ([named(GOOD), raw_avp(3161, raw_avp(3169, LAST, vendor=V3GPP) * 33, vendor=V3GPP)], 5012),
    "a time that ends behind its group": ([named(GOOD), validity(raw_avp(3160, PAST, vendor=V3GPP, length=200))], 5014),
    "a group without a name": ([named(raw_avp(1, b"001010000000001"), raw_avp(3168, b"\0\0\0\1", vendor=V3GPP))], 5005),
    "a group with a name that is none": ([named(raw_avp(3111, b"all", vendor=V3GPP), raw_avp(3168, b"\0\0\0\1", vendor=V3GPP))], 5004),
    "a member without a name": ([named(GOOD), raw_avp(3177, b"", vendor=V3GPP)], 5004),
    "a member with an identifier that is none": ([named(GOOD), raw_avp(3177, raw_avp(3111, b"t1", vendor=V3GPP), vendor=V3GPP)], 5004),
    "a second member with an IMSI of letters": ([named(GOOD), raw_avp(3177, raw_avp(1, b"001010000000001"), vendor=V3GPP),
                                                 raw_avp(3177, raw_avp(1, b"imsi"), vendor=V3GPP)], 5004),
    "flags of three bytes": ([named(GOOD), raw_avp(3174, b"\0\0\1", vendor=V3GPP)], 5014),
    "an unknown AVP that must be understood": ([named(GOOD), raw_avp(3999, b"x", flags=0x40, vendor=V3GPP)], 5001),
}


@pytest.mark.parametrize("raw, result", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_of_an_hss_is_refused(hss, raw, result):
    hss.send(nir(*raw))
    answer = hss.receive()
    assert answer.header.command_code == NIDDInformation.code and result_of(answer) == result
    assert (find(answer, 279) is not None) == (result not in (5012,))


def test_all_that_a_good_request_says_reaches_the_core(hss, host):
    user = named(raw_avp(1, b"001010000000001"), raw_avp(701, b"\x94\x71\x32\xf4", vendor=V3GPP), raw_avp(3111, b"T1@ACME.example", vendor=V3GPP))
    hss.send(nir(user, raw_avp(3161, raw_avp(3169, LAST, vendor=V3GPP) + raw_avp(3169, LAST + raw_avp(493, b"iot"), vendor=V3GPP), vendor=V3GPP)))
    assert result_of(hss.receive()) == 2001
    fields = [(field["name"], bytes.fromhex(field["hex"])) for field in host.core_gets("update")["fields"]]
    long_ago = (946684800).to_bytes(4, "little")
    assert fields == [("imsi", b"001010000000001"), ("msisdn", b"4917234"), ("id", b"T1@acme.example"), ("validity", long_ago),
                      ("validity", long_ago + b"iot")]


def test_a_time_of_zero_is_the_past(hss, host):
    hss.send(nir(named(GOOD), validity(raw_avp(3160, bytes(4), vendor=V3GPP))))
    assert result_of(hss.receive()) == 2001
    assert host.core_gets("update")["fields"][1] == {"name": "validity", "hex": "00000000"}


def asked(host, hss):
    """A NIDD-Information-Request of the host, and its number at the core."""
    number = next(numbers)
    host.authorize(number, HSS, "t1@acme.example")
    question = hss.receive()
    assert question.header.command_code == NIDDInformation.code
    return number, question


def nia(question, *raw, result=2001, hop=None, end=None, code=None, session=None):
    header = question.header
    avps = [avp(263, find(question, 263) if session is None else session), avp(268, result), avp(277, 1), *origin(HSS)]
    data = encode(code or header.command_code, S6T, avps, header.hop_by_hop_identifier if hop is None else hop,
                  header.end_to_end_identifier if end is None else end, is_request=False, flags=0x40)
    data += b"".join(raw)
    return data[:1] + len(data).to_bytes(3, "big") + data[4:]


def response(*inside):
    return raw_avp(3151, b"".join(inside), vendor=V3GPP)


BAD_ANSWERS = {
    "an IMSI of letters": [response(raw_avp(1, b"imsi"))],
    "an IMSI of 16 digits": [response(raw_avp(1, b"0010100000000010"))],
    "an MSISDN with a letter": [response(raw_avp(701, b"\x2b", vendor=V3GPP))],
    "an identifier without domain": [response(raw_avp(3111, b"t1", vendor=V3GPP))],
    "seventeen identifiers": [response(*[raw_avp(3111, b"t%d@acme.example" % n, vendor=V3GPP) for n in range(17)])],
    "two responses": [response(), response()],
    "two IMSIs": [response(raw_avp(1, b"001010000000001"), raw_avp(1, b"001010000000002"))],
    "a time of three bytes": [response(raw_avp(3160, PAST[:3], vendor=V3GPP))],
    "a group that ends behind the message": [raw_avp(3151, b"", vendor=V3GPP, length=400)],
    "two results": [raw_avp(268, b"\0\0\x07\xd1")],
}
NO_ANSWER = 3  # enum inquiry_outcome


@pytest.mark.parametrize("raw", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_that_cannot_be_used_is_none(host, hss, raw):
    number, question = asked(host, hss)
    hss.send(nia(question, *raw))
    told = host.core_gets("inquiry", id=number)
    assert (told["outcome"], told["fields"]) == (NO_ANSWER, [])


def test_an_answer_to_nothing_that_was_asked_is_dropped(host, hss):
    number, question = asked(host, hss)
    header = question.header
    before = host.drops("unknown_answer")
    strangers = [nia(question, hop=header.hop_by_hop_identifier ^ 1), nia(question, end=header.end_to_end_identifier ^ 1),
                 nia(question, session="scef.dromio.test;0;0")]
    for data in strangers:
        hss.send(data)
    hss.send(nia(question, response(raw_avp(1, b"001010000000001"), raw_avp(3160, PAST, vendor=V3GPP))))
    told = host.core_gets("inquiry", id=number)
    assert (told["outcome"], told["code"], told["end_to_end"]) == (0, 2001, header.end_to_end_identifier)
    assert [field["name"] for field in told["fields"]] == ["imsi", "granted"]
    assert host.drops("unknown_answer") == before + len(strangers)
    hss.send(nia(question))  # it was answered: nobody waits any more
    until(lambda: host.drops("unknown_answer") == before + len(strangers) + 1, "the second answer's end")
