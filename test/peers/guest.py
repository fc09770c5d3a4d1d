"""A guest of tools/uml whose power can be cut, seen from outside."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 300
POLL_S = 0.005


def is_there():
    return shutil.which("linux.uml") is not None and subprocess.run([ROOT / "tools" / "uml", "--timeout", "60", "--", "true"], capture_output=True).returncode == 0


def make_disk(path, size="512M"):
    """An ext4 in a file, which is made anew."""
    path.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", size, path], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


class Notes:
    """The lines of a file of knowledge (promised.py) as they come, read from outside of the guest."""

    def __init__(self, path):
        self.path, self.at, self.rest = path, 0, b""
        self.lines, self.notes = 0, {}

    def look(self):
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.at)
                new = file.read()
            self.at += len(new)
            *lines, self.rest = (self.rest + new).split(b"\n")
            self.lines += len(lines)
            for change in map(json.loads, lines):
                if len(change) == 2:
                    self.notes[change[0]] = change[1]
        return self


class Guest:
    def __init__(self, directory, program, *arguments, disks=(), modules=(), memory="1G"):
        self.directory = directory
        self.output = open(directory / "guest.log", "wb")
        command = [ROOT / "tools" / "uml", "--memory", memory, "--timeout", str(LIMIT_S), "--data", directory]
        command += [word for disk in disks for word in ("--disk", disk)] + [word for module in modules for word in ("--module", module)]
        environment = {name: value for name, value in os.environ.items() if name != "DROMIO_T8_KEPT"}
        self.process = subprocess.Popen([*map(str, command), "--", sys.executable, str(program), *map(str, arguments)], stdout=self.output, stderr=subprocess.STDOUT, env=environment)

    def runs_until(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            broken = self.directory / "broken"
            assert not broken.exists(), broken.read_text()
            assert self.process.poll() is None, f"the guest ended before {what}: {(self.directory / 'guest.log').read_text(errors='replace')[-3000:]}"
            assert time.monotonic() < end, f"{what} never came"
            time.sleep(POLL_S)

    def cut_power(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.output.close()

    def ends(self):
        self.process.wait(LIMIT_S)
        self.output.close()
        broken = self.directory / "broken"
        assert not broken.exists(), broken.read_text()
        assert self.process.returncode == 0, (self.directory / "guest.log").read_text(errors="replace")[-3000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.cut_power()
