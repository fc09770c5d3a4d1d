/* The master key's file: 32 bytes, mode 0600. */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "core/vault_cipher.h"

/* Reads the key, or makes the file with a new one where there is none: written
 * beside, synced, then given its name, so it is never there by half. `key` should
 * lie in secret memory. Told through dro_log: DRO_DENIED (others may read it),
 * DRO_CORRUPT (not 32 bytes), DRO_IO. */
DRO_CHECKED dro_err vault_master_load(const char *path, dro_random *random, uint8_t key[VAULT_KEY]);
