/* Keys of requests (Idempotency-Key) and dead letters: tables of this core in its log, bounded, the
 * oldest goes first. Each is written with the record of what it tells of; now and then all of it
 * again (a dump), so that old segments may go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/core.h"
#include "core/index.h"
#include "core/limits.h"

typedef struct idempotent {
    uint8_t key[32], body[32];
    int64_t made_ms;
    uint16_t status, owner;      /* partition of its twin + 1; 0: the host's */
    uint16_t domain;             /* of its twin */
    uint32_t length;             /* of the answer's body */
    uint8_t *answer;
} idempotent;

typedef struct idempotency {     /* keys of requests; a ring, oldest first */
    idempotent *entries;         /* [IDEMPOTENCY_MAX], NULL before the first */
    uint32_t start, count;
    index_table index;
} idempotency;

typedef struct dead_letter { char *text; uint16_t domain, owner; } dead_letter; /* JSON */
typedef struct dead_letters { dead_letter list[DEAD_LETTERS_MAX]; uint32_t next, count; } dead_letters;

void idempotent_replay(core *core, const dro_field *field);
void dead_letter_replay(core *core, const dro_field *field);
const idempotent *idempotent_find(core *core, const uint8_t key[32]);
void idempotent_put(core *core, const uint8_t key[32], const uint8_t body[32], uint16_t status, const void *answer, size_t length); /* inside a record */
void dead_letter_keep(core *core, uint32_t domain, const char *json, size_t length);
/* A field of a record of the host's own tables: of a dump, or the marks of its begin and end. */
dro_err host_table_replay(core *core, int kind, const dro_field *field);
DRO_CHECKED dro_err host_tables_settle(core *core); /* after recovery, before anybody looks */
void host_tables_free(core *core);
void host_tables_forget(core *core, uint32_t domain); /* what is of its twins */
void dumps_forget(core *core); /* those that a crash left unfinished */
void host_tables_write(core *core);
