/* Routes: the table of spec/routes.csv, and finding a path in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/target.h"

enum route_method { METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_PATCH, METHOD_DELETE, METHOD_OTHER, METHODS = METHOD_OTHER };
enum route_handler {
    HANDLER_CORE, HANDLER_HEALTH, HANDLER_METRICS, HANDLER_OPENAPI, HANDLER_UPLOAD,
    HANDLER_BULK, HANDLER_DESCRIPTION, HANDLER_STREAM, HANDLER_QUERY, HANDLER_BACKUP,
    HANDLER_TOKEN, HANDLER_KEYS, HANDLER_ISSUER, HANDLER_WEBSOCKET, HANDLER_CCF,
};
enum route_body {
    BODY_NONE, BODY_TWIN, BODY_PROPERTY, BODY_ACTION, BODY_APPLICATION, BODY_QUERY, BODY_IMAGE, BODY_BULK,
    BODY_NIDD_CONFIGURATION, BODY_NIDD_CONFIGURATION_PATCH, BODY_NIDD_DELIVERY, BODY_NIDD_DELIVERY_PATCH, BODY_GROUP,
    BODY_FORM, BODY_TRACE, BODY_APPLICATION_PATCH, BODY_RDS_PORT, BODY_T8, BODY_T8_PATCH, BODY_T8_SET, BODY_T8_COVERAGE,
    BODY_CAPIF_CHECK, BODY_CAPIF_REVOKE, BODY_CAPIF_NOTIFICATION, BODY_CAPIF_INVOKER, BODY_CAPIF_INVOKER_PATCH, BODY_CAPIF_SECURITY,
    BODY_STOP, BODY_IMAGE_PATCH, BODIES,
};
enum route_parameter {
    PARAMETER_NONE, PARAMETER_ID, PARAMETER_NAME, PARAMETER_DIGEST, PARAMETER_TICKET, PARAMETER_APPLICATION,
    PARAMETER_SCS_AS, PARAMETER_CONFIGURATION, PARAMETER_DELIVERY, PARAMETER_GROUP,
    PARAMETER_SECURITY, PARAMETER_TRACE, PARAMETER_RDS_PORT, PARAMETER_SET_ID,
    PARAMETER_INVOKER, PARAMETER_APF, PARAMETER_SERVICE_API, PARAMETER_DOMAIN,
};
enum route_query {
    QUERY_MODEL = 1, QUERY_TAG = 2, QUERY_LIMIT = 4, QUERY_CURSOR = 8,
    QUERY_WAIT = 16, QUERY_TIMEOUT = 32, QUERY_PROPERTY = 64, QUERY_TWIN = 128, QUERY_AFTER = 256, QUERY_NETWORK = 512, QUERY_STATE = 1024,
    QUERY_HISTORY = 2048,
    /* CAPIF's, in the order of enum capif_filter */
    QUERY_API_INVOKER_ID = 1 << 16, QUERY_API_NAME = 1 << 17, QUERY_API_VERSION = 1 << 18, QUERY_COMM_TYPE = 1 << 19, QUERY_PROTOCOL = 1 << 20,
    QUERY_AEF_ID = 1 << 21, QUERY_DATA_FORMAT = 1 << 22, QUERY_API_CAT = 1 << 23, QUERY_PREFERRED_AEF_LOC = 1 << 24,
    QUERY_SUPPORTED_FEATURES = 1 << 25, QUERY_API_SUPPORTED_FEATURES = 1 << 26, QUERY_AUTHENTICATIONINFO = 1 << 27, QUERY_AUTHORIZATIONINFO = 1 << 28,
    QUERY_CAPIF_FIRST = QUERY_API_INVOKER_ID,
};
/* Beside the bits of enum scope. */
enum { ROUTE_ANY = 1 << 16, ROUTE_OPEN = 1 << 17, ROUTE_ONCE = 1 << 18 };

enum { ROUTE_NAME_MAX = 255 };

typedef struct route {
    uint8_t method, handler, body;
    uint16_t operation;     /* enum api_operation, 0: none */
    uint16_t act;           /* enum audit_act, 0: the audit log does not tell of it */
    uint32_t scopes;        /* one of them is enough */
    uint32_t queries;       /* bits of enum route_query */
    const char *name;       /* "GET /v1/twins/{id}", for metrics and Idempotency-Keys; ROUTE_NAME_MAX bytes at most, tools/routes.py sees to it */
} route;

typedef struct route_segment {
    const char *text;       /* NULL: a parameter */
    uint8_t length;
    uint8_t parameter;
} route_segment;

typedef struct route_path {
    uint8_t count;
    route_segment segments[HTTP_SEGMENTS_MAX];
    uint8_t by_method[METHODS]; /* index of the route + 1, 0: not allowed */
    const char *allow;          /* value of the Allow field */
} route_path;

/* The path of the table that the target has, or NULL. */
const route_path *route_find(const target *target);
/* The route of a path for a method, or NULL: not allowed. */
const route *route_of(const route_path *path, unsigned method);
uint32_t route_index(const route *route);
uint32_t route_count(void);
const route *route_at(uint32_t index);
