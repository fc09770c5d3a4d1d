/* Charge: what may be charged for, as it is kept in the record of the log that made it so, and
 * the line of a charging file that is made of it.
 *
 *   charge = kind u8, then fields (base/fields.h) by the table in charge.c
 *
 * It says all that its line says: nothing else is looked up when the line is written, which may be
 * long after the twin, the application or the connection went. A new kind or member is one row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "twin/line.h"

enum charge_kind {
    CHARGE_NONE = 0,
    CHARGE_UPLINK = 1,       /* Non-IP data of a device */
    CHARGE_DOWNLINK = 2,     /* to a device, once it has ended; however */
    CHARGE_GROUP = 3,        /* the part of one member in a group's downlink, once it has ended */
    CHARGE_ESTABLISHED = 4,  /* a connection of a device */
    CHARGE_RELEASED = 5,
    CHARGE_MONITORING = 6,   /* a report of a monitoring event */
    CHARGE_TRIGGER = 7,      /* a device trigger, once it has ended */
    CHARGE_PARAMETERS = 8,   /* the network took other parameters of a device */
    CHARGE_GAP = 9,          /* what lay there went uncharged: the named bound of what is held back */
    CHARGE_CONFIGURATION = 10, /* a monitoring subscription was made, changed or is over */
    CHARGE_KINDS,
};

enum charge_tag {
    CHARGE_IDENTIFIER = 1,   /* text: External Identifier */
    CHARGE_IMSI = 2,         /* text; only with charging.imsi */
    CHARGE_APPLICATION = 3,  /* text: scsAsId; may come again */
    CHARGE_APN = 4,          /* text */
    CHARGE_NODE = 5,         /* text: Diameter identity of the serving node */
    CHARGE_PLMN = 6,         /* 3 bytes: Visited-PLMN-Id */
    CHARGE_RAT = 7,          /* u32: RAT-Type */
    CHARGE_CHARGING_ID = 8,  /* u32: PDN-Connection-Charging-ID */
    CHARGE_INPUT = 9,        /* u32: bytes from the device */
    CHARGE_OUTPUT = 10,      /* u32: bytes to the device */
    CHARGE_RESULT = 11,      /* text: how it ended, in the words of T8 or of tickets */
    CHARGE_SUBMITTED = 12,   /* i64 ms: when the application asked */
    CHARGE_EXCEPTION = 13,   /* empty: an exception report */
    CHARGE_REFERENCE = 14,   /* u64: number of the delivery, subscription or transaction; 16 digits in paths */
    CHARGE_EXTERNAL_GROUP = 15, /* text: External Group Identifier */
    CHARGE_EVENT = 16,       /* text: type of the monitoring event, or of the parameters */
    CHARGE_FROM = 17,        /* text: where in the log a gap begins */
    CHARGE_TO = 18,          /* text: and ends */
    CHARGE_CHARACTERISTICS = 19, /* text: 3GPP-Charging-Characteristics */
    CHARGE_TICKET = 20,      /* u64: number of the ticket; decimal in paths */
};

enum { CHARGE_BYTES_MAX = 4096, CHARGE_LINE_MAX = 8 * CHARGE_BYTES_MAX };

/* One line with its end. DRO_MALFORMED: bytes that are none; DRO_LIMIT: the buffer. Members that this build does not know are left out. */
DRO_CHECKED dro_err charge_line(dro_builder *out, const line_origin *origin, const uint8_t *bytes, size_t length);
const char *charge_kind_text(uint32_t kind); /* NULL: none */

static inline void charge_put_u32(dro_builder *out, uint8_t tag, uint32_t value) { dro_field_put(out, tag, &value, sizeof value); }
