/* CAPIF core function, in small (TS 29.222): where no other is configured, this host itself says which APIs are here and
 * (core/invokers.h) takes on who may use them. What is here alone can be answered without a core. */
#pragma once

#include "gate/http.h"
#include "gate/route.h"

/* Is the operation one of a core function, and another one is there for it? Then it is answered. */
bool ccf_is_elsewhere(http *http, exchange *exchange, const route *route);
/* Who onboards gets a new secret, who offboards ends it: for that an access token is not enough, which has fewer scopes or
 * an end. True: answered. */
bool ccf_needs_more(const connection *connection, exchange *exchange, const route *route);
/* Answers API_CAPIF_DISCOVER, _PUBLISHED_LIST, _PUBLISHED_GET, _CHECK; `request` with the fields of target and body. */
void ccf_answer(http *http, exchange *exchange, const route *route, const void *request, size_t length);
