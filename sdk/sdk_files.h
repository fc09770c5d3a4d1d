/* The files a twin is compiled against, inside the program that compiles it. */
#pragma once

#include <stddef.h>

typedef struct sdk_file {
    const char *name; /* path below the folder they are written to */
    const char *bytes;
    size_t length;
} sdk_file;

extern const sdk_file sdk_files[];
extern const size_t sdk_file_count;
