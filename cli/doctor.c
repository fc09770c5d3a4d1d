#include "doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "samples.h"

enum { CLOCK_SECONDS_MAX = 5, CLOCK_SECONDS_COARSE = 1 /* both are told in whole seconds */ };

static const char *const states[] = {
    [FINDING_WELL] = "ok", [FINDING_NOTE] = "note", [FINDING_ILL] = "WRONG", [FINDING_SKIPPED] = "skipped",
};

void finding(doctor *doctor, enum finding_state state, const char *check, const char *next, const char *format, ...)
{
    char what[640];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    doctor->ill += state == FINDING_ILL;
    yyjson_mut_val *object = yyjson_mut_arr_add_obj(doctor->doc, doctor->list);
    yyjson_mut_obj_add_strcpy(doctor->doc, object, "check", check);
    yyjson_mut_obj_add_str(doctor->doc, object, "state", states[state]);
    yyjson_mut_obj_add_strcpy(doctor->doc, object, "what", what);
    if (next != NULL)
        yyjson_mut_obj_add_strcpy(doctor->doc, object, "next", next);
}

/* ---- the running host ---- */

/* The answer, or NULL; `out` gets its status. */
static yyjson_doc *ask(struct cli *cli, const char *path, long *status, char *reason, size_t size)
{
    struct request request = { .method = "GET", .path = path, .timeout_ms = 10000 };
    struct response response;
    client_send(cli->client, &request, &response);
    *status = response.transport == EXIT_OK ? response.status : 0;
    snprintf(reason, size, "%s", response.reason);
    yyjson_doc *doc = response.status >= 200 ? yyjson_read(buffer_string(&response.body), response.body.length, 0) : NULL;
    response_fini(&response);
    return doc;
}

static void check_versions(doctor *doctor, const yyjson_val *health)
{
    const char *version = member_text(health, "version");
    if (strcmp(version, DROMIO_VERSION) == 0)
        finding(doctor, FINDING_WELL, "version", NULL, "host and dromio are %s", version);
    else
        finding(doctor, FINDING_NOTE, "version", "use the dromio of the host's version", "the host is %s, this dromio %s", version, DROMIO_VERSION);
}

static void check_isolation(doctor *doctor, yyjson_val *health)
{
    bool is_on = strcmp(member_text(health, "sandbox"), "on") == 0;
    finding(doctor, is_on ? FINDING_WELL : FINDING_ILL, "sandbox", is_on ? NULL : "set cell.sandbox to \"on\"; it needs a kernel with seccomp",
            "guest code runs %s", is_on ? "confined" : "WITHOUT its system call filter");
    bool is_secret = yyjson_get_bool(yyjson_obj_get(health, "keys_in_memfd_secret"));
    finding(doctor, is_secret ? FINDING_WELL : FINDING_NOTE, "keys",
            is_secret ? NULL : "boot with secretmem.enable=1 where the kernel has it, and allow the system call memfd_secret",
            "keys lie in %s memory", is_secret ? "secret" : "locked");
}

static void check_storage(doctor *doctor, yyjson_val *health)
{
    const char *storage = member_text(health, "storage");
    if (strcmp(storage, "full") == 0)
        finding(doctor, FINDING_ILL, "storage", "make space: the host goes on by itself", "the disk is full: changes are refused, reads go on");
    else if (strcmp(storage, "failed") == 0)
        finding(doctor, FINDING_ILL, "storage", "look at the host's log and the disk, then restart it", "the log could not be written: nothing is acknowledged any more");
    else
        finding(doctor, FINDING_WELL, "storage", NULL, "the log is written");
}

static bool check_health(doctor *doctor, bool is_needed)
{
    char reason[256];
    long status;
    yyjson_doc *doc = ask(doctor->cli, "/healthz", &status, reason, sizeof reason);
    yyjson_val *health = yyjson_doc_get_root(doc);
    const char *host = client_host(doctor->cli->client);
    if (status == 0)
        finding(doctor, is_needed ? FINDING_ILL : FINDING_SKIPPED, "reachable",
                "start the host, or name it with --host; with --data DIR its files are checked all the same", "%s: %s", host, reason);
    else if (status != 200)
        finding(doctor, FINDING_ILL, "healthy", "look at the host's log", "%s says %ld, \"%s\"", host, status, member_text(health, "status"));
    else
        finding(doctor, FINDING_WELL, "healthy", NULL, "%s answers", host);
    if (status == 200) {
        check_versions(doctor, health);
        check_isolation(doctor, health);
        check_storage(doctor, health);
    }
    yyjson_doc_free(doc);
    return status == 200;
}

/* What an operator stopped is meant to be so; what the host has stopped itself is not. */
static void check_stops(doctor *doctor, yyjson_val *stops)
{
    size_t i, count;
    yyjson_val *stop;
    yyjson_arr_foreach(stops, i, count, stop) {
        const char *kind = member_text(stop, "stop"), *name = member_text(stop, kind), *reason = member_text(stop, "reason");
        bool is_own = strcmp(member_text(stop, "by"), "host") == 0;
        finding(doctor, is_own ? FINDING_ILL : FINDING_NOTE, "stopped",
                is_own ? "dromio twin and dromio dead-letters show what failed; a mended image, or dromio stop remove, once that is over"
                       : "dromio stop list; dromio stop remove lets it go on",
                "%s%s%s does not run, by %s since %s%s%s", kind, *name != '\0' ? " " : "", name, member_text(stop, "by"), member_text(stop, "since"), *reason != '\0' ? ": " : "", reason);
    }
}

/* Seconds since 1970 of "2026-11-22T12:00:00...", or -1. */
static int64_t seconds_of(const char *text)
{
    struct tm tm = { 0 };
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) != NULL ? (int64_t)timegm(&tm) : -1;
}

static void check_clock(doctor *doctor, yyjson_val *status)
{
    int64_t started = seconds_of(member_text(status, "started"));
    int64_t there = started + yyjson_get_sint(yyjson_obj_get(status, "uptime_s"));
    int64_t apart = there - (int64_t)time(NULL);
    bool is_well = started >= 0 && llabs(apart) <= CLOCK_SECONDS_MAX;
    if (started >= 0 && llabs(apart) <= CLOCK_SECONDS_COARSE)
        finding(doctor, FINDING_WELL, "clock", NULL, "the host's clock is this one's");
    else
        finding(doctor, is_well ? FINDING_WELL : FINDING_NOTE, "clock", is_well ? NULL : "set both clocks by NTP: windows of devices and tickets depend on the host's",
                "the host's clock is %lld s %s this one", llabs((long long)apart), apart < 0 ? "behind" : "ahead of");
}

static void check_status(doctor *doctor)
{
    char reason[256];
    long code;
    yyjson_doc *doc = ask(doctor->cli, "/v1/status", &code, reason, sizeof reason);
    yyjson_val *status = yyjson_doc_get_root(doc);
    if (code == 401 || code == 403)
        finding(doctor, FINDING_ILL, "token", "--token-file DATA/admin.token", "the token is not accepted (%ld)", code);
    else if (code != 200)
        finding(doctor, FINDING_ILL, "status", "look at the host's log", "/v1/status says %ld %s", code, member_text(status, "detail"));
    if (code == 200) {
        finding(doctor, FINDING_WELL, "token", NULL, "accepted");
        check_clock(doctor, status);
        uint64_t dead = yyjson_get_uint(yyjson_obj_get(status, "dead_letters"));
        finding(doctor, dead == 0 ? FINDING_WELL : FINDING_NOTE, "dead letters", dead == 0 ? NULL : "dromio dead-letters shows them",
                "%llu since the start", (unsigned long long)dead);
        check_stops(doctor, yyjson_obj_get(status, "stopped"));
    }
    yyjson_doc_free(doc);
}

static void check_audit(doctor *doctor)
{
    char reason[256];
    long code;
    yyjson_doc *doc = ask(doctor->cli, "/v1/audit/head", &code, reason, sizeof reason);
    yyjson_val *head = yyjson_doc_get_root(doc);
    uint64_t cuts = yyjson_get_uint(yyjson_obj_get(head, "cuts")), gaps = yyjson_get_uint(yyjson_obj_get(head, "gaps"));
    bool is_on = code == 200 && yyjson_get_bool(yyjson_obj_get(head, "enabled"));
    bool is_written = strcmp(member_text(head, "state"), "writing") == 0, is_failed = strcmp(member_text(head, "state"), "failed") == 0;
    if (is_on && is_failed)
        finding(doctor, FINDING_ILL, "audit", "look at the host's log, and at the disk of the audit directory", "the audit files cannot be written: entries wait in the log");
    else if (is_on && !is_written)
        finding(doctor, FINDING_NOTE, "audit", "ask again in a moment", "the room that writes the audit files begins");
    if (is_on && cuts > 0)
        finding(doctor, FINDING_ILL, "audit", "dromio audit verify, and \"A broken chain\" in audit.md", "%llu times since the start the audit files were not what they had been",
                (unsigned long long)cuts);
    if (is_on && gaps > 0)
        finding(doctor, FINDING_ILL, "audit", "entries audit.gap say when; \"A broken chain\" in audit.md", "%llu parts of the log are in no audit file", (unsigned long long)gaps);
    if (is_on && is_written && cuts == 0 && gaps == 0)
        finding(doctor, FINDING_WELL, "audit", NULL, "the audit log is written, whole since the start");
    yyjson_doc_free(doc);
}

static void check_peers(doctor *doctor)
{
    char reason[256];
    long code;
    yyjson_doc *doc = ask(doctor->cli, "/v1/peers", &code, reason, sizeof reason);
    yyjson_val *peers = yyjson_obj_get(yyjson_doc_get_root(doc), "peers"), *peer;
    size_t i, count, closed = 0;
    yyjson_arr_foreach(peers, i, count, peer) {
        bool is_open = strcmp(member_text(peer, "state"), "open") == 0;
        closed += !is_open;
        if (!is_open)
            finding(doctor, FINDING_ILL, "peer", "the host's log says peer_refused or connect_failed with a reason; see \"A peer does not connect\" in operations.md",
                    "%s is not connected", member_text(peer, "identity"));
    }
    if (code == 200 && closed == 0)
        finding(doctor, FINDING_WELL, "peers", NULL, yyjson_arr_size(peers) > 0 ? "%zu, all open" : "none is connected", yyjson_arr_size(peers));
    yyjson_doc_free(doc);
}

/* A room that died was started again: a note, since all runs now. Cells and rooms of probation are not looked at: a new image starts them too. */
static void check_rooms(doctor *doctor, const samples *samples)
{
    struct buffer died = { 0 };
    unsigned rooms = 0;
    for (const sample *at = NULL; (at = samples_next(samples, "dromio_room_starts_total", at)) != NULL;) {
        char room[64], line[128];
        sample_label(at, "room", room, sizeof room);
        if (strncmp(room, "cell", strlen("cell")) == 0 || strncmp(room, "probation", strlen("probation")) == 0)
            continue;
        rooms++;
        snprintf(line, sizeof line, "%s%s %.0f times", died.length > 0 ? ", " : "", room, at->value);
        if (at->value > 1)
            buffer_text(&died, line);
    }
    if (died.length > 0)
        finding(doctor, FINDING_NOTE, "rooms", "see the host's log: \"ended\" says how they died", "started again since the host was: %s", buffer_string(&died));
    else if (rooms > 0)
        finding(doctor, FINDING_WELL, "rooms", NULL, "%u, none died", rooms);
    buffer_fini(&died);
}

/* What should stay at 0. */
static void check_metrics(doctor *doctor)
{
    static const struct { const char *metric, *label, *check, *what, *next; } bad[] = {
        { "dromio_http_late_answers_total", NULL, "late answers", "answers came late or never", "dromio top shows who is busy" },
        { "dromio_diameter_drops_total", "reason=\"busy\"", "busy", "Diameter requests were refused with 3004", "more cores, or fewer devices for this host" },
        { "dromio_connections_refused_total", NULL, "connections", "a device was refused its T6a connection",
          "the host's log says connection_refused with the node and why, GET /v1/twins/{id}/timeline?network=true for one device" },
        { "dromio_rds_refused_total", NULL, "reliable data", "an uplink was ignored that is no frame of the reliable data service, or of no link",
          "where a device does not speak it, configure it without reliableDataService; dromio twin timeline says what was ignored" },
        { "dromio_charging_gaps_total", NULL, "charging", "a part of the log went uncharged: those records are lost", "watch dromio_charging_backlog_bytes; charging.backlog is the bound" },
        { "dromio_charging_failures_total", NULL, "charging", "the charging files could not be written", "dromio charging says whether they can now; the host's log says why" },
        { "dromio_http_refused_total", "reason=\"busy\"", "busy", "HTTP requests were refused with 503", "more cores, or slower clients" },
    };
    struct request request = { .method = "GET", .path = "/metrics", .accept = "text/plain", .timeout_ms = 10000 };
    struct response response;
    samples samples;
    client_send(doctor->cli->client, &request, &response);
    if (response.status == 200 && samples_read(&samples, buffer_string(&response.body), response.body.length)) {
        bool answers = samples_sum(&samples, "dromio_gate_core_answers", NULL) > 0;
        finding(doctor, answers ? FINDING_WELL : FINDING_ILL, "core", answers ? NULL : "look at the host's log: is the disk well?",
                "the core %s", answers ? "answers" : "does not answer");
        check_rooms(doctor, &samples);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            if (samples_sum(&samples, bad[i].metric, bad[i].label) > 0)
                finding(doctor, FINDING_NOTE, bad[i].check, bad[i].next, "%.0f times %s", samples_sum(&samples, bad[i].metric, bad[i].label), bad[i].what);
        samples_fini(&samples);
    }
    response_fini(&response);
}

/* ---- all ---- */

static int print(doctor *doctor)
{
    static const list_columns columns = { .member = "checks", .count = 4, .names = { "check", "state", "what", "next" },
                                          .heads = { "CHECK", "STATE", "WHAT", "WHAT NEXT" } };
    struct cli *cli = doctor->cli;
    yyjson_mut_obj_add_bool(doctor->doc, yyjson_mut_doc_get_root(doctor->doc), "is_well", doctor->ill == 0);
    yyjson_doc *doc = yyjson_mut_doc_imut_copy(doctor->doc, NULL);
    int code = doc == NULL ? cli_fail(EXIT_FAILED, "no memory")
               : cli->format == OUTPUT_TABLE ? cli_print_list(cli, doc, &columns)
                                             : cli_print_json(cli, doc, "checks");
    yyjson_doc_free(doc);
    if (code == EXIT_OK && doctor->ill > 0)
        code = cli_fail(EXIT_FAILED, "%u %s wrong", doctor->ill, doctor->ill == 1 ? "thing is" : "things are");
    return code;
}

int host_doctor(struct cli *cli)
{
    static doctor here;
    here = (doctor){ .cli = cli, .doc = yyjson_mut_doc_new(NULL), .config_path = invocation_option(cli->in, "--config") };
    yyjson_mut_val *root = here.doc != NULL ? yyjson_mut_obj(here.doc) : NULL;
    if (root == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    yyjson_mut_doc_set_root(here.doc, root);
    here.list = yyjson_mut_obj_add_arr(here.doc, root, "checks");
    const char *data = invocation_option(cli->in, "--data"), *key = invocation_option(cli->in, "--master-key");
    doctor_configuration(&here);
    if (key != NULL)
        snprintf(here.master_key, sizeof here.master_key, "%s", key);
    if (data == NULL && here.data[0] != '\0')
        data = here.data;
    if (check_health(&here, data == NULL)) {
        check_status(&here);
        check_audit(&here);
        check_peers(&here);
        check_metrics(&here);
    }
    doctor_machine(&here);
    doctor_certificates(&here);
    if (data != NULL)
        doctor_data(&here, data);
    int code = print(&here);
    yyjson_mut_doc_free(here.doc);
    return code;
}
