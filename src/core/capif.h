/* What this host has at a CAPIF core function (TS 29.222): the first gate's publisher knows and does it, core 0 keeps it
 * in the host's file, tells it to gates and shows it. Of the bytes it knows only what is shown. */
#pragma once

#include "base/builder.h"
#include "base/fields.h"
#include "core/core.h"

typedef struct capif {
    uint8_t *fields;           /* owned; NULL: none */
    uint32_t length;
} capif;

void capif_on_state(core *core, const uint8_t *body, uint32_t length); /* MESSAGE_CAPIF_STATE */
void capif_send(core *core, uint32_t gate);                            /* NONE: to all */
DRO_CHECKED dro_err capif_read(core *core, const dro_field *field);    /* from the host's file */
void capif_free(core *core);
/* The scope of a service API by the id it has at the core function, or by its name; 0: unknown. */
uint32_t capif_scope_of(const core *core, const char *id, size_t length);
