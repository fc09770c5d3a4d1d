/* Non-IP data delivery (TS 29.122, 4.4.5): what applications keep at a twin.
 *
 * A configuration says which application is told of the device's uplinks, and where.
 * A delivery is one downlink of an application; its bytes wait in the twin's mailbox
 * as those of commands do (mail.ticket holds the delivery's number). A notice is one
 * notification on its way to an application: part of the record of what it tells, so
 * neither is there without the other; it leaves after its round and is kept until the
 * application has taken it. */
#pragma once

#include "base/builder.h"
#include "base/fields.h"
#include "core/host.h"
#include "core/index.h"
#include "core/orphans.h"
#include "core/owners.h"
#include "core/rds_sign.h"
#include "core/turn.h"
#include "twin/nidd.h"
#include "twin/ticket.h"

typedef struct twin twin;
typedef struct mail mail;

typedef struct nidd_configuration {
    struct nidd_configuration *next; /* of the twin, oldest first */
    uint64_t number;             /* names it in paths; the twin's partition on top */
    int64_t made_ms, until_ms;   /* INT64_MAX: without end */
    int64_t granted_ms, renew_ms; /* an HSS's grant ends then, is asked for again then; INT64_MAX: does not, is not */
    uint8_t renewals;            /* that came to nothing, in a row */
    uint32_t application, destination;
    uint8_t status, pdn_establishment_option;
    bool is_by_msisdn;
    bool is_reliable;            /* reliableDataService: core/rds.h */
    uint16_t length;
    uint8_t fields[];            /* as the application gave them; APN and grant */
} nidd_configuration;

typedef struct nidd_delivery {
    struct nidd_delivery *next;  /* of the twin, oldest first */
    uint64_t number, configuration;
    int64_t made_ms, expires_ms;
    int64_t retry_ms;            /* Requested-Retransmission-Time; 0: none */
    int32_t priority;
    uint8_t status;              /* nidd_delivery_status; while its bytes are out: what it was before */
    bool is_awaited;             /* the twin will say whether the device has it */
    bool is_in_chunk;            /* a chunk of the log has it too, as it is */
    uint16_t mail_count;         /* in memory, that is for it */
    uint16_t length;
    uint8_t fields[];            /* as the application gave them */
} nidd_delivery;

typedef struct notice {
    struct notice *next;         /* of the twin, oldest first */
    struct notice *after, *before; /* of its destination: later, earlier */
    uint64_t number, configuration;
    int64_t made_ms;
    uint32_t twin, destination;
    uint32_t slot;               /* of core->nidd.sent, NONE: not under way */
    uint8_t kind;                /* enum notice_kind */
    uint16_t length;
    uint8_t bytes[];             /* fields of a MESSAGE_NOTICE */
} notice;

typedef struct nidd {            /* of one twin */
    nidd_configuration *configurations;
    nidd_delivery *deliveries;
    struct exposure *exposures;  /* core/exposure.h */
    struct reports_heard *heard; /* core/report.h; NULL: none yet */
    notice *notices, *notices_last;
    uint16_t configuration_count, delivery_count, notice_count, exposure_count;
    uint32_t notice_bytes, exposure_bytes;
    uint32_t ended_bytes;        /* of deliveries that have ended */
    uint16_t awaited_count;      /* of deliveries for which the twin's word is awaited */
    nidd_delivery *found;        /* the last one that was looked for: the next one is it again, or behind it */
} nidd;

typedef struct destination {     /* where notices go */
    char *link;                  /* NULL: unused slot */
    uint32_t references, sent;   /* sent: under way */
    struct notice *first, *last; /* oldest, newest */
    struct notice *next;         /* the oldest that may go; NULL: none */
    int64_t retry_ns;            /* a pause until then; 0: none */
    uint32_t next_free, next_ready;
    uint8_t failures;            /* in a row */
    bool is_ready, is_websocket;
    bool is_held;                /* by the websocket: this core may hear of it before it hears of its configuration */
    uint32_t gate;               /* of a websocket: where it is; NONE: the application is not connected */
    uint64_t socket;             /* what that gate calls it */
    int64_t since_ns;            /* of one that was told of */
} destination;

typedef struct nidd_table {      /* of all twins */
    index_table configurations, links;
    bool is_recovered;           /* until then all that is on the log has a destination: of other numbers of cores there may be more */
    owner_table owners;
    orphans orphans;
    uint64_t next;               /* number of the next configuration, delivery or notice */
    uint64_t configuration_count, notice_count, notice_bytes;
    destination *destinations;
    uint32_t destination_count, destination_capacity, destination_free;
    uint32_t ready_first, ready_last;
    int64_t retry_ns;            /* the earliest end of a pause */
    struct notice_slot { struct notice *notice; uint32_t serial, gate, next_free; } *sent; /* [NOTICES_SENT_MAX] */
    uint32_t sent_free, sent_count;
} nidd_table;

enum { NIDD_LIST_PAGE = 24 * 1024 };     /* bytes from which a page of a list is full */
#define NIDD_LIST_GROUPS (1ull << 62)     /* in a list behind all of devices: those of groups, by their place */

/* ---- nidd.c ---- */
void nidd_init(core *core);
nidd *nidd_get(twin *twin);                   /* made if missing; NULL: no memory */
nidd_configuration *nidd_configuration_find(core *core, uint64_t number, uint32_t *twin); /* or NULL */
nidd_delivery *nidd_delivery_find(const twin *twin, uint64_t number);                     /* or NULL */
/* What the device's bytes of a delivery are doing now. */
/* Inside a record: the trigger for those that wait came to nothing; they wait on, and their applications hear it. */
void nidd_deliveries_untriggered(core *core, uint32_t twin);
nidd_delivery_status nidd_delivery_now(const twin *twin, const nidd_delivery *delivery);
mail *nidd_mail(const twin *twin, uint64_t delivery, mail *after); /* the next one of a delivery; NULL: none */
uint32_t nidd_ended_bytes(const twin *twin); /* of those that have ended and are in memory */
/* Inside a record. */
void nidd_configuration_put(core *core, uint64_t number, uint32_t application, int64_t made_ms, nidd_status status,
                            const uint8_t *fields, size_t length);
/* Inside a record: it has ended, its application is told. What waits for it ends too where the device is not its any more. */
void nidd_configuration_end(core *core, uint32_t twin, nidd_configuration *configuration, nidd_status status);
/* When a grant of that time is asked for again; INT64_MAX: it has no end. */
int64_t nidd_renewal_ms(int64_t granted_ms, int64_t authorized_ms);
int64_t nidd_renewal_pause_ms(uint8_t *renewals);  /* after one more that came to nothing */
void nidd_configuration_put_off(const core *core, nidd_configuration *configuration); /* the HSS is asked again later */
void nidd_delivery_put(core *core, const nidd_delivery *delivery, const uint8_t *fields, size_t length);
void nidd_delivery_end(core *core, uint32_t twin, uint64_t number, nidd_delivery_status status);
/* It was for now only, or is too large to be kept: the device was not reached. */
bool nidd_may_wait(const core *core, const nidd_delivery *delivery);
void nidd_delivery_fail(core *core, uint32_t twin, uint64_t number, int64_t retry_ms);
void nidd_mail_gone(core *core, const twin *twin, uint64_t delivery); /* all that waits of it */
void nidd_loaded(core *core, uint32_t twin);   /* its queue was read: what may not go any more ends */
bool nidd_has_awaited(const twin *twin);
/* What the twin says of one; `number`: of the delivery, or the id of its event (nidd_event_id). */
void nidd_delivery_report(core *core, uint32_t twin, uint64_t number, ticket_state state);
static inline uint32_t nidd_event_id(uint64_t number) { return (uint32_t)number; }
void nidd_delivery_wait(core *core, uint32_t twin, uint64_t number, int64_t retry_ms); /* the device sleeps */
void nidd_uplink(core *core, uint32_t twin, const uint8_t *data, size_t length, const rds_sign *sign); /* tells who wants to know */
void nidd_identity_put(dro_builder *out, const nidd_configuration *configuration); /* as its application named the device */
void nidd_full(core *core, const twin *twin, bool is_before_mail);
/* Fields of records. */
DRO_CHECKED dro_err nidd_apply(core *core, uint32_t twin, const dro_field *field);
void nidd_free(core *core, uint32_t twin);    /* all of it: the twin goes, or a full record says it anew */
int64_t nidd_due(const twin *twin);           /* when something ends; INT64_MAX: nothing */
void nidd_expire(core *core, uint32_t twin);
bool nidd_delivery_take(core *core, uint32_t twin, uint64_t number); /* out of memory. False: it is not there */
static inline size_t nidd_delivery_memory(const nidd_delivery *delivery) { return sizeof *delivery + delivery->length; }
/* In a record: the configuration goes, and all that waits for it. */
void nidd_configuration_gone(core *core, uint32_t index, uint64_t number);
void nidd_trim(twin *twin);                   /* given back when nothing is in it */
void nidd_fini(core *core);
/* "/3gpp-nidd/v1/as1/configurations/6250000040000000", and a delivery's behind it (0: none). `owner` NULL: it is gone. */
void nidd_path_write(const application *owner, uint64_t configuration, uint64_t delivery, dro_builder *out);
/* The field of a list of fields; NULL: absent. */
const dro_field *nidd_field(const uint8_t *fields, size_t length, uint32_t tag, dro_field *room);

/* ---- notice.c ---- */
DRO_CHECKED dro_err destination_get(core *core, const char *link, size_t length, uint32_t *number); /* made if missing; counted */
void destination_release(core *core, uint32_t number);
/* Inside a record: to who made the configuration. Dropped and counted where too many wait. */
void notice_put(core *core, uint32_t twin, const nidd_configuration *configuration, uint8_t kind, const uint8_t *fields, size_t length);
/* The same by the number of a configuration, which may be a group's. */
void notice_put_of(core *core, uint32_t twin, uint64_t configuration, uint8_t kind, const uint8_t *fields, size_t length);
/* Of a group: not durable, the caller keeps it until group_notice_gone. NULL: no memory. */
notice *notice_of_group(core *core, uint32_t destination, uint64_t configuration, uint8_t kind, const uint8_t *fields, size_t length);
void notice_group_free(core *core, notice *gone);
DRO_CHECKED dro_err notice_apply(core *core, uint32_t twin, dro_cursor *in);
void notice_apply_gone(core *core, uint32_t twin, uint64_t number);
void notice_full(core *core, const notice *notice);
int notices_send(core *core);
void notices_on_answer(core *core, uint64_t id, const notice_answer *answer);
/* The application is connected: what waits goes there. Another websocket that was there before is told so. */
void destinations_go_on(core *core); /* what was held back may go */
void destination_connect(core *core, uint32_t number, uint32_t gate, uint64_t socket);
/* The same of a group's configuration, whose websocket asked core 0. */
void destination_on_here(core *core, uint32_t gate, const struct websocket_here *here);
void destination_on_gone(core *core, uint32_t gate, const struct websocket_gone *gone);
/* Where a configuration's notices go by its fields: the websocket where the application asked for one, else its link. */
DRO_CHECKED dro_err destination_of_fields(core *core, uint64_t configuration, const uint8_t *fields, size_t length, uint32_t *number);
bool nidd_wants_websocket(const uint8_t *fields, size_t length);
/* "websocket:" and the configuration's number: one for each configuration. */
size_t destination_websocket(uint64_t configuration, char out[NIDD_WEBSOCKET_TEXT + 1]);
void notices_gate_lost(core *core, uint32_t gate);
int64_t notices_due_ns(const core *core);     /* when a destination is tried again, INT64_MAX: never */
DRO_CHECKED dro_err notices_init(core *core);
void notices_fini(core *core);

/* ---- api_nidd_delivery.c: a delivery's part in the record of its turn ---- */
typedef struct nidd_request {    /* what a turn carries: a delivery being made or changed */
    uint64_t configuration, number;
    uint32_t application;
    bool is_new, is_first;       /* first: it came with its configuration, which is the answer */
    int64_t expires_ms;
    int32_t priority;
    uint16_t length;
    uint8_t fields[];
} nidd_request;
void nidd_turn_begin(core *core, turn *turn);
void nidd_turn_end(core *core, turn *turn, uint32_t outcome);
void nidd_turn_failed(core *core, turn *turn);
void nidd_turn_done(core *core, turn *turn);
void nidd_delivery_answer(core *core, caller caller, uint32_t twin, uint64_t number);
