#include "twin/t8.h"

#include <string.h>

#include "twin/t8_monitoring.h"
#include "twin/t8_parameters.h"
#include "twin/t8_patterns.h"
#include "twin/t8_trigger.h"

const t8_api *const t8_apis[EXPOSURE_KINDS] = {
    [EXPOSURE_MONITORING] = &t8_monitoring,
    [EXPOSURE_TRIGGER] = &t8_trigger,
    [EXPOSURE_PATTERNS] = &t8_patterns,
    [EXPOSURE_PARAMETERS] = &t8_parameters,
};

const t8_api *t8_api_find(const char *path, size_t length)
{
    for (size_t i = 0; i < EXPOSURE_KINDS; i++)
        if (t8_apis[i] != NULL && strlen(t8_apis[i]->path) == length && memcmp(t8_apis[i]->path, path, length) == 0)
            return t8_apis[i];
    return NULL;
}

/* ---- fields ---- */

const dro_field *t8_find(const uint8_t *fields, size_t length, uint32_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(fields, length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

int64_t t8_integer(const uint8_t *fields, size_t length, uint32_t tag, int64_t absent)
{
    dro_field room;
    int64_t value = absent;
    const dro_field *field = t8_find(fields, length, tag, &room);
    if (field != NULL && field->length == sizeof value)
        memcpy(&value, field->bytes, sizeof value);
    return value;
}

uint32_t t8_option(const uint8_t *fields, size_t length, uint32_t tag, uint32_t absent)
{
    dro_field room;
    const dro_field *field = t8_find(fields, length, tag, &room);
    return field != NULL && field->length == 1 ? field->bytes[0] : absent;
}

const t8_member *t8_member_of(const t8_object *object, uint32_t tag)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (object->members[i].field == tag)
            return &object->members[i];
    return NULL;
}

enum { LENGTH_BYTES = 3 }; /* a varint that is as long whatever is in it: 21 bits */

size_t t8_object_begin(dro_builder *out, uint8_t tag)
{
    dro_builder_le(out, tag, 1);
    size_t begin = dro_builder_length(out);
    dro_builder_le(out, 0, LENGTH_BYTES);
    return begin;
}

void t8_object_end(dro_builder *out, size_t begin)
{
    if (out->err != DRO_OK)
        return;
    size_t length = dro_builder_length(out) - begin - LENGTH_BYTES;
    if (length >> 7 * LENGTH_BYTES != 0) {
        out->err = DRO_LIMIT;
        return;
    }
    out->start[begin] = (uint8_t)(length | 0x80);
    out->start[begin + 1] = (uint8_t)(length >> 7 | 0x80);
    out->start[begin + 2] = (uint8_t)(length >> 14 & 0x7f);
}

/* ---- patches ---- */

static void put_again(dro_builder *out, const dro_field *field)
{
    dro_field_put(out, (uint8_t)field->tag, field->bytes, field->length);
}

static bool is_nulled(const uint8_t *fields, size_t length, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == T8_FIELD_NULLED && field.length == 1 && field.bytes[0] == tag)
            return true;
    return false;
}

void t8_merge(const t8_object *patch, const uint8_t *old, size_t old_length, const uint8_t *fields, size_t length, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(old, old_length);
    dro_field field, room;
    while (dro_field_next(&in, &field))
        if (t8_find(fields, length, field.tag, &room) == NULL && !is_nulled(fields, length, field.tag))
            put_again(out, &field);
    in = dro_cursor_over(fields, length);
    while (dro_field_next(&in, &field))
        if (field.tag != T8_FIELD_NULLED && t8_member_of(patch, field.tag) != NULL)
            put_again(out, &field);
}

/* What a change puts in: fields of the member, of a list again and again. */
typedef struct change { t8_change head; const uint8_t *values; size_t length; } change;

static bool change_read(const dro_field *field, change *out)
{
    if (field->tag != T8_FIELD_CHANGE || field->length < sizeof out->head)
        return false;
    memcpy(&out->head, field->bytes, sizeof out->head);
    out->values = field->bytes + sizeof out->head;
    out->length = field->length - sizeof out->head;
    return true;
}

static uint32_t count_of(const uint8_t *fields, size_t length, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    uint32_t count = 0;
    while (dro_field_next(&in, &field))
        count += field.tag == tag;
    return count;
}

static const char *why_not(const change *change, const t8_member *member, uint32_t count)
{
    uint32_t place = change->head.place;
    if (place == T8_CHANGE_WHOLE)
        return change->head.kind == T8_CHANGE_ADD || count > 0 ? NULL : "is not there";
    if (!(member->uses & T8_LIST))
        return "is not a list";
    if (change->head.kind != T8_CHANGE_ADD)
        return place < count ? NULL : "has no such item";
    if (place != T8_CHANGE_END && place > count)
        return "has no such item";
    return count < T8_LIST_MAX ? NULL : "has too many items";
}

/* One change of `old` into `out`. */
static void change_apply(const change *change, const uint8_t *old, size_t old_length, uint32_t count, dro_builder *out)
{
    uint32_t place = change->head.place == T8_CHANGE_END ? count : change->head.place, at = 0;
    bool is_whole = place == T8_CHANGE_WHOLE, puts = change->head.kind != T8_CHANGE_REMOVE;
    dro_cursor in = dro_cursor_over(old, old_length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != change->head.tag) {
            put_again(out, &field);
            continue;
        }
        bool is_here = !is_whole && at++ == place;
        if (is_here && puts)
            dro_builder_bytes(out, change->values, change->length);
        if (!is_whole && (!is_here || change->head.kind == T8_CHANGE_ADD))
            put_again(out, &field);
    }
    if (puts && (is_whole || place >= count))
        dro_builder_bytes(out, change->values, change->length);
}

const char *t8_apply(const t8_object *object, const uint8_t *old, size_t old_length, const uint8_t *fields, size_t length,
                     dro_builder *out, uint8_t *tag)
{
    uint8_t rooms[2][T8_FIELDS_MAX];
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    if (old_length > sizeof rooms[0])
        return "is too large";
    if (old_length > 0) /* nothing has no address */
        memcpy(rooms[0], old, old_length);
    for (int turn = 0; dro_field_next(&in, &field);) {
        change change;
        if (!change_read(&field, &change))
            continue;
        dro_builder next = dro_builder_over(rooms[!turn], sizeof rooms[!turn]);
        const t8_member *member = t8_member_of(object, change.head.tag);
        uint32_t count = count_of(rooms[turn], old_length, change.head.tag);
        const char *why = member == NULL ? "cannot be changed" : why_not(&change, member, count);
        *tag = change.head.tag;
        if (why != NULL)
            return why;
        change_apply(&change, rooms[turn], old_length, count, &next);
        if (next.err != DRO_OK)
            return "makes it too large";
        old_length = dro_builder_length(&next);
        turn = !turn;
        memcpy(rooms[!turn], rooms[turn], old_length); /* either room may be the last */
    }
    dro_builder_bytes(out, rooms[0], old_length);
    return out->err == DRO_OK ? NULL : "makes it too large";
}
