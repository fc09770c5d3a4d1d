/* Status, dead letters, metrics. */
#include <stdio.h>
#include <string.h>

#include "core/call.h"
#include "core/audit.h"
#include "core/cells.h"
#include "core/charging.h"
#include "core/counters.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/render.h"
#include "core/rotation.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"

/* ---- status ---- */

void api_dead_letters(core *core, const call *call)
{
    uint32_t limit = call->has_limit && call->limit > 0 && call->limit < DEAD_LETTERS_MAX ? (uint32_t)call->limit : 100;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - 8);
    dro_builder_text(&out, "{\"dead_letters\":[");
    for (uint32_t i = 0, shown = 0; i < core->dead_letters.count && shown < limit; i++) {
        uint32_t at = (core->dead_letters.next + DEAD_LETTERS_MAX - 1 - i) % DEAD_LETTERS_MAX;
        const dead_letter *letter = &core->dead_letters.list[at];
        if (!application_sees(core, call->application, call->scopes, letter->domain))
            continue;
        if ((size_t)(out.end - out.at) < strlen(letter->text) + 2)
            break;
        dro_builder_text(&out, shown++ > 0 ? "," : "");
        dro_builder_text(&out, letter->text);
    }
    out.end += 8;
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static uint64_t images_here(const core *core)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < core->image_count; i++)
        count += core->images[i].table != NONE;
    return count;
}

static bool sees_all(const call *call)
{
    return (call->scopes & SCOPE_ADMIN) != 0;
}

/* What an application sees of the host: its own domains, nothing of how busy others are. With several
 * cores each says this of its own twins, and the gate adds them up. */
static void status_of_own(core *core, const call *call, dro_builder *out)
{
    uint64_t twins = 0, letters = 0;
    const application *application = application_at(core, call->application);
    for (uint32_t i = 0; application != NULL && i < application->domain_count; i++)
        twins += core->domains[application->domains[i]].twins;
    for (uint32_t i = 0; i < core->dead_letters.count; i++)
        letters += application_sees(core, call->application, call->scopes, core->dead_letters.list[i].domain);
    json_put(out, ",\"twins\":%llu,\"images\":%llu,\"dead_letters\":%llu", (unsigned long long)twins,
             (unsigned long long)images_here(core), (unsigned long long)letters);
}

static void status_of_all(core *core, dro_builder *out)
{
    uint64_t c[COUNT_END];
    for (uint32_t i = 0; i < COUNT_END; i++)
        c[i] = core_count_all(core, i);
    json_put(out, ",\"twins\":%llu,\"images\":%llu,\"peers\":%u,\"turns\":%llu,\"commits\":%llu,\"uplinks\":%llu,\"duplicates\":%llu,",
             (unsigned long long)c[COUNT_TWINS], (unsigned long long)images_here(core), core->peer_count, (unsigned long long)c[COUNT_TURNS],
             (unsigned long long)c[COUNT_COMMITS], (unsigned long long)c[COUNT_UPLINKS], (unsigned long long)c[COUNT_DUPLICATES]);
    json_put(out, "\"downlinks\":%llu,\"dead_letters\":%llu,\"mailbox\":%llu,\"streams\":%llu,\"log_bytes\":%llu",
             (unsigned long long)c[COUNT_DOWNLINKS], (unsigned long long)c[COUNT_DEAD_LETTERS], (unsigned long long)c[COUNT_MAIL],
             (unsigned long long)c[COUNT_STREAMS], (unsigned long long)c[COUNT_LOG_BYTES]);
    json_put(out, ",\"contexts\":{\"in_memory\":%llu,\"bytes\":%llu,\"hits\":%llu,\"misses\":%llu,\"reading\":%llu,\"unreadable\":%llu}",
             (unsigned long long)c[COUNT_CONTEXTS], (unsigned long long)c[COUNT_CONTEXT_BYTES], (unsigned long long)c[COUNT_CONTEXT_HITS],
             (unsigned long long)c[COUNT_CONTEXT_MISSES], (unsigned long long)c[COUNT_CONTEXT_READS], (unsigned long long)c[COUNT_CONTEXTS_UNREADABLE]);
    json_put(out, ",\"storage\":\"%s\"", c[COUNT_STORAGE_FAILED] > 0 ? "failed" : c[COUNT_STORAGE_FULL] > 0 ? "full" : "ok");
    json_put(out, ",\"penalties\":%llu,\"set_aside\":%llu,\"stops\":%u,\"stopped\":", (unsigned long long)c[COUNT_PENALTIES],
             (unsigned long long)c[COUNT_SET_ASIDE], core->stops.count);
    stops_put(core, STOPS_SHOWN_MAX, out);
    dro_builder_text(out, ",\"rotations\":");
    rotations_put(core, ROTATIONS_SHOWN_MAX, out);
    cells_status(core, out);
}

void api_status(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    json_put(&out, "{\"version\":\"%s\",\"uptime_s\":%lld,\"started\":", DROMIO_VERSION, (long long)(core->now_ms - core->started_ms) / 1000);
    json_time(&out, core->started_ms);
    if (sees_all(call))
        status_of_all(core, &out);
    else
        status_of_own(core, call, &out);
    json_put(&out, ",\"keys_in_memfd_secret\":%s}", core_keys_are_secret(core) ? "true" : "false");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* ---- metrics ---- */

/* How even the load is. Of names of their own: the sum over a name is the host's. */
static void by_core(const core *core, dro_builder *out, const char *name, const char *kind, const char *help, uint32_t which)
{
    json_put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    for (uint32_t i = 0; i < core->count; i++)
        json_put(out, "%s{core=\"%u\"} %llu\n", name, i, (unsigned long long)core_count_of(core, i, which));
}

/* Of all cores. */
static void latency_put(const core *core, dro_builder *out, const char *name, const char *help, uint32_t which)
{
    const dro_latency *parts[BOARD_CORES_MAX];
    for (uint32_t i = 0; i < core->count; i++)
        parts[i] = core->count == 1 ? &core->latencies[which] : &board_latencies(&core->board, i)[which];
    dro_latency_write(parts, core->count, name, help, out);
}

void api_metrics(core *core, const call *call)
{
    static const char *const statuses[16] = { NULL, "trap", "out_of_bounds", "stack_overflow", "deadline", "memory",
                                              "bad_result", "bad_context", "effects", "cell_failed", [TURN_UNREADABLE] = "context_unreadable",
                                              [TURN_STOPPED] = "stopped", [TURN_QUARANTINED] = "quarantined", [TURN_PENALTY] = "penalty", [TURN_BUDGET] = "budget" };
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    counters_metrics(core, &out);
    by_core(core, &out, "dromio_core_twins", "gauge", "Twins of each core.", COUNT_TWINS);
    by_core(core, &out, "dromio_core_turns_total", "counter", "Turns of each core's cells.", COUNT_TURNS);
    by_core(core, &out, "dromio_core_turns_in_flight", "gauge", "Turns in each core's cells.", COUNT_TURNS_IN_FLIGHT);
    by_core(core, &out, "dromio_core_log_bytes", "gauge", "Bytes of each core's log on disk.", COUNT_LOG_BYTES);
    latency_put(core, &out, "dromio_round_seconds", "From giving a round of the log to the disk until it is durable.", BOARD_ROUND);
    latency_put(core, &out, "dromio_turn_cpu_seconds", "CPU time of a turn in its cell.", BOARD_TURN_CPU);
    cells_metrics(core, &out);
    charging_metrics(core, &out);
    audit_metrics(core, &out);
    stops_metrics(core, &out);
    rotations_metrics(core, &out);
    dro_builder_text(&out, "# HELP dromio_turn_failures_total Turns that failed, by image and reason.\n# TYPE dromio_turn_failures_total counter\n");
    for (uint32_t i = 0; i < core->image_count; i++)
        for (int s = 1; s < 16; s++) {
            uint64_t traps = core->image_traps[i][s] + (core->count > 1 ? board_counted_traps(&core->board, i, (uint32_t)s) : 0);
            if (traps == 0 || statuses[s] == NULL)
                continue;
            dro_builder_text(&out, "dromio_turn_failures_total{image=\"sha256:");
            for (int k = 0; k < 32; k++)
                json_put(&out, "%02x", core->images[i].digest[k]);
            json_put(&out, "\",model=\"%s\",reason=\"%s\"} %llu\n", core->images[i].info.model.name, statuses[s],
                     (unsigned long long)traps);
        }
    reply reply = { .status = 200, .content = CONTENT_TEXT, .etag = UINT64_MAX };
    tell_reply(core, call->caller, &reply, core->scratch, dro_builder_length(&out));
}
