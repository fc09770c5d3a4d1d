"""The host is offered its own peak and then ten times as much, for ten seconds at a time, by 32 MMEs that wait for nothing
(dromio-bench overload --times 10). So that host and generator need not fight for the same CPUs, the host's core and cell get a small share of one (a cgroup's quota) and are what
limits it; the gate, which refuses, runs free. What counts is how many uplinks are answered 2001 beside the peak, how long those take, that every other one is
refused with 3004, that the memory of all rooms stays bounded, and how soon after the overload the peak is there again with nothing refused. How refusals look (503 with Retry-After, 3004, DOIC) is
checked by flow tests that are run with it."""
PROMISE = "At ten times what it can do a host does nine tenths of it, refuses the rest properly, and is itself again in 5 s"
UNIT = "seconds at ten times the peak"
SHORT, LONG = 30, 600
SECONDS = 130
IN_CHECK = False
LIMITS = "Diameter only; the gate's own CPU is not what is short; gate and generator, a hundred thousand refusals a second, still share caches with the core, whose uplinks cost it more CPU then (in the table); needs cgroups"

import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

TIMES, SLICE_S = 10, 10
GOODPUT, LATENCY, RECOVERY_MS = 0.9, 2.0, 5000
MEMORY_BYTES = 96 << 20  # more than before: what 32 connections may have unsent, and what the gate keeps
QUOTA_US, PERIOD_US = 1000, 40000
TWINS = 64000            # one request of a twin is out at a time
OFFERED = 0.7            # of ten times the peak at least this much must have come, or the machine was too slow to show anything
GROUPS = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")


class Quota:
    """A share of a CPU for processes."""

    def __init__(self, proof):
        name = f"dromio-proof-{os.getpid()}"
        try:
            if (GROUPS[0] / "cpu.cfs_quota_us").exists():
                self.at = GROUPS[0] / name
                self.at.mkdir()
                (self.at / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (self.at / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
            else:
                (GROUPS[1] / "cgroup.subtree_control").write_text("+cpu")
                self.at = GROUPS[1] / name
                self.at.mkdir()
                (self.at / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}")
        except OSError as fault:
            proof.unavailable(f"no cgroup can be made: {fault}")

    def add(self, pid):
        (self.at / "cgroup.procs").write_text(str(pid))

    def close(self):
        self.at.rmdir()


def rooms_of(bench):
    """The processes of the host that a benchmark started, by their names."""
    found, parents = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text()
                parents[int(entry.name)] = (int(fields.rpartition(")")[2].split()[1]), fields[fields.index("(") + 1:fields.rindex(")")])
            except OSError:
                continue
    for pid, (parent, name) in parents.items():
        if parents.get(parent, (0, ""))[0] == bench and name.startswith("dromiod: "):
            found.setdefault(name.removeprefix("dromiod: "), []).append(pid)
    return found


def offered(proof, quota):
    """One slice; what the benchmark says."""
    command = [proof.root / "build/dromio-bench", "overload", "--json", "--alone", "--times", str(TIMES), "--seconds", str(SLICE_S), "--twins", str(TWINS), "--data", proof.work]
    bench = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        limited = set()
        while bench.poll() is None:
            for name, pids in rooms_of(bench.pid).items():
                for pid in pids if name.startswith(("core", "cell")) else []:
                    if pid not in limited:
                        quota.add(pid)
                        limited.add(pid)
            time.sleep(0.05 if len(limited) < 2 else 1)
        said, told = bench.communicate()
    finally:
        if bench.poll() is None:
            bench.send_signal(signal.SIGTERM)
            bench.wait()
    if bench.returncode != 0 or not said:
        proof.fail(f"dromio-bench ended with {bench.returncode}: {told[-2000:]}")
    if not limited:
        proof.unavailable("the host's rooms were not found")
    return json.loads(said)


def judged(proof, slices):
    """Of all slices together: the medians, since one slice of a busy machine says little."""
    def middle(key):
        return statistics.median(key(one) for one in slices)
    settings = [one["settings"] for one in slices]
    peak = statistics.median(one["peak_per_second"] for one in settings)
    sent = statistics.median(one["many_sent_per_second"] / one["peak_per_second"] for one in settings)
    goodput = middle(lambda one: one["settings"]["many_answered_per_second"] / one["settings"]["peak_per_second"])
    latency = middle(lambda one: one["settings"]["many_p99_micros"] / one["settings"]["peak_p99_micros"])
    grown = max(one["many_pss_bytes"] - one["pss_bytes_before"] for one in settings)
    recovery = max(one["recovery_ms"] for one in settings)
    proof.measured.update({"peak_per_second": round(peak), "offered_to_peak": round(sent, 2), "goodput_to_peak": round(goodput, 3), "p99_to_that_at_the_peak": round(latency, 2),
                           "memory_grown_mib": round(grown / 2**20, 1), "recovery_ms_at_most": round(recovery)})
    proof.table("Each time", ("peak, a second", "sent, times the peak", "answered 2001, of the peak", "answered at once the peak", "p99 at the peak, ms", "p99 at once the peak, ms", "p99 at ten times, ms", "core and cell, us each, at once the peak", "at ten times", "memory grown, MiB", "normal after, ms"),
                [[round(one["peak_per_second"]), round(one["many_sent_per_second"] / one["peak_per_second"], 2), round(one["many_answered_per_second"] / one["peak_per_second"], 3), round(one["once_answered_per_second"] / one["peak_per_second"], 3),
                  round(one["peak_p99_micros"] / 1000, 1), round(one["once_p99_micros"] / 1000, 1),
                  round(one["many_p99_micros"] / 1000, 1), *(round(one[f"{step}_cpu_micros_core"] + one[f"{step}_cpu_micros_cell"], 2) for step in ("once", "many")), round((one["many_pss_bytes"] - one["pss_bytes_before"]) / 2**20, 1), round(one["recovery_ms"])] for one in settings])
    if sent < OFFERED * TIMES:
        proof.unavailable(f"only {sent:.1f} times the peak could be sent here")
    if goodput < GOODPUT:
        proof.fail(f"goodput is {goodput:.3f} of the peak, not {GOODPUT}")
    if latency > LATENCY:
        proof.fail(f"the 99th percentile of what is answered is {latency:.2f} times that at the peak, more than {LATENCY}")
    if grown > MEMORY_BYTES:
        proof.fail(f"the rooms' memory grew by {grown >> 20} MiB")
    if recovery < 0 or recovery > RECOVERY_MS:
        proof.fail(f"it was itself again after {recovery:.0f} ms" if recovery >= 0 else "it was not itself again in 15 s")


def run(proof):
    proof.measured["flow_tests"] = proof.pytest("test/flow/test_overload.py", "test/flow/test_doic.py")
    quota = Quota(proof)
    slices = proof.state.setdefault("slices", [])
    try:
        while not proof.over():
            slices.append(offered(proof, quota))
            proof.count(SLICE_S)
    finally:
        quota.close()
    judged(proof, slices)
