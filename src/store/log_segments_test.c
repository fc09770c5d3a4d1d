/* The list of segments on a disk that says what the test wants: which error is told, and what is left after it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/failing.h"
#include "base/log.h"
#include "store/log_segments.h"

FAILING(void *, malloc, (size_t size), (size), NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), NULL)

enum { BYTES = 64 * 1024, NAMES_MAX = 300 };

/* Errors are -errno, 0: none. */
typedef struct said_disk {
    disk disk;
    char names[NAMES_MAX][LOG_NAME_BYTES];
    int name_count;
    int open_error, rename_error, remove_error;
    int64_t size; /* of every file, or an error */
    int open_count, removed_count;
    char opened[LOG_NAME_BYTES], removed[LOG_NAME_BYTES]; /* the last */
} said_disk;

static int said_open(disk *self, const char *name, uint64_t bytes)
{
    said_disk *said = (said_disk *)self;
    (void)bytes;
    if (said->open_error != 0)
        return said->open_error;
    snprintf(said->opened, sizeof said->opened, "%s", name);
    return said->open_count++;
}

static void said_close(disk *self, int file)
{
    (void)file;
    ((said_disk *)self)->open_count--;
}

static int64_t said_size(disk *self, int file)
{
    (void)file;
    return ((said_disk *)self)->size;
}

static int said_rename(disk *self, const char *from, const char *to)
{
    (void)from, (void)to;
    return ((said_disk *)self)->rename_error;
}

static int said_remove(disk *self, const char *name)
{
    said_disk *said = (said_disk *)self;
    snprintf(said->removed, sizeof said->removed, "%s", name);
    said->removed_count++;
    return said->remove_error;
}

static int said_list(disk *self, void (*each)(void *context, const char *name), void *context)
{
    const said_disk *said = (const said_disk *)self;
    for (int i = 0; i < said->name_count; i++)
        each(context, said->names[i]);
    return 0;
}

static void add_names(said_disk *said, const char *kind, int first, int count)
{
    for (int i = 0; i < count; i++)
        snprintf(said->names[said->name_count++], LOG_NAME_BYTES, "%s-%08x", kind, (unsigned)(first + i));
}

static said_disk said;
static log_segments segments;

static int begin(void **state)
{
    (void)state;
    fault_at(0, 0);
    said = (said_disk){ .size = BYTES, .disk = { .open = said_open, .close = said_close, .size = said_size, .rename = said_rename,
                         .remove = said_remove, .list = said_list } };
    log_segments_init(&segments, &said.disk);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fault_at(0, 0);
    log_segments_fini(&segments);
    return said.open_count; /* all are closed */
}

/* ---- scan ---- */

static void every_allocation_of_a_scan_may_fail(void **state)
{
    (void)state;
    add_names(&said, "segment", 1, 70); /* more than the lists begin with */
    add_names(&said, "spare", 1, 70);
    for (int n = 1;; n++) {
        fault_at(n, ENOMEM);
        dro_err err = log_segments_scan(&segments, 1);
        bool is_over = fault_is_past(n);
        assert_int_equal(err, is_over ? DRO_OK : DRO_NOMEM);
        if (is_over) {
            assert_true(n > 6); /* each of three lists began and grew */
            break;
        }
        log_segments_fini(&segments);
        assert_int_equal(said.open_count, 0);
    }
    assert_int_equal(segments.count, 70);
    assert_int_equal(segments.spare_count, LOG_SPARES_MAX);
}

static void a_spare_that_cannot_be_looked_at_ends_a_scan(void **state)
{
    (void)state;
    add_names(&said, "spare", 7, 2);
    said.open_error = -EACCES;
    assert_int_equal(log_segments_scan(&segments, 1), DRO_IO);
    said.open_error = 0;
    said.size = -EIO;
    assert_int_equal(log_segments_scan(&segments, 1), DRO_IO);
    assert_int_equal(said.open_count, 0);
    assert_int_equal(segments.spare_count, 0);
    assert_int_equal(said.removed_count, 0);
}

static void a_spare_of_no_size_is_removed(void **state)
{
    (void)state;
    add_names(&said, "spare", 7, 2);
    said.size = 0;
    said.remove_error = -EIO;
    assert_int_equal(log_segments_scan(&segments, 1), DRO_IO);
    assert_int_equal(said.removed_count, 1); /* the next one is not tried */
    said.remove_error = 0;
    assert_int_equal(log_segments_scan(&segments, 1), DRO_OK);
    assert_string_equal(said.removed, "spare-00000008");
    assert_int_equal(said.removed_count, 3);
    assert_int_equal(segments.spare_count, 0);
}

static void spares_are_not_looked_at_where_one_only_reads(void **state)
{
    (void)state;
    add_names(&said, "segment", 3, 1);
    add_names(&said, "spare", 1, 9);
    segments.is_read_only = true;
    assert_int_equal(log_segments_scan(&segments, 3), DRO_OK);
    assert_string_equal(said.opened, "segment-00000003");
    assert_int_equal(said.removed_count, 0);
}

/* ---- open ---- */

static void what_the_disk_says_of_a_segment_is_told_apart(void **state)
{
    (void)state;
    static const struct { int error; dro_err err; } said_and_told[] = { { -ENOSPC, DRO_LIMIT }, { -EDQUOT, DRO_LIMIT }, { -ENOMEM, DRO_NOMEM }, { -EIO, DRO_IO } };
    static const log_state start;
    for (size_t i = 0; i < sizeof said_and_told / sizeof said_and_told[0]; i++) {
        said.open_error = said_and_told[i].error;
        assert_int_equal(log_segments_add(&segments, 1, BYTES, &start), said_and_told[i].err);
        assert_int_equal(log_segments_reserve(&segments, 1, BYTES), said_and_told[i].err);
        assert_int_equal(said.removed_count, i + 1); /* what of the spare was made */
        assert_int_equal(segments.count + segments.spare_count, 0);
    }
}

static int open_segments(void)
{
    int count = 0;
    for (uint32_t i = 0; i < segments.count; i++)
        count += segments.list[i].file >= 0;
    return count;
}

static void only_so_many_are_open_and_the_one_not_used_longest_closes(void **state)
{
    (void)state;
    add_names(&said, "segment", 1, LOG_FILES_OPEN_MAX + 4);
    assert_int_equal(log_segments_scan(&segments, 1), DRO_OK);
    assert_int_equal(open_segments(), LOG_FILES_OPEN_MAX);
    for (uint32_t number = 1; number <= 4; number++)
        assert_true(log_segments_at(&segments, number)->file < 0);
    assert_int_equal(log_segments_open(&segments, log_segments_at(&segments, 5)), DRO_OK); /* used now */
    log_segments_at(&segments, 6)->is_pinned = true;
    log_segments_at(&segments, 7)->fetches = 1;
    assert_int_equal(log_segments_open(&segments, log_segments_at(&segments, 1)), DRO_OK);
    for (uint32_t number = 5; number <= 7; number++)
        assert_true(log_segments_at(&segments, number)->file >= 0);
    assert_true(log_segments_at(&segments, 8)->file < 0);
    assert_int_equal(open_segments(), LOG_FILES_OPEN_MAX);
}

static void those_in_use_stay_open_beside_one_more(void **state)
{
    (void)state;
    static const log_state start;
    add_names(&said, "segment", 1, LOG_FILES_OPEN_MAX + 1);
    assert_int_equal(log_segments_scan(&segments, 1), DRO_OK);
    for (uint32_t number = 2; number <= segments.count; number++)
        log_segments_at(&segments, number)->fetches = 1;
    assert_int_equal(log_segments_open(&segments, log_segments_at(&segments, 1)), DRO_OK);
    log_segments_at(&segments, 1)->is_pinned = true;
    assert_int_equal(open_segments(), LOG_FILES_OPEN_MAX + 1);
    assert_int_equal(log_segments_add(&segments, LOG_FILES_OPEN_MAX + 2, BYTES, &start), DRO_OK);
    assert_int_equal(open_segments(), LOG_FILES_OPEN_MAX + 2);
    assert_int_equal(said.open_count, LOG_FILES_OPEN_MAX + 2);
}

/* ---- add, reserve, drop ---- */

static void a_spare_of_another_size_is_not_taken(void **state)
{
    (void)state;
    static const log_state start;
    assert_int_equal(log_segments_reserve(&segments, 1, BYTES), DRO_OK);
    assert_int_equal(segments.spare_count, 1);
    said.rename_error = -EIO; /* would be told */
    assert_int_equal(log_segments_add(&segments, 1, 2 * BYTES, &start), DRO_OK);
    assert_string_equal(said.opened, "segment-00000001");
    assert_int_equal(segments.spare_count, 1);
    assert_int_equal(log_segments_add(&segments, 2, BYTES, &start), DRO_IO);
    assert_int_equal(segments.spare_count, 1);
}

static void spares_of_another_size_go_before_others_are_made(void **state)
{
    (void)state;
    assert_int_equal(log_segments_reserve(&segments, 2, BYTES), DRO_OK);
    said.remove_error = -EIO;
    assert_int_equal(log_segments_reserve(&segments, 2, 2 * BYTES), DRO_IO);
    assert_int_equal(segments.spare_count, 2);
    assert_int_equal(log_segments_bytes(&segments), 2 * BYTES); /* still the old ones */
    said.remove_error = 0;
    said.removed_count = 0;
    assert_int_equal(log_segments_reserve(&segments, 3, 2 * BYTES), DRO_OK);
    assert_int_equal(said.removed_count, 2);
    assert_int_equal(log_segments_bytes(&segments), 6 * BYTES);
}

static void a_segment_that_cannot_be_removed_stays(void **state)
{
    (void)state;
    add_names(&said, "segment", 1, 2);
    assert_int_equal(log_segments_scan(&segments, 1), DRO_OK);
    said.remove_error = -EROFS;
    assert_int_equal(log_segments_remove_last(&segments), DRO_IO);
    assert_int_equal(log_segments_drop_first(&segments, 2 * BYTES), DRO_IO);
    assert_int_equal(segments.count, 2);
    said.remove_error = 0;
    assert_int_equal(log_segments_remove_last(&segments), DRO_OK);
    assert_string_equal(said.removed, "segment-00000002");
    assert_int_equal(segments.count, 1);
    said.rename_error = -ENOSPC;
    assert_int_equal(log_segments_drop_first(&segments, BYTES), DRO_LIMIT); /* to be a spare */
    assert_int_equal(segments.count, 1);
    assert_int_equal(segments.spare_count, 0);
}

#define IN_TURN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        IN_TURN(every_allocation_of_a_scan_may_fail),
        IN_TURN(a_spare_that_cannot_be_looked_at_ends_a_scan),
        IN_TURN(a_spare_of_no_size_is_removed),
        IN_TURN(spares_are_not_looked_at_where_one_only_reads),
        IN_TURN(what_the_disk_says_of_a_segment_is_told_apart),
        IN_TURN(only_so_many_are_open_and_the_one_not_used_longest_closes),
        IN_TURN(those_in_use_stay_open_beside_one_more),
        IN_TURN(a_spare_of_another_size_is_not_taken),
        IN_TURN(spares_of_another_size_go_before_others_are_made),
        IN_TURN(a_segment_that_cannot_be_removed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
