/* T6a as an MME speaks it (TS 29.128, RFC 6733): the messages it sends, and what
 * it reads of those it gets. Pure; the codec is wire/diameter's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "wire/diameter/pdu.h"

enum {
    RAT_EUTRAN_NB_IOT = 1005,
    T6A_NAME_MAX = 255,
    T6A_SESSION_MAX = 320,
    T6A_REQUEST_MAX = 2048, /* bytes of a request this side writes, with names of sane length */
    S6T_MEMBER_MAX = 64,    /* of a Group-User-Identifier, without the name in it */
};

enum connection_action { CONNECTION_ESTABLISHMENT = 0, CONNECTION_RELEASE = 1, CONNECTION_UPDATE = 2 };

typedef struct t6a_text { /* borrowed bytes, no NUL */
    const uint8_t *bytes;
    uint32_t length;
} t6a_text;

/* An MO-Data-Request as the last one was written. The next differs in a few places, if its lengths are the same. */
typedef struct t6a_uplink {
    uint16_t length; /* 0: none was written */
    uint16_t imsi_length, data_length;
    uint16_t session_at, imsi_at, bearer_at, data_at; /* session_at: the low half of the Session-Id */
    uint8_t bytes[T6A_REQUEST_MAX];
} t6a_uplink;

/* What this side puts into each message. */
typedef struct t6a_names {
    char host[T6A_NAME_MAX + 1], realm[T6A_NAME_MAX + 1];                         /* own */
    char destination_host[T6A_NAME_MAX + 1], destination_realm[T6A_NAME_MAX + 1]; /* from the host's CEA */
    uint32_t application;               /* what this side offers; 0: T6a */
    uint32_t session_high, session_low; /* of the next Session-Id */
    uint32_t origin_state;              /* Origin-State-Id */
    t6a_uplink uplink;                  /* its length is set to 0 when a name changes */
} t6a_names;

typedef struct t6a_request {
    uint32_t command;              /* COMMAND_CONNECTION_MANAGEMENT or COMMAND_MO_DATA */
    const char *imsi;
    uint8_t bearer;                /* EPS bearer identity, one octet */
    enum connection_action action; /* of CMR */
    bool is_reachable;             /* CMR-Flags bit 0 */
    uint32_t available_until;      /* Maximum-UE-Availability-Time, seconds since 1970; 0: absent */
    const char *apn;               /* of CMR establishment */
    const char *plmn;              /* the network here; NULL or "": that of the IMSI */
    const uint8_t *data;           /* Non-IP-Data of ODR */
    uint32_t data_length;
} t6a_request;

/* Any message that came in; what it does not have is 0. Borrows. */
typedef struct t6a_message {
    uint32_t command, application, hop_by_hop, end_to_end;
    bool is_request, is_error, is_retransmission;
    uint32_t result, experimental;
    t6a_text session, origin_host, origin_realm, user_name, bearer, data;
    t6a_text external_identifier, apn;
    uint32_t identifier_type, action; /* Type-Of-External-Identifier, Connection-Action */
    uint32_t wait_until, retransmit_until; /* seconds since 1970 */
    const diameter_message *whole;         /* all of it, until the next one is read */
} t6a_message;

/* A request whose own AVPs are put by somebody else, behind those that all have. */
typedef struct t6a_custom {
    uint32_t command, application;
    void (*put)(dro_builder *out, const void *what);
    const void *what;
} t6a_custom;

void t6a_write_capabilities_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end);
void t6a_write_watchdog_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end);
void t6a_write_disconnect_request(dro_builder *out, const t6a_names *names, uint32_t hop_by_hop, uint32_t end_to_end);
/* Decimal digits with leading zeros. */
void t6a_write_digits(char *out, uint64_t number, uint32_t count);
/* Takes the next Session-Id. */
void t6a_write_request(dro_builder *out, t6a_names *names, const t6a_request *request, uint32_t hop_by_hop,
                       uint32_t end_to_end);

/* S6t as an HSS speaks it (TS 29.336). */
typedef struct s6t_member { char imsi[16], name[T6A_NAME_MAX + 1]; } s6t_member;
typedef struct s6t_answer {        /* NIDD-Information-Answer */
    uint32_t result, experimental; /* one of both is 0 */
    const char *imsi, *name;       /* of NIDD-Authorization-Response; NULL: none */
    uint32_t granted_until;        /* seconds since 1970; 0: absent */
    const s6t_member *members;     /* Group-User-Identifier */
    uint32_t member_count;
    bool is_incomplete;            /* NIA-Flags or NIR-Flags bit 0 */
} s6t_answer;
void s6t_write_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, const s6t_answer *answer);
typedef struct s6t_request {       /* NIDD-Information-Request of an HSS */
    const char *name;              /* External-Identifier of a device, or of a group */
    bool is_group, is_revoked;     /* revoked: a Granted-Validity-Time in the past, for all APNs */
    const s6t_member *members;
    uint32_t member_count;
    bool is_incomplete;
} s6t_request;
/* Takes the next Session-Id. */
void s6t_write_request(dro_builder *out, t6a_names *names, const s6t_request *request, uint32_t hop_by_hop, uint32_t end_to_end);

/* Takes the next Session-Id. */
void t6a_write_custom(dro_builder *out, t6a_names *names, const t6a_custom *request, uint32_t hop_by_hop, uint32_t end_to_end);
void t6a_write_custom_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, uint32_t result, uint32_t experimental,
                             const t6a_custom *answer);
/* DWA, DPA, or an answer to what is not understood (then with the E bit for 3xxx). */
void t6a_write_answer(dro_builder *out, const t6a_names *names, const t6a_message *to, uint32_t result);

typedef struct t6a_delivery { /* MT-Data-Answer */
    uint32_t result, experimental; /* one of both is 0 */
    bool is_acknowledged;          /* TDA-Flags bit 0 */
    uint32_t retransmission_time;  /* Requested-Retransmission-Time, seconds since 1970; 0: absent */
} t6a_delivery;
void t6a_write_delivery(dro_builder *out, const t6a_names *names, const t6a_message *to, const t6a_delivery *delivery);

/* A whole message of the length its header says. */
DRO_CHECKED dro_err t6a_read(t6a_message *out, const uint8_t *bytes, size_t length);
/* Length of the message that begins here, from its first four bytes; 0: no Diameter. */
uint32_t t6a_length(const uint8_t first[4]);
/* Changes a written request: its hop-by-hop id, and the T flag set. */
void t6a_mark_retransmission(uint8_t *request, uint32_t hop_by_hop);
