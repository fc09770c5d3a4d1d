"""Damages a copy of what a host left on disk (segments, keys, tables, replay point, epoch, end, images; flipped bits, zeroed sectors, files cut short, blocks that changed places, files gone), opens it by the
real recovery, or has it open already, and asks for everything: each twin, its whole timeline, and what its next turn makes of its context, which is not in memory. Each is what it would be without the
damage, or the host refuses to start and says which file, or answers 503; a timeline may also end early, with all that is newer as it should be, where the host's log names its twin (or the segment that is
missing). Nothing else counts: no other value, no silence. A flipped bit reaches one twin at most.
The disk is in memory, so a trial takes milliseconds; test/flow/test_damage.py does the same to real files of a real host, with its master key."""
import collections
import re
import subprocess

PROMISE = "Damage to data files is detected: a start refuses or a twin is told, and no value is ever wrong"
UNIT = "trials"
SHORT, LONG = 1000, 100_000
SECONDS = 45
IN_CHECK = True
LIMITS = "A damaged log stops the start of its whole host: putting the file back, or giving up what follows, is the operator's. After a kill or a power cut the newest four rounds cannot be told from torn ones."
STEP = 100


def run(proof):
    build = proof.build
    outcomes = collections.Counter(tuple(key.split("|")) for key in proof.state.get("outcomes", []) for _ in range(proof.state["outcomes"][key]))
    while not proof.over():
        count = min(STEP, proof.wanted - proof.done)
        command = [build / "test/sim/flips", str(proof.seed), str(proof.done), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            bad = [line[:300] for line in done.stdout.splitlines() if re.match(r"trial \d+: ", line)] or [done.stdout[-500:], done.stderr[-500:]]
            proof.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n" + "\n".join(bad[:10]))
        for file, how, came in re.findall(r"^trial \d+ (\S+) (.+): (right|told|refused) \d+$", done.stdout, flags=re.M):
            outcomes[file, how, came] += 1
        proof.state["outcomes"] = {"|".join(key): number for key, number in outcomes.items()}
        proof.count(count)
    for came in ("right", "told", "refused"):
        proof.measured[f"came_to: {came}"] = sum(number for (_, _, of), number in outcomes.items() if of == came)
    files = sorted({file for file, _, _ in outcomes})
    proof.table("What became of damage", ["file", "no difference", "twins told", "start refused"],
                [[file, *(sum(number for (of, _, way), number in outcomes.items() if (of, way) == (file, came)) for came in ("right", "told", "refused"))] for file in files])
    if not proof.measured["came_to: told"] or not proof.measured["came_to: refused"]:
        proof.fail("no damage was ever noticed: the proof is wrong")
