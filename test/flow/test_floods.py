"""Who shows no token takes no place and no memory from those who do."""
import pytest
from floods import (H2_PREFACE, HALF_HEAD, LONG_HEAD, SLOW_BODY, SLOW_FORM, SMALL_WINDOW, UNREAD, UNREAD_PAGE, NarrowHost, are_read, close, flood,
                    honest, private_kib)
from host import Host, until
from mme import Mme

FLOOD = 600      # more than a NarrowHost has places
HEAVY_MAX = 256  # HTTP_HEAVY_MAX
PEER_KIB = 4     # of one that is not heavy


@pytest.fixture(scope="module")
def narrow():
    with NarrowHost("host.gates=1") as host:
        yield host


@pytest.mark.parametrize("first", [b"", HALF_HEAD, SLOW_BODY, SLOW_FORM, UNREAD * 500], ids=["silent", "half-head", "slow-body", "slow-form", "unread"])
def test_strangers_keep_nobody_out(narrow, first):
    held = flood(narrow.http_port, FLOOD, first, SMALL_WINDOW)
    honest(narrow, 5)
    close(held)
    until(lambda: narrow.metric("dromio_http_connections") == 1, "only our own connection")


def test_a_known_client_stays_while_strangers_go(narrow):
    client = narrow.client(narrow.admin.token)
    assert client.get("/v1/twins?limit=1").status == 200
    known = client.connection.sock
    held = flood(narrow.http_port, FLOOD, HALF_HEAD)
    honest(narrow, 5)
    until(lambda: narrow.metric("dromio_http_connections_evicted_total") >= 100, "strangers that went")
    assert client.get("/v1/twins?limit=1").status == 200
    assert client.connection.sock is known
    client.close()
    close(held)


@pytest.mark.parametrize("first, at_most", [(HALF_HEAD, 2), (LONG_HEAD, 17), (UNREAD * 3000, 18), (UNREAD_PAGE * 50, 18), (SLOW_FORM, 2)],
                         ids=["half-head", "long-head", "unread-refusals", "unread-pages", "form"])
def test_what_strangers_make_a_gate_keep_is_bounded(first, at_most):
    """Buffers: a small block for each, more for HTTP_HEAVY_MAX of them only."""
    count = 2 * HEAVY_MAX
    with Host("host.gates=1", thermo=False) as host:
        held = flood(host.http_port, count, first, SMALL_WINDOW)
        until(lambda: host.metric("dromio_http_connections_total") > count, "all of them accepted")
        honest(host, 3)
        assert host.metric("dromio_http_strangers_heavy") <= HEAVY_MAX  # at any time
        kept = host.metric("dromio_http_buffer_bytes") / 1024
        assert kept <= count * 2 + HEAVY_MAX * at_most
        close(held)
        until(lambda: host.metric("dromio_http_connections") == 1, "only our own connection")
        assert host.metric("dromio_http_buffer_bytes") < 64 * 1024


def test_a_connection_whose_token_has_ended_is_a_strangers(narrow):
    until(lambda: narrow.metric("dromio_http_strangers") == 0, "no strangers")
    made = narrow.admin.post("/v1/applications", {"id": "ends", "domains": ["acme.example"], "scopes": ["read"]}).json()
    client = narrow.client(made["token"])
    assert client.get("/v1/twins?limit=1").status == 200
    assert narrow.metric("dromio_http_strangers") == 0
    assert narrow.admin.delete("/v1/applications/ends").status == 204
    until(lambda: client.get("/v1/twins?limit=1").status == 401, "the end of the token")
    assert narrow.metric("dromio_http_strangers") == 1
    client.close()


def test_http2_is_refused_at_its_first_line(narrow):
    """No frame of it is read: rapid resets, CONTINUATION, SETTINGS and PING floods end before they begin."""
    frames = b"".join(bytes([0, 0, 0, kind, 0, 0, 0, 0, 1]) for kind in (4, 1, 3, 9, 6, 8)) * 1000
    held = flood(narrow.http_port, 20, H2_PREFACE + frames)
    for one in held:
        one.setblocking(True)
        one.settimeout(30)
        data = b""
        try:
            while part := one.recv(1 << 16):
                data += part
        except ConnectionResetError:
            pass
        assert data.startswith(b"HTTP/1.1 505 ") and data.count(b"\r\nDate: ") == 1
    close(held)
    honest(narrow, 3)


def test_an_idle_host_gives_back_what_a_flood_needed():
    with Host("host.gates=1", thermo=False) as host:
        before = private_kib(host.room("gate"))
        held = flood(host.http_port, 1000, HALF_HEAD)
        are_read(held)
        until(lambda: host.metric("dromio_http_connections") > 1000, "all of them")
        assert private_kib(host.room("gate")) - before <= 1000 * PEER_KIB
        close(held)
        until(lambda: host.metric("dromio_http_connections") == 1, "only our own connection")
        until(lambda: private_kib(host.room("gate")) - before < 1024, "memory given back")


def test_memory_of_a_diameter_flood_is_given_back_while_a_peer_that_came_with_it_stays():
    with Host("host.gates=1", "host.cores=1", thermo=False) as host:
        with Mme(host, identity="before.epc.test"):
            pass
        before = private_kib(host.room("gate"))
        held = flood(host.diameter_port, 500, b"\x01\x00\x0b\xf8" + bytes(2900))  # most of a CER of 3064 bytes
        until(lambda: host.metric('dromio_diameter_connections{state="other"}') >= 500, "all of them")
        until(lambda: private_kib(host.room("gate")) - before > 1024, "what they sent so far")
        with Mme(host, identity="stays.epc.test"):
            close(held)
            until(lambda: host.metric('dromio_diameter_connections{state="other"}') == 0, "their end")
            until(lambda: private_kib(host.room("gate")) - before < 768, "memory given back")
