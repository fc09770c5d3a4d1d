"""Ctrl-C of a command that goes on: whatever it is doing, it ends at once, with 0 where that is the way to end it and
with 130 where something stays undone; no error is told, the terminal is as it was, nothing half made is left."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest
from host import BUILD, LIMIT_S, Host, until

DROMIO = BUILD / "dromio"
EVENT = b'id: 1\nevent: dromio.event.v1\ndata: {"subject":"a@b.example","data":{"text":"%s"}}\n\n' % (b"x" * 20000)
MESSAGE = b'{"time":"t","protocol":"t6a","command":"ODR","kind":"request","direction":"in","peer":"%s"}' % (b"p" * 200)


def whole(body, kind=b"application/json"):
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)


ANSWERS = {
    "GET /metrics": whole(b"# TYPE dromio_turns_total counter\ndromio_turns_total 5\n", b"text/plain"),
    "GET /v1/peers": whole(b'{"peers":[]}'),
    "GET /v1/status": whole(b'{"log_bytes":100000}'),
    "GET /v1/twins/a@b.example/timeline": whole(b'{"events":[]}'),
    "POST /v1/traces": whole(b'{"trace":"7","until":"later","continued":false}'),
    "GET /v1/traces/7": whole(b'{"state":"on","messages":[%s],"next":1,"more":true}' % b",".join([MESSAGE] * 100)),
    "DELETE /v1/traces/7": b"HTTP/1.1 204 No Content\r\n\r\n",
    "GET /v1/events": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT,
}


@pytest.fixture(scope="module", autouse=True)
def backup():
    with Host(thermo=False) as host:
        ANSWERS["GET /v1/backup"] = whole(host.admin.get("/v1/backup").body, b"application/x-tar")


class Script:
    """A host that answers `count` requests (None: all), of the next one `part` of its bytes (0 to 1), and is silent
    then; once released it answers whoever comes anew."""

    def __init__(self, count=None, part=0.0):
        self.left, self.part = count, part
        self.is_silent, self.released = threading.Event(), threading.Event()
        self.seen, self.connections = [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def hang_up(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            rest = b""
            while True:
                while b"\r\n\r\n" not in rest:
                    more = connection.recv(65536)
                    if not more:
                        return
                    rest += more
                head, rest = rest.split(b"\r\n\r\n", 1)
                length = int((re.search(rb"Content-Length: (\d+)", head) or [0, 0])[1])
                while len(rest) < length:
                    rest += connection.recv(65536)
                rest = rest[length:]
                method, path, _ = head.split(b"\r\n")[0].decode().split()
                self.answer(connection, f"{method} {path.split('?')[0]}")

    def answer(self, connection, what):
        self.seen.append(what)
        answer = ANSWERS[what]
        if self.left == 0 and not self.released.is_set():
            connection.sendall(answer[:int(len(answer) * self.part)])
            self.is_silent.set()
            connection.recv(1)  # until it goes
            raise OSError
        self.left = self.left and self.left - 1
        connection.sendall(answer)
        if b"Content-Length" not in answer and b"204" not in answer:
            connection.recv(1)
            raise OSError


class Unreachable:
    """An address where connecting takes for ever: its queue is full and nobody accepts."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = [socket.socket() for _ in range(8)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        return self

    def __exit__(self, *_):
        for each in (*self.fillers, self.listener):
            each.close()


def is_connecting(program):
    """Does a socket of the program wait in SYN_SENT?"""
    assert program.poll() is None, program.stderr.read()
    sockets = set()
    for fd in pathlib.Path(f"/proc/{program.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(fd))
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "02" and f"socket:[{row[9]}]" in sockets for row in rows)


WRITE = {"x86_64": "1", "aarch64": "64"}[os.uname().machine]


def is_writing(program):
    """Does it wait in write(1, ...)?"""
    return pathlib.Path(f"/proc/{program.pid}/syscall").read_text().split()[:2] == [WRITE, "0x1"]


class Terminal:
    def __init__(self):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.shown = b""

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        return self.shown

    def is_back(self):
        """The first screen and the cursor are there again."""
        until(lambda: self.read().endswith(b"\033[?25h\033[?1049l"), "the screen that was there before")
        return True

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def fill(descriptor, room=0):
    """Writes until nothing more goes in, but leaves `room` bytes."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"." * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b".")
    os.set_blocking(descriptor, True)


def start(words, port, output, directory):
    return subprocess.Popen([str(DROMIO), *words, "--host", f"http://127.0.0.1:{port}", "--token", "x"], stdout=output, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, start_new_session=True, cwd=directory, text=True)


def ends(program, number, code):
    program.send_signal(number)
    told = program.communicate(timeout=LIMIT_S)[1]
    assert program.returncode == code, (program.returncode, told)
    assert "dromio:" not in told, told


TOP = ("top", "--interval", "600m")
TAIL = ("tail", "--twin", "a@b.example")
TRACE = ("peer", "trace", "a@b.example", "--follow")
BACKUP = ("backup", "b.tar")
COMMANDS = {TOP: (0, ["GET /metrics", "GET /v1/peers"]), TAIL: (0, ["GET /v1/events"]),
            TRACE: (0, ["POST /v1/traces", "GET /v1/twins/a@b.example/timeline", "GET /v1/traces/7", "GET /v1/traces/7"]), BACKUP: (130, ["GET /v1/status", "GET /v1/backup"])}
NAMES = {"ids": lambda words: words[0]}


def begun(words, directory, terminal):
    """The moments of a command: gives (what it runs against, the program) at each."""
    with Unreachable() as host:
        program = start(words, host.port, terminal.slave, directory)
        until(lambda: is_connecting(program), "a connection in the making")
        yield host, program
    for answered, _ in enumerate(COMMANDS[words][1]):
        for part in (0, 0.05, 0.99):  # nothing; of the head; of the body
            with Script(answered, part) as host:
                program = start(words, host.port, terminal.slave, directory)
                until(lambda: terminal.read() is not None and host.is_silent.is_set(), "its request")
                yield host, program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", COMMANDS, **NAMES)
def test_an_interrupt_ends_a_request_at_any_point(words, number, tmp_path):
    code, requests = COMMANDS[words]
    terminal = Terminal()
    for host, program in begun(words, tmp_path, terminal):
        if isinstance(host, Script):
            host.released.set()
        ends(program, number, code)
        assert list(tmp_path.iterdir()) == []
        assert words is not TOP or terminal.is_back()
        if words is TRACE and isinstance(host, Script) and len(host.seen) > 1:
            assert host.seen[-1] == "DELETE /v1/traces/7"  # its trace is not left behind
    terminal.close()


def test_an_interrupt_ends_the_wait_between_two_looks(tmp_path):
    terminal = Terminal()
    with Script() as host:
        program = start(TOP, host.port, terminal.slave, tmp_path)
        until(lambda: host.seen == COMMANDS[TOP][1], "its first look")
        ends(program, signal.SIGINT, 0)
        assert terminal.is_back() and host.seen == COMMANDS[TOP][1]
    terminal.close()


def test_an_interrupt_ends_the_wait_for_a_host_that_went(tmp_path):
    with Script() as host:
        program = start((*TAIL, "-o", "ndjson"), host.port, subprocess.PIPE, tmp_path)
        assert program.stdout.readline().startswith('{"subject"')
        host.hang_up()
        for _ in range(3):  # each wait is longer
            assert "connecting again" in program.stderr.readline()
        ends(program, signal.SIGINT, 0)


@pytest.mark.parametrize("words", [("top", "--interval", "100ms"), ("top", "--interval", "100ms", "-o", "ndjson"), TAIL, TRACE], ids=" ".join)
@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("room", [0, 2000])
def test_an_interrupt_ends_a_write_that_nobody_reads(words, is_terminal, room, tmp_path):
    terminal = Terminal()
    pipe = os.pipe()
    output = terminal.slave if is_terminal else pipe[1]
    fill(output)
    if room and is_terminal:
        os.read(terminal.master, room)
    elif room:
        os.read(pipe[0], 4096)
    with Script() as host:
        program = start(words, host.port, output, tmp_path)
        until(lambda: is_writing(program), "a write that waits")
        ends(program, signal.SIGINT, 0)
        if is_terminal and words[0] == "top" and "-o" not in words:
            assert terminal.is_back()
    for end in pipe:
        os.close(end)
    terminal.close()


def test_an_interrupted_restore_leaves_a_whole_directory_or_none(tmp_path):
    (tmp_path / "b.tar").write_bytes(ANSWERS["GET /v1/backup"].split(b"\r\n\r\n", 1)[1])
    for number in range(10):
        data = tmp_path / f"data{number}"
        program = start(("restore", "b.tar", "--data", data.name), 1, subprocess.DEVNULL, tmp_path)
        until(lambda: data.exists() or program.poll() is not None, "its directory")
        program.send_signal(signal.SIGINT)
        told = program.communicate(timeout=LIMIT_S)[1]
        assert (program.returncode, data.exists()) in ((0, True), (130, False)), (program.returncode, told)
        assert "dromio:" not in told and not (data / "restore.incomplete").exists()


def test_an_interrupted_bulk_says_what_was_done():
    """Lines without end, so it does not end by itself."""
    def line(**members):
        return json.dumps({"id": "a@acme.example", "model": "acme/thermo", **members}) + "\n"

    def feed(into):
        with contextlib.suppress(OSError):
            into.write(line() + line(id="b@acme.example") + "nonsense\n")
            while True:
                into.write(line())
    with Host() as host:
        words = ["twin", "put", "--from", "-", "-o", "json", "--host", f"http://127.0.0.1:{host.http_port}", "--token-file", str(host.data / "admin.token")]
        program = subprocess.Popen([str(DROMIO), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        feeder = threading.Thread(target=feed, args=(program.stdin,), daemon=True)
        feeder.start()
        assert program.stderr.readline().startswith("line 3:")
        program.send_signal(signal.SIGINT)
        assert program.wait(LIMIT_S) == 130
        done, told = json.loads(program.stdout.read()), program.stderr.read()
        feeder.join(LIMIT_S)
    assert (done["made"], done["failed"]) == (2, 1)
    assert f"{sum(done.values())} lines were answered before" in told and "dromio:" not in told
