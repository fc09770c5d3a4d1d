#include "sse.h"

#include <stdlib.h>
#include <string.h>

void sse_init(sse_reader *reader, sse_event_fn on_event, void *context)
{
    *reader = (sse_reader){ .on_event = on_event, .context = context, .retry_ms = -1 };
    reader->line.limit = SSE_LINE_MAX;
    reader->data.limit = SSE_DATA_MAX;
}

void sse_fini(sse_reader *reader)
{
    buffer_fini(&reader->line);
    buffer_fini(&reader->data);
}

static void forget_event(sse_reader *reader)
{
    buffer_clear(&reader->data);
    reader->type[0] = '\0';
    reader->has_data = false;
    reader->is_dropping_event = false;
}

void sse_reset(sse_reader *reader)
{
    forget_event(reader);
    buffer_clear(&reader->line);
    memcpy(reader->pending_id, reader->id, sizeof reader->id);
    reader->is_dropping_line = reader->was_cr = reader->is_begun = false;
}

static bool dispatch(sse_reader *reader)
{
    bool goes_on = true;
    memcpy(reader->id, reader->pending_id, sizeof reader->id);
    if (reader->is_dropping_event) {
        reader->dropped++;
    } else if (reader->has_data) {
        sse_event event = { reader->id, reader->type[0] != '\0' ? reader->type : "message",
                            buffer_string(&reader->data), reader->data.length };
        goes_on = reader->on_event(reader->context, &event);
    }
    forget_event(reader);
    return goes_on;
}

static void take_data(sse_reader *reader, const char *value, size_t length)
{
    if (reader->has_data)
        buffer_put(&reader->data, "\n", 1);
    buffer_put(&reader->data, value, length);
    reader->has_data = true;
    if (reader->data.is_full)
        reader->is_dropping_event = true;
}

static void take_retry(sse_reader *reader, const char *value, size_t length)
{
    enum { RETRY_DIGITS_MAX = 9 };
    if (length == 0 || length > RETRY_DIGITS_MAX || strspn(value, "0123456789") < length)
        return;
    reader->retry_ms = strtol(value, NULL, 10);
}

static void take_field(sse_reader *reader, const char *name, size_t name_length, const char *value, size_t length)
{
    if (name_length == 4 && memcmp(name, "data", 4) == 0) {
        take_data(reader, value, length);
    } else if (name_length == 5 && memcmp(name, "event", 5) == 0) {
        if (length > SSE_TYPE_MAX || memchr(value, '\0', length) != NULL) {
            reader->is_dropping_event = true;
            return;
        }
        memcpy(reader->type, value, length);
        reader->type[length] = '\0';
    } else if (name_length == 2 && memcmp(name, "id", 2) == 0) {
        /* The standard: an id with a NUL is ignored. One too long would not come back whole: ignored too. */
        if (length > SSE_ID_MAX || memchr(value, '\0', length) != NULL)
            return;
        memcpy(reader->pending_id, value, length);
        reader->pending_id[length] = '\0';
    } else if (name_length == 5 && memcmp(name, "retry", 5) == 0) {
        take_retry(reader, value, length);
    }
}

static bool take_line(sse_reader *reader)
{
    const char *line = buffer_string(&reader->line);
    size_t length = reader->line.length;
    if (!reader->is_begun && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3; /* one byte order mark may lead the stream */
        length -= 3;
    }
    reader->is_begun = true;
    if (reader->is_dropping_line) {
        reader->is_dropping_line = false;
        reader->is_dropping_event = true;
        buffer_clear(&reader->line);
        return true;
    }
    if (length == 0) {
        buffer_clear(&reader->line);
        return dispatch(reader);
    }
    const char *colon = memchr(line, ':', length);
    size_t name_length = colon != NULL ? (size_t)(colon - line) : length;
    const char *value = colon != NULL ? colon + 1 : line + length;
    size_t value_length = (size_t)(line + length - value);
    if (value_length > 0 && value[0] == ' ') {
        value++;
        value_length--;
    }
    take_field(reader, line, name_length, value, value_length);
    buffer_clear(&reader->line);
    return true;
}

bool sse_feed(sse_reader *reader, const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        if (reader->was_cr && bytes[at] == '\n') {
            reader->was_cr = false; /* second half of CR LF */
            at++;
            continue;
        }
        reader->was_cr = false;
        size_t end = at;
        while (end < length && bytes[end] != '\n' && bytes[end] != '\r')
            end++;
        if (!reader->is_dropping_line)
            buffer_put(&reader->line, bytes + at, end - at);
        if (reader->line.is_full) {
            reader->is_dropping_line = true;
            buffer_clear(&reader->line);
        }
        if (end == length)
            return true;
        reader->was_cr = bytes[end] == '\r';
        at = end + 1;
        if (!take_line(reader))
            return false;
    }
    return true;
}
