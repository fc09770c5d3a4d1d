#include "sim/t6a.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 1024 };

static t6a_names names_of_an_mme(void)
{
    return (t6a_names){ .host = "mme1.example.org", .realm = "example.org", .destination_host = "scef.example.org",
                        .destination_realm = "example.org", .session_high = 7, .session_low = 999 };
}

static t6a_request uplink_of(const char *imsi, uint8_t bearer, const char *data)
{
    return (t6a_request){ .command = COMMAND_MO_DATA, .imsi = imsi, .bearer = bearer, .data = (const uint8_t *)data,
                          .data_length = (uint32_t)strlen(data) };
}

static size_t written(uint8_t out[ROOM], t6a_names *names, const t6a_request *request, uint32_t id)
{
    dro_builder into = dro_builder_over(out, ROOM);
    t6a_write_request(&into, names, request, id, ~id);
    assert_int_equal(into.err, DRO_OK);
    return dro_builder_length(&into);
}

/* What one side writes that remembers the uplink before, and one that never does. */
static void assert_same(t6a_names *remembers, t6a_names *forgets, const t6a_request *request, uint32_t id)
{
    uint8_t one[ROOM], other[ROOM];
    forgets->uplink.length = 0;
    size_t length = written(one, remembers, request, id);
    assert_int_equal(length, written(other, forgets, request, id));
    assert_memory_equal(one, other, length);
}

static void an_uplink_like_the_one_before_has_the_same_bytes(void **state)
{
    (void)state;
    t6a_names remembers = names_of_an_mme(), forgets = remembers;
    const t6a_request requests[] = {
        uplink_of("001010000000001", 5, "12345678"), uplink_of("001010000000002", 6, "abcdefgh"),
        uplink_of("001010000000003", 5, "another length"), uplink_of("00101000000004", 5, "another length"),
        { .command = COMMAND_CONNECTION_MANAGEMENT, .imsi = "001010000000005", .bearer = 5, .apn = "iot" },
        uplink_of("001010000000006", 5, "12345678"), uplink_of("001010000000007", 7, "87654321"),
    };
    for (uint32_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        assert_same(&remembers, &forgets, &requests[i], 0x1000 + i);
}

static void an_uplink_says_what_it_was_given(void **state)
{
    (void)state;
    t6a_names names = names_of_an_mme();
    uint8_t bytes[ROOM];
    t6a_message read;
    const t6a_request first = uplink_of("001010000000001", 5, "12345678"), second = uplink_of("001010000000002", 6, "abcdefgh");
    written(bytes, &names, &first, 1);
    size_t length = written(bytes, &names, &second, 0x01020304);
    assert_int_equal(t6a_length(bytes), length);
    assert_int_equal(t6a_read(&read, bytes, length), DRO_OK);
    assert_int_equal(read.command, COMMAND_MO_DATA);
    assert_int_equal(read.hop_by_hop, 0x01020304);
    assert_int_equal(read.end_to_end, 0xfefdfcfb);
    assert_int_equal(read.session.length, strlen("mme1.example.org;7;0000001000"));
    assert_memory_equal(read.session.bytes, "mme1.example.org;7;0000001000", read.session.length);
    assert_memory_equal(read.user_name.bytes, "001010000000002", 15);
    assert_int_equal(read.bearer.bytes[0], 6);
    assert_int_equal(read.data.length, 8);
    assert_memory_equal(read.data.bytes, "abcdefgh", 8);
}

static void digits_have_leading_zeros(void **state)
{
    (void)state;
    char out[5] = "....";
    t6a_write_digits(out, 42, 4);
    assert_string_equal(out, "0042");
    t6a_write_digits(out, 123456, 4); /* the last ones, never more than there is room */
    assert_string_equal(out, "3456");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_uplink_like_the_one_before_has_the_same_bytes),
        cmocka_unit_test(an_uplink_says_what_it_was_given),
        cmocka_unit_test(digits_have_leading_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
