/* Patience: how many requests may wait for a core, so that none of them waits long. What bounds a queue is the time it
 * takes, not its length: of turns that take a microsecond thousands may wait, of slow ones fewer. As long as some request of each interval
 * was answered soon there is no bound, so a burst is welcome. Once none was, a queue stands (the sign of CoDel, RFC 8289),
 * and no more may wait than were answered in PATIENCE_MS; until fewer want to, and are answered soon again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_MS = 50,             /* a request may wait so long for those before it */
    PATIENCE_INTERVAL_MS = 100,   /* how often that is looked at */
    PATIENCE_LEAST = 1024,        /* so many may always wait: a disk may take longer for one round than PATIENCE_MS */
    PATIENCE_MANY = 16384,        /* beyond so many there is no bound... */
    PATIENCE_ANY = 1 << 30,       /* ...but this, which is none */
    PATIENCE_IDLE_MS = 1000,      /* an interval that lasted so long says nothing of now */
};

typedef struct patience { /* of one core */
    uint32_t waiting;             /* asked, not answered */
    uint32_t most;                /* that may */
    uint32_t answered;            /* of this interval... */
    int64_t shortest_ns;          /* ...that took the least */
    int64_t since_ns;             /* when it began */
    bool was_reached;             /* so many as may wait did, in this interval */
} patience;

void patience_init(patience *of, int64_t now_ns);
bool patience_is_over(const patience *of); /* the next one is refused */
void patience_asked(patience *of);
void patience_answered(patience *of, int64_t took_ns, int64_t now_ns);
void patience_left(patience *of); /* who asked is gone */
