#!/usr/bin/env python3
"""Holds recorded messages of T8 and CAPIF against 3GPP's OpenAPI files.

usage: t8_check.py FOLDER RECORD...     (python of tools/setup --t8)

FOLDER has TS29122_*.yaml, TS29222_*.yaml and what they refer to. A RECORD is NDJSON as test/peers/t8_record.py writes it. Requests that
were taken (2xx), their answers, all refusals and all notifications must be as the files say. Prints what is not."""
import collections
import json
import pathlib
import re
import sys
import urllib.parse

import jsonschema_rs
import yaml

ROOT = "http://3gpp.example/"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test" / "peers"))
from t8_record import FILES  # noqa: E402

# Resources of this host's own beside those of the files.
OWN = re.compile(r"^/[^/]+/(configurations|subscriptions|transactions)/[^/]+/websocket$")
# What is told of an API's resource; the first that a body is like.
NOTIFICATIONS = {
    "3gpp-nidd": ["NiddUplinkDataNotification", "NiddDownlinkDataDeliveryStatusNotification", "NiddConfigurationStatusNotification",
                  "GmdNiddDownlinkDataDeliveryNotification"],
    "3gpp-monitoring-event": ["MonitoringNotification"],
    "3gpp-device-triggering": ["DeviceTriggeringDeliveryReportNotification"],
    "3gpp-network-parameter-configuration": ["ConfigurationNotification"],
}
LINKS = ["niddConfiguration", "niddDownlinkDataTransfer", "subscription", "transaction", "configuration"]


def as_json_schema(node):
    """OpenAPI 3.0 says nullable where JSON Schema says null."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: as_json_schema(value) for key, value in node.items() if key not in ("nullable", "example", "discriminator")}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


class Files:
    def __init__(self, folder):
        self.raw = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("TS*.yaml"))}
        resources = [(ROOT + name, as_json_schema(document)) for name, document in self.raw.items()]
        self.registry = jsonschema_rs.Registry(resources)
        self.known = {}

    def resolve(self, node, name):
        while isinstance(node, dict) and "$ref" in node:
            there, _, pointer = node["$ref"].partition("#")
            name = there or name
            node = self.raw[name]
            for step in pointer.strip("/").split("/"):
                node = node[step.replace("~1", "/").replace("~0", "~")]
        return node, name

    def wrong(self, pointer, name, value):
        """Why the value is not what the file says there; None: it is."""
        uri = f"{ROOT}{name}#{urllib.parse.quote(pointer, safe='/~')}"
        if uri not in self.known:
            self.known[uri] = jsonschema_rs.Draft202012Validator({"$ref": uri}, registry=self.registry)
        return next((f"{error.message} at /{'/'.join(map(str, error.instance_path))}" for error in self.known[uri].iter_errors(value)), None)


def escape(text):
    return text.replace("~", "~0").replace("/", "~1")


class Checker:
    def __init__(self, folder):
        self.files = Files(folder)
        self.paths = {api: {path: re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$") for path in self.files.raw[main]["paths"]}
                      for api, main in FILES.items()}
        self.counts = collections.Counter()

    def schema(self, main, pointer, node, value, content_type):
        """Of a request body or a response: `node` stands at `pointer` of the API's file."""
        node, name = self.files.resolve(node, main)
        if name != main or "$ref" in node:
            pointer = None
        content = node.get("content", {})
        kind = content_type if content_type in content else next(iter(content), None)
        if kind is None:
            return None if value is None else "a body that is not in the file"
        schema = content[kind]["schema"]
        if "$ref" in schema:
            there, _, inside = schema["$ref"].partition("#")
            return self.files.wrong(inside, there or name, value)
        assert pointer is not None, "a schema without a name in another file"
        return self.files.wrong(f"{pointer}/content/{escape(kind)}/schema", name, value)

    def exchange(self, record):
        api, main = record["api"], FILES[record["api"]]
        path = next((path for path, pattern in self.paths[api].items() if pattern.match(record["path"])), None)
        if path is None:
            return None if record["status"] in (401, 404) or OWN.match(record["path"]) else "a path that is not in the file"
        method = record["method"].lower()
        operation = self.files.raw[main]["paths"][path].get(method)
        if operation is None:
            return None if record["status"] in (401, 405) or method == "head" else "a method that is not in the file"
        at = f"/paths/{escape(path)}/{method}"
        self.counts[f"{api} {record['method']} {path} {record['status']}"] += 1
        if 200 <= record["status"] < 300 and record["has_body"] and "requestBody" in operation:
            reason = self.schema(main, at + "/requestBody", operation["requestBody"], record["body"], record["kind"])
            if reason:
                return "request: " + reason
        status = str(record["status"])
        if status not in operation["responses"] and "default" not in operation["responses"]:
            return f"status {status} is not in the file"
        key = status if status in operation["responses"] else "default"
        if not record["has_answer"]:
            return None
        if key == "default" or record["type"] == "application/problem+json":
            return self.files.wrong("/components/schemas/ProblemDetails", "TS29122_CommonData.yaml", record["answer"])
        reason = self.schema(main, f"{at}/responses/{key}", operation["responses"][key], record["answer"], record["type"])
        return reason and "answer: " + reason

    def notification(self, body):
        link = next((body[name] for name in LINKS if name in body), "") if isinstance(body, dict) else ""
        api = next((api for api in NOTIFICATIONS if f"/{api}/" in link), None)
        if api is None:
            return f"of no resource of a known API: {link}"
        kinds = NOTIFICATIONS[api]
        if set(body) == {"subscription"}:
            kinds = ["TestNotification"]
        elif set(body) <= {"niddConfiguration", "externalId", "msisdn", "managedPorts"}:
            kinds = ["ManagePortNotification"]  # it needs so little that others would pass for it
        if set(body) == {"niddConfiguration", "status"}:
            body = {**body, "externalId": "group@example.com"}  # of a group; the file has devices only in mind
        reasons = []
        for kind in kinds:
            name = "TS29122_CommonData.yaml" if kind == "TestNotification" else FILES[api]
            reason = self.files.wrong(f"/components/schemas/{kind}", name, body)
            if reason is None:
                self.counts[kind] += 1
                return None
            reasons.append(f"{kind}: {reason}")
        return "; ".join(reasons)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    checker = Checker(pathlib.Path(sys.argv[1]))
    wrong = set()
    for file in sys.argv[2:]:
        for line in open(file, encoding="utf-8"):
            record = json.loads(line)
            reason = checker.notification(record["notification"]) if "notification" in record else checker.exchange(record)
            if reason:
                what = "notification" if "notification" in record else f"{record['api']} {record['method']} {record['path']} -> {record['status']}"
                wrong.add(f"{re.sub(r'[0-9a-f]{16}', 'ID', what)}: {reason}")
    for name, count in sorted(checker.counts.items()):
        print(f"{count:7} {name}")
    print(*sorted(wrong), sep="\n", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
