/* A round whose checksums hold and that is wrong all the same, as no flipped bit makes it: each check says so in its own words.
 * The offsets are those of the format as log_round.h tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/crc32c.h"
#include "store/log_round.h"

enum {
    SEGMENT = 3, OFFSET = 2 * LOG_BLOCK, LENGTH = 40, FIRST = 5, SECOND = 9, /* groups, of a record each */
    HEADER_FORMAT = 4, HEADER_FRAMES = 6, HEADER_RECORD_BYTES = 32, HEADER_RECORDS = 36, HEADER_CRC = 60,
    MARK = LOG_ROUND_HEADER + 2 * (LOG_RECORD_HEADER + LENGTH),
};
#define MARK_WORD 0x54000000u /* the six bits of a mark's kind: 0x15 */

static uint8_t bytes[LOG_BLOCK] __attribute__((aligned(LOG_BLOCK)));
static log_state before, after;
static log_round_view view;
static const char *why;

static int write_round(void **state)
{
    (void)state;
    static const uint8_t record[LENGTH] = { 0 };
    log_round round;
    log_round_writer writer;
    uint64_t end;
    before = (log_state){ .epoch = 7, .round = 11, .groups = { [FIRST] = { 4, 0xabcd } } };
    after = before;
    log_round_init(&round, bytes, sizeof bytes);
    uint32_t first = log_round_add(&round, FIRST, record, sizeof record), second = log_round_add(&round, SECOND, record, sizeof record);
    log_round_begin(&writer, &round, &before, SEGMENT, OFFSET);
    log_round_place(&writer, first, 0);
    log_round_place(&writer, second, 0);
    assert_int_equal(log_round_end(&writer, &after, &end), LOG_BLOCK);
    assert_int_equal(end, OFFSET + MARK);
    return 0;
}

static dro_err check(void)
{
    return log_round_check(&view, bytes, sizeof bytes, SEGMENT, OFFSET, &why);
}

static void put(size_t at, uint32_t value, size_t length)
{
    memcpy(bytes + at, &value, length); /* little-endian */
}

/* A header that says it, with its checksum right. */
static void say(size_t at, uint32_t value, size_t length)
{
    put(at, value, length);
    put(HEADER_CRC, crc32c(0, bytes, HEADER_CRC), 4);
}

static void what_was_written_is_right(void **state)
{
    (void)state;
    assert_int_equal(check(), DRO_OK);
    assert_int_equal(view.mark, MARK);
    assert_int_equal(view.records, 2);
    log_state follows = before;
    assert_int_equal(log_round_follow(&view, &follows, &why), DRO_OK);
    assert_memory_equal(&follows, &after, sizeof after);
}

static void it_is_of_its_place_alone(void **state)
{
    (void)state;
    assert_int_equal(log_round_check(&view, bytes, sizeof bytes, SEGMENT + 1, OFFSET, &why), DRO_MALFORMED);
    assert_string_equal(why, "the round belongs elsewhere");
    assert_int_equal(log_round_check(&view, bytes, sizeof bytes, SEGMENT, OFFSET + LOG_BLOCK, &why), DRO_MALFORMED);
    assert_string_equal(why, "the round belongs elsewhere");
}

static void fewer_bytes_than_it_has_are_no_round(void **state)
{
    (void)state;
    assert_int_equal(log_round_check(&view, bytes, LOG_ROUND_HEADER - 1, SEGMENT, OFFSET, &why), DRO_TRUNCATED);
    assert_string_equal(why, "the segment ends before the round's header");
    assert_int_equal(log_round_check(&view, bytes, LOG_BLOCK - 1, SEGMENT, OFFSET, &why), DRO_TRUNCATED);
    assert_string_equal(why, "the segment ends before the round does");
}

static void a_header_that_makes_no_sense_is_none(void **state)
{
    static const struct { size_t at; uint32_t value; size_t length; } senseless[] = {
        { HEADER_FRAMES, 0, 2 }, { HEADER_FRAMES, LOG_GROUPS + 1, 2 }, { HEADER_RECORDS, 0, 4 }, { HEADER_RECORD_BYTES, LOG_ROUND_BYTES_MAX + 1, 4 },
    };
    for (size_t i = 0; i < sizeof senseless / sizeof senseless[0]; i++) {
        write_round(state);
        say(senseless[i].at, senseless[i].value, senseless[i].length);
        assert_int_equal(check(), DRO_MALFORMED);
        assert_string_equal(why, "a round's header makes no sense");
    }
    write_round(state);
    say(HEADER_FORMAT, LOG_FORMAT + 1, 2);
    assert_int_equal(check(), DRO_UNSUPPORTED);
}

static void a_mark_where_a_record_should_be_is_damage(void **state)
{
    (void)state;
    put(LOG_ROUND_HEADER, MARK_WORD | 2, 4);
    assert_int_equal(check(), DRO_CORRUPT);
    assert_string_equal(why, "a record is damaged");
}

/* Header and mark, both with right checksums, say that there is one frame: it is there and right, and one record is too many. */
static void a_record_that_no_frame_speaks_for_is_damage(void **state)
{
    (void)state;
    uint64_t place = log_place_at(SEGMENT, OFFSET + MARK);
    uint8_t prefix[12];
    say(HEADER_FRAMES, 1, 2);
    put(MARK, MARK_WORD | 1, 4);
    memcpy(prefix, &place, 8);
    memcpy(prefix + 8, bytes + MARK, 4);
    put(MARK + 4, crc32c(0, prefix, sizeof prefix), 4);
    assert_true(log_mark_is_intact(bytes + MARK, place));
    assert_int_equal(check(), DRO_CORRUPT);
    assert_string_equal(why, "a frame or the mark before it is damaged");
}

static void a_mark_speaks_for_some_frames_and_for_no_group(void **state)
{
    (void)state;
    static const struct { uint32_t word; enum log_item item; } marks[] = {
        { MARK_WORD | 1, LOG_ITEM_MARK }, { MARK_WORD | LOG_GROUPS, LOG_ITEM_MARK }, { MARK_WORD, LOG_ITEM_NONE },
        { MARK_WORD | (LOG_GROUPS + 1), LOG_ITEM_NONE }, { MARK_WORD | 1 << 20 | 1, LOG_ITEM_NONE },
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        uint8_t header[LOG_RECORD_HEADER] = { 0 };
        log_record_view item;
        memcpy(header, &marks[i].word, 4);
        assert_int_equal(log_record_peek(&item, header), marks[i].item);
        assert_int_equal(item.length, 0);
    }
}

static void follows_not(log_state state, const char *wanted)
{
    log_state kept = state;
    assert_int_equal(check(), DRO_OK);
    assert_int_equal(log_round_follow(&view, &state, &why), DRO_CORRUPT);
    assert_string_equal(why, wanted);
    assert_memory_equal(&state, &kept, sizeof state); /* did not move on */
}

static void it_follows_what_it_was_written_after_alone(void **state)
{
    (void)state;
    log_state other = before;
    other.round++;
    follows_not(other, "a round is missing before it");
    other = before;
    other.epoch++;
    follows_not(other, "the epoch goes back");
    other = before;
    other.groups[FIRST].sequence++;
    follows_not(other, "a frame does not follow its group's previous one");
    other = before;
    other.groups[FIRST].hash++;
    follows_not(other, "a frame does not follow its group's previous one");
    other = before;
    other.epoch--; /* the round may begin an epoch */
    assert_int_equal(log_round_follow(&view, &other, &why), DRO_OK);
}

#define IN_TURN(test) cmocka_unit_test_setup(test, write_round)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TURN(what_was_written_is_right),
        IN_TURN(it_is_of_its_place_alone),
        IN_TURN(fewer_bytes_than_it_has_are_no_round),
        IN_TURN(a_header_that_makes_no_sense_is_none),
        IN_TURN(a_mark_where_a_record_should_be_is_damage),
        IN_TURN(a_record_that_no_frame_speaks_for_is_damage),
        IN_TURN(a_mark_speaks_for_some_frames_and_for_no_group),
        IN_TURN(it_follows_what_it_was_written_after_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
