#include "core/rotation.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/api.h"
#include "core/backup.h"
#include "core/ledger.h"
#include "core/checkpoint.h"
#include "core/chunks.h"
#include "core/follow.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/queue.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"

enum {
    LOOKED_AT = 2048,            /* twins in a round */
    WRITTEN = 32,                /* of them, or deleted */
    AGAIN_MS = 20,               /* till what could not go on is looked at again */
};

enum rotation_step {
    STEP_IDLE,
    STEP_SETTLE,                 /* until all that was sealed so far has its place */
    STEP_WALK,
    STEP_TABLES,                 /* until the host's tables can be written */
    STEP_LAST,                   /* until all of it is durable, and nobody needs what is before it */
};

enum { STATE_GENERATION = 48, STATE_SEALED = 40, STATE_HISTORY = 41 }; /* bits of what the board shows */

/* ---- which key something is under ---- */

bool rotation_is_behind(const core *core, const twin *twin)
{
    return twin->base_key != twin_base_key(vault_newest_tag(core->vault, twin->domain));
}

void rotation_sealed(core *core, twin *twin)
{
    domain *domain = &core->domains[twin->domain];
    if (!rotation_is_behind(core, twin))
        return;
    twin->base_key = twin_base_key(vault_newest_tag(core->vault, twin->domain));
    domain->left -= domain->left > 0 && domain->has_older;
}

void rotation_twin_gone(core *core, const twin *twin)
{
    domain *domain = &core->domains[twin->domain];
    domain->left -= domain->left > 0 && (domain->is_going || (domain->has_older && rotation_is_behind(core, twin)));
}

bool rotation_context_is_old(const core *core, const twin *twin, const uint8_t *sealed)
{
    return twin->context_length > 0 && vault_sealed_tag(sealed) != vault_newest_tag(core->vault, twin->domain);
}

dro_err rotation_reseal(core *core, const twin *twin, const uint8_t *sealed, uint8_t *again)
{
    vault_binding binding = { twin->domain, twin->number, core->images[twin->image].digest, twin->context_revision, 0 };
    return vault_reseal_context(core->vault, &binding, sealed, twin->context_length, again);
}

/* ---- what is under way ---- */

static bool is_listed(const rotation *rotation, uint32_t number)
{
    for (uint32_t i = 0; i < rotation->count; i++)
        if (rotation->domains[i] == number)
            return true;
    return false;
}

static uint64_t state_of(const core *core, const domain *domain)
{
    bool is_sealed = domain->stage == DOMAIN_SEALED;
    bool has_no_history = is_sealed && (core->log == NULL || commit_log_segment_first(core->log) > domain->old_segment);
    return (uint64_t)domain->generation << STATE_GENERATION | (uint64_t)is_sealed << STATE_SEALED |
           (uint64_t)has_no_history << STATE_HISTORY | domain->left;
}

static void show(core *core)
{
    for (uint32_t i = 0; core->count > 1 && i < core->rotation.count; i++)
        board_domain_state(&core->board, core->rotation.domains[i], state_of(core, &core->domains[core->rotation.domains[i]]));
}

void rotation_begin(core *core, uint32_t number)
{
    rotation *rotation = &core->rotation;
    domain *domain = &core->domains[number];
    assert(rotation->count < ROTATIONS_MAX || is_listed(rotation, number));
    if (!is_listed(rotation, number))
        rotation->domains[rotation->count++] = (uint16_t)number;
    domain->stage = DOMAIN_WAITS;
    domain->left = domain->twins;
    rotation->due_ns = 0;
    show(core);
}

void rotation_forget(core *core, uint32_t number)
{
    rotation *rotation = &core->rotation;
    core->domains[number].stage = DOMAIN_SETTLED;
    core->domains[number].left = 0;
    for (uint32_t i = 0; i < rotation->count; i++)
        if (rotation->domains[i] == number) {
            rotation->domains[i] = rotation->domains[--rotation->count];
            break;
        }
    if (core->count > 1)
        board_domain_state(&core->board, number, state_of(core, &core->domains[number]));
}

void rotation_recovered(core *core)
{
    for (uint32_t i = 1; i < core->domain_count; i++)
        if ((core->domains[i].has_older || core->domains[i].is_going) && !core->domains[i].is_gone)
            rotation_begin(core, i);
    for (uint32_t i = 0; core->rotation.count > 0 && i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        if (twin->number != 0 && twin->row != NONE && core->domains[twin->domain].has_older && !core->domains[twin->domain].is_going && !rotation_is_behind(core, twin))
            core->domains[twin->domain].left--;
    }
    show(core);
}

rotation_progress rotation_progress_of(const core *core, uint32_t number)
{
    const domain *domain = &core->domains[number];
    rotation_progress all = { .twins = domain->twins, .is_sealed = true, .has_no_history = true };
    for (uint32_t i = 0; i < core->count; i++) {
        uint64_t state = i == core->index ? state_of(core, domain) : board_domain_state_of(&core->board, i, number);
        bool is_of_newest = (uint16_t)(state >> STATE_GENERATION) == domain->generation;
        all.left += (uint32_t)state;
        all.is_sealed &= is_of_newest && (state >> STATE_SEALED & 1);
        all.has_no_history &= is_of_newest && (state >> STATE_HISTORY & 1);
    }
    if (core->count > 1)
        all.twins += board_domain_twins_of_others(&core->board, number);
    return all;
}

/* ---- begin ---- */

dro_err rotation_start(core *core, uint32_t number, bool drops_history)
{
    domain *domain = &core->domains[number], before = *domain;
    if (domain->is_going)
        return DRO_DENIED;
    if (domain->has_older) { /* it may only be told not to wait any longer */
        if (domain->drops_history || !drops_history || !rotation_progress_of(core, number).is_sealed)
            return DRO_EXISTS;
        domain->drops_history = true;
        dro_err err = host_keep(core);
        domain->drops_history = err == DRO_OK;
        core->rotation.due_ns = 0;
        return err;
    }
    if (core->rotation.count == ROTATIONS_MAX || domain->generation == VAULT_GENERATION_MAX)
        return DRO_LIMIT;
    memcpy(domain->older_key, domain->key, VAULT_WRAPPED);
    domain->generation++;
    domain->has_older = true;
    domain->drops_history = drops_history;
    domain->since_ms = core->now_ms;
    vault_key_make(core->vault, vault_key(number, domain->generation), domain->key);
    dro_err err = domain_keys_keep(core, false);
    if (err != DRO_OK) { /* nothing is under it */
        *domain = before;
        return err;
    }
    if (vault_domain_load(core->vault, vault_key(number, domain->generation), domain->key) != DRO_OK)
        abort(); /* no memory for a key that is on the disk: begin anew from there */
    rotation_begin(core, number);
    dro_info("domain %s: key %u seals from now on, %u twins here are under key %u", domain->name, domain->generation, domain->left, domain->generation - 1u);
    if (host_keep(core) != DRO_OK)
        dro_error("domain %s: since when its key is new could not be kept", domain->name);
    follow_wake(core);
    return DRO_OK;
}

dro_err rotation_delete(core *core, uint32_t number)
{
    domain *domain = &core->domains[number];
    if (domain->is_going)
        return DRO_EXISTS;
    if (core->rotation.count == ROTATIONS_MAX && !is_listed(&core->rotation, number))
        return DRO_LIMIT;
    domain->is_going = true;
    dro_err err = host_keep(core);
    domain->is_going = err == DRO_OK;
    if (err == DRO_OK) {
        follow_wake(core);
        rotation_begin(core, number);
        dro_info("domain %s: its %u twins here are being deleted", domain->name, domain->left);
    }
    return err;
}

/* ---- the walk ---- */

static bool is_walked(const core *core, const twin *twin)
{
    return twin->number != 0 && twin->domain != NONE && core->domains[twin->domain].stage == DOMAIN_WALKED;
}

/* DRO_OK: something was begun or written; DRO_AGAIN: not now; DRO_NOT_FOUND: nothing is left to do. */
static dro_err see_to(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    uint32_t first, end;
    if (twin->row == NONE || twin->flags & (TWIN_RUNNING | TWIN_CREATING))
        return DRO_AGAIN;
    if (core->domains[twin->domain].is_going) {
        twin_delete(core, index);
        return DRO_OK;
    }
    if (rotation_is_behind(core, twin)) {
        dro_err err = checkpoint_rewrite(core, index);
        return err == DRO_OK ? DRO_OK : DRO_AGAIN;
    }
    if (twin->extra == NULL || (twin->extra->queue.unplaced == 0 && !chunks_before(&twin->extra->queue, core->rotation.place, &first, &end)))
        return DRO_NOT_FOUND;
    return !queue_is_paused(core, twin) && queue_move(core, index, core->rotation.place) == DRO_OK ? DRO_OK : DRO_AGAIN;
}

/* True: a lap is over in which nothing was left to do. */
static bool walk(core *core, int *done)
{
    rotation *rotation = &core->rotation;
    int written = 0;
    for (int looked = 0; looked < LOOKED_AT && written < WRITTEN && rotation->hand < core->twin_high; looked++, rotation->hand++) {
        if (!is_walked(core, twin_at(core, rotation->hand)))
            continue;
        dro_err err = see_to(core, rotation->hand);
        rotation->is_unfinished |= err != DRO_NOT_FOUND;
        written += err == DRO_OK;
    }
    *done = written;
    if (rotation->hand < core->twin_high)
        return false;
    bool is_over = !rotation->is_unfinished;
    rotation->hand = 0;
    rotation->is_unfinished = false;
    return is_over;
}

/* ---- step by step ---- */

static bool stage_all(core *core, uint8_t from, uint8_t to)
{
    bool is_any = false;
    for (uint32_t i = 0; i < core->rotation.count; i++) {
        domain *domain = &core->domains[core->rotation.domains[i]];
        if (domain->stage != from)
            continue;
        domain->stage = to;
        domain->old_segment = log_place_segment(core->rotation.place);
        is_any = true;
    }
    return is_any;
}

/* What is told of twins that are gone goes with them: it would be written under the host's own key again. */
static void forget_told(core *core)
{
    for (uint32_t i = 0; i < core->rotation.count; i++)
        if (core->domains[core->rotation.domains[i]].stage == DOMAIN_WALKED && core->domains[core->rotation.domains[i]].is_going)
            host_tables_forget(core, core->rotation.domains[i]);
}

static bool nobody_needs(const core *core)
{
    const rotation *rotation = &core->rotation;
    return core->round_told >= rotation->round && core->tables_round_next == 0 && ledger_reached(core, LEDGER_CHARGING) >= rotation->place &&
           core->rewrites_in_flight == 0 && !backup_holds_names(core);
}

/* 1: it went on. */
static int step_on(core *core)
{
    rotation *rotation = &core->rotation;
    int done = 0;
    switch ((enum rotation_step)rotation->step) {
    case STEP_IDLE:
        if (core->is_moving || !stage_all(core, DOMAIN_WAITS, DOMAIN_WALKED))
            return 0;
        rotation->round = core->round_last;
        rotation->step = STEP_SETTLE;
        return 1;
    case STEP_SETTLE:
        if (core->round_told < rotation->round)
            return 0;
        rotation->place = commit_log_end(core->log);
        rotation->hand = 0;
        rotation->is_unfinished = false;
        rotation->step = STEP_WALK;
        return 1;
    case STEP_WALK:
        if (core_refusal(core) != NULL)
            return 0;
        if (!walk(core, &done))
            return done > 0 || rotation->hand > 0;
        forget_told(core);
        rotation->step = STEP_TABLES;
        return 1;
    case STEP_TABLES:
        if (core->tables_round_next != 0)
            return 0;
        core->tables_segment_next = commit_log_segment_last(core->log);
        host_tables_write(core);
        core->tables_round_next = rotation->round = core->round_last;
        rotation->step = STEP_LAST;
        return 1;
    case STEP_LAST:
        if (!nobody_needs(core))
            return 0;
        stage_all(core, DOMAIN_WALKED, DOMAIN_SEALED);
        rotation->step = STEP_IDLE;
        return 1;
    }
    return 0;
}

/* ---- the end, core 0's ---- */

static void applications_forget_domain(core *core, uint32_t number)
{
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++) {
        application *application = &core->applications[i];
        uint32_t kept = 0;
        for (uint32_t n = 0; application->id != NULL && n < application->domain_count; n++)
            if (application->domains[n] != number)
                application->domains[kept++] = application->domains[n];
        if (application->id != NULL && kept < application->domain_count) {
            application->domain_count = kept;
            credentials_send(core, NONE, application, false);
        }
    }
}

static dro_err older_end(core *core, uint32_t number)
{
    domain *domain = &core->domains[number];
    domain->has_older = false;
    dro_err err = domain_keys_keep(core, true);
    if (err != DRO_OK) {
        domain->has_older = true;
        return err;
    }
    vault_older_drop(core->vault, number);
    dro_wipe(domain->older_key, VAULT_WRAPPED);
    domain->drops_history = false;
    dro_info("domain %s: key %u is destroyed, all is under key %u", domain->name, domain->generation - 1u, domain->generation);
    return DRO_OK;
}

static dro_err domain_end(core *core, uint32_t number)
{
    domain *domain = &core->domains[number];
    domain->is_gone = true;
    dro_err err = domain_keys_keep(core, true);
    if (err != DRO_OK) {
        domain->is_gone = false;
        return err;
    }
    vault_domain_drop(core->vault, number);
    dro_wipe(domain->key, VAULT_WRAPPED);
    dro_wipe(domain->older_key, VAULT_WRAPPED);
    dro_info("domain %s: deleted, its keys are destroyed", domain->name);
    domain->name[0] = '\0';
    domain->is_going = domain->has_older = false;
    applications_forget_domain(core, number);
    return DRO_OK;
}

static int finish(core *core)
{
    int done = 0;
    if (core->index != 0 || core->backup != NULL || core->generations.count > 1 || core_refusal(core) != NULL)
        return 0;
    for (uint32_t i = 0; i < core->rotation.count; i++) {
        uint32_t number = core->rotation.domains[i];
        const domain *domain = &core->domains[number];
        rotation_progress all = rotation_progress_of(core, number);
        bool is_over = all.is_sealed && (domain->is_going ? all.twins == 0 : all.has_no_history || domain->drops_history);
        if (!is_over)
            continue;
        if ((domain->is_going ? domain_end(core, number) : older_end(core, number)) != DRO_OK) {
            dro_error("domain %s: its key could not be destroyed; it is tried again", domain->name);
            continue;
        }
        core->rotation.destroyed++;
        rotation_forget(core, number);
        if (host_keep(core) != DRO_OK)
            dro_error("domains: what changed could not be kept; it is kept with the next change");
        follow_wake(core);
        return 1; /* the list has changed */
    }
    return done;
}

/* One whose turn ended after the walk came by. */
static void late_twins(core *core)
{
    for (uint32_t i = 0; i < core->rotation.count; i++) {
        domain *domain = &core->domains[core->rotation.domains[i]];
        if (domain->stage == DOMAIN_SEALED && domain->is_going && domain->twins > 0)
            domain->stage = DOMAIN_WAITS;
    }
}

int rotation_step(core *core)
{
    rotation *rotation = &core->rotation;
    if (rotation->count == 0 || core->options.no_log || commit_log_failed(core->log) || core->now_ns < rotation->due_ns)
        return 0;
    int done = step_on(core);
    late_twins(core);
    show(core);
    done += finish(core);
    rotation->due_ns = done > 0 ? 0 : core->now_ns + AGAIN_MS * 1000000ll;
    return done;
}

int64_t rotation_due_ns(const core *core)
{
    return core->rotation.count == 0 || core->options.no_log || commit_log_failed(core->log) ? -1 : core->rotation.due_ns;
}
