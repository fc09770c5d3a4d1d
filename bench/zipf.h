/* Zipf's law: the item of rank k is drawn in proportion to k^-exponent. */
#pragma once

#include <stdint.h>

/* `draws` draws of ranks 0 to items-1, malloc'd; NULL: no memory. The same seed gives the same. */
uint32_t *zipf_draw(uint32_t items, double exponent, uint32_t draws, uint64_t seed);
