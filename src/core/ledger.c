#include "core/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/audit.h"
#include "core/charge.h"
#include "core/checkpoint.h"
#include "core/record.h"
#include "core/state.h"
#include "twin/audit.h"

enum {
    RECORDS_STEP = 1024,       /* read in a round */
    WORTH_BYTES = 64 * 1024,   /* durable and not read: worth reading at once, */
    WAIT_MS = 10,              /* else after so long */
    PASS_MS = 10000,           /* of a kind whose entries are few: the room hears so often how far there was nothing */
    FULL_MS = 2,               /* the room's ring is full: it has no bell for us */
    DAMAGED_MS = 5000,         /* the log cannot be read: tried again then */
    MARKS_MAX = 4096,          /* places that are remembered; beyond that they are found by reading */
};

struct ledger {
    enum ledger_kind kind;
    ring_reader in;
    ring_writer out;
    bool is_open;
    ledger_state room;         /* what the room said last */
    ledger_place places[LEDGER_PLACES_MAX];
    ledger_file files[LEDGER_FILES_MAX];
    uint64_t session;          /* of the place below; 0: none */
    ledger_place next;         /* where to go on in the log being read */
    log_place told;            /* the room knows that all before is passed */
    int64_t told_ns;
    int64_t pause_ns;          /* nothing is read until then */
    bool is_waiting;           /* for more to read together, until pause_ns */
    log_place done;            /* all before is in a file; 0: nothing */
    /* core 0's: logs of other numbers of cores */
    bool is_old_done;          /* all of them are told, durably */
    uint32_t old_number;       /* the one being read; 0: the own one */
    disk *old_disk;
    commit_log *old_log;
    uint64_t gaps;
    /* of a kind whose entries are few: where they lie, from `marked_from` on; before that they are found by reading */
    log_place marked_from;
    log_place *marks;          /* [MARKS_MAX], a ring; NULL: of a kind with many */
    uint32_t mark_first, mark_count;
};

static const struct { const char *name; uint8_t field; bool is_sparse; bool (*has)(const uint8_t *bytes, size_t length); } kinds[LEDGERS] = {
    [LEDGER_CHARGING] = { "charging", FIELD_CHARGE, false, record_has_charges },
    [LEDGER_AUDIT] = { "audit", FIELD_AUDIT, true, record_has_notes },
};

/* One walk's. */
typedef struct reading {
    core *core;
    ledger *ledger;
    log_place full_at;         /* its entries did not all fit into the ring; 0: all did */
    uint32_t full_index;
} reading;

static uint64_t segment_bytes(const core *core)
{
    return core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
}

dro_err ledger_init(core *core, enum ledger_kind kind)
{
    ledger *made = core->ledgers[kind] = calloc(1, sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    made->kind = kind;
    made->marks = kinds[kind].is_sparse ? calloc(MARKS_MAX, sizeof *made->marks) : NULL;
    made->marked_from = UINT64_MAX; /* nothing was marked yet */
    return kinds[kind].is_sparse && made->marks == NULL ? DRO_NOMEM : DRO_OK;
}

static void old_close(ledger *here)
{
    commit_log_close(here->old_log);
    if (here->old_disk != NULL)
        here->old_disk->free(here->old_disk);
    here->old_log = NULL;
    here->old_disk = NULL;
}

void ledgers_fini(core *core)
{
    for (int i = 0; i < LEDGERS; i++) {
        if (core->ledgers[i] != NULL) {
            old_close(core->ledgers[i]);
            free(core->ledgers[i]->marks);
        }
        free(core->ledgers[i]);
        core->ledgers[i] = NULL;
    }
}

void core_ledger_attach(core *core, enum ledger_kind kind, ring_reader in, ring_writer out)
{
    ledger *here = core->ledgers[kind];
    if (here == NULL)
        return;
    here->in = in;
    here->out = out;
    here->is_open = true;
    here->session = 0;
}

void core_ledger_lost(core *core, enum ledger_kind kind)
{
    ledger *here = core->ledgers[kind];
    if (here == NULL)
        return;
    here->is_open = false;
    here->session = 0;
    if (kind == LEDGER_AUDIT)
        audit_room_lost(core);
}

/* ---- marks ---- */

void ledger_placed(core *core, enum ledger_kind kind, uint64_t place)
{
    ledger *here = core->ledgers[kind];
    if (here == NULL)
        return;
    if (here->marked_from == UINT64_MAX)
        here->marked_from = place;
    if (here->mark_count == MARKS_MAX) { /* all of them are found by reading, up to this one */
        here->mark_count = 0;
        here->marked_from = place;
    }
    here->marks[(here->mark_first + here->mark_count++) % MARKS_MAX] = place;
}

/* The first mark at or behind the place; 0: there is none. */
static log_place mark_next(ledger *here, log_place place)
{
    while (here->mark_count > 0 && here->marks[here->mark_first] < place) {
        here->marked_from = here->marks[here->mark_first] + 1; /* a new session of the room may begin before: then it is read for */
        here->mark_first = (here->mark_first + 1) % MARKS_MAX;
        here->mark_count--;
    }
    return here->mark_count > 0 ? here->marks[here->mark_first] : 0;
}

/* ---- which logs ---- */

/* The old log of that number, as generations_old_log counts them. False: there are fewer. */
static bool old_log_of(const core *core, uint32_t number, uint32_t *generation, uint32_t *of)
{
    uint32_t count = 0;
    for (uint32_t i = 0; core->index == 0 && i + 1 < core->generations.count; i++)
        for (uint32_t k = 0; k < core->generations.list[i].cores && !core->generations.list[i].is_gone; k++)
            if (++count == number) {
                *generation = core->generations.list[i].number;
                *of = k;
                return true;
            }
    return false;
}

/* How far the room has that log; NULL: nothing of it. */
static const ledger_place *place_of(const ledger *here, uint32_t generation, uint32_t of)
{
    for (uint32_t i = 0; i < here->room.place_count; i++)
        if (here->places[i].generation == generation && here->places[i].core == of)
            return &here->places[i];
    return NULL;
}

static void begin_log(ledger *here, uint32_t generation, uint32_t of)
{
    const ledger_place *place = place_of(here, generation, of);
    here->next = place != NULL ? *place : (ledger_place){ .generation = generation, .core = of };
    here->told = here->next.place;
    here->is_waiting = false;
    here->pause_ns = 0;
}

/* The next old log that is not charged; the own one behind them. */
static void begin_next(core *core, ledger *here, uint32_t after)
{
    uint32_t number = after, generation, of;
    old_close(here);
    while (old_log_of(core, ++number, &generation, &of)) {
        const ledger_place *place = place_of(here, generation, of);
        if (place != NULL && place->place == LEDGER_ALL_OF_IT)
            continue;
        here->old_number = number;
        begin_log(here, generation, of);
        return;
    }
    here->old_number = 0;
    begin_log(here, generation_newest(&core->generations)->number, core->index);
}

static bool old_are_told(const core *core, const ledger *here)
{
    uint32_t generation, of;
    for (uint32_t number = 1; old_log_of(core, number, &generation, &of); number++) {
        const ledger_place *place = place_of(here, generation, of);
        if (place == NULL || place->place != LEDGER_ALL_OF_IT)
            return false;
    }
    return true;
}

/* ---- what the room says ---- */

static void room_says(core *core, ledger *here, const uint8_t *body, size_t length)
{
    ledger_state message;
    if (length < sizeof message)
        return;
    memcpy(&message, body, sizeof message);
    message.error[sizeof message.error - 1] = '\0';
    size_t places = message.place_count * sizeof here->places[0], files = message.file_count * sizeof here->files[0];
    if (message.place_count > LEDGER_PLACES_MAX || message.file_count > LEDGER_FILES_MAX || length < sizeof message + places + files)
        return;
    here->room = message;
    memcpy(here->places, body + sizeof message, places);
    memcpy(here->files, body + sizeof message + places, files);
    const ledger_place *own = place_of(here, generation_newest(&core->generations)->number, core->index);
    if (own != NULL)
        here->done = own->place;
    here->is_old_done = message.session != 0 && old_are_told(core, here);
    bool is_new = message.session != here->session;
    here->session = message.session;
    if (is_new && here->session != 0)
        begin_next(core, here, 0);
    if (here->kind == LEDGER_AUDIT)
        audit_room_said(core, is_new);
}

static int listen_to_room(core *core, ledger *here)
{
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    int count = 0;
    for (; here->is_open && (body = ring_next(&here->in, &header, &err)) != NULL; count++) {
        if (header.type == MESSAGE_LEDGER_STATE)
            room_says(core, here, body, header.length - sizeof header);
        else if (header.type == MESSAGE_LEDGER_LINES && here->kind == LEDGER_AUDIT)
            audit_room_answers(core, header.id, body, header.length - sizeof header);
        ring_done(&here->in, &header);
    }
    if (here->is_open)
        ring_release(&here->in);
    if (err != DRO_OK) {
        dro_error("%s: its room broke the ring", kinds[here->kind].name);
        core_ledger_lost(core, here->kind);
    }
    return count;
}

/* ---- reading ---- */

static bool send(ledger *here, const ledger_place *place, int64_t time_ms, const uint8_t *entry, size_t length)
{
    uint8_t *room = ring_reserve(&here->out, (uint32_t)(sizeof(ledger_message) + length));
    ledger_message message = { .place = *place, .time_ms = time_ms, .length = (uint32_t)length };
    if (room == NULL)
        return false;
    memcpy(room, &message, sizeof message);
    if (length > 0)
        memcpy(room + sizeof message, entry, length);
    ring_commit(&here->out, MESSAGE_LEDGER, RING_WIPE, here->session, (uint32_t)(sizeof message + length));
    return true;
}

/* The entries of one record. False: the ring is full. */
static bool send_all(reading *reading, log_place place, const record_view *view)
{
    ledger *here = reading->ledger;
    ledger_place at = here->next;
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    uint32_t skipped = at.place == place ? at.index : 0;
    at.place = place;
    at.index = 0;
    while (dro_field_next(&in, &field)) {
        if (field.tag != kinds[here->kind].field)
            continue;
        if (at.index >= skipped && !send(here, &at, view->time_ms, field.bytes, field.length)) {
            reading->full_at = place;
            reading->full_index = at.index;
            return false;
        }
        at.index++;
    }
    return true;
}

static bool on_record(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length)
{
    (void)group;
    reading *reading = context;
    record_view view;
    bool goes_on = true;
    if (!kinds[reading->ledger->kind].has(bytes, length))
        return true;
    dro_err err = record_open(reading->core, bytes, length, reading->core->log_scratch, &view);
    if (err == DRO_OK)
        goes_on = send_all(reading, place, &view);
    else
        dro_error("%s: a record of the log cannot be opened: \"%s\"; its entries are passed over", kinds[reading->ledger->kind].name, dro_err_text(err));
    record_close(&view);
    return goes_on;
}

static void gap_write(const ledger *here, dro_builder *out, const char *first, const char *behind)
{
    char text[64];
    if (here->kind == LEDGER_CHARGING) {
        dro_builder_le(out, CHARGE_GAP, 1);
        dro_field_put_text(out, CHARGE_FROM, first);
        dro_field_put_text(out, CHARGE_TO, behind);
        return;
    }
    snprintf(text, sizeof text, "from %s to %s", first, behind);
    dro_builder_le(out, AUDIT_LOG_GAP, 2);
    dro_field_put_text(out, AUDIT_ACTOR, "host");
    dro_field_put_text(out, AUDIT_DETAIL, text);
}

/* What lies between is told to nobody: a line says so. False: the ring is full. */
static bool pass_gap(core *core, ledger *here, log_place to)
{
    uint8_t bytes[160];
    char first[24], behind[24];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    ledger_place at = here->next;
    snprintf(first, sizeof first, "%016" PRIx64, here->next.place);
    snprintf(behind, sizeof behind, "%016" PRIx64, to);
    gap_write(here, &out, first, behind);
    at.place = to;
    at.index = 0;
    if (!send(here, &at, core->now_ms, bytes, dro_builder_length(&out)))
        return false;
    dro_error("%s: log %" PRIu32 ".%" PRIu32 " from %s to %s cannot be read: its entries, if any, are lost; a line says so",
              kinds[here->kind].name, at.generation, at.core, first, behind);
    here->gaps++;
    here->next.place = to;
    here->next.index = 1;
    return true;
}

/* The place to go on at is not in the log: it was dropped, or the log is an older one than that which was charged. */
static void log_is_elsewhere(core *core, ledger *here, commit_log *log)
{
    log_place first = (log_place)commit_log_segment_first(log) << 32;
    log_place to = here->next.place < first || here->old_number != 0 ? first : commit_log_end(log);
    if (to == here->next.place)
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    else if (!pass_gap(core, here, to))
        here->pause_ns = core->now_ns + FULL_MS * 1000000;
}

/* The record at `place` is damaged: what comes in its segment cannot be found behind it. False: it is the last segment, or the ring is full. */
static bool pass_damage(core *core, ledger *here, uint32_t last, log_place place)
{
    if (log_place_segment(place) >= last || place < here->next.place)
        return false;
    here->next.place = place;
    return pass_gap(core, here, (log_place)(log_place_segment(place) + 1) << 32);
}

/* Up to where the walk came. */
static int walked(core *core, ledger *here, const reading *reading, log_place place)
{
    if (reading->full_at != 0) {
        here->next.place = reading->full_at;
        here->next.index = reading->full_index;
        here->pause_ns = core->now_ns + FULL_MS * 1000000;
        return 1;
    }
    here->next.place = place;
    here->next.index = 0;
    bool is_dense = here->marks == NULL || here->old_number != 0, is_far = log_place_segment(place) != log_place_segment(here->told);
    if ((is_dense || is_far || core->now_ns - here->told_ns >= PASS_MS * 1000000ll) && here->told != place && send(here, &here->next, 0, NULL, 0)) {
        here->told = place;
        here->told_ns = core->now_ns;
    }
    return 1;
}

static int read_old(core *core, ledger *here)
{
    dro_err err = DRO_OK;
    if (here->old_log == NULL) {
        err = generations_old_log(&core->generations, core->options.logs, here->old_number, &here->old_disk);
        if (err == DRO_OK)
            err = commit_log_open_old(&here->old_log, here->old_disk);
    }
    reading reading = { .core = core, .ledger = here };
    log_place place = here->next.place;
    if (err == DRO_OK)
        err = commit_log_walk(here->old_log, &place, RECORDS_STEP, on_record, &reading);
    bool is_empty = err == DRO_NOT_FOUND && here->old_log != NULL && here->next.place == 0;
    if (is_empty) {
        err = DRO_OK;
        place = 0;
    }
    if (err == DRO_NOT_FOUND && here->old_log != NULL) {
        log_is_elsewhere(core, here, here->old_log);
    } else if (err == DRO_CORRUPT && here->old_log != NULL && pass_damage(core, here, commit_log_segment_last(here->old_log), here->next.place)) {
        return 1;
    } else if (err != DRO_OK) {
        dro_error("%s: an old log cannot be read: \"%s\"", kinds[here->kind].name, dro_err_text(err));
        old_close(here);
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    } else if (place == 0 && reading.full_at == 0) { /* its end */
        walked(core, here, &reading, LEDGER_ALL_OF_IT);
        if (here->told == LEDGER_ALL_OF_IT)
            begin_next(core, here, here->old_number);
        else
            here->pause_ns = core->now_ns + FULL_MS * 1000000;
    } else {
        walked(core, here, &reading, place);
    }
    return 1;
}

static bool is_worth_reading(core *core, ledger *here, log_place end)
{
    if (here->next.place == end && (here->told == end || here->marks != NULL))
        return false;
    bool is_much = log_place_segment(end) != log_place_segment(here->next.place) || (end - here->next.place) * 8 >= WORTH_BYTES;
    if (is_much || (here->is_waiting && core->now_ns >= here->pause_ns)) {
        here->is_waiting = false;
        return true;
    }
    if (!here->is_waiting) {
        here->is_waiting = true;
        here->pause_ns = core->now_ns + WAIT_MS * 1000000;
    }
    return false;
}

static int read_on(core *core, ledger *here, log_place place, uint32_t most)
{
    reading reading = { .core = core, .ledger = here };
    dro_err err = commit_log_walk(core->log, &place, most, on_record, &reading);
    if (err == DRO_OK)
        return walked(core, here, &reading, place);
    if (err == DRO_NOT_FOUND)
        log_is_elsewhere(core, here, core->log);
    else if (err != DRO_CORRUPT || !pass_damage(core, here, commit_log_segment_last(core->log), place))
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    return 1;
}

/* Entries are few and where they lie is known: nothing else is read. */
static int read_marks(core *core, ledger *here, log_place end)
{
    enum { ENTRIES_STEP = 64 };
    int done = 0;
    for (int i = 0; i < ENTRIES_STEP && here->pause_ns <= core->now_ns; i++, done++) {
        log_place mark = mark_next(here, here->next.place);
        if (mark == 0 || mark >= end)
            break;
        if (mark != here->next.place)
            here->next.index = 0;
        read_on(core, here, here->next.place = mark, 1);
    }
    if (done > 0 || here->next.place >= end)
        return done;
    const reading nothing = { .core = core, .ledger = here };
    walked(core, here, &nothing, end);
    return 0;
}

static int read_own(core *core, ledger *here)
{
    log_place end = commit_log_end(core->log);
    if (here->marks != NULL && (here->next.place >= here->marked_from || (here->marked_from == UINT64_MAX && here->next.place >= end)))
        return read_marks(core, here, end);
    return is_worth_reading(core, here, end) ? read_on(core, here, here->next.place, RECORDS_STEP) : 0;
}

static int ledger_step(core *core, ledger *here)
{
    int work = listen_to_room(core, here);
    if (!here->is_open || here->session == 0 || core->options.no_log)
        return work;
    if (here->pause_ns > core->now_ns && !here->is_waiting)
        return work;
    work += here->old_number != 0 ? read_old(core, here) : read_own(core, here);
    ring_publish(&here->out);
    return work;
}

int ledgers_step(core *core)
{
    int work = 0;
    for (int i = 0; i < LEDGERS; i++)
        if (core->ledgers[i] != NULL)
            work += ledger_step(core, core->ledgers[i]);
    return work;
}

int64_t ledgers_due_ns(const core *core)
{
    int64_t due_ns = INT64_MAX;
    for (int i = 0; i < LEDGERS; i++) {
        const ledger *here = core->ledgers[i];
        bool is_due = here != NULL && here->is_open && here->session != 0 &&
                      (here->is_waiting || here->pause_ns > core->now_ns || here->old_number != 0);
        if (is_due && here->pause_ns < due_ns)
            due_ns = here->pause_ns;
    }
    return due_ns;
}

bool ledgers_prepare_sleep(core *core)
{
    bool is_awake = false;
    for (int i = 0; i < LEDGERS; i++)
        is_awake |= core->ledgers[i] != NULL && core->ledgers[i]->is_open && ring_prepare_sleep(&core->ledgers[i]->in);
    return is_awake;
}

void ledgers_awake(core *core)
{
    for (int i = 0; i < LEDGERS; i++)
        if (core->ledgers[i] != NULL && core->ledgers[i]->is_open)
            ring_awake(&core->ledgers[i]->in);
}

/* ---- what is held for them ---- */

uint64_t ledger_gaps(const core *core, enum ledger_kind kind)
{
    return core->ledgers[kind] == NULL ? 0 : core->ledgers[kind]->gaps;
}

uint64_t ledger_backlog(const core *core, enum ledger_kind kind)
{
    const ledger *here = core->ledgers[kind];
    if (here == NULL || core->log == NULL)
        return 0;
    log_place first = (log_place)commit_log_segment_first(core->log) << 32, end = commit_log_end(core->log);
    log_place from = here->done > first ? here->done : first;
    if (end <= from)
        return 0;
    return (uint64_t)(log_place_segment(end) - log_place_segment(from)) * segment_bytes(core) + ((end & UINT32_MAX) - (from & UINT32_MAX)) * 8;
}

uint64_t ledger_reached(const core *core, enum ledger_kind kind)
{
    if (core->ledgers[kind] == NULL || core->log == NULL)
        return UINT64_MAX;
    return ledger_backlog(core, kind) == 0 ? UINT64_MAX : core->ledgers[kind]->done;
}

static uint32_t segment_first(const core *core, const ledger *here)
{
    uint64_t backlog = here->kind == LEDGER_CHARGING ? core->options.charging.backlog_bytes : core->options.audit.backlog_bytes;
    uint32_t last = commit_log_segment_last(core->log), needed = log_place_segment(here->done);
    uint64_t most = backlog / segment_bytes(core);
    return last > most && needed < last - most ? last - (uint32_t)most : needed;
}

uint32_t ledgers_segment_first(const core *core)
{
    uint32_t first = UINT32_MAX;
    for (int i = 0; i < LEDGERS; i++) {
        uint32_t needed = core->ledgers[i] == NULL ? UINT32_MAX : segment_first(core, core->ledgers[i]);
        first = needed < first ? needed : first;
    }
    return first;
}

bool ledgers_need_old(const core *core)
{
    bool is_needed = false;
    for (int i = 0; i < LEDGERS; i++)
        is_needed |= core->ledgers[i] != NULL && !core->ledgers[i]->is_old_done;
    return is_needed;
}

/* ---- what their rooms say ---- */

const ledger_state *ledger_said(const core *core, enum ledger_kind kind)
{
    static const ledger_state nothing;
    return core->ledgers[kind] == NULL ? &nothing : &core->ledgers[kind]->room;
}

const ledger_place *ledger_places(const core *core, enum ledger_kind kind)
{
    return core->ledgers[kind] == NULL ? NULL : core->ledgers[kind]->places;
}

const ledger_file *ledger_files(const core *core, enum ledger_kind kind)
{
    return core->ledgers[kind] == NULL ? NULL : core->ledgers[kind]->files;
}

bool ledger_ask(core *core, enum ledger_kind kind, const ledger_question *question)
{
    ledger *here = core->ledgers[kind];
    if (here == NULL || !here->is_open || here->session == 0)
        return false;
    bool is_asked = ring_send(&here->out, MESSAGE_LEDGER_QUESTION, 0, here->session, question, sizeof *question);
    ring_publish(&here->out);
    return is_asked;
}
