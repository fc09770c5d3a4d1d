#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gate/scope.h"
#include "ring/message.h"

static scope_read of(const char *text)
{
    return scope_of((slice){ text, (uint32_t)strlen(text) }, "aef1");
}

static void names_of_ours_are_bits(void **state)
{
    (void)state;
    assert_int_equal(of("read nidd").bits, SCOPE_READ | SCOPE_NIDD);
    assert_int_equal(of("").bits, 0);
    assert_true(of("read fly").has_unknown);
    assert_true(of("admin").has_unknown); /* no token has that */
    assert_int_equal(of("READ").bits, 0);
}

/* TS 29.222, 8.5.4.2.6. */
static void of_capif_only_what_is_ours_counts(void **state)
{
    scope_read read = of("3gpp#aef1:3gpp-nidd,3gpp-monitoring-event;aef2:3gpp-device-triggering");
    (void)state;
    assert_int_equal(read.bits, SCOPE_NIDD | SCOPE_MONITORING);
    assert_true(read.is_capif && !read.has_unknown && !read.is_malformed);
    assert_true(of("3gpp#aef1:fly").has_unknown);
    assert_false(of("3gpp#aef2:fly").has_unknown);
    assert_true(of("3gpp#:3gpp-nidd").is_malformed);
    assert_true(of("3gpp#aef1").is_malformed);
    assert_true(of("3gpp#aef1:").is_malformed);
    assert_int_equal(of("3gpp#aef11:3gpp-nidd").bits, 0);
}

static void bits_are_named_in_order(void **state)
{
    char room[SCOPE_NAMES_MAX];
    slice text = scope_names(SCOPE_ALL, room);
    (void)state;
    assert_true(slice_is(text, "read write images nidd monitoring trigger parameters provision capif"));
    assert_int_equal(of("read write images nidd monitoring trigger parameters provision capif").bits, SCOPE_ALL);
    assert_int_equal(scope_names(0, room).length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_ours_are_bits),
        cmocka_unit_test(of_capif_only_what_is_ours_counts),
        cmocka_unit_test(bits_are_named_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
