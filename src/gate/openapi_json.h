/* /openapi.json, which tools/routes.py writes as C: a file of its own, for a table that long is nothing for a compiler or an
 * analyser to read twice. */
#pragma once
#include <stddef.h>

extern const unsigned char openapi_json[];
extern const size_t openapi_json_bytes;
