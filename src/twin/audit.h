/* Audit: who did what, as it is kept in the record of the log that made it so, and the line of an audit file that is
 * made of it.
 *
 *   note = act u16, then fields (base/fields.h) by the table in audit.c
 *
 * It says all that its line says: nothing else is looked up when the line is written. No IMSI, MSISDN, secret or token
 * is ever in it. A new act or member is one row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "twin/line.h"

enum audit_class {               /* what can be left out; admin and security cannot */
    AUDIT_CLASS_ADMIN, AUDIT_CLASS_SECURITY, AUDIT_CLASS_TWINS, AUDIT_CLASS_T8, AUDIT_CLASS_COMMANDS,
    AUDIT_CLASSES,
};

/* In files for good: new ones at the end of their group, with a number of their own. */
enum audit_act {
    AUDIT_NONE = 0,
    /* the administrator's */
    AUDIT_APPLICATION_MADE = 1, AUDIT_APPLICATION_CHANGED, AUDIT_APPLICATION_REMOVED, AUDIT_APPLICATION_TOKEN,
    AUDIT_SESSION_OFFERED = 10, AUDIT_SESSION_BEGUN,
    AUDIT_IMAGE_UPLOADED = 20, AUDIT_IMAGE_QUARANTINED, AUDIT_IMAGE_REMOVED,
    AUDIT_BACKUP_TAKEN = 30, AUDIT_BACKUP_RESTORED,
    AUDIT_TRACE_BEGUN = 40, AUDIT_TRACE_ENDED,
    AUDIT_DOMAIN_MADE = 50, AUDIT_DOMAIN_ROTATED, AUDIT_DOMAIN_SHREDDED, AUDIT_MASTER_KEY_ROTATED,
    AUDIT_BUDGET_CHANGED = 60, AUDIT_TWIN_PENALIZED, AUDIT_TWIN_PARDONED, AUDIT_STOP_PUT, AUDIT_STOP_REMOVED,
    /* the host's own */
    AUDIT_HOST_STARTED = 100, AUDIT_HOST_STOPPED, AUDIT_ROOM_DIED,
    AUDIT_LOG_BEGUN = 110, AUDIT_LOG_GAP, AUDIT_LOG_SIGNED, AUDIT_LOG_CUT, AUDIT_LOG_FILES_REMOVED,
    /* security */
    AUDIT_ACCESS_REFUSED = 200, AUDIT_TOKEN_ISSUED, AUDIT_CERTIFICATE_REFUSED, AUDIT_PEER_CONNECTED, AUDIT_PEER_LOST, AUDIT_PEER_REFUSED,
    AUDIT_REFUSALS_DROPPED,
    AUDIT_INVOKER_ONBOARDED = 220, AUDIT_INVOKER_CHANGED, AUDIT_INVOKER_OFFBOARDED, AUDIT_INVOKER_SECURITY_SET, AUDIT_INVOKER_SECURITY_REMOVED,
    AUDIT_INVOKER_REVOKED,
    /* twins and groups */
    AUDIT_TWIN_PUT = 300, AUDIT_TWIN_REMOVED,
    AUDIT_GROUP_PUT = 310, AUDIT_GROUP_REMOVED, AUDIT_GROUP_MEMBER_ADDED, AUDIT_GROUP_MEMBER_REMOVED,
    /* what applications make over T8 */
    AUDIT_NIDD_MADE = 400, AUDIT_NIDD_CHANGED, AUDIT_NIDD_REMOVED, AUDIT_NIDD_PORT_SET, AUDIT_NIDD_PORT_REMOVED,
    AUDIT_EXPOSURE_MADE = 410, AUDIT_EXPOSURE_CHANGED, AUDIT_EXPOSURE_REMOVED, AUDIT_PATTERN_SET, AUDIT_PATTERN_REMOVED,
    AUDIT_COVERAGE_CONFIGURED,
    /* commands and data */
    AUDIT_PROPERTY_WRITTEN = 500, AUDIT_ACTION_CALLED, AUDIT_TICKET_ENDED,
    AUDIT_DELIVERY_MADE = 510, AUDIT_DELIVERY_CHANGED, AUDIT_DELIVERY_REMOVED,
    AUDIT_TRIGGER_MADE = 520, AUDIT_TRIGGER_CHANGED, AUDIT_TRIGGER_REMOVED,
};

enum audit_tag {
    AUDIT_ACTOR = 1,             /* text: "admin", "application as1", "session 17", "host", "peer mme.example" */
    AUDIT_SOURCE = 2,            /* text: address and port it came from */
    AUDIT_REQUEST = 3,           /* u64: of the gate that took it */
    AUDIT_STATUS = 4,            /* u16: as it was answered, in HTTP's numbers or Diameter's; absent: nobody was */
    AUDIT_OBJECT = 5,            /* text: what it was done to; may come again */
    AUDIT_IN = 6,                /* text: in what that lies: a group, an application's resources */
    AUDIT_MEMBER = 7,            /* text: what of it was given, without values; may come again */
    AUDIT_COUNT = 8,             /* u64: so many of these are told of together */
    AUDIT_DETAIL = 9,            /* text */
    AUDIT_FIRST = 10,            /* i64 ms: of several, the first */
    AUDIT_SERIES = 11,           /* u64: another series of lines, */
    AUDIT_SEQUENCE = 12,         /* u64: a line, */
    AUDIT_HASH = 13,             /* 32 bytes: its hash, */
    AUDIT_SIGNATURE = 14,        /* 64 bytes: Ed25519 over what audit_signed says of that, */
    AUDIT_KEY = 15,              /* 32 bytes: by this public key */
};

enum {
    AUDIT_BYTES_MAX = 4096, AUDIT_LINE_MAX = 6 * AUDIT_BYTES_MAX + 1024,
    AUDIT_OBJECTS_MAX = 64,      /* of one line */
    AUDIT_HASH_BYTES = 32, AUDIT_SIGNATURE_BYTES = 64,
    AUDIT_SIGNED_TEXT = 192,
};

const char *audit_act_text(uint32_t act, uint32_t status); /* NULL: none */
enum audit_class audit_class_of(uint32_t act);
const char *audit_class_text(enum audit_class is);

/* The line up to and with "previous", without its hash, which is of exactly these bytes. DRO_MALFORMED: bytes that are none; DRO_LIMIT:
 * the buffer. */
DRO_CHECKED dro_err audit_line(dro_builder *out, const line_origin *origin, const uint8_t previous[AUDIT_HASH_BYTES], const uint8_t *bytes,
                               size_t length);

/* May their objects be told of in one line: the same act of the same request with the same end? */
bool audit_may_join(const uint8_t *one, size_t one_length, const uint8_t *other, size_t other_length);

/* What a signature is over: a text with its end, made of nothing but what the line that holds it says. Its length. */
size_t audit_signed(char out[AUDIT_SIGNED_TEXT], uint64_t series, uint64_t sequence, const uint8_t hash[AUDIT_HASH_BYTES]);
