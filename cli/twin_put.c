/* dromio twin put: one twin from options, or many from a file. */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "ticket.h"

enum { SECRET_FILE_MAX = 64 * 1024 };

static int read_secret(struct buffer *out, const char *path)
{
    char part[4096];
    size_t length;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return cli_fail(EXIT_USAGE, "%s: %s", path, strerror(errno));
    out->limit = SECRET_FILE_MAX;
    do {
        length = fread(part, 1, sizeof part, file);
        buffer_put(out, part, length);
    } while (length == sizeof part);
    explicit_bzero(part, sizeof part);
    bool is_fine = !ferror(file) && !out->is_full && out->length > 0;
    fclose(file);
    while (out->length > 0 && (out->bytes[out->length - 1] == '\n' || out->bytes[out->length - 1] == '\r'))
        out->bytes[--out->length] = '\0';
    return is_fine ? EXIT_OK : cli_fail(EXIT_USAGE, "%s is empty, too large or cannot be read", path);
}

/* One NAME=VALUE into the object; "" becomes null: removed. */
static int add_pair(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *option, const char *pair, bool is_secret)
{
    struct buffer name = { 0 }, secret = { 0 };
    const char *value;
    int code = EXIT_OK;
    if (!split_pair(pair, &name, &value)) {
        buffer_fini(&name);
        return cli_fail(EXIT_USAGE, "%s takes NAME=VALUE", option);
    }
    if (is_secret && value[0] == '@') {
        code = read_secret(&secret, value + 1);
        value = buffer_string(&secret);
    }
    yyjson_mut_val *key = yyjson_mut_strncpy(doc, name.bytes, name.length);
    if (value[0] == '\0')
        yyjson_mut_obj_add(object, key, yyjson_mut_null(doc));
    else
        yyjson_mut_obj_add(object, key, is_secret ? json_typed(doc, value) : yyjson_mut_strcpy(doc, value));
    if (secret.bytes != NULL)
        explicit_bzero(secret.bytes, secret.capacity);
    buffer_fini(&secret);
    buffer_fini(&name);
    return code;
}

static int add_pairs(yyjson_mut_doc *doc, const invocation *in, const char *option, const char *member, bool is_secret)
{
    const char *pair;
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    int code = EXIT_OK;
    for (int i = 0; code == EXIT_OK && (pair = invocation_option_at(in, option, i)) != NULL; i++)
        code = add_pair(doc, object, option, pair, is_secret);
    if (yyjson_mut_obj_size(object) > 0)
        yyjson_mut_obj_add_val(doc, yyjson_mut_doc_get_root(doc), member, object);
    return code;
}

static int write_body(struct buffer *body, const invocation *in)
{
    static const char *const texts[][2] = {
        { "--model", "model" }, { "--image", "image" }, { "--imsi", "imsi" }, { "--msisdn", "msisdn" }
    };
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *aliases = yyjson_mut_arr(doc);
    const char *value;
    yyjson_mut_doc_set_root(doc, root);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((value = invocation_option(in, texts[i][0])) != NULL && value[0] != '\0')
            yyjson_mut_obj_add_str(doc, root, texts[i][1], value);
        else if (value != NULL)
            yyjson_mut_obj_add_null(doc, root, texts[i][1]);
    }
    for (int i = 0; (value = invocation_option_at(in, "--alias", i)) != NULL; i++)
        yyjson_mut_arr_add_str(doc, aliases, value);
    if (yyjson_mut_arr_size(aliases) > 0)
        yyjson_mut_obj_add_val(doc, root, "aliases", aliases);
    int code = add_pairs(doc, in, "--tag", "tags", false);
    if (code == EXIT_OK)
        code = add_pairs(doc, in, "--secret", "secrets", true);
    if (code == EXIT_OK && !json_write(body, doc))
        code = cli_fail(EXIT_USAGE, "an argument is not UTF-8");
    yyjson_mut_doc_free(doc);
    return code;
}

static int print_put(struct cli *cli, const char *id, const struct response *response)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&response->body), response->body.length, 0);
    int code = EXIT_OK;
    if (cli->format != OUTPUT_TABLE && doc != NULL) {
        code = cli_print_json(cli, doc, NULL);
    } else {
        static const char *const heads[] = { "ID", "STATE", "REVISION" };
        yyjson_val *revision = yyjson_obj_get(yyjson_doc_get_root(doc), "revision");
        struct table *table = table_new(cli->out, heads, 3);
        if (table != NULL) {
            table_text(table, id);
            table_text(table, response->status == 201 ? "made" : "changed");
            if (revision != NULL)
                cell_json(table, revision);
            else
                table_text(table, response->etag);
            table_flush(table);
        }
        table_free(table);
    }
    yyjson_doc_free(doc);
    return code;
}

/* The headers of a write, into `lines` (borrowed by the request). */
int write_headers(const invocation *in, struct request *request, struct buffer lines[2])
{
    const char *revision = invocation_option(in, "--if-match");
    const char *key = invocation_option(in, "--idempotency-key");
    int count = 0;
    if (revision != NULL) {
        bool is_any = strcmp(revision, "*") == 0;
        if (!is_any && (revision[0] == '\0' || strspn(revision, "0123456789") < strlen(revision)))
            return cli_fail(EXIT_USAGE, "--if-match takes a revision, not %s", revision);
        buffer_printf(&lines[0], is_any ? "If-Match: %s" : "If-Match: \"%s\"", revision);
        request->headers[count++] = buffer_string(&lines[0]);
    }
    if (key != NULL) {
        for (const char *at = key; *at != '\0' || at == key; at++) {
            if (*at < '!' || *at > '~')
                return cli_fail(EXIT_USAGE, "--idempotency-key takes printable ASCII without spaces");
        }
        buffer_printf(&lines[1], "Idempotency-Key: %s", key);
        request->headers[count++] = buffer_string(&lines[1]);
    }
    if (invocation_has(in, "--create"))
        request->headers[count] = "If-None-Match: *";
    return EXIT_OK;
}

static int put_one(struct cli *cli, const char *id)
{
    struct buffer path = { 0 }, body = { 0 }, lines[2] = { 0 };
    url_add(&path, "/v1/twins/", id);
    struct request request = { .method = "PUT", .path = buffer_string(&path) };
    int code = write_headers(cli->in, &request, lines);
    if (code == EXIT_OK)
        code = write_body(&body, cli->in);
    if (code == EXIT_OK) {
        struct response response;
        request.body = body.bytes;
        request.body_length = body.length;
        code = client_call(cli->client, &request, &response);
        if (code == EXIT_OK)
            code = print_put(cli, id, &response);
        response_fini(&response);
    }
    if (body.bytes != NULL)
        explicit_bzero(body.bytes, body.capacity); /* secrets */
    buffer_fini(&body);
    buffer_fini(&path);
    buffer_fini(&lines[0]);
    buffer_fini(&lines[1]);
    return code;
}

int twin_put(struct cli *cli)
{
    const char *id = invocation_argument(cli->in, 0);
    const char *from = invocation_option(cli->in, "--from");
    static const char *const single[] = { "--model", "--image",  "--imsi",   "--msisdn",   "--alias",
                                          "--tag",   "--secret", "--create", "--if-match", "--idempotency-key" };
    if ((id == NULL) == (from == NULL))
        return cli_fail(EXIT_USAGE, "give either an ID or --from FILE");
    if (from == NULL)
        return put_one(cli, id);
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (invocation_has(cli->in, single[i]))
            return cli_fail(EXIT_USAGE, "%s does not go with --from: say it in the file", single[i]);
    }
    return cli_bulk(cli, "/v1/twins:bulk", from);
}
