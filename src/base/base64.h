/* Base64 (RFC 4648, 4), with padding. */
#pragma once

#include "base/builder.h"

void dro_base64_put(dro_builder *out, const uint8_t *bytes, size_t length);
/* The bytes a text stands for: padded, nothing else in it. DRO_MALFORMED; DRO_LIMIT: no room. */
DRO_CHECKED dro_err dro_base64_read(dro_builder *out, const char *text, size_t length);
