/* Server-sent events, cut at a place the input chooses: the events must not depend on it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash, count;
};

static void mix(struct seen *seen, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        seen->hash = (seen->hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
}

static bool on_event(void *context, const sse_event *event)
{
    mix(context, event->id, strlen(event->id) + 1);
    mix(context, event->type, strlen(event->type) + 1);
    mix(context, event->data, event->data_length);
    ((struct seen *)context)->count++;
    return true;
}

static struct seen read_all(const char *text, size_t size, size_t step)
{
    struct seen seen = { 0xcbf29ce484222325u, 0 };
    sse_reader reader;
    sse_init(&reader, on_event, &seen);
    for (size_t at = 0; at < size; at += step)
        sse_feed(&reader, text + at, size - at < step ? size - at : step);
    sse_reset(&reader);
    sse_fini(&reader);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 1;
    struct seen whole = read_all(text, size - 1, size), parts = read_all(text, size - 1, 1 + data[0] % 7);
    assert(whole.hash == parts.hash && whole.count == parts.count);
    return 0;
}
