"""What the fake host knows: its twins, tickets, applications and events."""

import hashlib
import json
import random
import secrets
import threading
import time
from datetime import datetime, timezone

THERMO = {
    "temperature": {"type": "number", "unit": "Cel", "readOnly": True},
    "humidity": {"type": "number", "unit": "%", "readOnly": True},
    "battery": {"type": "number", "unit": "V", "readOnly": True},
    "average": {"type": "number", "unit": "Cel", "readOnly": True},
    "battery_low": {"type": "boolean", "readOnly": True},
    "readings": {"type": "integer", "readOnly": True},
    "rejected": {"type": "integer", "readOnly": True},
    "period": {"type": "integer", "unit": "s", "minimum": 10, "maximum": 65535, "readOnly": False},
    "limit": {"type": "number", "unit": "Cel", "readOnly": False},
}
BLINK = {
    "type": "object",
    "properties": {"seconds": {"type": "integer", "minimum": 1, "maximum": 255}},
    "required": ["seconds"],
}
DIGEST = "sha256:" + hashlib.sha256(b"thermo").hexdigest()


def rfc3339(seconds=None):
    when = datetime.fromtimestamp(time.time() if seconds is None else seconds, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Problem(Exception):
    def __init__(self, status, title, detail="", **members):
        super().__init__(detail)
        self.status = status
        self.body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}


class Twin:
    def __init__(self, identifier, tags=None):
        self.id, self.tags, self.revision, self.imsi, self.aliases = identifier, tags or {}, 1, None, []
        self.properties = {name: None for name in THERMO}
        self.history = {name: [] for name in THERMO}
        self.desired, self.tickets, self.events, self.secrets = {}, {}, [], {}
        self.last = self.next = None
        self.why = "unknown"
        self.exposures, self.said, self.network, self.schedule = [], [], {}, {}  # network: "connection"
        self.aside = {}  # "penalty", "probation"

    def property(self, name):
        value, at, quality, source = self.properties[name] or (None, None, None, None)
        shown = {"value": value, "unit": THERMO[name].get("unit"), "time": at, "quality": quality, "source": source}
        if name in self.desired:
            ticket = self.tickets[self.desired[name]]
            shown["desired"] = {
                "value": ticket["value"],
                "time": ticket["time"],
                "state": ticket["state"],
                "ticket": ticket["ticket"],
            }
        return shown

    def public(self):
        waiting = sum(1 for ticket in self.tickets.values() if ticket["state"] in ("pending", "sent"))
        return {
            "id": self.id,
            "model": "acme/thermo",
            "image": DIGEST,
            "revision": self.revision,
            "tags": self.tags,
            "properties": {name: self.property(name) for name in THERMO},
            "contact": {"last": self.last, "next": self.next, "why": self.why, **({"schedule": self.schedule} if self.schedule else {})},
            "mailbox": waiting,
            **self.network,
            **self.aside,
        }


class Host:
    """What the host knows; every method runs under its lock."""

    def __init__(self):
        self.lock = threading.RLock()
        self.admin_token = secrets.token_urlsafe(24)
        self.one_time, self.sessions, self.applications = set(), set(), {}
        self.charging = {"enabled": False}
        self.stops = []
        self.twins, self.images, self.dead_letters = {}, {DIGEST: {"model": "acme/thermo", "version": "1.0.0"}}, []
        self.log, self.streams, self.tickets_made = [], [], 0
        self.counts = dict.fromkeys(("turns", "commits", "uplinks", "downlinks"), 0)
        self.started = time.time()
        # What a test may ask for.
        self.seen = []  # (method, path with query, headers, body) of every request
        self.answer_next = []  # Problem to raise, or bytes to send raw, for the next requests
        self.cut_stream_after = None  # events after which a stream is cut, once
        self.reported_at_once = False  # commands are confirmed as soon as they are given

    def publish(self, kind, twin, data):
        event_id = "%x-%08x" % (int(self.started), len(self.log) + 1)
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/v1",
            "type": kind,
            "subject": twin.id,
            "time": rfc3339(),
            "datacontenttype": "application/json",
            "data": data,
        }
        self.log.append((event_id, kind, twin.id, data.get("property"), json.dumps(event, separators=(",", ":"))))
        for stream in list(self.streams):
            stream.put(len(self.log) - 1)

    def set_property(self, twin, name, value, quality="good", source="device", at=None):
        at = at or rfc3339()
        twin.properties[name] = (value, at, quality, source)
        twin.history[name].insert(0, {"time": at, "value": value, "quality": quality, "source": source})
        del twin.history[name][500:]
        self.publish(
            "dromio.property.changed.v1",
            twin,
            {
                "property": name,
                "value": value,
                "unit": THERMO[name].get("unit"),
                "time": at,
                "quality": quality,
                "source": source,
            },
        )

    def uplink(self, twin, temperature, at=None, period=600):
        """A reading arrives: what waited leaves right after it."""
        now = time.time() if at is None else at
        twin.last, twin.next, twin.why = rfc3339(now), rfc3339(now + period), "learned"
        sequence = len(twin.history["temperature"]) % 256
        frame = (
            bytes([1, sequence])
            + int(temperature * 100).to_bytes(2, "big", signed=True)
            + bytes([100])
            + (3105).to_bytes(2, "big")
        )
        check = 0
        for byte in frame:
            check ^= byte
        values = [row["value"] for row in twin.history["temperature"][:15]] + [temperature]
        changed = {
            "temperature": temperature,
            "humidity": 50.0,
            "battery": 3.105,
            "battery_low": False,
            "average": round(sum(values) / len(values), 2),
            "readings": len(twin.history["temperature"]) + 1,
        }
        for name, value in changed.items():
            is_own = name in ("average", "battery_low", "readings")
            self.set_property(
                twin,
                name,
                value,
                "corrected" if name == "temperature" else "good",
                "twin" if is_own else "device",
                rfc3339(now),
            )
        twin.events.insert(
            0,
            {
                "time": rfc3339(now),
                "kind": "uplink",
                "id": 0,
                "frame": (frame + bytes([check])).hex(),
                "outcome": "handled",
                "cpu_micros": round(random.uniform(0.6, 1.4), 2),
                "properties": changed,
                "downlinks": [],
                "notifications": [],
                "timers": [],
                "log": [],
            },
        )
        del twin.events[100:]
        for count in ("turns", "uplinks", "commits"):
            self.counts[count] += 1
        for ticket in list(twin.tickets.values()):
            if ticket["state"] == "pending":
                self.confirm(twin, ticket)

    def confirm(self, twin, ticket):
        for state in ("sent", "delivered", "reported") if "property" in ticket else ("sent", "delivered"):
            ticket.update(state=state, time=rfc3339(), next=None)
            self.publish("dromio.ticket.v1", twin, dict(ticket))
        self.counts["downlinks"] += 1
        if "property" in ticket:
            self.set_property(twin, ticket["property"], ticket["value"])

    def ticket(self, twin, what, name, value):
        self.tickets_made += 1
        number = str(self.tickets_made)
        if what == "property":
            for old in twin.tickets.values():
                if old.get("property") == name and old["state"] == "pending":
                    old.update(state="superseded", time=rfc3339(), next=None, reason="a newer write took its place")
            twin.desired[name] = number
        twin.tickets[number] = {
            "ticket": number,
            "state": "pending",
            what: name,
            "value": value,
            "time": rfc3339(),
            "next": twin.next,
            "reason": None,
        }
        twin.revision += 1
        self.counts["turns"] += 1
        self.counts["commits"] += 1
        twin.events.insert(
            0,
            {
                "time": rfc3339(),
                "kind": "property_write" if what == "property" else "action",
                "id": name,
                "outcome": "handled",
                "cpu_micros": 0.7,
                "properties": {},
                "downlinks": ["81%04x" % 600],
                "notifications": [],
                "timers": [],
                "log": [],
            },
        )
        self.publish("dromio.ticket.v1", twin, dict(twin.tickets[number]))
        if self.reported_at_once:
            self.confirm(twin, twin.tickets[number])
        return twin.tickets[number]


def check_value(schema, value, where):
    kinds = {"number": (int, float), "integer": (int,), "boolean": (bool,), "string": (str,)}[schema["type"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and schema["type"] != "boolean"):
        raise Problem(
            422,
            "Unprocessable Content",
            f"{where}: not a {schema['type']}",
            reasons=[f"{where}: not a {schema['type']}"],
        )
    for bound, wrong in (("minimum", lambda limit: value < limit), ("maximum", lambda limit: value > limit)):
        if bound in schema and wrong(schema[bound]):
            reason = f"{where}: {value} is beyond the {bound} {schema[bound]}"
            raise Problem(422, "Unprocessable Content", reason, reasons=[reason])
