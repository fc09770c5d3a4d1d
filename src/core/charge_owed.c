#include "core/charge_owed.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/charge.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/record.h"

typedef struct owed {
    struct owed *next;
    uint64_t number;
    uint64_t round;              /* of its record; 0: it has none yet */
    bool is_kept;                /* it is in the tables */
    uint16_t length;
    uint8_t bytes[];             /* twin/charge.h */
} owed;

struct charges_owed {
    owed *first;                 /* oldest first */
    uint32_t count;
    uint64_t last;               /* newest number that was given */
    uint64_t recorded;           /* all up to this one have their record */
};

static struct charges_owed *owed_get(core *core)
{
    if (core->charges_owed == NULL)
        core->charges_owed = calloc(1, sizeof *core->charges_owed);
    return core->charges_owed;
}

static dro_err owed_add(core *core, uint64_t number, const uint8_t *bytes, size_t length, bool is_kept)
{
    struct charges_owed *all = owed_get(core);
    owed *made = all == NULL ? NULL : malloc(sizeof *made + length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = (owed){ .number = number, .is_kept = is_kept, .length = (uint16_t)length };
    memcpy(made->bytes, bytes, length);
    owed **at = &all->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = made;
    all->count++;
    if (number > all->last)
        all->last = number;
    return DRO_OK;
}

/* Those up to a number, or whose record is durable. */
static void drop(core *core, uint64_t recorded)
{
    struct charges_owed *all = core->charges_owed;
    while (all->first != NULL && (all->first->number <= recorded || (all->first->round != 0 && all->first->round <= core->round_told))) {
        owed *gone = all->first;
        all->first = gone->next;
        all->count--;
        free(gone);
    }
}

static void put_group(core *core, const exposure *of, dro_builder *out)
{
    const group *group = of->group == 0 ? NULL : group_at(core, of->group);
    dro_field room;
    const dro_field *named = group != NULL ? NULL : t8_find(of->fields, of->length, T8_FIELD_GROUP, &room);
    if (group != NULL)
        dro_field_put_text(out, CHARGE_EXTERNAL_GROUP, group->id);
    else if (named != NULL)
        dro_field_put(out, CHARGE_EXTERNAL_GROUP, named->bytes, named->length);
}

void charge_owed_put(core *core, uint8_t kind, const exposure *of, const char *event, const char *result)
{
    uint8_t bytes[CHARGE_OWED_BYTES];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (!charging_is_on(core))
        return;
    dro_builder_le(&out, kind, 1);
    put_group(core, of, &out);
    charge_exposure_fields(core, &out, of, event, result);
    dro_err err = out.err != DRO_OK ? out.err : owed_get(core) == NULL ? DRO_NOMEM : DRO_OK;
    if (err == DRO_OK)
        drop(core, 0);
    if (err == DRO_OK && core->charges_owed->count >= CHARGES_OWED_MAX)
        err = DRO_LIMIT;
    if (err == DRO_OK)
        err = owed_add(core, core->charges_owed->last + 1, bytes, dro_builder_length(&out), false);
    if (err != DRO_OK)
        dro_error("charging: the %s of what an application has at a group goes uncharged: \"%s\"", result, dro_err_text(err));
}

void charge_owed_take_back(core *core)
{
    owed **at = core->charges_owed == NULL ? NULL : &core->charges_owed->first;
    while (at != NULL && *at != NULL && (*at)->next != NULL)
        at = &(*at)->next;
    if (at == NULL || *at == NULL || (*at)->is_kept)
        return;
    free(*at);
    *at = NULL;
    core->charges_owed->count--;
}

void charges_owed_kept(core *core)
{
    for (owed *o = core->charges_owed == NULL ? NULL : core->charges_owed->first; o != NULL; o = o->next)
        o->is_kept = true;
}

static void record_one(core *core, owed *o)
{
    record_begin(core, NONE, RECORD_GROUPS);
    dro_builder *part = record_part(core);
    dro_builder_bytes(part, o->bytes, o->length);
    charge_end(core);
    record_put(core, FIELD_CHARGED, &o->number, sizeof o->number);
    o->round = record_end(core);
    core->charges_owed->recorded = o->number;
}

int charges_owed_step(core *core)
{
    int done = 0;
    if (!charging_is_on(core) || core->charges_owed == NULL || !core->is_started)
        return 0;
    for (owed *o = core->charges_owed->first; o != NULL && o->is_kept; o = o->next)
        if (o->round == 0) {
            record_one(core, o);
            done++;
        }
    return done;
}

void charges_owed_settle(core *core)
{
    if (core->charges_owed == NULL)
        return;
    if (core->charges_owed->last < core->charges_owed->recorded)
        core->charges_owed->last = core->charges_owed->recorded;
    drop(core, charging_is_on(core) ? core->charges_owed->recorded : UINT64_MAX);
}

void charges_owed_fini(core *core)
{
    if (core->charges_owed != NULL)
        drop(core, UINT64_MAX);
    free(core->charges_owed);
    core->charges_owed = NULL;
}

/* ---- the host's tables, and the log ---- */

void charges_owed_write(const core *core, dro_builder *out)
{
    uint8_t part[8 + CHARGE_OWED_BYTES];
    for (const owed *o = core->charges_owed == NULL ? NULL : core->charges_owed->first; o != NULL; o = o->next) {
        dro_builder inner = dro_builder_over(part, sizeof part);
        if (o->round != 0 && o->round <= core->round_told)
            continue;
        dro_builder_le(&inner, o->number, 8);
        dro_builder_bytes(&inner, o->bytes, o->length);
        dro_field_put(out, HOST_CHARGE, part, dro_builder_length(&inner));
    }
}

dro_err charges_owed_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint64_t number = dro_cursor_le(&in, 8);
    if (in.err != DRO_OK || dro_cursor_left(&in) > CHARGE_OWED_BYTES)
        return DRO_CORRUPT;
    return core->index == 0 ? owed_add(core, number, in.at, dro_cursor_left(&in), true) : DRO_OK;
}

void charges_owed_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint64_t number = dro_cursor_le(&in, 8);
    struct charges_owed *all = core->index == 0 && in.err == DRO_OK ? owed_get(core) : NULL;
    if (all != NULL && number > all->recorded)
        all->recorded = number;
}

void charges_owed_dump(core *core)
{
    if (core->charges_owed == NULL || core->charges_owed->recorded == 0)
        return;
    record_begin(core, NONE, RECORD_GROUPS);
    record_put(core, FIELD_CHARGED, &core->charges_owed->recorded, sizeof core->charges_owed->recorded);
    record_end(core);
}
