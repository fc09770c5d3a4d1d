/* Answer: the JSON a query is answered with, built in memory that is kept for the
 * next one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "twin/value.h"

enum {
    ANSWER_BYTES_MAX = 16 * 1024 * 1024,
    ANSWER_KEPT_MAX = 1024 * 1024, /* more is given back after a query */
    PROBLEM_DETAIL_MAX = 400,
};

typedef struct answer {
    char *bytes;
    size_t length, capacity;
    bool is_full;  /* something did not fit: the bytes are of no use */
    int status;    /* HTTP */
} answer;

void answer_reset(answer *answer);
void answer_fini(answer *answer);

void answer_raw(answer *answer, const char *text);
void answer_text(answer *answer, const char *bytes, size_t length); /* as a JSON string */
void answer_value(answer *answer, const value *value);

enum { ANSWER_NO_POSITION = -1 };
/* Replaces everything by an RFC 9457 problem. `position` is a byte of the SQL. */
void answer_refusal(answer *answer, int status, const char *type, const char *title, const char *detail,
                    int64_t position);
