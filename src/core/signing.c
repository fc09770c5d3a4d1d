#include "core/signing.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/wipe.h"
#include "core/call.h"
#include "core/render.h"
#include "core/state.h"

enum {
    RETRY_MS = 60 * 1000,      /* after a key could not be kept */
    CLAIMS_BYTES = 4096,
    JTI_BYTES = 16,
    CREDENTIAL_BYTES = 8,      /* of the secret's hash in "cred": a new secret ends the tokens of the old one */
    SCOPE_MAX = 512,
};

static int64_t life_ms(const core *core)
{
    return (core->options.token_life_s > 0 ? core->options.token_life_s : TOKEN_LIFE_S) * 1000;
}

static int64_t key_life_ms(const core *core)
{
    return (core->options.key_life_s > 0 ? core->options.key_life_s : SIGNING_KEY_LIFE_S) * 1000;
}

/* ---- keys ---- */

static signing_key *signer(core *core)
{
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (core->signing.keys[i].number != 0 && core->signing.keys[i].ended_ms == 0)
            return &core->signing.keys[i];
    return NULL;
}

/* RFC 7638 3: SHA-256 of the required members in order. */
static void name_key(signing_key *key)
{
    char text[160];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    dro_builder out = dro_builder_over(text, sizeof text);
    dro_builder_text(&out, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    dro_base64url_put(&out, key->public_key, sizeof key->public_key);
    dro_builder_text(&out, "\"}");
    SHA256((const uint8_t *)text, dro_builder_length(&out), digest);
    dro_builder kid = dro_builder_over(key->kid, SIGNING_KID);
    dro_base64url_put(&kid, digest, sizeof digest);
    key->kid[SIGNING_KID] = '\0';
}

static dro_err key_open(core *core, signing_key *key)
{
    dro_err err = vault_sign_public(core->vault, key->number, key->public_key);
    if (err == DRO_OK)
        name_key(key);
    return err;
}

static void key_tell(core *core, uint32_t gate, const signing_key *key, bool is_gone)
{
    signing_key_news news = { .number = key->number, .is_gone = is_gone };
    memcpy(news.public_key, key->public_key, sizeof news.public_key);
    memcpy(news.kid, key->kid, sizeof key->kid);
    gates_tell(core, gate, MESSAGE_SIGNING_KEY, &news, sizeof news);
}

void signing_send_all(core *core, uint32_t gate)
{
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (core->signing.keys[i].number != 0)
            key_tell(core, gate, &core->signing.keys[i], false);
}

void signing_write(const signing_key *key, uint8_t record[SIGNING_RECORD])
{
    dro_builder out = dro_builder_over(record, SIGNING_RECORD);
    dro_builder_le(&out, key->number, 4);
    dro_builder_le(&out, (uint64_t)key->made_ms, 8);
    dro_builder_le(&out, (uint64_t)key->ended_ms, 8);
}

dro_err signing_read(core *core, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    signing_key read = { .number = (uint32_t)dro_cursor_le(&in, 4), .made_ms = (int64_t)dro_cursor_le(&in, 8) };
    read.ended_ms = (int64_t)dro_cursor_le(&in, 8);
    if (in.err != DRO_OK || read.number == 0)
        return DRO_CORRUPT;
    if (core->index > 0) /* core 0 alone signs */
        return DRO_OK;
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (core->signing.keys[i].number == 0) {
            core->signing.keys[i] = read;
            return DRO_OK;
        }
    return DRO_CORRUPT;
}

/* When the next one is to be made, or the next ended one to go. */
static int64_t next_due(const core *core)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++) {
        const signing_key *key = &core->signing.keys[i];
        int64_t at = key->number == 0 ? INT64_MAX : key->ended_ms == 0 ? key->made_ms + key_life_ms(core) : key->ended_ms + life_ms(core);
        due = at < due ? at : due;
    }
    return due;
}

static void drop_ended(core *core)
{
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++) {
        signing_key *key = &core->signing.keys[i];
        if (key->number == 0 || key->ended_ms == 0 || core->now_ms < key->ended_ms + life_ms(core))
            continue;
        key_tell(core, NONE, key, true);
        dro_info("signing_key_dropped kid=%s", key->kid);
        *key = (signing_key){ 0 };
    }
}

/* A place in the table is there: a key signs for at least as long as a token lives, so only the one before is still shown. */
static signing_key *free_place(core *core)
{
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (core->signing.keys[i].number == 0)
            return &core->signing.keys[i];
    return NULL;
}

/* Durable before it signs. On failure the one before goes on. */
static dro_err key_make(core *core)
{
    signing_key *old = signer(core), *made = free_place(core);
    uint32_t number = 0;
    if (made == NULL)
        return DRO_LIMIT;
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        number = core->signing.keys[i].number > number ? core->signing.keys[i].number : number;
    *made = (signing_key){ .number = number + 1, .made_ms = core->now_ms };
    dro_err err = key_open(core, made);
    if (err == DRO_OK && old != NULL)
        old->ended_ms = core->now_ms;
    if (err == DRO_OK)
        err = host_keep(core);
    if (err != DRO_OK) {
        *made = (signing_key){ 0 };
        if (old != NULL)
            old->ended_ms = 0;
        return err;
    }
    key_tell(core, NONE, made, false);
    dro_info("signing_key_made kid=%s", made->kid);
    return DRO_OK;
}

dro_err signing_open(core *core)
{
    dro_err err = DRO_OK;
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX && err == DRO_OK; i++)
        if (core->signing.keys[i].number != 0)
            err = key_open(core, &core->signing.keys[i]);
    if (err == DRO_OK && signer(core) == NULL)
        err = key_make(core);
    core->signing.due_ms = next_due(core);
    return err;
}

void signing_step(core *core)
{
    if (core->now_ms < core->signing.due_ms)
        return;
    drop_ended(core);
    const signing_key *key = signer(core);
    dro_err err = key == NULL || core->now_ms >= key->made_ms + key_life_ms(core) ? key_make(core) : DRO_OK;
    core->signing.due_ms = next_due(core);
    if (err != DRO_OK) {
        dro_error("signing_key_not_made reason=\"%s\"", dro_err_text(err));
        core->signing.due_ms = core->now_ms + RETRY_MS;
    }
}

/* ---- tokens ---- */

typedef struct grant {         /* what the gate found out */
    const application *application;
    text scope;                /* as the client wrote it, or all */
    const uint8_t *thumbprint; /* of the client's certificate; NULL: none */
} grant;

static void refuse(core *core, const call *call, uint16_t status, const char *error, const char *why)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    json_put(&out, "{\"error\":\"%s\",\"error_description\":\"%s\"}", error, why);
    call_reply(core, call, status, UINT64_MAX, NULL, &out);
}

/* Who asks may have been deleted, or have another secret, since the gate looked. */
static bool grant_read(core *core, const call *call, grant *grant)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    *grant = (struct grant){ .scope = { "", 0 } };
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_SCOPE_TEXT && field.length <= SCOPE_MAX)
            grant->scope = (text){ (const char *)field.bytes, field.length };
        else if (field.tag == API_FIELD_THUMBPRINT && field.length == 32)
            grant->thumbprint = field.bytes;
    }
    text id = call->application_id;
    grant->application = id.at == NULL ? NULL : application_find(core, id.at, id.length);
    return grant->application != NULL && call->token.at != NULL && call->token.length == 32 &&
           memcmp(grant->application->token, call->token.at, 32) == 0;
}

static void put_claims(core *core, const grant *grant, dro_builder *out)
{
    uint8_t jti[JTI_BYTES];
    char scope[SCOPE_MAX + 1];
    int64_t now_s = core->now_ms / 1000;
    core->options.random->fill(core->options.random, jti, sizeof jti);
    snprintf(scope, sizeof scope, "%.*s", (int)grant->scope.length, grant->scope.at);
    dro_builder_text(out, "{\"iss\":");
    json_string(out, core->options.issuer);
    dro_builder_text(out, ",\"aud\":");
    json_string(out, core->options.audience);
    dro_builder_text(out, ",\"sub\":");
    json_string(out, grant->application->id);
    dro_builder_text(out, ",\"client_id\":");
    json_string(out, grant->application->id);
    json_put(out, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"scope\":", now_s, now_s + life_ms(core) / 1000);
    json_string(out, scope);
    dro_builder_text(out, ",\"jti\":\"");
    dro_base64url_put(out, jti, sizeof jti);
    dro_builder_text(out, "\",\"cred\":\"");
    dro_base64url_put(out, grant->application->token, CREDENTIAL_BYTES);
    dro_builder_text(out, "\"");
    if (grant->thumbprint != NULL) {
        dro_builder_text(out, ",\"cnf\":{\"x5t#S256\":\"");
        dro_base64url_put(out, grant->thumbprint, 32);
        dro_builder_text(out, "\"}");
    }
    dro_builder_text(out, "}");
}

/* Header, claims and signature of a JWS (RFC 7515 7.1), by the key that signs now. */
static dro_err put_token(core *core, const grant *grant, dro_builder *out)
{
    char part[CLAIMS_BYTES];
    const signing_key *key = signer(core);
    uint8_t signature[VAULT_SIGNATURE];
    if (key == NULL)
        return DRO_AGAIN;
    size_t begin = dro_builder_length(out);
    dro_builder header = dro_builder_over(part, sizeof part);
    json_put(&header, "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", key->kid);
    dro_base64url_put(out, header.start, dro_builder_length(&header));
    dro_builder_text(out, ".");
    dro_builder claims = dro_builder_over(part, sizeof part);
    put_claims(core, grant, &claims);
    dro_base64url_put(out, claims.start, dro_builder_length(&claims));
    dro_err err = claims.err != DRO_OK ? claims.err : out->err;
    if (err == DRO_OK)
        err = vault_sign(core->vault, key->number, out->start + begin, dro_builder_length(out) - begin, signature);
    if (err != DRO_OK)
        return err;
    dro_builder_text(out, ".");
    dro_base64url_put(out, signature, sizeof signature);
    return out->err;
}

/* RFC 6749 5.1. */
void api_access_token(core *core, const call *call)
{
    grant grant;
    char scope[SCOPE_MAX + 1];
    if (!grant_read(core, call, &grant)) {
        refuse(core, call, 401, "invalid_client", "the client is not known any more");
        return;
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"access_token\":\"");
    dro_err err = put_token(core, &grant, &out);
    snprintf(scope, sizeof scope, "%.*s", (int)grant.scope.length, grant.scope.at);
    json_put(&out, "\",\"token_type\":\"Bearer\",\"expires_in\":%" PRId64 ",\"scope\":", life_ms(core) / 1000);
    json_string(&out, scope);
    dro_builder_text(&out, "}");
    if (err == DRO_OK)
        call_reply(core, call, 200, UINT64_MAX, NULL, &out);
    else
        tell_problem(core, call->caller, 503, "about:blank", "no token can be signed now: %s", dro_err_text(err));
    dro_wipe(core->scratch, dro_builder_length(&out));
}
