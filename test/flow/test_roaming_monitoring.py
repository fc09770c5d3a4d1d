"""Monitoring of devices that roam, with nothing between but real programs: dromio-sim's MMEs report (T6a) to a dromiod as IWK-SCEF
of the visited network, which leads them (T7) to another one, the home SCEF; its HSS is dromio-sim's too."""
import json
import shutil
import signal
import subprocess

import pytest
from host import BUILD, EVERY_HOST, LIMIT_S, Host, end_with_parent, until
from mme import Mme, result_of
from scef import RIR, report, t6ai
from sink import Sink
from t8 import CALLBACKS, path_of
from test_roaming_hosts import FIRST, HOME, VISITED, Line, Pair

pytestmark = pytest.mark.skipif(any(setting.startswith("host.gates=") for setting in EVERY_HOST), reason="an IWK-SCEF has one gate")
SCEF = f"scef1.{HOME}"
BASE = "/3gpp-monitoring-event/v1/as1/subscriptions"
SLEEPY = ["--period", "300", "--active", "10", "--speed", "60", "--edrx", "0"]  # awake for 0.3 of 5 seconds
LOST = ["--lose", "7200", "--lost", "4"]
LOSS, LOCATION, UNKNOWN_REFERENCE, NO_AGREEMENT = 0, 2, 5515, 5101


@pytest.fixture
def pair():
    with Host(f'host.identity="{SCEF}"', f'host.realm="{HOME}"', CALLBACKS) as home:
        home.push((BUILD / "examples" / "watched.wasm").read_bytes())
        line = Line(home.diameter_port)
        peer = f'{{identity="{SCEF}",realm="{HOME}",address="127.0.0.1:{line.port}",applications=["t6a"]}}'
        with Host(f'host.identity="iwk.{VISITED}"', f'host.realm="{VISITED}"', f"diameter.peers=[{peer}]", 'interworking.plmn="00101"',
                  'interworking.homes=[{plmn="99970",reports=["loss_of_connectivity","ue_reachability"]}]', thermo=False) as iwk:
            iwk.realm = VISITED
            made = Pair(home, iwk, line)
            until(made.is_joined, "the two to meet")
            yield made
            assert "9997000" not in home.log() + iwk.log(), "an IMSI was logged"
        line.close()


@pytest.fixture
def sink():
    with Sink() as made:
        yield made


class Network:
    """A dromio-sim: its MMEs at the IWK-SCEF, its HSS at the home SCEF. `end` gives its summary."""

    def __init__(self, pair, *options):
        self.process = subprocess.Popen(
            [str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{pair.iwk.diameter_port}", "--imsi-first", str(FIRST), "--realm", VISITED,
             "--plmn", "00101", "--identity", f"mme.{VISITED}", "--devices", "1", "--hss", "1", "--hss-connect", f"127.0.0.1:{pair.home.diameter_port}",
             "--hss-realm", HOME, "--hss-names", "roamer-%@acme.example", *SLEEPY, *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent)
        until(lambda: any("hss" in peer["roles"] and peer["state"] == "open" for peer in pair.home.admin.get("/v1/peers").json()["peers"]), "the HSS")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0
        return json.loads(out)


class Watched:
    """A device that roams, and what its application is told of it."""

    id = "roamer-1@acme.example"

    def __init__(self, pair, sink):
        self.home, self.sink = pair.home, sink
        assert pair.home.admin.put(f"/v1/twins/{self.id}", {"model": "acme/watched", "imsi": str(FIRST)}).status == 201
        self.application = pair.home.application("as1", ["acme.example"], ["monitoring", "read"])

    def subscribe(self, kind, **members):
        answer = self.application.post(BASE, {"externalId": self.id, "notificationDestination": self.sink.link(), "monitoringType": kind,
                                              "maximumNumberOfReports": 10000, **members})
        assert answer.status == 201, answer
        return path_of(answer.json()["self"])

    def told(self, kind):
        every = [report for notice in self.sink.taken("/notify") for report in notice.get("monitoringEventReports", [])]
        return [each for each in every if each["monitoringType"] == kind]

    def value(self, name):
        return self.home.admin.value(self.id, name)


def went_up(pair, how):
    """Requests that an IWK-SCEF led to the home network."""
    lines = [line for line in pair.iwk.metrics().splitlines() if line.startswith(f'dromio_interworking_{how}_total{{home="99970",direction="up"')]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)


def test_a_loss_and_a_contact_abroad_reach_the_application_and_the_twin(pair, sink):
    device = Watched(pair, sink)
    with Network(pair, *LOST) as network:
        device.subscribe("LOSS_OF_CONNECTIVITY", maximumDetectionTime=1)
        device.subscribe("UE_REACHABILITY", reachabilityType="DATA")
        until(lambda: device.told("LOSS_OF_CONNECTIVITY"), "its loss")
        seen = len(device.told("UE_REACHABILITY"))
        until(lambda: len(device.told("UE_REACHABILITY")) > seen, "its return")
        summary = network.end()
    assert device.told("LOSS_OF_CONNECTIVITY")[0]["lossOfConnectReason"] == 2  # MAX_DETECTION_TIME_EXPIRED_MME
    assert device.told("UE_REACHABILITY")[0]["reachabilityType"] == "DATA"
    until(lambda: device.value("lost") == len(device.told("LOSS_OF_CONNECTIVITY")), "the twin's word of each loss")
    events = pair.home.admin.get(f"/v1/twins/{device.id}/timeline").json()["events"]
    said = [row["network_report"]["report"] for row in events if "network_report" in row]
    assert {"lossOfConnectReason", "reachabilityType"} <= {member for each in said for member in each}
    assert summary["reports"] == summary["reports_taken"] > 1 and summary["reports_unknown"] == 0
    assert pair.home.admin.get(f"/v1/twins/{device.id}").json()["connection"]["via"] == f"iwk.{VISITED}"
    until(lambda: len(device.told("UE_REACHABILITY")) + len(device.told("LOSS_OF_CONNECTIVITY")) == summary["reports_taken"], "each report once")


@pytest.mark.parametrize("who", ["iwk", "home"])
def test_no_report_is_lost_or_told_twice_when_one_of_them_is_killed(pair, sink, who):
    device = Watched(pair, sink)
    killed = pair.iwk if who == "iwk" else pair.home
    with Network(pair, "--period", "60") as network:  # a contact each second
        device.subscribe("UE_REACHABILITY", reachabilityType="DATA")
        for _ in range(3):
            seen = len(device.told("UE_REACHABILITY"))
            until(lambda: len(device.told("UE_REACHABILITY")) > seen + 1, "reports")
            killed.kill()
            killed.start()
            until(pair.is_joined, "the two to meet again")
        seen = len(device.told("UE_REACHABILITY"))
        until(lambda: len(device.told("UE_REACHABILITY")) > seen + 1, "reports after all that")
        summary = network.end()
    assert summary["reports"] == summary["reports_taken"] and summary["reports_unknown"] == 0
    moments = lambda: {each["eventTime"] for each in device.told("UE_REACHABILITY")}  # noqa: E731  a killed home may tell one anew
    until(lambda: len(moments()) == summary["reports_taken"], "each report")
    assert who == "home" or len(device.told("UE_REACHABILITY")) == summary["reports_taken"]


def test_an_unknown_reference_is_refused_all_the_way(pair):
    with Mme(pair.iwk, f"mme7.{VISITED}", VISITED) as mme:
        assert result_of(t6ai(mme, RIR, report(4711, SCEF, LOSS))) == UNKNOWN_REFERENCE
        assert result_of(t6ai(mme, RIR, report(4711, SCEF, LOCATION))) == NO_AGREEMENT  # the visited network's own word


def test_a_home_that_knows_less_than_its_network_ends_what_it_does_not_know(pair, sink, tmp_path):
    """It was restored to a time before the subscription: the MME hears 5515 through the IWK-SCEF and forgets the event."""
    device = Watched(pair, sink)
    assert pair.home.stop() == 0
    shutil.copytree(pair.home.data, tmp_path / "before", symlinks=True)
    pair.home.start()
    until(pair.is_joined, "the two to meet again")
    with Network(pair, "--period", "60") as network:
        gone = device.subscribe("UE_REACHABILITY", reachabilityType="DATA")
        until(lambda: device.told("UE_REACHABILITY"), "a report")
        pair.home.kill()
        shutil.rmtree(pair.home.data)
        shutil.copytree(tmp_path / "before", pair.home.data, symlinks=True)
        pair.home.start()
        assert device.application.get(gone).status == 404
        refused = lambda: went_up(pair, "answered") - went_up(pair, "succeeded")  # noqa: E731
        until(refused, "a refusal by the home network")
        before = 0
        for _ in range(2):  # those that were under way, then none
            readings, before = pair.turns(), refused()
            until(lambda: pair.turns() > readings + 2, "the device to go on")
        assert refused() == before
        assert 1 <= network.end()["reports_unknown"] <= before  # a reading may be refused too, until the device is known to be connected
