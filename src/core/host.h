/* What the host has besides twins: images, domains, applications, names of Diameter nodes. Core 0
 * keeps them in two small sealed files (the domains' keys have their own) that are replaced whole; the
 * other cores follow it (core/follow.h). All of it is owned by the core and freed by host_free. A row
 * keeps its number for good: records name it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/core.h"
#include "core/domains.h"
#include "core/duplicates.h"
#include "core/number.h"
#include "twin/admission.h"

typedef struct image {
    uint8_t digest[32];
    uint32_t table;              /* of its model in the columns; NONE: unused slot */
    uint32_t twins;
    uint8_t artifact_sum[32];    /* SHA-256; it is in the sealed host file, so it stands for a MAC */
    bool is_broken;              /* its code cannot be made: nothing is taken for its twins */
    bool is_stopped;             /* quarantined: core/stops.h */
    uint8_t *artifact;           /* NULL: being made */
    size_t artifact_length;
    char *model_json;
    size_t model_json_length;
    bool is_ready;               /* the cells have it; of core 0's image: `artifact` is there */
    admit_info info;
} image;

enum {
    APPLICATION_APNS_MAX = 4,
    APPLICATION_CERTIFICATES_MAX = 4,
    APPLICATION_CERTIFICATE_TEXT = 260, /* "dns:" and a name */
    APPLICATION_APN_TEXT = 100,
};

typedef struct application {
    char *id;
    application_limits limits;   /* its own */
    uint32_t certificate_count, apn_count;
    char certificates[APPLICATION_CERTIFICATES_MAX][APPLICATION_CERTIFICATE_TEXT + 1];
    char apns[APPLICATION_APNS_MAX][APPLICATION_APN_TEXT + 1]; /* none: all */
    uint32_t number, scopes;
    uint8_t token[32];
    uint32_t domain_count;
    uint32_t *domains;
    int64_t expires_ms;          /* sessions; 0: never */
    bool is_session, is_one_time, is_stopped;
} application;

typedef struct host {
    char *name;
    duplicates *seen, *dump;     /* dump: at recovery, one that is not whole yet */
    bool is_kept;                /* its number is on the disk */
} host;

DRO_CHECKED dro_err host_load(core *core);
DRO_CHECKED dro_err host_keep(core *core);                                /* durable on return, and on the board */
DRO_CHECKED dro_err host_show(core *core);                                /* on the board alone */
DRO_CHECKED dro_err host_apply(core *core, const uint8_t *bytes, size_t length); /* as it came from the board */
/* Why nothing that changes something is taken now, or NULL. */
const char *core_refusal(const core *core);
bool host_name_find(core *core, const char *name, size_t length, uint16_t *number);
/* Made if missing. DRO_AGAIN: core 0 makes it, see question_ask. */
DRO_CHECKED dro_err host_name_get(core *core, const char *name, size_t length, uint16_t *number);
dro_err image_table(core *core, uint32_t index);
void host_free(core *core);
application *application_find(core *core, const char *id, size_t length);
application *application_at(core *core, uint32_t number);
bool application_sees(core *core, uint32_t number, uint32_t scopes, uint32_t domain);
/* Has the application itself that scope, and the domain? Whatever its tokens say. */
bool application_may(core *core, uint32_t number, uint32_t scope, uint32_t domain);
void credentials_send(core *core, uint32_t gate, const application *application, bool is_gone);
/* Its limits, certificates and (`is_whole`) APNs as fields; and one of them back. */
void application_more_write(const application *application, dro_builder *out, bool is_whole);
DRO_CHECKED dro_err application_more_read(application *application, const dro_field *field);
/* A message of the host's to one gate or (NONE) all: at once, past what waits for its round. */
void gates_tell(core *core, uint32_t gate, uint16_t type, const void *message, uint32_t length);
void credentials_send_all(core *core, uint32_t gate);
