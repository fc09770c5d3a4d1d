"""One host, twins of one image, uplinks of random ones at an even rate; windows without and with badly behaved twins, in pairs, in either
order. First one twin of them runs away: each of its events, a hundred a second, is an endless loop. Then a hundredth of all twins is
hostile, a hundred events a second together: traps, endless loops, floods of downlinks, of log lines, memory that grows. They
go on from window to window, and so do their penalties: what the host has to learn of them at first is in the first pair alone, which is told beside the
others. Told is the 99th percentile of the others' answers, as the ratio of the two windows of a pair, and the median over the pairs. Every event has to be answered 2001, the hostile ones too."""
PROMISE = "A runaway twin costs the others 5 % of their 99th percentile at most, a hundredth of hostile twins 20 %"
UNIT = "pairs of windows"
SHORT, LONG = 20, 120
SECONDS = 110
IN_CHECK = False
LIMITS = "Load and host share the machine's CPUs; the short form has 4,000 twins, the long one 100,000; a pair's ratio scatters with whatever else the machine does, so the spread is told beside the median"

import pathlib
import random
import select
import statistics
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "peers")]
import hostile  # noqa: E402
from host import Host  # noqa: E402
from mme import Load, Mme  # noqa: E402

RATE, BAD_RATE = 1000, 100      # uplinks a second: of the others, of those that behave badly
WINDOW_S, LONG_WINDOW_S = 2, 6
RUNAWAY_MOST, HOSTILE_MOST = 1.05, 1.20


def imsi(index):
    return f"001017{index:09d}"


def name(index):
    return f"r{index}@acme.example"


class Stage:
    """The host, its twins, and a connection each for those that behave and those that do not."""

    def __init__(self, host, twins):
        self.host, self.twins, self.end = host, twins, 0
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

    def window(self, seconds, bad_event=None):
        """Milliseconds of each good answer; what was answered otherwise than 2001."""
        self.good.results, self.bad.results = {}, {}
        sent, took = {}, []
        begin = time.monotonic()
        counts = {self.good: 0, self.bad: 0}
        rates = {self.good: RATE, self.bad: BAD_RATE if bad_event else 0}
        choose = random.Random(self.end)
        while (now := time.monotonic()) < begin + seconds or self.good.waiting or self.bad.waiting:
            for load, rate in rates.items():
                while now < begin + seconds and counts[load] < (now - begin) * rate:
                    counts[load] += 1
                    self.end += 1
                    index, data = bad_event() if load is self.bad else (choose.randrange(self.twins // 100, self.twins), bytes([hostile.GOOD, 0]))
                    sent[self.end] = begin + counts[load] / rate  # when it was due: a late sender is not forgiven
                    load.send(imsi(index), data, self.end)
            ready, _, _ = select.select([self.good.socket, self.bad.socket], [], [], 0.0005)
            for load in rates:
                if load.socket not in ready:
                    continue
                before = len(load.results)
                load.receive()
                now = time.monotonic()
                if load is self.good:
                    took += [now - sent[end] for end in list(load.results)[before:]]
            assert now < begin + seconds + 60, "answers never came"
        wrong = [result for load in rates for result in load.results.values() if result != 2001]
        return sorted(took), wrong


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def pair(proof, stage, number, bad_event):
    """Ratio of the 99th percentiles."""
    seconds = LONG_WINDOW_S if proof.is_long else WINDOW_S
    tails = {}
    for is_bad in ((False, True), (True, False))[number % 2]:
        took, wrong = stage.window(seconds, bad_event if is_bad else None)
        if wrong:
            proof.fail(f"pair {number}: {len(wrong)} uplinks were answered otherwise than 2001: {set(wrong)}")
        tails[is_bad] = percentile(took, 0.99)
    return tails[True] / tails[False], tails[False]


def run(proof):
    twins = 100_000 if proof.is_long else 4_000
    ratios = {which: proof.state.get(which, []) for which in ("runaway", "hostile")}
    with Host(thermo=False) as host:
        stage = Stage(host, twins)
        stage.window(2)
        quiet = []
        while not proof.over():
            number = proof.done
            choose = random.Random(proof.seed_of(number))
            is_runaway = number % 2 == 0  # every other pair is the one or the other
            indices = [0] if is_runaway else range(twins // 100)
            kinds = (hostile.TRAP, hostile.LOOP, hostile.DOWNLINKS, hostile.LOGS, hostile.GROW)
            event = (lambda: (0, bytes([hostile.LOOP, 0]))) if is_runaway else \
                (lambda: (choose.choice(indices), bytes([choose.choice(kinds), choose.randrange(20, 100)])))
            ratio, tail = pair(proof, stage, number // 2, event)
            ratios["runaway" if is_runaway else "hostile"].append(ratio)
            quiet.append(tail)
            proof.state.update(ratios)
            proof.count()
        stage.close()
    for which, found in ratios.items():
        if found:
            proof.measured[f"{which}_p99_ratio_first"] = round(found[0], 3)
            proof.measured[f"{which}_p99_ratio_median"] = round(statistics.median(found), 3)
            proof.measured[f"{which}_p99_ratio_lowest"] = round(min(found), 3)
            proof.measured[f"{which}_p99_ratio_highest"] = round(max(found), 3)
    if quiet:
        proof.measured["quiet_p99_milliseconds"] = round(statistics.median(quiet) * 1000, 2)
    proof.measured["twins"] = twins
    for which, most in (("runaway", RUNAWAY_MOST), ("hostile", HOSTILE_MOST)):
        if ratios[which] and proof.done >= proof.wanted and statistics.median(ratios[which]) > most:
            proof.fail(f"{which}: the others' 99th percentile is {statistics.median(ratios[which]):.2f} times what it is without, {most} is promised; "
                       f"pairs from {min(ratios[which]):.2f} to {max(ratios[which]):.2f}")
