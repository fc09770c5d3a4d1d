"""A script of 2,000 random deeds (twins made, removed and commanded, uplinks, contacts, downlinks and their answers, groups, an application's configuration and downlinks, images, backups, cells and
gates that die, starts) runs once to count every call of the core, its log and its disk at each seam: open, read, write, fsync, rename and unlink, allocate space, memory (malloc and
its kin), map, ring put. Then each of these calls fails once, the n-th for every n, in a process of its own forked just before; the play goes on for 20 steps, the
power goes, and a new start must have everything that was acknowledged, once: each configuration, each downlink of the application with its own bytes, the member, each operation of the group. After an
fsync of the log that failed, any answer that says that something has changed ends the proof. The disk is the real one (store/disk_directory.c) over system calls in memory, with a page cache and a platter:
what a failed fsync should have written is dropped, and a name is there only once its directory was synced."""
PROMISE = "Whatever single call fails, the n-th of any kind for every n: no crash, no false acknowledgement, and after a failed fsync nothing is acknowledged any more"
UNIT = "scripts"
SHORT, LONG = 1, 20
SECONDS = 300
IN_CHECK = False
LIMITS = "Calls of the core, log and disk by pwrite and fdatasync, not by io_uring; not those of gates, cells, desk and charging, nor inside libraries. ./check tries every 200th call of a script"

import json
import subprocess


def run(proof):
    program = proof.build / "test/sim/faults"
    sums = proof.state.setdefault("sums", {"calls": {}, "tried": {}})
    while not proof.over():
        seed = proof.seed_of(proof.done) % 1_000_000_000
        done = subprocess.run([program, "--seed", str(seed)], capture_output=True, text=True)
        if done.returncode != 0:
            proof.fail(f"{program} --seed {seed}: {done.stdout[-500:]} {done.stderr[-6000:]}")
        for what in ("calls", "tried"):
            for kind, number in json.loads(done.stdout)[what].items():
                sums[what][kind] = sums[what].get(kind, 0) + number
        proof.count()
    for kind, number in sums["tried"].items():
        proof.measured[f"{kind} calls that failed"] = number
