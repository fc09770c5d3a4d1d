/* Cores and the room that writes charging files, either of them gone wild. First byte even: messages of a core to the room
 * (its session's number where the first byte of the message is even); odd: messages of the room to a core. Each is type u8,
 * u16 LE length, body. What was said is taken or passed over, and what the room says back stays well formed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ledger/ledger.h"
#include "ledger/files_fake.h"
#include "ledger/journal.h"
#include "fuzz_world.h"
#include "ring/ledger.h"
#include "twin/charge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = 256 * 1024, MESSAGES_MAX = 48, STEP_MS = 250 };

static uint8_t *memory_new(void)
{
    uint8_t *memory = aligned_alloc(64, (ring_bytes(RING) + 63) & ~(size_t)63);
    if (memory == NULL)
        abort();
    ring_format(memory, RING);
    return memory;
}

/* The room's words, as a core relies on them; its session. */
static uint64_t hear(ring_reader *from, uint64_t session)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    while ((body = ring_next(from, &header, &err)) != NULL) {
        ledger_state said;
        assert(header.type == MESSAGE_LEDGER_STATE && header.length - sizeof header >= sizeof said);
        memcpy(&said, body, sizeof said);
        assert(said.place_count <= LEDGER_PLACES_MAX && said.file_count <= LEDGER_FILES_MAX);
        assert(header.length - sizeof header >= sizeof said + said.place_count * sizeof(ledger_place) + said.file_count * sizeof(ledger_file));
        session = said.session;
        ring_done(from, &header);
    }
    assert(err == DRO_OK);
    ring_release(from);
    return session;
}

static void to_room(dro_cursor *in)
{
    static files_fake fake;
    dro_clock_fake clock;
    dro_random_seeded random;
    uint8_t *there = memory_new(), *back = memory_new();
    ring_writer to_room, out;
    ring_reader from_core, from_room;
    uint64_t session = 0;
    files_fake_init(&fake);
    dro_clock_fake_init(&clock, 1795420800000);
    dro_random_seeded_init(&random, 3);
    ring_writer_open(&to_room, there, RING, -1);
    ring_reader_open(&from_core, there, RING);
    ring_writer_open(&out, back, RING, -1);
    ring_reader_open(&from_room, back, RING);
    ledger_config config = { .kind = &journal_charging, .core_count = 1, .from_core = &from_core, .to_core = &out, .doorbell = -1, .node = "n", .file_bytes = 3000, .file_age_s = 60,
                               .clock = &clock.clock, .random = &random.random };
    ledger_room *room = ledger_room_new(&config, &fake.files);
    if (room == NULL)
        abort();
    for (int i = 0; i < MESSAGES_MAX && dro_cursor_left(in) > 3; i++) {
        uint8_t kind = (uint8_t)dro_cursor_le(in, 1);
        size_t length = dro_cursor_le(in, 2);
        if (length > dro_cursor_left(in))
            length = dro_cursor_left(in);
        const uint8_t *body = dro_cursor_bytes(in, length);
        ledger_room_round(room);
        session = hear(&from_room, session);
        if (ring_send(&to_room, kind < 128 ? MESSAGE_LEDGER : kind, 0, kind % 2 == 0 ? session : session ^ 1, body, (uint32_t)length))
            ring_publish(&to_room);
        ledger_room_round(room);
        dro_clock_fake_advance(&clock, STEP_MS * 1000000ll);
    }
    ledger_room_round(room);
    hear(&from_room, session);
    ledger_room_free(room);
    free(there);
    free(back);
}

static void to_core(dro_cursor *in)
{
    world *world = fuzz_world(true, NULL);
    uint8_t *there = memory_new(), *back = memory_new();
    ring_writer room, out;
    ring_reader from_room, from_core;
    ring_writer_open(&room, back, RING, -1);
    ring_reader_open(&from_room, back, RING);
    ring_writer_open(&out, there, RING, -1);
    ring_reader_open(&from_core, there, RING);
    core_ledger_attach(world->core, LEDGER_CHARGING, from_room, out);
    for (int i = 0; i < MESSAGES_MAX && dro_cursor_left(in) > 3; i++) {
        uint8_t kind = (uint8_t)dro_cursor_le(in, 1);
        size_t length = dro_cursor_le(in, 2);
        if (length > dro_cursor_left(in))
            length = dro_cursor_left(in);
        const uint8_t *body = dro_cursor_bytes(in, length);
        if (ring_send(&room, kind < 128 ? MESSAGE_LEDGER_STATE : kind, 0, 0, body, (uint32_t)length))
            ring_publish(&room);
        world_settle(world);
        static world_request request; /* what is told of it can be shown */
        request_begin(&request, API_STATUS);
        request_send(world, 0, 5, &request);
        world_settle(world);
        ring_header header;
        dro_err err;
        while (ring_next(&from_core, &header, &err) != NULL)
            ring_done(&from_core, &header);
        assert(err == DRO_OK);
        ring_release(&from_core);
    }
    core_ledger_lost(world->core, LEDGER_CHARGING);
    world_settle(world);
    world_check(world);
    free(there);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    dro_log_setup("fuzz", DRO_LOG_NOTHING);
    dro_cursor in = dro_cursor_over(data + 1, size - 1);
    if (data[0] % 2 == 0)
        to_room(&in);
    else
        to_core(&in);
    return 0;
}
