/* What becomes of a turn that is over: the record that keeps it, or the dead letter. */
#include "core/turn.h"

#include <string.h>

#include "core/api.h"
#include "core/charge.h"
#include "core/conduct.h"
#include "core/host_tables.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/rds.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/trigger.h"
#include "core/twin_table.h"
#include "twin/event.h"

static void put_event(core *core, const turn *turn, uint8_t outcome, uint32_t cpu_nanos)
{
    bool is_secret = turn->kind == EVENT_CREATED || turn->kind == EVENT_CONFIGURED;
    dro_builder *part = record_part(core);
    dro_builder_le(part, turn->kind, 1);
    dro_builder_le(part, turn->event_id, 4);
    dro_builder_le(part, outcome, 1);
    dro_builder_le(part, cpu_nanos, 4);
    dro_builder_bytes(part, turn->event, is_secret ? 0 : turn->length);
    record_part_end(core, FIELD_EVENT);
}

void put_uplink(core *core, uint32_t index, uint16_t host, uint32_t end_to_end)
{
    contact_heard(core, index);
    dro_builder *part = record_part(core);
    dro_builder_le(part, host, 2);
    dro_builder_le(part, end_to_end, 4);
    dro_builder_le(part, 2001, 4);
    record_part_end(core, FIELD_DUPLICATE);
}

static void keep_uplink(core *core, const turn *turn)
{
    put_uplink(core, turn->twin, turn->host, turn->end_to_end);
    charge_uplink(core, turn->twin, turn->length, turn->event_id != 0);
    rds_keep_sign(core, turn->twin, &turn->sign);
}

/* What began it is over, whatever came of it. */
static void keep_cause(core *core, const turn *turn)
{
    if (turn->operation == TURN_UPLINK)
        keep_uplink(core, turn);
    else if (turn->operation == TURN_TIMER)
        timer_put(core, turn->twin, turn->event_id, -1);
    else if (turn->operation == TURN_SCHEDULE)
        schedule_told(core, turn->twin);
}

/* The record is whole: who asked is told. */
static void record_finish(core *core, turn *turn)
{
    uint64_t round = record_end(core);
    if (turn->operation == TURN_UPLINK)
        network_answer_send(core, turn->caller, 2001, 0, round);
    else if (turn->operation == TURN_TRIGGER)
        trigger_turn_done(core, turn, round);
    else
        api_turn_done(core, turn);
}

void turn_keep(core *core, turn *turn, const turn_result *result, const uint8_t *context)
{
    uint32_t index = turn->twin;
    record_begin(core, index, turn->operation == TURN_CREATE ? RECORD_FULL : RECORD_DELTA);
    api_turn_begin(core, turn);
    const twin *twin = twin_at(core, index);
    if (twin->row == NONE || twin->image != turn->image) { /* being made, or given an image, and the columns took no row */
        static const char why[] = "its row cannot be kept: no room, or a name too long";
        record_abandon(core);
        if (turn->operation == TURN_CREATE)
            api_create_failed(core, turn, why);
        else
            tell_problem(core, turn->caller, 503, "about:blank", "%s", why);
        return;
    }
    put_event(core, turn, (uint8_t)result->outcome, result->cpu_nanos);
    if (turn->operation == TURN_UPLINK && turn->image == NONE)
        record_put(core, FIELD_PASSED, NULL, 0);
    keep_cause(core, turn);
    uint32_t log_bytes = effects_keep(core, turn);
    if (turn->operation == TURN_UPLINK && result->outcome != EVENT_SWALLOWED)
        nidd_uplink(core, index, turn->event, turn->length, &turn->sign);
    api_turn_end(core, turn, result->outcome);
    if (turn->operation == TURN_TRIGGER)
        trigger_turn_keep(core, turn);
    conduct_kept(core, turn);
    record_context(core, turn_slot(core, turn), context, result->context_length);
    budget_charge(core, turn, result->cpu_nanos, log_bytes, record_size(core));
    record_finish(core, turn);
}

static const char *const trap_reasons[] = {
    [TURN_TRAP] = "trap", [TURN_OUT_OF_BOUNDS] = "memory access out of bounds", [TURN_STACK_OVERFLOW] = "stack overflow",
    [TURN_DEADLINE] = "deadline exceeded", [TURN_MEMORY] = "memory limit", [TURN_BAD_RESULT] = "unknown result of dromio_event",
    [TURN_BAD_CONTEXT] = "context does not fit the image", [TURN_EFFECTS] = "too many or malformed effects",
    [TURN_HOST] = "cell failed", [TURN_UNREADABLE] = "its context cannot be read", [TURN_STOPPED] = "stopped",
    [TURN_QUARANTINED] = "quarantined", [TURN_PENALTY] = "penalty", [TURN_BUDGET] = "budget",
};

const char *turn_failure_text(uint32_t status)
{
    return status < sizeof trap_reasons / sizeof trap_reasons[0] && trap_reasons[status] != NULL ? trap_reasons[status]
                                                                                                : "unknown";
}

static void put_dead_letter(core *core, const turn *turn, const char *reason)
{
    const twin *twin = twin_at(core, turn->twin);
    bool is_secret = turn->kind == EVENT_CREATED || turn->kind == EVENT_CONFIGURED;
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_builder *part = record_part(core);
    uint32_t domain = twin->domain | record_owner(core) << 16;
    dro_builder_le(part, domain, 4);
    dro_builder_text(part, "{\"id\":");
    json_text(part, id, length);
    dro_builder_text(part, ",\"time\":");
    json_time(part, core->now_ms);
    json_put(part, ",\"kind\":\"%s\",\"frame\":\"", event_kind_text((event_kind)turn->kind));
    for (uint32_t i = 0; !is_secret && i < turn->length; i++)
        json_put(part, "%02x", turn->event[i]);
    json_put(part, "\",\"reason\":\"%s\",\"image\":\"sha256:", reason);
    for (int i = 0; turn->image != NONE && i < 32; i++)
        json_put(part, "%02x", core->images[turn->image].digest[i]);
    dro_builder_text(part, "\"}");
    dead_letter_keep(core, domain, (const char *)part->start + 4, dro_builder_length(part) - 4);
    record_part_end(core, FIELD_DEAD);
}

void turn_bury(core *core, turn *turn, uint32_t status, const char *reason, uint32_t cpu_nanos)
{
    core->counters.traps[status & 15]++;
    if (turn->image != NONE)
        core->image_traps[turn->image][status & 15]++;
    core->counters.dead_letters++;
    if (turn->operation == TURN_CREATE) {
        conduct_failed(core, turn, status);
        api_create_failed(core, turn, reason);
        return;
    }
    record_begin(core, turn->twin, RECORD_DELTA);
    put_event(core, turn, (uint8_t)(16 + status), cpu_nanos);
    keep_cause(core, turn);
    if (turn->operation == TURN_UPLINK)
        nidd_uplink(core, turn->twin, turn->event, turn->length, &turn->sign);
    if (status <= TURN_UNREADABLE) /* it ran, or should have */
        record_put(core, FIELD_TRAP, reason, strlen(reason));
    put_dead_letter(core, turn, reason);
    conduct_failed(core, turn, status);
    budget_charge(core, turn, cpu_nanos, 0, 0);
    api_turn_failed(core, turn, reason);
    if (turn->operation == TURN_TRIGGER)
        trigger_turn_keep(core, turn);
    record_finish(core, turn);
}
