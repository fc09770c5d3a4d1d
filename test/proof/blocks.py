"""A host on an ext4 of its own disk inside User Mode Linux, under the load of the oracle of `kill`; between file system and disk dm-log-writes records each write and flush, and each
acknowledgement as a mark. From that log the disk is made as it was at every flush, and once more as it may have been right before that flush ended: of the writes that were not yet flushed any,
in any order, whole, cut off or torn by sectors, as the seed says. Each of those disks is mounted, a host is started on it, and what it shows must be all that was acknowledged before, nothing
twice, nothing that was not asked for. Then a disk that fails every write from some moment on (dm-flakey): from then on nothing may be acknowledged, uplinks get 3004 and requests 503, and
a power cut later all that was acknowledged before is there."""
import json
import os
import random
import shutil
import subprocess
import time

from charged import verified
from guest import Guest, Notes, is_there, make_disk
from host import Client, Host
from promised import Deliveries, Follower, Knowledge, Oracle
from t8 import CALLBACKS
from write_log import points

PROMISE = "What is acknowledged is durable and applied once, through torn, lost and reordered writes at every flush"
UNIT = "logs"
SHORT, LONG = 1, 50
SECONDS = 150
IN_CHECK = False
LIMITS = ("Two states of each flush point, not all subsets of what was not flushed. A disk that drops writes and says they are flushed is none that any host can do something about. "
          "Ends of an application's downlinks are compared by `kill` and `power` alone. Needs root, for loop devices.")

SETTINGS = ["log.segment=1MiB", "log.replay=1MiB", "charging.enabled=true", "charging.file_age=1"]
DISK, LOG = "192M", "2G"
ACKNOWLEDGEMENTS = 120


def in_guest(proof, directory, seed, number, *words, disks=("disk",), modules=()):
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return Guest(directory, proof.root / "test/uml/under_load.py", directory, seed, number, *words, *settings, disks=[directory / disk for disk in disks], modules=modules)


class Disk:
    """The disk as it goes through its log, and states of it that can be mounted."""

    def __init__(self, directory):
        self.now, self.state, self.mounted = directory / "now", directory / "state", directory / "mounted"
        self.mounted.mkdir(exist_ok=True)
        self.file = open(self.now, "r+b", buffering=0)

    def apply(self, write):
        os.pwrite(self.file.fileno(), write.data, write.at)

    def make(self, parts):
        subprocess.run(["cp", "--sparse=always", self.now, self.state], check=True)
        with open(self.state, "r+b", buffering=0) as file:
            for at, data in parts:
                os.pwrite(file.fileno(), data, at)

    def __enter__(self):
        subprocess.run(["mount", "-o", "loop", self.state, self.mounted], check=True, capture_output=True)
        return self.mounted / "host"

    def __exit__(self, *_):
        subprocess.run(["umount", self.mounted], check=True)


def shows_what_is_known(directory, oracle, at_least):
    """Starts a host there and compares."""
    directory.mkdir(exist_ok=True)
    host = Host(CALLBACKS, *SETTINGS, directory=directory)
    oracle.host = host
    try:
        host.start()
        if "is_provisioned" in at_least.notes:
            for actor in oracle.actors:
                if isinstance(actor, (Follower, Deliveries)):
                    continue
                actor.client = Client(host.http_port, host.admin.token)
                actor.verify(at_least)
                actor.client.close()
        if (host.data / "charging").exists():
            verified(host.data / "charging")
    finally:
        host.close()


def compare_all(proof, directory, seed):
    """Each flush point twice: as it was, and as it may have been right before."""
    chance = random.Random(seed)
    shutil.move(directory / "base", directory / "now")
    disk, states = Disk(directory), 0
    oracle = Oracle(None, seed, Knowledge(directory / "knowledge", lines=10**9), devices=8)
    lines = (directory / "knowledge").read_text().splitlines()
    with open(directory / "log", "rb") as log, oracle:
        for point in points(log, disk.apply):
            if point.number % 50 == 49:
                proof.say(f"flush {point.number + 1}, {states} disks compared")
            torn = [part for write in sorted(point.pending, key=lambda _: chance.random()) for part in write.torn(chance)]
            for parts, mark, how in ((torn, point.before, "right before"), ([(w.at, w.data) for w in point.pending], point.after, "after")):
                at_least = Knowledge()
                for line in lines[:int(mark or 0)]:
                    at_least.take(json.loads(line))
                disk.make(parts)
                try:
                    with disk as mounted:
                        shows_what_is_known(mounted, oracle, at_least)
                except AssertionError as broken:
                    proof.fail(f"{how} flush {point.number}, with {mark} lines known: {broken}\nseed {seed}, the disk: {disk.state}")
                states += 1
    return point.number + 1, states


def run_with_log(proof, directory, seed):
    make_disk(directory / "disk", DISK)
    subprocess.run(["cp", "--sparse=always", directory / "disk", directory / "base"], check=True)
    subprocess.run(["truncate", "-s", LOG, directory / "log"], check=True)
    with in_guest(proof, directory, seed, 0, "--log-writes", ACKNOWLEDGEMENTS, disks=("disk", "log"), modules=("dm-mod", "dm-log-writes")) as guest:
        guest.ends()


def run_with_errors(proof, directory, seed):
    make_disk(directory / "disk", DISK)
    (directory / "knowledge").unlink(missing_ok=True)
    notes = Notes(directory / "knowledge")
    with in_guest(proof, directory, seed, 0, "--error-writes", modules=("dm-mod", "dm-flakey")) as guest:
        guest.runs_until(lambda: notes.look().notes.get("failed") == 0, "refusals of a host whose disk fails")
        guest.cut_power()
    with in_guest(proof, directory, seed, 1, "--finish") as guest:
        guest.ends()
    return notes.look().notes["refused"]


def may_mount(proof):
    directory = proof.work / "try"
    directory.mkdir()
    make_disk(directory / "state", "8M")
    try:
        shutil.copy(directory / "state", directory / "now")
        with Disk(directory):
            return True
    except subprocess.CalledProcessError:
        return False
    finally:
        shutil.rmtree(directory)


def run(proof):
    if not is_there():
        proof.unavailable("no guest of user-mode-linux starts here (tools/setup --prove)")
    if not may_mount(proof):
        proof.unavailable("no loop device can be mounted here: it needs root")
    while not proof.over():
        seed, directory = proof.seed_of(proof.done), proof.work / f"log-{proof.done}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        try:
            run_with_log(proof, directory, seed)
            begun = time.monotonic()
            flushes, states = compare_all(proof, directory, seed)
            proof.say(f"{flushes} flushes, {states} disks compared")
            refused = run_with_errors(proof, directory, seed)
        except AssertionError as broken:
            proof.fail(f"{broken}\nlog {proof.done}, seed {seed}: {directory}")
        for name, count in (("flush points", flushes), ("disks compared", states), ("requests refused while the disk failed its writes", refused)):
            proof.measured[name] = proof.measured.get(name, 0) + count
        proof.measured["seconds of comparing, a disk"] = round((time.monotonic() - begun) / states, 3)
        shutil.rmtree(directory)
        proof.count()
