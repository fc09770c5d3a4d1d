/* Query: first the core says that all it answered is visible, then the desk is
 * asked, with the domains the caller may see. */
#include <string.h>

#include "base/wipe.h"
#include "gate/answer.h"
#include "gate/parts.h"

bool query_begin(http *http, exchange *exchange, const token *caller)
{
    query_request request = { .all_domains = (caller->scopes & SCOPE_ADMIN) != 0,
                              .domains_length = caller->domains_length };
    gathered kept = { 0 };
    if (http->query_count >= HTTP_QUERIES_MAX)
        return false;
    if (!gathered_add(&kept, &request, sizeof request, sizeof request) ||
        !gathered_add(&kept, caller->domains, caller->domains_length, sizeof request + TOKEN_DOMAINS_MAX)) {
        gathered_clear(&kept);
        return false;
    }
    http->query_count++;
    exchange->kind = EXCHANGE_BARRIER;
    exchange->gathered = kept;
    return true;
}

void query_ask(http *http, exchange *exchange, const void *request, uint32_t length, const void *sql, size_t sql_length)
{
    query_request head;
    if (!gathered_add(&exchange->gathered, sql, sql_length, sizeof head + TOKEN_DOMAINS_MAX + HTTP_SQL_MAX + 1)) {
        answer_busy(exchange, "no memory for a query now");
        return;
    }
    memcpy(&head, exchange->gathered.bytes, sizeof head);
    head.sql_length = (uint32_t)sql_length;
    memcpy(exchange->gathered.bytes, &head, sizeof head);
    if (!request_send_all(http, exchange, request, length))
        answer_busy(exchange, "the host has too much to do");
}

void query_on_barrier(http *http, exchange *exchange)
{
    ring_writer *desk = http->config->to_desk;
    gathered *kept = &exchange->gathered;
    exchange->kind = EXCHANGE_QUERY;
    if (desk == NULL || kept->length > ring_body_max(desk) ||
        !ring_send(desk, MESSAGE_QUERY, RING_WIPE, exchange_id(http, exchange, 0), kept->bytes, kept->length))
        answer_busy(exchange, "the desk has too many queries");
    else
        gathered_clear(kept);
}
