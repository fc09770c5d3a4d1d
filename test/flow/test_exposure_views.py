"""What applications have at a device over T8 beside NIDD, as an operator sees it: /v1/twins/{id}/exposures and the command line."""
import json
import os
import subprocess

import pytest
from host import BUILD, LIMIT_S, Host
from t8 import CALLBACKS, b64, path_of
from trigger import SUCCESS, MtcIwf

SETTINGS = (CALLBACKS,)
MEMBERS = ("validityPeriod=3600", "priority=PRIORITY", "applicationPortId=4711", f"triggerPayload={b64(b'wake up')}")


@pytest.fixture(scope="module")
def real():
    with Host(*SETTINGS) as host:
        yield host


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["trigger", "read"])


@pytest.fixture(scope="module")
def as2(real):
    return real.application("as2", ["acme.example"], ["trigger", "read"])


@pytest.fixture
def iwf(real):
    with MtcIwf(real) as peer:
        yield peer


def dromio(host, *words, token=None, code=0):
    environment = {**os.environ, "DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN": token or host.admin.token}
    run = subprocess.run([str(BUILD / "dromio"), *words], capture_output=True, text=True, env=environment, timeout=LIMIT_S)
    assert run.returncode == code, run
    return run


def send(host, client, name, app="as1"):
    return json.loads(dromio(host, "trigger", "send", name, "--app", app, "--notify", "http://127.0.0.1:9/", *MEMBERS, "-o", "json", token=client.token).stdout)


def test_a_device_shows_what_each_application_has(real, as1, as2, iwf):
    real.admin.put_twin("v1@acme.example")
    assert real.admin.get("/v1/twins/v1@acme.example/exposures").json() == {"exposures": [], "more": False}
    first, second = send(real, as1, "v1@acme.example"), send(real, as2, "v1@acme.example", "as2")
    shown = real.admin.get("/v1/twins/v1@acme.example/exposures").json()["exposures"]
    assert [(each["api"], each["application"]) for each in shown] == [("3gpp-device-triggering", "as1"), ("3gpp-device-triggering", "as2")]
    assert [each["resource"] for each in shown] == [as1.get(path_of(first["self"])).json(), as2.get(path_of(second["self"])).json()]
    assert [each["application"] for each in as2.get("/v1/twins/v1@acme.example/exposures").json()["exposures"]] == ["as2"]
    assert real.admin.get("/v1/twins/nobody@acme.example/exposures").status == 404
    other = real.application("as3", ["other.example"], ["read"])
    assert other.get("/v1/twins/v1@acme.example/exposures").status == 404


def test_triggers_are_sent_listed_shown_and_removed(real, as1, iwf):
    real.admin.put_twin("v2@acme.example")
    made = send(real, as1, "v2@acme.example")
    asked = iwf.asked.get(timeout=LIMIT_S)
    while asked.name != "v2@acme.example":
        asked = iwf.asked.get(timeout=LIMIT_S)
    assert asked.payload == b"wake up" and made["deliveryResult"] == "TRIGGERED"
    number = made["self"].rsplit("/", 1)[1]
    of_device = dromio(real, "trigger", "list", "v2@acme.example").stdout
    assert number in of_device and "as1" in of_device and "TRIGGERED" in of_device
    [line] = dromio(real, "trigger", "list", "v2@acme.example", "-o", "ndjson").stdout.splitlines()
    assert json.loads(line) == made
    assert made in json.loads(dromio(real, "trigger", "list", "--app", "as1", "-o", "json", token=as1.token).stdout)
    iwf.tell(asked.reference, SUCCESS)
    shown = json.loads(dromio(real, "trigger", "show", number, "--app", "as1", "-o", "json", token=as1.token).stdout)
    assert shown == {**made, "deliveryResult": "SUCCESS"}
    dromio(real, "trigger", "remove", number, "--app", "as1", token=as1.token)
    dromio(real, "trigger", "show", number, "--app", "as1", token=as1.token, code=3)
    assert dromio(real, "trigger", "list", "v2@acme.example").stdout == ""
    assert "--app as1" in dromio(real, "monitoring", "list", "as1", code=2).stderr
    assert "no monitoring subscriptions" in dromio(real, "monitoring", "list", "v2@acme.example").stderr
    assert json.loads(dromio(real, "parameters", "list", "v2@acme.example", "-o", "json").stdout) == []


def test_what_cannot_be_asked_for_is_said(real, as1):
    for words in (("trigger", "list"), ("trigger", "list", "v2@acme.example", "--app", "as1"), ("monitoring", "show", "1"),
                  ("monitoring", "add", "v2@acme.example", "monitoringType", "--app", "as1")):
        dromio(real, *words, code=2)
    wrong = dromio(real, "monitoring", "add", "v2@acme.example", "--app", "as1", "monitoringType=NOTHING", token=as1.token, code=5)
    assert wrong.stdout == ""
    assert "notificationDestination is missing" in dromio(real, "monitoring", "add", "v2@acme.example", "--app", "as1", "monitoringType=NOTHING", code=1).stderr
