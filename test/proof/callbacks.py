"""A host with the devices' notifications in a network of its own in which every address, special or not, is this machine: whatever the gate connects to is seen. Applications name all they can think of
as their destination: loopback, private, link-local and metadata addresses, IPv4 inside IPv6, hosts as decimal, octal and hexadecimal numbers, users in links, other schemes, names that resolve inwards;
a destination that is allowed redirects inwards, offers another place or asks for a proxy; the environment names proxies; a name changes from an allowed address to one inside, between two notifications,
two lookups or two addresses of one answer. None of it is connected to but the public address that was named. Public addresses and an allowed range are reached, else nothing would be shown."""
import contextlib
import ctypes
import itertools
import os
import socket
import struct
import subprocess
import threading

from host import Host, free_port, thermo_reading, until
from mme import Mme
from t8 import path_of

PROMISE = "Callbacks leave to checked addresses only, however a link is written, answered, proxied or resolved"
UNIT = "forms"
SHORT, LONG = 195, 195
SECONDS = 12
IN_CHECK = True
LIMITS = "Destinations of NIDD configurations only (other APIs send through the same code); libcurl's own 60 s of remembered lookups are ended by killing the gate, not waited for; needs root (namespaces)."

PUBLIC, PUBLIC_6, OPENED = "8.8.8.8", "2606:4700:4700::1111", "127.0.0.2"
BASE = "/3gpp-nidd/v1/as1/configurations"
DNS = "127.0.0.53"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

LITERALS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1", "0177.1", "00000177.0.0.01", "0", "0.0.0.0", "0x0", "0.1.2.3",
    "10.0.0.1", "10.255.255.255", "167772161", "100.64.0.1", "100.127.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "025177524776", "0xA9.0xFE.0xA9.0xFE", "169.16689662", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "0xffffffff",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::FFFF:10.0.0.1]", "[::ffff:169.254.169.254]",
    "[::ffff:8.8.8.8]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]", "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001:db8::1]", "[2001:2::1]", "[100::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fdff:ffff::1]", "[fe80::1]",
    "[fe80::1%25lo]", "[fe80::1%251]", "[febf::1]", "[fec0::1]", "[ff01::1]", "[ff02::1]", "[ff05::2]", "[ff0e::1]",
)
# What one reader of links takes for a public host and another for one inside, or for none.
CONFUSING = (
    "http://127.0.0.1.:{port}/", "http://x@127.0.0.1:{port}/", "http://x:y@127.0.0.1:{port}/", "http://x:y@8.8.8.8:{port}/", "http://8.8.8.8@127.0.0.1:{port}/", "http://8.8.8.8:{port}@127.0.0.1:{port}/", "http://8.8.8.8%40127.0.0.1:{port}/",
    "http://8.8.8.8:{port}\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@8.8.8.8/", "http://127.0.0.1:{port}?@8.8.8.8/", "http://127.0.0.1:{port}\\@8.8.8.8/", "http://1%327.0.0.1:{port}/", "http://127%2e0%2e0%2e1:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/", "http://127\u30020\u30020\u30021:{port}/", "http://\uff11\uff12\uff17.0.0.1:{port}/", "HTTP://127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}/", " http://127.0.0.1:{port}/", "http:// 127.0.0.1:{port}/", "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}/\r\nX: y", "http://127.0.0.1\u0000.public.test:{port}/", "http://{{127.0.0.1,8.8.8.8}}:{port}/", "https://127.0.0.1:{port}/", "https://[::1]:{port}/", "https://localhost:{port}/",
)
SCHEMES = ("file", "ftp", "ftps", "gopher", "gophers", "dict", "ldap", "ldaps", "telnet", "tftp", "smtp", "imap", "pop3", "rtsp", "scp", "sftp", "smb", "mqtt", "ws", "wss", "unix", "javascript", "data")
NAMES = {  # what they resolve to
    "localhost": None, "LOCALHOST": None, "localhost.": ["127.0.0.1"], "loop.test": ["127.0.0.1"], "loop6.test": ["::1"], "both.test": ["127.0.0.1", "::1"], "any.test": ["0.0.0.0", "::"], "private.test": ["10.0.0.1"],
    "metadata.test": ["169.254.169.254"], "mapped.test": ["::ffff:127.0.0.1"], "nat64.test": ["64:ff9b::7f00:1"], "sixtofour.test": ["2002:7f00:1::1"], "local.test": ["fd00::1"],
}
ANSWERS = {  # of a destination that is allowed; the one it is from must be all that is connected to, and be asked for nothing else
    **{f"{status} to {place}": (status, f"Location: http://{place}:{{port}}/inside") for status in (301, 302, 303, 307, 308) for place in ("127.0.0.1", "[::1]")},
    "302 to a name": (302, "Location: http://localhost:{port}/inside"), "302 to no scheme": (302, "Location: //127.0.0.1:{port}/inside"), "302 to a path": (302, "Location: /inside"),
    "302 to https": (302, "Location: https://127.0.0.1:{port}/inside"), "302 to a file": (302, "Location: file:///etc/passwd"), "305": (305, "Location: http://127.0.0.1:{port}/"),
    "201": (201, "Location: http://127.0.0.1:{port}/inside"), "Refresh": (200, "Refresh: 0; url=http://127.0.0.1:{port}/inside"), "Alt-Svc": (200, 'Alt-Svc: h2="127.0.0.1:{port}", http/1.1="127.0.0.1:{port}"'),
    "401": (401, 'WWW-Authenticate: Basic realm="http://127.0.0.1:{port}/"'), "407": (407, 'Proxy-Authenticate: Basic realm="http://127.0.0.1:{port}/"'),
}
PROXIES = (("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), ("all_proxy", "ALL_PROXY"))  # of the first host, of the second
BESIDE = ("127.0.0.1", "127.0.0.3", "[::1]", "[::ffff:127.0.0.2]", "[::127.0.0.2]", "0.0.0.0")  # of the range that is opened
MIXED = {"first.test": [PUBLIC, "127.0.0.1"], "second.test": ["127.0.0.1", PUBLIC], "six.test": ["::1", PUBLIC], "four.test": ["127.0.0.1", PUBLIC_6]}


@contextlib.contextmanager
def own_network(proof):
    """This thread and what it starts: a network of one machine that has all addresses."""
    with open("/proc/self/ns/net") as before:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            proof.unavailable(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"):
                made = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
                if made.returncode != 0:
                    proof.unavailable(f"ip {words}: {made.stderr}")
            yield
        finally:
            assert LIBC.setns(before.fileno(), CLONE_NEWNET) == 0


class Listener:
    """A port of every address: which were connected to, and what was asked for there."""

    def __init__(self, addresses=("0.0.0.0", "::")):
        self.port, self.lock, self.connected, self.asked = free_port(), threading.Lock(), [], []
        self.answers = {}
        for address in addresses:
            server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in address:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, self.port))
            server.listen(64)
            threading.Thread(target=self.serve, args=(server,), daemon=True).start()

    def serve(self, server):
        while True:
            taken, _ = server.accept()
            with self.lock:
                self.connected.append(taken.getsockname()[0])
            threading.Thread(target=self.answer, args=(taken,), daemon=True).start()

    def answer(self, taken):
        with taken, contextlib.suppress(OSError, ValueError, IndexError):
            file = taken.makefile("rb")
            path = file.readline().split()[1].decode()
            length = 0
            while (line := file.readline().strip()):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            file.read(length)
            with self.lock:
                self.asked.append((taken.getsockname()[0], path))
            status, header = self.answers.get(path, (204, "X-None: 0"))
            taken.sendall(f"HTTP/1.1 {status} X\r\n{header.format(port=self.port)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def seen(self):
        with self.lock:
            return list(self.connected), list(self.asked)

    def forget(self):
        with self.lock:
            self.connected.clear()
            self.asked.clear()


class Names:
    """A DNS server: `table[name]` is a list of addresses."""

    def __init__(self, table):
        self.table, self.questions = dict(table), []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, asker = self.socket.recvfrom(4096)
            at, labels = 12, []
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            name, kind = ".".join(labels).lower(), struct.unpack_from("!H", question, at + 1)[0]
            self.questions.append(name)
            known = self.table.get(name)
            family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
            found = [socket.inet_pton(family, address) for address in known or () if family and (":" in address) == (kind == 28)]
            records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(address)) + address for address in found)
            self.socket.sendto(question[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(found), 0, 0) + question[12:at + 5] + records, asker)


class Caller(Host):
    """A host that asks our DNS server, with proxies in its environment, and an application with a device."""

    def __init__(self, work, proxies, *settings):
        super().__init__(*settings)
        self.work, self.proxies = work, proxies
        self.numbers = itertools.count(1)

    def arguments(self):
        """In a mount namespace of its own, where the files of the resolver are ours."""
        files = {"resolv.conf": f"nameserver {DNS}\noptions attempts:1\n", "nsswitch.conf": "hosts: files dns\n", "hosts": "127.0.0.1 localhost\n::1 localhost\n"}
        script = []
        for name, text in files.items():
            (self.work / name).write_text(text)
            script.append(f"mount --bind '{self.work / name}' /etc/{name}")
        words = [f"{name}=http://127.0.0.1:{listener.port}" for name, listener in self.proxies.items()]
        return ["unshare", "--mount", "sh", "-c", " && ".join(script) + ' && exec env "$@"', "sh", "-u", "no_proxy", "-u", "NO_PROXY", *words, *super().arguments()]

    def begin(self, mme):
        self.consumer = self.application("as1", ["acme.example"], ["nidd"])
        self.mme = mme
        self.admin.put_twin("caller@acme.example", imsi="001010000000001")
        mme.attach("001010000000001")

    def outcomes(self):
        return tuple(int(self.metric(f"dromio_gate_notices_total{{outcome=\"{outcome}\"}}")) for outcome in ("taken", "refused", "failed"))

    def metric(self, name):
        return float(next((line.rsplit(" ", 1)[1] for line in self.metrics().splitlines() if line.startswith(name + " ")), 0))

    def uplink(self):
        """One notification and what came of its first attempt."""
        before = self.outcomes()
        self.mme.uplink("001010000000001", thermo_reading(next(self.numbers)))
        after = until(lambda: (now := self.outcomes()) != before and now, "an outcome of the notification")
        return next(name for name, was, is_now in zip(("taken", "refused", "failed"), before, after) if is_now > was)

    @contextlib.contextmanager
    def destination(self, link):
        """A configuration, or None if the link is refused at once."""
        answer = self.consumer.post(BASE, {"externalId": "caller@acme.example", "notificationDestination": link})
        assert answer.status in (201, 400), (link, answer)
        yield answer if answer.status == 201 else None
        if answer.status == 201:
            assert self.consumer.delete(path_of(answer)).status == 204
            until(lambda: self.metric("dromio_notices_waiting") == 0 and self.metric("dromio_gate_notices_under_way") == 0, "the end of its notices")

    def outcome(self, link):
        with self.destination(link) as made:
            return self.uplink() if made else "no link"


class Trial:
    def __init__(self, proof, listener, inside):
        self.proof, self.listener, self.inside, self.told = proof, listener, inside, {}

    def judge(self, group, form, outcome, wanted, allowed=()):
        """`wanted`: outcomes that are right; `allowed`: addresses that may have been connected to."""
        connected = self.listener.seen()[0] + self.inside.seen()[0]
        wrong = [address for address in connected if address not in allowed]
        if wrong:
            self.proof.fail(f"{group}: {form!r}: {outcome}: connected to {', '.join(sorted(set(wrong)))}")
        if outcome not in wanted:
            self.proof.fail(f"{group}: {form!r}: the notification was {outcome}, not {' or '.join(wanted)}")
        counts = self.told.setdefault(group, {"no link": 0, "refused": 0, "failed": 0, "taken": 0})
        counts[outcome] += 1
        self.listener.forget()
        self.inside.forget()

    def reached(self, host, link, address):
        """What has to work, or that nothing was connected to would mean nothing."""
        outcome = host.outcome(link)
        assert outcome == "taken" and self.listener.seen()[0] == [address], (link, outcome, self.listener.seen())
        self.listener.forget()


def links(trial, host):
    port = trial.listener.port
    for place in LITERALS:
        link = f"http://{place}:{port}/"
        trial.judge("addresses", link, host.outcome(link), ("no link", "refused"))
    for form in CONFUSING:
        link = form.format(port=port)
        trial.judge("links that are read in two ways", link, host.outcome(link), ("no link", "refused", "failed"))
    for scheme in SCHEMES:
        link = f"{scheme}://{PUBLIC}:{port}/"
        trial.judge("schemes", link, host.outcome(link), ("no link",))
    link = "websocket:0000000000000001"  # what a core calls a WebSocket
    trial.judge("schemes", link, host.outcome(link), ("no link",))
    for name in NAMES:
        link = f"http://{name}:{port}/"
        trial.judge("names", link, host.outcome(link), ("refused",))


def answers(trial, host):
    """Twice: what an answer says may be meant for the next one."""
    for n, (form, answer) in enumerate(ANSWERS.items()):
        path = f"/answer{n}"
        trial.listener.answers[path] = answer
        with host.destination(f"http://{PUBLIC}:{trial.listener.port}{path}"):
            outcome = host.uplink()
            host.uplink()
            asked = trial.listener.seen()[1]
            if not asked or set(asked) != {(PUBLIC, path)}:
                trial.proof.fail(f"answers: {form}: asked for {asked}")
        wanted = "taken" if answer[0] < 300 else "refused" if answer[0] >= 400 else "failed"
        trial.judge("answers", form, outcome, (wanted,), allowed=(PUBLIC,))


def proxies(trial, host):
    for link, wanted in ((f"http://{PUBLIC}:{trial.listener.port}/", "taken"), (f"https://{PUBLIC}:{trial.listener.port}/", "failed")):
        outcome = host.outcome(link)
        assert outcome == wanted and set(trial.listener.seen()[0]) == {PUBLIC}, (link, outcome, trial.listener.seen())
        trial.listener.forget()
    for name, listener in host.proxies.items():
        if listener.seen()[0]:
            trial.proof.fail(f"proxies: {name} was connected to")
        trial.judge("proxies", name, "taken", ("taken",))


def two_addresses(trial, host):
    """The public one is dead, inside somebody listens."""
    for name in MIXED:
        outcome = host.outcome(f"http://{name}:{trial.inside.port}/")
        trial.judge("names with two addresses", name, outcome, ("refused", "failed"))


def rebound(trial, host, names, first, then):
    """The same name, another answer: at another port (looked up anew), and of the same link after the gate died and forgot."""
    port, inside = trial.listener.port, trial.inside.port
    name = f"turns-{next(turns)}.test"
    names.table[name] = [first]
    assert host.outcome(f"http://{name}:{port}/") == "taken" and trial.listener.seen()[0] == [first]
    trial.listener.forget()
    names.table[name] = [then]
    trial.judge("names that change", f"{name}: {first}, then {then}, another port", host.outcome(f"http://{name}:{inside}/"), ("refused",))
    names.table[name] = [first]
    with host.destination(f"http://{name}:{port}/again"):
        assert host.uplink() == "taken" and set(trial.listener.seen()[0]) == {first}
        trial.listener.forget()
        names.table[name] = [then]
        asked = names.questions.count(name)
        another_gate(host)
        outcome = host.uplink()
        assert names.questions.count(name) > asked, "the name was not looked up again"
    trial.judge("names that change", f"{name}: {first}, then {then}, another gate", outcome, ("refused",))


turns = itertools.count(1)


def another_gate(host):
    before = host.rooms()["gate 0"]
    os.kill(before, 9)
    until(lambda: host.rooms().get("gate 0", before) != before and host.is_healthy(), "another gate")
    for left in (host.consumer, host.admin, host.mme):
        left.close()
    host.mme = Mme(host)
    host.mme.attach("001010000000001")


def run(proof):
    if os.geteuid() != 0:
        proof.unavailable("namespaces for the network and for files want root")
    if proof.over():
        return
    with own_network(proof):
        names = Names({**{name.rstrip("."): addresses for name, addresses in NAMES.items() if addresses}, **MIXED, "public.test": [PUBLIC], "public6.test": [PUBLIC_6]})
        trial = Trial(proof, Listener(), Listener(("127.0.0.1", "::1")))
        port = trial.listener.port
        with Caller(proof.work, {name: Listener() for name in PROXIES[0]}) as host, Mme(host) as mme:
            host.begin(mme)
            for link, address in ((f"http://{PUBLIC}:{port}/", PUBLIC), (f"http://[{PUBLIC_6}]:{port}/", PUBLIC_6), (f"http://public.test:{port}/", PUBLIC), (f"http://public6.test:{port}/", PUBLIC_6)):
                trial.reached(host, link, address)
            links(trial, host)
            answers(trial, host)
            proxies(trial, host)
            two_addresses(trial, host)
            rebound(trial, host, names, PUBLIC, "127.0.0.1")
            rebound(trial, host, names, PUBLIC_6, "::1")
            host.mme.close()
        with Caller(proof.work, {name: Listener() for name in PROXIES[1]}, f't8.allow_callbacks=["{OPENED}/32"]') as host, Mme(host) as mme:
            host.begin(mme)
            trial.reached(host, f"http://{OPENED}:{port}/", OPENED)
            for place in BESIDE:
                trial.judge("beside an allowed range", place, host.outcome(f"http://{place}:{port}/"), ("refused",))
            proxies(trial, host)
            rebound(trial, host, names, OPENED, "127.0.0.1")
            host.mme.close()
    proof.count(sum(sum(counts.values()) for counts in trial.told.values()))  # all or none: a slice cannot end between them
    proof.table("What came of them", ("forms", "no link (400)", "refused", "failed", "taken by the public address"), [(group, *counts.values()) for group, counts in trial.told.items()])
