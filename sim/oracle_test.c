#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sim/oracle.h"

static const char line[] =
    "{\"imsi\":\"001010000000007\",\"sent\":12,\"acknowledged\":11,\"doubt\":2,\"readings\":9,\"lost\":3,"
    "\"duplicates\":1,\"late\":1,\"sequence\":14,\"temperature\":-5.50,\"humidity\":45.5,\"battery\":3.601,"
    "\"next_sequence\":16,\"period\":300}\n";

static void a_line_says_all_of_a_device(void **state)
{
    (void)state;
    device d = { .sent = 12, .acknowledged = 11, .doubt_before = 1, .is_head_sent = true, .outbox_count = 1, .sequence = 16, .period_s = 300,
                 .expected = { .readings = 9, .lost = 3, .duplicates = 1, .late = 1, .last = 14, .has_last = true },
                 .last = { 14, -550, 91, 3601 } };
    d.outbox[0] = frame_of_reading(&(reading){ 15, 0, 0, 0 });
    char out[ORACLE_LINE_MAX];
    assert_int_equal(oracle_write_line(&d, "001010000000007", out), sizeof line - 1);
    assert_string_equal(out, line);
}

static void a_line_is_read_back(void **state)
{
    (void)state;
    device d = { 0 };
    char imsi[16], out[ORACLE_LINE_MAX];
    assert_int_equal(oracle_read_line(&d, line, sizeof line - 1, imsi), DRO_OK);
    assert_string_equal(imsi, "001010000000007");
    assert_int_equal(d.last.temperature, -550);
    assert_int_equal(d.last.humidity, 91);
    assert_int_equal(d.last.battery, 3601);
    oracle_write_line(&d, imsi, out);
    assert_string_equal(out, line);
}

static void before_the_first_answer_the_values_are_null(void **state)
{
    (void)state;
    device d = { .period_s = 60 };
    char out[ORACLE_LINE_MAX], imsi[16];
    oracle_write_line(&d, "1", out);
    assert_non_null(strstr(out, "\"sequence\":null,\"temperature\":null"));
    assert_int_equal(oracle_read_line(&d, out, strlen(out), imsi), DRO_OK);
    assert_false(d.expected.has_last);
}

static void a_confirmation_on_its_way_is_no_doubt(void **state)
{
    (void)state;
    device d = { .is_head_sent = true, .outbox_count = 1, .outbox = { frame_of_period(60) } };
    char out[ORACLE_LINE_MAX];
    oracle_write_line(&d, "1", out);
    assert_non_null(strstr(out, "\"doubt\":0,"));
}

static void every_shorter_line_is_malformed(void **state)
{
    (void)state;
    device d = { 0 };
    char imsi[16];
    for (size_t length = 0; length < sizeof line - 2; length++)
        assert_int_equal(oracle_read_line(&d, line, length, imsi), DRO_MALFORMED);
}

static void values_out_of_range_are_malformed(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        { "\"sequence\":14", "\"sequence\":256" }, { "-5.50", "-400.0" }, { "45.5", "1e99" },
        { "\"sent\":12", "\"sent\":-1" },          { "300}", "70000}" },  { "001010000000007", "0010100000000071" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[ORACLE_LINE_MAX], imsi[16];
        const char *at = strstr(line, changes[i][0]);
        int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - line), line, changes[i][1], at + strlen(changes[i][0]));
        device d = { 0 };
        assert_int_equal(oracle_read_line(&d, text, (size_t)n, imsi), DRO_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_all_of_a_device),     cmocka_unit_test(a_line_is_read_back),
        cmocka_unit_test(before_the_first_answer_the_values_are_null), cmocka_unit_test(a_confirmation_on_its_way_is_no_doubt), cmocka_unit_test(every_shorter_line_is_malformed),
        cmocka_unit_test(values_out_of_range_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
