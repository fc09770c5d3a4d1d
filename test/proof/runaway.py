"""One host, twins of one image, uplinks of random ones at an even rate; windows without and with badly behaved twins, in pairs, in either
order (ABBA). First one twin of them runs away: each of its events, a hundred a second, is an endless loop. Then a hundredth of all twins is
hostile, a hundred events a second together: traps, endless loops, floods of downlinks, of log lines, memory that grows. In the windows without, as many
other twins have as many events, and behave: so the load is the same, and what is measured is what they do. The bad ones go on from window to window, and so do their penalties: what the host has to learn of them at first is in the first pair of each sort alone, which is told beside the
others. Judged is the 99th percentile of all of the others' answers with them over that of all without, an answer's time counted from when its uplink was due; beside it stands the interval in which 95 of 100
resamples of the pairs lie. Where it is wider than what is allowed and does not lie on one side of it, this machine cannot judge, and the proof says so. A pair in which others used more than a quarter of a CPU is
left out and made again, and of the rest the answers that were under way while the machine stood still: a witness of real-time priority on each CPU was late by more than half a millisecond. How many is told. The data lie in
memory where there is `/dev/shm`: what is measured is what twins do to each other, not the disk. Every event has to be answered 2001, the hostile ones too. CPU time of
the host for each of the others' answers is told too: it says what the badly behaved cost where others use the machine."""
PROMISE = "Once it is known, a runaway twin costs the others 5 % of their 99th percentile at most, a hundredth of hostile twins 20 %"
UNIT = "pairs of windows"
SHORT, LONG = 400, 6000
SECONDS = 690
IN_CHECK = False
LIMITS = "The first pair of each sort, in which the host learns which twins are bad, is told and not judged; load and host share the machine's CPUs; the short form has 4,000 twins, the long one 100,000; the interval says how far the machine scatters, not what other machines do; without the right to real-time priority there is no witness"

import bisect
import gc
import math
import os
import pathlib
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "peers")]
import hostile  # noqa: E402
from host import Host  # noqa: E402
from mme import Load, Mme  # noqa: E402

RATE, BAD_RATE = 2000, 100      # uplinks a second: of the others, of those that behave badly
WINDOW_S = 0.5                  # short and many: what else the machine does falls on both sorts alike
MOST = {"runaway": 1.05, "hostile": 1.20}
SHARE = 0.99
OTHERS_MOST = 0.25               # of a CPU, of a window's time
RESAMPLES = 1000
STILL_BEFORE_S, STILL_AFTER_S = 0.002, 0.003  # around what the witness saw: its period, and what waited is worked off
TICKS = os.sysconf("SC_CLK_TCK")
STEP = math.log(1.002)          # times are kept in steps of so much


def imsi(index):
    return f"001017{index:09d}"


def name(index):
    return f"r{index}@acme.example"


def machine_cpu():
    """Seconds that all CPUs spent, stolen ones too."""
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS


class Witness:
    """When the machine stood still."""

    def __init__(self, proof):
        program = proof.work / "witness"
        proof.run("cc", "-O2", "-Wall", "-pthread", "-o", program, pathlib.Path(__file__).with_name("_witness.c"))
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def stills(self):
        """[[from, to], ...] since it was asked last; None: it has not the right to watch."""
        time.sleep(0.01)  # what it has seen last is on its way
        lines = (self.rest + (self.process.stdout.read() or b"")).split(b"\n")
        self.rest = lines.pop()
        if b"none" in lines:
            return None
        found = []
        for begin, end in sorted(tuple(map(float, line.split())) for line in lines):
            begin, end = begin - STILL_BEFORE_S, end + STILL_AFTER_S
            if found and begin <= found[-1][1]:
                found[-1][1] = max(found[-1][1], end)
            else:
                found.append([begin, end])
        return found


def undisturbed(answers, stills):
    """Seconds of those [(due, answered), ...] that were not under way in a still. A still that has begun lasts until what waits is worked off."""
    starts = [begin for begin, _ in stills]
    took = []
    for due, answered in answers:
        at = bisect.bisect_right(starts, answered) - 1
        if at < 0 or stills[at][1] < due:
            took.append(answered - due)
    return took


class Stage:
    """The host, its twins, and a connection each for those that behave and those that do not."""

    def __init__(self, host, twins, witness):
        self.host, self.twins, self.end, self.witness = host, twins, 0, witness
        self.is_watched = True
        with tempfile.TemporaryDirectory() as directory:
            image = host.push(hostile.image(pathlib.Path(directory))).json()["image"]
        for first in range(0, twins, 5000):
            lines = [{"id": name(index), "image": image, "imsi": imsi(index)} for index in range(first, min(first + 5000, twins))]
            assert all(line["status"] == 201 for line in host.admin.bulk(lines))
        with Mme(host, identity="attach.epc.test") as mme:
            for index in range(twins):
                mme.attach(imsi(index))
        self.good, self.bad = Load(host, "good.epc.test"), Load(host, "bad.epc.test")

    def close(self):
        self.good.close()
        self.bad.close()

    def cpu(self):
        """Seconds that each room has used, all its threads."""
        found = {}
        for pid in [self.host.process.pid, *self.host.rooms().values()]:
            try:
                found[pid] = sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9
            except OSError:
                continue  # replaced meanwhile
        return found

    def window(self, seconds, event=None):
        """Seconds of each good answer that the machine did not disturb, and how many it did; CPU seconds of the host; what was answered otherwise than 2001; the part of a CPU that others used."""
        self.good.results, self.bad.results = {}, {}
        due, answers = {}, []
        self.witness.stills()
        before, before_all, begin = self.cpu(), machine_cpu() - time.process_time(), time.monotonic()
        counts = {self.good: 0, self.bad: 0}
        rates = {self.good: RATE, self.bad: BAD_RATE if event else 0}
        choose = random.Random(self.end)
        while (now := time.monotonic()) < begin + seconds or self.good.waiting or self.bad.waiting:
            for load, rate in rates.items():
                while now < begin + seconds and counts[load] < (now - begin) * rate:
                    self.end += 1
                    index, data = event() if load is self.bad else (choose.randrange(2 * self.twins // 100, self.twins), bytes([hostile.GOOD, 0]))
                    due[self.end] = begin + counts[load] / rate  # a late sender is not forgiven
                    counts[load] += 1
                    load.send(imsi(index), data, self.end)
            next_due = begin + counts[self.good] / RATE
            ready, _, _ = select.select([self.good.socket, self.bad.socket], [], [], max(0, next_due - time.monotonic()) if next_due < begin + seconds else 0.01)
            for load in rates:
                if load.socket not in ready:
                    continue
                known = len(load.results)
                load.receive()
                now = time.monotonic()
                if load is self.good:
                    answers += [(due[end], now) for end in list(load.results)[known:]]
            assert now < begin + seconds + 60, "answers never came"
        wrong = [result for load in rates for result in load.results.values() if result != 2001]
        lasted, others = time.monotonic() - begin, machine_cpu() - time.process_time() - before_all
        cpu = sum(now - before[pid] for pid, now in self.cpu().items() if pid in before)
        stills = self.witness.stills()
        self.is_watched = self.is_watched and stills is not None
        took = undisturbed(answers, stills or [])
        return took, len(answers) - len(took), cpu, wrong, (others - cpu) / lasted


def steps_of(took):
    """How many of each time, as [[step, count], ...]."""
    found = {}
    for seconds in took:
        step = int(math.log(max(seconds, 1e-6)) / STEP)
        found[step] = found.get(step, 0) + 1
    return sorted(found.items())


def tail(windows, weights):
    """The percentile of all windows' answers, each window's as often as its weight says. `windows`: (number of answers of each, [(step, window, count)] from the slowest on)."""
    counts, slowest = windows
    left = sum(count * weight for count, weight in zip(counts, weights)) * (1 - SHARE)
    for step, window, count in slowest:
        left -= count * weights[window]
        if left <= 0:
            return math.exp(step * STEP)
    return 0.0


def ratio_of(pairs, seed):
    """(ratio, its lowest, its highest, the percentile without) of pairs of windows, by resamples of whole pairs: answers of one moment are late together."""
    kinds = [([sum(count for _, count in pair[is_bad]) for pair in pairs],
              sorted(((step, at, count) for at, pair in enumerate(pairs) for step, count in pair[is_bad]), reverse=True)) for is_bad in (0, 1)]
    choose, found = random.Random(seed), []
    for _ in range(RESAMPLES):
        weights = [0] * len(pairs)
        for _ in pairs:
            weights[choose.randrange(len(pairs))] += 1
        found.append(tail(kinds[1], weights) / tail(kinds[0], weights))
    found.sort()
    ones = [1] * len(pairs)
    quiet = tail(kinds[0], ones)
    return tail(kinds[1], ones) / quiet, found[int(RESAMPLES * 0.025)], found[int(RESAMPLES * 0.975)], quiet


def verdict(ratio, low, high, most):
    """True: kept; False: broken; None: the interval is wider than what is allowed, and on both sides of it."""
    if high <= most:
        return True
    if low > most:
        return False
    return ratio <= most if high - low <= 2 * (most - 1) else None


def pair(proof, stage, number, bad_event):
    """Times and CPU seconds without and with; how many answers the machine disturbed; was it ours?"""
    found, cpu, disturbed, is_ours = [None, None], [0.0, 0.0], 0, True
    for is_bad in ((False, True), (True, False))[number % 2]:
        took, lost, cpu[is_bad], wrong, others = stage.window(WINDOW_S, bad_event if is_bad else lambda: (stage.twins // 100 + bad_event()[0], bytes([hostile.GOOD, 0])))
        if wrong:
            proof.fail(f"pair {number}: {len(wrong)} uplinks were answered otherwise than 2001: {set(wrong)}")
        found[is_bad] = steps_of(took)
        disturbed += lost
        is_ours = is_ours and others <= OTHERS_MOST
    return found, cpu, disturbed, is_ours


def measure(proof, stage, state):
    """Pairs of the one sort, and now and then of the other."""
    kinds = (hostile.TRAP, hostile.LOOP, hostile.DOWNLINKS, hostile.LOGS, hostile.GROW)
    is_first = {which: True for which in MOST}
    while not proof.over():
        number = proof.done
        choose = random.Random(proof.seed_of(number))
        which = "hostile" if number % 4 == 3 else "runaway"  # less is allowed of the one, so more has to be known of it
        event = {"runaway": lambda: (0, bytes([hostile.LOOP, 0])),
                 "hostile": lambda: (choose.randrange(stage.twins // 100), bytes([choose.choice(kinds), choose.randrange(20, 100)]))}[which]
        found, cpu, disturbed, is_ours = pair(proof, stage, len(state[which]["pairs"]), event)
        gc.collect()
        if not is_ours and not is_first[which]:
            state["left_out"] += 1
            if state["left_out"] > proof.wanted:
                proof.unavailable(f"others use this machine: {state['left_out']} pairs of windows had to be left out, {proof.done} were undisturbed")
            continue
        state[which]["first" if is_first[which] else "pairs"].append(found)
        is_first[which] = False
        state["disturbed"] += disturbed
        state[which]["cpu"] = [a + b for a, b in zip(state[which]["cpu"], cpu)]
        proof.count()


def told(proof, which, kept):
    """Into the document; what is wrong, or None."""
    ratio, low, high, quiet = ratio_of(kept["pairs"], proof.seed)
    first = ratio_of(kept["first"], proof.seed)[0]
    answers = [sum(count for each in kept["pairs"] + kept["first"] for _, count in each[is_bad]) for is_bad in (0, 1)]
    micros = [1e6 * cpu / count for cpu, count in zip(kept["cpu"], answers)]
    proof.measured.update({f"{which}_p99_ratio": round(ratio, 3), f"{which}_p99_ratio_lowest_of_95_percent": round(low, 3), f"{which}_p99_ratio_highest_of_95_percent": round(high, 3),
                           f"{which}_p99_ratio_of_the_first_pair": round(first, 3), f"{which}_quiet_p99_milliseconds": round(quiet * 1000, 2),
                           f"{which}_answers_each": answers[1], f"{which}_cpu_micros_an_answer_without": round(micros[0], 2), f"{which}_cpu_micros_an_answer_with": round(micros[1], 2)})
    text = f"{which}: the others' 99th percentile is {ratio:.3f} times what it is without, {low:.3f} to {high:.3f}; {MOST[which]} is promised"
    return verdict(ratio, low, high, MOST[which]), text


def run(proof):
    twins = 100_000 if proof.is_long else 4_000
    state = proof.state
    for which in MOST:
        state.setdefault(which, {"first": [], "pairs": [], "cpu": [0.0, 0.0]})
    state.setdefault("left_out", 0)
    state.setdefault("disturbed", 0)
    memory = pathlib.Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="dromio-runaway-", dir=memory)
    witness = Witness(proof)
    gc.disable()  # between pairs only
    try:
        with Host('log.segment="1MiB"', directory=directory, thermo=False) as host:
            stage = Stage(host, twins, witness)
            stage.window(2)
            measure(proof, stage, state)
            stage.close()
    finally:
        gc.enable()
        witness.close()
        shutil.rmtree(directory, ignore_errors=True)
    proof.measured["twins"] = twins
    proof.measured["pairs_left_out"] = state["left_out"]
    proof.measured["answers_while_the_machine_stood_still"] = state["disturbed"] if stage.is_watched else "not known"
    found = [told(proof, which, state[which]) for which in MOST if len(state[which]["pairs"]) > 1]
    if proof.done < proof.wanted:
        return
    for is_kept, text in found:
        if is_kept is False:
            proof.fail(text)
    for is_kept, text in found:
        if is_kept is None:
            proof.unavailable(f"this machine scatters too much to judge: {text}")
