/* NIDD authorisation over S6t (TS 29.336 8.2): the core's questions to an HSS, and what an HSS
 * says on its own. Answers of other commands of S6t are t6a.c's. */
#include <string.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "gate/home.h"
#include "gate/inquiry.h"
#include "twin/apn.h"
#include "twin/identifier.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    GROUP_OF_USERS = 1,           /* Type-Of-External-Identifier */
    IDENTITIES_MAX = 16,          /* External Identifiers in one answer */
    VALIDITIES_MAX = 32,          /* APN-Validity-Time in one request */
    FIELDS_BYTES = 8192,          /* of what it says of a device */
};

/* ---- identities ---- */

bool s6t_put_identities(const diameter_message *message, const diameter_avp *group, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *name = diameter_find_in(message, group, AVP_USER_NAME);
    const diameter_avp *msisdn = diameter_find_in(message, group, AVP_MSISDN);
    const diameter_avp *external = diameter_find_in(message, group, AVP_EXTERNAL_IDENTIFIER);
    char digits[DIAMETER_DIGITS_MAX + 1], identifier[EXTERNAL_IDENTIFIER_MAX + 1];
    uint32_t count = 0;
    *wrong = name;
    if (name != NULL && !t6a_imsi(name, digits))
        return false;
    if (name != NULL)
        dro_field_put_text(out, API_FIELD_IMSI, digits);
    *wrong = msisdn;
    if (msisdn != NULL && !diameter_tbcd(msisdn, digits))
        return false;
    if (msisdn != NULL)
        dro_field_put_text(out, API_FIELD_MSISDN, digits);
    dro_wipe(digits, sizeof digits);
    for (; external != NULL; external = diameter_find_next(message, external)) {
        *wrong = external;
        if (++count > IDENTITIES_MAX || !external_identifier_read((const char *)external->data, external->length, identifier))
            return false;
        dro_field_put_text(out, API_FIELD_ID, identifier);
    }
    return true;
}

/* ---- lists of members ---- */

enum { INCOMPLETE_LIST = 1 /* NIA-Flags and NIR-Flags, bit 0 */ };

/* One name of each member: what this host knows devices by comes first. False: one has none, or it is none. */
static bool put_members(const diameter_message *message, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *member = diameter_find(message, AVP_GROUP_USER_IDENTIFIER);
    for (; member != NULL; member = diameter_find_next(message, member)) {
        char digits[DIAMETER_DIGITS_MAX + 1], identifier[EXTERNAL_IDENTIFIER_MAX + 1];
        const diameter_avp *external = diameter_find_in(message, member, AVP_EXTERNAL_IDENTIFIER);
        const diameter_avp *msisdn = diameter_find_in(message, member, AVP_MSISDN);
        *wrong = member;
        if (external != NULL && external_identifier_read((const char *)external->data, external->length, identifier))
            dro_field_put_text(out, API_FIELD_ID, identifier);
        else if (external == NULL && diameter_tbcd(msisdn, digits))
            dro_field_put_text(out, API_FIELD_MSISDN, digits);
        else if (external == NULL && msisdn == NULL && t6a_imsi(diameter_find_in(message, member, AVP_USER_NAME), digits))
            dro_field_put_text(out, API_FIELD_IMSI, digits);
        else
            return false;
        dro_wipe(digits, sizeof digits);
    }
    return true;
}

/* To all cores, or to none: false. */
static bool send_members(diameter_gate *gate, const group_members *head, const dro_builder *fields, uint64_t id)
{
    const gate_config *config = gate->config;
    uint32_t length = (uint32_t)(sizeof *head + dro_builder_length(fields));
    uint8_t *bodies[GATE_CORES_MAX];
    for (uint32_t i = 0; i < config->core_count; i++) {
        bodies[i] = length > ring_body_max(&config->to_core[i]) ? NULL : ring_reserve(&config->to_core[i], length);
        if (bodies[i] == NULL)
            return false;
    }
    for (uint32_t i = 0; i < config->core_count; i++) {
        memcpy(bodies[i], head, sizeof *head);
        memcpy(bodies[i] + sizeof *head, fields->start, dro_builder_length(fields));
        ring_commit(&config->to_core[i], MESSAGE_GROUP_MEMBERS, RING_WIPE, id, length);
    }
    return true;
}

static bool is_last_segment(const diameter_message *message, diameter_name flags)
{
    return (diameter_u32(diameter_find(message, flags)) & INCOMPLETE_LIST) == 0;
}

/* A group's list in an answer. False: it cannot be used, or the cores have no room for it. */
static bool tell_members(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message)
{
    dro_builder fields = dro_builder_over(gate->members, sizeof gate->members);
    const diameter_avp *wrong;
    bool has_list = diameter_find(message, AVP_GROUP_USER_IDENTIFIER) != NULL || !is_last_segment(message, AVP_NIA_FLAGS);
    group_members head = { .group = entry->group, .has_list = has_list, .is_last = is_last_segment(message, AVP_NIA_FLAGS) };
    bool is_good = put_members(message, &fields, &wrong);
    dro_field_pad(&fields);
    is_good = is_good && fields.err == DRO_OK && send_members(gate, &head, &fields, 0);
    dro_wipe(gate->members, dro_builder_length(&fields));
    return is_good;
}

/* ---- the core asks ---- */

/* Seconds since 1970. A zero stands for no time at all, not for the era that begins in 2036. */
static uint32_t validity_of(const diameter_avp *time)
{
    return diameter_u32(time) == 0 ? 0 : diameter_time(time);
}

bool s6t_read_nidd(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    const diameter_avp *response = diameter_find(message, AVP_NIDD_AUTHORIZATION_RESPONSE), *wrong;
    const diameter_avp *granted = diameter_find_in(message, response, AVP_GRANTED_VALIDITY_TIME);
    bool is_good = response == NULL || s6t_put_identities(message, response, fields, &wrong);
    if (granted != NULL)
        dro_field_put_u64(fields, API_FIELD_GRANTED, (uint64_t)validity_of(granted) * 1000);
    if (is_good && fields->err == DRO_OK && entry->group != 0 && told->verdict == VERDICT_DONE)
        is_good = tell_members(gate, entry, message);
    return is_good;
}

bool s6t_put_user(const inquiry_question *asked, dro_builder *out)
{
    char digits[DIAMETER_DIGITS_MAX + 1] = { 0 };
    dro_field name = inquiry_field(asked, API_FIELD_ID), msisdn = inquiry_field(asked, API_FIELD_MSISDN);
    if (name.tag == 0 && msisdn.tag == 0)
        return false;
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    if (name.tag != 0) {
        diameter_put(out, AVP_EXTERNAL_IDENTIFIER, name.bytes, name.length);
    } else {
        memcpy(digits, msisdn.bytes, msisdn.length < sizeof digits ? msisdn.length : 0);
        diameter_put_tbcd(out, AVP_MSISDN, digits);
        dro_wipe(digits, sizeof digits);
    }
    if (asked->request->group != 0)
        diameter_put_u32(out, AVP_TYPE_OF_EXTERNAL_IDENTIFIER, GROUP_OF_USERS);
    diameter_group_end(out, group);
    return true;
}

/* What the application asked for, in whole seconds; 0: no end. */
static uint32_t wanted_until(const dro_field *field)
{
    dro_err err = DRO_OK;
    int64_t until_ms = field->tag == 0 ? 0 : (int64_t)dro_field_u64(field, &err);
    return err != DRO_OK || until_ms <= 0 ? 0 : until_ms / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(until_ms / 1000);
}

bool s6t_put_nidd(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    (void)gate;
    dro_field apn = inquiry_field(asked, API_FIELD_APN), provider = inquiry_field(asked, API_FIELD_PROVIDER);
    dro_field until = inquiry_field(asked, API_FIELD_GRANTED);
    if (!s6t_put_user(asked, out))
        return false;
    size_t group = diameter_group_begin(out, AVP_NIDD_AUTHORIZATION_REQUEST);
    if (apn.tag != 0)
        diameter_put(out, AVP_SERVICE_SELECTION, apn.bytes, apn.length);
    if (wanted_until(&until) != 0)
        diameter_put_time(out, AVP_REQUESTED_VALIDITY_TIME, wanted_until(&until));
    diameter_group_end(out, group);
    if (provider.tag != 0) {
        group = diameter_group_begin(out, AVP_MTC_PROVIDER_INFO);
        diameter_put(out, AVP_MTC_PROVIDER_ID, provider.bytes, provider.length);
        diameter_group_end(out, group);
    }
    return true;
}

/* ---- an HSS says something on its own ---- */

/* Core of the twin that has one of the identities. */
uint32_t s6t_home_of(const gate_config *config, const uint8_t *fields, size_t length)
{
    static const struct { uint32_t tag; directory_kind kind; } kinds[] = {
        { API_FIELD_ID, DIRECTORY_ID }, { API_FIELD_MSISDN, DIRECTORY_MSISDN }, { API_FIELD_IMSI, DIRECTORY_IMSI },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && config->core_count > 1; i++) {
        dro_cursor in = dro_cursor_over(fields, length);
        dro_field field;
        while (dro_field_next(&in, &field))
            if (field.tag == kinds[i].tag && directory_has(config->directory, kinds[i].kind, (const char *)field.bytes, field.length))
                return home_of(config, kinds[i].kind, (const char *)field.bytes, field.length);
    }
    return 0;
}

static bool put_validities(diameter_peer *peer, const diameter_message *request, dro_builder *out)
{
    const diameter_avp *update = diameter_find(request, AVP_NIDD_AUTHORIZATION_UPDATE);
    const diameter_avp *validity = diameter_find_in(request, update, AVP_APN_VALIDITY_TIME);
    uint32_t count = 0;
    for (; validity != NULL; validity = diameter_find_next(request, validity)) {
        uint8_t value[4 + APN_TEXT_MAX];
        const diameter_avp *apn = diameter_find_in(request, validity, AVP_SERVICE_SELECTION);
        uint32_t until = validity_of(diameter_find_in(request, validity, AVP_GRANTED_VALIDITY_TIME));
        if (apn != NULL && !apn_is_valid((const char *)apn->data, apn->length))
            return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, apn);
        if (++count > VALIDITIES_MAX)
            return t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY);
        memcpy(value, &until, 4);
        if (apn != NULL)
            memcpy(value + 4, apn->data, apn->length);
        dro_field_put(out, API_FIELD_APN_VALIDITY, value, 4 + (apn == NULL ? 0 : apn->length));
    }
    return true;
}

static bool put_update(diameter_peer *peer, const diameter_message *request, dro_builder *out)
{
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER), *wrong;
    if (!s6t_put_identities(request, user, out, &wrong))
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, wrong);
    if (dro_builder_length(out) == 0)
        return t6a_refuse_missing(peer, AVP_USER_IDENTIFIER, AVP_EXTERNAL_IDENTIFIER);
    return put_validities(peer, request, out);
}

static bool put_list(diameter_peer *peer, const diameter_message *request, dro_builder *out)
{
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER), *wrong;
    const diameter_avp *name = diameter_find_in(request, user, AVP_EXTERNAL_IDENTIFIER);
    char identifier[EXTERNAL_IDENTIFIER_MAX + 1];
    if (name == NULL)
        return t6a_refuse_missing(peer, AVP_USER_IDENTIFIER, AVP_EXTERNAL_IDENTIFIER);
    if (!external_identifier_read((const char *)name->data, name->length, identifier))
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, name);
    dro_field_put_text(out, API_FIELD_GROUP, identifier);
    if (!put_members(request, out, &wrong))
        return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, wrong);
    if (!put_validities(peer, request, out))
        return false;
    dro_field_pad(out);
    return out->err == DRO_OK || t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY);
}

/* What an HSS says of a group: all cores hear it, each has members of it. */
static bool on_group(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    dro_builder fields = dro_builder_over(gate->members, sizeof gate->members);
    group_members head = { .is_last = is_last_segment(request, AVP_NIR_FLAGS), .is_answered = 1,
                           .has_list = diameter_find(request, AVP_GROUP_USER_IDENTIFIER) != NULL };
    uint64_t id;
    bool is_taken = put_list(peer, request, &fields);
    size_t length = sizeof head + dro_builder_length(&fields);
    is_taken = is_taken && t6a_reserve(peer, request, command, &gate->config->to_core[0], length, &id) != NULL;
    if (is_taken) {
        pending_incoming *entry = pending_find_incoming(gate->pending, id);
        entry->cores_left = (uint8_t)gate->config->core_count;
        is_taken = send_members(gate, &head, &fields, id);
        if (!is_taken) {
            t6a_drop(gate, entry);
            t6a_refuse(peer, DIAMETER_TOO_BUSY);
        }
    }
    dro_wipe(gate->members, dro_builder_length(&fields));
    return is_taken;
}

/* The identifier of a group is said to be one; an HSS may leave that out where members follow. */
static bool is_of_group(const diameter_message *request)
{
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER);
    return diameter_find(request, AVP_GROUP_USER_IDENTIFIER) != NULL ||
           diameter_u32(diameter_find_in(request, user, AVP_TYPE_OF_EXTERNAL_IDENTIFIER)) == GROUP_OF_USERS;
}

bool s6t_on_nidd_information(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    if (is_of_group(request))
        return on_group(peer, request, command);
    const gate_config *config = peer->gate->config;
    uint8_t bytes[FIELDS_BYTES];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    authorization_update update = { .end_to_end = request->header.end_to_end };
    bool is_good = put_update(peer, request, &fields);
    uint64_t id;
    dro_field_pad(&fields);
    if (is_good && fields.err != DRO_OK)
        is_good = t6a_refuse(peer, DIAMETER_UNABLE_TO_COMPLY);
    size_t length = sizeof update + dro_builder_length(&fields);
    ring_writer *ring = &config->to_core[s6t_home_of(config, fields.start, dro_builder_length(&fields))];
    uint8_t *body = is_good ? t6a_reserve(peer, request, command, ring, length, &id) : NULL;
    if (body != NULL) {
        memcpy(body, &update, sizeof update);
        memcpy(body + sizeof update, bytes, dro_builder_length(&fields));
        ring_commit(ring, MESSAGE_AUTHORIZATION_UPDATE, RING_WIPE, id, (uint32_t)length);
    }
    dro_wipe(bytes, sizeof bytes);
    return body != NULL;
}
