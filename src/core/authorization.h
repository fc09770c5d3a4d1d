/* Authorization: what an HSS says of non-IP data delivery (TS 29.336, 8.2). Where an HSS is
 * among the peers it is the authority: a configuration is made once it has granted it, asked
 * about again before the grant ends, and ended when it says so. Its answers bind IMSI, MSISDN
 * and further External Identifiers to the twin. Without one this host's own provisioning decides.
 *
 * A request of T8 waits here for the HSS's word and is then taken up again with core->grant. */
#pragma once

#include "core/call.h"
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
/* What a configuration keeps of it, behind its members. */
void authorization_put(core *core, const application *owner, uint32_t twin, dro_builder *members);
/* Inside a record: the names that a grant binds. `gone`: the connection of the IMSI before, if it ends with it. */
void authorization_bind(core *core, uint32_t twin, const grant *grant, network_release *gone);
/* Asks again for a configuration; its next time to ask is put off meanwhile. */
void authorization_renew(core *core, uint32_t twin, nidd_configuration *configuration);
/* Messages of gates, and what ends by itself. */
void authorizations_on_answer(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void authorizations_on_update(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void authorizations_due(core *core);
void authorizations_gate_lost(core *core, uint32_t gate);
void authorizations_free(core *core);
bool authorization_lets_connect(core *core, uint32_t twin, const char *apn, size_t length); /* over this APN; "": none is named */
