/* Journal: the charging files, and how far each log of the host is charged.
 *
 * Lines are added to `charging-NUMBER.jsonl.open`; a full or old file is closed: it gets its final name,
 * `charging-NUMBER-TIME.jsonl`, and is never touched again. `position` says how long the open file is and
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

#include "base/clock.h"
#include "base/err.h"
#include "charging/files.h"
#include "ring/charging.h"

enum {
    JOURNAL_PENDING_MAX = 1024 * 1024, /* lines of one commit */
    JOURNAL_TAIL = 32 * 1024,          /* bytes before the end of the open file that are compared with the position */
};

typedef struct journal_options {
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
    uint32_t count;
    charging_place places[CHARGING_PLACES_MAX];
} journal_state;

typedef struct journal journal;

/* Not DRO_OK: told through dro_log; try again later. */
DRO_CHECKED dro_err journal_open(journal **out, const journal_options *options);
void journal_close(journal *journal); /* NULL is fine; what was not committed is forgotten */

/* One line, of the charge at `place`. DRO_AGAIN: commit first. DRO_MALFORMED: it is none, and is passed over. */
DRO_CHECKED dro_err journal_put(journal *journal, const charging_place *place, int64_t time_ms, const uint8_t *charge, size_t length);
/* Nothing is left to charge before `place`. */
void journal_pass(journal *journal, const charging_place *place);
bool journal_has_lines(const journal *journal); /* not committed */
bool journal_has_news(const journal *journal);  /* places or lines */
/* All that was put is durable once this returns DRO_OK; then closes the file if it is time to. Else: open it anew. */
DRO_CHECKED dro_err journal_commit(journal *journal);
/* When a file is old enough to be closed; -1: none is. */
int64_t journal_due_ms(const journal *journal);

const journal_state *journal_durable(const journal *journal);
/* The newest closed files, oldest first; how many. */
uint32_t journal_files(const journal *journal, charging_file files[CHARGING_FILES_MAX]);

/* ---- parts, for tests ---- */

enum { JOURNAL_SLOT = 8192 };
void journal_slot_write(const journal_state *state, uint8_t slot[JOURNAL_SLOT]);
bool journal_slot_read(journal_state *state, const uint8_t slot[JOURNAL_SLOT]);
/* The number of the last of these lines, which end with it; 0: they do not. */
uint64_t journal_tail_sequence(const uint8_t *bytes, size_t length);
