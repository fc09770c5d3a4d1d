/* Diameter nodes, as the gates tell of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

void peers_update(core *core, uint32_t gate, const uint8_t *body, uint32_t length);
void peers_gate_lost(core *core, uint32_t gate);
/* The gate that has this node open; `usual` if it does, or if none is known to. */
uint32_t peers_gate(const core *core, const char *host, uint32_t usual);
/* Can a request be sent to this node now: to it, or by a relay? */
bool peers_reach(const core *core, const char *host);
/* A gate with a way to this node: its own connection, or a relay. False: none is known. */
bool peers_way(const core *core, const char *host, uint32_t *gate);
/* Is an HSS among the peers, configured or met, reachable or not? Then it is the authority for NIDD. */
bool peers_have_hss(const core *core);
typedef struct hss_route { /* borrowed from the table of peers */
    const char *host, *realm;    /* of the peer that gets the request; realm "": this host's own, a relay knows the way */
    uint32_t gate;
    uint32_t hash;               /* of the host */
    bool is_last;                /* there is no other */
} hss_route;
/* One that is not among those that did not answer the same question (hashes). False: none can be reached. */
bool peers_hss(const core *core, const uint32_t *silent, uint32_t silent_count, hss_route *route);
void peers_hss_silent(core *core, uint32_t hash); /* it did not answer: others come first for a while */
