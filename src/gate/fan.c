/* Fan: requests over all twins, with several cores: each core is asked for its part.
 * Pages are asked for one core after the other until they are full, dead letters
 * and an application's status of all cores at once. (The whole host's status is core 0's.) */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/join.h"
#include "gate/parts.h"

enum {
    PAGE_FULL_BYTES = 192 * 1024, /* as one core's largest answer: then no further core is asked */
    USUAL_LIMIT = 100,            /* of both lists */
};

struct fan {
    uint32_t core, left;          /* pages: the core that is asked, twins still wanted */
    gathered parts[GATE_CORES_MAX];
    gathered page;                /* items so far, with commas between */
    const char *list;             /* what the page calls them */
    uint16_t refusal;             /* status of the core's problem; 0: none */
    uint32_t request_length;
    uint8_t request[HTTP_REQUEST_MAX];
};

/* EXCHANGE_FREE: it is no such request. */
static uint8_t kind_of(const api_request *request)
{
    switch (request->operation) {
    case API_TWIN_LIST: case API_GROUP_MEMBER_LIST: case API_GROUP_TICKET_MEMBERS: return EXCHANGE_PAGE;
    case API_DEAD_LETTERS: return EXCHANGE_LETTERS;
    case API_STATUS: return request->scopes & SCOPE_ADMIN ? EXCHANGE_FREE : EXCHANGE_STATUS;
    default: return EXCHANGE_FREE;
    }
}

bool fan_is_wanted(const http *http, const void *request)
{
    api_request head;
    memcpy(&head, request, sizeof head);
    return http->config->core_count > 1 && kind_of(&head) != EXCHANGE_FREE;
}

void fan_drop(http *http, exchange *exchange)
{
    fan *gone = exchange->fan;
    for (uint32_t i = 0; i < http->config->core_count; i++)
        gathered_clear(&gone->parts[i]);
    gathered_clear(&gone->page);
    free(gone);
    exchange->fan = NULL;
    http->fan_count--;
}

static void answer_json(exchange *exchange, const void *json, size_t length)
{
    answer made = { .status = 200, .content_type = "application/json", .etag = ANSWER_NO_ETAG };
    answer_whole(exchange, &made, json, length);
}

/* What the core said against it is the answer. */
static void answer_refusal(exchange *exchange, uint16_t status, const gathered *problem)
{
    answer made = { .status = status, .content_type = "application/problem+json", .etag = ANSWER_NO_ETAG, .retry_after_s = status == 503 };
    answer_whole(exchange, &made, problem->bytes, problem->length);
}

static void answer_broken(exchange *exchange)
{
    answer_problem(exchange, 500, "a core's answer cannot be read");
}

/* ---- pages ---- */

/* The request with another limit and cursor. */
static void ask_page(http *http, exchange *exchange, slice cursor)
{
    fan *list = exchange->fan;
    uint8_t bytes[HTTP_REQUEST_MAX + 64];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    assert(list->request_length >= sizeof(api_request)); /* written here */
    dro_cursor in = dro_cursor_over(list->request + sizeof(api_request), list->request_length - sizeof(api_request));
    dro_field field;
    dro_builder_bytes(&out, list->request, sizeof(api_request));
    while (dro_field_next(&in, &field))
        if (field.tag != API_FIELD_LIMIT && field.tag != API_FIELD_CURSOR)
            dro_field_put(&out, (uint8_t)field.tag, field.bytes, field.length);
    dro_field_put_u64(&out, API_FIELD_LIMIT, list->left);
    if (cursor.length > 0)
        dro_field_put(&out, API_FIELD_CURSOR, cursor.at, cursor.length);
    dro_field_pad(&out);
    exchange->waiting = 1u << list->core;
    if (!request_send(http, list->core, exchange_id(http, exchange, 0), bytes, (uint32_t)dro_builder_length(&out), false))
        answer_busy(exchange, "the host has too much to do");
}

static void begin_page(http *http, exchange *exchange)
{
    fan *list = exchange->fan;
    dro_cursor in = dro_cursor_over(list->request, list->request_length);
    dro_field field;
    dro_err err = DRO_OK;
    slice text = { 0 }, cursor = { 0 };
    list->left = USUAL_LIMIT;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_LIMIT)
            list->left = (uint32_t)dro_field_u64(&field, &err);
        if (field.tag == API_FIELD_CURSOR)
            text = (slice){ (const char *)field.bytes, field.length };
    }
    if (text.length > 0 && !join_cursor_read(text, http->config->core_count, &list->core, &cursor))
        answer_problem(exchange, 400, "this cursor is not one of ours");
    else
        ask_page(http, exchange, cursor);
}

static bool add_items(fan *list, const join_page *page)
{
    size_t most = PAGE_FULL_BYTES + HTTP_FAN_PART_MAX;
    if (page->count == 0)
        return true;
    if (list->page.length > 0 && !gathered_add(&list->page, ",", 1, most))
        return false;
    return gathered_add(&list->page, page->items.bytes, page->items.length, most);
}

static void answer_page(http *http, exchange *exchange, bool has_more, slice cursor)
{
    fan *list = exchange->fan;
    size_t room = list->page.length + HTTP_CURSOR_MAX + 128;
    uint8_t *bytes = malloc(room);
    if (bytes == NULL) {
        answer_busy(exchange, "no memory for a page now");
        return;
    }
    dro_builder out = dro_builder_over(bytes, room);
    dro_builder_text(&out, "{\"");
    dro_builder_text(&out, list->list);
    dro_builder_text(&out, "\":[");
    dro_builder_bytes(&out, list->page.bytes, list->page.length);
    dro_builder_text(&out, "]");
    if (has_more) {
        dro_builder_text(&out, ",\"cursor\":\"");
        join_cursor_write(&out, http->config->core_count, list->core, cursor);
        dro_builder_text(&out, "\"");
    }
    dro_builder_text(&out, "}");
    if (out.err == DRO_OK)
        answer_json(exchange, bytes, dro_builder_length(&out));
    else
        answer_broken(exchange);
    free(bytes);
}

/* A core's page is whole: on to the next core, unless that is enough. */
static void take_page(http *http, exchange *exchange)
{
    fan *list = exchange->fan;
    gathered part = list->parts[list->core];
    join_page page;
    list->parts[list->core] = (gathered){ 0 };
    if (exchange->status == 0 && list->refusal != 0) {
        answer_refusal(exchange, list->refusal, &part);
    } else if (!join_page_read(list->list, (body_text){ part.bytes, part.length }, &page) || !add_items(list, &page)) {
        answer_broken(exchange);
    } else {
        list->left = page.count < list->left ? list->left - page.count : 0;
        bool is_last = list->core + 1 == http->config->core_count;
        list->core += page.cursor.length == 0;
        if (page.cursor.length > 0)
            answer_page(http, exchange, true, page.cursor);
        else if (is_last || list->left == 0 || list->page.length >= PAGE_FULL_BYTES)
            answer_page(http, exchange, !is_last, (slice){ 0 });
        else
            ask_page(http, exchange, (slice){ 0 });
    }
    gathered_clear(&part);
}

/* ---- dead letters and status ---- */

static void ask_all(http *http, exchange *exchange)
{
    fan *list = exchange->fan;
    dro_builder out = dro_builder_over(list->request, sizeof list->request);
    out.at += list->request_length;
    dro_field_pad(&out);
    if (!request_send_all(http, exchange, list->request, (uint32_t)dro_builder_length(&out)))
        answer_busy(exchange, "the host has too much to do");
}

static uint32_t letters_limit(const fan *list)
{
    dro_cursor in = dro_cursor_over(list->request, list->request_length);
    dro_field field;
    dro_err err = DRO_OK;
    uint32_t limit = USUAL_LIMIT;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_LIMIT)
            limit = (uint32_t)dro_field_u64(&field, &err);
    return limit;
}

static void take_all(http *http, exchange *exchange)
{
    fan *list = exchange->fan;
    body_text parts[GATE_CORES_MAX];
    uint8_t *bytes = malloc(PAGE_FULL_BYTES);
    for (uint32_t i = 0; i < http->config->core_count; i++)
        parts[i] = (body_text){ list->parts[i].bytes, list->parts[i].length };
    dro_builder out = dro_builder_over(bytes, bytes != NULL ? PAGE_FULL_BYTES : 0);
    uint32_t count = http->config->core_count;
    bool is_good = bytes != NULL && (exchange->kind == EXCHANGE_STATUS  ? join_status(parts, count, &out)
                                                                        : join_letters(parts, count, letters_limit(list), &out));
    if (is_good)
        answer_json(exchange, bytes, dro_builder_length(&out));
    else
        answer_broken(exchange);
    free(bytes);
}

/* ---- all of them ---- */

void fan_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    fan *made = http->fan_count < HTTP_FANS_MAX && length <= sizeof made->request - 8 ? calloc(1, sizeof *made) : NULL;
    if (made == NULL) {
        answer_busy(exchange, "too many lists are being made");
        return;
    }
    api_request head;
    memcpy(&head, request, sizeof head);
    memcpy(made->request, request, length);
    made->request_length = length;
    made->list = head.operation == API_TWIN_LIST ? "twins" : "members";
    exchange->fan = made;
    exchange->kind = kind_of(&head);
    http->fan_count++;
    if (exchange->kind == EXCHANGE_PAGE)
        begin_page(http, exchange);
    else
        ask_all(http, exchange);
}

void fan_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body)
{
    if ((exchange->waiting >> core & 1) == 0)
        return;
    if (!gathered_add(&exchange->fan->parts[core], body, reply->body_length, HTTP_FAN_PART_MAX)) {
        answer_broken(exchange);
        return;
    }
    if (reply->content == CONTENT_PROBLEM)
        exchange->fan->refusal = reply->status;
    if (reply->more)
        return;
    exchange->waiting &= ~(1u << core);
    if (exchange->waiting != 0)
        return;
    if (exchange->kind == EXCHANGE_PAGE)
        take_page(http, exchange);
    else
        take_all(http, exchange);
}
