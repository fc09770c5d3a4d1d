/* Loop: the gate's one epoll loop, with timers. No threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

typedef struct loop loop;

/* Something with a descriptor; embedded in its owner (container_of). The owner
 * may remove and free any watch, its own too, inside any callback: no callback
 * for a removed watch follows. */
typedef struct loop_watch loop_watch;
struct loop_watch {
    void (*on_ready)(loop_watch *watch, uint32_t epoll_events);
    int descriptor;
};

/* One-shot, embedded in its owner. */
typedef struct loop_timer loop_timer;
struct loop_timer {
    void (*on_due)(loop_timer *timer);
    int64_t due_ns;   /* monotonic */
    uint32_t place;   /* in the heap; 0: not set */
};

loop *loop_new(dro_clock *clock);
void loop_free(loop *home);
DRO_CHECKED dro_err loop_add(loop *home, loop_watch *watch, uint32_t epoll_events);
void loop_change(loop *home, loop_watch *watch, uint32_t epoll_events);
void loop_remove(loop *home, loop_watch *watch);
DRO_CHECKED dro_err loop_timer_set(loop *home, loop_timer *timer, int64_t due_ns); /* sets or moves */
void loop_timer_clear(loop *home, loop_timer *timer);
int64_t loop_now_ns(const loop *home); /* of this turn of the loop */
/* One turn in two halves: waits at most `wait_ms` (-1: as long as it takes); calls what is ready and due. */
void loop_wait(loop *home, int wait_ms);
void loop_dispatch(loop *home);
void loop_turn(loop *home, int wait_ms); /* both */
