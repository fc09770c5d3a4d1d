/* Reliable Data Service (TS 24.250 6) between this host and a device: every PDU of the device's connection is
 * an RDS frame (wire/rds/) while one of its NIDD configurations asks for it and t8.reliable_data_service is on.
 *
 * A link is a pair of ports. Its numbers, and which downlink is out under them, are a field of the twin's records:
 * after a crash the same bytes go again under the same N(S), and a repeated N(S) is still a repetition. One I frame
 * of a device is out at a time (K = 1); what runs T200 and how often it ran are in memory only.
 *
 * Downlinks of applications that asked for acknowledgement are I frames, all others UI. Frames of the procedure
 * itself are mail too (is_control): they wait, leave first, and come back as any other does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/limits.h"
#include "core/nidd.h"
#include "wire/rds/frame.h"

enum { RDS_FEATURES = RDS_FEATURE_PORT_VERIFICATION | RDS_FEATURE_DYNAMIC_PORT }; /* of T8's supportedFeatures */

typedef struct rds_link {        /* durable */
    rds_pair pair;
    bool is_up;                  /* acknowledged transfer was established */
    uint8_t v_s, v_r;            /* N(S) of the next I frame of ours; the one that is expected of the device */
} rds_link;

typedef struct rds_state {       /* durable */
    uint64_t pending;            /* mail that went as I frame V(S) of its link and is not acknowledged; 0: none */
    uint8_t pending_link, link_count;
    rds_link links[RDS_LINKS_MAX];
} rds_state;

typedef struct rds {             /* of one twin */
    rds_state state;
    int64_t due_ms;              /* T200: the device's answer is awaited until then; 0: none is */
    uint8_t tries;               /* frames the network took since the last answer */
    rds_pair setup;              /* of the SET_ACK_MODE whose answer is awaited while no mail is pending */
} rds;

/* Is every frame of the device one of RDS? */
bool rds_is_on(const core *core, const twin *twin);

/* ---- uplinks ---- */

typedef struct rds_heard {       /* what the bytes of an uplink are */
    const uint8_t *bytes;        /* borrowed, as by the frame */
    size_t length;
    rds_frame frame;
    rds_manage manage;           /* of MANAGE_PORT */
    rds_sign sign;
    bool is_data;                /* new information for the twin: a turn of it follows, then rds_keep_sign */
    const char *why;             /* nothing is to be done with it; NULL: something is */
} rds_heard;
void rds_hear(core *core, uint32_t twin, const uint8_t *bytes, size_t length, rds_heard *out);
/* Inside a record: numbers and acknowledgement of an I frame, whatever became of its turn. */
void rds_keep_sign(core *core, uint32_t twin, const rds_sign *sign);
/* Inside a record: what is no data. */
void rds_keep_control(core *core, uint32_t twin, const rds_heard *heard);

/* ---- downlinks: core/mailbox.c ---- */

/* The mail to be sent now, NULL: none; outside of records. There is one. */
mail *rds_mail_next(core *core, uint32_t twin);
/* The bytes of a mail as they go to the device. `room`: RDS_HEADER_MAX and EVENT_BYTES_MAX. */
const uint8_t *rds_wrap(const twin *twin, const mail *mail, const uint8_t *bytes, uint32_t *length, uint8_t *room);
/* The network took it. True: it stays until the device acknowledges it. */
bool rds_mail_taken(core *core, uint32_t twin, mail *mail);
/* Inside a record: it came back, the device sleeps; or the network refused a setup for good. */
void rds_mail_back(core *core, uint32_t twin, const mail *mail, int64_t retry_ms);
void rds_setup_refused(core *core, uint32_t twin, uint32_t key); /* its mail is gone; key: the merge key it had */
bool rds_is_setup(const mail *mail);             /* of a link that a downlink waits for */
bool rds_is_busy_with(const twin *twin, const mail *mail); /* the device's answer to it is awaited */
bool rds_holds(const twin *twin);                /* a control frame is out, downlinks follow it at once */
int64_t rds_due(const twin *twin);
void rds_expire(core *core, uint32_t twin);

/* ---- control mail, also of core/rds_ports.c ---- */

enum rds_control { RDS_CONTROL_ACK = 1, RDS_CONTROL_SETUP, RDS_CONTROL_ANSWER, RDS_CONTROL_MANAGE, RDS_CONTROL_MANAGED };
uint32_t rds_control_key(uint32_t kind, const rds_pair *pair); /* its merge key: a newer one takes the place of an older */
/* Inside a record. `pair`: the ports in its header. Dropped and counted if too many wait. */
void rds_control_put(core *core, uint32_t twin, uint32_t key, int64_t expiry_s, const rds_pair *pair, rds_frame *frame);
void rds_control_gone(core *core, uint32_t twin, uint32_t key);

/* ---- the state ---- */

void rds_reset(core *core, uint32_t twin);       /* inside a record: a new connection, all links are down */
DRO_CHECKED dro_err rds_apply(core *core, uint32_t twin, const dro_field *field);
void rds_full(core *core, const twin *twin);
void rds_free(twin *twin);

/* ---- what applications say ---- */

/* Of a configuration or delivery: does it ask for acknowledgement? `absent`: it does not say. */
bool rds_is_wanted(const uint8_t *fields, size_t length, bool absent);
/* The pair of a downlink: its own, the only one of its configuration, or none. */
rds_pair rds_pair_of(const uint8_t *fields, size_t length, const uint8_t *configuration, size_t configuration_length);
bool rds_has_pair(const uint8_t *fields, size_t length, const rds_pair *pair);  /* among rdsPorts */
bool rds_has_ports(const uint8_t *fields, size_t length);
/* Is the uplink for who made this configuration? */
bool rds_is_for(const twin *twin, const nidd_configuration *configuration, const rds_sign *sign);
