"""T8 held against 3GPP's own OpenAPI files (TS 29.122). They are not ours to give away: DROMIO_3GPP_OPENAPI names the
folder that has them, tools/setup --t8 installs what reads them. Collected last: all that the other flow tests
said on T8 in the same run is checked too."""
import base64
import subprocess

import pytest
import t8_record
from host import LIMIT_S, ROOT, thermo_reading, until
from mme import is_asleep
from t8 import CALLBACKS, path_of

SETTINGS = (CALLBACKS, "t8.reliable_data_service=true")

pytestmark = pytest.mark.skipif(not t8_record.is_checked(), reason=t8_record.NOT_CHECKED)


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
    done = subprocess.run([t8_record.TOOLS / "python", ROOT / "tools" / "t8_check.py", t8_record.FOLDER, t8_record.path()], capture_output=True, text=True, timeout=LIMIT_S * 5)
    assert done.returncode == 0, done.stderr
    assert "NiddUplinkDataNotification" in done.stdout and "3gpp-nidd POST /{scsAsId}/configurations 201" in done.stdout
