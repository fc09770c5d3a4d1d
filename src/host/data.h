/* The data directory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* There while a restore writes the directory: no host starts on it. */
#define DATA_INCOMPLETE "restore.incomplete"

/* Makes it if missing (0700), checks its layout (store/data_layout.h), locks it for this process, reads or makes the
 * admin's token. False after a line that says what is wrong. */
bool data_open(const char *path, uint8_t admin_token_hash[32]);
