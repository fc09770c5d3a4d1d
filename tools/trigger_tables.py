#!/usr/bin/env python3
"""Makes the C tables of twin/trigger from spec/trigger_word.csv and spec/trigger_result.csv.

usage: trigger_tables.py SPEC_DIR OUT.h OUT.c
"""
import csv
import os
import sys

RESULTS = ["TRIGGERED", "REPLACED", "SUCCESS", "EXPIRED", "FAILURE", "UNCONFIRMED", "UNKNOWN", "TERMINATE"]
KINDS = {"request_status": "words", "experimental": "words", "hss_cause": "words", "delivery_outcome": "results", "sm_outcome": "results"}
WAYS = {"-": "TRIGGER_WAY_NONE", "retry": "TRIGGER_WAY_RETRY", "ended": "TRIGGER_WAY_ENDED"}


def read(directory, name):
    with open(os.path.join(directory, name), encoding="ascii", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def check(words, values):
    known = [row["word"] for row in words] + ["ABSENT"]
    seen = set()
    for row in values:
        where = f"trigger_result.csv: {row['kind']} {row['value']}"
        if row["kind"] not in KINDS or (row["kind"], row["value"]) in seen:
            sys.exit(f"{where}: no such kind, or twice")
        seen.add((row["kind"], row["value"]))
        if row["means"] not in (known if KINDS[row["kind"]] == "words" else RESULTS):
            sys.exit(f"{where}: means {row['means']}, which nothing is")
    for row in words:
        if row["way"] not in WAYS or not 200 <= int(row["status"]) < 600:
            sys.exit(f"trigger_word.csv: {row['word']}: no such way or status")


def header(words):
    out = ["/* Made by tools/trigger_tables.py from spec/. */", "#pragma once", "", "typedef enum trigger_word { /* what the network says to a trigger */"]
    out += [f"    TRIGGER_{row['word']}," for row in words]
    out += ["    TRIGGER_ABSENT,", "    TRIGGER_WORDS,", "} trigger_word;", "", "typedef enum trigger_result { /* DeliveryResult of T8 */"]
    out += [f"    TRIGGER_RESULT_{name}," for name in RESULTS]
    return "\n".join(out + ["    TRIGGER_RESULTS,", "} trigger_result;", ""])


def source(words, values):
    out = ["/* Made by tools/trigger_tables.py from spec/. */", '#include "twin/trigger.h"', "",
           "const trigger_word_row trigger_word_rows[TRIGGER_WORDS] = {"]
    for row in words:
        cause = '""' if row["cause"] == "-" else f'"{row["cause"]}"'
        out.append(f"    [TRIGGER_{row['word']}] = {{ {row['status']}, {WAYS[row['way']]}, {cause}, \"{row['detail']}\" }},")
    out += ["    [TRIGGER_ABSENT] = { 201, TRIGGER_WAY_NONE, \"\", \"the device is not reachable now\" },", "};", "",
            "const char *const trigger_result_texts[TRIGGER_RESULTS + 1] = {"]
    out += [f'    "{name}",' for name in RESULTS] + ["    0,", "};", ""]
    for kind, means in KINDS.items():
        prefix = "TRIGGER_" if means == "words" else "TRIGGER_RESULT_"
        rows = [row for row in values if row["kind"] == kind]
        out += [f"static const trigger_value {kind}_values[] = {{"] + [f"    {{ {row['value']}, {prefix}{row['means']} }}," for row in rows] + ["};"]
    out += ["const trigger_value_list trigger_values[TRIGGER_VALUE_KINDS] = {"]
    out += [f"    [TRIGGER_{kind.upper()}] = {{ {kind}_values, sizeof {kind}_values / sizeof {kind}_values[0] }}," for kind in KINDS]
    return "\n".join(out + ["};", ""])


def main():
    spec, header_path, source_path = sys.argv[1:]
    words, values = read(spec, "trigger_word.csv"), read(spec, "trigger_result.csv")
    check(words, values)
    for path, text in ((header_path, header(words)), (source_path, source(words, values))):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


if __name__ == "__main__":
    main()
