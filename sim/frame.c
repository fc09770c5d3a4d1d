#include "frame.h"

#include <string.h>

static uint8_t xor_of(const uint8_t *bytes, size_t length)
{
    uint8_t check = 0;
    for (size_t i = 0; i < length; i++)
        check ^= bytes[i];
    return check;
}

frame frame_of_reading(const reading *from)
{
    uint16_t temperature = (uint16_t)from->temperature;
    frame out = { FRAME_READING_BYTES,
                  { FRAME_READING, from->sequence, (uint8_t)(temperature >> 8), (uint8_t)temperature, from->humidity,
                    (uint8_t)(from->battery >> 8), (uint8_t)from->battery, 0 } };
    out.bytes[FRAME_READING_BYTES - 1] = xor_of(out.bytes, FRAME_READING_BYTES - 1);
    return out;
}

frame frame_of_period(uint16_t period_s)
{
    return (frame){ FRAME_PERIOD_BYTES, { FRAME_PERIOD_CONFIRMED, (uint8_t)(period_s >> 8), (uint8_t)period_s } };
}

bool frame_read_reading(const frame *from, reading *out)
{
    const uint8_t *b = from->bytes;
    if (from->length != FRAME_READING_BYTES || b[0] != FRAME_READING || xor_of(b, FRAME_READING_BYTES) != 0)
        return false;
    *out = (reading){ b[1], (int16_t)(uint16_t)(b[2] << 8 | b[3]), b[4], (uint16_t)(b[5] << 8 | b[6]) };
    return true;
}

downlink_command frame_read_downlink(const uint8_t *bytes, size_t length)
{
    if (length == 3 && bytes[0] == FRAME_SET_PERIOD) {
        uint16_t period = (uint16_t)(bytes[1] << 8 | bytes[2]);
        if (period >= FRAME_PERIOD_MIN)
            return (downlink_command){ DOWNLINK_SET_PERIOD, period };
    }
    if (length == 2 && bytes[0] == FRAME_BLINK && bytes[1] > 0)
        return (downlink_command){ DOWNLINK_BLINK, bytes[1] };
    return (downlink_command){ DOWNLINK_UNKNOWN, 0 };
}
