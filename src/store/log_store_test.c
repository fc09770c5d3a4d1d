/* Where logs lie, in a directory and in memory: what removing takes and leaves, and that a call that fails is told, wherever it is. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/failing.h"
#include "base/log.h"
#include "store/disk_memory.h"
#include "store/log_store.h"

enum { CALLS_MAX = 200 };

FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(int, fsync, (int fd), (fd), -1)
FAILING(int, unlink, (const char *path), (path), -1)
FAILING(int, rmdir, (const char *path), (path), -1)
FAILING(DIR *, fdopendir, (int fd), (fd), NULL)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) /* directories are opened with it, none made */
{
    return fails() ? -1 : __real_open64(path, flags);
}

static const char *const of_log[] = { "segment-00000001", "segment-00000002", "spare-00000003", "replay", "end" };
enum { OF_LOG = sizeof of_log / sizeof of_log[0] };

static void names_put(disk *files)
{
    for (size_t i = 0; i < OF_LOG; i++)
        assert_int_equal(files->replace(files, of_log[i], "x", 1), 0);
}

static int names_left(disk *files)
{
    int count = 0;
    for (size_t i = 0; i < OF_LOG; i++) {
        int file = files->open(files, of_log[i], 0);
        count += file >= 0;
        if (file >= 0)
            files->close(files, file);
    }
    return count;
}

static void names_make(log_store *store, uint32_t generation)
{
    disk *files;
    assert_int_equal(store->open(store, generation, 0, true, &files), DRO_OK);
    names_put(files);
    assert_int_equal(files->replace(files, "keys", "x", 1), 0);
    files->free(files);
}

/* ---- in a directory ---- */

static char directory[64];
static log_store_directory store;

static int begin(void **state)
{
    (void)state;
    fault_at(0, 0);
    strcpy(directory, "/tmp/dromio-log-store-XXXXXX");
    assert_non_null(mkdtemp(directory));
    log_store_directory_init(&store, directory);
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    fault_at(0, 0);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static bool is_there(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void removing_takes_what_is_the_logs_and_leaves_the_hosts(void **state)
{
    disk *files;
    (void)state;
    names_make(&store.store, 0);
    assert_int_equal(store.store.remove(&store.store, 0, 0), DRO_OK);
    assert_int_equal(store.store.open(&store.store, 0, 0, false, &files), DRO_OK);
    assert_int_equal(names_left(files), 0);
    files->free(files);
    assert_true(is_there("log/keys"));
    assert_int_equal(store.store.remove(&store.store, 0, 0), DRO_OK); /* once more: it is */
}

/* What a replacement left, or keeps for the next one, is in no list; its directory would not go with it in it. */
static void removing_takes_what_lies_beside_the_logs_files(void **state)
{
    static const char *const beside[] = { ".replay.new", ".end.new" };
    disk *files;
    (void)state;
    assert_int_equal(store.store.open(&store.store, 2, 0, true, &files), DRO_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(files->replace_reserved(files, "replay", "x", 1), 0);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        assert_int_equal(files->replace(files, beside[i], "x", 1), 0);
    files->free(files);
    assert_true(is_there("log-2-0/.replay.spare") && is_there("log-2-0/.end.new"));
    assert_int_equal(store.store.remove(&store.store, 2, 0), DRO_OK);
    assert_false(is_there("log-2-0"));
}

static void a_log_that_never_was_is_removed(void **state)
{
    (void)state;
    assert_int_equal(store.store.remove(&store.store, 4, 1), DRO_OK);
}

static void a_directory_with_somebody_elses_file_stays_and_that_is_told(void **state)
{
    (void)state;
    names_make(&store.store, 2); /* and "keys", which no log of a later generation has beside it */
    assert_int_equal(store.store.remove(&store.store, 2, 0), DRO_IO);
    assert_true(is_there("log-2-0/keys"));
    assert_false(is_there("log-2-0/end"));
}

/* Whichever call fails: it is told or all is gone; `end` never outlives a segment, and the next try is a good one. */
static void removing_says_which_call_failed_and_can_be_done_again(void **state)
{
    int failed = 0;
    (void)state;
    for (int n = 1;; n++) {
        disk *files;
        assert_true(n < CALLS_MAX);
        assert_int_equal(store.store.open(&store.store, 3, 0, true, &files), DRO_OK);
        names_put(files);
        files->free(files);
        fault_at(n, EIO);
        dro_err err = store.store.remove(&store.store, 3, 0);
        bool is_over = fault_is_past(n);
        bool is_gone = !is_there("log-3-0");
        assert_true(is_gone || err != DRO_OK);
        assert_true(!is_there("log-3-0/end") || is_there("log-3-0/segment-00000001"));
        failed += err != DRO_OK;
        assert_int_equal(store.store.remove(&store.store, 3, 0), DRO_OK);
        assert_false(is_there("log-3-0"));
        if (is_over)
            break;
    }
    assert_true(failed >= 2 + OF_LOG);
}

/* ---- in memory ---- */

static void in_memory_it_is_the_same(void **state)
{
    disk *host = disk_memory_new(NULL), *files;
    log_store_memory memory;
    (void)state;
    log_store_memory_init(&memory, host);
    for (uint32_t generation = 0; generation <= 1; generation++) {
        names_make(&memory.store, generation);
        assert_int_equal(memory.store.remove(&memory.store, generation, 0), DRO_OK);
        assert_int_equal(memory.store.open(&memory.store, generation, 0, false, &files), DRO_OK);
        assert_int_equal(names_left(files), 0);
        int keys = files->open(files, "keys", 0);
        assert_true(keys >= 0);
        files->close(files, keys);
        files->free(files);
    }
    host->free(host);
}

static void in_memory_too_each_failing_call_is_told(void **state)
{
    (void)state;
    for (int n = 1, is_over = 0; !is_over; n++) { /* memory */
        disk *host = disk_memory_new(NULL), *files;
        log_store_memory memory;
        log_store_memory_init(&memory, host);
        names_make(&memory.store, 1);
        fault_at(n, ENOMEM);
        dro_err opened = memory.store.open(&memory.store, 1, 0, false, &files), removed = memory.store.remove(&memory.store, 1, 0);
        is_over = fault_is_past(n);
        if (opened == DRO_OK)
            files->free(files);
        assert_true(opened == DRO_OK || opened == DRO_NOMEM);
        assert_true(is_over ? removed == DRO_OK : opened != DRO_OK || removed != DRO_OK);
        host->free(host);
    }
    for (uint64_t n = 1, is_over = 0; !is_over; n++) { /* the disk */
        disk *host = disk_memory_new(&(disk_memory_faults){ 0 }), *files;
        log_store_memory memory;
        log_store_memory_init(&memory, host);
        names_make(&memory.store, 1);
        disk_memory_power_cut(host, &(disk_memory_faults){ .fail_call = n });
        dro_err removed = memory.store.remove(&memory.store, 1, 0);
        is_over = disk_memory_calls(host) < n;
        assert_true(is_over == (removed == DRO_OK));
        disk_memory_power_cut(host, &(disk_memory_faults){ 0 });
        assert_int_equal(memory.store.remove(&memory.store, 1, 0), DRO_OK);
        assert_int_equal(memory.store.open(&memory.store, 1, 0, false, &files), DRO_OK);
        assert_int_equal(names_left(files), 0);
        files->free(files);
        host->free(host);
    }
}

int main(void)
{
    dro_log_setup("test", (dro_log_level)(DRO_LOG_ERROR + 1));
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(removing_takes_what_is_the_logs_and_leaves_the_hosts),
        CLAIM(removing_takes_what_lies_beside_the_logs_files),
        CLAIM(a_log_that_never_was_is_removed),
        CLAIM(a_directory_with_somebody_elses_file_stays_and_that_is_told),
        CLAIM(removing_says_which_call_failed_and_can_be_done_again),
        cmocka_unit_test(in_memory_it_is_the_same),
        cmocka_unit_test(in_memory_too_each_failing_call_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
