/* The core's state, for the core's own files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/builder.h"
#include "base/fields.h"
#include "base/clock.h"
#include "core/contexts.h"
#include "core/board.h"
#include "core/core.h"
#include "core/duplicates.h"
#include "core/index.h"
#include "core/limits.h"
#include "core/vault.h"
#include "store/columns.h"
#include "store/commit_log.h"
#include "twin/effect.h"
#include "twin/event.h"
#include "twin/model.h"
#include "twin/ticket.h"

enum { NONE = 0xffffffffu };
#define PARTITION_MASK 0xfff0000000000000u /* of a number; the rest counts */

/* ---- a twin ---- */

typedef enum contact_why {
    CONTACT_UNKNOWN, CONTACT_UPLINK, CONTACT_REACHABLE, CONTACT_RETRANSMISSION, CONTACT_PATTERN, CONTACT_TWIN, CONTACT_LEARNED,
} contact_why;

typedef struct mail { /* a downlink waiting for the device */
    struct mail *next;
    uint64_t number, ticket;
    uint32_t merge_key;
    int32_t priority;           /* a higher one leaves first */
    uint16_t length;
    bool is_sent;
    uint8_t sent_gate;          /* of the one that is sent: by which gate, */
    uint16_t sent_host;         /* to which serving node */
    int64_t sent_ms;            /* when */
    int64_t expires_ms;
    uint8_t bytes[];
} mail;

typedef struct ticket {
    struct ticket *next;
    uint64_t number;
    bool is_action;
    uint8_t index;              /* of the property or action */
    ticket_state state;
    int64_t time_ms;            /* of the last change of state */
    int64_t made_ms;
    value value;                /* strings live in text */
    char reason[64];
    char text[];
} ticket;

typedef struct twin_timer { uint32_t number; int64_t due_ms; } twin_timer;

typedef struct deferred {       /* a message that waits for a turn to end */
    struct deferred *next;
    uint32_t gate, length;      /* gate NONE: no message, the event "can be reached" */
    ring_header header;
    uint8_t body[];
} deferred;

typedef struct twin_connection { /* T6a: (IMSI, bearer) */
    uint16_t host, realm;        /* numbers of names, core->hosts; NONE16 without connection */
    uint8_t gate, bearer_length;
    uint8_t bearer[BEARER_BYTES_MAX];
} twin_connection;
enum { NONE16 = 0xffff };

typedef struct twin_extra {      /* what only a busy twin has */
    mail *mail;                  /* oldest first */
    ticket *tickets;             /* newest first */
    deferred *deferred, *deferred_last;
    char *aliases[TWIN_ALIASES_MAX];
    char *creating_id;           /* of a twin that has no row yet */
    struct nidd *nidd;           /* what applications keep here: core/nidd.h */
    twin_timer timers[TWIN_TIMERS_MAX];
    uint8_t timer_count, alias_count;
    uint8_t mail_count, ticket_count, deferred_count;
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
    uint64_t revision;           /* application writes */
    uint64_t context_revision;   /* turns kept: the sealed context is bound to it */
    log_place last;              /* newest record */
    union {
        context *context;        /* sealed, in memory; NULL: as the image starts */
        log_place context_place; /* is_cold: the record that holds it */
    };
    twin_extra *extra;           /* NULL: nothing of it */
    int64_t last_contact_ms, next_contact_ms;
    int64_t retry_ms;            /* Requested-Retransmission-Time; 0: none */
    uint64_t imsi_hash, msisdn_hash;
    uint32_t base_segment;       /* holds the newest full record */
    uint32_t table, row, image, domain;
    uint32_t context_length;
    uint32_t learned_s;          /* smoothed interval between contacts; 0: not known */
    uint32_t timer_place;        /* in the timer heap, 0: none */
    twin_connection connection;
    uint8_t imsi[16], msisdn[16];/* sealed by vault_identity_seal */
    uint8_t flags, why, contact_count;
    bool is_cold;                /* its context is in the log only */
} twin;

/* ---- what a host has besides ---- */

typedef struct image {
    uint8_t digest[32];
    uint32_t table;              /* of its model in the columns; NONE: unused slot */
    uint32_t twins;
    uint8_t artifact_sum[32];    /* SHA-256; it is in the sealed host file, so it stands for a MAC */
    bool is_broken;              /* its code cannot be made: nothing is taken for its twins */
    uint8_t *artifact;           /* NULL: being made */
    size_t artifact_length;
    char *model_json;
    size_t model_json_length;
    bool is_ready;               /* the cells have it; of core 0's image: `artifact` is there */
    admit_info info;
} image;

typedef struct domain { char *name; uint32_t twins; bool is_kept; } domain; /* kept: name and key are on the disk */

typedef struct application {
    char *id;
    uint32_t number, scopes;
    uint8_t token[32];
    uint32_t domain_count;
    uint32_t *domains;
    int64_t expires_ms;          /* sessions; 0: never */
    bool is_session, is_one_time;
} application;

typedef struct host {
    char *name;
    duplicates *seen, *dump;     /* dump: at recovery, one that is not whole yet */
    bool is_kept;                /* its number is on the disk */
} host;

typedef struct idempotent {
    uint8_t key[32], body[32];
    int64_t made_ms;
    uint16_t status, owner;      /* partition of its twin + 1; 0: the host's */
    uint32_t length;             /* of the answer's body */
    uint8_t *answer;
} idempotent;

typedef struct idempotency {     /* keys of requests; a ring, oldest first */
    idempotent *entries;         /* [IDEMPOTENCY_MAX], NULL before the first */
    uint32_t start, count;
    index_table index;
} idempotency;

typedef struct dead_letter { char *text; uint16_t domain, owner; } dead_letter; /* JSON */
typedef struct dead_letters { dead_letter list[DEAD_LETTERS_MAX]; uint32_t next, count; } dead_letters;

typedef struct caller {          /* who waits for an answer */
    uint32_t gate;
    uint64_t id;
} caller;

typedef struct waiter {          /* a request that waits for a ticket's state */
    uint32_t twin;
    uint64_t ticket;
    ticket_state state;
    bool is_delivery;            /* `ticket` is a delivery's number */
    int64_t until_ns;
    caller caller;
} waiter;

typedef struct outbox {          /* messages for one gate that wait for a round or for room */
    uint8_t *bytes;
    size_t capacity, start, end;
} outbox;

typedef struct gate_link {
    ring_reader in;
    ring_writer out;
    bool is_open, is_stopped;    /* stopped: its outbox is full, take nothing */
    bool has_late_credential;    /* one waits in the outbox: the next ones may not pass it */
    outbox outbox;
    uint32_t stream_count;
} gate_link;

typedef struct cell_link {
    ring_reader results;
    ring_writer turns;
    bool is_open;
    uint32_t image_count, in_flight, oldest_in_flight;
    int64_t heard_ns;
    _Atomic uint64_t *running;
    bool lacks[CORE_IMAGES_MAX]; /* images that came while it was being made: its successor has them */
} cell_link;

typedef struct destination {     /* where notices go */
    char *link;                  /* NULL: unused slot */
    uint32_t references, sent;   /* sent: under way */
    struct notice *first, *last; /* oldest, newest */
    struct notice *next;         /* the oldest that may go; NULL: none */
    int64_t retry_ns;            /* a pause until then; 0: none */
    uint32_t next_free, next_ready;
    uint8_t failures;            /* in a row */
    bool is_ready;
} destination;

typedef struct nidd_table {      /* of all twins */
    index_table configurations, links;
    uint64_t next;               /* number of the next configuration, delivery or notice */
    uint64_t configuration_count, notice_count, notice_bytes;
    destination *destinations;
    uint32_t destination_count, destination_capacity, destination_free;
    uint32_t ready_first, ready_last;
    int64_t retry_ns;            /* the earliest end of a pause */
    struct notice_slot { struct notice *notice; uint32_t serial, gate, next_free; } *sent; /* [NOTICES_SENT_MAX] */
    uint32_t sent_free, sent_count;
} nidd_table;

typedef struct stream {          /* a subscriber of events */
    uint64_t id;                 /* the gate's; 0: free */
    uint32_t gate, application, scopes;
    uint64_t sent, passed;       /* events sent, events the gate has passed on */
    uint64_t next;               /* sequence it wants next while it catches up */
    bool is_behind;
    log_place place;             /* where the catching up goes on */
    char *twin, *model, *property;
} stream;

enum turn_state { TURN_FREE, TURN_WAITING, TURN_SENT, TURN_FETCHING };

/* Why a turn came to nothing, beside what a cell says (enum turn_status): its context cannot be read. */
enum { TURN_UNREADABLE = TURN_NO_IMAGE + 1 };

enum { TURN_EVENT_SMALL = 64 /* bytes of an event kept in the turn itself: nearly all are shorter */ };

typedef struct turn {            /* a turn in flight */
    uint32_t twin, next;         /* index; next free or next waiting */
    uint32_t serial;             /* upper half of its id in the rings */
    uint8_t cell, tries, kind, state;
    bool is_old_cell;            /* sent to the cell that is being replaced */
    uint64_t seed;
    uint8_t operation;           /* enum turn_operation */
    bool has_duplicate;
    uint32_t event_id, length;
    uint8_t *event;              /* payload: `small`, or owned */
    uint8_t small[TURN_EVENT_SMALL];
    caller caller;
    uint64_t ticket;             /* of a property write or action */
    uint32_t end_to_end;
    uint16_t host;
    value value;                 /* what a command asks for; strings in text */
    char *text;                  /* owned */
    struct put *put;             /* a twin being made or configured; owned */
    struct nidd_request *nidd;   /* a delivery being made or changed; owned */
    uint8_t (*idempotency)[32];  /* key and body hashes of the request, owned; NULL: none */
    ticket_state wait;
    int64_t wait_until_ns;
} turn;

typedef struct turn_line { uint32_t first, last; } turn_line; /* through turn.next, in order; NONE: empty */

enum turn_operation { TURN_UPLINK, TURN_WRITE, TURN_ACTION, TURN_TIMER, TURN_CREATE, TURN_CONFIGURE, TURN_REACHABLE, TURN_DOWNLINK };

typedef struct core_counters {
    uint64_t context_hits, context_misses, contexts_unreadable;
    uint64_t turns, commits, records, uplinks, duplicates, downlinks, connections, dead_letters, traps[16], refused, streams_lost;
    uint64_t notices, notices_failed, notices_refused, notices_dropped;
    uint64_t authorizations_granted, authorizations_refused, authorizations_failed, authorizations_revoked;
} core_counters;

typedef struct question {        /* a request that waits for core 0's word */
    struct question *next;
    uint32_t kind, text_length;  /* enum board_question */
    deferred *late;
    char text[];
} question;

typedef struct release {         /* a name to give up once `round` is durable, unless a twin here has it then */
    struct release *next;
    uint64_t round;
    uint32_t kind, length;       /* directory_kind */
    char text[];
} release;

typedef struct base_counts {     /* twins whose newest full record lies in a segment, by its number */
    uint32_t *counts;            /* a ring of `capacity` from `first` on */
    uint32_t first, capacity;
} base_counts;

/* What is known of the next messages of a gate; core/ahead.c. */
enum { AHEAD = 16 };
typedef struct ahead_uplink { char imsi[16]; uint64_t imsi_hash; uint32_t twin, end_to_end; } ahead_uplink;
typedef struct ahead { ahead_uplink uplinks[AHEAD]; uint32_t count, next; } ahead;

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
    bool is_reading_old;         /* at recovery: logs of old generations */
    uint32_t replay_owner;       /* partition + 1 of the twin whose record is read; 0: a record of the host's tables */
    bool is_moving;              /* what they held is not all in the own log yet */
    bool move_is_over, move_has_tables; /* the pass over the twins; the tables are written too */
    uint32_t move_left, move_passes; /* twins that this pass wrote; passes so far */
    uint64_t move_round;         /* with what a pass wrote last */
    uint64_t mail_count;         /* downlinks that wait, all twins */
    dro_clock *clock;
    dro_random_seeded random;    /* seeds of turns */
    vault *vault;
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
    uint32_t readmit_next, readmits; /* images before it were looked at in this start; being made anew now */
    uint64_t image_traps[CORE_IMAGES_MAX][16];
    struct table { char model[MODEL_NAME_MAX + 1]; uint32_t image; } tables[CORE_IMAGES_MAX];
    domain *domains;
    uint8_t *domain_keys;        /* wrapped, VAULT_WRAPPED each */
    uint32_t domain_count, keys_kept; /* kept: those whose keys are on the disk */
    host hosts[CORE_HOSTS_MAX];
    uint32_t host_count, duplicates_held;
    uint16_t host_hints[CORE_HOSTS_MAX]; /* by the hash of a name: who had it last */
    application applications[CORE_APPLICATIONS_MAX + CORE_SESSIONS_MAX];
    uint32_t application_next;   /* number of the next one */

    gate_link gates[CORE_GATES_MAX];
    cell_link cells[CORE_CELLS_MAX], old_cells[CORE_CELLS_MAX];
    ahead ahead;
    effect effects[EFFECTS_MAX]; /* of the result being taken */
    uint32_t effect_count;
    turn *turns;                 /* [CORE_TURNS_MAX] */
    uint32_t turn_free, turn_count, turn_serial;
    turn_line waiting;           /* turns that no cell has taken yet */
    size_t turn_bytes;
    turn_line cold;              /* turns whose context is not being read yet */
    uint32_t rewrites_in_flight;          /* contexts read to be written anew */
    uint32_t unreadable_segment;          /* where the newest of those could not be read; */
    int64_t unreadable_until_ms;          /* nothing more is read there for that until then */

    struct timer_entry { int64_t due_ms; uint32_t twin; } *timers; /* heap, 1-based */
    uint32_t timer_count, timer_capacity;

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
    idempotency idempotency;
    dead_letters dead_letters;
    idempotency *idempotency_dump;   /* at recovery: a dump that is not whole yet */
    dead_letters *dead_letters_dump;
    struct upload_table *uploads;
    struct authorization_table *authorizations; /* NULL before the first */
    const struct grant *grant;   /* an HSS's, while the request that waited for it is taken up again */
    struct peer_table *peers;
    uint32_t peer_count;

    struct record *record;       /* the one being written; core/record.c */
    uint64_t round_told;         /* newest durable round */
    uint64_t round_last;         /* newest round with anything in it */
    uint8_t *scratch;            /* SCRATCH_BYTES for answers */
    uint8_t *log_scratch;        /* LOG_RECORD_MAX for reading */

    struct backup *backup;       /* the one that runs; NULL: none */
    base_counts bases;
    uint32_t checkpoint_twin;    /* the hand: next twin to look at */
    uint32_t checkpoint_segment; /* becomes the replay point when checkpoint_round is durable; 0: none does */
    uint64_t checkpoint_round;
    uint32_t tables_segment;     /* the newest whole dump of the host's tables lies from here on */
    uint32_t tables_segment_next;/* the same of one that is durable with tables_round_next; that 0: none */
    uint64_t tables_round_next;
    uint64_t bytes_seen;         /* of what was written into the log, */
    uint64_t bytes_moved;        /* and of that by the hand, since that was looked at */
    uint32_t bytes_owed;         /* to be written by the hand */
    uint32_t full_bytes;         /* of a full record, smoothed; 0: none seen */
    bool is_draining;            /* the gates finish what they took: nobody waits for a device any more */
    bool is_stopping, is_started;
    bool is_full;                /* no space for a new segment: changes are refused until there is */
    bool is_reply_free;          /* what is answered shows nothing of twins: it may leave though the log is broken */
    core_counters counters;
    int work;                    /* done in this round */
};

enum { TWIN_CHUNK = 4096, SCRATCH_BYTES = 192 * 1024 };

/* ---- twin_table.c ---- */
static inline twin *twin_at(const core *core, uint32_t index)
{
    return &core->chunks[index / TWIN_CHUNK][index % TWIN_CHUNK];
}
DRO_CHECKED dro_err twin_new(core *core, uint32_t *index);
void twin_free(core *core, uint32_t index); /* and everything of it but its row */
uint32_t twin_find(const core *core, const char *id, size_t length);      /* or NONE; aliases too */
uint32_t twin_find_imsi(core *core, const char *imsi);                    /* digits with NUL */
uint32_t twin_find_msisdn(core *core, const char *msisdn);
uint32_t twin_find_imsi_hash(const core *core, uint64_t hash);
uint64_t imsi_hash(core *core, const char *imsi);
uint32_t twin_find_msisdn(core *core, const char *msisdn);
uint32_t twin_find_number(const core *core, uint64_t number);
uint64_t id_hash(const core *core, const char *id, size_t length);
twin_extra *twin_extra_get(twin *twin);                                   /* made if missing; NULL: no memory */
void twin_extra_trim(twin *twin);                                         /* given back when nothing is in it */
const char *twin_id(const core *core, const twin *twin, size_t *length);
static inline uint32_t twin_group(const twin *twin) { return (uint32_t)(twin->number >> 52) / (4096 / LOG_GROUPS); }
const model *twin_model(const core *core, const twin *twin);
void ticket_free(ticket *ticket);
ticket *ticket_find(const twin *twin, uint64_t number);
mail *mail_find(const twin *twin, uint64_t number);
mail *mail_of_ticket(const twin *twin, uint64_t number);

/* ---- names.c: names are claimed over all cores ---- */
/* True: a record or an entry of a table that says `partition` is this core's to keep. */
static inline bool core_owns(const core *core, uint32_t partition)
{
    return core->count == 1 || directory_core(&core->options.directory, partition) == core->index;
}
static inline uint32_t twin_partition(const twin *twin) { return (uint32_t)(twin->number >> 52); }
uint32_t partition_new(const core *core, const char *id, size_t length);  /* for a twin that is born here */
DRO_CHECKED dro_err name_claim(core *core, directory_kind kind, const char *text, size_t length, uint32_t partition);
void name_release(core *core, directory_kind kind, const char *text, size_t length); /* later, see struct release */
void names_release_twin(core *core, const twin *twin);                    /* all of it that it does not lose by apply_field */
void names_flush(core *core);
void names_enter(core *core);                                             /* after recovery: of all twins here */
void names_free(core *core);

/* ---- follow.c: a core among others ---- */
DRO_CHECKED dro_err follow_wait(core *core);                              /* until core 0 is there */
/* The host's tables as core 0 last wrote them. */
DRO_CHECKED dro_err follow_tables(core *core);
static inline void follow(core *core)
{
    if (core->index > 0 && board_tables_version(&core->board) != core->tables_version && follow_tables(core) != DRO_OK)
        abort(); /* memory is full, or core 0 wrote what nobody can read: begin anew */
}
/* Asks core 0 for a domain or a host's name; the message is taken up again with the answer. False:
 * it was asked already and there is none, or too many wait. */
bool question_ask(core *core, uint32_t kind, const char *text, size_t length, uint32_t gate, const ring_header *header, const uint8_t *body);
int questions_step(core *core);
void questions_gate_lost(core *core, uint32_t gate);
void questions_free(core *core);
/* Counters, of this core and of the host. */
enum core_counter {
    COUNT_TURNS, COUNT_COMMITS, COUNT_UPLINKS, COUNT_DUPLICATES, COUNT_DOWNLINKS, COUNT_CONNECTIONS, COUNT_DEAD_LETTERS,
    COUNT_REFUSED, COUNT_TWINS, COUNT_MAIL, COUNT_TURNS_IN_FLIGHT, COUNT_STREAMS, COUNT_LOG_BYTES, COUNT_COLUMNS_BYTES,
    COUNT_NOTICES, COUNT_NOTICES_FAILED, COUNT_NOTICES_REFUSED, COUNT_NOTICES_DROPPED, COUNT_NOTICES_WAITING, COUNT_NIDD_CONFIGURATIONS,
    COUNT_AUTHORIZATIONS_GRANTED, COUNT_AUTHORIZATIONS_REFUSED, COUNT_AUTHORIZATIONS_FAILED, COUNT_AUTHORIZATIONS_REVOKED,
    COUNT_LOG_LIVE_BYTES, COUNT_CONTEXTS, COUNT_CONTEXT_BYTES, COUNT_CONTEXT_HITS, COUNT_CONTEXT_MISSES, COUNT_CONTEXT_READS, COUNT_CONTEXTS_UNREADABLE,
    COUNT_END,
};
uint64_t core_count_all(const core *core, uint32_t counter);              /* of all cores */
uint64_t core_count_of(const core *core, uint32_t index, uint32_t counter); /* of one of several */
void core_show_counters(core *core);

/* ---- host.c: domains, images, applications, host names, kept in one small file ---- */
DRO_CHECKED dro_err host_load(core *core);
DRO_CHECKED dro_err host_keep(core *core);                                /* durable on return, and on the board */
DRO_CHECKED dro_err host_show(core *core);                                /* on the board alone */
DRO_CHECKED dro_err host_apply(core *core, const uint8_t *bytes, size_t length); /* as it came from the board */
/* Why nothing that changes something is taken now, or NULL. */
const char *core_refusal(const core *core);
/* Made if missing. DRO_AGAIN: core 0 makes it, see question_ask; so of host_name_get. */
DRO_CHECKED dro_err domain_get(core *core, const char *name, size_t length, uint32_t *number);
uint32_t domain_find(const core *core, const char *name, size_t length);  /* or NONE */
bool host_name_find(core *core, const char *name, size_t length, uint16_t *number);
DRO_CHECKED dro_err host_name_get(core *core, const char *name, size_t length, uint16_t *number);
dro_err image_table(core *core, uint32_t index);
void host_free(core *core);
application *application_find(core *core, const char *id, size_t length);
application *application_at(core *core, uint32_t number);
bool application_sees(core *core, uint32_t number, uint32_t scopes, uint32_t domain);
void credentials_send(core *core, uint32_t gate, const application *application, bool is_gone);
void credentials_send_all(core *core, uint32_t gate);

/* ---- record.c: changes of a twin, applied and written to the log ---- */
enum record_kind { RECORD_DELTA = 1, RECORD_FULL = 2, RECORD_GONE = 3, RECORD_DUPLICATES = 4, RECORD_DEAD_LETTERS = 5, RECORD_IDEMPOTENCY = 6 };
enum record_field {
    FIELD_EVENT = 1,       /* kind u8, id u32, outcome u8, cpu u32, frame */
    FIELD_PROPERTY = 2,    /* property u16, quality u8, source u8, time i64, value */
    FIELD_REVISION = 3,    /* u64 */
    FIELD_CONTACT = 4,     /* last i64, next i64, why u8, count u8, learned u32, retry i64 */
    FIELD_IDENTITY = 5,    /* domain u32, image u32, id text */
    FIELD_IMSI = 6,        /* digits; empty: removed */
    FIELD_MSISDN = 7,
    FIELD_ALIASES = 8,     /* texts with a NUL each, all of them */
    FIELD_TAGS = 9,        /* as in columns_tags_set, all of them */
    FIELD_MAIL = 10,       /* number u64, ticket u64, merge u32, expires i64, bytes */
    FIELD_MAIL_GONE = 11,  /* number u64 */
    FIELD_TICKET = 12,     /* number u64, is_action u8, index u8, state u8, time i64, made i64, reason length u8, reason, value */
    FIELD_TICKET_GONE = 13,/* number u64 */
    FIELD_TIMER = 14,      /* timer u32, due i64 (-1: gone) */
    FIELD_CONNECTION = 15, /* host u16, realm u16, bearer; empty: gone */
    FIELD_DUPLICATE = 16,  /* host u16, end_to_end u32, result u32 */
    FIELD_NOTIFY = 17,     /* event u16, value */
    FIELD_LOG = 18,        /* level u8, text */
    FIELD_DEAD = 19,       /* domain u32, JSON of the dead letter */
    FIELD_IDEMPOTENT = 20, /* key 32, body 32, made i64, status u16, answer */
    FIELD_STATE = 21,      /* of a full record: flags u8, context revision u64 */
    FIELD_TRAP = 22,       /* reason text: an event of the stream */
    FIELD_NIDD_CONFIGURATION = 23, /* number u64, application u32, made i64, status u8, fields */
    FIELD_NIDD_CONFIGURATION_GONE = 24, /* number u64 */
    FIELD_NIDD_DELIVERY = 25, /* number u64, configuration u64, made i64, expires i64, retry i64, priority i32, status u8, fields */
    FIELD_NIDD_DELIVERY_GONE = 26, /* number u64 */
    FIELD_NOTICE = 27,     /* number u64, configuration u64, made i64, kind u8, fields */
    FIELD_NOTICE_GONE = 28,/* number u64 */
};
typedef struct record record;
/* One record at a time. Changes are applied as they are put. */
void record_begin(core *core, uint32_t twin, int kind);
void record_put(core *core, uint8_t field, const void *bytes, size_t length);
void record_abandon(core *core); /* nothing is written; what was applied is the caller's to undo */
/* The same from parts: returns a builder; then record_put_end. */
dro_builder *record_part(core *core);
void record_part_end(core *core, uint8_t field);
void record_context(core *core, uint32_t slot, const uint8_t *plain, size_t length); /* seals it as the twin's new context; slot: as in vault_binding */
/* Seals and appends; the round it is in. ROUND_NEVER: the log is broken. */
uint64_t record_end(core *core);
uint32_t record_owner(const core *core); /* of the record being written: partition of its twin + 1, or 0 */
dro_err record_replay_any(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length); /* commit_log_replay_fn */
/* Opens a record's fields into `plain` (LOG_RECORD_MAX); for timelines and streams. */
typedef struct record_view {
    int kind;
    uint32_t domain;
    uint64_t twin;
    int64_t time_ms;
    uint64_t event_first;  /* sequence of its first stream event */
    log_place previous;
    const uint8_t *fields;
    size_t fields_length;
    const uint8_t *context;/* sealed */
    size_t context_length;
} record_view;
DRO_CHECKED dro_err record_open(core *core, const uint8_t *bytes, size_t length, uint8_t *plain, record_view *view);
void record_close(record_view *view); /* wipes the fields: identities are among them */
void record_full(core *core, uint32_t twin); /* a full record of the twin as it is; its context is in memory */
void record_full_cold(core *core, uint32_t twin, const uint8_t *sealed); /* the same with the context as it was read */
uint64_t record_twin(const uint8_t *bytes, size_t length); /* whose it is; 0: the host's */
/* The sealed context in a record's bytes (checked by the log), or NULL: not one of this twin. */
const uint8_t *record_sealed_context(const uint8_t *bytes, size_t length, const twin *twin);
record *record_new(void);
bool record_is_event(const dro_field *field); /* one that streams show */
void record_free(record *record);
log_place record_placed(void *context, uint64_t tag, log_place place);
void record_soon(void *context, uint64_t tag);

/* ---- turn.c ---- */
bool twin_is_broken(const core *core, uint32_t twin); /* its image is */
turn *turn_new(core *core, uint32_t twin, uint8_t operation); /* NULL: full, or broken */
dro_err turns_init(core *core);
DRO_CHECKED dro_err turn_event(core *core, turn *turn, uint8_t kind, uint32_t id, const void *payload, size_t length);
void turn_go(core *core, turn *turn);         /* its twin is marked running, its context is there */
void turn_unreadable(core *core, turn *turn, const char *where); /* its context is not: the turn ends */
void turn_line_put(core *core, turn_line *line, turn *turn);
uint32_t turn_line_take(turn_line *line);     /* all of them: the first, or NONE */
uint64_t turn_id(const core *core, const turn *turn); /* what it is called in rings and reads */
void turn_send(core *core, turn *turn);       /* marks the twin running; waits when the cell is away or full */
int turns_send_waiting(core *core);
bool turns_are_full(const core *core);
void turns_publish(core *core);
void turn_free(core *core, turn *turn);
int turns_take(core *core);                   /* results of the cells */
void turns_resend(core *core, uint32_t cell); /* after its cell was lost */
void turns_resend_old(core *core, uint32_t cell);
void turns_gate_lost(core *core, uint32_t gate); /* nobody waits for their answers any more */
deferred *deferred_new(uint32_t gate, const ring_header *header, const uint8_t *body); /* NULL: no memory */
void deferred_free(deferred *late); /* wiped */
DRO_CHECKED dro_err twin_defer(core *core, uint32_t twin, uint32_t gate, const ring_header *header, const uint8_t *body);
void twin_defer_reachable(core *core, uint32_t twin);
void twin_resume(core *core, uint32_t twin);  /* its turn ended: what waited goes on */
void twin_forget(core *core, uint32_t twin);  /* the same, but the twin is gone: those who wait are told */
void message_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body); /* round.c */

/* ---- ahead.c: into the cache before it is needed ---- */
void ahead_record(void *core, int step, const uint8_t *bytes, size_t length); /* commit_log_options.on_ahead */
void ahead_uplinks(core *core, gate_link *gate);   /* of the next AHEAD messages */
bool ahead_knows(const core *core, const char imsi[16], uint64_t *hash); /* of message core->ahead.next */
void ahead_forget(core *core);
int ahead_results(core *core, cell_link *cell);    /* of how many of the next results; 1 at least */

/* ---- mailbox.c ---- */
void mailbox_put(core *core, uint32_t twin, uint64_t ticket, uint32_t merge_key, int64_t expires_ms, const uint8_t *bytes, uint32_t length);
void mailbox_flush(core *core, uint32_t twin);           /* sends the next one if the device may be reached; inside no record */
void mailbox_on_answer(core *core, uint64_t id, const downlink_answer *answer);
void mailbox_expire(core *core, uint32_t twin);
int64_t mailbox_due(const twin *twin);
void ticket_put(core *core, uint32_t twin, const ticket *ticket);
void ticket_move(core *core, uint32_t twin, uint64_t number, ticket_state state, const char *reason);
uint64_t ticket_make(core *core, uint32_t twin, bool is_action, uint8_t index, const value *value, ticket_state state);
ticket *ticket_newest(const twin *twin, uint8_t property);
void waiter_add(core *core, uint32_t twin, uint64_t ticket, ticket_state state, int64_t until_ns, caller caller);
void waiter_add_delivery(core *core, uint32_t twin, uint64_t delivery, int64_t until_ns, caller caller);
bool waiter_is_there(const core *core, uint32_t twin, uint64_t delivery);
void waiters_delivery(core *core, uint32_t twin, uint64_t delivery); /* it ended, or the device sleeps */
void waiters_due(core *core);
void waiters_ticket(core *core, uint32_t twin, uint64_t ticket);
void waiters_gate_lost(core *core, uint32_t gate);

/* ---- network.c ---- */
void network_uplink(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void network_connection(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void network_answer_send(core *core, caller caller, uint32_t result, uint32_t experimental, uint64_t round);
void network_reachable(core *core, uint32_t twin);       /* a turn for the event, once no other runs */
void network_connections_gate_lost(core *core, uint32_t gate);
typedef struct network_release { /* a connection that this host ends, for its MME */
    uint32_t length, gate;       /* length 0: none */
    uint8_t message[sizeof(downlink_request) + 2 * DIAMETER_IDENTITY_MAX];
} network_release;
/* Inside a record: takes the connection away, if there is one; `gone` is to be sent after it. */
void network_release_begin(core *core, uint32_t twin, network_release *gone);
void network_release_send(core *core, network_release *gone, uint64_t round); /* and wipes it */
void contact_heard(core *core, uint32_t twin);           /* an uplink; puts FIELD_CONTACT */
void contact_expect(core *core, uint32_t twin, contact_why why, int64_t next_ms); /* puts FIELD_CONTACT */
bool duplicate_find(const core *core, uint16_t host, uint32_t end_to_end, uint32_t *result);
/* A result and the owner (partition + 1 of its twin, 0: not known) it has for another number of cores. */
enum { DUPLICATE_RESULT_BITS = 19 };
static inline uint32_t duplicate_word(uint32_t result, uint32_t owner)
{
    return (result & ((1u << DUPLICATE_RESULT_BITS) - 1)) | owner << DUPLICATE_RESULT_BITS;
}
static inline uint32_t duplicate_owner(uint32_t word) { return word >> DUPLICATE_RESULT_BITS; }
DRO_CHECKED dro_err duplicate_add(core *core, uint16_t host, uint32_t end_to_end, uint32_t word);

/* ---- authorization.c: see there ---- */
void authorizations_on_answer(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void authorizations_on_update(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void authorizations_due(core *core);
void authorizations_gate_lost(core *core, uint32_t gate);
void authorizations_free(core *core);
bool authorization_lets_connect(core *core, uint32_t twin, const char *apn, size_t length); /* over this APN; "": none is named */

/* ---- peers.c: Diameter nodes, as the gates tell of them ---- */
void peers_update(core *core, uint32_t gate, const uint8_t *body, uint32_t length);
void peers_gate_lost(core *core, uint32_t gate);
/* The gate that has this node open; `usual` if it does, or if none is known to. */
uint32_t peers_gate(const core *core, const char *host, uint32_t usual);
/* Is an HSS among the peers, configured or met, reachable or not? Then it is the authority for NIDD. */
bool peers_have_hss(const core *core);
typedef struct hss_route { /* borrowed from the table of peers */
    const char *host, *realm;    /* of the peer that gets the request; realm "": this host's own, a relay knows the way */
    uint32_t gate;
} hss_route;
bool peers_hss(const core *core, hss_route *route); /* false: none can be reached */

/* ---- timers.c ---- */
DRO_CHECKED dro_err timers_update(core *core, uint32_t twin); /* its earliest due time changed */
void timers_remove(core *core, uint32_t twin);
int timers_due(core *core);
int64_t timers_next(const core *core); /* wall ms, INT64_MAX: none */

/* ---- tell.c: answers, in log order ---- */
/* After `round` is durable (0: now) the message goes to the gate. */
void tell(core *core, uint32_t gate, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length, uint64_t round);
bool outbox_is_full(const outbox *box);
void tell_flush(core *core);
#define ROUND_NEVER UINT64_MAX
uint64_t round_now(core *core); /* what an answer must wait for so that nothing it shows can be lost */
typedef struct reply {
    uint16_t status;
    uint8_t content;
    uint32_t retry_after_s;
    uint64_t etag;
    const char *location;
} reply;
void tell_reply(core *core, caller caller, const reply *reply, const void *body, size_t length);
/* With TS 29.122's "cause"; NULL: none. */
void tell_cause(core *core, caller caller, uint16_t status, const char *cause, const char *format, ...) __attribute__((format(printf, 5, 6)));
void tell_broken(core *core, caller caller, uint32_t image); /* 503 */
void tell_problem(core *core, caller caller, uint16_t status, const char *type, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- api*.c ---- */
void api_request_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
/* A write's, action's, create's or configure's part in the record of its turn: before the
 * effects, after them, after the record; and instead of them when the turn failed. */
void api_turn_begin(core *core, turn *turn);
void api_turn_end(core *core, turn *turn, uint32_t outcome);
void api_turn_failed(core *core, turn *turn, const char *reason);
void api_turn_done(core *core, turn *turn);
void api_put_write(core *core, const turn *turn);
/* Did another twin take a name of the PUT while its turn ran? Then a 409 is on its way. */
bool api_put_is_taken(core *core, const turn *turn);
void api_put_answer(core *core, caller caller, uint32_t twin, bool is_new);
bool api_put_is_new(const turn *turn);
void api_put_idempotency(core *core, const uint8_t (*keys)[32], uint32_t twin, uint16_t status); /* inside a record */
void api_create_failed(core *core, turn *turn, const char *reason);
void api_ticket_json(core *core, const twin *twin, const ticket *ticket, dro_builder *out);
void api_admin(core *core, caller caller, const struct api_request *request, const uint8_t *fields, size_t length);
void put_free(struct put *put);
void api_put_end(core *core, struct put *put); /* and gives up what it claimed and no twin has; NULL is fine */

/* ---- stream.c ---- */
void streams_subscribe(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void streams_unsubscribe(core *core, uint32_t gate, uint64_t id);
void streams_credit(core *core, uint32_t gate, uint64_t id, uint64_t passed);
void streams_gate_lost(core *core, uint32_t gate);
void streams_record(core *core, const record_view *view, uint64_t round); /* a record just written */
int streams_catch_up(core *core);
void streams_mark(core *core, uint64_t sequence, log_place place);

/* ---- host tables: idempotency keys, dead letters ---- */
void idempotent_replay(core *core, const dro_field *field);
void dead_letter_replay(core *core, const dro_field *field);
const idempotent *idempotent_find(core *core, const uint8_t key[32]);
void idempotent_put(core *core, const uint8_t key[32], const uint8_t body[32], uint16_t status, const void *answer, size_t length); /* inside a record */
void dead_letter_keep(core *core, uint32_t domain, const char *json, size_t length);
/* A field of a record of the host's own tables: of a dump, or the marks of its begin and end. */
dro_err host_table_replay(core *core, int kind, const dro_field *field);
void host_tables_free(core *core);
void dumps_forget(core *core); /* those that a crash left unfinished */
void host_tables_write(core *core);

/* ---- timeline.c ---- */
size_t timeline_json(core *core, uint32_t twin, uint32_t limit, char *out, size_t capacity);
size_t history_json(core *core, uint32_t twin, uint32_t property, uint32_t limit, char *out, size_t capacity);

/* ---- core.c ---- */
void core_settle(core *core);   /* waits until all that is written is durable */
dro_err core_submit(core *core);

/* ---- cold.c: contexts in the log only ---- */
bool context_may_leave(void *core, const context *context);
/* Room in memory for a twin's sealed context of `length` bytes (0: none); what was in it is gone. False: no memory. */
DRO_CHECKED bool context_room(core *core, uint32_t twin, uint32_t length);
void context_cool(core *core, uint32_t twin, log_place place, uint32_t length); /* it is there and not in memory */
void context_forget(core *core, twin *twin);
void context_placed(twin *twin, log_place place); /* the newest record that has it found its place */
const char *context_where(log_place place, char text[64]); /* where a context should be: for the log and whoever asked */
void cold_wait(core *core, turn *turn);       /* until its context was read */
void cold_start(core *core);                  /* reads of those that wait */
int cold_take(core *core);                    /* contexts that came */
DRO_CHECKED dro_err cold_rewrite(core *core, uint32_t twin); /* reads the context, then writes a full record. DRO_AGAIN: not now */

/* ---- checkpoint.c ---- */
int checkpoint_step(core *core);
uint64_t checkpoint_live_bytes(const core *core); /* what a log of nothing but what lives would take, about */
void base_move(core *core, twin *twin, uint32_t segment); /* its newest full record lies there now; 0: nowhere */
uint32_t base_count(const core *core, uint32_t segment);

/* ---- backup.c ---- */
int backup_step(core *core);
void backup_end(core *core, const char *why); /* NULL: it was wanted */
void backup_gate_lost(core *core, uint32_t gate);
/* The oldest segment that it still has to read; UINT32_MAX: any may go. */
uint32_t backup_segment_first(const core *core);
int64_t backup_due_ns(const core *core); /* when there is something to do for it; -1: no backup runs */

/* ---- render.c ---- */
void json_put(dro_builder *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_string(dro_builder *out, const char *text);
void json_time(dro_builder *out, int64_t ms); /* quoted, or null for COLUMNS_NEVER */
void render_property(core *core, const twin *twin, uint32_t property, dro_builder *out);
void render_twin(core *core, uint32_t index, dro_builder *out);
