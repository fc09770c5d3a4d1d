"""What is in a build, told in SPDX: every library that a program loads is there, and what it says of files is true."""
import hashlib
import json
import os
import pathlib
import re
import shutil
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


def package_of(told, name):
    return next(package for package in told["packages"] if package["name"] == name)


def references(package):
    return {each["referenceType"]: each["referenceLocator"] for each in package["externalRefs"]}


def test_what_was_fetched_is_told_as_it_is_pinned(told):
    pinned = (ROOT / "tools/setup").read_text()
    for name in ("yyjson", "llhttp"):
        package = package_of(told, name)
        assert package["checksums"][0]["checksumValue"] in pinned
        assert f"fetch {name}=={re.search(r'pkg:pypi/.+@([0-9.]+)', package['sourceInfo'])[1]} {package['packageFileName']} " in pinned


def test_the_versions_are_those_that_the_libraries_say_of_themselves(told):
    """Not those of the bindings that they are cut from: advisories know the upstream alone."""
    deps = pathlib.Path(os.environ.get("DROMIO_DEPS") or pathlib.Path.home() / ".cache/dromio/deps")
    header = (deps / "include/yyjson.h").read_text()
    yyjson = re.search(r'#define YYJSON_VERSION_STRING "(.+)"', header)[1]
    header = (deps / "include/llhttp.h").read_text()
    llhttp = ".".join(re.search(rf"#define LLHTTP_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    assert package_of(told, "yyjson")["versionInfo"] == yyjson and package_of(told, "llhttp")["versionInfo"] == llhttp
    engine = package_of(told, "wasmtime")["versionInfo"]
    library = re.search(r"libwasmtime\.so => (\S+)", subprocess.run(["ldd", BUILD / "dromiod"], capture_output=True, text=True, timeout=60).stdout)[1]
    major = engine.split(".")[0].encode()
    assert set(re.findall(rb"(?<![\d.])" + major + rb"\.\d+\.\d+(?![\d.])", pathlib.Path(library).read_bytes())) == {engine.encode()}
    assert references(package_of(told, "yyjson"))["purl"] == f"pkg:github/ibireme/yyjson@{yyjson}"
    assert references(package_of(told, "llhttp")) == {"purl": f"pkg:github/nodejs/llhttp@v{llhttp}", "cpe23Type": f"cpe:2.3:a:llhttp:llhttp:{llhttp}:*:*:*:*:*:*:*"}
    assert references(package_of(told, "wasmtime")) == {"purl": f"pkg:github/bytecodealliance/wasmtime@v{engine}",
                                                       "cpe23Type": f"cpe:2.3:a:bytecodealliance:wasmtime:{engine}:*:*:*:*:*:*:*"}


def test_the_other_engine_is_told_by_its_crate():
    made = subprocess.run([ROOT / "tools/sbom", "--build", BUILD, "--engine", "lts"], capture_output=True, text=True, timeout=120)
    package = package_of(json.loads(made.stdout), "wasmtime")
    assert package["versionInfo"] == re.search(r'^version = "(.+)"', (ROOT / "tools/engine-lts/Cargo.toml").read_text(), re.M)[1]
    assert package["checksums"][0]["checksumValue"] in (ROOT / "tools/engine-lts/Cargo.lock").read_text() and "crate" in package["sourceInfo"]


def test_what_dromiod_runs_is_told(told):
    """Every program that its sources execute by name."""
    sources = [path for path in (ROOT / "src").rglob("*.c") if not path.name.endswith("_test.c")]
    executed = {name for path in sources for name in re.findall(r'\bexec(?:l|v)pe?\("([^"]+)"', path.read_text())}
    needed = [relation["spdxElementId"] for relation in told["relationships"]
              if relation["relationshipType"] == "RUNTIME_DEPENDENCY_OF" and relation["relatedSpdxElement"] == "SPDXRef-dromio"]
    packages = [package for package in told["packages"] if package["SPDXID"] in needed]
    assert executed == {"wasm-validate"} and {name for name in executed if any(name in package["sourceInfo"] for package in packages)} == executed
    of = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "wabt"], capture_output=True, text=True) if shutil.which("dpkg-query") else None
    if of is None or of.returncode != 0:
        pytest.skip("wabt is no package here")
    wabt = package_of(told, "wabt")
    assert wabt["versionInfo"] == of.stdout and references(wabt)["purl"].startswith("pkg:deb/")


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


def test_the_build_wrote_it(told):
    written = json.loads((BUILD / "dromio.spdx.json").read_text())
    written["creationInfo"] = told["creationInfo"]  # the commit may have changed since
    assert written == told


def test_what_is_not_built_is_said(tmp_path):
    ran = subprocess.run([ROOT / "tools/sbom", "--build", tmp_path], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "run tools/build" in ran.stderr
