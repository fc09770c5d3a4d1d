/* CAPIF publisher (TS 29.222): keeps what a CAPIF core function shows of this host as it is. Registers the host as an API
 * provider where it has a secret for that, publishes its service APIs, changes and withdraws them. One gate does it, one
 * request at a time, again and again until it is so: each cycle begins with what the core function says to have, so nothing
 * that a crash or the other side lost stays lost. What it was given (names, ids) core 0 keeps. */
#pragma once

#include "base/builder.h"
#include "gate/gate.h"
#include "gate/loop.h"
#include "gate/tls_bundle.h"

enum {
    CAPIF_ANSWER_MAX = 256 * 1024,   /* bytes of an answer */
    CAPIF_CONNECT_MS = 5 * 1000,
    CAPIF_ANSWER_MS = 20 * 1000,
    CAPIF_RETRY_FIRST_MS = 1000,     /* after a failure; doubled with each in a row */
    CAPIF_RETRY_LAST_MS = 5 * 60 * 1000,
};

typedef struct publisher publisher;

/* Borrows all. `files` may be read again at any time; `aef` is told when the core function gave another name. */
typedef struct publisher_options {
    const gate_config *config;
    const tls_pem *files;            /* [CAPIF_FILES]; length 0: there is none */
    ring_writer *to_core;            /* core 0 */
    void (*on_aef)(void *context, const char *aef);
    void *context;
} publisher_options;

DRO_CHECKED dro_err publisher_new(publisher **out, loop *home, const publisher_options *options);
void publisher_free(publisher *capif); /* NULL is fine */
void publisher_on_state(publisher *capif, const void *body, uint32_t length); /* MESSAGE_CAPIF */
void publisher_flush(publisher *capif);  /* what found no room in the ring */
void publisher_metrics(const publisher *capif, dro_builder *out);
