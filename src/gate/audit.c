#include "gate/audit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fields.h"

enum { REFUSED_STATUS = 401 /* for what has no answer of HTTP */ };

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

void audit_access(const connection *connection, const exchange *exchange, uint16_t status, const char *actor)
{
    http *http = connection->http;
    char source[AUDIT_TEXT], who[AUDIT_TEXT];
    if (!http->config->audit.is_on)
        return;
    audit_address(connection->watch.descriptor, false, source);
    snprintf(who, sizeof who, "application %s", actor != NULL ? actor : "");
    refusals_note(&http->refused->access, http->config->clock, AUDIT_ACCESS_REFUSED, status,
                  &(refusal_words){ actor != NULL ? who : NULL, source, exchange->route < route_count() ? route_at(exchange->route)->name : NULL, NULL });
}

void audit_certificate(const connection *connection)
{
    http *http = connection->http;
    char source[AUDIT_TEXT];
    if (!http->config->audit.is_on || !connection->tls.is_certificate_bad)
        return;
    audit_address(connection->watch.descriptor, false, source);
    refusals_note(&http->refused->certificates, http->config->clock, AUDIT_CERTIFICATE_REFUSED, REFUSED_STATUS,
                  &(refusal_words){ NULL, source, "http", connection->tls.why });
}

void audit_refusals_tell(http *http, int64_t now_ns)
{
    refusals_tell(&http->refused->access, now_ns, &http->config->to_core[0]);
    refusals_tell(&http->refused->certificates, now_ns, &http->config->to_core[0]);
}
