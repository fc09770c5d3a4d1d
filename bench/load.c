#include "bench/load.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/http.h"
#include "sim/frame.h"

enum {
    EVENTS = 64,
    TICK_MS = 10,
    OFFER_TICK_MS = 1,
    OFFER_LATE_MS = 20,
    EPS_BEARER = 5,
    IMAGE_MAX = 4 * 1024 * 1024,
    LINE_BYTES = 96,
    WARM_VALUES = 64,
    IMSI_DIGITS = 15,
};
static const uint64_t imsi_first = 1010000000001; /* 001010000000001 */

/* ---- twins ---- */

bool load_image(const host *h, const char *path)
{
    static http_text answer;
    size_t length;
    void *bytes = bench_read_file(path, IMAGE_MAX, &length);
    if (bytes == NULL)
        return false;
    int status = http_send(h->http_port, "POST", "/v1/images", h->token, "application/wasm", bytes, length, &answer);
    free(bytes);
    return status == 201 || status == 200 || bench_fail("image refused: %d %s", status, answer.bytes);
}

typedef struct bulk { /* lines to send, and answers to them */
    uint32_t count, next, domains; /* domains 0: one, bench.example */
    size_t left_length, left_at;  /* of a line that did not fit */
    char left[LINE_BYTES + 1];
    uint64_t made, failed;
    size_t line_length;
    char line[1024], problem[1024];
} bulk;

/* All lines are equally long, so that the body's length is known. */
static size_t bulk_source(void *owner, char *out, size_t room)
{
    bulk *b = owner;
    size_t length = 0;
    while (length < room) {
        if (b->left_at == b->left_length) {
            char domain[16] = "";
            if (b->domains > 0)
                snprintf(domain, sizeof domain, "%04u", b->next % b->domains);
            int n = snprintf(b->left, sizeof b->left, "{\"id\":\"t%07u@bench%s.example\",\"model\":\"acme/thermo\",\"imsi\":\"%015llu\"}",
                             b->next, domain, (unsigned long long)imsi_first + b->next);
            memset(b->left + n, ' ', (size_t)(LINE_BYTES - 1 - n));
            b->left[LINE_BYTES - 1] = '\n';
            b->next++;
            b->left_at = 0;
            b->left_length = LINE_BYTES;
        }
        size_t part = b->left_length - b->left_at < room - length ? b->left_length - b->left_at : room - length;
        memcpy(out + length, b->left + b->left_at, part);
        b->left_at += part;
        length += part;
    }
    return length;
}

static void bulk_line(bulk *b)
{
    b->line[b->line_length] = '\0';
    bool is_made = strstr(b->line, "\"status\":201") != NULL || strstr(b->line, "\"status\":200") != NULL;
    if (!is_made && b->failed++ == 0)
        memcpy(b->problem, b->line, b->line_length + 1);
    b->made += is_made;
    b->line_length = 0;
}

static void bulk_sink(void *owner, const char *bytes, size_t length)
{
    bulk *b = owner;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n')
            bulk_line(b);
        else if (b->line_length < sizeof b->line - 1)
            b->line[b->line_length++] = bytes[i];
    }
}

bool load_provision(const host *h, uint32_t count, double *per_second)
{
    return load_provision_in(h, count, 0, per_second);
}

bool load_provision_in(const host *h, uint32_t count, uint32_t domains, double *per_second)
{
    assert(domains <= LOAD_DOMAINS_MAX);
    bulk *b = calloc(1, sizeof *b);
    if (b == NULL)
        return bench_fail("no memory");
    b->count = count;
    b->domains = domains;
    int64_t start = bench_now_ns();
    int status = http_do(&(http_call){ .port = h->http_port, .method = "POST", .path = "/v1/twins:bulk", .token = h->token,
                                       .type = "application/x-ndjson", .source = bulk_source,
                                       .length = (uint64_t)count * LINE_BYTES, .sink = bulk_sink, .owner = b });
    *per_second = count / ((double)(bench_now_ns() - start) / 1e9);
    bool is_fine = status == 200 && b->made == count;
    if (!is_fine && !bench_is_interrupted())
        bench_fail("twins:bulk: %d, %llu of %u made; first refusal: %s%s", status, (unsigned long long)b->made, count,
                   b->problem, b->failed == 0 ? b->line : "");
    free(b);
    return is_fine;
}

/* ---- connections ---- */

enum load_phase { PHASE_NONE, PHASE_ATTACH, PHASE_DRIVE, PHASE_TAKE };

typedef struct lane { /* a connection and its share of the twins: every connection_count-th */
    load *load;
    peer *peer;
    char identity[64];
    uint32_t index, cursor; /* next twin of it */
} lane;

struct load {
    const host *host;
    uint32_t twins, lane_count;
    int epoll;
    enum load_phase phase;
    uint32_t each;         /* readings a twin still to send with load_drive_each; 0: no limit */
    bool is_paused;        /* sends nothing new */
    bool takes_always;     /* downlinks are taken in any phase */
    uint16_t *taken;       /* [twins] downlinks so far, with load_expect; NULL: nobody asks */
    uint64_t budget;       /* requests still to be sent, ~0: no limit */
    uint8_t *sequence;     /* [twins] of the next reading */
    uint16_t *is_out;      /* [twins] requests without an answer */
    _Atomic int64_t *sent_ns; /* [twins] for load_stamp; NULL: nobody asks */
    const uint32_t *chosen; /* twins to send of, in this order; NULL: all in turn */
    uint32_t chosen_count, chosen_next, depth;
    double offer;          /* requests a second, answered or not; 0: as fast as they are answered */
    int64_t offer_ns;      /* since when */
    uint64_t offered;
    uint32_t first_lane;   /* begins next time, so that no lane is always last */
    uint32_t *done;        /* [twins] readings answered 2001 of this phase; 1 when attaching was answered */
    load_counts counts;
    histogram latency, busy_latency; /* of what was answered 2001, of what was refused 3xxx */
    int64_t answered_ns, now_ns;
    lane lanes[LOAD_CONNECTIONS_MAX];
};

static void on_open(void *owner, peer *from)
{
    (void)owner;
    (void)from;
}

static void on_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer)
{
    load *l = ((lane *)owner)->load;
    uint32_t twin = (uint32_t)tag;
    (void)from;
    (void)slot;
    l->is_out[twin]--;
    l->answered_ns = l->now_ns;
    if (answer->result != DIAMETER_SUCCESS)
        l->counts.last_refusal = answer->experimental != 0 ? answer->experimental : answer->result;
    bool is_ok = answer->result == DIAMETER_SUCCESS, is_busy = answer->result / 1000 == 3;
    if (tag >> 32 == PHASE_ATTACH && is_busy)
        return; /* its turn comes again */
    if (tag >> 32 == PHASE_ATTACH) {
        l->counts.attached += is_ok;
        l->counts.attach_refused += !is_ok;
        l->done[twin] = 1;
        return;
    }
    l->counts.answered += is_ok;
    l->counts.busy += is_busy;
    l->counts.refused += !is_ok && !is_busy;
    l->done[twin] += is_ok;
    histogram_add(is_busy ? &l->busy_latency : &l->latency, (uint64_t)micros);
}

static void check_downlink(load *l, const t6a_message *request)
{
    uint32_t label[LOAD_LABEL_BYTES / 4] = { UINT32_MAX };
    if (request->data.length >= LOAD_LABEL_BYTES)
        memcpy(label, request->data.bytes, LOAD_LABEL_BYTES);
    bool is_next = label[0] < l->twins && label[1] == l->taken[label[0]];
    l->counts.wrong += !is_next;
    if (label[0] < l->twins)
        l->taken[label[0]]++;
}

/* Where downlinks are not expected, a host that sends one gets "asleep". */
static void on_request(void *owner, peer *from, const t6a_message *request)
{
    load *l = ((lane *)owner)->load;
    bool takes = l->phase == PHASE_TAKE || l->takes_always;
    l->counts.downlinks += takes;
    if (takes && l->taken != NULL)
        check_downlink(l, request);
    l->answered_ns = l->now_ns;
    peer_answer_delivery(from, request, takes ? &(t6a_delivery){ .result = DIAMETER_SUCCESS }
                                              : &(t6a_delivery){ .experimental = DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE });
}

load *load_new(const host *h, uint32_t twins, uint32_t connections, uint32_t window)
{
    assert(connections >= 1 && connections <= LOAD_CONNECTIONS_MAX && twins >= connections);
    load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->host = h;
    l->twins = twins;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->sequence = calloc(twins, 1);
    l->is_out = calloc(twins, sizeof *l->is_out);
    l->done = calloc(twins, sizeof *l->done);
    if (l->epoll < 0 || l->sequence == NULL || l->is_out == NULL || l->done == NULL) {
        load_free(l);
        return NULL;
    }
    for (; l->lane_count < connections; l->lane_count++) {
        lane *at = &l->lanes[l->lane_count];
        *at = (lane){ .load = l, .index = l->lane_count, .cursor = l->lane_count };
        snprintf(at->identity, sizeof at->identity, "mme%u.bench.dromio.test", l->lane_count + 1);
        peer_config config = { .connect = h->diameter, .identity = at->identity, .realm = "bench.dromio.test",
                               .window = window, .seed = l->lane_count + 1, .epoll = l->epoll, .owner = at, .on_open = on_open,
                               .on_answer = on_answer, .on_request = on_request };
        at->peer = peer_new(&config);
        if (at->peer == NULL) {
            load_free(l);
            return NULL;
        }
    }
    return l;
}

void load_free(load *l)
{
    if (l == NULL)
        return;
    for (uint32_t i = 0; i < l->lane_count; i++)
        peer_free(l->lanes[i].peer);
    if (l->epoll >= 0)
        close(l->epoll);
    free(l->sequence);
    free(l->is_out);
    free(l->done);
    free(l);
}

static void send_one(load *l, lane *at, uint32_t twin)
{
    char imsi[IMSI_DIGITS + 1];
    t6a_write_digits(imsi, imsi_first + twin, IMSI_DIGITS);
    imsi[IMSI_DIGITS] = '\0';
    t6a_request request = { .command = COMMAND_CONNECTION_MANAGEMENT, .imsi = imsi, .bearer = EPS_BEARER, .apn = "iot" };
    frame reads;
    if (l->phase == PHASE_DRIVE) {
        uint8_t sequence = l->sequence[twin]++;
        reads = frame_of_reading(&(reading){ sequence, (int16_t)(2000 + (sequence * 7 + twin) % WARM_VALUES), 90, 3600 });
        request.command = COMMAND_MO_DATA;
        request.data = reads.bytes;
        request.data_length = reads.length;
        l->counts.uplinks++;
        if (l->sent_ns != NULL)
            l->sent_ns[twin] = l->now_ns;
    }
    l->is_out[twin]++;
    peer_send(at->peer, &request, twin | (uint64_t)l->phase << 32, l->now_ns);
}

/* The lane's twins in turn, passing over those that have a request out. */
static void fill(load *l, lane *at)
{
    uint32_t share = (l->twins - at->index + l->lane_count - 1) / l->lane_count;
    for (uint32_t passed = 0; !l->is_paused && l->budget > 0 && passed < share && peer_has_room(at->peer);) {
        uint32_t twin = at->cursor;
        at->cursor = twin + l->lane_count < l->twins ? twin + l->lane_count : at->index;
        bool is_wanted = !l->is_out[twin] && (l->each == 0 || l->done[twin] < l->each);
        if (!is_wanted) {
            passed++;
            continue;
        }
        send_one(l, at, twin);
        passed = 0;
        if (l->budget != UINT64_MAX)
            l->budget--;
    }
}

/* The next of the list waits until its lane and its own depth have room: so the mix stays as it is. */
static void fill_chosen(load *l)
{
    while (!l->is_paused) {
        uint32_t twin = l->chosen[l->chosen_next];
        lane *at = &l->lanes[twin % l->lane_count];
        if (l->is_out[twin] >= l->depth || !peer_has_room(at->peer))
            return;
        send_one(l, at, twin);
        l->chosen_next = (l->chosen_next + 1) % l->chosen_count;
    }
}

/* What is due by now. More than OFFER_LATE_MS of it is not made up for: that would be a burst. */
static void offer_due(load *l)
{
    uint64_t due = (uint64_t)((double)(l->now_ns - l->offer_ns) / 1e9 * l->offer);
    uint64_t most = (uint64_t)(l->offer * OFFER_LATE_MS / 1000) + 1;
    l->budget = due - l->offered;
    if (l->budget > most) {
        l->counts.unsent += l->budget - most;
        l->offered += l->budget - most;
        l->budget = most;
    }
    l->offered += l->budget; /* what is left of it afterwards is taken back */
}

static void push(load *l)
{
    l->now_ns = bench_now_ns();
    if (l->offer > 0)
        offer_due(l);
    if (l->phase == PHASE_DRIVE && l->chosen != NULL)
        fill_chosen(l);
    for (uint32_t i = 0; i < l->lane_count; i++) {
        lane *at = &l->lanes[(l->first_lane + i) % l->lane_count];
        if (l->phase != PHASE_DRIVE || l->chosen == NULL)
            fill(l, at);
        peer_flush(at->peer);
    }
    l->first_lane++;
    if (l->offer > 0) {
        l->offered -= l->budget;
        l->budget = 0;
    }
}

/* False: interrupted, or the host has not answered for long. */
static bool turn(load *l)
{
    struct epoll_event events[EVENTS];
    int got = epoll_wait(l->epoll, events, EVENTS, l->offer > 0 ? OFFER_TICK_MS : TICK_MS);
    l->now_ns = bench_now_ns();
    for (int i = 0; i < got; i++)
        peer_on_ready(events[i].data.ptr, events[i].events, l->now_ns);
    for (uint32_t i = 0; i < l->lane_count; i++)
        if (got == 0 || !peer_is_open(l->lanes[i].peer))
            peer_tick(l->lanes[i].peer, l->now_ns);
    push(l);
    if (l->now_ns - l->answered_ns > LOAD_IDLE_MS * (int64_t)1000000)
        return bench_fail("the host has not answered for %d s", LOAD_IDLE_MS / 1000);
    return !bench_is_interrupted();
}

bool load_drain(load *l)
{
    l->is_paused = true;
    for (uint32_t i = 0; i < l->lane_count; i++)
        while (peer_outstanding(l->lanes[i].peer) > 0)
            if (!turn(l))
                return false;
    l->is_paused = false;
    return true;
}

static void start(load *l, enum load_phase phase, uint64_t budget)
{
    l->phase = phase;
    l->budget = budget;
    l->is_paused = false;
    l->answered_ns = bench_now_ns();
}

bool load_attach(load *l)
{
    start(l, PHASE_ATTACH, UINT64_MAX);
    l->each = 1;
    while (l->counts.attached + l->counts.attach_refused < l->twins)
        if (!turn(l))
            return false;
    l->each = 0;
    if (l->counts.attached != l->twins)
        return bench_fail("%llu of %u twins attached, the last refusal was %u", (unsigned long long)l->counts.attached, l->twins,
                          l->counts.last_refusal);
    return true;
}

bool load_drive(load *l, double seconds)
{
    start(l, PHASE_DRIVE, UINT64_MAX);
    int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9);
    while (bench_now_ns() < end)
        if (!turn(l))
            return false;
    return true;
}

void load_expect(load *l, uint16_t *taken)
{
    l->taken = taken;
}

void load_take_always(load *l)
{
    l->takes_always = true;
}

void load_choose(load *l, const uint32_t *twins, uint32_t count, uint32_t depth)
{
    assert(depth <= UINT16_MAX && (twins == NULL || count > 0));
    l->chosen = twins;
    l->chosen_count = count;
    l->chosen_next = 0;
    l->depth = depth;
}

bool load_offer(load *l, double per_second, double seconds)
{
    start(l, PHASE_DRIVE, 0);
    l->offer = per_second;
    l->offer_ns = bench_now_ns();
    l->offered = 0;
    int64_t end = l->offer_ns + (int64_t)(seconds * 1e9);
    bool is_fine = true;
    while (is_fine && bench_now_ns() < end)
        is_fine = turn(l);
    l->offer = 0;
    return is_fine;
}

bool load_drive_each(load *l, uint32_t count)
{
    start(l, PHASE_DRIVE, UINT64_MAX);
    l->each = count;
    uint64_t wanted = l->counts.answered + (uint64_t)count * l->twins;
    memset(l->done, 0, l->twins * sizeof *l->done);
    while (l->counts.answered < wanted)
        if (!turn(l))
            return false;
    l->each = 0;
    return load_drain(l);
}

bool load_take_downlinks(load *l, uint64_t count)
{
    start(l, PHASE_TAKE, 0);
    while (l->counts.downlinks < count)
        if (!turn(l))
            return false;
    return true;
}

void load_stamp(load *l, _Atomic int64_t *sent_ns)
{
    l->sent_ns = sent_ns;
}

bool load_send(load *l, uint32_t count)
{
    start(l, PHASE_DRIVE, count);
    uint64_t wanted = l->counts.answered + count, refused = l->counts.busy + l->counts.refused;
    push(l);
    while (l->counts.answered < wanted) {
        if (!turn(l))
            return false;
        if (l->counts.busy + l->counts.refused != refused)
            return bench_fail("an uplink was answered %u", l->counts.last_refusal);
    }
    return true;
}

double load_once(load *l)
{
    if (!load_drain(l))
        return -1;
    start(l, PHASE_DRIVE, 1);
    uint64_t wanted = l->counts.answered + 1, refused = l->counts.busy + l->counts.refused;
    int64_t begin = bench_now_ns();
    push(l);
    while (l->counts.answered < wanted)
        if (!turn(l) || l->counts.busy + l->counts.refused != refused)
            return -1;
    return (double)(bench_now_ns() - begin) / 1000;
}

const load_counts *load_count(const load *l)
{
    return &l->counts;
}

histogram *load_latency(load *l)
{
    return &l->latency;
}

histogram *load_busy_latency(load *l)
{
    return &l->busy_latency;
}

void load_reset(load *l)
{
    uint64_t attached = l->counts.attached;
    l->counts = (load_counts){ .attached = attached };
    l->latency = l->busy_latency = (histogram){ 0 };
}
