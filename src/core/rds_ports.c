#include "core/rds_ports.h"

#include <stdlib.h>
#include <string.h>

#include "core/mailbox.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

enum { PORT_HEAD = 8 + 5 };

rds_managed *rds_managed_first(const twin *twin)
{
    return twin->extra == NULL ? NULL : twin->extra->rds_ports;
}

static uint32_t count_of(const twin *twin)
{
    uint32_t count = 0;
    for (const rds_managed *m = rds_managed_first(twin); m != NULL; m = m->next)
        count++;
    return count;
}

rds_managed *rds_managed_find(const twin *twin, uint8_t device, uint8_t own)
{
    rds_managed *m = rds_managed_first(twin);
    while (m != NULL && (m->device != device || m->own != own))
        m = m->next;
    return m;
}

static bool is_in_force(const rds_managed *managed)
{
    return (managed->flags & RDS_PORT_ASKED) == 0;
}

bool rds_manages(const twin *twin, uint64_t configuration, const rds_pair *pair)
{
    const rds_managed *m = pair->has_ports ? rds_managed_find(twin, pair->device, pair->own) : NULL;
    return m != NULL && is_in_force(m) && m->configuration == configuration;
}

bool rds_port_is_taken(const twin *twin, const rds_pair *pair)
{
    const nidd_configuration *c = twin->nidd == NULL ? NULL : twin->nidd->configurations;
    while (c != NULL && (c->status != NIDD_ACTIVE || !rds_has_pair(c->fields, c->length, pair)))
        c = c->next;
    return c != NULL || rds_managed_find(twin, pair->device, pair->own) != NULL;
}

/* ---- in records ---- */

void rds_managed_put(core *core, const rds_managed *managed, const char *application)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, managed->configuration, 8);
    dro_builder_le(part, managed->device, 1);
    dro_builder_le(part, managed->own, 1);
    dro_builder_le(part, managed->flags, 1);
    dro_builder_le(part, managed->formats, 1);
    dro_builder_le(part, managed->configured, 1);
    dro_builder_bytes(part, application, managed->length);
    record_part_end(core, FIELD_RDS_PORT);
}

void rds_managed_gone(core *core, uint8_t device, uint8_t own)
{
    uint8_t pair[2] = { device, own };
    record_put(core, FIELD_RDS_PORT_GONE, pair, sizeof pair);
}

static void remove_one(twin *twin, uint8_t device, uint8_t own)
{
    for (rds_managed **at = twin->extra == NULL ? NULL : &twin->extra->rds_ports; at != NULL && *at != NULL; at = &(*at)->next) {
        if ((*at)->device != device || (*at)->own != own)
            continue;
        rds_managed *gone = *at;
        *at = gone->next;
        free(gone);
        return;
    }
}

dro_err rds_port_apply(core *core, uint32_t index, dro_cursor *in)
{
    rds_managed head = { .configuration = dro_cursor_le(in, 8) };
    head.device = (uint8_t)dro_cursor_le(in, 1);
    head.own = (uint8_t)dro_cursor_le(in, 1);
    head.flags = (uint8_t)dro_cursor_le(in, 1);
    head.formats = (uint8_t)dro_cursor_le(in, 1);
    head.configured = (uint8_t)dro_cursor_le(in, 1);
    size_t length = dro_cursor_left(in);
    twin_extra *extra = twin_extra_get(twin_at(core, index));
    if (in->err != DRO_OK || length > RDS_APPLICATION_MAX || head.device > NIDD_PORT_MAX || head.own > NIDD_PORT_MAX)
        return DRO_MALFORMED;
    head.length = (uint8_t)length;
    head.due_ms = head.flags & RDS_PORT_ASKED ? core->now_ms + RDS_PORT_ASK_S * 1000ll : INT64_MAX;
    rds_managed *made = extra == NULL ? NULL : malloc(sizeof *made + length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = head;
    memcpy(made->application, in->at, length);
    remove_one(twin_at(core, index), head.device, head.own);
    if (count_of(twin_at(core, index)) >= RDS_PORTS_MAX) {
        free(made);
        return DRO_LIMIT;
    }
    rds_managed **at = &extra->rds_ports;
    while (*at != NULL)
        at = &(*at)->next;
    made->next = NULL;
    *at = made;
    return DRO_OK;
}

void rds_port_apply_gone(twin *twin, dro_cursor *in)
{
    uint8_t device = (uint8_t)dro_cursor_le(in, 1), own = (uint8_t)dro_cursor_le(in, 1);
    if (in->err == DRO_OK)
        remove_one(twin, device, own);
}

void rds_ports_full(core *core, const twin *twin)
{
    for (const rds_managed *m = rds_managed_first(twin); m != NULL; m = m->next)
        rds_managed_put(core, m, m->application);
}

void rds_ports_free(twin *twin)
{
    while (rds_managed_first(twin) != NULL)
        remove_one(twin, rds_managed_first(twin)->device, rds_managed_first(twin)->own);
}

void rds_ports_gone(core *core, uint32_t index, uint64_t configuration)
{
    for (const rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL;) {
        const rds_managed *next = m->next;
        if (m->configuration == configuration)
            rds_managed_gone(core, m->device, m->own);
        m = next;
    }
}

/* ---- told to applications ---- */

/* ManagePortNotification: those of the configuration that are reserved now. */
static void tell_ports(core *core, uint32_t index, uint64_t configuration)
{
    static _Thread_local uint8_t list[RDS_PORTS_MAX * (RDS_APPLICATION_MAX + 16)], fields[sizeof list + NIDD_FIELDS_MAX];
    const twin *twin = twin_at(core, index);
    dro_builder ports = dro_builder_over(list, sizeof list), out = dro_builder_over(fields, sizeof fields);
    uint32_t ignored;
    const nidd_configuration *of = nidd_configuration_find(core, configuration, &ignored);
    if (of == NULL)
        return;
    for (const rds_managed *m = rds_managed_first(twin); m != NULL; m = m->next) {
        uint8_t one[5 + RDS_APPLICATION_MAX] = { m->device, m->own, m->flags, m->formats, m->configured };
        if (m->configuration != configuration || !is_in_force(m))
            continue;
        memcpy(one + 5, m->application, m->length);
        dro_field_put(&ports, API_FIELD_RDS_MANAGED, one, 5u + m->length);
    }
    nidd_identity_put(&out, of);
    dro_field_put(&out, API_FIELD_RESULTS, list, dro_builder_length(&ports));
    notice_put(core, index, of, NOTICE_PORTS, fields, dro_builder_length(&out));
}

/* ---- to the device ---- */

static uint32_t key_of(uint8_t device, uint8_t own)
{
    return rds_control_key(RDS_CONTROL_MANAGE, &(rds_pair){ true, device, own });
}

static void manage_put(core *core, uint32_t index, uint32_t key, bool is_response, const rds_manage *manage)
{
    static _Thread_local uint8_t bytes[1 + RDS_PORTS_MAX * (3 + RDS_APPLICATION_MAX)];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    rds_manage_put(&out, manage);
    rds_frame frame = { .type = RDS_U, .information = bytes, .length = dro_builder_length(&out) };
    frame.fields[RDS_FIELD_C_R] = is_response ? RDS_RESPONSE : RDS_COMMAND;
    frame.fields[RDS_FIELD_M] = RDS_MANAGE_PORT;
    rds_control_put(core, index, key, is_response ? RDS_CONTROL_EXPIRY_S : RDS_PORT_ASK_S, &(rds_pair){ 0 }, &frame);
}

void rds_managed_ask(core *core, uint32_t index, const rds_managed *managed, enum rds_action action)
{
    rds_manage manage = { .action = (uint8_t)action, .count = 1 };
    manage.ports[0] = (rds_port){ managed->own, managed->device, managed->formats, managed->length, managed->application };
    manage_put(core, index, key_of(managed->device, managed->own), false, &manage);
}

void rds_ports_taken(core *core, uint32_t index, const mail *mail)
{
    for (rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL; m = m->next) {
        if (is_in_force(m) || mail->merge_key != key_of(m->device, m->own))
            continue;
        m->tries++;
        m->due_ms = core->now_ms + core->options.reliable_data_timer_s * 1000;
    }
}

int64_t rds_ports_due(const twin *twin)
{
    int64_t due = INT64_MAX;
    for (const rds_managed *m = rds_managed_first(twin); m != NULL; m = m->next)
        due = m->due_ms < due ? m->due_ms : due;
    return due;
}

/* It did not agree in time: it has not been asked, or has not answered. */
static void give_up(core *core, uint32_t index, const rds_managed *managed)
{
    uint64_t configuration = managed->configuration;
    rds_control_gone(core, index, key_of(managed->device, managed->own));
    rds_managed_gone(core, managed->device, managed->own);
    tell_ports(core, index, configuration);
}

void rds_ports_expire(core *core, uint32_t index)
{
    if (rds_ports_due(twin_at(core, index)) > core->now_ms)
        return;
    record_begin(core, index, RECORD_DELTA);
    for (rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL;) {
        rds_managed *next = m->next;
        if (m->due_ms <= core->now_ms && (m->tries == 0 || m->tries > RDS_N200)) {
            give_up(core, index, m);
        } else if (m->due_ms <= core->now_ms) {
            core->counters.rds_retransmissions++;
            m->due_ms = core->now_ms + RDS_PORT_ASK_S * 1000ll;
            rds_managed_ask(core, index, m, RDS_RESERVE);
        }
        m = next;
    }
    record_end(core);
}

/* ---- from the device: `source` is its port ---- */

static void take_answer(core *core, uint32_t index, const rds_manage *manage)
{
    for (int i = 0; i < manage->count && manage->action == RDS_RESERVE; i++) {
        rds_managed *m = rds_managed_find(twin_at(core, index), manage->ports[i].source, manage->ports[i].destination);
        if (m == NULL || is_in_force(m))
            continue;
        uint64_t configuration = m->configuration;
        rds_managed agreed = *m;
        char application[RDS_APPLICATION_MAX];
        if (manage->status != RDS_ACCEPTED) {
            give_up(core, index, m);
            continue;
        }
        rds_control_gone(core, index, key_of(m->device, m->own));
        memcpy(application, m->application, m->length);
        agreed.flags = (uint8_t)(agreed.flags & ~RDS_PORT_ASKED);
        rds_managed_put(core, &agreed, application);
        tell_ports(core, index, configuration);
    }
}

static const nidd_configuration *keeper_of(const twin *twin)
{
    const nidd_configuration *c = twin->nidd->configurations;
    while (c != NULL && (c->status != NIDD_ACTIVE || !c->is_reliable))
        c = c->next;
    return c;
}

/* All of them or none: the device's own, under the oldest configuration. */
static enum rds_status take_reservation(core *core, uint32_t index, const rds_manage *manage)
{
    const twin *twin = twin_at(core, index);
    const nidd_configuration *keeper = keeper_of(twin);
    if (keeper == NULL || manage->count == 0 || count_of(twin) + manage->count > RDS_PORTS_MAX)
        return RDS_REFUSED;
    for (int i = 0; i < manage->count; i++) {
        const rds_managed *old = rds_managed_find(twin, manage->ports[i].source, manage->ports[i].destination);
        rds_pair pair = { true, manage->ports[i].source, manage->ports[i].destination };
        if (rds_port_is_taken(twin, &pair) && (old == NULL || !(old->flags & RDS_PORT_OF_DEVICE))) /* asked for again: it did not hear that it has it */
            return RDS_IN_USE;
    }
    for (int i = 0; i < manage->count; i++) {
        const rds_port *port = &manage->ports[i];
        rds_managed made = { .configuration = keeper->number, .device = port->source, .own = port->destination, .flags = RDS_PORT_OF_DEVICE,
                             .formats = port->formats, .length = port->length };
        rds_managed_put(core, &made, port->application);
    }
    tell_ports(core, index, keeper->number);
    return RDS_ACCEPTED;
}

static enum rds_status take_release(core *core, uint32_t index, const rds_manage *manage)
{
    for (int i = 0; i < manage->count; i++)
        if (rds_managed_find(twin_at(core, index), manage->ports[i].source, manage->ports[i].destination) == NULL)
            return RDS_UNKNOWN;
    for (int i = 0; i < manage->count; i++) {
        const rds_managed *m = rds_managed_find(twin_at(core, index), manage->ports[i].source, manage->ports[i].destination);
        uint64_t configuration = m == NULL ? 0 : m->configuration;
        if (m == NULL) /* named twice */
            continue;
        rds_managed_gone(core, m->device, m->own);
        tell_ports(core, index, configuration);
    }
    return RDS_ACCEPTED;
}

void rds_ports_heard(core *core, uint32_t index, const rds_manage *manage, bool is_response)
{
    rds_manage answer = *manage;
    if (is_response || manage->action == RDS_NOTIFY) {
        if (is_response)
            take_answer(core, index, manage);
        return;
    }
    if (manage->action == RDS_RESERVE)
        answer.status = (uint8_t)take_reservation(core, index, manage);
    else if (manage->action == RDS_RELEASE)
        answer.status = (uint8_t)take_release(core, index, manage);
    else
        answer.count = 0;
    for (int i = 0; i < answer.count; i++) {
        answer.ports[i].source = manage->ports[i].destination;
        answer.ports[i].destination = manage->ports[i].source;
    }
    for (const rds_managed *m = rds_managed_first(twin_at(core, index)); m != NULL && manage->action == RDS_QUERY; m = m->next)
        if (is_in_force(m))
            answer.ports[answer.count++] = (rds_port){ m->own, m->device, m->formats, m->length, m->application };
    manage_put(core, index, rds_control_key(RDS_CONTROL_MANAGED, &(rds_pair){ 0 }), true, &answer);
}
