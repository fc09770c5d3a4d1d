/* Reading Diameter: bytes -> diameter_message. Pure; borrows the bytes. */
#pragma once

#include "base/cursor.h"
#include "wire/diameter/pdu.h"

/* The header. DRO_TRUNCATED: fewer than 20 bytes. Judges nothing. */
DRO_CHECKED dro_err diameter_header_read(dro_cursor *in, diameter_header *header);

/* Length field of the message that starts here, which has at least 4 bytes. */
static inline uint32_t diameter_length(const uint8_t *bytes)
{
    return (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* One whole message of `length` bytes into a flat array. False: fault says why
 * (5011 version, 5015 length, 5014, 3009, 5004 too deep, 5012 too many AVPs); the
 * header and the AVPs before the fault are there, so that an answer can be made. */
bool diameter_read(diameter_message *message, const void *bytes, size_t length, diameter_fault *fault);

/* Of one whole message only what its refusal depends on: the header, Session-Id, Proxy-Info, DRMP and
 * OC-Supported-Features. Groups stay closed and no value is judged: for who answers without looking further. False: something is
 * wrong all the same, and diameter_read says what. */
bool diameter_skim(diameter_message *message, const void *bytes, size_t length);

/* First AVP of that name, at the top level; or NULL. */
const diameter_avp *diameter_find(const diameter_message *message, diameter_name name);
/* First of that name directly inside the grouped AVP `group` (NULL: none). */
const diameter_avp *diameter_find_in(const diameter_message *message, const diameter_avp *group, diameter_name name);
/* Next of the same name beside `avp`, or NULL. */
const diameter_avp *diameter_find_next(const diameter_message *message, const diameter_avp *avp);

/* Values; 0 for NULL or for a value of another width. */
uint32_t diameter_u32(const diameter_avp *avp);
uint64_t diameter_u64(const diameter_avp *avp);
/* Time (RFC 6733 4.3.1) as seconds since 1970, 0 for NULL; good until 2104. */
uint32_t diameter_time(const diameter_avp *avp);
/* TBCD (see diameter_put_tbcd) as digits; false: NULL, empty, too long, or no digits. */
bool diameter_tbcd(const diameter_avp *avp, char out[DIAMETER_DIGITS_MAX + 1]);
/* Is the value this text? Letters of identities compare without case. */
bool diameter_is(const diameter_avp *avp, const char *text);
bool diameter_is_identity(const diameter_avp *avp, const char *text);
/* Host or realm name: 1 to 255 letters, digits, '-', '_' and '.'. */
bool diameter_identity_valid(const uint8_t *bytes, size_t length);
