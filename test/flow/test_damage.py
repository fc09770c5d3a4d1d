"""Bits that flip on disk: whatever file it hits, the host says which, or goes on with right values; never with wrong ones."""
import random
import re
import shutil
import subprocess

import pytest
from host import Host, thermo_reading, until
from mme import Mme

TWINS, READINGS, FLIPS = 4, 30, 24


def shown(client):
    """All that is public of the twins, with their past."""
    found = {}
    for t in range(TWINS):
        name = f"/v1/twins/t{t}@acme.example"
        values = client.get(name).json()["properties"]
        past = client.get(f"{name}/history?property=temperature&limit=100").json()["values"]
        found[t] = ({k: (v["value"], v["time"], v["quality"]) for k, v in values.items()}, past)
    return found


@pytest.fixture(scope="module")
def kept():
    """A host that has stopped, what it showed, and a copy of its data."""
    with Host("log.segment=1MiB", "host.cores=1") as host:  # one log
        for t in range(TWINS):
            host.admin.put_twin(f"t{t}@acme.example", imsi=f"00101{t:010}", tags={"n": str(t)})
        with Mme(host) as mme:
            for t in range(TWINS):
                mme.attach(f"00101{t:010}")
            for n in range(READINGS):
                for t in range(TWINS):
                    mme.uplink(f"00101{t:010}", thermo_reading(n, 10 + (n * 7 + t) % 30))
        before = shown(host.admin)
        assert host.stop() == 0
        copy = host.directory / "copy"
        shutil.copytree(host.data, copy)
        yield host, copy, before
        shutil.rmtree(host.data)
        shutil.copytree(copy, host.data)
        host.start()


def flip(path, dice):
    content = bytearray(path.read_bytes())
    used = len(content.rstrip(b"\0"))
    at = dice.randrange(used)
    content[at] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    return f"{path.name} {at} of {used}"


def try_to_start(host):
    host.log_path.write_text("")
    with open(host.log_path, "ab") as log:
        host.process = subprocess.Popen(host.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    host.sessions.append(host.process.pid)
    until(lambda: not host.is_running() or host.is_healthy(), "a start or an end")


@pytest.mark.parametrize("kind", ["log/segment-*", "log/keys", "log/host", "log/replay", "log/epoch", "master.key", "images/*"])
def test_a_flipped_bit_is_said_or_harmless(kept, kind):
    host, copy, before = kept
    dice = random.Random(kind)
    for _ in range(FLIPS if "segment" in kind else 4):
        shutil.rmtree(host.data)
        shutil.copytree(copy, host.data)
        what = flip(dice.choice(sorted(path for path in host.data.glob(kind) if path.read_bytes().strip(b"\0"))), dice)
        try_to_start(host)
        if host.is_running():
            host.admin.close()
            assert shown(host.admin) == before, what
            assert host.stop() == 0
        else:
            assert host.process.returncode == 1
            assert re.search(r"damaged file=|log/host|key of domain", host.log()), (what, host.log())


@pytest.mark.parametrize("name, size", [("keys", 10), ("keys", 0), ("keys", None), ("host", 10), ("host", 0), ("host", None)])
def test_keys_and_tables_that_are_cut_or_gone_are_not_made_anew(kept, name, size):
    host, copy, before = kept
    shutil.rmtree(host.data)
    shutil.copytree(copy, host.data)
    path = host.data / "log" / name
    whole = path.read_bytes()
    if size is None:
        path.unlink()
    else:
        path.write_bytes(whole[:size])
    try_to_start(host)
    assert not host.is_running() and host.process.returncode == 1
    assert f"log/{name} " in host.log() and "put it back from a backup" in host.log(), host.log()
    path.write_bytes(whole)
    host.start()
    assert shown(host.admin) == before
    assert host.stop() == 0
