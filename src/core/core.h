/* Core: the room that owns twins: directory of identifiers, sealed contexts,
 * mailboxes, timers, the vault, the commit log, the property columns. It has no
 * sockets and no guest code.
 *
 * core_round does everything that is ready and returns; core_run (room.c) calls it
 * in a process of its own, a simulation calls it on fake time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "ring/message.h"
#include "ring/ledger.h"
#include "ring/ring.h"
#include "store/disk.h"
#include "store/log_store.h"
#include "twin/admission.h"
#include "twin/apn.h"
#include "twin/budget.h"
#include "twin/directory.h"
#include "twin/trust.h"

typedef struct core core;

/* What the core asks of whoever runs it. */
typedef struct core_supervisor core_supervisor;
struct core_supervisor {
    /* Have this image looked at; the answer comes by core_admitted. Bytes borrowed. */
    dro_err (*admit)(core_supervisor *supervisor, uint64_t id, const uint8_t *wasm, size_t length);
    /* Does this artifact fit the engine and processor of the cells? Else its image is looked at again. */
    bool (*artifact_is_current)(core_supervisor *supervisor, const uint8_t *artifact, size_t length);
    /* The images a cell needs, by index. Cells with these follow by core_cell_attach. Borrowed until the next call. */
    dro_err (*images)(core_supervisor *supervisor, const uint8_t *const *artifacts, const size_t *lengths, uint32_t count);
    /* A cell no longer answers, or (`is_cut_short`) works for what was stopped, which is no fault of its: replace it. */
    void (*replace_cell)(core_supervisor *supervisor, uint32_t cell, bool is_old, bool is_cut_short);
    /* Other images are wanted in a cell (core_options.cell_images): a new one beside the old one. Or the first one is
     * wanted in a place of twins on probation. */
    void (*renew_cell)(core_supervisor *supervisor, uint32_t cell);
};

/* Several cores of one host: each is a room with its own gates' rings, cells, columns and log, and
 * keeps the twins of its own partitions (twin/directory.h). Core 0 opens the host's own files, images
 * and tokens and writes them alone; the others follow it over the board. All are opened at once, in
 * any order (each waits for core 0); no gate runs before all are open. When one ends, all begin anew:
 * directory_format, board_format, fresh rings. Only core 0 calls admit and images of its supervisor:
 * the cells of every core get those images. Only core 0 sends MESSAGE_CREDENTIAL. */
typedef struct downlink_limits { /* 0: the usual, of core/limits.h */
    uint32_t packets, bytes;     /* that wait for one device */
    uint32_t size;               /* bytes of a downlink that may wait at all */
    int64_t age_s;               /* how long it may */
    uint64_t memory;             /* bytes of all of them in memory; 0: no bound */
} downlink_limits;

/* When a twin that fails is set aside, and when an image is stopped for it: core/conduct.h. */
typedef struct conduct_options {
    uint32_t penalty_failures;   /* not forgotten yet, from which a twin is set aside; 0: never */
    int64_t penalty_forget_ms;   /* one failure is forgotten in */
    int64_t penalty_first_ms, penalty_longest_ms; /* set aside for; twice as long each further time, at most */
    int64_t window_ms;           /* in which failures of an image are counted; 0: they are not */
    uint32_t quarantine_twins, quarantine_percent; /* so many twins failed, and so many of the turns; 0 twins: never */
    uint32_t quarantine_kills;   /* so many twins killed their cells; 0: never */
} conduct_options;

typedef struct core_options {
    dro_clock *clock;
    dro_random *random;
    uint32_t index, count;       /* core `index` of `count`; 0 of 0: the only one, as 0 of 1 */
    directory directory;         /* opened; count > 1 */
    void *board;                 /* board_format-ted, shared by the cores alone; count > 1 */
    const int *bells;            /* eventfds that wake the cores, [count]; NULL: all in one thread */
    log_store *logs;             /* where logs lie; NULL: there is the one on log_disk and never another */
    disk *log_disk;              /* core 0: the host's own files, and the log of a host that always had one core */
    disk *image_disk;            /* core 0: images and their artifacts */
    const char *master_key_before; /* NULL or "": none. Keys that are under this one are wrapped by the other at the start */
    const char *master_key_path;
    const uint8_t *master_key;   /* 32 bytes instead of a path: tests */
    void *columns_memory;        /* shared, zeroed */
    size_t columns_bytes;
    core_supervisor *supervisor;
    const uint8_t *admin_token;  /* SHA-256 of the admin's token */
    uint32_t gate_count, cell_count;
    bool has_probation;          /* twins whose turns run into their deadline run in other cells: core/cells.h */
    const trust_policy *trust;   /* which domains have a cell of their own; NULL: none */
    struct cell_images *cell_images; /* zeroed, of each cell: core/cells.h; NULL: each has all images */
    uint32_t segment_bytes;      /* of the log; 0: default */
    uint64_t context_bytes;      /* of sealed contexts kept in memory; 0: all */
    uint64_t timeline_bytes;     /* of log kept for timelines and histories */
    uint64_t replay_bytes;       /* log replayed at most, beyond what lives */
    downlink_limits downlink;
    bool has_hss;                /* an HSS is among the configured peers */
    apn_policy apns;
    const char *t8_root;         /* "https://scef.example:8443": what links of T8 begin with */
    const char *trigger_sender;  /* digits (E.164) of who sends device triggers; "" or NULL: none */
    int64_t trigger_port;        /* of the application in devices that are triggered for a downlink */
    bool reliable_data;          /* the reliable data service (TS 24.250) may be asked for */
    int64_t reliable_data_timer_s; /* its T200 */
    uint32_t schedule_pause_s;   /* between two questions to the network about one device's sleep; 0: SCHEDULE_PAUSE_MS */
    uint32_t group_guard_s;      /* between notifications of a group operation's results; 0: GROUP_GUARD_S */
    const char *issuer, *audience; /* of access tokens; NULL: "" */
    int64_t token_life_s, key_life_s; /* of them, and of the keys that sign them; 0: default */
    bool has_provision_scope;    /* whoever may write may not for that say which device a twin is of */
    conduct_options conduct;     /* 0: nothing is set aside */
    budget_limits budgets[BUDGET_SCOPES]; /* of what has no limits of its own; 0: none */
    application_limits limits;   /* of applications that have none of their own; 0: none */
    struct { bool is_on, has_imsi; uint64_t backlog_bytes; } charging; /* backlog: of log held back for it at most */
    struct { bool is_on; uint64_t backlog_bytes; } audit;
    bool no_log;                 /* bench: turns are not kept */
} core_options;

DRO_CHECKED dro_err core_open(core **out, const core_options *options); /* recovers */
void core_close(core *core); /* NULL is fine */

/* Rings of a (new) gate or cell; before that nothing is sent to it. */
void core_gate_attach(core *core, uint32_t gate, ring_reader in, ring_writer out);
void core_gate_lost(core *core, uint32_t gate);
void core_cell_attach(core *core, uint32_t cell, ring_reader results, ring_writer turns, uint32_t image_count,
                      _Atomic uint64_t *running); /* the turn it runs; may be NULL */
void core_cell_lost(core *core, uint32_t cell);
void core_old_cell_lost(core *core, uint32_t cell); /* the replaced one died before it was drained */
/* True when the replaced cell of an earlier attach has no turns left and may end. */
bool core_cell_drained(core *core, uint32_t cell);
/* The rooms that write files of the kind, where options.charging or options.audit is on. */
void core_ledger_attach(core *core, enum ledger_kind kind, ring_reader in, ring_writer out);
void core_ledger_lost(core *core, enum ledger_kind kind);
/* Something of the host itself that the audit log is to tell of: dromiod's word to core 0. */
void core_audit(core *core, uint32_t act, const char *object, const char *detail);
void core_admitted(core *core, uint64_t id, const admit_result *result);

/* Does what is ready; how much it did (0: nothing, sleep). */
int core_round(core *core);
/* Nanoseconds until something is due, -1: nothing. */
int64_t core_next_due(const core *core);
/* Readable when the log has news; -1: none. */
int core_descriptor(const core *core);
/* About to sleep: true when a ring filled meanwhile. */
bool core_prepare_sleep(core *core);
void core_awake(core *core);
/* The gates take nothing new: those who wait for a device are told now how far it came. */
void core_drain(core *core);
/* Takes nothing new; true when all that was taken is durable and told. */
bool core_stop(core *core);
bool core_failed(const core *core); /* the log cannot be written any more */
bool core_keys_are_secret(const core *core);
