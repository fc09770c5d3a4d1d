/* Line: where a line of a file that the host writes about itself comes from (charging, audit). */
#pragma once

#include <stdint.h>

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
