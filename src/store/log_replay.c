#include "store/log_replay.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/pages.h"

enum {
    BUFFERS = 2,                 /* a segment that is read, one whose records are worked on */
    STEP_BYTES = 64 * 1024,      /* good rounds are told of in such pieces */
    STACK_BYTES = 1024 * 1024,   /* the process's thread-local buffers lie in it too */
    STEPS = 3,                   /* of looking ahead */
    FETCH_BYTES = 4096,          /* before the first of them */
    CACHE_LINE = 64,
};
#define NO_SERIAL UINT64_MAX

/* A segment in a buffer: the serial-th of this replay. */
typedef struct stretch {
    uint64_t serial;
    uint32_t segment;
    uint64_t ready;              /* bytes of good rounds */
    bool is_whole;               /* no more come */
} stretch;

struct log_replay {
    log_replay_options options;
    uint8_t *buffers[BUFFERS];
    stretch current;             /* the thread's own: the one being read */
    uint64_t told;               /* the thread's own: of current.ready */
    dro_err err;                 /* of the thread, once it is over */
    pthread_mutex_t lock;        /* of all that follows */
    pthread_cond_t moved;
    stretch stretches[BUFFERS];  /* by serial */
    uint64_t left;               /* segments that the owner is done with */
    bool is_over, is_given_up;
};

/* ---- the thread ---- */

static bool tell(log_replay *this)
{
    pthread_mutex_lock(&this->lock);
    this->stretches[this->current.serial % BUFFERS] = this->current;
    this->told = this->current.ready;
    bool is_wanted = !this->is_given_up;
    pthread_cond_signal(&this->moved);
    pthread_mutex_unlock(&this->lock);
    return is_wanted;
}

static void leave(log_replay *this)
{
    if (this->current.serial == NO_SERIAL)
        return;
    this->current.is_whole = true;
    tell(this);
}

uint8_t *log_replay_enter(log_replay *this, uint32_t segment)
{
    leave(this);
    uint64_t serial = this->current.serial + 1; /* from NO_SERIAL to 0 */
    pthread_mutex_lock(&this->lock);
    while (!this->is_given_up && serial >= this->left + BUFFERS)
        pthread_cond_wait(&this->moved, &this->lock);
    bool is_wanted = !this->is_given_up;
    pthread_mutex_unlock(&this->lock);
    this->current = (stretch){ .serial = serial, .segment = segment };
    return is_wanted && tell(this) ? this->buffers[serial % BUFFERS] : NULL;
}

bool log_replay_ready(log_replay *this, uint64_t offset)
{
    this->current.ready = offset;
    return offset - this->told < STEP_BYTES || tell(this);
}

static void *run(void *argument)
{
    log_replay *this = argument;
    dro_err err = this->options.read(this->options.reader, this);
    leave(this);
    pthread_mutex_lock(&this->lock);
    this->err = err;
    this->is_over = true;
    pthread_cond_signal(&this->moved);
    pthread_mutex_unlock(&this->lock);
    return NULL;
}

/* ---- the owner ---- */

/* A record, and where the next round begins. */
typedef struct spot {
    uint64_t number;             /* of the records before it */
    uint64_t serial;
    uint64_t at, next_round;     /* offsets in the segment */
    uint32_t left;               /* records of its round from it on; 0: none yet */
} spot;

/* What the thread has told so far. */
typedef struct seen {
    stretch stretches[BUFFERS];
    bool is_over;
} seen;

static void look(log_replay *this, seen *seen, uint64_t left, bool is_waiting)
{
    pthread_mutex_lock(&this->lock);
    if (left > this->left) {
        this->left = left;
        pthread_cond_signal(&this->moved);
    }
    uint64_t ready = seen->stretches[left % BUFFERS].serial == left ? seen->stretches[left % BUFFERS].ready : 0;
    const stretch *now = &this->stretches[left % BUFFERS];
    while (is_waiting && !this->is_over && (now->serial != left || (now->ready == ready && !now->is_whole)))
        pthread_cond_wait(&this->moved, &this->lock);
    for (int i = 0; i < BUFFERS; i++)
        seen->stretches[i] = this->stretches[i];
    seen->is_over = this->is_over;
    pthread_mutex_unlock(&this->lock);
}

/* Goes to a record where one is seen. */
static bool spot_is_there(const log_replay *this, const seen *seen, spot *spot)
{
    while (spot->left == 0) {
        const stretch *in = &seen->stretches[spot->serial % BUFFERS];
        if (in->serial != spot->serial || (spot->next_round == in->ready && !in->is_whole))
            return false;
        if (spot->next_round == in->ready) {
            spot->serial++;
            spot->next_round = 0;
            continue;
        }
        log_round_view view;
        const char *why;
        const uint8_t *bytes = this->buffers[spot->serial % BUFFERS];
        dro_err err = log_round_peek(&view, bytes + spot->next_round, in->segment, spot->next_round, &why);
        assert(err == DRO_OK && view.records > 0); /* the thread has checked it */
        spot->at = spot->next_round + LOG_ROUND_HEADER;
        spot->left = view.records;
        spot->next_round += view.length;
    }
    return true;
}

static const uint8_t *spot_record(const log_replay *this, const spot *spot, log_record_view *record)
{
    const uint8_t *header = this->buffers[spot->serial % BUFFERS] + spot->at;
    log_record_peek(record, header);
    return header + LOG_RECORD_HEADER;
}

static void spot_pass(spot *spot, const log_record_view *record)
{
    spot->at += log_record_size(record->length);
    spot->left--;
    spot->number++;
}

/* What comes after the record looked at: the thread is far ahead by now, its copy in no cache. */
static void fetch_behind(const log_replay *this, const spot *spot, const log_record_view *record)
{
    const uint8_t *bytes = this->buffers[spot->serial % BUFFERS];
    uint64_t from = spot->at + FETCH_BYTES, end = from + log_record_size(record->length);
    __asm__ volatile("" : : "r"(bytes)); /* gcc takes a function that only prefetches for one without effect, and drops it */
    for (uint64_t at = from; at < end && at < this->options.capacity; at += CACHE_LINE)
        __builtin_prefetch(bytes + at);
}

static void look_ahead(const log_replay *this, const seen *seen, const spot *from, spot ahead[STEPS])
{
    static const uint32_t distances[STEPS] = { LOG_AHEAD, LOG_AHEAD / 2, LOG_AHEAD / 8 };
    for (int step = 0; step < STEPS; step++) {
        if (ahead[step].number < from->number)
            ahead[step] = *from;
        while (ahead[step].number <= from->number + distances[step] && spot_is_there(this, seen, &ahead[step])) {
            log_record_view record;
            const uint8_t *bytes = spot_record(this, &ahead[step], &record);
            if (step == 0)
                fetch_behind(this, &ahead[step], &record);
            this->options.on_ahead(this->options.context, step, bytes, record.length);
            spot_pass(&ahead[step], &record);
        }
    }
}

static dro_err work(log_replay *this)
{
    const log_replay_options *options = &this->options;
    seen seen = { .stretches = { { .serial = NO_SERIAL }, { .serial = NO_SERIAL } } };
    spot at = { 0 }, ahead[STEPS] = { { 0 } };
    dro_err err = DRO_OK;
    while (err == DRO_OK) {
        bool is_new_round = at.left == 0;
        if (!spot_is_there(this, &seen, &at)) {
            if (seen.is_over)
                break;
            look(this, &seen, at.serial, true);
            continue;
        }
        if (is_new_round)
            look(this, &seen, at.serial, false);
        if (options->on_ahead != NULL)
            look_ahead(this, &seen, &at, ahead);
        log_record_view record;
        const uint8_t *bytes = spot_record(this, &at, &record);
        log_place place = log_place_at(seen.stretches[at.serial % BUFFERS].segment, at.at);
        err = options->replay == NULL ? DRO_OK : options->replay(options->context, record.group, place, bytes, record.length);
        spot_pass(&at, &record);
    }
    return err;
}

static void give_up(log_replay *this)
{
    pthread_mutex_lock(&this->lock);
    this->is_given_up = true;
    pthread_cond_signal(&this->moved);
    pthread_mutex_unlock(&this->lock);
}

/* Signals are for the thread that is replayed to. */
static dro_err start(log_replay *this, pthread_t *thread)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return DRO_NOMEM;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, &attributes, run, this);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        return DRO_OK;
    dro_error("log cannot-replay \"no thread to read with: is there a limit on processes?\"");
    return DRO_NOMEM;
}

static dro_err init(log_replay *this, const log_replay_options *options)
{
    *this = (log_replay){ .options = *options, .current.serial = NO_SERIAL };
    pthread_mutex_init(&this->lock, NULL);
    pthread_cond_init(&this->moved, NULL);
    for (int i = 0; i < BUFFERS; i++) {
        this->stretches[i].serial = NO_SERIAL;
        this->buffers[i] = dro_pages_new(options->capacity);
        if (this->buffers[i] == NULL)
            return DRO_NOMEM;
        dro_pages_huge(this->buffers[i], options->capacity);
    }
    return DRO_OK;
}

static void fini(log_replay *this)
{
    for (int i = 0; i < BUFFERS; i++)
        dro_pages_free(this->buffers[i], this->options.capacity);
    pthread_cond_destroy(&this->moved);
    pthread_mutex_destroy(&this->lock);
}

dro_err log_replay_run(const log_replay_options *options)
{
    log_replay this;
    pthread_t thread;
    dro_err err = init(&this, options);
    if (err == DRO_OK)
        err = start(&this, &thread);
    if (err == DRO_OK) {
        err = work(&this);
        give_up(&this);
        pthread_join(thread, NULL);
        if (err == DRO_OK)
            err = this.err;
    }
    fini(&this);
    return err;
}
