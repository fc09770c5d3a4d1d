"""The whole HTTP API held against its own description, /openapi.json, by schemathesis: no 5xx, and no answer that the
description does not have. What it cannot ask is named here."""
import csv
import os
import pathlib
import re
import subprocess

import pytest
from host import LIMIT_S, ROOT, Host

SCHEMATHESIS = pathlib.Path(os.environ.get("DROMIO_DEPS", pathlib.Path.home() / ".cache/dromio/deps")) / "venv-t8" / "bin" / "st"
OTHER_CHECKS = "positive_data_acceptance,negative_data_rejection"  # of requests; what is asked here is about answers
# Answers without an end (events, websocket), bodies of lines (bulk), 100 MB (backup): the tests of those are elsewhere.
LEFT_OUT = {"stream": "/v1/events", "websocket": "/websocket", "bulk": ":bulk", "backup": "/v1/backup"}
STOPS = "/v1/stops/"  # nothing else would be answered any more: test_budgets.py
MORE = """
[[operations]] # 500 is what TS 29.122 says of a downlink that cannot be delivered now
include-path-regex = "downlink-data-deliveries"
checks.not_a_server_error.enabled = false
[[operations]]
include-path-regex = "/actions/"
parameters = { "path.name" = "blink" }
"""


@pytest.fixture(scope="module")
def real():
    with Host('t8.allow_callbacks=["127.0.0.0/8"]') as host:
        yield host


def rows():
    lines = [line for line in (ROOT / "spec" / "routes.csv").read_text().splitlines() if line and not line.startswith("#")]
    return list(csv.DictReader(lines))


def things(real):
    """One of each that a path can name: {name of the parameter: its value}."""
    admin = real.admin
    admin.put_twin("door@acme.example", imsi="001010000000001")
    assert admin.put("/v1/groups/doors@acme.example", {}).status == 201
    owner = real.application("owner", ["acme.example"], ["nidd"])
    base = "/3gpp-nidd/v1/owner/configurations"
    configuration = owner.post(base, {"externalId": "door@acme.example", "notificationDestination": "http://192.0.2.1/x"}).json()["self"].rsplit("/", 1)[1]
    delivery = owner.post(f"{base}/{configuration}/downlink-data-deliveries", {"externalId": "door@acme.example", "data": "AAAA"}).json()["self"].rsplit("/", 1)[1]
    return {"id": "door@acme.example", "group": "doors@acme.example", "name": "period", "application": "owner", "scsAsId": "owner", "securityId": "owner", "apiInvokerId": "owner", "onboardingId": "owner",
            "apfId": "scef.dromio.test", "serviceApiId": "3gpp-nidd",
            "configurationId": configuration, "downlinkDataDeliveryId": delivery, "portId": "ue3-ef7", "digest": admin.get("/v1/images").json()["images"][0]["image"],
            "ticket": admin.put("/v1/twins/door@acme.example/properties/period", {"value": 60}).json()["ticket"],
            "trace": admin.post("/v1/traces", {"twin": "door@acme.example"}).json()["trace"]}


def run(real, directory, names, which):
    (directory / "openapi.json").write_bytes(real.admin.get("/openapi.json").body)
    settings = directory / "schemathesis.toml"
    settings.write_text('[parameters]\n"query.timeout" = "1ms"\n' + "".join(f'"path.{name}" = "{value}"\n' for name, value in names.items()) + MORE)
    words = [SCHEMATHESIS, "--config-file", settings, "run", "openapi.json", "--url", f"http://127.0.0.1:{real.http_port}", "--phases", "examples,coverage",
             "--exclude-checks", OTHER_CHECKS, "--exclude-path-regex", "|".join([*LEFT_OUT.values(), STOPS]), "--seed", "1", "--no-color", "-H", f"Authorization: Bearer {real.admin.token}", *which]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S * 5, cwd=directory)


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="tools/setup --t8 was not run")
def test_no_answer_is_outside_the_description(real, tmp_path):
    names = things(real)
    told = 0
    for which in (["--exclude-method", "DELETE"], ["--include-method", "DELETE"]):  # what is there is asked for before it goes
        done = run(real, tmp_path, names, which)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        told += int(re.search(r"Tested: (\d+)", done.stdout)[1])
    described = [row for row in rows() if row["handler"] not in LEFT_OUT and STOPS not in row["path"] and not (row["scope"] == "open" and row["handler"] in ("keys", "issuer"))]
    assert told == len(described)  # each of them, but those named above and the public ones, which have no place under the API's root
    assert real.is_healthy() and real.metric("dromio_turns_total") > 0
