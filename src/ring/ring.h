/* Ring: flat messages from one room to another, in shared memory. One producer,
 * one consumer. The doorbell (an eventfd) rings only when the reader sleeps.
 *
 * A room never trusts what another room can still change: ring_next copies the
 * header once and checks it; message bodies that matter are read once.
 *
 * Layout: 3 cache lines of indexes, then `capacity` bytes (a power of two).
 * A message never wraps: a pad message fills the rest of the lap. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    RING_MESSAGE_MAX = 256 * 1024, /* one message with its header; capacity is at least 4 of these... */
    RING_CAPACITY_MIN = 64 * 1024, /* ...or the message limit is capacity / 4 */
};

typedef struct ring_header {       /* in front of every message, 16 bytes */
    uint32_t length;               /* with this header; a multiple of 8 */
    uint16_t type;                 /* ring/message.h; 0 is padding */
    uint16_t flags;
    uint64_t id;                   /* chosen by whoever asks, given back by whoever answers */
} ring_header;

enum { RING_WIPE = 1 };            /* flag: the reader clears the message before giving its space back */

typedef struct ring_shared ring_shared; /* the part in shared memory */

typedef struct ring_writer {
    ring_shared *shared;
    uint8_t *bytes;
    uint32_t capacity, tail, head_seen;
    int doorbell;                  /* eventfd of the reader; -1: none (simulation) */
    uint64_t bells;                /* how often it had to be rung */
} ring_writer;

typedef struct ring_reader {
    ring_shared *shared;
    uint8_t *bytes;
    uint32_t capacity, head, tail_seen;
} ring_reader;

/* Bytes of shared memory for a ring of this capacity. */
size_t ring_bytes(uint32_t capacity);
/* Makes an empty ring of zeroed or used memory. Only while nobody uses it. */
void ring_format(void *memory, uint32_t capacity);
/* Clears what messages a ring still holds, not its indexes: of a room that died unread. */
void ring_wipe(void *memory, uint32_t capacity);
void ring_writer_open(ring_writer *writer, void *memory, uint32_t capacity, int doorbell);
void ring_reader_open(ring_reader *reader, void *memory, uint32_t capacity);

/* The largest body (without header) a message in this ring may have. */
uint32_t ring_body_max(const ring_writer *writer);

/* Is there room now for messages of so many bytes? */
bool ring_has_room(ring_writer *writer, uint32_t length);
/* Space for a body of at most `length` bytes, or NULL when the ring is full now.
 * Then exactly one ring_commit with the length really used. */
void *ring_reserve(ring_writer *writer, uint32_t length);
void ring_commit(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, uint32_t length);
/* Makes all committed messages visible and rings if the reader sleeps. Once a round. */
void ring_publish(ring_writer *writer);
/* reserve + copy + commit. False: full. */
bool ring_send(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length);

/* The next message, its header copied into `header` and checked; NULL: none.
 * *err = DRO_CORRUPT when the writer broke the ring: give that room up.
 * The body (header->length - sizeof *header bytes, the last ones padding) stays
 * valid until ring_done. */
const uint8_t *ring_next(ring_reader *reader, ring_header *header, dro_err *err);
/* Looks at what will come: the message at `*position` (first 0), which then moves on to the one behind
 * it; NULL: none, or a broken ring. Takes nothing, and the writer can still change what it
 * shows: good for guesses only, such as what to have in the cache when ring_next gives it. */
const uint8_t *ring_peek(ring_reader *reader, uint32_t *position, ring_header *header);
/* Done with the message of `header`: wiped if it says so. */
void ring_done(ring_reader *reader, const ring_header *header);
/* Gives the space of all done messages back to the writer. Once a round. */
void ring_release(ring_reader *reader);

bool ring_is_empty(ring_reader *reader);
/* Before sleeping: says so in the ring; true when a message came meanwhile, so do
 * not sleep. After waking: ring_awake. */
bool ring_prepare_sleep(ring_reader *reader);
void ring_awake(ring_reader *reader);
