/* Refusals: the same ones are told together, and a flood has so many entries a minute at most, and a count of all others. */
#include "gate/refusals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "ring/message.h"

enum { CAPACITY = RING_CAPACITY_MIN };
#define SECOND INT64_C(1000000000)

static dro_clock_fake clock_fake;
static refusals here;
static ring_writer writer;
static ring_reader reader;
static void *memory;

typedef struct told { uint64_t count; char actor[REFUSAL_TEXT], source[REFUSAL_TEXT], detail[REFUSAL_TEXT]; uint16_t act, status; } told;

static int begin(void **state)
{
    (void)state;
    here = (refusals){ 0 };
    dro_clock_fake_init(&clock_fake, 1700000000000);
    dro_clock_fake_advance(&clock_fake, SECOND);
    memory = aligned_alloc(64, (ring_bytes(CAPACITY) + 63) & ~(size_t)63);
    assert_non_null(memory);
    ring_format(memory, CAPACITY);
    ring_writer_open(&writer, memory, CAPACITY, -1);
    ring_reader_open(&reader, memory, CAPACITY);
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static void note(uint16_t status, const char *actor, const char *source)
{
    refusals_note(&here, &clock_fake.clock, AUDIT_PEER_REFUSED, status, &(refusal_words){ actor, source, "diameter", "why" });
}

static void pass(int64_t ns)
{
    dro_clock_fake_advance(&clock_fake, ns);
    refusals_tell(&here, clock_fake.clock.monotonic_ns(&clock_fake.clock), &writer);
}

static void text_read(const dro_field *field, char out[REFUSAL_TEXT])
{
    snprintf(out, REFUSAL_TEXT, "%.*s", (int)field->length, (const char *)field->bytes);
}

static bool next(told *out)
{
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body = ring_next(&reader, &header, &err);
    if (body == NULL)
        return false;
    assert_int_equal(header.type, MESSAGE_AUDIT);
    dro_cursor in = dro_cursor_over(body, header.length - sizeof header);
    dro_field field;
    *out = (told){ .act = (uint16_t)dro_cursor_le(&in, 2) };
    while (dro_cursor_left(&in) > 0 && *in.at != 0 && dro_field_next(&in, &field))
        switch (field.tag) {
        case AUDIT_ACTOR: text_read(&field, out->actor); break;
        case AUDIT_SOURCE: text_read(&field, out->source); break;
        case AUDIT_DETAIL: text_read(&field, out->detail); break;
        case AUDIT_COUNT: out->count = dro_field_u64(&field, &err); break;
        case AUDIT_STATUS: memcpy(&out->status, field.bytes, sizeof out->status); break;
        default: break;
        }
    ring_done(&reader, &header);
    ring_release(&reader);
    return true;
}

static uint32_t drain(uint64_t *sum, told *others)
{
    told one;
    uint32_t count = 0;
    while (next(&one)) {
        count++;
        *sum += one.count;
        if (strcmp(one.source, "others") == 0)
            *others = one;
    }
    return count;
}

static void what_is_the_same_is_told_once_with_a_count(void **state)
{
    told one;
    (void)state;
    for (int i = 0; i < 1000; i++)
        note(3010, "peer a", "192.0.2.1");
    pass(REFUSALS_MS * INT64_C(1000000) - 1);
    assert_false(next(&one)); /* the period is not over */
    pass(1);
    assert_true(next(&one));
    assert_int_equal(one.act, AUDIT_PEER_REFUSED);
    assert_int_equal(one.status, 3010);
    assert_int_equal(one.count, 1000);
    assert_string_equal(one.actor, "peer a");
    assert_string_equal(one.source, "192.0.2.1");
    assert_string_equal(one.detail, "why");
    assert_false(next(&one));
    pass(10 * SECOND);
    assert_false(next(&one)); /* nothing new */
}

static void what_differs_in_any_member_has_an_entry_of_its_own(void **state)
{
    told one;
    uint64_t sum = 0;
    (void)state;
    note(3010, "peer a", "192.0.2.1");
    note(5010, "peer a", "192.0.2.1");
    note(3010, NULL, "192.0.2.1");
    note(3010, "peer a", "192.0.2.2");
    pass(10 * SECOND);
    assert_int_equal(drain(&sum, &one), 4);
    assert_int_equal(sum, 4);
}

static void a_flood_has_so_many_entries_a_minute_and_a_count_of_all_others(void **state)
{
    enum { EACH = 100, PERIODS = 6 };
    uint64_t sum = 0;
    uint32_t entries = 0;
    told others = { 0 };
    (void)state;
    for (int period = 0; period < PERIODS; period++) {
        for (int i = 0; i < EACH; i++) {
            char actor[32];
            snprintf(actor, sizeof actor, "peer %d-%d", period, i);
            note(3010, actor, "192.0.2.1");
        }
        pass(REFUSALS_MS * INT64_C(1000000));
        entries += drain(&sum, &others);
        assert_int_equal(others.count, period == 0 ? EACH - REFUSALS_KEPT : EACH);
        assert_int_equal(others.status, 0);
    }
    assert_int_equal(entries, REFUSALS_KEPT + PERIODS);
    assert_int_equal(sum, EACH * PERIODS); /* none is left out of the counts */
    note(3010, "peer of the next minute", "192.0.2.1");
    pass(10 * SECOND);
    assert_int_equal(drain(&sum, &others), 1);
}

static void what_finds_no_room_is_told_later(void **state)
{
    uint64_t sum = 0;
    told others = { 0 };
    (void)state;
    while (ring_send(&writer, MESSAGE_AUDIT, 0, 0, "\1\0", 2))
        ;
    for (int i = 0; i < REFUSALS_KEPT + 5; i++) {
        char actor[32];
        snprintf(actor, sizeof actor, "peer %d", i);
        note(3010, actor, NULL);
    }
    pass(10 * SECOND);
    drain(&sum, &others);
    assert_int_equal(sum, 0);
    pass(1);
    assert_int_equal(drain(&sum, &others), REFUSALS_KEPT + 1);
    assert_int_equal(sum, REFUSALS_KEPT + 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_is_the_same_is_told_once_with_a_count),
        TEST(what_differs_in_any_member_has_an_entry_of_its_own),
        TEST(a_flood_has_so_many_entries_a_minute_and_a_count_of_all_others),
        TEST(what_finds_no_room_is_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
