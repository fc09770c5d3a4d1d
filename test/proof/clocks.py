"""A host whose wall clock is set by the test (a library in front of the C library's, for all its rooms; the monotonic clock is the machine's): ten years ahead and back, ten years behind
and back, stopped, small steps back, an hour back, days ahead, and small jumps at random by the seed. Around each jump devices send, applications read, write, ask for tokens, wait for a sleeping
device, follow events and get notifications. All of it has to go on at once, every reading counts once, what waits still waits, tokens are as good as before, no
time that is answered is further from the test's own clock than the host may believe, events' times never go back (a device sends all the time while the host looks at its clock), and what was kept waiting leaves. At last the clock jumps while the host is stopped."""
PROMISE = "A wall clock that jumps or stops loses nothing, and nothing comes in a flood or never again"
UNIT = "jumps"
SHORT, LONG = 24, 20000
SECONDS = 40
IN_CHECK = True
LIMITS = "Certificates are judged by the machine's clock, not the host's; a host that is started with a clock that is years off keeps that time; the cores' own timers are shown by unit tests on fake time"

import contextlib
import datetime
import json
import os
import pathlib
import random
import struct
import time

from access import Application
from host import Client, Host, thermo_reading, until
from mme import Mme
from sink import Sink
from t8 import CALLBACKS

YEAR_S, DAY_S, HOUR_S = 365 * 86400, 86400, 3600
NS = 1000000000
IMSI, SLEEPER, HURRIED = "001010000000001", "001010000000002", "001010000000003"
LOOK_S, HURRY_S, HURRY_ROWS = 1.2, 0.01, 200  # in which dromiod looks at the clock: it does so once a second; between two uplinks; of a timeline at once
TOLD_S = 5  # what is answered and what the test reads lie apart by this, at most


class Wall:
    """The clock's file."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "wall"
        self.path.write_bytes(bytes(16))
        self.furthest_s = 0.0  # from the true time, that it was set to

    def put(self, offset_s=0.0, fixed_s=0.0):
        self.furthest_s = max(self.furthest_s, abs(offset_s))
        with open(self.path, "r+b") as file:
            file.write(struct.pack("qq", int(offset_s * NS), int(fixed_s * NS)))


class SetHost(Host):
    """One whose wall clock is the file's."""

    def __init__(self, library, wall, *settings, **more):
        super().__init__(*settings, **more)
        self.library, self.wall = library, wall

    def start(self):
        before = {name: os.environ.get(name) for name in ("LD_PRELOAD", "WALL_CLOCK")}
        os.environ.update(LD_PRELOAD=str(self.library), WALL_CLOCK=str(self.wall.path))
        try:
            super().start()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Story:
    """What goes on around each jump."""

    def __init__(self, proof, host, sink, mme):
        self.proof, self.host, self.sink, self.mme = proof, host, sink, mme
        self.sent, self.sequence, self.hurried, self.newest, self.what = 0, 0, 0, 0.0, "the beginning"
        host.admin.put_twin("a@acme.example", imsi=IMSI)
        host.admin.put_twin("sleeper@acme.example", imsi=SLEEPER)
        self.app = Application(host, "app", scopes=("read", "write", "nidd"))
        self.token = self.app.token()
        self.client = host.client(self.app.secret)
        made = self.client.post("/3gpp-nidd/v1/app/configurations", {"externalId": "a@acme.example", "notificationDestination": sink.link("/notes")})
        assert made.status == 201, made
        host.admin.put_twin("hurried@acme.example", imsi=HURRIED)
        mme.attach(IMSI)
        mme.attach(HURRIED)
        self.ticket = self.client.write("sleeper@acme.example", "period", 600).json()["ticket"]
        self.session = host.client(host.admin.post("/v1/logins").json()["token"]).post("/v1/sessions").json()["token"]

    def check(self, is_so, text):
        if not is_so:
            self.proof.fail(f"{self.what}: {text}")

    def near(self, text, off_s, what):
        """A time that was answered: near the true one, or so far off as the host may believe."""
        apart = seconds_of(text) - time.time()
        self.check(min(0, off_s) - TOLD_S <= apart <= max(0, off_s) + TOLD_S, f"{what} is {text}, {apart:.0f} s off")
        return seconds_of(text)

    def go_on(self, what, off_s=0.0):
        self.what = what
        begun = time.monotonic()
        self.sequence = (self.sequence + 1) % 256
        self.mme.uplink(IMSI, thermo_reading(self.sequence, 20))
        self.sent += 1
        seen = self.host.admin.property("a@acme.example", "readings")
        self.check(seen["value"] == self.sent, f"{seen['value']} readings of {self.sent}")
        now = self.near(seen["time"], off_s, "a reading's time")
        self.check(now >= self.newest, f"time went back by {self.newest - now:.3f} s")
        self.newest = now
        until(lambda: len(self.sink.taken("/notes")) >= self.sent, f"{what}: the notification")
        self.check(len(self.sink.taken("/notes")) == self.sent, "notifications came twice")
        self.check(self.host.client(self.token).get("/v1/twins/a@acme.example").status == 200, "a token is not good any more")
        self.check(self.host.client(self.session).get("/v1/status").status == 200, "a session is not good any more")
        self.check(self.host.client(self.app.token()).get("/v1/twins/a@acme.example").status == 200, "a new token is not good")
        self.check(self.client.ticket("sleeper@acme.example", self.ticket)["state"] == "pending", "what waits for a device does not any more")
        self.check(self.client.get("/v1/twins/a@acme.example").status == 200 and self.host.admin.get("/healthz").status == 200, "it is not well")
        written = self.client.write("a@acme.example", "period", 60 + self.sent % 600, "?wait=delivered&timeout=20s")
        self.check(written.status == 200, f"a command is not delivered: {written}")
        took = time.monotonic() - begun
        self.check(took < 20, f"all of it took {took:.1f} s")

    def settle(self, what):
        """Until dromiod has looked at the clock. Who sends meanwhile sees it happen."""
        self.what, end = what, time.monotonic() + LOOK_S
        while time.monotonic() < end:
            self.hurried = (self.hurried + 1) % 256
            self.mme.uplink(HURRIED, thermo_reading(self.hurried, 20))
            time.sleep(HURRY_S)
        self.check_order("hurried@acme.example")

    def check_order(self, twin):
        times = [seconds_of(event["time"]) for event in self.host.admin.get(f"/v1/twins/{twin}/timeline?limit={HURRY_ROWS}").json()["events"]]
        self.check(times == sorted(times, reverse=True), f"the times of {twin}'s timeline go back by {max(old - new for new, old in zip(times, times[1:])):.3f} s")

    def end(self):
        """What waited all the time leaves when its device comes."""
        self.mme.attach(SLEEPER)
        self.mme.uplink(SLEEPER, thermo_reading(1, 5))
        until(lambda: self.client.ticket("sleeper@acme.example", self.ticket)["state"] in ("sent", "delivered", "reported"), "the downlink that waited")
        self.check_order("a@acme.example")


def jumps(chance):
    """Name, offset, fixed, how far the host may follow (s), is it one that the host does not believe."""
    base = [("ten years ahead", 10 * YEAR_S, False, 0, True), ("ten years ahead, back", 0, False, 0, False), ("ten years behind", -10 * YEAR_S, False, 0, True), ("ten years behind, back", 0, False, 0, False),
            ("stopped", 0, True, 0, False), ("running again", 0, False, 0, False), ("a second back", -1, False, 0, False), ("right again", 0, False, 0, False),
            ("an hour back", -HOUR_S, False, 0, False), ("right again", 0, False, 0, False), ("8 days ahead", 8 * DAY_S, False, 0, True), ("right again", 0, False, 0, False)]
    yield from base
    while True:
        kind = chance.random()
        if kind < 0.4:
            yield "at random, not to be believed", chance.choice((-1, 1)) * chance.randrange(8 * DAY_S, 20 * YEAR_S), False, 0, True
        elif kind < 0.5:
            yield "stopped", 0, True, 0, False
        elif kind < 0.8:
            yield "at random, a little back", -chance.random() * HOUR_S, False, 0, False
        else:
            yield "right again", 0, False, 0, False


def run(proof):
    library = proof.work / "wall_clock.so"
    proof.run("cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", library, pathlib.Path(__file__).with_name("_wall_clock.c"))
    wall = Wall(proof.work)
    chance = random.Random(proof.seed_of(proof.done))
    with SetHost(library, wall, CALLBACKS, "host.cores=1", "host.gates=1") as host, Sink() as sink:
        with Mme(host) as mme:
            story = Story(proof, host, sink, mme)
            story.go_on("before any jump")
            for name, offset, is_fixed, follows, is_unbelieved in jumps(chance):
                if proof.over() or proof.done >= proof.wanted - 4:
                    break
                wall.put(offset, time.time() if is_fixed else 0)
                story.settle(f"{name} ({offset:.0f} s)")
                off = host.metric("dromio_clock_off_seconds")
                if is_unbelieved != (off != 0):
                    proof.fail(f"{name} ({offset} s): the host says its clock is {off} s off")
                story.go_on(f"{name} ({offset:.0f} s)", follows)
                proof.count()
            wall.put()
            story.settle("the right clock at the end")
            story.end()
        restarts(proof, host, wall)
    proof.measured["readings"] = proof.measured.get("readings", 0) + story.sent
    proof.state["furthest_s"] = max(proof.state.get("furthest_s", 0.0), wall.furthest_s)
    proof.measured["furthest from the true time, years"] = round(proof.state["furthest_s"] / YEAR_S, 1)


def restarts(proof, host, wall):
    """The clock is another one at the next start: all is there, it works, and so it does with the right clock again."""
    imsi = "001010000000009"
    host.admin.put_twin("r@acme.example", imsi=imsi)
    for number, (name, offset) in enumerate((("ten years ahead", 10 * YEAR_S), ("right again", 0), ("ten years behind", -10 * YEAR_S), ("right again", 0))):
        host.kill() if number % 2 else host.stop()
        wall.put(offset)
        host.admin.close()
        host.start()
        with Mme(host) as mme:
            mme.attach(imsi)
            mme.uplink(imsi, thermo_reading(number + 1, 7))
            if host.admin.value("r@acme.example", "readings") != number + 1:
                proof.fail(f"after a start {name} {host.admin.value('r@acme.example', 'readings')} readings of {number + 1}")
            if host.admin.write("r@acme.example", "period", 70 + number, "?wait=delivered&timeout=20s").status != 200:
                proof.fail(f"after a start {name} a command is not delivered")
        seen = seconds_of(host.admin.property("r@acme.example", "readings")["time"]) - time.time()
        if abs(seen - offset) > TOLD_S:
            proof.fail(f"after a start {name} a reading's time is {seen:.0f} s off")
        if host.admin.get("/v1/twins/a@acme.example").status != 200:
            proof.fail(f"after a start {name} a twin is gone")
        proof.count()
