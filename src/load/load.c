#include "load/load.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "load/queueing.h"
#include "ring/message.h"

enum {
    BEARER = 5,
    RETRY_MS = 20,           /* after a twin was refused: it is not provisioned yet */
    ROUNDS_BETWEEN_STOP = 64,
    TEMPERATURES = 64,       /* values a reading takes, from 20.00 degC on */
    RESULT_SUCCESS = 2001,
};

static const char origin_host[] = "load.dromio.test", origin_realm[] = "load.test";
enum { HOST_LENGTH = sizeof origin_host - 1, REALM_LENGTH = sizeof origin_realm - 1 };

struct load {
    load_config config;
    dro_random_seeded random;
    uint8_t *sequence;       /* [twins] of the next reading */
    bool *is_asked;          /* [twins] attached, or asked to be */
    uint32_t attached, cursor, outstanding, end_to_end;
    int64_t paused_until_ns, warned_ns;
    bool is_attaching;
    queueing *queueing;      /* NULL: it sends readings */
};

dro_err load_new(load **out, const load_config *config)
{
    assert(config->twins > 0 && config->twins <= LOAD_TWINS_MAX && config->window > 0 && config->window <= LOAD_WINDOW_MAX);
    load *self = calloc(1, sizeof *self);
    if (self == NULL)
        return DRO_NOMEM;
    self->config = *config;
    self->is_attaching = true;
    self->sequence = calloc(config->twins, sizeof *self->sequence);
    self->is_asked = calloc(config->twins, sizeof *self->is_asked);
    if (self->sequence == NULL || self->is_asked == NULL) {
        load_free(self);
        return DRO_NOMEM;
    }
    dro_err err = config->packets > 0 ? queueing_new(&self->queueing, config) : DRO_OK;
    if (err != DRO_OK) {
        load_free(self);
        return err;
    }
    dro_random_seeded_init(&self->random, config->seed);
    self->end_to_end = (uint32_t)dro_random_next(&self->random);
    *out = self;
    return DRO_OK;
}

void load_free(load *self)
{
    if (self == NULL)
        return;
    queueing_free(self->queueing);
    free(self->sequence);
    free(self->is_asked);
    free(self);
}

static network_user user_of(uint32_t twin)
{
    network_user user = { .bearer_length = 1, .bearer = { BEARER } };
    uint64_t number = LOAD_IMSI_FIRST + twin;
    for (int i = IMSI_DIGITS_MAX - 1; i >= 0; i--, number /= 10)
        user.imsi[i] = (char)('0' + number % 10);
    return user;
}

static ring_writer *ring_of(const load *self, const network_user *user)
{
    const load_config *config = &self->config;
    return &config->to_core[config->core_count == 1 ? 0 : directory_route(config->directory, DIRECTORY_IMSI, user->imsi, IMSI_DIGITS_MAX)];
}

/* ---- what is sent; false: the ring is full ---- */

static bool attach(load *self, uint32_t twin)
{
    connection_request request = { .user = user_of(twin), .end_to_end = self->end_to_end++, .host_length = HOST_LENGTH,
                                   .realm_length = REALM_LENGTH, .uplink_rate = UINT32_MAX, .downlink_rate = UINT32_MAX,
                                   .rat_type = UINT32_MAX };
    ring_writer *ring = ring_of(self, &request.user);
    uint8_t *room = ring_reserve(ring, sizeof request + HOST_LENGTH + REALM_LENGTH);
    if (room == NULL)
        return false;
    memcpy(room, &request, sizeof request);
    memcpy(room + sizeof request, origin_host, HOST_LENGTH);
    memcpy(room + sizeof request + HOST_LENGTH, origin_realm, REALM_LENGTH);
    ring_commit(ring, MESSAGE_CONNECTION, RING_WIPE, twin, sizeof request + HOST_LENGTH + REALM_LENGTH);
    self->is_asked[twin] = true;
    return true;
}

static void put_reading(uint8_t frame[LOAD_FRAME_BYTES], uint8_t sequence, uint32_t twin)
{
    enum { KIND = 1, HUMIDITY = 90, BATTERY = 3600 };
    uint16_t temperature = (uint16_t)(2000 + (sequence * 7u + twin) % TEMPERATURES);
    const uint8_t bytes[LOAD_FRAME_BYTES - 1] = { KIND, sequence, (uint8_t)(temperature >> 8), (uint8_t)temperature,
                                                  HUMIDITY, BATTERY >> 8, BATTERY & 0xff };
    frame[LOAD_FRAME_BYTES - 1] = 0;
    for (int i = 0; i < LOAD_FRAME_BYTES - 1; i++) {
        frame[i] = bytes[i];
        frame[LOAD_FRAME_BYTES - 1] ^= bytes[i];
    }
}

static bool send_reading(load *self)
{
    enum { LENGTH = sizeof(uplink_request) + HOST_LENGTH + REALM_LENGTH + LOAD_FRAME_BYTES };
    uint32_t twin = (uint32_t)((dro_random_next(&self->random) >> 32) * self->config.twins >> 32);
    uplink_request request = { .user = user_of(twin), .end_to_end = self->end_to_end++, .host_length = HOST_LENGTH,
                               .realm_length = REALM_LENGTH, .data_length = LOAD_FRAME_BYTES };
    ring_writer *ring = ring_of(self, &request.user);
    uint8_t *room = ring_reserve(ring, LENGTH);
    if (room == NULL)
        return false;
    memcpy(room, &request, sizeof request);
    memcpy(room + sizeof request, origin_host, HOST_LENGTH);
    memcpy(room + sizeof request + HOST_LENGTH, origin_realm, REALM_LENGTH);
    put_reading(room + sizeof request + HOST_LENGTH + REALM_LENGTH, self->sequence[twin]++, twin);
    ring_commit(ring, MESSAGE_UPLINK, RING_WIPE, twin, LENGTH);
    return true;
}

static uint32_t attach_more(load *self)
{
    uint32_t sent = 0;
    for (; self->cursor < self->config.twins && self->outstanding + sent < self->config.window; self->cursor++) {
        if (self->is_asked[self->cursor])
            continue;
        if (!attach(self, self->cursor))
            break;
        sent++;
    }
    return sent;
}

static uint32_t drive_more(load *self)
{
    uint32_t sent = 0;
    while (self->outstanding + sent < self->config.window && send_reading(self))
        sent++;
    return sent;
}

/* ---- what comes back ---- */

static void on_refused(load *self, const network_answer *answer)
{
    enum { WARN_NS = 1000000000 };
    int64_t now_ns = self->config.clock->monotonic_ns(self->config.clock);
    self->paused_until_ns = now_ns + RETRY_MS * 1000000ll;
    if (self->is_attaching || now_ns - self->warned_ns < WARN_NS)
        return;
    self->warned_ns = now_ns;
    dro_warn("a reading was refused with %u", answer->result != 0 ? answer->result : answer->experimental);
}

static void on_answer(load *self, uint64_t id, const network_answer *answer)
{
    bool is_fine = answer->result == RESULT_SUCCESS;
    if (self->outstanding > 0)
        self->outstanding--;
    if (!is_fine)
        on_refused(self, answer);
    if (!self->is_attaching || id >= self->config.twins)
        return;
    self->attached += is_fine;
    if (is_fine)
        return;
    self->is_asked[id] = false;
    if (id < self->cursor)
        self->cursor = (uint32_t)id;
}

static int take_answers(load *self, ring_reader *ring)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    int count = 0;
    while ((body = ring_next(ring, &header, &err)) != NULL) {
        network_answer answer;
        if (header.type == MESSAGE_NETWORK_ANSWER && header.length >= sizeof header + sizeof answer) {
            memcpy(&answer, body, sizeof answer);
            on_answer(self, header.id, &answer);
        }
        ring_done(ring, &header);
        count++;
    }
    ring_release(ring);
    return err == DRO_OK ? count : -1;
}

static bool is_paused(const load *self)
{
    return self->paused_until_ns != 0 && self->config.clock->monotonic_ns(self->config.clock) < self->paused_until_ns;
}

int load_round(load *self)
{
    int taken = 0;
    if (self->queueing != NULL)
        return queueing_round(self->queueing);
    for (uint32_t i = 0; i < self->config.core_count; i++) {
        int of_core = take_answers(self, &self->config.from_core[i]);
        if (of_core < 0)
            return -1;
        taken += of_core;
    }
    if (self->is_attaching && self->attached == self->config.twins) {
        self->is_attaching = false;
        dro_info("all twins=%u are attached, readings begin", self->attached);
    }
    if (is_paused(self))
        return taken;
    uint32_t sent = self->is_attaching ? attach_more(self) : drive_more(self);
    self->outstanding += sent;
    for (uint32_t i = 0; i < self->config.core_count; i++)
        ring_publish(&self->config.to_core[i]);
    return taken + (int)sent;
}

static void wait_for_answers(load *self)
{
    uint64_t count;
    bool is_there = false;
    for (uint32_t i = 0; i < self->config.core_count; i++)
        is_there |= ring_prepare_sleep(&self->config.from_core[i]);
    struct pollfd on = { self->config.doorbell, POLLIN, 0 };
    if (!is_there && poll(&on, 1, RETRY_MS) > 0 && read(self->config.doorbell, &count, sizeof count) < 0)
        dro_debug("bell: %m");
    for (uint32_t i = 0; i < self->config.core_count; i++)
        ring_awake(&self->config.from_core[i]);
}

static bool is_asked_to_stop(int stop)
{
    struct pollfd on = { stop, POLLIN, 0 };
    return poll(&on, 1, 0) > 0;
}

int load_run(const load_config *config, int stop)
{
    load *self;
    uint64_t one = 1;
    int worked = 0;
    if (load_new(&self, config) != DRO_OK)
        return 1;
    dro_warn("bench.load: this host makes its own load: twins=%u window=%u", config->twins, config->window);
    if (config->ready > 0 && write(config->ready, &one, sizeof one) < 0)
        dro_warn("ready: %m");
    for (unsigned round = 0; worked >= 0; round++) {
        if ((worked == 0 || round % ROUNDS_BETWEEN_STOP == 0) && is_asked_to_stop(stop))
            break;
        worked = load_round(self);
        if (worked == 0)
            wait_for_answers(self);
    }
    load_free(self);
    return worked < 0 ? 1 : 0;
}
