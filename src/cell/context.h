/* Context: the private bytes of one twin, as the difference between what its
 * memory and globals hold after a turn and what the image starts with. Empty: a
 * twin as it is born.
 *
 *   version u8 = 1, changed globals u8, reserved u16 = 0, length of the memory u32,
 *   for each changed global: number u32, bits u64,
 *   for each changed chunk of 64 bytes, ascending: number u16, mask u16 of its 16
 *   words, then the words that differ. Little-endian.
 *
 * It comes back to us authenticated, but is checked completely before anything of
 * it is used: it may be of another version, or of another image. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cell/artifact.h"

enum { CONTEXT_VERSION = 1, CONTEXT_HEADER = 8, CONTEXT_GLOBAL = 12 };

/* The most bytes a context of this image can have, at most CONTEXT_BYTES_MAX. */
size_t context_bound(const artifact_info *info);

/* DRO_OK: fits; *memory_length is what the memory must have before it is applied. */
DRO_CHECKED dro_err context_check(const artifact_info *info, const uint8_t *context, size_t length,
                                  uint32_t *memory_length);
/* After context_check: changes memory; gives globals one after the other. */
void context_apply_memory(const uint8_t *context, size_t length, uint8_t *memory);
uint32_t context_global_count(const uint8_t *context, size_t length);
uint64_t context_global(const uint8_t *context, uint32_t at, uint32_t *number);

/* Where a context is written to. `is_full` once something did not fit. */
typedef struct context_writer { uint8_t *start, *at, *end; bool is_full; } context_writer;

void context_begin(context_writer *out, void *room, size_t capacity);
void context_put_global(context_writer *out, uint32_t number, uint64_t bits); /* before the memory */
/* Writes every chunk of [from, to) that differs and makes it as in the baseline
 * again, also what does not fit. Both are multiples of CHUNK and aligned to it. */
void context_put_memory(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t from, uint32_t to);
/* Length of the context: 0 when nothing was put. */
size_t context_end(context_writer *out, uint32_t memory_length);

/* The way of comparing this processor has; tests compare them all. */
typedef void (*context_put_fn)(context_writer *out, uint8_t *memory, const uint8_t *baseline, uint32_t from,
                               uint32_t to);
typedef struct context_way { const char *name; context_put_fn put; } context_way;
uint32_t context_ways(context_way out[4]); /* number of ways; the last is the best */
