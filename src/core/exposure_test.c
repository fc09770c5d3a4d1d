/* What the core keeps of exposures, over its log too. Procedures with an application are test/flow/test_monitoring.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/exposure.h"
#include "core/inquiry.h"
#include "core/nidd.h"
#include "core/peers.h"
#include "core/record.h"
#include "core/report.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/t8_monitoring.h"

static const char id[] = "a@acme.example";

static uint32_t application_number(void)
{
    return application_find(here.world.core, "as1", 3)->number;
}

static uint32_t a_twin(void)
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_MONITORING);
    assert_int_equal(status_of(ask()), 201);
    return make_twin(id, "001010000000001");
}

static uint32_t the_twin(void)
{
    return twin_find(here.world.core, id, sizeof id - 1);
}

static exposure *kept(uint64_t number)
{
    uint32_t index;
    return exposure_find(here.world.core, number, &index);
}

/* A subscription for so many reports, until a time. */
static uint64_t put(uint32_t index, int64_t reports, int64_t until_ms)
{
    core *core = here.world.core;
    uint8_t bytes[256];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    dro_field_put_text(&fields, T8_FIELD_DESTINATION, "http://as.example/notify");
    t8_put_byte(&fields, MONITORING_TYPE, MONITORING_LOSS_OF_CONNECTIVITY);
    t8_put_integer(&fields, MONITORING_REPORTS_MAX, reports);
    exposure head = { .number = exposure_number_new(core, twin_at(core, index)), .reference = exposure_reference_new(core, twin_at(core, index)),
                      .application = application_number(), .made_ms = core->now_ms, .until_ms = until_ms, .kind = EXPOSURE_MONITORING };
    record_begin(core, index, RECORD_DELTA);
    exposure_put(core, &head, bytes, dro_builder_length(&fields));
    record_end(core);
    return head.number;
}

static void a_twin_without_exposures_has_nothing_of_them(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    assert_null(twin_at(here.world.core, index)->nidd);
}

static void it_is_found_by_number_and_by_reference_over_a_restart(void **state)
{
    (void)state;
    uint32_t index = a_twin(), found;
    uint64_t number = put(index, 5, INT64_MAX);
    uint32_t reference = kept(number)->reference;
    assert_int_equal(reference >> 20, twin_at(here.world.core, index)->number >> 52);
    assert_false(exposure_reference_is_of_group(reference));
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(exposure_find_reference(here.world.core, reference, &found), kept(number));
        assert_int_equal(found, the_twin());
        assert_int_equal(kept(number)->application, application_number());
        assert_int_equal(t8_integer(kept(number)->fields, kept(number)->length, MONITORING_REPORTS_MAX, 0), 5);
        core_settle(here.world.core);
        reopen();
    }
    assert_null(exposure_find_reference(here.world.core, reference + 1, &found));
}

static void full_records_do_not_add_up(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    put(index, 5, INT64_MAX);
    for (int i = 0; i < 2; i++) {
        record_full(here.world.core, index);
        core_settle(here.world.core);
    }
    reopen();
    assert_int_equal(twin_at(here.world.core, the_twin())->nidd->exposure_count, 1);
    assert_int_equal(here.world.core->exposures.count, 1);
}

static void one_that_has_ended_stays_until_all_is_told(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    uint64_t number = put(index, 1, INT64_MAX);
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    monitoring_report(core, index, kept(number), NULL, 0);
    record_end(core);
    assert_int_equal(kept(number)->status, EXPOSURE_OVER);
    assert_int_equal(kept(number)->reports, 1);
    uint64_t notice = twin_at(core, index)->nidd->notices->number;
    core_settle(core);
    reopen();
    core = here.world.core;
    index = the_twin();
    assert_int_equal(kept(number)->status, EXPOSURE_OVER);
    record_begin(core, index, RECORD_DELTA);
    record_put(core, FIELD_NOTICE_GONE, &notice, 8);
    exposure_notice_gone(core, index, number);
    record_end(core);
    assert_null(kept(number));
    nidd_trim(twin_at(core, index));
    assert_null(twin_at(core, index)->nidd);
}

/* Notifications of others push out its last one. */
static void one_that_has_ended_goes_with_a_notification_that_finds_no_room(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    uint64_t ended = put(index, 1, INT64_MAX), other = put(index, TWIN_NOTICES_MAX + 1, INT64_MAX);
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    monitoring_report(core, index, kept(ended), NULL, 0);
    for (uint32_t i = 1; i < TWIN_NOTICES_MAX; i++)
        monitoring_report(core, index, kept(other), NULL, 0);
    assert_int_equal(kept(ended)->status, EXPOSURE_OVER);
    monitoring_report(core, index, kept(other), NULL, 0);
    record_end(core);
    assert_null(kept(ended));
    assert_int_equal(kept(other)->reports, TWIN_NOTICES_MAX);
}

static void a_device_has_a_bound(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    for (uint32_t i = 0; i < TWIN_EXPOSURES_MAX; i++) {
        assert_true(exposure_has_room(twin_at(here.world.core, index)));
        put(index, 1, INT64_MAX);
    }
    assert_false(exposure_has_room(twin_at(here.world.core, index)));
}

/* A full record has all of them, beside all else that a twin has. */
static void the_largest_of_a_device_are_bounded_together(void **state)
{
    (void)state;
    static uint8_t large[T8_FIELDS_MAX];
    uint32_t index = a_twin(), count = 0;
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    for (; exposure_has_room(twin_at(core, index)); count++) {
        exposure head = { .number = exposure_number_new(core, twin_at(core, index)), .application = application_number(), .until_ms = INT64_MAX };
        uint8_t fields[T8_FIELDS_MAX];
        dro_builder out = dro_builder_over(fields, sizeof fields);
        dro_field_put_text(&out, T8_FIELD_DESTINATION, "http://as.example/notify");
        dro_field_put(&out, MONITORING_AREA, large, T8_FIELDS_MAX - 64);
        exposure_put(core, &head, fields, dro_builder_length(&out));
    }
    record_end(core);
    assert_in_range(count, 8, TWIN_EXPOSURES_MAX - 1);
    const exposure *first = twin_at(core, index)->nidd->exposures;
    assert_true(exposure_may_change(twin_at(core, index), first));
    for (uint32_t i = 0; i < TWIN_NOTICES_MAX; i++) {
        record_begin(core, index, RECORD_DELTA);
        exposure_notice(core, index, first, large, T8_FIELDS_MAX - 64);
        record_end(core);
    }
    uint32_t notices = twin_at(core, index)->nidd->notice_count;
    assert_in_range(twin_at(core, index)->nidd->notice_bytes, TWIN_NOTICE_BYTES / 2, TWIN_NOTICE_BYTES);
    record_full(core, index);
    core_settle(core);
    reopen();
    core = here.world.core;
    assert_int_equal(twin_at(core, the_twin())->nidd->exposure_count, count);
    assert_int_equal(twin_at(core, the_twin())->nidd->notice_count, notices);
    assert_int_equal(core->counters.fields_dropped, 0);
}

/* What is told of the first pushes out the last notification of the second, which goes with it. */
static void all_of_a_kind_end_though_one_goes_meanwhile(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    uint64_t first = put(index, 5, INT64_MAX), ended = put(index, 1, INT64_MAX), other = put(index, TWIN_NOTICES_MAX, INT64_MAX);
    core *core = here.world.core;
    record_begin(core, index, RECORD_DELTA);
    monitoring_report(core, index, kept(ended), NULL, 0);
    for (uint32_t i = 1; i < TWIN_NOTICES_MAX; i++)
        monitoring_report(core, index, kept(other), NULL, 0);
    record_end(core);
    struct { ring_header header; uint8_t body[128]; } message = { .header = { .type = MESSAGE_NETWORK_REPORT } };
    dro_builder body = dro_builder_over(message.body, sizeof message.body);
    network_report head = { .kinds = 1 << EXPOSURE_MONITORING };
    dro_builder_bytes(&body, &head, sizeof head);
    dro_field_put(&body, API_FIELD_ID, id, sizeof id - 1);
    message.header.length = (uint32_t)(sizeof message.header + dro_builder_length(&body));
    reports_on_message(core, 0, &message.header, message.body);
    assert_null(kept(ended));
    assert_int_equal(kept(first)->status, EXPOSURE_OVER);
    assert_int_equal(kept(other)->status, EXPOSURE_OVER);
}

static void connect_peer(const char *host, uint32_t applications)
{
    uint8_t bytes[256];
    peer_state head = { .is_open = true, .applications = applications, .host_length = (uint16_t)strlen(host), .realm_length = 1, .address_length = 1 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, host);
    dro_builder_text(&out, "ra");
    peers_update(here.world.core, 0, bytes, (uint32_t)dro_builder_length(&out));
}

static void nobody_hears(core *core, const inquiry *asked, const inquiry_said *said)
{
    (void)core;
    (void)asked;
    (void)said;
}

static void silent_nodes_leave_room_for_questions_to_others(void **state)
{
    (void)state;
    core *core = here.world.core;
    connect_peer("hss.example", PEER_S6T);
    connect_peer("iwf.example", PEER_TSP);
    inquiry monitoring = { .kind = INQUIRY_MONITORING, .fields = (const uint8_t *)"", .done = nobody_hears };
    inquiry patterns = { .kind = INQUIRY_PATTERNS, .fields = (const uint8_t *)"", .done = nobody_hears };
    inquiry trigger = { .kind = INQUIRY_TRIGGER, .fields = (const uint8_t *)"", .done = nobody_hears };
    uint32_t count = 0;
    while (count < INQUIRIES_MAX && inquiry_begin(core, &monitoring) == NULL)
        count++;
    assert_int_equal(count, INQUIRIES_OF_NODES_MAX);
    assert_non_null(inquiry_begin(core, &patterns)); /* of the same HSS */
    assert_null(inquiry_begin(core, &trigger));
    core->now_ns += INQUIRY_WAIT_MS * 1000000ll;
    inquiries_due(core);
    assert_null(inquiry_begin(core, &patterns));
    inquiries_free(core);
}

/* As of two cores whose logs are one core's now. */
static void more_destinations_than_new_ones_may_have_are_recovered(void **state)
{
    (void)state;
    uint32_t index = a_twin(), number;
    uint64_t kept_number = put(index, 5, INT64_MAX);
    core *core = here.world.core;
    for (uint32_t i = 1; i < DESTINATIONS_MAX; i++) {
        char link[40];
        int length = snprintf(link, sizeof link, "http://as.example/%u", i);
        assert_int_equal(destination_get(core, link, (size_t)length, &number), DRO_OK);
    }
    assert_int_equal(destination_get(core, "http://b.example/", 17, &number), DRO_LIMIT);
    record_begin(core, index, RECORD_DELTA);
    exposure_gone(core, index, kept_number);
    record_end(core);
    assert_int_equal(destination_get(core, "http://b.example/", 17, &number), DRO_OK);
    core->nidd.is_recovered = false; /* reads what is on the log */
    put(index, 5, INT64_MAX);
    core->nidd.is_recovered = true;
    assert_int_equal(twin_at(core, index)->nidd->exposure_count, 1);
    assert_int_equal(destination_get(core, "http://c.example/", 17, &number), DRO_LIMIT);
    core_settle(core);
    reopen();
    assert_int_equal(twin_at(here.world.core, the_twin())->nidd->exposure_count, 1);
}

static void its_time_ends_it(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    core *core = here.world.core;
    uint64_t number = put(index, 1, core->now_ms + 1000);
    assert_int_equal(exposures_due(twin_at(core, index)), core->now_ms + 1000);
    core->now_ms += 1000;
    exposures_expire(core, index);
    assert_null(kept(number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_twin_without_exposures_has_nothing_of_them),
        CLAIM(it_is_found_by_number_and_by_reference_over_a_restart),
        CLAIM(full_records_do_not_add_up),
        CLAIM(one_that_has_ended_stays_until_all_is_told),
        CLAIM(one_that_has_ended_goes_with_a_notification_that_finds_no_room),
        CLAIM(a_device_has_a_bound),
        CLAIM(more_destinations_than_new_ones_may_have_are_recovered),
        CLAIM(silent_nodes_leave_room_for_questions_to_others),
        CLAIM(the_largest_of_a_device_are_bounded_together),
        CLAIM(all_of_a_kind_end_though_one_goes_meanwhile),
        CLAIM(its_time_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
