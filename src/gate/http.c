#include "gate/http.h"

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/wipe.h"
#include "gate/audit.h"
#include "gate/parts.h"
#include "gate/websocket.h"

enum { NS_PER_MS = 1000000 };

/* What many connections needed and few need now goes back to the system; what is free between them would stay with us. */
static void trim(http *http)
{
    if (http->connections_most < HTTP_TRIM_FROM || http->connection_count > http->connections_most / 4)
        return;
    http->connections_most = http->connection_count;
    block_pool_trim(&http->blocks);
    malloc_trim(0);
}

static void on_sweep(loop_timer *timer)
{
    http *home = (http *)(void *)((char *)timer - offsetof(http, sweep));
    exchange_sweep(home);
    audit_refusals_tell(home, loop_now_ns(home->loop));
    trim(home);
    if (loop_timer_set(home->loop, timer, loop_now_ns(home->loop) + (int64_t)HTTP_SWEEP_MS * NS_PER_MS) != DRO_OK)
        abort(); /* it had its place in the heap a moment ago */
}

static void accept_on(http *home)
{
    home->is_accepting = true;
    loop_change(home->loop, &home->listener, EPOLLIN);
}

static void on_accept_again(loop_timer *timer)
{
    http *home = (http *)(void *)((char *)timer - offsetof(http, accept_again));
    if (!home->is_stopping)
        accept_on(home);
}

void http_ready(http *http)
{
    if (!http->is_ready && !http->is_stopping)
        accept_on(http);
    http->is_ready = true;
}

dro_err http_new(http **out, const gate_config *config, loop *loop,
                 void (*more_metrics)(void *context, dro_builder *out), void *context)
{
    http *made = calloc(1, sizeof *made);
    if (made == NULL)
        return DRO_NOMEM;
    made->config = config;
    made->loop = loop;
    made->more_metrics = more_metrics;
    made->more_context = context;
    for (uint32_t i = 0; i < GATE_CORES_MAX; i++)
        made->heard_ns[i] = loop_now_ns(loop);
    made->tokens = token_table_new();
    http_set_aef(made, "");
    made->arena = body_arena_new();
    access_options access = { .issuer = config->issuer != NULL ? config->issuer : "", .audience = config->audience != NULL ? config->audience : "",
                              .aef = made->aef, .skew_s = config->skew_s, .issuers = config->trusted };
    made->access = made->tokens != NULL ? access_new(&access, made->tokens) : NULL;
    made->refused = calloc(1, sizeof *made->refused);
    made->console = console_new(config->console_directory);
    made->exchanges = calloc(HTTP_EXCHANGES_ALL, sizeof *made->exchanges);
    made->listener = (loop_watch){ connection_on_listener, config->http_listener };
    made->sweep.on_due = on_sweep;
    made->accept_again.on_due = on_accept_again;
    dro_err err = DRO_NOMEM;
    if (held_init(made) && made->access != NULL && made->arena != NULL && made->console != NULL && made->exchanges != NULL && made->refused != NULL)
        err = loop_timer_set(loop, &made->sweep, loop_now_ns(loop) + (int64_t)HTTP_SWEEP_MS * NS_PER_MS);
    if (err == DRO_OK)
        err = loop_add(loop, &made->listener, 0); /* who comes before the tokens are known waits in the backlog */
    if (err != DRO_OK) {
        loop_timer_clear(loop, &made->sweep);
        made->listener.descriptor = -1;
        http_free(made);
        return err;
    }
    *out = made;
    return DRO_OK;
}

void http_set_aef(http *http, const char *aef)
{
    const gate_config *config = http->config;
    const char *name = config->capif.aef[0] != '\0' ? config->capif.aef : aef[0] != '\0' ? aef : config->identity != NULL ? config->identity : "";
    if (strcmp(http->aef, name) == 0)
        return;
    snprintf(http->aef, sizeof http->aef, "%s", name);
    if (http->access != NULL)
        access_forget(http->access);
}

void http_free(http *http)
{
    if (http == NULL)
        return;
    while (http->open != NULL)
        connection_close(http->open);
    if (http->listener.descriptor >= 0 && !http->is_stopping)
        loop_remove(http->loop, &http->listener);
    loop_timer_clear(http->loop, &http->sweep);
    loop_timer_clear(http->loop, &http->accept_again);
    stream_fini(http);
    websocket_fini(http);
    block_pool_fini(&http->blocks);
    console_free(http->console);
    access_free(http->access);
    token_table_free(http->tokens);
    body_arena_free(http->arena);
    held_fini(http);
    free(http->exchanges);
    free(http->refused);
    free(http);
}

static void unlink_resumed(http *http, const connection *gone)
{
    for (connection **at = &http->resumed; *at != NULL; at = &(*at)->next_resumed) {
        if (*at != gone)
            continue;
        *at = gone->next_resumed;
        return;
    }
}

/* Of strangers only some in a turn: their requests take no time from those of others. */
static void resume_all(http *http)
{
    connection *list = http->resumed;
    uint32_t strangers = 0;
    http->resumed = NULL;
    while (list != NULL) {
        connection *next = list->next_resumed;
        list->is_resumed = false;
        if (list->is_stranger && ++strangers > HTTP_STRANGERS_A_TURN) {
            connection_resume(list);
        } else if (!list->is_broken) {
            connection_continue(list);
            connection_mark(list);
        }
        list = next;
    }
}

static void flush_all(http *http)
{
    while (http->dirty != NULL) {
        connection *at = http->dirty;
        http->dirty = at->next_dirty;
        if (!at->is_broken)
            connection_flush(at);
        if (at->is_broken && at->is_resumed)
            unlink_resumed(http, at);
        /* Only now: breaking it while it was flushed must not list it again. */
        at->is_dirty = false;
        if (at->is_broken)
            connection_close(at);
    }
}

void http_turn(http *http)
{
    bulk_turn(http);
    upload_turn(http);
    resume_all(http);
    flush_all(http);
    stream_turn(http);
    backup_turn(http);
    websocket_turn(http);
    pages_turn(http);
}

bool http_is_ready(const http *http)
{
    return http->is_ready;
}

int http_wait_ms(const http *http)
{
    if (http->resumed != NULL)
        return 0;
    return upload_is_waiting(http) || bulk_is_waiting(http) || stream_is_waiting(http) || backup_is_waiting(http) || websocket_is_waiting(http) ||
                   pages_are_waiting(http)
               ? 1 : -1;
}

static void stop_first(http *http)
{
    http->is_stopping = true;
    loop_remove(http->loop, &http->listener);
    loop_timer_clear(http->loop, &http->accept_again);
}

bool http_stop(http *http)
{
    if (!http->is_stopping)
        stop_first(http);
    connection *next;
    for (connection *at = http->open; at != NULL; at = next) {
        next = at->next;
        bool is_stream = at->first != NULL && (at->first->kind == EXCHANGE_STREAM || at->first->kind == EXCHANGE_BACKUP);
        if (at->websocket != NULL) {
            websocket_leave(at);
            continue;
        }
        if (at->phase != PHASE_BODY)
            at->is_reading = false; /* no further request */
        if ((at->first == NULL && at->out.bytes == 0 && at->phase != PHASE_BODY) || is_stream)
            connection_break(at);
    }
    flush_all(http);
    return http->open == NULL;
}
