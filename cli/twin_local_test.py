#!/usr/bin/env python3
"""What an author of a twin meets: `dromio twin new, build, test`, above all when
something is wrong. Usage: twin_local_test.py DROMIO_TWIN THERMO_FOLDER THERMO_WASM"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL, THERMO, IMAGE = (Path(argument).resolve() for argument in sys.argv[1:4])
LEAST = {"dromio:model": "acme/least", "version": {"model": "1"}}
EMPTY = '#include "least.h"\nint32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)\n' \
        '{ (void)kind; (void)id; (void)length; return DROMIO_HANDLED; }\n'


class Author(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()

    def run_tool(self, *arguments, code=0, **environment):
        done = subprocess.run([TOOL, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                              env={**os.environ, "TMPDIR": str(self.temporary), **environment})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(list(self.temporary.iterdir()), [], "temporary files are left behind")
        return done

    def twin(self, model=None, source=EMPTY):
        (self.folder / "least.tm.json").write_text(json.dumps(model or LEAST))
        (self.folder / "least.c").write_text(source)

    # ---- build ----

    def test_a_build_prints_what_came_of_it(self):
        self.twin()
        done = self.run_tool("build", "-o", "json")
        about = json.loads(done.stdout)
        self.assertEqual(about["model"], "acme/least")
        self.assertEqual(about["imports"], [])
        self.assertEqual(about["memory"]["pages"], 1)
        image = (self.folder / "least.wasm").read_bytes()
        self.assertEqual(about["bytes"], len(image))
        self.assertTrue(image.endswith(json.dumps(LEAST, separators=(",", ":")).encode()))

    def test_a_twin_that_computes_is_built_with_vectors(self):
        source = EMPTY + 'float a[64];\n#ifdef __wasm_simd128__\n' \
            '__attribute__((export_name("has_vectors"))) void has_vectors(void) {}\n#endif\n'
        self.twin(source=source)
        plain = json.loads(self.run_tool("build", "-o", "json").stdout)
        self.assertFalse(plain["computes"])
        self.assertNotIn(b"has_vectors", (self.folder / "least.wasm").read_bytes())
        self.twin(source=source + "void dromio_compute(void) {}\nint unused(void) { int x; return 1; }\n")
        done = self.run_tool("build", "-o", "json")
        self.assertTrue(json.loads(done.stdout)["computes"])
        self.assertEqual(done.stderr.count("unused variable"), 1, "a warning is told once")
        self.assertIn(b"has_vectors", (self.folder / "least.wasm").read_bytes())

    def test_a_short_copy_is_a_copy(self):
        lengths = range(0, 71)
        copies = "".join(f"    memset(to, 0, sizeof to); memcpy(to + 3, from + 5, {n}); good &= is_copy({n});\n" for n in lengths)
        self.twin(source='#include "least.h"\nstatic uint8_t from[128], to[128];\n'
                  'static bool is_copy(uint32_t n)\n{\n    for (uint32_t i = 0; i < sizeof to; i++)\n'
                  '        if (to[i] != (i >= 3 && i < n + 3 ? from[i + 2] : 0))\n            return false;\n    return true;\n}\n'
                  'int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)\n{\n    bool good = length == 1;\n'
                  '    (void)kind; (void)id;\n    for (uint32_t i = 0; i < sizeof from; i++)\n        from[i] = (uint8_t)(i * 7 + dromio_payload[0]);\n'
                  + copies + '    return good ? DROMIO_SWALLOWED : DROMIO_NOT_HANDLED;\n}\n')
        recording = self.folder / "copies.json"
        recording.write_text(json.dumps({"title": "copies", "steps": [{"uplink": "5b", "expect": ["swallowed"]},
                                                                      {"uplink": "5b5b", "expect": ["not handled"]}]}))
        self.run_tool("test", ".", recording)

    def test_the_same_input_gives_the_same_image(self):
        self.twin()
        first = json.loads(self.run_tool("build", "-o", "json", "--out", "a.wasm").stdout)["image"]
        second = json.loads(self.run_tool("build", self.folder, "-o", "json", "--out", "b.wasm").stdout)["image"]
        self.assertEqual(first, second)
        digest = subprocess.run(["sha256sum", self.folder / "a.wasm"], capture_output=True, text=True).stdout.split()[0]
        self.assertEqual(first, "sha256:" + digest)

    def test_headers_can_be_written_without_a_compiler(self):
        self.twin()
        self.run_tool("build", "--headers", "h", "--headers-only", CLANG="/nowhere")
        self.assertIn("Made by", (self.folder / "h/least.h").read_text())
        self.assertTrue((self.folder / "h/dromio_abi.h").exists())

    def refused(self, *arguments, says, code=1, **environment):
        done = self.run_tool("build", *arguments, code=code, **environment)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)
        self.assertFalse((self.folder / "least.wasm").exists(), "a failed build leaves no image")

    def test_a_folder_without_a_model_is_said(self):
        self.refused(says="has no *.tm.json")

    def test_two_models_are_said(self):
        self.twin()
        (self.folder / "other.tm.json").write_text("{}")
        self.refused(says="more than one *.tm.json")

    def test_a_missing_source_is_said(self):
        (self.folder / "least.tm.json").write_text(json.dumps(LEAST))
        self.refused(says="least.c")

    def test_every_fault_of_the_model_is_said(self):
        self.twin({**LEAST, "properties": {"time": {"type": "number"}, "x": {"type": "array"}}})
        self.refused(says=["least.tm.json: property \"time\"", "property \"x\": type is array"])

    def test_a_compiler_error_is_shown(self):
        self.twin(source="int32_t nonsense\n")
        self.refused(says=["error:", "least.c: does not compile"])

    def test_a_missing_compiler_is_said(self):
        self.twin()
        self.refused(says="install clang and lld", CLANG="/nowhere/clang")

    def test_a_missing_linker_is_said(self):
        self.twin()
        self.refused(says="install lld", WASM_LD="/nowhere/wasm-ld")

    def test_a_function_of_a_c_library_does_not_link(self):
        self.twin(source=EMPTY.replace("(void)kind;", "int puts(const char *); puts(\"hello\");"))
        self.refused(says=["undefined symbol: puts", "no C library"])

    def test_a_twin_without_its_entry_is_said(self):
        self.twin(source='#include "least.h"\n')
        self.refused(says="has no dromio_event")

    def test_an_import_the_host_does_not_have_is_said(self):
        self.twin(source=EMPTY.replace("(void)kind;", "extern void f(void) __attribute__((import_module(\"env\"), "
                                                      "import_name(\"f\"))); f();"))
        self.refused(says="imports env.f")

    def test_half_a_move_is_said(self):
        self.twin(source=EMPTY + "int32_t dromio_export_state(void) { return 0; }\n")
        self.refused(says="go together")

    def test_too_much_memory_is_said(self):
        self.twin(source=EMPTY.replace("{ (void)kind;", "{ static volatile char much[2000000]; much[kind] = 1;"))
        self.refused(says="at most 1048576")

    def test_wrong_use_is_said(self):
        self.twin()
        self.refused("--nothing", says="no such option", code=2)
        self.refused("--out", says="wants a value", code=2)
        self.refused("--stack", "17", says="1024 to 65536", code=2)
        self.refused("-o", "xml", says="table or json", code=2)
        self.refused("a", "b", says="one folder", code=2)

    def test_names_that_are_words_of_c_build(self):
        names = ["int", "default", "string", "in", "out", "value", "length", "bool"]
        model = {**LEAST, "dromio:model": "acme/string",
                 "properties": {name: {"type": kind} for name, kind in zip(names, ["number", "string", "integer", "boolean"] * 2)},
                 "actions": {name: {"input": {"type": "object", "required": ["int"], "properties": {
                     "int": {"type": "string"}, "case": {"type": "string"}, "out": {"type": "boolean"}}}} for name in names},
                 "events": {"for": {}, "do": {"data": {"type": "string"}}, "if": {"data": {"type": "number"}}},
                 "dromio:secrets": {"register": {"type": "string", "contentEncoding": "base64", "default": "Zm9v\u003d"[:4]},
                                    "auto": {"type": "integer", "default": -3}, "goto": {"type": "boolean", "default": True},
                                    "else": {"type": "string", "default": "a\"\\\n??/b"}}}
        uses = "string_secrets s; string_write w; string_action_in a; " \
               "string_read_secrets(&s, length); string_read_write(&w, id, length); string_read_action_in(&a, length);"
        self.twin(model, EMPTY.replace('"least.h"', '"string.h"').replace("(void)length;", uses))
        self.run_tool("build", "--out", "words.wasm")

    def test_a_new_twin_passes_its_test(self):
        self.run_tool("new", "acme/heat-pump")
        done = self.run_tool("test", "heat_pump")
        self.assertIn("1 passed, 0 failed", done.stdout)
        self.assertIn("is there already", self.run_tool("new", "acme/heat-pump", code=1).stderr)
        self.run_tool("new", "Acme Pump", code=2)

    # ---- test ----

    def recording(self, *steps, **more):
        path = self.folder / "recording.json"
        path.write_text(json.dumps({"steps": steps, **more}))
        return path

    def test_a_difference_is_shown_line_by_line(self):
        path = self.recording({"uplink": "ff", "say": "noise", "expect": ["lost = 1", "rejected = 1", "readings = 1"]})
        done = self.run_tool("test", THERMO, path, code=1)
        self.assertIn("step 1, uplink ff: noise\n  - lost = 1\n    rejected = 1\n  - readings = 1\n", done.stdout)
        self.assertIn("0 passed, 1 failed", done.stdout)

    def test_what_was_not_expected_is_shown(self):
        path = self.recording({"uplink": "ff", "expect": []})
        self.assertIn("  + rejected = 1\n", self.run_tool("test", THERMO, path, code=1).stdout)

    def test_a_recording_can_be_written_anew(self):
        path = self.recording({"uplink": "ff", "expect": ["nonsense"]}, {"uplink": "ff"})
        self.run_tool("test", THERMO, path, "--record")
        steps = json.loads(path.read_text())["steps"]
        self.assertEqual(steps, [{"uplink": "ff", "expect": ["rejected = 1"]}, {"uplink": "ff"}])
        self.run_tool("test", THERMO, path)

    def test_json_tells_the_same(self):
        path = self.recording({"uplink": "ff", "expect": []}, {"uplink": "ff"})
        about = json.loads(self.run_tool("test", THERMO, path, "-o", "json", code=1).stdout)
        self.assertEqual((about["passed"], about["failed"]), (0, 1))
        self.assertEqual((about["files"][0]["steps"], about["files"][0]["differ"]), (2, 1))
        self.assertIn("+ rejected = 1", about["files"][0]["differences"])

    def test_a_context_over_its_budget_fails(self):
        path = self.recording({"uplink": "ff"}, context_max=3)
        self.assertIn("context_max is 3", self.run_tool("test", THERMO, path, code=1).stdout)

    def test_a_turn_that_fails_keeps_the_old_context(self):
        self.twin({**LEAST, "properties": {"n": {"type": "integer", "readOnly": True}}},
                  EMPTY.replace("(void)kind; (void)id; (void)length;",
                                "static int n; n++; if (length == 1) __builtin_trap(); if (kind == 3) least_set_n(n, 0);"
                                "if (id == 7) return 9; if (id == 8) dromio_property_set_number(0, 1.5, 0);"))
        path = self.recording({"uplink": "", "expect": ["n = 2"]}, {"uplink": "00", "expect": ["failed: trap"]},
                              {"timer": 7, "expect": ["failed: bad result"]}, {"timer": 8, "expect": ["failed: effects"]},
                              {"uplink": "", "expect": ["n = 3"]})
        self.run_tool("test", self.folder, path)

    def test_a_trigger_and_what_became_of_it(self):
        self.twin({**LEAST, "properties": {"n": {"type": "integer", "readOnly": True}}},
                  EMPTY.replace("(void)kind; (void)id; (void)length;",
                                'if (kind == DROMIO_EVENT_UPLINK) dromio_trigger(5, 4711, "up", 2, 60);'
                                "if (kind == DROMIO_EVENT_TRIGGER_OUTCOME) least_set_n(id * 10 + dromio_payload[0] + length, 0);"))
        path = self.recording({"uplink": "", "expect": ["trigger 5 port 4711 7570 validity 60"]}, {"triggered": {"5": "delivered"}, "expect": ["n = 51"]},
                              {"triggered": {"7": "unknown"}, "expect": ["n = 75"]})
        self.run_tool("test", self.folder, path)

    def test_a_recording_that_is_none_is_said(self):
        for step, says in (({}, "no event"), ({"uplink": "0"}, "hex"), ({"uplink": "zz"}, "hex"), ({"uplink": 1}, "hex"),
                           ({"uplink": "00" * 2049}, "longer than an event"), ({"timer": -1}, "timer is a number"),
                           ({"write": {"temperature": 1}}, "no writable property"), ({"write": {"period": 9}}, "does not allow"),
                           ({"triggered": {"1": "lost"}}, "an outcome is"), ({"triggered": {"x": "failed"}}, "a trigger is a number"),
                           ({"triggered": 1}, "a triggered step"), ({"write": {}}, "one member"), ({"action": {"jump": {}}}, "no action"),
                           ({"action": {"blink": {}}}, "is required: seconds"), ({"action": {"blink": {"seconds": "x"}}}, "not allow"),
                           ({"action": {"blink": {"seconds": 1, "hours": 2}}}, "none of the model's"),
                           ({"created": {"key": "AAAA"}}, "does not allow"), ({"created": {"key": None}}, "does not allow"),
                           ({"uplink": "", "timer": 1}, "two events"), ({"uplink": "", "expect": "x"}, "not an array"),
                           ({"uplink": "", "expect": [1]}, "not a string"), ({"uplink": "", "after_s": -1}, "after_s"),
                           (7, "not an object")):
            with self.subTest(step=str(step)[:60]):
                self.assertIn(says, self.run_tool("test", IMAGE, self.recording(step), code=1).stderr)

    def test_files_that_cannot_be_read_are_said(self):
        self.assertIn("cannot be read", self.run_tool("test", IMAGE, "nowhere.json", code=1).stderr)
        self.assertIn("cannot be read", self.run_tool("test", "nowhere.wasm", "x.json", code=1).stderr)
        (self.folder / "bad.json").write_text("{")
        self.assertIn("is not JSON", self.run_tool("test", IMAGE, "bad.json", code=1).stderr)
        (self.folder / "bad.wasm").write_text("hello")
        self.assertIn("rejected", self.run_tool("test", "bad.wasm", "bad.json", code=1).stderr)
        self.assertIn("which recordings", self.run_tool("test", IMAGE, code=2).stderr)
        self.assertIn("which twin", self.run_tool("test", code=2).stderr)

    def test_help_is_on_standard_output(self):
        for command in ("new", "build", "test"):
            self.assertIn("usage: dromio twin " + command, self.run_tool(command, "--help").stdout)


unittest.main(argv=sys.argv[:1])
