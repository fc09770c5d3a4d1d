#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/frame.h"

/* Bytes by hand from the frame table of the sample twin. */
static void a_reading_is_eight_bytes_with_its_check(void **state)
{
    (void)state;
    static const uint8_t expected[] = { 0x01, 0x2a, 0x08, 0x5c, 0x5a, 0x0e, 0x10, 0x3b };
    frame made = frame_of_reading(&(reading){ 42, 2140, 90, 3600 });
    assert_int_equal(made.length, sizeof expected);
    assert_memory_equal(made.bytes, expected, sizeof expected);
}

static void frost_is_a_negative_number(void **state)
{
    (void)state;
    frame made = frame_of_reading(&(reading){ 0, -550, 0, 0 });
    assert_int_equal(made.bytes[2], 0xfd);
    assert_int_equal(made.bytes[3], 0xda);
    reading back;
    assert_true(frame_read_reading(&made, &back));
    assert_int_equal(back.temperature, -550);
}

static void a_wrong_check_is_no_reading(void **state)
{
    (void)state;
    reading back;
    frame made = frame_of_reading(&(reading){ 1, 2, 3, 4 });
    for (int bit = 0; bit < 64; bit++) {
        frame broken = made;
        broken.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(frame_read_reading(&broken, &back));
    }
}

static void a_confirmation_carries_the_period(void **state)
{
    (void)state;
    static const uint8_t expected[] = { 0x02, 0x01, 0x2c };
    frame made = frame_of_period(300);
    assert_int_equal(made.length, 3);
    assert_memory_equal(made.bytes, expected, 3);
}

static void commands_are_understood(void **state)
{
    (void)state;
    downlink_command period = frame_read_downlink((const uint8_t[]){ 0x81, 0x02, 0x58 }, 3);
    assert_int_equal(period.kind, DOWNLINK_SET_PERIOD);
    assert_int_equal(period.value, 600);
    downlink_command blink = frame_read_downlink((const uint8_t[]){ 0x82, 0x05 }, 2);
    assert_int_equal(blink.kind, DOWNLINK_BLINK);
    assert_int_equal(blink.value, 5);
}

static void anything_else_is_unknown(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0x81, 0x00, 0x09, 0x00 };
    for (size_t length = 0; length <= sizeof bytes; length++) /* 9 s is below the least period */
        assert_int_equal(frame_read_downlink(bytes, length).kind, DOWNLINK_UNKNOWN);
    assert_int_equal(frame_read_downlink((const uint8_t[]){ 0x82, 0x00 }, 2).kind, DOWNLINK_UNKNOWN);
    assert_int_equal(frame_read_downlink((const uint8_t[]){ 0x82 }, 1).kind, DOWNLINK_UNKNOWN);
    assert_int_equal(frame_read_downlink((const uint8_t[]){ 0x83, 0x05 }, 2).kind, DOWNLINK_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_is_eight_bytes_with_its_check),
        cmocka_unit_test(frost_is_a_negative_number),
        cmocka_unit_test(a_wrong_check_is_no_reading),
        cmocka_unit_test(a_confirmation_carries_the_period),
        cmocka_unit_test(commands_are_understood),
        cmocka_unit_test(anything_else_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
