#include "core/conduct.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "core/audit.h"
#include "core/board.h"
#include "core/call.h"
#include "core/follow.h"
#include "core/mailbox.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"

/* ---- may it run? ---- */

int64_t penalty_until_ms(const core *core, const twin *twin)
{
    const penalty *penalty = twin->has_penalty ? twin->extra->penalty : NULL;
    return penalty != NULL && penalty->until_ms > core->now_ms ? penalty->until_ms : 0;
}

static bool is_slow(const core *core, const penalty *penalty)
{
    return penalty->slow_ms != 0 && core->now_ms - penalty->slow_ms < core->options.conduct.penalty_longest_ms;
}

bool twin_is_on_probation(const core *core, const twin *twin)
{
    return twin->has_penalty && is_slow(core, twin->extra->penalty);
}

uint8_t turn_stopped(const core *core, const turn *turn)
{
    bool is_plain = turn->image == NONE;
    if (!core->stops.has_any)
        return 0;
    if (core->domains[twin_at(core, turn->twin)->domain].is_stopped && (!is_plain || turn->operation == TURN_DOWNLINK))
        return TURN_STOPPED;
    if (!is_plain && core->stops.has_code)
        return TURN_STOPPED;
    return !is_plain && core->images[turn->image].is_stopped ? TURN_QUARANTINED : 0;
}

uint8_t turn_forbidden(core *core, const turn *turn, bool has_run)
{
    const twin *twin = twin_at(core, turn->twin);
    uint8_t stopped = turn_stopped(core, turn);
    if (stopped != 0)
        return stopped;
    if (twin->has_penalty && penalty_until_ms(core, twin) != 0)
        return TURN_PENALTY;
    bool is_counted = !has_run && turn->image != NONE && (twin->has_budget || core->budgets.images[turn->image].image.is_on);
    return is_counted && !budget_lets_begin(core, turn) ? TURN_BUDGET : 0;
}

/* ---- set aside ---- */

static bool is_asked(const turn *turn)
{
    return turn->operation_of == 0 && (turn->operation == TURN_WRITE || turn->operation == TURN_ACTION || turn->operation == TURN_CONFIGURE ||
                                       turn->operation == TURN_DOWNLINK || turn->operation == TURN_CREATE);
}

static void refuse(core *core, const turn *turn, uint8_t status)
{
    const twin *twin = twin_at(core, turn->twin);
    const stop *stop = stop_of_image(core, turn->image);
    assert(status != TURN_QUARANTINED || stop != NULL);
    if (status == TURN_QUARANTINED)
        tell_quarantined(core, turn->caller, turn->operation == TURN_CREATE || turn->operation == TURN_CONFIGURE ? 409 : 503, stop);
    else if (status == TURN_PENALTY)
        tell_later(core, turn->caller, 503, "penalty", (uint32_t)((penalty_until_ms(core, twin) - core->now_ms + 999) / 1000),
                   "the twin is set aside because its turns failed");
    else if (status == TURN_BUDGET)
        tell_later(core, turn->caller, 429, core->budgets.reason,
                   core->budgets.until_ms > core->now_ms ? (uint32_t)((core->budgets.until_ms - core->now_ms + 999) / 1000) : 60,
                   "the twin, or its image, has used up what it may");
    else
        tell_later(core, turn->caller, 503, "stopped", STOP_RETRY_S, "an operator has stopped %s", core->stops.has_code ? "all guest code" : "the domain");
}

void turn_set_aside(core *core, turn *turn, uint8_t status)
{
    static const char *const reasons[] = { [TURN_STOPPED] = "stopped", [TURN_QUARANTINED] = "quarantined", [TURN_PENALTY] = "penalty" };
    core->counters.set_aside++;
    if (turn->operation == TURN_TIMER && !(status == TURN_BUDGET && core->budgets.is_of_result)) /* it stays set, and waits */
        return;
    if (!is_asked(turn)) {
        turn_bury(core, turn, status, status == TURN_BUDGET ? core->budgets.reason : reasons[status], 0);
        return;
    }
    uint32_t index = turn->twin;
    refuse(core, turn, status);
    if (turn->operation == TURN_CREATE)
        twin_forget(core, index);
}

/* ---- penalties ---- */

static int64_t length_ms(const core *core, uint8_t level)
{
    int64_t most = core->options.conduct.penalty_longest_ms, length = core->options.conduct.penalty_first_ms;
    for (uint8_t i = 1; i < level && length < most; i++)
        length *= 2;
    return length < most ? length : most;
}

static void penalty_put(core *core, const penalty *now)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, now->strikes, 1);
    dro_builder_le(part, now->level, 1);
    dro_builder_le(part, now->status, 1);
    dro_builder_le(part, (uint64_t)now->at_ms, 8);
    dro_builder_le(part, (uint64_t)now->until_ms, 8);
    dro_builder_le(part, (uint64_t)now->slow_ms, 8);
    record_part_end(core, FIELD_PENALTY);
}

void penalty_write(core *core, const twin *twin)
{
    if (twin->has_penalty)
        penalty_put(core, twin->extra->penalty);
}

void penalty_free(twin *twin)
{
    if (!twin->has_penalty)
        return;
    free(twin->extra->penalty);
    twin->extra->penalty = NULL;
    twin->has_penalty = false;
}

dro_err penalty_apply(twin *twin, const dro_field *field)
{
    if (field->length == 0) {
        penalty_free(twin);
        return DRO_OK;
    }
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    penalty now;
    now.strikes = (uint8_t)dro_cursor_le(&in, 1);
    now.level = (uint8_t)dro_cursor_le(&in, 1);
    now.status = (uint8_t)dro_cursor_le(&in, 1);
    now.at_ms = (int64_t)dro_cursor_le(&in, 8);
    now.until_ms = (int64_t)dro_cursor_le(&in, 8);
    now.slow_ms = dro_cursor_left(&in) > 0 ? (int64_t)dro_cursor_le(&in, 8) : 0; /* older records have none */
    if (in.err != DRO_OK || now.level > PENALTY_LEVEL_MAX)
        return DRO_MALFORMED;
    twin_extra *extra = twin_extra_get(twin);
    if (extra == NULL || (extra->penalty == NULL && (extra->penalty = malloc(sizeof now)) == NULL))
        return DRO_NOMEM;
    *extra->penalty = now;
    twin->has_penalty = true;
    return DRO_OK;
}

/* A failure is forgotten after a while; how often it was set aside, once it did well for long enough. A clock that
 * was set back forgives nothing. */
static void forget(const core *core, penalty *now)
{
    const conduct_options *options = &core->options.conduct;
    int64_t well_ms = core->now_ms - (now->until_ms > now->at_ms ? now->until_ms : now->at_ms);
    int64_t forgotten = core->now_ms > now->at_ms ? (core->now_ms - now->at_ms) / options->penalty_forget_ms : 0;
    int64_t proof_ms = length_ms(core, now->level), least_ms = options->penalty_forget_ms * options->penalty_failures;
    now->strikes = forgotten < now->strikes ? (uint8_t)(now->strikes - forgotten) : 0;
    if (now->level > 0 && well_ms > (proof_ms > least_ms ? proof_ms : least_ms))
        now->level = 0;
}

static bool is_clean(const core *core, const penalty *now)
{
    return now->strikes == 0 && now->level == 0 && !is_slow(core, now);
}

static void penalty_note(core *core, const twin *twin, const penalty *now)
{
    char name[256], detail[64];
    size_t length;
    const char *id = twin_id(core, twin, &length);
    snprintf(name, sizeof name, "%.*s", (int)length, id);
    snprintf(detail, sizeof detail, "its turns failed; for %lld s", (long long)(now->until_ms - core->now_ms) / 1000);
    audit_note_often(core, AUDIT_TWIN_PENALIZED, name, detail);
}

static void penalty_add(core *core, const twin *twin, uint32_t status)
{
    const conduct_options *options = &core->options.conduct;
    penalty now = { 0 };
    if (twin->has_penalty) {
        now = *twin->extra->penalty;
        forget(core, &now);
    }
    now.at_ms = core->now_ms;
    now.status = (uint8_t)status;
    now.until_ms = 0;
    if (status == TURN_DEADLINE)
        now.slow_ms = core->now_ms;
    if (++now.strikes >= options->penalty_failures) {
        now.strikes = (uint8_t)(options->penalty_failures - 1); /* the next one sets it aside again */
        if (now.level < PENALTY_LEVEL_MAX)
            now.level++;
        now.until_ms = core->now_ms + length_ms(core, now.level);
        core->counters.penalties++;
        penalty_note(core, twin, &now);
    }
    penalty_put(core, &now);
}

/* ---- images ---- */

static uint32_t window_now(const core *core)
{
    return (uint32_t)(core->now_ms / core->options.conduct.window_ms);
}

static void window_begin(core *core, image_conduct *now)
{
    uint32_t window = window_now(core);
    if (now->window == window)
        return;
    if (now->seen != NULL)
        memset(now->seen, 0, CONDUCT_SEEN / 8);
    *now = (image_conduct){ .window = window, .turns = now->turns, .turns_before = now->turns_before, .judged = now->judged, .forgiven = now->forgiven, .seen = now->seen };
}

/* True: it was not among them before. */
static bool is_new_bit(uint64_t *words, uint64_t hash, uint32_t bits)
{
    uint64_t *word = &words[hash % bits / 64], bit = 1ull << (hash % 64);
    bool is_new = (*word & bit) == 0;
    *word |= bit;
    return is_new;
}

static void image_struck(core *core, const turn *turn, uint32_t status)
{
    image_conduct *now = &core->conduct[turn->image];
    uint64_t hash = dro_hash_mix(twin_at(core, turn->twin)->number, core->hash_key);
    window_begin(core, now);
    if (now->seen == NULL && (now->seen = calloc(1, CONDUCT_SEEN / 8)) == NULL)
        return;
    now->failures++;
    bool is_worse = is_new_bit(now->seen, hash, CONDUCT_SEEN);
    now->twins += is_worse;
    if (status == TURN_HOST && is_new_bit(&now->killed_by, hash, 64)) {
        now->killers++;
        is_worse = true;
    }
    if (core->count > 1)
        board_strikes_put(&core->board, turn->image, &(board_strikes){ now->window, now->twins, now->killers, now->failures });
    if (!is_worse)
        return;
    core->conduct_is_worse = true;
    if (core->index > 0 && core->options.bells != NULL) {
        uint64_t one = 1;
        ssize_t ignored = write(core->options.bells[0], &one, sizeof one);
        (void)ignored;
    }
}

/* A core that began anew since has counted less. */
static uint32_t without(uint32_t counted, uint32_t forgiven)
{
    return counted > forgiven ? counted - forgiven : 0;
}

static board_strikes strikes_of_all(const core *core, uint32_t image)
{
    const image_conduct *own = &core->conduct[image];
    board_strikes sum = { .window = window_now(core) };
    if (own->window == sum.window)
        sum = (board_strikes){ own->window, own->twins, own->killers, own->failures };
    for (uint32_t i = 1; i < core->count; i++) {
        board_strikes theirs = board_strikes_of(&core->board, i, image);
        if (theirs.window != sum.window)
            continue;
        sum.twins += theirs.twins;
        sum.killers += theirs.killers;
        sum.failures += theirs.failures;
    }
    if (own->forgiven.window == sum.window) {
        sum.twins = without(sum.twins, own->forgiven.twins);
        sum.killers = without(sum.killers, own->forgiven.killers);
        sum.failures = without(sum.failures, own->forgiven.failures);
    }
    return sum;
}

/* Kept since the first failure of this window was heard of. */
static uint64_t turns_since(core *core, uint32_t image)
{
    image_conduct *own = &core->conduct[image];
    uint64_t turns = own->turns + (core->count > 1 ? board_counted_turns(&core->board, image) : 0);
    if (own->judged != window_now(core)) {
        own->judged = window_now(core);
        own->turns_before = turns;
    }
    return turns - own->turns_before;
}

void conduct_forgive(core *core, uint32_t image)
{
    image_conduct *own = &core->conduct[image];
    if (core->options.conduct.window_ms == 0)
        return;
    own->forgiven = (board_strikes){ 0 };
    own->forgiven = strikes_of_all(core, image);
    own->turns_before += turns_since(core, image);
}

static void judge(core *core, uint32_t image)
{
    const conduct_options *options = &core->options.conduct;
    board_strikes all = strikes_of_all(core, image);
    if (all.failures == 0)
        return;
    uint64_t turns = turns_since(core, image);
    char subject[65], reason[STOP_REASON_MAX];
    bool kills = options->quarantine_kills > 0 && all.killers >= options->quarantine_kills;
    bool fails = options->quarantine_twins > 0 && all.twins >= options->quarantine_twins &&
                 (uint64_t)all.failures * 100 >= (all.failures + turns) * options->quarantine_percent;
    if (!kills && !fails)
        return;
    if (kills)
        snprintf(reason, sizeof reason, "turns of %u twins killed their cells", all.killers);
    else
        snprintf(reason, sizeof reason, "turns of %u twins failed, %u of %llu", all.twins, all.failures,
                 (unsigned long long)all.failures + turns);
    stop_image_subject(core->images[image].digest, subject);
    dro_err err = stop_begin(core, STOP_IMAGE, subject, reason, true);
    if (err != DRO_OK)
        dro_error("image of %s cannot be quarantined: %s", core->images[image].info.model.name, dro_err_text(err));
}

void conduct_step(core *core)
{
    if (core->index != 0 || (core->count > 1 ? !board_strikes_are_new(&core->board) && !core->conduct_is_worse : !core->conduct_is_worse))
        return;
    core->conduct_is_worse = false;
    for (uint32_t i = 0; i < core->image_count; i++)
        if (core->images[i].table != NONE && !core->images[i].is_stopped)
            judge(core, i);
}

void conduct_free(core *core)
{
    for (uint32_t i = 0; i < CORE_IMAGES_MAX; i++)
        free(core->conduct[i].seen);
}

/* ---- of a turn ---- */

/* A context that cannot be read is the disk's doing. A twin that is being made is none yet, but it may have killed its cell. */
void conduct_failed(core *core, const turn *turn, uint32_t status)
{
    bool is_own = turn->image != NONE && status < TURN_UNREADABLE;
    bool is_made = turn->operation == TURN_CREATE;
    if (is_own && core->options.conduct.window_ms > 0 && (!is_made || status == TURN_HOST))
        image_struck(core, turn, status);
    if (is_own && core->options.conduct.penalty_failures > 0 && !is_made)
        penalty_add(core, twin_at(core, turn->twin), status);
}

void conduct_kept(core *core, const turn *turn)
{
    const twin *twin = twin_at(core, turn->twin);
    if (turn->image != NONE)
        core->conduct[turn->image].turns++;
    if (!twin->has_penalty)
        return;
    penalty now = *twin->extra->penalty;
    if (core->options.conduct.penalty_failures > 0)
        forget(core, &now);
    if (core->options.conduct.penalty_failures == 0 || is_clean(core, &now))
        record_put(core, FIELD_PENALTY, NULL, 0);
}

/* ---- shown, and ended ---- */

void penalty_render(const core *core, const twin *twin, dro_builder *out)
{
    int64_t until_ms = penalty_until_ms(core, twin);
    if (twin_is_on_probation(core, twin)) {
        json_put(out, ",\"probation\":{\"until\":");
        json_time(out, twin->extra->penalty->slow_ms + core->options.conduct.penalty_longest_ms);
        dro_builder_text(out, "}");
    }
    if (until_ms == 0)
        return;
    json_put(out, ",\"penalty\":{\"until\":");
    json_time(out, until_ms);
    json_put(out, ",\"times\":%u,\"reason\":\"%s\"}", twin->extra->penalty->level, turn_failure_text(twin->extra->penalty->status));
}

void api_penalty_delete(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred(core, call, index))
        return;
    const twin *twin = twin_at(core, index);
    if (!twin->has_penalty) {
        tell_problem(core, call->caller, 404, "about:blank", "the twin is not set aside, nor did it fail lately");
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    record_put(core, FIELD_PENALTY, NULL, 0);
    record_end(core);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
    if (timers_update(core, index) != DRO_OK)
        dro_error("timers: out of memory");
}
