"""Reports of the network against a real host: what becomes of the device's twin, its timeline and event stream, and of
downlinks that wait; from an HSS, from serving nodes, again after a crash."""
import itertools
import os
import queue
import subprocess
import threading

import pytest
from host import BUILD, LIMIT_S, Events, Host, until
from mme import RIR, S6T, T6A, PROXIABLE, RETRANSMITTED, Mme, avp, ends, find, result_of
from hss import Hss
from t8 import CALLBACKS, path_of

CIR, V3GPP = 8388718, 10415
BASE = "/3gpp-monitoring-event/v1/as1/subscriptions"
HSS_IS_KNOWN = 'diameter.peers=[{identity="hss1.epc.test",applications=["s6t"]}]'
LOSS, REACHABILITY, LOCATION, ROAMING = 0, 1, 2, 4
UNKNOWN_REFERENCE = 5515
PLMN = b"\x00\xf1\x10"
numbers = itertools.count(1)


class Watcher(Hss):
    """An HSS that agrees to all that it is to watch."""

    def __init__(self, host):
        self.watched, self.verdict, self.before = queue.Queue(), 2001, None
        super().__init__(host)

    def on_other(self, message):
        if message.header.command_code != CIR:
            super().on_other(message)
            return
        session = next(each for each in message.avps if each.code == 263)
        reference = find(message, 3122, 3124)
        self.watched.put(message)
        if self.before is not None:
            self.before(reference)
        service = avp(3152, [avp(3146, [avp(266, V3GPP), avp(3147, self.verdict, V3GPP)], V3GPP), avp(3153, 0, V3GPP)], V3GPP)
        status = [avp(3142, [service, avp(3124, reference, V3GPP), avp(3125, b"scef.dromio.test", V3GPP)], V3GPP)] if reference is not None else []
        self._answer(message, [session, avp(268, 2001), avp(277, 1), *self.origin(), *status])


def tell(peer, *avps, end=None, is_again=False):
    """A Reporting-Information-Request of an HSS or of a serving node; its answer."""
    application = S6T if isinstance(peer, Hss) else T6A
    everything = [avp(263, f"{peer.identity};9;{next(ends)}"), avp(277, 1), avp(293, b"scef.dromio.test"), avp(283, peer.destination), *avps]
    return peer.ask(RIR, application, everything, end=end, flags=PROXIABLE | (RETRANSMITTED if is_again else 0))


def v(code, value, m=True):
    return avp(code, value, V3GPP, m)


def report(reference, kind, *more):
    return v(3123, [v(3124, reference), v(3125, b"scef.dromio.test"), v(3127, kind), *more])


@pytest.fixture(scope="module")
def real():
    with Host(CALLBACKS, HSS_IS_KNOWN) as host:
        assert host.push((BUILD / "examples" / "watched.wasm").read_bytes()).status in (200, 201)
        yield host
        assert host.imsi_in_log() is None, "an IMSI was logged"


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["monitoring", "nidd", "read"])


@pytest.fixture
def hss(real):
    with Watcher(real) as peer:
        yield peer


@pytest.fixture
def mme(real):
    with Mme(real) as peer:
        yield peer


class Tracker:
    def __init__(self, host, client, sink):
        number = next(numbers)
        self.host, self.client, self.sink = host, client, sink
        self.id, self.imsi, self.path = f"w{number}@acme.example", f"00104{number:010d}", f"/w{number}"
        assert host.admin.put(f"/v1/twins/{self.id}", {"model": "acme/watched", "imsi": self.imsi}).status == 201

    def watched(self, hss, kind, **members):
        """The reference of a subscription."""
        answer = self.client.post(BASE, {"externalId": self.id, "notificationDestination": self.sink.link(self.path), "monitoringType": kind,
                                         "maximumNumberOfReports": 9, **members})
        assert answer.status == 201, answer
        self.at = answer.json()["self"]
        return find(hss.watched.get(timeout=LIMIT_S), 3122, 3124)

    def value(self, name):
        return self.host.admin.value(self.id, name)

    def reports(self):
        return [each for notice in self.sink.taken(self.path) for each in notice.get("monitoringEventReports", [])]

    def rows(self):
        return [row["network_report"] for row in self.host.admin.get(f"/v1/twins/{self.id}/timeline").json()["events"] if "network_report" in row]


@pytest.fixture
def tracker(real, as1, sink):
    return Tracker(real, as1, sink)


ASKED = [  # members of T8, AVPs of Monitoring-Event-Configuration by their path (TS 29.336 8.4)
    ({"monitoringType": "LOSS_OF_CONNECTIVITY", "maximumDetectionTime": 60}, {(3127,): 0, (3131,): 60, (3128,): 9}),
    ({"monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "maximumLatency": 30, "maximumResponseTime": 10, "suggestedNumberOfDlPackets": 3},
     {(3127,): 1, (3129, 3132): 2, (3129, 3133): 30, (3129, 3134): 10, (3129, 1674): 3}),
    ({"monitoringType": "UE_REACHABILITY", "reachabilityType": "SMS", "maximumNumberOfReports": 1}, {(3127,): 1, (3129, 3132): 1, (3128,): 1}),
    ({"monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "idleStatusIndication": True}, {(3127,): 8, (3129, 3132): 2}),
    ({"monitoringType": "LOCATION_REPORTING", "locationType": "CURRENT_LOCATION", "accuracy": "CGI_ECGI", "minimumReportInterval": 90},
     {(3127,): 2, (3135, 3136): 0, (3135, 3137): 0, (3135, 3117): 90}),
    ({"monitoringType": "LOCATION_REPORTING", "locationType": "LAST_KNOWN_LOCATION", "accuracy": "PLMN", "maximumNumberOfReports": 1},
     {(3127,): 2, (3135, 3136): 1, (3135, 3137): 4}),
    ({"monitoringType": "CHANGE_OF_IMSI_IMEI_ASSOCIATION", "associationType": "IMEISV"}, {(3127,): 3, (3138,): 1}),
    ({"monitoringType": "ROAMING_STATUS", "plmnIndication": True}, {(3127,): 4, (3172,): 0}),
    ({"monitoringType": "ROAMING_STATUS", "plmnIndication": False}, {(3127,): 4, (3172,): 1}),
    ({"monitoringType": "COMMUNICATION_FAILURE", "mtcProviderId": "meters"}, {(3127,): 5, (3178, 3179): "meters"}),
    ({"monitoringType": "AVAILABILITY_AFTER_DDN_FAILURE"}, {(3127,): 6, (3128,): None}),  # has no Maximum-Number-of-Reports
    ({"monitoringType": "AVAILABILITY_AFTER_DDN_FAILURE", "idleStatusIndication": True}, {(3127,): 9}),
    ({"monitoringType": "PDN_CONNECTIVITY_STATUS", "dnn": "iot"}, {(3127,): 10, (3180, 493): "iot"}),
]


@pytest.mark.parametrize("members,avps", ASKED, ids=[f"{number} {members['monitoringType']}" for number, (members, _) in enumerate(ASKED)])
def test_an_hss_is_asked_in_the_words_of_its_type(tracker, hss, members, avps):
    answer = tracker.client.post(BASE, {"externalId": tracker.id, "notificationDestination": tracker.sink.link(tracker.path), "maximumNumberOfReports": 9, **members})
    assert answer.status == 201, answer
    asked = hss.watched.get(timeout=LIMIT_S)
    assert {path: find(asked, 3122, *path) for path in avps} == avps
    assert find(asked, 3102, 3111) == tracker.id and find(asked, 3122, 3125) == b"scef.dromio.test" and find(asked, 293) is None
    others = {3131, 3129, 3135, 3138, 3172, 3180} - {path[0] for path in avps}
    assert [code for code in others if find(asked, 3122, code) is not None] == []


@pytest.mark.parametrize("code,status", [(5001, 404), (5510, 403), (5511, 403), (5512, 403), (5513, 500), (5101, 403)])
def test_what_one_event_s_status_refuses_is_refused(tracker, hss, code, status):
    hss.verdict = code  # the answer itself says 2001
    answer = tracker.client.post(BASE, {"externalId": tracker.id, "notificationDestination": tracker.sink.link(tracker.path), "maximumNumberOfReports": 9,
                                        "monitoringType": "COMMUNICATION_FAILURE"})
    assert answer.status == status, answer
    hss.watched.get(timeout=LIMIT_S)


def test_the_twin_hears_what_the_network_says(tracker, hss, mme):
    lost = tracker.watched(hss, "LOSS_OF_CONNECTIVITY")
    assert result_of(tell(mme, report(lost, LOSS, v(3162, 2, m=False)))) == 2001  # a serving node says it itself
    assert (tracker.value("attached"), tracker.value("lost")) == (False, 1)
    where = tracker.watched(hss, "ROAMING_STATUS", plmnIndication=True)
    for network, roaming in ((PLMN, 1), (b"\x62\xf2\x10", 0)):
        assert result_of(tell(hss, report(where, ROAMING, v(3139, roaming), v(1407, network)))) == 2001
    assert (tracker.value("attached"), tracker.value("network"), tracker.value("lost")) == (True, "262-01", 1)
    until(lambda: len(tracker.reports()) == 3, "the application's reports")
    assert tracker.reports()[2]["plmnId"] == {"mcc": "262", "mnc": "01"} and tracker.reports()[2]["roamingStatus"] is True
    rows = tracker.rows()  # the newest first
    environment = {**os.environ, "DROMIO_HOST": f"http://127.0.0.1:{tracker.host.http_port}", "DROMIO_TOKEN": tracker.host.admin.token}
    shown = subprocess.run([str(BUILD / "dromio"), "twin", "timeline", tracker.id], capture_output=True, text=True, env=environment, timeout=LIMIT_S).stdout
    assert "LOSS_OF_CONNECTIVITY lossOfConnectReason=2" in shown and "ROAMING_STATUS" in shown and "roamingStatus=true" in shown
    assert [each["said"] for each in rows] == ["event"] * 3 and rows[2]["report"]["lossOfConnectReason"] == 2
    assert rows[0]["report"]["plmnId"] == {"mcc": "262", "mnc": "01"}


def test_a_report_that_is_quicker_than_its_answer_is_not_lost(tracker, hss, mme):
    """A serving node may see the event before the HSS has said that it is watched."""
    early = queue.Queue()
    hss.before = lambda reference: early.put(result_of(tell(mme, report(reference, LOSS))))
    reference = tracker.watched(hss, "LOSS_OF_CONNECTIVITY")
    hss.before = None
    assert early.get(timeout=LIMIT_S) == 3004
    assert result_of(tell(mme, report(reference, LOSS))) == 2001 and tracker.value("lost") == 1


def test_an_event_stream_shows_reports(tracker, hss, as1):
    reference = tracker.watched(hss, "LOCATION_REPORTING", locationType="LAST_KNOWN_LOCATION", maximumNumberOfReports=1)
    with Events(as1, f"?twin={tracker.id}") as stream:
        cell = v(1496, [v(1600, [v(1602, PLMN + b"\x00\xa1\xb2\xc3", m=False)], m=False)], m=False)
        assert result_of(tell(hss, report(reference, LOCATION, cell))) == 2001
        seen = stream.next("dromio.network.v1")["cloud"]["data"]
    assert (seen["said"], seen["report"]["locationInfo"]["cellId"]) == ("event", "001-01-0a1b2c3")
    assert tracker.value("cell") == "001-01-0a1b2c3"
    assert result_of(tell(hss, report(reference, LOCATION))) == UNKNOWN_REFERENCE  # it was for one


def test_a_device_that_can_be_reached_gets_what_waits(tracker, hss, mme, as1, real):
    reference = tracker.watched(hss, "UE_REACHABILITY", reachabilityType="DATA")
    mme.attach(tracker.imsi)
    asleep = threading.Event()

    def sleeps_first(downlink):
        if asleep.is_set():
            return [avp(268, 2001)]
        asleep.set()
        return [avp(297, [avp(266, V3GPP), avp(298, 5653)])]
    mme.on_downlink = sleeps_first
    hss.add(tracker.id, imsi=tracker.imsi)
    made = as1.post("/3gpp-nidd/v1/as1/configurations", {"externalId": tracker.id, "notificationDestination": tracker.sink.link(tracker.path)})
    assert made.status == 201, made
    sent = as1.post(path_of(made.json()["self"]) + "/downlink-data-deliveries", {"externalId": tracker.id, "data": "YQ=="})
    assert sent.status == 201, sent
    until(asleep.is_set, "a device that sleeps")
    assert result_of(tell(mme, report(reference, REACHABILITY, v(3140, 1)))) == 2001
    until(lambda: real.admin.twin(tracker.id)["mailbox"] == 0, "the downlink's end")


def test_an_hss_ends_all_that_it_watches(tracker, hss, as1):
    references = [tracker.watched(hss, kind) for kind in ("LOSS_OF_CONNECTIVITY", "COMMUNICATION_FAILURE")]
    assert result_of(tell(hss, v(3102, [v(3111, tracker.id)]), v(3167, 2, m=False))) == 2001
    until(lambda: [notice.get("cancelInd") for notice in tracker.sink.taken(tracker.path)] == [True, True], "both ends")
    assert all(result_of(tell(hss, report(reference, LOSS))) == UNKNOWN_REFERENCE for reference in references)
    assert as1.get(BASE).json() == [each for each in as1.get(BASE).json() if each["externalId"] != tracker.id]


def test_one_request_may_be_about_several(tracker, hss):
    lost, failed = (tracker.watched(hss, kind) for kind in ("LOSS_OF_CONNECTIVITY", "COMMUNICATION_FAILURE"))
    answer = tell(hss, report(lost, LOSS), report(0x7ff00001, LOSS), report(failed, 5, v(4300, [v(4301, 2)])))
    statuses = [{inner.code: inner.value for inner in item.value} for item in answer.avps if item.code == 3171]
    assert [(each[3124], each.get(268), each.get(298)) for each in statuses] == [(lost, 2001, None), (0x7ff00001, None, UNKNOWN_REFERENCE), (failed, 2001, None)]
    until(lambda: len(tracker.reports()) == 2, "both reports")
    assert {each["monitoringType"] for each in tracker.reports()} == {"LOSS_OF_CONNECTIVITY", "COMMUNICATION_FAILURE"}


@pytest.mark.parametrize("cores", [1, 3])
def test_a_crash_keeps_reports_and_tells_them_once(sink, cores):
    with Host(CALLBACKS, HSS_IS_KNOWN, f"host.cores={cores}") as host:
        assert host.push((BUILD / "examples" / "watched.wasm").read_bytes()).status in (200, 201)
        client = host.application("as1", ["acme.example"], ["monitoring", "read"])
        trackers = [Tracker(host, client, sink) for _ in range(6)]
        with Watcher(host) as hss:
            references = [each.watched(hss, "LOSS_OF_CONNECTIVITY", maximumNumberOfReports=3) for each in trackers]
            assert result_of(tell(hss, *[report(reference, LOSS) for reference in references], end=4711)) == 2001
        host.kill()
        host.start()
        with Watcher(host) as hss:
            assert result_of(tell(hss, *[report(reference, LOSS) for reference in references], end=4711, is_again=True)) == 2001
            assert [each.value("lost") for each in trackers] == [1] * 6
            assert result_of(tell(hss, *[report(reference, LOSS, v(3162, 4, m=False)) for reference in references])) == 2001
            assert [each.value("lost") for each in trackers] == [2] * 6
        for each in trackers:
            until(lambda: each.reports() and each.reports()[-1].get("lossOfConnectReason") == 4, "both reports")
            # What the application answered just before the crash may be told again; it is the same report then.
            assert len({one["eventTime"] for one in each.reports()}) == 2
