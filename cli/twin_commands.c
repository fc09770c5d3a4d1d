/* dromio twin get, list, set, call, rm, timeline, history, tickets, td */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "plot.h"
#include "text.h"
#include "ticket.h"

enum { LIST_PAGE = 500 };

static void twin_path(struct buffer *path, const struct cli *cli, const char *after)
{
    url_add(path, "/v1/twins/", invocation_argument(cli->in, 0));
    buffer_text(path, after);
}

static int check_limit(const struct cli *cli, long *limit)
{
    const char *text = invocation_option(cli->in, "--limit");
    *limit = text != NULL ? count_parse(text) : 0;
    return *limit < 0 ? cli_fail(EXIT_USAGE, "--limit takes a whole number, not %s", text) : EXIT_OK;
}

static void add_property(struct table *table, const yyjson_val *property)
{
    cell_member(table, property, "value");
    cell_member(table, property, "unit");
    cell_member(table, property, "quality");
    cell_member(table, property, "source");
    cell_member(table, property, "time");
    yyjson_val *desired = yyjson_obj_get((yyjson_val *)property, "desired");
    struct buffer text = { 0 };
    if (yyjson_is_obj(desired)) {
        size_t length = 0;
        char *value = yyjson_val_write(yyjson_obj_get(desired, "value"), 0, &length);
        buffer_put(&text, value != NULL ? value : "", length);
        free(value);
        buffer_printf(&text, " (%s)", member_text(desired, "state"));
    }
    table_cell(table, text.length > 0 ? text.bytes : "-", text.length > 0 ? text.length : 1, false);
    buffer_fini(&text);
}

static int print_properties(struct cli *cli, const yyjson_val *properties, const char *only)
{
    static const char *const heads[] = { "PROPERTY", "VALUE", "UNIT", "QUALITY", "SOURCE", "TIME", "DESIRED" };
    size_t index, max;
    yyjson_val *name, *property;
    struct table *table = table_new(cli->out, heads, sizeof heads / sizeof heads[0]);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    if (only != NULL) {
        table_text(table, only);
        add_property(table, properties);
    } else {
        yyjson_obj_foreach((yyjson_val *)properties, index, max, name, property)
        {
            cell_json(table, name);
            add_property(table, property);
        }
    }
    bool is_fine = table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

static void add_pair(struct buffer *out, const char *name, yyjson_val *value)
{
    size_t length;
    char *text = yyjson_is_str(value) ? NULL : yyjson_val_write(value, 0, &length);
    buffer_printf(out, "%s%s=%s", out->length > 0 ? " " : "", name, yyjson_is_str(value) ? yyjson_get_str(value) : text != NULL ? text : "");
    free(text);
}

static void add_word(struct buffer *out, const char *word)
{
    if (word[0] != '\0')
        buffer_printf(out, "%s%s", out->length > 0 ? " " : "", word);
}

/* What a twin wants of its device's sleep, as "applied wanted latency=3600 network periodic=3600". */
static void add_schedule(struct buffer *out, yyjson_val *schedule)
{
    static const char *const parts[] = { "wanted", "network" };
    size_t index, max;
    yyjson_val *name, *value;
    add_word(out, member_text(schedule, "state"));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        yyjson_val *part = yyjson_obj_get(schedule, parts[i]);
        if (yyjson_obj_size(part) > 0)
            add_word(out, parts[i]);
        yyjson_obj_foreach(part, index, max, name, value) add_pair(out, yyjson_get_str(name), value);
    }
}

static int print_twin(struct cli *cli, const yyjson_val *twin)
{
    static const char *const heads[] = { "TWIN", "VALUE" };
    static const char *const names[] = { "model", "image", "revision", "mailbox" };
    static const char *const contacts[] = { "last", "next", "why" };
    static const char *const conducts[] = { "penalty", "probation" };
    char title[48];
    size_t index, max;
    yyjson_val *name, *tag, *contact = yyjson_obj_get((yyjson_val *)twin, "contact");
    struct table *table = table_new(cli->out, heads, 2);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    table_text(table, "id");
    cell_member(table, twin, "id");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        table_text(table, names[i]);
        cell_json_left(table, yyjson_obj_get((yyjson_val *)twin, names[i]));
    }
    for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++) {
        snprintf(title, sizeof title, "contact %s", contacts[i]);
        table_text(table, title);
        cell_member(table, contact, contacts[i]);
    }
    if (yyjson_obj_get(contact, "schedule") != NULL) {
        struct buffer text = { 0 };
        add_schedule(&text, yyjson_obj_get(contact, "schedule"));
        table_text(table, "schedule");
        table_cell(table, buffer_string(&text), text.length, false);
        buffer_fini(&text);
    }
    for (size_t i = 0; i < sizeof conducts / sizeof conducts[0]; i++) {
        yyjson_obj_foreach(yyjson_obj_get((yyjson_val *)twin, conducts[i]), index, max, name, tag)
        {
            snprintf(title, sizeof title, "%s %s", conducts[i], yyjson_get_str(name));
            table_text(table, title);
            cell_json_left(table, tag);
        }
    }
    yyjson_obj_foreach(yyjson_obj_get((yyjson_val *)twin, "connection"), index, max, name, tag)
    {
        snprintf(title, sizeof title, "connection %s", yyjson_get_str(name));
        table_text(table, title);
        cell_json_left(table, tag);
    }
    yyjson_obj_foreach(yyjson_obj_get((yyjson_val *)twin, "tags"), index, max, name, tag)
    {
        struct buffer text = { 0 };
        buffer_printf(&text, "tag %s", yyjson_get_str(name));
        table_cell(table, buffer_string(&text), text.length, false);
        cell_json(table, tag);
        buffer_fini(&text);
    }
    table_flush(table);
    table_free(table);
    fputc('\n', cli->out);
    return print_properties(cli, yyjson_obj_get((yyjson_val *)twin, "properties"), NULL);
}

int twin_get(struct cli *cli)
{
    const char *property = invocation_option(cli->in, "--property");
    struct buffer path = { 0 };
    yyjson_doc *doc;
    twin_path(&path, cli, "");
    if (property != NULL)
        url_add(&path, "/properties/", property);
    int code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, NULL);
    else if (code == EXIT_OK && property != NULL)
        code = print_properties(cli, yyjson_doc_get_root(doc), property);
    else if (code == EXIT_OK)
        code = print_twin(cli, yyjson_doc_get_root(doc));
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}

/* A listing that comes page by page. */
struct listing {
    struct cli *cli;
    struct table *table;
    long limit, shown; /* limit 0: all */
};

static void list_twin(struct listing *listing, const yyjson_val *twin)
{
    struct cli *cli = listing->cli;
    yyjson_val *contact = yyjson_obj_get((yyjson_val *)twin, "contact");
    if (cli->format == OUTPUT_NDJSON) {
        json_print(cli, twin, false);
    } else if (cli->format == OUTPUT_JSON) {
        fputs(listing->shown == 0 ? "{\"twins\":[\n" : ",\n", cli->out);
        json_print(cli, twin, false);
    } else {
        cell_member(listing->table, twin, "id");
        cell_member(listing->table, twin, "model");
        cell_member(listing->table, contact, "last");
        cell_member(listing->table, contact, "next");
        cell_member(listing->table, contact, "why");
        cell_member(listing->table, twin, "mailbox");
        cell_member(listing->table, twin, "revision");
    }
    listing->shown++;
}

static int list_page(struct listing *listing, struct buffer *cursor, bool *is_last)
{
    const invocation *in = listing->cli->in;
    char limit[24];
    size_t index, max;
    yyjson_val *twin;
    yyjson_doc *doc;
    struct buffer path = { 0 };
    long left = listing->limit > 0 ? listing->limit - listing->shown : LIST_PAGE;
    snprintf(limit, sizeof limit, "%ld", left < LIST_PAGE ? left : LIST_PAGE);
    buffer_text(&path, "/v1/twins");
    url_query(&path, "model", invocation_option(in, "--model"));
    url_query(&path, "tag", invocation_option(in, "--tag"));
    url_query(&path, "limit", limit);
    url_query(&path, "cursor", cursor->length > 0 ? cursor->bytes : NULL);
    int code = cli_get(listing->cli, buffer_string(&path), &doc);
    buffer_fini(&path);
    if (code != EXIT_OK)
        return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *twins = yyjson_obj_get(root, "twins");
    yyjson_arr_foreach(twins, index, max, twin)
    {
        if (listing->limit == 0 || listing->shown < listing->limit)
            list_twin(listing, twin);
    }
    const char *next = member_text(root, "cursor");
    *is_last = next[0] == '\0' || yyjson_arr_size(twins) == 0 || strcmp(next, buffer_string(cursor)) == 0 ||
               (listing->limit > 0 && listing->shown >= listing->limit);
    buffer_clear(cursor);
    buffer_text(cursor, next);
    yyjson_doc_free(doc);
    return EXIT_OK;
}

int twin_list(struct cli *cli)
{
    static const char *const heads[] = { "ID", "MODEL", "LAST CONTACT", "NEXT WINDOW", "WHY", "MAILBOX", "REVISION" };
    struct listing listing = { .cli = cli };
    struct buffer cursor = { 0 };
    bool is_last = false;
    int code = check_limit(cli, &listing.limit);
    listing.table = table_new(cli->out, heads, sizeof heads / sizeof heads[0]);
    if (listing.table == NULL)
        code = cli_fail(EXIT_FAILED, "no memory");
    while (code == EXIT_OK && !is_last) {
        code = list_page(&listing, &cursor, &is_last);
        if (code == EXIT_OK && cli->format == OUTPUT_TABLE && listing.shown > 0)
            table_flush(listing.table);
    }
    if (cli->format == OUTPUT_JSON && (code == EXIT_OK || listing.shown > 0))
        fputs(listing.shown == 0 ? "{\"twins\":[]}\n" : "]}\n", cli->out);
    if (code == EXIT_OK && cli->format == OUTPUT_TABLE && listing.shown == 0)
        cli_note("no such twins; dromio twin put makes one");
    table_free(listing.table);
    buffer_fini(&cursor);
    return code == EXIT_OK || listing.shown == 0 ? code : EXIT_PARTLY;
}

static int send_write(struct cli *cli, const char *method, struct buffer *path, yyjson_mut_doc *doc)
{
    struct buffer body = { 0 }, lines[2] = { 0 };
    struct request request = { .method = method, .path = buffer_string(path) };
    int code = ticket_wait_options(cli, path, &request);
    if (code == EXIT_OK)
        code = write_headers(cli->in, &request, lines);
    if (code == EXIT_OK && !json_write(&body, doc))
        code = cli_fail(EXIT_USAGE, "an argument is not UTF-8");
    request.body = buffer_string(&body);
    request.body_length = body.length;
    if (code == EXIT_OK)
        code = ticket_send(cli, &request);
    buffer_fini(&body);
    buffer_fini(&lines[0]);
    buffer_fini(&lines[1]);
    return code;
}

int twin_set(struct cli *cli)
{
    struct buffer path = { 0 };
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "value", json_typed(doc, invocation_argument(cli->in, 2)));
    twin_path(&path, cli, "/properties");
    url_add(&path, "/", invocation_argument(cli->in, 1));
    int code = send_write(cli, "PUT", &path, doc);
    yyjson_mut_doc_free(doc);
    buffer_fini(&path);
    return code;
}

int twin_call(struct cli *cli)
{
    struct buffer path = { 0 };
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    int code = action_input(cli, doc);
    twin_path(&path, cli, "/actions");
    url_add(&path, "/", invocation_argument(cli->in, 1));
    if (code == EXIT_OK)
        code = send_write(cli, "POST", &path, doc);
    yyjson_mut_doc_free(doc);
    buffer_fini(&path);
    return code;
}

int twin_remove(struct cli *cli)
{
    const char *id;
    int code = EXIT_OK, removed = 0, failed = 0;
    for (int i = 0; (id = invocation_argument(cli->in, i)) != NULL; i++) {
        struct buffer path = { 0 }, lines[2] = { 0 };
        struct response response;
        url_add(&path, "/v1/twins/", id);
        struct request request = { .method = "DELETE", .path = buffer_string(&path) };
        int one = write_headers(cli->in, &request, lines);
        if (one == EXIT_OK) {
            one = client_call(cli->client, &request, &response);
            response_fini(&response);
        }
        buffer_fini(&path);
        buffer_fini(&lines[0]);
        removed += one == EXIT_OK;
        failed += one != EXIT_OK;
        code = one != EXIT_OK ? one : code;
        if (one == EXIT_UNREACHABLE)
            break;
    }
    return failed > 0 && removed > 0 ? EXIT_PARTLY : code;
}

int twin_description(struct cli *cli)
{
    struct buffer path = { 0 };
    yyjson_doc *doc;
    twin_path(&path, cli, "/td");
    struct request request = { .method = "GET",
                               .path = buffer_string(&path),
                               .accept = "application/td+json, application/json, application/problem+json" };
    int code = cli_json(cli, &request, &doc);
    if (code == EXIT_OK)
        code = json_print(cli, yyjson_doc_get_root(doc), cli->format != OUTPUT_NDJSON);
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}

int twin_tickets(struct cli *cli)
{
    const char *ticket = invocation_argument(cli->in, 1);
    struct buffer path = { 0 };
    yyjson_doc *doc;
    twin_path(&path, cli, "/tickets");
    if (ticket != NULL)
        url_add(&path, "/", ticket);
    int code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE) {
        code = cli_print_json(cli, doc, "tickets");
    } else if (code == EXIT_OK) {
        const yyjson_val *root = yyjson_doc_get_root(doc);
        const yyjson_val *tickets = ticket != NULL ? root : yyjson_obj_get((yyjson_val *)root, "tickets");
        if (ticket == NULL && yyjson_arr_size((yyjson_val *)tickets) == 0)
            cli_note("no tickets; dromio twin set ID PROPERTY VALUE makes one");
        else
            ticket_print_table(cli, tickets);
    }
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}

static int print_history(struct cli *cli, yyjson_val *root)
{
    static const char *const heads[] = { "TIME", "VALUE", "QUALITY", "SOURCE" };
    yyjson_val *values = yyjson_obj_get(root, "values"), *item;
    size_t index, max, count = yyjson_arr_size(values), numbers = 0;
    double *points = calloc(count > 0 ? count : 1, sizeof *points);
    struct table *table = table_new(cli->out, heads, 4);
    double low = INFINITY, high = -INFINITY;
    if (count == 0)
        cli_note("no values of it yet");
    yyjson_arr_foreach(values, index, max, item)
    {
        yyjson_val *value = yyjson_obj_get(item, "value");
        double number = yyjson_is_num(value)    ? yyjson_get_num(value)
                        : yyjson_is_bool(value) ? yyjson_get_bool(value)
                                                : NAN;
        if (points != NULL)
            points[count - 1 - index] = number; /* newest first -> oldest first */
        if (isfinite(number)) {
            numbers++;
            low = fmin(low, number);
            high = fmax(high, number);
        }
    }
    if (points != NULL && numbers > 1) {
        struct buffer line = { 0 }, unit = { 0 };
        plot_line(&line, points, count);
        text_escape(&unit, member_text(root, "unit"), strlen(member_text(root, "unit")));
        fprintf(cli->out, "%s  %g to %g%s%s\n\n", buffer_string(&line), low, high, unit.length > 0 ? " " : "",
                buffer_string(&unit));
        buffer_fini(&line);
        buffer_fini(&unit);
    }
    yyjson_arr_foreach(values, index, max, item)
    {
        for (size_t i = 0; table != NULL && i < 4; i++) {
            static const char *const names[] = { "time", "value", "quality", "source" };
            cell_member(table, item, names[i]);
        }
    }
    bool is_fine = points != NULL && table != NULL && (count == 0 || table_flush(table));
    table_free(table);
    free(points);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

int twin_history(struct cli *cli)
{
    struct buffer path = { 0 };
    long limit;
    yyjson_doc *doc = NULL;
    int code = check_limit(cli, &limit);
    twin_path(&path, cli, "/history");
    url_query(&path, "property", invocation_argument(cli->in, 1));
    url_query(&path, "limit", invocation_option(cli->in, "--limit"));
    if (code == EXIT_OK)
        code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, "values");
    else if (code == EXIT_OK)
        code = print_history(cli, yyjson_doc_get_root(doc));
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}

/* What the network said, as "LOSS_OF_CONNECTIVITY lossOfConnectReason=2"; whom and when are the row's. */
static void add_report(struct buffer *out, yyjson_val *said)
{
    size_t index, max;
    yyjson_val *name, *value, *report = yyjson_obj_get(said, "report");
    if (strcmp(member_text(said, "said"), "event") != 0)
        add_word(out, member_text(said, "said"));
    add_word(out, member_text(report, "monitoringType"));
    yyjson_obj_foreach(report, index, max, name, value)
    {
        const char *text = yyjson_get_str(name);
        if (strcmp(text, "monitoringType") != 0 && strcmp(text, "externalId") != 0 && strcmp(text, "msisdn") != 0 && strcmp(text, "eventTime") != 0)
            add_pair(out, text, value);
    }
}

/* What an event led to, as "temperature=21.4 downlink 810258". */
static void add_effects(struct buffer *out, yyjson_val *event)
{
    size_t index, max, length;
    yyjson_val *name, *value;
    yyjson_obj_foreach(yyjson_obj_get(event, "properties"), index, max, name, value)
    {
        char *text = yyjson_val_write(value, 0, &length);
        buffer_printf(out, "%s%s=%s", out->length > 0 ? " " : "", yyjson_get_str(name), text != NULL ? text : "");
        free(text);
    }
    yyjson_arr_foreach(yyjson_obj_get(event, "downlinks"), index, max, value)
    {
        buffer_printf(out, "%sdownlink %s", out->length > 0 ? " " : "",
                      yyjson_is_str(value) ? yyjson_get_str(value) : "");
    }
    yyjson_arr_foreach(yyjson_obj_get(event, "notifications"), index, max, value)
    {
        buffer_printf(out, "%sevent %s", out->length > 0 ? " " : "", member_text(value, "event"));
    }
    yyjson_arr_foreach(yyjson_obj_get(event, "timers"), index, max, value)
    {
        buffer_printf(out, "%stimer until %s", out->length > 0 ? " " : "", member_text(value, "at"));
    }
    yyjson_arr_foreach(yyjson_obj_get(event, "log"), index, max, value)
    {
        buffer_printf(out, "%slog \"%s\"", out->length > 0 ? " " : "",
                      yyjson_is_str(value) ? yyjson_get_str(value) : "");
    }
    yyjson_val *network = yyjson_obj_get(event, "network"), *schedule = yyjson_obj_get(event, "schedule");
    add_report(out, yyjson_obj_get(event, "network_report"));
    if (strcmp(member_text(event, "kind"), "schedule") == 0)
        add_schedule(out, schedule != NULL ? schedule : yyjson_obj_get(network, "schedule"));
    const char *const said[] = { "command", "peer", "reason" };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        add_word(out, member_text(network, said[i]));
    if (out->length == 0)
        buffer_text(out, "-");
}

static int print_timeline(struct cli *cli, yyjson_val *root)
{
    static const char *const heads[] = { "TIME", "KIND", "ID", "OUTCOME", "MICROS", "FRAME", "EFFECTS" };
    static const char *const names[] = { "time", "kind", "id", "outcome", "cpu_micros", "frame" };
    size_t index, max;
    yyjson_val *event;
    struct table *table = table_new(cli->out, heads, 7);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    yyjson_arr_foreach(yyjson_obj_get(root, "events"), index, max, event)
    {
        struct buffer effects = { 0 };
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            cell_member(table, event, names[i]);
        add_effects(&effects, event);
        table_cell(table, buffer_string(&effects), effects.length, false);
        buffer_fini(&effects);
    }
    bool is_fine = true;
    if (table_rows(table) > 0)
        is_fine = table_flush(table);
    else
        cli_note("nothing has happened to it yet");
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

int twin_timeline(struct cli *cli)
{
    struct buffer path = { 0 };
    long limit;
    yyjson_doc *doc = NULL;
    int code = check_limit(cli, &limit);
    twin_path(&path, cli, "/timeline");
    url_query(&path, "limit", invocation_option(cli->in, "--limit"));
    url_query(&path, "network", "true");
    if (code == EXIT_OK)
        code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, "events");
    else if (code == EXIT_OK)
        code = print_timeline(cli, yyjson_doc_get_root(doc));
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}
