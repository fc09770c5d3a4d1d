"""The number of a data directory's layout: what another dromiod cannot read it refuses, and says so; nothing is touched."""
import subprocess

import pytest
from host import DROMIOD, LIMIT_S, Host
from test_backup import dromio, is_refused, restore, restored_host, rewritten, take


def starts(directory, *settings):
    words = [str(DROMIOD), "--data", str(directory), *(word for setting in settings for word in ("--set", setting))]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)


def files_of(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", params=["host.cores=1", "host.cores=3"])
def stopped(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("layout")
    with Host(request.param, directory=directory) as host:
        host.admin.put_twin("l@acme.example")
        take(host, directory / "b.tar")
        shown = (host.data / "layout").read_text()
        assert host.stop() == 0
        yield host, directory / "b.tar"
        assert shown == "dromio layout 5\n" == (host.data / "layout").read_text()


@pytest.mark.parametrize("text, told", [
    ("dromio layout 6\n", "newer dromiod: it has layout 6, this one knows layouts up to 5"),
    ("", "damaged"), ("5\n", "damaged"), ("dromio layout 5", "damaged"), ("dromio layout 5\n" * 4, "damaged"),
])
def test_what_is_newer_or_damaged_is_refused_and_stays_as_it_is(stopped, text, told):
    data = stopped[0].data
    (data / "layout").write_text(text)
    before = files_of(data)
    answer = starts(data)
    assert answer.returncode == 1 and told in answer.stderr and len(answer.stderr.splitlines()) == 1, answer
    assert files_of(data) == before
    doctor = dromio("doctor", "--data", data)
    assert doctor.returncode == 1 and "layout" in doctor.stdout, doctor
    (data / "layout").write_text("dromio layout 5\n")


def test_one_from_before_the_number_gets_it_and_shows_its_twins(stopped):
    host = stopped[0]
    for older in (None, "dromio layout 2\n"):
        (host.data / "layout").unlink()
        if older is not None:
            (host.data / "layout").write_text(older)
        host.start()
        assert host.admin.get("/v1/twins/l@acme.example").status == 200
        assert host.stop() == 0
        assert (host.data / "layout").read_text() == "dromio layout 5\n"


def test_a_backup_carries_the_number(stopped, tmp_path):
    host, file = stopped
    with restored_host(file, tmp_path / "clone", host.data / "master.key") as clone:
        assert clone.admin.get("/v1/twins/l@acme.example").status == 200
    out = tmp_path / "newer.tar"
    rewritten(file, out, lambda name, content: content.replace(b'"layout":5', b'"layout":6') if name == "backup.json" else content)
    is_refused(out, "newer dromiod", "layout 6")
    refused = restore(out, tmp_path / "data")
    assert refused.returncode == 1 and not (tmp_path / "data").exists()
    rewritten(file, out, lambda name, content: content.replace(b'"layout":5,', b"") if name == "backup.json" else content)
    assert restore(out, tmp_path / "data").returncode == 0 and not (tmp_path / "data" / "layout").exists()


def test_the_version_says_which_layouts_are_known():
    assert "layout 5" in subprocess.run([str(DROMIOD), "--version"], capture_output=True, text=True, timeout=LIMIT_S).stdout
