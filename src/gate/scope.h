/* Scope: what a token may do, as words. Two ways to write it: names of ours with blanks
 * between (RFC 6749 3.3), and CAPIF's "3gpp#aefId:apiName,apiName;aefId:apiName" (TS 29.222
 * 8.5.4.2.6), of which what is another exposing function's is none of ours. */
#pragma once

#include "gate/target.h"

typedef struct scope_read {
    uint32_t bits;             /* of enum scope */
    bool is_capif;
    bool has_unknown;          /* a name that is not ours, or an API of ours that is not there */
    bool is_malformed;
} scope_read;

/* `aef`: our aefId. */
scope_read scope_of(slice text, const char *aef);
/* "read write"; the text is `room`'s. */
enum { SCOPE_NAMES_MAX = 96 };
slice scope_names(uint32_t bits, char room[SCOPE_NAMES_MAX]);
