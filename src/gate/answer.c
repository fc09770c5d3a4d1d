#include "gate/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "twin/value.h"

enum {
    HEAD_BYTES = 2048,
    LOCATION_MAX = 1024,
    PROBLEM_BYTES = 2048,
    DETAIL_BYTES = 256,
};

static const struct {
    int status;
    const char *text;
} statuses[] = {
    { 200, "200 OK" },
    { 201, "201 Created" },
    { 202, "202 Accepted" },
    { 204, "204 No Content" },
    { 304, "304 Not Modified" },
    { 308, "308 Permanent Redirect" },
    { 400, "400 Bad Request" },
    { 401, "401 Unauthorized" },
    { 403, "403 Forbidden" },
    { 404, "404 Not Found" },
    { 405, "405 Method Not Allowed" },
    { 406, "406 Not Acceptable" },
    { 408, "408 Request Timeout" },
    { 409, "409 Conflict" },
    { 410, "410 Gone" },
    { 411, "411 Length Required" },
    { 412, "412 Precondition Failed" },
    { 413, "413 Content Too Large" },
    { 414, "414 URI Too Long" },
    { 415, "415 Unsupported Media Type" },
    { 417, "417 Expectation Failed" },
    { 422, "422 Unprocessable Content" },
    { 426, "426 Upgrade Required" },
    { 428, "428 Precondition Required" },
    { 429, "429 Too Many Requests" },
    { 431, "431 Request Header Fields Too Large" },
    { 500, "500 Internal Server Error" },
    { 501, "501 Not Implemented" },
    { 502, "502 Bad Gateway" },
    { 503, "503 Service Unavailable" },
    { 504, "504 Gateway Timeout" },
    { 505, "505 HTTP Version Not Supported" },
    { 507, "507 Insufficient Storage" },
};

const char *status_text(int status)
{
    static const char *const classes[] = { "200 OK",          "200 OK",
                                           "200 OK",          "300 Multiple Choices",
                                           "400 Bad Request", "500 Internal Server Error" };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].text;
    return classes[status / 100 < 6 && status > 0 ? status / 100 : 5];
}

/* IMF-fixdate (RFC 9110 5.6.7), made once a second. */
static const char *date_now(http *http)
{
    int64_t now_s = http->config->clock->wall_ms(http->config->clock) / 1000;
    if (now_s != http->date_s || http->date[0] == '\0') {
        static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
        static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        time_t when = (time_t)now_s;
        struct tm utc;
        if (gmtime_r(&when, &utc) == NULL)
            utc = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
        char text[128]; /* as large as any int in each place could need */
        snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[utc.tm_wday % 7], utc.tm_mday,
                 months[utc.tm_mon % 12], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
        memcpy(http->date, text, sizeof http->date - 1);
        http->date_s = now_s;
    }
    return http->date;
}

static void put_number(dro_builder *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    dro_builder_bytes(out, digits + at, sizeof digits - at);
}

static void put_line(dro_builder *out, const char *name, const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return; /* nobody adds a header line through a value */
    dro_builder_text(out, "\r\n");
    dro_builder_text(out, name);
    dro_builder_text(out, ": ");
    dro_builder_bytes(out, value, length);
}

/* Bytes into the exchange's place. */
static void put_bytes(exchange *exchange, const void *bytes, size_t length, bool is_lasting)
{
    connection *owner = exchange->owner;
    block_chain *out = owner->first == exchange ? &owner->out : &exchange->out;
    if (owner->is_broken)
        return;
    bool is_put = out->bytes + length <= HTTP_OUT_MAX && (is_lasting ? block_chain_append_lasting(out, bytes, (uint32_t)length)
                                                                     : block_chain_append(&owner->http->blocks, out, bytes, length));
    if (!is_put) {
        owner->http->counts.refused[REFUSED_SLOW]++;
        connection_break(owner);
        return;
    }
    connection_mark(owner);
}

static void put_out(exchange *exchange, const void *bytes, size_t length)
{
    put_bytes(exchange, bytes, length, false);
}

static void put_fields(dro_builder *out, const answer *answer)
{
    if (answer->content_type != NULL)
        put_line(out, "Content-Type", answer->content_type, strlen(answer->content_type));
    if (answer->etag != ANSWER_NO_ETAG) {
        dro_builder_text(out, "\r\nETag: \"");
        put_number(out, answer->etag);
        dro_builder_text(out, "\"");
    }
    if (answer->location_length > 0 && answer->location_length <= LOCATION_MAX)
        put_line(out, "Location", answer->location, answer->location_length);
    if (answer->retry_after_s > 0) {
        dro_builder_text(out, "\r\nRetry-After: ");
        put_number(out, answer->retry_after_s);
    }
    if (answer->allow != NULL)
        put_line(out, "Allow", answer->allow, strlen(answer->allow));
    if (answer->challenge != NULL)
        put_line(out, "WWW-Authenticate", answer->challenge, strlen(answer->challenge));
    else if (answer->status == 401)
        put_line(out, "WWW-Authenticate", "Bearer realm=\"dromio\"", 21);
    if (!answer->is_stored)
        dro_builder_text(out, "\r\nCache-Control: no-store");
    if (answer->lines != NULL)
        dro_builder_text(out, answer->lines);
}

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED };

static void put_head(exchange *exchange, const answer *answer, enum framing framing, uint64_t length)
{
    char bytes[HEAD_BYTES];
    http *http = exchange->owner->http;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    exchange->status = (uint16_t)answer->status;
    if (http->is_stopping && exchange == exchange->owner->last)
        exchange->keeps_alive = false;
    dro_builder_text(&out, "HTTP/1.1 ");
    dro_builder_text(&out, status_text(answer->status));
    dro_builder_text(&out, "\r\nDate: ");
    dro_builder_text(&out, date_now(http));
    put_fields(&out, answer);
    if (framing == FRAMING_LENGTH) {
        dro_builder_text(&out, "\r\nContent-Length: ");
        put_number(&out, length);
    } else if (framing == FRAMING_CHUNKED) {
        dro_builder_text(&out, "\r\nTransfer-Encoding: chunked");
    }
    if (!exchange->keeps_alive)
        dro_builder_text(&out, "\r\nConnection: close");
    else if (exchange->is_old)
        dro_builder_text(&out, "\r\nConnection: keep-alive");
    dro_builder_text(&out, "\r\n\r\n");
    put_out(exchange, bytes, dro_builder_length(&out));
    uint32_t row = exchange->route < HTTP_ROUTES_MAX ? exchange->route : HTTP_ROUTES_MAX;
    http->counts.answers[row][answer->status / 100 < 6 ? answer->status / 100 : 5]++;
}

void answer_whole(exchange *exchange, const answer *answer, const void *body, size_t length)
{
    bool has_none = answer->status == 204 || answer->status == 304;
    put_head(exchange, answer, has_none ? FRAMING_NONE : FRAMING_LENGTH, length);
    if (!has_none && !exchange->is_head)
        put_bytes(exchange, body, length, answer->is_lasting);
    exchange_end(exchange);
}

void answer_begin(exchange *exchange, const answer *answer, bool is_stream)
{
    if (is_stream || exchange->is_old)
        exchange->keeps_alive = false; /* the end of the connection is the end of the body */
    else
        exchange->is_chunked = true;
    put_head(exchange, answer, exchange->is_chunked ? FRAMING_CHUNKED : FRAMING_NONE, 0);
}

void answer_part(exchange *exchange, const void *bytes, size_t length)
{
    if (exchange->is_head || length == 0)
        return;
    if (exchange->is_chunked) {
        char size[24];
        int count = snprintf(size, sizeof size, "%zx\r\n", length);
        put_out(exchange, size, (size_t)count);
    }
    put_out(exchange, bytes, length);
    if (exchange->is_chunked)
        put_out(exchange, "\r\n", 2);
}

void answer_end(exchange *exchange)
{
    if (exchange->is_chunked && !exchange->is_head)
        put_out(exchange, "0\r\n\r\n", 5);
    exchange_end(exchange);
}

/* `pointer`: of what is wrong in the body; what RFC 9457 calls so for 422, and TS 29.122's invalidParams for 400. */
void problem_write(dro_builder *out, int status, const char *detail, const char *pointer)
{
    dro_builder_text(out, "{\"type\":\"about:blank\",\"title\":");
    const char *title = strchr(status_text(status), ' ') + 1;
    json_text(out, title, strlen(title));
    dro_builder_text(out, ",\"status\":");
    put_number(out, (uint64_t)status);
    if (detail[0] != '\0') {
        dro_builder_text(out, ",\"detail\":");
        json_text(out, detail, strlen(detail));
    }
    if (pointer != NULL && status == 400) {
        dro_builder_text(out, ",\"invalidParams\":[{\"param\":");
        json_text(out, pointer, strlen(pointer));
        if (detail[0] != '\0') {
            dro_builder_text(out, ",\"reason\":");
            json_text(out, detail, strlen(detail));
        }
        dro_builder_text(out, "}]");
    } else if (pointer != NULL) {
        dro_builder_text(out, ",\"pointer\":");
        json_text(out, pointer, strlen(pointer));
    }
    dro_builder_text(out, "}");
}

static void send_problem(exchange *exchange, const answer *given, const char *detail, const char *pointer)
{
    char bytes[PROBLEM_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    answer made = *given;
    made.content_type = "application/problem+json";
    made.etag = ANSWER_NO_ETAG;
    problem_write(&out, made.status, detail, pointer);
    if (exchange->status != 0) {
        connection_break(exchange->owner); /* half an answer is out: only its end can tell */
        return;
    }
    answer_whole(exchange, &made, bytes, dro_builder_length(&out));
}

void answer_problem(exchange *exchange, int status, const char *format, ...)
{
    char detail[DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    send_problem(exchange, &(answer){ .status = status }, detail, NULL);
}

void answer_too_many(exchange *exchange, int64_t wait_ns, const char *detail)
{
    exchange->owner->http->counts.refused[REFUSED_RATE]++;
    send_problem(exchange, &(answer){ .status = 429, .retry_after_s = (uint32_t)((wait_ns + 999999999) / 1000000000) }, detail, NULL);
}

void answer_challenge(exchange *exchange, int status, const char *challenge, const char *detail)
{
    send_problem(exchange, &(answer){ .status = status, .challenge = challenge }, detail, NULL);
}

void answer_fault(exchange *exchange, const body_fault *fault)
{
    send_problem(exchange, &(answer){ .status = fault->status }, fault->detail,
                 fault->status == 422 || fault->pointer[0] != '\0' ? fault->pointer : NULL);
}

void answer_not_allowed(exchange *exchange, const char *allow)
{
    send_problem(exchange, &(answer){ .status = 405, .allow = allow }, "this path does not take that method", NULL);
}

void answer_busy(exchange *exchange, const char *detail)
{
    exchange->owner->http->counts.refused[REFUSED_BUSY]++;
    send_problem(exchange, &(answer){ .status = 503, .retry_after_s = 1 }, detail, NULL);
}
