"""The product is built twice from the same sources by the pinned tools: in directories of different names and depths, with other time zones, locales, user names, umasks, numbers of jobs and file
times, the second time without any compiler cache. What both install (programs, images, headers, pages) has the same bytes, and so has the list of what is in it (SPDX)."""
import hashlib
import os
import pathlib
import shutil
import subprocess

PROMISE = "The same sources make the same bytes: programs, images, and the list of what is in them"
UNIT = "builds"
SHORT, LONG = 2, 2
SECONDS = 240
IN_CHECK = False
LIMITS = "another compiler, another version of a library, or libraries of tools/setup in another directory than ~/.cache/dromio (DROMIO_DEPS)"

SECOND = {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "USER": "somebody", "LOGNAME": "somebody", "CCACHE_DISABLE": "1", "SOURCE_DATE_EPOCH": ""}


def installed(proof, name, environment, umask, jobs):
    tree = proof.work / name
    shutil.rmtree(tree, ignore_errors=True)
    tree.parent.mkdir(parents=True, exist_ok=True)
    proof.run("git", "-C", proof.root, "worktree", "prune")
    listed = subprocess.run(["git", "-C", proof.root, "ls-files", "-z"], capture_output=True, check=True).stdout
    for path in filter(None, listed.decode().split("\0")):
        if (proof.root / path).is_file():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(proof.root / path, tree / path)
            shutil.copymode(proof.root / path, tree / path)
    said = proof.run("tools/setup", "--env")
    wanted = {**os.environ, **dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in said.splitlines()), **environment}
    if not wanted.get("SOURCE_DATE_EPOCH"):
        wanted.pop("SOURCE_DATE_EPOCH", None)
    old = os.umask(umask)
    try:
        proof.run("meson", "setup", tree / "out", tree, env=wanted)
        proof.run("ninja", "-C", tree / "out", "-j", str(jobs), *([proof.only] if proof.only else []), env=wanted)
        if proof.only is None:
            proof.run("meson", "install", "-C", tree / "out", "--no-rebuild", "--destdir", tree / "installed", env=wanted)
    finally:
        os.umask(old)
    if proof.only:
        return {proof.only: hashlib.sha256((tree / "out" / proof.only).read_bytes()).hexdigest()}
    root = tree / "installed"
    sums = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()}
    assert any(name.endswith("dromio.spdx.json") for name in sums), "no list of what is in it"
    for path in sorted((tree / "out/examples").glob("*.wasm")):
        sums[f"image {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums


def run(proof):
    first = installed(proof, "one", {"TZ": "UTC"}, 0o022, 2)
    proof.count()
    second = installed(proof, "another/somewhat/deeper", SECOND, 0o077, 1)
    proof.count()
    if proof.only is None and (len(first) < 20 or not any(name.startswith("image") for name in first)):
        proof.fail(f"only {len(first)} files are installed")
    differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differ:
        proof.fail(f"not the same in both, or in one only (trees kept in {proof.work}): " + ", ".join(differ))
    proof.measured["files compared"] = len(first)
    programs = [name for name in first if "/bin/" in name] + [name for name in first if name.startswith("image")]
    proof.table("SHA-256 of what was built", ["file", "sha256"], [(name, first[name]) for name in programs])
    shutil.rmtree(proof.work)
