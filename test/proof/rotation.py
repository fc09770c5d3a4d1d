"""A domain of 100,000 twins with secrets gets another key while devices report and applications read, and while the whole host is killed three times in the middle; then another, unharmed, whose
latencies are compared with those before. After each nothing acknowledged is lost, every twin has a full record under the new key that a second implementation opens with the files that are there, the
older key is in no file, neither wrapped nor plain, and what it sealed (a copy of the log from before) opens with the key file of before and not with that of now. Then the domain is deleted: none of its
records opens any more, and another domain's twins, keys and readings are what they were."""
import shutil
import struct
import threading
import time

from host import Host, thermo_reading, until
from key_file import KeyFile, all_records, found_in_files
from mme import Load, Mme

PROMISE = "A domain's keys are replaced under load and its deletion shreds it; nothing else is lost or touched"
UNIT = "twins"
SHORT, LONG = 100_000, 1_000_000
SECONDS = 120
IN_CHECK = False
LIMITS = "Blocks of the disk that a file system or its drive has set aside are not looked at; backups from before have the older keys, wrapped by the master key of then. Latencies are of one machine under the load of a Python client."

SETTINGS = ("host.cores=2", "log.replay=64MiB", "log.timeline=0", "contexts.memory=16MiB", "diameter.accept=any")
DEVICES, SAMPLE = 400, 3000
DOMAIN, OTHER = "turned.example", "other.example"
FULL = 2


def name(number, domain=DOMAIN):
    return f"r{number}@{domain}"


def imsi(number):
    return f"00101{number:010}"


def calibration(number):
    return number % 11 - 5


class Fleet:
    """Devices whose twins' calibrations are in sealed contexts only."""

    def __init__(self, host, count):
        self.host, self.count, self.sent, self.end = host, count, [0] * DEVICES, 1 << 20
        for first in range(0, count, 10_000):
            lines = host.admin.bulk({"id": name(n), "model": "acme/thermo", "imsi": imsi(n), "secrets": {"calibration": calibration(n)}}
                                    for n in range(first, min(first + 10_000, count)))
            assert all(line["status"] == 201 for line in lines)
        for n in range(50):
            host.admin.put_twin(name(n, OTHER), imsi=imsi(count + n), secrets={"calibration": calibration(n)})
        self.attach()

    def device(self, at):
        return at * (self.count // DEVICES)

    def attach(self):
        with Mme(self.host, identity="rotation.epc.test") as mme:
            for at in range(DEVICES):
                mme.attach(imsi(self.device(at)))

    def report(self, on_answer=None):
        """A reading of every device; answered, or given up with the host."""
        with Load(self.host, "rotation.load.test") as load:
            for at in range(DEVICES):
                self.end += 1
                began = time.monotonic()
                load.send(imsi(self.device(at)), thermo_reading((self.sent[at] + 1) % 256, 20.0), self.end)
                load.drain()
                assert load.results.pop(self.end) == 2001
                self.sent[at] += 1
                if on_answer is not None:
                    on_answer(time.monotonic() - began)

    def check(self):
        for at in range(DEVICES):
            shown = self.host.admin.twin(name(self.device(at)))["properties"]
            wanted = (20 + calibration(self.device(at)), self.sent[at], 0)
            found = shown["temperature"]["value"], shown["readings"]["value"], shown["rejected"]["value"]
            assert self.sent[at] == 0 or found == wanted, f"{name(self.device(at))}: {found}, not {wanted}"


def p99_ms(fleet, while_):
    """Of uplinks and of reads, as long as `while_()` says, and SAMPLE of them at least."""
    uplinks, reads, over = [], [], threading.Event()
    client = fleet.host.client(fleet.host.admin.token)

    def read():
        number = 0
        while not over.is_set():
            number = (number + 7919) % fleet.count
            began = time.monotonic()
            assert client.get(f"/v1/twins/{name(number)}/properties/temperature").status == 200
            reads.append(time.monotonic() - began)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while while_() or len(uplinks) < SAMPLE:
            fleet.report(uplinks.append)
    finally:
        over.set()
        reader.join()
        client.close()
    return [round(1000 * sorted(found)[len(found) * 99 // 100], 2) for found in (uplinks, reads)]


def state(host, domain=DOMAIN):
    return host.admin.get(f"/v1/domains/{domain}").json()


def rotate(host):
    answer = host.admin.post(f"/v1/domains/{DOMAIN}/keys?history=drop")
    assert answer.status == 202, answer


def is_under_way(host):
    return "older_key" in state(host)


def must_be_turned(proof, host, fleet, before, old_log, generation):
    now = KeyFile(host.data)
    assert now.generations(1) == [generation] and now.wrapped[2, 0] == before.wrapped[2, 0]
    needles = {"the older key": before.keys[1, generation - 1], "the older key as it was wrapped": before.wrapped[1, generation - 1][12:44]}
    assert (found := found_in_files(host.data, needles)) == [], found
    under = set()
    for domain, tag, context, record in all_records(host.data):
        if domain == 1 and record[8] == FULL and tag == generation & 0xFF:
            assert context in (None, tag), "a full record under the new key has a context under the older one"
            fields, context_key = now.record_open(record)
            assert fields is not None and (context is None or context_key is not None)
            under.add(struct.unpack_from("<Q", record, 16)[0])
    assert len(under) >= fleet.count, f"{fleet.count - len(under)} twins have no full record under the new key"
    seen = 0
    for domain, tag, _, record in all_records(old_log):
        if domain == 1 and seen < 5000:
            seen += 1
            assert before.record_open(record)[0] is not None and now.record_open(record) == (None, None)
    assert seen >= min(5000, fleet.count)


def copy_of_log(proof, host):
    old = proof.work / "old"
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    for path in host.data.rglob("segment-*"):
        try:
            shutil.copy(path, old / f"segment-{len(list(old.iterdir()))}")
        except FileNotFoundError:  # dropped meanwhile
            pass
    return old


def turn_with_kills(proof, host, fleet):
    before, old = KeyFile(host.data), copy_of_log(proof, host)
    rotate(host)
    for _ in range(3):
        fleet.report()
        host.kill()
        host.start()
        fleet.check()
    until(lambda: not is_under_way(host), "the end of the older key")
    must_be_turned(proof, host, fleet, before, old, 1)


def turn_under_load(proof, host, fleet):
    quiet = p99_ms(fleet, lambda: False)
    before, old = KeyFile(host.data), copy_of_log(proof, host)
    began = time.monotonic()
    rotate(host)
    ended = []

    def goes_on():
        if not is_under_way(host) and not ended:
            ended.append(time.monotonic() - began)
        return not ended

    busy = p99_ms(fleet, goes_on)
    proof.measured["rotation of all twins under load, s"] = round(ended[0], 1)
    for what, one, other in zip(("uplinks", "reads"), quiet, busy):
        proof.measured[f"p99 of {what} before, ms"] = one
        proof.measured[f"p99 of {what} during a rotation, ms"] = other
    fleet.check()
    must_be_turned(proof, host, fleet, before, old, 2)


def delete(proof, host, fleet):
    other = {n: host.admin.twin(name(n, OTHER)) for n in range(50)}
    before, old = KeyFile(host.data), copy_of_log(proof, host)
    assert host.admin.delete(f"/v1/domains/{DOMAIN}").status == 202
    host.kill()
    host.start()
    until(lambda: host.admin.get(f"/v1/domains/{DOMAIN}").status == 404, "the end of the domain")
    now = KeyFile(host.data)
    assert 1 in now.gone and now.wrapped[2, 0] == before.wrapped[2, 0]
    seen = readable = 0
    for domain, tag, _, record in all_records(old):
        if domain == 1:
            seen += 1
            assert now.record_open(record) == (None, None)
            if tag == 2 and readable < 5000:  # else it is under a key that was destroyed already
                readable += 1
                assert before.record_open(record)[0] is not None
    assert seen >= fleet.count and readable >= min(5000, fleet.count)
    proof.measured["records of before that open no more"] = seen
    host.restart()
    assert host.metric("dromio_twins") == 50
    assert {n: host.admin.twin(name(n, OTHER)) for n in range(50)} == other


def run(proof):
    directory = proof.work / "host"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    with Host(*SETTINGS, directory=directory) as host:
        fleet = Fleet(host, proof.wanted)
        fleet.report()
        turn_with_kills(proof, host, fleet)
        turn_under_load(proof, host, fleet)
        delete(proof, host, fleet)
    shutil.rmtree(directory)
    proof.count(proof.wanted)
