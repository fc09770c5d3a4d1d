"""Which branches of the code that reads foreign bytes, keeps the log, holds keys and budgets are taken by tests: the unit
tests, the corpora of the fuzz targets, the simulation, and some flow tests of real programs, all in a build by clang 19 that
counts both ways of each condition (short form: 95 % of a group's) and whether each condition was shown to decide by itself
(MC/DC; long form: as many as there are, so it ends when all are). Asserts are left out of that build: what they claim is no branch of the program. Rooms end
by _exit, which writes no counts: in this build it does for gates and cores; the confined rooms, which can open no file, count
through the tests that run their code in one process. The table names each file; a file below 95 % is named also where its group is above."""
import json
import os
import pathlib
import re
import subprocess

PROMISE = "Tests take both ways of nearly every branch of parsers, log, vault and budgets"
UNIT = "groups of files"
SHORT, LONG = 4, 4
SECONDS = 400
IN_CHECK = False
LIMITS = "Coverage says what tests run, not that they would notice; the mutations say that. Code that is made by wasmtime, and the few decisions clang 19 cannot take apart for MC/DC, are not in it. Of the readers that `parsers` fuzzes these are in no group: Diameter connections and what a gate makes of network nodes' messages (src/gate: diameter*, s6t*, t6a, report, trigger), answers of other HTTP servers (courier, publisher), websockets but their frames, forms of tokens (oauth), ring messages of gate and core (reply, fan, src/core/api*), configuration words (src/host/config), the charging journal (src/ledger), views of SQL (src/desk: view, aggregate), and all of the command line (cli: archives, images, events, texts)."

WANTED = 95.0
GROUPS = {
    "parsers": (r"src/wire/.*\.c", r"src/gate/(block|body|capif_body|connection|fields|form|join|jwt|nidd_body|parse|query|request|route|scope|t8_body|target|token|description)\.c",
                r"src/base/(toml|utf8|base64)\.c", r"src/base/(cursor|builder|fields)\.h", r"src/twin/(model.*|effect|t8.*|value|nidd|apn|plmn|identifier|charge|trigger)\.c",
                r"src/cell/(wasm.*|validator|rewrite|artifact|context)\.c", r"src/desk/(sql_text|plain|range)\.c", r"src/ring/ring\.c"),
    "log": (r"src/store/.*\.c", r"src/core/(record|apply)\.c"),
    "vault": (r"src/core/vault.*\.c",),
    "budgets": (r"src/core/(budget|conduct|stops|api_stops)\.c", r"src/twin/budget\.c",),
}
NOT_PRODUCT = re.compile(r".*(_test|_fuzz|_model|_sample|_fake)\.c$|.*/disk_memory\.c$")  # scaffolding of tests beside the code
FLOWS = ("test_http_protocol.py", "test_http_api.py", "test_nidd.py", "test_capif.py", "test_tokens.py", "test_monitoring.py", "test_backup.py", "test_twins.py", "test_uplinks.py", "test_cold.py", "test_damage.py")
TOOLS = "-19"
TOO_LONG = {"crash"}  # without optimisation; what it reaches the others do too


def programs(build):
    return sorted(path for path in build.rglob("*") if path.is_file() and os.access(path, os.X_OK) and (path.name.endswith(("_test", "_replay")) or path.name in ("dromiod", "dromio")))


def tests(proof, build, profiles):
    """Unit tests, corpora, simulation. A failing one breaks the proof: what is covered must hold too."""
    environment = {**os.environ, "LLVM_PROFILE_FILE": f"{profiles}/unit-%8m.profraw"}
    listed = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--no-suite", "flow", "--no-suite", "long", "--list"], capture_output=True, text=True, check=True).stdout
    names = [line.split(" / ")[-1] for line in listed.splitlines() if line.strip() and not line.startswith("ninja")]
    proof.measured["unit tests and corpora"] = len([name for name in names if name not in TOO_LONG])
    proof.run("meson", "test", "-C", build, "--no-rebuild", "--num-processes", "2", "--timeout-multiplier", "5", "--no-suite", "flow", "--no-suite", "long",
              *(name for name in names if name not in TOO_LONG), env=environment)


def flows(proof, build, profiles):
    """The whole host, in the build that counts."""
    there = [name for name in FLOWS if (proof.root / "test/flow" / name).exists()]
    before = dict(os.environ)
    os.environ.update(LLVM_PROFILE_FILE=f"{profiles}/flow-%4m.profraw", DROMIO_BUILD=str(build), DROMIO_TEST_STOP="1")
    try:
        proof.measured["flow tests"] = proof.pytest("-m", "not long", *(f"test/flow/{name}" for name in there))
    finally:
        os.environ.clear()
        os.environ.update(before)


def exported(proof, build, profiles, *options):
    together = proof.work / "all.profdata"
    raw = sorted(profiles.glob("*.profraw"))
    proof.run(f"llvm-profdata{TOOLS}", "merge", "-sparse", "-failure-mode=all", "-o", together, *raw)
    first, *others = programs(build)
    command = [f"llvm-cov{TOOLS}", "export", first, *(f"-object={path}" for path in others), f"-instr-profile={together}", "-skip-expansions", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        proof.fail(done.stderr[-3000:])
    return json.loads(done.stdout)["data"][0]["files"]


def percent(covered, count):
    return 100.0 * covered / count if count else 100.0


def missing(one):
    """Lines whose condition went one way only, or never."""
    lines = {}
    for line, _, _, _, taken, not_taken, *_ in one.get("branches", []):
        seen = lines.setdefault(line, [0, 0])
        seen[0] += taken == 0
        seen[1] += not_taken == 0
    return [f"{line}:{'never true' if taken and not other else 'never false' if other and not taken else 'never'}" for line, (taken, other) in sorted(lines.items()) if taken or other]


def judge(proof, files):
    rows, under, groups = [], [], {}
    gaps = []
    for group, patterns in GROUPS.items():
        sums = [0, 0, 0, 0]
        for one in sorted(files, key=lambda each: each["filename"]):
            name = os.path.relpath(one["filename"], proof.root)
            if NOT_PRODUCT.match(name) or not any(re.fullmatch(pattern, name) for pattern in patterns):
                continue
            branches, conditions = one["summary"]["branches"], one["summary"]["mcdc"]
            for at, count in enumerate((branches["covered"], branches["count"], conditions["covered"], conditions["count"])):
                sums[at] += count
            share = percent(branches["covered"], branches["count"])
            rows.append((group, name, branches["count"], branches["covered"], f"{share:.1f}", conditions["count"], conditions["covered"], f"{percent(conditions['covered'], conditions['count']):.1f}"))
            if share < WANTED:
                under.append(f"{name} {share:.1f}")
            gaps += [f"{name}:{where}" for where in missing(one)]
        groups[group] = sums
    (proof.work / "missing.txt").write_text("\n".join(gaps) + "\n")
    proof.table("Branches and conditions", ("group", "file", "branches", "taken", "%", "MC/DC conditions", "shown", "%"), rows)
    return groups, under


def run(proof):
    build = proof.built("coverage")
    profiles = proof.work / "profiles"
    profiles.mkdir(exist_ok=True)
    for old in profiles.iterdir():
        old.unlink()
    tests(proof, build, profiles)
    if not os.environ.get("DROMIO_COVERAGE_QUICK"):  # for whoever writes tests: the flow tests take longest
        flows(proof, build, profiles)
    groups, under = judge(proof, exported(proof, build, profiles))
    low = []
    for group, (taken, branches, shown, conditions) in groups.items():
        of = percent(taken, branches)
        proof.measured[f"{group}: branches taken in %"] = round(percent(taken, branches), 2)
        proof.measured[f"{group}: MC/DC conditions shown in %"] = round(percent(shown, conditions), 2)
        if branches == 0:
            low.append(f"{group}: there are no such files")
        elif not proof.is_long and of < WANTED:
            low.append(f"{group}: {of:.1f} %")
        elif not proof.is_long:
            proof.count()
    if proof.is_long: # of each look anew: all conditions there are, and those shown
        proof.unit, proof.done = "conditions (MC/DC)", 0
        proof.wanted = sum(conditions for _, _, _, conditions in groups.values())
        proof.count(sum(shown for _, _, shown, _ in groups.values()))
    if low:
        proof.fail("; ".join(low) + f"\nFiles below {WANTED:.0f} % of branches: " + (", ".join(under) or "none"))
