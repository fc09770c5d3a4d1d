/* Tokens given out under an Idempotency-Key: a repetition within IDEMPOTENCY_KEPT_S gets the same token
 * again, once and not another one. The host keeps only hashes of tokens otherwise; these are kept sealed,
 * in memory and in the host's file, where they come and go in the same write as the application they are
 * of. Core 0 alone has them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "core/core.h"
#include "core/vault.h"

enum { TOKEN_TEXT = 44 /* with its NUL */, TOKEN_SEALED = TOKEN_TEXT - 1 + VAULT_OVERHEAD };

typedef struct token_key {
    uint8_t hashes[64];          /* of application, route and key; of the body: as API_FIELD_IDEMPOTENCY */
    int64_t made_ms;
    uint32_t application;        /* number of the one whose token it is */
    uint8_t sealed[TOKEN_SEALED];
} token_key;

typedef struct token_keys {
    token_key *list;             /* [TOKEN_KEYS_MAX], oldest first; NULL before the first */
    uint32_t count;
} token_keys;

/* The key's entry, whatever its body; NULL: not used in that time. */
const token_key *token_key_find(const core *core, const uint8_t hashes[64]);
/* False: it cannot be opened. */
bool token_key_open(core *core, const token_key *entry, char token[TOKEN_TEXT]);
/* Before the host's file is written; the oldest goes where there are too many. token_key_take_back if that write failed. */
struct application;
/* Another token; what it had before is still to be told to gates. */
void application_token_renew(core *core, struct application *application, char token[TOKEN_TEXT]);
DRO_CHECKED dro_err token_key_put(core *core, const uint8_t hashes[64], uint32_t application, const char token[TOKEN_TEXT]);
void token_key_take_back(core *core);

/* A field of the host's file. */
enum { TOKEN_KEY_BYTES = 64 + 8 + 4 + TOKEN_SEALED };
void token_key_write(const token_key *entry, dro_builder *out);
DRO_CHECKED dro_err token_key_read(core *core, dro_cursor *in);
bool token_key_is_old(const core *core, const token_key *entry);
void token_keys_free(core *core);
