/* What waits for a device, as a whole: its mail and its deliveries, in memory or in the log only.
 *
 * Memory for it is bounded (downlink.memory). Beyond that the queues that were touched least lately
 * leave: the twin gets a full record, which has all of its queue, and once that is durable the queue
 * is freed and its place kept ("away"). New downlinks are put on top of an away queue without reading
 * it; whatever has to look into it (a device that is reached, T8 asking, an expiry) reads it back
 * first (queue_load), and what asked waits with the twin's deferred messages.
 *
 * While a queue is away its place is that of the twin's newest full record, so the checkpoint keeps
 * its segment as it keeps every twin's; a full record is never written of a twin whose queue is away. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"
#include "store/commit_log.h"

typedef struct core core;
typedef struct twin twin;

enum queue_list { QUEUE_NOWHERE, QUEUE_HERE, QUEUE_LEAVING, QUEUE_WAITING, QUEUE_READING, QUEUE_LISTS };

typedef struct queue_gone { uint64_t number; bool is_delivery; } queue_gone;

typedef struct twin_queue {      /* of one twin */
    log_place place;             /* the record that has it: of an away one, or of a clean one; 0: none yet */
    int64_t due_ms;              /* of what is away: when the first of it expires; INT64_MAX: never */
    uint32_t before, after;      /* in its list: indexes, NONE at the ends */
    uint32_t bytes, away_bytes;  /* in memory, in the log only */
    uint16_t away_mail, away_deliveries;
    uint16_t gone_count;
    uint8_t list;                /* enum queue_list */
    uint8_t unplaced;            /* full records that have not found their place */
    bool is_away;
    bool is_clean;               /* the newest full record has it as it is */
    bool is_rewritten;           /* the checkpoint wants it: a full record once it is read */
    bool is_leaving;             /* it is read only to leave as a whole */
    queue_gone *gone;            /* at recovery: what of an away queue went later; [gone_count] */
} twin_queue;

typedef struct queue_table {     /* of all twins */
    struct queue_ends { uint32_t first, last; } lists[QUEUE_LISTS]; /* by lists: the longest untouched first */
    uint64_t budget;             /* bytes in memory; 0: no bound */
    uint64_t bytes, leaving_bytes, away, reads; /* away: downlinks in the log only */
    uint32_t rewrites;           /* being read for the checkpoint */
} queue_table;

void queues_init(core *core);
/* After its mail or deliveries changed by so many bytes of memory. */
void queue_changed(core *core, uint32_t twin, int64_t bytes);
/* Is a part of it in the log only? */
bool queue_is_away(const twin *twin);
bool queue_is_loading(const twin *twin);
uint32_t queue_mail_count(const twin *twin);      /* all, wherever it is */
uint32_t queue_delivery_count(const twin *twin);
uint32_t queue_bytes(const twin *twin);
/* Has it read; twin_resume follows. False: it cannot be read now. */
bool queue_load(core *core, uint32_t twin);
bool queue_load_to_rewrite(core *core, uint32_t twin); /* the same for the checkpoint. False: not now */
bool queues_are_full(const core *core);           /* leaving does not keep up: take nothing more */
/* Of an away queue: gone by a record that is read at recovery. False: there is no such away queue. */
bool queue_forget(core *core, uint32_t twin, uint64_t number, bool is_delivery);
void queue_free(core *core, uint32_t twin);       /* with its twin, or before a full record says it anew; mail and deliveries are the caller's */
void queue_written(core *core, uint32_t twin);    /* a full record was just written */
void queue_placed(twin *twin, log_place place);   /* and found its place */
void queue_replayed(core *core, uint32_t twin, log_place place); /* one was read at recovery */
bool queues_are_read(const core *core);            /* nothing waits for a read */
int queues_step(core *core);
void queue_fetched(core *core, uint32_t twin, const log_fetched *fetched);
void queue_reading(core *core, uint32_t twin);    /* its record is asked for */
bool queue_is_paused(const core *core, const twin *twin); /* away, and where it is could not be read a moment ago */
void queues_gate_lost(core *core, uint32_t gate);
