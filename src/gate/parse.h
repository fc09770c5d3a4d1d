/* Parse: llhttp over the bytes of a connection. The head stays where it was read
 * until it is handled; a body is handed on piece by piece. Callbacks only note
 * what they saw and pause: everything else happens outside the parser. */
#pragma once

#include "gate/http.h"

void parse_init(connection *connection);
