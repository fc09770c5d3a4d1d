/* Archive check: reads a backup as it comes, in pieces of any size, and says whether
 * it is whole and unchanged: each header the only one possible, the bytes of each part
 * as its SHA-256 says, nothing missing, nothing behind. Keeps where each part lies. */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "store/archive.h"

enum { ARCHIVE_SUM = 32, ARCHIVE_PARTS_MAX = ARCHIVE_SUMS_MAX / 70 };

typedef struct archive_part {
    archive_head head;
    uint64_t offset; /* of its bytes in the archive */
    uint8_t sum[ARCHIVE_SUM];
} archive_part;

typedef struct archive_check {
    archive_part *parts;   /* the manifest first, the sums last */
    uint32_t count, capacity;
    uint64_t bytes;        /* read so far */
    uint8_t sum[ARCHIVE_SUM]; /* of the whole file, once it has ended */
    struct buffer manifest;
    char problem[512];     /* what is wrong and where; "": nothing so far */
    /* how far it is */
    int state;
    uint8_t block[ARCHIVE_BLOCK];
    uint64_t left, zeros;  /* bytes of the part, or zeros, still to come */
    size_t block_length;
    struct buffer sums;
    EVP_MD_CTX *part_sum, *whole_sum;
} archive_check;

bool archive_check_init(archive_check *check); /* false: no memory */
void archive_check_fini(archive_check *check);
/* False: not a whole backup; `problem` says why. */
bool archive_check_feed(archive_check *check, const void *bytes, size_t length);
/* All came: is it whole? */
bool archive_check_end(archive_check *check);
/* 64 hex digits. */
void archive_sum_text(const uint8_t sum[ARCHIVE_SUM], char out[2 * ARCHIVE_SUM + 1]);
