#include "ring/ring.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/wipe.h"

enum { CACHE_LINE = 64, TYPE_PAD = 0 };

struct ring_shared {
    _Alignas(CACHE_LINE) _Atomic uint32_t tail;     /* written by the writer */
    _Alignas(CACHE_LINE) _Atomic uint32_t head;     /* written by the reader */
    _Alignas(CACHE_LINE) _Atomic uint32_t sleeping; /* set by the reader, cleared by either */
};

size_t ring_bytes(uint32_t capacity)
{
    return sizeof(ring_shared) + capacity;
}

void ring_format(void *memory, uint32_t capacity)
{
    assert(memory != NULL && ((uintptr_t)memory & (CACHE_LINE - 1)) == 0);
    assert(capacity >= RING_CAPACITY_MIN && (capacity & (capacity - 1)) == 0);
    memset(memory, 0, ring_bytes(capacity));
}

void ring_wipe(void *memory, uint32_t capacity)
{
    dro_wipe((uint8_t *)memory + sizeof(ring_shared), capacity);
}

void ring_writer_open(ring_writer *writer, void *memory, uint32_t capacity, int doorbell)
{
    ring_shared *shared = memory;
    *writer = (ring_writer){ .shared = shared,
                             .bytes = (uint8_t *)memory + sizeof *shared,
                             .capacity = capacity,
                             .tail = atomic_load(&shared->tail),
                             .head_seen = atomic_load(&shared->head),
                             .doorbell = doorbell };
}

void ring_reader_open(ring_reader *reader, void *memory, uint32_t capacity)
{
    ring_shared *shared = memory;
    *reader = (ring_reader){ .shared = shared,
                             .bytes = (uint8_t *)memory + sizeof *shared,
                             .capacity = capacity,
                             .head = atomic_load(&shared->head),
                             .tail_seen = atomic_load(&shared->tail) };
}

static uint32_t message_max(uint32_t capacity)
{
    return capacity / 4 < RING_MESSAGE_MAX ? capacity / 4 : RING_MESSAGE_MAX;
}

uint32_t ring_body_max(const ring_writer *writer)
{
    return message_max(writer->capacity) - (uint32_t)sizeof(ring_header);
}

static uint32_t padded(uint32_t body)
{
    return ((uint32_t)sizeof(ring_header) + body + 7u) & ~7u;
}

/* Is there room for `length` bytes behind the tail? Looks at the reader's index
 * only when the last look was not enough. */
bool ring_has_room(ring_writer *writer, uint32_t length)
{
    if (writer->capacity - (writer->tail - writer->head_seen) >= length)
        return true;
    uint32_t head = atomic_load_explicit(&writer->shared->head, memory_order_acquire);
    if (writer->tail - head > writer->capacity) /* the reader lies: never write, and never count with it */
        return false;
    writer->head_seen = head;
    return writer->capacity - (writer->tail - writer->head_seen) >= length;
}

void *ring_reserve(ring_writer *writer, uint32_t length)
{
    assert(length <= ring_body_max(writer));
    uint32_t need = padded(length);
    uint32_t offset = writer->tail & (writer->capacity - 1);
    uint32_t lap = writer->capacity - offset;
    if (!ring_has_room(writer, lap < need ? lap + need : need))
        return NULL;
    if (lap < need) {
        ring_header pad = { .length = lap, .type = TYPE_PAD };
        memcpy(writer->bytes + offset, &pad, lap < sizeof pad ? 8 : sizeof pad);
        writer->tail += lap;
        offset = 0;
    }
    return writer->bytes + offset + sizeof(ring_header);
}

void ring_commit(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, uint32_t length)
{
    assert(type != TYPE_PAD);
    uint32_t offset = writer->tail & (writer->capacity - 1);
    ring_header header = { padded(length), type, flags, id };
    memcpy(writer->bytes + offset, &header, sizeof header);
    uint32_t used = (uint32_t)sizeof header + length;
    if (header.length > used)
        memset(writer->bytes + offset + used, 0, header.length - used);
    writer->tail += header.length;
}

void ring_publish(ring_writer *writer)
{
    if (atomic_load_explicit(&writer->shared->tail, memory_order_relaxed) == writer->tail)
        return;
    atomic_store_explicit(&writer->shared->tail, writer->tail, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&writer->shared->sleeping, memory_order_relaxed) == 0)
        return;
    if (atomic_exchange(&writer->shared->sleeping, 0) == 0 || writer->doorbell < 0)
        return;
    uint64_t one = 1;
    ssize_t ignored = write(writer->doorbell, &one, sizeof one); /* full means it rings already */
    (void)ignored;
    writer->bells++;
}

bool ring_send(ring_writer *writer, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length)
{
    void *room = ring_reserve(writer, length);
    if (room == NULL)
        return false;
    if (length > 0)
        memcpy(room, body, length);
    ring_commit(writer, type, flags, id, length);
    return true;
}

static uint32_t available(ring_reader *reader)
{
    if (reader->tail_seen == reader->head)
        reader->tail_seen = atomic_load_explicit(&reader->shared->tail, memory_order_acquire);
    return reader->tail_seen - reader->head;
}

/* Copies and checks the header at `head`, behind which `ready` bytes are. */
static dro_err header_take(const ring_reader *reader, uint32_t head, uint32_t ready, ring_header *header)
{
    uint32_t offset = head & (reader->capacity - 1);
    uint32_t lap = reader->capacity - offset;
    if (ready > reader->capacity || ready < 8 || offset % 8 != 0) /* where a reader begins is in memory that the writer has too */
        return DRO_CORRUPT;
    *header = (ring_header){ 0 };
    memcpy(header, reader->bytes + offset, lap < sizeof *header ? 8 : sizeof *header);
    if (header->length < 8 || header->length % 8 != 0 || header->length > ready || header->length > lap)
        return DRO_CORRUPT;
    if (header->type == TYPE_PAD) /* fills a lap that has begun, so a message follows it: never two, or whoever reads would not end */
        return offset > 0 && header->length == lap ? DRO_OK : DRO_CORRUPT;
    return header->length < sizeof *header || header->length > message_max(reader->capacity) ? DRO_CORRUPT : DRO_OK;
}

static const uint8_t *body_at(const ring_reader *reader, uint32_t head)
{
    return reader->bytes + (head & (reader->capacity - 1)) + sizeof(ring_header);
}

const uint8_t *ring_next(ring_reader *reader, ring_header *header, dro_err *err)
{
    *err = DRO_OK;
    for (;;) {
        uint32_t ready = available(reader);
        if (ready == 0)
            return NULL;
        *err = header_take(reader, reader->head, ready, header);
        if (*err != DRO_OK)
            return NULL;
        if (header->type != TYPE_PAD)
            return body_at(reader, reader->head);
        reader->head += header->length;
    }
}

const uint8_t *ring_peek(ring_reader *reader, uint32_t *position, ring_header *header)
{
    for (;;) {
        uint32_t head = reader->head + *position;
        if (reader->tail_seen == head)
            reader->tail_seen = atomic_load_explicit(&reader->shared->tail, memory_order_acquire);
        uint32_t ready = reader->tail_seen - reader->head;
        if (*position >= ready || header_take(reader, head, ready - *position, header) != DRO_OK)
            return NULL;
        *position += header->length;
        if (header->type != TYPE_PAD)
            return body_at(reader, head);
    }
}

void ring_done(ring_reader *reader, const ring_header *header)
{
    uint32_t offset = reader->head & (reader->capacity - 1);
    if (header->flags & RING_WIPE)
        dro_wipe(reader->bytes + offset + sizeof *header, header->length - sizeof *header);
    reader->head += header->length;
}

void ring_release(ring_reader *reader)
{
    atomic_store_explicit(&reader->shared->head, reader->head, memory_order_release);
}

bool ring_is_empty(ring_reader *reader)
{
    return available(reader) == 0;
}

bool ring_prepare_sleep(ring_reader *reader)
{
    atomic_store(&reader->shared->sleeping, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (ring_is_empty(reader))
        return false;
    ring_awake(reader);
    return true;
}

void ring_awake(ring_reader *reader)
{
    atomic_store(&reader->shared->sleeping, 0);
}
