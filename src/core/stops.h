/* Stops: what may not run, because an operator says so or because the host has found it out. Rows of the
 * host's own tables: core 0 keeps them (core/host.c), the others follow before they take anything more,
 * and gates are told. A stop of an image is its quarantine.
 *
 *   code         no turn of any image
 *   domain       no turn of its twins; nothing leaves for its devices, nobody is told of them, and only the
 *                administrator changes them
 *   image        no turn of it, and no new twins of it
 *   application  its tokens are refused, its streams end, it is told nothing
 *
 * What a stopped twin would have been called with is kept, as a dead letter; timers wait. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "core/core.h"

enum stop_kind { STOP_CODE, STOP_DOMAIN, STOP_IMAGE, STOP_APPLICATION, STOP_KINDS };
enum {
    STOPS_MAX = 512,
    STOP_SUBJECT_MAX = 255,
    STOP_REASON_MAX = 200,
    STOPS_SHOWN_MAX = 32,    /* in /v1/status */
    HOST_STOP = 10,          /* field of the host's file: kind u8, by the host itself u8, since i64, length u8, subject, reason */
};

typedef struct stop {
    uint8_t kind;
    bool is_automatic;           /* the host's own doing */
    int64_t since_ms;
    char subject[STOP_SUBJECT_MAX + 1]; /* domain, digest in hexadecimal digits, application; "" of code */
    char reason[STOP_REASON_MAX + 1];
} stop;

typedef struct stop_table {
    stop *list;                  /* [STOPS_MAX], NULL before the first; oldest first */
    uint32_t count;
    bool has_code;               /* all guest code is stopped */
    bool has_any;                /* there is one: look closer */
    uint32_t told;               /* how many there were when they took effect last */
} stop_table;

void stops_write(const core *core, dro_builder *out);
DRO_CHECKED dro_err stop_read(core *core, const dro_field *field);
void stops_forget(core *core);   /* before they are read again */
/* The table has changed, or what it names: what is stopped is so from here on, what is not any more goes on. */
void stops_settle(core *core);
void stops_free(core *core);
const stop *stop_find(const core *core, uint8_t kind, const char *subject);
const stop *stop_of_image(const core *core, uint32_t image); /* NULL: none */
/* Core 0: one more, or one less, durable and for all cores on return. DRO_EXISTS, DRO_NOT_FOUND, DRO_LIMIT. */
DRO_CHECKED dro_err stop_begin(core *core, uint8_t kind, const char *subject, const char *reason, bool is_automatic);
DRO_CHECKED dro_err stop_end(core *core, uint8_t kind, const char *subject);
typedef struct stop_gone { uint32_t place; stop row; } stop_gone; /* place NONE: there was none */
/* Its subject is gone for good: so is the stop. The caller keeps the table, or puts the stop back where it was. */
stop_gone stop_drop(core *core, uint8_t kind, const char *subject);
void stop_put_back(core *core, const stop_gone *gone);
void stops_send(core *core, uint32_t gate); /* NONE: to all */
void stops_put(const core *core, uint32_t most, dro_builder *out); /* as JSON, a list */
void stops_metrics(const core *core, dro_builder *out);
void stop_image_subject(const uint8_t digest[32], char out[65]);
/* What is told of this twin's domain, or to this application, is held back. */
bool stop_holds_twin(const core *core, uint32_t twin);

/* api_stops.c */
struct call;
void api_stop_list(core *core, const struct call *call);
void api_stop_put(core *core, const struct call *call);
void api_stop_delete(core *core, const struct call *call);
