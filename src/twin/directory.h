/* Directory: which core has the twin of a name. Shared memory, written by cores, read
 * by gates without a lock.
 *
 * 4096 partitions, 64 to a group; each core owns whole groups. A twin's partition is in
 * the top 12 bits of its number: the keyed hash of its first id at birth, or another
 * partition of the core that made it. Names - External Identifiers (aliases too), IMSIs,
 * MSISDNs - are claimed here by the core of their twin, which makes them unique over cores.
 *
 *   gate: directory_open once (the cores are ready before a gate starts: the key is there),
 *     then for each message  core = directory_route(&directory, DIRECTORY_ID, id, length).
 *     The memory may be mapped read-only. An answer is as old as the call: a name that is
 *     claimed or released meanwhile is found at its old or its new place, and a core that is
 *     asked for a twin it has not says so as for any unknown name.
 *     Texts as they go over the rings: the domain in lower case, digits alone.
 *   core: directory_claim before the record that binds a name, directory_release after the
 *     round that unbinds it is durable.
 *
 * With one core nothing is stored: everything is found at core 0, every claim succeeds.
 *
 * A name takes one 64-bit word: 52 bits of its hash, 12 of its twin's partition; the other 12
 * bits of the hash choose one of 4096 tables. Each of them grows by itself, by doubling into
 * the memory kept for the next size. Readers look again when a table changed meanwhile.
 * Writers exclude each other by a lock a table; a core that dies holding one takes all rooms
 * with it, and the memory is formatted anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    DIRECTORY_PARTITIONS = 4096,
    DIRECTORY_GROUPS = 64,
    DIRECTORY_CORES_MAX = 16,
};

typedef enum directory_kind { DIRECTORY_ID, DIRECTORY_IMSI, DIRECTORY_MSISDN } directory_kind;

typedef struct directory_shared directory_shared;
typedef struct directory {      /* a room's handle */
    directory_shared *shared;
    uint32_t core_count;
} directory;

/* Bytes of a shared mapping (sparse: pages come as names do). */
size_t directory_bytes(uint32_t core_count);
/* Makes an empty one of zeroed or used memory. Only while nobody uses it. */
DRO_CHECKED dro_err directory_format(void *memory, uint32_t core_count);
/* The key of its hash, the same at every start: core 0, before any other room looks. */
void directory_key_set(directory *directory, uint64_t key);
bool directory_is_ready(const directory *directory); /* the key is there */
/* DRO_CORRUPT: no directory for so many cores. */
DRO_CHECKED dro_err directory_open(directory *directory, void *memory, uint32_t core_count);

/* The core that owns a group, or a partition. */
static inline uint32_t directory_group_core(uint32_t group, uint32_t core_count)
{
    return group * core_count / DIRECTORY_GROUPS;
}
static inline uint32_t directory_core(const directory *directory, uint32_t partition)
{
    return directory_group_core(partition / (DIRECTORY_PARTITIONS / DIRECTORY_GROUPS), directory->core_count);
}

/* The partition that the keyed hash gives: where a twin of this id is born. */
uint32_t directory_partition_keyed(uint64_t key, directory_kind kind, const char *text, size_t length);
uint32_t directory_partition(const directory *directory, directory_kind kind, const char *text, size_t length);
/* The partition of the twin that has the name; of one that nobody has, directory_partition. */
uint32_t directory_find(const directory *directory, directory_kind kind, const char *text, size_t length);
/* Does a twin have the name? With one core only that core knows, and the answer is yes. */
bool directory_has(const directory *directory, directory_kind kind, const char *text, size_t length);
/* Its core: all that a gate asks. */
uint32_t directory_route(const directory *directory, directory_kind kind, const char *text, size_t length);

/* The name is that of a twin in `partition`. DRO_EXISTS: of a twin of another core. Within one
 * core that core knows: a name bound to another of its partitions is bound to this one now.
 * DRO_LIMIT: the directory is full. */
DRO_CHECKED dro_err directory_claim(directory *directory, directory_kind kind, const char *text, size_t length, uint32_t partition);
/* The core of `partition` gives the name up; of another core's it does nothing. */
void directory_release(directory *directory, directory_kind kind, const char *text, size_t length, uint32_t partition);
uint64_t directory_count(const directory *directory); /* names in it */
