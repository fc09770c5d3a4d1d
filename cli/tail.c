#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "moment.h"
#include "sse.h"
#include "text.h"

enum { BACKOFF_MS_FIRST = 250, BACKOFF_MS_MAX = 10000 };

struct tail {
    struct cli *cli;
    sse_reader reader;
    long count, left;    /* events to show; -1: no end */
    int64_t deadline_ms; /* -1: none */
    bool was_connected, is_done;
    int64_t backoff_ms;
};

static bool is_over(const struct tail *tail)
{
    return moment_is_interrupted() || tail->is_done || (tail->deadline_ms >= 0 && moment_ms() >= tail->deadline_ms);
}

static void add_value(struct buffer *line, yyjson_val *value)
{
    if (value == NULL)
        return;
    if (yyjson_is_str(value)) {
        text_escape(line, yyjson_get_str(value), yyjson_get_len(value));
        return;
    }
    size_t length = 0;
    char *text = yyjson_val_write(value, 0, &length);
    text_escape(line, text != NULL ? text : "", length);
    free(text);
}

static void add_member(struct buffer *line, const char *before, yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (value == NULL || yyjson_is_null(value))
        return;
    buffer_text(line, before);
    add_value(line, value);
}

/* "12:00:00.000  meter-17@acme.example  temperature = 21.4 Cel  corrected" */
static void add_event(struct buffer *line, const char *type, yyjson_val *event)
{
    yyjson_val *data = yyjson_obj_get(event, "data");
    bool is_property = strcmp(type, "dromio.property.changed.v1") == 0;
    add_member(line, "", yyjson_obj_get(data, "time") != NULL ? data : event, "time");
    add_member(line, "  ", event, "subject");
    buffer_text(line, "  ");
    if (is_property) {
        add_member(line, "", data, "property");
        add_member(line, " = ", data, "value");
        add_member(line, " ", data, "unit");
        add_member(line, "  ", data, "quality");
        return;
    }
    if (strcmp(type, "dromio.ticket.v1") == 0) {
        add_member(line, "ticket ", data, "ticket");
        add_member(line, "  ", data, "property");
        add_member(line, "  ", data, "action");
        add_member(line, " = ", data, "value");
        add_member(line, "  ", data, "state");
        add_member(line, "  ", data, "reason");
        return;
    }
    size_t length = strlen(type);
    bool is_ours = strncmp(type, "dromio.", 7) == 0 && length > 10 && strcmp(type + length - 3, ".v1") == 0;
    text_escape(line, is_ours ? type + 7 : type, is_ours ? length - 10 : length);
    if (data != NULL && !yyjson_is_null(data)) {
        buffer_text(line, "  ");
        add_value(line, data);
    }
}

static bool on_event(void *context, const sse_event *event)
{
    struct tail *tail = context;
    struct buffer line = { 0 };
    yyjson_doc *doc = yyjson_read(event->data, event->data_length, 0);
    tail->backoff_ms = BACKOFF_MS_FIRST;
    if (doc == NULL) {
        cli_note("an event is not JSON and was left out");
        return true;
    }
    if (tail->cli->format == OUTPUT_TABLE)
        add_event(&line, event->type, yyjson_doc_get_root(doc));
    else
        text_escape_json(&line, event->data, event->data_length);
    fprintf(tail->cli->out, "%s\n", buffer_string(&line));
    fflush(tail->cli->out);
    buffer_fini(&line);
    yyjson_doc_free(doc);
    if (tail->left > 0) {
        tail->left--;
        tail->is_done = tail->is_done || tail->left == 0;
    }
    return !is_over(tail);
}

static bool on_bytes(void *context, const char *bytes, size_t length)
{
    struct tail *tail = context;
    tail->was_connected = true;
    return sse_feed(&tail->reader, bytes, length) && !is_over(tail);
}

static bool on_idle(void *context)
{
    return !is_over(context);
}

/* One connection, until it ends. EXIT_OK: try again; else the reason not to. */
static int follow(struct tail *tail, const char *path)
{
    char resume[SSE_ID_MAX + 32];
    struct response response;
    struct request request = { .method = "GET",
                               .path = path,
                               .accept = "text/event-stream",
                               .timeout_ms = -1,
                               .on_bytes = on_bytes,
                               .on_idle = on_idle,
                               .context = tail };
    int code;
    snprintf(resume, sizeof resume, "Last-Event-ID: %s", tail->reader.id);
    if (tail->reader.id[0] != '\0')
        request.headers[0] = resume;
    client_send(tail->cli->client, &request, &response);
    bool can_come_back = response.transport != EXIT_OK || response.status == 429 || response.status >= 500;
    if (is_over(tail) || response.is_ended) {
        code = EXIT_OK;
    } else if (response.transport == EXIT_OK && response.status < 300) {
        cli_note("the host ended the stream; connecting again");
        code = EXIT_OK;
    } else if (tail->was_connected && can_come_back) {
        cli_note("lost %s: %s; connecting again", client_host(tail->cli->client),
                 response.transport != EXIT_OK ? response.reason : "it is busy");
        code = EXIT_OK;
    } else {
        code = client_judge(tail->cli->client, &response);
    }
    response_fini(&response);
    sse_reset(&tail->reader);
    return code;
}

/* Waits before the next try; Ctrl-C and the deadline end the wait. */
static void back_off(struct tail *tail)
{
    int64_t wait = tail->reader.retry_ms > tail->backoff_ms ? tail->reader.retry_ms : tail->backoff_ms;
    int64_t left = tail->deadline_ms >= 0 ? tail->deadline_ms - moment_ms() : wait;
    if (wait > BACKOFF_MS_MAX)
        wait = BACKOFF_MS_MAX;
    if (wait > left)
        wait = left > 0 ? left : 0;
    moment_wait(wait);
    tail->backoff_ms = tail->backoff_ms * 2 < BACKOFF_MS_MAX ? tail->backoff_ms * 2 : BACKOFF_MS_MAX;
}

static int check_options(struct tail *tail)
{
    const invocation *in = tail->cli->in;
    const char *count = invocation_option(in, "--count"), *timeout = invocation_option(in, "--timeout");
    const char *after = invocation_option(in, "--after");
    if (count != NULL && (tail->left = tail->count = count_parse(count)) < 0)
        return cli_fail(EXIT_USAGE, "--count takes a whole number, not %s", count);
    if (timeout != NULL && duration_ms(timeout) < 0)
        return cli_fail(EXIT_USAGE, "--timeout takes a time such as 10s, not %s", timeout);
    if (timeout != NULL)
        tail->deadline_ms = moment_ms() + duration_ms(timeout);
    if (after == NULL)
        return EXIT_OK;
    for (const char *at = after; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~')
            return cli_fail(EXIT_USAGE, "--after takes an event's id, not %s", after);
    }
    if (strlen(after) > SSE_ID_MAX)
        return cli_fail(EXIT_USAGE, "the id of --after is too long");
    memcpy(tail->reader.id, after, strlen(after) + 1);
    sse_reset(&tail->reader);
    return EXIT_OK;
}

int tail_events(struct cli *cli)
{
    struct tail tail = { .cli = cli, .count = -1, .left = -1, .deadline_ms = -1, .backoff_ms = BACKOFF_MS_FIRST };
    struct buffer path = { 0 };
    sse_init(&tail.reader, on_event, &tail);
    int code = check_options(&tail);
    moment_catch_interrupts();
    buffer_text(&path, "/v1/events");
    url_query(&path, "twin", invocation_option(cli->in, "--twin"));
    url_query(&path, "model", invocation_option(cli->in, "--model"));
    url_query(&path, "property", invocation_option(cli->in, "--property"));
    while (code == EXIT_OK && !is_over(&tail)) {
        code = follow(&tail, buffer_string(&path));
        if (code == EXIT_OK && !is_over(&tail))
            back_off(&tail);
    }
    if (tail.reader.id[0] != '\0')
        cli_note("last event: %s", tail.reader.id);
    if (tail.reader.dropped > 0)
        cli_note("%llu events were too long and were left out", (unsigned long long)tail.reader.dropped);
    if (code == EXIT_OK && tail.left > 0 && !moment_is_interrupted())
        code = cli_fail(EXIT_TIMED_OUT, "%ld of %ld events came in time", tail.count - tail.left, tail.count);
    buffer_fini(&path);
    sse_fini(&tail.reader);
    return code;
}
