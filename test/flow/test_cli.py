"""dromio against a host that answers as the contract says."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from fake_host import FakeHost, Problem, Twin  # noqa: E402

DROMIO = os.environ.get("DROMIO", str(ROOT / "build" / "dromio"))
WAIT = 60  # seconds: a generous limit, never a measurement
TWIN = "meter-1@acme.example"


@pytest.fixture
def host():
    with FakeHost() as fake:
        yield fake


@pytest.fixture
def twin(host):
    with host.lock:
        made = host.twins[TWIN] = Twin(TWIN, {"site": "north"})
        host.uplink(made, 21.4)
    return made


def environment(host):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DROMIO_")}
    return {**kept, "DROMIO_HOST": host.url, "DROMIO_TOKEN": host.admin_token}


def dromio(host, *arguments, stdin=None, **changes):
    return subprocess.run(
        [DROMIO, *arguments],
        env={**environment(host), **changes},
        input=stdin,
        capture_output=True,
        timeout=WAIT,
        cwd="/",
        encoding="utf-8",
    )


def test_an_image_is_pushed_listed_and_shown(host, tmp_path):
    image = tmp_path / "thermo.wasm"
    image.write_bytes(b"\0asm\1\0\0\0")
    first, second = dromio(host, "image", "push", str(image), "-o", "json"), dromio(host, "image", "push", str(image))
    assert (first.returncode, second.returncode) == (0, 0)
    assert "was there already" in second.stdout
    digest = json.loads(first.stdout)["image"]
    assert digest in dromio(host, "image", "list").stdout
    assert (
        json.loads(dromio(host, "image", "show", digest.removeprefix("sha256:"), "-o", "json").stdout)["memory"] == 8192
    )


def test_a_rejected_image_gives_8_and_every_reason(host, tmp_path):
    image = tmp_path / "bad.wasm"
    image.write_bytes(b"no")
    run = dromio(host, "image", "push", str(image))
    assert run.returncode == 8 and run.stdout == ""
    assert "bad magic" in run.stderr and "no export dromio_abi_1" in run.stderr


def test_a_twin_is_made_changed_and_removed(host):
    made = dromio(
        host,
        "twin",
        "put",
        TWIN,
        "--model",
        "acme/thermo",
        "--imsi",
        "001010000000001",
        "--tag",
        "site=north",
        "--secret",
        "calibration=0.25",
    )
    assert made.returncode == 0 and "made" in made.stdout
    assert host.twins[TWIN].tags == {"site": "north"} and host.twins[TWIN].secrets == {"calibration": 0.25}
    changed = dromio(host, "twin", "put", TWIN, "--tag", "site=", "-o", "json")
    assert changed.returncode == 0 and json.loads(changed.stdout)["tags"] == {}
    assert dromio(host, "twin", "rm", TWIN).returncode == 0
    assert dromio(host, "twin", "get", TWIN).returncode == 3


def test_a_secret_comes_from_a_file_and_not_into_the_output(host, tmp_path):
    key = tmp_path / "key"
    key.write_text("c2VjcmV0IHNlY3JldCBzZWNyZXQ=\n")
    run = dromio(host, "twin", "put", TWIN, "--model", "acme/thermo", "--secret", f"key=@{key}")
    assert run.returncode == 0 and host.twins[TWIN].secrets == {"key": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}
    assert "c2Vj" not in run.stdout + run.stderr


def test_conflicts_give_4(host, twin):
    twin.imsi = "001010000000001"
    bound = dromio(host, "twin", "put", "other@acme.example", "--model", "acme/thermo", "--imsi", "001010000000001")
    assert bound.returncode == 4 and "bound to another twin" in bound.stderr
    assert dromio(host, "twin", "put", TWIN, "--create").returncode == 4
    assert dromio(host, "twin", "put", TWIN, "--if-match", "99").returncode == 4
    assert dromio(host, "twin", "put", TWIN, "--if-match", str(twin.revision)).returncode == 0


def test_many_twins_come_from_a_file(host, tmp_path):
    lines = [json.dumps({"id": f"m-{number}@acme.example", "model": "acme/thermo"}) for number in range(3000)]
    file = tmp_path / "twins.ndjson"
    file.write_text("\n".join(lines) + "\n")
    run = dromio(host, "twin", "put", "--from", str(file), "-o", "json")
    assert run.returncode == 0 and json.loads(run.stdout) == {"made": 3000, "changed": 0, "failed": 0}
    assert len(host.twins) == 3000


def test_bulk_with_some_failures_gives_7_and_names_the_lines(host):
    lines = '{"id":"a@acme.example","model":"acme/thermo"}\nnonsense\n{"id":"b@acme.example"}'
    run = dromio(host, "twin", "put", "--from", "-", stdin=lines)
    assert run.returncode == 7
    assert "line 2" in run.stderr and "line 3: b@acme.example: a new twin needs image or model" in run.stderr
    ndjson = dromio(host, "twin", "put", "--from", "-", "-o", "ndjson", stdin=lines)
    assert [json.loads(line)["status"] for line in ndjson.stdout.splitlines()] == [200, 400, 422]


def test_bulk_where_nothing_works_gives_1(host):
    assert dromio(host, "twin", "put", "--from", "-", stdin="nonsense\n").returncode == 1


def test_bulk_refused_as_a_whole_gives_its_exit_code(host):
    run = dromio(host, "twin", "put", "--from", "-", stdin="{}\n", DROMIO_TOKEN="wrong")
    assert run.returncode == 5 and "token is unknown" in run.stderr


def test_a_listing_takes_all_pages(host):
    with host.lock:
        for number in range(1203):
            identifier = f"m-{number:04d}@acme.example"
            host.twins[identifier] = Twin(identifier)
    run = dromio(host, "twin", "list", "-o", "ndjson")
    assert [json.loads(line)["id"] for line in run.stdout.splitlines()] == sorted(host.twins)
    assert len(json.loads(dromio(host, "twin", "list", "-o", "json").stdout)["twins"]) == 1203
    assert len(dromio(host, "twin", "list").stdout.splitlines()) == 1204
    assert len(dromio(host, "twin", "list", "--limit", "7", "-o", "ndjson").stdout.splitlines()) == 7


def test_get_shows_properties_and_contact(host, twin):
    run = dromio(host, "twin", "get", TWIN)
    assert "21.4" in run.stdout and "Cel" in run.stdout and "learned" in run.stdout and "site" in run.stdout
    one = dromio(host, "twin", "get", TWIN, "--property", "temperature", "-o", "json")
    assert json.loads(one.stdout)["value"] == 21.4
    assert dromio(host, "twin", "get", TWIN, "--property", "nothing").returncode == 3


def test_a_write_gives_a_ticket(host, twin):
    run = dromio(host, "twin", "set", TWIN, "period", "600", "-o", "json")
    assert run.returncode == 0 and json.loads(run.stdout)["state"] == "pending"
    assert "pending" in dromio(host, "twin", "tickets", TWIN).stdout
    number = json.loads(run.stdout)["ticket"]
    assert json.loads(dromio(host, "twin", "tickets", TWIN, number, "-o", "json").stdout)["value"] == 600


def test_waiting_ends_with_0_when_reached_and_6_when_not(host, twin):
    late = dromio(host, "twin", "set", TWIN, "period", "600", "--wait", "reported", "--timeout", "1500ms")
    assert late.returncode == 6 and "not reported yet" in late.stderr
    assert host.seen[-1][1].endswith("?wait=reported&timeout=1500ms")
    host.reported_at_once = True
    assert dromio(host, "twin", "set", TWIN, "period", "700", "--wait", "reported").returncode == 0


def test_a_value_out_of_range_is_refused_with_its_reason(host, twin):
    run = dromio(host, "twin", "set", TWIN, "period", "5")
    assert run.returncode == 1 and "period: 5 is beyond the minimum 10" in run.stderr
    assert dromio(host, "twin", "set", TWIN, "temperature", "5").returncode == 5
    negative = dromio(host, "twin", "set", TWIN, "limit", "-5.5", "-o", "json")
    assert negative.returncode == 0 and json.loads(negative.stdout)["value"] == -5.5


def test_an_action_is_called_with_its_input(host, twin):
    run = dromio(host, "twin", "call", TWIN, "blink", "seconds=5", "--idempotency-key", "k1")
    assert run.returncode == 0 and json.loads(host.seen[-1][3]) == {"seconds": 5}
    assert host.seen[-1][2]["Idempotency-Key"] == "k1"
    assert dromio(host, "twin", "call", TWIN, "blink", "seconds").returncode == 2


def test_timeline_history_and_td_show(host, twin):
    with host.lock:
        for step in range(20):
            host.uplink(twin, 20.0 + step)
    with host.lock:
        twin.schedule = {"state": "applied", "wanted": {"latency": 3600}, "network": {"periodic": 3600, "active": 20}}
    assert "applied wanted latency=3600 network periodic=3600 active=20" in dromio(host, "twin", "get", TWIN).stdout
    timeline = dromio(host, "twin", "timeline", TWIN)
    assert timeline.returncode == 0 and "uplink" in timeline.stdout and "temperature=39.0" in timeline.stdout
    history = dromio(host, "twin", "history", TWIN, "temperature")
    assert "▁" in history.stdout and "█" in history.stdout and "20 to 39 Cel" in history.stdout
    assert json.loads(dromio(host, "twin", "td", TWIN).stdout)["title"] == "Thermometer"


def test_a_query_prints_a_table_json_or_lines(host, twin):
    sql = "select id, temperature from thermo where site = 'north'"
    table = dromio(host, "query", sql)
    assert table.stdout.splitlines()[0].split() == ["id", "temperature"] and "1 row" in table.stderr
    assert json.loads(dromio(host, "query", "-", "-o", "json", stdin=sql).stdout)["rows"] == [[TWIN, 21.4]]
    assert json.loads(dromio(host, "query", sql, "-o", "ndjson").stdout) == {"id": TWIN, "temperature": 21.4}


def test_a_wrong_query_points_at_its_place(host, twin):
    run = dromio(host, "query", "select id frm thermo")
    lines = run.stderr.splitlines()
    assert run.returncode == 1 and lines[-1].index("^") == lines[-2].index("thermo")


def test_status_peers_and_dead_letters_show(host, twin):
    assert "uptime_s" in dromio(host, "status").stdout
    assert "mme.dromio.test" in dromio(host, "peers").stdout
    empty = dromio(host, "dead-letters")
    assert empty.returncode == 0 and empty.stdout == "" and "no dead letters" in empty.stderr


def test_an_application_lives_from_add_to_rm(host):
    token = dromio(
        host, "app", "add", "as1", "--domain", "acme.example", "--scope", "read", "--scope", "write"
    ).stdout.strip()
    assert host.applications["as1"]["token"] == token
    assert dromio(host, "app", "list", DROMIO_TOKEN=token).returncode == 5
    assert "acme.example" in dromio(host, "app", "list").stdout
    assert dromio(host, "app", "token", "as1").stdout.strip() not in ("", token)
    assert json.loads(dromio(host, "app", "show", "as1", "-o", "json").stdout)["scopes"] == ["read", "write"]
    assert dromio(host, "app", "add", "core", "--domain", "acme.example", "--scope", "capif").returncode == 0
    assert dromio(host, "app", "rm", "as1").returncode == 0
    assert dromio(host, "app", "show", "as1").returncode == 3


def test_login_prints_the_console_with_a_one_time_token(host):
    address = dromio(host, "login").stdout.strip()
    assert address.startswith(host.url + "/console/#token=") and address.partition("=")[2] in host.one_time


def tail(host, *arguments):
    return subprocess.Popen(
        [DROMIO, "tail", *arguments],
        env=environment(host),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def test_tail_follows_one_property(host, twin):
    run = tail(host, "--twin", TWIN, "--property", "temperature", "--count", "2")
    until(lambda: host.streams)
    with host.lock:
        host.uplink(twin, 22.5)
        host.uplink(twin, 23.5)
    out, _ = run.communicate(timeout=WAIT)
    assert run.returncode == 0
    assert [line.split()[2:6] for line in out.splitlines()] == [
        ["temperature", "=", "22.5", "Cel"],
        ["temperature", "=", "23.5", "Cel"],
    ]


def test_tail_goes_on_where_a_lost_stream_stopped(host, twin):
    host.cut_stream_after = 2
    run = tail(host, "--property", "temperature", "-o", "ndjson", "--count", "5")
    until(lambda: host.streams)
    with host.lock:
        for step in range(5):
            host.uplink(twin, 30.0 + step)
    out, err = run.communicate(timeout=WAIT)
    assert [json.loads(line)["data"]["value"] for line in out.splitlines()] == [30.0, 31.0, 32.0, 33.0, 34.0]
    assert "connecting again" in err and run.returncode == 0


def test_tail_shows_how_far_a_command_got(host, twin):
    run = tail(host, "--twin", TWIN, "--count", "1")
    until(lambda: host.streams)
    assert dromio(host, "twin", "set", TWIN, "period", "600").returncode == 0
    out, _ = run.communicate(timeout=WAIT)
    assert "ticket 1  period = 600  pending" in out


def test_tail_begins_after_an_event(host, twin):
    with host.lock:
        host.uplink(twin, 25.0)
        last = json.loads(host.log[-1][4])["id"]
        host.uplink(twin, 26.0)
    run = dromio(host, "tail", "--after", last, "--property", "temperature", "--count", "1", "-o", "ndjson")
    assert json.loads(run.stdout)["data"]["value"] == 26.0


def test_tail_ends_with_6_when_too_few_events_came_in_time(host, twin):
    run = dromio(host, "tail", "--count", "1", "--timeout", "200ms")
    assert run.returncode == 6 and "0 of 1" in run.stderr


def test_tail_ends_in_order_on_ctrl_c(host, twin):
    run = tail(host)
    until(lambda: host.streams)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=WAIT)
    assert run.returncode == 0


def test_an_unreachable_host_gives_9():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "http://127.0.0.1:%d" % free.getsockname()[1]
        for command in (["status"], ["tail"], ["twin", "put", "--from", "/dev/null"]):
            run = subprocess.run(
                [DROMIO, *command, "--host", address, "--token", "x"],
                capture_output=True,
                timeout=WAIT,
                encoding="utf-8",
            )
            assert run.returncode == 9 and address in run.stderr and run.stdout == ""


def test_a_host_that_drops_the_connection_gives_9(host):
    host.answer_next.append(b"")
    assert dromio(host, "status").returncode == 9


def test_without_a_token_it_gives_5_and_says_where_one_is_found(host):
    run = subprocess.run(
        [DROMIO, "status", "--host", host.url],
        env={"PATH": "/"},
        cwd="/",
        capture_output=True,
        timeout=WAIT,
        encoding="utf-8",
    )
    assert run.returncode == 5 and "--token-file" in run.stderr


def test_a_token_file_is_used(host, tmp_path):
    file = tmp_path / "admin.token"
    file.write_text(host.admin_token + "\n")
    assert dromio(host, "status", DROMIO_TOKEN="", DROMIO_TOKEN_FILE=str(file)).returncode == 0
    assert dromio(host, "status", "--token-file", str(file), DROMIO_TOKEN="wrong").returncode == 0
    assert dromio(host, "status", "--token-file", str(tmp_path / "none")).returncode == 2


def test_an_overloaded_host_says_when_to_come_back(host):
    host.answer_next.append(Problem(503, "Service Unavailable", "too much to do"))
    run = dromio(host, "status")
    assert run.returncode == 1 and "too much to do" in run.stderr and "try again in 1 s" in run.stderr


def test_nothing_of_the_host_reaches_the_terminal_unescaped(host, twin):
    evil = "\x1b]0;owned\x07\u202e\u009b31m"
    twin.tags["site"] = evil
    host.dead_letters.append({"id": evil, "time": evil, "kind": evil, "frame": evil, "reason": evil, "image": None})
    twin.events[0]["log"] = [evil]
    commands = [
        ["twin", "get", TWIN],
        ["dead-letters"],
        ["dead-letters", "-o", "json"],
        ["twin", "list", "-o", "ndjson"],
        ["twin", "timeline", TWIN],
        ["query", "select site from thermo"],
        ["query", "select site from thermo", "-o", "ndjson"],
    ]
    outputs = [dromio(host, *command) for command in commands]
    host.answer_next.append(Problem(400, evil, evil, reasons=[evil]))
    outputs.append(dromio(host, "status"))
    for run in outputs:
        assert not set(run.stdout + run.stderr) & set("\x1b\x07\u202e\u009b"), run.args


def test_an_answer_that_is_not_json_is_a_failure(host):
    host.answer_next.append(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    run = dromio(host, "status")
    assert run.returncode == 1 and "not JSON" in run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["twin"],
        ["twin", "nonsense"],
        ["twin", "get"],
        ["twin", "get", "a", "b"],
        ["status", "--nonsense"],
        ["status", "-o", "xml"],
        ["twin", "set", "a", "b", "1", "--timeout", "1s"],
        ["status", "--host", "ftp://x"],
        ["twin", "list", "--limit", "0"],
        ["query"],
    ],
)
def test_wrong_usage_gives_2_and_nothing_on_stdout(arguments):
    run = subprocess.run([DROMIO, *arguments], env={"PATH": "/"}, capture_output=True, timeout=WAIT, encoding="utf-8")
    assert run.returncode == 2 and run.stdout == "" and run.stderr.startswith("dromio: ")


def test_help_is_there_for_every_command():
    run = subprocess.run([DROMIO, "--help"], capture_output=True, timeout=WAIT, encoding="utf-8")
    assert run.returncode == 0
    for command in ("image push", "twin put", "twin history", "tail", "query", "app add", "login"):
        assert command in run.stdout
        one = subprocess.run([DROMIO, *command.split(), "--help"], capture_output=True, timeout=WAIT, encoding="utf-8")
        assert one.returncode == 0 and "Examples:" in one.stdout


@pytest.mark.parametrize("command", ["build", "test"])
def test_the_local_commands_take_the_options_that_help_lists(command):
    told = subprocess.run(
        [DROMIO, "twin", command, "--help"], capture_output=True, timeout=WAIT, encoding="utf-8"
    ).stdout
    own = subprocess.run(
        [str(ROOT / "build" / "examples" / "dromio-twin"), command, "--help"],
        capture_output=True,
        timeout=WAIT,
        encoding="utf-8",
    ).stdout
    listed = lambda text: set(re.findall(r"^  (--?[a-z-]+)", text, re.M))  # noqa: E731
    assert listed(told) == listed(own) != set()


def test_the_bash_completion_completes(tmp_path):
    script = (
        'source <("$0" completion bash); COMP_WORDS=(dromio twin hi); COMP_CWORD=2; _dromio; echo "${COMPREPLY[@]}"'
    )
    run = subprocess.run(["bash", "-c", script, DROMIO], capture_output=True, timeout=WAIT, encoding="utf-8")
    assert run.stdout.split() == ["history"], run.stderr
