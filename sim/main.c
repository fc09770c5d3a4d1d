/* dromio-sim: a simulated NB-IoT network before a host. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/secure.h"
#include "sim/summary.h"

enum { EXIT_FAILED = 1, EXIT_UNREACHABLE = 9, CITIES = 2, PROGRESS_MS = 2000 };

static volatile sig_atomic_t is_asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    is_asked_to_stop = 1;
}

static int64_t now_ms(void)
{
    return dro_clock_system()->monotonic_ns(dro_clock_system()) / 1000000;
}

static bool load_temperatures(const options *o, temperature cities[CITIES])
{
    static const char *const files[CITIES] = { "sf-temps.csv", "seattle-temps.csv" };
    for (int i = 0; i < CITIES; i++) {
        char path[sizeof o->temperatures + 32];
        unsigned line;
        snprintf(path, sizeof path, "%s/%s", o->temperatures, files[i]);
        dro_err err = temperature_load(&cities[i], path, &line);
        if (err == DRO_OK)
            continue;
        fprintf(stderr, "dromio-sim: %s:%u: %s (tools/setup puts it there)\n", path, line,
                err == DRO_IO ? strerror(errno) : dro_err_text(err));
        return false;
    }
    return true;
}

/* Until its time is over, a signal, or all are attached where that was the wish. */
static void run(network *n, const options *o)
{
    int64_t start = now_ms(), progress_at = start + PROGRESS_MS;
    while (!is_asked_to_stop) {
        network_turn(n, NETWORK_TICK_MS);
        int64_t now = now_ms();
        if (now >= progress_at) {
            summary_progress(n, (double)(now - start) / 1000);
            progress_at = now + PROGRESS_MS;
        }
        if (o->for_s > 0 && (double)(now - start) >= o->for_s * 1000)
            break;
        if (o->attach_only && network_is_attached(n))
            break;
    }
    network_stop(n);
    for (int64_t until = now_ms() + NETWORK_DRAIN_MS; now_ms() < until && !network_is_idle(n);)
        network_turn(n, NETWORK_TICK_MS);
    summary_progress(n, (double)(now_ms() - start) / 1000);
}

static int run_all(const options *o)
{
    static temperature cities[CITIES];
    const temperature *pointers[CITIES] = { &cities[0], &cities[1] };
    unsigned line;
    if (!load_temperatures(o, cities))
        return EXIT_FAILED;
    tls_context *tls;
    int exit_code = secure_open(&tls, o);
    if (exit_code != 0)
        return exit_code;
    network *made = network_new(o, tls, pointers, CITIES);
    if (made == NULL) {
        fprintf(stderr, "dromio-sim: %s\n", strerror(errno));
        tls_context_free(tls);
        return EXIT_FAILED;
    }
    if (o->oracle[0] != '\0' && oracle_load(made, o->oracle, &line) != DRO_OK) {
        fprintf(stderr, "dromio-sim: %s:%u: cannot be read as what --oracle writes\n", o->oracle, line);
        exit_code = EXIT_FAILED;
        goto done;
    }
    int64_t start = now_ms();
    run(made, o);
    double seconds = (double)(now_ms() - start) / 1000;
    if (o->oracle[0] != '\0' && oracle_append(made, o->oracle) != DRO_OK) {
        fprintf(stderr, "dromio-sim: cannot write %s: %s\n", o->oracle, strerror(errno));
        exit_code = EXIT_FAILED;
    }
    summary_print(made, o, seconds);
    if (network_peer_counts(made).connects == 0)
        exit_code = EXIT_UNREACHABLE;
    else if (o->attach_only && !network_is_attached(made))
        exit_code = EXIT_FAILED;
    while (!network_close(made))
        network_turn(made, NETWORK_TICK_MS);
done:
    network_free(made);
    tls_context_free(tls);
    return exit_code;
}

int main(int argc, char **argv)
{
    options given;
    int exit_code = options_read(&given, argc, argv);
    if (exit_code != 0)
        return exit_code;
    if (given.help) {
        options_help();
        return 0;
    }
    if (given.version) {
        printf("dromio-sim %s\n", DROMIO_VERSION);
        return 0;
    }
    dro_log_setup("sim", DRO_LOG_INFO);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return run_all(&given);
}
