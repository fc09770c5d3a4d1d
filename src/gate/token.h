/* Tokens the gate may accept, by their SHA-256. The core sends them and takes
 * them back; the text of a token is never kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rate.h"
#include "ring/message.h"

enum { TOKEN_HASH = 32, REVOCATIONS_MAX = 4 };

typedef struct token {
    uint8_t hash[TOKEN_HASH];
    uint32_t number;           /* of the application, 0: admin */
    uint32_t scopes;
    int64_t expires_ms;        /* 0: never */
    bool is_one_time;
    application_limits limits; /* its own */
    struct { uint32_t scopes; int64_t at_ms; } revoked[REVOCATIONS_MAX]; /* JWTs of before are good for these no more; scopes 0: unused */
    dro_rate rate;             /* of its requests here */
    uint32_t domains_length;   /* texts with a NUL each, lower case */
    const char *id;            /* of the application, behind the domains */
    const char *certificates;  /* behind it: texts with a NUL each, as in API_FIELD_CERTIFICATE, then another NUL */
    char domains[];
} token;

typedef struct token_table token_table;

token_table *token_table_new(void);
void token_table_free(token_table *table);
uint32_t token_table_count(const token_table *table);

/* A MESSAGE_CREDENTIAL's body: adds, replaces or forgets. DRO_MALFORMED: nothing
 * was changed. DRO_LIMIT: the table is full. *is_narrowed: it was good for more before, so
 * what was begun with it and lasts has to be judged again. */
DRO_CHECKED dro_err token_table_take(token_table *table, const void *body, uint32_t length, bool *is_narrowed);

/* Borrowed until the next take; NULL: not one of ours, or expired. */
const token *token_table_find(const token_table *table, const uint8_t hash[TOKEN_HASH], int64_t wall_ms);

/* The application of that name, or NULL: neither the admin nor a console session is one. */
const token *token_table_find_application(const token_table *table, const char *id, size_t length);

typedef struct shown_certificate { /* a client's, over TLS */
    uint8_t thumbprint[TOKEN_HASH]; /* SHA-256 */
    bool (*has_name)(const void *context, const char *name); /* is that one of its DNS names? */
    const void *context;
} shown_certificate;
/* Is it one of the application's? */
bool token_has_certificate(const token *token, const shown_certificate *shown);
/* The application that it is of, or NULL. */
const token *token_table_find_certificate(const token_table *table, const shown_certificate *shown);

/* Counts a request against the application's rate; false: it has to wait. `share`: by how many gates it is divided. */
bool token_may(token_table *table, const token *token, const application_limits *usual, uint32_t share, int64_t now_ns, int64_t *wait_ns);

/* SHA-256 of any bytes; keeps nothing of them. */
void token_hash(token_table *table, const void *bytes, size_t length, uint8_t hash[TOKEN_HASH]);

/* What of its scopes a JWT of that time has lost. */
uint32_t token_revoked(const token *token, int64_t issued_ms);

/* Is `domain` (lower case) one of the token's? The admin's are all. */
bool token_has_domain(const token *token, const char *domain, size_t length);
