"""dromio-sim's network side of monitoring, timers and triggers against a SCEF that is not ours: S6t (TS 29.336), T6a
reports (TS 29.128), Tsp (TS 29.368)."""
import datetime
import time

import pytest
from diameter.message import Avp, MessageHeader, Message
from fake_scef import CMR, ODR, FakeScef
from test_sim import FIRST, sim  # noqa: F401

# Awake for 0.3 of 1.5 seconds: many tests wait until it has woken several times.
AWAKE_S = 0.3
SLEEPY = ["--period", "300", "--active", "10", "--speed", "200", "--edrx", "0"]

V = 10415
CIR, RIR, DAR, DNR = 8388718, 8388719, 8388639, 8388640
S6T, T6A, TSP = 16777345, 16777346, 16777309
LOSS, REACHABLE, LOCATION, IMEI, ROAMING, FAILURE, AVAILABLE, AREA, REACHABLE_AND_IDLE, AVAILABLE_AND_IDLE, PDN = range(11)
CREATED, DELETED = 0, 1
UNKNOWN_REFERENCE = 5515
HSS, IWF, MME = "hss.epc.dromio.test", "iwf.epc.dromio.test", "mme.epc.dromio.test"
SCEF = FakeScef.identity.encode()


@pytest.fixture
def scef():
    made = FakeScef()
    yield made
    made.close()


def avp(code, value, m=True, vendor=V):
    return Avp.new(code, vendor, value=value, is_mandatory=m)


def user(name="thermo-1@demo.example", group=False):
    return avp(3102, [avp(3111, name)] + ([avp(3168, 1, m=False)] if group else []))


def event(reference, kind, *more):
    return avp(3122, [avp(3124, reference), avp(3125, SCEF), avp(3127, kind), *more])


def ask(scef, host, command, application, avps):
    """Sends a request to that node; its answer."""
    connection = scef.wait(lambda: next((c for c in scef.connections if c.host == host), None))
    scef.hop_by_hop += 1
    header = MessageHeader(command_code=command, application_id=application, hop_by_hop_identifier=scef.hop_by_hop,
                           end_to_end_identifier=scef.hop_by_hop + 5000)
    header.is_request = header.is_proxyable = True
    head = [Avp.new(263, value=f"{scef.identity};2;{scef.hop_by_hop}"), Avp.new(277, value=1)]
    connection.send(Message(header, head + scef._origin() + [Avp.new(283, value=b"epc.dromio.test"), *avps]))
    return scef.answer_to(scef.hop_by_hop)


def find(seen, *path):
    """Value of the first AVP down that path of codes; all are known to python-diameter."""
    avps = seen.message.avps
    for code in path:
        found = next((item for item in avps if item.code == code), None)
        if found is None:
            return None
        avps = found.value if isinstance(found.value, list) else []
    return found.value


def configure(scef, *events, name=None):
    return ask(scef, HSS, CIR, S6T, [name or user(), *events])


def reports(scef, reference):
    return [seen for seen in scef.of(RIR) if find(seen, 3123, 3124) == reference]


def attached(scef, imsi=FIRST):
    scef.wait(lambda: scef.of(CMR, imsi=imsi, action=0))


def test_an_event_is_taken_and_reported_by_the_mme_until_its_number(scef, sim):
    run = sim("--devices", "1", "--hss", "1", *SLEEPY)
    attached(scef)
    answer = configure(scef, event(7, REACHABLE, avp(3128, 2)))
    assert answer.result == 2001
    assert find(answer, 3142, 3124) == 7 and find(answer, 3142, 3125) == SCEF and find(answer, 3142, 3152, 3146, 3147) == 2001
    scef.wait(lambda: len(reports(scef, 7)) == 2)
    report = reports(scef, 7)[0]
    assert report.origin_host == MME and report.message.header.application_id == T6A
    assert report.destination_host == scef.identity and find(report, 3123, 3125) == SCEF
    assert find(report, 3123, 3127) == REACHABLE and find(report, 3123, 3140) == 1
    assert find(report, 3123, 3329) > datetime.datetime(2020, 1, 1) and find(report, 3123, 3175) is not None
    before = len(scef.of(ODR))
    scef.wait(lambda: len(scef.of(ODR)) > before + 1)  # it wakes, and nobody hears
    assert len(reports(scef, 7)) == 2
    summary = run.stop()
    assert (summary["monitoring"], summary["reports"], summary["reports_taken"]) == (1, 2, 2)


def test_a_lost_device_is_missed_after_the_detection_time_and_found_again(scef, sim):
    run = sim("--devices", "1", "--hss", "1", "--lose", "3600", "--lost", "3", *SLEEPY)
    attached(scef)
    assert configure(scef, event(8, LOSS, avp(3128, 100), avp(3131, 1)), event(9, REACHABLE, avp(3128, 100))).result == 2001
    scef.wait(lambda: reports(scef, 8))
    report = reports(scef, 8)[0]
    assert find(report, 3123, 3127) == LOSS and find(report, 3123, 3162) == 2  # MAX_DETECTION_TIME_EXPIRED_MME
    attaches = len(scef.of(CMR, action=0))
    scef.wait(lambda: len(scef.of(CMR, action=0)) > attaches)  # it attaches again
    scef.wait(lambda: [r for r in reports(scef, 9) if r.time > report.time])
    summary = run.stop()
    assert summary["lost"] >= 1 and summary["found"] >= 1


def test_where_a_device_is_and_whether_it_roams_is_told_at_once(scef, sim):
    sim("--devices", "1", "--hss", "1", *SLEEPY)
    attached(scef)
    answer = configure(scef, event(10, LOCATION, avp(3128, 1)), event(11, ROAMING, avp(3128, 1)))
    told = {next(a.value for a in item.value if a.code == 3124): item for item in answer.message.avps if item.code == 3123}
    assert set(told) == {10, 11}
    location = next(a for a in told[10].value if a.code == 1496).value[0]
    assert location.code == 1600 and {a.code: a.value for a in location.value}[1602][:3] == b"\x00\xf1\x10"
    assert {a.code: a.value for a in told[11].value}[3139] == 1  # SUBSCRIBER_NOT_ROAMING


def children(seen, *path):
    """Values below the first AVP down that path, by code."""
    return {item.code: item.value for item in find(seen, *path)}


def test_reachability_is_told_of_the_kind_that_was_asked_for(scef, sim):
    sim("--devices", "1", "--hss", "1", *SLEEPY)
    attached(scef)
    kinds = [event(50 + bits, REACHABLE, avp(3128, 1), avp(3129, [avp(3132, bits)])) for bits in (1, 2)]  # SMS, data
    assert configure(scef, *kinds).result == 2001
    scef.wait(lambda: reports(scef, 51) and reports(scef, 52))
    assert (find(reports(scef, 51)[0], 3123, 3140), find(reports(scef, 52)[0], 3123, 3140)) == (0, 1)


@pytest.mark.parametrize("edrx", [0, 1])
def test_the_idle_status_has_the_device_s_own_timers(scef, sim, edrx):
    sim("--devices", "1", "--hss", "1", "--period", "30", "--active", "20", "--speed", "10", "--edrx", str(edrx))
    attached(scef)
    parameters = avp(3170, [avp(3124, 40), avp(3125, SCEF), avp(1619, 60, m=False)], m=False)
    assert configure(scef, parameters, event(41, REACHABLE_AND_IDLE, avp(3128, 1))).result == 2001
    scef.wait(lambda: reports(scef, 41))
    report = reports(scef, 41)[0]
    idle = children(report, 3123, 4322)
    assert find(report, 3123, 3127) == REACHABLE_AND_IDLE and idle[1619] == 60 and 4323 in idle
    if edrx:
        assert {item.code: item.value for item in idle[1691]} == {1032: 1005, 1692: b"\x02"} and 4324 not in idle  # NB-IoT, 20.48 s
    else:
        assert idle[4324] == 2 and 1691 not in idle  # 20 s of a device whose time is ten times as fast


def test_a_connection_is_told_as_it_comes_and_goes(scef, sim):
    run = sim("--devices", "1", "--hss", "1", "--restart", "1", *SLEEPY)
    attached(scef)
    other = avp(3180, [avp(493, "other", vendor=0)])
    assert configure(scef, event(60, PDN, avp(3128, 100)), event(61, PDN, avp(3128, 100), other)).result == 2001
    scef.wait(lambda: len(reports(scef, 60)) >= 4)
    told = [children(report, 3123, 3181) for report in reports(scef, 60)]
    first = [one[3182] for one in told].index(DELETED)
    assert [one[3182] for one in told][first:first + 2] == [DELETED, CREATED]
    assert told[0][493] == "iot" and told[0][1681] == 1 and told[0][1682] == 1  # non-IP, by the SCEF
    assert not reports(scef, 61)
    assert run.stop()["reports_unknown"] == 0


def test_another_device_with_the_same_subscription_is_told(scef, sim):
    sim("--devices", "1", "--hss", "1", "--restart", "1", "--exchange", "1", *SLEEPY)
    attached(scef)
    assert configure(scef, event(62, IMEI, avp(3128, 1), avp(3138, 0))).result == 2001
    scef.wait(lambda: reports(scef, 62))
    assert find(reports(scef, 62)[0], 3123, 3141) == 1


def test_what_is_lost_over_the_air_is_a_communication_failure(scef, sim):
    sim("--devices", "1", "--hss", "1", "--loss", "1", *SLEEPY)
    attached(scef)
    assert configure(scef, event(63, FAILURE, avp(3128, 2))).result == 2001
    scef.wait(lambda: len(reports(scef, 63)) == 2)
    assert children(reports(scef, 63)[0], 3123, 4300) == {4301: 0, 4302: 21}  # radio network, radio connection with UE lost


def test_a_device_that_slept_through_a_downlink_is_available_when_it_wakes(scef, sim):
    sim("--devices", "1", "--hss", "1", *SLEEPY)
    attached(scef)
    assert configure(scef, event(64, AVAILABLE), event(65, AVAILABLE_AND_IDLE), event(66, REACHABLE, avp(3128, 1000))).result == 2001
    scef.wait(lambda: len(reports(scef, 66)) == 2)
    assert not reports(scef, 64)  # nothing failed
    end = time.monotonic() + 30
    while not scef.answer_to(scef.downlink(FIRST, b"\x82\x05")).experimental:  # it was awake
        assert time.monotonic() < end
        with scef.changed:
            scef.changed.wait(2 * AWAKE_S)  # it falls asleep without a message
    scef.wait(lambda: reports(scef, 64) and reports(scef, 65))
    assert find(reports(scef, 64)[0], 3123, 3127) == AVAILABLE and find(reports(scef, 64)[0], 3123, 3329) is not None
    assert find(reports(scef, 65)[0], 3123, 3127) == AVAILABLE_AND_IDLE and 4324 in children(reports(scef, 65)[0], 3123, 4322)


def area(*places):
    return [avp(4306, [avp(1496, [avp(1600, [place])])]) for place in places]


def test_an_mme_counts_the_devices_in_an_area(scef, sim):
    sim("--devices", "5", "--mmes", "2", "--hss", "1", *SLEEPY)
    scef.wait(lambda: len(scef.of(CMR, action=0)) == 5)
    scef.wait(lambda: all(host in {c.host for c in scef.connections} for host in (MME, "mme2.epc.dromio.test")))
    home, elsewhere = b"\x00\xf1\x10", b"\x62\xf2\x10"
    for host, tac, expected in ((MME, 1, 3), ("mme2.epc.dromio.test", 2, 2), (MME, 2, 0)):
        answer = ask(scef, host, CIR, T6A, [event(70, AREA, *area(avp(1603, home + tac.to_bytes(2, "big"))))])
        assert answer.result == 2001 and find(answer, 3123, 4307, 4308) == expected, (host, tac)
    cell = (1 << 16).to_bytes(4, "big")
    assert find(ask(scef, MME, CIR, T6A, [event(71, AREA, *area(avp(1602, home + cell[:3] + b"\0")))]), 3123, 4307, 4308) is not None
    assert find(ask(scef, MME, CIR, T6A, [event(72, AREA, *area(avp(1602, elsewhere + cell)))]), 3123, 4307, 4308) == 0
    assert (lambda said: said.result or said.experimental)(ask(scef, MME, CIR, T6A, [event(73, LOSS)])) == 5513


def test_a_coverage_restriction_is_remembered(scef, sim):
    run = sim("--devices", "2", "--hss", "1", *SLEEPY)
    query = avp(3145, 2)
    attached(scef)
    assert find(configure(scef, query), 3156, 3155) == []
    wanted = avp(3155, [avp(3158, [avp(1407, b"\x62\xf2\x10"), avp(1407, b"\x00\xf1\x10")])])
    assert configure(scef, wanted).result == 2001
    answer = configure(scef, query)
    assert find(answer, 3156, 3155, 3158) and [item.value for item in find(answer, 3156, 3155, 3158)] == [b"\x62\xf2\x10", b"\x00\xf1\x10"]
    assert find(configure(scef, query, name=user("thermo-2@demo.example")), 3156, 3155) == []
    assert run.stop()["coverage_set"] == 1


def test_a_deleted_event_and_an_unknown_one_end(scef, sim):
    scef.policy = lambda seen: ("experimental", UNKNOWN_REFERENCE) if seen.command == RIR and find(seen, 3123, 3124) == 21 else 2001
    run = sim("--devices", "1", "--hss", "1", *SLEEPY)
    attached(scef)
    configure(scef, event(20, REACHABLE, avp(3128, 1000)), event(22, REACHABLE, avp(3128, 1000)))
    scef.wait(lambda: reports(scef, 20))
    answer = configure(scef, avp(3122, [avp(3125, SCEF), avp(3127, REACHABLE), avp(3126, 20)]))
    assert answer.result == 2001
    count = len(reports(scef, 20))
    others = len(reports(scef, 22))
    scef.wait(lambda: len(reports(scef, 22)) > others + 1)
    assert len(reports(scef, 20)) == count
    summary = run.stop()
    assert summary["monitoring_removed"] == 1


@pytest.mark.parametrize("name,avps,result,status", [
    (user("thermo-2@demo.example"), [event(1, LOSS)], 5001, None),
    (user("nobody"), [event(1, LOSS)], 5001, None),
    (None, [event(1, AREA)], 2001, 5513),  # an MME is asked that
    (None, [avp(3155, [avp(3158, [avp(1407, b"\x00\xf1\x10")] * 17)])], 5012, None),  # room for 16
])
def test_what_the_network_cannot_do_is_refused(scef, sim, name, avps, result, status):
    sim("--devices", "1", "--hss", "1", *SLEEPY)
    answer = configure(scef, *avps, name=name)
    assert (answer.result or answer.experimental) == result
    assert find(answer, 3142, 3152, 3146, 3147) == status


def test_a_group_is_watched_member_by_member(scef, sim):
    sim("--devices", "3", "--hss", "1", *SLEEPY)
    answer = configure(scef, event(30, REACHABLE, avp(3128, 1)), name=user("all@demo.example", group=True))
    assert answer.result == 2001 and find(answer, 4209) == bytes([0, 0, 0, 3])  # python-diameter does not know it
    scef.wait(lambda: len(reports(scef, 30)) == 3)
    assert {find(report, 3102, 3111) for report in reports(scef, 30)} == {f"thermo-{n}@demo.example" for n in (1, 2, 3)}


def test_timers_change_how_often_a_device_wakes(scef, sim):
    """It would wake each 50 s."""
    run = sim("--devices", "1", "--hss", "1", "--period", "3000", "--active", "10", "--speed", "60", "--edrx", "0")
    attached(scef)
    parameters = avp(3170, [avp(3124, 40), avp(3125, SCEF), avp(1619, 2, m=False), avp(4324, 1, m=False)], m=False)
    answer = configure(scef, parameters, event(41, REACHABLE, avp(3128, 100)))
    assert answer.result == 2001 and find(answer, 3170, 1619) == 5 and find(answer, 3170, 4324) == 1  # 5 s is the least
    scef.wait(lambda: len(reports(scef, 41)) >= 2)
    first, second = [report.time for report in reports(scef, 41)][:2]
    assert 3.5 < second - first < 8
    assert run.stop()["timers_set"] == 1


# ---- triggers ----

TRIGGER, OUTCOME, RECALL, REPLACE = 1, 2, 3, 4
INVALID_NAME, REPLACE_FAILED, RECALL_FAILED = 102, 110, 111


def act(scef, reference, action=TRIGGER, name="thermo-1@demo.example", validity=60, old=None):
    """Device-Action-Request; Request-Status of its answer."""
    more = [avp(3011, old, m=False)] if old is not None else []
    if action != RECALL:
        more += [avp(3003, [avp(3004, b"wake up"), avp(3006, 0), avp(3010, 5)]), avp(448, validity, vendor=0)]
    device_action = avp(3001, [avp(3111, name), avp(3007, reference), avp(3005, action), *more])
    answer = ask(scef, IWF, DAR, TSP, [Avp.new(258, value=TSP), device_action])
    assert answer.result == 2001 and find(answer, 3002, 3007) == reference and find(answer, 3002, 3005) == action
    return find(answer, 3002, 3008)


def outcomes(scef):
    return {find(seen, 3002, 3007): find(seen, 3002, 3009) for seen in scef.of(DNR)}


def test_a_trigger_makes_a_device_that_is_awake_connect(scef, sim):
    run = sim("--devices", "1", "--iwf", "--period", "3600", "--active", "3600", "--speed", "1", "--seed", "3", "--edrx", "1")
    attached(scef)
    assert act(scef, 50) == 0
    scef.wait(lambda: scef.of(ODR))
    scef.wait(lambda: outcomes(scef) == {50: 0})
    notice = scef.of(DNR)[0]
    assert notice.origin_host == IWF and notice.destination_host == scef.identity
    assert find(notice, 3002, 3005) == OUTCOME and find(notice, 3002, 3111) == "thermo-1@demo.example"
    scef.wait(lambda: act(scef, 51, name="thermo-9@demo.example") == INVALID_NAME)
    summary = run.stop()
    assert (summary["triggers"], summary["triggers_delivered"], summary["triggers_refused"]) == (1, 1, 1)
    assert summary["outcomes_taken"] == 1


def test_a_sleeper_is_triggered_when_it_wakes_or_the_time_is_over(scef, sim):
    run = sim("--devices", "1", "--iwf", *SLEEPY)
    attached(scef)
    scef.wait(lambda: scef.of(ODR))
    for reference in range(60, 90):
        assert act(scef, reference, validity=30) == 0
    scef.wait(lambda: len(outcomes(scef)) == 30)
    assert set(outcomes(scef).values()) == {0}
    assert run.stop()["triggers_delivered"] == 30


def test_a_trigger_that_waits_can_be_replaced_and_recalled_and_expires(scef, sim):
    run = sim("--devices", "1", "--iwf", "--period", "3600", "--active", "1", "--edrx", "0", "--seed", "3")
    attached(scef)
    scef.wait(lambda: act(scef, 70, validity=600) == 0)  # its first reading is far away, and it sleeps
    assert act(scef, 71, REPLACE, validity=600, old=70) == 0
    assert act(scef, 72, REPLACE, old=70) == REPLACE_FAILED
    assert act(scef, 73, RECALL, old=71) == 0
    assert act(scef, 74, RECALL, old=71) == RECALL_FAILED
    assert act(scef, 75, validity=1) == 0
    scef.wait(lambda: outcomes(scef) == {75: 1})
    summary = run.stop()
    assert (summary["triggers_replaced"], summary["triggers_recalled"], summary["triggers_expired"]) == (1, 1, 1)
