#include "desk/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "desk/confine.h"
#include "ring/message.h"
#include "store/columns.h"

enum { REGION = 64 * 1024 * 1024, CAPACITY = 256 * 1024, GATES = 2, ROWS = 5000, WAIT_MS = 30000 };

static const char acme[] = "acme.example";

typedef struct fixture {
    void *columns;
    ring_writer to_desk[GATES];
    ring_reader from_desk[GATES];
    ring_reader desk_in[GATES];
    ring_writer desk_out[GATES];
    int bell, gate_bell, stop;
    pid_t child;
    char *body; /* of the last answer */
    size_t body_length;
    unsigned parts;
    api_reply first;
} fixture;

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static void rows_fill(void *memory)
{
    static model thermo = { .name = "acme/thermo", .property_count = 1 };
    columns *writer;
    uint32_t table, row;
    char id[64];
    snprintf(thermo.properties[0].name, sizeof thermo.properties[0].name, "temperature");
    thermo.properties[0].schema.kind = VALUE_NUMBER;
    assert_int_equal(columns_create(&writer, memory, REGION), DRO_OK);
    assert_int_equal(columns_domain_set(writer, 0, acme), DRO_OK);
    assert_int_equal(columns_table_add(writer, &thermo, &table), DRO_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(id, sizeof id, "%040u@acme.example", i);
        assert_int_equal(columns_row_add(writer, table, i, 0, id, strlen(id), &row), DRO_OK);
    }
    columns_free(writer);
}

static void run_child(fixture *f)
{
    desk_config config = { .gate_count = GATES,
                           .from_gate = f->desk_in,
                           .to_gate = f->desk_out,
                           .doorbell = f->bell,
                           .columns = &(const void *){ f->columns },
                           .core_count = 1,
                           .columns_bytes = REGION,
                           .clock = dro_clock_system() };
    mprotect(f->columns, REGION, PROT_READ);
    _exit(desk_run(&config, f->stop));
}

static int room_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->columns = shared(REGION);
    f->body = malloc(4 * 1024 * 1024);
    rows_fill(f->columns);
    f->bell = eventfd(0, EFD_NONBLOCK);
    f->gate_bell = eventfd(0, EFD_NONBLOCK);
    f->stop = eventfd(0, EFD_NONBLOCK);
    for (int i = 0; i < GATES; i++) {
        void *in = shared(ring_bytes(CAPACITY)), *out = shared(ring_bytes(CAPACITY));
        ring_format(in, CAPACITY);
        ring_format(out, CAPACITY);
        ring_writer_open(&f->to_desk[i], in, CAPACITY, f->bell);
        ring_reader_open(&f->desk_in[i], in, CAPACITY);
        ring_writer_open(&f->desk_out[i], out, CAPACITY, f->gate_bell);
        ring_reader_open(&f->from_desk[i], out, CAPACITY);
    }
    f->child = fork();
    if (f->child == 0)
        run_child(f);
    *state = f;
    return 0;
}

static int room_teardown(void **state)
{
    fixture *f = *state;
    uint64_t one = 1;
    int status = -1;
    assert_int_equal(write(f->stop, &one, sizeof one), sizeof one);
    if (f->child > 0)
        assert_int_equal(waitpid(f->child, &status, 0), f->child);
    if (f->child > 0)
        assert_int_equal(status, 0);
    munmap(f->columns, REGION);
    for (int i = 0; i < GATES; i++) {
        munmap(f->to_desk[i].shared, ring_bytes(CAPACITY));
        munmap(f->from_desk[i].shared, ring_bytes(CAPACITY));
    }
    close(f->bell);
    close(f->gate_bell);
    close(f->stop);
    free(f->body);
    free(f);
    return 0;
}

static void ask(fixture *f, int gate, uint64_t id, const char *domain, const char *sql)
{
    uint8_t body[4096];
    query_request request = { .domains_length = (uint32_t)strlen(domain) + 1, .sql_length = (uint32_t)strlen(sql) };
    size_t length = sizeof request;
    memcpy(body, &request, sizeof request);
    memcpy(body + length, domain, strlen(domain) + 1);
    length += strlen(domain) + 1;
    memcpy(body + length, sql, strlen(sql));
    length += strlen(sql);
    assert_true(ring_send(&f->to_desk[gate], MESSAGE_QUERY, 0, id, body, (uint32_t)length));
    ring_publish(&f->to_desk[gate]);
}

static const uint8_t *next_message(fixture *f, int gate, ring_header *header)
{
    dro_err err;
    for (;;) {
        const uint8_t *body = ring_next(&f->from_desk[gate], header, &err);
        assert_int_equal(err, DRO_OK);
        if (body != NULL)
            return body;
        if (ring_prepare_sleep(&f->from_desk[gate]))
            continue;
        struct pollfd bell = { .fd = f->gate_bell, .events = POLLIN };
        assert_true(poll(&bell, 1, WAIT_MS) > 0);
        uint64_t rung;
        assert_int_equal(read(f->gate_bell, &rung, sizeof rung), sizeof rung);
        ring_awake(&f->from_desk[gate]);
    }
}

/* Takes all parts of one answer; its id. */
static uint64_t take(fixture *f, int gate)
{
    ring_header header;
    api_reply reply;
    f->body_length = 0;
    f->parts = 0;
    do {
        const uint8_t *body = next_message(f, gate, &header);
        assert_int_equal(header.type, MESSAGE_API_REPLY);
        memcpy(&reply, body, sizeof reply);
        if (f->parts++ == 0)
            f->first = reply;
        assert_int_equal(reply.status, f->first.status);
        assert_true(reply.body_length <= 48 * 1024);
        memcpy(f->body + f->body_length, body + sizeof reply, reply.body_length);
        f->body_length += reply.body_length;
        ring_done(&f->from_desk[gate], &header);
        ring_release(&f->from_desk[gate]);
    } while (reply.more);
    f->body[f->body_length] = '\0';
    return header.id;
}

static void a_question_is_answered_under_its_id(void **state)
{
    fixture *f = *state;
    ask(f, 0, 77, acme, "select count(*) from thermo");
    assert_true(take(f, 0) == 77);
    assert_int_equal(f->first.status, 200);
    assert_int_equal(f->first.content, CONTENT_JSON);
    assert_non_null(strstr(f->body, "\"rows\":[[5000]]"));
    ask(f, 0, 78, "other.example", "select count(*) from thermo");
    assert_true(take(f, 0) == 78);
    assert_non_null(strstr(f->body, "\"rows\":[[0]]"));
}

static void a_problem_says_its_content(void **state)
{
    fixture *f = *state;
    ask(f, 1, 5, acme, "select nothing");
    assert_true(take(f, 1) == 5);
    assert_int_equal(f->first.status, 400);
    assert_int_equal(f->first.content, CONTENT_PROBLEM);
    assert_non_null(strstr(f->body, "\"position\":7"));
}

static void a_large_answer_comes_in_parts_while_others_are_served(void **state)
{
    fixture *f = *state;
    ask(f, 0, 1, acme, "select id, id a, id b from thermo"); /* more than the ring holds */
    ask(f, 0, 2, acme, "select 2");
    ask(f, 1, 3, acme, "select 3");
    assert_true(take(f, 1) == 3);
    assert_true(take(f, 0) == 1);
    assert_true(f->parts > 10);
    assert_true(f->body_length > ROWS * 3 * 53);
    assert_non_null(strstr(f->body, "\"0000000000000000000000000000000000004999@acme.example\"]],\"micros\":"));
    assert_true(take(f, 0) == 2);
    assert_non_null(strstr(f->body, "[[2]]"));
}

static void a_malformed_question_does_not_stop_the_desk(void **state)
{
    fixture *f = *state;
    query_request request = { .domains_length = 4, .sql_length = UINT32_MAX };
    assert_true(ring_send(&f->to_desk[0], MESSAGE_QUERY, 0, 9, &request, sizeof request));
    assert_true(ring_send(&f->to_desk[0], MESSAGE_QUERY, 0, 10, &request, 4));
    assert_true(ring_send(&f->to_desk[0], 999, 0, 11, &request, sizeof request)); /* unknown: left unanswered */
    ring_publish(&f->to_desk[0]);
    assert_true(take(f, 0) == 9);
    assert_int_equal(f->first.status, 500);
    assert_true(take(f, 0) == 10);
    ask(f, 0, 12, acme, "select 1");
    assert_true(take(f, 0) == 12);
    assert_int_equal(f->first.status, 200);
}

static void a_broken_ring_ends_the_desk(void **state)
{
    fixture *f = *state;
    int status;
    *(uint32_t *)f->to_desk[0].shared = 0x7fffffff; /* the index of written bytes */
    uint64_t one = 1;
    assert_int_equal(write(f->bell, &one, sizeof one), sizeof one);
    assert_int_equal(waitpid(f->child, &status, 0), f->child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    f->child = 0;
}

/* What a confined process gets when it tries; its exit code says what went wrong. */
static void try_everything(void)
{
    if (!confine_desk())
        _exit(1);
    if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EPERM)
        _exit(2);
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        _exit(3);
    char *const arguments[] = { (char *)"/bin/true", NULL };
    if (execv(arguments[0], arguments) == 0 || errno != EPERM)
        _exit(4);
    if (fork() >= 0)
        _exit(5);
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        _exit(6);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        _exit(7);
    if (mprotect(page, 4096, PROT_EXEC) == 0)
        _exit(8);
    _exit(0);
}

static void a_confined_process_opens_and_starts_nothing(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0)
        try_everything();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_question_is_answered_under_its_id),
        CASE(a_problem_says_its_content),
        CASE(a_large_answer_comes_in_parts_while_others_are_served),
        CASE(a_malformed_question_does_not_stop_the_desk),
        CASE(a_broken_ring_ends_the_desk),
        cmocka_unit_test(a_confined_process_opens_and_starts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
