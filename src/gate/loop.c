#include "gate/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_A_TURN = 256,
    TIMERS_AT_FIRST = 64,
    NS_PER_MS = 1000000,
};

struct loop {
    dro_clock *clock;
    int epoll;
    int64_t now_ns;
    struct epoll_event events[EVENTS_A_TURN];
    int event_count, event_next; /* of this turn, not yet called */
    loop_timer **heap;           /* [1] is the earliest; [0] is not used */
    uint32_t heap_count, heap_capacity;
};

loop *loop_new(dro_clock *clock)
{
    loop *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->clock = clock;
    made->heap_capacity = TIMERS_AT_FIRST;
    made->heap = calloc(made->heap_capacity, sizeof *made->heap);
    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (made->epoll < 0 || made->heap == NULL) {
        loop_free(made);
        return NULL;
    }
    made->now_ns = clock->monotonic_ns(clock);
    return made;
}

void loop_free(loop *home)
{
    if (home == NULL)
        return;
    if (home->epoll >= 0)
        close(home->epoll);
    free(home->heap);
    free(home);
}

dro_err loop_add(loop *home, loop_watch *watch, uint32_t epoll_events)
{
    struct epoll_event event = { .events = epoll_events, .data.ptr = watch };
    return epoll_ctl(home->epoll, EPOLL_CTL_ADD, watch->descriptor, &event) == 0 ? DRO_OK : DRO_IO;
}

void loop_change(loop *home, loop_watch *watch, uint32_t epoll_events)
{
    struct epoll_event event = { .events = epoll_events, .data.ptr = watch };
    int result = epoll_ctl(home->epoll, EPOLL_CTL_MOD, watch->descriptor, &event);
    assert(result == 0); /* the watch is not in this loop */
}

void loop_remove(loop *home, loop_watch *watch)
{
    int result = epoll_ctl(home->epoll, EPOLL_CTL_DEL, watch->descriptor, NULL);
    assert(result == 0 || errno == ENOENT || errno == EBADF);
    for (int i = home->event_next; i < home->event_count; i++)
        if (home->events[i].data.ptr == watch)
            home->events[i].data.ptr = NULL;
}

static void place(loop *home, uint32_t at, loop_timer *timer)
{
    home->heap[at] = timer;
    timer->place = at;
}

static void sift_up(loop *home, uint32_t at, loop_timer *timer)
{
    for (; at > 1 && home->heap[at / 2]->due_ns > timer->due_ns; at /= 2)
        place(home, at, home->heap[at / 2]);
    place(home, at, timer);
}

static void sift_down(loop *home, uint32_t at, loop_timer *timer)
{
    for (;;) {
        uint32_t child = at * 2;
        if (child > home->heap_count)
            break;
        if (child < home->heap_count && home->heap[child + 1]->due_ns < home->heap[child]->due_ns)
            child++;
        if (home->heap[child]->due_ns >= timer->due_ns)
            break;
        place(home, at, home->heap[child]);
        at = child;
    }
    place(home, at, timer);
}

/* Puts the timer where it belongs, seen from place `at`. */
static void sift(loop *home, uint32_t at, loop_timer *timer)
{
    if (at > 1 && home->heap[at / 2]->due_ns > timer->due_ns)
        sift_up(home, at, timer);
    else
        sift_down(home, at, timer);
}

dro_err loop_timer_set(loop *home, loop_timer *timer, int64_t due_ns)
{
    timer->due_ns = due_ns;
    if (timer->place != 0) {
        sift(home, timer->place, timer);
        return DRO_OK;
    }
    if (home->heap_count + 1 == home->heap_capacity) {
        loop_timer **heap = realloc(home->heap, 2 * home->heap_capacity * sizeof(loop_timer *));
        if (heap == NULL)
            return DRO_NOMEM;
        home->heap = heap;
        home->heap_capacity *= 2;
    }
    sift_up(home, ++home->heap_count, timer);
    return DRO_OK;
}

void loop_timer_clear(loop *home, loop_timer *timer)
{
    uint32_t at = timer->place;
    if (at == 0)
        return;
    assert(at <= home->heap_count && home->heap[at] == timer);
    timer->place = 0;
    loop_timer *last = home->heap[home->heap_count--];
    if (last != timer)
        sift(home, at, last);
}

int64_t loop_now_ns(const loop *home)
{
    return home->now_ns;
}

static int wait_for(const loop *home, int wait_ms)
{
    if (home->heap_count == 0)
        return wait_ms;
    int64_t left_ns = home->heap[1]->due_ns - home->clock->monotonic_ns(home->clock);
    int64_t left_ms = left_ns <= 0 ? 0 : (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (left_ms > INT32_MAX)
        left_ms = INT32_MAX;
    return wait_ms >= 0 && wait_ms < left_ms ? wait_ms : (int)left_ms;
}

/* Only what was due when the turn began: a timer set anew to "now" waits for the
 * next turn, so that no timer can keep the sockets waiting. */
static void call_due(loop *home)
{
    int64_t now_ns = home->now_ns;
    for (uint32_t most = home->heap_count; most > 0; most--) {
        loop_timer *timer = home->heap_count > 0 ? home->heap[1] : NULL;
        if (timer == NULL || timer->due_ns > now_ns)
            break;
        loop_timer_clear(home, timer);
        timer->on_due(timer);
    }
}

void loop_wait(loop *home, int wait_ms)
{
    home->event_next = 0;
    home->event_count = epoll_wait(home->epoll, home->events, EVENTS_A_TURN, wait_for(home, wait_ms));
    if (home->event_count < 0)
        home->event_count = 0; /* EINTR: a turn without events */
    home->now_ns = home->clock->monotonic_ns(home->clock);
}

void loop_dispatch(loop *home)
{
    while (home->event_next < home->event_count) {
        struct epoll_event *event = &home->events[home->event_next++];
        loop_watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->on_ready(watch, event->events);
    }
    call_due(home);
}

void loop_turn(loop *home, int wait_ms)
{
    loop_wait(home, wait_ms);
    loop_dispatch(home);
}
