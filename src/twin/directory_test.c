#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "twin/directory.h"

static const uint64_t key = 0x0123456789abcdefu;

static void open_new(directory *directory, uint32_t cores)
{
    void *memory = mmap(NULL, directory_bytes(cores), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(directory_format(memory, cores), DRO_OK);
    assert_int_equal(directory_open(directory, memory, cores), DRO_OK);
    assert_false(directory_is_ready(directory));
    directory_key_set(directory, key);
    assert_true(directory_is_ready(directory));
}

static void close_it(directory *directory)
{
    munmap(directory->shared, directory_bytes(directory->core_count));
}

static size_t id_of(char *id, unsigned number)
{
    return (size_t)snprintf(id, 64, "meter-%u@acme.example", number);
}

static void groups_are_spread_evenly_and_whole(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= DIRECTORY_CORES_MAX; cores++) {
        directory directory = { .core_count = cores };
        uint32_t groups[DIRECTORY_CORES_MAX] = { 0 };
        for (uint32_t p = 0; p < DIRECTORY_PARTITIONS; p++) {
            uint32_t core = directory_core(&directory, p);
            assert_true(core < cores);
            assert_int_equal(core, directory_core(&directory, p & ~63u));
            groups[core]++;
        }
        for (uint32_t c = 0; c < cores; c++) {
            assert_true(groups[c] / 64 >= DIRECTORY_GROUPS / cores);
            assert_true(groups[c] / 64 <= (DIRECTORY_GROUPS + cores - 1) / cores);
        }
    }
}

static void with_one_core_nothing_is_stored(void **state)
{
    (void)state;
    directory directory;
    open_new(&directory, 1);
    assert_int_equal(directory_bytes(1), 4096);
    for (uint32_t partition = 0; partition < 3; partition++)
        assert_int_equal(directory_claim(&directory, DIRECTORY_ID, "a@b", 3, partition), DRO_OK);
    assert_int_equal(directory_route(&directory, DIRECTORY_ID, "a@b", 3), 0);
    assert_int_equal(directory_find(&directory, DIRECTORY_ID, "a@b", 3), directory_partition(&directory, DIRECTORY_ID, "a@b", 3));
    directory_release(&directory, DIRECTORY_ID, "a@b", 3, 0);
    assert_int_equal(directory_count(&directory), 0);
    close_it(&directory);
}

static void a_name_that_nobody_has_is_where_it_would_be_born(void **state)
{
    (void)state;
    directory one, many;
    open_new(&one, 1);
    open_new(&many, 4);
    unsigned seen[4] = { 0 };
    for (unsigned i = 0; i < 4000; i++) {
        char id[64];
        size_t length = id_of(id, i);
        uint32_t partition = directory_partition(&many, DIRECTORY_ID, id, length);
        assert_int_equal(directory_find(&many, DIRECTORY_ID, id, length), partition);
        assert_int_equal(directory_partition(&one, DIRECTORY_ID, id, length), partition);
        seen[directory_route(&many, DIRECTORY_ID, id, length)]++;
    }
    for (int c = 0; c < 4; c++)
        assert_in_range(seen[c], 800, 1200);
    close_it(&one);
    close_it(&many);
}

static void a_claimed_name_is_found_and_nobody_elses(void **state)
{
    (void)state;
    directory directory;
    open_new(&directory, 2);
    const uint32_t low = 100, low_too = 200, high = 4000; /* cores 0, 0, 1 */
    assert_int_equal(directory_claim(&directory, DIRECTORY_IMSI, "001010000000001", 15, low), DRO_OK);
    assert_int_equal(directory_find(&directory, DIRECTORY_IMSI, "001010000000001", 15), low);
    assert_int_equal(directory_claim(&directory, DIRECTORY_IMSI, "001010000000001", 15, high), DRO_EXISTS);
    assert_int_equal(directory_claim(&directory, DIRECTORY_MSISDN, "001010000000001", 15, high), DRO_OK); /* another kind */
    assert_int_equal(directory_find(&directory, DIRECTORY_IMSI, "001010000000001", 15), low);
    assert_int_equal(directory_claim(&directory, DIRECTORY_IMSI, "001010000000001", 15, low_too), DRO_OK); /* its core knows */
    assert_int_equal(directory_find(&directory, DIRECTORY_IMSI, "001010000000001", 15), low_too);
    assert_int_equal(directory_count(&directory), 2);
    directory_release(&directory, DIRECTORY_IMSI, "001010000000001", 15, high); /* not its own */
    assert_int_equal(directory_find(&directory, DIRECTORY_IMSI, "001010000000001", 15), low_too);
    directory_release(&directory, DIRECTORY_IMSI, "001010000000001", 15, low);
    assert_int_equal(directory_claim(&directory, DIRECTORY_IMSI, "001010000000001", 15, high), DRO_OK);
    assert_int_equal(directory_route(&directory, DIRECTORY_IMSI, "001010000000001", 15), 1);
    close_it(&directory);
}

static void another_number_of_cores_is_no_directory_of_ours(void **state)
{
    (void)state;
    directory directory, other;
    open_new(&directory, 2);
    assert_int_equal(directory_open(&other, directory.shared, 3), DRO_CORRUPT);
    close_it(&directory);
}

static void formatted_anew_it_is_empty(void **state)
{
    (void)state;
    directory directory;
    open_new(&directory, 2);
    for (unsigned i = 0; i < 10000; i++) {
        char id[64];
        assert_int_equal(directory_claim(&directory, DIRECTORY_ID, id, id_of(id, i), i % DIRECTORY_PARTITIONS), DRO_OK);
    }
    assert_int_equal(directory_count(&directory), 10000);
    assert_int_equal(directory_format(directory.shared, 2), DRO_OK);
    assert_false(directory_is_ready(&directory));
    assert_int_equal(directory_count(&directory), 0);
    close_it(&directory);
}

/* Three million names: every table of 512 places grows, once or twice. */
static void grown_it_keeps_every_name(void **state)
{
    (void)state;
    enum { NAMES = 3000000 };
    directory directory;
    char id[64];
    open_new(&directory, 3);
    for (unsigned i = 0; i < NAMES; i++)
        assert_int_equal(directory_claim(&directory, DIRECTORY_ID, id, id_of(id, i), (i * 7) % DIRECTORY_PARTITIONS), DRO_OK);
    for (unsigned i = 0; i < NAMES; i += 3)
        directory_release(&directory, DIRECTORY_ID, id, id_of(id, i), (i * 7) % DIRECTORY_PARTITIONS);
    assert_int_equal(directory_count(&directory), NAMES / 3 * 2);
    for (unsigned i = 0; i < NAMES; i++) {
        size_t length = id_of(id, i);
        uint32_t expected = i % 3 == 0 ? directory_partition(&directory, DIRECTORY_ID, id, length) : (i * 7) % DIRECTORY_PARTITIONS;
        assert_int_equal(directory_find(&directory, DIRECTORY_ID, id, length), expected);
    }
    close_it(&directory);
}

/* ---- readers while writers work ---- */

enum { CROWDED = 8, KEPT_OF = 400000, WRITTEN_OF = 3000000, WRITERS = 2, READERS = 2 };

typedef struct stress {
    directory directory;
    _Atomic unsigned writing;
    _Atomic uint64_t wrong, looks, left;
} stress;

typedef struct writer { stress *stress; unsigned number; } writer;

/* Names of a few tables only, so that these grow, and kept names move as gaps close. */
static bool is_crowded(const directory *directory, char *id, unsigned number, size_t *length)
{
    *length = id_of(id, number);
    return directory_partition(directory, DIRECTORY_ID, id, *length) < CROWDED;
}

static uint32_t kept_partition(unsigned i)
{
    return (i * 13) % DIRECTORY_PARTITIONS;
}

static void *write_names(void *context)
{
    const writer *writer = context;
    stress *stress = writer->stress;
    uint32_t partition = writer->number == 0 ? 5 : 3000; /* cores 0 and 1 */
    unsigned first = KEPT_OF + writer->number * WRITTEN_OF, count = 0;
    char id[64];
    size_t length;
    for (unsigned i = first; i < first + WRITTEN_OF; i++) {
        if (!is_crowded(&stress->directory, id, i, &length))
            continue;
        if (directory_claim(&stress->directory, DIRECTORY_ID, id, length, partition) != DRO_OK)
            atomic_fetch_add(&stress->wrong, 1);
        if (count++ % 4 == 0)
            directory_release(&stress->directory, DIRECTORY_ID, id, length, partition);
        else
            atomic_fetch_add(&stress->left, 1);
    }
    atomic_fetch_sub(&stress->writing, 1);
    return NULL;
}

static void *read_names(void *context)
{
    stress *stress = context;
    char id[64];
    size_t length;
    for (unsigned i = 0; atomic_load(&stress->writing) > 0; i = (i + 1) % KEPT_OF) {
        if (!is_crowded(&stress->directory, id, i, &length))
            continue;
        if (directory_find(&stress->directory, DIRECTORY_ID, id, length) != kept_partition(i))
            atomic_fetch_add(&stress->wrong, 1);
        atomic_fetch_add(&stress->looks, 1);
    }
    return NULL;
}

static void kept_names_are_found_while_tables_grow_and_shrink(void **state)
{
    (void)state;
    static stress stress;
    char id[64];
    size_t length;
    pthread_t threads[WRITERS + READERS];
    writer writers[WRITERS];
    uint64_t kept = 0;
    open_new(&stress.directory, 2);
    for (unsigned i = 0; i < KEPT_OF; i++) {
        if (!is_crowded(&stress.directory, id, i, &length))
            continue;
        assert_int_equal(directory_claim(&stress.directory, DIRECTORY_ID, id, length, kept_partition(i)), DRO_OK);
        kept++;
    }
    atomic_store(&stress.writing, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){ &stress, i };
        assert_int_equal(pthread_create(&threads[i], NULL, write_names, &writers[i]), 0);
    }
    for (unsigned i = WRITERS; i < WRITERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_names, &stress), 0);
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&stress.wrong), 0);
    assert_true(atomic_load(&stress.looks) > 0);
    assert_int_equal(directory_count(&stress.directory), kept + atomic_load(&stress.left));
    assert_true(directory_count(&stress.directory) > CROWDED * 1000); /* so every one of them grew twice */
    close_it(&stress.directory);
}

static void *wait_for_key(void *context)
{
    const directory *directory = context;
    while (!directory_is_ready(directory))
        sched_yield();
    return (void *)(uintptr_t)directory_partition(directory, DIRECTORY_ID, "a@acme.example", 14);
}

/* A gate starts beside the core that makes the key. */
static void who_sees_that_it_is_ready_sees_its_key(void **state)
{
    (void)state;
    directory directory;
    open_new(&directory, 2);
    for (uint64_t other = 1; other < 200; other++) {
        pthread_t gate;
        void *seen;
        assert_int_equal(directory_format(directory.shared, 2), DRO_OK);
        assert_int_equal(pthread_create(&gate, NULL, wait_for_key, &directory), 0);
        directory_key_set(&directory, other);
        assert_int_equal(pthread_join(gate, &seen), 0);
        assert_int_equal((uintptr_t)seen, directory_partition_keyed(other, DIRECTORY_ID, "a@acme.example", 14));
    }
    close_it(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_spread_evenly_and_whole),
        cmocka_unit_test(with_one_core_nothing_is_stored),
        cmocka_unit_test(a_name_that_nobody_has_is_where_it_would_be_born),
        cmocka_unit_test(a_claimed_name_is_found_and_nobody_elses),
        cmocka_unit_test(another_number_of_cores_is_no_directory_of_ours),
        cmocka_unit_test(formatted_anew_it_is_empty),
        cmocka_unit_test(grown_it_keeps_every_name),
        cmocka_unit_test(who_sees_that_it_is_ready_sees_its_key),
        cmocka_unit_test(kept_names_are_found_while_tables_grow_and_shrink),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
