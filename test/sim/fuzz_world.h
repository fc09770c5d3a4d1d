/* A small core in memory for fuzz targets: one image, a few twins. Made anew now and then,
 * since what inputs leave behind adds up. */
#pragma once

#include "core/state.h"
#include "world.h"

enum { FUZZ_TWINS = 4 };
extern const char *const fuzz_ids[FUZZ_TWINS];
extern const char *const fuzz_imsis[FUZZ_TWINS];

world *fuzz_world(bool has_cell, world_message_fn on_message);
void fuzz_world_renew(void); /* the next fuzz_world makes it anew */
