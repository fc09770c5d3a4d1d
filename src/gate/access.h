/* Access: JWTs a gate accepts beside the opaque tokens of token.h. What is good is decided
 * here alone, without the core: signature, algorithm, times, audience, issuer; then whose
 * it is. A good one is remembered by its hash, so that it costs a look into a table from
 * then on. It is worth nothing without its application: when that goes, or has another
 * secret, its JWTs are no longer good. */
#pragma once

#include "gate/issuers.h"
#include "gate/jwt.h"
#include "gate/scope.h"
#include "gate/token.h"

typedef struct access_options {
    const char *issuer, *audience; /* of the host's own tokens */
    const char *aef;               /* our name in CAPIF's scopes */
    const issuers *issuers;        /* NULL: none but the host */
    int64_t skew_s;                /* by which clocks may differ */
} access_options;

typedef enum access_result {
    ACCESS_HIT, ACCESS_VERIFIED, ACCESS_MALFORMED, ACCESS_UNKNOWN_KEY, ACCESS_FORGED, ACCESS_EXPIRED, ACCESS_EARLY,
    ACCESS_NOT_FOR_US, ACCESS_NO_CLIENT, ACCESS_UNBOUND, ACCESS_RESULTS,
} access_result;

typedef struct access_verdict {
    access_result result;
    const token *token;        /* of the application; NULL: refused */
    uint32_t scopes;           /* at most the application's */
    int64_t expires_ms;
} access_verdict;

typedef struct access_table access_table;

/* Borrows the options' texts and the table. */
access_table *access_new(const access_options *options, token_table *tokens);
void access_free(access_table *access);
/* A MESSAGE_SIGNING_KEY's body. */
DRO_CHECKED dro_err access_take_key(access_table *access, const void *body, uint32_t length);
/* `hash` of the text; `thumbprint` of the client's certificate, NULL: it showed none. */
void access_forget(access_table *access); /* what was good is looked at again */
access_verdict access_check(access_table *access, const uint8_t hash[TOKEN_HASH], slice text, const uint8_t *thumbprint, int64_t wall_ms);
/* What is wrong with it, for a client's developer. */
const char *access_result_text(access_result result);
/* The public keys as a JWK set. */
void access_put_keys(const access_table *access, dro_builder *out);
void access_metrics(const access_table *access, dro_builder *out);
