#!/usr/bin/env python3
"""Writes the host's tables of the twin ABI from sdk/abi.json.

usage: abi_imports.py sdk/abi.json > abi_imports.h
"""
import json
import sys

LETTERS = {"i32": "i", "i64": "I", "f32": "f", "f64": "F", "pointer": "i"}


def row(entry):
    parameters = "".join(LETTERS[p["type"]] for p in entry["parameters"])
    result = LETTERS[entry["result"]] if entry["result"] else ""
    required = ", .is_required = true" if entry.get("required") else ""
    return f'    {{ "{entry["name"]}", "{parameters}", "{result}"{required} }},'


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as source:
        abi = json.load(source)
    imports = abi["imports"]
    exports = [e for e in abi["exports"] if e.get("kind") != "memory"]
    limits = abi["limits"]
    print("/* Made by tools/abi_imports.py from sdk/abi.json; do not edit. */\n#pragma once\n\n#include <stdbool.h>\n")
    print("typedef struct abi_function { const char *name, *parameters, *result; bool is_required; } abi_function;\n")
    print("enum abi_import {")
    for entry in imports:
        print(f"    ABI_{entry['name'].upper()},")
    print("    ABI_IMPORT_COUNT\n};\n")
    print(f"enum {{ ABI_VERSION = {abi['version']}, ABI_EXPORT_COUNT = {len(exports)} }};")
    print(f'#define ABI_MODULE "{abi["module"]}"\n')
    print("enum abi_limit {")
    for name, value in limits.items():
        print(f"    ABI_LIMIT_{name.upper()} = {value},")
    print("};\n")
    print("/* i: i32 or pointer, I: i64, f: f32, F: f64 */")
    print("static const abi_function abi_imports[] = {")
    print("\n".join(row(entry) for entry in imports))
    print("};\n\nstatic const abi_function abi_exports[] = {")
    print("\n".join(row(entry) for entry in exports))
    print("};")


if __name__ == "__main__":
    main()
