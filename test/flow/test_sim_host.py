"""The whole way: devices of dromio-sim, the network, dromiod, a twin each, the HTTP API."""
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from whole_host import BUILD, WholeHost  # noqa: E402

COUNTED = ("readings", "lost", "duplicates", "late")
FAULTS = ["--loss", "0.05", "--late", "0.05", "--duplicate", "0.1", "--restart", "0.02", "--move", "0.05", "--mmes", "2"]
AWAKE = ["--period", "60", "--active", "3600", "--speed", "600", "--edrx", "0"]


@pytest.fixture
def host(tmp_path):
    made = WholeHost(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def sim(host, tmp_path):
    runs = []

    def start(*options):
        process = subprocess.Popen([str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{host.diameter}",
                                    "--oracle", str(tmp_path / "oracle"), *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        runs.append(process)
        return process

    yield start
    for process in runs:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def end(process):
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out)


def wait_for(condition, limit=60):
    stop = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < stop
        time.sleep(0.05)
    return value


def compare(host, tmp_path, devices):
    """Every twin against what the oracle says it must hold; the number of readings in doubt."""
    latest = {line["imsi"]: line for line in map(json.loads, (tmp_path / "oracle").read_text().splitlines())}
    assert len(latest) == devices
    doubt = 0
    for i in range(devices):
        line, twin = latest[f"{1010000000001 + i:015}"], host.values(i)
        doubt += line["doubt"]
        assert line["readings"] <= twin["readings"] <= line["readings"] + line["doubt"], (line, twin)
        if line["doubt"] == 0:
            assert {n: twin[n] for n in COUNTED} == {n: line[n] for n in COUNTED}, (line, twin)
            got = [twin[n] for n in ("temperature", "humidity", "battery")]
            assert got == pytest.approx([line[n] for n in ("temperature", "humidity", "battery")]), (line, twin)
        assert twin["rejected"] == 0
    return doubt


def answered(host):
    status, text = host.call("GET", "/metrics")
    return status == 200 and sum(float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines()
                                 if line.startswith("dromio_turns_total"))


def test_twins_hold_what_their_devices_sent(host, sim, tmp_path):
    host.thermometers(60)
    run = sim("--devices", "60", *FAULTS, *AWAKE)
    wait_for(lambda: answered(host) > 2000)
    summary = end(run)
    assert summary["attached"] >= 55 and summary["uplinks_refused"] == 0 and summary["duplicates_differ"] == 0
    assert min(summary[n] for n in ("readings_lost", "readings_late", "restarts", "moves", "duplicates")) > 0
    assert compare(host, tmp_path, 60) == 0


def test_nothing_acknowledged_is_lost_when_the_host_is_killed(host, sim, tmp_path):
    host.thermometers(200)
    run = sim("--devices", "200", *FAULTS, *AWAKE)
    for _ in range(5):
        before = answered(host)
        wait_for(lambda: answered(host) > before + 300)
        host.kill()
        host.start()
    before = answered(host)
    wait_for(lambda: answered(host) > before + 500)
    summary = end(run)
    assert summary["losses"] >= 5 and summary["uplinks_refused"] == 0 and summary["duplicates_differ"] == 0
    assert compare(host, tmp_path, 200) == 0  # whatever had no answer was sent again and got one


def test_a_period_is_confirmed_by_an_awake_device(host, sim):
    host.thermometers(3)
    sim("--devices", "3", *AWAKE)
    wait_for(lambda: host.values(1)["readings"])
    status, body = host.call("PUT", "/v1/twins/t1@sim.example/properties/period?wait=reported&timeout=20s", {"value": 120})
    assert status == 200, body
    assert host.values(1)["period"] == 120


def test_a_sleeper_blinks_once_it_wakes(host, sim):
    host.thermometers(20)
    run = sim("--devices", "20", "--period", "300", "--active", "10", "--speed", "100", "--edrx", "0")
    wait_for(lambda: all(host.values(i)["readings"] for i in range(20)))
    tickets = [host.call("POST", f"/v1/twins/t{i}@sim.example/actions/blink", {"seconds": 5}) for i in range(20)]
    assert all(status == 202 for status, _ in tickets)
    states = lambda: [host.call("GET", f"/v1/twins/t{i}@sim.example/tickets/{t['ticket']}")[1]["state"]  # noqa: E731
                      for i, (_, t) in enumerate(tickets)]
    wait_for(lambda: set(states()) <= {"delivered", "reported"})
    summary = end(run)
    assert summary["blinks"] >= 20 and summary["downlinks_asleep"] > 0


def test_the_simulator_leaves_no_trap_and_no_dead_letter(host, sim):
    host.thermometers(10)
    run = sim("--devices", "10", *FAULTS, *AWAKE)
    wait_for(lambda: answered(host) > 300)
    end(run)
    status, body = host.call("GET", "/v1/dead-letters")
    assert status == 200
    assert not (body if isinstance(body, list) else next(iter(body.values())))
