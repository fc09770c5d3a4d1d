/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at `bytes`, or 0 where none begins. */
size_t dro_utf8_step(const void *bytes, size_t left);
bool dro_utf8_is_valid(const void *bytes, size_t length);
