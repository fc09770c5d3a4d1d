/* The core: what one core room has (core/core.h is what others see of it). One thread, so no
 * field is locked; what a core shares is in the rings, the directory and the board.
 *
 * Below are tables held by value, from the headers that say their shapes; where the core only
 * points at a table, its header includes this one. Owned by the core and freed by core_close,
 * unless said otherwise. Names end in their unit: _ms is wall time since 1970, _ns the monotonic
 * clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/latency.h"
#include "core/ahead.h"
#include "core/board.h"
#include "core/budget.h"
#include "core/capif.h"
#include "core/checkpoint.h"
#include "core/contexts.h"
#include "core/conduct.h"
#include "core/core.h"
#include "core/exposure.h"
#include "core/farewell.h"
#include "core/counters.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/index.h"
#include "core/invokers.h"
#include "core/limits.h"
#include "core/links.h"
#include "core/nidd.h"
#include "core/queue.h"
#include "core/rotation.h"
#include "core/shares.h"
#include "core/signing.h"
#include "core/stops.h"
#include "core/turn.h"
#include "core/token_keys.h"
#include "core/usage.h"
#include "core/vault.h"
#include "ring/ledger.h"
#include "store/columns.h"
#include "store/commit_log.h"
#include "twin/effect.h"

typedef struct stream stream;
typedef struct waiter waiter;
typedef struct question question;
typedef struct release release;

struct core {
    core_options options;
    uint32_t index, count;       /* of the cores; 0 of 1: alone */
    board board;                 /* count > 1 */
    uint64_t tables_version;     /* of the host's tables here */
    generations generations;     /* core 0 and alone: as on the disk */
    disk *own_disk;              /* of the log, where that is not options.log_disk; owned */
    uint64_t directory_key;
    question *questions, *question_last;
    uint32_t question_count;
    bool is_asking;              /* the first question is on the board */
    const question *answered;    /* while the requests that waited for it are taken up again */
    release *releases, *release_last;
    bool is_reading_old;         /* at recovery: logs of old generations; */
    uint32_t old_log;            /* the one being read, by its number; 0: the own one */
    log_place old_place;         /* of the record being read, there */
    struct old_logs *old_logs;   /* that are open; NULL: none */
    uint32_t replay_owner;       /* partition + 1 of the twin whose record is read; 0: a record of the host's tables */
    uint32_t replay_domain;      /* its domain */
    bool is_moving;              /* what they held is not all in the own log yet */
    bool move_is_over, move_has_tables; /* the pass over the twins; the tables are written too */
    uint32_t move_left, move_passes; /* twins that this pass wrote; passes so far */
    uint64_t move_round;         /* with what a pass wrote last */
    uint64_t mail_count;         /* downlinks that wait, all twins */
    dro_clock *clock;
    dro_random_seeded random;    /* seeds of turns */
    vault *vault;
    vault *reading_vault;        /* of the thread that reads the log at recovery; NULL: records come sealed */
    commit_log *log;
    columns *columns;
    log_epoch epoch;
    uint64_t hash_key;
    int64_t now_ms, now_ns, started_ms;

    contexts *contexts;          /* the sealed ones in memory */
    twin **chunks;               /* of TWIN_CHUNK */
    uint32_t chunk_count, twin_count, twin_free, twin_high; /* live, first free slot, slots ever used */
    index_table ids, imsis, msisdns, numbers; /* ids: aliases too */
    uint64_t twin_next, ticket_next, mail_next, event_next;

    image images[CORE_IMAGES_MAX];
    uint32_t image_count;
    uint32_t plain_table;        /* rows of twins without an image */
    uint32_t readmit_next, readmits; /* images before it were looked at in this start; being made anew now */
    uint64_t image_traps[CORE_IMAGES_MAX][16];
    budget_table budgets;
    image_conduct conduct[CORE_IMAGES_MAX];
    bool conduct_is_worse;       /* something was counted since images were judged */
    struct table { char model[MODEL_NAME_MAX + 1]; uint32_t image; } tables[CORE_IMAGES_MAX];
    domain *domains;
    uint32_t domain_count, keys_kept; /* kept: those whose keys are on the disk */
    host hosts[CORE_HOSTS_MAX];
    uint32_t host_count, duplicates_held;
    uint16_t application_hints[CORE_APPLICATIONS_MAX]; /* by number: where it was last */
    uint16_t host_hints[CORE_HOSTS_MAX]; /* by the hash of a name: who had it last */
    application applications[CORE_APPLICATIONS_MAX + CORE_SESSIONS_MAX];
    uint32_t application_next;   /* number of the next one */
    token_keys token_keys;
    signing signing;             /* core 0's */
    capif capif;                 /* core 0's */
    invoker_table invokers;      /* core 0's */
    stop_table stops;            /* core/stops.h */
    application_usage usage[USAGE_SLOTS];

    gate_link gates[CORE_GATES_MAX];
    cell_link cells[CORE_PLACES_MAX], old_cells[CORE_PLACES_MAX]; /* by place: core/cells.h */
    bool is_probation_wanted[CORE_CELLS_MAX]; /* dromiod was asked for it */
    ahead ahead;
    effect effects[EFFECTS_MAX]; /* of the result being taken; they point into effect_bytes */
    uint32_t effect_count, effect_length;
    uint8_t effect_bytes[EFFECTS_BYTES_MAX];
    turn *turns;                 /* [CORE_TURNS_MAX] */
    uint32_t turn_free, turn_count, turn_serial;
    turn_part parts[CORE_PLACES_MAX]; /* what each cell has of that table */
    share_table shares;          /* of the cells' CPU time */
    uint32_t turn_last;          /* the newest one in a ring, while others may follow it there; else NONE */
    uint32_t chain;              /* twin of turn_last, while its next uplinks may go along; else NONE */
    size_t turn_bytes;
    turn_line cold;              /* turns whose context is not being read yet */
    uint32_t rewrites_in_flight;          /* contexts read to be written anew */
    uint32_t unreadable_segment;          /* where the newest of those could not be read; */
    int64_t unreadable_until_ms;          /* nothing more is read there for that until then */

    struct timer_entry { int64_t due_ms; uint32_t twin; } *timers; /* heap, 1-based */
    uint32_t timer_count, timer_capacity;

    struct ledger *ledgers[LEDGERS]; /* core/ledger.h; NULL: off */
    struct audit *audit;         /* core/audit.h; NULL: off */
    stream *streams;
    uint32_t stream_count;
    struct event_mark { uint64_t sequence; log_place place; } *marks; /* where an event's record lies */
    uint32_t mark_count, mark_next;
    uint64_t round_event_first;  /* event_next when the round being gathered was begun */
    bool is_round_marked;
    uint64_t round_records[8];   /* records written up to a round in flight */
    waiter *waiters;
    uint32_t waiter_count;
    waiter *met;                 /* whose state was reached in this round */
    uint32_t met_count;
    nidd_table nidd;
    exposure_table exposures;
    farewell_table farewells;    /* what the network has of twins that are gone */
    queue_table queues;
    struct groups *groups;       /* core/groups.h */
    idempotency idempotency;
    dead_letters dead_letters;
    idempotency *idempotency_dump;   /* at recovery: a dump that is not whole yet */
    dead_letters *dead_letters_dump;
    struct upload_table *uploads;
    struct charges_owed *charges_owed; /* core 0: core/charge_owed.h; NULL before the first */
    uint64_t *group_reports;     /* core 0: numbers of the newest reports about groups (core/report.c); NULL before the first */
    uint32_t group_report_count;
    struct inquiry_table *inquiries; /* NULL before the first */
    struct trigger_flight *flights;  /* triggers that somebody is asked for */
    const struct inquiry_said *said; /* the network's word, while the request that waited for it is taken up again */
    const struct grant *grant;   /* an HSS's, while the request that waited for it is taken up again */
    struct peer_table *peers;
    struct serving_table *servings; /* core/serving.h; NULL before the first */
    uint32_t charging_next;      /* of connections; has: known, is: given in this start */
    bool has_charged, is_charging;
    uint32_t peer_count;
    struct trace_table *traces;  /* NULL until the first one */
    uint32_t trace_count;        /* that run */

    struct record *record;       /* the one being written; core/record.c */
    uint64_t round_told;         /* newest durable round */
    uint64_t round_last;         /* newest round with anything in it */
    uint8_t *scratch;            /* SCRATCH_BYTES for answers */
    uint8_t *log_scratch;        /* LOG_RECORD_MAX for reading */

    struct backup *backup;       /* the one that runs; NULL: none */
    base_counts bases;
    base_counts chunk_bases;     /* the same of chunks of queues */
    uint32_t chunk_twin;         /* the hand that moves those */
    uint32_t chunks_owed;        /* bytes to be moved by it */
    uint64_t chunks_seen;        /* of those moved so far, when the log was looked at */
    uint32_t lived_in;           /* before this segment nothing lives once lived_in_round is durable; 0: nothing is awaited */
    uint64_t lived_in_round;
    uint32_t checkpoint_twin;    /* the hand: next twin to look at */
    uint32_t checkpoint_segment; /* becomes the replay point when checkpoint_round is durable; 0: none does */
    uint64_t checkpoint_round;
    uint32_t tables_segment;     /* the newest whole dump of the host's tables lies from here on */
    uint32_t tables_segment_next;/* the same of one that is durable with tables_round_next; that 0: none */
    uint64_t tables_round_next;
    uint64_t bytes_seen;         /* of what was written into the log, */
    uint64_t bytes_moved;        /* and of that by the hand, since that was looked at */
    uint32_t bytes_owed;         /* to be written by the hand */
    rotation rotation;           /* of domains' keys */
    uint32_t full_bytes;         /* of a full record, smoothed; 0: none seen */
    bool is_draining;            /* the gates finish what they took: nobody waits for a device any more */
    bool is_stopping, is_started;
    uint32_t storage_told;       /* enum storage_state, as the gates know it */
    uint64_t shredded;           /* records under keys that are destroyed, at recovery */
    bool is_full;                /* no space for rounds to come: changes are refused until there is */
    bool is_stuck;               /* nor for the one that is gathered */
    int64_t full_until_ns;       /* and nobody asks the disk for it before */
    bool is_reply_free;          /* what is answered shows nothing of twins: it may leave though the log is broken */
    struct { int64_t until_ns, say_ns; uint32_t count, unsaid; } refusals; /* of connections: in this second; since the last line of the log */
    core_counters counters;
    dro_latency own_latencies[BOARD_LATENCIES], *latencies; /* own_, or on the board where there are several cores */
    int64_t round_submitted_ns[8]; /* of rounds in flight */
    int work;                    /* done in this round */
};

enum { SCRATCH_BYTES = 192 * 1024 };

/* Turns in flight and no result: a cell that is to stop has less time, one that has only the CPU time that nobody else wants has more. */
static inline int64_t cell_stall_ms(const core *core, uint32_t place)
{
    if (place >= core->options.cell_count)
        return PROBATION_STALL_MS;
    return core->stops.has_any ? STOP_STALL_MS : CELL_STALL_MS;
}

/* core.c */
/* What was promised cannot be kept in memory: says so, and the room ends. It begins anew from the log, which has all that was acknowledged. */
void core_no_memory(const char *for_what) __attribute__((noreturn));
void core_settle(core *core);   /* waits until all that is written is durable */
dro_err core_submit(core *core);
