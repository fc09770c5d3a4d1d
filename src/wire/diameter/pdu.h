/* Diameter on the wire (RFC 6733 3 and 4): header, AVPs, what is wrong with them.
 * Everything read borrows the bytes it was read from. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/diameter/dict.h"

enum {
    DIAMETER_VERSION = 1,
    DIAMETER_HEADER_BYTES = 20,
    DIAMETER_MESSAGE_MAX = 65536, /* bytes of one message, multiple of 4 */
    DIAMETER_AVPS_MAX = 512,      /* in one message, at all depths */
    DIAMETER_DEPTH_MAX = 8,       /* of grouped AVPs in each other */
    DIAMETER_DIGITS_MAX = 15,     /* of a number: E.164, E.212 */

    DIAMETER_FLAG_REQUEST = 0x80,
    DIAMETER_FLAG_PROXIABLE = 0x40,
    DIAMETER_FLAG_ERROR = 0x20,
    DIAMETER_FLAG_RETRANSMITTED = 0x10,

    DIAMETER_AVP_VENDOR = 0x80,
    DIAMETER_AVP_MANDATORY = 0x40,
    DIAMETER_AVP_PROTECTED = 0x20,
    DIAMETER_AVP_RESERVED = 0x1f,
};

typedef struct diameter_header {
    uint32_t length; /* of the whole message */
    uint32_t code, application;
    uint32_t hop_by_hop, end_to_end;
    uint8_t version, flags;
} diameter_header;

typedef struct diameter_avp {
    const uint8_t *data;  /* borrowed; of a grouped AVP: the AVPs in it */
    uint32_t length;      /* of data, without padding */
    uint32_t code, vendor;
    uint16_t name;        /* diameter_name; AVP_UNKNOWN for what the dictionary has not */
    uint16_t next;        /* index behind this AVP and all in it */
    uint16_t parent;      /* index of the grouped AVP around it, or DIAMETER_TOP */
    uint8_t flags;
    uint8_t depth;
} diameter_avp;

enum { DIAMETER_TOP = 0xffff };

/* All AVPs in the order of their bytes; the ones inside a grouped AVP follow it.
 * Groups the dictionary does not know, and Failed-AVP, are not opened. */
typedef struct diameter_message {
    diameter_header header;
    const uint8_t *bytes;
    uint32_t count;
    uint64_t top;                 /* a bit for each name at the top level, modulo 64: what is surely not there */
    diameter_avp avps[DIAMETER_AVPS_MAX];
} diameter_message;

/* What is wrong, as the answer says it. data == NULL with length > 0: an example
 * of zeros. result == 0: nothing is wrong. */
typedef struct diameter_fault {
    uint32_t result;      /* Result-Code, or */
    uint32_t experimental;/* Experimental-Result-Code of 3GPP; one of both is 0 */
    bool has_avp;         /* the rest describes a Failed-AVP */
    uint8_t flags;
    uint8_t around_count; /* of grouped AVPs around it, outermost first */
    uint32_t code, vendor, length;
    const uint8_t *data;  /* borrowed */
    uint16_t around[DIAMETER_DEPTH_MAX]; /* diameter_name */
} diameter_fault;
