/* Issuers: others whose access tokens the host takes, beside its own (a CAPIF core function).
 * Their public keys come from files, in the bundle of the certificates; a gate asks nobody. */
#pragma once

#include "gate/jwt.h"

enum { ISSUERS_MAX = 8 };

typedef struct issuer_config { /* a row of auth.issuers */
    char issuer[256];   /* their `iss`; "*": any that is nobody's, as in TS 29.222, where `iss` names the invoker */
    char audience[256]; /* what `aud` must hold; "": as for our own; "*": nothing is asked */
    char keys[1024];    /* file of a JWK set */
} issuer_config;

typedef struct issuer {
    const issuer_config *config;
    jwt_key keys[JWK_SET_MAX];
    uint32_t key_count;
} issuer;

typedef struct issuers {
    issuer list[ISSUERS_MAX];
    uint32_t count;
    uint32_t serial;    /* another one when keys were read again */
} issuers;

/* Borrows the rows. No keys yet. */
void issuers_init(issuers *all, const issuer_config *rows, uint32_t count);
void issuers_fini(issuers *all);
/* Another key set; on failure the one before stays and `why` says in words what is wrong. */
DRO_CHECKED dro_err issuers_take(issuers *all, uint32_t index, const char *text, size_t length, char why[JWK_WHY_MAX]);
/* Whose the token says to be; NULL: nobody's. */
const issuer *issuers_of(const issuers *all, const jwt *jwt);
/* A key of it that signed the token; without a kid it must be the only one of its algorithm. */
bool issuer_signed(const issuer *issuer, const jwt *jwt);
/* Is there any key that could have? */
bool issuer_has_key(const issuer *issuer, const jwt *jwt);
