#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/crc32c.h"

/* RFC 3720, B.4; the last is the check value of the CRC catalogue. */
static void published_examples_come_out(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
}

static void table_and_instruction_agree_at_every_length_and_alignment(void **state)
{
    (void)state;
    uint8_t bytes[300];
    dro_random_seeded random;
    dro_random_seeded_init(&random, 1);
    random.random.fill(&random.random, bytes, sizeof bytes);
    for (size_t start = 0; start < 8; start++)
        for (size_t length = 0; start + length <= sizeof bytes; length++)
            assert_int_equal(crc32c(7, bytes + start, length), crc32c_by_table(7, bytes + start, length));
}

static void a_crc_goes_on_where_another_ended(void **state)
{
    (void)state;
    const char *text = "123456789";
    for (size_t cut = 0; cut <= 9; cut++)
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, 9 - cut), 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_come_out),
        cmocka_unit_test(table_and_instruction_agree_at_every_length_and_alignment),
        cmocka_unit_test(a_crc_goes_on_where_another_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
