/* Requests of the API, and their part in the record of a turn they began (call.h: one request). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mailbox.h"
#include "core/turn.h"

void api_request_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
/* A write's, action's, create's or configure's part in the record of its turn: before the
 * effects, after them, after the record; and instead of them when the turn failed. */
void api_turn_begin(core *core, turn *turn);
void api_turn_end(core *core, turn *turn, uint32_t outcome);
void api_turn_failed(core *core, turn *turn, const char *reason);
void api_turn_done(core *core, turn *turn);
void api_put_write(core *core, const turn *turn);
/* Did another twin take a name of the PUT while its turn ran? Then a 409 is on its way. */
bool api_put_is_taken(core *core, const turn *turn);
void api_put_answer(core *core, caller caller, uint32_t twin, bool is_new);
bool api_put_is_new(const turn *turn);
void api_put_idempotency(core *core, const uint8_t (*keys)[32], uint32_t twin, uint16_t status); /* inside a record */
void api_create_failed(core *core, turn *turn, const char *reason);
void api_ticket_json(core *core, const twin *twin, const ticket *ticket, dro_builder *out);
void api_admin(core *core, caller caller, const struct api_request *request, const uint8_t *fields, size_t length);
void twin_delete(core *core, uint32_t twin); /* and what waits for it is told; no turn of it runs */
void put_free(struct put *put);
void api_put_end(core *core, struct put *put); /* and gives up what it claimed and no twin has; NULL is fine */
