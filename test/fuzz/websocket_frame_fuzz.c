/* Frames of a websocket client: read whole and in two pieces, the same comes out. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/websocket/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_end(websocket_event event)
{
    return event == WEBSOCKET_BROKEN || event == WEBSOCKET_CLOSE || event == WEBSOCKET_NEEDS_MORE;
}

/* Events until the end, mixed into one number. */
static uint64_t hear_all(uint8_t *bytes, size_t size, size_t step)
{
    websocket_reader reader = { 0 };
    uint64_t sum = 1469598103934665603u;
    size_t at = 0, here = step < size ? step : size, used;
    for (;;) {
        websocket_text text;
        websocket_event event = websocket_read(&reader, bytes + at, here - at, &used, &text);
        assert(used <= here - at && text.length <= WEBSOCKET_MESSAGE_MAX);
        assert(event != WEBSOCKET_BROKEN || (reader.code >= 1002 && reader.code <= 1009));
        if (event == WEBSOCKET_NEEDS_MORE && here < size) {
            here = size;
            continue;
        }
        sum = (sum ^ (uint64_t)event ^ text.length << 8) * 1099511628211u;
        for (size_t i = 0; i < text.length; i++)
            sum = (sum ^ text.bytes[i]) * 1099511628211u;
        at += used;
        if (is_end(event))
            return sum ^ reader.code;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *whole = malloc(size), *split = malloc(size);
    if (whole != NULL && split != NULL) {
        memcpy(whole, data, size);
        memcpy(split, data, size);
        assert(hear_all(whole, size, size) == hear_all(split, size, data[size - 1]));
    }
    free(whole);
    free(split);
    return 0;
}
