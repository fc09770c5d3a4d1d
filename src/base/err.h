/* The ways an operation can fail. What a peer or a twin does wrong is not in
 * here: that is data, and each protocol maps it to its own words. */
#pragma once

typedef enum dro_err {
    DRO_OK = 0,
    DRO_NOMEM,       /* no memory */
    DRO_TRUNCATED,   /* the input ends before what it promises */
    DRO_MALFORMED,   /* the input breaks its format */
    DRO_LIMIT,       /* a named limit is reached */
    DRO_RANGE,       /* a value outside what is allowed */
    DRO_NOT_FOUND,   /* no such thing */
    DRO_EXISTS,      /* it is there already */
    DRO_AGAIN,       /* not now; try later */
    DRO_IO,          /* the system refused; errno says why */
    DRO_CORRUPT,     /* stored bytes fail their check */
    DRO_DENIED,      /* not allowed */
    DRO_UNSUPPORTED, /* known, but not done by this build */
    DRO_FULL,        /* no space on the disk */
} dro_err;

/* A result that must be looked at. */
#define DRO_CHECKED __attribute__((warn_unused_result))

/* One short English phrase, never NULL. */
const char *dro_err_text(dro_err err);
