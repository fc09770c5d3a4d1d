"""Runs build/test/peers/http_harness, the gate with a scripted core, and talks to it
byte by byte: what a well-behaved client library would never send."""
import http.client
import json
import os
import pathlib
import socket
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HARNESS = pathlib.Path(os.environ.get("DROMIO_BUILD", ROOT / "build")) / "test" / "peers" / "http_harness"
WAIT = 60  # seconds: a generous limit, never a measurement

# enum api_operation and enum api_field of src/ring/message.h
OPERATIONS = ["", "IMAGE_PUT", "IMAGE_LIST", "IMAGE_GET", "TWIN_PUT", "TWIN_GET", "TWIN_DELETE", "TWIN_LIST", "PROPERTY_LIST",
              "PROPERTY_GET", "PROPERTY_PUT", "ACTION", "TICKET_LIST", "TICKET_GET", "TIMELINE", "HISTORY", "THING_DESCRIPTION",
              "APPLICATION_PUT", "APPLICATION_LIST", "APPLICATION_GET", "APPLICATION_DELETE", "APPLICATION_TOKEN", "LOGIN",
              "SESSION", "DEAD_LETTERS", "STATUS", "PEERS", "METRICS", "BARRIER"]
FIELDS = ["", "ID", "NAME", "IMAGE", "MODEL", "IMSI", "MSISDN", "ALIAS", "TAG", "SECRET", "VALUE", "INPUT", "IF_MATCH",
          "IF_NONE_MATCH", "IDEMPOTENCY", "LIMIT", "CURSOR", "WAIT", "TIMEOUT", "TICKET", "APPLICATION", "DOMAIN", "SCOPES",
          "BODY", "LAST", "NULLED", "TOKEN", "RESUME", "PROPERTY"]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def operation(self):
        """What the scripted core says it was asked."""
        return OPERATIONS[self.json()["operation"]]

    def fields(self):
        """The fields it was asked with: name -> list of bytes."""
        found = {}
        for tag, text in self.json()["fields"]:
            if tag != 0:
                found.setdefault(FIELDS[tag], []).append(bytes.fromhex(text))
        return found


class Wire:
    """A connection; what is read is kept for the next answer."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def answer(self, method="GET"):
        response = http.client.HTTPResponse(_Kept(self.file), method=method)
        response.begin()
        answer = Answer(response)
        return answer

    def is_closed(self):
        """The peer ends the connection without another byte."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Kept:
    """HTTPResponse closes its file; the connection goes on."""

    def __init__(self, file):
        self.file = file

    def makefile(self, *_):
        return self

    def close(self):
        pass

    def flush(self):
        pass

    def __getattr__(self, name):
        return getattr(self.file, name)


class Gate:
    def __init__(self, console=None):
        arguments = [str(HARNESS)] + ([str(console)] if console else [])
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        while self.request("GET", "/healthz", token=None).status != 200:
            pass

    def wire(self):
        return Wire(self.port)

    def request(self, method, path, body=None, token="admin-token", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, sent)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def metric(self, line):
        for text in self.request("GET", "/metrics").body.decode().splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        return 0.0

    def said(self):
        """The next line of the scripted core."""
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.stdin.close()
        try:
            return self.process.wait(WAIT)
        finally:
            self.process.kill()
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
