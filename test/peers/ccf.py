"""A CAPIF core function (TS 29.222) by other hands: an HTTP(S) server that registers API providers, takes what they publish,
and remembers what was asked of it. What it says and hears is kept for test_t8_spec.py."""
import http.server
import json
import ssl
import threading
import types

import t8_record


class CoreFunction:
    def __init__(self, context=None, secret=None, port=0):
        self.lock = threading.Lock()
        self.asked = []          # (method, path, body, status, common name of the client's certificate)
        self.apis = {}           # apfId -> {serviceApiId: description}
        self.registrations = {}
        self.secret, self.number = secret, 0
        self.broken = None       # status of every answer, a function of (method, path) that gives one, or None
        self.has_list = True
        self.raw = None          # (status, body, Location) of every answer, whatever was asked
        core = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                given = json.loads(body) if body else None
                if core.raw is not None:
                    self.say_raw(*core.raw)
                    return
                status, answer, location = core.answer(self.command, self.path, given)
                certificate = self.connection.getpeercert() if hasattr(self.connection, "getpeercert") else None
                name = dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else None
                with core.lock:
                    core.asked.append((self.command, self.path, given, status, name))
                data = json.dumps(answer).encode() if answer is not None else b""
                kind = "application/problem+json" if status >= 400 else "application/json"
                t8_record.exchange(self.command, self.path, body, types.SimpleNamespace(status=status, headers={"Content-Type": kind}, body=data))
                self.send_response(status)
                if location:
                    self.send_header("Location", core.root + location)
                if data:
                    self.send_header("Content-Type", kind)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def say_raw(self, status, data, location):
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address):
                if context is not None:
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

            def handle_error(self, request, client_address):
                pass  # a handshake that failed is the test's to see

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.root = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def name(self, what):
        self.number += 1
        return f"{what}{self.number}"

    def answer(self, method, path, body):
        broken = self.broken(method, path) if callable(self.broken) else self.broken
        if broken is not None:
            return broken, {"status": broken, "title": "Broken"}, None
        parts = path.strip("/").split("/")
        if parts[:2] == ["api-provider-management", "v1"]:
            return self.register(method, parts[3:], body)
        if parts[:2] == ["published-apis", "v1"] and parts[3:4] == ["service-apis"]:
            return self.publish(method, parts[2], parts[4:], body)
        return 404, {"status": 404, "title": "Not Found"}, None

    def register(self, method, rest, body):
        if method == "DELETE":
            return (204, None, None) if self.registrations.pop(rest[0], None) else (404, {"status": 404}, None)
        if body["regSec"] != self.secret:
            return 403, {"status": 403, "title": "Forbidden"}, None
        functions = [{**function, "apiProvFuncId": self.name(function["apiProvFuncRole"])} for function in body["apiProvFuncs"]]
        registration = self.name("registration")
        self.registrations[registration] = {**body, "apiProvDomId": registration, "apiProvFuncs": functions}
        return 201, self.registrations[registration], f"/api-provider-management/v1/registrations/{registration}"

    def publish(self, method, apf, rest, body):
        if self.secret and not any(f["apiProvFuncId"] == apf for r in self.registrations.values() for f in r["apiProvFuncs"]):
            return 404, {"status": 404, "title": "Not Found", "detail": "no such publisher"}, None
        apis = self.apis.setdefault(apf, {})
        if method == "GET" and not rest:
            return (200, list(apis.values()), None) if self.has_list else (404, {"status": 404}, None)
        if method == "POST":
            made = self.name("api")
            apis[made] = {**body, "apiId": made}
            return 201, apis[made], f"/published-apis/v1/{apf}/service-apis/{made}"
        if rest[0] not in apis:
            return 404, {"status": 404, "title": "Not Found"}, None
        if method == "DELETE":
            del apis[rest[0]]
            return 204, None, None
        apis[rest[0]] = {**body, "apiId": rest[0]}
        return 200, apis[rest[0]], None

    # ---- for tests ----

    def published(self, apf=None):
        """{name: description} of one publisher, or of all."""
        found = [api for at, apis in self.apis.items() if apf in (None, at) for api in list(apis.values())]
        assert len({api["apiName"] for api in found}) == len(found), "an API is published twice"
        return {api["apiName"]: api for api in found}

    def asked_for(self, method, part=""):
        with self.lock:
            return [path for at, path, *_ in self.asked if at == method and part in path]
