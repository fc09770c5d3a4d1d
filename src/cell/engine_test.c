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
    uint32_t passed, patience;
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
    seen *seen = context;
    (void)values;
    if (++seen->passed == seen->patience)
        engine_stop(seen->engine, engine_call_number(seen->engine));
    return true;
}

static const uint8_t take_types[] = { 0x7f, 0x7e, 0x7c };
static const engine_import imports[] = {
    { "take", take_types, 3, 0x7c, on_take },
    { "pass", NULL, 0, 0, on_pass },
};

#define RUN(body) "(module (import \"host\" \"take\" (func $take (param i32 i64 f64) (result f64)))" \
                  "(import \"host\" \"pass\" (func $pass)) (memory (export \"memory\") 1) (memory $stop 1 1)" \
                  "(func $run (export \"run\") (result f64) " body "))"

/* What rewrite.c puts into each loop. */
#define LOOK "(if (i32.atomic.load $stop (i32.const 0)) (then (unreachable)))"

static const engine_code_options one_page = { .memory_limit = 65536 };
static const engine_code_options computing_page = { .memory_limit = 65536, .computes = true };

typedef struct made { engine_code *code; engine_instance *instance; } made;

static made make_with(seen *seen, const char *text, const engine_code_options *code_options, const engine_import *calls)
{
    engine_options options = { .module = "host", .imports = calls, .import_count = 2, .entries = { "run" },
                               .context = seen };
    wasm_byte_vec_t wasm;
    uint8_t *code = NULL;
    size_t length = 0;
    char reason[ENGINE_REASON_MAX] = "";
    made made = { NULL, NULL };
    assert_null(wasmtime_wat2wasm((char *)(uintptr_t)text, strlen(text), &wasm));
    assert_int_equal(engine_new(&seen->engine, &options), DRO_OK);
    if (engine_compile(seen->engine, (const uint8_t *)wasm.data, wasm.size, code_options->computes, &code, &length, reason) != DRO_OK)
        fail_msg("%s", reason);
    assert_int_equal(engine_load(&made.code, seen->engine, code, length, code_options, reason), DRO_OK);
    assert_int_equal(engine_instance_new(&made.instance, made.code), DRO_OK);
    free(code);
    wasm_byte_vec_delete(&wasm);
    test_signals_set();
    return made;
}

static made make(seen *seen, const char *text, const engine_code_options *code_options)
{
    return make_with(seen, text, code_options, imports);
}

static void unmake(seen *seen, made made)
{
    engine_instance_free(made.instance);
    engine_code_free(made.code);
    engine_free(seen->engine);
}

static engine_outcome run_as(seen *seen, const char *text, const engine_code_options *code_options, engine_value *values)
{
    made made = make(seen, text, code_options);
    engine_outcome outcome = engine_call(made.instance, ENTRY_RUN, values, 1);
    unmake(seen, made);
    return outcome;
}

static engine_outcome run(seen *seen, const char *text, engine_value *values)
{
    return run_as(seen, text, &one_page, values);
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
        { RUN("(drop (i64.load offset=0x1ffffff (i32.const -1))) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(drop (i64.load offset=0x2000000 (i32.const -1))) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(v128.store offset=0x2000000 (i32.const -1) (v128.const i64x2 1 1)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(i32.store8 (i32.const 65536) (i32.const 1)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(i32.store8 (i32.const -1) (i32.const 1)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(memory.fill (i32.const 65000) (i32.const 1) (i32.const 1000)) (f64.const 0)"), ENGINE_OUT_OF_BOUNDS },
        { RUN("(f64.add (call $run) (f64.const 1))"), ENGINE_STACK_OVERFLOW },
        { RUN("(drop (i32.div_u (i32.const 1) (i32.const 0))) (f64.const 0)"), ENGINE_TRAP },
        { RUN("(drop (i32.trunc_f64_s (f64.const 1e300))) (f64.const 0)"), ENGINE_TRAP },
        { RUN("(loop $l " LOOK "(call $pass) (br $l)) (f64.const 0)"), ENGINE_DEADLINE },
        { RUN("(i32.store (i32.const 65532) (i32.const 1)) (f64.const 0)"), ENGINE_DONE },
    };
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof cases[0]); i++) {
        seen seen = { .patience = 3 };
        engine_value values[1] = { { 0 } };
        engine_outcome outcome = run_as(&seen, cases[i / 2].text, i % 2 == 0 ? &one_page : &computing_page, values);
        if (outcome != cases[i / 2].outcome)
            fail_msg("%s%s: %d", cases[i / 2].text, i % 2 == 0 ? "" : ", computing", outcome);
    }
}

static void an_import_that_says_no_ends_the_call(void **state)
{
    seen seen = { .refuses = true };
    engine_value values[1] = { { 0 } };
    (void)state;
    assert_int_equal(run(&seen, RUN("(call $take (i32.const 1) (i64.const 2) (f64.const 3))"), values), ENGINE_REFUSED);
}

#define TWENTY_PASSES RUN("(local i32) (loop $l " LOOK "(call $pass)" \
                          "(local.set 0 (i32.add (local.get 0) (i32.const 1)))" \
                          "(br_if $l (i32.lt_u (local.get 0) (i32.const 20)))) (f64.const 0)")

static void a_stop_ends_the_call_that_runs_and_no_other(void **state)
{
    static const struct { uint32_t patience, passed; engine_outcome outcome; } cases[] = {
        { 1, 1, ENGINE_DEADLINE }, { 7, 7, ENGINE_DEADLINE }, { 19, 19, ENGINE_DEADLINE },
        { 20, 20, ENGINE_DONE }, /* it does not look again */
        { 1000, 20, ENGINE_DONE },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen seen = { .patience = cases[i].patience };
        engine_value values[1] = { { 0 } };
        made made = make(&seen, TWENTY_PASSES, &one_page);
        assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), cases[i].outcome);
        assert_int_equal(seen.passed, cases[i].passed);
        seen.patience = 0;
        uint32_t last = engine_call_number(seen.engine);
        engine_stop(seen.engine, last); /* comes too late */
        assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), ENGINE_DONE);
        assert_int_equal(engine_call_number(seen.engine), last + 1);
        unmake(&seen, made);
    }
}

/* A stop that was meant for the call before, and comes while this one runs. */
static bool on_late_stop(void *context, engine_value *values)
{
    seen *seen = context;
    (void)values;
    seen->passed++;
    engine_stop(seen->engine, engine_call_number(seen->engine) - 1);
    return true;
}

static void a_stop_for_the_call_before_is_too_late(void **state)
{
    static const engine_import late[] = { { "take", take_types, 3, 0x7c, on_take }, { "pass", NULL, 0, 0, on_late_stop } };
    seen seen = { 0 };
    engine_value values[1] = { { 0 } };
    (void)state;
    made made = make_with(&seen, TWENTY_PASSES, &one_page, late);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(engine_call(made.instance, ENTRY_RUN, values, 1), ENGINE_DONE);
        assert_int_equal(seen.passed, 20 * i);
    }
    unmake(&seen, made);
}

static void what_only_a_rewrite_may_bring_is_not_an_authors(void **state)
{
    static const char *const refused[] = {
        "(module (memory 1) (memory 1))",
        "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))",
        "(module (memory 1 1 (pagesize 1)))",
        "(module (memory 1 1 shared))",
        "(module (func (result i32)))",
    };
    seen seen = { 0 };
    wasm_byte_vec_t wasm;
    char reason[ENGINE_REASON_MAX] = "";
    (void)state;
    made made = make(&seen, TWENTY_PASSES, &one_page);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_null(wasmtime_wat2wasm((char *)(uintptr_t)refused[i], strlen(refused[i]), &wasm));
        dro_err err = engine_validate(seen.engine, (const uint8_t *)wasm.data, wasm.size, reason);
        if (err != DRO_MALFORMED || reason[0] == '\0')
            fail_msg("%s: %s", refused[i], dro_err_text(err));
        wasm_byte_vec_delete(&wasm);
    }
    const char *sound = "(module (memory 1) (func (result i32) (i32.load (i32.const 0))))";
    assert_null(wasmtime_wat2wasm((char *)(uintptr_t)sound, strlen(sound), &wasm));
    assert_int_equal(engine_validate(seen.engine, (const uint8_t *)wasm.data, wasm.size, reason), DRO_OK);
    wasm_byte_vec_delete(&wasm);
    unmake(&seen, made);
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

/* Code that compares no addresses could reach all that is mapped. */
static void a_memory_of_code_that_computes_is_its_own(void **state)
{
    static const engine_code_options two_pages = { .memory_limit = 2 * 65536, .computes = true };
    seen seen = { 0 };
    (void)state;
    made one = make(&seen, RUN("(f64.const 0)"), &computing_page);
    engine *engine = seen.engine;
    uint8_t *bytes = engine_instance_memory(one.instance)->bytes;
    assert_int_equal(engine_instance_memory(one.instance)->capacity, 65536);
    engine_instance_free(one.instance);
    /* Free now, but not for code of another size or another way. */
    static const struct { const engine_code_options *options; const char *text; bool is_same; } next[] = {
        { &one_page, RUN("(f64.const 0)"), false },
        { &two_pages, "(module (memory (export \"memory\") 2 2) (memory 1 1))", false },
        { &computing_page, RUN("(f64.const 1)"), true },
    };
    for (size_t i = 0; i < sizeof next / sizeof next[0]; i++) {
        wasm_byte_vec_t wasm;
        uint8_t *code = NULL;
        size_t length = 0;
        char reason[ENGINE_REASON_MAX] = "";
        engine_code *loaded = NULL;
        engine_code_options other = *next[i].options;
        assert_null(wasmtime_wat2wasm((char *)(uintptr_t)next[i].text, strlen(next[i].text), &wasm));
        assert_int_equal(engine_compile(engine, (const uint8_t *)wasm.data, wasm.size, other.computes, &code, &length, reason), DRO_OK);
        other.computes = !other.computes; /* nor is code compiled one way loaded as the other */
        assert_int_equal(engine_load(&loaded, engine, code, length, &other, reason), DRO_UNSUPPORTED);
        assert_int_equal(engine_load(&loaded, engine, code, length, next[i].options, reason), DRO_OK);
        assert_int_equal(engine_instance_new(&one.instance, loaded), DRO_OK);
        assert_int_equal(engine_instance_memory(one.instance)->bytes == bytes, next[i].is_same);
        engine_instance_free(one.instance);
        engine_code_free(loaded);
        free(code);
        wasm_byte_vec_delete(&wasm);
    }
    engine_code_free(one.code);
    engine_free(engine);
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
    assert_int_equal(engine_compile(engine, (const uint8_t *)wasm.data, wasm.size, false, &code, &length, reason), DRO_OK);
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
        cmocka_unit_test(a_stop_ends_the_call_that_runs_and_no_other),
        cmocka_unit_test(a_stop_for_the_call_before_is_too_late),
        cmocka_unit_test(what_only_a_rewrite_may_bring_is_not_an_authors),
        cmocka_unit_test(globals_are_read_and_set_bit_for_bit),
        cmocka_unit_test(tables_are_compared_by_what_they_hold),
        cmocka_unit_test(memory_grows_in_place_up_to_its_limit),
        cmocka_unit_test(a_memory_used_again_is_all_zero),
        cmocka_unit_test(a_memory_of_code_that_computes_is_its_own),
        cmocka_unit_test(code_with_other_imports_is_not_loaded),
    };
    test_signals_keep();
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
