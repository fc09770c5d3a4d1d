"""What does not end with one answer: bulk requests, event streams, and what a client may keep waiting."""
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from http_gate import Gate  # noqa: E402

AUTH = "Authorization: Bearer admin-token\r\n"


@pytest.fixture(scope="module")
def gate():
    with Gate() as running:
        yield running


# ---- bulk ----

def bulk(gate, lines, **headers):
    body = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    answer = gate.request("POST", "/v1/twins:bulk", body.encode(), **headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


def test_each_line_gets_a_line_in_order(gate):
    names = [f"m{i}@acme.example" for i in range(3000)]
    lines = bulk(gate, [{"id": name, "model": "acme/thermo"} for name in names])
    assert [line["id"] for line in lines] == names
    assert all(line["status"] == 201 and line["revision"] == 7 for line in lines)


def test_a_broken_line_gets_a_problem_and_the_rest_goes_on(gate):
    lines = bulk(gate, [{"id": "a@acme.example"}, "not json\n", {"id": "b@acme.example", "imsi": 5}, {"model": "x"}, {"id": 7}, {"id": "none"},
                        {"id": "missing@acme.example"}, "\n", "[]\n", {"id": "c@acme.example"}])
    assert [line["status"] for line in lines] == [201, 400, 422, 422, 422, 422, 404, 400, 422, 201]
    assert [line["id"] for line in lines] == ["a@acme.example", None, "b@acme.example", None, None, None, "missing@acme.example",
                                              None, None, "c@acme.example"]
    assert lines[2]["problem"]["pointer"] == "/imsi"
    assert lines[6]["problem"]["title"] == "scripted"


def test_a_line_that_is_too_long_gets_413_and_the_rest_goes_on(gate):
    long = json.dumps({"id": "b@acme.example", "tags": {"x": "y" * 70000}}) + "\n"
    lines = bulk(gate, [{"id": "a@acme.example"}, long, {"id": "c@acme.example"}])
    assert [line["status"] for line in lines] == [201, 413, 201]


def test_a_line_of_exactly_64_kib_is_taken(gate):
    line = '{"id":"a@acme.example"'
    line += " " * (65536 - len(line) - 1) + "}"
    assert [one["status"] for one in bulk(gate, [line + "\n", line + " \n"])] == [201, 413]


def test_the_last_line_may_lack_its_end(gate):
    assert len(bulk(gate, ['{"id":"a@acme.example"}\r\n{"id":"b@acme.example"}'])) == 2


def test_no_line_is_an_empty_answer(gate):
    assert bulk(gate, []) == []


def test_each_line_is_answered_before_the_next_is_sent(gate):
    with gate.wire() as wire:
        wire.send(f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n")
        for i in range(20):
            line = json.dumps({"id": f"m{i}@acme.example"}) + "\n"
            half = len(line) // 2
            for part in (line[:half], line[half:]):
                wire.send(f"{len(part):x}\r\n{part}\r\n")
            if i == 0:
                while wire.file.readline() != b"\r\n":
                    pass
            size = int(wire.file.readline(), 16)
            assert json.loads(wire.file.read(size))["id"] == f"m{i}@acme.example"
            assert wire.file.readline() == b"\r\n"
        wire.send("0\r\n\r\n")
        assert wire.file.readline() == b"0\r\n"
        assert wire.file.readline() == b"\r\n"
        wire.send(f"GET /v1/twins/a@acme.example HTTP/1.1\r\nHost: h\r\n{AUTH}\r\n")
        assert wire.answer().status == 200


def test_a_client_that_sends_all_before_it_reads_is_served(gate):
    count = 100000
    body = b"".join(b'{"id":"m%d@acme.example"}\n' % i for i in range(count))
    with gate.wire() as wire:
        wire.send(f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\n{AUTH}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = wire.answer().body.splitlines()
        assert len(lines) == count
        assert json.loads(lines[-1])["id"] == f"m{count - 1}@acme.example"


def test_a_client_that_leaves_in_the_middle_does_no_harm(gate):
    for _ in range(20):
        with gate.wire() as wire:
            wire.send(f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\n{AUTH}Content-Length: 100000\r\n\r\n" + '{"id":"m@acme.example"}\n' * 900)
    assert len(bulk(gate, [{"id": "a@acme.example"}])) == 1


def test_a_line_the_core_never_answers_holds_back_those_behind_it_only(gate):
    with gate.wire() as wire:
        lines = '{"id":"a@acme.example"}\n{"id":"late5@acme.example"}\n'
        wire.send(f"POST /v1/twins:bulk HTTP/1.1\r\nHost: h\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n{len(lines):x}\r\n{lines}\r\n")
        while wire.file.readline() != b"\r\n":
            pass
        wire.file.readline()
        assert json.loads(wire.file.readline())["id"] == "a@acme.example"
        wire.file.readline()
        gate.request("GET", "/v1/twins/other@acme.example")  # lets the late one go
        wire.file.readline()
        assert json.loads(wire.file.readline())["id"] == "late5@acme.example"
        wire.send("0\r\n\r\n")


def test_a_bulk_request_for_http_1_0_ends_with_the_connection(gate):
    body = '{"id":"a@acme.example"}\n' * 5
    with gate.wire() as wire:
        wire.send(f"POST /v1/twins:bulk HTTP/1.0\r\n{AUTH}Content-Length: {len(body)}\r\n\r\n{body}")
        assert len(wire.answer().body.splitlines()) == 5


# ---- events ----

def subscribe(gate, query="", more="", token="reader-token"):
    wire = gate.wire()
    wire.send(f"GET /v1/events{query} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    return wire


def head(wire):
    lines = []
    while (line := wire.file.readline()) not in (b"\r\n", b""):
        lines.append(line.decode().strip())
    return lines


def event(wire):
    found = {}
    while (line := wire.file.readline()) not in (b"\n", b""):
        name, _, value = line.decode().rstrip("\n").partition(": ")
        found[name] = value
    return found


def test_events_arrive_with_id_type_and_data(gate):
    with subscribe(gate) as wire:
        lines = head(wire)
        assert lines[0] == "HTTP/1.1 200 OK"
        assert "Content-Type: text/event-stream" in lines and "Cache-Control: no-store" in lines
        first = event(wire)
        assert first["event"] == "dromio.property.changed.v1" and first["id"].startswith("e")
        number = json.loads(first["data"])["number"]
        assert [json.loads(event(wire)["data"])["number"] for _ in range(5000)] == list(range(number + 1, number + 5001))


def test_a_stream_that_is_left_is_left_in_the_core_too():
    with Gate() as gate:
        with subscribe(gate) as wire:
            head(wire)
            assert gate.said() == "subscribed"
        assert gate.said() == "unsubscribed"
        assert gate.metric("dromio_http_event_streams") == 0


def test_a_stream_of_an_unknown_twin_is_a_problem(gate):
    with subscribe(gate, "?twin=missing@acme.example") as wire:
        answer = wire.answer()
        assert answer.status == 404 and answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("query", ["?twin=x", "?model=", "?nonsense=1", "?property=" + "p" * 64])
def test_a_stream_of_nonsense_is_400(gate, query):
    with subscribe(gate, query) as wire:
        assert wire.answer().status == 400


def test_head_of_a_stream_ends(gate):
    with gate.wire() as wire:
        wire.send("HEAD /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer reader-token\r\n\r\n")
        assert wire.answer("HEAD").status == 200
        assert wire.is_closed()


def test_a_client_that_does_not_read_is_disconnected_and_counted():
    with Gate() as gate:
        with subscribe(gate) as wire:
            head(wire)
            wire.socket.settimeout(60)
            while gate.metric("dromio_http_event_streams_slow_total") == 0:  # after 20 s without a byte taken
                assert gate.request("GET", "/healthz", token=None).status == 200
        assert gate.metric("dromio_http_event_streams") == 0


def test_a_stream_ends_when_its_token_does():
    with Gate() as gate:
        with subscribe(gate, token="gone-token") as wire:
            head(wire)
            gate.request("GET", "/v1/twins/gone@acme.example")
            while wire.file.readline() != b"":
                pass


def test_a_stopping_gate_ends_its_streams():
    with Gate() as gate:
        wire = subscribe(gate)
        head(wire)
        assert gate.stop() == 0
        wire.close()
