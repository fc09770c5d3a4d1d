"""Diameter over SCTP, in a guest with a kernel that has it: test/uml/test_sctp.py says what."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 250


def guest_starts():
    return shutil.which("linux.uml") is not None and subprocess.run([ROOT / "tools" / "uml", "--timeout", "60", "--", "true"]).returncode == 0


def test_sctp_in_a_guest():
    if not guest_starts():
        pytest.skip("no guest of user-mode-linux starts here")
    # The guest may write nothing here, and has nothing of T8 to keep.
    environment = {name: value for name, value in os.environ.items() if name != "DROMIO_T8_KEPT"}
    told = subprocess.run([ROOT / "tools" / "uml", "--module", "hmac", "--module", "sctp", "--module", "dummy", "--memory", "2G", "--timeout", str(LIMIT_S),
                           "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ROOT / "test" / "uml" / "test_sctp.py"],
                          capture_output=True, text=True, env=environment)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", told.stdout).group(1)) >= 10  # not all skipped
