#include "gate/diameter_pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"
#include "gate/diameter_overload.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum { NONE = UINT32_MAX, INDEX_BITS = 14, INDEX_MASK = PENDING_REQUESTS_MAX - 1 };
_Static_assert(1 << INDEX_BITS == PENDING_REQUESTS_MAX, "an index is the low bits of a Hop-by-Hop id");

struct pending_table {
    uint32_t incoming_free, outgoing_free;   /* chains of used-before entries */
    uint32_t incoming_most, outgoing_most;   /* entries ever used: the rest is untouched memory */
    uint32_t incoming_count, outgoing_count;
    pending_incoming incoming[PENDING_REQUESTS_MAX];
    pending_outgoing outgoing[PENDING_REQUESTS_MAX];
};

pending_table *pending_new(void)
{
    pending_table *table = calloc(1, sizeof *table);
    if (table != NULL)
        table->incoming_free = table->outgoing_free = NONE;
    return table;
}

void pending_free(pending_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->incoming_most; i++)
        if (table->incoming[i].command != NULL)
            pending_drop_incoming(table, &table->incoming[i]);
    free(table);
}

/* Session-Id with DRMP, and Proxy-Info, as they will be written. */
static void write_echo(pending_incoming *entry, const diameter_message *request, dro_builder *out)
{
    const diameter_avp *session = diameter_find(request, AVP_SESSION_ID);
    const diameter_avp *proxy = diameter_find(request, AVP_PROXY_INFO);
    const diameter_avp *priority = overload_priority_avp(request);
    if (session != NULL)
        diameter_put_copy(out, session);
    if (priority != NULL)
        diameter_put_copy(out, priority);
    entry->session_length = (uint16_t)dro_builder_length(out);
    for (; proxy != NULL; proxy = diameter_find_next(request, proxy))
        diameter_put_copy(out, proxy);
    entry->echo_length = (uint16_t)dro_builder_length(out);
}

static dro_err keep_echo(pending_incoming *entry, const diameter_message *request)
{
    entry->more = NULL;
    dro_builder out = dro_builder_over(entry->usual, sizeof entry->usual);
    write_echo(entry, request, &out);
    if (out.err == DRO_OK)
        return DRO_OK;
    entry->more = malloc(ECHO_MAX);
    if (entry->more == NULL)
        return DRO_NOMEM;
    out = dro_builder_over(entry->more, ECHO_MAX);
    write_echo(entry, request, &out);
    if (out.err == DRO_OK)
        return DRO_OK;
    free(entry->more);
    entry->more = NULL;
    return out.err;
}

dro_err pending_put_incoming(pending_table *table, const diameter_message *request, const diameter_command *command,
                             uint64_t *id, pending_incoming **out)
{
    uint32_t at = table->incoming_free != NONE ? table->incoming_free : table->incoming_most;
    if (at == PENDING_REQUESTS_MAX)
        return DRO_LIMIT;
    pending_incoming *entry = &table->incoming[at];
    dro_err err = keep_echo(entry, request);
    if (err != DRO_OK)
        return err;
    if (at == table->incoming_free)
        table->incoming_free = entry->next_free;
    else
        table->incoming_most++;
    table->incoming_count++;
    entry->generation++;
    entry->cores_left = 1;
    entry->is_patient = false;
    entry->hears_overload = overload_is_heard(request);
    entry->said = (network_answer){ 0 };
    entry->reports = NULL;
    entry->command = command;
    entry->flags = request->header.flags;
    entry->hop_by_hop = request->header.hop_by_hop;
    entry->end_to_end = request->header.end_to_end;
    *id = (uint64_t)entry->generation << 32 | at;
    *out = entry;
    return DRO_OK;
}

pending_incoming *pending_find_incoming(pending_table *table, uint64_t id)
{
    uint32_t at = (uint32_t)id;
    if (at >= table->incoming_most)
        return NULL;
    pending_incoming *entry = &table->incoming[at];
    return entry->command != NULL && entry->generation == (uint32_t)(id >> 32) ? entry : NULL;
}

const uint8_t *pending_echo(const pending_incoming *entry)
{
    return entry->more != NULL ? entry->more : entry->usual;
}

void pending_drop_incoming(pending_table *table, pending_incoming *entry)
{
    assert(entry->command != NULL);
    dro_wipe(entry->more != NULL ? entry->more : entry->usual, entry->echo_length);
    free(entry->more);
    free(entry->reports);
    entry->more = NULL;
    entry->reports = NULL;
    entry->command = NULL;
    entry->next_free = table->incoming_free;
    table->incoming_free = (uint32_t)(entry - table->incoming);
    table->incoming_count--;
}

pending_outgoing *pending_put_outgoing(pending_table *table)
{
    uint32_t at = table->outgoing_free != NONE ? table->outgoing_free : table->outgoing_most;
    if (at == PENDING_REQUESTS_MAX)
        return NULL;
    pending_outgoing *entry = &table->outgoing[at];
    if (at == table->outgoing_free)
        table->outgoing_free = entry->next_free;
    else
        table->outgoing_most++;
    table->outgoing_count++;
    entry->generation++;
    entry->is_used = true;
    entry->is_answered = false;
    entry->hop_by_hop = entry->generation << INDEX_BITS | at;
    return entry;
}

pending_outgoing *pending_find_outgoing(pending_table *table, uint32_t hop_by_hop)
{
    uint32_t at = hop_by_hop & INDEX_MASK;
    if (at >= table->outgoing_most)
        return NULL;
    pending_outgoing *entry = &table->outgoing[at];
    return entry->is_used && entry->hop_by_hop == hop_by_hop ? entry : NULL;
}

void pending_drop_outgoing(pending_table *table, pending_outgoing *entry)
{
    assert(entry->is_used);
    entry->is_used = false;
    entry->next_free = table->outgoing_free;
    table->outgoing_free = (uint32_t)(entry - table->outgoing);
    table->outgoing_count--;
}

void pending_each_incoming(pending_table *table, void (*each)(void *context, pending_incoming *entry), void *context)
{
    for (uint32_t i = 0; i < table->incoming_most && table->incoming_count > 0; i++)
        if (table->incoming[i].command != NULL)
            each(context, &table->incoming[i]);
}

void pending_each_outgoing(pending_table *table, void (*each)(void *context, pending_outgoing *entry), void *context)
{
    for (uint32_t i = 0; i < table->outgoing_most && table->outgoing_count > 0; i++)
        if (table->outgoing[i].is_used)
            each(context, &table->outgoing[i]);
}

uint32_t pending_incoming_count(const pending_table *table)
{
    return table->incoming_count;
}

uint32_t pending_outgoing_count(const pending_table *table)
{
    return table->outgoing_count;
}
