/* Bodies of CAPIF (TS 29.222; foreign bytes) -> fields. Members nobody knows are passed over, as in T8. */
#pragma once

#include "gate/body.h"

enum {
    CAPIF_KEY_MAX = 4096,          /* bytes of an invoker's public key */
    CAPIF_INFORMATION_MAX = 1024,
    CAPIF_APIS_MAX = 16,           /* ids in one revocation, rows of one security context */
    CAPIF_METHODS_MAX = 8,
    CAPIF_SECURITY_MAX = 8 * 1024, /* of a security context as it is kept */
};

typedef struct capif_place { /* this host as exposing function, of which security contexts are */
    const char *aef;
    bool has_certificates;     /* applications may be known by one: PKI */
} capif_place;

/* Each writes fields of its members, as ring/message.h says. False: `fault` says why, with status 400 or 413. */
bool capif_body_check(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
bool capif_body_revocation(body_arena *arena, body_text json, bool is_wrapped, dro_builder *out, body_fault *fault);
bool capif_body_invoker(body_arena *arena, body_text json, bool is_patch, dro_builder *out, body_fault *fault);
/* The method for each row is chosen here: SECURITY_CONTEXT is a whole ServiceSecurity. */
bool capif_body_security(body_arena *arena, body_text json, const capif_place *place, dro_builder *out, body_fault *fault);
