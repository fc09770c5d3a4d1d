"""A host that speaks Diameter, for the tests here: the gate with a scripted core (build/test/peers/gate_harness).

`core` shows what the gate told the core and says what it answers. The path of the
program comes from DROMIO_GATE_HARNESS, else from build/.
"""
import json
import os
import pathlib
import queue
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("DROMIO_GATE_HARNESS", str(ROOT / "build/test/peers/gate_harness"))
LIMIT_S = 20  # generous: a test waits for a state, not for a time


class GateHarness:
    identity, realm = "scef.dromio.test", "dromio.test"

    def __init__(self, *arguments):
        self.log = []
        self.process = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.lines = queue.Queue()
        self._threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_log, daemon=True)]
        for thread in self._threads:
            thread.start()
        self.port = self.core_gets("listening")["port"]

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def _line(self):
        line = self.lines.get(timeout=LIMIT_S)
        assert line is not None, "the host has ended: " + "".join(self.log)
        return line

    def say(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def core_gets(self, kind, **expected):
        """The next message of that kind for the core; others are passed over."""
        while True:
            line = self._line()
            if not line.startswith("{"):
                continue
            message = json.loads(line)
            if message["type"] == kind and all(message[key] == value for key, value in expected.items()):
                return message

    def core_answers(self, result=0, experimental=0):
        self.say("answer", result, experimental)

    def downlink(self, number, imsi, host, realm, data, wait_until=0, retransmit_until=0):
        self.say("downlink", number, imsi, host, realm, data.hex(), wait_until, retransmit_until)

    def authorize(self, number, hss, identifier):
        self.say("authorize", number, hss, identifier)

    def knows(self, reference):
        self.say("known", reference)

    def trigger(self, number, kind, node, identifier):
        self.say("trigger", number, kind, node, identifier)

    def metric(self, name):
        """Sum of the values of all lines that begin with `name`."""
        self.say("metrics")
        total = 0
        while (line := self._line()) != "end":
            if line.startswith(name):
                total += int(line.rsplit(" ", 1)[1])
        return total

    def drops(self, reason):
        return self.metric(f'dromio_diameter_drops_total{{reason="{reason}"}}')

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.is_alive():
            self.say("stop")
        self.process.stdin.close()
        code = self.process.wait(timeout=LIMIT_S)
        for thread in self._threads:
            thread.join(LIMIT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code
