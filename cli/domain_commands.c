/* dromio domain: domains and their keys. dromio host rekey: another master key. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "moment.h"

enum { POLL_MS = 200 };

static const list_columns domain_columns = {
    .member = "domains",
    .count = 6,
    .names = { "domain", "state", "twins", "key.number", "key.since", "older_key.twins" },
    .heads = { "DOMAIN", "STATE", "TWINS", "KEY", "SINCE", "UNDER OLDER" },
    .empty = "no domains yet; the first twin of one makes it",
};

static void path_of(struct buffer *path, struct cli *cli, const char *rest)
{
    url_add(path, "/v1/domains/", invocation_argument(cli->in, 0));
    buffer_text(path, rest);
}

int domain_list(struct cli *cli)
{
    return cli_list_pages(cli, "/v1/domains", &domain_columns);
}

int domain_show(struct cli *cli)
{
    struct buffer path = { 0 };
    path_of(&path, cli, "");
    struct request request = { .method = "GET", .path = buffer_string(&path) };
    int code = cli_print_answer(cli, &request);
    buffer_fini(&path);
    return code;
}

/* Is what was asked for done? Of an answer about the domain. */
typedef bool over_function(const yyjson_val *domain);

static bool is_sealed(const yyjson_val *domain)
{
    const yyjson_val *older = yyjson_obj_get((yyjson_val *)domain, "older_key");
    return older == NULL || strcmp(member_text(older, "waits_for"), "history") == 0;
}

static bool is_never(const yyjson_val *domain)
{
    (void)domain;
    return false;
}

/* One look. An exit code; *is_done: it is over, or the domain is gone where that is what is waited for. */
static int look(struct cli *cli, const char *path, over_function *is_over, bool *is_done)
{
    struct request request = { .method = "GET", .path = path };
    struct response response = { 0 };
    client_send(cli->client, &request, &response);
    *is_done = response.status == 404 && is_over == is_never;
    int code = *is_done ? EXIT_OK : client_judge(cli->client, &response);
    yyjson_doc *doc = code == EXIT_OK && !*is_done ? yyjson_read(buffer_string(&response.body), response.body.length, 0) : NULL;
    if (doc != NULL)
        *is_done = is_over(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    response_fini(&response);
    return code;
}

static int wait_until(struct cli *cli, over_function *is_over)
{
    const struct timespec pause = { .tv_nsec = POLL_MS * 1000000l };
    const char *text = invocation_option(cli->in, "--timeout");
    int64_t end = text == NULL ? INT64_MAX : moment_ms() + duration_ms(text);
    struct buffer path = { 0 };
    path_of(&path, cli, "");
    bool is_done = false;
    int code = look(cli, buffer_string(&path), is_over, &is_done);
    while (code == EXIT_OK && !is_done && moment_ms() < end) {
        nanosleep(&pause, NULL);
        code = look(cli, buffer_string(&path), is_over, &is_done);
    }
    buffer_fini(&path);
    if (code == EXIT_OK && !is_done)
        return cli_fail(EXIT_TIMED_OUT, "it goes on; dromio domain show %s says how far it is", invocation_argument(cli->in, 0));
    return code;
}

/* Sends the request, and waits with --wait. */
static int change(struct cli *cli, const char *method, struct buffer *path, over_function *is_over)
{
    const char *timeout = invocation_option(cli->in, "--timeout");
    struct request request = { .method = method, .path = buffer_string(path) };
    int code = timeout != NULL && duration_ms(timeout) < 0 ? cli_fail(EXIT_USAGE, "--timeout takes a time such as 30s or 10m, not %s", timeout)
                                                           : cli_print_answer(cli, &request);
    buffer_fini(path);
    if (code == EXIT_OK && invocation_has(cli->in, "--wait") && (code = wait_until(cli, is_over)) == EXIT_OK)
        cli_note(is_over == is_never ? "%s is gone" : "all that lives in %s is under its new key", invocation_argument(cli->in, 0));
    return code;
}

int domain_rotate(struct cli *cli)
{
    struct buffer path = { 0 };
    path_of(&path, cli, "/keys");
    url_query(&path, "history", invocation_option(cli->in, "--history"));
    return change(cli, "POST", &path, is_sealed);
}

int domain_remove(struct cli *cli)
{
    struct buffer path = { 0 };
    path_of(&path, cli, "");
    return change(cli, "DELETE", &path, is_never);
}

int host_rekey(struct cli *cli)
{
    struct request request = { .method = "POST", .path = "/v1/master-key" };
    struct response response = { 0 };
    int code = client_call(cli->client, &request, &response);
    response_fini(&response);
    if (code == EXIT_OK)
        cli_note("all keys are wrapped by a new master key: keep a copy of its file apart from the data; backups from before need the one before");
    return code;
}
