"""What brought other cores down beside malformed messages of peers (test_malformed_served.py): errors of upstreams, missing tokens,
memory, bombs, slow HTTP; live against the whole host: each is refused in its protocol's words, and the next peer is served."""
import http.client
import json
import socket
import threading

import pytest
from diameter_peer import IMSI, T6A, V3GPP, RawPeer, avp, cer, expect_service, find, origin, request, result_of, t6a_avps
from diameter.message import Message
from host import Client, until
from mme import Mme


@pytest.fixture(scope="module", autouse=True)
def device(real):
    real.admin.put_twin("m@acme.example", imsi=IMSI)
    with Mme(real) as mme:
        mme.attach(IMSI)
    return "m@acme.example"


@pytest.fixture(autouse=True)
def all_rooms_live_and_the_next_peer_is_served(real):
    before = real.rooms()
    yield
    expect_service(real.diameter_port)
    assert real.admin.get("/healthz").status == 200
    assert real.rooms() == before, "a room died"


def answer_bytes(code, application, hop, end, session=None, result=2001):
    message = Message()
    message.header.command_code, message.header.application_id = code, application
    message.header.hop_by_hop_identifier, message.header.end_to_end_identifier = hop, end
    message.header.is_request, message.header.is_proxyable = False, application != 0
    for item in ([avp(263, session)] if session else []) + [avp(268, result), avp(277, 1)] + origin():
        message.append_avp(item)
    return message.as_bytes()


@pytest.mark.parametrize("result", [None, 3002, 3004, 4001, 5001, 5012, 9999, 1])
def test_10_every_error_of_the_peer_leaves_the_ticket_in_a_known_state(real, device, result):
    with RawPeer(real.diameter_port) as peer:
        peer.open("mme1.epc.test")
        with Mme(real, identity="fresh.epc.test") as mme:  # nothing waits from before
            mme.attach(IMSI)
            until(lambda: real.admin.twin(device)["mailbox"] == 0)
        peer.send(request(type("Cmr", (), {"code": 8388732}), T6A, t6a_avps(host="mme1.epc.test") +
                          [avp(4314, 0, V3GPP), avp(493, "nidd.test"), avp(1032, 1005, V3GPP)]))
        assert result_of(peer.receive()) == 2001
        ticket = real.admin.post(f"/v1/twins/{device}/actions/blink", {"seconds": 1}).json()["ticket"]
        ours = peer.receive()
        header = ours.header
        if result is None:
            message = Message()
            message.header.command_code, message.header.application_id = 8388734, T6A
            message.header.hop_by_hop_identifier, message.header.end_to_end_identifier = header.hop_by_hop_identifier, header.end_to_end_identifier
            message.header.is_error = True
            peer.send(message.as_bytes())
        else:
            peer.send(answer_bytes(8388734, T6A, header.hop_by_hop_identifier, header.end_to_end_identifier, find(ours, 263), result))
        until(lambda: real.admin.ticket(device, ticket)["state"] in ("pending", "failed"))


def test_11_all_routes_want_a_token(real):
    """Every route of the OpenAPI document, with none and with a forged one."""
    paths = real.admin.get("/openapi.json").json()["paths"]
    assert len(paths) > 15
    for token in (None, "forged", real.admin.token[:-1], real.admin.token.upper() + "x"):
        client = Client(real.http_port, token)
        for path, methods in paths.items():
            for method in methods:
                if method not in ("get", "put", "post", "delete", "patch") or path == "/healthz" or path.startswith("/console"):
                    continue
                assert client.request(method.upper(), path.replace("{", "").replace("}", "")).status == 401, (method, path)
        client.close()


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def test_12_little_memory_before_a_peer_is_known(real):
    before = resident(real.room("gate"))
    peers = []
    try:
        for _ in range(200):
            peers.append(RawPeer(real.diameter_port))
            try:
                peers[-1].send(cer()[:100])
            except OSError:
                pass
        assert real.admin.get("/healthz").status == 200
        assert resident(real.room("gate")) - before < 200 * 64 * 1024
        expect_service(real.diameter_port)
    finally:
        for peer in peers:
            peer.socket.close()


def test_12_a_compressed_body_is_not_unpacked(real):
    answer = real.admin.post("/v1/query", b"\x1f\x8b" + b"\0" * 1000, Content_Encoding="gzip")
    assert answer.status in (400, 415)


def test_13_deep_and_large_json(real):
    for body in ("[" * 60000, '{"sql":' * 5000, '{"a":"' + "x" * 300000 + '"}', '{"sql":"select 1"' + " " * 300000 + "}"):
        assert real.admin.post("/v1/query", body, Content_Type="application/json").status in (400, 413, 422)
    numbers = ["1e999", "-0", "1" * 400, "1e-999", "0.1e", "NaN", "Infinity"]
    for number in numbers:
        answer = real.admin.put("/v1/twins/m@acme.example/properties/limit", f'{{"value":{number}}}', Content_Type="application/json")
        assert answer.status in (202, 400, 422), (number, answer)


# ---- kin: HTTP ----

def raw_http(real, data):
    with socket.create_connection(("127.0.0.1", real.http_port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := connection.recv(65536):
            got += part
        return got


def test_http_that_smuggles_is_refused(real):
    head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {real.admin.token}\r\n".encode()
    for more in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                 b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"Content-Length: -1\r\n\r\n", b"Content-Length: 1e3\r\n\r\n",
                 b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b" Content-Length: 3\r\n\r\nabc", b"Content-Length : 3\r\n\r\nabc"):
        got = raw_http(real, head + more)
        assert got.split(b" ")[1:2] and 400 <= int(got.split(b" ")[1]) < 600 and got.count(b"HTTP/1.1") == 1, got


def test_http_heads_have_bounds(real):
    for data in (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10000 + b"\r\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200000 + b"\r\n\r\n", b"\x16\x03\x01\x02\0", b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n"):
        try:
            got = raw_http(real, data)
        except ConnectionResetError:
            continue
        assert got == b"" or 400 <= int(got.split(b" ")[1]) < 600, got[:100]


def test_slow_http_holds_nobody_up(real):
    slow = [socket.create_connection(("127.0.0.1", real.http_port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/query HTTP/1.1\r\nHo")
        assert real.admin.get("/v1/status").status == 200
    finally:
        for connection in slow:
            connection.close()


def test_many_at_once_are_answered_or_refused(real, device):
    statuses = []

    def ask():
        client = real.client(real.admin.token)
        for _ in range(50):
            try:
                statuses.append(client.get(f"/v1/twins/{device}").status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)
        client.close()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503} and 200 in statuses
    assert json.loads(real.admin.get("/healthz").body)["status"] == "ok"
