#include "gate/tracer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/wipe.h"
#include "gate/home.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"

typedef struct open_request {
    uint64_t connection;
    uint32_t hop_by_hop, end_to_end;
    bool is_used, is_out;
} open_request;

typedef struct row {
    uint64_t trace;
    uint32_t core, lost, next_open;
    bool is_peer;
    char imsi[16], msisdn[16], text[DIAMETER_IDENTITY_MAX + 1]; /* text: the peer, or the device's External Identifier */
    open_request open[TRACER_OPEN_MAX]; /* of a device's trace; the oldest makes room */
} row;

struct tracer {
    uint32_t count;           /* rows */
    const gate_config *config;
    row *rows[TRACER_ROWS_MAX];
    diameter_message message; /* read apart from the one that is handled */
};

tracer *tracer_new(const gate_config *config)
{
    tracer *made = calloc(1, sizeof *made);
    if (made != NULL)
        made->config = config;
    return made;
}

bool tracer_is_on(const tracer *tracer)
{
    return tracer->count > 0;
}

static void drop(tracer *tracer, uint32_t index)
{
    dro_wipe(tracer->rows[index], sizeof *tracer->rows[index]);
    free(tracer->rows[index]);
    tracer->rows[index] = tracer->rows[--tracer->count];
}

void tracer_free(tracer *tracer)
{
    while (tracer != NULL && tracer->count > 0)
        drop(tracer, 0);
    free(tracer);
}

void tracer_on_trace(tracer *tracer, uint64_t id, const void *body, uint32_t length)
{
    trace_request request;
    uint32_t at = 0;
    if (length < sizeof request)
        return;
    memcpy(&request, body, sizeof request);
    while (at < tracer->count && tracer->rows[at]->trace != id)
        at++;
    if (!request.is_on || request.text_length > length - sizeof request || request.text_length > DIAMETER_IDENTITY_MAX ||
        request.core >= tracer->config->core_count) {
        if (at < tracer->count)
            drop(tracer, at);
    } else if (at < TRACER_ROWS_MAX) {
        row *made = at < tracer->count ? tracer->rows[at] : calloc(1, sizeof *made);
        if (made != NULL) {
            tracer->rows[at] = made;
            tracer->count += at == tracer->count;
            made->trace = id;
            made->core = request.core;
            made->is_peer = request.is_peer;
            memcpy(made->imsi, request.imsi, sizeof made->imsi - 1);
            memcpy(made->msisdn, request.msisdn, sizeof made->msisdn - 1);
            memcpy(made->text, (const char *)body + sizeof request, request.text_length);
            made->text[request.text_length] = '\0';
        }
    }
    dro_wipe(&request, sizeof request);
}

void tracer_on_traced(tracer *tracer, const void *body, uint32_t length)
{
    traced told;
    if (length < sizeof told)
        return;
    memcpy(&told, body, sizeof told);
    if (told.core >= tracer->config->core_count || ring_send(&tracer->config->to_core[told.core], MESSAGE_TRACED, 0, told.trace, body, length))
        return;
    for (uint32_t i = 0; i < tracer->count; i++)
        if (tracer->rows[i]->trace == told.trace)
            tracer->rows[i]->lost++;
}

/* ---- messages ---- */

/* The group that names the device: User-Identifier, or Tsp's own. */
static const diameter_avp *device_of(const diameter_message *message)
{
    static const diameter_name names[] = { AVP_USER_IDENTIFIER, AVP_DEVICE_ACTION, AVP_DEVICE_NOTIFICATION };
    const diameter_avp *group = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && group == NULL; i++)
        group = diameter_find(message, names[i]);
    return group;
}

/* User-Name, in User-Identifier (T6a, S6t) or by itself; "" where there is none that could be an IMSI. */
static void imsi_of(const diameter_message *message, char out[16])
{
    const diameter_avp *group = diameter_find(message, AVP_USER_IDENTIFIER);
    const diameter_avp *name = group != NULL ? diameter_find_in(message, group, AVP_USER_NAME) : diameter_find(message, AVP_USER_NAME);
    memset(out, 0, 16);
    for (uint32_t i = 0; name != NULL && name->length <= IMSI_DIGITS_MAX && i < name->length; i++) {
        if (name->data[i] < '0' || name->data[i] > '9') {
            memset(out, 0, 16);
            return;
        }
        out[i] = (char)name->data[i];
    }
}

/* MSISDN, as S6t and Tsp may name devices; "": none. */
static void msisdn_of(const diameter_message *message, char out[16])
{
    const diameter_avp *group = device_of(message);
    const diameter_avp *number = group != NULL ? diameter_find_in(message, group, AVP_MSISDN) : NULL;
    _Static_assert((int)DIAMETER_DIGITS_MAX < 16, "room for the digits");
    memset(out, 0, 16);
    if (number != NULL && !diameter_tbcd(number, out))
        memset(out, 0, 16);
}

/* External-Identifier, as S6t and Tsp name devices; "": none. */
static void external_of(const diameter_message *message, char out[DIAMETER_IDENTITY_MAX + 1])
{
    const diameter_avp *group = device_of(message);
    const diameter_avp *name = group != NULL ? diameter_find_in(message, group, AVP_EXTERNAL_IDENTIFIER) : NULL;
    uint32_t length = name != NULL && name->length <= DIAMETER_IDENTITY_MAX ? name->length : 0;
    if (length > 0)
        memcpy(out, name->data, length);
    out[length] = '\0';
}

static bool is_open_request(row *by, uint64_t connection, const diameter_header *header, bool is_out)
{
    for (uint32_t i = 0; i < TRACER_OPEN_MAX; i++) {
        open_request *open = &by->open[i];
        if (!open->is_used || open->connection != connection || open->is_out != is_out || open->hop_by_hop != header->hop_by_hop ||
            open->end_to_end != header->end_to_end)
            continue;
        open->is_used = false;
        return true;
    }
    return false;
}

/* Does the row want this message? */
static bool is_wanted(row *by, const diameter_header *header, const char *peer, const traced *seen, const char *external,
                      uint64_t connection)
{
    bool is_out = seen->is_out;
    if (by->is_peer)
        return strcmp(by->text, "*") == 0 || strcasecmp(by->text, peer) == 0;
    if ((header->flags & DIAMETER_FLAG_REQUEST) == 0)
        return is_open_request(by, connection, header, !is_out);
    bool is_it = (seen->imsi[0] != '\0' && strcmp(seen->imsi, by->imsi) == 0) || (seen->msisdn[0] != '\0' && strcmp(seen->msisdn, by->msisdn) == 0) ||
                 (external[0] != '\0' && strcasecmp(external, by->text) == 0);
    if (!is_it)
        return false;
    by->open[by->next_open++ % TRACER_OPEN_MAX] = (open_request){ connection, header->hop_by_hop, header->end_to_end, true, is_out };
    return true;
}

static void command_text(const diameter_header *header, char out[TRACED_COMMAND_TEXT])
{
    bool is_request = (header->flags & DIAMETER_FLAG_REQUEST) != 0;
    const diameter_command *command = diameter_command_find(header->code, header->application, is_request);
    memset(out, 0, TRACED_COMMAND_TEXT);
    if (command != NULL)
        snprintf(out, TRACED_COMMAND_TEXT, "%s", command->abbreviation);
    else
        snprintf(out, TRACED_COMMAND_TEXT, "%u", header->code);
}

/* To the core that knows the device, which passes it on to the trace's where that is another. */
static void tell(const tracer *tracer, row *by, const traced *seen, const char *peer, const char *device)
{
    uint8_t message[sizeof *seen + 2 * DIAMETER_IDENTITY_MAX];
    traced told = *seen;
    told.trace = by->trace;
    told.core = by->core;
    told.lost = by->lost;
    uint32_t core = by->core;
    if (told.imsi[0] != '\0')
        core = home_of(tracer->config, DIRECTORY_IMSI, told.imsi, strlen(told.imsi));
    else if (told.msisdn[0] != '\0')
        core = home_of(tracer->config, DIRECTORY_MSISDN, told.msisdn, strlen(told.msisdn));
    memcpy(message, &told, sizeof told);
    memcpy(message + sizeof told, peer, told.peer_length);
    memcpy(message + sizeof told + told.peer_length, device, told.device_length);
    if (ring_send(&tracer->config->to_core[core], MESSAGE_TRACED, RING_WIPE, by->trace, message,
                  (uint32_t)sizeof told + told.peer_length + told.device_length))
        by->lost = 0;
    else
        by->lost++;
    dro_wipe(message, sizeof told);
    dro_wipe(&told, sizeof told);
}

void tracer_message(tracer *tracer, const char *peer, uint64_t connection, bool is_out, const uint8_t *bytes, size_t length)
{
    char origin[DIAMETER_IDENTITY_MAX + 1] = "", external[DIAMETER_IDENTITY_MAX + 1];
    diameter_fault ignored;
    diameter_read(&tracer->message, bytes, length, &ignored); /* what can be read of it */
    const diameter_header *header = &tracer->message.header;
    const diameter_avp *host = diameter_find(&tracer->message, AVP_ORIGIN_HOST);
    if (peer == NULL && !is_out && host != NULL && diameter_identity_valid(host->data, host->length))
        memcpy(origin, host->data, host->length);
    if (peer == NULL)
        peer = origin;
    traced seen = { .time_ms = tracer->config->clock->wall_ms(tracer->config->clock), .hop_by_hop = header->hop_by_hop,
                    .end_to_end = header->end_to_end, .bytes = (uint32_t)length, .is_out = is_out,
                    .is_request = (header->flags & DIAMETER_FLAG_REQUEST) != 0, .peer_length = (uint16_t)strlen(peer) };
    uint32_t result = 0, experimental = 0;
    if (!seen.is_request)
        diameter_result_of(&tracer->message, &result, &experimental);
    seen.result = result != 0 ? result : experimental;
    command_text(header, seen.command);
    imsi_of(&tracer->message, seen.imsi);
    msisdn_of(&tracer->message, seen.msisdn);
    external_of(&tracer->message, external);
    seen.device_length = (uint16_t)strlen(external);
    for (uint32_t i = 0; i < tracer->count; i++)
        if (is_wanted(tracer->rows[i], header, peer, &seen, external, connection))
            tell(tracer, tracer->rows[i], &seen, peer, external);
    dro_wipe(&seen, sizeof seen);
}
