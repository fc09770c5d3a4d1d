/* The twin of a battery thermometer. Its frames, big-endian:
 *
 *   up    0x01, sequence u8, temperature i16 (0.01 degC), humidity u8 (0.5 %),
 *         battery u16 (mV), check u8: XOR of the seven bytes before
 *   up    0x02, period u16 (s): the period it now has
 *   down  0x81, period u16 (s)
 *   down  0x82, seconds u8: blink
 *
 * What is in `state` and `key` between two events is all the host keeps of a
 * thermometer, a million times; so both are small. */
#include "thermo.h"

enum {
    UP_READING = 0x01,
    UP_PERIOD = 0x02,
    DOWN_PERIOD = 0x81,
    DOWN_BLINK = 0x82,
    READING_BYTES = 8,
    PERIOD_BYTES = 3,
    AHEAD_MAX = 191,          /* a sequence further ahead is one from the past */
    HUMIDITY_MAX = 200,       /* 100 % */
    BATTERY_LOW_MV = 3000,    /* under it: low */
    BATTERY_GOOD_MV = 3100,   /* from it on: good again */
    PERIOD_MIN_S = 10,
    PERIOD_HOT_S = 60,
    MERGE_PERIOD = 1,         /* a newer period replaces one that waits */
    KEY_BYTES_MAX = 64,
    RING = 16,                /* readings the average is of */
    STATE_VERSION = 1,        /* of what dromio_export_state writes */
};

static const double COOL_DOWN = 1.0; /* degC below the limit */
static const double DIGITS = 1e9;    /* 21.4 + 0.3 shall be 21.7, not 21.699999999999999 */

#ifndef THERMO_OTHER_LAYOUT
#define LAYOUT
#else
#define LAYOUT uint32_t moved[5]; /* tests: a build whose state lies elsewhere */
#endif

static struct state {
    LAYOUT
    uint32_t readings, rejected, lost, duplicates, late;
    uint16_t period;          /* desired or reported last, our own PERIOD_HOT_S apart; 0: not known */
    uint8_t sequence;         /* of the last reading accepted */
    uint8_t late_sequence;    /* of the late reading just before */
    bool has_sequence, has_late, is_battery_low;
    bool has_limit, is_hot;
    bool is_hot_period_open;  /* PERIOD_HOT_S was asked for; a confirmation of it may come any time */
    uint8_t ring_next, ring_count;
    uint8_t ring_old;         /* how many of the oldest were taken under an earlier calibration */
    int16_t ring[RING];       /* raw, 0.01 degC */
    double calibration;       /* degC, added to what the device says */
    double calibration_old;   /* mean of those of the ring_old oldest */
    double limit;             /* degC */
} state __attribute__((aligned(64))); /* contexts are kept in pieces of 64 bytes */

static struct key {
    uint8_t length;
    uint8_t bytes[KEY_BYTES_MAX];
} key __attribute__((aligned(64)));

static void send_period(uint16_t period)
{
    uint8_t frame[3] = { DOWN_PERIOD };
    dromio_put_be(frame + 1, period, 2);
    dromio_downlink(frame, sizeof frame, MERGE_PERIOD, 0);
}

/* ---- Secrets ---- */

/* Readings in the ring keep the calibration they were taken under. Of several
 * earlier ones only the mean is kept: exact until the first of them leaves. */
static void set_calibration(double calibration)
{
    if (calibration == state.calibration)
        return;
    if (state.ring_count > 0) {
        double recent = state.calibration * (state.ring_count - state.ring_old);
        state.calibration_old = (state.calibration_old * state.ring_old + recent) / state.ring_count;
        state.ring_old = state.ring_count;
    }
    state.calibration = calibration;
}

static bool on_secrets(uint32_t length)
{
    thermo_secrets secrets;
    if (!thermo_read_secrets(&secrets, length) || secrets.key.length > KEY_BYTES_MAX)
        return false;
    if (secrets.calibration.change != DROMIO_ABSENT)
        set_calibration(secrets.calibration.value);
    if (secrets.key.change != DROMIO_ABSENT) {
        memset(&key, 0, sizeof key);
        key.length = (uint8_t)secrets.key.length;
        if (key.length > 0)
            memcpy(key.bytes, secrets.key.bytes, key.length);
    }
    return true;
}

static void on_created(void)
{
    thermo_set_readings(0, DROMIO_GOOD);
    thermo_set_rejected(0, DROMIO_GOOD);
    thermo_set_lost(0, DROMIO_GOOD);
    thermo_set_duplicates(0, DROMIO_GOOD);
    thermo_set_late(0, DROMIO_GOOD);
}

/* ---- Readings ---- */

/* Is the reading with this sequence a new one? Counts what is not. */
static bool is_new(uint8_t sequence)
{
    uint8_t ahead = (uint8_t)(sequence - state.sequence);
    bool follows_late = state.has_late && sequence == (uint8_t)(state.late_sequence + 1);
    if (state.has_sequence && ahead == 0) {
        thermo_set_duplicates(++state.duplicates, DROMIO_GOOD);
        state.has_late = false;
        return false;
    }
    if (state.has_sequence && ahead > AHEAD_MAX && !follows_late) {
        thermo_set_late(++state.late, DROMIO_GOOD);
        state.has_late = true;
        state.late_sequence = sequence;
        return false;
    }
    if (state.has_sequence && ahead > 1 && ahead <= AHEAD_MAX) {
        state.lost += ahead - 1u;
        thermo_set_lost(state.lost, DROMIO_GOOD);
    }
    /* Left: the first ever, the next, or the second late one in a row. The last is a
     * device that has started again, so nothing before it counts as lost. */
    state.sequence = sequence;
    state.has_sequence = true;
    state.has_late = false;
    return true;
}

static void keep(int16_t raw)
{
    if (state.ring_count < RING)
        state.ring_count++;
    else if (state.ring_old > 0 && --state.ring_old == 0)
        state.calibration_old = 0;
    state.ring[state.ring_next] = raw;
    state.ring_next = (uint8_t)((state.ring_next + 1) % RING);
}

static double average(void)
{
    int32_t sum = 0;
    for (int i = 0; i < state.ring_count; i++)
        sum += state.ring[i];
    double corrections = state.calibration_old * state.ring_old + state.calibration * (state.ring_count - state.ring_old);
    return dromio_round((sum / 100.0 + corrections) / state.ring_count, DIGITS);
}

static void check_battery(uint16_t millivolts)
{
    bool is_low = millivolts < BATTERY_LOW_MV || (state.is_battery_low && millivolts < BATTERY_GOOD_MV);
    if (is_low != state.is_battery_low || state.readings == 1)
        thermo_set_battery_low(is_low, DROMIO_GOOD);
    state.is_battery_low = is_low;
}

static void check_limit(double temperature)
{
    if (!state.has_limit)
        return;
    if (!state.is_hot && temperature > state.limit) {
        state.is_hot = true;
        state.is_hot_period_open = true;
        thermo_notify_too_hot(temperature);
        send_period(PERIOD_HOT_S);
    } else if (state.is_hot && temperature <= dromio_round(state.limit - COOL_DOWN, DIGITS)) {
        state.is_hot = false;
        if (state.period != 0)
            send_period(state.period);
    }
}

static bool on_reading(const uint8_t *frame)
{
    uint8_t check = 0;
    for (int i = 0; i < READING_BYTES - 1; i++)
        check ^= frame[i];
    if (check != frame[READING_BYTES - 1])
        return false;
    dromio_reader in = dromio_reader_over(frame + 1, READING_BYTES - 1);
    uint8_t sequence = (uint8_t)dromio_take_be(&in, 1);
    int16_t raw = (int16_t)dromio_take_be(&in, 2);
    uint8_t humidity = (uint8_t)dromio_take_be(&in, 1);
    uint16_t millivolts = (uint16_t)dromio_take_be(&in, 2);
    if (!is_new(sequence))
        return true;
    double temperature = dromio_round(raw / 100.0 + state.calibration, DIGITS);
    bool is_clamped = humidity > HUMIDITY_MAX;
    keep(raw);
    thermo_set_temperature(temperature, state.calibration != 0 ? DROMIO_CORRECTED : DROMIO_GOOD);
    thermo_set_humidity(is_clamped ? 100 : humidity / 2.0, is_clamped ? DROMIO_CORRECTED : DROMIO_GOOD);
    thermo_set_battery(millivolts / 1000.0, DROMIO_GOOD);
    thermo_set_average(average(), DROMIO_GOOD);
    thermo_set_readings(++state.readings, DROMIO_GOOD);
    check_battery(millivolts);
    check_limit(temperature);
    return true;
}

/* ---- The period ---- */

static void on_period_confirmed(const uint8_t *frame)
{
    uint16_t period = (uint16_t)(frame[1] << 8 | frame[2]);
    thermo_set_period(period, DROMIO_GOOD);
    if (period < PERIOD_MIN_S) /* one that cannot be asked for is none to go back to */
        return;
    bool is_ours = state.is_hot_period_open && period == PERIOD_HOT_S;
    bool is_held = state.is_hot && state.period != 0; /* what was before it got hot stays in mind */
    if (!is_ours && !is_held) {
        state.period = period;
        state.is_hot_period_open = state.is_hot;
    }
}

static bool on_write(uint32_t id, uint32_t length)
{
    thermo_write write;
    if (!thermo_read_write(&write, id, length))
        return false;
    if (write.property == THERMO_PROPERTY_LIMIT) {
        state.limit = write.limit;
        state.has_limit = true;
        thermo_set_limit(write.limit, DROMIO_GOOD);
        return true;
    }
    if (write.period < PERIOD_MIN_S || write.period > UINT16_MAX)
        return false;
    state.period = (uint16_t)write.period;
    state.is_hot_period_open = state.is_hot;
    send_period(state.period);
    return true;
}

/* ---- The rest ---- */

static bool on_action(uint32_t id, uint32_t length)
{
    thermo_action_blink blink;
    if (id != THERMO_ACTION_BLINK || !thermo_read_action_blink(&blink, length) || blink.seconds.value < 1 ||
        blink.seconds.value > UINT8_MAX)
        return false;
    uint8_t frame[2] = { DOWN_BLINK, (uint8_t)blink.seconds.value };
    dromio_downlink(frame, sizeof frame, 0, 0);
    return true;
}

static void on_uplink(const uint8_t *frame, uint32_t length)
{
    bool is_taken = false;
    if (length == READING_BYTES && frame[0] == UP_READING) {
        is_taken = on_reading(frame);
    } else if (length == PERIOD_BYTES && frame[0] == UP_PERIOD) {
        on_period_confirmed(frame);
        is_taken = true;
    }
    if (!is_taken)
        thermo_set_rejected(++state.rejected, DROMIO_GOOD);
}

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    switch (kind) {
    case DROMIO_EVENT_CREATED:
        on_created();
        return on_secrets(length) ? DROMIO_HANDLED : DROMIO_NOT_HANDLED;
    case DROMIO_EVENT_CONFIGURED: return on_secrets(length) ? DROMIO_HANDLED : DROMIO_NOT_HANDLED;
    case DROMIO_EVENT_UPLINK: on_uplink(dromio_payload, length); return DROMIO_HANDLED;
    case DROMIO_EVENT_PROPERTY_WRITE: return on_write(id, length) ? DROMIO_HANDLED : DROMIO_NOT_HANDLED;
    case DROMIO_EVENT_ACTION: return on_action(id, length) ? DROMIO_HANDLED : DROMIO_NOT_HANDLED;
    default: return DROMIO_NOT_HANDLED;
    }
}

/* ---- Moving to another build: field by field, little-endian ---- */

enum state_flag { HAS_SEQUENCE = 1, HAS_LATE = 2, IS_BATTERY_LOW = 4, HAS_LIMIT = 8, IS_HOT = 16, IS_HOT_PERIOD_OPEN = 32 };

static uint8_t *put_number(uint8_t *at, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, 8);
    return dromio_put_le(at, bits, 8);
}

static double take_number(dromio_reader *in)
{
    uint64_t bits = dromio_take_le(in, 8);
    double number;
    memcpy(&number, &bits, 8);
    return number;
}

int32_t dromio_export_state(void)
{
    int flags = (state.has_sequence ? HAS_SEQUENCE : 0) | (state.has_late ? HAS_LATE : 0) |
                (state.is_battery_low ? IS_BATTERY_LOW : 0) | (state.has_limit ? HAS_LIMIT : 0) |
                (state.is_hot ? IS_HOT : 0) | (state.is_hot_period_open ? IS_HOT_PERIOD_OPEN : 0);
    const uint32_t counters[] = { state.readings, state.rejected, state.lost, state.duplicates, state.late };
    uint8_t *at = dromio_payload;
    at = dromio_put_le(at, STATE_VERSION, 1);
    at = dromio_put_le(at, (uint64_t)flags, 1);
    for (int i = 0; i < 5; i++)
        at = dromio_put_le(at, counters[i], 4);
    at = dromio_put_le(at, state.period, 2);
    at = dromio_put_le(at, state.sequence, 1);
    at = dromio_put_le(at, state.late_sequence, 1);
    at = put_number(at, state.calibration);
    at = put_number(at, state.calibration_old);
    at = put_number(at, state.limit);
    at = dromio_put_le(at, state.ring_old, 1);
    at = dromio_put_le(at, state.ring_count, 1);
    for (int i = 0; i < state.ring_count; i++) /* the oldest first */
        at = dromio_put_le(at, (uint16_t)state.ring[(state.ring_next + RING - state.ring_count + i) % RING], 2);
    at = dromio_put_le(at, key.length, 1);
    at = dromio_put_bytes(at, key.bytes, key.length);
    return (int32_t)(at - dromio_payload);
}

void dromio_import_state(uint32_t length)
{
    dromio_reader in = dromio_reader_over(dromio_payload, length);
    struct state from = { .period = 0 };
    uint32_t *const counters[] = { &from.readings, &from.rejected, &from.lost, &from.duplicates, &from.late };
    bool is_known = dromio_take_le(&in, 1) == STATE_VERSION;
    uint64_t flags = dromio_take_le(&in, 1);
    for (int i = 0; i < 5; i++)
        *counters[i] = (uint32_t)dromio_take_le(&in, 4);
    from.period = (uint16_t)dromio_take_le(&in, 2);
    from.sequence = (uint8_t)dromio_take_le(&in, 1);
    from.late_sequence = (uint8_t)dromio_take_le(&in, 1);
    from.calibration = take_number(&in);
    from.calibration_old = take_number(&in);
    from.limit = take_number(&in);
    from.ring_old = (uint8_t)dromio_take_le(&in, 1);
    from.ring_count = (uint8_t)dromio_take_le(&in, 1);
    is_known = is_known && from.ring_count <= RING && from.ring_old <= from.ring_count;
    for (int i = 0; is_known && i < from.ring_count; i++)
        from.ring[i] = (int16_t)dromio_take_le(&in, 2);
    from.ring_next = from.ring_count % RING;
    from.has_sequence = (flags & HAS_SEQUENCE) != 0;
    from.has_late = (flags & HAS_LATE) != 0;
    from.is_battery_low = (flags & IS_BATTERY_LOW) != 0;
    from.has_limit = (flags & HAS_LIMIT) != 0;
    from.is_hot = (flags & IS_HOT) != 0;
    from.is_hot_period_open = (flags & IS_HOT_PERIOD_OPEN) != 0;
    uint8_t key_length = (uint8_t)dromio_take_le(&in, 1);
    const uint8_t *key_bytes = dromio_take(&in, key_length);
    if (!is_known || in.failed || key_length > KEY_BYTES_MAX)
        __builtin_trap(); /* the move fails whole; half a state would be worse */
    state = from;
    key.length = key_length;
    memcpy(key.bytes, key_bytes, key_length);
}
