#include "gate/websocket.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/fields.h"
#include "gate/answer.h"
#include "gate/courier.h"
#include "gate/home.h"
#include "wire/websocket/frame.h"

enum {
    NS_PER_MS = 1000000,
    NAME_TEXT = 24,                  /* of a notice's number */
    KEY_TEXT = 24,                   /* Sec-WebSocket-Key: base64 of 16 bytes */
    ACCEPT_TEXT = 28,
    FRAME_ROOM = COURIER_BODY_MAX + 1024, /* a notice with what is around it */
    SILENCE_MS = 3 * HTTP_COMMENT_MS, /* without a Pong: it is gone */
};

typedef struct sent_notice { uint64_t id; uint32_t core; uint32_t outcome; bool is_used, is_ended; } sent_notice;

struct websocket {
    websocket *next;
    exchange *owner;                 /* NULL: gone, but cores are still to be told */
    uint64_t id, configuration;      /* id: what its core calls it */
    uint32_t core;
    uint32_t untold_cores, told_cores; /* bits: to be told that it is here; that know of it */
    bool is_open, is_closing, has_protocol;
    char accept[ACCEPT_TEXT + 1];
    websocket_reader reader;
    uint64_t number, first;          /* of the newest notice, of the oldest that is not told; 0: none yet */
    uint32_t untold;                 /* notices that have ended */
    sent_notice sent[HTTP_WEBSOCKET_NOTICES_MAX]; /* number % HTTP_WEBSOCKET_NOTICES_MAX */
    int64_t heard_ns, asked_ns, since_ns;
    int64_t expires_ns;              /* of its token */
    uint8_t token[TOKEN_HASH];
};

static const char protocol[] = "dromio.notifications.v1";

/* ---- the handshake ---- */

/* RFC 6455 4.2.2: SHA-1 of the key and this. */
static void accept_of(slice key, char out[ACCEPT_TEXT + 1])
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_TEXT + sizeof suffix - 1], hash[SHA_DIGEST_LENGTH];
    memcpy(text, key.at, KEY_TEXT);
    memcpy(text + KEY_TEXT, suffix, sizeof suffix - 1);
    SHA1(text, sizeof text, hash);
    dro_builder made = dro_builder_over(out, ACCEPT_TEXT);
    dro_base64_put(&made, hash, sizeof hash);
    out[ACCEPT_TEXT] = '\0';
}

static bool is_key(slice key)
{
    uint8_t bytes[18];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    return key.length == KEY_TEXT && dro_base64_read(&out, key.at, key.length) == DRO_OK && dro_builder_length(&out) == 16;
}

static bool lists(slice list, const char *wanted)
{
    size_t length = strlen(wanted);
    for (uint32_t at = 0; at < list.length;) {
        uint32_t end = at;
        while (end < list.length && list.at[end] != ',')
            end++;
        uint32_t from = at, to = end;
        while (from < to && (list.at[from] == ' ' || list.at[from] == '\t'))
            from++;
        while (to > from && (list.at[to - 1] == ' ' || list.at[to - 1] == '\t'))
            to--;
        if (to - from == length && strncasecmp(list.at + from, wanted, length) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

void websocket_head(connection *connection)
{
    slice key = connection_field(connection, FIELD_WEBSOCKET_KEY), version = connection_field(connection, FIELD_WEBSOCKET_VERSION);
    connection->has_websocket_protocol = lists(connection_field(connection, FIELD_WEBSOCKET_PROTOCOL), protocol);
    connection->websocket_accept[0] = '\0';
    connection->is_upgrade = connection->is_upgrade && lists(connection_field(connection, FIELD_UPGRADE), "websocket");
    if (slice_is(version, "13") && is_key(key))
        accept_of(key, connection->websocket_accept);
}

static uint64_t configuration_of(const void *request, uint32_t length)
{
    uint64_t number = 0;
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    dro_err err = DRO_OK;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_cursor_left(&in) > 0 && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == API_FIELD_CONFIGURATION)
            number = dro_field_u64(&field, &err);
    return number;
}

static bool refuse(exchange *exchange, int status, const char *lines, const char *detail)
{
    uint8_t text[512];
    dro_builder out = dro_builder_over(text, sizeof text);
    answer made = { .status = status, .content_type = "application/problem+json", .etag = ANSWER_NO_ETAG, .lines = lines };
    problem_write(&out, status, detail, NULL);
    answer_whole(exchange, &made, text, dro_builder_length(&out));
    return false;
}

static int64_t expiry_ns(const http *http, int64_t expires_ms)
{
    dro_clock *clock = http->config->clock;
    return expires_ms == 0 ? INT64_MAX : loop_now_ns(http->loop) + (expires_ms - clock->wall_ms(clock)) * NS_PER_MS;
}

bool websocket_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    connection *owner = exchange->owner;
    if (!owner->is_upgrade || exchange->is_head || exchange->is_old)
        return refuse(exchange, 426, "\r\nUpgrade: websocket\r\nConnection: Upgrade", "this path speaks websocket");
    if (owner->websocket_accept[0] == '\0')
        return refuse(exchange, 400, "\r\nSec-WebSocket-Version: 13", "Sec-WebSocket-Key of 16 bytes and Sec-WebSocket-Version 13 are needed");
    if (owner->first != exchange)
        return refuse(exchange, 400, NULL, "a websocket cannot begin behind other requests");
    websocket *made = http->websocket_count < HTTP_WEBSOCKETS_MAX ? calloc(1, sizeof *made) : NULL;
    if (made == NULL) {
        answer_busy(exchange, "too many websockets are open");
        return false;
    }
    made->id = exchange_id(http, exchange, 0);
    made->configuration = configuration_of(request, length);
    made->core = home_of_request(http->config, request, length);
    made->has_protocol = owner->has_websocket_protocol;
    memcpy(made->accept, owner->websocket_accept, sizeof made->accept);
    memcpy(made->token, owner->token, TOKEN_HASH);
    made->expires_ns = expiry_ns(http, owner->token_expires_ms);
    made->owner = exchange;
    made->next = http->websockets;
    http->websockets = made;
    http->websocket_count++;
    exchange->kind = EXCHANGE_WEBSOCKET;
    exchange->websocket = made;
    exchange->waiting = 1u << made->core;
    owner->websocket = made;
    if (request_send(http, made->core, made->id, request, length, false))
        return true;
    answer_busy(exchange, "the host has too much to do");
    return false;
}

static void put(exchange *to, const void *bytes, size_t length)
{
    connection *owner = to->owner;
    if (!block_chain_append(&owner->http->blocks, &owner->out, bytes, length))
        connection_break(owner);
    connection_mark(owner);
}

void websocket_on_reply(http *http, exchange *exchange, const api_reply *reply)
{
    char head[256];
    websocket *opened = exchange->websocket;
    (void)reply;
    if (opened->is_open)
        return;
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s%s%s\r\n\r\n",
                          opened->accept, opened->has_protocol ? "\r\nSec-WebSocket-Protocol: " : "", opened->has_protocol ? protocol : "");
    put(exchange, head, (size_t)length);
    opened->is_open = true;
    opened->heard_ns = opened->asked_ns = opened->since_ns = loop_now_ns(http->loop);
    opened->told_cores = 1u << opened->core;
    if (number_is_of_group(opened->configuration))
        opened->untold_cores = ((1u << http->config->core_count) - 1) & ~opened->told_cores;
    exchange->status = 101;
    exchange->deadline_ns = 0;
    http->counts.answers[exchange->route][1]++;
    connection_resume(exchange->owner); /* frames may be here already */
    connection_schedule(exchange->owner);
}

/* ---- notices ---- */

static void notice_end(websocket *of, uint64_t number, uint32_t outcome)
{
    sent_notice *ended = &of->sent[number % HTTP_WEBSOCKET_NOTICES_MAX];
    if (!ended->is_used || ended->is_ended)
        return;
    ended->is_ended = true;
    ended->outcome = outcome;
    of->untold++;
}

/* One notice as frames: the one place that says how they look. */
static bool frame_write(const websocket *to, uint64_t number, const void *body, size_t length, dro_builder *out)
{
    char name[NAME_TEXT], before[64];
    int named = snprintf(name, sizeof name, "%llu", (unsigned long long)number);
    int around = snprintf(before, sizeof before, "{\"notification\":\"%s\",\"content\":", name);
    if (to->has_protocol) {
        websocket_header_put(out, OPCODE_TEXT, (size_t)around + length + 1);
        dro_builder_bytes(out, before, (size_t)around);
        dro_builder_bytes(out, body, length);
        dro_builder_text(out, "}");
        return out->err == DRO_OK;
    }
    websocket_header_put(out, OPCODE_TEXT, length);
    dro_builder_bytes(out, body, length);
    websocket_header_put(out, OPCODE_PING, (size_t)named);
    dro_builder_bytes(out, name, (size_t)named);
    return out->err == DRO_OK;
}

static bool number_of(websocket_text text, uint64_t *out)
{
    return text.length < NAME_TEXT && number_read((slice){ (const char *)text.bytes, (uint32_t)text.length }, out);
}

/* What a Pong (is_message false) or a message of the client takes. */
static void taken_by(websocket *of, websocket_text text, bool is_message)
{
    static const char begin[] = "{\"taken\":\"", end[] = "\"}";
    uint64_t number;
    if (is_message != of->has_protocol)
        return;
    if (!is_message) { /* a client may answer only the newest Ping (RFC 6455 5.5.3), and frames come in order */
        if (!number_of(text, &number) || number > of->number)
            return;
        for (uint64_t at = of->first; at != 0 && at <= number; at++)
            notice_end(of, at, NOTICE_TAKEN);
        return;
    }
    size_t around = sizeof begin + sizeof end - 2;
    if (text.length <= around || memcmp(text.bytes, begin, sizeof begin - 1) != 0 ||
        memcmp(text.bytes + text.length - (sizeof end - 1), end, sizeof end - 1) != 0)
        return;
    text = (websocket_text){ text.bytes + sizeof begin - 1, text.length - around };
    if (number_of(text, &number) && number <= of->number && number >= of->first)
        notice_end(of, number, NOTICE_TAKEN);
}

static websocket *find(const http *http, uint64_t id)
{
    websocket *at = http->websockets;
    while (at != NULL && (at->id != id || at->owner == NULL))
        at = at->next;
    return at;
}

bool websocket_notice(void *context, uint64_t socket, uint32_t core, uint64_t id, const void *body, size_t length)
{
    http *http = context;
    static uint8_t bytes[FRAME_ROOM];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    websocket *to = find(http, socket);
    if (to == NULL || !to->is_open || to->is_closing || to->owner->owner->is_broken ||
        to->sent[(to->number + 1) % HTTP_WEBSOCKET_NOTICES_MAX].is_used || to->owner->owner->out.bytes > HTTP_STREAM_OUT_MAX ||
        !frame_write(to, to->number + 1, body, length, &out))
        return false;
    to->number++;
    if (to->first == 0)
        to->first = to->number;
    to->sent[to->number % HTTP_WEBSOCKET_NOTICES_MAX] = (sent_notice){ .id = id, .core = core, .is_used = true };
    put(to->owner, bytes, dro_builder_length(&out));
    http->counts.websocket_notices++;
    return true;
}

/* ---- frames of the client ---- */

static void send_close(websocket *of, uint16_t code)
{
    uint8_t bytes[4];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (of->is_closing)
        return;
    of->is_closing = true;
    websocket_close_put(&out, code);
    put(of->owner, bytes, dro_builder_length(&out));
    of->owner->owner->is_closing = true; /* once that is written */
    of->owner->owner->is_reading = false;
    of->owner->owner->wants_linger = true;
}

static void on_ping(websocket *of, websocket_text text)
{
    uint8_t bytes[2 + WEBSOCKET_CONTROL_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    websocket_header_put(&out, OPCODE_PONG, text.length);
    dro_builder_bytes(&out, text.bytes, text.length);
    if (of->owner->owner->out.bytes <= HTTP_STREAM_OUT_MAX) /* who does not read is not answered */
        put(of->owner, bytes, dro_builder_length(&out));
}

/* True: there may be another frame. */
static bool read_one(websocket *of, block *in, uint32_t *parsed)
{
    size_t used;
    websocket_text text;
    websocket_event event = websocket_read(&of->reader, in->room + *parsed, in->end - *parsed, &used, &text);
    *parsed += (uint32_t)used;
    switch (event) {
    case WEBSOCKET_NEEDS_MORE: return false;
    case WEBSOCKET_NOTHING: break;
    case WEBSOCKET_MESSAGE: taken_by(of, text, true); break;
    case WEBSOCKET_PONG: taken_by(of, text, false); break;
    case WEBSOCKET_PING: on_ping(of, text); break;
    case WEBSOCKET_CLOSE: send_close(of, of->reader.code == 1005 ? WEBSOCKET_NORMAL : of->reader.code); return false;
    case WEBSOCKET_BROKEN: send_close(of, of->reader.code); return false;
    }
    return true;
}

static void tidy(connection *connection)
{
    block *in = connection->in;
    uint32_t left = in->end - connection->parsed;
    connection->start = 0;
    if (left == 0 || connection->websocket->is_closing) {
        block_give(&connection->http->blocks, in);
        connection->in = NULL;
        connection->parsed = 0;
        return;
    }
    memmove(in->room, in->room + connection->parsed, left); /* the begin of a frame, which is shorter than a block */
    in->end = left;
    connection->parsed = 0;
}

void websocket_process(connection *connection)
{
    websocket *of = connection->websocket;
    if (connection->is_broken || connection->in == NULL)
        return;
    if (!of->is_open) { /* no frame may come before the 101 */
        connection->is_blocked = connection->in->end > connection->parsed;
        if (!connection->is_blocked)
            tidy(connection);
        return;
    }
    connection->is_blocked = false;
    of->heard_ns = loop_now_ns(connection->http->loop);
    while (!connection->is_broken && !of->is_closing && read_one(of, connection->in, &connection->parsed))
        ;
    tidy(connection);
}

/* ---- time and ends ---- */

int64_t websocket_due_ns(const exchange *exchange)
{
    const websocket *of = exchange->websocket;
    int64_t ping_ns = of->asked_ns + (int64_t)HTTP_COMMENT_MS * NS_PER_MS;
    if (!of->is_open)
        return INT64_MAX;
    return of->expires_ns < ping_ns ? of->expires_ns : ping_ns;
}

void websocket_ping(http *http, exchange *exchange)
{
    static const uint8_t ping[] = { 0x89, 0 };
    websocket *of = exchange->websocket;
    of->asked_ns = loop_now_ns(http->loop);
    if (of->asked_ns >= of->expires_ns)
        send_close(of, WEBSOCKET_POLICY);
    else if (of->asked_ns - of->heard_ns > (int64_t)SILENCE_MS * NS_PER_MS)
        connection_break(exchange->owner);
    else
        put(exchange, ping, sizeof ping);
}

void websocket_drop(http *http, exchange *exchange)
{
    websocket *left = exchange->websocket;
    (void)http;
    exchange->owner->websocket = NULL;
    exchange->websocket = NULL;
    left->owner = NULL;
    for (uint64_t at = left->first; at != 0 && at <= left->number; at++)
        notice_end(left, at, NOTICE_FAILED);
}

void websocket_replaced(http *http, uint64_t socket)
{
    websocket *of = find(http, socket);
    if (of != NULL && of->is_open)
        send_close(of, WEBSOCKET_POLICY);
}

void websocket_close_token(http *http, const uint8_t hash[TOKEN_HASH])
{
    for (websocket *at = http->websockets; at != NULL; at = at->next)
        if (at->owner != NULL && memcmp(at->token, hash, TOKEN_HASH) == 0)
            connection_break(at->owner->owner);
}

void websocket_leave(connection *connection)
{
    if (connection->websocket->is_open)
        send_close(connection->websocket, WEBSOCKET_GOING_AWAY);
    else
        connection_break(connection);
}

/* Those that have ended, oldest first. False: a ring is full. */
static bool tell_ended(http *http, websocket *of)
{
    for (uint64_t at = of->first; of->untold > 0 && at <= of->number; at++) {
        sent_notice *ended = &of->sent[at % HTTP_WEBSOCKET_NOTICES_MAX];
        notice_answer answer = { .outcome = ended->outcome };
        if (!ended->is_used || !ended->is_ended)
            continue;
        if (!ring_send(&http->config->to_core[ended->core], MESSAGE_NOTICE_ANSWER, 0, ended->id, &answer, sizeof answer))
            return false;
        ended->is_used = false;
        of->untold--;
    }
    while (of->first != 0 && of->first <= of->number && !of->sent[of->first % HTTP_WEBSOCKET_NOTICES_MAX].is_used)
        of->first++;
    return true;
}

/* The other cores have members of the group, whose notices go this way too. What finds no room goes later. */
static void tell_here(http *http, websocket *of)
{
    websocket_here here = { .configuration = of->configuration, .socket = of->id, .since_ns = of->since_ns };
    for (uint32_t core = 0; core < http->config->core_count; core++) {
        if ((of->untold_cores & 1u << core) == 0 ||
            !ring_send(&http->config->to_core[core], MESSAGE_WEBSOCKET_HERE, 0, of->id, &here, sizeof here))
            continue;
        of->untold_cores &= ~(1u << core);
        of->told_cores |= 1u << core;
    }
}

/* Its cores are told that it is gone, last: what it had goes elsewhere then. */
static bool tell_gone(http *http, websocket *of)
{
    websocket_gone gone = { .configuration = of->configuration, .socket = of->id };
    for (uint32_t core = 0; core < http->config->core_count; core++)
        if (of->told_cores & 1u << core && ring_send(&http->config->to_core[core], MESSAGE_WEBSOCKET_GONE, 0, of->id, &gone, sizeof gone))
            of->told_cores &= ~(1u << core);
    return of->told_cores == 0;
}

void websocket_turn(http *http)
{
    websocket **at = &http->websockets;
    while (*at != NULL) {
        websocket *of = *at;
        bool is_all_told = of->untold == 0 || tell_ended(http, of);
        if (of->owner != NULL && of->untold_cores != 0)
            tell_here(http, of);
        if (of->owner != NULL || !is_all_told || !tell_gone(http, of)) {
            at = &of->next;
            continue;
        }
        *at = of->next;
        http->websocket_count--;
        free(of);
    }
}

bool websocket_is_waiting(const http *http)
{
    for (const websocket *at = http->websockets; at != NULL; at = at->next)
        if (at->untold > 0 || at->owner == NULL || at->untold_cores != 0)
            return true;
    return false;
}

void websocket_fini(http *http)
{
    while (http->websockets != NULL) {
        websocket *gone = http->websockets;
        http->websockets = gone->next;
        free(gone);
    }
}
