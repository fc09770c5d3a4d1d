#!/usr/bin/env python3
"""Makes C out of spec/routes.csv.

  routes.py table  routes.csv OUT.h            the router's table
  routes.py openapi routes.csv IN.json OUT.c   /openapi.json as bytes; without IN.json a
                                               bare document of the routes themselves
"""
import csv
import json
import os
import re
import sys

PARAMETERS = {"id": "ID", "name": "NAME", "digest": "DIGEST", "ticket": "TICKET", "application": "APPLICATION",
              "scsAsId": "SCS_AS", "configurationId": "CONFIGURATION", "downlinkDataDeliveryId": "DELIVERY", "group": "GROUP",
              "securityId": "SECURITY", "subscriptionId": "CONFIGURATION", "transactionId": "CONFIGURATION", "setId": "SET_ID", "apiInvokerId": "INVOKER", "onboardingId": "INVOKER", "apfId": "APF", "serviceApiId": "SERVICE_API", "domain": "DOMAIN", "trace": "TRACE", "portId": "RDS_PORT"}
QUERIES = ["model", "tag", "limit", "cursor", "wait", "timeout", "property", "twin", "after", "network", "state", "history",
           "api-invoker-id", "api-name", "api-version", "comm-type", "protocol", "aef-id", "data-format", "api-cat", "preferred-aef-loc",
           "supported-features", "api-supported-features", "authenticationInfo", "authorizationInfo"]
SCOPES = ["read", "write", "images", "nidd", "monitoring", "trigger", "parameters", "provision", "capif", "admin"]
HANDLERS = ["core", "health", "metrics", "openapi", "upload", "bulk", "description", "stream", "query", "backup",
            "token", "keys", "issuer", "websocket", "ccf"]
BODIES = ["none", "twin", "property", "action", "application", "query", "image", "bulk",
          "nidd_configuration", "nidd_configuration_patch", "nidd_delivery", "nidd_delivery_patch", "group",
          "form", "trace", "application_patch", "rds_port", "t8", "t8_patch", "t8_set", "t8_coverage",
          "capif_check", "capif_revoke", "capif_notification", "capif_invoker", "capif_invoker_patch", "capif_security", "stop", "image_patch"]
# Acts of src/twin/audit.h that nobody but the host does have no route.
ACT = re.compile(r"^(-|[a-z0-9-]+(\.[a-z0-9-]+)+)$")
METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE"]


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    seen = set()
    for row in rows:
        where = f"{row['method']} {row['path']}"
        assert where not in seen, f"{where}: twice"
        seen.add(where)
        assert len(where) <= 255, f"{where}: longer than ROUTE_NAME_MAX"
        assert row["method"] in METHODS, where
        assert row["handler"] in HANDLERS and row["body"] in BODIES, where
        assert ACT.match(row["audit"] or ""), f"{where}: its column audit names an act of src/twin/audit.h, or is - where nothing is changed"
        assert row["audit"] != "-" or row["method"] == "GET" or row["note"], f"{where}: why does the audit log not tell of it? Say so in its note"
        assert all(query in QUERIES for query in row["query"].split()), where
        assert all(name in PARAMETERS for name in re.findall(r"\{(\w+)\}", row["path"])), where
    return rows


def scope_of(row):
    words = row["scope"].split()
    if words in (["any"], ["open"], ["once"]):
        return f"ROUTE_{words[0].upper()}"
    assert all(word in SCOPES for word in words), row["path"]
    return " | ".join(f"SCOPE_{word.upper()}" for word in words)


def segment(text):
    if text.startswith("{"):
        return f'{{ NULL, 0, PARAMETER_{PARAMETERS[text[1:-1]]} }}'
    return f'{{ "{text}", {len(text)}, PARAMETER_NONE }}'


def write_table(rows, out):
    paths = []
    for row in rows:
        if row["path"] not in paths:
            paths.append(row["path"])
    out.write("/* Made by tools/routes.py from spec/routes.csv. */\n")
    out.write(f"enum {{ ROUTES = {len(rows)}, ROUTE_PATHS = {len(paths)} }};\n\n")
    out.write("static const route routes[ROUTES] = {\n")
    for row in rows:
        operation = "0" if row["operation"] == "-" else f"API_{row['operation']}"
        act = "AUDIT_NONE" if row["audit"] == "-" else f"AUDIT_{re.sub('[.-]', '_', row['audit']).upper()}"
        queries = " | ".join(f"QUERY_{query.upper().replace('-', '_')}" for query in row["query"].split()) or "0"
        out.write(f'    {{ METHOD_{row["method"]}, HANDLER_{row["handler"].upper()}, BODY_{row["body"].upper()}, '
                  f'{operation}, {act}, {scope_of(row)}, {queries}, "{row["method"]} {row["path"]}" }},\n')
    out.write("};\n\n")
    out.write("static const route_path route_paths[ROUTE_PATHS] = {\n")
    for path in paths:
        segments = path[1:].split("/")
        by_method = []
        for method in METHODS:
            index = [i for i, row in enumerate(rows) if row["path"] == path and row["method"] == method]
            by_method.append(f"[METHOD_{method}] = {index[0] + 1}" if index else None)
        allow = []
        for method in METHODS:
            if any(row["path"] == path and row["method"] == method for row in rows):
                allow += ["GET", "HEAD"] if method == "GET" else [method]
        out.write(f"    {{ {len(segments)}, {{ {', '.join(segment(part) for part in segments)} }},\n"
                  f"      {{ {', '.join(item for item in by_method if item)} }}, \"{', '.join(allow)}\" }},\n")
    out.write("};\n")


def bare_openapi(rows):
    paths = {}
    for row in rows:
        operation = {"operationId": re.sub(r"\W+", "_", f"{row['method'].lower()}_{row['path'].strip('/')}"),
                     "responses": {"default": {"description": row["note"] or "see the manual"}}}
        names = [(name, "path") for name in re.findall(r"\{(\w+)\}", row["path"])]
        names += [(name, "query") for name in row["query"].split()]
        operation["parameters"] = [{"name": name, "in": place, "required": place == "path",
                                    "schema": {"type": "string"}} for name, place in names]
        if row["body"] != "none":
            operation["requestBody"] = {"content": {"*/*": {"schema": {}}}}
        if row["scope"] == "open":
            operation["security"] = []
        paths.setdefault(row["path"], {})[row["method"].lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "Dromio", "version": "1"}, "paths": paths,
            "security": [{"bearer": []}],
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}}


def write_openapi(rows, path, out):
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    else:
        document = bare_openapi(rows)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    out.write('/* Made by tools/routes.py. */\n#include "gate/openapi_json.h"\n\nconst unsigned char openapi_json[] = {\n')
    for at in range(0, len(text), 24):
        out.write("    " + ",".join(str(byte) for byte in text[at:at + 24]) + ",\n")
    out.write("};\nconst size_t openapi_json_bytes = sizeof openapi_json;\n")


def main():
    rows = rows_of(sys.argv[2])
    with open(sys.argv[-1], "w", encoding="utf-8") as out:
        if sys.argv[1] == "table":
            write_table(rows, out)
        else:
            write_openapi(rows, sys.argv[3], out)


if __name__ == "__main__":
    main()
