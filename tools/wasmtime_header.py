#!/usr/bin/env python3
"""Writes a C header for wasmtime's C API from the bindings inside its Python wheel.

The wheel ships the official shared library but no headers. Its _bindings.py
declares every function and struct as ctypes, so a header made from it always
fits the library beside it. Values of enumerations and macros are not in there;
cell/engine.c names the few it uses.

usage: wasmtime_header.py path/to/wasmtime/_bindings.py > wasmtime.h
"""
import ctypes
import re
import sys
import types

SCALARS = {
    ctypes.c_bool: "bool", ctypes.c_char: "char", ctypes.c_ubyte: "uint8_t", ctypes.c_byte: "int8_t",
    ctypes.c_uint16: "uint16_t", ctypes.c_int16: "int16_t", ctypes.c_uint32: "uint32_t",
    ctypes.c_int32: "int32_t", ctypes.c_uint64: "uint64_t", ctypes.c_int64: "int64_t",
    ctypes.c_float: "float", ctypes.c_double: "double", ctypes.c_void_p: "void *",
    ctypes.c_char_p: "const char *",
}


class Function:
    restype = None
    argtypes = ()


class Library:
    def __init__(self):
        self.functions = {}

    def __getattr__(self, name):
        return self.functions.setdefault(name, Function())


def load(path):
    """Runs the bindings against a library that only takes notes."""
    library = Library()

    class wasm_ref_t(ctypes.Structure):
        pass

    class wasm_val_union(ctypes.Union):
        _fields_ = [("i32", ctypes.c_int32), ("i64", ctypes.c_int64), ("f32", ctypes.c_float),
                    ("f64", ctypes.c_double), ("ref", ctypes.POINTER(wasm_ref_t))]

    class wasm_val_t(ctypes.Structure):
        _fields_ = [("kind", ctypes.c_uint8), ("of", wasm_val_union)]

    package, ffi = types.ModuleType("bindings"), types.ModuleType("bindings._ffi")
    ffi.dll, ffi.wasm_ref_t, ffi.wasm_val_t = library, wasm_ref_t, wasm_val_t
    sys.modules.update({"bindings": package, "bindings._ffi": ffi})
    scope = {"__name__": "bindings._bindings", "__package__": "bindings"}
    with open(path, encoding="utf-8") as source:
        exec(compile(source.read(), path, "exec"), scope)
    return library, scope


def is_aggregate(kind):
    return isinstance(kind, type) and issubclass(kind, (ctypes.Structure, ctypes.Union))


class Writer:
    def __init__(self):
        self.done, self.forward, self.lines = set(), {}, []

    def tag(self, kind):
        return ("union " if issubclass(kind, ctypes.Union) else "struct ") + "c_" + kind.__name__

    def declare(self, kind, name):
        """The declaration of `name` with the ctypes type `kind`."""
        if kind is None:
            return f"void {name}".rstrip()
        if kind in SCALARS:
            text = SCALARS[kind]
            return f"{text}{'' if text.endswith('*') else ' '}{name}".rstrip()
        if is_aggregate(kind):
            self.forward[kind.__name__] = kind
            return f"{self.tag(kind)} {name}".rstrip()
        if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):
            arguments = ", ".join(self.declare(a, "") for a in kind._argtypes_) or "void"
            return f"{self.declare(kind._restype_, f'(*{name})({arguments})')}"
        if isinstance(kind, type) and issubclass(kind, ctypes._Pointer):
            inner = kind._type_
            if isinstance(inner, type) and issubclass(inner, ctypes._CFuncPtr):
                return self.declare(inner, "*" + name)
            return self.declare(inner, "*" + name)
        if isinstance(kind, type) and issubclass(kind, ctypes.Array):
            return f"{self.declare(kind._type_, name)}[{kind._length_}]"
        raise SystemExit(f"unknown type {kind!r} of {name}")

    def by_value(self, kind):
        if is_aggregate(kind):
            return [kind]
        if isinstance(kind, type) and issubclass(kind, ctypes.Array):
            return self.by_value(kind._type_)
        return []

    def define(self, kind):
        if kind.__name__ in self.done:
            return
        self.done.add(kind.__name__)
        fields = getattr(kind, "_fields_", None)
        if fields is None:
            return
        for _, inner in fields:
            for needed in self.by_value(inner):
                self.define(needed)
        body = "".join(f"    {self.declare(inner, name)};\n" for name, inner in fields)
        self.lines.append(f"{self.tag(kind)} {{\n{body}}};")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    library, scope = load(sys.argv[1])
    writer = Writer()
    prototypes = []
    for name, function in library.functions.items():
        arguments = ", ".join(writer.declare(a, "") for a in function.argtypes) or "void"
        prototypes.append(f"extern {writer.declare(function.restype, f'{name}({arguments})')};")
    aliases = []
    for name, kind in scope.items():
        if not re.match(r"wasm(time)?_\w+$|wasi_\w+$", name):
            continue
        if is_aggregate(kind):
            writer.define(kind)
            aliases.append(f"typedef {writer.tag(kind)} {name};")
        elif isinstance(kind, type) and (kind in SCALARS or issubclass(kind, (ctypes._Pointer, ctypes._CFuncPtr))):
            aliases.append(f"typedef {writer.declare(kind, name)};")
    for kind in list(writer.forward.values()):
        writer.define(kind)
    print("/* Made by tools/wasmtime_header.py; do not edit. */\n#pragma once\n")
    print("#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n")
    for kind in writer.forward.values():
        print(f"{writer.tag(kind)};")
    print()
    print("\n".join(writer.lines))
    print()
    print("\n".join(aliases))
    print()
    print("\n".join(prototypes))


if __name__ == "__main__":
    main()
