"""A model of the rule (starts, seals, kills, copies of a directory that both run, a lost epoch, rotations; two directories, two cores) is searched through to a depth; it finds a repeat at once where the rule is broken.
Then hosts of a build whose vault notes key and nonce of everything it seals, in a file that a kill leaves whole: under load they are killed (a room or all), restarted, rotated, given another master
key, copied while they run, restored from a backup into two, their epoch file put back or taken away; all go on at the same time, and all pairs that were ever used are one set. A start without its
epoch file, or with an old one, either works or says that the log has a later epoch and has sealed nothing; how many of each there were is told."""
import os
import random
import shutil
import subprocess
import tarfile

import _nonce_model
import host as hosts
from host import Host, until
from oracle import Oracle

PROMISE = "No nonce is used twice under a key, over crashes, restarts, rotations, restores and clones of a data directory"
UNIT = "families of hosts"
SHORT, LONG = 3, 60
SECONDS = 60
IN_CHECK = False
LIMITS = "The memory of a running host that is copied and goes on twice (a snapshot of its machine) repeats nonces: the model shows it, nothing here prevents it. Sealed by the vault is all that is sealed; TLS is OpenSSL's."

DEPTH_SHORT, DEPTH_LONG = 8, 10
PAIR = 28
REFUSES = 'log damaged file=epoch offset=0 "the log has epoch'
SMALL = ("log.segment=1MiB", "log.replay=1MiB", "log.timeline=0")


def pairs_in(directory):
    """How many there are; the first that is there twice, or None."""
    seen, count = set(), 0
    for path in directory.iterdir():
        data = path.read_bytes()
        for at in range(0, len(data) - PAIR + 1, PAIR):
            pair = data[at:at + PAIR]
            if pair in seen:
                return count, (path.name, pair.hex())
            seen.add(pair)
            count += 1
    return count, None


class Family:
    """A host and what was made of its directory."""

    def __init__(self, proof, number, chance):
        self.proof, self.chance, self.number, self.made = proof, chance, number, 0
        self.settings = (*SMALL, f"host.cores={chance.choice((1, 1, 2, 3))}")
        self.notes = proof.work / f"notes-{number}"
        self.notes.mkdir()
        os.environ["DROMIO_NOTED_SEALS"] = str(self.notes)
        self.running = []

    def start(self, data=None):
        directory = self.proof.work / f"host-{self.number}-{self.made}"
        self.made += 1
        directory.mkdir()
        if data is not None:
            data(directory / "data")
        host = Host(*self.settings, directory=directory)
        if data is not None:
            host.has_thermo = False
        host.start()
        self.running.append(host)
        self.started()
        return host

    def again(self, host):
        host.start()
        self.started()

    def told(self, what):
        self.proof.measured[what] = self.proof.measured.get(what, 0) + 1

    def sealed(self):
        """The processes that sealed something."""
        return {path.name for path in self.notes.iterdir()}

    def started(self):
        self.told("starts")

    def close(self):
        for host in self.running:
            host.close()
            shutil.rmtree(host.directory, ignore_errors=True)
        os.environ.pop("DROMIO_NOTED_SEALS")


def copied(host):
    """Its files as they are at this moment, while it runs: what cp makes of them opens, or the clone says why not."""
    def make(data):
        subprocess.run(["cp", "-a", str(host.data), str(data)], check=False, stderr=subprocess.DEVNULL)
        for path in data.glob("*.sock"):
            path.unlink()
    return make


def restored(host, backup):
    def make(data):
        with tarfile.open(backup) as archive:
            archive.extractall(data)
        shutil.copy(host.data / "master.key", data / "master.key")
    return make


def use(host, salt):
    """Turns, writes and new twins: contexts, records, tables and the host's file are sealed."""
    answers = host.admin.bulk({"id": f"n{number}@nonce.example", "model": "acme/thermo", "secrets": {"calibration": salt % 7}} for number in range(40))
    assert all(answer["status"] in (200, 201) for answer in answers), answers
    host.admin.put("/v1/twins/n1@nonce.example/properties/period", {"value": 100 + salt})


def family(proof, number, chance):
    of = Family(proof, number, chance)
    try:
        first = of.start()
        oracle = Oracle(first, number)
        oracle.provision()
        oracle.run(60)
        use(first, 1)
        old_epoch = (first.data / "log" / "epoch").read_bytes()
        backup = proof.work / f"backup-{number}.tar"
        backup.write_bytes(first.admin.get("/v1/backup").body)
        clones = [of.start(restored(first, backup)) for _ in range(2)]
        backup.unlink()
        for salt, clone in enumerate(clones):
            use(clone, salt)
        first.kill()  # with a round on its way
        cold = [of.start(copied(first)) for _ in range(2)]
        of.again(first)
        oracle.run(60)
        for salt, clone in enumerate(cold):
            use(clone, 3 + salt)
        everyone = [first, *clones, *cold]
        for host in everyone:
            if chance.random() < 0.5:
                assert host.admin.post("/v1/domains/nonce.example/keys?history=drop").status in (202, 409)
        assert first.admin.post("/v1/master-key").status == 204
        for round_ in range(2):
            for host in everyone:
                use(host, 10 + round_)
                way = chance.choice(("room", "kill", "old epoch", "no epoch"))
                if way == "room":
                    host.room_is_back("core", host.kill_room("core"))
                    until(host.is_healthy, "a healthy host")
                    host.admin.close()
                    of.started()
                    continue
                host.kill()
                if way == "old epoch":
                    (host.data / "log" / "epoch").write_bytes(old_epoch)
                if way == "no epoch":
                    (host.data / "log" / "epoch").unlink()
                said, sealed = len(host.log()), of.sealed()
                try:
                    of.again(host)
                    if way != "kill":
                        of.told(f"starts with {way} that worked")
                except AssertionError:
                    if way == "kill" or REFUSES not in host.log()[said:]:
                        raise
                    if more := of.sealed() - sealed:
                        proof.fail(f"a start that was refused for {way} has sealed something: {more} in {of.notes}")
                    of.told(f"starts with {way} that were refused")
                    host.close()
                    everyone = [other for other in everyone if other is not host]
    finally:
        of.close()
    count, twice = pairs_in(of.notes)
    if twice is not None:
        proof.fail(f"a nonce was used twice under a key: {twice[1]} in {twice[0]}, family {number}; the notes are in {of.notes}")
    if count < 1000:
        proof.fail(f"only {count} seals were noted in {of.notes}: the build does not note them")
    shutil.rmtree(of.notes)
    proof.measured["seals compared"] = proof.measured.get("seals compared", 0) + count


def model(proof):
    states, way = _nonce_model.search(_nonce_model.BUILT, DEPTH_LONG if proof.is_long else DEPTH_SHORT)
    if way is not None:
        proof.fail(f"the model uses a pair twice: {', '.join(way)}")
    proof.measured["states of the model"] = states
    for name, wrong in _nonce_model.WRONG.items():
        if _nonce_model.search({**_nonce_model.BUILT, **wrong}, DEPTH_SHORT)[1] is None:
            proof.fail(f"the model does not find that this repeats a pair: {name}")


def run(proof):
    model(proof)
    built = proof.built("noted-seals")
    before, hosts.DROMIOD = hosts.DROMIOD, built / "dromiod"
    try:
        while not proof.over():
            number = proof.done
            family(proof, number, random.Random(proof.seed_of(number)))
            proof.count()
    finally:
        hosts.DROMIOD = before
