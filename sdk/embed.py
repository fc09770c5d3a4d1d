#!/usr/bin/env python3
"""Makes a C file with the SDK's files inside, so that `dromio twin build` needs
nothing beside itself and clang:

    embed.py OUT NAME=FILE...
"""
import sys


def rows(data):
    for at in range(0, len(data), 24):
        yield "    " + ", ".join(str(byte) for byte in data[at:at + 24]) + ",\n"


def main():
    out, *files = sys.argv[1:]
    text = ["/* Made by sdk/embed.py. */\n#include \"sdk_files.h\"\n\n"]
    table = []
    for number, pair in enumerate(files):
        name, path = pair.split("=", 1)
        with open(path, "rb") as file:
            data = file.read()
        text.append(f"static const unsigned char file_{number}[] = {{\n{''.join(rows(data))}}};\n\n")
        table.append(f"    {{ \"{name}\", (const char *)file_{number}, sizeof file_{number} }},\n")
    text.append(f"const sdk_file sdk_files[] = {{\n{''.join(table)}}};\n"
                f"const size_t sdk_file_count = {len(table)};\n")
    with open(out, "w", encoding="utf-8") as file:
        file.write("".join(text))


main()
