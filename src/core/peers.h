/* Diameter nodes, as the gates tell of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

void peers_update(core *core, uint32_t gate, const uint8_t *body, uint32_t length);
void peers_gate_lost(core *core, uint32_t gate);
typedef struct peers_node {      /* a serving node, and the way to it */
    const char *host, *realm;
    const char *via;             /* the peer that spoke for it last; "": itself, or not known */
} peers_node;
/* The gate that has this node open, else the peer it came through; `usual` if it does, or if none is known to. */
uint32_t peers_gate(const core *core, const peers_node *node, uint32_t usual);
/* Can a request be sent to this node now: to it, by whom it came through, by a relay, or by another SCEF of its realm? */
bool peers_reach(const core *core, const peers_node *node);
/* A gate with such a way. False: none is known. */
bool peers_way(const core *core, const peers_node *node, uint32_t *gate);
/* Is an HSS among the peers, configured or met, reachable or not? Then it is the authority for NIDD. */
bool peers_have_hss(const core *core);
bool peers_have(const core *core, uint32_t applications); /* one that speaks one of them (enum peer_application), reachable or not */
bool peers_are_open(const core *core, uint32_t applications); /* one that speaks one of them is connected */
typedef struct peer_route { /* borrowed from the table of peers */
    const char *host, *realm;    /* of the peer that gets the request; realm "": this host's own, a relay knows the way */
    uint32_t gate;
    uint32_t hash;               /* of the host */
    bool is_last;                /* there is no other */
} peer_route;
/* One that speaks one of the applications and is not among those that did not answer the same question (hashes). False: none can be reached. */
bool peers_route(core *core, uint32_t applications, const uint32_t *silent, uint32_t silent_count, peer_route *route);
/* The node of that hash, if it speaks one of the applications itself; else NULL. */
void peers_name(const core *core, uint32_t hash, uint32_t applications, const char **host, const char **realm);
void peers_silent(core *core, uint32_t hash); /* it did not answer: others come first for a while */
