"""Malformed messages of device triggering: reports are refused in the RFC's words, answers dropped, and the next good one is served."""
import itertools

import pytest
from diameter.message.commands import DeliveryReport, DeviceAction, DeviceNotification, DeviceTrigger, SubscriberInformation
from diameter_host import GateHarness
from diameter_peer import V3GPP, RawPeer, avp, cer, find, origin, raw_avp, request, result_of
from mme import encode

TSP, S6M, T4 = 16777309, 16777310, 16777311
SUBSCRIBER, TRIGGER, MESSAGE = 7, 8, 9  # enum inquiry_kind
NODE = "node1.example.org"
REFERENCE = b"\x12\x30\x00\x07"
numbers = itertools.count(1)


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


def opened(host, application):
    peer = RawPeer(host.port)
    peer.send(cer(NODE, application))
    assert result_of(peer.receive()) == 2001
    return peer


def v(code, data, **more):
    return raw_avp(code, data, vendor=V3GPP, **more)


def u32(number):
    return number.to_bytes(4, "big")


NAMED = v(3111, b"t1@acme.example")
IMSI = raw_avp(1, b"001010000000001")


def notification(*inside):
    return v(3002, b"".join(inside))


def dnr(*raw, application=TSP):
    avps = [avp(263, "node1.example.org;1;1"), avp(258, application), avp(277, 1), *origin(NODE), avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]
    return request(DeviceNotification, application, avps, extra=b"".join(raw))


GOOD = [NAMED, v(3007, REFERENCE), v(3005, u32(2)), v(3009, u32(0))]


def without(code):
    return [item for item in GOOD if int.from_bytes(item[:4], "big") != code]


BAD_NOTIFICATIONS = {
    "nothing in it": ([], 5005),
    "two of them": ([notification(*GOOD), notification(*GOOD)], 5009),
    "no Reference-Number": ([notification(*without(3007))], 5005),
    "no Action-Type": ([notification(*without(3005))], 5005),
    "no Delivery-Outcome": ([notification(*without(3009))], 5005),
    "two outcomes": ([notification(*GOOD, v(3009, u32(1)))], 5009),
    "a Reference-Number of three bytes": ([notification(*without(3007), v(3007, b"\0\0\1"))], 5014),
    "a Delivery-Outcome of five bytes": ([notification(*without(3009), v(3009, b"\0\0\0\0\0"))], 5014),
    "a short message of a device": ([notification(*without(3005), v(3005, u32(5)))], 5012),
    "an action": ([notification(*without(3005), v(3005, u32(1)))], 5012),
    "an identifier without domain": ([notification(*without(3111), v(3111, b"t1"))], 5004),
    "an MSISDN with a letter": ([notification(*without(3111), v(701, b"\x21\xa3\xf5"))], 5004),
    "no MSISDN in it": ([notification(*without(3111), v(701, b""))], 5004),
    "an outcome that ends behind its group": ([notification(*without(3009), v(3009, u32(0), length=200))], 5014),
    "an unknown AVP that must be understood": ([notification(*GOOD), v(3999, b"x")], 5001),
}


@pytest.fixture
def iwf(host):
    with opened(host, TSP) as peer:
        yield peer
        peer.send(dnr(notification(*GOOD)))  # it is served on
        assert result_of(peer.receive()) == 2001
        assert host.core_gets("outcome")["result"] == "SUCCESS"


@pytest.mark.parametrize("raw, result", BAD_NOTIFICATIONS.values(), ids=BAD_NOTIFICATIONS.keys())
def test_a_bad_notification_is_refused(iwf, raw, result):
    iwf.send(dnr(*raw))
    answer = iwf.receive()
    assert answer.header.command_code == DeviceNotification.code and result_of(answer) == result
    assert (find(answer, 279) is not None) == (result != 5012)


def test_all_that_a_good_notification_says_reaches_the_core(iwf, host):
    iwf.send(dnr(notification(v(3111, b"T1@ACME.example"), v(701, b"\x94\x71\x32\xf4"), *without(3111)[:2], v(3009, u32(4)))))
    answer = iwf.receive()
    assert result_of(answer) == 2001 and find(answer, 258) == TSP
    told = host.core_gets("outcome")
    fields = [(field["name"], bytes.fromhex(field["hex"])) for field in told["fields"]]
    assert fields == [("msisdn", b"4917234"), ("id", b"T1@acme.example")]
    assert (told["reference"], told["result"], told["host"], told["retransmission"]) == (0x12300007, "UNCONFIRMED", NODE, 0)


def test_an_outcome_that_nobody_knows_is_said_as_unknown(iwf, host):
    iwf.send(dnr(notification(*without(3009), v(3009, u32(77)))))
    assert result_of(iwf.receive()) == 2001
    assert host.core_gets("outcome")["result"] == "UNKNOWN"


def test_a_reference_that_the_core_does_not_know_comes_back(iwf, host):
    host.core_answers(5004)
    iwf.send(dnr(notification(*GOOD)))
    answer = iwf.receive()
    host.core_answers(2001)
    assert result_of(answer) == 5004 and find(answer, 279, 3002, 3007) == 0x12300007
    host.core_gets("outcome")


# ---- T4 ----

def named(*inside):
    return v(3102, b"".join(inside))


SENDER = v(3309, b"\x09\x91\x94\x71\x10\x32\xf4")
REPORT = [named(IMSI), SENDER, v(3200, u32(2)), v(3007, REFERENCE)]


def report_without(code):
    return [item for item in REPORT if int.from_bytes(item[:4], "big") != code]


def drr(*raw):
    avps = [avp(263, "node1.example.org;1;1"), avp(277, 1), *origin(NODE), avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]
    return request(DeliveryReport, T4, avps, extra=b"".join(raw))


BAD_REPORTS = {
    "no user": (report_without(3102), 5005),
    "no SM-RP-SMEA": (report_without(3309), 5005),
    "no outcome": (report_without(3200), 5005),
    "no Reference-Number": (report_without(3007), 5005),
    "an outcome of three bytes": (report_without(3200) + [v(3200, b"\0\0\2")], 5014),
    "two references": (REPORT + [v(3007, REFERENCE)], 5009),
    "an IMSI of letters": (report_without(3102) + [named(raw_avp(1, b"imsi"))], 5004),
    "an IMSI of 16 digits": (report_without(3102) + [named(raw_avp(1, b"0010100000000010"))], 5004),
    "a diagnostic of nothing": (REPORT + [v(3201, b"")], 5014),
}


@pytest.fixture
def centre(host):
    with opened(host, T4) as peer:
        yield peer
        peer.send(drr(*REPORT))
        assert result_of(peer.receive()) == 2001
        assert host.core_gets("outcome")["fields"] == [{"name": "imsi", "hex": b"001010000000001".hex()}]


@pytest.mark.parametrize("raw, result", BAD_REPORTS.values(), ids=BAD_REPORTS.keys())
def test_a_bad_delivery_report_is_refused(centre, raw, result):
    centre.send(drr(*raw))
    answer = centre.receive()
    assert answer.header.command_code == DeliveryReport.code and result_of(answer) == result
    assert find(answer, 279) is not None


@pytest.mark.parametrize("outcome, result", [(0, "FAILURE"), (1, "FAILURE"), (2, "SUCCESS"), (3, "EXPIRED"), (9, "UNKNOWN")])
def test_what_a_delivery_report_means(centre, host, outcome, result):
    centre.send(drr(*report_without(3200), v(3200, u32(outcome))))
    assert result_of(centre.receive()) == 2001
    assert host.core_gets("outcome")["result"] == result


def test_reports_of_other_applications_are_not_served(centre, host):
    centre.send(dnr(notification(*GOOD)))
    assert result_of(centre.receive()) == 3007
    centre.send(dnr(notification(*GOOD), application=T4))
    assert result_of(centre.receive()) == 3001


# ---- answers ----

def answer_to(question, kind, *raw, result=2001):
    header = question.header
    avps = [avp(263, find(question, 263)), avp(268, result), avp(277, 1), *origin(NODE)]
    data = encode(kind.code, header.application_id, avps, header.hop_by_hop_identifier, header.end_to_end_identifier, is_request=False, flags=0x40)
    data += b"".join(raw)
    return data[:1] + len(data).to_bytes(3, "big") + data[4:]


def asked(host, peer, kind):
    number = next(numbers)
    host.trigger(number, kind, NODE, "t1@acme.example")
    return number, peer.receive()


BAD_ANSWERS = {
    "DAA: a status of three bytes": (TRIGGER, DeviceAction, [notification(v(3007, REFERENCE), v(3005, u32(1)), v(3008, b"\0\0\0"))]),
    "DAA: two statuses": (TRIGGER, DeviceAction, [notification(v(3007, REFERENCE), v(3005, u32(1)), v(3008, u32(0)), v(3008, u32(0)))]),
    "DAA: a group that ends behind the message": (TRIGGER, DeviceAction, [v(3002, b"", length=400)]),
    "DAA: what the target supports in five bytes": (TRIGGER, DeviceAction, [v(3012, b"\0\0\0\0\1")]),
    "SIA: an IMSI of letters": (SUBSCRIBER, SubscriberInformation, [named(raw_avp(1, b"imsi"))]),
    "SIA: an MSISDN with a letter": (SUBSCRIBER, SubscriberInformation, [named(v(701, b"\x2b"))]),
    "SIA: two causes": (SUBSCRIBER, SubscriberInformation, [v(3107, v(3108, v(3109, u32(1)) + v(3109, u32(1))))]),
    "SIA: a cause of one byte": (SUBSCRIBER, SubscriberInformation, [v(3107, v(3108, v(3109, b"\1")))]),
    "SIA: two serving nodes of the first kind": (SUBSCRIBER, SubscriberInformation, [v(3107, v(3108, v(2401, v(2402, b"a.b")) + v(2401, v(2402, b"a.b"))))]),
    "SIA: a node whose name is none": (SUBSCRIBER, SubscriberInformation, [v(3107, v(3108, v(2401, v(2402, b"a b"))))]),
    "DTA: a diagnostic of two bytes": (MESSAGE, DeviceTrigger, [v(3203, b"\0\0")]),
    "DTA: features without a list": (MESSAGE, DeviceTrigger, [v(628, raw_avp(266, u32(V3GPP)) + v(629, b"\1"))]),
    "DTA: two results": (MESSAGE, DeviceTrigger, [raw_avp(268, u32(2001))]),
}
APPLICATIONS = {SUBSCRIBER: S6M, TRIGGER: TSP, MESSAGE: T4}
NO_ANSWER = 3  # enum inquiry_outcome


@pytest.mark.parametrize("kind, command, raw", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_that_cannot_be_used_is_none(host, kind, command, raw):
    with opened(host, APPLICATIONS[kind]) as peer:
        number, question = asked(host, peer, kind)
        assert question.header.command_code == command.code
        peer.send(answer_to(question, command, *raw))
        told = host.core_gets("inquiry", id=number)
        assert (told["outcome"], told["fields"]) == (NO_ANSWER, [])


def test_a_status_that_nobody_knows_is_a_refusal(host):
    with opened(host, TSP) as peer:
        number, question = asked(host, peer, TRIGGER)
        peer.send(answer_to(question, DeviceAction, notification(v(3007, REFERENCE), v(3005, u32(1)), v(3008, u32(999)))))
        told = host.core_gets("inquiry", id=number)
        assert (told["outcome"], told["verdict"], told["code"]) == (0, 3, 999)  # answered, VERDICT_REFUSED


def test_more_nodes_than_there_is_room_for_are_left_out(host):
    with opened(host, S6M) as peer:
        number, question = asked(host, peer, SUBSCRIBER)
        nodes = v(2401, v(2402, b"mme1.example.org")) + b"".join(v(2406, v(2402, b"m" * 200 + b"%d.example.org" % n)) for n in range(9))
        peer.send(answer_to(question, SubscriberInformation, named(IMSI), v(3107, v(3108, nodes))))
        told = host.core_gets("inquiry", id=number)
        kept = next(bytes.fromhex(field["hex"]) for field in told["fields"] if field["name"] == "nodes")
        assert nodes.startswith(kept) and 800 < len(kept) <= 1024
