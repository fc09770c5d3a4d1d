#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/usage.h"

enum { MILLISECOND = 1000000 };

static usage_page page;
static usage here;

static int begin(void **state)
{
    (void)state;
    memset(&page, 0, sizeof page);
    usage_init(&here, &page);
    return 0;
}

/* Uses CPU, says so, and waits to be killed. */
static pid_t busy_child(void)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec used = { 0, 0 };
        while (used.tv_nsec < 20 * MILLISECOND && used.tv_sec == 0)
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void a_process_shows_its_time_and_memory(void **state)
{
    (void)state;
    pid_t child = busy_child();
    usage_look(&here, "core 0", child);
    end(child);
    assert_int_equal(page.count, 1);
    assert_string_equal(page.rooms[0].name, "core 0");
    assert_int_equal(page.rooms[0].starts, 1);
    assert_true(page.rooms[0].cpu_nanos >= 20 * MILLISECOND);
    assert_true(page.rooms[0].memory_bytes >= 4096);
}

static void a_counter_never_goes_back_when_a_room_begins_anew(void **state)
{
    (void)state;
    pid_t first = busy_child();
    usage_look(&here, "gate 0", first);
    end(first);
    uint64_t before = page.rooms[0].cpu_nanos;
    usage_look(&here, "gate 0", 0);
    assert_int_equal(page.rooms[0].cpu_nanos, before);
    assert_int_equal(page.rooms[0].memory_bytes, 0);
    pid_t second = busy_child();
    usage_look(&here, "gate 0", second);
    end(second);
    assert_int_equal(page.rooms[0].starts, 2);
    assert_true(page.rooms[0].cpu_nanos >= before + 20 * MILLISECOND);
    assert_int_equal(page.count, 1);
}

static void a_room_that_never_was_is_not_told_of(void **state)
{
    (void)state;
    usage_look(&here, "probation 0", 0);
    assert_int_equal(page.count, 0);
    usage_look(&here, "probation 0", getpid());
    usage_look(&here, "probation 0", 0);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.rooms[0].starts, 1);
}

static void a_full_page_takes_no_more_rows(void **state)
{
    (void)state;
    for (int i = 0; i < USAGE_ROOMS_MAX + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "room %d", i);
        usage_look(&here, name, getpid());
    }
    assert_int_equal(page.count, USAGE_ROOMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_process_shows_its_time_and_memory, begin),
        cmocka_unit_test_setup(a_counter_never_goes_back_when_a_room_begins_anew, begin),
        cmocka_unit_test_setup(a_room_that_never_was_is_not_told_of, begin),
        cmocka_unit_test_setup(a_full_page_takes_no_more_rows, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
