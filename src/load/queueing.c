#include "load/queueing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "ring/message.h"

enum {
    DATA_BYTES = 60,
    REQUEST_BYTES = 256,
    NAME_DIGITS = 16,        /* of a configuration, at the end of its location */
    RETRY_MS = 20,           /* after a request was refused: its twin is not there yet, or too much waits */
};
static const char application[] = "bench"; /* as dromio-bench makes it */

struct queueing {
    load_config config;
    uint64_t *configurations; /* [twins]; 0: not made yet */
    bool *is_asked;          /* [twins] for its configuration */
    uint32_t made, cursor, outstanding;
    uint64_t next, last;     /* downlinks: the next one, and where they end */
    uint64_t *again;         /* [window] those that were refused */
    uint32_t again_count;
    int64_t paused_until_ns;
};

dro_err queueing_new(queueing **out, const load_config *config)
{
    queueing *self = calloc(1, sizeof *self);
    if (self == NULL)
        return DRO_NOMEM;
    self->config = *config;
    self->last = (uint64_t)config->twins * config->packets;
    self->configurations = calloc(config->twins, sizeof *self->configurations);
    self->is_asked = calloc(config->twins, sizeof *self->is_asked);
    self->again = calloc(config->window, sizeof *self->again);
    if (self->configurations == NULL || self->is_asked == NULL || self->again == NULL) {
        queueing_free(self);
        return DRO_NOMEM;
    }
    *out = self;
    return DRO_OK;
}

void queueing_free(queueing *self)
{
    if (self == NULL)
        return;
    free(self->configurations);
    free(self->is_asked);
    free(self->again);
    free(self);
}

/* ---- what is sent; false: the ring is full ---- */

static bool send_request(queueing *self, uint64_t id, uint16_t operation, uint32_t twin, const uint8_t *data)
{
    uint8_t bytes[REQUEST_BYTES];
    char name[64];
    const api_request request = { .operation = operation, .scopes = SCOPE_ADMIN };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    size_t length = (size_t)snprintf(name, sizeof name, "t%07u@bench.example", twin);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_field_put_text(&out, API_FIELD_SCS_AS, application);
    dro_field_put(&out, API_FIELD_ID, name, length);
    if (data == NULL)
        dro_field_put_text(&out, API_FIELD_DESTINATION, "http://192.0.2.1/"); /* nobody listens there */
    else
        dro_field_put(&out, API_FIELD_DATA, data, DATA_BYTES);
    if (data != NULL)
        dro_field_put_u64(&out, API_FIELD_CONFIGURATION, self->configurations[twin]);
    const load_config *config = &self->config;
    uint32_t core = config->core_count == 1 ? 0 : directory_route(config->directory, DIRECTORY_ID, name, length);
    return ring_send(&config->to_core[core], MESSAGE_API, 0, id, bytes, (uint32_t)dro_builder_length(&out));
}

static bool send_downlink(queueing *self, uint64_t number)
{
    uint8_t data[DATA_BYTES] = { 0 };
    uint32_t label[2] = { (uint32_t)(number % self->config.twins), (uint32_t)(number / self->config.twins) };
    memcpy(data, label, sizeof label);
    return send_request(self, self->config.twins + number, API_NIDD_DELIVERY_MAKE, label[0], data);
}

static uint32_t configure_more(queueing *self)
{
    uint32_t sent = 0;
    for (; self->cursor < self->config.twins && self->outstanding + sent < self->config.window; self->cursor++) {
        if (self->is_asked[self->cursor])
            continue;
        if (!send_request(self, self->cursor, API_NIDD_CONFIGURATION_MAKE, self->cursor, NULL))
            break;
        self->is_asked[self->cursor] = true;
        sent++;
    }
    return sent;
}

static uint32_t queue_more(queueing *self)
{
    uint32_t sent = 0;
    for (; self->outstanding + sent < self->config.window; sent++) {
        bool is_again = self->again_count > 0;
        if (!is_again && self->next == self->last)
            break;
        if (!send_downlink(self, is_again ? self->again[self->again_count - 1] : self->next))
            break;
        self->again_count -= is_again;
        self->next += !is_again;
    }
    return sent;
}

/* ---- what comes back ---- */

static void on_configuration(queueing *self, uint32_t twin, uint16_t status, const char *location, size_t length)
{
    char digits[NAME_DIGITS + 1] = { 0 };
    if (status == 201 && length >= NAME_DIGITS)
        memcpy(digits, location + length - NAME_DIGITS, NAME_DIGITS);
    self->configurations[twin] = strtoull(digits, NULL, 16);
    if (self->configurations[twin] != 0) {
        if (++self->made == self->config.twins)
            dro_info("all twins=%u have a configuration, downlinks begin", self->made);
        return;
    }
    self->is_asked[twin] = false;
    self->cursor = twin < self->cursor ? twin : self->cursor;
}

static void on_reply(queueing *self, uint64_t id, const uint8_t *body, size_t length)
{
    api_reply reply;
    if (length < sizeof reply)
        return;
    memcpy(&reply, body, sizeof reply);
    if (reply.location_length > length - sizeof reply || self->outstanding == 0 || id >= self->config.twins + self->last)
        return;
    self->outstanding--;
    if (reply.status != 201)
        self->paused_until_ns = self->config.clock->monotonic_ns(self->config.clock) + RETRY_MS * 1000000ll;
    if (id < self->config.twins)
        on_configuration(self, (uint32_t)id, reply.status, (const char *)body + sizeof reply, reply.location_length);
    else if (reply.status != 201)
        self->again[self->again_count++] = id - self->config.twins; /* no more than were outstanding */
}

static int take_replies(queueing *self, ring_reader *ring)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    int count = 0;
    while ((body = ring_next(ring, &header, &err)) != NULL) {
        if (header.type == MESSAGE_API_REPLY && header.length >= sizeof header)
            on_reply(self, header.id, body, header.length - sizeof header);
        ring_done(ring, &header);
        count++;
    }
    ring_release(ring);
    return err == DRO_OK ? count : -1;
}

static bool is_paused(const queueing *self)
{
    return self->paused_until_ns != 0 && self->config.clock->monotonic_ns(self->config.clock) < self->paused_until_ns;
}

int queueing_round(queueing *self)
{
    int taken = 0;
    for (uint32_t i = 0; i < self->config.core_count; i++) {
        int of_core = take_replies(self, &self->config.from_core[i]);
        if (of_core < 0)
            return -1;
        taken += of_core;
    }
    if (is_paused(self))
        return taken;
    uint32_t sent = self->made < self->config.twins ? configure_more(self) : queue_more(self);
    self->outstanding += sent;
    for (uint32_t i = 0; i < self->config.core_count; i++)
        ring_publish(&self->config.to_core[i]);
    return taken + (int)sent;
}
