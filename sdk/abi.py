#!/usr/bin/env python3
"""Makes from sdk/abi.json what twins, host and readers need, one file a call:

    abi.py FORM abi.json OUT

FORM is guest_header, host_header, host_table, wit, page or manual.
"""
import json
import sys

WASM_TYPE = {"i32": "ABI_I32", "i64": "ABI_I64", "f64": "ABI_F64", "pointer": "ABI_I32", None: "ABI_NONE"}
C_TYPE = {"i32": "uint32_t", "i64": "int64_t", "f64": "double", "pointer": "const void *", None: "void"}
WIT_TYPE = {"i32": "u32", "i64": "s64", "f64": "f64"}
NOTICE = "Made from sdk/abi.json by sdk/abi.py: change it there."


def declaration(type_, name):
    return C_TYPE[type_] + ("" if C_TYPE[type_].endswith("*") else " ") + name


def c_prototype(function, prefix):
    parameters = ", ".join(declaration(p["type"], p["name"]) for p in function["parameters"]) or "void"
    return f"{declaration(function['result'], prefix + function['name'])}({parameters})"


def functions(abi):
    return [export for export in abi["exports"] if "parameters" in export]


def enum(title, prefix, values):
    rows = "".join(f"    {prefix}_{name.upper()} = {number},\n" for name, number in values.items())
    return f"enum {title} {{\n{rows}}};\n"


def guest_header(abi):
    out = [f"/* What a twin imports and exports, version {abi['version']} of the ABI. {NOTICE}\n"
           " * Compiled natively the imports are plain functions: sdk/native/ has them. */\n"
           "#pragma once\n\n#include <stdint.h>\n\n"
           "#ifdef __wasm__\n"
           f"#define DROMIO_IMPORT(name) __attribute__((import_module(\"{abi['module']}\"), import_name(name)))\n"
           "#define DROMIO_EXPORT(name) __attribute__((export_name(name)))\n"
           "#else\n#define DROMIO_IMPORT(name)\n#define DROMIO_EXPORT(name)\n#endif\n\n"]
    out.append(f"#define DROMIO_ABI_VERSION {abi['version']}\n\n")
    out.append(enum("dromio_event_kind", "DROMIO_EVENT", abi["events"]) + "\n")
    out.append(enum("dromio_outcome", "DROMIO", abi["outcomes"]) + "\n")
    out.append(enum("dromio_quality", "DROMIO", abi["qualities"]) + "\n")
    out.append(enum("dromio_level", "DROMIO_LOG", abi["levels"]) + "\n")
    out.append(enum("dromio_ticket_state", "DROMIO_TICKET", abi["ticket_states"]) + "\n")
    out.append(enum("dromio_schedule_state", "DROMIO_SCHEDULE", abi["schedule_states"]) + "\n")
    out.append(enum("dromio_value_kind", "DROMIO_VALUE", {v["name"]: v["kind"] for v in abi["values"]}) + "\n")
    out.append(enum("dromio_limit", "DROMIO_LIMIT", abi["limits"]) + "\n")
    for function in abi["imports"]:
        out.append(f"/* {function['text']} */\nDROMIO_IMPORT(\"{function['name']}\") {c_prototype(function, 'dromio_')};\n")
    out.append("\n/* What the host calls. The first two are in dromio_runtime.c. */\n")
    for function in functions(abi):
        name = function["name"]
        result = "int32_t" if name in ("dromio_event", "dromio_export_state") else None
        prototype = c_prototype(function, "")
        if name == "dromio_event_buffer":
            prototype = "void *dromio_event_buffer(void)"
        elif result is not None:
            prototype = prototype.replace("uint32_t", result, 1)
        out.append(f"/* {function['text']} */\nDROMIO_EXPORT(\"{name}\") {prototype};\n")
    return "".join(out)


def host_header(abi):
    most = max(len(f["parameters"]) for f in abi["imports"] + functions(abi))
    out = [f"/* The twin ABI as the host sees it: names and WebAssembly signatures. {NOTICE} */\n"
           "#pragma once\n\n#include <stdbool.h>\n#include <stdint.h>\n\n"
           f"#define ABI_MODULE \"{abi['module']}\"\n\n"
           "/* Value types as WebAssembly encodes them. */\n"
           "typedef enum abi_type { ABI_NONE = 0, ABI_I32 = 0x7f, ABI_I64 = 0x7e, ABI_F64 = 0x7c } abi_type;\n\n"
           f"enum {{\n    ABI_VERSION = {abi['version']},\n    ABI_PARAMETERS_MAX = {most},\n"]
    for name, number in abi["limits"].items():
        out.append(f"    ABI_LIMIT_{name.upper()} = {number},\n")
    out.append("};\n\n/* Indexes into abi_imports. */\nenum abi_import {\n")
    for function in abi["imports"]:
        out.append(f"    ABI_IMPORT_{function['name'].upper()},\n")
    out.append("    ABI_IMPORT_COUNT,\n};\n\n/* Indexes into abi_exports: the functions among the exports; besides, `memory`. */\n"
               "enum abi_export {\n")
    for function in functions(abi):
        out.append(f"    ABI_EXPORT_{function['name'].upper().removeprefix('DROMIO_')},\n")
    out.append("    ABI_EXPORT_COUNT,\n};\n\n"
               "typedef struct abi_function {\n    const char *name;\n    uint8_t parameter_count;\n"
               "    uint8_t parameters[ABI_PARAMETERS_MAX]; /* abi_type */\n    uint8_t result;                         /* abi_type */\n"
               "    bool is_required;                       /* exports */\n} abi_function;\n\n"
               "extern const abi_function abi_imports[ABI_IMPORT_COUNT];\n"
               "extern const abi_function abi_exports[ABI_EXPORT_COUNT];\n")
    return "".join(out)


def host_table(abi):
    def rows(list_):
        for f in list_:
            types = ", ".join(WASM_TYPE[p["type"]] for p in f["parameters"]) or "0"
            required = "true" if f.get("required", False) else "false"
            yield (f"    {{ \"{f['name']}\", {len(f['parameters'])}, {{ {types} }}, {WASM_TYPE[f['result']]}, {required} }},\n")
    return (f"/* {NOTICE} */\n#include \"abi_imports.h\"\n\n"
            f"const abi_function abi_imports[ABI_IMPORT_COUNT] = {{\n{''.join(rows(abi['imports']))}}};\n\n"
            f"const abi_function abi_exports[ABI_EXPORT_COUNT] = {{\n{''.join(rows(functions(abi)))}}};\n")


def wit(abi):
    def kebab(name):
        return name.replace("_", "-")

    def signature(f):
        parameters, skip = [], False
        for p in f["parameters"]:
            if skip:  # the length that belongs to the pointer before it
                skip = False
            elif p["type"] == "pointer":
                parameters.append(f"{kebab(p['name'])}: {'string' if p['holds'] == 'text' else 'list<u8>'}")
                skip = True
            else:
                parameters.append(f"{kebab(p['name'])}: {WIT_TYPE[p['type']]}")
        result = "" if f["result"] is None else f" -> {WIT_TYPE[f['result']]}"
        return f"func({', '.join(parameters)}){result}"

    out = [f"// The twin ABI in WIT, to be read. The binding is flat core WebAssembly: a string or list is a\n"
           f"// pointer and a length, both i32. {NOTICE}\npackage dromio:twin@{abi['version']}.0.0;\n\n",
           "interface host {\n"]
    for f in abi["imports"]:
        out.append(f"    /// {f['text']}\n    {kebab(f['name'])}: {signature(f)};\n")
    out.append("}\n\nworld twin {\n    import host;\n\n")
    for f in functions(abi):
        optional = "" if f["required"] else " Optional."
        out.append(f"    /// {f['text']}{optional}\n    export {kebab(f['name'])}: {signature(f)};\n")
    out.append("}\n")
    return "".join(out)


def wasm_signature(f):
    types = ", ".join(f"{p['name']} {'i32' if p['type'] == 'pointer' else p['type']}" for p in f["parameters"])
    return f"{f['name']}({types})" + ("" if f["result"] is None else f" -> {f['result']}")


def page(abi):
    out = [f"# Twin ABI, version {abi['version']}\n\n{NOTICE}\n\nA twin is a core WebAssembly module. It imports from the module "
           f"`{abi['module']}` only, and nothing but what it uses of the functions below; pointers are offsets into its own memory.\n"
           "\n## Exports\n\n| export | required | |\n| --- | --- | --- |\n"]
    for f in abi["exports"]:
        name = wasm_signature(f) if "parameters" in f else f["name"]
        out.append(f"| `{name}` | {'yes' if f['required'] else 'no'} | {f['text']} |\n")
    out.append("\n## Imports\n\n| import | |\n| --- | --- |\n")
    for f in abi["imports"]:
        out.append(f"| `{wasm_signature(f)}` | {f['text']} |\n")
    out.append("\n## Events\n\n| kind | event | id | payload |\n| --- | --- | --- | --- |\n")
    for p in abi["payloads"]:
        out.append(f"| {abi['events'][p['event']]} | {p['event']} | {p['id']} | {p['payload']} |\n")
    out.append("\n## Values\n\nA value in a payload is its kind, one byte, then:\n\n| kind | value | form | |\n| --- | --- | --- | --- |\n")
    for v in abi["values"]:
        out.append(f"| {v['kind']} | {v['name']} | {v['form']} | {v['text']} |\n")
    out.append("\n## Numbers\n\n| what | numbers |\n| --- | --- |\n")
    for title, key in (("outcome of `dromio_event`", "outcomes"), ("quality", "qualities"), ("log level", "levels"),
                       ("state of a ticket", "ticket_states"), ("limits", "limits")):
        out.append(f"| {title} | " + ", ".join(f"{name} {number}" for name, number in abi[key].items()) + " |\n")
    return "".join(out)


def manual(abi):
    def plain(text):
        for character in "\\_*~#[":
            text = text.replace(character, "\\" + character)
        return text
    out = ["twin-abi(7)\n\n# NAME\n\ntwin-abi - what a twin of Dromio exports, imports and is called with\n\n# DESCRIPTION\n\n"
           f"Version {abi['version']}. A twin is a core WebAssembly module that imports from the module *{abi['module']}* only. "
           "Pointers are offsets into its own memory.\n\n# EXPORTS\n\n"]
    for f in abi["exports"]:
        name = wasm_signature(f) if "parameters" in f else f["name"]
        out.append(f"*{plain(name)}*\n\t{plain(f['text'])}{'' if f['required'] else ' Optional.'}\n\n")
    out.append("# IMPORTS\n\n")
    for f in abi["imports"]:
        out.append(f"*{plain(wasm_signature(f))}*\n\t{plain(f['text'])}\n\n")
    out.append("# EVENTS\n\n")
    for p in abi["payloads"]:
        out.append(f"*{abi['events'][p['event']]} {plain(p['event'])}*\n\tid: {plain(p['id'])}; payload: {plain(p['payload'])}\n\n")
    out.append("# VALUES\n\nA value in a payload is its kind, one byte, then:\n\n")
    for v in abi["values"]:
        out.append(f"*{v['kind']} {v['name']}*\n\t{plain(v['form'])}. {plain(v['text'])}\n\n")
    out.append("# LIMITS\n\n")
    for name, number in abi["limits"].items():
        out.append(f"*{plain(name)}*\n\t{number}\n\n")
    out.append("# SEE ALSO\n\n*dromio*(1), *dromiod*(8)\n")
    return "".join(out)


FORMS = {f.__name__: f for f in (guest_header, host_header, host_table, wit, page, manual)}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in FORMS:
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as file:
        abi = json.load(file)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        file.write(FORMS[sys.argv[1]](abi))


main()
