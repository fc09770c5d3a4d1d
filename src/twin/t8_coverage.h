/* ECRControl of T8 (TS 29.122, 5.12): in which networks a device may use enhanced coverage. Nothing is kept of it here. */
#pragma once

#include "twin/t8.h"

enum coverage_field { /* of an ECRControl, beside the common ones of twin/t8.h */
    COVERAGE_SCS_AS = API_FIELD_SCS_AS,
    COVERAGE_RESTRICTED_PLMN = 10,   /* restrictedPlmnIds: fields of plmn_field (twin/t8_monitoring.h), again and again; empty: none is */
    COVERAGE_ALLOWED_PLMN,           /* allowedPlmnIds: the same */
    COVERAGE_OTHER = 200,
};

extern const t8_api t8_coverage; /* what a body is read by; it has no resources */
