/* Expected bytes: made by GNU tar 1.34 with
 *   tar --format=ustar --numeric-owner --owner=:0 --group=:0 --mode=0600 --mtime=@1700000000 -cf - log/epoch   (5 bytes) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "store/archive.h"

static const archive_head sample = { .name = "log/epoch", .bytes = 5, .time_s = 1700000000 };

static void a_header_is_what_tar_writes(void **state)
{
    (void)state;
    uint8_t block[ARCHIVE_BLOCK], expected[ARCHIVE_BLOCK] = { 0 };
    memcpy(expected, "log/epoch", 9);
    memcpy(expected + 100, "0000600\0" "0000000\0" "0000000\0" "00000000005\0" "14524770400\0" "011034\0 0", 57);
    memcpy(expected + 257, "ustar\0" "00", 8);
    memcpy(expected + 329, "0000000\0" "0000000", 15);
    archive_head_write(&sample, block);
    assert_memory_equal(block, expected, sizeof block);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint8_t block[ARCHIVE_BLOCK];
    archive_head big = { .bytes = ARCHIVE_BYTES_MAX, .time_s = 1 }, read;
    memset(big.name, 'a', ARCHIVE_NAME_MAX);
    archive_head_write(&big, block);
    assert_int_equal(archive_head_read(&read, block), DRO_OK);
    assert_memory_equal(&read, &big, sizeof read);
}

static void every_changed_bit_is_seen(void **state)
{
    (void)state;
    uint8_t block[ARCHIVE_BLOCK];
    archive_head read;
    archive_head_write(&sample, block);
    for (size_t bit = 0; bit < 8 * sizeof block; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(archive_head_read(&read, block), DRO_MALFORMED);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void zeros_are_the_end(void **state)
{
    (void)state;
    uint8_t block[ARCHIVE_BLOCK] = { 0 };
    archive_head read;
    assert_int_equal(archive_head_read(&read, block), DRO_NOT_FOUND);
}

static void no_name_leads_out_of_the_directory(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "/etc/passwd", "..", "../a", "a/..", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a b", "a\nb", "a\\b", "\xc3\xa4" };
    static const char *const good[] = { "a", "log/segment-00000001", "images/0a.wasm", "log/7/core-3/epoch" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(archive_name_is_good(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(archive_name_is_good(good[i], strlen(good[i])));
    char name[ARCHIVE_NAME_MAX + 2];
    memset(name, 'x', sizeof name);
    assert_true(archive_name_is_good(name, ARCHIVE_NAME_MAX));
    assert_false(archive_name_is_good(name, ARCHIVE_NAME_MAX + 1));
}

static void padding_fills_a_block(void **state)
{
    (void)state;
    assert_int_equal(archive_padding(0), 0);
    assert_int_equal(archive_padding(1), 511);
    assert_int_equal(archive_padding(512), 0);
    assert_int_equal(archive_padding(ARCHIVE_BYTES_MAX), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_what_tar_writes),  cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(every_changed_bit_is_seen),    cmocka_unit_test(zeros_are_the_end),
        cmocka_unit_test(no_name_leads_out_of_the_directory), cmocka_unit_test(padding_fills_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
