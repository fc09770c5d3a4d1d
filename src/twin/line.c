#include "twin/line.h"

#include <inttypes.h>
#include <stdio.h>

void line_id(const line_origin *origin, char out[LINE_ID_TEXT])
{
    snprintf(out, LINE_ID_TEXT, "%016" PRIx64 "-%" PRIu32 ".%" PRIu32 "-%016" PRIx64 "-%" PRIu32, origin->series, origin->generation,
             origin->core, origin->place, origin->index);
}
