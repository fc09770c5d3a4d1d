#!/usr/bin/env python3
"""Makes manual pages and the sample configuration of what programs say themselves.

usage: manual_page.py page TEMPLATE OUTPUT PROGRAM [ARGUMENT...]
       manual_page.py sample TEMPLATE OUTPUT PROGRAM [ARGUMENT...]

page: the scdoc TEMPLATE, with @OPTIONS@, @NAMES@ and @KEYS@ replaced by what PROGRAM prints:
the lines of --help that begin with an option, those that begin with a name, the table of --keys.
sample: the TOML TEMPLATE, with @KEYS@ replaced by all keys, each commented out with its default."""
import re
import subprocess
import sys

OPTION = re.compile(r"^  (-\S*(?: \S+)?) +(.+)$")
NAME = re.compile(r"^  ([a-z]+) {2,}(.+)$")


def plain(text):
    """Text without meaning for scdoc."""
    return re.sub(r"([\\_*~#\[\]<>@.-])", r"\\\1", text)


def entries(pattern, output):
    found = [pattern.match(line) for line in output.splitlines()]
    return "\n\n".join(f"*{plain(m[1])}*\n\t{plain(m[2])}" for m in found if m)


def key_rows(output):
    return [line.split("\t") for line in output.splitlines() if line.count("\t") == 5]


def key_range(kind, least, most):
    if kind == "integer" and least != most:
        return f" from {least} to {most}"
    if kind == "bytes":
        return f" from {amount(int(least))} to {amount(int(most))}"
    return ""


def amount(number):
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def manual_keys(output):
    out = []
    for name, kind, usual, least, most, text in key_rows(output):
        usual = f", default {plain(usual)}" if usual else ""
        out.append(f"*{plain(name)}* ({kind}{key_range(kind, least, most)}{usual})\n\t{plain(text)}")
    return "\n\n".join(out)


def toml_value(kind, usual):
    return usual if kind in ("integer", "boolean", "tables") else f'"{usual}"'


def sample_keys(output):
    tables = {}
    for name, kind, usual, _, _, text in key_rows(output):
        table, key = name.rsplit(".", 1)
        value = "[]" if text.startswith("list of ") else toml_value(kind, usual)
        if kind != "tables" and table != "bench" and "not in this version" not in text:
            tables.setdefault(table, []).append(f"# {text}\n#{key} = {value}\n")
    return "\n".join(f"[{table}]\n" + "".join(lines) for table, lines in tables.items())


def main():
    if len(sys.argv) < 5 or sys.argv[1] not in ("page", "sample"):
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    output = subprocess.run(sys.argv[4:], check=True, capture_output=True, text=True).stdout
    made = {"@KEYS@": manual_keys if sys.argv[1] == "page" else sample_keys,
            "@OPTIONS@": lambda said: entries(OPTION, said), "@NAMES@": lambda said: entries(NAME, said)}
    for mark, make in made.items():
        if mark in text:
            lines = make(output)
            if not lines:
                sys.exit(f"{sys.argv[4]} says nothing for {mark}")
            text = text.replace(mark, lines)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        file.write(text)


main()
