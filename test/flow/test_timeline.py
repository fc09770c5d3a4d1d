"""What a twin went through: timeline, history, Thing Description."""
from host import thermo_period, thermo_reading, until
from mme import UPDATE, result_of

import pytest


def timeline(device, query=""):
    answer = device.host.admin.get(f"/v1/twins/{device.id}/timeline{query}")
    assert answer.status == 200, answer
    return answer.json()["events"]


def history(device, name, query=""):
    answer = device.host.admin.get(f"/v1/twins/{device.id}/history?property={name}{query}")
    assert answer.status == 200, answer
    return answer.json()


def test_the_timeline_shows_frames_effects_time_and_cost(mme, thermometer):
    device = thermometer()
    device.uplink(thermo_reading(1, 21.5))
    device.write("period", 600)
    newest, uplink, made = timeline(device)
    assert (newest["kind"], newest["id"], newest["downlinks"]) == ("property_write", "period", ["810258"])
    assert (uplink["kind"], uplink["outcome"], uplink["frame"]) == ("uplink", "handled", thermo_reading(1, 21.5).hex())
    assert uplink["properties"]["temperature"] == 21.5 and uplink["cpu_micros"] > 0
    assert made["kind"] == "created" and made["frame"] is None
    assert newest["time"] >= uplink["time"] >= made["time"]


def test_newest_first_and_limited(thermometer):
    device = thermometer()
    for number in range(30):
        device.uplink(thermo_reading(number, number))
    assert len(timeline(device)) == 20
    assert [event["properties"]["temperature"] for event in timeline(device, "?limit=5")] == [29, 28, 27, 26, 25]
    assert len(timeline(device, "?limit=200")) == 31
    assert device.host.admin.get(f"/v1/twins/{device.id}/timeline?limit=-1").status == 400


def test_notifications_are_in_it(thermometer):
    device = thermometer()
    device.write("limit", 20)
    device.uplink(thermo_reading(1, 25.0))
    [newest] = timeline(device, "?limit=1")
    assert newest["notifications"] == [{"event": "too_hot", "value": 25}] and newest["downlinks"] == ["81003c"]


def test_history(thermometer):
    device = thermometer()
    for number in range(12):
        device.uplink(thermo_reading(number, 20 + number))
    told = history(device, "temperature")
    assert (told["property"], told["unit"]) == ("temperature", "Cel")
    assert [value["value"] for value in told["values"]] == [31 - number for number in range(12)]
    assert all(set(value) >= {"time", "value", "quality", "source"} for value in told["values"])
    assert [value["value"] for value in history(device, "temperature", "&limit=2")["values"]] == [31, 30]
    device.uplink(thermo_period(600))
    assert [value["value"] for value in history(device, "period")["values"]] == [600]
    assert history(device, "limit")["values"] == []
    assert device.host.admin.get(f"/v1/twins/{device.id}/history?property=colour").status == 404
    assert device.host.admin.get(f"/v1/twins/{device.id}/history").status in (400, 422)


def test_the_thing_description(thermometer):
    device = thermometer()
    answer = device.host.admin.get(f"/v1/twins/{device.id}/td")
    assert answer.status == 200 and "td+json" in answer.headers["Content-Type"]
    thing = answer.json()
    context = thing["@context"]
    assert "https://www.w3.org/2022/wot/td/v1.1" in (context if isinstance(context, list) else [context])
    assert device.id in thing["id"] or device.id in str(thing)
    assert thing["title"] and thing["security"] and thing["securityDefinitions"]
    assert "tm:ThingModel" not in str(thing.get("@type"))
    assert set(thing["properties"]) == set(device.host.admin.get(f"/v1/twins/{device.id}/properties").json())
    assert thing["properties"]["period"]["minimum"] == 10 and thing["actions"]["blink"]["input"] and "too_hot" in thing["events"]
    assert "calibration" not in answer.body.decode() and "key" not in thing
    for name, what in {**thing["properties"], **thing["actions"], **thing["events"]}.items():
        assert what["forms"] and all(form["href"] for form in what["forms"]), name
    href = thing["properties"]["temperature"]["forms"][0]["href"]
    base = thing.get("base", "")
    path = href if href.startswith("/") else "/" + (base + href).split("://", 1)[-1].split("/", 1)[-1]
    assert device.host.admin.get(path).json()["unit"] == "Cel"


def test_a_refused_connection_leaves_a_trace(real, mme, thermometer):
    device = thermometer()
    peer = lambda: next(one for one in real.admin.get("/v1/peers").json()["peers"] if one["identity"] == mme.identity)
    before = peer()["errors"]
    assert result_of(mme.cmr(device.imsi, action=UPDATE, bearer=b"\x09")) == 5651
    assert result_of(mme.cmr("001019999999998")) == 5652  # of nobody here
    newest = timeline(device, "?network=true")[0]
    assert (newest["kind"], newest["outcome"]) == ("connection", "refused")
    said = newest["network"]
    assert (said["command"], said["peer"], said["result"]) == ("CMR", mme.identity, 5651) and "no connection by that bearer" in said["reason"]
    assert all(event["outcome"] != "refused" for event in timeline(device))
    until(lambda: peer()["errors"] == before + 2, "both to be counted")
    assert real.metric("dromio_connections_refused_total") >= 2
    assert "connection_refused node=" in real.log() and "9999999998" not in real.log()
    device.uplink(thermo_reading(1, 21.5))  # the connection is as it was


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_they_survive_a_restart(real, mme, thermometer, how):
    device = thermometer()
    for number in range(5):
        device.uplink(thermo_reading(number, 20 + number))
    before = timeline(device), history(device, "temperature")
    real.stop() if how == "stop" else real.kill()
    real.start()
    assert (timeline(device), history(device, "temperature")) == before
