/* A hostile writer: whatever lies in the ring's memory, the reader gives messages that
 * lie inside it or says DRO_CORRUPT. Input: tail u32, head u32, then the ring's bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ring/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = RING_CAPACITY_MIN, INDEXES = 192, HEAD = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    size_t bytes = ring_bytes(CAPACITY);
    uint8_t *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    assert(memory != NULL);
    memset(memory, 0, bytes);
    memcpy(memory, data, 4);
    memcpy(memory + HEAD, data + 4, 4);
    uint32_t start;
    memcpy(&start, data + 4, 4);
    for (size_t i = 8; i < size && i < CAPACITY; i++) /* from the head on */
        memory[INDEXES + ((start + i - 8) & (CAPACITY - 1))] = data[i];
    ring_reader reader;
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    uint64_t seen = 0;
    ring_reader_open(&reader, memory, CAPACITY);
    while ((body = ring_next(&reader, &header, &err)) != NULL) {
        assert(header.length >= sizeof header && header.length <= CAPACITY / 4);
        assert(body >= memory + INDEXES && body + (header.length - sizeof header) <= memory + bytes);
        seen += header.length;
        assert(seen <= CAPACITY);
        ring_done(&reader, &header);
    }
    assert(err == DRO_OK || err == DRO_CORRUPT);
    ring_release(&reader);
    free(memory);
    return 0;
}
