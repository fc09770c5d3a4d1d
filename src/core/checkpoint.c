/* Checkpoint: keeps recovery short and the log small.
 *
 * Recovery replays from the replay segment on. Twins whose newest full record lies
 * before the segment a checkpoint began with get a new full record, a few a round;
 * when all are written and durable the replay point moves there. Segments before it
 * stay only as long as timelines may read back. */
#include "base/log.h"
#include "core/state.h"

enum { TWINS_LOOKED_AT = 4096, TWINS_WRITTEN = 64 }; /* in a round */

/* A checkpoint writes what lives, twins and the host's tables, into the log: less than
 * that must not make the next one due. */
static uint64_t live_bytes(const core *core)
{
    enum { TWIN_BYTES = 700, DUPLICATE_BYTES = 18, IDEMPOTENT_BYTES = 512, DEAD_LETTER_BYTES = 4096 }; /* about */
    uint64_t live = (uint64_t)core->twin_count * TWIN_BYTES + (uint64_t)core->idempotency.count * IDEMPOTENT_BYTES +
                    (uint64_t)core->dead_letters.count * DEAD_LETTER_BYTES;
    for (uint32_t i = 0; i < core->host_count; i++)
        live += core->hosts[i].seen != NULL ? (uint64_t)core->hosts[i].seen->count * DUPLICATE_BYTES : 0;
    return live;
}

static bool is_due(const core *core)
{
    uint64_t segments = commit_log_segment_last(core->log) - commit_log_replay_segment(core->log);
    uint64_t size = core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
    uint64_t bytes = segments * size;
    return core->is_moving || (segments >= 2 && bytes > core->options.replay_bytes && bytes > 2 * live_bytes(core));
}

/* The old logs go once every core needs them no more. */
static void generations_left(core *core)
{
    core->is_moving = false;
    if (core->count > 1)
        board_moved(&core->board);
    else if (generations_finish(&core->generations, core->options.log_disk, core->options.logs) != DRO_OK)
        dro_error("old logs cannot be removed; the next start tries again");
    dro_info("moved: this core needs the logs of another number of cores no more");
}

static void finish(core *core)
{
    uint32_t segment = core->checkpoint_segment;
    dro_err err = commit_log_set_replay(core->log, segment);
    if (err == DRO_AGAIN)
        return;
    core->checkpoint_segment = 0;
    core->checkpoint_round = 0;
    if (err != DRO_OK) {
        dro_error("checkpoint: \"%s\"", dro_err_text(err));
        return;
    }
    if (core->is_moving) /* all that the old logs held is in this one */
        generations_left(core);
    uint32_t first = commit_log_segment_first(core->log);
    uint32_t until = backup_segment_first(core) < segment ? backup_segment_first(core) : segment;
    uint64_t size = core->options.segment_bytes != 0 ? core->options.segment_bytes : LOG_SEGMENT_BYTES;
    uint64_t kept = (commit_log_segment_last(core->log) - first + 1) * size;
    while (first < until && kept > core->options.timeline_bytes) {
        first++;
        kept -= size;
    }
    if (first > commit_log_segment_first(core->log) && commit_log_drop(core->log, first) != DRO_OK)
        dro_error("checkpoint: old segments cannot be removed");
}

static int write_some(core *core)
{
    int looked = 0, written = 0;
    for (; looked < TWINS_LOOKED_AT && written < TWINS_WRITTEN && core->checkpoint_twin < core->twin_high; looked++) {
        uint32_t index = core->checkpoint_twin++;
        const twin *twin = twin_at(core, index);
        if (twin->number == 0 || twin->row == NONE || twin->base_segment >= core->checkpoint_segment)
            continue;
        record_full(core, index);
        written++;
    }
    if (core->checkpoint_twin >= core->twin_high) {
        host_tables_write(core);
        core->checkpoint_round = core->round_last > 0 ? core->round_last : 1;
    }
    return looked;
}

int checkpoint_step(core *core)
{
    if (core->options.no_log || commit_log_failed(core->log))
        return 0;
    if (core->index == 0 && core->count > 1 && core->generations.count > 1 && !core->is_moving && board_all_moved(&core->board)) {
        dro_err err = generations_finish(&core->generations, core->options.log_disk, core->options.logs);
        core->generations.count = 1; /* once: the next start tries again */
        if (err != DRO_OK)
            dro_error("old logs cannot be removed; the next start tries again");
        else
            dro_info("moved: the logs of another number of cores are gone");
    }
    if (core->checkpoint_segment == 0) {
        if (!is_due(core))
            return 0;
        core->checkpoint_segment = commit_log_segment_last(core->log);
        core->checkpoint_twin = 0;
        core->checkpoint_round = 0;
    }
    if (core->checkpoint_round == 0)
        return write_some(core);
    if (core->round_told >= core->checkpoint_round)
        finish(core);
    return 0;
}
