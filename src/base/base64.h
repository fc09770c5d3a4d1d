/* Base64 (RFC 4648): with padding (4), and as base64url without (5; RFC 7515 2). */
#pragma once

#include "base/builder.h"

void dro_base64_put(dro_builder *out, const uint8_t *bytes, size_t length);
/* The bytes a text stands for: padded, nothing else in it. DRO_MALFORMED; DRO_LIMIT: no room. */
DRO_CHECKED dro_err dro_base64_read(dro_builder *out, const char *text, size_t length);

void dro_base64url_put(dro_builder *out, const uint8_t *bytes, size_t length);
/* The same for base64url: no padding, and one text only for the same bytes. */
DRO_CHECKED dro_err dro_base64url_read(dro_builder *out, const char *text, size_t length);
