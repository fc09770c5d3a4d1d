/* Non-IP data delivery: configurations and deliveries of a twin. */
#include "core/charge.h"
#include "core/nidd.h"

#include "core/groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/hash.h"
#include "core/authorization.h"
#include "core/exposure.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/report.h"
#include "core/render.h"
#include "core/state.h"
#include "core/trigger.h"
#include "core/twin_table.h"
#include "twin/event.h"

enum { CONFIGURATION_HEAD = 8 + 4 + 8 + 1, DELIVERY_HEAD = 8 + 8 + 8 + 8 + 8 + 4 + 1,
       STATUS_AWAITED = 0x80 /* beside a delivery's status in its record */ };

const dro_field *nidd_field(const uint8_t *fields, size_t length, uint32_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(fields, length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

void nidd_path_write(const application *owner, uint64_t configuration, uint64_t delivery, dro_builder *out)
{
    json_put(out, "/3gpp-nidd/v1/%s/configurations/%016llx", owner != NULL ? owner->id : "", (unsigned long long)configuration);
    if (delivery != 0)
        json_put(out, "/downlink-data-deliveries/%016llx", (unsigned long long)delivery);
}

static int64_t field_i64(const dro_field *field, int64_t absent)
{
    int64_t value = absent;
    if (field != NULL && field->length == sizeof value)
        memcpy(&value, field->bytes, sizeof value);
    return value;
}

nidd *nidd_get(twin *twin)
{
    if (twin->nidd == NULL)
        twin->nidd = calloc(1, sizeof *twin->nidd);
    return twin->nidd;
}

/* ---- configurations ---- */

static uint64_t number_hash(const core *core, uint64_t number)
{
    return dro_hash_mix(number, core->hash_key);
}

static nidd_configuration *configuration_of(const twin *twin, uint64_t number)
{
    const nidd *nidd = twin->nidd;
    nidd_configuration *found = nidd == NULL ? NULL : nidd->configurations;
    while (found != NULL && found->number != number)
        found = found->next;
    return found;
}

nidd_configuration *nidd_configuration_find(core *core, uint64_t number, uint32_t *index)
{
    index_probe probe = index_begin(number_hash(core, number));
    while (index_next(&core->nidd.configurations, &probe, index)) {
        nidd_configuration *found = configuration_of(twin_at(core, *index), number);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static bool is_there(core *core, uint64_t number, uint32_t application)
{
    uint32_t ignored;
    const nidd_configuration *found = nidd_configuration_find(core, number, &ignored);
    return found != NULL && found->application == application;
}

void nidd_init(core *core)
{
    core->nidd.next = core->epoch.counter << 30;
    core->nidd.owners.is_there = is_there;
}

void nidd_configuration_put(core *core, uint64_t number, uint32_t application, int64_t made_ms, nidd_status status,
                            const uint8_t *fields, size_t length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, number, 8);
    dro_builder_le(part, application, 4);
    dro_builder_le(part, (uint64_t)made_ms, 8);
    dro_builder_le(part, status, 1);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_NIDD_CONFIGURATION);
}

static void configuration_free(core *core, uint32_t index, nidd_configuration *gone)
{
    index_remove(&core->nidd.configurations, number_hash(core, gone->number), index);
    destination_release(core, gone->destination);
    core->nidd.configuration_count--;
    usage_configuration(core, gone->application, -1);
    owner_remove(&core->nidd.owners, gone->application);
    free(gone);
}

static void configuration_remove(core *core, uint32_t index, uint64_t number)
{
    nidd *nidd = twin_at(core, index)->nidd;
    for (nidd_configuration **at = nidd == NULL ? NULL : &nidd->configurations; at != NULL && *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        nidd_configuration *gone = *at;
        *at = gone->next;
        nidd->configuration_count--;
        configuration_free(core, index, gone);
        return;
    }
}

int64_t nidd_renewal_ms(int64_t granted_ms, int64_t authorized_ms)
{
    int64_t lead_ms = (granted_ms - authorized_ms) / 4;
    if (granted_ms == INT64_MAX)
        return INT64_MAX;
    return granted_ms - (lead_ms < RENEWAL_LEAD_MS ? lead_ms : RENEWAL_LEAD_MS);
}

int64_t nidd_renewal_pause_ms(uint8_t *renewals)
{
    int64_t pause_ms = (int64_t)RENEWAL_PAUSE_MS << *renewals;
    if (pause_ms >= RENEWAL_PAUSE_MAX_MS)
        return RENEWAL_PAUSE_MAX_MS;
    (*renewals)++;
    return pause_ms;
}

void nidd_configuration_put_off(const core *core, nidd_configuration *configuration)
{
    configuration->renew_ms = core->now_ms + nidd_renewal_pause_ms(&configuration->renewals);
}

static nidd_configuration *configuration_new(core *core, dro_cursor *in)
{
    dro_field room;
    nidd_configuration head = { .number = dro_cursor_le(in, 8) };
    head.application = (uint32_t)dro_cursor_le(in, 4);
    head.made_ms = (int64_t)dro_cursor_le(in, 8);
    head.status = (uint8_t)dro_cursor_le(in, 1);
    head.length = (uint16_t)dro_cursor_left(in);
    const uint8_t *fields = dro_cursor_bytes(in, head.length);
    if (in->err != DRO_OK || destination_of_fields(core, head.number, fields, head.length, &head.destination) != DRO_OK)
        return NULL;
    head.until_ms = field_i64(nidd_field(fields, head.length, API_FIELD_DURATION, &room), INT64_MAX);
    head.granted_ms = field_i64(nidd_field(fields, head.length, API_FIELD_GRANTED, &room), INT64_MAX);
    head.renew_ms = nidd_renewal_ms(head.granted_ms, field_i64(nidd_field(fields, head.length, API_FIELD_AUTHORIZED, &room), 0));
    const dro_field *option = nidd_field(fields, head.length, API_FIELD_PDN_OPTION, &room);
    head.pdn_establishment_option = option != NULL && option->length == 1 ? option->bytes[0] : PDN_WAIT_FOR_UE;
    head.is_by_msisdn = nidd_field(fields, head.length, API_FIELD_MSISDN, &room) != NULL;
    head.is_reliable = rds_is_wanted(fields, head.length, false);
    nidd_configuration *made = malloc(sizeof *made + head.length);
    if (made == NULL) {
        destination_release(core, head.destination);
        return NULL;
    }
    *made = head;
    memcpy(made->fields, fields, head.length);
    return made;
}

static dro_err configuration_apply(core *core, uint32_t index, dro_cursor *in)
{
    nidd *nidd = nidd_get(twin_at(core, index));
    if (dro_cursor_left(in) < CONFIGURATION_HEAD || dro_cursor_left(in) > CONFIGURATION_HEAD + NIDD_FIELDS_MAX)
        return DRO_MALFORMED;
    nidd_configuration *made = nidd == NULL ? NULL : configuration_new(core, in);
    if (made == NULL)
        return in->err != DRO_OK ? in->err : DRO_LIMIT;
    configuration_remove(core, index, made->number); /* it was changed */
    dro_err err = nidd->configuration_count >= TWIN_CONFIGURATIONS_MAX ? DRO_LIMIT
                : owner_add(core, &core->nidd.owners, made->application, made->number);
    if (err == DRO_OK && (err = index_add(&core->nidd.configurations, number_hash(core, made->number), index)) != DRO_OK)
        owner_remove(&core->nidd.owners, made->application);
    if (err != DRO_OK) {
        destination_release(core, made->destination);
        free(made);
        return err;
    }
    nidd_configuration **at = &nidd->configurations;
    while (*at != NULL && (*at)->number < made->number)
        at = &(*at)->next;
    made->next = *at;
    *at = made;
    nidd->configuration_count++;
    core->nidd.configuration_count++;
    usage_configuration(core, made->application, 1);
    return DRO_OK;
}

/* ---- deliveries ---- */

nidd_delivery *nidd_delivery_find(const twin *twin, uint64_t number)
{
    nidd *nidd = twin->nidd;
    nidd_delivery *found = nidd == NULL ? NULL : nidd->found;
    if (found != NULL && found->number == number)
        return found;
    found = found != NULL && found->number < number ? found->next : nidd == NULL ? NULL : nidd->deliveries;
    while (found != NULL && found->number != number)
        found = found->next;
    if (found != NULL)
        nidd->found = found;
    return found;
}

mail *nidd_mail(const twin *twin, uint64_t number, mail *after)
{
    const nidd_delivery *delivery = after == NULL ? nidd_delivery_find(twin, number) : NULL;
    if (delivery != NULL && delivery->mail_count == 0)
        return NULL;
    mail *at = after != NULL ? after->next : twin->extra != NULL ? twin->extra->mail : NULL;
    while (at != NULL && at->ticket != number)
        at = at->next;
    return at;
}

uint32_t nidd_ended_bytes(const twin *twin)
{
    return twin->nidd != NULL ? twin->nidd->ended_bytes : 0;
}

static uint32_t ended_bytes(const nidd_delivery *delivery)
{
    return nidd_delivery_has_ended((nidd_delivery_status)delivery->status) ? (uint32_t)nidd_delivery_memory(delivery) : 0;
}

/* All of it has left, and the device's word is awaited. */
static bool delivery_is_open(const twin *twin, const nidd_delivery *delivery)
{
    return delivery->is_awaited && !nidd_delivery_has_ended((nidd_delivery_status)delivery->status) &&
           nidd_mail(twin, delivery->number, NULL) == NULL;
}

nidd_delivery_status nidd_delivery_now(const twin *twin, const nidd_delivery *delivery)
{
    for (mail *m = nidd_mail(twin, delivery->number, NULL); m != NULL; m = nidd_mail(twin, delivery->number, m))
        if (m->is_sent || rds_is_busy_with(twin, m))
            return DELIVERY_SENDING;
    if (delivery_is_open(twin, delivery))
        return DELIVERY_SENDING;
    if (delivery->status == DELIVERY_TRIGGERED && !trigger_is_out(twin))
        return DELIVERY_BUFFERING;
    return (nidd_delivery_status)delivery->status;
}

void nidd_delivery_put(core *core, const nidd_delivery *delivery, const uint8_t *fields, size_t length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, delivery->number, 8);
    dro_builder_le(part, delivery->configuration, 8);
    dro_builder_le(part, (uint64_t)delivery->made_ms, 8);
    dro_builder_le(part, (uint64_t)delivery->expires_ms, 8);
    dro_builder_le(part, (uint64_t)delivery->retry_ms, 8);
    dro_builder_le(part, (uint32_t)delivery->priority, 4);
    dro_builder_le(part, delivery->status | (delivery->is_awaited ? STATUS_AWAITED : 0u), 1);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_NIDD_DELIVERY);
}

/* Where a delivery of that number is linked, or would be. */
static nidd_delivery **delivery_link(nidd *nidd, uint64_t number)
{
    nidd_delivery **at = nidd->found != NULL && nidd->found->number < number ? &nidd->found->next : &nidd->deliveries;
    while (*at != NULL && (*at)->number < number)
        at = &(*at)->next;
    return at;
}

static void delivery_unlink(core *core, uint32_t index, nidd *nidd, nidd_delivery **at)
{
    nidd_delivery *gone = *at;
    *at = gone->next;
    nidd->delivery_count--;
    nidd->ended_bytes -= ended_bytes(gone);
    nidd->awaited_count = (uint16_t)(nidd->awaited_count - gone->is_awaited);
    nidd->found = nidd->found == gone ? NULL : nidd->found;
    if (gone->is_in_chunk)
        queue_outdated(core, index);
    queue_changed(core, index, -(int64_t)nidd_delivery_memory(gone));
    free(gone);
}

bool nidd_delivery_take(core *core, uint32_t index, uint64_t number)
{
    nidd *nidd = twin_at(core, index)->nidd;
    nidd_delivery **at = nidd == NULL ? NULL : delivery_link(nidd, number);
    if (at == NULL || *at == NULL || (*at)->number != number)
        return false;
    delivery_unlink(core, index, nidd, at);
    return true;
}

static uint16_t mail_count_of(const twin *twin, uint64_t number)
{
    uint16_t count = 0;
    for (const mail *m = twin->extra->mail; m != NULL; m = m->next)
        count = (uint16_t)(count + (m->ticket == number));
    return count;
}

static dro_err delivery_apply(core *core, uint32_t index, dro_cursor *in)
{
    nidd *nidd = nidd_get(twin_at(core, index));
    if (nidd == NULL || twin_extra_get(twin_at(core, index)) == NULL)
        return DRO_NOMEM;
    if (dro_cursor_left(in) < DELIVERY_HEAD || dro_cursor_left(in) > DELIVERY_HEAD + NIDD_FIELDS_MAX)
        return DRO_MALFORMED;
    nidd_delivery head = { .number = dro_cursor_le(in, 8), .configuration = dro_cursor_le(in, 8) };
    head.made_ms = (int64_t)dro_cursor_le(in, 8);
    head.expires_ms = (int64_t)dro_cursor_le(in, 8);
    head.retry_ms = (int64_t)dro_cursor_le(in, 8);
    head.priority = (int32_t)dro_cursor_le(in, 4);
    uint64_t status = dro_cursor_le(in, 1);
    head.status = (uint8_t)(status & ~(uint64_t)STATUS_AWAITED);
    head.is_awaited = (status & STATUS_AWAITED) != 0;
    head.length = (uint16_t)dro_cursor_left(in);
    if (head.status >= DELIVERY_STATUSES)
        return DRO_MALFORMED;
    nidd_delivery *made = malloc(sizeof *made + head.length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = head;
    memcpy(made->fields, in->at, head.length);
    nidd_delivery **at = delivery_link(nidd, head.number);
    bool is_known = *at != NULL && (*at)->number == head.number;
    made->mail_count = is_known ? (*at)->mail_count : mail_count_of(twin_at(core, index), head.number);
    if (is_known)
        delivery_unlink(core, index, nidd, at);
    made->next = *at;
    *at = made;
    nidd->delivery_count++;
    nidd->ended_bytes += ended_bytes(made);
    nidd->awaited_count = (uint16_t)(nidd->awaited_count + made->is_awaited);
    nidd->found = made;
    queue_changed(core, index, (int64_t)nidd_delivery_memory(made));
    return DRO_OK;
}

/* The same delivery with another status: inside a record. */
static void delivery_move(core *core, const nidd_delivery *old, nidd_delivery_status status, int64_t retry_ms)
{
    uint8_t fields[NIDD_FIELDS_MAX];
    nidd_delivery moved = *old;
    memcpy(fields, old->fields, old->length);
    moved.status = (uint8_t)status;
    moved.retry_ms = retry_ms;
    nidd_delivery_put(core, &moved, fields, moved.length);
}

static void tell_delivery(core *core, uint32_t index, const nidd_delivery *delivery, nidd_delivery_status status, int64_t retry_ms)
{
    uint8_t fields[64];
    dro_builder out = dro_builder_over(fields, sizeof fields);
    const nidd_configuration *configuration = configuration_of(twin_at(core, index), delivery->configuration);
    uint8_t told = (uint8_t)status;
    if (configuration == NULL)
        return;
    dro_field_put_u64(&out, API_FIELD_DELIVERY, delivery->number);
    dro_field_put(&out, API_FIELD_STATUS, &told, 1);
    if (retry_ms != 0)
        dro_field_put(&out, API_FIELD_TIME, &retry_ms, sizeof retry_ms);
    notice_put(core, index, configuration, NOTICE_DELIVERY, fields, dro_builder_length(&out));
}

static void delivery_close(core *core, uint32_t index, const nidd_delivery *delivery, nidd_delivery_status status, int64_t retry_ms)
{
    uint64_t number = delivery->number;
    if (!nidd_delivery_has_ended((nidd_delivery_status)delivery->status)) /* the device's word may come behind the network's */
        charge_delivery(core, index, delivery, status);
    if (!waiter_is_there(core, index, number))
        tell_delivery(core, index, delivery, status, retry_ms);
    delivery_move(core, delivery, status, retry_ms);
    waiters_delivery(core, index, number);
}

static void delivery_end(core *core, uint32_t index, uint64_t number, nidd_delivery_status status, int64_t retry_ms)
{
    twin *twin = twin_at(core, index);
    if (group_number_is(number) && (status >= DELIVERY_FAILURE || nidd_mail(twin, number, NULL) == NULL))
        group_delivery_end(core, index, number, status);
    const nidd_delivery *delivery = nidd_delivery_find(twin, number);
    if (delivery == NULL || nidd_delivery_has_ended((nidd_delivery_status)delivery->status))
        return;
    if (nidd_mail(twin, number, NULL) != NULL && status < DELIVERY_FAILURE) /* a part of it; others are to come */
        return;
    bool is_next_hop = status == DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED || status == DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED;
    if (!is_next_hop || !delivery->is_awaited)
        delivery_close(core, index, delivery, status, retry_ms);
    else
        waiters_delivery(core, index, number); /* the device's word may take long: they are told that it was sent */
}

static const nidd_delivery *delivery_of_event(const twin *twin, uint64_t number)
{
    const nidd *nidd = twin->nidd;
    const nidd_delivery *found = nidd == NULL || number == 0 ? NULL : nidd->deliveries;
    while (found != NULL && found->number != number && nidd_event_id(found->number) != number)
        found = found->next;
    return found;
}

/* The network's word alone may be followed by the device's. */
static bool may_be_reported(const nidd_delivery *delivery)
{
    return !nidd_delivery_has_ended((nidd_delivery_status)delivery->status) || delivery->status == DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED ||
           delivery->status == DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED;
}

bool nidd_has_awaited(const twin *twin)
{
    const nidd_delivery *d = twin->nidd == NULL ? NULL : twin->nidd->deliveries;
    while (d != NULL && (!d->is_awaited || nidd_delivery_has_ended((nidd_delivery_status)d->status)))
        d = d->next;
    return d != NULL;
}

void nidd_delivery_report(core *core, uint32_t index, uint64_t number, ticket_state state)
{
    const twin *twin = twin_at(core, index);
    const nidd_delivery *delivery = delivery_of_event(twin, number);
    if (delivery == NULL || !may_be_reported(delivery))
        return;
    if (state == TICKET_SENT) {
        uint8_t fields[NIDD_FIELDS_MAX];
        nidd_delivery awaited = *delivery;
        awaited.is_awaited = true;
        memcpy(fields, delivery->fields, delivery->length);
        nidd_delivery_put(core, &awaited, fields, awaited.length);
        return;
    }
    number = delivery->number;
    for (mail *m = nidd_mail(twin, number, NULL); m != NULL;) { /* they have come already, or are for nothing; one that is out comes back */
        uint64_t gone = m->number;
        bool is_sent = m->is_sent;
        m = nidd_mail(twin, number, m);
        if (!is_sent)
            record_put(core, FIELD_MAIL_GONE, &gone, 8);
    }
    delivery_close(core, index, delivery, state == TICKET_REPORTED ? DELIVERY_SUCCESS_ACKNOWLEDGED : DELIVERY_FAILURE, 0);
}

void nidd_deliveries_untriggered(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    for (const nidd_delivery *d = twin->nidd == NULL ? NULL : twin->nidd->deliveries; d != NULL; d = d->next)
        if (d->status == DELIVERY_TRIGGERED)
            tell_delivery(core, index, d, DELIVERY_BUFFERING, 0);
}

void nidd_delivery_end(core *core, uint32_t index, uint64_t number, nidd_delivery_status status)
{
    delivery_end(core, index, number, status, 0);
}

void nidd_delivery_fail(core *core, uint32_t index, uint64_t number, int64_t retry_ms)
{
    delivery_end(core, index, number, DELIVERY_FAILURE_TEMPORARILY_NOT_REACHABLE, retry_ms);
}

bool nidd_may_wait(const core *core, const nidd_delivery *delivery)
{
    dro_field room;
    dro_err ignored = DRO_OK;
    const dro_field *data = nidd_field(delivery->fields, delivery->length, API_FIELD_DATA, &room);
    if (data != NULL && data->length > core->options.downlink.size)
        return false;
    const dro_field *latency = nidd_field(delivery->fields, delivery->length, API_FIELD_MAXIMUM_LATENCY, &room);
    return latency == NULL || dro_field_u64(latency, &ignored) != 0;
}

void nidd_delivery_wait(core *core, uint32_t index, uint64_t number, int64_t retry_ms)
{
    if (group_number_is(number))
        group_delivery_wait(core, index, number);
    const nidd_delivery *delivery = nidd_delivery_find(twin_at(core, index), number);
    if (delivery == NULL || nidd_delivery_has_ended((nidd_delivery_status)delivery->status))
        return;
    bool is_news = delivery->status != DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE || delivery->retry_ms != retry_ms;
    if (is_news && !waiter_is_there(core, index, number))
        tell_delivery(core, index, delivery, DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE, retry_ms);
    if (is_news)
        delivery_move(core, delivery, DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE, retry_ms);
    waiters_delivery(core, index, number);
}

/* ---- uplinks ---- */

void nidd_identity_put(dro_builder *out, const nidd_configuration *configuration)
{
    dro_field room;
    uint32_t tag = configuration->is_by_msisdn ? API_FIELD_MSISDN : API_FIELD_ID;
    const dro_field *name = nidd_field(configuration->fields, configuration->length, tag, &room);
    if (name != NULL)
        dro_field_put(out, (uint8_t)tag, name->bytes, name->length);
}

/* What an RDS frame says beside its information. */
static void put_sign(dro_builder *out, const rds_sign *sign)
{
    uint8_t wants_ack = sign->wants_ack, ports[2] = { sign->pair.device, sign->pair.own };
    if (sign->is_on)
        dro_field_put(out, API_FIELD_RELIABLE, &wants_ack, 1);
    if (sign->is_on && sign->pair.has_ports)
        dro_field_put(out, API_FIELD_RDS_PORT, ports, sizeof ports);
}

void nidd_uplink(core *core, uint32_t index, const uint8_t *data, size_t length, const rds_sign *sign)
{
    const nidd *nidd = twin_at(core, index)->nidd;
    for (const nidd_configuration *c = nidd == NULL ? NULL : nidd->configurations; c != NULL; c = c->next) {
        uint8_t fields[NIDD_FIELDS_MAX + EVENT_BYTES_MAX];
        dro_builder out = dro_builder_over(fields, sizeof fields);
        if (c->status != NIDD_ACTIVE || c->until_ms <= core->now_ms || !rds_is_for(twin_at(core, index), c, sign) ||
            !application_may(core, c->application, SCOPE_NIDD, twin_at(core, index)->domain))
            continue;
        nidd_identity_put(&out, c);
        dro_field_put(&out, API_FIELD_DATA, data, length);
        put_sign(&out, sign);
        notice_put(core, index, c, NOTICE_UPLINK, fields, dro_builder_length(&out));
    }
    if (twin_at(core, index)->memberships != 0)
        group_uplink(core, index, data, length);
}

/* ---- time ---- */

static bool is_kept(const core *core, const nidd_delivery *delivery)
{
    return !nidd_delivery_has_ended((nidd_delivery_status)delivery->status) ||
           core->now_ms - delivery->made_ms < TICKET_KEPT_S * 1000ll;
}

static int64_t configuration_due(const nidd_configuration *c)
{
    int64_t due = c->until_ms < c->granted_ms ? c->until_ms : c->granted_ms;
    return c->renew_ms < due ? c->renew_ms : due;
}

static bool has_ended(const core *core, const nidd_configuration *c)
{
    return c->until_ms <= core->now_ms || c->granted_ms <= core->now_ms;
}

int64_t nidd_due(const twin *twin)
{
    int64_t due = INT64_MAX;
    const nidd *nidd = twin->nidd;
    for (const nidd_configuration *c = nidd == NULL ? NULL : nidd->configurations; c != NULL; c = c->next)
        if (c->status == NIDD_ACTIVE && configuration_due(c) < due)
            due = configuration_due(c);
    for (const nidd_delivery *d = nidd == NULL || nidd->awaited_count == 0 ? NULL : nidd->deliveries; d != NULL; d = d->next)
        if (d->expires_ms < due && delivery_is_open(twin, d))
            due = d->expires_ms;
    int64_t of_exposures = exposures_due(twin);
    return of_exposures < due ? of_exposures : due;
}

void nidd_mail_gone(core *core, const twin *twin, uint64_t number)
{
    for (mail *m = nidd_mail(twin, number, NULL); m != NULL;) {
        uint64_t gone = m->number;
        m = nidd_mail(twin, number, m);
        record_put(core, FIELD_MAIL_GONE, &gone, 8);
    }
}

void nidd_configuration_gone(core *core, uint32_t index, uint64_t number)
{
    const twin *twin = twin_at(core, index);
    for (const nidd_delivery *d = twin->nidd->deliveries; d != NULL;) {
        const nidd_delivery *next = d->next;
        uint64_t gone = d->number;
        bool is_of_it = d->configuration == number;
        if (is_of_it) {
            nidd_mail_gone(core, twin, gone);
            record_put(core, FIELD_NIDD_DELIVERY_GONE, &gone, 8);
        }
        d = next;
    }
    for (const notice *n = twin->nidd->notices; n != NULL;) {
        const notice *next = n->next;
        uint64_t gone = n->number;
        if (n->configuration == number)
            record_put(core, FIELD_NOTICE_GONE, &gone, 8);
        n = next;
    }
    rds_ports_gone(core, index, number);
    record_put(core, FIELD_NIDD_CONFIGURATION_GONE, &number, 8);
}

static void deliveries_fail(core *core, uint32_t index, uint64_t configuration)
{
    const twin *twin = twin_at(core, index);
    for (const nidd_delivery *d = twin->nidd->deliveries; d != NULL;) {
        const nidd_delivery *next = d->next;
        if (d->configuration == configuration && !nidd_delivery_has_ended((nidd_delivery_status)d->status)) {
            uint64_t number = d->number;
            nidd_mail_gone(core, twin, number);
            nidd_delivery_end(core, index, number, DELIVERY_FAILURE);
        }
        d = next;
    }
}

static bool has_waiting(const twin *twin, uint64_t configuration)
{
    const nidd_delivery *d = twin->nidd->deliveries;
    while (d != NULL && (d->configuration != configuration || nidd_delivery_has_ended((nidd_delivery_status)d->status)))
        d = d->next;
    return d != NULL;
}

void nidd_loaded(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    for (const nidd_configuration *c = twin->nidd == NULL ? NULL : twin->nidd->configurations; c != NULL; c = c->next) {
        if (c->status != NIDD_TERMINATED_UE_NOT_AUTHORIZED || !has_waiting(twin, c->number))
            continue;
        record_begin(core, index, RECORD_DELTA);
        deliveries_fail(core, index, c->number);
        record_end(core);
    }
}

void nidd_configuration_end(core *core, uint32_t index, nidd_configuration *c, nidd_status status)
{
    uint8_t fields[NIDD_FIELDS_MAX + 8], copy[NIDD_FIELDS_MAX], told = (uint8_t)status;
    dro_builder out = dro_builder_over(fields, sizeof fields);
    if (status == NIDD_TERMINATED_UE_NOT_AUTHORIZED)
        deliveries_fail(core, index, c->number);
    if (status == NIDD_TERMINATED_UE_NOT_AUTHORIZED && queue_is_away(twin_at(core, index)) && core->is_started)
        queue_load(core, index); /* nidd_loaded ends the others */
    nidd_identity_put(&out, c);
    dro_field_put(&out, API_FIELD_STATUS, &told, 1);
    notice_put(core, index, c, NOTICE_CONFIGURATION, fields, dro_builder_length(&out));
    memcpy(copy, c->fields, c->length);
    nidd_configuration_put(core, c->number, c->application, c->made_ms, status, copy, c->length);
}

/* Grants that end soon: outside of records. */
static void renew_due(core *core, uint32_t index)
{
    for (nidd_configuration *c = twin_at(core, index)->nidd->configurations; c != NULL; c = c->next)
        if (c->status == NIDD_ACTIVE && c->renew_ms <= core->now_ms && !has_ended(core, c))
            authorization_renew(core, index, c);
}

void nidd_expire(core *core, uint32_t index)
{
    nidd *nidd = twin_at(core, index)->nidd;
    if (nidd == NULL || nidd_due(twin_at(core, index)) > core->now_ms)
        return;
    exposures_expire(core, index);
    if (twin_at(core, index)->nidd == NULL)
        return;
    renew_due(core, index);
    if (nidd_due(twin_at(core, index)) > core->now_ms)
        return;
    record_begin(core, index, RECORD_DELTA);
    for (nidd_configuration *c = nidd->configurations; c != NULL;) {
        nidd_configuration *next = c->next;
        if (c->status == NIDD_ACTIVE && has_ended(core, c))
            nidd_configuration_end(core, index, c, NIDD_TERMINATED);
        c = next;
    }
    for (nidd_delivery *d = nidd->deliveries; d != NULL;) {
        nidd_delivery *next = d->next;
        uint64_t number = d->number;
        if (!is_kept(core, d))
            record_put(core, FIELD_NIDD_DELIVERY_GONE, &number, 8);
        else if (d->expires_ms <= core->now_ms && delivery_is_open(twin_at(core, index), d))
            delivery_end(core, index, number, DELIVERY_SUCCESS_UNACKNOWLEDGED, 0);
        d = next;
    }
    record_end(core);
}

/* ---- records ---- */

void nidd_full(core *core, const twin *twin, bool is_before_mail)
{
    const nidd *nidd = twin->nidd;
    if (nidd == NULL)
        return;
    for (const nidd_configuration *c = nidd->configurations; is_before_mail && c != NULL; c = c->next)
        nidd_configuration_put(core, c->number, c->application, c->made_ms, (nidd_status)c->status, c->fields, c->length);
    if (is_before_mail) {
        exposures_full(core, twin);
        reports_full(core, twin);
    }
    for (const nidd_delivery *d = nidd->deliveries; is_before_mail && d != NULL; d = d->next)
        if (!d->is_in_chunk)
            nidd_delivery_put(core, d, d->fields, d->length);
    for (const notice *n = nidd->notices; !is_before_mail && n != NULL; n = n->next)
        notice_full(core, n);
}

static void delivery_gone(core *core, uint32_t index, uint64_t number)
{
    nidd_delivery_take(core, index, number);
    queue_forget(core, index, number, true); /* an older state of it may be away too */
}

dro_err nidd_apply(core *core, uint32_t index, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    switch (field->tag) {
    case FIELD_NIDD_CONFIGURATION: return configuration_apply(core, index, &in);
    case FIELD_NIDD_CONFIGURATION_GONE: configuration_remove(core, index, dro_cursor_le(&in, 8)); return in.err;
    case FIELD_NIDD_DELIVERY: return delivery_apply(core, index, &in);
    case FIELD_NIDD_DELIVERY_GONE: delivery_gone(core, index, dro_cursor_le(&in, 8)); return in.err;
    case FIELD_EXPOSURE: case FIELD_EXPOSURE_GONE: return exposure_apply(core, index, field);
    case FIELD_NOTICE: return notice_apply(core, index, &in);
    case FIELD_NOTICE_GONE: notice_apply_gone(core, index, dro_cursor_le(&in, 8)); return in.err;
    default: return DRO_OK;
    }
}

void nidd_free(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    nidd *nidd = twin->nidd;
    if (nidd == NULL)
        return;
    while (nidd->notices != NULL)
        notice_apply_gone(core, index, nidd->notices->number);
    while (nidd->deliveries != NULL)
        nidd_delivery_take(core, index, nidd->deliveries->number);
    exposures_free(core, index);
    free(nidd->heard);
    while (nidd->configurations != NULL) {
        nidd_configuration *next = nidd->configurations->next;
        configuration_free(core, index, nidd->configurations);
        nidd->configurations = next;
    }
    free(nidd);
    twin->nidd = NULL;
}

void nidd_trim(twin *twin)
{
    const nidd *nidd = twin->nidd;
    if (nidd == NULL || nidd->configurations != NULL || nidd->deliveries != NULL || nidd->exposures != NULL ||
        nidd->notices != NULL || (nidd->heard != NULL && twin->memberships != 0))
        return;
    free(nidd->heard);
    free(twin->nidd);
    twin->nidd = NULL;
}

void nidd_fini(core *core)
{
    notices_fini(core);
    owners_fini(&core->nidd.owners);
    index_fini(&core->nidd.configurations);
}
