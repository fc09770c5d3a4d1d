/* The local handle on a columns region: columns.c and columns_read.c only. */
#pragma once

#include "store/columns_layout.h"

struct columns {
    uint8_t *memory;        /* the reader never writes through it: its mapping is read-only */
    uint64_t bytes;
    columns_header *header; /* == memory */
    struct columns_writer *writer; /* NULL: a reader's handle */
};
