#include "host/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ring/ring.h"

enum { CORES = 3, GATES = 2, CELLS = 2, PLACES = 4, COLUMNS = 1 << 20, PAGE = 4096 };

static int layout_setup(void **state)
{
    static layout made;
    layout_shape shape = { .cores = CORES, .gates = GATES, .cells = CELLS, .has_probation = true, .columns_bytes = COLUMNS, .directory_bytes = PAGE, .board_bytes = PAGE };
    assert_int_equal(layout_new(&made, &shape), DRO_OK);
    *state = &made;
    return 0;
}

static int layout_teardown(void **state)
{
    layout_free(*state);
    return 0;
}

static bool is_mapped(const void *memory)
{
    unsigned char in_core;
    return memory != NULL && mincore((void *)(uintptr_t)memory, PAGE, &in_core) == 0;
}

static uint32_t rings_with(const layout *layout, uint32_t core)
{
    uint32_t count = 0;
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS; set++)
            count += is_mapped(layout->gates[gate][set].to_core[core]) + is_mapped(layout->gates[gate][set].from_core[core]);
    return count;
}

static uint32_t cells_of(const layout *layout, uint32_t core)
{
    uint32_t count = 0;
    for (uint32_t cell = 0; cell < layout->place_count; cell++)
        for (int set = 0; set < CELL_SETS; set++)
            count += is_mapped(layout->cells[core][cell][set].turns) + is_mapped(layout->cells[core][cell][set].results) +
                     is_mapped(layout->cells[core][cell][set].running);
    return count;
}

static uint32_t desk_rings(const layout *layout)
{
    uint32_t count = 0;
    for (uint32_t gate = 0; gate < layout->gate_count; gate++)
        for (int set = 0; set < GATE_SETS; set++)
            count += is_mapped(layout->gates[gate][set].to_desk) + is_mapped(layout->gates[gate][set].from_desk);
    return count;
}

/* What is to be gone is gone from the address space too, not only from the struct. */
static void a_core_keeps_its_own_and_no_other_s(void **state)
{
    layout *layout = *state;
    const void *columns = layout->columns[0], *turns = layout->cells[2][0][0].turns;
    layout_keep_core(layout, 1);
    assert_int_equal(rings_with(layout, 1), 2 * GATES * GATE_SETS);
    assert_int_equal(rings_with(layout, 0) + rings_with(layout, 2), 0);
    assert_int_equal(cells_of(layout, 1), 3 * PLACES * CELL_SETS);
    assert_int_equal(cells_of(layout, 0) + cells_of(layout, 2), 0);
    assert_int_equal(desk_rings(layout), 0);
    assert_true(is_mapped(layout->columns[1]) && is_mapped(layout->directory) && is_mapped(layout->board));
    assert_true(is_mapped(layout->cells[1][0][0].running));
    assert_false(is_mapped(columns) || is_mapped(turns));
}

static void a_gate_has_its_rings_and_may_read_the_directory(void **state)
{
    layout *layout = *state;
    layout_keep_gate(layout, 1, 2);
    for (uint32_t core = 0; core < CORES; core++) {
        assert_int_equal(rings_with(layout, core), 2);
        assert_true(is_mapped(layout->gates[1][2].to_core[core]));
        assert_int_equal(cells_of(layout, core), 0);
        assert_null(layout->columns[core]);
    }
    assert_null(layout->board);
    assert_int_equal(desk_rings(layout), 2);
    int file = memfd_create("probe", 0); /* the kernel reads where it may read, and says where it may not write */
    assert_int_equal(write(file, layout->directory, 1), 1);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    assert_int_equal(read(file, layout->directory, 1), -1);
    close(file);
}

static void a_cell_has_one_pair_of_rings_and_its_own_word_of_what_runs(void **state)
{
    layout *layout = *state;
    layout_keep_cell(layout, 2, 1, 3);
    assert_int_equal(cells_of(layout, 2), 3);
    assert_true(is_mapped(layout->cells[2][1][3].results) && is_mapped(layout->cells[2][1][3].running));
    for (uint32_t core = 0; core < CORES; core++) {
        assert_int_equal(rings_with(layout, core), 0);
        assert_null(layout->columns[core]);
    }
    assert_int_equal(cells_of(layout, 0) + cells_of(layout, 1) + desk_rings(layout), 0);
    assert_true(layout->directory == NULL && layout->board == NULL);
}

static void a_place_of_twins_on_probation_has_the_images_of_its_cell_and_rings_of_its_own(void **state)
{
    layout *layout = *state;
    char name[32];
    assert_ptr_equal(layout_wanted(layout, 1, CELLS + 1), layout_wanted(layout, 1, 1));
    assert_ptr_not_equal(layout_wanted(layout, 1, CELLS + 1), layout_wanted(layout, 1, 0));
    assert_string_equal(layout_cell_name(layout, 1, 1, name), "cell 1.1");
    assert_string_equal(layout_cell_name(layout, 1, CELLS + 1, name), "probation 1.1");
    layout_keep_cell(layout, 1, CELLS + 1, 0);
    assert_int_equal(cells_of(layout, 1), 3);
    assert_true(is_mapped(layout->cells[1][CELLS + 1][0].turns));
}

static void the_desk_reads_the_columns_of_all_cores(void **state)
{
    layout *layout = *state;
    layout_keep_desk(layout);
    int file = memfd_create("probe", 0);
    for (uint32_t core = 0; core < CORES; core++) {
        assert_int_equal(write(file, layout->columns[core], 1), 1);
        assert_int_equal(lseek(file, 0, SEEK_SET), 0);
        assert_int_equal(read(file, layout->columns[core], 1), -1);
        assert_int_equal(rings_with(layout, core) + cells_of(layout, core), 0);
    }
    close(file);
    assert_int_equal(desk_rings(layout), 2 * GATES * GATE_SETS);
    assert_true(layout->directory == NULL && layout->board == NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, layout_setup, layout_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_core_keeps_its_own_and_no_other_s),
        CASE(a_gate_has_its_rings_and_may_read_the_directory),
        CASE(a_cell_has_one_pair_of_rings_and_its_own_word_of_what_runs),
        CASE(a_place_of_twins_on_probation_has_the_images_of_its_cell_and_rings_of_its_own),
        CASE(the_desk_reads_the_columns_of_all_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
