/* What the files of core/audit.h share: audit.c has the notes and the core's step, audit_request.c the requests under way,
 * audit_owed.c what the host's tables owe, audit_head.c the chain's head, audit_lines.c questions for lines. */
#pragma once

#include "core/audit.h"
#include "core/state.h"

enum {
    AUDIT_BUCKETS = 1024,        /* of requests under way */
    AUDIT_ASKED_CHECK = 1,       /* id of the question whether the line that was sealed is still there */
};

/* A request under way, or what is owed for one, or of the host's own. */
typedef struct note {
    struct note *next;
    caller caller;
    uint64_t number;
    uint64_t round;              /* of its record; 0: it has none yet */
    bool is_in_file;             /* the host's file has it */
    bool is_written;             /* into what host_keep is writing */
    uint32_t length;
    uint8_t bytes[];
} note;

typedef struct head { uint64_t series, sequence; uint8_t hash[AUDIT_HASH_BYTES]; } head;

typedef struct asked {           /* who waits for lines */
    struct asked *next;
    uint64_t id;
    int64_t until_ns;
    caller caller;
} asked;

struct audit {
    note *pending[AUDIT_BUCKETS];
    uint32_t pending_count;
    note *now;                   /* of the request being handled; NULL: none */
    note *owed;                  /* in the host's file, or to be; oldest first */
    uint32_t owed_count;
    note *waiting, **waiting_end; /* for the record that is open */
    uint32_t waiting_count;
    bool is_writing;             /* a note of ours is being written */
    uint64_t number_next;
    int64_t second_ns;           /* refusals of the second that began then */
    uint32_t refusals;
    uint64_t dropped, dropped_told;
    int64_t dropped_ns;
    head sealed;                 /* as the log has it */
    head asked_for;              /* the room was asked for this line, */
    bool is_checking;            /* and has not said: nothing newer is sealed till then, so the next session is asked again */
    int64_t sealed_ns, signed_ns;
    uint64_t signed_sequence;
    uint8_t public_key[VAULT_PUBLIC];
    bool has_key, is_begun;
    uint64_t cuts;
    asked *asked;
    uint64_t asked_last;
    enum { RESTORED_UNREAD, RESTORED_TOLD, RESTORED_DONE } restored; /* of a restore's mark */
    uint64_t restored_round;     /* of the note of it */
};

/* ---- notes ---- */

bool audit_is_able(const core *core);                  /* to write notes into the log */
note *audit_note_new(const uint8_t *bytes, size_t length); /* NULL: no memory */
void audit_notes_free(note *first);
/* number: of what was owed, 0: it was not. The second one also while a record is open. */
void audit_note_record(core *core, const uint8_t *bytes, size_t length, uint64_t number);
void audit_note_write(core *core, const uint8_t *bytes, size_t length, uint64_t number);
size_t audit_note_build(uint8_t bytes[AUDIT_BYTES_MAX], enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail);
void audit_text_put(dro_builder *out, uint8_t tag, const char *text); /* NULL, "": none */

/* ---- the others' ---- */

int audit_owed_step(core *core);
void audit_head_key(core *core);                       /* core 0's, once the vault gives it */
int audit_head_step(core *core);
int64_t audit_head_due_ns(const core *core);
head audit_head_said(const core *core);                /* by the room */
bool audit_head_sign(core *core, const head *head, uint8_t signature[VAULT_SIGNATURE]);
void audit_head_checked(core *core, const uint8_t *lines, size_t length); /* the line that was sealed, or another one, or nothing */
void audit_seal(core *core);                           /* inside a record */
void audit_asked_expire(core *core);
