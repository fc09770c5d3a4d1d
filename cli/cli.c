#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "moment.h"
#include "text.h"

static void tell(const char *before, const char *format, va_list list)
{
    char line[1024];
    struct buffer safe = { 0 };
    vsnprintf(line, sizeof line, format, list);
    text_escape(&safe, line, strlen(line));
    fprintf(stderr, "%s%s\n", before, buffer_string(&safe));
    buffer_fini(&safe);
}

int cli_fail(int code, const char *format, ...)
{
    va_list list;
    if (moment_is_interrupted())
        return EXIT_INTERRUPTED;
    va_start(list, format);
    tell("dromio: ", format, list);
    va_end(list);
    return code;
}

void cli_note(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    tell("", format, list);
    va_end(list);
}

void url_add(struct buffer *url, const char *before, const char *text)
{
    buffer_text(url, before);
    text_escape_url(url, text, strlen(text));
}

void url_query(struct buffer *url, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buffer_text(url, strchr(buffer_string(url), '?') == NULL ? "?" : "&");
    buffer_text(url, name);
    url_add(url, "=", value);
}

int cli_json(struct cli *cli, const struct request *request, yyjson_doc **out)
{
    struct response response;
    yyjson_read_err err;
    *out = NULL;
    int code = client_call(cli->client, request, &response);
    if (code == EXIT_OK) {
        *out = yyjson_read_opts(response.body.bytes, response.body.length, 0, NULL, &err);
        if (*out == NULL)
            code = cli_fail(EXIT_FAILED, "the answer of %s is not JSON: %s; is it a Dromio host?",
                            client_host(cli->client), err.msg);
    }
    response_fini(&response);
    return code;
}

int cli_get(struct cli *cli, const char *path, yyjson_doc **out)
{
    struct request request = { .method = "GET", .path = path };
    return cli_json(cli, &request, out);
}

yyjson_mut_val *json_typed(yyjson_mut_doc *doc, const char *text)
{
    yyjson_doc *read = yyjson_read(text, strlen(text), 0);
    yyjson_val *root = yyjson_doc_get_root(read);
    yyjson_mut_val *value;
    if (root != NULL && !yyjson_is_ctn(root))
        value = yyjson_val_mut_copy(doc, root);
    else
        value = yyjson_mut_strcpy(doc, text);
    yyjson_doc_free(read);
    return value;
}

bool json_write(struct buffer *out, yyjson_mut_doc *doc)
{
    size_t length;
    char *text = yyjson_mut_write(doc, 0, &length);
    if (text != NULL)
        buffer_put(out, text, length);
    free(text);
    return text != NULL && !out->is_full;
}

bool split_pair(const char *pair, struct buffer *name, const char **value)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair)
        return false;
    buffer_clear(name);
    buffer_put(name, pair, (size_t)(equals - pair));
    *value = equals + 1;
    return !name->is_full;
}

int action_input(struct cli *cli, yyjson_mut_doc *doc)
{
    struct buffer name = { 0 };
    const char *pair, *value;
    int code = EXIT_OK;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    for (int i = 2; code == EXIT_OK && (pair = invocation_argument(cli->in, i)) != NULL; i++) {
        if (split_pair(pair, &name, &value))
            yyjson_mut_obj_add(root, yyjson_mut_strncpy(doc, name.bytes, name.length), json_typed(doc, value));
        else
            code = cli_fail(EXIT_USAGE, "an action's input is NAME=VALUE, not %s", pair);
    }
    buffer_fini(&name);
    return code;
}

int json_print(struct cli *cli, const yyjson_val *value, bool is_indented)
{
    size_t length;
    struct buffer safe = { 0 };
    char *text = yyjson_val_write(value, is_indented ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0, &length);
    if (text != NULL)
        text_escape_json(&safe, text, length);
    bool is_fine = text != NULL && !safe.is_full;
    if (is_fine)
        fprintf(cli->out, "%s\n", buffer_string(&safe));
    free(text);
    buffer_fini(&safe);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

int cli_print_json(struct cli *cli, yyjson_doc *doc, const char *member)
{
    size_t index, max;
    yyjson_val *item;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *items = member != NULL ? yyjson_obj_get(root, member) : NULL;
    if (cli->format != OUTPUT_NDJSON || !yyjson_is_arr(items))
        return json_print(cli, root, cli->format == OUTPUT_JSON);
    yyjson_arr_foreach(items, index, max, item)
    {
        if (json_print(cli, item, false) != EXIT_OK)
            return EXIT_FAILED;
    }
    return EXIT_OK;
}

int cli_print_made(struct cli *cli, yyjson_mut_doc *doc)
{
    yyjson_doc *whole = yyjson_mut_doc_imut_copy(doc, NULL);
    int code = whole == NULL ? cli_fail(EXIT_FAILED, "no memory") : cli_print_json(cli, whole, NULL);
    yyjson_doc_free(whole);
    yyjson_mut_doc_free(doc);
    return code;
}

static void cell_value(struct table *table, const yyjson_val *value, bool is_left)
{
    yyjson_val *val = (yyjson_val *)value;
    if (val == NULL || yyjson_is_null(val)) {
        table_text(table, "-");
    } else if (yyjson_is_str(val)) {
        table_cell(table, yyjson_get_str(val), yyjson_get_len(val), false);
    } else {
        size_t length = 0;
        char *text = yyjson_val_write(val, 0, &length);
        table_cell(table, text != NULL ? text : "", length, yyjson_is_num(val) && !is_left);
        free(text);
    }
}

void cell_json(struct table *table, const yyjson_val *value)
{
    cell_value(table, value, false);
}

void cell_json_left(struct table *table, const yyjson_val *value)
{
    cell_value(table, value, true);
}

enum { TEXTS_SHOWN = 8 }; /* of an array in a table */

/* An array of texts as "a, b", a long one as "a, b, ... 64 in all". */
static void cell_texts(struct table *table, yyjson_val *array)
{
    size_t index, max;
    yyjson_val *item;
    struct buffer line = { 0 };
    yyjson_arr_foreach(array, index, max, item)
    {
        if (!yyjson_is_str(item)) {
            buffer_fini(&line);
            cell_json(table, array);
            return;
        }
        if (index == TEXTS_SHOWN) {
            buffer_printf(&line, ", ... %zu in all", max);
            break;
        }
        buffer_text(&line, index > 0 ? ", " : "");
        buffer_put(&line, yyjson_get_str(item), yyjson_get_len(item));
    }
    table_cell(table, line.length > 0 ? line.bytes : "-", line.length > 0 ? line.length : 1, false);
    buffer_fini(&line);
}

/* An object of plain values as "burst=7, configurations=9". */
static void cell_object(struct table *table, yyjson_val *object)
{
    size_t index, max;
    yyjson_val *name, *value;
    struct buffer line = { 0 };
    yyjson_obj_foreach(object, index, max, name, value)
    {
        char *text = yyjson_val_write(value, 0, NULL);
        buffer_printf(&line, "%s%s=%s", index > 0 ? ", " : "", yyjson_get_str(name), text != NULL ? text : "");
        free(text);
    }
    table_text(table, line.length > 0 ? buffer_string(&line) : "-");
    buffer_fini(&line);
}

void cell_member(struct table *table, const yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get((yyjson_val *)object, name);
    if (yyjson_is_arr(value))
        cell_texts(table, value);
    else if (yyjson_is_obj(value))
        cell_object(table, value);
    else
        cell_json(table, value);
}

const char *member_text(const yyjson_val *object, const char *name)
{
    const char *text = yyjson_get_str(yyjson_obj_get((yyjson_val *)object, name));
    return text != NULL ? text : "";
}

int cli_print_list(struct cli *cli, yyjson_doc *doc, const list_columns *columns)
{
    size_t index, max;
    yyjson_val *item;
    if (cli->format != OUTPUT_TABLE)
        return cli_print_json(cli, doc, columns->member);
    yyjson_val *items = yyjson_obj_get(yyjson_doc_get_root(doc), columns->member);
    if (yyjson_arr_size(items) == 0) {
        fprintf(stderr, "%s\n", columns->empty);
        return EXIT_OK;
    }
    struct table *table = table_new(cli->out, columns->heads, columns->count);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    yyjson_arr_foreach(items, index, max, item)
    {
        for (size_t i = 0; i < columns->count; i++)
            cell_member(table, item, columns->names[i]);
    }
    bool is_fine = table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

static void put_members(struct table *table, yyjson_val *object, const char *within, int depth);

enum { DEPTH_MAX = 4 }; /* below it stays JSON */

static bool is_of_objects(yyjson_val *value)
{
    return yyjson_is_arr(value) && yyjson_is_obj(yyjson_arr_get_first(value));
}

static void put_value(struct table *table, yyjson_val *value, const char *named, int depth)
{
    size_t index, max;
    yyjson_val *item;
    if (yyjson_is_obj(value) && yyjson_obj_size(value) > 0 && depth < DEPTH_MAX) {
        put_members(table, value, named, depth + 1);
    } else if (is_of_objects(value) && depth < DEPTH_MAX) {
        yyjson_arr_foreach(value, index, max, item)
        {
            struct buffer whole = { 0 };
            buffer_printf(&whole, "%s.%zu", named, index);
            put_value(table, item, buffer_string(&whole), depth + 1);
            buffer_fini(&whole);
        }
    } else {
        table_text(table, named);
        if (yyjson_is_arr(value))
            cell_texts(table, value);
        else if (yyjson_is_obj(value) && yyjson_obj_size(value) == 0)
            table_text(table, "-");
        else
            cell_json_left(table, value);
    }
}

/* A row each; those of what is within are named after it too: limits.burst, cells.0.share. */
static void put_members(struct table *table, yyjson_val *object, const char *within, int depth)
{
    size_t index, max;
    yyjson_val *name, *value;
    yyjson_obj_foreach(object, index, max, name, value)
    {
        struct buffer whole = { 0 };
        buffer_printf(&whole, "%s%s%s", within, within[0] != '\0' ? "." : "", yyjson_get_str(name));
        put_value(table, value, buffer_string(&whole), depth);
        buffer_fini(&whole);
    }
}

int cli_print_members(struct cli *cli, const yyjson_val *object)
{
    static const char *const heads[] = { "NAME", "VALUE" };
    struct table *table = table_new(cli->out, heads, 2);
    if (table == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    put_members(table, (yyjson_val *)object, "", 0);
    bool is_fine = table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

int cli_print_answer(struct cli *cli, struct request *request)
{
    yyjson_doc *doc = NULL;
    int code = cli_json(cli, request, &doc);
    if (code == EXIT_OK && cli->format != OUTPUT_TABLE)
        code = cli_print_json(cli, doc, NULL);
    else if (code == EXIT_OK)
        code = cli_print_members(cli, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return code;
}

int cli_list(struct cli *cli, const char *path, const list_columns *columns)
{
    yyjson_doc *doc;
    int code = cli_get(cli, path, &doc);
    if (code == EXIT_OK)
        code = cli_print_list(cli, doc, columns);
    yyjson_doc_free(doc);
    return code;
}

long duration_ms(const char *text)
{
    enum { DURATION_MAX = 24 * 3600 };
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    double unit = strcmp(end, "ms") == 0                  ? 1
                  : strcmp(end, "s") == 0 || *end == '\0' ? 1000
                  : strcmp(end, "m") == 0                 ? 60000
                  : strcmp(end, "h") == 0                 ? 3600000
                                                          : 0;
    if (end == text || errno != 0 || unit == 0 || !(number >= 0) || number * unit > DURATION_MAX * 1000.0)
        return -1;
    return (long)(number * unit);
}

long count_parse(const char *text)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    return end == text || *end != '\0' || errno != 0 || number < 1 ? -1 : number;
}
