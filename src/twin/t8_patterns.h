/* CpProvisioning of T8 (TS 29.122, 5.10): communication patterns of a device or group. */
#pragma once

#include "twin/t8.h"

enum patterns_field { /* of a CpInfo, beside the common ones of twin/t8.h */
    PATTERNS_SET = 10,               /* cpParameterSets: entries of pattern_field */
    PATTERNS_REPORT,                 /* cpReports: entries of pattern_report_field */
    PATTERNS_DNN,
    PATTERNS_OTHER = 200,            /* and above: of features that this host has not */
};

enum pattern_field { /* of a CpParameterSet; the question to the network has the same (INQUIRY_PATTERNS) */
    PATTERN_SET_ID = 1,
    PATTERN_SELF,
    PATTERN_VALIDITY,                /* i64 ms */
    PATTERN_PERIODIC,                /* u8 pattern_indicator */
    PATTERN_DURATION,                /* i64 s */
    PATTERN_PERIOD,                  /* i64 s */
    PATTERN_TIMES,                   /* fields of pattern_times_field */
    PATTERN_DIRECTION,               /* scheduledCommunicationType */
    PATTERN_STATIONARY,              /* u8 pattern_stationary */
    PATTERN_BATTERY,                 /* u8 pattern_battery, again and again */
    PATTERN_TRAFFIC,                 /* u8 pattern_traffic */
    PATTERN_MOVES, PATTERN_MOVE_DAYS,/* expectedUmts, expectedUmtDays: of 5G networks, kept as they came */
    PATTERN_REFERENCE,               /* never shown; u32: what the network knows the set by */
    PATTERN_REPLACES,                /* in a question: the reference of the one before it */
};
enum pattern_indicator { PATTERN_PERIODICALLY, PATTERN_ON_DEMAND };
enum pattern_stationary { PATTERN_IS_STATIONARY, PATTERN_IS_MOBILE };
enum pattern_battery { BATTERY_RECHARGE, BATTERY_REPLACE, BATTERY_NO_RECHARGE, BATTERY_NO_REPLACE, BATTERY_NONE };
enum pattern_traffic { TRAFFIC_SINGLE_UP, TRAFFIC_SINGLE_DOWN, TRAFFIC_DUAL_UP_FIRST, TRAFFIC_DUAL_DOWN_FIRST, TRAFFIC_MULTI };
enum pattern_times_field { TIMES_DAY = 1 /* i64, 1 Monday to 7 Sunday, again and again */, TIMES_START, TIMES_END /* text */ };

enum pattern_report_field { PATTERN_REPORT_SET_ID = 1, PATTERN_REPORT_CODE /* u8 pattern_failure */ };
enum pattern_failure { PATTERN_MALFUNCTION, PATTERN_SET_ID_DUPLICATED, PATTERN_OTHER_REASON, PATTERN_FAILURES };
extern const char *const pattern_failure_texts[PATTERN_FAILURES + 1];

extern const t8_api t8_patterns;
extern const t8_api t8_pattern_body;      /* what the body of one set is read by */
extern const t8_object t8_pattern;        /* a set */
extern const t8_object t8_pattern_report;
