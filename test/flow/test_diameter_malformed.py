"""The classes of malformed Diameter that brought other cores down: refused in the
RFC's words, and the next good peer is served at once."""
import time

import pytest
from diameter.message import Message
from diameter.message.commands import MOData
from diameter_host import GateHarness
from diameter_peer import (IMSI, T6A, V3GPP, RawPeer, avp, capabilities, cer, dpr, dwr, expect_service, find, odr, origin, raw_avp, request,
                           result_of, t6a_avps, with_length)


@pytest.fixture(scope="module")
def module_host():
    harness = GateHarness("--any")
    yield harness
    assert harness.stop() == 0
    assert not any(IMSI in line for line in harness.log), "an IMSI was logged"


@pytest.fixture
def host(module_host):
    yield module_host
    assert module_host.is_alive()
    expect_service(module_host.port)


def refused_cer(host, data, result):
    with RawPeer(host.port) as peer:
        peer.send(data)
        answer = peer.receive()
        assert answer is not None and answer.header.command_code == 257
        assert result_of(answer) == result
        assert peer.is_closed()
        return answer


def refused(host, data, result, stays=True):
    with RawPeer(host.port).open() as peer:
        peer.send(data)
        answer = peer.receive()
        assert answer is not None and result_of(answer) == result
        assert answer.header.is_error == (result // 1000 == 3)
        if stays:
            peer.send(dwr())
            assert result_of(peer.receive()) == 2001
        else:
            assert peer.is_closed()
        return answer


# 1
def test_64_origin_hosts_in_a_cer_are_5009(host):
    answer = refused_cer(host, cer(extra=raw_avp(264, b"mme1.example.org") * 64), 5009)
    assert find(answer, 279, 264) is not None


# 2
@pytest.mark.parametrize("inside, result", [
    (raw_avp(266, b"\0\0\x28\xaf") + raw_avp(258, b"\1\0\0\x23", length=4), 5014),     # shorter than its header
    (raw_avp(266, b"\0\0\x28\xaf") + raw_avp(258, b"\1\0\0\x23", length=0), 5014),
    (raw_avp(266, b"\0\0\x28\xaf") + raw_avp(258, b"\1\0\0\x23", length=0xffffff), 5014),
    (raw_avp(266, b"\0\0\x28\xaf") + b"\0\0\1", 5014),                                  # half a header
    (raw_avp(266, b"\0\x28\xaf"), 5014),                                                # 3 bytes of Unsigned32
    (raw_avp(258, b"\1\0\0\x23"), 5005),                                                # without Vendor-Id
    (b"", 5005),
])
def test_a_group_broken_inside_a_cer(host, inside, result):
    answer = refused_cer(host, cer(extra=raw_avp(260, inside)), result)
    assert find(answer, 279) is not None


# 3
@pytest.mark.parametrize("code", [283, 264, 296, 277, 263, 1020, 3102])
def test_a_mandatory_avp_absent_is_5005_with_an_example(host, code):
    avps = [item for item in t6a_avps() + [avp(4315, b"x", V3GPP)] if item.code != code]
    answer = refused(host, request(MOData, T6A, avps), 5005)
    failed = next(item for item in answer.avps if item.code == 279)
    assert [item.code for item in failed.value] == [code]


@pytest.mark.parametrize("code", [264, 296, 257, 266, 269])
def test_a_mandatory_avp_of_a_cer_absent_is_5005(host, code):
    refused_cer(host, cer(avps=[item for item in capabilities() if item.code != code]), 5005)


# 4
@pytest.mark.parametrize("address", [b"", b"\0", b"\0\1", b"\0\1\x7f", b"\0\1\x7f\0\0\1\0", b"\0\2\x7f\0\0\1", b"\0\2" + bytes(15),
                                     b"\0\0\x7f\0\0\1", b"\xff\xff\x7f\0\0\1"])
def test_an_address_that_lies_is_refused(host, address):
    avps = [item for item in capabilities() if item.code != 257]
    with RawPeer(host.port) as peer:
        peer.send(cer(avps=avps, extra=raw_avp(257, address)))
        assert result_of(peer.receive()) in (5014, 5004)
        assert peer.is_closed()


@pytest.mark.parametrize("extra", [raw_avp(4314, b"\0", vendor=V3GPP), raw_avp(3329, b"\0" * 8, vendor=V3GPP), raw_avp(622, b"\0" * 4),
                                   raw_avp(4311, b"", vendor=V3GPP)])
def test_a_value_of_another_width_is_5014(host, extra):
    refused(host, odr(extra=extra), 5014)


# 5, 7
def answer_bytes(code, application, hop, end, session=None, result=2001):
    message = Message()
    message.header.command_code, message.header.application_id = code, application
    message.header.hop_by_hop_identifier, message.header.end_to_end_identifier = hop, end
    message.header.is_request, message.header.is_proxyable = False, application != 0
    for item in ([avp(263, session)] if session else []) + [avp(268, result), avp(277, 1)] + origin():
        message.append_avp(item)
    return message.as_bytes()


def test_answers_nobody_asked_for_are_dropped_and_counted(host):
    before = host.drops("unknown_answer")
    with RawPeer(host.port).open() as peer:
        for code, application in ((8388734, T6A), (8388733, T6A), (8388732, T6A), (280, 0)):
            peer.send(answer_bytes(code, application, 0x4000, 1, session="x;1;1"))
        peer.send(dwr())
        assert result_of(peer.receive()) == 2001  # nothing came before it
    assert host.drops("unknown_answer") == before + 4


def test_an_answer_with_wrong_ids_is_not_the_answer(host):
    with RawPeer(host.port).open() as peer:
        host.downlink(3, IMSI, "mme1.example.org", "example.org", b"\1", int(time.time()) + 60)
        ours = peer.receive()
        hop, end, session = ours.header.hop_by_hop_identifier, ours.header.end_to_end_identifier, find(ours, 263)
        for wrong in ((hop + 1, end, session), (hop, end ^ 1, session), (hop, end, "other;1;1")):
            peer.send(answer_bytes(8388734, T6A, *wrong))
        peer.send(answer_bytes(8388734, T6A, hop, end, session, result=2002))
        assert host.core_gets("downlink", id=3)["result"] == 2002


# 6
@pytest.mark.parametrize("name", [b"mme1\0.example.org", b"mme1 example.org", b"mme1\n.example.org", b"\xff\xfe", b"", b"a" * 256,
                                  b"mme1;DROP", "mme\u00e9".encode()])
def test_bytes_that_no_identity_has_are_5004(host, name):
    avps = [item for item in capabilities() if item.code != 264]
    refused_cer(host, cer(avps=avps, extra=raw_avp(264, name)), 5004)


def test_text_that_is_no_utf8_is_5004(host):
    avps = [item for item in t6a_avps() if item.code != 263]
    refused(host, request(MOData, T6A, avps, extra=raw_avp(263, b"a\0b")), 5004)
    refused(host, request(MOData, T6A, avps, extra=raw_avp(263, b"\xc0\xaf")), 5004)


# 8
@pytest.mark.parametrize("data", [odr(), dwr(), dpr(), answer_bytes(257, 0, 1, 1), answer_bytes(280, 0, 1, 1)], ids=["ODR", "DWR", "DPR", "CEA", "DWA"])
def test_before_capabilities_anything_else_ends_the_connection(host, data):
    before = host.drops("state")
    with RawPeer(host.port) as peer:
        peer.send(data)
        assert peer.is_closed()
    assert host.drops("state") == before + 1


def test_commands_that_are_ours_to_send_are_3001(host):
    for code in (8388734, 8388718, 8388726):
        kind = type("Other", (), {"code": code})
        refused(host, request(kind, T6A, t6a_avps()), 3001)
    refused(host, request(MOData, 16777251, t6a_avps()), 3007)


def test_a_second_cer_under_another_name_ends_the_connection(host):
    with RawPeer(host.port).open() as peer:
        peer.send(cer(host="other.example.org"))
        assert result_of(peer.receive()) == 3010
        assert peer.is_closed()


# 9, 13
def test_lengths_of_messages_that_lie_end_the_connection(host):
    for data, result in ((with_length(odr(), 16), 5015), (with_length(odr(), 0), 5015), (with_length(odr(), 21), 5015),
                         (with_length(odr(), 0xfffffc), 5015), (b"\2" + odr()[1:], 5011), (b"\0" + odr()[1:], 5011)):
        refused(host, data, result, stays=False)


def test_avps_of_no_length_and_deep_nesting_are_refused(host):
    refused(host, odr(extra=bytes(8)), 5014)
    refused(host, odr(extra=raw_avp(9999, b"", flags=0) * 600), 5012)
    nested = b""
    for _ in range(50):
        nested = raw_avp(3152, nested, vendor=V3GPP)
    refused(host, odr(extra=nested), 5004)


def test_bits_that_mean_nothing_are_refused(host):
    refused(host, odr(extra=raw_avp(9999, b"x", flags=0x1f)), 3009)
    refused(host, odr(extra=raw_avp(9999, b"x", flags=0x40)), 5001)
    data = odr()
    refused(host, data[:4] + bytes([data[4] | 0x20]) + data[5:], 3008)
    data = dwr()
    refused(host, data[:4] + bytes([data[4] | 0x40]) + data[5:], 3008)


def test_random_bytes_end_only_their_own_connection(host):
    import random
    chance = random.Random(7)
    for _ in range(50):
        with RawPeer(host.port) as peer:
            peer.send(bytes(chance.randrange(256) for _ in range(chance.randrange(4, 400))))
    good = odr()
    with RawPeer(host.port).open() as peer:
        for _ in range(300):
            data = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(20, len(data))] = chance.randrange(256)
            peer.send(bytes(data))
            assert peer.receive() is not None


# 10
def test_an_error_answer_without_anything_in_it_is_no_answer(host):
    with RawPeer(host.port).open() as peer:
        host.downlink(4, IMSI, "mme1.example.org", "example.org", b"\1", int(time.time()) + 60)
        header = peer.receive().header
        message = Message()
        message.header.command_code, message.header.application_id = 8388734, T6A
        message.header.hop_by_hop_identifier, message.header.end_to_end_identifier = header.hop_by_hop_identifier, header.end_to_end_identifier
        message.header.is_error = True
        peer.send(message.as_bytes())
        assert host.core_gets("downlink", id=4)["outcome"] == 2


def test_every_result_of_a_peer_comes_through(host):
    with RawPeer(host.port).open() as peer:
        for number, result in enumerate((3002, 3004, 4001, 5001, 5012, 9999, 1)):
            host.downlink(100 + number, IMSI, "mme1.example.org", "example.org", b"\1", int(time.time()) + 60)
            ours = peer.receive()
            peer.send(answer_bytes(8388734, T6A, ours.header.hop_by_hop_identifier, ours.header.end_to_end_identifier, find(ours, 263), result))
            assert host.core_gets("downlink", id=100 + number)["result"] == result


# 12
def test_many_that_say_nothing_keep_nobody_out(host):
    peers = [RawPeer(host.port) for _ in range(600)]
    try:
        for peer in peers[::7]:
            try:
                peer.send(cer()[:100])
            except OSError:
                pass  # it had to go already
        expect_service(host.port)
    finally:
        for peer in peers:
            peer.socket.close()


# 14
def test_a_peer_that_stops_in_the_middle_holds_nobody_up(host):
    with RawPeer(host.port).open() as half, RawPeer(host.port) as quarter:
        half.send(odr()[:50])
        quarter.send(cer()[:50])
        expect_service(host.port)
        half.send(odr()[50:])
        assert result_of(half.receive()) == 2001


def test_a_peer_that_dies_with_requests_in_flight_harms_nobody(host):
    host.say("hold")
    for _ in range(5):
        with RawPeer(host.port).open() as peer:
            peer.send(odr() * 20)
            for _ in range(20):
                host.core_gets("uplink")
    host.say("release")
