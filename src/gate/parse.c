#include "gate/parse.h"

#include <string.h>
#include <strings.h>

#include "base/wipe.h"
#include "gate/websocket.h"

static const struct {
    const char *name;
    uint8_t length;
} field_names[FIELDS] = {
    [FIELD_AUTHORIZATION] = { "authorization", 13 },
    [FIELD_HOST] = { "host", 4 },
    [FIELD_CONTENT_TYPE] = { "content-type", 12 },
    [FIELD_CONTENT_LENGTH] = { "content-length", 14 },
    [FIELD_TRANSFER_ENCODING] = { "transfer-encoding", 17 },
    [FIELD_EXPECT] = { "expect", 6 },
    [FIELD_IF_MATCH] = { "if-match", 8 },
    [FIELD_IF_NONE_MATCH] = { "if-none-match", 13 },
    [FIELD_IDEMPOTENCY_KEY] = { "idempotency-key", 15 },
    [FIELD_LAST_EVENT_ID] = { "last-event-id", 13 },
    [FIELD_UPGRADE] = { "upgrade", 7 },
    [FIELD_WEBSOCKET_KEY] = { "sec-websocket-key", 17 },
    [FIELD_WEBSOCKET_VERSION] = { "sec-websocket-version", 21 },
    [FIELD_WEBSOCKET_PROTOCOL] = { "sec-websocket-protocol", 22 },
};

/* ---- callbacks ---- */

static int fail(connection *connection, uint16_t status)
{
    connection->refusal = status; /* llhttp calls no more after this */
    return HPE_USER;
}

/* A piece of a span; the pieces lie one behind the other, or a line was folded
 * (RFC 9112 5.2), which nobody may send any more. */
static int add_piece(connection *connection, span *span, const char *at, size_t length)
{
    uint32_t offset = (uint32_t)((const uint8_t *)at - connection->in->bytes) - connection->start;
    if (span->length == 0)
        span->offset = offset;
    else if (span->offset + span->length != offset)
        return fail(connection, 400);
    span->length += (uint32_t)length;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    connection *home = parser->data;
    int err = add_piece(home, &home->head.target, at, length);
    return home->head.target.length <= HTTP_TARGET_MAX ? err : fail(home, 414);
}

static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    connection *home = parser->data;
    head *head = &home->head;
    if (head->is_complete) {
        home->trailer_bytes += (uint32_t)length;
        return home->trailer_bytes <= HTTP_TRAILER_MAX ? 0 : fail(home, 431);
    }
    if (head->in_value || head->count == 0) {
        head->in_value = false;
        head->name.length = head->value.length = 0;
        if (++head->count > HTTP_HEADERS_MAX)
            return fail(home, 431);
    }
    return add_piece(home, &head->name, at, length);
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    connection *home = parser->data;
    if (home->head.is_complete) {
        home->trailer_bytes += (uint32_t)length;
        return home->trailer_bytes <= HTTP_TRAILER_MAX ? 0 : fail(home, 431);
    }
    return add_piece(home, &home->head.value, at, length);
}

/* Keeps those of interest; one that says twice what may be said once is refused:
 * the next reader might take the other. */
static int on_value_complete(llhttp_t *parser)
{
    connection *home = parser->data;
    head *head = &home->head;
    if (head->is_complete)
        return 0;
    head->in_value = true;
    slice name = connection_text(home, head->name);
    while (head->value.length > 0) {
        char last = connection_text(home, head->value).at[head->value.length - 1];
        if (last != ' ' && last != '\t')
            break;
        head->value.length--;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        if (name.length != field_names[i].length || strncasecmp(name.at, field_names[i].name, name.length) != 0)
            continue;
        if (head->present & 1u << i && (i == FIELD_UPGRADE || i == FIELD_WEBSOCKET_PROTOCOL))
            return 0; /* lists may come in several lines (RFC 6455 11.3.4); the first is looked at */
        if (head->present & 1u << i)
            return fail(home, 400);
        head->present |= 1u << i;
        head->fields[i] = head->value;
    }
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    connection *home = parser->data;
    home->head.is_complete = true;
    home->pending = PENDING_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    connection *home = parser->data;
    if (length == 0) /* llhttp ends a call that brought no bytes so */
        return 0;
    home->body.offset = (uint32_t)((const uint8_t *)at - home->in->bytes);
    home->body.length = (uint32_t)length;
    home->pending = PENDING_BODY;
    return HPE_PAUSED;
}

/* Nobody uses chunk extensions, and their bytes are bounded by nothing else. */
static int on_chunk_extension(llhttp_t *parser, const char *at, size_t length)
{
    (void)at;
    (void)length;
    return fail(parser->data, 400);
}

static int on_message_complete(llhttp_t *parser)
{
    connection *home = parser->data;
    home->pending = PENDING_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

void parse_init(connection *connection)
{
    llhttp_init(&connection->parser, HTTP_REQUEST, &settings);
    connection->parser.data = connection;
}

/* ---- outside the parser ---- */

static bool is_method_name(const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && ((bytes[at] >= 'A' && bytes[at] <= 'Z') || bytes[at] == '-'))
        at++;
    return at > 0 && at < length && bytes[at] == ' ';
}

static void refuse_error(connection *connection, llhttp_errno_t err)
{
    slice all = { (const char *)connection->in->bytes + connection->start, connection->in->end - connection->start };
    if (connection->refusal == 414)
        request_refuse(connection, 414, "the target is too long");
    else if (connection->refusal == 431)
        request_refuse(connection, 431, "the header is too large");
    else if (connection->refusal != 0)
        request_refuse(connection, 400, "not a request of HTTP/1.1");
    else if (err == HPE_PAUSED_H2_UPGRADE || err == HPE_INVALID_VERSION)
        request_refuse(connection, 505, "HTTP/1.1 is spoken here");
    else if (err == HPE_INVALID_METHOD && is_method_name(all.at, all.length))
        request_refuse(connection, 501, "no such method is known here");
    else
        request_refuse(connection, 400, llhttp_get_error_reason(&connection->parser));
}

/* A request is over: the bytes of the next one are another head's. */
static void next_request(connection *connection)
{
    dro_wipe(connection->in->room + connection->start, connection->parsed - connection->start);
    connection->start = connection->parsed;
    connection->head = (head){ 0 };
    connection->trailer_bytes = 0;
    connection->phase = PHASE_IDLE;
    connection->phase_ns = loop_now_ns(connection->http->loop);
}

/* False: not now. */
static bool handle_pending(connection *connection)
{
    switch (connection->pending) {
    case PENDING_HEAD:
        connection->is_upgrade = connection->parser.upgrade != 0;
        connection->parser.upgrade = 0; /* an Upgrade that is not followed is ignored (RFC 9110 7.8) */
        if (!request_begin(connection))
            return false;
        connection->phase = PHASE_BODY;
        break;
    case PENDING_BODY:
        if (!request_body(connection))
            return false;
        break;
    default: /* PENDING_END */
        request_end(connection);
        if (connection->is_blocked)
            return false;
        next_request(connection);
        break;
    }
    connection->pending = PENDING_NONE;
    return true;
}

static bool parse_some(connection *connection)
{
    const char *at = (const char *)connection->in->bytes + connection->parsed;
    size_t length = connection->in->end - connection->parsed;
    if (length == 0 && !connection->is_parser_paused)
        return false;
    connection->is_parser_paused = false;
    llhttp_errno_t err = llhttp_execute(&connection->parser, at, length);
    if (err == HPE_OK) {
        connection->parsed = connection->in->end;
        return false;
    }
    connection->parsed += (uint32_t)(llhttp_get_error_pos(&connection->parser) - at);
    if (err != HPE_PAUSED) {
        refuse_error(connection, err);
        return false;
    }
    llhttp_resume(&connection->parser);
    connection->is_parser_paused = true;
    return true;
}

/* Gives the buffer back or makes room at its end. */
static void tidy(connection *connection)
{
    block *in = connection->in;
    bool is_partial = connection->phase != PHASE_BODY && connection->parsed > connection->start;
    if (connection->is_blocked)
        return;
    if (!connection->is_reading || (!is_partial && connection->parsed == in->end)) {
        block_give(&connection->http->blocks, in);
        connection->in = NULL;
        connection->start = connection->parsed = 0;
        return;
    }
    if (connection->phase == PHASE_IDLE) {
        connection->phase = PHASE_HEAD;
        connection->phase_ns = loop_now_ns(connection->http->loop);
    }
    if (in->end - connection->start <= HTTP_BLOCK_SMALL) {
        if (in->capacity > HTTP_BLOCK_SMALL)
            connection_resize(connection, BLOCK_SMALL); /* where there is none it waits where it is */
        return;
    }
    if (in->end < HTTP_BLOCK_BYTES)
        return;
    if (connection->start == 0) {
        bool in_target = connection->head.count == 0;
        request_refuse(connection, in_target ? 414 : 431,
                       in_target ? "the target is too long" : "the header is too large");
        return;
    }
    uint32_t length = in->end - connection->start;
    memmove(in->room, in->room + connection->start, length);
    dro_wipe(in->room + length, in->end - length);
    in->end = length;
    connection->parsed -= connection->start;
    connection->start = 0;
}

void connection_process(connection *connection)
{
    if (connection->is_broken || connection->in == NULL)
        return;
    if (connection->websocket != NULL) {
        websocket_process(connection);
        return;
    }
    connection->is_blocked = false;
    do {
        if (connection->pending != PENDING_NONE && !handle_pending(connection)) {
            connection->is_blocked = true;
            break;
        }
    } while (connection->is_reading && connection->websocket == NULL && parse_some(connection));
    if (connection->is_broken || connection->in == NULL)
        return;
    if (connection->websocket != NULL) { /* it has just become one */
        websocket_process(connection);
        return;
    }
    tidy(connection);
}
