/* Into the cache before it is needed: what is known of the next messages of a gate. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "core/links.h"

enum { AHEAD = 16 };

typedef struct ahead_uplink { char imsi[16]; uint64_t imsi_hash; uint32_t twin, end_to_end; } ahead_uplink;

typedef struct ahead { ahead_uplink uplinks[AHEAD]; uint32_t count, next; } ahead;

void ahead_record(void *core, int step, const uint8_t *bytes, size_t length); /* commit_log_options.on_ahead */
void ahead_uplinks(core *core, gate_link *gate);   /* of the next AHEAD messages */
bool ahead_knows(const core *core, const char imsi[16], uint64_t *hash); /* of message core->ahead.next */
void ahead_forget(core *core);
int ahead_results(core *core, cell_link *cell);    /* of how many of the next results; 1 at least */
