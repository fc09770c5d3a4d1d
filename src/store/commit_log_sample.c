/* For commit_log_format_test.py: writes a log into the directory given and says,
 * a line each, what it wrote: "record PLACE GROUP LENGTH PREVIOUS HEX". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/commit_log.h"
#include "store/disk_directory.h"

enum { RECORDS = 400, OBJECTS = 30, LENGTH_MAX = 900 };

static struct sample {
    uint32_t group;
    size_t length;
    log_place place, previous;
    uint8_t bytes[LENGTH_MAX];
} samples[RECORDS];
static log_place newest[OBJECTS];

static log_place on_placed(void *context, uint64_t tag, log_place place)
{
    (void)context;
    log_place previous = newest[tag % OBJECTS];
    newest[tag % OBJECTS] = place;
    samples[tag].place = place;
    samples[tag].previous = previous;
    return previous;
}

static void check(dro_err err)
{
    if (err == DRO_OK)
        return;
    fprintf(stderr, "%s\n", dro_err_text(err));
    exit(1);
}

static void write_some(disk *disk, int from, int to, dro_random_seeded *random)
{
    log_epoch epoch;
    commit_log *log;
    check(commit_log_epoch_next(disk, 0x1122334455667788u, &epoch));
    commit_log_options options = { .disk = disk, .epoch = epoch.counter, .segment_bytes = 64 * 1024, .on_placed = on_placed };
    check(commit_log_open(&log, &options, NULL, NULL));
    for (int i = from; i < to; i++) {
        struct sample *sample = &samples[i];
        sample->group = (uint32_t)(i % OBJECTS) * 2;
        sample->length = 8 + dro_random_next(random) % (LENGTH_MAX - 8);
        random->random.fill(&random->random, sample->bytes, sample->length);
        check(commit_log_append(log, sample->group, (uint64_t)i, sample->bytes, sample->length));
        if (i % 7 == 6 || i == to - 1) {
            while (!commit_log_can_submit(log))
                commit_log_durable(log, true);
            check(commit_log_submit(log));
        }
    }
    while (commit_log_durable(log, true) + 1 < commit_log_round(log))
        continue;
    check(commit_log_set_replay(log, commit_log_segment_first(log) + (uint32_t)(from > 0)));
    commit_log_close(log);
}

int main(int argc, char **argv)
{
    disk *disk;
    dro_random_seeded random;
    dro_log_setup("sample", DRO_LOG_WARN);
    dro_random_seeded_init(&random, 1);
    if (argc != 2)
        return 2;
    check(disk_open_directory(&disk, argv[1]));
    write_some(disk, 0, RECORDS / 2, &random);
    write_some(disk, RECORDS / 2, RECORDS, &random);
    disk->free(disk);
    for (int i = 0; i < RECORDS; i++) {
        const struct sample *sample = &samples[i];
        printf("record %" PRIu64 " %" PRIu32 " %zu %" PRIu64 " ", sample->place, sample->group, sample->length, sample->previous);
        for (size_t at = 8; at < sample->length; at++)
            printf("%02x", sample->bytes[at]);
        printf("\n");
    }
    return 0;
}
