#include "fuzz_world.h"

#include <stdlib.h>

const char *const fuzz_ids[FUZZ_TWINS] = { "a@acme.example", "b@acme.example", "c@other.example", "d@acme.example" };
const char *const fuzz_imsis[FUZZ_TWINS] = { "001010000000001", "001010000000002", "001010000000003", "001010000000004" };

static world here;
static uint32_t uses;

static void world_end(void)
{
    if (uses > 0)
        world_fini(&here);
    uses = 0;
}

void fuzz_world_renew(void)
{
    world_end();
}

static void make_twins(void)
{
    static world_request request;
    for (uint32_t i = 0; i < FUZZ_TWINS; i++) {
        request_begin(&request, API_TWIN_PUT);
        request_text(&request, API_FIELD_ID, fuzz_ids[i]);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        request_text(&request, API_FIELD_IMSI, fuzz_imsis[i]);
        WORLD_ASSERT(request_send(&here, 0, 10 + i, &request));
        world_settle(&here);
        WORLD_ASSERT(world_connect(&here, 0, 20 + i, fuzz_imsis[i], WORLD_ESTABLISH, false));
        world_settle(&here);
    }
}

world *fuzz_world(bool has_cell, world_message_fn on_message)
{
    enum { USES_MAX = 200 };
    static bool is_registered;
    if (uses >= USES_MAX)
        world_end();
    if (uses++ > 0)
        return &here;
    if (!is_registered)
        is_registered = atexit(world_end) == 0;
    world_options options = { .seed = 5, .segment_bytes = 1 << 20, .is_charging = true, .on_message = on_message };
    world_init(&here, &options);
    WORLD_ASSERT(world_open(&here) == DRO_OK);
    world_push_image(&here, THERMO);
    make_twins();
    if (!has_cell) { /* the target answers turns instead */
        cell_free(here.room->cell);
        here.room->cell = NULL;
    }
    return &here;
}
