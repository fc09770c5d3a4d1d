#include "core/charging.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/call.h"
#include "core/charge.h"
#include "core/checkpoint.h"
#include "core/counters.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "ring/charging.h"

enum {
    RECORDS_STEP = 1024,       /* read in a round */
    WORTH_BYTES = 64 * 1024,   /* durable and not read: worth reading at once, */
    WAIT_MS = 10,              /* else after so long */
    FULL_MS = 2,               /* the room's ring is full: it has no bell for us */
    DAMAGED_MS = 5000,         /* the log cannot be read: tried again then */
};
#define ALL_OF_IT UINT64_MAX   /* place of an old log that is charged to its end */

typedef struct charging {
    ring_reader in;
    ring_writer out;
    bool is_open;
    charged_message room;      /* what the room said last */
    charging_place places[CHARGING_PLACES_MAX];
    charging_file files[CHARGING_FILES_MAX];
    uint64_t session;          /* of the place below; 0: none */
    charging_place next;       /* where to go on in the log being read */
    log_place told;            /* the room knows that all before is passed */
    int64_t pause_ns;          /* nothing is read until then */
    bool is_waiting;           /* for more to read together, until pause_ns */
    log_place charged;         /* all before is in a file; 0: nothing */
    /* core 0's: logs of other numbers of cores */
    bool is_old_done;          /* all of them are charged, durably */
    uint32_t old_number;       /* the one being read; 0: the own one */
    disk *old_disk;
    commit_log *old_log;
    uint64_t gaps;
} charging;

/* One walk's. */
typedef struct reading {
    core *core;
    log_place full_at;         /* its charges did not all fit into the ring; 0: all did */
    uint32_t full_index;
} reading;

static uint64_t segment_bytes(const core *core)
{
    return core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
}

dro_err charging_init(core *core)
{
    core->charging = calloc(1, sizeof *core->charging);
    return core->charging == NULL ? DRO_NOMEM : DRO_OK;
}

static void old_close(charging *here)
{
    commit_log_close(here->old_log);
    if (here->old_disk != NULL)
        here->old_disk->free(here->old_disk);
    here->old_log = NULL;
    here->old_disk = NULL;
}

void charging_fini(core *core)
{
    if (core->charging != NULL)
        old_close(core->charging);
    free(core->charging);
    core->charging = NULL;
}

void core_charging_attach(core *core, ring_reader in, ring_writer out)
{
    charging *here = core->charging;
    if (here == NULL)
        return;
    here->in = in;
    here->out = out;
    here->is_open = true;
    here->session = 0;
}

void core_charging_lost(core *core)
{
    if (core->charging == NULL)
        return;
    core->charging->is_open = false;
    core->charging->session = 0;
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
static const charging_place *place_of(const charging *here, uint32_t generation, uint32_t of)
{
    for (uint32_t i = 0; i < here->room.place_count; i++)
        if (here->places[i].generation == generation && here->places[i].core == of)
            return &here->places[i];
    return NULL;
}

static void begin_log(core *core, uint32_t generation, uint32_t of)
{
    charging *here = core->charging;
    const charging_place *place = place_of(here, generation, of);
    here->next = place != NULL ? *place : (charging_place){ .generation = generation, .core = of };
    here->told = here->next.place;
    here->is_waiting = false;
    here->pause_ns = 0;
}

/* The next old log that is not charged; the own one behind them. */
static void begin_next(core *core, uint32_t after)
{
    charging *here = core->charging;
    uint32_t number = after, generation, of;
    old_close(here);
    while (old_log_of(core, ++number, &generation, &of)) {
        const charging_place *place = place_of(here, generation, of);
        if (place != NULL && place->place == ALL_OF_IT)
            continue;
        here->old_number = number;
        begin_log(core, generation, of);
        return;
    }
    here->old_number = 0;
    begin_log(core, generation_newest(&core->generations)->number, core->index);
}

static bool old_are_charged(const core *core)
{
    uint32_t generation, of;
    for (uint32_t number = 1; old_log_of(core, number, &generation, &of); number++) {
        const charging_place *place = place_of(core->charging, generation, of);
        if (place == NULL || place->place != ALL_OF_IT)
            return false;
    }
    return true;
}

/* ---- what the room says ---- */

static void room_says(core *core, const uint8_t *body, size_t length)
{
    charging *here = core->charging;
    charged_message message;
    if (length < sizeof message)
        return;
    memcpy(&message, body, sizeof message);
    message.error[sizeof message.error - 1] = '\0';
    size_t places = message.place_count * sizeof here->places[0], files = message.file_count * sizeof here->files[0];
    if (message.place_count > CHARGING_PLACES_MAX || message.file_count > CHARGING_FILES_MAX || length < sizeof message + places + files)
        return;
    here->room = message;
    memcpy(here->places, body + sizeof message, places);
    memcpy(here->files, body + sizeof message + places, files);
    const charging_place *own = place_of(here, generation_newest(&core->generations)->number, core->index);
    if (own != NULL)
        here->charged = own->place;
    here->is_old_done = message.session != 0 && old_are_charged(core);
    if (message.session == here->session)
        return;
    here->session = message.session;
    if (here->session != 0)
        begin_next(core, 0);
}

static int listen_to_room(core *core)
{
    charging *here = core->charging;
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    int count = 0;
    for (; here->is_open && (body = ring_next(&here->in, &header, &err)) != NULL; count++) {
        if (header.type == MESSAGE_CHARGED)
            room_says(core, body, header.length - sizeof header);
        ring_done(&here->in, &header);
    }
    if (here->is_open)
        ring_release(&here->in);
    if (err != DRO_OK) {
        dro_error("charging: its room broke the ring");
        core_charging_lost(core);
    }
    return count;
}

/* ---- reading ---- */

static bool send(charging *here, const charging_place *place, int64_t time_ms, const uint8_t *charge, size_t length)
{
    uint8_t *room = ring_reserve(&here->out, (uint32_t)(sizeof(charge_message) + length));
    charge_message message = { .place = *place, .time_ms = time_ms, .length = (uint32_t)length };
    if (room == NULL)
        return false;
    memcpy(room, &message, sizeof message);
    if (length > 0)
        memcpy(room + sizeof message, charge, length);
    ring_commit(&here->out, MESSAGE_CHARGE, RING_WIPE, here->session, (uint32_t)(sizeof message + length));
    return true;
}

/* The charges of one record. False: the ring is full. */
static bool send_all(reading *reading, log_place place, const record_view *view)
{
    charging *here = reading->core->charging;
    charging_place at = here->next;
    dro_cursor in = dro_cursor_over(view->fields, view->fields_length);
    dro_field field;
    uint32_t skipped = at.place == place ? at.index : 0;
    at.place = place;
    at.index = 0;
    while (dro_field_next(&in, &field)) {
        if (field.tag != FIELD_CHARGE)
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
    if (!record_has_charges(bytes, length))
        return true;
    dro_err err = record_open(reading->core, bytes, length, reading->core->log_scratch, &view);
    if (err == DRO_OK)
        goes_on = send_all(reading, place, &view);
    else
        dro_error("charging: a record of the log cannot be opened: \"%s\"; its charges are passed over", dro_err_text(err));
    record_close(&view);
    return goes_on;
}

/* What lies between is charged to nobody: a line says so. False: the ring is full. */
static bool pass_gap(core *core, log_place to)
{
    charging *here = core->charging;
    uint8_t bytes[128];
    char first[24], behind[24];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    charging_place at = here->next;
    snprintf(first, sizeof first, "%016" PRIx64, here->next.place);
    snprintf(behind, sizeof behind, "%016" PRIx64, to);
    dro_builder_le(&out, CHARGE_GAP, 1);
    dro_field_put_text(&out, CHARGE_FROM, first);
    dro_field_put_text(&out, CHARGE_TO, behind);
    at.place = to;
    at.index = 0;
    if (!send(here, &at, core->now_ms, bytes, dro_builder_length(&out)))
        return false;
    dro_error("charging: log %" PRIu32 ".%" PRIu32 " from %s to %s cannot be read: its charges, if any, are lost; a record of type Gap says so",
              at.generation, at.core, first, behind);
    here->gaps++;
    here->next.place = to;
    here->next.index = 1;
    return true;
}

/* The place to go on at is not in the log: it was dropped, or the log is an older one than that which was charged. */
static void log_is_elsewhere(core *core, commit_log *log)
{
    charging *here = core->charging;
    log_place first = (log_place)commit_log_segment_first(log) << 32;
    log_place to = here->next.place < first || here->old_number != 0 ? first : commit_log_end(log);
    if (to == here->next.place)
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    else if (!pass_gap(core, to))
        here->pause_ns = core->now_ns + FULL_MS * 1000000;
}

/* The record at `place` is damaged: what comes in its segment cannot be found behind it. False: it is the last segment, or the ring is full. */
static bool pass_damage(core *core, uint32_t last, log_place place)
{
    charging *here = core->charging;
    if (log_place_segment(place) >= last || place < here->next.place)
        return false;
    here->next.place = place;
    return pass_gap(core, (log_place)(log_place_segment(place) + 1) << 32);
}

/* Up to where the walk came. */
static int walked(core *core, const reading *reading, log_place place)
{
    charging *here = core->charging;
    if (reading->full_at != 0) {
        here->next.place = reading->full_at;
        here->next.index = reading->full_index;
        here->pause_ns = core->now_ns + FULL_MS * 1000000;
        return 1;
    }
    here->next.place = place;
    here->next.index = 0;
    if (here->told != place && send(here, &here->next, 0, NULL, 0))
        here->told = place;
    return 1;
}

static int read_old(core *core)
{
    charging *here = core->charging;
    dro_err err = DRO_OK;
    if (here->old_log == NULL) {
        err = generations_old_log(&core->generations, core->options.logs, here->old_number, &here->old_disk);
        if (err == DRO_OK)
            err = commit_log_open_old(&here->old_log, here->old_disk);
    }
    reading reading = { .core = core };
    log_place place = here->next.place;
    if (err == DRO_OK)
        err = commit_log_walk(here->old_log, &place, RECORDS_STEP, on_record, &reading);
    bool is_empty = err == DRO_NOT_FOUND && here->old_log != NULL && here->next.place == 0;
    if (is_empty) {
        err = DRO_OK;
        place = 0;
    }
    if (err == DRO_NOT_FOUND && here->old_log != NULL) {
        log_is_elsewhere(core, here->old_log);
    } else if (err == DRO_CORRUPT && here->old_log != NULL && pass_damage(core, commit_log_segment_last(here->old_log), here->next.place)) {
        return 1;
    } else if (err != DRO_OK) {
        dro_error("charging: an old log cannot be read: \"%s\"", dro_err_text(err));
        old_close(here);
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    } else if (place == 0 && reading.full_at == 0) { /* its end */
        walked(core, &reading, ALL_OF_IT);
        if (here->told == ALL_OF_IT)
            begin_next(core, here->old_number);
        else
            here->pause_ns = core->now_ns + FULL_MS * 1000000;
    } else {
        walked(core, &reading, place);
    }
    return 1;
}

static bool is_worth_reading(core *core, log_place end)
{
    charging *here = core->charging;
    if (here->next.place == end && here->told == end)
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

static int read_own(core *core)
{
    charging *here = core->charging;
    if (!is_worth_reading(core, commit_log_end(core->log)))
        return 0;
    reading reading = { .core = core };
    log_place place = here->next.place;
    dro_err err = commit_log_walk(core->log, &place, RECORDS_STEP, on_record, &reading);
    if (err == DRO_OK)
        return walked(core, &reading, place);
    if (err == DRO_NOT_FOUND)
        log_is_elsewhere(core, core->log);
    else if (err != DRO_CORRUPT || !pass_damage(core, commit_log_segment_last(core->log), place))
        here->pause_ns = core->now_ns + DAMAGED_MS * 1000000ll;
    return 1;
}

int charging_step(core *core)
{
    charging *here = core->charging;
    int work = listen_to_room(core);
    if (!here->is_open || here->session == 0 || core->options.no_log)
        return work;
    if (here->pause_ns > core->now_ns && !here->is_waiting)
        return work;
    work += here->old_number != 0 ? read_old(core) : read_own(core);
    ring_publish(&here->out);
    return work;
}

int64_t charging_due_ns(const core *core)
{
    const charging *here = core->charging;
    bool is_due = here->is_open && here->session != 0 && (here->is_waiting || here->pause_ns > core->now_ns || here->old_number != 0);
    return is_due ? here->pause_ns : INT64_MAX;
}

bool charging_prepare_sleep(core *core)
{
    return core->charging->is_open && ring_prepare_sleep(&core->charging->in);
}

void charging_awake(core *core)
{
    if (core->charging->is_open)
        ring_awake(&core->charging->in);
}

/* ---- what is held for it ---- */

uint64_t charging_gaps(const core *core)
{
    return core->charging == NULL ? 0 : core->charging->gaps;
}

uint64_t charging_backlog(const core *core)
{
    const charging *here = core->charging;
    if (here == NULL || core->log == NULL)
        return 0;
    log_place first = (log_place)commit_log_segment_first(core->log) << 32, end = commit_log_end(core->log);
    log_place from = here->charged > first ? here->charged : first;
    if (end <= from)
        return 0;
    return (uint64_t)(log_place_segment(end) - log_place_segment(from)) * segment_bytes(core) + ((end & UINT32_MAX) - (from & UINT32_MAX)) * 8;
}

uint64_t charging_reached(const core *core)
{
    if (core->charging == NULL || core->log == NULL)
        return UINT64_MAX;
    return charging_backlog(core) == 0 ? UINT64_MAX : core->charging->charged;
}

uint32_t charging_segment_first(const core *core)
{
    if (core->charging == NULL)
        return UINT32_MAX;
    uint32_t last = commit_log_segment_last(core->log), needed = log_place_segment(core->charging->charged);
    uint64_t most = core->options.charging.backlog_bytes / segment_bytes(core);
    return last > most && needed < last - most ? last - (uint32_t)most : needed;
}

bool charging_needs_old(const core *core)
{
    return core->charging != NULL && !core->charging->is_old_done;
}

/* ---- shown ---- */

static void files_json(const charging *here, dro_builder *out)
{
    dro_builder_text(out, ",\"files\":[");
    for (uint32_t i = 0; i < here->room.file_count; i++) {
        dro_builder_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_text(out, here->files[i].name, strnlen(here->files[i].name, sizeof here->files[i].name));
        json_put(out, ",\"bytes\":%llu}", (unsigned long long)here->files[i].bytes);
    }
    dro_builder_text(out, "]");
}

static void places_json(const charging *here, dro_builder *out)
{
    dro_builder_text(out, ",\"logs\":[");
    for (uint32_t i = 0; i < here->room.place_count; i++) {
        const charging_place *place = &here->places[i];
        json_put(out, "%s{\"log\":\"%u.%u\",\"place\":", i > 0 ? "," : "", place->generation, place->core);
        if (place->place == ALL_OF_IT)
            dro_builder_text(out, "\"end\"}");
        else
            json_put(out, "\"%016llx\",\"index\":%u}", (unsigned long long)place->place, place->index);
    }
    dro_builder_text(out, "]");
}

/* GET /v1/charging, of core 0. */
void api_charging_get(core *core, const call *call)
{
    const charging *here = core->charging;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    if (here == NULL) {
        dro_builder_text(&out, "{\"enabled\":false}");
        call_reply(core, call, 200, UINT64_MAX, NULL, &out);
        return;
    }
    json_put(&out, "{\"enabled\":true,\"state\":\"%s\",\"backlog_bytes\":%llu,\"gaps\":%llu,\"failures\":%llu",
             here->session != 0 ? "writing" : here->room.error[0] != '\0' ? "failed" : "starting",
             (unsigned long long)core_count_all(core, COUNT_CHARGING_BACKLOG), (unsigned long long)core_count_all(core, COUNT_CHARGING_GAPS),
             (unsigned long long)here->room.failures);
    if (here->room.error[0] != '\0') {
        dro_builder_text(&out, ",\"error\":");
        json_string(&out, here->room.error);
    }
    if (here->session != 0) {
        json_put(&out, ",\"series\":\"%016llx\",\"records\":%llu,\"open\":{\"number\":%llu,\"bytes\":%llu,\"since\":",
                 (unsigned long long)here->room.series, (unsigned long long)here->room.sequence - 1, (unsigned long long)here->room.number,
                 (unsigned long long)here->room.length);
        if (here->room.length > 0)
            json_time(&out, here->room.opened_ms);
        else
            dro_builder_text(&out, "null");
        dro_builder_text(&out, "}");
        places_json(here, &out);
        files_json(here, &out);
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void charging_metrics(const core *core, dro_builder *out)
{
    static const charging off;
    const charging *here = core->charging == NULL ? &off : core->charging;
    const struct { const char *name, *kind, *help; uint64_t value; } rows[] = {
        { "dromio_charging_is_writing", "gauge", "1: the charging files can be written.", here->session != 0 },
        { "dromio_charging_records_total", "counter", "Charging records in files, of all starts.", here->room.sequence > 0 ? here->room.sequence - 1 : 0 },
        { "dromio_charging_files_total", "counter", "Charging files closed, of all starts.", here->room.number > 0 ? here->room.number - 1 : 0 },
        { "dromio_charging_failures_total", "counter", "Times the charging files could not be written.", here->room.failures },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name,
                 (unsigned long long)rows[i].value);
}
