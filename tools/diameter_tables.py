#!/usr/bin/env python3
"""Makes the C tables of wire/diameter from spec/*.csv.

usage: diameter_tables.py SPEC_DIR OUT.h OUT.c

A grammar is a list of AVP names, each with its number of occurrences:
  = exactly one, at a fixed place   ! exactly one   ? at most one   + one or more   * any number
"""
import csv
import os
import re
import sys

TYPES = {  # text before any "(" or "/" in the type column -> C constant
    "OctetString": "DIAMETER_OCTET_STRING",
    "UTF8String": "DIAMETER_UTF8_STRING",
    "DiameterIdentity": "DIAMETER_IDENTITY",
    "DiameterURI": "DIAMETER_URI",
    "Address": "DIAMETER_ADDRESS",
    "Time": "DIAMETER_TIME",
    "Unsigned32": "DIAMETER_UNSIGNED32",
    "Unsigned64": "DIAMETER_UNSIGNED64",
    "Integer32": "DIAMETER_INTEGER32",
    "Enumerated": "DIAMETER_ENUMERATED",
    "Grouped": "DIAMETER_GROUPED",
}
OCCURRENCES = {"=": (1, 1), "!": (1, 1), "?": (0, 1), "+": (1, "DIAMETER_ANY_NUMBER"), "*": (0, "DIAMETER_ANY_NUMBER")}
VENDORS = (0, 10415)


def read(directory, name):
    with open(os.path.join(directory, name), encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


def constant(name):
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def grammar(text, known, where):
    rules = []
    for word in text.split():
        name, occurrence = word[:-1], word[-1]
        if name not in known or occurrence not in OCCURRENCES:
            sys.exit(f"{where}: cannot use {word!r}")
        least, most = OCCURRENCES[occurrence]
        rules.append((name, least, most, int(occurrence == "=")))
    names = [rule[0] for rule in rules]
    if len(names) != len(set(names)):
        sys.exit(f"{where}: an AVP is there twice")
    return rules


class Rules:
    """All grammars one after the other in one C array."""

    def __init__(self):
        self.rows = []

    def add(self, rules):
        first = len(self.rows)
        self.rows += rules
        return first, len(rules)


def index_table(name, avps, vendor):
    last = max(int(avp["code"]) for avp in avps if int(avp["vendor"]) == vendor)
    places = {int(avp["code"]): constant(avp["name"]) for avp in avps if int(avp["vendor"]) == vendor}
    body = "".join(f"    [{code}] = AVP_{place},\n" for code, place in sorted(places.items()))
    return f"static const uint16_t {name}[{last + 1}] = {{\n{body}}};\n"


def value_constant(row):
    return f"VALUE_{constant(row['avp'])}_{row['name']}"


def check_values(values, known):
    for row in values:
        if row["avp"] not in known or row["kind"] not in ("value", "bit"):
            sys.exit(f"diameter_value.csv: cannot use {row}")
    if len({(row["avp"], row["value"]) for row in values}) != len(values):
        sys.exit("diameter_value.csv: a value is there twice")


def header(avps, commands, causes, values):
    out = ["/* Made by tools/diameter_tables.py from spec/. */", "#pragma once", "", "#include <stdint.h>", "",
           "/* An AVP by name: its row in the dictionary. */", "typedef enum diameter_name {", "    AVP_UNKNOWN,"]
    out += [f"    AVP_{constant(avp['name'])}, /* {avp['code']}, vendor {avp['vendor']}, {avp['type']} */" for avp in avps]
    out += ["    AVP_COUNT,", "} diameter_name;", "", "enum diameter_command_code {"]
    codes = {}
    for row in commands:
        codes.setdefault(constant(row["name"].rsplit("-", 1)[0]), row["code"])
    out += [f"    COMMAND_{name} = {code}," for name, code in codes.items()]
    out += ["};", "", "enum diameter_result {"]
    out += [f"    {row['name']} = {row['code']}, /* {'' if row['vendor'] == '0' else 'Experimental-Result, '}{row['clause']} */"
            for row in causes]
    out += ["};", "", "enum diameter_value { /* of AVPs; of bit masks each bit */"]
    out += [f"    {value_constant(row)} = {row['value'] if row['kind'] == 'value' else 1 << int(row['value'])}, /* {row['clause']} */" for row in values]
    return "\n".join(out + ["};", ""])


def avp_row(avp, groups):
    kind = TYPES.get(re.split(r"[(/]", avp["type"])[0])
    if kind is None:
        sys.exit(f"{avp['name']}: unknown type {avp['type']}")
    flags = (0x80 if avp["vendor"] != "0" else 0) | (0x40 if avp["m"] == "M" else 0)
    first, count = groups.get(avp["name"], (0, 0))
    return f"    [AVP_{constant(avp['name'])}] = {{ \"{avp['name']}\", {avp['code']}, {avp['vendor']}, {kind}, 0x{flags:02x}, {first}, {count} }},"


def source(avps, commands, groups, causes, values):
    known = {avp["name"] for avp in avps}
    rules = Rules()
    group_place = {row["name"]: rules.add(grammar(row["grammar"], known, row["name"])) for row in groups}
    rows = []
    for row in commands:
        first, count = rules.add(grammar(row["grammar"], known, row["name"]))
        rows.append(f"    {{ \"{row['abbreviation']}\", \"{row['name']}\", {row['code']}, {row['application']}, {int(row['kind'] == 'R')}, "
                    f"{int(row['proxiable'] == 'P')}, {first}, {count} }},")
    out = ["/* Made by tools/diameter_tables.py from spec/. */", '#include "wire/diameter/dict.h"', "",
           "const diameter_entry diameter_dictionary[AVP_COUNT] = {", '    [AVP_UNKNOWN] = { "unknown", 0, 0, DIAMETER_OCTET_STRING, 0, 0, 0 },']
    out += [avp_row(avp, group_place) for avp in avps] + ["};", ""]
    out += [index_table(f"codes_of_{vendor}", avps, vendor) for vendor in VENDORS]
    out += ["const diameter_code_index diameter_indexes[2] = {"]
    out += [f"    {{ codes_of_{vendor}, sizeof codes_of_{vendor} / sizeof codes_of_{vendor}[0] }}," for vendor in VENDORS] + ["};", ""]
    out += ["const diameter_rule diameter_rules[] = {"]
    out += [f"    {{ AVP_{constant(name)}, {least}, {most}, {fixed} }}," for name, least, most, fixed in rules.rows] + ["};", ""]
    out += ["const diameter_command diameter_commands[] = {"] + rows + ["};"]
    out += ["const uint32_t diameter_command_count = sizeof diameter_commands / sizeof diameter_commands[0];", ""]
    out += ["const diameter_cause diameter_causes[] = {"]
    out += [f"    {{ {row['code']}, {row['vendor']}, \"{row['name']}\" }}," for row in causes] + ["};"]
    out += ["const uint32_t diameter_cause_count = sizeof diameter_causes / sizeof diameter_causes[0];", ""]
    out += ["const diameter_known_value diameter_values[] = {"]
    out += [f"    {{ AVP_{constant(row['avp'])}, {value_constant(row)} }}," for row in values if row["kind"] == "value"] + ["};"]
    out += ["const uint32_t diameter_value_count = sizeof diameter_values / sizeof diameter_values[0];", ""]
    longest = max(len(row["grammar"].split()) for row in commands + groups)
    out += [f'_Static_assert({longest} <= DIAMETER_RULES_MAX, "the longest grammar");', ""]
    return "\n".join(out)


def main():
    spec, header_path, source_path = sys.argv[1:]
    avps = sorted(read(spec, "diameter_avp.csv"), key=lambda avp: (int(avp["vendor"]), int(avp["code"])))
    if len({(avp["vendor"], avp["code"]) for avp in avps}) != len(avps):
        sys.exit("diameter_avp.csv: a code is there twice")
    commands, groups, causes, values = (read(spec, name) for name in ("diameter_command.csv", "diameter_group.csv", "causes.csv", "diameter_value.csv"))
    check_values(values, {avp["name"] for avp in avps})
    with open(header_path, "w", encoding="ascii") as file:
        file.write(header(avps, commands, causes, values))
    with open(source_path, "w", encoding="ascii") as file:
        file.write(source(avps, commands, groups, causes, values))


if __name__ == "__main__":
    main()
