/* Authorization: what an HSS says of non-IP data delivery (TS 29.336, 8.2). Where an HSS is
 * among the peers it is the authority: a configuration is made once it has granted it, asked
 * about again before the grant ends, and ended when it says so. Its answers bind IMSI, MSISDN
 * and further External Identifiers to the twin. Without one this host's own provisioning decides.
 *
 * A request of T8 waits for the HSS's word (core/inquiry.h) and is then taken up again with core->grant. */
#pragma once

#include "core/call.h"
#include "core/groups.h"
#include "core/inquiry.h"
#include "core/network.h"
#include "core/nidd.h"

typedef struct grant {           /* fields IMSI(?), MSISDN(?), ID*, GRANTED(?); borrowed */
    const uint8_t *fields;
    size_t length;
} grant;

/* Before a configuration is made. True: an HSS is asked and the request waits, or it was refused. */
bool authorization_asks(core *core, const call *call, const application *owner, uint32_t twin);
/* The grant at hand is good for the twin: its names are free, and claimed. False after a problem. */
bool authorization_is_good(core *core, const call *call, uint32_t twin);
/* May the application have a configuration over the APN that one of this device would get? */
bool authorization_apn_is_open(core *core, const application *owner, uint32_t twin);
bool authorization_apn_is_own(const application *owner, const char *apn); /* one of those it is bound to, if it is */
/* What a configuration keeps of it, behind its members. */
void authorization_put(core *core, const application *owner, uint32_t twin, dro_builder *members);
/* Inside a record: the names that a grant binds. `gone`: the connection of the IMSI before, if it ends with it. */
void authorization_bind(core *core, uint32_t twin, const grant *grant, network_release *gone);
/* The same for a group's configuration, in authorization_group.c: on core 0. A group that is the HSS's is made here
 * before it is asked about, so that every core knows it when the list of its members comes. */
bool authorization_asks_group(core *core, const call *call, const application *owner);
/* The group of the request, made as one of the HSS's if it is new; NULL: it is not the caller's to ask about, or *err. */
struct group *authorization_group_named(core *core, const call *call, const application *owner, dro_err *err);
bool authorization_is_good_group(core *core, const call *call);
bool authorization_apn_is_open_group(const core *core, const application *owner, const group *group);
void authorization_put_group(core *core, const application *owner, const group *group, dro_builder *members);
void authorization_renew_group(core *core, group_configuration *configuration);
void authorization_group_failed(core *core, uint32_t group, uint64_t configuration); /* no word of an HSS */
void authorization_group_refused(core *core, uint32_t group);                        /* before a configuration was made */
void authorization_group_renewed(core *core, uint64_t configuration, const grant *grant); /* NULL: refused */
/* Of the groups that the device is in: is a configuration in force over the APN, was one revoked? */
bool authorization_of_groups(const core *core, uint32_t twin, const char *apn, size_t length, bool *was_revoked);
/* On each core, some members a round: connections and waiting downlinks of configurations that were revoked. */
void authorization_group_revoked(core *core, group_configuration *revoked);
int authorization_groups_step(core *core);

/* ---- what both have in common ---- */

typedef struct asking {
    uint64_t twin, configuration; /* numbers; configuration 0: one that is being made, */
    deferred *late;              /* by this request; owned by the question then */
    uint32_t group;              /* number; 0: a twin is asked about */
    const uint8_t *fields;       /* of the configuration */
    size_t length;
    const char *apn;             /* NULL: as the fields say */
} asking;
const char *authorization_begin(core *core, const asking *asking);  /* sent: NULL; else why not */
bool authorization_defer(core *core, const call *call, asking *asking); /* false after a 503 */
int64_t grant_until_ms(const grant *grant);                         /* INT64_MAX: without end */
void grant_put(const core *core, const grant *grant, dro_builder *out);
bool authorization_keeps(const core *core, uint32_t twin);          /* a configuration is in force over the APN of its connection */
void authorization_take_care(core *core, uint32_t twin);            /* after a record: what waits, and its timers */
/* The fields of a configuration with another grant in them. */
void grant_replace(const core *core, const uint8_t *fields, size_t length, const grant *grant, dro_builder *out);

/* Asks again for a configuration; its next time to ask is put off meanwhile. */
void authorization_renew(core *core, uint32_t twin, nidd_configuration *configuration);
/* The twin by the first of the identities (ID, MSISDN, IMSI) that one has; NONE: none has. */
uint32_t authorization_twin_of(core *core, const grant *said);
/* Messages of gates. */
void authorizations_on_update(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
/* authorization_group.c: what an HSS says of a group, its members among it; each core hears it. */
void authorizations_on_members(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
bool authorization_lets_connect(core *core, uint32_t twin, const char *apn, size_t length); /* over this APN; "": none is named */
