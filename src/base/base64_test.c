#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"

/* RFC 4648, 10. */
static void the_rfcs_own_examples(void **state)
{
    static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
                                            { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16] = { 0 };
        dro_builder out = dro_builder_over(text, sizeof text - 1);
        dro_base64_put(&out, (const uint8_t *)pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
    }
}

static void a_text_that_does_not_fit_is_an_error(void **state)
{
    char text[4];
    dro_builder out = dro_builder_over(text, sizeof text);
    (void)state;
    dro_base64_put(&out, (const uint8_t *)"foob", 4);
    assert_int_equal(out.err, DRO_LIMIT);
}

/* RFC 7515, appendix C. */
static void base64url_has_no_padding(void **state)
{
    static const uint8_t bytes[] = { 3, 236, 255, 224, 193 };
    char text[16] = { 0 };
    uint8_t back[8];
    dro_builder out = dro_builder_over(text, sizeof text - 1), in = dro_builder_over(back, sizeof back);
    (void)state;
    dro_base64url_put(&out, bytes, sizeof bytes);
    assert_string_equal(text, "A-z_4ME");
    assert_int_equal(dro_base64url_read(&in, text, strlen(text)), DRO_OK);
    assert_int_equal(dro_builder_length(&in), sizeof bytes);
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void base64url_has_one_text_for_the_same_bytes(void **state)
{
    static const char *const bad[] = { "A-z_4MF", "A-z_4M=", "A", "A+z/", "A z_", "AAAAA" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t bytes[8];
        dro_builder in = dro_builder_over(bytes, sizeof bytes);
        assert_int_equal(dro_base64url_read(&in, bad[i], strlen(bad[i])), DRO_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_own_examples),
        cmocka_unit_test(base64url_has_no_padding),
        cmocka_unit_test(base64url_has_one_text_for_the_same_bytes),
        cmocka_unit_test(a_text_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
