/* Exposures: what applications have at a twin or a group over T8 (TS 29.122) beside non-IP data delivery: monitoring
 * subscriptions, triggers, communication patterns, network parameters. What each is made of is a table (twin/t8.h), how
 * requests for it are taken is api_exposure.c with the hooks of its class.
 *
 * Of a twin it is a field of its records, of a group a row of the host's tables: core 0 writes those, the others follow.
 * Where the network has a part of it, the two know it by its reference: of a twin its partition in the upper 12 bits, so
 * that any number of cores finds it, of a group 0 there and bit 19. Never 0, and not used again soon. */
#pragma once

#include "base/builder.h"
#include "core/host.h"
#include "core/index.h"
#include "core/owners.h"
#include "twin/t8.h"

typedef struct call call;
typedef struct twin twin;
struct group;
struct notice;
struct inquiry_said;
struct inquiry;

typedef enum exposure_status {
    EXPOSURE_ACTIVE,
    EXPOSURE_ENDING,             /* its application does not have it any more; the network is still to be told */
    EXPOSURE_OVER,               /* it has ended; goes once its application has taken all notifications of it */
    EXPOSURE_MAKING,             /* the host's own, of no application: the network is still to be asked for it */
    EXPOSURE_STATUSES,
} exposure_status;

typedef struct exposure {
    struct exposure *next;       /* of the twin, oldest first */
    uint64_t number;             /* names it in paths; the twin's partition on top, or group_number */
    uint32_t reference;          /* in the network */
    uint32_t application;        /* 0: the host's own, which nobody sees over T8 */
    uint32_t destination;        /* NONE: nothing is told of it */
    uint32_t group;              /* number; 0: of a twin */
    uint32_t reports;            /* of the network so far */
    int64_t made_ms, until_ms;   /* INT64_MAX: without end */
    int64_t retry_ms;            /* ENDING, MAKING: the network is told or asked (again) then. Not durable */
    uint8_t retries;
    uint8_t kind, status;        /* exposure_kind, exposure_status */
    bool is_asked;               /* a question to the network that ends it is under way. Not durable */
    bool is_listed;              /* of a group, while tables are taken */
    struct exposure_news *news;  /* of a group: what waits to be told, on core 0; NULL: nothing did */
    uint16_t length;
    uint8_t fields[];            /* as the application gave them and the network has changed them: twin/t8.h */
} exposure;

typedef struct exposure_table {
    index_table numbers, references; /* -> twins */
    owner_table owners[EXPOSURE_KINDS];
    exposure **of_groups;        /* [GROUP_EXPOSURES_MAX], NULL before the first */
    uint32_t group_high, group_count;
    uint32_t news_count;         /* reports about groups that wait to be told */
    uint64_t count;              /* of twins */
    uint32_t reference_next;
    uint32_t agreed;             /* the network has this one, while the request that waited for it is taken up again; */
    bool is_done;                /* that was kept, or came to its end without an exposure: nothing of it is to be taken back there */
} exposure_table;

/* ---- exposure.c ---- */

void exposures_init(core *core);
void exposures_fini(core *core);
void exposures_settle(core *core); /* all records are read */
/* By its number: of a twin, or of a group (*twin NONE then). NULL: not there. */
exposure *exposure_find(core *core, uint64_t number, uint32_t *twin);
exposure *exposure_find_reference(core *core, uint32_t reference, uint32_t *twin);
exposure *exposure_of(const twin *twin, uint64_t number);
exposure *exposure_of_group(const core *core, uint64_t number); /* or of nobody; NULL: not there */
static inline bool exposure_reference_is_of_group(uint32_t reference) { return reference >> 19 == 1; }
uint32_t exposure_reference_new(core *core, const twin *twin); /* NULL: for a group */
uint64_t exposure_number_new(core *core, const twin *twin);
bool exposure_has_room(const twin *twin);
bool exposure_may_change(const twin *twin, const exposure *old); /* into one as large as any */

/* Inside a record of the twin. A new one, or one with that number anew: `head` says all but the links and the destination. */
void exposure_put(core *core, const exposure *head, const uint8_t *fields, size_t length);
void exposure_status_put(core *core, exposure *changed, exposure_status status);
void exposure_count_put(core *core, exposure *changed, uint32_t reports); /* with EXPOSURE_OVER where `reports` says so itself */
/* It goes at once, with what was to be told of it. */
void exposure_gone(core *core, uint32_t twin, uint64_t number);
/* It has ended by itself: goes when all is told. */
void exposure_over(core *core, uint32_t twin, exposure *ended, const char *why); /* as exposure_charge */
/* It was made, changed or is over: "made", "changed", "removed" by its application, "expired", "completed" by its last report, "cancelled" by
 * the network. Of a twin inside its record; of a group on core 0, before groups_keep. Once, while it is ACTIVE. */
void exposure_charge(core *core, uint32_t twin, const exposure *of, const char *result);
/* To its application: fields of its api's notice object. */
void exposure_notice(core *core, uint32_t twin, const exposure *of, const uint8_t *fields, size_t length);
/* The notice of that number goes, in the same record: was it the last one of an exposure that is over? */
void exposure_notice_gone(core *core, uint32_t twin, uint64_t exposure);

/* Of a FIELD_EXPOSURE; EXPOSURE_KINDS: it is none. */
uint32_t exposure_field_kind(const dro_field *field);
/* Of a FIELD_EXPOSURE; its fields are what is left. */
DRO_CHECKED dro_err exposure_head_read(dro_cursor *in, exposure *head);
/* Who it is about, as its application named them, into a question to the network. */
void exposure_put_subject(dro_builder *out, const uint8_t *fields, size_t length);

DRO_CHECKED dro_err exposure_apply(core *core, uint32_t twin, const dro_field *field);
void exposures_full(core *core, const twin *twin);
void exposures_free(core *core, uint32_t twin);            /* the twin goes, or a full record says all anew */
int64_t exposures_due(const twin *twin);
void exposures_expire(core *core, uint32_t twin);
/* Nobody of the network heard that it is over: told again later, later each time. */
void exposure_put_off(core *core, exposure *of);
void exposures_forsaken(core *core, uint32_t twin);        /* inside the record in which it goes: the network is told until it has answered */
/* "/3gpp-monitoring-event/v1/as1/subscriptions/6250000040000000"; 0: the collection's. */
void exposure_path_write(const application *owner, uint8_t kind, uint64_t number, dro_builder *out);

/* Its application ends it: it is gone, or ENDING until the network was told. `call` is answered then; NULL: nobody waits. */
void exposure_end(core *core, uint32_t twin, exposure *ended, const call *call);

/* ---- exposure_group.c ---- */

/* Core 0, durable with groups_keep. The exposure of that number is another one then. */
DRO_CHECKED dro_err exposure_group_put(core *core, const exposure *head, const uint8_t *fields, size_t length, exposure **out);
void exposure_group_remove(core *core, exposure *gone);
void exposure_group_gone(core *core, exposure *gone);       /* and kept; core 0 */
void exposure_group_end(core *core, exposure *ended, const call *call); /* as exposure_end */
bool exposure_group_has(const core *core, uint32_t group);   /* is any there of that group? */
void exposure_groups_of(core *core, uint32_t group);         /* core 0: the group goes, so do its exposures */
bool exposure_groups_orphaned(core *core);                  /* core 0: those whose application is gone end; true: some did */
enum { HOST_EXPOSURE = 40 };
void exposure_groups_write(const core *core, dro_builder *out);
DRO_CHECKED dro_err exposure_groups_read(core *core, const dro_field *field);
void exposure_groups_follow_begin(core *core);
void exposure_groups_follow_end(core *core);

/* ---- exposure_news.c: core 0 ---- */

/* Inside a record of no twin (RECORD_GROUPS): fields of the api's notice object, all of them lists. False: too much waits. */
bool exposure_news_put(core *core, exposure *of, const uint8_t *fields, size_t length);
void exposure_news_replay(core *core, const dro_field *field);
void exposure_news_write(core *core);                      /* with the host's tables of this core */
void exposure_news_gone(core *core, const struct notice *gone); /* taken, or given up */
void exposure_news_free(core *core, exposure *of);
void exposure_news_fini(exposure *of);                     /* the core goes */
void exposure_test(core *core, exposure *made);            /* a test notification of a group's */
int exposures_groups_step(core *core);
int64_t exposures_groups_due(const core *core);                 /* INT64_MAX: nothing is to be done */

/* ---- api_exposure.c ---- */

typedef struct exposure_call {   /* a request that makes or changes one, or ends it */
    const call *call;
    const application *owner;
    uint32_t twin;               /* NONE: of a group */
    struct group *group;         /* or NULL */
    const exposure *old;         /* NULL: it is being made */
    const uint8_t *fields;       /* as it is to be; when it ends as it was */
    size_t length;
} exposure_call;

/* What is particular to a kind. Any may be NULL but `api`. */
typedef struct exposure_class {
    const t8_api *api;
    /* May it be so? False after a problem. */
    bool (*is_good)(core *core, const exposure_call *wanted);
    /* Before it is made or changed. True: the network is asked and the request waits, or it was refused. When the request
     * is taken up again core->said holds the network's word. */
    bool (*asks)(core *core, const exposure_call *wanted);
    /* Nothing but the record is left to do: what else `head` (its reference, ...) and `fields` are to have. False after a
     * problem, or where the call was answered without a resource. */
    bool (*made)(core *core, const exposure_call *wanted, exposure *head, dro_builder *fields);
    /* Inside the record that made or changed it. */
    void (*kept)(core *core, uint32_t twin, exposure *kept);
    /* Its application ends it (the call is NULL where nobody waits: it has lost its application). It is ENDING and durable;
     * the hook sees to it that exposure_gone comes, at once or later. NULL: it goes at once. */
    void (*ends)(core *core, uint32_t twin, exposure *ended, const call *call);
    /* Its time is over. NULL: as an end by its application. */
    void (*expires)(core *core, uint32_t twin, exposure *ended);
    /* MAKING, and its time has come: asks the network. */
    void (*begins)(core *core, uint32_t twin, exposure *made);
    /* The twin goes, and the exposure with it: inside that record; what the network is to be told is a farewell. */
    void (*forsaken)(core *core, const twin *twin, const exposure *lost);
    /* The network says something of it on its own; `fields` of a MESSAGE_NETWORK_REPORT. Inside a record: of the twin; of a group's exposure of
     * none on core 0, and of the member's twin too. That a group's has ended as a whole: in no record. NULL: nothing is done. */
    void (*told)(core *core, uint32_t twin, exposure *of, enum told_kind kind, const uint8_t *fields, size_t length);
    /* Members that are not in its fields, each with a comma in front. */
    void (*write)(core *core, const exposure *shown, dro_builder *out);
    /* When it ends by its fields; INT64_MAX: never. */
    int64_t (*until)(const uint8_t *fields, size_t length);
    /* Seconds between two notifications of a group's. NULL: 0. */
    int64_t (*guard_s)(const uint8_t *fields, size_t length);
} exposure_class;
extern const exposure_class *const exposure_classes[EXPOSURE_KINDS];

/* ---- api_monitoring.c ---- */

extern const exposure_class monitoring_class;
const char *monitoring_type_text(const exposure *of);
/* Inside a record of the twin: a report of the network about a subscription of its own (fields of monitoring_report_field);
 * told, counted, and the last one ends it. */
void monitoring_report(core *core, uint32_t twin, exposure *of, const uint8_t *report, size_t length);
/* The same: the device can be reached now, as it could before at `before_ms`. For those that no network watches. */
void monitoring_contact(core *core, uint32_t twin, int64_t before_ms);
/* The same: the network has ended it. */
void monitoring_cancel(core *core, uint32_t twin, exposure *of);
/* About a group's: core 0, inside a record of no twin (RECORD_GROUPS). `member`: REPORT_ID or REPORT_MSISDN. */
void monitoring_group_report(core *core, exposure *of, const dro_field *member, const uint8_t *report, size_t length);
void monitoring_group_cancel(core *core, exposure *of, const dro_field *member); /* NULL: of all; not in a record then */
void monitoring_group_result(core *core, exposure *of, const dro_field *member, bool is_roaming); /* a member that is not watched */

/* ---- api_exposure.c ---- */

void api_twin_exposures(core *core, const call *call); /* of a device, of all applications that the caller may see */
void api_exposure_list(core *core, const call *call);
void api_exposure_make(core *core, const call *call);
void api_exposure_get(core *core, const call *call);
void api_exposure_put(core *core, const call *call);
void api_exposure_patch(core *core, const call *call);
void api_exposure_delete(core *core, const call *call);
void api_exposure_websocket(core *core, const call *call);
/* Has the twin room for `old` with other fields? False after a problem. */
bool exposure_fits(core *core, const call *call, uint32_t twin, const exposure *old);
/* The one that the call names, if it is the caller's; else NULL after a problem. */
exposure *exposure_called(core *core, const call *call, uint32_t *twin);
void exposure_json(core *core, const exposure *shown, dro_builder *out);
/* The network is asked to end it: `asked` has kind, fields and done. The call (or NULL) waits for the word, or is answered 204 where
 * nothing can be asked now; it is asked again later then. */
void exposure_end_ask(core *core, uint32_t twin, exposure *of, const call *call, struct inquiry *asked);
void exposure_reply(core *core, const call *call, uint16_t status, const exposure *shown); /* 201 with its Location */
