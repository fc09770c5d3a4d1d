/* The twin of @MAKER@/@NAME@. @PREFIX@.h is made from @PREFIX@.tm.json by `dromio twin build`.
 *
 * Static variables are the twin's memory: what is in them after an event is there
 * at the next one, for each device its own. There is nothing to save. */
#include "@PREFIX@.h"

enum { UP_READING = 0x01, UP_PERIOD = 0x02, DOWN_PERIOD = 0x81 };

static uint32_t readings;

/* A frame as it came from the device. Here: 0x01, temperature i16 (0.01 degC); 0x02, period u16. */
static int32_t on_uplink(uint32_t length)
{
    dromio_reader in = dromio_reader_over(dromio_payload, length);
    uint8_t kind = (uint8_t)dromio_take_be(&in, 1);
    uint16_t number = (uint16_t)dromio_take_be(&in, 2);
    if (in.failed || in.at != in.end)
        return DROMIO_NOT_HANDLED;
    if (kind == UP_READING) {
        @PREFIX@_set_temperature((int16_t)number / 100.0, DROMIO_GOOD);
        @PREFIX@_set_readings(++readings, DROMIO_GOOD);
        return DROMIO_HANDLED;
    }
    if (kind == UP_PERIOD) { /* what the device confirms is what applications see */
        @PREFIX@_set_period(number, DROMIO_GOOD);
        return DROMIO_HANDLED;
    }
    return DROMIO_NOT_HANDLED;
}

/* An application wants a property to change; the model has checked the value. */
static int32_t on_write(uint32_t id, uint32_t length)
{
    @PREFIX@_write write;
    if (!@PREFIX@_read_write(&write, id, length))
        return DROMIO_NOT_HANDLED;
    uint8_t frame[3] = { DOWN_PERIOD };
    dromio_put_be(frame + 1, (uint64_t)write.period, 2);
    dromio_downlink(frame, sizeof frame, id + 1, 0); /* a newer one replaces one that waits */
    return DROMIO_HANDLED;
}

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    switch (kind) {
    case DROMIO_EVENT_CREATED: @PREFIX@_set_readings(0, DROMIO_GOOD); return DROMIO_HANDLED;
    case DROMIO_EVENT_UPLINK: return on_uplink(length);
    case DROMIO_EVENT_PROPERTY_WRITE: return on_write(id, length);
    default: return DROMIO_NOT_HANDLED;
    }
}
