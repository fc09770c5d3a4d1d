/* dromio peer trace: the messages of a device or peer, drawn as a ladder. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "commands.h"
#include "moment.h"
#include "text.h"

enum {
    PEER_LANE = 18,           /* columns between the bars */
    APPLICATION_LANE = 32,
    APPLICATION_WORD = 13,    /* behind its bar: the word above it, and room */
    POLL_MS = 300,
    FAREWELL_MS = 5000,
    PAST_SHOWN = 40,          /* of the log, where the trace has nothing yet */
    LIFE_MAX_MS = 3600000,
};

struct tracing {
    struct cli *cli;
    const char *id;           /* NULL: all peers */
    struct buffer path;       /* "/v1/traces/..." */
    bool is_new, is_ended, is_twin, has_head;
    uint64_t after;
    long shown, left;         /* messages to show; left -1: no end */
    int64_t deadline_ms;      /* -1: none */
};

/* ---- the ladder ---- */

static void arrow(struct buffer *line, int lane, bool is_rightwards, const char *label)
{
    int used = (int)strlen(label);
    buffer_text(line, is_rightwards ? "|-- " : "|<- ");
    buffer_text(line, label);
    buffer_text(line, " ");
    for (int i = used + 4; i < lane - 1; i++)
        buffer_text(line, "-");
    buffer_text(line, is_rightwards ? ">" : "-");
}

static void gap(struct buffer *line, int lane)
{
    buffer_printf(line, "|%*s", lane, "");
}

/* "NiddUplinkDataNotification" is shown as "UplinkData": the lane says the rest. */
static void label_of(char out[48], const char *command, bool is_answer, bool is_t8, long result)
{
    static const char before[] = "Nidd", behind[] = "Notification";
    size_t length = strlen(command);
    if (is_t8 && is_answer) {
        if (result > 0)
            snprintf(out, 48, "%ld", result);
        else
            snprintf(out, 48, "no answer");
        return;
    }
    if (is_t8 && strncmp(command, before, sizeof before - 1) == 0) {
        command += sizeof before - 1;
        length -= sizeof before - 1;
    }
    if (is_t8 && length > sizeof behind && strcmp(command + length - (sizeof behind - 1), behind) == 0)
        length -= sizeof behind - 1;
    if (length > APPLICATION_LANE - 6)
        length = APPLICATION_LANE - 6;
    if (is_answer && result > 0)
        snprintf(out, 48, "%.*s %ld", (int)length, command, result);
    else
        snprintf(out, 48, "%.*s", (int)length, command);
}

static void ladder_head(struct tracing *trace)
{
    if (trace->has_head || trace->cli->format != OUTPUT_TABLE)
        return;
    trace->has_head = true;
    fprintf(trace->cli->out, "%-24s  %-*s%-*s%-*s%s\n", "TIME", PEER_LANE + 1, "PEER", APPLICATION_LANE + 1, "HOST", APPLICATION_WORD + 1, "APPLICATION",
            "WITH");
}

typedef struct step { /* one line of the ladder */
    const char *time, *command, *peer, *device, *end_to_end, *hop_by_hop;
    bool is_t8, is_out, is_answer;
    long result, bytes;
} step;

static void add_more(struct buffer *line, const char *before, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    buffer_text(line, before);
    text_escape(line, text, strlen(text));
}

static void ladder_step(struct tracing *trace, const step *shown)
{
    struct buffer line = { 0 };
    struct buffer name = { 0 };
    char label[48];
    ladder_head(trace);
    text_escape(&name, shown->command, strlen(shown->command));
    label_of(label, buffer_string(&name), shown->is_answer, shown->is_t8, shown->result);
    buffer_printf(&line, "%-24s  ", shown->time);
    if (shown->is_t8) {
        gap(&line, PEER_LANE);
        arrow(&line, APPLICATION_LANE, shown->is_out, label);
    } else {
        arrow(&line, PEER_LANE, !shown->is_out, label);
        gap(&line, APPLICATION_LANE);
    }
    gap(&line, APPLICATION_WORD);
    text_escape(&line, shown->peer, strlen(shown->peer));
    if (shown->bytes > 0)
        buffer_printf(&line, "  %ld B", shown->bytes);
    if (!trace->is_twin)
        add_more(&line, "  ", shown->device);
    add_more(&line, "  hop ", shown->hop_by_hop);
    add_more(&line, "  end ", shown->end_to_end);
    fprintf(trace->cli->out, "%s\n", buffer_string(&line));
    trace->shown++;
    buffer_fini(&line);
    buffer_fini(&name);
}

/* ---- messages of the trace ---- */

static bool is_text(const yyjson_val *object, const char *name, const char *text)
{
    return strcmp(member_text(object, name), text) == 0;
}

static void show_message(struct tracing *trace, yyjson_val *message)
{
    if (trace->cli->format != OUTPUT_TABLE) {
        json_print(trace->cli, message, false);
        trace->shown++;
        return;
    }
    ladder_step(trace, &(step){
        .time = member_text(message, "time"), .command = member_text(message, "command"), .peer = member_text(message, "peer"),
        .device = member_text(message, "device"), .end_to_end = member_text(message, "end_to_end"),
        .hop_by_hop = member_text(message, "hop_by_hop"), .is_t8 = is_text(message, "protocol", "t8"),
        .is_out = is_text(message, "direction", "out"), .is_answer = is_text(message, "kind", "answer"),
        .result = (long)yyjson_get_uint(yyjson_obj_get(message, "result")), .bytes = (long)yyjson_get_uint(yyjson_obj_get(message, "bytes")),
    });
}

/* One page from `after` on; *has_more: there are others already. */
static int show_page(struct tracing *trace, bool *has_more)
{
    struct buffer path = { 0 };
    yyjson_doc *doc;
    yyjson_val *message;
    size_t index, max;
    char after[24];
    snprintf(after, sizeof after, "%llu", (unsigned long long)trace->after);
    buffer_text(&path, buffer_string(&trace->path));
    url_query(&path, "after", after);
    int code = cli_get(trace->cli, buffer_string(&path), &doc);
    buffer_fini(&path);
    *has_more = false;
    if (code != EXIT_OK)
        return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t lost = yyjson_get_uint(yyjson_obj_get(root, "lost"));
    if (lost > 0)
        cli_note("%llu messages are missing: there were more than are kept", (unsigned long long)lost);
    yyjson_arr_foreach(yyjson_obj_get(root, "messages"), index, max, message)
    {
        if (trace->left == 0 || moment_is_interrupted())
            break;
        show_message(trace, message);
        if (trace->left > 0)
            trace->left--;
    }
    fflush(trace->cli->out);
    trace->after = yyjson_get_uint(yyjson_obj_get(root, "next"));
    trace->is_ended = is_text(root, "state", "ended");
    *has_more = yyjson_get_bool(yyjson_obj_get(root, "more"));
    yyjson_doc_free(doc);
    return EXIT_OK;
}

/* ---- what the log has of before ---- */

/* What became of a downlink, beside the lanes: the log has when, but no message of its own for it. */
static void show_past_delivery(struct tracing *trace, yyjson_val *event)
{
    struct buffer line = { 0 };
    ladder_head(trace);
    buffer_printf(&line, "%-24s  ", member_text(event, "time"));
    gap(&line, PEER_LANE);
    gap(&line, APPLICATION_LANE);
    add_more(&line, "|  delivery ", member_text(event, "outcome"));
    fprintf(trace->cli->out, "%s\n", buffer_string(&line));
    trace->shown++;
    buffer_fini(&line);
}

/* Of a ticket, not of T8: sent and answered are messages, all else happened here. */
static bool is_message(yyjson_val *event)
{
    return !is_text(event, "kind", "delivery") ||
           (yyjson_is_uint(yyjson_obj_get(event, "id")) && (is_text(event, "outcome", "sent") || is_text(event, "outcome", "delivered")));
}

static void show_past_event(struct tracing *trace, yyjson_val *event)
{
    yyjson_val *network = yyjson_obj_get(event, "network");
    if (!yyjson_is_obj(network))
        return;
    if (!is_message(event)) {
        show_past_delivery(trace, event);
        return;
    }
    const char *command = member_text(network, "command");
    step shown = { .time = member_text(event, "time"), .command = command, .peer = member_text(network, "peer"),
                   .end_to_end = member_text(network, "end_to_end"), .is_out = strcmp(command, "TDR") == 0,
                   .is_answer = strcmp(command, "TDA") == 0 };
    char answer[8];
    char text[48];
    if (shown.is_answer) {
        snprintf(text, sizeof text, "TDA %.10s", member_text(event, "outcome"));
        shown.command = text;
    }
    ladder_step(trace, &shown);
    if (shown.is_out || shown.is_answer)
        return;
    snprintf(answer, sizeof answer, "%.2sA", command); /* of CMR the CMA: what is in the log was answered */
    shown.command = answer;
    shown.is_out = shown.is_answer = true;
    shown.result = is_text(event, "kind", "uplink") ? (long)yyjson_get_uint(yyjson_obj_get(network, "result")) : 2001;
    ladder_step(trace, &shown);
}

static int show_past(struct tracing *trace)
{
    struct buffer path = { 0 };
    yyjson_doc *doc;
    char limit[16];
    buffer_text(&path, "/v1/twins");
    url_add(&path, "/", trace->id);
    buffer_text(&path, "/timeline");
    snprintf(limit, sizeof limit, "%d", PAST_SHOWN);
    url_query(&path, "limit", limit);
    url_query(&path, "network", "true");
    int code = cli_get(trace->cli, buffer_string(&path), &doc);
    buffer_fini(&path);
    if (code != EXIT_OK)
        return code;
    yyjson_val *events = yyjson_obj_get(yyjson_doc_get_root(doc), "events");
    for (size_t i = yyjson_arr_size(events); i > 0; i--) /* newest first in there */
        show_past_event(trace, yyjson_arr_get(events, i - 1));
    fflush(trace->cli->out);
    yyjson_doc_free(doc);
    return EXIT_OK;
}

/* ---- the command ---- */

static int begin(struct tracing *trace)
{
    const char *life = invocation_option(trace->cli->in, "--for");
    struct buffer body = { 0 };
    yyjson_mut_doc *asked = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(asked);
    yyjson_mut_doc_set_root(asked, root);
    yyjson_mut_obj_add_str(asked, root, trace->is_twin ? "twin" : "peer", trace->id != NULL ? trace->id : "*");
    if (life != NULL)
        yyjson_mut_obj_add_uint(asked, root, "seconds", (uint64_t)((duration_ms(life) + 999) / 1000));
    yyjson_doc *doc = NULL;
    int code = EXIT_FAILED;
    if (json_write(&body, asked)) {
        struct request request = { .method = "POST", .path = "/v1/traces", .body = buffer_string(&body), .body_length = body.length };
        code = cli_json(trace->cli, &request, &doc);
    }
    if (code == EXIT_OK) {
        yyjson_val *told = yyjson_doc_get_root(doc);
        buffer_text(&trace->path, "/v1/traces");
        url_add(&trace->path, "/", member_text(told, "trace"));
        trace->is_new = !yyjson_get_bool(yyjson_obj_get(told, "continued"));
        cli_note("traced until %s", member_text(told, "until"));
    }
    yyjson_doc_free(doc);
    yyjson_mut_doc_free(asked);
    buffer_fini(&body);
    return code;
}

static bool is_over(const struct tracing *trace)
{
    return moment_is_interrupted() || trace->is_ended || trace->left == 0 ||
           (trace->deadline_ms >= 0 && moment_ms() >= trace->deadline_ms);
}

static bool has_past(const struct tracing *trace)
{
    return trace->is_twin && trace->is_new && trace->cli->format == OUTPUT_TABLE;
}

/* A trace of a peer may begin before the peer is there; a mistyped name should not look like one. */
static void tell_unknown_peer(struct tracing *trace)
{
    yyjson_doc *doc = NULL;
    yyjson_val *peer;
    size_t index, max;
    bool is_known = false;
    if (trace->is_twin || trace->id == NULL || !trace->is_new || cli_get(trace->cli, "/v1/peers", &doc) != EXIT_OK)
        return;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "peers"), index, max, peer)
        is_known |= strcasecmp(member_text(peer, "identity"), trace->id) == 0;
    if (!is_known)
        cli_note("no peer %s is known here now: dromio peers shows those that are", trace->id);
    yyjson_doc_free(doc);
}

/* --count is of what comes: what the log has does not count. */
static int follow(struct tracing *trace)
{
    ladder_head(trace);
    int code = has_past(trace) ? show_past(trace) : EXIT_OK;
    bool has_more = true;
    trace->shown = 0;
    fflush(trace->cli->out);
    while (code == EXIT_OK && !is_over(trace)) {
        if (!has_more)
            moment_wait(POLL_MS);
        code = show_page(trace, &has_more);
    }
    return code;
}

static int show(struct tracing *trace)
{
    bool has_more = true;
    int code = EXIT_OK;
    while (code == EXIT_OK && has_more && trace->left != 0)
        code = show_page(trace, &has_more);
    if (code != EXIT_OK || trace->shown > 0)
        return code;
    if (has_past(trace)) {
        code = show_past(trace);
        cli_note("this is what the log has; what comes from now on is traced: ask again, or --follow");
    } else {
        cli_note("nothing has come since it is traced");
    }
    return code;
}

static int end(struct tracing *trace)
{
    struct request request = { .method = "DELETE", .path = buffer_string(&trace->path), .is_farewell = true, .timeout_ms = FAREWELL_MS };
    struct response response;
    int code = client_call(trace->cli->client, &request, &response);
    response_fini(&response);
    return code;
}

static int check(struct tracing *trace)
{
    const invocation *in = trace->cli->in;
    const char *life = invocation_option(in, "--for"), *timeout = invocation_option(in, "--timeout");
    const char *count = invocation_option(in, "--count");
    if (life != NULL && (duration_ms(life) <= 0 || duration_ms(life) > LIFE_MAX_MS))
        return cli_fail(EXIT_USAGE, "--for takes a time such as 10m, at most 60m, not %s", life);
    if (timeout != NULL && duration_ms(timeout) < 0)
        return cli_fail(EXIT_USAGE, "--timeout takes a time such as 10s, not %s", timeout);
    if (count != NULL && (trace->left = count_parse(count)) < 0)
        return cli_fail(EXIT_USAGE, "--count takes a whole number, not %s", count);
    if (timeout != NULL)
        trace->deadline_ms = moment_ms() + duration_ms(timeout);
    return EXIT_OK;
}

int peer_trace(struct cli *cli)
{
    struct tracing trace = { .cli = cli, .id = invocation_argument(cli->in, 0), .left = -1, .deadline_ms = -1 };
    bool is_followed = invocation_has(cli->in, "--follow");
    trace.is_twin = trace.id != NULL && strchr(trace.id, '@') != NULL;
    int code = check(&trace);
    if (is_followed)
        moment_catch_interrupts();
    if (code == EXIT_OK)
        code = begin(&trace);
    if (code == EXIT_OK && !invocation_has(cli->in, "--stop"))
        tell_unknown_peer(&trace);
    if (code == EXIT_OK && invocation_has(cli->in, "--stop"))
        code = end(&trace);
    else if (code == EXIT_OK && is_followed)
        code = follow(&trace);
    else if (code == EXIT_OK)
        code = show(&trace);
    if (code == EXIT_OK && is_followed && invocation_option(cli->in, "--count") != NULL && trace.left > 0 && !moment_is_interrupted())
        code = cli_fail(EXIT_TIMED_OUT, "%ld messages came in time", trace.shown);
    bool is_left = code == EXIT_OK || moment_is_interrupted();
    if (is_left && trace.is_new && is_followed)
        code = end(&trace); /* nobody looks any more; where that fails it ends by itself */
    buffer_fini(&trace.path);
    return moment_is_interrupted() ? EXIT_OK : code;
}
