"""Twins whose turns ran into their deadline run in a room of their own; nothing else is different for them."""
import json
import os
import re

import hostile
import pytest
from broken_rooms import BrokenRooms
from host import BUILD, Host, killed, thermo_reading, until
from mme import Mme
from test_audit import dromio
from test_trust_groups import GROUPS

LENIENT = ("penalty.failures=100", "quarantine.twins=0", "quarantine.kills=0", "budgets.twin.cpu=0")  # nothing is set aside
METER, METER_IMSI = "meter@acme.example", "001018700000001"


@pytest.fixture(scope="module")
def wasm(tmp_path_factory):
    return hostile.image(tmp_path_factory.mktemp("hostile"))


def imsi(index):
    return f"0010187{index + 10:08d}"


class Story:
    """Wild twins, and a meter in the same domain."""

    def __init__(self, wasm, *settings, domain="acme.example", twins=3):
        self.host, self.wasm, self.domain, self.twins = Host(*LENIENT, *settings), wasm, domain, twins

    def __enter__(self):
        self.host.__enter__()
        self.admin = self.host.admin
        image = self.host.push(self.wasm).json()["image"]
        self.admin.put_twin(METER, imsi=METER_IMSI)
        for index in range(self.twins):
            self.admin.put_twin(self.name(index), image=image, imsi=imsi(index))
        self.connect()
        return self

    def __exit__(self, *error):
        self.mme.close()
        return self.host.__exit__(*error)

    def connect(self):
        self.mme = Mme(self.host)
        for number in (METER_IMSI, *map(imsi, range(self.twins))):
            self.mme.attach(number)

    def name(self, index):
        return f"w{index}@{self.domain}"

    def event(self, kind, index=0):
        self.mme.uplink(imsi(index), bytes([kind, 0]))

    def count(self, index=0):
        return self.admin.value(self.name(index), "count")

    def turns(self, group="others"):
        """Of those on probation."""
        return next(row for row in self.admin.get("/v1/status").json()["cells"] if row["group"] == group)["probation"]

    def rooms(self):
        """Those of twins on probation."""
        return {name: pid for name, pid in self.host.rooms().items() if name.startswith("probation ")}

    def room(self):
        return next(iter(self.rooms().values()), None)

    def ends_late(self, name):
        until(lambda: any(letter["id"] == name for letter in self.admin.get("/v1/dead-letters?limit=999").json()["dead_letters"]), "its end")

    def put_on_probation(self, index=0):
        self.event(hostile.LOOP, index)
        self.ends_late(self.name(index))

    def turn_in_there(self, group="others"):
        def is_there():
            self.event(hostile.GOOD)
            return self.turns(group)
        return until(is_there, "a turn in there")


def test_whoever_ran_into_its_deadline_runs_in_another_room(wasm):
    with Story(wasm) as story:
        for index in range(story.twins):
            story.event(hostile.GOOD, index)
        story.event(hostile.TRAP, 1)  # bad, but quick
        assert story.room() is None
        story.put_on_probation()
        until(story.room, "a room for it")
        before = story.turn_in_there()
        assert os.sched_getscheduler(story.room()) == os.SCHED_IDLE
        for n in range(5):
            story.event(hostile.GOOD)
        counted = story.count()
        assert story.turns() == before + 5
        assert story.admin.twin(story.name(0))["probation"]["until"] > story.admin.twin(story.name(0))["contact"]["last"]
        assert "probation" not in story.admin.twin(story.name(1))
        for index in (1, 2):  # and nobody else
            story.event(hostile.GOOD, index)
        story.mme.uplink(METER_IMSI, thermo_reading(1))
        assert story.turns() == before + 5 and story.admin.value(METER, "readings") == 1
        assert story.admin.delete(f"/v1/twins/{story.name(0)}/penalty").status == 204  # forgiven
        story.event(hostile.GOOD)
        assert story.count() == counted + 1 and story.turns() == before + 5


def test_the_command_line_shows_who_is_on_probation_and_takes_its_new_room_for_no_death(wasm):
    with Story(wasm, "penalty.failures=1", "host.cores=1") as story:
        story.put_on_probation()
        story.event(hostile.GOOD)
        shown = dromio("twin", "get", story.name(0), host=story.host).stdout
        assert re.search(r"^probation until +20", shown, re.M) and re.search(r"^penalty reason +deadline exceeded", shown, re.M), shown
        assert "penalty" not in dromio("twin", "get", story.name(1), host=story.host).stdout
        assert story.admin.delete(f"/v1/twins/{story.name(0)}/penalty").status == 204
        story.put_on_probation()
        pid = until(story.room, "a room for it")
        story.host.push((BUILD / "examples" / "calm.wasm").read_bytes())
        until(lambda: story.room() not in (None, pid), "a room with the new image")
        rooms = next(each for each in json.loads(dromio("doctor", "-o", "json", host=story.host).stdout)["checks"] if each["check"] == "rooms")
        assert rooms["state"] == "ok" and "none died" in rooms["what"], rooms


def test_a_room_of_probation_that_dies_comes_back_and_nothing_is_lost(wasm):
    with Story(wasm) as story:
        story.put_on_probation()
        pid = until(story.room, "a room for it")
        story.turn_in_there()
        for n in range(3):
            counted = story.count()
            killed(pid)
            story.event(hostile.GOOD)
            story.event(hostile.GOOD)
            pid = until(lambda: story.room() not in (None, pid) and story.room(), "another room")
            assert story.count() == counted + 2
        turns = story.turns()
        until(lambda: story.turn_in_there() > turns, "a turn in there")


@pytest.mark.parametrize("code", [3, 4])
def test_a_host_outlives_a_room_of_probation_that_cannot_start(wasm, tmp_path, monkeypatch, code):
    broken = BrokenRooms(tmp_path, monkeypatch)
    with Story(wasm) as story:
        broken.put(probation_ends=code)
        story.put_on_probation()
        for next_ms in (1000, 2000):  # later each time
            until(lambda: f"ended before it was ready: the next one starts in {next_ms} ms" in story.host.log(), "a room that cannot start")
        counted = story.count() or 0
        story.event(hostile.GOOD)
        assert story.count() == counted + 1 and story.turns() == 0
        broken.put()
        story.turn_in_there()


def test_probation_outlives_a_restart(wasm):
    with Story(wasm) as story:
        story.put_on_probation()
        story.host.kill()
        story.host.start()
        story.connect()
        assert story.room() is None  # until it is wanted
        story.event(hostile.GOOD, 1)
        assert story.room() is None
        story.turn_in_there()
        assert story.room() is not None


@pytest.mark.parametrize("settings,domain,group", [((), "acme.example", "others"), (("cells.max=3", GROUPS), "wild.example", "wild")], ids=["alone", "group"])
def test_a_room_of_probation_has_images_that_come_later(wasm, tmp_path, settings, domain, group):
    with Story(wasm, *settings, domain=domain) as story:
        story.put_on_probation()
        story.turn_in_there(group)
        image = story.host.push(hostile.image(tmp_path, "acme/other")).json()["image"]
        late = f"late@{domain}"
        story.admin.put_twin(late, image=image, imsi=imsi(90))
        story.mme.attach(imsi(90))
        story.mme.uplink(imsi(90), bytes([hostile.LOOP, 0]))
        story.ends_late(late)

        def count_in_there():
            before = story.turns(group)
            story.mme.uplink(imsi(90), bytes([hostile.GOOD, 0]))
            return story.admin.value(late, "count") and story.turns(group) > before
        until(count_in_there, "a turn of it in there")


def test_each_trust_group_has_a_room_of_its_own_for_them(wasm):
    with Story(wasm, "cells.max=3", GROUPS, domain="wild.example") as story:
        story.put_on_probation()
        story.turn_in_there("wild")
        assert story.turns("others") == story.turns("utilities") == 0
        assert len(story.rooms()) == 1 and next(iter(story.rooms())).endswith("1")


@pytest.mark.parametrize("setting", ["cells.probation=false", "penalty.failures=0"])
def test_there_is_none_where_it_is_off(wasm, setting):
    with Story(wasm, setting) as story:
        story.put_on_probation()
        story.event(hostile.GOOD)
        assert story.count() == 1 and story.room() is None and story.turns() == 0
