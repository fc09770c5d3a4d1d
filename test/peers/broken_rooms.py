"""Hosts whose rooms cannot start for a while: see broken_rooms.c."""
import os
import pathlib
import struct
import subprocess


class BrokenRooms:
    """For the hosts that start behind it, as long as `monkeypatch` lasts."""

    def __init__(self, directory, monkeypatch):
        library, self.path = directory / "broken_rooms.so", directory / "broken_rooms"
        subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", library, pathlib.Path(__file__).with_suffix(".c"), "-ldl"], check=True)
        self.put()
        monkeypatch.setenv("BROKEN_ROOMS", str(self.path))
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("ASAN_OPTIONS", ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"])))

    def put(self, probation_ends=0, has_no_processes=False):
        """The exit code of rooms of probation, before they are ready; whether dromiod can fork."""
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            file.write(struct.pack("ii", probation_ends, has_no_processes))
