#include "core/counters.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "core/audit.h"
#include "core/board.h"
#include "core/cells.h"
#include "core/checkpoint.h"
#include "core/groups.h"
#include "core/ledger.h"
#include "core/render.h"
#include "core/state.h"

/* Where in core_counters it is counted; 0: nowhere, it is measured when somebody asks. */
#define OF(field) (offsetof(core_counters, field) + 1)

static const struct metric { const char *name, *kind, *help; size_t at; } metrics[COUNT_END] = {
    [COUNT_TURNS] = { "dromio_turns_total", "counter", "Turns taken back from the cells.", OF(turns) },
    [COUNT_COMMITS] = { "dromio_commits_total", "counter", "Records made durable in the log.", OF(commits) },
    [COUNT_UPLINKS] = { "dromio_uplinks_total", "counter", "MO-Data-Requests taken.", OF(uplinks) },
    [COUNT_DUPLICATES] = { "dromio_duplicates_total", "counter", "Requests answered from the record of duplicates.", OF(duplicates) },
    [COUNT_DOWNLINKS] = { "dromio_downlinks_total", "counter", "MT-Data-Requests sent.", OF(downlinks) },
    [COUNT_CONNECTIONS] = { "dromio_connection_changes_total", "counter", "T6a connections established, updated, released.", OF(connections) },
    [COUNT_DEAD_LETTERS] = { "dromio_dead_letters_total", "counter", "Events whose turn failed.", OF(dead_letters) },
    [COUNT_REFUSED] = { "dromio_refused_total", "counter", "Downlinks refused because a mailbox was full.", OF(refused) },
    [COUNT_TWINS] = { "dromio_twins", "gauge", "Twins." },
    [COUNT_MAIL] = { "dromio_mailbox_downlinks", "gauge", "Downlinks that wait." },
    [COUNT_TURNS_IN_FLIGHT] = { "dromio_turns_in_flight", "gauge", "Turns in the cells." },
    [COUNT_STREAMS] = { "dromio_event_streams", "gauge", "Subscribers of events." },
    [COUNT_LOG_BYTES] = { "dromio_log_bytes", "gauge", "Bytes of log on disk." },
    [COUNT_NOTICES] = { "dromio_notices_total", "counter", "Notifications of applications given to a gate, repeats included.", OF(notices) },
    [COUNT_NOTICES_FAILED] = { "dromio_notices_failed_total", "counter", "Notifications that did not arrive and are tried again.", OF(notices_failed) },
    [COUNT_NOTICES_REFUSED] = { "dromio_notices_refused_total", "counter", "Notifications that their destination refused for good.", OF(notices_refused) },
    [COUNT_NOTICES_DROPPED] = { "dromio_notices_dropped_total", "counter", "Notifications dropped: too many waited, or too long.", OF(notices_dropped) },
    [COUNT_NOTICES_WAITING] = { "dromio_notices_waiting", "gauge", "Notifications not taken yet." },
    [COUNT_CONNECTIONS_REFUSED] = { "dromio_connections_refused_total", "counter", "Connection-Management-Requests that were refused, not for want of time.", OF(connections_refused) },
    [COUNT_REPORTS] = { "dromio_network_reports_total", "counter", "Reports of the network about what applications watch; repetitions are in dromio_duplicates_total.", OF(reports) },
    [COUNT_FAREWELLS_TOLD] = { "dromio_farewells_total", "counter", "Things the network had of devices that are gone, and was told the end of.", OF(farewells_told) },
    [COUNT_FAREWELLS_DROPPED] = { "dromio_farewells_dropped_total", "counter", "Those that it will not be told the end of: too many waited.", OF(farewells_dropped) },
    [COUNT_FAREWELLS_WAITING] = { "dromio_farewells_waiting", "gauge", "Those that it is still to be told the end of." },
    [COUNT_TRIGGERS_SENT] = { "dromio_triggers_sent_total", "counter", "Device triggers that the network has taken, replacements too.", OF(triggers_sent) },
    [COUNT_TRIGGERS_REFUSED] = { "dromio_triggers_refused_total", "counter", "Device triggers that the network has refused.", OF(triggers_refused) },
    [COUNT_TRIGGERS_ENDED] = { "dromio_triggers_ended_total", "counter", "Device triggers whose outcome is known, or whose time is over.", OF(triggers_ended) },
    [COUNT_TRIGGERS_UNKNOWN] = { "dromio_triggers_unknown_total", "counter", "Outcomes of device triggers that this host does not know.", OF(triggers_unknown) },
    [COUNT_AUTHORIZATIONS_GRANTED] = { "dromio_nidd_authorizations_granted_total", "counter", "Configurations that an HSS has granted, or granted again.", OF(authorizations_granted) },
    [COUNT_SCHEDULES_ASKED] = { "dromio_schedules_asked_total", "counter", "Questions of twins to an HSS about their devices' sleep.", OF(schedules_asked) },
    [COUNT_SCHEDULES_APPLIED] = { "dromio_schedules_applied_total", "counter", "Wishes of twins that an HSS took.", OF(schedules_applied) },
    [COUNT_SCHEDULES_REFUSED] = { "dromio_schedules_refused_total", "counter", "Wishes of twins that an HSS refused.", OF(schedules_refused) },
    [COUNT_AUTHORIZATIONS_REFUSED] = { "dromio_nidd_authorizations_refused_total", "counter", "Configurations that an HSS has refused.", OF(authorizations_refused) },
    [COUNT_AUTHORIZATIONS_FAILED] = { "dromio_nidd_authorizations_failed_total", "counter", "Questions that no HSS answered, or whose answer could not be used.", OF(authorizations_failed) },
    [COUNT_AUTHORIZATIONS_REVOKED] = { "dromio_nidd_authorizations_revoked_total", "counter", "Configurations ended because the HSS says so.", OF(authorizations_revoked) },
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
    [COUNT_LOG_MEMORY] = { "dromio_log_memory_bytes", "gauge", "Memory that rounds of the log have filled, which is kept for the next." },
    [COUNT_EXCEPTIONS] = { "dromio_exception_reports_total", "counter", "Uplinks with RRC-Cause-Counter.", OF(exceptions) },
    [COUNT_UPLINKS_OVER_RATE] = { "dromio_uplinks_over_rate_total", "counter", "Uplinks beyond a rate of their connection or APN, taken or not.", OF(uplinks_over_rate) },
    [COUNT_UPLINKS_DROPPED] = { "dromio_uplinks_dropped_total", "counter", "Uplinks answered 5012 because they were beyond their APN's rate.", OF(uplinks_dropped) },
    [COUNT_RDS_REFUSED] = { "dromio_rds_refused_total", "counter", "Uplinks of the reliable data service that were ignored.", OF(rds_refused) },
    [COUNT_RDS_REPEATED] = { "dromio_rds_repeated_total", "counter", "I frames of devices that were not the next one.", OF(rds_repeated) },
    [COUNT_RDS_RETRANSMISSIONS] = { "dromio_rds_retransmissions_total", "counter", "Times T200 ran out and a frame went again.", OF(rds_retransmissions) },
    [COUNT_RDS_DROPPED] = { "dromio_rds_dropped_total", "counter", "Frames of the reliable data service itself that were not sent: too many waited for their device.", OF(rds_dropped) },
    [COUNT_FIELDS_DROPPED] = { "dromio_fields_dropped_total", "counter", "Changes of twins that were not made: a limit stood against them, or memory.", OF(fields_dropped) },
    [COUNT_DOWNLINKS_HELD] = { "dromio_downlinks_held_total", "counter", "Times a device's downlinks had to wait for a rate.", OF(downlinks_held) },
    [COUNT_CHARGING_BACKLOG] = { "dromio_charging_backlog_bytes", "gauge", "Bytes of log whose charges are not in a charging file yet." },
    [COUNT_AUDIT_BACKLOG] = { "dromio_audit_backlog_bytes", "gauge", "Bytes of log that are not looked through for the audit files yet." },
    [COUNT_AUDIT_GAPS] = { "dromio_audit_gaps_total", "counter", "Parts of the log whose entries are in no audit file." },
    [COUNT_AUDIT_DROPPED] = { "dromio_audit_refusals_dropped_total", "counter", "Refusals that are counted in the audit log and have no entry of their own." },
    [COUNT_CHARGING_GAPS] = { "dromio_charging_gaps_total", "counter", "Parts of the log that could not be charged any more." },
    [COUNT_STORAGE_FULL] = { "dromio_storage_full", "gauge", "Cores whose disk is full: changes are refused until there is space." },
    [COUNT_STORAGE_FAILED] = { "dromio_storage_failed", "gauge", "Cores whose log could not be written: nothing is acknowledged until a restart." },
    [COUNT_PENALTIES] = { "dromio_penalties_total", "counter", "Times a twin was set aside because its turns failed.", OF(penalties) },
    [COUNT_SET_ASIDE] = { "dromio_events_set_aside_total", "counter", "Events whose turn was not run: stopped, quarantined, penalty, budget.", OF(set_aside) },
    [COUNT_LOG_LEFT_OUT] = { "dromio_log_lines_left_out_total", "counter", "Lines of twins' logs beyond their budget.", OF(log_left_out) },
    [COUNT_CONTEXTS] = { "dromio_contexts", "gauge", "Sealed contexts in memory." },
    [COUNT_CONTEXT_BYTES] = { "dromio_context_bytes", "gauge", "Bytes of sealed contexts in memory." },
    [COUNT_CONTEXT_HITS] = { "dromio_context_hits_total", "counter", "Turns whose context was in memory.", OF(context_hits) },
    [COUNT_CONTEXT_MISSES] = { "dromio_context_misses_total", "counter", "Turns whose context had to be read from the log.", OF(context_misses) },
    [COUNT_CONTEXT_READS] = { "dromio_context_reads_in_flight", "gauge", "Contexts being read from the log." },
    [COUNT_CONTEXTS_UNREADABLE] = { "dromio_contexts_unreadable_total", "counter", "Contexts that could not be read from the log.", OF(contexts_unreadable) },
    [COUNT_COLUMNS_BYTES] = { "dromio_columns_bytes", "gauge", "Bytes of property columns." },
};

static uint64_t measured(const core *core, enum core_counter which)
{
    switch (which) {
    case COUNT_TWINS: return core->twin_count;
    case COUNT_MAIL: return core->mail_count;
    case COUNT_TURNS_IN_FLIGHT: return core->turn_count;
    case COUNT_STREAMS: return core->stream_count;
    case COUNT_LOG_BYTES: return commit_log_bytes(core->log);
    case COUNT_NOTICES_WAITING: return core->nidd.notice_count;
    case COUNT_GROUPS: return core->index == 0 ? core->groups->group_count : 0; /* each core has them all */
    case COUNT_GROUP_MEMBERS: return core->groups->member_count;
    case COUNT_GROUP_OPERATIONS: return core->index == 0 ? core->groups->operation_count : 0;
    case COUNT_NIDD_CONFIGURATIONS: return core->nidd.configuration_count;
    case COUNT_FAREWELLS_WAITING: return core->farewells.count;
    case COUNT_LOG_LIVE_BYTES: return checkpoint_live_bytes(core);
    case COUNT_CONTEXTS: return contexts_count(core->contexts);
    case COUNT_CONTEXT_BYTES: return contexts_bytes(core->contexts);
    case COUNT_CONTEXT_READS: return commit_log_fetching(core->log);
    case COUNT_DOWNLINK_BYTES: return core->queues.bytes;
    case COUNT_DOWNLINKS_AWAY: return core->queues.away;
    case COUNT_DOWNLINK_READS: return core->queues.reads;
    case COUNT_DOWNLINK_CHUNKS: return core->queues.chunks;
    case COUNT_DOWNLINK_CHUNK_BYTES: return core->queues.chunk_bytes;
    case COUNT_DOWNLINK_MOVED_BYTES: return core->queues.moved;
    case COUNT_LOG_WRITTEN: return commit_log_written(core->log);
    case COUNT_LOG_MEMORY: return commit_log_memory(core->log);
    case COUNT_COLUMNS_BYTES: return columns_bytes_used(core->columns);
    case COUNT_CHARGING_BACKLOG: return ledger_backlog(core, LEDGER_CHARGING);
    case COUNT_CHARGING_GAPS: return ledger_gaps(core, LEDGER_CHARGING);
    case COUNT_AUDIT_BACKLOG: return ledger_backlog(core, LEDGER_AUDIT);
    case COUNT_AUDIT_GAPS: return ledger_gaps(core, LEDGER_AUDIT);
    case COUNT_AUDIT_DROPPED: return audit_dropped(core);
    case COUNT_STORAGE_FULL: return core->is_full;
    case COUNT_STORAGE_FAILED: return commit_log_failed(core->log);
    default: break;
    }
    assert(false && "a counter that has no place in the table and is measured nowhere"); /* all are asked for at once: no test passes */
    return 0;
}

static uint64_t count_here(const core *core, uint32_t which)
{
    uint64_t count;
    if (metrics[which].at == 0)
        return measured(core, (enum core_counter)which);
    memcpy(&count, (const uint8_t *)&core->counters + metrics[which].at - 1, sizeof count);
    return count;
}

_Static_assert((int)COUNT_END <= (int)BOARD_COUNTERS && (int)CORE_IMAGES_MAX == (int)BOARD_IMAGES, "room on the board");

uint64_t core_count_all(const core *core, uint32_t counter)
{
    return count_here(core, counter) + (core->count > 1 ? board_counted(&core->board, counter) : 0);
}

uint64_t core_count_of(const core *core, uint32_t index, uint32_t counter)
{
    return index == core->index ? count_here(core, counter) : board_count_of(&core->board, index, counter);
}

void core_show_counters(core *core)
{
    for (uint32_t i = 0; i < COUNT_END; i++)
        board_count(&core->board, i, count_here(core, i));
    for (uint32_t i = 0; i < core->image_count; i++)
        board_count_image(&core->board, i, core->images[i].twins, core->conduct[i].turns, core->image_traps[i]);
    cells_show(core);
}

void counters_metrics(const core *core, dro_builder *out)
{
    for (uint32_t i = 0; i < COUNT_END; i++) {
        const struct metric *metric = &metrics[i];
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, metric->kind);
        json_put(out, "%s %llu\n", metric->name, (unsigned long long)core_count_all(core, i));
    }
}
