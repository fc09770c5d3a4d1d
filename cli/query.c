#include "commands.h"

#include <string.h>

#include "text.h"

enum { SQL_MAX = 64 * 1024, LINE_SHOWN = 72 };

static int read_sql(struct buffer *sql, const char *argument)
{
    char part[4096];
    size_t length;
    sql->limit = SQL_MAX;
    if (strcmp(argument, "-") != 0) {
        buffer_text(sql, argument);
    } else {
        while ((length = fread(part, 1, sizeof part, stdin)) > 0)
            buffer_put(sql, part, length);
    }
    return sql->is_full ? cli_fail(EXIT_USAGE, "the SQL is longer than %d KiB", SQL_MAX / 1024) : EXIT_OK;
}

/* Shows where in the SQL the problem is. */
static void point_at(const struct buffer *sql, const struct response *response)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&response->body), response->body.length, 0);
    yyjson_val *position = yyjson_obj_get(yyjson_doc_get_root(doc), "position");
    if (yyjson_is_uint(position) && yyjson_get_uint(position) <= sql->length) {
        size_t at = (size_t)yyjson_get_uint(position);
        size_t from = at, end = at;
        while (from > 0 && sql->bytes[from - 1] != '\n' && at - from < LINE_SHOWN / 2)
            from--;
        while (end < sql->length && sql->bytes[end] != '\n' && end - from < LINE_SHOWN)
            end++;
        struct buffer before = { 0 }, after = { 0 };
        text_escape(&before, sql->bytes + from, at - from);
        text_escape(&after, sql->bytes + at, end - at);
        fprintf(stderr, "  %s%s\n  %*s^\n", buffer_string(&before), buffer_string(&after),
                (int)text_width(buffer_string(&before), before.length), "");
        buffer_fini(&before);
        buffer_fini(&after);
    }
    yyjson_doc_free(doc);
}

static int print_objects(struct cli *cli, yyjson_val *columns, yyjson_val *rows)
{
    size_t index, max, column, count;
    yyjson_val *row, *value;
    int code = EXIT_OK;
    yyjson_arr_foreach(rows, index, max, row)
    {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *object = yyjson_mut_obj(doc);
        struct buffer line = { 0 }, safe = { 0 };
        yyjson_mut_doc_set_root(doc, object);
        yyjson_arr_foreach(row, column, count, value)
        {
            yyjson_mut_val *name = yyjson_val_mut_copy(doc, yyjson_arr_get(columns, column));
            yyjson_mut_obj_add(object, name, yyjson_val_mut_copy(doc, value));
        }
        if (!json_write(&line, doc))
            code = cli_fail(EXIT_FAILED, "no memory");
        text_escape_json(&safe, buffer_string(&line), line.length);
        fprintf(cli->out, "%s\n", buffer_string(&safe));
        buffer_fini(&line);
        buffer_fini(&safe);
        yyjson_mut_doc_free(doc);
        if (code != EXIT_OK)
            break;
    }
    return code;
}

static int print_rows(struct cli *cli, yyjson_val *columns, yyjson_val *rows)
{
    struct buffer safe[TABLE_COLUMNS_MAX] = { 0 };
    const char *heads[TABLE_COLUMNS_MAX];
    size_t index, max, column, count = yyjson_arr_size(columns);
    yyjson_val *row, *value;
    struct table *table = NULL;
    for (size_t i = 0; i < count && i < TABLE_COLUMNS_MAX; i++) {
        yyjson_val *name = yyjson_arr_get(columns, i);
        text_escape(&safe[i], yyjson_is_str(name) ? yyjson_get_str(name) : "", yyjson_get_len(name));
        heads[i] = buffer_string(&safe[i]);
    }
    if (count <= TABLE_COLUMNS_MAX)
        table = table_new(cli->out, heads, count);
    if (table != NULL) {
        yyjson_arr_foreach(rows, index, max, row)
        {
            for (column = 0; column < count; column++) {
                value = yyjson_arr_get(row, column);
                cell_json(table, value);
            }
        }
    }
    bool is_fine = table != NULL && table_flush(table);
    table_free(table);
    for (size_t i = 0; i < TABLE_COLUMNS_MAX; i++)
        buffer_fini(&safe[i]);
    return is_fine ? EXIT_OK
                   : cli_fail(EXIT_FAILED, "more than %d columns do not fit a table; use -o json", TABLE_COLUMNS_MAX);
}

static int print_result(struct cli *cli, const struct response *response)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&response->body), response->body.length, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *columns = yyjson_obj_get(root, "columns"), *rows = yyjson_obj_get(root, "rows");
    int code;
    if (!yyjson_is_arr(columns) || !yyjson_is_arr(rows))
        code = cli_fail(EXIT_FAILED, "the answer is not a query's");
    else if (cli->format == OUTPUT_JSON)
        code = json_print(cli, root, false);
    else if (cli->format == OUTPUT_NDJSON)
        code = print_objects(cli, columns, rows);
    else
        code = print_rows(cli, columns, rows);
    if (code == EXIT_OK && cli->format == OUTPUT_TABLE)
        cli_note("%zu row%s, %.3f ms", yyjson_arr_size(rows), yyjson_arr_size(rows) == 1 ? "" : "s",
                 yyjson_get_num(yyjson_obj_get(root, "micros")) / 1000);
    yyjson_doc_free(doc);
    return code;
}

int query_run(struct cli *cli)
{
    struct buffer sql = { 0 }, body = { 0 };
    int code = read_sql(&sql, invocation_argument(cli->in, 0));
    if (code == EXIT_OK) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *root = yyjson_mut_obj(doc);
        yyjson_mut_doc_set_root(doc, root);
        yyjson_mut_obj_add_strn(doc, root, "sql", buffer_string(&sql), sql.length);
        if (!json_write(&body, doc))
            code = cli_fail(EXIT_USAGE, "the SQL is not UTF-8");
        yyjson_mut_doc_free(doc);
    }
    if (code == EXIT_OK) {
        struct request request = {
            .method = "POST", .path = "/v1/query", .body = body.bytes, .body_length = body.length
        };
        struct response response;
        code = client_call(cli->client, &request, &response);
        if (code == EXIT_OK)
            code = print_result(cli, &response);
        else
            point_at(&sql, &response);
        response_fini(&response);
    }
    buffer_fini(&sql);
    buffer_fini(&body);
    return code;
}
