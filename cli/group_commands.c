/* dromio group: groups of twins, their members, and what is done to all of them. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

enum { PAGE = 500 };

static void group_path(struct buffer *path, struct cli *cli, const char *rest)
{
    url_add(path, "/v1/groups/", invocation_argument(cli->in, 0));
    buffer_text(path, rest);
}

/* ---- lists that come page by page ---- */

struct pages {
    struct cli *cli;
    const list_columns *columns;
    struct table *table;
    long limit, shown; /* limit 0: all */
};

static void show_item(struct pages *pages, const yyjson_val *item)
{
    struct cli *cli = pages->cli;
    if (cli->format == OUTPUT_NDJSON) {
        json_print(cli, item, false);
    } else if (cli->format == OUTPUT_JSON) {
        if (pages->shown == 0)
            fprintf(cli->out, "{\"%s\":[\n", pages->columns->member);
        else
            fputs(",\n", cli->out);
        json_print(cli, item, false);
    } else {
        for (size_t i = 0; i < pages->columns->count; i++) {
            const char *name = pages->columns->names[i], *dot = strchr(name, '.');
            const yyjson_val *of = dot == NULL ? item : yyjson_obj_getn((yyjson_val *)item, name, (size_t)(dot - name));
            cell_member(pages->table, of, dot == NULL ? name : dot + 1);
        }
    }
    pages->shown++;
}

/* One page; `cursor` is the next one's, empty: there is none. */
static int show_page(struct pages *pages, const char *path, const char *state, struct buffer *cursor)
{
    struct buffer url = { 0 };
    char limit[24];
    size_t index, max;
    yyjson_val *item;
    yyjson_doc *doc;
    long left = pages->limit > 0 ? pages->limit - pages->shown : PAGE;
    snprintf(limit, sizeof limit, "%ld", left < PAGE ? left : PAGE);
    buffer_text(&url, path);
    url_query(&url, "state", state);
    url_query(&url, "limit", limit);
    url_query(&url, "cursor", cursor->length > 0 ? cursor->bytes : NULL);
    int code = cli_get(pages->cli, buffer_string(&url), &doc);
    buffer_fini(&url);
    if (code != EXIT_OK)
        return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_arr_foreach(yyjson_obj_get(root, pages->columns->member), index, max, item) show_item(pages, item);
    const char *next = member_text(root, "cursor");
    bool is_last = strcmp(next, buffer_string(cursor)) == 0 || (pages->limit > 0 && pages->shown >= pages->limit);
    buffer_clear(cursor);
    if (!is_last)
        buffer_text(cursor, next);
    yyjson_doc_free(doc);
    return EXIT_OK;
}

static int show_pages(struct cli *cli, const char *path, const char *state, const list_columns *columns)
{
    struct pages pages = { .cli = cli, .columns = columns };
    struct buffer cursor = { 0 };
    const char *limit = invocation_option(cli->in, "--limit");
    if (limit != NULL && (pages.limit = count_parse(limit)) < 0)
        return cli_fail(EXIT_USAGE, "--limit takes a whole number from 1 on, not %s", limit);
    pages.table = table_new(cli->out, columns->heads, (int)columns->count);
    int code = pages.table == NULL ? cli_fail(EXIT_FAILED, "no memory") : EXIT_OK;
    do {
        code = code == EXIT_OK ? show_page(&pages, path, state, &cursor) : code;
        if (code == EXIT_OK && cli->format == OUTPUT_TABLE && pages.shown > 0)
            table_flush(pages.table);
    } while (code == EXIT_OK && cursor.length > 0);
    if (cli->format == OUTPUT_JSON && pages.shown > 0)
        fputs("]}\n", cli->out);
    else if (cli->format == OUTPUT_JSON && code == EXIT_OK)
        fprintf(cli->out, "{\"%s\":[]}\n", columns->member);
    if (code == EXIT_OK && cli->format == OUTPUT_TABLE && pages.shown == 0)
        cli_note("%s", columns->empty);
    table_free(pages.table);
    buffer_fini(&cursor);
    return code == EXIT_OK || pages.shown == 0 ? code : EXIT_PARTLY;
}

int cli_list_pages(struct cli *cli, const char *path, const list_columns *columns)
{
    return show_pages(cli, path, NULL, columns);
}

int group_list(struct cli *cli)
{
    static const list_columns columns = { .member = "groups", .count = 4, .names = { "id", "kind", "members", "made" },
                                          .heads = { "ID", "KIND", "MEMBERS", "MADE" },
                                          .empty = "no groups yet; dromio group put ID makes one" };
    return show_pages(cli, "/v1/groups", NULL, &columns);
}

int group_members(struct cli *cli)
{
    static const list_columns columns = { .member = "members", .count = 1, .names = { "id" }, .heads = { "ID" },
                                          .empty = "no members; dromio group join ID TWIN adds one" };
    struct buffer path = { 0 };
    group_path(&path, cli, "/members");
    int code = show_pages(cli, buffer_string(&path), NULL, &columns);
    buffer_fini(&path);
    return code;
}

int group_get(struct cli *cli)
{
    static const list_columns columns = { .member = "members", .count = 5,
                                          .names = { "id", "property.value", "property.unit", "property.time", "property.quality" },
                                          .heads = { "ID", "VALUE", "UNIT", "TIME", "QUALITY" }, .empty = "no members" };
    struct buffer path = { 0 };
    group_path(&path, cli, "/properties");
    url_add(&path, "/", invocation_argument(cli->in, 1));
    int code = show_pages(cli, buffer_string(&path), NULL, &columns);
    buffer_fini(&path);
    return code;
}

int group_exceptions(struct cli *cli)
{
    static const list_columns columns = { .member = "members", .count = 3, .names = { "id", "state", "reason" },
                                          .heads = { "ID", "STATE", "REASON" }, .empty = "none" };
    struct buffer path = { 0 };
    group_path(&path, cli, "/tickets");
    url_add(&path, "/", invocation_argument(cli->in, 1));
    buffer_text(&path, "/members");
    int code = show_pages(cli, buffer_string(&path), invocation_option(cli->in, "--state"), &columns);
    buffer_fini(&path);
    return code;
}

/* ---- one thing ---- */

static int at_group(struct cli *cli, const char *method)
{
    struct buffer path = { 0 };
    group_path(&path, cli, "");
    int code = cli_print_answer(cli, &(struct request){ .method = method, .path = buffer_string(&path) });
    buffer_fini(&path);
    return code;
}

int group_put(struct cli *cli)
{
    return at_group(cli, "PUT");
}

int group_show(struct cli *cli)
{
    return at_group(cli, "GET");
}

static int send_plain(struct cli *cli, const char *method, const char *path)
{
    struct response response;
    struct request request = { .method = method, .path = path };
    int code = client_call(cli->client, &request, &response);
    response_fini(&response);
    return code;
}

int group_remove(struct cli *cli)
{
    struct buffer path = { 0 };
    group_path(&path, cli, "");
    int code = send_plain(cli, "DELETE", buffer_string(&path));
    buffer_fini(&path);
    return code;
}

/* Each twin named, or the lines of a file. */
static int change_members(struct cli *cli, const char *method)
{
    const char *id, *file = invocation_option(cli->in, "--from");
    int code = EXIT_OK, done = 0, failed = 0;
    if (file != NULL) {
        struct buffer path = { 0 };
        group_path(&path, cli, "/members:bulk");
        code = cli_bulk(cli, buffer_string(&path), file);
        buffer_fini(&path);
        return code;
    }
    if (invocation_argument(cli->in, 1) == NULL)
        return cli_fail(EXIT_USAGE, "which twins? TWIN...");
    for (int i = 1; (id = invocation_argument(cli->in, i)) != NULL && code != EXIT_UNREACHABLE; i++) {
        struct buffer path = { 0 };
        group_path(&path, cli, "/members");
        url_add(&path, "/", id);
        int one = send_plain(cli, method, buffer_string(&path));
        buffer_fini(&path);
        done += one == EXIT_OK;
        failed += one != EXIT_OK;
        code = one != EXIT_OK ? one : code;
    }
    return failed > 0 && done > 0 ? EXIT_PARTLY : code;
}

int group_join(struct cli *cli)
{
    return change_members(cli, "PUT");
}

int group_leave(struct cli *cli)
{
    return change_members(cli, "DELETE");
}

/* ---- all members ---- */

static int print_tickets(struct cli *cli, yyjson_doc *doc, bool is_one)
{
    static const char *const heads[] = { "TICKET", "STATE", "WHAT", "MEMBERS", "WAITING", "PENDING", "SENT", "DELIVERED", "REPORTED", "FAILED" };
    static const char *const counts[] = { "waiting", "pending", "sent", "delivered", "reported", "failed" };
    yyjson_val *root = yyjson_doc_get_root(doc), *tickets = is_one ? NULL : yyjson_obj_get(root, "tickets");
    size_t count = is_one ? 1 : yyjson_arr_size(tickets);
    struct table *table = table_new(cli->out, heads, sizeof heads / sizeof *heads);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    for (size_t i = 0; i < count; i++) {
        const yyjson_val *ticket = is_one ? root : yyjson_arr_get(tickets, i);
        cell_member(table, ticket, "ticket");
        cell_member(table, ticket, "state");
        cell_member(table, ticket, yyjson_obj_get((yyjson_val *)ticket, "action") != NULL ? "action" : "property");
        cell_member(table, ticket, "members");
        for (size_t state = 0; state < sizeof counts / sizeof *counts; state++)
            cell_member(table, yyjson_obj_get((yyjson_val *)ticket, "counts"), counts[state]);
    }
    bool is_fine = table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : EXIT_FAILED;
}

static int show_tickets(struct cli *cli, const struct request *request, bool is_one)
{
    yyjson_doc *doc;
    int code = cli_json(cli, request, &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, is_one ? NULL : "tickets");
    else if (code == EXIT_OK)
        code = print_tickets(cli, doc, is_one);
    yyjson_doc_free(doc);
    return code;
}

int group_tickets(struct cli *cli)
{
    const char *ticket = invocation_argument(cli->in, 1);
    struct buffer path = { 0 };
    group_path(&path, cli, "/tickets");
    if (ticket != NULL)
        url_add(&path, "/", ticket);
    int code = show_tickets(cli, &(struct request){ .method = "GET", .path = buffer_string(&path) }, ticket != NULL);
    buffer_fini(&path);
    return code;
}

static int send_operation(struct cli *cli, const char *method, const char *kind, yyjson_mut_doc *doc)
{
    struct buffer path = { 0 }, body = { 0 };
    group_path(&path, cli, kind);
    url_add(&path, "/", invocation_argument(cli->in, 1));
    int code = json_write(&body, doc) ? EXIT_OK : cli_fail(EXIT_USAGE, "an argument is not UTF-8");
    struct request request = { .method = method, .path = buffer_string(&path), .body = buffer_string(&body), .body_length = body.length };
    if (code == EXIT_OK)
        code = show_tickets(cli, &request, true);
    buffer_fini(&path);
    buffer_fini(&body);
    return code;
}

int group_set(struct cli *cli)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "value", json_typed(doc, invocation_argument(cli->in, 2)));
    int code = send_operation(cli, "PUT", "/properties", doc);
    yyjson_mut_doc_free(doc);
    return code;
}

int group_call(struct cli *cli)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    int code = action_input(cli, doc);
    if (code == EXIT_OK)
        code = send_operation(cli, "POST", "/actions", doc);
    yyjson_mut_doc_free(doc);
    return code;
}
