#include "gate/diameter.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "gate/inquiry.h"
#include "gate/report.h"
#include "gate/sctp.h"
#include "wire/diameter/read.h"

_Static_assert(sizeof(diameter_peer) + CER_BYTES_MAX <= 4096, "memory of a peer before it is known");

/* ---- the table of peers ---- */

uint32_t gate_identity_hash(const char *identity, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a, letters without case */
    for (size_t i = 0; i < length; i++) {
        uint8_t c = (uint8_t)identity[i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 16777619u;
    }
    return hash;
}

uint32_t gate_jitter(diameter_gate *gate, uint32_t below)
{
    return (uint32_t)(dro_random_next(&gate->random) % below);
}

static diameter_procedures *procedures_of(diameter_gate *gate, const diameter_peer *peer)
{
    return &gate->procedures[peer == NULL || peer->row == NO_ROW ? GATE_PEERS_MAX : peer->row];
}

void gate_count_request(diameter_gate *gate, const diameter_peer *peer, int direction, const diameter_command *command)
{
    diameter_count_request(&gate->counts, direction, command);
    diameter_count_procedure(procedures_of(gate, peer), direction, command, DIAMETER_REQUESTED);
}

void gate_count_answer(diameter_gate *gate, const diameter_peer *peer, int direction, const diameter_command *command, uint32_t result,
                       uint32_t experimental)
{
    bool is_error = result < 2000 || result >= 3000; /* 0: an experimental one, which 3GPP has for errors alone */
    diameter_count_answer(&gate->counts, direction, command, result, experimental);
    diameter_count_procedure(procedures_of(gate, peer), direction, command, DIAMETER_ANSWERED);
    if (is_error)
        diameter_count_procedure(procedures_of(gate, peer), direction, command, DIAMETER_FAILED);
}

void gate_count_timeout(diameter_gate *gate, const diameter_peer *peer, const pending_outgoing *entry)
{
    diameter_count_timeout(procedures_of(gate, peer), entry->code, entry->application);
}

void gate_note_refusal(diameter_peer *peer, enum audit_act act, uint32_t result, const char *identity, const char *detail)
{
    diameter_gate *gate = peer->gate;
    char source[sizeof peer->address], actor[REFUSAL_TEXT];
    if (!gate->config->audit.is_on)
        return;
    memcpy(source, peer->address, sizeof source);
    char *port = strrchr(source, ':');
    if (port != NULL)
        *port = '\0'; /* many tries from one place are one */
    snprintf(actor, sizeof actor, "peer %s", identity != NULL ? identity : "");
    refusals_note(act == AUDIT_PEER_REFUSED ? &gate->refused_peers : &gate->refused_certificates, gate->config->clock, act, (uint16_t)result,
                  &(refusal_words){ identity != NULL ? actor : NULL, source, "diameter", detail });
}

bool gate_may_log(diameter_gate *gate)
{
    return gate->logged++ < LOG_LINES_A_TICK;
}

static bool is_unknown(const diameter_peer *peer)
{
    return peer != NULL && (peer->state == PEER_WAIT_CER || peer->state == PEER_DRAINING || (peer->state == PEER_HANDSHAKE && !peer->is_ours));
}

/* The host of an address, by which strangers are told apart. */
static uint32_t host_hash(const diameter_peer *peer)
{
    const char *port = strrchr(peer->address, ':');
    return gate_identity_hash(peer->address, port == NULL ? strlen(peer->address) : (size_t)(port - peer->address)) % DIAMETER_CONNECTIONS_MAX;
}

/* Makes room among the peers nobody knows yet: of the address that has most of them, the one that waits longest. So a flood
 * from few addresses takes no place from a peer at another one that has not spoken yet. */
static void evict_unknown(diameter_gate *gate)
{
    uint16_t of_host[DIAMETER_CONNECTIONS_MAX] = { 0 }, most = 0;
    diameter_peer *oldest = NULL;
    for (uint32_t i = 0; i < DIAMETER_CONNECTIONS_MAX; i++)
        if (is_unknown(gate->peers[i]))
            of_host[host_hash(gate->peers[i])]++;
    for (uint32_t i = 0; i < DIAMETER_CONNECTIONS_MAX; i++) {
        diameter_peer *peer = gate->peers[i];
        uint16_t count = is_unknown(peer) ? of_host[host_hash(peer)] : 0;
        if (count > most || (count > 0 && count == most && oldest != NULL && peer->deadline_ns < oldest->deadline_ns)) {
            oldest = peer;
            most = count;
        }
    }
    diameter_count_drop(&gate->counts, DIAMETER_DROP_ACCEPT_LIMIT);
    if (oldest != NULL)
        peer_close(oldest);
}

static uint32_t free_slot(const diameter_gate *gate)
{
    uint32_t slot = 0;
    while (slot < DIAMETER_CONNECTIONS_MAX && gate->peers[slot] != NULL)
        slot++;
    return slot;
}

diameter_peer *gate_peer_new(diameter_gate *gate, int descriptor, peer_state_name state)
{
    uint32_t slot = free_slot(gate);
    if (slot == DIAMETER_CONNECTIONS_MAX) {
        evict_unknown(gate);
        slot = free_slot(gate);
    }
    diameter_peer *peer = slot == DIAMETER_CONNECTIONS_MAX ? NULL : calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->watch = (loop_watch){ peer_on_ready, descriptor };
    peer->gate = gate;
    peer->slot = slot;
    peer->generation = ++gate->generations[slot];
    peer->state = state;
    peer->row = NO_ROW;
    peer->disconnect_cause = -1;
    peer->deadline_ns = loop_now_ns(gate->home) + CER_TIMEOUT_MS * NS_PER_MS;
    gate->peers[slot] = peer;
    if (slot >= gate->slots_used)
        gate->slots_used = slot + 1;
    if (slot >= gate->slots_most)
        gate->slots_most = slot + 1;
    return peer;
}

diameter_peer *gate_peer_find(diameter_gate *gate, uint32_t slot, uint32_t generation)
{
    diameter_peer *peer = slot < DIAMETER_CONNECTIONS_MAX ? gate->peers[slot] : NULL;
    return peer != NULL && peer->generation == generation ? peer : NULL;
}

diameter_peer *gate_peer_of(diameter_gate *gate, const char *identity, const diameter_peer *except)
{
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL || peer == except)
            continue;
        bool is_settled = peer->state == PEER_OPEN || peer->state == PEER_CLOSING || peer->state == PEER_ELECTION;
        if (is_settled && strcasecmp(peer->identity, identity) == 0)
            return peer;
    }
    return NULL;
}

int gate_row_of(const diameter_gate *gate, const char *identity)
{
    for (uint32_t i = 0; i < gate->config->peer_count; i++)
        if (strcasecmp(gate->config->peers[i].identity, identity) == 0)
            return (int)i;
    return NO_ROW;
}

static void tell_state_to(ring_writer *ring, const peer_state *state, uint64_t id, const char *host, const char *realm,
                          const char *address)
{
    uint32_t length = (uint32_t)sizeof *state + state->host_length + state->realm_length + state->address_length;
    uint8_t *body = length > ring_body_max(ring) ? NULL : ring_reserve(ring, length);
    if (body == NULL)
        return;
    dro_builder out = dro_builder_over(body, length);
    dro_builder_bytes(&out, state, sizeof *state);
    dro_builder_bytes(&out, host, state->host_length);
    dro_builder_bytes(&out, realm, state->realm_length);
    dro_builder_bytes(&out, address, state->address_length);
    ring_commit(ring, MESSAGE_PEER, 0, id, length);
}

/* Every core sends downlinks, and to the gate where the peer is. */
static void tell_state(diameter_gate *gate, const peer_state *state, uint64_t id, const char *host, const char *realm,
                       const char *address)
{
    for (uint32_t i = 0; i < gate->config->core_count; i++)
        tell_state_to(&gate->config->to_core[i], state, id, host, realm, address);
}

/* Percent and one; 0: it has not said. */
static uint16_t load_of(const diameter_peer *peer, int64_t now_ns)
{
    return peer->load_until_ns <= now_ns ? 0 : (uint16_t)(1 + (OVERLOAD_LOAD_MAX - peer->load) * 100 / OVERLOAD_LOAD_MAX);
}

void gate_tell_peer(diameter_gate *gate, const diameter_peer *peer)
{
    int64_t now_ns = loop_now_ns(gate->home);
    int row = gate_row_of(gate, peer->identity);
    peer_state state = { .is_open = peer->state == PEER_OPEN, .applications = peer->applications,
                         .reduction = (uint8_t)overload_reduction(&gate->overload, peer->identity, now_ns), .load = load_of(peer, now_ns),
                         .rank = row == NO_ROW ? UINT16_MAX : (uint16_t)row,
                         .host_length = (uint16_t)strlen(peer->identity), .realm_length = (uint16_t)strlen(peer->realm),
                         .address_length = (uint16_t)strlen(peer->address), .requests = peer->requests,
                         .answers = peer->answers, .errors = peer->errors };
    tell_state(gate, &state, (uint64_t)peer->generation << 32 | peer->slot, peer->identity, peer->realm, peer->address);
}

/* A row of the configuration that has no connection. */
static void tell_row(diameter_gate *gate, const gate_peer_config *row)
{
    peer_state state = { .applications = row->applications, .rank = (uint16_t)(row - gate->config->peers), .host_length = (uint16_t)strlen(row->identity),
                         .realm_length = (uint16_t)strlen(row->realm), .address_length = (uint16_t)strlen(row->address) };
    tell_state(gate, &state, UINT64_MAX, row->identity, row->realm, row->address);
}

/* ---- connections ---- */

static void set_options(int descriptor)
{
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* we batch ourselves */
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void name_address(diameter_peer *peer, const struct sockaddr *address, socklen_t size)
{
    char host[INET6_ADDRSTRLEN + 16] = "?", port[8] = "?";
    getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_ip6 = strchr(host, ':') != NULL;
    snprintf(peer->address, sizeof peer->address, is_ip6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void stop_listening(diameter_gate *gate)
{
    if (gate->is_listening)
        loop_remove(gate->home, &gate->listener);
    if (gate->is_listening_sctp)
        loop_remove(gate->home, &gate->sctp_listener);
    gate->is_listening = gate->is_listening_sctp = false;
}

/* Without descriptors a listener would be ready for ever: they rest until the next tick. */
static void rest_listeners(diameter_gate *gate)
{
    diameter_count_drop(&gate->counts, DIAMETER_DROP_ACCEPT_FAILED);
    stop_listening(gate);
}

static void accept_some(diameter_gate *gate, const loop_watch *watch, bool is_sctp)
{
    for (int i = 0; i < DIAMETER_ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int descriptor = accept4(watch->descriptor, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest_listeners(gate);
            return;
        }
        diameter_peer *peer = gate_peer_new(gate, descriptor, PEER_WAIT_CER);
        if (peer == NULL) {
            close(descriptor);
            continue;
        }
        peer->is_sctp = is_sctp;
        if (is_sctp)
            peer->streams = sctp_streams(descriptor);
        else
            set_options(descriptor);
        name_address(peer, (struct sockaddr *)&address, size);
        if (gate->config->tls[TLS_DIAMETER] != NULL)
            peer_accept_tls(peer);
        peer_watch(peer, EPOLLIN);
    }
}

static void on_accept(loop_watch *watch, uint32_t events)
{
    (void)events;
    accept_some((diameter_gate *)((char *)watch - offsetof(diameter_gate, listener)), watch, false);
}

static void on_accept_sctp(loop_watch *watch, uint32_t events)
{
    (void)events;
    accept_some((diameter_gate *)((char *)watch - offsetof(diameter_gate, sctp_listener)), watch, true);
}

static void listen_again(diameter_gate *gate)
{
    if (gate->is_stopping)
        return;
    if (!gate->is_listening && gate->listener.descriptor >= 0)
        gate->is_listening = loop_add(gate->home, &gate->listener, EPOLLIN) == DRO_OK;
    if (!gate->is_listening_sctp && gate->sctp_listener.descriptor > 0)
        gate->is_listening_sctp = loop_add(gate->home, &gate->sctp_listener, EPOLLIN) == DRO_OK;
}

/* Goes on in the background; -1: not at all. */
static int begin_connecting(const diameter_gate *gate, const host_addresses *to)
{
    const struct sockaddr *first = (const struct sockaddr *)&to->list[0];
    if (gate->config->connects_over_sctp)
        return sctp_connect(to);
    int descriptor = socket(first->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    set_options(descriptor);
    if (connect(descriptor, first, sizeof to->list[0]) == 0 || errno == EINPROGRESS)
        return descriptor;
    close(descriptor);
    return -1;
}

static void connect_row(diameter_gate *gate, int row)
{
    const gate_peer_config *config = &gate->config->peers[row];
    host_addresses to; /* numbers, since looking up a name would hold the loop */
    if (!host_addresses_parse(config->address, &to)) {
        dro_warn("peer_address peer=%s address=%s \"not an address with port\"", config->identity, config->address);
        gate->rows[row].retry_ns = INT64_MAX;
        return;
    }
    int descriptor = begin_connecting(gate, &to);
    diameter_peer *peer = descriptor < 0 ? NULL : gate_peer_new(gate, descriptor, PEER_CONNECTING);
    if (peer == NULL) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CONNECT_FAILED);
        if (descriptor >= 0)
            close(descriptor);
        gate->rows[row].retry_ns = loop_now_ns(gate->home) + BACKOFF_MAX_MS * NS_PER_MS;
        return;
    }
    peer->is_ours = true;
    peer->row = row;
    gate->rows[row].connections++;
    peer->identity = strdup(config->identity);
    peer->realm = strdup(config->realm);
    snprintf(peer->address, sizeof peer->address, "%.*s", PEER_ADDRESS_TEXT - 1, config->address);
    peer->is_sctp = gate->config->connects_over_sctp;
    if (!peer_watch(peer, EPOLLOUT))
        return;
    if (peer->identity == NULL || peer->realm == NULL) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_NO_MEMORY);
        peer_close(peer);
    }
}

static void connect_due(diameter_gate *gate)
{
    for (uint32_t i = 0; i < gate->config->peer_count; i++) {
        const diameter_row *row = &gate->rows[i];
        bool is_due = gate->config->peers[i].address[0] != '\0' && row->connections == 0 &&
                      row->retry_ns <= loop_now_ns(gate->home);
        if (is_due && !gate->is_stopping)
            connect_row(gate, (int)i);
    }
}

/* ---- once a second ---- */

static void tick_peer(diameter_peer *peer, int64_t now_ns)
{
    diameter_gate *gate = peer->gate;
    if (peer_unsent(peer) > 0 && peer->state != PEER_CONNECTING && now_ns - peer->progress_ns > STALL_MS * NS_PER_MS) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_SLOW);
        peer_close(peer);
    } else if (peer->state == PEER_ELECTION && now_ns >= peer->deadline_ns) {
        base_end_election(gate, peer->identity);
    } else if (peer->state != PEER_OPEN && now_ns >= peer->deadline_ns) {
        if (peer->state == PEER_HANDSHAKE)
            tls_timed_out(&peer->tls);
        if (peer->state != PEER_CLOSING && peer->state != PEER_DRAINING)
            diameter_count_drop(&gate->counts, peer->state == PEER_HANDSHAKE ? DIAMETER_DROP_TLS_FAILED
                                               : peer->is_ours              ? DIAMETER_DROP_CONNECT_FAILED
                                                                            : DIAMETER_DROP_NO_CER);
        peer_close(peer);
    } else if (peer->state == PEER_OPEN && now_ns >= peer->watchdog_ns) {
        base_watchdog_expired(peer);
    }
    if (peer->is_news && peer->state == PEER_OPEN)
        gate_tell_peer(gate, peer);
    peer->is_news = false;
}

static void tell_all(diameter_gate *gate)
{
    for (uint32_t i = 0; i < gate->slots_used; i++)
        if (gate->peers[i] != NULL && gate->peers[i]->state == PEER_OPEN)
            gate_tell_peer(gate, gate->peers[i]);
}

/* Of several gates the first one connects to configured peers, and names them to
 * the core before any connection is there. */
static bool is_first_gate(const diameter_gate *gate)
{
    return gate->config->index == 0;
}

static void tell_rows(diameter_gate *gate)
{
    for (uint32_t i = 0; i < gate->config->peer_count && is_first_gate(gate) && !gate->has_told_rows; i++)
        tell_row(gate, &gate->config->peers[i]);
    gate->has_told_rows = true;
}

/* What a flood of connections needed goes back to the system; what is free between others would stay with us. */
static void trim(diameter_gate *gate, uint32_t count)
{
    if (gate->slots_most < DIAMETER_TRIM_FROM || count > gate->slots_most / 4)
        return;
    gate->slots_most = count;
    malloc_trim(0);
}

static void on_tick(loop_timer *timer)
{
    diameter_gate *gate = (diameter_gate *)((char *)timer - offsetof(diameter_gate, tick));
    int64_t now_ns = loop_now_ns(gate->home);
    uint32_t count = 0;
    gate->logged = 0;
    overload_note(&gate->overload, pending_incoming_count(gate->pending), busy_keep(gate));
    overload_tick(&gate->overload, now_ns, gate->config->clock->wall_ms(gate->config->clock));
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        if (gate->peers[i] == NULL)
            continue;
        tick_peer(gate->peers[i], now_ns);
        count++;
    }
    trim(gate, count);
    while (gate->slots_used > 0 && gate->peers[gate->slots_used - 1] == NULL)
        gate->slots_used--;
    t6a_sweep(gate);
    refusals_tell(&gate->refused_peers, now_ns, &gate->config->to_core[0]);
    refusals_tell(&gate->refused_certificates, now_ns, &gate->config->to_core[0]);
    tell_rows(gate);
    if (is_first_gate(gate))
        connect_due(gate);
    listen_again(gate);
    if (now_ns >= gate->peer_state_ns) {
        gate->peer_state_ns = now_ns + PEER_STATE_MS * NS_PER_MS;
        tell_all(gate);
    }
    if (loop_timer_set(gate->home, timer, now_ns + TICK_MS * NS_PER_MS) != DRO_OK)
        dro_error("diameter_timer \"no memory\""); /* cannot be: its place was just freed */
}

static void on_again(loop_timer *timer)
{
    diameter_gate *gate = (diameter_gate *)((char *)timer - offsetof(diameter_gate, again));
    for (uint32_t i = 0; i < gate->slots_used; i++)
        if (gate->peers[i] != NULL)
            peer_read_hidden(gate->peers[i]);
}

/* ---- life ---- */

static void seed(diameter_gate *gate)
{
    dro_clock *clock = gate->config->clock;
    dro_random *source = gate->config->random != NULL ? gate->config->random : dro_random_system();
    uint64_t random;
    source->fill(source, &random, sizeof random);
    dro_random_seeded_init(&gate->random, random);
    uint32_t seconds = (uint32_t)(clock->wall_ms(clock) / 1000);
    gate->origin_state = seconds;
    gate->session_high = seconds;
    /* RFC 6733 3: the low 12 bits of the time, then 20 random ones. */
    gate->end_to_end = seconds << 20 | (uint32_t)(random >> 44);
}

dro_err diameter_gate_new(diameter_gate **out, const gate_config *config, loop *home)
{
    diameter_gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return DRO_NOMEM;
    gate->config = config;
    gate->home = home;
    gate->listener = (loop_watch){ on_accept, config->diameter_listener };
    gate->sctp_listener = (loop_watch){ on_accept_sctp, config->diameter_sctp_listener };
    gate->tick.on_due = on_tick;
    gate->again.on_due = on_again;
    gate->pending = pending_new();
    gate->tracer = tracer_new(config);
    busy_init(gate);
    overload_init(&gate->overload, config->identity, config->clock->wall_ms(config->clock));
    gate->procedures = calloc(GATE_PEERS_MAX + 1, sizeof *gate->procedures);
    seed(gate);
    for (uint32_t i = 0; i < GATE_PEERS_MAX; i++)
        gate->rows[i].backoff_ms = BACKOFF_FIRST_MS;
    bool is_between = config->roaming != NULL && config->roaming->home_count > 0;
    if (is_between && interworking_new(gate) != DRO_OK) {
        diameter_gate_free(gate);
        return DRO_NOMEM;
    }
    bool has_memory = gate->pending != NULL && gate->tracer != NULL && gate->procedures != NULL;
    dro_err err = has_memory ? loop_timer_set(home, &gate->tick, loop_now_ns(home)) : DRO_NOMEM;
    listen_again(gate);
    bool is_deaf = (config->diameter_listener >= 0 && !gate->is_listening) ||
                   (config->diameter_sctp_listener > 0 && !gate->is_listening_sctp);
    if (err == DRO_OK && is_deaf)
        err = DRO_IO;
    if (err != DRO_OK) {
        diameter_gate_free(gate);
        return err;
    }
    *out = gate;
    return DRO_OK;
}

static void free_gone(diameter_gate *gate)
{
    while (gate->gone != NULL) {
        diameter_peer *peer = gate->gone;
        gate->gone = peer->next_gone;
        free(peer->identity);
        free(peer->realm);
        free(peer);
    }
}

void diameter_gate_free(diameter_gate *gate)
{
    if (gate == NULL)
        return;
    for (uint32_t i = 0; i < DIAMETER_CONNECTIONS_MAX; i++)
        if (gate->peers[i] != NULL)
            peer_close(gate->peers[i]);
    free_gone(gate);
    busy_fini(gate);
    loop_timer_clear(gate->home, &gate->tick);
    loop_timer_clear(gate->home, &gate->again);
    stop_listening(gate);
    pending_free(gate->pending);
    free(gate->procedures);
    interworking_free(gate);
    tracer_free(gate->tracer);
    free(gate);
}

bool diameter_gate_stop(diameter_gate *gate)
{
    bool is_done = true;
    stop_listening(gate);
    gate->is_stopping = true;
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        diameter_peer *peer = gate->peers[i];
        if (peer == NULL)
            continue;
        is_done = false;
        if (peer->state == PEER_OPEN)
            base_send_dpr(peer, REBOOTING);
        else if (peer->state != PEER_CLOSING && peer->state != PEER_DRAINING)
            peer_close(peer);
    }
    return is_done;
}

/* ---- the core's messages ---- */

void diameter_gate_on_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length)
{
    network_answer answer;
    if (length < sizeof answer) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
        return;
    }
    memcpy(&answer, body, sizeof answer);
    pending_incoming *entry = pending_find_incoming(gate->pending, id);
    if (entry == NULL) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CORE_LATE);
        return;
    }
    int64_t now_ns = loop_now_ns(gate->home), took_ns = now_ns - entry->deadline_ns + CORE_TIMEOUT_MS * NS_PER_MS;
    if (entry->command->code == COMMAND_MO_DATA && answer.result == DIAMETER_SUCCESS)
        dro_latency_add(&gate->uplinks, took_ns);
    if (entry->is_patient)
        patience_answered(&gate->patience, took_ns, now_ns);
    entry->is_patient = false;
    if (entry->said.experimental == 0 && (entry->said.result == 0 || entry->said.result == DIAMETER_SUCCESS))
        entry->said = answer; /* of several cores the first that refuses */
    connection_answer connection;
    if (entry->command->code == COMMAND_CONNECTION_MANAGEMENT && length >= sizeof connection) {
        memcpy(&connection, body, sizeof connection); /* of one core */
        t6a_answer_connection(gate, entry, &connection);
        return;
    }
    if (--entry->cores_left == 0)
        t6a_answer(gate, entry, entry->said.result, entry->said.experimental);
}

static bool is_whole_downlink(const downlink_request *request, uint32_t length)
{
    uint32_t behind = (uint32_t)request->host_length + request->realm_length + request->data_length + request->via_length;
    return behind <= length - sizeof *request && request->user.bearer_length <= BEARER_BYTES_MAX &&
           request->via_length <= DIAMETER_IDENTITY_MAX && request->host_length <= DIAMETER_IDENTITY_MAX && request->realm_length <= DIAMETER_IDENTITY_MAX;
}

void diameter_gate_on_downlink(diameter_gate *gate, uint32_t core, uint64_t id, const void *body, uint32_t length)
{
    downlink_request request;
    if (length < sizeof request) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
        return;
    }
    memcpy(&request, body, sizeof request);
    if (is_whole_downlink(&request, length))
        t6a_downlink(gate, core, id, &request, (const uint8_t *)body + sizeof request);
    else
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
    dro_wipe(&request, sizeof request);
}

void diameter_gate_on_trace(diameter_gate *gate, uint64_t id, const void *body, uint32_t length)
{
    tracer_on_trace(gate->tracer, id, body, length);
}

void diameter_gate_on_traced(diameter_gate *gate, const void *body, uint32_t length)
{
    tracer_on_traced(gate->tracer, body, length);
}

void diameter_gate_on_release(diameter_gate *gate, const void *body, uint32_t length)
{
    downlink_request request;
    if (length < sizeof request) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
        return;
    }
    memcpy(&request, body, sizeof request);
    const uint8_t *text = (const uint8_t *)body + sizeof request;
    uint32_t behind = (uint32_t)request.host_length + request.realm_length + request.data_length + request.via_length;
    rate_status left = { .until_ms = 0 };
    bool is_whole = is_whole_downlink(&request, length);
    if (is_whole && length - sizeof request - behind >= sizeof left)
        memcpy(&left, text + behind, sizeof left);
    if (is_whole)
        t6a_release(gate, &request, text, &left);
    else
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
    dro_wipe(&request, sizeof request);
}

void diameter_gate_on_report_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length)
{
    report_on_answer(gate, id, body, length);
}

void diameter_gate_on_inquiry(diameter_gate *gate, uint32_t core, uint64_t id, const void *body, uint32_t length)
{
    inquiry_request request;
    if (length < sizeof request) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
        return;
    }
    memcpy(&request, body, sizeof request);
    uint32_t names = (uint32_t)request.host_length + request.realm_length, behind = length - (uint32_t)sizeof request;
    bool is_good = names <= behind && request.host_length <= DIAMETER_IDENTITY_MAX && request.realm_length <= DIAMETER_IDENTITY_MAX;
    if (is_good)
        inquiry_ask(gate, core, id, &request, (const uint8_t *)body + sizeof request, behind);
    else
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
}

void diameter_gate_flush(diameter_gate *gate)
{
    while (gate->dirty != NULL) {
        diameter_peer *peer = gate->dirty;
        gate->dirty = peer->next_dirty;
        peer->is_dirty = false;
        peer_flush(peer);
    }
    free_gone(gate);
    t6a_tell_again(gate);
    for (uint32_t i = 0; i < gate->config->core_count; i++)
        ring_publish(&gate->config->to_core[i]);
}

static void put_procedures(const diameter_gate *gate, dro_builder *out)
{
    const char *names[GATE_PEERS_MAX + 1];
    for (uint32_t i = 0; i <= GATE_PEERS_MAX; i++) {
        const char *name = i < gate->config->peer_count ? gate->config->peers[i].identity : "other";
        names[i] = diameter_identity_valid((const uint8_t *)name, strlen(name)) ? name : "other";
    }
    diameter_procedures_text(gate->procedures, names, GATE_PEERS_MAX + 1, out);
}

void diameter_gate_metrics(diameter_gate *gate, dro_builder *out)
{
    uint32_t open = 0, other = 0;
    char text[512];
    for (uint32_t i = 0; i < gate->slots_used; i++) {
        bool is_open = gate->peers[i] != NULL && gate->peers[i]->state == PEER_OPEN;
        open += is_open;
        other += gate->peers[i] != NULL && !is_open;
    }
    snprintf(text, sizeof text,
             "# HELP dromio_diameter_connections Connections of peers.\n# TYPE dromio_diameter_connections gauge\n"
             "dromio_diameter_connections{state=\"open\"} %" PRIu32 "\ndromio_diameter_connections{state=\"other\"} %" PRIu32 "\n"
             "# HELP dromio_diameter_pending Requests without answer.\n# TYPE dromio_diameter_pending gauge\n"
             "dromio_diameter_pending{direction=\"in\"} %" PRIu32 "\ndromio_diameter_pending{direction=\"out\"} %" PRIu32 "\n",
             open, other, pending_incoming_count(gate->pending), pending_outgoing_count(gate->pending));
    dro_builder_text(out, text);
    diameter_counts_text(&gate->counts, out);
    overload_text(&gate->overload, out);
    put_procedures(gate, out);
    if (gate->interworking != NULL)
        interworking_metrics(gate, out);
    dro_latency_write(&(const dro_latency *){ &gate->uplinks }, 1, "dromio_uplink_seconds",
                      "From an MO-Data-Request given to its core until the core's word that it is kept.", out);
}
