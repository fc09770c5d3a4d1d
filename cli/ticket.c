#include "ticket.h"

#include <string.h>

enum { WAIT_MS_DEFAULT = 10000, WAIT_MS_SLACK = 15000 };

int ticket_wait_options(struct cli *cli, struct buffer *path, struct request *request)
{
    const char *wait = invocation_option(cli->in, "--wait");
    const char *timeout = invocation_option(cli->in, "--timeout");
    if (wait == NULL && timeout == NULL)
        return EXIT_OK;
    if (wait == NULL)
        return cli_fail(EXIT_USAGE, "--timeout needs --wait delivered or --wait reported");
    long ms = timeout != NULL ? duration_ms(timeout) : WAIT_MS_DEFAULT;
    if (ms < 0)
        return cli_fail(EXIT_USAGE, "--timeout takes a time such as 10s, not %s", timeout);
    struct buffer text = { 0 };
    buffer_printf(&text, ms % 1000 == 0 ? "%lds" : "%ldms", ms % 1000 == 0 ? ms / 1000 : ms);
    url_query(path, "wait", wait);
    url_query(path, "timeout", buffer_string(&text));
    buffer_fini(&text);
    request->path = buffer_string(path);
    request->timeout_ms = ms + WAIT_MS_SLACK;
    return EXIT_OK;
}

static void add_ticket(struct table *table, const yyjson_val *ticket)
{
    yyjson_val *property = yyjson_obj_get((yyjson_val *)ticket, "property");
    cell_member(table, ticket, "ticket");
    cell_member(table, ticket, "state");
    cell_member(table, ticket, property != NULL && !yyjson_is_null(property) ? "property" : "action");
    cell_member(table, ticket, "value");
    cell_member(table, ticket, "time");
    cell_member(table, ticket, "next");
    cell_member(table, ticket, "reason");
}

void ticket_print_table(struct cli *cli, const yyjson_val *tickets)
{
    static const char *const heads[] = { "TICKET", "STATE", "WHAT", "VALUE", "TIME", "NEXT", "REASON" };
    size_t index, max;
    yyjson_val *ticket;
    struct table *table = table_new(cli->out, heads, sizeof heads / sizeof heads[0]);
    if (table == NULL)
        return;
    if (yyjson_is_arr((yyjson_val *)tickets)) {
        yyjson_arr_foreach((yyjson_val *)tickets, index, max, ticket)
        {
            add_ticket(table, ticket);
        }
    } else {
        add_ticket(table, tickets);
    }
    table_flush(table);
    table_free(table);
}

static int judge_ticket(struct cli *cli, const struct response *response, const yyjson_val *ticket)
{
    const char *state = member_text(ticket, "state");
    const char *reason = member_text(ticket, "reason");
    bool is_dead = strcmp(state, "failed") == 0 || strcmp(state, "superseded") == 0 || strcmp(state, "expired") == 0;
    if (is_dead)
        return cli_fail(EXIT_FAILED, "the command is %s%s%s", state, reason[0] != '\0' ? ": " : "", reason);
    const char *wait = invocation_option(cli->in, "--wait");
    bool is_reached =
        wait == NULL || response->status == 200 || strcmp(state, wait) == 0 || strcmp(state, "reported") == 0;
    if (is_reached)
        return EXIT_OK;
    return cli_fail(EXIT_TIMED_OUT, "not %s yet, it is %s; the ticket stays, see dromio twin tickets", wait, state);
}

int ticket_send(struct cli *cli, const struct request *request)
{
    struct response response;
    yyjson_doc *doc = NULL;
    int code = client_call(cli->client, request, &response);
    if (code == EXIT_OK) {
        doc = yyjson_read(buffer_string(&response.body), response.body.length, 0);
        code = doc == NULL ? cli_fail(EXIT_FAILED, "the answer is not JSON") : EXIT_OK;
    }
    if (code == EXIT_OK) {
        if (cli->format == OUTPUT_TABLE)
            ticket_print_table(cli, yyjson_doc_get_root(doc));
        else
            cli_print_json(cli, doc, NULL);
        code = judge_ticket(cli, &response, yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
    response_fini(&response);
    return code;
}
