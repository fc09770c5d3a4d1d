/* The ticker beside an engine's calls. */
#include "cell/ticker.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <wasmtime.h>

#include "cell/test_support.h"

enum { DEADLINE_MICROS = 5000, MANY_TICKS = 60 };

static struct stage { ticker ticker; engine *engine; engine_code *code; engine_instance *instance; uint32_t asked, patience; uint64_t until_nanos;
                      engine_import_fn meanwhile; /* instead of on_others */ } stage;

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* Much more than a deadline goes by, and others have it. */
static bool on_others(void *context, engine_value *values)
{
    uint64_t end = atomic_load(&stage.ticker.ticks) + MANY_TICKS;
    (void)context;
    (void)values;
    while (atomic_load(&stage.ticker.ticks) < end)
        pause_briefly();
    return true;
}

/* The ticker's looks at the clock: the one that comes when `is_wanted` is held with what it has read, until it is let go. */
static struct hold { _Atomic bool is_wanted, is_held; } hold;

int clock_gettime(clockid_t which, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, which, now);
    if (which == stage.ticker.clock && atomic_load(&hold.is_wanted)) { /* only the ticker reads this one */
        atomic_store(&hold.is_held, true);
        while (atomic_load(&hold.is_wanted))
            pause_briefly();
    }
    return result;
}

static uint64_t own_nanos(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool on_meanwhile(void *context, engine_value *values)
{
    return (stage.meanwhile != NULL ? stage.meanwhile : on_others)(context, values);
}

/* It asks for ever, if nobody ends it; or till so much CPU time is used. */
static bool on_ask(void *context, engine_value *values)
{
    (void)context;
    values[0].i32 = ++stage.asked < stage.patience && (stage.until_nanos == 0 || own_nanos() < stage.until_nanos);
    return true;
}

static const uint8_t no_types[1] = { 0 };
static const engine_import imports[] = { { "others", no_types, 0, 0, on_meanwhile }, { "ask", no_types, 0, 0x7f, on_ask } };

static char text[] = "(module (import \"host\" \"others\" (func $others)) (import \"host\" \"ask\" (func $ask (result i32)))"
                           "(memory (export \"memory\") 1) (memory $stop 1 1)"
                           "(func (export \"run\") (call $others) (loop $l (if (i32.atomic.load $stop (i32.const 0)) (then (unreachable)))"
                           "(br_if $l (call $ask)))))";

static int setup(void **state)
{
    engine_options options = { .module = "host", .imports = imports, .import_count = 2, .entries = { "run" } };
    engine_code_options code_options = { .memory_limit = 65536 };
    wasm_byte_vec_t wasm;
    uint8_t *code = NULL;
    size_t length = 0;
    char reason[ENGINE_REASON_MAX] = "";
    (void)state;
    memset(&stage, 0, sizeof stage);
    assert_null(wasmtime_wat2wasm(text, strlen(text), &wasm));
    assert_int_equal(engine_new(&stage.engine, &options), DRO_OK);
    assert_int_equal(engine_compile(stage.engine, (const uint8_t *)wasm.data, wasm.size, false, &code, &length, reason), DRO_OK);
    assert_int_equal(engine_load(&stage.code, stage.engine, code, length, &code_options, reason), DRO_OK);
    assert_int_equal(engine_instance_new(&stage.instance, stage.code), DRO_OK);
    free(code);
    wasm_byte_vec_delete(&wasm);
    assert_int_equal(ticker_start(&stage.ticker, stage.engine), DRO_OK);
    ticker_deadline_set(&stage.ticker, DEADLINE_MICROS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ticker_stop(&stage.ticker);
    engine_instance_free(stage.instance);
    engine_code_free(stage.code);
    engine_free(stage.engine);
    return 0;
}

static engine_outcome run(uint32_t patience)
{
    engine_value values[1] = { { 0 } };
    stage.asked = 0;
    stage.patience = patience;
    test_signals_set();
    return engine_call(stage.instance, 0, values, 0);
}

static void the_time_of_others_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(run(1), ENGINE_DONE);
    assert_int_equal(stage.asked, 1);
}

static void a_call_without_an_end_is_ended_and_the_next_is_not(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(UINT32_MAX), ENGINE_DEADLINE);
        assert_int_equal(run(2), ENGINE_DONE);
    }
}

static void a_call_has_its_whole_time(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) { /* each its own */
        stage.until_nanos = own_nanos() + (uint64_t)DEADLINE_MICROS * 950;
        assert_int_equal(run(UINT32_MAX), ENGINE_DONE);
    }
}

static bool let_go_of_the_clock(void *context, engine_value *values)
{
    atomic_store(&hold.is_wanted, false);
    return on_others(context, values);
}

/* The ticker lost the CPU between its look at the clock and what it does with it; meanwhile much was done, and a call began. */
static void time_before_a_call_is_not_its_own_however_late_the_ticker_is(void **state)
{
    (void)state;
    atomic_store(&hold.is_held, false);
    atomic_store(&hold.is_wanted, true);
    while (!atomic_load(&hold.is_held))
        pause_briefly();
    for (uint64_t end = own_nanos() + (uint64_t)DEADLINE_MICROS * 2000; own_nanos() < end;)
        ;
    stage.meanwhile = let_go_of_the_clock;
    stage.until_nanos = own_nanos() + (uint64_t)DEADLINE_MICROS * 500;
    assert_int_equal(run(UINT32_MAX), ENGINE_DONE);
}

static volatile sig_atomic_t signals_taken;

static void on_signal(int number)
{
    (void)number;
    signals_taken++;
}

/* One that the process gets waits for the thread that is watched. */
static void signals_are_not_the_tickers(void **state)
{
    sigset_t one, before, waiting;
    struct sigaction action = { .sa_handler = on_signal }, old;
    (void)state;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &one, &before), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    on_others(NULL, NULL);
    assert_int_equal(sigpending(&waiting), 0);
    assert_true(sigismember(&waiting, SIGUSR1));
    assert_int_equal(signals_taken, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(signals_taken, 1);
    sigaction(SIGUSR1, &old, NULL);
}

static void nobody_looks_while_the_thread_rests(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        ticker_rest(&stage.ticker);
        while (!atomic_load(&stage.ticker.is_parked))
            pause_briefly();
        uint64_t ticks = atomic_load(&stage.ticker.ticks);
        for (int pause = 0; pause < 5; pause++)
            pause_briefly();
        assert_int_equal(atomic_load(&stage.ticker.ticks), ticks);
        ticker_go_on(&stage.ticker);
        assert_int_equal(run(UINT32_MAX), ENGINE_DEADLINE);
    }
}

static void it_ends_though_it_is_parked(void **state)
{
    (void)state;
    ticker_rest(&stage.ticker);
    while (!atomic_load(&stage.ticker.is_parked))
        pause_briefly();
    ticker_stop(&stage.ticker);
    assert_false(stage.ticker.is_running);
}

int main(void)
{
    test_signals_keep();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_time_of_others_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_without_an_end_is_ended_and_the_next_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_has_its_whole_time, setup, teardown),
        cmocka_unit_test_setup_teardown(time_before_a_call_is_not_its_own_however_late_the_ticker_is, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_are_not_the_tickers, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_looks_while_the_thread_rests, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ends_though_it_is_parked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
