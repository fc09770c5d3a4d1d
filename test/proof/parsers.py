"""Every reader of foreign bytes has a libFuzzer program (in `test/fuzz`) that is run under AddressSanitizer,
LeakSanitizer and UndefinedBehaviorSanitizer, from its corpus on, with a dictionary of the words that the reader knows.
A crash, a failed check of the target, a leak, an input of more than 10 s or 2 GiB breaks the proof; the input is kept
in `.proof/found` and named. The short form gives each target 20 s of CPU beyond what reading its corpus takes (both
are measured, and it goes on until it had them), the long one 10^9 executions; what it finds new goes into corpora that
are kept from slice to slice and merged. That nothing was found shows no more than that: it is a search, not a
demonstration. The table says how much of its reader a target reaches."""
import concurrent.futures
import math
import os
import pathlib
import re
import shutil
import subprocess
import time

import _dictionaries as dictionaries
from _fuzz_targets import TARGETS

PROMISE = "No bytes from outside, of another room or of a file lead a reader to a crash, a leak, a hang or memory without bound"
UNIT = "executions"
EACH = 1_000_000_000
SHORT, LONG = 40, 40_000_000_000  # targets; executions
SECONDS = 500
IN_CHECK = False
LIMITS = ("Libraries (llhttp, yyjson, OpenSSL, libcurl, SQLite, wasmtime) are run as they are, without sanitizers inside. HTTP/2 is not spoken: its preface is bytes to HTTP/1. "
          "The network's answers over TLS are read by the same code as those without.")

SHORT_S, SLICE_S, AT_ONCE = 20, 60, 2
TRIES = 20  # on a machine that others use a run of 20 s has fewer of CPU
INPUT_S, MEMORY_MB, CORPUS_FILES_MAX = 10, 2048, 4000
ENVIRONMENT = {
    "ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:use_sigaltstack=0:detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def programs(directory):
    return {path.name.removesuffix("_fuzz"): path for path in directory.rglob("*_fuzz") if path.is_file() and os.access(path, os.X_OK)}


def counted(output):
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    return int(found.group(1)) if found else 0


def reached(output):
    """Edges of the program and features that were seen, at the end and when the corpus had been read."""
    marks = re.findall(r"(INITED|NEW|REDUCE|pulse|DONE)\s+cov: (\d+) ft: (\d+)", output)
    first = next((int(edges) for kind, edges, _ in marks if kind == "INITED"), 0)
    return first, max((int(edges) for _, edges, _ in marks), default=0)


class Target:
    """One libFuzzer program with its corpora, of a run of the proof."""

    def __init__(self, proof, name, program):
        self.proof, self.name, self.program = proof, name, program
        self.own = proof.work / "corpus" / name  # what it finds
        self.found = proof.root / ".proof" / "found" / name
        self.given = proof.root / "test/fuzz/corpus" / name
        self.first = self.reached = 0
        self.broken = ""
        self.own.mkdir(parents=True, exist_ok=True)
        given = [path.stat().st_size for path in self.given.iterdir()]
        self.bytes = max([TARGETS[name].get("bytes", 4096)] + given)
        self.words = proof.work / "words" / name
        self.words.parent.mkdir(parents=True, exist_ok=True)
        self.words.write_text(dictionaries.of(proof.root, TARGETS[name]))

    def begin(self, seconds, seed, runs=-1):
        self.found.mkdir(parents=True, exist_ok=True)
        self.log = self.proof.work / f"{self.name}.log"
        self.before = set(self.found.iterdir())
        command = [self.program, self.own, self.given, f"-max_total_time={seconds}", f"-seed={seed % 2**32}", f"-runs={runs}", f"-timeout={INPUT_S}", f"-rss_limit_mb={MEMORY_MB}",
                   f"-artifact_prefix={self.found}/", "-print_final_stats=1", f"-max_len={self.bytes}"]
        command += ["-close_fd_mask=2"] if TARGETS[self.name].get("is_loud") else []
        command += [f"-dict={self.words}"] if self.words.stat().st_size > 0 else []
        self.begun = time.monotonic()
        self.process = subprocess.Popen(list(map(str, command)), stdout=self.log.open("wb"), stderr=subprocess.STDOUT, env={**os.environ, **ENVIRONMENT}, cwd=self.proof.work)
        return self

    def end(self):
        """How many executions; what was wrong is in `broken`, with the input that did it."""
        _, waited, used = os.wait4(self.process.pid, 0)
        self.wall_s, self.cpu_s = time.monotonic() - self.begun, used.ru_utime + used.ru_stime
        status = self.process.returncode = os.waitstatus_to_exitcode(waited)
        output = self.log.read_text(errors="replace")
        self.first, self.reached = reached(output)
        new = sorted(set(self.found.iterdir()) - self.before)
        if status != 0 or new or self.first == 0:
            inputs = ", ".join(str(path) for path in new) or "none was kept"
            said = "\n".join(line for line in output.splitlines() if not line.startswith("#"))
            self.broken = (f"{self.name} ended with {status}; input: {inputs}. Again: {' '.join(f'{key}={value}' for key, value in ENVIRONMENT.items())} {self.program} INPUT\n{said[-3000:]}")
        return counted(output)

    def merge(self):
        """Fewer inputs that reach the same."""
        if len(list(self.own.iterdir())) <= CORPUS_FILES_MAX:
            return
        smaller = self.own.with_name(self.name + ".merged")
        shutil.rmtree(smaller, ignore_errors=True)
        smaller.mkdir()
        done = subprocess.run([self.program, "-merge=1", f"-timeout={INPUT_S}", f"-artifact_prefix={self.found}/", smaller, self.own, self.given], capture_output=True, env={**os.environ, **ENVIRONMENT})
        if done.returncode == 0:
            shutil.rmtree(self.own)
            smaller.rename(self.own)


def table(proof, targets, executions):
    rows = [(name, TARGETS[name]["reads"], len(list(target.given.iterdir())), executions.get(name, 0), target.first, target.reached) for name, target in targets.items() if name in executions]
    proof.table("Targets", ("target", "reads", "inputs given", "executions", "edges with those", "edges at the end"), rows)


def beyond_corpus(proof, target, number):
    """(executions, seconds of CPU beyond those of the corpus): its corpus alone, then until it had its time."""
    target.begin(0, proof.seed_of(number), runs=0).end()
    corpus, had, executions = (target.wall_s, target.cpu_s), 0.0, 0
    for again in range(TRIES):
        if target.broken or had >= SHORT_S:
            break
        wall = math.ceil(corpus[0] + (SHORT_S - had) * 1.02)  # libFuzzer counts from its start on, and whole seconds
        executions += target.begin(wall, proof.seed_of(number + again * len(TARGETS))).end()
        had += max(target.cpu_s - corpus[1], 0)
    if had < SHORT_S and not target.broken:
        target.broken = f"{target.name} had only {had:.1f} s of CPU in {TRIES} runs"
    return executions, had


def short(proof, targets):
    """All of them, also behind one that breaks."""
    proof.unit = "targets"
    executions, had = {}, {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(beyond_corpus, proof, target, number): target for number, target in enumerate(targets.values())}
        for one in concurrent.futures.as_completed(running):
            target = running[one]
            executions[target.name], had[target.name] = one.result()
            if target.broken:
                proof.say(target.broken.splitlines()[0])
            else:
                proof.count()
    proof.measured["executions"] = sum(executions.values())
    proof.measured["least CPU time of a target beyond its corpus, s"] = round(min(had.values()), 1)
    proof.measured["CPU time of all targets beyond their corpora, s"] = round(sum(had.values()))
    table(proof, targets, executions)
    broken = [target.broken for target in targets.values() if target.broken]
    if broken:
        proof.fail("\n\n".join(broken))


def long(proof, targets):
    """The targets with the fewest executions are next, so that all go on together."""
    executions = proof.state.setdefault("executions", {})
    proof.state.setdefault("slices", 0)
    while not proof.over():
        behind = sorted((name for name in targets if executions.get(name, 0) < EACH), key=lambda name: executions.get(name, 0))[:AT_ONCE]
        if not behind:
            break
        for name in behind:
            proof.state["slices"] += 1
            targets[name].begin(SLICE_S, proof.seed_of(proof.state["slices"]), EACH - executions.get(name, 0))
        for name in behind:
            done = min(targets[name].end(), EACH - executions.get(name, 0))
            if not targets[name].broken:
                executions[name] = executions.get(name, 0) + done
                targets[name].merge()
                proof.count(done)
        proof.measured["fewest executions of a target"] = min(executions.get(name, 0) for name in targets)
        proof.measured["most executions of a target"] = max(executions.values(), default=0)
        table(proof, targets, executions)
        broken = [targets[name].broken for name in behind if targets[name].broken]
        if broken:
            proof.fail("\n\n".join(broken))


def run(proof):
    built = programs(proof.built("fuzz"))
    if set(built) != set(TARGETS) or len(TARGETS) != SHORT:
        proof.fail(f"programs and test/proof/_fuzz_targets.py differ: {sorted(set(built) ^ set(TARGETS))}, {len(TARGETS)} of {SHORT}")
    written = {path.name.removesuffix("_fuzz.c") for path in (proof.root / "test/fuzz").glob("*_fuzz.c")}
    if written != set(built):
        proof.fail(f"not built or not there: {sorted(written ^ set(built))}")
    only = os.environ.get("DROMIO_FUZZ_ONLY", "")  # for whoever looks into one of them
    targets = {name: Target(proof, name, built[name]) for name in sorted(TARGETS) if only in ("", name)}
    (long if proof.is_long else short)(proof, targets)
