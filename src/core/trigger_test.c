/* What the core keeps of device triggers, and when they end by themselves. Procedures with the network are test/flow/test_trigger*.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/state.h"
#include "core/trigger_question.h"
#include "core/twin_table.h"
#include "twin/t8_trigger.h"

static const char id[] = "a@acme.example";
enum { VALIDITY_MS = 60 * 1000 };

static uint32_t a_twin(void)
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_TRIGGER);
    assert_int_equal(status_of(ask()), 201);
    return make_twin(id, "001010000000001");
}

static uint32_t the_twin(void)
{
    return twin_find(here.world.core, id, sizeof id - 1);
}

/* The only one. */
static exposure *kept(void)
{
    const nidd *nidd = twin_at(here.world.core, the_twin())->nidd;
    return nidd == NULL ? NULL : nidd->exposures;
}

/* An application's, that the network has taken. */
static void put(uint32_t index)
{
    core *core = here.world.core;
    uint8_t bytes[256];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    trigger_state state = { .ends_ms = core->now_ms + VALIDITY_MS, .is_sent = 1 };
    dro_field_put_text(&fields, T8_FIELD_DESTINATION, "http://as.example/notify");
    trigger_put_state(TRIGGER_RESULT_TRIGGERED, &state, NULL, &fields);
    exposure head = { .number = exposure_number_new(core, twin_at(core, index)), .reference = exposure_reference_new(core, twin_at(core, index)),
                      .application = application_find(core, "as1", 3)->number, .made_ms = core->now_ms, .until_ms = state.ends_ms, .kind = EXPOSURE_TRIGGER };
    record_begin(core, index, RECORD_DELTA);
    exposure_put(core, &head, bytes, dro_builder_length(&fields));
    record_end(core);
}

static void without_a_word_it_expires_and_is_told(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    core *core = here.world.core;
    put(index);
    assert_int_equal(exposures_due(twin_at(core, index)), core->now_ms + VALIDITY_MS);
    core->now_ms += VALIDITY_MS;
    exposures_expire(core, index);
    assert_int_equal(trigger_result_of(kept()), TRIGGER_RESULT_EXPIRED);
    assert_int_equal(twin_at(core, index)->nidd->notice_count, 1);
    assert_int_equal(exposures_due(twin_at(core, index)), core->now_ms + TRIGGER_ENDED_KEPT_MS);
    core_settle(core);
    reopen();
    assert_int_equal(trigger_result_of(kept()), TRIGGER_RESULT_EXPIRED);
}

static void one_that_has_ended_is_forgotten_once_it_was_told(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    core *core = here.world.core;
    put(index);
    core->now_ms += VALIDITY_MS;
    exposures_expire(core, index);
    core->now_ms += TRIGGER_ENDED_KEPT_MS;
    exposures_expire(core, index);
    assert_int_equal(kept()->status, EXPOSURE_OVER); /* its notification waits */
    uint64_t number = kept()->number, notice = twin_at(core, index)->nidd->notices->number;
    record_begin(core, index, RECORD_DELTA);
    record_put(core, FIELD_NOTICE_GONE, &notice, 8);
    exposure_notice_gone(core, index, number);
    record_end(core);
    assert_null(kept());
}

static bool wish(uint32_t index, uint32_t number)
{
    effect wanted = { .kind = EFFECT_TRIGGER };
    wanted.trigger.trigger = number;
    wanted.trigger.port = 4711;
    wanted.trigger.bytes = (const uint8_t *)"wake";
    wanted.trigger.length = 4;
    record_begin(here.world.core, index, RECORD_DELTA);
    bool is_taken = trigger_of_twin(here.world.core, index, &wanted);
    record_end(here.world.core);
    return is_taken;
}

static void a_twin_has_one_at_a_time(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    assert_true(wish(index, 1));
    assert_false(wish(index, 2));
    here.world.core->now_ms += TWIN_TRIGGER_PAUSE_MS;
    assert_false(wish(index, 2)); /* nobody knows what became of it */
    assert_int_equal(twin_at(here.world.core, index)->nidd->exposure_count, 1);
}

static void a_wish_is_durable_and_nobodys_over_t8(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    assert_true(wish(index, 7));
    uint32_t reference = kept()->reference;
    core_settle(here.world.core);
    reopen();
    assert_int_equal(kept()->reference, reference);
    assert_int_equal(kept()->status, EXPOSURE_MAKING);
    assert_int_equal(kept()->application, 0);
    assert_true(exposures_due(twin_at(here.world.core, the_twin())) <= here.world.core->now_ms + TRIGGER_RETRY_MS); /* as soon as anybody is there */
    trigger_state kept_state = trigger_state_of(kept()->fields, kept()->length);
    assert_int_equal(kept_state.event_id, 7);
    assert_int_equal(kept_state.purpose, TRIGGER_OF_TWIN);
}

static void without_anybody_who_triggers_a_downlink_just_waits(void **state)
{
    (void)state;
    uint32_t index = a_twin();
    core *core = here.world.core;
    const char *why;
    assert_int_equal(trigger_way_of(core, &why), 0);
    record_begin(core, index, RECORD_DELTA);
    trigger_for_downlink(core, index, core->now_ms + VALIDITY_MS);
    record_end(core);
    assert_null(kept());
    assert_false(trigger_is_out(twin_at(core, index)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(without_a_word_it_expires_and_is_told),
        CLAIM(one_that_has_ended_is_forgotten_once_it_was_told),
        CLAIM(a_twin_has_one_at_a_time),
        CLAIM(a_wish_is_durable_and_nobodys_over_t8),
        CLAIM(without_anybody_who_triggers_a_downlink_just_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
