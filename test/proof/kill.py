"""Hosts under the load of an oracle that lives outside of them: uplinks over T6a that are sent again with the T flag, property writes, commands with an Idempotency-Key, twins made and deleted in
bulk, applications, downlinks of an application whose ends are told to a sink, an event stream that is resumed, charging records. At a moment of the seed's choice one room (gate, core, cell, desk,
charging, audit), dromiod, or all of them at once are killed with SIGKILL; what comes back must show all that was acknowledged and nothing twice. A host lives for 25 kills, with 1 or 3 cores and 1 or 2
gates; one time in three in which the whole host was killed it starts with another number of cores. At the end everything that was ever asked for is there exactly once, in the events too, and
each uplink and downlink is in the charging files once; the audit log is a chain without a gap, in which no entry is twice and none of an acknowledged command is missing."""
import random
import shutil

import audit
import charged
from host import Host
from kills import Kills
from promised import Oracle
from t8 import CALLBACKS

PROMISE = "What is acknowledged is durable and applied once, through kill -9 of any room or of all"
UNIT = "cycles"
SHORT, LONG = 100, 5000
SECONDS = 45
IN_CHECK = True
LIMITS = "The kernel and its page cache stay: that is what `power` and `blocks` are for. A downlink that was being sent when its host was killed may reach its device a second time, as documented."

LIFE = 25  # kills of one host


def settings_of(chance):
    cores, gates = chance.choice([(1, 1), (3, 2), (3, 1), (1, 2)])
    found = [CALLBACKS, "audit.commands=true", "log.segment=1MiB", "log.replay=1MiB", f"host.cores={cores}", f"host.gates={gates}"]
    return found + (["charging.enabled=true", "charging.file_age=1"] if chance.random() < 0.75 else [])


def live(proof, host, seed, chance):
    with Oracle(host, seed) as oracle:
        oracle.begin()
        kills = Kills(host, oracle, chance, cores=(1, 2, 3) if chance.random() < 0.5 else ())
        for _ in range(LIFE):
            kills.cycle()
            proof.count()
            if proof.over():
                break
        oracle.finish()
        records = charged.must_be_charged(host, oracle) if "charging.enabled=true" in host.settings else 0
        entries = audit.must_be_told(host, oracle)
        return kills.killed, oracle.known.acknowledgements, oracle.readings.again, oracle.follower.resumed, records, entries


def add(proof, name, count):
    proof.measured[name] = proof.measured.get(name, 0) + count


def run(proof):
    while not proof.over():
        life = proof.done
        seed = proof.seed_of(life)
        chance = random.Random(seed)
        directory = proof.work / f"host-{life}"
        directory.mkdir()
        host = Host(*settings_of(chance), directory=directory)
        try:
            with host:
                killed, acknowledged, again, resumed, records, entries = live(proof, host, seed, chance)
        except AssertionError as broken:
            proof.fail(f"{broken}\nthe host of cycle {life}, seed {seed}, {' '.join(host.settings)}: {directory}")
        shutil.rmtree(directory)
        for kind, count in killed.items():
            add(proof, f"kills of {'all at once' if kind == 'host' else kind}", count)
        add(proof, "acknowledgements", acknowledged)
        add(proof, "uplinks sent again", again)
        add(proof, "event streams resumed", resumed)
        add(proof, "charging records compared", records)
        add(proof, "audit entries", entries)
