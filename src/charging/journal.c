#include "charging/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "base/log.h"
#include "store/crc32c.h"
#include "twin/charge.h"

static const char position_name[] = "position";
static const char position_fresh[] = "position.new";
static const char magic[8] = "dromchg1";

struct journal {
    journal_options options;
    files *files;
    int position, file;          /* -1: not open */
    journal_state durable, now;  /* now: with what is pending */
    charging_file closed[CHARGING_FILES_MAX]; /* the newest, oldest first */
    uint32_t closed_count;
    size_t pending;
    uint8_t lines[JOURNAL_PENDING_MAX];
};

/* ---- names ---- */

static void open_name(uint64_t number, char out[CHARGING_NAME])
{
    snprintf(out, CHARGING_NAME, "charging-%010" PRIu64 ".jsonl.open", number);
}

static void closed_name(uint64_t number, int64_t closed_ms, char out[CHARGING_NAME])
{
    time_t seconds = (time_t)(closed_ms / 1000);
    struct tm when;
    char text[24] = "19700101T000000Z";
    if (gmtime_r(&seconds, &when) != NULL)
        strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &when);
    snprintf(out, CHARGING_NAME, "charging-%010" PRIu64 "-%s.jsonl", number, text);
}

/* 0: not the name of a closed file. */
static uint64_t number_of(const char *name)
{
    uint64_t number;
    char rest[CHARGING_NAME], again[CHARGING_NAME];
    if (strlen(name) >= CHARGING_NAME || sscanf(name, "charging-%20" SCNu64 "-%24[0-9TZ].jsonl", &number, rest) != 2)
        return 0;
    snprintf(again, sizeof again, "charging-%010" PRIu64 "-%.20s.jsonl", number, rest);
    return strcmp(again, name) == 0 ? number : 0;
}

static dro_err failed(const char *name, const char *what, int64_t error)
{
    dro_error("%s cannot be %s: %s", name, what, strerror((int)-error));
    return error == -ENOSPC || error == -EDQUOT ? DRO_LIMIT : DRO_IO;
}

/* ---- the position ---- */

void journal_slot_write(const journal_state *state, uint8_t slot[JOURNAL_SLOT])
{
    memset(slot, 0, JOURNAL_SLOT);
    dro_builder out = dro_builder_over(slot, JOURNAL_SLOT - 4);
    dro_builder_bytes(&out, magic, sizeof magic);
    const uint64_t words[] = { state->turn, state->series, state->number, state->length, state->sequence, (uint64_t)state->opened_ms,
                               (uint64_t)state->closed_ms };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        dro_builder_le(&out, words[i], 8);
    dro_builder_le(&out, state->count, 4);
    for (uint32_t i = 0; i < state->count; i++) {
        dro_builder_le(&out, state->places[i].generation, 4);
        dro_builder_le(&out, state->places[i].core, 4);
        dro_builder_le(&out, state->places[i].place, 8);
        dro_builder_le(&out, state->places[i].index, 4);
    }
    uint32_t crc = crc32c(0, slot, JOURNAL_SLOT - 4);
    memcpy(slot + JOURNAL_SLOT - 4, &crc, 4);
}
_Static_assert(8 + 7 * 8 + 4 + CHARGING_PLACES_MAX * 20 + 4 <= JOURNAL_SLOT, "a slot holds all places");

bool journal_slot_read(journal_state *state, const uint8_t slot[JOURNAL_SLOT])
{
    uint32_t crc;
    dro_cursor in = dro_cursor_over(slot, JOURNAL_SLOT - 4);
    memcpy(&crc, slot + JOURNAL_SLOT - 4, 4);
    if (crc != crc32c(0, slot, JOURNAL_SLOT - 4) || memcmp(dro_cursor_bytes(&in, sizeof magic), magic, sizeof magic) != 0)
        return false;
    *state = (journal_state){ .turn = dro_cursor_le(&in, 8) };
    state->series = dro_cursor_le(&in, 8);
    state->number = dro_cursor_le(&in, 8);
    state->length = dro_cursor_le(&in, 8);
    state->sequence = dro_cursor_le(&in, 8);
    state->opened_ms = (int64_t)dro_cursor_le(&in, 8);
    state->closed_ms = (int64_t)dro_cursor_le(&in, 8);
    state->count = (uint32_t)dro_cursor_le(&in, 4);
    if (state->count > CHARGING_PLACES_MAX)
        return false;
    for (uint32_t i = 0; i < state->count; i++) {
        state->places[i].generation = (uint32_t)dro_cursor_le(&in, 4);
        state->places[i].core = (uint32_t)dro_cursor_le(&in, 4);
        state->places[i].place = dro_cursor_le(&in, 8);
        state->places[i].index = (uint32_t)dro_cursor_le(&in, 4);
    }
    return in.err == DRO_OK && state->number > 0 && state->sequence > 0;
}

/* Into the slot whose turn it is: the other one stays as it was. */
static dro_err position_write(journal *journal)
{
    uint8_t slot[JOURNAL_SLOT];
    journal->now.turn = journal->durable.turn + 1;
    journal_slot_write(&journal->now, slot);
    int err = journal->files->write(journal->files, journal->position, journal->now.turn % 2 * JOURNAL_SLOT, slot, JOURNAL_SLOT);
    if (err == 0)
        err = journal->files->sync(journal->files, journal->position);
    if (err != 0)
        return failed(position_name, "written", err);
    journal->durable = journal->now;
    return DRO_OK;
}

/* A new series: there is a whole position, or none. */
static dro_err position_make(journal *journal)
{
    uint8_t slot[JOURNAL_SLOT];
    files *files = journal->files;
    journal_state *state = &journal->durable;
    *state = (journal_state){ .number = 1, .sequence = 1 };
    journal->options.random->fill(journal->options.random, &state->series, sizeof state->series);
    journal_slot_write(state, slot);
    int file = files->open(files, position_fresh);
    int err = file < 0 ? file : files->truncate(files, file, 0);
    if (err == 0)
        err = files->write(files, file, 0, slot, sizeof slot);
    if (err == 0)
        err = files->sync(files, file);
    if (file >= 0)
        files->close(files, file);
    if (err == 0)
        err = files->rename(files, position_fresh, position_name);
    if (err == 0)
        err = files->sync_names(files);
    if (err == 0)
        err = journal->position = files->find(files, position_name);
    return err >= 0 ? DRO_OK : failed(position_name, "made", err);
}

static dro_err position_open(journal *journal)
{
    static const char advice[] = "put the whole directory back from a backup; or move it away: then all that the log still holds is charged again, in a new series";
    files *files = journal->files;
    journal_state states[2];
    int found = 0;
    journal->position = files->find(files, position_name);
    if (journal->position == -ENOENT)
        return position_make(journal);
    if (journal->position < 0)
        return failed(position_name, "opened", journal->position);
    for (int i = 0; i < 2; i++) {
        uint8_t slot[JOURNAL_SLOT];
        int64_t n = files->read(files, journal->position, (uint64_t)i * JOURNAL_SLOT, slot, sizeof slot);
        if (n < 0)
            return failed(position_name, "read", n);
        if (n == JOURNAL_SLOT && journal_slot_read(&states[found], slot))
            found++;
    }
    if (found == 0) {
        dro_error("%s is damaged: %s", position_name, advice);
        return DRO_CORRUPT;
    }
    journal->durable = found == 2 && states[1].turn > states[0].turn ? states[1] : states[0];
    return DRO_OK;
}

/* ---- the open file ---- */

uint64_t journal_tail_sequence(const uint8_t *bytes, size_t length)
{
    static const char begin[] = "{\"localSequenceNumber\":";
    size_t at = length;
    if (length < 2 || bytes[length - 1] != '\n' || bytes[length - 2] != '}')
        return 0;
    for (at = length - 1; at > 0 && bytes[at - 1] != '\n'; at--)
        if (bytes[at - 1] < ' ')
            return 0;
    if (length - at < sizeof begin || memcmp(bytes + at, begin, sizeof begin - 1) != 0)
        return 0;
    uint64_t number = 0;
    size_t digits = 0;
    for (at += sizeof begin - 1; at < length && bytes[at] >= '0' && bytes[at] <= '9' && digits < 19; at++, digits++)
        number = number * 10 + (uint64_t)(bytes[at] - '0');
    return at < length && bytes[at] == ',' ? number : 0;
}

static dro_err tail_read(journal *journal, uint64_t *sequence)
{
    static uint8_t tail[JOURNAL_TAIL];
    uint64_t length = journal->durable.length < sizeof tail ? journal->durable.length : sizeof tail;
    int64_t n = journal->files->read(journal->files, journal->file, journal->durable.length - length, tail, length);
    *sequence = n == (int64_t)length ? journal_tail_sequence(tail, length) : 0;
    return n < 0 ? failed("the open file", "read", n) : DRO_OK;
}

/* Somebody took or changed it: what it held is not ours to mend, and what comes goes into the next one. */
static void give_up_open(journal *journal, const char *name, const char *why)
{
    dro_error("%s %s: lines before %" PRIu64 " are missing or damaged; going on with the next file", name, why, journal->durable.sequence);
    if (journal->file >= 0)
        journal->files->close(journal->files, journal->file);
    journal->file = -1;
    journal->durable.number++;
    journal->durable.length = 0;
    journal->durable.closed_ms = journal->options.clock->wall_ms(journal->options.clock);
}

/* Compares the open file's end with the position and cuts what is beyond. */
static dro_err open_file(journal *journal)
{
    files *files = journal->files;
    char name[CHARGING_NAME];
    open_name(journal->durable.number, name);
    journal->file = files->find(files, name);
    if (journal->file == -ENOENT && journal->durable.length > 0) {
        give_up_open(journal, name, "is not there");
        return DRO_OK;
    }
    if (journal->file == -ENOENT)
        return DRO_OK;
    if (journal->file < 0)
        return failed(name, "opened", journal->file);
    int64_t size = files->size(files, journal->file);
    if (size < 0)
        return failed(name, "looked at", size);
    if ((uint64_t)size < journal->durable.length) {
        give_up_open(journal, name, "is shorter than it was");
        return DRO_OK;
    }
    uint64_t last = journal->durable.sequence - 1;
    dro_err err = journal->durable.length > 0 ? tail_read(journal, &last) : DRO_OK;
    if (err != DRO_OK)
        return err;
    if (last != journal->durable.sequence - 1) {
        give_up_open(journal, name, "is not what was written");
        return DRO_OK;
    }
    if ((uint64_t)size == journal->durable.length)
        return DRO_OK;
    int cut = files->truncate(files, journal->file, journal->durable.length);
    if (cut == 0)
        cut = files->sync(files, journal->file);
    return cut == 0 ? DRO_OK : failed(name, "cut", cut);
}

/* ---- closed files ---- */

static void closed_add(journal *journal, const char *name, uint64_t bytes)
{
    if (journal->closed_count == CHARGING_FILES_MAX)
        memmove(journal->closed, journal->closed + 1, --journal->closed_count * sizeof journal->closed[0]);
    charging_file *file = &journal->closed[journal->closed_count++];
    *file = (charging_file){ .bytes = bytes };
    snprintf(file->name, sizeof file->name, "%s", name);
}

/* In order of their numbers, as far as there is room for the newest. */
static void on_name(void *context, const char *name)
{
    journal *journal = context;
    uint64_t number = number_of(name);
    uint32_t at = journal->closed_count;
    if (number == 0)
        return;
    while (at > 0 && number_of(journal->closed[at - 1].name) > number)
        at--;
    if (journal->closed_count == CHARGING_FILES_MAX && at == 0)
        return;
    if (journal->closed_count == CHARGING_FILES_MAX) {
        memmove(journal->closed, journal->closed + 1, (at - 1) * sizeof journal->closed[0]);
        at--;
    } else {
        memmove(journal->closed + at + 1, journal->closed + at, (journal->closed_count++ - at) * sizeof journal->closed[0]);
    }
    journal->closed[at] = (charging_file){ 0 };
    snprintf(journal->closed[at].name, CHARGING_NAME, "%s", name);
}

static void closed_list(journal *journal)
{
    files *files = journal->files;
    if (files->list(files, on_name, journal) != 0)
        dro_warn("the directory cannot be listed"); /* for show only */
    for (uint32_t i = 0; i < journal->closed_count; i++) {
        int file = files->find(files, journal->closed[i].name);
        int64_t size = file < 0 ? 0 : files->size(files, file);
        journal->closed[i].bytes = size > 0 ? (uint64_t)size : 0;
        if (file >= 0)
            files->close(files, file);
    }
}

/* The file before the open one gets its final name, if it has not. */
static dro_err finish_closed(journal *journal, uint64_t bytes)
{
    files *files = journal->files;
    char from[CHARGING_NAME], to[CHARGING_NAME];
    if (journal->durable.number == 1)
        return DRO_OK;
    open_name(journal->durable.number - 1, from);
    closed_name(journal->durable.number - 1, journal->durable.closed_ms, to);
    int err = files->rename(files, from, to);
    if (err == -ENOENT)
        return DRO_OK;
    if (err == 0)
        err = files->sync_names(files);
    if (err != 0)
        return failed(from, "renamed", err);
    closed_add(journal, to, bytes);
    return DRO_OK;
}

/* ---- open and close ---- */

static dro_err open_all(journal *journal)
{
    dro_err err = position_open(journal);
    if (err == DRO_OK)
        err = finish_closed(journal, 0);
    if (err == DRO_OK)
        err = open_file(journal);
    journal->now = journal->durable;
    if (err == DRO_OK) { /* what was read may be in a cache alone: into its own slot, so that the other one stays whole */
        journal->durable.turn--;
        err = position_write(journal);
    }
    if (err == DRO_OK)
        err = finish_closed(journal, 0); /* of one that was given up */
    journal->closed_count = 0;
    if (err == DRO_OK)
        closed_list(journal);
    return err;
}

dro_err journal_open(journal **out, const journal_options *options)
{
    journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return DRO_NOMEM;
    journal->options = *options;
    journal->files = options->files;
    journal->position = journal->file = -1;
    dro_err err = open_all(journal);
    if (err == DRO_OK)
        *out = journal;
    else
        journal_close(journal);
    return err;
}

void journal_close(journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->position >= 0)
        journal->files->close(journal->files, journal->position);
    if (journal->file >= 0)
        journal->files->close(journal->files, journal->file);
    free(journal);
}

/* ---- lines ---- */

void journal_pass(journal *journal, const charging_place *place)
{
    journal_state *now = &journal->now;
    uint32_t i = 0, oldest = 0;
    while (i < now->count && (now->places[i].generation != place->generation || now->places[i].core != place->core)) {
        if (now->places[i].generation < now->places[oldest].generation)
            oldest = i;
        i++;
    }
    if (i == CHARGING_PLACES_MAX) /* of so many logs the oldest is long gone */
        i = oldest;
    else if (i == now->count)
        now->count++;
    now->places[i] = *place;
    now->places[i].reserved = 0;
}

dro_err journal_put(journal *journal, const charging_place *place, int64_t time_ms, const uint8_t *charge, size_t length)
{
    charge_origin origin = { journal->now.series, place->generation, place->core, place->place, place->index, journal->now.sequence, time_ms,
                             journal->options.node };
    if (length > CHARGE_BYTES_MAX)
        return DRO_MALFORMED;
    if (JOURNAL_PENDING_MAX - journal->pending < CHARGE_LINE_MAX)
        return DRO_AGAIN;
    dro_builder out = dro_builder_over(journal->lines + journal->pending, JOURNAL_PENDING_MAX - journal->pending);
    dro_err err = charge_line(&out, &origin, charge, length);
    charging_place behind = *place;
    behind.index++;
    journal_pass(journal, &behind);
    if (err != DRO_OK)
        return DRO_MALFORMED;
    journal->pending += dro_builder_length(&out);
    journal->now.sequence++;
    return DRO_OK;
}

bool journal_has_lines(const journal *journal)
{
    return journal->pending > 0;
}

bool journal_has_news(const journal *journal)
{
    const journal_state *now = &journal->now, *durable = &journal->durable;
    return journal->pending > 0 || now->count != durable->count || memcmp(now->places, durable->places, now->count * sizeof now->places[0]) != 0;
}

static dro_err lines_write(journal *journal)
{
    files *files = journal->files;
    char name[CHARGING_NAME];
    int err = 0;
    open_name(journal->now.number, name);
    if (journal->now.length == 0)
        journal->now.opened_ms = journal->options.clock->wall_ms(journal->options.clock);
    if (journal->file < 0) {
        err = journal->file = files->open(files, name);
        if (err >= 0)
            err = files->sync_names(files);
    }
    if (err >= 0)
        err = files->write(files, journal->file, journal->now.length, journal->lines, journal->pending);
    if (err >= 0)
        err = files->sync(files, journal->file);
    if (err < 0)
        return failed(name, "written", err);
    journal->now.length += journal->pending;
    journal->pending = 0;
    return DRO_OK;
}

int64_t journal_due_ms(const journal *journal)
{
    return journal->durable.length == 0 ? -1 : journal->durable.opened_ms + journal->options.file_age_ms;
}

static bool is_time_to_close(const journal *journal)
{
    int64_t now_ms = journal->options.clock->wall_ms(journal->options.clock);
    return journal->durable.length > 0 && (journal->durable.length >= journal->options.file_bytes || now_ms >= journal_due_ms(journal) ||
                                           now_ms < journal->durable.opened_ms); /* the clock went back: the age says nothing */
}

static dro_err file_close(journal *journal)
{
    uint64_t bytes = journal->durable.length;
    journal->now.number++;
    journal->now.length = 0;
    journal->now.closed_ms = journal->options.clock->wall_ms(journal->options.clock);
    dro_err err = position_write(journal);
    journal->files->close(journal->files, journal->file);
    journal->file = -1;
    return err == DRO_OK ? finish_closed(journal, bytes) : err;
}

dro_err journal_commit(journal *journal)
{
    bool has_news = journal_has_news(journal);
    dro_err err = journal->pending > 0 ? lines_write(journal) : DRO_OK;
    if (err == DRO_OK && has_news)
        err = position_write(journal);
    return err == DRO_OK && is_time_to_close(journal) ? file_close(journal) : err;
}

const journal_state *journal_durable(const journal *journal)
{
    return &journal->durable;
}

uint32_t journal_files(const journal *journal, charging_file files[CHARGING_FILES_MAX])
{
    memcpy(files, journal->closed, journal->closed_count * sizeof files[0]);
    return journal->closed_count;
}
