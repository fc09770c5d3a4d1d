"""TLS: HTTPS and Diameter from the first byte, strangers at the door, new certificates while it runs."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest

import audit
from certificates import Authority, openssl
from diameter_peer import IMSI, LIMIT_S, T6A, V3GPP, RawPeer, avp, capabilities, cer, dpr, find, odr, request, result_of, t6a_avps
from diameter.message.commands import CapabilitiesExchange, ConnectionManagement
from host import DROMIOD, Events, Host, end_with_parent, thermo_reading, until
from mme import Mme
from websocket import Websocket

HANDSHAKES_MAX = 256  # TLS_HANDSHAKES_MAX of src/gate/tls.h
HOST_NAMES = ("IP:127.0.0.1", "DNS:localhost", "DNS:scef.dromio.test")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "Another authority")


def http_settings(certificate):
    return [f"http.tls.certificate={certificate.pem}", f"http.tls.key={certificate.key}"]


def diameter_settings(certificate, *more):
    return [f"diameter.tls.certificate={certificate.pem}", f"diameter.tls.key={certificate.key}", *more]


@pytest.fixture(scope="module")
def secure(authority):
    """A host that speaks HTTPS."""
    certificate = authority.issue("host", *HOST_NAMES)
    with Host(*http_settings(certificate), context=authority.client()) as host:
        yield host


def test_a_websocket_over_tls(secure):
    as1 = secure.application("web", ["acme.example"], ["nidd"])
    secure.admin.put_twin("web@acme.example", imsi="001010000000999")
    made = as1.post("/3gpp-nidd/v1/web/configurations", {"externalId": "web@acme.example", "notificationDestination": "https://web.example/",
                    "websockNotifConfig": {"requestWebsocketUri": True}, "requestTestNotification": True}).json()
    uri = made["websockNotifConfig"]["websocketUri"]
    assert uri.startswith("wss://")
    with Websocket(secure.http_port, uri[uri.index("/3gpp"):], as1.token, context=secure.context) as web:
        assert web.status == 101 and json.loads(web.taken()) == {"subscription": made["self"]}


def dial(host, context=None, **more):
    """A TLS connection; the test's own client would speak HTTP on it."""
    plain = socket.create_connection(("127.0.0.1", host.http_port), timeout=LIMIT_S)
    try:
        return (context or host.context).wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False, **more)
    except BaseException:
        plain.close()
        raise


def ask(connection, path="/healthz", more=""):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
    return until_body(connection)


def until_body(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def handshakes(host, result, listener="http"):
    return host.metric(f'dromio_tls_handshakes_total{{listener="{listener}",result="{result}"}}')


def is_over(plain):
    """The other side ends it, whatever it says before."""
    try:
        while plain.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def client_hello(context):
    """A whole one, as it goes over the wire."""
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


# ---- good clients ----

def test_https_is_spoken_with_tls_13_and_http_11(secure):
    context = secure.context
    context.set_alpn_protocols(["h2", "http/1.1"])
    with dial(secure) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
        status, body = ask(connection)
        end = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
    assert status == 200
    told = datetime.datetime.fromisoformat(json.loads(body)["certificates"]["http"].replace("Z", "+00:00"))
    assert told.timestamp() == end
    assert secure.metric('dromio_tls_certificate_expires_seconds{listener="http"}') == end


def test_tls_12_is_spoken_too(authority, secure):
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with dial(secure, context) as connection:
        assert connection.version() == "TLSv1.2"
        assert connection.cipher()[0].startswith("ECDHE-") and connection.compression() is None
        assert ask(connection)[0] == 200


def test_large_bodies_go_both_ways(secure):
    lines = [{"id": f"large{n}@acme.example", "model": "acme/thermo", "tags": {f"tag{i}": "x" * 60 for i in range(8)}} for n in range(3000)]
    assert [answer["status"] for answer in secure.admin.bulk(lines)] == [201] * len(lines)  # 2 MB there
    answer = secure.admin.get("/v1/twins?limit=1000")
    assert answer.status == 200 and len(answer.body) > 100_000
    refused = secure.admin.post("/v1/images", b"\0" * 4_000_000, Content_Type="application/wasm")
    assert refused.status == 422


def test_pipelined_requests_of_one_record_are_all_answered(secure):
    with dial(secure) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        data = b""
        while data.count(b'"status":"ok"') < 200:
            part = connection.recv(65536)
            assert part
            data += part


def test_events_stream_over_tls(secure):
    secure.admin.put_twin("seen@acme.example", imsi="001019000000001")
    with Events(secure.admin, "?twin=seen@acme.example") as events, Mme(secure, identity="mme8.epc.test") as mme:
        assert events.status == 200
        mme.attach("001019000000001")
        mme.uplink("001019000000001", thermo_reading(1))
        assert events.next("dromio.property.changed.v1")["cloud"]["subject"] == "seen@acme.example"


def test_a_client_that_comes_back_resumes(authority, secure):
    context = authority.client()
    before = handshakes(secure, "resumed")
    with dial(secure, context) as first:
        assert ask(first)[0] == 200  # its ticket comes with the answer
        session = first.session
    with dial(secure, context, session=session) as second:
        assert ask(second)[0] == 200
        assert second.session_reused
    assert handshakes(secure, "resumed") == before + 1


def test_it_says_goodbye(secure):
    with dial(secure) as connection:
        assert ask(connection, more="Connection: close\r\n")[0] == 200
        assert connection.recv(1) == b""  # a close_notify: without it this were an error


def test_what_was_asked_before_a_close_notify_is_answered(secure):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = secure.context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S) as plain:
        def step(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
        step(talk.do_handshake)
        talk.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            talk.unwrap()
        plain.sendall(outgoing.read())
        data = b""
        while (part := plain.recv(65536)):
            data += part
        assert len(data) > 150  # tickets alone are shorter


# ---- others ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(authority, secure, version):
    context = authority.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    before = handshakes(secure, "version")
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        dial(secure, context)
    assert handshakes(secure, "version") == before + 1


def test_a_client_that_speaks_no_http_11_is_refused(authority, secure):
    context = authority.client()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        dial(secure, context)


def test_a_client_of_another_authority_trusts_us_not(stranger, secure):
    with pytest.raises(ssl.SSLCertVerificationError):
        dial(secure, stranger.client())
    assert secure.is_healthy()


def test_plain_http_is_told_so(secure):
    with socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while (part := plain.recv(65536)):
            data += part
    assert data.startswith(b"HTTP/1.1 400 ") and b"https" in data


@pytest.mark.parametrize("garbage", [
    b"\xff" * 100,
    b"\x16\x03\x01\x00\x05hello",
    b"\x16\x03\x01\xff\xff" + bytes(100),
    b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
    b"\x16\x03\x01\x00\x64\x01\x00\x00\x60" + b"\x55" * 96,
    b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
    b"\x80\x2e\x01\x03\x01" + bytes(43),
    b"\x16\x03",
    b"",
], ids=lambda garbage: garbage[:9].hex() or "nothing")
def test_garbage_ends_the_connection(secure, garbage):
    with socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S) as plain:
        try:
            plain.sendall(garbage)
            plain.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended already
        assert is_over(plain)
    assert secure.is_healthy()


def test_garbage_inside_of_an_open_connection_ends_it(secure):
    with dial(secure) as connection:
        assert ask(connection)[0] == 200
        raw = socket.socket(fileno=os.dup(connection.fileno()))
        with raw:
            raw.settimeout(LIMIT_S)
            raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
            assert is_over(raw)
    assert secure.is_healthy()


def test_slow_handshakes_are_dropped_while_others_are_served(authority, secure):
    hello = client_hello(authority.client())
    before = handshakes(secure, "timeout")
    slow = [socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S) for _ in range(4)]
    slow[1].sendall(hello[:3])
    slow[2].sendall(hello[:len(hello) // 2])
    slow[3].sendall(hello)
    try:
        assert secure.is_healthy()
        assert all(is_over(plain) for plain in slow)
    finally:
        for plain in slow:
            plain.close()
    assert handshakes(secure, "timeout") == before + len(slow)


def test_a_hello_in_pieces_is_taken(secure):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = secure.context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    hello = outgoing.read()
    with socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(hello), 50):
            plain.sendall(hello[at:at + 50])
            assert secure.is_healthy()  # it has been looked at
        while True:
            try:
                talk.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
        assert talk.version() == "TLSv1.3"


def test_unfinished_handshakes_are_bounded(authority, secure):
    hello = client_hello(authority.client())
    begun = []
    try:
        for _ in range(HANDSHAKES_MAX + 40):
            begun.append(socket.create_connection(("127.0.0.1", secure.http_port), timeout=LIMIT_S))
            begun[-1].sendall(hello)
        until(lambda: handshakes(secure, "evicted") >= 40, "room for the newest")
        assert all(is_over(plain) for plain in begun[:30])  # the oldest went
        assert secure.is_healthy()
    finally:
        for plain in begun:
            plain.close()


def test_renegotiation_is_refused(authority, secure):
    told = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{secure.http_port}", "-tls1_2", "-CAfile", authority.pem], input=b"R\n",
                          capture_output=True, timeout=LIMIT_S)
    assert b"no renegotiation" in told.stdout + told.stderr
    assert secure.is_healthy()


def test_a_client_certificate_is_asked_for_where_there_is_an_authority(authority, stranger):
    certificate = authority.issue("asking", *HOST_NAMES)
    good, bad = authority.issue("someone", "DNS:someone"), stranger.issue("nobody", "DNS:nobody")
    with Host(*http_settings(certificate), f"http.tls.ca={authority.pem}", context=authority.client(good)) as host:
        assert host.is_healthy()
        for context in (authority.client(), authority.client(bad)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                with dial(host, context) as connection:
                    ask(connection)
        assert handshakes(host, "certificate") == 2


# ---- certificates ----

def test_an_ended_certificate_is_told(authority):
    ended = authority.issue("ended", *HOST_NAMES, start="20240101000000Z", end="20250101000000Z")
    context = authority.client()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with Host(*http_settings(ended), context=context, thermo=False) as host:
        assert "certificate_ended listener=http end=2025-01-01" in host.log()
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            dial(host, authority.client())


def test_a_certificate_that_ends_soon_is_told(authority):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=12, hours=1)
    soon = authority.issue("soon", *HOST_NAMES, end=end.strftime("%Y%m%d%H%M%SZ"))
    with Host(*http_settings(soon), context=authority.client(), thermo=False) as host:
        assert f"certificate_ends listener=http end={end.strftime('%Y-%m-%d')}" in host.log()
        assert "days=12" in host.log()


def wrong_files(authority, directory):
    good, other = authority.issue("good", *HOST_NAMES), authority.issue("other", *HOST_NAMES)
    encrypted, empty, text = directory / "encrypted.key", directory / "empty", directory / "text"
    openssl("pkey", "-in", good.key, "-aes256", "-passout", "pass:secret", "-out", encrypted)
    empty.touch()
    text.write_text("no PEM at all\n")
    broken = directory / "broken.pem"
    broken.write_text(good.pem.read_text().replace("\n", "\nAAAA", 3))
    return good, [
        ("certificate", directory / "absent", good.key, "No such file"),
        ("certificate", empty, good.key, "empty"),
        ("certificate", directory, good.key, "is not a file"),
        ("certificate", text, good.key, "no certificate is in it"),
        ("certificate", broken, good.key, "cannot be read"),
        ("key", good.pem, text, "no private key is in it"),
        ("key", good.pem, other.key, "not the key of the certificate"),
        ("key", good.pem, encrypted, "passphrase"),
    ]


@pytest.mark.parametrize("section", ["http", "diameter"])
def test_a_wrong_file_ends_the_start_with_a_line_that_names_it(authority, tmp_path, section):
    for part, certificate, key, why in wrong_files(authority, tmp_path)[1]:
        told = subprocess.run([DROMIOD, "--data", tmp_path / "data", "--set", f"{section}.tls.certificate={certificate}", "--set",
                               f"{section}.tls.key={key}"], capture_output=True, text=True, timeout=LIMIT_S)
        path = certificate if part == "certificate" else key
        assert told.returncode == 2, told.stderr
        assert told.stderr.count("\n") == 1 and told.stderr.startswith(f"dromiod: {section}.tls.{part}: {path}: ") and why in told.stderr
    assert not (tmp_path / "data").exists()


class Files:
    """The two files a host has been told of; what is in them changes."""

    def __init__(self, directory):
        self.pem, self.key = directory / "host.pem", directory / "host.key"

    def put(self, certificate):
        for mine, theirs in ((self.pem, certificate.pem), (self.key, certificate.key)):
            new = mine.with_suffix(".new")
            new.write_bytes(pathlib.Path(theirs).read_bytes())
            new.rename(mine)


def reload(host, loads):
    host.process.send_signal(signal.SIGHUP)
    until(lambda: host.metric("dromio_tls_certificate_loads_total") == loads, "the new certificate")


def serial_of(host):
    with dial(host) as connection:
        return connection.getpeercert()["serialNumber"]


@pytest.fixture
def renewed(authority, tmp_path):
    files = Files(tmp_path)
    first = authority.issue("first", *HOST_NAMES)
    files.put(first)
    with Host(*http_settings(files), context=authority.client()) as host:
        assert serial_of(host) == first.serial()
        yield host, files


def test_new_certificates_come_without_a_lost_request(authority, renewed):
    host, files = renewed
    host.admin.put_twin("asked@acme.example")
    is_over = threading.Event()

    def client(is_kept):
        asker, count = host.client(host.admin.token), 0
        while not is_over.is_set():
            assert asker.get("/v1/twins/asked@acme.example").status == 200
            count += 1
            if not is_kept:
                asker.close()
        asker.close()
        return count

    with concurrent.futures.ThreadPoolExecutor(4) as pool, dial(host) as old:
        askers = [pool.submit(client, is_kept) for is_kept in (True, True, False, False)]
        try:
            for number in range(2, 6):
                certificate = authority.issue(f"renewed{number}", *HOST_NAMES)
                files.put(certificate)
                reload(host, number)
                assert serial_of(host) == certificate.serial()
                assert ask(old)[0] == 200
        finally:
            is_over.set()
        assert all(asker.result() > 0 for asker in askers)


def test_a_ticket_of_before_is_good_no_more(authority, renewed):
    host, _files = renewed
    context = authority.client()
    with dial(host, context) as first:
        ask(first)
        session = first.session
    reload(host, 2)
    with dial(host, context, session=session) as second:
        assert ask(second)[0] == 200
        assert not second.session_reused


def test_a_broken_file_is_refused_and_the_old_one_stays(authority, stranger, renewed):
    host, files = renewed
    before = serial_of(host)
    files.put(authority.issue("halfway", *HOST_NAMES))
    files.key.write_bytes(stranger.issue("other", *HOST_NAMES).key.read_bytes())
    host.process.send_signal(signal.SIGHUP)
    until(lambda: "the ones in use stay" in host.log(), "the refusal")
    assert f"http.tls.key: {files.key}: it is not the key of the certificate" in host.log()
    assert serial_of(host) == before
    dead = host.kill_room("gate")  # a gate that is started again has the good one too
    host.room_is_back("gate", dead)
    host.wait()
    assert serial_of(host) == before
    after = authority.issue("after", *HOST_NAMES)
    files.put(after)
    reload(host, 2)
    assert serial_of(host) == after.serial()


def test_all_gates_have_the_same(authority, tmp_path):
    files = Files(tmp_path)
    files.put(authority.issue("gates1", *HOST_NAMES))
    with Host(*http_settings(files), "host.gates=2", context=authority.client(), thermo=False) as host:
        with dial(host) as first:
            assert ask(first)[0] == 200
            session = first.session
        for _ in range(12):  # whichever gate takes it
            with dial(host, first.context, session=session) as again:
                assert ask(again)[0] == 200 and again.session_reused
        new = authority.issue("gates2", *HOST_NAMES)
        files.put(new)
        host.process.send_signal(signal.SIGHUP)
        until(lambda: {serial_of(host) for _ in range(12)} == {new.serial()}, "the new certificate in both")


def test_sighup_without_certificates_is_no_harm():
    with Host(thermo=False) as host:
        host.process.send_signal(signal.SIGHUP)
        until(lambda: "no certificates" in host.log(), "the line that says so")
        assert host.is_healthy()


# ---- Diameter ----

class TlsPeer(RawPeer):
    """A peer that speaks Diameter inside of TLS, from its first byte on."""

    def __init__(self, port, context):
        super().__init__(port)
        self.socket = context.wrap_socket(self.socket, server_hostname="scef.dromio.test")


@pytest.fixture(scope="module")
def mutual(authority):
    """A host whose peers must show certificates; mme1 is listed, and who is not is refused."""
    certificate = authority.issue("scef", *HOST_NAMES)
    peers = 'diameter.peers=[{identity="mme1.example.org",realm="example.org"},{identity="mme2.example.org",realm="example.org"}]'
    asks = [*http_settings(certificate), f"http.tls.ca={authority.pem}"]
    with Host(*asks, *diameter_settings(certificate, f"diameter.tls.ca={authority.pem}", "diameter.accept=\"\"", peers),
              context=authority.client(authority.issue("operator", "DNS:operator"))) as host:
        yield host


def diameter_drops(host, reason):
    return host.metric(f'dromio_diameter_drops_total{{reason="{reason}"}}')


def test_diameter_goes_over_tls(authority):
    certificate = authority.issue("lab", *HOST_NAMES)
    with Host(*diameter_settings(certificate)) as host, TlsPeer(host.diameter_port, authority.client()) as peer:
        assert peer.socket.version() == "TLSv1.3"
        host.admin.put_twin("over.tls@acme.example", imsi=IMSI)
        peer.open()
        peer.send(request(ConnectionManagement, T6A, t6a_avps() + [avp(4314, 0, V3GPP), avp(493, "nidd.test"), avp(1032, 1005, V3GPP)]))
        assert result_of(peer.receive()) == 2001
        for begin in range(0, 100, 10):  # records of several messages
            peer.send(b"".join(odr(thermo_reading(number), end=number + 1) for number in range(begin, begin + 10)))
            assert [result_of(peer.receive()) for _ in range(10)] == [2001] * 10
        assert host.admin.value("over.tls@acme.example", "readings") == 100
        assert host.admin.write("over.tls@acme.example", "period", 600).status == 202
        downlink = peer.receive()
        assert downlink.header.command_code == 8388734 and find(downlink, 4315) == bytes.fromhex("810258")


def test_a_peer_with_its_own_certificate_is_let_in(authority, mutual):
    with TlsPeer(mutual.diameter_port, authority.client(authority.issue("mme1", "DNS:mme1.example.org"))) as peer:
        peer.open()
        peer.send(dpr())
        assert result_of(peer.receive()) == 2001


def test_a_peer_with_anothers_certificate_is_refused(authority, mutual):
    context = authority.client(authority.issue("mme2", "DNS:mme2.example.org"))
    with TlsPeer(mutual.diameter_port, context) as peer:
        peer.send(cer("mme1.example.org"))
        assert result_of(peer.receive()) == 3010
        assert peer.is_closed()
    with TlsPeer(mutual.diameter_port, context) as peer:  # by its own name it may come
        peer.open("mme2.example.org")


def test_who_was_refused_for_who_it_is_or_its_certificate_has_an_entry_in_the_audit_log(authority, stranger, mutual):
    context = authority.client(authority.issue("mme9", "DNS:mme9.example.org"))
    for identity, times in (("mme9.example.org", 3), ("mme1.example.org", 2)):  # not listed; listed, and another's
        for _ in range(times):
            with TlsPeer(mutual.diameter_port, context) as peer:
                peer.send(cer(identity))
                assert result_of(peer.receive()) == 3010
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with TlsPeer(mutual.diameter_port, authority.client()) as peer:
            peer.send(cer())
            assert not peer.is_closed()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with dial(mutual, authority.client(stranger.issue("guest", "DNS:guest"))) as connection:
            ask(connection)

    def told(act, **members):
        return sum(e["count"] for e in audit.of_host(mutual) if e["act"] == act and e["source"] == "127.0.0.1" and e["outcome"] == "refused" and
                   all(e.get(name) == value for name, value in members.items()))
    until(lambda: told("peer.refused", actor="peer mme9.example.org", objects=["diameter"], status=3010) == 3, "the entry of a peer that is not listed")
    until(lambda: told("certificate.refused", actor="peer mme1.example.org", objects=["diameter"], detail="its certificate has another name") >= 2, "of another's name")
    until(lambda: told("certificate.refused", objects=["diameter"], detail="it shows no certificate") == 1, "of a peer without a certificate")
    until(lambda: told("certificate.refused", objects=["http"], status=401) == 1, "of a client of another authority")
    assert told("peer.refused", actor="peer mme1.example.org") == 0


@pytest.mark.parametrize("names", [("DNS:*.example.org",), ("DNS:example.org",), ("email:mme1.example.org@x",), ("DNS:mme1.example.org.x",)])
def test_a_name_must_be_the_peers_own(authority, mutual, names):
    """Neither a wildcard nor the subject's common name stands for a peer."""
    with TlsPeer(mutual.diameter_port, authority.client(authority.issue("mme1.example.org", *names))) as peer:
        peer.send(cer("mme1.example.org"))
        assert result_of(peer.receive()) == 3010


def test_without_a_certificate_of_the_authority_nobody_comes_in(authority, stranger, mutual):
    before = handshakes(mutual, "certificate", "diameter")
    for context in (authority.client(), authority.client(stranger.issue("mme1", "DNS:mme1.example.org"))):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with TlsPeer(mutual.diameter_port, context) as peer:
                peer.send(cer())  # in TLS 1.3 the client learns of it with its first read
                peer.socket.recv(1)
    assert handshakes(mutual, "certificate", "diameter") == before + 2


def test_plain_diameter_on_the_port_of_tls_ends(mutual):
    before = diameter_drops(mutual, "tls_failed")

    def is_told():
        with RawPeer(mutual.diameter_port) as peer:
            peer.send(cer())
            assert peer.is_closed()
        return re.search('peer_tls_failed address=127.0.0.1:[0-9]+ reason="not TLS"', mutual.log())
    until(is_told, "a line of the log, which has no more than some a second for strangers")
    assert diameter_drops(mutual, "tls_failed") > before


def test_security_inside_of_the_connection_is_refused(authority, mutual):
    """Inband-Security-Id TLS (RFC 6733 6.10): it is TLS already."""
    wish = request(CapabilitiesExchange, 0, capabilities() + [avp(299, 1)], proxiable=False)
    with TlsPeer(mutual.diameter_port, authority.client(authority.issue("mme1", "DNS:mme1.example.org"))) as peer:
        peer.send(wish)
        assert result_of(peer.receive()) == 5017


class Listening:
    """A peer the host connects to."""

    def __init__(self, authority, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.pem, certificate.key)
        self.context.load_verify_locations(authority.pem)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LIMIT_S)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        """The host, as a RawPeer."""
        plain, _ = self.listener.accept()
        plain.settimeout(LIMIT_S)
        peer = RawPeer.__new__(RawPeer)
        peer.socket = self.context.wrap_socket(plain, server_side=True)
        return peer


def test_the_host_connects_over_tls(authority):
    there = Listening(authority, authority.issue("hss", "DNS:hss.example.org"))
    settings = diameter_settings(authority.issue("caller", *HOST_NAMES), f"diameter.tls.ca={authority.pem}", 'diameter.accept=""',
                                 f'diameter.peers=[{{identity="hss.example.org",realm="example.org",address="127.0.0.1:{there.port}"}}]')
    with Host(*settings, thermo=False), there.accept() as host:
        assert ("DNS", "scef.dromio.test") in host.socket.getpeercert()["subjectAltName"]
        first = host.receive()
        assert first.header.command_code == 257 and find(first, 264) == b"scef.dromio.test"


def test_the_host_speaks_to_the_right_peer_only(authority):
    there = Listening(authority, authority.issue("not.hss", "DNS:other.example.org"))
    settings = diameter_settings(authority.issue("caller2", *HOST_NAMES), f"diameter.tls.ca={authority.pem}", 'diameter.accept=""',
                                 f'diameter.peers=[{{identity="hss.example.org",realm="example.org",address="127.0.0.1:{there.port}"}}]')
    with Host(*settings, thermo=False) as host:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with there.accept() as peer:
                assert peer.receive() is None
                raise ConnectionError("it went away")
        until(lambda: diameter_drops(host, "tls_failed") >= 1, "the refusal")
        assert "peer_tls_failed address=127.0.0.1" in host.log()


# ---- the other programs ----

def test_the_command_line_speaks_https(secure, authority, stranger):
    def run(*words, **environment):
        return subprocess.run([DROMIOD.parent / "dromio", *words], capture_output=True, text=True, timeout=LIMIT_S,
                              env={**os.environ, "DROMIO_HOST": f"https://127.0.0.1:{secure.http_port}", "DROMIO_TOKEN": secure.admin.token, **environment})
    assert run("--ca", str(authority.pem), "status").returncode == 0
    assert run("status", DROMIO_CA=str(authority.pem)).returncode == 0
    refused = run("--ca", str(stranger.pem), "status")
    assert refused.returncode == 9 and "certificate" in refused.stderr


@contextlib.contextmanager
def simulated(host, authority, *words):
    """A dromio-sim at work, then ended: gives the process, whose errors are known in the end."""
    with subprocess.Popen([DROMIOD.parent / "dromio-sim", "--connect", f"127.0.0.1:{host.diameter_port}", "--tls-ca", authority.pem, "--mmes", "2",
                           "--devices", "20", "--period", "60", "--speed", "60", "--edrx", "0", *map(str, words)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.errors = process.communicate(timeout=LIMIT_S)[1]


def is_refused(host, authority, *words):
    """No handshake comes to its end, however often it tries."""
    def broken():
        return handshakes(host, "failed", "diameter") + handshakes(host, "certificate", "diameter")
    done, before = handshakes(host, "done", "diameter"), broken()
    with simulated(host, authority, *words) as process:
        until(lambda: broken() >= before + 2, "handshakes of both MMEs")
    return process.returncode == 9 and handshakes(host, "done", "diameter") == done


def test_the_simulated_network_speaks_tls(authority, stranger):
    names = ("DNS:mme.epc.dromio.test", "DNS:mme2.epc.dromio.test")
    good, bad = authority.issue("sim", *names), stranger.issue("sim", *names)
    settings = diameter_settings(authority.issue("simulated", *HOST_NAMES), f"diameter.tls.ca={authority.pem}")
    with Host(*settings) as host:
        for number in range(20):
            host.admin.put_twin(f"sim{number}@acme.example", imsi=f"{1010000000001 + number:015d}")
        with simulated(host, authority, "--tls-certificate", good.pem, "--tls-key", good.key) as told:
            until(lambda: host.metric("dromio_uplinks_total") > 0, "an uplink")
        assert told.returncode == 0 and handshakes(host, "done", "diameter") == 2, told.errors
        assert is_refused(host, authority)  # no certificate
        assert is_refused(host, authority, "--tls-certificate", bad.pem, "--tls-key", bad.key)
        assert is_refused(host, stranger, "--tls-certificate", good.pem, "--tls-key", good.key)
        assert is_refused(host, authority, "--tls-certificate", good.pem, "--tls-key", good.key, "--tls-name", "other.test")
    with simulated(host, authority, "--tls-certificate", good.pem, "--tls-key", bad.key) as wrong:
        wrong.wait(LIMIT_S)
    assert wrong.returncode == 2 and str(bad.key) in wrong.errors
