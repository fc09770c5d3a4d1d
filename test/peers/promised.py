"""An oracle outside the process: what a host was asked for and has acknowledged, and whether it keeps to it. It outlives the
host's rooms, the host, and, where its knowledge is kept in a file, the machine.

Each object it plays with (a device's readings, a property, a twin, a command ...) goes through versions 1, 2, 3 ... in
order, one under way at a time. Of each it knows two numbers: the newest version acknowledged and the newest asked for. What a
host shows must be one between them. What a version is made of follows from its number, so nothing else is to be known."""
import http.client
import itertools
import json
import os
import queue
import threading
import time
import zlib

from host import Client, Events, thermo_reading, until
from mme import Load, Mme
from sink import Sink
from t8 import b64, path_of

LOST = (OSError, EOFError, http.client.HTTPException)  # the host ended, or the room at the other end of the connection
REFUSED = (429, 503, 504, 507)                         # not acknowledged, the same again
PAUSE_S = 0.005
MODEL = "acme/thermo"


class Broken(AssertionError):
    """The promise is broken."""


def check(is_so, *what):
    if not is_so:
        raise Broken(" ".join(str(part) for part in what))


class Knowledge:
    """(acknowledged, asked for) by key, and notes; each change is a line of a file, written before it is acted upon."""

    def __init__(self, path=None, lines=None):
        self.pairs, self.notes, self.count = {}, {}, 0
        self.lock = threading.Lock()
        self.on_acknowledged = lambda line: None  # with the number of lines so far
        self.acknowledgements = 0
        if path is not None and os.path.exists(path):
            with open(path, encoding="ascii") as file:
                for line in itertools.islice(file, lines):
                    if line.endswith("\n"):
                        self.take(json.loads(line))
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path is not None and lines is None else None

    def take(self, change):
        self.count += 1
        if len(change) == 3:
            self.pairs[change[0]] = (change[1], change[2])
        else:
            self.notes[change[0]] = change[1]

    def put(self, *change):
        with self.lock:
            self.take(change)
            if self.file is not None:
                os.write(self.file, json.dumps(change).encode() + b"\n")
            return self.count

    def close(self):
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def of(self, key):
        return self.pairs.get(key, (0, 0))

    def asks(self, key):
        """The version to ask for now: the one under way, or a new one."""
        acknowledged, asked = self.of(key)
        if asked == acknowledged:
            asked += 1
            self.put(key, acknowledged, asked)
        return asked

    def acknowledged(self, key, version):
        line = self.put(key, version, max(version, self.of(key)[1]))
        self.acknowledgements += 1
        self.on_acknowledged(line)

    def is_under_way(self, key):
        acknowledged, asked = self.of(key)
        return asked > acknowledged

    def keys(self, kind):
        return [key for key in list(self.pairs) if key.startswith(kind + "/")]

    def bound(self, key, shown, at_least=None):
        """What the host shows is between what was acknowledged (as `at_least` knew it) and what was asked for."""
        acknowledged = (at_least or self).of(key)[0]
        asked = self.of(key)[1]
        check(acknowledged <= shown <= asked, f"{key}: the host has {shown}; acknowledged {acknowledged}, asked for {asked}")


class Actor(threading.Thread):
    """Somebody who asks the host for things, in a thread, until the end; over lost connections."""

    kind = ""

    def __init__(self, oracle, number=0):
        super().__init__(daemon=True, name=f"{self.kind} {number}")
        self.oracle, self.known = oracle, oracle.known
        self.chance = oracle.chance_of(self.name)
        self.client = None
        self.wants = queue.Queue()  # ("check" or "finish", where to say that it is done)
        self.is_ending = False
        self.error = None

    # ---- what one is made of ----

    def connect(self):
        self.client = Client(self.oracle.host.http_port, self.oracle.token())

    def step(self):
        """Asks for one thing more, or goes on with what is under way."""

    def is_under_way(self):
        return any(self.known.is_under_way(key) for key in self.known.keys(self.kind))

    def verify(self, at_least=None):
        """Of all that is known: what the host shows. `at_least`: what had been acknowledged at an earlier moment."""

    def finish(self):
        """When nothing is under way any more: what could not be said before."""

    def disconnect(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    # ---- and how it lives ----

    def run(self):
        try:
            while not self.is_ending:
                self.turn()
        except BaseException as error:  # whoever waits for it raises it again
            self.error = error
        self.disconnect()

    def turn(self):
        try:
            if self.client is None:
                self.connect()
            try:
                wish, done = self.wants.get_nowait()
            except queue.Empty:
                self.step()
                return
            try:
                while wish == "finish" and self.is_under_way():
                    self.step()
                self.verify()
                if wish == "finish":
                    self.finish()
            except LOST:
                self.wants.put((wish, done))
                raise
            done.set()
            if wish == "finish":
                self.is_ending = True
        except LOST:
            self.disconnect()
            time.sleep(PAUSE_S)

    def asked(self, answer, *good):
        """Whether it is acknowledged; what is refused for now is asked for again."""
        if answer.status in REFUSED:
            self.oracle.refused += 1
            time.sleep(PAUSE_S)
            return False
        check(answer.status in good, f"{self.name}: {answer}")
        return True

    def get(self, path):
        """An answer that is none of overload."""
        while (answer := self.client.get(path)).status in REFUSED:
            time.sleep(PAUSE_S)
        return answer


class Readings(Actor):
    """Devices that send numbered readings by one MME; what was not answered goes again with the T flag and its End-to-End id."""

    kind = "reading"
    FIRST = 500

    def __init__(self, oracle, devices=20):
        super().__init__(oracle)
        self.devices = list(range(devices))
        self.load = None
        self.again = 0

    @staticmethod
    def name_of(device):
        return f"k{device}@kill.example"

    @classmethod
    def imsi_of(cls, device):
        return f"00101{device + cls.FIRST:010d}"

    def key(self, device):
        return f"{self.kind}/{device}"

    def provision(self, admin):
        lines = [{"id": self.name_of(d), "model": MODEL, "imsi": self.imsi_of(d)} for d in self.devices]
        answers = admin.bulk(lines)
        assert all(answer["status"] in (200, 201) for answer in answers), answers
        with Mme(self.oracle.host, identity="kill.epc.test") as mme:
            for device in self.devices:
                mme.attach(self.imsi_of(device))

    def connect(self):
        super().connect()
        self.load = Load(self.oracle.host, "kill.epc.test")
        for device in self.devices:
            if self.known.is_under_way(self.key(device)):
                self.send(device, is_again=True)
                self.again += 1

    def disconnect(self):
        super().disconnect()
        if self.load is not None:
            self.load.close()
        self.load = None

    def send(self, device, is_again=False):
        version = self.known.asks(self.key(device))
        sequence = version - 1
        self.load.send(self.imsi_of(device), thermo_reading(sequence, sequence % 300), device << 20 | version, is_again)

    def step(self):
        for device in self.devices:
            if not self.known.is_under_way(self.key(device)) and self.wants.empty() and self.chance.random() < 0.7:
                self.send(device)
        if self.load.waiting:
            self.load.receive()
        self.take()

    def take(self):
        for device in self.devices:
            key = self.key(device)
            version = self.known.of(key)[1]
            result = self.load.results.pop(device << 20 | version, None) if self.known.is_under_way(key) else None
            if result is None:
                continue
            if result in (3004, 3002):  # not kept, or nobody knows: the same again
                self.oracle.refused += 1
                time.sleep(PAUSE_S)
                self.send(device, is_again=True)
                continue
            check(result == 2001, f"{key} got {result}")
            self.known.acknowledged(key, version)

    def verify(self, at_least=None):
        for device in self.devices:
            answer = self.get(f"/v1/twins/{self.name_of(device)}")
            check(answer.status == 200, f"{self.name_of(device)}: {answer}")
            self.look(device, {name: what["value"] for name, what in answer.json()["properties"].items()}, at_least)

    def look(self, device, shown, at_least=None):
        self.known.bound(self.key(device), shown["readings"], at_least)
        check((shown["lost"], shown["duplicates"], shown["late"], shown["rejected"]) == (0, 0, 0, 0), self.name_of(device), shown)
        if shown["readings"] > 0:
            check(shown["temperature"] == (shown["readings"] - 1) % 300, self.name_of(device), shown)

    def finish(self):
        for device in self.devices:
            acknowledged, asked = self.known.of(self.key(device))
            check(acknowledged == asked, self.key(device), acknowledged, asked)


class Follower(Actor):
    """Follows the event stream, resumes it where it ended: each reading of each device is an event, once and in order."""

    kind = "event"

    def __init__(self, oracle, readings):
        super().__init__(oracle)
        self.readings = readings
        self.events = None
        self.gaps_allowed = 0  # another number of cores: an old id begins with a gap
        self.may_skip = set()
        self.resumed = 0

    def connect(self):
        super().connect()
        last = self.known.notes.get("events", {"last": None})["last"]
        self.events = Events(self.client, f"?model={MODEL}&property=readings", last=last)
        if self.events.status != 200:
            raise EOFError
        if last is None:  # from now on: nobody knows yet what was before
            self.may_skip = set(self.readings.devices)
        self.events.socket.settimeout(0.05)
        self.resumed += last is not None

    def disconnect(self):
        super().disconnect()
        if self.events is not None:
            self.events.close()
        self.events = None

    def step(self):
        while b"\n\n" not in self.events.rest:
            if not self.more():
                return
        self.take(self.events.next())

    def more(self):
        """Bytes of the stream, as far as some are there."""
        try:
            self.events.file.peek(1)
        except TimeoutError:
            self.events.file = self.events.socket.makefile("rb")  # one that ran out of time is of no more use; it had nothing
            return False
        self.events.socket.settimeout(30)
        self.events._more()
        self.events.socket.settimeout(0.05)
        return True

    def seen(self):
        """{device: its newest reading that was an event}"""
        return self.known.notes.get("events", {"seen": {}})["seen"]

    def take(self, event):
        seen = self.seen()
        if event["event"] == "dromio.gap.v1":
            check(self.gaps_allowed > 0, "the stream has a gap:", event["data"])
            self.gaps_allowed -= 1
            self.may_skip = set(self.readings.devices)
        elif event["cloud"]["subject"].startswith("k"):
            device = int(event["cloud"]["subject"][1:].split("@")[0])
            value, before = event["cloud"]["data"]["value"], seen.get(str(device), 0)
            is_next = value == before + 1 or (device in self.may_skip and value > before)
            check(is_next, f"the stream has reading {value} of {self.readings.name_of(device)} after {before}, id {event['id']}")
            self.may_skip.discard(device)
            seen = {**seen, str(device): value}
        self.known.put("events", {"last": event["id"], "seen": seen})

    def is_under_way(self):
        """Until it has seen all: after the readings are finished."""
        return any(self.seen().get(str(device), 0) < self.known.of(self.readings.key(device))[1] and device not in self.may_skip
                   for device in self.readings.devices)


class Writes(Actor):
    """Property writes over HTTP: the value is the version."""

    kind = "limit"

    def __init__(self, oracle, number, readings):
        super().__init__(oracle, number)
        self.device = readings.name_of(readings.devices[number])
        self.key = f"limit/{number}"

    def step(self):
        version = self.known.asks(self.key)
        if self.asked(self.client.put(f"/v1/twins/{self.device}/properties/limit", {"value": version}), 200, 202):
            self.known.acknowledged(self.key, version)

    def is_under_way(self):
        return self.known.is_under_way(self.key)

    def verify(self, at_least=None):
        answer = self.get(f"/v1/twins/{self.device}/properties/limit")
        check(answer.status == 200, f"{self.key}: {answer}")
        self.known.bound(self.key, answer.json()["value"] or 0, at_least)


class Commands(Actor):
    """Actions with an Idempotency-Key: each is one ticket and reaches the device, however often it was asked for."""

    kind = "blink"
    KEPT, WAITING = 64, 16  # of TWIN_TICKETS_MAX, and of a mailbox

    def __init__(self, oracle, number=0):
        super().__init__(oracle, number)
        self.device, self.imsi = f"b{number}@kill.example", f"00101{number + 4000:010d}"
        self.key = f"blink/{number}"
        self.waiting = []

    def provision(self, admin, mme):
        admin.put_twin(self.device, model=MODEL, imsi=self.imsi)
        mme.attach(self.imsi)

    @staticmethod
    def seconds(version):
        return version % 255 + 1

    def step(self):
        version = self.known.asks(self.key)
        answer = self.client.post(f"/v1/twins/{self.device}/actions/blink", {"seconds": self.seconds(version)}, Idempotency_Key=f"{self.device}-{version}")
        if self.asked(answer, 202):
            self.known.put(f"ticket/{self.device}/{version}", answer.json()["ticket"])
            self.known.acknowledged(self.key, version)
            self.waiting = [*self.waiting, answer.json()["ticket"]]
        self.wait()

    def wait(self):
        """Some wait for the device at the same time, but fewer than its mailbox has room for."""
        most = self.chance.choice((0, 0, self.WAITING))
        while len(self.waiting) > most and self.wants.empty() and not self.is_ending:
            if self.get(f"/v1/twins/{self.device}/tickets/{self.waiting[0]}").json()["state"] == "delivered":
                self.waiting = self.waiting[1:]

    def is_under_way(self):
        return self.known.is_under_way(self.key)

    def tickets(self):
        answer = self.get(f"/v1/twins/{self.device}/tickets")
        check(answer.status == 200, answer)
        return sorted((t for t in answer.json()["tickets"] if t.get("action") == "blink"), key=lambda t: int(t["ticket"]))

    def verify(self, at_least=None):
        tickets = self.tickets()
        values = [ticket["value"]["seconds"] for ticket in tickets]
        ended = [ticket for ticket in tickets if ticket["state"] in ("failed", "expired")]
        check(not ended, f"{self.device}: {ended}")
        check(all((b - a) % 255 == 1 for a, b in zip(values, values[1:])), f"{self.device}: a command is missing or doubled: {values}")
        acknowledged, asked = (at_least or self.known).of(self.key)[0], self.known.of(self.key)[1]
        last = next((v for v in range(acknowledged, asked + 1) if v > 0 and values and self.seconds(v) == values[-1]), 0)
        check(acknowledged == 0 or last >= acknowledged, f"{self.key}: the newest ticket is {tickets[-1:]}; acknowledged {acknowledged}, asked for {asked}")
        for ticket in tickets[-8:]:
            number = next((v for v in range(max(1, asked - 300), asked + 1) if self.known.notes.get(f"ticket/{self.device}/{v}") == ticket["ticket"]), None)
            check(number is None or self.seconds(number) == ticket["value"]["seconds"], f"{self.device}: ticket {ticket} was of command {number}")

    def finish(self):
        until(lambda: {ticket["state"] for ticket in self.tickets()} <= {"delivered"}, f"the end of the commands of {self.device}")
        check(len(self.tickets()) <= self.KEPT, "tickets")
        missing = [v for v in range(1, self.known.of(self.key)[0] + 1)
                   if self.oracle.network.count(self.imsi, bytes([0x82, self.seconds(v)])) < (v + 254) // 255]
        check(not missing, f"{self.device}: the device never got commands {missing}")


class Deliveries(Actor):
    """An application's downlinks: each that was acknowledged has an end that is told, and reached the device."""

    kind = "delivery"
    BASE = "/3gpp-nidd/v1/as-kill/configurations"
    WAITING = 12  # at the same time: of a device 32 notifications are kept for a destination that does not take them

    def __init__(self, oracle, number=0):
        super().__init__(oracle, number)
        self.device, self.imsi = f"n{number}@kill.example", f"00101{number + 5000:010d}"
        self.waiting = [path for key, path in self.known.notes.items() if key.startswith(f"delivery/{self.device}") and path != ""]

    def provision(self, admin, mme):
        answer = admin.put(f"/v1/twins/{self.device}", {"imsi": self.imsi})
        assert answer.status in (200, 201), answer
        mme.attach(self.imsi)
        answer = Client(self.oracle.host.http_port, self.known.notes["as-kill"]).post(
            self.BASE, {"externalId": self.device, "notificationDestination": self.oracle.sink.link(f"/{self.device}")})
        assert answer.status == 201, answer
        self.known.put(f"configuration/{self.device}", path_of(answer))

    def connect(self):
        self.client = Client(self.oracle.host.http_port, self.known.notes["as-kill"])

    def step(self):
        self.waiting = [path for path in self.waiting if not self.ends(path)]
        if len(self.waiting) >= self.WAITING:
            time.sleep(PAUSE_S)
            return
        count = self.known.notes.get(f"deliveries/{self.device}", 0) + 1
        self.known.put(f"deliveries/{self.device}", count)
        key, data = f"delivery/{self.device}/{count}", f"{self.device} {count}"
        self.known.put(key, 0, 1)
        answer = self.client.post(self.known.notes[f"configuration/{self.device}"] + "/downlink-data-deliveries",
                                  {"externalId": self.device, "data": b64(data.encode())})
        if answer.status == 403:  # QUOTA_EXCEEDED: too many wait
            time.sleep(PAUSE_S)
            return
        if self.asked(answer, 200, 201):
            self.known.put(f"{key}/at", path_of(answer) if answer.status == 201 else "")
            self.waiting += [path_of(answer)] if answer.status == 201 else []
            self.known.acknowledged(key, 1)

    def is_under_way(self):
        return False  # what got no answer is asked for no more: there are no keys of repetitions in T8

    def ends(self, path):
        """What was told of it that is no more than a state on the way."""
        return [status for status in self.known.notes.get(f"told{path}", ()) if not status.startswith(("BUFFERING", "TRIGGERED"))]

    def finish(self):
        wanted = {}
        for key in self.known.keys(f"delivery/{self.device}"):
            if self.known.of(key)[0] == 1:
                wanted[key] = self.known.notes[f"{key}/at"]
        until(lambda: all(path == "" or self.ends(path) for path in wanted.values()), f"the ends of the downlinks of {self.device}")
        for key, path in wanted.items():
            check(path == "" or len(self.ends(path)) == 1 and self.ends(path)[0].startswith("SUCCESS"), f"{key}: it ended as {self.ends(path)}")
            data = f"{self.device} {key.rsplit('/', 1)[1]}".encode()
            check(self.oracle.network.count(self.imsi, data) > 0, f"{key}: the device never got it")


class Things(Actor):
    """Twins without an image, made and changed in bulk and deleted, in several domains: content and absence follow from the version."""

    kind = "thing"
    EACH, DOMAINS = 40, 5

    @classmethod
    def name_of(cls, number):
        return f"t{number}@d{number % cls.DOMAINS}.kill.example"

    @staticmethod
    def is_gone(version):
        return version % 4 == 0

    def step(self):
        numbers = [n for n in range(self.EACH) if self.known.is_under_way(f"thing/{n}")] or self.chance.sample(range(self.EACH), 8)
        versions = {n: self.known.asks(f"thing/{n}") for n in numbers}
        kept = [n for n in numbers if not self.is_gone(versions[n])]
        if kept:
            lines = [{"id": self.name_of(n), "imsi": f"00101{n + 6000:010d}", "tags": {"version": str(versions[n])}} for n in kept]
            answer = self.client.post("/v1/twins:bulk", "".join(json.dumps(line) + "\n" for line in lines), Content_Type="application/x-ndjson")
            if not self.asked(answer, 200):
                return
            for n, line in zip(kept, answer.lines()):
                if line["status"] in (200, 201):
                    self.known.acknowledged(f"thing/{n}", versions[n])
                else:
                    check(line["status"] in REFUSED, line)
        for n in numbers:
            if self.is_gone(versions[n]) and self.asked(self.client.delete(f"/v1/twins/{self.name_of(n)}"), 204, 404):
                self.known.acknowledged(f"thing/{n}", versions[n])

    def verify(self, at_least=None):
        for key in self.known.keys("thing"):
            number = int(key.split("/")[1])
            answer = self.get(f"/v1/twins/{self.name_of(number)}")
            acknowledged, asked = (at_least or self.known).of(key)[0], self.known.of(key)[1]
            if answer.status == 404:
                may = [v for v in range(acknowledged, asked + 1) if self.is_gone(v)]
                check(may, f"{key} is not there; acknowledged {acknowledged}, asked for {asked}")
                continue
            check(answer.status == 200, key, answer)
            self.known.bound(key, int(answer.json()["tags"]["version"]), at_least)
            check(not self.is_gone(int(answer.json()["tags"]["version"])), key, answer)


class Applications(Actor):
    """Applications with an Idempotency-Key, made and removed: the host's own tables and files."""

    kind = "application"

    def __init__(self, oracle, number=0):
        super().__init__(oracle, number)
        self.key, self.id = f"application/{number}", f"app{number}"

    def step(self):
        version = self.known.asks(self.key)
        if version % 2 == 0:
            if self.asked(self.client.delete(f"/v1/applications/{self.id}"), 204, 404):
                self.known.acknowledged(self.key, version)
            return
        answer = self.client.post("/v1/applications", {"id": self.id, "domains": [f"v{version}.kill.example"], "scopes": ["read"]},
                                  Idempotency_Key=f"{self.id}-{version}")
        if self.asked(answer, 200, 201):
            token = answer.json()["token"]
            seen = Client(self.oracle.host.http_port, token).get("/v1/twins/nobody@kill.example")
            check(seen.status in (404, *REFUSED), f"{self.key}: the token of version {version} gives {seen}")
            self.known.acknowledged(self.key, version)

    def is_under_way(self):
        return self.known.is_under_way(self.key)

    def verify(self, at_least=None):
        answer = self.get(f"/v1/applications/{self.id}")
        acknowledged, asked = (at_least or self.known).of(self.key)[0], self.known.of(self.key)[1]
        if answer.status == 404:
            check(any(v % 2 == 0 for v in range(acknowledged, asked + 1)), f"{self.key} is not there; acknowledged {acknowledged}, asked for {asked}")
            return
        check(answer.status == 200, answer)
        self.known.bound(self.key, int(answer.json()["domains"][0].split(".")[0][1:]), at_least)


class Network(Actor):
    """The MME of devices that are sent to: comes again when the host was away, remembers what the devices got."""

    kind = "network"

    def __init__(self, oracle):
        super().__init__(oracle)
        self.mme = None

    def connect(self):
        super().connect()
        self.mme = Mme(self.oracle.host, identity="down.epc.test", on_downlink=self.on_downlink)

    def on_downlink(self, downlink):
        self.known.put(f"got/{downlink.imsi}/{downlink.data.hex()}", self.count(downlink.imsi, downlink.data) + 1)
        return 2001

    def count(self, imsi, data):
        return self.known.notes.get(f"got/{imsi}/{data.hex()}", 0)

    def disconnect(self):
        super().disconnect()
        if self.mme is not None:
            self.mme.close()
        self.mme = None

    def step(self):
        if self.mme.has_ended.wait(0.02):
            raise EOFError
        for actor in (*self.oracle.commands, *self.oracle.deliveries):  # each device is heard now and then: what waits for it leaves
            self.mme.cmr(actor.imsi)
        if self.chance.random() < 0.02:  # so that downlinks wait now and then
            raise EOFError


class Oracle:
    """All of them, at one host. `host`: has http_port, diameter_port, data, realm, admin."""

    def __init__(self, host, seed, knowledge=None, devices=20):
        import random
        self.host, self.seed = host, seed
        self.random = random
        self.known = knowledge or Knowledge()
        self.refused = 0
        self.sink = Sink(self.known.notes.get("sink", 0))
        self.sink.on_notice = self.on_notice
        if "sink" not in self.known.notes:
            self.known.put("sink", self.sink.port)
        self.network = Network(self)
        self.readings = Readings(self, devices)
        self.follower = Follower(self, self.readings)
        self.commands = [Commands(self, n) for n in range(2)]
        self.deliveries = [Deliveries(self, n) for n in range(2)]
        self.actors = [self.readings, *(Writes(self, n, self.readings) for n in range(2)), *self.commands, *self.deliveries, Things(self),
                       Applications(self), self.follower]

    def on_notice(self, body):
        """A status is told again until it was taken, but never another one after an end."""
        if "deliveryStatus" in body:
            key = "told" + path_of(body["niddDownlinkDataTransfer"])
            self.known.put(key, sorted({*self.known.notes.get(key, ()), body["deliveryStatus"]}))

    def chance_of(self, name):
        return self.random.Random(zlib.crc32(f"{self.seed} {name}".encode()))

    def token(self):
        return self.host.admin.token

    def begin(self):
        """Makes what is not there yet, and lets everybody begin."""
        if "is_provisioned" not in self.known.notes:
            self.known.put("as-kill", self.host.application("as-kill", ["kill.example"], ["nidd"]).token)
            self.readings.provision(self.host.admin)
            with Mme(self.host, identity="down.epc.test") as mme:
                for actor in (*self.commands, *self.deliveries):
                    actor.provision(self.host.admin, mme)
            self.known.put("is_provisioned", True)
        self.network.start()
        for actor in self.actors:
            actor.start()

    def everybody(self):
        return [*self.actors, self.network]

    def must_be_well(self):
        for actor in self.everybody():
            if actor.error is not None:
                raise actor.error

    def runs(self, acknowledgements):
        """Until so many more are acknowledged."""
        wanted = self.known.acknowledgements + acknowledgements
        def is_there():
            self.must_be_well()
            return self.known.acknowledgements >= wanted
        until(is_there, f"acknowledgement {wanted}")

    def all_do(self, wish, actors=None):
        waits = []
        for actor in actors or self.actors:
            waits.append((actor, threading.Event()))
            actor.wants.put((wish, waits[-1][1]))
        for actor, done in waits:
            def is_done():
                self.must_be_well()
                return done.is_set()
            until(is_done, f"{actor.name}: {wish}")

    def check(self):
        """Everybody compares what it knows with what the host shows."""
        self.all_do("check")

    def finish(self):
        """Nothing is under way any more: then all that was asked for and acknowledged is there exactly once."""
        self.all_do("finish", [actor for actor in self.actors if actor is not self.follower])
        self.all_do("finish", [self.follower])
        self.end()

    def end(self):
        for actor in self.everybody():
            actor.is_ending = True
        for actor in self.everybody():
            if actor.is_alive():
                actor.join(60)
        self.sink.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for actor in self.everybody():
            actor.is_ending = True
        self.sink.close()
