/* Gate: the room with all sockets. Bytes -> checked events; replies and effects ->
 * bytes. It has no twin keys, no contexts and no guest code. One epoll loop serves
 * HTTP, Diameter and the rings.
 *
 * Buffers that carried secrets or identities (PUT bodies, Diameter messages) are
 * wiped as soon as they are handled. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "gate/peer_policy.h"
#include "gate/roaming.h"
#include "gate/tls.h"
#include "ring/message.h"
#include "ring/ring.h"
#include "ring/usage.h"
#include "twin/directory.h"

enum { GATE_PEERS_MAX = 256, GATE_CORES_MAX = 16 };

typedef struct gate_peer_config { /* a row of diameter.peers */
    char identity[256], realm[256], address[128]; /* address "": only waits for it */
    uint32_t applications;                        /* enum peer_application; 0: whatever it offers */
    peer_policy policy;
} gate_peer_config;

typedef struct capif_config { /* a CAPIF core function and what is done there: gate/publisher.h */
    char root[512];               /* "": none, and this host stands in for one */
    char aef[256], apf[256];      /* what it calls us; "": what a registration said, else our identity */
    char apis[512];               /* names with commas between that are published; "": all */
    char allow[1024];             /* address ranges it may have although loopback, link-local or private */
    bool publish;
    int64_t check_s;              /* between looks at what is there */
} capif_config;

typedef struct gate_config {
    uint32_t index;               /* of this gate */
    uint32_t core_count;
    ring_writer *to_core;         /* [core_count] */
    ring_reader *from_core;       /* [core_count] */
    const directory *directory;   /* where twins are; NULL with one core */
    ring_writer *to_desk;
    ring_reader *from_desk;
    int doorbell;                 /* own eventfd */
    int http_listener;            /* bound and listening, made by dromiod; SO_REUSEPORT with several gates */
    int diameter_listener;        /* -1: none */
    int diameter_sctp_listener;   /* 0: none; one for all gates */
    bool connects_over_sctp;
    int certificates;             /* bundle of tls_bundle.h, closed once it is read; 0: no TLS */
    int certificate_renewals;     /* socket on which new bundles come; 0: none */
    tls_context *tls[TLS_LISTENERS]; /* made by gate_run from the bundle; NULL: that listener is plain */
    const char *identity, *realm; /* Origin-Host, Origin-Realm */
    const gate_peer_config *peers;
    uint32_t peer_count;
    const roaming_policy *roaming; /* NULL, or without rows: this host is no IWK-SCEF */
    bool accept_any_peer;
    int ready;                    /* eventfd: rung once requests are answered; 0: nobody asks */
    const usage_page *usage;      /* what the rooms cost; NULL: not told */
    const char *console_directory;
    const char *issuer, *audience; /* of the host's access tokens; NULL: there are none */
    const struct issuer_config *issuers; /* others whose tokens are taken; their keys come in the bundle */
    uint32_t issuer_count;
    const struct issuers *trusted; /* made by gate_run from these; NULL: none */
    application_limits limits;    /* of applications without their own */
    uint32_t gate_count;          /* which share them; 0: one */
    int64_t skew_s;               /* by which the clocks of issuers may differ */
    const char *version;
    capif_config capif;
    const char *t8_root;          /* "https://scef.example:8443": what links of T8 begin with */
    const char *t8_allow_callbacks; /* address ranges, see gate/courier.h */
    struct { bool is_on, has_twins, has_t8, has_commands; } audit; /* what the audit log tells of */
    const char *health;           /* JSON members for /healthz, e.g. "\"sandbox\":\"on\"" */
    dro_clock *clock;
    dro_random *random;           /* NULL: the system's */
} gate_config;

/* The room in steps, for who has several rooms in one thread (test/sim). What `config` points to stays the caller's and alive. */
typedef struct gate_room gate_room;
DRO_CHECKED dro_err gate_room_new(gate_room **out, const gate_config *config, int stop);
bool gate_room_step(gate_room *gate, int wait_ms_max); /* one turn of its loop; -1: it may sleep as long as it likes. False: it has ended */
void gate_room_free(gate_room *gate);                  /* NULL is fine */

/* Works until asked to stop (the descriptor `stop` becomes readable). */
int gate_run(const gate_config *config, int stop);
