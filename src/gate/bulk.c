/* Bulk: a line in, a line out, in order, with a bounded number in the core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/home.h"
#include "gate/parts.h"
#include "twin/value.h"

enum { LINE_OUT_MAX = 6 * IDENTIFIER_MAX + BULK_PROBLEM_MAX + 256, NS_PER_MS = 1000000 };

typedef struct bulk_entry {
    char id[IDENTIFIER_MAX + 1];
    bool is_answered;
    uint16_t status;
    uint64_t revision; /* ~0: none */
    char *problem;     /* JSON; NULL: none */
} bulk_entry;

struct bulk {
    bulk *next;
    exchange *owner;
    uint32_t line_length;
    bool line_is_long;  /* more than BULK_LINE_MAX came: the rest is skipped */
    bool line_is_ready; /* read, but the ring was full */
    bool is_ended, waits_for_room;
    uint32_t request_length;
    uint64_t begun, written; /* lines; those between are in `entries` */
    bulk_entry entries[BULK_WINDOW];
    uint8_t request[sizeof(api_request) + 16 + IDENTIFIER_MAX]; /* with the group, where it is one's members */
    uint8_t line[BULK_LINE_MAX];
};

bool bulk_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    if (http->bulk_count >= HTTP_BULKS_MAX)
        return false;
    bulk *made = length <= sizeof made->request ? malloc(sizeof *made) : NULL;
    if (made == NULL)
        return false;
    memset(made, 0, offsetof(bulk, line)); /* the line is written before it is read */
    made->owner = exchange;
    made->request_length = length;
    memcpy(made->request, request, length);
    made->next = http->bulks;
    http->bulks = made;
    http->bulk_count++;
    exchange->kind = EXCHANGE_BULK;
    exchange->bulk = made;
    return true;
}

void bulk_drop(http *http, exchange *exchange)
{
    bulk *gone = exchange->bulk;
    bulk **at = &http->bulks;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    http->bulk_count--;
    exchange->bulk = NULL;
    for (uint32_t i = 0; i < BULK_WINDOW; i++)
        free(gone->entries[i].problem);
    dro_wipe(gone->line, gone->line_length);
    free(gone);
}

/* ---- lines out ---- */

static void write_entry(exchange *exchange, bulk_entry *entry)
{
    char bytes[LINE_OUT_MAX], number[48];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_text(&out, "{\"id\":");
    if (entry->id[0] != '\0')
        json_text(&out, entry->id, strlen(entry->id));
    else
        dro_builder_text(&out, "null");
    snprintf(number, sizeof number, ",\"status\":%u", entry->status);
    dro_builder_text(&out, number);
    if (entry->problem != NULL) {
        dro_builder_text(&out, ",\"problem\":");
        dro_builder_text(&out, entry->problem);
    } else if (entry->revision != UINT64_MAX) {
        snprintf(number, sizeof number, ",\"revision\":%llu", (unsigned long long)entry->revision);
        dro_builder_text(&out, number);
    }
    dro_builder_text(&out, "}\n");
    answer_part(exchange, bytes, dro_builder_length(&out));
}

static void begin_answer(exchange *exchange)
{
    answer made = { .status = 200, .content_type = "application/x-ndjson", .etag = ANSWER_NO_ETAG };
    if (exchange->status == 0)
        answer_begin(exchange, &made, false);
}

/* Lines the core forgot must not hold the client for ever. */
static void set_deadline(exchange *exchange)
{
    const bulk *from = exchange->bulk;
    int64_t now = loop_now_ns(exchange->owner->http->loop);
    exchange->deadline_ns = from->written < from->begun ? now + (int64_t)HTTP_ANSWER_MS * NS_PER_MS : 0;
}

/* Writes what is answered and next in order. */
static void write_ready(exchange *exchange)
{
    bulk *from = exchange->bulk;
    while (from->written < from->begun) {
        bulk_entry *entry = &from->entries[from->written % BULK_WINDOW];
        if (!entry->is_answered)
            break;
        begin_answer(exchange);
        write_entry(exchange, entry);
        free(entry->problem);
        entry->problem = NULL;
        from->written++;
    }
    set_deadline(exchange);
    if (exchange->owner->is_blocked)
        connection_resume(exchange->owner);
}

static void keep_problem(bulk_entry *entry, const void *text, size_t length)
{
    entry->problem = length <= BULK_PROBLEM_MAX ? malloc(length + 1) : NULL;
    if (entry->problem == NULL)
        return;
    memcpy(entry->problem, text, length);
    entry->problem[length] = '\0';
}

static void refuse_line(bulk_entry *entry, int status, const char *detail, const char *pointer)
{
    char text[1024];
    dro_builder out = dro_builder_over(text, sizeof text);
    problem_write(&out, status, detail, pointer);
    entry->status = (uint16_t)status;
    entry->is_answered = true;
    keep_problem(entry, text, dro_builder_length(&out));
}

void bulk_on_reply(http *http, exchange *exchange, uint32_t part, const api_reply *reply, const uint8_t *body)
{
    bulk *from = exchange->bulk;
    bulk_entry *entry = part < BULK_WINDOW ? &from->entries[part] : NULL;
    uint64_t age = (part + BULK_WINDOW - from->written % BULK_WINDOW) % BULK_WINDOW;
    (void)http;
    if (entry == NULL || from->written + age >= from->begun || entry->is_answered || reply->more)
        return;
    entry->status = reply->status;
    entry->revision = reply->etag;
    entry->is_answered = true;
    if (reply->status >= 300 && reply->content == CONTENT_PROBLEM)
        keep_problem(entry, body, reply->body_length);
    write_ready(exchange);
}

/* ---- lines in ---- */

/* Another domain's twin is 404 before anything else of its line is judged. */
static bool is_foreign(const http *http, const exchange *exchange, const bulk_entry *entry)
{
    const token *caller = token_table_find(http->tokens, exchange->owner->token, http->config->clock->wall_ms(http->config->clock));
    slice domain = identifier_domain(entry->id);
    return caller == NULL || !token_has_domain(caller, domain.at, domain.length);
}

/* A bulk may last for hours: each line is judged by what its application may now. */
static bool is_allowed(const exchange *exchange)
{
    const token *caller = request_caller(exchange->owner);
    api_request head;
    memcpy(&head, exchange->bulk->request, sizeof head);
    head.scopes &= caller == NULL ? 0 : caller->scopes;
    memcpy(exchange->bulk->request, &head, sizeof head);
    return (head.scopes & (SCOPE_WRITE | SCOPE_ADMIN)) != 0;
}

/* The line's fields behind those of the request. */
static bool read_line(http *http, const bulk *from, dro_builder *out, bulk_entry *entry, body_fault *fault)
{
    body_text line = { from->line, from->line_length };
    api_request head;
    bool is_member;
    memcpy(&head, from->request, sizeof head);
    if (head.operation == API_TWIN_PUT)
        return body_read_twin_line(http->arena, line, out, entry->id, fault);
    if (!body_read_member_line(http->arena, line, out, entry->id, &is_member, fault))
        return false;
    head.operation = is_member ? API_GROUP_MEMBER_PUT : API_GROUP_MEMBER_DELETE;
    memcpy(out->start, &head, sizeof head);
    return true;
}

/* False: the ring is full and the line stays for another try. */
static bool send_line(http *http, exchange *exchange, bulk_entry *entry)
{
    bulk *from = exchange->bulk;
    dro_builder out = dro_builder_over(http->scratch, sizeof http->scratch);
    body_fault fault;
    bool is_sent = true, may = is_allowed(exchange);
    dro_builder_bytes(&out, from->request, from->request_length);
    if (!may) {
        refuse_line(entry, 403, "the application may do this no longer", NULL);
    } else if (!read_line(http, from, &out, entry, &fault)) {
        if (entry->id[0] != '\0' && is_foreign(http, exchange, entry))
            refuse_line(entry, 404, "no twin is called that", NULL);
        else
            refuse_line(entry, fault.status, fault.detail, fault.status == 422 ? fault.pointer : NULL);
    } else {
        dro_field_pad(&out);
        uint32_t length = (uint32_t)dro_builder_length(&out);
        uint64_t id = exchange_id(http, exchange, (uint32_t)(from->begun % BULK_WINDOW));
        uint32_t core = home_of(http->config, DIRECTORY_ID, entry->id, strlen(entry->id));
        if (length > ring_body_max(&http->config->to_core[core]))
            refuse_line(entry, 413, "the line is too long", NULL);
        else
            is_sent = request_send(http, core, id, out.start, length, true);
    }
    dro_wipe(http->scratch, dro_builder_length(&out));
    return is_sent;
}

/* A line is whole. False: it has to wait for a place in the window or the ring. */
static bool begin_line(http *http, exchange *exchange)
{
    bulk *from = exchange->bulk;
    from->line_is_ready = true;
    if (from->begun - from->written >= BULK_WINDOW || exchange->owner->out.bytes >= HTTP_BULK_OUT_HIGH)
        return false;
    bulk_entry *entry = &from->entries[from->begun % BULK_WINDOW];
    *entry = (bulk_entry){ .revision = UINT64_MAX };
    if (from->line_is_long) {
        refuse_line(entry, 413, "a line may have at most 65536 bytes", NULL);
    } else if (!send_line(http, exchange, entry)) {
        from->waits_for_room = true;
        return false;
    }
    from->begun++;
    http->counts.bulk_lines++;
    dro_wipe(from->line, from->line_length);
    from->line_length = 0;
    from->line_is_long = from->line_is_ready = from->waits_for_room = false;
    if (entry->is_answered)
        write_ready(exchange);
    else if (exchange->deadline_ns == 0)
        set_deadline(exchange);
    return true;
}

static void add_to_line(bulk *to, const uint8_t *bytes, size_t length)
{
    size_t room = sizeof to->line - to->line_length;
    if (length > room) {
        to->line_is_long = true;
        return;
    }
    memcpy(to->line + to->line_length, bytes, length);
    to->line_length += (uint32_t)length;
}

size_t bulk_take(http *http, exchange *exchange, const void *bytes, size_t length)
{
    bulk *to = exchange->bulk;
    const uint8_t *at = bytes, *end = at + length;
    if (to->line_is_ready && !begin_line(http, exchange))
        return 0;
    while (at < end) {
        const uint8_t *mark = memchr(at, '\n', (size_t)(end - at));
        if (!to->line_is_long)
            add_to_line(to, at, (size_t)((mark != NULL ? mark : end) - at));
        at = mark != NULL ? mark + 1 : end;
        if (mark != NULL && !begin_line(http, exchange))
            break;
    }
    return (size_t)(at - (const uint8_t *)bytes);
}

bool bulk_end(http *http, exchange *exchange)
{
    bulk *ended = exchange->bulk;
    if (!ended->is_ended && (ended->line_length > 0 || ended->line_is_long))
        ended->line_is_ready = true; /* the last line may lack its end */
    ended->is_ended = true;
    if (ended->line_is_ready && !begin_line(http, exchange))
        return false;
    if (ended->written < ended->begun)
        return false;
    begin_answer(exchange);
    answer_end(exchange);
    return true;
}

/* A full ring makes no sound when it empties: look each turn. */
void bulk_turn(http *http)
{
    for (bulk *at = http->bulks; at != NULL; at = at->next)
        if (at->waits_for_room && at->owner->owner->is_blocked)
            connection_resume(at->owner->owner);
}

bool bulk_is_waiting(const http *http)
{
    for (const bulk *at = http->bulks; at != NULL; at = at->next)
        if (at->waits_for_room)
            return true;
    return false;
}
