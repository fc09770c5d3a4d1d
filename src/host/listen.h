/* Listening sockets, made before the gates are. */
#pragma once

#include <stdbool.h>

/* "address:port" or "[address]:port". -1 after a line that names the key. */
int listen_on(const char *address, const char *key, bool is_shared);
/* SCTP, "address[,address]...:port". */
int listen_on_sctp(const char *addresses, const char *key);
