/* Line: where a line of a file that the host writes about itself comes from (charging, audit). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/cursor.h"

/* Names it for good. */
typedef struct line_origin {
    uint64_t series;             /* of the directory: random, made with it */
    uint32_t generation, core;   /* of the log; both UINT32_MAX: of no log */
    uint64_t place;              /* of its record there */
    uint32_t index;              /* of those of that record */
    uint64_t sequence;           /* of all lines of the series, from 1, without a gap */
    int64_t time_ms;
    const char *node;            /* identity of this host */
} line_origin;

enum { LINE_ID_TEXT = 72 };
/* "SERIES-GENERATION.CORE-PLACE-INDEX", in hex but for generation, core and index. */
void line_id(const line_origin *origin, char out[LINE_ID_TEXT]);

/* Members of a line from fields of a record. A tag that may come again is a LINE_LIST. */
enum line_form { LINE_TEXT, LINE_LIST, LINE_NUMBER, LINE_TICKET, LINE_HEX, LINE_TIME, LINE_FLAG, LINE_PLMN, LINE_BYTES };
typedef struct line_member { uint8_t tag; uint8_t form; uint8_t least, most; const char *name; } line_member; /* form: enum line_form; bytes of its field */
/* In the members' order. DRO_MALFORMED: a field of another length, or no list of fields. */
dro_err line_put_members(dro_builder *out, const line_member *members, size_t count, dro_cursor in);
/* At most 159 bytes, else DRO_LIMIT in `out`. */
void line_put(dro_builder *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void line_put_time(dro_builder *out, int64_t ms);
void line_put_hex(dro_builder *out, const uint8_t *bytes, size_t length);
