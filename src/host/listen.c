#include "host/listen.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/sctp.h"

enum {
    BACKLOG = 1024,
    /* Rooms of a host that was killed hold its ports for some milliseconds yet. */
    TRIES = 40, BETWEEN_TRIES_MS = 50,
};

static int try_listen(const struct addrinfo *at, bool is_shared)
{
    int one = 1;
    int listener = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (is_shared)
        setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    int error = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        if (bind(listener, at->ai_addr, at->ai_addrlen) == 0 && listen(listener, BACKLOG) == 0)
            return listener;
        error = errno;
        if (error != EADDRINUSE)
            break;
        poll(NULL, 0, BETWEEN_TRIES_MS);
    }
    close(listener);
    errno = error;
    return -1;
}

int listen_on_sctp(const char *addresses, const char *key)
{
    host_addresses list;
    int listener = host_addresses_parse(addresses, &list) ? sctp_listen(&list, BACKLOG) : -1;
    if (listener < 0)
        dro_error("%s: cannot listen on %s over SCTP: %m", key, addresses);
    return listener;
}

int listen_on(const char *address, const char *key, bool is_shared)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    bool is_bracketed = address[0] == '[' && colon != NULL && colon > address + 1 && colon[-1] == ']';
    if (colon == NULL || (size_t)(colon - address) >= sizeof host) {
        dro_error("%s: \"%s\" is not address:port", key, address);
        return -1;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * is_bracketed, address + is_bracketed);
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int wrong = getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints, &found);
    int listener = -1;
    for (const struct addrinfo *at = found; wrong == 0 && at != NULL && listener < 0; at = at->ai_next)
        listener = try_listen(at, is_shared);
    if (wrong != 0)
        dro_error("%s: \"%s\": %s", key, address, gai_strerror(wrong));
    else if (listener < 0)
        dro_error("%s: cannot listen on %s: %m", key, address);
    if (found != NULL)
        freeaddrinfo(found);
    return listener;
}
