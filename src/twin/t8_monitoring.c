#include "twin/t8_monitoring.h"

#define MEMBERS(list) { list, sizeof list / sizeof list[0] }

const char *const monitoring_type_texts[MONITORING_TYPES + 1] = {
    "LOSS_OF_CONNECTIVITY", "UE_REACHABILITY", "LOCATION_REPORTING", "CHANGE_OF_IMSI_IMEI_ASSOCIATION", "ROAMING_STATUS",
    "COMMUNICATION_FAILURE", "AVAILABILITY_AFTER_DDN_FAILURE", "NUMBER_OF_UES_IN_AN_AREA", "PDN_CONNECTIVITY_STATUS",
    "DOWNLINK_DATA_DELIVERY_STATUS", "API_SUPPORT_CAPABILITY", "NUM_OF_REGD_UES", "NUM_OF_ESTD_PDU_SESSIONS", "AREA_OF_INTEREST",
    NULL,
};
static const char *const reachabilities[] = { "SMS", "DATA", NULL };
static const char *const locations[] = { "CURRENT_LOCATION", "LAST_KNOWN_LOCATION", "CURRENT_OR_LAST_KNOWN_LOCATION", "INITIAL_LOCATION", NULL };
static const char *const accuracies[] = { "CGI_ECGI", "ENODEB", "TA_RA", "PLMN", "TWAN_ID", "GEO_AREA", "CIVIC_ADDR", NULL };
static const char *const associations[] = { "IMEI", "IMEISV", NULL };
static const char *const pdn_statuses[] = { "CREATED", "RELEASED", NULL };
static const char *const pdn_types[] = { "IPV4", "IPV6", "IPV4V6", "NON_IP", "ETHERNET", NULL };
static const char *const pdn_interfaces[] = { "EXPOSURE_FUNCTION", "PDN_GATEWAY", NULL };
static const char *const result_reasons[] = { "ROAMING_NOT_ALLOWED", "OTHER_REASON", NULL };

/* ---- MonitoringEventReport (TS 29.122, 5.3.2.1.2) ---- */

static const t8_member idle_status_members[] = {
    { .name = "activeTime", .field = IDLE_ACTIVE_TIME, .kind = T8_INTEGER },
    { .name = "edrxCycleLength", .field = IDLE_EDRX_CYCLE, .kind = T8_NUMBER },
    { .name = "suggestedNumberOfDlPackets", .field = IDLE_PACKETS, .kind = T8_INTEGER },
    { .name = "idleStatusTimestamp", .field = IDLE_TIME, .kind = T8_TIME },
    { .name = "periodicAUTimer", .field = IDLE_PERIODIC_TIMER, .kind = T8_INTEGER },
};
static const t8_object idle_status = MEMBERS(idle_status_members);

static const t8_member location_members[] = {
    { .name = "ageOfLocationInfo", .field = LOCATION_AGE, .kind = T8_INTEGER },
    { .name = "cellId", .field = LOCATION_CELL, .kind = T8_TEXT },
    { .name = "enodeBId", .field = LOCATION_ENODEB, .kind = T8_TEXT },
    { .name = "routingAreaId", .field = LOCATION_ROUTING_AREA, .kind = T8_TEXT },
    { .name = "trackingAreaId", .field = LOCATION_TRACKING_AREA, .kind = T8_TEXT },
    { .name = "plmnId", .field = LOCATION_PLMN, .kind = T8_TEXT },
    { .name = "twanId", .field = LOCATION_TWAN, .kind = T8_TEXT },
    { .name = "geographicArea", .field = LOCATION_GEOGRAPHIC, .kind = T8_JSON, .least = T8_JSON_OBJECT },
};
static const t8_object location = MEMBERS(location_members);

static const t8_member ues_members[] = {
    { .name = "ueCount", .field = UES_COUNT, .kind = T8_INTEGER, .uses = T8_REQUIRED },
    { .name = "externalIds", .field = UES_ID, .kind = T8_IDENTIFIER, .uses = T8_LIST },
    { .name = "msisdns", .field = UES_MSISDN, .kind = T8_DIGITS, .uses = T8_LIST },
};
static const t8_object ues = MEMBERS(ues_members);

static const t8_member plmn_members[] = {
    { .name = "mcc", .field = PLMN_MCC, .kind = T8_TEXT, .uses = T8_REQUIRED },
    { .name = "mnc", .field = PLMN_MNC, .kind = T8_TEXT, .uses = T8_REQUIRED },
};
static const t8_object plmn = MEMBERS(plmn_members);

static const t8_member failure_members[] = {
    { .name = "bssgpCause", .field = FAILURE_BSSGP, .kind = T8_INTEGER },
    { .name = "causeType", .field = FAILURE_TYPE, .kind = T8_INTEGER },
    { .name = "gmmCause", .field = FAILURE_GMM, .kind = T8_INTEGER },
    { .name = "ranapCause", .field = FAILURE_RANAP, .kind = T8_INTEGER },
    { .name = "ranNasCause", .field = FAILURE_RAN_NAS, .kind = T8_TEXT },
    { .name = "s1ApCause", .field = FAILURE_S1AP, .kind = T8_INTEGER },
    { .name = "smCause", .field = FAILURE_SM, .kind = T8_INTEGER },
};
static const t8_object failure = MEMBERS(failure_members);

static const t8_member pdn_members[] = {
    { .name = "status", .field = PDN_STATUS, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = pdn_statuses },
    { .name = "apn", .field = PDN_APN, .kind = T8_TEXT },
    { .name = "pdnType", .field = PDN_TYPE, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = pdn_types },
    { .name = "interfaceInd", .field = PDN_INTERFACE, .kind = T8_OPTION, .options = pdn_interfaces },
    { .name = "ipv4Addr", .field = PDN_IPV4, .kind = T8_TEXT },
    { .name = "ipv6Addrs", .field = PDN_IPV6, .kind = T8_TEXT, .uses = T8_LIST },
};
static const t8_object pdn = MEMBERS(pdn_members);

static const t8_member report_members[] = {
    { .name = "monitoringType", .field = REPORT_TYPE, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = monitoring_type_texts },
    { .name = "externalId", .field = REPORT_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = REPORT_MSISDN, .kind = T8_DIGITS },
    { .name = "eventTime", .field = REPORT_TIME, .kind = T8_TIME },
    { .name = "imeiChange", .field = REPORT_IMEI_CHANGE, .kind = T8_OPTION, .options = associations },
    { .name = "idleStatusInfo", .field = REPORT_IDLE_STATUS, .kind = T8_OBJECT, .object = &idle_status },
    { .name = "locationInfo", .field = REPORT_LOCATION, .kind = T8_OBJECT, .object = &location },
    { .name = "lossOfConnectReason", .field = REPORT_LOSS_REASON, .kind = T8_INTEGER },
    { .name = "maxUEAvailabilityTime", .field = REPORT_AVAILABLE_UNTIL, .kind = T8_TIME },
    { .name = "uePerLocationReport", .field = REPORT_UES, .kind = T8_OBJECT, .object = &ues },
    { .name = "plmnId", .field = REPORT_PLMN, .kind = T8_OBJECT, .object = &plmn },
    { .name = "reachabilityType", .field = REPORT_REACHABILITY, .kind = T8_OPTION, .options = reachabilities },
    { .name = "roamingStatus", .field = REPORT_ROAMING, .kind = T8_BOOLEAN },
    { .name = "failureCause", .field = REPORT_FAILURE, .kind = T8_OBJECT, .object = &failure },
    { .name = "pdnConnInfoList", .field = REPORT_PDN, .kind = T8_OBJECT, .uses = T8_LIST, .object = &pdn },
    { .name = "maxWaitTime", .field = REPORT_WAIT_UNTIL, .kind = T8_TIME },
};
const t8_object t8_monitoring_report = MEMBERS(report_members);

/* ---- MonitoringNotification (5.3.2.2.2) ---- */

static const t8_member result_members[] = {
    { .name = "externalIds", .field = RESULT_ID, .kind = T8_IDENTIFIER, .uses = T8_LIST },
    { .name = "msisdns", .field = RESULT_MSISDN, .kind = T8_DIGITS, .uses = T8_LIST },
    { .name = "resultReason", .field = RESULT_REASON, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = result_reasons },
};
const t8_object t8_config_result = MEMBERS(result_members);

static const t8_member applied_members[] = {
    { .name = "externalIds", .field = APPLIED_ID, .kind = T8_IDENTIFIER, .uses = T8_LIST },
    { .name = "msisdns", .field = APPLIED_MSISDN, .kind = T8_DIGITS, .uses = T8_LIST },
    { .name = "maximumLatency", .field = APPLIED_LATENCY, .kind = T8_INTEGER },
    { .name = "maximumResponseTime", .field = APPLIED_RESPONSE_TIME, .kind = T8_INTEGER },
    { .name = "maximumDetectionTime", .field = APPLIED_DETECTION_TIME, .kind = T8_INTEGER },
};
const t8_object t8_applied = MEMBERS(applied_members);

static const t8_member notice_members[] = {
    { .name = "configResults", .field = NOTIFICATION_CONFIG_RESULT, .kind = T8_OBJECT, .uses = T8_LIST, .object = &t8_config_result },
    { .name = "monitoringEventReports", .field = NOTIFICATION_REPORT, .kind = T8_OBJECT, .uses = T8_LIST, .object = &t8_monitoring_report },
    { .name = "addedExternalIds", .field = NOTIFICATION_ADDED_ID, .kind = T8_IDENTIFIER, .uses = T8_LIST },
    { .name = "addedMsisdns", .field = NOTIFICATION_ADDED_MSISDN, .kind = T8_DIGITS, .uses = T8_LIST },
    { .name = "cancelExternalIds", .field = NOTIFICATION_CANCELLED_ID, .kind = T8_IDENTIFIER, .uses = T8_LIST },
    { .name = "cancelMsisdns", .field = NOTIFICATION_CANCELLED_MSISDN, .kind = T8_DIGITS, .uses = T8_LIST },
    { .name = "cancelInd", .field = NOTIFICATION_CANCELLED, .kind = T8_BOOLEAN },
    { .name = "appliedParam", .field = NOTIFICATION_APPLIED, .kind = T8_OBJECT, .object = &t8_applied },
};
static const t8_object notice = MEMBERS(notice_members);

/* ---- MonitoringEventSubscription (5.3.2.1.1) ---- */

static const t8_member area_members[] = {
    { .name = "cellIds", .field = AREA_CELLS, .kind = T8_TEXT, .uses = T8_LIST },
    { .name = "enodeBIds", .field = AREA_ENODEBS, .kind = T8_TEXT, .uses = T8_LIST },
    { .name = "routingAreaIds", .field = AREA_ROUTING_AREAS, .kind = T8_TEXT, .uses = T8_LIST },
    { .name = "trackingAreaIds", .field = AREA_TRACKING_AREAS, .kind = T8_TEXT, .uses = T8_LIST },
    { .name = "geographicAreas", .field = AREA_GEOGRAPHIC, .kind = T8_JSON, .uses = T8_LIST, .least = T8_JSON_OBJECT },
    { .name = "civicAddresses", .field = AREA_CIVIC, .kind = T8_JSON, .uses = T8_LIST, .least = T8_JSON_OBJECT },
};
static const t8_object area = MEMBERS(area_members);

#define DROPPED(text, number, type) \
    { .name = text, .field = MONITORING_OTHER + (number), .kind = T8_JSON, .uses = T8_DROPPED, .least = type }

static const t8_member resource_members[] = {
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES },
    { .name = "mtcProviderId", .field = T8_FIELD_PROVIDER, .kind = T8_TEXT },
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "externalGroupId", .field = T8_FIELD_GROUP, .kind = T8_IDENTIFIER },
    { .name = "addedExternalIds", .field = MONITORING_ADDED_IDS, .kind = T8_IDENTIFIER, .uses = T8_LIST | T8_PATCHED },
    { .name = "addedMsisdns", .field = MONITORING_ADDED_MSISDNS, .kind = T8_DIGITS, .uses = T8_LIST | T8_PATCHED },
    { .name = "excludedExternalIds", .field = MONITORING_EXCLUDED_IDS, .kind = T8_IDENTIFIER, .uses = T8_LIST | T8_PATCHED },
    { .name = "excludedMsisdns", .field = MONITORING_EXCLUDED_MSISDNS, .kind = T8_DIGITS, .uses = T8_LIST | T8_PATCHED },
    { .name = "ipv4Addr", .field = MONITORING_IPV4, .kind = T8_TEXT },
    { .name = "ipv6Addr", .field = MONITORING_IPV6, .kind = T8_TEXT },
    { .name = "dnn", .field = MONITORING_DNN, .kind = T8_TEXT },
    { .name = "notificationDestination", .field = T8_FIELD_DESTINATION, .kind = T8_LINK, .uses = T8_REQUIRED },
    { .name = "requestTestNotification", .field = T8_FIELD_TEST, .kind = T8_BOOLEAN, .uses = T8_HIDDEN },
    { .name = "websockNotifConfig", .field = T8_FIELD_WEBSOCKET, .kind = T8_WEBSOCKET, .uses = T8_HIDDEN },
    { .name = "monitoringType", .field = MONITORING_TYPE, .kind = T8_OPTION, .uses = T8_REQUIRED, .options = monitoring_type_texts },
    { .name = "maximumNumberOfReports", .field = MONITORING_REPORTS_MAX, .kind = T8_INTEGER, .least = 1, .most = T8_INTEGER_MAX },
    { .name = "monitorExpireTime", .field = MONITORING_EXPIRE_TIME, .kind = T8_TIME, .uses = T8_FUTURE },
    { .name = "repPeriod", .field = MONITORING_REPORT_PERIOD, .kind = T8_INTEGER },
    { .name = "groupReportGuardTime", .field = MONITORING_GUARD_TIME, .kind = T8_INTEGER },
    { .name = "maximumDetectionTime", .field = MONITORING_DETECTION_TIME, .kind = T8_INTEGER },
    { .name = "reachabilityType", .field = MONITORING_REACHABILITY, .kind = T8_OPTION, .options = reachabilities },
    { .name = "maximumLatency", .field = MONITORING_LATENCY, .kind = T8_INTEGER },
    { .name = "maximumResponseTime", .field = MONITORING_RESPONSE_TIME, .kind = T8_INTEGER },
    { .name = "suggestedNumberOfDlPackets", .field = MONITORING_PACKETS, .kind = T8_INTEGER },
    { .name = "idleStatusIndication", .field = MONITORING_IDLE_STATUS, .kind = T8_BOOLEAN },
    { .name = "locationType", .field = MONITORING_LOCATION, .kind = T8_OPTION, .options = locations },
    { .name = "accuracy", .field = MONITORING_ACCURACY, .kind = T8_OPTION, .options = accuracies },
    { .name = "minimumReportInterval", .field = MONITORING_REPORT_INTERVAL, .kind = T8_INTEGER },
    { .name = "associationType", .field = MONITORING_ASSOCIATION, .kind = T8_OPTION, .options = associations },
    { .name = "plmnIndication", .field = MONITORING_PLMN, .kind = T8_BOOLEAN },
    { .name = "locationArea", .field = MONITORING_AREA, .kind = T8_OBJECT, .object = &area },
    { .name = "immediateRep", .field = MONITORING_IMMEDIATE, .kind = T8_BOOLEAN },
    { .name = "monitoringEventReport", .field = MONITORING_REPORT, .kind = T8_OBJECT, .uses = T8_READ_ONLY, .object = &t8_monitoring_report },
    DROPPED("addExtGroupId", 0, T8_JSON_ARRAY),
    DROPPED("maxRptExpireIntvl", 1, T8_JSON_NUMBER),
    DROPPED("samplingInterval", 2, T8_JSON_NUMBER),
    DROPPED("reportingLocEstInd", 3, T8_JSON_BOOLEAN),
    DROPPED("linearDistance", 4, T8_JSON_NUMBER),
    DROPPED("locQoS", 5, T8_JSON_OBJECT),
    DROPPED("svcId", 6, T8_JSON_TEXT),
    DROPPED("ldrType", 7, T8_JSON_TEXT),
    DROPPED("velocityRequested", 8, T8_JSON_TEXT),
    DROPPED("maxAgeOfLocEst", 9, T8_JSON_NUMBER),
    DROPPED("locTimeWindow", 10, T8_JSON_OBJECT),
    DROPPED("supportedGADShapes", 11, T8_JSON_ARRAY),
    DROPPED("codeWord", 12, T8_JSON_TEXT),
    DROPPED("locationArea5G", 13, T8_JSON_OBJECT),
    DROPPED("dddTraDescriptors", 14, T8_JSON_ARRAY),
    DROPPED("dddStati", 15, T8_JSON_ARRAY),
    DROPPED("apiNames", 16, T8_JSON_ARRAY),
    DROPPED("snssai", 17, T8_JSON_OBJECT),
    DROPPED("tgtNsThreshold", 18, T8_JSON_OBJECT),
    DROPPED("nsRepFormat", 19, T8_JSON_TEXT),
    DROPPED("afServiceId", 20, T8_JSON_TEXT),
    DROPPED("uavPolicy", 21, T8_JSON_OBJECT),
    DROPPED("sesEstInd", 22, T8_JSON_BOOLEAN),
    DROPPED("subType", 23, T8_JSON_TEXT),
    DROPPED("addnMonTypes", 24, T8_JSON_ARRAY),
    DROPPED("addnMonEventReports", 25, T8_JSON_ARRAY),
    DROPPED("ueIpAddr", 26, T8_JSON_OBJECT),
    DROPPED("ueMacAddr", 27, T8_JSON_TEXT),
    DROPPED("revocationNotifUri", 28, T8_JSON_TEXT),
};
static const t8_object resource = MEMBERS(resource_members);

const t8_api t8_monitoring = {
    .path = "3gpp-monitoring-event", .collection = "subscriptions", .word = "subscription", .scope = SCOPE_MONITORING,
    .resource = &resource, .patch_kind = T8_PATCH_JSON,
    .identities = T8_BY_ID | T8_BY_MSISDN | T8_BY_GROUP | T8_BY_NOBODY, .notice = &notice,
};
