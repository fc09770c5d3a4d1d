"""What `meson install` brings holds together: documents lead only to what is installed too, and the list of parts is of those files."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import pytest
from test_documents import anchors

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    if shutil.which("meson") is None:
        pytest.skip("meson is not here")
    place = tmp_path_factory.mktemp("installed")
    ran = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", place], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    yield next(place.rglob("bin/dromiod")).parents[1]
    shutil.rmtree(place)


def test_every_link_of_an_installed_document_leads_to_an_installed_one(prefix):
    folder = prefix / "share/doc/dromio"
    pages = sorted(folder.rglob("*.md"))
    assert {"README.md", "SECURITY.md", "docs/operations.md", "docs/decisions/010-transport.md"} <= {str(page.relative_to(folder)) for page in pages}
    dead = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            is_here = there.exists() and there.is_relative_to(prefix.resolve())
            if not re.match(r"[a-z]+:", target) and (not is_here or (anchor and anchor not in anchors(there))):
                dead.append(f"{page.relative_to(folder)}: {target}")
    assert dead == []


def test_the_list_of_parts_is_of_the_installed_files(prefix):
    told = json.loads((prefix / "share/doc/dromio/dromio.spdx.json").read_text())
    files = {file["fileName"]: file for file in told["files"]}
    assert {"./bin/dromiod", "./bin/dromio", "./share/dromio/examples/thermo.wasm"} <= files.keys() and any("libwasmtime" in name for name in files)
    for name, file in files.items():
        sums = {sum["algorithm"]: sum["checksumValue"] for sum in file["checksums"]}
        assert sums["SHA256"] == hashlib.sha256((prefix / name).read_bytes()).hexdigest(), name
