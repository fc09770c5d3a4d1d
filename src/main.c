/* dromiod: flags and configuration; the rest is the supervisor's. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/certificates.h"
#include "host/config.h"
#include "host/supervisor.h"
#include "store/data_layout.h"
#include "host/title.h"

enum { EXIT_USAGE = 2 };

static void help(void)
{
    printf("usage: dromiod [--config FILE] [--set section.key=value]... [--data DIR]\n\n"
           "The host of device twins.\n\n"
           "  --config FILE          read this TOML file\n"
           "  --set section.key=VAL  override a key; a bare word counts as a string\n"
           "  --data DIR             the same as --set host.data=DIR\n"
           "  --check                read and check the configuration, start nothing\n"
           "  --keys                 print the table of keys, with tabs between its columns\n"
           "  --version              print the version\n"
           "  --help                 print this\n\n"
           "Ready when GET /healthz says 200. SIGTERM stops it cleanly.\n"
           "Exit code: 0 stopped, 1 failed, 2 wrong flags or configuration.\n\nKeys:\n");
    config_help(stdout);
}

static dro_log_level level_of(const char *name)
{
    return strcmp(name, "debug") == 0 ? DRO_LOG_DEBUG : strcmp(name, "warn") == 0 ? DRO_LOG_WARN
         : strcmp(name, "error") == 0 ? DRO_LOG_ERROR : DRO_LOG_INFO;
}

/* The console's files lie in the source tree when built there, else where they were installed. */
static void find_console(config *config)
{
    char program[PATH_MAX], path[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (config->console_directory[0] != '\0' || length < 0)
        return;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL)
        *slash = '\0';
    snprintf(path, sizeof path, "%s/../console", program);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%s/../share/dromio/console", program);
    if (strlen(path) < sizeof config->console_directory)
        memcpy(config->console_directory, path, strlen(path) + 1);
}

int main(int argc, char **argv)
{
    static config config;
    enum { OPTION_CONFIG = 1, OPTION_SET, OPTION_DATA, OPTION_CHECK, OPTION_KEYS, OPTION_VERSION, OPTION_HELP };
    static const struct option options[] = {
        { "config", required_argument, NULL, OPTION_CONFIG }, { "set", required_argument, NULL, OPTION_SET },
        { "data", required_argument, NULL, OPTION_DATA },     { "version", no_argument, NULL, OPTION_VERSION },
        { "check", no_argument, NULL, OPTION_CHECK },         { "check-config", no_argument, NULL, OPTION_CHECK },
        { "keys", no_argument, NULL, OPTION_KEYS },
        { "help", no_argument, NULL, OPTION_HELP },           { NULL, 0, NULL, 0 },
    };
    config_defaults(&config);
    bool is_fine = true, is_check = false;
    int option;
    /* The file first, whatever the order: flags override it. */
    while (is_fine && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == OPTION_CONFIG)
            is_fine = config_read_file(&config, optarg);
        else if (option == '?')
            is_fine = false;
    }
    optind = 1;
    while (is_fine && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        char assignment[1100];
        switch (option) {
        case OPTION_SET: is_fine = config_set(&config, optarg); break;
        case OPTION_DATA:
            snprintf(assignment, sizeof assignment, "host.data='%s'", optarg);
            is_fine = config_set(&config, assignment);
            break;
        case OPTION_CHECK: is_check = true; break;
        case OPTION_KEYS: config_keys(stdout); return 0;
        case OPTION_VERSION: printf("dromiod %s (data layout %d)\n", DROMIO_VERSION, DATA_LAYOUT); return 0;
        case 'h':
        case OPTION_HELP: help(); return 0;
        default: break;
        }
    }
    if (is_fine && optind < argc) {
        fprintf(stderr, "dromiod: %s: unexpected; see --help\n", argv[optind]);
        is_fine = false;
    }
    if (!is_fine || !config_check(&config))
        return EXIT_USAGE;
    int certificates = certificates_load(&config);
    if (certificates < 0)
        return EXIT_USAGE;
    if (is_check)
        return 0;
    dro_log_setup("dromiod", level_of(config.log_level));
    find_console(&config);
    title_init(argc, argv);
    return supervise(&config, certificates);
}
