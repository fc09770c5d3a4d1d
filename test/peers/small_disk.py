"""A small file system, and what others keep in it."""
import subprocess

import pytest


class SmallDisk:
    def __init__(self, directory, size="64M"):
        self.directory, self.filler = directory, directory / "filler"
        directory.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory], check=True, capture_output=True)

    def fill(self):
        """To the last block."""
        with open(self.filler, "ab", buffering=0) as file:
            for piece in (1 << 20, 4096):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError:
                    pass

    def make_room(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", self.directory], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def small_disk(directory):
    """One for a test, which is skipped where none can be mounted."""
    try:
        return SmallDisk(directory)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no tmpfs can be mounted here")
