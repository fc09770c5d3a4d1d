/* Monitoring subscriptions, device triggers and network parameters, through their APIs of T8 (TS 29.122); what is at a
 * device, of all applications, through /v1. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

typedef struct exposure_words {
    const char *api, *collection;  /* of the path */
    const char *columns[4];        /* members, in a table */
    const char *heads[4];
    const char *empty;
} exposure_words;

static const exposure_words monitoring = {
    .api = "3gpp-monitoring-event", .collection = "subscriptions",
    .columns = { "monitoringType", "maximumNumberOfReports", "monitorExpireTime" }, .heads = { "TYPE", "REPORTS", "UNTIL" },
    .empty = "no monitoring subscriptions",
};
static const exposure_words triggers = {
    .api = "3gpp-device-triggering", .collection = "transactions",
    .columns = { "deliveryResult", "priority", "applicationPortId", "validityPeriod" }, .heads = { "RESULT", "PRIORITY", "PORT", "VALID S" },
    .empty = "no device triggers",
};
static const exposure_words parameters = {
    .api = "3gpp-network-parameter-configuration", .collection = "configurations",
    .columns = { "maximumLatency", "maximumResponseTime", "suggestedNumberOfDlPackets" }, .heads = { "LATENCY S", "RESPONSE S", "PACKETS" },
    .empty = "no network parameters",
};
static const exposure_words patterns = {
    .api = "3gpp-cp-parameter-provisioning", .collection = "subscriptions",
    .columns = { "cpParameterSets" }, .heads = { "PATTERNS" },
    .empty = "no communication patterns",
};

static const exposure_words *parameters_of(const struct cli *cli)
{
    return invocation_has(cli->in, "--patterns") ? &patterns : &parameters;
}

/* /API/v1/APPLICATION/COLLECTION and, where `number` is not NULL, /NUMBER. An exit code. */
static int path_make(struct cli *cli, const exposure_words *words, const char *number, struct buffer *path)
{
    const char *application = invocation_option(cli->in, "--app");
    if (application == NULL)
        return cli_fail(EXIT_USAGE, "whose? --app ID names the application (scsAsId)");
    buffer_text(path, "/");
    buffer_text(path, words->api);
    url_add(path, "/v1/", application);
    buffer_text(path, "/");
    buffer_text(path, words->collection);
    if (number != NULL)
        url_add(path, "/", number);
    return EXIT_OK;
}

/* ---- lists ---- */

/* The n-th part of a path, from its end: 0 is the last. */
static void part_of(const char *self, int n, struct buffer *out)
{
    const char *end = self + strlen(self);
    for (;; n--) {
        const char *begin = end;
        while (begin > self && begin[-1] != '/')
            begin--;
        if (n == 0) {
            buffer_put(out, begin, (size_t)(end - begin));
            return;
        }
        if (begin == self)
            return;
        end = begin - 1;
    }
}

static void cell_part(struct table *table, const char *self, int n)
{
    struct buffer part = { 0 };
    part_of(self, n, &part);
    table_text(table, part.length > 0 ? buffer_string(&part) : "-");
    buffer_fini(&part);
}

static void row_put(struct table *table, const exposure_words *words, yyjson_val *resource)
{
    const char *self = member_text(resource, "self");
    bool is_of_group = yyjson_obj_get(resource, "externalGroupId") != NULL;
    cell_part(table, self, 0);
    cell_part(table, self, 2);
    cell_member(table, resource, is_of_group ? "externalGroupId" : yyjson_obj_get(resource, "externalId") != NULL ? "externalId" : "msisdn");
    for (int i = 0; i < 4 && words->columns[i] != NULL; i++)
        cell_member(table, resource, words->columns[i]);
}

static int print_table(struct cli *cli, const exposure_words *words, yyjson_val *resources)
{
    const char *heads[8] = { "NUMBER", "APPLICATION", "DEVICE" };
    size_t count = 3, index, max;
    yyjson_val *resource;
    if (yyjson_arr_size(resources) == 0) {
        cli_note("%s", words->empty);
        return EXIT_OK;
    }
    for (int i = 0; i < 4 && words->heads[i] != NULL; i++)
        heads[count++] = words->heads[i];
    struct table *table = table_new(cli->out, heads, count);
    yyjson_arr_foreach(resources, index, max, resource)
    {
        if (table != NULL)
            row_put(table, words, resource);
    }
    bool is_fine = table != NULL && table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

/* Those of that API, without what /v1 says beside. */
static yyjson_doc *resources_of(yyjson_doc *doc, const exposure_words *words)
{
    size_t index, max;
    yyjson_val *item;
    yyjson_mut_doc *made = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(made);
    if (made == NULL)
        return NULL;
    yyjson_mut_doc_set_root(made, root);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "exposures"), index, max, item)
    {
        if (strcmp(member_text(item, "api"), words->api) == 0)
            yyjson_mut_arr_append(root, yyjson_val_mut_copy(made, yyjson_obj_get(item, "resource")));
    }
    yyjson_doc *kept = yyjson_mut_doc_imut_copy(made, NULL);
    yyjson_mut_doc_free(made);
    return kept;
}

static int print_resources(struct cli *cli, const exposure_words *words, yyjson_doc *doc)
{
    size_t index, max;
    yyjson_val *resource;
    int code = EXIT_OK;
    if (doc == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    if (cli->format == OUTPUT_TABLE)
        return print_table(cli, words, yyjson_doc_get_root(doc));
    if (cli->format == OUTPUT_JSON)
        return json_print(cli, yyjson_doc_get_root(doc), true);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), index, max, resource)
    {
        if (code == EXIT_OK)
            code = json_print(cli, resource, false);
    }
    return code;
}

/* They are other resources, with other columns. */
static void tell_patterns(yyjson_doc *doc)
{
    yyjson_doc *others = resources_of(doc, &patterns);
    size_t count = others == NULL ? 0 : yyjson_arr_size(yyjson_doc_get_root(others));
    if (count > 0)
        cli_note("it has communication patterns too (%zu): --patterns shows them", count);
    yyjson_doc_free(others);
}

/* Of a device, or of an application. */
static int list(struct cli *cli, const exposure_words *words)
{
    struct buffer path = { 0 };
    yyjson_doc *doc = NULL, *kept = NULL;
    const char *id = invocation_argument(cli->in, 0);
    int code = EXIT_OK;
    if (id == NULL && invocation_option(cli->in, "--app") == NULL)
        code = cli_fail(EXIT_USAGE, "of which device (ID), or of which application (--app)?");
    else if (id != NULL && invocation_option(cli->in, "--app") != NULL)
        code = cli_fail(EXIT_USAGE, "either of a device (ID), or of an application (--app)");
    else if (id != NULL && strchr(id, '@') == NULL)
        code = cli_fail(EXIT_USAGE, "%s is no device's id (NAME@DOMAIN); of an application: --app %s", id, id);
    else if (id != NULL) {
        url_add(&path, "/v1/twins/", id);
        buffer_text(&path, "/exposures");
    } else
        code = path_make(cli, words, NULL, &path);
    if (code == EXIT_OK)
        code = cli_get(cli, buffer_string(&path), &doc);
    if (code == EXIT_OK && id != NULL) {
        kept = resources_of(doc, words);
        code = print_resources(cli, words, kept);
        if (code == EXIT_OK && words == &parameters)
            tell_patterns(doc);
    } else if (code == EXIT_OK)
        code = print_resources(cli, words, doc);
    yyjson_doc_free(doc);
    yyjson_doc_free(kept);
    buffer_fini(&path);
    return code;
}

/* ---- one ---- */

static int show(struct cli *cli, const exposure_words *words)
{
    struct buffer path = { 0 };
    int code = path_make(cli, words, invocation_argument(cli->in, 0), &path);
    if (code == EXIT_OK)
        code = cli_print_answer(cli, &(struct request){ .method = "GET", .path = buffer_string(&path) });
    buffer_fini(&path);
    return code;
}

static int remove_one(struct cli *cli, const exposure_words *words)
{
    struct buffer path = { 0 };
    struct response response;
    int code = path_make(cli, words, invocation_argument(cli->in, 0), &path);
    if (code == EXIT_OK) {
        code = client_call(cli->client, &(struct request){ .method = "DELETE", .path = buffer_string(&path) }, &response);
        response_fini(&response);
    }
    if (code == EXIT_OK)
        cli_note("removed %s", invocation_argument(cli->in, 0));
    buffer_fini(&path);
    return code;
}

/* Objects and lists too. */
static yyjson_mut_val *member_value(yyjson_mut_doc *doc, const char *text)
{
    yyjson_doc *read = text[0] == '{' || text[0] == '[' ? yyjson_read(text, strlen(text), 0) : NULL;
    yyjson_mut_val *value = read != NULL ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(read)) : json_typed(doc, text);
    yyjson_doc_free(read);
    return value;
}

static int body_make(struct cli *cli, struct buffer *body)
{
    struct buffer name = { 0 };
    const char *pair, *value, *notify = invocation_option(cli->in, "--notify");
    int code = EXIT_OK;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, invocation_has(cli->in, "--group") ? "externalGroupId" : "externalId", invocation_argument(cli->in, 0));
    if (notify != NULL)
        yyjson_mut_obj_add_str(doc, root, "notificationDestination", notify);
    for (int i = 1; code == EXIT_OK && (pair = invocation_argument(cli->in, i)) != NULL; i++)
        if (split_pair(pair, &name, &value))
            yyjson_mut_obj_add(root, yyjson_mut_strncpy(doc, name.bytes, name.length), member_value(doc, value));
        else
            code = cli_fail(EXIT_USAGE, "a member is NAME=VALUE, not %s", pair);
    if (code == EXIT_OK && (doc == NULL || !json_write(body, doc)))
        code = cli_fail(EXIT_FAILED, "no memory");
    yyjson_mut_doc_free(doc);
    buffer_fini(&name);
    return code;
}

static int add(struct cli *cli, const exposure_words *words)
{
    struct buffer path = { 0 }, body = { 0 };
    int code = path_make(cli, words, NULL, &path);
    if (code == EXIT_OK)
        code = body_make(cli, &body);
    if (code == EXIT_OK) {
        struct request request = { .method = "POST", .path = buffer_string(&path), .body = buffer_string(&body), .body_length = body.length };
        code = cli_print_answer(cli, &request);
    }
    buffer_fini(&path);
    buffer_fini(&body);
    return code;
}

int monitoring_list(struct cli *cli) { return list(cli, &monitoring); }
int monitoring_show(struct cli *cli) { return show(cli, &monitoring); }
int monitoring_add(struct cli *cli) { return add(cli, &monitoring); }
int monitoring_remove(struct cli *cli) { return remove_one(cli, &monitoring); }
int trigger_list(struct cli *cli) { return list(cli, &triggers); }
int trigger_show(struct cli *cli) { return show(cli, &triggers); }
int trigger_send(struct cli *cli) { return add(cli, &triggers); }
int trigger_remove(struct cli *cli) { return remove_one(cli, &triggers); }
int parameters_list(struct cli *cli) { return list(cli, parameters_of(cli)); }
int parameters_show(struct cli *cli) { return show(cli, parameters_of(cli)); }
int parameters_add(struct cli *cli) { return add(cli, parameters_of(cli)); }
int parameters_remove(struct cli *cli) { return remove_one(cli, parameters_of(cli)); }
