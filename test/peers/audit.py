"""A second implementation of the audit log's chain (docs/audit.md): entries of files or of a host, and what is wrong with them."""
import collections
import hashlib
import json
import pathlib

from host import until
from promised import check

ZEROS = "0" * 64


def lines_of_files(directory):
    """The lines of an audit directory, in the order of its files."""
    names = sorted(p for p in pathlib.Path(directory).iterdir() if p.name.startswith("audit-"))
    return b"".join(p.read_bytes() for p in names).splitlines(keepends=True)


def lines_of_host(host):
    after, lines = 0, []
    while True:
        answer = host.admin.get(f"/v1/audit?after={after}&limit=1000")
        if answer.status == 503:  # its room is not there yet, or again
            return lines
        assert answer.status == 200, answer
        page = answer.body.splitlines(keepends=True)
        if not page:
            return lines
        lines += page
        after = json.loads(page[-1])["seq"]


def problem_of(lines):
    """Why these lines are no chain, as far as they go; None: they are one."""
    last = None
    for number, line in enumerate(lines, 1):
        try:
            text, hash_ = line.rsplit(b',"hash":"', 1)
            entry = json.loads(line)
        except ValueError:
            return f"line {number} is no entry"
        if hash_ != hashlib.sha256(text).hexdigest().encode() + b'"}\n':
            return f"line {number} has another hash than its bytes"
        if last is not None and (entry["seq"] != last["seq"] + 1 or entry["previous"] != last["hash"]):
            return f"line {number} does not follow the one before"
        if last is None and entry["seq"] == 1 and entry["previous"] != ZEROS:
            return "the first line says that one came before"
        last = entry
    return None


def entries_of(lines):
    assert problem_of(lines) is None, problem_of(lines)
    return [json.loads(line) for line in lines]


def of_host(host):
    return entries_of(lines_of_host(host))


def must_be_told(host, oracle):
    """Once an oracle (promised.py) has finished, of a host with audit.commands: a chain without a gap or a cut, no entry twice, one at least of each command. How many entries."""
    wanted = {commands.device: oracle.known.of(commands.key)[0] for commands in oracle.commands}

    def told():
        entries = of_host(host)
        count = collections.Counter(entry["objects"][0] for entry in entries if entry["act"] == "action.called")
        return entries if all(count[device] >= commands for device, commands in wanted.items()) else None
    entries = until(told, f"an audit entry of each command: {wanted}")
    check(not [entry for entry in entries if entry["act"] in ("audit.gap", "audit.cut")], "the audit log has lost entries")
    ids = collections.Counter(entry["id"] for entry in entries if "id" in entry)
    check(all(number == 1 for number in ids.values()), "audit entries that are there twice:", [of for of, number in ids.items() if number > 1])
    return len(entries)
