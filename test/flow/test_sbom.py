"""What is in a build, told in SPDX: every library that a program loads is there, and what it says of files is true."""
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


@pytest.fixture(scope="module")
def told():
    made = subprocess.run([ROOT / "tools/sbom", "--build", BUILD], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_every_library_is_named_with_its_version(told):
    linked = subprocess.run(["ldd", BUILD / "dromiod"], capture_output=True, text=True, timeout=60).stdout
    libraries = {line.split()[0] for line in linked.splitlines() if "=> /" in line}
    said = " ".join(package.get("sourceInfo", "") + " lib" + package["name"] + ".so" for package in told["packages"])
    assert libraries and not [library for library in libraries if library not in said]
    versions = {package["name"]: package["versionInfo"] for package in told["packages"]}
    pinned = (ROOT / "tools/setup").read_text()
    assert versions["wasmtime"] == re.search(r"wasmtime_version=(\S+)", pinned)[1]
    for name in ("yyjson", "llhttp"):
        assert f"fetch {name}=={versions[name]} " in pinned
        package = next(package for package in told["packages"] if package["name"] == name)
        assert package["checksums"][0]["checksumValue"] in pinned


def test_files_have_the_checksums_that_are_told(told):
    assert {"./dromiod", "./dromio", "./examples/thermo.wasm"} <= {file["fileName"] for file in told["files"]}
    for file in told["files"]:
        sums = {sum["algorithm"]: sum["checksumValue"] for sum in file["checksums"]}
        assert sums["SHA256"] == hashlib.sha256((BUILD / file["fileName"]).read_bytes()).hexdigest()


def test_the_document_holds_together(told):
    """What SPDX 2.3 asks of ids, references and the code over all files (clauses 7.9 and 11)."""
    ids = [each["SPDXID"] for each in [told, *told["packages"], *told["files"]]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in ids)
    for relation in told["relationships"]:
        assert relation["spdxElementId"] in ids and relation["relatedSpdxElement"] in ids
    own = next(package for package in told["packages"] if package["name"] == "dromio")
    sums = sorted(sum["checksumValue"] for file in told["files"] for sum in file["checksums"] if sum["algorithm"] == "SHA1")
    assert own["packageVerificationCode"]["packageVerificationCodeValue"] == hashlib.sha1("".join(sums).encode()).hexdigest()


def test_the_same_build_says_the_same(told):
    again = subprocess.run([ROOT / "tools/sbom", "--build", BUILD], capture_output=True, text=True, timeout=120)
    assert json.loads(again.stdout) == told


def test_what_is_not_built_is_said(tmp_path):
    ran = subprocess.run([ROOT / "tools/sbom", "--build", tmp_path], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "run tools/build" in ran.stderr
