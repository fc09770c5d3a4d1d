/* Applications, console sessions, status, dead letters, metrics. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/wipe.h"
#include "core/call.h"
#include "core/counters.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/host_tables.h"
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

void api_application_put(core *core, const call *call)
{
    enum { DOMAINS_BYTES_MAX = 40000 }; /* all in one message to the gates */
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
    size_t names = 0;
    for (uint32_t i = 0; i < made.domain_count; i++)
        names += strlen(core->domains[made.domains[i]].name) + 4;
    if (err == DRO_OK && names > DOMAINS_BYTES_MAX) {
        application_clear(&made);
        tell_problem(core, call->caller, 422, "about:blank", "/domains: at most %d bytes in all", DOMAINS_BYTES_MAX);
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
             (unsigned long long)usage_configurations(core, application->number), (unsigned long long)usage_downlinks(core, application->number));
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

void api_application_delete(core *core, const call *call)
{
    application *application = call_application(core, call);
    if (application == NULL)
        return;
    struct application gone = *application;
    *application = (struct application){ 0 };
    if (host_keep(core) != DRO_OK) {
        *application = gone;
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept");
        return;
    }
    credentials_send(core, NONE, &gone, true);
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

/* ---- status ---- */

void api_dead_letters(core *core, const call *call)
{
    uint32_t limit = call->has_limit && call->limit > 0 && call->limit < DEAD_LETTERS_MAX ? (uint32_t)call->limit : 100;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - 8);
    dro_builder_text(&out, "{\"dead_letters\":[");
    for (uint32_t i = 0, shown = 0; i < core->dead_letters.count && shown < limit; i++) {
        uint32_t at = (core->dead_letters.next + DEAD_LETTERS_MAX - 1 - i) % DEAD_LETTERS_MAX;
        const dead_letter *letter = &core->dead_letters.list[at];
        if (!application_sees(core, call->application, call->scopes, letter->domain))
            continue;
        if ((size_t)(out.end - out.at) < strlen(letter->text) + 2)
            break;
        dro_builder_text(&out, shown++ > 0 ? "," : "");
        dro_builder_text(&out, letter->text);
    }
    out.end += 8;
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static uint64_t images_here(const core *core)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < core->image_count; i++)
        count += core->images[i].table != NONE;
    return count;
}

static bool sees_all(const call *call)
{
    return (call->scopes & SCOPE_ADMIN) != 0;
}

/* What an application sees of the host: its own domains, nothing of how busy others are. With several
 * cores each says this of its own twins, and the gate adds them up. */
static void status_of_own(core *core, const call *call, dro_builder *out)
{
    uint64_t twins = 0, letters = 0;
    const application *application = application_at(core, call->application);
    for (uint32_t i = 0; application != NULL && i < application->domain_count; i++)
        twins += core->domains[application->domains[i]].twins;
    for (uint32_t i = 0; i < core->dead_letters.count; i++)
        letters += application_sees(core, call->application, call->scopes, core->dead_letters.list[i].domain);
    json_put(out, ",\"twins\":%llu,\"images\":%llu,\"dead_letters\":%llu", (unsigned long long)twins,
             (unsigned long long)images_here(core), (unsigned long long)letters);
}

static void status_of_all(core *core, dro_builder *out)
{
    uint64_t c[COUNT_END];
    for (uint32_t i = 0; i < COUNT_END; i++)
        c[i] = core_count_all(core, i);
    json_put(out, ",\"twins\":%llu,\"images\":%llu,\"peers\":%u,\"turns\":%llu,\"commits\":%llu,\"uplinks\":%llu,\"duplicates\":%llu,",
             (unsigned long long)c[COUNT_TWINS], (unsigned long long)images_here(core), core->peer_count, (unsigned long long)c[COUNT_TURNS],
             (unsigned long long)c[COUNT_COMMITS], (unsigned long long)c[COUNT_UPLINKS], (unsigned long long)c[COUNT_DUPLICATES]);
    json_put(out, "\"downlinks\":%llu,\"dead_letters\":%llu,\"mailbox\":%llu,\"streams\":%llu,\"log_bytes\":%llu",
             (unsigned long long)c[COUNT_DOWNLINKS], (unsigned long long)c[COUNT_DEAD_LETTERS], (unsigned long long)c[COUNT_MAIL],
             (unsigned long long)c[COUNT_STREAMS], (unsigned long long)c[COUNT_LOG_BYTES]);
    json_put(out, ",\"contexts\":{\"in_memory\":%llu,\"bytes\":%llu,\"hits\":%llu,\"misses\":%llu,\"reading\":%llu,\"unreadable\":%llu}",
             (unsigned long long)c[COUNT_CONTEXTS], (unsigned long long)c[COUNT_CONTEXT_BYTES], (unsigned long long)c[COUNT_CONTEXT_HITS],
             (unsigned long long)c[COUNT_CONTEXT_MISSES], (unsigned long long)c[COUNT_CONTEXT_READS], (unsigned long long)c[COUNT_CONTEXTS_UNREADABLE]);
}

void api_status(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    json_put(&out, "{\"version\":\"%s\",\"uptime_s\":%lld,\"started\":", DROMIO_VERSION, (long long)(core->now_ms - core->started_ms) / 1000);
    json_time(&out, core->started_ms);
    if (sees_all(call))
        status_of_all(core, &out);
    else
        status_of_own(core, call, &out);
    json_put(&out, ",\"keys_in_memfd_secret\":%s}", core_keys_are_secret(core) ? "true" : "false");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* ---- metrics ---- */

static void counter(dro_builder *out, uint32_t which, uint64_t value)
{
    static const struct { const char *name, *kind, *help; } counters[COUNT_END] = {
        [COUNT_TURNS] = { "dromio_turns_total", "counter", "Turns taken back from the cells." },
        [COUNT_COMMITS] = { "dromio_commits_total", "counter", "Records made durable in the log." },
        [COUNT_UPLINKS] = { "dromio_uplinks_total", "counter", "MO-Data-Requests taken." },
        [COUNT_DUPLICATES] = { "dromio_duplicates_total", "counter", "Requests answered from the record of duplicates." },
        [COUNT_DOWNLINKS] = { "dromio_downlinks_total", "counter", "MT-Data-Requests sent." },
        [COUNT_CONNECTIONS] = { "dromio_connection_changes_total", "counter", "T6a connections established, updated, released." },
        [COUNT_DEAD_LETTERS] = { "dromio_dead_letters_total", "counter", "Events whose turn failed." },
        [COUNT_REFUSED] = { "dromio_refused_total", "counter", "Downlinks refused because a mailbox was full." },
        [COUNT_TWINS] = { "dromio_twins", "gauge", "Twins." },
        [COUNT_MAIL] = { "dromio_mailbox_downlinks", "gauge", "Downlinks that wait." },
        [COUNT_TURNS_IN_FLIGHT] = { "dromio_turns_in_flight", "gauge", "Turns in the cells." },
        [COUNT_STREAMS] = { "dromio_event_streams", "gauge", "Subscribers of events." },
        [COUNT_LOG_BYTES] = { "dromio_log_bytes", "gauge", "Bytes of log on disk." },
        [COUNT_NOTICES] = { "dromio_notices_total", "counter", "Notifications of applications given to a gate, repeats included." },
        [COUNT_NOTICES_FAILED] = { "dromio_notices_failed_total", "counter", "Notifications that did not arrive and are tried again." },
        [COUNT_NOTICES_REFUSED] = { "dromio_notices_refused_total", "counter", "Notifications that their destination refused for good." },
        [COUNT_NOTICES_DROPPED] = { "dromio_notices_dropped_total", "counter", "Notifications dropped: too many waited, or too long." },
        [COUNT_NOTICES_WAITING] = { "dromio_notices_waiting", "gauge", "Notifications not taken yet." },
        [COUNT_AUTHORIZATIONS_GRANTED] = { "dromio_nidd_authorizations_granted_total", "counter", "Configurations that an HSS has granted, or granted again." },
        [COUNT_AUTHORIZATIONS_REFUSED] = { "dromio_nidd_authorizations_refused_total", "counter", "Configurations that an HSS has refused." },
        [COUNT_AUTHORIZATIONS_FAILED] = { "dromio_nidd_authorizations_failed_total", "counter", "Questions that no HSS answered, or whose answer could not be used." },
        [COUNT_AUTHORIZATIONS_REVOKED] = { "dromio_nidd_authorizations_revoked_total", "counter", "Configurations ended because the HSS says so." },
        [COUNT_GROUPS] = { "dromio_groups", "gauge", "Groups of devices." },
        [COUNT_GROUP_MEMBERS] = { "dromio_group_members", "gauge", "Members of all groups." },
        [COUNT_GROUP_OPERATIONS] = { "dromio_group_operations", "gauge", "Downlinks and commands to groups that are kept." },
        [COUNT_NIDD_CONFIGURATIONS] = { "dromio_nidd_configurations", "gauge", "NIDD configurations." },
        [COUNT_LOG_LIVE_BYTES] = { "dromio_log_live_bytes", "gauge", "Bytes of log that all twins and tables would take once, about." },
        [COUNT_DOWNLINK_BYTES] = { "dromio_downlink_bytes", "gauge", "Bytes of waiting downlinks in memory." },
        [COUNT_DOWNLINKS_AWAY] = { "dromio_downlinks_away", "gauge", "Downlinks that wait in the log only." },
        [COUNT_DOWNLINK_READS] = { "dromio_downlink_reads_total", "counter", "Devices whose waiting downlinks were read from the log." },
        [COUNT_EXCEPTIONS] = { "dromio_exception_reports_total", "counter", "Uplinks with RRC-Cause-Counter." },
        [COUNT_UPLINKS_OVER_RATE] = { "dromio_uplinks_over_rate_total", "counter", "Uplinks beyond a rate of their connection or APN, taken or not." },
        [COUNT_UPLINKS_DROPPED] = { "dromio_uplinks_dropped_total", "counter", "Uplinks answered 5012 because they were beyond their APN's rate." },
        [COUNT_RDS_REFUSED] = { "dromio_rds_refused_total", "counter", "Uplinks of the reliable data service that were ignored." },
        [COUNT_RDS_REPEATED] = { "dromio_rds_repeated_total", "counter", "I frames of devices that were not the next one." },
        [COUNT_RDS_RETRANSMISSIONS] = { "dromio_rds_retransmissions_total", "counter", "Times T200 ran out and a frame went again." },
        [COUNT_DOWNLINKS_HELD] = { "dromio_downlinks_held_total", "counter", "Times a device's downlinks had to wait for a rate." },
        [COUNT_CONTEXTS] = { "dromio_contexts", "gauge", "Sealed contexts in memory." },
        [COUNT_CONTEXT_BYTES] = { "dromio_context_bytes", "gauge", "Bytes of sealed contexts in memory." },
        [COUNT_CONTEXT_HITS] = { "dromio_context_hits_total", "counter", "Turns whose context was in memory." },
        [COUNT_CONTEXT_MISSES] = { "dromio_context_misses_total", "counter", "Turns whose context had to be read from the log." },
        [COUNT_CONTEXT_READS] = { "dromio_context_reads_in_flight", "gauge", "Contexts being read from the log." },
        [COUNT_CONTEXTS_UNREADABLE] = { "dromio_contexts_unreadable_total", "counter", "Contexts that could not be read from the log." },
        [COUNT_COLUMNS_BYTES] = { "dromio_columns_bytes", "gauge", "Bytes of property columns." },
    };
    const char *name = counters[which].name;
    json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, counters[which].help, name, counters[which].kind, name, (unsigned long long)value);
}

/* How even the load is. Of names of their own: the sum over a name is the host's. */
static void by_core(const core *core, dro_builder *out, const char *name, const char *kind, const char *help, uint32_t which)
{
    json_put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    for (uint32_t i = 0; i < core->count; i++)
        json_put(out, "%s{core=\"%u\"} %llu\n", name, i, (unsigned long long)core_count_of(core, i, which));
}

/* Of all cores. */
static void latency_put(const core *core, dro_builder *out, const char *name, const char *help, uint32_t which)
{
    const dro_latency *parts[BOARD_CORES_MAX];
    for (uint32_t i = 0; i < core->count; i++)
        parts[i] = core->count == 1 ? &core->latencies[which] : &board_latencies(&core->board, i)[which];
    dro_latency_write(parts, core->count, name, help, out);
}

void api_metrics(core *core, const call *call)
{
    static const char *const statuses[16] = { NULL, "trap", "out_of_bounds", "stack_overflow", "deadline", "memory",
                                              "bad_result", "bad_context", "effects", "cell_failed", [TURN_UNREADABLE] = "context_unreadable" };
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    for (uint32_t i = 0; i < COUNT_END; i++)
        counter(&out, i, core_count_all(core, i));
    by_core(core, &out, "dromio_core_twins", "gauge", "Twins of each core.", COUNT_TWINS);
    by_core(core, &out, "dromio_core_turns_total", "counter", "Turns of each core's cells.", COUNT_TURNS);
    by_core(core, &out, "dromio_core_turns_in_flight", "gauge", "Turns in each core's cells.", COUNT_TURNS_IN_FLIGHT);
    by_core(core, &out, "dromio_core_log_bytes", "gauge", "Bytes of each core's log on disk.", COUNT_LOG_BYTES);
    latency_put(core, &out, "dromio_round_seconds", "From giving a round of the log to the disk until it is durable.", BOARD_ROUND);
    latency_put(core, &out, "dromio_turn_cpu_seconds", "CPU time of a turn in its cell.", BOARD_TURN_CPU);
    dro_builder_text(&out, "# HELP dromio_turn_failures_total Turns that failed, by image and reason.\n# TYPE dromio_turn_failures_total counter\n");
    for (uint32_t i = 0; i < core->image_count; i++)
        for (int s = 1; s < 16; s++) {
            uint64_t traps = core->image_traps[i][s] + (core->count > 1 ? board_counted_traps(&core->board, i, (uint32_t)s) : 0);
            if (traps == 0 || statuses[s] == NULL)
                continue;
            dro_builder_text(&out, "dromio_turn_failures_total{image=\"sha256:");
            for (int k = 0; k < 32; k++)
                json_put(&out, "%02x", core->images[i].digest[k]);
            json_put(&out, "\",model=\"%s\",reason=\"%s\"} %llu\n", core->images[i].info.model.name, statuses[s],
                     (unsigned long long)traps);
        }
    reply reply = { .status = 200, .content = CONTENT_TEXT, .etag = UINT64_MAX };
    tell_reply(core, call->caller, &reply, core->scratch, dro_builder_length(&out));
}
