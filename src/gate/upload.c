#include <stdlib.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/parts.h"

struct upload {
    upload *next;    /* oldest first: one goes to the core at a time */
    exchange *owner; /* NULL: the client is gone, but what was begun is finished */
    uint64_t id;
    gathered image;
    uint32_t sent, request_length;
    bool is_whole, is_begun;
    uint8_t request[HTTP_REQUEST_MAX];
};

bool upload_begin(http *http, exchange *exchange)
{
    upload **last = &http->uploads;
    if (http->upload_count >= HTTP_UPLOADS_MAX)
        return false;
    upload *made = calloc(1, sizeof *made);
    if (made == NULL)
        return false;
    while (*last != NULL)
        last = &(*last)->next;
    *last = made;
    http->upload_count++;
    made->owner = exchange;
    made->id = exchange_id(http, exchange, 0);
    exchange->kind = EXCHANGE_UPLOAD;
    exchange->upload = made;
    return true;
}

bool upload_take(exchange *exchange, const void *bytes, size_t length)
{
    return gathered_add(&exchange->upload->image, bytes, length, HTTP_IMAGE_MAX);
}

static void upload_free(http *http, upload *gone)
{
    upload **at = &http->uploads;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    http->upload_count--;
    if (gone->owner != NULL)
        gone->owner->upload = NULL;
    gathered_clear(&gone->image);
    free(gone);
}

void upload_end(http *http, exchange *exchange, const void *request, uint32_t length)
{
    upload *whole = exchange->upload;
    if (whole->image.length == 0) {
        answer_problem(exchange, 400, "the body must be a WebAssembly module");
        return;
    }
    whole->is_whole = true;
    whole->request_length = length < sizeof whole->request ? length : (uint32_t)sizeof whole->request;
    memcpy(whole->request, request, whole->request_length);
    upload_turn(http);
}

void upload_drop(http *http, exchange *exchange)
{
    upload *left = exchange->upload;
    if (left == NULL)
        return;
    left->owner = NULL;
    exchange->upload = NULL;
    if (!left->is_begun)
        upload_free(http, left);
}

/* One part; false: the ring is full. */
static bool send_part(http *http, upload *from)
{
    ring_writer *core = &http->config->to_core[0];
    uint32_t room = ring_body_max(core) - (uint32_t)sizeof from->request - 64;
    uint32_t part = from->image.length - from->sent;
    part = part < HTTP_IMAGE_PART ? part : HTTP_IMAGE_PART;
    part = part < room ? part : room;
    bool is_last = from->sent + part == from->image.length;
    uint32_t capacity = (uint32_t)sizeof from->request + part + 32;
    uint8_t *bytes = ring_reserve(core, capacity);
    if (bytes == NULL)
        return false;
    dro_builder out = dro_builder_over(bytes, capacity);
    dro_builder_bytes(&out, from->request, from->request_length);
    dro_field_put(&out, API_FIELD_BODY, from->image.bytes + from->sent, part);
    if (is_last)
        dro_field_put(&out, API_FIELD_LAST, NULL, 0);
    dro_field_pad(&out);
    ring_commit(core, MESSAGE_API, 0, from->id, (uint32_t)dro_builder_length(&out));
    from->sent += part;
    from->is_begun = true;
    return true;
}

/* The first that is whole, or that was begun. Parts of two are never mixed. */
static upload *next_upload(const http *http)
{
    for (upload *at = http->uploads; at != NULL; at = at->next)
        if (at->is_begun)
            return at;
    for (upload *at = http->uploads; at != NULL; at = at->next)
        if (at->is_whole)
            return at;
    return NULL;
}

void upload_turn(http *http)
{
    for (upload *at = next_upload(http); at != NULL; at = next_upload(http)) {
        while (at->sent < at->image.length)
            if (!send_part(http, at))
                return;
        upload_free(http, at);
    }
}

bool upload_is_waiting(const http *http)
{
    return next_upload(http) != NULL;
}
