/* What may not run: stops, and twins that are set aside. */
#include <string.h>

#include "commands.h"

static const list_columns stop_columns = {
    .member = "stops",
    .count = 7,
    .names = { "stop", "domain", "image", "application", "by", "since", "reason" },
    .heads = { "STOP", "DOMAIN", "IMAGE", "APPLICATION", "BY", "SINCE", "REASON" },
    .empty = "nothing is stopped",
};

static const struct { const char *kind, *path; } kinds[] = { /* that have names */
    { "domain", "/v1/stops/domains/" }, { "image", "/v1/stops/images/" }, { "application", "/v1/stops/applications/" },
};

/* The path of a stop; false: its words are wrong. */
static bool path_of(struct cli *cli, struct buffer *path)
{
    const char *kind = invocation_argument(cli->in, 0), *name = invocation_argument(cli->in, 1);
    if (strcmp(kind, "code") == 0 && name == NULL) {
        buffer_text(path, "/v1/stops/code");
        return true;
    }
    for (size_t i = 0; name != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i].kind) != 0)
            continue;
        buffer_text(path, kinds[i].path);
        if (strcmp(kind, "image") == 0)
            url_add(path, "sha256:", strncmp(name, "sha256:", 7) == 0 ? name + 7 : name);
        else
            url_add(path, "", name);
        return true;
    }
    return false;
}

static int refuse_words(const struct cli *cli)
{
    const char *kind = invocation_argument(cli->in, 0);
    if (strcmp(kind, "code") == 0)
        return cli_fail(EXIT_USAGE, "code stops all guest code: no name goes with it");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            return cli_fail(EXIT_USAGE, "say which %s", kind);
    return cli_fail(EXIT_USAGE, "there is no stop of \"%s\": say code, or domain, image or application and its name", kind);
}

static int change(struct cli *cli, const char *method, yyjson_mut_doc *reason)
{
    struct buffer path = { 0 }, body = { 0 };
    struct response response;
    int code = EXIT_OK;
    if (!path_of(cli, &path))
        code = refuse_words(cli);
    else if (reason != NULL && !json_write(&body, reason))
        code = cli_fail(EXIT_USAGE, "the reason is no UTF-8");
    if (code == EXIT_OK) {
        struct request request = { .method = method, .path = buffer_string(&path), .body = body.bytes, .body_length = body.length };
        code = client_call(cli->client, &request, &response);
        response_fini(&response);
    }
    buffer_fini(&path);
    buffer_fini(&body);
    return code;
}

int stop_add(struct cli *cli)
{
    const char *reason = invocation_option(cli->in, "--reason");
    yyjson_mut_doc *doc = reason == NULL ? NULL : yyjson_mut_doc_new(NULL);
    if (doc != NULL) {
        yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
        yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "reason", reason);
    }
    int code = change(cli, "PUT", doc);
    yyjson_mut_doc_free(doc);
    return code;
}

int stop_remove(struct cli *cli)
{
    return change(cli, "DELETE", NULL);
}

int stop_list(struct cli *cli)
{
    return cli_list(cli, "/v1/stops", &stop_columns);
}

int twin_release(struct cli *cli)
{
    struct buffer path = { 0 };
    struct response response;
    url_add(&path, "/v1/twins/", invocation_argument(cli->in, 0));
    buffer_text(&path, "/penalty");
    int code = client_call(cli->client, &(struct request){ .method = "DELETE", .path = buffer_string(&path) }, &response);
    response_fini(&response);
    buffer_fini(&path);
    return code;
}
