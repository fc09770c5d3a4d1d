/* What gates may ask of the desk. Input: messages, each type u8, length u16, body; a type below 128 is a query whose lengths
 * are mended to what is there: the first byte of the body says how much of it are domains. The desk answers each query in
 * parts whose lengths are true, and shows nothing of a domain that was not named. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "base/log.h"
#include "desk/query.h"
#include "ring/message.h"
#include "ring/ring.h"
#include "store/columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REGION = 64 * 1024 * 1024, RING = 64 * 1024, ROWS = 20, GATES = 2, MESSAGES_MAX = 12, BODY_MAX = 12 * 1024, ROUNDS_MAX = 64 };

static const char secret[] = "s3cr3t";
static void *columns_memory;
static void *memory[2 * GATES];

static void fill(void)
{
    static model thermo = { .name = "acme/thermo", .property_count = 1, .properties = { { .name = "temperature", .schema = { .kind = VALUE_NUMBER } } } };
    columns *writer;
    uint32_t table, row;
    columns_memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (columns_memory == MAP_FAILED || columns_create(&writer, columns_memory, REGION) != DRO_OK || columns_domain_set(writer, 0, "acme.example") != DRO_OK ||
        columns_domain_set(writer, 1, "other.example") != DRO_OK || columns_table_add(writer, &thermo, &table) != DRO_OK)
        abort();
    for (uint32_t i = 0; i < ROWS; i++) {
        char id[64];
        int length = snprintf(id, sizeof id, "%s%u@%s.example", i % 2 == 0 ? "a" : secret, i, i % 2 == 0 ? "acme" : "other");
        if (columns_row_add(writer, table, i, i % 2, id, (size_t)length, &row) != DRO_OK)
            abort();
    }
    columns_free(writer);
    for (int i = 0; i < 2 * GATES; i++)
        if ((memory[i] = aligned_alloc(64, (ring_bytes(RING) + 63) & ~(size_t)63)) == NULL)
            abort();
}

static bool put(ring_writer *to, uint8_t type, uint64_t id, const uint8_t *bytes, size_t length)
{
    static uint8_t body[sizeof(query_request) + BODY_MAX];
    if (type >= 128)
        return ring_send(to, type == 255 ? MESSAGE_QUERY : type, 0, id, bytes, (uint32_t)length);
    query_request request = { .all_domains = type % 16 == 15, .domains_length = length == 0 ? 0 : bytes[0] };
    if (length == 0 || request.domains_length > length - 1)
        request.domains_length = 0;
    request.sql_length = (uint32_t)(length == 0 ? 0 : length - 1 - request.domains_length);
    memcpy(body, &request, sizeof request);
    if (length > 1)
        memcpy(body + sizeof request, bytes + 1, length - 1);
    return ring_send(to, MESSAGE_QUERY, 0, id, body, (uint32_t)(sizeof request + (length == 0 ? 0 : length - 1)));
}

static void hear(ring_reader *from, bool may_see)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    while ((body = ring_next(from, &header, &err)) != NULL) {
        api_reply reply;
        size_t length = header.length - sizeof header;
        assert(header.type == MESSAGE_API_REPLY && length >= sizeof reply);
        memcpy(&reply, body, sizeof reply);
        assert(reply.location_length == 0 && reply.body_length <= length - sizeof reply && reply.body_length > 0);
        assert(reply.status == 200 || reply.status == 400 || reply.status == 422 || reply.status == 500);
        assert(may_see || memmem(body + sizeof reply, reply.body_length, secret, sizeof secret - 1) == NULL);
        ring_done(from, &header);
    }
    assert(err == DRO_OK);
    ring_release(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ring_writer to[GATES], out[GATES];
    ring_reader in[GATES], from[GATES];
    if (columns_memory == NULL) {
        dro_log_setup("fuzz", DRO_LOG_NOTHING);
        fill();
    }
    for (int i = 0; i < GATES; i++) {
        ring_format(memory[2 * i], RING);
        ring_format(memory[2 * i + 1], RING);
        ring_writer_open(&to[i], memory[2 * i], RING, -1);
        ring_reader_open(&in[i], memory[2 * i], RING);
        ring_writer_open(&out[i], memory[2 * i + 1], RING, -1);
        ring_reader_open(&from[i], memory[2 * i + 1], RING);
    }
    const void *columns[] = { columns_memory };
    desk_config config = { .gate_count = GATES, .from_gate = in, .to_gate = out, .doorbell = -1, .columns = columns, .core_count = 1, .columns_bytes = REGION, .clock = dro_clock_system() };
    desk_room *room = desk_room_new(&config);
    if (room == NULL)
        abort();
    dro_cursor read = dro_cursor_over(data, size);
    bool may_see = memmem(data, size, "other", 5) != NULL || memmem(data, size, "3cr3", 4) != NULL;
    for (uint64_t id = 1; id <= MESSAGES_MAX && dro_cursor_left(&read) > 3; id++) {
        uint8_t type = (uint8_t)dro_cursor_le(&read, 1);
        size_t length = dro_cursor_le(&read, 2);
        if (length > dro_cursor_left(&read))
            length = dro_cursor_left(&read);
        const uint8_t *bytes = dro_cursor_bytes(&read, length);
        may_see |= type < 128 ? type % 16 == 15 : length > 0 && bytes[0] != 0;
        if (length <= BODY_MAX && put(&to[id % GATES], type == 0 ? 1 : type, id, bytes, length))
            ring_publish(&to[id % GATES]);
    }
    bool did_work = true;
    for (int i = 0; i < ROUNDS_MAX && did_work; i++) {
        dro_err err = desk_room_round(room, &did_work);
        assert(err == DRO_OK);
        (void)err;
        for (int k = 0; k < GATES; k++)
            hear(&from[k], may_see);
    }
    assert(!did_work);
    desk_room_free(room);
    return 0;
}
