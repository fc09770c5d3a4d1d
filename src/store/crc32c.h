/* CRC32C (Castagnoli, RFC 3720 appendix B.4) of bytes, continued from `crc`
 * (0 at first): crc32c(crc32c(0, a), b) is that of a followed by b.
 * Uses the processor's instruction where there is one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);
/* The same from tables: what crc32c falls back to, and what tests compare it with. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t length);
