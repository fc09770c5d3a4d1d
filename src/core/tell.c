/* Telling: answers and outbox effects leave in log order, never before what they
 * promise is durable. */
#include "core/tell.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/audit.h"
#include "core/backup.h"
#include "core/links.h"
#include "core/names.h"
#include "core/render.h"
#include "core/state.h"
#include "core/trace.h"

typedef struct outbox_entry {
    uint64_t round, id;
    uint32_t length; /* of the body; padded to 8 behind it */
    uint16_t type, flags;
} outbox_entry;

static size_t padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

bool outbox_is_full(const outbox *box)
{
    return box->end - box->start > CORE_OUTBOX_MAX;
}

static uint8_t *outbox_room(outbox *box, size_t need)
{
    if (box->start == box->end)
        box->start = box->end = 0;
    if (box->end + need <= box->capacity)
        return box->bytes + box->end;
    size_t used = box->end - box->start;
    if (box->start > 0 && used + need <= box->capacity / 2) {
        memmove(box->bytes, box->bytes + box->start, used);
        box->start = 0;
        box->end = used;
        return box->bytes + used;
    }
    size_t capacity = box->capacity == 0 ? 64 * 1024 : box->capacity;
    while (capacity < used + need)
        capacity *= 2;
    uint8_t *bytes = malloc(capacity);
    if (bytes == NULL)
        return NULL;
    if (used > 0)
        memcpy(bytes, box->bytes + box->start, used);
    if (box->bytes != NULL)
        dro_wipe(box->bytes, box->capacity);
    free(box->bytes);
    *box = (outbox){ bytes, capacity, 0, used };
    return bytes + used;
}

/* The entry is written field by field where it lies: a copy of one just made would wait until all
 * that was stored before, the record for the log too, has left the store buffer. */
static void outbox_put(gate_link *gate, uint64_t round, uint64_t id, uint32_t length, uint16_t type, uint16_t flags, const void *body)
{
    outbox_entry *entry;
    size_t need = sizeof *entry + padded(length);
    uint8_t *room = outbox_room(&gate->outbox, need);
    if (room == NULL) /* an answer could be asked for again; an event or a token would be missing */
        core_no_memory("what gates are told");
    entry = (outbox_entry *)(void *)room; /* of malloc, and all lengths are padded to 8 */
    entry->round = round;
    entry->id = id;
    entry->length = length;
    entry->type = type;
    entry->flags = flags;
    if (length > 0)
        memcpy(room + sizeof *entry, body, length);
    gate->outbox.end += need;
}

/* Answers up to this round may leave: those that are durable, unless they say that a name is free
 * and a backup keeps it. */
static uint64_t round_tellable(const core *core)
{
    const release *kept = backup_holds_names(core) ? core->releases : NULL;
    return kept != NULL && kept->round <= core->round_told && kept->round > 0 ? kept->round - 1 : core->round_told;
}

void tell(core *core, uint32_t index, uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length,
          uint64_t round)
{
    gate_link *gate = index < CORE_GATES_MAX ? &core->gates[index] : NULL;
    if (gate == NULL || !gate->is_open)
        return;
    assert(length <= ring_body_max(&gate->out));
    /* What shows nothing that is not kept need not wait behind what is stuck. */
    bool may_pass = core->is_reply_free && (core->is_full || core_failed(core));
    bool is_first = gate->outbox.start == gate->outbox.end;
    if ((may_pass || (is_first && round <= round_tellable(core))) && ring_send(&gate->out, type, flags, id, body, length))
        return;
    outbox_put(gate, round, id, length, type, flags, body);
}

/* The log broke before this answer's round was durable: it says so instead. True: off the outbox. */
static bool entry_refuse(gate_link *gate, const outbox_entry *entry, const uint8_t *body)
{
    static const char problem[] = "{\"type\":\"storage_failed\",\"title\":\"Service Unavailable\",\"status\":503,"
                                  "\"detail\":\"the log could not be written: whether this was kept shows after a restart\"}";
    if (entry->type == MESSAGE_NETWORK_ANSWER) {
        network_answer busy = { .result = 3004 };
        return ring_send(&gate->out, entry->type, entry->flags, entry->id, &busy, sizeof busy);
    }
    if (entry->type != MESSAGE_API_REPLY)
        return true;
    struct { api_reply head; char body[sizeof problem]; } refusal = { .head = { .status = 503, .content = CONTENT_PROBLEM,
        .retry_after_s = 1, .etag = UINT64_MAX, .body_length = sizeof problem - 1 } };
    api_reply head;
    memcpy(&head, body, sizeof head);
    if (head.more) /* once, in place of the last part */
        return true;
    memcpy(refusal.body, problem, sizeof problem - 1);
    return ring_send(&gate->out, entry->type, entry->flags, entry->id, &refusal, sizeof refusal.head + sizeof problem - 1);
}

static bool entry_send(core *core, gate_link *gate, const outbox_entry *entry, const uint8_t *body)
{
    if (entry->round <= round_tellable(core))
        return ring_send(&gate->out, entry->type, entry->flags, entry->id, body, entry->length);
    return core_failed(core) && entry_refuse(gate, entry, body);
}

static void gate_flush(core *core, gate_link *gate)
{
    outbox *box = &gate->outbox;
    while (box->start < box->end) {
        outbox_entry entry;
        memcpy(&entry, box->bytes + box->start, sizeof entry);
        uint8_t *body = box->bytes + box->start + sizeof entry;
        if (!entry_send(core, gate, &entry, body))
            break;
        if (entry.flags & RING_WIPE)
            dro_wipe(body, entry.length);
        box->start += sizeof entry + padded(entry.length);
        core->work++;
    }
    gate->is_stopped = outbox_is_full(box);
    ring_publish(&gate->out);
}

void tell_flush(core *core)
{
    if (core->releases != NULL) /* before an answer says that a name is free */
        names_flush(core);
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if (core->gates[i].is_open)
            gate_flush(core, &core->gates[i]);
}

uint64_t round_now(core *core)
{
    if (core->is_reply_free && (core->is_full || core_failed(core)))
        return 0;
    if (core_failed(core))
        return ROUND_NEVER;
    return core->round_last > core->round_told ? core->round_last : 0;
}

void tell_reply(core *core, caller caller, const reply *reply, const void *body, size_t length)
{
    enum { PART_MAX = 48 * 1024 };
    static _Thread_local uint8_t message[sizeof(api_reply) + 1024 + PART_MAX];
    size_t location = reply->location != NULL ? strlen(reply->location) : 0;
    if (core->trace_count > 0)
        trace_reply(core, caller, reply, length);
    if (core->audit != NULL)
        audit_answered(core, caller, reply);
    const uint8_t *at = body;
    if (location > 1024)
        location = 1024;
    do {
        size_t part = length < PART_MAX ? length : PART_MAX;
        api_reply head = { .status = reply->status,
                           .content = reply->content,
                           .more = length > part,
                           .retry_after_s = reply->retry_after_s,
                           .etag = reply->etag,
                           .location_length = (uint32_t)location,
                           .body_length = (uint32_t)part };
        memcpy(message, &head, sizeof head);
        if (location > 0)
            memcpy(message + sizeof head, reply->location, location);
        if (part > 0)
            memcpy(message + sizeof head + location, at, part);
        tell(core, caller.gate, MESSAGE_API_REPLY, 0, caller.id, message, (uint32_t)(sizeof head + location + part),
             round_now(core));
        at = part > 0 ? at + part : at; /* nothing has no address */
        length -= part;
    } while (length > 0);
}

void tell_broken(core *core, caller caller, uint32_t image)
{
    tell_problem(core, caller, 503, "image_broken", "the image of %s is damaged on this host and cannot be run: push it again",
                 core->images[image].info.model.name);
}

static void problem_send(core *core, caller caller, uint16_t status, const char *type, const char *cause, const char *pointer, uint32_t later_s, const char *detail)
{
    static const struct { uint16_t status; const char *title; } titles[] = {
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
        { 405, "Method Not Allowed" }, { 409, "Conflict" }, { 410, "Gone" }, { 412, "Precondition Failed" },
        { 413, "Content Too Large" }, { 422, "Unprocessable Content" }, { 429, "Too Many Requests" }, { 500, "Internal Server Error" },
        { 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
    };
    const char *title = "Error";
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (titles[i].status == status)
            title = titles[i].title;
    uint8_t text[8192]; /* each byte of the detail may become six */
    dro_builder out = dro_builder_over(text, sizeof text);
    json_put(&out, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%u,\"detail\":", type, title, status);
    json_string(&out, detail);
    if (cause != NULL)
        json_put(&out, ",\"cause\":\"%s\"", cause);
    if (pointer != NULL) {
        dro_builder_text(&out, ",\"invalidParams\":[{\"param\":");
        json_string(&out, pointer);
        dro_builder_text(&out, ",\"reason\":");
        json_string(&out, detail);
        dro_builder_text(&out, "}]");
    }
    dro_builder_text(&out, "}");
    reply reply = { .status = status, .content = CONTENT_PROBLEM, .etag = UINT64_MAX,
                    .retry_after_s = later_s > 0 ? later_s : status == 503 ? 1 : status == 429 ? (uint32_t)usage_next_day_s(core) : 0 };
    bool is_reply_free = core->is_reply_free;
    core->is_reply_free |= status == 503; /* promises nothing */
    tell_reply(core, caller, &reply, text, dro_builder_length(&out));
    core->is_reply_free = is_reply_free;
}

void tell_problem(core *core, caller caller, uint16_t status, const char *type, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_send(core, caller, status, type, NULL, NULL, 0, detail);
}

void tell_later(core *core, caller caller, uint16_t status, const char *type, uint32_t retry_after_s, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_send(core, caller, status, type, NULL, NULL, retry_after_s > 0 ? retry_after_s : 1, detail);
}

void tell_quarantined(core *core, caller caller, uint16_t status, const stop *stop)
{
    char detail[STOP_REASON_MAX + 64];
    snprintf(detail, sizeof detail, "the image is quarantined by %s%s%s", stop->is_automatic ? "the host" : "an operator", stop->reason[0] != '\0' ? ": " : "", stop->reason);
    problem_send(core, caller, status, "quarantined", NULL, NULL, status == 503 ? STOP_RETRY_S : 0, detail);
}

void tell_cause(core *core, caller caller, uint16_t status, const char *cause, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_send(core, caller, status, "about:blank", cause, NULL, 0, detail);
}

void tell_invalid(core *core, caller caller, uint16_t status, const char *cause, const char *pointer, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_send(core, caller, status, "about:blank", cause, pointer, 0, detail);
}
