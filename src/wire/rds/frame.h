/* Frames of the Reliable Data Service (TS 24.250 5): bytes of non-IP data <-> a frame. Pure: no state,
 * no clock; the procedure is core/rds.c's.
 *
 * Which bit is where stands in spec/rds_frame.csv alone. Those places are unverified: the standard's
 * figure could not be read, so this is not known to work with anybody's device. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "rds_codes.h"

typedef enum rds_fault { /* what is wrong with bytes that came */
    RDS_GOOD,
    RDS_EMPTY,               /* no first octet */
    RDS_FOREIGN,             /* PD is 1: an invalid frame (5.2.2) */
    RDS_UNKNOWN_TYPE,        /* neither I, S, UI nor U */
    RDS_TRUNCATED,           /* shorter than its header */
    RDS_UNKNOWN_FUNCTION,    /* of a U frame */
    RDS_UNEXPECTED_INFORMATION, /* behind an S frame */
    RDS_TOO_LONG,            /* more information than N201 */
    RDS_BAD_PORTS,           /* MANAGE_PORT: what it carries cannot be read */
    RDS_FAULTS,
} rds_fault;
const char *rds_fault_text(rds_fault fault);

typedef struct rds_frame {
    enum rds_type type;
    uint8_t fields[RDS_FIELDS]; /* by enum rds_field; 0 where the type has no such field. ADS: are there ports? */
    const uint8_t *information; /* borrows the bytes read; NULL: none */
    size_t length;
} rds_frame;

rds_fault rds_read(const uint8_t *bytes, size_t length, rds_frame *out);
/* Bits of a field that do not fit it are left out; PD, TYPE and spare bits are the table's. */
void rds_put(dro_builder *out, const rds_frame *frame);
const char *rds_type_text(enum rds_type type);

/* ---- what MANAGE_PORT carries (6.2.6 to 6.2.9); all of its layout is unverified and here ---- */

enum { RDS_PORTS_MAX = 16, RDS_APPLICATION_MAX = 64 };

typedef struct rds_port {    /* a pair, as the sender of the frame sees it */
    uint8_t source, destination;
    uint8_t formats;         /* bits of enum rds_format */
    uint8_t length;
    const char *application; /* identifier of the application; borrows */
} rds_port;

typedef struct rds_manage {
    uint8_t action, status;  /* enum rds_action; enum rds_status, of a response */
    uint8_t count;
    rds_port ports[RDS_PORTS_MAX];
} rds_manage;

/* Octet 1: action in bits 8-5, status in 4-1. Then for each pair: source port (8-5) and destination port (4-1);
 * formats; length of the application's identifier; the identifier. */
rds_fault rds_manage_read(const uint8_t *bytes, size_t length, rds_manage *out);
void rds_manage_put(dro_builder *out, const rds_manage *manage);
