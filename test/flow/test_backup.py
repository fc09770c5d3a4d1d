"""dromio backup of a running host, dromio restore of what came: what was acknowledged before
is there, what was changed or cut is refused with its place, and both hosts go on."""
import copy
import hashlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tarfile

import pytest
from host import BUILD, DROMIOD, LIMIT_S, Host, thermo_reading, until
from mme import Mme
from oracle import Oracle

DROMIO = BUILD / "dromio"
SMALL_LOG = ("log.segment=1MiB", "log.replay=1MiB")


def dromio(*words, host=None, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DROMIO_TOKEN")}
    if host is not None:
        environment |= {"DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "DROMIO_TOKEN_FILE": str(host.data / "admin.token")}
    return subprocess.run([str(DROMIO), *map(str, words)], env=environment, capture_output=True, text=True, timeout=LIMIT_S, **more)


def take(host, file):
    taken = dromio("backup", file, host=host)
    assert taken.returncode == 0, taken
    return file


def restore(file, directory, *more, **process):
    return dromio("restore", file, "--data", directory, *more, **process)


def restored_host(file, directory, key, *settings):
    """A host of its own on what the backup gives; not started yet."""
    directory.mkdir()
    made = restore(file, directory / "data", "--master-key", key)
    assert made.returncode == 0, made
    shutil.copy(key, directory / "data" / "master.key")
    clone = Host(*settings, directory=directory)
    clone.thermo = "it is in the backup"
    return clone


def told(host, name):
    """All that the host shows of a twin."""
    parts = ("", "/properties", "/tickets", "/timeline?limit=200", "/history?property=temperature")
    return [host.admin.get(f"/v1/twins/{name}{part}").json() for part in parts]




# ---- under load ----

def test_what_was_acknowledged_is_in_a_backup_taken_under_load_and_both_hosts_go_on(tmp_path):
    with Host(*SMALL_LOG) as host:
        quiet = [f"q{number}@quiet.example" for number in range(5)]
        with Mme(host, identity="quiet.epc.test") as mme:
            for number, name in enumerate(quiet):
                host.admin.put_twin(name, imsi=f"00101{number + 900:010d}", tags={"site": f"s{number}"}, aliases=[f"a{number}@other.example"],
                                    secrets={"calibration": number})
                mme.attach(f"00101{number + 900:010d}")
                for reading in range(3):
                    mme.uplink(f"00101{number + 900:010d}", thermo_reading(reading, 20 + reading))
        for name in quiet:
            host.admin.write(name, "period", 777)  # nobody answers: it waits
        reader = host.application("reader", ["quiet.example"], ["read"])
        before = {name: told(host, name) for name in quiet}

        oracle = Oracle(host, 5)
        oracle.provision()
        oracle.run(500)
        acknowledged = {d.name: d.acknowledged for d in oracle.devices}
        file = tmp_path / "dromio.tar"
        words = [str(DROMIO), "backup", str(file), "--host", f"http://127.0.0.1:{host.http_port}", "--token-file", str(host.data / "admin.token")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as backup:
            while backup.poll() is None:
                assert oracle.run(50)
            assert backup.returncode == 0, backup.communicate()
            assert "master key is NOT in it" in backup.stderr.read()
        sent = {d.name: d.sent for d in oracle.devices}
        assert sum(sent.values()) > sum(acknowledged.values()), "no load while it was taken"
        assert str(file) and file.stat().st_mode & 0o777 == 0o600

        verified = dromio("backup", "--verify", file, "--master-key", host.data / "master.key", "-o", "json")
        assert verified.returncode == 0, verified
        assert json.loads(verified.stdout)["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

        with restored_host(file, tmp_path / "clone", host.data / "master.key", *SMALL_LOG, "host.identity=clone.dromio.test") as clone:
            assert {name: told(clone, name) for name in quiet} == before
            assert clone.client(reader.token).get(f"/v1/twins/{quiet[0]}").status == 200
            assert clone.admin.query("select count(*) from thermo") == [[len(quiet) + len(oracle.devices)]]
            other = Oracle(clone, 6)
            other.devices = [copy.copy(d) for d in oracle.devices]
            for device in other.devices:
                shown = {name: what["value"] for name, what in clone.admin.twin(device.name)["properties"].items()}
                assert acknowledged[device.name] <= shown["readings"] <= sent[device.name], (device.name, shown)
                assert shown["temperature"] == (shown["readings"] - 1) % 300 and shown["lost"] == shown["duplicates"] == 0
                device.sent = device.acknowledged = shown["readings"]
                device.under_way = None
            other.next_end = oracle.next_end
            with Mme(clone, identity="kill.epc.test"):  # both at once
                pass
            for both in (other, oracle, other, oracle):
                assert both.run(300)
            other.finish()
            oracle.finish()
            clone.restart()
            other.check()
        host.restart()
        oracle.check()


def test_the_restored_host_begins_later_and_with_other_bits(tmp_path):
    with Host() as host:
        file = take(host, tmp_path / "b.tar")
        original = (host.data / "log" / "epoch").read_bytes()
        assert restore(file, tmp_path / "one").returncode == 0 and restore(file, tmp_path / "two").returncode == 0
        one, two = ((tmp_path / name / "log" / "epoch").read_bytes() for name in ("one", "two"))
        counter = [int.from_bytes(bytes_[8:16], "little") for bytes_ in (original, one, two)]
        random = {bytes_[16:24] for bytes_ in (original, one, two)}
        assert counter[1] == counter[2] > counter[0] + 1000 and len(random) == 3
        assert {entry.name for entry in (tmp_path / "one").iterdir()} == {entry.name for entry in host.data.iterdir()} - {"master.key", "admin.token", "audit"}
        for entry in (tmp_path / "one").rglob("*"):
            assert entry.stat().st_mode & 0o077 == 0, entry


def test_neither_the_master_key_nor_the_token_nor_an_imsi_is_in_it(tmp_path):
    with Host() as host:
        host.admin.put_twin("s@acme.example", imsi="001010000077777", msisdn="4915100077777", secrets={"key": "c2VjcmV0LXNlY3JldC1zZWNyZXQ="})
        content = take(host, tmp_path / "b.tar").read_bytes()
        for secret in ((host.data / "master.key").read_bytes(), (host.data / "admin.token").read_bytes().strip(), b"001010000077777",
                       b"4915100077777", b"secret-secret-secret", b"s@acme.example"):
            assert secret not in content


def test_any_tar_and_sha256sum_can_read_it(tmp_path):
    with Host() as host:
        host.admin.put_twin("s@acme.example")
        take(host, tmp_path / "b.tar")
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "backup.json").read_text())["format"] == 1


# ---- a slow taker, a lost one, two ----

class Taker:
    """Somebody who asks for a backup and reads it when he likes; little of it fits into his buffers."""

    def __init__(self, host):
        self.socket = socket.socket()
        self.socket.settimeout(LIMIT_S)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", host.http_port))
        self.socket.sendall(b"GET /v1/backup HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer " + host.admin.token.encode() + b"\r\n\r\n")
        self.response = http.client.HTTPResponse(self.socket)
        self.response.begin()

    def close(self):
        self.response.close()
        self.socket.close()


KEPT_LOG = ("log.segment=1MiB", "log.replay=1MiB", "log.timeline=12MiB")


def fill(host, mebibytes):
    """So much more log: changes of tags that fill a record."""
    for chunk in range(mebibytes):
        answers = host.admin.bulk({"id": f"f{number}@fill.example", "model": "acme/thermo", "tags": {f"n{tag}": f"{chunk}{'x' * 200}" for tag in range(4)}}
                                  for number in range(1000))
        assert {answer["status"] for answer in answers} <= {200, 201}


def segments_of(host):
    return {str(entry.relative_to(host.data)) for entry in host.data.glob("log*/segment-*")}


def test_segments_stay_until_a_slow_taker_has_them(tmp_path):
    with Host(*KEPT_LOG) as host:
        fill(host, 14)
        taker = Taker(host)
        first = taker.response.read(1)
        pinned = segments_of(host)
        fill(host, 14)
        assert len(pinned & segments_of(host)) >= 3  # the log kept is all newer; what was sent already may go
        file = tmp_path / "b.tar"
        file.write_bytes(first + taker.response.read())
        taker.close()
        verified = dromio("backup", "--verify", file)
        assert verified.returncode == 0, verified
        with tarfile.open(file) as tar:
            inside = {name for name in tar.getnames() if "segment-" in name}
        assert inside and inside <= pinned
        fill(host, 4)
        until(lambda: not inside <= segments_of(host), "the drop of old segments")


def test_one_at_a_time_and_a_lost_taker_makes_room():
    with Host(*KEPT_LOG) as host:
        fill(host, 14)
        taker = Taker(host)
        answer = host.admin.get("/v1/backup")
        assert (answer.status, answer.json()["title"]) == (409, "Conflict"), answer
        taker.close()
        until(lambda: host.admin.get("/v1/backup").status == 200, "a backup for the next one")
        taker = Taker(host)
        dead = host.kill_room("gate")
        host.room_is_back("gate", dead)
        host.admin.close()
        host.wait()
        until(lambda: host.admin.get("/v1/backup").status == 200, "a backup of the next gate")
        taker.close()


def test_only_the_administrator_may_take_one():
    with Host() as host:
        reader = host.application("r", ["acme.example"], ["read", "write", "images"])
        assert reader.get("/v1/backup").status == 403
        assert host.client(None).get("/v1/backup").status == 401
        head = host.admin.request("HEAD", "/v1/backup")
        assert (head.status, head.headers["Content-Type"], head.body) == (200, "application/x-tar", b"")


# ---- what is not whole is refused ----

@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    """(file, master key) of a host with several segments."""
    directory = tmp_path_factory.mktemp("backup")
    with Host(*SMALL_LOG[:1], "host.cores=1") as host:  # one log
        oracle = Oracle(host, 9)
        oracle.provision()
        until(lambda: oracle.run(500) and len(segments_of(host)) >= 3, "three segments")
        oracle.finish()
        take(host, directory / "b.tar")
        shutil.copy(host.data / "master.key", directory / "master.key")
    return directory / "b.tar", directory / "master.key"


def is_refused(file, *what, words=("backup", "--verify")):
    answer = dromio(*words, file)
    assert answer.returncode == 1 and answer.stdout == "", answer
    for part in what:
        assert part in answer.stderr, (part, answer.stderr)


def test_every_cut_is_refused_with_its_place(backup, tmp_path):
    whole = backup[0].read_bytes()
    file = tmp_path / "cut.tar"
    cuts = {0, 1, 511, 512, 700, len(whole) // 3, len(whole) // 2, len(whole) - 1024, len(whole) - 512, len(whole) - 1}
    for cut in sorted(cuts):
        file.write_bytes(whole[:cut])
        is_refused(file, f"ends at byte {cut}")
        refused = restore(file, tmp_path / "data")
        assert refused.returncode == 1 and not (tmp_path / "data").exists(), refused
    file.write_bytes(whole + b"\0")
    is_refused(file, f"byte {len(whole)}", "more behind its end")
    file.write_bytes(b"PK\3\4" + bytes(2000))
    is_refused(file, "no backup of Dromio")


def parts_of(file):
    with tarfile.open(file) as tar:
        return [(member.name, member.offset_data, member.size) for member in tar.getmembers()]


def test_every_flipped_bit_is_refused_and_the_part_named(backup, tmp_path):
    whole = backup[0].read_bytes()
    file = tmp_path / "flipped.tar"
    for name, offset, size in parts_of(backup[0]):
        for at in {offset, offset + size // 2, offset + size - 1}:  # bytes of the part
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            is_refused(file, "SHA256SUMS" if name == "SHA256SUMS" else name)
        for at in (offset - 512, offset - 400, offset - 380):  # its header: name, size, time
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            is_refused(file, "byte " if offset > 512 else "no backup of Dromio")
        end = offset + size
        if end % 512 != 0:
            file.write_bytes(whole[:end] + b"\1" + whole[end + 1:])
            is_refused(file, f"byte {end}", name)


def header_like(header, name, size):
    """The ustar header with another name and size."""
    block = name.encode().ljust(100, b"\0") + header[100:124] + b"%011o\0" % size + header[136:148] + b" " * 8 + header[156:512]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def rewritten(file, out, change, rename=lambda name: name):
    """The same backup, its sums made anew, after `change(name, bytes)` of each part (None: left out)."""
    whole, made, sums = file.read_bytes(), b"", b""
    for name, offset, size in parts_of(file):
        content = sums if name == "SHA256SUMS" else change(name, whole[offset:offset + size])
        if content is None:
            continue
        sums += f"{hashlib.sha256(content).hexdigest()}  {rename(name)}\n".encode()
        made += header_like(whole[offset - 512:offset], rename(name), len(content)) + content + bytes(-len(content) % 512)
    out.write_bytes(made + bytes(1024))
    return out


def test_damage_that_was_on_the_disk_already_is_found_by_the_checksums_of_the_log(backup, tmp_path):
    out = tmp_path / "rotten.tar"
    assert dromio("backup", "--verify", rewritten(backup[0], out, lambda name, content: content)).returncode == 0
    names = [name for name, _, _ in parts_of(backup[0]) if "segment-" in name]
    victim = names[len(names) // 2]
    content = {}
    rewritten(backup[0], out, lambda name, bytes_: content.setdefault(name, bytes_))
    place = next(at for at in range(300_000 // 4096 * 4096, len(content[victim]), 4096) if content[victim][at:at + 4] == b"DRO1")
    rotten = content[victim][:place + 70] + bytes([content[victim][place + 70] ^ 1]) + content[victim][place + 71:]
    rewritten(backup[0], out, lambda name, bytes_: rotten if name == victim else bytes_)
    is_refused(out, f"{victim} is damaged at byte {place}: a record is damaged")
    rewritten(backup[0], out, lambda name, content: None if name == victim else content)
    is_refused(out, victim, "missing")
    rewritten(backup[0], out, lambda name, content: content[:-512] if name == names[-1] else content)
    is_refused(out, names[-1])
    rewritten(backup[0], out, lambda name, content: content[:-1] + b"x" if name == "log/epoch" else content)
    is_refused(out, "log/epoch")
    rewritten(backup[0], out, lambda name, content: None if name == "log/keys" else content)
    is_refused(out, "no keys")
    rewritten(backup[0], out, lambda name, content: content.replace(b'"format":1', b'"format":2') if name == "backup.json" else content)
    is_refused(out, "format 2")


def test_a_name_that_leads_out_is_refused(backup, tmp_path):
    out = tmp_path / "evil.tar"
    rewritten(backup[0], out, lambda name, content: content, lambda name: name.replace("log/keys", "../keys"))
    is_refused(out, "no header behind backup.json")
    assert restore(out, tmp_path / "data").returncode == 1 and not (tmp_path / "keys").exists()


def test_another_master_key_is_told(backup, tmp_path):
    file, key = backup
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    assert dromio("restore", file, "--dry-run", "--master-key", key).returncode == 0
    refused = dromio("restore", file, "--dry-run", "--master-key", other)
    assert refused.returncode == 1 and "does not open key 0" in refused.stderr, refused
    other.write_bytes(bytes(31))
    assert "32 bytes" in dromio("restore", file, "--dry-run", "--master-key", other).stderr


# ---- the directory ----

def test_only_an_empty_directory_is_filled(backup, tmp_path):
    (tmp_path / "data").mkdir()
    assert restore(backup[0], tmp_path / "data").returncode == 0
    again = restore(backup[0], tmp_path / "data")
    assert again.returncode == 4 and "not empty" in again.stderr, again
    kept = tmp_path / "other"
    kept.mkdir()
    (kept / "mine").write_text("kept")
    assert restore(backup[0], kept).returncode == 4 and (kept / "mine").read_text() == "kept"
    assert restore(backup[0], tmp_path / "no" / "such").returncode == 1
    assert dromio("restore", backup[0]).returncode == 2
    assert dromio("restore", tmp_path / "none.tar", "--data", tmp_path / "x").returncode == 3


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_disk_that_takes_no_more_leaves_nothing_behind(backup, tmp_path):
    failed = restore(backup[0], tmp_path / "data", preexec_fn=limit_files)
    assert failed.returncode == 1 and "log/segment-" in failed.stderr and "cannot be written" in failed.stderr, failed
    assert not (tmp_path / "data").exists()
    (tmp_path / "there").mkdir()
    assert restore(backup[0], tmp_path / "there", preexec_fn=limit_files).returncode == 1
    assert list((tmp_path / "there").iterdir()) == []


def test_a_file_system_too_small_is_told_before_anything_is_written(backup, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = f"mount -t tmpfs -o size=1m none {small} && {DROMIO} restore {backup[0]} --data {small}; echo code $?; ls -A {small}"
    answer = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", mounted], capture_output=True, text=True, timeout=LIMIT_S)
    if "code" not in answer.stdout or "mount:" in answer.stderr or "unshare" in answer.stderr:
        pytest.skip("no file system can be mounted here")
    assert answer.stdout.split() == ["code", "1"] and "too little space" in answer.stderr, answer


def test_no_host_starts_on_half_a_restore(backup, tmp_path):
    assert restore(backup[0], tmp_path / "data").returncode == 0
    (tmp_path / "data" / "restore.incomplete").touch()
    started = subprocess.run([str(DROMIOD), "--data", str(tmp_path / "data")], capture_output=True, text=True, timeout=LIMIT_S)
    assert started.returncode == 1 and "a restore into it did not end" in started.stderr, started


def test_a_file_that_is_there_is_not_replaced_and_a_failed_one_leaves_nothing(tmp_path):
    with Host() as host:
        (tmp_path / "b.tar").write_text("precious")
        assert dromio("backup", tmp_path / "b.tar", host=host).returncode == 4
        assert (tmp_path / "b.tar").read_text() == "precious"
        assert dromio("backup", tmp_path / "none" / "b.tar", host=host).returncode == 1
        piped = dromio("backup", "-", host=host, errors="replace")
        assert piped.returncode == 0 and "SHA-256" in piped.stderr
    gone = dromio("backup", tmp_path / "c.tar", "--host", f"http://127.0.0.1:{host.http_port}", "--token", "x")
    assert gone.returncode == 9, gone
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b.tar"]
