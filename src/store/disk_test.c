/* What the log counts on, for every kind of disk; then what only a real directory or only memory does. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/disk_directory.h"
#include "store/disk_memory.h"

enum { BLOCK = 4096, WAIT_MS_MAX = 20000 };

static char directory[64];
static uint8_t blocks[4][BLOCK] __attribute__((aligned(4096)));

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "disk_test.XXXXXX");
    for (int i = 0; i < 4; i++)
        memset(blocks[i], 'a' + i, BLOCK);
    return mkdtemp(directory) == NULL;
}

static int drop_directory(void **state)
{
    (void)state;
    remove_all();
    return 0;
}

/* ---- every kind ---- */

static void collect_name(void *context, const char *name)
{
    strcat(context, name);
    strcat(context, " ");
}

static void check_names(disk *disk)
{
    char names[256] = "", small[16];
    assert_int_equal(disk->replace(disk, "small", "one", 3), 0);
    assert_int_equal(disk->replace(disk, "small", "second", 6), 0);
    int file = disk->open(disk, "small", 0);
    assert_true(file >= 0);
    assert_int_equal(disk->size(disk, file), 6);
    assert_int_equal(disk->read(disk, file, 0, small, sizeof small), 6);
    assert_memory_equal(small, "second", 6);
    assert_int_equal(disk->read(disk, file, 6, small, sizeof small), 0);
    disk->close(disk, file);
    assert_int_equal(disk->rename(disk, "small", "other"), 0);
    assert_int_equal(disk->open(disk, "small", 0), -ENOENT);
    assert_int_equal(disk->rename(disk, "small", "other"), -ENOENT);
    assert_int_equal(disk->list(disk, collect_name, names), 0);
    assert_string_equal(names, "other ");
    assert_int_equal(disk->remove(disk, "other"), 0);
    assert_int_equal(disk->remove(disk, "other"), -ENOENT);
}

static void file_says(disk *disk, int file, const char *text)
{
    char back[16] = "";
    assert_true(disk->read(disk, file, 0, back, sizeof back - 1) >= 0);
    assert_string_equal(back, text);
}

/* What a backup must know: a file of replace_reserved that is open does not stay as it was, one of replace does. */
static void check_open_files(disk *disk)
{
    assert_int_equal(disk->replace_reserved(disk, "reserved", "one", 3), 0);
    assert_int_equal(disk->replace(disk, "plain", "one", 3), 0);
    int reserved = disk->open(disk, "reserved", 0), plain = disk->open(disk, "plain", 0);
    assert_true(reserved >= 0 && plain >= 0);
    assert_int_equal(disk->replace_reserved(disk, "reserved", "two", 3), 0);
    assert_int_equal(disk->replace(disk, "plain", "two", 3), 0);
    file_says(disk, reserved, "one");
    assert_int_equal(disk->replace_reserved(disk, "reserved", "six", 3), 0);
    assert_int_equal(disk->replace(disk, "plain", "six", 3), 0);
    file_says(disk, reserved, "six");
    file_says(disk, plain, "one");
    disk->close(disk, reserved);
    disk->close(disk, plain);
    reserved = disk->open(disk, "reserved", 0);
    file_says(disk, reserved, "six");
    disk->close(disk, reserved);
    assert_int_equal(disk->remove(disk, "reserved"), 0);
    assert_int_equal(disk->remove(disk, "plain"), 0);
}

static void check_writes(disk *disk)
{
    static uint8_t back[4 * BLOCK];
    int file = disk->open(disk, "blocks", 8 * BLOCK);
    assert_true(file >= 0);
    assert_true(disk->size(disk, file) >= 8 * BLOCK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(disk->write_durable(disk, file, (uint64_t)i * BLOCK, blocks[i], BLOCK, (uint64_t)(100 + i)), 0);
    unsigned seen = 0;
    while (seen != 0xf) {
        disk_completion done[2];
        int count = disk->reap(disk, done, 2, true);
        assert_in_range(count, 1, 2);
        for (int i = 0; i < count; i++) {
            assert_int_equal(done[i].error, 0);
            assert_in_range(done[i].token, 100, 103);
            assert_int_equal(seen >> (done[i].token - 100) & 1, 0);
            seen |= 1u << (done[i].token - 100);
        }
    }
    disk_completion none;
    assert_int_equal(disk->reap(disk, &none, 1, true), 0); /* nothing is under way: no waiting */
    assert_int_equal(disk->read(disk, file, 0, back, sizeof back), sizeof back);
    assert_memory_equal(back, blocks, sizeof back);
    assert_int_equal(disk->read(disk, file, 5 * BLOCK, back, BLOCK), BLOCK);
    for (int i = 0; i < BLOCK; i++)
        assert_int_equal(back[i], 0); /* allocated, never written */
    disk->close(disk, file);
}

/* Results come in any order, each once, with the bytes of its place. */
static void check_fetches(disk *disk)
{
    enum { FETCHES = 16, LENGTH = 1000 };
    static uint8_t back[FETCHES][LENGTH];
    unsigned seen = 0;
    int file = disk->open(disk, "blocks", 0);
    disk_fetched done[FETCHES];
    assert_true(file >= 0);
    assert_int_equal(disk->fetch_reap(disk, done, FETCHES, true), 0); /* nothing is under way: no waiting */
    for (unsigned i = 0; i < FETCHES; i++)
        assert_int_equal(disk->fetch(disk, file, i * 1000u, back[i], LENGTH, i), 0);
    assert_int_equal(disk->fetch_start(disk), 0);
    while (seen != (1u << FETCHES) - 1) {
        int count = disk->fetch_reap(disk, done, FETCHES, true);
        assert_in_range(count, 1, FETCHES);
        for (int i = 0; i < count; i++) {
            assert_int_equal(done[i].result, LENGTH);
            assert_int_equal(seen >> done[i].token & 1, 0);
            seen |= 1u << done[i].token;
        }
    }
    for (unsigned i = 0; i < FETCHES; i++)
        assert_memory_equal(back[i], (const uint8_t *)blocks + i * 1000u, LENGTH);
    assert_int_equal(disk->fetch(disk, file, 1u << 30, back[0], LENGTH, 9), 0); /* behind the end */
    assert_int_equal(disk->fetch_start(disk), 0);
    assert_int_equal(disk->fetch_reap(disk, done, 1, true), 1);
    assert_int_equal(done[0].result, 0);
    disk->close(disk, file);
}

/* Only so many at once; what was asked for comes a few at a time, each once, and makes room. */
static void check_a_full_queue(disk *disk)
{
    enum { MANY = 1000, LENGTH = 16, FEW = 3 };
    static uint8_t back[MANY][LENGTH];
    int asked = 0, file = disk->open(disk, "blocks", 0), error;
    disk_fetched done[FEW];
    bool seen[MANY] = { false };
    assert_true(file >= 0);
    while ((error = disk->fetch(disk, file, (uint64_t)asked * LENGTH, back[asked], LENGTH, (uint64_t)asked)) == 0)
        assert_true(++asked < MANY);
    assert_int_equal(error, -EAGAIN);
    assert_int_equal(disk->fetch_start(disk), 0);
    for (int left = asked; left > 0;) {
        int count = disk->fetch_reap(disk, done, FEW, true);
        assert_in_range(count, 1, FEW);
        for (int i = 0; i < count; i++) {
            assert_in_range(done[i].token, 0, asked - 1);
            assert_int_equal(done[i].result, LENGTH);
            assert_false(seen[done[i].token]);
            seen[done[i].token] = true;
        }
        left -= count;
    }
    assert_memory_equal(back, blocks, (size_t)asked * LENGTH);
    assert_int_equal(disk->fetch(disk, file, 0, back[0], LENGTH, 0), 0);
    assert_int_equal(disk->fetch_start(disk), 0);
    assert_int_equal(disk->fetch_reap(disk, done, FEW, true), 1);
    disk->close(disk, file);
}

static void memory_keeps_names_and_blocks(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    check_names(disk);
    check_open_files(disk);
    check_writes(disk);
    check_fetches(disk);
    check_a_full_queue(disk);
    disk->free(disk);
}

static void directory_keeps_names_and_blocks(disk_way way)
{
    disk *disk;
    dro_err err = disk_open_directory_by(&disk, directory, way);
    if (err == DRO_UNSUPPORTED && way == DISK_RING_DIRECT)
        skip(); /* this kernel or file system has no io_uring or no O_DIRECT */
    assert_int_equal(err, DRO_OK);
    check_names(disk);
    check_open_files(disk);
    check_writes(disk);
    check_fetches(disk);
    check_a_full_queue(disk);
    disk->free(disk);
    assert_int_equal(disk_open_directory_by(&disk, directory, way), DRO_OK);
    uint8_t back[BLOCK];
    int file = disk->open(disk, "blocks", 0);
    assert_true(file >= 0);
    assert_int_equal(disk->read(disk, file, BLOCK, back, BLOCK), BLOCK);
    assert_memory_equal(back, blocks[1], BLOCK);
    memset(back, 0, sizeof back);
    assert_int_equal(disk->fetch(disk, file, 2 * BLOCK, back, BLOCK, 5), 0);
    disk->free(disk); /* whoever closes waits for the fetch: the buffer is the test's again */
    assert_memory_equal(back, blocks[2], BLOCK);
}

static void a_directory_by_ring_keeps_names_and_blocks(void **state)
{
    (void)state;
    directory_keeps_names_and_blocks(DISK_RING_DIRECT);
}

static void a_directory_by_calls_keeps_names_and_blocks(void **state)
{
    (void)state;
    directory_keeps_names_and_blocks(DISK_SYNC);
}

/* ---- directory ---- */

static void a_missing_directory_is_made_for_the_owner_alone(void **state)
{
    (void)state;
    char path[96];
    struct stat stat_of;
    disk *disk;
    snprintf(path, sizeof path, "%s/log", directory);
    assert_int_equal(disk_open_directory(&disk, path), DRO_OK);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
    disk->free(disk);
    snprintf(path, sizeof path, "%s/no/such", directory);
    assert_int_equal(disk_open_directory(&disk, path), DRO_IO);
}

static void a_directory_has_one_owner(void **state)
{
    (void)state;
    disk *first, *second;
    assert_int_equal(disk_open_directory(&first, directory), DRO_OK);
    assert_int_equal(disk_open_directory(&second, directory), DRO_EXISTS);
    first->free(first);
    assert_int_equal(disk_open_directory(&second, directory), DRO_OK);
    second->free(second);
}

static void descriptor_tells_of_completions(disk_way way)
{
    disk *disk;
    dro_err err = disk_open_directory_by(&disk, directory, way);
    if (err == DRO_UNSUPPORTED)
        skip();
    assert_int_equal(err, DRO_OK);
    struct pollfd poll_of = { disk->descriptor(disk), POLLIN, 0 };
    assert_int_equal(poll(&poll_of, 1, 0), 0);
    int file = disk->open(disk, "told", BLOCK);
    for (int round = 0; round < 50; round++) {
        disk_completion done;
        assert_int_equal(disk->write_durable(disk, file, 0, blocks[round % 4], BLOCK, 9), 0);
        assert_int_equal(poll(&poll_of, 1, WAIT_MS_MAX), 1);
        while (disk->reap(disk, &done, 1, false) == 0)
            continue;
        assert_int_equal(disk->reap(disk, &done, 1, false), 0);
        assert_int_equal(poll(&poll_of, 1, 0), 0); /* quiet again */
    }
    disk->free(disk);
}

static void the_descriptor_of_the_ring_tells_of_completions(void **state)
{
    (void)state;
    descriptor_tells_of_completions(DISK_RING_DIRECT);
}

static void the_descriptor_of_the_calls_tells_of_completions(void **state)
{
    (void)state;
    descriptor_tells_of_completions(DISK_SYNC);
}

static void a_symbolic_link_is_not_followed(void **state)
{
    (void)state;
    char path[96];
    disk *disk;
    assert_int_equal(disk_open_directory(&disk, directory), DRO_OK);
    snprintf(path, sizeof path, "%s/link", directory);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(disk->open(disk, "link", 0), -ELOOP);
    assert_int_equal(disk->open(disk, "link", BLOCK), -ELOOP);
    disk->free(disk);
}

/* ---- memory ---- */

static void a_power_cut_keeps_what_was_reaped(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        disk *disk = disk_memory_new(&(disk_memory_faults){ .seed = seed, .tear = true });
        disk_completion done;
        int file = disk->open(disk, "f", 2 * BLOCK);
        assert_int_equal(disk->write_durable(disk, file, 0, blocks[0], BLOCK, 1), 0);
        assert_int_equal(disk->reap(disk, &done, 1, true), 1);
        assert_int_equal(disk->write_durable(disk, file, BLOCK, blocks[1], BLOCK, 2), 0);
        disk->close(disk, file);
        disk_memory_power_cut(disk, NULL);
        uint64_t size;
        const uint8_t *bytes = disk_memory_bytes(disk, "f", &size);
        assert_memory_equal(bytes, blocks[0], BLOCK);
        for (int i = 0; i < BLOCK; i += 512) /* each piece whole or untouched */
            assert_true(memcmp(bytes + BLOCK + i, blocks[1], 512) == 0 || (bytes[BLOCK + i] == 0 && bytes[BLOCK + i + 511] == 0));
        disk->free(disk);
    }
}

static void torn_writes_come_in_every_shape(void **state)
{
    (void)state;
    unsigned shapes = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        disk *disk = disk_memory_new(&(disk_memory_faults){ .seed = seed, .tear = true });
        int file = disk->open(disk, "f", BLOCK);
        assert_int_equal(disk->write_durable(disk, file, 0, blocks[0], BLOCK, 1), 0);
        disk->close(disk, file);
        disk_memory_power_cut(disk, NULL);
        uint64_t size;
        const uint8_t *bytes = disk_memory_bytes(disk, "f", &size);
        bool has_first = bytes[0] != 0, has_last = bytes[BLOCK - 1] != 0;
        shapes |= 1u << (has_first * 2 + has_last);
        disk->free(disk);
    }
    assert_int_equal(shapes, 0xf);
}

static void the_nth_call_fails_and_only_that(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ .fail_call = 2 });
    assert_int_equal(disk->replace(disk, "a", "x", 1), 0);
    assert_int_equal(disk->replace(disk, "b", "x", 1), -EIO);
    assert_int_equal(disk->replace(disk, "c", "x", 1), 0);
    assert_int_equal(disk_memory_calls(disk), 3);
    disk->free(disk);
}

static void after_a_crash_nothing_works_until_the_power_is_back(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ .crash_call = 2 });
    assert_int_equal(disk->replace(disk, "a", "x", 1), 0);
    assert_int_equal(disk->remove(disk, "a"), -EIO);
    assert_int_equal(disk->replace(disk, "a", "y", 1), -EIO);
    assert_int_equal(disk->open(disk, "a", 0), -EIO);
    disk_memory_power_cut(disk, NULL);
    assert_int_equal(disk->replace(disk, "a", "z", 1), 0);
    disk->free(disk);
}

static void no_disk_may_be_freed(void **state)
{
    (void)state;
    disk *disk = disk_memory_new(&(disk_memory_faults){ 0 });
    disk->free(NULL);
    disk->free(disk);
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_keeps_names_and_blocks),
        cmocka_unit_test_setup_teardown(a_directory_by_ring_keeps_names_and_blocks, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_directory_by_calls_keeps_names_and_blocks, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_made_for_the_owner_alone, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_directory_has_one_owner, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(the_descriptor_of_the_ring_tells_of_completions, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(the_descriptor_of_the_calls_tells_of_completions, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_symbolic_link_is_not_followed, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(a_power_cut_keeps_what_was_reaped, make_directory, drop_directory),
        cmocka_unit_test_setup_teardown(torn_writes_come_in_every_shape, make_directory, drop_directory),
        cmocka_unit_test(the_nth_call_fails_and_only_that),
        cmocka_unit_test(after_a_crash_nothing_works_until_the_power_is_back),
        cmocka_unit_test(no_disk_may_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
