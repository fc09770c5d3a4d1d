/* SCTP for Diameter (RFC 6733 2.1): one-to-one sockets, so that a connection is a
 * descriptor as with TCP. What differs: several addresses, streams, a payload
 * protocol identifier, and a message is sent whole or not at all.
 *
 * Built without (-Dsctp=false) nothing can be opened, and the configuration says so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
    HOST_ADDRESSES_MAX = 8,    /* of one end */
    SCTP_STREAMS = 16,         /* asked for in each direction */
    SCTP_PPID_DIAMETER = 46,   /* in clear, RFC 6733 11.5 */
};

typedef struct host_addresses {
    uint32_t count;
    struct sockaddr_storage list[HOST_ADDRESSES_MAX];
} host_addresses;

bool sctp_is_built(void);
/* "address[,address]...:port", numbers, of one family. */
bool host_addresses_parse(const char *text, host_addresses *addresses);
/* Non-blocking; -1 and errno. Connecting goes on in the background (EINPROGRESS is no failure). */
int sctp_listen(const host_addresses *addresses, int backlog);
int sctp_connect(const host_addresses *addresses);
/* Streams we may send on, once connected; at least 1. */
uint16_t sctp_streams(int descriptor);
/* All of our end's; count 0 where they cannot be had. */
void sctp_local(int descriptor, host_addresses *addresses);
/* One message, as send(2): all of it, or -1 and errno. */
ssize_t sctp_send(int descriptor, const void *message, size_t length, uint16_t stream);
