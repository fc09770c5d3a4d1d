/* A core alone with a cell and a disk in memory, for the tests of what is in it: opened before each test, played by
 * an asker (test/sim/asker.h), checked and closed after it. */
#pragma once

#include "asker.h"
#include "core/mailbox.h"

enum { SEGMENT = 64 * 1024 }; /* of the log */

int bed_begin(void **state);
void reopen(void);
uint32_t make_twin(const char *id, const char *imsi);
const heard *write_property(const char *id, const char *name, value value);
const heard *write_period(const char *id, int64_t seconds);
const heard *blink(const char *id);
network_answer uplink(const char *imsi, uint32_t end_to_end, const void *data, size_t length);
network_answer reading(const char *imsi, uint32_t end_to_end, uint8_t sequence);
void connect_device(const char *imsi);
const heard *downlink_heard(void);
void answer_downlink(uint32_t result, uint32_t experimental);
const ticket *newest(uint32_t index);

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, bed_begin, asker_end)
