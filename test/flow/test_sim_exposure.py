"""What applications have of a network over T8, with dromio-sim as that network: monitoring over its HSS and MMEs,
triggers over its MTC-IWF, parameters that become timers of devices."""
import base64
import contextlib
import json
import signal
import subprocess

import pytest
from host import BUILD, LIMIT_S, Host, end_with_parent, until
from sink import Sink
from t8 import CALLBACKS

DEVICES = 3
SLEEPY = ["--period", "300", "--active", "10", "--speed", "150", "--edrx", "0"]  # awake for 0.3 of 2 seconds
MONITORING = "/3gpp-monitoring-event/v1/as1/subscriptions"
PARAMETERS = "/3gpp-network-parameter-configuration/v1/as1/configurations"
TRIGGERS = "/3gpp-device-triggering/v1/as1/transactions"


class Network:
    """A dromio-sim that is running; `end` gives its summary."""

    def __init__(self, host, *options):
        self.process = subprocess.Popen([str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{host.diameter_port}", "--devices", str(DEVICES),
                                         *SLEEPY, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        preexec_fn=end_with_parent)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=LIMIT_S * 3)
        assert self.process.returncode == 0
        return json.loads(out)

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def network(host):
    with contextlib.ExitStack() as stack:
        def start(*options):
            made = Network(host, *options)
            stack.callback(made.close)
            roles = lambda: {role for peer in host.admin.get("/v1/peers").json()["peers"] if peer["state"] == "open" for role in peer["roles"]}  # noqa: E731
            wanted = {"mme"} | ({"hss"} if "--hss" in options else set()) | ({"mtc-iwf"} if "--iwf" in options else set())
            until(lambda: wanted <= roles(), f"connections of {wanted}")
            return made
        yield start


@pytest.fixture(scope="module")
def host():
    with Host(CALLBACKS) as made:
        for number in range(1, DEVICES + 1):
            made.admin.put_twin(f"thermo-{number}@demo.example", model="acme/thermo", imsi=f"{1010000000000 + number:015}")
        yield made


@pytest.fixture(scope="module")
def as1(host):
    return host.application("as1", ["demo.example"], ["monitoring", "trigger", "parameters", "read"])


@pytest.fixture
def sink():
    with Sink() as made:
        yield made


def told(sink, path, kind):
    return [report for notice in sink.taken(path) for report in notice.get("monitoringEventReports", []) if report["monitoringType"] == kind]


def subscribe(as1, sink, path, kind, **members):
    wanted = {"externalId": "thermo-1@demo.example", "notificationDestination": sink.link(path), "monitoringType": kind, **members}
    answer = as1.post(MONITORING, {name: value for name, value in wanted.items() if value is not None})
    assert answer.status == 201, answer
    return answer


def test_an_application_hears_that_a_device_wakes_up(network, as1, sink):
    run = network("--hss", "1")
    subscribe(as1, sink, "/awake", "UE_REACHABILITY", reachabilityType="DATA", maximumNumberOfReports=3)
    until(lambda: len(told(sink, "/awake", "UE_REACHABILITY")) == 3, "three reports")
    assert all(report["reachabilityType"] == "DATA" for report in told(sink, "/awake", "UE_REACHABILITY"))
    summary = run.end()
    assert summary["monitoring"] == 1 and summary["reports"] == summary["reports_taken"] == 3


def test_reachability_for_sms_is_told_as_such(network, as1, sink):
    network("--hss", "1")
    subscribe(as1, sink, "/sms", "UE_REACHABILITY", reachabilityType="SMS", maximumNumberOfReports=1)
    until(lambda: told(sink, "/sms", "UE_REACHABILITY"), "a report")
    assert {report["reachabilityType"] for report in told(sink, "/sms", "UE_REACHABILITY")} == {"SMS"}


def test_what_else_the_network_sees_is_told(network, as1, sink):
    run = network("--hss", "1", "--restart", "0.5", "--exchange", "1", "--loss", "0.5")
    kinds = {"PDN_CONNECTIVITY_STATUS": {}, "COMMUNICATION_FAILURE": {}, "CHANGE_OF_IMSI_IMEI_ASSOCIATION": {"associationType": "IMEI"}}
    for kind, members in kinds.items():
        subscribe(as1, sink, "/" + kind, kind, maximumNumberOfReports=100, **members)
    for kind in kinds:
        until(lambda: told(sink, "/" + kind, kind), kind)
    connection = told(sink, "/PDN_CONNECTIVITY_STATUS", "PDN_CONNECTIVITY_STATUS")[0]["pdnConnInfoList"][0]
    assert (connection["apn"], connection["pdnType"], connection["interfaceInd"]) == ("iot", "NON_IP", "EXPOSURE_FUNCTION")
    assert told(sink, "/COMMUNICATION_FAILURE", "COMMUNICATION_FAILURE")[0]["failureCause"]["s1ApCause"] == 21
    assert told(sink, "/CHANGE_OF_IMSI_IMEI_ASSOCIATION", "CHANGE_OF_IMSI_IMEI_ASSOCIATION")[0]["imeiChange"] == "IMEI"
    assert run.end()["reports_unknown"] == 0


def test_an_application_hears_of_a_device_that_is_lost(network, as1, sink):
    run = network("--hss", "1", "--lose", "7200", "--lost", "4")
    subscribe(as1, sink, "/lost", "LOSS_OF_CONNECTIVITY", maximumDetectionTime=1, maximumNumberOfReports=100)
    until(lambda: told(sink, "/lost", "LOSS_OF_CONNECTIVITY"), "its loss")
    assert told(sink, "/lost", "LOSS_OF_CONNECTIVITY")[0]["lossOfConnectReason"] == 2  # MAX_DETECTION_TIME_EXPIRED_MME
    assert run.end()["reports_unknown"] == 0


def test_reports_about_a_group_s_members_are_told_together(network, as1, sink):
    run = network("--hss", "1")
    subscribe(as1, sink, "/group", "UE_REACHABILITY", reachabilityType="DATA", maximumNumberOfReports=1, groupReportGuardTime=1,
              externalId=None, externalGroupId="all@demo.example")
    everybody = {f"thermo-{number}@demo.example" for number in range(1, DEVICES + 1)}
    until(lambda: {report["externalId"] for report in told(sink, "/group", "UE_REACHABILITY")} == everybody, "all members")
    assert run.end()["reports_taken"] == DEVICES


def test_no_report_is_lost_with_the_host(sink):
    """The network sends again what was not answered, and what was answered has been kept."""
    with Host(CALLBACKS) as own:
        own.admin.put_twin("thermo-1@demo.example", model="acme/thermo", imsi=f"{1010000000001:015}")
        application = own.application("as1", ["demo.example"], ["monitoring", "read"])
        run = Network(own, "--hss", "1")
        try:
            until(lambda: application.get("/v1/peers").json()["peers"] and "hss" in str(own.admin.get("/v1/peers").json()), "the HSS")
            subscribe(application, sink, "/kept", "UE_REACHABILITY", reachabilityType="DATA", maximumNumberOfReports=4)
            for count in (1, 2):
                until(lambda: len(told(sink, "/kept", "UE_REACHABILITY")) >= count, f"{count} reports")
                own.kill()
                own.start()
            times = lambda: {report["eventTime"] for report in told(sink, "/kept", "UE_REACHABILITY")}  # noqa: E731
            until(lambda: len(times()) == 4, "all reports")
            assert run.end()["reports_unknown"] == 0
        finally:
            run.close()


def test_where_a_device_is_is_told_at_once(network, as1, sink):
    network("--hss", "1")
    answer = as1.post(MONITORING, {"externalId": "thermo-2@demo.example", "notificationDestination": sink.link("/where"),
                                   "monitoringType": "LOCATION_REPORTING", "locationType": "LAST_KNOWN_LOCATION", "maximumNumberOfReports": 1})
    assert answer.status in (200, 201), answer
    report = answer.json().get("monitoringEventReport", answer.json())
    assert report["locationInfo"]["cellId"].startswith("001-01-"), answer


def test_a_subscription_that_ends_ends_at_the_network(network, as1, sink):
    run = network("--hss", "1")
    answer = subscribe(as1, sink, "/ends", "UE_REACHABILITY", reachabilityType="DATA", maximumNumberOfReports=1000)
    until(lambda: told(sink, "/ends", "UE_REACHABILITY"), "a report")
    link = answer.headers["Location"]
    assert as1.delete(link[link.index("/3gpp"):]).status in (200, 204)
    until(lambda: run.process.poll() is None, "the network")
    summary = run.end()
    assert summary["monitoring_removed"] + summary["reports_unknown"] >= 1


def test_a_trigger_makes_a_sleeping_device_connect(network, as1, sink):
    run = network("--iwf")
    answer = as1.post(TRIGGERS, {"externalId": "thermo-3@demo.example", "validityPeriod": 60, "priority": "NO_PRIORITY", "applicationPortId": 5,
                                 "triggerPayload": base64.b64encode(b"wake up").decode(), "notificationDestination": sink.link("/trigger")})
    assert answer.status == 201 and answer.json()["deliveryResult"] == "TRIGGERED", answer
    until(lambda: [notice.get("result") for notice in sink.taken("/trigger")] == ["SUCCESS"], "its outcome")
    summary = run.end()
    assert summary["triggers"] == summary["triggers_delivered"] == summary["outcomes_taken"] == 1


def test_parameters_of_an_application_become_timers_of_a_device(network, as1):
    """That the device wakes as often as they say is test_sim_monitoring.py's."""
    run = network("--hss", "1")
    answer = as1.post(PARAMETERS, {"externalId": "thermo-2@demo.example", "maximumLatency": 60, "maximumResponseTime": 2})
    assert answer.status == 201, answer
    assert run.end()["timers_set"] == 1
