#include "sim/peer.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum peer_state { PEER_CLOSED, PEER_CONNECTING, PEER_SHAKING, PEER_EXCHANGING, PEER_OPEN, PEER_CLOSING, PEER_DONE };

enum {
    MS = 1000000,             /* nanoseconds */
    SLOT_BITS = 12,           /* a hop-by-hop id: use of the slot, then the slot */
    SLOT_MASK = (1 << SLOT_BITS) - 1,
    NO_SLOT = SLOT_MASK,
    RECONNECT_AFTER_DPR_MS = 1000,
    READS_A_TURN = 8,
};
_Static_assert(PEER_WINDOW_MAX <= SLOT_MASK + 1, "a slot fits into a hop-by-hop id");

typedef struct slot { /* a request without an answer */
    uint64_t tag;
    int64_t sent_ns;
    uint32_t hop_by_hop, end_to_end;
    uint16_t length;  /* 0: free */
} slot;
typedef uint8_t slot_bytes[T6A_REQUEST_MAX]; /* the request itself; apart, so that slots lie close together */

struct peer {
    peer_config config;
    enum peer_state state;
    tls_session tls;
    int descriptor;
    uint32_t generation, next_end_to_end, uses;
    int64_t deadline_ns;   /* of the state: next attempt, CEA, DPA */
    int64_t heard_ns;      /* last byte of the other side */
    uint32_t backoff_ms;
    bool awaits_watchdog, wants_to_leave, is_watching_out;
    dro_random_seeded random;
    t6a_names names;
    peer_counts counts;
    slot *slots;           /* [window] */
    slot_bytes *requests;  /* [window] */
    uint32_t *free_slots;  /* [window], a stack */
    uint32_t free_count;
    uint8_t *in, *out;
    size_t in_length, out_from, out_length;
};

peer *peer_new(const peer_config *config)
{
    assert(config->window >= 1 && config->window < PEER_WINDOW_MAX);
    peer *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->config = *config;
    made->descriptor = -1;
    made->backoff_ms = PEER_BACKOFF_MS_MIN;
    dro_random_seeded_init(&made->random, config->seed);
    /* High bits from the time, low ones random, as RFC 6733 3 says: other ones after a restart of this
     * program, also with the same seed. */
    uint32_t started = (uint32_t)time(NULL), low;
    dro_random_system()->fill(dro_random_system(), &low, sizeof low);
    made->next_end_to_end = started << 20 | (low & 0xfffff);
    made->names.session_high = started;
    made->names.application = config->application;
    made->names.origin_state = started;
    snprintf(made->names.host, sizeof made->names.host, "%s", config->identity);
    snprintf(made->names.realm, sizeof made->names.realm, "%s", config->realm);
    made->slots = calloc(config->window, sizeof *made->slots);
    made->requests = calloc(config->window, sizeof *made->requests);
    made->free_slots = calloc(config->window, sizeof *made->free_slots);
    made->in = malloc(PEER_IN_BYTES);
    made->out = malloc(PEER_OUT_BYTES);
    if (made->slots == NULL || made->requests == NULL || made->free_slots == NULL || made->in == NULL || made->out == NULL) {
        peer_free(made);
        return NULL;
    }
    while (made->free_count < config->window) {
        made->free_slots[made->free_count] = config->window - 1 - made->free_count;
        made->free_count++;
    }
    return made;
}

void peer_free(peer *p)
{
    if (p == NULL)
        return;
    tls_fini(&p->tls);
    if (p->descriptor >= 0)
        close(p->descriptor);
    free(p->slots);
    free(p->requests);
    free(p->free_slots);
    free(p->in);
    free(p->out);
    free(p);
}

bool peer_is_open(const peer *p)
{
    return p->state == PEER_OPEN;
}

bool peer_has_room(const peer *p)
{
    return p->state == PEER_OPEN && p->free_count > 0 && p->out_length + PEER_OUT_ROOM < PEER_OUT_BYTES;
}

uint32_t peer_outstanding(const peer *p)
{
    return p->config.window - p->free_count;
}

uint32_t peer_generation(const peer *p)
{
    return p->generation;
}

const peer_counts *peer_count(const peer *p)
{
    return &p->counts;
}

/* ---- the connection ---- */

static void watch(peer *p, bool wants_out)
{
    struct epoll_event event = { .events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = p };
    if (epoll_ctl(p->config.epoll, EPOLL_CTL_MOD, p->descriptor, &event) == 0)
        p->is_watching_out = wants_out;
}

/* The connection is gone; whatever was sent keeps its slot and is sent again on the next one. */
static void lose(peer *p, int64_t now_ns, const char *why)
{
    tls_end(&p->tls);
    tls_fini(&p->tls);
    if (p->descriptor >= 0)
        close(p->descriptor);
    p->descriptor = -1;
    if (p->state == PEER_OPEN) {
        p->counts.losses++;
        dro_warn("connection lost peer=%s outstanding=%u \"%s\"", p->config.identity, peer_outstanding(p), why);
    }
    bool is_leaving = p->wants_to_leave || p->state == PEER_CLOSING;
    p->state = is_leaving ? PEER_DONE : PEER_CLOSED;
    p->in_length = p->out_length = p->out_from = 0;
    int64_t wait = p->backoff_ms / 2 + (int64_t)(dro_random_next(&p->random) % (p->backoff_ms / 2 + 1));
    p->deadline_ns = now_ns + wait * MS;
    p->backoff_ms = p->backoff_ms * 2 > PEER_BACKOFF_MS_MAX ? PEER_BACKOFF_MS_MAX : p->backoff_ms * 2;
}

static int open_socket(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host)
        return -1;
    size_t length = (size_t)(colon - address);
    const char *start = address;
    if (length >= 2 && start[0] == '[' && start[length - 1] == ']') {
        start++;
        length -= 2;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (descriptor >= 0) {
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(descriptor, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
            close(descriptor);
            descriptor = -1;
        }
    }
    freeaddrinfo(found);
    return descriptor;
}

static void attempt(peer *p, int64_t now_ns)
{
    p->descriptor = open_socket(p->config.connect);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = p };
    if (p->descriptor < 0 || epoll_ctl(p->config.epoll, EPOLL_CTL_ADD, p->descriptor, &event) != 0) {
        lose(p, now_ns, "cannot connect");
        return;
    }
    p->is_watching_out = true;
    p->state = PEER_CONNECTING;
    p->deadline_ns = now_ns + (int64_t)PEER_CONNECT_MS * MS;
}

/* ---- writing ---- */

/* Where the next message is written to; give what was written to out_end. */
static dro_builder out_begin(peer *p)
{
    if (p->out_from > 0 && p->out_length + PEER_OUT_ROOM > PEER_OUT_BYTES) {
        memmove(p->out, p->out + p->out_from, p->out_length - p->out_from);
        p->out_length -= p->out_from;
        p->out_from = 0;
    }
    return dro_builder_over(p->out + p->out_length, PEER_OUT_BYTES - p->out_length);
}

static void out_end(peer *p, const dro_builder *out)
{
    if (out->err == DRO_OK)
        p->out_length += dro_builder_length(out);
    else
        dro_error("message dropped peer=%s \"the output is full\"", p->config.identity);
}

static void out_put(peer *p, const uint8_t *bytes, size_t length)
{
    dro_builder out = out_begin(p);
    dro_builder_bytes(&out, bytes, length);
    out_end(p, &out);
}

void peer_flush(peer *p)
{
    if (p->descriptor < 0 || p->state == PEER_CONNECTING || p->state == PEER_SHAKING)
        return;
    while (p->out_from < p->out_length) {
        const uint8_t *bytes = p->out + p->out_from;
        size_t length = p->out_length - p->out_from;
        ssize_t sent = tls_is_on(&p->tls) ? tls_send(&p->tls, bytes, length) : send(p->descriptor, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            break; /* full: later; broken: reading finds out */
        p->out_from += (size_t)sent;
    }
    if (p->out_from == p->out_length)
        p->out_from = p->out_length = 0;
    bool wants_out = p->out_length > 0;
    if (wants_out != p->is_watching_out)
        watch(p, wants_out);
}

static uint32_t new_hop_by_hop(peer *p, uint32_t place)
{
    return ++p->uses << SLOT_BITS | place;
}

static uint8_t *request_of(const peer *p, const slot *s)
{
    return p->requests[s - p->slots];
}

static void send_again(peer *p, slot *s)
{
    t6a_mark_retransmission(request_of(p, s), s->hop_by_hop);
    out_put(p, request_of(p, s), s->length);
    p->counts.resent++;
}

/* Everything without an answer once more, oldest ids kept (RFC 6733 5.5.4). */
static void resend_all(peer *p, int64_t now_ns)
{
    for (uint32_t i = 0; i < p->config.window; i++) {
        slot *s = &p->slots[i];
        if (s->length == 0)
            continue;
        s->hop_by_hop = new_hop_by_hop(p, i);
        s->sent_ns = now_ns;
        send_again(p, s);
    }
}

static void resend_overdue(peer *p, int64_t now_ns)
{
    for (uint32_t i = 0; i < p->config.window; i++) {
        slot *s = &p->slots[i];
        if (s->length == 0 || now_ns - s->sent_ns < (int64_t)PEER_RESEND_MS * MS)
            continue;
        s->sent_ns = now_ns;
        send_again(p, s);
    }
}

static slot *slot_take(peer *p, uint64_t tag, int64_t now_ns)
{
    assert(peer_has_room(p));
    uint32_t place = p->free_slots[--p->free_count];
    slot *s = &p->slots[place];
    *s = (slot){ .tag = tag, .sent_ns = now_ns, .hop_by_hop = new_hop_by_hop(p, place), .end_to_end = p->next_end_to_end++ };
    return s;
}

static uint32_t slot_send(peer *p, slot *s, const dro_builder *out)
{
    assert(out->err == DRO_OK); /* names are checked when the options are read */
    s->length = (uint16_t)dro_builder_length(out);
    out_put(p, request_of(p, s), s->length);
    p->counts.sent++;
    return (uint32_t)(s - p->slots);
}

uint32_t peer_send(peer *p, const t6a_request *request, uint64_t tag, int64_t now_ns)
{
    slot *s = slot_take(p, tag, now_ns);
    dro_builder out = dro_builder_over(request_of(p, s), T6A_REQUEST_MAX);
    t6a_write_request(&out, &p->names, request, s->hop_by_hop, s->end_to_end);
    return slot_send(p, s, &out);
}

uint32_t peer_send_nidd(peer *p, const s6t_request *request, uint64_t tag, int64_t now_ns)
{
    slot *s = slot_take(p, tag, now_ns);
    dro_builder out = dro_builder_over(request_of(p, s), T6A_REQUEST_MAX);
    s6t_write_request(&out, &p->names, request, s->hop_by_hop, s->end_to_end);
    return slot_send(p, s, &out);
}

uint32_t peer_send_custom(peer *p, const t6a_custom *request, uint64_t tag, int64_t now_ns)
{
    slot *s = slot_take(p, tag, now_ns);
    dro_builder out = dro_builder_over(request_of(p, s), T6A_REQUEST_MAX);
    t6a_write_custom(&out, &p->names, request, s->hop_by_hop, s->end_to_end);
    return slot_send(p, s, &out);
}

bool peer_send_again(peer *p, uint32_t place, uint64_t tag, int64_t now_ns)
{
    assert(place < p->config.window && p->slots[place].length > 0);
    if (!peer_has_room(p))
        return false;
    uint32_t second = p->free_slots[--p->free_count];
    p->slots[second] = p->slots[place];
    slot *s = &p->slots[second];
    memcpy(request_of(p, s), request_of(p, &p->slots[place]), s->length);
    s->tag = tag;
    s->sent_ns = now_ns;
    s->hop_by_hop = new_hop_by_hop(p, second);
    send_again(p, s);
    return true;
}

void peer_answer_delivery(peer *p, const t6a_message *to, const t6a_delivery *delivery)
{
    dro_builder out = out_begin(p);
    t6a_write_delivery(&out, &p->names, to, delivery);
    out_end(p, &out);
}

void peer_answer_nidd(peer *p, const t6a_message *to, const s6t_answer *answer)
{
    dro_builder out = out_begin(p);
    s6t_write_answer(&out, &p->names, to, answer);
    out_end(p, &out);
}

void peer_answer_custom(peer *p, const t6a_message *to, uint32_t result, uint32_t experimental, const t6a_custom *answer)
{
    dro_builder out = out_begin(p);
    t6a_write_custom_answer(&out, &p->names, to, result, experimental, answer);
    out_end(p, &out);
}

void peer_answer(peer *p, const t6a_message *to, uint32_t result)
{
    dro_builder out = out_begin(p);
    t6a_write_answer(&out, &p->names, to, result);
    out_end(p, &out);
}

/* ---- reading ---- */

static void keep_text(char out[T6A_NAME_MAX + 1], t6a_text text)
{
    size_t length = text.length > T6A_NAME_MAX ? T6A_NAME_MAX : text.length;
    memcpy(out, text.length > 0 ? (const char *)text.bytes : "", length);
    out[length] = '\0';
}

static bool on_capabilities(peer *p, const t6a_message *answer, int64_t now_ns)
{
    if (answer->is_request || answer->result != DIAMETER_SUCCESS) {
        dro_warn("capabilities refused peer=%s result=%u", p->config.identity, answer->result);
        return false;
    }
    keep_text(p->names.destination_host, answer->origin_host);
    keep_text(p->names.destination_realm, answer->origin_realm);
    p->names.uplink.length = 0;
    p->state = PEER_OPEN;
    p->generation++;
    p->counts.connects++;
    p->backoff_ms = PEER_BACKOFF_MS_MIN;
    p->awaits_watchdog = false;
    resend_all(p, now_ns);
    p->config.on_open(p->config.owner, p);
    return true;
}

/* False: the connection ends. */
static bool on_base_request(peer *p, const t6a_message *request, int64_t now_ns)
{
    if (request->command == COMMAND_DEVICE_WATCHDOG || request->command == COMMAND_DISCONNECT_PEER)
        peer_answer(p, request, DIAMETER_SUCCESS);
    else
        peer_answer(p, request, DIAMETER_COMMAND_UNSUPPORTED);
    if (request->command != COMMAND_DISCONNECT_PEER)
        return true;
    peer_flush(p);
    p->backoff_ms = RECONNECT_AFTER_DPR_MS;
    (void)now_ns;
    return false;
}

static void on_answer(peer *p, const t6a_message *answer, int64_t now_ns)
{
    uint32_t place = answer->hop_by_hop & SLOT_MASK;
    slot *s = place < p->config.window ? &p->slots[place] : NULL;
    if (s == NULL || s->length == 0 || s->hop_by_hop != answer->hop_by_hop || s->end_to_end != answer->end_to_end) {
        p->counts.strays++;
        return;
    }
    p->counts.answers++;
    p->config.on_answer(p->config.owner, p, place, s->tag, (now_ns - s->sent_ns) / 1000, answer);
    s->length = 0;
    p->free_slots[p->free_count++] = place;
}

/* False: the connection ends. */
static bool on_message(peer *p, const uint8_t *bytes, uint32_t length, int64_t now_ns)
{
    t6a_message message;
    if (t6a_read(&message, bytes, length) != DRO_OK) {
        p->counts.malformed++;
        return false;
    }
    if (p->state == PEER_EXCHANGING)
        return message.command == COMMAND_CAPABILITIES_EXCHANGE && on_capabilities(p, &message, now_ns);
    if (message.is_request && message.application == 0)
        return on_base_request(p, &message, now_ns);
    if (message.is_request) {
        p->config.on_request(p->config.owner, p, &message);
        return true;
    }
    if (message.command == COMMAND_DEVICE_WATCHDOG)
        p->awaits_watchdog = false;
    else if (message.command == COMMAND_DISCONNECT_PEER)
        return false;
    else
        on_answer(p, &message, now_ns);
    return true;
}

/* All whole messages of the input; false: the connection ends. */
static bool take_messages(peer *p, int64_t now_ns)
{
    size_t at = 0;
    bool goes_on = true;
    while (goes_on && p->in_length - at >= 4 && p->out_length - p->out_from + PEER_OUT_ROOM < PEER_OUT_BYTES) {
        uint32_t length = t6a_length(p->in + at);
        if (length == 0 || length > PEER_MESSAGE_MAX) {
            p->counts.malformed++;
            return false;
        }
        if (p->in_length - at < length)
            break;
        goes_on = on_message(p, p->in + at, length, now_ns);
        at += length;
    }
    memmove(p->in, p->in + at, p->in_length - at);
    p->in_length -= at;
    return goes_on;
}

static void exchange(peer *p, int64_t now_ns)
{
    p->state = PEER_EXCHANGING;
    p->heard_ns = now_ns;
    dro_builder out = out_begin(p);
    t6a_write_capabilities_request(&out, &p->names, NO_SLOT, p->next_end_to_end++);
    out_end(p, &out);
    peer_flush(p);
}

/* Fewer MMEs than handshakes that may be under way: not met. */
static void on_tls_evicted(tls_session *session)
{
    session->why = "too many handshakes";
}

static void shake_hands(peer *p, int64_t now_ns)
{
    switch (tls_handshake(&p->tls)) {
    case TLS_DONE: exchange(p, now_ns); break;
    case TLS_AGAIN: watch(p, p->tls.wants_write); break;
    default: lose(p, now_ns, p->tls.why); break;
    }
}

static void begin_tls(peer *p, int64_t now_ns)
{
    p->state = PEER_SHAKING;
    if (tls_connect(&p->tls, p->config.tls, p->descriptor, p->config.tls_name, on_tls_evicted) == DRO_OK)
        shake_hands(p, now_ns);
    else
        lose(p, now_ns, "no memory");
}

static void on_connected(peer *p, int64_t now_ns)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(p->descriptor, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) {
        lose(p, now_ns, strerror(problem));
        return;
    }
    if (p->config.tls != NULL)
        begin_tls(p, now_ns);
    else
        exchange(p, now_ns);
}

static ssize_t receive(peer *p, size_t room)
{
    uint8_t *at = p->in + p->in_length;
    return tls_is_on(&p->tls) ? tls_receive(&p->tls, at, room) : recv(p->descriptor, at, room, 0);
}

static void read_some(peer *p, int64_t now_ns)
{
    /* Of TLS all that OpenSSL holds: no event tells of it. */
    for (int i = 0; i < READS_A_TURN || tls_has_more(&p->tls); i++) {
        size_t room = PEER_IN_BYTES - p->in_length;
        if (room == 0)
            break;
        ssize_t got = receive(p, room);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (got <= 0) {
            lose(p, now_ns, got == 0 ? "closed by the host" : strerror(errno));
            return;
        }
        p->heard_ns = now_ns;
        p->in_length += (size_t)got;
        if (!take_messages(p, now_ns)) {
            lose(p, now_ns, "ended");
            return;
        }
        if ((size_t)got < room && !tls_has_more(&p->tls))
            break;
    }
}

void peer_on_ready(peer *p, uint32_t epoll_events, int64_t now_ns)
{
    if (p->descriptor < 0)
        return;
    if (p->state == PEER_CONNECTING) {
        on_connected(p, now_ns);
        return;
    }
    if (p->state == PEER_SHAKING) {
        shake_hands(p, now_ns);
        return;
    }
    if (epoll_events & EPOLLOUT)
        peer_flush(p);
    if (!take_messages(p, now_ns)) { /* what had to wait for room in the output */
        lose(p, now_ns, "ended");
        return;
    }
    if ((epoll_events & ~(uint32_t)EPOLLOUT) != 0 || tls_has_more(&p->tls))
        read_some(p, now_ns);
}

static void watchdog(peer *p, int64_t now_ns)
{
    if (now_ns - p->heard_ns < (int64_t)PEER_WATCHDOG_MS * MS)
        return;
    if (p->awaits_watchdog) {
        lose(p, now_ns, "no answer to a watchdog");
        return;
    }
    p->awaits_watchdog = true;
    p->heard_ns = now_ns; /* the next look is one more interval later */
    p->counts.watchdogs++;
    dro_builder out = out_begin(p);
    t6a_write_watchdog_request(&out, &p->names, NO_SLOT, p->next_end_to_end++);
    out_end(p, &out);
}

void peer_tick(peer *p, int64_t now_ns)
{
    switch (p->state) {
    case PEER_CLOSED:
        if (now_ns >= p->deadline_ns)
            attempt(p, now_ns);
        break;
    case PEER_CONNECTING:
    case PEER_SHAKING:
    case PEER_EXCHANGING:
    case PEER_CLOSING:
        if (now_ns >= p->deadline_ns)
            lose(p, now_ns, "no answer in time");
        break;
    case PEER_OPEN:
        resend_overdue(p, now_ns);
        watchdog(p, now_ns);
        peer_flush(p);
        if (tls_has_more(&p->tls)) /* it had to wait for room in the output */
            peer_on_ready(p, 0, now_ns);
        break;
    case PEER_DONE:
        break;
    }
}

bool peer_close(peer *p, int64_t now_ns)
{
    p->wants_to_leave = true;
    if (p->state == PEER_OPEN) {
        dro_builder out = out_begin(p);
        t6a_write_disconnect_request(&out, &p->names, NO_SLOT, p->next_end_to_end++);
        out_end(p, &out);
        p->state = PEER_CLOSING;
        p->deadline_ns = now_ns + (int64_t)PEER_CLOSE_MS * MS;
        peer_flush(p);
    } else if (p->state != PEER_CLOSING && p->state != PEER_DONE) {
        lose(p, now_ns, "leaving");
    }
    return p->state == PEER_DONE;
}
