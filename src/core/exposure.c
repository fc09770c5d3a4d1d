#include "core/exposure.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/call.h"
#include "core/charge.h"
#include "core/charge_owed.h"
#include "core/farewell.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "core/usage.h"

enum { HEAD = 8 + 4 + 4 + 8 + 8 + 4 + 1 + 1, REFERENCE_BITS = 19, REFERENCE_STEP = 40503 /* of a start: far from those of the last */ };

/* ---- finding ---- */

exposure *exposure_of(const twin *twin, uint64_t number)
{
    exposure *found = twin->nidd == NULL ? NULL : twin->nidd->exposures;
    while (found != NULL && found->number != number)
        found = found->next;
    return found;
}

static uint64_t number_hash(const core *core, uint64_t number)
{
    return dro_hash_mix(number, core->hash_key);
}

exposure *exposure_of_group(const core *core, uint64_t number)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->number == number)
            return core->exposures.of_groups[i];
    return NULL;
}

exposure *exposure_find(core *core, uint64_t number, uint32_t *index)
{
    *index = NONE;
    if (group_number_is(number))
        return exposure_of_group(core, number);
    index_probe probe = index_begin(number_hash(core, number));
    while (index_next(&core->exposures.numbers, &probe, index)) {
        exposure *found = exposure_of(twin_at(core, *index), number);
        if (found != NULL)
            return found;
    }
    *index = NONE;
    return NULL;
}

static exposure *of_group_by_reference(const core *core, uint32_t reference)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && core->exposures.of_groups[i]->reference == reference)
            return core->exposures.of_groups[i];
    return NULL;
}

exposure *exposure_find_reference(core *core, uint32_t reference, uint32_t *index)
{
    *index = NONE;
    if (exposure_reference_is_of_group(reference))
        return of_group_by_reference(core, reference);
    index_probe probe = index_begin(number_hash(core, reference));
    while (index_next(&core->exposures.references, &probe, index)) {
        const nidd *nidd = twin_at(core, *index)->nidd;
        for (exposure *e = nidd == NULL ? NULL : nidd->exposures; e != NULL; e = e->next)
            if (e->reference == reference)
                return e;
    }
    *index = NONE;
    return NULL;
}

static bool is_there(core *core, uint64_t number, uint32_t application)
{
    uint32_t ignored;
    const exposure *found = exposure_find(core, number, &ignored);
    return found != NULL && found->application == application;
}

uint64_t exposure_number_new(core *core, const twin *twin)
{
    return nidd_number_next(core, twin);
}

uint32_t exposure_reference_new(core *core, const twin *twin)
{
    uint32_t high = twin == NULL ? 1u << REFERENCE_BITS : (uint32_t)(twin->number >> 52) << 20, reference, ignored;
    do
        reference = high | (++core->exposures.reference_next & ((1u << REFERENCE_BITS) - 1));
    while (reference == 0 || exposure_find_reference(core, reference, &ignored) != NULL || schedule_find(core, reference) != NONE ||
           farewell_has(core, reference));
    return reference;
}

static bool has_bytes(uint32_t used)
{
    return used + T8_FIELDS_MAX <= TWIN_EXPOSURE_BYTES;
}

bool exposure_has_room(const twin *twin)
{
    return twin->nidd == NULL || (twin->nidd->exposure_count < TWIN_EXPOSURES_MAX && has_bytes(twin->nidd->exposure_bytes));
}

bool exposure_may_change(const twin *twin, const exposure *old)
{
    return has_bytes(twin->nidd->exposure_bytes - old->length);
}

/* ---- in records ---- */

void exposure_put(core *core, const exposure *head, const uint8_t *fields, size_t length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, head->number, 8);
    dro_builder_le(part, head->reference, 4);
    dro_builder_le(part, head->application, 4);
    dro_builder_le(part, (uint64_t)head->made_ms, 8);
    dro_builder_le(part, (uint64_t)head->until_ms, 8);
    dro_builder_le(part, head->reports, 4);
    dro_builder_le(part, head->kind, 1);
    dro_builder_le(part, head->status, 1);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_EXPOSURE);
}

/* The same with another head; what it points at goes when it is put. */
static void put_again(core *core, const exposure *head, const exposure *old)
{
    uint8_t fields[T8_FIELDS_MAX];
    size_t length = old->length;
    memcpy(fields, old->fields, length);
    exposure_put(core, head, fields, length);
}

void exposure_status_put(core *core, exposure *changed, exposure_status status)
{
    exposure head = *changed;
    head.status = (uint8_t)status;
    put_again(core, &head, changed);
}

void exposure_count_put(core *core, exposure *changed, uint32_t reports)
{
    exposure head = *changed;
    head.reports = reports;
    put_again(core, &head, changed);
}

/* What waits to be told of it, in the record. */
static void notices_drop(core *core, const twin *twin, uint64_t number)
{
    for (const notice *n = twin->nidd->notices; n != NULL;) {
        const notice *next = n->next;
        uint64_t gone = n->number;
        if (n->configuration == number)
            record_put(core, FIELD_NOTICE_GONE, &gone, 8);
        n = next;
    }
}

void exposure_gone(core *core, uint32_t index, uint64_t number)
{
    notices_drop(core, twin_at(core, index), number);
    record_put(core, FIELD_EXPOSURE_GONE, &number, 8);
}

static bool has_notices(const twin *twin, uint64_t number)
{
    const notice *n = twin->nidd->notices;
    while (n != NULL && n->configuration != number)
        n = n->next;
    return n != NULL;
}

void exposure_charge(core *core, uint32_t index, const exposure *of, const char *result)
{
    bool is_monitoring = of->kind == EXPOSURE_MONITORING;
    if (!charging_is_on(core) || of->kind == EXPOSURE_TRIGGER || of->status != EXPOSURE_ACTIVE || of->application == 0)
        return;
    const char *event = is_monitoring ? monitoring_type_text(of) : exposure_classes[of->kind]->api->path;
    enum charge_kind kind = is_monitoring ? CHARGE_CONFIGURATION : CHARGE_PARAMETERS;
    if (index == NONE)
        charge_owed_put(core, (uint8_t)kind, of, event, result);
    else
        charge_exposure_put(core, index, kind, of, event, result);
}

void exposure_over(core *core, uint32_t index, exposure *ended, const char *why)
{
    uint64_t number = ended->number;
    exposure_charge(core, index, ended, why);
    if (has_notices(twin_at(core, index), number))
        exposure_status_put(core, ended, EXPOSURE_OVER);
    else
        record_put(core, FIELD_EXPOSURE_GONE, &number, 8);
}

void exposure_notice(core *core, uint32_t index, const exposure *of, const uint8_t *fields, size_t length)
{
    uint8_t bytes[T8_FIELDS_MAX + 16], kind = of->kind;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (of->destination == NONE || !application_may(core, of->application, t8_apis[of->kind]->scope, twin_at(core, index)->domain))
        return;
    dro_field_put(&out, API_FIELD_EXPOSURE, &kind, 1);
    dro_field_put(&out, API_FIELD_RESOURCE, fields, length);
    if (out.err == DRO_OK)
        notice_put_of(core, index, of->number, NOTICE_EXPOSURE, bytes, dro_builder_length(&out));
    else
        core->counters.notices_dropped++;
}

void exposure_notice_gone(core *core, uint32_t index, uint64_t number)
{
    const exposure *of = exposure_of(twin_at(core, index), number);
    if (of != NULL && of->status == EXPOSURE_OVER && !has_notices(twin_at(core, index), number))
        record_put(core, FIELD_EXPOSURE_GONE, &number, 8);
}

void exposure_put_subject(dro_builder *out, const uint8_t *fields, size_t length)
{
    static const struct { uint8_t tag, as; } subjects[] = {
        { T8_FIELD_ID, API_FIELD_ID }, { T8_FIELD_MSISDN, API_FIELD_MSISDN }, { T8_FIELD_GROUP, API_FIELD_ID },
    };
    dro_field room;
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        const dro_field *name = t8_find(fields, length, subjects[i].tag, &room);
        if (name == NULL)
            continue;
        dro_field_put(out, subjects[i].as, name->bytes, name->length);
        return;
    }
}

/* ---- applied ---- */

static void exposure_free(core *core, uint32_t index, exposure *gone)
{
    index_remove(&core->exposures.numbers, number_hash(core, gone->number), index);
    if (gone->reference != 0)
        index_remove(&core->exposures.references, number_hash(core, gone->reference), index);
    if (gone->destination != NONE)
        destination_release(core, gone->destination);
    if (gone->application != 0) {
        usage_configuration(core, gone->application, -1);
        owner_remove(&core->exposures.owners[gone->kind], gone->application);
    }
    core->exposures.count--;
    free(gone);
}

static void remove_from(core *core, uint32_t index, uint64_t number)
{
    nidd *nidd = twin_at(core, index)->nidd;
    for (exposure **at = nidd == NULL ? NULL : &nidd->exposures; at != NULL && *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        exposure *gone = *at;
        *at = gone->next;
        nidd->exposure_count--;
        nidd->exposure_bytes -= gone->length;
        exposure_free(core, index, gone);
        return;
    }
}

uint32_t exposure_field_kind(const dro_field *field)
{
    enum { KIND_AT = HEAD - 2 };
    return field->length >= HEAD && field->bytes[KIND_AT] < EXPOSURE_KINDS ? field->bytes[KIND_AT] : EXPOSURE_KINDS;
}

dro_err exposure_head_read(dro_cursor *in, exposure *head)
{
    *head = (exposure){ .number = dro_cursor_le(in, 8), .destination = NONE, .retry_ms = INT64_MAX };
    head->reference = (uint32_t)dro_cursor_le(in, 4);
    head->application = (uint32_t)dro_cursor_le(in, 4);
    head->made_ms = (int64_t)dro_cursor_le(in, 8);
    head->until_ms = (int64_t)dro_cursor_le(in, 8);
    head->reports = (uint32_t)dro_cursor_le(in, 4);
    head->kind = (uint8_t)dro_cursor_le(in, 1);
    head->status = (uint8_t)dro_cursor_le(in, 1);
    bool is_good = in->err == DRO_OK && head->kind < EXPOSURE_KINDS && head->status < EXPOSURE_STATUSES && dro_cursor_left(in) <= T8_FIELDS_MAX;
    head->length = is_good ? (uint16_t)dro_cursor_left(in) : 0;
    return is_good ? DRO_OK : DRO_MALFORMED;
}

static dro_err exposure_read(core *core, dro_cursor *in, exposure **out)
{
    dro_field room;
    exposure head;
    dro_err bad = exposure_head_read(in, &head);
    if (bad != DRO_OK)
        return bad;
    if (head.status == EXPOSURE_ENDING || head.status == EXPOSURE_MAKING)
        head.retry_ms = 0;
    dro_err err = t8_find(in->at, head.length, T8_FIELD_DESTINATION, &room) == NULL ? DRO_OK
                : destination_of_fields(core, head.number, in->at, head.length, &head.destination);
    exposure *made = err != DRO_OK ? NULL : malloc(sizeof *made + head.length);
    if (made == NULL) {
        if (head.destination != NONE)
            destination_release(core, head.destination);
        return err != DRO_OK ? err : DRO_NOMEM;
    }
    *made = head;
    memcpy(made->fields, in->at, head.length);
    *out = made;
    return DRO_OK;
}

/* In the ways to it; on a failure in none. */
static dro_err enter(core *core, uint32_t index, const exposure *made)
{
    dro_err err = made->application == 0 ? DRO_OK : owner_add(core, &core->exposures.owners[made->kind], made->application, made->number);
    if (err != DRO_OK)
        return err;
    err = index_add(&core->exposures.numbers, number_hash(core, made->number), index);
    if (err == DRO_OK && made->reference != 0 && (err = index_add(&core->exposures.references, number_hash(core, made->reference), index)) != DRO_OK)
        index_remove(&core->exposures.numbers, number_hash(core, made->number), index);
    if (err != DRO_OK && made->application != 0)
        owner_remove(&core->exposures.owners[made->kind], made->application);
    return err;
}

static dro_err exposure_apply_new(core *core, uint32_t index, dro_cursor *in)
{
    nidd *nidd = nidd_get(twin_at(core, index));
    exposure *made = NULL;
    dro_err err = nidd == NULL ? DRO_NOMEM : exposure_read(core, in, &made);
    if (err != DRO_OK)
        return err;
    remove_from(core, index, made->number); /* it was changed */
    err = nidd->exposure_count >= TWIN_EXPOSURES_MAX ? DRO_LIMIT : enter(core, index, made);
    if (err != DRO_OK) {
        if (made->destination != NONE)
            destination_release(core, made->destination);
        free(made);
        return err;
    }
    exposure **at = &nidd->exposures;
    while (*at != NULL && (*at)->number < made->number)
        at = &(*at)->next;
    made->next = *at;
    *at = made;
    nidd->exposure_count++;
    nidd->exposure_bytes += made->length;
    core->exposures.count++;
    if (made->application != 0)
        usage_configuration(core, made->application, 1);
    return DRO_OK;
}

dro_err exposure_apply(core *core, uint32_t index, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->tag == FIELD_EXPOSURE)
        return exposure_apply_new(core, index, &in);
    remove_from(core, index, dro_cursor_le(&in, 8));
    return in.err;
}

void exposures_full(core *core, const twin *twin)
{
    for (const exposure *e = twin->nidd == NULL ? NULL : twin->nidd->exposures; e != NULL; e = e->next)
        exposure_put(core, e, e->fields, e->length);
}

void exposures_free(core *core, uint32_t index)
{
    nidd *nidd = twin_at(core, index)->nidd;
    while (nidd != NULL && nidd->exposures != NULL)
        remove_from(core, index, nidd->exposures->number);
}

/* ---- time ---- */

static int64_t due_of(const exposure *e)
{
    switch ((exposure_status)e->status) {
    case EXPOSURE_ACTIVE: return e->until_ms;
    case EXPOSURE_ENDING: case EXPOSURE_MAKING: return e->is_asked ? INT64_MAX : e->retry_ms;
    default: return INT64_MAX;
    }
}

int64_t exposures_due(const twin *twin)
{
    int64_t due = INT64_MAX;
    for (const exposure *e = twin->nidd == NULL ? NULL : twin->nidd->exposures; e != NULL; e = e->next)
        if (due_of(e) < due)
            due = due_of(e);
    return due;
}

static void end_alone(core *core, uint32_t index, exposure *ended)
{
    const exposure_class *class = exposure_classes[ended->kind];
    uint64_t number = ended->number;
    if (ended->status == EXPOSURE_ENDING && class != NULL && class->ends != NULL) {
        class->ends(core, index, ended, NULL);
        return;
    }
    if (ended->status == EXPOSURE_MAKING && class != NULL && class->begins != NULL) {
        class->begins(core, index, ended);
        return;
    }
    if (ended->status == EXPOSURE_ACTIVE && class != NULL && class->expires != NULL) {
        class->expires(core, index, ended);
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_gone(core, index, number);
    record_end(core);
}

void exposure_put_off(core *core, exposure *of)
{
    int64_t pause_ms = (int64_t)EXPOSURE_RETRY_MS << of->retries;
    if (pause_ms < EXPOSURE_RETRY_MAX_MS)
        of->retries++;
    of->retry_ms = core->now_ms + (pause_ms < EXPOSURE_RETRY_MAX_MS ? pause_ms : EXPOSURE_RETRY_MAX_MS);
    of->is_asked = false;
}

void exposures_forsaken(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    for (const exposure *e = twin->nidd == NULL ? NULL : twin->nidd->exposures; e != NULL; e = e->next)
        if (exposure_classes[e->kind] != NULL && exposure_classes[e->kind]->forsaken != NULL)
            exposure_classes[e->kind]->forsaken(core, twin, e);
}

void exposures_expire(core *core, uint32_t index)
{
    for (uint32_t i = 0; i < TWIN_EXPOSURES_MAX; i++) { /* the list changes below */
        exposure *e = twin_at(core, index)->nidd == NULL ? NULL : twin_at(core, index)->nidd->exposures;
        while (e != NULL && due_of(e) > core->now_ms)
            e = e->next;
        if (e == NULL)
            break;
        end_alone(core, index, e);
    }
    nidd_trim(twin_at(core, index));
}

void exposure_end(core *core, uint32_t index, exposure *ended, const call *call)
{
    const exposure_class *class = exposure_classes[ended->kind];
    uint64_t number = ended->number;
    bool is_told = class != NULL && class->ends != NULL && ended->status == EXPOSURE_ACTIVE;
    if (index == NONE) {
        exposure_group_end(core, ended, call);
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_charge(core, index, ended, call == NULL && ended->until_ms <= core->now_ms ? "expired" : "removed");
    if (is_told) {
        notices_drop(core, twin_at(core, index), number);
        exposure_status_put(core, ended, EXPOSURE_ENDING);
    } else {
        exposure_gone(core, index, number);
    }
    record_end(core);
    if (is_told)
        class->ends(core, index, exposure_of(twin_at(core, index), number), call);
    else if (call != NULL)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
    nidd_trim(twin_at(core, index));
}

/* ---- paths ---- */

void exposure_path_write(const application *owner, uint8_t kind, uint64_t number, dro_builder *out)
{
    const t8_api *api = t8_apis[kind];
    json_put(out, "/%s/v1/%s/%s", api->path, owner != NULL ? owner->id : "", api->collection);
    if (number != 0)
        json_put(out, "/%016llx", (unsigned long long)number);
}

/* ---- the table ---- */

void exposures_init(core *core)
{
    core->exposures.reference_next = (uint32_t)core->epoch.counter * REFERENCE_STEP;
    for (uint32_t i = 0; i < EXPOSURE_KINDS; i++)
        core->exposures.owners[i].is_there = is_there;
}

void exposures_settle(core *core)
{
    for (uint32_t i = 0; i < EXPOSURE_KINDS; i++)
        owners_settle(core, &core->exposures.owners[i]);
}

void exposures_fini(core *core)
{
    index_fini(&core->exposures.numbers);
    index_fini(&core->exposures.references);
    for (uint32_t i = 0; i < EXPOSURE_KINDS; i++)
        owners_fini(&core->exposures.owners[i]);
    for (uint32_t i = 0; i < core->exposures.group_high; i++) {
        if (core->exposures.of_groups[i] != NULL)
            exposure_news_fini(core->exposures.of_groups[i]);
        free(core->exposures.of_groups[i]);
    }
    free(core->exposures.of_groups);
}
