#include "core/rds.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/charge.h"
#include "core/mailbox.h"
#include "core/rds_ports.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/event.h"

enum {
    LINK_HAS_PORTS = 1, LINK_IS_UP = 2, /* flags of a link in a record */
    STATE_HEAD = 8 + 1, LINK_BYTES = 5,
};

static rds *rds_of(const twin *twin)
{
    return twin->extra == NULL ? NULL : twin->extra->rds;
}

static rds *rds_get(twin *twin)
{
    twin_extra *extra = twin_extra_get(twin);
    if (extra != NULL && extra->rds == NULL)
        extra->rds = calloc(1, sizeof *extra->rds);
    return extra == NULL ? NULL : extra->rds;
}

bool rds_is_on(const core *core, const twin *twin)
{
    if (!core->options.reliable_data || twin->nidd == NULL)
        return false;
    const nidd_configuration *c = twin->nidd->configurations;
    while (c != NULL && (c->status != NIDD_ACTIVE || !c->is_reliable))
        c = c->next;
    return c != NULL;
}

/* ---- what applications say ---- */

bool rds_is_wanted(const uint8_t *fields, size_t length, bool absent)
{
    dro_field room;
    const dro_field *wanted = nidd_field(fields, length, API_FIELD_RELIABLE, &room);
    return wanted == NULL || wanted->length != 1 ? absent : wanted->bytes[0] != 0;
}

static bool pair_is(const rds_pair *one, const rds_pair *other)
{
    return one->has_ports == other->has_ports && one->device == other->device && one->own == other->own;
}

bool rds_has_ports(const uint8_t *fields, size_t length)
{
    dro_field room;
    return nidd_field(fields, length, API_FIELD_RDS_PORTS, &room) != NULL;
}

bool rds_has_pair(const uint8_t *fields, size_t length, const rds_pair *pair)
{
    dro_field room;
    const dro_field *ports = nidd_field(fields, length, API_FIELD_RDS_PORTS, &room);
    for (uint32_t i = 0; ports != NULL && i + 1 < ports->length; i += 2)
        if (pair->has_ports && ports->bytes[i] == pair->device && ports->bytes[i + 1] == pair->own)
            return true;
    return false;
}

rds_pair rds_pair_of(const uint8_t *fields, size_t length, const uint8_t *configuration, size_t configuration_length)
{
    dro_field room;
    const dro_field *port = nidd_field(fields, length, API_FIELD_RDS_PORT, &room);
    if (port == NULL || port->length != 2)
        port = nidd_field(configuration, configuration_length, API_FIELD_RDS_PORTS, &room);
    return port == NULL || port->length != 2 ? (rds_pair){ 0 } : (rds_pair){ true, port->bytes[0], port->bytes[1] };
}

bool rds_is_for(const twin *twin, const nidd_configuration *configuration, const rds_sign *sign)
{
    return !sign->is_on || !rds_has_ports(configuration->fields, configuration->length) || rds_has_pair(configuration->fields, configuration->length, &sign->pair) ||
           rds_manages(twin, configuration->number, &sign->pair);
}

/* Does somebody here know this pair? One application on each side needs no ports (TS 24.250 4.3.1). */
static bool pair_is_known(const twin *twin, const rds_pair *pair)
{
    const nidd_configuration *c = twin->nidd->configurations;
    while (pair->has_ports && c != NULL && !(c->status == NIDD_ACTIVE && (rds_has_pair(c->fields, c->length, pair) || rds_manages(twin, c->number, pair))))
        c = c->next;
    return c != NULL || !pair->has_ports;
}

/* Does this mail go as an I frame? Then over which pair. */
static bool is_acknowledged(const twin *twin, const mail *mail, rds_pair *pair)
{
    const nidd_delivery *delivery = mail->is_control || mail->is_of_group ? NULL : nidd_delivery_find(twin, mail->ticket);
    const nidd_configuration *c = delivery == NULL ? NULL : twin->nidd->configurations;
    *pair = (rds_pair){ 0 };
    while (c != NULL && c->number != delivery->configuration)
        c = c->next;
    if (c == NULL)
        return false;
    *pair = rds_pair_of(delivery->fields, delivery->length, c->fields, c->length);
    return c->is_reliable && rds_is_wanted(delivery->fields, delivery->length, true);
}

/* ---- the state: changed in a copy, which is applied with its record ---- */

static void state_put(core *core, const rds_state *state)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, state->pending, 8);
    dro_builder_le(part, state->pending_link, 1);
    for (int i = 0; i < state->link_count; i++) {
        const rds_link *link = &state->links[i];
        dro_builder_le(part, (link->pair.has_ports ? LINK_HAS_PORTS : 0u) | (link->is_up ? LINK_IS_UP : 0u), 1);
        dro_builder_le(part, link->pair.device, 1);
        dro_builder_le(part, link->pair.own, 1);
        dro_builder_le(part, link->v_s, 1);
        dro_builder_le(part, link->v_r, 1);
    }
    record_part_end(core, FIELD_RDS);
}

static bool link_read(dro_cursor *in, rds_link *out)
{
    uint8_t flags = (uint8_t)dro_cursor_le(in, 1);
    *out = (rds_link){ .pair = { (flags & LINK_HAS_PORTS) != 0, (uint8_t)dro_cursor_le(in, 1), 0 }, .is_up = (flags & LINK_IS_UP) != 0 };
    out->pair.own = (uint8_t)dro_cursor_le(in, 1);
    out->v_s = (uint8_t)dro_cursor_le(in, 1);
    out->v_r = (uint8_t)dro_cursor_le(in, 1);
    return in->err == DRO_OK && out->pair.device <= NIDD_PORT_MAX && out->pair.own <= NIDD_PORT_MAX && out->v_s < RDS_MODULUS && out->v_r < RDS_MODULUS;
}

dro_err rds_apply(core *core, uint32_t index, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    twin *twin = twin_at(core, index);
    rds_state state = { 0 };
    if (field->length == 0) {
        rds_free(twin);
        return DRO_OK;
    }
    state.pending = dro_cursor_le(&in, 8);
    state.pending_link = (uint8_t)dro_cursor_le(&in, 1);
    if (in.err != DRO_OK || dro_cursor_left(&in) % LINK_BYTES != 0 || dro_cursor_left(&in) / LINK_BYTES > RDS_LINKS_MAX)
        return DRO_MALFORMED;
    while (dro_cursor_left(&in) > 0)
        if (!link_read(&in, &state.links[state.link_count++]))
            return DRO_MALFORMED;
    if (state.pending != 0 && state.pending_link >= state.link_count)
        return DRO_MALFORMED;
    rds *kept = rds_get(twin);
    if (kept == NULL)
        return DRO_NOMEM;
    kept->state = state;
    return DRO_OK;
}

void rds_full(core *core, const twin *twin)
{
    if (rds_of(twin) != NULL)
        state_put(core, &rds_of(twin)->state);
}

void rds_free(twin *twin)
{
    if (twin->extra == NULL)
        return;
    free(twin->extra->rds);
    twin->extra->rds = NULL;
}

void rds_reset(core *core, uint32_t index)
{
    if (rds_of(twin_at(core, index)) != NULL)
        record_put(core, FIELD_RDS, "", 0);
}

static int link_find(const rds_state *state, const rds_pair *pair)
{
    int at = 0;
    while (at < state->link_count && !pair_is(&state->links[at].pair, pair))
        at++;
    return at < state->link_count ? at : -1;
}

/* Made if missing. Of too many, one that is down goes, else the first that nothing is out on: its device will set it up again. */
static int link_get(rds_state *state, const rds_pair *pair)
{
    int at = link_find(state, pair);
    if (at >= 0)
        return at;
    if (state->link_count < RDS_LINKS_MAX)
        at = state->link_count++;
    for (int i = 0; at < 0 && i < state->link_count; i++)
        if (!state->links[i].is_up)
            at = i;
    if (at < 0)
        at = state->pending != 0 && state->pending_link == 0 ? 1 : 0;
    state->links[at] = (rds_link){ .pair = *pair };
    return at;
}

static void link_up(rds_state *state, int at)
{
    if (state->pending != 0 && state->pending_link == at)
        state->pending = 0; /* it goes again, as the first of the new numbers */
    state->links[at] = (rds_link){ .pair = state->links[at].pair, .is_up = true };
}

static void link_down(rds_state *state, int at)
{
    link_up(state, at);
    state->links[at].is_up = false;
}

static void answer_came(rds *of)
{
    of->due_ms = 0;
    of->tries = 0;
}

/* ---- control mail ---- */

uint32_t rds_control_key(uint32_t kind, const rds_pair *pair)
{
    return kind << 16 | (uint32_t)pair->has_ports << 8 | (uint32_t)pair->device << 4 | pair->own;
}

static rds_pair pair_of_key(uint32_t key)
{
    return (rds_pair){ (key >> 8 & 1) != 0, (uint8_t)(key >> 4 & NIDD_PORT_MAX), (uint8_t)(key & NIDD_PORT_MAX) };
}

static const mail *control_find(const twin *twin, uint32_t key)
{
    const mail *m = twin->extra != NULL ? twin->extra->mail : NULL;
    while (m != NULL && !(m->is_control && m->merge_key == key))
        m = m->next;
    return m;
}

void rds_control_gone(core *core, uint32_t index, uint32_t key)
{
    for (const mail *m; (m = control_find(twin_at(core, index), key)) != NULL;) {
        uint64_t number = m->number;
        record_put(core, FIELD_MAIL_GONE, &number, 8);
    }
}

/* Those of a key that have not left: a newer one takes their place. */
static void control_supersede(core *core, uint32_t index, uint32_t key)
{
    const twin *twin = twin_at(core, index);
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL;) {
        const mail *next = m->next;
        uint64_t number = m->number;
        if (m->is_control && m->merge_key == key && !m->is_sent)
            record_put(core, FIELD_MAIL_GONE, &number, 8);
        m = next;
    }
}

static bool is_question(uint32_t key)
{
    return key >> 16 == RDS_CONTROL_SETUP || key >> 16 == RDS_CONTROL_MANAGE;
}

/* Whatever a device asks for, few answers wait for it: it asks again. */
static bool control_has_room(const twin *twin, uint32_t key)
{
    _Static_assert((int)RDS_ANSWERS_MAX + (int)RDS_QUESTIONS_MAX < (int)DOWNLINK_PACKETS_MAX, "apply.c takes twice as many mails as may wait");
    int count = 0;
    for (const mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL; m = m->next)
        count += m->is_control && is_question(m->merge_key) == is_question(key);
    return count < (is_question(key) ? RDS_QUESTIONS_MAX : RDS_ANSWERS_MAX);
}

static void ports_put(rds_frame *frame, const rds_pair *pair)
{
    frame->fields[RDS_FIELD_ADS] = pair->has_ports;
    frame->fields[RDS_FIELD_SOURCE_PORT] = pair->own;
    frame->fields[RDS_FIELD_DESTINATION_PORT] = pair->device;
}

void rds_control_put(core *core, uint32_t index, uint32_t key, int64_t expiry_s, const rds_pair *pair, rds_frame *frame)
{
    control_supersede(core, index, key);
    if (!control_has_room(twin_at(core, index), key)) {
        core->counters.rds_dropped++;
        return;
    }
    ports_put(frame, pair);
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->mail_next, 8);
    dro_builder_le(part, 0, 8);
    dro_builder_le(part, key, 4);
    dro_builder_le(part, (uint64_t)(core->now_ms + expiry_s * 1000), 8);
    rds_put(part, frame);
    record_part_end(core, FIELD_RDS_MAIL);
}

static void function_put(core *core, uint32_t index, uint32_t kind, const rds_pair *pair, enum rds_function function, bool is_response)
{
    rds_frame frame = { .type = RDS_U };
    frame.fields[RDS_FIELD_C_R] = is_response ? RDS_RESPONSE : RDS_COMMAND;
    frame.fields[RDS_FIELD_M] = (uint8_t)function;
    rds_control_put(core, index, rds_control_key(kind, pair), RDS_CONTROL_EXPIRY_S, pair, &frame);
}

static void ack_put(core *core, uint32_t index, const rds_link *link)
{
    rds_frame frame = { .type = RDS_S };
    rds_pair pair = link->pair; /* the state changes with what is put */
    frame.fields[RDS_FIELD_C_R] = RDS_RESPONSE;
    frame.fields[RDS_FIELD_N_R] = link->v_r;
    frame.fields[RDS_FIELD_S] = RDS_ACK;
    rds_control_put(core, index, rds_control_key(RDS_CONTROL_ACK, &pair), RDS_CONTROL_EXPIRY_S, &pair, &frame);
}

bool rds_is_setup(const mail *mail)
{
    return mail->is_control && mail->merge_key >> 16 == RDS_CONTROL_SETUP;
}

/* ---- uplinks ---- */

static const char *ignored(core *core, const char *why)
{
    core->counters.rds_refused++;
    return why;
}

/* An I frame: new, or one that came before, or one behind a lost one. */
static void hear_numbered(core *core, uint32_t index, rds_heard *heard)
{
    const rds *of = rds_of(twin_at(core, index));
    int at = of == NULL ? -1 : link_find(&of->state, &heard->sign.pair);
    if (at < 0 || !of->state.links[at].is_up) {
        heard->why = ignored(core, "acknowledged transfer is not established on its ports");
        return;
    }
    heard->sign.is_numbered = heard->is_data = heard->frame.fields[RDS_FIELD_N_S] == of->state.links[at].v_r;
    core->counters.rds_repeated += !heard->is_data;
}

void rds_hear(core *core, uint32_t index, const uint8_t *bytes, size_t length, rds_heard *out)
{
    *out = (rds_heard){ .bytes = bytes, .length = length, .sign.is_on = true };
    rds_fault fault = rds_read(bytes, length, &out->frame);
    if (fault != RDS_GOOD) {
        out->why = ignored(core, rds_fault_text(fault));
        return;
    }
    const rds_frame *frame = &out->frame;
    out->sign.pair = (rds_pair){ frame->fields[RDS_FIELD_ADS] != 0, frame->fields[RDS_FIELD_SOURCE_PORT], frame->fields[RDS_FIELD_DESTINATION_PORT] };
    out->sign.wants_ack = frame->fields[RDS_FIELD_A] != 0;
    out->sign.n_r = frame->fields[RDS_FIELD_N_R];
    if (frame->type == RDS_U && frame->fields[RDS_FIELD_M] == RDS_MANAGE_PORT && (fault = rds_manage_read(frame->information, frame->length, &out->manage)) != RDS_GOOD)
        out->why = ignored(core, rds_fault_text(fault));
    if (frame->type == RDS_U)
        return;
    if (!pair_is_known(twin_at(core, index), &out->sign.pair))
        out->why = ignored(core, "nobody has its ports");
    else if (frame->type == RDS_I)
        hear_numbered(core, index, out);
    else
        out->is_data = frame->type == RDS_UI;
}

/* The device has what went before N(R). */
static void acknowledged(core *core, uint32_t index, rds_state *state, int at, uint8_t n_r)
{
    const twin *twin = twin_at(core, index);
    rds_link *link = &state->links[at];
    if (state->pending == 0 || state->pending_link != at || n_r != (link->v_s + 1) % RDS_MODULUS)
        return;
    const mail *sent = mail_find(twin, state->pending);
    if (sent == NULL && queue_is_away(twin))
        return; /* it is read at this contact, and goes again */
    uint64_t number = state->pending, of = sent == NULL ? 0 : sent->ticket;
    link->v_s = n_r;
    state->pending = 0;
    answer_came(rds_of(twin));
    if (sent == NULL)
        return;
    charge_mail(core, index, sent, ticket_state_text(TICKET_DELIVERED));
    record_put(core, FIELD_MAIL_GONE, &number, 8);
    nidd_delivery_end(core, index, of, DELIVERY_SUCCESS_ACKNOWLEDGED);
}

void rds_keep_sign(core *core, uint32_t index, const rds_sign *sign)
{
    const rds *of = rds_of(twin_at(core, index));
    int at = !sign->is_numbered || of == NULL ? -1 : link_find(&of->state, &sign->pair);
    if (at < 0)
        return;
    rds_state state = of->state;
    acknowledged(core, index, &state, at, sign->n_r);
    state.links[at].v_r = (uint8_t)((state.links[at].v_r + 1) % RDS_MODULUS);
    state_put(core, &state);
    if (sign->wants_ack)
        ack_put(core, index, &state.links[at]);
}

/* Supervisory functions differ in what they say of frames behind N(R); of ours there is none. */
static void keep_acknowledgement(core *core, uint32_t index, const rds_heard *heard)
{
    const rds *of = rds_of(twin_at(core, index));
    int at = of == NULL ? -1 : link_find(&of->state, &heard->sign.pair);
    if (at < 0 || !of->state.links[at].is_up)
        return;
    rds_state state = of->state;
    acknowledged(core, index, &state, at, heard->sign.n_r);
    state_put(core, &state);
    if (heard->sign.wants_ack)
        ack_put(core, index, &state.links[at]);
}

/* What a link is set up for: the first of those that wait for these ports. */
static const mail *head_of(const twin *twin, const rds_pair *pair)
{
    const mail *m = twin->extra != NULL ? twin->extra->mail : NULL;
    rds_pair its;
    while (m != NULL && !(is_acknowledged(twin, m, &its) && pair_is(&its, pair)))
        m = m->next;
    return m;
}

/* It is given up, with all that belongs to it. NULL: there is none. */
static void head_end(core *core, uint32_t index, const mail *head, nidd_delivery_status status)
{
    const twin *twin = twin_at(core, index);
    if (head == NULL)
        return;
    uint64_t of = head->ticket;
    nidd_mail_gone(core, twin, of);
    nidd_delivery_end(core, index, of, status);
}

static bool is_setting_up(const twin *twin, const rds_pair *pair)
{
    const rds *of = rds_of(twin);
    bool is_asked = of != NULL && of->due_ms != 0 && of->state.pending == 0 && pair_is(&of->setup, pair);
    return is_asked || control_find(twin, rds_control_key(RDS_CONTROL_SETUP, pair)) != NULL; /* its answer may be before that of the network */
}

static void keep_set_ack_mode(core *core, uint32_t index, const rds_pair *pair, bool is_response)
{
    twin *twin = twin_at(core, index);
    bool is_wanted = is_response ? is_setting_up(twin, pair) : pair_is_known(twin, pair);
    if (!is_wanted && !is_response)
        function_put(core, index, RDS_CONTROL_ANSWER, pair, RDS_SET_UNACK_MODE, true);
    if (!is_wanted || rds_get(twin) == NULL)
        return;
    rds_state state = rds_of(twin)->state;
    bool was_awaited = is_response || is_setting_up(twin, pair) || (state.pending != 0 && link_find(&state, pair) == state.pending_link);
    link_up(&state, link_get(&state, pair));
    if (was_awaited)
        answer_came(rds_of(twin));
    state_put(core, &state);
    rds_control_gone(core, index, rds_control_key(RDS_CONTROL_SETUP, pair));
    if (!is_response)
        function_put(core, index, RDS_CONTROL_ANSWER, pair, RDS_SET_ACK_MODE, true);
}

static void keep_set_unack_mode(core *core, uint32_t index, const rds_pair *pair, bool is_response)
{
    const twin *twin = twin_at(core, index);
    const rds *of = rds_of(twin);
    if (is_response && is_setting_up(twin, pair)) {
        answer_came(rds_of(twin));
        rds_control_gone(core, index, rds_control_key(RDS_CONTROL_SETUP, pair));
        head_end(core, index, head_of(twin, pair), DELIVERY_FAILURE_RDS_DISABLED);
        return;
    }
    int at = of == NULL ? -1 : link_find(&of->state, pair);
    if (!is_response)
        function_put(core, index, RDS_CONTROL_ANSWER, pair, RDS_SET_UNACK_MODE, true);
    if (is_response || at < 0)
        return;
    rds_state state = of->state;
    if (state.pending != 0 && state.pending_link == at)
        answer_came(rds_of(twin));
    link_down(&state, at);
    state_put(core, &state);
}

/* In the twin's timeline: the frame as it came, and why nothing was done with it. */
static void ignored_put(core *core, const rds_heard *heard)
{
    enum { LOG_WARN = 2 };
    char text[96];
    int length = snprintf(text, sizeof text, "reliable data: a frame was ignored: %s", heard->why);
    dro_builder *part = record_part(core);
    dro_builder_le(part, EVENT_UPLINK, 1);
    dro_builder_le(part, 0, 4);
    dro_builder_le(part, EVENT_NOT_HANDLED, 1);
    dro_builder_le(part, 0, 4);
    dro_builder_bytes(part, heard->bytes, heard->length);
    record_part_end(core, FIELD_EVENT);
    part = record_part(core);
    dro_builder_le(part, LOG_WARN, 1);
    dro_builder_bytes(part, text, length < (int)sizeof text ? (size_t)length : sizeof text - 1);
    record_part_end(core, FIELD_LOG);
}

void rds_keep_control(core *core, uint32_t index, const rds_heard *heard)
{
    const uint8_t *fields = heard->frame.fields;
    bool is_response = fields[RDS_FIELD_C_R] == RDS_RESPONSE;
    if (heard->why != NULL)
        ignored_put(core, heard);
    else if (heard->frame.type != RDS_U) /* S, or an I frame whose information was there before */
        keep_acknowledgement(core, index, heard);
    else if (fields[RDS_FIELD_M] == RDS_SET_ACK_MODE)
        keep_set_ack_mode(core, index, &heard->sign.pair, is_response);
    else if (fields[RDS_FIELD_M] == RDS_SET_UNACK_MODE)
        keep_set_unack_mode(core, index, &heard->sign.pair, is_response);
    else
        rds_ports_heard(core, index, &heard->manage, is_response);
}

/* ---- downlinks ---- */

/* The first on its link is out from now on: what is kept says so before it leaves. */
static void pending_put(core *core, uint32_t index, const mail *first, int at)
{
    rds *of = rds_of(twin_at(core, index));
    assert(of != NULL);
    rds_state state = of->state;
    state.pending = first->number;
    state.pending_link = (uint8_t)at;
    of->tries = 0;
    record_begin(core, index, RECORD_DELTA);
    state_put(core, &state);
    record_end(core);
}

static void setup_put(core *core, uint32_t index, const rds_pair *pair)
{
    rds *of = rds_of(twin_at(core, index));
    assert(of != NULL);
    if (!pair_is(&of->setup, pair))
        of->tries = 0; /* of the other one */
    of->setup = *pair;
    record_begin(core, index, RECORD_DELTA);
    function_put(core, index, RDS_CONTROL_SETUP, pair, RDS_SET_ACK_MODE, false);
    record_end(core);
}

/* The mail that was out has gone without the device's word: its number may have been used. */
static void pending_forget(core *core, uint32_t index)
{
    const rds *of = rds_of(twin_at(core, index));
    assert(of != NULL);
    rds_state state = of->state;
    link_down(&state, state.pending_link);
    record_begin(core, index, RECORD_DELTA);
    state_put(core, &state);
    record_end(core);
}

mail *rds_mail_next(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    rds *of = rds_get(twin);
    mail *first = twin->extra->mail;
    rds_pair pair;
    if (of == NULL || first->is_control)
        return of == NULL ? NULL : first;
    if (of->due_ms != 0)
        return NULL;
    if (of->state.pending != 0) {
        mail *again = mail_find(twin, of->state.pending);
        if (again != NULL)
            return again;
        pending_forget(core, index);
    }
    if (!is_acknowledged(twin, first, &pair))
        return first;
    int at = link_find(&of->state, &pair);
    if (at >= 0 && of->state.links[at].is_up) {
        pending_put(core, index, first, at);
        return first;
    }
    setup_put(core, index, &pair);
    return twin->extra->mail->is_control ? twin->extra->mail : NULL;
}

const uint8_t *rds_wrap(const twin *twin, const mail *mail, const uint8_t *bytes, uint32_t *length, uint8_t *room)
{
    const rds *of = rds_of(twin);
    rds_pair pair;
    rds_frame frame = { .type = RDS_UI, .information = bytes, .length = *length };
    dro_builder out = dro_builder_over(room, RDS_HEADER_MAX + EVENT_BYTES_MAX);
    bool is_numbered = is_acknowledged(twin, mail, &pair) && of != NULL && of->state.pending == mail->number;
    if (is_numbered) {
        const rds_link *link = &of->state.links[of->state.pending_link];
        frame.type = RDS_I;
        frame.fields[RDS_FIELD_A] = 1;
        frame.fields[RDS_FIELD_N_S] = link->v_s;
        frame.fields[RDS_FIELD_N_R] = link->v_r;
        frame.fields[RDS_FIELD_S] = RDS_ACK;
    }
    ports_put(&frame, &pair);
    rds_put(&out, &frame);
    *length = out.err == DRO_OK ? (uint32_t)dro_builder_length(&out) : 0;
    return room;
}

bool rds_mail_taken(core *core, uint32_t index, mail *mail)
{
    twin *twin = twin_at(core, index);
    rds *of = rds_of(twin);
    bool is_pending = of != NULL && of->state.pending == mail->number;
    if (mail->is_control)
        rds_ports_taken(core, index, mail);
    if (of == NULL || !rds_is_on(core, twin) || (!is_pending && !rds_is_setup(mail)))
        return false;
    of->due_ms = core->now_ms + core->options.reliable_data_timer_s * 1000;
    of->tries++;
    if (!is_pending)
        of->setup = pair_of_key(mail->merge_key);
    if (is_pending) {
        mail->is_sent = false;
        twin->flags &= (uint8_t)~TWIN_SENDING;
    }
    return is_pending;
}

/* The device sleeps: so the downlink waits that this was sent for. */
void rds_mail_back(core *core, uint32_t index, const mail *mail, int64_t retry_ms)
{
    const twin *twin = twin_at(core, index);
    rds_pair pair = pair_of_key(mail->merge_key);
    const struct mail *head = rds_is_setup(mail) ? head_of(twin, &pair) : NULL;
    const nidd_delivery *delivery = head == NULL ? NULL : nidd_delivery_find(twin, head->ticket);
    if (rds_of(twin) != NULL)
        rds_of(twin)->due_ms = 0;
    if (delivery == NULL)
        return;
    uint64_t of = head->ticket;
    if (nidd_may_wait(core, delivery)) {
        nidd_delivery_wait(core, index, of, retry_ms);
        return;
    }
    nidd_mail_gone(core, twin, of);
    nidd_delivery_fail(core, index, of, retry_ms);
}

void rds_setup_refused(core *core, uint32_t index, uint32_t key)
{
    rds_pair pair = pair_of_key(key);
    head_end(core, index, head_of(twin_at(core, index), &pair), DELIVERY_FAILURE_NEXT_HOP);
}

bool rds_is_busy_with(const twin *twin, const mail *mail)
{
    const rds *of = rds_of(twin);
    rds_pair pair;
    if (of == NULL || mail->is_control)
        return false;
    if (of->state.pending != 0)
        return of->state.pending == mail->number && of->due_ms != 0;
    if (!is_acknowledged(twin, mail, &pair) || head_of(twin, &pair) != mail)
        return false;
    const struct mail *setup = control_find(twin, rds_control_key(RDS_CONTROL_SETUP, &pair));
    return setup != NULL ? setup->is_sent : of->due_ms != 0 && pair_is(&of->setup, &pair);
}

bool rds_holds(const twin *twin)
{
    const mail *m = rds_of(twin) == NULL ? NULL : twin->extra->mail;
    while (m != NULL && !(m->is_control && m->is_sent))
        m = m->next;
    return m != NULL;
}

int64_t rds_due(const twin *twin)
{
    const rds *of = rds_of(twin);
    return of == NULL || of->due_ms == 0 ? INT64_MAX : of->due_ms;
}

void rds_expire(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    rds *of = rds_of(twin);
    if (of == NULL || rds_due(twin) > core->now_ms)
        return;
    of->due_ms = 0;
    if (of->tries <= RDS_N200) {
        core->counters.rds_retransmissions++;
        return; /* the mailbox sends it again */
    }
    of->tries = 0;
    rds_state state = of->state;
    bool was_out = state.pending != 0;
    const mail *head = was_out ? mail_find(twin, state.pending) : head_of(twin, &of->setup);
    record_begin(core, index, RECORD_DELTA);
    head_end(core, index, head, was_out ? DELIVERY_SUCCESS_UNACKNOWLEDGED : DELIVERY_FAILURE_TIMEOUT);
    if (was_out)
        link_down(&state, state.pending_link);
    state_put(core, &state);
    record_end(core);
}
