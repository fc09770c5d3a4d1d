#include "core/farewell.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/host.h"
#include "core/names.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/trigger_question.h"
#include "twin/t8.h"

enum { HEAD = 8 + 8 + 4 + 4 + 4 + 1 };

/* ---- the table ---- */

static farewell *find(const core *core, uint64_t number)
{
    farewell *found = core->farewells.first;
    while (found != NULL && found->number != number)
        found = found->next;
    return found;
}

static bool is_about(const farewell *one, uint32_t reference)
{
    dro_cursor in = dro_cursor_over(one->fields, one->length);
    dro_field field;
    bool is_it = one->gone == reference || one->reference == reference;
    while (!is_it && one->kind != INQUIRY_TRIGGER && dro_field_next(&in, &field))
        is_it = field.tag == API_FIELD_REFERENCE_GONE && field.length == sizeof reference && memcmp(field.bytes, &reference, sizeof reference) == 0;
    return is_it;
}

bool farewell_has(const core *core, uint32_t reference)
{
    const farewell *one = core->farewells.first;
    while (one != NULL && !is_about(one, reference))
        one = one->next;
    return one != NULL;
}

static void one_free(farewell *gone)
{
    dro_wipe(gone->fields, gone->length);
    free(gone);
}

static void drop(core *core, uint64_t number)
{
    farewell_table *all = &core->farewells;
    farewell *before = NULL, *gone = all->first;
    while (gone != NULL && gone->number != number) {
        before = gone;
        gone = gone->next;
    }
    if (gone == NULL)
        return;
    *(before == NULL ? &all->first : &before->next) = gone->next;
    if (all->last == gone)
        all->last = before;
    all->count--;
    all->asked -= gone->is_asked;
    all->bytes -= HEAD + gone->length;
    one_free(gone);
}

static bool add(core *core, const farewell *head, const uint8_t *fields, size_t length)
{
    farewell_table *all = &core->farewells;
    farewell *made = malloc(sizeof *made + length);
    if (made == NULL)
        return false;
    *made = *head;
    made->next = NULL;
    made->length = (uint16_t)length;
    if (length > 0)
        memcpy(made->fields, fields, length);
    *(all->last == NULL ? &all->first : &all->last->next) = made;
    all->last = made;
    all->count++;
    all->bytes += HEAD + length;
    all->due_ms = 0;
    return true;
}

/* ---- in records ---- */

static void write_one(core *core, const farewell *head, const uint8_t *fields, size_t length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, head->number, 8);
    dro_builder_le(part, (uint64_t)head->until_ms, 8);
    dro_builder_le(part, head->group, 4);
    dro_builder_le(part, head->reference, 4);
    dro_builder_le(part, head->gone, 4);
    dro_builder_le(part, head->kind, 1);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_FAREWELL);
}

/* Inside a record: it was told, or nobody will tell it. */
static void put_gone(core *core, uint64_t number)
{
    record_put(core, FIELD_FAREWELL_GONE, &number, sizeof number);
    drop(core, number);
}

static void lose(core *core, const char *why)
{
    core->counters.farewells_dropped++;
    dro_warn("what the network has of a device that is gone will not be ended there: %s", why);
}

void farewell_put(core *core, uint64_t partition, const farewell *head, const uint8_t *fields, size_t length)
{
    farewell made = *head;
    bool is_alone = !record_is_open(core);
    if (length > FAREWELL_FIELDS_MAX) {
        lose(core, "it is too much to be kept");
        return;
    }
    if (is_alone)
        record_begin(core, NONE, RECORD_GROUPS);
    if (core->farewells.count >= FAREWELLS_MAX) {
        lose(core, "too many wait to be; this one is the oldest");
        put_gone(core, core->farewells.first->number);
    }
    made.number = (partition & PARTITION_MASK) | (core->nidd.next++ & ~PARTITION_MASK);
    made.round = UINT64_MAX;
    made.retry_ms = 0;
    made.is_asked = false;
    write_one(core, &made, fields, length);
    if (!add(core, &made, fields, length))
        lose(core, "out of memory until the next start");
    if (is_alone)
        record_end(core);
}

void farewell_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    farewell head = { .number = dro_cursor_le(&in, 8) };
    if (field->tag == FIELD_FAREWELL_GONE) {
        drop(core, head.number);
        return;
    }
    head.until_ms = (int64_t)dro_cursor_le(&in, 8);
    head.group = (uint32_t)dro_cursor_le(&in, 4);
    head.reference = (uint32_t)dro_cursor_le(&in, 4);
    head.gone = (uint32_t)dro_cursor_le(&in, 4);
    head.kind = (uint8_t)dro_cursor_le(&in, 1);
    bool is_good = in.err == DRO_OK && head.kind < INQUIRY_KINDS && dro_cursor_left(&in) <= FAREWELL_FIELDS_MAX;
    if (!is_good || !core_owns(core, (uint32_t)(head.number >> 52)) || find(core, head.number) != NULL)
        return;
    if (core->farewells.count >= FAREWELLS_MAX) { /* of more cores than there are now */
        lose(core, "too many wait to be; this one is the oldest");
        drop(core, core->farewells.first->number);
    }
    if (!add(core, &head, in.at, dro_cursor_left(&in)))
        lose(core, "out of memory until the next start");
}

void farewells_write(core *core)
{
    enum { BYTES = 64 * 1024 }; /* in one record, about */
    const farewell *next = core->farewells.first;
    while (next != NULL) {
        record_begin(core, NONE, RECORD_GROUPS);
        for (; next != NULL && record_size(core) < BYTES; next = next->next)
            write_one(core, next, next->fields, next->length);
        record_end(core);
    }
}

void farewells_free(core *core)
{
    while (core->farewells.first != NULL)
        drop(core, core->farewells.first->number);
}

/* ---- asked ---- */

static void put_off(core *core, farewell *one)
{
    int64_t pause_ms = (int64_t)FAREWELL_PAUSE_MS << one->retries;
    if (pause_ms < FAREWELL_PAUSE_MAX_MS)
        one->retries++;
    one->retry_ms = core->now_ms + (pause_ms < FAREWELL_PAUSE_MAX_MS ? pause_ms : FAREWELL_PAUSE_MAX_MS);
    if (one->retry_ms < core->farewells.due_ms)
        core->farewells.due_ms = one->retry_ms;
}

static void over(core *core, uint64_t number)
{
    record_begin(core, NONE, RECORD_GROUPS);
    put_gone(core, number);
    record_end(core);
}

static void answered(core *core, const inquiry *asked, const inquiry_said *said);

/* False: it cannot be asked now. `subscriber`: behind the question for it, of a trigger. */
static bool ask(core *core, farewell *one, const inquiry_said *subscriber)
{
    uint8_t bytes[TRIGGER_QUESTION_BYTES];
    char room[TRIGGER_NODE_BYTES + 1];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint64_t number = one->number;
    inquiry question = { .kind = (enum inquiry_kind)one->kind, .group = one->group, .subject = number, .fields = one->fields, .length = one->length,
                         .done = answered };
    if (one->kind == INQUIRY_TRIGGER) {
        trigger_wanted wanted = { .fields = one->fields, .length = one->length, .reference = one->reference, .old_reference = one->gone,
                                  .action = TRIGGER_RECALL, .subscriber = subscriber };
        (void)trigger_question(core, &wanted, &out, &question, room);
    }
    bool is_asked = out.err == DRO_OK && inquiry_begin(core, &question) == NULL;
    dro_wipe(bytes, dro_builder_length(&out));
    one->is_asked = is_asked;
    core->farewells.asked += is_asked;
    return is_asked;
}

/* Of a trigger: the subscriber's data is known, and the service centre is next; or who was asked wants to be asked again. */
static bool goes_on(core *core, farewell *one, const inquiry_said *said)
{
    trigger_answer answer = trigger_answer_of(said);
    bool is_taken = trigger_is_taken(answer.word);
    if (is_taken && answer.stage == TRIGGER_BY_SUBSCRIBER) {
        if (!ask(core, one, said))
            put_off(core, one);
        return true;
    }
    if (is_taken || trigger_word_rows[answer.word].way != TRIGGER_WAY_RETRY)
        return false;
    put_off(core, one);
    return true;
}

/* Whatever the network says, it has nothing of it any more, or never had. */
static void answered(core *core, const inquiry *asked, const inquiry_said *said)
{
    farewell *one = find(core, asked->subject);
    if (one == NULL)
        return;
    one->is_asked = false;
    core->farewells.asked--;
    core->farewells.due_ms = 0; /* there is room for another question */
    if (said->outcome != INQUIRY_ANSWERED) {
        put_off(core, one);
        return;
    }
    if (one->kind == INQUIRY_TRIGGER && goes_on(core, one, said))
        return;
    core->counters.farewells_told++;
    over(core, one->number);
}

/* ---- time ---- */

/* Its time has come; false: it waits. It may be gone behind. */
static bool take(core *core, farewell *one)
{
    if (one->is_asked || core->farewells.asked >= FAREWELLS_ASKED_MAX)
        return false;
    if (one->until_ms <= core->now_ms) {
        over(core, one->number);
        return true;
    }
    if (one->round == UINT64_MAX) /* its record has ended since */
        one->round = core->round_last;
    if (one->round > core->round_told) {
        core->farewells.round = core->farewells.round > one->round ? core->farewells.round : one->round;
        core->farewells.due_ms = 0;
        return false;
    }
    if (one->retry_ms > core->now_ms) {
        core->farewells.due_ms = one->retry_ms < core->farewells.due_ms ? one->retry_ms : core->farewells.due_ms;
        return false;
    }
    if (!ask(core, one, NULL))
        put_off(core, one);
    return true;
}

int64_t farewells_due(const core *core)
{
    const farewell_table *all = &core->farewells;
    return all->count == 0 || all->round > core->round_told ? INT64_MAX : all->due_ms;
}

int farewells_step(core *core)
{
    uint32_t taken = 0;
    if (core->farewells.count == 0 || core->farewells.due_ms > core->now_ms || core_refusal(core) != NULL)
        return 0;
    core->farewells.due_ms = INT64_MAX; /* what is to come says so below, and an answer */
    for (farewell *one = core->farewells.first, *next; one != NULL; one = next) {
        if (taken == FAREWELLS_BATCH) {
            core->farewells.due_ms = 0;
            break;
        }
        next = one->next;
        taken += take(core, one);
    }
    return (int)taken;
}
