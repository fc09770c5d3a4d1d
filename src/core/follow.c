/* A core among others: follows the host's tables that core 0 writes, asks it for what is new in them.
 * Core 0 answers. */
#include "core/follow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"
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
