/* What the serving network said of a device's connection (Connection-Management-Request, TS 29.128): in which
 * network it is, by which radio, which type of device, and through whom the request came, for that way
 * leads back to its serving node.
 *
 * Devices of one type in one network say the same, so it is kept once: a connection has the number of its
 * row, which costs an idle twin nothing. A record has it whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/limits.h"
#include "ring/message.h"

typedef struct core core;
typedef struct twin twin;

typedef struct serving {         /* a row; 0 is none */
    uint32_t users;              /* connections that have it; 0: free */
    uint32_t rat_type;           /* ~0: not said */
    uint16_t next;               /* with the same hash */
    uint8_t via;                 /* number of the peer's name; 0: the serving node itself */
    uint8_t plmn[3];
    bool has_plmn, is_roaming;   /* another network than the subscriber's */
    char charging[CHARGING_TEXT_MAX + 1];
    char type[DEVICE_TYPE_DIGITS + 1], software[SOFTWARE_DIGITS + 1];
} serving;

typedef struct serving_table serving_table;

/* Inside a record, behind that of the connection: what this request says, and what it leaves of before. */
void serving_put(core *core, uint32_t twin, const connection_request *request, const char *via, uint32_t charging_id);
DRO_CHECKED dro_err serving_apply(core *core, uint32_t twin, const dro_field *field); /* empty: nothing any more */
void serving_full(core *core, const twin *twin);
/* The connection is over, or the twin. */
void serving_end(core *core, twin *twin);
const serving *serving_of(const core *core, const twin *twin); /* what is known of its connection; NULL: nothing */
/* Through whom; "": its serving node itself. */
const char *serving_via(const core *core, const twin *twin);
/* Of a connection that is to be: a number no other one of this host has for years. */
uint32_t serving_charging_id(core *core);
/* ,"connection":{...}: to the administrator with names of nodes; nothing without a connection. */
void serving_render(const core *core, const twin *twin, bool is_whole, dro_builder *out);
/* ,"plmn":... of a record's field: what a timeline shows. */
void serving_render_field(const dro_field *field, dro_builder *out);
void serving_free(core *core);
