#include "desk/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64 * 1024,
    SCALAR_MAX = 64,   /* bytes of a number, true, false or null */
    ESCAPE_MAX = 6,    /* bytes one byte of text may become */
};

void answer_reset(answer *answer)
{
    if (answer->capacity > ANSWER_KEPT_MAX)
        answer_fini(answer);
    answer->length = 0;
    answer->is_full = false;
    answer->status = 200;
}

void answer_fini(answer *answer)
{
    free(answer->bytes);
    *answer = (struct answer){ 0 };
}

static bool has_room(answer *answer, size_t length)
{
    size_t wanted = answer->length + length;
    if (answer->is_full || wanted > ANSWER_BYTES_MAX) {
        answer->is_full = true;
        return false;
    }
    if (wanted <= answer->capacity)
        return true;
    size_t capacity = answer->capacity == 0 ? FIRST_CAPACITY : answer->capacity;
    while (capacity < wanted)
        capacity *= 2;
    char *bytes = realloc(answer->bytes, capacity);
    answer->is_full = bytes == NULL;
    if (bytes == NULL)
        return false;
    answer->bytes = bytes;
    answer->capacity = capacity;
    return true;
}

void answer_raw(answer *answer, const char *text)
{
    size_t length = strlen(text);
    if (!has_room(answer, length))
        return;
    memcpy(answer->bytes + answer->length, text, length);
    answer->length += length;
}

void answer_value(answer *answer, const value *value)
{
    if (!has_room(answer, value->kind == VALUE_STRING ? (size_t)value->length * ESCAPE_MAX + 2 : SCALAR_MAX))
        return;
    dro_builder out = dro_builder_over(answer->bytes + answer->length, answer->capacity - answer->length);
    value_json(&out, value);
    answer->length += dro_builder_length(&out);
    answer->is_full = answer->is_full || out.err != DRO_OK;
}

void answer_text(answer *answer, const char *bytes, size_t length)
{
    if (length > ANSWER_BYTES_MAX) {
        answer->is_full = true;
        return;
    }
    answer_value(answer, &(value){ .kind = VALUE_STRING, .length = (uint32_t)length, .string = bytes });
}

void answer_refusal(answer *answer, int status, const char *type, const char *title, const char *detail,
                    int64_t position)
{
    char number[48];
    answer_reset(answer);
    answer->status = status;
    answer_raw(answer, "{\"type\":");
    answer_text(answer, type, strlen(type));
    answer_raw(answer, ",\"title\":");
    answer_text(answer, title, strlen(title));
    snprintf(number, sizeof number, ",\"status\":%d,\"detail\":", status);
    answer_raw(answer, number);
    answer_text(answer, detail, strnlen(detail, PROBLEM_DETAIL_MAX));
    snprintf(number, sizeof number, ",\"position\":%" PRId64, position);
    if (position != ANSWER_NO_POSITION)
        answer_raw(answer, number);
    answer_raw(answer, "}");
}
