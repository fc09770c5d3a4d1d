#include "core/budget.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/call.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/images.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/twin_table.h"

/* ---- limits ---- */

static uint32_t value_of(const core *core, const image_budget *image, uint32_t scope, uint32_t value)
{
    uint32_t own = image->own[scope].of[value];
    return own != BUDGET_UNSAID ? own : core->options.budgets[scope].of[value];
}

static void resolve(const core *core, const image_budget *image, uint32_t scope, budget *out)
{
    float share = scope == BUDGET_OF_IMAGE ? 1.0f / (float)core->count : 1.0f;
    *out = (budget){ 0 };
    for (uint32_t kind = 0; kind < BUDGET_KINDS; kind++) {
        float unit = kind == BUDGET_CPU ? 1000.0f : 1.0f;
        uint32_t rate = value_of(core, image, scope, kind), burst = value_of(core, image, scope, BUDGET_BURST + kind);
        if (rate == 0)
            continue;
        out->rate[kind] = (float)rate * unit * share / 60000.0f;
        out->burst[kind] = (float)(burst != 0 ? burst : rate) * unit * share;
        out->fraction[kind] = 1.0f / out->burst[kind];
        out->is_on = true;
    }
    uint32_t memory = value_of(core, image, scope, BUDGET_MEMORY);
    uint64_t bytes = scope == BUDGET_OF_IMAGE ? (uint64_t)memory * 1024 / core->count : memory;
    out->memory = memory != 0 ? bytes : UINT64_MAX;
}

static void own_forget(image_budget *image)
{
    memset(image->own, 0xff, sizeof image->own);
}

static void resolve_both(core *core, image_budget *image)
{
    resolve(core, image, BUDGET_OF_TWIN, &image->twin);
    resolve(core, image, BUDGET_OF_IMAGE, &image->image);
}

void budgets_init(core *core)
{
    for (uint32_t i = 0; i < CORE_IMAGES_MAX; i++) {
        own_forget(&core->budgets.images[i]);
        resolve_both(core, &core->budgets.images[i]);
    }
}

/* ---- buckets ---- */

static budget_state *set_of(const core *core, uint32_t twin)
{
    return core->budgets.sets[dro_hash_mix(twin, core->hash_key) % BUDGET_SETS];
}

/* One that has a bucket has it in one of the ways of its set. */
static budget_state *state_find(const core *core, uint32_t twin)
{
    budget_state *set = set_of(core, twin);
    int way = 0;
    while (way < BUDGET_WAYS - 1 && set[way].twin != twin + 1)
        way++;
    assert(set[way].twin == twin + 1);
    return &set[way];
}

static budget_state *state_of(const core *core, uint32_t twin)
{
    return twin_at(core, twin)->has_budget ? state_find(core, twin) : NULL;
}

static void state_drop(core *core, budget_state *state)
{
    twin_at(core, state->twin - 1)->has_budget = false;
    state->twin = 0;
}

static budget_state *state_new(core *core, uint32_t twin)
{
    if (core->budgets.sets == NULL && (core->budgets.sets = calloc(BUDGET_SETS, sizeof *core->budgets.sets)) == NULL)
        return NULL;
    budget_state *set = set_of(core, twin), *place = &set[0];
    for (int i = 0; i < BUDGET_WAYS && place->twin != 0; i++)
        if (set[i].twin == 0 || set[i].at_ms < place->at_ms)
            place = &set[i];
    if (place->twin != 0)
        state_drop(core, place);
    *place = (budget_state){ .twin = twin + 1, .at_ms = core->now_ms };
    twin_at(core, twin)->has_budget = true;
    return place;
}

/* True: nothing is missing any more. A clock that was set back fills nothing. */
static bool refill(const budget *limits, float spent[BUDGET_KINDS], int64_t *at_ms, int64_t now_ms)
{
    float passed = now_ms > *at_ms ? (float)(now_ms - *at_ms) : 0.0f, left = 0.0f;
    *at_ms = now_ms;
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        float now = limits->burst[kind] > 0 ? spent[kind] - passed * limits->rate[kind] : 0.0f;
        spent[kind] = now > 0 ? now : 0.0f;
        left += spent[kind];
    }
    return left <= 0.0f;
}

static float spent_now(const budget *limits, const float spent[BUDGET_KINDS], int64_t at_ms, int64_t now_ms, int kind)
{
    float passed = now_ms > at_ms ? (float)(now_ms - at_ms) : 0.0f, now = spent[kind] - passed * limits->rate[kind];
    return now > 0 ? now : 0.0f;
}

/* What stands against a turn: CPU, log bytes on disk and timers that ran; NULL: nothing. */
static int kind_spent(const budget *limits, const float spent[BUDGET_KINDS], int64_t at_ms, int64_t now_ms, int64_t *until_ms)
{
    static const uint8_t kinds[] = { BUDGET_CPU, BUDGET_STORAGE, BUDGET_TIMERS };
    for (size_t i = 0; i < sizeof kinds; i++) {
        int kind = kinds[i];
        if (limits->burst[kind] <= 0)
            continue;
        float over = spent_now(limits, spent, at_ms, now_ms, kind) - limits->burst[kind];
        if (over < 0)
            continue;
        *until_ms = now_ms + 1 + (int64_t)ceilf(over / limits->rate[kind]);
        return kind;
    }
    return BUDGET_KINDS;
}

static const char *const reasons[BUDGET_SCOPES][BUDGET_KINDS] = {
    { "budget_cpu", "budget_messages", "budget_timers", "budget_log", "budget_storage" },
    { "budget_image_cpu", "budget_image_messages", "budget_image_timers", "budget_image_log", "budget_image_storage" },
};

/* Timers wait for their own; only CPU and storage stand against other events. */
static bool stands_against(int kind, const turn *turn)
{
    return kind == BUDGET_CPU || kind == BUDGET_STORAGE || (kind == BUDGET_TIMERS && turn->operation == TURN_TIMER);
}

bool budget_lets_begin(core *core, const turn *turn)
{
    image_budget *image = &core->budgets.images[turn->image];
    const budget_state *state = state_of(core, turn->twin);
    int64_t until_ms = 0;
    int kind = state != NULL ? kind_spent(&image->twin, state->spent, state->at_ms, core->now_ms, &until_ms) : BUDGET_KINDS;
    uint32_t scope = BUDGET_OF_TWIN;
    if (!stands_against(kind, turn) && image->image.is_on) {
        kind = kind_spent(&image->image, image->spent, image->at_ms, core->now_ms, &until_ms);
        scope = BUDGET_OF_IMAGE;
    }
    if (!stands_against(kind, turn))
        return true;
    core->budgets.reason = reasons[scope][kind];
    core->budgets.until_ms = until_ms;
    core->budgets.is_of_result = false;
    return false;
}

int64_t budget_until_ms(const core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (twin->image == NONE)
        return 0;
    const image_budget *image = &core->budgets.images[twin->image];
    const budget_state *state = state_of(core, index);
    int64_t until_ms = 0, image_ms = 0;
    if (state != NULL)
        kind_spent(&image->twin, state->spent, state->at_ms, core->now_ms, &until_ms);
    if (image->image.is_on)
        kind_spent(&image->image, image->spent, image->at_ms, core->now_ms, &image_ms);
    return until_ms > image_ms ? until_ms : image_ms;
}

/* ---- effects ---- */

static uint32_t messages_of(const core *core)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->effect_count; i++) {
        effect_kind kind = core->effects[i].kind;
        count += kind == EFFECT_DOWNLINK || kind == EFFECT_NOTIFY || kind == EFFECT_TRIGGER;
    }
    return count;
}

static float left_in(const budget *limits, const float spent[BUDGET_KINDS], int64_t at_ms, int64_t now_ms, int kind)
{
    return limits->burst[kind] > 0 ? limits->burst[kind] - spent_now(limits, spent, at_ms, now_ms, kind) : INFINITY;
}

/* In the twin's bucket or its image's, of which there is less. */
static float left_of(const core *core, const turn *turn, int kind, uint32_t *scope)
{
    static const budget_state full;
    const image_budget *image = &core->budgets.images[turn->image];
    const budget_state *own = state_of(core, turn->twin), *state = own != NULL ? own : &full;
    float of_twin = left_in(&image->twin, state->spent, state->at_ms, core->now_ms, kind);
    float of_image = left_in(&image->image, image->spent, image->at_ms, core->now_ms, kind);
    *scope = of_image < of_twin ? BUDGET_OF_IMAGE : BUDGET_OF_TWIN;
    return of_image < of_twin ? of_image : of_twin;
}

/* A turn whose context is not larger than before is kept: else its twin could not even make it smaller. */
static const char *memory_reason(const core *core, const turn *turn, uint32_t context_length)
{
    const image_budget *image = &core->budgets.images[turn->image];
    uint32_t had = twin_at(core, turn->twin)->context_length, has = context_length > 0 ? context_length + VAULT_OVERHEAD : 0;
    if (context_length > image->twin.memory)
        return "budget_memory";
    return has > had && image->context_bytes - had + has > image->image.memory ? "budget_image_memory" : NULL;
}

bool budget_lets_keep(core *core, const turn *turn, uint32_t context_length)
{
    if (turn->image == NONE)
        return true;
    const image_budget *image = &core->budgets.images[turn->image];
    core->budgets.until_ms = 0;
    core->budgets.is_of_result = true;
    const char *reason = memory_reason(core, turn, context_length);
    if (reason != NULL) {
        core->budgets.reason = reason;
        return false;
    }
    uint32_t messages = messages_of(core), scope;
    if (messages == 0 || (float)messages <= left_of(core, turn, BUDGET_MESSAGES, &scope))
        return true;
    const budget *limits = scope == BUDGET_OF_IMAGE ? &image->image : &image->twin;
    core->budgets.reason = reasons[scope][BUDGET_MESSAGES];
    core->budgets.until_ms = core->now_ms + (int64_t)ceilf((float)messages / limits->rate[BUDGET_MESSAGES]);
    return false;
}

uint32_t budget_log_left(const core *core, const turn *turn)
{
    if (turn->image == NONE)
        return UINT32_MAX;
    uint32_t scope;
    float left = left_of(core, turn, BUDGET_LOG, &scope);
    return left <= 0 ? 0 : left >= (float)EFFECTS_BYTES_MAX ? UINT32_MAX : (uint32_t)left;
}

/* ---- charging ---- */

static void charge_twin(core *core, const turn *turn, const budget *limits, const float cost[BUDGET_KINDS])
{
    float part = 0.0f, times = 1.0f;
    budget_state *state = state_of(core, turn->twin);
    for (int kind = 0; kind < BUDGET_KINDS; kind++)
        part += cost[kind] * limits->fraction[kind];
    float chance = part * BUDGET_GRAIN;
    if (state != NULL && refill(limits, state->spent, &state->at_ms, core->now_ms) && chance < 1.0f) {
        state_drop(core, state); /* back among those without: charges are by chance again */
        state = NULL;
    }
    if (state == NULL) {
        if (chance < 1.0f && chance * 16777216.0f <= (float)(turn->seed >> 40))
            return;
        times = chance < 1.0f ? 1.0f / chance : 1.0f;
        if ((state = state_new(core, turn->twin)) == NULL)
            return;
    }
    for (int kind = 0; kind < BUDGET_KINDS; kind++)
        if (limits->burst[kind] > 0)
            state->spent[kind] += cost[kind] * times;
}

void budget_charge(core *core, const turn *turn, uint32_t cpu_nanos, uint32_t log_bytes, size_t record_bytes)
{
    if (turn->image == NONE)
        return;
    image_budget *image = &core->budgets.images[turn->image];
    if (!image->twin.is_on && !image->image.is_on)
        return;
    float cost[BUDGET_KINDS] = { [BUDGET_CPU] = (float)cpu_nanos * 0.001f, [BUDGET_MESSAGES] = record_bytes > 0 ? (float)messages_of(core) : 0.0f,
                                 [BUDGET_TIMERS] = turn->operation == TURN_TIMER, [BUDGET_LOG] = (float)log_bytes,
                                 [BUDGET_STORAGE] = (float)record_bytes };
    if (image->twin.is_on && turn->operation != TURN_CREATE)
        charge_twin(core, turn, &image->twin, cost);
    if (image->image.is_on) {
        refill(&image->image, image->spent, &image->at_ms, core->now_ms);
        for (int kind = 0; kind < BUDGET_KINDS; kind++)
            image->spent[kind] += image->image.burst[kind] > 0 ? cost[kind] : 0.0f;
    }
}

void budget_forget(core *core, uint32_t twin)
{
    budget_state *state = state_of(core, twin);
    if (state != NULL)
        state_drop(core, state);
}

void budgets_free(core *core)
{
    free(core->budgets.sets);
    core->budgets.sets = NULL;
}

/* ---- what images have of their own ---- */

void budgets_write(const core *core, dro_builder *out)
{
    for (uint32_t i = 0; i < core->image_count; i++) {
        uint8_t part[4 + BUDGET_SCOPES * BUDGET_VALUES * 6];
        dro_builder inner = dro_builder_over(part, sizeof part);
        dro_builder_le(&inner, i, 4);
        for (uint8_t at = 0; core->images[i].table != NONE && at < BUDGET_SCOPES * BUDGET_VALUES; at++) {
            uint32_t own = core->budgets.images[i].own[at / BUDGET_VALUES].of[at % BUDGET_VALUES];
            if (own == BUDGET_UNSAID)
                continue;
            dro_builder_le(&inner, at / BUDGET_VALUES, 1);
            dro_builder_le(&inner, at % BUDGET_VALUES, 1);
            dro_builder_le(&inner, own, 4);
        }
        if (dro_builder_length(&inner) > 4)
            dro_field_put(out, HOST_BUDGET, part, dro_builder_length(&inner));
    }
}

dro_err budget_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t index = (uint32_t)dro_cursor_le(&in, 4);
    if (in.err != DRO_OK || index >= core->image_count || core->images[index].table == NONE)
        return DRO_CORRUPT;
    while (dro_cursor_left(&in) > 0) {
        uint32_t scope = (uint32_t)dro_cursor_le(&in, 1);
        uint32_t value = (uint32_t)dro_cursor_le(&in, 1);
        uint32_t own = (uint32_t)dro_cursor_le(&in, 4);
        if (in.err != DRO_OK || scope >= BUDGET_SCOPES || value >= BUDGET_VALUES)
            return DRO_CORRUPT;
        core->budgets.images[index].own[scope].of[value] = own;
    }
    resolve_both(core, &core->budgets.images[index]);
    return DRO_OK;
}

void budgets_follow_begin(core *core)
{
    for (uint32_t i = 0; i < core->image_count; i++)
        own_forget(&core->budgets.images[i]);
}

void budgets_follow_end(core *core)
{
    for (uint32_t i = 0; i < core->image_count; i++)
        resolve_both(core, &core->budgets.images[i]);
}

void budget_put(const core *core, uint32_t index, dro_builder *out)
{
    const image_budget *image = &core->budgets.images[index];
    dro_builder_text(out, "{");
    for (uint32_t scope = 0; scope < BUDGET_SCOPES; scope++) {
        json_put(out, "%s\"%s\":{", scope > 0 ? "," : "", budget_scope_name(scope));
        for (uint32_t value = 0; value < BUDGET_VALUES; value++)
            json_put(out, "%s\"%s\":%u", value > 0 ? "," : "", budget_value_name(value), value_of(core, image, scope, value));
        dro_builder_text(out, "}");
    }
    dro_builder_text(out, "}");
}

/* Null of the budget, of a scope or of a value: the host's again. */
static void patch(const call *call, image_budget *image)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    if (call_nulls(call, "budget"))
        own_forget(image);
    for (uint32_t scope = 0; scope < BUDGET_SCOPES; scope++)
        if (call_nulls(call, budget_scope_name(scope)))
            memset(&image->own[scope], 0xff, sizeof image->own[scope]);
    while (dro_field_next(&in, &field)) {
        uint32_t value;
        if (field.tag != API_FIELD_BUDGET || field.length != 6 || field.bytes[0] >= BUDGET_SCOPES || field.bytes[1] >= BUDGET_VALUES)
            continue;
        memcpy(&value, field.bytes + 2, 4);
        image->own[field.bytes[0]].of[field.bytes[1]] = value;
    }
}

void api_image_patch(core *core, const call *call)
{
    uint32_t index = call->image == NULL ? NONE : image_find(core, call->image);
    if (index == NONE) {
        tell_problem(core, call->caller, 404, "about:blank", "no such image is here");
        return;
    }
    image_budget before = core->budgets.images[index];
    patch(call, &core->budgets.images[index]);
    dro_err err = host_keep(core);
    if (err != DRO_OK) {
        core->budgets.images[index] = before;
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept: %s", dro_err_text(err));
        return;
    }
    resolve_both(core, &core->budgets.images[index]);
    follow_wake(core);
    api_image_get(core, call);
}
