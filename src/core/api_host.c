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

static void counter(dro_builder *out, uint32_t which, uint64_t value)
{
    static const struct { const char *name, *kind, *help; } counters[COUNT_END] = {
        [COUNT_TURNS] = { "dromio_turns_total", "counter", "Turns taken back from the cells." },
        [COUNT_COMMITS] = { "dromio_commits_total", "counter", "Records made durable in the log." },
        [COUNT_UPLINKS] = { "dromio_uplinks_total", "counter", "MO-Data-Requests taken." },
        [COUNT_DUPLICATES] = { "dromio_duplicates_total", "counter", "Requests answered from the record of duplicates." },
        [COUNT_DOWNLINKS] = { "dromio_downlinks_total", "counter", "MT-Data-Requests sent." },
        [COUNT_CONNECTIONS] = { "dromio_connection_changes_total", "counter", "T6a connections established, updated, released." },
        [COUNT_DEAD_LETTERS] = { "dromio_dead_letters_total", "counter", "Events whose turn failed." },
        [COUNT_REFUSED] = { "dromio_refused_total", "counter", "Downlinks refused because a mailbox was full." },
        [COUNT_TWINS] = { "dromio_twins", "gauge", "Twins." },
        [COUNT_MAIL] = { "dromio_mailbox_downlinks", "gauge", "Downlinks that wait." },
        [COUNT_TURNS_IN_FLIGHT] = { "dromio_turns_in_flight", "gauge", "Turns in the cells." },
        [COUNT_STREAMS] = { "dromio_event_streams", "gauge", "Subscribers of events." },
        [COUNT_LOG_BYTES] = { "dromio_log_bytes", "gauge", "Bytes of log on disk." },
        [COUNT_NOTICES] = { "dromio_notices_total", "counter", "Notifications of applications given to a gate, repeats included." },
        [COUNT_NOTICES_FAILED] = { "dromio_notices_failed_total", "counter", "Notifications that did not arrive and are tried again." },
        [COUNT_NOTICES_REFUSED] = { "dromio_notices_refused_total", "counter", "Notifications that their destination refused for good." },
        [COUNT_NOTICES_DROPPED] = { "dromio_notices_dropped_total", "counter", "Notifications dropped: too many waited, or too long." },
        [COUNT_NOTICES_WAITING] = { "dromio_notices_waiting", "gauge", "Notifications not taken yet." },
        [COUNT_CONNECTIONS_REFUSED] = { "dromio_connections_refused_total", "counter", "Connection-Management-Requests that were refused, not for want of time." },
        [COUNT_REPORTS] = { "dromio_network_reports_total", "counter", "Reports of the network about what applications watch; repetitions are in dromio_duplicates_total." },
        [COUNT_FAREWELLS_TOLD] = { "dromio_farewells_total", "counter", "Things the network had of devices that are gone, and was told the end of." },
        [COUNT_FAREWELLS_DROPPED] = { "dromio_farewells_dropped_total", "counter", "Those that it will not be told the end of: too many waited." },
        [COUNT_FAREWELLS_WAITING] = { "dromio_farewells_waiting", "gauge", "Those that it is still to be told the end of." },
        [COUNT_TRIGGERS_SENT] = { "dromio_triggers_sent_total", "counter", "Device triggers that the network has taken, replacements too." },
        [COUNT_TRIGGERS_REFUSED] = { "dromio_triggers_refused_total", "counter", "Device triggers that the network has refused." },
        [COUNT_TRIGGERS_ENDED] = { "dromio_triggers_ended_total", "counter", "Device triggers whose outcome is known, or whose time is over." },
        [COUNT_TRIGGERS_UNKNOWN] = { "dromio_triggers_unknown_total", "counter", "Outcomes of device triggers that this host does not know." },
        [COUNT_AUTHORIZATIONS_GRANTED] = { "dromio_nidd_authorizations_granted_total", "counter", "Configurations that an HSS has granted, or granted again." },
        [COUNT_SCHEDULES_ASKED] = { "dromio_schedules_asked_total", "counter", "Questions of twins to an HSS about their devices' sleep." },
        [COUNT_SCHEDULES_APPLIED] = { "dromio_schedules_applied_total", "counter", "Wishes of twins that an HSS took." },
        [COUNT_SCHEDULES_REFUSED] = { "dromio_schedules_refused_total", "counter", "Wishes of twins that an HSS refused." },
        [COUNT_AUTHORIZATIONS_REFUSED] = { "dromio_nidd_authorizations_refused_total", "counter", "Configurations that an HSS has refused." },
        [COUNT_AUTHORIZATIONS_FAILED] = { "dromio_nidd_authorizations_failed_total", "counter", "Questions that no HSS answered, or whose answer could not be used." },
        [COUNT_AUTHORIZATIONS_REVOKED] = { "dromio_nidd_authorizations_revoked_total", "counter", "Configurations ended because the HSS says so." },
        [COUNT_GROUPS] = { "dromio_groups", "gauge", "Groups of devices." },
        [COUNT_GROUP_MEMBERS] = { "dromio_group_members", "gauge", "Members of all groups." },
        [COUNT_GROUP_OPERATIONS] = { "dromio_group_operations", "gauge", "Downlinks and commands to groups that are kept." },
        [COUNT_NIDD_CONFIGURATIONS] = { "dromio_nidd_configurations", "gauge", "NIDD configurations." },
        [COUNT_LOG_LIVE_BYTES] = { "dromio_log_live_bytes", "gauge", "Bytes of log that all twins and tables would take once, about." },
        [COUNT_DOWNLINK_BYTES] = { "dromio_downlink_bytes", "gauge", "Bytes of waiting downlinks in memory." },
        [COUNT_DOWNLINKS_AWAY] = { "dromio_downlinks_away", "gauge", "Downlinks that wait in the log only." },
        [COUNT_DOWNLINK_READS] = { "dromio_downlink_reads_total", "counter", "Devices whose waiting downlinks were read from the log." },
        [COUNT_DOWNLINK_CHUNKS] = { "dromio_downlink_chunks", "gauge", "Records of the log that hold waiting downlinks." },
        [COUNT_DOWNLINK_CHUNK_BYTES] = { "dromio_downlink_chunk_bytes", "gauge", "Bytes of those." },
        [COUNT_DOWNLINK_MOVED_BYTES] = { "dromio_downlink_moved_bytes_total", "counter", "Bytes of those that were written again to free their segments, or joined." },
        [COUNT_LOG_WRITTEN] = { "dromio_log_written_bytes_total", "counter", "Bytes written into the log." },
        [COUNT_EXCEPTIONS] = { "dromio_exception_reports_total", "counter", "Uplinks with RRC-Cause-Counter." },
        [COUNT_UPLINKS_OVER_RATE] = { "dromio_uplinks_over_rate_total", "counter", "Uplinks beyond a rate of their connection or APN, taken or not." },
        [COUNT_UPLINKS_DROPPED] = { "dromio_uplinks_dropped_total", "counter", "Uplinks answered 5012 because they were beyond their APN's rate." },
        [COUNT_RDS_REFUSED] = { "dromio_rds_refused_total", "counter", "Uplinks of the reliable data service that were ignored." },
        [COUNT_RDS_REPEATED] = { "dromio_rds_repeated_total", "counter", "I frames of devices that were not the next one." },
        [COUNT_RDS_RETRANSMISSIONS] = { "dromio_rds_retransmissions_total", "counter", "Times T200 ran out and a frame went again." },
        [COUNT_RDS_DROPPED] = { "dromio_rds_dropped_total", "counter", "Frames of the reliable data service itself that were not sent: too many waited for their device." },
        [COUNT_FIELDS_DROPPED] = { "dromio_fields_dropped_total", "counter", "Changes of twins that were not made: a limit stood against them, or memory." },
        [COUNT_DOWNLINKS_HELD] = { "dromio_downlinks_held_total", "counter", "Times a device's downlinks had to wait for a rate." },
        [COUNT_CHARGING_BACKLOG] = { "dromio_charging_backlog_bytes", "gauge", "Bytes of log whose charges are not in a charging file yet." },
        [COUNT_AUDIT_BACKLOG] = { "dromio_audit_backlog_bytes", "gauge", "Bytes of log that are not looked through for the audit files yet." },
        [COUNT_AUDIT_GAPS] = { "dromio_audit_gaps_total", "counter", "Parts of the log whose entries are in no audit file." },
        [COUNT_AUDIT_DROPPED] = { "dromio_audit_refusals_dropped_total", "counter", "Refusals that are counted in the audit log and have no entry of their own." },
        [COUNT_CHARGING_GAPS] = { "dromio_charging_gaps_total", "counter", "Parts of the log that could not be charged any more." },
        [COUNT_STORAGE_FULL] = { "dromio_storage_full", "gauge", "Cores whose disk is full: changes are refused until there is space." },
        [COUNT_STORAGE_FAILED] = { "dromio_storage_failed", "gauge", "Cores whose log could not be written: nothing is acknowledged until a restart." },
        [COUNT_PENALTIES] = { "dromio_penalties_total", "counter", "Times a twin was set aside because its turns failed." },
        [COUNT_SET_ASIDE] = { "dromio_events_set_aside_total", "counter", "Events whose turn was not run: stopped, quarantined, penalty, budget." },
        [COUNT_LOG_LEFT_OUT] = { "dromio_log_lines_left_out_total", "counter", "Lines of twins' logs beyond their budget." },
        [COUNT_CONTEXTS] = { "dromio_contexts", "gauge", "Sealed contexts in memory." },
        [COUNT_CONTEXT_BYTES] = { "dromio_context_bytes", "gauge", "Bytes of sealed contexts in memory." },
        [COUNT_CONTEXT_HITS] = { "dromio_context_hits_total", "counter", "Turns whose context was in memory." },
        [COUNT_CONTEXT_MISSES] = { "dromio_context_misses_total", "counter", "Turns whose context had to be read from the log." },
        [COUNT_CONTEXT_READS] = { "dromio_context_reads_in_flight", "gauge", "Contexts being read from the log." },
        [COUNT_CONTEXTS_UNREADABLE] = { "dromio_contexts_unreadable_total", "counter", "Contexts that could not be read from the log." },
        [COUNT_COLUMNS_BYTES] = { "dromio_columns_bytes", "gauge", "Bytes of property columns." },
    };
    const char *name = counters[which].name;
    json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, counters[which].help, name, counters[which].kind, name, (unsigned long long)value);
}

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
    for (uint32_t i = 0; i < COUNT_END; i++)
        counter(&out, i, core_count_all(core, i));
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
