/* A segment longer than what is read ahead, on every kind of disk, and on one whose fetches do little or nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/disk_directory.h"
#include "store/disk_memory.h"
#include "store/log_reader.h"

enum {
    SEGMENT_BYTES = 12 * LOG_READ_STEP,
    ROUNDS = 20,
    RECORD_BYTES = 300001, /* rounds cross the steps */
    SEGMENT = 1,
};
static uint8_t wanted[SEGMENT_BYTES]; /* the segment as it was written */
static uint64_t end;                  /* of its last round */

static void write_segment(disk *disk)
{
    static uint8_t record[RECORD_BYTES];
    commit_log *log;
    commit_log_options options = { .disk = disk, .epoch = 1, .segment_bytes = SEGMENT_BYTES };
    assert_int_equal(commit_log_open(&log, &options, NULL, NULL), DRO_OK);
    for (int i = 0; i < ROUNDS; i++) {
        memset(record, 'a' + i, sizeof record);
        assert_int_equal(commit_log_append(log, (uint32_t)i, 0, record, sizeof record), DRO_OK);
        assert_int_equal(commit_log_submit(log), DRO_OK);
        while (!commit_log_can_submit(log) && commit_log_durable(log, true) + 1 < commit_log_round(log))
            continue;
    }
    assert_int_equal(commit_log_segment_last(log), SEGMENT);
    end = commit_log_segment_bytes(log, SEGMENT);
    assert_true(end > (LOG_READS_AHEAD + 1) * LOG_READ_STEP);
    int file = disk->open(disk, "segment-00000001", 0);
    assert_int_equal(disk->read(disk, file, 0, wanted, sizeof wanted), sizeof wanted);
    disk->close(disk, file);
    commit_log_close(log);
}

/* Rounds that come, until the first that does not. */
static int read_rounds(log_reader *reader, log_segments *segments, dro_err *err)
{
    int rounds = 0;
    uint64_t offset = 0;
    *err = log_reader_enter(reader, log_segments_at(segments, SEGMENT));
    while (*err == DRO_OK) {
        log_round_view view;
        const char *why;
        *err = log_reader_round(reader, offset, &view, &why);
        if (*err != DRO_OK)
            break;
        assert_true(reader->length >= offset + view.length);
        assert_memory_equal(reader->bytes + offset, wanted + offset, view.length);
        offset += view.length;
        rounds++;
    }
    return rounds;
}

static void check_reads(disk *disk, bool is_ahead, int rounds, dro_err last)
{
    log_segments segments;
    log_reader reader;
    dro_err err;
    log_segments_init(&segments, disk);
    segments.is_read_only = true;
    assert_int_equal(log_segments_scan(&segments, SEGMENT), DRO_OK);
    assert_int_equal(log_reader_init(&reader, &segments), DRO_OK);
    reader.is_ahead = is_ahead;
    assert_int_equal(read_rounds(&reader, &segments, &err), rounds);
    assert_int_equal(err, last);
    assert_int_equal(read_rounds(&reader, &segments, &err), rounds); /* and again */
    log_reader_leave(&reader);
    assert_int_equal(reader.under_way, 0);
    disk_fetched none;
    assert_int_equal(disk->fetch_reap(disk, &none, 1, false), 0);
    log_reader_fini(&reader);
    log_segments_fini(&segments);
}

/* ---- directories ---- */

static void reads_a_directory(disk_way way)
{
    char directory[] = "log_reader_test.XXXXXX", name[64], command[64];
    disk *disk;
    assert_non_null(mkdtemp(directory));
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    dro_err err = disk_open_directory_by(&disk, directory, way);
    if (err == DRO_UNSUPPORTED) {
        assert_int_equal(system(command), 0);
        skip();
    }
    assert_int_equal(err, DRO_OK);
    write_segment(disk);
    for (int is_ahead = 0; is_ahead < 2; is_ahead++)
        check_reads(disk, is_ahead != 0, ROUNDS, DRO_MALFORMED);
    snprintf(name, sizeof name, "%s/segment-00000001", directory);
    assert_int_equal(truncate(name, (off_t)end - LOG_BLOCK - 99), 0); /* the file ends in a block */
    for (int is_ahead = 0; is_ahead < 2; is_ahead++)
        check_reads(disk, is_ahead != 0, ROUNDS - 1, DRO_TRUNCATED);
    disk->free(disk);
    assert_int_equal(disk_read_directory(&disk, directory), DRO_OK); /* has no fetches */
    check_reads(disk, true, ROUNDS - 1, DRO_TRUNCATED);
    disk->free(disk);
    assert_int_equal(system(command), 0);
}

static void a_directory_by_ring_is_read(void **state)
{
    (void)state;
    reads_a_directory(DISK_RING_DIRECT);
}

static void a_directory_by_calls_is_read(void **state)
{
    (void)state;
    reads_a_directory(DISK_SYNC);
}

/* ---- a disk whose fetches are not what one hopes for ---- */

enum how { REFUSED, FAILED, CUT_SHORT, NOTHING };
typedef struct odd_disk {
    disk disk;
    struct disk *inner;
    enum how how; /* every second fetch is */
    int count;
} odd_disk;

static disk *inner_of(disk *self)
{
    return ((odd_disk *)self)->inner;
}

static int odd_open(disk *self, const char *name, uint64_t bytes)
{
    return inner_of(self)->open(inner_of(self), name, bytes);
}

static void odd_close(disk *self, int file)
{
    inner_of(self)->close(inner_of(self), file);
}

static int64_t odd_size(disk *self, int file)
{
    return inner_of(self)->size(inner_of(self), file);
}

static int odd_list(disk *self, void (*each)(void *context, const char *name), void *context)
{
    return inner_of(self)->list(inner_of(self), each, context);
}

static int64_t odd_read(disk *self, int file, uint64_t offset, void *buffer, size_t length)
{
    size_t some = length > 5000 ? length / 3 : length; /* a call may give less, too */
    return inner_of(self)->read(inner_of(self), file, offset, buffer, some);
}

static int odd_fetch(disk *self, int file, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    odd_disk *odd = (odd_disk *)self;
    if (odd->how == REFUSED && odd->count++ % 2 == 0)
        return -EAGAIN;
    return odd->inner->fetch(odd->inner, file, offset, buffer, length, token);
}

static int odd_fetch_start(disk *self)
{
    return inner_of(self)->fetch_start(inner_of(self));
}

static int odd_fetch_reap(disk *self, disk_fetched *done, int max, bool wait)
{
    odd_disk *odd = (odd_disk *)self;
    int count = odd->inner->fetch_reap(odd->inner, done, max, wait);
    for (int i = 0; i < count; i++) {
        if (odd->how == REFUSED || odd->count++ % 2 != 0)
            continue;
        done[i].result = odd->how == FAILED ? -EINVAL : odd->how == NOTHING ? 0 : done[i].result / 2;
    }
    return count;
}

static odd_disk odd_around(disk *memory)
{
    return (odd_disk){ .inner = memory, .how = CUT_SHORT, .disk = { .open = odd_open, .close = odd_close, .size = odd_size, .list = odd_list,
                       .read = odd_read, .fetch = odd_fetch, .fetch_start = odd_fetch_start, .fetch_reap = odd_fetch_reap } };
}

static void what_a_fetch_does_not_give_a_call_does(void **state)
{
    (void)state;
    disk *memory = disk_memory_new(&(disk_memory_faults){ .seed = 7 });
    write_segment(memory);
    check_reads(memory, true, ROUNDS, DRO_MALFORMED);
    for (int how = REFUSED; how <= NOTHING; how++) {
        odd_disk odd = odd_around(memory);
        odd.how = (enum how)how;
        check_reads(&odd.disk, true, ROUNDS, DRO_MALFORMED);
        assert_true(odd.count > 0);
    }
    memory->free(memory);
}

static int no_open(disk *self, const char *name, uint64_t bytes)
{
    (void)self, (void)name, (void)bytes;
    return -EACCES;
}

static int no_fetch_start(disk *self)
{
    (void)self;
    return -EIO;
}

static int no_fetch_reap(disk *self, disk_fetched *done, int max, bool wait)
{
    (void)self, (void)done, (void)max, (void)wait;
    return -EIO;
}

static int64_t no_read(disk *self, int file, uint64_t offset, void *buffer, size_t length)
{
    (void)self, (void)file, (void)offset, (void)buffer, (void)length;
    return -EIO;
}

/* It can be entered, and not a round comes. */
static void gives_no_round(odd_disk *odd)
{
    log_segments segments;
    log_reader reader;
    dro_err err;
    log_segments_init(&segments, &odd->disk);
    segments.is_read_only = true;
    assert_int_equal(log_segments_scan(&segments, SEGMENT), DRO_OK);
    assert_int_equal(log_reader_init(&reader, &segments), DRO_OK);
    reader.is_ahead = true;
    assert_int_equal(read_rounds(&reader, &segments, &err), 0);
    assert_int_equal(err, DRO_IO);
    log_reader_fini(&reader); /* comes to its end */
    assert_int_equal(reader.under_way, 0);
    log_segments_fini(&segments);
}

static void a_disk_that_does_not_even_say_what_it_read_is_told(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        disk *memory = disk_memory_new(&(disk_memory_faults){ .seed = 7 });
        write_segment(memory);
        odd_disk odd = odd_around(memory);
        if (how == 0)
            odd.disk.fetch_reap = no_fetch_reap; /* of what was begun */
        else if (how == 1)
            odd.disk.fetch_start = no_fetch_start, odd.disk.fetch_reap = no_fetch_reap;
        else
            odd.how = FAILED, odd.disk.read = no_read; /* neither ahead nor by a call */
        gives_no_round(&odd);
        memory->free(memory);
    }
}

static void a_segment_that_cannot_be_opened_has_no_rounds(void **state)
{
    (void)state;
    disk *memory = disk_memory_new(&(disk_memory_faults){ .seed = 7 });
    write_segment(memory);
    odd_disk odd = odd_around(memory);
    log_segments segments;
    log_reader reader;
    log_round_view view;
    const char *why;
    log_segments_init(&segments, &odd.disk);
    segments.is_read_only = true;
    assert_int_equal(log_segments_scan(&segments, SEGMENT), DRO_OK);
    assert_int_equal(log_reader_init(&reader, &segments), DRO_OK);
    log_segment *segment = log_segments_at(&segments, SEGMENT);
    memory->close(memory, segment->file);
    segment->file = -1;
    segments.open_count--;
    odd.disk.open = no_open;
    assert_int_equal(log_reader_enter(&reader, segment), DRO_IO);
    assert_int_equal(log_reader_round(&reader, 0, &view, &why), DRO_TRUNCATED);
    odd.disk.open = odd_open;
    assert_int_equal(log_reader_enter(&reader, segment), DRO_OK);
    assert_int_equal(log_reader_round(&reader, 0, &view, &why), DRO_OK);
    log_reader_fini(&reader);
    log_segments_fini(&segments);
    memory->free(memory);
}

static int every_fetch(disk *self, int file, uint64_t offset, void *buffer, size_t length, uint64_t token)
{
    return inner_of(self)->fetch(inner_of(self), file, offset, buffer, length, token);
}

static uint64_t said_size; /* of the file, which has another by now */

static int64_t another_size(disk *self, int file)
{
    (void)self, (void)file;
    return (int64_t)said_size;
}

static void a_file_that_grows_or_shrinks_meanwhile_ends_where_it_ends(void **state)
{
    (void)state;
    for (int is_ahead = 0; is_ahead < 2; is_ahead++) {
        disk *memory = disk_memory_new(&(disk_memory_faults){ .seed = 7 });
        write_segment(memory);
        odd_disk odd = odd_around(memory);
        odd.disk.fetch = every_fetch;
        odd.how = REFUSED; /* none is, nor is any cut short */
        odd.disk.size = another_size;
        said_size = end - LOG_BLOCK - 99; /* it has more: the last block comes whole */
        check_reads(&odd.disk, is_ahead != 0, ROUNDS - 1, DRO_TRUNCATED);
        disk_memory_truncate(memory, "segment-00000001", end - LOG_BLOCK);
        said_size = SEGMENT_BYTES; /* it has less */
        check_reads(&odd.disk, is_ahead != 0, ROUNDS - 1, DRO_TRUNCATED);
        memory->free(memory);
    }
}

/* From whatever call on nothing works: no round that is wrong, and what was not read is told. */
static void a_disk_that_goes_at_any_call_gives_no_wrong_round(void **state)
{
    (void)state;
    disk *memory = disk_memory_new(&(disk_memory_faults){ .seed = 7 });
    write_segment(memory);
    int failed = 0;
    bool is_past = false;
    for (uint64_t call = 1; !is_past; call++) {
        log_segments segments;
        log_reader reader;
        dro_err err;
        log_segments_init(&segments, memory);
        segments.is_read_only = true;
        assert_int_equal(log_segments_scan(&segments, SEGMENT), DRO_OK);
        assert_int_equal(log_reader_init(&reader, &segments), DRO_OK);
        reader.is_ahead = true;
        disk_memory_power_cut(memory, &(disk_memory_faults){ .crash_call = call, .seed = call });
        int rounds = read_rounds(&reader, &segments, &err);
        is_past = disk_memory_calls(memory) < call;
        assert_true(rounds == ROUNDS || err == DRO_IO);
        failed += rounds < ROUNDS;
        log_reader_fini(&reader);
        assert_int_equal(reader.under_way, 0);
        disk_memory_power_cut(memory, NULL);
        log_segments_fini(&segments);
    }
    assert_true(failed > 0);
    memory->free(memory);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_by_ring_is_read),
        cmocka_unit_test(a_directory_by_calls_is_read),
        cmocka_unit_test(what_a_fetch_does_not_give_a_call_does),
        cmocka_unit_test(a_disk_that_does_not_even_say_what_it_read_is_told),
        cmocka_unit_test(a_segment_that_cannot_be_opened_has_no_rounds),
        cmocka_unit_test(a_file_that_grows_or_shrinks_meanwhile_ends_where_it_ends),
        cmocka_unit_test(a_disk_that_goes_at_any_call_gives_no_wrong_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
