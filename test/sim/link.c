#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "simulation.h"

enum { WHOLE_PERMILLE = 800, HELD_PERMILLE = 30, HELD_MS = 400 };

bool link_open(simulation *sim, pipe_end *link, bool is_diameter)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    link->gate = sim_below(sim, WORLD_GATES);
    const struct sim_gate *gate = &sim->gates[link->gate];
    size_t length = is_diameter ? gate->diameter_length : gate->http_length;
    memcpy(address.sun_path, is_diameter ? gate->diameter_name : gate->http_name, length);
    link->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    link->out_length = link->in_length = 0;
    link->held_until_ms = 0;
    if (link->socket >= 0 && connect(link->socket, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0)
        link_close(link);
    link->is_ready = false;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = link };
    if (link->socket >= 0 && epoll_ctl(sim->epoll, EPOLL_CTL_ADD, link->socket, &event) != 0)
        link_close(link);
    return link->socket >= 0;
}

void link_move(simulation *sim, pipe_end *to, pipe_end *from)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = to };
    *to = *from;
    from->socket = -1;
    WORLD_ASSERT(epoll_ctl(sim->epoll, EPOLL_CTL_MOD, to->socket, &event) == 0);
}

/* One call instead of one for each; what they say is read in the order of who reads. */
void links_look(simulation *sim)
{
    enum { MOST = 16 };
    struct epoll_event events[MOST];
    int count = epoll_wait(sim->epoll, events, MOST, 0);
    for (int i = 0; i < count; i++)
        ((pipe_end *)events[i].data.ptr)->is_ready = true;
}

void link_close(pipe_end *link)
{
    if (link->socket >= 0)
        close(link->socket);
    link->socket = -1;
}

void link_write(pipe_end *link, const void *bytes, size_t length)
{
    if (link->socket < 0)
        return;
    WORLD_ASSERT(length <= LINK_BYTES - link->out_length);
    memcpy(link->out + link->out_length, bytes, length);
    link->out_length += (uint32_t)length;
}

static int send_some(simulation *sim, pipe_end *link)
{
    if (link->out_length == 0 || sim_now(sim) < link->held_until_ms)
        return 0;
    if (!sim->is_calm && sim_chance(sim, HELD_PERMILLE)) {
        link->held_until_ms = sim_now(sim) + sim_below(sim, HELD_MS);
        return 0;
    }
    bool is_whole = sim->is_calm || sim_chance(sim, WHOLE_PERMILLE);
    uint32_t piece = is_whole ? link->out_length : 1 + sim_below(sim, link->out_length);
    ssize_t sent = send(link->socket, link->out, piece, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        link_close(link);
    if (sent <= 0)
        return 0;
    link->out_length -= (uint32_t)sent;
    memmove(link->out, link->out + sent, link->out_length);
    return 1;
}

int link_step(simulation *sim, pipe_end *link)
{
    int work = link->socket >= 0 ? send_some(sim, link) : 0;
    if (link->socket < 0 || !link->is_ready || link->in_length == LINK_BYTES - 1)
        return work;
    link->is_ready = false;
    ssize_t got = recv(link->socket, link->in + link->in_length, LINK_BYTES - 1 - link->in_length, 0); /* a NUL fits behind */
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        link_close(link);
        return work + 1;
    }
    if (got < 0)
        return work;
    link->in_length += (uint32_t)got;
    return work + 1;
}

void link_take(pipe_end *link, size_t length)
{
    WORLD_ASSERT(length <= link->in_length);
    link->in_length -= (uint32_t)length;
    memmove(link->in, link->in + length, link->in_length);
}
