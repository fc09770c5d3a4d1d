/* IWF: an MTC-IWF with its short message service centre. Takes triggers over Tsp (TS 29.368), keeps them until their
 * device can be reached or their time is over, and says what became of each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/options.h"
#include "sim/peer.h"

enum { IWF_TRIGGERS_MAX = 4096 };

typedef struct iwf_counts {
    uint64_t taken, refused, recalled, replaced;
    uint64_t delivered, expired;
    uint64_t outcomes_taken;     /* DNR answered 2001 */
} iwf_counts;

typedef struct iwf_network {     /* what it asks of the network around it */
    void *owner;
    int64_t (*find)(void *owner, t6a_text name);       /* the device with this External Identifier; -1: none */
    bool (*trigger)(void *owner, uint32_t device);     /* it is reached, and wakes up to connect; false: not now */
} iwf_network;

typedef struct iwf iwf;

iwf *iwf_new(const options *options, tls_context *tls, const iwf_network *around, int epoll); /* NULL: no memory */
void iwf_free(iwf *iwf);                                                                     /* NULL is fine */
/* Now and then: all that time brings. */
void iwf_tick(iwf *iwf, int64_t now_ns);
peer *iwf_peer(iwf *iwf);
const iwf_counts *iwf_count(const iwf *iwf);
