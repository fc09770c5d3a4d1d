/* Checkpoint: keeps recovery short and the log small.
 *
 * Recovery replays from the replay segment on. A segment is needed as long as it holds a
 * twin's newest full record, or anything newer than the last whole dump of the host's own
 * tables; for each segment the twins that live in it so are counted. A hand goes round the
 * table of twins and gives those of the older half of the log a new full record at its end,
 * a few a round and in step with what is written, so that the log stays below twice of what
 * lives and no round is much longer than the others.
 *
 * The chunks of queues (core/queue.h) need not be replayed, as full records name them: they only
 * keep their segments. Another hand has those moved that lie in the older half of all that is kept,
 * once that is more than about twice of what lives.
 *
 * What lies before the first segment that is needed is dropped once all that was moved is durable;
 * it stays only as long as timelines may read back. */
#include "core/checkpoint.h"

#include <stdlib.h>

#include "base/log.h"
#include "core/backup.h"
#include "core/ledger.h"
#include "core/cold.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/old_logs.h"
#include "core/queue.h"
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

/* ---- how much lives in a segment ---- */

static uint32_t *count_at(base_counts *bases, uint32_t segment)
{
    if (bases->capacity == 0 || segment < bases->first || segment - bases->first >= bases->capacity) {
        uint32_t capacity = bases->capacity == 0 ? 64 : bases->capacity;
        uint32_t first = bases->capacity == 0 || segment < bases->first ? segment : bases->first;
        uint32_t last = bases->capacity == 0 || segment >= bases->first + bases->capacity ? segment : bases->first + bases->capacity - 1;
        while (last - first >= capacity)
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
        --*count_at(&core->bases, twin->base_segment);
    if (segment != 0)
        ++*count_at(&core->bases, segment);
    twin->base_segment = segment;
}

void base_chunk(core *core, uint32_t segment, int by)
{
    uint32_t *count = count_at(&core->chunk_bases, segment);
    *count = (uint32_t)((int)*count + by);
}

static void bases_forget_before(base_counts *bases, uint32_t segment)
{
    if (bases->capacity > 0 && segment > bases->first)
        bases->first = segment;
}

uint32_t base_count(const base_counts *bases, uint32_t segment)
{
    bool is_there = bases->capacity > 0 && segment >= bases->first && segment - bases->first < bases->capacity;
    return is_there ? bases->counts[segment % bases->capacity] : 0;
}

/* The first segment from `segment` on that something lives in; `last` if there is none. */
static uint32_t first_lived_in(const base_counts *bases, uint32_t segment, uint32_t last)
{
    while (segment < last && base_count(bases, segment) == 0)
        segment++;
    return segment;
}

/* Of all that is kept. */
static uint32_t first_chunk(const core *core)
{
    return first_lived_in(&core->chunk_bases, commit_log_segment_first(core->log), commit_log_segment_last(core->log));
}

/* ---- how much there is ---- */

static uint64_t tables_bytes(const core *core)
{
    enum { DUPLICATE_BYTES = 18, IDEMPOTENT_BYTES = 512, DEAD_LETTER_BYTES = 4096 }; /* about */
    uint64_t bytes = (uint64_t)core->idempotency.count * IDEMPOTENT_BYTES + (uint64_t)core->dead_letters.count * DEAD_LETTER_BYTES +
                     core->farewells.bytes;
    for (uint32_t i = 0; i < core->host_count; i++)
        bytes += core->hosts[i].seen != NULL ? (uint64_t)core->hosts[i].seen->count * DUPLICATE_BYTES : 0;
    return bytes;
}

static uint64_t segment_size(const core *core)
{
    return core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
}

/* Sizes in bytes: of what lives, of the log and where a hand begins to move. That of full records sees to the log from
 * the replay point on, in which chunks need not be; that of chunks to all that is kept. */
typedef struct sizes {
    uint64_t live, log, most, tables;
    uint64_t all, kept, kept_most;
} sizes;

static sizes sizes_now(const core *core)
{
    uint32_t full = core->full_bytes != 0 ? core->full_bytes : FULL_BYTES;
    sizes now = { .tables = tables_bytes(core) };
    now.live = (uint64_t)core->twin_count * full + now.tables;
    now.log = (uint64_t)(commit_log_segment_last(core->log) - commit_log_replay_segment(core->log)) * segment_size(core);
    now.all = now.live + core->queues.chunk_bytes;
    /* Beside `log` there are the segment being written and those that go with the next replay point. */
    uint64_t half = now.all / 2, slack = segment_size(core) + now.all / 16;
    uint64_t beyond = half > 2 * slack ? half - slack : half / 2;
    now.most = now.live + (beyond > core->options.replay_bytes ? beyond : core->options.replay_bytes);
    uint32_t from = first_chunk(core), replay = commit_log_replay_segment(core->log);
    now.kept = (uint64_t)(commit_log_segment_last(core->log) - (from < replay ? from : replay)) * segment_size(core);
    now.kept_most = now.most + (now.all > 2 * slack ? now.all - slack : now.all / 2);
    return now;
}

uint64_t checkpoint_live_bytes(const core *core)
{
    return core->log == NULL ? 0 : sizes_now(core).all;
}

/* ---- writing what lives anew ---- */

/* What a lap writes is what lives; in its course as much else comes as there is room for. */
static uint32_t owe(uint32_t before, uint64_t live, uint64_t log, uint64_t written)
{
    uint64_t room = log - live; /* it is past what makes a hand begin */
    uint64_t owed = before + written / 4 + (room > 0 ? written * live / room : 4 * written);
    uint64_t most = before + 4 * written;
    owed = owed < most ? owed : most;
    return owed < BYTES_OWED_MAX ? (uint32_t)owed : BYTES_OWED_MAX;
}

static void pay(core *core)
{
    uint32_t full = core->full_bytes != 0 ? core->full_bytes : FULL_BYTES;
    core->bytes_owed = core->bytes_owed > full ? core->bytes_owed - full : 0;
}

/* One twin; DRO_AGAIN: not now. */
dro_err checkpoint_rewrite(core *core, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    if (!queue_is_placed(twin))
        return DRO_AGAIN;
    if (!twin->is_cold) {
        record_full(core, index);
        return DRO_OK;
    }
    return core->rewrites_in_flight < REWRITES_MAX ? cold_rewrite(core, index) : DRO_AGAIN;
}

/* In a segment of which something could not be read a moment ago? */
static bool is_paused(const core *core, const twin *twin)
{
    return twin->is_cold && core->now_ms < core->unreadable_until_ms && log_place_segment(twin->context_place) == core->unreadable_segment;
}

/* Those of the older half of the log, as far as is owed. */
static int rewrite_some(core *core)
{
    uint32_t replay = commit_log_replay_segment(core->log), last = commit_log_segment_last(core->log);
    uint32_t young = replay + (last - replay + 1) / 2;
    int looked = 0, written = 0;
    if (first_lived_in(&core->bases, replay, young) >= young)
        return 0;
    for (; looked < TWINS_LOOKED_AT && written < TWINS_WRITTEN && core->bytes_owed > 0; looked++) {
        if (core->checkpoint_twin >= core->twin_high)
            core->checkpoint_twin = 0;
        if (core->twin_high == 0)
            break;
        const twin *twin = twin_at(core, core->checkpoint_twin);
        if (twin->number != 0 && twin->row != NONE && twin->base_segment != 0 && twin->base_segment < young && !is_paused(core, twin)) {
            if (checkpoint_rewrite(core, core->checkpoint_twin) == DRO_AGAIN)
                break;
            pay(core);
            written++;
        }
        core->checkpoint_twin++;
    }
    return written;
}

/* Has chunks of the older half of all that is kept moved, as far as is owed. */
static int move_some(core *core)
{
    uint32_t first = first_chunk(core), last = commit_log_segment_last(core->log);
    uint32_t young = first + (last - first + 1) / 2;
    int looked = 0, begun = 0;
    for (; looked < TWINS_LOOKED_AT && core->chunks_owed > 0 && core->twin_high > 0; looked++) {
        if (core->chunk_twin >= core->twin_high)
            core->chunk_twin = 0;
        const twin *twin = twin_at(core, core->chunk_twin);
        if (twin->number != 0 && twin->row != NONE && !queue_is_paused(core, twin)) {
            dro_err err = queue_move(core, core->chunk_twin, (log_place)young << 32);
            if (err == DRO_AGAIN)
                break;
            begun += err == DRO_OK;
        }
        core->chunk_twin++;
    }
    return begun;
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
    if (segment > ledgers_segment_first(core))
        segment = ledgers_segment_first(core);
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
    bases_forget_before(&core->bases, segment);
}

/* What nothing lives in goes, once that is durable. */
static void drop_some(core *core)
{
    uint32_t chunk = first_chunk(core), replay = commit_log_replay_segment(core->log);
    if (core->lived_in == 0) {
        core->lived_in = chunk < replay ? chunk : replay;
        core->lived_in_round = core->round_last;
    }
    if (core->round_told < core->lived_in_round)
        return;
    if (core->lived_in > commit_log_segment_first(core->log)) {
        bases_forget_before(&core->chunk_bases, core->lived_in);
        drop(core, core->lived_in);
    }
    core->lived_in = 0;
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
    uint64_t moved = core->bytes_moved + core->queues.moved - core->chunks_seen;
    return written > moved ? written - moved : 0;
}

/* ---- away from the logs of another number of cores ---- */

/* Core 0, or the only one: they go once nobody needs them. */
static void old_logs_finish(core *core)
{
    bool is_last = core->index == 0 && core->generations.count > 1 && !core->is_moving && !ledgers_need_old(core) && (core->count == 1 || board_all_moved(&core->board));
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
            dro_err err = queue_move(core, core->checkpoint_twin, 0); /* what lies in old logs; the next pass writes the twin */
            if ((err == DRO_NOT_FOUND ? checkpoint_rewrite(core, core->checkpoint_twin) : err) == DRO_AGAIN)
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
        old_logs_close(core);
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

static int full_step(core *core, const sizes *now, uint64_t written)
{
    if (now->log <= now->most) {
        core->bytes_owed = 0;
        return 0;
    }
    core->bytes_owed = owe(core->bytes_owed, now->live, now->log, written);
    int moved = rewrite_some(core);
    uint32_t lived_in = first_lived_in(&core->bases, commit_log_replay_segment(core->log), commit_log_segment_last(core->log));
    dump_tables(core, now, lived_in);
    if (core->checkpoint_segment == 0)
        move_on(core, lived_in);
    return moved;
}

static int chunk_step(core *core, const sizes *now, uint64_t written)
{
    if (now->kept <= now->kept_most || core->queues.chunks == 0) {
        core->chunks_owed = 0;
        return 0;
    }
    core->chunks_owed = owe(core->chunks_owed, now->all, now->kept, written);
    return move_some(core);
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
    if (written < BYTES_WORTH && core->bytes_owed == 0 && core->chunks_owed == 0)
        return 0;
    core->bytes_seen = commit_log_written(core->log);
    core->bytes_moved = 0;
    uint64_t paid = core->queues.moved - core->chunks_seen;
    core->chunks_owed = paid < core->chunks_owed ? core->chunks_owed - (uint32_t)paid : 0;
    core->chunks_seen = core->queues.moved;
    drop_some(core);
    sizes now = sizes_now(core);
    return full_step(core, &now, written) + chunk_step(core, &now, written);
}
