/* Notices: notifications of applications, on their way. Durable with what they tell,
 * sent in order for a destination with a window, tried again with a growing pause. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/hash.h"
#include "base/log.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/trace.h"
#include "core/twin_table.h"
#include "twin/event.h"

/* ---- destinations ---- */

static uint64_t link_hash(const core *core, const char *link, size_t length)
{
    return dro_hash(core->hash_key, link, length);
}

static destination *destination_at(core *core, uint32_t number)
{
    return &core->nidd.destinations[number];
}

static uint32_t destination_find(core *core, const char *link, size_t length)
{
    index_probe probe = index_begin(link_hash(core, link, length));
    uint32_t number;
    while (index_next(&core->nidd.links, &probe, &number)) {
        const destination *known = destination_at(core, number);
        if (strlen(known->link) == length && memcmp(known->link, link, length) == 0)
            return number;
    }
    return NONE;
}

/* A free slot, or NONE: too many destinations. */
static uint32_t destination_slot(core *core)
{
    uint32_t number = core->nidd.destination_free;
    if (number != NONE) {
        core->nidd.destination_free = destination_at(core, number)->next_free;
        return number;
    }
    if (core->nidd.is_recovered && core->nidd.destination_count >= DESTINATIONS_MAX)
        return NONE;
    if (core->nidd.destination_count == core->nidd.destination_capacity) {
        uint32_t capacity = core->nidd.destination_capacity == 0 ? 64 : core->nidd.destination_capacity * 2;
        destination *grown = realloc(core->nidd.destinations, capacity * sizeof *grown);
        if (grown == NULL)
            return NONE;
        core->nidd.destinations = grown;
        core->nidd.destination_capacity = capacity;
    }
    return core->nidd.destination_count++;
}

static bool is_websocket(const char *link, size_t length)
{
    return length == NIDD_WEBSOCKET_TEXT && memcmp(link, NIDD_WEBSOCKET, sizeof NIDD_WEBSOCKET - 1) == 0;
}

size_t destination_websocket(uint64_t configuration, char out[NIDD_WEBSOCKET_TEXT + 1])
{
    return (size_t)snprintf(out, NIDD_WEBSOCKET_TEXT + 1, NIDD_WEBSOCKET "%016llx", (unsigned long long)configuration);
}

dro_err destination_get(core *core, const char *link, size_t length, uint32_t *number)
{
    *number = destination_find(core, link, length);
    if (*number == NONE) {
        *number = destination_slot(core);
        char *text = *number == NONE ? NULL : strndup(link, length);
        dro_err err = text == NULL ? DRO_NOMEM : index_add(&core->nidd.links, link_hash(core, link, length), *number);
        if (*number != NONE)
            *destination_at(core, *number) = (destination){ .link = text, .next_free = NONE, .next_ready = NONE, .gate = NONE,
                                                            .is_websocket = is_websocket(link, length) };
        if (err != DRO_OK) {
            free(text);
            if (*number != NONE) {
                *destination_at(core, *number) = (destination){ .next_free = core->nidd.destination_free, .next_ready = NONE };
                core->nidd.destination_free = *number;
            }
            return *number == NONE ? DRO_LIMIT : err;
        }
    }
    destination_at(core, *number)->references++;
    return DRO_OK;
}

bool nidd_wants_websocket(const uint8_t *fields, size_t length)
{
    dro_field room;
    const dro_field *wanted = nidd_field(fields, length, API_FIELD_WEBSOCKET, &room);
    return wanted != NULL && wanted->length == 1 && wanted->bytes[0] != 0;
}

dro_err destination_of_fields(core *core, uint64_t configuration, const uint8_t *fields, size_t length, uint32_t *number)
{
    char name[NIDD_WEBSOCKET_TEXT + 1];
    dro_field room;
    const dro_field *link = nidd_field(fields, length, API_FIELD_DESTINATION, &room);
    if (link == NULL)
        return DRO_MALFORMED;
    if (nidd_wants_websocket(fields, length))
        return destination_get(core, name, destination_websocket(configuration, name), number);
    return destination_get(core, (const char *)link->bytes, link->length, number);
}

void destination_release(core *core, uint32_t number)
{
    destination *released = destination_at(core, number);
    if (--released->references > 0)
        return;
    index_remove(&core->nidd.links, link_hash(core, released->link, strlen(released->link)), number);
    free(released->link);
    released->link = NULL;
    if (released->is_ready) /* its place in the line is given back when it is met there */
        return;
    released->next_free = core->nidd.destination_free;
    core->nidd.destination_free = number;
}

/* In line for notices_send. */
static void destination_ready(core *core, uint32_t number)
{
    destination *ready = destination_at(core, number);
    if (ready->is_ready)
        return;
    ready->is_ready = true;
    ready->next_ready = NONE;
    if (core->nidd.ready_last == NONE)
        core->nidd.ready_first = number;
    else
        destination_at(core, core->nidd.ready_last)->next_ready = number;
    core->nidd.ready_last = number;
}

static uint32_t destination_take_ready(core *core)
{
    uint32_t number = core->nidd.ready_first;
    destination *taken = destination_at(core, number);
    core->nidd.ready_first = taken->next_ready;
    if (core->nidd.ready_first == NONE)
        core->nidd.ready_last = NONE;
    taken->is_ready = false;
    if (taken->link != NULL)
        return number;
    taken->next_free = core->nidd.destination_free;
    core->nidd.destination_free = number;
    return NONE;
}

/* ---- notices ---- */

void notice_put(core *core, uint32_t index, const nidd_configuration *configuration, uint8_t kind, const uint8_t *fields, size_t length)
{
    notice_put_of(core, index, configuration->number, kind, fields, length);
}

void notice_put_of(core *core, uint32_t index, uint64_t configuration, uint8_t kind, const uint8_t *fields, size_t length)
{
    const twin *twin = twin_at(core, index);
    const nidd *nidd = nidd_get(twin_at(core, index));
    if (nidd == NULL) {
        core->counters.notices_dropped++;
        return;
    }
    bool is_full = core->nidd.notice_bytes >= CORE_NOTICE_BYTES_MAX; /* for all twins: one goes for one that comes */
    while (is_full || nidd->notice_count >= TWIN_NOTICES_MAX || nidd->notice_bytes + length > TWIN_NOTICE_BYTES) {
        core->counters.notices_dropped++;
        if (nidd->notice_count == 0)
            return;
        uint64_t oldest = nidd->notices->number, of = nidd->notices->configuration; /* what is newer is worth more */
        record_put(core, FIELD_NOTICE_GONE, &oldest, 8);
        exposure_notice_gone(core, index, of);
        nidd = twin->nidd;
        is_full = false;
    }
    dro_builder *part = record_part(core);
    dro_builder_le(part, core->nidd.next++, 8);
    dro_builder_le(part, configuration, 8);
    dro_builder_le(part, (uint64_t)core->now_ms, 8);
    dro_builder_le(part, kind, 1);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_NOTICE);
}

void notice_full(core *core, const notice *kept)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, kept->number, 8);
    dro_builder_le(part, kept->configuration, 8);
    dro_builder_le(part, (uint64_t)kept->made_ms, 8);
    dro_builder_le(part, kept->kind, 1);
    dro_builder_bytes(part, kept->bytes, kept->length);
    record_part_end(core, FIELD_NOTICE);
}

static void notice_link(core *core, notice *made)
{
    destination *to = destination_at(core, made->destination);
    made->before = to->last;
    made->after = NULL;
    if (to->last != NULL)
        to->last->after = made;
    else
        to->first = made;
    to->last = made;
    if (to->next == NULL)
        to->next = made;
    to->references++;
    core->nidd.notice_count++;
    core->nidd.notice_bytes += sizeof *made + made->length;
    destination_ready(core, made->destination);
}

static void slot_free(core *core, uint32_t slot)
{
    core->nidd.sent[slot].notice = NULL;
    core->nidd.sent[slot].next_free = core->nidd.sent_free;
    core->nidd.sent_free = slot;
    core->nidd.sent_count--;
}

static void notice_unlink(core *core, notice *gone)
{
    destination *to = destination_at(core, gone->destination);
    if (gone->slot != NONE) { /* its answer finds nobody */
        slot_free(core, gone->slot);
        to->sent--;
        destination_ready(core, gone->destination);
    }
    if (to->next == gone)
        to->next = gone->after;
    if (gone->before != NULL)
        gone->before->after = gone->after;
    else
        to->first = gone->after;
    if (gone->after != NULL)
        gone->after->before = gone->before;
    else
        to->last = gone->before;
    core->nidd.notice_count--;
    core->nidd.notice_bytes -= sizeof *gone + gone->length;
    destination_release(core, gone->destination);
}

/* Of one of the device's configurations, or of a group's; NONE: it is gone. */
static uint32_t destination_of(const core *core, const nidd *nidd, uint64_t number)
{
    const nidd_configuration *own = nidd->configurations;
    while (own != NULL && own->number != number)
        own = own->next;
    const group_configuration *of_group = own == NULL ? group_configuration_at(core, number) : NULL;
    if (own != NULL || of_group != NULL)
        return own != NULL ? own->destination : of_group->destination;
    const exposure *other = nidd->exposures;
    while (other != NULL && other->number != number)
        other = other->next;
    other = other != NULL ? other : exposure_of_group(core, number);
    return other != NULL ? other->destination : NONE;
}

dro_err notice_apply(core *core, uint32_t index, dro_cursor *in)
{
    nidd *nidd = nidd_get(twin_at(core, index));
    uint64_t number = dro_cursor_le(in, 8);
    uint64_t of_configuration = dro_cursor_le(in, 8);
    int64_t made_ms = (int64_t)dro_cursor_le(in, 8);
    uint8_t kind = (uint8_t)dro_cursor_le(in, 1);
    size_t length = dro_cursor_left(in);
    if (in->err != DRO_OK || length > UINT16_MAX)
        return DRO_MALFORMED;
    uint32_t destination = nidd == NULL ? NONE : destination_of(core, nidd, of_configuration);
    if (nidd == NULL)
        return DRO_NOMEM;
    if (destination == NONE) /* who wanted to know does not any more */
        return DRO_OK;
    notice *made = malloc(sizeof *made + length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = (struct notice){ .number = number, .configuration = of_configuration, .made_ms = made_ms, .twin = index,
                             .destination = destination, .slot = NONE, .kind = kind, .length = (uint16_t)length };
    memcpy(made->bytes, in->at, length);
    if (nidd->notices_last != NULL)
        nidd->notices_last->next = made;
    else
        nidd->notices = made;
    nidd->notices_last = made;
    nidd->notice_count++;
    nidd->notice_bytes += made->length;
    notice_link(core, made);
    return DRO_OK;
}

void notice_apply_gone(core *core, uint32_t index, uint64_t number)
{
    const twin *twin = twin_at(core, index);
    nidd *nidd = twin->nidd;
    notice *before = NULL;
    for (notice *at = nidd == NULL ? NULL : nidd->notices; at != NULL; before = at, at = at->next) {
        if (at->number != number)
            continue;
        if (before != NULL)
            before->next = at->next;
        else
            nidd->notices = at->next;
        if (nidd->notices_last == at)
            nidd->notices_last = before;
        nidd->notice_count--;
        nidd->notice_bytes -= at->length;
        notice_unlink(core, at);
        free(at);
        return;
    }
}

/* ---- of groups: not of a twin, and made anew after a restart ---- */

notice *notice_of_group(core *core, uint32_t destination, uint64_t configuration, uint8_t kind, const uint8_t *fields, size_t length)
{
    notice *made = malloc(sizeof *made + length);
    if (made == NULL)
        return NULL;
    *made = (struct notice){ .configuration = configuration, .made_ms = core->now_ms, .twin = NONE, .destination = destination,
                             .slot = NONE, .kind = kind, .length = (uint16_t)length };
    if (length > 0)
        memcpy(made->bytes, fields, length);
    notice_link(core, made);
    return made;
}

void notice_group_free(core *core, notice *gone)
{
    notice_unlink(core, gone);
    free(gone);
}

/* ---- sending ---- */

/* What the notice is about: its configuration, or a delivery. False: the application is gone. */
static bool put_path(core *core, const notice *sent, dro_builder *out)
{
    dro_field room;
    char path[2 * NIDD_PATH_MAX];
    uint32_t index;
    const nidd_configuration *configuration = nidd_configuration_find(core, sent->configuration, &index);
    const group_configuration *of_group = configuration == NULL ? group_configuration_at(core, sent->configuration) : NULL;
    const application *owner = configuration != NULL ? application_at(core, configuration->application)
                             : of_group != NULL      ? application_at(core, of_group->application) : NULL;
    const exposure *of = configuration == NULL && of_group == NULL ? exposure_find(core, sent->configuration, &index) : NULL;
    dro_builder text = dro_builder_over(path, sizeof path);
    if (of != NULL && (owner = application_at(core, of->application)) != NULL) {
        exposure_path_write(owner, of->kind, of->number, &text);
        dro_field_put(out, API_FIELD_NAME, path, dro_builder_length(&text));
        return true;
    }
    if (owner == NULL)
        return false;
    const dro_field *delivery = nidd_field(sent->bytes, sent->length, API_FIELD_DELIVERY, &room);
    dro_err ignored = DRO_OK;
    nidd_path_write(owner, sent->configuration, delivery != NULL ? dro_field_u64(delivery, &ignored) : 0, &text);
    dro_field_put(out, API_FIELD_NAME, path, dro_builder_length(&text));
    return true;
}

/* A gate that may do it: destinations stay with one, whose connections to them are open. */
static uint32_t gate_for(const core *core, uint32_t destination)
{
    const struct destination *to = &core->nidd.destinations[destination];
    if (to->is_websocket)
        return to->gate != NONE && core->gates[to->gate].is_open && !core->gates[to->gate].is_stopped ? to->gate : NONE;
    for (uint32_t i = 0; i < core->options.gate_count; i++) {
        uint32_t gate = (destination + i) % core->options.gate_count;
        if (core->gates[gate].is_open && !core->gates[gate].is_stopped)
            return gate;
    }
    return NONE;
}

static void notice_drop(core *core, notice *gone)
{
    if (gone->twin == NONE) {
        group_notice_gone(core, gone);
        notice_group_free(core, gone);
        return;
    }
    uint64_t number = gone->number, configuration = gone->configuration;
    uint32_t index = gone->twin;
    record_begin(core, index, RECORD_DELTA);
    record_put(core, FIELD_NOTICE_GONE, &number, 8);
    exposure_notice_gone(core, index, configuration);
    record_end(core);
    nidd_trim(twin_at(core, index));
    twin_extra_trim(twin_at(core, index));
}

/* False: it cannot go now. */
static bool notice_send(core *core, notice *sent)
{
    static _Thread_local uint8_t message[sizeof(notice_request) + 16 + NIDD_LINK_MAX + 2 * NIDD_PATH_MAX + NIDD_FIELDS_MAX + GROUP_NOTICE_BYTES];
    _Static_assert((int)EVENT_BYTES_MAX <= (int)GROUP_NOTICE_BYTES && (int)GROUP_NOTICE_BYTES + 64 <= UINT16_MAX, "room for any notice");
    const destination *to = destination_at(core, sent->destination);
    uint32_t slot = core->nidd.sent_free, gate = gate_for(core, sent->destination);
    if (slot == NONE || gate == NONE)
        return false;
    notice_request request = { .kind = sent->kind };
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &request, sizeof request);
    char socket[NIDD_WEBSOCKET_TEXT + 1];
    destination_websocket(to->socket, socket);
    dro_field_put_text(&out, API_FIELD_DESTINATION, to->is_websocket ? socket : to->link);
    if (!put_path(core, sent, &out)) { /* its application is gone */
        notice_drop(core, sent);
        return true;
    }
    dro_builder_bytes(&out, sent->bytes, sent->length);
    dro_field_pad(&out);
    struct notice_slot *taken = &core->nidd.sent[slot];
    core->nidd.sent_free = taken->next_free;
    core->nidd.sent_count++;
    taken->notice = sent;
    taken->gate = gate;
    taken->serial++;
    sent->slot = slot;
    destination_at(core, sent->destination)->sent++;
    core->counters.notices++;
    if (core->trace_count > 0)
        trace_notice_sent(core, sent);
    tell(core, gate, MESSAGE_NOTICE, RING_WIPE, (uint64_t)taken->serial << 32 | slot, message, (uint32_t)dro_builder_length(&out), round_now(core));
    return true;
}

/* How many may be out to a destination at once: one while nobody knows whether it is there again. */
static uint32_t window_of(const destination *to)
{
    return to->failures > 0 ? 1 : NOTICE_WINDOW;
}

/* Nobody is told of a domain that is stopped, nor an application that is. It keeps its place. */
static bool is_held(core *core, const notice *waiting)
{
    uint32_t index;
    if (!core->stops.has_any)
        return false;
    if (waiting->twin != NONE && stop_holds_twin(core, waiting->twin))
        return true;
    const nidd_configuration *own = nidd_configuration_find(core, waiting->configuration, &index);
    const group_configuration *of_group = own == NULL ? group_configuration_at(core, waiting->configuration) : NULL;
    const exposure *other = own == NULL && of_group == NULL ? exposure_find(core, waiting->configuration, &index) : NULL;
    uint32_t number = own != NULL ? own->application : of_group != NULL ? of_group->application : other != NULL ? other->application : 0;
    const application *owner = number != 0 ? application_at(core, number) : NULL;
    return owner != NULL && owner->is_stopped;
}

/* One of a device to a destination at a time: they arrive in the order they were made. */
static bool is_its_turn(const core *core, const notice *wanted)
{
    if (wanted->twin == NONE)
        return true;
    const notice *first = twin_at(core, wanted->twin)->nidd->notices;
    while (first->destination != wanted->destination)
        first = first->next;
    return first == wanted;
}

/* True: more could go, but for the gates or the slots. */
static bool destination_work(core *core, uint32_t number)
{
    destination *to = destination_at(core, number);
    while (to->first != NULL && to->first->slot == NONE && core->now_ms - to->first->made_ms > NOTICE_KEPT_S * 1000ll) {
        core->counters.notices_dropped++;
        notice_drop(core, to->first);
        to = destination_at(core, number);
        if (to->link == NULL)
            return false;
    }
    if (to->retry_ns > core->now_ns || (to->is_websocket && to->gate == NONE)) /* it gets in line when they connect */
        return false;
    while (to->next != NULL && to->sent < window_of(to)) {
        notice *next = to->next;
        to->next = next->after;
        if (next->slot != NONE || !is_its_turn(core, next) || is_held(core, next))
            continue;
        if (!notice_send(core, next)) {
            to->next = next;
            return true;
        }
        to = destination_at(core, number);
        if (to->link == NULL)
            return false;
    }
    return false;
}

/* Those whose pause is over get in line; the next pause's end is found on the way. */
static void pauses_end(core *core)
{
    core->nidd.retry_ns = INT64_MAX;
    for (uint32_t i = 0; i < core->nidd.destination_count; i++) {
        destination *to = destination_at(core, i);
        if (to->link == NULL || to->retry_ns == 0)
            continue;
        if (to->retry_ns <= core->now_ns) {
            to->retry_ns = 0;
            destination_ready(core, i);
        } else if (to->retry_ns < core->nidd.retry_ns) {
            core->nidd.retry_ns = to->retry_ns;
        }
    }
}

int notices_send(core *core)
{
    int done = 0;
    if (core->nidd.retry_ns <= core->now_ns)
        pauses_end(core);
    if (core->is_stopping || core_failed(core))
        return 0;
    for (; done < NOTICE_DESTINATIONS_BATCH && core->nidd.ready_first != NONE; done++) {
        uint32_t number = destination_take_ready(core);
        if (number == NONE || !destination_work(core, number))
            continue;
        destination_ready(core, number);
        break;
    }
    return done;
}

int64_t notices_due_ns(const core *core)
{
    return core->nidd.retry_ns;
}

/* ---- answers ---- */

static void pause_begin(core *core, destination *to)
{
    enum { PAUSE_SHIFT_MAX = 8 };
    int shift = to->failures < PAUSE_SHIFT_MAX ? to->failures : PAUSE_SHIFT_MAX;
    int64_t pause_ns = NOTICE_PAUSE_MS * 1000000ll << shift;
    if (pause_ns > NOTICE_PAUSE_MAX_MS * 1000000ll)
        pause_ns = NOTICE_PAUSE_MAX_MS * 1000000ll;
    to->retry_ns = core->now_ns + pause_ns;
    if (to->failures < UINT8_MAX)
        to->failures++;
    if (to->retry_ns < core->nidd.retry_ns)
        core->nidd.retry_ns = to->retry_ns;
}

/* It did not arrive: it and those behind it go again, in order. */
static void notice_back(core *core, notice *failed)
{
    destination *to = destination_at(core, failed->destination);
    slot_free(core, failed->slot);
    failed->slot = NONE;
    to->sent--;
    to->next = to->first;
}

/* Was passed over because of one that is told now? */
static bool twin_has_more(const core *core, uint32_t index, uint32_t number)
{
    if (index == NONE)
        return false;
    const twin *twin = twin_at(core, index);
    const notice *more = twin->nidd == NULL ? NULL : twin->nidd->notices;
    while (more != NULL && more->destination != number)
        more = more->next;
    return more != NULL;
}

void notices_on_answer(core *core, uint64_t id, const notice_answer *answer)
{
    uint32_t slot = (uint32_t)id;
    if (slot >= NOTICES_SENT_MAX || core->nidd.sent[slot].notice == NULL || core->nidd.sent[slot].serial != id >> 32)
        return;
    notice *told = core->nidd.sent[slot].notice;
    if (core->trace_count > 0)
        trace_notice_answered(core, told, answer->status);
    uint32_t number = told->destination;
    destination *to = destination_at(core, number);
    if (answer->outcome == NOTICE_FAILED) {
        core->counters.notices_failed++;
        notice_back(core, told);
        if (to->retry_ns <= core->now_ns) /* one pause, however many failed together */
            pause_begin(core, to);
        return;
    }
    if (answer->outcome == NOTICE_REFUSED) {
        core->counters.notices_refused++;
        dro_debug("notice refused status=%u", answer->status);
    }
    to->failures = 0;
    to->retry_ns = 0;
    uint32_t index = told->twin;
    notice_drop(core, told);
    to = destination_at(core, number);
    if (to->link == NULL)
        return;
    if (twin_has_more(core, index, number))
        to->next = to->first;
    destination_ready(core, number);
}

/* Nothing is known against it any more: what waits goes at once. */
static void destination_begin_anew(core *core, uint32_t number)
{
    destination *to = destination_at(core, number);
    to->failures = 0;
    to->retry_ns = 0;
    to->next = to->first;
    destination_ready(core, number);
}

void destinations_go_on(core *core)
{
    for (uint32_t i = 0; i < core->nidd.destination_count; i++)
        if (destination_at(core, i)->link != NULL)
            destination_begin_anew(core, i);
}

void destination_connect(core *core, uint32_t number, uint32_t gate, uint64_t socket)
{
    destination *to = destination_at(core, number);
    if (to->gate != NONE && core->gates[to->gate].is_open)
        tell(core, to->gate, MESSAGE_WEBSOCKET_REPLACED, 0, to->socket, NULL, 0, 0);
    to->gate = gate;
    to->socket = socket;
    destination_begin_anew(core, number);
}

/* It is not there any more; what only it held may go. */
static void destination_disconnect(core *core, uint32_t number)
{
    destination *left = destination_at(core, number);
    bool was_held = left->is_held;
    left->gate = NONE;
    left->is_held = false;
    if (was_held)
        destination_release(core, number);
}

void destination_on_here(core *core, uint32_t gate, const websocket_here *here)
{
    char name[NIDD_WEBSOCKET_TEXT + 1];
    uint32_t number;
    if (destination_get(core, name, destination_websocket(here->configuration, name), &number) != DRO_OK) {
        dro_warn("no room for the websocket of configuration %016llx: it gets no notifications of core %u", (unsigned long long)here->configuration, core->index);
        return;
    }
    destination *to = destination_at(core, number);
    bool is_older = to->gate != NONE && to->since_ns > here->since_ns;
    bool is_further = to->is_held;
    if (!is_older) { /* core 0 sends the one before away */
        to->is_held = true;
        to->gate = gate;
        to->socket = here->socket;
        to->since_ns = here->since_ns;
        destination_begin_anew(core, number);
    }
    if (is_older || is_further)
        destination_release(core, number);
}

void destination_on_gone(core *core, uint32_t gate, const websocket_gone *gone)
{
    char name[NIDD_WEBSOCKET_TEXT + 1];
    uint32_t number = destination_find(core, name, destination_websocket(gone->configuration, name));
    destination *to = number == NONE ? NULL : destination_at(core, number);
    if (to == NULL || to->gate != gate)
        return;
    if (to->socket == gone->socket)
        destination_disconnect(core, number);
    else
        destination_begin_anew(core, number); /* what the one before did not deliver goes to the one that is there */
}

static void websockets_gate_lost(core *core, uint32_t gate)
{
    for (uint32_t i = 0; i < core->nidd.destination_count; i++)
        if (core->nidd.destinations[i].link != NULL && core->nidd.destinations[i].is_websocket && core->nidd.destinations[i].gate == gate)
            destination_disconnect(core, i);
}

void notices_gate_lost(core *core, uint32_t gate)
{
    websockets_gate_lost(core, gate);
    for (uint32_t i = 0; core->nidd.sent_count > 0 && i < NOTICES_SENT_MAX; i++) {
        notice *sent = core->nidd.sent[i].notice;
        if (sent == NULL || core->nidd.sent[i].gate != gate)
            continue;
        uint32_t number = sent->destination;
        notice_back(core, sent);
        destination_ready(core, number);
    }
}

dro_err notices_init(core *core)
{
    core->nidd.sent = calloc(NOTICES_SENT_MAX, sizeof *core->nidd.sent);
    if (core->nidd.sent == NULL)
        return DRO_NOMEM;
    for (uint32_t i = 0; i < NOTICES_SENT_MAX; i++)
        core->nidd.sent[i].next_free = i + 1 < NOTICES_SENT_MAX ? i + 1 : NONE;
    core->nidd.destination_free = core->nidd.ready_first = core->nidd.ready_last = NONE;
    core->nidd.retry_ns = INT64_MAX;
    return DRO_OK;
}

void notices_fini(core *core)
{
    for (uint32_t i = 0; i < core->nidd.destination_count; i++)
        free(core->nidd.destinations[i].link);
    free(core->nidd.destinations);
    free(core->nidd.sent);
    index_fini(&core->nidd.links);
}
