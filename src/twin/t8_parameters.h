/* NpConfiguration of T8 (TS 29.122, 5.13): network parameters of a device or group. */
#pragma once

#include "twin/t8.h"

enum parameters_field { /* of an NpConfiguration, beside the common ones of twin/t8.h */
    PARAMETERS_LATENCY = 10,         /* maximumLatency, i64 s */
    PARAMETERS_RESPONSE,             /* maximumResponseTime, i64 s */
    PARAMETERS_PACKETS,              /* suggestedNumberOfDlPackets, i64 */
    PARAMETERS_GUARD_TIME,           /* groupReportingGuardTime, i64 s */
    PARAMETERS_VALIDITY,             /* validityTime, i64 ms */
    PARAMETERS_DNN,
    PARAMETERS_OTHER = 200,          /* and above: of features that this host has not */
};

enum parameters_notice_field { /* of a ConfigurationNotification, beside its link */
    PARAMETERS_RESULT = 2,           /* again and again: fields of config_result_field (twin/t8_monitoring.h) */
    PARAMETERS_APPLIED,              /* fields of applied_field */
};

extern const t8_api t8_parameters;
