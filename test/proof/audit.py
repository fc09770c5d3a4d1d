"""Every route of spec/routes.csv that the audit log is to tell of is called as the administrator, and each call has its entry, of the act that the route's row names, once. Then the lines of the
host's files are tampered with, as the seed says: a bit, a byte, a line taken out, put in again, two lines in each other's place, a member changed with its hash made to fit; a verifier that is no part
of the host finds each, and the command `dromio audit verify` one in fifty. Then rooms and the whole host are killed with SIGKILL while applications are made: each that was acknowledged has one
entry, none has two. Not shown: routes that wait for a network (an HSS) are called as far as they go without one."""
PROMISE = "No administrative act without an entry; a changed, removed, moved or added entry is found"
UNIT = "tamperings"
SHORT, LONG = 1000, 100000
SECONDS = 60
IN_CHECK = True
LIMITS = "What the host was made not to write at all is not found by a chain"

import csv
import hashlib
import json
import pathlib
import random
import re
import subprocess

import audit as peer
from host import BUILD, LIMIT_S, Host, until

BODIES = {
    "none": None, "twin": {"model": "acme/thermo"}, "property": {"value": 600}, "action": {"seconds": 3}, "group": {}, "stop": {"reason": "proof"},
    "application": {"id": "proof", "domains": ["acme.example"], "scopes": ["read", "nidd", "monitoring", "trigger", "parameters"]},
    "application_patch": {"scopes": ["read"]}, "trace": {"peer": "mme.example"}, "image": b"\0asm\1\0\0\0", "bulk": b'{"id":"bulk@acme.example","model":"acme/thermo"}\n',
    "image_patch": {"budget": None},
}
PATHS = {"id": "p@acme.example", "name": "period", "digest": "sha256:" + "0" * 64, "ticket": "1", "application": "proof", "group": "g@acme.example", "trace": "16",
         "domain": "acme.example"}


def routes(root):
    lines = [line for line in (root / "spec" / "routes.csv").read_text().splitlines() if line and not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["audit"] != "-"]


def can_be_called(row):
    """Those whose body is in the table and whose path has no number of T8 or CAPIF; the flow tests of these call the rest."""
    return row["body"] in BODIES and all(name in PATHS for name in re.findall(r"\{(\w+)\}", row["path"])) and row["handler"] in ("core", "upload", "bulk", "backup")


def begin(act):
    return act.split(".")[0]


def acts_have_entries(proof, host):
    called = 0
    host.admin.put("/v1/twins/p@acme.example", {"model": "acme/thermo"})
    until(lambda: any(e.get("objects") == ["p@acme.example"] for e in peer.of_host(host)), "an entry of what is made before")
    for row in routes(proof.root):
        if not can_be_called(row):
            continue
        path = re.sub(r"\{(\w+)\}", lambda match: PATHS[match.group(1)], row["path"])
        if row["scope"] == "once" or path in ("/v1/domains/acme.example", "/v1/stops/code", "/v1/stops/domains/acme.example"):
            continue
        before = len(peer.of_host(host))
        body = b'{"id":"p@acme.example"}\n' if path.endswith("members:bulk") else BODIES[row["body"]]
        answer = host.admin.request(row["method"], path, body)
        if path == "/v1/traces" and answer.status in (200, 201):
            PATHS["trace"] = answer.json()["trace"]
        if answer.status in (400, 415, 422) and row["handler"] == "core":  # the gate has refused the body: that was no request yet
            proof.fail(f"{row['method']} {path}: the proof's own body is not good: {answer}")
        def told():
            return [e for e in peer.of_host(host)[before:] if e["actor"] == "admin" and e["act"].split(".")[0] == begin(row["audit"])]
        found = until(told, f"an entry of {row['method']} {path}, answered {answer.status}")
        if len(found) != 1 or (found[0]["status"] != answer.status and row["handler"] != "bulk"):
            proof.fail(f"{row['method']} {path} was answered {answer.status}; its entries: {found}")
        called += 1
    proof.measured["routes called"] = called
    if called < 25:
        proof.fail(f"only {called} routes were called")


def forged(line, chance):
    """A member changed, and the line's own hash made to fit: only the next line's `previous` tells."""
    text, _ = line.rsplit(b',"hash":"', 1)
    text = text.replace(b'"act":"', b'"act":"x', 1) if chance.random() < 0.5 else text.replace(b"2026", b"2025", 1)
    return text + b',"hash":"' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'


def tampered(lines, chance):
    """Never at the last line alone where the chain cannot tell; that one the head does."""
    lines = list(lines)
    at = chance.randrange(len(lines) - 1)
    kind = chance.choice(["bit", "byte", "out", "twice", "moved", "forged"])
    if kind == "bit":
        where = chance.randrange(len(lines[at]) - 1)
        lines[at] = lines[at][:where] + bytes([lines[at][where] ^ 1 << chance.randrange(8)]) + lines[at][where + 1:]
    elif kind == "byte":
        where = chance.randrange(len(lines[at]))
        lines[at] = lines[at][:where] + lines[at][where + 1:]
    elif kind == "out":
        del lines[max(at, 1)]
        if max(at, 1) == len(lines):
            del lines[-2]
    elif kind == "twice":
        lines.insert(chance.randrange(len(lines)), lines[at])
    elif kind == "moved":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    else:
        lines[at] = forged(lines[at], chance)
    return kind, lines


def commands_word(path):
    return subprocess.run([str(BUILD / "dromio"), "audit", "verify", str(path)], capture_output=True, text=True, timeout=LIMIT_S)


def tamper(proof, lines):
    path = proof.work / "tampered.jsonl"
    while not proof.over():
        seed = proof.seed_of(proof.done)
        chance = random.Random(seed)
        kind, changed = tampered(lines, chance)
        # A line may be split or joined by a byte: what counts is the text.
        text = b"".join(changed)
        if text != b"".join(lines) and peer.problem_of(text.splitlines(keepends=True)) is None:
            proof.fail(f"{kind} of seed {seed} is not found")
        if proof.done % 50 == 0:
            path.write_bytes(text)
            if commands_word(path).returncode != 1:
                proof.fail(f"dromio audit verify does not find {kind} of seed {seed}")
        proof.count()


def kills(proof, host):
    chance, wanted = random.Random(proof.seed), []
    for cycle in range(6):
        for i in range(20):
            name = f"k{cycle}-{i}"
            if host.admin.post("/v1/applications", {"id": name, "domains": ["acme.example"], "scopes": ["read"]}).status == 201:
                wanted.append(name)
        if chance.random() < 0.5:
            host.room_is_back("audit", host.kill_room("audit"))
        else:
            host.kill()
            host.start()
        until(lambda: host.admin.get("/v1/audit/head").json().get("state") == "writing", "the audit log")
    def told():
        names = [e["objects"][0] for e in peer.of_host(host) if e["act"] == "application.made" and e["objects"][0].startswith("k")]
        return names if set(wanted) <= set(names) else None
    names = until(told, f"an entry of each of {len(wanted)} applications")
    if len(names) != len(set(names)):
        proof.fail(f"entries are there twice: {sorted(n for n in set(names) if names.count(n) > 1)}")
    proof.measured["applications made through kills"] = len(wanted)


def run(proof):
    with Host("audit.commands=true") as host:
        until(lambda: len(peer.of_host(host)) > 1, "the audit log")
        acts_have_entries(proof, host)
        kills(proof, host)
        lines = peer.lines_of_host(host)
        whole = proof.work / "whole.jsonl"
        whole.write_bytes(b"".join(lines))
        if peer.problem_of(lines) is not None or commands_word(whole).returncode != 0:
            proof.fail(f"the whole log is no chain: {peer.problem_of(lines)}")
        tamper(proof, lines)
