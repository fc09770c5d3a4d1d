"""The audit log: who did what, in a chain of lines that a second implementation (test/peers/audit.py) verifies (docs/audit.md)."""
import hashlib
import itertools
import json
import subprocess

import pytest

import audit
from host import BUILD, LIMIT_S, Host, until
from test_backup import restored_host, take

ON = ("audit.commands=true",)


@pytest.fixture(scope="module")
def host():
    with Host(*ON) as made:
        yield made


def entries(host):
    return audit.of_host(host)


def found(host, **members):
    """The entries that have all these members, once there are any."""
    def look():
        return [e for e in entries(host) if all(e.get(name) == value for name, value in members.items())]
    return until(look, f"an entry with {members}")


def test_a_start_names_the_configuration_and_a_chain_begins(host):
    found(host, act="audit.begun")
    first, second = entries(host)[:2]
    assert first["act"] == "host.started" and first["seq"] == 1 and first["previous"] == "0" * 64
    assert "configuration sha256:" in first["detail"] and second["act"] == "audit.begun" and len(second["key"]) == 64


def test_what_the_administrator_did_is_there_with_its_outcome(host):
    answer = host.admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["read", "write"]})
    assert answer.status == 201
    made = found(host, act="application.made", objects=["as1"])[0]
    assert (made["actor"], made["status"], made["outcome"], made["class"]) == ("admin", 201, "done", "admin")
    assert set(made["members"]) == {"domains", "scopes"} and made["source"].startswith("127.0.0.1:")
    assert found(host, act="domain.made", objects=["acme.example"])[0]["actor"] == "host"
    assert host.admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["read"]}).status == 409
    assert found(host, act="application.made", status=409)[0]["outcome"] == "refused"
    other = host.client(answer.json()["token"])
    assert other.put("/v1/twins/a@acme.example", {"model": "acme/thermo", "secrets": {"key": "c2VjcmV0LXNlY3JldC1zZWNyZXQ="}, "imsi": "001010000000077"}).status == 201
    twin = found(host, act="twin.made", objects=["a@acme.example"])[0]
    assert twin["actor"] == "application as1" and set(twin["members"]) == {"model", "imsi", "secrets.key"}
    assert other.delete("/v1/twins/a@acme.example").status == 204
    assert found(host, act="twin.removed", objects=["a@acme.example"])[0]["status"] == 204


def test_no_secret_no_token_and_no_identity_of_a_device_is_in_it(host):
    token = host.admin.post("/v1/applications", {"id": "as2", "domains": ["acme.example"], "scopes": ["read"]}).json()["token"]
    host.admin.put("/v1/twins/s@acme.example", {"model": "acme/thermo", "imsi": "001010000012345", "msisdn": "491700012345", "secrets": {"calibration": 7.253906251953125}})
    found(host, act="twin.made", objects=["s@acme.example"])
    text = b"".join(p.read_bytes() for p in (host.data / "audit").iterdir())
    for secret in (token.encode(), host.admin.token.encode(), b"001010000012345", b"491700012345", b"7.2539062"):
        assert secret not in text


def test_many_of_one_request_share_an_entry(host):
    lines = "".join(json.dumps({"id": f"b{i}@acme.example", "model": "acme/thermo"}) + "\n" for i in range(200))
    assert host.admin.post("/v1/twins:bulk", lines.encode()).status == 200
    def all_there():
        named = [e for e in entries(host) if e["act"] == "twin.made" and e["objects"][0].startswith("b")]
        names = [name for e in named for name in e["objects"]]
        return named if len(names) >= 200 else None
    made = until(all_there, "an entry for each")
    names = [name for e in made for name in e["objects"]]
    assert sorted(names) == sorted(f"b{i}@acme.example" for i in range(200)) and len(made) < 100
    assert all(len(e["objects"]) <= 64 for e in made)


def test_refused_access_is_told_together(host):
    stranger = host.client("nobody")
    for _ in range(300):
        assert stranger.get("/v1/twins").status == 401
    told = found(host, act="access.refused", status=401)
    assert len(told) <= 3 and sum(e["count"] for e in told) >= 300 and told[0]["objects"] == ["GET /v1/twins"]
    assert told[0]["source"] == "127.0.0.1"


def dromio(*words, host=None):
    where = [] if host is None else ["--host", f"http://127.0.0.1:{host.http_port}", "--token-file", str(host.data / "admin.token")]
    return subprocess.run([str(BUILD / "dromio"), *words, *where], capture_output=True, text=True, timeout=LIMIT_S)


def is_refused(answer, *what):
    assert answer.returncode == 1 and answer.stdout == "", answer
    assert all(part in answer.stderr for part in what), answer.stderr


def test_the_command_verifies_the_host_and_files_alone(host, tmp_path):
    found(host, act="host.started")
    for name in ("as-verified-1", "as-verified-2"):  # what is between first and last has to be there
        assert host.admin.post("/v1/applications", {"id": name, "domains": ["acme.example"], "scopes": ["read"]}).status == 201
        found(host, act="application.made", objects=[name])
    assert dromio("audit", "verify", host=host).returncode == 0
    head = json.loads(dromio("audit", "head", "-o", "json", host=host).stdout)
    out = dromio("audit", "export", host=host).stdout
    file = tmp_path / "audit.jsonl"
    file.write_text(out)
    whole = dromio("audit", "verify", "--key", head["key"], "--since-head", head["hash"], str(file))
    assert whole.returncode == 0 and f"to {len(out.splitlines())} hold together" in whole.stdout, whole
    assert dromio("audit", "verify", str(host.data / "audit")).returncode == 0
    is_refused(dromio("audit", "verify", "--since-head", "0" * 63 + "1", str(file)), "no entry has the hash")
    lines = out.splitlines(keepends=True)
    for changed, what in ((lines[:1] + lines[2:], "missing"), (lines[:2] + lines[1:], "twice"), ([lines[0].replace("done", "none")] + lines[1:], "was changed"),
                          (lines[:-1] + [lines[-1][:-4]], "its end is missing")):
        file.write_text("".join(changed))
        is_refused(dromio("audit", "verify", str(file)), what)
    assert "host.started" in dromio("audit", "list", "--limit", "5", "--after", "0", host=host).stdout


def chained(entries_of_it):
    """The lines of a chain that holds, made of these entries by somebody who has no key of the host."""
    lines, previous = [], "0" * 64
    for number, entry in enumerate(entries_of_it, 1):
        text = json.dumps({**{name: value for name, value in entry.items() if name != "hash"}, "seq": number, "previous": previous}, separators=(",", ":"))[:-1]
        previous = hashlib.sha256(text.encode()).hexdigest()
        lines.append(f'{text},"hash":"{previous}"}}\n')
    return lines


def test_a_chain_that_was_made_anew_without_the_hosts_key_is_refused(tmp_path):
    """It holds together: that the host has written it, only a signature shows."""
    file = tmp_path / "audit.jsonl"

    def verified(lines, *more):
        file.write_text("".join(lines))
        return dromio("audit", "verify", *more, str(file))

    def verified_by(key):
        return dromio("audit", "verify", "--key", key, str(file))

    with Host(*ON) as host:
        begun = found(host, act="audit.begun")[0]
        young = verified([line.decode() for line in audit.lines_of_host(host)], "--key", begun["key"])
        is_refused(young, "none is signed by that key", "take them again later")  # it is a host's, but that does not show yet
        numbers = itertools.count()

        def signed():
            for _ in range(100):
                host.admin.put_twin(f"s{next(numbers)}@acme.example")
            return any(entry["act"] == "audit.signed" for entry in entries(host))

        until(signed, "a signature")
        own = entries(host)
        newest = [entry for entry in own if entry["act"] == "audit.signed"][-1]
        whole = verified([line.decode() for line in audit.lines_of_host(host)], "--key", newest["key"])
        assert whole.returncode == 0 and f"vouches for entry {newest['sequence']} and all before it" in whole.stdout, whole
        told = json.loads(dromio("audit", "verify", "--key", newest["key"], "-o", "json", str(file)).stdout)
        assert (told["first"], told["last"], told["proven"], told["head"]) == (1, len(own), newest["sequence"], own[-1]["hash"])
        is_refused(verified_by("0" * 64), "is signed by another key")
        without = [entry for entry in own if entry.get("objects") != ["s7@acme.example"]]
        is_refused(verified(chained(without), "--key", newest["key"]), "than the one here")  # the host's own signature, behind other lines
        made = verified(chained([entry for entry in without if entry["act"] != "audit.signed"]))
        assert made.returncode == 0 and "none vouches for any of them" in made.stdout and "--key" in made.stderr, made  # of a chain alone no more can be said
        is_refused(verified_by(newest["key"]), "none is signed by that key")
        # Its signature stays where it was; what follows was written by somebody else.
        lines = chained(own[:newest["seq"]] + [{"id": own[0]["id"], "act": "twin.made"}] * 2001)
        is_refused(verified(lines, "--key", newest["key"]), f"entries behind {newest['sequence']} are not signed")
        assert verified(lines, "--key", newest["key"], "--since-head", json.loads(lines[-1])["hash"]).returncode == 0  # who kept that head vouches for it
        is_refused(verified([]), "there is no entry")


def test_what_is_left_of_a_log_whose_oldest_files_were_removed_holds_and_says_where_it_begins(tmp_path):
    with Host(*ON, "audit.file_size=4KiB") as host:
        names = itertools.count()

        def some_closed():
            assert host.admin.put_twin(f"a{next(names)}@acme.example") is not None
            files = sorted((host.data / "audit").glob("audit-*Z.jsonl"))
            return files if len(files) > 3 else None

        closed = until(some_closed, "closed files")
        removed = [line for file in closed[:2] for line in file.read_bytes().splitlines()]
        last = json.loads(removed[-1])
        until(lambda: host.admin.get("/v1/audit/head").json().get("sealed", 0) > last["seq"], "a line in the host's log that stays")
        taken = [tmp_path / file.name for file in closed[:2]]
        for file, copy in zip(closed, taken):
            file.rename(copy)
        host.restart()
        until(lambda: host.admin.get("/v1/audit/head").json().get("state") == "writing", "the audit log")
        left = dromio("audit", "verify", host=host)
        assert left.returncode == 0 and f"entries {last['seq'] + 1} to " in left.stdout, left
        assert f"begins at entry {last['seq'] + 1}, behind one with the hash {last['hash']}" in left.stderr
        assert dromio("audit", "verify", "--after-head", last["hash"], host=host).returncode == 0
        assert entries(host)[0]["seq"] == last["seq"] + 1
        directory = host.data / "audit"
        whole = dromio("audit", "verify", *taken, directory)
        assert whole.returncode == 0 and "entries 1 to " in whole.stdout and "begins at" not in whole.stderr
        assert dromio("audit", "verify", "--after-head", "0" * 64, *taken, directory).returncode == 0
        is_refused(dromio("audit", "verify", "--after-head", json.loads(removed[-2])["hash"], directory), "does not follow the one with the hash of --after-head")
        is_refused(dromio("audit", "verify", taken[0], directory), "are missing")
        assert dromio("audit", "verify", "--after-head", "0", directory).returncode == 2
        assert host.admin.get("/v1/audit/head").json()["cuts"] == 0


@pytest.mark.parametrize("cores", [1, 3])
def test_the_first_start_on_a_restored_backup_has_an_entry(tmp_path, cores):
    with Host() as host:
        file = take(host, tmp_path / "b.tar")
        found(host, act="backup.taken")
        assert [entry for entry in entries(host) if entry["act"] == "backup.restored"] == []
        with restored_host(file, tmp_path / "clone", host.data / "master.key", "host.identity=clone.dromio.test", f"host.cores={cores}") as clone:
            (entry,) = found(clone, act="backup.restored")
            assert (entry["actor"], entry["class"], entry["outcome"]) == ("host", "admin", "done")
            assert entry["detail"].startswith(f"backup sha256:{hashlib.sha256(file.read_bytes()).hexdigest()} of {host.identity}, taken 20"), entry
            until(lambda: not (clone.data / "log" / "restored").exists(), "the end of the restore's mark")
            starts = len(found(clone, act="host.started"))  # those of the original are in its log, too
            clone.kill()
            clone.start()
            until(lambda: clone.admin.get("/v1/audit/head").json().get("state") == "writing", "the audit log")
            until(lambda: len(found(clone, act="host.started")) == starts + 1, "the entry of its second start")
            assert len(found(clone, act="backup.restored")) == 1


def test_an_end_that_was_cut_is_found_at_the_next_start():
    with Host(*ON) as host:
        found(host, act="audit.begun")
        host.stop()
        before = {p.name: p.read_bytes() for p in (host.data / "audit").iterdir()}
        host.start()
        host.admin.post("/v1/logins")
        last = found(host, act="session.offered")[0]["seq"]
        until(lambda: sealed(host) >= last, "its head in the log")
        host.stop()
        for path in (host.data / "audit").iterdir():
            path.unlink()
        for name, content in before.items():
            (host.data / "audit" / name).write_bytes(content)
        host.start()
        cut = found(host, act="audit.cut")[0]
        assert cut["sequence"] >= last and host.metric("dromio_audit_cuts_total") == 1
        is_refused(dromio("audit", "verify", host=host), "audit.cut")
        looked = dromio("doctor", host=host)
        assert looked.returncode == 1 and "not what they had been" in looked.stdout, looked


def written_anew(lines):
    """Who may write to the files tells another story from the second line on, and goes on with it: a chain without a fault."""
    last, more = json.loads(lines[-1]), []
    for seq in range(last["seq"] + 1, last["seq"] + 6):
        more.append(lines[-1].replace(f'"seq":{last["seq"]},'.encode(), f'"seq":{seq},'.encode()))
    out = lines[:1]
    for line in lines[1:] + more:
        text = line.rsplit(b',"hash":"', 1)[0].replace(b'"act":"session.offered"', b'"act":"session.begun"')
        text = text.replace(json.loads(line)["previous"].encode(), json.loads(out[-1])["hash"].encode())
        out.append(text + b',"hash":"' + hashlib.sha256(text).hexdigest().encode() + b'"}\n')
    assert audit.problem_of(out) is None and out[:len(lines)] != lines
    return out


def test_a_history_that_was_written_anew_is_found_at_the_next_start():
    with Host(*ON) as host:
        host.admin.post("/v1/logins")
        last = found(host, act="session.offered")[0]["seq"]
        until(lambda: sealed(host) >= last, "its head in the log")
        host.stop()
        lines = audit.lines_of_files(host.data / "audit")
        files = sorted((host.data / "audit").glob("audit-*"))
        for path in files[1:]:
            path.unlink()
        files[0].write_bytes(b"".join(written_anew(lines)))
        host.start()
        shown = lambda: [json.loads(line) for line in audit.lines_of_host(host)]  # no chain any more: it goes on with the line that it knows
        cut = until(lambda: [entry for entry in shown() if entry["act"] == "audit.cut"], "an entry of it")
        assert cut[0]["sequence"] >= last


def sealed(host):
    """Up to which entry the host's own log knows of the files."""
    return host.admin.get("/v1/audit/head").json().get("sealed", 0)


def test_each_act_has_one_entry_through_kills():
    with Host(*ON) as host:
        wanted = []
        for cycle in range(4):
            for i in range(20):
                name = f"c{cycle}-{i}"
                if host.admin.post("/v1/applications", {"id": name, "domains": ["acme.example"], "scopes": ["read"]}).status == 201:
                    wanted.append(name)
            if cycle % 2:
                host.room_is_back("audit", host.kill_room("audit"))
            else:
                host.kill()
                host.start()
            until(lambda: host.admin.get("/v1/audit/head").json().get("state") == "writing", "the audit log")
        found(host, objects=[wanted[-1]])
        told = [e["objects"][0] for e in entries(host) if e["act"] == "application.made"]
        assert sorted(told) == sorted(set(told)) and set(wanted) <= set(told)
