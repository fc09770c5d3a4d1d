#include "host/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

dro_err control_send(int socket, const control *message, const int descriptors[CONTROL_DESCRIPTORS])
{
    struct iovec part = { (void *)message, sizeof *message };
    union { char bytes[CMSG_SPACE(sizeof(int) * CONTROL_DESCRIPTORS)]; struct cmsghdr align; } extra = { 0 };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    int count = 0, list[CONTROL_DESCRIPTORS];
    for (int i = 0; descriptors != NULL && i < CONTROL_DESCRIPTORS; i++)
        if (descriptors[i] >= 0)
            list[count++] = descriptors[i];
    if (count > 0) {
        header.msg_control = extra.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *rights = &extra.align;
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(rights), list, sizeof(int) * (size_t)count);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof *message ? DRO_OK : DRO_IO;
}

dro_err control_receive(int socket, control *message, int descriptors[CONTROL_DESCRIPTORS])
{
    struct iovec part = { message, sizeof *message };
    union { char bytes[CMSG_SPACE(sizeof(int) * CONTROL_DESCRIPTORS)]; struct cmsghdr align; } extra;
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = extra.bytes, .msg_controllen = sizeof extra.bytes };
    for (int i = 0; i < CONTROL_DESCRIPTORS; i++)
        descriptors[i] = -1;
    ssize_t got;
    do
        got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? DRO_AGAIN : DRO_IO;
    for (struct cmsghdr *rights = CMSG_FIRSTHDR(&header); rights != NULL; rights = CMSG_NXTHDR(&header, rights)) {
        if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(rights), sizeof(int) * (count < CONTROL_DESCRIPTORS ? count : CONTROL_DESCRIPTORS));
    }
    return got == (ssize_t)sizeof *message ? DRO_OK : DRO_IO;
}
