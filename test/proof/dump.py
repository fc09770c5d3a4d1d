"""10,000 twins are planted with secrets, IMSIs and MSISDNs that are known here, by bulk and by single requests, some with devices that report and applications that write. Then, as root, all memory of every
room is read while the host is idle, under load, after rooms were killed and aborted, and after a rotation and another master key, by /proc/PID/mem and once by gcore; beside it every file: of the data
directory (charging and audit files too), logs, backups, core files. A small program looks for all forms of all that was planted at every offset: contexts (raw, base64, hex), numbers (ASCII, UTF-16, BCD and
TBCD), and for every key from the master key down to those of this start, which a second implementation derives from the files. It has to find what this proof itself holds, and names of twins, which are no secret,
in the core's memory and in the core file, else it is blind; of every room at least 1 MiB has to be read each time, and nothing but the keys' own memory may be unreadable."""
import base64
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import threading

from host import Host, thermo_reading, until
from key_file import KeyFile, named, of_number
from mme import Load, Mme

PROMISE = "No idle context, no key is in any room's memory, and no IMSI or MSISDN on the disk, in logs, core files or backups"
UNIT = "planted twins"
SHORT, LONG = 10_000, 1_000_000
SECONDS = 90
IN_CHECK = False
LIMITS = "Memory of the kernel is not read. The twins of devices that report at that moment are in clear for their turns: what is looked for under load is of the others. charging.imsi is off, as by default."

DEVICES, BULK = 200, 10_000
EAGER = 20  # devices that send several readings at once: a cell goes on with the context that the one before left
ROOM_LEAST = 1 << 20  # bytes that every room has of its own
HIDDEN_MOST = 1 << 16  # bytes of other mappings in one look: a room that works gives memory back between the list of its pages and the reading of them
SECRET = "secretmem"  # what maps call the memory that nobody else maps: the vault's
SETTINGS = ("log.segment=16MiB", "charging.enabled=true", "charging.file_age=1")


def bcd(digits, filler, low_first):
    digits += filler * (len(digits) % 2)
    pairs = [digits[at:at + 2] for at in range(0, len(digits), 2)]
    return bytes(int(pair[::-1] if low_first else pair, 16) for pair in pairs)


class Planted:
    """Twins and the forms of what only they have, from a seed."""

    def __init__(self, seed, count):
        chance, drawn = random.Random(seed), set()

        def digits(lead, length):  # no two twins have the same
            while (number := f"{lead}{chance.randrange(10**length):0{length}}") in drawn:
                pass
            drawn.add(number)
            return number
        self.twins = [(f"p{n}@planted.example", digits("00101", 10), digits("491", 11), chance.randbytes(32)) for n in range(count)]

    def lines(self, of):
        return [{"id": name, "model": "acme/thermo", "imsi": imsi, "msisdn": msisdn, "secrets": {"key": base64.b64encode(key).decode(), "calibration": 0.5}}
                for name, imsi, msisdn, key in of]

    @staticmethod
    def forms(of):
        for name, imsi, msisdn, key in of:
            yield key[:16], f"context of {name}"
            yield key[16:], f"context of {name}, second half"
            yield base64.b64encode(key)[:24], f"context of {name}, base64"
            yield key.hex()[:32].encode(), f"context of {name}, hex"
            for kind, digits in (("IMSI", imsi), ("MSISDN", msisdn)):
                yield digits.encode(), f"{kind} of {name}, ASCII"
                yield digits.encode("utf-16le"), f"{kind} of {name}, UTF-16"
                if len(digits) >= 15:
                    yield bcd(digits, "f", True), f"{kind} of {name}, TBCD"
                    yield bcd(digits, "f", False), f"{kind} of {name}, BCD"


def keys_of(host):
    """Every key of the hierarchy, as the files of now give them."""
    files = KeyFile(host.data)
    found = {"the master key": files.master, "the key that wraps": named(files.master, "wrap")}
    epoch = int.from_bytes((host.data / "log" / "epoch").read_bytes()[16:24], "little")
    for (number, generation), key in files.keys.items():
        of = f"of domain {number}, generation {generation}"
        log = named(key, "log")
        found |= {f"the key {of}": key, f"the log's key {of}": log, f"the contexts' key {of}": named(key, "context"),
                  f"the log's key {of}, this start": of_number(log, number, epoch)}
        if number == 0:
            found |= {f"the key of '{purpose}'": named(key, purpose) for purpose in ("identity hash", "identity seal", "signing")}
    return [(part, name) for name, key in found.items() for part in (key[:16], key[16:])]


class Search:
    def __init__(self, proof):
        self.proof, self.program = proof, proof.work / "needles"
        source = pathlib.Path(__file__).parent / "_needles.c"
        subprocess.run(["cc", "-O2", "-o", str(self.program), str(source)], check=True)

    def look(self, needles, lines):
        """(findings, bytes looked at). A finding: (where, name, mapping)."""
        needles = list(needles)
        path = self.proof.work / "needles.bin"
        path.write_bytes(b"".join(bytes([len(form)]) + form for form, _ in needles))
        said = subprocess.run([str(self.program), str(path)], input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=True).stdout.splitlines()
        path.unlink()
        found = [(where, needles[int(number)][1], offset, *what) for where, offset, number, *what in map(str.split, (line for line in said if not line.startswith(("done", "cannot", "read ", "unread "))))]
        assert not (blind := [line for line in said if line.startswith("cannot")]), blind
        self.of_room = {int(pid): int(seen) for word, pid, seen in (line.split() for line in said if line.startswith("read "))}
        self.unread = [line.split(maxsplit=3)[1:] for line in said if line.startswith("unread ")]
        return found, int(said[-1].split()[1])

    def nothing(self, when, needles, lines):
        found, seen = self.look(needles, lines)
        assert seen > 1 << 20, f"{when}: only {seen} bytes could be read"
        for line in lines:
            if line.startswith("pid ") and (of := self.of_room[int(line[4:])]) < ROOM_LEAST:
                self.proof.fail(f"{when}: of process {line[4:]} only {of} bytes could be read")
        hidden = [each for each in self.unread if SECRET not in each[2]]
        if sum(int(each[1]) for each in hidden) > HIDDEN_MOST:
            self.proof.fail(f"{when}: could not be read: {hidden}")
        kept = sum(int(each[1]) for each in self.unread) - sum(int(each[1]) for each in hidden)
        self.proof.measured["KiB of keys' memory that root could not read, at most"] = max(self.proof.measured.get("KiB of keys' memory that root could not read, at most", 0), kept >> 10)
        self.proof.measured["GiB looked through"] = round(self.proof.measured.get("GiB looked through", 0) + seen / 2**30, 2)
        if found:
            self.proof.fail(f"{when}: {len(found)} findings, the first: " + "; ".join(" ".join(one) for one in found[:5]))


def rooms(host):
    return [f"pid {pid}" for pid in (host.process.pid, *host.rooms().values())]


def files(*directories, but=()):
    return [f"file {path}" for directory in directories for path in directory.rglob("*") if path.is_file() and path.name not in but]


def plant(host, planted):
    for first in range(0, len(planted.twins), BULK):
        answers = host.admin.bulk(planted.lines(planted.twins[first:first + BULK]))
        assert all(answer["status"] == 201 for answer in answers), answers[:3]
    for line in planted.lines(planted.twins[:50]):
        name = line.pop("id")
        assert host.admin.put(f"/v1/twins/{name}", line).status == 200
        assert host.admin.put(f"/v1/twins/other-{name}", line).status == 409
        assert host.admin.put(f"/v1/twins/{name}", line | {"colour": 1}).status == 422
    with Mme(host, identity="dump.epc.test") as mme:
        for _, imsi, _, _ in planted.twins[:DEVICES]:
            mme.attach(imsi)


def report(host, planted, rounds):
    with Load(host, "dump.load.test") as load:
        end = random.getrandbits(30) << 1
        for number in range(rounds):
            for at, (_, imsi, _, _) in enumerate(planted.twins[:DEVICES]):
                for _ in range(5 if at < EAGER else 1):
                    end += 1
                    load.send(imsi, thermo_reading(number % 250, 20.0), end)
                load.drain(below=50)
        load.drain()


def under_load(host, planted, look):
    over = threading.Event()

    def work():
        while not over.is_set():
            report(host, planted, 2)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        look()
    finally:
        over.set()
        worker.join()


def end_room(host, kind, number):
    pid = host.room(kind)
    os.kill(pid, number)
    host.room_is_back(kind, pid)
    until(host.is_healthy, "a healthy host")
    host.admin.close()


def gcored(proof, host):
    """A core file of the core's room as a debugger of root makes it."""
    if shutil.which("gcore") is None:
        proof.unavailable("needs gcore (of gdb): a core file is one of the things that are looked through")
    where, pid = proof.work / "gcore", host.room("core")
    where.mkdir(exist_ok=True)
    pathlib.Path(f"/proc/{pid}/coredump_filter").write_text("0x1")  # what is its own; sparse columns are looked through above
    done = subprocess.run(["gcore", "-o", str(where / "core"), str(pid)], capture_output=True, text=True, timeout=300)
    made = where / f"core.{pid}"
    if done.returncode != 0 or not made.exists():
        proof.fail(f"gcore made no core file ({done.returncode}): {done.stdout[-1000:]} {done.stderr[-1000:]}")
    proof.measured["MiB of the core file"] = round(made.stat().st_size / 2**20, 1)
    return f"file {made}"


def sees(search, planted, where, what):
    """What is no secret is found there: the looks at it are not blind."""
    names = [(name.encode(), name) for name, *_ in planted.twins[-100:]]
    found = {name for _, name, *_ in search.look(names, [where])[0]}
    if len(found) < len(names):
        search.proof.fail(f"{what}: only {len(found)} of {len(names)} names of twins, which are no secret, are found in it")


def look_everywhere(proof, host, planted, directory):
    search = Search(proof)
    blind = search.look(planted.forms(planted.twins[:100]), [f"pid {os.getpid()}"])[0]
    assert blind, "the search does not find what this process holds"
    everything = lambda: [*planted.forms(planted.twins), *keys_of(host)]
    on_disk = lambda: files(directory, but=("master.key",))
    numbers = lambda: [needle for needle in planted.forms(planted.twins)]
    search.nothing("idle", everything(), rooms(host) + on_disk())
    sees(search, planted, f"pid {host.room('core')}", "the core's memory")
    core_file = gcored(proof, host)
    sees(search, planted, core_file, "the core file")
    search.nothing("in a core file of gcore", everything(), [core_file])
    shutil.rmtree(proof.work / "gcore")
    idle = [*planted.forms(planted.twins[DEVICES:]), *keys_of(host)]
    under_load(host, planted, lambda: search.nothing("under load", idle, rooms(host)))
    search.nothing("idle after load", everything(), rooms(host))  # before a room dies, and with it what stayed in it
    for kind, signal_ in (("cell", signal.SIGKILL), ("gate", signal.SIGABRT), ("core", signal.SIGABRT), ("core", signal.SIGKILL)):
        end_room(host, kind, signal_)
        assert not (dumped := [path for path in directory.rglob("core*") if path.is_file() and path.stat().st_size > 1 << 16]), dumped
        search.nothing(f"after the end of a {kind} by {signal_.name}", everything(), rooms(host))
    old_keys = keys_of(host)
    assert host.admin.post("/v1/domains/planted.example/keys?history=drop").status == 202
    until(lambda: "older_key" not in host.admin.get("/v1/domains/planted.example").json(), "the end of the older key")
    assert host.admin.post("/v1/master-key").status == 204
    search.nothing("after another key and another master key", [*everything(), *old_keys], rooms(host) + on_disk())
    taken = directory / "backup.tar"
    taken.write_bytes(host.admin.get("/v1/backup").body)
    search.nothing("in a backup", [*everything(), *keys_of(host)], [f"file {taken}"])


def run(proof):
    if os.geteuid() != 0:
        proof.unavailable("reads the memory of other processes: only root may")
    directory = proof.work / "host"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    before = os.getcwd()
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    os.chdir(directory)  # where core files would lie
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        planted = Planted(proof.seed, proof.wanted)
        with Host(*SETTINGS, directory=directory) as host:
            if not host.admin.get("/v1/status").json()["keys_in_memfd_secret"]:
                proof.unavailable("this kernel has no memfd_secret: keys are locked and left out of core files, but root can read them")
            plant(host, planted)
            look_everywhere(proof, host, planted, directory)
    finally:
        os.chdir(before)
        resource.setrlimit(resource.RLIMIT_CORE, limit)
    shutil.rmtree(directory)
    proof.count(proof.wanted)
