/* Messages between rooms: the one table. Every room knows these and nothing else
 * of another room. Bodies are flat: a fixed struct (native layout; rooms of one
 * host are one build), then bytes or fields (base/fields.h). Lengths inside are
 * checked by the reader against the message's own length.
 *
 * An id in a ring header is chosen by the asking room and given back in the answer.
 *
 * With several cores a gate has rings with each. What goes where:
 *   core of the twin (directory_route of the ID, or of the IMSI): requests with an ID, SUBSCRIBE with
 *     an ID, UPLINK, CONNECTION, AUTHORIZATION_UPDATE (by the first of its identities that a twin has);
 *     the DOWNLINK_ANSWER goes where its DOWNLINK came from, so does the INQUIRY_ANSWER;
 *   core 0: IMAGE_*, APPLICATION_*, LOGIN, SESSION, PEERS, PEER, and METRICS and the admin's STATUS, which are of
 *     the whole host; it alone sends CREDENTIAL;
 *   core of the reference's twin (its partition is in the upper 12 bits), 0 of a group's: NETWORK_REPORT;
 *   core of the partition in the reference's upper 12 bits: TRIGGER_OUTCOME;
 *   core of the trace (in its number): TRACE_*; TRACED too, but where it has an IMSI or MSISDN, through the core of that,
 *     which puts the device's name in its place;
 *   core 0 too: GROUP_* without an ID, configurations and deliveries of groups (their numbers tell);
 *   each core: GROUP_MEMBERS, the same to all; each but core 0: WEBSOCKET_HERE;
 *   each core, for the gate to join: TWIN_LIST, GROUP_MEMBER_LIST, GROUP_TICKET_MEMBERS (a cursor is its core's), DEAD_LETTERS, BARRIER,
 *     SUBSCRIBE without an ID (event ids are a core's own sequence, resumed with that core). */
#pragma once

#include <stdint.h>

enum message_type {
    /* gate -> core */
    MESSAGE_API = 1,            /* api_request + fields              -> MESSAGE_API_REPLY      */
    MESSAGE_UPLINK = 2,         /* uplink_request + text + bytes     -> MESSAGE_NETWORK_ANSWER */
    MESSAGE_CONNECTION = 3,     /* connection_request + text         -> MESSAGE_NETWORK_ANSWER */
    MESSAGE_DOWNLINK_ANSWER = 4,/* downlink_answer; id as in MESSAGE_DOWNLINK                  */
    MESSAGE_PEER = 5,           /* peer_state + text                                          */
    MESSAGE_SUBSCRIBE = 6,      /* fields; id names the stream       -> MESSAGE_API_REPLY, then MESSAGE_STREAM_EVENT */
    MESSAGE_UNSUBSCRIBE = 7,    /* empty; id names the stream                                 */
    MESSAGE_CREDIT = 8,         /* u64: events the gate has passed on for stream id since the last */
    MESSAGE_NOTICE_ANSWER = 9,  /* notice_answer; id as in MESSAGE_NOTICE                      */
    MESSAGE_AUTHORIZATION_UPDATE = 13, /* authorization_update + fields -> MESSAGE_NETWORK_ANSWER */
    MESSAGE_GROUP_MEMBERS = 14, /* group_members + fields             -> MESSAGE_NETWORK_ANSWER of each core, where wanted */
    MESSAGE_WEBSOCKET_HERE = 15, /* websocket_here: that of a group's configuration, to the cores it was not asked of */
    MESSAGE_NETWORK_REPORT = 61,/* network_report + fields           -> MESSAGE_REPORT_ANSWER  */
    MESSAGE_INQUIRY_ANSWER = 60,/* inquiry_answer + fields; id as in MESSAGE_INQUIRY          */
    MESSAGE_WEBSOCKET_GONE = 58, /* websocket_gone: an application's websocket has ended                */
    MESSAGE_LEDGER_STATE = 74,  /* ledger_state: from the room of charging or of the audit log, ring/ledger.h */
    MESSAGE_LEDGER_LINES = 83,  /* ledger_lines: from the room of the audit log                              */
    MESSAGE_AUDIT = 81,         /* act u16, fields of enum audit_tag (twin/audit.h): what the gate itself refused or saw; core 0 */
    MESSAGE_CAPIF_STATE = 75,   /* capif_news + fields: what the publisher has at a CAPIF core function, to be kept; core 0    */
    MESSAGE_TRIGGER_OUTCOME = 62, /* trigger_outcome + text + fields  -> MESSAGE_NETWORK_ANSWER */
    MESSAGE_TRACED = 56,        /* traced + text: a message of a trace; also core -> gate, for another core */

    /* core -> gate */
    MESSAGE_API_REPLY = 16,     /* api_reply + location + body                                */
    MESSAGE_NETWORK_ANSWER = 17,/* network_answer                                             */
    MESSAGE_DOWNLINK = 18,      /* downlink_request + text + bytes   -> MESSAGE_DOWNLINK_ANSWER */
    MESSAGE_STREAM_EVENT = 19,  /* stream_event + text; id names the stream                   */
    MESSAGE_CREDENTIAL = 20,    /* credential + fields: tokens the gate may accept            */
    MESSAGE_NOTICE = 21,        /* notice_request + fields           -> MESSAGE_NOTICE_ANSWER */
    MESSAGE_SIGNING_KEY = 22,   /* signing_key_news: of core 0, before the admin's CREDENTIAL and at each change */
    MESSAGE_LEDGER = 77,        /* ledger_message: to such a room */
    MESSAGE_LEDGER_QUESTION = 82, /* ledger_question: to the room of the audit log -> MESSAGE_LEDGER_LINES */
    MESSAGE_RELEASE = 27,       /* downlink_request without data: that connection is over; nothing comes back */
    MESSAGE_REPORT_ANSWER = 64, /* report_answer                                              */
    MESSAGE_INQUIRY = 28,       /* inquiry_request + text + fields   -> MESSAGE_INQUIRY_ANSWER */
    MESSAGE_WEBSOCKET_REPLACED = 59, /* empty; id is the websocket: another one is there */
    MESSAGE_CAPIF = 78,         /* the fields of the newest MESSAGE_CAPIF_STATE, of core 0: to a new gate, and at each change to all */
    MESSAGE_STOPS = 80,         /* stop_news, of core 0: to a new gate, and at each change to all */
    MESSAGE_STORAGE = 84,       /* storage_news: to a new gate whose core cannot write its log, and at each change to all */
    MESSAGE_TRACE = 57,         /* trace_request + text; id names the trace   -> MESSAGE_TRACED, until it is off */

    /* core -> cell, cell -> core */
    MESSAGE_TURN = 32,          /* turn_request + context + event    -> MESSAGE_TURN_RESULT   */
    MESSAGE_TURN_RESULT = 33,   /* turn_result + context + effects                            */
    MESSAGE_TURN_NEXT = 34,     /* turn_request + event: of the twin of the message before, with the context that
                                 * its turn left; TURN_HOST if it left none   -> MESSAGE_TURN_RESULT */

    /* gate -> desk, desk -> gate */
    MESSAGE_QUERY = 48,         /* query_request + domains + SQL     -> MESSAGE_API_REPLY     */
};

/* ---- HTTP API: gate <-> core ---- */

/* What an application may do. Bits of api_request.scopes and credential.scopes. */
enum scope {
    SCOPE_READ = 1, SCOPE_WRITE = 2, SCOPE_IMAGES = 4, SCOPE_NIDD = 8,
    SCOPE_MONITORING = 16, SCOPE_TRIGGER = 32, SCOPE_PARAMETERS = 64,
    SCOPE_ADMIN = 128, /* everything, all domains: the holder of admin.token */
    SCOPE_PROVISION = 256, /* which device a twin is of: its IMSI and MSISDN */
    SCOPE_CAPIF = 512, /* a CAPIF core function: takes back what it let others do */
    SCOPE_ALL = 0x37f, /* that an application may have */
};

/* One operation of /v1. The gate has checked the token and its scope for the
 * route; the core checks the domain. Fields are named in comments; (?) optional. */
enum api_operation {
    API_IMAGE_PUT = 1,      /* BODY (a part), LAST(?); parts share the id and follow each other */
    API_IMAGE_LIST,
    API_IMAGE_GET,          /* IMAGE */
    API_TWIN_PUT,           /* ID, IMAGE(?), MODEL(?), IMSI(?), MSISDN(?), ALIAS*, TAG*, SECRET*, IF_MATCH(?), IF_NONE_MATCH(?); NULLED* names members set to null */
    API_TWIN_GET,           /* ID */
    API_TWIN_DELETE,        /* ID, IF_MATCH(?) */
    API_TWIN_LIST,          /* MODEL(?), TAG(?), LIMIT(?), CURSOR(?) */
    API_PROPERTY_LIST,      /* ID */
    API_PROPERTY_GET,       /* ID, NAME */
    API_PROPERTY_PUT,       /* ID, NAME, VALUE, WAIT(?), TIMEOUT(?), IF_MATCH(?) */
    API_ACTION,             /* ID, NAME, INPUT*, WAIT(?), TIMEOUT(?) */
    API_TICKET_LIST,        /* ID */
    API_TICKET_GET,         /* ID, TICKET */
    API_TIMELINE,           /* ID, LIMIT(?), NETWORK(?) */
    API_HISTORY,            /* ID, NAME, LIMIT(?) */
    API_THING_DESCRIPTION,  /* ID -> CONTENT_THING_MODEL */
    API_APPLICATION_PUT,    /* APPLICATION, DOMAIN*, SCOPES, CEILING*, CERTIFICATE*, APN* */
    API_APPLICATION_LIST,
    API_APPLICATION_GET,    /* APPLICATION */
    API_APPLICATION_DELETE, /* APPLICATION */
    API_APPLICATION_TOKEN,  /* APPLICATION */
    API_LOGIN,              /* admin asks for a one-time console token */
    API_SESSION,            /* with a one-time token: a session's token */
    API_DEAD_LETTERS,       /* LIMIT(?) */
    API_STATUS,
    API_PEERS,
    API_METRICS,            /* -> CONTENT_TEXT: the core's part of /metrics */
    API_BARRIER,            /* -> 204 once all that was answered before is visible to queries */
    API_BACKUP,             /* LIMIT: number of the piece asked for, 0 begins, BACKUP_ALL_BEGAN; LAST(?): no more is wanted (no answer) -> CONTENT_PIECE */

    /* Non-IP data delivery (TS 29.122, 5.6). All have SCS_AS. Members of the bodies: twin/nidd.h */
    API_NIDD_CONFIGURATION_LIST,
    API_NIDD_CONFIGURATION_MAKE,
    API_NIDD_CONFIGURATION_GET,    /* CONFIGURATION, as all below */
    API_NIDD_CONFIGURATION_PATCH,
    API_NIDD_CONFIGURATION_DELETE,
    API_NIDD_DELIVERY_LIST,
    API_NIDD_DELIVERY_MAKE,
    API_NIDD_DELIVERY_GET,         /* DELIVERY, as all below */
    API_NIDD_DELIVERY_PUT,
    API_NIDD_DELIVERY_PATCH,
    API_NIDD_DELIVERY_DELETE,

    API_ACCESS_TOKEN = 120, /* APPLICATION, TOKEN (of the client), SCOPE_TEXT, THUMBPRINT(?): signs a JWT; core 0 */
    /* Groups. All have GROUP, but the list */
    API_GROUP_LIST,         /* LIMIT(?), CURSOR(?) */
    API_GROUP_PUT,
    API_GROUP_GET,
    API_GROUP_DELETE,
    API_GROUP_MEMBER_LIST,  /* LIMIT(?), CURSOR(?), NAME(?): with that property */
    API_GROUP_MEMBER_PUT,   /* ID */
    API_GROUP_MEMBER_DELETE,/* ID */
    API_GROUP_PROPERTY_PUT, /* NAME, VALUE */
    API_GROUP_ACTION,       /* NAME, INPUT* */
    API_GROUP_TICKET_LIST,
    API_GROUP_TICKET_GET,   /* TICKET, as all below */
    API_GROUP_TICKET_DELETE,
    API_GROUP_TICKET_MEMBERS, /* STATUS(?): which ones, else those that failed; LIMIT(?), CURSOR(?) */
    API_NIDD_WEBSOCKET = 190,       /* CONFIGURATION: this websocket takes its notifications */
    API_NIDD_PORT_LIST,             /* CONFIGURATION, as all below: ports of the reliable data service */
    API_NIDD_PORT_GET,              /* RDS_PORT, as all below */
    API_NIDD_PORT_PUT,              /* RDS_MANAGED */
    API_NIDD_PORT_DELETE,
    /* Traces of messages. */
    API_TRACE_MAKE = 200,           /* ID or PEER, SECONDS(?) */
    API_TRACE_GET,                 /* TRACE, AFTER(?), LIMIT(?) */
    API_TRACE_DELETE,              /* TRACE */
    API_APPLICATION_PATCH = 210,    /* APPLICATION; as APPLICATION_PUT, what is absent stays. A CEILING of 0: removed; NULLED "limits": all of
                                    * them; "apns", "certificates": those that follow replace what is there */
    API_AUDIT_LIST = 300,          /* AFTER(?), LIMIT(?) -> CONTENT_LINES; core 0, as the one below */
    API_AUDIT_HEAD = 301,          /* how far it is, signed */
    API_CHARGING_GET = 255,        /* how far charging is */
    API_TWIN_EXPOSURES = 256,      /* ID: what applications have at it over T8 beside NIDD */
    /* T8 beside NIDD: what twin/t8.h has tables of. All have SCS_AS and EXPOSURE */
    API_EXPOSURE_LIST = 220,
    API_EXPOSURE_MAKE,              /* ID, MSISDN, GROUP or none of them; RESOURCE */
    API_EXPOSURE_GET,               /* CONFIGURATION, as all below */
    API_EXPOSURE_PUT,               /* RESOURCE */
    API_EXPOSURE_PATCH,             /* RESOURCE */
    API_EXPOSURE_DELETE,
    API_EXPOSURE_WEBSOCKET,         /* this websocket takes its notifications */
    API_COVERAGE_QUERY = 235,       /* ID or MSISDN, RESOURCE (twin/t8_coverage.h) */
    API_COVERAGE_CONFIGURE,         /* the same */
    API_PATTERN_GET,                /* SCS_AS, EXPOSURE, CONFIGURATION, SET_ID, as the two below */
    API_PATTERN_PUT,                /* RESOURCE (twin/t8_patterns.h) */
    API_PATTERN_DELETE,
    API_CAPIF_STATUS = 260,         /* what is published at a CAPIF core function; core 0, as all below */
    API_CAPIF_DISCOVER,             /* CAPIF_FILTER*: the gate alone */
    API_CAPIF_PUBLISHED_LIST,       /* CAPIF_APF: the gate alone */
    API_CAPIF_PUBLISHED_GET,        /* CAPIF_APF, CAPIF_ID: the gate alone */
    API_CAPIF_CHECK,                /* APPLICATION: the gate alone */
    API_CAPIF_REVOKE,               /* APPLICATION, CAPIF_ID*: tokens from before are good for these APIs no more */
    API_INVOKER_MAKE,               /* PUBLIC_KEY, DESTINATION, INFORMATION(?), FEATURES(?) */
    API_INVOKER_PUT,                /* APPLICATION; as above */
    API_INVOKER_PATCH,              /* APPLICATION; as above, what is absent stays */
    API_INVOKER_DELETE,             /* APPLICATION */
    API_INVOKER_SECURITY_GET,       /* APPLICATION */
    API_INVOKER_SECURITY_PUT,       /* APPLICATION, SECURITY_CONTEXT */
    API_INVOKER_SECURITY_UPDATE,    /* APPLICATION, SECURITY_CONTEXT: of one that is there */
    API_INVOKER_SECURITY_DELETE,    /* APPLICATION */
    API_INVOKER_SECURITY_REVOKE,    /* APPLICATION (of the path, of the body), CAPIF_ID* */
    /* Stops (core/stops.h): core 0. Of what: DOMAIN, IMAGE, APPLICATION, or none of them: all guest code */
    API_STOP_LIST = 290,
    API_STOP_PUT,                   /* DETAIL(?): why */
    API_STOP_DELETE,
    API_PENALTY_DELETE,             /* ID */
    API_IMAGE_PATCH,                /* IMAGE, BUDGET*; NULLED "budget", "twin", "image": the host's again; core 0 */
    /* Domains and keys; core 0. */
    API_DOMAIN_LIST = 320,          /* LIMIT(?), CURSOR(?) */
    API_DOMAIN_GET,                 /* DOMAIN */
    API_DOMAIN_ROTATE,              /* DOMAIN, HISTORY_DROPS(?) */
    API_DOMAIN_DELETE,              /* DOMAIN */
    API_REKEY,                      /* another master key */
};

enum api_field { /* width or form */
    API_FIELD_ID = 1,           /* text: external identifier, domain in lower case */
    API_FIELD_NAME = 2,         /* text: property, action */
    API_FIELD_IMAGE = 3,        /* 32 bytes: SHA-256 */
    API_FIELD_MODEL = 4,        /* text */
    API_FIELD_IMSI = 5,         /* text: 6 to 15 digits */
    API_FIELD_MSISDN = 6,       /* text: 5 to 15 digits */
    API_FIELD_ALIAS = 7,        /* text */
    API_FIELD_TAG = 8,          /* u8 length of name, name, text value; empty value: tag removed. In LIST: the filter */
    API_FIELD_SECRET = 9,       /* u8 length of name, name, encoded value (twin/value.h); strings as in JSON; VALUE_NONE: removed */
    API_FIELD_VALUE = 10,       /* encoded value */
    API_FIELD_INPUT = 11,       /* u8 length of name, name, encoded value */
    API_FIELD_IF_MATCH = 12,    /* u64 revision; ~0: any ("*"), ~0 - 1: one that no twin has. May come again: one of them */
    API_FIELD_IF_NONE_MATCH = 13, /* empty: "*" */
    API_FIELD_IDEMPOTENCY = 14, /* 32 bytes: SHA-256 of application, route and key; then 32 bytes: of the body */
    API_FIELD_LIMIT = 15,       /* u64 */
    API_FIELD_CURSOR = 16,      /* text, opaque, from an answer */
    API_FIELD_WAIT = 17,        /* u8: ticket_state to wait for */
    API_FIELD_TIMEOUT = 18,     /* u64 milliseconds */
    API_FIELD_TICKET = 19,      /* u64 */
    API_FIELD_APPLICATION = 20, /* text */
    API_FIELD_DOMAIN = 21,      /* text, lower case */
    API_FIELD_SCOPES = 22,      /* u64: bits of enum scope */
    API_FIELD_BODY = 23,        /* bytes */
    API_FIELD_LAST = 24,        /* empty: last part */
    API_FIELD_NULLED = 25,      /* text: a member of the PUT body that was null */
    API_FIELD_TOKEN = 26,       /* 32 bytes: SHA-256 of a token */
    API_FIELD_RESUME = 27,      /* text: Last-Event-ID */
    API_FIELD_PROPERTY = 28,    /* text: filter of a stream */
    API_FIELD_HELD = 29,        /* empty: of a stream that is one of several; no event before the first MESSAGE_CREDIT */

    /* Non-IP data delivery; widths of those with a row in twin/nidd.c are its kinds' */
    API_FIELD_SCS_AS = 64,      /* text: the application's id in the path */
    API_FIELD_CONFIGURATION = 65, /* u64 */
    API_FIELD_DELIVERY = 66,    /* u64 */
    API_FIELD_GROUP = 67,       /* text: External Group Identifier, as an ID */
    API_FIELD_PROVIDER = 68,
    API_FIELD_FEATURES = 69,
    API_FIELD_DURATION = 70,
    API_FIELD_RELIABLE = 71,
    API_FIELD_RDS_PORTS = 72,
    API_FIELD_RDS_PORT = 73,
    API_FIELD_PDN_OPTION = 74,
    API_FIELD_DESTINATION = 75,
    API_FIELD_TEST = 76,
    API_FIELD_DATA = 77,
    API_FIELD_MAXIMUM_LATENCY = 78,
    API_FIELD_PRIORITY = 79,
    API_FIELD_STATUS = 80,      /* u8: nidd_status or nidd_delivery_status */
    API_FIELD_TIME = 81,        /* i64, milliseconds since 1970 */
    API_FIELD_RDS_MANAGED = 83, /* of a request: skipUeInquiry u8, bits of enum rds_format u8, configured format u8, appId text; of a notice: port
                                 * of the device u8, own u8, enum rds_port_flag u8, formats u8, configured format u8, appId text */
    API_FIELD_RESOURCE = 84,    /* fields of a T8 object, with tags of their own: twin/t8.h */
    API_FIELD_EXPOSURE = 85,    /* u8: enum exposure_kind */
    API_FIELD_REFERENCE = 86,   /* u32: what the network calls an exposure */
    API_FIELD_REFERENCE_GONE = 87, /* u32: one that is to end there */
    API_FIELD_REPORT = 88,      /* fields of enum monitoring_report_field (twin/t8_monitoring.h) */
    API_FIELD_RESULTS = 90,     /* fields, again and again: ID, STATUS, TIME(?) */
    /* Of questions about parameters (INQUIRY_PATTERNS and the two behind it) and of what the network says of them. */
    API_FIELD_PATTERN = 152,    /* fields of enum pattern_field (twin/t8_patterns.h) */
    API_FIELD_LATENCY = 153,    /* u32 seconds; as the two below: wanted, or what the network has */
    API_FIELD_RESPONSE_TIME = 154, /* u32 seconds */
    API_FIELD_PACKETS = 155,    /* u32 */
    API_FIELD_GUARD_TIME = 156, /* u32 seconds: results of a group's members are told so often at most */
    API_FIELD_COVERAGE = 157,   /* u8 enum coverage_list */
    API_FIELD_PLMN = 158,       /* text: mcc and mnc, "00101". May come again */
    API_FIELD_PLMN_VISITED = 159, /* the same */
    API_FIELD_REFERENCE_RESULT = 160, /* u32 reference, u32 code of the network's refusal; 0: it has it */
    API_FIELD_SET_ID = 161,     /* text: setId of communication patterns */
    API_FIELD_SECURITY = 120,   /* text: {securityId} of CAPIF, a client's name */
    API_FIELD_SCOPE_TEXT = 121, /* text: what is granted, as the client asked for it */
    API_FIELD_CEILING = 123,    /* u8 enum application_limit, u32: of an application */
    API_FIELD_CERTIFICATE = 124,/* text: "sha256:HEX" or "dns:NAME" (lower case), by which an application is known */
    API_FIELD_THUMBPRINT = 122, /* 32 bytes: SHA-256 of the client's certificate */
    API_FIELD_FIRST_DELIVERY = 82, /* fields of a delivery, in the body of a configuration */

    /* NIDD authorisation (S6t), also kept beside the members of a configuration. Never shown on T8. */
    API_FIELD_APN = 112,        /* text */
    API_FIELD_GRANTED = 113,    /* i64, milliseconds since 1970: Granted-Validity-Time; absent: without end */
    API_FIELD_AUTHORIZED = 114, /* i64, milliseconds since 1970: when an HSS said so; absent: this host is the authority */
    /* What the network is asked and says of exposures. */
    API_FIELD_ALL_GONE = 130,   /* empty: all of the kind are to end */
    API_FIELD_IN_PROGRESS = 131,/* empty: of a group, what became of its members is told later */
    API_FIELD_TOLD = 132,       /* fields of enum told_field */
    API_FIELD_COUNT = 133,      /* u32: devices that are meant, or in an area */
    API_FIELD_APN_VALIDITY = 115, /* u32 seconds since 1970, then the APN; none: all */
    /* CAPIF (TS 29.222). */
    API_FIELD_CAPIF_ROOT = 190, /* text: of the core function */
    API_FIELD_CAPIF_REGISTRATION = 191, /* text: registrationId; absent: this host did not register itself */
    API_FIELD_CAPIF_APF = 192,  /* text: its id as publisher */
    API_FIELD_CAPIF_AEF = 193,  /* text: as exposing function */
    API_FIELD_CAPIF_API = 194,  /* fields of one service API: NAME, CAPIF_ID(?), AFTER (digest of what is published, u64), TIME, DETAIL(?), LAST: is to go */
    API_FIELD_CAPIF_ID = 195,   /* text: serviceApiId; absent: it is not published yet */
    API_FIELD_DETAIL = 196,     /* text: what went wrong last */
    API_FIELD_CAPIF_FILTER = 197, /* u8 enum capif_filter, text */
    API_FIELD_PUBLIC_KEY = 198, /* text: of an invoker */
    API_FIELD_INFORMATION = 199,/* text: apiInvokerInformation */
    API_FIELD_SECURITY_CONTEXT = 200, /* ServiceSecurity as JSON, as the gate has understood it */
    API_FIELD_REVOKED = 201,    /* u32 bits of enum scope, i64 milliseconds since 1970: tokens of before are no good for them */
    /* Device triggering; widths of those with a row in twin/t8_trigger.c are its kinds' */
    API_FIELD_VALIDITY = 100,
    API_FIELD_TRIGGER_PRIORITY = 101,
    API_FIELD_APPLICATION_PORT = 102,
    API_FIELD_SOURCE_PORT = 103,
    API_FIELD_PAYLOAD = 104,
    API_FIELD_DELIVERY_RESULT = 105,
    API_FIELD_TRIGGER = 106,    /* trigger_request (twin/trigger.h) */
    API_FIELD_SENDER = 107,     /* text: digits of who triggers, E.164 */
    API_FIELD_SERVING_NODES = 108, /* where the device is served: the gate's own bytes */
    API_FIELD_TRIGGER_WORD = 109, /* trigger_answer (twin/trigger.h) */
    API_FIELD_TRIGGER_STATE = 110, /* kept with a trigger: trigger_state (core/trigger.h), */
    API_FIELD_TRIGGER_NODE = 111, /* and who has taken it: host, NUL, realm */
    API_FIELD_AUDIT = 238,      /* u16 enum audit_act, u64 number of the request, text: address it came from. Of requests that the audit log tells of */
    API_FIELD_WEBSOCKET = 239,  /* u8: notifications over websocket */
    /* Traces. */
    API_FIELD_PEER = 240,       /* text: Diameter identity; "*": any */
    API_FIELD_SECONDS = 241,    /* u64 */
    API_FIELD_TRACE = 242,      /* u64; its core in the lowest 4 bits */
    API_FIELD_AFTER = 243,      /* u64: number of a message */
    API_FIELD_BUDGET = 245,     /* u8 enum budget_scope, u8 enum budget_value, u32; BUDGET_UNSAID: the host's again */
    API_FIELD_NETWORK = 244,    /* empty: with procedures of the network */
    API_FIELD_PEER_IMSIS = 251, /* text: prefix or range of IMSIs that the peer who says it speaks of (twin/imsi_range.h). May come again; absent: of all */
    API_FIELD_HISTORY_DROPS = 250, /* empty: timelines under the older key are given up */
};

/* What is stopped, for /healthz. */
typedef struct stop_news { uint32_t kinds, reserved; } stop_news; /* kinds: 1 code, 2 domains, 4 images, 8 applications */

/* Whether a core can write its log, for /healthz. */
enum storage_state { STORAGE_OK, STORAGE_FULL, STORAGE_FAILED };
typedef struct storage_news { uint32_t state, reserved; } storage_news;

typedef struct api_request {
    uint16_t operation;   /* enum api_operation */
    uint16_t reserved;
    uint32_t application; /* credential number; 0: admin */
    uint32_t scopes;      /* what the credential may do */
    uint32_t reserved2;
} api_request;            /* then fields */

enum api_content {
    CONTENT_NONE,
    CONTENT_JSON,         /* application/json */
    CONTENT_PROBLEM,      /* application/problem+json */
    CONTENT_TEXT,         /* text/plain */
    CONTENT_THING_MODEL,  /* a Thing Model the gate makes a Thing Description of; location is the twin's id */
    CONTENT_LINES,        /* application/x-ndjson */
    CONTENT_PIECE,        /* backup_piece, the name of the part it begins, bytes of the part */
};

/* A backup comes in pieces that are asked for one by one, so that it is never faster than
 * who takes it. Piece 0 begins it and is empty; the last one has api_reply.more 0. */
typedef struct backup_piece {
    uint64_t part_bytes;      /* of the part that begins here */
    uint32_t name_length;     /* 0: the bytes go on with the part before */
    uint32_t reserved;
} backup_piece;
enum { BACKUP_PIECE_MAX = 48 * 1024 };
#define BACKUP_ALL_BEGAN UINT64_MAX /* every core has begun: until then none gives up a name; again, while others' parts come: it goes on (no answer) */

typedef struct api_reply {
    uint16_t status;          /* HTTP */
    uint8_t content;          /* enum api_content */
    uint8_t more;             /* 1: further parts of the body follow under the same id */
    uint32_t retry_after_s;   /* 0: none */
    uint64_t etag;            /* revision; ~0: none */
    uint32_t location_length; /* path of what was made, "" for none */
    uint32_t body_length;
} api_reply;                  /* then location, then body */

/* How much an application may do. 0: as much as the host's own limits let it; LIMIT_NONE: as much as it likes, whatever the host has. */
enum application_limit {
    LIMIT_REQUESTS,          /* a second, over HTTP; each gate gives its share */
    LIMIT_BURST,             /* of them at once */
    LIMIT_DOWNLINKS,         /* a day (UTC), commands over /v1 too */
    LIMIT_CONFIGURATIONS,    /* of T8 */
    LIMIT_SUBSCRIPTIONS,     /* event streams open at a gate */
    APPLICATION_LIMITS
};
enum { LIMIT_NONE = INT32_MAX };
typedef struct application_limits { uint32_t of[APPLICATION_LIMITS]; } application_limits;

/* The application's own, else the host's; 0: none. */
static inline uint32_t limit_in_force(const application_limits *own, const application_limits *usual, enum application_limit limit)
{
    return own->of[limit] == LIMIT_NONE ? 0 : own->of[limit] != 0 ? own->of[limit] : usual->of[limit];
}

/* Tokens the gate may accept; sent at start and at each change. */
typedef struct credential {
    uint32_t number;     /* of the application, 0: admin */
    uint32_t scopes;
    uint8_t token[32];   /* SHA-256 of the token */
    uint8_t is_gone;     /* 1: forget this token */
    uint8_t is_one_time; /* 1: good for POST /v1/sessions only */
    uint8_t reserved[6];
    int64_t expires_ms;  /* wall clock; 0: never */
} credential;            /* then fields APPLICATION, DOMAIN*, CEILING*, CERTIFICATE*, REVOKED* */

/* A public key of the host: what it signed is an access token of ours (JWT). */
typedef struct signing_key_news {
    uint32_t number;
    uint8_t is_gone;        /* 1: no token of it can be good any more */
    uint8_t reserved[3];
    uint8_t public_key[32]; /* Ed25519 */
    char kid[48];           /* NUL-terminated */
} signing_key_news;

/* Stream of events (SSE). SUBSCRIBE has the fields ID(?), MODEL(?), PROPERTY(?),
 * RESUME(?), HELD(?) and API_REQUEST's application in front (an api_request). The reply's etag is the
 * number of the last event before the stream's first. The core sends an event only to streams it matches, at most STREAM_CREDIT ahead of the gate's MESSAGE_CREDIT. */
enum { STREAM_CREDIT = 1024 };
/* What a discovery is narrowed by. */
enum capif_filter {
    CAPIF_FILTER_INVOKER, CAPIF_FILTER_NAME, CAPIF_FILTER_VERSION, CAPIF_FILTER_COMMUNICATION, CAPIF_FILTER_PROTOCOL, CAPIF_FILTER_AEF,
    CAPIF_FILTER_FORMAT, CAPIF_FILTER_CATEGORY, CAPIF_FILTER_LOCATION, CAPIF_FILTER_FEATURES, CAPIF_FILTER_API_FEATURES,
    CAPIF_FILTER_AUTHENTICATION, CAPIF_FILTER_AUTHORIZATION, CAPIF_FILTERS
};

typedef struct capif_news {
    uint8_t is_kept;        /* it must outlive a restart; 0: it is shown only */
    uint8_t reserved[7];
} capif_news;               /* then fields CAPIF_ROOT, CAPIF_REGISTRATION(?), CAPIF_APF(?), CAPIF_AEF(?), DETAIL(?), CAPIF_API* */
enum { CAPIF_STATE_MAX = 16 * 1024 };

typedef struct stream_event {
    uint32_t event_id_length, type_length, data_length;
    uint32_t reserved;
} stream_event; /* then id:, event: and data: texts (data is one line of JSON) */

/* ---- Network: gate <-> core ---- */

enum { IMSI_DIGITS_MAX = 15, BEARER_BYTES_MAX = 8, DIAMETER_IDENTITY_MAX = 255 };
enum { CHARGING_TEXT_MAX = 8, DEVICE_TYPE_DIGITS = 8, SOFTWARE_DIGITS = 2 };

typedef struct network_user {
    char imsi[16];                    /* digits, NUL-padded */
    uint8_t bearer_length;
    uint8_t bearer[BEARER_BYTES_MAX]; /* opaque; echoed as it came */
    uint8_t reserved[7];
} network_user;

typedef struct uplink_request {   /* MO-Data-Request */
    network_user user;
    uint32_t end_to_end;
    uint8_t is_retransmission;    /* T flag */
    uint8_t is_exception;         /* RRC-Cause-Counter was there */
    uint16_t host_length;         /* Origin-Host */
    uint16_t realm_length;        /* Origin-Realm */
    uint16_t data_length;
    uint32_t reserved;
} uplink_request;                 /* then host, realm, Non-IP-Data */

typedef struct rate_status {      /* APN-Rate-Control-Status: what is left of the time unit */
    uint32_t uplink, downlink;    /* packets; ~0: not said */
    int64_t until_ms;             /* since 1970; 0: there is no status */
} rate_status;

typedef struct connection_request { /* Connection-Management-Request */
    network_user user;
    uint32_t end_to_end;
    uint8_t action;               /* 0 establishment, 1 release, 2 update; 255: absent */
    uint8_t is_reachable;         /* CMR-Flags bit 0 */
    uint8_t is_retransmission;
    uint8_t reserved;
    uint32_t available_until;     /* Maximum-UE-Availability-Time, seconds since 1970; 0: absent */
    uint32_t uplink_rate, downlink_rate; /* Serving-PLMN-Rate-Control, packets per 6 minutes; 0: off; ~0: absent */
    uint32_t rat_type;            /* ~0: absent */
    uint16_t host_length, realm_length, apn_length;
    uint16_t via_length;          /* of the peer that brought it, where that is not its Origin-Host */
    uint8_t has_plmn, plmn[3];    /* Visited-PLMN-Id */
    char charging[CHARGING_TEXT_MAX + 1]; /* 3GPP-Charging-Characteristics; "": absent, as the next */
    char type[DEVICE_TYPE_DIGITS + 1];    /* the first digits of the IMEI: which type of device; what names the device is left out */
    char software[SOFTWARE_DIGITS + 1];   /* Software-Version */
    uint8_t reserved3[7];
    rate_status rates;
} connection_request;             /* then host, realm, Service-Selection, peer */

typedef struct connection_answer { /* MESSAGE_NETWORK_ANSWER to MESSAGE_CONNECTION may be this long */
    uint32_t result, experimental; /* as network_answer */
    uint32_t charging_id;          /* PDN-Connection-Charging-Id; 0: none */
    uint32_t reserved;
    rate_status rates;
} connection_answer;

typedef struct network_answer {
    uint32_t result;              /* Result-Code, or */
    uint32_t experimental;        /* Experimental-Result-Code of vendor 10415; one of both is 0 */
} network_answer;

typedef struct downlink_request { /* MT-Data-Request */
    network_user user;
    uint32_t wait_until;          /* SCEF-Wait-Time, seconds since 1970 */
    uint32_t retransmit_until;    /* Maximum-Retransmission-Time */
    uint16_t host_length, realm_length; /* of the serving node */
    uint16_t data_length, via_length; /* via: the peer to go by when the node itself is not one */
    uint32_t end_to_end;          /* of a request that was lost with its connection and goes again; else chosen by the gate */
    uint8_t is_again;             /* T flag */
    uint8_t priority;             /* DRMP and one; 0: none is sent */
    uint8_t reserved2[2];
} downlink_request;               /* then host, realm, Non-IP-Data, peer; in MESSAGE_RELEASE rate_status */

enum downlink_outcome {
    DOWNLINK_ANSWERED,            /* result/experimental hold the peer's words */
    DOWNLINK_NO_PEER,             /* no connection to the serving node: nothing was sent */
    DOWNLINK_NO_ANSWER,           /* sent, none in time, or one that cannot be used */
    DOWNLINK_LOST,                /* sent, then the connection ended */
};
typedef struct downlink_answer {  /* MT-Data-Answer */
    uint32_t outcome;
    uint32_t result, experimental;
    uint32_t retransmission_time; /* Requested-Retransmission-Time, seconds since 1970; 0: absent */
    uint32_t flags;               /* TDA-Flags */
    uint32_t end_to_end;          /* DOWNLINK_LOST: of the request */
} downlink_answer;

/* What the core asks of the network (core/inquiry.h). Which protocol asks it, and of whom, is the gate's. */
enum inquiry_kind {               /* fields of the question -> of the answer */
    INQUIRY_NIDD = 1,             /* ID or MSISDN, APN(?), PROVIDER(?), GRANTED(?): until when it is wanted -> IMSI(?), MSISDN(?), ID*, GRANTED(?) */
    INQUIRY_MONITORING,           /* ID or MSISDN, RESOURCE with REFERENCE(?), REFERENCE_GONE*, ALL_GONE(?) -> REPORT*, IN_PROGRESS(?), COUNT(?), ID*, IMSI(?), MSISDN(?) */
    INQUIRY_PATTERNS,             /* ID or MSISDN, PROVIDER(?), PATTERN*, REFERENCE_GONE* -> REFERENCE_RESULT* */
    INQUIRY_PARAMETERS,           /* ID or MSISDN, PROVIDER(?), GUARD_TIME(?), REFERENCE(?) with LATENCY(?), RESPONSE_TIME(?), PACKETS(?), or
                                   * REFERENCE_GONE -> LATENCY(?), RESPONSE_TIME(?), PACKETS(?), as the network has it */
    INQUIRY_COVERAGE,             /* ID or MSISDN, PROVIDER(?), COVERAGE, PLMN* -> COVERAGE(?), PLMN*, PLMN_VISITED(?) */
    INQUIRY_AREA,                 /* of a serving node: how many devices are in an area. RESOURCE, REFERENCE -> COUNT, REPORT(?) */
    INQUIRY_SUBSCRIBER,           /* who and where a device is, to trigger it: ID or MSISDN, SENDER, TRIGGER -> TRIGGER_WORD, IMSI(?), MSISDN(?), ID*, SERVING_NODES(?) */
    INQUIRY_TRIGGER,              /* of who triggers devices: ID or MSISDN, PAYLOAD, SENDER(?), TRIGGER -> TRIGGER_WORD */
    INQUIRY_MESSAGE,              /* of who delivers short messages: IMSI(?), MSISDN(?), ID(?), PAYLOAD, SENDER, SERVING_NODES(?), TRIGGER -> TRIGGER_WORD */
    INQUIRY_KINDS
};
enum coverage_list {              /* of networks in which enhanced coverage is */
    COVERAGE_UNSAID,              /* asked: which list is there? */
    COVERAGE_RESTRICTED, COVERAGE_ALLOWED,
};
typedef struct inquiry_request {
    uint32_t end_to_end;          /* of a request that was lost with its connection and goes again; else chosen by the gate */
    uint8_t kind;                 /* enum inquiry_kind */
    uint8_t is_again;             /* the same once more (T flag) */
    uint8_t is_to_host;           /* `host` alone can answer; else it is the next hop, and any node of the realm may */
    uint8_t reserved;
    uint32_t group;               /* the ID is that of a group: its number; 0: of a device */
    uint32_t timeout_ms;          /* without an answer by then: INQUIRY_NO_ANSWER; 0: as the gate sees fit */
    uint16_t host_length, realm_length;
    uint32_t reserved2;
} inquiry_request;                /* then host, realm ("": this host's own), fields */

enum inquiry_outcome {
    INQUIRY_ANSWERED,             /* `verdict` holds the node's words */
    INQUIRY_NO_PEER,              /* that peer is not there: nothing was sent */
    INQUIRY_LOST,                 /* sent, then the connection ended */
    INQUIRY_NO_ANSWER,            /* sent, none in time, or one that cannot be used */
    INQUIRY_ABATED,               /* that peer wants to be asked less now: nothing was sent */
    INQUIRY_NOT_TAKEN,            /* core's: answered with VERDICT_NOT_TAKEN */
};
enum inquiry_verdict {
    VERDICT_DONE,
    VERDICT_BUSY,                 /* not now */
    VERDICT_UNFIT,                /* the node cannot do with such a request */
    VERDICT_REFUSED,              /* for a reason of its own: `code` */
    VERDICT_USER_UNKNOWN,
    VERDICT_NOT_ALLOWED,          /* this host may not ask that, or the subscription has it not */
    VERDICT_OUT_OF_RANGE,
    VERDICT_NOT_KEPT,             /* it could not be stored */
    VERDICT_NOT_THERE,            /* what was to end is not there */
    VERDICT_NOT_SERVED,           /* an area of another node */
    VERDICT_NOT_TAKEN,            /* such a request is not taken there at all, now or later; of what it asked nothing is said */
};
typedef struct inquiry_answer {
    uint32_t outcome;             /* enum inquiry_outcome */
    uint32_t verdict;             /* enum inquiry_verdict */
    uint32_t code;                /* as the node's protocol has it, to be shown */
    uint32_t end_to_end;          /* of the request */
} inquiry_answer;                 /* then fields */

/* What an HSS says of a group: a segment of the list of its members (Group-User-Identifier), and validity times. */
typedef struct group_members {
    uint32_t group;               /* its number; 0: the field GROUP names it */
    uint8_t is_last, is_answered; /* answered: a MESSAGE_NETWORK_ANSWER is wanted */
    uint8_t has_list;             /* 0: nothing is said of members */
    uint8_t reserved;
} group_members;                  /* then fields GROUP(?), one of ID, MSISDN, IMSI for each member, APN_VALIDITY* */
enum { GROUP_SEGMENT_MAX = 512 }; /* members in one message: it has no more AVPs */

typedef struct authorization_update { /* NIDD-Information-Request of an HSS */
    uint32_t end_to_end;
    uint32_t reserved;
} authorization_update;           /* then fields IMSI(?), MSISDN(?), ID(?), APN_VALIDITY* */

/* What a node of the network says on its own of one reference (enum api_field REFERENCE), or of all that a device has. One message for
 * each report; a device's is named by the fields ID, MSISDN, IMSI where there is no reference. */
typedef struct network_report {
    uint64_t number;              /* of the report; a repetition has the same */
    uint32_t reference;           /* 0: all that the device has of the kinds is over */
    uint16_t place;               /* in its request; comes back */
    uint8_t kinds;                /* bits of enum exposure_kind, where reference is 0 */
    uint8_t is_copy;              /* about a member of a group: for its twin alone, to whose core it goes */
} network_report;                 /* then fields: ID(?), MSISDN(?), IMSI(?): of a group which member; TOLD, where there is a reference; PEER_IMSIS* */
enum told_kind {
    TOLD_EVENT,                   /* REPORT */
    TOLD_ENDED,                   /* it is not watched any more */
    TOLD_SUSPENDED, TOLD_RESUMED,
    TOLD_RESULT,                  /* VERDICT: what became of a member, whose group was asked about */
    TOLD_APPLIED,                 /* what the network uses: beside it LATENCY(?), RESPONSE_TIME(?), PACKETS(?) */
};
enum told_field {
    TOLD_FIELD_KIND = 10,         /* u8 enum told_kind */
    TOLD_FIELD_REPORT = 11,       /* fields of enum monitoring_report_field */
    TOLD_FIELD_VERDICT = 12,      /* u8 enum inquiry_verdict */
};
typedef struct report_answer {
    uint32_t verdict;             /* enum inquiry_verdict; NOT_THERE: the reference is unknown */
    uint32_t place;
} report_answer;

/* What became of a trigger, from who delivers it. */
typedef struct trigger_outcome {
    uint32_t reference;
    uint32_t end_to_end;
    uint8_t result;               /* trigger_result */
    uint8_t is_retransmission;
    uint16_t host_length, realm_length, reserved; /* of the node that says so */
} trigger_outcome;                /* then host, realm, fields IMSI(?), MSISDN(?), ID* */

typedef struct peer_state {
    uint8_t is_open, reduction;   /* percent of requests that it asked to be left out */
    uint16_t rank;                /* its row in diameter.peers: of several that would do the first is taken; ~0: none */
    uint32_t applications;        /* enum peer_application bits */
    uint16_t host_length, realm_length, address_length, load; /* load: percent and one, as it said; 0: it did not */
    uint64_t requests, answers, errors;
} peer_state;                     /* then host, realm, address:port. Sent on each change, and every 5 s for the counts */
enum { PEER_LOAD_FULL = 101 };
enum peer_application {
    PEER_T6A = 1, PEER_S6T = 2, PEER_RELAY = 4, PEER_TSP = 8, PEER_S6M = 16, PEER_T4 = 32,
    PEER_T7 = 64,                 /* T6a with another SCEF, which speaks for serving nodes behind it */
};

/* ---- Notifications of applications: core -> gate ---- */

enum notice_kind {
    NOTICE_TEST,            /* nothing more */
    NOTICE_UPLINK,          /* ID or MSISDN, DATA: NiddUplinkDataNotification */
    NOTICE_CONFIGURATION,   /* ID or MSISDN (a group's: neither), STATUS: NiddConfigurationStatusNotification */
    NOTICE_DELIVERY,        /* STATUS, TIME(?): NiddDownlinkDataDeliveryStatusNotification */
    NOTICE_GROUP,           /* RESULTS: GmdNiddDownlinkDataDeliveryNotification */
    NOTICE_PORTS,           /* ID or MSISDN, RESULTS (RDS_MANAGED, again and again): ManagePortNotification */
    NOTICE_EXPOSURE,        /* EXPOSURE, RESOURCE: of its api's notice object */
};
typedef struct notice_request {
    uint8_t kind, reserved[7];
} notice_request;           /* then fields: DESTINATION, NAME (path of the resource it is about), those of its kind */

typedef struct websocket_gone {
    uint64_t configuration, socket;
} websocket_gone;
typedef struct websocket_here {
    uint64_t configuration, socket;
    int64_t since_ns;       /* monotonic: the newest of a configuration has its notices, whichever is told of first */
} websocket_here;

enum notice_outcome {
    NOTICE_TAKEN,           /* 2xx */
    NOTICE_REFUSED,         /* the destination will never take it: 4xx but 408, 425, 429; an address that may not be reached */
    NOTICE_FAILED,          /* worth another try */
};
typedef struct notice_answer {
    uint32_t outcome;       /* enum notice_outcome */
    uint32_t status;        /* HTTP; 0: no answer */
} notice_answer;

/* ---- Traces: core <-> gate (core/trace.h) ---- */

typedef struct trace_request {
    uint8_t is_on, is_peer; /* off: nothing more of it; peer: all of a peer's messages, else of a device's */
    uint16_t text_length;
    uint32_t core;          /* whose trace it is */
    char imsi[16], msisdn[16]; /* digits, NUL-padded; "": the device has none */
} trace_request;            /* then the peer's identity, "*": any; of a device its External Identifier */

enum { TRACED_COMMAND_TEXT = 12 };
typedef struct traced {
    uint64_t trace;
    int64_t time_ms;        /* wall clock */
    uint32_t core;          /* whose trace it is */
    uint32_t result;        /* Result-Code or Experimental-Result-Code; 0: none in it */
    uint32_t hop_by_hop, end_to_end, bytes;
    uint32_t lost;          /* messages before it that found no room on the way */
    uint8_t is_out, is_request;
    uint16_t peer_length, device_length;
    char command[TRACED_COMMAND_TEXT]; /* "CMR", NUL-padded; a number where the dictionary has no name */
    char imsi[16], msisdn[16]; /* "": none, or the device's name stands for it */
    uint8_t reserved[6];
} traced;                   /* then the peer's identity, the device's External Identifier */

/* ---- Turns: core <-> cell ---- */

typedef struct turn_request {
    uint64_t twin;
    int64_t wall_ms;       /* what `now` says */
    uint64_t seed;         /* of `random` */
    uint32_t image;        /* index of the image in this cell */
    uint32_t event_kind;   /* twin/event.h */
    uint32_t event_id;
    uint32_t deadline_micros; /* of thread CPU time */
    uint32_t context_length;
    uint32_t event_length;
} turn_request;            /* then context (padded to 8), then event */

enum turn_status {
    TURN_OK,               /* outcome holds what dromio_event returned */
    TURN_TRAP,             /* unreachable, bad conversion, bad indirect call, ... */
    TURN_OUT_OF_BOUNDS,
    TURN_STACK_OVERFLOW,
    TURN_DEADLINE,
    TURN_MEMORY,           /* memory.grow past the image's limit was relied on, or context too large */
    TURN_BAD_RESULT,       /* dromio_event returned what the ABI does not know */
    TURN_BAD_CONTEXT,      /* the context does not fit the image */
    TURN_EFFECTS,          /* too many or malformed effects */
    TURN_HOST,             /* the cell itself failed; the turn is retried */
    TURN_NO_IMAGE,         /* the cell was made without that image: another one is on its way */
};
typedef struct turn_result {
    uint64_t twin;
    uint32_t status;       /* enum turn_status */
    uint32_t outcome;      /* event_outcome */
    uint32_t cpu_nanos;
    uint32_t context_length; /* only when TURN_OK */
    uint32_t effects_length; /* only when TURN_OK */
    uint32_t reserved;
} turn_result;             /* then context (padded to 8), then effects (twin/effect.h) */

enum {
    CONTEXT_BYTES_MAX = 60 * 1024, /* what one twin may keep */
};

/* ---- Queries: gate <-> desk ---- */

typedef struct query_request {
    uint8_t all_domains, reserved[3];
    uint32_t domains_length; /* texts with a NUL each, lower case */
    uint32_t sql_length;
} query_request;             /* then domains, then SQL */
