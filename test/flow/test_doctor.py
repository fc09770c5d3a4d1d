"""dromio doctor and dromio top: what they say of a well host, and of one that is not."""
import fcntl
import contextlib
import itertools
import threading
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest
from certificates import Authority
from host import BUILD, LIMIT_S, Host, free_port, thermo_reading, until
from mme import Mme
from test_backup import dromio

DROMIO = BUILD / "dromio"


@pytest.fixture(scope="module")
def host():
    with Host() as made:
        made.admin.put_twin("d@acme.example", imsi="001010000000051")
        yield made


def findings(*words, host=None):
    answer = dromio("doctor", "-o", "json", *words, host=host)
    told = json.loads(answer.stdout)
    assert told["is_well"] == (answer.returncode == 0), answer
    return {each["check"]: each for each in told["checks"]}, answer.returncode


def ill(found):
    return {check for check, each in found.items() if each["state"] == "WRONG"}


def test_a_well_host_is_well(host):
    found, code = findings(host=host)
    assert code == 0 and ill(found) == set(), found
    for check in ("healthy", "version", "sandbox", "token", "clock", "core", "peers", "seccomp", "descriptors", "wasm-validate"):
        assert found[check]["state"] in ("ok", "note"), check
    table = dromio("doctor", host=host)
    assert table.returncode == 0 and "WHAT NEXT" in table.stdout


def test_nothing_there_is_wrong_and_says_what_to_do():
    found, code = findings("--host", f"http://127.0.0.1:{free_port()}", "--token", "x")
    assert code == 1 and found["reachable"]["state"] == "WRONG" and "start the host" in found["reachable"]["next"]


def test_a_wrong_token_is_told(host):
    found, code = findings("--host", f"http://127.0.0.1:{host.http_port}", "--token", "wrong")
    assert code == 1 and ill(found) == {"token"} and "admin.token" in found["token"]["next"]


def test_a_room_that_died_is_told():
    with Host("host.cores=1") as made:
        found, code = findings(host=made)
        assert code == 0 and found["rooms"]["state"] == "ok" and found["peers"]["what"] == "none is connected", found
        made.kill_room("core")

        def told():
            rooms = findings(host=made)[0].get("rooms")
            return rooms and rooms["state"] == "note" and rooms
        rooms = until(told, "doctor's note")
        assert "core 2 times" in rooms["what"].replace("core 0", "core") and "log" in rooms["next"]


def test_what_is_stopped_is_told(host):
    assert "stopped" not in findings(host=host)[0]
    assert host.admin.put("/v1/stops/code", {"reason": "INC-4711"}).status == 204
    found, code = findings(host=host)
    assert code == 0 and found["stopped"]["state"] == "note" and "INC-4711" in found["stopped"]["what"] and "dromio stop" in found["stopped"]["next"], found
    assert host.admin.delete("/v1/stops/code").status == 204


def test_an_audit_log_that_is_written_is_told(host):
    until(lambda: host.admin.get("/v1/audit/head").json()["state"] == "writing", "the audit log")
    assert findings(host=host)[0]["audit"]["state"] == "ok"


def test_a_certificate_of_an_unknown_authority_is_told_with_its_option(tmp_path):
    authority = Authority(tmp_path)
    server = authority.issue("host", "DNS:localhost", "IP:127.0.0.1")
    with Host(f"http.tls.certificate={server.pem}", f"http.tls.key={server.key}", thermo=False, context=authority.client()) as made:
        words = ("status", "--host", f"https://127.0.0.1:{made.http_port}", "--token", made.admin.token)
        answer = dromio(*words)
        assert answer.returncode != 0 and "--ca FILE or $DROMIO_CA" in answer.stderr and "does dromiod run" not in answer.stderr, answer
        assert dromio(*words, "--ca", authority.pem).returncode == 0


def test_a_closed_peer_is_told():
    peer = f"diameter.peers=[{{identity='m.example', realm='example', address='127.0.0.1:{free_port()}', applications=['t6a']}}]"
    with Host(peer) as made:
        until(lambda: made.admin.get("/v1/peers").json()["peers"], "the peer")
        found, code = findings(host=made)
        assert code == 1 and ill(found) == {"peer"} and "m.example" in found["peer"]["what"]


def test_a_directory_in_use_is_not_walked(host):
    found, code = findings("--data", host.data, host=host)
    assert code == 0 and found["log"]["state"] == "skipped" and found["master key"]["state"] == "ok", found
    assert found["modes"]["state"] == "ok"


@pytest.fixture
def stopped(tmp_path):
    """The directory of a host that ran."""
    with Host("host.cores=1") as made:  # one log
        made.admin.put_twin("d@acme.example", imsi="001010000000052")
        assert made.stop() == 0
        shutil.copytree(made.data, tmp_path / "data")
        os.chmod(tmp_path / "data", 0o700)
    return tmp_path / "data"


def offline(directory, *more):
    return findings("--host", f"http://127.0.0.1:{free_port()}", "--token", "x", "--data", directory, *more)


def test_a_whole_directory_is_well(stopped):
    found, code = offline(stopped)
    assert code == 0 and ill(found) == set(), found
    assert "every checksum holds" in found["log"]["what"] and found["reachable"]["state"] == "skipped"


def flip(file, at):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def damage_log(directory):
    flip(directory / "log" / "replay", 20)


def damage_epoch(directory):
    flip(directory / "log" / "epoch", 9)


def open_modes(directory):
    (directory / "master.key").chmod(0o640)


def lose_key(directory):
    (directory / "master.key").unlink()


def other_key(directory):
    (directory / "master.key").write_bytes(bytes(32))


def damage_image(directory):
    flip(next((directory / "images").glob("*.wasm")), 100)


def come_from_the_future(directory):
    later = time.time() + 86400
    os.utime(directory / "log" / "host", (later, later))


def leave_half_a_restore(directory):
    (directory / "restore.incomplete").touch(0o600)


@pytest.mark.parametrize("what, check", [
    (damage_log, "log"), (damage_epoch, "log"), (open_modes, "modes"), (lose_key, "master key"), (other_key, "master key"), (damage_image, "image"),
    (come_from_the_future, "clock of the data"), (leave_half_a_restore, "restore"),
])
def test_what_is_wrong_is_found_and_alone(stopped, what, check):
    what(stopped)
    found, code = offline(stopped)
    assert code == 1 and ill(found) == {check}, found
    assert found[check]["next"], found[check]


def test_an_open_directory_is_not_an_open_key(stopped):
    stopped.chmod(0o755)
    found, code = offline(stopped)
    assert code == 1 and "the directory itself" in found["modes"]["what"] and "master.key" not in found["modes"]["next"], found
    (stopped / "master.key").chmod(0o640)
    found, _ = offline(stopped)
    assert "and more" in found["modes"]["what"] and "who has read master.key" in found["modes"]["next"], found


def certificate(directory, days):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=host", "-days", str(days),
                    "-keyout", directory / "key.pem", "-out", directory / "cert.pem"], check=True, capture_output=True)


@pytest.mark.parametrize("days, state", [(365, "ok"), (5, "note")])
def test_the_end_of_a_certificate_comes_from_the_configuration(stopped, tmp_path, days, state):
    certificate(tmp_path, days)
    config = tmp_path / "dromiod.toml"
    config.write_text(f'[host]\ndata = "{stopped}"\n[http.tls]\ncertificate = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n')
    found, code = findings("--host", f"http://127.0.0.1:{free_port()}", "--token", "x", "--config", config)
    assert code == 0 and found["certificate"]["state"] == state and found["configuration"]["state"] == "ok", found
    assert "log" in found  # host.data came from it too


def test_a_wrong_configuration_is_told_with_its_line(tmp_path):
    config = tmp_path / "dromiod.toml"
    config.write_text('[host]\nrealms = "x"\n')
    found, code = offline(tmp_path, "--config", config)
    assert code == 1 and "2: host.realms" in found["configuration"]["what"]


# ---- top ----

def test_top_shows_rates_rooms_and_peers(host):
    with Mme(host) as mme:
        mme.attach("001010000000051")

        def looked():
            mme.uplink("001010000000051", thermo_reading(looked.sequence % 256, 20))
            looked.sequence += 1
            answer = dromio("top", "--once", "--interval", "200ms", "-o", "json", host=host)
            assert answer.returncode == 0, answer
            told = json.loads(answer.stdout)
            return {room["room"].split()[0] for room in told["rooms"]} >= {"dromiod", "core", "cell", "gate", "desk"} and \
                all(room["starts"] for room in told["rooms"]) and told["peers"] and told
        looked.sequence = 0
        told = until(looked, "all rooms and the peer")
    assert told["twins"] == 1 and told["http_answers_per_second"] > 0
    assert 0 < told["http_p50_micros"] <= told["http_p99_micros"] < 1e7
    for name in ("uplink", "round", "turn_cpu"):  # nothing is sent while it looks, but the host's own work may come
        assert told[f"{name}_p50_micros"] is None or 0 < told[f"{name}_p50_micros"] <= told[f"{name}_p99_micros"]
    assert [peer["state"] for peer in told["peers"] if peer["identity"] == "mme1.epc.test"] == ["open"]
    assert all(room["memory_bytes"] > 0 and room["starts"] >= 1 for room in told["rooms"]), told["rooms"]


@pytest.mark.parametrize("listed, known", [((), ["mme1.epc.test"]), (("mme1.epc.test", "mme2.epc.test", "idle.epc.test"), ["mme1.epc.test", "mme2.epc.test"]),
                                           (("mme1.epc.test",), ["mme1.epc.test", "mme2.epc.test"]), ((), [])])
def test_top_has_the_requests_of_peers_in_time(listed, known):
    """Against what the host counts in the same interval; where several peers are counted together it says nothing of each."""
    rows = ",".join(f'{{identity="{name}",realm="epc.test"}}' for name in listed)
    with Host(f"diameter.peers=[{rows}]") as host, Mme(host) as mme, contextlib.ExitStack() as more:
        host.admin.put_twin("d@acme.example", imsi="001010000000051")
        mme.attach("001010000000051")
        if known != ["mme1.epc.test"]:
            more.enter_context(Mme(host, identity="mme2.epc.test"))
        end = threading.Event()

        def load():
            for sequence in itertools.takewhile(lambda _: not end.is_set(), itertools.count()):
                mme.uplink("001010000000051", thermo_reading(sequence % 256, 20))
        sender = threading.Thread(target=load)
        sender.start()
        try:
            def looked():
                told = json.loads(dromio("top", "--once", "--interval", "300ms", "-o", "json", host=host).stdout)
                is_open = [peer["state"] for peer in told["peers"]].count("open") == (1 if known == ["mme1.epc.test"] else 2)
                return is_open and told["uplinks_per_second"] > 0 and told
            told = until(looked, "both at work")
        finally:
            end.set()
            sender.join()
        rates = {peer["identity"]: peer["requests_per_second"] for peer in told["peers"]}
        if "mme1.epc.test" in known:
            assert 0.5 < rates.pop("mme1.epc.test") / told["uplinks_per_second"] < 2, told
        for name, rate in rates.items():
            assert rate is None if not known else rate < told["uplinks_per_second"] / 2, (name, told)


def test_top_without_a_terminal_prints_lines(host):
    words = [str(DROMIO), "top", "--interval", "100ms", "--host", f"http://127.0.0.1:{host.http_port}", "--token", host.admin.token]
    for format_, count in ((), 4), (("-o", "ndjson"), 3):
        with subprocess.Popen([*words, *format_], stdout=subprocess.PIPE, text=True) as top:
            shown = [top.stdout.readline() for _ in range(count)]
            top.send_signal(signal.SIGINT)
            assert top.wait(LIMIT_S) == 0
        assert all("\033" not in line for line in shown)
        if format_:
            assert all("turns_per_second" in json.loads(line) for line in shown)
        else:
            assert shown[0].split()[:3] == ["turns", "commits", "uplinks"] and all(len(line.split()) == 12 for line in shown)


def test_top_fits_its_terminal_and_leaves_it_as_it_was(host):
    master, slave = pty.openpty()
    words = [str(DROMIO), "top", "--interval", "100ms", "--host", f"http://127.0.0.1:{host.http_port}", "--token", host.admin.token]

    def size(rows, columns):
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    size(12, 40)
    top = subprocess.Popen(words, stdout=slave, stderr=slave, start_new_session=True)
    shown = b""

    def pages():
        nonlocal shown
        if select.select([master], [], [], 0.1)[0]:
            shown += os.read(master, 65536)
        return shown.split(b"\033[H")[1:-1]
    until(lambda: len(pages()) >= 2, "two pages")
    for page in pages():
        rows = page.replace(b"\033[J", b"").split(b"\r\n")
        assert len(rows) <= 12 and all(len(re.sub(rb"\033\[K", b"", row)) <= 40 for row in rows)
    size(40, 100)
    until(lambda: any(len(page.split(b"\r\n")) > 12 for page in pages()), "a page of the larger window")
    top.send_signal(signal.SIGINT)
    assert top.wait(LIMIT_S) == 0
    until(lambda: pages() is not None and shown.endswith(b"\033[?1049l"), "the screen that was there before")
    assert shown.startswith(b"\033[?1049h\033[?25l") and b"\033[?25h" in shown
