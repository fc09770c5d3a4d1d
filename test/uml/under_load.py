"""Runs in a guest: a host on the disk /dev/ubda under the load of an oracle whose knowledge is in a directory of the machine
outside, so that it outlives a power cut. Says "checked" there once what the host shows after its start was compared, goes on until
the power goes, and with --finish until everything is compared for good.

    under_load.py DIRECTORY SEED BOOT [--finish] [--set KEY=VALUE]..."""
import argparse
import ctypes
import os
import pathlib
import sys
import time
import traceback

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "peers"), str(TESTS / "flow")]

import charged  # noqa: E402
from host import Host  # noqa: E402
from promised import Knowledge, Oracle  # noqa: E402
from t8 import CALLBACKS  # noqa: E402

DISK = pathlib.Path("/run/disk")
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(device, target, kind="ext4", options=""):
    target.mkdir(parents=True, exist_ok=True)
    if LIBC.mount(device.encode(), os.fsencode(target), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), device)


def run(options):
    mount(options.device, DISK)
    known = Knowledge(options.directory / "knowledge")
    host = Host(CALLBACKS, *options.set, directory=DISK / "host")
    host.directory.mkdir(exist_ok=True)
    with Oracle(host, options.seed, known, devices=8) as oracle, host:
        oracle.begin()
        oracle.check()
        known.put("checked", options.boot)
        while not options.finish:  # until the power goes
            oracle.must_be_well()
            time.sleep(0.02)
        oracle.finish()
        known.put("charged", charged.must_be_charged(host, oracle))
        known.put("again", oracle.readings.again)
    known.put("finished", options.boot)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("boot", type=int)
    parser.add_argument("--device", default="/dev/ubda")
    parser.add_argument("--finish", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    try:
        run(options)
    except BaseException:
        log = DISK / "host/dromiod.log"
        (options.directory / "broken").write_text(traceback.format_exc()[-3000:] + (log.read_text(errors="replace")[-3000:] if log.exists() else ""))
        raise


if __name__ == "__main__":
    main()
