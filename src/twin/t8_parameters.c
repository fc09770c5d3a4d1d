#include "twin/t8_parameters.h"

#include "twin/t8_monitoring.h"

#define MEMBERS(list) { list, sizeof list / sizeof list[0] }

/* Bounds of the values themselves are core/parameters.c's: they have a cause of their own. */
static const t8_member resource_members[] = {
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES },
    { .name = "mtcProviderId", .field = T8_FIELD_PROVIDER, .kind = T8_TEXT },
    { .name = "dnn", .field = PARAMETERS_DNN, .kind = T8_TEXT },
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "externalGroupId", .field = T8_FIELD_GROUP, .kind = T8_IDENTIFIER },
    { .name = "maximumLatency", .field = PARAMETERS_LATENCY, .kind = T8_INTEGER },
    { .name = "maximumResponseTime", .field = PARAMETERS_RESPONSE, .kind = T8_INTEGER },
    { .name = "suggestedNumberOfDlPackets", .field = PARAMETERS_PACKETS, .kind = T8_INTEGER },
    { .name = "groupReportingGuardTime", .field = PARAMETERS_GUARD_TIME, .kind = T8_INTEGER },
    { .name = "notificationDestination", .field = T8_FIELD_DESTINATION, .kind = T8_LINK },
    { .name = "requestTestNotification", .field = T8_FIELD_TEST, .kind = T8_BOOLEAN, .uses = T8_HIDDEN },
    { .name = "websockNotifConfig", .field = T8_FIELD_WEBSOCKET, .kind = T8_WEBSOCKET, .uses = T8_HIDDEN },
    { .name = "validityTime", .field = PARAMETERS_VALIDITY, .kind = T8_TIME, .uses = T8_FUTURE },
    { .name = "snssai", .field = PARAMETERS_OTHER, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_OBJECT },
    { .name = "ueIpAddr", .field = PARAMETERS_OTHER + 1, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_OBJECT },
    { .name = "ueMacAddr", .field = PARAMETERS_OTHER + 2, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_TEXT },
};
static const t8_object resource = MEMBERS(resource_members);

/* TS 29.122 spells one member otherwise in a patch. */
static const t8_member patch_members[] = {
    { .name = "maximumLatency", .field = PARAMETERS_LATENCY, .kind = T8_INTEGER, .uses = T8_NULLABLE },
    { .name = "maximumResponseTime", .field = PARAMETERS_RESPONSE, .kind = T8_INTEGER, .uses = T8_NULLABLE },
    { .name = "suggestedNumberOfDlPackets", .field = PARAMETERS_PACKETS, .kind = T8_INTEGER, .uses = T8_NULLABLE },
    { .name = "groupReportGuardTime", .field = PARAMETERS_GUARD_TIME, .kind = T8_INTEGER, .uses = T8_NULLABLE },
    { .name = "validityTime", .field = PARAMETERS_VALIDITY, .kind = T8_TIME, .uses = T8_NULLABLE | T8_FUTURE },
    { .name = "notificationDestination", .field = T8_FIELD_DESTINATION, .kind = T8_LINK },
};
static const t8_object patch = MEMBERS(patch_members);

static const t8_member notice_members[] = {
    { .name = "configResults", .field = PARAMETERS_RESULT, .kind = T8_OBJECT, .uses = T8_LIST, .object = &t8_config_result },
    { .name = "appliedParam", .field = PARAMETERS_APPLIED, .kind = T8_OBJECT, .object = &t8_applied },
};
static const t8_object notice = MEMBERS(notice_members);

const t8_api t8_parameters = {
    .path = "3gpp-network-parameter-configuration", .collection = "configurations", .word = "configuration", .scope = SCOPE_PARAMETERS,
    .resource = &resource, .patch_kind = T8_PATCH_MERGE, .patch = &patch, .notice = &notice,
    .identities = T8_BY_ID | T8_BY_MSISDN | T8_BY_GROUP,
};
