#include "gate/gate.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "gate/publisher.h"
#include "gate/certificates.h"
#include "gate/courier.h"
#include "gate/diameter.h"
#include "gate/http.h"
#include "gate/loop.h"
#include "gate/websocket.h"

enum { NS_PER_MS = 1000000, STOP_TURN_MS = 20 };

struct gate_room {
    gate_config config;
    loop *loop;
    http *http;
    diameter_gate *diameter;
    courier *courier;
    publisher *capif;
    certificates certificates;
    loop_watch doorbell, stop;
    bool is_stopping, is_broken, is_ready_told;
    bool was_busy, is_blocked; /* blocked: a ring is full */
    int64_t stop_by_ns;
};
typedef struct gate_room gate;

static void on_doorbell(loop_watch *watch, uint32_t events)
{
    uint64_t rung;
    (void)events;
    ssize_t ignored = read(watch->descriptor, &rung, sizeof rung); /* only to silence it: the rings say what is there */
    (void)ignored;
}

static void on_stop(loop_watch *watch, uint32_t events)
{
    gate *home = (gate *)(void *)((char *)watch - offsetof(gate, stop));
    (void)events;
    loop_remove(home->loop, watch);
    home->is_stopping = true;
    home->stop_by_ns = loop_now_ns(home->loop) + (int64_t)HTTP_STOP_MS * NS_PER_MS;
}

/* What the core function calls us as exposing function. */
static void on_aef(void *context, const char *aef)
{
    gate *home = context;
    http_set_aef(home->http, aef);
}

static void more_metrics(void *context, dro_builder *out)
{
    gate *home = context;
    diameter_gate_metrics(home->diameter, out);
    tls_metrics(home->certificates.contexts, out);
    courier_metrics(home->courier, out);
    publisher_metrics(home->capif, out);
}

static void on_core_message(gate *home, uint32_t core, const ring_header *header, const uint8_t *body)
{
    uint32_t length = header->length - (uint32_t)sizeof *header;
    switch (header->type) {
    case MESSAGE_NETWORK_ANSWER: diameter_gate_on_answer(home->diameter, header->id, body, length); break;
    case MESSAGE_DOWNLINK: diameter_gate_on_downlink(home->diameter, core, header->id, body, length); break;
    case MESSAGE_RELEASE: diameter_gate_on_release(home->diameter, body, length); break;
    case MESSAGE_REPORT_ANSWER: diameter_gate_on_report_answer(home->diameter, header->id, body, length); break;
    case MESSAGE_INQUIRY: diameter_gate_on_inquiry(home->diameter, core, header->id, body, length); break;
    case MESSAGE_WEBSOCKET_REPLACED: websocket_replaced(home->http, header->id); break;
    case MESSAGE_TRACE: diameter_gate_on_trace(home->diameter, header->id, body, length); break;
    case MESSAGE_TRACED: diameter_gate_on_traced(home->diameter, body, length); break;
    case MESSAGE_CAPIF: publisher_on_state(home->capif, body, length); break;
    case MESSAGE_NOTICE: courier_on_notice(home->courier, core, header->id, body, length); break;
    default: http_on_message(home->http, core, header->type, header->id, body, length); break;
    }
}

/* At most so many per turn, that sockets get theirs too. True: there was something. */
static bool drain(gate *home, ring_reader *reader, uint32_t from)
{
    ring_header header;
    dro_err err = DRO_OK;
    uint32_t count = 0;
    while (count < HTTP_RING_MESSAGES_MAX) {
        const uint8_t *body = ring_next(reader, &header, &err);
        if (body == NULL)
            break;
        if (from == HTTP_DESK)
            http_on_message(home->http, from, header.type, header.id, body, header.length - (uint32_t)sizeof header);
        else
            on_core_message(home, from, &header, body);
        ring_done(reader, &header);
        count++;
    }
    if (err != DRO_OK) {
        dro_error("ring_broken from=%s", from == HTTP_DESK ? "desk" : "core");
        home->is_broken = true;
    }
    ring_release(reader);
    return count > 0;
}

static bool drain_all(gate *home)
{
    bool was_any = false;
    for (uint32_t i = 0; i < home->config.core_count; i++)
        was_any |= drain(home, &home->config.from_core[i], i);
    if (home->config.from_desk != NULL)
        was_any |= drain(home, home->config.from_desk, HTTP_DESK);
    return was_any;
}

static void publish_all(gate *home)
{
    for (uint32_t i = 0; i < home->config.core_count; i++)
        ring_publish(&home->config.to_core[i]);
    if (home->config.to_desk != NULL)
        ring_publish(home->config.to_desk);
}

/* True: something came meanwhile, do not sleep. */
static bool prepare_sleep(gate *home)
{
    bool is_there = false;
    for (uint32_t i = 0; i < home->config.core_count; i++)
        is_there |= ring_prepare_sleep(&home->config.from_core[i]);
    if (home->config.from_desk != NULL)
        is_there |= ring_prepare_sleep(home->config.from_desk);
    return is_there;
}

static void awake(gate *home)
{
    for (uint32_t i = 0; i < home->config.core_count; i++)
        ring_awake(&home->config.from_core[i]);
    if (home->config.from_desk != NULL)
        ring_awake(home->config.from_desk);
}

static int wait_ms(gate *home, bool was_busy)
{
    int wait = was_busy ? 0 : http_wait_ms(home->http);
    if (home->is_stopping && (wait < 0 || wait > STOP_TURN_MS))
        wait = STOP_TURN_MS;
    if (wait != 0 && prepare_sleep(home))
        wait = 0;
    return wait;
}

/* Asks both sides to end; true when they have, or when time is up. */
static bool is_stopped(gate *home)
{
    if (!home->is_stopping)
        return false;
    bool http_is_done = http_stop(home->http);
    bool diameter_is_done = diameter_gate_stop(home->diameter);
    return (http_is_done && diameter_is_done) || loop_now_ns(home->loop) >= home->stop_by_ns;
}

/* With the first tokens of the core. */
static void tell_ready(gate *home)
{
    uint64_t one = 1;
    if (home->is_ready_told || !http_is_ready(home->http))
        return;
    home->is_ready_told = true;
    if (home->config.ready > 0 && write(home->config.ready, &one, sizeof one) < 0)
        dro_warn("ready_not_told");
}

bool gate_room_step(gate_room *home, int wait_ms_max)
{
    int wait = home->is_blocked && !home->was_busy ? 1 : wait_ms(home, home->was_busy);
    loop_wait(home->loop, wait_ms_max >= 0 && (wait < 0 || wait > wait_ms_max) ? wait_ms_max : wait);
    awake(home);
    /* First what the cores said: a token whose making or end another gate has told is known here too
     * before a request that comes with it. */
    home->was_busy = drain_all(home);
    loop_dispatch(home->loop);
    http_turn(home->http);
    home->is_blocked = courier_flush(home->courier);
    publisher_flush(home->capif);
    tell_ready(home);
    diameter_gate_flush(home->diameter);
    bool is_done = is_stopped(home);
    publish_all(home);
    return !is_done && !home->is_broken;
}

static dro_err parts_new(gate *home)
{
    const gate_config *config = &home->config;
    dro_err err = certificates_init(&home->certificates, config, home->loop);
    home->config.trusted = &home->certificates.issuers;
    memcpy(home->config.tls, home->certificates.contexts, sizeof home->config.tls);
    courier_options courier = { .root = config->t8_root, .allow = config->t8_allow_callbacks, .to_core = config->to_core };
    if (err == DRO_OK)
        err = courier_new(&home->courier, home->loop, &courier);
    if (err == DRO_OK)
        err = diameter_gate_new(&home->diameter, config, home->loop);
    publisher_options capif = { .config = config, .files = home->certificates.capif, .to_core = config->to_core, .on_aef = on_aef, .context = home };
    if (err == DRO_OK)
        err = publisher_new(&home->capif, home->loop, &capif);
    if (err == DRO_OK)
        err = http_new(&home->http, config, home->loop, more_metrics, home);
    if (err == DRO_OK)
        courier_sockets(home->courier, websocket_notice, home->http);
    return err;
}

dro_err gate_room_new(gate_room **out, const gate_config *config, int stop)
{
    assert(config->core_count > 0 && config->core_count <= GATE_CORES_MAX);
    gate *home = calloc(1, sizeof *home);
    if (home == NULL)
        return DRO_NOMEM;
    home->config = *config;
    home->doorbell = (loop_watch){ on_doorbell, config->doorbell };
    home->stop = (loop_watch){ on_stop, stop };
    home->was_busy = true;
    home->loop = loop_new(config->clock);
    dro_err err = home->loop != NULL ? loop_add(home->loop, &home->doorbell, EPOLLIN) : DRO_NOMEM;
    if (err == DRO_OK)
        err = loop_add(home->loop, &home->stop, EPOLLIN);
    if (err == DRO_OK)
        err = parts_new(home);
    if (err != DRO_OK) {
        gate_room_free(home);
        return err;
    }
    *out = home;
    return DRO_OK;
}

void gate_room_free(gate_room *home)
{
    if (home == NULL)
        return;
    http_free(home->http);
    diameter_gate_free(home->diameter);
    courier_free(home->courier);
    publisher_free(home->capif);
    certificates_fini(&home->certificates);
    loop_free(home->loop);
    free(home);
}

int gate_run(const gate_config *config, int stop)
{
    gate_room *home = NULL;
    dro_descriptors_raise(); /* one for each connection */
    dro_err err = gate_room_new(&home, config, stop);
    if (err != DRO_OK)
        dro_error("gate_start reason=\"%s\"", dro_err_text(err));
    while (err == DRO_OK && gate_room_step(home, -1))
        ;
    bool is_good = err == DRO_OK && !home->is_broken;
    gate_room_free(home);
    return is_good ? 0 : 1;
}
