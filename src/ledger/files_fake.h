/* Files in memory with a power switch: what is not synced may be lost, torn or there, and any call can fail. For tests. */
#pragma once

#include <stdbool.h>

#include "ledger/files.h"

enum { FAKE_INODES = 256, FAKE_BYTES = 24 * 1024, FAKE_NAME = 64 };

typedef struct fake_bytes { uint32_t length; uint8_t bytes[FAKE_BYTES]; } fake_bytes;
typedef struct fake_name { char name[FAKE_NAME]; uint32_t inode; bool is_there; } fake_name;

typedef struct files_fake {
    files files; /* first */
    fake_bytes now[FAKE_INODES], durable[FAKE_INODES];
    uint32_t inodes;
    fake_name names[FAKE_INODES], durable_names[FAKE_INODES];
    uint64_t calls;
    uint64_t fail_call;  /* the n-th call that changes or syncs something fails; 0: none */
    int error;           /* with this errno */
    bool is_dead;        /* after it all fail: the power is gone */
    bool dies;           /* fail_call is the power's */
} files_fake;

void files_fake_init(files_fake *fake);
/* The power was cut: what was not synced is kept in part, by the seed. */
void files_fake_cut(files_fake *fake, uint64_t seed);
const fake_bytes *files_fake_find(const files_fake *fake, const char *name); /* NULL: not there */
