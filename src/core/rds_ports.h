/* Pairs of ports of the reliable data service that are reserved while a configuration is in force (TS 24.250 6.2.6
 * to 6.2.9, ManagePort of T8), beside those that it was made with (rdsPorts). They belong to a configuration and
 * survive a connection. One that its application reserved counts once the device has agreed, unless it said to
 * skip that; until then it is asked for, with T200 and N200 as for any frame. */
#pragma once

#include "core/rds.h"

enum rds_port_flag { RDS_PORT_ASKED = 1, RDS_PORT_OF_DEVICE = 2, RDS_PORT_SKIPS = 4 };

typedef struct rds_managed {
    struct rds_managed *next;    /* of the twin */
    uint64_t configuration;
    uint8_t device, own;
    uint8_t flags;               /* enum rds_port_flag */
    uint8_t formats, configured; /* bits of enum rds_format: supported; the one configured, 0: none */
    uint8_t length;              /* of application */
    uint8_t tries;               /* of one that is asked for: frames the network took; in memory only */
    int64_t due_ms;              /* it is asked for again, or given up; in memory only */
    char application[];
} rds_managed;

rds_managed *rds_managed_first(const twin *twin); /* of its list, or NULL */
rds_managed *rds_managed_find(const twin *twin, uint8_t device, uint8_t own); /* or NULL */
bool rds_manages(const twin *twin, uint64_t configuration, const rds_pair *pair); /* and it is in force */
bool rds_port_is_taken(const twin *twin, const rds_pair *pair); /* by whomever */

/* Inside records. */
void rds_managed_put(core *core, const rds_managed *managed, const char *application);
void rds_managed_gone(core *core, uint8_t device, uint8_t own);
void rds_managed_ask(core *core, uint32_t twin, const rds_managed *managed, enum rds_action action); /* the device is told or asked */
void rds_ports_gone(core *core, uint32_t twin, uint64_t configuration); /* all of it: it goes */
void rds_ports_heard(core *core, uint32_t twin, const rds_manage *manage, bool is_response);

void rds_ports_taken(core *core, uint32_t twin, const mail *mail); /* the network took a question */
int64_t rds_ports_due(const twin *twin);
void rds_ports_expire(core *core, uint32_t twin);
DRO_CHECKED dro_err rds_port_apply(core *core, uint32_t twin, dro_cursor *in);
void rds_port_apply_gone(twin *twin, dro_cursor *in);
void rds_ports_full(core *core, const twin *twin);
void rds_ports_free(twin *twin);
