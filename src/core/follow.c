/* A core among others: follows the host's tables that core 0 writes, asks it for what is new in them,
 * and shows its counters. Core 0 answers. */
#include "core/follow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/checkpoint.h"
#include "core/audit.h"
#include "core/ledger.h"
#include "core/cells.h"
#include "core/counters.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/state.h"
#include "core/turn.h"

dro_err follow_wait(core *core)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    for (int ms = 0; ms < CORE_START_WAIT_S * 1000; ms++) {
        if (board_started(&core->board, &core->epoch, &core->generations))
            return DRO_OK;
        nanosleep(&pause, NULL);
    }
    dro_error("core 0 did not start in %d s", CORE_START_WAIT_S);
    return DRO_AGAIN;
}

dro_err follow_tables(core *core)
{
    uint8_t *bytes;
    size_t length;
    uint64_t version;
    dro_err err = board_tables_get(&core->board, &bytes, &length, &version);
    if (err != DRO_OK)
        return err;
    core->nidd.orphans.is_looking = false; /* it may end with some applications missing */
    err = host_apply(core, bytes, length);
    dro_wipe(bytes, length);
    free(bytes);
    if (err == DRO_OK) {
        core->tables_version = version;
        orphans_look(core);
    } else
        dro_error("the host's tables of core 0 cannot be taken: \"%s\"", dro_err_text(err));
    return err;
}

static void wake(core *core, uint32_t other)
{
    uint64_t one = 1;
    if (core->options.bells != NULL && write(core->options.bells[other], &one, sizeof one) < 0)
        dro_debug("bell: %m");
}

void follow_wake(core *core)
{
    for (uint32_t i = 1; i < core->count; i++)
        wake(core, i);
}

/* ---- asking ---- */

static bool is_same(const question *a, uint32_t kind, const char *text, size_t length)
{
    return a->kind == kind && a->text_length == length && memcmp(a->text, text, length) == 0;
}

static void question_free(question *question)
{
    if (question->late != NULL)
        deferred_free(question->late);
    free(question);
}

bool question_ask(core *core, uint32_t kind, const char *text, size_t length, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    if (core->question_count >= CORE_QUESTIONS_MAX || length > BOARD_QUESTION_MAX ||
        (core->answered != NULL && is_same(core->answered, kind, text, length)))
        return false;
    question *question = malloc(sizeof *question + length);
    if (question == NULL)
        return false;
    *question = (struct question){ .kind = kind, .text_length = (uint32_t)length, .late = deferred_new(gate, header, body) };
    memcpy(question->text, text, length);
    if (question->late == NULL) {
        free(question);
        return false;
    }
    if (core->questions == NULL)
        core->questions = question;
    else
        core->question_last->next = question;
    core->question_last = question;
    core->question_count++;
    return true;
}

/* Takes out the first question and all that ask the same, in order. */
static question *questions_take(core *core)
{
    question *first = core->questions, *taken = first, **taken_end = &first->next;
    question *kept = NULL, **kept_end = &kept, *kept_last = NULL;
    for (question *q = first->next; q != NULL; q = q->next) {
        if (is_same(q, first->kind, first->text, first->text_length)) {
            *taken_end = q;
            taken_end = &q->next;
        } else {
            *kept_end = kept_last = q;
            kept_end = &q->next;
        }
    }
    *taken_end = NULL;
    *kept_end = NULL;
    core->questions = kept;
    core->question_last = kept_last;
    return taken;
}

/* The requests that waited find what they asked for now, or see that there is none. */
static int take_up_again(core *core)
{
    int count = 0;
    question *taken = questions_take(core);
    core->answered = taken;
    for (question *q = taken; q != NULL; q = q->next, count++) {
        core->question_count--;
        if (q->late->gate < core->options.gate_count && core->gates[q->late->gate].is_open)
            message_take(core, q->late->gate, &q->late->header, q->late->body);
    }
    core->answered = NULL;
    while (taken != NULL) {
        question *next = taken->next;
        question_free(taken);
        taken = next;
    }
    return count;
}

static int ask(core *core)
{
    int done = 0;
    dro_err err;
    if (core->is_asking && board_answered(&core->board, &err)) {
        core->is_asking = false;
        if (err != DRO_OK)
            dro_warn("core 0 could not keep something new: \"%s\"", dro_err_text(err));
        follow(core);
        done += take_up_again(core);
    }
    if (!core->is_asking && core->questions != NULL) {
        const question *first = core->questions;
        core->is_asking = board_ask(&core->board, first->kind, first->text, first->text_length);
        if (core->is_asking)
            wake(core, 0);
        done++;
    }
    return done;
}

/* ---- answering ---- */

static int answer(core *core)
{
    int done = 0;
    for (uint32_t i = 1; i < core->count; i++) {
        char text[BOARD_QUESTION_MAX];
        size_t length;
        uint32_t number;
        uint16_t name;
        uint32_t kind = board_asked(&core->board, i, text, &length);
        if (kind == 0)
            continue;
        dro_err err = kind == BOARD_DOMAIN ? domain_get(core, text, length, &number)
                    : kind == BOARD_HOST_NAME ? host_name_get(core, text, length, &name) : DRO_UNSUPPORTED;
        board_answer(&core->board, i, err);
        wake(core, i);
        done++;
    }
    return done;
}

int questions_step(core *core)
{
    follow(core);
    return core->index == 0 ? answer(core) : ask(core);
}

/* Nobody waits for their answers any more; the first one may be on the board and stays for its place there. */
void questions_gate_lost(core *core, uint32_t gate)
{
    for (question *q = core->questions; q != NULL; q = q->next)
        if (q->late->gate == gate)
            q->late->gate = NONE;
}

void questions_free(core *core)
{
    while (core->questions != NULL) {
        question *next = core->questions->next;
        question_free(core->questions);
        core->questions = next;
    }
}

/* ---- counters ---- */

static uint64_t count_here(const core *core, uint32_t which)
{
    const core_counters *c = &core->counters;
    switch ((enum core_counter)which) {
    case COUNT_TURNS: return c->turns;
    case COUNT_COMMITS: return c->commits;
    case COUNT_UPLINKS: return c->uplinks;
    case COUNT_DUPLICATES: return c->duplicates;
    case COUNT_DOWNLINKS: return c->downlinks;
    case COUNT_CONNECTIONS: return c->connections;
    case COUNT_DEAD_LETTERS: return c->dead_letters;
    case COUNT_REFUSED: return c->refused;
    case COUNT_TWINS: return core->twin_count;
    case COUNT_MAIL: return core->mail_count;
    case COUNT_TURNS_IN_FLIGHT: return core->turn_count;
    case COUNT_STREAMS: return core->stream_count;
    case COUNT_LOG_BYTES: return commit_log_bytes(core->log);
    case COUNT_NOTICES: return c->notices;
    case COUNT_NOTICES_FAILED: return c->notices_failed;
    case COUNT_NOTICES_REFUSED: return c->notices_refused;
    case COUNT_NOTICES_DROPPED: return c->notices_dropped;
    case COUNT_NOTICES_WAITING: return core->nidd.notice_count;
    case COUNT_GROUPS: return core->index == 0 ? core->groups->group_count : 0; /* each core has them all */
    case COUNT_GROUP_MEMBERS: return core->groups->member_count;
    case COUNT_GROUP_OPERATIONS: return core->index == 0 ? core->groups->operation_count : 0;
    case COUNT_NIDD_CONFIGURATIONS: return core->nidd.configuration_count;
    case COUNT_CONNECTIONS_REFUSED: return c->connections_refused;
    case COUNT_REPORTS: return c->reports;
    case COUNT_FAREWELLS_TOLD: return c->farewells_told;
    case COUNT_FAREWELLS_DROPPED: return c->farewells_dropped;
    case COUNT_FAREWELLS_WAITING: return core->farewells.count;
    case COUNT_TRIGGERS_SENT: return c->triggers_sent;
    case COUNT_TRIGGERS_REFUSED: return c->triggers_refused;
    case COUNT_TRIGGERS_ENDED: return c->triggers_ended;
    case COUNT_TRIGGERS_UNKNOWN: return c->triggers_unknown;
    case COUNT_AUTHORIZATIONS_GRANTED: return c->authorizations_granted;
    case COUNT_SCHEDULES_ASKED: return c->schedules_asked;
    case COUNT_SCHEDULES_APPLIED: return c->schedules_applied;
    case COUNT_SCHEDULES_REFUSED: return c->schedules_refused;
    case COUNT_AUTHORIZATIONS_REFUSED: return c->authorizations_refused;
    case COUNT_AUTHORIZATIONS_FAILED: return c->authorizations_failed;
    case COUNT_AUTHORIZATIONS_REVOKED: return c->authorizations_revoked;
    case COUNT_LOG_LIVE_BYTES: return checkpoint_live_bytes(core);
    case COUNT_CONTEXTS: return contexts_count(core->contexts);
    case COUNT_CONTEXT_BYTES: return contexts_bytes(core->contexts);
    case COUNT_CONTEXT_HITS: return c->context_hits;
    case COUNT_CONTEXT_MISSES: return c->context_misses;
    case COUNT_CONTEXT_READS: return commit_log_fetching(core->log);
    case COUNT_CONTEXTS_UNREADABLE: return c->contexts_unreadable;
    case COUNT_DOWNLINK_BYTES: return core->queues.bytes;
    case COUNT_DOWNLINKS_AWAY: return core->queues.away;
    case COUNT_DOWNLINK_READS: return core->queues.reads;
    case COUNT_DOWNLINK_CHUNKS: return core->queues.chunks;
    case COUNT_DOWNLINK_CHUNK_BYTES: return core->queues.chunk_bytes;
    case COUNT_DOWNLINK_MOVED_BYTES: return core->queues.moved;
    case COUNT_LOG_WRITTEN: return commit_log_written(core->log);
    case COUNT_EXCEPTIONS: return c->exceptions;
    case COUNT_UPLINKS_OVER_RATE: return c->uplinks_over_rate;
    case COUNT_UPLINKS_DROPPED: return c->uplinks_dropped;
    case COUNT_DOWNLINKS_HELD: return c->downlinks_held;
    case COUNT_RDS_REFUSED: return c->rds_refused;
    case COUNT_RDS_REPEATED: return c->rds_repeated;
    case COUNT_RDS_RETRANSMISSIONS: return c->rds_retransmissions;
    case COUNT_RDS_DROPPED: return c->rds_dropped;
    case COUNT_FIELDS_DROPPED: return c->fields_dropped;
    case COUNT_COLUMNS_BYTES: return columns_bytes_used(core->columns);
    case COUNT_CHARGING_BACKLOG: return ledger_backlog(core, LEDGER_CHARGING);
    case COUNT_CHARGING_GAPS: return ledger_gaps(core, LEDGER_CHARGING);
    case COUNT_AUDIT_BACKLOG: return ledger_backlog(core, LEDGER_AUDIT);
    case COUNT_AUDIT_GAPS: return ledger_gaps(core, LEDGER_AUDIT);
    case COUNT_AUDIT_DROPPED: return audit_dropped(core);
    case COUNT_PENALTIES: return c->penalties;
    case COUNT_SET_ASIDE: return c->set_aside;
    case COUNT_LOG_LEFT_OUT: return c->log_left_out;
    case COUNT_STORAGE_FULL: return core->is_full;
    case COUNT_STORAGE_FAILED: return commit_log_failed(core->log);
    case COUNT_END: break;
    }
    return 0;
}

_Static_assert((int)COUNT_END <= (int)BOARD_COUNTERS && (int)CORE_IMAGES_MAX == (int)BOARD_IMAGES, "room on the board");

uint64_t core_count_all(const core *core, uint32_t counter)
{
    return count_here(core, counter) + (core->count > 1 ? board_counted(&core->board, counter) : 0);
}

uint64_t core_count_of(const core *core, uint32_t index, uint32_t counter)
{
    return index == core->index ? count_here(core, counter) : board_count_of(&core->board, index, counter);
}

void core_show_counters(core *core)
{
    for (uint32_t i = 0; i < COUNT_END; i++)
        board_count(&core->board, i, count_here(core, i));
    for (uint32_t i = 0; i < core->image_count; i++)
        board_count_image(&core->board, i, core->images[i].twins, core->conduct[i].turns, core->image_traps[i]);
    cells_show(core);
}
