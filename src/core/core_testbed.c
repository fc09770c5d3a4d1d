#include "core/core_testbed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/number.h"
#include "core/twin_table.h"

int bed_begin(void **state)
{
    (void)state;
    world_options options = { .seed = 11, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 4 * SEGMENT, .on_message = asker_hears };
    asker_begin(&options);
    return 0;
}

void reopen(void)
{
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    world_check(&here.world);
}

uint32_t make_twin(const char *id, const char *imsi)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    if (imsi != NULL)
        request_text(&request, API_FIELD_IMSI, imsi);
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = twin_find(here.world.core, id, strlen(id));
    assert_true(index != NONE);
    return index;
}

const heard *write_property(const char *id, const char *name, value value)
{
    on_twin(API_PROPERTY_PUT, id);
    request_text(&request, API_FIELD_NAME, name);
    request_value(&request, &value);
    return ask();
}

const heard *write_period(const char *id, int64_t seconds)
{
    return write_property(id, "period", (value){ .kind = VALUE_INTEGER, .integer = seconds });
}

const heard *blink(const char *id)
{
    static const uint8_t input[] = { 7, 's', 'e', 'c', 'o', 'n', 'd', 's', VALUE_INTEGER, 9, 0, 0, 0, 0, 0, 0, 0 };
    on_twin(API_ACTION, id);
    request_text(&request, API_FIELD_NAME, "blink");
    request_bytes(&request, API_FIELD_INPUT, input, sizeof input);
    return ask();
}

network_answer uplink(const char *imsi, uint32_t end_to_end, const void *data, size_t length)
{
    network_answer answer;
    world_frame frame = { .end_to_end = end_to_end, .data = data, .length = length };
    assert_true(world_uplink(&here.world, 0, ++here.id, imsi, &frame));
    world_settle(&here.world);
    memcpy(&answer, heard_of(here.id)->body, sizeof answer);
    return answer;
}

network_answer reading(const char *imsi, uint32_t end_to_end, uint8_t sequence)
{
    uint8_t frame[8] = { 1, sequence, 8, 0, 100, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    return uplink(imsi, end_to_end, frame, sizeof frame);
}

void connect_device(const char *imsi)
{
    assert_true(world_connect(&here.world, 0, ++here.id, imsi, WORLD_ESTABLISH, false));
    world_settle(&here.world);
}

const heard *downlink_heard(void)
{
    for (uint32_t i = here.count; i-- > 0;)
        if (here.heard[i].header.type == MESSAGE_DOWNLINK)
            return &here.heard[i];
    return NULL;
}

void answer_downlink(uint32_t result, uint32_t experimental)
{
    downlink_answer answer = { .outcome = DOWNLINK_ANSWERED, .result = result, .experimental = experimental };
    const heard *asked = downlink_heard();
    assert_non_null(asked);
    uint64_t id = asked->header.id;
    asker_forget();
    assert_true(world_downlink_answer(&here.world, 0, id, &answer));
    world_settle(&here.world);
}

const ticket *newest(uint32_t index)
{
    return twin_at(here.world.core, index)->extra->tickets;
}
