/* The figure of an RDS header as data, made from spec/rds_frame.csv. For wire/rds/ only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rds_codes.h"

enum { RDS_ANY_VALUE = -1 };

struct rds_row {
    uint8_t type, field;
    uint8_t octet;           /* from 0, with the port octet there */
    uint8_t shift, mask;     /* mask: before shifting */
    int16_t value;           /* what it always is, or RDS_ANY_VALUE */
};

struct rds_shape {
    const char *name;
    uint8_t octets, port_octet; /* of the header, with the port octet; which one that is */
};

extern const struct rds_row rds_rows[];
extern const size_t rds_row_count;
extern const struct rds_shape rds_shapes[RDS_TYPES];
extern const uint8_t rds_pd_bit, rds_ads_bit;   /* of the first octet */
extern const uint8_t rds_functions[];
extern const size_t rds_function_count;
