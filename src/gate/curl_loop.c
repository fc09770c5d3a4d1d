#include "gate/curl_loop.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

typedef struct socket_watch { /* a descriptor of libcurl's in our loop */
    loop_watch watch;
    curl_loop *owner;
} socket_watch;

static void collect(curl_loop *all)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(all->multi, &left)) != NULL) {
        CURL *curl = message->easy_handle;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_multi_remove_handle(all->multi, curl); /* the message is gone with it */
        all->on_done(all->context, curl, code);
    }
}

static void on_socket(loop_watch *watch, uint32_t events)
{
    curl_loop *all = ((socket_watch *)(void *)watch)->owner;
    int running, what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(all->multi, watch->descriptor, what, &running);
    collect(all);
}

static int change_socket(CURL *curl, curl_socket_t descriptor, int what, void *context, void *known)
{
    curl_loop *all = context;
    socket_watch *on = known;
    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (on != NULL)
            loop_remove(all->loop, &on->watch);
        free(on);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (on != NULL) {
        loop_change(all->loop, &on->watch, events);
        return 0;
    }
    on = malloc(sizeof *on);
    if (on == NULL)
        return -1;
    *on = (socket_watch){ .watch = { on_socket, descriptor }, .owner = all };
    if (loop_add(all->loop, &on->watch, events) != DRO_OK || curl_multi_assign(all->multi, descriptor, on) != CURLM_OK) {
        free(on);
        return -1;
    }
    return 0;
}

static void on_timer(loop_timer *timer)
{
    curl_loop *all = (curl_loop *)(void *)((char *)timer - offsetof(curl_loop, timer));
    int running;
    curl_multi_socket_action(all->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(all);
}

static int change_timer(CURLM *multi, long ms, void *context)
{
    curl_loop *all = context;
    (void)multi;
    if (ms < 0)
        loop_timer_clear(all->loop, &all->timer);
    else if (loop_timer_set(all->loop, &all->timer, loop_now_ns(all->loop) + ms * 1000000ll) != DRO_OK)
        return -1;
    return 0;
}

dro_err curl_loop_init(curl_loop *made, loop *home, void (*on_done)(void *context, CURL *curl, CURLcode code), void *context)
{
    *made = (curl_loop){ .loop = home, .timer.on_due = on_timer, .on_done = on_done, .context = context };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (made->multi = curl_multi_init()) == NULL)
        return DRO_NOMEM;
    bool is_good = curl_multi_setopt(made->multi, CURLMOPT_SOCKETFUNCTION, change_socket) == CURLM_OK &&
                   curl_multi_setopt(made->multi, CURLMOPT_SOCKETDATA, made) == CURLM_OK &&
                   curl_multi_setopt(made->multi, CURLMOPT_TIMERFUNCTION, change_timer) == CURLM_OK &&
                   curl_multi_setopt(made->multi, CURLMOPT_TIMERDATA, made) == CURLM_OK;
    return is_good ? DRO_OK : DRO_NOMEM;
}

void curl_loop_fini(curl_loop *gone)
{
    curl_multi_cleanup(gone->multi); /* NULL is fine */
    if (gone->loop != NULL)
        loop_timer_clear(gone->loop, &gone->timer);
    *gone = (curl_loop){ 0 };
}
