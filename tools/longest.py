#!/usr/bin/env python3
"""Prints the longest functions and files of the C sources; people decide.

  tools/longest.py [--over]     --over: only those past what STYLE asks, and fail if there are any
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION_LINES, FILE_LINES, SHOWN = 70, 800, 10
# A body opens with `{` in the first column, after a line that closes a parameter list.
HEAD = re.compile(r"(\w+)\s*\(")


def sources():
    listed = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.splitlines()]


def functions(path):
    """(lines, name) of each function: from the line that names it to the one that closes it."""
    start = name = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line[:1].isalpha() and "(" in line and not line.rstrip().endswith(";"):
            start, name = number, HEAD.search(line).group(1) if HEAD.search(line) else line
        elif line.startswith("}") and start is not None:
            yield number - start + 1, name
            start = None
        elif line[:1].isalpha():
            start = None


def main():
    over = sys.argv[1:] == ["--over"]
    if sys.argv[1:] and not over:
        sys.exit(__doc__)
    files = sources()
    long_functions = sorted(((lines, f"{path.relative_to(ROOT)}: {name}") for path in files for lines, name in functions(path)), reverse=True)
    long_files = sorted(((len(path.read_text().splitlines()), str(path.relative_to(ROOT))) for path in files), reverse=True)
    past = 0
    for rows, limit in ((long_functions, FUNCTION_LINES), (long_files, FILE_LINES)):
        for lines, what in [row for row in rows if row[0] > limit] if over else rows[:SHOWN]:
            print(f"{lines:5} {what}")
            past += lines > limit
    sys.exit(1 if over and past else 0)


if __name__ == "__main__":
    main()
