/* Redis as it would be used in place of a host: one hash a twin, an update of its
 * fields by a script, each answered once it is on disk (appendfsync always).
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP) */
#pragma once

#include "bench/bench.h"

enum {
    REDIS_CONNECTIONS = 8,
    REDIS_DEPTH_MAX = 256,
    REDIS_REQUEST_MAX = 320, /* bytes of one update */
    REDIS_READY_MS = 10000,
};

/* Updates a second at the best of several pipeline depths, for `seconds` each after a look at all;
 * sets peer, peer_per_second, ratio and what belongs to them. Where there is no Redis: a note only.
 * False: it broke, said why. */
bool redis_compare(const bench_options *options, uint32_t twins, double seconds, bench_result *result);

/* An update of twin `twin`, as the script `sha` takes it. Its length. */
size_t redis_write_update(char out[REDIS_REQUEST_MAX], const char *sha, uint32_t twin, uint8_t sequence, int64_t now_ms);

/* Counts replies of one line each (":1\r\n", "-ERR ...\r\n"), whatever pieces they come in. */
typedef struct redis_replies {
    uint64_t integers, errors, others;
    char kind;             /* of the line that is being read, 0: none */
    size_t error_length;
    char error[128];       /* the first error's text */
} redis_replies;
/* How many replies ended in these bytes. */
uint32_t redis_replies_feed(redis_replies *replies, const char *bytes, size_t length);
