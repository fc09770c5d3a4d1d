/* What of an uplink's RDS frame goes along with its turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct rds_pair { bool has_ports; uint8_t device, own; } rds_pair; /* ports of the device and of this host */

typedef struct rds_sign {
    bool is_on;              /* it was an RDS frame */
    bool is_numbered;        /* an I frame: N(S) was the one expected */
    bool wants_ack;
    uint8_t n_r;             /* of an I frame */
    rds_pair pair;
} rds_sign;
