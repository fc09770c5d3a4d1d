/* Fields of records as a hostile log would have them, sealed so that they open: recovery
 * takes them or says what is wrong, and what it took can be shown. Input: kind u8, twin u8
 * (0: the host's tables, 1: one that is here, else a new one), fields. */
#include <stdlib.h>

#include "core/record.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "fuzz_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 48, FIELDS_MAX = 64 * 1024 };

static size_t seal(core *core, int kind, uint64_t number, const uint8_t *fields, size_t length, uint8_t *out)
{
    uint32_t sealed = (uint32_t)length + VAULT_OVERHEAD, domain = number == 0 ? 0 : 1;
    memset(out, 0, HEADER);
    out[8] = (uint8_t)kind;
    memcpy(out + 12, &domain, 4);
    memcpy(out + 16, &number, 8);
    memcpy(out + 40, &sealed, 4);
    vault_seal_log(core->vault, domain, out + 8, HEADER - 8, fields, length, out + HEADER);
    return HEADER + sealed;
}

static void show(world *world, uint16_t operation, const char *id)
{
    static world_request request;
    request_begin(&request, operation);
    if (id != NULL)
        request_text(&request, API_FIELD_ID, id);
    request_send(world, 0, 1, &request);
    world_settle(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t record[HEADER + FIELDS_MAX + VAULT_OVERHEAD];
    if (size < 2 || size > FIELDS_MAX)
        return 0;
    world *world = fuzz_world(true, NULL);
    core *core = world->core;
    uint64_t number = data[1] == 0 ? 0 : data[1] == 1 ? twin_at(core, 0)->number : (uint64_t)data[1] << 40;
    size_t length = seal(core, data[0], number, data + 2, size - 2, record);
    dro_err err = record_replay_any(core, 0, 8, record, length);
    uint32_t index = number == 0 ? NONE : twin_find_number(core, number);
    if (index != NONE && timers_update(core, index) != DRO_OK)
        abort();
    show(world, API_TWIN_LIST, NULL);
    show(world, API_DEAD_LETTERS, NULL);
    if (index != NONE)
        show(world, API_TICKET_LIST, fuzz_ids[0]);
    if (err == DRO_OK && index != NONE && twin_find_number(core, number) == index)
        record_full(core, index); /* what came in goes out again */
    dumps_forget(core);
    fuzz_world_renew(); /* numbers of twins, tickets and events are anybody's now */
    return 0;
}
