/* How many packets a device's connection may carry: Serving-PLMN-Rate-Control (what the serving network
 * says in a CMR, packets in six minutes) and APN rate control (t8.apns: packets in a unit of time).
 *
 * The limits are a twin's and survive a restart; what was counted does not: a window begins with its first
 * packet, and all begin anew. Exception reports are outside the APN's uplink quota. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "ring/message.h"
#include "twin/apn.h"

typedef struct core core;
typedef struct twin twin;

typedef struct rate_window { int64_t end_ms; uint32_t count; } rate_window;

typedef struct twin_rates {
    uint32_t uplink, downlink;   /* Serving-PLMN-Rate-Control; 0: any number */
    const apn_rule *rule;        /* the APN's, NULL: none */
    int64_t resume_ms;           /* a downlink waits for its turn until then; 0: none does */
    rate_window serving_up, serving_down, apn_up, apn_down;
    char apn[APN_TEXT_MAX + 1];  /* of the connection; "": not known */
} twin_rates;

/* Inside a record: what the connection request says of it. */
void rates_put(core *core, uint32_t twin, const connection_request *request, const char *apn);
DRO_CHECKED dro_err rates_apply(core *core, uint32_t twin, const dro_field *field); /* empty: none any more */
void rates_full(core *core, const twin *twin);
void rates_free(twin *twin);
/* False: over the APN's rate, and its rule drops what is. Counts it otherwise. */
bool rate_takes_uplink(core *core, uint32_t twin, bool is_exception);
/* 0: a downlink may go now, and is counted; else when. */
int64_t rate_downlink(core *core, uint32_t twin);
/* What is left of the APN's time units (APN-Rate-Control-Status); until_ms 0: nothing is counted now. */
rate_status rate_left(const core *core, const twin *twin);
/* What was left when a connection of before ended: its windows go on. */
void rate_go_on(core *core, uint32_t twin, const rate_status *left);
int64_t rate_resume_ms(const twin *twin);     /* 0: no downlink waits for that */
