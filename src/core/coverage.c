/* ECRControl of T8 (TS 29.122, 5.12): the network is asked, or told, in which networks a device may use enhanced coverage.
 * It is the network's to keep: here is nothing of it. */
#include "core/coverage.h"

#include <string.h>

#include "core/call.h"
#include "core/host.h"
#include "core/inquiry.h"
#include "core/nidd.h"
#include "core/provision.h"
#include "core/render.h"
#include "core/tell.h"
#include "twin/t8_coverage.h"
#include "twin/t8_monitoring.h"

enum { PLMN_DIGITS = 6 };

/* The token's application, or with the administrator's token the one that the body names. NULL after a problem. */
static const application *owner_of(core *core, const call *call)
{
    dro_field room;
    const dro_field *named = t8_find(call->resource, call->resource_length, COVERAGE_SCS_AS, &room);
    const application *owner = named != NULL ? application_find(core, (const char *)named->bytes, named->length) : application_at(core, call->application);
    if (owner != NULL && (call->application == owner->number || call->scopes & SCOPE_ADMIN))
        return owner;
    if (call->scopes & SCOPE_ADMIN)
        tell_problem(core, call->caller, 404, "about:blank", "scsAsId must name an application where the token is not of one");
    else
        tell_problem(core, call->caller, 403, "about:blank", "this token is not one of scsAsId");
    return NULL;
}

/* mcc and mnc of an entry behind each other; their digits are checked. */
static bool plmn_of(const dro_field *entry, char out[PLMN_DIGITS + 1])
{
    dro_field mcc, mnc;
    if (t8_find(entry->bytes, entry->length, PLMN_MCC, &mcc) == NULL || t8_find(entry->bytes, entry->length, PLMN_MNC, &mnc) == NULL ||
        mcc.length + mnc.length > PLMN_DIGITS)
        return false;
    memcpy(out, mcc.bytes, mcc.length);
    memcpy(out + mcc.length, mnc.bytes, mnc.length);
    out[mcc.length + mnc.length] = '\0';
    return strspn(out, "0123456789") == mcc.length + mnc.length;
}

/* False after a problem. */
static bool put_list(core *core, const call *call, uint8_t list, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(call->resource, call->resource_length);
    dro_field field;
    uint8_t kind = list == COVERAGE_RESTRICTED_PLMN ? COVERAGE_RESTRICTED : COVERAGE_ALLOWED;
    dro_field_put(out, API_FIELD_COVERAGE, &kind, 1);
    while (dro_field_next(&in, &field)) {
        char plmn[PLMN_DIGITS + 1];
        if (field.tag != list || field.length == 0)
            continue;
        if (!plmn_of(&field, plmn)) {
            tell_invalid(core, call->caller, 400, NULL, kind == COVERAGE_RESTRICTED ? "/restrictedPlmnIds" : "/allowedPlmnIds",
                         "mcc must have 3 digits, mnc 2 or 3");
            return false;
        }
        dro_field_put_text(out, API_FIELD_PLMN, plmn);
    }
    return true;
}

/* What is asked for. False after a problem. */
static bool question_put(core *core, const call *call, dro_builder *out)
{
    dro_field room;
    bool has_restricted = t8_find(call->resource, call->resource_length, COVERAGE_RESTRICTED_PLMN, &room) != NULL;
    bool has_allowed = t8_find(call->resource, call->resource_length, COVERAGE_ALLOWED_PLMN, &room) != NULL;
    bool is_query = call->operation == API_COVERAGE_QUERY;
    const char *why = is_query && (has_restricted || has_allowed) ? "cannot be there in a query"
                    : has_restricted && has_allowed               ? "cannot be there beside allowedPlmnIds"
                    : !is_query && !has_restricted && !has_allowed ? "or allowedPlmnIds must be there" : NULL;
    provision_put_subject(out, call->resource, call->resource_length);
    if (why != NULL) {
        tell_invalid(core, call->caller, 400, NULL, has_allowed && !has_restricted ? "/allowedPlmnIds" : "/restrictedPlmnIds", "%s %s",
                     has_allowed && !has_restricted ? "allowedPlmnIds" : "restrictedPlmnIds", why);
        return false;
    }
    if (!is_query)
        return put_list(core, call, has_restricted ? COVERAGE_RESTRICTED_PLMN : COVERAGE_ALLOWED_PLMN, out);
    uint8_t kind = COVERAGE_UNSAID;
    dro_field_put(out, API_FIELD_COVERAGE, &kind, 1);
    return true;
}

static void put_plmn(dro_builder *out, const dro_field *field)
{
    json_put(out, "{\"mcc\":\"%.3s\",\"mnc\":\"%.*s\"}", (const char *)field->bytes, (int)field->length - 3, (const char *)field->bytes + 3);
}

static void put_plmns(dro_builder *out, const uint8_t *fields, size_t length)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    const char *before = "";
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_PLMN || field.length < 5)
            continue;
        dro_builder_text(out, before);
        put_plmn(out, &field);
        before = ",";
    }
}

/* ECRData: as the network says; where it says nothing to a change, as it was told. */
static void reply_data(core *core, const call *call, const inquiry_said *said)
{
    uint8_t told[2048];
    dro_builder question = dro_builder_over(told, sizeof told), json = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_field room, visited;
    const uint8_t *fields = said->fields;
    size_t length = said->length;
    bool has_visited = t8_find(said->fields, said->length, API_FIELD_PLMN_VISITED, &visited) != NULL && visited.length >= 5;
    if (t8_find(fields, length, API_FIELD_COVERAGE, &room) == NULL && call->operation == API_COVERAGE_CONFIGURE && question_put(core, call, &question)) {
        fields = told;
        length = dro_builder_length(&question);
    }
    const dro_field *kind = t8_find(fields, length, API_FIELD_COVERAGE, &room);
    dro_builder_text(&json, "{\"supportedFeatures\":\"0\"");
    if (has_visited) {
        dro_builder_text(&json, ",\"visitedPlmnId\":");
        put_plmn(&json, &visited);
    }
    if (kind != NULL && kind->length == 1 && kind->bytes[0] != COVERAGE_UNSAID) {
        dro_builder_text(&json, kind->bytes[0] == COVERAGE_RESTRICTED ? ",\"restrictedPlmnIds\":[" : ",\"allowedPlmnIds\":[");
        put_plmns(&json, fields, length);
        dro_builder_text(&json, "]");
    }
    dro_builder_text(&json, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &json);
}

static void agreed(core *core, const inquiry *asked, const inquiry_said *said)
{
    if (said->outcome != INQUIRY_ANSWERED)
        inquiry_tell_why(core, asked, said);
    else
        (void)inquiry_take_up(core, asked, said);
}

void api_coverage(core *core, const call *call)
{
    uint8_t bytes[2048];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    const application *owner = owner_of(core, call);
    uint32_t index = owner == NULL ? NONE : nidd_twin_named(core, call, call->resource, call->resource_length, owner);
    if (index == NONE || !question_put(core, call, &out))
        return;
    if (core->said != NULL) {
        if (!provision_refused(core, call, core->said, false, "/restrictedPlmnIds"))
            reply_data(core, call, core->said);
        return;
    }
    if (provision_has_nobody(core, call, INQUIRY_COVERAGE))
        return;
    if (out.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "there are too many networks");
        return;
    }
    inquiry asked = { .kind = INQUIRY_COVERAGE, .fields = bytes, .length = dro_builder_length(&out), .done = agreed };
    (void)inquiry_defer(core, call, &asked);
}
