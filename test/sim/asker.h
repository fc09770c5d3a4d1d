/* Asker: a test that plays gate 0 of a world, asks its cores and remembers all they say.
 * For cmocka tests: what must hold of an answer is asserted here. */
#pragma once

#include "core/state.h"
#include "world.h"

enum { HEARD_MAX = 4096 };

typedef struct heard { uint32_t gate; ring_header header; char *body; } heard; /* the body has a NUL behind it */
extern struct asker { world world; heard heard[HEARD_MAX]; uint32_t count; uint64_t id; } here;
extern world_request request;

/* world_options.on_message */
void asker_hears(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length);
void asker_forget(void);
void asker_begin(const world_options *options); /* a world that has the thermometer, and nothing was heard of it */
int asker_begin_with_cores(void **state); /* a setup: a world of three cores that has the thermometer */
int asker_end(void **state); /* a teardown: the world is whole, and gone */

void on_twin(uint16_t operation, const char *id); /* begins the request */
const heard *ask(void);                           /* the answer to the request that was just built; NULL: none yet */
const heard *heard_of(uint64_t id);               /* the newest with this id, or NULL */
uint16_t status_of(const heard *heard);           /* of an answer of the API, which it must be */
const char *json_of(const heard *heard);
