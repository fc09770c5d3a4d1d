#include "store/commit_log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    STEP_RECORDS_MAX = 12,
    RECORD_LEAST = 32,
    RECORD_MOST = 700,
    RECORD_HUGE = 20000,
};

static uint32_t below(log_model *model, uint32_t limit)
{
    return (uint32_t)(dro_random_next(&model->random) % limit);
}

void log_model_init(log_model *model, disk *disk, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->disk = disk;
    model->records = calloc(MODEL_RECORDS_MAX, sizeof *model->records);
    model->first_kept = 1;
    assert_non_null(model->records);
    dro_random_seeded_init(&model->random, seed);
}

void log_model_fini(log_model *model)
{
    log_model_close(model);
    free(model->records);
}

size_t log_model_bytes(const log_model *model, uint32_t number, uint8_t *bytes)
{
    const model_record *record = &model->records[number];
    dro_random_seeded fill;
    dro_random_seeded_init(&fill, (uint64_t)record->life << 32 | number);
    memcpy(bytes, &record->previous, 8);
    memcpy(bytes + 8, &number, 4);
    memcpy(bytes + 12, &record->life, 4);
    memcpy(bytes + 16, &record->object, 4);
    for (uint32_t i = 20; i < record->length; i++)
        bytes[i] = (uint8_t)dro_random_next(&fill);
    return record->length;
}

static bool is_record(const log_model *model, uint32_t number, const uint8_t *bytes, size_t length)
{
    static uint8_t expected[LOG_RECORD_MAX];
    return log_model_bytes(model, number, expected) == length && memcmp(bytes, expected, length) == 0;
}

static uint32_t number_of(const uint8_t *record, size_t length)
{
    uint32_t number = 0;
    if (length >= RECORD_LEAST)
        memcpy(&number, record + 8, 4);
    return number;
}

/* ---- open ---- */

static log_place on_placed(void *context, uint64_t tag, log_place place)
{
    log_model *model = context;
    model_record *record = &model->records[tag];
    record->place = place;
    record->previous = model->newest[record->object];
    model->newest[record->object] = place;
    return record->previous;
}

static dro_err on_replay(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    log_model *model = context;
    uint32_t number = number_of(bytes, length);
    if (model->replay_next == 0 && (number == model->first_kept || number == model->first_maybe))
        model->replay_next = number;
    const model_record *record = &model->records[number < MODEL_RECORDS_MAX ? number : 0];
    if (number != model->replay_next || number == 0 || number > model->count || record->place != place ||
        record->group != group || !is_record(model, number, bytes, length)) {
        model->replays_wrong++;
        return DRO_OK;
    }
    model->replay_next++;
    return DRO_OK;
}

/* What did not come back was never there. */
static void forget_after(log_model *model, uint32_t newest)
{
    model->count = model->durable = newest;
    memset(model->newest, 0, sizeof model->newest);
    for (uint32_t i = 1; i <= newest; i++)
        model->newest[model->records[i].object] = model->records[i].place;
    if (model->first_kept > newest + 1)
        model->first_kept = newest + 1;
    model->first_maybe = 0;
}

dro_err log_model_open(log_model *model)
{
    log_epoch epoch;
    dro_err err = commit_log_epoch_next(model->disk, dro_random_next(&model->random), &epoch);
    if (err != DRO_OK)
        return err;
    assert_true(epoch.counter > model->epoch);
    model->epoch = epoch.counter;
    commit_log_options options = {
        .disk = model->disk,
        .epoch = epoch.counter,
        .segment_bytes = MODEL_SEGMENT_BYTES,
        .context = model,
        .on_placed = on_placed,
    };
    model->replay_next = 0;
    model->replays_wrong = 0;
    model->life++;
    err = commit_log_open(&model->log, &options, on_replay, model);
    assert_int_equal(model->replays_wrong, 0);
    if (err != DRO_OK) {
        model->log = NULL;
        return err;
    }
    uint32_t newest = model->replay_next == 0 ? model->durable : model->replay_next - 1;
    if (model->replay_next == 0) { /* nothing: then nothing after either replay point was acknowledged */
        uint32_t first = model->first_maybe != 0 && model->first_maybe > model->first_kept ? model->first_maybe : model->first_kept;
        assert_true(model->durable < first);
    }
    assert_true(newest >= model->durable); /* acknowledged is durable */
    if (newest < model->count) /* rounds come back whole */
        assert_true(newest == 0 || model->records[newest].round != model->records[newest + 1].round);
    if (model->replay_next != 0 && model->first_maybe != 0 && commit_log_segment_first(model->log) != 0)
        model->first_kept = model->records[model->first_maybe].place != 0 &&
                log_place_segment(model->records[model->first_maybe].place) == commit_log_replay_segment(model->log)
            ? model->first_maybe : model->first_kept;
    forget_after(model, newest);
    model->is_ended = false;
    return DRO_OK;
}

void log_model_close(log_model *model)
{
    commit_log_close(model->log);
    model->log = NULL;
}

/* ---- work ---- */

static void note_durable(log_model *model, uint64_t round)
{
    while (model->durable < model->count && model->records[model->durable + 1].place != 0 &&
           model->records[model->durable + 1].round <= round)
        model->durable++;
    if (commit_log_failed(model->log))
        model->is_ended = true;
}

static void submit(log_model *model)
{
    while (!model->is_ended && !commit_log_can_submit(model->log)) {
        note_durable(model, commit_log_durable(model->log, true));
        if (commit_log_failed(model->log))
            model->is_ended = true;
    }
    if (!model->is_ended && commit_log_submit(model->log) != DRO_OK)
        model->is_ended = true;
}

static void append(log_model *model)
{
    uint8_t bytes[RECORD_HUGE];
    uint32_t number = model->count + 1;
    assert_true(number < MODEL_RECORDS_MAX - 1);
    model_record *record = &model->records[number];
    *record = (model_record){ .life = model->life, .object = below(model, MODEL_OBJECTS) };
    record->length = RECORD_LEAST + below(model, RECORD_MOST - RECORD_LEAST);
    if (below(model, 200) == 0)
        record->length = RECORD_HUGE - below(model, 100);
    record->group = record->object % LOG_GROUPS;
    size_t length = log_model_bytes(model, number, bytes);
    memset(bytes, 0xee, 8); /* reserved: the log's to fill in */
    dro_err err = commit_log_append(model->log, record->group, number, bytes, length);
    while (err == DRO_AGAIN && !model->is_ended) {
        submit(model);
        err = model->is_ended ? DRO_IO : commit_log_append(model->log, record->group, number, bytes, length);
    }
    if (err != DRO_OK) {
        model->is_ended = true;
        return;
    }
    record->round = commit_log_round(model->log);
    model->count = number;
}

static void read_one(log_model *model, uint32_t number)
{
    static uint8_t bytes[LOG_RECORD_MAX];
    size_t length;
    const model_record *record = &model->records[number];
    dro_err err = commit_log_read(model->log, record->place, bytes, sizeof bytes, &length);
    if (err == DRO_OK) {
        assert_true(is_record(model, number, bytes, length));
        return;
    }
    bool is_dropped = log_place_segment(record->place) < commit_log_segment_first(model->log);
    assert_int_equal(err, is_dropped ? DRO_NOT_FOUND : DRO_IO); /* DRO_IO: the call that was to fail */
}

/* Number of the first record in or after the segment. */
static uint32_t first_of(const log_model *model, uint32_t segment)
{
    uint32_t number = 1;
    while (number <= model->count && log_place_segment(model->records[number].place) < segment)
        number++;
    return number;
}

static void move_replay_point(log_model *model)
{
    while (!model->is_ended && model->records[model->count].place == 0)
        submit(model); /* so that every record has its segment */
    if (model->is_ended || model->count == 0)
        return;
    if (below(model, 2) == 0)
        log_model_settle(model);
    if (model->is_ended)
        return;
    uint32_t first = commit_log_replay_segment(model->log), last = commit_log_segment_last(model->log);
    uint32_t segment = first + below(model, last - first + 1);
    model->first_maybe = first_of(model, segment);
    dro_err err = commit_log_set_replay(model->log, segment);
    if (err == DRO_AGAIN)
        model->first_maybe = 0;
    else if (err != DRO_OK)
        model->is_ended = true;
    if (err != DRO_OK)
        return;
    model->first_kept = model->first_maybe;
    model->first_maybe = 0;
    if (below(model, 2) == 0 && commit_log_drop(model->log, segment - below(model, 2)) != DRO_OK)
        model->is_ended = true;
}

void log_model_step(log_model *model)
{
    uint32_t records = below(model, STEP_RECORDS_MAX);
    for (uint32_t i = 0; i < records && !model->is_ended; i++)
        append(model);
    if (!model->is_ended && commit_log_can_submit(model->log) && below(model, 4) != 0)
        submit(model);
    if (!model->is_ended)
        note_durable(model, commit_log_durable(model->log, below(model, 8) == 0));
    if (!model->is_ended && model->durable > 0 && below(model, 4) == 0)
        read_one(model, 1 + below(model, model->durable));
    if (!model->is_ended && below(model, 25) == 0)
        move_replay_point(model);
}

void log_model_settle(log_model *model)
{
    while (!model->is_ended && model->durable < model->count) {
        if (commit_log_can_submit(model->log))
            submit(model);
        if (!model->is_ended)
            note_durable(model, commit_log_durable(model->log, true));
    }
}

struct walk_check {
    log_model *model;
    uint32_t next;
    uint32_t wrong;
};

static bool on_walked(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    struct walk_check *check = context;
    uint32_t number = number_of(record, length);
    if (check->next == 0)
        check->next = number;
    const log_model *model = check->model;
    bool is_right = number == check->next && number > 0 && number <= model->count && model->records[number].place == place &&
        model->records[number].group == group && is_record(model, number, record, length);
    check->wrong += !is_right;
    check->next++;
    return true;
}

/* Fetches records `first` on, many at a time, each once. */
static void fetch_all(log_model *model, uint32_t first)
{
    uint32_t next = first, back = 0;
    while (back < model->durable + 1 - first) {
        dro_err err = DRO_OK;
        while (next <= model->durable && (err = commit_log_fetch(model->log, model->records[next].place, next)) == DRO_OK)
            next++;
        assert_true(err == DRO_OK || err == DRO_AGAIN);
        commit_log_fetch_start(model->log);
        log_fetched fetched;
        while (commit_log_fetched(model->log, &fetched)) {
            assert_int_equal(fetched.err, DRO_OK);
            assert_int_equal(fetched.place, model->records[fetched.tag].place);
            assert_true(is_record(model, (uint32_t)fetched.tag, fetched.record, fetched.length));
            back++;
        }
    }
    assert_int_equal(commit_log_fetching(model->log), 0);
}

void log_model_check_all(log_model *model)
{
    struct walk_check check = { .model = model };
    log_place place = 0;
    uint32_t before;
    do {
        before = check.next;
        assert_int_equal(commit_log_walk(model->log, &place, 1 + below(model, 40), on_walked, &check), DRO_OK);
    } while (check.next != before);
    assert_int_equal(check.wrong, 0);
    assert_int_equal(place, commit_log_end(model->log));
    uint32_t first = first_of(model, commit_log_segment_first(model->log));
    if (first <= model->durable) {
        assert_int_equal(check.next, model->durable + 1); /* all of it, from the first kept */
        static uint8_t bytes[LOG_RECORD_MAX];
        size_t length;
        for (uint32_t i = first; i <= model->durable; i++) {
            assert_int_equal(commit_log_read(model->log, model->records[i].place, bytes, sizeof bytes, &length), DRO_OK);
            assert_true(is_record(model, i, bytes, length));
        }
        fetch_all(model, first);
    }
}
