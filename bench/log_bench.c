/* log-bench DIRECTORY [records [in a round [bytes]]]: durable records a second of the
 * commit log alone, with drops as a compacting owner makes them, then how long the
 * same log takes to open. One JSON object on standard output; the directory stays. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit_log.h"
#include "store/disk_directory.h"

enum {
    OBJECTS = 1 << 20,
    SEGMENTS_KEPT = 16,
    LATENCIES_MAX = 1 << 20,
    ROUNDS_REMEMBERED = 1024, /* more than can be under way */
};

typedef struct bench {
    commit_log *log;
    log_place *newest;
    uint64_t replayed, replayed_bytes;
    int64_t began[ROUNDS_REMEMBERED];
    uint32_t *latencies; /* ns */
    uint32_t latency_count;
    uint64_t durable;
} bench;

static int64_t now_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void check(dro_err err, const char *what)
{
    if (err == DRO_OK)
        return;
    fprintf(stderr, "log-bench: %s: %s\n", what, dro_err_text(err));
    exit(1);
}

static log_place on_placed(void *context, uint64_t tag, log_place place)
{
    bench *this = context;
    log_place previous = this->newest[tag];
    this->newest[tag] = place;
    return previous;
}

static dro_err on_replay(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    bench *this = context;
    (void)group, (void)place, (void)record;
    this->replayed++;
    this->replayed_bytes += length;
    return DRO_OK;
}

static void open_log(bench *this, disk *disk)
{
    log_epoch epoch;
    check(commit_log_epoch_next(disk, 1, &epoch), "epoch");
    commit_log_options options = { .disk = disk, .epoch = epoch.counter, .context = this, .on_placed = on_placed };
    check(commit_log_open(&this->log, &options, on_replay, this), "open");
    this->durable = commit_log_round(this->log) - 1;
}

static void collect(bench *this, bool wait)
{
    uint64_t durable = commit_log_durable(this->log, wait);
    int64_t now = now_ns(CLOCK_MONOTONIC);
    while (this->durable < durable) {
        int64_t took = now - this->began[++this->durable % ROUNDS_REMEMBERED];
        if (this->latency_count < LATENCIES_MAX)
            this->latencies[this->latency_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    }
}

static void submit(bench *this)
{
    while (!commit_log_can_submit(this->log))
        collect(this, true);
    this->began[commit_log_round(this->log) % ROUNDS_REMEMBERED] = now_ns(CLOCK_MONOTONIC);
    check(commit_log_submit(this->log), "submit");
    collect(this, false);
    uint32_t last = commit_log_segment_last(this->log);
    if (last < commit_log_segment_first(this->log) + SEGMENTS_KEPT)
        return;
    dro_err err = commit_log_set_replay(this->log, last - SEGMENTS_KEPT / 2);
    if (err == DRO_OK)
        check(commit_log_drop(this->log, last - SEGMENTS_KEPT / 2), "drop");
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double micros(const bench *this, unsigned percent)
{
    uint64_t at = this->latency_count == 0 ? 0 : (uint64_t)(this->latency_count - 1) * percent / 100;
    return this->latency_count == 0 ? 0 : this->latencies[at] / 1e3;
}

int main(int argc, char **argv)
{
    static bench this;
    static uint8_t record[LOG_RECORD_MAX];
    disk *disk;
    dro_random_seeded random;
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 4000000;
    uint64_t in_a_round = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000;
    size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 450;
    if (argc < 2 || in_a_round == 0 || bytes < 8 || bytes > LOG_RECORD_MAX) {
        fprintf(stderr, "usage: log-bench DIRECTORY [records [in a round [bytes]]]\n");
        return 2;
    }
    dro_log_setup("bench", DRO_LOG_WARN);
    dro_random_seeded_init(&random, 1);
    this.newest = calloc(OBJECTS, sizeof *this.newest);
    this.latencies = calloc(LATENCIES_MAX, sizeof *this.latencies);
    if (this.newest == NULL || this.latencies == NULL)
        return 1;
    check(disk_open_directory(&disk, argv[1]), "directory");
    open_log(&this, disk);
    int64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 1; i <= records; i++) {
        uint64_t object = dro_random_next(&random) % OBJECTS;
        dro_err err;
        while ((err = commit_log_append(this.log, (uint32_t)(object % LOG_GROUPS), object, record, bytes)) == DRO_AGAIN)
            submit(&this);
        check(err, "append");
        if (i % in_a_round == 0 || i == records)
            submit(&this);
    }
    while (this.durable + 1 < commit_log_round(this.log))
        collect(&this, true);
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(this.latencies, this.latency_count, sizeof *this.latencies, by_size);
    commit_log_close(this.log);
    this.replayed = this.replayed_bytes = 0;
    int64_t opening = now_ns(CLOCK_MONOTONIC);
    open_log(&this, disk);
    opening = now_ns(CLOCK_MONOTONIC) - opening;
    printf("{\"bench\":\"log\",\"per_second\":%.0f,\"cpu_micros\":%.3f,\"p50_micros\":%.0f,\"p99_micros\":%.0f,"
           "\"replay_records\":%" PRIu64 ",\"replay_seconds\":%.3f,\"replay_bytes_per_second\":%.0f,"
           "\"settings\":{\"records\":%" PRIu64 ",\"in_a_round\":%" PRIu64 ",\"bytes\":%zu,\"writes\":\"%s\"}}\n",
           (double)records / ((double)wall / 1e9), (double)cpu / 1e3 / (double)records, micros(&this, 50), micros(&this, 99),
           this.replayed, (double)opening / 1e9, (double)this.replayed_bytes / ((double)opening / 1e9), records, in_a_round,
           bytes, disk_directory_way(disk));
    commit_log_close(this.log);
    disk->free(disk);
    free(this.newest);
    free(this.latencies);
    return 0;
}
