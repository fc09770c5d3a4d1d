/* JSON of requests: the first byte says which. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/nidd_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_one(body_arena *arena, unsigned which, body_text json, dro_builder *out, body_fault *fault)
{
    char id[IDENTIFIER_MAX + 1];
    switch (which % 10) {
    case 0: return body_read_twin(arena, json, out, fault);
    case 1: return body_read_twin_line(arena, json, out, id, fault);
    case 2: return body_read_property(arena, json, out, fault);
    case 3: return body_read_action(arena, json, out, fault);
    case 4: return body_read_application(arena, json, out, fault);
    case 6: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION, out, fault);
    case 7: return nidd_body_read(arena, json, NIDD_IN_CONFIGURATION_PATCH, out, fault);
    case 8: return nidd_body_read(arena, json, NIDD_IN_DELIVERY, out, fault);
    case 9: return nidd_body_read(arena, json, NIDD_IN_DELIVERY_PATCH, out, fault);
    default: return body_read_query(arena, json, out, fault);
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
    bool is_good = read_one(arena, data[0], (body_text){ data + 1, size - 1 }, &out, &fault);
    if (!is_good) {
        assert(fault.status == 400 || fault.status == 413 || fault.status == 422);
        assert(fault.detail[0] != '\0' && strlen(fault.pointer) < BODY_POINTER_MAX);
    } else if (data[0] % 10 != 5) {
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
