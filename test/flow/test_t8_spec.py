"""T8 held against 3GPP's own OpenAPI files (TS 29.122). They are not ours to give away: DROMIO_3GPP_OPENAPI names the
folder that has them, tools/setup --t8 installs what reads them. Collected last: all that the other flow tests
said on T8 in the same run is checked too."""
import base64
import os
import pathlib
import subprocess

import pytest
import t8_record
from host import LIMIT_S, ROOT, thermo_reading, until
from mme import is_asleep
from t8 import CALLBACKS, path_of

SETTINGS = (CALLBACKS, "t8.reliable_data_service=true")

TOOLS = pathlib.Path(os.environ.get("DROMIO_DEPS", pathlib.Path.home() / ".cache/dromio/deps")) / "venv-t8" / "bin"
PYTHON, SCHEMATHESIS = TOOLS / "python", TOOLS / "st"

pytestmark = [
    pytest.mark.skipif(t8_record.FOLDER is None, reason="3GPP's OpenAPI files are not here: DROMIO_3GPP_OPENAPI"),
    pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="tools/setup --t8 was not run"),
]


def test_requests_answers_and_notifications_are_as_3gpp_says(real, sink, mme, names):
    as1 = real.application("spec", ["acme.example"], ["nidd"])
    base = "/3gpp-nidd/v1/spec/configurations"
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi, msisdn="4915112345678")
    mme.attach(imsi)
    for identity in ({"externalId": name}, {"msisdn": "4915112345678"}):
        made = as1.post(base, {**identity, "notificationDestination": sink.link("/spec"), "requestTestNotification": True, "supportedFeatures": "3",
                               "mtcProviderId": "m", "pdnEstablishmentOption": "WAIT_FOR_UE", "websockNotifConfig": {"requestWebsocketUri": False}})
        assert made.status == 201, made
    at = path_of(made.json()["self"])
    mme.uplink(imsi, thermo_reading(1))
    downlink = {"msisdn": "4915112345678", "data": base64.b64encode(b"\x82\x05").decode(), "maximumLatency": 60, "priority": 1}
    deliveries = at + "/downlink-data-deliveries"
    assert as1.post(deliveries, downlink).status == 200
    asleep = is_asleep()
    mme.on_downlink = lambda downlink: asleep
    waiting = as1.post(deliveries, downlink)
    assert waiting.status in (200, 201), waiting
    for path in (base, at, deliveries, base + "/0123456789abcdef"):
        as1.get(path)
    as1.request("PATCH", at, {"duration": "2035-01-01T00:00:00Z", "reliableDataService": None})
    as1.post(base, {"externalId": name})
    until(lambda: len(sink.taken("/spec")) >= 4, "notifications")
    as1.delete(at)
    done = subprocess.run([PYTHON, ROOT / "tools" / "t8_check.py", t8_record.FOLDER, t8_record.path()], capture_output=True, text=True, timeout=LIMIT_S * 5)
    assert done.returncode == 0, done.stderr
    assert "NiddUplinkDataNotification" in done.stdout and "POST /{scsAsId}/configurations 201" in done.stdout


# What the file allows and this host refuses: an empty string is no URI and no identifier.
SLEEPER = """
[[operations]] # 500 is what TS 29.122 says of a downlink for now only to a device that sleeps
include-path-regex = "downlinkDataDeliveryId"
checks.not_a_server_error.enabled = false
"""
LEFT_OUT = ["--exclude-checks", "positive_data_acceptance"]


@pytest.mark.parametrize("which", [["--exclude-method", "DELETE"], ["--include-method", "DELETE"]], ids=["others", "delete"])
def test_schemathesis_finds_nothing(real, sink, names, tmp_path, which):
    scs_as = "others" if "--exclude-method" in which else "delete"
    as1 = real.application(scs_as, ["acme.example"], ["nidd"])
    name, imsi = next(names)
    real.admin.put_twin(name, imsi=imsi)
    base = f"/3gpp-nidd/v1/{scs_as}/configurations"
    configuration = as1.post(base, {"externalId": name, "notificationDestination": sink.link("/st"), "reliableDataService": True}).json()["self"].rsplit("/", 1)[1]
    delivery = as1.post(f"{base}/{configuration}/downlink-data-deliveries", {"externalId": name, "data": "AAAA"}).json()["self"].rsplit("/", 1)[1]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(f'[parameters]\n"path.scsAsId" = "{scs_as}"\n"path.configurationId" = "{configuration}"\n'
                        f'"path.downlinkDataDeliveryId" = "{delivery}"\n{SLEEPER}')
    done = subprocess.run([SCHEMATHESIS, "--config-file", settings, "run", t8_record.FOLDER / "TS29122_NIDD.yaml", "--url",
                           f"http://127.0.0.1:{real.http_port}/3gpp-nidd/v1", "--phases", "examples,coverage", "--seed", "1", "--no-color",
                           "-H", f"Authorization: Bearer {as1.token}", *LEFT_OUT, *which],
                          capture_output=True, text=True, timeout=LIMIT_S * 3, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert real.is_healthy()
