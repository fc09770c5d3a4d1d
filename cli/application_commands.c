#include "commands.h"
#include "ticket.h"

static const list_columns application_columns = {
    .member = "applications",
    .count = 3,
    .names = { "id", "domains", "scopes" },
    .heads = { "ID", "DOMAINS", "SCOPES" },
    .empty = "no applications yet; dromio app add ID --domain DOMAIN adds one",
};

/* The token alone in table form: ready for a file. */
static int print_token(struct cli *cli, struct request *request)
{
    yyjson_doc *doc = NULL;
    struct buffer lines[2] = { 0 };
    int code = write_headers(cli->in, request, lines);
    if (code == EXIT_OK)
        code = cli_json(cli, request, &doc);
    for (int i = 0; i < 2; i++)
        buffer_fini(&lines[i]);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE) {
        code = cli_print_json(cli, doc, NULL);
    } else if (code == EXIT_OK) {
        struct buffer safe = { 0 };
        url_add(&safe, "", member_text(yyjson_doc_get_root(doc), "token"));
        fprintf(cli->out, "%s\n", buffer_string(&safe));
        cli_note("keep this token: the host does not show it again");
        buffer_fini(&safe);
    }
    yyjson_doc_free(doc);
    return code;
}

static void add_all(yyjson_mut_doc *doc, yyjson_mut_val *root, const invocation *in, const char *option,
                    const char *member, const char *otherwise)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    const char *value;
    for (int i = 0; (value = invocation_option_at(in, option, i)) != NULL; i++)
        yyjson_mut_arr_add_str(doc, array, value);
    if (otherwise != NULL && yyjson_mut_arr_size(array) == 0)
        yyjson_mut_arr_add_str(doc, array, otherwise);
    yyjson_mut_obj_add_val(doc, root, member, array);
}

int application_add(struct cli *cli)
{
    if (!invocation_has(cli->in, "--domain"))
        return cli_fail(EXIT_USAGE, "whose twins may it use? --domain DOMAIN");
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    struct buffer body = { 0 };
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "id", invocation_argument(cli->in, 0));
    add_all(doc, root, cli->in, "--domain", "domains", NULL);
    add_all(doc, root, cli->in, "--scope", "scopes", "read");
    int code = EXIT_FAILED;
    if (json_write(&body, doc)) {
        struct request request = {
            .method = "POST", .path = "/v1/applications", .body = body.bytes, .body_length = body.length
        };
        code = print_token(cli, &request);
    } else {
        cli_fail(EXIT_FAILED, "an argument is not UTF-8");
    }
    buffer_fini(&body);
    yyjson_mut_doc_free(doc);
    return code;
}

int application_list(struct cli *cli)
{
    return cli_list(cli, "/v1/applications", &application_columns);
}

int application_show(struct cli *cli)
{
    struct buffer path = { 0 };
    yyjson_doc *doc;
    url_add(&path, "/v1/applications/", invocation_argument(cli->in, 0));
    int code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, NULL);
    else if (code == EXIT_OK)
        code = cli_print_members(cli, yyjson_doc_get_root(doc));
    buffer_fini(&path);
    yyjson_doc_free(doc);
    return code;
}

int application_remove(struct cli *cli)
{
    struct buffer path = { 0 };
    struct response response;
    url_add(&path, "/v1/applications/", invocation_argument(cli->in, 0));
    struct request request = { .method = "DELETE", .path = buffer_string(&path) };
    int code = client_call(cli->client, &request, &response);
    response_fini(&response);
    buffer_fini(&path);
    return code;
}

int application_token(struct cli *cli)
{
    struct buffer path = { 0 };
    url_add(&path, "/v1/applications/", invocation_argument(cli->in, 0));
    buffer_text(&path, "/token");
    struct request request = { .method = "POST", .path = buffer_string(&path) };
    int code = print_token(cli, &request);
    buffer_fini(&path);
    return code;
}
