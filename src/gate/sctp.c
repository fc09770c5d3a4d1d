#include "gate/sctp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- addresses ---- */

static bool parse_one(const char *host, const char *port, struct sockaddr_storage *address)
{
    char plain[64];
    size_t length = strlen(host);
    bool is_bracketed = length >= 2 && host[0] == '[' && host[length - 1] == ']';
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    if (length == 0 || length >= sizeof plain)
        return false;
    snprintf(plain, sizeof plain, "%.*s", (int)(length - 2 * is_bracketed), host + is_bracketed);
    if (getaddrinfo(strcmp(plain, "localhost") == 0 ? "127.0.0.1" : plain, port, &hints, &found) != 0)
        return false;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

bool host_addresses_parse(const char *text, host_addresses *addresses)
{
    char hosts[512], *rest = NULL;
    const char *colon = strrchr(text, ':');
    addresses->count = 0;
    if (colon == NULL || (size_t)(colon - text) >= sizeof hosts)
        return false;
    snprintf(hosts, sizeof hosts, "%.*s", (int)(colon - text), text);
    for (char *host = strtok_r(hosts, ",", &rest); host != NULL; host = strtok_r(NULL, ",", &rest)) {
        if (addresses->count == HOST_ADDRESSES_MAX || !parse_one(host, colon + 1, &addresses->list[addresses->count]))
            return false;
        if (addresses->list[addresses->count++].ss_family != addresses->list[0].ss_family)
            return false;
    }
    return addresses->count > 0;
}

#if DROMIO_SCTP
#include <arpa/inet.h>
#include <linux/sctp.h>

static socklen_t size_of(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* As the kernel wants a list: one behind the other, each as long as it is. */
typedef struct packed {
    uint8_t bytes[HOST_ADDRESSES_MAX * sizeof(struct sockaddr_in6)];
    socklen_t length;
} packed;

static void pack(packed *out, const struct sockaddr_storage *list, uint32_t count)
{
    out->length = 0;
    for (uint32_t i = 0; i < count; i++) {
        socklen_t size = size_of((const struct sockaddr *)&list[i]);
        memcpy(out->bytes + out->length, &list[i], size);
        out->length += size;
    }
}

static int open_socket(int family)
{
    int on = 1;
    struct sctp_initmsg wish = { .sinit_num_ostreams = SCTP_STREAMS, .sinit_max_instreams = SCTP_STREAMS };
    int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_SCTP, SCTP_INITMSG, &wish, sizeof wish);
    return descriptor;
}

static int close_with(int descriptor, int error)
{
    close(descriptor);
    errno = error;
    return -1;
}

int sctp_listen(const host_addresses *addresses, int backlog)
{
    int on = 1;
    packed more;
    const struct sockaddr *first = (const struct sockaddr *)&addresses->list[0];
    int descriptor = open_socket(first->sa_family);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    pack(&more, addresses->list + 1, addresses->count - 1);
    bool is_bound = bind(descriptor, first, size_of(first)) == 0 &&
                    (more.length == 0 || setsockopt(descriptor, IPPROTO_SCTP, SCTP_SOCKOPT_BINDX_ADD, more.bytes, more.length) == 0);
    return is_bound && listen(descriptor, backlog) == 0 ? descriptor : close_with(descriptor, errno);
}

int sctp_connect(const host_addresses *addresses)
{
    packed all;
    int descriptor = open_socket(addresses->list[0].ss_family);
    if (descriptor < 0)
        return -1;
    pack(&all, addresses->list, addresses->count);
    if (setsockopt(descriptor, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX, all.bytes, all.length) < 0 && errno != EINPROGRESS)
        return close_with(descriptor, errno);
    return descriptor;
}

uint16_t sctp_streams(int descriptor)
{
    struct sctp_status status = { 0 };
    socklen_t size = sizeof status;
    if (getsockopt(descriptor, IPPROTO_SCTP, SCTP_STATUS, &status, &size) != 0 || status.sstat_outstrms == 0)
        return 1;
    return status.sstat_outstrms;
}

void sctp_local(int descriptor, host_addresses *addresses)
{
    _Alignas(struct sctp_getaddrs) uint8_t bytes[sizeof(struct sctp_getaddrs) + HOST_ADDRESSES_MAX * sizeof(struct sockaddr_in6)] = { 0 };
    socklen_t size = sizeof bytes;
    struct sctp_getaddrs *told = (struct sctp_getaddrs *)bytes;
    addresses->count = 0;
    if (getsockopt(descriptor, IPPROTO_SCTP, SCTP_GET_LOCAL_ADDRS, bytes, &size) != 0)
        return;
    size_t at = sizeof *told;
    for (uint32_t i = 0; i < told->addr_num && i < HOST_ADDRESSES_MAX; i++) {
        const struct sockaddr *address = (const struct sockaddr *)(bytes + at);
        if (at + sizeof(struct sockaddr_in) > sizeof bytes || at + size_of(address) > sizeof bytes)
            return;
        memcpy(&addresses->list[addresses->count++], address, size_of(address));
        at += size_of(address);
    }
}

ssize_t sctp_send(int descriptor, const void *message, size_t length, uint16_t stream)
{
    struct sctp_sndinfo info = { .snd_sid = stream, .snd_ppid = htonl(SCTP_PPID_DIAMETER) };
    struct iovec part = { (void *)message, length };
    union { char bytes[CMSG_SPACE(sizeof info)]; struct cmsghdr align; } extra = { 0 };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = extra.bytes, .msg_controllen = sizeof extra.bytes };
    struct cmsghdr *about = CMSG_FIRSTHDR(&header);
    about->cmsg_level = IPPROTO_SCTP;
    about->cmsg_type = SCTP_SNDINFO;
    about->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(about), &info, sizeof info);
    return sendmsg(descriptor, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool sctp_is_built(void)
{
    return true;
}

#else

static int refuse(void)
{
    errno = EPROTONOSUPPORT;
    return -1;
}

bool sctp_is_built(void)
{
    return false;
}

int sctp_listen(const host_addresses *addresses, int backlog)
{
    (void)addresses, (void)backlog;
    return refuse();
}

int sctp_connect(const host_addresses *addresses)
{
    (void)addresses;
    return refuse();
}

uint16_t sctp_streams(int descriptor)
{
    (void)descriptor;
    return 1;
}

void sctp_local(int descriptor, host_addresses *addresses)
{
    (void)descriptor;
    addresses->count = 0;
}

ssize_t sctp_send(int descriptor, const void *message, size_t length, uint16_t stream)
{
    (void)descriptor, (void)message, (void)length, (void)stream;
    return refuse();
}
#endif
