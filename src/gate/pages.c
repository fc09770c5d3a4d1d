/* Pages: a list that may be longer than any buffer, as one answer: the items of core after core, asked for
 * page by page as fast as the client takes them. A page is items with commas between; the reply's etag is
 * where the next one begins, ~0 behind the last. */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/answer.h"
#include "gate/parts.h"

enum { NS_PER_MS = 1000000 };

struct pages {
    pages *next;
    exchange *owner;
    uint32_t core;
    uint64_t after;             /* where the next page begins */
    bool is_due, has_items;     /* due: a page is wanted and not asked for yet */
    bool is_in_page;            /* its first part was here, not its last */
    uint32_t request_length;
    uint8_t request[HTTP_REQUEST_MAX];
};

static bool ask(http *http, pages *of)
{
    uint8_t bytes[HTTP_REQUEST_MAX + 32];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, of->request, of->request_length);
    dro_field_put_u64(&out, API_FIELD_AFTER, of->after);
    dro_field_pad(&out);
    of->owner->waiting = 1u << of->core;
    if (!request_send(http, of->core, exchange_id(http, of->owner, 0), bytes, (uint32_t)dro_builder_length(&out), false))
        return false;
    of->is_due = false;
    of->owner->deadline_ns = loop_now_ns(http->loop) + (int64_t)HTTP_ANSWER_MS * NS_PER_MS;
    return true;
}

bool pages_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    pages *made = http->fan_count < HTTP_FANS_MAX && length <= HTTP_REQUEST_MAX ? calloc(1, sizeof *made) : NULL;
    if (made == NULL)
        return false;
    memcpy(made->request, request, length);
    made->request_length = length;
    made->owner = exchange;
    made->is_due = true;
    made->next = http->pages;
    http->pages = made;
    http->fan_count++;
    exchange->kind = EXCHANGE_PAGES;
    exchange->pages = made;
    return true;
}

void pages_drop(http *http, exchange *exchange)
{
    pages **at = &http->pages, *gone = exchange->pages;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    http->fan_count--;
    free(gone);
    exchange->pages = NULL;
}

static void finish(exchange *exchange)
{
    answer_part(exchange, "]", 1);
    answer_end(exchange);
}

void pages_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body)
{
    pages *to = exchange->pages;
    answer made = { .status = 200, .content_type = "application/json", .etag = ANSWER_NO_ETAG };
    if (core != to->core || to->is_due)
        return;
    if (exchange->status == 0) {
        answer_begin(exchange, &made, false);
        answer_part(exchange, "[", 1);
    }
    if (!to->is_in_page && reply->body_length > 0 && to->has_items)
        answer_part(exchange, ",", 1);
    answer_part(exchange, body, reply->body_length);
    to->has_items |= reply->body_length > 0;
    to->is_in_page = reply->more != 0;
    if (reply->more)
        return;
    exchange->deadline_ns = 0;
    bool is_last_page = reply->etag == UINT64_MAX;
    to->after = is_last_page ? 0 : reply->etag;
    to->core += is_last_page;
    if (to->core == http->config->core_count)
        finish(exchange);
    else
        to->is_due = true;
}

/* A client that does not read is HTTP_WRITE_MS's business. */
static bool may_ask(const pages *of)
{
    const connection *client = of->owner->owner;
    return of->is_due && !of->owner->is_answered && !client->is_broken &&
           (of->owner->status == 0 || (client->first == of->owner && client->out.bytes < HTTP_OUT_HIGH));
}

void pages_turn(http *http)
{
    for (pages *at = http->pages; at != NULL; at = at->next)
        if (may_ask(at) && !ask(http, at))
            return;
}

bool pages_are_waiting(const http *http)
{
    for (const pages *at = http->pages; at != NULL; at = at->next)
        if (may_ask(at))
            return true;
    return false;
}
