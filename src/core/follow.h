/* A core among others: what it takes from core 0 (the host's tables) and asks of it (a new domain, a
 * new host name). A question owns the messages that wait for its answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/board.h"
#include "core/state.h"

typedef struct question {        /* a request that waits for core 0's word */
    struct question *next;
    uint32_t kind, text_length;  /* enum board_question */
    deferred *late;
    char text[];
} question;

DRO_CHECKED dro_err follow_wait(core *core);                              /* until core 0 is there */
/* The host's tables as core 0 last wrote them. */
DRO_CHECKED dro_err follow_tables(core *core);
static inline void follow(core *core)
{
    if (core->index > 0 && board_tables_version(&core->board) != core->tables_version && follow_tables(core) != DRO_OK)
        abort(); /* memory is full, or core 0 wrote what nobody can read: begin anew */
}

/* Asks core 0 for a domain or a host's name; the message is taken up again with the answer. False:
 * it was asked already and there is none, or too many wait. */
bool question_ask(core *core, uint32_t kind, const char *text, size_t length, uint32_t gate, const ring_header *header, const uint8_t *body);
int questions_step(core *core);
void follow_wake(core *core);    /* core 0: the tables have a new version */
void questions_gate_lost(core *core, uint32_t gate);
void questions_free(core *core);
