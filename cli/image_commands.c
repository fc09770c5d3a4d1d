#include "commands.h"

#include <string.h>

static const list_columns image_columns = {
    .member = "images",
    .count = 6,
    .names = { "model", "version", "twins", "memory", "computes", "image" },
    .heads = { "MODEL", "VERSION", "TWINS", "MEMORY", "COMPUTES", "IMAGE" },
    .empty = "no images yet; dromio image push FILE uploads one",
};

static int print_pushed(struct cli *cli, const struct response *response)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&response->body), response->body.length, 0);
    int code = EXIT_OK;
    if (doc == NULL)
        return cli_fail(EXIT_FAILED, "the answer is not JSON");
    if (cli->format != OUTPUT_TABLE) {
        code = cli_print_json(cli, doc, NULL);
    } else {
        static const char *const heads[] = { "MODEL", "VERSION", "STATE", "IMAGE" };
        struct table *table = table_new(cli->out, heads, 4);
        if (table != NULL) {
            cell_member(table, yyjson_doc_get_root(doc), "model");
            cell_member(table, yyjson_doc_get_root(doc), "version");
            table_text(table, response->status == 201 ? "new" : "was there already");
            cell_member(table, yyjson_doc_get_root(doc), "image");
            table_flush(table);
        }
        table_free(table);
    }
    yyjson_doc_free(doc);
    return code;
}

int image_push(struct cli *cli)
{
    const char *path = invocation_argument(cli->in, 0);
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    if (file == NULL)
        return cli_fail(EXIT_USAGE, "%s: %m", path);
    struct request request = {
        .method = "POST", .path = "/v1/images", .content_type = "application/wasm", .body_file = file
    };
    struct response response;
    int code = client_call(cli->client, &request, &response);
    if (code == EXIT_OK)
        code = print_pushed(cli, &response);
    else if (response.status == 400 || response.status == 413 || response.status == 415 || response.status == 422)
        code = EXIT_REJECTED;
    response_fini(&response);
    if (!is_input)
        fclose(file);
    return code;
}

int image_list(struct cli *cli)
{
    return cli_list(cli, "/v1/images", &image_columns);
}

int image_show(struct cli *cli)
{
    const char *digest = invocation_argument(cli->in, 0);
    struct buffer path = { 0 };
    yyjson_doc *doc;
    url_add(&path, "/v1/images/sha256:", strncmp(digest, "sha256:", 7) == 0 ? digest + 7 : digest);
    int code = cli_get(cli, buffer_string(&path), &doc);
    buffer_fini(&path);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, NULL);
    else if (code == EXIT_OK)
        code = cli_print_members(cli, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return code;
}
