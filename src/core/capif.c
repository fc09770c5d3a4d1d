#include "core/capif.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/call.h"
#include "core/host.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "twin/access.h"

static dro_err take(core *core, const uint8_t *fields, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL || length > CAPIF_STATE_MAX) {
        free(copy);
        return copy == NULL ? DRO_NOMEM : DRO_LIMIT;
    }
    memcpy(copy, fields, length);
    free(core->capif.fields);
    core->capif = (capif){ copy, (uint32_t)length };
    return DRO_OK;
}

/* Without the padding of the ring. DRO_MALFORMED: no list of fields. */
static dro_err fields_length(const uint8_t *bytes, size_t length, size_t *out)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    dro_field field;
    while (dro_cursor_left(&in) > 0 && *in.at != 0 && dro_field_next(&in, &field))
        *out = (size_t)(in.at - bytes);
    return in.err;
}

void capif_send(core *core, uint32_t gate)
{
    gates_tell(core, gate, MESSAGE_CAPIF, core->capif.fields != NULL ? core->capif.fields : (const uint8_t *)"", core->capif.length);
}

/* Kept or not, it is true: what could not be kept is found again at the core function. */
void capif_on_state(core *core, const uint8_t *body, uint32_t length)
{
    capif_news news;
    size_t all = 0;
    if (core->index != 0 || length < sizeof news || fields_length(body + sizeof news, length - sizeof news, &all) != DRO_OK)
        return;
    memcpy(&news, body, sizeof news);
    dro_err err = take(core, body + sizeof news, all);
    if (err == DRO_OK && news.is_kept)
        err = host_keep(core);
    if (err != DRO_OK)
        dro_error("capif_not_kept reason=\"%s\"", dro_err_text(err));
    capif_send(core, NONE);
}

dro_err capif_read(core *core, const dro_field *field)
{
    return core->index == 0 ? take(core, field->bytes, field->length) : DRO_OK;
}

void capif_free(core *core)
{
    free(core->capif.fields);
    core->capif = (capif){ 0 };
}

/* ---- GET /v1/capif ---- */

static const dro_field *find(const uint8_t *fields, size_t length, uint8_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(fields, length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

static void text_put(dro_builder *out, const char *name, const uint8_t *fields, size_t length, uint8_t tag)
{
    dro_field room;
    const dro_field *field = find(fields, length, tag, &room);
    if (field == NULL)
        return;
    json_put(out, "\"%s\":", name);
    json_text(out, (const char *)field->bytes, field->length);
    dro_builder_text(out, ",");
}

static void api_put(dro_builder *out, const dro_field *api)
{
    dro_field room;
    const dro_field *field;
    bool is_going = find(api->bytes, api->length, API_FIELD_LAST, &room) != NULL;
    bool is_there = find(api->bytes, api->length, API_FIELD_CAPIF_ID, &room) != NULL;
    int64_t time_ms = 0;
    dro_builder_text(out, "{");
    text_put(out, "name", api->bytes, api->length, API_FIELD_NAME);
    text_put(out, "id", api->bytes, api->length, API_FIELD_CAPIF_ID);
    text_put(out, "reason", api->bytes, api->length, API_FIELD_DETAIL);
    json_put(out, "\"status\":\"%s\",\"since\":", is_going ? "withdrawing" : is_there ? "published" : "waiting");
    if ((field = find(api->bytes, api->length, API_FIELD_TIME, &room)) != NULL && field->length == sizeof time_ms)
        memcpy(&time_ms, field->bytes, sizeof time_ms);
    json_time(out, time_ms);
    dro_builder_text(out, "}");
}

uint32_t capif_scope_of(const core *core, const char *id, size_t length)
{
    dro_cursor in = dro_cursor_over(core->capif.fields, core->capif.length);
    dro_field field, room;
    while (core->capif.fields != NULL && dro_field_next(&in, &field)) {
        const dro_field *given = field.tag == API_FIELD_CAPIF_API ? find(field.bytes, field.length, API_FIELD_CAPIF_ID, &room) : NULL;
        if (given == NULL || given->length != length || memcmp(given->bytes, id, length) != 0)
            continue;
        const dro_field *name = find(field.bytes, field.length, API_FIELD_NAME, &room);
        return name == NULL ? 0 : scope_of_api((const char *)name->bytes, name->length);
    }
    return scope_of_api(id, length);
}

void api_capif_status(core *core, const call *call)
{
    const capif *capif = &core->capif;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_cursor in = dro_cursor_over(capif->fields, capif->length);
    dro_field field;
    bool is_first = true;
    dro_builder_text(&out, "{");
    text_put(&out, "core_function", capif->fields, capif->length, API_FIELD_CAPIF_ROOT);
    text_put(&out, "registration", capif->fields, capif->length, API_FIELD_CAPIF_REGISTRATION);
    text_put(&out, "apf", capif->fields, capif->length, API_FIELD_CAPIF_APF);
    text_put(&out, "aef", capif->fields, capif->length, API_FIELD_CAPIF_AEF);
    text_put(&out, "reason", capif->fields, capif->length, API_FIELD_DETAIL);
    dro_builder_text(&out, "\"apis\":[");
    while (capif->fields != NULL && dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_CAPIF_API)
            continue;
        dro_builder_text(&out, is_first ? "" : ",");
        api_put(&out, &field);
        is_first = false;
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}
