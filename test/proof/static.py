"""Every source file of the product is looked at by three static analysers: clang-tidy 19 (the checks of `.clang-tidy`, with clang's path analyser), gcc's `-fanalyzer`, and cppcheck. Nothing may be
said. What an analyser gets wrong is silenced at its place with the reason beside it, or for all files in the table of docs/internals/analysis.md. What was said of a file is kept by what it was made
of (its preprocessed text, the analyser's version and settings), so only what changed is looked at again."""
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
SECONDS = 2400
IN_CHECK = False
LIMITS = "tests and tools, which do not ship; generated tables; what the analysers cannot see, such as shared memory between rooms"

FOLDERS = ("src", "cli", "sim", "bench", "sdk")
KEPT = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dromio/analysis"
SAID = re.compile(r"(warning|error): ")
CPPCHECK_BLIND = ("internalAstError", "unknownMacro", "preprocessorErrorDirective", "incorrectLogicOperator", "uninitvar", "memleak") # docs/internals/analysis.md


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
    return [word for i, word in enumerate(arguments) if word.startswith(("-I", "-D", "-std", "-isystem", "-U", "-m")) or arguments[i - 1] in ("-isystem", "-include")]


def gcc(path, arguments):
    return ["gcc", *includes(arguments), "-O1", "-g0", "-fanalyzer", "-w", *[f"-Wanalyzer-{name}" for name in GCC], "-c", "-o", "/dev/null", str(path)]


GCC = ("double-fclose", "double-free", "exposure-through-output-file", "file-leak", "free-of-non-heap", "malloc-leak", "mismatching-deallocation", "null-argument", "null-dereference",
       "possible-null-argument", "possible-null-dereference", "shift-count-negative", "shift-count-overflow", "stale-setjmp-buffer", "unsafe-call-within-signal-handler", "use-after-free",
       "use-of-pointer-in-stale-stack-frame", "use-of-uninitialized-value", "write-to-const", "write-to-string-literal", "fd-leak", "fd-double-close", "fd-use-after-close", "fd-use-without-check",
       "fd-access-mode-mismatch")


def clang_tidy(path, arguments):
    return ["clang-tidy-19", "--quiet", str(path), "--", *includes(arguments), "-Wno-everything"]


def cppcheck(path, arguments):
    blind = [f"--suppress={name}" for name in CPPCHECK_BLIND]
    return ["cppcheck", "--quiet", "--inline-suppr", "--enable=warning,performance,portability", "--std=c11", "--platform=unix64", "--template={file}:{line}: warning: {message} [{id}]", *blind,
            "--suppress=*:*/deps/*", "--suppress=*:/usr/*", *[word for word in includes(arguments) if word.startswith(("-I", "-D"))], str(path)]


ANALYSERS = {"clang-tidy": (clang_tidy, ["clang-tidy-19", "--version"]), "gcc": (gcc, ["gcc", "--version"]), "cppcheck": (cppcheck, ["cppcheck", "--version"])}


def preprocessed(path, directory, arguments):
    made = subprocess.run(["gcc", *includes(arguments), "-E", "-P", str(path)], cwd=directory, capture_output=True)
    return made.stdout + path.read_bytes()


def said_of(name, version, path, directory, arguments, root):
    command = ANALYSERS[name][0](path, arguments)
    settings = (root / ".clang-tidy").read_bytes() if name == "clang-tidy" else b""
    key = hashlib.sha256(b"\0".join([version, " ".join(command).replace(str(root), "").encode(), settings, preprocessed(path, directory, arguments)])).hexdigest()
    kept = KEPT / name / key
    if kept.exists():
        return kept.read_text()
    ran = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    said = "\n".join(line.replace(f"{root}/", "").replace("../", "") for line in ran.stdout.splitlines() if SAID.search(line))
    if ran.returncode not in (0, 1) and not said:
        said = f"{path.relative_to(root)}: error: {name} ended with {ran.returncode}: {ran.stdout[-300:]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.with_suffix(f".{os.getpid()}").write_text(said)
    kept.with_suffix(f".{os.getpid()}").rename(kept)
    return said


def run(proof):
    for program in ("clang-tidy-19", "gcc", "cppcheck"):
        if shutil.which(program) is None:
            proof.unavailable(f"there is no {program}: tools/setup --prove")
    proof.built()
    chosen = files(proof.root)
    if len(chosen) < 100:
        proof.fail(f"only {len(chosen)} files were found to look at")
    found = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (_, ask) in ANALYSERS.items():
            version = subprocess.run(ask, capture_output=True).stdout
            lines = set()
            for said in pool.map(lambda each: said_of(name, version, *each, proof.root), chosen):
                lines.update(said.splitlines())
            proof.say(f"{name}: {len(chosen)} files, {len(lines)} complaints")
            proof.measured[f"{name}, files"] = len(chosen)
            (proof.work / f"{name}.txt").write_text("\n".join(sorted(lines)) + "\n")
            found += sorted(lines)
            proof.count()
    if found:
        proof.fail("\n".join(found))
