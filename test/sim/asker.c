#include "asker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct asker here;
world_request request;

void asker_hears(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    (void)context;
    if (header->type == MESSAGE_CREDENTIAL || header->type == MESSAGE_SIGNING_KEY || header->type == MESSAGE_CAPIF)
        return;
    assert_true(here.count < HEARD_MAX);
    heard *heard = &here.heard[here.count++];
    *heard = (struct heard){ gate, *header, malloc(length + 1u) };
    memcpy(heard->body, body, length);
    heard->body[length] = '\0';
}

void asker_forget(void)
{
    while (here.count > 0)
        free(here.heard[--here.count].body);
}

void asker_begin(const world_options *options)
{
    world_init(&here.world, options);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_push_image(&here.world, THERMO);
    here.id = 100;
    asker_forget();
}

int asker_begin_with_cores(void **state)
{
    (void)state;
    world_options options = { .seed = 5, .cores = 3, .segment_bytes = 1 << 20, .on_message = asker_hears };
    asker_begin(&options);
    return 0;
}

int asker_end(void **state)
{
    (void)state;
    world_check(&here.world);
    world_fini(&here.world);
    asker_forget();
    return 0;
}

void on_twin(uint16_t operation, const char *id)
{
    request_begin(&request, operation);
    request_text(&request, API_FIELD_ID, id);
}

const heard *heard_of(uint64_t id)
{
    for (uint32_t i = here.count; i-- > 0;)
        if (here.heard[i].header.id == id)
            return &here.heard[i];
    return NULL;
}

const heard *ask(void)
{
    uint64_t id = ++here.id;
    assert_true(request_send(&here.world, 0, id, &request));
    world_settle(&here.world);
    return heard_of(id);
}

uint16_t status_of(const heard *heard)
{
    api_reply reply;
    assert_non_null(heard);
    assert_int_equal(heard->header.type, MESSAGE_API_REPLY);
    memcpy(&reply, heard->body, sizeof reply);
    return reply.status;
}

const char *json_of(const heard *heard)
{
    api_reply reply;
    memcpy(&reply, heard->body, sizeof reply);
    return heard->body + sizeof reply + reply.location_length;
}
