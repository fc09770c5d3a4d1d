/* The room's loop: charges from the cores, into the journal, a commit at a time. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ledger/ledger.h"
#include "ledger/confine.h"
#include "ledger/journal.h"
#include "ring/message.h"
#include "twin/audit.h"
#include "twin/charge.h"

_Static_assert((int)JOURNAL_HELD_MAX >= (int)CHARGE_BYTES_MAX && (int)JOURNAL_HELD_MAX >= (int)AUDIT_BYTES_MAX, "an entry of any kind fits");

enum {
    COMMIT_MS = 100,        /* lines wait so long for others to be committed with, */
    PASS_MS = 1000,         /* and so long where there is nothing but places without charges */
    RETRY_MS = 1000,        /* after a failure, */
    RETRY_MS_MAX = 30000,   /* doubled up to this */
    TAKE_MAX = 4096,        /* messages of a core in a round */
};

struct ledger_room {
    ledger_config config;
    files *files;
    journal *journal;       /* NULL: it failed */
    uint64_t session, sessions;
    int64_t commit_ns;      /* the commit before was then; */
    int64_t retry_ns, retry_ms;
    uint64_t malformed, failures;
    bool is_told;           /* all that is durable, to all cores */
    bool is_waiting;        /* for a commit before more can be taken */
    uint64_t told_number;   /* the open file when files were told */
    uint8_t message[sizeof(ledger_state) + LEDGER_PLACES_MAX * sizeof(ledger_place) + LEDGER_FILES_MAX * sizeof(ledger_file)];
};

static int64_t now_ns(const ledger_room *room)
{
    return room->config.clock->monotonic_ns(room->config.clock);
}

/* ---- telling ---- */

static uint32_t message_make(ledger_room *room)
{
    static ledger_file files[LEDGER_FILES_MAX];
    ledger_state message = { .session = room->session, .malformed = room->malformed, .failures = room->failures };
    uint8_t *at = room->message + sizeof message;
    if (room->journal == NULL)
        strcpy(message.error, "the files cannot be written: see the host's log");
    else {
        const journal_state *state = journal_durable(room->journal);
        message.series = state->series;
        message.number = state->number;
        message.length = state->length;
        message.sequence = state->sequence;
        message.opened_ms = state->opened_ms;
        memcpy(message.head, state->head, sizeof message.head);
        message.place_count = state->count;
        message.file_count = journal_files(room->journal, files);
        memcpy(at, state->places, state->count * sizeof state->places[0]);
        at += state->count * sizeof state->places[0];
        memcpy(at, files, message.file_count * sizeof files[0]);
        at += message.file_count * sizeof files[0];
    }
    memcpy(room->message, &message, sizeof message);
    return (uint32_t)(at - room->message);
}

/* A core whose ring is full is told with the next round. */
static void tell_all(ledger_room *room)
{
    uint32_t length = message_make(room);
    room->is_told = true;
    for (uint32_t i = 0; i < room->config.core_count; i++) {
        ring_writer *out = &room->config.to_core[i];
        room->is_told &= ring_send(out, MESSAGE_LEDGER_STATE, 0, room->session, room->message, length);
        ring_publish(out);
    }
}

/* ---- sessions ---- */

static void session_begin(ledger_room *room)
{
    journal_options options = { .kind = room->config.kind, .files = room->files, .clock = room->config.clock, .random = room->config.random, .node = room->config.node,
                                .file_bytes = room->config.file_bytes, .file_age_ms = room->config.file_age_s * 1000 };
    dro_err err = journal_open(&room->journal, &options);
    if (err == DRO_OK) {
        if (room->failures > 0)
            dro_info("the files can be written again");
        room->session = ++room->sessions;
        room->retry_ms = RETRY_MS;
    } else {
        room->failures++;
        room->retry_ns = now_ns(room) + room->retry_ms * 1000000;
        room->retry_ms = room->retry_ms * 2 < RETRY_MS_MAX ? room->retry_ms * 2 : RETRY_MS_MAX;
        room->journal = NULL;
    }
    room->is_waiting = false;
    tell_all(room);
}

/* Nothing of what was not durable counts: the cores begin again where the files end. */
static void session_end(ledger_room *room)
{
    dro_warn("records wait in the log until the files can be written again");
    journal_close(room->journal);
    room->journal = NULL;
    room->session = 0;
    room->failures++;
    room->retry_ns = now_ns(room) + room->retry_ms * 1000000;
    tell_all(room);
}

static void commit(ledger_room *room)
{
    room->is_waiting = false;
    room->commit_ns = now_ns(room);
    if (journal_commit(room->journal) != DRO_OK)
        session_end(room);
    else
        tell_all(room);
}

/* ---- taking ---- */

/* False: the journal is full for now; the message stays. */
static bool take(ledger_room *room, const uint8_t *body, size_t length)
{
    ledger_message message;
    uint8_t entry[JOURNAL_HELD_MAX]; /* a copy that the core can no longer change */
    if (length < sizeof message)
        return true;
    memcpy(&message, body, sizeof message);
    if (message.length > length - sizeof message || message.length > sizeof entry) {
        room->malformed++;
        return true;
    }
    if (message.length == 0) {
        journal_pass(room->journal, &message.place);
        return true;
    }
    memcpy(entry, body + sizeof message, message.length);
    dro_err err = journal_put(room->journal, &message.place, message.time_ms, entry, message.length);
    if (err == DRO_AGAIN)
        return false;
    if (err == DRO_OK)
        return true;
    room->malformed++;
    dro_error("an entry cannot be written as a line: passed over");
    return true;
}

/* Lines of the files for whoever asked the core; where its ring is full it asks again. */
static void answer(ledger_room *room, uint32_t core, const uint8_t *body, size_t length)
{
    static uint8_t bytes[sizeof(ledger_lines) + LEDGER_LINES_MAX];
    ledger_question question;
    ledger_lines head = { 0 };
    ring_writer *out = &room->config.to_core[core];
    if (length < sizeof question)
        return;
    memcpy(&question, body, sizeof question);
    dro_builder lines = dro_builder_over(bytes + sizeof head, LEDGER_LINES_MAX);
    bool is_read = room->journal != NULL && room->config.kind->is_chain &&
                   journal_lines(room->journal, question.since, question.lines_max, &lines, &head.first, &head.next) == DRO_OK;
    head.is_failed = !is_read;
    head.length = is_read ? (uint32_t)dro_builder_length(&lines) : 0;
    memcpy(bytes, &head, sizeof head);
    if (!ring_send(out, MESSAGE_LEDGER_LINES, 0, question.id, bytes, (uint32_t)sizeof head + head.length))
        dro_warn("a core does not take what it asked for");
    ring_publish(out);
}

static bool take_from(ledger_room *room, uint32_t core)
{
    ring_reader *in = &room->config.from_core[core];
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    int count = 0;
    for (; count < TAKE_MAX && !room->is_waiting && (body = ring_next(in, &header, &err)) != NULL; count++) {
        bool is_ours = header.type == MESSAGE_LEDGER && header.id == room->session && room->journal != NULL;
        if (header.type == MESSAGE_LEDGER_QUESTION)
            answer(room, core, body, header.length - sizeof header);
        if (is_ours && !take(room, body, header.length - sizeof header))
            room->is_waiting = true;
        else
            ring_done(in, &header);
    }
    ring_release(in);
    if (err == DRO_CORRUPT) {
        dro_error("a core broke its ring");
        _exit(1);
    }
    return count > 0;
}

/* ---- the loop ---- */

/* Monotonic time of the next commit; INT64_MAX: there is nothing to commit. */
static int64_t commit_due_ns(const ledger_room *room)
{
    if (room->journal == NULL)
        return INT64_MAX;
    if (room->is_waiting)
        return 0;
    if (journal_has_lines(room->journal))
        return room->commit_ns + COMMIT_MS * 1000000ll;
    if (journal_has_news(room->journal))
        return room->commit_ns + PASS_MS * 1000000ll;
    int64_t due_ms = journal_due_ms(room->journal);
    if (due_ms < 0)
        return INT64_MAX;
    int64_t left = due_ms - room->config.clock->wall_ms(room->config.clock);
    return left <= 0 ? 0 : now_ns(room) + left * 1000000;
}

bool ledger_room_round(ledger_room *room)
{
    bool has_work = false;
    if (room->journal == NULL && now_ns(room) >= room->retry_ns) {
        session_begin(room);
        has_work = true;
    }
    for (uint32_t i = 0; i < room->config.core_count; i++)
        has_work |= take_from(room, i);
    if (commit_due_ns(room) <= now_ns(room)) {
        commit(room);
        has_work = true;
    } else if (!room->is_told) {
        tell_all(room);
    }
    return has_work;
}

int64_t ledger_room_due_ns(const ledger_room *room)
{
    enum { FULL_NS = 10000000 }; /* a core that does not read has no bell to ring us with */
    int64_t due = room->journal == NULL ? room->retry_ns : commit_due_ns(room);
    int64_t left = due == INT64_MAX ? INT64_MAX : due > now_ns(room) ? due - now_ns(room) : 0;
    if (!room->is_told && left > FULL_NS)
        left = FULL_NS;
    return left == INT64_MAX ? -1 : left;
}

ledger_room *ledger_room_new(const ledger_config *config, files *files)
{
    ledger_room *room = calloc(1, sizeof *room);
    if (room != NULL) {
        room->config = *config;
        room->files = files;
        room->retry_ms = RETRY_MS;
        room->retry_ns = now_ns(room);
    }
    return room;
}

void ledger_room_free(ledger_room *room)
{
    if (room != NULL)
        journal_close(room->journal);
    free(room);
}

static void sleep_until_due(const ledger_config *config, ledger_room *room)
{
    bool is_awake = false;
    uint64_t count;
    for (uint32_t i = 0; i < config->core_count; i++)
        is_awake |= ring_prepare_sleep(&config->from_core[i]);
    int64_t due = ledger_room_due_ns(room);
    struct timespec wait = { due / 1000000000, due % 1000000000 };
    struct pollfd on = { config->doorbell, POLLIN, 0 };
    if (!is_awake && ppoll(&on, 1, due < 0 ? NULL : &wait, NULL) > 0 && read(config->doorbell, &count, sizeof count) < 0)
        dro_debug("bell: %m");
    for (uint32_t i = 0; i < config->core_count; i++)
        ring_awake(&config->from_core[i]);
}

void ledger_run(const ledger_config *config)
{
    static files_directory directory;
    const char *missing;
    enum { CANNOT_OPEN_MS = 5000 };
    while (files_directory_open(&directory, config->directory) != DRO_OK) /* the host goes on; its log holds what is to be charged */
        poll(NULL, 0, CANNOT_OPEN_MS);
    if (!confine_ledger(directory.directory, &missing))
        dro_warn("this kernel lacks %s: the room that writes the files is less confined", missing);
    ledger_room *room = ledger_room_new(config, &directory.files);
    if (room == NULL)
        _exit(1);
    for (;;)
        if (!ledger_room_round(room))
            sleep_until_due(config, room);
}
