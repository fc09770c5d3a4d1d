/* Charge: what is to be charged for goes into the record that makes it so, as a field of its own
 * (FIELD_CHARGE, twin/charge.h): as durable as the event, and there once. core/ledger.h takes it from there.
 *
 * All of these are called inside a record, and do nothing while charging is off. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/state.h"
#include "twin/charge.h"
#include "twin/nidd.h"
#include "twin/ticket.h"

typedef struct mail mail;
typedef struct nidd_delivery nidd_delivery;
typedef struct group_operation group_operation;
typedef struct exposure exposure;

static inline bool charging_is_on(const core *core) { return core->ledgers[LEDGER_CHARGING] != NULL; }

/* For events of other parts: begins a charge of the twin with what all have (identity, connection), and ends it; between them
 * fields are put. Only where charging_is_on. */
dro_builder *charge_begin(core *core, uint32_t twin, enum charge_kind kind);
void charge_application(core *core, dro_builder *out, uint32_t application); /* by its number; 0: nobody's */
void charge_end(core *core);

/* Of whatever is known of its network at the time: nothing else. */
void charge_uplink_put(core *core, uint32_t twin, size_t length, bool is_exception);
void charge_connection_put(core *core, uint32_t twin, enum charge_kind kind, uint32_t charging_id);
void charge_delivery_put(core *core, uint32_t twin, const nidd_delivery *delivery, nidd_delivery_status status);
void charge_mail_put(core *core, uint32_t twin, const mail *mail, const char *result);
void charge_member_put(core *core, uint32_t twin, const group_operation *operation, nidd_delivery_status status);

static inline void charge_uplink(core *core, uint32_t twin, size_t length, bool is_exception)
{
    if (charging_is_on(core))
        charge_uplink_put(core, twin, length, is_exception);
}

/* While the connection is as it was, or is to be: a release before it is taken away. charging_id 0: none, or said before. */
static inline void charge_connection(core *core, uint32_t twin, enum charge_kind kind, uint32_t charging_id)
{
    if (charging_is_on(core))
        charge_connection_put(core, twin, kind, charging_id);
}

/* An application's downlink has ended; once. */
static inline void charge_delivery(core *core, uint32_t twin, const nidd_delivery *delivery, nidd_delivery_status status)
{
    if (charging_is_on(core))
        charge_delivery_put(core, twin, delivery, status);
}

/* Bytes of the twin's own or a command's have left the mailbox; those of an application or a group are charged by their delivery. */
static inline void charge_mail(core *core, uint32_t twin, const mail *mail, const char *result)
{
    if (charging_is_on(core))
        charge_mail_put(core, twin, mail, result);
}

/* Of a resource of T8 beside non-IP data: a report about it, its end, or that the network has taken it. `event`: what kind; `result`: how
 * it ended, NULL: it has not. */
void charge_exposure_fields(core *core, dro_builder *out, const exposure *of, const char *event, const char *result); /* but of whom */
void charge_exposure_put(core *core, uint32_t twin, enum charge_kind kind, const exposure *of, const char *event, const char *result);
static inline void charge_exposure(core *core, uint32_t twin, enum charge_kind kind, const exposure *of, const char *event, const char *result)
{
    if (charging_is_on(core))
        charge_exposure_put(core, twin, kind, of, event, result);
}

/* The part of a member in a group's downlink has ended; once. */
static inline void charge_member(core *core, uint32_t twin, const group_operation *operation, nidd_delivery_status status)
{
    if (charging_is_on(core))
        charge_member_put(core, twin, operation, status);
}
