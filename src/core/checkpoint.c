/* Checkpoint: keeps recovery short and the log small.
 *
 * Recovery replays from the replay segment on. A segment is needed as long as it holds a
 * twin's newest full record, or anything newer than the last whole dump of the host's own
 * tables; for each segment the twins that live in it so are counted. A hand goes round the
 * table of twins and gives those of the older half of the log a new full record at its end,
 * a few a round and in step with what is written, so that the log stays below twice of what
 * lives and no round is much longer than the others. What lies before the first segment that
 * is needed is dropped once all that was moved is durable; it stays only as long as
 * timelines may read back. */
#include "core/checkpoint.h"

#include <stdlib.h>

#include "base/log.h"
#include "core/backup.h"
#include "core/cold.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

enum {
    TWINS_LOOKED_AT = 4096,      /* in a round */
    TWINS_WRITTEN = 1024,
    BYTES_OWED_MAX = 512 * 1024, /* written at most after a time without a chance to */
    BYTES_WORTH = 16 * 1024,     /* written before it is looked at what that means */
    FULL_BYTES = 700,            /* of a full record, before one was seen */
};

/* ---- how many twins have their newest full record in a segment ---- */

static uint32_t *count_at(core *core, uint32_t segment)
{
    base_counts *bases = &core->bases;
    if (bases->capacity == 0 || segment - bases->first >= bases->capacity) {
        uint32_t capacity = bases->capacity == 0 ? 64 : bases->capacity;
        uint32_t first = bases->capacity == 0 ? segment : bases->first;
        while (segment - first >= capacity)
            capacity *= 2;
        uint32_t *counts = calloc(capacity, sizeof *counts);
        if (counts == NULL)
            abort(); /* a few words: begin anew from the log */
        for (uint32_t i = 0; i < bases->capacity; i++)
            counts[(bases->first + i) % capacity] = bases->counts[(bases->first + i) % bases->capacity];
        free(bases->counts);
        *bases = (base_counts){ counts, first, capacity };
    }
    return &bases->counts[segment % bases->capacity];
}

void base_move(core *core, twin *twin, uint32_t segment)
{
    if (twin->base_segment != 0)
        --*count_at(core, twin->base_segment);
    if (segment != 0)
        ++*count_at(core, segment);
    twin->base_segment = segment;
}

static void bases_forget_before(core *core, uint32_t segment)
{
    base_counts *bases = &core->bases;
    if (bases->capacity > 0 && segment > bases->first)
        bases->first = segment;
}

uint32_t base_count(const core *core, uint32_t segment)
{
    const base_counts *bases = &core->bases;
    bool is_there = bases->capacity > 0 && segment >= bases->first && segment - bases->first < bases->capacity;
    return is_there ? bases->counts[segment % bases->capacity] : 0;
}

/* The first segment from `segment` on that a twin lives in; `last` if there is none. */
static uint32_t first_lived_in(const core *core, uint32_t segment, uint32_t last)
{
    while (segment < last && base_count(core, segment) == 0)
        segment++;
    return segment;
}

/* ---- how much there is ---- */

static uint64_t tables_bytes(const core *core)
{
    enum { DUPLICATE_BYTES = 18, IDEMPOTENT_BYTES = 512, DEAD_LETTER_BYTES = 4096 }; /* about */
    uint64_t bytes = (uint64_t)core->idempotency.count * IDEMPOTENT_BYTES + (uint64_t)core->dead_letters.count * DEAD_LETTER_BYTES;
    for (uint32_t i = 0; i < core->host_count; i++)
        bytes += core->hosts[i].seen != NULL ? (uint64_t)core->hosts[i].seen->count * DUPLICATE_BYTES : 0;
    return bytes;
}

static uint64_t segment_size(const core *core)
{
    return core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
}

/* Sizes in bytes: of what lives, of the log from the replay point on, and where the hand begins to move. */
typedef struct sizes { uint64_t live, log, most, tables; } sizes;

static sizes sizes_now(const core *core)
{
    uint32_t full = core->full_bytes != 0 ? core->full_bytes : FULL_BYTES;
    sizes now = { .tables = tables_bytes(core) };
    now.live = (uint64_t)core->twin_count * full + now.tables;
    now.log = (uint64_t)(commit_log_segment_last(core->log) - commit_log_replay_segment(core->log)) * segment_size(core);
    /* Beside `log` there are the segment being written and those that go with the next replay point. */
    uint64_t half = now.live / 2, slack = segment_size(core) + now.live / 16;
    uint64_t beyond = half > 2 * slack ? half - slack : half / 2;
    now.most = now.live + (beyond > core->options.replay_bytes ? beyond : core->options.replay_bytes);
    return now;
}

uint64_t checkpoint_live_bytes(const core *core)
{
    return core->log == NULL ? 0 : sizes_now(core).live;
}

/* ---- writing what lives anew ---- */

/* What a lap writes is what lives; in its course as much else comes as there is room for. */
static void owe(core *core, const sizes *now, uint64_t written)
{
    uint64_t room = now->log - now->live; /* it is past `most` */
    uint64_t owed = core->bytes_owed + written / 4 + (room > 0 ? written * now->live / room : 4 * written);
    uint64_t most = core->bytes_owed + 4 * written;
    owed = owed < most ? owed : most;
    core->bytes_owed = owed < BYTES_OWED_MAX ? (uint32_t)owed : BYTES_OWED_MAX;
}

static void pay(core *core)
{
    uint32_t full = core->full_bytes != 0 ? core->full_bytes : FULL_BYTES;
    core->bytes_owed = core->bytes_owed > full ? core->bytes_owed - full : 0;
}

/* One twin; DRO_AGAIN: not now. */
static dro_err rewrite(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (queue_is_away(twin))
        return queue_load_to_rewrite(core, index) ? DRO_OK : DRO_AGAIN;
    if (!twin->is_cold) {
        record_full(core, index);
        return DRO_OK;
    }
    return core->rewrites_in_flight < REWRITES_MAX ? cold_rewrite(core, index) : DRO_AGAIN;
}

void checkpoint_rewrite(core *core, uint32_t index)
{
    dro_err ignored = rewrite(core, index); /* not now: with the next lap */
    (void)ignored;
}

/* In a segment of which something could not be read a moment ago? */
static bool is_paused(const core *core, const twin *twin)
{
    if (queue_is_paused(core, twin))
        return true;
    return twin->is_cold && core->now_ms < core->unreadable_until_ms && log_place_segment(twin->context_place) == core->unreadable_segment;
}

/* Those of the older half of the log, as far as is owed. */
static int rewrite_some(core *core)
{
    uint32_t replay = commit_log_replay_segment(core->log), last = commit_log_segment_last(core->log);
    uint32_t young = replay + (last - replay + 1) / 2;
    int looked = 0, written = 0;
    if (first_lived_in(core, replay, young) >= young)
        return 0;
    for (; looked < TWINS_LOOKED_AT && written < TWINS_WRITTEN && core->bytes_owed > 0; looked++) {
        if (core->checkpoint_twin >= core->twin_high)
            core->checkpoint_twin = 0;
        if (core->twin_high == 0)
            break;
        const twin *twin = twin_at(core, core->checkpoint_twin);
        if (twin->number != 0 && twin->row != NONE && twin->base_segment != 0 && twin->base_segment < young && !is_paused(core, twin)) {
            if (rewrite(core, core->checkpoint_twin) == DRO_AGAIN)
                break;
            pay(core);
            written++;
        }
        core->checkpoint_twin++;
    }
    return written;
}

/* The tables are dumped when they are what keeps the log long. */
static void dump_tables(core *core, const sizes *now, uint32_t lived_in)
{
    if (core->tables_round_next != 0 || lived_in <= core->tables_segment)
        return;
    uint64_t kept = (uint64_t)(lived_in - core->tables_segment) * segment_size(core);
    uint64_t gain = (now->most - now->live) / 8 > now->tables ? (now->most - now->live) / 8 : now->tables;
    if (kept < gain)
        return;
    core->tables_segment_next = commit_log_segment_last(core->log);
    host_tables_write(core);
    core->tables_round_next = core->round_last > 0 ? core->round_last : 1;
}

/* ---- dropping what nothing lives in ---- */

static void drop(core *core, uint32_t segment)
{
    uint32_t first = commit_log_segment_first(core->log);
    uint64_t size = segment_size(core);
    uint64_t kept = (commit_log_segment_last(core->log) - first + 1) * size;
    if (segment > backup_segment_first(core))
        segment = backup_segment_first(core);
    while (first < segment && kept > core->options.timeline_bytes) {
        first++;
        kept -= size;
    }
    dro_err err = first > commit_log_segment_first(core->log) ? commit_log_drop(core->log, first) : DRO_OK;
    if (err != DRO_OK && err != DRO_AGAIN) /* a timeline is being read: with the next one */
        dro_error("checkpoint: old segments cannot be removed");
}

static void finish(core *core)
{
    uint32_t segment = core->checkpoint_segment;
    dro_err err = commit_log_set_replay(core->log, segment);
    if (err == DRO_AGAIN)
        return;
    core->checkpoint_segment = 0;
    if (err != DRO_OK) {
        dro_error("checkpoint: \"%s\"", dro_err_text(err));
        return;
    }
    bases_forget_before(core, segment);
    drop(core, segment);
}

/* A new replay point, once all that moved out of what is before it is durable. Each costs
 * a few writes of small files: not for too little. */
static void move_on(core *core, uint32_t lived_in)
{
    uint32_t replay = commit_log_replay_segment(core->log), last = commit_log_segment_last(core->log);
    uint32_t segment = lived_in < core->tables_segment ? lived_in : core->tables_segment;
    if (segment <= replay || segment - replay < (last - replay) / 16)
        return;
    core->checkpoint_segment = segment;
    core->checkpoint_round = core->round_last > 0 ? core->round_last : 1;
}

/* Into the log, since it was looked at. */
static uint64_t written_by_others(const core *core)
{
    uint64_t written = commit_log_written(core->log) - core->bytes_seen;
    return written > core->bytes_moved ? written - core->bytes_moved : 0;
}

/* ---- away from the logs of another number of cores ---- */

/* Core 0, or the only one: they go once nobody needs them. */
static void old_logs_finish(core *core)
{
    bool is_last = core->index == 0 && core->generations.count > 1 && !core->is_moving && (core->count == 1 || board_all_moved(&core->board));
    if (!is_last)
        return;
    dro_err err = generations_finish(&core->generations, core->options.log_disk, core->options.logs);
    core->generations.list[0] = *generation_newest(&core->generations);
    core->generations.count = 1; /* once: the next start tries again */
    if (err != DRO_OK)
        dro_error("old logs cannot be removed; the next start tries again");
    else
        dro_info("moved: the logs of another number of cores are gone");
}

/* Of an earlier start, and with no full record in this log. */
static bool is_to_move(const core *core, const twin *twin)
{
    uint64_t counter = twin->number & 0xfffffffffffffu;
    return twin->number != 0 && twin->row != NONE && twin->base_segment == 0 && counter < core->epoch.counter << 30;
}

static int move_pass(core *core)
{
    int looked = 0, written = 0;
    for (; looked < TWINS_LOOKED_AT && written < TWINS_WRITTEN && core->checkpoint_twin < core->twin_high; looked++) {
        if (is_to_move(core, twin_at(core, core->checkpoint_twin))) {
            if (rewrite(core, core->checkpoint_twin) == DRO_AGAIN)
                return written;
            core->move_left++;
            written++;
        }
        core->checkpoint_twin++;
    }
    if (core->checkpoint_twin >= core->twin_high) {
        core->move_is_over = true;
        core->move_round = core->round_last;
    }
    return looked;
}

/* Passes over the twins until one finds that all have a full record here, then the tables: all durable. */
static int move_step(core *core)
{
    enum { PASSES_MAX = 4 };
    if (!core->move_is_over)
        return core->move_passes < PASSES_MAX ? move_pass(core) : 0;
    if (core->round_told < core->move_round || core->rewrites_in_flight > 0)
        return 0;
    if (core->move_has_tables) {
        core->is_moving = false;
        if (core->count > 1)
            board_moved(&core->board);
        dro_info("moved: this core needs the logs of another number of cores no more");
    } else if (core->move_left == 0) {
        core->tables_segment_next = commit_log_segment_last(core->log);
        host_tables_write(core);
        core->tables_round_next = core->move_round = core->round_last;
        core->move_has_tables = true;
    } else {
        core->checkpoint_twin = core->move_left = 0;
        core->move_is_over = false;
        if (++core->move_passes == PASSES_MAX)
            dro_error("some twins cannot be written anew: the old logs stay; the next start tries again");
    }
    return 1;
}

int checkpoint_step(core *core)
{
    if (core->options.no_log || commit_log_failed(core->log))
        return 0;
    if (core->tables_round_next != 0 && core->round_told >= core->tables_round_next) {
        core->tables_segment = core->tables_segment_next;
        core->tables_round_next = 0;
    }
    if (core->is_moving) /* till then everything from this log's first segment on is needed */
        return move_step(core);
    old_logs_finish(core);
    if (core->checkpoint_segment != 0 && core->round_told >= core->checkpoint_round)
        finish(core);
    uint64_t written = written_by_others(core);
    if (written < BYTES_WORTH && core->bytes_owed == 0)
        return 0;
    core->bytes_seen = commit_log_written(core->log);
    core->bytes_moved = 0;
    sizes now = sizes_now(core);
    if (now.log <= now.most) {
        core->bytes_owed = 0;
        return 0;
    }
    owe(core, &now, written);
    int moved = rewrite_some(core);
    uint32_t lived_in = first_lived_in(core, commit_log_replay_segment(core->log), commit_log_segment_last(core->log));
    dump_tables(core, &now, lived_in);
    if (core->checkpoint_segment == 0)
        move_on(core, lived_in);
    return moved;
}
