"""Several cores and gates in one host: twins spread over them, and nothing outside shows it."""
import itertools
import os
import re

import pytest
from host import THERMO, Events, Host, killed, thermo_period, thermo_reading, until
from mme import Mme

CORES, GATES = 4, 2
SETTINGS = (f"host.cores={CORES}", f"host.gates={GATES}")
CHANGED, GAP = "dromio.property.changed.v1", "dromio.gap.v1"
FLEET = 60
numbers = itertools.count(1)


def imsi_of(number):
    return f"00101{number:010d}"


def twin_of(number):
    return f"c{number}@acme.example"


@pytest.fixture(scope="module")
def host():
    with Host(*SETTINGS) as host:
        yield host
        assert host.imsi_in_log() is None, "an IMSI was logged"


@pytest.fixture(scope="module")
def fleet(host):
    """Twins with devices; their numbers."""
    made = [next(numbers) for _ in range(FLEET)]
    lines = host.admin.bulk([{"id": twin_of(n), "model": "acme/thermo", "imsi": imsi_of(n), "tags": {"fleet": "first"}} for n in made])
    assert {line["status"] for line in lines} == {201}
    return made


def by_core(host, name):
    """{core: value} of a metric with a core's label."""
    return {int(core): float(value) for core, value in re.findall(rf'^{name}{{core="(\d+)"}} (\S+)$', host.metrics(), re.M)}


def pages(client, query, limit):
    """All twins of a listing, page by page."""
    found, cursor = [], ""
    while cursor is not None:
        answer = client.get(f"/v1/twins?limit={limit}{query}{cursor and '&cursor=' + cursor}")
        assert answer.status == 200, answer
        page = answer.json()
        assert len(page["twins"]) <= limit
        found += [twin["id"] for twin in page["twins"]]
        cursor = page.get("cursor")
    return found


# ---- what lies where ----

def test_each_core_has_twins_and_all_do_turns(host, fleet):
    shares = by_core(host, "dromio_core_twins")
    assert set(shares) == set(range(CORES)) and all(shares.values())
    assert sum(shares.values()) == host.metric("dromio_twins") == host.admin.get("/v1/status").json()["twins"]
    turns = by_core(host, "dromio_core_turns_total")
    assert all(turns.values()) and sum(turns.values()) == host.metric("dromio_turns_total")


def test_rooms_are_named_by_core(host):
    expected = {"desk", "audit", *(f"core {i}" for i in range(CORES)), *(f"cell {i}.0" for i in range(CORES)), *(f"gate {i}" for i in range(GATES))}
    until(lambda: set(host.rooms()) == expected, "a room of each kind and core")


def test_with_more_cells_each_core_has_its_own():
    with Host("host.cores=2", "cells.max=2") as host:
        for number in range(20):
            host.admin.put_twin(f"x{number}@d{number}.example")
        until(lambda: {name for name in host.rooms() if name.startswith("cell")} == {"cell 0.0", "cell 0.1", "cell 1.0", "cell 1.1"}, "four cells")
        assert host.metric("dromio_twins") == 20


def test_uplinks_and_commands_of_all_cores(host, fleet):
    with Mme(host) as mme:
        for number in fleet:
            mme.attach(imsi_of(number))
            mme.uplink(imsi_of(number), thermo_reading(1, number / 10))
        tickets = {number: host.admin.write(twin_of(number), "period", 600 + number).json()["ticket"] for number in fleet}
        frames = {mme.downlinks.get(timeout=20).data for _ in fleet}
        assert frames == {b"\x81" + (600 + number).to_bytes(2, "big") for number in fleet}
        for number in fleet:
            mme.uplink(imsi_of(number), thermo_period(600 + number))
            host.admin.ticket_is(twin_of(number), tickets[number], "reported")
            shown = host.admin.twin(twin_of(number))["properties"]
            assert (shown["temperature"]["value"], shown["readings"]["value"], shown["period"]["value"]) == (number / 10, 1, 600 + number)


def test_a_write_waits_for_its_report_in_any_core(host, fleet):
    with Mme(host) as mme:
        for number in fleet[:12]:
            mme.attach(imsi_of(number))
            answer = host.admin.write(twin_of(number), "period", 1000 + number, "?wait=delivered&timeout=20s")
            assert (answer.status, answer.json()["state"]) == (200, "delivered")


# ---- names ----

def test_an_alias_leads_to_its_twin_whatever_core_its_hash_is_of(host, fleet):
    for number in fleet[:16]:
        alias = f"alias{number}@acme.example"
        host.admin.put_twin(twin_of(number), aliases=[alias])
        assert host.admin.twin(alias)["id"] == twin_of(number)
        assert host.admin.put(f"/v1/twins/{alias}", {"tags": {"by": "alias"}}).status == 200
        assert host.admin.twin(twin_of(number))["tags"]["by"] == "alias"
        host.admin.put_twin(twin_of(number), aliases=[])
        assert host.admin.get(f"/v1/twins/{alias}").status == 404
        host.admin.put_twin(alias)  # free again, for a twin of its own
        assert host.admin.delete(f"/v1/twins/{alias}").status == 204


def test_what_is_bound_in_one_core_is_409_in_all(host, fleet):
    first = twin_of(fleet[0])
    host.admin.put_twin(first, aliases=["taken@acme.example"], msisdn="491700000001")
    for number in range(16):
        other = f"other{number}@acme.example"
        for members in ({"imsi": imsi_of(fleet[0])}, {"msisdn": "491700000001"}, {"aliases": ["taken@acme.example"]}, {"aliases": [first]}):
            assert host.admin.put(f"/v1/twins/{other}", {"model": "acme/thermo", **members}).status == 409, members
        assert host.admin.get(f"/v1/twins/{other}").status == 404
    host.admin.put_twin(first, aliases=[], msisdn=None)


def test_an_identity_that_is_given_up_can_be_bound_elsewhere(host):
    imsi = imsi_of(next(numbers))
    for number in range(12):
        name = f"moving{number}@acme.example"
        host.admin.put_twin(name, imsi=imsi)
        with Mme(host) as mme:
            mme.attach(imsi)
            mme.uplink(imsi, thermo_reading(number))
        assert host.admin.value(name, "readings") == 1
        assert host.admin.delete(f"/v1/twins/{name}").status == 204


# ---- all twins ----

@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_pages_show_each_twin_exactly_once(host, fleet, limit):
    found = pages(host.admin, "&tag=fleet=first", limit)
    assert sorted(found) == sorted(twin_of(number) for number in fleet)


def test_a_cursor_of_another_host_is_400(host):
    for cursor in ("t1", "2.0.t1", "4.4.t1", "4.0.nonsense", "x"):
        assert host.admin.get(f"/v1/twins?cursor={cursor}").status == 400


def test_sql_sees_the_twins_of_all_cores(host, fleet):
    ids = ",".join(f"'{twin_of(number)}'" for number in fleet)
    assert host.admin.query("select count(*) from thermo where fleet = 'first'") == [[FLEET]]
    assert host.admin.query(f"select count(*), min(id), max(id) from thermo where id in ({ids})") == [
        [FLEET, min(map(twin_of, fleet)), max(map(twin_of, fleet))]]
    assert host.admin.query("select count(*) from thermo") == [[int(host.metric("dromio_twins"))]]


def test_a_query_sees_what_was_answered_before_it_in_any_core(host):
    for number in range(40):
        host.admin.put_twin(f"fresh{number}@acme.example", tags={"batch": "fresh"})
        assert host.admin.query("select count(*) from thermo where batch = 'fresh'") == [[number + 1]]
    for number in range(40):
        assert host.admin.delete(f"/v1/twins/fresh{number}@acme.example").status == 204


def test_bulk_of_5000_comes_back_in_order(host):
    names = [f"bulk{number}@acme.example" for number in range(5000)]
    lines = host.admin.bulk([{"id": name, "model": "acme/thermo"} for name in names])
    assert [line["id"] for line in lines] == names and {line["status"] for line in lines} == {201}
    lines = host.admin.bulk([{"id": name, "tags": {"n": str(n)}} if n % 3 else {"id": name, "image": "none"} for n, name in enumerate(names)])
    assert [line["id"] for line in lines] == names
    assert [line["status"] for line in lines] == [200 if n % 3 else 422 for n in range(5000)]
    assert all(by_core(host, "dromio_core_twins")[core] > 900 for core in range(CORES))


def test_an_application_sees_its_domains_in_all_cores(host):
    client = host.application("cores", ["own.example"], ["read", "write"])
    names = [f"a{number}@own.example" for number in range(24)]
    assert {line["status"] for line in client.bulk([{"id": name, "model": "acme/thermo"} for name in names])} == {201}
    assert sorted(pages(client, "", 5)) == sorted(names)
    assert client.query("select count(*) from thermo") == [[24]]
    assert client.get("/v1/status").json()["twins"] == 24
    assert host.admin.delete("/v1/applications/cores").status == 204
    until(lambda: client.get("/v1/twins").status == 401, "the end of its token")


def test_an_image_counts_its_twins_in_all_cores(host):
    image = host.push(THERMO.read_bytes())
    assert image.status == 200
    assert host.admin.get(f"/v1/images/{image.json()['image']}").json()["twins"] == int(host.metric("dromio_twins"))


def test_dead_letters_of_all_cores_newest_first(host, fleet):
    letters = host.admin.get("/v1/dead-letters?limit=1000").json()["dead_letters"]
    times = [letter["time"] for letter in letters]
    assert times == sorted(times, reverse=True)


# ---- peers ----

def test_a_downlink_goes_to_the_gate_where_its_node_is(host, fleet):
    """Connections fall to either gate; the device's last contact was over one that is gone."""
    number = fleet[1]
    with Mme(host, identity="roaming.epc.test") as mme:
        mme.attach(imsi_of(number))
    for attempt in range(6):
        with Mme(host, identity="roaming.epc.test") as mme:
            until(lambda: "roaming.epc.test" in open_peers(host), "the peer")
            host.admin.write(twin_of(number), "period", 2000 + attempt)
            assert mme.downlinks.get(timeout=20).data == b"\x81" + (2000 + attempt).to_bytes(2, "big")
            until(lambda: host.admin.property(twin_of(number), "period")["desired"]["state"] == "delivered", "its delivery")
        until(lambda: "roaming.epc.test" not in open_peers(host), "the end of the peer")


def open_peers(host):
    return {peer["identity"] for peer in host.admin.get("/v1/peers").json()["peers"] if peer["state"] == "open"}


# ---- events ----

def drive(mme, fleet, sequence):
    for number in fleet:
        mme.uplink(imsi_of(number), thermo_reading(sequence, number / 10 + sequence))


def values(events, count):
    """{twin: values of `temperature`} and the last event's id, of the next `count` events."""
    found, last = {}, None
    for _ in range(count):
        event = events.next()
        assert event["event"] == CHANGED, event
        found.setdefault(event["cloud"]["subject"], []).append(event["cloud"]["data"]["value"])
        last = event["id"]
    return found, last


def test_one_stream_has_the_events_of_all_cores_in_order_of_each_twin(host, fleet):
    with Mme(host) as mme, Events(host.admin, "?property=temperature") as events:
        for number in fleet:
            mme.attach(imsi_of(number))
        for sequence in range(2, 7):
            drive(mme, fleet, sequence)
        found, _ = values(events, 5 * FLEET)
    assert found == {twin_of(n): [round(n / 10 + s, 2) for s in range(2, 7)] for n in fleet}


def test_events_have_ids_of_their_own(host, fleet):
    with Mme(host) as mme, Events(host.admin, "?property=temperature") as events:
        drive(mme, fleet, 7)
        seen = [events.next(CHANGED) for _ in fleet]
    assert len({event["id"] for event in seen}) == len({event["cloud"]["id"] for event in seen}) == FLEET


def test_a_stream_resumes_without_loss_or_repeat(host, fleet):
    with Mme(host) as mme:
        with Events(host.admin, "?property=temperature") as events:
            drive(mme, fleet, 8)
            found, last = values(events, FLEET // 2)
        drive(mme, fleet, 9)
        for _ in range(3):  # cut again and again: each time it goes on where it was
            with Events(host.admin, "?property=temperature", last=last) as events:
                more, last = values(events, FLEET // 4)
            for twin, list_ in more.items():
                found.setdefault(twin, []).extend(list_)
        with Events(host.admin, "?property=temperature", last=last) as events:
            drive(mme, fleet, 10)
            more, last = values(events, 3 * FLEET - FLEET // 2 - 3 * (FLEET // 4))
        for twin, list_ in more.items():
            found.setdefault(twin, []).extend(list_)
    assert found == {twin_of(n): [round(n / 10 + s, 2) for s in (8, 9, 10)] for n in fleet}


def test_a_stream_of_one_twin(host, fleet):
    with Mme(host) as mme:
        for sequence, number in enumerate(fleet[:8], 11):
            with Events(host.admin, f"?twin={twin_of(number)}&property=readings") as events:
                before = host.admin.value(twin_of(number), "readings")
                drive(mme, fleet[:8], sequence)
                first = events.next(CHANGED)
                assert (first["cloud"]["subject"], first["cloud"]["data"]["value"]) == (twin_of(number), before + 1)
    assert host.admin.get("/v1/events?twin=nobody@acme.example").status == 404


# ---- ends and beginnings ----

@pytest.fixture
def small():
    with Host(*SETTINGS) as host:
        lines = host.admin.bulk([{"id": twin_of(n), "model": "acme/thermo", "imsi": imsi_of(n)} for n in range(1, 25)])
        assert {line["status"] for line in lines} == {201}
        yield host


def send_all(host, sequence):
    """A reading for each of the 24; tries again over a gate or core that is gone."""
    for number in range(1, 25):
        def is_taken():
            try:
                with Mme(host, identity=f"mme{number}.epc.test") as mme:
                    mme.attach(imsi_of(number))
                    mme.uplink(imsi_of(number), thermo_reading(sequence), end=sequence * 100 + number)
                    return True
            except (OSError, AssertionError):
                return False
        until(is_taken, "an acknowledged uplink")


def readings(host):
    return host.admin.query("select min(readings), max(readings), count(*) from thermo")


@pytest.mark.parametrize("room", ["cell 0.0", "cell 3.0", "gate 0", "gate 1", "desk", "core 0", "core 2"])
def test_any_room_may_die(small, room):
    send_all(small, 0)
    dead = until(lambda: small.rooms().get(room), room)
    killed(dead)
    until(lambda: small.rooms().get(room, dead) != dead, f"another {room}")
    small.wait()
    small.admin.close()
    send_all(small, 1)

    def is_told():
        answer = small.admin.post("/v1/query", {"sql": "select 1"})
        return answer.status == 200
    until(is_told, "the desk")
    assert readings(small) == [[2, 2, 24]]
    assert len(pages(small.admin, "", 5)) == 24


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_any_number_of_cores_opens_the_data(how):
    with Host("host.cores=1") as host:
        lines = host.admin.bulk([{"id": twin_of(n), "model": "acme/thermo", "imsi": imsi_of(n), "aliases": [f"a{n}@acme.example"]}
                                 for n in range(1, 25)])
        assert {line["status"] for line in lines} == {201}
        ticket = host.admin.write(twin_of(5), "period", 777).json()["ticket"]
        for sequence, cores in enumerate((1, 2, 4, 3, 1)):
            host.stop() if how == "stop" else host.kill()
            host.settings = (f"host.cores={cores}",)
            host.start()
            send_all(host, sequence)
            assert readings(host) == [[sequence + 1, sequence + 1, 24]]
            assert len(pages(host.admin, "", 7)) == 24
            for number in range(1, 25):
                assert host.admin.twin(f"a{number}@acme.example")["id"] == twin_of(number)
            assert host.admin.ticket(twin_of(5), ticket)["value"] == 777
            assert host.admin.put("/v1/twins/new@acme.example", {"model": "acme/thermo", "imsi": imsi_of(7)}).status == 409


def test_a_stream_resumes_after_a_restart_of_as_many_cores(small):
    with Mme(small) as mme, Events(small.admin, "?property=readings") as events:
        for number in range(1, 25):
            mme.attach(imsi_of(number))
            mme.uplink(imsi_of(number), thermo_reading(0))
        _, last = values(events, 10)
    small.restart()
    with Mme(small) as mme, Events(small.admin, "?property=readings", last=last) as events:
        mme.uplink(imsi_of(1), thermo_reading(1))
        found, _ = values(events, 15)
    assert found[twin_of(1)][-1] == 2 and sum(len(list_) for list_ in found.values()) == 15


@pytest.mark.parametrize("cores", [1, 3])
def test_an_id_of_another_number_of_cores_begins_with_a_gap(small, cores):
    with Mme(small) as mme, Events(small.admin, "?property=readings") as events:
        mme.attach(imsi_of(1))
        mme.uplink(imsi_of(1), thermo_reading(0))
        last = events.next(CHANGED)["id"]
    small.stop()
    small.settings = (f"host.cores={cores}",)
    small.start()
    with Mme(small) as mme, Events(small.admin, "?property=readings", last=last) as events:
        mme.uplink(imsi_of(1), thermo_reading(1))
        assert events.next()["event"] == GAP
        assert events.next(CHANGED)["cloud"]["data"]["value"] == 2


def test_a_token_and_a_domain_made_by_one_core_are_good_in_all(small):
    for number in range(8):
        client = small.application(f"app{number}", [f"d{number}.example"])
        for device in range(6):
            assert client.put(f"/v1/twins/x{device}@d{number}.example", {"model": "acme/thermo"}).status == 201
        assert len(pages(client, "", 100)) == 6
    small.restart()
    assert small.metric("dromio_twins") == 24 + 48


def test_pinned_pairs_have_a_cpu_each():
    allowed = os.sched_getaffinity(0)
    with Host("host.cores=2", "host.pin=true") as host:
        host.admin.put_twin("pinned@acme.example")
        until(lambda: {"core 0", "core 1", "cell 0.0", "cell 1.0"} <= set(host.rooms()), "both pairs")
        pairs = [{frozenset(os.sched_getaffinity(host.rooms()[room])) for room in (f"core {i}", f"cell {i}.0")} for i in range(2)]
        if len(allowed) < 2:  # no CPU for each: nothing is pinned
            assert pairs == [{frozenset(allowed)}] * 2
        else:
            assert [len(pair) for pair in pairs] == [1, 1] and pairs[0] != pairs[1]
            assert all(len(cpus) == 1 and cpus <= allowed for pair in pairs for cpus in pair)
        assert os.sched_getaffinity(host.room("gate")) == allowed
