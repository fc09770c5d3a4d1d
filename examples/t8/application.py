#!/usr/bin/env python3
"""A small application of T8 (TS 29.122): configures non-IP data delivery of a device and prints what it is told.

usage: application.py HOST APPLICATION TOKEN_FILE DEVICE [LOCATION_FILE]

HOST is the host's address, http://127.0.0.1:8080; its t8.allow_callbacks must have 127.0.0.0/8. DEVICE is an External
Identifier, meter-17@acme.example. The configuration's address is printed, and written to LOCATION_FILE. Nothing but
Python's standard library is needed. Ctrl-C ends it; the configuration stays and is taken up again the next time."""
import base64
import http.server
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
        if "data" in what:
            what["data"] = base64.b64decode(what["data"]).hex()
        say(json.dumps(what))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def configure(base, token, device, destination):
    """The configuration's address: one of before with the new destination, or a new one."""
    status, known = call("GET", base, token)
    for configuration in known if status == 200 else []:
        if configuration.get("externalId") == device and configuration["status"] == "ACTIVE":
            call("PATCH", configuration["self"], token, {"notificationDestination": destination})
            return configuration["self"]
    status, made = call("POST", base, token, {"externalId": device, "notificationDestination": destination})
    if status != 201:
        raise ConnectionError(f"{status} {made}")
    return made["self"]


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    host, application, token_file, device = sys.argv[1:5]
    token = pathlib.Path(token_file).read_text().strip()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notifications)
    destination = f"http://127.0.0.1:{server.server_address[1]}/"
    for is_last in [False] * TRIES + [True]:
        try:
            location = configure(f"{host}/3gpp-nidd/v1/{application}/configurations", token, device, destination)
            break
        except OSError as problem:
            if is_last:
                sys.exit(f"no configuration for {device}: {problem}")
            time.sleep(1)
    if len(sys.argv) == 6:
        pathlib.Path(sys.argv[5]).write_text(location + "\n")
    say(f"configuration {location}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
