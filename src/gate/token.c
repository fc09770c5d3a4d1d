#include "gate/token.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/http_limits.h"
#include "gate/target.h"

enum { PLACES = 2 * TOKENS_MAX }; /* a power of two, at most half full */

struct token_table {
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    uint32_t count;
    token *places[PLACES]; /* open addressing, linear */
};

_Static_assert((PLACES & (PLACES - 1)) == 0, "a mask finds the place");

token_table *token_table_new(void)
{
    token_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    table->digest = EVP_MD_CTX_new();
    if (table->sha256 == NULL || table->digest == NULL) {
        token_table_free(table);
        return NULL;
    }
    return table;
}

void token_table_free(token_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < PLACES; i++)
        free(table->places[i]);
    EVP_MD_CTX_free(table->digest);
    EVP_MD_free(table->sha256);
    free(table);
}

uint32_t token_table_count(const token_table *table)
{
    return table->count;
}

void token_hash(token_table *table, const void *bytes, size_t length, uint8_t hash[TOKEN_HASH])
{
    unsigned size = 0;
    if (EVP_DigestInit_ex2(table->digest, table->sha256, NULL) != 1)
        abort(); /* OpenSSL has no 200 bytes left: the gate begins anew */
    int fed = EVP_DigestUpdate(table->digest, bytes, length), done = EVP_DigestFinal_ex(table->digest, hash, &size);
    assert(fed == 1 && done == 1 && size == TOKEN_HASH);
    (void)(fed + done);
}

/* The hashes are of random tokens: their first bytes spread well. */
static uint32_t home_of(const uint8_t hash[TOKEN_HASH])
{
    uint32_t word;
    memcpy(&word, hash, sizeof word);
    return word & (PLACES - 1);
}

static uint32_t place_of(const token_table *table, const uint8_t hash[TOKEN_HASH])
{
    uint32_t place = home_of(hash);
    while (table->places[place] != NULL && CRYPTO_memcmp(table->places[place]->hash, hash, TOKEN_HASH) != 0)
        place = (place + 1) & (PLACES - 1);
    return place;
}

const token *token_table_find(const token_table *table, const uint8_t hash[TOKEN_HASH], int64_t wall_ms)
{
    const token *found = table->places[place_of(table, hash)];
    if (found == NULL || (found->expires_ms != 0 && found->expires_ms <= wall_ms))
        return NULL;
    return found;
}

/* Closes the gap that a removed entry leaves, so that no search stops early. */
static void token_remove(token_table *table, const uint8_t hash[TOKEN_HASH])
{
    uint32_t gap = place_of(table, hash);
    if (table->places[gap] == NULL)
        return;
    free(table->places[gap]);
    table->places[gap] = NULL;
    table->count--;
    for (uint32_t at = (gap + 1) & (PLACES - 1); table->places[at] != NULL; at = (at + 1) & (PLACES - 1)) {
        uint32_t home = home_of(table->places[at]->hash);
        bool stays = gap <= at ? (home > gap && home <= at) : (home > gap || home <= at);
        if (stays)
            continue;
        table->places[gap] = table->places[at];
        table->places[at] = NULL;
        gap = at;
    }
}

const token *token_table_find_application(const token_table *table, const char *id, size_t length)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        const token *at = table->places[i];
        if (at != NULL && at->number != 0 && at->expires_ms == 0 && strlen(at->id) == length && memcmp(at->id, id, length) == 0)
            return at;
    }
    return NULL;
}

static bool is_shown(const char *text, const shown_certificate *shown)
{
    uint8_t digest[TOKEN_HASH];
    if (strncmp(text, "dns:", 4) == 0)
        return shown->has_name(shown->context, text + 4);
    return digest_read((slice){ text, (uint32_t)strlen(text) }, digest) && memcmp(digest, shown->thumbprint, TOKEN_HASH) == 0;
}

bool token_has_certificate(const token *token, const shown_certificate *shown)
{
    for (const char *at = token->certificates; *at != '\0'; at += strlen(at) + 1)
        if (is_shown(at, shown))
            return true;
    return false;
}

const token *token_table_find_certificate(const token_table *table, const shown_certificate *shown)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        const token *at = table->places[i];
        if (at != NULL && at->number != 0 && at->expires_ms == 0 && token_has_certificate(at, shown))
            return at;
    }
    return NULL;
}

typedef struct texts {     /* of a credential */
    char domains[TOKEN_DOMAINS_MAX], id[TOKEN_ID_MAX + 1], certificates[TOKEN_CERTIFICATES_MAX];
    uint32_t domains_length, certificates_length;
    application_limits limits;
    uint32_t revoked_count;
    struct { uint32_t scopes; int64_t at_ms; } revoked[REVOCATIONS_MAX];
} texts;

static dro_err read_texts(dro_cursor *in, texts *texts)
{
    dro_builder out = dro_builder_over(texts->domains, sizeof texts->domains);
    dro_builder certificates = dro_builder_over(texts->certificates, sizeof texts->certificates - 1);
    dro_field field;
    *texts->id = '\0';
    texts->limits = (application_limits){ 0 };
    texts->revoked_count = 0;
    /* The ring fills a body up to 8 bytes with zeros, and no field has tag 0. */
    while (in->at < in->end && *in->at != 0 && dro_field_next(in, &field)) {
        if (field.tag == API_FIELD_CEILING && field.length == 5 && field.bytes[0] < APPLICATION_LIMITS)
            memcpy(&texts->limits.of[field.bytes[0]], field.bytes + 1, 4);
        if (field.tag == API_FIELD_REVOKED && field.length == 12 && texts->revoked_count < REVOCATIONS_MAX) {
            memcpy(&texts->revoked[texts->revoked_count].scopes, field.bytes, 4);
            memcpy(&texts->revoked[texts->revoked_count++].at_ms, field.bytes + 4, 8);
        }
        if (field.tag != API_FIELD_DOMAIN && field.tag != API_FIELD_APPLICATION && field.tag != API_FIELD_CERTIFICATE)
            continue;
        if (field.length > 0 && memchr(field.bytes, 0, field.length) != NULL)
            return DRO_MALFORMED;
        if (field.tag == API_FIELD_APPLICATION) {
            if (field.length > TOKEN_ID_MAX)
                return DRO_LIMIT;
            memcpy(texts->id, field.bytes, field.length);
            texts->id[field.length] = '\0';
            continue;
        }
        if (field.tag == API_FIELD_CERTIFICATE) {
            dro_builder_bytes(&certificates, field.bytes, field.length);
            dro_builder_le(&certificates, 0, 1);
            continue;
        }
        dro_builder_bytes(&out, field.bytes, field.length);
        dro_builder_le(&out, 0, 1);
    }
    texts->domains_length = (uint32_t)dro_builder_length(&out);
    texts->certificates_length = (uint32_t)dro_builder_length(&certificates) + 1;
    texts->certificates[texts->certificates_length - 1] = '\0';
    return in->err != DRO_OK ? DRO_MALFORMED : out.err != DRO_OK ? out.err : certificates.err;
}

/* Are all of these texts (a NUL behind each) among those? */
static bool are_among(const char *texts, size_t length, const char *of, size_t of_length)
{
    for (size_t at = 0; at < length; at += strlen(texts + at) + 1) {
        size_t other = 0;
        while (other < of_length && strcmp(of + other, texts + at) != 0)
            other += strlen(of + other) + 1;
        if (other >= of_length)
            return false;
    }
    return true;
}

static size_t certificates_length(const token *token)
{
    size_t length = 0;
    while (token->certificates[length] != '\0')
        length += strlen(token->certificates + length) + 1;
    return length;
}

/* Back to the host's own (0) is fewer only where it had no limit. */
static bool is_fewer(uint32_t now, uint32_t before)
{
    if (now == 0 || now == LIMIT_NONE)
        return now == 0 && before == LIMIT_NONE;
    return before == 0 || now < before;
}

/* A revocation that is new ends what was begun before it. */
static bool is_revoked_more(const token *now, const token *before)
{
    for (int i = 0; i < REVOCATIONS_MAX; i++)
        if (now->revoked[i].scopes != before->revoked[i].scopes || now->revoked[i].at_ms != before->revoked[i].at_ms)
            return true;
    return false;
}

uint32_t token_revoked(const token *token, int64_t issued_ms)
{
    uint32_t scopes = 0;
    for (int i = 0; i < REVOCATIONS_MAX; i++)
        if (issued_ms <= token->revoked[i].at_ms)
            scopes |= token->revoked[i].scopes;
    return scopes;
}

static bool is_narrower(const token *now, const token *before)
{
    return is_revoked_more(now, before) || (before->scopes & ~now->scopes) != 0 || is_fewer(now->limits.of[LIMIT_SUBSCRIPTIONS], before->limits.of[LIMIT_SUBSCRIPTIONS]) ||
           !are_among(before->domains, before->domains_length, now->domains, now->domains_length) ||
           !are_among(before->certificates, certificates_length(before), now->certificates, certificates_length(now));
}

dro_err token_table_take(token_table *table, const void *body, uint32_t length, bool *is_narrowed)
{
    credential row;
    *is_narrowed = false;
    if (length < sizeof row)
        return DRO_MALFORMED;
    memcpy(&row, body, sizeof row);
    if (row.is_gone != 0) {
        *is_narrowed = true;
        token_remove(table, row.token);
        return DRO_OK;
    }
    static texts texts;
    dro_cursor in = dro_cursor_over((const uint8_t *)body + sizeof row, length - sizeof row);
    dro_err err = read_texts(&in, &texts);
    if (err != DRO_OK)
        return err;
    uint32_t place = place_of(table, row.token);
    if (table->places[place] == NULL && table->count >= TOKENS_MAX)
        return DRO_LIMIT;
    token *made = malloc(sizeof *made + texts.domains_length + strlen(texts.id) + 1 + texts.certificates_length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = (token){ .number = row.number,
                     .scopes = row.scopes,
                     .expires_ms = row.expires_ms,
                     .is_one_time = row.is_one_time != 0,
                     .limits = texts.limits,
                     .rate = table->places[place] != NULL ? table->places[place]->rate : (dro_rate){ 0 },
                     .domains_length = texts.domains_length };
    for (uint32_t i = 0; i < texts.revoked_count; i++) {
        made->revoked[i].scopes = texts.revoked[i].scopes;
        made->revoked[i].at_ms = texts.revoked[i].at_ms;
    }
    memcpy(made->hash, row.token, TOKEN_HASH);
    char *at = made->domains + texts.domains_length;
    memcpy(made->domains, texts.domains, texts.domains_length);
    size_t id_bytes = strlen(texts.id) + 1;
    made->id = memcpy(at, texts.id, id_bytes);
    made->certificates = memcpy(at + id_bytes, texts.certificates, texts.certificates_length);
    if (table->places[place] == NULL)
        table->count++;
    else
        *is_narrowed = is_narrower(made, table->places[place]);
    free(table->places[place]);
    table->places[place] = made;
    return DRO_OK;
}

bool token_may(token_table *table, const token *given, const application_limits *usual, uint32_t share, int64_t now_ns, int64_t *wait_ns)
{
    uint32_t per_second = limit_in_force(&given->limits, usual, LIMIT_REQUESTS);
    uint32_t burst = limit_in_force(&given->limits, usual, LIMIT_BURST);
    *wait_ns = 0;
    if (per_second == 0 || given->number == 0 || given->expires_ms != 0) /* neither the admin nor a console has one */
        return true;
    token *own = table->places[place_of(table, given->hash)];
    uint32_t mine = (per_second + share - 1) / share, at_once = ((burst != 0 ? burst : per_second) + share - 1) / share;
    return own == NULL || dro_rate_take(&own->rate, now_ns, mine, at_once, wait_ns);
}

bool token_has_domain(const token *token, const char *domain, size_t length)
{
    if (token->scopes & SCOPE_ADMIN)
        return true;
    for (uint32_t at = 0; at < token->domains_length;) {
        size_t held = strlen(token->domains + at); /* each ends in a NUL, read_texts saw to it */
        if (held == length && memcmp(token->domains + at, domain, length) == 0)
            return true;
        at += (uint32_t)held + 1;
    }
    return false;
}
