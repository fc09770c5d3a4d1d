/* Names (ids, aliases, IMSIs, MSISDNs) are claimed over all cores in the directory
 * (twin/directory.h) before a twin has them, and given up once the record that takes them away is
 * durable. With one core all of it does nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/state.h"
#include "core/twin_table.h"
#include "base/builder.h"
#include "twin/directory.h"

typedef struct release {         /* a name to give up once `round` is durable, unless a twin here has it then */
    struct release *next;
    uint64_t round;              /* ROUND_NEVER: of a record that has no round yet */
    uint32_t kind, length;       /* directory_kind */
    char text[];
} release;

static inline uint32_t twin_partition(const twin *twin) { return (uint32_t)(twin->number >> 52); }
/* True: a record or an entry of a table that says `partition` is this core's to keep. */
static inline bool core_owns(const core *core, uint32_t partition)
{
    return core->count == 1 || directory_core(&core->options.directory, partition) == core->index;
}

uint32_t partition_new(const core *core, const char *id, size_t length);  /* for a twin that is born here */
DRO_CHECKED dro_err name_claim(core *core, directory_kind kind, const char *text, size_t length, uint32_t partition);
void name_release(core *core, directory_kind kind, const char *text, size_t length); /* later, see struct release */
void names_release_twin(core *core, const twin *twin);                    /* all of it that it does not lose by apply_field */
void names_flush(core *core);
void names_recorded(core *core, uint64_t round); /* what a record gave up is given up with its round */
void names_enter(core *core);                                             /* after recovery: of all twins here */
void names_free(core *core);
/* May a peer speak of that twin? `fields` as it sent them: PEER_IMSIS of one that has IMSIs of its own; without them: yes. */
bool twin_is_of_peer(const core *core, uint32_t twin, const uint8_t *fields, size_t length);
/* Among texts with a NUL behind each. */
bool names_have(const dro_builder *names, const char *name);
