"""What schemathesis makes of 3GPP's own OpenAPI files (TS 29.122, TS 29.222) is sent to a host: its answers are as the files
say, whatever is asked. The files are not ours to give away: DROMIO_3GPP_OPENAPI names the folder that has them, tools/setup
--t8 installs what reads them."""
import subprocess

import pytest
import t8_record
from host import BUILD, LIMIT_S, Host, until
from t8 import CALLBACKS

SETTINGS = (CALLBACKS, "t8.reliable_data_service=true")

pytestmark = pytest.mark.skipif(not t8_record.is_checked(), reason=t8_record.NOT_CHECKED)

# What the file allows and this host refuses: an empty string is no URI and no identifier.
SLEEPER = """
[[operations]] # 500 is what TS 29.122 says of a downlink for now only to a device that sleeps
include-path-regex = "downlinkDataDeliveryId"
checks.not_a_server_error.enabled = false
"""
LEFT_OUT = ["--exclude-checks", "positive_data_acceptance"]
OTHERS_AND_DELETE = pytest.mark.parametrize("which", [["--exclude-method", "DELETE"], ["--include-method", "DELETE"]], ids=["others", "delete"])


def schemathesis_finds_nothing(host, directory, api, token, which, names, more=""):
    settings = directory / "schemathesis.toml"
    settings.write_text("[parameters]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in names.items()) + more)
    done = subprocess.run([t8_record.TOOLS / "st", "--config-file", settings, "run", t8_record.FOLDER / t8_record.FILES[api], "--url",
                           f"http://127.0.0.1:{host.http_port}/{api}/v1", "--phases", "examples,coverage", "--seed", "1", "--no-color",
                           "-H", f"Authorization: Bearer {token}", *LEFT_OUT, *which],
                          capture_output=True, text=True, timeout=LIMIT_S * 6, cwd=directory)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert host.is_healthy()


@OTHERS_AND_DELETE
def test_schemathesis_finds_nothing(real, sink, names, tmp_path, which):
    scs_as = "others" if "--exclude-method" in which else "delete"
    as1 = real.application(scs_as, ["acme.example"], ["nidd"])
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    base = f"/3gpp-nidd/v1/{scs_as}/configurations"
    configuration = as1.post(base, {"externalId": name, "notificationDestination": sink.link("/st"), "reliableDataService": True}).json()["self"].rsplit("/", 1)[1]
    delivery = as1.post(f"{base}/{configuration}/downlink-data-deliveries", {"externalId": name, "data": "AAAA"}).json()["self"].rsplit("/", 1)[1]
    schemathesis_finds_nothing(real, tmp_path, "3gpp-nidd", as1.token, which, {"path.scsAsId": scs_as, "path.configurationId": configuration,
                                                                               "path.downlinkDataDeliveryId": delivery}, SLEEPER)


# ---- the other APIs of T8, with a network of dromio-sim ----

DEVICE = "thermo-1@demo.example"
OTHERS = {  # api: scope, collection, name of its member in paths, a body that makes one
    "3gpp-monitoring-event": ("monitoring", "subscriptions", "subscriptionId", {"externalId": DEVICE, "monitoringType": "ROAMING_STATUS",
                                                                                "maximumNumberOfReports": 5}),
    "3gpp-device-triggering": ("trigger", "transactions", "transactionId", {"externalId": DEVICE, "validityPeriod": 3600, "priority": "PRIORITY",
                                                                            "applicationPortId": 4711, "triggerPayload": "AQID"}),
    "3gpp-cp-parameter-provisioning": ("parameters", "subscriptions", "subscriptionId", {"externalId": DEVICE, "cpParameterSets": {
        "set1": {"setId": "set1", "periodicCommunicationIndicator": "PERIODICALLY", "periodicTime": 3600}}}),
    "3gpp-network-parameter-configuration": ("parameters", "configurations", "configurationId", {"externalId": DEVICE, "maximumLatency": 60}),
}


@pytest.fixture(scope="module")
def network():
    """A host, its devices, and a network that answers what it asks."""
    with Host(CALLBACKS, 't8.trigger_sender="4930123456"') as host:
        for number in (1, 2, 3):
            host.admin.put_twin(f"thermo-{number}@demo.example", imsi=f"00101000000000{number}", msisdn=f"49151123456{number}")
        sim = subprocess.Popen([BUILD / "dromio-sim", "--connect", f"127.0.0.1:{host.diameter_port}", "--devices", "3", "--hss", "1", "--iwf"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: len(host.admin.get("/v1/peers").json()["peers"]) >= 3, "the network")
            yield host
        finally:
            sim.terminate()
            sim.wait()


@OTHERS_AND_DELETE
@pytest.mark.parametrize("api", OTHERS)
def test_schemathesis_finds_nothing_in_other_apis(network, sink, tmp_path, api, which):
    scope, collection, member, body = OTHERS[api]
    scs_as = f"{api}-{'others' if '--exclude-method' in which else 'delete'}"
    as1 = network.application(scs_as, ["demo.example"], [scope])
    made = as1.post(f"/{api}/v1/{scs_as}/{collection}", {"notificationDestination": sink.link("/st"), **body})
    assert made.status == 201, made
    names = {"path.scsAsId": scs_as, f"path.{member}": made.headers["Location"].rsplit("/", 1)[1], "path.setId": "set1"}
    schemathesis_finds_nothing(network, tmp_path, api, as1.token, which, names)


def test_schemathesis_finds_nothing_in_enhanced_coverage_restriction(network, tmp_path):
    as1 = network.application("ecr", ["demo.example"], ["parameters"])
    asked = as1.post("/3gpp-ecr-control/v1/query", {"externalId": DEVICE, "supportedFeatures": "0"})
    assert asked.status == 200, asked
    schemathesis_finds_nothing(network, tmp_path, "3gpp-ecr-control", as1.token, [], {})


# ---- CAPIF ----

BUT_DELETE, DELETE, GET = ["--exclude-method", "DELETE"], ["--include-method", "DELETE"], ["--include-method", "GET"]


@pytest.mark.parametrize("api, which", [("service-apis", GET), ("published-apis", GET), ("api-invoker-management", BUT_DELETE), ("api-invoker-management", DELETE),
                                        ("capif-security", BUT_DELETE), ("capif-security", DELETE), ("aef-security", BUT_DELETE)], ids=lambda part: part if isinstance(part, str) else "-".join(part).strip("-"))
def test_schemathesis_finds_nothing_in_capif(real, tmp_path, api, which):
    """As the administrator, who may do what an invoker may with itself; nobody but the host publishes with it."""
    name = f"{api}-{'-'.join(which).strip('-').lower()}"
    invoker = real.application(name, ["acme.example"], ["nidd"])
    enrolled = invoker.post("/api-invoker-management/v1/onboardedInvokers", {"onboardingInformation": {"apiInvokerPublicKey": "key"},
                                                                             "notificationDestination": "http://as.example/capif"})
    assert enrolled.status == 201, enrolled
    security = {"securityInfo": [{"aefId": "scef.dromio.test", "prefSecurityMethods": ["OAUTH"]}], "notificationDestination": "http://as.example/capif"}
    assert real.admin.put(f"/capif-security/v1/trustedInvokers/{name}", security).status == 201
    names = {"path.apiInvokerId": name, "path.onboardingId": name, "path.securityId": name, "path.apfId": "scef.dromio.test", "path.serviceApiId": "3gpp-nidd",
             "query.api-invoker-id": name}
    only_read = "[checks]\nallow_header_conformance.enabled = false\n" if which == GET else ""  # Allow has GET alone
    schemathesis_finds_nothing(real, tmp_path, api, real.admin.token, which, names, only_read)
