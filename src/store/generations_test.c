#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/crc32c.h"
#include "store/disk_memory.h"
#include "store/generations.h"
#include "store/log_files.h"

static const dro_log_level quiet = DRO_LOG_NOTHING;

/* ---- the list ---- */

static void the_list_comes_back_as_it_was(void **state)
{
    (void)state;
    const generations list = { 3, { { 0, 1, true }, { 4, 16, false }, { 5, 2, false } } };
    uint8_t bytes[GENERATIONS_BYTES_MAX];
    size_t length = generations_encode(&list, bytes);
    generations again;
    assert_int_equal(generations_decode(&again, bytes, length), DRO_OK);
    assert_int_equal(again.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(again.list[i].number, list.list[i].number);
        assert_int_equal(again.list[i].cores, list.list[i].cores);
        assert_int_equal(again.list[i].is_gone, list.list[i].is_gone);
    }
}

static void every_shorter_and_every_flipped_list_is_damaged(void **state)
{
    (void)state;
    const generations list = { 2, { { 0, 1, false }, { 1, 4, false } } };
    uint8_t bytes[GENERATIONS_BYTES_MAX];
    size_t length = generations_encode(&list, bytes);
    generations again;
    for (size_t n = 0; n < length; n++)
        assert_int_equal(generations_decode(&again, bytes, n), DRO_CORRUPT);
    for (size_t bit = 0; bit < length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(generations_decode(&again, bytes, length), DRO_OK);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_host_that_always_had_one_core_has_no_list(void **state)
{
    (void)state;
    disk *host = disk_memory_new(NULL);
    generations list;
    uint64_t size;
    assert_int_equal(generations_open(&list, host, NULL, 1), DRO_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(generation_newest(&list)->number, 0);
    assert_null(disk_memory_bytes(host, "generations", &size));
    assert_int_equal(generations_open(&list, host, NULL, 2), DRO_UNSUPPORTED); /* nowhere to put its logs */
    host->free(host);
}

static void a_host_that_begins_with_several_cores_has_nothing_to_read(void **state)
{
    (void)state;
    disk *host = disk_memory_new(NULL);
    log_store_memory store;
    generations list;
    log_store_memory_init(&store, host);
    assert_int_equal(generations_open(&list, host, &store.store, 4), DRO_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(generation_newest(&list)->number, 1);
    assert_int_equal(generation_newest(&list)->cores, 4);
    assert_int_equal(generations_open(&list, host, &store.store, 1), DRO_OK);
    assert_int_equal(list.count, 2);
    host->free(host);
}

static void a_log_is_written_once_it_has_a_segment(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= 4; cores += 3) {
        disk *host = disk_memory_new(NULL), *log;
        log_store_memory store;
        generations list;
        log_store_memory_init(&store, host);
        assert_int_equal(generations_open(&list, host, &store.store, cores), DRO_OK);
        assert_false(generations_are_written(&list, host, &store.store));
        assert_int_equal(store.store.open(&store.store, generation_newest(&list)->number, cores - 1, true, &log), DRO_OK);
        assert_int_equal(log->replace(log, "segment-00000001", "", 0), 0);
        log->free(log);
        assert_true(generations_are_written(&list, host, &store.store));
        host->free(host);
    }
}

static void a_missing_log_is_damage(void **state)
{
    (void)state;
    disk *host = disk_memory_new(NULL);
    log_store_memory store;
    generations list;
    log_store_memory_init(&store, host);
    assert_int_equal(commit_log_make(host), DRO_OK);
    assert_int_equal(generations_open(&list, host, &store.store, 2), DRO_OK);
    assert_int_equal(generations_open(&list, host, &store.store, 3), DRO_OK);
    assert_int_equal(list.count, 3);
    assert_int_equal(generations_replay(&list, &store.store, NULL, NULL, NULL), DRO_OK);
    assert_int_equal(host->remove(host, "log-1-1/replay"), 0);
    dro_log_setup("test", quiet);
    assert_int_equal(generations_replay(&list, &store.store, NULL, NULL, NULL), DRO_CORRUPT);
    host->free(host);
}

static void too_many_unfinished_generations_are_refused(void **state)
{
    (void)state;
    disk *host = disk_memory_new(NULL);
    log_store_memory store;
    generations list;
    log_store_memory_init(&store, host);
    assert_int_equal(commit_log_make(host), DRO_OK);
    for (uint32_t i = 1; i < GENERATIONS_MAX; i++)
        assert_int_equal(generations_open(&list, host, &store.store, 1 + i % 2), DRO_OK);
    assert_int_equal(list.count, GENERATIONS_MAX);
    dro_log_setup("test", quiet);
    assert_int_equal(generations_open(&list, host, &store.store, 5), DRO_LIMIT);
    assert_int_equal(generations_open(&list, host, &store.store, generation_newest(&list)->cores), DRO_OK);
    host->free(host);
}

static void sum_put(uint8_t *bytes, size_t length)
{
    uint32_t sum = crc32c(0, bytes, length - 4);
    memcpy(bytes + length - 4, &sum, 4);
}

/* Whole, with a right sum, and yet no list: a later or a wrong program wrote it. */
static void a_list_that_makes_no_sense_is_refused(void **state)
{
    static const generations wrong[] = {
        { 1, { { 1, 0, false } } }, { 1, { { 1, 17, false } } }, { 1, { { 0, 2, false } } }, { 1, { { 1, 1, true } } },
        { 2, { { 2, 1, false }, { 2, 2, false } } }, { 2, { { 3, 1, true }, { 2, 2, false } } },
    };
    uint8_t bytes[GENERATIONS_BYTES_MAX + 12];
    generations again;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t length = generations_encode(&wrong[i], bytes);
        assert_int_equal(generations_decode(&again, bytes, length), DRO_CORRUPT);
    }
    const generations right = { 1, { { 1, 4, false } } };
    size_t length = generations_encode(&right, bytes);
    for (uint32_t count = 0; count <= GENERATIONS_MAX + 1; count++) {
        memcpy(bytes + 8, &count, 4);
        sum_put(bytes, length);
        assert_int_equal(generations_decode(&again, bytes, length), count == 1 ? DRO_OK : DRO_CORRUPT);
    }
    generations_encode(&right, bytes);
    bytes[0]++;
    sum_put(bytes, length);
    assert_int_equal(generations_decode(&again, bytes, length), DRO_CORRUPT);
}

static void the_lists_file_is_told_from_one_of_a_newer_version(void **state)
{
    const generations list = { 1, { { 1, 4, false } } };
    uint8_t bytes[GENERATIONS_BYTES_MAX];
    disk *host = disk_memory_new(NULL);
    generations again;
    size_t length = generations_encode(&list, bytes);
    (void)state;
    dro_log_setup("test", quiet);
    bytes[4]++;
    assert_int_equal(host->replace(host, "generations", bytes, length), 0);
    assert_int_equal(generations_open(&again, host, NULL, 1), DRO_CORRUPT);
    sum_put(bytes, length);
    assert_int_equal(host->replace(host, "generations", bytes, length), 0);
    assert_int_equal(generations_open(&again, host, NULL, 1), DRO_UNSUPPORTED);
    host->free(host);
}

/* A store that refuses. */
static dro_err refusal;

static dro_err refuse_open(log_store *store, uint32_t generation, uint32_t core, bool to_write, disk **out)
{
    (void)store, (void)generation, (void)core, (void)to_write, (void)out;
    return refusal;
}

static dro_err refuse_remove(log_store *store, uint32_t generation, uint32_t core)
{
    (void)store, (void)generation, (void)core;
    return refusal;
}

static void count_log(void *context, uint32_t number)
{
    assert_int_equal(number, ++*(uint32_t *)context);
}

static void what_a_store_refuses_is_passed_on_and_changes_nothing(void **state)
{
    disk *host = disk_memory_new(NULL), *log;
    log_store refuses = { refuse_open, refuse_remove };
    log_store_memory store;
    generations list, before;
    uint32_t count = 0;
    (void)state;
    dro_log_setup("test", quiet);
    log_store_memory_init(&store, host);
    assert_int_equal(generations_open(&list, host, &store.store, 2), DRO_OK);
    before = list;
    refusal = DRO_IO;
    assert_int_equal(generations_open(&list, host, &refuses, 3), DRO_IO);
    assert_true(list.count == before.count && !list.list[0].is_gone);
    assert_true(generations_are_written(&list, host, &refuses)); /* it may be: nothing is made anew over it */
    assert_false(generations_are_written(&list, host, NULL));
    assert_int_equal(generations_open(&list, host, &store.store, 3), DRO_OK);
    assert_int_equal(generations_old_log(&list, &refuses, 1, &log), DRO_IO);
    refusal = DRO_NOT_FOUND;
    assert_int_equal(generations_old_log(&list, &refuses, 1, &log), DRO_CORRUPT);
    assert_false(generations_are_written(&list, host, &refuses));
    assert_int_equal(generations_replay(&list, &store.store, count_log, NULL, &count), DRO_OK);
    assert_int_equal(count, 2);
    disk_memory_fill(host, true);
    before = list;
    assert_int_equal(generations_finish(&list, host, &store.store), DRO_LIMIT);
    assert_true(list.count == before.count && !list.list[0].is_gone);
    disk_memory_fill(host, false);
    refusal = DRO_IO;
    assert_int_equal(generations_finish(&list, host, &refuses), DRO_IO); /* marked, not gone */
    assert_int_equal(generations_old_log(&list, &store.store, 1, &log), DRO_AGAIN);
    assert_int_equal(generations_open(&list, host, &refuses, 3), DRO_IO);
    assert_int_equal(generations_open(&list, host, &store.store, 3), DRO_OK);
    assert_int_equal(list.count, 1);
    host->free(host);
}

/* ---- a host of counters: one key in each group, its value in the log of the group's core ---- */

enum { KEYS = LOG_GROUPS, SEGMENT = 64 * 1024 };

typedef struct machine {
    disk *disk;
    log_store_memory store;
    generations list;
    commit_log *logs[16];
    disk *disks[16];
    uint32_t cores;
    uint64_t epoch;
    uint64_t values[KEYS];    /* as replayed, then as written */
    uint64_t tried[KEYS], acknowledged[KEYS];
} machine;

typedef struct item { uint64_t previous, value; uint32_t key, reserved; } item;

static dro_err take(void *context, uint32_t group, log_place place, const uint8_t *record, size_t length)
{
    machine *machine = context;
    item item;
    (void)place;
    assert_int_equal(length, sizeof item);
    memcpy(&item, record, sizeof item);
    assert_int_equal(item.key, group);
    machine->values[item.key] = item.value;
    return DRO_OK;
}

static void machine_close(machine *machine)
{
    for (uint32_t i = 0; i < 16; i++) {
        commit_log_close(machine->logs[i]);
        machine->logs[i] = NULL;
        if (machine->disks[i] != NULL)
            machine->disks[i]->free(machine->disks[i]);
        machine->disks[i] = NULL;
    }
}

/* As a host does: the list, then the old logs, then the own ones. */
static dro_err machine_open(machine *machine, uint32_t cores)
{
    log_epoch epoch;
    memset(machine->values, 0, sizeof machine->values);
    machine->cores = cores;
    dro_err err = commit_log_epoch_next(machine->disk, 1, &epoch);
    if (err == DRO_OK)
        err = generations_open(&machine->list, machine->disk, &machine->store.store, cores);
    if (err == DRO_OK)
        err = generations_replay(&machine->list, &machine->store.store, NULL, take, machine);
    for (uint32_t i = 0; i < cores && err == DRO_OK; i++) {
        err = machine->store.store.open(&machine->store.store, generation_newest(&machine->list)->number, i, true, &machine->disks[i]);
        commit_log_options options = { .disk = machine->disks[i], .epoch = epoch.counter, .segment_bytes = SEGMENT };
        if (err == DRO_OK)
            err = commit_log_open(&machine->logs[i], &options, take, machine);
    }
    return err;
}

/* Nothing acknowledged is lost, nothing comes that was never written. */
static void machine_check(const machine *machine)
{
    for (uint32_t k = 0; k < KEYS; k++)
        assert_in_range(machine->values[k], machine->acknowledged[k], machine->tried[k]);
}

/* Each key's value goes into its core's log; `step` 0: as it is, which is what a move to new logs does. */
static dro_err machine_write(machine *machine, uint64_t step)
{
    for (uint32_t k = 0; k < KEYS; k++) {
        item item = { 0, machine->values[k] + step, k, 0 };
        if (item.value > machine->tried[k])
            machine->tried[k] = item.value;
        dro_err err = commit_log_append(machine->logs[k * machine->cores / LOG_GROUPS], k, 0, &item, sizeof item);
        if (err != DRO_OK)
            return err;
        machine->values[k] = item.value;
    }
    for (uint32_t i = 0; i < machine->cores; i++) {
        uint64_t round = commit_log_round(machine->logs[i]);
        dro_err err = commit_log_submit(machine->logs[i]);
        if (err != DRO_OK)
            return err;
        while (commit_log_durable(machine->logs[i], true) < round)
            if (commit_log_failed(machine->logs[i]))
                return DRO_IO;
        for (uint32_t k = 0; k < KEYS; k++)
            if (k * machine->cores / LOG_GROUPS == i)
                machine->acknowledged[k] = machine->values[k];
    }
    return DRO_OK;
}

/* A start with `cores`: some writes before the move, the move, some after it. Where `is_moved` is
 * false the host ends before it is done. */
static dro_err machine_live(machine *machine, uint32_t cores, bool is_moved)
{
    dro_err err = machine_open(machine, cores);
    if (err == DRO_OK)
        machine_check(machine);
    for (int i = 0; i < 3 && err == DRO_OK; i++)
        err = machine_write(machine, 1);
    if (err == DRO_OK && is_moved)
        err = machine_write(machine, 0);
    if (err == DRO_OK && is_moved)
        err = generations_finish(&machine->list, machine->disk, &machine->store.store);
    if (err == DRO_OK)
        err = machine_write(machine, 1);
    machine_close(machine);
    return err;
}

static const struct { uint32_t cores; bool is_moved; } lives[] = {
    { 1, true }, { 4, true }, { 2, false }, { 3, true }, { 3, false }, { 1, true }, { 2, true }, { 1, false }, { 16, true }, { 1, true },
};
enum { LIVES = sizeof lives / sizeof lives[0] };

static uint64_t play(const disk_memory_faults *faults)
{
    machine machine = { .disk = disk_memory_new(faults) };
    log_store_memory_init(&machine.store, machine.disk);
    uint64_t calls = 0;
    for (int life = 0; life < LIVES;) {
        dro_err err = machine_live(&machine, lives[life].cores, lives[life].is_moved);
        life += err == DRO_OK;
        calls = disk_memory_calls(machine.disk);
        if (err != DRO_OK) { /* the power is gone: the same life once more, with it */
            assert_int_not_equal(faults->crash_call + faults->fail_call, 0);
            disk_memory_power_cut(machine.disk, NULL);
        }
    }
    if (faults->crash_call > 0) /* it may have gone while the last one was closed, which nobody is told */
        disk_memory_power_cut(machine.disk, NULL);
    assert_int_equal(machine_open(&machine, 1), DRO_OK);
    machine_check(&machine);
    machine_close(&machine);
    /* What is left are the files of the newest generation and the host's own. */
    assert_int_equal(machine.list.count, 1);
    machine.disk->free(machine.disk);
    return calls;
}

static void values_stay_through_any_numbers_of_cores(void **state)
{
    (void)state;
    assert_true(play(&(disk_memory_faults){ 0 }) > 500);
}

static void values_stay_wherever_the_power_is_cut(void **state)
{
    (void)state;
    dro_log_setup("test", quiet);
    uint64_t calls = play(&(disk_memory_faults){ 0 });
    for (uint64_t n = 1; n <= calls; n++)
        play(&(disk_memory_faults){ .crash_call = n, .tear = n % 2 == 0, .seed = n });
}

static void values_stay_whichever_call_fails(void **state)
{
    (void)state;
    dro_log_setup("test", quiet);
    uint64_t calls = play(&(disk_memory_faults){ 0 });
    for (uint64_t n = 1; n <= calls; n += 3)
        play(&(disk_memory_faults){ .fail_call = n, .seed = n });
}

/* ---- in real directories ---- */

static void logs_lie_in_directories_of_their_own(void **state)
{
    (void)state;
    char data[] = "/tmp/dromio-generations-XXXXXX", path[64];
    struct stat stat_of;
    log_store_directory store;
    generations list;
    disk *host;
    assert_non_null(mkdtemp(data));
    log_store_directory_init(&store, data);
    snprintf(path, sizeof path, "%s/log", data);
    assert_int_equal(disk_open_directory(&host, path), DRO_OK);
    assert_int_equal(commit_log_make(host), DRO_OK);
    assert_int_equal(generations_open(&list, host, &store.store, 2), DRO_OK);
    snprintf(path, sizeof path, "%s/log-1-1/replay", data);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(generations_replay(&list, &store.store, NULL, NULL, NULL), DRO_OK);
    assert_int_equal(generations_finish(&list, host, &store.store), DRO_OK);
    log_replay_point point;
    assert_int_equal(log_replay_load(host, &point), DRO_UNSUPPORTED); /* all that a program without generations looks at */
    assert_int_equal(generations_open(&list, host, &store.store, 1), DRO_OK);
    assert_int_equal(generations_finish(&list, host, &store.store), DRO_OK);
    snprintf(path, sizeof path, "%s/log-1-1", data);
    assert_int_equal(stat(path, &stat_of), -1);
    disk *missing;
    assert_int_equal(store.store.open(&store.store, 1, 1, false, &missing), DRO_NOT_FOUND);
    host->free(host);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", data);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_comes_back_as_it_was),
        cmocka_unit_test(every_shorter_and_every_flipped_list_is_damaged),
        cmocka_unit_test(a_host_that_always_had_one_core_has_no_list),
        cmocka_unit_test(a_host_that_begins_with_several_cores_has_nothing_to_read),
        cmocka_unit_test(a_log_is_written_once_it_has_a_segment),
        cmocka_unit_test(a_missing_log_is_damage),
        cmocka_unit_test(too_many_unfinished_generations_are_refused),
        cmocka_unit_test(a_list_that_makes_no_sense_is_refused),
        cmocka_unit_test(the_lists_file_is_told_from_one_of_a_newer_version),
        cmocka_unit_test(what_a_store_refuses_is_passed_on_and_changes_nothing),
        cmocka_unit_test(values_stay_through_any_numbers_of_cores),
        cmocka_unit_test(values_stay_wherever_the_power_is_cut),
        cmocka_unit_test(values_stay_whichever_call_fails),
        cmocka_unit_test(logs_lie_in_directories_of_their_own),
    };
    return cmocka_run_group_tests_name("generations", tests, NULL, NULL);
}
