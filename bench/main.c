/* dromio-bench: one benchmark of a dromiod as shipped. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "bench/bench.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

static void usage(void)
{
    printf("usage: dromio-bench NAME [OPTION]...\n"
           "Measures the dromiod beside this program. It starts one in a new data directory and removes both again.\n\n");
    for (int i = 0; i < bench_row_count; i++)
        printf("  %-10s %s\n", bench_rows[i].name, bench_rows[i].measures);
    printf("\n"
           "  --json             one JSON object on standard output\n"
           "  --quick            20 seconds at most\n"
           "  --seconds N        how long the load lasts\n"
           "  --alone            without the program it is compared with\n"
           "  --twins N          how many twins\n"
           "  --times N          overload: offers the peak and N times as much, over 32 connections\n"
           "  --http             overload: of actions over HTTP, by N times as many clients\n"
           "  --dromiod FILE     the program (beside this one)\n"
           "  --image FILE       the sample thermometer (examples/thermo.wasm beside this program)\n"
           "  --data DIR         where the data directory is made (/var/tmp); use the disk you want to measure\n"
           "\nExit: 0 ok, 1 failed, 2 usage.\n");
}

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "dromio-bench: %s %s (--help lists the benchmarks and options)\n", what, which);
    return EXIT_USAGE;
}

static void defaults(bench_options *options)
{
    *options = (bench_options){ .directory = "/var/tmp" };
    bench_beside(options->dromiod, sizeof options->dromiod, "dromiod");
    bench_beside(options->image, sizeof options->image, "examples/thermo.wasm");
    if (access(options->image, R_OK) != 0) /* not in its build directory: installed */
        bench_beside(options->image, sizeof options->image, "../share/dromio/examples/thermo.wasm");
}

static bool take_number(const char *text, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0 && *out <= most;
}

static int read_options(bench_options *out, int argc, char **argv)
{
    static const struct option rows[] = {
        { "json", no_argument, NULL, 'j' },           { "quick", no_argument, NULL, 'q' },
        { "seconds", required_argument, NULL, 's' },  { "twins", required_argument, NULL, 't' },
        { "dromiod", required_argument, NULL, 'p' },  { "image", required_argument, NULL, 'i' },
        { "data", required_argument, NULL, 'd' },     { "alone", no_argument, NULL, 'a' },
        { "times", required_argument, NULL, 'm' },    { "help", no_argument, NULL, 'h' },
        { "http", no_argument, NULL, 'w' },
        { 0 },
    };
    double number;
    int got;
    defaults(out);
    while ((got = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
        switch (got) {
        case 'j': out->is_json = true; break;
        case 'q': out->is_quick = true; break;
        case 'a': out->is_alone = true; break;
        case 'w': out->is_http = true; break;
        case 's':
            if (!take_number(optarg, 3600, &out->seconds))
                return complain("--seconds is a number up to 3600, not", optarg);
            break;
        case 'm':
            if (!take_number(optarg, 100, &out->times))
                return complain("--times is a number up to 100, not", optarg);
            break;
        case 't':
            if (!take_number(optarg, 10e6, &number) || number != (uint32_t)number)
                return complain("--twins is a whole number up to 10000000, not", optarg);
            out->twins = (uint32_t)number;
            break;
        case 'p': snprintf(out->dromiod, sizeof out->dromiod, "%s", optarg); break;
        case 'i': snprintf(out->image, sizeof out->image, "%s", optarg); break;
        case 'd': snprintf(out->directory, sizeof out->directory, "%s", optarg); break;
        case 'h': usage(); exit(0);
        default: return EXIT_USAGE; /* getopt_long has said why */
        }
    }
    if (optind != argc - 1)
        return complain("one benchmark is wanted", optind < argc ? "at a time" : "");
    out->name = argv[optind];
    return 0;
}

int main(int argc, char **argv)
{
    static bench_options options;
    static bench_result result;
    const bench_row *row = NULL;
    int exit_code = read_options(&options, argc, argv);
    if (exit_code != 0)
        return exit_code;
    for (int i = 0; i < bench_row_count; i++)
        if (strcmp(bench_rows[i].name, options.name) == 0)
            row = &bench_rows[i];
    if (row == NULL)
        return complain("no benchmark", options.name);
    bench_catch_signals();
    dro_log_setup("bench", DRO_LOG_ERROR);
    bench_result_init(&result);
    bool is_fine = row->run(&options, &result);
    if (bench_is_interrupted())
        return EXIT_INTERRUPTED;
    if (!is_fine)
        return EXIT_FAILED;
    bench_result_print(&options, &result);
    return 0;
}
