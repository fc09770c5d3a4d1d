/* Join: what several cores say, made into one text. Pure: no core, no connection.
 *
 * A cursor of GET /v1/twins and an event's id are each core's own; here they get the
 * number of cores in front of or beside them, so that what another number of cores gave
 * out is not taken for ours. With one core none of this is used. */
#pragma once

#include "base/builder.h"
#include "gate/body.h"
#include "gate/gate.h"

/* ---- pages: {"twins":[...],"cursor":"..."}, or what the list is called ---- */

typedef struct join_page { /* borrows the text */
    body_text items;       /* what is between the brackets */
    uint32_t count;
    slice cursor;          /* length 0: there is no more */
} join_page;
/* False: it is no page. */
bool join_page_read(const char *list, body_text json, join_page *out);

/* "CORES.CORE.CURSOR"; an empty CURSOR begins with that core. */
void join_cursor_write(dro_builder *out, uint32_t cores, uint32_t core, slice cursor);
/* False: not of a host with so many cores. */
bool join_cursor_read(slice text, uint32_t cores, uint32_t *core, slice *cursor);

/* ---- dead letters: {"dead_letters":[...]}, newest first ---- */

/* The newest of all parts by their "time", at most `limit` and as many as fit. False: a part
 * is no list of them, or there is no memory. */
bool join_letters(const body_text *parts, uint32_t count, uint32_t limit, dro_builder *out);

/* ---- status of an application: {"twins":N,"dead_letters":N,...} ---- */

/* Core 0's, with the counts of all. */
bool join_status(const body_text *parts, uint32_t count, dro_builder *out);

/* ---- events: how far a stream has come in each core ---- */

enum { JOIN_POSITION_TEXT = 14, JOIN_POSITIONS_TEXT = GATE_CORES_MAX * JOIN_POSITION_TEXT };
_Static_assert((int)JOIN_POSITIONS_TEXT <= (int)HTTP_RESUME_MAX, "a client gives it back as Last-Event-ID");
/* Base 36, dots between. The length. */
size_t join_positions_write(char out[JOIN_POSITIONS_TEXT], const uint64_t *positions, uint32_t cores);
/* False: not of a host with so many cores. */
bool join_positions_read(slice text, uint64_t *positions, uint32_t cores);
