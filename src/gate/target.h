/* Target: what a request line asks for (RFC 9112 clause 3.2), its path split and
 * percent-decoded, and the small texts in it: identifiers, durations, digests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/http_limits.h"
#include "twin/identifier.h"

typedef struct slice { /* borrowed bytes */
    const char *at;
    uint32_t length;
} slice;

typedef struct target {
    slice path;                          /* as it came, without the query */
    slice query;                         /* as it came */
    uint32_t count;                      /* segments */
    slice segments[HTTP_SEGMENTS_MAX];   /* decoded; "a/b" has two, "a/" has a last one that is empty */
} target;

/* Reads origin form ("/a/b?c") and absolute form ("http://host/a/b?c"). Decoded
 * segments borrow `raw` or `room` (at least `length` bytes). Returns the HTTP
 * status: 0 good, 400 malformed (bad escape, not UTF-8, control characters, a
 * dot segment), 404 too deep. */
int target_read(target *out, const char *raw, size_t length, char *room);

/* One `name=value` of a query, decoded into `room` (at least the query's length;
 * `*room_used` moves on). False at the end; *status = 400 when malformed. */
bool target_query_next(slice *query, slice *name, slice *value, char *room, size_t *room_used, int *status);

/* Decodes percent escapes (and '+' as a blank if `is_form`). The length, or -1
 * when an escape is broken, a control character or no UTF-8 comes out. */
int target_decode(const char *raw, size_t length, bool is_form, char *out);

/* External Identifier (TS 23.003 19.7.2, RFC 4282 2.1): `local@domain`, at most
 * IDENTIFIER_MAX bytes. Written to `out` with the domain in lower case. */
enum { IDENTIFIER_MAX = EXTERNAL_IDENTIFIER_MAX };
bool identifier_read(slice text, char out[IDENTIFIER_MAX + 1]);
/* `out` has room for the text and a NUL. */
bool domain_read(slice text, char *out);
/* The part behind the last '@' of an identifier that was read. */
slice identifier_domain(const char *identifier);

/* RFC 3339 date and time -> milliseconds since 1970, 0 to the year 9999. */
bool time_read(slice text, int64_t *ms);
/* "500ms", "10s", "2m" -> milliseconds; false: not one, or over INT32_MAX. */
bool duration_read(slice text, uint64_t *ms);
/* Decimal digits only. */
bool number_read(slice text, uint64_t *out);
/* "sha256:" and 64 hexadecimal digits. */
bool digest_read(slice text, uint8_t out[32]);
bool slice_is(slice text, const char *word);
