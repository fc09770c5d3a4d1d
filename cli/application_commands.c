#include "commands.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

static const list_columns application_columns = {
    .member = "applications",
    .count = 6,
    .names = { "id", "domains", "scopes", "apns", "certificates", "limits" },
    .heads = { "ID", "DOMAINS", "SCOPES", "APNS", "CERTIFICATES", "LIMITS" },
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

/* The option's values as an array; "none" alone: an empty one. Nothing where the option was not given and `otherwise` is NULL. */
static void add_all(yyjson_mut_doc *doc, yyjson_mut_val *root, const invocation *in, const char *option, const char *member,
                    const char *otherwise)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    const char *value = invocation_option_at(in, option, 0);
    if (value == NULL && otherwise == NULL)
        return;
    if (value == NULL)
        yyjson_mut_arr_add_str(doc, array, otherwise);
    bool is_none = value != NULL && strcmp(value, "none") == 0 && invocation_option_at(in, option, 1) == NULL;
    for (int i = 0; !is_none && (value = invocation_option_at(in, option, i)) != NULL; i++)
        yyjson_mut_arr_add_str(doc, array, value);
    yyjson_mut_obj_add_val(doc, root, member, array);
}

/* NAME=N; NAME=none: no limit, whatever the host has; NAME=host, where it is a change: as the host has it. False after telling what is wrong. */
static bool add_limits(yyjson_mut_doc *doc, yyjson_mut_val *root, const invocation *in, bool is_new)
{
    yyjson_mut_val *limits = yyjson_mut_obj(doc);
    const char *text;
    for (int i = 0; (text = invocation_option_at(in, "--limit", i)) != NULL; i++) {
        const char *mark = strchr(text, '=');
        char *end = NULL;
        long long number = mark == NULL ? 0 : strtoll(mark + 1, &end, 10);
        bool is_none = mark != NULL && strcmp(mark + 1, "none") == 0, is_host = mark != NULL && !is_new && strcmp(mark + 1, "host") == 0;
        if (mark == NULL || mark == text || (!is_none && !is_host && (end == mark + 1 || *end != '\0' || number < 0))) {
            cli_fail(EXIT_USAGE, "--limit takes NAME=NUMBER%s NAME=none, not %s", is_new ? " or" : ", NAME=host or", text);
            return false;
        }
        yyjson_mut_val *name = yyjson_mut_strncpy(doc, text, (size_t)(mark - text));
        yyjson_mut_obj_put(limits, name, is_host ? yyjson_mut_null(doc) : yyjson_mut_sint(doc, number));
    }
    if (yyjson_mut_obj_size(limits) > 0)
        yyjson_mut_obj_add_val(doc, root, "limits", limits);
    return true;
}

typedef int send_function(struct cli *cli, struct request *request);

/* What the options say of an application, sent. */
static int application_send(struct cli *cli, const char *method, const char *path, bool is_new, send_function *send)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    struct buffer body = { 0 };
    int code = EXIT_FAILED;
    yyjson_mut_doc_set_root(doc, root);
    if (is_new)
        yyjson_mut_obj_add_str(doc, root, "id", invocation_argument(cli->in, 0));
    add_all(doc, root, cli->in, "--domain", "domains", NULL);
    add_all(doc, root, cli->in, "--scope", "scopes", is_new ? "read" : NULL);
    add_all(doc, root, cli->in, "--apn", "apns", NULL);
    add_all(doc, root, cli->in, "--certificate", "certificates", NULL);
    if (!add_limits(doc, root, cli->in, is_new)) {
        code = EXIT_USAGE;
    } else if (!is_new && yyjson_mut_obj_size(root) == 0) {
        code = cli_fail(EXIT_USAGE, "what shall change? --domain, --scope, --limit, --apn or --certificate");
    } else if (json_write(&body, doc)) {
        struct request request = { .method = method, .path = path, .body = body.bytes, .body_length = body.length };
        code = send(cli, &request);
    } else {
        cli_fail(EXIT_FAILED, "an argument is not UTF-8");
    }
    buffer_fini(&body);
    yyjson_mut_doc_free(doc);
    return code;
}

int application_add(struct cli *cli)
{
    if (!invocation_has(cli->in, "--domain"))
        return cli_fail(EXIT_USAGE, "whose twins may it use? --domain DOMAIN");
    return application_send(cli, "POST", "/v1/applications", true, print_token);
}

int application_set(struct cli *cli)
{
    struct buffer path = { 0 };
    url_add(&path, "/v1/applications/", invocation_argument(cli->in, 0));
    int code = application_send(cli, "PATCH", buffer_string(&path), false, cli_print_answer);
    buffer_fini(&path);
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
