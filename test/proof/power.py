"""A host on an ext4 of its own disk inside User Mode Linux, under the load of the oracle of `kill` (uplinks, writes, commands, bulk, applications, downlinks with notifications, an event stream,
charging records). What the oracle knows is written to a file of the machine outside. At a moment of the seed's choice all processes of the guest are killed with SIGKILL: its kernel, its page
cache and its host are gone at once, what it had given to its disk is there. The same disk goes into a new guest; the file system replays its journal, the host its log, and what the host then
shows must be all that was acknowledged and nothing twice. After 25 cuts everything is compared for good, charging files too, and a new disk begins."""
import random
import shutil

from guest import Guest, Notes, is_there, make_disk

PROMISE = "What is acknowledged is durable and applied once, through power cuts"
UNIT = "power cuts"
SHORT, LONG = 10, 1000
SECONDS = 75
IN_CHECK = False
LIMITS = "A killed guest loses its own page cache and what was on its way, not what its disk had taken and not yet flushed: that is `blocks`. The guest has one CPU and no memfd_secret. One file system: ext4."

LIFE = 25  # cuts of one disk
LOAD = (20, 1500)  # lines of knowledge between a start and a cut


def settings_of(chance):
    found = ["log.segment=1MiB", "log.replay=1MiB", "charging.enabled=true", "charging.file_age=1", f"host.cores={chance.choice((1, 2))}"]
    return [word for setting in found for word in ("--set", setting)]


def boot(proof, directory, seed, number, settings, finish=False):
    return Guest(directory, proof.root / "test/uml/under_load.py", directory, seed, number, *(["--finish"] if finish else []), *settings, disks=[directory / "disk"])


def cut_once(proof, directory, seed, number, settings, chance):
    notes = Notes(directory / "knowledge")
    with boot(proof, directory, seed, number, settings) as guest:
        guest.runs_until(lambda: notes.look().notes.get("checked") == number, "the host was compared")
        end = notes.lines + chance.randrange(*LOAD)
        guest.runs_until(lambda: notes.look().lines >= end, "the moment of the cut")
        guest.cut_power()
    return notes.look().lines


def run(proof):
    if not is_there():
        proof.unavailable("no guest of user-mode-linux starts here (tools/setup --prove)")
    while not proof.over():
        first = proof.state.get("first", proof.done) if proof.state.get("is_living") else proof.done
        directory, seed = proof.work / f"disk-{first}", proof.seed_of(first)
        settings = settings_of(random.Random(seed))
        if not proof.state.get("is_living"):
            directory.mkdir()
            make_disk(directory / "disk")
            proof.state.update(first=first, is_living=True)
        try:
            while not proof.over() and proof.done < first + LIFE:
                cut_once(proof, directory, seed, proof.done, settings, random.Random(proof.seed_of(proof.done)))
                proof.count()
            if proof.done < min(first + LIFE, proof.wanted):
                return  # the next slice goes on with this disk
            with boot(proof, directory, seed, proof.done, settings, finish=True) as guest:
                guest.ends()
        except AssertionError as broken:
            proof.fail(f"{broken}\nthe disk that began with cut {first}, seed {seed}: {directory}")
        notes = Notes(directory / "knowledge").look()
        for name, count in (("lines of knowledge compared", notes.lines), ("charging records compared", notes.notes["charged"])):
            proof.measured[name] = proof.measured.get(name, 0) + count
        proof.state["is_living"] = False
        shutil.rmtree(directory)
