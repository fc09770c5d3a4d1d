#include "cell/artifact.h"

#include <assert.h>
#include <stdlib.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "cell/admit.h"
#include "twin/event.h"

static const char magic[8] = { 'D', 'R', 'O', 'M', 'A', 'R', 'T', '1' };

enum { FLAG_EXACT = 1, FLAG_FRESH = 2, FLAG_STATE = 4, FLAG_PLAIN = 8, FLAG_COMPUTES = 16, FLAGS = 31 };
enum { CODE_ALIGNMENT = 16, FIXED_MAX = 1024 };
static_assert(FIXED_MAX >= 64 + ARTIFACT_KEY_MAX + ENGINE_GLOBALS_MAX * sizeof(uint64_t) + MODEL_PROPERTIES_MAX + MODEL_EVENTS_MAX, "all that is neither memory nor code");

static void write_info(dro_builder *out, const artifact_info *info)
{
    int flags = (info->is_exact ? FLAG_EXACT : 0) | (info->is_fresh ? FLAG_FRESH : 0) |
                (info->exports_state ? FLAG_STATE : 0) | (info->is_plain_wanted ? FLAG_PLAIN : 0) |
                (info->computes ? FLAG_COMPUTES : 0);
    dro_builder_le(out, (uint64_t)flags, 1);
    dro_builder_le(out, info->memory_bytes, 4);
    dro_builder_le(out, info->memory_limit, 4);
    dro_builder_le(out, info->event_buffer, 4);
    dro_builder_le(out, info->dead_start, 4);
    dro_builder_le(out, info->dead_end, 4);
    dro_builder_le(out, info->dead_global, 4);
    dro_builder_le(out, info->table_count, 1);
    dro_builder_le(out, info->global_count, 1);
    dro_builder_bytes(out, info->globals, info->global_count * sizeof info->globals[0]);
    dro_builder_le(out, info->property_count, 1);
    dro_builder_bytes(out, info->property_kinds, info->property_count);
    dro_builder_le(out, info->event_count, 1);
    dro_builder_bytes(out, info->event_kinds, info->event_count);
}

dro_err artifact_write(const artifact *artifact, uint8_t **bytes, size_t *length)
{
    size_t capacity = FIXED_MAX + artifact->baseline_length + artifact->code_length;
    uint8_t *room = malloc(capacity);
    if (room == NULL)
        return DRO_NOMEM;
    dro_builder out = dro_builder_over(room, capacity);
    dro_builder_bytes(&out, magic, sizeof magic);
    dro_builder_le(&out, strlen(artifact->key), 1);
    dro_builder_text(&out, artifact->key);
    write_info(&out, &artifact->info);
    dro_builder_le(&out, artifact->baseline_length, 4);
    dro_builder_bytes(&out, artifact->baseline, artifact->baseline_length);
    dro_builder_le(&out, artifact->code_length, 8);
    while (dro_builder_length(&out) % CODE_ALIGNMENT != 0)
        dro_builder_le(&out, 0, 1);
    dro_builder_bytes(&out, artifact->code, artifact->code_length);
    assert(out.err == DRO_OK);
    *bytes = room;
    *length = dro_builder_length(&out);
    return DRO_OK;
}

static void read_bytes(dro_cursor *in, void *out, size_t length)
{
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    if (bytes != NULL)
        memcpy(out, bytes, length);
}

static uint8_t read_upto(dro_cursor *in, uint8_t most)
{
    uint64_t number = dro_cursor_le(in, 1);
    if (in->err == DRO_OK && number > most)
        in->err = DRO_CORRUPT;
    return in->err == DRO_OK ? (uint8_t)number : 0;
}

static void read_info(dro_cursor *in, artifact_info *info)
{
    uint8_t flags = read_upto(in, FLAGS);
    info->is_exact = flags & FLAG_EXACT;
    info->is_fresh = flags & FLAG_FRESH;
    info->exports_state = flags & FLAG_STATE;
    info->is_plain_wanted = flags & FLAG_PLAIN;
    info->computes = flags & FLAG_COMPUTES;
    info->memory_bytes = (uint32_t)dro_cursor_le(in, 4);
    info->memory_limit = (uint32_t)dro_cursor_le(in, 4);
    info->event_buffer = (uint32_t)dro_cursor_le(in, 4);
    info->dead_start = (uint32_t)dro_cursor_le(in, 4);
    info->dead_end = (uint32_t)dro_cursor_le(in, 4);
    info->dead_global = (uint32_t)dro_cursor_le(in, 4);
    info->table_count = read_upto(in, ENGINE_TABLES_MAX);
    info->global_count = read_upto(in, ENGINE_GLOBALS_MAX);
    read_bytes(in, info->globals, info->global_count * sizeof info->globals[0]);
    info->property_count = read_upto(in, MODEL_PROPERTIES_MAX);
    read_bytes(in, info->property_kinds, info->property_count);
    info->event_count = read_upto(in, MODEL_EVENTS_MAX);
    read_bytes(in, info->event_kinds, info->event_count);
}

static bool info_is_sound(const artifact_info *info)
{
    for (uint32_t i = 0; i < info->property_count; i++)
        if (info->property_kinds[i] == VALUE_NONE || info->property_kinds[i] > VALUE_STRING)
            return false;
    for (uint32_t i = 0; i < info->event_count; i++)
        if (info->event_kinds[i] > VALUE_STRING)
            return false;
    return info->memory_bytes > 0 && info->memory_bytes % CHUNK == 0 && info->memory_limit % CHUNK == 0 &&
           info->memory_bytes <= info->memory_limit && info->memory_limit <= ADMIT_MEMORY_MAX &&
           (info->memory_bytes == info->memory_limit || (info->is_fresh && !info->computes)) &&
           !(info->computes && info->is_exact) && (info->table_count == 0 || info->is_fresh) &&
           (uint64_t)info->event_buffer + EVENT_BYTES_MAX <= info->memory_bytes &&
           info->dead_start <= info->dead_end && info->dead_end <= info->memory_bytes &&
           (info->dead_start == info->dead_end || info->dead_global < info->global_count);
}

dro_err artifact_read(artifact *artifact, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    memset(artifact, 0, sizeof *artifact);
    const uint8_t *start = dro_cursor_bytes(&in, sizeof magic);
    if (start == NULL || memcmp(start, magic, sizeof magic) != 0)
        return DRO_CORRUPT;
    uint8_t key_length = read_upto(&in, ARTIFACT_KEY_MAX);
    read_bytes(&in, artifact->key, key_length);
    read_info(&in, &artifact->info);
    artifact->baseline_length = (uint32_t)dro_cursor_le(&in, 4);
    artifact->baseline = dro_cursor_bytes(&in, artifact->baseline_length);
    uint64_t code_length = dro_cursor_le(&in, 8);
    if (in.err == DRO_OK)
        dro_cursor_bytes(&in, (CODE_ALIGNMENT - (size_t)(in.at - bytes) % CODE_ALIGNMENT) % CODE_ALIGNMENT);
    if (in.err != DRO_OK || code_length != dro_cursor_left(&in) || code_length == 0 ||
        code_length > ARTIFACT_CODE_MAX || artifact->baseline_length > artifact->info.memory_bytes ||
        !info_is_sound(&artifact->info))
        return DRO_CORRUPT;
    artifact->code = in.at;
    artifact->code_length = (size_t)code_length;
    return DRO_OK;
}
