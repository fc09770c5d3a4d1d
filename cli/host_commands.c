#include "commands.h"

static const list_columns peer_columns = {
    .member = "peers",
    .count = 10,
    .names = { "identity", "realm", "state", "address", "applications", "requests", "answers", "errors", "load", "reduction" },
    .heads = { "IDENTITY", "REALM", "STATE", "ADDRESS", "APPLICATIONS", "REQUESTS", "ANSWERS", "ERRORS", "LOAD %", "LESS %" },
    .empty = "no Diameter peers; diameter.peers in the host's configuration names them",
};
static const list_columns dead_letter_columns = {
    .member = "dead_letters",
    .count = 6,
    .names = { "time", "id", "kind", "frame", "reason", "image" },
    .heads = { "TIME", "TWIN", "KIND", "FRAME", "REASON", "IMAGE" },
    .empty = "no dead letters",
};

int host_status(struct cli *cli)
{
    return cli_print_answer(cli, &(struct request){ .method = "GET", .path = "/v1/status" });
}

int host_peers(struct cli *cli)
{
    return cli_list(cli, "/v1/peers", &peer_columns);
}

int host_dead_letters(struct cli *cli)
{
    struct buffer path = { 0 };
    const char *limit = invocation_option(cli->in, "--limit");
    if (limit != NULL && count_parse(limit) < 0)
        return cli_fail(EXIT_USAGE, "--limit takes a whole number, not %s", limit);
    buffer_text(&path, "/v1/dead-letters");
    url_query(&path, "limit", limit);
    int code = cli_list(cli, buffer_string(&path), &dead_letter_columns);
    buffer_fini(&path);
    return code;
}

int host_login(struct cli *cli)
{
    struct request request = { .method = "POST", .path = "/v1/logins" };
    yyjson_doc *doc;
    int code = cli_json(cli, &request, &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE) {
        code = cli_print_json(cli, doc, NULL);
    } else if (code == EXIT_OK) {
        const yyjson_val *root = yyjson_doc_get_root(doc);
        struct buffer address = { 0 };
        buffer_text(&address, client_host(cli->client));
        url_add(&address, "/console/#token=", member_text(root, "token"));
        fprintf(cli->out, "%s\n", buffer_string(&address));
        cli_note("good for one login, until %s", member_text(root, "expires"));
        buffer_fini(&address);
    }
    yyjson_doc_free(doc);
    return code;
}
