/* Base64 (RFC 4648, 4), with padding. */
#pragma once

#include "base/builder.h"

void dro_base64_put(dro_builder *out, const uint8_t *bytes, size_t length);
