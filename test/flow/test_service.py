"""The systemd unit: it is sound, tight, and the host runs inside what it allows. No systemd runs
here, so the filter of system calls is built of the unit's own words and tried on the host."""
import ctypes
import os
import pathlib
import platform
import re
import resource
import shutil
import struct
import subprocess

import pytest
from host import BUILD, LIMIT_S, Host, thermo_reading
from mme import Mme

UNIT = BUILD / "docs" / "dromiod.service"
HEADER = pathlib.Path("/usr/include") / f"{platform.machine()}-linux-gnu" / "asm" / "unistd_64.h"
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_MAX = 2.0

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")


def lines(key):
    return [line.split("=", 1)[1] for line in UNIT.read_text().splitlines() if line.startswith(key + "=")]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    text = re.sub(r"^(ExecStart\w*)=\S+/dromiod", rf"\1={BUILD}/dromiod", UNIT.read_text(), flags=re.M)
    copy = tmp_path / "dromiod.service"
    copy.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))  # the pages are not installed
    checked = subprocess.run([ANALYZE, "verify", str(copy)], capture_output=True, text=True, timeout=LIMIT_S)
    said = [line for line in (checked.stdout + checked.stderr).splitlines() if "dromiod" in line]
    assert checked.returncode == 0 and said == [], checked


@needs_systemd
def test_the_unit_leaves_little_open():
    checked = subprocess.run([ANALYZE, "security", "--offline=true", str(UNIT)], capture_output=True, text=True, timeout=LIMIT_S)
    exposure = float(re.search(r"Overall exposure level for dromiod.service: ([\d.]+)", checked.stdout)[1])
    assert exposure < EXPOSURE_MAX, checked.stdout


# ---- the filter of system calls ----

def members(name):
    """System calls of a set such as @system-service, its sets opened too."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run([ANALYZE, "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout
    return set().union(*(members(word) for word in re.findall(r"^    ([@\w-]+)$", listed, re.M)))


def allowed():
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    names = set()
    for line in lines("SystemCallFilter"):
        words = set().union(*(members(word) for word in line.lstrip("~").split()))
        names = names - words if line.startswith("~") else names | words
    always = {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn"}  # what systemd itself needs, systemd.exec(5)
    return sorted(int(numbers[name]) for name in names | always if name in numbers)


def filter_of(numbers):
    """Classic BPF: those calls, EPERM for the rest."""
    load, jump, give, errno_eperm, allow = 0x20, 0x15, 0x06, 0x00050001, 0x7FFF0000
    program = [(load, 0, 0, 0)] + [step for number in numbers for step in ((jump, 0, 1, number), (give, 0, 0, allow))] + [(give, 0, 0, errno_eperm)]
    return b"".join(struct.pack("HBBI", *step) for step in program), len(program)


LIBC = ctypes.CDLL(None, use_errno=True)


def confine(code, count):
    """In the child: what the unit says and a process can do to itself."""
    buffer = ctypes.create_string_buffer(code)
    zero, number = ctypes.c_ulong(0), ctypes.c_ulong
    fprog = struct.pack("HxxxxxxP", count, ctypes.addressof(buffer))
    for which, limit in ((resource.RLIMIT_MEMLOCK, 64 << 20), (resource.RLIMIT_NOFILE, 65536), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(which)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (limit, limit))
    os.umask(0o077)
    assert LIBC.prctl(38, number(1), zero, zero, zero) == 0  # PR_SET_NO_NEW_PRIVS
    for capability in range(41):  # with an empty bounding set even root has none behind exec
        LIBC.prctl(24, number(capability), zero, zero, zero)  # PR_CAPBSET_DROP
    LIBC.prctl(1, number(9), zero, zero, zero)  # PR_SET_PDEATHSIG
    assert LIBC.prctl(22, number(2), ctypes.c_char_p(fprog), zero, zero) == 0  # PR_SET_SECCOMP, a filter


@needs_systemd
@pytest.mark.skipif(not HEADER.exists(), reason="the numbers of system calls are not here")
def test_the_host_works_inside_what_the_unit_allows(tmp_path, monkeypatch):
    numbers = allowed()
    assert 100 < len(numbers) < 400
    code, count = filter_of(numbers)
    directory = tmp_path / "state"
    directory.mkdir()
    start = subprocess.Popen

    def confined(*words, **more):
        return start(*words, **{**more, "preexec_fn": lambda: confine(code, count)})

    monkeypatch.setattr(subprocess, "Popen", confined)
    with Host(directory=directory) as host:
        health = host.admin.get("/healthz").json()
        assert health["status"] == "ok" and health["sandbox"] == "on"
        status = (pathlib.Path("/proc") / str(host.process.pid) / "status").read_text()
        assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M)
        host.admin.put_twin("unit@acme.example", imsi="001010000000042")
        with Mme(host) as mme:
            mme.attach("001010000000042")
            assert mme.uplink("001010000000042", thermo_reading(0, 20)) is not None
        assert host.admin.value("unit@acme.example", "readings") == 1
        assert host.admin.query("select count(*) from thermo") == [[1]]
        if "io_uring" in host.log():
            assert 'writes="io_uring' in host.log()
        host.restart()
        assert host.admin.value("unit@acme.example", "readings") == 1
        assert host.stop() == 0


def test_what_is_switched_on_stays_on():
    for key, value in {"Type": "notify", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "StateDirectory": "dromio", "LoadCredential": "master.key",
                       "LimitNOFILE": "65536", "CapabilityBoundingSet": "", "RestrictNamespaces": "yes", "UMask": "0077"}.items():
        assert lines(key) == [value], key
    refused = {word for line in lines("SystemCallFilter") if line.startswith("~") for word in line[1:].split()}
    assert refused >= {"@privileged", "@mount", "@swap", "@reboot", "@raw-io", "@debug"}, refused


def test_a_credential_of_systemd_is_the_master_key(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "master.key").write_bytes(bytes(range(32)))
    (credentials / "master.key").chmod(0o440)  # as the mask of systemd's access list shows
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    if os.getuid() != 0:
        (credentials / "master.key").chmod(0o400)  # only root's files pass for credentials
    with Host() as host:
        host.admin.put_twin("c@acme.example")
        assert not (host.data / "master.key").exists()
