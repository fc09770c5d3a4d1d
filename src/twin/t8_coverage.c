#include "twin/t8_coverage.h"

#include "twin/t8_monitoring.h"

#define MEMBERS(list) { list, sizeof list / sizeof list[0] }

static const t8_member plmn_members[] = {
    { .name = "mcc", .field = PLMN_MCC, .kind = T8_TEXT, .uses = T8_REQUIRED, .least = 3, .most = 3 },
    { .name = "mnc", .field = PLMN_MNC, .kind = T8_TEXT, .uses = T8_REQUIRED, .least = 2, .most = 3 },
};
static const t8_object plmn = MEMBERS(plmn_members);

static const t8_member resource_members[] = {
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES, .uses = T8_REQUIRED },
    { .name = "mtcProviderId", .field = T8_FIELD_PROVIDER, .kind = T8_TEXT },
    { .name = "scsAsId", .field = COVERAGE_SCS_AS, .kind = T8_TEXT },
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "restrictedPlmnIds", .field = COVERAGE_RESTRICTED_PLMN, .kind = T8_OBJECT, .uses = T8_LIST | T8_MAY_BE_EMPTY, .object = &plmn },
    { .name = "allowedPlmnIds", .field = COVERAGE_ALLOWED_PLMN, .kind = T8_OBJECT, .uses = T8_LIST | T8_MAY_BE_EMPTY, .object = &plmn },
    { .name = "ecrDataWbs", .field = COVERAGE_OTHER, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_ARRAY },
};
static const t8_object resource = MEMBERS(resource_members);

const t8_api t8_coverage = {
    .path = "3gpp-ecr-control", .word = "enhanced coverage", .scope = SCOPE_PARAMETERS, .resource = &resource, .identities = T8_BY_ID | T8_BY_MSISDN,
};
