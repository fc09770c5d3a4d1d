/* Audit: a request is pending till its answer, which has its note. */
#include "core/audit_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/host.h"
#include "core/render.h"

enum { MEMBERS_MAX = 32 };       /* of a request that are named */

/* ---- what its note says ---- */

static note **place_of(struct audit *audit, caller caller)
{
    note **at = &audit->pending[(caller.id * 0x9e3779b97f4a7c15u >> 32 ^ caller.gate) % AUDIT_BUCKETS];
    while (*at != NULL && ((*at)->caller.gate != caller.gate || (*at)->caller.id != caller.id))
        at = &(*at)->next;
    return at;
}

static const dro_field *field_of(const call *call, uint8_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

static void put_actor(core *core, const call *call, dro_builder *out)
{
    char text[256];
    const application *application = call->application == 0 ? NULL : application_at(core, call->application);
    if (call->operation == API_ACCESS_TOKEN)
        snprintf(text, sizeof text, "application %.*s", (int)(call->application_id.length < 200 ? call->application_id.length : 200),
                 call->application_id.at != NULL ? call->application_id.at : "");
    else if (call->application == 0)
        snprintf(text, sizeof text, "admin");
    else if (application != NULL && !application->is_session)
        snprintf(text, sizeof text, "application %.200s", application->id);
    else
        snprintf(text, sizeof text, "session %" PRIu32, call->application);
    audit_text_put(out, AUDIT_ACTOR, text);
}

static void put_text(dro_builder *out, uint8_t tag, text value)
{
    if (value.at != NULL && value.length > 0)
        dro_field_put(out, tag, value.at, value.length > 255 ? 255 : value.length);
}

static void put_number(dro_builder *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, number);
    if (number != 0)
        audit_text_put(out, AUDIT_OBJECT, text);
}

static bool is_of_applications(uint32_t operation)
{
    return operation == API_APPLICATION_PUT || operation == API_APPLICATION_PATCH || operation == API_APPLICATION_DELETE ||
           operation == API_APPLICATION_TOKEN || operation == API_CAPIF_REVOKE || (operation >= API_INVOKER_MAKE && operation <= API_INVOKER_SECURITY_REVOKE);
}

/* What is stopped, or goes on: the subject of a path under /v1/stops. */
static void put_stop(const call *call, dro_builder *out)
{
    char text[2 * 32 + 8];
    dro_field room;
    const dro_field *domain = field_of(call, API_FIELD_DOMAIN, &room);
    dro_builder digest = dro_builder_over(text, sizeof text - 1);
    if (call->operation != API_STOP_PUT && call->operation != API_STOP_DELETE)
        return;
    if (call->image != NULL) {
        dro_builder_text(&digest, "sha256:");
        line_put_hex(&digest, call->image, 32);
        *digest.at = '\0';
        audit_text_put(out, AUDIT_OBJECT, text);
    } else if (call->application_id.at != NULL) {
        put_text(out, AUDIT_OBJECT, call->application_id);
    } else if (domain != NULL) {
        dro_field_put(out, AUDIT_OBJECT, domain->bytes, domain->length > 255 ? 255 : domain->length);
    } else {
        audit_text_put(out, AUDIT_OBJECT, "code");
    }
}

static void put_objects(const call *call, dro_builder *out)
{
    bool has_both = call->group.at != NULL && call->id.at != NULL;
    put_text(out, AUDIT_IN, has_both && call->scs_as.at == NULL ? call->group : call->scs_as);
    if (is_of_applications(call->operation))
        put_text(out, AUDIT_OBJECT, call->application_id);
    if (call->group.at != NULL && (!has_both || call->scs_as.at != NULL))
        put_text(out, AUDIT_OBJECT, call->group);
    put_text(out, AUDIT_OBJECT, call->id);
    put_stop(call, out);
    if (call->operation == API_DOMAIN_ROTATE || call->operation == API_DOMAIN_DELETE)
        put_text(out, AUDIT_OBJECT, call->domain);
    put_text(out, AUDIT_OBJECT, call->peer);
    put_number(out, call->configuration);
    put_number(out, call->delivery);
    put_number(out, call->trace);
    put_text(out, AUDIT_MEMBER, call->name);
}

/* The names of what was given; of secrets and tags each. No value. */
static void put_members(const call *call, dro_builder *out)
{
    static const struct { uint8_t tag; const char *name; } names[] = {
        { API_FIELD_IMAGE, "image" }, { API_FIELD_MODEL, "model" }, { API_FIELD_IMSI, "imsi" }, { API_FIELD_MSISDN, "msisdn" },
        { API_FIELD_ALIAS, "aliases" }, { API_FIELD_TAG, "tags" }, { API_FIELD_SCOPES, "scopes" }, { API_FIELD_DOMAIN, "domains" },
        { API_FIELD_CEILING, "limits" }, { API_FIELD_CERTIFICATE, "certificates" }, { API_FIELD_APN, "apns" }, { API_FIELD_DESTINATION, "notificationDestination" },
        { API_FIELD_PUBLIC_KEY, "publicKey" }, { API_FIELD_SECURITY_CONTEXT, "securityInfo" },
    };
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    uint64_t told = 0;
    uint32_t count = 0;
    char text[256];
    while (dro_field_next(&in, &field) && count < MEMBERS_MAX) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (field.tag == names[i].tag && (told >> i & 1) == 0) {
                told |= 1ull << i;
                audit_text_put(out, AUDIT_MEMBER, names[i].name);
                count++;
            }
        if (field.tag == API_FIELD_SECRET && field.length > 0 && field.bytes[0] < field.length) {
            snprintf(text, sizeof text, "secrets.%.*s", field.bytes[0] < 60 ? field.bytes[0] : 60, (const char *)field.bytes + 1);
            audit_text_put(out, AUDIT_MEMBER, text);
            count++;
        } else if (field.tag == API_FIELD_NULLED) {
            snprintf(text, sizeof text, "%.*s=null", (int)(field.length < 60 ? field.length : 60), (const char *)field.bytes);
            audit_text_put(out, AUDIT_MEMBER, text);
            count++;
        }
    }
}

static size_t request_build(core *core, const call *call, const dro_field *asked, uint8_t bytes[AUDIT_BYTES_MAX])
{
    enum { HEAD = 2 + 8 };
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    dro_builder_bytes(&out, asked->bytes, 2);
    put_actor(core, call, &out);
    if (asked->length > HEAD)
        dro_field_put(&out, AUDIT_SOURCE, asked->bytes + HEAD, asked->length - HEAD > 255 ? 255 : asked->length - HEAD);
    dro_field_put(&out, AUDIT_REQUEST, asked->bytes + 2, 8);
    put_objects(call, &out);
    dro_builder whole = out;
    put_members(call, &out);
    return out.err == DRO_OK ? dro_builder_length(&out) : dro_builder_length(&whole);
}

bool audit_begin(core *core, const call *call)
{
    struct audit *audit = core->audit;
    dro_field room;
    const dro_field *asked = audit == NULL ? NULL : field_of(call, API_FIELD_AUDIT, &room);
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (audit == NULL)
        return true;
    audit->now = NULL;
    bool is_part = (call->operation == API_BACKUP && (call->limit != 0 || call->is_last || core->index > 0)) || (call->operation == API_IMAGE_PUT && !call->is_last);
    if (asked == NULL || asked->length < 2 + 8 || is_part)
        return true;
    note **at = place_of(audit, call->caller);
    if (*at != NULL) { /* it had to wait, or comes in parts */
        audit->now = *at;
        return true;
    }
    note *made = audit->pending_count < AUDIT_PENDING_MAX ? audit_note_new(bytes, request_build(core, call, asked, bytes)) : NULL;
    if (made == NULL)
        return false;
    made->caller = call->caller;
    made->number = audit->number_next++;
    *at = audit->now = made;
    audit->pending_count++;
    return true;
}

void audit_pause(core *core)
{
    if (core->audit != NULL)
        core->audit->now = NULL;
}

void audit_resume(core *core, caller caller)
{
    if (core->audit != NULL)
        core->audit->now = *place_of(core->audit, caller);
}

void audit_object(core *core, caller caller, const char *object)
{
    note **at = core->audit == NULL ? NULL : place_of(core->audit, caller);
    if (at == NULL || *at == NULL)
        return;
    uint8_t bytes[AUDIT_BYTES_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, (*at)->bytes, (*at)->length);
    audit_text_put(&out, AUDIT_OBJECT, object);
    note *made = out.err == DRO_OK ? audit_note_new(bytes, dro_builder_length(&out)) : NULL;
    if (made == NULL)
        return;
    note *old = *at;
    made->next = old->next;
    made->caller = old->caller;
    made->number = old->number;
    made->is_in_file = old->is_in_file;
    *at = made;
    if (core->audit->now == old)
        core->audit->now = made;
    free(old);
}

/* Is there an entry left for another refusal in this second? */
static bool refusal_has_room(core *core)
{
    struct audit *audit = core->audit;
    if (core->now_ns - audit->second_ns >= 1000000000) {
        audit->second_ns = core->now_ns;
        audit->refusals = 0;
    }
    if (audit->refusals++ < AUDIT_REFUSALS_A_SECOND)
        return true;
    audit->dropped++;
    return false;
}

void audit_note_often(core *core, enum audit_act act, const char *object, const char *detail)
{
    if (core->audit != NULL && refusal_has_room(core))
        audit_note(core, act, object, detail);
}

/* What was made, by the last part of its path; a twin's, a group's and an application's the request named. */
static void put_location(const note *of, const char *location, dro_builder *out)
{
    const char *last = location == NULL ? NULL : strrchr(location, '/');
    dro_cursor in = dro_cursor_over(of->bytes, of->length);
    dro_field field;
    if (last == NULL || last[1] == '\0')
        return;
    dro_cursor_le(&in, 2);
    while (dro_field_next(&in, &field))
        if (field.tag == AUDIT_OBJECT && (strstr(location, "/v1/") == location && strstr(location, "/images/") == NULL))
            return;
    audit_text_put(out, AUDIT_OBJECT, last + 1);
}

/* Out of the requests under way; what the host's file has of it stays owed until that is written without it. */
static void note_done(struct audit *audit, note **at, uint64_t round)
{
    note *gone = *at;
    *at = gone->next;
    audit->pending_count--;
    if (audit->now == gone)
        audit->now = NULL;
    if (!gone->is_in_file) {
        free(gone);
        return;
    }
    note **end = &audit->owed;
    while (*end != NULL)
        end = &(*end)->next;
    gone->next = NULL;
    gone->round = round;
    *end = gone;
    audit->owed_count++;
}

void audit_answered(core *core, caller caller, const reply *reply)
{
    uint8_t bytes[AUDIT_BYTES_MAX + 512];
    note **at = core->audit == NULL || core->audit->pending_count == 0 ? NULL : place_of(core->audit, caller);
    if (at == NULL || *at == NULL)
        return;
    const note *pending = *at;
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    dro_builder_bytes(&out, pending->bytes, pending->length);
    dro_builder whole = out;
    bool is_refusal = reply->status >= 400;
    if (reply->status == 201 || reply->status == 200)
        put_location(pending, reply->location, &out);
    if (out.err != DRO_OK)
        out = whole;
    out.end = bytes + sizeof bytes; /* the status always has room */
    dro_field_put(&out, AUDIT_STATUS, &reply->status, sizeof reply->status);
    bool is_told = audit_is_able(core) && (!is_refusal || pending->is_in_file || (!core->is_full && refusal_has_room(core)));
    if (is_told)
        audit_note_write(core, bytes, dro_builder_length(&out), pending->is_in_file ? pending->number : 0);
    else if (is_refusal && (core->is_full || !audit_is_able(core)))
        core->audit->dropped++;
    note_done(core->audit, at, is_told ? core->round_last + 1 : 0);
}

/* Whether it was done nobody will know from an answer: the entry says so. */
void audit_gate_lost(core *core, uint32_t gate)
{
    static const char why[] = "the gate ended before the answer left";
    struct audit *audit = core->audit;
    for (uint32_t i = 0; audit != NULL && i < AUDIT_BUCKETS; i++)
        for (note **at = &audit->pending[i]; *at != NULL;) {
            uint8_t bytes[AUDIT_BYTES_MAX + 512];
            dro_builder out = dro_builder_over(bytes, sizeof bytes);
            if ((*at)->caller.gate != gate) {
                at = &(*at)->next;
                continue;
            }
            dro_builder_bytes(&out, (*at)->bytes, (*at)->length);
            dro_field_put_text(&out, AUDIT_DETAIL, why);
            if (audit_is_able(core))
                audit_note_write(core, bytes, dro_builder_length(&out), (*at)->is_in_file ? (*at)->number : 0);
            note_done(audit, at, audit_is_able(core) ? core->round_last + 1 : 0);
        }
}

void audit_gate_says(core *core, const uint8_t *body, size_t length)
{
    dro_cursor in = dro_cursor_over(body, length);
    dro_field field;
    if (core->audit == NULL || length > AUDIT_BYTES_MAX || audit_act_text((uint32_t)dro_cursor_le(&in, 2), 0) == NULL)
        return;
    while (in.err == DRO_OK && dro_cursor_left(&in) > 0 && *in.at != 0) /* tag 0 is the padding */
        (void)dro_field_next(&in, &field);
    if (in.err == DRO_OK)
        audit_note_bytes(core, body, (size_t)(in.at - body));
}
