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
    FIELDS_MAX = 1024,
};

/* ---- asking ---- */

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
    const dro_field *duration = nidd_field(asking->fields, asking->length, API_FIELD_DURATION, &room);
    if (duration != NULL)
        dro_field_put(out, API_FIELD_GRANTED, duration->bytes, duration->length);
}

static inquiry_done_fn authorization_done;

const char *authorization_begin(core *core, const asking *asking)
{
    uint8_t bytes[FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    put_question(asking, &out);
    inquiry asked = { .kind = INQUIRY_NIDD, .twin = asking->twin, .group = asking->group, .subject = asking->configuration, .late = asking->late,
                      .fields = bytes, .length = dro_builder_length(&out), .done = authorization_done };
    const char *why = out.err == DRO_OK ? inquiry_begin(core, &asked) : "the question is too long";
    if (out.err != DRO_OK && asking->late != NULL)
        deferred_free(asking->late);
    dro_wipe(bytes, sizeof bytes);
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

/* An application hears what the HSS says of the device; what is wrong between hosts it cannot mend. */
static void tell_refused(core *core, const inquiry *asked, const inquiry_said *said)
{
    caller caller = { asked->late->gate, asked->late->header.id };
    if (said->verdict == VERDICT_USER_UNKNOWN)
        tell_cause(core, caller, 404, "USER_UNKNOWN", "the HSS does not know the %s", asked->group != 0 ? "group" : "device");
    else if (said->verdict == VERDICT_UNFIT)
        tell_problem(core, caller, 500, "about:blank", "the HSS cannot do with the request: %u", said->code);
    else
        tell_cause(core, caller, 403, "NIDD_NOT_AUTHORIZED", "the HSS refuses it with %u", said->code);
}

/* No word of an HSS: who waits is told, a renewal is tried again. */
static void authorization_fail(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index = asked->group != 0 ? NONE : twin_find_number(core, asked->twin), at;
    nidd_configuration *configuration = asked->subject == 0 || index == NONE ? NULL : nidd_configuration_find(core, asked->subject, &at);
    core->counters.authorizations_failed++;
    inquiry_tell_why(core, asked, said);
    if (asked->group != 0)
        authorization_group_failed(core, asked->group, asked->subject);
    if (configuration == NULL)
        return;
    nidd_configuration_put_off(core, configuration);
    authorization_take_care(core, index);
}

/* The request goes on with the grant, or finds that it was refused. */
static void take_up(core *core, const inquiry *asked, const inquiry_said *said, const grant *grant)
{
    if (said->verdict == VERDICT_DONE) {
        core->counters.authorizations_granted++;
        core->grant = grant;
        (void)inquiry_take_up(core, asked, said);
        core->grant = NULL;
        return;
    }
    core->counters.authorizations_refused++;
    if (asked->group != 0)
        authorization_group_refused(core, asked->group);
    tell_refused(core, asked, said);
}

/* A group's list came before, in messages of its own. */
static void group_renewed(core *core, uint64_t configuration, bool is_granted, const grant *grant)
{
    *(is_granted ? &core->counters.authorizations_granted : &core->counters.authorizations_refused) += 1;
    authorization_group_renewed(core, configuration, is_granted ? grant : NULL);
}

static void renewed(core *core, uint32_t index, uint64_t number, bool is_granted, const grant *grant)
{
    uint32_t at;
    nidd_configuration *configuration = nidd_configuration_find(core, number, &at);
    network_release gone = { .length = 0 };
    if (configuration == NULL || configuration->status != NIDD_ACTIVE)
        return;
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

static void authorization_done(core *core, const inquiry *asked, const inquiry_said *said)
{
    grant grant = { said->fields, said->length };
    uint32_t index = asked->group != 0 ? NONE : twin_find_number(core, asked->twin);
    bool is_granted = said->verdict == VERDICT_DONE && grant_until_ms(&grant) > core->now_ms;
    if (said->outcome != INQUIRY_ANSWERED)
        authorization_fail(core, asked, said);
    else if (asked->late != NULL)
        take_up(core, asked, said, &grant);
    else if (asked->had_late && asked->group != 0) /* who asked is gone */
        authorization_group_refused(core, asked->group);
    else if (asked->group != 0)
        group_renewed(core, asked->subject, is_granted, &grant);
    else if (index != NONE && !asked->had_late)
        renewed(core, index, asked->subject, is_granted, &grant);
}

/* ---- an HSS says something on its own ---- */

uint32_t authorization_twin_of(core *core, const grant *said)
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
    uint32_t index = authorization_twin_of(core, &said);
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
