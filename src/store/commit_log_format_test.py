"""Reads a log's files by the layout in log_round and log_files, with code of its own, and
compares with what the writer says it wrote: so the bytes on disk stay what they are.

    commit_log_format_test.py PROGRAM      (PROGRAM DIRECTORY writes the log)
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

BLOCK = 4096
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def mixed(data):
    """The hash of a frame."""
    value = 0x9E3779B97F4A7C15
    for (word,) in struct.iter_unpack("<Q", data):
        value = (value ^ word) * 0xBF58476D1CE4E5B9 % 2**64
        value ^= value >> 29
    return value


def item_crc(place, word, data):
    return crc32c(struct.pack("<QI", place, word) + data)


class Log:
    def __init__(self):
        self.round = 0
        self.epoch = 0
        self.chains = {}  # group: (sequence, hash)
        self.records = []
        self.starts = {}  # segment: (epoch, round, chains) before its first round

    def read_round(self, data, segment, start):
        """The length of the round at `start`, or 0: none."""
        head = data[start : start + 64]
        if len(head) < 64 or head[:4] != b"DRO1":
            return 0
        form, frames, epoch, number, in_segment, offset, size, count = struct.unpack_from("<4xHHQQIIII", head)
        assert struct.unpack_from("<I", head, 60)[0] == crc32c(head[:60])
        assert (form, in_segment, offset, number) == (1, segment, start, self.round + 1)
        assert epoch >= self.epoch
        at, by_group = start + 64, {}
        for _ in range(count):
            word, crc = struct.unpack_from("<II", data, at)
            group, length = word >> 20 & 63, word & 0xFFFFF
            assert word >> 26 == 0x2A
            place = segment << 32 | at // 8
            record = data[at + 8 : at + 8 + length]
            assert crc == item_crc(place, word, record)
            self.records.append((place, group, length, struct.unpack_from("<Q", record)[0], record[8:].hex()))
            whole = 8 + (length + 7) // 8 * 8
            seen = by_group.setdefault(group, [0, 0, b""])
            seen[0] += 1
            seen[1] += whole
            seen[2] += data[at : at + 8]
            at += whole
        assert at == start + 64 + size
        word, crc = struct.unpack_from("<II", data, at)
        assert word == 0x15 << 26 | frames and crc == item_crc(segment << 32 | at // 8, word, b"")
        at += 8
        for group in sorted(by_group):
            frame = data[at : at + 48]
            words, size, heads = by_group[group]
            sequence, previous = self.chains.get(group, (0, 0))
            assert struct.unpack("<4sHHQQQIIII", frame) == (
                b"DRF1", 1, group, epoch, sequence + 1, previous, words, size, 0, crc32c(frame[:44] + heads))
            self.chains[group] = (sequence + 1, mixed(frame))
            at += 48
        assert frames == len(by_group)
        end = (at + BLOCK - 1) // BLOCK * BLOCK
        assert data[at:end] == bytes(end - at)
        self.round, self.epoch = number, epoch
        return end - start

    def read_segment(self, path):
        data, number, at = path.read_bytes(), int(path.name[8:], 16), 0
        self.starts[number] = (self.epoch, self.round, dict(self.chains))
        while length := self.read_round(data, number, at):
            at += length


def check_small_files(directory, log):
    data = (directory / "epoch").read_bytes()
    assert struct.unpack("<4sIQQII", data) == (b"DRE1", 1, 2, 0x1122334455667788, 0, crc32c(data[:-4]))
    data = (directory / "replay").read_bytes()
    magic, form, segment, epoch, number = struct.unpack_from("<4sIQQQ", data)
    assert (magic, form, segment) == (b"DRP1", 1, 2) and struct.unpack_from("<I", data, len(data) - 4)[0] == crc32c(data[:-4])
    groups = [struct.unpack_from("<QQ", data, 32 + 16 * group) for group in range(64)]
    assert (epoch, number) == log.starts[2][:2]
    assert groups == [log.starts[2][2].get(group, (0, 0)) for group in range(64)]


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name) / "log"
        said = subprocess.run([sys.argv[1], directory], check=True, capture_output=True, text=True).stdout
        expected = []
        for line in said.splitlines():
            _, place, group, length, previous, data = line.split(" ")
            expected.append((int(place), int(group), int(length), int(previous), data))
        log = Log()
        segments = sorted(directory.glob("segment-*"))
        for path in segments:
            log.read_segment(path)
        assert len(segments) > 2, "more than one segment, and one of another epoch"
        assert log.epoch == 2
        assert log.records == expected
        check_small_files(directory, log)
        print(f"{len(expected)} records in {len(segments)} segments")


main()
