/* The journal on a disk whose every call fails once, and whose power is cut at every call: each charge is in one line, once, in order. */
#include "ledger/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "ledger/files_fake.h"
#include "twin/charge.h"

enum { CHARGES = 24, IN_A_COMMIT = 5, FILE_BYTES = 1500, FILES_TEXT = 32 * 1024 };

typedef struct scene {
    files_fake fake;
    dro_clock_fake clock;
    dro_random_seeded random;
    journal_options options;
    char seen[CHARGES + 8][FAKE_NAME]; /* closed files, which never change */
    fake_bytes seen_bytes[CHARGES + 8];
    uint32_t seen_count;
} scene;

static int scene_setup(void **state)
{
    scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    dro_log_setup("test", DRO_LOG_NOTHING);
    files_fake_init(&scene->fake);
    dro_clock_fake_init(&scene->clock, 1795420800000);
    dro_random_seeded_init(&scene->random, 7);
    scene->options = (journal_options){ .kind = &journal_charging, .files = &scene->fake.files, .clock = &scene->clock.clock, .random = &scene->random.random, .node = "n",
                                        .file_bytes = FILE_BYTES, .file_age_ms = 60000 };
    *state = scene;
    return 0;
}

static int scene_teardown(void **state)
{
    free(*state);
    return 0;
}

/* The log that is charged: charge n is at place n / 2 + 1 of core n % 2, with its number as the bytes that went. */
static ledger_place place_of(uint32_t n)
{
    return (ledger_place){ .generation = 0, .core = 0, .place = n / 2 + 1, .index = n % 2 };
}

static dro_err put(journal *journal, uint32_t n)
{
    uint8_t bytes[64];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    ledger_place place = place_of(n);
    dro_builder_le(&out, CHARGE_UPLINK, 1);
    charge_put_u32(&out, CHARGE_INPUT, n);
    return journal_put(journal, &place, 1795420800000, bytes, dro_builder_length(&out));
}

/* Where the log goes on by the journal's word. */
static uint32_t next_of(const journal *journal)
{
    const journal_state *state = journal_durable(journal);
    return state->count == 0 ? 0 : (uint32_t)(state->places[0].place - 1) * 2 + state->places[0].index;
}

static void look_at_closed(scene *scene)
{
    for (int i = 0; i < FAKE_INODES; i++) {
        const fake_name *name = &scene->fake.names[i];
        if (!name->is_there || strlen(name->name) < 6 || strcmp(name->name + strlen(name->name) - 6, ".jsonl") != 0)
            continue;
        uint32_t at = 0;
        while (at < scene->seen_count && strcmp(scene->seen[at], name->name) != 0)
            at++;
        const fake_bytes *now = &scene->fake.now[name->inode];
        if (at == scene->seen_count) {
            memcpy(scene->seen[at], name->name, FAKE_NAME);
            scene->seen_bytes[scene->seen_count++] = *now;
        }
        assert_int_equal(now->length, scene->seen_bytes[at].length);
        assert_memory_equal(now->bytes, scene->seen_bytes[at].bytes, now->length);
    }
}

/* Everything, from where the journal says: DRO_OK when it is done. */
static dro_err run(scene *scene, uint64_t *committed)
{
    journal *journal = NULL;
    dro_err err = journal_open(&journal, &scene->options);
    if (err != DRO_OK)
        return err;
    for (uint32_t n = next_of(journal); n < CHARGES && err == DRO_OK; n++) {
        assert_int_equal(put(journal, n), DRO_OK);
        if (n % IN_A_COMMIT == IN_A_COMMIT - 1 || n + 1 == CHARGES) {
            dro_clock_fake_advance(&scene->clock, 1000000000);
            err = journal_commit(journal);
            look_at_closed(scene);
        }
        if (err == DRO_OK)
            *committed = journal_durable(journal)->sequence - 1;
    }
    journal_close(journal);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All lines of all files, the closed ones in order. */
static void all_lines(scene *scene, char *text)
{
    char names[FAKE_INODES][FAKE_NAME];
    uint32_t count = 0;
    size_t at = 0;
    for (int i = 0; i < FAKE_INODES; i++)
        if (scene->fake.names[i].is_there && strncmp(scene->fake.names[i].name, "charging-", 9) == 0)
            memcpy(names[count++], scene->fake.names[i].name, FAKE_NAME);
    qsort(names, count, sizeof names[0], by_name); /* of one number there is one */
    for (uint32_t i = 0; i < count; i++) {
        const fake_bytes *bytes = files_fake_find(&scene->fake, names[i]);
        assert_true(at + bytes->length < FILES_TEXT);
        memcpy(text + at, bytes->bytes, bytes->length);
        at += bytes->length;
    }
    text[at] = '\0';
}

static void assert_each_once(scene *scene)
{
    static char text[FILES_TEXT];
    all_lines(scene, text);
    const char *at = text;
    for (uint32_t n = 0; n < CHARGES; n++) {
        char begin[64], id[64], octets[64];
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        snprintf(begin, sizeof begin, "{\"localSequenceNumber\":%" PRIu32 ",", n + 1);
        snprintf(id, sizeof id, "-0.0-%016" PRIx64 "-%" PRIu32 "\"", place_of(n).place, place_of(n).index);
        snprintf(octets, sizeof octets, "\"accountingInputOctets\":%" PRIu32 "}\n", n);
        assert_memory_equal(at, begin, strlen(begin));
        assert_true(strstr(at, id) != NULL && strstr(at, id) < end);
        assert_true(strstr(at, octets) != NULL && strstr(at, octets) < end);
        at = end + 1;
    }
    assert_int_equal(*at, '\0');
}

/* ---- the good way ---- */

static void lines_go_into_files_that_are_closed_when_full(void **state)
{
    scene *scene = *state;
    uint64_t committed = 0;
    assert_int_equal(run(scene, &committed), DRO_OK);
    assert_int_equal(committed, CHARGES);
    assert_each_once(scene);
    assert_true(scene->seen_count >= 2);
    for (uint32_t i = 0; i < scene->seen_count; i++)
        assert_true(scene->seen_bytes[i].length >= FILE_BYTES);
}

static void an_old_file_is_closed(void **state)
{
    scene *scene = *state;
    journal *journal;
    ledger_file files[LEDGER_FILES_MAX];
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    assert_int_equal(journal_due_ms(journal), -1);
    assert_int_equal(put(journal, 0), DRO_OK);
    assert_int_equal(journal_commit(journal), DRO_OK);
    assert_int_equal(journal_files(journal, files), 0);
    assert_int_equal(journal_due_ms(journal), scene->clock.wall_ms + 60000);
    dro_clock_fake_advance(&scene->clock, 60000000000);
    assert_int_equal(journal_commit(journal), DRO_OK);
    assert_int_equal(journal_files(journal, files), 1);
    assert_string_equal(files[0].name, "charging-0000000001-20261123T080100Z.jsonl");
    assert_int_equal(files[0].bytes, files_fake_find(&scene->fake, files[0].name)->length);
    journal_close(journal);
}

static void places_without_charges_are_kept_too(void **state)
{
    scene *scene = *state;
    journal *journal;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    assert_false(journal_has_news(journal));
    journal_pass(journal, &(ledger_place){ .generation = 3, .core = 1, .place = 77 });
    assert_true(journal_has_news(journal) && !journal_has_lines(journal));
    assert_int_equal(journal_commit(journal), DRO_OK);
    journal_close(journal);
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    assert_int_equal(journal_durable(journal)->count, 1);
    assert_int_equal(journal_durable(journal)->places[0].place, 77);
    journal_close(journal);
}

static void the_oldest_logs_make_room(void **state)
{
    scene *scene = *state;
    journal *journal;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    for (uint32_t i = 0; i < LEDGER_PLACES_MAX + 1; i++)
        journal_pass(journal, &(ledger_place){ .generation = i, .place = 1 });
    assert_int_equal(journal_commit(journal), DRO_OK);
    assert_int_equal(journal_durable(journal)->count, LEDGER_PLACES_MAX);
    for (uint32_t i = 0; i < LEDGER_PLACES_MAX; i++)
        assert_int_not_equal(journal_durable(journal)->places[i].generation, 0);
    journal_close(journal);
}

/* ---- when calls fail ---- */

static void each_failure_is_made_good_by_opening_anew(void **state)
{
    const int errors[] = { EIO, ENOSPC };
    scene *scene = *state;
    for (uint64_t n = 1;; n++) {
        uint64_t committed = 0;
        scene_teardown(state);
        scene_setup(state);
        scene = *state;
        scene->fake.fail_call = n;
        scene->fake.error = errors[n % 2];
        if (run(scene, &committed) == DRO_OK && scene->fake.calls < n)
            break; /* there is no n-th call */
        assert_int_equal(run(scene, &committed), DRO_OK);
        assert_each_once(scene);
    }
}

static void each_power_cut_is_made_good_by_opening_anew(void **state)
{
    enum { SEEDS = 12 };
    scene *scene = *state;
    bool is_over = false;
    for (uint64_t n = 1; !is_over; n++)
        for (uint64_t seed = 0; seed < SEEDS && !is_over; seed++) {
            uint64_t committed = 0;
            scene_teardown(state);
            scene_setup(state);
            scene = *state;
            scene->fake.fail_call = n;
            scene->fake.dies = true;
            is_over = run(scene, &committed) == DRO_OK && !scene->fake.is_dead;
            scene->fake.fail_call = 0;
            scene->seen_count = 0; /* a name that was not synced may be another's again */
            if (!is_over)
                files_fake_cut(&scene->fake, n * SEEDS + seed);
            journal *journal;
            assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
            assert_true(journal_durable(journal)->sequence > committed); /* what was said to be durable is */
            journal_close(journal);
            assert_int_equal(run(scene, &committed), DRO_OK);
            assert_each_once(scene);
        }
}

static void a_second_power_cut_while_opening_is_made_good_too(void **state)
{
    scene *scene = *state;
    for (uint64_t n = 20; n < 60; n++)
        for (uint64_t second = 1; second < 14; second++) {
            uint64_t committed = 0;
            scene_teardown(state);
            scene_setup(state);
            scene = *state;
            scene->fake.fail_call = n;
            scene->fake.dies = true;
            if (run(scene, &committed) == DRO_OK)
                return;
            scene->seen_count = 0;
            files_fake_cut(&scene->fake, n);
            scene->fake.fail_call = scene->fake.calls + second;
            if (run(scene, &committed) != DRO_OK)
                files_fake_cut(&scene->fake, second);
            scene->fake.fail_call = 0;
            scene->seen_count = 0;
            assert_int_equal(run(scene, &committed), DRO_OK);
            assert_each_once(scene);
        }
}

/* ---- what others did ---- */

static void leave_open(scene *scene, char name[LEDGER_NAME])
{
    journal *journal;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    for (uint32_t n = 0; n < 3; n++)
        assert_int_equal(put(journal, n), DRO_OK);
    assert_int_equal(journal_commit(journal), DRO_OK);
    assert_int_equal(journal_durable(journal)->number, 1);
    journal_close(journal);
    strcpy(name, "charging-0000000001.jsonl.open");
}

static void assert_next_file(scene *scene)
{
    journal *journal;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    assert_int_equal(journal_durable(journal)->number, 2);
    assert_int_equal(journal_durable(journal)->sequence, 4);
    assert_int_equal(next_of(journal), 3);
    assert_int_equal(put(journal, 3), DRO_OK);
    assert_int_equal(journal_commit(journal), DRO_OK);
    assert_non_null(files_fake_find(&scene->fake, "charging-0000000002.jsonl.open"));
    journal_close(journal);
}

static void an_open_file_that_is_gone_is_given_up(void **state)
{
    scene *scene = *state;
    char name[LEDGER_NAME];
    leave_open(scene, name);
    for (int i = 0; i < FAKE_INODES; i++)
        if (strcmp(scene->fake.names[i].name, name) == 0)
            scene->fake.names[i].is_there = false;
    assert_next_file(scene);
}

static void an_open_file_that_was_cut_or_changed_is_given_up(void **state)
{
    scene *scene = *state;
    char name[LEDGER_NAME];
    leave_open(scene, name);
    fake_bytes *bytes = (fake_bytes *)(uintptr_t)files_fake_find(&scene->fake, name);
    bytes->bytes[bytes->length - 1] = ' ';
    assert_next_file(scene);
    assert_non_null(files_fake_find(&scene->fake, "charging-0000000001-20261123T080000Z.jsonl")); /* what is left of it is the consumer's to judge */
}

static void what_is_beyond_the_position_is_cut(void **state)
{
    scene *scene = *state;
    char name[LEDGER_NAME];
    journal *journal;
    leave_open(scene, name);
    fake_bytes *bytes = (fake_bytes *)(uintptr_t)files_fake_find(&scene->fake, name);
    uint32_t length = bytes->length;
    memset(bytes->bytes + length, 'x', 100);
    bytes->length += 100;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    assert_int_equal(bytes->length, length);
    journal_close(journal);
}

static void a_damaged_position_is_said_and_nothing_is_guessed(void **state)
{
    scene *scene = *state;
    char name[LEDGER_NAME];
    journal *journal;
    leave_open(scene, name);
    fake_bytes *bytes = (fake_bytes *)(uintptr_t)files_fake_find(&scene->fake, "position");
    for (uint32_t at = 0; at < bytes->length; at += JOURNAL_SLOT)
        bytes->bytes[at + 20] ^= 1;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_CORRUPT);
}

/* ---- parts ---- */

static void a_slot_reads_back_and_any_changed_byte_shows(void **state)
{
    (void)state;
    static journal_state made = { .turn = 9, .series = 8, .number = 7, .length = 6, .sequence = 5, .opened_ms = 4, .closed_ms = 3, .count = 2,
                                  .places = { { 1, 2, 3, 4, 0 }, { 5, 6, 7, 8, 0 } } }, read;
    uint8_t slot[JOURNAL_SLOT];
    journal_slot_write(&made, slot);
    assert_true(journal_slot_read(&read, slot));
    assert_memory_equal(&read, &made, sizeof made);
    for (size_t i = 0; i < JOURNAL_SLOT; i += 7) {
        slot[i] ^= 0x40;
        assert_false(journal_slot_read(&read, slot));
        slot[i] ^= 0x40;
    }
}

static uint64_t tail_of(const char *text)
{
    return journal_tail_sequence(&journal_charging, (const uint8_t *)text, strlen(text));
}

static void the_tail_gives_the_last_whole_line(void **state)
{
    (void)state;
    assert_int_equal(tail_of("{\"localSequenceNumber\":41,\"id\":\"x\"}\n"), 41);
    assert_int_equal(tail_of("half a line\"}\n{\"localSequenceNumber\":42,\"id\":\"x\"}\n"), 42);
    assert_int_equal(tail_of("{\"localSequenceNumber\":41,\"id\":\"x\"}"), 0);
    assert_int_equal(tail_of("{\"localSequenceNumber\":41"), 0);
    assert_int_equal(tail_of("{\"localSequenceNumber\":,\"id\":\"x\"}\n"), 0);
    assert_int_equal(tail_of("{\"localSequenceNumber\":4x,\"id\":\"x\"}\n"), 0);
    assert_int_equal(tail_of("}\n"), 0);
    assert_int_equal(tail_of(""), 0);
    assert_int_equal(journal_tail_sequence(&journal_charging, (const uint8_t *)"{\"localSequenceNumber\":41,\0\0\0}\n", 30), 0);
}

static void lines_wait_when_there_are_too_many(void **state)
{
    scene *scene = *state;
    journal *journal;
    uint32_t n = 0;
    assert_int_equal(journal_open(&journal, &scene->options), DRO_OK);
    while (put(journal, n) == DRO_OK)
        n++;
    assert_int_equal(put(journal, n), DRO_AGAIN);
    assert_true(n > 1000);
    journal_close(journal);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_go_into_files_that_are_closed_when_full), TEST(an_old_file_is_closed), TEST(places_without_charges_are_kept_too),
        TEST(the_oldest_logs_make_room), TEST(each_failure_is_made_good_by_opening_anew), TEST(each_power_cut_is_made_good_by_opening_anew),
        TEST(a_second_power_cut_while_opening_is_made_good_too), TEST(an_open_file_that_is_gone_is_given_up),
        TEST(an_open_file_that_was_cut_or_changed_is_given_up), TEST(what_is_beyond_the_position_is_cut),
        TEST(a_damaged_position_is_said_and_nothing_is_guessed), TEST(a_slot_reads_back_and_any_changed_byte_shows),
        TEST(the_tail_gives_the_last_whole_line), TEST(lines_wait_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
