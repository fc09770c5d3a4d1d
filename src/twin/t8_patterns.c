#include "twin/t8_patterns.h"

#define MEMBERS(list) { list, sizeof list / sizeof list[0] }

static const char *const indicators[] = { "PERIODICALLY", "ON_DEMAND", NULL };
static const char *const stationaries[] = { "STATIONARY", "MOBILE", NULL };
static const char *const directions[] = { "DOWNLINK", "UPLINK", "BIDIRECTIONAL", NULL };
static const char *const batteries[] = { "BATTERY_RECHARGE", "BATTERY_REPLACE", "BATTERY_NO_RECHARGE", "BATTERY_NO_REPLACE", "NO_BATTERY", NULL };
static const char *const traffics[] = { "SINGLE_TRANS_UL", "SINGLE_TRANS_DL", "DUAL_TRANS_UL_FIRST", "DUAL_TRANS_DL_FIRST", "MULTI_TRANS", NULL };
const char *const pattern_failure_texts[PATTERN_FAILURES + 1] = { "MALFUNCTION", "SET_ID_DUPLICATED", "OTHER_REASON", NULL };

static const t8_member times_members[] = {
    { .name = "daysOfWeek", .field = TIMES_DAY, .kind = T8_INTEGER, .uses = T8_LIST, .least = 1, .most = 7 },
    { .name = "timeOfDayStart", .field = TIMES_START, .kind = T8_TIME_OF_DAY },
    { .name = "timeOfDayEnd", .field = TIMES_END, .kind = T8_TIME_OF_DAY },
};
static const t8_object times = MEMBERS(times_members);

static const t8_member set_members[] = {
    { .name = "setId", .field = PATTERN_SET_ID, .kind = T8_TEXT, .uses = T8_REQUIRED },
    { .name = "self", .field = PATTERN_SELF, .kind = T8_LINK, .uses = T8_READ_ONLY },
    { .name = "validityTime", .field = PATTERN_VALIDITY, .kind = T8_TIME, .uses = T8_FUTURE },
    { .name = "periodicCommunicationIndicator", .field = PATTERN_PERIODIC, .kind = T8_OPTION, .options = indicators },
    { .name = "communicationDurationTime", .field = PATTERN_DURATION, .kind = T8_INTEGER },
    { .name = "periodicTime", .field = PATTERN_PERIOD, .kind = T8_INTEGER },
    { .name = "scheduledCommunicationTime", .field = PATTERN_TIMES, .kind = T8_OBJECT, .object = &times },
    { .name = "scheduledCommunicationType", .field = PATTERN_DIRECTION, .kind = T8_OPTION, .options = directions },
    { .name = "stationaryIndication", .field = PATTERN_STATIONARY, .kind = T8_OPTION, .options = stationaries },
    { .name = "batteryInds", .field = PATTERN_BATTERY, .kind = T8_OPTION, .uses = T8_LIST, .options = batteries },
    { .name = "trafficProfile", .field = PATTERN_TRAFFIC, .kind = T8_OPTION, .options = traffics },
    { .name = "expectedUmts", .field = PATTERN_MOVES, .kind = T8_JSON, .least = T8_JSON_ARRAY },
    { .name = "expectedUmtDays", .field = PATTERN_MOVE_DAYS, .kind = T8_INTEGER, .least = 1, .most = 7 },
};
const t8_object t8_pattern = MEMBERS(set_members);

static const t8_member report_members[] = {
    { .name = "setIds", .field = PATTERN_REPORT_SET_ID, .kind = T8_TEXT, .uses = T8_LIST },
    { .name = "failureCode", .field = PATTERN_REPORT_CODE, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = pattern_failure_texts },
};
const t8_object t8_pattern_report = MEMBERS(report_members);

static const t8_member resource_members[] = {
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES },
    { .name = "mtcProviderId", .field = T8_FIELD_PROVIDER, .kind = T8_TEXT },
    { .name = "dnn", .field = PATTERNS_DNN, .kind = T8_TEXT },
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "externalGroupId", .field = T8_FIELD_GROUP, .kind = T8_IDENTIFIER },
    { .name = "cpParameterSets", .field = PATTERNS_SET, .kind = T8_MAP, .uses = T8_REQUIRED, .object = &t8_pattern },
    { .name = "cpReports", .field = PATTERNS_REPORT, .kind = T8_MAP, .uses = T8_READ_ONLY, .object = &t8_pattern_report },
    { .name = "snssai", .field = PATTERNS_OTHER, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_OBJECT },
    { .name = "ueIpAddr", .field = PATTERNS_OTHER + 1, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_OBJECT },
    { .name = "ueMacAddr", .field = PATTERNS_OTHER + 2, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_TEXT },
};
static const t8_object resource = MEMBERS(resource_members);

const t8_api t8_pattern_body = { .word = "set", .resource = &t8_pattern, .identities = T8_BY_NOBODY };
const t8_api t8_patterns = {
    .path = "3gpp-cp-parameter-provisioning", .collection = "subscriptions", .word = "subscription", .scope = SCOPE_PARAMETERS,
    .resource = &resource, .patch_kind = T8_PATCH_NONE, .identities = T8_BY_ID | T8_BY_MSISDN | T8_BY_GROUP,
};
