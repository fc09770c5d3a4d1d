#include "core/authorization.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/apply.h"
#include "core/host.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/rate.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/identifier.h"

enum {
    RESULT_SUCCESS = 2001, RESULT_TOO_BUSY = 3004, RESULT_UNABLE_TO_COMPLY = 5012, EXPERIMENTAL_USER_UNKNOWN = 5001,
    SLOT_BITS = 10, FIELDS_MAX = 1024,
};
_Static_assert(1 << SLOT_BITS == AUTHORIZATIONS_MAX, "a slot is the low bits of an id");

typedef struct authorization {   /* one question without an answer */
    uint64_t id;                 /* in the rings; 0: free */
    uint64_t twin, configuration; /* numbers; configuration 0: one that is being made, */
    deferred *late;              /* by this request */
    int64_t until_ns;
    uint32_t tries, next_free;
    uint32_t asked;              /* hash of the HSS that has the question, */
    uint32_t silent[AUTHORIZATION_TRIES_MAX], silent_count; /* of those that had it and did not answer */
    authorization_request request;
    uint32_t length;
    uint8_t *fields;             /* owned, wiped */
} authorization;

typedef struct authorization_table {
    authorization list[AUTHORIZATIONS_MAX];
    uint32_t used, free, count;  /* slots ever used, first free of them */
    uint64_t serial;
} authorization_table;

/* ---- the table ---- */

static authorization *authorization_new(core *core)
{
    authorization_table *table = core->authorizations;
    if (table == NULL) {
        table = core->authorizations = calloc(1, sizeof *table);
        if (table == NULL)
            return NULL;
        table->free = NONE;
    }
    uint32_t slot = table->free != NONE ? table->free : table->used;
    if (slot == AUTHORIZATIONS_MAX)
        return NULL;
    authorization *made = &table->list[slot];
    if (slot == table->free)
        table->free = made->next_free;
    else
        table->used++;
    table->count++;
    *made = (authorization){ .id = ++table->serial << SLOT_BITS | slot };
    return made;
}

static authorization *authorization_find(const core *core, uint64_t id)
{
    authorization_table *table = core->authorizations;
    uint32_t slot = (uint32_t)(id & (AUTHORIZATIONS_MAX - 1));
    return table != NULL && id != 0 && slot < table->used && table->list[slot].id == id ? &table->list[slot] : NULL;
}

static void authorization_free(core *core, authorization *gone)
{
    authorization_table *table = core->authorizations;
    if (gone->late != NULL)
        deferred_free(gone->late);
    if (gone->fields != NULL)
        dro_wipe(gone->fields, gone->length);
    free(gone->fields);
    *gone = (authorization){ .next_free = table->free };
    table->free = (uint32_t)(gone - table->list);
    table->count--;
}

/* ---- asking ---- */

/* Who can be followed by another is not given all of the time. */
static uint32_t timeout_of(const core *core, const authorization *asked, bool is_last)
{
    int64_t left_ms = (asked->until_ns - core->now_ns) / 1000000;
    int64_t wanted = is_last || left_ms < AUTHORIZATION_OTHER_MS ? left_ms : AUTHORIZATION_OTHER_MS;
    return wanted > 0 ? (uint32_t)wanted : 1;
}

/* False: no HSS can be reached that was not asked yet. */
static bool authorization_send(core *core, authorization *asked)
{
    uint8_t message[sizeof(authorization_request) + 2 * DIAMETER_IDENTITY_MAX + FIELDS_MAX + 8];
    hss_route route;
    if (asked->tries++ >= AUTHORIZATION_TRIES_MAX || !peers_hss(core, asked->silent, asked->silent_count, &route))
        return false;
    asked->asked = route.hash;
    asked->request.timeout_ms = timeout_of(core, asked, route.is_last);
    dro_builder out = dro_builder_over(message, sizeof message);
    asked->request.host_length = (uint16_t)strlen(route.host);
    asked->request.realm_length = (uint16_t)strlen(route.realm);
    dro_builder_bytes(&out, &asked->request, sizeof asked->request);
    dro_builder_text(&out, route.host);
    dro_builder_text(&out, route.realm);
    dro_builder_bytes(&out, asked->fields, asked->length);
    dro_field_pad(&out);
    tell(core, route.gate, MESSAGE_AUTHORIZATION, RING_WIPE, asked->id, message, (uint32_t)dro_builder_length(&out), 0);
    dro_wipe(message, sizeof message);
    return true;
}

static const char *domain_of(core *core, uint32_t index, size_t *length)
{
    const char *name = core->domains[twin_at(core, index)->domain].name;
    *length = strlen(name);
    return name;
}

static const char *apn_of(core *core, const application *owner, uint32_t index)
{
    size_t length;
    const char *domain = domain_of(core, index, &length);
    const char *chosen = apn_choose(&core->options.apns, owner == NULL ? "" : owner->id, domain, length);
    bool is_bound = owner != NULL && owner->apn_count > 0;
    return chosen[0] == '\0' && is_bound ? owner->apns[0] : chosen; /* any: then one of its own */
}

bool authorization_apn_is_open(core *core, const application *owner, uint32_t index)
{
    return authorization_apn_is_own(owner, apn_of(core, owner, index));
}

bool authorization_apn_is_own(const application *owner, const char *apn)
{
    for (uint32_t i = 0; i < owner->apn_count; i++)
        if (apn_is_same(owner->apns[i], strlen(owner->apns[i]), apn, strlen(apn)))
            return true;
    return owner->apn_count == 0;
}

/* The fields of a configuration that a question has too. */
static void put_question(const asking *asking, dro_builder *out)
{
    static const uint8_t tags[] = { API_FIELD_PROVIDER, API_FIELD_APN };
    dro_field room;
    const dro_field *user = nidd_field(asking->fields, asking->length, asking->group != 0 ? API_FIELD_GROUP : API_FIELD_ID, &room);
    bool is_named = user != NULL;
    if (!is_named)
        user = nidd_field(asking->fields, asking->length, API_FIELD_MSISDN, &room);
    if (user != NULL)
        dro_field_put(out, is_named ? API_FIELD_ID : API_FIELD_MSISDN, user->bytes, user->length);
    for (size_t i = 0; i < sizeof tags; i++) {
        const dro_field *field = nidd_field(asking->fields, asking->length, tags[i], &room);
        if (field != NULL && field->length > 0)
            dro_field_put(out, tags[i], field->bytes, field->length);
    }
    if (asking->apn != NULL && asking->apn[0] != '\0')
        dro_field_put_text(out, API_FIELD_APN, asking->apn);
}

static uint32_t requested_until(const asking *asking)
{
    dro_field room;
    int64_t until_ms = 0;
    const dro_field *duration = nidd_field(asking->fields, asking->length, API_FIELD_DURATION, &room);
    if (duration != NULL && duration->length == sizeof until_ms)
        memcpy(&until_ms, duration->bytes, sizeof until_ms);
    return until_ms <= 0 ? 0 : until_ms / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(until_ms / 1000);
}

const char *authorization_begin(core *core, const asking *asking)
{
    uint8_t bytes[FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    authorization *made = authorization_new(core);
    if (made == NULL) {
        if (asking->late != NULL)
            deferred_free(asking->late);
        return "too many questions wait for the HSS";
    }
    put_question(asking, &out);
    made->twin = asking->twin;
    made->configuration = asking->configuration;
    made->late = asking->late;
    made->until_ns = core->now_ns + AUTHORIZATION_WAIT_MS * 1000000ll;
    made->request.valid_until = requested_until(asking);
    made->request.group = asking->group;
    made->length = (uint32_t)dro_builder_length(&out);
    made->fields = out.err == DRO_OK ? malloc(made->length + 1) : NULL;
    if (made->fields != NULL)
        memcpy(made->fields, bytes, made->length);
    dro_wipe(bytes, sizeof bytes);
    const char *why = made->fields == NULL ? "out of memory" : authorization_send(core, made) ? NULL : "no HSS can be reached";
    if (why != NULL)
        authorization_free(core, made);
    return why;
}

bool authorization_defer(core *core, const call *call, asking *asking)
{
    asking->fields = call->fields;
    asking->length = call->fields_length;
    asking->late = core->is_draining ? NULL : deferred_new(call->gate, call->header, call->message);
    const char *why = asking->late == NULL ? "the host has no room for it now" : authorization_begin(core, asking);
    if (why == NULL)
        return true;
    core->counters.authorizations_failed++;
    tell_problem(core, call->caller, 503, "about:blank", "%s; try again", why);
    return false;
}

bool authorization_asks(core *core, const call *call, const application *owner, uint32_t index)
{
    if (core->grant != NULL || !peers_have_hss(core))
        return false;
    asking asking = { .twin = twin_at(core, index)->number, .apn = apn_of(core, owner, index) };
    (void)authorization_defer(core, call, &asking); /* asked, or told why not */
    return true;
}

void authorization_renew(core *core, uint32_t index, nidd_configuration *configuration)
{
    asking asking = { .twin = twin_at(core, index)->number, .configuration = configuration->number,
                      .fields = configuration->fields, .length = configuration->length };
    if (authorization_begin(core, &asking) == NULL) {
        configuration->renew_ms = INT64_MAX; /* until the answer, or that there is none */
        return;
    }
    core->counters.authorizations_failed++;
    nidd_configuration_put_off(core, configuration);
}

/* ---- binding ---- */

static bool number_is_bound(core *core, uint32_t index, bool is_imsi, const char *digits)
{
    const twin *twin = twin_at(core, index);
    uint64_t hash[2];
    if (!(twin->flags & (is_imsi ? TWIN_HAS_IMSI : TWIN_HAS_MSISDN)))
        return false;
    vault_identity_hash(core->vault, is_imsi ? "imsi" : "msisdn", digits, strlen(digits), hash);
    return (is_imsi ? twin->imsi_hash : twin->msisdn_hash) == hash[0];
}

/* The digits of a grant; false: it has none. */
static bool digits_of(const grant *grant, uint32_t tag, char out[16])
{
    dro_field room;
    const dro_field *field = nidd_field(grant->fields, grant->length, tag, &room);
    if (field == NULL || field->length == 0 || field->length > IMSI_DIGITS_MAX || !is_digits(field->bytes, field->length))
        return false;
    memcpy(out, field->bytes, field->length);
    out[field->length] = '\0';
    return true;
}

/* No other twin has it, here or in another core. */
static bool number_claim(core *core, uint32_t index, const grant *grant, uint32_t tag)
{
    char digits[16];
    bool is_imsi = tag == API_FIELD_IMSI, is_free = true;
    if (digits_of(grant, tag, digits) && !number_is_bound(core, index, is_imsi, digits)) {
        uint32_t other = is_imsi ? twin_find_imsi(core, digits) : twin_find_msisdn(core, digits);
        is_free = (other == NONE || other == index) &&
                  name_claim(core, is_imsi ? DIRECTORY_IMSI : DIRECTORY_MSISDN, digits, strlen(digits), twin_partition(twin_at(core, index))) == DRO_OK;
    }
    dro_wipe(digits, sizeof digits);
    return is_free;
}

static bool grant_claim(core *core, uint32_t index, const grant *grant)
{
    if (number_claim(core, index, grant, API_FIELD_IMSI) && number_claim(core, index, grant, API_FIELD_MSISDN))
        return true;
    core->counters.authorizations_failed++;
    dro_warn("authorization: the HSS gives a twin an IMSI or MSISDN that another twin has; see which ids they have, and remove one");
    return false;
}

static void bind_number(core *core, uint32_t index, const grant *grant, uint32_t tag, network_release *gone)
{
    char digits[16];
    bool is_imsi = tag == API_FIELD_IMSI;
    if (digits_of(grant, tag, digits) && !number_is_bound(core, index, is_imsi, digits)) {
        if (is_imsi) /* the connection is the other subscription's */
            network_release_begin(core, index, gone);
        record_put(core, is_imsi ? FIELD_IMSI : FIELD_MSISDN, digits, strlen(digits));
    }
    dro_wipe(digits, sizeof digits);
}

/* External Identifiers that are new become aliases; one of another twin is left to it. */
static void bind_aliases(core *core, uint32_t index, const grant *grant)
{
    const twin *twin = twin_at(core, index);
    char aliases[TWIN_ALIASES_MAX * (EXTERNAL_IDENTIFIER_MAX + 1)];
    dro_builder out = dro_builder_over(aliases, sizeof aliases);
    uint32_t count = twin->extra == NULL ? 0 : twin->extra->alias_count, had = count;
    for (uint32_t i = 0; i < count; i++)
        dro_builder_bytes(&out, twin->extra->aliases[i], strlen(twin->extra->aliases[i]) + 1);
    dro_cursor in = dro_cursor_over(grant->fields, grant->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        char name[EXTERNAL_IDENTIFIER_MAX + 1];
        if (field.tag != API_FIELD_ID || !external_identifier_read((const char *)field.bytes, field.length, name) ||
            twin_find(core, name, strlen(name)) == index || names_have(&out, name))
            continue;
        bool is_free = count < TWIN_ALIASES_MAX && twin_find(core, name, strlen(name)) == NONE &&
                       name_claim(core, DIRECTORY_ID, name, strlen(name), twin_partition(twin)) == DRO_OK;
        if (!is_free) {
            dro_warn("authorization: the HSS names an External Identifier of another twin, or more than %d", TWIN_ALIASES_MAX);
            continue;
        }
        dro_builder_bytes(&out, name, strlen(name) + 1);
        count++;
    }
    if (count > had && out.err == DRO_OK)
        record_put(core, FIELD_ALIASES, aliases, dro_builder_length(&out));
}

void authorization_bind(core *core, uint32_t index, const grant *grant, network_release *gone)
{
    bind_number(core, index, grant, API_FIELD_IMSI, gone);
    bind_number(core, index, grant, API_FIELD_MSISDN, gone);
    bind_aliases(core, index, grant);
}

/* ---- granted ---- */

int64_t grant_until_ms(const grant *grant)
{
    dro_field room;
    int64_t until_ms = INT64_MAX;
    const dro_field *field = nidd_field(grant->fields, grant->length, API_FIELD_GRANTED, &room);
    if (field != NULL && field->length == sizeof until_ms)
        memcpy(&until_ms, field->bytes, sizeof until_ms);
    return until_ms;
}

void grant_put(const core *core, const grant *grant, dro_builder *out)
{
    dro_field_put_u64(out, API_FIELD_AUTHORIZED, (uint64_t)core->now_ms);
    if (grant_until_ms(grant) != INT64_MAX)
        dro_field_put_u64(out, API_FIELD_GRANTED, (uint64_t)grant_until_ms(grant));
}

bool authorization_is_good(core *core, const call *call, uint32_t index)
{
    const grant *grant = core->grant;
    char digits[16];
    bool has_imsi = twin_at(core, index)->flags & TWIN_HAS_IMSI;
    if (grant == NULL)
        return true;
    has_imsi |= digits_of(grant, API_FIELD_IMSI, digits);
    dro_wipe(digits, sizeof digits);
    if (!has_imsi || grant_until_ms(grant) <= core->now_ms)
        tell_cause(core, call->caller, 403, "NIDD_NOT_AUTHORIZED", "the HSS does not grant it");
    else if (!grant_claim(core, index, grant))
        tell_cause(core, call->caller, 409, "NIDD_NOT_AUTHORIZED", "the HSS names a subscription that another twin of this host has");
    else
        return true;
    return false;
}

void authorization_put(core *core, const application *owner, uint32_t index, dro_builder *members)
{
    const char *apn = apn_of(core, owner, index);
    if (apn[0] != '\0')
        dro_field_put_text(members, API_FIELD_APN, apn);
    if (core->grant != NULL)
        grant_put(core, core->grant, members);
}

void grant_replace(const core *core, const uint8_t *fields, size_t length, const grant *grant, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_AUTHORIZED && field.tag != API_FIELD_GRANTED)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    grant_put(core, grant, out);
}

/* Inside a record. */
static void configuration_regrant(core *core, const nidd_configuration *old, const grant *grant)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_builder out = dro_builder_over(fields, sizeof fields);
    grant_replace(core, old->fields, old->length, grant, &out);
    if (out.err == DRO_OK)
        nidd_configuration_put(core, old->number, old->application, old->made_ms, (nidd_status)old->status, fields, dro_builder_length(&out));
}

void authorization_take_care(core *core, uint32_t index)
{
    mailbox_flush(core, index);
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}

/* ---- revoked ---- */

static bool is_over_apn(const nidd_configuration *configuration, const char *apn, size_t length)
{
    dro_field room;
    const dro_field *own = nidd_field(configuration->fields, configuration->length, API_FIELD_APN, &room);
    return own == NULL || length == 0 || apn_is_same((const char *)own->bytes, own->length, apn, length);
}

/* Is a configuration in force for the device over the APN, its own or of a group that it is in? */
static bool is_configured(const core *core, uint32_t index, const char *apn, size_t length, bool *was_revoked)
{
    const twin *twin = twin_at(core, index);
    const nidd *nidd = twin->nidd;
    *was_revoked = false;
    for (const nidd_configuration *c = nidd == NULL ? NULL : nidd->configurations; c != NULL; c = c->next) {
        if (!is_over_apn(c, apn, length))
            continue;
        if (c->status == NIDD_ACTIVE)
            return true;
        *was_revoked |= c->status == NIDD_TERMINATED_UE_NOT_AUTHORIZED;
    }
    return authorization_of_groups(core, index, apn, length, was_revoked);
}

bool authorization_keeps(const core *core, uint32_t index)
{
    const twin_extra *extra = twin_at(core, index)->extra;
    const char *apn = extra != NULL && extra->rates != NULL ? extra->rates->apn : "";
    bool ignored;
    return is_configured(core, index, apn, strlen(apn), &ignored);
}

/* Inside a record; the connection goes with the last configuration in force over its APN. */
static void configuration_revoke(core *core, uint32_t index, nidd_configuration *configuration, network_release *gone)
{
    nidd_configuration_end(core, index, configuration, NIDD_TERMINATED_UE_NOT_AUTHORIZED);
    core->counters.authorizations_revoked++;
    if (!authorization_keeps(core, index))
        network_release_begin(core, index, gone);
}

/* ---- answers ---- */

static bool is_refused(const authorization_answer *answer)
{
    return answer->experimental != 0 || answer->result >= 5000;
}

/* An application hears what the HSS says of the device; what is wrong between hosts it cannot mend. */
static void tell_refused(core *core, caller caller, bool is_group, const authorization_answer *answer)
{
    if (answer->experimental == EXPERIMENTAL_USER_UNKNOWN)
        tell_cause(core, caller, 404, "USER_UNKNOWN", "the HSS does not know the %s", is_group ? "group" : "device");
    else if (answer->experimental != 0)
        tell_cause(core, caller, 403, "NIDD_NOT_AUTHORIZED", "the HSS refuses it with %u", answer->experimental);
    else
        tell_problem(core, caller, 500, "about:blank", "the HSS cannot do with the request: %u", answer->result);
}

/* No word of an HSS: who waits is told, a renewal is tried again. */
static void authorization_fail(core *core, authorization *asked, const char *why)
{
    uint32_t index = asked->request.group != 0 ? NONE : twin_find_number(core, asked->twin), group = asked->request.group, at;
    uint64_t of_group = asked->configuration;
    nidd_configuration *configuration = asked->configuration == 0 || index == NONE ? NULL : nidd_configuration_find(core, asked->configuration, &at);
    core->counters.authorizations_failed++;
    if (asked->late != NULL && core->gates[asked->late->gate].is_open)
        tell_problem(core, (caller){ asked->late->gate, asked->late->header.id }, 503, "about:blank", "%s; try again", why);
    authorization_free(core, asked);
    if (group != 0)
        authorization_group_failed(core, group, of_group);
    if (configuration == NULL)
        return;
    nidd_configuration_put_off(core, configuration);
    authorization_take_care(core, index);
}

/* The request goes on with the grant, or finds that it was refused. */
static void take_up(core *core, authorization *asked, const authorization_answer *answer, const grant *grant)
{
    deferred *late = asked->late;
    uint32_t group = asked->request.group;
    asked->late = NULL;
    authorization_free(core, asked);
    if (is_refused(answer)) {
        core->counters.authorizations_refused++;
        if (group != 0)
            authorization_group_refused(core, group);
        tell_refused(core, (caller){ late->gate, late->header.id }, group != 0, answer);
    } else {
        core->counters.authorizations_granted++;
        core->grant = grant;
        message_take(core, late->gate, &late->header, late->body);
        core->grant = NULL;
    }
    deferred_free(late);
}

/* A group's list came before, in messages of its own. */
static void group_renewed(core *core, authorization *asked, const authorization_answer *answer, const grant *grant)
{
    bool is_granted = !is_refused(answer) && grant_until_ms(grant) > core->now_ms;
    uint64_t configuration = asked->configuration;
    authorization_free(core, asked);
    *(is_granted ? &core->counters.authorizations_granted : &core->counters.authorizations_refused) += 1;
    authorization_group_renewed(core, configuration, is_granted ? grant : NULL);
}

static void renewed(core *core, uint32_t index, authorization *asked, const authorization_answer *answer, const grant *grant)
{
    uint32_t at;
    nidd_configuration *configuration = nidd_configuration_find(core, asked->configuration, &at);
    network_release gone = { .length = 0 };
    authorization_free(core, asked);
    if (configuration == NULL || configuration->status != NIDD_ACTIVE)
        return;
    bool is_granted = !is_refused(answer) && grant_until_ms(grant) > core->now_ms;
    if (is_granted && !grant_claim(core, index, grant)) {
        nidd_configuration_put_off(core, configuration);
        authorization_take_care(core, index);
        return;
    }
    *(is_granted ? &core->counters.authorizations_granted : &core->counters.authorizations_refused) += 1;
    record_begin(core, index, RECORD_DELTA);
    if (is_granted) {
        authorization_bind(core, index, grant, &gone);
        configuration_regrant(core, configuration, grant);
    } else {
        configuration_revoke(core, index, configuration, &gone);
    }
    network_release_send(core, &gone, record_end(core));
    authorization_take_care(core, index);
}

/* One that was lost on its way, or left without an answer, goes through another HSS as the same request. */
static void ask_another(core *core, authorization *asked, const authorization_answer *answer)
{
    bool is_silent = answer->outcome == AUTHORIZATION_NO_ANSWER;
    if (answer->outcome != AUTHORIZATION_NO_PEER) {
        asked->request.is_again = 1;
        asked->request.end_to_end = answer->end_to_end;
    }
    if (is_silent && asked->silent_count < AUTHORIZATION_TRIES_MAX) {
        asked->silent[asked->silent_count++] = asked->asked;
        peers_hss_silent(core, asked->asked);
    }
    if (!authorization_send(core, asked))
        authorization_fail(core, asked, is_silent ? "the HSS does not answer" : "no HSS can be reached");
}

void authorizations_on_answer(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    authorization_answer answer;
    authorization *asked = authorization_find(core, header->id);
    if (asked == NULL || header->length - sizeof *header < sizeof answer)
        return;
    memcpy(&answer, body, sizeof answer);
    grant grant = { body + sizeof answer, header->length - sizeof *header - sizeof answer };
    uint32_t index = asked->request.group != 0 ? NONE : twin_find_number(core, asked->twin);
    if (answer.outcome != AUTHORIZATION_ANSWERED) {
        ask_another(core, asked, &answer);
        return;
    }
    bool is_answered = is_refused(&answer) || (answer.result >= 2000 && answer.result < 3000);
    bool is_running = index != NONE && twin_at(core, index)->flags & TWIN_RUNNING;
    if (!is_answered)
        authorization_fail(core, asked, "the HSS is busy");
    else if (is_running && twin_defer(core, index, gate, header, body) == DRO_OK)
        return;
    else if (is_running || core_refusal(core) != NULL)
        authorization_fail(core, asked, "the twin is busy");
    else if (asked->late != NULL)
        take_up(core, asked, &answer, &grant);
    else if (asked->request.group != 0)
        group_renewed(core, asked, &answer, &grant);
    else if (index != NONE)
        renewed(core, index, asked, &answer, &grant);
    else
        authorization_free(core, asked);
}

void authorizations_due(core *core)
{
    authorization_table *table = core->authorizations;
    for (uint32_t i = 0; table != NULL && table->count > 0 && i < table->used; i++) {
        authorization *asked = &table->list[i];
        bool is_over = asked->until_ns <= core->now_ns || (core->is_draining && asked->late != NULL);
        if (asked->id != 0 && is_over)
            authorization_fail(core, asked, "the HSS does not answer");
    }
}

/* Who asked is gone. What the gate itself was to ask ends with its time. */
void authorizations_gate_lost(core *core, uint32_t gate)
{
    authorization_table *table = core->authorizations;
    for (uint32_t i = 0; table != NULL && i < table->used; i++)
        if (table->list[i].id != 0 && table->list[i].late != NULL && table->list[i].late->gate == gate)
            authorization_free(core, &table->list[i]);
}

void authorizations_free(core *core)
{
    authorization_table *table = core->authorizations;
    for (uint32_t i = 0; table != NULL && i < table->used; i++)
        if (table->list[i].id != 0)
            authorization_free(core, &table->list[i]);
    free(table);
    core->authorizations = NULL;
}

/* ---- an HSS says something on its own ---- */

/* The twin by the first of its identities that one has. */
static uint32_t twin_of(core *core, const grant *said)
{
    static const uint8_t tags[] = { API_FIELD_ID, API_FIELD_MSISDN, API_FIELD_IMSI };
    uint32_t found = NONE;
    for (size_t i = 0; i < sizeof tags && found == NONE; i++) {
        char digits[16];
        dro_field room;
        const dro_field *name = nidd_field(said->fields, said->length, tags[i], &room);
        if (name != NULL && tags[i] == API_FIELD_ID)
            found = twin_find(core, (const char *)name->bytes, name->length);
        else if (digits_of(said, tags[i], digits))
            found = tags[i] == API_FIELD_IMSI ? twin_find_imsi(core, digits) : twin_find_msisdn(core, digits);
        dro_wipe(digits, sizeof digits);
    }
    return found;
}

/* Inside a record: each configuration over the APN lasts until then, or has ended. */
static void validity_change(core *core, uint32_t index, const dro_field *said, network_release *gone)
{
    uint32_t until_s;
    const nidd *nidd = twin_at(core, index)->nidd;
    if (said->length < sizeof until_s || nidd == NULL)
        return;
    memcpy(&until_s, said->bytes, sizeof until_s);
    uint8_t fields[16];
    dro_builder out = dro_builder_over(fields, sizeof fields);
    dro_field_put_u64(&out, API_FIELD_GRANTED, (uint64_t)until_s * 1000);
    grant grant = { fields, dro_builder_length(&out) };
    for (nidd_configuration *c = nidd->configurations; c != NULL;) {
        nidd_configuration *next = c->next;
        if (c->status != NIDD_ACTIVE || !is_over_apn(c, (const char *)said->bytes + sizeof until_s, said->length - sizeof until_s))
            ; /* as it is */
        else if (grant_until_ms(&grant) <= core->now_ms)
            configuration_revoke(core, index, c, gone);
        else
            configuration_regrant(core, c, &grant);
        c = next;
    }
}

static void update(core *core, caller caller, uint32_t index, const grant *said)
{
    network_release gone = { .length = 0 };
    dro_cursor in = dro_cursor_over(said->fields, said->length);
    dro_field field;
    record_begin(core, index, RECORD_DELTA);
    authorization_bind(core, index, said, &gone);
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_APN_VALIDITY)
            validity_change(core, index, &field, &gone);
    uint64_t round = record_end(core);
    network_answer_send(core, caller, RESULT_SUCCESS, 0, round);
    network_release_send(core, &gone, round);
    authorization_take_care(core, index);
}

void authorizations_on_update(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    caller caller = { gate, header->id };
    size_t length = header->length - sizeof *header;
    if (length < sizeof(authorization_update)) {
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0);
        return;
    }
    grant said = { body + sizeof(authorization_update), length - sizeof(authorization_update) };
    uint32_t index = twin_of(core, &said);
    if (core_refusal(core) != NULL)
        network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    else if (index == NONE)
        network_answer_send(core, caller, 0, EXPERIMENTAL_USER_UNKNOWN, 0);
    else if (twin_at(core, index)->flags & TWIN_RUNNING) {
        if (twin_defer(core, index, gate, header, body) != DRO_OK)
            network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0);
    } else if (!grant_claim(core, index, &said))
        network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0);
    else
        update(core, caller, index, &said);
}

/* ---- connections ---- */

bool authorization_lets_connect(core *core, uint32_t index, const char *apn, size_t length)
{
    size_t domain_length;
    bool was_revoked;
    if (is_configured(core, index, apn, length, &was_revoked))
        return true;
    const char *domain = domain_of(core, index, &domain_length);
    return !was_revoked && apn_accepts(&core->options.apns, apn, length, domain, domain_length);
}
