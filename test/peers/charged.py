"""Charging records against what an oracle (promised.py) knows: one for each delivery, none lost, none twice."""
import collections
import json
import subprocess

from host import BUILD, until
from promised import check


def records(directory):
    """Of the closed files."""
    return [json.loads(line) for path in sorted(directory.glob("charging-*.jsonl")) for line in path.read_text().splitlines()]


def verified(directory):
    """`dromio charging --verify`: no number is missing or doubled."""
    done = subprocess.run([BUILD / "dromio", "charging", "--verify", directory], capture_output=True, text=True)
    check(done.returncode == 0, done.stdout, done.stderr)
    return done.stdout


def must_be_charged(host, oracle):
    """Once the oracle has finished: waits for the last file to be closed, then compares."""
    directory = host.data / "charging"
    readings = oracle.readings
    wanted = {readings.name_of(d): oracle.known.of(readings.key(d))[1] for d in readings.devices}

    def found():
        return collections.Counter(r["externalIdentifier"] for r in records(directory) if r["recordType"] == "MO-Data" and r["externalIdentifier"] in wanted)
    until(lambda: sum(found().values()) >= sum(wanted.values()), "the last charging file")
    check(dict(found()) == {name: count for name, count in wanted.items() if count}, "uplinks charged", dict(found()), "sent", wanted)
    downlinks = collections.Counter((r["externalIdentifier"], r["reference"]) for r in records(directory) if r["recordType"] == "MT-Data" and "reference" in r)
    check(all(count == 1 for count in downlinks.values()), "charged twice:", [key for key, count in downlinks.items() if count > 1])
    for commands in oracle.commands:
        missing = [v for v in range(1, oracle.known.of(commands.key)[0] + 1)
                   if downlinks[commands.device, str(oracle.known.notes[f"ticket/{commands.device}/{v}"])] != 1]
        check(not missing, f"commands of {commands.device} that were not charged:", missing)
    for deliveries in oracle.deliveries:
        paths = [path for key, path in oracle.known.notes.items() if key.startswith(f"delivery/{deliveries.device}") and path != ""]
        missing = [path for path in paths if downlinks[deliveries.device, path.rsplit("/", 1)[1]] != 1]
        check(not missing, "downlinks that were not charged:", missing)
    verified(directory)
    return sum(wanted.values()) + sum(downlinks.values())
