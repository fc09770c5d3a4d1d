"""Runs in a guest: a host on the disk /dev/ubda under the load of an oracle whose knowledge is in a directory of the machine
outside, so that it outlives a power cut. Says "checked" there once what the host shows after its start was compared, goes on until
the power goes, and with --finish until everything is compared for good.

With --log-writes N each write of the disk goes into the log of dm-log-writes on /dev/ubdb too, each acknowledgement into that
log as a mark (the number of lines of knowledge), until N more are acknowledged. With --error-writes the disk fails all writes from
some moment on: from then on nothing may be acknowledged.

    under_load.py DIRECTORY SEED BOOT [--finish | --log-writes N | --error-writes] [--set KEY=VALUE]..."""
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
from host import Host, until  # noqa: E402
from mapper import Marks, dmsetup, sectors  # noqa: E402
from promised import Knowledge, Oracle  # noqa: E402
from t8 import CALLBACKS  # noqa: E402

DISK = pathlib.Path("/run/disk")
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(device, target, kind="ext4", options=""):
    target.mkdir(parents=True, exist_ok=True)
    if LIBC.mount(device.encode(), os.fsencode(target), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), device)


def log_writes(known):
    dmsetup("create", "logged", "--table", f"0 {sectors('/dev/ubda')} log-writes /dev/ubda /dev/ubdb")
    marks = Marks("logged")
    known.on_acknowledged = lambda line: marks.put(str(line))


def fail_writes(oracle):
    """From the moment on in which the host knows, nothing is acknowledged, in the words of its protocols."""
    dmsetup("suspend", "--noflush", "--nolockfs", "flaky")
    dmsetup("load", "flaky", "--table", f"0 {sectors('/dev/ubda')} flakey /dev/ubda 0 0 3600 1 error_writes")
    dmsetup("resume", "flaky")
    until(lambda: oracle.must_be_well() or "log failed" in oracle.host.log(), "the end of the log")
    for what in ("refusals", "more refusals"):
        acknowledged, refused = oracle.known.acknowledgements, oracle.refused
        until(lambda: oracle.must_be_well() or oracle.refused > refused + 50, what)
    assert oracle.known.acknowledgements == acknowledged, "something was acknowledged though the log has failed"
    oracle.known.put("refused", oracle.refused)


def work(options, oracle):
    known = oracle.known
    if options.log_writes:
        oracle.runs(options.log_writes)
    elif options.error_writes:
        oracle.runs(300)
        fail_writes(oracle)
        known.put("failed", options.boot)
    while not options.finish:  # until the power goes
        oracle.must_be_well()
        if options.log_writes:
            return
        time.sleep(0.02)


def run(options):
    known = Knowledge(options.directory / "knowledge")
    device = "/dev/ubda"
    if options.log_writes:
        log_writes(known)
        device = "/dev/mapper/logged"
    elif options.error_writes:
        dmsetup("create", "flaky", "--table", f"0 {sectors('/dev/ubda')} linear /dev/ubda 0")
        device = "/dev/mapper/flaky"
    mount(device, DISK)
    host = Host(CALLBACKS, *options.set, directory=DISK / "host")
    host.directory.mkdir(exist_ok=True)
    with Oracle(host, options.seed, known, devices=8) as oracle, host:
        oracle.begin()
        oracle.check()
        known.put("checked", options.boot)
        work(options, oracle)
        if not options.log_writes:
            oracle.finish()
            known.put("charged", charged.must_be_charged(host, oracle))
    known.put("finished", options.boot)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("boot", type=int)
    parser.add_argument("--finish", action="store_true")
    parser.add_argument("--log-writes", type=int, default=0)
    parser.add_argument("--error-writes", action="store_true")
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
