#!/usr/bin/env python3
"""A small application of T8 (TS 29.122): configures non-IP data delivery of a device, and of a group of them, watches devices
get lost and come back, wakes one, and prints what it is told.

usage: application.py [--watch GROUP] [--wake DEVICE] HOST APPLICATION TOKEN_FILE DEVICE [LOCATION_FILE [GROUP LOCATION_FILE]]

HOST is the host's address, http://127.0.0.1:8080; its t8.allow_callbacks must have 127.0.0.0/8. DEVICE is an External
Identifier, meter-17@acme.example, GROUP an External Group Identifier, meters@acme.example. A configuration's address is printed, and
written to its LOCATION_FILE. --watch is told of each device of the group that is lost, and then once of that device when it can be reached
again; --wake triggers a device. Nothing but Python's standard library is needed. Ctrl-C ends it; the configuration stays and is taken up
again the next time."""
import argparse
import base64
import collections
import functools
import http.server
import itertools
import json
import pathlib
import sys
import threading
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
    on_lost = None  # called with an External Identifier

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = {name: value for name, value in told.items()
                if name not in ("niddConfiguration", "niddDownlinkDataTransfer", "subscription", "transaction")}
        if "gmdResults" in what:  # of each member that is done since the last one
            what["gmdResults"] = collections.Counter(result["deliveryStatus"] for result in what["gmdResults"])
        if "data" in what:
            what["data"] = base64.b64decode(what["data"]).hex()
        say(json.dumps(what))
        self.send_response(204)
        self.end_headers()
        for report in told.get("monitoringEventReports", []):
            if report["monitoringType"] == "LOSS_OF_CONNECTIVITY" and "externalId" in report:
                threading.Thread(target=self.on_lost, args=[report["externalId"]], daemon=True).start()

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


def watch(base, token, destination, group):
    """Told of each device of the group that is lost, until the subscription of the next run takes its place."""
    status, known = call("GET", base, token)
    for subscription in known if status == 200 else []:
        call("DELETE", subscription["self"], token)
    status, made = call("POST", base, token, {
        "externalGroupId": group, "monitoringType": "LOSS_OF_CONNECTIVITY", "maximumDetectionTime": 30, "groupReportGuardTime": 2,
        "maximumNumberOfReports": 1000, "notificationDestination": destination})
    say(f"subscription {made['self']} of {group}" if status == 201 else f"no subscription for {group}: {status} {made}")


def watch_back(base, token, destination, device):
    """Told once when a lost device can be reached again."""
    status, refusal = call("POST", base, token, {
        "externalId": device, "monitoringType": "UE_REACHABILITY", "reachabilityType": "DATA", "maximumNumberOfReports": 1,
        "notificationDestination": destination})
    if status not in (200, 201):
        say(f"no subscription for {device}: {status} {refusal}")


def wake(base, token, destination, device):
    """Triggers a device; what became of it is a notification."""
    status, made = call("POST", base, token, {
        "externalId": device, "validityPeriod": 60, "priority": "NO_PRIORITY", "applicationPortId": 1, "triggerPayload": "AQ==",
        "notificationDestination": destination})
    say(f"trigger {made['self']} of {device}: {made['deliveryResult']}" if status == 201 else f"no trigger for {device}: {status} {made}")


def arguments():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    parser.add_argument("--watch")
    parser.add_argument("--wake")
    parser.add_argument("positional", nargs="*")
    given = parser.parse_args()
    if len(given.positional) not in (4, 5, 7):
        sys.exit(__doc__)
    return given


def main():
    given = arguments()
    host, application, token_file = given.positional[:3]
    token = pathlib.Path(token_file).read_text().strip()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notifications)
    destination = f"http://127.0.0.1:{server.server_address[1]}/"
    say(f"listening at {destination}")
    subscriptions = f"{host}/3gpp-monitoring-event/v1/{application}/subscriptions"
    Notifications.on_lost = staticmethod(functools.partial(watch_back, subscriptions, token, destination))
    wanted = zip(("externalId", "externalGroupId"), itertools.zip_longest(given.positional[3::2], given.positional[4::2]))
    for member, (identifier, location_file) in wanted:
        location = configured(f"{host}/3gpp-nidd/v1/{application}/configurations", token, member, identifier, destination)
        if location_file:
            pathlib.Path(location_file).write_text(location + "\n")
        say(f"configuration {location} of {identifier}")
    if given.watch:
        watch(subscriptions, token, destination, given.watch)
    if given.wake:
        wake(f"{host}/3gpp-device-triggering/v1/{application}/transactions", token, destination, given.wake)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
