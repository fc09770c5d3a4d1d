#!/usr/bin/env python3
"""A small application of T8 (TS 29.122): configures non-IP data delivery of a device, and of a group of them, and prints what it is told.

usage: application.py HOST APPLICATION TOKEN_FILE DEVICE [LOCATION_FILE [GROUP LOCATION_FILE]]

HOST is the host's address, http://127.0.0.1:8080; its t8.allow_callbacks must have 127.0.0.0/8. DEVICE is an External
Identifier, meter-17@acme.example, GROUP an External Group Identifier, meters@acme.example. A configuration's address is printed, and
written to its LOCATION_FILE. Nothing but
Python's standard library is needed. Ctrl-C ends it; the configuration stays and is taken up again the next time."""
import base64
import collections
import http.server
import itertools
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

TRIES = 60  # a second between: while the host starts, or asks an HSS that is not there yet


def call(method, url, token, body=None):
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, fields, method=method), timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode(errors="replace")


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Notifications(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = {name: value for name, value in told.items() if name not in ("niddConfiguration", "niddDownlinkDataTransfer")}
        if "gmdResults" in what:  # of each member that is done since the last one
            what["gmdResults"] = collections.Counter(result["deliveryStatus"] for result in what["gmdResults"])
        if "data" in what:
            what["data"] = base64.b64decode(what["data"]).hex()
        say(json.dumps(what))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def configure(base, token, member, identifier, destination):
    """The address of the configuration of a device (member "externalId") or group ("externalGroupId"): one of before
    with the new destination, or a new one."""
    status, known = call("GET", base, token)
    for configuration in known if status == 200 else []:
        if configuration.get(member) == identifier and configuration["status"] == "ACTIVE":
            call("PATCH", configuration["self"], token, {"notificationDestination": destination})
            return configuration["self"]
    status, made = call("POST", base, token, {member: identifier, "notificationDestination": destination})
    if status != 201:
        raise ConnectionError(f"{status} {made}")
    return made["self"]


def configured(base, token, member, identifier, destination):
    """The same, tried for a while."""
    for is_last in [False] * TRIES + [True]:
        try:
            return configure(base, token, member, identifier, destination)
        except OSError as problem:
            if is_last:
                sys.exit(f"no configuration for {identifier}: {problem}")
            time.sleep(1)


def main():
    if len(sys.argv) not in (5, 6, 8):
        sys.exit(__doc__)
    host, application, token_file = sys.argv[1:4]
    token = pathlib.Path(token_file).read_text().strip()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notifications)
    destination = f"http://127.0.0.1:{server.server_address[1]}/"
    say(f"listening at {destination}")
    wanted = zip(("externalId", "externalGroupId"), itertools.zip_longest(sys.argv[4::2], sys.argv[5::2]))
    for member, (identifier, location_file) in wanted:
        location = configured(f"{host}/3gpp-nidd/v1/{application}/configurations", token, member, identifier, destination)
        if location_file:
            pathlib.Path(location_file).write_text(location + "\n")
        say(f"configuration {location} of {identifier}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
