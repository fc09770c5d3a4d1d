/* Peers over time: who may connect, watchdog, election, limits, disconnecting. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/diameter_gate.h"
#include "gate/diameter_testbed.h"
#include "wire/diameter/read.h"
#include "wire/diameter/vectors.h"
#include "wire/diameter/write.h"

static testbed bed;
static uint8_t buffer[TESTBED_BYTES];

static int setup(void **state)
{
    (void)state;
    testbed_init(&bed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testbed_stop(&bed);
    return 0;
}

static uint64_t drops(const char *reason)
{
    char name[96];
    snprintf(name, sizeof name, "dromio_diameter_drops_total{reason=\"%s\"}", reason);
    return testbed_metric(&bed, name);
}

static void expect_result(int peer, uint32_t result)
{
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(testbed_result(&bed), result);
}

/* Answers the request in bed.message with a base answer made of these parts. */
static void answer_base(int peer, const char *host)
{
    uint8_t answer[512];
    dro_builder out = dro_builder_over(answer, sizeof answer);
    diameter_header header = bed.message.header;
    header.flags = 0;
    size_t begin = diameter_begin(&out, &header);
    diameter_put_result(&out, DIAMETER_SUCCESS, 0);
    diameter_put_text(&out, AVP_ORIGIN_HOST, host);
    diameter_put_text(&out, AVP_ORIGIN_REALM, "example.org");
    if (header.code == COMMAND_CAPABILITIES_EXCHANGE) {
        diameter_put_address(&out, AVP_HOST_IP_ADDRESS, "\x7f\0\0\1", 4);
        diameter_put_u32(&out, AVP_VENDOR_ID, 0);
        diameter_put_text(&out, AVP_PRODUCT_NAME, "test");
        diameter_put_application(&out, DIAMETER_APPLICATION_T6A);
    }
    diameter_end(&out, begin);
    testbed_send(&bed, peer, answer, dro_builder_length(&out));
}

/* ---- who may connect ---- */

static void a_stranger_is_3010_and_the_known_peer_is_served(void **state)
{
    (void)state;
    bed.config.accept_any_peer = false;
    bed.config.peer_count = 1;
    bed.peers[0] = (gate_peer_config){ .identity = "MME1.example.org", .realm = "example.org" };
    testbed_start(&bed);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memcpy(memmem(buffer, sizeof vector_cer, "mme1", 4), "mme2", 4);
    int stranger = testbed_connect(&bed);
    testbed_send(&bed, stranger, buffer, sizeof vector_cer);
    expect_result(stranger, DIAMETER_UNKNOWN_PEER);
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_ERROR);
    assert_true(testbed_is_closed(&bed, stranger));
    close(stranger);
    close(testbed_open(&bed));
}

/* ---- what a listed peer may say ---- */

static void start_listed(gate_peer_config row)
{
    bed.config.accept_any_peer = false;
    bed.config.peer_count = 1;
    bed.peers[0] = row;
    testbed_start(&bed);
}

static gate_peer_config mme1(uint32_t applications)
{
    return (gate_peer_config){ .identity = "mme1.example.org", .realm = "example.org", .applications = applications };
}

/* An ODR with another text of the same length in some place. */
static void send_changed(int peer, const char *from, const char *to)
{
    memcpy(buffer, vector_odr, sizeof vector_odr);
    for (uint8_t *at = buffer; (at = memmem(at, (size_t)(buffer + sizeof vector_odr - at), from, strlen(from))) != NULL; at += strlen(from))
        memcpy(at, to, strlen(to));
    testbed_send(&bed, peer, buffer, sizeof vector_odr);
}

static void a_listed_peer_speaks_for_itself(void **state)
{
    (void)state;
    start_listed(mme1(PEER_T6A));
    int peer = testbed_open(&bed);
    send_changed(peer, "mme1.example.org", "mme2.example.org");
    expect_result(peer, DIAMETER_INVALID_AVP_VALUE);
    const diameter_avp *failed = diameter_find(&bed.message, AVP_FAILED_AVP);
    assert_non_null(failed);
    assert_memory_equal(failed->data, "\0\0\1\10", 4); /* Origin-Host */
    send_changed(peer, "mme1.example.org", "MME1.example.org"); /* a name has no case */
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    assert_int_equal(drops("origin"), 1);
    close(peer);
}

static void an_agent_speaks_for_nodes_of_its_realms(void **state)
{
    (void)state;
    gate_peer_config row = mme1(PEER_T6A | PEER_RELAY);
    assert_true(peer_policy_add_realm(&row.policy, "Exemplar.co"));
    start_listed(row);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memset(buffer + sizeof vector_cer - 4, 0xff, 4);
    int relay = testbed_connect(&bed);
    testbed_send(&bed, relay, buffer, sizeof vector_cer);
    expect_result(relay, DIAMETER_SUCCESS);
    send_changed(relay, "mme1.example.org", "far1.example.org");
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    send_changed(relay, "example.org", "exemplar.co");
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    send_changed(relay, "example.org", "exampleXorg");
    expect_result(relay, DIAMETER_INVALID_AVP_VALUE);
    close(relay);
}

static void who_is_not_listed_as_an_agent_is_none(void **state)
{
    (void)state;
    start_listed(mme1(PEER_T6A));
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memset(buffer + sizeof vector_cer - 4, 0xff, 4);
    int relay = testbed_connect(&bed);
    testbed_send(&bed, relay, buffer, sizeof vector_cer);
    expect_result(relay, DIAMETER_NO_COMMON_APPLICATION);
    close(relay);
}

static void a_peer_asks_about_its_own_devices_only(void **state)
{
    (void)state;
    gate_peer_config row = mme1(PEER_T6A);
    assert_true(peer_policy_add_imsis(&row.policy, "001010000000000-001010000000001"));
    start_listed(row);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    send_changed(peer, "001010000000001", "001010000000002");
    expect_result(peer, DIAMETER_ERROR_OPERATION_NOT_ALLOWED);
    assert_non_null(diameter_find(&bed.message, AVP_EXPERIMENTAL_RESULT));
    assert_null(diameter_find(&bed.message, AVP_RESULT_CODE));
    assert_int_equal(drops("not_allowed"), 1);
    close(peer);
}

static void a_peer_connects_over_its_own_apns_only(void **state)
{
    (void)state;
    gate_peer_config row = mme1(PEER_T6A);
    assert_true(peer_policy_add_apn(&row.policy, "meters"));
    start_listed(row);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_cmr, sizeof vector_cmr);
    expect_result(peer, DIAMETER_ERROR_OPERATION_NOT_ALLOWED);
    close(peer);
}

static void a_peer_has_a_rate(void **state)
{
    (void)state;
    gate_peer_config row = mme1(PEER_T6A);
    row.policy.requests_per_second = 2;
    start_listed(row);
    int peer = testbed_open(&bed);
    for (int i = 0; i < 3; i++)
        testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_int_equal(drops("rate"), 1);
    testbed_pass(&bed, 1);
    expect_result(peer, DIAMETER_TOO_BUSY);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_int_equal(drops("rate"), 1);
    close(peer);
}

static void our_own_name_is_refused(void **state)
{
    (void)state;
    bed.config.identity = "mme1.example.org";
    testbed_start(&bed);
    int peer = testbed_connect(&bed);
    testbed_send(&bed, peer, vector_cer, sizeof vector_cer);
    expect_result(peer, DIAMETER_UNKNOWN_PEER);
    close(peer);
}

static void a_second_connection_of_one_identity_is_refused_and_the_first_asked(void **state)
{
    (void)state;
    testbed_start(&bed);
    int first = testbed_open(&bed), second = testbed_connect(&bed);
    testbed_send(&bed, second, vector_cer, sizeof vector_cer);
    expect_result(second, DIAMETER_ELECTION_LOST);
    assert_true(testbed_is_closed(&bed, second));
    assert_true(testbed_receive(&bed, first));
    assert_int_equal(bed.message.header.code, COMMAND_DEVICE_WATCHDOG);
    answer_base(first, "mme1.example.org");
    testbed_send(&bed, first, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    close(first);
    close(second);
}

static void a_dead_connection_gives_way_to_a_new_one(void **state)
{
    (void)state;
    testbed_start(&bed);
    int first = testbed_open(&bed), second = testbed_connect(&bed);
    testbed_send(&bed, second, vector_cer, sizeof vector_cer);
    expect_result(second, DIAMETER_ELECTION_LOST);
    testbed_pass(&bed, PROBE_MS / 1000 + 1);
    int third = testbed_connect(&bed);
    testbed_send(&bed, third, vector_cer, sizeof vector_cer);
    expect_result(third, DIAMETER_SUCCESS);
    assert_true(testbed_is_closed(&bed, first));
    close(first);
    close(second);
    close(third);
}

static void capabilities_told_again_are_answered_again(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_cer, sizeof vector_cer);
    expect_result(peer, DIAMETER_SUCCESS);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memcpy(memmem(buffer, sizeof vector_cer, "mme1", 4), "mme2", 4);
    testbed_send(&bed, peer, buffer, sizeof vector_cer);
    expect_result(peer, DIAMETER_UNKNOWN_PEER);
    assert_true(testbed_is_closed(&bed, peer));
    close(peer);
}

/* ---- limits before a peer is known ---- */

static void who_says_nothing_is_closed(void **state)
{
    (void)state;
    testbed_start(&bed);
    int silent = testbed_connect(&bed), slow = testbed_connect(&bed);
    testbed_send(&bed, slow, vector_cer, sizeof vector_cer - 1);
    testbed_pass(&bed, CER_TIMEOUT_MS / 1000 + 1);
    assert_true(testbed_is_closed(&bed, silent));
    assert_true(testbed_is_closed(&bed, slow));
    assert_int_equal(drops("no_cer"), 2);
    close(silent);
    close(slow);
}

static void a_first_message_above_the_bound_is_not_waited_for(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_connect(&bed);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    buffer[1] = 0;
    buffer[2] = (CER_BYTES_MAX + 4) >> 8;
    buffer[3] = (CER_BYTES_MAX + 4) & 0xff;
    testbed_send(&bed, peer, buffer, sizeof vector_cer);
    expect_result(peer, DIAMETER_INVALID_MESSAGE_LENGTH);
    assert_true(testbed_is_closed(&bed, peer));
    close(peer);
}

static void strangers_cannot_keep_a_peer_out(void **state)
{
    (void)state;
    static int strangers[DIAMETER_CONNECTIONS_MAX + 8];
    testbed_start(&bed);
    for (int i = 0; i < DIAMETER_CONNECTIONS_MAX + 8; i++)
        strangers[i] = testbed_connect(&bed);
    int peer = testbed_open(&bed);
    assert_true(drops("accept_limit") >= 9);
    close(peer);
    for (int i = 0; i < DIAMETER_CONNECTIONS_MAX + 8; i++)
        close(strangers[i]);
}

/* ---- watchdog ---- */

static void a_silent_peer_is_asked_then_passed_over_then_closed(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_pass(&bed, (WATCHDOG_MS - WATCHDOG_JITTER_MS) / 1000 - 1);
    assert_true(testbed_is_silent(&bed, peer));
    testbed_pass(&bed, 2 * WATCHDOG_JITTER_MS / 1000 + 2);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_DEVICE_WATCHDOG);
    testbed_pass(&bed, (WATCHDOG_MS + WATCHDOG_JITTER_MS) / 1000 + 1);
    testbed_downlink(&bed, 5, "mme1.example.org", 0, 0);
    assert_true(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER)); /* suspect: nothing is sent there */
    testbed_send(&bed, peer, vector_dwr, sizeof vector_dwr);      /* it is back */
    expect_result(peer, DIAMETER_SUCCESS);
    testbed_downlink(&bed, 6, "mme1.example.org", 0, 0);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_MT_DATA);
    testbed_pass(&bed, 2 * (WATCHDOG_MS + WATCHDOG_JITTER_MS) / 1000 + 2);
    assert_true(testbed_is_closed(&bed, peer));
    assert_int_equal(drops("watchdog"), 1);
    close(peer);
}

static void a_peer_that_answers_the_watchdog_stays(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    for (int i = 0; i < 4; i++) {
        testbed_pass(&bed, (WATCHDOG_MS + WATCHDOG_JITTER_MS) / 1000 + 1);
        assert_true(testbed_receive(&bed, peer));
        assert_int_equal(bed.message.header.code, COMMAND_DEVICE_WATCHDOG);
        answer_base(peer, "mme1.example.org");
    }
    assert_int_equal(drops("unknown_answer"), 0);
    close(peer);
}

/* Class 7: the answer with another id does not count. */
static void a_watchdog_answer_with_a_wrong_id_does_not_count(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_pass(&bed, (WATCHDOG_MS + WATCHDOG_JITTER_MS) / 1000 + 1);
    assert_true(testbed_receive(&bed, peer));
    bed.message.header.hop_by_hop ^= 1;
    answer_base(peer, "mme1.example.org");
    assert_int_equal(drops("unknown_answer"), 1);
    bed.message.header.hop_by_hop ^= 1;
    bed.message.header.end_to_end ^= 1;
    answer_base(peer, "mme1.example.org");
    assert_int_equal(drops("unknown_answer"), 2);
    assert_true(testbed_is_silent(&bed, peer));
    close(peer);
}

/* ---- the core ---- */

static void a_full_ring_is_too_busy(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    uint32_t sent = 0;
    do { /* the core takes nothing */
        testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
        assert_true(++sent < 2000);
    } while (drops("busy") == 0);
    testbed_pass(&bed, 1);
    expect_result(peer, DIAMETER_TOO_BUSY);
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_PROXIABLE | DIAMETER_FLAG_ERROR);
    while (testbed_core_has(&bed, MESSAGE_UPLINK))
        testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    for (uint32_t i = 0; i < sent - 1; i++)
        expect_result(peer, DIAMETER_SUCCESS);
    close(peer);
}

static void a_downlink_s_end_waits_for_room_in_the_ring(void **state)
{
    (void)state;
    testbed_start(&bed);
    testbed_turn(&bed);
    uint64_t count = 0, seen = 0;
    for (; count < 2000; count++)
        testbed_downlink(&bed, count, "nobody.example.org", 0, 0);
    while (testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER))
        seen++;
    assert_int_equal(seen, count);
}

static void a_core_that_does_not_answer_is_3002(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    uint64_t id = bed.id;
    testbed_pass(&bed, 20);
    testbed_send(&bed, peer, vector_dwr, sizeof vector_dwr); /* so that the watchdog stays quiet */
    expect_result(peer, DIAMETER_SUCCESS);
    testbed_pass(&bed, CORE_TIMEOUT_MS / 1000 - 20 + 1);
    expect_result(peer, DIAMETER_UNABLE_TO_DELIVER);
    bed.id = id;
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_is_silent(&bed, peer));
    assert_int_equal(drops("core_late"), 1);
    close(peer);
}

static void an_answer_for_a_peer_that_left_is_dropped(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    uint64_t id = bed.id;
    close(peer);
    testbed_turn(&bed);
    peer = testbed_open(&bed); /* the same slot */
    bed.id = id;
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    assert_true(testbed_is_silent(&bed, peer));
    close(peer);
}

static void messages_of_the_core_that_lie_are_dropped(void **state)
{
    (void)state;
    testbed_start(&bed);
    downlink_request request = { .host_length = 60000 };
    diameter_gate_on_downlink(bed.gate, 0, 1, &request, sizeof request);
    diameter_gate_on_downlink(bed.gate, 0, 1, &request, 3);
    diameter_gate_on_answer(bed.gate, 1, &request, 3);
    diameter_gate_on_answer(bed.gate, ~0ull, &request, sizeof request);
    assert_int_equal(drops("bad_core_message"), 3);
}

static void the_core_learns_of_peers(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    peer_state told;
    assert_true(testbed_core_has(&bed, MESSAGE_PEER));
    memcpy(&told, bed.body, sizeof told);
    assert_int_equal(told.is_open, 1);
    assert_int_equal(told.applications, PEER_T6A);
    assert_memory_equal(bed.body + sizeof told, "mme1.example.orgexample.org127.0.0.1:", 16 + 11 + 10);
    testbed_send(&bed, peer, vector_dwr, sizeof vector_dwr);
    while (testbed_core_has(&bed, MESSAGE_PEER))
        ;
    testbed_pass(&bed, PEER_STATE_MS / 1000 + 1);
    assert_true(testbed_core_has(&bed, MESSAGE_PEER));
    memcpy(&told, bed.body, sizeof told);
    assert_int_equal(told.requests, 2);
    assert_int_equal(told.answers, 2);
    close(peer);
    assert_true(testbed_core_has(&bed, MESSAGE_PEER));
    memcpy(&told, bed.body, sizeof told);
    assert_int_equal(told.is_open, 0);
}

static void a_relay_carries_downlinks_for_nodes_behind_it(void **state)
{
    (void)state;
    testbed_start(&bed);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memset(buffer + sizeof vector_cer - 4, 0xff, 4);
    int relay = testbed_connect(&bed);
    testbed_send(&bed, relay, buffer, sizeof vector_cer);
    expect_result(relay, DIAMETER_SUCCESS);
    testbed_downlink(&bed, 5, "far.away.example.org", 0, 0);
    assert_true(testbed_receive(&bed, relay));
    assert_true(diameter_is(diameter_find(&bed.message, AVP_DESTINATION_HOST), "far.away.example.org"));
    close(relay);
}

/* ---- a peer that does not read ---- */

static void a_peer_that_does_not_read_is_bounded_then_closed(void **state)
{
    (void)state;
    int small = 4096;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    enum { COUNT = 64 };
    for (int i = 0; i < COUNT; i++)
        memcpy(buffer + (size_t)i * sizeof vector_dwr, vector_dwr, sizeof vector_dwr);
    bool is_paused = false;
    for (int i = 0; i < 4000 && !is_paused; i++) {
        ssize_t sent = send(peer, buffer, COUNT * sizeof vector_dwr, MSG_DONTWAIT | MSG_NOSIGNAL);
        testbed_turn(&bed);
        is_paused = sent < 0; /* neither side moves: the gate has stopped reading */
    }
    assert_true(is_paused);
    testbed_downlink(&bed, 5, "mme1.example.org", 0, 0);
    assert_true(testbed_core_has(&bed, MESSAGE_DOWNLINK_ANSWER));
    int other = testbed_connect(&bed);
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memcpy(memmem(buffer, sizeof vector_cer, "mme1", 4), "mme2", 4);
    testbed_send(&bed, other, buffer, sizeof vector_cer);
    expect_result(other, DIAMETER_SUCCESS);
    testbed_pass(&bed, STALL_MS / 1000 + 2);
    assert_int_equal(drops("slow"), 1);
    close(peer);
    close(other);
}

/* ---- connecting, election ---- */

static int listener;

static void start_with_row(const char *identity)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    bed.config.accept_any_peer = false;
    bed.config.peer_count = 1;
    bed.peers[0] = (gate_peer_config){ .realm = "example.org", .applications = PEER_T6A };
    snprintf(bed.peers[0].identity, sizeof bed.peers[0].identity, "%s", identity);
    snprintf(bed.peers[0].address, sizeof bed.peers[0].address, "127.0.0.1:%u", ntohs(address.sin_port));
    testbed_start(&bed);
}

static int accepted(void)
{
    for (int i = 0; i < 200; i++) {
        int peer = accept(listener, NULL, NULL);
        if (peer >= 0)
            return peer;
        testbed_turn(&bed);
    }
    return -1;
}

static void a_configured_peer_is_connected_to(void **state)
{
    (void)state;
    start_with_row("mme1.example.org");
    int peer = accepted();
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_CAPABILITIES_EXCHANGE);
    assert_int_equal(bed.message.header.flags, DIAMETER_FLAG_REQUEST);
    answer_base(peer, "mme1.example.org");
    testbed_downlink(&bed, 5, "mme1.example.org", 0, 0);
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_MT_DATA);
    close(peer);
    assert_int_equal(accepted(), -1); /* not at once */
    testbed_pass(&bed, 3);
    peer = accepted();
    assert_true(peer >= 0);
    close(peer);
    close(listener);
}

static void another_identity_behind_the_address_is_not_taken(void **state)
{
    (void)state;
    start_with_row("mme1.example.org");
    int peer = accepted();
    assert_true(testbed_receive(&bed, peer));
    answer_base(peer, "mme2.example.org");
    assert_true(testbed_is_closed(&bed, peer));
    assert_int_equal(drops("cea_refused"), 1);
    close(peer);
    close(listener);
}

static void the_larger_identity_wins_the_election(void **state)
{
    (void)state;
    start_with_row("mme1.example.org"); /* ours, "scef...", is larger: theirs stays */
    int ours = accepted();
    assert_true(testbed_receive(&bed, ours));
    int theirs = testbed_open(&bed);
    assert_true(testbed_is_closed(&bed, ours));
    assert_int_equal(drops("election"), 1);
    testbed_send(&bed, theirs, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    close(ours);
    close(theirs);
    close(listener);
}

static int hold_their_connection(int *ours)
{
    start_with_row("zzz1.example.org");
    *ours = accepted();
    assert_true(testbed_receive(&bed, *ours));
    memcpy(buffer, vector_cer, sizeof vector_cer);
    memcpy(memmem(buffer, sizeof vector_cer, "mme1", 4), "zzz1", 4);
    int theirs = testbed_connect(&bed);
    testbed_send(&bed, theirs, buffer, sizeof vector_cer);
    assert_true(testbed_is_silent(&bed, theirs));
    return theirs;
}

static void a_lost_election_waits_for_our_connection(void **state)
{
    (void)state;
    int ours, theirs = hold_their_connection(&ours);
    answer_base(ours, "zzz1.example.org"); /* bed.message is still our CER */
    assert_true(testbed_is_closed(&bed, theirs));
    testbed_downlink(&bed, 5, "zzz1.example.org", 0, 0);
    assert_true(testbed_receive(&bed, ours));
    assert_int_equal(bed.message.header.code, COMMAND_MT_DATA);
    close(ours);
    close(theirs);
    close(listener);
}

static void a_lost_election_falls_back_to_their_connection(void **state)
{
    (void)state;
    int ours, theirs = hold_their_connection(&ours);
    close(ours);
    expect_result(theirs, DIAMETER_SUCCESS);
    assert_int_equal(bed.message.header.hop_by_hop, 0x01020304);
    close(theirs);
    close(listener);
}

/* ---- disconnecting ---- */

static void a_disconnect_request_is_answered_then_the_connection_ends(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_dpr, sizeof vector_dpr);
    expect_result(peer, DIAMETER_SUCCESS);
    assert_int_equal(bed.message.header.code, COMMAND_DISCONNECT_PEER);
    assert_true(testbed_is_closed(&bed, peer));
    close(peer);
    close(testbed_open(&bed));
}

static void stopping_says_goodbye_and_still_answers(void **state)
{
    (void)state;
    testbed_start(&bed);
    int peer = testbed_open(&bed);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr);
    assert_true(testbed_core_has(&bed, MESSAGE_UPLINK));
    assert_false(diameter_gate_stop(bed.gate));
    assert_true(testbed_receive(&bed, peer));
    assert_int_equal(bed.message.header.code, COMMAND_DISCONNECT_PEER);
    testbed_core_answers(&bed, DIAMETER_SUCCESS, 0);
    diameter_header goodbye = bed.message.header;
    expect_result(peer, DIAMETER_SUCCESS);
    testbed_send(&bed, peer, vector_odr, sizeof vector_odr); /* too late */
    expect_result(peer, DIAMETER_TOO_BUSY);
    bed.message.header = goodbye;
    answer_base(peer, "mme1.example.org");
    assert_true(testbed_is_closed(&bed, peer));
    assert_true(diameter_gate_stop(bed.gate));
    close(peer);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_is_3010_and_the_known_peer_is_served),
        TEST(a_listed_peer_speaks_for_itself),
        TEST(an_agent_speaks_for_nodes_of_its_realms),
        TEST(who_is_not_listed_as_an_agent_is_none),
        TEST(a_peer_asks_about_its_own_devices_only),
        TEST(a_peer_connects_over_its_own_apns_only),
        TEST(a_peer_has_a_rate),
        TEST(our_own_name_is_refused),
        TEST(a_second_connection_of_one_identity_is_refused_and_the_first_asked),
        TEST(a_dead_connection_gives_way_to_a_new_one),
        TEST(capabilities_told_again_are_answered_again),
        TEST(who_says_nothing_is_closed),
        TEST(a_first_message_above_the_bound_is_not_waited_for),
        TEST(strangers_cannot_keep_a_peer_out),
        TEST(a_silent_peer_is_asked_then_passed_over_then_closed),
        TEST(a_peer_that_answers_the_watchdog_stays),
        TEST(a_watchdog_answer_with_a_wrong_id_does_not_count),
        TEST(a_full_ring_is_too_busy),
        TEST(a_downlink_s_end_waits_for_room_in_the_ring),
        TEST(a_core_that_does_not_answer_is_3002),
        TEST(an_answer_for_a_peer_that_left_is_dropped),
        TEST(messages_of_the_core_that_lie_are_dropped),
        TEST(the_core_learns_of_peers),
        TEST(a_relay_carries_downlinks_for_nodes_behind_it),
        TEST(a_peer_that_does_not_read_is_bounded_then_closed),
        TEST(a_configured_peer_is_connected_to),
        TEST(another_identity_behind_the_address_is_not_taken),
        TEST(the_larger_identity_wins_the_election),
        TEST(a_lost_election_waits_for_our_connection),
        TEST(a_lost_election_falls_back_to_their_connection),
        TEST(a_disconnect_request_is_answered_then_the_connection_ends),
        TEST(stopping_says_goodbye_and_still_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
