#include "twin/nidd.h"

#include "ring/message.h"

const char *nidd_status_text(nidd_status status)
{
    switch (status) {
    case NIDD_ACTIVE: return "ACTIVE";
    case NIDD_TERMINATED: return "TERMINATED";
    case NIDD_TERMINATED_UE_NOT_AUTHORIZED: return "TERMINATED_UE_NOT_AUTHORIZED";
    case NIDD_RDS_PORT_UNKNOWN: return "RDS_PORT_UNKNOWN";
    }
    return "TERMINATED";
}

const char *nidd_delivery_status_text(nidd_delivery_status status)
{
    static const char *const texts[DELIVERY_STATUSES] = {
        [DELIVERY_BUFFERING] = "BUFFERING",
        [DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE] = "BUFFERING_TEMPORARILY_NOT_REACHABLE",
        [DELIVERY_SENDING] = "SENDING",
        [DELIVERY_TRIGGERED] = "TRIGGERED",
        [DELIVERY_SUCCESS] = "SUCCESS",
        [DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED] = "SUCCESS_NEXT_HOP_ACKNOWLEDGED",
        [DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED] = "SUCCESS_NEXT_HOP_UNACKNOWLEDGED",
        [DELIVERY_SUCCESS_ACKNOWLEDGED] = "SUCCESS_ACKNOWLEDGED",
        [DELIVERY_SUCCESS_UNACKNOWLEDGED] = "SUCCESS_UNACKNOWLEDGED",
        [DELIVERY_FAILURE] = "FAILURE",
        [DELIVERY_FAILURE_RDS_DISABLED] = "FAILURE_RDS_DISABLED",
        [DELIVERY_FAILURE_NEXT_HOP] = "FAILURE_NEXT_HOP",
        [DELIVERY_FAILURE_TIMEOUT] = "FAILURE_TIMEOUT",
        [DELIVERY_FAILURE_TEMPORARILY_NOT_REACHABLE] = "FAILURE_TEMPORARILY_NOT_REACHABLE",
    };
    return (unsigned)status < DELIVERY_STATUSES ? texts[status] : "FAILURE";
}

const char *pdn_establishment_option_text(pdn_establishment_option option)
{
    static const char *const texts[PDN_OPTIONS] = { "WAIT_FOR_UE", "INDICATE_ERROR", "SEND_TRIGGER" };
    return (unsigned)option < PDN_OPTIONS ? texts[option] : texts[PDN_WAIT_FOR_UE];
}

enum {
    MADE = NIDD_IN_CONFIGURATION | NIDD_IN_DELIVERY,
    CONFIGURED = NIDD_IN_CONFIGURATION,
    BOTH = NIDD_IN_CONFIGURATION | NIDD_IN_CONFIGURATION_PATCH,
    DELIVERED = NIDD_IN_DELIVERY | NIDD_IN_DELIVERY_PATCH,
};

const nidd_member nidd_members[] = {
    { "externalId", API_FIELD_ID, NIDD_IDENTIFIER, MADE },
    { "msisdn", API_FIELD_MSISDN, NIDD_DIGITS, MADE },
    { "externalGroupId", API_FIELD_GROUP, NIDD_IDENTIFIER, MADE },
    { "mtcProviderId", API_FIELD_PROVIDER, NIDD_TEXT, CONFIGURED },
    { "supportedFeatures", API_FIELD_FEATURES, NIDD_HEX, CONFIGURED },
    { "duration", API_FIELD_DURATION, NIDD_TIME, BOTH | NIDD_MAY_BE_NULL },
    { "reliableDataService", API_FIELD_RELIABLE, NIDD_BOOLEAN, BOTH | DELIVERED | NIDD_MAY_BE_NULL },
    { "rdsPorts", API_FIELD_RDS_PORTS, NIDD_PORTS, BOTH },
    { "rdsPort", API_FIELD_RDS_PORT, NIDD_PORT, DELIVERED },
    { "pdnEstablishmentOption", API_FIELD_PDN_OPTION, NIDD_OPTION, BOTH | DELIVERED | NIDD_MAY_BE_NULL },
    { "notificationDestination", API_FIELD_DESTINATION, NIDD_LINK, BOTH },
    { "websockNotifConfig", API_FIELD_WEBSOCKET, NIDD_WEBSOCKET_WANTED, CONFIGURED },
    { "requestTestNotification", API_FIELD_TEST, NIDD_BOOLEAN, CONFIGURED },
    { "data", API_FIELD_DATA, NIDD_BYTES, DELIVERED },
    { "maximumLatency", API_FIELD_MAXIMUM_LATENCY, NIDD_SECONDS, DELIVERED },
    { "priority", API_FIELD_PRIORITY, NIDD_INTEGER, DELIVERED },
};
const size_t nidd_member_count = sizeof nidd_members / sizeof nidd_members[0];
