"""Every source file of the product is looked at by three static analysers: clang-tidy 19 (the checks of `.clang-tidy`, with clang's path analyser), gcc's `-fanalyzer`, and cppcheck. Nothing may be
said. First each of them is shown a file with known defects (`_defects.c`) and has to find them all: one that is silent because of its settings is no proof. What an analyser gets wrong is silenced
at its place with the reason beside it, or for all files in the table of docs/internals/analysis.md. A file that an analyser did not come to the end of counts as a complaint. What was said
of a file is kept by what it was made of (its preprocessed text, what silences analysers in its headers, the analyser's version and settings), so only what changed is looked at again."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

PROMISE = "Static analysis of all that ships says nothing: clang-tidy, gcc -fanalyzer, cppcheck"
UNIT = "analysers"
SHORT, LONG = 3, 3
SECONDS = 900
IN_CHECK = False
LIMITS = "tests and tools, which do not ship; generated tables; what is compiled to WebAssembly, or with other switches only; what the analysers cannot see, such as shared memory between rooms. Checks that are left out because they are mostly wrong here (docs/internals/analysis.md): clang-analyzer-optin.core.EnumCastOutOfRange; -Wanalyzer-malloc-leak; incorrectLogicOperator, uninitvar and memleak of cppcheck"

FOLDERS = ("src", "cli", "sim", "bench", "sdk")
DEFECTS = "test/proof/_defects.c"
KEPT = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dromio/analysis"
FILE_S_MAX = 900 # of one analyser for one file; the longest takes a tenth of it
SAID = re.compile(r"(warning|error): ")
SILENCED = re.compile(rb"NOLINT|cppcheck-suppress")
UNREAD = ("internalAstError", "unknownMacro", "preprocessorErrorDirective") # what cppcheck cannot parse; this and the next: docs/internals/analysis.md
LEFT_OUT = ("clang-analyzer-optin.core.EnumCastOutOfRange", "-Wanalyzer-malloc-leak", "incorrectLogicOperator", "uninitvar", "memleak")



def files(root):
    """Those that ship, with their compilation: (file, directory, arguments). A file that is compiled twice is looked at as the first."""
    seen = {}
    for each in json.loads((root / "build/compile_commands.json").read_text()):
        path = (pathlib.Path(each["directory"]) / each["file"]).resolve()
        inside = path.relative_to(root) if path.is_relative_to(root) else None
        if inside is None or inside.parts[0] not in FOLDERS or path.name.endswith("_test.c") or "test_" in path.name or path in seen:
            continue
        seen[path] = (path, each["directory"], shlex.split(each["command"]))
    return list(seen.values())


def includes(arguments):
    """What a preprocessor needs of a compilation."""
    return [word for i, word in enumerate(arguments) if word.startswith(("-I", "-D", "-std", "-isystem", "-include", "-U", "-m")) or arguments[i - 1] in ("-isystem", "-include")]


def gcc(path, arguments):
    return ["gcc", *includes(arguments), "-O1", "--param=logical-op-non-short-circuit=0", "-g0", "-fanalyzer", "-c", "-o", "/dev/null", str(path)] # else it loses what `a != NULL && b` says of a


def clang_tidy(path, arguments):
    return ["clang-tidy-19", "--quiet", str(path), "--", *includes(arguments), "-Wno-everything"]


def cppcheck(path, arguments):
    return ["cppcheck", "--quiet", "--inline-suppr", "--enable=warning,performance,portability", "--std=c11", "--platform=unix64", "--template={file}:{line}: warning: {message} [{id}]",
            "--suppress=*:*/deps/*", "--suppress=*:/usr/*", *[word for word in includes(arguments) if word.startswith(("-I", "-D"))], str(path)]


ANALYSERS = {"clang-tidy": clang_tidy, "gcc": gcc, "cppcheck": cppcheck}
PROGRAMS = {"clang-tidy": "clang-tidy-19", "gcc": "gcc", "cppcheck": "cppcheck"}


def settings(root, name):
    """Of an analyser, what a complaint depends on besides the command: its version, and what `.clang-tidy` comes to."""
    asked = [["--version"]] + ([["--dump-config", str(root / "src/main.c"), "--"]] if name == "clang-tidy" else [])
    return b"\0".join(subprocess.run([PROGRAMS[name], *words], cwd=root, capture_output=True, check=True).stdout for words in asked)


def made_of(root, path, directory, arguments):
    """The file as a compiler sees it, and as it is; and what silences analysers in its headers, which no compiler sees."""
    made = subprocess.run(["gcc", *includes(arguments), "-E", str(path)], cwd=directory, capture_output=True)
    if made.returncode != 0:
        raise OSError(made.stderr.decode(errors="replace")[-300:])
    marks = re.compile(rb'^# \d+ "(.*?)"', re.M)
    headers = {(pathlib.Path(directory) / os.fsdecode(name)).resolve() for name in marks.findall(made.stdout)} - {path}
    silenced = [line for each in sorted(headers) if each.is_relative_to(root) and each.is_file() for line in each.read_bytes().splitlines() if SILENCED.search(line)]
    text = b"\n".join(line for line in made.stdout.splitlines() if line.strip() and not line.startswith(b"#"))
    return b"\0".join([text, path.read_bytes(), *silenced]).replace(os.fsencode(root), b"")


def said_of(root, name, version, path, directory, arguments):
    """Complaints, one a line."""
    inside = path.relative_to(root)
    command = ANALYSERS[name](path, arguments)
    try:
        key = hashlib.sha256(b"\0".join([version, " ".join(command).replace(str(root), "").encode(), made_of(root, path, directory, arguments)])).hexdigest()
        kept = KEPT / name / key
        if kept.exists():
            return kept.read_text()
        ran = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=FILE_S_MAX)
    except (OSError, subprocess.TimeoutExpired) as why:
        return f"{inside}: error: {name} did not look at it: {why}"
    said = "\n".join(line.replace(f"{root}/", "").replace("../", "") for line in ran.stdout.splitlines() if SAID.search(line))
    if ran.returncode != 0: # not kept: it may have been killed
        return f"{said}\n{inside}: error: {name} ended with {ran.returncode}: {ran.stdout[-300:]}".strip()
    kept.parent.mkdir(parents=True, exist_ok=True)
    new = kept.with_suffix(f".{os.getpid()}")
    new.write_text(said)
    new.rename(kept)
    return said


def is_about(line, names):
    return line.endswith(tuple(f"[{name}]" for name in names))


def overlooked(root, name, version):
    """Known defects that an analyser says nothing of."""
    path = root / DEFECTS
    said = said_of(root, name, version, path, str(root), ["-std=gnu11", "-D_GNU_SOURCE"])
    return [f"{DEFECTS}:{number}" for number, line in enumerate(path.read_text().splitlines(), 1)
            if (mark := re.search(r"/\* ([a-z -]+) \*/$", line)) and name in mark[1].split() and f"{DEFECTS}:{number}:" not in said]


def run(proof):
    for program in PROGRAMS.values():
        if shutil.which(program) is None:
            proof.unavailable(f"there is no {program}: tools/setup --prove")
    chosen = files(proof.root)
    if len(chosen) < 100:
        proof.fail(f"only {len(chosen)} files were found to look at")
    found = []
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name in ANALYSERS:
            version = settings(proof.root, name)
            if missed := overlooked(proof.root, name, version):
                proof.fail(f"{name} says nothing of known defects: {', '.join(missed)}")
            said = {line for each in pool.map(lambda each: said_of(proof.root, name, version, *each), chosen) for line in each.splitlines()}
            lines = sorted(line for line in said if not is_about(line, UNREAD + LEFT_OUT))
            proof.say(f"{name}: {len(chosen)} files, {len(lines)} complaints")
            proof.measured[f"{name}, files"] = len(chosen)
            if name == "cppcheck":
                proof.measured[f"{name}, of them not read to the end"] = len({line.split(":")[0] for line in said if is_about(line, UNREAD)})
            (proof.work / f"{name}.txt").write_text("\n".join(lines) + "\n")
            found += lines
            proof.count()
    if found:
        proof.fail("\n".join(found))
