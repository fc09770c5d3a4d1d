/* Frames of the sample thermometer: what its firmware sends and understands.
 * Big-endian, exactly as docs and the twin `acme/thermo` have them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_READING = 0x01,
    FRAME_PERIOD_CONFIRMED = 0x02,
    FRAME_SET_PERIOD = 0x81,
    FRAME_BLINK = 0x82,
    FRAME_READING_BYTES = 8,
    FRAME_PERIOD_BYTES = 3,
    FRAME_BYTES_MAX = 8,
    FRAME_PERIOD_MIN = 10, /* seconds; a device ignores a period below it */
};

typedef struct frame {
    uint8_t length;
    uint8_t bytes[FRAME_BYTES_MAX];
} frame;

typedef struct reading {
    uint8_t sequence;
    int16_t temperature; /* 0.01 degC */
    uint8_t humidity;    /* 0.5 % */
    uint16_t battery;    /* mV */
} reading;

frame frame_of_reading(const reading *from);
frame frame_of_period(uint16_t period_s);
/* False when the bytes are no valid reading. */
bool frame_read_reading(const frame *from, reading *out);

enum downlink_kind { DOWNLINK_UNKNOWN, DOWNLINK_SET_PERIOD, DOWNLINK_BLINK };
typedef struct downlink_command {
    enum downlink_kind kind;
    uint16_t value; /* seconds */
} downlink_command;
/* What the device makes of a downlink; DOWNLINK_UNKNOWN for anything it does not know. */
downlink_command frame_read_downlink(const uint8_t *bytes, size_t length);
