#include "device.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double hour_ms = 3600e3;

/* splitmix64: eight bytes of state a device. */
static uint64_t dice(device *d)
{
    uint64_t z = d->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double dice_unit(device *d) /* [0, 1) */
{
    return (double)(dice(d) >> 11) * 0x1p-53;
}

bool device_roll(device *d, double probability)
{
    return dice_unit(d) < probability;
}

static void want(device *d, enum device_action action)
{
    d->wants |= (uint8_t)(1u << action);
}

static bool does_want(const device *d, enum device_action action)
{
    return (d->wants >> action & 1) != 0;
}

static void unwant(device *d, enum device_action action)
{
    d->wants &= (uint8_t)~(1u << action);
}

void device_init(device *d, uint32_t index, const device_settings *s)
{
    *d = (device){ .random = s->seed * 0x2545f4914f6cdd1du + index };
    dice(d);
    d->mme = (uint8_t)(index % s->mme_count);
    d->city = (uint8_t)(dice(d) % s->temperature_count);
    d->is_edrx = device_roll(d, s->edrx);
    d->is_regular = device_roll(d, 0.75);
    d->period_s = s->period_s;
    d->bias = (float)(dice_unit(d) * 3 - 1.5);
    d->phase_hours = (float)(dice_unit(d) * 48 - 24);
    /* A few are old, so that low batteries are seen. */
    d->battery_mv = (float)(device_roll(d, 0.05) ? 2950 + 100 * dice_unit(d) : 3200 + 450 * dice_unit(d));
    d->next_reading = s->is_quiet ? DEVICE_NEVER : (int64_t)(dice_unit(d) * s->period_s * 1000);
    d->confirm_at = d->command_at = d->retry_at = d->tau_at = d->back_at = DEVICE_NEVER;
    want(d, DEVICE_ESTABLISH);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool device_is_lost(const device *d)
{
    return d->back_at != DEVICE_NEVER;
}

void device_lose(device *d, int64_t until)
{
    d->back_at = until;
    d->awake_until = 0;
}

/* Long enough for what a wake-up brings. */
static int64_t active_ms_of(const device *d, const device_settings *s)
{
    return d->active_ms > 0 ? (int64_t)d->active_ms : s->active_ms;
}

static void restart_timer(device *d, int64_t now)
{
    d->tau_at = d->tau_ms > 0 ? now + (int64_t)d->tau_ms : DEVICE_NEVER;
}

void device_set_timers(device *d, uint32_t tau_ms, uint32_t active_ms, int64_t now)
{
    d->tau_ms = tau_ms;
    d->active_ms = active_ms;
    restart_timer(d, now);
}

bool device_trigger(device *d, const device_settings *s, int64_t now)
{
    if (device_is_lost(d) || !d->is_attached || (!device_is_awake(d, now) && !d->is_edrx))
        return false;
    d->next_reading = s->is_quiet ? DEVICE_NEVER : now;
    return true;
}

int64_t device_due(const device *d)
{
    if (device_is_lost(d))
        return d->back_at;
    return earlier(d->tau_at, earlier(earlier(d->next_reading, d->confirm_at), earlier(d->command_at, d->retry_at)));
}

bool device_is_awake(const device *d, int64_t now)
{
    return now < d->awake_until;
}

static void outbox_put(device *d, device_counts *counts, const frame *put)
{
    if (d->outbox_count == DEVICE_OUTBOX) {
        uint32_t oldest = d->is_head_sent ? 1 : 0; /* what is on its way cannot be called back */
        memmove(&d->outbox[oldest], &d->outbox[oldest + 1], (DEVICE_OUTBOX - 1 - oldest) * sizeof(frame));
        d->outbox_count--;
        d->is_head_counted = d->is_head_sent;
        counts->readings_overrun++;
    }
    d->outbox[d->outbox_count++] = *put;
}

static uint8_t to_humidity(double percent)
{
    double half = percent * 2;
    return (uint8_t)(half < 20 ? 20 : half > 200 ? 200 : half);
}

static reading measure(device *d, const device_settings *s, int64_t now)
{
    double hour = s->start_hour + (double)now / hour_ms + (double)d->phase_hours;
    double celsius = temperature_at(s->temperatures[d->city], hour) + (double)d->bias + dice_unit(d) * 0.1 - 0.05;
    double humidity = 78 - 1.6 * (celsius - 12) + 8 * sin(hour / 9 + (double)d->phase_hours) + dice_unit(d);
    /* About eight years for a reading every ten minutes. */
    if (d->battery_mv > DEVICE_BATTERY_EMPTY_MV)
        d->battery_mv -= 0.0025f;
    double battery = (double)d->battery_mv - (celsius < 5 ? 3 * (5 - celsius) : 0);
    return (reading){ d->sequence++, (int16_t)lround(celsius * 100), to_humidity(humidity), (uint16_t)battery };
}

static void restart(device *d, device_counts *counts)
{
    counts->restarts++;
    d->sequence = 0;
    d->has_delayed = false;
    counts->readings_overrun += d->outbox_count;
    d->outbox_count = 0;
    d->is_head_counted = false;
    d->confirm_at = DEVICE_NEVER;
    want(d, DEVICE_RELEASE);
    want(d, DEVICE_ESTABLISH);
}

static void move(device *d, const device_settings *s, device_counts *counts)
{
    counts->moves++;
    d->mme = (uint8_t)((d->mme + 1 + dice(d) % (s->mme_count - 1)) % s->mme_count);
    want(d, DEVICE_ESTABLISH);
}

static void read_and_send(device *d, const device_settings *s, device_counts *counts, int64_t now)
{
    reading made = measure(d, s, now);
    frame put = frame_of_reading(&made);
    counts->readings_made++;
    if (device_roll(d, s->loss)) {
        counts->readings_lost++;
        return;
    }
    if (!d->has_delayed && device_roll(d, s->late)) {
        d->delayed = put;
        d->has_delayed = true;
        return;
    }
    outbox_put(d, counts, &put);
    if (d->has_delayed) {
        outbox_put(d, counts, &d->delayed);
        d->has_delayed = false;
        counts->readings_late++;
    }
}

static void wake_for_reading(device *d, const device_settings *s, device_counts *counts, int64_t now)
{
    /* A restart or a move only while nothing is on its way: an answer must find what it belongs to. */
    bool is_quiet = !d->is_head_sent && d->wants == 0 && d->command_at == DEVICE_NEVER && d->is_attached;
    if (is_quiet && device_roll(d, s->restart))
        restart(d, counts);
    else if (is_quiet && s->mme_count > 1 && device_roll(d, s->move))
        move(d, s, counts);
    else if (d->is_unreachable && d->is_attached)
        want(d, DEVICE_REACHABLE);
    d->is_unreachable = false;
    d->awake_until = now + active_ms_of(d, s);
    restart_timer(d, now);
    read_and_send(d, s, counts, now);
    int64_t period_ms = (int64_t)d->period_s * 1000;
    if (period_ms < (int64_t)d->tau_ms) /* it may sleep longer than that, and reads when it wakes */
        period_ms = (int64_t)d->tau_ms;
    d->next_reading += period_ms;
    if (d->next_reading <= now) /* the machine cannot keep up: readings are left out, not piled up */
        d->next_reading = now + period_ms;
}

static void act_on_command(device *d, device_counts *counts, int64_t now)
{
    downlink_command command = frame_read_downlink(d->command, d->command_length);
    switch (command.kind) {
    case DOWNLINK_SET_PERIOD:
        counts->periods_set++;
        d->period_s = d->confirm_period_s = command.value;
        d->next_reading = d->next_reading == DEVICE_NEVER ? DEVICE_NEVER : now + (int64_t)command.value * 1000;
        d->confirm_at = now + DEVICE_CONFIRM_MS;
        break;
    case DOWNLINK_BLINK:
        counts->blinks++;
        break;
    case DOWNLINK_UNKNOWN:
        counts->commands_unknown++;
        break;
    }
}

/* Found again: it attaches, and reads at once. */
static void come_back(device *d, const device_settings *s, int64_t now)
{
    d->back_at = DEVICE_NEVER;
    d->command_at = DEVICE_NEVER;
    want(d, DEVICE_ESTABLISH);
    if (!s->is_quiet)
        d->next_reading = now;
}

/* The periodic update: awake for a while, with nothing to send. */
static void update(device *d, const device_settings *s, int64_t now)
{
    restart_timer(d, now);
    if (d->is_unreachable && d->is_attached)
        want(d, DEVICE_REACHABLE);
    d->is_unreachable = false;
    d->awake_until = now + active_ms_of(d, s);
}

bool device_wake(device *d, const device_settings *s, device_counts *counts, int64_t now)
{
    if (device_is_lost(d) && now < d->back_at)
        return false;
    if (device_is_lost(d))
        come_back(d, s, now);
    bool has_arrived = d->command_at <= now;
    if (has_arrived) {
        d->command_at = DEVICE_NEVER;
        d->awake_until = now + active_ms_of(d, s);
        act_on_command(d, counts, now);
    }
    if (d->retry_at <= now) {
        d->retry_at = DEVICE_NEVER;
        d->is_busy = false;
    }
    if (d->confirm_at <= now) {
        frame put = frame_of_period(d->confirm_period_s);
        d->confirm_at = DEVICE_NEVER;
        outbox_put(d, counts, &put);
    }
    if (d->next_reading <= now)
        wake_for_reading(d, s, counts, now);
    else if (d->tau_at <= now)
        update(d, s, now);
    return has_arrived;
}

enum device_action device_next(const device *d)
{
    if (d->is_busy || device_is_lost(d))
        return DEVICE_IDLE;
    if (does_want(d, DEVICE_RELEASE))
        return DEVICE_RELEASE;
    if (does_want(d, DEVICE_ESTABLISH))
        return DEVICE_ESTABLISH;
    if (!d->is_attached)
        return DEVICE_IDLE;
    if (does_want(d, DEVICE_REACHABLE))
        return DEVICE_REACHABLE;
    return d->outbox_count > 0 ? DEVICE_UPLINK : DEVICE_IDLE;
}

const frame *device_uplink(device *d)
{
    assert(d->outbox_count > 0);
    d->is_head_sent = true;
    if (!d->is_head_counted && d->outbox[0].bytes[0] == FRAME_READING)
        d->sent++;
    d->is_head_counted = true;
    return &d->outbox[0];
}

static void uplink_answered(device *d)
{
    reading newest;
    bool is_reading = frame_read_reading(&d->outbox[0], &newest);
    d->is_head_counted = false;
    d->outbox_count--;
    memmove(&d->outbox[0], &d->outbox[1], d->outbox_count * sizeof(frame));
    if (!is_reading)
        return;
    d->acknowledged++;
    if (expect_reading(&d->expected, newest.sequence))
        d->last = newest;
}

static void wait_until(device *d, int64_t when)
{
    d->is_busy = true;
    d->retry_at = when;
}

void device_on_release(device *d, const device_settings *s, int64_t now)
{
    d->is_attached = false;
    want(d, DEVICE_ESTABLISH);
    wait_until(d, now + s->busy_ms);
}

void device_on_answer(device *d, const device_settings *s, enum device_action asked, enum device_answer answer,
                      int64_t now)
{
    if (asked == DEVICE_UPLINK)
        d->is_head_sent = false;
    if (answer == DEVICE_ANSWER_BUSY) {
        wait_until(d, now + s->busy_ms / 2 + (int64_t)(dice_unit(d) * (double)s->busy_ms));
        return;
    }
    switch (asked) {
    case DEVICE_RELEASE: /* gone, whatever the host thinks of it */
        d->is_attached = false;
        unwant(d, DEVICE_RELEASE);
        break;
    case DEVICE_ESTABLISH:
        d->is_attached = answer == DEVICE_ANSWER_OK;
        if (d->is_attached)
            unwant(d, DEVICE_ESTABLISH);
        else
            wait_until(d, now + s->refused_ms / 2 + (int64_t)(dice_unit(d) * (double)s->refused_ms));
        break;
    case DEVICE_REACHABLE:
    case DEVICE_UPLINK:
        if (asked == DEVICE_REACHABLE)
            unwant(d, DEVICE_REACHABLE);
        else if (answer == DEVICE_ANSWER_OK)
            uplink_answered(d);
        if (answer == DEVICE_ANSWER_REFUSED) /* the host knows no such connection: the MME releases it, the device attaches again */
            device_on_release(d, s, now);
        else if (!device_is_lost(d) && now + active_ms_of(d, s) > d->awake_until)
            d->awake_until = now + active_ms_of(d, s);
        break;
    case DEVICE_IDLE:
        break;
    }
}

enum delivery device_on_downlink(device *d, const device_settings *s, const uint8_t *bytes, uint32_t length, int64_t now,
                                 int64_t hold_until, int64_t *when)
{
    int64_t arrives = now + DEVICE_RADIO_MS + (int64_t)(dice_unit(d) * DEVICE_RADIO_MS);
    bool is_lost = device_roll(d, s->loss);
    *when = DEVICE_NEVER;
    if (device_is_lost(d)) {
        d->is_unreachable = true;
        return DELIVERY_ASLEEP;
    }
    if (!device_is_awake(d, now) && d->is_edrx) {
        int64_t cycle = DEVICE_EDRX_MS;
        *when = (now / cycle + 1) * cycle;
        arrives += *when - now;
    } else if (!device_is_awake(d, now) && d->is_regular) {
        *when = earlier(d->next_reading, d->tau_at);
    }
    bool is_within_reach = device_is_awake(d, now) || (d->is_edrx && arrives <= hold_until);
    if (!is_within_reach || is_lost || d->command_at != DEVICE_NEVER || length > DEVICE_COMMAND_MAX || !d->is_attached) {
        d->is_unreachable = true;
        return DELIVERY_ASLEEP;
    }
    memcpy(d->command, bytes, length);
    d->command_length = (uint8_t)length;
    d->command_at = arrives;
    *when = arrives;
    return DELIVERY_HELD;
}
