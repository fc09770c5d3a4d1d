#include "sim/monte.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    NOBODY = 0,               /* in links: 1 + index */
    FIRST_WATCHES = 1024,
    PLMN_LENGTH = 3, ECGI_LENGTH = 7, TAI_LENGTH = 5,
    UE_REACHABLE_AND_IDLE = 8,    /* Monitoring-Type: as 1, the idle status is left out */
    REACHABLE_FOR_DATA = 1, NOT_ROAMING = 1, MAX_DETECTION_TIME_EXPIRED_MME = 2,
    DELETE_ALL_MONITORING = 1, DELETE_ALL_PARAMETERS = 16, /* CIR-Flags */
    DEFAULT_DETECTION_S = 60,
    TAG_NUMBER = 0x7fffffff,
};

typedef struct watch {
    uint32_t reference, device, next; /* next: of the device; 1 + index */
    uint32_t left;                    /* reports; 0: no bound */
    uint32_t until;                   /* seconds since 1970; 0: no end */
    uint32_t detection_s;
    uint8_t scef, type;
    bool is_used, is_told;            /* told: of the loss that lasts */
    bool is_of_group;                 /* reports say of whom they are */
} watch;

typedef struct report { uint32_t watch, reference, available_until, time; } report;

struct monte {
    monte_network around;
    char scefs[MONTE_SCEFS_MAX][T6A_NAME_MAX + 1];
    uint32_t scef_count;
    watch *watches;
    uint32_t used, capacity, free;    /* free: chain by next */
    uint32_t *first;                  /* [devices] */
    report *reports;                  /* a ring for each MME would be mostly empty: one, in order */
    uint32_t report_first, report_count;
    uint64_t imsi_first;
    monte_counts counts;
};

monte *monte_new(const monte_network *around)
{
    monte *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->around = *around;
    made->imsi_first = strtoull(around->imsi_first, NULL, 10);
    made->first = calloc(around->devices, sizeof *made->first);
    made->reports = calloc(MONTE_REPORTS_MAX, sizeof *made->reports);
    if (made->first == NULL || made->reports == NULL) {
        monte_free(made);
        return NULL;
    }
    return made;
}

void monte_free(monte *m)
{
    if (m == NULL)
        return;
    free(m->watches);
    free(m->first);
    free(m->reports);
    free(m);
}

const monte_counts *monte_count(const monte *m)
{
    return &m->counts;
}

/* ---- watches ---- */

static watch *watch_new(monte *m)
{
    if (m->free != NOBODY) {
        watch *taken = &m->watches[m->free - 1];
        m->free = taken->next;
        return taken;
    }
    if (m->used == m->capacity) {
        uint32_t capacity = m->capacity == 0 ? FIRST_WATCHES : m->capacity * 2;
        watch *larger = capacity > MONTE_WATCHES_MAX ? NULL : realloc(m->watches, capacity * sizeof *larger);
        if (larger == NULL)
            return NULL;
        m->watches = larger;
        m->capacity = capacity;
    }
    return &m->watches[m->used++];
}

static void watch_end(monte *m, watch *gone)
{
    uint32_t index = (uint32_t)(gone - m->watches) + 1, *link = &m->first[gone->device];
    while (*link != index)
        link = &m->watches[*link - 1].next;
    *link = gone->next;
    *gone = (watch){ .next = m->free };
    m->free = index;
}

/* Index of who asks, or -1: too many do. */
static int scef_of(monte *m, const diameter_avp *name)
{
    for (uint32_t i = 0; i < m->scef_count; i++)
        if (diameter_is_identity(name, m->scefs[i]))
            return (int)i;
    if (m->scef_count == MONTE_SCEFS_MAX || name == NULL || name->length > T6A_NAME_MAX)
        return -1;
    memcpy(m->scefs[m->scef_count], name->data, name->length);
    return (int)m->scef_count++;
}

static bool watch_add(monte *m, const watch *wanted)
{
    watch *made = watch_new(m);
    if (made == NULL)
        return false;
    *made = *wanted;
    made->is_used = true;
    made->next = m->first[wanted->device];
    m->first[wanted->device] = (uint32_t)(made - m->watches) + 1;
    return true;
}

static void watches_remove(monte *m, uint32_t device, int scef, uint32_t reference, bool is_all)
{
    for (uint32_t at = m->first[device]; at != NOBODY;) {
        watch *w = &m->watches[at - 1];
        at = w->next;
        if (w->scef == scef && (is_all || w->reference == reference)) {
            m->counts.removed++;
            watch_end(m, w);
        }
    }
}

/* ---- what is where ---- */

static void plmn_of(const monte *m, uint8_t out[PLMN_LENGTH])
{
    uint8_t digit[5];
    for (int i = 0; i < 5; i++)
        digit[i] = (uint8_t)(m->around.imsi_first[i] - '0');
    out[0] = (uint8_t)(digit[1] << 4 | digit[0]);
    out[1] = (uint8_t)(0xf0 | digit[2]);
    out[2] = (uint8_t)(digit[4] << 4 | digit[3]);
}

/* A cell of its own for each hundred devices of an MME. */
static void put_location(const monte *m, uint32_t device, dro_builder *out)
{
    uint32_t mme = m->around.serving(m->around.owner, device), cell = (mme + 1) << 16 | (device / 100 & 0xffff);
    uint8_t ecgi[ECGI_LENGTH], tai[TAI_LENGTH];
    plmn_of(m, ecgi);
    plmn_of(m, tai);
    for (int i = 0; i < 4; i++)
        ecgi[PLMN_LENGTH + i] = (uint8_t)(cell >> (24 - 8 * i));
    tai[PLMN_LENGTH] = 0;
    tai[PLMN_LENGTH + 1] = (uint8_t)(mme + 1);
    size_t group = diameter_group_begin(out, AVP_EPS_LOCATION_INFORMATION);
    size_t inside = diameter_group_begin(out, AVP_MME_LOCATION_INFORMATION);
    diameter_put(out, AVP_E_UTRAN_CELL_GLOBAL_IDENTITY, ecgi, sizeof ecgi);
    diameter_put(out, AVP_TRACKING_AREA_IDENTITY, tai, sizeof tai);
    diameter_put_u32(out, AVP_AGE_OF_LOCATION_INFORMATION, 0);
    diameter_group_end(out, inside);
    diameter_group_end(out, group);
}

typedef struct reporting { const monte *m; const watch *watch; const report *report; } reporting;

static void put_user(dro_builder *out, const reporting *r)
{
    char name[T6A_NAME_MAX + 1];
    r->m->around.name(r->m->around.owner, r->watch->device, name);
    size_t group = diameter_group_begin(out, AVP_USER_IDENTIFIER);
    diameter_put_text(out, AVP_EXTERNAL_IDENTIFIER, name);
    diameter_group_end(out, group);
}

/* Monitoring-Event-Report. */
static void put_report(dro_builder *out, const void *what)
{
    const reporting *r = what;
    if (r->watch->is_of_group)
        put_user(out, r);
    uint8_t plmn[PLMN_LENGTH];
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_REPORT);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, r->watch->reference);
    diameter_put_text(out, AVP_SCEF_ID, r->m->scefs[r->watch->scef]);
    diameter_put_u32(out, AVP_MONITORING_TYPE, r->watch->type);
    diameter_put_time(out, AVP_REPORTING_TIME_STAMP, r->report->time);
    switch ((enum monte_type)r->watch->type) {
    case MONTE_LOSS:
        diameter_put_u32(out, AVP_LOSS_OF_CONNECTIVITY_REASON, MAX_DETECTION_TIME_EXPIRED_MME);
        break;
    case MONTE_REACHABLE:
        diameter_put_u32(out, AVP_REACHABILITY_INFORMATION, REACHABLE_FOR_DATA);
        diameter_put_time(out, AVP_MAXIMUM_UE_AVAILABILITY_TIME, r->report->available_until);
        break;
    case MONTE_LOCATION:
        put_location(r->m, r->watch->device, out);
        break;
    case MONTE_ROAMING:
        plmn_of(r->m, plmn);
        diameter_put_u32(out, AVP_ROAMING_INFORMATION, NOT_ROAMING);
        diameter_put(out, AVP_VISITED_PLMN_ID, plmn, sizeof plmn);
        break;
    }
    diameter_group_end(out, group);
}

static uint32_t now_s(void)
{
    return (uint32_t)time(NULL);
}

/* ---- reports ---- */

static void push(monte *m, watch *w, uint32_t available_until)
{
    if (m->report_count == MONTE_REPORTS_MAX) {
        m->counts.reports_dropped++;
        return;
    }
    m->reports[(m->report_first + m->report_count++) % MONTE_REPORTS_MAX] =
        (report){ .watch = (uint32_t)(w - m->watches), .reference = w->reference, .available_until = available_until, .time = now_s() };
}

/* An end by time needs no report; by number the last one is on its way, so the watch stays until it was sent. */
static bool is_over(const watch *w)
{
    return w->until != 0 && w->until <= now_s();
}

void monte_tell(monte *m, const monte_event *event)
{
    for (uint32_t at = m->first[event->device]; at != NOBODY;) {
        watch *w = &m->watches[at - 1];
        at = w->next;
        if (is_over(w))
            watch_end(m, w);
        else if (w->type == event->type)
            push(m, w, event->available_until);
    }
}

void monte_tell_loss(monte *m, uint32_t device, uint32_t away_s)
{
    for (uint32_t at = m->first[device]; at != NOBODY; at = m->watches[at - 1].next) {
        watch *w = &m->watches[at - 1];
        if (w->type != MONTE_LOSS || w->is_told || away_s < w->detection_s || is_over(w))
            continue;
        w->is_told = true;
        push(m, w, 0);
    }
}

void monte_back(monte *m, uint32_t device)
{
    for (uint32_t at = m->first[device]; at != NOBODY; at = m->watches[at - 1].next)
        m->watches[at - 1].is_told = false;
}

static watch *watch_at(monte *m, const report *of)
{
    watch *w = &m->watches[of->watch];
    return w->is_used && w->reference == of->reference ? w : NULL;
}

void monte_pump(monte *m, uint32_t mme, peer *to, uint64_t tag, int64_t now_ns)
{
    while (m->report_count > 0 && peer_has_room(to)) {
        const report *next = &m->reports[m->report_first];
        watch *w = watch_at(m, next);
        if (w != NULL && m->around.serving(m->around.owner, w->device) != mme)
            return; /* another one's turn */
        if (w != NULL) {
            reporting what = { m, w, next };
            t6a_custom request = { COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_T6A, put_report, &what };
            peer_send_custom(to, &request, tag | (next->watch & TAG_NUMBER), now_ns);
            m->counts.reports++;
            if (w->left == 1)
                watch_end(m, w);
            else if (w->left > 1)
                w->left--;
        }
        m->report_first = (m->report_first + 1) % MONTE_REPORTS_MAX;
        m->report_count--;
    }
}

void monte_answered(monte *m, uint32_t number, const t6a_message *answer)
{
    const diameter_avp *status = diameter_find(answer->whole, AVP_MONITORING_EVENT_REPORT_STATUS);
    uint32_t reference = diameter_u32(diameter_find_in(answer->whole, status, AVP_SCEF_REFERENCE_ID));
    uint32_t told = diameter_u32(diameter_find_in(answer->whole, status, AVP_EXPERIMENTAL_RESULT_CODE));
    bool is_unknown = answer->experimental == DIAMETER_ERROR_SCEF_REFERENCE_ID_UNKNOWN || told == DIAMETER_ERROR_SCEF_REFERENCE_ID_UNKNOWN;
    m->counts.reports_taken += answer->result == DIAMETER_SUCCESS && !is_unknown;
    m->counts.reports_unknown += is_unknown;
    watch *w = number < m->used ? &m->watches[number] : NULL;
    if (is_unknown && w != NULL && w->is_used && w->reference == reference)
        watch_end(m, w); /* nobody there knows of it */
}

/* ---- configuration ---- */

typedef struct status { uint32_t reference, code, type; int scef; bool has_report; } status;
typedef struct answering {
    monte *m;
    status events[MONTE_STATUSES_MAX], patterns[MONTE_STATUSES_MAX];
    uint32_t event_count, pattern_count, device, devices;
    bool has_parameters;
    uint32_t tau_s, active_s, packets, parameters_reference;
    int parameters_scef;
} answering;

static void put_service_result(dro_builder *out, uint32_t code)
{
    size_t group = diameter_group_begin(out, AVP_SERVICE_RESULT);
    if (code != DIAMETER_SUCCESS)
        diameter_put_u32(out, AVP_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_u32(out, AVP_SERVICE_RESULT_CODE, code);
    diameter_group_end(out, group);
}

static void put_key(dro_builder *out, const monte *m, uint32_t reference, int scef)
{
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, reference);
    if (scef >= 0)
        diameter_put_text(out, AVP_SCEF_ID, m->scefs[scef]);
}

static void put_event_status(dro_builder *out, const answering *a, const status *of)
{
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_CONFIG_STATUS);
    size_t inside = diameter_group_begin(out, AVP_SERVICE_REPORT);
    put_service_result(out, of->code);
    diameter_group_end(out, inside);
    put_key(out, a->m, of->reference, of->scef);
    diameter_group_end(out, group);
}

static void put_pattern_status(dro_builder *out, const answering *a, const status *of)
{
    size_t group = diameter_group_begin(out, AVP_AESE_COMMUNICATION_PATTERN_CONFIG_STATUS);
    put_key(out, a->m, of->reference, of->scef);
    if (of->code != DIAMETER_SUCCESS) {
        size_t error = diameter_group_begin(out, AVP_AESE_ERROR_REPORT);
        put_service_result(out, of->code);
        diameter_group_end(out, error);
    }
    diameter_group_end(out, group);
}

/* What the network uses from now on. */
static void put_parameters(dro_builder *out, const answering *a)
{
    size_t group = diameter_group_begin(out, AVP_SUGGESTED_NETWORK_CONFIGURATION);
    put_key(out, a->m, a->parameters_reference, a->parameters_scef);
    if (a->tau_s > 0)
        diameter_put_u32(out, AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER, a->tau_s);
    if (a->active_s > 0)
        diameter_put_u32(out, AVP_ACTIVE_TIME, a->active_s);
    if (a->packets > 0)
        diameter_put_u32(out, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT, a->packets);
    diameter_group_end(out, group);
}

static void put_answer(dro_builder *out, const void *what)
{
    const answering *a = what;
    if (a->devices > 1)
        diameter_put_u32(out, AVP_NUMBER_OF_UES, a->devices);
    for (uint32_t i = 0; i < a->event_count; i++)
        if (a->events[i].has_report) {
            watch at = { .reference = a->events[i].reference, .device = a->device, .scef = (uint8_t)a->events[i].scef, .type = (uint8_t)a->events[i].type };
            report now = { .time = now_s() };
            put_report(out, &(reporting){ a->m, &at, &now });
        }
    for (uint32_t i = 0; i < a->event_count; i++)
        put_event_status(out, a, &a->events[i]);
    for (uint32_t i = 0; i < a->pattern_count; i++)
        put_pattern_status(out, a, &a->patterns[i]);
    if (a->has_parameters)
        put_parameters(out, a);
}

typedef struct devices { uint32_t first, count; } devices;

static void remove_named(monte *m, const diameter_message *message, const diameter_avp *group, int scef, devices of)
{
    const diameter_avp *gone = diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID_FOR_DELETION);
    for (; gone != NULL; gone = diameter_find_next(message, gone))
        for (uint32_t i = 0; i < of.count; i++)
            watches_remove(m, of.first + i, scef, diameter_u32(gone), false);
}

/* A kind of event that this network sees, or 0xff. */
static uint8_t type_of(uint32_t type)
{
    switch (type) {
    case MONTE_LOSS: case MONTE_REACHABLE: case MONTE_LOCATION: case MONTE_ROAMING: return (uint8_t)type;
    case UE_REACHABLE_AND_IDLE: return MONTE_REACHABLE;
    default: return 0xff;
    }
}

static watch wanted_of(const diameter_message *message, const diameter_avp *group, int scef)
{
    const diameter_avp *most = diameter_find_in(message, group, AVP_MAXIMUM_NUMBER_OF_REPORTS);
    const diameter_avp *until = diameter_find_in(message, group, AVP_MONITORING_DURATION);
    const diameter_avp *detection = diameter_find_in(message, group, AVP_MAXIMUM_DETECTION_TIME);
    return (watch){ .reference = diameter_u32(diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID)), .scef = (uint8_t)scef,
                    .type = type_of(diameter_u32(diameter_find_in(message, group, AVP_MONITORING_TYPE))),
                    .left = most != NULL ? diameter_u32(most) : until == NULL ? 1 : 0, .until = diameter_time(until),
                    .detection_s = detection == NULL ? DEFAULT_DETECTION_S : diameter_u32(detection) };
}

static void take_event(answering *a, const diameter_message *message, const diameter_avp *group, devices of)
{
    monte *m = a->m;
    int scef = scef_of(m, diameter_find_in(message, group, AVP_SCEF_ID));
    if (scef >= 0)
        remove_named(m, message, group, scef, of);
    if (diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID) == NULL || a->event_count == MONTE_STATUSES_MAX)
        return;
    watch wanted = wanted_of(message, group, scef);
    wanted.is_of_group = of.count > 1;
    bool is_one = of.count == 1 && (wanted.type == MONTE_LOCATION || wanted.type == MONTE_ROAMING); /* told at once */
    bool is_good = scef >= 0 && wanted.type != 0xff, is_whole = is_one && wanted.left == 1;
    if (is_one && wanted.left > 1)
        wanted.left--;
    for (uint32_t i = 0; i < of.count && is_good && !is_whole; i++) {
        wanted.device = of.first + i;
        watches_remove(m, wanted.device, scef, wanted.reference, false);
        is_good = watch_add(m, &wanted);
    }
    m->counts.configured += is_good;
    m->counts.refused += !is_good;
    a->events[a->event_count++] = (status){ wanted.reference, is_good ? DIAMETER_SUCCESS : DIAMETER_ERROR_CONFIGURATION_EVENT_STORAGE_NOT_SUCCESSFUL,
                                            wanted.type, scef, is_good && is_one };
}

/* Patterns are taken and change nothing: these devices report as they do. */
static void take_pattern(answering *a, const diameter_message *message, const diameter_avp *group)
{
    const diameter_avp *reference = diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID);
    if (reference == NULL || a->pattern_count == MONTE_STATUSES_MAX)
        return;
    a->patterns[a->pattern_count++] = (status){ diameter_u32(reference), DIAMETER_SUCCESS, 0, scef_of(a->m, diameter_find_in(message, group, AVP_SCEF_ID)), false };
}

static void apply(answering *a, devices of)
{
    for (uint32_t i = 0; i < of.count; i++)
        a->m->around.schedule(a->m->around.owner, of.first + i, a->tau_s, a->active_s);
    a->m->counts.schedules += of.count;
}

static void take_parameters(answering *a, const diameter_message *message, const diameter_avp *group, devices of)
{
    const diameter_avp *reference = diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID);
    a->tau_s = diameter_u32(diameter_find_in(message, group, AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER));
    a->active_s = diameter_u32(diameter_find_in(message, group, AVP_ACTIVE_TIME));
    a->packets = diameter_u32(diameter_find_in(message, group, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT));
    if (a->tau_s > 0 && a->tau_s < MONTE_TAU_LEAST_S)
        a->tau_s = MONTE_TAU_LEAST_S;
    a->has_parameters = reference != NULL;
    a->parameters_reference = diameter_u32(reference);
    a->parameters_scef = scef_of(a->m, diameter_find_in(message, group, AVP_SCEF_ID));
    apply(a, of);
}

static void take_flags(answering *a, const diameter_message *message, devices of)
{
    uint32_t flags = diameter_u32(diameter_find(message, AVP_CIR_FLAGS));
    int scef = scef_of(a->m, diameter_find(message, AVP_ORIGIN_HOST));
    for (uint32_t i = 0; i < of.count && (flags & DELETE_ALL_MONITORING) != 0; i++)
        watches_remove(a->m, of.first + i, scef, 0, true);
    if ((flags & DELETE_ALL_PARAMETERS) != 0)
        apply(a, of); /* their own timers again: none is set */
}

void monte_configure(monte *m, peer *from, const t6a_message *request, const uint32_t *device)
{
    const diameter_message *message = request->whole;
    devices of = device != NULL ? (devices){ *device, 1 } : (devices){ 0, m->around.devices };
    answering a = { .m = m, .device = of.first, .devices = of.count };
    const diameter_avp *group = diameter_find(message, AVP_MONITORING_EVENT_CONFIGURATION);
    take_flags(&a, message, of);
    for (; group != NULL; group = diameter_find_next(message, group))
        take_event(&a, message, group, of);
    for (group = diameter_find(message, AVP_AESE_COMMUNICATION_PATTERN); group != NULL; group = diameter_find_next(message, group))
        take_pattern(&a, message, group);
    group = diameter_find(message, AVP_SUGGESTED_NETWORK_CONFIGURATION);
    if (group != NULL)
        take_parameters(&a, message, group, of);
    peer_answer_custom(from, request, DIAMETER_SUCCESS, 0, &(t6a_custom){ .put = put_answer, .what = &a });
}
