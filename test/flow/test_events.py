"""Server-sent events of the whole host: their shape, order and filters, and how a subscriber resumes."""
import json
import re

import pytest
from host import Events, Host, thermo_period, thermo_reading, until
from mme import Mme

CHANGED, EVENT, TICKET, TRAP, GAP = ("dromio.property.changed.v1", "dromio.event.v1", "dromio.ticket.v1", "dromio.trap.v1", "dromio.gap.v1")


def test_an_event_is_a_cloudevent(thermometer):
    device = thermometer()
    with Events(device.host.admin, f"?twin={device.id}") as events:
        assert events.status == 200 and events.headers["content-type"].startswith("text/event-stream")
        device.uplink(thermo_reading(1, 21.5))
        event = events.next(CHANGED, property="temperature")
    assert set(event) == {"id", "event", "data", "cloud"}
    cloud = event["cloud"]
    assert (cloud["specversion"], cloud["type"], cloud["subject"]) == ("1.0", CHANGED, device.id)
    assert cloud["id"] and cloud["source"] and re.fullmatch(r"[-0-9]+T[:.0-9]+Z", cloud["time"])
    assert set(cloud["data"]) == {"property", "value", "unit", "time", "quality", "source"}
    assert {name: cloud["data"][name] for name in ("value", "unit", "quality", "source")} == \
        {"value": 21.5, "unit": "Cel", "quality": "good", "source": "device"}
    assert cloud["data"]["time"] == device.property("temperature")["time"]


def test_events_of_a_twin_come_in_commit_order(thermometer):
    device = thermometer()
    with Events(device.host.admin, f"?twin={device.id}&property=readings") as events:
        boxes = [device.mme.begin_odr(device.imsi, thermo_reading(number)) for number in range(50)]
        found = [events.next(CHANGED) for _ in range(50)]
        assert all(box.get(timeout=20) for box in boxes)
    assert [event["cloud"]["data"]["value"] for event in found] == list(range(1, 51))
    ids = [event["id"] for event in found]
    assert len(set(ids)) == 50


def test_filters(thermometer, real):
    one, two = thermometer(), thermometer()
    with Events(real.admin, f"?twin={one.id}") as of_twin, Events(real.admin, "?model=acme/thermo") as of_model, \
            Events(real.admin, "?property=humidity") as of_property, Events(real.admin, "?model=acme/other") as of_none, \
            Events(real.admin) as of_all:
        two.uplink(thermo_reading(1, humidity=60))
        one.uplink(thermo_reading(1, humidity=70))
        assert of_twin.next()["cloud"]["subject"] == one.id
        assert of_model.next()["cloud"]["subject"] == two.id
        assert [of_property.next()["cloud"]["data"]["value"] for _ in range(2)] == [60, 70]
        subjects = {of_all.next(CHANGED, property="humidity")["cloud"]["subject"] for _ in range(2)}
        assert subjects == {one.id, two.id}
        assert b"data:" not in of_none.rest
    assert real.admin.get("/v1/events?twin=nobody@acme.example").status == 404
    assert real.admin.get("/v1/events?twin=nobody").status == 400
    assert real.admin.get("/v1/events?colour=red").status in (200, 400)


def test_twin_events_and_tickets(thermometer):
    device = thermometer()
    with Events(device.host.admin, f"?twin={device.id}") as events:
        device.write("limit", 20)
        event = events.next(TICKET)["cloud"]["data"]
        assert (event["property"], event["value"], event["state"]) == ("limit", 20, "pending") or event["state"] == "reported"
        device.uplink(thermo_reading(1, 25.0))
        hot = events.next(EVENT)["cloud"]
        assert hot["subject"] == device.id and hot["data"]["event"] == "too_hot" and hot["data"]["value"] == 25.0
        ticket = device.write("period", 600)
        assert events.next(TICKET, ticket=ticket["ticket"], state="delivered")
        device.uplink(thermo_period(600))
        assert events.next(TICKET, ticket=ticket["ticket"], state="reported")


def test_nothing_is_seen_of_another_domain(real, mme, thermometer):
    real.admin.put_twin("e@other.example", imsi="001010000000066")
    mme.attach("001010000000066")
    device = thermometer()
    client = real.application("listener", ["other.example"], ["read"])
    with Events(client) as events:
        device.uplink(thermo_reading(1))
        mme.uplink("001010000000066", thermo_reading(1))
        assert events.next()["cloud"]["subject"] == "e@other.example"
    assert client.get(f"/v1/events?twin={device.id}").status == 404


def test_resume_by_last_event_id(thermometer):
    device = thermometer()
    query = f"?twin={device.id}&property=readings"
    with Events(device.host.admin, query) as events:
        for number in range(5):
            device.uplink(thermo_reading(number))
        seen = [events.next(CHANGED) for _ in range(3)]
    for number in range(5, 8):
        device.uplink(thermo_reading(number))
    with Events(device.host.admin, query, last=seen[-1]["id"]) as events:
        device.uplink(thermo_reading(8))
        assert [events.next()["cloud"]["data"]["value"] for _ in range(6)] == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_resume_after_a_restart(how):
    with Host() as host:
        imsi = "001010000000067"
        host.admin.put_twin("e@acme.example", imsi=imsi)
        with Mme(host) as mme, Events(host.admin, "?property=readings") as events:
            mme.attach(imsi)
            for number in range(40):
                mme.uplink(imsi, thermo_reading(number))
            seen = [events.next(CHANGED) for _ in range(10)]
        host.stop() if how == "stop" else host.kill()
        host.start()
        with Mme(host) as mme, Events(host.admin, "?property=readings", last=seen[-1]["id"]) as events:
            mme.uplink(imsi, thermo_reading(40))
            found = [events.next() for _ in range(31)]
        assert [event["event"] for event in found] == [CHANGED] * 31
        assert [event["cloud"]["data"]["value"] for event in found] == list(range(11, 42))
        again = Events(host.admin, "?property=readings", last=seen[-1]["id"])
        assert again.next()["id"] == found[0]["id"]  # ids stay what they were
        again.close()


def test_an_id_that_is_too_old_begins_with_a_gap():
    """More than 100,000 events: a reading makes five where every value changes."""
    with Host() as host:
        imsi = "001010000000068"
        host.admin.put_twin("e@acme.example", imsi=imsi)
        from mme import Load
        with Mme(host, identity="mme4.epc.test") as mme:
            mme.attach(imsi)
        with Events(host.admin) as events, Load(host, "mme4.epc.test") as load:
            load.send(imsi, thermo_reading(0), end=0)
            load.drain()
            first = events.next()
            events.close()
            for number in range(1, 24000):
                load.send(imsi, thermo_reading(number, number % 300, number % 100, 3300 + number % 100), end=number)
                load.drain(below=60)
            load.drain()
            assert set(load.results.values()) == {2001}
        with Events(host.admin, last=first["id"]) as events:
            assert events.next()["event"] == GAP
            assert events.next()["event"] == CHANGED


def test_a_wrong_last_event_id_does_no_harm(thermometer):
    device = thermometer()
    for number, last in enumerate(("x", "-1", "99999999999999999999999", "18446744073709551615", "")):
        with Events(device.host.admin, f"?twin={device.id}&property=battery", last=last) as events:
            assert events.status in (200, 400)
            device.uplink(thermo_reading(number, battery=3333 + number))
            while events.status == 200 and events.next(CHANGED)["cloud"]["data"]["value"] != (3333 + number) / 1000:
                pass


def test_a_comment_comes_while_nothing_happens(real):
    """Every 15 s; waits for the first."""
    with Events(real.admin, "?twin=" + real.admin.put_twin("quiet@acme.example")["id"]) as events:
        while b":" not in events.rest:
            events._more()
        assert events.rest.startswith(b":")


@pytest.mark.long  # test_http_streams.py says the same of the gate alone
def test_a_slow_client_is_disconnected_and_counted(real, mme, names):
    import socket
    from mme import Load
    before = real.metric("dromio_http_event_streams_slow_total")
    pairs = [next(names) for _ in range(50)]
    real.admin.bulk({"id": name, "model": "acme/thermo", "imsi": imsi} for name, imsi in pairs)
    with Mme(real, identity="mme5.epc.test") as own:
        for _, imsi in pairs:
            own.attach(imsi)
    slow = Events(real.admin)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with Load(real, "mme5.epc.test") as load:
        end = 0
        for _ in range(400):
            for _, imsi in pairs:
                load.send(imsi, thermo_reading(end // 50), end=end)
                end += 1
            load.drain(below=500)
            if real.metric("dromio_http_event_streams_slow_total") > before:
                break
        load.drain()
    if real.metric("dromio_http_event_streams_slow_total") == before:
        until(lambda: real.metric("dromio_http_event_streams_slow_total") > before, "a slow client's end")
    slow.close()
    with Events(real.admin) as events:  # others are served
        mme.uplink(pairs[0][1], thermo_reading(end // 50 + 1))
        assert json.loads(events.next()["data"])
