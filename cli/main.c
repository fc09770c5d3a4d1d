/* dromio: the command line. Speaks only to the HTTP API; data on standard output,
 * all else on standard error. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "moment.h"

enum { TOKEN_FILE_MAX = CLIENT_TOKEN_MAX + 16 };

static const char demo_token_file[] = ".demo/admin.token";

/* The first line of a file; NULL when it cannot be read. */
static char *read_token(const char *path)
{
    char line[TOKEN_FILE_MAX];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    bool is_read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (!is_read)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return strdup(line);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Who is asking, in the order --help says. *token stays NULL where nothing says it. */
static int find_token(const invocation *in, char **token)
{
    const char *given = invocation_option(in, "--token");
    const char *file = invocation_option(in, "--token-file");
    *token = NULL;
    if (given == NULL && file == NULL)
        given = environment("DROMIO_TOKEN");
    if (given != NULL) {
        *token = strdup(given);
        return EXIT_OK;
    }
    if (file == NULL)
        file = environment("DROMIO_TOKEN_FILE");
    *token = read_token(file != NULL ? file : demo_token_file);
    if (*token == NULL && file != NULL)
        return cli_fail(EXIT_USAGE, "the token file %s cannot be read", file);
    return EXIT_OK;
}

static output_format format_of(const invocation *in)
{
    const char *name = invocation_option(in, "--output");
    if (name == NULL || strcmp(name, "table") == 0)
        return OUTPUT_TABLE;
    return strcmp(name, "json") == 0 ? OUTPUT_JSON : OUTPUT_NDJSON;
}

/* The client for what the user and the environment say. */
static int connect_cli(struct cli *cli)
{
    const char *host = invocation_option(cli->in, "--host");
    const char *ca = invocation_option(cli->in, "--ca");
    char *token;
    int code = find_token(cli->in, &token);
    if (code != EXIT_OK)
        return code;
    if (host == NULL)
        host = environment("DROMIO_HOST");
    client_config config = { host != NULL ? host : "http://127.0.0.1:8080", token,
                             ca != NULL ? ca : environment("DROMIO_CA") };
    cli->client = client_new(&config);
    if (token != NULL)
        explicit_bzero(token, strlen(token));
    free(token);
    return cli->client != NULL ? EXIT_OK : EXIT_USAGE;
}

static int run(const invocation *in)
{
    struct cli cli = { .in = in, .format = format_of(in), .out = stdout };
    const char *local = in->command->local_option;
    bool is_local = in->command->is_local || (in->command->is_local_with_arguments && in->argument_count > 0) || (local != NULL && invocation_has(in, local));
    int code = is_local ? EXIT_OK : connect_cli(&cli);
    if (code == EXIT_OK)
        code = in->command->run(&cli);
    client_free(cli.client);
    if (moment_is_interrupted()) /* what was being written may have been cut: that is what the user asked for */
        return code == EXIT_OK ? EXIT_OK : EXIT_INTERRUPTED;
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(EXIT_FAILED, "standard output cannot be written");
    return code;
}

int main(int argc, char **argv)
{
    static invocation in;
    bool is_fine = invocation_parse(&in, argc, argv);
    if (is_fine && in.is_version) {
        printf("dromio %s\n", DROMIO_VERSION);
        return EXIT_OK;
    }
    if (is_fine && in.is_help) {
        help_print(stdout, &in);
        return EXIT_OK;
    }
    if (!is_fine) {
        fprintf(stderr, "dromio: %s\n", in.problem);
        if (in.command != NULL)
            usage_print(stderr, in.command);
        else
            help_print(stderr, &in);
        return EXIT_USAGE;
    }
    if (in.command->run_raw != NULL)
        return in.command->run_raw(in.raw_argc, in.raw_argv);
    return run(&in);
}
