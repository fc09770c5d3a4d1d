/* Bodies of T8's resources (foreign bytes) -> fields, by the tables of twin/t8.h.
 * Members nobody knows are passed over: a later release of TS 29.122 may have them. */
#pragma once

#include "gate/body.h"
#include "twin/t8.h"

/* An absolute URI of http or https with a host and no user. */
bool t8_link_is_good(slice text);
bool t8_is_of(slice text, const char *characters); /* of these alone */

typedef struct t8_body {
    const t8_api *api;
    bool is_patch;  /* as the api's patch_kind says */
    int64_t now_ms; /* what has to be in the future is later */
} t8_body;

/* Writes RESOURCE, behind the ID, MSISDN or GROUP in it. False: `fault` says why. */
bool t8_body_read(body_arena *arena, body_text json, const t8_body *what, dro_builder *out, body_fault *fault);
