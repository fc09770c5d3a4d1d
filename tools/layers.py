#!/usr/bin/env python3
"""Prints the includes of src/ that point the wrong way, and fails if there are any.

base <- ring, wire, twin <- store <- gate, core, cell, desk, ledger, load <- host, main.c. A room includes no
other room: what it knows of one is its messages. host/ starts the rooms and may include all;
a test may hold two rooms against each other.
"""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"
LEVELS = [{"base"}, {"ring", "wire", "twin"}, {"store"}, {"gate", "core", "cell", "desk", "ledger", "load"}, {"host"}]
LEVEL = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}
ROOMS = LEVELS[3]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def wrong(path):
    here = path.relative_to(SOURCE).parts[0]
    if path.name.endswith("_test.c"):
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        there = found and found.group(1).split("/")[0]
        if not found or there == here or there not in LEVEL or here not in LEVEL:
            continue  # beside it, generated, or main.c, which may include all
        if LEVEL[there] > LEVEL[here] or LEVEL[there] == LEVEL[here] and here in ROOMS:
            yield f'src/{path.relative_to(SOURCE)}:{number}: {here} includes "{found.group(1)}"'


def main():
    if sys.argv[1:]:
        sys.exit(__doc__)
    unknown = {path.name for path in SOURCE.iterdir() if path.is_dir()} - LEVEL.keys()
    found = [f"src/{name}: a folder without a place in the order" for name in sorted(unknown)]
    found += [line for path in sorted(SOURCE.rglob("*.[ch]")) for line in wrong(path)]
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
