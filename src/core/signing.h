/* Signing: keys with which the host signs access tokens (JWT, RFC 9068). Core 0's alone.
 * The newest one signs; after key_life a new one follows it, and the old one is shown for
 * as long as tokens of it may be about. A key is a number: the vault makes it of that. */
#pragma once

#include <stdint.h>

#include "base/builder.h"
#include "base/err.h"
#include "core/vault.h"

enum {
    SIGNING_KEYS_MAX = 4,      /* the one that signs and those that ended before it */
    SIGNING_KID = 43,          /* bytes of a name: the key's thumbprint (RFC 7638) */
};

typedef struct signing_key {
    uint32_t number;           /* 0: unused place */
    int64_t made_ms, ended_ms; /* ended 0: it signs */
    uint8_t public_key[VAULT_PUBLIC];
    char kid[SIGNING_KID + 1];
} signing_key;

typedef struct signing {
    signing_key keys[SIGNING_KEYS_MAX];
    int64_t due_ms;            /* when one is to be made or dropped */
} signing;

struct core;
struct call;

/* After the host's file was read; makes the first one. */
DRO_CHECKED dro_err signing_open(struct core *core);
/* Once a round: makes a new one, drops what no token needs any more. */
void signing_step(struct core *core);
void signing_send_all(struct core *core, uint32_t gate);
/* Into and out of the host's file. */
enum { SIGNING_RECORD = 20 };  /* number u32, made i64, ended i64 */
void signing_write(const signing_key *key, uint8_t record[SIGNING_RECORD]);
DRO_CHECKED dro_err signing_read(struct core *core, const uint8_t *bytes, size_t length);
/* POST /oauth2/token, once the gate knows who asks and what is granted. */
void api_access_token(struct core *core, const struct call *call);
