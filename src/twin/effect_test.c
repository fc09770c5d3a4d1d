#include "twin/effect.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "twin/event.h"
#include "twin/model.h"
#include "twin/ticket.h"

/* Written by hand from twin/effect.h and base/fields.h. */
static const uint8_t property_bytes[] = { 1, 5, 2, 0, 1, 3, 1 };          /* property 2, corrected, true */
static const uint8_t downlink_bytes[] = { 2, 11, 7, 0, 0, 0, 0x10, 0x0e, 0, 0, 0x81, 0, 60 }; /* merge 7, 3600 s */
static const uint8_t timer_bytes[] = { 3,    12,   1,    0,    0,    0,    0xff, /* cancel 1 */
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t notify_bytes[] = { 4, 3, 31, 0, 0 };                                    /* event 31, no data */
static const uint8_t ticket_bytes[] = { 5, 11, 9, 0, 0, 0, 0, 0, 0, 0, 4, 'n', 'o' };        /* ticket 9 failed: no */
static const uint8_t log_bytes[] = { 6, 3, 2, 'h', 'i' };
static const uint8_t contact_bytes[] = { 7, 8, 1, 0, 0, 0, 0, 0, 0, 0 };
static const uint8_t schedule_bytes[] = { 10, 12, 0x10, 0x0e, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0 }; /* 3600 s, 3 packets */

static const uint8_t trigger_bytes[] = { 9, 12, 5, 0, 0, 0, 0x67, 0x12, 0x3c, 0, 0, 0, 'u', 'p' }; /* trigger 5, port 4711, 60 s */

static const struct { const uint8_t *bytes; size_t length; } samples[] = {
    { property_bytes, sizeof property_bytes }, { downlink_bytes, sizeof downlink_bytes },
    { timer_bytes, sizeof timer_bytes },       { notify_bytes, sizeof notify_bytes },
    { ticket_bytes, sizeof ticket_bytes },     { log_bytes, sizeof log_bytes },
    { contact_bytes, sizeof contact_bytes },   { schedule_bytes, sizeof schedule_bytes },
    { trigger_bytes, sizeof trigger_bytes },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static effect read_one(const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    effect effect;
    assert_true(effect_next(&in, &effect));
    assert_int_equal(in.err, DRO_OK);
    struct effect none;
    assert_false(effect_next(&in, &none));
    assert_int_equal(in.err, DRO_OK);
    return effect;
}

static void each_kind_is_read(void **state)
{
    (void)state;
    effect effect = read_one(property_bytes, sizeof property_bytes);
    assert_int_equal(effect.property.property, 2);
    assert_int_equal(effect.property.quality, QUALITY_CORRECTED);
    assert_true(effect.property.value.boolean);
    effect = read_one(downlink_bytes, sizeof downlink_bytes);
    assert_int_equal(effect.downlink.merge_key, 7);
    assert_int_equal(effect.downlink.expiry_s, 3600);
    assert_int_equal(effect.downlink.length, 3);
    assert_memory_equal(effect.downlink.bytes, "\x81\0\x3c", 3);
    effect = read_one(timer_bytes, sizeof timer_bytes);
    assert_int_equal(effect.timer.timer, 1);
    assert_true(effect.timer.delay_ms == -1);
    assert_int_equal(read_one(notify_bytes, sizeof notify_bytes).notify.event, 31);
    effect = read_one(ticket_bytes, sizeof ticket_bytes);
    assert_true(effect.ticket.ticket == 9);
    assert_int_equal(effect.ticket.state, TICKET_FAILED);
    assert_memory_equal(effect.ticket.reason, "no", effect.ticket.length);
    effect = read_one(log_bytes, sizeof log_bytes);
    assert_int_equal(effect.log.level, 2);
    assert_int_equal(effect.log.length, 2);
    assert_true(read_one(contact_bytes, sizeof contact_bytes).contact.at == 1);
    effect = read_one(trigger_bytes, sizeof trigger_bytes);
    assert_int_equal(effect.trigger.trigger, 5);
    assert_int_equal(effect.trigger.port, 4711);
    assert_int_equal(effect.trigger.validity_s, 60);
    assert_memory_equal(effect.trigger.bytes, "up", effect.trigger.length);
    effect = read_one(schedule_bytes, sizeof schedule_bytes);
    assert_int_equal(effect.schedule.latency_s, 3600);
    assert_true(effect.schedule.response_s == SCHEDULE_UNSAID && effect.schedule.packets == 3);
}

static void each_kind_is_written_as_it_was_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[64];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        effect effect = read_one(samples[i].bytes, samples[i].length);
        effect_write(&out, &effect);
        assert_int_equal(out.err, DRO_OK);
        assert_int_equal(dro_builder_length(&out), samples[i].length);
        assert_memory_equal(bytes, samples[i].bytes, samples[i].length);
    }
}

static void every_shorter_effect_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t length = 1; length < samples[i].length; length++) {
            dro_cursor in = dro_cursor_over(samples[i].bytes, length);
            effect effect;
            assert_false(effect_next(&in, &effect));
            assert_int_equal(in.err, DRO_TRUNCATED);
        }
}

/* The same parts under a length one too small: a part is missing. Text may end anywhere. */
static void a_missing_part_is_refused(void **state)
{
    (void)state;
    static const uint8_t short_parts[][16] = {
        { 1, 2, 2, 0 },                   { 2, 7, 7, 0, 0, 0, 0, 0, 0 }, { 3, 4, 1, 0, 0, 0 }, { 4, 2, 1, 0 },
        { 5, 8, 9, 0, 0, 0, 0, 0, 0, 0 }, { 6, 0 },                      { 7, 1, 1 },
        { 9, 9, 1, 0, 0, 0, 2, 0, 3, 0, 0 },              { 10, 4, 0x10, 0x0e, 0, 0 },
    };
    for (size_t i = 0; i < sizeof short_parts / sizeof *short_parts; i++) {
        dro_cursor in = dro_cursor_over(short_parts[i], 2u + short_parts[i][1]);
        effect effect;
        assert_false(effect_next(&in, &effect));
        assert_int_equal(in.err, DRO_TRUNCATED);
    }
}

static void assert_refused(const uint8_t *bytes, size_t length, dro_err err)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    effect effect;
    assert_false(effect_next(&in, &effect));
    assert_int_equal(in.err, err);
}

#define REFUSED(err, ...) assert_refused((const uint8_t[]){ __VA_ARGS__ }, sizeof (uint8_t[]){ __VA_ARGS__ }, err)

static void what_no_model_or_abi_has_is_refused(void **state)
{
    (void)state;
    REFUSED(DRO_MALFORMED, 0, 0);                                    /* no kind */
    REFUSED(DRO_MALFORMED, 8, 0);                                    /* peer: reserved */
    REFUSED(DRO_MALFORMED, 200, 0);                                  /* unknown */
    REFUSED(DRO_RANGE, 10, 12, 59, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff); /* a shorter latency than networks take */
    REFUSED(DRO_RANGE, 1, 5, 64, 0, 0, 3, 1);                        /* property past the model's most */
    REFUSED(DRO_RANGE, 1, 5, 2, 0, 3, 3, 1);                         /* stale is not the twin's to say */
    REFUSED(DRO_MALFORMED, 1, 5, 2, 0, 0, 3, 2);                     /* a boolean of 2 */
    REFUSED(DRO_MALFORMED, 1, 6, 2, 0, 0, 3, 1, 0);                  /* a byte left over */
    REFUSED(DRO_RANGE, 4, 3, 32, 0, 0);                              /* event past the model's most */
    REFUSED(DRO_RANGE, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 2);             /* delivered is the network's to say */
    REFUSED(DRO_RANGE, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 5);             /* superseded is the host's */
    REFUSED(DRO_RANGE, 6, 1, 4);                                     /* level */
    REFUSED(DRO_MALFORMED, 7, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void bytes_past_their_limit_are_refused(void **state)
{
    (void)state;
    static uint8_t downlink[3 + 8 + EFFECT_BYTES_MAX + 1] = { 2, 0xe5, 0x0b }; /* 1509 = 8 + 1501 */
    assert_refused(downlink, sizeof downlink, DRO_LIMIT);
    downlink[1] = 0xe4;
    dro_cursor in = dro_cursor_over(downlink, sizeof downlink - 1);
    effect effect;
    assert_true(effect_next(&in, &effect));
    assert_int_equal(effect.downlink.length, EFFECT_BYTES_MAX);
    static uint8_t text[3 + 1 + EFFECT_TEXT_MAX + 1] = { 6, 0xca, 0x01 }; /* 202 = 1 + 201 */
    assert_refused(text, sizeof text, DRO_LIMIT);
    static uint8_t trigger[3 + 10 + EFFECT_TRIGGER_MAX + 1] = { 9, 0x90, 0x01 }; /* 144 = 10 + 134 */
    assert_refused(trigger, sizeof trigger, DRO_LIMIT);
}

static void a_list_stops_at_the_first_fault(void **state)
{
    (void)state;
    static const uint8_t list[] = { 6, 2, 1, 'a', 200, 0, 6, 2, 1, 'b' };
    dro_cursor in = dro_cursor_over(list, sizeof list);
    effect effect;
    assert_true(effect_next(&in, &effect));
    assert_false(effect_next(&in, &effect));
    assert_false(effect_next(&in, &effect));
    assert_int_equal(in.err, DRO_MALFORMED);
}

static void words_of_the_api_are_the_contracts(void **state)
{
    (void)state;
    assert_string_equal(quality_text(QUALITY_GOOD), "good");
    assert_string_equal(quality_text(QUALITY_STALE), "stale");
    assert_string_equal(source_text(SOURCE_APPLICATION), "application");
    assert_string_equal(ticket_state_text(TICKET_SUPERSEDED), "superseded");
    assert_string_equal(ticket_state_text(TICKET_EXPIRED), "expired");
    assert_string_equal(event_kind_text(EVENT_PROPERTY_WRITE), "property_write");
    assert_string_equal(event_kind_text((event_kind)77), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_read),
        cmocka_unit_test(each_kind_is_written_as_it_was_read),
        cmocka_unit_test(every_shorter_effect_is_refused),
        cmocka_unit_test(a_missing_part_is_refused),
        cmocka_unit_test(what_no_model_or_abi_has_is_refused),
        cmocka_unit_test(bytes_past_their_limit_are_refused),
        cmocka_unit_test(a_list_stops_at_the_first_fault),
        cmocka_unit_test(words_of_the_api_are_the_contracts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
