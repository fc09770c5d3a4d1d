/* NpConfiguration of T8 (TS 29.122, 5.13; TS 23.682, 5.13): what an application suggests for a device's sleep. What the
 * network makes of it is the device's schedule (core/schedule.h), and the application's to know. */
#include "core/parameters.h"

#include <string.h>

#include "core/call.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/provision.h"
#include "core/record.h"
#include "core/report.h"
#include "core/schedule.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/t8_monitoring.h"
#include "twin/t8_parameters.h"

/* ---- what is allowed ---- */

static bool parameters_is_good(core *core, const exposure_call *wanted)
{
    static const struct { uint8_t tag; int64_t least, most; const char *pointer, *unit; } ranges[] = {
        { PARAMETERS_LATENCY, SCHEDULE_LATENCY_MIN_S, SCHEDULE_LATENCY_MAX_S, "/maximumLatency", "seconds" },
        { PARAMETERS_RESPONSE, 0, SCHEDULE_RESPONSE_MAX_S, "/maximumResponseTime", "seconds" },
        { PARAMETERS_PACKETS, 0, SCHEDULE_PACKETS_MAX, "/suggestedNumberOfDlPackets", "packets" },
    };
    bool has_some = false;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int64_t value = t8_integer(wanted->fields, wanted->length, ranges[i].tag, -1);
        has_some |= value >= 0;
        if (value < 0 || (value >= ranges[i].least && value <= ranges[i].most))
            continue;
        tell_invalid(core, wanted->call->caller, 403, "PARAMETER_OUT_OF_RANGE", ranges[i].pointer, "%s must be %lld to %lld %s", ranges[i].pointer + 1,
                     (long long)ranges[i].least, (long long)ranges[i].most, ranges[i].unit);
        return false;
    }
    if (t8_integer(wanted->fields, wanted->length, PARAMETERS_VALIDITY, 0) > PROVISION_TIME_MAX_MS) {
        tell_invalid(core, wanted->call->caller, 403, "PARAMETER_OUT_OF_RANGE", "/validityTime", "validityTime is later than 2036-02-07T06:28:15Z");
        return false;
    }
    if (!has_some)
        tell_invalid(core, wanted->call->caller, 400, NULL, "/maximumLatency", "maximumLatency, maximumResponseTime or suggestedNumberOfDlPackets must be there");
    return has_some;
}

static int64_t parameters_until(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, PARAMETERS_VALIDITY, INT64_MAX);
}

/* ---- the network ---- */

static void put_value(dro_builder *out, const exposure_call *wanted, uint32_t tag, uint8_t as)
{
    int64_t value = t8_integer(wanted->fields, wanted->length, tag, -1);
    uint32_t number = (uint32_t)value;
    if (value >= 0)
        dro_field_put(out, as, &number, sizeof number);
}

static bool parameters_asks(core *core, const exposure_call *wanted)
{
    uint8_t bytes[PROVISION_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (core->said != NULL)
        return provision_refused(core, wanted->call, core->said, wanted->group != NULL, "/maximumLatency");
    if (provision_has_nobody(core, wanted->call, INQUIRY_PARAMETERS))
        return true;
    uint32_t reference = provision_references(core, wanted->twin, 1);
    provision_put_subject(&out, wanted->fields, wanted->length);
    dro_field_put(&out, API_FIELD_REFERENCE, &reference, sizeof reference);
    if (wanted->old != NULL && wanted->old->reference != 0)
        dro_field_put(&out, API_FIELD_REFERENCE_GONE, &wanted->old->reference, sizeof reference);
    put_value(&out, wanted, PARAMETERS_LATENCY, API_FIELD_LATENCY);
    put_value(&out, wanted, PARAMETERS_RESPONSE, API_FIELD_RESPONSE_TIME);
    put_value(&out, wanted, PARAMETERS_PACKETS, API_FIELD_PACKETS);
    if (wanted->group != NULL)
        put_value(&out, wanted, PARAMETERS_GUARD_TIME, API_FIELD_GUARD_TIME);
    (void)provision_ask(core, wanted, INQUIRY_PARAMETERS, reference, 1, &out);
    return true;
}

static bool parameters_made(core *core, const exposure_call *wanted, exposure *head, dro_builder *fields)
{
    (void)wanted;
    (void)fields;
    head->reference = core->exposures.agreed;
    return true;
}

schedule_facts parameters_facts(const uint8_t *fields, size_t length)
{
    schedule_facts facts = { SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID };
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        uint32_t *into = field.tag == API_FIELD_LATENCY ? &facts.periodic_s : field.tag == API_FIELD_RESPONSE_TIME ? &facts.active_s
                       : field.tag == API_FIELD_PACKETS ? &facts.packets : NULL;
        if (into != NULL && field.length == sizeof *into)
            memcpy(into, field.bytes, sizeof *into);
    }
    return facts;
}

/* What the application asked for, where the network did not say otherwise. */
static schedule_facts facts_with(const schedule_facts *said, const uint8_t *fields, size_t length)
{
    const schedule_facts unsaid = { SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID };
    schedule_facts facts = said != NULL ? *said : unsaid;
    int64_t latency = t8_integer(fields, length, PARAMETERS_LATENCY, SCHEDULE_UNSAID), response = t8_integer(fields, length, PARAMETERS_RESPONSE, SCHEDULE_UNSAID);
    int64_t packets = t8_integer(fields, length, PARAMETERS_PACKETS, SCHEDULE_UNSAID);
    facts.periodic_s = facts.periodic_s != SCHEDULE_UNSAID ? facts.periodic_s : (uint32_t)latency;
    facts.active_s = facts.active_s != SCHEDULE_UNSAID ? facts.active_s : (uint32_t)response;
    facts.packets = facts.packets != SCHEDULE_UNSAID ? facts.packets : (uint32_t)packets;
    return facts;
}

static void put_applied(dro_builder *out, uint8_t tag, uint32_t value)
{
    if (value != SCHEDULE_UNSAID)
        t8_put_integer(out, tag, value);
}

/* Inside a record: the application hears what the network has. */
static void tell_applied(core *core, uint32_t index, const exposure *of, const schedule_facts *facts)
{
    uint8_t bytes[512], inner[256];
    dro_builder out = dro_builder_over(bytes, sizeof bytes), applied = dro_builder_over(inner, sizeof inner);
    dro_field room;
    const dro_field *id = t8_find(of->fields, of->length, T8_FIELD_ID, &room);
    if (id != NULL)
        dro_field_put(&applied, APPLIED_ID, id->bytes, id->length);
    else if ((id = t8_find(of->fields, of->length, T8_FIELD_MSISDN, &room)) != NULL)
        dro_field_put(&applied, APPLIED_MSISDN, id->bytes, id->length);
    put_applied(&applied, APPLIED_LATENCY, facts->periodic_s);
    put_applied(&applied, APPLIED_RESPONSE_TIME, facts->active_s);
    dro_field_put(&out, PARAMETERS_APPLIED, inner, dro_builder_length(&applied));
    if (applied.err == DRO_OK && out.err == DRO_OK)
        exposure_notice(core, index, of, bytes, dro_builder_length(&out));
}

static bool differs(uint32_t said, uint32_t wanted)
{
    return said != SCHEDULE_UNSAID && said != wanted;
}

static void parameters_kept(core *core, uint32_t index, exposure *kept)
{
    core->exposures.is_done = true;
    if (index == NONE)
        return;
    schedule_facts said = core->said != NULL ? parameters_facts(core->said->fields, core->said->length) : facts_with(NULL, NULL, 0);
    schedule_facts wanted = facts_with(NULL, kept->fields, kept->length), facts = facts_with(&said, kept->fields, kept->length);
    schedule_held(core, index);
    (void)schedule_learn(core, index, &facts, 0);
    if (differs(said.periodic_s, wanted.periodic_s) || differs(said.active_s, wanted.active_s))
        tell_applied(core, index, kept, &facts);
}

/* ---- what the network says on its own ---- */

/* Said again it changes nothing, and nobody is told again. */
static void updated(core *core, uint32_t index, exposure *of, const schedule_facts *facts)
{
    if (schedule_learn(core, index, facts, 0))
        tell_applied(core, index, of, facts);
}

static void cancelled(core *core, uint32_t index, exposure *of)
{
    uint8_t bytes[512], inner[256];
    uint64_t number = of->number;
    dro_builder out = dro_builder_over(bytes, sizeof bytes), result = dro_builder_over(inner, sizeof inner);
    dro_field room;
    const dro_field *id = t8_find(of->fields, of->length, T8_FIELD_ID, &room);
    if (id != NULL)
        dro_field_put(&result, RESULT_ID, id->bytes, id->length);
    else if ((id = t8_find(of->fields, of->length, T8_FIELD_MSISDN, &room)) != NULL)
        dro_field_put(&result, RESULT_MSISDN, id->bytes, id->length);
    t8_put_byte(&result, RESULT_REASON, RESULT_OTHER_REASON);
    dro_field_put(&out, PARAMETERS_RESULT, inner, dro_builder_length(&result));
    if (result.err == DRO_OK && out.err == DRO_OK)
        exposure_notice(core, index, of, bytes, dro_builder_length(&out));
    provision_over(core, index, exposure_of(twin_at(core, index), number), "cancelled");
}

static void group_told(core *core, exposure *of, enum told_kind kind, const uint8_t *fields, size_t length)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_field told = { .length = 0 };
    schedule_facts facts = parameters_facts(fields, length);
    (void)t8_find(fields, length, API_FIELD_TOLD, &told);
    bool is_failure = kind == TOLD_ENDED || (kind == TOLD_RESULT && t8_option(told.bytes, told.length, TOLD_FIELD_VERDICT, VERDICT_DONE) != VERDICT_DONE);
    dro_field room;
    const dro_field *member = report_member(core, fields, length, &room);
    if (member == NULL || (kind != TOLD_APPLIED && !is_failure)) /* of a number that nobody here knows there is nothing to say */
        return;
    size_t begin = t8_object_begin(&out, is_failure ? PARAMETERS_RESULT : PARAMETERS_APPLIED);
    if (member->tag == REPORT_ID)
        dro_field_put(&out, is_failure ? RESULT_ID : APPLIED_ID, member->bytes, member->length);
    else
        dro_field_put(&out, is_failure ? RESULT_MSISDN : APPLIED_MSISDN, member->bytes, member->length);
    if (is_failure) {
        t8_put_byte(&out, RESULT_REASON, RESULT_OTHER_REASON);
    } else {
        put_applied(&out, APPLIED_LATENCY, facts.periodic_s);
        put_applied(&out, APPLIED_RESPONSE_TIME, facts.active_s);
    }
    t8_object_end(&out, begin);
    if (out.err == DRO_OK)
        (void)exposure_news_put(core, of, bytes, dro_builder_length(&out)); /* counted where it cannot be kept */
}

static void parameters_told(core *core, uint32_t index, exposure *of, enum told_kind kind, const uint8_t *fields, size_t length)
{
    schedule_facts facts = parameters_facts(fields, length);
    if (index == NONE && kind == TOLD_ENDED && !report_is_of_member(fields, length))
        exposure_group_gone(core, of);
    else if (index == NONE)
        group_told(core, of, kind, fields, length);
    else if (kind == TOLD_APPLIED && of->group != 0)
        (void)schedule_learn(core, index, &facts, 0);
    else if (kind == TOLD_APPLIED)
        updated(core, index, of, &facts);
    else if (kind == TOLD_ENDED && of->group == 0)
        cancelled(core, index, of);
}

static int64_t parameters_guard(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, PARAMETERS_GUARD_TIME, 0);
}

bool parameters_are_there(const core *core, uint32_t index)
{
    const nidd *nidd = twin_at(core, index)->nidd;
    for (const exposure *e = nidd == NULL ? NULL : nidd->exposures; e != NULL; e = e->next)
        if (e->kind == EXPOSURE_PARAMETERS && e->status == EXPOSURE_ACTIVE)
            return true;
    for (uint32_t i = 0; i < core->exposures.group_high; i++) {
        const exposure *e = core->exposures.of_groups[i];
        const struct group *group = e == NULL || e->kind != EXPOSURE_PARAMETERS || e->status != EXPOSURE_ACTIVE ? NULL : group_at(core, e->group);
        if (group != NULL && membership_find(core, twin_at(core, index), group) != NULL)
            return true;
    }
    return false;
}

/* ---- its end ---- */

static void parameters_ends(core *core, uint32_t index, exposure *of, const call *call)
{
    provision_ends(core, index, of, call, INQUIRY_PARAMETERS, &of->reference, 1);
}

/* Unlike a pattern, it has no end that the network knows. */
static void parameters_expires(core *core, uint32_t index, exposure *of)
{
    exposure_end(core, index, of, NULL);
}

static void parameters_forsaken(core *core, const twin *twin, const exposure *lost)
{
    if (lost->reference != 0 && lost->status != EXPOSURE_OVER)
        provision_forget(core, INQUIRY_PARAMETERS, twin, &lost->reference, 1);
}

const exposure_class parameters_class = {
    .api = &t8_parameters,
    .is_good = parameters_is_good,
    .asks = parameters_asks,
    .made = parameters_made,
    .kept = parameters_kept,
    .ends = parameters_ends,
    .expires = parameters_expires,
    .forsaken = parameters_forsaken,
    .told = parameters_told,
    .until = parameters_until,
    .guard_s = parameters_guard,
};
