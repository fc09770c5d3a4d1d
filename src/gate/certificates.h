/* Certificates of a gate: loads them at its start and again when dromiod sends new
 * ones, and says in the log when one ends soon. */
#pragma once

#include "gate/gate.h"
#include "gate/issuers.h"
#include "gate/loop.h"
#include "gate/tls.h"
#include "gate/tls_bundle.h"

typedef struct certificates {
    loop *home;
    dro_clock *clock;
    loop_watch renewals;
    loop_timer daily;
    tls_context *contexts[TLS_LISTENERS]; /* NULL: that listener is plain */
    issuers issuers;
    tls_pem capif[CAPIF_FILES];           /* owned copies; length 0: there is none */
    bool is_speaking;                     /* one gate is enough for the log */
    bool is_watching;
} certificates;

/* Without a bundle in the configuration there is nothing to do. */
DRO_CHECKED dro_err certificates_init(certificates *all, const gate_config *config, loop *home);
void certificates_fini(certificates *all); /* when no connection is left */
