#include "bench/freediameter.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/program.h"
#include "bench/trial.h"

enum { CONNECTIONS_TRIED = 2 };
static const uint32_t connections_tried[CONNECTIONS_TRIED] = { 1, 4 };

typedef struct server {
    program program;
    char binary[4096], directory[4096], extension[4200], log[4200], version[64];
    host address; /* as the generator takes it: only where to connect to */
} server;

/* A thread for each CPU: more give less. */
static bool configuration_write(const server *s)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/acl", s->directory);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return bench_fail("%s: cannot be written", path);
    fprintf(file, "ALLOW_IPSEC *.bench.dromio.test\n"); /* without TLS */
    fclose(file);
    snprintf(path, sizeof path, "%s/configuration", s->directory);
    file = fopen(path, "we");
    if (file == NULL)
        return bench_fail("%s: cannot be written", path);
    fprintf(file,
            "Identity = \"peer.example.org\";\nRealm = \"example.org\";\nPort = %u;\nSecPort = 0;\nNo_SCTP;\nNo_IPv6;\n"
            "ListenOn = \"127.0.0.1\";\nNoRelay;\nAppServThreads = %ld;\nTLS_Cred = \"%s/certificate.pem\", \"%s/key.pem\";\n"
            "TLS_CA = \"%s/certificate.pem\";\nLoadExtension = \"acl_wl.fdx\" : \"%s/acl\";\nLoadExtension = \"%s\";\n",
            s->address.diameter_port, sysconf(_SC_NPROCESSORS_ONLN), s->directory, s->directory, s->directory, s->directory, s->extension);
    fclose(file);
    return true;
}

static bool server_start(server *s)
{
    char configuration[4200], line[256] = "";
    snprintf(configuration, sizeof configuration, "%s/configuration", s->directory);
    char *version[] = { s->binary, (char *)"--version", NULL };
    program_first_line(version, line, sizeof line); /* "freeDiameterd, version 1.2.1 ..." */
    const char *number = strpbrk(line, "0123456789");
    snprintf(s->version, sizeof s->version, "freeDiameter %.*s", number != NULL ? (int)strcspn(number, " ()") : 0,
             number != NULL ? number : "");
    char *arguments[] = { s->binary, (char *)"-c", configuration, NULL };
    /* It does not start without a certificate, though no connection here uses it. */
    return program_make_certificate(s->directory, "peer.example.org") && configuration_write(s) && program_start(&s->program, arguments, s->log);
}

/* Requests answered 2001 a second, -1: broken. */
static double requests_per_second(server *s, uint32_t twins, uint32_t connections, double seconds, double *cpu_micros)
{
    load *l = load_new(&s->address, twins, connections, TRIAL_WINDOW);
    double rate = -1;
    if (l != NULL && load_drive(l, seconds / 4)) {
        load_reset(l);
        double cpu = program_cpu(&s->program);
        int64_t begin = bench_now_ns();
        if (load_drive(l, seconds)) {
            double took = (double)(bench_now_ns() - begin) / 1e9, count = (double)load_count(l)->answered;
            *cpu_micros = (program_cpu(&s->program) - cpu) * 1e6 / count;
            rate = count > 0 ? count / took : -1;
            if (count <= 0)
                bench_fail("freeDiameter answers nothing 2001; the last answer was %u", load_count(l)->last_refusal);
        }
    }
    load_free(l);
    return rate;
}

static bool measure(server *s, uint32_t twins, double seconds, bench_result *r)
{
    double best = 0, best_cpu = 0;
    uint32_t best_connections = 0;
    for (int i = 0; i < CONNECTIONS_TRIED; i++) {
        char name[64];
        double cpu = 0, rate = requests_per_second(s, twins, connections_tried[i], seconds, &cpu);
        if (rate < 0)
            return false;
        snprintf(name, sizeof name, "peer_per_second_connections_%u", connections_tried[i]);
        bench_set_number(r, name, (double)(uint64_t)rate);
        if (rate > best) {
            best = rate;
            best_cpu = cpu;
            best_connections = connections_tried[i];
        }
    }
    trial_set_peer(r, s->version, best, best_cpu);
    bench_set_number(r, "peer_connections", best_connections);
    bench_set_text(r, "peer_settings", "answers 2001 and does nothing, in memory; same requests and window");
    return true;
}

bool freediameter_compare(const bench_options *o, uint32_t twins, double seconds, bench_result *r)
{
    static server s;
    s = (server){ 0 };
    bool is_there = program_find("freeDiameterd", s.binary, sizeof s.binary);
    bench_beside(s.extension, sizeof s.extension, "bench/freediameter_t6a.fdx");
    if (!is_there || access(s.extension, R_OK) != 0) {
        bench_set_text(r, "peer_note", is_there ? "freeDiameter's headers were not there when this was built: no comparison (tools/setup --compare)"
                                                : "freeDiameter is not installed: no comparison (tools/setup --compare)");
        return true;
    }
    s.address.diameter_port = host_free_port();
    snprintf(s.address.diameter, sizeof s.address.diameter, "127.0.0.1:%u", s.address.diameter_port);
    bool is_fine = directory_make(o->directory, s.directory, sizeof s.directory);
    snprintf(s.log, sizeof s.log, "%s/log", s.directory);
    is_fine = is_fine && server_start(&s) && measure(&s, twins, seconds, r);
    if (!is_fine && !bench_is_interrupted())
        program_show_log(s.log);
    program_stop(&s.program);
    directory_remove(s.directory);
    return is_fine;
}
