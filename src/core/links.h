/* The rings to gates and cells, and what waits for room in them. The rings' memory is the
 * supervisor's; the outbox' bytes are the core's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "ring/ring.h"

typedef struct outbox {          /* messages for one gate that wait for a round or for room */
    uint8_t *bytes;
    size_t capacity, start, end;
} outbox;

typedef struct gate_link {
    ring_reader in;
    ring_writer out;
    bool is_open, is_stopped;    /* stopped: its outbox is full, take nothing */
    bool has_late_credential;    /* one waits in the outbox: the next ones may not pass it */
    outbox outbox;
    uint32_t stream_count;
} gate_link;

typedef struct cell_link {
    ring_reader results;
    ring_writer turns;
    bool is_open;
    uint32_t image_count, in_flight;
    uint32_t sent, answered;     /* counts of turns: the next result is that of turn number `answered` */
    bool is_short;               /* its ring had no room for a turn the last time */
    bool is_given_up;            /* it broke its ring, or answers nothing: somebody in it is to blame */
    bool is_cut_short;           /* replaced for what an operator has stopped, or for want of CPU time: nobody in it is to blame */
    int64_t heard_ns;
    int64_t stop_due_ns;         /* it has turns of what was stopped: then they are to be gone; 0: it has none */
    _Atomic uint64_t *running;
    bool lacks[CORE_IMAGES_MAX]; /* images that came while it was being made: its successor has them */
} cell_link;
