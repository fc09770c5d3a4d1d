#!/usr/bin/env python3
"""Makes the C tables of wire/rds from spec/rds_frame.csv and spec/rds_code.csv, and refuses figures that cannot be.

usage: rds_tables.py SPEC_DIR OUT.h OUT.c
"""
import csv
import os
import sys

FRAMES = ["I", "S", "UI", "U"]
FIELDS = ["PD", "C_R", "ADS", "TYPE", "A", "N_S", "N_R", "N_U", "S", "M", "R", "SOURCE_PORT", "DESTINATION_PORT", "X"]
EVERYWHERE = ["PD", "C_R", "ADS", "TYPE", "SOURCE_PORT", "DESTINATION_PORT"]
PORTS = {"SOURCE_PORT", "DESTINATION_PORT"}
CERTAINTIES = {"verified", "unverified"}
HEADER_MAX = 3  # TS 24.250 5.1


def read(directory, name):
    with open(os.path.join(directory, name), encoding="ascii", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def placed(row):
    """A row with its numbers: octet from 0, shift, mask before shifting, value or None."""
    high, _, low = row["bits"].partition("-")
    high, low = int(high), int(low or high)
    width = high - low + 1
    where = f"rds_frame.csv: {row['frame']} {row['field']}"
    if row["frame"] not in FRAMES or row["field"] not in FIELDS or not 1 <= low <= high <= 8:
        sys.exit(f"{where}: no such frame, field or bits")
    if {row["meaning"], row["place"]} - CERTAINTIES:
        sys.exit(f"{where}: is neither verified nor unverified")
    value = None if row["value"] == "-" else int(row["value"])
    if value is not None and value >> width:
        sys.exit(f"{where}: {value} has no room in {width} bits")
    if not 1 <= int(row["octet"]) <= HEADER_MAX:
        sys.exit(f"{where}: a header has {HEADER_MAX} octets at most")
    return {"frame": row["frame"], "field": row["field"], "octet": int(row["octet"]) - 1, "shift": low - 1,
            "mask": (1 << width) - 1, "value": value}


def check_frame(name, rows):
    """Each bit of each octet is used once; returns (octets, octet of the ports)."""
    used = {}
    for row in rows:
        bits = row["mask"] << row["shift"]
        if used.get(row["octet"], 0) & bits:
            sys.exit(f"rds_frame.csv: {name}: {row['field']} lies over another field")
        used[row["octet"]] = used.get(row["octet"], 0) | bits
    if sorted(used) != list(range(len(used))) or any(bits != 0xFF for bits in used.values()):
        sys.exit(f"rds_frame.csv: {name}: not every bit has a field (X: spare)")
    for field in EVERYWHERE:
        if sum(row["field"] == field for row in rows) != 1:
            sys.exit(f"rds_frame.csv: {name}: needs {field} once")
    octets = {row["octet"] for row in rows if row["field"] in PORTS}
    port = octets.pop()
    if octets or port == 0 or any(row["octet"] == port and row["field"] not in PORTS for row in rows):
        sys.exit(f"rds_frame.csv: {name}: the ports have one octet, not the first, to themselves")
    return len(used), port


def one(rows, field, what):
    found = {(row["octet"], row["shift"], row["mask"]) for row in rows if row["field"] == field}
    if len(found) != 1 or next(iter(found))[0] != 0:
        sys.exit(f"rds_frame.csv: {field} is {what}: in the first octet, at the same place in all frames")
    return found.pop()


def check_types(rows):
    """No first octet can be two types."""
    fixed = {row["frame"]: row for row in rows if row["field"] == "TYPE"}
    for octet in range(256):
        fits = [name for name, row in fixed.items() if octet >> row["shift"] & row["mask"] == row["value"]]
        if len(fits) > 1:
            sys.exit(f"rds_frame.csv: the first octet {octet:#04x} is {' and '.join(fits)}")


def header(codes, rows):
    out = ["/* Made by tools/rds_tables.py from spec/rds_frame.csv and spec/rds_code.csv. */", "#pragma once", ""]
    out += ["enum rds_type { " + ", ".join(f"RDS_{name}" for name in FRAMES) + ", RDS_TYPES };", ""]
    out += ["enum rds_field { " + ", ".join(f"RDS_FIELD_{name}" for name in FIELDS) + ", RDS_FIELDS };", ""]
    for kind in dict.fromkeys(code["kind"] for code in codes):
        of_kind = [code for code in codes if code["kind"] == kind]
        out += [f"enum rds_{kind.lower()} {{ " + ", ".join(f"RDS_{code['name']} = {int(code['value'])}" for code in of_kind) + " };"]
    modulus = {row["mask"] + 1 for row in rows if row["field"] in ("N_S", "N_R")}
    if len(modulus) != 1:
        sys.exit("rds_frame.csv: N_S and N_R have the same width")
    out += ["", f"enum {{ RDS_MODULUS = {modulus.pop()}, RDS_HEADER_MAX = {HEADER_MAX} }};"]
    return "\n".join(out) + "\n"


def source(codes, rows, frames):
    octet, shift, _ = one(rows, "PD", "one bit")
    out = ["/* Made by tools/rds_tables.py from spec/rds_frame.csv and spec/rds_code.csv. */", '#include "wire/rds/table.h"', ""]
    out += ["const struct rds_row rds_rows[] = {"]
    for row in rows:
        value = "RDS_ANY_VALUE" if row["value"] is None else str(row["value"])
        out += [f"    {{ RDS_{row['frame']}, RDS_FIELD_{row['field']}, {row['octet']}, {row['shift']}, {row['mask']:#x}, {value} }},"]
    out += ["};", f"const size_t rds_row_count = {len(rows)};", ""]
    out += ["const struct rds_shape rds_shapes[RDS_TYPES] = {"]
    out += [f"    [RDS_{name}] = {{ \"{name}\", {frames[name][0]}, {frames[name][1]} }}," for name in FRAMES]
    out += ["};", ""]
    out += [f"const uint8_t rds_pd_bit = {1 << shift}, rds_ads_bit = {1 << one(rows, 'ADS', 'one bit')[1]};", ""]
    out += ["const uint8_t rds_functions[] = { " + ", ".join(f"RDS_{code['name']}" for code in codes if code["kind"] == "FUNCTION") + " };"]
    out += [f"const size_t rds_function_count = sizeof rds_functions;"]
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, header_path, source_path = sys.argv[1:]
    rows = [placed(row) for row in read(directory, "rds_frame.csv")]
    frames = {name: check_frame(name, [row for row in rows if row["frame"] == name]) for name in FRAMES}
    codes = read(directory, "rds_code.csv")
    for code in codes:
        if {code["meaning"], code["number"]} - CERTAINTIES:
            sys.exit(f"rds_code.csv: {code['name']} is neither verified nor unverified")
    check_types(rows)
    with open(header_path, "w", encoding="ascii") as file:
        file.write(header(codes, rows))
    with open(source_path, "w", encoding="ascii") as file:
        file.write(source(codes, rows, frames))


if __name__ == "__main__":
    main()
