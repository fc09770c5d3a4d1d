"""Contexts that are not in memory: what a twin knows is there after its context left, was read back, was moved
by the checkpoint, through clean stops and kill -9; and what cannot be read is the end of one event."""
import itertools

import pytest
from host import Host, thermo_reading, until
from mme import Load, Mme
from segments import Damage, logs

TWINS, DEVICES = 5000, 100
BUDGET = 64 * 1024
SMALL = (f"contexts.memory={BUDGET}", "log.segment=1MiB", "log.replay=1MiB", "log.timeline=0")
ends = itertools.count(1 << 20)


def name(number):
    return f"c{number}@cold.example"


def imsi(number):
    return f"00101{number:010}"


DEVICE_NUMBERS = range(0, TWINS, TWINS // DEVICES)


class Fleet:
    """Twins whose calibration is known here and, on the host, in their contexts only."""

    def __init__(self, host):
        self.host, self.calibration, self.readings = host, {}, dict.fromkeys(DEVICE_NUMBERS, 0)
        with Mme(host, identity="cold.epc.test") as mme:
            self.configure(1)
            for number in DEVICE_NUMBERS:
                mme.attach(imsi(number))

    def configure(self, salt):
        """A turn of every twin; gives the answers that were no success."""
        wanted = {number: (number * salt) % 11 - 5 for number in range(TWINS)}
        lines = self.host.admin.bulk({"id": name(n), "model": "acme/thermo", "imsi": imsi(n), "secrets": {"calibration": wanted[n]}}
                                     for n in range(TWINS))
        assert [line["id"] for line in lines] == [name(n) for n in range(TWINS)]
        good = {n for n, line in enumerate(lines) if line["status"] in (200, 201)}
        self.calibration.update((n, wanted[n]) for n in good)
        return [line for line in lines if line["status"] not in (200, 201)]

    def report(self):
        """A reading of every device: its turn corrects it by the calibration."""
        with Load(self.host, "load.epc.test") as load:
            for number in DEVICE_NUMBERS:
                self.readings[number] += 1
                load.send(imsi(number), thermo_reading(self.readings[number], 20.0), next(ends))
            load.drain()
            assert set(load.results.values()) == {2001}
        self.check()

    def check(self):
        for number in DEVICE_NUMBERS:
            twin = self.host.admin.twin(name(number))["properties"]
            assert twin["temperature"]["value"] == 20 + self.calibration[number], number
            assert (twin["readings"]["value"], twin["rejected"]["value"], twin["lost"]["value"]) == (self.readings[number], 0, 0), number


@pytest.fixture(scope="module")
def fleet():
    with Host(*SMALL) as host:
        yield Fleet(host)


def segments(host):
    return sorted(path for path in host.data.glob("**/segment-*"))


def test_few_contexts_are_in_memory_and_all_are_known(fleet):
    until(lambda: fleet.host.metric("dromio_context_bytes") <= BUDGET, "a memory in its budget")
    status = fleet.host.admin.get("/v1/status").json()
    assert status["twins"] == TWINS and 0 < status["contexts"]["in_memory"] < TWINS // 3
    before = fleet.host.metric("dromio_context_misses_total")
    fleet.report()
    assert fleet.host.metric("dromio_context_misses_total") > before
    assert fleet.host.metric("dromio_contexts_unreadable_total") == 0


def test_they_are_known_after_restarts_and_kills(fleet):
    for salt in (2, 3):
        assert fleet.configure(salt) == []
        fleet.host.kill()
        fleet.host.start()
        fleet.report()
        fleet.host.restart()
        fleet.report()
        assert fleet.host.metric("dromio_context_bytes") <= BUDGET + 4096


def test_the_checkpoint_moves_them(fleet):
    """Old segments go, and the contexts that lay there, of twins that had no turn meanwhile, are elsewhere."""
    first = segments(fleet.host)[0].name
    with Load(fleet.host, "load.epc.test") as load:
        while segments(fleet.host)[0].name <= first or len(segments(fleet.host)) > 12:
            for number in DEVICE_NUMBERS:
                self_sequence = fleet.readings[number] = fleet.readings[number] + 1
                load.send(imsi(number), thermo_reading(self_sequence, 20.0), next(ends))
            load.drain()
    fleet.check()
    fleet.host.kill()
    fleet.host.start()
    assert fleet.configure(5) == []
    fleet.report()


def test_commands_and_deletes_of_cold_twins(fleet):
    host, number = fleet.host, 1
    with Mme(host, identity="cold.epc.test") as mme:
        mme.attach(imsi(number))
        ticket = host.admin.write(name(number), "period", 600).json()["ticket"]
        assert mme.downlinks.get(timeout=20).data == b"\x81\x02\x58"
        host.admin.ticket_is(name(number), ticket, "delivered")
        mme.uplink(imsi(number), b"\x02\x02\x58")
        assert host.admin.value(name(number), "period") == 600
        host.admin.ticket_is(name(number), ticket, "reported")
    assert host.admin.delete(f"/v1/twins/{name(2)}").status == 204
    host.restart()
    assert host.admin.get(f"/v1/twins/{name(2)}").status == 404
    assert host.admin.value(name(number), "period") == 600
    assert fleet.configure(7) == []  # made anew
    fleet.report()


def test_what_cannot_be_read_ends_its_own_event_only(fleet):
    """A segment is overwritten under the running host, then put back."""
    host = fleet.host

    tried = itertools.cycle(range(len(logs(host))))

    def what_is_refused():
        """Whether contexts lie in a segment is the checkpoint's doing: the newest that is full, of one core's log or another's."""
        fleet.configure(4)
        log = logs(host)[next(tried)]
        damage = Damage(log[-2:-1])
        refused = fleet.configure(6)
        if not refused:
            damage.put_back()
        return refused and (damage, refused)

    letters = len(host.admin.get("/v1/dead-letters").json()["dead_letters"])
    damage, refused = until(what_is_refused, "a segment with contexts")
    damaged, = damage.whole
    assert len(refused) < TWINS
    assert {(line["status"], line["problem"]["type"]) for line in refused} == {(503, "context_unreadable")}
    assert all(damaged.name in line["problem"]["detail"] for line in refused)
    assert host.is_healthy() and damaged.name in host.log()
    hit = {int(line["id"][1:].split("@")[0]) for line in refused}
    victim = next(iter(sorted(hit)))
    with Mme(host, identity="cold.epc.test") as mme:
        mme.attach(imsi(victim))
        mme.uplink(imsi(victim), thermo_reading(200, 20.0))
    newest = host.admin.get("/v1/dead-letters").json()["dead_letters"]
    assert len(newest) == letters + 1 and newest[0]["id"] == name(victim) and damaged.name in newest[0]["reason"]
    assert host.metric("dromio_contexts_unreadable_total") >= len(refused) + 1
    damage.put_back()
    assert fleet.configure(8) == []
    fleet.host.restart()
    fleet.report()
