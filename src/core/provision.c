#include "core/farewell.h"
#include "core/provision.h"

#include <string.h>

#include "core/authorization.h"
#include "core/call.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/schedule.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"

/* ---- references ---- */

uint32_t provision_references(core *core, uint32_t index, uint32_t count)
{
    const twin *twin = index == NONE ? NULL : twin_at(core, index);
    uint32_t first = exposure_reference_new(core, twin), have = 1;
    while (have < count) { /* where one is in use, or they begin anew, so does the run */
        uint32_t next = exposure_reference_new(core, twin);
        if (next != first + have) {
            first = next;
            have = 0;
        }
        have++;
    }
    return first;
}

static void put_references(dro_builder *out, const uint32_t *references, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (references[i] != 0)
            dro_field_put(out, API_FIELD_REFERENCE_GONE, &references[i], sizeof references[i]);
}

/* ---- asking ---- */

void provision_put_subject(dro_builder *out, const uint8_t *fields, size_t length)
{
    dro_field room;
    exposure_put_subject(out, fields, length);
    const dro_field *provider = t8_find(fields, length, T8_FIELD_PROVIDER, &room);
    if (provider != NULL)
        dro_field_put(out, API_FIELD_PROVIDER, provider->bytes, provider->length);
}

/* By its own name: what applications call it is not known any more. */
static void put_name(const core *core, const twin *twin, dro_builder *out)
{
    size_t length;
    const char *name = twin_id(core, twin, &length);
    dro_field_put(out, API_FIELD_ID, name, length);
}

void provision_forget(core *core, enum inquiry_kind kind, const twin *twin, const uint32_t *references, uint32_t count)
{
    uint8_t bytes[PROVISION_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    put_name(core, twin, &out);
    put_references(&out, references, count);
    farewell head = { .kind = (uint8_t)kind, .until_ms = INT64_MAX };
    if (count > 0 && out.err == DRO_OK)
        farewell_put(core, twin->number, &head, bytes, dro_builder_length(&out));
}

/* What the network took and nobody kept; by the names that it was asked with: its twin may have gone meanwhile. */
static void forget_run(core *core, const inquiry *asked)
{
    uint8_t bytes[PROVISION_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_ID || field.tag == API_FIELD_MSISDN || field.tag == API_FIELD_PROVIDER)
            dro_field_put(&out, (uint8_t)field.tag, field.bytes, field.length);
    for (uint32_t i = 0; i < (uint32_t)asked->detail && i < T8_LIST_MAX; i++)
        put_references(&out, &(uint32_t){ (uint32_t)asked->subject + i }, 1);
    farewell head = { .kind = (uint8_t)asked->kind, .group = asked->group, .until_ms = INT64_MAX };
    if (out.err == DRO_OK)
        farewell_put(core, asked->twin, &head, bytes, dro_builder_length(&out));
}

static void agreed(core *core, const inquiry *asked, const inquiry_said *said)
{
    if (said->outcome != INQUIRY_ANSWERED) {
        inquiry_tell_why(core, asked, said);
        if (asked->group != 0)
            authorization_group_refused(core, asked->group);
        return;
    }
    core->exposures.agreed = (uint32_t)asked->subject;
    core->exposures.is_done = false;
    (void)inquiry_take_up(core, asked, said);
    core->exposures.agreed = 0;
    if (said->verdict == VERDICT_DONE && !core->exposures.is_done)
        forget_run(core, asked);
    if (!core->exposures.is_done && asked->group != 0)
        authorization_group_refused(core, asked->group);
}

bool provision_ask(core *core, const exposure_call *wanted, enum inquiry_kind kind, uint32_t first, uint32_t count, const dro_builder *question)
{
    if (question->err != DRO_OK) {
        tell_problem(core, wanted->call->caller, 413, "about:blank", "it is too much for one question to the network");
        return false;
    }
    inquiry asked = { .kind = kind, .subject = first, .detail = count, .group = wanted->group != NULL ? wanted->group->number : 0,
                      .twin = wanted->twin != NONE ? twin_at(core, wanted->twin)->number : 0,
                      .fields = question->start, .length = dro_builder_length(question), .done = agreed };
    return inquiry_defer(core, wanted->call, &asked);
}

bool provision_has_nobody(core *core, const call *call, enum inquiry_kind kind)
{
    if (inquiry_has_node(core, kind))
        return false;
    tell_problem(core, call->caller, 503, "about:blank", "no HSS is among diameter.peers: nobody could keep this for the device");
    return true;
}

void provision_tell_unknown(core *core, const call *call, bool is_group)
{
    tell_cause(core, call->caller, 404, "USER_UNKNOWN", is_group ? "the HSS knows no such group" : "the HSS knows no such device");
}

bool provision_refused(core *core, const call *call, const inquiry_said *said, bool is_group, const char *pointer)
{
    switch (said->verdict) {
    case VERDICT_DONE: return false;
    case VERDICT_USER_UNKNOWN: provision_tell_unknown(core, call, is_group); break;
    case VERDICT_NOT_ALLOWED: tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "the network does not let this be set (%u)", said->code); break;
    case VERDICT_OUT_OF_RANGE:
        tell_invalid(core, call->caller, 403, "PARAMETER_OUT_OF_RANGE", pointer, "the network does not take these values (%u)", said->code);
        break;
    case VERDICT_BUSY: tell_problem(core, call->caller, 503, "about:blank", "the network has too much to do; try again"); break;
    default: inquiry_tell_refusal(core, call->caller, said->code); break;
    }
    return true;
}

/* ---- the end ---- */

static void care(core *core, uint32_t index)
{
    if (index != NONE && twin_at(core, index)->number != 0 && timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

static void gone(core *core, uint32_t index, exposure *of)
{
    uint64_t number = of->number;
    bool is_of_parameters = of->kind == EXPOSURE_PARAMETERS;
    if (index == NONE) {
        exposure_group_gone(core, of);
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    exposure_gone(core, index, number);
    if (is_of_parameters)
        schedule_freed(core, index);
    record_end(core);
    nidd_trim(twin_at(core, index));
}

/* The network knows that it is over, or says that it never knew it; else it is told again. */
static void ended(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index = NONE;
    exposure *of = exposure_find(core, asked->subject, &index);
    if (asked->late != NULL && core->gates[asked->late->gate].is_open) { /* it is the application's no more, whenever the network hears of it */
        reply reply = { .status = 204, .content = CONTENT_NONE, .etag = UINT64_MAX };
        tell_reply(core, (caller){ asked->late->gate, asked->late->header.id }, &reply, NULL, 0);
    }
    if (of == NULL || of->status != EXPOSURE_ENDING)
        return;
    if (said->outcome == INQUIRY_ANSWERED)
        gone(core, index, of);
    else
        exposure_put_off(core, of);
    care(core, index);
}

void provision_ends(core *core, uint32_t index, exposure *of, const call *call, enum inquiry_kind kind, const uint32_t *references, uint32_t count)
{
    uint8_t bytes[PROVISION_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    provision_put_subject(&out, of->fields, of->length);
    put_references(&out, references, count);
    exposure_end_ask(core, index, of, call, &(inquiry){ .kind = kind, .fields = bytes, .length = dro_builder_length(&out), .done = ended });
}

void provision_over(core *core, uint32_t index, exposure *of, const char *why)
{
    bool is_of_parameters = of->kind == EXPOSURE_PARAMETERS;
    exposure_over(core, index, of, why);
    if (is_of_parameters)
        schedule_freed(core, index);
}
