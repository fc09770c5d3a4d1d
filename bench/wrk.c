#include "bench/wrk.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/program.h"
#include "bench/trial.h"

enum { LOG_MAX = 64 * 1024, START_MS = 10000 };

/* The paths are made before, so that wrk's own CPU goes into sending. */
static const char script[] =
    "local requests, at = {}, 0\n"
    "init = function(args)\n"
    "  local headers = { Authorization = 'Bearer ' .. args[1] }\n"
    "  for i = 1, 4096 do\n"
    "    local path = string.format('/v1/twins/t%07d@bench.example/properties/temperature', i * 7919 % tonumber(args[2]))\n"
    "    requests[i] = wrk.format('GET', path, headers)\n"
    "  end\n"
    "end\n"
    "request = function() at = at % #requests + 1 return requests[at] end\n"
    "done = function(summary, latency, _)\n"
    "  local e = summary.errors\n"
    "  print(string.format('report %d %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50),\n"
    "                      latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))\n"
    "end\n";

bool wrk_read_report(const char *text, wrk_report *out)
{
    const char *line = strncmp(text, "report ", 7) == 0 ? text : strstr(text, "\nreport ");
    *out = (wrk_report){ 0 };
    return line != NULL && sscanf(line + (*line == '\n'), "report %lf %lf %lf %lf %lf %lf", &out->requests, &out->micros,
                                  &out->p50_micros, &out->p99_micros, &out->not_2xx, &out->broken) == 6;
}

static bool write_script(const char *path)
{
    FILE *file = fopen(path, "we");
    bool is_fine = file != NULL && fwrite(script, 1, sizeof script - 1, file) == sizeof script - 1;
    is_fine = (file == NULL || fclose(file) == 0) && is_fine;
    return is_fine || bench_fail("%s: cannot be written", path);
}

static bool read_report(const char *path, wrk_report *out)
{
    static char text[LOG_MAX];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return bench_fail("%s: cannot be read", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return (wrk_read_report(text, out) && out->requests > 0) || bench_fail("wrk says: %s", text);
}

static bool run(const host *h, char *binary, const char *scheme, const char *name, uint32_t twins, double seconds,
                wrk_report *out)
{
    char path[4200], log[4200], url[64], duration[32], connections[16], count[16];
    program client = { 0 };
    snprintf(path, sizeof path, "%s/wrk.lua", h->directory);
    snprintf(log, sizeof log, "%s/wrk.%s.log", h->directory, name);
    snprintf(url, sizeof url, "%s://127.0.0.1:%u", scheme, h->http_port);
    snprintf(duration, sizeof duration, "%ds", (int)(seconds + 0.5) > 0 ? (int)(seconds + 0.5) : 1);
    snprintf(connections, sizeof connections, "%d", WRK_CONNECTIONS);
    snprintf(count, sizeof count, "%u", twins);
    const char *arguments[] = { binary, "-t", "1", "-c", connections, "-d", duration, "-s", path, url, "--", h->token, count, NULL };
    if (!write_script(path) || !program_start(&client, (char *const *)arguments, log))
        return false;
    if (program_wait(&client, (int)(seconds * 1000) + START_MS) != 0)
        return bench_is_interrupted() ? false : bench_fail("wrk failed");
    return read_report(log, out);
}

bool wrk_measure(const bench_options *o, const host *h, const char *scheme, const char *prefix, uint32_t twins, double seconds,
                 bench_result *r)
{
    char binary[4096], name[64];
    wrk_report report = { 0 };
    (void)o;
    if (!program_find("wrk", binary, sizeof binary)) {
        bench_set_text(r, "wrk_note", "wrk is not installed: only our own client measured (tools/setup --compare)");
        return true;
    }
    double cpu = host_use(h, false, NULL, NULL).cpu_s;
    if (!run(h, binary, scheme, prefix, twins, seconds, &report))
        return false;
    cpu = host_use(h, false, NULL, NULL).cpu_s - cpu;
    bench_set_number(r, trial_name(name, prefix, "per_second"), (double)(uint64_t)(report.requests / (report.micros / 1e6)));
    bench_set_number(r, trial_name(name, prefix, "p50_micros"), report.p50_micros);
    bench_set_number(r, trial_name(name, prefix, "p99_micros"), report.p99_micros);
    bench_set_number(r, trial_name(name, prefix, "cpu_micros"), cpu * 1e6 / report.requests);
    bench_set_number(r, trial_name(name, prefix, "not_200"), report.not_2xx);
    bench_set_number(r, trial_name(name, prefix, "broken"), report.broken);
    bench_set_number(r, trial_name(name, prefix, "connections"), WRK_CONNECTIONS);
    return true;
}
