"""Domains of a trust group have cells of their own, and a share of the CPU; what happens to one group's cell is its own."""
import os
import pathlib
import signal
import subprocess
import threading

import hostile
import pytest
from host import DROMIOD, Host, killed, thermo_reading, until
from mme import Load, Mme

GROUPS = 'cells.groups=[{name="wild",domains=["wild.example"],cpu=20},{name="utilities",domains=["*.utilities.example"],cpu=60}]'
FREE = ("penalty.failures=0", "quarantine.twins=0", "quarantine.kills=0", "budgets.twin.cpu=0")  # nothing but its group stops what is wild
METER, METER_IMSI = "meter@water.utilities.example", "001018800000001"
PLAIN, PLAIN_IMSI = "plain@acme.example", "001018800000002"
WILD, UTILITIES, OTHERS = 1, 2, 0  # cells: those of no group come first


@pytest.fixture(scope="module")
def wasm(tmp_path_factory):
    return hostile.image(tmp_path_factory.mktemp("hostile"))


def wild_imsi(index):
    return f"0010189{index:08d}"


def wild_name(index):
    return f"w{index}@wild.example"


class Story:
    """A meter of a group, a device of none, and devices of another group whose code is wild."""

    def __init__(self, wasm, *settings, twins=40):
        self.host, self.wasm, self.twins = Host("cells.max=3", GROUPS, *FREE, *settings), wasm, twins

    def __enter__(self):
        self.host.__enter__()
        self.admin = self.host.admin
        image = self.host.push(self.wasm).json()["image"]
        self.admin.put_twin(METER, imsi=METER_IMSI)
        self.admin.put_twin(PLAIN, imsi=PLAIN_IMSI)
        done = self.admin.bulk({"id": wild_name(i), "image": image, "imsi": wild_imsi(i)} for i in range(self.twins))
        assert {line["status"] for line in done} == {201}
        self.mme = Mme(self.host)
        self.sequence = 0
        for imsi in (METER_IMSI, PLAIN_IMSI, *map(wild_imsi, range(self.twins))):
            self.mme.attach(imsi)
        return self

    def __exit__(self, *error):
        self.mme.close()
        return self.host.__exit__(*error)

    def readings(self, count=10):
        """Each of them is answered 2001, of the meter and of the device that is in no group."""
        for _ in range(count):
            self.sequence += 1
            self.mme.uplink(METER_IMSI, thermo_reading(self.sequence))
            self.mme.uplink(PLAIN_IMSI, thermo_reading(self.sequence))
        assert self.admin.value(METER, "readings") == self.admin.value(PLAIN, "readings") == self.sequence

    def cell(self, cell):
        """Pids of that cell, one of each core."""
        rooms = self.host.rooms()
        return [pid for name, pid in rooms.items() if name.split()[0] == "cell" and name.rsplit(".")[-1].split()[-1] == str(cell)]

    def shown(self, name, group):
        line = next(line for line in self.host.metrics().splitlines() if line.startswith(f'{name}{{group="{group}"}}'))
        return float(line.split()[1])


def cpu_of(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def test_each_group_runs_in_a_process_of_its_own(wasm):
    with Story(wasm) as story:
        until(lambda: len(story.host.rooms()) and all(story.cell(i) for i in (OTHERS, WILD, UTILITIES)), "three cells")
        before = {name: story.shown("dromio_cell_cpu_seconds_total", name) for name in ("wild", "utilities", "others")}
        ticks = [cpu_of(story.cell(i)) for i in (OTHERS, WILD, UTILITIES)]
        with Load(story.host, "wild.epc.test") as load:
            for end in range(1, story.twins + 1):
                load.send(wild_imsi(end - 1), bytes([hostile.LOOP, 0]), end)
            load.drain()
            assert list(load.results.values()) == [2001] * story.twins
        used = story.shown("dromio_cell_cpu_seconds_total", "wild") - before["wild"]
        assert used > 2 * story.twins * 0.001  # each was run to its deadline, twice
        assert story.shown("dromio_cell_cpu_seconds_total", "others") == before["others"]
        assert story.shown("dromio_cell_cpu_seconds_total", "utilities") == before["utilities"]
        burnt = [cpu_of(story.cell(i)) - ticks[i] for i in (OTHERS, WILD, UTILITIES)]
        assert burnt[WILD] >= 4 and burnt[OTHERS] + burnt[UTILITIES] <= 2  # the kernel says so too, in ticks of 10 ms
        story.readings()
        assert story.shown("dromio_cell_cpu_seconds_total", "utilities") > before["utilities"]
        assert story.shown("dromio_cell_cpu_seconds_total", "others") > before["others"]
        cells = {row["group"]: row for row in story.admin.get("/v1/status").json()["cells"]}
        assert {name: (row["cells"], row["share"]) for name, row in cells.items()} == {"wild": (1, 20), "utilities": (1, 60), "others": (1, 20)}
        assert cells["wild"]["cpu_seconds"] >= used and cells["wild"]["refused"] == 0


def code_of(pid):
    """Pages of the images' artifacts that a cell has mapped, without the first, which says where each lies."""
    pages = set()
    for line in open(f"/proc/{pid}/maps"):
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "memfd:dromio images" in fields[5]:
            first, end = (int(part, 16) for part in fields[0].split("-"))
            pages |= set(range(int(fields[2], 16), int(fields[2], 16) + end - first, 4096))
    return pages - {0}


def test_no_cell_has_code_of_another_group(wasm):
    """Neither once it was pushed nor after a restart; a domain that is given other code has that too."""
    with Story(wasm, twins=8) as story:
        def code(cell):
            try:
                return set().union(*map(code_of, story.cell(cell)))
            except FileNotFoundError:  # one that was replaced has just gone
                return set()

        wild, calm = until(lambda: code(WILD), "wild code"), until(lambda: code(UTILITIES), "the meter's code")
        assert not wild & calm
        until(lambda: code(OTHERS) == calm, "the same thermometer")
        for _ in range(2):
            story.mme.close()
            story.host.restart()
            story.mme = Mme(story.host)
            story.readings(3)
            story.mme.uplink(wild_imsi(3), bytes([hostile.GOOD, 0]))
            wild, calm = until(lambda: code(WILD), "wild code"), until(lambda: code(UTILITIES), "the meter's code")
            assert not wild & calm
        image = story.admin.twin(wild_name(0))["image"]
        story.admin.put_twin("late@water.utilities.example", image=image, imsi=wild_imsi(9000))
        until(lambda: code(UTILITIES) > calm, "other code beside the meter's")
        until(lambda: code(OTHERS) == calm, "no other code")
        story.mme.attach(wild_imsi(9000)).uplink(wild_imsi(9000), bytes([hostile.GOOD, 0]))
        assert story.admin.value("late@water.utilities.example", "count") == 1
        story.readings(3)


class Burning:
    """Every device of the wild group has an event under way all the time, which runs to its deadline."""

    def __init__(self, story):
        self.story, self.load, self.sent = story, Load(story.host, "wild.epc.test"), 0
        self.is_ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_ended.is_set() or self.load.waiting:
            while not self.is_ended.is_set() and len(self.load.waiting) < self.story.twins:
                self.sent += 1
                self.load.send(wild_imsi(self.sent % self.story.twins), bytes([hostile.LOOP, 0]), self.sent)
            self.load.receive()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_ended.set()
        self.thread.join()
        self.load.close()


def test_a_group_that_burns_all_it_gets_leaves_the_others_theirs(wasm):
    with Story(wasm, twins=20) as story, Burning(story) as fire:
        until(lambda: fire.sent > story.twins, "a wild turn that was answered")
        before = fire.sent
        story.readings(30)
        until(lambda: fire.sent > before, "another one: it went on all the time")
        story.readings(10)
    assert len(fire.load.results) == fire.sent and set(fire.load.results.values()) <= {2001, 3004}


def test_a_group_whose_cell_dies_costs_nobody_else_anything(wasm):
    with Story(wasm) as story, Load(story.host, "wild.epc.test") as load:
        calm = story.cell(UTILITIES) + story.cell(OTHERS)
        for turn in range(3):
            for end in range(1, 101):
                load.send(wild_imsi(end % story.twins), bytes([hostile.GOOD, 0]), 1000 * turn + end)
            dead = until(lambda: story.cell(WILD), "a wild cell")
            for pid in dead:
                killed(pid)
            story.readings(5)
            load.drain()
            until(lambda: len(story.cell(WILD)) == len(dead) and not set(story.cell(WILD)) & set(dead), "the next ones")
        assert set(load.results.values()) == {2001} and len(load.results) == 300
        assert story.cell(UTILITIES) + story.cell(OTHERS) == calm


def is_stopped(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except FileNotFoundError:
        return False


def test_a_stopped_cell_fills_its_part_of_the_table_alone(wasm):
    """Its turns are refused in Diameter's words from then on; the other cells take theirs."""
    def refused():
        return story.shown("dromio_cell_turns_refused_total", "wild")

    with Story(wasm, "host.cores=1", twins=2200) as story, Load(story.host, "wild.epc.test") as load:
        was_seen, tries = False, 0
        while not was_seen:  # a cell that says nothing is replaced after 5 s, on a busy machine before all of it was seen
            tries += 1
            assert tries <= 5, "nobody waits so long for each of five cells"
            before, (pid,) = refused(), until(lambda: story.cell(WILD), "a wild cell")
            os.kill(pid, signal.SIGSTOP)
            for index in range(story.twins):
                load.send(wild_imsi(index), bytes([hostile.GOOD, 0]), len(load.results) + index + 1)
            until(lambda: refused() > before or not is_stopped(pid), "a full part")
            story.readings(5)
            assert story.admin.write(METER, "period", 60 + story.sequence).status == 202
            was_seen = refused() > before and is_stopped(pid)
            if is_stopped(pid):
                os.kill(pid, signal.SIGCONT)
            load.drain()
        results = list(load.results.values())
        assert set(results) == {2001, 3004} and results.count(2001) >= 1500
        assert story.shown("dromio_cell_turns_refused_total", "utilities") == 0
        again = [end for end, result in load.results.items() if result == 3004][:100]
        for end in again:
            load.results.pop(end)
            load.send(wild_imsi((end - 1) % story.twins), bytes([hostile.GOOD, 0]), end, is_again=True)
        load.drain()
        assert {load.results[end] for end in again} == {2001}
        story.readings(5)


@pytest.mark.parametrize("text, says", [
    ('[cells]\nmax = 2\n[[cells.groups]]\nname = "a"\ndomains = ["a.example"]\n[[cells.groups]]\nname = "b"\ndomains = ["A.example"]\n', ":8: cells.groups[1].domains[0] is in another group too"),
    ('[cells]\nmax = 3\n[[cells.groups]]\nname = "a"\ncpu = 100\ndomains = ["a.example"]\n', ":5: cells.groups[0].cpu is per cent"),
    ('[cells]\nmax = 2\n[[cells.groups]]\nname = "a"\ndomains = ["a.example"]\n[[cells.groups]]\nname = "b"\ndomains = ["b.example"]\n', "cells.groups: 2 groups need cells.max = 3"),
    ('[cells]\nmax = 3\n[[cells.groups]]\nname = "a"\ncpu = 70\ndomains = ["a.example"]\n[[cells.groups]]\nname = "b"\ncpu = 40\ndomains = ["b.example"]\n', "cells.groups: cpu adds up to 110"),
    ('[cells]\nmax = 3\n[[cells.groups]]\nname = "a"\n', "cells.groups[0]: needs domains"),
])
def test_groups_that_cannot_be_are_refused_by_name(tmp_path, text, says):
    file = tmp_path / "dromiod.toml"
    file.write_text(text)
    done = subprocess.run([str(DROMIOD), "--check", "--config", str(file), "--data", str(tmp_path / "data")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and says in done.stderr, done.stderr
