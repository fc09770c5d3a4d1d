/* JSON of requests: the first byte says which. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/fields.h"
#include "gate/capif_body.h"
#include "gate/nidd_body.h"
#include "gate/t8_body.h"
#include "twin/identifier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now_ms = 1795348800000; /* 2026-11-22T12:00:00Z */

enum { QUERY = 5, T8 = 19, KINDS = T8 + 2 * EXPOSURE_KINDS };

/* A good one names a member and says which way; of a bad one the name is there as a whole or not at all. */
static bool read_member_line(body_arena *arena, body_text json, dro_builder *out, body_fault *fault)
{
    char id[IDENTIFIER_MAX + 1], same[EXTERNAL_IDENTIFIER_MAX + 1];
    bool is_member = false;
    bool is_good = body_read_member_line(arena, json, out, id, &is_member, fault);
    bool is_named = external_identifier_read(id, strlen(id), same);
    assert(is_named ? strcmp(id, same) == 0 : id[0] == '\0');
    assert(!is_good || is_named);
    return is_good;
}

/* What was read can be shown, and that is JSON again. */
static void t8_is_shown(const t8_api *api, const dro_builder *out)
{
    static char text[256 * 1024];
    dro_field room;
    const dro_field *resource = t8_find(out->start, dro_builder_length(out), API_FIELD_RESOURCE, &room);
    assert(resource != NULL);
    dro_builder json = dro_builder_over(text, sizeof text);
    dro_builder_text(&json, "{");
    t8_members_json(&json, api->resource, resource->bytes, resource->length, api->features, "");
    dro_builder_text(&json, "}");
    assert(json.err == DRO_OK);
    yyjson_doc *shown = yyjson_read(text, dro_builder_length(&json), YYJSON_READ_NOFLAG);
    assert(shown != NULL);
    yyjson_doc_free(shown);
}

/* A resource of T8; odd: a patch of it, which is applied to nothing. */
static bool read_t8(body_arena *arena, unsigned which, body_text json, dro_builder *out, body_fault *fault)
{
    const t8_api *api = t8_apis[which / 2];
    bool is_patch = which % 2 == 1;
    if (api == NULL || (is_patch && api->patch_kind == T8_PATCH_NONE) || !t8_body_read(arena, json, &(t8_body){ api, is_patch, now_ms }, out, fault)) {
        fault->status = fault->status == 0 ? 400 : fault->status;
        if (api == NULL || (is_patch && api->patch_kind == T8_PATCH_NONE))
            fault->detail[0] = '-'; /* nothing was read */
        return false;
    }
    if (!is_patch) {
        t8_is_shown(api, out);
    } else if (api->patch_kind == T8_PATCH_JSON) {
        uint8_t fields[T8_FIELDS_MAX], tag;
        dro_field room;
        dro_builder applied = dro_builder_over(fields, sizeof fields);
        const dro_field *resource = t8_find(out->start, dro_builder_length(out), API_FIELD_RESOURCE, &room);
        (void)t8_apply(api->resource, NULL, 0, resource->bytes, resource->length, &applied, &tag);
    }
    return true;
}

static bool read_one(body_arena *arena, unsigned which, body_text json, dro_builder *out, body_fault *fault)
{
    char id[IDENTIFIER_MAX + 1];
    switch (which) {
    case 0: return body_read_twin(arena, json, out, fault);
    case 1: return body_read_twin_line(arena, json, out, id, fault);
    case 2: return body_read_property(arena, json, out, fault);
    case 3: return body_read_action(arena, json, out, fault);
    case 4: return body_read_application(arena, json, out, fault);
    case 6: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION, now_ms, out, fault);
    case 7: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION_PATCH, now_ms, out, fault);
    case 8: return nidd_body_read(arena, json, NIDD_IN_DELIVERY, now_ms, out, fault);
    case 9: return nidd_body_read(arena, json, NIDD_IN_DELIVERY_PATCH, now_ms, out, fault);
    case 10: return body_read_application_patch(arena, json, out, fault);
    case 11: return body_read_group(arena, json, out, fault);
    case 12: return read_member_line(arena, json, out, fault);
    case 13: return body_read_trace(arena, json, out, fault);
    case 14: return capif_body_check(arena, json, out, fault);
    case 15: return capif_body_revocation(arena, json, true, out, fault);
    case 16: return capif_body_invoker(arena, json, false, out, fault);
    case 17: return capif_body_invoker(arena, json, true, out, fault);
    case 18: return capif_body_security(arena, json, &(capif_place){ "scef.dromio.test", true }, out, fault);
    case QUERY: return body_read_query(arena, json, out, fault);
    default: return read_t8(arena, which - T8, json, out, fault);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static body_arena *arena;
    static uint8_t bytes[BODY_FIELDS_MAX + HTTP_SQL_MAX];
    if (arena == NULL)
        arena = body_arena_new();
    if (size == 0 || size > HTTP_BODY_QUERY_MAX)
        return 0;
    body_fault fault = { 0 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    bool is_good = read_one(arena, data[0] % KINDS, (body_text){ data + 1, size - 1 }, &out, &fault);
    if (!is_good) {
        assert(fault.status == 400 || fault.status == 413 || fault.status == 422);
        assert(fault.detail[0] != '\0' && strlen(fault.pointer) < BODY_POINTER_MAX);
    } else if (data[0] % KINDS != QUERY) {
        dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
        dro_field field;
        while (dro_field_next(&in, &field))
            assert(field.tag != 0);
        assert(in.err == DRO_OK);
    }
    size_t length;
    const uint8_t *memory = body_arena_bytes(arena, &length);
    for (size_t i = 0; i < length && i < 4096; i++)
        assert(memory[i] == 0); /* wiped */
    return 0;
}
