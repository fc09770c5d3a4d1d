/* dromio twin put --from, group join --from: lines go up while results come down. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "moment.h"
#include "text.h"

enum { RESULT_LINE_MAX = 256 * 1024, FAILURES_SHOWN_MAX = 20, PROGRESS_EVERY = 1000 };

struct bulk {
    struct cli *cli;
    struct buffer line;
    unsigned long results, made, changed, failed;
    bool is_too_long, is_terminal;
};

static void show_progress(const struct bulk *bulk, const char *end)
{
    if (bulk->is_terminal)
        fprintf(stderr, "\r%lu done, %lu failed%s", bulk->results, bulk->failed, end);
}

static void show_failure(struct bulk *bulk, const yyjson_val *result)
{
    yyjson_val *problem = yyjson_obj_get((yyjson_val *)result, "problem");
    const char *detail = member_text(problem, "detail");
    if (bulk->failed == FAILURES_SHOWN_MAX + 1)
        cli_note("%smore lines failed; -o ndjson shows them all", bulk->is_terminal ? "\r" : "");
    if (bulk->failed > FAILURES_SHOWN_MAX)
        return;
    if (bulk->is_terminal)
        fputs("\r\x1b[K", stderr);
    cli_note("line %lu: %s: %s", bulk->results, member_text(result, "id"),
             detail[0] != '\0' ? detail : member_text(problem, "title"));
}

static void take_result(struct bulk *bulk)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&bulk->line), bulk->line.length, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int64_t status = yyjson_get_sint(yyjson_obj_get(root, "status"));
    bulk->results++;
    bulk->made += status == 201;
    bulk->changed += status >= 200 && status < 300 && status != 201;
    if (status < 200 || status >= 300) {
        bulk->failed++;
        show_failure(bulk, root);
    }
    if (bulk->cli->format == OUTPUT_NDJSON && root != NULL)
        json_print(bulk->cli, root, false);
    if (bulk->results % PROGRESS_EVERY == 0)
        show_progress(bulk, "");
    yyjson_doc_free(doc);
}

static bool on_results(void *context, const char *bytes, size_t length)
{
    struct bulk *bulk = context;
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end != NULL ? (size_t)(end - bytes) : length;
        buffer_put(&bulk->line, bytes, part);
        if (bulk->line.is_full) {
            bulk->is_too_long = true;
            return false;
        }
        if (end == NULL)
            return true;
        if (bulk->line.length > 0)
            take_result(bulk);
        buffer_clear(&bulk->line);
        bytes += part + 1;
        length -= part + 1;
    }
    return true;
}

static int print_summary(const struct bulk *bulk)
{
    static const char *const heads[] = { "MADE", "CHANGED", "FAILED" };
    unsigned long counts[] = { bulk->made, bulk->changed, bulk->failed };
    char number[24];
    if (bulk->cli->format == OUTPUT_JSON) {
        fprintf(bulk->cli->out, "{\"made\":%lu,\"changed\":%lu,\"failed\":%lu}\n", counts[0], counts[1], counts[2]);
        return EXIT_OK;
    }
    if (bulk->cli->format == OUTPUT_NDJSON)
        return EXIT_OK;
    struct table *table = table_new(bulk->cli->out, heads, 3);
    for (int i = 0; table != NULL && i < 3; i++) {
        int length = snprintf(number, sizeof number, "%lu", counts[i]);
        table_cell(table, number, (size_t)length, true);
    }
    bool is_fine = table != NULL && table_flush(table);
    table_free(table);
    return is_fine ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
}

static int judge(struct bulk *bulk, const struct response *response)
{
    if (bulk->line.length > 0 && response->transport == EXIT_OK)
        take_result(bulk); /* a last line without its end */
    show_progress(bulk, "\n");
    int code = bulk->is_too_long ? cli_fail(EXIT_FAILED, "the host's answer is not lines of JSON")
                                 : client_judge(bulk->cli->client, response);
    unsigned long done = bulk->made + bulk->changed;
    if (code != EXIT_OK && bulk->results == 0)
        return code;
    int printed = print_summary(bulk);
    if (code != EXIT_OK) {
        cli_note("  %lu lines were answered before; giving the same file again is safe", bulk->results);
        return done > 0 && code != EXIT_INTERRUPTED ? EXIT_PARTLY : code;
    }
    if (bulk->failed > 0)
        return done > 0 ? EXIT_PARTLY : EXIT_FAILED;
    return printed;
}

int cli_bulk(struct cli *cli, const char *url, const char *path)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    if (file == NULL)
        return cli_fail(EXIT_USAGE, "%s: %s", path, strerror(errno));
    struct bulk bulk = { .cli = cli, .is_terminal = isatty(STDERR_FILENO) == 1 };
    bulk.line.limit = RESULT_LINE_MAX;
    struct request request = { .method = "POST",
                               .path = url,
                               .accept = "application/x-ndjson, application/problem+json",
                               .content_type = "application/x-ndjson",
                               .body_file = file,
                               .timeout_ms = -1,
                               .on_bytes = on_results,
                               .context = &bulk };
    struct response response;
    moment_catch_interrupts(); /* what was done until then is told */
    client_send(cli->client, &request, &response);
    int code = judge(&bulk, &response);
    response_fini(&response);
    buffer_fini(&bulk.line);
    if (!is_input)
        fclose(file);
    return code;
}
