/* Non-IP data delivery as applications see it (TS 29.122, 4.4.5 and 5.6): states,
 * and the members of its resources. One table serves both sides: the gate reads
 * JSON by it, the core writes JSON by it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum nidd_status { /* of a configuration */
    NIDD_ACTIVE, NIDD_TERMINATED, NIDD_TERMINATED_UE_NOT_AUTHORIZED, NIDD_RDS_PORT_UNKNOWN,
} nidd_status;
const char *nidd_status_text(nidd_status status);

typedef enum nidd_delivery_status {
    /* it waits */
    DELIVERY_BUFFERING, DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE, DELIVERY_SENDING, DELIVERY_TRIGGERED,
    /* it has ended */
    DELIVERY_SUCCESS, DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED, DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED,
    DELIVERY_SUCCESS_ACKNOWLEDGED, DELIVERY_SUCCESS_UNACKNOWLEDGED,
    DELIVERY_FAILURE, DELIVERY_FAILURE_RDS_DISABLED, DELIVERY_FAILURE_NEXT_HOP, DELIVERY_FAILURE_TIMEOUT,
    DELIVERY_FAILURE_TEMPORARILY_NOT_REACHABLE,
    DELIVERY_STATUSES,
} nidd_delivery_status;
const char *nidd_delivery_status_text(nidd_delivery_status status);
static inline int nidd_delivery_has_ended(nidd_delivery_status status) { return status >= DELIVERY_SUCCESS; }

typedef enum pdn_establishment_option { PDN_WAIT_FOR_UE, PDN_INDICATE_ERROR, PDN_SEND_TRIGGER, PDN_OPTIONS } pdn_establishment_option;
const char *pdn_establishment_option_text(pdn_establishment_option option);

typedef enum nidd_kind { /* of a member, and its field: */
    NIDD_TEXT,        /* its bytes */
    NIDD_IDENTIFIER,  /* External Identifier or External Group Identifier: local@domain, domain in lower case */
    NIDD_DIGITS,      /* MSISDN */
    NIDD_LINK,        /* absolute http or https URI */
    NIDD_HEX,         /* supported features: hexadecimal digits */
    NIDD_TIME,        /* i64, milliseconds since 1970: one that is not over */
    NIDD_SECONDS,     /* u64 */
    NIDD_INTEGER,     /* i64 */
    NIDD_BOOLEAN,     /* u8 */
    NIDD_OPTION,      /* u8, pdn_establishment_option */
    NIDD_BYTES,       /* the bytes that base64 stands for */
    NIDD_PORT,        /* u8 of the device, u8 of this side */
    NIDD_PORTS,       /* a list of those */
    NIDD_WEBSOCKET_WANTED, /* u8: requestWebsocketUri of a WebsockNotifConfig */
} nidd_kind;

#define NIDD_WEBSOCKET "websocket:" /* in place of a destination's link */

typedef struct nidd_member {
    const char *name;
    uint8_t field;    /* enum api_field */
    uint8_t kind;     /* nidd_kind */
    uint8_t uses;     /* bits of enum nidd_use */
} nidd_member;

enum nidd_use {
    NIDD_IN_CONFIGURATION = 1, NIDD_IN_CONFIGURATION_PATCH = 2, NIDD_IN_DELIVERY = 4, NIDD_IN_DELIVERY_PATCH = 8,
    NIDD_MAY_BE_NULL = 16, /* in a patch: removed */
};

extern const nidd_member nidd_members[];
extern const size_t nidd_member_count;

enum {
    NIDD_DATA_MAX = 1358,   /* bytes of non-IP data: the non-IP link MTU (TS 24.008, 10.5.6.3) */
    NIDD_LINK_MAX = 1024,
    NIDD_TEXT_MAX = 255,
    NIDD_FEATURES_MAX = 16,
    NIDD_WEBSOCKET_TEXT = 26, /* NIDD_WEBSOCKET and 16 hexadecimal digits */
    NIDD_PORTS_MAX = 16,
    NIDD_PORT_MAX = 15,     /* as T8 names them: ue0..15, ef0..15 */
};
