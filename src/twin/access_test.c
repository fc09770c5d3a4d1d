#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "twin/access.h"

static void every_scope_but_the_administrators_has_a_word(void **state)
{
    uint32_t all = 0;
    (void)state;
    for (size_t i = 0; i < SCOPES_MAX; i++) {
        assert_int_equal(scope_bit(scope_words[i].word, strlen(scope_words[i].word)), scope_words[i].bit);
        assert_int_equal(all & scope_words[i].bit, 0);
        all |= scope_words[i].bit;
    }
    assert_int_equal(all, SCOPE_ALL);
    assert_int_equal(scope_bit("admin", 5), 0);
    assert_int_equal(scope_bit("rea", 3), 0);
    assert_int_equal(scope_bit("", 0), 0);
}

static void every_limit_has_a_word(void **state)
{
    (void)state;
    for (size_t i = 0; i < APPLICATION_LIMITS; i++)
        assert_non_null(limit_words[i]);
}

static void names_of_the_host_are_no_applications(void **state)
{
    (void)state;
    assert_true(subject_is_reserved("admin", 5));
    assert_true(subject_is_reserved("Console", 7));
    assert_true(subject_is_reserved("login", 5));
    assert_true(subject_is_reserved("..", 2));
    assert_false(subject_is_reserved("admin1", 6));
    assert_false(subject_is_reserved("adm", 3));
    assert_false(subject_is_reserved("...", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scope_but_the_administrators_has_a_word),
        cmocka_unit_test(every_limit_has_a_word),
        cmocka_unit_test(names_of_the_host_are_no_applications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
