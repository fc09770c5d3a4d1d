/* Lines: the readable form of what a turn brought (twin_recording.h says which), and
 * the difference between two lists of them. */
#pragma once

#include <stdio.h>

#include "twin_runner.h"

enum {
    LINES_MAX = 132,        /* EFFECTS_MAX, the outcome, and room for notes */
    LINES_BYTES_MAX = 65536,
};

typedef struct twin_lines {
    uint32_t count;
    const char *lines[LINES_MAX];
    size_t used;
    char bytes[LINES_BYTES_MAX];
    bool is_full;           /* something did not fit; the last line says so */
} twin_lines;

void twin_lines_of(twin_lines *out, const model *model, const twin_turn_end *end);
void twin_lines_add(twin_lines *out, const char *line, size_t length);
bool twin_lines_equal(const twin_lines *a, const twin_lines *b);
/* "- " what was expected and did not come, "+ " what came and was not expected, "  " both. */
void twin_lines_print_difference(FILE *out, const twin_lines *expected, const twin_lines *actual);
