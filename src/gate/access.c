#include "gate/access.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"

enum {
    WAYS = 4,                  /* places a hash may have */
    SETS = ACCESS_CACHED_MAX / WAYS,
    CREDENTIAL_BYTES = 8,      /* of the secret's hash, in "cred" */
};
_Static_assert((SETS & (SETS - 1)) == 0, "a mask finds the set");

typedef struct own_key {       /* number 0: unused */
    uint32_t number;
    uint8_t public_key[JWK_PUBLIC];
    jwt_key key;
} own_key;

typedef struct cached {        /* a JWT that was good; used 0: free */
    uint8_t hash[TOKEN_HASH], credential[TOKEN_HASH];
    uint8_t thumbprint[JWT_THUMBPRINT];
    uint64_t used;             /* a count, for the oldest to go */
    int64_t expires_ms;        /* with the skew */
    int64_t issued_ms;         /* at the latest */
    uint32_t scopes;           /* ~0: all of the application's */
    uint32_t serial;           /* of the keys when it was verified */
    bool is_bound;
} cached;

struct access_table {
    access_options options;
    token_table *tokens;
    jwt_memory *memory;
    own_key keys[ACCESS_KEYS_MAX];
    uint32_t serial;           /* another one when keys go: what they signed is looked at again */
    uint64_t clock;
    uint64_t counts[ACCESS_RESULTS];
    cached cache[SETS][WAYS];
};

static const char *const result_names[ACCESS_RESULTS] = {
    [ACCESS_HIT] = "hit", [ACCESS_VERIFIED] = "verified", [ACCESS_MALFORMED] = "malformed", [ACCESS_UNKNOWN_KEY] = "unknown_key",
    [ACCESS_FORGED] = "forged", [ACCESS_EXPIRED] = "expired", [ACCESS_EARLY] = "early", [ACCESS_NOT_FOR_US] = "not_for_us",
    [ACCESS_NO_CLIENT] = "no_client", [ACCESS_UNBOUND] = "unbound",
};

const char *access_result_text(access_result result)
{
    static const char *const texts[ACCESS_RESULTS] = {
        [ACCESS_MALFORMED] = "the token is malformed, or of an algorithm that is not taken",
        [ACCESS_UNKNOWN_KEY] = "no key of a trusted issuer fits the token",
        [ACCESS_FORGED] = "the token's signature is wrong",
        [ACCESS_EXPIRED] = "the token has expired",
        [ACCESS_EARLY] = "the token is not good yet",
        [ACCESS_NOT_FOR_US] = "the token is for another audience",
        [ACCESS_NO_CLIENT] = "the token's application is not known any more, or has another secret since",
        [ACCESS_UNBOUND] = "the token is bound to a certificate that was not shown",
    };
    return texts[result] != NULL ? texts[result] : "";
}

access_table *access_new(const access_options *options, token_table *tokens)
{
    access_table *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->options = *options;
    made->tokens = tokens;
    made->memory = jwt_memory_new();
    if (made->memory != NULL)
        return made;
    access_free(made);
    return NULL;
}

void access_free(access_table *access)
{
    if (access == NULL)
        return;
    for (uint32_t i = 0; i < ACCESS_KEYS_MAX; i++)
        jwt_key_free(&access->keys[i].key);
    jwt_memory_free(access->memory);
    free(access);
}

void access_forget(access_table *access)
{
    access->serial++;
}

/* ---- keys of the host ---- */

static own_key *key_numbered(access_table *access, uint32_t number)
{
    for (uint32_t i = 0; i < ACCESS_KEYS_MAX; i++)
        if (access->keys[i].number == number)
            return &access->keys[i];
    return NULL;
}

dro_err access_take_key(access_table *access, const void *body, uint32_t length)
{
    signing_key_news news;
    if (length < sizeof news)
        return DRO_MALFORMED;
    memcpy(&news, body, sizeof news);
    if (news.number == 0 || memchr(news.kid, '\0', sizeof news.kid) == NULL)
        return DRO_MALFORMED;
    own_key *place = key_numbered(access, news.number);
    if (news.is_gone != 0) {
        if (place != NULL) {
            jwt_key_free(&place->key);
            *place = (own_key){ 0 };
            access->serial++;
        }
        return DRO_OK;
    }
    if (place != NULL) /* told again: a gate or core that was started anew */
        return DRO_OK;
    place = key_numbered(access, 0);
    if (place == NULL)
        return DRO_LIMIT;
    dro_err err = jwk_of_ed25519(&place->key, news.kid, news.public_key);
    if (err != DRO_OK)
        return err;
    place->number = news.number;
    memcpy(place->public_key, news.public_key, JWK_PUBLIC);
    return DRO_OK;
}

void access_put_keys(const access_table *access, dro_builder *out)
{
    bool is_first = true;
    dro_builder_text(out, "{\"keys\":[");
    for (uint32_t i = 0; i < ACCESS_KEYS_MAX; i++) {
        const own_key *key = &access->keys[i];
        if (key->number == 0)
            continue;
        dro_builder_text(out, is_first ? "" : ",");
        dro_builder_text(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"alg\":\"EdDSA\",\"kid\":\"");
        dro_builder_text(out, key->key.kid);
        dro_builder_text(out, "\",\"x\":\"");
        dro_base64url_put(out, key->public_key, JWK_PUBLIC);
        dro_builder_text(out, "\"}");
        is_first = false;
    }
    dro_builder_text(out, "]}");
}

/* ---- what was good before ---- */

static cached *set_of(access_table *access, const uint8_t hash[TOKEN_HASH])
{
    uint32_t word;
    memcpy(&word, hash, sizeof word);
    return access->cache[word & (SETS - 1)];
}

static cached *cache_find(access_table *access, const uint8_t hash[TOKEN_HASH])
{
    cached *set = set_of(access, hash);
    for (int i = 0; i < WAYS; i++)
        if (set[i].used != 0 && memcmp(set[i].hash, hash, TOKEN_HASH) == 0)
            return &set[i];
    return NULL;
}

/* A free place of its set, else the one that was not used for longest. */
static cached *cache_place(access_table *access, const uint8_t hash[TOKEN_HASH])
{
    cached *set = set_of(access, hash), *oldest = &set[0];
    for (int i = 1; i < WAYS; i++)
        if (set[i].used < oldest->used)
            oldest = &set[i];
    return oldest;
}

/* ---- judging ---- */

typedef struct judgement {
    jwt jwt;
    const token *token;
    uint32_t scopes;
} judgement;

static bool is_own_issuer(const access_table *access, const jwt *jwt)
{
    return jwt->issuer.at != NULL && slice_is(jwt->issuer, access->options.issuer);
}

static access_result judge_times(const access_table *access, const jwt *jwt, int64_t wall_ms)
{
    int64_t now_s = wall_ms / 1000, skew_s = access->options.skew_s;
    if (now_s >= jwt->expires_s + skew_s)
        return ACCESS_EXPIRED;
    bool is_early = now_s + skew_s < jwt->not_before_s || now_s + skew_s < jwt->issued_s;
    return is_early ? ACCESS_EARLY : ACCESS_VERIFIED;
}

static const jwt_key *own_signer(const access_table *access, const jwt *jwt)
{
    for (uint32_t i = 0; i < ACCESS_KEYS_MAX; i++)
        if (access->keys[i].number != 0 && jwt->kid.at != NULL && slice_is(jwt->kid, access->keys[i].key.kid))
            return &access->keys[i].key;
    return NULL;
}

/* Was it given out under the secret the application has now? */
static bool is_of_secret(const token *application, slice credential)
{
    uint8_t bytes[CREDENTIAL_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    return credential.at != NULL && dro_base64url_read(&out, credential.at, credential.length) == DRO_OK &&
           dro_builder_length(&out) == CREDENTIAL_BYTES && memcmp(bytes, application->hash, CREDENTIAL_BYTES) == 0;
}

/* One of ours (RFC 9068 4). */
static access_result judge_own(const access_table *access, judgement *made, int64_t wall_ms)
{
    const jwt *jwt = &made->jwt;
    const jwt_key *key = own_signer(access, jwt);
    if (key == NULL)
        return ACCESS_UNKNOWN_KEY;
    if (!jwt_is_signed(jwt, key))
        return ACCESS_FORGED;
    access_result times = judge_times(access, jwt, wall_ms);
    if (times != ACCESS_VERIFIED)
        return times;
    if (!jwt->is_access_token || jwt->client_id.at == NULL || !jwt_is_for(jwt, access->options.audience))
        return ACCESS_NOT_FOR_US;
    made->token = token_table_find_application(access->tokens, jwt->client_id.at, jwt->client_id.length);
    if (made->token == NULL || !is_of_secret(made->token, jwt->credential))
        return ACCESS_NO_CLIENT;
    made->scopes = scope_of(jwt->scope, access->options.aef).bits;
    return ACCESS_VERIFIED;
}

/* Who is meant: by name (RFC 9068), else by subject; of CAPIF's claims (TS 29.222 8.5.4.2.8) `iss` is all there is. */
static slice client_of(const issuer *issuer, const jwt *jwt)
{
    if (jwt->client_id.at != NULL)
        return jwt->client_id;
    bool is_any = strcmp(issuer->config->issuer, "*") == 0;
    return jwt->subject.at != NULL || !is_any ? jwt->subject : jwt->issuer;
}

static bool is_for_us(const access_table *access, const issuer *issuer, const jwt *jwt)
{
    const char *audience = issuer->config->audience;
    return strcmp(audience, "*") == 0 || jwt_is_for(jwt, audience[0] != '\0' ? audience : access->options.audience);
}

/* One of another issuer. It ends with its application; a new secret of ours is nothing to it. */
static access_result judge_other(const access_table *access, const issuer *issuer, judgement *made, int64_t wall_ms)
{
    const jwt *jwt = &made->jwt;
    if (!issuer_has_key(issuer, jwt))
        return ACCESS_UNKNOWN_KEY;
    if (!issuer_signed(issuer, jwt))
        return ACCESS_FORGED;
    access_result times = judge_times(access, jwt, wall_ms);
    if (times != ACCESS_VERIFIED)
        return times;
    if (!is_for_us(access, issuer, jwt))
        return ACCESS_NOT_FOR_US;
    slice client = client_of(issuer, jwt);
    made->token = client.at == NULL ? NULL : token_table_find_application(access->tokens, client.at, client.length);
    if (made->token == NULL)
        return ACCESS_NO_CLIENT;
    made->scopes = jwt->scope.at == NULL ? UINT32_MAX : scope_of(jwt->scope, access->options.aef).bits;
    return ACCESS_VERIFIED;
}

static access_result judge(access_table *access, judgement *made, slice text, int64_t wall_ms)
{
    if (jwt_read(&made->jwt, access->memory, text.at, text.length) != DRO_OK)
        return ACCESS_MALFORMED;
    if (is_own_issuer(access, &made->jwt))
        return judge_own(access, made, wall_ms);
    const issuer *other = access->options.issuers == NULL ? NULL : issuers_of(access->options.issuers, &made->jwt);
    return other == NULL ? ACCESS_UNKNOWN_KEY : judge_other(access, other, made, wall_ms);
}

/* One that does not say is as old as one may be: what was revoked must not come back by it. */
static int64_t issued_of(const jwt *jwt)
{
    return jwt->issued_s > 0 ? jwt->issued_s * 1000 : (jwt->expires_s - ACCESS_LIFE_MAX_S) * 1000;
}

static uint32_t serial_of(const access_table *access)
{
    return access->serial + (access->options.issuers == NULL ? 0 : access->options.issuers->serial);
}

static void remember(access_table *access, const uint8_t hash[TOKEN_HASH], const judgement *good)
{
    cached *place = cache_place(access, hash);
    *place = (cached){ .used = ++access->clock, .scopes = good->scopes, .serial = serial_of(access), .is_bound = good->jwt.is_bound, .issued_ms = issued_of(&good->jwt),
                       .expires_ms = (good->jwt.expires_s + access->options.skew_s) * 1000 };
    memcpy(place->hash, hash, TOKEN_HASH);
    memcpy(place->credential, good->token->hash, TOKEN_HASH);
    memcpy(place->thumbprint, good->jwt.thumbprint, JWT_THUMBPRINT);
}

/* RFC 8705 3. */
static bool is_unbound(bool is_bound, const uint8_t *wanted, const uint8_t *shown)
{
    return is_bound && (shown == NULL || memcmp(wanted, shown, JWT_THUMBPRINT) != 0);
}

static access_verdict from_cache(access_table *access, cached *found, const uint8_t *thumbprint, int64_t wall_ms)
{
    access_verdict verdict = { .result = ACCESS_HIT, .expires_ms = found->expires_ms };
    const token *application = token_table_find(access->tokens, found->credential, wall_ms);
    found->used = ++access->clock;
    if (wall_ms >= found->expires_ms)
        verdict.result = ACCESS_EXPIRED;
    else if (application == NULL)
        verdict.result = ACCESS_NO_CLIENT;
    else if (is_unbound(found->is_bound, found->thumbprint, thumbprint))
        verdict.result = ACCESS_UNBOUND;
    if (verdict.result == ACCESS_HIT) {
        verdict.token = application;
        verdict.scopes = application->scopes & found->scopes & ~token_revoked(application, found->issued_ms);
    }
    return verdict;
}

static access_verdict anew(access_table *access, const uint8_t hash[TOKEN_HASH], slice text, const uint8_t *thumbprint, int64_t wall_ms)
{
    judgement made = { 0 };
    access_verdict verdict = { .result = judge(access, &made, text, wall_ms) };
    if (verdict.result == ACCESS_VERIFIED && is_unbound(made.jwt.is_bound, made.jwt.thumbprint, thumbprint))
        verdict.result = ACCESS_UNBOUND;
    if (verdict.result != ACCESS_VERIFIED)
        return verdict;
    remember(access, hash, &made);
    verdict.token = made.token;
    verdict.scopes = made.token->scopes & made.scopes & ~token_revoked(made.token, issued_of(&made.jwt));
    verdict.expires_ms = (made.jwt.expires_s + access->options.skew_s) * 1000;
    return verdict;
}

access_verdict access_check(access_table *access, const uint8_t hash[TOKEN_HASH], slice text, const uint8_t *thumbprint, int64_t wall_ms)
{
    cached *found = cache_find(access, hash);
    if (found != NULL && found->serial != serial_of(access)) {
        *found = (cached){ 0 };
        found = NULL;
    }
    access_verdict verdict = found != NULL ? from_cache(access, found, thumbprint, wall_ms) : anew(access, hash, text, thumbprint, wall_ms);
    access->counts[verdict.result]++;
    return verdict;
}

void access_metrics(const access_table *access, dro_builder *out)
{
    char line[160];
    dro_builder_text(out, "# HELP dromio_http_access_tokens_total JWTs looked at, by what came of it.\n"
                          "# TYPE dromio_http_access_tokens_total counter\n");
    for (int i = 0; i < ACCESS_RESULTS; i++) {
        snprintf(line, sizeof line, "dromio_http_access_tokens_total{result=\"%s\"} %" PRIu64 "\n", result_names[i], access->counts[i]);
        dro_builder_text(out, line);
    }
}
