/* Parameters of a device over S6t: questions and answers beside what python-diameter makes of them (test/peers/parameter_vectors.py). */
#include "gate/diameter_testbed.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "gate/inquiry.h"
#include "gate/parameter_vectors.h"
#include "twin/t8_patterns.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

enum { HOP_BY_HOP = 12, END_TO_END = 16, QUESTION = 7 };
static testbed bed;
static int hss;

static int start(void **state)
{
    (void)state;
    uint8_t cer[sizeof vector_cer];
    testbed_init(&bed);
    testbed_start(&bed);
    hss = testbed_connect(&bed);
    memcpy(cer, vector_cer, sizeof cer);
    cer[sizeof cer - 1] = 0x81; /* 16777345 */
    testbed_send(&bed, hss, cer, sizeof cer);
    assert_true(testbed_receive(&bed, hss));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(hss);
    testbed_stop(&bed);
    return 0;
}

typedef struct question { uint8_t bytes[2048]; dro_builder fields; } question;

static question *question_of(uint8_t tag, const char *user)
{
    static question made;
    made.fields = dro_builder_over(made.bytes, sizeof made.bytes);
    dro_field_put_text(&made.fields, tag, user);
    return &made;
}

static void put_u32(question *of, uint8_t tag, uint32_t number)
{
    dro_field_put(&of->fields, tag, &number, sizeof number);
}

static void ask(const question *asked, enum inquiry_kind kind, uint32_t group)
{
    uint8_t body[4096];
    dro_builder out = dro_builder_over(body, sizeof body);
    inquiry_request request = { .kind = (uint8_t)kind, .group = group, .host_length = 16, .realm_length = 11 };
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, "mme1.example.orgexample.org");
    dro_builder_bytes(&out, asked->bytes, dro_builder_length(&asked->fields));
    diameter_gate_on_inquiry(bed.gate, 0, QUESTION, body, (uint32_t)dro_builder_length(&out));
    testbed_turn(&bed);
}

/* It is a good CIR, and from its User-Identifier on what is expected. */
static void is_asked_as(const uint8_t *expected, size_t length)
{
    diameter_fault fault;
    assert_true(testbed_receive(&bed, hss));
    const diameter_command *command = diameter_command_find(COMMAND_CONFIGURATION_INFORMATION, DIAMETER_APPLICATION_S6T, true);
    assert_true(diameter_check_request(&bed.message, command, &fault));
    const diameter_avp *user = diameter_find(&bed.message, AVP_USER_IDENTIFIER);
    const diameter_avp *overload = diameter_find(&bed.message, AVP_OC_SUPPORTED_FEATURES); /* behind all, as in every request */
    const uint8_t *from = user->data - 12, *end = overload != NULL ? overload->data - 8 : bed.message.bytes + bed.message.header.length;
    assert_int_equal(end - from, length);
    assert_memory_equal(from, expected, length);
}

static void put_number(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void answer(const uint8_t *bytes, size_t length)
{
    uint8_t copy[1024];
    const diameter_avp *session = diameter_find(&bed.message, AVP_SESSION_ID);
    dro_builder out = dro_builder_over(copy, sizeof copy);
    dro_builder_bytes(&out, bytes, DIAMETER_HEADER_BYTES);
    diameter_put(&out, AVP_SESSION_ID, session->data, session->length);
    size_t first = DIAMETER_HEADER_BYTES + 28; /* "scef.dromio.test;1;2" and its head */
    dro_builder_bytes(&out, bytes + first, length - first);
    diameter_end(&out, 0);
    put_number(copy + HOP_BY_HOP, bed.message.header.hop_by_hop);
    put_number(copy + END_TO_END, bed.message.header.end_to_end);
    testbed_send(&bed, hss, copy, dro_builder_length(&out));
    testbed_turn(&bed);
}

static inquiry_answer told(const dro_builder *fields)
{
    inquiry_answer said;
    assert_true(testbed_core_has(&bed, MESSAGE_INQUIRY_ANSWER));
    memcpy(&said, bed.body, sizeof said);
    assert_int_equal(said.outcome, INQUIRY_ANSWERED);
    assert_true(bed.length >= sizeof said + dro_builder_length(fields) && bed.length - sizeof said - dro_builder_length(fields) < 8);
    assert_memory_equal(bed.body + sizeof said, fields->start, dro_builder_length(fields));
    return said;
}

static question *patterns(void)
{
    uint8_t bytes[512], times[128], battery[] = { BATTERY_REPLACE, BATTERY_RECHARGE };
    uint32_t reference = 0x00100001;
    question *asked = question_of(API_FIELD_ID, "t1@acme.example");
    dro_builder set = dro_builder_over(bytes, sizeof bytes), when = dro_builder_over(times, sizeof times);
    dro_field_put_text(&asked->fields, API_FIELD_PROVIDER, "meters");
    put_u32(asked, API_FIELD_REFERENCE_GONE, 0x00100003);
    put_u32(asked, API_FIELD_REFERENCE_GONE, 0x00100004);
    t8_put_integer(&when, TIMES_DAY, 1);
    t8_put_integer(&when, TIMES_DAY, 7);
    dro_field_put_text(&when, TIMES_START, "20:15:00-08:00");
    dro_field_put_text(&when, TIMES_END, "22:00:00Z");
    dro_field_put_text(&set, PATTERN_SET_ID, "never sent");
    dro_field_put(&set, PATTERN_REFERENCE, &reference, sizeof reference);
    t8_put_integer(&set, PATTERN_VALIDITY, 1893456000000);
    t8_put_byte(&set, PATTERN_PERIODIC, PATTERN_PERIODICALLY);
    t8_put_integer(&set, PATTERN_DURATION, 30);
    t8_put_integer(&set, PATTERN_PERIOD, 3600);
    dro_field_put(&set, PATTERN_TIMES, times, dro_builder_length(&when));
    t8_put_byte(&set, PATTERN_STATIONARY, PATTERN_IS_MOBILE);
    t8_put_byte(&set, PATTERN_BATTERY, battery[0]);
    t8_put_byte(&set, PATTERN_BATTERY, battery[1]);
    t8_put_byte(&set, PATTERN_TRAFFIC, TRAFFIC_DUAL_UP_FIRST);
    dro_field_put(&asked->fields, API_FIELD_PATTERN, bytes, dro_builder_length(&set));
    set = dro_builder_over(bytes, sizeof bytes);
    reference = 0x00100002;
    uint32_t replaced = 0x00100005;
    dro_field_put(&set, PATTERN_REFERENCE, &reference, sizeof reference);
    dro_field_put(&set, PATTERN_REPLACES, &replaced, sizeof replaced);
    t8_put_byte(&set, PATTERN_PERIODIC, PATTERN_ON_DEMAND);
    t8_put_integer(&set, PATTERN_PERIOD, 3600); /* not with ON_DEMAND */
    t8_put_byte(&set, PATTERN_BATTERY, BATTERY_NONE);
    t8_put_byte(&set, PATTERN_BATTERY, BATTERY_RECHARGE);
    dro_field_put(&asked->fields, API_FIELD_PATTERN, bytes, dro_builder_length(&set));
    return asked;
}

static void patterns_are_asked_for_as_an_independent_encoder_would(void **state)
{
    (void)state;
    uint8_t bytes[128];
    const uint32_t results[][2] = { { 0x00100001, 0 }, { 0x00100002, 5513 }, { 0x00100003, 0 } };
    dro_builder expected = dro_builder_over(bytes, sizeof bytes);
    ask(patterns(), INQUIRY_PATTERNS, 0);
    is_asked_as(vector_cir_patterns, sizeof vector_cir_patterns);
    answer(vector_cia_patterns, sizeof vector_cia_patterns);
    for (size_t i = 0; i < 3; i++)
        dro_field_put(&expected, API_FIELD_REFERENCE_RESULT, results[i], sizeof results[i]);
    assert_int_equal(told(&expected).verdict, VERDICT_DONE);
}

static void network_parameters_come_back_as_the_network_has_them(void **state)
{
    (void)state;
    uint8_t bytes[64];
    dro_builder expected = dro_builder_over(bytes, sizeof bytes);
    uint32_t latency = 6480, response = 16;
    question *asked = question_of(API_FIELD_ID, "meters@acme.example");
    dro_field_put_text(&asked->fields, API_FIELD_PROVIDER, "meters");
    put_u32(asked, API_FIELD_GUARD_TIME, 30);
    put_u32(asked, API_FIELD_REFERENCE, 0x00080001);
    put_u32(asked, API_FIELD_LATENCY, 7200);
    put_u32(asked, API_FIELD_RESPONSE_TIME, 20);
    put_u32(asked, API_FIELD_PACKETS, 5);
    ask(asked, INQUIRY_PARAMETERS, 3);
    is_asked_as(vector_cir_parameters, sizeof vector_cir_parameters);
    answer(vector_cia_parameters, sizeof vector_cia_parameters);
    dro_field_put(&expected, API_FIELD_LATENCY, &latency, sizeof latency);
    dro_field_put(&expected, API_FIELD_RESPONSE_TIME, &response, sizeof response);
    assert_int_equal(told(&expected).verdict, VERDICT_DONE);
}

static void what_is_to_end_is_named_by_its_reference(void **state)
{
    (void)state;
    question *asked = question_of(API_FIELD_MSISDN, "491723456");
    put_u32(asked, API_FIELD_REFERENCE_GONE, 0x00100001);
    ask(asked, INQUIRY_PARAMETERS, 0);
    is_asked_as(vector_cir_parameters_gone, sizeof vector_cir_parameters_gone);
}

static void coverage_is_asked_and_set(void **state)
{
    (void)state;
    uint8_t bytes[64], restricted = COVERAGE_RESTRICTED, allowed = COVERAGE_ALLOWED, nothing = COVERAGE_UNSAID;
    dro_builder expected = dro_builder_over(bytes, sizeof bytes);
    question *asked = question_of(API_FIELD_ID, "t1@acme.example");
    dro_field_put(&asked->fields, API_FIELD_COVERAGE, &restricted, 1);
    dro_field_put_text(&asked->fields, API_FIELD_PLMN, "00101");
    dro_field_put_text(&asked->fields, API_FIELD_PLMN, "310410");
    ask(asked, INQUIRY_COVERAGE, 0);
    is_asked_as(vector_cir_coverage, sizeof vector_cir_coverage);
    asked = question_of(API_FIELD_ID, "t1@acme.example");
    dro_field_put(&asked->fields, API_FIELD_COVERAGE, &allowed, 1);
    ask(asked, INQUIRY_COVERAGE, 0);
    is_asked_as(vector_cir_coverage_none, sizeof vector_cir_coverage_none);
    asked = question_of(API_FIELD_ID, "t1@acme.example");
    dro_field_put(&asked->fields, API_FIELD_COVERAGE, &nothing, 1);
    ask(asked, INQUIRY_COVERAGE, 0);
    is_asked_as(vector_cir_coverage_query, sizeof vector_cir_coverage_query);
    answer(vector_cia_coverage, sizeof vector_cia_coverage);
    dro_field_put(&expected, API_FIELD_COVERAGE, &allowed, 1);
    dro_field_put_text(&expected, API_FIELD_PLMN, "26201");
    dro_field_put_text(&expected, API_FIELD_PLMN_VISITED, "00101");
    told(&expected);
}

static void a_refusal_is_told_as_one(void **state)
{
    (void)state;
    uint8_t bytes[8];
    dro_builder nothing = dro_builder_over(bytes, sizeof bytes);
    ask(patterns(), INQUIRY_PATTERNS, 0);
    assert_true(testbed_receive(&bed, hss));
    answer(vector_cia_refused, sizeof vector_cia_refused);
    inquiry_answer said = told(&nothing);
    assert_int_equal(said.verdict, VERDICT_USER_UNKNOWN);
    assert_int_equal(said.code, 5001);
}

/* Fields that make no question: the core hears so, and nothing is sent. */
static void what_makes_no_question_is_not_sent(void **state)
{
    (void)state;
    uint8_t coverage = COVERAGE_RESTRICTED;
    for (int i = 0; i < 4; i++) {
        inquiry_answer said;
        question *asked = question_of(i == 0 ? API_FIELD_APN : API_FIELD_ID, "t1@acme.example");
        if (i == 1)
            dro_field_put(&asked->fields, API_FIELD_PATTERN, "", 0); /* without a reference */
        if (i == 3) {
            dro_field_put(&asked->fields, API_FIELD_COVERAGE, &coverage, 1);
            dro_field_put_text(&asked->fields, API_FIELD_PLMN, "0010x");
        }
        ask(asked, i <= 1 ? INQUIRY_PATTERNS : i == 2 ? INQUIRY_PARAMETERS : INQUIRY_COVERAGE, 0);
        assert_true(testbed_core_has(&bed, MESSAGE_INQUIRY_ANSWER));
        memcpy(&said, bed.body, sizeof said);
        assert_int_equal(said.verdict, VERDICT_UNFIT);
        assert_true(testbed_is_silent(&bed, hss));
    }
}

static void days_of_the_week_change_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(s6t_day_mask(1u << 1, 0), 1u << 1);  /* Monday */
    assert_int_equal(s6t_day_mask(1u << 6, 0), 1u << 6);  /* Saturday */
    assert_int_equal(s6t_day_mask(1u << 7, 0), 1u << 0);  /* Sunday */
    assert_int_equal(s6t_day_mask(1u << 7, 1), 1u << 1);
    assert_int_equal(s6t_day_mask(1u << 6, 1), 1u << 0);
    assert_int_equal(s6t_day_mask(1u << 1, -1), 1u << 0);
    assert_int_equal(s6t_day_mask(1u << 7, -1), 1u << 6);
    assert_int_equal(s6t_day_mask(0xfe, 1), 0x7f);
}

static void times_of_day_are_seconds_in_utc(void **state)
{
    (void)state;
    static const struct { const char *text; bool is_good; uint32_t seconds; int shift; } times[] = {
        { "00:00:00", true, 0, 0 }, { "23:59:59", true, 86399, 0 }, { "20:15:00", true, 72900, 0 }, { "20:15:00Z", true, 72900, 0 },
        { "20:15:00-08:00", true, 15300, 1 }, { "01:00:00+02:00", true, 82800, -1 }, { "12:30:15.250+00:30", true, 43215, 0 },
        { "23:59:60", true, 86399, 0 }, { "00:00:00-00:00", true, 0, 0 },
        { "", false, 0, 0 }, { "24:00:00", false, 0, 0 }, { "12:60:00", false, 0, 0 }, { "12:00", false, 0, 0 }, { "12:00:61", false, 0, 0 },
        { "1:00:00", false, 0, 0 }, { "12:00:00+2:00", false, 0, 0 }, { "12:00:00+24:00", false, 0, 0 }, { "12:00:00 Z", false, 0, 0 },
        { "12-00-00", false, 0, 0 }, { "12:00:00ZZ", false, 0, 0 },
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        uint32_t seconds = 0;
        int shift = 0;
        assert_int_equal(s6t_time_of_day(times[i].text, strlen(times[i].text), &seconds, &shift), times[i].is_good);
        if (times[i].is_good) {
            assert_int_equal(seconds, times[i].seconds);
            assert_int_equal(shift, times[i].shift);
        }
    }
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(patterns_are_asked_for_as_an_independent_encoder_would),
        CLAIM(network_parameters_come_back_as_the_network_has_them),
        CLAIM(what_is_to_end_is_named_by_its_reference),
        CLAIM(coverage_is_asked_and_set),
        CLAIM(a_refusal_is_told_as_one),
        CLAIM(what_makes_no_question_is_not_sent),
        cmocka_unit_test(days_of_the_week_change_their_numbers),
        cmocka_unit_test(times_of_day_are_seconds_in_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
