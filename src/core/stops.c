#include "core/stops.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/audit.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/images.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"

static const char *const kinds[STOP_KINDS] = { "code", "domain", "image", "application" };

void stop_image_subject(const uint8_t digest[32], char out[65])
{
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* ---- the table ---- */

static uint32_t place_of(const core *core, uint8_t kind, const char *subject)
{
    for (uint32_t i = 0; i < core->stops.count; i++)
        if (core->stops.list[i].kind == kind && strcmp(core->stops.list[i].subject, subject) == 0)
            return i;
    return NONE;
}

const stop *stop_find(const core *core, uint8_t kind, const char *subject)
{
    uint32_t place = place_of(core, kind, subject);
    return place == NONE ? NULL : &core->stops.list[place];
}

const stop *stop_of_image(const core *core, uint32_t image)
{
    char subject[65];
    if (image == NONE || !core->images[image].is_stopped)
        return NULL;
    stop_image_subject(core->images[image].digest, subject);
    return stop_find(core, STOP_IMAGE, subject);
}

static dro_err row_add(core *core, const stop *row)
{
    if (core->stops.list == NULL && (core->stops.list = calloc(STOPS_MAX, sizeof *core->stops.list)) == NULL)
        return DRO_NOMEM;
    if (core->stops.count == STOPS_MAX)
        return DRO_LIMIT;
    core->stops.list[core->stops.count++] = *row;
    return DRO_OK;
}

void stops_write(const core *core, dro_builder *out)
{
    for (uint32_t i = 0; i < core->stops.count; i++) {
        const stop *row = &core->stops.list[i];
        uint8_t part[16 + STOP_SUBJECT_MAX + STOP_REASON_MAX];
        dro_builder inner = dro_builder_over(part, sizeof part);
        dro_builder_le(&inner, row->kind, 1);
        dro_builder_le(&inner, row->is_automatic, 1);
        dro_builder_le(&inner, (uint64_t)row->since_ms, 8);
        dro_builder_le(&inner, strlen(row->subject), 1);
        dro_builder_text(&inner, row->subject);
        dro_builder_text(&inner, row->reason);
        dro_field_put(out, HOST_STOP, part, dro_builder_length(&inner));
    }
}

static_assert(STOP_SUBJECT_MAX == UINT8_MAX, "its length is a byte");

dro_err stop_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    stop row = { .kind = (uint8_t)dro_cursor_le(&in, 1) };
    row.is_automatic = dro_cursor_le(&in, 1) != 0;
    row.since_ms = (int64_t)dro_cursor_le(&in, 8);
    size_t length = dro_cursor_le(&in, 1); /* at most STOP_SUBJECT_MAX */
    const uint8_t *subject = dro_cursor_bytes(&in, length);
    size_t rest = dro_cursor_left(&in);
    if (in.err != DRO_OK || row.kind >= STOP_KINDS || rest > STOP_REASON_MAX)
        return DRO_CORRUPT;
    memcpy(row.subject, subject, length);
    memcpy(row.reason, in.at, rest);
    return row_add(core, &row);
}

void stops_forget(core *core)
{
    core->stops.count = 0;
}

void stops_free(core *core)
{
    free(core->stops.list);
    core->stops = (stop_table){ 0 };
}

/* ---- what they do ---- */

/* Its timers stood still, and its downlinks. */
static void twins_go_on(core *core)
{
    for (uint32_t i = 0; i < core->twin_high; i++) {
        if (twin_at(core, i)->number == 0 || twin_at(core, i)->extra == NULL)
            continue;
        if ((twin_at(core, i)->flags & TWIN_RUNNING) == 0)
            mailbox_flush(core, i);
        if (timers_update(core, i) != DRO_OK)
            dro_error("timers: out of memory");
    }
}

/* True: a stop of it has ended. */
static bool mark(bool *is_stopped, bool now)
{
    bool has_ended = *is_stopped && !now;
    *is_stopped = now;
    return has_ended;
}

static bool mark_applications(core *core)
{
    bool has_ended = false;
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++) {
        application *application = &core->applications[i];
        if (application->id == NULL)
            continue;
        bool was = application->is_stopped;
        has_ended |= mark(&application->is_stopped, stop_find(core, STOP_APPLICATION, application->id) != NULL);
        if (core->index == 0 && core->is_started && was != application->is_stopped)
            credentials_send(core, NONE, application, application->is_stopped);
    }
    return has_ended;
}

static bool mark_all(core *core)
{
    char subject[65];
    bool has_ended = mark(&core->stops.has_code, stop_find(core, STOP_CODE, "") != NULL);
    for (uint32_t i = 1; i < core->domain_count; i++)
        has_ended |= mark(&core->domains[i].is_stopped, stop_find(core, STOP_DOMAIN, core->domains[i].name) != NULL);
    for (uint32_t i = 0; i < core->image_count; i++) {
        if (core->images[i].table == NONE)
            continue;
        stop_image_subject(core->images[i].digest, subject);
        if (!mark(&core->images[i].is_stopped, stop_find(core, STOP_IMAGE, subject) != NULL))
            continue;
        has_ended = true;
        if (core->index == 0)
            conduct_forgive(core, i);
    }
    return mark_applications(core) || has_ended;
}

/* A follower's applications are read anew with each table: that theirs have ended shows by the count. */
void stops_settle(core *core)
{
    uint32_t told = core->stops.told;
    if (core->stops.count == 0 && !core->stops.has_any)
        return;
    bool has_ended = mark_all(core) || core->stops.count < told;
    core->stops.told = core->stops.count;
    core->stops.has_any = core->stops.count > 0;
    if (!core->is_started)
        return;
    turns_stop(core);
    if (has_ended) {
        twins_go_on(core);
        destinations_go_on(core);
    }
    if (core->index == 0)
        stops_send(core, NONE);
}

static dro_err keep(core *core)
{
    dro_err err = host_keep(core);
    if (err != DRO_OK)
        return err;
    stops_settle(core);
    follow_wake(core);
    return DRO_OK;
}

dro_err stop_begin(core *core, uint8_t kind, const char *subject, const char *reason, bool is_automatic)
{
    assert(core->index == 0 && kind < STOP_KINDS);
    if (stop_find(core, kind, subject) != NULL)
        return DRO_EXISTS;
    stop row = { .kind = kind, .is_automatic = is_automatic, .since_ms = core->now_ms };
    if (strlen(subject) > STOP_SUBJECT_MAX)
        return DRO_NOT_FOUND;
    snprintf(row.subject, sizeof row.subject, "%s", subject);
    snprintf(row.reason, sizeof row.reason, "%s", reason);
    dro_err err = row_add(core, &row);
    if (err == DRO_OK && is_automatic)
        audit_owe(core, AUDIT_IMAGE_QUARANTINED, subject, reason);
    if (err == DRO_OK && (err = keep(core)) != DRO_OK)
        core->stops.count--;
    if (err == DRO_OK)
        dro_warn("stopped: %s %s reason=\"%s\"", kinds[kind], subject, reason);
    return err;
}

dro_err stop_end(core *core, uint8_t kind, const char *subject)
{
    assert(core->index == 0 && kind < STOP_KINDS);
    stop_gone gone = stop_drop(core, kind, subject);
    if (gone.place == NONE)
        return DRO_NOT_FOUND;
    dro_err err = keep(core);
    if (err != DRO_OK) {
        stop_put_back(core, &gone);
        return err;
    }
    dro_warn("goes on: %s %s", kinds[kind], subject);
    return DRO_OK;
}

stop_gone stop_drop(core *core, uint8_t kind, const char *subject)
{
    stop_gone gone = { .place = place_of(core, kind, subject) };
    stop *list = core->stops.list;
    if (gone.place == NONE)
        return gone;
    gone.row = list[gone.place];
    core->stops.count--;
    memmove(&list[gone.place], &list[gone.place + 1], (core->stops.count - gone.place) * sizeof *list);
    return gone;
}

void stop_put_back(core *core, const stop_gone *gone)
{
    stop *list = core->stops.list;
    if (gone->place == NONE)
        return;
    memmove(&list[gone->place + 1], &list[gone->place], (core->stops.count - gone->place) * sizeof *list);
    list[gone->place] = gone->row;
    core->stops.count++;
}

bool stop_holds_twin(const core *core, uint32_t index)
{
    return core->stops.has_any && core->domains[twin_at(core, index)->domain].is_stopped;
}

/* ---- what is shown ---- */

void stops_send(core *core, uint32_t gate)
{
    stop_news news = { 0 };
    for (uint32_t i = 0; i < core->stops.count; i++)
        news.kinds |= 1u << core->stops.list[i].kind;
    gates_tell(core, gate, MESSAGE_STOPS, &news, sizeof news);
}

void stops_metrics(const core *core, dro_builder *out)
{
    static const char name[] = "dromio_stops";
    uint32_t counts[STOP_KINDS] = { 0 };
    for (uint32_t i = 0; i < core->stops.count; i++)
        counts[core->stops.list[i].kind]++;
    json_put(out, "# HELP %s What is stopped.\n# TYPE %s gauge\n", name, name);
    for (int i = 0; i < STOP_KINDS; i++)
        json_put(out, "%s{kind=\"%s\"} %u\n", name, kinds[i], counts[i]);
}

void stops_put(const core *core, uint32_t most, dro_builder *out)
{
    dro_builder_text(out, "[");
    for (uint32_t i = 0; i < core->stops.count && i < most; i++) {
        const stop *row = &core->stops.list[i];
        json_put(out, "%s{\"stop\":\"%s\"", i > 0 ? "," : "", kinds[row->kind]);
        if (row->kind != STOP_CODE) {
            json_put(out, ",\"%s\":", kinds[row->kind]);
            if (row->kind == STOP_IMAGE)
                json_put(out, "\"sha256:%s\"", row->subject);
            else
                json_string(out, row->subject);
        }
        dro_builder_text(out, ",\"reason\":");
        json_string(out, row->reason);
        json_put(out, ",\"by\":\"%s\",\"since\":", row->is_automatic ? "host" : "operator");
        json_time(out, row->since_ms);
        dro_builder_text(out, "}");
    }
    dro_builder_text(out, "]");
}
