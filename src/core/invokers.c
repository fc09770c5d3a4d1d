#include "core/invokers.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/call.h"
#include "core/capif.h"
#include "core/host.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "twin/access.h"

static const char onboarded_path[] = "/api-invoker-management/v1/onboardedInvokers/", trusted_path[] = "/capif-security/v1/trustedInvokers/";

/* ---- rows ---- */

static invoker *find(const core *core, uint32_t application)
{
    for (uint32_t i = 0; i < core->invokers.count; i++)
        if (core->invokers.list[i].application == application)
            return &core->invokers.list[i];
    return NULL;
}

static const dro_field *part(const invoker *invoker, uint8_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(invoker != NULL ? invoker->fields : NULL, invoker != NULL ? invoker->length : 0);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

/* Found, or made: at most one for each application, which are bounded. */
static invoker *get(core *core, uint32_t application)
{
    invoker_table *table = &core->invokers;
    invoker *found = find(core, application);
    if (found != NULL)
        return found;
    if (table->count == table->capacity) {
        uint32_t capacity = table->capacity > 0 ? 2 * table->capacity : 8;
        invoker *list = realloc(table->list, capacity * sizeof *list);
        if (list == NULL)
            return NULL;
        table->list = list;
        table->capacity = capacity;
    }
    table->list[table->count] = (invoker){ .application = application };
    return &table->list[table->count++];
}

void invoker_forget(core *core, uint32_t application)
{
    invoker *gone = find(core, application);
    if (gone == NULL)
        return;
    free(gone->fields);
    *gone = core->invokers.list[--core->invokers.count];
}

void invokers_free(core *core)
{
    for (uint32_t i = 0; i < core->invokers.count; i++)
        free(core->invokers.list[i].fields);
    free(core->invokers.list);
    core->invokers = (invoker_table){ 0 };
}

static dro_err take(core *core, uint32_t application, const uint8_t *fields, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    invoker *row = copy != NULL && length <= INVOKER_BYTES_MAX ? get(core, application) : NULL;
    if (row == NULL) {
        free(copy);
        return DRO_NOMEM;
    }
    if (length > 0)
        memcpy(copy, fields, length);
    free(row->fields);
    row->fields = copy;
    row->length = (uint32_t)length;
    return DRO_OK;
}

/* A row that says nothing goes, before the host's file is written. */
static dro_err keep(core *core, uint32_t application, const dro_builder *fields)
{
    if (fields->err != DRO_OK)
        return fields->err;
    invoker *row = find(core, application);
    invoker before = row != NULL ? *row : (invoker){ 0 };
    if (row != NULL)
        row->fields = NULL;
    dro_err err = take(core, application, fields->start, dro_builder_length(fields));
    if (err == DRO_OK && dro_builder_length(fields) == 0)
        invoker_forget(core, application);
    if (err == DRO_OK)
        err = host_keep(core);
    if (err == DRO_OK) {
        free(before.fields);
        return DRO_OK;
    }
    invoker_forget(core, application);
    row = before.fields != NULL ? get(core, application) : NULL;
    if (row != NULL)
        *row = before;
    else
        free(before.fields);
    return err;
}

/* Of one whose application goes in this write nothing is left. */
void invokers_write(core *core, dro_builder *out)
{
    static uint8_t bytes[4 + INVOKER_BYTES_MAX];
    for (uint32_t i = 0; i < core->invokers.count; i++) {
        const invoker *row = &core->invokers.list[i];
        dro_builder inner = dro_builder_over(bytes, sizeof bytes);
        if (application_at(core, row->application) == NULL)
            continue;
        dro_builder_le(&inner, row->application, 4);
        dro_builder_bytes(&inner, row->fields, row->length);
        dro_field_put(out, HOST_INVOKER, bytes, dro_builder_length(&inner));
    }
}

dro_err invoker_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t application = (uint32_t)dro_cursor_le(&in, 4);
    if (core->index != 0 || in.err != DRO_OK)
        return in.err;
    return take(core, application, in.at, dro_cursor_left(&in));
}

void invoker_credential_write(const core *core, uint32_t application, dro_builder *out)
{
    const invoker *row = core->index == 0 ? find(core, application) : NULL;
    dro_cursor in = dro_cursor_over(row != NULL ? row->fields : NULL, row != NULL ? row->length : 0);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_REVOKED)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

/* ---- who ---- */

/* The application of the path, if the caller is it or the administrator; else NULL after a problem. */
static application *invoker_called(core *core, const call *call)
{
    text id = call->application_id;
    application *found = id.at == NULL ? NULL : application_find(core, id.at, id.length);
    if (found != NULL && !found->is_session && (call->application == found->number || call->scopes & SCOPE_ADMIN))
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no API invoker of yours is called %.*s", (int)id.length, id.at != NULL ? id.at : "");
    return NULL;
}

/* The same, and it is onboarded. */
static application *onboarded(core *core, const call *call)
{
    dro_field room;
    application *found = invoker_called(core, call);
    if (found == NULL || part(find(core, found->number), API_FIELD_PUBLIC_KEY, &room) != NULL)
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "%s is not onboarded", found->id);
    return NULL;
}

static void not_kept(core *core, const call *call, dro_err err)
{
    tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept: %s", dro_err_text(err));
}

/* ---- enrolment ---- */

static bool is_of_enrolment(uint32_t tag)
{
    return tag == API_FIELD_PUBLIC_KEY || tag == API_FIELD_DESTINATION || tag == API_FIELD_INFORMATION || tag == API_FIELD_FEATURES;
}

static bool has(const call *call, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == tag)
            return true;
    return false;
}

/* The row as it will be: what the call has of the enrolment, and of the old one what it does not name (a patch) or is of
 * something else. */
static void enrolment_fields(const invoker *old, const call *call, bool is_patch, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(old != NULL ? old->fields : NULL, old != NULL ? old->length : 0);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (!is_of_enrolment(field.tag) || (is_patch && !has(call, field.tag)))
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    in = dro_cursor_over(call->fields, call->fields_length);
    while (dro_field_next(&in, &field))
        if (is_of_enrolment(field.tag))
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
}

static void text_member(dro_builder *out, const char *before, const dro_field *field)
{
    if (field == NULL)
        return;
    dro_builder_text(out, before);
    json_text(out, (const char *)field->bytes, field->length);
}

/* The APIs that its scopes open, by name. */
static void api_list_put(dro_builder *out, const application *application)
{
    bool is_first = true;
    const char *name;
    for (uint32_t i = 0; (name = service_api_name(i)) != NULL; i++) {
        if ((scope_of_api(name, strlen(name)) & application->scopes) == 0)
            continue;
        dro_builder_text(out, is_first ? ",\"apiList\":{\"serviceAPIDescriptions\":[{\"apiName\":\"" : ",{\"apiName\":\"");
        dro_builder_text(out, name);
        dro_builder_text(out, "\"}");
        is_first = false;
    }
    dro_builder_text(out, is_first ? "" : "]}");
}

/* APIInvokerEnrolmentDetails; the secret is shown once. */
static void enrolment_reply(core *core, const call *call, uint16_t status, const application *application, const char *secret)
{
    char location[sizeof onboarded_path + 1024];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES), link = dro_builder_over(location, sizeof location - 1);
    const invoker *row = find(core, application->number);
    dro_field room;
    dro_builder_text(&out, "{\"apiInvokerId\":");
    json_string(&out, application->id);
    text_member(&out, ",\"onboardingInformation\":{\"apiInvokerPublicKey\":", part(row, API_FIELD_PUBLIC_KEY, &room));
    if (secret != NULL)
        json_put(&out, ",\"onboardingSecret\":\"%s\"", secret);
    dro_builder_text(&out, "}");
    text_member(&out, ",\"notificationDestination\":", part(row, API_FIELD_DESTINATION, &room));
    text_member(&out, ",\"apiInvokerInformation\":", part(row, API_FIELD_INFORMATION, &room));
    if (part(row, API_FIELD_FEATURES, &room) != NULL)
        dro_builder_text(&out, ",\"supportedFeatures\":\"0\"");
    api_list_put(&out, application);
    dro_builder_text(&out, "}");
    dro_builder_text(&link, core->options.t8_root != NULL ? core->options.t8_root : "");
    dro_builder_text(&link, onboarded_path);
    dro_builder_text(&link, application->id);
    *link.at = '\0';
    call_reply(core, call, status, UINT64_MAX, status == 201 ? location : NULL, &out);
    if (secret != NULL)
        dro_wipe(core->scratch, dro_builder_length(&out));
}

/* The token that the administrator gave it is its credential for this, once: a new one takes its place, in the same write
 * of the host's file, so that there is no moment with both or none. */
void api_invoker_make(core *core, const call *call)
{
    static uint8_t bytes[INVOKER_BYTES_MAX];
    char secret[TOKEN_TEXT];
    dro_field room;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    application *invoker = call->application == 0 ? NULL : application_at(core, call->application);
    if (invoker == NULL || invoker->is_session) {
        tell_problem(core, call->caller, 403, "about:blank", "an application onboards with its own token, which the administrator gave it");
        return;
    }
    if (part(find(core, invoker->number), API_FIELD_PUBLIC_KEY, &room) != NULL) {
        tell_problem(core, call->caller, 403, "about:blank", "%s is onboarded already; it may be changed or offboarded", invoker->id);
        return;
    }
    struct application before = *invoker;
    enrolment_fields(find(core, invoker->number), call, false, &fields);
    application_token_renew(core, invoker, secret);
    dro_err err = keep(core, invoker->number, &fields);
    if (err == DRO_OK) {
        credentials_send(core, NONE, &before, true);
        credentials_send(core, NONE, invoker, false);
        enrolment_reply(core, call, 201, invoker, secret);
    } else {
        memcpy(invoker->token, before.token, sizeof before.token);
        not_kept(core, call, err);
    }
    dro_wipe(secret, sizeof secret);
}

void api_invoker_change(core *core, const call *call)
{
    static uint8_t bytes[INVOKER_BYTES_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    application *invoker = onboarded(core, call);
    if (invoker == NULL)
        return;
    enrolment_fields(find(core, invoker->number), call, call->operation == API_INVOKER_PATCH, &fields);
    dro_err err = keep(core, invoker->number, &fields);
    if (err == DRO_OK)
        enrolment_reply(core, call, 200, invoker, NULL);
    else
        not_kept(core, call, err);
}

/* Nobody knows its new token: who wants to come again asks the administrator for one. */
void api_invoker_delete(core *core, const call *call)
{
    static uint8_t bytes[INVOKER_BYTES_MAX];
    char secret[TOKEN_TEXT];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    application *invoker = onboarded(core, call);
    if (invoker == NULL)
        return;
    struct application before = *invoker;
    invoker_credential_write(core, invoker->number, &fields); /* what was revoked stays so */
    application_token_renew(core, invoker, secret);
    dro_wipe(secret, sizeof secret);
    dro_err err = keep(core, invoker->number, &fields);
    if (err != DRO_OK) {
        memcpy(invoker->token, before.token, sizeof before.token);
        not_kept(core, call, err);
        return;
    }
    credentials_send(core, NONE, &before, true);
    credentials_send(core, NONE, invoker, false);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* ---- security contexts ---- */

/* The row with another security context, or without one. */
static dro_err security_keep(core *core, const application *invoker, const dro_field *security)
{
    static uint8_t bytes[INVOKER_BYTES_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    const struct invoker *old = find(core, invoker->number);
    dro_cursor in = dro_cursor_over(old != NULL ? old->fields : NULL, old != NULL ? old->length : 0);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_SECURITY_CONTEXT)
            dro_field_put(&fields, (uint8_t)field.tag, field.bytes, field.length);
    if (security != NULL)
        dro_field_put(&fields, API_FIELD_SECURITY_CONTEXT, security->bytes, security->length);
    return keep(core, invoker->number, &fields);
}

static void security_reply(core *core, const call *call, uint16_t status, const application *invoker)
{
    char location[sizeof trusted_path + 1024];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES), link = dro_builder_over(location, sizeof location - 1);
    dro_field room;
    const dro_field *security = part(find(core, invoker->number), API_FIELD_SECURITY_CONTEXT, &room);
    dro_builder_bytes(&out, security->bytes, security->length);
    dro_builder_text(&link, core->options.t8_root != NULL ? core->options.t8_root : "");
    dro_builder_text(&link, trusted_path);
    dro_builder_text(&link, invoker->id);
    *link.at = '\0';
    call_reply(core, call, status, UINT64_MAX, status == 201 ? location : NULL, &out);
}

/* Of an invoker that has one; NULL after a problem. */
static application *secured(core *core, const call *call)
{
    dro_field room;
    application *found = invoker_called(core, call);
    if (found == NULL || part(find(core, found->number), API_FIELD_SECURITY_CONTEXT, &room) != NULL)
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "%s has no security context", found->id);
    return NULL;
}

void api_invoker_security_get(core *core, const call *call)
{
    const application *invoker = secured(core, call);
    if (invoker != NULL)
        security_reply(core, call, 200, invoker);
}

void api_invoker_security_put(core *core, const call *call)
{
    bool is_update = call->operation == API_INVOKER_SECURITY_UPDATE;
    const application *invoker = is_update ? secured(core, call) : onboarded(core, call);
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field = { 0 };
    if (invoker == NULL)
        return;
    while (dro_field_next(&in, &field) && field.tag != API_FIELD_SECURITY_CONTEXT)
        ;
    dro_err err = in.err != DRO_OK || field.tag != API_FIELD_SECURITY_CONTEXT ? DRO_MALFORMED : security_keep(core, invoker, &field);
    if (err == DRO_OK)
        security_reply(core, call, is_update ? 200 : 201, invoker);
    else
        not_kept(core, call, err);
}

void api_invoker_security_delete(core *core, const call *call)
{
    const application *invoker = secured(core, call);
    dro_err err = invoker == NULL ? DRO_OK : security_keep(core, invoker, NULL);
    if (invoker != NULL && err == DRO_OK)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
    else if (invoker != NULL)
        not_kept(core, call, err);
}

/* ---- revocation ---- */

/* Of each scope the newest; scopes with the same time share a field. */
static void revocations_put(const invoker *old, uint32_t scopes, int64_t now_ms, dro_builder *out)
{
    static const uint32_t kinds[INVOKER_REVOCATIONS_MAX] = { SCOPE_NIDD, SCOPE_MONITORING, SCOPE_TRIGGER, SCOPE_PARAMETERS };
    for (int i = 0; i < INVOKER_REVOCATIONS_MAX; i++) {
        uint8_t bytes[12];
        int64_t at_ms = scopes & kinds[i] ? now_ms : 0;
        dro_cursor in = dro_cursor_over(old != NULL ? old->fields : NULL, old != NULL ? old->length : 0);
        dro_field field;
        uint32_t which;
        while (at_ms == 0 && dro_field_next(&in, &field)) {
            if (field.tag != API_FIELD_REVOKED || field.length != sizeof bytes)
                continue;
            memcpy(&which, field.bytes, 4);
            if (which & kinds[i])
                memcpy(&at_ms, field.bytes + 4, 8);
        }
        memcpy(bytes, &kinds[i], 4);
        memcpy(bytes + 4, &at_ms, 8);
        if (at_ms != 0)
            dro_field_put(out, API_FIELD_REVOKED, bytes, sizeof bytes);
    }
}

/* SecurityNotification: tokens of before are good no more for these APIs; a new one is. */
void api_capif_revoke(core *core, const call *call)
{
    static uint8_t bytes[INVOKER_BYTES_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    text id = call->application_id;
    const application *application = id.at == NULL ? NULL : application_find(core, id.at, id.length);
    uint32_t scopes = 0;
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    bool is_one = true; /* the path's invoker is the body's */
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_APPLICATION)
            is_one &= id.at != NULL && field.length == id.length && memcmp(field.bytes, id.at, id.length) == 0;
        else if (field.tag == API_FIELD_CAPIF_ID)
            scopes |= capif_scope_of(core, (const char *)field.bytes, field.length);
    if (!is_one) {
        tell_problem(core, call->caller, 400, "about:blank", "/apiInvokerId: is not the one of the path");
        return;
    }
    if (application == NULL || application->is_session || scopes == 0) {
        tell_problem(core, call->caller, 404, "about:blank", application == NULL ? "no API invoker is called that" : "none of these service APIs is here");
        return;
    }
    const invoker *old = find(core, application->number);
    in = dro_cursor_over(old != NULL ? old->fields : NULL, old != NULL ? old->length : 0);
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_REVOKED)
            dro_field_put(&fields, (uint8_t)field.tag, field.bytes, field.length);
    revocations_put(old, scopes, core->now_ms, &fields);
    dro_err err = keep(core, application->number, &fields);
    if (err != DRO_OK) {
        not_kept(core, call, err);
        return;
    }
    dro_info("capif_revoked application=%s scopes=%#x", application->id, scopes);
    credentials_send(core, NONE, application, false);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"supportedFeatures\":\"0\"}");
    bool has_answer = call->operation == API_CAPIF_REVOKE;
    call_reply(core, call, has_answer ? 200 : 204, UINT64_MAX, NULL, has_answer ? &out : NULL);
}
