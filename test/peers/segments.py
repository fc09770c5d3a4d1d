"""Segments of the log of a running host, and damage to them that can be undone: of files that the host reads only, so
that putting the old bytes back takes nothing of what it wrote meanwhile."""
import contextlib


def logs(host):
    """The segments of each core's log in their order."""
    found = {}
    for path in sorted(host.data.rglob("segment-*")):
        found.setdefault(path.parent, []).append(path)
    return list(found.values())


def sealed(host):
    """All but the newest of each log: nothing is written to them any more."""
    return [path for log in logs(host) for path in log[:-1]]


class Damage:
    """The bytes of segments turned over, until they are put back. One that has gone meanwhile had nothing in it any more."""

    def __init__(self, paths):
        self.whole = {path: path.read_bytes() for path in paths}
        for path, data in self.whole.items():
            self.overwrite(path, data.translate(bytes(byte ^ 0xFF for byte in range(256))))

    @staticmethod
    def overwrite(path, data):
        with path.open("r+b") as file:
            file.write(data)

    def put_back(self):
        for path, data in self.whole.items():
            with contextlib.suppress(FileNotFoundError):
                self.overwrite(path, data)
