/* HSS: the home subscriber server of the simulated devices. It authorises non-IP data
 * delivery over S6t (TS 29.336), revokes it now and then, names the members of the one
 * group there is, and takes monitoring events and timers for them. Several of them know the same. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/monte.h"
#include "sim/options.h"
#include "sim/peer.h"

typedef struct hss_counts {
    uint64_t authorizations, refused, unknown; /* questions, by answer */
    uint64_t revocations, revocations_taken;
    uint64_t segments;                         /* of the group's list */
} hss_counts;

typedef struct hss hss;

/* Borrows the options and what is wanted to be heard of. NULL: no memory. */
hss *hss_new(const options *options, tls_context *tls, monte *monte, uint32_t index, int epoll);
void hss_free(hss *hss); /* NULL is fine */
/* Now and then: all that time brings. */
void hss_tick(hss *hss, int64_t now_ns);
peer *hss_peer(hss *hss);
const hss_counts *hss_count(const hss *hss);
/* The device that an External Identifier names; -1: none. */
int64_t hss_device_named(const options *options, t6a_text name);
void hss_name_of(const options *options, uint32_t device, char *out, size_t room);
