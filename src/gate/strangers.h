/* Strangers: connections whose last request showed no good token, or that made none yet. What they may hold is bounded
 * twice. Each has its connection and one small block. Those that hold more (a long head in pieces, a form, a TLS session)
 * are HTTP_HEAVY_MAX at most: the oldest goes for another. And where no place is left for a new connection, the oldest
 * strangers go before anybody whom the host knows. */
#pragma once

#include "gate/http.h"

void strangers_add(connection *connection);  /* a new one */
void strangers_know(connection *connection); /* it showed who it is */
void strangers_forget(connection *connection); /* what it shows is not good any more */
void strangers_remove(connection *connection); /* it ends */
/* After it took or gave bytes: does it hold more than the least? */
void strangers_weigh(connection *connection);
/* The oldest go. False: there are too few for that to help. */
bool strangers_evict(http *http);
