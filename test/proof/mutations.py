"""The code is broken on purpose, in one place at a time, from the lists in `test/proof/mutations`: the log, the vault, slots, rings, the router, duplicate detection, budgets, readers. Each broken
build is given to the proofs and tests that should catch it, quickest first; one that nothing catches is a hole. Every catcher has to pass on the code as it is first, or what it says means nothing. A
mutation that does not compile, or that no longer fits the code, fails the proof too."""
import json
import os
import re
import shutil
import signal
import subprocess
import tomllib

PROMISE = "Each way in which the code is broken on purpose is caught by a proof"
UNIT = "mutations"
SHORT, LONG = 60, 60
SECONDS = 3600
IN_CHECK = False
LIMITS = "ways to break the code that nobody thought of; a catcher later in a list is not run once one before it caught"

PATIENCE_S = 420  # of one catcher: a mutation may well make something wait for ever, and is caught then


def lists(root):
    return [{**mutation, "list": path.stem} for path in sorted((root / "test/proof/mutations").glob("*.toml")) for mutation in tomllib.loads(path.read_text())["mutation"]]


class Tree:
    """A copy of the repository to break, and its build."""

    def __init__(self, proof):
        self.proof, self.root = proof, proof.work / "tree"
        said = proof.run("tools/setup", "--env")
        self.environment = {**os.environ, **dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in said.splitlines())}
        for name in ("DROMIO_PROVING", "DROMIO_BUILD", "DROMIO_PROOFS"):
            self.environment.pop(name, None)
        self.environment["DROMIO_PROOF_WORK"] = str(proof.work / "proofs")
        self.copy()
        if not (self.root / "build/build.ninja").exists():
            self.must("meson", "setup", "build")
        self.must("ninja", "-C", "build")
        self.tests = {test["name"]: test for test in json.loads(self.must("meson", "introspect", "--tests", "build"))}
        self.sound = {}

    def copy(self):
        """What is committed and what is changed; a file keeps its time while it stays as it is."""
        listed = subprocess.run(["git", "-C", self.proof.root, "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")
        for name in filter(None, listed):
            source, target = self.proof.root / name, self.root / name
            if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                shutil.copymode(source, target)

    def run(self, *command, limit=PATIENCE_S * 4):
        """(status, output); a catcher that is late is ended with all that it started."""
        process = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            out, _ = process.communicate(timeout=limit)
            return process.returncode, out
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "late", ""

    def must(self, *command):
        status, out = self.run(*command)
        if status != 0:
            self.proof.fail(f"{' '.join(command)} in {self.root} ended with {status}:\n{out[-3000:]}")
        return out

    def is_caught(self, catcher):
        kind, _, name = catcher.partition(":")
        if kind == "unit":
            status, _ = self.run("meson", "test", "-C", "build", "--no-rebuild", "--timeout-multiplier", "4", name)
        elif kind == "flow":
            status, _ = self.run(self.environment["DROMIO_PYTHON"], "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"test/flow/{name}", limit=PATIENCE_S)
        else:
            status, _ = self.run("tools/prove", catcher, limit=PATIENCE_S)
            if status == 3:
                return None
        return status != 0

    def targets(self, catcher):
        """What ninja has to make for it: a unit test's own program, else all."""
        kind, _, name = catcher.partition(":")
        if kind != "unit":
            return []
        program = self.tests[name]["cmd"][0]
        return [os.path.relpath(program, self.root / "build")]

    def is_sound(self, catcher):
        """Does it pass on the code as it is?"""
        if catcher not in self.sound:
            self.sound[catcher] = self.is_caught(catcher)
            if self.sound[catcher]:
                self.proof.fail(f"{catcher} fails on the code as it is")
        return self.sound[catcher] is False


def caught_by(proof, tree, mutation):
    catchers = [catcher for catcher in mutation["caught_by"] if tree.is_sound(catcher)]
    if not catchers:
        return "not run here"
    file = tree.root / mutation["file"]
    text = file.read_text()
    if text.count(mutation["old"]) != 1:
        proof.fail(f"{mutation['list']}.toml: {mutation['name']}: its old text does not occur once in {mutation['file']}")
    file.write_text(text.replace(mutation["old"], mutation["new"]))
    try:
        for catcher in catchers:
            status, out = tree.run("ninja", "-C", "build", *tree.targets(catcher))
            if status != 0:
                errors = "\n".join(re.findall(r"^.*(?:error|Error|FAILED).*$", out, re.M)[:10])
                proof.fail(f"{mutation['list']}.toml: {mutation['name']} does not build:\n{errors}")
            if tree.is_caught(catcher):
                return catcher
        return None
    finally:
        file.write_text(text)


def run(proof):
    mutations = lists(proof.root)
    if len(mutations) < proof.wanted:
        proof.fail(f"the lists have {len(mutations)} mutations, at least {proof.wanted} are wanted")
    proof.wanted = len(mutations)
    tree = Tree(proof)
    unknown = [f"{m['list']}: {catcher}" for m in mutations for catcher in m["caught_by"] if catcher.startswith("unit:") and catcher[5:] not in tree.tests]
    if unknown:
        proof.fail("no such unit test: " + ", ".join(unknown))
    found = proof.state.setdefault("found", {})
    for mutation in mutations[proof.done:]:
        if proof.over():
            break
        key = f"{mutation['list']}/{mutation['name']}"
        found[key] = [mutation["file"], caught_by(proof, tree, mutation)]
        proof.say(f"{key}: {found[key][1] or 'NOBODY CAUGHT IT'}")
        proof.count()
    by = {}
    for _, catcher in found.values():
        by[catcher or "nobody"] = by.get(catcher or "nobody", 0) + 1
    proof.table("Caught by", ["catcher", "mutations"], sorted(by.items(), key=lambda each: (-each[1], each[0])))
    proof.table("Mutations", ["mutation", "file", "caught by"], [(key, file, catcher or "**nobody**") for key, (file, catcher) in sorted(found.items())])
    holes = [key for key, (_, catcher) in found.items() if catcher is None]
    if holes:
        proof.fail("nothing caught " + ", ".join(holes))
