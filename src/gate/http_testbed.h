/* The HTTP side on fake time, with a scripted core, a scripted desk and one client, for its tests. */
#pragma once

#include "gate/http.h"

enum {
    BED_RING_BYTES = RING_CAPACITY_MIN,
    BED_TEXT_BYTES = 1 << 20,
    BED_BODY_BYTES = 128 * 1024,
};

#define BED_TOKEN "Authorization: Bearer abc\r\n"
#define BED_HEAD " HTTP/1.1\r\nHost: h\r\n" BED_TOKEN
#define BED_GET_TWIN "GET /v1/twins/a@acme.example" BED_HEAD "\r\n"

typedef struct http_testbed {
    dro_clock_fake clock;
    loop *loop;
    http *http;
    gate_config config;
    ring_writer to_core, to_desk;
    ring_reader core, desk;
    void *memory[2];
    int client;
    char text[BED_TEXT_BYTES];    /* what the client read */
    size_t length;
    uint8_t body[BED_BODY_BYTES]; /* of the message last asked for */
    uint32_t body_length;
} http_testbed;

/* In two steps, for who wants another configuration. */
http_testbed *bed_new(void);
int bed_open(http_testbed *bed); /* with the administrator's token "abc" and a client */
void bed_free(http_testbed *bed);

/* For cmocka. */
int bed_set_up(void **state);
int bed_tear_down(void **state);

/* The core lets the token "abc" in, or out again. */
void bed_let_in(http_testbed *bed, bool is_gone);
void bed_let_application_in(http_testbed *bed, const char *id, uint32_t scopes, const char *domain);
void bed_connect(http_testbed *bed);
void bed_turn(http_testbed *bed);
void bed_later(http_testbed *bed, int64_t ms);
void bed_say(http_testbed *bed, const char *text);
/* Everything so far; true when the gate closed the connection. */
bool bed_hear(http_testbed *bed);
void bed_assert_heard(http_testbed *bed, const char *start);
/* The next message to the core; its id. 0: none. */
uint64_t bed_asked(http_testbed *bed, uint16_t type);
uint64_t bed_asked_desk(http_testbed *bed);
void bed_answer(http_testbed *bed, uint64_t id, uint16_t status);
void bed_answer_with(http_testbed *bed, uint64_t id, uint8_t content, const char *text);
/* Only what the next request brings: nothing of the one before is left. */
void bed_begin_anew(http_testbed *bed);
