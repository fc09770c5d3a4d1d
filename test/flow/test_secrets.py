"""No key and no IMSI can be found in any room's memory, nor in any file of the data directory."""
import base64
import hashlib
import http.client
import os
import re
import threading

import pytest
from host import Host, thermo_reading, until
from mme import Load, Mme

PIECE = 256 * 1024
OVERLAP = 256
if os.geteuid() != 0:
    pytest.skip("reads other processes' memory", allow_module_level=True)


def bcd(digits, filler, low_first):
    digits += filler * (len(digits) % 2)
    pairs = [digits[at:at + 2] for at in range(0, len(digits), 2)]
    return bytes(int(pair[::-1] if low_first else pair, 16) for pair in pairs)


class Planted:
    """Secrets in every form they travelled."""

    def __init__(self, count):
        self.twins = []
        self.forms = {}
        for number in range(count):
            key = os.urandom(32)
            imsi = "00101" + f"{int.from_bytes(os.urandom(5), 'big') % 10**10:010}"
            self.twins.append((f"s{number}@secret.example", imsi, key))
            text = base64.b64encode(key)
            self._add(text[:24], "key, base64")
            self._add(key[:16], "key, raw")
            self._add(key[16:], "key, raw, second half")
            self._add(key.hex()[:32].encode(), "key, hex")
            self._add(imsi.encode(), "IMSI, ASCII")
            self._add(("4" + imsi[::-1])[:15].encode(), "MSISDN, ASCII")
            self._add(bcd(imsi, "f", True), "IMSI, TBCD")
            self._add(bcd(imsi, "f", False), "IMSI, BCD")
            self._add("".join(c + "\0" for c in imsi).encode(), "IMSI, UTF-16")
        self.by4 = {}
        for form in self.forms:
            self.by4.setdefault(int.from_bytes(form[:4], "little"), []).append(form)
        self.first4 = set(self.by4)
        self.clean = set()

    def _add(self, form, name):
        self.forms[form] = name


def scan(planted, data):
    """Offsets of planted forms. Each form is looked for through its first 4 bytes, as integers at all four alignments."""
    digest = hashlib.blake2b(data, digest_size=16).digest()  # the same code and the same zeros lie in all rooms
    if digest in planted.clean:
        return []
    found = []
    for shift in range(4):
        words = memoryview(data)[shift:shift + (len(data) - shift) // 4 * 4].cast("I")
        for word in planted.first4.intersection(words):
            for form in planted.by4[word]:
                at = data.find(form)
                while at >= 0:
                    found.append((at, planted.forms[form], form))
                    at = data.find(form, at + 1)
    if not found:
        planted.clean.add(digest)
    return sorted(set(found))


def maps(pid):
    for line in open(f"/proc/{pid}/maps"):
        span, rights, _, _, _, *name = line.split(None, 5)
        start, end = (int(part, 16) for part in span.split("-"))
        if "r" in rights:
            yield start, end, name[0].strip() if name else ""


def pages_of(pid, start, end):
    """The resident and swapped parts of a mapping, so that sparse gigabytes cost nothing."""
    entries = 65536
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        at, run = start, None
        while at < end:
            count = min(entries, (end - at) // 4096)
            file.seek(at // 4096 * 8)
            data = file.read(count * 8)
            if not data:
                break
            flags = memoryview(data).cast("Q")
            for index, entry in enumerate(flags):
                if entry >> 62:
                    if run is None:
                        run = at + index * 4096
                elif run is not None:
                    yield run, at + index * 4096
                    run = None
            at += len(flags) * 4096
        if run is not None:
            yield run, at


def memory_hits(planted, name, pid):
    found, looked, refused = [], 0, []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, what in maps(pid):
            if what in ("[vvar]", "[vsyscall]"):
                continue
            if what.startswith("/memfd:") or "shm" in what or "zero" in what or what == "":
                spans = [(start, end)] if end - start <= PIECE else list(pages_of(pid, start, end))
            else:
                spans = [(start, end)]
            for first, last in spans:
                for at in range(first, last, PIECE):
                    try:
                        memory.seek(at)
                        data = memory.read(min(PIECE + OVERLAP, last - at))
                    except OSError:
                        refused.append((what, hex(first), hex(last)))
                        break
                    looked += len(data)
                    for offset, form, _ in scan(planted, data):
                        found.append(f"{name}: {form} at {at + offset:#x} in {start:#x}-{end:#x} {what or 'anonymous'}: "
                                     f"{data[max(0, offset - 64):offset + 96]!r}")
    return found, looked, refused


def file_hits(planted, directory):
    found, looked = [], 0
    for path in sorted(directory.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        looked += len(data)
        found += [f"{path.name}: {form} at {at:#x}" for at, form, _ in scan(planted, data)]
    return found, looked


def everything(planted, host):
    found, looked = file_hits(planted, host.data)
    found += [f"log: {form}" for _, form, _ in scan(planted, host.log_path.read_bytes())]
    assert looked > 0
    rooms = {"dromiod": host.process.pid, **host.rooms()}
    assert {name.split()[0] for name in rooms} >= {"dromiod", "core", "cell", "gate", "desk"}
    for name, pid in rooms.items():
        hits, looked, refused = memory_hits(planted, name, pid)
        assert looked > 1 << 20, f"{name}: {looked} bytes could be read"
        assert all(what == "" or "secretmem" in what or what.startswith("[") for what, _, _ in refused), refused
        found += hits
    return found


def bulk_lines(twins):
    return [{"id": name, "model": "acme/thermo", "imsi": imsi, "msisdn": ("4" + imsi[::-1])[:15],
             "secrets": {"key": base64.b64encode(key).decode(), "calibration": 0.25}} for name, imsi, key in twins]


def plant(host, planted):
    """Through bulk, single PUTs and T6a; with traffic, downlinks, refusals and errors that carry them."""
    half = len(planted.twins) // 2
    answers = host.admin.bulk(bulk_lines(planted.twins[:half]))
    assert all(answer["status"] == 201 for answer in answers), answers[:3]
    for line in bulk_lines(planted.twins[half:]):
        assert host.admin.put(f"/v1/twins/{line.pop('id')}", line).status == 201
    for line in bulk_lines(planted.twins[:5]):
        name = line.pop("id")
        assert host.admin.put(f"/v1/twins/{name}", line | {"colour": 1}).status == 422
        assert host.admin.put(f"/v1/twins/{name}", line | {"tags": {"a": 5}}).status == 422
        assert host.admin.put(f"/v1/twins/other-{name}", line).status == 409
        assert host.admin.put(f"/v1/twins/{name}", line, Idempotency_Key=f"k-{name}").status == 200
        assert host.admin.put(f"/v1/twins/{name}", line, Idempotency_Key=f"k-{name}").status == 200
    with Mme(host, identity="mme4.epc.test") as mme:
        for _, imsi, _ in planted.twins:
            mme.attach(imsi)
    with Load(host, "mme4.epc.test") as load:
        end = 0
        for number in range(3):
            for _, imsi, _ in planted.twins:
                load.send(imsi, thermo_reading(number, 20 + number), end=end)
                end += 1
                load.drain(below=200)
        load.drain()
        assert set(load.results.values()) == {2001}
    with Mme(host, identity="mme4.epc.test") as mme:
        for name, imsi, _ in planted.twins[::7]:
            host.admin.write(name, "period", 600)
            mme.downlinks.get(timeout=20)
            mme.odr(imsi, b"\x02\x02\x58", bearer=b"\x09")
            mme.uplink(imsi, b"\x02\x02\x58")
        for _, imsi, _ in planted.twins[:5]:
            mme.cmr(imsi[:-1] + "x")  # not an IMSI, but most of one


def write_and_kill(host, planted, kind):
    """Secrets are being written when a room dies."""
    def write():
        try:
            for _ in range(4):
                host.client(host.admin.token).bulk(bulk_lines(planted.twins))
        except (OSError, http.client.HTTPException, AssertionError, ValueError):
            pass  # its gate has died
    writer = threading.Thread(target=write)
    turns = host.metric("dromio_turns_total")
    writer.start()
    until(lambda: host.metric("dromio_turns_total") > turns + 20 or not writer.is_alive())
    dead = host.kill_room(kind)
    host.room_is_back(kind, dead)
    host.admin.close()
    host.wait()
    writer.join()


def look_everywhere(count):
    planted = Planted(count)
    with Host() as host:
        plant(host, planted)
        for name, _, _ in planted.twins[::11]:
            assert host.admin.get(f"/v1/twins/{name}").status == 200
            assert host.admin.get(f"/v1/twins/{name}/timeline").status == 200
        assert host.admin.get("/v1/twins?limit=500").status == 200
        assert host.admin.query("select count(*) from thermo") == [[count]]
        found = everything(planted, host)
        assert not found, f"{len(found)} hits:\n" + "\n".join(found[:40])
        for kind in ("cell", "gate", "core"):
            write_and_kill(host, planted, kind)
            found = everything(planted, host)
            assert not found, f"after the death of a {kind} {len(found)} hits:\n" + "\n".join(found[:40])
        host.restart()
        with Mme(host, identity="mme5.epc.test") as mme:
            for name, imsi, _ in planted.twins[::5]:
                mme.attach(imsi).uplink(imsi, thermo_reading(9))
                host.admin.write(name, "period", 700)
                mme.downlinks.get(timeout=20)
        found = everything(planted, host)
        assert not found, f"after a restart {len(found)} hits:\n" + "\n".join(found[:40])


def test_the_scan_finds_what_is_there():
    """The oracle itself: a secret in this process is seen, and one in a file."""
    planted = Planted(3)
    names = set()
    for hit in memory_hits(planted, "self", os.getpid())[0]:
        names.add(re.match(r"self: (.*) at 0x", hit).group(1))
    assert names == set(planted.forms.values())


def test_200_secrets_and_imsis_are_nowhere():
    look_everywhere(200)


@pytest.mark.long
def test_2000_secrets_and_imsis_are_nowhere():
    look_everywhere(2000)
