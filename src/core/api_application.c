/* Applications with their tokens, console sessions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <openssl/sha.h>

#include "base/wipe.h"
#include "core/call.h"
#include "core/counters.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/invokers.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"
#include "twin/access.h"

enum { TOKEN_BYTES = 32 };

/* ---- tokens ---- */

static void token_make(core *core, char text[TOKEN_TEXT], uint8_t hash[32])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[TOKEN_BYTES + 1] = { 0 };
    core->options.random->fill(core->options.random, bytes, TOKEN_BYTES);
    for (int i = 0; i < TOKEN_TEXT - 1; i++) {
        unsigned bit = (unsigned)i * 6;
        unsigned pair = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];
        text[i] = digits[pair >> (10 - bit % 8) & 63];
    }
    text[TOKEN_TEXT - 1] = '\0';
    SHA256((const uint8_t *)text, TOKEN_TEXT - 1, hash);
    dro_wipe(bytes, sizeof bytes);
}

static void token_answer(core *core, const call *call, const char *id, const char *token, int64_t expires_ms)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    char location[400];
    dro_builder_text(&out, "{");
    if (id != NULL) {
        dro_builder_text(&out, "\"id\":");
        json_string(&out, id);
        dro_builder_text(&out, ",");
        snprintf(location, sizeof location, "/v1/applications/%s", id);
    }
    json_put(&out, "\"token\":\"%s\"", token);
    if (expires_ms != 0) {
        dro_builder_text(&out, ",\"expires\":");
        json_time(&out, expires_ms);
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 201, UINT64_MAX, id != NULL ? location : NULL, &out);
    dro_wipe(core->scratch, dro_builder_length(&out));
}

/* A key that was used before gets the token it got then, if that is good still. False: answered. */
static bool token_is_new(core *core, const call *call)
{
    const token_key *known = call->idempotency == NULL ? NULL : token_key_find(core, call->idempotency);
    char token[TOKEN_TEXT];
    uint8_t hash[32];
    if (known == NULL)
        return true;
    if (memcmp(known->hashes + 32, call->idempotency + 32, 32) != 0) {
        call_key_reused(core, call);
        return false;
    }
    const application *application = application_at(core, known->application);
    bool is_open = application != NULL && token_key_open(core, known, token);
    if (is_open)
        SHA256((const uint8_t *)token, TOKEN_TEXT - 1, hash);
    if (is_open && memcmp(hash, application->token, sizeof hash) == 0)
        token_answer(core, call, application->id, token, 0);
    else
        tell_problem(core, call->caller, 409, "about:blank", "the token that was given out with this Idempotency-Key has ended: %s",
                     application == NULL ? "its application was removed" : "its application has a newer one");
    dro_wipe(token, sizeof token);
    return false;
}

void application_token_renew(core *core, application *application, char token[TOKEN_TEXT])
{
    token_make(core, token, application->token);
}

/* The host's tables with a new token of an application, and its key where one came. */
static dro_err token_keep(core *core, const call *call, const application *application, const char token[TOKEN_TEXT])
{
    dro_err err = call->idempotency == NULL ? DRO_OK : token_key_put(core, call->idempotency, application->number, token);
    if (err != DRO_OK)
        return err;
    err = host_keep(core);
    if (err != DRO_OK && call->idempotency != NULL)
        token_key_take_back(core);
    return err;
}

/* ---- applications ---- */

static application *slot_free(core *core, bool is_session)
{
    size_t first = is_session ? CORE_APPLICATIONS_MAX : 0;
    size_t end = first + (is_session ? CORE_SESSIONS_MAX : CORE_APPLICATIONS_MAX);
    for (size_t i = first; i < end; i++)
        if (core->applications[i].id == NULL)
            return &core->applications[i];
    return NULL;
}

static void application_clear(application *application)
{
    free(application->id);
    free(application->domains);
    *application = (struct application){ 0 };
}

static dro_err domains_read(core *core, const call *call, application *application)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_DOMAIN)
            continue;
        uint32_t number;
        dro_err err = domain_get(core, (const char *)field.bytes, field.length, &number);
        if (err != DRO_OK)
            return err;
        uint32_t *domains = realloc(application->domains, (application->domain_count + 1) * sizeof *domains);
        if (domains == NULL)
            return DRO_NOMEM;
        application->domains = domains;
        domains[application->domain_count++] = number;
    }
    return DRO_OK;
}

/* Limits, certificates, APNs. */
static dro_err more_read(const call *call, application *application)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    dro_err err = DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &field))
        err = application_more_read(application, &field);
    return err;
}

static bool has_field(const call *call, uint8_t tag)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == tag)
            return true;
    return false;
}

/* An application that is known by the same text; names of hosts and hexadecimal digits have no case. */
static const application *certificate_owner(const core *core, const application *but, const char *certificate)
{
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++) {
        const application *other = &core->applications[i];
        for (uint32_t c = 0; other->id != NULL && other->number != but->number && c < other->certificate_count; c++)
            if (strcasecmp(other->certificates[c], certificate) == 0)
                return other;
    }
    return NULL;
}

/* Whoever shows a certificate is one application. False after a 409. What the call does not name is as it was. */
static bool certificates_are_free(core *core, const call *call, const application *application)
{
    for (uint32_t i = 0; has_field(call, API_FIELD_CERTIFICATE) && i < application->certificate_count; i++) {
        const struct application *owner = certificate_owner(core, application, application->certificates[i]);
        if (owner == NULL)
            continue;
        tell_problem(core, call->caller, 409, "about:blank", "/certificates/%u: the application %s is known by it; take it from there first", i, owner->id);
        return false;
    }
    return true;
}

/* What cannot be told of a member alone. False after a 422 or 409. */
static bool is_sound(core *core, const call *call, const application *application)
{
    enum { DOMAINS_BYTES_MAX = 40000 }; /* all in one message to the gates */
    size_t names = 0;
    for (uint32_t i = 0; i < application->domain_count; i++)
        names += strlen(core->domains[application->domains[i]].name) + 4;
    if (names > DOMAINS_BYTES_MAX)
        tell_problem(core, call->caller, 422, "about:blank", "/domains: at most %d bytes in all", DOMAINS_BYTES_MAX);
    else if (application->apn_count > 0 && (application->scopes & (SCOPE_READ | SCOPE_WRITE | SCOPE_PROVISION)) != 0)
        tell_problem(core, call->caller, 422, "about:blank",
                     "/apns: they bind what is done over T8; read, write and provision reach every twin of its domains, so it cannot have both");
    else
        return certificates_are_free(core, call, application);
    return false;
}

void api_application_put(core *core, const call *call)
{
    text id = call->application_id;
    if (id.at == NULL || id.length == 0 || id.length > 200) {
        tell_problem(core, call->caller, 422, "about:blank", "/id: 1 to 200 bytes");
        return;
    }
    if (!token_is_new(core, call))
        return;
    if (application_find(core, id.at, id.length) != NULL) {
        tell_problem(core, call->caller, 409, "about:blank", "an application %.*s is here already; DELETE it or ask for a new token", (int)id.length, id.at);
        return;
    }
    application *application = slot_free(core, false);
    struct application made = { .number = core->application_next, .scopes = (uint32_t)call->new_scopes };
    char token[TOKEN_TEXT];
    token_make(core, token, made.token);
    made.id = strndup(id.at, id.length);
    dro_err err = application == NULL ? DRO_LIMIT : made.id == NULL ? DRO_NOMEM : domains_read(core, call, &made);
    if (err == DRO_OK)
        err = more_read(call, &made);
    if (err == DRO_OK && !is_sound(core, call, &made)) {
        application_clear(&made);
        return;
    }
    if (err == DRO_OK) {
        core->application_next++;
        *application = made;
        err = token_keep(core, call, application, token);
    } else {
        application_clear(&made);
    }
    if (err != DRO_OK) {
        if (application != NULL && application->id == made.id)
            application_clear(application);
        tell_problem(core, call->caller, 503, "about:blank", "the application could not be kept: %s", dro_err_text(err));
        return;
    }
    credentials_send(core, NONE, application, false);
    token_answer(core, call, application->id, token, 0);
    dro_wipe(token, sizeof token);
}

/* Rows of texts; nothing where there are none. */
static void texts_json(dro_builder *out, const char *name, const char *rows, size_t width, uint32_t count)
{
    if (count > 0)
        json_put(out, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        dro_builder_text(out, i > 0 ? "," : "");
        json_string(out, rows + i * width);
    }
    if (count > 0)
        dro_builder_text(out, "]");
}

/* Those that are its own, where it has any; 0: no limit although the host may have one. */
static void own_limits_json(const application *application, dro_builder *out)
{
    int shown = 0;
    for (int i = 0; i < APPLICATION_LIMITS; i++) {
        uint32_t limit = application->limits.of[i];
        if (limit != 0)
            json_put(out, "%s\"%s\":%u", shown++ > 0 ? "," : ",\"own_limits\":{", limit_words[i], limit == LIMIT_NONE ? 0 : limit);
    }
    dro_builder_text(out, shown > 0 ? "}" : "");
}

/* What is in force, its own or the host's, and what is used of it. */
static void usage_json(const core *core, const application *application, dro_builder *out)
{
    dro_builder_text(out, ",\"limits\":{");
    for (int i = 0, shown = 0; i < APPLICATION_LIMITS; i++) {
        uint32_t limit = usage_limit(core, application, i);
        if (limit != 0)
            json_put(out, "%s\"%s\":%u", shown++ > 0 ? "," : "", limit_words[i], limit);
    }
    json_put(out, "},\"usage\":{\"configurations\":%llu,\"downlinks_today\":%llu}",
             (unsigned long long)usage_configurations(core, application->number), (unsigned long long)usage_downlinks_today(core, application->number));
}

static void application_json(core *core, const application *application, dro_builder *out)
{
    dro_builder_text(out, "{\"id\":");
    json_string(out, application->id);
    dro_builder_text(out, ",\"domains\":[");
    for (uint32_t i = 0; i < application->domain_count; i++) {
        dro_builder_text(out, i > 0 ? "," : "");
        json_string(out, core->domains[application->domains[i]].name);
    }
    dro_builder_text(out, "],\"scopes\":[");
    for (uint32_t i = 0, shown = 0; i < SCOPES_MAX; i++)
        if (application->scopes & scope_words[i].bit)
            json_put(out, "%s\"%s\"", shown++ > 0 ? "," : "", scope_words[i].word);
    dro_builder_text(out, "]");
    texts_json(out, "certificates", application->certificates[0], sizeof application->certificates[0], application->certificate_count);
    texts_json(out, "apns", application->apns[0], sizeof application->apns[0], application->apn_count);
    own_limits_json(application, out);
    usage_json(core, application, out);
    dro_builder_text(out, "}");
}

void api_application_list(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    bool is_first = true;
    dro_builder_text(&out, "{\"applications\":[");
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++) {
        if (core->applications[i].id == NULL)
            continue;
        dro_builder_text(&out, is_first ? "" : ",");
        application_json(core, &core->applications[i], &out);
        is_first = false;
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static application *call_application(core *core, const call *call)
{
    text id = call->application_id;
    application *application = id.at == NULL ? NULL : application_find(core, id.at, id.length);
    if (application == NULL)
        tell_problem(core, call->caller, 404, "about:blank", "no application is called %.*s", (int)id.length, id.at != NULL ? id.at : "");
    return application;
}

void api_application_get(core *core, const call *call)
{
    const application *application = call_application(core, call);
    if (application == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    application_json(core, application, &out);
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* ---- changing one ---- */

/* As it will be; what is not among the call's fields is the old one's, id included. Its domains are its own where there are new ones. */
static dro_err patch_read(core *core, const call *call, application *changed)
{
    if (has_field(call, API_FIELD_SCOPES))
        changed->scopes = (uint32_t)call->new_scopes;
    if (call_nulls(call, "limits"))
        changed->limits = (application_limits){ 0 };
    if (call_nulls(call, "certificates"))
        changed->certificate_count = 0;
    if (call_nulls(call, "apns"))
        changed->apn_count = 0;
    dro_err err = more_read(call, changed);
    if (err != DRO_OK || !has_field(call, API_FIELD_DOMAIN))
        return err;
    changed->domains = NULL;
    changed->domain_count = 0;
    return domains_read(core, call, changed);
}

/* Tokens, streams and requests see it at once: gates as soon as they are told, cores by the table that they follow. */
void api_application_patch(core *core, const call *call)
{
    application *application = call_application(core, call);
    if (application == NULL)
        return;
    struct application before = *application, changed = before;
    dro_err err = patch_read(core, call, &changed);
    bool is_good = err == DRO_OK && is_sound(core, call, &changed);
    if (is_good) {
        *application = changed;
        err = host_keep(core);
    }
    if (err != DRO_OK) {
        *application = before;
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept: %s", dro_err_text(err));
    }
    bool is_kept = is_good && err == DRO_OK;
    if (changed.domains != before.domains)
        free(is_kept ? before.domains : changed.domains);
    if (!is_kept)
        return;
    credentials_send(core, NONE, application, false);
    follow_wake(core);
    api_application_get(core, call);
}

void api_application_delete(core *core, const call *call)
{
    application *application = call_application(core, call);
    if (application == NULL)
        return;
    struct application gone = *application;
    *application = (struct application){ 0 };
    stop_gone stop = stop_drop(core, STOP_APPLICATION, gone.id);
    if (host_keep(core) != DRO_OK) {
        *application = gone;
        stop_put_back(core, &stop);
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept");
        return;
    }
    credentials_send(core, NONE, &gone, true);
    stops_settle(core);
    invoker_forget(core, gone.number);
    application_clear(&gone);
    orphans_look(core);
    follow_wake(core);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

void api_application_token(core *core, const call *call)
{
    if (!token_is_new(core, call))
        return;
    application *application = call_application(core, call);
    if (application == NULL)
        return;
    struct application before = *application;
    char token[TOKEN_TEXT];
    token_make(core, token, application->token);
    if (token_keep(core, call, application, token) != DRO_OK) {
        *application = before;
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept");
        return;
    }
    credentials_send(core, NONE, &before, true);
    credentials_send(core, NONE, application, false);
    token_answer(core, call, application->id, token, 0);
    dro_wipe(token, sizeof token);
}

/* ---- console sessions: in memory only ---- */

static application *session_new(core *core, bool is_one_time, int64_t seconds, char token[TOKEN_TEXT])
{
    for (size_t i = CORE_APPLICATIONS_MAX; i < CORE_APPLICATIONS_MAX + CORE_SESSIONS_MAX; i++)
        if (core->applications[i].id != NULL && core->applications[i].expires_ms < core->now_ms) {
            credentials_send(core, NONE, &core->applications[i], true);
            application_clear(&core->applications[i]);
        }
    application *session = slot_free(core, true);
    char *id = session == NULL ? NULL : strdup(is_one_time ? "login" : "console");
    if (id == NULL)
        return NULL;
    *session = (application){ .id = id, .number = core->application_next++, .scopes = SCOPE_ADMIN | SCOPE_ALL, .is_session = true,
                              .is_one_time = is_one_time, .expires_ms = core->now_ms + seconds * 1000 };
    token_make(core, token, session->token);
    credentials_send(core, NONE, session, false);
    return session;
}

static void session_answer(core *core, const call *call, bool is_one_time, int64_t seconds)
{
    char token[TOKEN_TEXT];
    const application *session = session_new(core, is_one_time, seconds, token);
    if (session == NULL)
        tell_problem(core, call->caller, 503, "about:blank", "too many sessions are open");
    else
        token_answer(core, call, NULL, token, session->expires_ms);
    dro_wipe(token, sizeof token);
}

void api_login(core *core, const call *call)
{
    session_answer(core, call, true, LOGIN_S);
}

void api_session(core *core, const call *call)
{
    application *login = application_at(core, call->application);
    if (login == NULL || !login->is_one_time || login->expires_ms < core->now_ms) {
        tell_problem(core, call->caller, 401, "about:blank", "this one-time token was used already or has expired");
        return;
    }
    credentials_send(core, NONE, login, true);
    application_clear(login);
    session_answer(core, call, false, SESSION_S);
}
