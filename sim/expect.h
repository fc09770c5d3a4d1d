/* Expect: what a thermo twin must have counted after the readings it was sent, by
 * the sequence rule of the sample twin. Written from the rule, not from the twin's
 * code, so that the two can be compared. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct expect {
    uint32_t readings, lost, duplicates, late;
    uint8_t last;      /* sequence of the newest accepted one */
    uint8_t late_last; /* sequence of the late one just before */
    bool has_last, was_late;
} expect;

/* One reading arrived with this sequence; true when the twin accepts it. */
bool expect_reading(expect *of, uint8_t sequence);
