/* Service APIs: what of T8 this host has for applications, in CAPIF's words (TS 29.222: ServiceAPIDescription). All of it
 * comes from the table of routes: an API is what stands first in its paths, "/3gpp-nidd/v1/...". */
#pragma once

#include "base/builder.h"
#include "gate/target.h"

enum {
    SERVICE_APIS_MAX = 16,
    SERVICE_API_NAME_MAX = 63,
    SERVICE_API_BYTES_MAX = 32 * 1024, /* of one description */
};

typedef struct service_api {
    slice name, version;       /* "3gpp-nidd", "v1"; of the table */
    uint32_t scopes;           /* one of them is enough for it */
} service_api;

typedef struct service_place { /* where this host is reached, and as whom */
    const char *aef;           /* its aefId */
    const char *root;          /* "https://scef.example:8443" */
    bool has_certificates;     /* applications may be known by one */
} service_place;

/* All of them, in the table's order. */
uint32_t service_apis(service_api out[SERVICE_APIS_MAX]);
/* Is some resource of it of that CommunicationType? */
bool service_api_has_type(const service_api *api, slice type);
/* A ServiceAPIDescription; `id` its apiId, "": without one. */
void service_api_write(dro_builder *out, const service_api *api, const service_place *place, const char *id);
