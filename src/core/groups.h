/* Groups of devices: External Group Identifiers (TS 23.682, 4.6.3), who is a member, and what is
 * done to all members at once.
 *
 * Groups, their NIDD configurations and operations are the host's: core 0 keeps them in its tables,
 * the other cores follow. Membership is the member's: a field of its records. Each core has an index
 * from a group to its own members there, and does an operation's part for them:
 *
 *   api_group*.c (core 0) -> an operation in the host's tables -> each core: group_walk.c begins a
 *   bounded number of members a round, each by a turn of its twin -> group_state.c counts what
 *   becomes of them -> group_tell.c tells applications.
 *
 * An operation's data is kept once. What became of a member is a field of the record that made it
 * so (FIELD_GROUP_STATE): after a crash each member is where its own records say. */
#pragma once

#include "core/mailbox.h"
#include "core/state.h"
#include "twin/nidd.h"

#define GROUP_HOLE 0x80000000u

typedef enum group_kind { GROUP_LOCAL, GROUP_HSS } group_kind;

typedef struct membership {
    uint32_t group;              /* slot */
    uint32_t twin, next;         /* next of the twin, or next free; 0: none */
    uint32_t place;              /* in the group's list */
    uint32_t since;              /* newest operation when it joined: it takes part in later ones */
    bool is_kept;                /* HSS: named since the list began anew */
} membership;

typedef struct group {
    char *id;                    /* NULL: free slot */
    uint32_t slot, number, domain;
    uint8_t kind;                /* enum group_kind */
    bool is_gone, is_listed;     /* gone: its members here are being let go; listed: while tables are taken */
    int64_t made_ms;
    uint32_t *places;            /* memberships; a hole is the next one + 1 with HOLE; members keep their places */
    uint32_t place_count, capacity, hole, member_count;
    uint32_t listed, repeated;   /* HSS: names in its last whole list; of them members of this core that it named before */
    uint32_t listing, repeating; /* the same of a list that is coming */
    bool is_list_begun;
    bool is_unsure;              /* its network parameters have changed: schedules of its members here are looked at, from this place on: */
    uint32_t unsure_cursor;
} group;

/* What became of a member in an operation, on this core. */
typedef enum group_state {
    GROUP_STATE_NONE,            /* takes no part */
    GROUP_STATE_WAITING,         /* its turn did not come yet */
    GROUP_STATE_RUNNING,         /* its twin is in that turn; after a crash: waiting */
    GROUP_STATE_PENDING,         /* in the mailbox */
    GROUP_STATE_UNREACHABLE,     /* the same, the device sleeps */
    GROUP_STATE_SENT,            /* after a crash: pending */
    GROUP_STATE_DELIVERED, GROUP_STATE_ACKNOWLEDGED, /* the latter by the next hop */
    GROUP_STATE_REPORTED,
    GROUP_STATE_FAILED,          /* the twin said so; its ticket has the reason */
    GROUP_STATE_REFUSED,         /* the twin let no downlink out */
    GROUP_STATE_NETWORK,         /* the network refused it */
    GROUP_STATE_EXPIRED, GROUP_STATE_NO_SUBSCRIPTION, GROUP_STATE_NO_CONNECTION, GROUP_STATE_NOT_REACHABLE,
    GROUP_STATE_FULL, GROUP_STATE_NOT_KNOWN, GROUP_STATE_RANGE, GROUP_STATE_READ_ONLY, GROUP_STATE_BROKEN,
    GROUP_STATE_SUPERSEDED,
    GROUP_STATES,
} group_state;
_Static_assert((int)GROUP_STATES <= (int)BOARD_GROUP_STATES, "room on the board");

/* As /v1 shows it: "waiting", "pending", "sent", "delivered", "reported", "failed". */
enum group_shown { GROUP_SHOWN_WAITING, GROUP_SHOWN_PENDING, GROUP_SHOWN_SENT, GROUP_SHOWN_DELIVERED, GROUP_SHOWN_REPORTED,
                   GROUP_SHOWN_FAILED, GROUP_SHOWN_STATES };
typedef struct group_state_row {
    uint8_t shown;               /* enum group_shown */
    uint8_t delivery;            /* nidd_delivery_status */
    bool is_final;
    const char *reason;          /* NULL: nothing to say */
} group_state_row;
const group_state_row *group_state_of(uint8_t state);
const char *group_shown_text(uint32_t shown);

typedef enum group_operation_kind { GROUP_DOWNLINK, GROUP_WRITE, GROUP_ACTION, GROUP_OPERATION_KINDS } group_operation_kind;

typedef struct group_part { uint8_t state, version, told; } group_part; /* of a member */

typedef struct group_operation {
    /* the host's, the same in each core */
    uint32_t number, slot, group, configuration; /* numbers; configuration 0: of /v1 */
    uint32_t application, scopes;
    uint8_t kind, version;       /* version: how often it was replaced */
    int32_t priority;
    int64_t made_ms, expires_ms;
    uint16_t length;
    uint8_t *fields;             /* as the application gave them */
    bool is_listed, is_gone;     /* gone: what has not left is being taken back */
    /* this core's */
    group_part *parts;           /* by the member's place */
    uint32_t part_capacity, cursor;
    uint32_t counts[GROUP_STATES];
    bool is_walking, has_skipped, is_changed;
    bool is_resumed;             /* this pass sends again what waits in mailboxes of connected devices: after a restart */
    bool has_bounced;            /* so does the next one: a serving node had too much unsent */
    bool has_begun;              /* a member, in this pass */
    uint32_t pause_ms;           /* after the last pass: longer where it began nobody */
    int64_t again_ms;            /* nothing is begun until then */
    int64_t tell_ms;             /* when results are told next; 0: all are */
    uint32_t tell_cursor;
    bool is_telling, is_all_told;
    struct notice *notice;       /* under way; one at a time */
} group_operation;

typedef struct group_configuration { /* NIDD, of a whole group; numbers with GROUP_NUMBER in paths */
    uint32_t number, group, application;
    uint8_t status;              /* nidd_status */
    uint8_t renewals;            /* as in nidd_configuration; core 0's */
    int64_t made_ms, until_ms, granted_ms, renew_ms;
    uint32_t destination;        /* of this core */
    bool is_listed;
    bool is_releasing;           /* it was revoked: connections of its members here go, from this place on: */
    uint32_t release_cursor;
    uint16_t length;
    uint8_t *fields;
    struct notice *notice;       /* a test, or that it has ended; core 0's */
} group_configuration;

typedef struct groups {
    group *list;                 /* [GROUPS_MAX] */
    uint32_t high;               /* slots ever used */
    index_table ids, numbers;
    membership *memberships;     /* from 1 on */
    uint32_t membership_count, membership_capacity, membership_free;
    uint32_t group_count;
    uint64_t member_count;       /* of all groups here */
    group_operation *operations[GROUP_OPERATIONS_MAX];
    uint32_t operation_count, walk_next;
    group_configuration *configurations[GROUP_CONFIGURATIONS_MAX];
    uint32_t configuration_count, configuration_high;
    uint32_t next;               /* number of the next group, configuration or operation; never used again */
    uint32_t turns, sent;        /* of operations: in cells; with a request out */
    bool is_changed;             /* counts to show on the board */
    bool has_gone;               /* groups or operations to clear away */
    bool is_releasing;           /* members of a configuration that was revoked */
    int64_t release_ms;          /* the next of them then */
    bool has_unsure;             /* groups whose members are to be looked at */
    bool has_orphans;            /* mail of operations that were gone at the start, from this twin on: */
    uint32_t orphan_cursor;
} groups;

/* ---- numbers ---- */

/* Configurations and operations are named like those of devices, in partition 0 and with this bit. */
static inline uint64_t group_number(uint32_t number) { return 1ull << 51 | number; }
static inline bool group_number_is(uint64_t number) { return number >> 51 == 1; }

/* ---- groups.c: the host's tables ---- */

DRO_CHECKED dro_err groups_init(core *core);
void groups_fini(core *core);
uint32_t groups_of_domain(const core *core, uint32_t domain);
group *group_find(const core *core, const char *id, size_t length);       /* or NULL */
group *group_at(const core *core, uint32_t number);                       /* or NULL */
group_configuration *group_configuration_at(const core *core, uint64_t number); /* with the bit; or NULL */
group_operation *group_operation_at(const core *core, uint64_t number);   /* with the bit; or NULL */
/* Core 0. Not durable before groups_keep. */
DRO_CHECKED dro_err group_add(core *core, const char *id, size_t length, uint32_t domain, group_kind kind, group **out);
void group_remove(core *core, group *gone);               /* with its configurations and operations */
DRO_CHECKED dro_err group_configuration_add(core *core, const group_configuration *head, const uint8_t *fields, group_configuration **out);
DRO_CHECKED dro_err group_configuration_change(core *core, group_configuration *changed, const uint8_t *fields, uint16_t length);
/* An operation counts as a downlink to each member, when it is taken. */
void group_usage(core *core, uint32_t application, const group *group);
void group_configurations_orphaned(core *core);                         /* those whose application is gone go too */
void group_configuration_remove(core *core, group_configuration *gone); /* and its operations */
DRO_CHECKED dro_err group_operation_add(core *core, const group_operation *head, const uint8_t *fields, group_operation **out);
DRO_CHECKED dro_err group_operation_replace(core *core, group_operation *changed, const uint8_t *fields, uint16_t length);
void group_operation_remove(core *core, group_operation *gone);
DRO_CHECKED dro_err groups_keep(core *core);              /* host_keep, and the other cores are woken */
/* Fields of the host's tables. */
enum { HOST_GROUP_NUMBERS = 32, HOST_GROUP, HOST_GROUP_CONFIGURATION, HOST_GROUP_OPERATION, HOST_GROUP_LISTED };
void groups_write(const core *core, dro_builder *out);
DRO_CHECKED dro_err groups_read(core *core, const dro_field *field);
void groups_follow_begin(core *core);                     /* tables are taken anew: what is not among them goes */
void groups_follow_end(core *core);
uint64_t group_members_all(const core *core, const group *group); /* of all cores */
uint64_t group_unknown(const core *core, const group *group); /* core 0, of an HSS's last list: names that no member has */
void groups_show(core *core);                             /* on the board */
void group_operation_counts(const core *core, const group_operation *operation, uint32_t counts[GROUP_STATES]); /* of all cores */
void group_clear(core *core, group *gone);                /* at once */
void group_operation_forget(core *core, group_operation *gone);

void groups_unsure(core *core, uint32_t number);          /* its network parameters were made or have ended: members are looked at in steps */

/* ---- group_member.c ---- */

membership *membership_find(const core *core, const twin *twin, const group *group); /* or NULL */
static inline membership *membership_at(const core *core, uint32_t number) { return &core->groups->memberships[number]; }
/* The membership at a place of the list; 0: a hole. */
static inline uint32_t group_place(const group *group, uint32_t place)
{
    return group->places[place] & GROUP_HOLE ? 0 : group->places[place];
}
/* Inside a record of the twin. */
void group_join(core *core, const group *group);
void group_leave(core *core, const group *group);
DRO_CHECKED dro_err group_apply(core *core, uint32_t twin, const dro_field *field);
void groups_leave_all(core *core, uint32_t twin);         /* the twin goes, or a full record says it anew */
void groups_full(core *core, const twin *twin);           /* into its full record */
void groups_render(const core *core, const twin *twin, dro_builder *out);
bool group_has_room(const core *core, const twin *twin);  /* the twin for one group more */
bool group_clear_some(core *core, group *gone, uint32_t most); /* lets members of a group that is gone go; true: all are */
/* What an HSS says of a group: these are members, in segments; the first of a list begins it anew, the last ends it,
 * and who was not named leaves. On each core with the same list. */
typedef struct group_identity { directory_kind kind; const char *text; size_t length; } group_identity;
DRO_CHECKED dro_err group_members_told(core *core, const char *id, size_t length, const group_identity *list, uint32_t count,
                                       bool is_last);

/* ---- group_state.c ---- */

/* Room for the parts of all members, and those that take part wait for their turn. */
DRO_CHECKED dro_err group_operation_begin(core *core, group_operation *begun);
DRO_CHECKED dro_err group_parts_room(core *core, const group *group);     /* its list grew */
void group_part_set(core *core, group_operation *operation, uint32_t place, uint8_t state); /* not durable by itself */
DRO_CHECKED dro_err group_state_apply(core *core, uint32_t twin, dro_cursor *in);
void group_parts_full(core *core, const group *group, uint32_t place);    /* into the member's full record */
/* Inside a record of the twin; nothing where it takes no part. */
void group_state_put(core *core, uint32_t twin, uint64_t operation, group_state state);
void group_state_sent(core *core, uint32_t twin, uint64_t operation);     /* not durable */
void group_delivery_end(core *core, uint32_t twin, uint64_t operation, nidd_delivery_status status);
void group_delivery_wait(core *core, uint32_t twin, uint64_t operation);
void group_ticket_moved(core *core, uint32_t twin, const ticket *moved);
void group_state_again(core *core, uint32_t twin, uint64_t operation);    /* its turn came to nothing at all */
void groups_recovered(core *core);                        /* all records are read */

/* ---- group_walk.c ---- */

bool group_may_wait(const core *core, uint64_t number);    /* a downlink of a group, when the device sleeps */
int groups_step(core *core);                              /* a bounded part of what is to be done */
void group_turn_mark(core *core, turn *turn, group_operation *operation, uint32_t place);
/* A member's downlink's part in the record of its turn. */
void group_turn_begin(core *core, turn *turn);
void group_turn_end(core *core, turn *turn, uint32_t outcome);
void group_turn_failed(core *core, turn *turn);
void group_turn_done(core *core, turn *turn);
void group_turn_freed(core *core, const turn *turn);
const uint8_t *group_mail_bytes(const core *core, const mail *mail, uint32_t *length); /* NULL: the operation is gone */

/* An HSS has revoked the configuration: what waits of its downlinks for the member at that place fails. False: nothing did. */
bool group_downlinks_revoke(core *core, uint32_t twin, uint32_t place, const group_configuration *revoked);
/* It did not leave though its serving node is there: not the device's fault, so it is sent again soon. False: not one of a group. */
bool group_mail_bounced(core *core, uint32_t twin, mail *sent);
void group_mail_trim(core *core, uint32_t twin);          /* downlinks of operations that are gone, where the first in its mailbox is one */
bool group_mail_is_orphan(const core *core, const mail *mail); /* of an operation that is gone */
void group_mail_recovered(core *core, uint32_t twin);     /* looks for such; the twin has an extra */

/* ---- api_group_nidd.c, api_group_operation.c ---- */

/* Those of an application, into a list. */
uint64_t group_configurations_put(core *core, const application *owner, uint64_t from, dro_builder *out); /* of a page; where the next begins, ~0: nowhere */
/* Room for an operation: the oldest that has ended goes where there is none. DRO_LIMIT: none has. */
DRO_CHECKED dro_err group_operation_make(core *core, const group_operation *head, const uint8_t *fields, group_operation **out);
/* Members in it, of all cores; those not final yet. */
uint32_t group_operation_members(const core *core, const group_operation *operation, uint32_t shown[GROUP_SHOWN_STATES], uint32_t *open);

/* ---- api_command.c ---- */

/* Begins a command of an operation for a member. NONE: it is under way or done; WAITING: too much is; else why not. */
group_state api_group_command(core *core, group_operation *operation, uint32_t twin, uint32_t place);

/* ---- group_tell.c ---- */

int groups_tell(core *core);                              /* results, uplinks' configurations that end */
int64_t group_tell_first(const core *core, const group_operation *operation);
int64_t groups_due_ms(const core *core);                  /* when there is something to tell; INT64_MAX: nothing */
void group_uplink(core *core, uint32_t twin, const uint8_t *data, size_t length); /* inside a record */
void group_configuration_end(core *core, group_configuration *ended, nidd_status status); /* core 0: kept, and its application told */
void group_notice_gone(core *core, const struct notice *gone); /* taken, or given up */
bool group_has_news(const group_operation *operation, const group *group);
void group_told_replay(core *core, const dro_field *field);
void groups_told_write(core *core);                       /* with the host's tables of this core */
