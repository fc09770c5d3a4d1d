/* Testbed: the Diameter side of the gate on 127.0.0.1 with a clock that moves only
 * when told, a ring in place of the core, and sockets in place of peers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/diameter.h"
#include "wire/diameter/pdu.h"

enum { TESTBED_RING = 64 * 1024, TESTBED_BYTES = 70000 };

typedef struct testbed {
    gate_config config;
    gate_peer_config peers[4];
    dro_clock_fake clock;
    loop *home;
    diameter_gate *gate;
    ring_writer to_core;
    ring_reader core;
    void *memory;
    uint16_t port;
    /* the newest message of the core's ring */
    uint16_t type;
    uint64_t id;
    uint8_t body[TESTBED_RING];
    uint32_t length;
    /* the newest message a peer got */
    diameter_message message;
    uint8_t bytes[TESTBED_BYTES];
} testbed;

/* Accepts any peer; change bed->config and bed->peers before testbed_start. */
void testbed_init(testbed *bed);
void testbed_start(testbed *bed);
void testbed_stop(testbed *bed);

/* A few turns of the loop, with flush. */
void testbed_turn(testbed *bed);
/* Moves the clock in steps of a second, with turns between. */
void testbed_pass(testbed *bed, uint32_t seconds);

/* A connected socket; and one on which CER and CEA were exchanged (vector_cer). */
int testbed_connect(testbed *bed);
int testbed_open(testbed *bed);
void testbed_send(testbed *bed, int socket, const void *bytes, size_t length);
/* Sends a copy of a message with its length field set to `length`. */
void testbed_send_message(testbed *bed, int socket, const void *bytes, size_t length);
/* The next message for this peer into bed->message; false: the connection ended first. */
bool testbed_receive(testbed *bed, int socket);
/* Does the connection end, after whatever comes before? */
bool testbed_is_closed(testbed *bed, int socket);
/* Nothing came and the connection is there. */
bool testbed_is_silent(testbed *bed, int socket);
/* Result-Code or Experimental-Result-Code of bed->message. */
uint32_t testbed_result(const testbed *bed);

/* The next message of that type for the core into bed->body, others are skipped; false: none. */
bool testbed_core_has(testbed *bed, uint16_t type);
void testbed_core_answers(testbed *bed, uint32_t result, uint32_t experimental); /* to bed->id */
void testbed_downlink(testbed *bed, uint64_t id, const char *host, uint32_t wait_until, uint32_t retransmit_until);
/* Value of a metric line that begins with `name`; 0 when there is none. */
uint64_t testbed_metric(testbed *bed, const char *name);
