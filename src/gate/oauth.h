/* OAuth: the token endpoint (RFC 6749 4.4, client credentials; also in CAPIF's place, TS
 * 29.222 8.5), the host's public keys (RFC 7517) and what it can do (RFC 8414). The gate
 * finds out who asks and what may be granted; core 0, which has the key, signs. */
#pragma once

#include "gate/fields.h"
#include "gate/http.h"

/* The head of a request for a token: keeps who asks in `out` (never the secret itself).
 * 0, or the status of a refusal. */
int oauth_begin(connection *connection, dro_builder *out);
void oauth_refuse(http *http, exchange *exchange, int status);
/* Its body is here too; `request` is what oauth_begin built. */
void oauth_ask(http *http, exchange *exchange, const uint8_t *request, uint32_t length, body_text form);
void oauth_keys(http *http, exchange *exchange);
void oauth_metadata(http *http, exchange *exchange);
/* What an answer of the core to a request for a token has beside Cache-Control. */
extern const char oauth_answer_lines[];
