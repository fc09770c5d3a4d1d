/* Value: what a property holds, an action takes and an event carries.
 *
 * Encoded (in events to a twin, effects and log records) as
 *   kind u8, then  nothing        VALUE_NONE
 *                  f64 LE         VALUE_NUMBER   (finite)
 *                  i64 LE         VALUE_INTEGER
 *                  u8 0 or 1      VALUE_BOOLEAN
 *                  u16 LE, bytes  VALUE_STRING   (UTF-8, at most VALUE_STRING_MAX)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/cursor.h"

enum { VALUE_STRING_MAX = 256 };

typedef enum value_kind {
    VALUE_NONE,
    VALUE_NUMBER,
    VALUE_INTEGER,
    VALUE_BOOLEAN,
    VALUE_STRING,
} value_kind;

typedef struct value {
    value_kind kind;
    uint32_t length; /* of string */
    union {
        double number;
        int64_t integer;
        bool boolean;
        const char *string; /* borrowed, not NUL-terminated */
    };
} value;

/* DRO_RANGE into `out->err` for a number that is not finite or a string too long. UTF-8
 * is not looked at here: a base64 secret goes to its twin as the bytes it stands for. */
void value_write(dro_builder *out, const value *value);
/* Bytes value_write takes for it. */
uint32_t value_size(const value *value);
/* Strings borrow the input. Fails into `in->err`: unknown kind, a number that is
 * not finite, a boolean other than 0 or 1, a string too long or not UTF-8. */
value value_read(dro_cursor *in);
/* Equal in kind and content; an integer equals a number of the same worth. */
bool value_equal(const value *a, const value *b);
/* As JSON, numbers with the fewest digits that read back the same. */
void value_json(dro_builder *out, const value *value);
/* A JSON string with its quotes. What is not UTF-8 becomes U+FFFD, so it is JSON whatever comes. */
void json_text(dro_builder *out, const char *bytes, size_t length);
