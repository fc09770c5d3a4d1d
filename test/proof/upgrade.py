"""Hosts change their version under the load of an oracle that lives outside of them (as in `kill`): an older version, built from its commit, makes the data directory and works in it; it is stopped or
killed with SIGKILL at a moment of the seed's choice, and the new one goes on in the same directory while devices send again what was not answered. Then, where both have the same layout of the
directory, back to the older one and once more forward; where the new layout is higher, the older one refuses with one line. A backup taken by the older version is restored by the new one. Everything
acknowledged is there, nothing is applied twice. The versions are every tag of the repository and those of `test/proof/versions.toml`;
what the older version alone would not pass is left out, as it says there."""
import pathlib
import random
import re
import os
import shutil
import subprocess
import tomllib

import host as hosts
from host import LIMIT_S, Host
from promised import Oracle
from t8 import CALLBACKS

PROMISE = "A host is upgraded and downgraded under load without losing anything; data directories of every version open"
UNIT = "moves"
SHORT, LONG = 24, 1000
SECONDS = 200
IN_CHECK = False
LIMITS = "rolling upgrades of a cluster, of which there is none yet; versions from before data directories had a layout number"

KEPT = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dromio/versions"


class Version:
    def __init__(self, proof, name, commit, left_out):
        self.name, self.commit, self.left_out = name, commit, left_out
        self.layout = int(re.search(r"DATA_LAYOUT = (\d+)", proof.run("git", "-C", proof.root, "show", f"{commit}:src/store/data_layout.h"))[1])
        self.program, self.cli = KEPT / commit / "build/dromiod", KEPT / commit / "build/dromio"
        if not self.program.exists():
            proof.say(f"building {name} ({commit})")
            tree = KEPT / commit
            tree.mkdir(parents=True, exist_ok=True)
            proof.run("sh", "-c", f"git -C '{proof.root}' archive {commit} | tar -x -C '{tree}'")
            proof.run("sh", "-c", f"cd '{tree}' && eval \"$('{proof.root}'/tools/setup --env)\" && meson setup build && ninja -C build dromiod dromio")


class Moving(Host):
    """A host whose program may change from one start to the next."""
    program = hosts.DROMIOD

    def arguments(self):
        return [str(self.program), *super().arguments()[1:]]


def versions(proof):
    rows = [(row["name"], row["commit"], row.get("left_out", [])) for row in tomllib.loads((proof.root / "test/proof/versions.toml").read_text())["version"]]
    tags = subprocess.run(["git", "-C", proof.root, "tag", "--list", "v*"], capture_output=True, text=True).stdout.split()
    rows += [(tag, subprocess.run(["git", "-C", proof.root, "rev-parse", "--short=12", tag + "^{commit}"], capture_output=True, text=True).stdout.strip(), []) for tag in tags]
    for name, commit, _ in rows:
        if subprocess.run(["git", "-C", proof.root, "cat-file", "-e", commit + "^{commit}"], capture_output=True).returncode != 0:
            proof.unavailable(f"the repository here has no {name} ({commit}): a clone with its history is needed")
    return [Version(proof, *row) for row in rows]


def end(host, chance):
    """Under load; half of them without a chance to say goodbye."""
    if chance.random() < 0.5:
        host.kill()
        return "killed"
    assert host.stop() == 0
    return "stopped"


def move(host, oracle, chance, program):
    oracle.runs(chance.randrange(20, 150))
    how = end(host, chance)
    host.program = program
    host.start()
    host.admin.close()
    oracle.check()
    return how


def is_refused(host, old):
    """By one line, and nothing of the directory changes."""
    def files():
        return {str(path): path.read_bytes() for path in sorted(host.data.rglob("*")) if path.is_file()}
    before = files()
    words = [str(old.program), *host.arguments()[1:]]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert answer.returncode != 0 and "newer" in answer.stderr and len(answer.stderr.splitlines()) == 1, answer
    assert files() == before, "a version that refuses touches nothing"


def restored(proof, host, oracle, old):
    """What the older version backed up."""
    def run(program, *words):
        token = (host.data / "admin.token").read_text().strip()
        done = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, timeout=LIMIT_S,
                              env={**os.environ, "DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN": token})
        assert done.returncode == 0, done
    file, copy = host.directory / "before.tar", host.directory / "copy"
    copy.mkdir()
    run(old.cli, "backup", file)
    run(hosts.BUILD / "dromio", "restore", file, "--data", copy / "data")
    shutil.copy(host.data / "master.key", copy / "data/master.key")
    with Host(CALLBACKS, directory=copy) as clone:
        names = [twin["id"] for twin in clone.admin.get("/v1/twins?limit=500").json()["twins"]]
        assert names, "a restored host without twins"
    shutil.rmtree(copy)


def run(proof):
    older = versions(proof)
    new_layout = int(re.search(r"DATA_LAYOUT = (\d+)", (proof.root / "src/store/data_layout.h").read_text())[1])
    counted = proof.state.setdefault("moves", {})
    while not proof.over():
        unit = proof.state.setdefault("unit", 0)
        proof.state["unit"] += 1
        old, chance = older[unit % len(older)], random.Random(proof.seed_of(unit))
        directory = proof.work / f"host-{unit}"
        directory.mkdir()
        host = Moving(CALLBACKS, "log.segment=1MiB", f"host.cores={chance.choice([1, 2])}", directory=directory)
        host.program = old.program
        try:
            with host, Oracle(host, proof.seed_of(unit)) as oracle:
                oracle.actors = [actor for actor in oracle.actors if type(actor).__name__ not in old.left_out]
                oracle.begin()
                oracle.runs(50)
                if unit % 2 == 0:
                    restored(proof, host, oracle, old)
                moves = [(f"{old.name} to this", hosts.DROMIOD)]
                if old.layout == new_layout:
                    moves += [(f"this to {old.name}", old.program), (f"{old.name} to this", hosts.DROMIOD)]
                for what, program in moves:
                    how = f"{what}, {move(host, oracle, chance, program)}"
                    counted[how] = counted.get(how, 0) + 1
                    if not proof.over():
                        proof.count()
                if old.layout < new_layout:
                    end(host, chance)
                    is_refused(host, old)
                    counted[f"{old.name} refuses"] = counted.get(f"{old.name} refuses", 0) + 1
                    host.start()
                    host.admin.close()
                oracle.finish()
        except AssertionError as broken:
            proof.fail(f"{broken}\nunit {unit}, seed {proof.seed_of(unit)}, {old.name} ({old.commit}): {directory}")
        shutil.rmtree(directory)
    proof.table("Moves", ["from, to, how the one before ended", "times"], sorted(counted.items()))
