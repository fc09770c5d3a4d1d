/* Recovery: finds where the log ends, and tells a power cut from damage.
 *
 * At most LOG_ROUNDS_IN_FLIGHT rounds were being written when the power went. The
 * first that is not whole ends the log; the few behind it were never acknowledged,
 * even where they are whole. But a whole round that comes LOG_ROUNDS_IN_FLIGHT or
 * more behind it was begun only after the broken one had been acknowledged: then
 * something acknowledged is damaged, and going on would lose it silently.
 *
 * Writing goes on in a fresh segment under the new epoch, never behind a torn
 * round, so what was torn is never mistaken for a part of the log later. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/commit_log_internal.h"
#include "store/log_reader.h"
#include "store/log_replay.h"

/* ---- the end of the log ---- */

struct recovery {
    commit_log *log;
    log_reader reader;
    log_state state;          /* after the newest good round */
    uint64_t replayed_bytes, replayed_records;
    uint32_t segment;         /* the first place without a good round, and why */
    uint64_t offset;
    const char *why;
};

static dro_err tell_damage(const struct recovery *this, const char *evidence, uint64_t round)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(this->segment, name);
    dro_error("log damaged file=%s offset=%" PRIu64 " reason=\"%s\" \"round %" PRIu64 " is not readable, but %s %" PRIu64
              ": no power cut does that. Put the file back from a backup. To give up everything from there on instead: "
              "truncate -s %" PRIu64 " %s, move later segments away, and remove the file end\"",
              name, this->offset, this->why, this->state.round + 1, evidence, round, this->offset, name);
    return DRO_CORRUPT;
}

static dro_err tell_newer(uint32_t number)
{
    dro_error("log unsupported file=segment-%08" PRIx32 " \"written by a newer version: run that one\"", number);
    return DRO_UNSUPPORTED;
}

/* No whole round for this place: torn, damaged, or never written. */
static bool is_no_round(dro_err err)
{
    return err == DRO_TRUNCATED || err == DRO_MALFORMED || err == DRO_CORRUPT;
}

/* Reads the round at this->segment and this->offset. *is_next: it is the one that
 * comes next. A whole one with the right number that does not fit is damage. */
static dro_err next_round(struct recovery *this, log_round_view *view, bool *is_next)
{
    *is_next = false;
    dro_err err = log_reader_round(&this->reader, this->offset, view, &this->why);
    if (err == DRO_UNSUPPORTED)
        return tell_newer(this->segment);
    if (err != DRO_OK)
        return is_no_round(err) ? DRO_OK : err;
    if (view->round > this->state.round + 1) {
        this->why = "a round is missing before it";
        return DRO_OK;
    }
    if (log_round_follow(view, &this->state, &this->why) != DRO_OK)
        return tell_damage(this, "in its place is round", view->round);
    *is_next = true;
    return DRO_OK;
}

/* Of a round that is good, and is looked at no more by whoever reads. */
static void tell_read(const commit_log *log, const log_round_view *view, uint8_t *bytes)
{
    uint8_t *at = bytes + LOG_ROUND_HEADER;
    for (uint32_t i = 0; i < view->records; i++) {
        log_record_view record;
        log_record_peek(&record, at);
        log->on_read(log->context, at + LOG_RECORD_HEADER, record.length);
        at += log_record_size(record.length);
    }
}

static dro_err read_segment(struct recovery *this, log_replay *replay, log_segment *segment)
{
    segment->start = malloc(sizeof *segment->start);
    if (segment->start == NULL)
        return DRO_NOMEM;
    *segment->start = this->state;
    this->segment = segment->number;
    this->offset = 0;
    this->reader.bytes = log_replay_enter(replay, segment->number);
    bool is_next = this->reader.bytes != NULL;
    dro_err err = is_next ? log_reader_enter(&this->reader, segment) : DRO_AGAIN;
    while (err == DRO_OK && is_next) {
        log_round_view view;
        err = next_round(this, &view, &is_next);
        if (err != DRO_OK || !is_next)
            break;
        if (this->log->on_read != NULL)
            tell_read(this->log, &view, this->reader.bytes + this->offset);
        this->offset += view.length;
        this->replayed_records += view.records;
        this->replayed_bytes += view.length;
        this->log->end_place = log_place_at(segment->number, view.offset + view.mark);
        if (!log_replay_ready(replay, this->offset))
            err = DRO_AGAIN; /* a record was the end of it, which is told by whoever found it */
    }
    log_reader_leave(&this->reader);
    segment->end = this->offset;
    return err;
}

/* Reads from the replay point up to the first place without the next round. */
static dro_err read_all(void *reader, log_replay *replay)
{
    struct recovery *this = reader;
    commit_log *log = this->log;
    this->segment = log->replay.segment;
    for (uint32_t number = log->replay.segment; log_segments_at(&log->segments, number) != NULL; number++) {
        uint64_t offset_before = this->offset;
        const char *why_before = this->why;
        dro_err err = read_segment(this, replay, log_segments_at(&log->segments, number));
        if (err != DRO_OK)
            return err;
        if (this->offset > 0 || number == log->replay.segment)
            continue;
        this->segment = number - 1; /* nothing here: the log ended in the one before */
        this->offset = offset_before;
        this->why = why_before;
        return DRO_OK;
    }
    return DRO_OK;
}

static dro_err replay_all(struct recovery *this, commit_log_replay_fn replay, void *context)
{
    commit_log *log = this->log;
    const log_replay_options options = { .capacity = log_reader_capacity(&log->segments), .replay = replay,
                                         .on_ahead = replay != NULL ? log->on_ahead : NULL, .context = context,
                                         .read = read_all, .reader = this };
    /* Its bytes are replay's. */
    this->reader = (log_reader){ .segments = &log->segments, .capacity = options.capacity, .is_ahead = true };
    return log_replay_run(&options);
}

/* Looks behind the broken place for a round that could only be begun after the
 * broken one was acknowledged. */
static dro_err look_behind_from(struct recovery *this)
{
    uint64_t limit = this->state.round + 1 + LOG_ROUNDS_IN_FLIGHT;
    const log_segments *segments = &this->log->segments;
    uint64_t offset = this->offset;
    for (uint32_t number = this->segment; log_segments_at(segments, number) != NULL; number++, offset = 0) {
        dro_err err = log_reader_enter(&this->reader, log_segments_at(segments, number));
        while (err == DRO_OK && offset < this->reader.segment->bytes) {
            const char *why;
            log_round_view view;
            err = log_reader_round(&this->reader, offset, &view, &why);
            if (err == DRO_UNSUPPORTED)
                return tell_newer(number);
            if (err == DRO_OK && view.epoch >= this->state.epoch && view.round >= limit)
                return tell_damage(this, "behind it is round", view.round);
            offset += err == DRO_OK ? view.length : LOG_BLOCK;
            if (is_no_round(err))
                err = DRO_OK;
        }
        if (err != DRO_OK)
            return err;
    }
    return DRO_OK;
}

static dro_err look_behind(struct recovery *this)
{
    dro_err err = log_reader_init(&this->reader, &this->log->segments);
    if (err == DRO_OK)
        err = look_behind_from(this);
    log_reader_fini(&this->reader);
    return err;
}

/* What lies behind the end was never acknowledged. It goes before anything new is
 * written, so that it can never be taken for a part of the log. */
static dro_err remove_behind(struct recovery *this)
{
    log_segments *segments = &this->log->segments;
    dro_err err = DRO_OK;
    while (err == DRO_OK && segments->count > 0) {
        const log_segment *last = &segments->list[segments->count - 1];
        bool is_empty = last->number >= this->log->replay.segment && last->end == 0;
        if (last->number <= this->segment && !is_empty)
            break;
        err = log_segments_remove_last(segments);
    }
    return err;
}

static dro_err load_replay_point(commit_log *log)
{
    dro_err err = log_replay_load(log->disk, &log->replay);
    if (err == DRO_OK)
        return log_segments_scan(&log->segments, log->replay.segment);
    if (err != DRO_NOT_FOUND)
        return err;
    err = log_segments_scan(&log->segments, 1);
    if (err == DRO_OK && log->segments.count > 0) {
        dro_error("log damaged file=replay offset=0 \"it is missing: put it back from a backup\"");
        return DRO_CORRUPT;
    }
    log->replay = (log_replay_point){ .segment = 1 };
    return err == DRO_OK ? log_replay_store(log->disk, &log->replay) : err;
}

/* The log as recovery found it, ready to be written under the new epoch. */
static dro_err go_on(struct recovery *this, uint64_t epoch)
{
    commit_log *log = this->log;
    if (epoch <= this->state.epoch) {
        dro_error("log damaged file=epoch offset=0 \"the log has epoch %" PRIu64 ", this start %" PRIu64
                  ": the epoch file is older than the segments; put it back from the same backup\"",
                  this->state.epoch, epoch);
        return DRO_CORRUPT;
    }
    const log_segments *segments = &log->segments;
    log->state = this->state;
    log->state.epoch = epoch;
    log->durable = this->state.round;
    log->last = segments->count > 0 ? segments->list[segments->count - 1].number + 1 : log->replay.segment;
    log->last_offset = 0;
    if (log->end_place == 0)
        log->end_place = log_place_at(log->last, 0);
    dro_info("log open segments=%" PRIu32 " replayed=%" PRIu64 " bytes=%" PRIu64 " round=%" PRIu64 " epoch=%" PRIu64,
             segments->count, this->replayed_records, this->replayed_bytes, this->state.round, epoch);
    return DRO_OK;
}

/* The newest rounds, when they are damaged, look as a power cut leaves them. But a log that was closed said where it ended. */
static dro_err look_at_end(struct recovery *this)
{
    const log_segments *segments = &this->log->segments;
    log_end end;
    dro_err err = log_end_load(this->log->disk, &end);
    if (err == DRO_OK && this->state.round < end.round)
        return tell_damage(this, "the log was closed behind round", end.round);
    uint64_t first = segments->count > 0 ? segments->list[0].number : end.segment + 1;
    bool is_as_closed = this->state.round == end.round; /* else segments may have been dropped since */
    if (err == DRO_OK && is_as_closed && end.segment > 0 && first > end.segment) /* nothing that is needed, or it would have been missed before */
        dro_error("log damaged file=segment-%08" PRIx64 " offset=0 \"it is missing: the timelines of twins begin later than they did. Put it back from a backup\"", end.segment);
    return err;
}

dro_err commit_log_recover(commit_log *log, uint64_t epoch, commit_log_replay_fn replay, void *context)
{
    dro_err err = load_replay_point(log);
    if (err != DRO_OK)
        return err;
    struct recovery this = { .log = log, .state = log->replay.state, .why = "" };
    err = replay_all(&this, replay, context);
    if (err == DRO_OK)
        err = look_behind(&this);
    if (err == DRO_OK)
        err = look_at_end(&this);
    if (err == DRO_OK)
        err = remove_behind(&this);
    if (err == DRO_OK)
        err = go_on(&this, epoch);
    log->is_end_kept = err == DRO_OK;
    return err;
}

dro_err commit_log_open_old(commit_log **out, disk *disk)
{
    commit_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return DRO_NOMEM;
    log->disk = disk;
    log_segments_init(&log->segments, disk);
    log->segments.is_read_only = true;
    dro_err err = log_replay_load(disk, &log->replay);
    if (err == DRO_NOT_FOUND) {
        dro_error("log damaged file=replay offset=0 \"it is missing: put it back from a backup\"");
        err = DRO_CORRUPT;
    }
    if (err == DRO_OK)
        err = log_segments_scan(&log->segments, log->replay.segment);
    if (err == DRO_OK)
        *out = log;
    else
        commit_log_close(log);
    return err;
}

dro_err commit_log_replay(disk *disk, commit_log_replay_fn replay, void *context)
{
    commit_log *log;
    dro_err err = commit_log_open_old(&log, disk);
    if (err != DRO_OK)
        return err;
    struct recovery this = { .log = log, .state = log->replay.state, .why = "" };
    err = replay_all(&this, replay, context);
    if (err == DRO_OK)
        err = look_behind(&this);
    if (err == DRO_OK)
        err = look_at_end(&this);
    commit_log_close(log);
    return err;
}

dro_err commit_log_make(disk *disk)
{
    const log_replay_point point = { .segment = 1 };
    return log_replay_store(disk, &point);
}
