#include "store/log_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_BYTES = 2 * LOG_ROUND_BYTES_MAX };

dro_err log_check_init(log_check *check, const log_replay_point *replay)
{
    *check = (log_check){ .window = malloc(WINDOW_BYTES) };
    if (check->window == NULL)
        return DRO_NOMEM;
    if (replay != NULL) {
        check->has_replay = true;
        check->replay = *replay;
    }
    return DRO_OK;
}

void log_check_fini(log_check *check)
{
    free(check->window);
    check->window = NULL;
}

static dro_err damaged(log_check *check, uint32_t segment, uint64_t offset, const char *why)
{
    check->segment = segment;
    check->offset = offset;
    check->why = why;
    return DRO_CORRUPT;
}

/* So many bytes from `offset` on are in the window, or all there are. */
static dro_err fill(log_check *check, const log_check_source *source, uint64_t offset, size_t need)
{
    uint64_t have = check->window_start + check->window_length, left = source->bytes - offset;
    if (offset >= check->window_start && offset + (need < left ? need : left) <= have)
        return DRO_OK;
    check->window_start = offset;
    check->window_length = 0;
    size_t most = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
    while (check->window_length < most) {
        int64_t got = source->read(source->context, offset + check->window_length, check->window + check->window_length,
                                   most - check->window_length);
        if (got < 0) {
            errno = (int)-got;
            return DRO_IO;
        }
        if (got == 0)
            break;
        check->window_length += (size_t)got;
    }
    return DRO_OK;
}

static dro_err read_round(log_check *check, uint32_t number, const log_check_source *source, uint64_t offset,
                          log_round_view *view, const char **why)
{
    dro_err err = fill(check, source, offset, LOG_ROUND_BYTES_MAX + LOG_BLOCK);
    if (err != DRO_OK)
        return err;
    size_t at = (size_t)(offset - check->window_start);
    *why = "the segment ends";
    if (at >= check->window_length)
        return DRO_TRUNCATED;
    return log_round_check(view, check->window + at, check->window_length - at, number, offset, why);
}

/* What the first round of this segment must follow. */
static dro_err enter(log_check *check, uint32_t number)
{
    if (check->next != 0 && number != check->next)
        return damaged(check, check->next, 0, "the segment is missing");
    check->next = number + 1;
    if (!check->has_replay || number != check->replay.segment) {
        if (check->has_replay && !check->is_begun && number > check->replay.segment)
            return damaged(check, check->replay.segment, 0, "the segment where recovery begins is missing");
        return DRO_OK;
    }
    if (check->is_begun && check->state.round != check->replay.state.round)
        return damaged(check, number, 0, "it does not follow the segment before as its replay point says");
    check->state = check->replay.state;
    check->known = ~UINT64_C(0);
    check->is_begun = true;
    return DRO_OK;
}

static dro_err take_round(log_check *check, const log_round_view *view)
{
    const char *why;
    if (!check->is_begun) {
        check->is_begun = true;
        check->state.round = view->round - 1;
        check->state.epoch = view->epoch;
    }
    log_round_adopt(view, &check->state, &check->known);
    if (log_round_follow(view, &check->state, &why) != DRO_OK) {
        if (check->stop_why != NULL && view->round > check->state.round + 1)
            return damaged(check, check->stop_segment, check->stop_offset, check->stop_why);
        return damaged(check, view->segment, view->offset, why);
    }
    check->stop_why = NULL;
    check->rounds++;
    check->records += view->records;
    check->epoch = view->epoch;
    return DRO_OK;
}

dro_err log_check_segment(log_check *check, uint32_t number, const log_check_source *source)
{
    dro_err err = enter(check, number);
    uint64_t offset = 0;
    check->window_length = 0;
    while (err == DRO_OK && offset < source->bytes) {
        log_round_view view;
        const char *why = NULL;
        err = read_round(check, number, source, offset, &view, &why);
        if (err == DRO_TRUNCATED || err == DRO_MALFORMED || err == DRO_CORRUPT) {
            if (source->is_exact)
                return damaged(check, number, offset, why);
            if (check->stop_why == NULL) { /* the first such place counts, should a later round be missing */
                check->stop_segment = number;
                check->stop_offset = offset;
                check->stop_why = why;
            }
            return DRO_OK;
        }
        if (err == DRO_OK)
            err = take_round(check, &view);
        offset += err == DRO_OK ? view.length : 0;
    }
    return err;
}

/* As recovery tells a power cut from damage: a whole round so far behind was begun only
 * after the missing one had been acknowledged. */
dro_err log_check_end(log_check *check, const log_check_source *last)
{
    if (check->has_replay && check->next != 0 && check->next < check->replay.segment)
        return damaged(check, check->replay.segment - 1, 0, "the segment is missing");
    if (check->stop_why == NULL || last == NULL)
        return DRO_OK;
    uint64_t limit = check->state.round + 1 + LOG_ROUNDS_IN_FLIGHT;
    uint64_t offset = check->stop_segment + 1 == check->next ? check->stop_offset : 0;
    while (offset < last->bytes) {
        log_round_view view;
        const char *why;
        dro_err err = read_round(check, check->next - 1, last, offset, &view, &why);
        if (err == DRO_IO || err == DRO_UNSUPPORTED)
            return err;
        if (err == DRO_OK && view.epoch >= check->state.epoch && view.round >= limit)
            return damaged(check, check->stop_segment, check->stop_offset, check->stop_why);
        offset += err == DRO_OK ? view.length : LOG_BLOCK;
    }
    return DRO_OK;
}
