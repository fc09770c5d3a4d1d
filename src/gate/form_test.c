#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gate/form.h"

static bool reads(form *out, const char *text)
{
    static char room[256];
    assert_true(strlen(text) <= sizeof room);
    return form_read(out, text, strlen(text), room);
}

static void members_are_decoded(void **state)
{
    form form;
    (void)state;
    assert_true(reads(&form, "grant_type=client_credentials&scope=3gpp%23a%3Ab+read&empty="));
    assert_true(slice_is(form_get(&form, "grant_type"), "client_credentials"));
    assert_true(slice_is(form_get(&form, "scope"), "3gpp#a:b read"));
    assert_null(form_get(&form, "empty").at); /* RFC 6749 3.2: as if it was not there */
    assert_null(form_get(&form, "other").at);
}

static void what_is_no_form_is_refused(void **state)
{
    static const char *const bad[] = { "a", "=b", "a=1&a=2", "a=1&%61=2", "a=%", "a=%0", "a=%00", "a=%0a", "a=%ff", "a=1&&b=2", "&" };
    form form;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(reads(&form, bad[i]));
    assert_true(reads(&form, ""));
    assert_int_equal(form.count, 0);
}

static void members_have_a_bound(void **state)
{
    char text[8 * (FORM_MEMBERS_MAX + 1)] = "";
    form form;
    (void)state;
    for (char c = 'a'; c < 'a' + FORM_MEMBERS_MAX; c++)
        strcat(text, (char[]){ '&', c, '=', '1', '\0' } + (c == 'a'));
    assert_true(reads(&form, text));
    strcat(text, "&zz=1");
    assert_false(reads(&form, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_decoded),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(members_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
