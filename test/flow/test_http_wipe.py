"""Tokens, identities and secrets pass through the gate and stay nowhere in its memory."""
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "peers"))
from http_gate import Gate  # noqa: E402

TOKEN = "q7Zr-a-token-nobody-has-55"
IMSI = "001019876501234"
MSISDN = "491709876501234"
SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"
ALL = [TOKEN, IMSI, MSISDN, SECRET]
BODY = json.dumps({"imsi": IMSI, "msisdn": MSISDN, "secrets": {"key": SECRET}})
LINE = json.dumps({"id": "m1@acme.example", "imsi": IMSI, "msisdn": MSISDN, "secrets": {"key": SECRET}}) + "\n"


def found(gate):
    """Which of ALL are somewhere in the gate's writable memory."""
    hits = set()
    process = f"/proc/{gate.process.pid}"
    with open(f"{process}/maps") as maps, open(f"{process}/mem", "rb", 0) as memory:
        for line in maps:
            place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not place or "[v" in line:
                continue
            start, end = (int(text, 16) for text in place.groups())
            memory.seek(start)
            try:
                content = memory.read(end - start)
            except OSError:
                continue
            hits |= {text for text in ALL if text.encode() in content}
    return hits


@pytest.fixture
def gate():
    with Gate() as running:
        yield running


def head(method, path, length, token="admin-token", more=""):
    return f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {length}\r\n\r\n"


def test_the_search_finds_what_is_there(gate):
    with gate.wire() as wire:
        wire.send(head("PUT", "/v1/twins/m1@acme.example", len(BODY) + 1) + BODY)  # one byte is still to come
        while IMSI not in found(gate):
            pass


@pytest.mark.parametrize("path", ["/v1/twins/m1@acme.example", "/v1/twins/m1@other.example", "/v1/nothing"])
def test_a_put_leaves_nothing(gate, path):
    with gate.wire() as wire:
        wire.send(head("PUT", path, len(BODY)) + BODY).answer()
        assert found(gate) == set()


def test_a_put_in_pieces_leaves_nothing(gate):
    with gate.wire() as wire:
        wire.send(head("PUT", "/v1/twins/m1@acme.example", len(BODY) + 30000))
        wire.send(BODY)
        wire.send(" " * 30000)
        assert wire.answer().status == 201
        assert found(gate) == set()


@pytest.mark.parametrize("body", [BODY[:-1], BODY.replace("imsi", "ismi"), BODY.replace('{"key"', '{"x":[],"key"')])
def test_a_refused_put_leaves_nothing(gate, body):
    with gate.wire() as wire:
        assert wire.send(head("PUT", "/v1/twins/m1@acme.example", len(body)) + body).answer().status in (400, 422)
        assert found(gate) == set()


def test_pipelined_puts_leave_nothing(gate):
    with gate.wire() as wire:
        wire.send((head("PUT", "/v1/twins/m1@acme.example", len(BODY)) + BODY) * 50)
        assert {wire.answer().status for _ in range(50)} == {201}
        assert found(gate) == set()


def test_a_bulk_request_leaves_nothing(gate):
    with gate.wire() as wire:
        body = LINE * 700 + LINE[:-2] + "\n"
        wire.send(head("POST", "/v1/twins:bulk", len(body)) + body)
        assert len(wire.answer().body.splitlines()) == 701
        assert found(gate) == set()


def test_a_bulk_request_that_is_cut_off_leaves_nothing(gate):
    with gate.wire() as wire:
        wire.send(head("POST", "/v1/twins:bulk", 1000000) + LINE * 10 + LINE[:-5])
    while gate.metric("dromio_http_connections") > 1:
        pass
    assert found(gate) == set()


def test_a_token_leaves_nothing(gate):
    with gate.wire() as wire:
        for _ in range(3):
            assert wire.send(head("GET", "/v1/twins", 0, TOKEN)).answer().status == 401
        assert found(gate) == set()


def test_a_token_of_a_request_that_was_cut_off_leaves_nothing(gate):
    with gate.wire() as wire:
        wire.send(head("GET", "/v1/twins", 0, TOKEN)[:-2])
    while gate.metric("dromio_http_connections") > 1:
        pass
    assert found(gate) == set()
