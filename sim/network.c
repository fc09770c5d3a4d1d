#include "sim/network.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sim/schedule.h"

enum {
    EVENTS_A_TURN = 64,
    WAKES_A_TURN = 4096,      /* devices woken before the sockets get their turn again */
    HELD_MAX = 65536,         /* downlinks on their way over the air */
    LOST_MAX = 4096,          /* devices that are lost at one time */
    NOBODY = 0,               /* in links: 1 + index of a device */
    EPS_BEARER = 5,
    PERMILLE_DUPLICATE_LATE = 500, /* of the duplicates, that many come after the answer */
};

typedef struct held { /* an MT-Data-Request whose device will get it */
    uint32_t device, mme, generation;
    uint32_t hop_by_hop, end_to_end;
    uint16_t session_length;
    uint8_t session[T6A_SESSION_MAX];
} held;

typedef struct network_link { /* of a device, beside it: what the network has to do with it */
    uint32_t next;        /* in its MME's queue; 1 + index */
    uint32_t held;        /* 1 + index of its downlink */
    bool is_queued, is_outstanding;
    bool has_failed;      /* a downlink, while it slept */
    bool is_exchanged;    /* another IMEI since it attached */
} network_link;

typedef struct mme {
    struct network *network;
    peer *peer;
    char identity[256];
    uint32_t index, first, last; /* queue of devices that want something; 1 + index */
} mme;

struct network {
    const options *options;
    device_settings settings;
    uint32_t count, attached;
    uint64_t imsi_first;
    int imsi_digits;
    device *devices;
    network_link *links;
    schedule *schedule;
    mme mmes[OPTIONS_MMES_MAX];
    hss *hsses[OPTIONS_HSSES_MAX];
    iwf *iwf;             /* NULL: none */
    monte *monte;
    uint32_t *lost, lost_count; /* [LOST_MAX]; devices, */
    int64_t *lost_since_ms;     /* [LOST_MAX] by the wall clock */
    int64_t lose_at_ns;
    dro_random_seeded dice;
    held *held;
    uint32_t *held_free, held_free_count;
    int epoll;
    int64_t start_ns, now_ns, last_tick_ns;
    bool is_stopping;
    network_counts counts;
    histogram latency;
};

/* ---- time ---- */

static int64_t monotonic_ns(void)
{
    return dro_clock_system()->monotonic_ns(dro_clock_system());
}

static int64_t wall_ms(void)
{
    return dro_clock_system()->wall_ms(dro_clock_system());
}

/* Simulated milliseconds since the start. */
static int64_t sim_now(const network *n)
{
    return (int64_t)((double)(n->now_ns - n->start_ns) / 1e6 * n->options->speed);
}

/* Second of the wall clock at a simulated time: the first that is not before it. */
static uint32_t wall_second_of(const network *n, int64_t sim)
{
    double ahead_ms = (double)(sim - sim_now(n)) / n->options->speed;
    return (uint32_t)(((double)wall_ms() + ahead_ms + 999) / 1000);
}

static int64_t sim_of_wall_second(const network *n, uint32_t second)
{
    double ahead_ms = (double)second * 1000 - (double)wall_ms();
    return sim_now(n) + (int64_t)(ahead_ms * n->options->speed);
}

static double hour_of_year(void)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    return utc.tm_yday * 24.0 + utc.tm_hour + utc.tm_min / 60.0;
}

/* ---- queues of the MMEs ---- */

static void enqueue(network *n, uint32_t index)
{
    network_link *link = &n->links[index];
    if (link->is_queued || link->is_outstanding || device_next(&n->devices[index]) == DEVICE_IDLE)
        return;
    mme *at = &n->mmes[n->devices[index].mme];
    link->is_queued = true;
    link->next = NOBODY;
    if (at->last != NOBODY)
        n->links[at->last - 1].next = index + 1;
    else
        at->first = index + 1;
    at->last = index + 1;
}

static uint32_t dequeue(network *n, mme *at)
{
    uint32_t index = at->first - 1;
    at->first = n->links[index].next;
    if (at->first == NOBODY)
        at->last = NOBODY;
    n->links[index].is_queued = false;
    return index;
}

static void reschedule(network *n, uint32_t index)
{
    schedule_set(n->schedule, index, device_due(&n->devices[index]));
}

/* ---- requests ---- */

#define TAG_REPORT ((uint64_t)1 << 63)
enum { TAG_ACTION_SHIFT = 32, TAG_DUPLICATE_SHIFT = 40, TAG_AGAIN_SHIFT = 41, TAG_RESULT_SHIFT = 48 };

static uint64_t tag_of(uint32_t index, enum device_action action, bool comes_again)
{
    return index | (uint64_t)action << TAG_ACTION_SHIFT | (uint64_t)comes_again << TAG_AGAIN_SHIFT;
}

void network_imsi(const network *n, uint32_t index, char out[16])
{
    snprintf(out, 16, "%0*llu", n->imsi_digits, (unsigned long long)n->imsi_first + index);
}

/* The duplicate of an uplink: at once behind it, or after its answer. */
static void send_uplink(network *n, mme *at, uint32_t index, t6a_request *request)
{
    device *d = &n->devices[index];
    const frame *sent = device_uplink(d);
    request->data = sent->bytes;
    request->data_length = sent->length;
    bool is_doubled = device_roll(d, n->options->duplicate);
    bool comes_again = is_doubled && device_roll(d, PERMILLE_DUPLICATE_LATE / 1000.0);
    uint64_t tag = tag_of(index, DEVICE_UPLINK, comes_again);
    uint32_t slot = peer_send(at->peer, request, tag, n->now_ns);
    n->counts.uplinks++;
    if (is_doubled && !comes_again && peer_send_again(at->peer, slot, tag | (uint64_t)1 << TAG_DUPLICATE_SHIFT, n->now_ns))
        n->counts.duplicates++;
}

static void send_request(network *n, mme *at, uint32_t index, enum device_action action)
{
    char imsi[16];
    network_imsi(n, index, imsi);
    t6a_request request = { .command = COMMAND_CONNECTION_MANAGEMENT, .imsi = imsi, .bearer = EPS_BEARER,
                            .apn = n->options->apn, .plmn = n->options->plmn };
    n->links[index].is_outstanding = true;
    if (action == DEVICE_UPLINK) {
        request.command = COMMAND_MO_DATA;
        send_uplink(n, at, index, &request);
        return;
    }
    request.action = action == DEVICE_ESTABLISH ? CONNECTION_ESTABLISHMENT
                     : action == DEVICE_RELEASE ? CONNECTION_RELEASE
                                                : CONNECTION_UPDATE;
    if (action == DEVICE_REACHABLE) {
        request.is_reachable = true;
        request.available_until = wall_second_of(n, n->devices[index].awake_until);
    }
    peer_send(at->peer, &request, tag_of(index, action, false), n->now_ns);
}

static void pump(network *n, mme *at)
{
    while (!n->is_stopping && at->first != NOBODY && peer_has_room(at->peer)) {
        uint32_t index = dequeue(n, at);
        enum device_action action = device_next(&n->devices[index]);
        if (n->devices[index].mme != at->index)
            enqueue(n, index); /* moved while it waited */
        else if (action != DEVICE_IDLE)
            send_request(n, at, index, action);
    }
}

static enum device_answer answer_of(network *n, const t6a_message *answer)
{
    if (answer->result == DIAMETER_SUCCESS)
        return DEVICE_ANSWER_OK;
    uint32_t what = answer->experimental != 0 ? answer->experimental : answer->result;
    bool is_busy = answer->result >= 3000 && answer->result < 5000;
    if (!is_busy)
        n->counts.last_refusal = what;
    return is_busy ? DEVICE_ANSWER_BUSY : DEVICE_ANSWER_REFUSED;
}

static void count_answer(network *n, enum device_action asked, enum device_answer answer, int64_t micros)
{
    switch (asked) {
    case DEVICE_UPLINK:
        n->counts.uplink[answer == DEVICE_ANSWER_OK     ? UPLINK_OK
                         : answer == DEVICE_ANSWER_BUSY ? UPLINK_BUSY
                                                        : UPLINK_REFUSED]++;
        histogram_add(&n->latency, (uint64_t)micros);
        break;
    case DEVICE_ESTABLISH:
        n->counts.attaches += answer == DEVICE_ANSWER_OK;
        n->counts.attaches_refused += answer == DEVICE_ANSWER_REFUSED;
        break;
    case DEVICE_RELEASE:
        n->counts.releases++;
        break;
    case DEVICE_REACHABLE:
        n->counts.reachables++;
        break;
    case DEVICE_IDLE:
        break;
    }
}

static void on_duplicate_answer(network *n, uint64_t tag, enum device_answer answer)
{
    n->counts.duplicates_answered++;
    /* One that came after the first answer carries what that answer was. */
    if ((tag >> TAG_AGAIN_SHIFT & 1) != 0 && (tag >> TAG_RESULT_SHIFT & 3) != (uint64_t)answer)
        n->counts.duplicates_differ++;
}

static void tell_of_connection(network *n, uint32_t index, enum device_action asked, enum device_answer answer)
{
    bool is_attached = asked == DEVICE_ESTABLISH && answer == DEVICE_ANSWER_OK; /* also where it was before: a new connection */
    if (is_attached)
        monte_tell(n->monte, &(monte_event){ .device = index, .type = MONTE_LOCATION });
    if (is_attached || (asked == DEVICE_RELEASE && answer != DEVICE_ANSWER_BUSY))
        monte_tell(n->monte, &(monte_event){ .device = index, .type = MONTE_PDN, .is_deleted = !is_attached });
    if (is_attached && n->links[index].is_exchanged) {
        n->links[index].is_exchanged = false;
        monte_tell(n->monte, &(monte_event){ .device = index, .type = MONTE_IMEI });
    }
}

static void on_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *message)
{
    mme *at = owner;
    network *n = at->network;
    if ((tag & TAG_REPORT) != 0) {
        monte_answered(n->monte, (uint32_t)tag, message);
        return;
    }
    uint32_t index = (uint32_t)tag;
    enum device_action asked = (enum device_action)(tag >> TAG_ACTION_SHIFT & 0xff);
    enum device_answer answer = answer_of(n, message);
    device *d = &n->devices[index];
    if ((tag >> TAG_DUPLICATE_SHIFT & 1) != 0) {
        on_duplicate_answer(n, tag, answer);
        return;
    }
    count_answer(n, asked, answer, micros);
    bool was_attached = d->is_attached;
    device_on_answer(d, &n->settings, asked, answer, sim_now(n));
    n->attached += (uint32_t)d->is_attached - (uint32_t)was_attached;
    n->links[index].is_outstanding = false;
    tell_of_connection(n, index, asked, answer);
    if ((tag >> TAG_AGAIN_SHIFT & 1) != 0 && answer != DEVICE_ANSWER_BUSY) {
        uint64_t again = tag | (uint64_t)1 << TAG_DUPLICATE_SHIFT | (uint64_t)answer << TAG_RESULT_SHIFT;
        n->counts.duplicates += peer_send_again(from, slot, again, n->now_ns);
    }
    reschedule(n, index);
    enqueue(n, index);
}

static void on_open(void *owner, peer *from)
{
    (void)owner;
    (void)from; /* the next turn of the loop pumps */
}

/* ---- downlinks ---- */

/* Index of the device with this IMSI, or -1. */
static int64_t device_of(const network *n, t6a_text imsi)
{
    uint64_t number = 0;
    if (imsi.length != (uint32_t)n->imsi_digits)
        return -1;
    for (uint32_t i = 0; i < imsi.length; i++) {
        if (imsi.bytes[i] < '0' || imsi.bytes[i] > '9')
            return -1;
        number = number * 10 + imsi.bytes[i] - '0';
    }
    return number >= n->imsi_first && number - n->imsi_first < n->count ? (int64_t)(number - n->imsi_first) : -1;
}

int64_t network_find(const network *n, const char *imsi)
{
    return device_of(n, (t6a_text){ (const uint8_t *)imsi, (uint32_t)strlen(imsi) });
}

static void hold(network *n, mme *at, uint32_t index, const t6a_message *request)
{
    uint32_t place = n->held_free[--n->held_free_count];
    held *h = &n->held[place];
    *h = (held){ .device = index, .mme = at->index, .generation = peer_generation(at->peer),
                 .hop_by_hop = request->hop_by_hop, .end_to_end = request->end_to_end,
                 .session_length = (uint16_t)request->session.length };
    memcpy(h->session, request->session.bytes, request->session.length);
    n->links[index].held = place + 1;
}

static void answer_unreachable(network *n, mme *at, const t6a_message *request, int64_t wakes_at)
{
    t6a_delivery delivery = { .experimental = DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE };
    if (wakes_at != DEVICE_NEVER) {
        uint32_t second = wall_second_of(n, wakes_at);
        if (request->retransmit_until == 0 || second <= request->retransmit_until)
            delivery.retransmission_time = second;
    }
    n->counts.downlinks_asleep++;
    peer_answer_delivery(at->peer, request, &delivery);
}

static void answer_unknown(network *n, mme *at, const t6a_message *request)
{
    n->counts.downlinks_unknown++;
    peer_answer_delivery(at->peer, request, &(t6a_delivery){ .experimental = DIAMETER_ERROR_USER_UNKNOWN });
}

static void on_downlink(network *n, mme *at, const t6a_message *request)
{
    int64_t index = device_of(n, request->user_name), when = DEVICE_NEVER;
    n->counts.downlinks++;
    if (index < 0 || request->session.length > T6A_SESSION_MAX) {
        answer_unknown(n, at, request);
        return;
    }
    device *d = &n->devices[index];
    bool is_attaching = !d->is_attached || (d->wants >> DEVICE_ESTABLISH & 1) != 0;
    if (request->bearer.length != 1 || request->bearer.bytes[0] != EPS_BEARER) {
        n->counts.downlinks_unknown++;
        peer_answer_delivery(at->peer, request, &(t6a_delivery){ .experimental = DIAMETER_ERROR_INVALID_EPS_BEARER });
        return;
    }
    if (is_attaching || d->mme != at->index || n->held_free_count == 0) {
        answer_unreachable(n, at, request, DEVICE_NEVER); /* just leaving this MME, or on its way back */
        return;
    }
    int64_t now = sim_now(n);
    int64_t until = request->wait_until != 0 ? sim_of_wall_second(n, request->wait_until)
                                             : now + (int64_t)(NETWORK_HOLD_S * 1000 * n->options->speed);
    bool is_in_reach = device_is_awake(d, now) && !device_is_lost(d) && d->command_at == DEVICE_NEVER && request->data.length <= DEVICE_COMMAND_MAX;
    if (device_on_downlink(d, &n->settings, request->data.bytes, request->data.length, now, until, &when) == DELIVERY_HELD) {
        hold(n, at, (uint32_t)index, request);
    } else {
        if (is_in_reach) /* so it was lost over the air */
            monte_tell(n->monte, &(monte_event){ .device = (uint32_t)index, .type = MONTE_FAILURE });
        else
            n->links[index].has_failed = true;
        answer_unreachable(n, at, request, when);
    }
    reschedule(n, (uint32_t)index);
}

/* The host ends a connection. */
static void on_release(network *n, mme *at, const t6a_message *request)
{
    int64_t index = device_of(n, request->user_name);
    device *d = index < 0 ? NULL : &n->devices[index];
    if (d == NULL || !d->is_attached || d->mme != at->index || request->action != CONNECTION_RELEASE) {
        peer_answer_delivery(at->peer, request, &(t6a_delivery){ .experimental = DIAMETER_ERROR_USER_UNKNOWN });
        return;
    }
    device_on_release(d, &n->settings, sim_now(n));
    n->attached--;
    n->counts.released++;
    monte_tell(n->monte, &(monte_event){ .device = (uint32_t)index, .type = MONTE_PDN, .is_deleted = true });
    peer_answer_delivery(at->peer, request, &(t6a_delivery){ .result = DIAMETER_SUCCESS });
    reschedule(n, (uint32_t)index);
    enqueue(n, (uint32_t)index);
}

static void on_request(void *owner, peer *from, const t6a_message *request)
{
    mme *at = owner;
    if (request->command == COMMAND_CONNECTION_MANAGEMENT && request->application == DIAMETER_APPLICATION_T6A) {
        on_release(at->network, at, request);
        return;
    }
    if (request->command == COMMAND_CONFIGURATION_INFORMATION && request->application == DIAMETER_APPLICATION_T6A)
        monte_count_area(at->network->monte, from, request, at->index);
    else if (request->command == COMMAND_MT_DATA && request->application == DIAMETER_APPLICATION_T6A)
        on_downlink(at->network, at, request);
    else
        peer_answer(from, request, DIAMETER_COMMAND_UNSUPPORTED);
}

/* The device has got what was held for it. */
static void deliver(network *n, uint32_t index)
{
    uint32_t place = n->links[index].held - 1;
    held *h = &n->held[place];
    mme *at = &n->mmes[h->mme];
    n->links[index].held = 0;
    n->held_free[n->held_free_count++] = place;
    if (!peer_is_open(at->peer) || peer_generation(at->peer) != h->generation) {
        n->counts.downlinks_unanswered++; /* the host went away meanwhile; it will send it again */
        return;
    }
    t6a_message to = { .command = COMMAND_MT_DATA, .application = DIAMETER_APPLICATION_T6A, .hop_by_hop = h->hop_by_hop,
                       .end_to_end = h->end_to_end, .session = { h->session, h->session_length } };
    n->counts.downlinks_delivered++;
    peer_answer_delivery(at->peer, &to, &(t6a_delivery){ .result = DIAMETER_SUCCESS, .is_acknowledged = true });
}

/* ---- the loop ---- */

static void on_reachable(network *n, uint32_t index)
{
    monte_event event = { .device = index, .type = MONTE_REACHABLE, .available_until = wall_second_of(n, n->devices[index].awake_until) };
    monte_tell(n->monte, &event);
    if (!n->links[index].has_failed)
        return;
    n->links[index].has_failed = false;
    event.type = MONTE_AVAILABLE;
    monte_tell(n->monte, &event);
}

/* ---- devices that get lost ---- */

static void lose_one(network *n)
{
    uint32_t index = (uint32_t)(dro_random_next(&n->dice) % n->count);
    device *d = &n->devices[index];
    bool is_listed = n->lost_count == LOST_MAX;
    for (uint32_t i = 0; i < n->lost_count && !is_listed; i++) /* just back, and not looked at yet */
        is_listed = n->lost[i] == index;
    if (is_listed || !d->is_attached || device_is_lost(d))
        return;
    device_lose(d, sim_now(n) + (int64_t)(n->options->lost_s * 1000 * n->options->speed));
    n->lost[n->lost_count] = index;
    n->lost_since_ms[n->lost_count++] = wall_ms();
    n->counts.lost++;
    reschedule(n, index);
}

/* Its MME misses it after as long as each application wanted to wait. */
static void look_for_lost(network *n)
{
    int64_t now_ms = wall_ms();
    for (uint32_t i = 0; i < n->lost_count;) {
        if (device_is_lost(&n->devices[n->lost[i]])) {
            monte_tell_loss(n->monte, n->lost[i], (uint32_t)((now_ms - n->lost_since_ms[i]) / 1000));
            i++;
            continue;
        }
        monte_back(n->monte, n->lost[i]);
        n->counts.found++;
        n->lost[i] = n->lost[--n->lost_count];
        n->lost_since_ms[i] = n->lost_since_ms[n->lost_count];
    }
}

static void lose_some(network *n)
{
    if (n->options->lose <= 0 || n->is_stopping)
        return;
    int64_t every_ns = (int64_t)(3600e9 / n->options->lose);
    if (n->lose_at_ns == 0)
        n->lose_at_ns = n->now_ns + every_ns;
    for (int i = 0; i < LOST_MAX && n->now_ns >= n->lose_at_ns; i++) {
        n->lose_at_ns += every_ns;
        lose_one(n);
    }
}

/* ---- what the other nodes ask ---- */

static uint32_t serving(void *owner, uint32_t device)
{
    const network *n = owner;
    return n->devices[device].mme;
}

static bool attached(void *owner, uint32_t device)
{
    const network *n = owner;
    return n->devices[device].is_attached;
}

/* Seconds of the wall clock, as all timers on the wire. */
static uint32_t wire_seconds(const network *n, double own_ms)
{
    double seconds = own_ms / 1000 / n->options->speed;
    return seconds <= 0 ? 0 : seconds < 1 ? 1 : seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

static monte_idle idle(void *owner, uint32_t device_index)
{
    const network *n = owner;
    const device *d = &n->devices[device_index];
    double active_ms = d->active_ms > 0 ? (double)d->active_ms : (double)n->settings.active_ms;
    return (monte_idle){ .active_s = d->is_edrx ? 0 : wire_seconds(n, active_ms), .periodic_s = wire_seconds(n, (double)d->tau_ms), .is_edrx = d->is_edrx };
}

static void name_of(void *owner, uint32_t device, char out[T6A_NAME_MAX + 1])
{
    hss_name_of(((const network *)owner)->options, device, out, T6A_NAME_MAX + 1);
}

/* Seconds of the wall clock on the wire, time of its own for the device. */
static void set_timers(void *owner, uint32_t index, uint32_t tau_s, uint32_t active_s)
{
    network *n = owner;
    double tau = (double)tau_s * 1000 * n->options->speed, active = (double)active_s * 1000 * n->options->speed;
    device_set_timers(&n->devices[index], tau > UINT32_MAX ? UINT32_MAX : (uint32_t)tau, active > UINT32_MAX ? UINT32_MAX : (uint32_t)active, sim_now(n));
    reschedule(n, index);
}

static int64_t find_named(void *owner, t6a_text name)
{
    const network *n = owner;
    return hss_device_named(n->options, name);
}

static bool trigger_device(void *owner, uint32_t index)
{
    network *n = owner;
    bool is_reached = device_trigger(&n->devices[index], &n->settings, sim_now(n));
    if (is_reached)
        reschedule(n, index);
    return is_reached;
}

/* What was lost over the air, or whether the device is another one, by what was counted meanwhile. */
static void tell_of_wake(network *n, uint32_t index, const device_counts *before)
{
    const device_counts *after = &n->counts.devices;
    if (after->readings_lost != before->readings_lost)
        monte_tell(n->monte, &(monte_event){ .device = index, .type = MONTE_FAILURE });
    if (after->restarts != before->restarts && n->options->exchange > 0 &&
        (double)(dro_random_next(&n->dice) >> 11) * 0x1p-53 < n->options->exchange)
        n->links[index].is_exchanged = true;
}

static void wake_due(network *n)
{
    int64_t now = sim_now(n), index;
    for (int i = 0; i < WAKES_A_TURN && (index = schedule_take(n->schedule, now)) >= 0; i++) {
        device *d = &n->devices[index];
        /* After the end nothing new is read; what is on its way over the air still arrives. */
        if (n->is_stopping)
            d->next_reading = d->confirm_at = DEVICE_NEVER;
        bool was_awake = device_is_awake(d, now);
        device_counts before = n->counts.devices;
        if (device_wake(d, &n->settings, &n->counts.devices, now) && n->links[index].held != 0)
            deliver(n, (uint32_t)index);
        tell_of_wake(n, (uint32_t)index, &before);
        if (!was_awake && device_is_awake(d, now))
            on_reachable(n, (uint32_t)index);
        reschedule(n, (uint32_t)index);
        enqueue(n, (uint32_t)index);
    }
}

static int wait_of(const network *n, int most_ms)
{
    int64_t next = schedule_next(n->schedule);
    if (next == SCHEDULE_NEVER)
        return most_ms;
    double ms = (double)(next - sim_now(n)) / n->options->speed;
    return ms <= 0 ? 0 : ms >= most_ms ? most_ms : (int)ms + 1;
}

void network_turn(network *n, int wait_ms)
{
    struct epoll_event events[EVENTS_A_TURN];
    int most = wait_ms < NETWORK_TICK_MS ? wait_ms : NETWORK_TICK_MS;
    n->now_ns = monotonic_ns();
    int got = epoll_wait(n->epoll, events, EVENTS_A_TURN, wait_of(n, most));
    n->now_ns = monotonic_ns();
    for (int i = 0; i < got; i++)
        peer_on_ready(events[i].data.ptr, events[i].events, n->now_ns);
    wake_due(n);
    lose_some(n);
    bool is_tick = n->now_ns - n->last_tick_ns >= (int64_t)NETWORK_TICK_MS * 1000000;
    if (is_tick)
        n->last_tick_ns = n->now_ns;
    if (is_tick)
        look_for_lost(n);
    for (uint32_t i = 0; i < n->options->mmes; i++) {
        if (is_tick)
            peer_tick(n->mmes[i].peer, n->now_ns);
        pump(n, &n->mmes[i]);
        monte_pump(n->monte, i, n->mmes[i].peer, TAG_REPORT, n->now_ns);
        peer_flush(n->mmes[i].peer);
    }
    for (uint32_t i = 0; i < n->options->hsses; i++) {
        if (is_tick)
            hss_tick(n->hsses[i], n->now_ns);
        peer_flush(hss_peer(n->hsses[i]));
    }
    if (n->iwf != NULL && is_tick)
        iwf_tick(n->iwf, n->now_ns);
    if (n->iwf != NULL)
        peer_flush(iwf_peer(n->iwf));
}

void network_stop(network *n)
{
    look_for_lost(n); /* who came back since the last tick counts */
    n->is_stopping = true;
}

bool network_is_idle(const network *n)
{
    for (uint32_t i = 0; i < n->options->mmes; i++)
        if (peer_outstanding(n->mmes[i].peer) > 0)
            return false;
    return n->held_free_count == HELD_MAX;
}

bool network_is_attached(const network *n)
{
    return n->attached == n->count;
}

bool network_close(network *n)
{
    bool is_closed = true;
    for (uint32_t i = 0; i < n->options->mmes; i++)
        is_closed &= peer_close(n->mmes[i].peer, n->now_ns);
    for (uint32_t i = 0; i < n->options->hsses; i++)
        is_closed &= peer_close(hss_peer(n->hsses[i]), n->now_ns);
    if (n->iwf != NULL)
        is_closed &= peer_close(iwf_peer(n->iwf), n->now_ns);
    return is_closed;
}

/* ---- making ---- */

/* "mme.epc.test" is the first; the second is "mme2.epc.test". */
static void identity_of(const options *o, uint32_t index, char *out, size_t size)
{
    int label = (int)strcspn(o->identity, ".");
    if (index == 0)
        snprintf(out, size, "%s", o->identity);
    else
        snprintf(out, size, "%.*s%u%s", label, o->identity, index + 1, o->identity + label);
}

static bool make_mmes(network *n, tls_context *tls)
{
    for (uint32_t i = 0; i < n->options->mmes; i++) {
        mme *at = &n->mmes[i];
        at->network = n;
        at->index = i;
        identity_of(n->options, i, at->identity, sizeof at->identity);
        peer_config config = { .connect = n->options->connect, .identity = at->identity, .realm = n->options->realm,
                               .tls = tls, .tls_name = n->options->tls_name,
                               .window = n->options->window, .seed = n->options->seed + i, .epoll = n->epoll, .owner = at,
                               .on_open = on_open, .on_answer = on_answer, .on_request = on_request };
        at->peer = peer_new(&config);
        if (at->peer == NULL)
            return false;
    }
    return true;
}

static bool make_hsses(network *n, tls_context *tls)
{
    bool is_made = true;
    for (uint32_t i = 0; i < n->options->hsses && is_made; i++) {
        n->hsses[i] = hss_new(n->options, tls, n->monte, i, n->epoll);
        is_made = n->hsses[i] != NULL;
    }
    return is_made;
}

static bool make_monte(network *n)
{
    monte_network around = { .owner = n, .serving = serving, .name = name_of, .schedule = set_timers, .attached = attached, .idle = idle,
                             .imsi_first = n->options->imsi_first, .apn = n->options->apn, .devices = n->count };
    n->monte = monte_new(&around);
    n->lost = calloc(LOST_MAX, sizeof *n->lost);
    n->lost_since_ms = calloc(LOST_MAX, sizeof *n->lost_since_ms);
    dro_random_seeded_init(&n->dice, n->options->seed);
    return n->monte != NULL && n->lost != NULL && n->lost_since_ms != NULL;
}

static bool make_iwf(network *n, tls_context *tls)
{
    iwf_network around = { .owner = n, .find = find_named, .trigger = trigger_device };
    if (n->options->iwf)
        n->iwf = iwf_new(n->options, tls, &around, n->epoll);
    return !n->options->iwf || n->iwf != NULL;
}

static void make_devices(network *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        device_init(&n->devices[i], i, &n->settings);
        reschedule(n, i);
        enqueue(n, i);
    }
    for (uint32_t i = 0; i < HELD_MAX; i++)
        n->held_free[n->held_free_count++] = HELD_MAX - 1 - i;
}

static device_settings settings_of(const options *o, const temperature *const *temperatures, uint32_t temperature_count)
{
    int64_t active = (int64_t)o->active_s * 1000, least = (int64_t)(NETWORK_AWAKE_MS * o->speed);
    device_settings made = { .seed = o->seed, .loss = o->loss, .duplicate = o->duplicate, .late = o->late,
                             .restart = o->restart, .move = o->move, .edrx = o->edrx, .period_s = (uint16_t)o->period_s,
                             .active_ms = active > least ? active : least, .mme_count = o->mmes,
                             .refused_ms = (int64_t)(NETWORK_REFUSED_MS * o->speed),
                             .busy_ms = (int64_t)(NETWORK_BUSY_MS * o->speed), .is_quiet = o->attach_only,
                             .start_hour = hour_of_year(), .temperature_count = temperature_count };
    for (uint32_t i = 0; i < temperature_count; i++)
        made.temperatures[i] = temperatures[i];
    return made;
}

network *network_new(const options *o, tls_context *tls, const temperature *const *temperatures, uint32_t temperature_count)
{
    assert(temperature_count >= 1 && temperature_count <= DEVICE_TEMPERATURES_MAX);
    network *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->options = o;
    made->settings = settings_of(o, temperatures, temperature_count);
    made->count = o->devices;
    made->imsi_first = strtoull(o->imsi_first, NULL, 10);
    made->imsi_digits = (int)strlen(o->imsi_first);
    made->start_ns = made->now_ns = monotonic_ns();
    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    made->devices = calloc(made->count, sizeof *made->devices);
    made->links = calloc(made->count, sizeof *made->links);
    made->schedule = schedule_new(made->count);
    made->held = calloc(HELD_MAX, sizeof *made->held);
    made->held_free = calloc(HELD_MAX, sizeof *made->held_free);
    if (made->epoll < 0 || made->devices == NULL || made->links == NULL || made->schedule == NULL || made->held == NULL ||
        made->held_free == NULL || !make_monte(made) || !make_mmes(made, tls) || !make_hsses(made, tls) ||
        !make_iwf(made, tls)) {
        network_free(made);
        return NULL;
    }
    make_devices(made);
    return made;
}

void network_free(network *n)
{
    if (n == NULL)
        return;
    for (uint32_t i = 0; i < n->options->mmes; i++)
        peer_free(n->mmes[i].peer);
    for (uint32_t i = 0; i < n->options->hsses; i++)
        hss_free(n->hsses[i]);
    iwf_free(n->iwf);
    monte_free(n->monte);
    free(n->lost);
    free(n->lost_since_ms);
    if (n->epoll >= 0)
        close(n->epoll);
    schedule_free(n->schedule);
    free(n->devices);
    free(n->links);
    free(n->held);
    free(n->held_free);
    free(n);
}

/* ---- looking ---- */

const network_counts *network_count(const network *n)
{
    return &n->counts;
}

const histogram *network_latency(const network *n)
{
    return &n->latency;
}

network_view network_look(const network *n)
{
    network_view view = { .attached = n->attached };
    int64_t now = sim_now(n);
    for (uint32_t i = 0; i < n->count; i++) {
        bool is_awake = device_is_awake(&n->devices[i], now);
        view.awake += n->devices[i].is_attached && is_awake;
        view.asleep += n->devices[i].is_attached && !is_awake;
        view.waiting += n->links[i].is_outstanding;
    }
    for (uint32_t i = 0; i < n->options->mmes; i++)
        view.open_mmes += peer_is_open(n->mmes[i].peer);
    return view;
}

hss_counts network_hss_counts(const network *n)
{
    hss_counts sum = { 0 };
    for (uint32_t i = 0; i < n->options->hsses; i++) {
        const hss_counts *one = hss_count(n->hsses[i]);
        sum.authorizations += one->authorizations;
        sum.refused += one->refused;
        sum.unknown += one->unknown;
        sum.revocations += one->revocations;
        sum.revocations_taken += one->revocations_taken;
        sum.segments += one->segments;
    }
    return sum;
}

const monte_counts *network_monte_counts(const network *n)
{
    return monte_count(n->monte);
}

iwf_counts network_iwf_counts(const network *n)
{
    return n->iwf == NULL ? (iwf_counts){ 0 } : *iwf_count(n->iwf);
}

static void add_counts(peer_counts *sum, const peer *of)
{
    const peer_counts *one = peer_count(of);
    sum->connects += one->connects;
    sum->losses += one->losses;
    sum->sent += one->sent;
    sum->resent += one->resent;
    sum->answers += one->answers;
    sum->strays += one->strays;
    sum->malformed += one->malformed;
    sum->watchdogs += one->watchdogs;
}

peer_counts network_peer_counts(const network *n)
{
    peer_counts sum = { 0 };
    for (uint32_t i = 0; i < n->options->mmes; i++)
        add_counts(&sum, n->mmes[i].peer);
    for (uint32_t i = 0; i < n->options->hsses; i++)
        add_counts(&sum, hss_peer(n->hsses[i]));
    if (n->iwf != NULL)
        add_counts(&sum, iwf_peer(n->iwf));
    return sum;
}

uint32_t network_device_count(const network *n)
{
    return n->count;
}

device *network_device(network *n, uint32_t index)
{
    assert(index < n->count);
    return &n->devices[index];
}
