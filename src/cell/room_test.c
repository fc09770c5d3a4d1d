/* A cell in a process of its own, held to its seven system calls, fed through rings. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cell/cell.h"
#include "cell/test_images/probe.h"
#include "cell/test_support.h"
#include "twin/effect.h"

enum { RING = 512 * 1024, PROBE = 0, GROWING = 1, TABLE = 2, IMAGES = 3, SECRET = 16 };

typedef struct shared {
    _Atomic uint64_t running;
    _Atomic uint32_t misdeed; /* what the child does instead of running */
} shared;

typedef struct room {
    shared *shared;
    uint8_t *turns_memory, *results_memory;
    ring_writer turns;
    ring_reader results;
    int cell_bell, core_bell;
    int ready[2];            /* a pipe: said through the filter */
    pid_t child;
    uint64_t next_id;
    int status;              /* of the last wait */
} room;

static admit_options admitting;
static bool gives_way; /* the next room */
static bool computes; /* the first image says so */
static test_bytes artifacts[IMAGES];

/* By a process of its own, as dromiod does it: this one never makes an engine. */
static test_bytes admit_apart(const char *name)
{
    test_bytes image = test_image(name);
    int in = memfd_create("image", 0), out = memfd_create("result", 0), status = 0;
    assert_int_equal(write(in, image.bytes, image.length), image.length);
    pid_t child = fork();
    if (child == 0)
        _exit(admit_process(in, out, &admitting));
    assert_int_equal(waitpid(child, &status, 0), child);
    admit_result *result = malloc(sizeof *result);
    assert_int_equal(admit_result_read(out, status, result), DRO_OK);
    for (uint32_t i = 0; i < result->reason_count; i++)
        print_message("%s: %s\n", name, result->reasons[i]);
    assert_int_equal(result->reason_count, 0);
    test_bytes artifact = { result->artifact, result->artifact_length };
    result->artifact = NULL;
    admit_result_free(result);
    free(result);
    free(image.bytes);
    close(in);
    close(out);
    return artifact;
}

static void misbehave(uint32_t misdeed, int own_bell)
{
    enum { X32 = 0x40000000 };
    char byte = 0;
    uint32_t word = 0;
    (void)X32;
    switch (misdeed) {
    case 0: break;
    case 1: (void)!syscall(SYS_getpid); break;
    case 2: (void)!open("/etc/passwd", O_RDONLY); break;
    case 3: (void)!socket(AF_INET, SOCK_STREAM, 0); break;
    case 4: (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); break;
    case 5: (void)!read(own_bell + 100, &byte, 1); break; /* not its own */
    case 6: (void)!write(2, &byte, 1); break;
    case 7: (void)!write(own_bell, &byte, 1); break;      /* its own may only be read */
    case 8: (void)!fork(); break;
    case 9: (void)!syscall(SYS_brk, 0); break;
    case 10: (void)!syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &(struct timespec){ 0 }); break;
    case 11: (void)!syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0); break;
    case 12: (void)!syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0); break; /* of a word shared with others */
#if defined(__x86_64__)
    case 13: (void)!syscall(X32 + SYS_getpid); break;
#endif
    default: raise(SIGSYS); break;
    }
}

_Noreturn static void child_main(room *room)
{
    ring_reader turns;
    ring_writer results;
    cell_image images[IMAGES];
    cell *cell = NULL;
    for (int i = 0; i < IMAGES; i++)
        images[i] = (cell_image){ artifacts[i].bytes, artifacts[i].length };
    ring_reader_open(&turns, room->turns_memory, RING);
    ring_writer_open(&results, room->results_memory, RING, room->core_bell);
    cell_options options = { .images = images, .image_count = IMAGES, .turns = &turns, .results = &results,
                             .doorbell = room->cell_bell, .running = &room->shared->running, .gives_way = gives_way };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGSEGV, SIG_DFL); /* cmocka's; the engine puts its own */
    signal(SIGILL, SIG_DFL);
    if (cell_new(&cell, &options) != DRO_OK || cell_confine(cell, room->ready[1]) != DRO_OK ||
        write(room->ready[1], "r", 1) != 1)
        _exit(9);
    misbehave(atomic_load(&room->shared->misdeed), room->cell_bell);
    cell_run(cell);
}

static void wait_ready(room *room)
{
    char byte;
    close(room->ready[1]);
    if (read(room->ready[0], &byte, 1) != 1)
        fail_msg("the cell ended at its start");
    close(room->ready[0]);
}

static room *room_open(uint32_t misdeed)
{
    room *room = calloc(1, sizeof *room);
    size_t bytes = (ring_bytes(RING) + 4095) & ~(size_t)4095;
    for (size_t i = 0; i < IMAGES && artifacts[i].bytes == NULL; i++)
        artifacts[i] = admit_apart((const char *const[]){ computes ? "computing" : "probe", "grow", "table" }[i]);
    room->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    room->turns_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    room->results_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ring_format(room->turns_memory, RING);
    ring_format(room->results_memory, RING);
    room->cell_bell = eventfd(0, 0);
    room->core_bell = eventfd(0, 0);
    ring_writer_open(&room->turns, room->turns_memory, RING, room->cell_bell);
    ring_reader_open(&room->results, room->results_memory, RING);
    atomic_store(&room->shared->misdeed, misdeed);
    room->next_id = 1;
    assert_int_equal(pipe(room->ready), 0);
    room->child = fork();
    if (room->child == 0)
        child_main(room);
    wait_ready(room);
    return room;
}

static void room_close(room *room)
{
    size_t bytes = (ring_bytes(RING) + 4095) & ~(size_t)4095;
    kill(room->child, SIGKILL);
    waitpid(room->child, NULL, 0);
    close(room->cell_bell);
    close(room->core_bell);
    munmap(room->shared, 4096);
    munmap(room->turns_memory, bytes);
    munmap(room->results_memory, bytes);
    free(room);
}

static bool send_turn(room *room, uint32_t image, uint32_t event_id, const void *event, uint32_t length,
                      uint32_t deadline)
{
    uint8_t *body = ring_reserve(&room->turns, (uint32_t)sizeof(turn_request) + length);
    if (body == NULL)
        return false;
    turn_request request = { .twin = room->next_id, .image = image, .event_kind = 3, .event_id = event_id,
                             .deadline_micros = deadline, .event_length = length };
    memcpy(body, &request, sizeof request);
    if (length > 0)
        memcpy(body + sizeof request, event, length);
    ring_commit(&room->turns, MESSAGE_TURN, RING_WIPE, room->next_id++, (uint32_t)sizeof request + length);
    return true;
}

/* Waits for the next result; *counted is what the property that COUNT sets became, 0 without one. */
static turn_result take_any(room *room, uint64_t id, int64_t *counted)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    while ((body = ring_next(&room->results, &header, &err)) == NULL) {
        assert_int_equal(err, DRO_OK);
        if (waitpid(room->child, &room->status, WNOHANG) != 0)
            fail_msg("the cell ended: %x", room->status);
        if (!ring_prepare_sleep(&room->results)) {
            uint64_t rings;
            (void)!read(room->core_bell, &rings, sizeof rings);
            ring_awake(&room->results);
        }
    }
    const turn_result result = *(const turn_result *)body;
    assert_int_equal(header.type, MESSAGE_TURN_RESULT);
    assert_true(header.id == id);
    dro_cursor in = dro_cursor_over(body + sizeof result + ((result.context_length + 7u) & ~7u), result.effects_length);
    effect effect;
    *counted = 0;
    while (effect_next(&in, &effect))
        if (effect.kind == EFFECT_PROPERTY && effect.property.value.kind == VALUE_INTEGER)
            *counted = effect.property.value.integer;
    ring_done(&room->results, &header);
    ring_release(&room->results);
    return result;
}

static enum turn_status take_result(room *room, uint64_t id)
{
    int64_t ignored;
    turn_result result = take_any(room, id, &ignored);
    assert_true(result.twin == id || result.status == TURN_HOST);
    return (enum turn_status)result.status;
}

/* A deadline for those that do not end by themselves. */
static uint32_t time_for(uint32_t event_id)
{
    return event_id == LOOP || event_id == SMEAR_LOOP ? TEST_DEADLINE_MICROS : TEST_PATIENCE_MICROS;
}

static enum turn_status one_turn(room *room, uint32_t image, uint32_t event_id)
{
    uint64_t id = room->next_id;
    assert_true(send_turn(room, image, event_id, "12345678", 8, time_for(event_id)));
    ring_publish(&room->turns);
    return take_result(room, id);
}

static void a_confined_cell_survives_every_kind_of_turn(void **state)
{
    static const struct { uint32_t image, event; enum turn_status status; } turns[] = {
        { PROBE, COUNT, TURN_OK },          { PROBE, TRAP, TURN_TRAP },       { PROBE, OVERFLOW, TURN_STACK_OVERFLOW },
        { PROBE, OUT_OF_BOUNDS, TURN_OUT_OF_BOUNDS }, { PROBE, DIVIDE, TURN_TRAP }, { PROBE, BAD_CALL, TURN_TRAP },
        { PROBE, EFFECTS_FLOOD, TURN_EFFECTS }, { PROBE, BAD_OUTCOME, TURN_BAD_RESULT }, { PROBE, SMEAR, TURN_OK },
        { PROBE, DIG, TURN_OUT_OF_BOUNDS }, { GROWING, 2, TURN_MEMORY },      { GROWING, 1, TURN_OK },
        { TABLE, 0, TURN_OK },              { TABLE, 1, TURN_BAD_RESULT },    { PROBE, ALL_EFFECTS, TURN_OK },
    };
    room *room = room_open(0);
    (void)state;
    for (int round = 0; round < 200; round++)
        for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++)
            assert_int_equal(one_turn(room, turns[i].image, turns[i].event), turns[i].status);
    for (int round = 0; round < 20; round++)
        assert_int_equal(one_turn(room, PROBE, LOOP), TURN_DEADLINE);
    assert_int_equal(one_turn(room, PROBE, COUNT), TURN_OK);
    room_close(room);
}

static void a_forbidden_call_ends_the_cell(void **state)
{
    (void)state;
    for (uint32_t misdeed = 1; misdeed <= 13; misdeed++) {
        room *room = room_open(misdeed);
        assert_int_equal(waitpid(room->child, &room->status, 0), room->child);
        if (!WIFSIGNALED(room->status) || WTERMSIG(room->status) != SIGSYS)
            fail_msg("misdeed %u: status %x", misdeed, room->status);
        room_close(room);
    }
}

static void many_turns_are_answered_in_order_though_the_ring_is_small(void **state)
{
    enum { TURNS = 20000, AHEAD = 3000 };
    room *room = room_open(0);
    (void)state;
    uint64_t sent = 0, taken = 0;
    while (taken < TURNS) { /* far more ahead than results fit: the cell has to wait for us */
        while (sent < TURNS && sent - taken < AHEAD && send_turn(room, PROBE, SMEAR, "abcdefgh", 8, TEST_PATIENCE_MICROS))
            sent++;
        ring_publish(&room->turns);
        for (int i = 0; i < 50 && taken < sent; i++)
            assert_int_equal(take_result(room, ++taken), TURN_OK);
    }
    room_close(room);
}

static void next_turns_go_on_with_what_the_one_before_left(void **state)
{
    enum { TWIN = 7, OTHER = 8 };
    static const struct { uint16_t type; uint64_t twin; uint32_t event; enum turn_status status; int64_t counted; } turns[] = {
        { MESSAGE_TURN_NEXT, TWIN, COUNT, TURN_HOST, 0 }, /* nothing is before it */
        { MESSAGE_TURN, TWIN, COUNT, TURN_OK, 1 },
        { MESSAGE_TURN_NEXT, TWIN, COUNT, TURN_OK, 2 },
        { MESSAGE_TURN_NEXT, TWIN, COUNT, TURN_OK, 3 },
        { MESSAGE_TURN_NEXT, TWIN, TRAP, TURN_TRAP, 0 },
        { MESSAGE_TURN_NEXT, TWIN, COUNT, TURN_HOST, 0 }, /* a turn that failed leaves nothing */
        { MESSAGE_TURN, TWIN, COUNT, TURN_OK, 1 },
        { MESSAGE_TURN_NEXT, OTHER, COUNT, TURN_HOST, 0 },
        { MESSAGE_TURN, OTHER, COUNT, TURN_OK, 1 },
        { MESSAGE_TURN, TWIN, COUNT, TURN_OK, 1 },
        { MESSAGE_TURN_NEXT, TWIN, COUNT, TURN_OK, 2 },
    };
    enum { TURNS = sizeof turns / sizeof turns[0] };
    room *room = room_open(0);
    (void)state;
    for (size_t i = 0; i < TURNS; i++) {
        turn_request request = { .twin = turns[i].twin, .image = PROBE, .event_kind = 3, .event_id = turns[i].event, .deadline_micros = TEST_PATIENCE_MICROS };
        assert_true(ring_send(&room->turns, turns[i].type, RING_WIPE, room->next_id++, &request, sizeof request));
    }
    ring_publish(&room->turns);
    for (size_t i = 0; i < TURNS; i++) {
        int64_t counted;
        turn_result result = take_any(room, i + 1, &counted);
        assert_int_equal(result.status, turns[i].status);
        assert_true(result.twin == turns[i].twin);
        assert_int_equal(counted, turns[i].counted);
    }
    room_close(room);
}

static void the_running_turn_is_named(void **state)
{
    room *room = room_open(0);
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(one_turn(room, PROBE, COUNT), TURN_OK);
    assert_true(send_turn(room, PROBE, COUNT, NULL, 0, TEST_PATIENCE_MICROS));
    assert_true(send_turn(room, PROBE, LOOP, NULL, 0, 4000000000u));
    ring_publish(&room->turns);
    while (atomic_load(&room->shared->running) != 7)
        sched_yield();
    kill(room->child, SIGKILL); /* a crash in the middle of it */
    waitpid(room->child, NULL, 0);
    assert_true(atomic_load(&room->shared->running) == 7);
    room_close(room);
}

/* What it did is not lost when it has no CPU time for what comes next. */
static void a_cell_that_gives_way_tells_each_result_before_it_goes_on(void **state)
{
    enum { TURNS = 3, PATIENCE = 100000 };
    ring_header header;
    dro_err err = DRO_OK;
    (void)state;
    gives_way = true;
    room *room = room_open(0);
    gives_way = false;
    for (int i = 0; i < TURNS; i++)
        assert_true(send_turn(room, PROBE, COUNT, NULL, 0, TEST_PATIENCE_MICROS));
    assert_true(send_turn(room, PROBE, LOOP, NULL, 0, 4000000000u));
    ring_publish(&room->turns);
    while (atomic_load(&room->shared->running) != TURNS + 1)
        sched_yield();
    for (int i = 0; i < TURNS; i++) {
        const uint8_t *body = NULL;
        for (int k = 0; k < PATIENCE && (body = ring_next(&room->results, &header, &err)) == NULL; k++)
            sched_yield();
        assert_non_null(body);
        ring_done(&room->results, &header);
    }
    room_close(room);
}

static void all_threads_of_a_cell_that_gives_way_do_and_of_no_other(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        char path[64];
        int count = 0;
        gives_way = way == 1;
        room *room = room_open(0);
        snprintf(path, sizeof path, "/proc/%d/task", (int)room->child);
        DIR *tasks = opendir(path);
        assert_non_null(tasks);
        for (struct dirent *task; (task = readdir(tasks)) != NULL;)
            if (task->d_name[0] != '.') {
                assert_int_equal(sched_getscheduler(atoi(task->d_name)), way == 1 ? SCHED_IDLE : SCHED_OTHER);
                count++;
            }
        closedir(tasks);
        assert_int_equal(count, 2); /* the ticker too */
        room_close(room);
    }
    gives_way = false;
}

static uint64_t nanos_of(clockid_t clock)
{
    struct timespec now;
    assert_int_equal(clock_gettime(clock, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void a_turn_of_a_cell_that_gives_way_costs_what_cpu_time_it_had(void **state)
{
    enum { AWAY_NANOS = 400000000, DEADLINE_MICROS = 20000 };
    clockid_t clock;
    int64_t counted;
    (void)state;
    gives_way = true;
    room *room = room_open(0);
    gives_way = false;
    assert_int_equal(clock_getcpuclockid(room->child, &clock), 0);
    uint64_t before = nanos_of(clock), id = room->next_id;
    assert_true(send_turn(room, PROBE, LOOP, NULL, 0, DEADLINE_MICROS));
    ring_publish(&room->turns);
    while (atomic_load(&room->shared->running) != id)
        sched_yield();
    kill(room->child, SIGSTOP);
    for (uint64_t end = nanos_of(CLOCK_MONOTONIC) + AWAY_NANOS; nanos_of(CLOCK_MONOTONIC) < end;)
        sched_yield();
    kill(room->child, SIGCONT);
    turn_result result = take_any(room, id, &counted);
    assert_int_equal(result.status, TURN_DEADLINE);
    assert_in_range(result.cpu_nanos, 1, nanos_of(clock) - before);
    room_close(room);
}

static void a_message_that_lies_about_its_length_is_answered(void **state)
{
    room *room = room_open(0);
    (void)state;
    turn_request *request = ring_reserve(&room->turns, sizeof *request);
    *request = (turn_request){ .image = PROBE, .context_length = 0xfffffff8, .event_length = 16 };
    ring_commit(&room->turns, MESSAGE_TURN, 0, room->next_id++, sizeof *request);
    ring_publish(&room->turns);
    assert_int_equal(take_result(room, 1), TURN_HOST);
    assert_true(ring_send(&room->turns, MESSAGE_TURN, 0, room->next_id++, "short", 5));
    ring_publish(&room->turns);
    assert_int_equal(take_result(room, 2), TURN_HOST);
    assert_int_equal(one_turn(room, PROBE, COUNT), TURN_OK);
    room_close(room);
}

static void a_broken_ring_ends_the_cell(void **state)
{
    room *room = room_open(0);
    (void)state;
    assert_int_equal(one_turn(room, PROBE, COUNT), TURN_OK);
    uint8_t *body = ring_reserve(&room->turns, 64);
    ring_commit(&room->turns, MESSAGE_TURN, 0, room->next_id++, 64);
    uint32_t length = 3;
    memcpy(body - sizeof(ring_header), &length, sizeof length);
    ring_publish(&room->turns);
    assert_int_equal(waitpid(room->child, &room->status, 0), room->child);
    assert_true(WIFEXITED(room->status) && WEXITSTATUS(room->status) == 3);
    room_close(room);
}

/* Occurrences of the secret in what the cell can write to. */
static int secrets_in(pid_t child, const uint8_t *secret)
{
    char path[64], line[512], rights[8];
    unsigned long from, to;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    int memory = open(path, O_RDONLY);
    if (maps == NULL || memory < 0) {
        print_message("the memory of another process cannot be read here\n");
        skip();
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[0] != 'r' || rights[1] != 'w')
            continue;
        uint8_t *copy = malloc(to - from);
        ssize_t count = pread(memory, copy, to - from, (off_t)from);
        for (ssize_t i = 0; i + SECRET <= count; i++)
            if (copy[i] == secret[0] && memcmp(copy + i, secret, SECRET) == 0) {
                found++;
                print_message("at %lx+%zx: %s", from, (size_t)i, line);
            }
        free(copy);
    }
    close(memory);
    fclose(maps);
    return found;
}

static void no_secret_stays_in_the_cell(void **state)
{
    room *room = room_open(0);
    uint8_t secret[SECRET], event[64];
    (void)state;
    for (int i = 0; i < SECRET; i++) /* made here and now, so that no copy was forked along */
        secret[i] = (uint8_t)((unsigned)rand() | 1);
    for (size_t i = 0; i < sizeof event; i++)
        event[i] = secret[i % SECRET];
    static const uint32_t events[] = { SMEAR, SMEAR_TRAP, SMEAR_LOOP, WALK };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        uint64_t id = room->next_id;
        assert_true(send_turn(room, PROBE, events[i], event, sizeof event, time_for(events[i])));
        ring_publish(&room->turns);
        (void)take_result(room, id);
    }
    uint64_t first = room->next_id; /* what it leaves is carried over to the next turn */
    assert_true(send_turn(room, PROBE, SMEAR, event, sizeof event, TEST_PATIENCE_MICROS));
    turn_request next = { .twin = first, .image = PROBE, .event_kind = 3, .event_id = COUNT, .deadline_micros = TEST_PATIENCE_MICROS };
    assert_true(ring_send(&room->turns, MESSAGE_TURN_NEXT, RING_WIPE, room->next_id++, &next, sizeof next));
    ring_publish(&room->turns);
    assert_int_equal(take_result(room, first), TURN_OK);
    int64_t counted;
    assert_int_equal(take_any(room, first + 1, &counted).status, TURN_OK);
    assert_int_equal(one_turn(room, PROBE, COUNT), TURN_OK);
    assert_int_equal(secrets_in(room->child, secret), 0);
    room_close(room);
}

static void a_dead_admission_is_a_reason(void **state)
{
    (void)state;
    int out = memfd_create("result", 0), status = 0;
    admit_result *result = malloc(sizeof *result);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    waitpid(child, &status, 0);
    assert_int_equal(admit_result_read(out, status, result), DRO_OK);
    assert_int_equal(result->reason_count, 1);
    assert_int_equal(admit_result_read(out, 0, result), DRO_CORRUPT);   /* said it was well, wrote nothing */
    assert_int_equal(admit_result_read(out, 256, result), DRO_IO);      /* exit code 1 */
    free(result);
    close(out);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_confined_cell_survives_every_kind_of_turn),
        cmocka_unit_test(a_forbidden_call_ends_the_cell),
        cmocka_unit_test(many_turns_are_answered_in_order_though_the_ring_is_small),
        cmocka_unit_test(next_turns_go_on_with_what_the_one_before_left),
        cmocka_unit_test(the_running_turn_is_named),
        cmocka_unit_test(a_cell_that_gives_way_tells_each_result_before_it_goes_on),
        cmocka_unit_test(all_threads_of_a_cell_that_gives_way_do_and_of_no_other),
        cmocka_unit_test(a_turn_of_a_cell_that_gives_way_costs_what_cpu_time_it_had),
        cmocka_unit_test(a_message_that_lies_about_its_length_is_answered),
        cmocka_unit_test(a_broken_ring_ends_the_cell),
        cmocka_unit_test(no_secret_stays_in_the_cell),
        cmocka_unit_test(a_dead_admission_is_a_reason),
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    enum { SKIPPED = 77 };
    print_message("a sanitizer needs more system calls than a cell has\n");
    return SKIPPED;
#endif
    admitting.no_exact_memory = argc > 1 && strcmp(argv[1], "plain") == 0;
    computes = argc > 1 && strcmp(argv[1], "computing") == 0;
    int failed = cmocka_run_group_tests_name(argc > 1 ? "room, whole pages" : "room", tests, NULL, NULL);
    for (uint32_t i = 0; i < IMAGES; i++)
        free(artifacts[i].bytes);
    return failed;
}
