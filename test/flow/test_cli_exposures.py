"""`dromio monitoring`, `trigger` and `parameters`: each example of their --help is run as it stands, against a real host with
dromio-sim as its network; only numbers are those that the host gave."""
import json
import os
import re
import shlex
import subprocess

import pytest
from host import BUILD, Host, end_with_parent, until
from t8 import CALLBACKS

NUMBER = re.compile(r"\b6250000040000000\b")
DEVICE, FIRST, DEVICES = "meter-17@acme.example", 1010000000001, 17
COMMANDS = {"monitoring": "add", "trigger": "send", "parameters": "add"}  # what makes one


@pytest.fixture(scope="module")
def host():
    with Host(CALLBACKS) as made:
        made.admin.put_twin(DEVICE, model="acme/thermo", imsi=f"{FIRST + DEVICES - 1:015}")
        network = subprocess.Popen([str(BUILD / "dromio-sim"), "--connect", f"127.0.0.1:{made.diameter_port}", "--devices", str(DEVICES), "--hss", "1", "--iwf",
                                    "--hss-names", "meter-%@acme.example", "--hss-group", "all@acme.example"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
        try:
            roles = lambda: {role for peer in made.admin.get("/v1/peers").json()["peers"] if peer["state"] == "open" for role in peer["roles"]}  # noqa: E731
            until(lambda: {"mme", "hss", "mtc-iwf"} <= roles(), "the network")
            until(lambda: "connection" in made.admin.twin(DEVICE), "the device")
            yield made
        finally:
            network.kill()
            network.wait()


@pytest.fixture(scope="module")
def token(host):
    answer = host.admin.post("/v1/applications", {"id": "as1", "domains": ["acme.example"], "scopes": ["monitoring", "trigger", "parameters", "read"]})
    return answer.json()["token"]


def cli(host, token, *words):
    environment = {**os.environ, "DROMIO_TOKEN": token, "DROMIO_HOST": f"http://127.0.0.1:{host.http_port}", "HOME": "/nonexistent"}
    return subprocess.run([str(BUILD / "dromio"), *words], capture_output=True, text=True, env=environment, timeout=60)


def examples(*command):
    out = subprocess.run([str(BUILD / "dromio"), *command, "--help"], capture_output=True, text=True, check=True).stdout
    found = [shlex.split(line)[1:] for line in out.partition("Examples:\n")[2].splitlines() if line.strip()]
    assert found, f"{command} has no example"
    return found


def good(answer):
    assert answer.returncode == 0, answer
    return answer.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_works(host, token, command):
    [add] = examples(command, COMMANDS[command])
    made = json.loads(good(cli(host, token, *add, "-o", "json")))
    number = made["self"].rsplit("/", 1)[1]
    for example in examples(command, "list"):
        assert number in good(cli(host, token, *example)), example
    for verb in ("show", "remove"):
        for example in examples(command, verb):
            words = [NUMBER.sub(number, word) for word in example]
            assert number in words
            out = good(cli(host, token, *words))
            assert verb == "remove" or number in out
    for example in examples(command, "list"):
        assert number not in good(cli(host, token, *example)), example


def test_a_trigger_has_no_group(host, token):
    refused = cli(host, token, "trigger", "send", "all@acme.example", "--group", "--app", "as1", "validityPeriod=600")
    assert refused.returncode == 2 and "--group" in refused.stderr
    assert "--group" not in subprocess.run([str(BUILD / "dromio"), "trigger", "send", "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command,options,members", [
    ("parameters", ["--patterns"], ['cpParameterSets={"night":{"setId":"night","stationaryIndication":"MOBILE"}}']),
    ("monitoring", [], ["monitoringType=UE_REACHABILITY", "reachabilityType=DATA", "maximumNumberOfReports=9"]),
    ("parameters", [], ["maximumLatency=3600"])])
def test_a_group_is_named_and_patterns_are_listed(host, token, command, options, members):
    add = [command, "add", "all@acme.example", "--group", "--app", "as1", "--notify", "http://127.0.0.1:9/", *options]
    made = json.loads(good(cli(host, token, *add, *members, "-o", "json")))
    number = made["self"].rsplit("/", 1)[1]
    assert made["externalGroupId"] == "all@acme.example"
    assert number in good(cli(host, token, command, "list", "--app", "as1", *options))
    good(cli(host, token, command, "remove", number, "--app", "as1", *options))
    assert cli(host, token, command, "show", number, "--app", "as1", *options).returncode == 3
