/* Changes of a twin, applied and written to the log: one record at a time is open, of one twin (or
 * of the core's own tables). The builder's bytes belong to the record until record_end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/core.h"
#include "store/commit_log.h"

typedef struct twin twin;

enum record_kind { RECORD_DELTA = 1, RECORD_FULL = 2, RECORD_GONE = 3, RECORD_DUPLICATES = 4, RECORD_DEAD_LETTERS = 5, RECORD_IDEMPOTENCY = 6, RECORD_GROUPS = 7, RECORD_CHUNK = 8 };
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
    FIELD_RATES = 30,      /* uplink u32, downlink u32, apn text; empty: none */
    FIELD_MAIL_RAW = 29,   /* number u64, delivery u64, expires i64: its bytes are the delivery's */
    FIELD_CHUNK = 31,      /* the first field of a chunk: core/chunks.c */
    FIELD_CHUNKS = 32,     /* of a full record: mail u16, deliveries u16, bytes u32, due i64, newest mail u64, newest delivery u64,
                              next id u32, of each chunk: place u64, id u32, bytes u32 */
    FIELD_CHUNKS_SPENT = 33, /* nothing of its chunks is valid any more */
    FIELD_GROUP = 40,      /* group u32, newest operation when it joined u32 */
    FIELD_GROUP_GONE = 41, /* group u32 */
    FIELD_GROUP_STATE = 42,/* operation u32, group_state u8, version u8 */
    FIELD_GROUP_TOLD = 44, /* operation u32: all results of it on this core; of no twin */
    FIELD_PASSED = 61,     /* empty: the frame of its event passed as it came, no code saw it. An event of the stream */
    FIELD_USAGE = 60,      /* slot u32, day u32, downlinks u32: of an application that day so far, on this core; of no twin */
    FIELD_REPORT = 80,     /* number u64, exposure u64, told_kind u8, fields of a MonitoringEventReport: core/report.c. An event of the stream */
    FIELD_REPORTS_HEARD = 81, /* of a full record: numbers u64 of the newest reports, oldest first */
    FIELD_RDS = 45,        /* core/rds.c: pending u64, its link u8, links; empty: none */
    FIELD_RDS_PORT = 47,   /* configuration u64, port of the device u8, own u8, flags u8, formats u8, configured u8, application text */
    FIELD_RDS_PORT_GONE = 48, /* port of the device u8, own u8 */
    FIELD_RDS_MAIL = 46,   /* as FIELD_MAIL: a frame of the reliable data service itself */
    FIELD_SCHEDULE = 100,  /* core/schedule.c; empty: none */
    FIELD_SERVING = 110,   /* flags u8, PLMN 3 octets, RAT u32, charging id u32, three texts with length u8, peer it came through; empty: nothing */
    FIELD_CONNECTION_REFUSED = 112, /* result u32, connection_refusal u8, node text: nothing of the twin's */
    FIELD_CHARGED = 121,   /* number u64: charges owed up to this one have their record; of no twin */
    FIELD_AUDIT = 140,     /* twin/audit.h: a note of the audit log; of no twin */
    FIELD_AUDITED = 141,   /* numbers u64*: what was owed under them has its record; of no twin */
    FIELD_AUDIT_HEAD = 142, /* series u64, sequence u64, hash 32: how far the audit files were; of no twin */
    FIELD_CHARGE = 120,    /* core/charge.h: nothing of the twin's */
    FIELD_EXPOSURE = 64,   /* number u64, reference u32, application u32, made i64, until i64, reports u32, kind u8, status u8, fields */
    FIELD_EXPOSURE_GONE = 65, /* number u64 */
    FIELD_EXPOSURE_NEWS = 66, /* exposure u64, number u64, fields: to be told of a group's; of no twin */
    FIELD_EXPOSURE_NEWS_GONE = 67, /* exposure u64, number u64: all up to this one were told; of no twin */
    FIELD_FAREWELL = 68,   /* core/farewell.h: number u64, until i64, group u32, reference u32, gone u32, kind u8, fields; of no twin, or of one that goes */
    FIELD_FAREWELL_GONE = 69, /* number u64; the same */
    FIELD_PENALTY = 130,   /* core/conduct.h: strikes u8, level u8, status u8, at i64, until i64; empty: none */
    FIELD_OF_DOMAIN = 131, /* domain u32, tag u8, sealed under its key: a field of one of the host's tables that tells of its twins */
    FIELD_GROUP_MAIL = 43, /* number u64, operation u64, expires i64: a mail whose bytes are the operation's */
};

typedef struct record record;
/* One record at a time. Changes are applied as they are put; not those of a chunk. One that does not apply (a limit, no memory) is left out. */
void record_begin(core *core, uint32_t twin, int kind);
void record_put(core *core, uint8_t field, const void *bytes, size_t length);
void record_abandon(core *core); /* nothing is written; what was applied is the caller's to undo */
/* The same from parts: returns a builder; then record_put_end. */
dro_builder *record_part(core *core);
void record_part_end(core *core, uint8_t field);
/* The same in a record of the host's, readable as long as that domain's key is there. */
void record_part_end_of(core *core, uint8_t field, uint32_t domain);
/* The field in a FIELD_OF_DOMAIN; `plain` has room for as many bytes as it has. DRO_NOT_FOUND: its key is destroyed. */
DRO_CHECKED dro_err record_field_of(core *core, const dro_field *sealed, uint8_t *plain, dro_field *field);
uint32_t record_domain(const core *core); /* of the twin whose record is being written; 0: the host's */
void record_context(core *core, uint32_t slot, const uint8_t *plain, size_t length); /* seals it as the twin's new context; slot: as in vault_binding */
/* Seals and appends; the round it is in. ROUND_NEVER: the log is broken. */
uint64_t record_end(core *core);
bool record_is_open(const core *core);
uint32_t record_owner(const core *core); /* of the record being written: partition of its twin + 1, or 0 */
dro_err record_replay_any(void *context, uint32_t group, log_place place, const uint8_t *bytes, size_t length); /* commit_log_replay_fn */

/* In the thread that reads the log: opens a record where it lies, for record_replay_any. By core->reading_vault. */
void record_read(void *context, uint8_t *bytes, size_t length); /* commit_log_options.on_read */

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
    uint8_t key_tag;       /* of the key that sealed its fields (vault_sealed_tag) */
} record_view;
DRO_CHECKED dro_err record_open(core *core, const uint8_t *bytes, size_t length, uint8_t *plain, record_view *view);
void record_close(record_view *view); /* wipes the fields: identities are among them */
void record_full(core *core, uint32_t twin); /* a full record of the twin as it is; its context is in memory */
void record_full_cold(core *core, uint32_t twin, const uint8_t *sealed); /* the same with the context as it was read */
/* Of the record being written: its fields so far, how long it would be; many fields at once, of a chunk. */
const uint8_t *record_fields(const core *core, size_t *length);
size_t record_size(const core *core);
void record_put_fields(core *core, const uint8_t *fields, size_t length);
void record_is_charged(core *core);       /* the record being written has a FIELD_CHARGE */
void record_is_noted(core *core);         /* a FIELD_AUDIT */
bool record_has_notes(const uint8_t *bytes, size_t length); /* as below */
bool record_has_charges(const uint8_t *bytes, size_t length); /* may it? Told without opening it */
uint64_t record_twin(const uint8_t *bytes, size_t length); /* whose it is; 0: the host's */
/* The sealed context in a record's bytes (checked by the log), or NULL: not one of this twin. */
const uint8_t *record_sealed_context(const uint8_t *bytes, size_t length, const twin *twin);
record *record_new(void);
bool record_is_event(const dro_field *field); /* one that streams show */
void record_free(record *record);
log_place record_placed(void *context, uint64_t tag, log_place place);
void record_soon(void *context, uint64_t tag);
