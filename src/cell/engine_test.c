/* The engine behind its few functions, and the numbers engine.c gives to the
 * constants that the header made from the wheel does not have: each by what it does. */
#include "cell/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <wasmtime.h>

#include "cell/test_support.h"

typedef struct seen { /* by the imports */
    int32_t i32;
    int64_t i64;
    double f64;
    uint32_t ticks, patience;
    bool refuses;
    engine *engine;
} seen;

enum { ENTRY_RUN };

static bool on_take(void *context, engine_value *values)
{
    seen *seen = context;
    seen->i32 = values[0].i32;
    seen->i64 = values[1].i64;
    seen->f64 = values[2].f64;
    values[0].f64 = 2.5;
    return !seen->refuses;
}

/* Time passes whenever guest code asks: so no test waits for a clock. */
static bool on_pass(void *context, engine_value *values)
{
    (void)values;
    engine_tick(((seen *)context)->engine);
    return true;
}

static bool on_tick(void *context)
{
    seen *seen = context;
    return ++seen->ticks < seen->patience;
}

static const uint8_t take_types[] = { 0x7f, 0x7e, 0x7c };
static const engine_import imports[] = {
    { "take", take_types, 3, 0x7c, on_take },
    { "pass", NULL, 0, 0, on_pass },
};

#define RUN(body) "(module (import \"host\" \"take\" (func $take (param i32 i64 f64) (result f64)))" \
                  "(import \"host\" \"pass\" (func $pass)) (memory (export \"memory\") 1)" \
                  "(func $run (export \"run\") (result f64) " body "))"

static const engine_code_options one_page = { .memory_limit = 65536 };

typedef struct made { engine_code *code; engine_instance *instance; } made;

static made make(seen *seen, const char *text, const engine_code_options *code_options)
{
    engine_options options = { .module = "host", .imports = imports, .import_count = 2, .entries = { "run" },
                               .context = seen, .on_tick = on_tick };
    wasm_byte_vec_t wasm;
    uint8_t *code = NULL;
    size_t length = 0;
    char reason[ENGINE_REASON_MAX] = "";
    made made = { NULL, NULL };
    assert_null(wasmtime_wat2wasm((char *)(uintptr_t)text, strlen(text), &wasm));
    assert_int_equal(engine_new(&seen->engine, &options), DRO_OK);
    if (engine_compile(seen->engine, (const uint8_t *)wasm.data, wasm.size, &code, &length, reason) != DRO_OK)
        fail_msg("%s", reason);
    assert_int_equal(engine_load(&made.code, seen->engine, code, length, code_options, reason), DRO_OK);
    assert_int_equal(engine_instance_new(&made.instance, made.code), DRO_OK);
    free(code);
    wasm_byte_vec_delete(&wasm);
    test_signals_set();
    return made;
}

static void unmake(seen *seen, made made)
{
    engine_instance_free(made.instance);
    engine_code_free(made.code);
    engine_free(seen->engine);
}

static engine_outcome run(seen *seen, const char *text, engine_value *values)
{
    made made = make(seen, text, &one_page);
    engine_outcome outcome = engine_call(made.instance, ENTRY_RUN, values, 1);
    unmake(seen, made);
    return outcome;
}

static void values_cross_in_their_types(void **state)
{
    seen seen = { 0 };
    engine_value values[1] = { { 0 } };
    (void)state;
    const char *text = RUN("(call $take (i32.const -7) (i64.const 0x1122334455667788) (f64.const 0.25))");
    assert_int_equal(run(&seen, text, values), ENGINE_DONE);
    assert_int_equal(seen.i32, -7);
    assert_true(seen.i64 == 0x1122334455667788 && seen.f64 == 0.25 && values[0].f64 == 2.5);
}

static void each_trap_is_told_apart(void **state)
{
    static const struct { const char *text; engine_outcome outcome; } cases[] = {
        { RUN("unreachable"), ENGINE_TRAP },
        { RUN("(i32.store (i32.const 65533) (i32.const 1)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(i32.store offset=0xffffffff (i32.const -1) (i32.const 1)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(drop (i32.load (i32.const 0x7fffffff))) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(memory.fill (i32.const 65000) (i32.const 1) (i32.const 1000)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(f64.add (call $run) (f64.const 1))"), ENGINE_STACK_OVERFLOW },
        { RUN("(drop (i32.div_u (i32.const 1) (i32.const 0))) (f64.const 0)"), ENGINE_TRAP },
        { RUN("(drop (i32.trunc_f64_s (f64.const 1e300))) (f64.const 0)"), ENGINE_TRAP },
        { RUN("(loop $l (call $pass) (br $l)) (f64.const 0)"), ENGINE_DEADLINE },
        { RUN("(i32.store (i32.const 65532) (i32.const 1)) (f64.const 0)"), ENGINE_DONE },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen seen = { .patience = 3 };
        engine_value values[1] = { { 0 } };
        engine_outcome outcome = run(&seen, cases[i].text, values);
        if (outcome != cases[i].outcome)
            fail_msg("%s: %d", cases[i].text, outcome);
    }
}

static void an_import_that_says_no_ends_the_call(void **state)
{
    seen seen = { .refuses = true };
    engine_value values[1] = { { 0 } };
    (void)state;
    assert_int_equal(run(&seen, RUN("(call $take (i32.const 1) (i64.const 2) (f64.const 3))"), values), ENGINE_REFUSED);
}

static void a_tick_that_is_allowed_lets_the_call_go_on(void **state)
{
    seen seen = { .patience = 1000 };
    engine_value values[1] = { { 0 } };
    (void)state;
    assert_int_equal(run(&seen, RUN("(local i32) (loop $l (call $pass)"
                                    "(local.set 0 (i32.add (local.get 0) (i32.const 1)))"
                                    "(br_if $l (i32.lt_u (local.get 0) (i32.const 20)))) (f64.const 0)"), values),
                     ENGINE_DONE);
    assert_in_range(seen.ticks, 15, 25);
}

#define GLOBALS "(module (memory (export \"memory\") 1) (global (export \"dromio:g0\") (mut i32) (i32.const -2))" \
                "(global (export \"dromio:g1\") (mut i64) (i64.const 0x1122334455667788))" \
                "(global (export \"dromio:g2\") (mut f32) (f32.const 1.5))" \
                "(global (export \"dromio:g3\") (mut f64) (f64.const -0.5)))"

static void globals_are_read_and_set_bit_for_bit(void **state)
{
    static const uint64_t first[] = { 0xfffffffe, 0x1122334455667788, 0x3fc00000, 0xbfe0000000000000 };
    engine_code_options options = { .global_count = 4, .memory_limit = 65536 };
    seen seen = { 0 };
    (void)state;
    made made = make(&seen, GLOBALS, &options);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(engine_global_get(made.instance, i) == first[i]);
        uint64_t bits = i == 0 || i == 2 ? 0x7fa00001 : 0x7ff4000000000001; /* a signalling NaN is kept as it is */
        assert_true(engine_global_set(made.instance, i, bits));
        assert_true(engine_global_get(made.instance, i) == bits);
    }
    unmake(&seen, made);
}

static void tables_are_compared_by_what_they_hold(void **state)
{
    engine_code_options options = { .table_count = 1, .memory_limit = 65536 };
    seen seen = { 0 };
    engine_value values[1] = { { 0 } };
    (void)state;
    made made = make(&seen, "(module (memory (export \"memory\") 1) (table (export \"dromio:t0\") 3 funcref)"
                     " (elem (i32.const 0) $a $b) (func $a) (func $b)"
                     " (func (export \"run\") (table.set 0 (i32.const 2) (ref.func $a))))", &options);
    uint64_t before = engine_tables_digest(made.instance);
    assert_true(engine_tables_digest(made.instance) == before);
    assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), ENGINE_DONE);
    assert_true(engine_tables_digest(made.instance) != before);
    unmake(&seen, made);
}

static void memory_grows_in_place_up_to_its_limit(void **state)
{
    engine_code_options options = { .memory_limit = 3 * 65536 };
    seen seen = { 0 };
    (void)state;
    made made = make(&seen, "(module (memory (export \"memory\") 1 65536)"
                     " (func (export \"run\") (param i32) (result i32) (memory.grow (local.get 0))))", &options);
    engine_memory *memory = engine_instance_memory(made.instance);
    uint8_t *bytes = memory->bytes;
    engine_value values[1] = { { .i32 = 1 } };
    assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), ENGINE_DONE);
    assert_int_equal(values[0].i32, 1);
    assert_int_equal(memory->length, 2 * 65536);
    assert_false(memory->was_refused);
    values[0].i32 = 2;
    assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), ENGINE_DONE);
    assert_int_equal(values[0].i32, -1);
    assert_true(memory->was_refused && memory->bytes == bytes);
    assert_int_equal(engine_memory_grow_to(made.instance, 3 * 65536), DRO_OK);
    assert_int_equal(engine_memory_grow_to(made.instance, 4 * 65536), DRO_LIMIT);
    assert_int_equal(memory->length, 3 * 65536);
    unmake(&seen, made);
}

static void a_memory_used_again_is_all_zero(void **state)
{
    seen seen = { 0 };
    (void)state;
    made made = make(&seen, RUN("(f64.const 0)"), &one_page);
    engine_memory *memory = engine_instance_memory(made.instance);
    uint8_t *bytes = memory->bytes;
    memset(bytes, 0x5a, memory->length);
    engine_instance_free(made.instance);
    assert_int_equal(engine_instance_new(&made.instance, made.code), DRO_OK);
    memory = engine_instance_memory(made.instance);
    assert_true(memory->bytes == bytes);
    for (uint32_t i = 0; i < memory->length; i++)
        assert_int_equal(memory->bytes[i], 0);
    unmake(&seen, made);
}

static void code_with_other_imports_is_not_loaded(void **state)
{
    engine_options options = { .module = "host", .imports = imports, .import_count = 0 };
    wasm_byte_vec_t wasm;
    engine *engine = NULL;
    engine_code *loaded = NULL;
    uint8_t *code = NULL;
    size_t length = 0;
    char reason[ENGINE_REASON_MAX] = "";
    const char *text = RUN("(f64.const 0)");
    (void)state;
    assert_null(wasmtime_wat2wasm((char *)(uintptr_t)text, strlen(text), &wasm));
    assert_int_equal(engine_new(&engine, &options), DRO_OK);
    assert_int_equal(engine_compile(engine, (const uint8_t *)wasm.data, wasm.size, &code, &length, reason), DRO_OK);
    assert_int_equal(engine_load(&loaded, engine, code, length, &one_page, reason), DRO_UNSUPPORTED);
    assert_int_equal(engine_load(&loaded, engine, (const uint8_t *)wasm.data, wasm.size, &one_page, reason), DRO_UNSUPPORTED);
    free(code);
    engine_free(engine);
    wasm_byte_vec_delete(&wasm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_cross_in_their_types),
        cmocka_unit_test(each_trap_is_told_apart),
        cmocka_unit_test(an_import_that_says_no_ends_the_call),
        cmocka_unit_test(a_tick_that_is_allowed_lets_the_call_go_on),
        cmocka_unit_test(globals_are_read_and_set_bit_for_bit),
        cmocka_unit_test(tables_are_compared_by_what_they_hold),
        cmocka_unit_test(memory_grows_in_place_up_to_its_limit),
        cmocka_unit_test(a_memory_used_again_is_all_zero),
        cmocka_unit_test(code_with_other_imports_is_not_loaded),
    };
    test_signals_keep();
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
