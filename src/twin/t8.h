/* T8 (TS 29.122) as tables: what its resources and notifications are made of. One table serves
 * both sides: the gate reads JSON by it (gate/t8_body.c), the core and the gate's courier write
 * JSON by it (twin/t8_json.c). In between an object is a list of fields (base/fields.h) whose
 * tags are its own; a member that is an object is a field with fields inside, a list is its
 * field again and again, in order.
 *
 * The tables are in t8_monitoring.c and its like. Non-IP data delivery has its own (twin/nidd.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/fields.h"
#include "ring/message.h"

typedef enum t8_kind { /* of a member, and what its field holds: */
    T8_TEXT,        /* its bytes: `least` to `most`; without: 1 to T8_TEXT_MAX */
    T8_IDENTIFIER,  /* External (Group) Identifier: local@domain, domain in lower case */
    T8_DIGITS,      /* MSISDN */
    T8_LINK,        /* absolute http or https URI */
    T8_FEATURES,    /* supportedFeatures: hexadecimal digits; shown: those that both have */
    T8_TIME,        /* i64, milliseconds since 1970 */
    T8_TIME_OF_DAY, /* text as it came: partial-time or full-time (RFC 3339) */
    T8_INTEGER,     /* i64: `least` to `most`; without: 0 to T8_INTEGER_MAX */
    T8_NUMBER,      /* f64, 0 or more */
    T8_BOOLEAN,     /* u8 */
    T8_OPTION,      /* u8: its place in `options` */
    T8_BYTES,       /* the bytes that base64 stands for, at most `most` */
    T8_OBJECT,      /* fields, by `object` */
    T8_MAP,         /* an object with any names: fields by `object` for each, its name in T8_FIELD_KEY */
    T8_WEBSOCKET,   /* u8: requestWebsocketUri of a WebsockNotifConfig */
    T8_JSON,        /* any value of the type that `least` says (enum t8_json_type), as JSON text; shown as it came */
} t8_kind;

enum t8_json_type { T8_JSON_ANY, T8_JSON_OBJECT, T8_JSON_ARRAY, T8_JSON_TEXT, T8_JSON_NUMBER, T8_JSON_BOOLEAN };

enum t8_use {
    T8_REQUIRED = 1,   /* where the object is given whole */
    T8_LIST = 2,       /* an array, of 1 to T8_LIST_MAX */
    T8_READ_ONLY = 4,  /* this host's: one that an application sends is passed over */
    T8_NULLABLE = 8,   /* in a patch: null removes it */
    T8_HIDDEN = 16,    /* never shown */
    T8_FUTURE = 32,    /* a time that is not over */
    T8_PATCHED = 128,  /* may be changed by a JSON patch */
    T8_MAY_BE_EMPTY = 256, /* of a list: then it is a field without bytes */
    T8_DROPPED = 64,   /* looked at and not kept: it belongs to a feature that this host does not have */
};

typedef struct t8_object t8_object;
typedef struct t8_member {
    const char *name;
    uint8_t field;              /* tag */
    uint8_t kind;               /* t8_kind */
    uint16_t uses;              /* bits of enum t8_use */
    int64_t least, most;        /* both 0: as the kind says */
    const t8_object *object;
    const char *const *options; /* the last is NULL */
} t8_member;
struct t8_object { const t8_member *members; uint32_t count; };

/* Tags that mean the same in every resource: those of enum api_field. Others are the table's own to choose. */
enum t8_field {
    T8_FIELD_ID = API_FIELD_ID, T8_FIELD_MSISDN = API_FIELD_MSISDN, T8_FIELD_GROUP = API_FIELD_GROUP,
    T8_FIELD_PROVIDER = API_FIELD_PROVIDER, T8_FIELD_FEATURES = API_FIELD_FEATURES,
    T8_FIELD_DESTINATION = API_FIELD_DESTINATION, T8_FIELD_TEST = API_FIELD_TEST, T8_FIELD_WEBSOCKET = API_FIELD_WEBSOCKET,
    T8_FIELD_NULLED = API_FIELD_NULLED, /* of a merge patch: u8, tag of a member that is removed */
    T8_FIELD_CHANGE = 240,              /* of a JSON patch, one after the other: t8_change, then fields of its value */
    T8_FIELD_KEY = 250,                 /* in an entry of a map: its name */
};

/* An operation of a JSON patch (RFC 6902) on a member, or on one item of a list. */
enum t8_change_kind { T8_CHANGE_ADD, T8_CHANGE_REMOVE, T8_CHANGE_REPLACE };
enum { T8_CHANGE_WHOLE = 0xffff, T8_CHANGE_END = 0xfffe };
typedef struct t8_change { uint8_t kind, tag; uint16_t place; } t8_change; /* place: of a list; END: behind the last, WHOLE: the member */

/* One kind of T8 resource with an entry per application and device or group. */
enum exposure_kind { EXPOSURE_MONITORING, EXPOSURE_TRIGGER, EXPOSURE_PATTERNS, EXPOSURE_PARAMETERS, EXPOSURE_KINDS };
enum t8_patch_kind { T8_PATCH_NONE, T8_PATCH_MERGE, T8_PATCH_JSON };
enum t8_identity { T8_BY_ID = 1, T8_BY_MSISDN = 2, T8_BY_GROUP = 4, T8_BY_NOBODY = 8 /* may have none */ };

typedef struct t8_api {
    const char *path;           /* "3gpp-monitoring-event"; NULL: not there */
    const char *collection;     /* "subscriptions" */
    const char *word;           /* "subscription": one of them, and its link in a notification */
    uint32_t scope;             /* enum scope */
    const t8_object *resource;
    uint8_t patch_kind;
    uint8_t identities;         /* bits of enum t8_identity: exactly one of those */
    const t8_object *patch;     /* of a merge patch */
    const t8_object *notice;    /* a notification beside its link; NULL: none is sent */
    uint64_t features;          /* bits of supportedFeatures that this host has */
} t8_api;
extern const t8_api *const t8_apis[EXPOSURE_KINDS];
const t8_api *t8_api_find(const char *path, size_t length); /* by the first part of a path; NULL: none */

enum {
    T8_TEXT_MAX = 255,
    T8_LINK_MAX = 1024,
    T8_FEATURES_MAX = 16,
    T8_LIST_MAX = 64,           /* items of a list, entries of a map */
    T8_DEPTH_MAX = 6,           /* of objects in objects */
    T8_JSON_MAX = 1024,         /* bytes of a value that is kept as it came */
    T8_CHANGES_MAX = 64,        /* operations of one JSON patch */
    T8_FIELDS_MAX = 4096,       /* bytes of a resource */
};
#define T8_INTEGER_MAX ((int64_t)UINT32_MAX)

/* The first field of that tag; NULL: absent. */
const dro_field *t8_find(const uint8_t *fields, size_t length, uint32_t tag, dro_field *room);
int64_t t8_integer(const uint8_t *fields, size_t length, uint32_t tag, int64_t absent); /* T8_TIME, T8_INTEGER */
uint32_t t8_option(const uint8_t *fields, size_t length, uint32_t tag, uint32_t absent); /* T8_OPTION, T8_BOOLEAN, T8_WEBSOCKET */
const t8_member *t8_member_of(const t8_object *object, uint32_t tag);                    /* or NULL */
/* Old fields, with those of a merge patch in their place and without those that it nulls. */
void t8_merge(const t8_object *patch, const uint8_t *old, size_t old_length, const uint8_t *fields, size_t length, dro_builder *out);
/* Old fields with the changes of a JSON patch. NULL, or why it cannot be: `tag` of the member. */
const char *t8_apply(const t8_object *object, const uint8_t *old, size_t old_length, const uint8_t *fields, size_t length,
                     dro_builder *out, uint8_t *tag);

/* Writers of an object's fields: t8_field_put for scalars, these around an object. At most 64 KiB in one. */
size_t t8_object_begin(dro_builder *out, uint8_t tag);
void t8_object_end(dro_builder *out, size_t begin);
static inline void t8_put_integer(dro_builder *out, uint8_t tag, int64_t value) { dro_field_put(out, tag, &value, 8); }
static inline void t8_put_byte(dro_builder *out, uint8_t tag, uint8_t value) { dro_field_put(out, tag, &value, 1); }

/* t8_json.c: the members that are there, in the table's order. `separator`: before the first one, "" or ",". */
void t8_members_json(dro_builder *out, const t8_object *object, const uint8_t *fields, size_t length, uint64_t features, const char *separator);
