/* Peer policy: what a listed Diameter peer may say, beyond who it is. A row of diameter.peers;
 * a member that is absent limits nothing. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "twin/imsi_range.h"

enum {
    PEER_RANGES_MAX = 16,
    PEER_APNS_MAX = 8,
    PEER_REALMS_MAX = 8,
    PEER_APN_MAX = 100,
};

typedef struct peer_policy {
    imsi_range ranges[PEER_RANGES_MAX];
    char apns[PEER_APNS_MAX][PEER_APN_MAX + 1];
    char realms[PEER_REALMS_MAX][256]; /* of nodes behind a relay */
    uint32_t range_count, apn_count, realm_count;
    uint32_t requests_per_second;      /* of a gate; 0: no limit */
} peer_policy;

/* Each false: what is wrong, or there are too many. */
bool peer_policy_add_imsis(peer_policy *policy, const char *text);
bool peer_policy_add_apn(peer_policy *policy, const char *text);
bool peer_policy_add_realm(peer_policy *policy, const char *text);

bool peer_policy_has_imsi(const peer_policy *policy, const char *imsi);
/* The network identifier counts, in any case of letters, with or without an operator identifier behind it (TS 23.003 9.1). */
bool peer_policy_has_apn(const peer_policy *policy, const void *apn, size_t length);
bool peer_policy_has_realm(const peer_policy *policy, const void *realm, size_t length);
