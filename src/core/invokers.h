/* API invokers (TS 29.222): what this host, as its own small CAPIF core function, keeps of an application beside the
 * application itself: that it is onboarded, how it wants to be secured, and from when on its tokens were taken back. Core
 * 0's, in the host's file. A row is fields as they came, with one of each kind but REVOKED. */
#pragma once

#include "base/builder.h"
#include "base/fields.h"
#include "core/core.h"

enum { HOST_INVOKER = 56 }; /* field of the host's file: application u32, fields */
enum { INVOKER_BYTES_MAX = 24 * 1024, INVOKER_REVOCATIONS_MAX = 4 };

typedef struct invoker {
    uint32_t application;      /* its number */
    uint32_t length;
    uint8_t *fields;           /* owned: PUBLIC_KEY(?), DESTINATION(?), INFORMATION(?), FEATURES(?), SECURITY_CONTEXT(?), REVOKED* */
} invoker;

typedef struct invoker_table {
    invoker *list;
    uint32_t count, capacity;
} invoker_table;

void invokers_write(core *core, dro_builder *out);                    /* into the host's file */
DRO_CHECKED dro_err invoker_read(core *core, const dro_field *field);  /* and from there */
void invokers_free(core *core);
/* Its application is gone; not kept by itself. */
void invoker_forget(core *core, uint32_t application);
/* What of it gates must know: REVOKED. */
void invoker_credential_write(const core *core, uint32_t application, dro_builder *out);
