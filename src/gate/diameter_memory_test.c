/* Memory: what happens when there is none, and what is left in it. Allocations of
 * the gate go through the wrappers here (linked with --wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/diameter_gate.h"
#include "gate/diameter_testbed.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strndup(const char *text, size_t length);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strndup(const char *text, size_t length);

static testbed bed;
static int fail_at, allocations; /* the allocation that fails, counted from 1; 0: none */

static bool fails(void)
{
    return ++allocations == fail_at;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

char *__wrap_strndup(const char *text, size_t length)
{
    return fails() ? NULL : __real_strndup(text, length);
}

static int setup(void **state)
{
    (void)state;
    fail_at = 0;
    testbed_init(&bed);
    testbed_start(&bed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testbed_stop(&bed);
    return 0;
}

/* Everything that allocates: a peer, its identity, buffers, a message in two parts, a long Session-Id. */
static void talk(int peer)
{
    static uint8_t request[4096];
    diameter_header header = { .code = COMMAND_MO_DATA, .application = DIAMETER_APPLICATION_T6A, .flags = 0xc0 };
    dro_builder out = dro_builder_over(request, sizeof request);
    diameter_begin(&out, &header);
    char session[1000];
    memset(session, 's', sizeof session);
    diameter_put(&out, AVP_SESSION_ID, session, sizeof session);
    dro_builder_bytes(&out, vector_odr + 48, sizeof vector_odr - 48);
    diameter_end(&out, 0);
    testbed_send(&bed, peer, vector_cer, sizeof vector_cer);
    testbed_send(&bed, peer, vector_cmr, 100);
    testbed_send(&bed, peer, vector_cmr + 100, sizeof vector_cmr - 100);
    testbed_send(&bed, peer, request, dro_builder_length(&out));
    for (int i = 0; i < 40; i++)
        testbed_send(&bed, peer, vector_dwr, sizeof vector_dwr);
    while (testbed_core_has(&bed, MESSAGE_UPLINK))
        testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
}

static void any_allocation_may_fail_and_the_next_peer_is_served(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int n = 1; has_failed; n++) {
        int peer = -1;
        allocations = 0;
        fail_at = n;
        peer = testbed_connect(&bed);
        talk(peer);
        has_failed = allocations >= n;
        fail_at = 0;
        close(peer);
        testbed_turn(&bed);
        close(testbed_open(&bed)); /* asserts that it is served */
        testbed_turn(&bed);
        assert_true(n < 200);
    }
}

static void without_memory_there_is_no_gate(void **state)
{
    (void)state;
    for (int n = 1; n <= 2; n++) {
        diameter_gate *gate;
        allocations = 0;
        fail_at = n;
        assert_int_equal(diameter_gate_new(&gate, &bed.config, bed.home), DRO_NOMEM);
        fail_at = 0;
    }
}

static bool holds_imsi(const void *bytes, size_t length)
{
    return length > 0 && memmem(bytes, length, "001010000000001", 15) != NULL;
}

static void no_identity_is_left_in_buffers(void **state)
{
    (void)state;
    int socket = testbed_open(&bed);
    diameter_peer *peer = bed.gate->peers[0];
    testbed_send(&bed, socket, vector_cmr, 150);
    assert_true(holds_imsi(peer->carry, peer->carry_length)); /* while it must be */
    testbed_send(&bed, socket, vector_cmr + 150, sizeof vector_cmr - 150);
    testbed_send(&bed, socket, vector_odr, sizeof vector_odr);
    testbed_downlink(&bed, 1, "mme1.example.org", 0, 0);
    assert_true(holds_imsi(peer->out, peer->out_end));
    uint8_t wrong[sizeof vector_odr];
    memcpy(wrong, vector_odr, sizeof wrong);
    wrong[20 + 28 + 12 + 3] = 2; /* code 2 with M bit is unknown: the Failed-AVP shows it */
    testbed_send(&bed, socket, wrong, sizeof wrong);
    testbed_turn(&bed);
    assert_false(holds_imsi(bed.gate->scratch, sizeof bed.gate->scratch));
    assert_false(holds_imsi(peer->carry, peer->carry_capacity));
    assert_false(holds_imsi(peer->out, peer->out_capacity));
    while (testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER))
        ;
    assert_false(holds_imsi(bed.memory, ring_bytes(TESTBED_RING)));
    close(socket);
}

/* Whoever connects may send a begin and stay: what that costs is bounded before anybody is known. */
static void half_a_cer_takes_no_whole_message(void **state)
{
    (void)state;
    int socket = testbed_connect(&bed);
    testbed_send(&bed, socket, vector_cer, sizeof vector_cer - 4);
    const diameter_peer *peer = bed.gate->peers[0];
    assert_int_equal(peer->carry_length, sizeof vector_cer - 4);
    assert_in_range(peer->carry_capacity, peer->carry_length, CER_BYTES_MAX);
    close(socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_allocation_may_fail_and_the_next_peer_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_gate, setup, teardown),
        cmocka_unit_test_setup_teardown(no_identity_is_left_in_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_cer_takes_no_whole_message, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
