/* Body: JSON of a request (foreign bytes) -> fields of an api_request.
 *
 * Strict: UTF-8, one value, no member twice, no unknown member, bounded counts.
 * What is wrong is said with a status and a JSON pointer (RFC 6901), never with
 * the value: secrets and identities are among them. All memory is the arena,
 * which is wiped before these return. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "gate/target.h"

enum {
    BODY_REASON_MAX = 200,
    BODY_POINTER_MAX = 160,
    BODY_DETAIL_MAX = 400,
    BODY_ALIASES_MAX = 16,
    BODY_TAGS_MAX = 32,
    BODY_SECRETS_MAX = 16,       /* as a model has */
    BODY_INPUTS_MAX = 8,
    BODY_DOMAINS_MAX = 64,
    BODY_CEILING_MAX = 1000000000, /* of an application */
    BODY_APPLICATION_TEXTS_MAX = 4, /* certificates, APNs */
    BODY_NAME_MAX = 63,          /* bytes of a tag's, secret's or input's name */
    BODY_TAG_TEXT_MAX = 255,
    BODY_FIELDS_MAX = 64 * 1024 + 64, /* all fields of the largest body */
};

typedef struct body_fault {
    int status;                  /* 400: no JSON; 413; 422 */
    char pointer[BODY_POINTER_MAX];
    char detail[BODY_DETAIL_MAX];
} body_fault;

typedef struct body_arena body_arena;
body_arena *body_arena_new(void);
void body_arena_free(body_arena *arena);
/* For the writer of Thing Descriptions, which needs memory of the same kind: all
 * of the arena, not yet cleared. */
void *body_arena_bytes(body_arena *arena, size_t *length);

typedef struct body_text {
    const void *bytes;
    size_t length;
} body_text;

/* Each writes fields to `out`. False: `fault` says why, and what is in `out` is of no use. */
bool body_read_twin(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
/* A line of twins:bulk: with "id", which becomes a field too; `id` is "" when it could not be read. */
bool body_read_twin_line(body_arena *arena, body_text json, dro_builder *out, char id[IDENTIFIER_MAX + 1],
                         body_fault *fault);
bool body_read_property(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
bool body_read_action(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
bool body_read_application(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
bool body_read_application_patch(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
/* Of a group: an object without members, or nothing. */
bool body_read_group(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
/* A line of members:bulk: {"id", "member"(?): false takes it out}; `id` as above. */
bool body_read_member_line(body_arena *arena, body_text json, dro_builder *out, char id[IDENTIFIER_MAX + 1], bool *is_member,
                           body_fault *fault);
bool body_read_image_patch(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
bool body_read_stop(body_arena *arena, body_text json, dro_builder *out, body_fault *fault); /* empty: no reason */
bool body_read_trace(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
/* {"sql": text}: the text itself is written to `out`. */
bool body_read_query(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);
