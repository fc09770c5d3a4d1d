/* Numbers of rows. A table of the core is an array, a row's number its index; 0-based unless said
 * otherwise. A twin's own number (twin.number) is another thing: 64 bits, never used again, its partition
 * (twin/directory.h) in the top 12. */
#pragma once

#include <stdint.h>

enum { NONE = 0xffffffffu };               /* no row */
enum { NONE16 = 0xffff };                  /* the same where rows have 16 bits */
#define PARTITION_MASK 0xfff0000000000000u /* of a number; the rest counts */
