#include "gate/diameter_testbed.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fields.h"
#include "gate/inquiry.h"
#include "twin/trigger.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

enum { REFERENCE = 0x12300007, OLD_REFERENCE = 0x12300006, BYTES = 2048 };

/* ---- questions ---- */

typedef struct asked { const char *id, *msisdn, *imsi; const uint8_t *nodes; size_t nodes_length; uint8_t action; } asked;

static size_t put_question(const asked *asked, uint8_t *fields)
{
    trigger_request trigger = { .reference = REFERENCE, .old_reference = OLD_REFERENCE, .validity_s = 3600, .port = 4711,
                                .action = asked->action, .has_priority = 1 };
    dro_builder out = dro_builder_over(fields, BYTES);
    if (asked->id != NULL)
        dro_field_put_text(&out, API_FIELD_ID, asked->id);
    if (asked->msisdn != NULL)
        dro_field_put_text(&out, API_FIELD_MSISDN, asked->msisdn);
    if (asked->imsi != NULL)
        dro_field_put_text(&out, API_FIELD_IMSI, asked->imsi);
    dro_field_put_text(&out, API_FIELD_PAYLOAD, "wake up");
    dro_field_put_text(&out, API_FIELD_SENDER, "491701234");
    if (asked->nodes != NULL)
        dro_field_put(&out, API_FIELD_SERVING_NODES, asked->nodes, asked->nodes_length);
    dro_field_put(&out, API_FIELD_TRIGGER, &trigger, sizeof trigger);
    return dro_builder_length(&out);
}

/* The vector's AVPs behind Destination-Realm, byte for byte. */
static void is_as(bool (*put)(diameter_gate *, const inquiry_question *, dro_builder *), const asked *asked, const uint8_t *vector, size_t length)
{
    static diameter_message message;
    diameter_fault fault;
    uint8_t fields[BYTES], bytes[BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    inquiry_question question = { .fields = fields, .length = (uint32_t)put_question(asked, fields) };
    assert_true(put(NULL, &question, &out));
    assert_int_equal(out.err, DRO_OK);
    assert_true(diameter_read(&message, vector, length, &fault));
    const diameter_avp *realm = diameter_find(&message, AVP_DESTINATION_REALM);
    size_t begin = (size_t)(realm->data - vector) + ((realm->length + 3) & ~3u);
    assert_int_equal(dro_builder_length(&out), length - begin);
    assert_memory_equal(bytes, vector + begin, length - begin);
    const diameter_command *command = diameter_command_find(message.header.code, message.header.application, true);
    assert_non_null(command);
    assert_true(diameter_check_request(&message, command, &fault));
}

static void actions_are_what_an_independent_encoder_writes(void **state)
{
    (void)state;
    is_as(tsp_put_action, &(asked){ .id = "t1@acme.example" }, vector_dar, sizeof vector_dar);
    is_as(tsp_put_action, &(asked){ .id = "t1@acme.example", .action = TRIGGER_REPLACE }, vector_dar_replace, sizeof vector_dar_replace);
    is_as(tsp_put_action, &(asked){ .msisdn = "491723456", .action = TRIGGER_RECALL }, vector_dar_recall, sizeof vector_dar_recall);
}

static void a_question_for_the_subscriber_is_what_an_independent_encoder_writes(void **state)
{
    (void)state;
    is_as(s6m_put_subscriber, &(asked){ .id = "t1@acme.example" }, vector_sir, sizeof vector_sir);
}

/* ---- answers ---- */

typedef bool read_fn(diameter_gate *, const pending_outgoing *, const diameter_message *, inquiry_answer *, dro_builder *);
typedef struct answer_fields { trigger_answer said; inquiry_answer told; uint8_t nodes[BYTES]; uint32_t nodes_length; char imsi[16], msisdn[16]; bool is_good; } answer_fields;

static answer_fields read_answer(read_fn *read, const uint8_t *vector, size_t length)
{
    static diameter_message message;
    diameter_fault fault;
    uint8_t bytes[BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    answer_fields found = { .said.word = TRIGGER_WORDS };
    assert_true(diameter_read(&message, vector, length, &fault));
    assert_true(diameter_check_answer(&message, diameter_command_find(message.header.code, message.header.application, false), &fault));
    found.is_good = read(NULL, NULL, &message, &found.told, &out);
    dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_TRIGGER_WORD)
            memcpy(&found.said, field.bytes, sizeof found.said);
        else if (field.tag == API_FIELD_SERVING_NODES)
            memcpy(found.nodes, field.bytes, found.nodes_length = field.length);
        else if (field.tag == API_FIELD_IMSI)
            memcpy(found.imsi, field.bytes, field.length);
        else if (field.tag == API_FIELD_MSISDN)
            memcpy(found.msisdn, field.bytes, field.length);
    }
    return found;
}

static void the_status_of_an_action_becomes_a_word(void **state)
{
    (void)state;
    answer_fields taken = read_answer(tsp_read_action, vector_daa, sizeof vector_daa);
    assert_int_equal(taken.said.word, TRIGGER_ACCEPTED);
    assert_int_equal(taken.said.may_change, 1);
    assert_int_equal(taken.said.diagnostic, TRIGGER_NO_DIAGNOSTIC);
    answer_fields refused = read_answer(tsp_read_action, vector_daa_refused, sizeof vector_daa_refused);
    assert_int_equal(refused.said.word, TRIGGER_REPLACE_FAILED);
    assert_int_equal(refused.told.verdict, VERDICT_REFUSED);
    assert_int_equal(refused.told.code, 110);
    assert_int_equal(refused.said.may_change, 0);
    assert_int_equal(refused.said.diagnostic, 1); /* NEW_MESSAGE_NOT_STORED */
}

static void the_nodes_of_a_subscriber_go_on_as_they_came(void **state)
{
    (void)state;
    answer_fields found = read_answer(s6m_read_subscriber, vector_sia, sizeof vector_sia);
    assert_int_equal(found.said.word, TRIGGER_ACCEPTED);
    assert_string_equal(found.imsi, "001010000000001");
    assert_string_equal(found.msisdn, "491723456");
    is_as(t4_put_trigger, &(asked){ .imsi = found.imsi, .msisdn = found.msisdn, .nodes = found.nodes, .nodes_length = found.nodes_length },
          vector_dtr, sizeof vector_dtr);
}

static void who_is_absent_is_not_looked_for_at_a_node(void **state)
{
    (void)state;
    answer_fields absent = read_answer(s6m_read_subscriber, vector_sia_absent, sizeof vector_sia_absent);
    assert_int_equal(absent.said.word, TRIGGER_ABSENT);
    assert_int_equal(absent.nodes_length, 0);
    answer_fields barred = read_answer(s6m_read_subscriber, vector_sia_barred, sizeof vector_sia_barred);
    assert_int_equal(barred.said.word, TRIGGER_BARRED); /* absent too */
}

static void a_service_centre_says_whether_it_can_replace_and_why_not(void **state)
{
    (void)state;
    answer_fields taken = read_answer(t4_read_trigger, vector_dta, sizeof vector_dta);
    assert_int_equal(taken.said.word, TRIGGER_ACCEPTED);
    assert_int_equal(taken.said.may_change, 1);
    answer_fields refused = read_answer(t4_read_trigger, vector_dta_refused, sizeof vector_dta_refused);
    assert_int_equal(refused.said.word, TRIGGER_RECALL_FAILED);
    assert_int_equal(refused.said.may_change, 0);
    assert_int_equal(refused.said.diagnostic, 0); /* ORIGINAL_MESSAGE_NOT_DELETED */
    is_as(t4_put_trigger, &(asked){ .imsi = "001010000000001", .msisdn = "491723456", .action = TRIGGER_RECALL }, vector_dtr_recall,
          sizeof vector_dtr_recall);
}

/* ---- what became of a trigger ---- */

static testbed bed;
static int node;

/* The CER of the vectors with another application at its end. */
static int open_as(uint8_t last)
{
    uint8_t cer[sizeof vector_cer];
    int peer = testbed_connect(&bed);
    memcpy(cer, vector_cer, sizeof cer);
    cer[sizeof cer - 2] = (uint8_t)(DIAMETER_APPLICATION_TSP >> 8 & 0xff);
    cer[sizeof cer - 1] = last;
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
    node = -1;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (node >= 0)
        close(node);
    testbed_stop(&bed);
    return 0;
}

static trigger_outcome outcome_of(const uint8_t *vector, size_t length)
{
    trigger_outcome outcome;
    testbed_send(&bed, node, vector, length);
    testbed_turn(&bed);
    assert_true(testbed_core_has(&bed, MESSAGE_TRIGGER_OUTCOME));
    memcpy(&outcome, bed.body, sizeof outcome);
    assert_int_equal(outcome.reference, REFERENCE);
    assert_int_equal(outcome.host_length, 16);
    assert_memory_equal(bed.body + sizeof outcome, "mme1.example.orgexample.org", 27);
    return outcome;
}

static void answered_is(const uint8_t *vector, size_t length)
{
    assert_true(testbed_receive(&bed, node));
    assert_int_equal(bed.message.header.length, length);
    assert_memory_equal(bed.message.bytes, vector, length);
}

static void a_notification_is_answered_as_an_independent_encoder_would(void **state)
{
    (void)state;
    node = open_as(DIAMETER_APPLICATION_TSP & 0xff);
    assert_int_equal(outcome_of(vector_dnr, sizeof vector_dnr).result, TRIGGER_RESULT_EXPIRED);
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    answered_is(vector_dna, sizeof vector_dna);
    assert_int_equal(outcome_of(vector_dnr, sizeof vector_dnr).end_to_end, bed.message.header.end_to_end);
    testbed_core_answers(&bed, DIAMETER_INVALID_AVP_VALUE, 0);
    answered_is(vector_dna_unknown, sizeof vector_dna_unknown);
}

static void a_delivery_report_is_answered_as_an_independent_encoder_would(void **state)
{
    (void)state;
    node = open_as(DIAMETER_APPLICATION_T4 & 0xff);
    assert_int_equal(outcome_of(vector_drr, sizeof vector_drr).result, TRIGGER_RESULT_SUCCESS);
    testbed_core_answers(&bed, DIAMETER_INVALID_AVP_VALUE, 0);
    answered_is(vector_dra_unknown, sizeof vector_dra_unknown);
}

static void a_service_centre_may_not_say_what_an_mtc_iwf_says(void **state)
{
    (void)state;
    node = open_as(DIAMETER_APPLICATION_T4 & 0xff);
    testbed_send(&bed, node, vector_dnr, sizeof vector_dnr);
    assert_true(testbed_receive(&bed, node));
    assert_int_equal(testbed_result(&bed), DIAMETER_APPLICATION_UNSUPPORTED);
    assert_false(testbed_core_has(&bed, MESSAGE_TRIGGER_OUTCOME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_are_what_an_independent_encoder_writes),
        cmocka_unit_test(a_question_for_the_subscriber_is_what_an_independent_encoder_writes),
        cmocka_unit_test(the_status_of_an_action_becomes_a_word),
        cmocka_unit_test(the_nodes_of_a_subscriber_go_on_as_they_came),
        cmocka_unit_test(who_is_absent_is_not_looked_for_at_a_node),
        cmocka_unit_test(a_service_centre_says_whether_it_can_replace_and_why_not),
        cmocka_unit_test_setup_teardown(a_notification_is_answered_as_an_independent_encoder_would, start, stop),
        cmocka_unit_test_setup_teardown(a_delivery_report_is_answered_as_an_independent_encoder_would, start, stop),
        cmocka_unit_test_setup_teardown(a_service_centre_may_not_say_what_an_mtc_iwf_says, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
