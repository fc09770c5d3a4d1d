/* A thermometer that chooses its own sleep. It hears the readings of examples/thermo:
 *
 *   up  0x01, sequence u8, temperature i16 (0.01 degC), humidity u8, battery u16 (mV), check u8: XOR of those before
 *
 * While the readings hardly move it asks the network to let the device sleep longer, and longer
 * still when its battery is low; what the network made of it is what it shows. */
#include "calm.h"

enum {
    UP_READING = 0x01,
    READING_BYTES = 8,
    RING = 4,                 /* readings that are looked at */
    CALM_WITHIN = 50,         /* 0.01 degC between the least and the most of them */
    BATTERY_LOW_MV = 3000,    /* under it: tired */
    BATTERY_GOOD_MV = 3100,   /* from it on: no more */
    SLEEP_NORMAL_S = 600, SLEEP_CALM_S = 3600, SLEEP_TIRED_S = 14400,
    LISTEN_S = 10,
};

enum mood { MOOD_NONE, MOOD_NORMAL, MOOD_CALM, MOOD_TIRED };

static struct state {
    int16_t ring[RING];
    uint8_t next, count, mood;
    bool is_battery_low;
} state __attribute__((aligned(64))); /* contexts are kept in pieces of 64 bytes */

static bool is_calm(void)
{
    int16_t least = state.ring[0], most = state.ring[0];
    for (int i = 1; i < state.count; i++) {
        least = state.ring[i] < least ? state.ring[i] : least;
        most = state.ring[i] > most ? state.ring[i] : most;
    }
    return state.count == RING && most - least <= CALM_WITHIN;
}

/* Only a change is asked for: the network is spared what it knows. */
static void choose(void)
{
    static const struct { const char *name; uint32_t length, sleep_s; } moods[] = {
        [MOOD_NORMAL] = { "normal", 6, SLEEP_NORMAL_S },
        [MOOD_CALM] = { "calm", 4, SLEEP_CALM_S },
        [MOOD_TIRED] = { "tired", 5, SLEEP_TIRED_S },
    };
    uint8_t mood = state.is_battery_low ? MOOD_TIRED : is_calm() ? MOOD_CALM : MOOD_NORMAL;
    if (mood == state.mood)
        return;
    state.mood = mood;
    calm_set_mood(moods[mood].name, moods[mood].length, DROMIO_GOOD);
    calm_set_wanted(moods[mood].sleep_s, DROMIO_GOOD);
    dromio_schedule(moods[mood].sleep_s, LISTEN_S, DROMIO_UNSAID);
}

static int32_t on_uplink(uint32_t length)
{
    const uint8_t *frame = dromio_payload;
    uint8_t check = 0;
    if (length != READING_BYTES || frame[0] != UP_READING)
        return DROMIO_NOT_HANDLED;
    for (int i = 0; i < READING_BYTES - 1; i++)
        check ^= frame[i];
    if (check != frame[READING_BYTES - 1])
        return DROMIO_NOT_HANDLED;
    int16_t raw = (int16_t)(frame[2] << 8 | frame[3]);
    uint16_t millivolts = (uint16_t)(frame[5] << 8 | frame[6]);
    state.ring[state.next] = raw;
    state.next = (uint8_t)((state.next + 1) % RING);
    state.count = (uint8_t)(state.count < RING ? state.count + 1 : RING);
    state.is_battery_low = millivolts < BATTERY_LOW_MV || (state.is_battery_low && millivolts < BATTERY_GOOD_MV);
    calm_set_temperature(raw / 100.0, DROMIO_GOOD);
    calm_set_battery(millivolts / 1000.0, DROMIO_GOOD);
    choose();
    return DROMIO_HANDLED;
}

static int32_t on_schedule(uint32_t how, uint32_t length)
{
    dromio_schedule_facts facts;
    if (!dromio_read_schedule(&facts, length))
        return DROMIO_NOT_HANDLED;
    if (facts.periodic_s != DROMIO_UNSAID)
        calm_set_sleep(facts.periodic_s, DROMIO_GOOD);
    if (facts.active_s != DROMIO_UNSAID)
        calm_set_listens(facts.active_s, DROMIO_GOOD);
    if (how == DROMIO_SCHEDULE_REFUSED)
        calm_notify_schedule_refused("refused", 7);
    return DROMIO_HANDLED;
}

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    switch (kind) {
    case DROMIO_EVENT_CREATED: return DROMIO_HANDLED;
    case DROMIO_EVENT_UPLINK: return on_uplink(length);
    case DROMIO_EVENT_SCHEDULE: return on_schedule(id, length);
    default: return DROMIO_NOT_HANDLED;
    }
}
