"""More than there is time for. A core that is held (SIGSTOP) takes nothing, so what is sent waits in its gate, and what is
beyond the gate's bounds is refused in each protocol's words; then the core goes on."""
import contextlib
import itertools
import os
import select
import signal
import socket

import pytest
from host import LIMIT_S, Host, thermo_reading, until
from mme import DWR, Load, Mme, result_of

KEEP_A_CORE, SHARE = 6144, 8  # BUSY_KEEP_A_CORE, BUSY_SHARE
TWINS, MODEST = 64, 50
CONNECTIONS, PIPELINE = 300, 64  # more requests than HTTP_EXCHANGES_MAX


def twin_of(number):
    return f"t{number}@acme.example"


def imsi_of(number):
    return f"00101{number:010d}"


@pytest.fixture(scope="module")
def one_core():
    with Host("host.cores=1", "host.gates=1") as host:
        lines = host.admin.bulk([{"id": twin_of(n), "model": "acme/thermo", "imsi": imsi_of(n)} for n in range(TWINS + 1)])
        assert {line["status"] for line in lines} == {201}
        for identity, numbers in (("greedy.epc.test", range(TWINS)), ("modest.epc.test", [TWINS])):
            with Mme(host, identity=identity) as mme:
                for number in numbers:
                    mme.attach(imsi_of(number))
        yield host


@contextlib.contextmanager
def held(process):
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_one_greedy_peer_is_refused_and_nobody_else(one_core):
    host = one_core
    kept = next(n for n in itertools.count() if n >= SHARE * (KEEP_A_CORE - n))
    sent = kept + 1000
    with Load(host, "greedy.epc.test") as greedy, Load(host, "modest.epc.test") as modest:
        with held(host.room("core")):
            for n in range(sent):
                greedy.send(imsi_of(n % TWINS), thermo_reading(n // TWINS % 256), end=1 << 20 | n)
            greedy.drain(below=kept + 1)  # it hears of all that is refused while nothing is answered
            assert set(greedy.results.values()) == {3004} and len(greedy.results) == sent - kept
            for n in range(MODEST):
                modest.send(imsi_of(TWINS), thermo_reading(n), end=n)
            with Mme(host, identity="third.epc.test") as third:
                assert result_of(third.ask(DWR, 0, [], flags=0)) == 2001
            assert not select.select([modest.socket], [], [], 0)[0]  # neither answered nor refused
        greedy.drain()
        modest.drain()
        assert sorted(set(greedy.results.values())) == [2001, 3004] and len(greedy.results) == sent
        assert list(greedy.results.values()).count(2001) == kept
        assert set(modest.results.values()) == {2001} and len(modest.results) == MODEST
        greedy.send(imsi_of(0), thermo_reading(0), end=1 << 21)  # all is as before
        greedy.drain()
        assert greedy.results[1 << 21] == 2001
    assert host.admin.query("select sum(readings) from thermo") == [[kept + MODEST + 1]]  # each once
    assert host.metric('dromio_diameter_drops_total{reason="busy"}') == sent - kept
    until(lambda: host.metric('dromio_diameter_pending{direction="in"}') == 0, "no request left")


def answers_of(connection, data=b""):
    """Heads of all that is answered on a connection with PIPELINE requests."""
    heads = []
    while len(heads) < PIPELINE:
        head, end, rest = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(rest) >= length:
            heads.append(head)
            data = rest[length:]
            continue
        part = connection.recv(1 << 16)
        assert part, "the host ended the connection"
        data += part
    return heads


def test_http_says_503_and_when_to_come_back(one_core):
    host = one_core
    get = f"GET /v1/twins/{twin_of(0)} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {host.admin.token}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        open_one = lambda: stack.enter_context(socket.create_connection(("127.0.0.1", host.http_port), timeout=LIMIT_S))  # noqa: E731
        with held(host.room("core")):
            connections = [open_one() for _ in range(CONNECTIONS)]
            for connection in connections:
                connection.sendall(get * PIPELINE)
            refused = select.select(connections, [], [], LIMIT_S)[0][0]
            first = refused.recv(1 << 16)
            assert first.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in first
        answered = [answers_of(c, first if c is refused else b"") for c in connections]
    heads = [head for each in answered for head in each]
    assert len(heads) == CONNECTIONS * PIPELINE  # one way or the other
    assert {head[9:12] for head in heads} == {b"200", b"503"}
    assert all((b"\r\nRetry-After: 1" in head) == (head[9:12] == b"503") for head in heads)
    assert host.admin.twin(twin_of(0))["id"] == twin_of(0)
