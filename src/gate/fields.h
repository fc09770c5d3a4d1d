/* Fields: path, query and header of a request -> fields of an api_request. */
#pragma once

#include "base/builder.h"
#include "gate/http.h"

typedef struct fields_fault {
    int status;
    const char *detail;
} fields_fault;

bool fields_of_path(dro_builder *out, const route *route, const target *target, fields_fault *fault);
bool fields_of_query(connection *connection, dro_builder *out, const route *route, const target *target,
                     fields_fault *fault);
bool fields_of_header(connection *connection, exchange *exchange, dro_builder *out, const route *route,
                      const token *caller, fields_fault *fault);
/* The twin in the path belongs to a domain that is not the caller's. */
bool fields_are_foreign(const target *target, const token *caller);
/* Completes API_FIELD_IDEMPOTENCY, where fields_of_header began one. */
void fields_put_body_hash(connection *connection, dro_builder *out, body_text body);
/* application/json or a +json type. */
bool content_is_json(slice content_type);
