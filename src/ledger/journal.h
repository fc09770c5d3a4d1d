/* Journal: files of lines about what is in the host's logs, and how far each log is in them. What lines are made of is
 * a kind's: charging records (twin/charge.h), or an audit log (twin/audit.h), whose lines are a chain of hashes.
 *
 * Lines are added to `KIND-NUMBER.jsonl.open`; a full or old file is closed: it gets its final name,
 * `KIND-NUMBER-TIME.jsonl`, and is never touched again. `position` says how long the open file is and
 * where in the logs that leads; it has two slots, written in turn, each with a checksum.
 *
 * A commit writes the lines, syncs, and only then writes and syncs the position: what a file has beyond it
 * never counted, and is cut at the next opening. A file is closed by a position that names the next one, then
 * renamed; the next opening renames what was left. So wherever the power is cut or a call fails, each line is
 * there once. After a failure the journal is opened anew: nothing of a write that failed is taken for written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/clock.h"
#include "base/err.h"
#include "ledger/files.h"
#include "ring/ledger.h"
#include "twin/line.h"

enum {
    JOURNAL_PENDING_MAX = 1024 * 1024, /* lines of one commit */
    JOURNAL_TAIL = 32 * 1024,          /* bytes before the end of the open file that are compared with the position */
};

enum { JOURNAL_HEAD = 32, JOURNAL_HELD_MAX = 4096 };

typedef struct journal_kind {
    const char *name;      /* its files' names begin with it */
    const char *line_begin; /* of each line, up to its sequence */
    size_t bytes_max, line_max;
    /* One line with its end. `head`: the hash of the line before, where lines are a chain; afterwards of this one. */
    dro_err (*line)(dro_builder *out, const line_origin *origin, uint8_t head[JOURNAL_HEAD], const uint8_t *bytes, size_t length);
    /* NULL: each has a line of its own. Else: what `bytes` says may go into the line of what is held, if that stays short enough. False: not. */
    bool (*join)(dro_builder *held, const uint8_t *bytes, size_t length);
    bool is_chain;
} journal_kind;

extern const journal_kind journal_charging, journal_audit;

typedef struct journal_options {
    const journal_kind *kind;
    files *files;          /* borrowed, as all of these */
    dro_clock *clock;
    dro_random *random;
    const char *node;      /* identity of the host */
    uint64_t file_bytes;   /* a file is closed when it has so many, */
    int64_t file_age_ms;   /* or its first line is so old */
} journal_options;

/* What a position says. */
typedef struct journal_state {
    uint64_t turn;         /* of the slots */
    uint64_t series;
    uint64_t number;       /* of the open file, from 1 */
    uint64_t length;       /* of it; 0: it need not be there */
    uint64_t sequence;     /* of the next line */
    int64_t opened_ms;     /* when the open file got its first line */
    int64_t closed_ms;     /* when the file before it was closed: in its name */
    uint8_t head[JOURNAL_HEAD]; /* of a chain: the hash of the line before the next one */
    uint32_t count;
    ledger_place places[LEDGER_PLACES_MAX];
} journal_state;

typedef struct journal journal;

/* Not DRO_OK: told through dro_log; try again later. */
DRO_CHECKED dro_err journal_open(journal **out, const journal_options *options);
void journal_close(journal *journal); /* NULL is fine; what was not committed is forgotten */

/* One line, of what lies at `place`, or a part of the line before it. DRO_AGAIN: commit first. DRO_MALFORMED: it is none, and is passed over. */
DRO_CHECKED dro_err journal_put(journal *journal, const ledger_place *place, int64_t time_ms, const uint8_t *bytes, size_t length);
/* Nothing is left to tell before `place`. */
void journal_pass(journal *journal, const ledger_place *place);
bool journal_has_lines(const journal *journal); /* not committed */
bool journal_has_news(const journal *journal);  /* places or lines */
/* All that was put is durable once this returns DRO_OK; then closes the file if it is time to. Else: open it anew. */
DRO_CHECKED dro_err journal_commit(journal *journal);
/* When a file is old enough to be closed; -1: none is. */
int64_t journal_due_ms(const journal *journal);

/* Whole lines from the one numbered `since` on, durable ones, as many as are wanted and fit; where nothing is kept that old, from the oldest on.
 * `first`: number of the oldest line; `next`: of the one behind these. Reads files: of a chain only. Not DRO_OK: told through dro_log. */
DRO_CHECKED dro_err journal_lines(journal *journal, uint64_t since, uint32_t most, dro_builder *out, uint64_t *first, uint64_t *next);

const journal_state *journal_durable(const journal *journal);
/* The newest closed files, oldest first; how many. */
uint32_t journal_files(const journal *journal, ledger_file files[LEDGER_FILES_MAX]);

/* ---- parts, for tests ---- */

enum { JOURNAL_SLOT = 8192 };
void journal_slot_write(const journal_state *state, uint8_t slot[JOURNAL_SLOT]);
bool journal_slot_read(journal_state *state, const uint8_t slot[JOURNAL_SLOT]);
/* The number of the last of these lines, which end with it; 0: they do not. */
uint64_t journal_tail_sequence(const journal_kind *kind, const uint8_t *bytes, size_t length);
