#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/wipe.h"
#include "core/conduct.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/rate.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/report.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/event.h"

static dro_err apply_property(core *core, twin *twin, dro_cursor *in)
{
    uint32_t property = (uint32_t)dro_cursor_le(in, 2);
    cell_value cell = { .quality = (quality)(dro_cursor_le(in, 1) & 3), .source = (source)(dro_cursor_le(in, 1) & 3) };
    cell.time_ms = (int64_t)dro_cursor_le(in, 8);
    cell.value = value_read(in);
    if (in->err != DRO_OK)
        return in->err;
    if (twin->row == NONE || property >= twin_model(core, twin)->property_count)
        return DRO_MALFORMED;
    if (twin_model(core, twin)->properties[property].is_private)
        return DRO_OK;
    columns_value_set(core->columns, twin->table, twin->row, property, &cell);
    return DRO_OK;
}

static dro_err apply_contact(core *core, twin *twin, dro_cursor *in)
{
    twin->last_contact_ms = (int64_t)dro_cursor_le(in, 8);
    twin->next_contact_ms = (int64_t)dro_cursor_le(in, 8);
    twin->why = (uint8_t)dro_cursor_le(in, 1) % (CONTACT_LEARNED + 1);
    twin->contact_count = (uint8_t)dro_cursor_le(in, 1);
    twin->learned_s = (uint32_t)dro_cursor_le(in, 4);
    twin->retry_ms = (int64_t)dro_cursor_le(in, 8);
    if (in->err == DRO_OK && twin->row != NONE)
        columns_contact_set(core->columns, twin->table, twin->row, twin->last_contact_ms);
    return in->err;
}

/* A plain twin was given an image: its row goes to the model's table. */
static dro_err row_move(core *core, twin *twin, uint32_t image, const char *id, size_t id_length)
{
    uint32_t row, old = twin->row, table = core->images[image].table;
    size_t length;
    dro_err err = columns_row_add(core->columns, table, twin->number, twin->domain, id, id_length, &row);
    if (err != DRO_OK)
        return err;
    const uint8_t *tags = columns_tags_get(core->columns, twin->table, old, &length);
    err = length > 0 ? columns_tags_set(core->columns, table, row, tags, length) : DRO_OK;
    if (err != DRO_OK) {
        columns_row_remove(core->columns, table, row);
        return err;
    }
    columns_revision_set(core->columns, table, row, twin->revision);
    columns_contact_set(core->columns, table, row, twin->last_contact_ms);
    columns_row_remove(core->columns, twin->table, old);
    twin->table = table;
    twin->row = row;
    twin->image = image;
    core->images[image].twins++;
    return DRO_OK;
}

/* The ways to a twin from outside. Recovery does not look at them: twins_index makes them once, after it. */
static dro_err way_add(const core *core, index_table *ways, uint64_t hash, uint32_t index)
{
    return core->is_started ? index_add(ways, hash, index) : DRO_OK;
}

static dro_err apply_identity(core *core, uint32_t index, dro_cursor *in)
{
    twin *twin = twin_at(core, index);
    uint32_t domain = (uint32_t)dro_cursor_le(in, 4);
    uint32_t image = (uint32_t)dro_cursor_le(in, 4);
    size_t length = dro_cursor_left(in);
    const char *id = (const char *)dro_cursor_bytes(in, length);
    bool is_plain = image == NONE;
    if (in->err != DRO_OK || domain >= core->domain_count ||
        (!is_plain && (image >= core->image_count || core->images[image].table == NONE)))
        return DRO_MALFORMED;
    if (twin->row != NONE) /* a full record of a twin that is here already, or it gets an image */
        return !is_plain && twin->image == NONE ? row_move(core, twin, image, id, length) : DRO_OK;
    uint32_t table = is_plain ? core->plain_table : core->images[image].table;
    uint32_t row;
    dro_err err = columns_row_add(core->columns, table, twin->number, domain, id, length, &row);
    if (err != DRO_OK)
        return err;
    bool is_indexed = (twin->flags & TWIN_CREATING) != 0;
    if (!is_indexed) {
        if (!core->is_started) /* each has one: its pages come while the log is read */
            index_reserve(&core->ids, core->numbers.live);
        err = way_add(core, &core->ids, id_hash(core, id, length), index);
        if (err == DRO_OK)
            err = index_add(&core->numbers, dro_hash_mix(twin->number, core->hash_key), index);
    }
    twin->table = table;
    twin->row = row;
    twin->image = image;
    twin->domain = domain;
    twin->flags &= ~TWIN_CREATING;
    if (twin->extra != NULL) {
        free(twin->extra->creating_id);
        twin->extra->creating_id = NULL;
    }
    if (!is_plain)
        core->images[image].twins++;
    twin->base_key = twin_base_key(vault_newest_tag(core->vault, domain));
    domain_twins_add(core, domain, 1);
    return err;
}

bool is_digits(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return length <= IMSI_DIGITS_MAX;
}

/* IMSI or MSISDN: kept unreadable, found by keyed hash. */
static dro_err apply_number(core *core, uint32_t index, const dro_field *field, bool is_imsi)
{
    twin *twin = twin_at(core, index);
    index_table *table = is_imsi ? &core->imsis : &core->msisdns;
    uint64_t *hash = is_imsi ? &twin->imsi_hash : &twin->msisdn_hash;
    uint8_t flag = is_imsi ? TWIN_HAS_IMSI : TWIN_HAS_MSISDN;
    char digits[16] = { 0 };
    if (!is_digits(field->bytes, field->length))
        return DRO_MALFORMED;
    if (twin->flags & flag)
        index_remove(table, *hash, index);
    if (twin->flags & flag && core->count > 1 &&
        vault_identity_open(core->vault, twin->number, is_imsi ? twin->imsi : twin->msisdn, digits) == DRO_OK)
        name_release(core, is_imsi ? DIRECTORY_IMSI : DIRECTORY_MSISDN, digits, strlen(digits));
    dro_wipe(digits, sizeof digits);
    twin->flags &= (uint8_t)~flag;
    if (field->length == 0)
        return DRO_OK;
    memcpy(digits, field->bytes, field->length);
    uint64_t pair[2];
    vault_identity_hash(core->vault, is_imsi ? "imsi" : "msisdn", digits, field->length, pair);
    vault_identity_seal(core->vault, twin->number, digits, is_imsi ? twin->imsi : twin->msisdn);
    dro_wipe(digits, sizeof digits);
    *hash = pair[0];
    twin->flags |= flag;
    return way_add(core, table, *hash, index);
}

static dro_err apply_aliases(core *core, uint32_t index, const dro_field *field)
{
    twin_extra *extra = twin_extra_get(twin_at(core, index));
    if (extra == NULL)
        return DRO_NOMEM;
    for (int i = 0; i < extra->alias_count; i++) {
        index_remove(&core->ids, id_hash(core, extra->aliases[i], strlen(extra->aliases[i])), index);
        name_release(core, DIRECTORY_ID, extra->aliases[i], strlen(extra->aliases[i]));
        free(extra->aliases[i]);
    }
    extra->alias_count = 0;
    free(extra->aliases);
    extra->aliases = field->length > 0 ? calloc(TWIN_ALIASES_MAX, sizeof *extra->aliases) : NULL; /* rare, so whole */
    if (field->length > 0 && extra->aliases == NULL)
        return DRO_NOMEM;
    const char *at = (const char *)field->bytes;
    const char *end = field->length > 0 ? at + field->length : at; /* nothing has no address */
    while (at < end && extra->alias_count < TWIN_ALIASES_MAX) {
        size_t length = strnlen(at, (size_t)(end - at));
        if (at + length == end)
            return DRO_MALFORMED;
        char *alias = strdup(at);
        if (alias == NULL)
            return DRO_NOMEM;
        extra->aliases[extra->alias_count++] = alias;
        dro_err err = way_add(core, &core->ids, id_hash(core, alias, length), index);
        if (err != DRO_OK)
            return err;
        at += length + 1;
    }
    return DRO_OK;
}

/* Of a mail that is linked. */
static int32_t priority_of(core *core, const twin *twin, uint64_t of_ticket)
{
    nidd_delivery *delivery = nidd_delivery_find(twin, of_ticket);
    if (delivery != NULL)
        delivery->mail_count++;
    const group_operation *operation = delivery == NULL ? group_operation_at(core, of_ticket) : NULL;
    return delivery != NULL ? delivery->priority : operation != NULL ? operation->priority : 0;
}

/* Frames of the reliable data service itself leave first, whatever an application asks for. */
static bool is_before(const mail *one, const mail *other)
{
    if (one->is_control != other->is_control)
        return one->is_control;
    return one->priority != other->priority ? one->priority > other->priority : one->number < other->number;
}

/* By priority, then oldest first; behind the one that is out. */
static void mail_link(core *core, uint32_t index, mail *mail)
{
    twin *twin = twin_at(core, index);
    mail->priority = mail->is_control ? INT32_MAX : priority_of(core, twin, mail->ticket);
    struct mail **at = &twin->extra->mail;
    while (*at != NULL && ((*at)->is_sent || is_before(*at, mail)))
        at = &(*at)->next;
    mail->next = *at;
    *at = mail;
    twin->extra->mail_count++;
    twin->extra->control_count = (uint8_t)(twin->extra->control_count + mail->is_control);
    core->mail_count++;
    if (mail->number >= core->mail_next)
        core->mail_next = mail->number + 1;
    queue_changed(core, index, (int64_t)mail_memory(mail));
}

/* Raw: its bytes are the delivery's; of a group: the operation's. */
static dro_err apply_mail(core *core, uint32_t index, dro_cursor *in, uint32_t tag)
{
    enum { MAIL_MAX = 2 * DOWNLINK_PACKETS_MAX }; /* whatever was configured when it was written */
    twin_extra *extra = twin_extra_get(twin_at(core, index));
    struct mail head = { .number = dro_cursor_le(in, 8), .ticket = dro_cursor_le(in, 8) };
    head.is_raw = tag == FIELD_MAIL_RAW;
    head.is_of_group = tag == FIELD_GROUP_MAIL;
    head.is_control = tag == FIELD_RDS_MAIL;
    head.merge_key = tag == FIELD_MAIL || tag == FIELD_RDS_MAIL ? (uint32_t)dro_cursor_le(in, 4) : 0;
    head.expires_ms = (int64_t)dro_cursor_le(in, 8);
    size_t length = dro_cursor_left(in);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    if (in->err != DRO_OK || length > EVENT_BYTES_MAX || (extra != NULL && extra->mail_count >= MAIL_MAX))
        return DRO_MALFORMED;
    mail *mail = extra == NULL ? NULL : malloc(sizeof *mail + length);
    if (mail == NULL)
        return DRO_NOMEM;
    *mail = head;
    mail->length = (uint16_t)length;
    if (bytes != NULL)
        memcpy(mail->bytes, bytes, length);
    mail_link(core, index, mail);
    return DRO_OK;
}

bool mail_take(core *core, uint32_t index, uint64_t number)
{
    twin *twin = twin_at(core, index);
    twin_extra *extra = twin->extra;
    for (mail **at = extra != NULL ? &extra->mail : NULL; at != NULL && *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        mail *gone = *at;
        if (gone->is_sent)
            twin->flags &= (uint8_t)~TWIN_SENDING;
        *at = gone->next;
        extra->mail_count--;
        extra->control_count = (uint8_t)(extra->control_count - gone->is_control);
        core->mail_count--;
        nidd_delivery *delivery = nidd_delivery_find(twin, gone->ticket);
        if (delivery != NULL)
            delivery->mail_count--;
        if (gone->is_in_chunk)
            queue_outdated(core, index);
        queue_changed(core, index, -(int64_t)mail_memory(gone));
        free(gone);
        return true;
    }
    return false;
}

static void apply_mail_gone(core *core, uint32_t index, uint64_t number)
{
    if (!mail_take(core, index, number))
        queue_forget(core, index, number, false);
}

static bool is_of_model(const core *core, const twin *twin, const ticket *ticket)
{
    if (twin->row == NONE)
        return false;
    const model *model = twin_model(core, twin);
    return ticket->index < (ticket->is_action ? model->action_count : model->property_count);
}

static dro_err apply_ticket(core *core, twin *twin, dro_cursor *in)
{
    twin_extra *extra = twin_extra_get(twin);
    ticket head = { .number = dro_cursor_le(in, 8) };
    head.is_action = dro_cursor_le(in, 1) != 0;
    head.index = (uint8_t)dro_cursor_le(in, 1);
    uint64_t state = dro_cursor_le(in, 1);
    head.state = (ticket_state)state;
    head.time_ms = (int64_t)dro_cursor_le(in, 8);
    head.made_ms = (int64_t)dro_cursor_le(in, 8);
    size_t reason_length = dro_cursor_le(in, 1);
    const uint8_t *reason = dro_cursor_bytes(in, reason_length);
    head.value = value_read(in);
    head.operation = dro_cursor_left(in) >= 8 ? dro_cursor_le(in, 8) : 0;
    if (in->err != DRO_OK || state > TICKET_EXPIRED || reason_length >= sizeof head.reason || !is_of_model(core, twin, &head))
        return DRO_MALFORMED;
    memcpy(head.reason, reason, reason_length);
    size_t text = head.value.kind == VALUE_STRING ? head.value.length : 0;
    ticket *ticket = extra == NULL ? NULL : malloc(sizeof *ticket + text);
    if (ticket == NULL)
        return DRO_NOMEM;
    *ticket = head;
    if (text > 0) {
        memcpy(ticket->text, head.value.string, text);
        ticket->value.string = ticket->text;
    }
    struct ticket **at = &extra->tickets; /* newest first; an old one keeps its place */
    while (*at != NULL && (*at)->number > head.number)
        at = &(*at)->next;
    struct ticket *old = *at != NULL && (*at)->number == head.number ? *at : NULL;
    if (old == NULL && extra->ticket_count >= TWIN_TICKETS_MAX) {
        ticket_free(ticket);
        return DRO_LIMIT;
    }
    ticket->next = old != NULL ? old->next : *at;
    *at = ticket;
    if (old != NULL)
        ticket_free(old);
    else
        extra->ticket_count++;
    if (head.number >= core->ticket_next)
        core->ticket_next = head.number + 1;
    return DRO_OK;
}

static void apply_ticket_gone(twin *twin, uint64_t number)
{
    twin_extra *extra = twin->extra;
    for (ticket **at = extra != NULL ? &extra->tickets : NULL; at != NULL && *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        ticket *gone = *at;
        *at = gone->next;
        ticket_free(gone);
        extra->ticket_count--;
        return;
    }
}

static dro_err apply_timer(twin *twin, dro_cursor *in)
{
    uint32_t number = (uint32_t)dro_cursor_le(in, 4);
    int64_t due_ms = (int64_t)dro_cursor_le(in, 8);
    twin_extra *extra = twin_extra_get(twin);
    if (extra == NULL)
        return DRO_NOMEM;
    int at = 0;
    while (at < extra->timer_count && extra->timers[at].number != number)
        at++;
    if (due_ms < 0) {
        if (at < extra->timer_count)
            extra->timers[at] = extra->timers[--extra->timer_count];
        return in->err;
    }
    if (at == TWIN_TIMERS_MAX)
        return DRO_LIMIT;
    if (at == extra->timer_count && (at & (at - 1)) == 0) { /* full: none, 1, 2, 4 */
        twin_timer *larger = realloc(extra->timers, (size_t)(at == 0 ? 1 : at * 2) * sizeof *larger);
        if (larger == NULL)
            return DRO_NOMEM;
        extra->timers = larger;
    }
    extra->timers[at] = (twin_timer){ number, due_ms };
    if (at == extra->timer_count)
        extra->timer_count++;
    return in->err;
}

static dro_err apply_connection(core *core, twin *twin, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->length == 0) {
        twin->flags &= (uint8_t)~TWIN_CONNECTED;
        twin->connection.host = twin->connection.realm = NONE16;
        rates_free(twin);
        serving_end(core, twin);
        return DRO_OK;
    }
    uint16_t host = (uint16_t)dro_cursor_le(&in, 2);
    uint16_t realm = (uint16_t)dro_cursor_le(&in, 2);
    size_t length = dro_cursor_left(&in);
    if (in.err != DRO_OK || host >= core->host_count || realm >= core->host_count || length > BEARER_BYTES_MAX)
        return DRO_MALFORMED;
    twin->connection.host = host;
    twin->connection.realm = realm;
    twin->connection.bearer_length = (uint8_t)length;
    memcpy(twin->connection.bearer, in.at, length);
    twin->flags |= TWIN_CONNECTED;
    return DRO_OK;
}

dro_err apply_duplicate(core *core, uint32_t partition, const dro_field *field)
{
    dro_cursor cursor = dro_cursor_over(field->bytes, field->length);
    dro_cursor *in = &cursor;
    uint16_t host = (uint16_t)dro_cursor_le(in, 2);
    uint32_t end_to_end = (uint32_t)dro_cursor_le(in, 4);
    uint32_t result = (uint32_t)dro_cursor_le(in, 4);
    if (in->err != DRO_OK || host >= core->host_count)
        return DRO_MALFORMED;
    return duplicate_add(core, host, end_to_end, duplicate_word(result, partition + 1));
}

dro_err apply_field(core *core, uint32_t index, const dro_field *field)
{
    twin *twin = twin_at(core, index);
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    switch ((enum record_field)field->tag) {
    case FIELD_PROPERTY: return apply_property(core, twin, &in);
    case FIELD_REVISION:
        twin->revision = dro_cursor_le(&in, 8);
        if (twin->row != NONE)
            columns_revision_set(core->columns, twin->table, twin->row, twin->revision);
        return in.err;
    case FIELD_CONTACT: return apply_contact(core, twin, &in);
    case FIELD_IDENTITY: return apply_identity(core, index, &in);
    case FIELD_IMSI: return apply_number(core, index, field, true);
    case FIELD_MSISDN: return apply_number(core, index, field, false);
    case FIELD_ALIASES: return apply_aliases(core, index, field);
    case FIELD_TAGS:
        return twin->row == NONE ? DRO_MALFORMED
                                 : columns_tags_set(core->columns, twin->table, twin->row, field->bytes, field->length);
    case FIELD_MAIL: case FIELD_MAIL_RAW: case FIELD_GROUP_MAIL: case FIELD_RDS_MAIL: return apply_mail(core, index, &in, field->tag);
    case FIELD_MAIL_GONE: apply_mail_gone(core, index, dro_cursor_le(&in, 8)); return in.err;
    case FIELD_TICKET: return apply_ticket(core, twin, &in);
    case FIELD_TICKET_GONE: apply_ticket_gone(twin, dro_cursor_le(&in, 8)); return in.err;
    case FIELD_TIMER: return apply_timer(twin, &in);
    case FIELD_CONNECTION: return apply_connection(core, twin, field);
    case FIELD_RATES: return rates_apply(core, index, field);
    case FIELD_SERVING: return serving_apply(core, index, field);
    case FIELD_RDS: return rds_apply(core, index, field);
    case FIELD_PENALTY: return penalty_apply(twin, field);
    case FIELD_SCHEDULE: return schedule_apply(core, index, field);
    case FIELD_RDS_PORT: return rds_port_apply(core, index, &in);
    case FIELD_RDS_PORT_GONE: rds_port_apply_gone(twin, &in); return in.err;
    case FIELD_DUPLICATE: return apply_duplicate(core, twin_partition(twin), field);
    case FIELD_STATE:
        twin->flags = (uint8_t)((twin->flags & ~TWIN_BLOCKED) | (dro_cursor_le(&in, 1) & TWIN_BLOCKED));
        return in.err;
    case FIELD_NIDD_CONFIGURATION: case FIELD_NIDD_CONFIGURATION_GONE: case FIELD_NIDD_DELIVERY: case FIELD_NIDD_DELIVERY_GONE:
    case FIELD_NOTICE: case FIELD_NOTICE_GONE: case FIELD_EXPOSURE: case FIELD_EXPOSURE_GONE: return nidd_apply(core, index, field);
    case FIELD_REPORT: case FIELD_REPORTS_HEARD: return report_apply(core, index, field);
    case FIELD_CHUNKS: return queue_apply_chunks(core, index, &in);
    case FIELD_CHUNKS_SPENT: queue_apply_spent(core, index); return DRO_OK;
    case FIELD_GROUP: case FIELD_GROUP_GONE: return group_apply(core, index, field);
    case FIELD_GROUP_STATE: return group_state_apply(core, index, &in);
    case FIELD_EVENT: case FIELD_NOTIFY: case FIELD_LOG: case FIELD_DEAD: case FIELD_IDEMPOTENT: case FIELD_TRAP: case FIELD_GROUP_TOLD:
    case FIELD_CHUNK: case FIELD_USAGE: case FIELD_PASSED: case FIELD_EXPOSURE_NEWS: case FIELD_EXPOSURE_NEWS_GONE: case FIELD_CHARGE: case FIELD_CHARGED: case FIELD_AUDIT: case FIELD_AUDITED: case FIELD_AUDIT_HEAD: case FIELD_OF_DOMAIN:
    case FIELD_CONNECTION_REFUSED: case FIELD_FAREWELL: case FIELD_FAREWELL_GONE:
        break; /* for timelines, streams and the host's own tables */
    }
    return DRO_OK;
}

void apply_reset(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    twin_extra *extra = twin->extra;
    twin->flags &= (uint8_t)~(TWIN_BLOCKED | TWIN_CONNECTED | TWIN_SENDING);
    groups_leave_all(core, index);
    serving_end(core, twin);
    if (extra == NULL) {
        nidd_free(core, index);
        return;
    }
    while (extra->mail != NULL)
        mail_take(core, index, extra->mail->number);
    while (extra->tickets != NULL)
        apply_ticket_gone(twin, extra->tickets->number);
    nidd_free(core, index);
    queue_free(core, index);
    rates_free(twin);
    rds_free(twin);
    rds_ports_free(twin);
    penalty_free(twin);
    schedule_free(core, index);
    extra->timer_count = 0;
    dro_field none = { .tag = FIELD_ALIASES };
    dro_err ignored = apply_aliases(core, index, &none);
    (void)ignored; /* removing cannot fail */
}
