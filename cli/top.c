/* Top: the host at work, from two looks at /metrics and the peers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "moment.h"
#include "samples.h"
#include "text.h"

enum { ROWS_USUAL = 24, COLUMNS_USUAL = 80, INTERVAL_MS = 1000, INTERVAL_MS_LEAST = 100, NAME_BYTES = 64, PEER_BYTES = 256 };

typedef struct look {
    samples metrics;
    yyjson_doc *peers; /* NULL: they may not be seen */
    int64_t at_ms;
} look;

/* What is shown of a metric: per second, or as it is. `label` NULL: the sum over all. */
static const struct figure {
    const char *name, *metric, *label;
    bool is_rate;
} figures[] = {
    { "turns", "dromio_turns_total", NULL, true },
    { "commits", "dromio_commits_total", NULL, true },
    { "uplinks", "dromio_uplinks_total", NULL, true },
    { "downlinks", "dromio_downlinks_total", NULL, true },
    { "duplicates", "dromio_duplicates_total", NULL, true },
    { "dead_letters", "dromio_dead_letters_total", NULL, true },
    { "http_answers", "dromio_http_answers_total", NULL, true },
    { "http_4xx", "dromio_http_answers_total", "status=\"4xx\"", true },
    { "http_5xx", "dromio_http_answers_total", "status=\"5xx\"", true },
    { "refused_http", "dromio_http_refused_total", NULL, true },
    { "refused_diameter", "dromio_diameter_drops_total", NULL, true },
    { "refused_mailbox", "dromio_refused_total", NULL, true },
    { "twins", "dromio_twins", NULL, false },
    { "mailbox", "dromio_mailbox_downlinks", NULL, false },
    { "turns_in_flight", "dromio_turns_in_flight", NULL, false },
    { "event_streams", "dromio_event_streams", NULL, false },
    { "http_connections", "dromio_http_connections", NULL, false },
    { "log_bytes", "dromio_log_bytes", NULL, false },
    { "columns_bytes", "dromio_columns_bytes", NULL, false },
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

/* Histograms of /metrics, told as percentiles of what was measured between two looks. */
static const struct latency { const char *name, *metric; } latencies[] = {
    { "uplink", "dromio_uplink_seconds" },
    { "http", "dromio_http_request_seconds" },
    { "round", "dromio_round_seconds" },
    { "turn_cpu", "dromio_turn_cpu_seconds" },
};
enum { LATENCIES = sizeof latencies / sizeof latencies[0] };

/* ---- looking ---- */

static void look_fini(look *look)
{
    samples_fini(&look->metrics);
    yyjson_doc_free(look->peers);
    *look = (struct look){ 0 };
}

static yyjson_doc *look_at_peers(struct cli *cli)
{
    struct request request = { .method = "GET", .path = "/v1/peers" };
    struct response response;
    client_send(cli->client, &request, &response);
    yyjson_doc *doc = response.status == 200 ? yyjson_read(buffer_string(&response.body), response.body.length, 0) : NULL;
    response_fini(&response);
    return doc;
}

static int look_at(struct cli *cli, look *look)
{
    struct request request = { .method = "GET", .path = "/metrics", .accept = "text/plain, application/problem+json" };
    struct response response;
    *look = (struct look){ 0 };
    int code = client_call(cli->client, &request, &response);
    look->at_ms = moment_ms();
    if (code == EXIT_OK && !samples_read(&look->metrics, buffer_string(&response.body), response.body.length))
        code = cli_fail(EXIT_FAILED, "the answer of %s is too long", client_host(cli->client));
    response_fini(&response);
    if (code == EXIT_OK)
        look->peers = look_at_peers(cli);
    return code;
}

/* ---- figures ---- */

/* A counter that went back began anew: what it shows came since. */
static double per_second(double before, double now, int64_t ms)
{
    double grown = now >= before ? now - before : now;
    return ms > 0 ? grown * 1000 / (double)ms : 0;
}

static double figure_value(const struct figure *figure, const look *before, const look *now)
{
    double value = samples_sum(&now->metrics, figure->metric, figure->label);
    if (!figure->is_rate)
        return value;
    return per_second(samples_sum(&before->metrics, figure->metric, figure->label), value, now->at_ms - before->at_ms);
}

typedef struct room { char name[NAME_BYTES]; double cpu_percent, memory_bytes, starts; } room;

static double of_room(const samples *metrics, const char *metric, const sample *like)
{
    for (const sample *at = NULL; (at = samples_next(metrics, metric, at)) != NULL;)
        if (strcmp(at->labels, like->labels) == 0)
            return at->value;
    return 0;
}

static const sample *next_room(const look *before, const look *now, const sample *from, room *out)
{
    static const char cpu[] = "dromio_room_cpu_seconds_total";
    const sample *at = samples_next(&now->metrics, cpu, from);
    if (at == NULL)
        return NULL;
    sample_label(at, "room", out->name, sizeof out->name);
    out->cpu_percent = 100 * per_second(of_room(&before->metrics, cpu, at), at->value, now->at_ms - before->at_ms);
    out->memory_bytes = of_room(&now->metrics, "dromio_room_memory_bytes", at);
    out->starts = of_room(&now->metrics, "dromio_room_starts_total", at);
    return at;
}

/* /metrics has those of this moment; /v1/peers only those of seconds ago. */
static bool peer_requests(const look *look, const char *name, double *requests)
{
    bool is_there = false;
    *requests = 0;
    for (const sample *at = NULL; (at = samples_next(&look->metrics, "dromio_diameter_peer_requests_total", at)) != NULL;) {
        char peer[PEER_BYTES], direction[8];
        sample_label(at, "peer", peer, sizeof peer);
        sample_label(at, "direction", direction, sizeof direction);
        if (strcasecmp(peer, name) != 0)
            continue;
        is_there = true;
        *requests += strcmp(direction, "in") == 0 ? at->value : 0;
    }
    return is_there;
}

/* Connected, and not in the configuration: of those /metrics has the sum alone. */
static bool is_unlisted(const look *now, const yyjson_val *peer)
{
    double requests;
    return strcmp(member_text(peer, "state"), "open") == 0 && !peer_requests(now, member_text(peer, "identity"), &requests);
}

/* Negative: not known, as it is one of several that are counted together. */
static double peer_rate(const look *before, const look *now, const yyjson_val *shown)
{
    double requests, requests_before;
    const char *name = member_text(shown, "identity");
    size_t i, count, unlisted = 0;
    yyjson_val *peer;
    if (is_unlisted(now, shown)) {
        yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(now->peers), "peers"), i, count, peer)
            unlisted += is_unlisted(now, peer);
        name = "other";
    }
    if (unlisted > 1)
        return -1;
    peer_requests(now, name, &requests);
    peer_requests(before, name, &requests_before);
    return per_second(requests_before, requests, now->at_ms - before->at_ms);
}

/* Microseconds; negative: nothing was measured. */
static double latency_micros(const struct latency *latency, const look *before, const look *now, double share)
{
    double count;
    double seconds = samples_quantile(&before->metrics, &now->metrics, latency->metric, share, &count);
    return seconds < 0 ? -1 : seconds * 1e6;
}

/* ---- JSON ---- */

static void add_latencies(yyjson_mut_doc *doc, yyjson_mut_val *root, const look *before, const look *now)
{
    for (int i = 0; i < 2 * LATENCIES; i++) {
        bool is_p99 = i % 2 == 1;
        char name[NAME_BYTES];
        double micros = latency_micros(&latencies[i / 2], before, now, is_p99 ? 0.99 : 0.5);
        snprintf(name, sizeof name, "%s_%s_micros", latencies[i / 2].name, is_p99 ? "p99" : "p50");
        yyjson_mut_obj_add(root, yyjson_mut_strcpy(doc, name), micros < 0 ? yyjson_mut_null(doc) : yyjson_mut_real(doc, micros));
    }
}

static void add_rooms(yyjson_mut_doc *doc, yyjson_mut_val *root, const look *before, const look *now)
{
    yyjson_mut_val *rooms = yyjson_mut_obj_add_arr(doc, root, "rooms");
    room room;
    for (const sample *at = NULL; (at = next_room(before, now, at, &room)) != NULL;) {
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, rooms);
        yyjson_mut_obj_add_strcpy(doc, object, "room", room.name);
        yyjson_mut_obj_add_real(doc, object, "cpu_percent", room.cpu_percent);
        yyjson_mut_obj_add_uint(doc, object, "memory_bytes", (uint64_t)room.memory_bytes);
        yyjson_mut_obj_add_uint(doc, object, "starts", (uint64_t)room.starts);
    }
}

static void add_peers(yyjson_mut_doc *doc, yyjson_mut_val *root, const look *before, const look *now)
{
    yyjson_mut_val *peers = yyjson_mut_obj_add_arr(doc, root, "peers");
    size_t i, count;
    yyjson_val *peer;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(now->peers), "peers"), i, count, peer) {
        const char *identity = member_text(peer, "identity");
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, peers);
        yyjson_mut_obj_add_str(doc, object, "identity", identity);
        yyjson_mut_obj_add_str(doc, object, "state", member_text(peer, "state"));
        double rate = peer_rate(before, now, peer);
        yyjson_mut_obj_add_val(doc, object, "requests_per_second", rate < 0 ? yyjson_mut_null(doc) : yyjson_mut_real(doc, rate));
    }
}

static int print_json(struct cli *cli, const look *before, const look *now)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    char time_text[40];
    time_t wall = time(NULL);
    struct tm utc;
    if (root == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    yyjson_mut_doc_set_root(doc, root);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&wall, &utc));
    yyjson_mut_obj_add_str(doc, root, "time", time_text);
    for (int i = 0; i < FIGURES; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", figures[i].name, figures[i].is_rate ? "_per_second" : "");
        yyjson_mut_val *key = yyjson_mut_strcpy(doc, name);
        double value = figure_value(&figures[i], before, now);
        yyjson_mut_obj_add(root, key, figures[i].is_rate ? yyjson_mut_real(doc, value) : yyjson_mut_uint(doc, (uint64_t)value));
    }
    add_latencies(doc, root, before, now);
    add_rooms(doc, root, before, now);
    add_peers(doc, root, before, now);
    int code = cli_print_made(cli, doc);
    fflush(cli->out);
    return code;
}

/* ---- a screen ---- */

static const char *bytes_text(double bytes, char out[24])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++)
        bytes /= 1024;
    snprintf(out, 24, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return out;
}

static void put_figures(struct buffer *out, const look *before, const look *now)
{
    for (int i = 0; i < FIGURES; i++) {
        char text[24];
        double value = figure_value(&figures[i], before, now);
        bool is_bytes = strstr(figures[i].name, "_bytes") != NULL;
        if (is_bytes)
            bytes_text(value, text);
        else
            snprintf(text, sizeof text, figures[i].is_rate ? "%.1f/s" : "%.0f", value);
        buffer_printf(out, "%-16s%9s%s", figures[i].name, text, i % 3 == 2 || i == FIGURES - 1 ? "\n" : "  ");
    }
}

static const char *micros_text(double micros, char out[24])
{
    if (micros < 0)
        return "-";
    snprintf(out, 24, micros < 1000 ? "%.1f us" : micros < 1e6 ? "%.2f ms" : "%.2f s", micros < 1000 ? micros : micros < 1e6 ? micros / 1e3 : micros / 1e6);
    return out;
}

static void put_latencies(struct buffer *out, const look *before, const look *now)
{
    buffer_printf(out, "\n%-17s%12s%15s\n", "LATENCY", "P50", "P99");
    for (int i = 0; i < LATENCIES; i++) {
        char half[24], most[24];
        buffer_printf(out, "%-17s%12s%15s\n", latencies[i].name, micros_text(latency_micros(&latencies[i], before, now, 0.5), half),
                      micros_text(latency_micros(&latencies[i], before, now, 0.99), most));
    }
}

static void put_rooms(struct buffer *out, const look *before, const look *now)
{
    room room;
    char text[24];
    bool is_first = true;
    for (const sample *at = NULL; (at = next_room(before, now, at, &room)) != NULL; is_first = false) {
        if (is_first)
            buffer_printf(out, "\n%-17s%12s%15s%12s\n", "ROOM", "CPU %", "MEMORY", "STARTS");
        buffer_printf(out, "%-17s%12.1f%15s%12.0f\n", room.name, room.cpu_percent,
                      room.memory_bytes > 0 ? bytes_text(room.memory_bytes, text) : "-", room.starts);
    }
}

static void put_peers(struct buffer *out, const look *before, const look *now)
{
    size_t i, count;
    yyjson_val *peer;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(now->peers), "peers"), i, count, peer) {
        const char *identity = member_text(peer, "identity");
        if (i == 0)
            buffer_printf(out, "\n%-40s%8s%12s\n", "PEER", "STATE", "REQUESTS/S");
        char text[24] = "-";
        double rate = peer_rate(before, now, peer);
        if (rate >= 0)
            snprintf(text, sizeof text, "%.1f", rate);
        buffer_printf(out, "%-40s%8s%12s\n", identity, member_text(peer, "state"), text);
    }
}

static void screen_size(int *rows, int *columns)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    *rows = is_known ? size.ws_row : ROWS_USUAL;
    *columns = is_known ? size.ws_col : COLUMNS_USUAL;
}

/* As many lines and columns as there are, each over what was there before. */
static void show(struct cli *cli, const struct buffer *page)
{
    int rows, columns;
    screen_size(&rows, &columns);
    fputs("\033[H", cli->out);
    const char *line = buffer_string(page);
    for (int row = 0; row < rows && *line != '\0'; row++) {
        size_t length = strcspn(line, "\n");
        struct buffer safe = { 0 };
        text_escape(&safe, line, length < (size_t)columns ? length : (size_t)columns);
        fprintf(cli->out, "%s%.*s\033[K", row > 0 ? "\n" : "", columns, buffer_string(&safe));
        buffer_fini(&safe);
        line += length + (line[length] == '\n');
    }
    fputs("\033[J", cli->out);
    fflush(cli->out);
}

static void put_page(struct cli *cli, struct buffer *page, const look *before, const look *now)
{
    time_t wall = time(NULL);
    struct tm local;
    char text[32];
    strftime(text, sizeof text, "%H:%M:%S", localtime_r(&wall, &local));
    buffer_printf(page, "%s  %s%s\n\n", client_host(cli->client), text,
                  samples_sum(&now->metrics, "dromio_gate_core_answers", NULL) > 0 ? "" : "  THE CORE DOES NOT ANSWER");
    put_figures(page, before, now);
    put_latencies(page, before, now);
    put_rooms(page, before, now);
    put_peers(page, before, now);
}

static void show_page(struct cli *cli, const look *before, const look *now, bool is_screen)
{
    struct buffer page = { 0 };
    put_page(cli, &page, before, now);
    if (is_screen) {
        show(cli, &page);
    } else {
        struct buffer safe = { 0 };
        for (const char *line = buffer_string(&page); *line != '\0';) {
            size_t length = strcspn(line, "\n");
            text_escape(&safe, line, length);
            buffer_text(&safe, "\n");
            line += length + (line[length] == '\n');
        }
        fputs(buffer_string(&safe), cli->out);
        buffer_fini(&safe);
    }
    buffer_fini(&page);
}

/* Where there is no terminal: a line each time, with its heads first. */
static void print_line(struct cli *cli, const look *before, const look *now, bool is_first)
{
    enum { SHOWN = 12 };
    for (int i = 0; is_first && i < SHOWN; i++)
        fprintf(cli->out, "%s%s", i > 0 ? " " : "", figures[i].name);
    if (is_first)
        fputc('\n', cli->out);
    for (int i = 0; i < SHOWN; i++)
        fprintf(cli->out, "%s%*.1f", i > 0 ? " " : "", (int)strlen(figures[i].name), figure_value(&figures[i], before, now));
    fputc('\n', cli->out);
    fflush(cli->out);
}

/* ---- the loop ---- */

static void begin_screen(struct cli *cli)
{
    fputs("\033[?1049h\033[?25l", cli->out); /* a screen of its own, no cursor */
}

/* Also after Ctrl-C while the terminal took no more: what it has not shown yet would keep this from it. */
static void end_screen(struct cli *cli)
{
    if (moment_is_interrupted())
        tcflush(STDOUT_FILENO, TCOFLUSH);
    fputs("\033[?25h\033[?1049l", cli->out);
    fflush(cli->out);
}

static int follow(struct cli *cli, int64_t interval_ms, bool is_once, bool is_screen)
{
    look before, now;
    int code = look_at(cli, &before);
    for (bool is_first = true; code == EXIT_OK && !moment_is_interrupted(); is_first = false) {
        moment_wait(interval_ms);
        if (moment_is_interrupted())
            break;
        code = look_at(cli, &now);
        if (moment_is_interrupted())
            code = EXIT_INTERRUPTED; /* perhaps without the peers: not shown */
        if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
            code = print_json(cli, &before, &now);
        else if (code == EXIT_OK && (is_once || is_screen))
            show_page(cli, &before, &now, is_screen);
        else if (code == EXIT_OK)
            print_line(cli, &before, &now, is_first);
        look_fini(&before);
        before = now;
        if (is_once)
            break;
    }
    look_fini(&before);
    return moment_is_interrupted() && !is_once ? EXIT_OK : code;
}

int host_top(struct cli *cli)
{
    const char *interval = invocation_option(cli->in, "--interval");
    int64_t interval_ms = interval != NULL ? duration_ms(interval) : INTERVAL_MS;
    bool is_once = invocation_has(cli->in, "--once");
    bool is_screen = !is_once && cli->format == OUTPUT_TABLE && isatty(STDOUT_FILENO);
    if (interval_ms < INTERVAL_MS_LEAST)
        return cli_fail(EXIT_USAGE, "--interval takes a time from 100ms on, not %s", interval);
    moment_catch_interrupts();
    if (is_screen)
        begin_screen(cli);
    int code = follow(cli, interval_ms, is_once, is_screen);
    if (is_screen)
        end_screen(cli);
    return code;
}
