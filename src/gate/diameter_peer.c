#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
#include "gate/diameter_gate.h"
#include "gate/sctp.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum { OUT_BYTES_FIRST = 1024, ERROR_ANSWER_BYTES = 960 + OVERLOAD_AVPS_MAX + 16 /* DRMP */ };

/* What a peer may send. An event without a row in a state's table is refused:
 * requests and answers alike close a connection that is not open yet, and are
 * dropped and counted later. */
typedef enum peer_event {
    EVENT_CER, EVENT_CEA, EVENT_DWR, EVENT_DWA, EVENT_DPR, EVENT_DPA, EVENT_COUNT,
} peer_event;

typedef void (*peer_action)(diameter_peer *peer, const diameter_message *message);

static const peer_action base_actions[PEER_STATE_COUNT][EVENT_COUNT] = {
    [PEER_WAIT_CER] = { [EVENT_CER] = base_on_cer },
    [PEER_WAIT_CEA] = { [EVENT_CEA] = base_on_cea },
    [PEER_OPEN] = { [EVENT_CER] = base_on_cer_again, [EVENT_DWR] = base_on_dwr, [EVENT_DWA] = base_on_dwa,
                    [EVENT_DPR] = base_on_dpr },
    [PEER_CLOSING] = { [EVENT_DWR] = base_on_dwr, [EVENT_DWA] = base_on_dwa, [EVENT_DPR] = base_on_dpr,
                       [EVENT_DPA] = base_on_dpa },
};

/* States in which requests and answers of applications are taken. */
static bool is_serving(const diameter_peer *peer)
{
    return peer->state == PEER_OPEN || peer->state == PEER_CLOSING;
}

static bool is_over(const diameter_peer *peer)
{
    return peer->state == PEER_GONE || peer->state == PEER_DRAINING;
}

static int base_event(const diameter_header *header)
{
    bool is_answer = (header->flags & DIAMETER_FLAG_REQUEST) == 0;
    switch (header->code) {
    case COMMAND_CAPABILITIES_EXCHANGE:
        return EVENT_CER + is_answer;
    case COMMAND_DEVICE_WATCHDOG:
        return EVENT_DWR + is_answer;
    case COMMAND_DISCONNECT_PEER:
        return EVENT_DPR + is_answer;
    default:
        return EVENT_COUNT;
    }
}

static void set_events(diameter_peer *peer, uint32_t events)
{
    if (peer->state == PEER_GONE || peer->events == events)
        return;
    peer->events = events;
    loop_change(peer->gate->home, &peer->watch, events);
}

/* Reads while it keeps up; asks for writing while bytes are left. */
static void update_events(diameter_peer *peer)
{
    uint32_t unsent = peer_unsent(peer);
    if (peer->state == PEER_HANDSHAKE) {
        set_events(peer, tls_events(&peer->tls));
        return;
    }
    bool is_read = peer->state == PEER_DRAINING ? unsent == 0 : unsent < OUT_BYTES_PAUSE;
    set_events(peer, (is_read ? EPOLLIN : 0u) | (unsent > 0 || peer->tls.wants_write ? EPOLLOUT : 0u));
}

void peer_put_origin(const diameter_gate *gate, dro_builder *out)
{
    diameter_put_text(out, AVP_ORIGIN_HOST, gate->config->identity);
    diameter_put_text(out, AVP_ORIGIN_REALM, gate->config->realm);
}

/* ---- bytes out ---- */

static void release_out(diameter_peer *peer)
{
    if (peer->out != NULL)
        dro_wipe(peer->out, peer->out_end);
    free(peer->out);
    peer->out = NULL;
    peer->out_begin = peer->out_end = peer->out_capacity = 0;
}

/* Moves the unsent bytes into a larger buffer; the old one is wiped. */
static bool grow_out(diameter_peer *peer, size_t need)
{
    uint32_t capacity = peer->out_capacity == 0 ? OUT_BYTES_FIRST : peer->out_capacity;
    while (capacity < need)
        capacity *= 2;
    uint8_t *bytes = capacity <= OUT_BYTES_MAX ? malloc(capacity) : NULL;
    if (bytes == NULL)
        return false;
    uint32_t unsent = peer_unsent(peer);
    if (unsent > 0)
        memcpy(bytes, peer->out + peer->out_begin, unsent);
    release_out(peer);
    peer->out = bytes;
    peer->out_end = unsent;
    peer->out_capacity = capacity;
    return true;
}

static void shift_out(diameter_peer *peer)
{
    uint32_t unsent = peer_unsent(peer);
    memmove(peer->out, peer->out + peer->out_begin, unsent);
    dro_wipe(peer->out + unsent, peer->out_end - unsent);
    peer->out_begin = 0;
    peer->out_end = unsent;
}

bool peer_room(diameter_peer *peer, size_t most, dro_builder *out)
{
    if (peer->state == PEER_GONE)
        return false;
    if (peer->out_capacity - peer->out_end < most) {
        size_t need = peer_unsent(peer) + most;
        if (peer->out_begin > 0 && need <= peer->out_capacity / 2) {
            shift_out(peer);
        } else if (!grow_out(peer, need)) {
            bool is_slow = need > OUT_BYTES_MAX / 2;
            diameter_count_drop(&peer->gate->counts, is_slow ? DIAMETER_DROP_SLOW : DIAMETER_DROP_NO_MEMORY);
            peer_close(peer);
            return false;
        }
    }
    *out = dro_builder_over(peer->out + peer->out_end, peer->out_capacity - peer->out_end);
    return true;
}

/* Never the same for two connections. */
static uint64_t connection_number(const diameter_peer *peer)
{
    return (uint64_t)peer->slot << 32 | peer->generation;
}

static void trace(const diameter_peer *peer, bool is_out, const uint8_t *bytes, size_t length)
{
    if (tracer_is_on(peer->gate->tracer))
        tracer_message(peer->gate->tracer, peer->identity, connection_number(peer), is_out, bytes, length);
}

void peer_send(diameter_peer *peer, const dro_builder *out)
{
    trace(peer, true, out->start, dro_builder_length(out));
    peer_send_untraced(peer, out);
}

void peer_send_untraced(diameter_peer *peer, const dro_builder *out)
{
    assert(out->err == DRO_OK); /* whoever asked for room knew how much */
    if (peer_unsent(peer) == 0)
        peer->progress_ns = loop_now_ns(peer->gate->home);
    peer->out_end += (uint32_t)dro_builder_length(out);
    if (!peer->is_dirty) {
        peer->is_dirty = true;
        peer->next_dirty = peer->gate->dirty;
        peer->gate->dirty = peer;
    }
}

/* OpenSSL may hold bytes that epoll knows nothing of. Not while the peer is slow:
 * then peer_flush looks again. */
static bool has_hidden_bytes(const diameter_peer *peer)
{
    return !is_over(peer) && peer_unsent(peer) < OUT_BYTES_PAUSE && tls_has_more(&peer->tls);
}

static void look_again(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    if (has_hidden_bytes(peer) && loop_timer_set(gate->home, &gate->again, loop_now_ns(gate->home)) != DRO_OK)
        peer_close(peer);
}

/* RFC 6733 2.1.1: all streams are used, so that what is lost on one holds no other.
 * Only the first until the peer was heard: nothing may overtake the CEA. */
static uint16_t next_stream(diameter_peer *peer)
{
    if (!peer->is_heard || peer->streams < 2 || peer->state != PEER_OPEN)
        return 0;
    peer->stream = (uint16_t)((peer->stream + 1) % peer->streams);
    return peer->stream;
}

/* As send(2): with TLS at most a record, with SCTP one message. */
static ssize_t transmit(diameter_peer *peer, const uint8_t *bytes, uint32_t length)
{
    if (tls_is_on(&peer->tls))
        return tls_send(&peer->tls, bytes, length);
    if (peer->is_sctp)
        return sctp_send(peer->watch.descriptor, bytes, diameter_length(bytes), next_stream(peer));
    return send(peer->watch.descriptor, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True: it may take more. */
static bool write_some(diameter_peer *peer)
{
    ssize_t sent = transmit(peer, peer->out + peer->out_begin, peer_unsent(peer));
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        peer_close(peer);
    if (sent <= 0)
        return false;
    dro_wipe(peer->out + peer->out_begin, (size_t)sent);
    peer->out_begin += (uint32_t)sent;
    peer->progress_ns = loop_now_ns(peer->gate->home);
    peer->gate->counts.bytes[DIAMETER_OUT] += (uint64_t)sent;
    return tls_is_on(&peer->tls) || peer->is_sctp;
}

void peer_flush(diameter_peer *peer)
{
    if (peer->state == PEER_GONE || peer->state == PEER_CONNECTING || peer->state == PEER_HANDSHAKE)
        return;
    while (peer_unsent(peer) > 0 && write_some(peer))
        ;
    if (peer->state == PEER_GONE)
        return;
    if (peer_unsent(peer) == 0) {
        peer->out_begin = peer->out_end = 0;
        if (peer->out_capacity > OUT_BYTES_KEPT)
            release_out(peer);
    }
    if (peer_unsent(peer) == 0 && peer->state == PEER_DRAINING) {
        tls_end(&peer->tls);
        shutdown(peer->watch.descriptor, SHUT_WR); /* closing follows in on_draining */
    }
    look_again(peer);
    update_events(peer);
}

/* ---- life ---- */

bool peer_watch(diameter_peer *peer, uint32_t events)
{
    peer->events = events;
    if (loop_add(peer->gate->home, &peer->watch, events) == DRO_OK)
        return true;
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_NO_MEMORY);
    close(peer->watch.descriptor);
    peer->watch.descriptor = -1;
    peer_close(peer);
    return false;
}

static void release_carry(diameter_peer *peer)
{
    if (peer->carry != NULL)
        dro_wipe(peer->carry, peer->carry_length);
    free(peer->carry);
    peer->carry = NULL;
    peer->carry_length = peer->carry_capacity = 0;
}

/* When to try again; only connections that were opened by us follow it. */
static void leave_row(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    diameter_row *row = &gate->rows[peer->row];
    row->connections--;
    uint32_t wait_ms = row->backoff_ms + gate_jitter(gate, row->backoff_ms / 4 + 1);
    if (peer->disconnect_cause == DO_NOT_WANT_TO_TALK_TO_YOU)
        wait_ms = UNWANTED_MS;
    row->retry_ns = loop_now_ns(gate->home) + wait_ms * NS_PER_MS;
    row->backoff_ms = row->backoff_ms * 2 < BACKOFF_MAX_MS ? row->backoff_ms * 2 : BACKOFF_MAX_MS;
}

void peer_close(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    peer_state_name before = peer->state;
    if (before == PEER_GONE)
        return;
    peer->state = PEER_GONE;
    tls_end(&peer->tls);
    tls_fini(&peer->tls);
    if (peer->watch.descriptor >= 0) {
        loop_remove(gate->home, &peer->watch);
        close(peer->watch.descriptor);
    }
    release_out(peer);
    release_carry(peer);
    gate->peers[peer->slot] = NULL;
    peer->next_gone = gate->gone;
    gate->gone = peer;
    if (before == PEER_OPEN || before == PEER_CLOSING) { /* first this: what is lost goes another way */
        dro_info("peer_closed peer=%s", peer->identity);
        gate_tell_peer(gate, peer);
    }
    t6a_peer_lost(peer);
    if (peer->row != NO_ROW)
        leave_row(peer);
    if (peer->is_ours && (before == PEER_WAIT_CEA || before == PEER_HANDSHAKE || before == PEER_CONNECTING))
        base_end_election(gate, peer->identity);
}

void peer_drain(diameter_peer *peer)
{
    if (peer->state == PEER_GONE)
        return;
    bool was_open = peer->state == PEER_OPEN || peer->state == PEER_CLOSING;
    peer->state = PEER_DRAINING;
    release_carry(peer);
    peer->deadline_ns = loop_now_ns(peer->gate->home) + CLOSING_TIMEOUT_MS * NS_PER_MS;
    if (was_open)
        gate_tell_peer(peer->gate, peer);
}

/* ---- messages in ---- */

static const diameter_avp *session_of(const diameter_message *message)
{
    return diameter_find(message, AVP_SESSION_ID);
}

size_t peer_error_bytes(const diameter_message *request, const diameter_fault *fault)
{
    const diameter_avp *session = session_of(request);
    const diameter_avp *proxy = diameter_find(request, AVP_PROXY_INFO);
    size_t bytes = ERROR_ANSWER_BYTES + (session == NULL ? 0 : session->length + 16); /* these repeat the request */
    for (; proxy != NULL; proxy = diameter_find_next(request, proxy))
        bytes += proxy->length + 16;
    return bytes + (fault->has_avp ? fault->length + 16 * (DIAMETER_DEPTH_MAX + 2) : 0);
}

void peer_put_error(diameter_peer *peer, const diameter_command *command, const diameter_fault *fault, dro_builder *out)
{
    const diameter_message *request = &peer->gate->message;
    diameter_header header = diameter_answer_header(&request->header, fault->result);
    size_t begin = diameter_begin(out, &header);
    const diameter_avp *session = session_of(request);
    if (session != NULL)
        diameter_put_copy(out, session);
    const diameter_avp *priority = overload_priority_avp(request);
    if (priority != NULL)
        diameter_put_copy(out, priority);
    diameter_put_result(out, fault->result, fault->experimental);
    if (header.application != DIAMETER_APPLICATION_BASE)
        diameter_put_u32(out, AVP_AUTH_SESSION_STATE, 1);
    peer_put_origin(peer->gate, out);
    if (header.application != DIAMETER_APPLICATION_BASE && overload_is_heard(request))
        dro_builder_bytes(out, peer->gate->overload.told.avps, peer->gate->overload.told.length);
    diameter_put_failed(out, fault);
    for (const diameter_avp *proxy = diameter_find(request, AVP_PROXY_INFO); proxy != NULL;
         proxy = diameter_find_next(request, proxy))
        diameter_put_copy(out, proxy);
    diameter_end(out, begin);
    trace(peer, true, out->start + begin, dro_builder_length(out) - begin);
    peer->answers++;
    peer->errors++;
    const diameter_command *answer = command == NULL ? NULL : diameter_command_find(command->code, command->application, false);
    gate_count_answer(peer->gate, peer, DIAMETER_OUT, answer, fault->result, fault->experimental);
}

void peer_answer_error(diameter_peer *peer, const diameter_command *command, const diameter_fault *fault)
{
    dro_builder out;
    if (!peer_room(peer, peer_error_bytes(&peer->gate->message, fault), &out))
        return;
    peer_put_error(peer, command, fault, &out);
    peer_send_untraced(peer, &out);
}

static bool is_known_application(uint32_t application)
{
    return application == DIAMETER_APPLICATION_BASE || application == DIAMETER_APPLICATION_T6A ||
           application == DIAMETER_APPLICATION_S6T || application == DIAMETER_APPLICATION_TSP || application == DIAMETER_APPLICATION_S6M ||
           application == DIAMETER_APPLICATION_T4;
}

/* Nothing but the right message is allowed here: the connection ends. */
static void refuse_state(diameter_peer *peer)
{
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_STATE);
    peer->errors++;
    if (!is_serving(peer))
        peer_close(peer);
}

static void on_bad_request(diameter_peer *peer, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_MALFORMED_REQUEST);
    if (command != NULL && command->code == COMMAND_CAPABILITIES_EXCHANGE) {
        base_send_cea(peer, &gate->message.header, &gate->fault);
        peer_drain(peer);
        return;
    }
    peer_answer_error(peer, command, &gate->fault);
}

static void on_unknown_command(diameter_peer *peer, const diameter_header *header)
{
    diameter_gate *gate = peer->gate;
    bool is_known = is_known_application(header->application);
    gate->fault = (diameter_fault){ .result = is_known ? DIAMETER_COMMAND_UNSUPPORTED : DIAMETER_APPLICATION_UNSUPPORTED };
    diameter_count_drop(&gate->counts, DIAMETER_DROP_UNKNOWN_COMMAND);
    peer_answer_error(peer, NULL, &gate->fault);
}

static void on_request(diameter_peer *peer, bool is_read)
{
    diameter_gate *gate = peer->gate;
    const diameter_header *header = &gate->message.header;
    const diameter_command *command = diameter_command_find(header->code, header->application, true);
    int event = command == NULL || command->application != 0 ? EVENT_COUNT : base_event(header);
    if (event == EVENT_COUNT ? !is_serving(peer) : base_actions[peer->state][event] == NULL) {
        refuse_state(peer);
        return;
    }
    peer->requests++;
    gate_count_request(gate, peer, DIAMETER_IN, command);
    if (command == NULL)
        on_unknown_command(peer, header);
    else if (!is_read || !diameter_check_request(&gate->message, command, &gate->fault))
        on_bad_request(peer, command);
    else if (event != EVENT_COUNT)
        base_actions[peer->state][event](peer, &gate->message);
    else
        t6a_on_request(peer, &gate->message, command);
}

static void on_answer(diameter_peer *peer, bool is_read)
{
    diameter_gate *gate = peer->gate;
    const diameter_header *header = &gate->message.header;
    const diameter_command *command = diameter_command_find(header->code, header->application, false);
    int event = command == NULL || command->application != 0 ? EVENT_COUNT : base_event(header);
    if (event == EVENT_COUNT ? !is_serving(peer) : base_actions[peer->state][event] == NULL) {
        refuse_state(peer);
        return;
    }
    bool is_good = command != NULL && is_read && diameter_check_answer(&gate->message, command, &gate->fault);
    if (!is_good) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_MALFORMED_ANSWER);
        peer->errors++;
    }
    if (event == EVENT_COUNT)
        t6a_on_answer(peer, &gate->message, command, is_good);
    else if (is_good)
        base_actions[peer->state][event](peer, &gate->message);
    else if (!is_serving(peer))
        peer_close(peer); /* a CEA that cannot be read */
}

static void on_message(diameter_peer *peer, const uint8_t *bytes, uint32_t length)
{
    diameter_gate *gate = peer->gate;
    trace(peer, false, bytes, length);
    if (is_serving(peer)) {
        base_watchdog_reset(peer);
        peer->is_heard = true;
    }
    if (peer->state == PEER_OPEN && busy_is(peer) && busy_refuse(peer, bytes, length))
        return;
    bool is_read = diameter_read(&gate->message, bytes, length, &gate->fault);
    if ((gate->message.header.flags & DIAMETER_FLAG_REQUEST) != 0)
        on_request(peer, is_read);
    else
        on_answer(peer, is_read);
}

/* The version or the length is wrong, so where the next message begins is not
 * known: a request is told why, if its header is here, and the connection ends. */
static void on_bad_frame(diameter_peer *peer, const uint8_t *bytes, size_t left)
{
    diameter_gate *gate = peer->gate;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_FRAME);
    peer->errors++;
    gate->message.count = 0;
    dro_cursor in = dro_cursor_over(bytes, left);
    dro_err err = diameter_header_read(&in, &gate->message.header);
    const diameter_header *header = &gate->message.header;
    if (err != DRO_OK || (header->flags & DIAMETER_FLAG_REQUEST) == 0) {
        peer_close(peer);
        return;
    }
    bool is_version = header->version != DIAMETER_VERSION;
    gate->fault = (diameter_fault){ .result = is_version ? DIAMETER_UNSUPPORTED_VERSION : DIAMETER_INVALID_MESSAGE_LENGTH };
    peer_answer_error(peer, NULL, &gate->fault);
    peer_drain(peer);
}

static bool is_frame(const diameter_peer *peer, const uint8_t *bytes, uint32_t length)
{
    uint32_t most = is_serving(peer) ? DIAMETER_MESSAGE_MAX : CER_BYTES_MAX;
    return bytes[0] == DIAMETER_VERSION && length >= DIAMETER_HEADER_BYTES && length % 4 == 0 && length <= most;
}

/* All whole messages; returns how many bytes are done with. */
static size_t on_bytes(diameter_peer *peer, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (length - at >= 4 && !is_over(peer)) {
        uint32_t next = diameter_length(bytes + at);
        if (!is_frame(peer, bytes + at, next)) {
            on_bad_frame(peer, bytes + at, length - at);
            break;
        }
        if (length - at < next)
            return at;
        on_message(peer, bytes + at, next);
        at += next;
    }
    return is_over(peer) ? length : at;
}

/* Keeps the begin of a message until its rest comes. */
static bool keep_rest(diameter_peer *peer, const uint8_t *bytes, size_t length)
{
    if (length > peer->carry_capacity) {
        uint32_t capacity = is_serving(peer) ? DIAMETER_MESSAGE_MAX : CER_BYTES_MAX;
        uint8_t *larger = malloc(capacity);
        if (larger == NULL)
            return false;
        free(peer->carry); /* empty: all of it is in `bytes` */
        peer->carry = larger;
        peer->carry_capacity = capacity;
    }
    if (length > 0)
        memcpy(peer->carry, bytes, length);
    peer->carry_length = (uint32_t)length;
    return true;
}

static ssize_t receive_once(diameter_peer *peer, uint8_t *room, size_t length)
{
    if (tls_is_on(&peer->tls))
        return tls_receive(&peer->tls, room, length);
    return recv(peer->watch.descriptor, room, length, MSG_DONTWAIT);
}

/* As recv; of TLS all records that are here and for which there is room, of SCTP
 * several messages: with one-to-one sockets the pieces of one follow each other, and
 * so a message begins where the last one ended, as in a stream of bytes. */
static ssize_t receive(diameter_peer *peer, uint8_t *room)
{
    ssize_t got = receive_once(peer, room, READ_BYTES);
    size_t length = got > 0 ? (size_t)got : 0;
    while (got > 0 && length < READ_BYTES && (peer->is_sctp || tls_has_more(&peer->tls))) {
        got = receive_once(peer, room + length, READ_BYTES - length);
        length += got > 0 ? (size_t)got : 0;
    }
    return length > 0 ? (ssize_t)length : got;
}

static void peer_read(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    size_t before = peer->carry_length;
    ssize_t got = receive(peer, gate->scratch + before);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            peer_close(peer);
        return;
    }
    gate->counts.bytes[DIAMETER_IN] += (uint64_t)got;
    if (before > 0) {
        memcpy(gate->scratch, peer->carry, before);
        dro_wipe(peer->carry, before);
        peer->carry_length = 0;
    }
    size_t length = before + (size_t)got;
    size_t done = on_bytes(peer, gate->scratch, length);
    if (!is_over(peer) && !keep_rest(peer, gate->scratch + done, length - done)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_NO_MEMORY);
        peer_close(peer);
    }
    dro_wipe(gate->scratch, length);
    look_again(peer);
    if (peer->state != PEER_GONE)
        update_events(peer);
}

void peer_read_hidden(diameter_peer *peer)
{
    if (has_hidden_bytes(peer))
        peer_read(peer);
}

/* Reads away what still comes, so that closing does not reset the connection
 * before the peer has read the answer. */
static void on_draining(diameter_peer *peer, uint32_t events)
{
    diameter_gate *gate = peer->gate;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        peer_close(peer);
        return;
    }
    if ((events & EPOLLIN) == 0)
        return;
    ssize_t got = recv(peer->watch.descriptor, gate->scratch, READ_BYTES, MSG_DONTWAIT);
    if (got > 0)
        dro_wipe(gate->scratch, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        peer_close(peer);
}

/* ---- TLS, RFC 6733 2.2 and 13: before the first message ---- */

static void on_tls_evicted(tls_session *session)
{
    diameter_peer *peer = (diameter_peer *)((char *)session - offsetof(diameter_peer, tls));
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_TLS_FAILED);
    peer_close(peer);
}

void peer_accept_tls(diameter_peer *peer)
{
    tls_accept(&peer->tls, peer->gate->config->tls[TLS_DIAMETER], peer->watch.descriptor, on_tls_evicted);
    peer->state = PEER_HANDSHAKE;
}

static void shake_hands(diameter_peer *peer)
{
    tls_step step = tls_handshake(&peer->tls);
    if (step == TLS_AGAIN) {
        update_events(peer);
        return;
    }
    if (step != TLS_DONE) {
        diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_TLS_FAILED);
        if (gate_may_log(peer->gate))
            dro_warn("peer_tls_failed address=%s reason=\"%s\"", peer->address, peer->tls.why);
        if (peer->tls.is_certificate_bad)
            gate_note_refusal(peer, AUDIT_CERTIFICATE_REFUSED, DIAMETER_UNKNOWN_PEER, peer->identity, peer->tls.why);
        peer_close(peer);
        return;
    }
    if (peer->is_ours)
        base_on_connected(peer);
    else
        peer->state = PEER_WAIT_CER;
    look_again(peer);
    if (peer->state != PEER_GONE)
        update_events(peer);
}

static void connect_tls(diameter_peer *peer)
{
    peer->state = PEER_HANDSHAKE;
    peer->deadline_ns = loop_now_ns(peer->gate->home) + CER_TIMEOUT_MS * NS_PER_MS;
    if (tls_connect(&peer->tls, peer->gate->config->tls[TLS_DIAMETER], peer->watch.descriptor, peer->identity,
                    on_tls_evicted) == DRO_OK) {
        shake_hands(peer);
        return;
    }
    diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_NO_MEMORY);
    peer_close(peer);
}

static void on_connect_done(diameter_peer *peer)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(peer->watch.descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        diameter_count_drop(&peer->gate->counts, DIAMETER_DROP_CONNECT_FAILED);
        peer_close(peer);
        return;
    }
    if (peer->is_sctp)
        peer->streams = sctp_streams(peer->watch.descriptor);
    if (peer->gate->config->tls[TLS_DIAMETER] != NULL)
        connect_tls(peer);
    else
        base_on_connected(peer);
    if (peer->state != PEER_GONE)
        update_events(peer);
}

void peer_on_ready(loop_watch *watch, uint32_t events)
{
    diameter_peer *peer = (diameter_peer *)watch; /* its first member */
    if (peer->state == PEER_CONNECTING) {
        on_connect_done(peer);
        return;
    }
    if (peer->state == PEER_HANDSHAKE) {
        shake_hands(peer);
        return;
    }
    if ((events & EPOLLOUT) != 0)
        peer_flush(peer);
    if (peer->state == PEER_DRAINING)
        on_draining(peer, events);
    else if (peer->state != PEER_GONE && ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 || peer->tls.wants_write))
        peer_read(peer);
}
