/* Query: one statement for one caller, from text to answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "desk/answer.h"
#include "desk/desk.h"

typedef struct query {
    const char *sql; /* not NUL-terminated */
    size_t length;
    const char *domains; /* texts with a NUL each */
    size_t domains_length;
    bool all_domains;
} query;

/* Always answers: with the rows or with a problem. */
void desk_answer(desk *desk, const query *query, answer *answer);

/* For tests: less CPU time than DESK_CPU_MS. */
void desk_limit_cpu(desk *desk, int ms);
