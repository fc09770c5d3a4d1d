"""The real host for flow tests: build/dromiod with all its rooms in a directory of its
own, on free ports; an HTTP client; ways to stop and kill it and its rooms."""
import ctypes
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import t8_record

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROMIO_BUILD", ROOT / "build"))
DROMIOD = BUILD / "dromiod"
THERMO = BUILD / "examples" / "thermo.wasm"
EVERY_HOST = os.environ.get("DROMIO_TEST_SET", "").split()  # settings of every host, e.g. "host.cores=3"
ONE_GATE = not any(setting.startswith("host.gates=") for setting in EVERY_HOST)  # else /metrics has the counters of whichever gate answers
LIMIT_S = int(os.environ.get("DROMIO_TEST_LIMIT_S", "60"))   # a test's patience, never a measurement
IS_STOPPED = "DROMIO_TEST_STOP" in os.environ               # hosts are asked to end at the end of a test, not killed: test/proof/coverage.py wants that
IDLE_S = 5                                                    # a connection that waited longer is not used again
POLL_S = 0.01


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """Run in the child: a pytest that is killed leaves no host behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition, what="the state"):
    """Waits until `condition()` is true and gives what it gave."""
    end = time.monotonic() + LIMIT_S
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(POLL_S)


def killed(pid):
    """kill -9; whether it was still there: a cell ends by itself when the images have changed."""
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def ports():
    """Ports to listen on, none twice: below those the kernel gives to connections, and in an order of this process alone,
    so that nobody takes one while its host starts, or is away for a restart."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    numbers = list(range(10240, first)) if first > 12288 else list(range(10240, 65536))
    while True:
        random.SystemRandom().shuffle(numbers)
        yield from numbers


PORTS = ports()


def free_port():
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def etag(self):
        return self.headers["ETag"]

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


class Client:
    """Requests with one token; None: without any. With a context they go over TLS."""

    def __init__(self, port, token, context=None):
        self.port, self.token, self.context = port, token, context
        self.connection, self.used_at = None, 0.0

    def request(self, method, path, body=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        if time.monotonic() > self.used_at + IDLE_S:  # the host ends what is idle, and a POST is not made twice
            self.close()
        self.used_at = time.monotonic()
        for is_last in (False, True):
            is_fresh = self.connection is None
            if is_fresh:
                self.connection = self.connect()
            try:
                self.connection.request(method, path, body, sent)
                answer = Answer(self.connection.getresponse())
            except (OSError, http.client.HTTPException):
                self.close()
                if is_fresh or is_last or method not in ("GET", "PUT"):  # a connection kept open may have ended meanwhile
                    raise
                continue
            if answer.headers.get("Connection", "").lower() == "close":
                self.close()
            t8_record.exchange(method, path, body, answer, sent.get("Content-Type", "application/json"))
            return answer

    def connect(self):
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=LIMIT_S, context=self.context)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def put(self, path, body, **headers):
        return self.request("PUT", path, body, **headers)

    def post(self, path, body=None, **headers):
        return self.request("POST", path, body, **headers)

    def delete(self, path, **headers):
        return self.request("DELETE", path, **headers)

    # ---- what nearly every story needs ----

    def put_twin(self, twin, **members):
        """A twin as wanted, with the thermo model unless another is named."""
        if "image" not in members:
            members.setdefault("model", "acme/thermo")
        answer = self.put(f"/v1/twins/{twin}", members)
        assert answer.status in (200, 201), answer
        return answer.json()

    def twin(self, twin):
        answer = self.get(f"/v1/twins/{twin}")
        assert answer.status == 200, answer
        return answer.json()

    def property(self, twin, name):
        answer = self.get(f"/v1/twins/{twin}/properties/{name}")
        assert answer.status == 200, answer
        return answer.json()

    def value(self, twin, name):
        return self.property(twin, name)["value"]

    def write(self, twin, name, value, query=""):
        return self.put(f"/v1/twins/{twin}/properties/{name}{query}", {"value": value})

    def ticket(self, twin, number):
        answer = self.get(f"/v1/twins/{twin}/tickets/{number}")
        assert answer.status == 200, answer
        return answer.json()

    def ticket_is(self, twin, number, state):
        return until(lambda: (found := self.ticket(twin, number))["state"] == state and found, f"ticket {number} {state}")

    def query(self, sql):
        answer = self.post("/v1/query", {"sql": sql})
        assert answer.status == 200, answer
        return answer.json()["rows"]

    def bulk(self, lines):
        answer = self.post("/v1/twins:bulk", "".join(json.dumps(line) + "\n" for line in lines), Content_Type="application/x-ndjson")
        assert answer.status == 200, answer
        return answer.lines()


class Host:
    """A dromiod. `with Host() as host:` starts it, pushes thermo, and at the end
    stops it and checks that nothing of it is left."""

    identity, realm = "scef.dromio.test", "dromio.test"

    def __init__(self, *settings, directory=None, thermo=True, context=None):
        self.settings = settings
        self.context = context  # of HTTPS; None: HTTP
        self.has_thermo = thermo
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="dromio-flow-"))
        self.is_own = directory is None
        self.data = self.directory / "data"
        self.log_path = self.directory / "dromiod.log"
        self.http_port, self.diameter_port = free_port(), free_port()
        self.process = None
        self.sessions = []
        self.admin = None
        self.thermo = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if self.is_running() and kind is None:
                assert self.stop() == 0
        finally:
            self.close()

    def close(self):
        if self.is_running() and IS_STOPPED:
            self.stop()
        if self.is_running():
            self.kill()
        if self.admin is not None:
            self.admin.close()
        until(lambda: not self.left(), f"the end of processes {self.left()}")
        if self.is_own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def arguments(self):
        settings = [f"http.listen=127.0.0.1:{self.http_port}", f"diameter.listen=127.0.0.1:{self.diameter_port}", "diameter.accept=any",
                    *EVERY_HOST, *self.settings]
        return [str(DROMIOD), "--data", str(self.data), *[word for setting in settings for word in ("--set", setting)]]

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            preexec_fn=end_with_parent)
        self.sessions.append(self.process.pid)
        self.wait()
        token = (self.data / "admin.token").read_text().strip()
        if self.admin is None:
            self.admin = self.client(token)
        self.admin.close()
        if self.has_thermo and self.thermo is None:
            self.thermo = self.push(THERMO.read_bytes()).json()["image"]
        return self

    def wait(self):
        """Until /healthz says 200."""
        until(lambda: not self.is_running() or self.is_healthy(), "a healthy host")
        assert self.is_running(), "dromiod has ended: " + self.log()[-2000:]
        return self

    def is_healthy(self):
        client = self.client(None)
        try:
            return client.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def push(self, wasm):
        answer = self.admin.post("/v1/images", wasm, Content_Type="application/wasm")
        assert answer.status in (200, 201), answer
        return answer

    def client(self, token):
        return Client(self.http_port, token, self.context)

    def application(self, name, domains, scopes=("read", "write")):
        """An application's client."""
        answer = self.admin.post("/v1/applications", {"id": name, "domains": domains, "scopes": list(scopes)})
        assert answer.status == 201, answer
        return self.client(answer.json()["token"])

    def log(self):
        return self.log_path.read_text(errors="replace")

    def imsi_in_log(self):
        """One of those that tests give to devices, whole: five digits of it are in some number or digest sooner or later."""
        return re.search(r"0010\d{11}(?!\d)", self.log())

    def metrics(self):
        return self.admin.get("/metrics").body.decode()

    def metric(self, name):
        """Sum of the values of all lines of that name (labels and all, or without)."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name):len(name) + 1] in ("{", " "):
                total += float(line.rsplit(" ", 1)[1])
        return total

    # ---- its processes ----

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def left(self):
        """All living processes of all starts: {pid: name}."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[3]) in self.sessions and fields[0] != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
        return found

    def rooms(self):
        """{"cell 0": pid, ...}; a cell that is being replaced may be there beside its successor."""
        found = {}
        for pid, name in sorted(self.left().items()):
            match = re.fullmatch(r"dromiod: (.+)", name)
            if match:
                found[match.group(1)] = pid
        return found

    def room(self, kind):
        """Pid of the room; waits until it is there."""
        return until(lambda: next((pid for name, pid in self.rooms().items() if name.split()[0] == kind), None), f"a {kind}")

    def kill_room(self, kind):
        """kill -9; gives the dead room's pid."""
        return until(lambda: killed(pid := self.room(kind)) and pid, f"a {kind} to kill")

    def room_is_back(self, kind, dead):
        return until(lambda: next((pid for name, pid in self.rooms().items() if name.split()[0] == kind and pid != dead), None),
                     f"another {kind}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def kill(self):
        """kill -9 of the whole host: the supervisor and every room of it."""
        for pid in [self.process.pid, *self.left()]:
            killed(pid)
        self.process.wait(LIMIT_S)
        until(lambda: not self.left(), "the end of all rooms")

    def restart(self):
        """Stops it cleanly and starts it on the same data."""
        assert self.stop() == 0
        return self.start()


class Events:
    """A subscriber of GET /v1/events."""

    def __init__(self, client, query="", last=None):
        self.socket = socket.create_connection(("127.0.0.1", client.port), timeout=LIMIT_S)
        if client.context is not None:
            self.socket = client.context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        resume = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        self.socket.sendall(f"GET /v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n{resume}\r\n".encode())
        self.file = self.socket.makefile("rb")
        answer = self.file.readline()
        if not answer:
            raise EOFError("the host ended before it answered")
        self.status = int(answer.split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.is_chunked = self.headers.get("transfer-encoding") == "chunked"
        self.rest = b""
        self.comments = 0

    def _more(self):
        if not self.is_chunked:
            data = self.file.readline()
        else:
            size = int(self.file.readline() or b"0", 16)
            data = self.file.read(size)
            self.file.readline()
        if not data:
            raise EOFError("the stream has ended")
        self.rest += data

    def next(self, kind=None, **expected):
        """The next event (of that type, with those members in its data); others are passed over."""
        while True:
            while b"\n\n" not in self.rest:
                self._more()
            block, self.rest = self.rest.split(b"\n\n", 1)
            event = {}
            for line in block.decode().split("\n"):
                if line.startswith(":"):
                    self.comments += 1
                    continue
                name, value = line.split(":", 1)
                assert name not in event, "data is one line"
                event[name] = value.removeprefix(" ")
            if "data" not in event:
                continue
            event["cloud"] = json.loads(event["data"])
            found = event["cloud"].get("data", {})
            if kind in (None, event["event"]) and all(found.get(name) == value for name, value in expected.items()):
                return event

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def thermo_reading(sequence, temperature=20.0, humidity=50.0, battery=3600):
    """A 0x01 frame of examples/thermo; the temperature is the raw one."""
    body = bytes([1, sequence % 256]) + round(temperature * 100).to_bytes(2, "big", signed=True)
    body += bytes([round(humidity * 2)]) + battery.to_bytes(2, "big")
    check = 0
    for byte in body:
        check ^= byte
    return body + bytes([check])


def thermo_period(period):
    """A 0x02 frame: confirms a period."""
    return b"\x02" + period.to_bytes(2, "big")
