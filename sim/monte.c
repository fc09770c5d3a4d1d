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
    UE_REACHABLE_AND_IDLE = 8, AVAILABLE_AND_IDLE = 9, /* Monitoring-Type: as MONTE_REACHABLE, MONTE_AVAILABLE, with the idle status */
    NOT_ROAMING = 1, MAX_DETECTION_TIME_EXPIRED_MME = 2,
    RADIO_CONNECTION_WITH_UE_LOST = 21, /* S1AP, Cause of the radio network layer (TS 36.413 9.2.1.3) */
    NB_IOT = 1005, CYCLE_OF_20_48_S = 2, /* RAT-Type; code of the eDRX cycle that these devices have (TS 24.008 10.5.5.32) */
    NOT_SEEN = 0xff,
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
    bool with_idle, for_sms, is_of_other_apn;
} watch;

typedef struct report { uint32_t watch, reference, available_until, time; bool is_deleted; } report;

typedef struct coverage {             /* Enhanced-Coverage-Restriction */
    uint8_t count;
    bool is_set, is_allowed;          /* the list is of networks where it is allowed; else of those where it is not */
    uint8_t plmns[MONTE_PLMNS_MAX][PLMN_LENGTH];
} coverage;

struct monte {
    monte_network around;
    char scefs[MONTE_SCEFS_MAX][T6A_NAME_MAX + 1];
    uint32_t scef_count;
    watch *watches;
    uint32_t used, capacity, free;    /* free: chain by next */
    uint32_t *first;                  /* [devices] */
    coverage *coverages;              /* [devices]; NULL: none was ever set */
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
    free(m->coverages);
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
static uint32_t cell_of(uint32_t mme, uint32_t device)
{
    return (mme + 1) << 16 | (device / 100 & 0xffff);
}

static void put_location(const monte *m, uint32_t device, dro_builder *out)
{
    uint32_t mme = m->around.serving(m->around.owner, device), cell = cell_of(mme, device);
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

static uint32_t wire_type(const watch *w)
{
    return !w->with_idle ? w->type : w->type == MONTE_REACHABLE ? UE_REACHABLE_AND_IDLE : AVAILABLE_AND_IDLE;
}

static void put_idle(const reporting *r, dro_builder *out)
{
    static const uint8_t cycle_value = CYCLE_OF_20_48_S;
    monte_idle idle = r->m->around.idle(r->m->around.owner, r->watch->device);
    if (!r->watch->with_idle)
        return;
    size_t group = diameter_group_begin(out, AVP_IDLE_STATUS_INDICATION);
    diameter_put_time(out, AVP_IDLE_STATUS_TIMESTAMP, r->report->available_until);
    if (idle.active_s > 0)
        diameter_put_u32(out, AVP_ACTIVE_TIME, idle.active_s);
    if (idle.periodic_s > 0)
        diameter_put_u32(out, AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER, idle.periodic_s);
    if (idle.is_edrx) {
        size_t cycle = diameter_group_begin(out, AVP_EDRX_CYCLE_LENGTH);
        diameter_put_u32(out, AVP_RAT_TYPE, NB_IOT);
        diameter_put(out, AVP_EDRX_CYCLE_LENGTH_VALUE, &cycle_value, 1);
        diameter_group_end(out, cycle);
    }
    diameter_group_end(out, group);
}

static void put_pdn(const reporting *r, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_PDN_CONNECTIVITY_STATUS_REPORT);
    diameter_put_text(out, AVP_SERVICE_SELECTION, r->m->around.apn);
    diameter_put_u32(out, AVP_PDN_CONNECTIVITY_STATUS_TYPE, r->report->is_deleted ? VALUE_PDN_CONNECTIVITY_STATUS_TYPE_DELETED : VALUE_PDN_CONNECTIVITY_STATUS_TYPE_CREATED);
    diameter_put_u32(out, AVP_NON_IP_PDN_TYPE_INDICATOR, VALUE_NON_IP_PDN_TYPE_INDICATOR_TRUE);
    diameter_put_u32(out, AVP_NON_IP_DATA_DELIVERY_MECHANISM, VALUE_NON_IP_DATA_DELIVERY_MECHANISM_SCEF);
    diameter_group_end(out, group);
}

/* Over the air is the only place where something gets lost here. */
static void put_failure(dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_COMMUNICATION_FAILURE_INFORMATION);
    diameter_put_u32(out, AVP_CAUSE_TYPE, VALUE_CAUSE_TYPE_RADIO_NETWORK_LAYER);
    diameter_put_u32(out, AVP_S1AP_CAUSE, RADIO_CONNECTION_WITH_UE_LOST);
    diameter_group_end(out, group);
}

static void put_roaming(const monte *m, dro_builder *out)
{
    uint8_t plmn[PLMN_LENGTH];
    plmn_of(m, plmn);
    diameter_put_u32(out, AVP_ROAMING_INFORMATION, NOT_ROAMING);
    diameter_put(out, AVP_VISITED_PLMN_ID, plmn, sizeof plmn);
}

/* Monitoring-Event-Report. */
static void put_report(dro_builder *out, const void *what)
{
    const reporting *r = what;
    if (r->watch->is_of_group)
        put_user(out, r);
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_REPORT);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, r->watch->reference);
    diameter_put_text(out, AVP_SCEF_ID, r->m->scefs[r->watch->scef]);
    diameter_put_u32(out, AVP_MONITORING_TYPE, wire_type(r->watch));
    diameter_put_time(out, AVP_REPORTING_TIME_STAMP, r->report->time);
    switch ((enum monte_type)r->watch->type) {
    case MONTE_LOSS:
        diameter_put_u32(out, AVP_LOSS_OF_CONNECTIVITY_REASON, MAX_DETECTION_TIME_EXPIRED_MME);
        break;
    case MONTE_REACHABLE:
        diameter_put_u32(out, AVP_REACHABILITY_INFORMATION, r->watch->for_sms ? VALUE_REACHABILITY_INFORMATION_REACHABLE_FOR_SMS : VALUE_REACHABILITY_INFORMATION_REACHABLE_FOR_DATA);
        put_idle(r, out);
        diameter_put_time(out, AVP_MAXIMUM_UE_AVAILABILITY_TIME, r->report->available_until);
        break;
    case MONTE_AVAILABLE:
        put_idle(r, out);
        diameter_put_time(out, AVP_MAXIMUM_UE_AVAILABILITY_TIME, r->report->available_until);
        break;
    case MONTE_LOCATION:
        put_location(r->m, r->watch->device, out);
        break;
    case MONTE_ROAMING:
        put_roaming(r->m, out);
        break;
    case MONTE_IMEI:
        diameter_put_u32(out, AVP_IMEI_CHANGE, VALUE_IMEI_CHANGE_IMEI);
        break;
    case MONTE_FAILURE:
        put_failure(out);
        break;
    case MONTE_PDN:
        put_pdn(r, out);
        break;
    case MONTE_AREA:
        break; /* is counted, not watched */
    }
    diameter_group_end(out, group);
}

static uint32_t now_s(void)
{
    return (uint32_t)time(NULL);
}

/* ---- reports ---- */

static void push(monte *m, watch *w, const monte_event *event)
{
    if (m->report_count == MONTE_REPORTS_MAX) {
        m->counts.reports_dropped++;
        return;
    }
    m->reports[(m->report_first + m->report_count++) % MONTE_REPORTS_MAX] =
        (report){ .watch = (uint32_t)(w - m->watches), .reference = w->reference, .available_until = event->available_until, .time = now_s(),
                  .is_deleted = event->is_deleted };
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
        else if (w->type == event->type && !w->is_of_other_apn)
            push(m, w, event);
    }
}

void monte_tell_loss(monte *m, uint32_t device, uint32_t away_s)
{
    for (uint32_t at = m->first[device]; at != NOBODY; at = m->watches[at - 1].next) {
        watch *w = &m->watches[at - 1];
        if (w->type != MONTE_LOSS || w->is_told || away_s < w->detection_s || is_over(w))
            continue;
        w->is_told = true;
        push(m, w, &(monte_event){ .device = device, .type = MONTE_LOSS });
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

/* A kind of event that this network sees, or NOT_SEEN. */
static uint8_t type_of(uint32_t type)
{
    switch (type) {
    case MONTE_LOSS: case MONTE_REACHABLE: case MONTE_LOCATION: case MONTE_IMEI: case MONTE_ROAMING: case MONTE_FAILURE: case MONTE_AVAILABLE: case MONTE_PDN:
        return (uint8_t)type;
    case UE_REACHABLE_AND_IDLE: return MONTE_REACHABLE;
    case AVAILABLE_AND_IDLE: return MONTE_AVAILABLE;
    default: return NOT_SEEN;
    }
}

static bool is_of_other_apn(const monte *m, const diameter_message *message, const diameter_avp *group)
{
    const diameter_avp *configuration = diameter_find_in(message, group, AVP_PDN_CONNECTIVITY_STATUS_CONFIGURATION);
    const diameter_avp *apn = diameter_find_in(message, configuration, AVP_SERVICE_SELECTION);
    return apn != NULL && !diameter_is_identity(apn, m->around.apn);
}

static bool is_for_sms(const diameter_message *message, const diameter_avp *group)
{
    const diameter_avp *configuration = diameter_find_in(message, group, AVP_UE_REACHABILITY_CONFIGURATION);
    return diameter_u32(diameter_find_in(message, configuration, AVP_REACHABILITY_TYPE)) == VALUE_REACHABILITY_TYPE_SMS;
}

static watch wanted_of(const monte *m, const diameter_message *message, const diameter_avp *group, int scef)
{
    uint32_t type = diameter_u32(diameter_find_in(message, group, AVP_MONITORING_TYPE));
    bool has_end = type != MONTE_AVAILABLE && type != AVAILABLE_AND_IDLE; /* it has no number of reports (TS 29.336 8.4.2) */
    const diameter_avp *most = diameter_find_in(message, group, AVP_MAXIMUM_NUMBER_OF_REPORTS);
    const diameter_avp *until = diameter_find_in(message, group, AVP_MONITORING_DURATION);
    const diameter_avp *detection = diameter_find_in(message, group, AVP_MAXIMUM_DETECTION_TIME);
    return (watch){ .reference = diameter_u32(diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID)), .scef = (uint8_t)scef,
                    .type = type_of(type), .with_idle = type == UE_REACHABLE_AND_IDLE || type == AVAILABLE_AND_IDLE,
                    .for_sms = is_for_sms(message, group), .is_of_other_apn = is_of_other_apn(m, message, group),
                    .left = most != NULL ? diameter_u32(most) : until == NULL && has_end ? 1 : 0, .until = diameter_time(until),
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
    watch wanted = wanted_of(m, message, group, scef);
    wanted.is_of_group = of.count > 1;
    bool is_one = of.count == 1 && (wanted.type == MONTE_LOCATION || wanted.type == MONTE_ROAMING); /* told at once */
    bool is_good = scef >= 0 && wanted.type != NOT_SEEN, is_whole = is_one && wanted.left == 1;
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

/* ---- an area ---- */

typedef struct counting {
    const monte *m;
    const diameter_message *message;
    const diameter_avp *event;
    uint32_t mme;
} counting;

/* Number in an identity of that many octets behind this network's own; -1: another one's, or none. */
static int64_t number_in(const monte *m, const diameter_avp *place, size_t octets)
{
    uint8_t plmn[PLMN_LENGTH];
    uint32_t number = 0;
    plmn_of(m, plmn);
    if (place == NULL || place->length != PLMN_LENGTH + octets || memcmp(place->data, plmn, PLMN_LENGTH) != 0)
        return -1;
    for (size_t i = 0; i < octets; i++)
        number = number << 8 | place->data[PLMN_LENGTH + i];
    return number;
}

static uint32_t count_at(const counting *c, const diameter_avp *location)
{
    enum { CELL_OCTETS = 4, AREA_OCTETS = 2, ENODEB_OCTETS = 3, CELL_BITS = 0x0fffffff, CELLS_BITS = 8 };
    const monte *m = c->m;
    const diameter_avp *at = diameter_find_in(c->message, location, AVP_MME_LOCATION_INFORMATION);
    int64_t cell = number_in(m, diameter_find_in(c->message, at, AVP_E_UTRAN_CELL_GLOBAL_IDENTITY), CELL_OCTETS);
    int64_t area = number_in(m, diameter_find_in(c->message, at, AVP_TRACKING_AREA_IDENTITY), AREA_OCTETS);
    int64_t enodeb = number_in(m, diameter_find_in(c->message, at, AVP_ENODEB_ID), ENODEB_OCTETS);
    uint32_t count = 0;
    for (uint32_t device = 0; device < m->around.devices; device++) {
        uint32_t here = cell_of(c->mme, device);
        bool is_in = (cell >= 0 && (cell & CELL_BITS) == here) || area == (int64_t)c->mme + 1 || enodeb == (int64_t)(here >> CELLS_BITS);
        count += is_in && m->around.serving(m->around.owner, device) == c->mme && m->around.attached(m->around.owner, device);
    }
    return count;
}

static void put_counts(dro_builder *out, const void *what)
{
    const counting *c = what;
    const diameter_avp *scef = diameter_find_in(c->message, c->event, AVP_SCEF_ID);
    const diameter_avp *place = diameter_find_in(c->message, c->event, AVP_NUMBER_OF_UE_PER_LOCATION_CONFIGURATION);
    uint32_t reference = diameter_u32(diameter_find_in(c->message, c->event, AVP_SCEF_REFERENCE_ID));
    size_t report = diameter_group_begin(out, AVP_MONITORING_EVENT_REPORT);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, reference);
    if (scef != NULL)
        diameter_put(out, AVP_SCEF_ID, scef->data, scef->length);
    diameter_put_u32(out, AVP_MONITORING_TYPE, MONTE_AREA);
    for (uint32_t i = 0; place != NULL && i < MONTE_PLACES_MAX; place = diameter_find_next(c->message, place), i++) {
        const diameter_avp *location = diameter_find_in(c->message, place, AVP_EPS_LOCATION_INFORMATION);
        if (location == NULL)
            continue;
        size_t group = diameter_group_begin(out, AVP_NUMBER_OF_UE_PER_LOCATION_REPORT);
        diameter_put(out, AVP_EPS_LOCATION_INFORMATION, location->data, location->length);
        diameter_put_u32(out, AVP_UE_COUNT, count_at(c, location));
        diameter_group_end(out, group);
    }
    diameter_group_end(out, report);
}

void monte_count_area(monte *m, peer *from, const t6a_message *request, uint32_t mme)
{
    const diameter_avp *event = diameter_find(request->whole, AVP_MONITORING_EVENT_CONFIGURATION);
    bool is_area = diameter_u32(diameter_find_in(request->whole, event, AVP_MONITORING_TYPE)) == MONTE_AREA;
    counting c = { m, request->whole, event, mme };
    m->counts.counted += is_area;
    m->counts.refused += !is_area;
    if (is_area)
        peer_answer_custom(from, request, DIAMETER_SUCCESS, 0, &(t6a_custom){ .put = put_counts, .what = &c });
    else
        peer_answer_custom(from, request, 0, DIAMETER_ERROR_CONFIGURATION_EVENT_STORAGE_NOT_SUCCESSFUL, &(t6a_custom){ 0 });
}

/* ---- coverage enhancement ---- */

static bool read_coverage(const diameter_message *message, const diameter_avp *restriction, coverage *out)
{
    const diameter_avp *allowed = diameter_find_in(message, restriction, AVP_ALLOWED_PLMN_LIST);
    const diameter_avp *restricted = diameter_find_in(message, restriction, AVP_RESTRICTED_PLMN_LIST);
    const diameter_avp *plmn = diameter_find_in(message, allowed != NULL ? allowed : restricted, AVP_VISITED_PLMN_ID);
    *out = (coverage){ .is_set = allowed != NULL || restricted != NULL, .is_allowed = allowed != NULL };
    for (; plmn != NULL; plmn = diameter_find_next(message, plmn)) {
        if (out->count == MONTE_PLMNS_MAX || plmn->length != PLMN_LENGTH)
            return false;
        memcpy(out->plmns[out->count++], plmn->data, PLMN_LENGTH);
    }
    return true;
}

typedef struct covering { const monte *m; coverage known; } covering;

static void put_coverage(dro_builder *out, const void *what)
{
    const covering *c = what;
    uint8_t here[PLMN_LENGTH];
    plmn_of(c->m, here);
    size_t data = diameter_group_begin(out, AVP_ENHANCED_COVERAGE_RESTRICTION_DATA);
    size_t restriction = diameter_group_begin(out, AVP_ENHANCED_COVERAGE_RESTRICTION);
    if (c->known.is_set) {
        size_t list = diameter_group_begin(out, c->known.is_allowed ? AVP_ALLOWED_PLMN_LIST : AVP_RESTRICTED_PLMN_LIST);
        for (uint32_t i = 0; i < c->known.count; i++)
            diameter_put(out, AVP_VISITED_PLMN_ID, c->known.plmns[i], PLMN_LENGTH);
        diameter_group_end(out, list);
    }
    diameter_group_end(out, restriction);
    diameter_put(out, AVP_VISITED_PLMN_ID, here, sizeof here);
    diameter_group_end(out, data);
}

/* It is remembered and changes nothing: the simulated radio has no coverage enhancement. */
void monte_coverage(monte *m, peer *from, const t6a_message *request, const uint32_t *device)
{
    const diameter_avp *restriction = diameter_find(request->whole, AVP_ENHANCED_COVERAGE_RESTRICTION);
    devices of = device != NULL ? (devices){ *device, 1 } : (devices){ 0, m->around.devices };
    covering c = { .m = m };
    if (restriction != NULL && m->coverages == NULL)
        m->coverages = calloc(m->around.devices, sizeof *m->coverages);
    if (restriction != NULL && (m->coverages == NULL || !read_coverage(request->whole, restriction, &c.known))) {
        peer_answer(from, request, DIAMETER_UNABLE_TO_COMPLY); /* more networks than there is room for */
        return;
    }
    for (uint32_t i = 0; i < of.count && restriction != NULL; i++)
        m->coverages[of.first + i] = c.known;
    m->counts.coverages += restriction != NULL;
    if (restriction == NULL && m->coverages != NULL)
        c.known = m->coverages[of.first];
    peer_answer_custom(from, request, DIAMETER_SUCCESS, 0, &(t6a_custom){ .put = put_coverage, .what = &c });
}
