/* Mailbox: downlinks that wait for their device, and the tickets of commands.
 * One MT-Data-Request a device is out at a time. */
#include "core/mailbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/audit.h"
#include "core/api.h"
#include "core/charge.h"
#include "core/groups.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/peers.h"
#include "core/rate.h"
#include "core/rds.h"
#include "core/record.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/event.h"

enum { TWIN_BITS = 26, TDA_ACKNOWLEDGED = 1 /* TDA-Flags, bit 0 (TS 29.128, 6.4.17) */ };

/* ---- tickets ---- */

void ticket_put(core *core, uint32_t index, const ticket *ticket)
{
    (void)index;
    dro_builder *part = record_part(core);
    size_t reason = strlen(ticket->reason);
    dro_builder_le(part, ticket->number, 8);
    dro_builder_le(part, ticket->is_action, 1);
    dro_builder_le(part, ticket->index, 1);
    /* After a restart what was on its way is sent again. */
    dro_builder_le(part, ticket->state, 1);
    dro_builder_le(part, (uint64_t)ticket->time_ms, 8);
    dro_builder_le(part, (uint64_t)ticket->made_ms, 8);
    dro_builder_le(part, reason, 1);
    dro_builder_bytes(part, ticket->reason, reason);
    value_write(part, &ticket->value);
    if (ticket->operation != 0)
        dro_builder_le(part, ticket->operation, 8);
    record_part_end(core, FIELD_TICKET);
}

static bool has_ended(const ticket *ticket)
{
    return ticket->state >= TICKET_REPORTED || (ticket->is_action && ticket->state == TICKET_DELIVERED);
}

/* Makes room: the oldest ticket that has ended goes, else the oldest whose command the device
 * has, or that never had one for it. There is one: a mailbox holds fewer. */
static void ticket_evict(core *core, const twin *twin)
{
    _Static_assert((int)TWIN_MAIL_MAX < (int)TWIN_TICKETS_MAX, "a ticket without mail");
    const ticket *oldest = NULL;
    bool is_ended = false;
    for (const ticket *t = twin->extra->tickets; t != NULL; t = t->next) {
        if (!has_ended(t) && (is_ended || mail_of_ticket(twin, t->number) != NULL))
            continue;
        oldest = t;
        is_ended |= has_ended(t);
    }
    if (oldest != NULL)
        record_put(core, FIELD_TICKET_GONE, &oldest->number, 8);
}

uint64_t ticket_make(core *core, uint32_t index, bool is_action, uint8_t of, const value *value, ticket_state state,
                     uint64_t operation)
{
    twin *twin = twin_at(core, index);
    if (twin->extra != NULL && twin->extra->ticket_count >= TWIN_TICKETS_MAX)
        ticket_evict(core, twin);
    ticket ticket = { .number = core->ticket_next++, .is_action = is_action, .index = of, .state = state,
                      .time_ms = core->now_ms, .made_ms = core->now_ms, .operation = operation, .value = *value };
    ticket_put(core, index, &ticket);
    group_ticket_moved(core, index, &ticket);
    return ticket.number;
}

void ticket_move(core *core, uint32_t index, uint64_t number, ticket_state state, const char *reason)
{
    const ticket *old = number == 0 ? NULL : ticket_find(twin_at(core, index), number);
    if (old == NULL || old->state >= TICKET_REPORTED || old->state == state)
        return;
    size_t text = old->value.kind == VALUE_STRING ? old->value.length : 0;
    char string[VALUE_STRING_MAX];
    ticket ticket = *old;
    if (text > 0) {
        memcpy(string, old->value.string, text);
        ticket.value.string = string;
    }
    ticket.state = state;
    ticket.time_ms = core->now_ms;
    snprintf(ticket.reason, sizeof ticket.reason, "%s", reason);
    ticket_put(core, index, &ticket);
    group_ticket_moved(core, index, &ticket);
    if (core->waiter_count > 0)
        waiters_ticket(core, index, number);
}

/* ---- requests that wait for a ticket ---- */

void waiter_add(core *core, uint32_t index, uint64_t number, ticket_state state, int64_t until_ns, caller caller)
{
    core->waiters[core->waiter_count++] = (waiter){ .twin = index, .ticket = number, .state = state, .until_ns = until_ns, .caller = caller };
    audit_answered(core, caller, &(reply){ .status = 202 }); /* it is taken; what comes of it is told later */
}

void waiter_add_delivery(core *core, uint32_t index, uint64_t number, int64_t until_ns, caller caller)
{
    core->waiters[core->waiter_count++] =
        (waiter){ .twin = index, .ticket = number, .is_delivery = true, .until_ns = until_ns, .caller = caller };
    audit_answered(core, caller, &(reply){ .status = 202 });
}

bool waiter_is_there(const core *core, uint32_t index, uint64_t number)
{
    for (uint32_t i = 0; i < core->waiter_count; i++)
        if (core->waiters[i].is_delivery && core->waiters[i].ticket == number && core->waiters[i].twin == index)
            return true;
    return false;
}

static void waiter_answer(core *core, const waiter *waiter)
{
    const twin *twin = twin_at(core, waiter->twin);
    if (waiter->is_delivery) {
        nidd_delivery_answer(core, waiter->caller, waiter->twin, waiter->ticket);
        return;
    }
    const ticket *ticket = twin->number == 0 ? NULL : ticket_find(twin, waiter->ticket);
    if (ticket == NULL) {
        tell_problem(core, waiter->caller, 404, "about:blank", "the twin was removed while its ticket was waited for");
        return;
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    api_ticket_json(core, twin, ticket, &out);
    bool is_reached = ticket->state >= waiter->state && ticket->state <= TICKET_REPORTED;
    reply reply = { .status = is_reached ? 200 : 202, .content = CONTENT_JSON, .etag = twin->revision };
    tell_reply(core, waiter->caller, &reply, core->scratch, dro_builder_length(&out));
}

void waiters_ticket(core *core, uint32_t index, uint64_t number)
{
    for (uint32_t i = 0; i < core->waiter_count;) {
        waiter waiter = core->waiters[i];
        bool is_it = waiter.twin == index && waiter.ticket == number && !waiter.is_delivery;
        const ticket *ticket = is_it ? ticket_find(twin_at(core, index), number) : NULL;
        if (ticket == NULL || ticket->state < waiter.state) {
            i++;
            continue;
        }
        core->waiters[i] = core->waiters[--core->waiter_count];
        core->met[core->met_count++] = waiter; /* told once the record is written: waiters_due */
    }
}

void waiters_delivery(core *core, uint32_t index, uint64_t number)
{
    for (uint32_t i = 0; i < core->waiter_count;) {
        waiter waiter = core->waiters[i];
        if (!waiter.is_delivery || waiter.twin != index || waiter.ticket != number) {
            i++;
            continue;
        }
        core->waiters[i] = core->waiters[--core->waiter_count];
        core->met[core->met_count++] = waiter;
    }
}

static void forget_gate(waiter *waiters, uint32_t *count, uint32_t gate)
{
    for (uint32_t i = 0; i < *count;)
        if (waiters[i].caller.gate == gate)
            waiters[i] = waiters[--*count];
        else
            i++;
}

void waiters_gate_lost(core *core, uint32_t gate)
{
    forget_gate(core->waiters, &core->waiter_count, gate);
    forget_gate(core->met, &core->met_count, gate);
}

void waiters_due(core *core)
{
    for (uint32_t i = 0; i < core->met_count; i++)
        waiter_answer(core, &core->met[i]);
    core->met_count = 0;
    for (uint32_t i = 0; i < core->waiter_count;) {
        if (core->waiters[i].until_ns > core->now_ns && !core->is_draining) {
            i++;
            continue;
        }
        waiter waiter = core->waiters[i];
        core->waiters[i] = core->waiters[--core->waiter_count];
        waiter_answer(core, &waiter);
    }
}

/* ---- mail ---- */

/* What became of a command's downlink, for an application's. */
static nidd_delivery_status delivery_status(ticket_state state)
{
    switch (state) {
    case TICKET_DELIVERED: return DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED;
    case TICKET_EXPIRED: return DELIVERY_FAILURE_TIMEOUT;
    case TICKET_FAILED: return DELIVERY_FAILURE_NEXT_HOP;
    default: return DELIVERY_FAILURE;
    }
}

static void mail_drop(core *core, uint32_t index, const mail *mail, ticket_state state, const char *reason)
{
    uint64_t of_ticket = mail->ticket;
    uint64_t number = mail->number;
    charge_mail(core, index, mail, ticket_state_text(state));
    record_put(core, FIELD_MAIL_GONE, &number, 8);
    if (of_ticket == 0)
        return;
    ticket_move(core, index, of_ticket, state, reason);
    nidd_delivery_end(core, index, of_ticket, delivery_status(state));
}

const uint8_t *mail_bytes(const twin *twin, const mail *mail, uint32_t *length)
{
    dro_field room;
    const nidd_delivery *delivery = mail->is_raw ? nidd_delivery_find(twin, mail->ticket) : NULL;
    const dro_field *data = delivery != NULL ? nidd_field(delivery->fields, delivery->length, API_FIELD_DATA, &room) : NULL;
    *length = data != NULL ? data->length : mail->length;
    return data != NULL ? data->bytes : mail->bytes;
}

/* Commands: each may need its ticket, and those are few. */
static bool has_room_for_command(const twin *twin)
{
    uint32_t count = 0;
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL; m = m->next)
        count += m->ticket != 0 && ticket_find(twin, m->ticket) != NULL;
    return count < TWIN_MAIL_MAX;
}

/* False: too much waits, and whoever asked was told. */
bool mailbox_has_room(core *core, uint32_t index, uint64_t of_ticket, uint32_t length)
{
    const twin *twin = twin_at(core, index);
    const downlink_limits *limits = &core->options.downlink;
    if (queue_wanted_count(twin) < limits->packets && queue_wanted_bytes(twin) - nidd_ended_bytes(twin) + length <= limits->bytes &&
        (ticket_find(twin, of_ticket) == NULL || has_room_for_command(twin)) && !queues_are_full(core))
        return true;
    core->counters.refused++;
    ticket_move(core, index, of_ticket, TICKET_FAILED, "the mailbox is full");
    nidd_delivery_end(core, index, of_ticket, DELIVERY_FAILURE);
    return false;
}

void mailbox_put(core *core, uint32_t index, uint64_t of_ticket, uint32_t merge_key, int64_t expires_ms,
                 const uint8_t *bytes, uint32_t length)
{
    twin *twin = twin_at(core, index);
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL && merge_key != 0;) {
        const mail *next = m->next;
        if (m->merge_key == merge_key && !m->is_control && !m->is_sent)
            mail_drop(core, index, m, TICKET_SUPERSEDED, "a newer command took its place");
        m = next;
    }
    if (!mailbox_has_room(core, index, of_ticket, length))
        return;
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->mail_next, 8);
    dro_builder_le(part, of_ticket, 8);
    dro_builder_le(part, merge_key, 4);
    dro_builder_le(part, (uint64_t)expires_ms, 8);
    dro_builder_bytes(part, bytes, length);
    record_part_end(core, FIELD_MAIL);
}

void mailbox_put_raw(core *core, uint32_t index, uint64_t delivery, int64_t expires_ms)
{
    if (!mailbox_has_room(core, index, delivery, 0))
        return;
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->mail_next, 8);
    dro_builder_le(part, delivery, 8);
    dro_builder_le(part, (uint64_t)expires_ms, 8);
    record_part_end(core, FIELD_MAIL_RAW);
}

void mail_put(core *core, const mail *mail)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, mail->number, 8);
    dro_builder_le(part, mail->ticket, 8);
    if (!mail->is_raw && !mail->is_of_group)
        dro_builder_le(part, mail->merge_key, 4);
    dro_builder_le(part, (uint64_t)mail->expires_ms, 8);
    dro_builder_bytes(part, mail->bytes, mail->is_of_group ? 0 : mail->length);
    record_part_end(core, mail->is_of_group ? FIELD_GROUP_MAIL : mail->is_raw ? FIELD_MAIL_RAW : mail->is_control ? FIELD_RDS_MAIL : FIELD_MAIL);
}

static int64_t mail_due(const mail *mail)
{
    return mail->is_sent ? mail->sent_ms + DOWNLINK_LOST_S * 1000 : mail->expires_ms;
}

/* A command that waits though no downlink of it does: the twin sent none, or keeps it to itself. */
static bool is_left(const twin *twin, const ticket *ticket)
{
    return ticket->state < TICKET_DELIVERED && mail_of_ticket(twin, ticket->number) == NULL;
}

static int64_t ticket_due(const ticket *ticket)
{
    return ticket->made_ms + DOWNLINK_EXPIRY_S * 1000ll;
}

int64_t mailbox_due(const twin *twin)
{
    int64_t due = INT64_MAX;
    const twin_extra *extra = twin->extra;
    if (extra == NULL)
        return due;
    for (const ticket *t = extra->tickets; t != NULL; t = t->next)
        if (ticket_due(t) < due && is_left(twin, t))
            due = ticket_due(t);
    if (extra->queue.is_away && extra->queue.due_ms < due && !queue_is_loading(twin))
        due = extra->queue.due_ms;
    if (extra->mail == NULL && extra->queue.away_mail == 0)
        return due;
    for (const mail *m = extra->mail; m != NULL; m = m->next)
        if (mail_due(m) < due)
            due = mail_due(m);
    if (twin->retry_ms != 0 && twin->retry_ms < due)
        due = twin->retry_ms;
    if (rate_resume_ms(twin) != 0 && rate_resume_ms(twin) < due)
        due = rate_resume_ms(twin);
    return due;
}

/* The downlink went back into the mailbox; nothing is tried until `retry_ms` or a contact. */
static void mail_back(core *core, uint32_t index, mail *mail, int64_t retry_ms, bool is_silent)
{
    twin *twin = twin_at(core, index);
    bool has_moved = mail->sent_host != twin->connection.host; /* it is reached there */
    /* Heard of while nobody answered: that contact is still good. */
    bool was_heard = is_silent && twin->last_contact_ms > mail->sent_ms;
    if (!has_moved && !was_heard)
        twin->flags |= TWIN_BLOCKED;
    mail->is_sent = false;
    twin->flags &= (uint8_t)~TWIN_SENDING;
    bool is_superseded = false;
    for (const struct mail *m = mail->next; m != NULL; m = m->next)
        is_superseded |= m->merge_key != 0 && m->merge_key == mail->merge_key && m->is_control == mail->is_control;
    int64_t pattern_ms = schedule_next_ms(twin, twin->last_contact_ms, core->now_ms);
    record_begin(core, index, RECORD_DELTA);
    if (retry_ms > core->now_ms)
        contact_expect(core, index, CONTACT_RETRANSMISSION, retry_ms);
    else if (twin->flags & TWIN_BLOCKED && pattern_ms != COLUMNS_NEVER)
        contact_expect(core, index, CONTACT_PATTERN, pattern_ms);
    rds_mail_back(core, index, mail, retry_ms > core->now_ms ? retry_ms : 0);
    const nidd_delivery *delivery = nidd_delivery_find(twin, mail->ticket);
    bool may_wait = group_number_is(mail->ticket) ? group_may_wait(core, mail->ticket) : delivery == NULL || nidd_may_wait(core, delivery);
    if (!may_wait) {
        uint64_t number = mail->number, of = mail->ticket;
        record_put(core, FIELD_MAIL_GONE, &number, 8);
        nidd_delivery_fail(core, index, of, retry_ms > core->now_ms ? retry_ms : 0);
    } else if (is_superseded)
        mail_drop(core, index, mail, TICKET_SUPERSEDED, "a newer command took its place");
    else if (mail->ticket != 0) {
        ticket_move(core, index, mail->ticket, TICKET_PENDING, "");
        nidd_delivery_wait(core, index, mail->ticket, retry_ms > core->now_ms ? retry_ms : 0);
    }
    record_end(core);
}

void mailbox_expire(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    if (twin->retry_ms != 0 && twin->retry_ms <= core->now_ms) {
        twin->retry_ms = 0;
        twin->flags &= (uint8_t)~TWIN_BLOCKED;
    }
    if (rate_resume_ms(twin) != 0 && rate_resume_ms(twin) <= core->now_ms)
        twin->extra->rates->resume_ms = 0;
    bool is_begun = false;
    if (queue_is_away(twin) && twin->extra->queue.due_ms <= core->now_ms)
        queue_load(core, index); /* it comes back here once it is read */
    for (const ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL;) {
        const ticket *next = t->next;
        if (ticket_due(t) <= core->now_ms && is_left(twin, t)) {
            record_begin(core, index, RECORD_DELTA);
            ticket_move(core, index, t->number, TICKET_EXPIRED, "nothing came of it in time");
            record_end(core);
        }
        t = next;
    }
    for (mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL; m = m->next)
        if (m->is_sent && mail_due(m) <= core->now_ms) { /* one is out at a time */
            mail_back(core, index, m, 0, true);
            break;
        }
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL;) {
        const mail *next = m->next;
        if (!m->is_sent && m->expires_ms <= core->now_ms) {
            if (!is_begun)
                record_begin(core, index, RECORD_DELTA);
            is_begun = true;
            mail_drop(core, index, m, TICKET_EXPIRED, "the device was not reached in time");
        }
        m = next;
    }
    if (is_begun)
        record_end(core);
}

/* Where the serving node is connected; over which gate the device came last may be long ago. */
static uint32_t gate_of(const core *core, const twin *twin)
{
    const peers_node node = network_node(core, twin);
    return peers_gate(core, &node, twin->connection.gate);
}

/* DRMP of a downlink, and one: the usual 10 is not sent. Applications move it by five at most; the network's own come before. */
static uint8_t request_priority(const mail *mail)
{
    enum { FIRST = 5, USUAL = 10, LAST = 15 };
    int64_t wanted = USUAL - (int64_t)mail->priority;
    if (mail->priority == 0 || mail->is_control)
        return 0;
    return (uint8_t)((wanted < FIRST ? FIRST : wanted > LAST ? LAST : wanted) + 1);
}

/* `lost`: End-to-End id of the same request, whose connection was lost; NULL: a new one. */
static void mail_send(core *core, uint32_t index, mail *mail, uint32_t gate, const uint32_t *lost)
{
    static _Thread_local uint8_t message[sizeof(downlink_request) + 3 * 256 + RDS_HEADER_MAX + EVENT_BYTES_MAX], wrapped[RDS_HEADER_MAX + EVENT_BYTES_MAX];
    twin *twin = twin_at(core, index);
    const char *host = core->hosts[twin->connection.host].name;
    const char *realm = core->hosts[twin->connection.realm].name, *via = serving_via(core, twin);
    downlink_request request = { .wait_until = (uint32_t)(core->now_ms / 1000 + DOWNLINK_WAIT_S),
                                 .retransmit_until = (uint32_t)(mail->expires_ms / 1000),
                                 .host_length = (uint16_t)strlen(host),
                                 .realm_length = (uint16_t)strlen(realm), .via_length = (uint16_t)strlen(via), .is_again = lost != NULL, .priority = request_priority(mail), .end_to_end = lost != NULL ? *lost : 0 };
    uint32_t length;
    const uint8_t *bytes = mail->is_of_group ? group_mail_bytes(core, mail, &length) : mail_bytes(twin, mail, &length);
    if (rds_is_on(core, twin) && !mail->is_control)
        bytes = rds_wrap(twin, mail, bytes, &length, wrapped);
    request.data_length = (uint16_t)length;
    if (vault_identity_open(core->vault, twin->number, twin->imsi, request.user.imsi) != DRO_OK)
        return;
    request.user.bearer_length = twin->connection.bearer_length;
    memcpy(request.user.bearer, twin->connection.bearer, BEARER_BYTES_MAX);
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_bytes(&out, host, request.host_length);
    dro_builder_bytes(&out, realm, request.realm_length);
    dro_builder_bytes(&out, bytes, request.data_length);
    dro_builder_bytes(&out, via, request.via_length);
    uint64_t id = (uint64_t)index | mail->number << TWIN_BITS;
    tell(core, gate, MESSAGE_DOWNLINK, RING_WIPE, id, message, (uint32_t)dro_builder_length(&out), round_now(core));
    dro_wipe(message, sizeof request);
    dro_wipe(&request, sizeof request);
    mail->is_sent = true;
    mail->sent_ms = core->now_ms;
    mail->sent_gate = (uint8_t)gate;
    mail->sent_host = twin->connection.host;
    mail->sent_again = lost != NULL ? (uint8_t)(mail->sent_again + 1) : 0;
    twin->flags |= TWIN_SENDING;
    core->counters.downlinks++;
}

/* A command that ended while it was out: the device confirmed the value, or a newer one. */
static bool mail_has_ended(const twin *twin, const mail *mail)
{
    const ticket *of = mail->ticket != 0 ? ticket_find(twin, mail->ticket) : NULL;
    return of != NULL && of->state >= TICKET_REPORTED;
}

/* Those whose answer was lost, or that were out when the host ended: no device is told what it knows. */
static void mail_trim(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL;) {
        const mail *next = m->next;
        if (!m->is_sent && mail_has_ended(twin, m)) {
            record_begin(core, index, RECORD_DELTA);
            record_put(core, FIELD_MAIL_GONE, &(uint64_t){ m->number }, 8);
            record_end(core);
        }
        m = next;
    }
}

/* Through another connection of the serving node, or a relay. False: there is none. */
static bool mail_send_again(core *core, uint32_t index, mail *sent, const downlink_answer *answer)
{
    const twin *twin = twin_at(core, index);
    const peers_node node = network_node(core, twin);
    uint32_t gate;
    if (answer->outcome != DOWNLINK_LOST || sent->sent_again >= DOWNLINK_AGAIN_MAX || mail_has_ended(twin, sent) || group_mail_is_orphan(core, sent) || core->is_stopping || core_failed(core) ||
        !(twin->flags & TWIN_CONNECTED) || twin->connection.host != sent->sent_host ||
        !peers_way(core, &node, &gate))
        return false;
    mail_send(core, index, sent, gate, &answer->end_to_end);
    return true;
}

void mailbox_flush(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    group_mail_trim(core, index);
    mail_trim(core, index);
    mail *first = twin->extra != NULL ? twin->extra->mail : NULL;
    if (queue_mail_count(twin) == 0 || !(twin->flags & TWIN_CONNECTED) || !(twin->flags & TWIN_HAS_IMSI) ||
        twin->flags & (TWIN_BLOCKED | TWIN_SENDING) || core->is_stopping || core_failed(core) || stop_holds_twin(core, index))
        return;
    assert(twin->extra != NULL); /* it has mail */
    uint32_t gate = gate_of(core, twin);
    if (!core->gates[gate].is_open)
        return;
    if (queue_is_away(twin) && twin->extra->queue.away_mail > 0) { /* older ones go first */
        queue_load(core, index);
        return;
    }
    if (rds_is_on(core, twin) && (first = rds_mail_next(core, index)) == NULL)
        return; /* the device's answer is awaited */
    if (rate_downlink(core, index) != 0)
        return; /* the timers come back to it */
    assert(first != NULL); /* none is away, and some are there */
    mail_send(core, index, first, gate, NULL);
    if (first->is_sent)
        group_state_sent(core, index, first->ticket);
    ticket *ticket = first->ticket != 0 ? ticket_find(twin, first->ticket) : NULL;
    if (ticket == NULL || ticket->state != TICKET_PENDING)
        return;
    record_begin(core, index, RECORD_DELTA); /* the request does not wait for it: after a restart it is pending again */
    ticket_move(core, index, ticket->number, TICKET_SENT, "");
    record_end(core);
}

/* Its node is there, but takes no more just now: many devices woke at once. Nobody needs to know. */
static void mail_soon(core *core, uint32_t index, mail *mail)
{
    twin *twin = twin_at(core, index);
    ticket *ticket = mail->ticket != 0 ? ticket_find(twin, mail->ticket) : NULL;
    if (ticket != NULL && ticket->state == TICKET_SENT)
        ticket->state = TICKET_PENDING;
    mail->is_sent = false;
    twin->flags = (uint8_t)((twin->flags & ~TWIN_SENDING) | TWIN_BLOCKED);
    twin->retry_ms = core->now_ms + DOWNLINK_CROWDED_RETRY_MS;
}

/* Is there a way to where it was sent? */
static bool mail_may_arrive(const core *core, const twin *twin, const mail *sent)
{
    const peers_node node = network_node(core, twin), elsewhere = { core->hosts[sent->sent_host].name, "", "" };
    return peers_reach(core, sent->sent_host == twin->connection.host ? &node : &elsewhere);
}

void mailbox_on_answer(core *core, uint64_t id, const downlink_answer *answer)
{
    uint32_t index = (uint32_t)(id & ((1u << TWIN_BITS) - 1));
    if (index >= core->twin_high || twin_at(core, index)->number == 0)
        return;
    twin *twin = twin_at(core, index);
    mail *sent = twin->extra != NULL ? twin->extra->mail : NULL;
    while (sent != NULL && !(sent->is_sent && sent->number << TWIN_BITS == id - index))
        sent = sent->next;
    if (sent == NULL)
        return;
    if ((answer->outcome == DOWNLINK_NO_PEER && group_mail_bounced(core, index, sent)) || mail_send_again(core, index, sent, answer))
        return;
    bool is_answered = answer->outcome == DOWNLINK_ANSWERED;
    bool is_taken = is_answered && answer->result >= 2000 && answer->result < 3000;
    if (is_taken && !rds_mail_taken(core, index, sent)) {
        uint64_t number = sent->ticket;
        bool is_acknowledged = (answer->flags & TDA_ACKNOWLEDGED) != 0;
        record_begin(core, index, RECORD_DELTA);
        charge_mail(core, index, sent, ticket_state_text(TICKET_DELIVERED));
        record_put(core, FIELD_MAIL_GONE, &(uint64_t){ sent->number }, 8);
        ticket_move(core, index, number, TICKET_DELIVERED, "");
        nidd_delivery_end(core, index, number, is_acknowledged ? DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED
                                                               : DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED);
        record_end(core);
    } else if (is_answered && answer->result >= 5000 && answer->result != 5012) {
        char reason[64];
        snprintf(reason, sizeof reason, "the network refused it with %u", answer->result);
        bool is_setup = rds_is_setup(sent);
        uint32_t key = sent->merge_key;
        record_begin(core, index, RECORD_DELTA);
        mail_drop(core, index, sent, TICKET_FAILED, reason);
        if (is_setup)
            rds_setup_refused(core, index, key);
        record_end(core);
    } else if (answer->outcome == DOWNLINK_NO_PEER && mail_may_arrive(core, twin, sent)) {
        mail_soon(core, index, sent);
    } else if (!is_taken) {
        int64_t retry_ms = (int64_t)answer->retransmission_time * 1000;
        if (is_answered && answer->result == 3004)
            retry_ms = core->now_ms + DOWNLINK_BUSY_RETRY_S * 1000;
        bool is_there = sent->sent_host == twin->connection.host;
        if (is_answered && is_there && (answer->experimental == 5651 || answer->experimental == 5001)) { /* no such connection there */
            record_begin(core, index, RECORD_DELTA);
            charge_connection(core, index, CHARGE_RELEASED, 0);
            record_put(core, FIELD_CONNECTION, "", 0);
            record_end(core);
        }
        mail_back(core, index, sent, retry_ms, answer->outcome == DOWNLINK_NO_ANSWER || answer->outcome == DOWNLINK_LOST);
    }
    if (!(twin->flags & TWIN_RUNNING)) {
        mailbox_flush(core, index);
        if (timers_update(core, index) != DRO_OK)
            dro_error("timers: out of memory");
    }
}
