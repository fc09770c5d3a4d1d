#include "gate/audit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fields.h"

static bool is_told_of(const gate_config *config, uint32_t act)
{
    switch (audit_class_of(act)) {
    case AUDIT_CLASS_TWINS: return config->audit.has_twins;
    case AUDIT_CLASS_T8: return config->audit.has_t8;
    case AUDIT_CLASS_COMMANDS: return config->audit.has_commands;
    default: return true;
    }
}

void audit_address(int descriptor, bool has_port, char out[AUDIT_TEXT])
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *ip4 = (const struct sockaddr_in *)(const void *)&address;
    const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)(const void *)&address;
    out[0] = '\0';
    if (getpeername(descriptor, (struct sockaddr *)&address, &size) != 0)
        return;
    bool is_ip6 = address.ss_family == AF_INET6;
    if (inet_ntop(address.ss_family, is_ip6 ? (const void *)&ip6->sin6_addr : (const void *)&ip4->sin_addr, text, sizeof text) == NULL)
        return;
    if (has_port)
        snprintf(out, AUDIT_TEXT, is_ip6 ? "[%s]:%u" : "%s:%u", text, ntohs(is_ip6 ? ip6->sin6_port : ip4->sin_port));
    else
        snprintf(out, AUDIT_TEXT, "%s", text);
}

void audit_put(const connection *connection, const exchange *exchange, const route *route, dro_builder *out)
{
    const http *http = connection->http;
    uint8_t field[2 + 8 + AUDIT_TEXT];
    char source[AUDIT_TEXT];
    if (!http->config->audit.is_on || route->act == AUDIT_NONE || !is_told_of(http->config, route->act))
        return;
    dro_builder inner = dro_builder_over(field, sizeof field);
    audit_address(connection->watch.descriptor, true, source);
    dro_builder_le(&inner, route->act, 2);
    dro_builder_le(&inner, (uint64_t)http->config->index << 60 | (exchange_id(http, exchange, 0) & UINT64_MAX >> 4), 8);
    dro_builder_text(&inner, source);
    dro_field_put(out, API_FIELD_AUDIT, field, dro_builder_length(&inner));
}

/* ---- refusals ---- */

static void text_keep(char to[AUDIT_TEXT], const char *from)
{
    snprintf(to, AUDIT_TEXT, "%s", from != NULL ? from : "");
}

static bool is_same(const char *kept, const char *text)
{
    return strncmp(kept, text != NULL ? text : "", AUDIT_TEXT - 1) == 0;
}

void audit_refused(audit_refusals *here, dro_clock *clock, enum audit_act act, uint16_t status, const char *actor, const char *source, const char *object)
{
    audit_refusal *of = here->list;
    uint32_t i = 0;
    for (; i < here->count && i < AUDIT_REFUSALS_KEPT; i++, of++)
        if (of->act == act && of->status == status && is_same(of->actor, actor) && is_same(of->source, source) && is_same(of->object, object))
            break;
    if (here->due_ns == 0)
        here->due_ns = clock->monotonic_ns(clock) + AUDIT_REFUSALS_MS * 1000000ll;
    if (i == here->count || (i == AUDIT_REFUSALS_KEPT && here->list[i].count == 0)) { /* the first of its kind */
        bool is_rest = i == AUDIT_REFUSALS_KEPT;
        *of = (audit_refusal){ .act = (uint16_t)act, .status = is_rest ? 0 : status, .first_ms = clock->wall_ms(clock) };
        text_keep(of->actor, is_rest ? NULL : actor);
        text_keep(of->source, is_rest ? "others" : source);
        text_keep(of->object, is_rest ? NULL : object);
        here->count = i + 1;
    }
    of->count++;
}

void audit_access(const connection *connection, const exchange *exchange, uint16_t status, const char *actor)
{
    http *http = connection->http;
    char source[AUDIT_TEXT], who[AUDIT_TEXT];
    if (!http->config->audit.is_on)
        return;
    audit_address(connection->watch.descriptor, false, source);
    snprintf(who, sizeof who, "application %s", actor != NULL ? actor : "");
    audit_refused(http->refusals, http->config->clock, AUDIT_ACCESS_REFUSED, status, actor != NULL ? who : NULL, source,
                  exchange->route < route_count() ? route_at(exchange->route)->name : NULL);
}

static void put(dro_builder *out, uint8_t tag, const char *text)
{
    if (text[0] != '\0')
        dro_field_put_text(out, tag, text);
}

static bool refusal_tell(const audit_refusal *of, ring_writer *core)
{
    uint8_t bytes[4 * AUDIT_TEXT + 64];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, of->act, 2);
    put(&out, AUDIT_ACTOR, of->actor);
    put(&out, AUDIT_SOURCE, of->source);
    put(&out, AUDIT_OBJECT, of->object);
    if (of->status != 0)
        dro_field_put(&out, AUDIT_STATUS, &of->status, sizeof of->status);
    dro_field_put_u64(&out, AUDIT_COUNT, of->count);
    dro_field_put_u64(&out, AUDIT_FIRST, (uint64_t)of->first_ms);
    dro_field_pad(&out);
    return ring_send(core, MESSAGE_AUDIT, 0, 0, bytes, (uint32_t)dro_builder_length(&out));
}

void audit_refusals_tell(audit_refusals *here, int64_t now_ns, ring_writer *core)
{
    if (here->due_ns == 0 || now_ns < here->due_ns)
        return;
    while (here->count > 0 && refusal_tell(&here->list[here->count - 1], core))
        here->list[--here->count] = (audit_refusal){ 0 };
    ring_publish(core);
    if (here->count == 0) /* else the ring was full: with the next turn */
        here->due_ns = 0;
}
