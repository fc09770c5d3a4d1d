/* Held: what HTTP is refused because there is too much to do, and when it is told. A client has one
 * request out on a connection, so holding its 503 is what keeps refusals from taking the CPU of those who are
 * served (docs/decisions/005-diameter.md: the same for Diameter). */
#include <assert.h>
#include <stdlib.h>

#include "gate/answer.h"
#include "gate/http.h"

enum { NS_PER_MS = 1000000 };

struct held {
    uint64_t id; /* of an exchange, which may be gone by then */
    int64_t due_ns;
};

static const char too_much[] = "the host has too much to do";

static void tell_first(http *http)
{
    held_line *line = &http->held;
    uint32_t part;
    exchange *first = exchange_find(http, line->places[line->first].id, &part);
    line->first = (line->first + 1) % HTTP_HELD_MAX;
    line->count--;
    if (first != NULL && !first->is_answered)
        answer_busy(first, too_much);
}

static void look_later(http *http)
{
    held_line *line = &http->held;
    int64_t due = loop_now_ns(http->loop) + HTTP_HELD_LOOK_MS * (int64_t)NS_PER_MS;
    while (line->count > 0 && loop_timer_set(http->loop, &line->timer, due) != DRO_OK)
        tell_first(http); /* no memory: at once */
}

static void on_due(loop_timer *timer)
{
    http *http = (struct http *)(void *)((char *)timer - offsetof(struct http, held.timer));
    held_line *line = &http->held;
    for (int told = 0; told < HTTP_HELD_A_LOOK && line->count > 0 && line->places[line->first].due_ns <= loop_now_ns(http->loop); told++)
        tell_first(http);
    look_later(http);
}

bool held_init(http *http)
{
    http->held.timer.on_due = on_due;
    http->held.places = calloc(HTTP_HELD_MAX, sizeof *http->held.places);
    for (uint32_t i = 0; i < GATE_CORES_MAX; i++)
        patience_init(&http->patience[i], loop_now_ns(http->loop));
    return http->held.places != NULL;
}

void held_fini(http *http)
{
    loop_timer_clear(http->loop, &http->held.timer);
    free(http->held.places);
}

void held_refuse(exchange *exchange)
{
    http *http = exchange->owner->http;
    held_line *line = &http->held;
    exchange->kind = EXCHANGE_LOCAL;
    exchange->waiting = 0;
    exchange->deadline_ns = 0;
    if (line->count == HTTP_HELD_MAX) {
        answer_busy(exchange, too_much);
        return;
    }
    line->places[(line->first + line->count++) % HTTP_HELD_MAX] =
        (struct held){ exchange_id(http, exchange, 0), loop_now_ns(http->loop) + HTTP_HELD_MS * (int64_t)NS_PER_MS };
    if (line->timer.place == 0)
        look_later(http);
}

bool held_may_ask(const http *http, uint32_t core)
{
    return !patience_is_over(&http->patience[core]);
}

bool held_may_ask_all(const http *http)
{
    for (uint32_t core = 0; core < http->config->core_count; core++)
        if (!held_may_ask(http, core))
            return false;
    return true;
}

void held_asked(exchange *exchange, uint32_t core)
{
    patience_asked(&exchange->owner->http->patience[core]);
    exchange->patient = (uint8_t)(core + 1);
}

void held_answered(exchange *exchange)
{
    http *http = exchange->owner->http;
    int64_t now = loop_now_ns(http->loop);
    if (exchange->patient != 0)
        patience_answered(&http->patience[exchange->patient - 1], now - exchange->begun_ns, now);
    exchange->patient = 0;
}

void held_left(exchange *exchange)
{
    if (exchange->patient != 0)
        patience_left(&exchange->owner->http->patience[exchange->patient - 1]);
    exchange->patient = 0;
}
