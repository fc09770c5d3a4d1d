/* What waits for a device, as a whole: its mail and its deliveries, in memory or in the log only.
 *
 * Memory for it is bounded (downlink.memory). Beyond that those of the queues that were touched
 * least lately leave: what of such a queue is in memory is written once, as a chunk, a record of
 * its twin of its own kind, and freed; the chunk's place is kept. New downlinks are put on top
 * without reading what is away. Whatever has to look into it (a device that is reached, T8 asking,
 * an expiry) has all chunks read first (queue_load), and what asked waits with the twin's deferred
 * messages. What was read and is not changed leaves again without being written.
 *
 * A full record of the twin names its chunks (FIELD_CHUNKS), so they need not be replayed; the
 * segments they lie in stay as long as they do. Once nothing of its chunks is left, the record that
 * takes the last says so (FIELD_CHUNKS_SPENT). Chunks are moved, and many small ones joined to one,
 * as they were written: by chunks.c, which the checkpoint and too long a list ask for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cursor.h"
#include "core/record.h"
#include "store/commit_log.h"

typedef struct core core;
typedef struct twin twin;

enum queue_list { QUEUE_NOWHERE, QUEUE_HERE, QUEUE_WAITING, QUEUE_READING, QUEUE_LISTS };

typedef struct queue_gone { uint64_t number; bool is_delivery; } queue_gone;

typedef struct queue_chunk {
    log_place place;             /* 0: written, its round is not under way yet */
    uint32_t id;                 /* names it in other records of its twin */
    uint32_t bytes : 24;         /* of its record */
    uint32_t old_log : 8;        /* the log it is in, of another number of cores; 0: the own one */
} queue_chunk;

typedef struct twin_queue {      /* of one twin */
    queue_chunk *chunks;         /* [chunk_count], the newest last */
    queue_gone *gone;            /* at recovery: what of them went later; [gone_count] */
    uint8_t *read;               /* fields of those that were read so far, the newest first; [read_bytes] */
    uint64_t mail_last, delivery_last; /* the newest numbers in any of them */
    int64_t due_ms;              /* of what is away: when the first of it expires; INT64_MAX: never */
    uint32_t before, after;      /* in its list: indexes, NONE at the ends */
    uint32_t bytes, away_bytes;  /* in memory, in the log only */
    uint32_t read_bytes;
    uint32_t chunk_next;         /* id of the next one */
    uint16_t away_mail, away_deliveries;
    uint16_t gone_count;
    uint16_t kept;               /* in memory as they are in the chunks */
    uint8_t chunk_count;
    uint8_t read_first, read_end, read_last; /* of the chunks being read, to before read_last: those from read_end on were */
    uint8_t list;                /* enum queue_list */
    uint8_t unplaced;            /* records of chunks whose round is not under way yet */
    bool is_away;                /* what is in its chunks is not in memory */
    bool is_stale;               /* it is, and something in them is not valid any more */
    bool is_wanted;              /* somebody waits for all of it */
    bool is_moving;              /* its chunks are read to be written anew */
} twin_queue;

typedef struct queue_table {     /* of all twins */
    struct queue_ends { uint32_t first, last, count; } lists[QUEUE_LISTS]; /* by lists: the longest untouched first */
    uint64_t budget;             /* bytes in memory; 0: no bound */
    uint64_t bytes, away, reads; /* away: downlinks in the log only; reads: queues */
    uint64_t chunks, chunk_bytes;/* that live, in the log */
    uint64_t written, moved;     /* bytes of chunks so far: new, and moved or joined */
    uint32_t moves;              /* queues being moved */
    bool is_pressed;             /* none left though memory is used up: small ones go too */
} queue_table;

void queues_init(core *core);
/* After its mail or deliveries changed by so many bytes of memory. */
void queue_changed(core *core, uint32_t twin, int64_t bytes);
/* One in memory goes or is replaced that is in a chunk too. */
void queue_outdated(core *core, uint32_t twin);
/* Is a part of it in the log only? */
bool queue_is_away(const twin *twin);
bool queue_is_loading(const twin *twin);
uint32_t queue_mail_count(const twin *twin);      /* all, wherever it is */
uint32_t queue_delivery_count(const twin *twin);
uint32_t queue_bytes(const twin *twin);
/* The same of what applications and commands have there: without frames of the reliable data service itself. */
uint32_t queue_wanted_count(const twin *twin);
uint32_t queue_wanted_bytes(const twin *twin);
/* Has it read; twin_resume follows. False: it cannot be read now, the twin's timer tries it again. */
bool queue_load(core *core, uint32_t twin);
bool queues_are_full(const core *core);           /* leaving does not keep up: take nothing more */
/* Of an away queue: gone by a record that is read at recovery. */
void queue_forget(core *core, uint32_t twin, uint64_t number, bool is_delivery);
void queue_free(core *core, uint32_t twin);       /* with its twin, or before a full record says it anew; mail and deliveries are the caller's */
bool queues_are_read(const core *core);           /* nothing waits for a read */
int queues_step(core *core);
void queue_fetched(core *core, uint32_t twin, const log_fetched *fetched);
bool queue_is_paused(const core *core, const twin *twin); /* some of it is where something could not be read a moment ago */
void queues_gate_lost(core *core, uint32_t gate);

/* ---- in records ---- */

bool queue_is_placed(const twin *twin);           /* a full record can say where its chunks are */
void queue_full(core *core, uint32_t twin);       /* inside a full record, before mail and deliveries */
bool queue_is_spent(const twin *twin);            /* inside a record: nothing in its chunks is valid any more */
DRO_CHECKED dro_err queue_apply_chunks(core *core, uint32_t twin, dro_cursor *in);
void queue_apply_spent(core *core, uint32_t twin);
void queue_drop(core *core, uint32_t twin);       /* its chunks are of no use any more, whatever was done with them */
/* Has chunks read that are placed before that, to be written anew. DRO_AGAIN: not now; DRO_NOT_FOUND: there are none. */
dro_err queue_move(core *core, uint32_t twin, log_place before);
uint16_t queue_chunk_newest(const twin *twin);    /* the lower half of the id of the one just written, */
void queue_placed(core *core, uint32_t twin, uint16_t id, log_place place); /* which has a place now */
/* A chunk's record, of `length` bytes, was read at recovery. */
DRO_CHECKED dro_err queue_replay_chunk(core *core, uint32_t twin, log_place place, const record_view *view, size_t length);
