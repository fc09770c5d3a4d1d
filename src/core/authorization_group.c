/* What an HSS says of groups (TS 29.336): may an application deliver to all members, and who
 * they are (Group-User-Identifier, in segments). Groups of this host's own are none of its business. */
#include <string.h>

#include "base/log.h"
#include "core/authorization.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/peers.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/twin_table.h"

enum { RESULT_SUCCESS = 2001, RESULT_TOO_BUSY = 3004, RESULT_UNABLE_TO_COMPLY = 5012, EXPERIMENTAL_USER_UNKNOWN = 5001 };

/* ---- asking ---- */

static const char *apn_of(const core *core, const application *owner, const group *group)
{
    const char *domain = core->domains[group->domain].name;
    const char *chosen = apn_choose(&core->options.apns, owner->id, domain, strlen(domain));
    return chosen[0] == '\0' && owner->apn_count > 0 ? owner->apns[0] : chosen; /* any: then one of its own */
}

bool authorization_apn_is_open_group(const core *core, const application *owner, const group *group)
{
    return authorization_apn_is_own(owner, apn_of(core, owner, group));
}

group *authorization_group_named(core *core, const call *call, const application *owner, dro_err *err)
{
    group *found = call->group.at == NULL ? NULL : group_find(core, call->group.at, call->group.length);
    const char *at = call->group.at == NULL ? NULL : memchr(call->group.at, '@', call->group.length);
    if (found != NULL)
        return found->kind == GROUP_HSS && application_sees(core, owner->number, 0, found->domain) ? found : NULL;
    uint32_t domain = at == NULL ? NONE : domain_find(core, at + 1, (size_t)(call->group.at + call->group.length - at - 1));
    if (domain == NONE || !application_sees(core, owner->number, 0, domain))
        return NULL;
    *err = group_add(core, call->group.at, call->group.length, domain, GROUP_HSS, &found);
    if (*err == DRO_OK && (*err = groups_keep(core)) != DRO_OK)
        group_remove(core, found);
    return *err == DRO_OK ? found : NULL;
}

bool authorization_asks_group(core *core, const call *call, const application *owner)
{
    dro_err err = DRO_OK;
    if (core->grant != NULL || !peers_have_hss(core))
        return false;
    const group *named = authorization_group_named(core, call, owner, &err);
    if (err == DRO_LIMIT)
        tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "a host has at most %d groups", GROUPS_MAX);
    else if (err != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "the group could not be kept: %s", dro_err_text(err));
    if (named == NULL)
        return err != DRO_OK;
    asking asking = { .group = named->number, .apn = apn_of(core, owner, named) };
    if (!authorization_defer(core, call, &asking))
        authorization_group_refused(core, asking.group);
    return true;
}

bool authorization_is_good_group(core *core, const call *call)
{
    if (core->grant == NULL || grant_until_ms(core->grant) > core->now_ms)
        return true;
    tell_cause(core, call->caller, 403, "NIDD_NOT_AUTHORIZED", "the HSS does not grant it");
    return false;
}

void authorization_put_group(core *core, const application *owner, const group *group, dro_builder *members)
{
    const char *apn = apn_of(core, owner, group);
    if (apn[0] != '\0')
        dro_field_put_text(members, API_FIELD_APN, apn);
    if (core->grant != NULL)
        grant_put(core, core->grant, members);
}

/* ---- answers ---- */

static void put_off(const core *core, group_configuration *configuration)
{
    configuration->renew_ms = core->now_ms + nidd_renewal_pause_ms(&configuration->renewals);
}

void authorization_renew_group(core *core, group_configuration *configuration)
{
    asking asking = { .group = configuration->group, .configuration = group_number(configuration->number),
                      .fields = configuration->fields, .length = configuration->length };
    if (authorization_begin(core, &asking) == NULL) {
        configuration->renew_ms = INT64_MAX; /* until the answer, or that there is none */
        return;
    }
    core->counters.authorizations_failed++;
    put_off(core, configuration);
}

static bool is_configured(const core *core, const group *group)
{
    for (uint32_t i = 0; i < core->groups->configuration_high; i++)
        if (core->groups->configurations[i] != NULL && core->groups->configurations[i]->group == group->number)
            return true;
    return false;
}

/* A group that was made to be asked about is not left behind. */
void authorization_group_refused(core *core, uint32_t number)
{
    group *asked = group_at(core, number);
    if (asked == NULL || asked->kind != GROUP_HSS || is_configured(core, asked) || exposure_group_has(core, number))
        return;
    group_remove(core, asked);
    if (groups_keep(core) != DRO_OK)
        dro_warn("groups: the removal of one that the HSS refused could not be kept");
}

void authorization_group_failed(core *core, uint32_t group, uint64_t configuration)
{
    group_configuration *renewed = configuration == 0 ? NULL : group_configuration_at(core, configuration);
    if (renewed != NULL)
        put_off(core, renewed);
    else
        authorization_group_refused(core, group);
}

static void regrant(core *core, group_configuration *configuration, const grant *grant)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    dro_builder out = dro_builder_over(fields, sizeof fields);
    grant_replace(core, configuration->fields, configuration->length, grant, &out);
    dro_err err = out.err != DRO_OK ? out.err : group_configuration_change(core, configuration, fields, (uint16_t)dro_builder_length(&out));
    if (err == DRO_OK)
        err = groups_keep(core);
    if (err != DRO_OK)
        dro_warn("groups: a grant could not be kept: \"%s\"", dro_err_text(err));
}

void authorization_group_renewed(core *core, uint64_t number, const grant *grant)
{
    group_configuration *configuration = group_configuration_at(core, number);
    if (configuration == NULL || configuration->status != NIDD_ACTIVE)
        return;
    if (grant != NULL)
        regrant(core, configuration, grant);
    else
        group_configuration_end(core, configuration, NIDD_TERMINATED_UE_NOT_AUTHORIZED);
}

/* ---- revoked ---- */

static bool is_over_apn(const group_configuration *configuration, const char *apn, size_t length)
{
    dro_field room;
    const dro_field *own = nidd_field(configuration->fields, configuration->length, API_FIELD_APN, &room);
    return own == NULL || length == 0 || apn_is_same((const char *)own->bytes, own->length, apn, length);
}

bool authorization_of_groups(const core *core, uint32_t index, const char *apn, size_t length, bool *was_revoked)
{
    bool has_hss = peers_have_hss(core);
    for (uint32_t number = twin_at(core, index)->memberships; number != 0; number = membership_at(core, number)->next) {
        const group *group = &core->groups->list[membership_at(core, number)->group];
        if (group->is_gone || (has_hss && group->kind != GROUP_HSS)) /* of a group of this host's own an HSS said nothing */
            continue;
        for (uint32_t i = 0; i < core->groups->configuration_high; i++) {
            const group_configuration *c = core->groups->configurations[i];
            if (c == NULL || c->group != group->number || !is_over_apn(c, apn, length))
                continue;
            if (c->status == NIDD_ACTIVE)
                return true;
            *was_revoked |= c->status == NIDD_TERMINATED_UE_NOT_AUTHORIZED;
        }
    }
    return false;
}

void authorization_group_revoked(core *core, group_configuration *revoked)
{
    revoked->is_releasing = core->groups->is_releasing = true;
    revoked->release_cursor = 0;
}

/* True: there was something to do. */
static bool member_release(core *core, uint32_t index, uint32_t place, const group_configuration *revoked)
{
    network_release gone = { .length = 0 };
    bool has_failed = group_downlinks_revoke(core, index, place, revoked);
    bool is_released = twin_at(core, index)->flags & TWIN_CONNECTED && !authorization_keeps(core, index);
    if (is_released) {
        record_begin(core, index, RECORD_DELTA);
        network_release_begin(core, index, &gone);
        network_release_send(core, &gone, record_end(core));
    }
    if (is_released || has_failed)
        authorization_take_care(core, index);
    return is_released || has_failed;
}

/* A member whose twin is in a turn is waited for: its end wakes the core. */
static int members_release(core *core, group_configuration *revoked, uint32_t *batch)
{
    const group *group = group_at(core, revoked->group);
    int done = 0;
    for (uint32_t looked = 0; group != NULL && looked < GROUP_SCAN && *batch > 0 && revoked->release_cursor < group->place_count;
         looked++, revoked->release_cursor++) {
        uint32_t number = group_place(group, revoked->release_cursor);
        uint32_t index = number == 0 ? NONE : membership_at(core, number)->twin;
        done = 1;
        if (index == NONE || twin_at(core, index)->row == NONE)
            continue;
        if (twin_at(core, index)->flags & (TWIN_RUNNING | TWIN_CREATING))
            return 0;
        *batch -= member_release(core, index, revoked->release_cursor, revoked);
    }
    revoked->is_releasing = group != NULL && revoked->release_cursor < group->place_count;
    return done;
}

int authorization_groups_step(core *core)
{
    groups *groups = core->groups;
    uint32_t batch = GROUP_RELEASES;
    int done = 0;
    if (!groups->is_releasing || groups->release_ms > core->now_ms)
        return 0;
    groups->is_releasing = false;
    for (uint32_t i = 0; i < groups->configuration_high; i++) {
        if (groups->configurations[i] == NULL || !groups->configurations[i]->is_releasing)
            continue;
        done += batch > 0 ? members_release(core, groups->configurations[i], &batch) : 0;
        groups->is_releasing |= groups->configurations[i]->is_releasing;
    }
    groups->release_ms = batch > 0 ? 0 : core->now_ms + GROUP_RELEASE_MS;
    return done;
}

/* ---- an HSS says something on its own ---- */

/* The members named in the fields; false: more than a message can have. */
static bool members_of(const uint8_t *fields, size_t length, group_identity list[GROUP_SEGMENT_MAX], uint32_t *count)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    *count = 0;
    while (dro_field_next(&in, &field)) {
        bool is_member = field.tag == API_FIELD_ID || field.tag == API_FIELD_MSISDN || field.tag == API_FIELD_IMSI;
        if (!is_member)
            continue;
        if (*count == GROUP_SEGMENT_MAX)
            return false;
        directory_kind kind = field.tag == API_FIELD_ID ? DIRECTORY_ID : field.tag == API_FIELD_IMSI ? DIRECTORY_IMSI : DIRECTORY_MSISDN;
        list[(*count)++] = (group_identity){ kind, (const char *)field.bytes, field.length };
    }
    return true;
}

static dro_err list_take(core *core, const group *group, const group_members *head, const uint8_t *fields, size_t length)
{
    group_identity list[GROUP_SEGMENT_MAX];
    uint32_t count;
    if (!members_of(fields, length, list, &count))
        return DRO_LIMIT;
    return group_members_told(core, group->id, strlen(group->id), list, count, head->is_last != 0);
}

/* Core 0: each configuration of the group over the APN lasts until then, or has ended. */
static void validity_change(core *core, const group *group, const dro_field *said)
{
    uint32_t until_s;
    uint8_t fields[16];
    dro_builder out = dro_builder_over(fields, sizeof fields);
    if (said->length < sizeof until_s)
        return;
    memcpy(&until_s, said->bytes, sizeof until_s);
    dro_field_put_u64(&out, API_FIELD_GRANTED, (uint64_t)until_s * 1000);
    grant grant = { fields, dro_builder_length(&out) };
    for (uint32_t i = 0; i < core->groups->configuration_high; i++) {
        group_configuration *configuration = core->groups->configurations[i];
        bool is_meant = configuration != NULL && configuration->group == group->number && configuration->status == NIDD_ACTIVE &&
                        is_over_apn(configuration, (const char *)said->bytes + sizeof until_s, said->length - sizeof until_s);
        if (!is_meant)
            continue;
        bool is_revoked = grant_until_ms(&grant) <= core->now_ms;
        core->counters.authorizations_revoked += is_revoked;
        authorization_group_renewed(core, group_number(configuration->number), is_revoked ? NULL : &grant);
    }
}

static void answer(core *core, caller caller, dro_err err)
{
    switch (err) {
    case DRO_OK: network_answer_send(core, caller, RESULT_SUCCESS, 0, round_now(core)); break;
    case DRO_NOT_FOUND: network_answer_send(core, caller, 0, EXPERIMENTAL_USER_UNKNOWN, 0); break;
    case DRO_EXISTS: network_answer_send(core, caller, RESULT_UNABLE_TO_COMPLY, 0, 0); break; /* a group of this host's own */
    default: network_answer_send(core, caller, RESULT_TOO_BUSY, 0, 0); break;
    }
}

void authorizations_on_members(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    group_members head;
    dro_field room;
    size_t length = header->length - sizeof *header;
    if (length < sizeof head)
        return;
    memcpy(&head, body, sizeof head);
    const uint8_t *fields = body + sizeof head;
    length -= sizeof head;
    const dro_field *named = nidd_field(fields, length, API_FIELD_GROUP, &room);
    const group *group = head.group != 0 ? group_at(core, head.group)
                       : named != NULL ? group_find(core, (const char *)named->bytes, named->length) : NULL;
    dro_err err = group == NULL ? DRO_NOT_FOUND : group->kind != GROUP_HSS ? DRO_EXISTS : core_refusal(core) != NULL ? DRO_AGAIN : DRO_OK;
    if (err == DRO_OK && head.has_list)
        err = list_take(core, group, &head, fields, length);
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (err == DRO_OK && core->index == 0 && dro_field_next(&in, &field))
        if (field.tag == API_FIELD_APN_VALIDITY)
            validity_change(core, group, &field);
    if (head.is_answered)
        answer(core, (caller){ gate, header->id }, err);
}
