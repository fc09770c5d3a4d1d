/* Progress of something long, on standard error where that is a terminal. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *doing;
    uint64_t expected; /* about; 0: not known */
    int64_t told_ms;
    bool is_shown, is_line; /* there is a line to be overwritten */
} progress;

void progress_begin(progress *progress, const char *doing, uint64_t expected);
void progress_at(progress *progress, uint64_t bytes);
void progress_end(progress *progress);
