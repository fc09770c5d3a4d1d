"""A dromiod as shipped, in a data directory of its own, and its HTTP API."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

from host import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROMIO_BUILD", ROOT / "build"))


class WholeHost:
    def __init__(self, directory, *sets):
        self.directory = pathlib.Path(directory)
        self.http, self.diameter = free_port(), free_port()
        self.sets = sets
        self.process = None
        self.log = open(self.directory / "dromiod.log", "ab")
        self.start()

    def start(self):
        options = [f'http.listen="127.0.0.1:{self.http}"', f'diameter.listen="127.0.0.1:{self.diameter}"',
                   'diameter.accept="any"', *self.sets]
        self.process = subprocess.Popen(
            [str(BUILD / "dromiod"), "--data", str(self.directory / "data"), *(x for o in options for x in ("--set", o))],
            stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, (self.directory / "dromiod.log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                if self.call("GET", "/healthz", token=None)[0] == 200:
                    break
            assert time.monotonic() < end, "not ready"
            time.sleep(0.02)

    @property
    def token(self):
        return (self.directory / "data" / "admin.token").read_text().strip()

    def call(self, method, path, body=None, token="admin", kind="application/json"):
        """(status, body): JSON where it is."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {self.token if token == 'admin' else token}")
        if data is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except ConnectionResetError:  # a gate of the host that was killed, dying a moment later than its parent
            if method != "GET":
                raise
            return self.call(method, path, body, token, kind)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def thermometers(self, count, imsi_first=1010000000001):
        """The sample image and `count` twins t0, t1, ... @sim.example of it."""
        status, body = self.call("POST", "/v1/images", (BUILD / "examples" / "thermo.wasm").read_bytes(), kind="application/wasm")
        assert status in (200, 201), body
        lines = "".join(json.dumps({"id": f"t{i}@sim.example", "model": "acme/thermo", "imsi": f"{imsi_first + i:015}"}) + "\n"
                        for i in range(count))
        status, body = self.call("POST", "/v1/twins:bulk", lines.encode(), kind="application/x-ndjson")
        assert status == 200

    def values(self, number):
        """The property values of a twin by name."""
        status, body = self.call("GET", f"/v1/twins/t{number}@sim.example/properties")
        assert status == 200, body
        return {name: p["value"] for name, p in body.items()}

    def kill(self):
        """kill -9 of all its rooms at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            while True:  # the rooms hold the ports until they are gone too
                os.killpg(self.process.pid, 0)
                time.sleep(0.005)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
