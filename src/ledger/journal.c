#include "ledger/journal.h"

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

static const char position_name[] = "position";
static const char position_fresh[] = "position.new";
static const char magic[8] = "dromchg1";

struct journal {
    journal_options options;
    files *files;
    int position, file;          /* -1: not open */
    journal_state durable, now;  /* now: with what is pending */
    ledger_file closed[LEDGER_FILES_MAX]; /* the newest, oldest first */
    uint32_t closed_count;
    size_t held;                 /* bytes of what has no line yet, for more may join it; 0: nothing */
    line_origin held_of;
    uint8_t held_bytes[JOURNAL_HELD_MAX];
    size_t pending;
    uint8_t lines[JOURNAL_PENDING_MAX];
};

/* ---- names ---- */

static void open_name(const journal *journal, uint64_t number, char out[LEDGER_NAME])
{
    snprintf(out, LEDGER_NAME, "%s-%010" PRIu64 ".jsonl.open", journal->options.kind->name, number);
}

static void closed_name(const journal *journal, uint64_t number, int64_t closed_ms, char out[LEDGER_NAME])
{
    time_t seconds = (time_t)(closed_ms / 1000);
    struct tm when;
    char text[24] = "19700101T000000Z";
    if (gmtime_r(&seconds, &when) != NULL)
        strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &when);
    snprintf(out, LEDGER_NAME, "%s-%010" PRIu64 "-%s.jsonl", journal->options.kind->name, number, text);
}

/* 0: not the name of a closed file. */
static uint64_t number_of(const journal *journal, const char *name)
{
    uint64_t number;
    const char *kind = journal->options.kind->name;
    size_t skip = strlen(kind);
    char rest[LEDGER_NAME], again[LEDGER_NAME];
    if (strlen(name) >= LEDGER_NAME || strncmp(name, kind, skip) != 0 || sscanf(name + skip, "-%20" SCNu64 "-%24[0-9TZ].jsonl", &number, rest) != 2)
        return 0;
    snprintf(again, sizeof again, "%s-%010" PRIu64 "-%.20s.jsonl", kind, number, rest);
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
    dro_builder_bytes(&out, state->head, sizeof state->head); /* behind what was there first: zeros of before */
    uint32_t crc = crc32c(0, slot, JOURNAL_SLOT - 4);
    memcpy(slot + JOURNAL_SLOT - 4, &crc, 4);
}
_Static_assert(8 + 7 * 8 + 4 + LEDGER_PLACES_MAX * 20 + JOURNAL_HEAD + 4 <= JOURNAL_SLOT, "a slot holds all places");

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
    if (state->count > LEDGER_PLACES_MAX)
        return false;
    for (uint32_t i = 0; i < state->count; i++) {
        state->places[i].generation = (uint32_t)dro_cursor_le(&in, 4);
        state->places[i].core = (uint32_t)dro_cursor_le(&in, 4);
        state->places[i].place = dro_cursor_le(&in, 8);
        state->places[i].index = (uint32_t)dro_cursor_le(&in, 4);
    }
    memcpy(state->head, dro_cursor_bytes(&in, sizeof state->head), sizeof state->head);
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
    static const char advice[] = "put the whole directory back from a backup; or move it away: then all that the log still holds is written again, in a new series";
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

uint64_t journal_tail_sequence(const journal_kind *kind, const uint8_t *bytes, size_t length)
{
    size_t at = length, begin = strlen(kind->line_begin);
    if (length < 2 || bytes[length - 1] != '\n' || bytes[length - 2] != '}')
        return 0;
    for (at = length - 1; at > 0 && bytes[at - 1] != '\n'; at--)
        if (bytes[at - 1] < ' ')
            return 0;
    if (length - at <= begin || memcmp(bytes + at, kind->line_begin, begin) != 0)
        return 0;
    uint64_t number = 0;
    size_t digits = 0;
    for (at += begin; at < length && bytes[at] >= '0' && bytes[at] <= '9' && digits < 19; at++, digits++)
        number = number * 10 + (uint64_t)(bytes[at] - '0');
    return at < length && bytes[at] == ',' ? number : 0;
}

/* Of a chain: does the last line end with the hash that the position has? */
static bool tail_is_head(const journal *journal, const uint8_t *bytes, size_t length)
{
    char text[2 * JOURNAL_HEAD + 3];
    for (size_t i = 0; i < JOURNAL_HEAD; i++)
        snprintf(text + 2 * i, 3, "%02x", journal->durable.head[i]);
    memcpy(text + 2 * JOURNAL_HEAD, "\"}\n", 3);
    return length >= sizeof text && memcmp(bytes + length - sizeof text, text, sizeof text) == 0;
}

static dro_err tail_read(journal *journal, uint64_t *sequence)
{
    const journal_kind *kind = journal->options.kind;
    static uint8_t tail[JOURNAL_TAIL];
    uint64_t length = journal->durable.length < sizeof tail ? journal->durable.length : sizeof tail;
    int64_t n = journal->files->read(journal->files, journal->file, journal->durable.length - length, tail, length);
    bool is_whole = n == (int64_t)length && (!kind->is_chain || tail_is_head(journal, tail, length));
    *sequence = is_whole ? journal_tail_sequence(kind, tail, length) : 0;
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
    char name[LEDGER_NAME];
    open_name(journal, journal->durable.number, name);
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
    if (journal->closed_count == LEDGER_FILES_MAX)
        memmove(journal->closed, journal->closed + 1, --journal->closed_count * sizeof journal->closed[0]);
    ledger_file *file = &journal->closed[journal->closed_count++];
    *file = (ledger_file){ .bytes = bytes };
    snprintf(file->name, sizeof file->name, "%s", name);
}

/* In order of their numbers, as far as there is room for the newest. */
static void on_name(void *context, const char *name)
{
    journal *journal = context;
    uint64_t number = number_of(journal, name);
    uint32_t at = journal->closed_count;
    if (number == 0)
        return;
    while (at > 0 && number_of(journal, journal->closed[at - 1].name) > number)
        at--;
    if (journal->closed_count == LEDGER_FILES_MAX && at == 0)
        return;
    if (journal->closed_count == LEDGER_FILES_MAX) {
        memmove(journal->closed, journal->closed + 1, (at - 1) * sizeof journal->closed[0]);
        at--;
    } else {
        memmove(journal->closed + at + 1, journal->closed + at, (journal->closed_count++ - at) * sizeof journal->closed[0]);
    }
    journal->closed[at] = (ledger_file){ 0 };
    snprintf(journal->closed[at].name, LEDGER_NAME, "%s", name);
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
    char from[LEDGER_NAME], to[LEDGER_NAME];
    if (journal->durable.number == 1)
        return DRO_OK;
    open_name(journal, journal->durable.number - 1, from);
    closed_name(journal, journal->durable.number - 1, journal->durable.closed_ms, to);
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

void journal_pass(journal *journal, const ledger_place *place)
{
    journal_state *now = &journal->now;
    uint32_t i = 0, oldest = 0;
    while (i < now->count && (now->places[i].generation != place->generation || now->places[i].core != place->core)) {
        if (now->places[i].generation < now->places[oldest].generation)
            oldest = i;
        i++;
    }
    if (i == LEDGER_PLACES_MAX) /* of so many logs the oldest is long gone */
        i = oldest;
    else if (i == now->count)
        now->count++;
    now->places[i] = *place;
    now->places[i].reserved = 0;
}

/* What was held gets its line. */
static dro_err held_write(journal *journal)
{
    if (journal->held == 0)
        return DRO_OK;
    dro_builder out = dro_builder_over(journal->lines + journal->pending, JOURNAL_PENDING_MAX - journal->pending);
    journal->held_of.sequence = journal->now.sequence;
    dro_err err = journal->options.kind->line(&out, &journal->held_of, journal->now.head, journal->held_bytes, journal->held);
    journal->held = 0;
    if (err != DRO_OK) {
        dro_error("a line cannot be written: \"%s\"", dro_err_text(err));
        return DRO_MALFORMED;
    }
    journal->pending += dro_builder_length(&out);
    journal->now.sequence++;
    return DRO_OK;
}

static bool held_take(journal *journal, const uint8_t *bytes, size_t length)
{
    const journal_kind *kind = journal->options.kind;
    if (journal->held == 0 || kind->join == NULL)
        return false;
    dro_builder held = dro_builder_over(journal->held_bytes, kind->bytes_max);
    held.at += journal->held;
    if (!kind->join(&held, bytes, length))
        return false;
    journal->held = dro_builder_length(&held);
    return true;
}

dro_err journal_put(journal *journal, const ledger_place *place, int64_t time_ms, const uint8_t *bytes, size_t length)
{
    const journal_kind *kind = journal->options.kind;
    ledger_place behind = *place;
    behind.index++;
    if (length > kind->bytes_max || length == 0)
        return DRO_MALFORMED;
    if (JOURNAL_PENDING_MAX - journal->pending < 2 * kind->line_max) /* what is held, and this */
        return DRO_AGAIN;
    bool is_taken = held_take(journal, bytes, length);
    dro_err err = is_taken ? DRO_OK : held_write(journal);
    journal_pass(journal, &behind);
    if (is_taken)
        return DRO_OK;
    journal->held_of = (line_origin){ journal->now.series, place->generation, place->core, place->place, place->index, 0, time_ms,
                                      journal->options.node };
    memcpy(journal->held_bytes, bytes, length);
    journal->held = length;
    return kind->join != NULL ? err : held_write(journal);
}

bool journal_has_lines(const journal *journal)
{
    return journal->pending > 0 || journal->held > 0;
}

bool journal_has_news(const journal *journal)
{
    const journal_state *now = &journal->now, *durable = &journal->durable;
    return journal_has_lines(journal) || now->count != durable->count || memcmp(now->places, durable->places, now->count * sizeof now->places[0]) != 0;
}

static dro_err lines_write(journal *journal)
{
    files *files = journal->files;
    char name[LEDGER_NAME];
    int err = 0;
    open_name(journal, journal->now.number, name);
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
    if (held_write(journal) != DRO_OK)
        dro_error("what is at the end of a commit is passed over");
    dro_err err = journal->pending > 0 ? lines_write(journal) : DRO_OK;
    if (err == DRO_OK && has_news)
        err = position_write(journal);
    return err == DRO_OK && is_time_to_close(journal) ? file_close(journal) : err;
}

const journal_state *journal_durable(const journal *journal)
{
    return &journal->durable;
}

/* ---- reading ---- */

enum { READ_BYTES = 64 * 1024 };
_Static_assert((int)READ_BYTES >= (int)JOURNAL_TAIL, "a line fits");

typedef struct old_file { char name[LEDGER_NAME]; uint64_t number; } old_file;
typedef struct old_files { const journal *journal; old_file *list; uint32_t count, capacity; bool is_full; } old_files;

static void on_old_file(void *context, const char *name)
{
    old_files *all = context;
    uint64_t number = number_of(all->journal, name);
    if (number == 0)
        return;
    if (all->count == all->capacity) {
        uint32_t capacity = all->capacity == 0 ? 64 : 2 * all->capacity;
        old_file *list = realloc(all->list, capacity * sizeof *list);
        if (list == NULL) {
            all->is_full = true;
            return;
        }
        all->list = list;
        all->capacity = capacity;
    }
    old_file *made = &all->list[all->count++];
    snprintf(made->name, sizeof made->name, "%s", name);
    made->number = number;
}

static int by_number(const void *a, const void *b)
{
    const old_file *one = a, *other = b;
    return one->number < other->number ? -1 : one->number > other->number;
}

/* The sequence of the line that begins at `at`; 0: that is none. */
static uint64_t line_sequence(const journal_kind *kind, const uint8_t *at, size_t length)
{
    size_t begin = strlen(kind->line_begin), digits = 0;
    uint64_t number = 0;
    if (length <= begin || memcmp(at, kind->line_begin, begin) != 0)
        return 0;
    for (at += begin, length -= begin; digits < length && digits < 19 && at[digits] >= '0' && at[digits] <= '9'; digits++)
        number = number * 10 + (uint64_t)(at[digits] - '0');
    return number;
}

static uint64_t first_of(journal *journal, int file)
{
    uint8_t bytes[64];
    int64_t n = journal->files->read(journal->files, file, 0, bytes, sizeof bytes);
    return n <= 0 ? 0 : line_sequence(journal->options.kind, bytes, (size_t)n);
}

/* Where a line at or before the wanted one begins: halves until no less than a piece is left. */
static uint64_t offset_of(journal *journal, int file, uint64_t length, uint64_t since)
{
    static uint8_t piece[READ_BYTES];
    uint64_t low = 0, high = length;
    while (high - low > READ_BYTES) {
        uint64_t middle = low + (high - low) / 2;
        int64_t n = journal->files->read(journal->files, file, middle, piece, sizeof piece);
        const uint8_t *end = n <= 0 ? NULL : memchr(piece, '\n', (size_t)n);
        uint64_t begin = end == NULL ? length : middle + (uint64_t)(end + 1 - piece);
        if (begin >= high || line_sequence(journal->options.kind, end + 1, (size_t)(piece + n - end - 1)) > since)
            high = middle;
        else
            low = begin;
    }
    return low;
}

typedef struct lines_wanted { uint64_t since, next; uint32_t left; dro_builder *out; bool is_over; } lines_wanted;

static void line_take(const journal_kind *kind, lines_wanted *wanted, const uint8_t *line, size_t length)
{
    uint64_t sequence = line_sequence(kind, line, length);
    if (sequence < wanted->since || sequence == 0)
        return;
    dro_builder before = *wanted->out;
    dro_builder_bytes(wanted->out, line, length);
    wanted->is_over = wanted->left == 0 || wanted->out->err != DRO_OK;
    if (wanted->is_over) {
        *wanted->out = before;
        return;
    }
    wanted->left--;
    wanted->next = sequence + 1;
}

static int64_t lines_of(journal *journal, int file, uint64_t length, lines_wanted *wanted)
{
    static uint8_t piece[READ_BYTES];
    uint64_t at = offset_of(journal, file, length, wanted->since);
    while (at < length && !wanted->is_over) {
        size_t most = length - at < sizeof piece ? (size_t)(length - at) : sizeof piece;
        int64_t n = journal->files->read(journal->files, file, at, piece, most);
        if (n < 0)
            return n;
        const uint8_t *line = piece, *end;
        while (!wanted->is_over && (end = memchr(line, '\n', (size_t)(piece + n - line))) != NULL) {
            line_take(journal->options.kind, wanted, line, (size_t)(end + 1 - line));
            line = end + 1;
        }
        if (line == piece) /* no line has so many bytes: what is here is not ours */
            return -EINVAL;
        at += (uint64_t)(line - piece);
    }
    return 0;
}

static int64_t lines_of_name(journal *journal, const char *name, uint64_t length, lines_wanted *wanted)
{
    int file = journal->files->find(journal->files, name);
    if (file < 0)
        return file == -ENOENT && length == 0 ? 0 : file;
    int64_t err = length > 0 ? (int64_t)length : journal->files->size(journal->files, file);
    if (err >= 0)
        err = lines_of(journal, file, (uint64_t)err, wanted);
    journal->files->close(journal->files, file);
    return err;
}

/* The last file that does not begin behind the line, else the first. */
static uint32_t file_with(journal *journal, const old_files *all, uint64_t since)
{
    uint32_t low = 0, high = all->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        int file = journal->files->find(journal->files, all->list[middle].name);
        uint64_t begins = file < 0 ? 0 : first_of(journal, file);
        if (file >= 0)
            journal->files->close(journal->files, file);
        if (begins > since)
            high = middle;
        else
            low = middle;
    }
    return low;
}

static uint64_t oldest_line(journal *journal, const old_files *all, const char *open)
{
    int file = journal->files->find(journal->files, all->count > 0 ? all->list[0].name : open);
    uint64_t oldest = file < 0 ? 0 : first_of(journal, file);
    if (file >= 0)
        journal->files->close(journal->files, file);
    return oldest;
}

dro_err journal_lines(journal *journal, uint64_t since, uint32_t most, dro_builder *out, uint64_t *first, uint64_t *next)
{
    old_files all = { .journal = journal };
    lines_wanted wanted = { .since = since, .next = since, .left = most, .out = out };
    char open[LEDGER_NAME];
    open_name(journal, journal->durable.number, open);
    int64_t err = journal->files->list(journal->files, on_old_file, &all);
    if (all.count > 0)
        qsort(all.list, all.count, sizeof all.list[0], by_number);
    *first = oldest_line(journal, &all, open);
    for (uint32_t i = all.count > 0 ? file_with(journal, &all, since) : 0; err >= 0 && i < all.count && !wanted.is_over; i++)
        err = lines_of_name(journal, all.list[i].name, 0, &wanted);
    if (err >= 0 && !wanted.is_over && journal->durable.length > 0)
        err = lines_of_name(journal, open, journal->durable.length, &wanted);
    free(all.list);
    *next = wanted.next;
    if (err < 0 || all.is_full)
        return failed("the directory", "read", err < 0 ? err : -ENOMEM);
    return DRO_OK;
}

uint32_t journal_files(const journal *journal, ledger_file files[LEDGER_FILES_MAX])
{
    memcpy(files, journal->closed, journal->closed_count * sizeof files[0]);
    return journal->closed_count;
}
