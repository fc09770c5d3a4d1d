#include "gate/diameter_testbed.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fields.h"
#include "gate/diameter_pending.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

enum { HOP_BY_HOP = 12, END_TO_END = 16, FIRST_QUESTION = 7 };
static testbed bed;
static int hss;

/* The CER of the vectors with another application at its end. */
static int open_hss(void)
{
    uint8_t cer[sizeof vector_cer];
    int peer = testbed_connect(&bed);
    memcpy(cer, vector_cer, sizeof cer);
    cer[sizeof cer - 1] = 0x81; /* 16777345 */
    testbed_send(&bed, peer, cer, sizeof cer);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), DIAMETER_SUCCESS);
    return peer;
}

static int start(void **state)
{
    (void)state;
    testbed_init(&bed);
    testbed_start(&bed);
    hss = open_hss();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (hss >= 0)
        close(hss);
    testbed_stop(&bed);
    return 0;
}

typedef struct question { uint32_t tag; const char *user, *apn, *provider; uint64_t until_ms; inquiry_request request; } question;

static void ask(uint64_t id, const question *asked)
{
    uint8_t body[1024];
    dro_builder out = dro_builder_over(body, sizeof body);
    inquiry_request request = asked->request;
    request.kind = INQUIRY_NIDD;
    request.host_length = 16;
    request.realm_length = 11;
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, "mme1.example.orgexample.org");
    dro_field_put_text(&out, (uint8_t)asked->tag, asked->user);
    if (asked->apn != NULL)
        dro_field_put_text(&out, API_FIELD_APN, asked->apn);
    if (asked->provider != NULL)
        dro_field_put_text(&out, API_FIELD_PROVIDER, asked->provider);
    if (asked->until_ms != 0)
        dro_field_put_u64(&out, API_FIELD_GRANTED, asked->until_ms);
    diameter_gate_on_inquiry(bed.gate, 0, id, body, (uint32_t)dro_builder_length(&out));
    testbed_turn(&bed);
}

static const question usual = { API_FIELD_ID, "t1@acme.example", "iot", "meters", 1893456000000, { 0 } };
static const question plain = { API_FIELD_ID, "t1@acme.example", NULL, NULL, 0, { 0 } };

static void put_number(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* vector_nia as the answer to what the HSS got last; its Session-Id may be absent, since errors on the way have none. */
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

static inquiry_answer told(void)
{
    inquiry_answer said;
    assert_true(testbed_core_has(&bed, MESSAGE_INQUIRY_ANSWER));
    memcpy(&said, bed.body, sizeof said);
    return said;
}

/* From the User-Identifier on both are the same, byte for byte. */
static void is_behind_the_user(const uint8_t *bytes, size_t length)
{
    const diameter_avp *user = diameter_find(&bed.message, AVP_USER_IDENTIFIER);
    size_t ours = bed.message.header.length - (size_t)(user->data - 12 - bed.message.bytes);
    assert_true(ours < length);
    assert_memory_equal(user->data - 12, bytes + length - ours, ours);
}

static void a_question_is_what_an_independent_encoder_writes(void **state)
{
    (void)state;
    diameter_fault fault;
    ask(FIRST_QUESTION, &usual);
    assert_true(testbed_receive(&bed, hss));
    const diameter_command *command = diameter_command_find(COMMAND_NIDD_INFORMATION, DIAMETER_APPLICATION_S6T, true);
    assert_true(diameter_check_request(&bed.message, command, &fault));
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE);
    is_behind_the_user(vector_nir, sizeof vector_nir);
    assert_true(diameter_is(diameter_find(&bed.message, AVP_DESTINATION_REALM), "example.org"));
    assert_null(diameter_find(&bed.message, AVP_DESTINATION_HOST));
    ask(FIRST_QUESTION + 1, &(question){ API_FIELD_MSISDN, "491723456", NULL, NULL, 0, { 0 } });
    assert_true(testbed_receive(&bed, hss));
    is_behind_the_user(vector_nir_msisdn, sizeof vector_nir_msisdn);
}

static void an_answer_comes_back_with_the_names_in_it(void **state)
{
    (void)state;
    uint8_t expected[128];
    dro_builder out = dro_builder_over(expected, sizeof expected);
    ask(FIRST_QUESTION, &usual);
    assert_true(testbed_receive(&bed, hss));
    answer(vector_nia, sizeof vector_nia);
    inquiry_answer said = told();
    assert_int_equal(bed.id, FIRST_QUESTION);
    assert_int_equal(said.outcome, INQUIRY_ANSWERED);
    assert_int_equal(said.verdict, VERDICT_DONE);
    assert_int_equal(said.code, DIAMETER_SUCCESS);
    assert_int_equal(said.end_to_end, bed.message.header.end_to_end);
    dro_field_put_text(&out, API_FIELD_IMSI, "001010000000001");
    dro_field_put_text(&out, API_FIELD_MSISDN, "491723456");
    dro_field_put_text(&out, API_FIELD_ID, "t1@acme.example");
    dro_field_put_u64(&out, API_FIELD_GRANTED, 1893456000000);
    assert_memory_equal(bed.body + sizeof said, expected, dro_builder_length(&out));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 0);
}

static void a_question_of_a_connection_that_ends_is_told_with_its_number(void **state)
{
    (void)state;
    ask(FIRST_QUESTION, &plain);
    assert_true(testbed_receive(&bed, hss));
    uint32_t end_to_end = bed.message.header.end_to_end, session_low = bed.message.header.hop_by_hop;
    close(hss);
    testbed_turn(&bed);
    inquiry_answer said = told();
    assert_int_equal(said.outcome, INQUIRY_LOST);
    assert_int_equal(said.end_to_end, end_to_end);
    hss = open_hss();
    question again = plain;
    again.request = (inquiry_request){ .is_again = 1, .end_to_end = end_to_end };
    ask(FIRST_QUESTION, &again);
    assert_true(testbed_receive(&bed, hss));
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST | DIAMETER_FLAG_PROXIABLE | DIAMETER_FLAG_RETRANSMITTED);
    assert_int_equal(bed.message.header.end_to_end, end_to_end);
    assert_int_not_equal(bed.message.header.hop_by_hop, session_low);
}

static void a_question_to_nobody_says_so(void **state)
{
    (void)state;
    close(hss);
    testbed_turn(&bed);
    hss = -1;
    ask(FIRST_QUESTION, &plain);
    assert_int_equal(told().outcome, INQUIRY_NO_PEER);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_pending{direction=\"out\"}"), 0);
}

static void a_question_without_an_answer_ends_and_is_counted(void **state)
{
    (void)state;
    ask(FIRST_QUESTION, &plain);
    assert_true(testbed_receive(&bed, hss));
    testbed_pass(&bed, 12);
    assert_int_equal(told().outcome, INQUIRY_NO_ANSWER);
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_peer_timeouts_total{peer=\"other\",direction=\"out\",command=\"NIR\""), 1);
    answer(vector_nia, sizeof vector_nia); /* too late */
    assert_false(testbed_core_has(&bed, MESSAGE_INQUIRY_ANSWER));
    assert_int_equal(testbed_metric(&bed, "dromio_diameter_drops_total{reason=\"unknown_answer\"}"), 1);
}

static void an_mme_may_not_say_what_an_hss_says(void **state)
{
    (void)state;
    close(hss);
    hss = testbed_open(&bed);
    testbed_send(&bed, hss, vector_nir_update, sizeof vector_nir_update);
    assert_true(testbed_receive(&bed, hss));
    assert_int_equal(testbed_result(&bed), DIAMETER_APPLICATION_UNSUPPORTED);
    assert_false(testbed_core_has(&bed, MESSAGE_AUTHORIZATION_UPDATE));
}

static void an_update_is_answered_as_an_independent_encoder_would(void **state)
{
    (void)state;
    testbed_send(&bed, hss, vector_nir_update, sizeof vector_nir_update);
    testbed_turn(&bed);
    assert_true(testbed_core_has(&bed, MESSAGE_AUTHORIZATION_UPDATE));
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_receive(&bed, hss));
    assert_int_equal(bed.message.header.length, sizeof vector_nia_update);
    assert_memory_equal(bed.message.bytes, vector_nia_update, sizeof vector_nia_update);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_question_is_what_an_independent_encoder_writes, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_comes_back_with_the_names_in_it, start, stop),
        cmocka_unit_test_setup_teardown(a_question_of_a_connection_that_ends_is_told_with_its_number, start, stop),
        cmocka_unit_test_setup_teardown(a_question_to_nobody_says_so, start, stop),
        cmocka_unit_test_setup_teardown(a_question_without_an_answer_ends_and_is_counted, start, stop),
        cmocka_unit_test_setup_teardown(an_mme_may_not_say_what_an_hss_says, start, stop),
        cmocka_unit_test_setup_teardown(an_update_is_answered_as_an_independent_encoder_would, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
