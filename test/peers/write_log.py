"""The log of dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), read outside of the kernel that made it, and
the states that a disk may have after a power cut at any of its flushes.

A write that is not flushed is in the log only when the flush that covers it has ended, right before it; so at the moment before that
flush ended the disk had all before those writes, and of them any: none, some, parts of some, in any order."""
import struct

MAGIC, SECTOR, SUPERBLOCK = 0x6A736677736872, 512, 4096
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Write:
    __slots__ = ("at", "data")

    def __init__(self, at, data):
        self.at, self.data = at, data

    def torn(self, chance):
        """Its parts that reached the disk, by sectors: as (offset, bytes). A file system's superblock is never torn: ext4 has a
        single one with a checksum, and needs a disk that writes it whole."""
        count = len(self.data) // SECTOR
        how = chance.random() * (0.7 if self.at < SUPERBLOCK else 1)
        if how < 0.4:
            return []
        if how < 0.7:
            return [(self.at, self.data)]
        if how < 0.85:  # the first ones
            return [(self.at, self.data[:chance.randrange(count + 1) * SECTOR])]
        return [(self.at + n * SECTOR, self.data[n * SECTOR:(n + 1) * SECTOR]) for n in range(count) if chance.random() < 0.5]


def entries(log):
    """(flags, Write or None, mark) of each entry of the open file."""
    magic, _version, count, sector = struct.unpack("<QQQI", log.read(28))
    assert magic == MAGIC and sector == SECTOR, (hex(magic), sector)
    at = SECTOR
    for _ in range(count):
        log.seek(at)
        where, sectors, flags, length = struct.unpack("<QQQQ", log.read(32))
        mark = log.read(length).decode().rstrip("\0") if flags & MARK else None
        at += SECTOR
        write = None
        if sectors > 0 and not flags & DISCARD:
            log.seek(at)
            write = Write(where * SECTOR, log.read(sectors * SECTOR))
            at += sectors * SECTOR
        yield flags, write, mark


class Point:
    """A flush: what the disk had before, what was not flushed yet, the newest mark of then and of when it had ended."""

    def __init__(self, number, pending, before, after):
        self.number, self.pending, self.before, self.after = number, pending, before, after


def points(log, apply):
    """Goes through the log; `apply(write)` puts a write on the disk. At each flush, before it: a Point."""
    pending, mark, before, number = [], None, None, 0
    for flags, write, text in entries(log):
        if text is not None:
            mark = text
        if flags & FLUSH:
            yield Point(number, pending, before if pending else mark, mark)
            number += 1
            for one in pending:
                apply(one)
            pending = []
        if write is None:
            continue
        if flags & (FLUSH | FUA):
            apply(write)
        else:
            if not pending:
                before = mark
            pending.append(write)
