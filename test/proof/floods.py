"""Two sorts of attempts on a host with one gate. First, what a peer costs before it has shown who it is: many connections
of one state (nothing sent, half a header, half a ClientHello, half a CER, ...) against a fresh gate, and the growth of the gate's
own memory (Private_Dirty, so nothing of the kernel's) over their number. Where a state may cost more, the number of those that may be in it is bounded, and the table says what one costs
and what all cost together. Then floods: connections that are held and dripped on, or opened anew as fast as they are
closed, while honest clients open a connection for each request; all have to be answered, and afterwards all connections and the memory have to be gone. The last is a storm: a network of 100,000
devices dies and attaches them all at once, while others' uplinks and requests go on; then each device has its contact, one after the other, and each has to be answered and counted once."""
PROMISE = "Floods keep no honest client out; a peer costs 4 KiB at most before it has shown who it is, and at most 256 heavy strangers and 256 TLS handshakes of a gate at a time 64 KiB each"
UNIT = "states and floods"
SHORT, LONG = 35, 350
SECONDS = 150
IN_CHECK = False
LIMITS = "Flood and host share the machine's CPUs, so honest clients' times under a flood are of both; all come from one address; SCTP is not flooded"

import contextlib
import json
import os
import pathlib
import random
import ssl
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "peers")]
import floods  # noqa: E402
from certificates import Authority  # noqa: E402
from host import Host, thermo_reading, until  # noqa: E402
from mme import CER, DWR, S6T, V3GPP, Load, Mme, avp, encode, result_of  # noqa: E402
from websocket import PING, TEXT, Websocket, frame  # noqa: E402

PEER_KIB = 4
PATIENCE_S = 5          # an honest client's, under a flood
HEAVY_MAX, HANDSHAKES_MAX, DIAMETER_MAX = 256, 256, 512
TLS_KIB = 64            # of a peer in a handshake, at most
BACK_KIB = 1536         # of what a flood needed and is not given back
PEERS = 2000
CONNECTIONS = 10000
DEVICES = 100000
CONTACTS_AT_ONCE = 800  # fewer than a host lets wait however slow it is


# ---- bytes ----

def frames(*kinds, count=2000, payload=b""):
    """HTTP/2 frames behind its preface."""
    one = b"".join(len(payload).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 1]) + payload for kind in kinds)
    return floods.H2_PREFACE + one * count


def cer(identity="flood.epc.test", application=16777346):
    return encode(CER, 0, [avp(264, identity.encode()), avp(296, b"epc.test"), avp(257, "127.0.0.1"), avp(266, 0), avp(269, "flow", m=False), avp(265, V3GPP),
                           avp(260, [avp(266, V3GPP), avp(258, application)])], 1, 1)


def watchdog(hop):
    return encode(DWR, 0, [avp(264, b"flood.epc.test"), avp(296, b"epc.test")], hop, hop, flags=0)


def hello():
    """A whole ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


# ---- memory before anybody is known ----

def shaken(port, count):
    """TLS connections that say nothing more."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    held = []
    for one in floods.flood(port, count):
        one.setblocking(True)
        one.settimeout(30)
        with contextlib.suppress(OSError):
            one = context.wrap_socket(one)
        held.append(one)
    return held


# name: (the listener, is it TLS, how many, what each sends, how many may cost more)
STATES = {
    "HTTP, nothing sent": ("http", False, PEERS, b"", 0),
    "HTTP, half a header": ("http", False, PEERS, floods.HALF_HEAD, 0),
    "HTTP, 900 bytes of a header": ("http", False, PEERS, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 880, 0),
    "HTTP, 12 KiB of a header": ("http", False, PEERS, floods.LONG_HEAD, HEAVY_MAX),
    "HTTP, refused and kept open": ("http", False, PEERS, floods.UNREAD, 0),
    "HTTP, refusals unread": ("http", False, PEERS, floods.UNREAD * 3000, HEAVY_MAX),
    "HTTP, half a form": ("http", False, PEERS, floods.SLOW_FORM, HEAVY_MAX),
    "HTTP, half of HTTP/2's preface": ("http", False, PEERS, floods.H2_PREFACE[:16], 0),
    "HTTPS, nothing sent": ("http", True, PEERS, b"", 0),
    "HTTPS, half a ClientHello": ("http", True, PEERS, None, 0),
    "HTTPS, handshake begun": ("http", True, PEERS, "hello", HANDSHAKES_MAX),
    "HTTPS, handshake done, no request": ("http", True, 600, "shaken", HEAVY_MAX),
    "Diameter, nothing sent": ("diameter", False, 400, b"", 0),
    "Diameter, half a CER": ("diameter", False, 400, b"half", 0),
    "Diameter, handshake begun": ("diameter", True, 400, "hello", HANDSHAKES_MAX),
}


def tls_settings(certificate):
    return [f"{part}.tls.{key}={path}" for part in ("http", "diameter") for key, path in (("certificate", certificate.pem), ("key", certificate.key))]


def held_of(host, listener, count, first):
    port = host.http_port if listener == "http" else host.diameter_port
    if first == "shaken":
        return shaken(port, count)
    if first == b"half":
        first = cer()[:-4] if len(cer()) < 200 else cer()[:200]
    elif first is None or first == "hello":
        first = hello()[:100] if first is None else hello()
    return floods.flood(port, count, first, floods.SMALL_WINDOW if len(first) > 4096 else None)


def settled(host, listener, count, heavy=0):
    """All are accepted and what they sent is handled."""
    name = "dromio_http_connections_total" if listener == "http" else 'dromio_diameter_connections{state="other"}'
    wanted = count if listener == "http" or heavy == 0 else heavy
    until(lambda: host.metric(name) >= wanted, f"{wanted} connections of {listener}")
    floods.honest(host, 3) if host.context is None else host.admin.get("/v1/twins?limit=1")
    previous = None
    while (now := floods.private_kib(host.room("gate"))) != previous:
        previous = now
        host.admin.get("/healthz")


def state(proof, authority, certificate, name, rows):
    listener, is_tls, count, first, heavy = STATES[name]
    settings = tls_settings(certificate) if is_tls else []
    with Host("host.gates=1", "host.cores=1", *settings, thermo=False, context=authority.client() if is_tls else None) as host:
        host.admin.get("/v1/twins?limit=1")
        settled(host, "http", 1)
        before = floods.private_kib(host.room("gate"))
        held = held_of(host, listener, count, first)
        settled(host, listener, count, heavy)
        grown = floods.private_kib(host.room("gate")) - before
        floods.close(held)
        until(lambda: host.metric("dromio_http_connections") <= 1 and host.metric('dromio_diameter_connections{state="other"}') == 0, f"the end of all after {name}")
    each = grown / (heavy or count)
    bound = count * PEER_KIB + heavy * (TLS_KIB if is_tls else 24)
    rows.append([name, count, heavy or "all", f"{each:.2f}", f"{grown / 1024:.1f}"])
    if grown > bound:
        proof.fail(f"{name}: {count} connections cost {grown} KiB of the gate's own memory, more than {bound}")
    return each


# ---- floods ----

# name: (connections held, opened anew a second, window, bytes dripped, what each sends)
FLOODS = {
    "10,000 silent connections": (CONNECTIONS, 2000, 0, 0, b""),
    "10,000 slow headers": (CONNECTIONS, 2000, 0, 1, floods.HALF_HEAD),
    "10,000 slow bodies": (CONNECTIONS, 2000, 0, 1, floods.SLOW_BODY),
    "10,000 slow forms": (CONNECTIONS, 2000, 0, 1, floods.SLOW_FORM),
    "2,000 that read nothing": (2000, 2000, floods.SMALL_WINDOW, 0, floods.UNREAD * 2000),
    "2,000 that read no page": (2000, 2000, floods.SMALL_WINDOW, 0, floods.UNREAD_PAGE * 20),
    "header fields without end": (500, 2000, 0, 0, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000),
    "HTTP/2 rapid reset": (500, 2000, 0, 0, frames(1, 3)),
    "HTTP/2 CONTINUATION": (500, 2000, 0, 0, frames(1, *[9] * 10, payload=b"\0" * 64, count=200)),
    "HTTP/2 SETTINGS, PING, PRIORITY": (500, 2000, 0, 0, frames(4, 6, 2)),
    "HTTP/2 HPACK bomb": (500, 2000, 0, 0, frames(1, payload=b"\x40\x01a\x7f\x81\x1f" + b"b" * 4000 + b"\xbe" * 12000, count=1)),
    "garbage": (500, 2000, 0, 0, bytes(range(256)) * 16),
}
DIAMETER_FLOODS = {
    "Diameter, silent": (2000, 2000, 0, 0, b""),
    "Diameter, half CERs": (2000, 2000, 0, 0, cer()[:-8]),
    "Diameter, of no common application": (500, 1000, 0, 0, cer("a.epc.test", 4)),
    "Diameter, garbage": (500, 1000, 0, 0, bytes(range(256)) * 16),
}


@contextlib.contextmanager
def flooded(port, count, rate, window, drip, first):
    flooder = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("_flooder.py"), str(port), str(count), str(rate), str(window), str(drip)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(5))
    try:
        flooder.stdin.write(len(first).to_bytes(4, "big") + first)
        flooder.stdin.flush()
        line = flooder.stdout.readline()
        if not line:
            raise AssertionError("the flooder ended")
        yield flooder
    finally:
        flooder.stdin.close()
        flooder.wait()
        flooder.stdout.close()


def judged(proof, name, calm, times, rows, extra=""):
    p50, p99 = floods.percentile(times, 0.5), floods.percentile(times, 0.99)
    rows.append([name, f"{p50 * 1000:.2f}", f"{p99 * 1000:.2f}", f"{p99 / max(calm, 1e-6):.1f}", extra])
    if times[-1] > PATIENCE_S:
        proof.fail(f"{name}: an honest client waited {times[-1]:.1f} s")


def is_back(proof, host, name, before_kib):
    """What a flood needed is gone with it: places, buffers, memory."""
    try:
        until(lambda: host.metric("dromio_http_connections") <= 1 and host.metric('dromio_diameter_connections{state="other"}') == 0, "no connections")
        until(lambda: host.metric("dromio_http_buffer_bytes") < 64 * 1024 and host.metric("dromio_http_strangers") == 0, "no buffers")
        until(lambda: floods.private_kib(host.room("gate")) - before_kib < BACK_KIB, "memory given back")
    except AssertionError as fault:
        proof.fail(f"{name}: {fault}: {floods.private_kib(host.room('gate')) - before_kib} KiB more than before")


def http_flood(proof, host, name, samples, calm, rows):
    host.admin.get("/v1/twins?limit=1")
    before = floods.private_kib(host.room("gate"))
    with flooded(host.http_port, *FLOODS[name]):
        times = floods.honest(host, samples)
        held = host.metric("dromio_http_connections")
        grown = floods.private_kib(host.room("gate")) - before
    judged(proof, name, calm, times, rows, f"{held:.0f} held, {grown / 1024:.1f} MiB")
    is_back(proof, host, name, before)


def diameter_flood(proof, host, name, samples, calm, rows):
    """Honest peers come in while it goes on, and one that is in goes on."""
    before = floods.private_kib(host.room("gate"))
    with Mme(host, identity="honest.epc.test") as honest:
        honest.attach("001010000000001")
        with flooded(host.diameter_port, *DIAMETER_FLOODS[name]):
            times = []
            for number in range(samples):
                begun = time.monotonic()
                honest.uplink("001010000000001", thermo_reading(number))
                times.append(time.monotonic() - begun)
            for number in range(10):
                with Mme(host, identity=f"new{number}.epc.test") as new:
                    assert result_of(new.ask(DWR, 0, [], flags=0)) == 2001
    judged(proof, name, calm, sorted(times), rows, "10 peers came in")
    is_back(proof, host, name, before)


def watchdog_flood(proof, host, calm, rows):
    """Of a peer that is in: requests that cost it nothing. Its answers are bounded by what it takes."""
    with Mme(host, identity="honest.epc.test") as honest, Load(host, "flood.epc.test") as hostile:
        honest.attach("001010000000001")
        hostile.socket.setblocking(False)
        data, sent, times = b"".join(watchdog(hop) for hop in range(2000)), 0, []
        for number in range(100):
            with contextlib.suppress(BlockingIOError):
                sent += hostile.socket.send(data)
            begun = time.monotonic()
            honest.uplink("001010000000001", thermo_reading(number))
            times.append(time.monotonic() - begun)
    judged(proof, "Diameter, watchdogs, answers unread", calm, sorted(times), rows, f"{sent // len(watchdog(1))} sent")


def websocket_flood(proof, host, calm, rows):
    """Of an application with a good token: pings whose pongs it does not read, and frames that say nothing."""
    before = floods.private_kib(host.room("gate"))
    made = host.admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["nidd"]})
    token = made.json()["token"] if made.status == 201 else host.admin.post("/v1/applications/as1/token").json()["token"]
    configuration = host.client(token).post("/3gpp-nidd/v1/as1/configurations", {"externalId": "t1@acme.example", "notificationDestination": "http://127.0.0.1:9/n", "requestTestNotification": False,
                                                                               "websockNotifConfig": {"requestWebsocketUri": True}})
    assert configuration.status == 201, configuration
    path = "/" + configuration.json()["websockNotifConfig"]["websocketUri"].split("/", 3)[3]
    with Websocket(host.http_port, path, token) as hostile:
        assert hostile.status == 101, hostile.head
        hostile.socket.setblocking(False)
        data, sent, times = frame(PING, b"x" * 100) * 500 + frame(TEXT, b"{") * 500, 0, []
        for _ in range(60):
            with contextlib.suppress(BlockingIOError):
                sent += hostile.socket.send(data)
            times += floods.honest(host, 3)
        grown = floods.private_kib(host.room("gate")) - before
    assert host.client(token).delete("/" + configuration.json()["self"].split("/", 3)[3]).status in (200, 204)
    if grown > 4096:
        proof.fail(f"a websocket that reads no pong costs {grown} KiB")
    judged(proof, "websocket pings, pongs unread", calm, sorted(times), rows, f"{sent // 1024} KiB sent, {grown} KiB kept")
    is_back(proof, host, "websocket", before)


def tls_flood(proof, authority, certificate, rows):
    """ClientHellos, each of which costs the host a signature, and nothing behind them."""
    context = authority.client()

    def asked(host):
        begun = time.monotonic()
        client = host.client(host.admin.token)
        assert client.get("/v1/twins?limit=1").status == 200
        client.close()
        return time.monotonic() - begun

    with Host("host.gates=1", "host.cores=1", *tls_settings(certificate), thermo=False, context=context) as host:
        calm = floods.percentile(sorted(asked(host) for _ in range(100)), 0.99)
        before = floods.private_kib(host.room("gate"))
        with flooded(host.http_port, 2000, 500, 0, 0, hello()):
            times = sorted(asked(host) for _ in range(100))
            grown = floods.private_kib(host.room("gate")) - before
        judged(proof, "TLS, handshakes begun", calm, times, rows, f"{grown / 1024:.1f} MiB")
        if grown > (HANDSHAKES_MAX + HEAVY_MAX) * TLS_KIB + 2000 * PEER_KIB:
            proof.fail(f"handshakes that are only begun cost {grown} KiB")
        is_back(proof, host, "TLS, handshakes begun", before)


def contacts(proof, host):
    """The first uplink of each device after the storm, as quickly as they are answered."""
    begun = time.monotonic()
    with Load(host, "contacts.epc.test") as load:
        for n in range(DEVICES):
            load.send(f"00101{n + 1:010d}", thermo_reading(0), end=1 << 20 | n)
            if len(load.waiting) >= CONTACTS_AT_ONCE:
                load.drain(below=CONTACTS_AT_ONCE // 2)
        load.drain()
        answered = {result: list(load.results.values()).count(result) for result in set(load.results.values())}
    if answered != {2001: DEVICES}:
        proof.fail(f"contacts of {DEVICES} devices were answered {answered}")
    counted = host.admin.query("select count(*) from thermo where readings = 1")[0][0]
    if counted != DEVICES:
        proof.fail(f"of {DEVICES} contacts {counted} were counted once")
    proof.measured["contacts_answered"] = DEVICES
    proof.measured["contacts_per_second"] = round(DEVICES / (time.monotonic() - begun))


def storm(proof, rows):
    """A network that dies and attaches all its devices at once."""
    with Host("host.cores=1", "host.gates=1") as host:
        for at in range(0, DEVICES, 10000):
            lines = host.admin.bulk([{"id": f"d{n}@acme.example", "model": "acme/thermo", "imsi": f"00101{n + 1:010d}"} for n in range(at, at + 10000)])
            assert {line["status"] for line in lines} == {201}
        host.admin.put_twin("other@acme.example", imsi="001010999999999")
        sim = [proof.root / "build" / "dromio-sim", "--connect", f"127.0.0.1:{host.diameter_port}", "--devices", str(DEVICES), "--mmes", "4", "--attach-only"]
        calm = floods.percentile(floods.honest(host, 100), 0.99)
        with Mme(host, identity="other.epc.test") as other:
            other.attach("001010999999999")
            for which in ("first", "again"):
                begun, times, uplinks = time.monotonic(), [], 0
                network = subprocess.Popen([str(word) for word in sim], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                while network.poll() is None:
                    times += floods.honest(host, 3)
                    other.uplink("001010999999999", thermo_reading(uplinks))
                    uplinks += 1
                said, took = json.loads(network.stdout.read().splitlines()[-1]), time.monotonic() - begun
                network.stdout.close()
                if network.returncode != 0:
                    proof.fail(f"the network attached not all its devices: {said}")
            contacts(proof, host)
            judged(proof, "100,000 devices attach again", calm, sorted(times), rows, f"{took:.1f} s, {uplinks} uplinks of another network meanwhile")
            proof.measured["storm_seconds"] = round(took, 1)


def run(proof):
    wanted = floods.may_open(CONNECTIONS)
    if wanted < 5000:
        proof.unavailable(f"only {wanted} descriptors are allowed here")
    authority = Authority(proof.work / "authority")
    certificate = authority.issue("localhost", "DNS:localhost", "IP:127.0.0.1")
    costs, rows = [], []
    while not proof.over():
        order = random.Random(proof.seed_of(proof.done))
        names = list(STATES)
        order.shuffle(names)
        costs.clear()
        rows.clear()
        most = 0
        for name in names:
            each = state(proof, authority, certificate, name, costs)
            most = max(most, each if STATES[name][4] == 0 else 0)
            proof.count()
        proof.measured["most_kib_a_peer"] = round(max(most, proof.measured.get("most_kib_a_peer", 0)), 2)
        samples = 400 if proof.is_long else 200
        with Host("host.gates=1", "host.cores=1") as host:
            host.admin.put_twin("t1@acme.example", imsi="001010000000001")
            calm = floods.percentile(floods.honest(host, 300), 0.99)
            for name in order.sample(list(FLOODS), len(FLOODS)):
                http_flood(proof, host, name, samples, calm, rows)
                proof.count()
            with Mme(host, identity="honest.epc.test") as honest:
                honest.attach("001010000000001")
                times = []
                for number in range(200):
                    begun = time.monotonic()
                    honest.uplink("001010000000001", thermo_reading(number))
                    times.append(time.monotonic() - begun)
                uplink = floods.percentile(sorted(times), 0.99)
            for name in DIAMETER_FLOODS:
                diameter_flood(proof, host, name, samples // 2, uplink, rows)
                proof.count()
            watchdog_flood(proof, host, uplink, rows)
            websocket_flood(proof, host, calm, rows)
            proof.count(2)
            rows.insert(0, ["none", "", f"{calm * 1000:.2f}", "1.0", ""])
        tls_flood(proof, authority, certificate, rows)
        proof.count()
        storm(proof, rows)
        proof.count()
        proof.table("What a peer costs before it has shown who it is", ("state", "peers", "may be in it at once", "KiB of each of those, at most", "MiB in all"), sorted(costs))
        proof.table("Honest clients under a flood", ("flood", "p50, ms", "p99, ms", "p99 to none", ""), rows)
