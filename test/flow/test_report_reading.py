"""Reports of nodes (Reporting-Information-Request of TS 29.336 and TS 29.128) as the core gets them, shown as T8's
MonitoringEventReport, and their answers; written by python-diameter. What is malformed is refused in the RFC's words."""
import datetime
import itertools

import pytest
from diameter.message.commands import ReportingInformation
from diameter_host import GateHarness
from diameter_peer import S6T, T6A, V3GPP, RawPeer, avp, cer, find, origin, raw_avp, request, result_of

KNOWN, LAST = 0x00100007, 0x0010000f
EVENT, ENDED, SUSPENDED, RESUMED, RESULT, APPLIED = range(6)  # enum told_kind
PLMN = b"\x00\xf1\x10"                                         # 001-01 (TS 24.008 10.5.1.13)
LATER = datetime.datetime(2030, 6, 18, 4, 55, 28, tzinfo=datetime.timezone.utc)
LATER_TEXT = "2030-06-18T04:55:28.000Z"
ends = itertools.count(1000)


@pytest.fixture(scope="module")
def module_host():
    harness = GateHarness("--any")
    harness.knows(KNOWN)
    yield harness
    assert harness.stop() == 0
    assert not any("001010000000001" in line for line in harness.log), "an IMSI was logged"


@pytest.fixture
def host(module_host):
    yield module_host
    assert module_host.is_alive()


def node(host, application):
    peer = RawPeer(host.port)
    peer.send(cer(f"node{application}.example.org", application))
    assert result_of(peer.receive()) == 2001
    return peer


def is_served_on(host, peer):
    peer.send(rir(peer, report(LAST)))
    assert result_of(peer.receive()) == 5515
    host.core_gets("report", reference=LAST)  # and what came before it is no other test's


@pytest.fixture(params=[S6T, T6A], ids=["HSS", "MME"])
def peer(host, request):
    with node(host, request.param) as peer:
        peer.application = request.param
        yield peer
        is_served_on(host, peer)


def v(code, value, m=True):
    return avp(code, value, V3GPP, m)


def rir(peer, *avps, raw=b"", end=None):
    name = f"node{peer.application}.example.org"
    head = [avp(263, f"{name};1;1"), avp(277, 1), *origin(name), avp(293, b"scef.dromio.test"), avp(283, b"dromio.test")]
    return request(ReportingInformation, peer.application, [*head, *avps], end=next(ends) if end is None else end, extra=raw)


def report(reference, *inside):
    return v(3123, [v(3124, reference), *inside])


def told(host, peer, *inside):
    """What the core hears of one report, and the answer's status of it."""
    peer.send(rir(peer, report(KNOWN, *inside)))
    heard = host.core_gets("report", reference=KNOWN)
    answer = peer.receive()
    assert result_of(answer) == 2001 and find(answer, 3171, 268) == 2001 and find(answer, 3171, 3124) == KNOWN
    (one,) = heard["told"]
    return one


CELL = v(1602, PLMN + b"\xf0\xa1\xb2\xc3", m=False)   # the upper four bits are spare
MME_LOCATION = v(1496, [v(1600, [CELL, v(1603, PLMN + b"\x00\xff", m=False), v(1611, 3, m=False)], m=False)], m=False)
READINGS = {
    "loss": ([v(3127, 0), v(3162, 2, m=False)], {"monitoringType": "LOSS_OF_CONNECTIVITY", "lossOfConnectReason": 2}),
    "reachable for data": ([v(3127, 1), v(3140, 1), v(3329, LATER, m=False)],
                           {"monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "maxUEAvailabilityTime": LATER_TEXT}),
    "reachable for SMS": ([v(3127, 1), v(3140, 0)], {"monitoringType": "UE_REACHABILITY", "reachabilityType": "SMS"}),
    "reachable and idle": ([v(3127, 8), v(3140, 1), v(4322, [v(4323, LATER, m=False), v(4324, 20, m=False), v(1619, 3600, m=False),
                                                             v(1691, [v(1032, 1004, m=False), v(1692, b"\x05", m=False)], m=False), v(1674, 4, m=False)], m=False)],
                           {"monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "idleStatusInfo": {
                               "activeTime": 20, "edrxCycleLength": 81.92, "suggestedNumberOfDlPackets": 4, "idleStatusTimestamp": LATER_TEXT, "periodicAUTimer": 3600}}),
    "location at an MME": ([v(3127, 2), MME_LOCATION], {"monitoringType": "LOCATION_REPORTING", "locationInfo": {
        "ageOfLocationInfo": 3, "cellId": "001-01-0a1b2c3", "trackingAreaId": "001-01-00ff", "plmnId": "001-01"}}),
    "location at an SGSN": ([v(3127, 2), v(1496, [v(1601, [v(1604, PLMN + b"\x12\x34\x56\x78", m=False)], m=False)], m=False)],
                            {"monitoringType": "LOCATION_REPORTING", "locationInfo": {"cellId": "001-01-1234-5678", "plmnId": "001-01"}}),
    "another device": ([v(3127, 3), v(3141, 1)], {"monitoringType": "CHANGE_OF_IMSI_IMEI_ASSOCIATION", "imeiChange": "IMEI"}),
    "another software": ([v(3127, 3), v(3141, 2)], {"monitoringType": "CHANGE_OF_IMSI_IMEI_ASSOCIATION", "imeiChange": "IMEISV"}),
    "roaming": ([v(3127, 4), v(3139, 0), v(1407, b"\x62\xf2\x10")],
                {"monitoringType": "ROAMING_STATUS", "roamingStatus": True, "plmnId": {"mcc": "262", "mnc": "01"}}),
    "at home, three digits": ([v(3127, 4), v(3139, 1), v(1407, b"\x13\x00\x14")],
                              {"monitoringType": "ROAMING_STATUS", "roamingStatus": False, "plmnId": {"mcc": "310", "mnc": "410"}}),
    "failure": ([v(3127, 5), v(4300, [v(4301, 0), v(4302, 21)])], {"monitoringType": "COMMUNICATION_FAILURE", "failureCause": {"causeType": 0, "s1ApCause": 21}}),
    "available again": ([v(3127, 6)], {"monitoringType": "AVAILABILITY_AFTER_DDN_FAILURE"}),
    "a connection to here": ([v(3127, 10), v(3181, [avp(493, "iot"), v(3182, 0, m=False), v(1681, 1, m=False), v(1682, 1, m=False)], m=False)],
                             {"monitoringType": "PDN_CONNECTIVITY_STATUS",
                              "pdnConnInfoList": [{"status": "CREATED", "apn": "iot", "pdnType": "NON_IP", "interfaceInd": "EXPOSURE_FUNCTION"}]}),
    "two connections": ([v(3127, 10), v(3181, [avp(493, "a"), v(3182, 1, m=False), v(1456, 0), v(848, "10.0.0.7")], m=False),
                         v(3181, [avp(493, "b"), v(3182, 0, m=False), v(848, "2001:db8::1")], m=False)],
                        {"monitoringType": "PDN_CONNECTIVITY_STATUS", "pdnConnInfoList": [
                            {"status": "RELEASED", "apn": "a", "pdnType": "IPV4", "ipv4Addr": "10.0.0.7"},
                            {"status": "CREATED", "apn": "b", "pdnType": "IPV4V6", "ipv6Addrs": ["2001:db8::1"]}]}),
    "with its time": ([v(3127, 0), v(3175, LATER, m=False)], {"monitoringType": "LOSS_OF_CONNECTIVITY", "eventTime": LATER_TEXT}),
}


@pytest.mark.parametrize("inside,shown", READINGS.values(), ids=READINGS.keys())
def test_a_report_is_read(host, peer, inside, shown):
    one = told(host, peer, *inside)
    assert one == {"what": "report", "kind": EVENT, "report": shown}


@pytest.mark.parametrize("handling,kind", [(0, SUSPENDED), (1, RESUMED), (2, ENDED)])
def test_what_becomes_of_an_event_is_told(host, peer, handling, kind):
    assert told(host, peer, v(3127, 0), v(3149, handling))["kind"] == kind


def test_each_report_has_its_own_answer(host, peer):
    peer.send(rir(peer, report(5, v(3125, b"scef.dromio.test")), report(KNOWN), report(6)))
    answer = peer.receive()
    statuses = [{inner.code: inner.value for inner in item.value} for item in answer.avps if item.code == 3171]
    assert [(each[3124], each.get(268), each.get(298)) for each in statuses] == [(5, None, 5515), (KNOWN, 2001, None), (6, None, 5515)]
    assert all(each[3125] == b"scef.dromio.test" for each in statuses) and result_of(answer) == 2001
    peer.send(rir(peer, report(5), report(6)))
    assert result_of(peer.receive()) == 5515
    peer.send(rir(peer))
    assert result_of(peer.receive()) == 2001


def test_a_repetition_has_the_same_number(host, peer):
    numbers = []
    for end in (77, 77, 78):
        peer.send(rir(peer, report(KNOWN), report(KNOWN), end=end))
        numbers.append([host.core_gets("report")["number"] for _ in range(2)])
        assert result_of(peer.receive()) == 2001
    assert numbers[0] == numbers[1] and not set(numbers[0]) & set(numbers[2]) and len(set(numbers[0])) == 2


# ---- of an HSS alone ----

GROUP = 1 << 19 | 5


@pytest.fixture
def hss(host):
    with node(host, S6T) as peer:
        peer.application = S6T
        yield peer
        is_served_on(host, peer)


def member(name, *inside):
    return v(3166, [v(3102, [v(3111, name)]), *inside], m=False)


def test_members_of_a_group_are_told_one_by_one(host, hss):
    host.knows(GROUP)
    hss.send(rir(hss, v(3165, [v(3124, GROUP), member("a@acme.example", v(3127, 0), v(3162, 4, m=False)),
                               member("b@acme.example", v(3152, [v(3146, [avp(266, V3GPP), v(3147, 5511)])])),
                               member("c@acme.example", v(3149, 2))], m=False)))
    heard = [host.core_gets("report", reference=GROUP) for _ in range(6)]  # each for its group, and for its twin
    answer = hss.receive()
    assert result_of(answer) == 2001 and find(answer, 3171, 268) == 2001
    assert [len([each for each in answer.avps if each.code == 3171])] == [1]
    assert [each["fields"][0]["hex"] for each in heard] == [name.encode().hex() for name in ("a@acme.example", "b@acme.example", "c@acme.example") for _ in range(2)]
    assert [each["told"][0]["kind"] for each in heard[::2]] == [EVENT, RESULT, ENDED]
    assert heard[0]["told"][0]["report"] == {"monitoringType": "LOSS_OF_CONNECTIVITY", "lossOfConnectReason": 4}
    assert heard[2]["told"][0]["verdict"] == 5  # enum inquiry_verdict: not allowed
    host.knows(KNOWN)


def test_all_that_a_device_has_may_be_over(host, hss):
    hss.send(rir(hss, v(3102, [v(3111, "t1@acme.example")]), v(3167, 2 | 16, m=False)))
    heard = host.core_gets("report")
    assert (heard["reference"], heard["kinds"], heard["fields"][0]["name"]) == (0, 1 << 0 | 1 << 3, "id")
    assert result_of(hss.receive()) == 2001
    hss.send(rir(hss, v(3167, 2, m=False)))
    assert result_of(hss.receive()) == 5005  # of whom?


def test_references_end_with_a_report_and_parameters_are_told(host, hss):
    updated = [v(3125, b"scef.dromio.test"), v(3124, 0x00100009), v(1619, 7200, m=False), v(4324, 9, m=False)]
    hss.send(rir(hss, report(KNOWN, v(3126, 0x00100008)), raw=raw_avp(3184, b"".join(each.as_bytes() for each in updated), flags=0, vendor=V3GPP)))
    heard = [host.core_gets("report") for _ in range(3)]
    assert [(each["reference"], each["told"][0]["kind"]) for each in heard] == [(KNOWN, EVENT), (0x00100009, APPLIED), (0x00100008, ENDED)]
    assert result_of(hss.receive()) == 2001


# ---- malformed ----

def raw_report(*inside):
    return raw_avp(3123, b"".join(inside), vendor=V3GPP)


REFERENCE = raw_avp(3124, KNOWN.to_bytes(4, "big"), vendor=V3GPP)


def number(code, value, flags=0x40):
    return raw_avp(code, value.to_bytes(4, "big"), flags=flags, vendor=V3GPP)


BAD = {
    "no reference": (raw_report(number(3127, 0)), 5005),
    "two references": (raw_report(REFERENCE, REFERENCE), 5009),
    "a reference of three bytes": (raw_report(raw_avp(3124, b"\0\0\1", vendor=V3GPP)), 5014),
    "a type nobody knows": (raw_report(REFERENCE, number(3127, 11)), 5004),
    "a reason nobody knows": (raw_report(REFERENCE, number(3162, 9)), 5004),
    "a reachability nobody knows": (raw_report(REFERENCE, number(3140, 2)), 5004),
    "roaming nobody knows": (raw_report(REFERENCE, number(3139, 7)), 5004),
    "handling nobody knows": (raw_report(REFERENCE, number(3149, 3)), 5004),
    "a network of two bytes": (raw_report(REFERENCE, raw_avp(1407, b"\0\xf1", vendor=V3GPP)), 5004),
    "a network without digits": (raw_report(REFERENCE, raw_avp(1407, b"\xab\xfc\xde", vendor=V3GPP)), 5004),
    "a cell that is too short": (raw_report(REFERENCE, raw_avp(1496, raw_avp(1600, raw_avp(1602, PLMN + b"\1", vendor=V3GPP), vendor=V3GPP), vendor=V3GPP)), 5004),
    "an area that is too long": (raw_report(REFERENCE, raw_avp(1496, raw_avp(1600, raw_avp(1603, PLMN + b"\1\2\3", vendor=V3GPP), vendor=V3GPP), vendor=V3GPP)), 5004),
    "a connection without APN": (raw_report(REFERENCE, raw_avp(3181, number(3182, 0), vendor=V3GPP)), 5005),
    "a connection without word": (raw_report(REFERENCE, raw_avp(3181, raw_avp(493, b"iot"), vendor=V3GPP)), 5005),
    "an empty APN": (raw_report(REFERENCE, raw_avp(3181, raw_avp(493, b"") + number(3182, 0), vendor=V3GPP)), 5004),
    "an address of no family": (raw_report(REFERENCE, raw_avp(3181, raw_avp(493, b"iot") + number(3182, 0) + raw_avp(848, b"\0\7abcd", vendor=V3GPP), vendor=V3GPP)), 5004),
    "a group that ends behind the message": (raw_avp(3123, REFERENCE, vendor=V3GPP, length=400), 5014),
    "an unknown AVP that must be known": (raw_report(REFERENCE, raw_avp(9999, b"", vendor=V3GPP)), 5001),
    "a user that is no identifier": (raw_avp(3102, raw_avp(3111, b"nobody", vendor=V3GPP), vendor=V3GPP), 5004),
}


@pytest.mark.parametrize("raw,result", BAD.values(), ids=BAD.keys())
def test_a_malformed_report_is_refused(host, peer, raw, result):
    if raw.startswith((3102).to_bytes(4, "big")):
        raw += raw_report(REFERENCE)
    peer.send(rir(peer, raw=raw))
    answer = peer.receive()
    assert result_of(answer) == result
    assert find(answer, 279) is not None or result in (5014,), "Failed-AVP"


def test_more_reports_than_a_message_can_have_are_refused(host, peer):
    peer.send(rir(peer, raw=raw_report(REFERENCE) * 300))
    assert result_of(peer.receive()) == 5012


def test_every_shorter_report_is_answered(host, peer):
    whole = REFERENCE + number(3127, 2) + MME_LOCATION.as_bytes() + number(3162, 1)
    for length in range(0, len(whole), 4):
        peer.send(rir(peer, raw=raw_avp(3123, whole[:length], vendor=V3GPP)))
        assert result_of(peer.receive()) in (2001, 5005, 5014, 5009, 5004)
