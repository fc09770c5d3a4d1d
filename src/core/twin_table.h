/* The table of twins: every twin of this core, by index. An index stays a twin's own until
 * twin_free, so whoever keeps one over rounds is told of its end (twin_forget) or looks the twin
 * up by its number. The strings of a twin lie in its row of the columns; all times are wall
 * milliseconds since 1970, 0 where there is none unless said otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/contexts.h"
#include "core/number.h"
#include "core/queue.h"
#include "core/state.h"
#include "store/commit_log.h"
#include "twin/model.h"

typedef enum contact_why {
    CONTACT_UNKNOWN, CONTACT_UPLINK, CONTACT_REACHABLE, CONTACT_RETRANSMISSION, CONTACT_PATTERN, CONTACT_TWIN, CONTACT_LEARNED,
} contact_why;

typedef struct twin_timer { uint32_t number; int64_t due_ms; } twin_timer;

typedef struct twin_connection { /* T6a: (IMSI, bearer) */
    uint16_t host, realm;        /* numbers of names, core->hosts; NONE16 without connection */
    uint8_t gate, bearer_length;
    uint8_t bearer[BEARER_BYTES_MAX];
    uint16_t serving;            /* row of core/serving.h; 0: nothing is known */
} twin_connection;

typedef struct twin_extra {      /* what only a busy twin has */
    struct mail *mail;           /* oldest first */
    struct ticket *tickets;      /* newest first */
    deferred *deferred, *deferred_last;
    char **aliases;              /* [TWIN_ALIASES_MAX]; NULL: none */
    char *creating_id;           /* of a twin that has no row yet */
    twin_timer *timers;          /* [timer_count], room for the next power of two */
    uint8_t timer_count, alias_count;
    uint8_t ticket_count;
    uint8_t control_count;       /* of the mail: frames of the reliable data service itself */
    uint16_t mail_count, deferred_count; /* mail: in memory */
    twin_queue queue;            /* mail and deliveries as a whole */
    struct twin_rates *rates;    /* core/rate.h; NULL: any number of packets */
    struct rds_managed *rds_ports; /* core/rds_ports.h */
    struct schedule *schedule;   /* core/schedule.h; NULL: its sleep is not known, nor wished for */
    struct rds *rds;             /* core/rds.h; NULL: nothing was exchanged */
    struct penalty *penalty;     /* core/conduct.h; NULL: it did not fail lately */
} twin_extra;

enum twin_flag {
    TWIN_RUNNING = 1,            /* a turn is in a cell */
    TWIN_CREATING = 2,           /* not durable yet, not shown */
    TWIN_GONE = 4,               /* being removed */
    TWIN_BLOCKED = 8,            /* the device did not answer: wait for a contact */
    TWIN_SENDING = 16,           /* a TDR is out */
    TWIN_CONNECTED = 32,
    TWIN_HAS_IMSI = 64,
    TWIN_HAS_MSISDN = 128,
};

typedef struct twin {
    uint64_t number;             /* partition in the top 12 bits; 0: free slot */
    uint64_t context_revision;   /* turns kept: the sealed context is bound to it */
    log_place last;              /* newest record */
    union {
        context *context;        /* sealed, in memory; NULL: as the image starts */
        log_place context_place; /* is_cold: the record that holds it */
    };
    twin_extra *extra;           /* NULL: nothing of it */
    struct nidd *nidd;           /* what applications keep here: core/nidd.h; NULL: nothing. With deliveries there is an extra part */
    int64_t last_contact_ms, next_contact_ms;
    int64_t retry_ms;            /* Requested-Retransmission-Time; 0: none */
    uint64_t imsi_hash;
    uint32_t table, row, image, domain;
    uint32_t context_length;
    uint32_t base_segment;       /* holds the newest full record */
    uint32_t learned_s;          /* smoothed interval between contacts; 0: not known */
    uint32_t timer_place;        /* in the timer heap, 0: none */
    uint8_t flags, why, contact_count;
    bool is_cold : 1;            /* its context is in the log only */
    bool has_budget : 1;         /* something is missing in its bucket: core/budget.h */
    bool base_key : 1;           /* which key its newest full record is under: its generation is odd. No more than two live */
    bool has_penalty : 1;        /* extra->penalty is there */
    twin_connection connection;
    uint32_t memberships;        /* of groups, the newest; 0: none */
    uint64_t revision;           /* application writes */
    uint64_t msisdn_hash;
    uint8_t imsi[16], msisdn[16];/* sealed by vault_identity_seal */
} twin;

static inline bool twin_base_key(uint8_t tag) { return (tag & 1) != 0; }

enum { TWIN_CHUNK = 4096 }; /* twins of a chunk; they never move */

static inline twin *twin_at(const core *core, uint32_t index)
{
    return &core->chunks[index / TWIN_CHUNK][index % TWIN_CHUNK];
}
DRO_CHECKED dro_err twin_new(core *core, uint32_t *index);
void twin_free(core *core, uint32_t index); /* and everything of it but its row */
void twins_free(core *core);                /* the table; its twins were freed */
DRO_CHECKED dro_err twins_index(core *core); /* after recovery: makes all of the ways below */
uint32_t twin_find(const core *core, const char *id, size_t length);      /* or NONE; aliases too */
uint32_t twin_find_imsi(core *core, const char *imsi);                    /* digits with NUL */
uint32_t twin_find_msisdn(core *core, const char *msisdn);
uint32_t twin_find_imsi_hash(const core *core, uint64_t hash);
uint64_t imsi_hash(core *core, const char *imsi);
void imsi_hashes(core *core, const char *const imsis[], uint32_t count, uint64_t hashes[]); /* VAULT_IDENTITIES_MAX at most */
uint32_t twin_find_msisdn(core *core, const char *msisdn);
uint32_t twin_find_number(const core *core, uint64_t number);
uint64_t id_hash(const core *core, const char *id, size_t length);
twin_extra *twin_extra_get(twin *twin);                                   /* made if missing; NULL: no memory */
void twin_extra_trim(twin *twin);                                         /* given back when nothing is in it */
const char *twin_id(const core *core, const twin *twin, size_t *length);
static inline uint32_t twin_group(const twin *twin) { return (uint32_t)(twin->number >> 52) / (4096 / LOG_GROUPS); }

/* A twin without an image is plain: no turn runs, what comes passes as it is. Its row is in a table of this name. */
#define PLAIN_MODEL "dromio/plain"
const model *twin_model(const core *core, const twin *twin);
const model *image_model(const core *core, uint32_t image); /* NONE: of plain twins */
