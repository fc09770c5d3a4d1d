#!/usr/bin/env python3
"""A thermometer's twin once more, in another language and from its description
alone: makes random lives with what each event must bring, and lets `dromio-twin
test` compare.

    reference.py DROMIO_TWIN THERMO_WASM THERMO_MOVED_WASM [SEED...]
"""
import json
import random
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

STEPS = 600


def show(number):
    """As JSON has it: rounded to 1e-9, no more digits than needed."""
    nearest = float(round(Fraction(number), 9))
    return str(int(nearest)) if nearest == int(nearest) else repr(nearest)


class Thermometer:
    """What docs and model promise. `lines` collects what an event brings."""

    def __init__(self):
        self.calibration = Fraction(0)
        self.last = None
        self.late_before = None
        self.published = []
        self.counts = dict.fromkeys(("readings", "rejected", "lost", "duplicates", "late"), 0)
        self.battery_low = None
        self.limit = None
        self.hot = False
        self.before = None       # period desired or reported, to go back to
        self.own_request = False  # a 60 of ours may still be confirmed
        self.lines = []

    def count(self, name, more=1):
        self.counts[name] += more
        self.lines.append(f"{name} = {self.counts[name]}")

    def ask_period(self, seconds):
        self.lines.append(f"downlink 81{seconds:04x} merge 1")

    def uplink(self, frame):
        self.lines = []
        if len(frame) == 8 and frame[0] == 1:
            check = 0
            for byte in frame:
                check ^= byte
            if check == 0:
                return self.reading(frame[1], int.from_bytes(frame[2:4], "big", signed=True), frame[4],
                                    int.from_bytes(frame[5:7], "big"))
        if len(frame) == 3 and frame[0] == 2:
            return self.confirmed(int.from_bytes(frame[1:], "big"))
        return self.count("rejected")

    def reading(self, sequence, raw, humidity, millivolts):
        if self.last is not None:
            distance = (sequence - self.last) % 256
            if distance == 0:
                self.late_before = None
                return self.count("duplicates")
            if distance >= 192:
                if self.late_before is None or sequence != (self.late_before + 1) % 256:
                    self.late_before = sequence
                    return self.count("late")
            elif distance > 1:
                self.count("lost", distance - 1)
        self.last, self.late_before = sequence, None
        temperature = Fraction(raw, 100) + self.calibration
        self.published = (self.published + [temperature])[-16:]
        self.lines.append(f"temperature = {show(temperature)}" + (" (corrected)" if self.calibration else ""))
        percent = show(Fraction(humidity, 2)) if humidity <= 200 else "100 (corrected)"
        self.lines.append(f"humidity = {percent}")
        self.lines.append(f"battery = {show(Fraction(millivolts, 1000))}")
        self.lines.append(f"average = {show(sum(self.published) / len(self.published))}")
        self.count("readings")
        self.battery(millivolts)
        return self.heat(temperature)

    def battery(self, millivolts):
        low = millivolts < 3000 or (bool(self.battery_low) and millivolts < 3100)
        if low != self.battery_low:
            self.lines.append(f"battery_low = {'true' if low else 'false'}")
        self.battery_low = low

    def heat(self, temperature):
        if self.limit is None:
            return
        if not self.hot and temperature > self.limit:
            self.hot = self.own_request = True
            self.lines.append(f"event too_hot {show(temperature)}")
            self.ask_period(60)
        elif self.hot and temperature <= self.limit - 1:
            self.hot = False
            if self.before is not None:
                self.ask_period(self.before)

    def confirmed(self, period):
        self.lines.append(f"period = {period}")
        if period < 10:
            return
        if self.own_request and period == 60:
            return
        if self.hot and self.before is not None:
            return
        self.before = period
        self.own_request = self.hot

    def write_period(self, period):
        self.lines = []
        self.before = period
        self.own_request = self.hot
        self.ask_period(period)

    def write_limit(self, limit):
        self.limit = limit
        self.lines = [f"limit = {show(limit)}"]


class Device:
    """Sends what a device would, and now and then what none would."""

    def __init__(self, dice):
        self.dice = dice
        self.sequence = dice.randrange(256)
        self.celsius = 2000

    def frame(self):
        dice = self.dice
        jump = dice.choices((1, 0, 2, -1, dice.randrange(256), 191, 192, 64), (60, 6, 6, 6, 8, 1, 1, 1))[0]
        self.sequence = (self.sequence + jump) % 256
        self.celsius = max(-32768, min(32767, self.celsius + dice.randint(-150, 150)))
        if dice.random() < 0.02:
            self.celsius = dice.choice((-32768, 32767, 0, -1))
        battery = dice.choice((2999, 3000, 3050, 3099, 3100, dice.randrange(65536)))
        body = bytes([1, self.sequence]) + self.celsius.to_bytes(2, "big", signed=True) + bytes([dice.randrange(256)])
        body += battery.to_bytes(2, "big")
        check = 0
        for byte in body:
            check ^= byte
        return body + bytes([check])

    def noise(self):
        frame = bytearray(self.frame())
        kind = self.dice.randrange(4)
        if kind == 0:
            frame[self.dice.randrange(8)] ^= 1 << self.dice.randrange(8)
        elif kind == 1:
            del frame[self.dice.randrange(8):]
        elif kind == 2:
            frame += bytes(self.dice.randrange(1, 9))
        else:
            frame = bytearray(self.dice.randbytes(self.dice.randrange(12)))
        return bytes(frame)


def life(seed):
    dice = random.Random(seed)
    twin, device = Thermometer(), Device(dice)
    steps = [{"created": {}, "expect": [f"{name} = 0" for name in twin.counts]}]
    unmixed = 16  # readings since the calibration changed; twins average exactly over one change, not over several
    for _ in range(STEPS):
        what = dice.choices(("reading", "noise", "confirm", "period", "limit", "calibration", "move"),
                            (70, 8, 6, 4, 4, 3, 3))[0]
        if what == "calibration" and unmixed < 16:
            what = "reading"
        if what in ("reading", "noise", "confirm"):
            known = (60, 60, twin.before or 300, dice.randrange(10, 65536), dice.randrange(12))
            frame = device.frame() if what == "reading" else device.noise() if what == "noise" else \
                b"\x02" + dice.choice(known).to_bytes(2, "big")
            readings = twin.counts["readings"]
            twin.uplink(frame)
            unmixed += twin.counts["readings"] - readings
            steps.append({"uplink": frame.hex(" "), "expect": twin.lines})
        elif what == "period":
            period = dice.choice((10, 60, 600, 65535, dice.randrange(10, 65536)))
            twin.write_period(period)
            steps.append({"write": {"period": period}, "expect": twin.lines})
        elif what == "limit":
            limit = device.celsius / 100 + dice.choice((-1, 0, 0.5, 1, 3))
            limit = float(f"{limit:.2f}")
            twin.write_limit(Fraction(str(limit)))
            steps.append({"write": {"limit": limit}, "expect": twin.lines})
        elif what == "calibration":
            calibration = dice.choice((None, 0, 0.3, -1.25, 2.5, 0.125))
            twin.calibration = Fraction(str(calibration or 0))
            unmixed = 0
            steps.append({"configured": {"calibration": calibration}, "expect": []})
        else:
            steps.append({"move": True, "expect": []})
    return {"title": f"a random life, seed {seed}", "context_max": 200, "steps": steps}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    tool, image, moved, *seeds = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for seed in [int(seed) for seed in seeds] or range(40):
            Path(folder, f"life-{seed:04}.json").write_text(json.dumps(life(seed)), encoding="utf-8")
        sys.exit(subprocess.run([tool, "test", image, folder, "--next", moved]).returncode)


main()
