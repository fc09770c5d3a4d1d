/* Names of devices and networks as standards write them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* External Identifier (TS 23.003 19.7.2, RFC 4282 2.1): `local@domain`. */
enum { EXTERNAL_IDENTIFIER_MAX = 253 };
/* Written to `out` with the domain in lower case; false: it is none. */
bool external_identifier_read(const char *text, size_t length, char out[EXTERNAL_IDENTIFIER_MAX + 1]);
/* `out` has room for the text and a NUL. */
bool external_domain_read(const char *text, size_t length, char *out);
