/* The master key's file: 32 bytes, mode 0600. */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/vault_cipher.h"

/* Reads the key, or makes the file with a new one where there is none: written
 * beside, synced, then given its name, so it is never there by half. `key` should
 * lie in secret memory. Told through dro_log: DRO_DENIED (others may read it),
 * DRO_CORRUPT (not 32 bytes), DRO_IO. */
DRO_CHECKED dro_err vault_master_load(const char *path, dro_random *random, uint8_t key[VAULT_KEY]);

/* The same of one that has to be there. */
DRO_CHECKED dro_err vault_master_read(const char *path, uint8_t key[VAULT_KEY]);

/* Another key for the place of the one at `path`: made beside it, durable, then (vault_master_replace) given its name, while
 * what was there is overwritten. Discarding one that is not there is fine. */
const char *vault_master_next_path(const char *path); /* until the next call */
DRO_CHECKED dro_err vault_master_make_next(const char *path, dro_random *random, uint8_t key[VAULT_KEY]);
DRO_CHECKED dro_err vault_master_replace(const char *path);
void vault_master_discard(const char *path);
/* Is it this process that may replace it? A credential of systemd is not its own. */
bool vault_master_is_ours(const char *path);
