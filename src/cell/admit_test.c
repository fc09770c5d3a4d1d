/* What is admitted, and each reason why not. */
#include "cell/admit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasmtime.h>

#include "cell/admit_private.h"
#include "cell/artifact.h"
#include "cell/test_support.h"

#define ABI "(func (export \"dromio_abi_1\"))"
#define BUFFER "(func (export \"dromio_event_buffer\") (result i32) (i32.const 1024))"
#define EVENT "(func (export \"dromio_event\") (param i32 i32 i32) (result i32) (i32.const 0))"
#define MEMORY "(memory (export \"memory\") 1)"
#define SOUND ABI BUFFER EVENT MEMORY
#define F(body) "(module " SOUND " (func " body "))" /* a sound twin with one more function */
#define M(fields) "(module " fields SOUND ")"

static admit_result *result;

/* Text by the engine's own parser: it knows every proposal, also those we refuse. */
static test_bytes from_text(const char *text)
{
    wasm_byte_vec_t bytes;
    wasmtime_error_t *error = wasmtime_wat2wasm((char *)(uintptr_t)text, strlen(text), &bytes);
    if (error != NULL) {
        wasm_byte_vec_t message;
        wasmtime_error_message(error, &message);
        fail_msg("%.*s", (int)message.size, (const char *)message.data);
    }
    test_bytes out = { malloc(bytes.size), bytes.size };
    memcpy(out.bytes, bytes.data, bytes.size);
    wasm_byte_vec_delete(&bytes);
    test_bytes model = test_file("model.json");
    out = test_section_added(out, "dromio.model", model.bytes, model.length);
    free(model.bytes);
    return out;
}

static void look(test_bytes image, const admit_options *options)
{
    admit_result_free(result);
    test_signals_set();
    assert_int_equal(admit_image(image.bytes, image.length, options, result), DRO_OK);
    assert_int_equal(result->artifact == NULL, result->reason_count > 0);
    free(image.bytes);
}

static bool is_told(const char *words)
{
    for (uint32_t i = 0; i < result->reason_count; i++)
        if (strstr(result->reasons[i], words) != NULL)
            return true;
    return false;
}

static void assert_told(const char *text, const char *words)
{
    if (is_told(words))
        return;
    for (uint32_t i = 0; i < result->reason_count; i++)
        print_message("told: %s\n", result->reasons[i]);
    fail_msg("%s\nis not refused with: %s", text, words);
}

static const admit_options first_only = { .no_second_validator = 1 };

static void each_thing_that_is_not_accepted_is_told(void **state)
{
    static const struct { const char *text, *words; } cases[] = {
        { M("(memory 1)"), "2 memories; a twin has exactly one" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") 1 1 shared))", "shared memory and threads" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") i64 1))", "64-bit memory" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") 100 100 (pagesize 1)))", "custom page sizes" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") 17))", "memory of 17 pages; 1 to 16" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") 0))", "memory of 0 pages" },
        { "(module " ABI BUFFER EVENT "(memory (export \"other\") 1))", "not exported as memory" },
        { "(module " ABI BUFFER EVENT "(memory (export \"memory\") (export \"again\") 1))",
          "under another name, again" },
        { "(module " BUFFER EVENT MEMORY ")", "dromio_abi_1 is not exported" },
        { "(module " ABI EVENT MEMORY ")", "dromio_event_buffer is not exported" },
        { "(module " ABI BUFFER MEMORY ")", "dromio_event is not exported" },
        { "(module " ABI BUFFER MEMORY "(func (export \"dromio_event\") (param i32) (result i32) (i32.const 0)))",
          "dromio_event must have the signature (i32, i32, i32) -> (i32)" },
        { "(module " ABI BUFFER MEMORY "(global (export \"dromio_event\") i32 (i32.const 0)))",
          "must have the signature" },
        { "(module " SOUND "(func (export \"dromio_export_state\") (result i32) (i32.const 0)))", "come together" },
        { "(module " SOUND "(func $s) (start $s))", "start function is not accepted" },
        { "(module (import \"env\" \"now\" (func (result i64))) " SOUND ")", "imports from module dromio only" },
        { "(module (import \"dromio\" \"open\" (func)) " SOUND ")", "the host has no function open" },
        { "(module (import \"dromio\" \"now\" (func (result i32))) " SOUND ")",
          "import now must have the signature () -> (i64)" },
        { "(module (import \"dromio\" \"m\" (memory 1)) " ABI BUFFER EVENT ")", "only functions can be imported" },
        { "(module (import \"dromio\" \"t\" (table 1 funcref)) " SOUND ")", "only functions can be imported" },
        { "(module (import \"dromio\" \"g\" (global i32)) " SOUND ")", "only functions can be imported" },
        { "(module " SOUND "(global (export \"dromio:g0\") i32 (i32.const 0)))", "the host's own" },
        { M("(table 1 externref)"), "not of funcref" },
        { M("(table 5000 funcref)"), "at most 4096 are accepted" },
        { M("(table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)"), "5 tables" },
        { M("(table 1 funcref) (elem (i32.const 1) $f) (func $f)"), "element segment 0 lies outside its table" },
        { M("(data (i32.const 65530) \"too far\")"), "data segment 0 lies outside the memory" },
        { M("(global (mut v128) (v128.const i64x2 0 0))"), "a mutable global is a number" },
        { M("(global (mut funcref) (ref.null func))"), "a mutable global is a number" },
        { M("(global i32 (i32.add (i32.const 1) (i32.const 2)))"), "more than one instruction" },
        { M("(tag $t)"), "exceptions are not accepted" },
        { M("(type (struct (field i32)))"), "garbage collection is not accepted" },
        { F("(param externref)"), "externref is not accepted" },
        { F("(local anyref)"), "value type 0x6e is not accepted" },
        { F("(return_call 0)"), "tail calls are not accepted" },
        { F("(drop (i32.atomic.load (i32.const 0)))"), "threads and atomics are not accepted" },
        { F("(throw 0)) (tag"), "exceptions are not accepted" },
        { F("(drop (ref.i31 (i32.const 0)))"), "garbage collection are not accepted" },
        { F("(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))"), "relaxed SIMD" },
        { F("(drop (i64.load offset=0x1ffffffff (i32.const 0)))) (memory i64 1"), "a twin has exactly one" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        look(from_text(cases[i].text), &first_only);
        assert_told(cases[i].text, cases[i].words);
    }
}

static void a_reason_names_section_offset_and_function(void **state)
{
    (void)state;
    look(from_text(F("(return_call 0)")), &first_only);
    assert_told("", "code section, offset 0x");
    assert_told("", "function 3: opcode 0x12");
}

static void all_reasons_are_told_at_once(void **state)
{
    (void)state;
    look(from_text("(module (import \"dromio\" \"open\" (func)) (import \"dromio\" \"now\" (func))"
                   " (memory (export \"m\") 1)"
                   "(func (export \"dromio_event\")))"), &first_only);
    assert_told("", "no function open");
    assert_told("", "import now");
    assert_told("", "not exported as memory");
    assert_told("", "under another name");
    assert_told("", "dromio_event must have");
    assert_told("", "dromio_abi_1 is not exported");
    assert_told("", "dromio_event_buffer is not exported");
    look(from_text("(module (func (return_call 0)) (func (return_call 0))"
                   " (func (drop (i32.atomic.load (i32.const 0)))))"),
         &first_only);
    assert_told("", "function 0: opcode");
    assert_told("", "function 1: opcode");
    assert_told("", "function 2: opcode");
    assert_told("", "dromio_event is not exported"); /* what a body has wrong hides nothing else */
    look(from_text("(module (import \"env\" \"abort\" (func)))"), &first_only);
    assert_told("", "import env.abort");
    assert_told("", "dromio_abi_1 is not exported");
}

static void a_sound_twin_is_admitted(void **state)
{
    static const char *const texts[] = {
        M(""),
        F("(drop (i32.trunc_sat_f64_s (f64.const 1))) (drop (i32.extend8_s (i32.const 1)))"),
        F("(memory.copy (i32.const 0) (i32.const 8) (i32.const 8))"
          "(memory.fill (i32.const 0) (i32.const 0) (i32.const 8))"),
        F("(drop (i32x4.extract_lane 0 (i32x4.add (v128.const i64x2 0 0) (i32x4.splat (i32.const 1)))))"),
        F("(result i32 i64) (block (result i32 i64) (i32.const 1) (i64.const 2))"),
        F("(local funcref) (local.set 0 (ref.func 0)) (drop (ref.is_null (local.get 0))))"
          " (elem declare func 0"),
        F("(param i32) (block (block (block (br_table 0 1 2 (local.get 0)))))"),
        M("(table 2 funcref) (elem (i32.const 0) $f) (func $f (call_indirect (i32.const 0)))"),
        M("(global $g (mut f32) (f32.const 1.5)) (global (export \"c\") i64 (i64.const -1))"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        look(from_text(texts[i]), NULL);
        for (uint32_t k = 0; k < result->reason_count; k++)
            print_message("%s: %s\n", texts[i], result->reasons[k]);
        assert_int_equal(result->reason_count, 0);
        assert_string_equal(result->info.model.name, "test/probe");
        assert_true(result->model_json_length > 100);
    }
}

static void simd_opcodes_that_are_not_assigned_are_refused(void **state)
{
    static const uint8_t gaps[] = { 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, /* as in the standard */
                                    0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee };
    static const uint8_t mark[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        test_bytes image = from_text(F("(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)"
                                       "(nop)(nop)"
                                       "(nop)(nop)(nop)(nop)(nop)(nop)(nop)(nop)"));
        uint8_t *at = memmem(image.bytes, image.length, mark, sizeof mark);
        assert_non_null(at);
        at[0] = 0xfd;
        at[1] = (uint8_t)(opcode < 128 ? opcode : opcode | 0x80);
        look(image, &first_only);
        bool is_gap = memchr(gaps, (int)opcode, sizeof gaps) != NULL;
        if (is_told("unknown instructions") != is_gap)
            fail_msg("opcode 0xfd 0x%x", opcode);
    }
}

static void a_wrong_type_is_left_to_the_second_validator(void **state)
{
    test_bytes image = from_text(F("(result i32) (i32.const 1)"));
    uint8_t mark[] = { 0x41, 0x01, 0x0b };
    (void)state;
    uint8_t *at = memmem(image.bytes, image.length, mark, sizeof mark);
    assert_non_null(at);
    at[0] = 0x42; /* i64.const */
    look(image, NULL);
    assert_told("", "second validator, offset 0x");
    assert_told("", "type mismatch");
}

static void a_wrong_type_is_found_by_the_compiler_too(void **state)
{
    test_bytes image = from_text(F("(result i32) (i32.const 1)"));
    uint8_t mark[] = { 0x41, 0x01, 0x0b };
    (void)state;
    ((uint8_t *)memmem(image.bytes, image.length, mark, sizeof mark))[0] = 0x42;
    look(image, &first_only);
    assert_told("", "the compiler refuses it");
}

static void an_event_buffer_must_be_one(void **state)
{
    static const struct { const char *body, *words; } cases[] = {
        { "(i32.const 65000)", "not inside the memory" },
        { "(i32.const -1)", "not inside the memory" },
        { "(unreachable)", "traps or does not end" },
        { "(loop $l (br $l)) (unreachable)", "traps or does not end" },
        { "(i32.store (i32.const 0) (i32.const 1)) (i32.const 1024)", "changes the memory" },
        { "(drop (call $now)) (i32.const 1024)", "calls the host" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "(module (import \"dromio\" \"now\" (func $now (result i64))) " ABI EVENT MEMORY
                 "(func (export \"dromio_event_buffer\") (result i32) %s))", cases[i].body);
        look(from_text(text), &first_only);
        assert_told(text, cases[i].words);
    }
}

static void a_model_is_needed(void **state)
{
    test_bytes image = test_file("probe.wasm");
    (void)state;
    look(image, &first_only);
    assert_told("", "no custom section dromio.model");
    look(test_section_added(test_file("probe.wasm"), "dromio.model", "{}", 2), &first_only);
    assert_true(result->reason_count > 0);
    look(test_section_added(test_image("probe"), "dromio.model", "{}", 2), &first_only);
    assert_told("", "two sections dromio.model");
}

static void memory_is_exact_when_the_image_says_what_it_needs(void **state)
{
    uint32_t need = 5000;
    (void)state;
    look(test_section_added(from_text(M("")), "dromio.memory", &need, 4), &first_only);
    assert_int_equal(result->info.is_exact, DROMIO_EXACT_MEMORY);
    assert_int_equal(result->info.memory_bytes, DROMIO_EXACT_MEMORY ? 5056 : 65536);
    admit_options off = { .no_exact_memory = 1, .no_second_validator = 1 };
    look(test_section_added(from_text(M("")), "dromio.memory", &need, 4), &off);
    assert_int_equal(result->info.is_exact, 0);
    look(from_text(M("")), &first_only);
    assert_int_equal(result->info.is_exact, 0);
    look(test_section_added(from_text(F("(drop (memory.size))")), "dromio.memory", &need, 4), &first_only);
    assert_int_equal(result->info.is_exact, 0);
    assert_int_equal(result->info.is_fresh, 0);
    need = 1000; /* too little for the event buffer */
    look(test_section_added(from_text(M("")), "dromio.memory", &need, 4), &first_only);
    assert_int_equal(result->info.is_exact ? is_told("not inside the memory") : true, true);
    look(test_section_added(from_text(M("")), "dromio.memory", &need, 3), &first_only);
    assert_told("", "not one 32-bit number");
}

#define COMPUTE "(func (export \"dromio_compute\"))"

static void an_image_that_computes_has_whole_pages(void **state)
{
    uint32_t need = 5000;
    artifact artifact;
    (void)state;
    look(test_section_added(from_text(M(COMPUTE)), "dromio.memory", &need, 4), &first_only);
    assert_int_equal(result->reason_count, 0);
    assert_int_equal(result->info.is_exact, 0);
    assert_int_equal(result->info.memory_bytes, 65536);
    assert_int_equal(artifact_read(&artifact, result->artifact, result->artifact_length), DRO_OK);
    assert_true(artifact.info.computes && !artifact.info.is_fresh);
    assert_int_equal(result->info.exports, ADMIT_EXPORTS_COMPUTE);
    look(from_text(F("(table.set 0 (i32.const 0) (ref.null func))) (table 1 funcref)" COMPUTE "(func")), &first_only);
    assert_int_equal(result->reason_count, 0); /* a fresh instance each turn is fine */
    assert_true(result->info.is_fresh);
    static const struct { const char *text, *words; } refused[] = {
        { M("(func (export \"dromio_compute\") (result i32) (i32.const 1))"), "export dromio_compute must have the signature () -> ()" },
        { M("(global (export \"dromio_compute\") i32 (i32.const 1))"), "export dromio_compute must have the signature" },
        { F("(drop (memory.grow (i32.const 1)))) (func (export \"dromio_compute\")"), "does not grow" },
        { M(COMPUTE "(func (export \"dromio_export_state\") (result i32) (i32.const 0))"), "come together" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        look(from_text(refused[i].text), &first_only);
        assert_told(refused[i].text, refused[i].words);
    }
}

static void what_cannot_be_reset_gets_a_fresh_instance(void **state)
{
    static const char *const texts[] = {
        F("(drop (memory.grow (i32.const 1)))"),
        M("(table 1 funcref)") , /* replaced below */
        F("(data.drop 0)) (data \"x\""),
        F("(elem.drop 0)) (table 1 funcref) (elem func 0"),
        F("(table.set 0 (i32.const 0) (ref.null func))) (table 1 funcref"),
        F("(table.fill 0 (i32.const 0) (ref.null func) (i32.const 1))) (table 1 funcref"),
        F("(drop (table.grow 0 (ref.null func) (i32.const 1)))) (table 1 funcref"),
        F("(table.copy 0 0 (i32.const 0) (i32.const 0) (i32.const 1))) (table 1 funcref"),
        F("(table.init 0 0 (i32.const 0) (i32.const 0) (i32.const 1))) (table 1 funcref) (elem func 0"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        look(from_text(texts[i]), NULL);
        assert_int_equal(result->reason_count, 0);
        assert_int_equal(result->info.is_fresh, i != 1);
    }
}

static void every_shorter_image_is_refused(void **state)
{
    test_bytes whole = test_image("probe");
    (void)state;
    for (size_t length = 0; length < whole.length; length++) {
        test_bytes shorter = { malloc(length + 1), length };
        memcpy(shorter.bytes, whole.bytes, length);
        look(shorter, &first_only);
        if (result->reason_count == 0)
            fail_msg("%zu of %zu bytes are admitted", length, whole.length);
    }
    free(whole.bytes);
}

static void an_artifact_says_who_made_it(void **state)
{
    (void)state;
    look(from_text(M("")), &first_only);
    admit_options off = { .no_exact_memory = 1 };
    assert_true(admit_artifact_is_current(result->artifact, result->artifact_length, NULL));
    assert_int_equal(admit_artifact_is_current(result->artifact, result->artifact_length, &off), !DROMIO_EXACT_MEMORY);
    result->artifact[12] ^= 1; /* in the key */
    assert_false(admit_artifact_is_current(result->artifact, result->artifact_length, NULL));
    assert_false(admit_artifact_is_current(result->artifact, 7, NULL));
}

static void a_damaged_artifact_is_an_error(void **state)
{
    artifact artifact;
    (void)state;
    look(test_image("probe"), &first_only);
    size_t head = result->artifact_length - 20000; /* what is ours: all but most of the code */
    for (size_t length = 0; length < result->artifact_length; length += length < head ? 1 : 997)
        assert_int_equal(artifact_read(&artifact, result->artifact, length), DRO_CORRUPT);
    cell *cell = NULL;
    cell_image image = { result->artifact, result->artifact_length };
    cell_options options = { .images = &image, .image_count = 1, .doorbell = -1, .manual_ticks = true };
    assert_int_equal(cell_new(&cell, &options), DRO_OK);
    cell_free(cell);
    image.length -= 8;
    assert_int_equal(cell_new(&cell, &options), DRO_CORRUPT);
}

static void a_result_crosses_to_another_process_whole(void **state)
{
    uint8_t *flat = NULL;
    size_t length = 0;
    admit_result *other = calloc(1, sizeof *other);
    (void)state;
    look(test_image("probe"), &first_only);
    assert_int_equal(admit_result_flatten(result, &flat, &length), DRO_OK);
    assert_int_equal(admit_result_unflatten(other, flat, length), DRO_OK);
    assert_int_equal(other->artifact_length, result->artifact_length);
    assert_memory_equal(other->artifact, result->artifact, result->artifact_length);
    assert_string_equal(other->model_json, result->model_json);
    assert_int_equal(other->info.import_count, result->info.import_count);
    assert_string_equal(other->info.imports[0], result->info.imports[0]);
    assert_int_equal(other->info.exports, ADMIT_EXPORTS_STATE);
    admit_result_free(other);
    for (size_t shorter = 0; shorter < length; shorter += shorter < 5000 ? 1 : 499)
        assert_int_equal(admit_result_unflatten(other, flat, shorter), DRO_CORRUPT);
    free(flat);
    look(from_text("(module)"), &first_only);
    assert_int_equal(admit_result_flatten(result, &flat, &length), DRO_OK);
    assert_int_equal(admit_result_unflatten(other, flat, length), DRO_OK);
    assert_int_equal(other->reason_count, result->reason_count);
    assert_string_equal(other->reasons[0], result->reasons[0]);
    free(flat);
    admit_result_free(other);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thing_that_is_not_accepted_is_told),
        cmocka_unit_test(a_reason_names_section_offset_and_function),
        cmocka_unit_test(all_reasons_are_told_at_once),
        cmocka_unit_test(a_sound_twin_is_admitted),
        cmocka_unit_test(simd_opcodes_that_are_not_assigned_are_refused),
        cmocka_unit_test(a_wrong_type_is_left_to_the_second_validator),
        cmocka_unit_test(a_wrong_type_is_found_by_the_compiler_too),
        cmocka_unit_test(an_event_buffer_must_be_one),
        cmocka_unit_test(a_model_is_needed),
        cmocka_unit_test(memory_is_exact_when_the_image_says_what_it_needs),
        cmocka_unit_test(an_image_that_computes_has_whole_pages),
        cmocka_unit_test(what_cannot_be_reset_gets_a_fresh_instance),
        cmocka_unit_test(every_shorter_image_is_refused),
        cmocka_unit_test(an_artifact_says_who_made_it),
        cmocka_unit_test(a_damaged_artifact_is_an_error),
        cmocka_unit_test(a_result_crosses_to_another_process_whole),
    };
    test_signals_keep();
    result = calloc(1, sizeof *result);
    int failed = cmocka_run_group_tests_name("admit", tests, NULL, NULL);
    admit_result_free(result);
    free(result);
    return failed;
}
