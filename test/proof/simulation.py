"""Whole hosts (1 to 3 cores with their cells, two gates, logs on a simulated disk) live in one thread on fake time, with MMEs, sleeping devices, applications and a follower of events around
them that speak Diameter and HTTP over sockets. Bytes come late, in pieces, twice or not at all; connections, cells, gates and whole hosts die at any step, with and without power cuts
that tear writes; calls of the disk fail, it fills up, and a start may have another number of cores. All that was said to anybody is held against what he was told before: what was answered is there,
once, is seen by later reads, commands reach a device in their order and not once their delivery was told, tickets only go forward, a resumed stream of events has each once. At the
end everything that was asked for has come. The same seed gives the same trace, byte for byte: some seeds live twice, in another process too. A second of CPU has to simulate
at least 100."""
PROMISE = "What is promised of one host holds in every order of events and failures that a seed makes of all its rooms together"
UNIT = "seeds"
SHORT, LONG = 300, 100_000
SECONDS = 60
IN_CHECK = False
LIMITS = ("Not in it: the desk (SQL), charging, TLS, SCTP, T8 and its callbacks, groups, the supervisor and its processes, io_uring; the disk fails by its own model; behind a change of the number of cores a stream may be told of a gap more than once. Sockets are those of the "
          "kernel, between the parts of one process. ./check lives 12 of the seeds")

import concurrent.futures
import json
import os
import subprocess

BATCH, TWICE = 25, 10
FASTER_LEAST = 100  # than the time it simulates: a sixth of what was measured on two CPUs


def live(program, seed, count, again):
    done = subprocess.run([program, "--seed", str(seed), "--count", str(count), "--again", str(again)], capture_output=True, text=True)
    return seed, count, done


def run(proof):
    program = proof.build / "test/sim/simulate"
    first = proof.seed % 1_000_000_000
    sums = proof.state.setdefault("sums", {})
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        while not proof.over():
            left, at, batches = proof.wanted - proof.done, first + proof.done, []
            for _ in range(os.cpu_count()):
                count = min(BATCH, left)
                if count > 0:
                    batches.append(pool.submit(live, program, at, count, TWICE))
                    left, at = left - count, at + count
            for batch in batches:
                seed, count, done = batch.result()
                if done.returncode != 0:
                    proof.fail(f"{program} --seed {seed} --count {count}: {done.stderr[-6000:]}")
                for name, number in json.loads(done.stdout).items():
                    if name != "hash":
                        sums[name] = sums.get(name, 0) + number
                proof.count(count)
    once = [live(program, first, 3, 0)[2].stdout.split('"hash":"')[1][:16] for _ in range(2)]
    if once[0] != once[1]:
        proof.fail(f"{program} --seed {first} --count 3 has another hash each time: {once}")
    for name in ("simulated_seconds", "readings", "commands", "events", "power_cuts", "kills", "broken_disks", "full_disks", "gates_lost", "cells_lost", "moves", "twice"):
        proof.measured[name.replace("_seconds", " seconds").replace("_", " ")] = round(sums[name])
    faster = sums["simulated_seconds"] / sums["cpu_seconds"]
    proof.measured["simulated seconds per second of one CPU"] = round(faster)
    if faster < FASTER_LEAST:
        proof.fail(f"a second of CPU simulates {faster:.0f} s, fewer than {FASTER_LEAST}: too slow to search with")
    proof.measured["seeds per second of one CPU"] = round(sums["seeds"] / sums["cpu_seconds"], 2)
