/* Where the rewrite puts a look at the engine's stop word, and that nothing else changes. */
#include "cell/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <wasmtime.h>

#include "cell/engine.h"
#include "cell/test_support.h"

static wasm_image image;

static void on_reason(void *context, const char *reason)
{
    print_message("told: %s\n", reason);
    ++*(int *)context;
}

static void read_text(wasm_byte_vec_t *wasm, const char *text)
{
    int reasons = 0;
    assert_null(wasmtime_wat2wasm((char *)(uintptr_t)text, strlen(text), wasm));
    assert_int_equal(wasm_read(&image, (const uint8_t *)wasm->data, wasm->size, on_reason, &reasons), DRO_OK);
    assert_int_equal(reasons, 0);
}

#define M(fields) "(module (memory (export \"memory\") 1) " fields ")"

static void looks_are_where_time_can_be_spent(void **state)
{
    static const struct { const char *text; uint32_t stops; } cases[] = {
        { M(""), 0 },
        { M("(func)"), 0 },
        { M("(func (drop (i32.load (i32.const 0))))"), 0 },
        { M("(func (loop $l (br $l)))"), 1 },
        { M("(func (loop (loop)) (loop))"), 3 },
        { M("(func (unreachable) (loop))"), 1 },
        { M("(func $f (call $f))"), 1 },
        { M("(func $f) (func (call $f) (loop))"), 2 },
        { M("(func (call 1)) (func (loop (call 0)))"), 3 },
        { M("(table 1 funcref) (func (call_indirect (i32.const 0)))"), 1 },
        { M("(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))"), 1 },
        { M("(func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)) (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)))"), 2 },
        { M("(data \"x\") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop 0))"), 1 },
        { M("(table 1 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 0)))"), 1 },
        { M("(table 1 funcref) (func (drop (table.get (i32.const 0))) (drop (table.size)))"), 0 },
        { "(module (import \"dromio\" \"now\" (func $now (result i64))) (memory 1) (func (drop (call $now))))", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wasm_byte_vec_t wasm;
        read_text(&wasm, cases[i].text);
        if (image.stop_count != cases[i].stops)
            fail_msg("%s: %u", cases[i].text, image.stop_count);
        for (uint32_t k = 1; k < image.stop_count; k++)
            assert_true(image.stops[k - 1] <= image.stops[k]);
        wasm_byte_vec_delete(&wasm);
    }
}

/* A body grows past what its length had room for, and values lie below the looks. */
#define SUM_OF_LOOPS \
    M("(func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))" \
      "(func $pair (param i32) (result i32 i32) (local.get 0) (call $twice (local.get 0)))" \
      "(func (export \"run\") (param $n i32) (result i32) (local $sum i32)" \
      " (i32.const 1000)" \
      " (loop $outer (param i32) (result i32)" \
      "  (local.set $sum (i32.add (local.get $sum) (i32.add (call $pair (local.get $n)))))" \
      "  (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop)" \
      "  (memory.fill (i32.const 128) (i32.const 7) (i32.const 8))" \
      "  (br_if $outer (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))" \
      " (i32.add (i32.add (local.get $sum)) (i32.load8_u (i32.const 130))))")

static engine_outcome run_rewritten(const char *text, const rewrite_plan *plan, engine_value *value)
{
    engine_options options = { .module = "dromio", .entries = { "run" } };
    engine_code_options code_options = { .memory_limit = plan->exact_bytes > 0 ? plan->exact_bytes : WASM_PAGE };
    char reason[ENGINE_REASON_MAX] = "";
    uint8_t *rewritten = NULL, *code = NULL;
    size_t length = 0, code_length = 0;
    engine *engine = NULL;
    engine_code *loaded = NULL;
    engine_instance *instance = NULL;
    wasm_byte_vec_t wasm;
    read_text(&wasm, text);
    test_signals_set();
    assert_int_equal(rewrite_image(&image, plan, &rewritten, &length), DRO_OK);
    assert_int_equal(engine_new(&engine, &options), DRO_OK);
    if (engine_compile(engine, rewritten, length, false, &code, &code_length, reason) != DRO_OK)
        fail_msg("%s", reason);
    assert_int_equal(engine_load(&loaded, engine, code, code_length, &code_options, reason), DRO_OK);
    assert_int_equal(engine_instance_new(&instance, loaded), DRO_OK);
    assert_int_equal(engine_instance_memory(instance)->length, code_options.memory_limit);
    engine_outcome outcome = engine_call(instance, 0, value, 1);
    engine_instance_free(instance);
    engine_code_free(loaded);
    engine_free(engine);
    free(code);
    free(rewritten);
    wasm_byte_vec_delete(&wasm);
    return outcome;
}

static void what_a_function_computes_stays_the_same(void **state)
{
    static const rewrite_plan plans[] = { { .exact_bytes = 192 }, { 0 } };
    (void)state;
    for (int i = 0; i < 2; i++) {
        engine_value value = { .i32 = 10 };
        assert_int_equal(run_rewritten(SUM_OF_LOOPS, &plans[i], &value), ENGINE_DONE);
        assert_int_equal(value.i32, 3 * 55 + 1000 + 7);
    }
}

static int malloc_in; /* the n-th from now on fails; 0: none does */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return malloc_in > 0 && --malloc_in == 0 ? NULL : __real_malloc(size);
}

static void without_memory_nothing_is_made(void **state)
{
    static const rewrite_plan plan = { .has_host_limit = true };
    wasm_byte_vec_t wasm;
    uint8_t *rewritten = NULL;
    size_t length = 0;
    (void)state;
    read_text(&wasm, SUM_OF_LOOPS);
    for (int n = 1; n <= 3; n++) { /* the image, its exports, its code */
        malloc_in = n;
        assert_int_equal(rewrite_image(&image, &plan, &rewritten, &length), DRO_NOMEM);
        assert_null(rewritten);
    }
    malloc_in = 4;
    assert_int_equal(rewrite_image(&image, &plan, &rewritten, &length), DRO_OK);
    malloc_in = 0;
    free(rewritten);
    wasm_byte_vec_delete(&wasm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_nothing_is_made),
        cmocka_unit_test(looks_are_where_time_can_be_spent),
        cmocka_unit_test(what_a_function_computes_stays_the_same),
    };
    test_signals_keep();
    return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
