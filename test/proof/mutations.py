"""The code is broken on purpose, in one place at a time, from the lists in `test/proof/mutations`: the log, the vault, slots, rings, the router, duplicate detection, budgets, readers. Each broken
build is given to the tests and proofs that should catch it, quickest first; the short form goes on with the next mutation once one has, the long form asks them all, so that its table says who catches what.
One that nothing catches is a hole. Each catcher has to pass on the code as it is first, or what it says means nothing. A mutation that does not compile, or that no longer fits the code, fails the proof too."""
import collections
import fnmatch
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
import tomllib

PROMISE = "Each way in which the code is broken on purpose is caught by a test or a proof"
UNIT = "mutations"
SHORT, LONG = 240, 240  # at least; all there are are tried
SECONDS = 3600
IN_CHECK = False
LIMITS = "ways to break the code that nobody thought of; of the catchers in a list the short form asks only up to the first that catches"

# With one catcher, besides so many times what it takes on the code as it is: a mutation may well make something wait for ever, and is caught then.
PATIENCE_S, PATIENCE_TIMES = {"unit": 20, "flow": 60, "proof": 120}, 8
SOUND_PATIENCE_S = 1800  # analysers and sanitizers that find nothing of an earlier run take 13 minutes beside another tree
SKIPPED = 77  # what a unit test ends with that cannot run here

CAUGHT, PASSED, LATE, NOT_HERE = "caught", "passed", "late", "not run here"

# What ninja makes for a proof besides the programs of a host; of the others `all` is made, in a variant of the build.
PROGRAMS = ["dromiod", "dromio", "dromio-sim", "examples/dromio-twin", "test/peers/gate_harness", "test/peers/http_harness"]
OWN_PROGRAMS = {"simulation": ["test/sim/simulate"], "faults": ["test/sim/faults"], "flips": ["test/sim/flips"], "slots": ["src/cell/slots"]}
ALL_PROGRAMS = ("parsers", "reproducible", "static", "threads")


def lists(root):
    return [{**mutation, "key": f"{path.stem}/{mutation['name']}"} for path in sorted((root / "test/proof/mutations").glob("*.toml")) for mutation in tomllib.loads(path.read_text())["mutation"]]


class Unfit(Exception):
    """The mutation or a catcher is wrong, and which it is."""


class Tree:
    """A copy of the repository to break, and its build. It belongs to one thread."""

    def __init__(self, proof, name):
        self.proof, self.root, self.build = proof, proof.work / name, proof.work / name / "build"
        said = proof.run("tools/setup", "--env")
        self.environment = {**os.environ, **dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in said.splitlines())}
        for word in ("DROMIO_PROVING", "DROMIO_BUILD", "DROMIO_PROOFS", "DROMIO_TEST_SET"):
            self.environment.pop(word, None)
        self.environment["DROMIO_PROOF_WORK"] = str(proof.work / f"{name}-proofs")
        self.copy()
        if not (self.build / "build.ninja").exists():
            self.must("meson", "setup", "build")
        self.must("ninja", "-C", "build", "build.ninja")
        self.tests = {test["name"]: test for test in json.loads(self.must("meson", "introspect", "--tests", "build"))}
        self.targets = {target["id"]: target for target in json.loads(self.must("meson", "introspect", "--targets", "build"))}

    def copy(self):
        """What is committed, changed and new; a file keeps its time while it stays as it is."""
        listed = subprocess.run(["git", "-C", self.proof.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True).stdout.decode().split("\0")
        for name in filter(None, listed):
            source, target = self.proof.root / name, self.root / name
            if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                shutil.copymode(source, target)
        if not (self.root / ".git").exists():  # a repository of its own: proofs ask git for what belongs to it
            subprocess.run(["git", "init", "-q", self.root], check=True)
        subprocess.run(["git", "-C", self.root, "add", "--all"], check=True)

    def run(self, *command, limit=SOUND_PATIENCE_S, folder=None, **environment):
        """(status, output); who is late is ended with all that it started."""
        process = subprocess.Popen([str(word) for word in command], cwd=folder or self.root, env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            out, _ = process.communicate(timeout=limit)
            return process.returncode, out
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.end_programs()
            out, _ = process.communicate()
            return LATE, out

    def end_programs(self):
        """Those of this tree that outlived who started them."""
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "exe").startswith(f"{self.root}/"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue  # it ended by itself, or is none of ours

    def must(self, *command):
        status, out = self.run(*command)
        if status != 0:
            raise Unfit(f"{' '.join(command)} in {self.root} ended with {status}:\n{out[-3000:]}")
        return out

    def ask(self, catcher, limit):
        """(what became of it, what it said)"""
        kind, _, name = catcher.partition(":")
        if kind == "unit":
            test = self.tests[name]
            status, out = self.run(*test["cmd"], limit=limit, folder=test["workdir"] or self.build, MALLOC_PERTURB_="165", **test["env"])
            is_here = status != SKIPPED
        elif kind == "flow":
            status, out = self.run(self.environment["DROMIO_PYTHON"], "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"test/flow/{name}", limit=limit)
            is_here = status != 0 or " passed" in out
        else:
            proof, _, part = catcher.partition(" ")
            targets = {} if proof in ALL_PROGRAMS else {"DROMIO_PROOF_TARGETS": " ".join(self.wanted(catcher))}
            status, out = self.run("tools/prove", proof, *(["--only", part] if part else []), limit=limit, **targets)
            is_here = status != 3
        return (NOT_HERE if not is_here else LATE if status == LATE else PASSED if status == 0 else CAUGHT), out

    def wanted(self, catcher):
        """What ninja has to make for it."""
        kind, _, name = catcher.partition(":")
        if kind == "unit":
            made = [self.targets[target]["filename"][0] for target in self.tests[name]["depends"] if target in self.targets]
            return [os.path.relpath(file, self.build) for file in made]
        if kind == "flow":
            return self.programs()
        if " " in catcher:  # a part of a proof builds what it needs by itself
            return ["build.ninja"]
        return ["all"] if catcher in ALL_PROGRAMS else self.programs() + OWN_PROGRAMS.get(catcher, [])

    def programs(self):
        images = [os.path.relpath(target["filename"][0], self.build) for target in self.targets.values() if target["filename"][0].endswith((".wasm", "dromiod.service"))]
        return PROGRAMS + images

    def make(self, catcher):
        status, out = self.run("ninja", "-C", "build", *self.wanted(catcher))
        if status != 0:
            errors = "\n".join(re.findall(r"^.*(?:error|Error|FAILED).*$", out, re.M)[:10]) or out[-1000:]
            raise Unfit(f"what {catcher} needs does not build:\n{errors}")


class Run:
    """All mutations that are left, in as many trees as there are CPUs."""

    def __init__(self, proof, mutations):
        self.proof, self.lock, self.done = proof, threading.Lock(), queue.Queue()
        self.left = collections.deque(mutations)
        self.sound, self.sound_locks = {}, collections.defaultdict(threading.Lock)
        self.said = proof.work / "said"
        self.said.mkdir(exist_ok=True)

    def sound_seconds(self, tree, catcher):
        """How long it takes to pass on the code as it is; None if it cannot run here."""
        with self.lock:
            lock = self.sound_locks[catcher]
        with lock:
            if catcher not in self.sound:
                tree.make(catcher)
                begun = time.monotonic()
                came, out = tree.ask(catcher, SOUND_PATIENCE_S)
                self.sound[catcher] = (came, time.monotonic() - begun)
                if came != PASSED:
                    self.keep("as-it-is", catcher, out)
        came, seconds = self.sound[catcher]
        if came in (CAUGHT, LATE):
            raise Unfit(f"{catcher} fails on the code as it is: {self.said}")
        return None if came == NOT_HERE else seconds

    def keep(self, key, catcher, out):
        (self.said / re.sub(r"[^\w.-]+", "-", f"{key}.{catcher}")).write_text(out[-20000:])

    def try_one(self, tree, mutation):
        """What became of each catcher that was asked."""
        file = tree.root / mutation["file"]
        text = file.read_text()
        if text.count(mutation["old"]) != 1:
            raise Unfit(f"its old text does not occur once in {mutation['file']}")
        came = {}
        for catcher in mutation["caught_by"]:
            seconds = self.sound_seconds(tree, catcher)
            if seconds is None:
                came[catcher] = NOT_HERE
                continue
            file.write_text(text.replace(mutation["old"], mutation["new"]))
            try:
                tree.make(catcher)
                came[catcher], out = tree.ask(catcher, patience_s(catcher) + PATIENCE_TIMES * seconds)
            finally:
                file.write_text(text)
            self.keep(mutation["key"], catcher, out)
            if came[catcher] in (CAUGHT, LATE) and not self.proof.is_long and not self.proof.only:
                break
        return came

    def work(self, name):
        try:
            tree = Tree(self.proof, name)
            while not self.proof.over():
                with self.lock:
                    mutation = self.left.popleft() if self.left else None
                if mutation is None:
                    break
                begun = time.monotonic()
                try:
                    came = self.try_one(tree, mutation)
                except Unfit as unfit:
                    came = {"unfit": str(unfit)}
                self.done.put((mutation, came, time.monotonic() - begun))
            self.done.put(None)
        except BaseException as wrong:  # goes on in the thread that waits
            self.done.put(wrong)

    def results(self):
        workers = [threading.Thread(target=self.work, args=(f"tree-{number}",), daemon=True) for number in range(os.cpu_count())]
        for worker in workers:
            worker.start()
        ended = 0
        while ended < len(workers):
            result = self.done.get()
            if isinstance(result, BaseException):
                raise result
            if result is None:
                ended += 1
            else:
                yield result


def patience_s(catcher):
    kind, is_test, _ = catcher.partition(":")
    return PATIENCE_S[kind if is_test else "proof"]


def catchers_of(came):
    return [catcher for catcher, what in came.items() if what in (CAUGHT, LATE)]


def tell(proof, found):
    """The tables: of catchers, and of mutations."""
    caught, asked = collections.Counter(), collections.Counter()
    for _, came in found.values():
        asked.update(catcher for catcher, what in came.items() if what in (CAUGHT, LATE, PASSED))
        caught.update(catchers_of(came))
    proof.table("Catchers", ["catcher", "asked", "caught"], [(catcher, asked[catcher], caught[catcher]) for catcher in sorted(asked, key=lambda each: (-caught[each], each))])
    proof.table("Mutations", ["mutation", "file", "caught by", "not by"],
                [(key, file, ", ".join(catchers_of(came)) or "**nobody**", ", ".join(f"{catcher}" for catcher, what in came.items() if what == PASSED)) for key, (file, came) in sorted(found.items())])


def run(proof):
    mutations = lists(proof.root)
    if len(mutations) < proof.wanted:
        proof.fail(f"the lists have {len(mutations)} mutations, at least {proof.wanted} are wanted")
    if proof.only:
        mutations = [mutation for mutation in mutations if fnmatch.fnmatch(mutation["key"], proof.only)]
        if not mutations:
            proof.fail(f"no mutation is called {proof.only}")
    proof.wanted = len(mutations)
    found = proof.state.setdefault("found", {})
    for mutation, came, seconds in Run(proof, [mutation for mutation in mutations if mutation["key"] not in found]).results():
        key = mutation["key"]
        found[key] = [mutation["file"], came]
        proof.say(f"{key} ({seconds:.0f} s): {', '.join(f'{catcher} {what}' for catcher, what in came.items())}{'' if catchers_of(came) else ': NOBODY CAUGHT IT'}")
        proof.count()
    tell(proof, found)
    unfit = [f"{key}: {came['unfit']}" for key, (_, came) in found.items() if "unfit" in came]
    if unfit:
        proof.fail("\n".join(unfit))
    not_here = [key for key, (_, came) in found.items() if came and set(came.values()) == {NOT_HERE}]
    proof.measured["mutations whose catchers cannot run here"] = len(not_here)
    if not_here:
        proof.remark = f"{len(not_here)} of them were not tried, as none of their catchers can run here"
        proof.table("Not tried", ["mutation"], [[key] for key in not_here])
    proof.measured["mutations caught"] = sum(bool(catchers_of(came)) for _, came in found.values())
    holes = [key for key, (_, came) in found.items() if not catchers_of(came) and key not in not_here]
    if holes:
        proof.fail("nothing caught " + ", ".join(holes))
