"""spec/openapi.json says the same as the table the router is made of."""

import csv
import json
import pathlib

SPEC = pathlib.Path(__file__).resolve().parents[2] / "spec"
DOCUMENT = json.loads((SPEC / "openapi.json").read_text())
METHODS = ("get", "put", "post", "delete", "patch")


def rows():
    lines = [line for line in (SPEC / "routes.csv").read_text().splitlines() if line and not line.startswith("#")]
    return list(csv.DictReader(lines))


def operations():
    for path, item in (DOCUMENT["paths"] | DOCUMENT["x-dromio-public"]).items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method], item.get("parameters", []) + item[method].get("parameters", [])


def resolved(parameter):
    return DOCUMENT["components"]["parameters"][parameter["$ref"].split("/")[-1]] if "$ref" in parameter else parameter


def test_both_name_the_same_operations():
    assert {(row["method"], row["path"]) for row in rows()} == {(method, path) for method, path, _, _ in operations()}


def test_public_is_what_needs_no_token():
    assert {row["path"] for row in rows() if row["scope"] == "open" and row["handler"] in ("keys", "issuer")} == set(DOCUMENT["x-dromio-public"])


def test_both_name_the_same_query_and_path_parameters():
    for row in rows():
        (parameters,) = (each for method, path, _, each in operations() if (method, path) == (row["method"], row["path"]))
        told = {(each["in"], each["name"]) for each in map(resolved, parameters) if each["in"] != "header"}
        fields = {("path", name.split("}")[0]) for name in row["path"].split("{")[1:]}
        assert told == fields | {("query", name) for name in (row["query"] or "").split()}, row["path"]


def test_both_name_the_same_scopes():
    for row in rows():
        ((operation),) = (each for method, path, each, _ in operations() if (method, path) == (row["method"], row["path"]))
        said = operation.get("x-dromio-scope", "").split()
        assert said == ([] if row["scope"] in ("open", "once", "any") else row["scope"].split()), row["path"]
        assert (operation.get("security") == []) == (row["scope"] == "open"), row["path"]


def test_every_operation_has_its_own_name_and_tells_of_failure():
    names = [operation["operationId"] for _, _, operation, _ in operations()]
    assert len(names) == len(set(names))
    for method, path, operation, _ in operations():
        assert "default" in operation["responses"], path
        assert any(code.startswith("2") or code == "101" for code in operation["responses"]), path


def test_every_reference_leads_somewhere():
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                place = DOCUMENT
                for step in node["$ref"].removeprefix("#/").split("/"):
                    place = place[step]
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(DOCUMENT)
