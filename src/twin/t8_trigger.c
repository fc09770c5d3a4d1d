#include "twin/t8_trigger.h"

#include "twin/trigger.h"

#define MEMBERS(list) { list, sizeof list / sizeof list[0] }
#define PORT_MAX 65535

static const char *const priorities[] = { "NO_PRIORITY", "PRIORITY", NULL };

static const t8_member resource_members[] = {
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES },
    { .name = "validityPeriod", .field = API_FIELD_VALIDITY, .kind = T8_INTEGER, .uses = T8_REQUIRED },
    { .name = "priority", .field = API_FIELD_TRIGGER_PRIORITY, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = priorities },
    { .name = "applicationPortId", .field = API_FIELD_APPLICATION_PORT, .kind = T8_INTEGER, .uses = T8_REQUIRED, .least = 0, .most = PORT_MAX },
    { .name = "appSrcPortId", .field = API_FIELD_SOURCE_PORT, .kind = T8_INTEGER, .least = 0, .most = PORT_MAX },
    { .name = "triggerPayload", .field = API_FIELD_PAYLOAD, .kind = T8_BYTES, .uses = T8_REQUIRED, .most = TRIGGER_PAYLOAD_MAX },
    { .name = "notificationDestination", .field = T8_FIELD_DESTINATION, .kind = T8_LINK, .uses = T8_REQUIRED },
    { .name = "requestTestNotification", .field = T8_FIELD_TEST, .kind = T8_BOOLEAN, .uses = T8_HIDDEN },
    { .name = "websockNotifConfig", .field = T8_FIELD_WEBSOCKET, .kind = T8_WEBSOCKET, .uses = T8_HIDDEN },
    { .name = "deliveryResult", .field = API_FIELD_DELIVERY_RESULT, .kind = T8_OPTION, .uses = T8_READ_ONLY, .options = trigger_result_texts },
};
static const t8_object resource = MEMBERS(resource_members);

static const t8_member patch_members[] = {
    { .name = "validityPeriod", .field = API_FIELD_VALIDITY, .kind = T8_INTEGER },
    { .name = "priority", .field = API_FIELD_TRIGGER_PRIORITY, .kind = T8_OPTION, .options = priorities },
    { .name = "applicationPortId", .field = API_FIELD_APPLICATION_PORT, .kind = T8_INTEGER, .least = 0, .most = PORT_MAX },
    { .name = "appSrcPortId", .field = API_FIELD_SOURCE_PORT, .kind = T8_INTEGER, .least = 0, .most = PORT_MAX },
    { .name = "triggerPayload", .field = API_FIELD_PAYLOAD, .kind = T8_BYTES, .most = TRIGGER_PAYLOAD_MAX },
    { .name = "notificationDestination", .field = T8_FIELD_DESTINATION, .kind = T8_LINK },
    { .name = "requestTestNotification", .field = T8_FIELD_TEST, .kind = T8_BOOLEAN },
    { .name = "websockNotifConfig", .field = T8_FIELD_WEBSOCKET, .kind = T8_WEBSOCKET },
};
static const t8_object patch = MEMBERS(patch_members);

static const t8_member notice_members[] = {
    { .name = "result", .field = API_FIELD_DELIVERY_RESULT, .kind = T8_OPTION, .options = trigger_result_texts },
};
static const t8_object notice = MEMBERS(notice_members);

const t8_api t8_trigger = {
    .path = "3gpp-device-triggering", .collection = "transactions", .word = "transaction", .scope = SCOPE_TRIGGER,
    .resource = &resource, .patch_kind = T8_PATCH_MERGE, .patch = &patch, .identities = T8_BY_ID | T8_BY_MSISDN, .notice = &notice,
};
