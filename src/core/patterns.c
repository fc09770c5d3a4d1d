/* CpProvisioning of T8: a subscription is a map of sets, each of which the network knows by a reference of its own. Sets
 * that it does not take are told in cpReports, and are not there. */
#include "core/patterns.h"

#include <string.h>

#include "core/call.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/provision.h"
#include "core/record.h"
#include "core/report.h"
#include "core/render.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/t8_patterns.h"

enum { NO_FAILURE = PATTERN_FAILURES };

typedef struct set {             /* one of a request */
    dro_field entry;             /* with its key and setId */
    dro_field id;
    uint32_t reference;          /* what it is to be known by */
    uint32_t replaces;           /* what the network knows it by until now; 0: nothing */
    dro_field old;               /* the entry that it replaces; tag 0: none */
    uint8_t failure;             /* enum pattern_failure; NO_FAILURE */
} set;

typedef struct plan { set sets[T8_LIST_MAX]; uint32_t count, good; } plan;

/* ---- sets ---- */

static bool is_same(const dro_field *one, const dro_field *other)
{
    return one->length == other->length && memcmp(one->bytes, other->bytes, one->length) == 0;
}

static dro_field set_id(const dro_field *entry)
{
    dro_field id = { .tag = 0 };
    return t8_find(entry->bytes, entry->length, PATTERN_SET_ID, &id) != NULL ? id : (dro_field){ .bytes = entry->bytes };
}

static uint32_t reference_of(const dro_field *entry)
{
    dro_field field;
    uint32_t reference = 0;
    if (t8_find(entry->bytes, entry->length, PATTERN_REFERENCE, &field) != NULL && field.length == sizeof reference)
        memcpy(&reference, field.bytes, sizeof reference);
    return reference;
}

/* The set of that id among the fields of a subscription. */
static bool set_find(const uint8_t *fields, size_t length, const dro_field *id, dro_field *entry)
{
    dro_cursor in = dro_cursor_over(fields, length);
    while (dro_field_next(&in, entry)) {
        dro_field own = entry->tag == PATTERNS_SET ? set_id(entry) : (dro_field){ .bytes = NULL };
        if (entry->tag == PATTERNS_SET && is_same(&own, id))
            return true;
    }
    return false;
}

/* Has the application that set for the device or group already, in another subscription? */
static bool is_elsewhere(core *core, const exposure_call *wanted, const dro_field *id)
{
    dro_field ignored;
    const nidd *nidd = wanted->twin == NONE ? NULL : twin_at(core, wanted->twin)->nidd;
    for (const exposure *e = nidd == NULL ? NULL : nidd->exposures; e != NULL; e = e->next)
        if (e->kind == EXPOSURE_PATTERNS && e->status == EXPOSURE_ACTIVE && e->application == wanted->owner->number &&
            (wanted->old == NULL || e->number != wanted->old->number) && set_find(e->fields, e->length, id, &ignored))
            return true;
    for (uint32_t i = 0; wanted->group != NULL && i < core->exposures.group_high; i++) {
        const exposure *e = core->exposures.of_groups[i];
        if (e != NULL && e->kind == EXPOSURE_PATTERNS && e->status == EXPOSURE_ACTIVE && e->application == wanted->owner->number &&
            e->group == wanted->group->number && (wanted->old == NULL || e->number != wanted->old->number) && set_find(e->fields, e->length, id, &ignored))
            return true;
    }
    return false;
}

/* The sets of the request, and which of them are good so far. `first`: of the references; 0: not taken yet. */
static void plan_make(core *core, const exposure_call *wanted, uint32_t first, plan *plan)
{
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    plan->count = plan->good = 0;
    while (plan->count < T8_LIST_MAX && dro_field_next(&in, &field)) {
        if (field.tag != PATTERNS_SET)
            continue;
        set *made = &plan->sets[plan->count];
        *made = (set){ .entry = field, .id = set_id(&field), .failure = NO_FAILURE };
        for (uint32_t i = 0; i < plan->count; i++)
            if (is_same(&plan->sets[i].id, &made->id))
                made->failure = PATTERN_SET_ID_DUPLICATED;
        if (made->failure == NO_FAILURE && is_elsewhere(core, wanted, &made->id))
            made->failure = PATTERN_SET_ID_DUPLICATED;
        if (wanted->old != NULL && set_find(wanted->old->fields, wanted->old->length, &made->id, &field)) {
            made->old = field;
            made->replaces = reference_of(&field);
        }
        if (made->failure == NO_FAILURE)
            made->reference = first + plan->good++;
        plan->count++;
    }
}

/* What the network says of each. */
static void plan_judge(const inquiry_said *said, plan *plan)
{
    dro_cursor in = dro_cursor_over(said->fields, said->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        uint32_t pair[2];
        if (field.tag != API_FIELD_REFERENCE_RESULT || field.length != sizeof pair)
            continue;
        memcpy(pair, field.bytes, sizeof pair);
        for (uint32_t i = 0; pair[1] != 0 && i < plan->count; i++)
            if (plan->sets[i].failure == NO_FAILURE && plan->sets[i].reference == pair[0]) {
                plan->sets[i].failure = PATTERN_MALFUNCTION;
                plan->good--;
            }
    }
}

/* ---- what is allowed ---- */

static bool patterns_is_good(core *core, const exposure_call *wanted)
{
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != PATTERNS_SET || t8_integer(field.bytes, field.length, PATTERN_VALIDITY, 0) <= PROVISION_TIME_MAX_MS)
            continue;
        tell_invalid(core, wanted->call->caller, 403, "PARAMETER_OUT_OF_RANGE", "/cpParameterSets", "a validityTime is later than 2036-02-07T06:28:15Z");
        return false;
    }
    return true;
}

/* The first set that ends. */
static int64_t patterns_until(const uint8_t *fields, size_t length)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    int64_t until = INT64_MAX;
    while (dro_field_next(&in, &field)) {
        int64_t own = field.tag == PATTERNS_SET ? t8_integer(field.bytes, field.length, PATTERN_VALIDITY, INT64_MAX) : INT64_MAX;
        until = own < until ? own : until;
    }
    return until;
}

/* ---- reports ---- */

static void put_report(const plan *plan, unsigned failure, const char *key, dro_builder *out)
{
    if (key != NULL)
        dro_field_put_text(out, T8_FIELD_KEY, key);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sets[i].failure == failure)
            dro_field_put(out, PATTERN_REPORT_SET_ID, plan->sets[i].id.bytes, plan->sets[i].id.length);
    t8_put_byte(out, PATTERN_REPORT_CODE, (uint8_t)failure);
}

static bool has_failure(const plan *plan, unsigned failure)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sets[i].failure == failure)
            return true;
    return false;
}

/* None of the sets is there: an array of CpReport with 500 (TS 29.122, 5.10.3.2.3.4), of a set that was alone in the request one
 * CpReport. */
static void reply_all_failed(core *core, const call *call, const plan *plan)
{
    dro_builder json = dro_builder_over(core->scratch, SCRATCH_BYTES);
    bool is_one = call->operation == API_PATTERN_PUT;
    const char *before = is_one ? "" : "[";
    for (unsigned failure = 0; failure < PATTERN_FAILURES; failure++) {
        uint8_t bytes[T8_FIELDS_MAX];
        dro_builder report = dro_builder_over(bytes, sizeof bytes);
        if (!has_failure(plan, failure))
            continue;
        put_report(plan, failure, NULL, &report);
        dro_builder_text(&json, before);
        dro_builder_text(&json, "{");
        t8_members_json(&json, &t8_pattern_report, bytes, dro_builder_length(&report), 0, "");
        dro_builder_text(&json, "}");
        before = ",";
    }
    dro_builder_text(&json, is_one ? "" : "]");
    reply reply = { .status = 500, .content = CONTENT_JSON, .etag = UINT64_MAX };
    tell_reply(core, call->caller, &reply, json.start, dro_builder_length(&json));
}

/* True: nothing is left of the request, and it was answered. */
static bool all_failed(core *core, const exposure_call *wanted, const plan *plan)
{
    if (plan->good > 0)
        return false;
    reply_all_failed(core, wanted->call, plan);
    return true;
}

/* ---- the network ---- */

static void put_question(const set *of, dro_builder *out)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder pattern = dro_builder_over(bytes, sizeof bytes);
    dro_cursor in = dro_cursor_over(of->entry.bytes, of->entry.length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag != T8_FIELD_KEY && field.tag != PATTERN_SELF && field.tag != PATTERN_REFERENCE)
            dro_field_put(&pattern, (uint8_t)field.tag, field.bytes, field.length);
    dro_field_put(&pattern, PATTERN_REFERENCE, &of->reference, sizeof of->reference);
    if (of->replaces != 0)
        dro_field_put(&pattern, PATTERN_REPLACES, &of->replaces, sizeof of->replaces);
    dro_field_put(out, API_FIELD_PATTERN, bytes, dro_builder_length(&pattern));
}

/* Those that the request leaves out. */
static void put_gone(const exposure *old, const plan *plan, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(old->fields, old->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        bool is_kept = field.tag != PATTERNS_SET;
        dro_field id = is_kept ? (dro_field){ .tag = 0 } : set_id(&field);
        uint32_t reference = is_kept ? 0 : reference_of(&field);
        for (uint32_t i = 0; !is_kept && i < plan->count; i++)
            is_kept = is_same(&plan->sets[i].id, &id);
        if (!is_kept && reference != 0)
            dro_field_put(out, API_FIELD_REFERENCE_GONE, &reference, sizeof reference);
    }
}

static bool ask(core *core, const exposure_call *wanted, plan *plan, bool is_whole)
{
    uint8_t bytes[PROVISION_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    const uint8_t *subject = wanted->old != NULL ? wanted->old->fields : wanted->fields;
    uint32_t first = provision_references(core, wanted->twin, plan->good), count = 0;
    provision_put_subject(&out, subject, wanted->old != NULL ? wanted->old->length : wanted->length);
    if (is_whole && wanted->old != NULL)
        put_gone(wanted->old, plan, &out);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sets[i].failure == NO_FAILURE) {
            plan->sets[i].reference = first + count++;
            put_question(&plan->sets[i], &out);
        }
    (void)provision_ask(core, wanted, INQUIRY_PATTERNS, first, count, &out);
    return true;
}

/* The network's word on the whole request: true, it was answered. */
static bool is_refused(core *core, const exposure_call *wanted, plan *plan)
{
    const inquiry_said *said = core->said;
    if (said->verdict == VERDICT_DONE) {
        plan_judge(said, plan);
        return all_failed(core, wanted, plan);
    }
    if (said->verdict == VERDICT_USER_UNKNOWN || said->verdict == VERDICT_NOT_ALLOWED || said->verdict == VERDICT_OUT_OF_RANGE || said->verdict == VERDICT_BUSY)
        return provision_refused(core, wanted->call, said, wanted->group != NULL, "/cpParameterSets");
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sets[i].failure == NO_FAILURE)
            plan->sets[i].failure = said->verdict == VERDICT_NOT_KEPT ? PATTERN_MALFUNCTION : PATTERN_OTHER_REASON;
    reply_all_failed(core, wanted->call, plan);
    return true;
}

static bool patterns_asks(core *core, const exposure_call *wanted)
{
    plan plan;
    plan_make(core, wanted, core->exposures.agreed, &plan);
    if (core->said != NULL)
        return is_refused(core, wanted, &plan);
    return all_failed(core, wanted, &plan) || provision_has_nobody(core, wanted->call, INQUIRY_PATTERNS) || ask(core, wanted, &plan, true);
}

/* ---- kept ---- */

static void write_self(core *core, const exposure *head, const dro_field *id, dro_builder *out)
{
    char text[T8_LINK_MAX];
    dro_builder link = dro_builder_over(text, sizeof text);
    dro_builder_text(&link, core->options.t8_root != NULL ? core->options.t8_root : "");
    exposure_path_write(application_at(core, head->application), EXPOSURE_PATTERNS, head->number, &link);
    dro_builder_text(&link, "/cpSets/");
    for (uint32_t i = 0; i < id->length; i++) {
        uint8_t c = id->bytes[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~", c) != NULL;
        json_put(&link, is_plain ? "%c" : "%%%02X", c);
    }
    if (link.err == DRO_OK)
        dro_field_put(out, PATTERN_SELF, text, dro_builder_length(&link));
}

/* A set as it is kept: with its link and reference. */
static void put_set(core *core, const exposure *head, const set *of, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(of->entry.bytes, of->entry.length);
    dro_field field;
    size_t begin = t8_object_begin(out, PATTERNS_SET);
    while (dro_field_next(&in, &field))
        if (field.tag != PATTERN_SELF && field.tag != PATTERN_REFERENCE)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    write_self(core, head, &of->id, out);
    dro_field_put(out, PATTERN_REFERENCE, &of->reference, sizeof of->reference);
    t8_object_end(out, begin);
}

static void put_reports(const plan *plan, dro_builder *out)
{
    for (unsigned failure = 0; failure < PATTERN_FAILURES; failure++) {
        if (!has_failure(plan, failure))
            continue;
        size_t begin = t8_object_begin(out, PATTERNS_REPORT);
        put_report(plan, failure, pattern_failure_texts[failure], out);
        t8_object_end(out, begin);
    }
}

static bool patterns_made(core *core, const exposure_call *wanted, exposure *head, dro_builder *fields)
{
    plan plan;
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    plan_make(core, wanted, core->exposures.agreed, &plan);
    plan_judge(core->said, &plan);
    fields->at = fields->start; /* other sets than those that were asked for */
    while (dro_field_next(&in, &field))
        if (field.tag != PATTERNS_SET && field.tag != PATTERNS_REPORT)
            dro_field_put(fields, (uint8_t)field.tag, field.bytes, field.length);
    for (uint32_t i = 0; i < plan.count; i++) {
        if (plan.sets[i].failure == NO_FAILURE)
            put_set(core, head, &plan.sets[i], fields);
        else if (plan.sets[i].old.tag != 0 && plan.sets[i].failure != PATTERN_SET_ID_DUPLICATED) /* it is as it was */
            dro_field_put(fields, PATTERNS_SET, plan.sets[i].old.bytes, plan.sets[i].old.length);
    }
    put_reports(&plan, fields);
    head->reference = core->exposures.agreed;
    return true;
}

static void patterns_kept(core *core, uint32_t index, exposure *kept)
{
    (void)index;
    (void)kept;
    core->exposures.is_done = true;
}

/* ---- its end ---- */

static uint32_t references_of(const uint8_t *fields, size_t length, uint32_t out[T8_LIST_MAX])
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    uint32_t count = 0;
    while (count < T8_LIST_MAX && dro_field_next(&in, &field))
        if (field.tag == PATTERNS_SET && reference_of(&field) != 0)
            out[count++] = reference_of(&field);
    return count;
}

static void patterns_ends(core *core, uint32_t index, exposure *of, const call *call)
{
    uint32_t references[T8_LIST_MAX], count = references_of(of->fields, of->length, references);
    provision_ends(core, index, of, call, INQUIRY_PATTERNS, references, count);
}

/* Without one of its sets; `kept` gets the rest. How many are left. */
static uint32_t without(const exposure *of, const dro_field *id, int64_t over_ms, dro_builder *kept)
{
    dro_cursor in = dro_cursor_over(of->fields, of->length);
    dro_field field;
    uint32_t left = 0;
    while (dro_field_next(&in, &field)) {
        dro_field own = field.tag == PATTERNS_SET ? set_id(&field) : (dro_field){ .tag = 0 };
        bool is_set = field.tag == PATTERNS_SET;
        if (is_set && ((id != NULL && is_same(&own, id)) || t8_integer(field.bytes, field.length, PATTERN_VALIDITY, INT64_MAX) <= over_ms))
            continue;
        left += is_set;
        dro_field_put(kept, (uint8_t)field.tag, field.bytes, field.length);
    }
    return left;
}

/* A record, or the host's tables: the subscription with other fields. NULL: it could not be kept. */
static exposure *keep(core *core, uint32_t index, const exposure *old, const dro_builder *fields, bool is_charged)
{
    exposure head = *old, *kept = NULL;
    uint32_t ignored;
    head.until_ms = patterns_until(fields->start, dro_builder_length(fields));
    if (index == NONE) {
        if (exposure_group_put(core, &head, fields->start, dro_builder_length(fields), &kept) != DRO_OK)
            return NULL;
        if (is_charged)
            exposure_charge(core, NONE, kept, "changed");
        return groups_keep(core) == DRO_OK ? kept : NULL;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_put(core, &head, fields->start, dro_builder_length(fields));
    if (is_charged && (kept = exposure_find(core, head.number, &ignored)) != NULL)
        exposure_charge(core, index, kept, "changed");
    record_end(core);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
    return exposure_find(core, head.number, &ignored);
}

/* Sets whose time is over are over in the network too. */
static void patterns_expires(core *core, uint32_t index, exposure *of)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    if (without(of, NULL, core->now_ms, &fields) > 0 && fields.err == DRO_OK) {
        (void)keep(core, index, of, &fields, false);
        return;
    }
    if (index == NONE) {
        exposure_group_gone(core, of);
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    provision_over(core, index, of, "expired");
    record_end(core);
}

static void patterns_forsaken(core *core, const twin *twin, const exposure *lost)
{
    uint32_t references[T8_LIST_MAX], count = references_of(lost->fields, lost->length, references);
    if (lost->status != EXPOSURE_OVER)
        provision_forget(core, INQUIRY_PATTERNS, twin, references, count);
}

/* T8 has no notification for it: the subscription is not there any more. Of a group's it goes as a whole only. */
static void patterns_told(core *core, uint32_t index, exposure *of, enum told_kind kind, const uint8_t *fields, size_t length)
{
    if (kind == TOLD_ENDED && index == NONE && !report_is_of_member(fields, length)) /* the others' are as they were */
        exposure_group_gone(core, of);
    else if (kind == TOLD_ENDED && of->group == 0)
        provision_over(core, index, of, "cancelled");
}

const exposure_class patterns_class = {
    .api = &t8_patterns,
    .is_good = patterns_is_good,
    .asks = patterns_asks,
    .made = patterns_made,
    .kept = patterns_kept,
    .ends = patterns_ends,
    .expires = patterns_expires,
    .forsaken = patterns_forsaken,
    .told = patterns_told,
    .until = patterns_until,
};

/* ---- one set: /cpSets/{setId} ---- */

/* The subscription and the set that the call names. NULL after a problem. */
static exposure *set_called(core *core, const call *call, uint32_t *index, dro_field *entry)
{
    exposure *found = exposure_called(core, call, index);
    dro_field room;
    const dro_field *id = found == NULL ? NULL : t8_find(call->fields, call->fields_length, API_FIELD_SET_ID, &room);
    if (found == NULL || (id != NULL && set_find(found->fields, found->length, id, entry)))
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no set of that setId is in the subscription");
    return NULL;
}

static void reply_set(core *core, const call *call, const dro_field *entry)
{
    dro_builder json = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&json, "{");
    t8_members_json(&json, &t8_pattern, entry->bytes, entry->length, 0, "");
    dro_builder_text(&json, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &json);
}

void api_pattern_get(core *core, const call *call)
{
    uint32_t index;
    dro_field entry;
    if (set_called(core, call, &index, &entry) != NULL)
        reply_set(core, call, &entry);
}

/* The subscription as it is with the set of the call in its place. */
static void with_set(const exposure *old, const dro_field *entry, const call *call, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(old->fields, old->length);
    dro_field field, key;
    while (dro_field_next(&in, &field)) {
        if (field.tag == PATTERNS_REPORT)
            continue;
        if (field.tag != PATTERNS_SET || field.bytes != entry->bytes) {
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
            continue;
        }
        size_t begin = t8_object_begin(out, PATTERNS_SET);
        if (t8_find(entry->bytes, entry->length, T8_FIELD_KEY, &key) != NULL)
            dro_field_put(out, T8_FIELD_KEY, key.bytes, key.length);
        dro_builder_bytes(out, call->resource, call->resource_length);
        t8_object_end(out, begin);
    }
}

/* Sets but one are as they were: they are not asked for. */
static void plan_narrow(plan *plan, const dro_field *id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plan->count; i++)
        if (is_same(&plan->sets[i].id, id))
            plan->sets[kept++] = plan->sets[i];
    plan->count = kept;
    plan->good = kept > 0 && plan->sets[0].failure == NO_FAILURE;
}

static void put_agreed(core *core, const exposure_call *wanted, const plan *plan)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag == PATTERNS_SET && plan->count > 0 && field.bytes == plan->sets[0].entry.bytes)
            put_set(core, wanted->old, &plan->sets[0], &fields);
        else
            dro_field_put(&fields, (uint8_t)field.tag, field.bytes, field.length);
    }
    dro_field id = plan->sets[0].id, entry;
    exposure *kept = fields.err == DRO_OK ? keep(core, wanted->twin, wanted->old, &fields, true) : NULL;
    if (kept == NULL) {
        tell_problem(core, wanted->call->caller, fields.err != DRO_OK ? 413 : 503, "about:blank", "the set could not be kept");
        return;
    }
    core->exposures.is_done = true;
    if (set_find(kept->fields, kept->length, &id, &entry))
        reply_set(core, wanted->call, &entry);
}

void api_pattern_put(core *core, const call *call)
{
    uint8_t bytes[T8_FIELDS_MAX];
    uint32_t index;
    dro_field entry, id, named;
    plan plan;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    exposure *old = set_called(core, call, &index, &entry);
    if (old == NULL || (index != NONE && call_deferred(core, call, index)))
        return;
    bool is_it = t8_find(call->resource, call->resource_length, PATTERN_SET_ID, &id) != NULL &&
                 t8_find(call->fields, call->fields_length, API_FIELD_SET_ID, &named) != NULL && is_same(&id, &named);
    if (!is_it) {
        tell_invalid(core, call->caller, 400, NULL, "/setId", "setId must be that of the path");
        return;
    }
    with_set(old, &entry, call, &fields);
    exposure_call wanted = { .call = call, .owner = application_at(core, old->application), .twin = index, .old = old,
                             .group = old->group != 0 ? group_at(core, old->group) : NULL, .fields = bytes, .length = dro_builder_length(&fields) };
    if (fields.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the subscription is too large");
        return;
    }
    if (!exposure_fits(core, call, index, old) || !patterns_is_good(core, &wanted))
        return;
    plan_make(core, &wanted, 0, &plan);
    plan_narrow(&plan, &id);
    if (plan.count > 0)
        plan.sets[0].reference = core->exposures.agreed;
    if (core->said != NULL ? is_refused(core, &wanted, &plan) : all_failed(core, &wanted, &plan) || provision_has_nobody(core, call, INQUIRY_PATTERNS) ||
        ask(core, &wanted, &plan, false))
        return;
    put_agreed(core, &wanted, &plan);
}

/* It becomes a subscription of its own that has ended: so the network is told however long it takes. */
void api_pattern_delete(core *core, const call *call)
{
    uint8_t bytes[T8_FIELDS_MAX], rest[T8_FIELDS_MAX];
    uint32_t index;
    dro_field entry, field;
    dro_builder gone = dro_builder_over(bytes, sizeof bytes), left = dro_builder_over(rest, sizeof rest);
    exposure *old = set_called(core, call, &index, &entry);
    if (old == NULL || (index != NONE && call_deferred(core, call, index)))
        return;
    dro_field id = set_id(&entry);
    if (without(old, &id, INT64_MIN, &left) == 0) {
        exposure_end(core, index, old, call);
        return;
    }
    if (index != NONE && !exposure_has_room(twin_at(core, index))) {
        tell_problem(core, call->caller, 503, "about:blank", "no room to remember what the network is to be told");
        return;
    }
    dro_cursor in = dro_cursor_over(old->fields, old->length);
    while (dro_field_next(&in, &field))
        if ((field.tag != PATTERNS_SET && field.tag != PATTERNS_REPORT) || field.bytes == entry.bytes)
            dro_field_put(&gone, (uint8_t)field.tag, field.bytes, field.length);
    exposure head = *old, *ended = NULL;
    head.reference = 0;
    head.until_ms = INT64_MAX;
    head.status = EXPOSURE_ENDING;
    if (index == NONE) {
        head.number = group_number(core->groups->next++);
        if (exposure_group_put(core, &head, bytes, dro_builder_length(&gone), &ended) != DRO_OK || keep(core, index, old, &left, true) == NULL) {
            tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept");
            return;
        }
        ended = exposure_find(core, head.number, &index);
    } else {
        uint64_t number = old->number;
        exposure kept = *old;
        kept.until_ms = patterns_until(rest, dro_builder_length(&left));
        head.number = nidd_number_next(core, twin_at(core, index));
        record_begin(core, index, RECORD_DELTA);
        exposure_put(core, &head, bytes, dro_builder_length(&gone));
        kept.number = number;
        exposure_put(core, &kept, rest, dro_builder_length(&left));
        exposure *charged = exposure_find(core, number, &index);
        if (charged != NULL)
            exposure_charge(core, index, charged, "changed");
        record_end(core);
        ended = exposure_find(core, head.number, &index);
    }
    if (ended == NULL)
        tell_problem(core, call->caller, 503, "about:blank", "no room to remember what the network is to be told");
    else
        patterns_ends(core, index, ended, call);
}
