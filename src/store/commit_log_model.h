/* For tests: an owner of a commit log that remembers all it ever appended, and so
 * can say whether what comes back is right.
 *
 * Records are numbered; each says its number, the life (start) that wrote it and
 * bytes that follow from both. After a crash the model forgets what did not come
 * back, so that a number is written again by a later life: a record of the earlier
 * one that turns up after all is noticed. */
#pragma once

#include "base/clock.h"
#include "store/commit_log.h"

enum {
    MODEL_RECORDS_MAX = 200000,
    MODEL_OBJECTS = 40,
    MODEL_SEGMENT_BYTES = 64 * 1024,
};

typedef struct model_record {
    uint32_t life;
    uint32_t object;
    uint32_t length;
    uint32_t group;
    uint64_t round;
    log_place place;    /* 0: not submitted */
    log_place previous;
} model_record;

typedef struct log_model {
    disk *disk;
    commit_log *log;
    dro_random_seeded random;
    uint32_t life;
    uint64_t epoch;             /* of the newest start that was granted one */
    model_record *records;      /* number 1 on */
    uint32_t count;             /* appended */
    uint32_t durable;           /* acknowledged */
    uint32_t first_kept;        /* number of the first record that replay must give, or may (see `first_maybe`) */
    uint32_t first_maybe;       /* of a replay point whose call did not return well; 0: none */
    log_place newest[MODEL_OBJECTS];
    uint32_t replay_next;       /* the number replay must give next; 0: its first */
    bool is_ended;              /* the log failed or the power went */
    uint32_t replays_wrong;
} log_model;

void log_model_init(log_model *model, disk *disk, uint64_t seed);
void log_model_fini(log_model *model);

/* Takes an epoch, opens, compares all that is replayed, forgets what is gone. */
DRO_CHECKED dro_err log_model_open(log_model *model);
void log_model_close(log_model *model);

/* One step of the owner's work: some of append, submit, acknowledge, read, walk,
 * new replay point, drop. Sets is_ended when the log fails. */
void log_model_step(log_model *model);
/* Waits until all appended is durable. */
void log_model_settle(log_model *model);
/* Reads every record that is still kept, by its place and by a walk. */
void log_model_check_all(log_model *model);
/* Record `number` as it must be on the disk. */
size_t log_model_bytes(const log_model *model, uint32_t number, uint8_t *bytes);
