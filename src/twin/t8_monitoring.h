/* MonitoringEvent of T8 (TS 29.122, 5.3): its resource, its reports, its notification. */
#pragma once

#include "twin/t8.h"

typedef enum monitoring_type {
    MONITORING_LOSS_OF_CONNECTIVITY, MONITORING_UE_REACHABILITY, MONITORING_LOCATION_REPORTING,
    MONITORING_CHANGE_OF_IMSI_IMEI_ASSOCIATION, MONITORING_ROAMING_STATUS, MONITORING_COMMUNICATION_FAILURE,
    MONITORING_AVAILABILITY_AFTER_DDN_FAILURE, MONITORING_NUMBER_OF_UES_IN_AN_AREA, MONITORING_PDN_CONNECTIVITY_STATUS,
    MONITORING_TYPES_REPORTED, /* what follows is of 5G networks only */
    MONITORING_DOWNLINK_DATA_DELIVERY_STATUS = MONITORING_TYPES_REPORTED, MONITORING_API_SUPPORT_CAPABILITY,
    MONITORING_NUM_OF_REGD_UES, MONITORING_NUM_OF_ESTD_PDU_SESSIONS, MONITORING_AREA_OF_INTEREST,
    MONITORING_TYPES,
} monitoring_type;
extern const char *const monitoring_type_texts[MONITORING_TYPES + 1];

typedef enum reachability_type { REACHABILITY_SMS, REACHABILITY_DATA } reachability_type;
typedef enum location_type {
    LOCATION_CURRENT, LOCATION_LAST_KNOWN, LOCATION_CURRENT_OR_LAST_KNOWN, LOCATION_INITIAL, /* the last two: 5G */
} location_type;
typedef enum location_accuracy {
    ACCURACY_CGI_ECGI, ACCURACY_ENODEB, ACCURACY_TA_RA, ACCURACY_PLMN, ACCURACY_TWAN_ID, ACCURACY_GEO_AREA, ACCURACY_CIVIC_ADDR,
} location_accuracy;
typedef enum association_type { ASSOCIATION_IMEI, ASSOCIATION_IMEISV } association_type;

enum monitoring_field { /* of a subscription, beside the common ones of twin/t8.h */
    MONITORING_TYPE = 10,            /* u8 monitoring_type */
    MONITORING_REPORTS_MAX,          /* maximumNumberOfReports */
    MONITORING_EXPIRE_TIME,
    MONITORING_REPORT_PERIOD,        /* repPeriod */
    MONITORING_GUARD_TIME,           /* groupReportGuardTime */
    MONITORING_DETECTION_TIME,       /* maximumDetectionTime */
    MONITORING_REACHABILITY,         /* u8 reachability_type */
    MONITORING_LATENCY,              /* maximumLatency */
    MONITORING_RESPONSE_TIME,        /* maximumResponseTime */
    MONITORING_PACKETS,              /* suggestedNumberOfDlPackets */
    MONITORING_IDLE_STATUS,          /* u8 idleStatusIndication */
    MONITORING_LOCATION,             /* u8 location_type */
    MONITORING_ACCURACY,             /* u8 location_accuracy */
    MONITORING_REPORT_INTERVAL,      /* minimumReportInterval */
    MONITORING_ASSOCIATION = 26,     /* u8 association_type; 25 is NULLED */
    MONITORING_PLMN,                 /* u8 plmnIndication */
    MONITORING_AREA,                 /* locationArea: fields of monitoring_area_field */
    MONITORING_REPORT,               /* monitoringEventReport: fields of monitoring_report_field */
    MONITORING_ADDED_IDS, MONITORING_ADDED_MSISDNS, MONITORING_EXCLUDED_IDS, MONITORING_EXCLUDED_MSISDNS,
    MONITORING_IPV4, MONITORING_IPV6, MONITORING_DNN, MONITORING_IMMEDIATE,
    MONITORING_OTHER = 200,          /* and above: members of features that this host has not; none is kept */
};

enum monitoring_area_field { AREA_CELLS = 1, AREA_ENODEBS, AREA_ROUTING_AREAS, AREA_TRACKING_AREAS, AREA_GEOGRAPHIC, AREA_CIVIC };

enum monitoring_report_field { /* of a MonitoringEventReport */
    REPORT_ID = T8_FIELD_ID, REPORT_MSISDN = T8_FIELD_MSISDN,
    REPORT_TYPE = 10,                /* u8 monitoring_type */
    REPORT_TIME,                     /* eventTime, i64 ms */
    REPORT_IMEI_CHANGE,              /* u8 association_type */
    REPORT_IDLE_STATUS,              /* fields of idle_status_field */
    REPORT_LOCATION,                 /* fields of location_field */
    REPORT_LOSS_REASON,              /* lossOfConnectReason, i64 */
    REPORT_AVAILABLE_UNTIL,          /* maxUEAvailabilityTime, i64 ms */
    REPORT_UES,                      /* uePerLocationReport: fields of ues_field */
    REPORT_PLMN,                     /* fields of plmn_field */
    REPORT_REACHABILITY,             /* u8 reachability_type */
    REPORT_ROAMING,                  /* u8 */
    REPORT_FAILURE,                  /* failureCause: fields of failure_field */
    REPORT_PDN,                      /* pdnConnInfoList, again and again: fields of pdn_field */
    REPORT_WAIT_UNTIL,               /* maxWaitTime, i64 ms */
};
enum idle_status_field { IDLE_ACTIVE_TIME = 1, IDLE_EDRX_CYCLE /* f64 seconds */, IDLE_PACKETS, IDLE_TIME, IDLE_PERIODIC_TIMER };
enum location_field {
    LOCATION_AGE = 1 /* minutes */, LOCATION_CELL, LOCATION_ENODEB, LOCATION_ROUTING_AREA, LOCATION_TRACKING_AREA, LOCATION_PLMN,
    LOCATION_TWAN, LOCATION_GEOGRAPHIC, /* JSON object */
};
enum ues_field { UES_COUNT = 2, UES_ID = T8_FIELD_ID, UES_MSISDN = T8_FIELD_MSISDN };
enum plmn_field { PLMN_MCC = 1, PLMN_MNC };
enum failure_field { FAILURE_BSSGP = 1, FAILURE_TYPE, FAILURE_GMM, FAILURE_RANAP, FAILURE_RAN_NAS, FAILURE_S1AP, FAILURE_SM };
enum pdn_field { PDN_STATUS = 1, PDN_APN, PDN_TYPE, PDN_INTERFACE, PDN_IPV4, PDN_IPV6 };
enum pdn_status { PDN_STATUS_CREATED, PDN_STATUS_RELEASED };
enum pdn_type { PDN_TYPE_IPV4, PDN_TYPE_IPV6, PDN_TYPE_IPV4V6, PDN_TYPE_NON_IP, PDN_TYPE_ETHERNET };
enum pdn_interface { PDN_INTERFACE_EXPOSURE_FUNCTION, PDN_INTERFACE_PDN_GATEWAY };

enum monitoring_notice_field { /* of a MonitoringNotification, beside its link */
    NOTIFICATION_CONFIG_RESULT = 2,  /* again and again: fields of config_result_field */
    NOTIFICATION_REPORT,             /* again and again: fields of monitoring_report_field */
    NOTIFICATION_ADDED_ID, NOTIFICATION_ADDED_MSISDN, NOTIFICATION_CANCELLED_ID = 7, NOTIFICATION_CANCELLED_MSISDN,
    NOTIFICATION_CANCELLED,          /* u8 cancelInd */
    NOTIFICATION_APPLIED,            /* appliedParam: fields of applied_field */
};
enum config_result_field { RESULT_ID = T8_FIELD_ID, RESULT_MSISDN = T8_FIELD_MSISDN, RESULT_REASON = 2 };
enum config_result_reason { RESULT_ROAMING_NOT_ALLOWED, RESULT_OTHER_REASON };
enum applied_field { APPLIED_ID = T8_FIELD_ID, APPLIED_MSISDN = T8_FIELD_MSISDN, APPLIED_LATENCY = 2, APPLIED_RESPONSE_TIME, APPLIED_DETECTION_TIME };

extern const t8_api t8_monitoring;
extern const t8_object t8_monitoring_report;
extern const t8_object t8_config_result, t8_applied; /* NpConfiguration has them too */
