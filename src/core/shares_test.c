/* Shares of CPU time, on fake time: cells that are played by a processor of their own each, or by one for all, as the
 * kernel would do it: whoever has turns runs, in slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/shares.h"

enum { CELLS = 4, RING = 4096, ROUND_NS = 100 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

typedef struct player {         /* a cell, and what is asked of it */
    uint32_t turn_ns;           /* one takes, at least */
    uint32_t more_ns;           /* and at most so much more */
    uint32_t limit;             /* turns that may be in it at once: 1 is a device that waits for its answer */
    bool is_idle, is_stopped;
    uint32_t left[RING];        /* of each turn that it has, in order */
    uint32_t first, count;
    uint64_t ran_ns;
} player;

static struct { share_table table; player cells[CELLS]; int64_t now_ns; uint64_t seed; uint32_t next; } host;

static uint32_t chance(uint32_t below)
{
    host.seed = host.seed * 6364136223846793005u + 1442695040888963407u;
    return below == 0 ? 0 : (uint32_t)(host.seed >> 33) % below;
}

static void begin_with(const uint32_t weights[CELLS], uint64_t seed)
{
    memset(&host, 0, sizeof host);
    host.seed = seed;
    shares_init(&host.table, weights, CELLS, true);
    for (int i = 0; i < CELLS; i++)
        host.cells[i] = (player){ .turn_ns = 1000000, .limit = RING, .is_idle = true };
}

static void hand_out(uint32_t i)
{
    player *cell = &host.cells[i];
    while (!cell->is_idle && cell->count < cell->limit && share_lets(&host.table, i)) {
        cell->left[(cell->first + cell->count++) % RING] = cell->turn_ns + chance(cell->more_ns);
        share_give(&host.table, i, host.now_ns);
    }
    host.table.of[i].waiting = cell->is_idle || cell->limit < RING ? 0 : RING;
}

/* A cell runs for so long; what it ended is known to the core. */
static uint64_t run(uint32_t i, uint64_t ns)
{
    player *cell = &host.cells[i];
    uint64_t begun = ns;
    while (ns > 0 && cell->count > 0 && !cell->is_stopped) {
        uint32_t *left = &cell->left[cell->first], step = *left < ns ? *left : (uint32_t)ns;
        static uint64_t cost[CELLS];
        ns -= step;
        *left -= step;
        cost[i] += step;
        if (*left > 0)
            break;
        cell->first = (cell->first + 1) % RING;
        cell->count--;
        cell->ran_ns += cost[i];
        share_take(&host.table, i, cost[i], host.now_ns);
        cost[i] = 0;
    }
    return begun - ns;
}

/* One processor for all cells: those that have turns take slices in turn, equal ones, whatever their shares. */
static void one_processor(void)
{
    uint64_t left = ROUND_NS;
    for (uint32_t idle = 0; left > 0 && idle < CELLS; host.next = (host.next + 1) % CELLS) {
        uint64_t used = run(host.next, left < 20000 ? left : 20000);
        idle = used == 0 ? idle + 1 : 0;
        left -= used;
    }
}

static void round_of(bool has_one_processor)
{
    shares_look(&host.table, host.now_ns);
    if (has_one_processor)
        one_processor();
    else
        for (uint32_t i = 0; i < CELLS; i++)
            run(i, ROUND_NS);
    for (uint32_t i = 0; i < CELLS; i++)
        hand_out(i);
    host.now_ns += ROUND_NS;
}

static void run_for(int64_t ns, bool has_one_processor)
{
    for (int64_t end = host.now_ns + ns; host.now_ns < end;)
        round_of(has_one_processor);
}

/* Over any window in which two want, each has its share to within a quantum, one turn, and what turns were longer than the ones before. */
static void check_windows(uint32_t a, uint32_t b, bool has_one_processor, uint64_t slack)
{
    enum { WINDOWS = 60 };
    static uint64_t marks[WINDOWS + 1][2];
    for (int i = 0; i <= WINDOWS; i++) {
        marks[i][0] = host.cells[a].ran_ns;
        marks[i][1] = host.cells[b].ran_ns;
        run_for(7 * 1000 * 1000 + chance(50 * 1000 * 1000), has_one_processor);
    }
    uint64_t wa = host.table.of[a].weight, wb = host.table.of[b].weight;
    for (int i = 0; i < WINDOWS; i++)
        for (int k = i + 1; k <= WINDOWS; k++) {
            uint64_t ran_a = marks[k][0] - marks[i][0], all = ran_a + marks[k][1] - marks[i][1], due = all * wa / (wa + wb);
            assert_in_range(ran_a + SHARE_QUANTUM_NS + slack, due, due + 2 * (SHARE_QUANTUM_NS + slack));
        }
}

static void two_that_want_have_their_shares_over_any_window(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        host.seed = seed;
        uint32_t first = 1 + chance(98), rest = 99 - first;
        const uint32_t weights[CELLS] = { first, rest > 0 ? rest : 1, 1, 1 };
        begin_with(weights, seed);
        for (int i = 0; i < 2; i++) {
            host.cells[i].is_idle = false;
            host.cells[i].turn_ns = 2000 + chance(1000000);
            host.cells[i].more_ns = seed % 4 < 2 ? 0 : chance(400000);
        }
        run_for(SECOND_NS / 4, seed % 2 == 0); /* until what their turns cost is known */
        uint64_t turns_ns = host.cells[0].turn_ns + host.cells[1].turn_ns;
        check_windows(0, 1, seed % 2 == 0, seed % 4 < 2 ? turns_ns : SHARE_QUANTUM_NS / 2);
    }
}

static void one_alone_has_all_of_it(void **state)
{
    const uint32_t weights[CELLS] = { 5, 90, 4, 1 };
    (void)state;
    begin_with(weights, 7);
    host.cells[0].is_idle = false;
    run_for(SECOND_NS, true);
    assert_true(host.cells[0].ran_ns > SECOND_NS * 99ll / 100);
}

/* It uses little and gets it at once; all that it leaves is the other's, whose share is small. */
static void what_one_leaves_is_the_others(void **state)
{
    const uint32_t weights[CELLS] = { 5, 90, 4, 1 };
    (void)state;
    begin_with(weights, 8);
    host.cells[0].is_idle = host.cells[1].is_idle = false;
    host.cells[1].limit = 1;
    host.cells[1].turn_ns = 10000; /* a device that waits for each answer */
    run_for(SECOND_NS, false);
    assert_true(host.cells[0].ran_ns > SECOND_NS * 95ll / 100);
    assert_true(host.cells[1].ran_ns > SECOND_NS / 20);
}

static void the_least_share_is_served_too(void **state)
{
    const uint32_t weights[CELLS] = { 97, 1, 1, 1 };
    (void)state;
    begin_with(weights, 9);
    for (int i = 0; i < CELLS; i++)
        host.cells[i].is_idle = false;
    run_for(10ll * SECOND_NS, true);
    for (int i = 1; i < CELLS; i++)
        assert_in_range(host.cells[i].ran_ns, 10ll * SECOND_NS / 100 - SHARE_QUANTUM_NS - 1000000, 10ll * SECOND_NS / 100 + SHARE_QUANTUM_NS + 1000000);
    for (uint64_t before[CELLS], i = 0; i < 20; i++) { /* and never forgotten for long */
        for (int k = 0; k < CELLS; k++)
            before[k] = host.cells[k].ran_ns;
        run_for(2ll * SECOND_NS, true);
        for (int k = 0; k < CELLS; k++)
            assert_true(host.cells[k].ran_ns > before[k]);
    }
}

/* A stopped process has turns and uses nothing: nobody waits for it longer than it takes to see that. */
static void one_that_is_silent_holds_nobody_back(void **state)
{
    const uint32_t weights[CELLS] = { 10, 80, 5, 5 };
    (void)state;
    begin_with(weights, 10);
    host.cells[0].is_idle = host.cells[1].is_idle = false;
    run_for(SECOND_NS, false);
    host.cells[1].is_stopped = true;
    uint64_t before = host.cells[0].ran_ns;
    run_for(SECOND_NS, false);
    assert_true(host.cells[0].ran_ns - before > SECOND_NS - SHARE_SILENT_NS - SHARE_QUANTUM_NS);
    assert_true(host.table.of[1].given > 0);
}

/* Neither what one had while it was alone nor what it left while it slept counts once both want. */
static void nobody_pays_for_time_that_nobody_wanted(void **state)
{
    const uint32_t weights[CELLS] = { 50, 50, 1, 1 };
    (void)state;
    begin_with(weights, 11);
    host.cells[0].is_idle = false;
    run_for(3ll * SECOND_NS, true);
    host.cells[1].is_idle = false;
    run_for(SECOND_NS / 10, true);
    check_windows(0, 1, true, 2 * 1000 * 1000);
    host.cells[0].is_idle = host.cells[1].is_idle = true;
    run_for(SECOND_NS, true);
    host.cells[0].is_idle = host.cells[1].is_idle = false;
    check_windows(0, 1, true, 2 * 1000 * 1000);
}

/* Short turns that become long ones by the hundred are in the cell before anybody knows: they are paid for afterwards. */
static void turns_that_grow_are_paid_for(void **state)
{
    const uint32_t weights[CELLS] = { 50, 50, 1, 1 };
    (void)state;
    begin_with(weights, 12);
    host.cells[0].is_idle = host.cells[1].is_idle = false;
    host.cells[0].turn_ns = 10000;
    run_for(SECOND_NS, true);
    uint64_t before[2] = { host.cells[0].ran_ns, host.cells[1].ran_ns };
    for (int i = 0; i < 400; i++) {
        host.cells[0].turn_ns = i % 2 == 0 ? 1000000 : 10000;
        run_for(10 * 1000 * 1000, true);
    }
    uint64_t ran[2] = { host.cells[0].ran_ns - before[0], host.cells[1].ran_ns - before[1] };
    uint64_t most = ran[0] > ran[1] ? ran[0] : ran[1], least = ran[0] + ran[1] - most;
    assert_true(most - least < SECOND_NS);
}

static void turns_of_a_lost_cell_count_no_longer(void **state)
{
    const uint32_t weights[CELLS] = { 50, 48, 1, 1 };
    (void)state;
    begin_with(weights, 13);
    host.cells[0].is_idle = false;
    hand_out(0);
    uint32_t given = host.table.of[0].given;
    assert_true(given > 1 && !share_lets(&host.table, 0));
    share_lose(&host.table, 0, given);
    assert_int_equal(host.table.of[0].given, 0);
    assert_true(share_lets(&host.table, 0));
    share_lose(&host.table, 0, 1);
    assert_int_equal(host.table.of[0].given, 0);
}

static void off_it_holds_nobody_back(void **state)
{
    const uint32_t weights[CELLS] = { 25, 25, 25, 25 };
    (void)state;
    begin_with(weights, 14);
    host.table.is_on = false;
    for (uint32_t i = 0; i < 2000; i++) {
        assert_true(share_lets(&host.table, 0));
        share_give(&host.table, 0, 0);
    }
    shares_look(&host.table, 0);
    assert_true(share_lets(&host.table, 0));
    share_take(&host.table, 0, 1000000, 0);
    assert_int_equal(host.table.of[0].cpu_ns, 1000000);
}

static void quick_is_who_has_little_and_answers(void **state)
{
    const uint32_t weights[CELLS] = { 25, 25, 25, 25 };
    (void)state;
    begin_with(weights, 15);
    share *first = &host.table.of[0];
    assert_false(share_is_quick(&host.table, 0, 0)); /* it has nothing: there is nothing to wait for */
    share_give(&host.table, 0, 1000);
    assert_true(share_is_quick(&host.table, 0, 1000));
    assert_false(share_is_quick(&host.table, 0, 1000 + SHARE_QUICK_NS));
    first->waiting = SHARE_QUICK_NS / SHARE_FIRST_NS - 2;
    assert_true(share_is_quick(&host.table, 0, 1000));
    first->waiting++;
    assert_false(share_is_quick(&host.table, 0, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_want_have_their_shares_over_any_window),
        cmocka_unit_test(one_alone_has_all_of_it),
        cmocka_unit_test(what_one_leaves_is_the_others),
        cmocka_unit_test(the_least_share_is_served_too),
        cmocka_unit_test(one_that_is_silent_holds_nobody_back),
        cmocka_unit_test(nobody_pays_for_time_that_nobody_wanted),
        cmocka_unit_test(turns_that_grow_are_paid_for),
        cmocka_unit_test(turns_of_a_lost_cell_count_no_longer),
        cmocka_unit_test(off_it_holds_nobody_back),
        cmocka_unit_test(quick_is_who_has_little_and_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
