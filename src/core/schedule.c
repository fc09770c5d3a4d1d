#include "core/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/inquiry.h"
#include "core/network.h"
#include "core/parameters.h"
#include "core/provision.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"

static const schedule nothing = { .state = SCHEDULE_NONE, .is_told = true,
    .wish = { SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID },
    .facts = { SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID, SCHEDULE_UNSAID } };

static schedule *schedule_of(const twin *twin)
{
    return twin->extra == NULL ? NULL : twin->extra->schedule;
}

/* ---- when it can be reached ---- */

static int64_t period_ms(const schedule_facts *facts)
{
    if (facts->edrx_ms != SCHEDULE_UNSAID && facts->edrx_ms > 0)
        return facts->edrx_ms;
    return facts->periodic_s == SCHEDULE_UNSAID ? 0 : (int64_t)facts->periodic_s * 1000;
}

int64_t schedule_next_ms(const twin *twin, int64_t from_ms, int64_t now_ms)
{
    const schedule *known = schedule_of(twin);
    int64_t period = known == NULL ? 0 : period_ms(&known->facts);
    if (period == 0 || from_ms == COLUMNS_NEVER || from_ms > now_ms)
        return COLUMNS_NEVER;
    return from_ms + ((now_ms - from_ms) / period + 1) * period;
}

int64_t schedule_listens_until_ms(const twin *twin)
{
    const schedule *known = schedule_of(twin);
    int64_t until = COLUMNS_NEVER;
    if (known != NULL && known->facts.active_s != SCHEDULE_UNSAID && twin->last_contact_ms != COLUMNS_NEVER)
        until = twin->last_contact_ms + (int64_t)known->facts.active_s * 1000;
    return known != NULL && known->available_ms != 0 && known->available_ms > until ? known->available_ms : until;
}

/* ---- what is kept ---- */

enum { SCHEDULE_BYTES = 1 + 1 + 12 + 8 + 4 + 16 + 8 + 8 };

static void schedule_write(dro_builder *out, const schedule *from)
{
    const uint32_t facts[] = { from->facts.periodic_s, from->facts.active_s, from->facts.packets, from->facts.edrx_ms };
    dro_builder_le(out, from->state, 1);
    dro_builder_le(out, from->is_told, 1);
    dro_builder_le(out, from->wish.latency_s, 4);
    dro_builder_le(out, from->wish.response_s, 4);
    dro_builder_le(out, from->wish.packets, 4);
    dro_builder_le(out, (uint64_t)from->wished_ms, 8);
    dro_builder_le(out, from->reference, 4);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        dro_builder_le(out, facts[i], 4);
    dro_builder_le(out, (uint64_t)from->facts_ms, 8);
    dro_builder_le(out, (uint64_t)from->available_ms, 8);
}

static dro_err schedule_read(schedule *into, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    into->state = (uint8_t)dro_cursor_le(&in, 1);
    into->is_told = dro_cursor_le(&in, 1) != 0;
    into->wish.latency_s = (uint32_t)dro_cursor_le(&in, 4);
    into->wish.response_s = (uint32_t)dro_cursor_le(&in, 4);
    into->wish.packets = (uint32_t)dro_cursor_le(&in, 4);
    into->wished_ms = (int64_t)dro_cursor_le(&in, 8);
    into->reference = (uint32_t)dro_cursor_le(&in, 4);
    into->facts.periodic_s = (uint32_t)dro_cursor_le(&in, 4);
    into->facts.active_s = (uint32_t)dro_cursor_le(&in, 4);
    into->facts.packets = (uint32_t)dro_cursor_le(&in, 4);
    into->facts.edrx_ms = (uint32_t)dro_cursor_le(&in, 4);
    into->facts_ms = (int64_t)dro_cursor_le(&in, 8);
    into->available_ms = (int64_t)dro_cursor_le(&in, 8);
    return in.err != DRO_OK || into->state >= SCHEDULE_STATES ? DRO_MALFORMED : DRO_OK;
}

/* As those of exposures, among which it is. */
static uint64_t reference_hash(const core *core, uint32_t reference)
{
    return dro_hash_mix(reference, core->hash_key);
}

/* The network speaks of it by that. */
static dro_err reference_change(core *core, uint32_t index, uint32_t before, uint32_t now)
{
    if (before == now)
        return DRO_OK;
    if (before != 0)
        index_remove(&core->exposures.references, reference_hash(core, before), index);
    return now == 0 ? DRO_OK : index_add(&core->exposures.references, reference_hash(core, now), index);
}

dro_err schedule_apply(core *core, uint32_t index, const dro_field *field)
{
    twin *twin = twin_at(core, index);
    schedule read = nothing;
    if (field->length == 0) {
        schedule_free(core, index);
        return DRO_OK;
    }
    dro_err err = schedule_read(&read, field);
    twin_extra *extra = err == DRO_OK ? twin_extra_get(twin) : NULL;
    if (err == DRO_OK && extra != NULL && extra->schedule == NULL)
        extra->schedule = calloc(1, sizeof *extra->schedule);
    if (extra == NULL || extra->schedule == NULL)
        return err != DRO_OK ? err : DRO_NOMEM;
    read.is_telling = false; /* what a turn has of it is not the newest any more */
    read.is_unsure = extra->schedule->is_unsure;
    read.is_asking = extra->schedule->is_asking;
    read.failures = extra->schedule->failures;
    read.ask_ms = extra->schedule->ask_ms;
    uint32_t before = extra->schedule->reference;
    *extra->schedule = read;
    return reference_change(core, index, before, read.reference);
}

static bool is_nothing(const schedule *of)
{
    return of->state == SCHEDULE_NONE && of->reference == 0 && of->facts_ms == 0;
}

/* Inside a record. */
static void schedule_put(core *core, const schedule *from)
{
    dro_builder *part = record_part(core);
    if (!is_nothing(from))
        schedule_write(part, from);
    record_part_end(core, FIELD_SCHEDULE);
}

void schedule_full(core *core, const twin *twin)
{
    const schedule *known = schedule_of(twin);
    if (known != NULL)
        schedule_put(core, &(schedule){ .wish = known->wish, .facts = known->facts, .wished_ms = known->wished_ms,
                     .facts_ms = known->facts_ms, .available_ms = known->available_ms, .reference = known->reference,
                     .state = known->state, .is_told = known->is_told });
}

void schedule_free(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    if (schedule_of(twin) == NULL)
        return;
    dro_err ignored = reference_change(core, index, twin->extra->schedule->reference, 0);
    (void)ignored; /* removing cannot fail */
    free(twin->extra->schedule);
    twin->extra->schedule = NULL;
}

/* ---- the twin's wish ---- */

static schedule now_of(const core *core, uint32_t index)
{
    const schedule *known = schedule_of(twin_at(core, index));
    return known == NULL ? nothing : *known;
}

void schedule_wished(core *core, uint32_t index, const schedule_wish *wish)
{
    schedule next = now_of(core, index);
    bool is_off = schedule_wish_is_empty(wish) != 0;
    if (is_off ? next.state == SCHEDULE_NONE
               : next.state != SCHEDULE_NONE && next.state != SCHEDULE_CANCELLED && schedule_wish_is_same(wish, &next.wish))
        return;
    next.wish = *wish;
    next.wished_ms = is_off ? 0 : core->now_ms;
    next.state = is_off ? SCHEDULE_NONE : SCHEDULE_WAITING;
    schedule_put(core, &next);
}

void schedule_move(core *core, uint32_t index, schedule_state state, uint32_t reference)
{
    schedule next = now_of(core, index);
    if (next.state == state && next.reference == reference)
        return;
    next.is_told = next.state == state ? next.is_told : state == SCHEDULE_NONE || state == SCHEDULE_WAITING;
    next.state = (uint8_t)state;
    next.reference = reference;
    schedule_put(core, &next);
}

/* ---- the network's word ---- */

static bool take(uint32_t *known, uint32_t said)
{
    if (said == SCHEDULE_UNSAID || said == *known)
        return false;
    *known = said;
    return true;
}

bool schedule_learn(core *core, uint32_t index, const schedule_facts *facts, int64_t available_ms)
{
    twin *twin = twin_at(core, index);
    schedule next = now_of(core, index);
    bool is_new = take(&next.facts.periodic_s, facts->periodic_s);
    is_new |= take(&next.facts.active_s, facts->active_s);
    is_new |= take(&next.facts.packets, facts->packets);
    is_new |= take(&next.facts.edrx_ms, facts->edrx_ms);
    if (!is_new && (available_ms == 0 || available_ms == next.available_ms))
        return false;
    next.is_told &= !is_new;
    next.facts_ms = core->now_ms;
    next.available_ms = available_ms != 0 ? available_ms : next.available_ms;
    schedule_put(core, &next);
    bool is_set = twin->why == CONTACT_RETRANSMISSION && twin->retry_ms > core->now_ms; /* the network named a time itself */
    int64_t contact_ms = schedule_next_ms(twin, twin->last_contact_ms, core->now_ms);
    if (is_new && !is_set && contact_ms != COLUMNS_NEVER) {
        twin->contact_count = 0; /* what was seen of it may be over: it is learned anew */
        contact_expect(core, index, CONTACT_PATTERN, contact_ms);
    }
    return is_new;
}

/* What was there because of something that is over. Kept: when it was heard of last. */
void schedule_forget(core *core, uint32_t index, uint32_t reference)
{
    schedule next = now_of(core, index);
    if (next.facts_ms == 0 && next.reference == reference)
        return;
    next.facts = nothing.facts;
    next.facts_ms = next.available_ms = 0;
    next.reference = reference;
    schedule_put(core, &next);
}

void schedule_cancelled(core *core, uint32_t index)
{
    schedule now = now_of(core, index);
    if (now.reference == 0)
        return;
    schedule_forget(core, index, 0);
    if (now.state == SCHEDULE_APPLIED || now.state == SCHEDULE_WAITING)
        schedule_move(core, index, SCHEDULE_CANCELLED, 0);
}

uint32_t schedule_find(core *core, uint32_t reference)
{
    index_probe probe = index_begin(reference_hash(core, reference));
    uint32_t index;
    while (reference != 0 && index_next(&core->exposures.references, &probe, &index))
        if (schedule_of(twin_at(core, index)) != NULL && schedule_of(twin_at(core, index))->reference == reference)
            return index;
    return NONE;
}

/* ---- told to the twin ---- */

void schedule_told(core *core, uint32_t index)
{
    schedule next = now_of(core, index);
    if (!next.is_telling || next.is_told)
        return;
    next.is_told = true;
    schedule_put(core, &next);
}

static bool schedule_tell(core *core, uint32_t index)
{
    schedule *known = schedule_of(twin_at(core, index));
    uint8_t payload[16];
    const uint32_t facts[] = { known->facts.periodic_s, known->facts.active_s, known->facts.packets, known->facts.edrx_ms };
    dro_builder out = dro_builder_over(payload, sizeof payload);
    uint32_t state = known->state == SCHEDULE_WAITING ? SCHEDULE_NONE : known->state;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        dro_builder_le(&out, facts[i], 4);
    turn *turn = turn_new(core, index, TURN_SCHEDULE);
    if (turn == NULL)
        return false;
    if (turn_event(core, turn, EVENT_SCHEDULE, state, payload, sizeof payload) != DRO_OK) {
        turn_free(core, turn);
        return false;
    }
    known->is_telling = true;
    turn_send(core, turn);
    return true;
}

/* ---- its time ---- */

static void care(core *core, uint32_t index)
{
    if (!(twin_at(core, index)->flags & TWIN_RUNNING) && timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

/* The network has to hear of it: a wish, or that one is over. */
static bool is_to_be_asked(const schedule *known)
{
    return known->state == SCHEDULE_WAITING || known->state == SCHEDULE_HELD || (known->state == SCHEDULE_NONE && known->reference != 0);
}

int64_t schedule_due(const twin *twin)
{
    const schedule *known = schedule_of(twin);
    if (known != NULL && known->is_unsure)
        return 0;
    if (known == NULL || (known->is_told && (known->is_asking || !is_to_be_asked(known))))
        return INT64_MAX;
    return known->is_told ? known->ask_ms : 0;
}

static bool is_wished(const schedule *of)
{
    return of->state == SCHEDULE_WAITING || of->state == SCHEDULE_APPLIED;
}

static void look(core *core, uint32_t index)
{
    schedule *known = schedule_of(twin_at(core, index));
    bool are_there = parameters_are_there(core, index), is_held = known->state == SCHEDULE_HELD;
    known->is_unsure = false;
    if (!(are_there ? is_wished(known) : is_held))
        return;
    record_begin(core, index, RECORD_DELTA);
    (are_there ? schedule_held : schedule_freed)(core, index);
    record_end(core);
}

void schedule_look_soon(core *core, uint32_t index)
{
    schedule *known = schedule_of(twin_at(core, index));
    if (known == NULL || known->is_unsure || !(is_wished(known) || known->state == SCHEDULE_HELD))
        return;
    known->is_unsure = true;
    care(core, index);
}

bool schedule_expire(core *core, uint32_t index)
{
    const schedule *known = schedule_of(twin_at(core, index));
    if (known != NULL && known->is_unsure && core_refusal(core) == NULL) {
        look(core, index);
        known = schedule_of(twin_at(core, index));
    }
    if (known == NULL)
        return true;
    if (!known->is_told)
        return schedule_tell(core, index);
    if (!known->is_asking && is_to_be_asked(known) && known->ask_ms <= core->now_ms)
        schedule_ask(core, index);
    return true;
}

/* ---- shown ---- */

static void put_number(dro_builder *out, const char *name, uint32_t value, bool *is_first)
{
    if (value == SCHEDULE_UNSAID)
        return;
    json_put(out, "%s\"%s\":%u", *is_first ? "" : ",", name, value);
    *is_first = false;
}

static void put_schedule(dro_builder *out, const schedule *of)
{
    bool is_first = true;
    json_put(out, "{\"state\":\"%s\",\"wanted\":{", schedule_state_text((schedule_state)of->state));
    put_number(out, "latency", of->wish.latency_s, &is_first);
    put_number(out, "response", of->wish.response_s, &is_first);
    put_number(out, "packets", of->wish.packets, &is_first);
    dro_builder_text(out, "},\"network\":{");
    is_first = true;
    put_number(out, "periodic", of->facts.periodic_s, &is_first);
    put_number(out, "active", of->facts.active_s, &is_first);
    put_number(out, "packets", of->facts.packets, &is_first);
    put_number(out, "edrx_ms", of->facts.edrx_ms, &is_first);
    dro_builder_text(out, "}}");
}

void schedule_json(const twin *twin, dro_builder *out)
{
    const schedule *known = schedule_of(twin);
    if (known == NULL)
        return;
    dro_builder_text(out, ",\"available_until\":");
    json_time(out, schedule_listens_until_ms(twin));
    dro_builder_text(out, ",\"schedule\":");
    put_schedule(out, known);
}

static schedule field_read(const dro_field *field)
{
    schedule read = nothing;
    return field->length > 0 && schedule_read(&read, field) == DRO_OK ? read : nothing;
}

const char *schedule_field_state(const dro_field *field)
{
    return schedule_state_text((schedule_state)field_read(field).state);
}

bool schedule_field_says(const dro_field *field)
{
    schedule read = field_read(field);
    return read.state != SCHEDULE_NONE || !schedule_wish_is_empty(&read.wish) || memcmp(&read.facts, &nothing.facts, sizeof read.facts) != 0;
}

void schedule_field_json(const dro_field *field, dro_builder *out)
{
    schedule read = field_read(field);
    put_schedule(out, &read);
}

/* ---- asked of the network ---- */

/* Nothing was heard: it is asked again, later each time. */
static void put_off(core *core, schedule *known)
{
    assert(known != NULL);
    int64_t pause_ms = (int64_t)SCHEDULE_AGAIN_MS << known->failures;
    if (pause_ms < SCHEDULE_AGAIN_MAX_MS)
        known->failures++;
    known->ask_ms = core->now_ms + (pause_ms < SCHEDULE_AGAIN_MAX_MS ? pause_ms : SCHEDULE_AGAIN_MAX_MS);
}

/* The twin whose question is answered; NULL: it is gone, or wishes for nothing any more. */
static schedule *answered(core *core, const inquiry *asked, uint32_t *index)
{
    *index = twin_find_number(core, asked->twin);
    schedule *known = *index == NONE ? NULL : schedule_of(twin_at(core, *index));
    if (known != NULL) {
        known->is_asking = false;
        known->ask_ms = core->now_ms + (core->options.schedule_pause_s > 0 ? core->options.schedule_pause_s * 1000ll : SCHEDULE_PAUSE_MS);
    }
    return known;
}

/* The network's word on a wish. A newer one may have come in the meantime: then that is asked for. */
static void agreed(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    schedule *known = answered(core, asked, &index);
    if (known == NULL)
        return;
    if (said->outcome != INQUIRY_ANSWERED) {
        put_off(core, known);
        care(core, index);
        return;
    }
    schedule_wish wish = { (uint32_t)(asked->subject >> 32), (uint32_t)asked->subject, (uint32_t)asked->detail };
    bool is_newest = known->state == SCHEDULE_WAITING && schedule_wish_is_same(&wish, &known->wish), is_done = said->verdict == VERDICT_DONE;
    schedule_facts facts = parameters_facts(said->fields, said->length);
    facts.periodic_s = facts.periodic_s != SCHEDULE_UNSAID ? facts.periodic_s : wish.latency_s;
    facts.active_s = facts.active_s != SCHEDULE_UNSAID ? facts.active_s : wish.response_s;
    facts.packets = facts.packets != SCHEDULE_UNSAID ? facts.packets : wish.packets;
    known->failures = 0;
    core->counters.schedules_applied += is_done;
    core->counters.schedules_refused += !is_done;
    record_begin(core, index, RECORD_DELTA);
    if (is_done)
        (void)schedule_learn(core, index, &facts, 0);
    if (is_newest)
        schedule_move(core, index, is_done ? SCHEDULE_APPLIED : SCHEDULE_REFUSED, now_of(core, index).reference);
    record_end(core);
    care(core, index);
}

/* The network has nothing of it any more, or never had. */
static void withdrawn(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    schedule *known = answered(core, asked, &index);
    if (known == NULL || known->reference != (uint32_t)asked->detail)
        return;
    if (said->outcome != INQUIRY_ANSWERED) {
        put_off(core, known);
    } else {
        known->failures = 0;
        record_begin(core, index, RECORD_DELTA);
        schedule_forget(core, index, 0);
        record_end(core);
    }
    care(core, index);
}

static void put_wish(dro_builder *out, uint8_t tag, uint32_t value)
{
    if (value != SCHEDULE_UNSAID)
        dro_field_put(out, tag, &value, sizeof value);
}

/* By the name that is this host's for the device, whoever knows it by others. */
static void ask(core *core, uint32_t index, bool is_withdrawal)
{
    uint8_t bytes[512];
    twin *twin = twin_at(core, index);
    schedule *known = schedule_of(twin);
    assert(known != NULL);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_field_put(&out, API_FIELD_ID, id, length);
    dro_field_put(&out, is_withdrawal ? API_FIELD_REFERENCE_GONE : API_FIELD_REFERENCE, &known->reference, sizeof known->reference);
    if (!is_withdrawal) {
        put_wish(&out, API_FIELD_LATENCY, known->wish.latency_s);
        put_wish(&out, API_FIELD_RESPONSE_TIME, known->wish.response_s);
        put_wish(&out, API_FIELD_PACKETS, known->wish.packets);
    }
    inquiry asked = { .kind = INQUIRY_PARAMETERS, .twin = twin->number, .fields = bytes, .length = dro_builder_length(&out),
                      .done = is_withdrawal ? withdrawn : agreed };
    asked.subject = (uint64_t)known->wish.latency_s << 32 | known->wish.response_s;
    asked.detail = is_withdrawal ? known->reference : known->wish.packets;
    known->is_asking = true;
    if (inquiry_begin(core, &asked) == NULL) {
        core->counters.schedules_asked++;
        return;
    }
    known = schedule_of(twin_at(core, index));
    known->is_asking = false;
    put_off(core, known);
}

/* What the network has under a reference is in the record before it is asked: a crash in between leaves nothing behind there. */
void schedule_ask(core *core, uint32_t index)
{
    schedule *known = schedule_of(twin_at(core, index));
    assert(known != NULL);
    bool is_over = known->state == SCHEDULE_NONE, is_held = !is_over && parameters_are_there(core, index);
    if (is_held != (known->state == SCHEDULE_HELD) && !is_over) {
        record_begin(core, index, RECORD_DELTA);
        schedule_move(core, index, is_held ? SCHEDULE_HELD : SCHEDULE_WAITING, known->reference);
        record_end(core);
        known = schedule_of(twin_at(core, index));
        assert(known != NULL);
    }
    if (is_held && known->reference == 0) {
        known->ask_ms = core->now_ms + SCHEDULE_HELD_MS;
        return;
    }
    if (!inquiry_has_node(core, INQUIRY_PARAMETERS)) {
        put_off(core, known);
        return;
    }
    if (known->reference == 0) {
        record_begin(core, index, RECORD_DELTA);
        schedule_move(core, index, (schedule_state)known->state, exposure_reference_new(core, twin_at(core, index)));
        record_end(core);
    }
    ask(core, index, is_held || is_over);
}

void schedule_held(core *core, uint32_t index)
{
    schedule now = now_of(core, index);
    if (is_wished(&now))
        schedule_move(core, index, SCHEDULE_HELD, now.reference);
}

void schedule_freed(core *core, uint32_t index)
{
    schedule now = now_of(core, index);
    schedule_forget(core, index, now.reference);
    if (now.state == SCHEDULE_HELD && !parameters_are_there(core, index))
        schedule_move(core, index, SCHEDULE_WAITING, now.reference);
}

void schedule_forsaken(core *core, const twin *twin)
{
    const schedule *known = schedule_of(twin);
    if (known != NULL && known->reference != 0)
        provision_forget(core, INQUIRY_PARAMETERS, twin, &known->reference, 1);
}
