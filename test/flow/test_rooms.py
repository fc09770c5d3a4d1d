"""Rooms die and come back, the host stops and starts, and says what it does not accept."""
import ctypes
import errno
import os
import signal
import socket
import subprocess
import threading

import pytest
from broken_rooms import BrokenRooms
from floods import NarrowHost
from host import DROMIOD, LIBC, Client, Events, Host, killed, thermo_period, thermo_reading, until
from mme import Mme, find, result_of


class Pump:
    """A device that reports all the time: as a device does, what has no answer goes again."""

    def __init__(self, host, name, imsi):
        self.host, self.name, self.imsi = host, name, imsi
        self.sent = self.acknowledged = 0
        self.is_ended = threading.Event()
        host.admin.put_twin(name, imsi=imsi)
        self.mme = Mme(host, identity="pump.epc.test").attach(imsi)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.is_ended.is_set():
            self.sent += 1
            end, tries = self.sent, 0
            while True:
                try:
                    if self.mme is None:
                        self.mme = Mme(self.host, identity="pump.epc.test")
                    answer = self.mme.odr(self.imsi, thermo_reading(self.sent), end=end, is_again=tries > 0)
                    if result_of(answer) == 2001:
                        break
                    assert result_of(answer) == 3004, answer
                except (OSError, ConnectionError):
                    self.mme = None
                tries += 1
                if self.is_ended.wait(0.01) and tries > 3000:
                    return
            self.acknowledged += 1

    def more(self, count=20):
        wanted = self.acknowledged + count
        until(lambda: self.acknowledged >= wanted or not self.thread.is_alive(), "more uplinks")
        assert self.thread.is_alive()

    def stop(self):
        self.is_ended.set()
        self.thread.join()
        if self.mme is not None:
            self.mme.close()

    def check(self):
        assert self.acknowledged == self.sent
        shown = {name: what["value"] for name, what in self.host.admin.twin(self.name)["properties"].items()}
        assert shown["readings"] == self.sent
        assert (shown["lost"], shown["duplicates"], shown["late"], shown["rejected"]) == (0, 0, 0, 0)


@pytest.fixture
def host():
    with Host() as made:
        yield made


def test_rooms_show_their_kind():
    # Ready is when the gate answers; the cell may be about to take its name.
    with Host("host.cores=1") as host:
        until(lambda: set(host.rooms()) == {"core 0", "cell 0", "gate 0", "desk", "audit"}, "every kind of room")
        for name, pid in host.rooms().items():
            assert open(f"/proc/{pid}/comm").read().strip() == f"dromiod: {name}"[:15]


def status(pid, field):
    try:
        for line in open(f"/proc/{pid}/status"):
            if line.startswith(field + ":"):
                return line.split()[1]
    except FileNotFoundError:
        pass
    return None


def test_a_cell_is_under_seccomp_and_has_no_files(host):
    # The filter is there before the first turn; the pushed image has brought a new cell.
    cell = until(lambda: next((pid for pid in [host.room("cell")] if status(pid, "Seccomp") == "2"), None), "the cell's filter")
    assert status(cell, "NoNewPrivs") == "1"
    open_files = [os.readlink(f"/proc/{cell}/fd/{number}") for number in os.listdir(f"/proc/{cell}/fd")]
    assert not any(what.startswith("socket:") or str(host.data) in what for what in open_files), open_files
    gate = host.room("gate")
    assert not any(str(host.data) in os.readlink(f"/proc/{gate}/fd/{number}") for number in os.listdir(f"/proc/{gate}/fd"))


def test_what_is_shipped_has_no_way_for_guest_code_to_run_native_code():
    """The import of the proof `sandbox` (meson option `hostile`) is in a build of its own, which says so and cannot be installed."""
    assert b"hostile" not in DROMIOD.read_bytes()
    assert "-hostile" not in subprocess.run([str(DROMIOD), "--version"], capture_output=True, text=True, timeout=60).stdout


class FilterRule(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class FilterProgram(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint16), ("rules", ctypes.POINTER(FilterRule))]


def refuse_seccomp():
    """Run in the child: from here on seccomp(2) says ENOSYS, as on a kernel without it."""
    number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
    load_number, jump_equal, give = 0x20, 0x15, 0x06
    rules = (FilterRule * 4)((load_number, 0, 0, 0), (jump_equal, 0, 1, number), (give, 0, 0, 0x00050000 | errno.ENOSYS),
                             (give, 0, 0, 0x7FFF0000))
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    assert LIBC.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert LIBC.prctl(set_seccomp, mode_filter, ctypes.byref(FilterProgram(4, rules)), 0, 0) == 0


def test_no_cell_is_ready_before_its_filter_is_on(tmp_path):
    for _ in range(3):  # whoever says so first and is confined later gets through now and then
        done = subprocess.run([str(DROMIOD), "--data", str(tmp_path / "d"), *FREE], capture_output=True, text=True, timeout=60,
                              preexec_fn=refuse_seccomp)
        assert done.returncode == 1 and "cannot be confined" in done.stderr
        assert "ready http=" not in done.stderr and "gate 0" not in done.stderr  # no door was opened


@pytest.mark.parametrize("kind", ["cell", "gate", "desk", "core"])
def test_a_killed_room_is_back_and_nothing_acknowledged_is_lost(host, kind):
    pump = Pump(host, "p@acme.example", "001010000000001")
    written = []
    try:
        for _ in range(3):
            pump.more()
            dead = host.kill_room(kind)
            host.room_is_back(kind, dead)
            host.admin.close()
            host.wait()
            answer = until(lambda: try_write(host, 10 + len(written)), "a write")
            written.append(answer["value"])
            pump.more()
            assert host.admin.value("p@acme.example", "limit") == written[-1]
            assert until(lambda: try_query(host)) == [[1]]
    finally:
        pump.stop()
    pump.check()
    assert host.process.poll() is None
    if kind in ("cell", "desk"):  # others did not even notice
        assert host.log().count("dromiod: ready") <= 1
    host.restart()
    assert host.admin.value("p@acme.example", "readings") == pump.sent
    assert host.admin.value("p@acme.example", "limit") == written[-1]


def try_write(host, value):
    try:
        answer = host.admin.write("p@acme.example", "limit", value)
    except (OSError, ValueError):
        return None
    assert answer.status in (202, 401, 503), answer
    return answer.json() if answer.status == 202 else None


def try_query(host):
    answer = host.admin.post("/v1/query", {"sql": "select count(*) from thermo"})
    assert answer.status in (200, 503), answer
    return answer.json()["rows"] if answer.status == 200 else None


def test_a_desk_that_dies_leaves_no_question_without_an_answer(host):
    """A query under way is answered 503 or by the next desk, at once; not after a time."""
    slow = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    answers = []
    ask = [threading.Thread(target=lambda: answers.append(host.client(host.admin.token).post("/v1/query", {"sql": slow}))) for _ in range(3)]
    for thread in ask:
        thread.start()
    until(lambda: host.metric("dromio_http_requests_under_way") >= 3, "queries under way")
    dead = host.kill_room("desk")
    host.room_is_back("desk", dead)
    for thread in ask:
        thread.join()
    assert [answer.status for answer in answers].count(504) == 0 and {answer.status for answer in answers} <= {422, 503}, answers
    assert host.admin.query("select 1") == [[1]]


def test_a_room_that_dies_again_and_again_is_started_again(host):
    for _ in range(3):
        for kind in ("cell", "desk", "gate"):
            dead = host.kill_room(kind)
            host.room_is_back(kind, dead)
    host.admin.close()
    host.wait()
    host.admin.put_twin("x@acme.example")


def living_cells(host):
    return {name: pid for name, pid in host.rooms().items() if name.startswith("cell")}


def test_cells_that_die_all_the_time_do_not_end_the_host():
    """Foreign code may be why: its own twins wait then, and nobody else."""
    with Host("host.cores=1", "cells.max=4") as host:
        for _ in range(6):  # each of them less often than that its successor would come later; all of them more than 20 times
            cells = until(lambda: len(found := living_cells(host)) == 4 and found, "four cells")
            for pid in cells.values():
                killed(pid)
            until(lambda: all((pid := host.rooms().get(name)) and pid != dead for name, dead in cells.items()), "other cells")
        host.admin.put_twin("x@acme.example")
        assert "giving up" not in host.log()


def test_a_cell_that_died_often_comes_later():
    with Host("host.cores=1") as host:
        for _ in range(60):  # the death of one that is still starting does not count
            if "ended more than 10 times" in host.log():
                break
            host.room_is_back("cell", host.kill_room("cell"))
        assert "ended more than 10 times" in host.log()
        host.admin.put_twin("x@acme.example")


def test_rooms_that_could_not_be_forked_are_tried_again(tmp_path, monkeypatch):
    broken = BrokenRooms(tmp_path, monkeypatch)
    with Host("host.cores=1", "audit.enabled=true", "charging.enabled=true", thermo=False) as host:  # no image comes for which a cell would be renewed
        for kind in ("cell", "gate", "desk", "audit", "charging"):
            said = host.log().count("cannot be forked")
            broken.put(has_no_processes=True)
            dead = host.kill_room(kind)
            until(lambda: host.log().count("cannot be forked") > said, "a room that cannot be forked")
            broken.put()
            host.room_is_back(kind, dead)
        host.wait()
        host.room("desk")  # it ends with a gate
        host.admin.close()
        assert host.admin.get("/v1/status").status == 200


def test_a_gate_that_dies_ends_its_connections_only(host):
    host.admin.put_twin("x@acme.example", imsi="001010000000001")
    mme = Mme(host).attach("001010000000001")
    dead = host.kill_room("gate")
    assert mme.has_ended.wait(60)
    host.room_is_back("gate", dead)
    host.admin.close()
    host.wait()
    with Mme(host) as again:  # no CMR
        again.uplink("001010000000001", thermo_period(600))
    assert host.admin.value("x@acme.example", "period") == 600


# ---- starting and stopping ----

FREE = ["--set", "http.listen=127.0.0.1:0", "--set", "diameter.listen=127.0.0.1:0"]  # whatever else fails


def run(directory, *arguments):
    return subprocess.run([str(DROMIOD), "--data", str(directory), *FREE, *arguments], capture_output=True, text=True, timeout=60)


def test_sigterm_stops_it_cleanly_with_everything_open(host):
    host.admin.put_twin("x@acme.example", imsi="001010000000001")
    mme = Mme(host).attach("001010000000001")
    events = Events(host.admin)
    waiting = []

    def wait():
        waiting.append(host.client(host.admin.token).write("x@acme.example", "period", 600, "?wait=reported&timeout=60s"))
    thread = threading.Thread(target=wait)
    thread.start()
    mme.downlinks.get(timeout=20)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(5 + 55) == 0  # 5 s are promised; a test asserts no time
    assert not host.left()
    thread.join()
    assert waiting[0].status == 202 and waiting[0].json()["state"] in ("sent", "delivered")  # how far it came, not a closed connection
    mme.close()
    events.close()
    host.start()
    assert host.admin.property("x@acme.example", "period")["desired"]["value"] == 600


def test_sigint_is_the_same(host):
    host.process.send_signal(signal.SIGINT)
    assert host.process.wait(60) == 0 and not host.left()
    host.start()


def test_when_dromiod_dies_its_rooms_die_with_it(host):
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait(60)
    until(lambda: not host.left(), "the end of the rooms")
    host.start()


def test_a_second_dromiod_on_the_same_data_is_refused(host):
    done = run(host.data)
    assert done.returncode == 1 and str(host.data) in done.stderr
    assert host.admin.get("/healthz").status == 200


def test_a_port_that_is_taken_is_said(host, tmp_path):
    done = run(tmp_path / "d", "--set", f"http.listen=127.0.0.1:{host.http_port}")
    assert done.returncode == 1 and "http.listen" in done.stderr


def test_tokens_and_keys_are_private(host):
    for name in ("admin.token", "master.key"):
        assert (host.data / name).stat().st_mode & 0o777 == 0o600
    token = (host.data / "admin.token").read_text()
    host.restart()
    assert (host.data / "admin.token").read_text() == token
    assert token.strip() not in host.log()


def test_healthz_says_how_it_runs(host):
    told = Client(host.http_port, None).get("/healthz").json()
    assert told["status"] == "ok" and told["sandbox"] == "on" and told["keys_in_memfd_secret"] in (True, False)


@pytest.mark.parametrize("arguments, words", [
    (["--set", "http.listn=1"], ["http.listn"]), (["--set", "host.gates=many"], ["host.gates"]), (["--set", "host.gates=0"], ["host.gates"]),
    (["--set", "nothing"], ["nothing"]), (["--set", "http.listen=0.0.0.0:8080"], ["http.listen", "loopback"]),
    (["--set", "diameter.listen=0.0.0.0:3868"], ["diameter.listen", "loopback"]), (["--set", "cell.sandbox=perhaps"], ["cell.sandbox"]),
    (["--set", "diameter.accept=some"], ["diameter.accept"]), (["--config", "/nowhere/at/all.toml"], ["/nowhere/at/all.toml"]),
    (["--colour", "red"], ["colour"]), (["surplus"], ["surplus"]), (["--set", "contexts.memory=lots"], ["contexts.memory"])])
def test_bad_configuration_is_one_line_and_exit_2(tmp_path, arguments, words):
    done = run(tmp_path / "d", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("text, line, key", [
    ('[http]\nlisten = "127.0.0.1:1"\n\nlistn = "x"\n', 4, "http.listn"), ('[host]\ngates = "two"\n', 2, "host.gates"),
    ('[host]\nidentity = \n', 2, ""), ('[[[\n', 1, ""), ('[diameter]\nplain = 1\n', 2, "diameter.plain"),
    ('[diameter]\npeers = [{identity = "a.b", realm = "b", applications = ["t6z"]}]\n', 2, "diameter.peers"),
    ('[host]\n\nidentity = "a"\nidentity = "b"\n', 4, "")])
def test_a_bad_file_is_named_with_line_and_key(tmp_path, text, line, key):
    path = tmp_path / "dromiod.toml"
    path.write_text(text)
    done = run(tmp_path / "d", "--config", str(path))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert f"{path}:{line}:" in done.stderr and key in done.stderr, done.stderr


def test_set_overrides_the_file(tmp_path):
    path = tmp_path / "dromiod.toml"
    with Host() as host:
        assert host.stop() == 0
        path.write_text('[host]\nidentity = "from.file.test"\nrealm = "file.test"\n')
        plain = host.arguments
        host.arguments = lambda: [*plain(), "--set", "host.realm=flag.test", "--config", str(path)]
        host.realm = "flag.test"
        host.start()
        host.admin.put_twin("x@acme.example", imsi="001010000000001")
        with Mme(host) as mme:
            answer = mme.attach("001010000000001").uplink("001010000000001", thermo_period(60))
        assert (find(answer, 264), find(answer, 296)) == (b"from.file.test", b"flag.test")


def test_peers_that_are_not_listed_are_refused_without_accept_any():
    with Host("diameter.accept=''", "diameter.peers=[{identity='mme1.epc.test', realm='epc.test', applications=['t6a']}]") as host:
        host.admin.put_twin("x@acme.example", imsi="001010000000001")
        with Mme(host) as mme:
            mme.attach("001010000000001").uplink("001010000000001", thermo_period(60))
        with pytest.raises((AssertionError, ConnectionError)):
            Mme(host, identity="stranger.epc.test")
        assert host.admin.get("/healthz").status == 200


def test_two_gates_and_two_cells():
    with Host("host.cores=1", "host.gates=2", "cells.max=2") as host:
        # The image's new cells are taking the place of the first ones.
        rooms = {"core 0", "cell 0", "cell 1", "gate 0", "gate 1", "desk", "audit"}
        until(lambda: set(host.rooms()) == rooms, "all rooms")
        imsis = [f"0010100000000{number:02}" for number in range(20)]
        for number, imsi in enumerate(imsis):
            host.admin.put_twin(f"g{number}@d{number}.example", imsi=imsi)
        mmes = [Mme(host, identity=f"m{number}.epc.test") for number in range(4)]
        for number, imsi in enumerate(imsis):
            mmes[number % 4].attach(imsi).uplink(imsi, thermo_reading(1, number))
        for number in range(20):
            assert host.admin.value(f"g{number}@d{number}.example", "temperature") == number
            client = host.client(host.admin.token)  # another connection, perhaps another gate
            assert client.write(f"g{number}@d{number}.example", "period", 600).status == 202
            assert mmes[number % 4].downlinks.get(timeout=20).data == b"\x81\x02\x58"
            client.close()
        for mme in mmes:
            mme.close()
        dead = host.kill_room("gate")
        host.room_is_back("gate", dead)
        host.admin.close()
        host.wait()
        assert host.admin.value("g3@d3.example", "temperature") == 3


def test_half_headers_keep_nobody_out():
    with NarrowHost() as host:
        path = "/v1/twins?limit=1"
        held = [socket.create_connection(("127.0.0.1", host.http_port)) for _ in range(600)]
        for number, one in enumerate(held):
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-" + str(number).encode())
        for _ in range(5):  # each on a connection of its own: none is closed for one that says nothing
            client = host.client(host.admin.token)
            assert client.get(path).status == 200
            client.close()
        until(lambda: host.metric("dromio_http_connections_evicted_total") >= 100, "half headers that went")
        for one in held:
            one.close()
