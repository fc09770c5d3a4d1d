/* Kernel: the system calls and allocations of the host's code, counted, and each of them may fail. Files below /sim lie in memory
 * twice: as programs see them, and as they are on the platter, where they come only by fsync (of a name: by that of its directory).
 * After an fsync that failed, what it should have written is dropped, as Linux does.
 *
 * Linked in front of the C library by --wrap; only calls between kernel_enter and kernel_leave count. */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_kind { FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_ROOM, FAULT_MEMORY, FAULT_MAP, FAULT_RING, FAULTS };
extern const char *const fault_names[FAULTS];

typedef struct kernel_faults {
    uint64_t count[FAULTS];
    uint64_t at[FAULTS];    /* that call fails; 0: none */
    bool is_hit;            /* it has */
    bool is_log_lost;       /* it was an fdatasync, by which the log's rounds come to the platter */
    bool is_quiet;          /* nothing fails or counts, whoever calls */
} kernel_faults;
extern kernel_faults kernel;

void kernel_enter(void);
void kernel_leave(void);
void kernel_power_cut(void); /* what programs see is what the platter has; all descriptors are gone */
/* Where the core goes when it ends itself, as it does when it has no memory for what it has to keep: to setjmp there, once. NULL: nowhere. */
extern jmp_buf *kernel_end;
void kernel_format(void);    /* no file is there */
