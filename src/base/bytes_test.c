/* Cursor, builder and fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fields.h"

static void a_cursor_remembers_its_first_failure(void **state)
{
    (void)state;
    dro_cursor in = dro_cursor_over("\1\2\3", 3);
    assert_int_equal(dro_cursor_be(&in, 2), 0x0102);
    assert_int_equal(dro_cursor_be(&in, 2), 0);
    assert_int_equal(in.err, DRO_TRUNCATED);
    assert_int_equal(dro_cursor_le(&in, 1), 0); /* there was one byte left; it is not given any more */
    assert_null(dro_cursor_bytes(&in, 0));
    assert_int_equal(dro_cursor_left(&in), 0);
}

static void both_byte_orders_read_what_was_written(void **state)
{
    (void)state;
    for (size_t width = 1; width <= 8; width++) {
        uint64_t value = 0x1122334455667788u >> (64 - 8 * width);
        uint8_t bytes[16];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        dro_builder_be(&out, value, width);
        dro_builder_le(&out, value, width);
        assert_int_equal(dro_builder_length(&out), 2 * width);
        assert_int_equal(bytes[0], bytes[2 * width - 1]);
        dro_cursor in = dro_cursor_over(bytes, 2 * width);
        assert_int_equal(dro_cursor_be(&in, width), value);
        assert_int_equal(dro_cursor_le(&in, width), value);
        assert_int_equal(in.err, DRO_OK);
    }
}

static void a_builder_that_is_full_writes_nothing_more(void **state)
{
    (void)state;
    uint8_t bytes[4] = { 9, 9, 9, 9 };
    dro_builder out = dro_builder_over(bytes, 3);
    dro_builder_text(&out, "ab");
    dro_builder_text(&out, "cd");
    dro_builder_text(&out, "e");
    assert_int_equal(out.err, DRO_LIMIT);
    assert_int_equal(dro_builder_length(&out), 2);
    assert_memory_equal(bytes, "ab\11\11", 4);
}

static void varints_of_every_width_come_back(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t value = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
        uint8_t bytes[10];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        dro_builder_varint(&out, value);
        assert_int_equal(out.err, DRO_OK);
        for (size_t length = 0; length < dro_builder_length(&out); length++) {
            dro_cursor shorter = dro_cursor_over(bytes, length);
            dro_cursor_varint(&shorter);
            assert_int_equal(shorter.err, DRO_TRUNCATED);
        }
        dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
        assert_true(dro_cursor_varint(&in) == value && in.err == DRO_OK);
    }
}

static void a_varint_past_64_bits_is_malformed(void **state)
{
    (void)state;
    static const uint8_t over[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 };
    static const uint8_t endless[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0 };
    dro_cursor in = dro_cursor_over(over, sizeof over);
    dro_cursor_varint(&in);
    assert_int_equal(in.err, DRO_MALFORMED);
    in = dro_cursor_over(endless, sizeof endless);
    dro_cursor_varint(&in);
    assert_int_equal(in.err, DRO_MALFORMED);
}

static void fields_come_back_in_order(void **state)
{
    (void)state;
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    static const uint8_t large[300] = { 1 };
    dro_field_put_text(&out, 1, "one");
    dro_field_put(&out, 2, "", 0);
    dro_field_put(&out, 3, large, sizeof large);
    dro_field_put_u64(&out, 4, 77);
    size_t whole = dro_builder_length(&out);
    dro_cursor in = dro_cursor_over(bytes, whole);
    dro_field field;
    dro_err err = DRO_OK;
    assert_true(dro_field_next(&in, &field) && field.tag == 1 && field.length == 3);
    assert_true(dro_field_next(&in, &field) && field.tag == 2 && field.length == 0);
    assert_true(dro_field_next(&in, &field) && field.tag == 3 && field.length == 300);
    assert_true(dro_field_next(&in, &field) && dro_field_u64(&field, &err) == 77 && err == DRO_OK);
    assert_false(dro_field_next(&in, &field));
    assert_int_equal(in.err, DRO_OK);
    for (size_t length = 1; length < whole; length++) { /* each shorter one ends or fails */
        dro_cursor shorter = dro_cursor_over(bytes, length);
        while (dro_field_next(&shorter, &field))
            assert_true(field.bytes + field.length <= bytes + length);
        assert_true(shorter.err == DRO_TRUNCATED || length == 5 || length == 7 || length == 310);
    }
}

static void an_integer_of_no_width_is_malformed(void **state)
{
    (void)state;
    static const uint8_t bytes[9];
    dro_err err = DRO_OK;
    dro_field_u64(&(dro_field){ 1, 0, bytes }, &err);
    assert_int_equal(err, DRO_MALFORMED);
    err = DRO_OK;
    dro_field_u64(&(dro_field){ 1, 9, bytes }, &err);
    assert_int_equal(err, DRO_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_remembers_its_first_failure), cmocka_unit_test(both_byte_orders_read_what_was_written),
        cmocka_unit_test(a_builder_that_is_full_writes_nothing_more), cmocka_unit_test(varints_of_every_width_come_back),
        cmocka_unit_test(a_varint_past_64_bits_is_malformed), cmocka_unit_test(fields_come_back_in_order),
        cmocka_unit_test(an_integer_of_no_width_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
