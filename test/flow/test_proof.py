"""tools/prove itself: a proof that is broken is told so, a slice goes on where the last one ended, and the document says what the results say."""
import json
import os
import pathlib
import re
import runpy
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROOFS = ROOT / "test/proof"

HEAD = '''"""Counts to %(short)d."""
PROMISE, UNIT, SHORT, LONG, SECONDS, IN_CHECK, LIMITS = "numbers go on", "numbers", %(short)d, 50, 1, False, ""
def run(proof):
    while not proof.over():
%(body)s
'''


@pytest.fixture
def prove(tmp_path):
    def run(*arguments, body="        proof.count()\n", short=5, name="counting"):
        (tmp_path / "proofs").mkdir(exist_ok=True)
        (tmp_path / f"proofs/{name}.py").write_text(HEAD % {"short": short, "body": body})
        environment = {**os.environ, "DROMIO_PROOFS": str(tmp_path / "proofs"), "DROMIO_PROOF_WORK": str(tmp_path / "work")}
        return subprocess.run([ROOT / "tools/prove", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    run.result = lambda form="short": json.loads((tmp_path / f"work/{form}/counting/result.json").read_text())
    return run


def test_a_proof_that_holds_says_how_much_was_done(prove):
    ran = prove("counting", "--seed", "7")
    assert ran.returncode == 0 and ran.stdout.startswith("counting: holds: 5 of 5 numbers"), ran
    result = prove.result()
    assert (result["verdict"], result["done"], result["wanted"], result["seed"]) == ("holds", 5, 5, 7)
    assert result["commit"] and result["machine"] and result["start"] <= result["end"]


@pytest.mark.parametrize("body, reason", [("        proof.fail('lost one')\n", "lost one"), ("        assert 1 == 2, 'not equal'\n", "not equal"),
                                          ("        proof.run('sh', '-c', 'echo gone; exit 3')\n", "gone"), ("        proof.count(6)\n", "counted 6 of 5")])
def test_a_promise_that_is_broken_is_told(prove, body, reason):
    ran = prove("counting", body=body)
    assert ran.returncode == 1 and "counting: fails" in ran.stdout and reason in prove.result()["reason"], ran
    assert prove.result()["verdict"] == "fails"


def test_what_cannot_run_here_does_not_hold(prove):
    ran = prove("counting", body="        proof.unavailable('no such kernel')\n")
    assert ran.returncode == 3 and prove.result()["verdict"] == "not run here"


def test_what_was_left_out_stands_beside_the_verdict(prove):
    ran = prove("counting", body="        proof.remark = 'two were not tried'\n        proof.count()\n")
    assert "holds: 5 of 5 numbers" in ran.stdout and "(two were not tried)" in ran.stdout, ran
    assert "two were not tried" in runpy.run_path(str(ROOT / "tools/prove"))["share"](prove.result(), 5)


def test_a_proof_that_wants_more_than_was_done_does_not_hold_any_more():
    share = runpy.run_path(str(ROOT / "tools/prove"))["share"]
    result = {"done": 13, "wanted": 13, "unit": "programs", "verdict": "holds"}
    assert share(result, 13) == "**holds**, 13 of 13 programs"
    assert share(result, 14) == "13 of 14 programs (92 % done)"


def test_an_error_of_the_proof_itself_is_no_verdict(prove):
    assert prove("counting", body="        no_such_name\n").returncode not in (0, 3)


def test_a_long_form_goes_on_where_its_last_slice_ended(prove):
    some = "        proof.count()\n        if proof.done % 20 == 0: break\n"
    for done in (20, 40):
        ran = prove("counting", "--long", body=some)
        assert ran.returncode == 0 and f"unfinished: {done} of 50" in ran.stdout, ran
    assert prove("counting", "--long", "--seed", "9", body=some).returncode == 2  # was begun with another
    assert "holds: 50 of 50" in prove("counting", "--long", body=some).stdout
    assert "unfinished: 20 of 50" in prove("counting", "--long", "--fresh", body=some).stdout


def test_a_slice_ends_in_time(prove):
    ran = prove("counting", "--long", "--slice", "0.001", body="        import time\n        time.sleep(0.01)\n        proof.count()\n")
    assert "unfinished: 1 of 50" in ran.stdout or "unfinished: 0 of 50" in ran.stdout


def test_unknown_proofs_and_words_are_refused(prove):
    assert prove("nonsense").returncode == 2
    assert prove("audit", "--slice", "5").returncode == 2 and prove("audit", "--only", "x").returncode == 2
    assert prove().returncode == 2
    assert prove("--nonsense").returncode == 2


def test_every_proof_says_what_it_must():
    listed = subprocess.run([ROOT / "tools/prove", "--list"], capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed
    assert {path.stem.replace("_", "-") for path in PROOFS.glob("[!_]*.py")} == {line.split()[0] for line in listed.stdout.splitlines() if line[0] != " "}


def test_the_document_is_what_the_results_say(tmp_path):
    made = subprocess.run(["/usr/bin/env", "python3", "-c", f"import runpy; print(runpy.run_path('{ROOT}/tools/prove')['document'](), end='')"], capture_output=True, text=True, timeout=60)
    assert made.stdout == (ROOT / "docs/proof.md").read_text(), "run tools/prove --document"


def test_a_result_names_a_commit_without_changes():
    for path in (ROOT / "docs/proof").glob("*.json"):
        result = json.loads(path.read_text())
        commits = [result["commit"]] if isinstance(result["commit"], str) else result["commit"]
        assert all(re.fullmatch("[0-9a-f]{12}", commit) for commit in commits), path


def mutations():
    return [(path.name, mutation) for path in sorted((PROOFS / "mutations").glob("*.toml")) for mutation in tomllib.loads(path.read_text())["mutation"]]


def test_every_mutation_can_be_made():
    seen = set()
    for where, mutation in mutations():
        name = f"{where}: {mutation['name']}"
        assert mutation["name"] not in seen, f"{name} is there twice"
        seen.add(mutation["name"])
        assert (ROOT / mutation["file"]).read_text().count(mutation["old"]) == 1, f"{name}: its old text must occur once"
        assert mutation["old"] != mutation["new"] and mutation["caught_by"], name


def test_every_catcher_of_a_mutation_is_there():
    proofs = {path.stem.replace("_", "-") for path in PROOFS.glob("[!_]*.py")}
    with open(pathlib.Path(os.environ.get("DROMIO_BUILD", ROOT / "build")) / "meson-info/intro-tests.json") as file:
        units = {test["name"] for test in json.load(file)}
    for where, mutation in mutations():
        for catcher in mutation["caught_by"]:
            kind, _, name = catcher.partition(":")
            if kind == "unit":
                assert name in units, f"{where}: {mutation['name']}: no such unit test: {catcher}"
            elif kind == "flow":
                path, _, test = name.partition("::")
                assert re.search(rf"^def {test}\b" if test else "^def test_", (ROOT / "test/flow" / path).read_text(), re.M), f"{where}: {mutation['name']}: no such flow test: {catcher}"
            else:
                assert catcher.split(" ")[0] in proofs, f"{where}: {mutation['name']}: no such proof: {catcher}"


def test_every_finding_has_its_test():
    for finding in tomllib.loads((PROOFS / "findings.toml").read_text()).get("finding", []):
        where, name = re.fullmatch(r"([^:]+)::?(\w+)", finding["test"]).groups()
        assert re.search(rf"\b{name}\b", (ROOT / where).read_text()), f"{finding['test']} is not there"
        assert finding["proof"] and finding["found"] and finding["mended"]
