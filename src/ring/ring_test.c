#include "ring/ledger.h"
#include "ring/message.h"
#include "ring/ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

enum { CAPACITY = RING_CAPACITY_MIN, INDEXES = 192, HEADER = sizeof(ring_header) };

typedef struct fixture { void *memory; ring_writer writer; ring_reader reader; } fixture;

static int begin(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->memory = aligned_alloc(64, (ring_bytes(CAPACITY) + 63) & ~(size_t)63);
    ring_format(f->memory, CAPACITY);
    ring_writer_open(&f->writer, f->memory, CAPACITY, -1);
    ring_reader_open(&f->reader, f->memory, CAPACITY);
    *state = f;
    return 0;
}

static int end(void **state)
{
    fixture *f = *state;
    free(f->memory);
    free(f);
    return 0;
}

static void expect(fixture *f, uint64_t id, const void *body, size_t length)
{
    ring_header header;
    dro_err err;
    const uint8_t *at = ring_next(&f->reader, &header, &err);
    assert_non_null(at);
    assert_int_equal(header.id, id);
    assert_true(header.length - HEADER >= length && header.length - HEADER < length + 8);
    assert_memory_equal(at, body, length);
    ring_done(&f->reader, &header);
    ring_release(&f->reader);
}

static void nothing_shows_before_it_is_published(void **state)
{
    fixture *f = *state;
    assert_true(ring_send(&f->writer, 3, 0, 42, "hello", 5));
    assert_true(ring_is_empty(&f->reader));
    ring_publish(&f->writer);
    expect(f, 42, "hello\0\0\0", 8); /* padded with zeros */
    assert_true(ring_is_empty(&f->reader));
}

static void messages_of_all_lengths_wrap_around(void **state)
{
    fixture *f = *state;
    static uint8_t body[CAPACITY / 4];
    uint32_t most = ring_body_max(&f->writer);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t length = i * 7919 % (most + 1);
        memset(body, (int)i, length);
        assert_true(ring_send(&f->writer, 1, 0, i, body, length));
        ring_publish(&f->writer);
        expect(f, i, body, length);
    }
}

/* Over the end of a lap too, where a pad lies between. */
static void peeking_shows_what_will_come_and_takes_nothing(void **state)
{
    fixture *f = *state;
    static uint8_t body[CAPACITY / 8];
    ring_header header;
    for (uint64_t id = 0; id < 60; id += 3) {
        for (uint64_t i = 0; i < 3; i++)
            assert_true(ring_send(&f->writer, 1, 0, id + i, body, (uint32_t)(sizeof body - 100 * (id + i))));
        ring_publish(&f->writer);
        uint32_t position = 0;
        for (uint64_t i = 0; i < 3; i++) {
            assert_non_null(ring_peek(&f->reader, &position, &header));
            assert_int_equal(header.id, id + i);
        }
        assert_null(ring_peek(&f->reader, &position, &header));
        for (uint64_t i = 0; i < 3; i++)
            expect(f, id + i, body, sizeof body - 100 * (id + i));
    }
}

static void peeking_into_a_broken_ring_shows_nothing(void **state)
{
    fixture *f = *state;
    uint32_t position = 0, nonsense = 12;
    ring_header header;
    assert_true(ring_send(&f->writer, 1, 0, 1, "hello", 5));
    ring_publish(&f->writer);
    memcpy(f->writer.bytes, &nonsense, sizeof nonsense);
    assert_null(ring_peek(&f->reader, &position, &header));
}

static void a_full_ring_refuses_until_space_is_given_back(void **state)
{
    fixture *f = *state;
    static const uint8_t body[1000];
    uint64_t sent = 0;
    while (ring_send(&f->writer, 1, 0, sent, body, sizeof body))
        sent++;
    assert_int_equal(sent, CAPACITY / 1016);
    ring_publish(&f->writer);
    ring_header header;
    dro_err err;
    assert_non_null(ring_next(&f->reader, &header, &err));
    ring_done(&f->reader, &header);
    assert_false(ring_send(&f->writer, 1, 0, sent, body, sizeof body)); /* not released yet */
    ring_release(&f->reader);
    assert_true(ring_send(&f->writer, 1, 0, sent, body, 900));
}

static void what_is_secret_is_wiped_before_its_space_is_free(void **state)
{
    fixture *f = *state;
    ring_header header;
    dro_err err;
    assert_true(ring_send(&f->writer, 1, RING_WIPE, 1, "secret!!", 8));
    ring_publish(&f->writer);
    const uint8_t *at = ring_next(&f->reader, &header, &err);
    assert_memory_equal(at, "secret!!", 8);
    ring_done(&f->reader, &header);
    assert_memory_equal(at, "\0\0\0\0\0\0\0\0", 8);
}

/* What a hostile writer can put into a header, one at a time. */
static void a_broken_header_is_corrupt(void **state)
{
    fixture *f = *state;
    static const uint32_t lengths[] = { 0, 4, 7, 8, 15, 17, 32, CAPACITY / 4 + 8, CAPACITY, CAPACITY + 8, 0x80000000u, 0xfffffff8u, 0xffffffffu };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ring_format(f->memory, CAPACITY);
        ring_header header = { .length = lengths[i], .type = 1 };
        uint32_t tail = 24;
        dro_err err;
        memcpy((uint8_t *)f->memory + INDEXES, &header, sizeof header);
        memcpy(f->memory, &tail, sizeof tail);
        ring_reader_open(&f->reader, f->memory, CAPACITY);
        assert_null(ring_next(&f->reader, &header, &err));
        assert_int_equal(err, DRO_CORRUPT);
    }
}

/* All of it says that it is written, and the first message that it is longer than one may be. */
static void a_message_longer_than_one_may_be_is_corrupt(void **state)
{
    fixture *f = *state;
    for (uint32_t more = 0; more <= 8; more += 8) {
        ring_format(f->memory, CAPACITY);
        ring_header header = { .length = ring_body_max(&f->writer) + HEADER + more, .type = 1, .id = 7 };
        uint32_t tail = CAPACITY;
        dro_err err = DRO_OK;
        memcpy((uint8_t *)f->memory + INDEXES, &header, sizeof header);
        memcpy(f->memory, &tail, sizeof tail);
        ring_reader_open(&f->reader, f->memory, CAPACITY);
        assert_int_equal(ring_next(&f->reader, &header, &err) == NULL, more > 0);
        assert_int_equal(err, more > 0 ? DRO_CORRUPT : DRO_OK);
    }
}

static void a_tail_out_of_the_ring_is_corrupt(void **state)
{
    fixture *f = *state;
    static const uint32_t tails[] = { 1, 7, CAPACITY + 1, CAPACITY + 8, 0x80000000u, 0xffffffffu };
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        ring_header header;
        dro_err err;
        ring_format(f->memory, CAPACITY);
        memcpy(f->memory, &tails[i], 4);
        ring_reader_open(&f->reader, f->memory, CAPACITY);
        assert_null(ring_next(&f->reader, &header, &err));
        assert_int_equal(err, DRO_CORRUPT);
    }
}

/* Where a reader begins is read from memory that the writer has too: found by fuzzing, 7 bytes behind the ring were read. */
static void a_reader_that_begins_at_an_odd_place_reads_nothing_behind_the_ring(void **state)
{
    (void)state;
    enum { PAGE = 4096 };
    size_t bytes = ring_bytes(CAPACITY), pages = (bytes + PAGE - 1) / PAGE * PAGE;
    uint8_t *whole = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *memory = whole + pages - bytes;
    assert_true(whole != MAP_FAILED && mprotect(whole + pages, PAGE, PROT_NONE) == 0); /* the ring ends where nobody may read */
    for (uint32_t odd = 1; odd < 8; odd++) {
        ring_reader reader;
        ring_header header;
        dro_err err;
        uint32_t head = CAPACITY - odd, tail = head + 64, position = 0;
        ring_format(memory, CAPACITY);
        memcpy(memory, &tail, 4);
        memcpy(memory + 64, &head, 4);
        ring_reader_open(&reader, memory, CAPACITY);
        assert_null(ring_next(&reader, &header, &err));
        assert_int_equal(err, DRO_CORRUPT);
        assert_null(ring_peek(&reader, &position, &header));
    }
    munmap(whole, pages + PAGE);
}

/* Whoever reads would go on as long as the writer adds to them. */
static void padding_without_a_message_behind_it_is_corrupt(void **state)
{
    fixture *f = *state;
    static const uint32_t lengths[] = { 8, 16, CAPACITY / 4, CAPACITY };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ring_header header = { .length = lengths[i], .type = 0 };
        uint32_t tail = CAPACITY, position = 0;
        dro_err err;
        ring_format(f->memory, CAPACITY);
        for (uint32_t at = 0; at < CAPACITY; at += lengths[i])
            memcpy((uint8_t *)f->memory + INDEXES + at, &header, lengths[i] < sizeof header ? 8 : sizeof header);
        memcpy(f->memory, &tail, sizeof tail);
        ring_reader_open(&f->reader, f->memory, CAPACITY);
        assert_null(ring_peek(&f->reader, &position, &header));
        assert_null(ring_next(&f->reader, &header, &err));
        assert_int_equal(err, DRO_CORRUPT);
    }
}

/* What a compiler puts between members would be bytes of the writer's stack. Found by the simulation built without optimisation, whose
 * traces differed. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define HAS_CLEAR_PADDING
#endif
#endif
#ifdef HAS_CLEAR_PADDING
#define IS_FULL(type) \
    do { \
        type one; \
        uint8_t full[sizeof(type)]; \
        memset(&one, 0xff, sizeof one); \
        memset(full, 0xff, sizeof full); \
        __builtin_clear_padding(&one); \
        if (memcmp(&one, full, sizeof full) != 0) \
            fail_msg("%s has bytes that nobody sets", #type); \
    } while (0)

static void no_message_has_bytes_that_nobody_sets(void **state)
{
    (void)state;
    IS_FULL(api_request);
    IS_FULL(backup_piece);
    IS_FULL(api_reply);
    IS_FULL(credential);
    IS_FULL(signing_key_news);
    IS_FULL(capif_news);
    IS_FULL(stream_event);
    IS_FULL(network_user);
    IS_FULL(uplink_request);
    IS_FULL(rate_status);
    IS_FULL(connection_request);
    IS_FULL(connection_answer);
    IS_FULL(network_answer);
    IS_FULL(downlink_request);
    IS_FULL(downlink_answer);
    IS_FULL(inquiry_request);
    IS_FULL(inquiry_answer);
    IS_FULL(group_members);
    IS_FULL(authorization_update);
    IS_FULL(network_report);
    IS_FULL(report_answer);
    IS_FULL(trigger_outcome);
    IS_FULL(peer_state);
    IS_FULL(notice_request);
    IS_FULL(websocket_gone);
    IS_FULL(websocket_here);
    IS_FULL(notice_answer);
    IS_FULL(trace_request);
    IS_FULL(traced);
    IS_FULL(turn_request);
    IS_FULL(turn_result);
    IS_FULL(query_request);
    IS_FULL(ledger_place);
    IS_FULL(ledger_message);
    IS_FULL(ledger_file);
    IS_FULL(ledger_state);
}
#endif

/* A reader that says it has read what was never written gets nothing more. */
static void a_lying_reader_makes_the_ring_full(void **state)
{
    fixture *f = *state;
    static const uint8_t body[16000];
    uint32_t head = 0x70000000u;
    while (ring_send(&f->writer, 1, 0, 1, body, sizeof body))
        ;
    memcpy((uint8_t *)f->memory + 64, &head, 4);
    for (int i = 0; i < 3; i++)
        assert_false(ring_send(&f->writer, 1, 0, 1, body, sizeof body));
}

static void a_message_on_the_way_to_sleep_is_seen(void **state)
{
    fixture *f = *state;
    assert_false(ring_prepare_sleep(&f->reader));
    ring_awake(&f->reader);
    assert_true(ring_send(&f->writer, 1, 0, 1, "x", 1));
    ring_publish(&f->writer);
    assert_true(ring_prepare_sleep(&f->reader));
}

enum { THREAD_MESSAGES = 300000 };

static void *write_many(void *context)
{
    fixture *f = context;
    uint64_t body[16];
    for (uint64_t i = 0; i < THREAD_MESSAGES; i++) {
        for (size_t k = 0; k < 16; k++)
            body[k] = i + k;
        while (!ring_send(&f->writer, 1, i % 3 == 0 ? RING_WIPE : 0, i, body, (uint32_t)(8 * (i % 17))))
            ring_publish(&f->writer);
        if (i % 5 == 0)
            ring_publish(&f->writer);
    }
    ring_publish(&f->writer);
    return NULL;
}

static void two_threads_pass_every_message_once(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_many, f), 0);
    for (uint64_t next = 0; next < THREAD_MESSAGES;) {
        ring_header header;
        dro_err err;
        const uint8_t *at = ring_next(&f->reader, &header, &err);
        assert_int_equal(err, DRO_OK);
        if (at == NULL)
            continue;
        assert_int_equal(header.id, next);
        for (size_t k = 0; k < next % 17; k++) {
            uint64_t word;
            memcpy(&word, at + 8 * k, 8);
            assert_true(word == next + k);
        }
        ring_done(&f->reader, &header);
        ring_release(&f->reader);
        next++;
    }
    pthread_join(thread, NULL);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(nothing_shows_before_it_is_published), CLAIM(messages_of_all_lengths_wrap_around),
        CLAIM(peeking_shows_what_will_come_and_takes_nothing),
        CLAIM(peeking_into_a_broken_ring_shows_nothing),
        CLAIM(a_full_ring_refuses_until_space_is_given_back), CLAIM(what_is_secret_is_wiped_before_its_space_is_free),
        CLAIM(a_broken_header_is_corrupt), CLAIM(a_message_longer_than_one_may_be_is_corrupt), CLAIM(a_tail_out_of_the_ring_is_corrupt), CLAIM(padding_without_a_message_behind_it_is_corrupt),
#ifdef HAS_CLEAR_PADDING
        CLAIM(no_message_has_bytes_that_nobody_sets),
#endif
        CLAIM(a_reader_that_begins_at_an_odd_place_reads_nothing_behind_the_ring),
        CLAIM(a_lying_reader_makes_the_ring_full), CLAIM(a_message_on_the_way_to_sleep_is_seen),
        CLAIM(two_threads_pass_every_message_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
