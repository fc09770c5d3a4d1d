"""A host that answers the HTTP API as the contract says, from memory: the peer
that the command line and the console are tested against. In a test:

    with FakeHost() as host:
        host.url, host.admin_token

Or by hand, with devices that report on their own:

    python3 test/peers/fake_host.py --port 8099 --twins 40 --live
"""

import argparse
import hashlib
import json
import math
import pathlib
import queue
import random
import re
import secrets
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from fake_twins import BLINK, DIGEST, THERMO, Host, Problem, Twin, check_value, rfc3339

CONSOLE = pathlib.Path(__file__).resolve().parents[2] / "console"
OPENAPI = pathlib.Path(__file__).resolve().parents[2] / "spec" / "openapi.json"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Answers:
    """One method for each operation; `ask` has query, headers and body."""

    def __init__(self, host):
        self.host = host
        twin, name = r"/v1/twins/([^/]+)", r"/([^/]+)"
        self.routes = [
            (method, re.compile(pattern + "$"), function)
            for method, pattern, function in (
                ("POST", "/v1/images", self.image_put),
                ("GET", "/v1/images", self.image_list),
                ("GET", "/v1/images" + name, self.image_get),
                ("GET", "/v1/twins", self.twin_list),
                ("GET", twin, self.twin_get),
                ("PUT", twin, self.twin_put),
                ("DELETE", twin, self.twin_delete),
                ("GET", twin + "/properties", self.properties),
                ("GET", twin + "/properties" + name, self.property_get),
                ("PUT", twin + "/properties" + name, self.property_put),
                ("POST", twin + "/actions" + name, self.action),
                ("GET", twin + "/tickets", self.ticket_list),
                ("GET", twin + "/tickets" + name, self.ticket_get),
                ("GET", twin + "/timeline", self.timeline),
                ("GET", twin + "/exposures", self.exposures),
                ("GET", twin + "/history", self.history),
                ("GET", twin + "/td", self.td),
                ("POST", "/v1/query", self.query),
                ("GET", "/v1/dead-letters", self.dead_letter_list),
                ("GET", "/v1/status", self.status),
                ("GET", "/v1/peers", self.peers),
                ("GET", "/v1/stops", lambda ask: (200, {"stops": self.host.stops})),
                ("GET", "/v1/charging", self.charging),
                ("POST", "/v1/applications", self.application_add),
                ("GET", "/v1/applications", self.application_list),
                ("GET", "/v1/applications" + name, self.application_get),
                ("DELETE", "/v1/applications" + name, self.application_delete),
                ("POST", "/v1/applications" + name + "/token", self.application_token),
                ("POST", "/v1/logins", self.login),
                ("GET", "/openapi.json", lambda ask: (200, json.loads(OPENAPI.read_text()))),
            )
        ]

    def twin(self, identifier):
        local, _, domain = identifier.partition("@")
        found = self.host.twins.get(f"{local}@{domain.lower()}")
        if found is None:
            raise Problem(404, "Not Found", "no such twin")
        return found

    def image_put(self, ask):
        if ask.body[:4] != b"\0asm":
            raise Problem(
                422,
                "Unprocessable Content",
                "the image is rejected",
                reasons=["not a WebAssembly module: bad magic", "no export dromio_abi_1"],
            )
        digest = "sha256:" + hashlib.sha256(ask.body).hexdigest()
        status = 200 if digest in self.host.images else 201
        self.host.images[digest] = {"model": "acme/thermo", "version": "1.0.0"}
        return status, {"image": digest, "model": "acme/thermo", "version": "1.0.0"}

    def image(self, digest):
        return {
            "image": digest,
            **self.host.images[digest],
            "twins": len(self.host.twins),
            "memory": 8192,
            "imports": ["property_set_number", "downlink"],
            **self.quarantined(digest),
        }

    def quarantined(self, digest):
        rows = [stop for stop in self.host.stops if stop.get("image") == digest]
        return {"quarantined": {name: rows[0][name] for name in ("by", "reason", "since")}} if rows else {}

    def image_list(self, ask):
        return 200, {"images": [self.image(digest) for digest in self.host.images]}

    def image_get(self, ask, digest):
        if digest not in self.host.images:
            raise Problem(404, "Not Found", "no such image")
        return 200, self.image(digest)

    def twin_list(self, ask):
        found = [twin for _, twin in sorted(self.host.twins.items())]
        if ask.query.get("model"):
            found = [twin for twin in found if ask.query["model"] in ("acme/thermo", "thermo")]
        if ask.query.get("tag"):
            name, _, value = ask.query["tag"].partition("=")
            found = [twin for twin in found if twin.tags.get(name) == value]
        start, limit = int(ask.query.get("cursor", 0)), int(ask.query.get("limit", 100))
        page = {"twins": [twin.public() for twin in found[start : start + limit]]}
        if start + limit < len(found):
            page["cursor"] = str(start + limit)
        return 200, page

    def twin_get(self, ask, identifier):
        twin = self.twin(identifier)
        ask.answer_headers["ETag"] = f'"{twin.revision}"'
        return 200, twin.public()

    def put(self, identifier, body, headers):
        unknown = set(body) - {"image", "model", "imsi", "msisdn", "aliases", "tags", "secrets"}
        if unknown:
            raise Problem(422, "Unprocessable Content", f"unknown members: {', '.join(sorted(unknown))}")
        if identifier.count("@") != 1:
            raise Problem(400, "Bad Request", "the id is not local@domain")
        taken = [
            twin.id
            for twin in self.host.twins.values()
            if body.get("imsi") and twin.imsi == body["imsi"] and twin.id != identifier
        ]
        if taken:
            raise Problem(409, "Conflict", "the IMSI is bound to another twin")
        twin = self.host.twins.get(identifier)
        if twin is not None and headers.get("If-None-Match") == "*":
            raise Problem(412, "Precondition Failed", "the twin is there already")
        if headers.get("If-Match") and (twin is None or headers["If-Match"] not in ("*", f'"{twin.revision}"')):
            raise Problem(412, "Precondition Failed", f"the twin's revision is {twin.revision if twin else 'none'}")
        status = 200 if twin is not None else 201
        if twin is None and not (body.get("model") or body.get("image")):
            raise Problem(422, "Unprocessable Content", "a new twin needs image or model")
        if twin is None:
            twin = self.host.twins[identifier] = Twin(identifier)
        else:
            twin.revision += 1
        twin.imsi = body.get("imsi", twin.imsi)
        for store, member in ((twin.tags, "tags"), (twin.secrets, "secrets")):
            for name, value in (body.get(member) or {}).items():
                store.pop(name, None)
                if value is not None:
                    store[name] = value
        return status, twin

    def twin_put(self, ask, identifier):
        status, twin = self.put(identifier, ask.json(), ask.headers)
        ask.answer_headers["ETag"] = f'"{twin.revision}"'
        return status, twin.public()

    def twin_delete(self, ask, identifier):
        twin = self.twin(identifier)
        if ask.headers.get("If-Match") not in (None, "*", f'"{twin.revision}"'):
            raise Problem(412, "Precondition Failed", f"the twin's revision is {twin.revision}")
        del self.host.twins[twin.id]
        return 204, None

    def properties(self, ask, identifier):
        return 200, self.twin(identifier).public()["properties"]

    def known(self, name):
        if name not in THERMO:
            raise Problem(404, "Not Found", f"no property {name}")
        return THERMO[name]

    def property_get(self, ask, identifier, name):
        self.known(name)
        return 200, self.twin(identifier).property(name)

    def wait(self, ask, ticket):
        reached = {"delivered": ("delivered", "reported"), "reported": ("reported",)}
        return (200 if ask.query.get("wait") and ticket["state"] in reached[ask.query["wait"]] else 202), dict(ticket)

    def property_put(self, ask, identifier, name):
        twin, schema, body = self.twin(identifier), self.known(name), ask.json()
        if schema["readOnly"]:
            raise Problem(405, "Method Not Allowed", f"{name} is read-only")
        check_value(schema, body.get("value"), name)
        return self.wait(ask, self.host.ticket(twin, "property", name, body["value"]))

    def action(self, ask, identifier, name):
        twin = self.twin(identifier)
        if name != "blink":
            raise Problem(404, "Not Found", f"no action {name}")
        check_value(BLINK["properties"]["seconds"], ask.json().get("seconds"), "seconds")
        return self.wait(ask, self.host.ticket(twin, "action", name, ask.json()))

    def ticket_list(self, ask, identifier):
        return 200, {"tickets": list(reversed(self.twin(identifier).tickets.values()))}

    def ticket_get(self, ask, identifier, number):
        tickets = self.twin(identifier).tickets
        if number not in tickets:
            raise Problem(404, "Not Found", "no such ticket")
        return 200, tickets[number]

    def charging(self, ask):
        return 200, self.host.charging

    def exposures(self, ask, identifier):
        return 200, {"exposures": self.twin(identifier).exposures, "more": False}

    def timeline(self, ask, identifier):
        twin = self.twin(identifier)
        events = twin.said + twin.events if "network" in ask.query else twin.events
        return 200, {"events": events[: int(ask.query.get("limit", 100))]}

    def history(self, ask, identifier):
        name = ask.query.get("property", "")
        self.known(name)
        rows = self.twin(identifier).history[name][: int(ask.query.get("limit", 500))]
        return 200, {"property": name, "unit": THERMO[name].get("unit"), "values": rows}

    def td(self, ask, identifier):
        twin = self.twin(identifier)
        ask.answer_headers["Content-Type"] = "application/td+json"
        form = {
            name: {**schema, "forms": [{"href": f"/v1/twins/{twin.id}/properties/{name}"}]}
            for name, schema in THERMO.items()
        }
        return 200, {
            "@context": "https://www.w3.org/2022/wot/td/v1.1",
            "id": f"urn:dromio:{twin.id}",
            "title": "Thermometer",
            "securityDefinitions": {"bearer": {"scheme": "bearer"}},
            "security": "bearer",
            "properties": form,
            "actions": {
                "blink": {"title": "Blink", "input": BLINK, "forms": [{"href": f"/v1/twins/{twin.id}/actions/blink"}]}
            },
            "events": {"too_hot": {"data": {"type": "number", "unit": "Cel"}, "forms": [{"href": "/v1/events"}]}},
        }

    def query(self, ask):
        sql = ask.json().get("sql", "")
        base = sqlite3.connect(":memory:")
        columns = ["id", "last_contact", "revision", "site"] + list(THERMO)
        rows = []
        for twin in self.host.twins.values():
            values = [(twin.properties[name] or (None,))[0] for name in THERMO]
            rows.append([twin.id, twin.last, twin.revision, twin.tags.get("site")] + values)
        for table in ("thermo", "acme/thermo"):
            base.execute(f'create table "{table}" ({", ".join(chr(34) + name + chr(34) for name in columns)})')
            base.executemany(f'insert into "{table}" values ({",".join("?" * len(columns))})', rows)
        try:
            cursor = base.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            near = re.search(r'near "(.+?)"', str(error))
            position = {"position": sql.find(near.group(1))} if near else {}
            raise Problem(400, "Bad Request", str(error), **position) from None
        return 200, {
            "columns": [column[0] for column in cursor.description or []],
            "rows": [list(row) for row in cursor],
            "micros": 412,
        }

    def dead_letter_list(self, ask):
        return 200, {"dead_letters": self.host.dead_letters}

    def status(self, ask):
        waiting = sum(twin.public()["mailbox"] for twin in self.host.twins.values())
        return 200, {
            "version": "0.1.0",
            "uptime_s": int(time.time() - self.host.started),
            "twins": len(self.host.twins),
            "images": len(self.host.images),
            "peers": 2,
            **self.host.counts,
            "dead_letters": len(self.host.dead_letters),
            "mailbox": waiting,
            "log_bytes": 20971520,
        }

    def peers(self, ask):
        row = {
            "realm": "dromio.test",
            "requests": self.host.counts["uplinks"],
            "answers": self.host.counts["downlinks"],
            "errors": 0,
        }
        return 200, {
            "peers": [
                {
                    "identity": "mme.dromio.test",
                    "state": "open",
                    "address": "127.0.0.1:40112",
                    "applications": ["t6a"],
                    **row,
                },
                {"identity": "hss.dromio.test", "state": "closed", "address": None, "applications": ["s6t"], **row},
            ]
        }

    def application_add(self, ask):
        body = ask.json()
        if body["id"] in self.host.applications:
            raise Problem(409, "Conflict", "the application is there already")
        self.host.applications[body["id"]] = {**body, "token": secrets.token_urlsafe(24)}
        return 201, {"id": body["id"], "token": self.host.applications[body["id"]]["token"]}

    def application(self, name):
        if name not in self.host.applications:
            raise Problem(404, "Not Found", "no such application")
        return self.host.applications[name]

    def shown(self, application):
        return {name: application[name] for name in ("id", "domains", "scopes")}

    def application_list(self, ask):
        return 200, {"applications": [self.shown(application) for application in self.host.applications.values()]}

    def application_get(self, ask, name):
        return 200, self.shown(self.application(name))

    def application_delete(self, ask, name):
        self.application(name)
        del self.host.applications[name]
        return 204, None

    def application_token(self, ask, name):
        self.application(name)["token"] = secrets.token_urlsafe(24)
        return 201, {"id": name, "token": self.application(name)["token"]}

    def login(self, ask):
        token = secrets.token_urlsafe(24)
        self.host.one_time.add(token)
        return 201, {"token": token, "expires": rfc3339(time.time() + 300)}

    def metrics(self):
        return "".join(
            f"# TYPE dromio_{name}_total counter\ndromio_{name}_total {count}\n"
            for name, count in self.host.counts.items()
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host = answers = None  # set by FakeHost

    def log_message(self, *arguments):
        pass

    def json(self):
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise Problem(400, "Bad Request", f"the body is not JSON: {error}") from None

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self.chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def chunks(self):
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            part = self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return
            yield part

    def send(self, status, body, content_type="application/json", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if body is not None and "Content-Type" not in dict(headers):
            self.send_header("Content-Type", content_type)
        if status != 204:
            self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def who(self):
        given = self.headers.get("Authorization", "")
        token = given[7:] if given.startswith("Bearer ") else ""
        tokens = {
            self.host.admin_token: "admin",
            **dict.fromkeys(self.host.sessions, "admin"),
            **dict.fromkeys(self.host.one_time, "one-time"),
            **{application["token"]: "application" for application in self.host.applications.values()},
        }
        return token, tokens.get(token)

    def serve_console(self, path):
        file = (CONSOLE / (path[len("/console/") :] or "index.html")).resolve()
        if CONSOLE not in file.parents or not file.is_file():
            raise Problem(404, "Not Found", "no such file")
        self.send(
            200,
            file.read_bytes(),
            CONTENT_TYPES.get(file.suffix, "application/octet-stream"),
            {
                "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-cache",
            },
        )

    def open_session(self, token, role):
        if role != "one-time":
            raise Problem(401, "Unauthorized", "the one-time token is used up or unknown")
        self.host.one_time.discard(token)
        session = secrets.token_urlsafe(24)
        self.host.sessions.add(session)
        self.send(201, json.dumps({"token": session, "expires": rfc3339(time.time() + 8 * 3600)}).encode())

    def stream(self):
        inbox = queue.Queue()
        with self.host.lock:
            first = len(self.host.log)
            resume = self.headers.get("Last-Event-ID")
            ids = [row[0] for row in self.host.log]
            if resume:
                first = ids.index(resume) + 1 if resume in ids else 0
            self.host.streams.append(inbox)
            backlog = range(first, len(self.host.log))
        cut, self.host.cut_stream_after = self.host.cut_stream_after, None
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.write(b": hello\n\n")
            if resume and resume not in ids:
                self.wfile.write(
                    b'event: dromio.gap.v1\ndata: {"specversion":"1.0","id":"gap","source":"/v1","type":"dromio.gap.v1"}\n\n'
                )
            for index in backlog:
                cut = self.write_event(index, cut)
            while cut is None or cut > 0:
                try:
                    cut = self.write_event(inbox.get(timeout=1), cut)
                except queue.Empty:
                    self.wfile.write(b": still here\n\n")
        except OSError:
            pass
        finally:
            self.host.streams.remove(inbox)

    def write_event(self, index, cut):
        event_id, kind, subject, name, data = self.host.log[index]
        wanted = self.query
        if (
            wanted.get("twin") not in (None, subject)
            or wanted.get("property") not in (None, name)
            or wanted.get("model") not in (None, "thermo", "acme/thermo")
        ):
            return cut
        self.wfile.write(f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n".encode())
        return None if cut is None else cut - 1

    def bulk(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pending = b""
        source = (
            self.chunks()
            if self.headers.get("Transfer-Encoding")
            else [self.rfile.read(int(self.headers["Content-Length"]))]
        )
        for part in source:
            *lines, pending = (pending + part).split(b"\n")
            self.bulk_lines(lines)
        self.bulk_lines([pending])
        self.wfile.write(b"0\r\n\r\n")

    def bulk_lines(self, lines):
        for line in lines:
            if not line.strip():
                continue
            result = {"id": ""}
            try:
                body = json.loads(line)
                result["id"] = body.pop("id", "")
                with self.host.lock:
                    result["status"], twin = self.answers.put(result["id"], body, {})
                result["revision"] = twin.revision
            except Problem as problem:
                result.update(status=problem.status, problem=problem.body)
            except ValueError:
                result.update(status=400, problem=Problem(400, "Bad Request", "the line is not JSON").body)
            text = json.dumps(result).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))

    def route(self):
        url = urlsplit(self.path)
        path = url.path
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.answer_headers, self.body = {}, b""
        if path == "/healthz":
            kinds = {stop["stop"]: None for stop in self.host.stops}
            return self.send(200, json.dumps({"status": "ok", **({"stopped": list(kinds)} if kinds else {})}).encode())
        if path.startswith("/console/") and self.command == "GET":
            return self.serve_console(path)
        token, role = self.who()
        if role is None or (role == "one-time" and path != "/v1/sessions"):
            self.close_connection = True
            raise Problem(401, "Unauthorized", "send Authorization: Bearer TOKEN")
        if (self.command, path) == ("POST", "/v1/twins:bulk") and not self.host.answer_next:
            return self.bulk()
        self.body = self.read_body()
        self.host.seen.append((self.command, self.path, dict(self.headers), self.body))
        if self.host.answer_next:
            answer = self.host.answer_next.pop(0)
            if isinstance(answer, Problem):
                raise answer
            self.close_connection = True
            return self.wfile.write(answer)
        if path == "/v1/sessions":
            return self.open_session(token, role)
        if role == "application" and path.startswith(("/v1/applications", "/v1/logins", "/v1/stops")):
            raise Problem(403, "Forbidden", "this needs the scope admin")
        if path == "/v1/events":
            return self.stream()
        if path == "/metrics":
            return self.send(200, self.answers.metrics().encode(), "text/plain; version=0.0.4")
        return self.dispatch(path)

    def dispatch(self, path):
        is_known = False
        for method, pattern, function in self.answers.routes:
            match = pattern.match(path)
            is_known = is_known or match is not None
            if match is not None and method == self.command:
                with self.host.lock:
                    status, body = function(self, *(unquote(part) for part in match.groups()))
                return self.send(
                    status, None if body is None else json.dumps(body).encode(), headers=self.answer_headers
                )
        raise Problem(405 if is_known else 404, "Method Not Allowed" if is_known else "Not Found", "no such thing here")

    def answer(self):
        try:
            self.route()
        except Problem as problem:
            headers = {"Retry-After": "1"} if problem.status == 503 else {}
            self.send(problem.status, json.dumps(problem.body).encode(), "application/problem+json", headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = answer


class FakeHost(Host):
    def __init__(self, port=0):
        super().__init__()
        handler = type("BoundHandler", (Handler,), {"host": self, "answers": Answers(self)})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *reason):
        self.server.shutdown()
        self.server.server_close()

    def fill(self, count):
        """Twins with a day of readings behind them."""
        chance = random.Random(7)
        with self.lock:
            for number in range(count):
                twin = Twin("meter-%03d@acme.example" % number, {"site": ("north", "south", "harbour")[number % 3]})
                self.twins[twin.id] = twin
                for step in range(144, 0, -1):
                    warm = 18 + 6 * math.sin((144 - step) / 23 + number) + chance.uniform(-0.4, 0.4)
                    self.uplink(twin, round(warm, 2), time.time() - step * 600 + chance.uniform(-20, 20))
                self.set_property(twin, "period", 600)
            self.dead_letters.append(
                {
                    "id": "meter-002@acme.example",
                    "time": rfc3339(),
                    "kind": "uplink",
                    "frame": "ff00",
                    "reason": "trap: out of bounds memory access",
                    "image": DIGEST,
                }
            )
            self.log.clear()

    def live(self, every):
        """Readings for as long as the process lives; whoever waits gets the command at its next one."""
        chance = random.Random()
        while True:
            time.sleep(every)
            with self.lock:
                twin = chance.choice(list(self.twins.values()))
                before = (twin.properties["temperature"] or (20,))[0]
                self.uplink(twin, round(before + chance.uniform(-0.5, 0.5), 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--twins", type=int, default=20)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--every", type=float, default=0.2, help="seconds between readings with --live")
    options = parser.parse_args()
    host = FakeHost(options.port)
    host.fill(options.twins)
    with host:
        token = Answers(host).login(None)[1]["token"]
        print(f"{host.url}\nadmin token {host.admin_token}\n{host.url}/console/#token={token}", flush=True)
        if options.live:
            host.live(options.every)
        threading.Event().wait()


if __name__ == "__main__":
    main()
