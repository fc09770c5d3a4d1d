"""Twins without an image: their device's bytes pass as they are, and all else of a twin is there."""
import itertools

import pytest
from host import Events, Host, thermo_reading, until
from mme import Mme, is_asleep
from sink import Sink
from t8 import CALLBACKS, b64, path_of

SETTINGS = (CALLBACKS,)

paths = itertools.count(1)


@pytest.fixture(scope="module")
def as1(real):
    return real.application("as1", ["acme.example"], ["nidd", "read", "write"])


@pytest.fixture
def plain(real, mme, names):
    """A twin without an image, and its device attached."""
    name, imsi = next(names)
    answer = real.admin.put(f"/v1/twins/{name}", {"imsi": imsi, "tags": {"site": "north"}})
    assert answer.status == 201, answer
    mme.attach(imsi)
    return name, imsi


def configure(client, sink, name):
    path = f"/p{next(paths)}"
    answer = client.post("/3gpp-nidd/v1/as1/configurations", {"externalId": name, "notificationDestination": sink.link(path)})
    assert answer.status == 201, answer
    at = answer.headers["Location"]
    return path_of(at), path


def send(client, at, name, data, **members):
    return client.post(f"{at}/downlink-data-deliveries", {"externalId": name, "data": b64(data), **members})


def turns(host):
    return host.metric("dromio_turns_total")


def test_a_twin_needs_code_or_a_device(real):
    answer = real.admin.put("/v1/twins/nothing@acme.example", {"tags": {"a": "b"}})
    assert answer.status == 422 and "imsi" in answer.json()["detail"], answer


def test_it_is_shown_without_a_model(real, plain):
    name, _ = plain
    shown = real.admin.twin(name)
    assert (shown["model"], shown["image"], shown["properties"], shown["tags"]) == (None, None, {}, {"site": "north"})
    listed = [twin["id"] for twin in real.admin.get("/v1/twins?tag=site=north&limit=500").json()["twins"]]
    assert name in listed
    assert name not in [twin["id"] for twin in real.admin.get("/v1/twins?model=acme/thermo&limit=500").json()["twins"]]
    assert real.admin.get(f"/v1/twins/{name}/properties").json() == {}
    assert real.admin.get(f"/v1/twins/{name}/properties/temperature").status == 404
    assert real.admin.put(f"/v1/twins/{name}/properties/period", {"value": 60}).status == 404
    assert real.admin.post(f"/v1/twins/{name}/actions/blink", {"seconds": 1}).status == 404
    assert real.admin.get(f"/v1/twins/{name}/tickets").json() == {"tickets": []}
    assert real.admin.put(f"/v1/twins/{name}", {"secrets": {"key": "AAAA"}}).status == 422
    td = real.admin.get(f"/v1/twins/{name}/td")
    assert td.status == 200 and td.json()["id"].endswith(name), td


def test_a_query_finds_it_in_the_table_of_plain_twins(real, plain):
    name, _ = plain
    assert real.admin.query(f"select id, revision from \"dromio/plain\" where id = '{name}'") == [[name, 1]]
    assert real.admin.query(f"select count(*) from plain where tag('site') = 'north' and id = '{name}'") == [[1]]


def test_uplinks_pass_as_they_came_and_no_turn_runs(real, as1, mme, plain):
    name, imsi = plain
    with Sink() as sink:
        _, path = configure(as1, sink, name)
        before = turns(real)
        for data in (b"one", b"\x00\xff", bytes(1358)):
            mme.uplink(imsi, data)
        until(lambda: len(sink.taken(path)) == 3, "three notifications")
        assert [told["data"] for told in sink.taken(path)] == [b64(b"one"), b64(b"\x00\xff"), b64(bytes(1358))]
        assert turns(real) == before
    frames = [event["frame"] for event in real.admin.get(f"/v1/twins/{name}/timeline").json()["events"] if event["kind"] == "uplink"]
    assert frames == [bytes(1358).hex(), "00ff", b"one".hex()]
    shown = real.admin.twin(name)
    assert shown["contact"]["last"] is not None


def test_uplinks_are_events_of_the_stream_and_resume(real, mme, plain):
    name, imsi = plain
    said = [b"one", b"\x00\xff\n", b"", bytes(range(256)) * 5 + bytes(78)]
    with Events(real.admin, f"?twin={name}") as events:
        for data in said:
            mme.uplink(imsi, data)
        heard = [events.next("dromio.event.v1") for _ in said]
    for data, event in zip(said, heard):
        assert event["cloud"]["subject"] == name
        shown = event["cloud"]["data"]
        assert (shown["event"], shown["value"], shown["contentEncoding"]) == ("data", b64(data), "base64") and shown["time"] == event["cloud"]["time"]
    with Events(real.admin, f"?twin={name}", last=heard[1]["id"]) as events:  # read back from the log
        assert [events.next("dromio.event.v1")["cloud"] for _ in said[2:]] == [event["cloud"] for event in heard[2:]]
    with Events(real.admin, f"?twin={name}&property=temperature") as events:  # of no property
        mme.uplink(imsi, b"not this")
        real.admin.put(f"/v1/twins/{name}", {"model": "acme/thermo"})
        mme.uplink(imsi, thermo_reading(1, 20.0))
        assert events.next()["cloud"]["data"]["property"] == "temperature"
    with Events(real.admin, f"?twin={name}") as events:  # code sees them now
        mme.uplink(imsi, b"\x77not a frame of its")
        assert events.next()["event"] == "dromio.property.changed.v1"


def test_its_description_says_what_it_sends(real, plain):
    name, _ = plain
    event = real.admin.get(f"/v1/twins/{name}/td").json()["events"]["data"]
    assert event["data"] == {"type": "string", "contentEncoding": "base64"} and event["forms"]


def test_downlinks_pass_and_wait_for_a_device_that_sleeps(real, as1, mme, plain):
    name, imsi = plain
    with Sink() as sink:
        at, path = configure(as1, sink, name)
        answer = send(as1, at, name, b"now")
        assert (answer.status, answer.json()["deliveryStatus"]) == (200, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED"), answer
        assert mme.downlinks.get(timeout=20).data == b"now"
        mme.on_downlink = lambda downlink: is_asleep()
        answer = send(as1, at, name, b"later")
        assert (answer.status, answer.json()["deliveryStatus"]) == (201, "BUFFERING_TEMPORARILY_NOT_REACHABLE"), answer
        assert real.admin.twin(name)["mailbox"] == 1
        mme.on_downlink = lambda downlink: 2001
        mme.uplink(imsi, b"awake")
        until(lambda: [told for told in sink.taken(path) if "deliveryStatus" in told], "its delivery")
        assert real.admin.twin(name)["mailbox"] == 0


def test_an_image_can_be_given_later(real, as1, mme, plain):
    name, imsi = plain
    mme.uplink(imsi, thermo_reading(1, 20.0))
    answer = real.admin.put(f"/v1/twins/{name}", {"model": "acme/thermo", "secrets": {"calibration": 1.0}})
    assert answer.status == 200, answer
    shown = answer.json()
    assert (shown["model"], shown["revision"], shown["tags"], shown["properties"]["temperature"]["value"]) == \
        ("acme/thermo", 2, {"site": "north"}, None)
    mme.uplink(imsi, thermo_reading(2, 20.0))
    assert real.admin.value(name, "temperature") == 21.0
    assert real.admin.query(f"select temperature, tag('site') from thermo where id = '{name}'") == [[21.0, "north"]]
    assert real.admin.query(f"select count(*) from plain where id = '{name}'") == [[0]]
    again = real.admin.put(f"/v1/twins/{name}", {"model": "acme/thermo"})
    assert again.status == 200 and real.admin.value(name, "temperature") == 21.0


def test_an_unknown_image_is_not_given(real, plain):
    name, _ = plain
    assert real.admin.put(f"/v1/twins/{name}", {"model": "acme/nothing"}).status == 422
    assert real.admin.twin(name)["model"] is None


def test_all_of_it_survives_a_kill(names):
    with Host(CALLBACKS) as host, Sink() as sink:
        client = host.application("as1", ["acme.example"], ["nidd"])
        (stays, imsi), (grows, other) = next(names), next(names)
        with Mme(host) as mme:
            for name, number in ((stays, imsi), (grows, other)):
                assert host.admin.put(f"/v1/twins/{name}", {"imsi": number, "tags": {"room": "7"}}).status == 201
                mme.attach(number)
                mme.uplink(number, b"before")
            host.admin.put_twin(grows)
            mme.uplink(other, thermo_reading(1, 9.5))
            at, path = configure(client, sink, stays)
            mme.on_downlink = lambda downlink: is_asleep()
            assert send(client, at, stays, b"kept").status == 201
        host.kill()
        host.start()
        client.close()
        shown = host.admin.twin(stays)
        assert (shown["model"], shown["mailbox"], shown["tags"]) == (None, 1, {"room": "7"})
        assert (host.admin.twin(grows)["model"], host.admin.value(grows, "temperature")) == ("acme/thermo", 9.5)
        with Mme(host) as mme:
            mme.uplink(imsi, b"after")
            assert mme.downlinks.get(timeout=20).data == b"kept"
            mme.uplink(other, thermo_reading(2, 8.5))
            assert host.admin.value(grows, "temperature") == 8.5
        assert host.admin.delete(f"/v1/twins/{stays}").status == 204
        host.kill()
        host.start()
        assert host.admin.get(f"/v1/twins/{stays}").status == 404


def test_bulk_makes_them_too(real, names):
    made = [next(names) for _ in range(20)]
    lines = real.admin.bulk([{"id": name, "imsi": imsi} for name, imsi in made])
    assert [line["status"] for line in lines] == [201] * 20
    assert all(real.admin.twin(name)["model"] is None for name, _ in made)



def test_a_secret_its_image_does_not_know_gives_it_no_image(real, plain):
    name, _ = plain
    answer = real.admin.put(f"/v1/twins/{name}", {"model": "acme/thermo", "secrets": {"nothing": 1}})
    assert answer.status == 422, answer
    assert real.admin.twin(name)["model"] is None
