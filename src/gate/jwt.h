/* JWT: access tokens in the compact form of a JWS (RFC 7515, 7519, 9068) and the public
 * keys that sign them (RFC 7517, 7518, 8037). Foreign bytes: strict base64url, a bounded
 * JSON object in each part, no member twice, an algorithm that is the key's own. Nothing
 * of a token is trusted before jwt_is_signed. Pure: no clock, no table. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "gate/target.h"

enum {
    JWT_BYTES_MAX = 6144,      /* the whole token */
    JWT_HEADER_MAX = 1024,     /* decoded */
    JWT_CLAIMS_MAX = 4608,     /* decoded */
    JWT_SIGNATURE_MAX = 512,   /* RSA of 4096 bits */
    JWT_AUDIENCES_MAX = 8,
    JWT_MEMBERS_MAX = 64,      /* of each part */
    JWT_KID_MAX = 128,
    JWT_THUMBPRINT = 32,       /* SHA-256 */
    JWK_SET_MAX = 16,          /* keys of one issuer that we can use */
    JWK_PUBLIC = 32,           /* bytes of an Ed25519 public key */
    JWK_WHY_MAX = 96,
};

typedef enum jwt_algorithm { JWT_EDDSA, JWT_ES256, JWT_RS256, JWT_ALGORITHMS } jwt_algorithm;

typedef struct jwt_key {
    char kid[JWT_KID_MAX + 1]; /* "": the set gives it none */
    jwt_algorithm algorithm;   /* of the key's type: the token's word alone chooses nothing */
    EVP_PKEY *key;             /* owned */
} jwt_key;

typedef struct jwt {           /* texts borrow the memory, `signed_part` the token */
    jwt_algorithm algorithm;
    bool is_access_token;      /* typ at+jwt (RFC 9068) */
    slice kid, issuer, subject, client_id, scope; /* `at` NULL: absent */
    slice credential;          /* "cred": of the host's own tokens */
    slice audiences[JWT_AUDIENCES_MAX];
    uint32_t audience_count;
    int64_t expires_s, not_before_s, issued_s; /* since 1970; the last two 0: absent */
    bool is_bound;             /* cnf x5t#S256 (RFC 8705) */
    uint8_t thumbprint[JWT_THUMBPRINT];
    slice signed_part;
    uint8_t signature[JWT_SIGNATURE_MAX];
    uint32_t signature_length;
} jwt;

/* What reading needs; of one token at a time. */
typedef struct jwt_memory jwt_memory;
jwt_memory *jwt_memory_new(void);
void jwt_memory_free(jwt_memory *memory);

/* Could it be one? Three parts with dots between. */
bool jwt_is_likely(const char *text, size_t length);
/* DRO_MALFORMED; DRO_UNSUPPORTED: an algorithm we do not take ("none" among them), or `crit`; DRO_LIMIT: too long. */
DRO_CHECKED dro_err jwt_read(jwt *out, jwt_memory *memory, const char *text, size_t length);
bool jwt_is_signed(const jwt *jwt, const jwt_key *key);
bool jwt_is_for(const jwt *jwt, const char *audience);

/* The usable keys of a JWK set, at most JWK_SET_MAX; others in it are passed over. A private
 * key in it is refused. On failure `why` says in words what is wrong, and nothing is kept. */
DRO_CHECKED dro_err jwk_set_read(jwt_key keys[JWK_SET_MAX], uint32_t *count, const char *text, size_t length,
                                 char why[JWK_WHY_MAX]);
void jwt_key_free(jwt_key *key);
/* Of an Ed25519 key; `kid` is NUL-terminated and at most JWT_KID_MAX long. */
DRO_CHECKED dro_err jwk_of_ed25519(jwt_key *out, const char *kid, const uint8_t public_key[JWK_PUBLIC]);
