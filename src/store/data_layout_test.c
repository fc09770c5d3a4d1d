#include "store/data_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const uint32_t layouts[] = { 1, 2, 10, UINT32_MAX };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        char text[DATA_LAYOUT_TEXT];
        uint32_t layout = 0;
        size_t length = data_layout_write(layouts[i], text);
        assert_true(data_layout_read(text, length, &layout));
        assert_int_equal(layout, layouts[i]);
        for (size_t shorter = 0; shorter < length; shorter++)
            assert_false(data_layout_read(text, shorter, &layout));
    }
    char text[DATA_LAYOUT_TEXT];
    data_layout_write(DATA_LAYOUT, text);
    assert_string_equal(text, "dromio layout 5\n");
}

static void anything_else_is_none(void **state)
{
    (void)state;
    static const char *const odd[] = { "", "\n", "2\n", "dromio layout \n", "dromio layout 0\n", "dromio layout 02\n", "dromio layout -1\n",
                                       "dromio layout 4294967298\n", "dromio layout 3\n\n", "dromio layout 3 \n", "dromio  layout 2\n",
                                       "dromio layout 32222222222222222222222222222222\n",
                                       "dromio layout 3x", "Dromio layout 3\n", "dromio layout 3\r" };
    uint32_t layout;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        assert_false(data_layout_read(odd[i], strlen(odd[i]), &layout));
    assert_false(data_layout_read("dromio layout 3\n\0", 17, &layout));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(anything_else_is_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
