/* What a core counts, for /metrics and /v1/status. Plain numbers of one thread; several cores show
 * each other theirs over the board. */
#pragma once

#include <stdint.h>

#include "base/builder.h"
#include "core/core.h"

typedef struct core_counters {
    uint64_t context_hits, context_misses, contexts_unreadable;
    uint64_t turns, commits, records, uplinks, duplicates, downlinks, connections, connections_refused, dead_letters, traps[16], refused, streams_lost;
    uint64_t notices, notices_failed, notices_refused, notices_dropped;
    uint64_t exceptions, uplinks_over_rate, uplinks_dropped, downlinks_held;
    uint64_t rds_refused, rds_repeated, rds_retransmissions, rds_dropped, fields_dropped;
    uint64_t penalties, set_aside; /* core/conduct.h */
    uint64_t log_left_out;       /* lines of twins' logs: core/budget.h */
    uint64_t reports;            /* of the network, about what applications asked it to watch */
    uint64_t triggers_sent, triggers_refused, triggers_ended, triggers_unknown;
    uint64_t farewells_told, farewells_dropped;
    uint64_t schedules_asked, schedules_applied, schedules_refused;
    uint64_t authorizations_granted, authorizations_refused, authorizations_failed, authorizations_revoked;
} core_counters;

enum core_counter {
    COUNT_TURNS, COUNT_COMMITS, COUNT_UPLINKS, COUNT_DUPLICATES, COUNT_DOWNLINKS, COUNT_CONNECTIONS, COUNT_DEAD_LETTERS,
    COUNT_REFUSED, COUNT_TWINS, COUNT_MAIL, COUNT_TURNS_IN_FLIGHT, COUNT_STREAMS, COUNT_LOG_BYTES, COUNT_COLUMNS_BYTES,
    COUNT_NOTICES, COUNT_NOTICES_FAILED, COUNT_NOTICES_REFUSED, COUNT_NOTICES_DROPPED, COUNT_NOTICES_WAITING, COUNT_NIDD_CONFIGURATIONS,
    COUNT_GROUPS, COUNT_GROUP_MEMBERS, COUNT_GROUP_OPERATIONS,
    COUNT_TRIGGERS_SENT, COUNT_TRIGGERS_REFUSED, COUNT_TRIGGERS_ENDED, COUNT_TRIGGERS_UNKNOWN,
    COUNT_SCHEDULES_ASKED, COUNT_SCHEDULES_APPLIED, COUNT_SCHEDULES_REFUSED,
    COUNT_REPORTS, COUNT_FAREWELLS_TOLD, COUNT_FAREWELLS_DROPPED, COUNT_FAREWELLS_WAITING,
    COUNT_AUTHORIZATIONS_GRANTED, COUNT_AUTHORIZATIONS_REFUSED, COUNT_AUTHORIZATIONS_FAILED, COUNT_AUTHORIZATIONS_REVOKED,
    COUNT_LOG_LIVE_BYTES, COUNT_CONTEXTS, COUNT_CONTEXT_BYTES, COUNT_CONTEXT_HITS, COUNT_CONTEXT_MISSES, COUNT_CONTEXT_READS, COUNT_CONTEXTS_UNREADABLE,
    COUNT_DOWNLINK_BYTES, COUNT_DOWNLINKS_AWAY, COUNT_DOWNLINK_READS, COUNT_DOWNLINK_CHUNKS, COUNT_DOWNLINK_CHUNK_BYTES,
    COUNT_DOWNLINK_MOVED_BYTES, COUNT_LOG_WRITTEN, COUNT_LOG_MEMORY,
    COUNT_EXCEPTIONS, COUNT_UPLINKS_OVER_RATE, COUNT_UPLINKS_DROPPED, COUNT_DOWNLINKS_HELD,
    COUNT_RDS_REFUSED, COUNT_RDS_REPEATED, COUNT_RDS_RETRANSMISSIONS, COUNT_RDS_DROPPED, COUNT_FIELDS_DROPPED,
    COUNT_CONNECTIONS_REFUSED,
    COUNT_CHARGING_BACKLOG, COUNT_CHARGING_GAPS, COUNT_AUDIT_BACKLOG, COUNT_AUDIT_GAPS, COUNT_AUDIT_DROPPED,
    COUNT_PENALTIES, COUNT_SET_ASIDE, COUNT_LOG_LEFT_OUT,
    COUNT_STORAGE_FULL, COUNT_STORAGE_FAILED,
    COUNT_END,
};

uint64_t core_count_all(const core *core, uint32_t counter);              /* of all cores */
uint64_t core_count_of(const core *core, uint32_t index, uint32_t counter); /* of one of several */
void core_show_counters(core *core);                       /* to the other cores */
void counters_metrics(const core *core, dro_builder *out); /* all, for /metrics */
