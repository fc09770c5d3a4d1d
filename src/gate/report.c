#include "gate/report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/wipe.h"
#include "gate/home.h"
#include "gate/inquiry.h"
#include "twin/identifier.h"
#include "twin/plmn.h"
#include "twin/t8_monitoring.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    NO_PLACE = UINT16_MAX,
    ANSWER_BYTES = 768,           /* without what repeats the request */
    STATUS_BYTES = 96,            /* of one report, without its SCEF-ID */
    REPORTS_MAX = DIAMETER_AVPS_MAX / 2, /* in one request: each has two AVPs at least */
    IPV4_FAMILY = 1, IPV6_FAMILY = 2, /* of an Address */
    ECGI_BYTES = 7, TAI_BYTES = 5, CGI_BYTES = 7, ENODEB_BYTES = 3, /* after the network */
};

/* ---- values ---- */

/* One of those that the specification has; true where it is absent. */
static bool is_known(const diameter_avp *avp, const diameter_avp **wrong)
{
    *wrong = avp;
    return avp == NULL || diameter_value_is_known((diameter_name)avp->name, diameter_u32(avp));
}

static void put_u32(dro_builder *out, uint8_t tag, const diameter_avp *avp)
{
    if (avp != NULL)
        t8_put_integer(out, tag, diameter_u32(avp));
}

static void put_time(dro_builder *out, uint8_t tag, const diameter_avp *avp)
{
    if (avp != NULL)
        t8_put_integer(out, tag, (int64_t)diameter_time(avp) * 1000);
}

/* "001-01" of the three octets that an identity of the network begins with. */
static bool network_text(const uint8_t *octets, char out[PLMN_DIGITS_MAX + 2])
{
    char digits[PLMN_DIGITS_MAX + 1];
    if (!plmn_read(octets, digits))
        return false;
    snprintf(out, PLMN_DIGITS_MAX + 2, "%.3s-%s", digits, digits + 3);
    return true;
}

static bool put_visited(const diameter_avp *avp, dro_builder *out)
{
    char digits[PLMN_DIGITS_MAX + 1];
    if (avp->length != PLMN_BYTES || !plmn_read(avp->data, digits))
        return false;
    size_t object = t8_object_begin(out, REPORT_PLMN);
    dro_field_put(out, PLMN_MCC, digits, 3);
    dro_field_put_text(out, PLMN_MNC, digits + 3);
    t8_object_end(out, object);
    return true;
}

/* ---- where it is ---- */

/* The network, then what the AVP has behind it in hexadecimal: `-` between parts of `first` bytes and the rest. */
static bool put_place(dro_builder *out, uint8_t tag, const diameter_avp *avp, size_t length, size_t first, const diameter_avp **wrong)
{
    char text[64], network[PLMN_DIGITS_MAX + 2];
    *wrong = avp;
    if (avp == NULL)
        return true;
    if (avp->length != length || !network_text(avp->data, network))
        return false;
    size_t at = (size_t)snprintf(text, sizeof text, "%s-", network);
    for (size_t i = PLMN_BYTES; i < length; i++) {
        if (i == PLMN_BYTES + first)
            text[at++] = '-';
        at += (size_t)snprintf(text + at, sizeof text - at, "%02x", avp->data[i]);
    }
    dro_field_put_text(out, tag, text);
    return true;
}

/* E-UTRAN cell: the upper four bits of its 32 are not part of it (TS 36.413 9.2.1.38). */
static bool put_cell(dro_builder *out, const diameter_avp *avp, const diameter_avp **wrong)
{
    char text[32], network[PLMN_DIGITS_MAX + 2];
    *wrong = avp;
    if (avp == NULL)
        return true;
    if (avp->length != ECGI_BYTES || !network_text(avp->data, network))
        return false;
    uint32_t cell = (uint32_t)(avp->data[3] & 0xf) << 24 | (uint32_t)avp->data[4] << 16 | (uint32_t)avp->data[5] << 8 | avp->data[6];
    snprintf(text, sizeof text, "%s-%07x", network, cell);
    dro_field_put_text(out, LOCATION_CELL, text);
    return true;
}

static bool put_network_of(dro_builder *out, const diameter_avp *place)
{
    char network[PLMN_DIGITS_MAX + 2];
    if (place == NULL || place->length < PLMN_BYTES || !network_text(place->data, network))
        return false;
    dro_field_put_text(out, LOCATION_PLMN, network);
    return true;
}

static bool put_mme_location(const diameter_message *message, const diameter_avp *mme, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *cell = diameter_find_in(message, mme, AVP_E_UTRAN_CELL_GLOBAL_IDENTITY);
    const diameter_avp *area = diameter_find_in(message, mme, AVP_TRACKING_AREA_IDENTITY);
    const diameter_avp *node = diameter_find_in(message, mme, AVP_ENODEB_ID);
    if (node == NULL)
        node = diameter_find_in(message, mme, AVP_EXTENDED_ENODEB_ID);
    put_u32(out, LOCATION_AGE, diameter_find_in(message, mme, AVP_AGE_OF_LOCATION_INFORMATION));
    if (!put_cell(out, cell, wrong) || !put_place(out, LOCATION_ENODEB, node, PLMN_BYTES + ENODEB_BYTES, ENODEB_BYTES, wrong) ||
        !put_place(out, LOCATION_TRACKING_AREA, area, TAI_BYTES, TAI_BYTES, wrong))
        return false;
    return put_network_of(out, area) || put_network_of(out, cell) || true;
}

static bool put_sgsn_location(const diameter_message *message, const diameter_avp *sgsn, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *cell = diameter_find_in(message, sgsn, AVP_CELL_GLOBAL_IDENTITY);
    const diameter_avp *area = diameter_find_in(message, sgsn, AVP_ROUTING_AREA_IDENTITY);
    put_u32(out, LOCATION_AGE, diameter_find_in(message, sgsn, AVP_AGE_OF_LOCATION_INFORMATION));
    if (!put_place(out, LOCATION_CELL, cell, CGI_BYTES, 2, wrong) || !put_place(out, LOCATION_ROUTING_AREA, area, CGI_BYTES, 2, wrong))
        return false;
    return put_network_of(out, area) || put_network_of(out, cell) || true;
}

bool report_put_location(const diameter_message *message, const diameter_avp *location, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *mme = diameter_find_in(message, location, AVP_MME_LOCATION_INFORMATION);
    const diameter_avp *sgsn = diameter_find_in(message, location, AVP_SGSN_LOCATION_INFORMATION);
    size_t object = t8_object_begin(out, REPORT_LOCATION);
    bool is_good = mme != NULL ? put_mme_location(message, mme, out, wrong) : sgsn == NULL || put_sgsn_location(message, sgsn, out, wrong);
    t8_object_end(out, object);
    return is_good;
}

/* ---- idle ---- */

/* Seconds of an extended idle mode DRX cycle by its code (TS 24.008, table 10.5.5.32, *unverified*), wide band; narrow band
 * has only some of them, and stands for the third with all others. */
static double cycle_seconds(const diameter_avp *value, uint32_t rat_type)
{
    static const double wide[] = { 5.12, 10.24, 20.48, 40.96, 61.44, 81.92, 102.4, 122.88, 143.36, 163.84, 327.68, 655.36, 1310.72, 2621.44, 5242.88, 10485.76 };
    enum { NARROW_BAND = 1005, NARROW_CODES = 0xfe2c /* bits: 2, 3, 5, 9 to 15 */ };
    uint32_t code = value == NULL || value->length == 0 ? 0 : value->data[value->length - 1] & 0xf;
    return wide[rat_type == NARROW_BAND && !(NARROW_CODES >> code & 1) ? 2 : code];
}

static void put_idle(const diameter_message *message, const diameter_avp *idle, dro_builder *out)
{
    const diameter_avp *cycle = diameter_find_in(message, idle, AVP_EDRX_CYCLE_LENGTH);
    size_t object = t8_object_begin(out, REPORT_IDLE_STATUS);
    put_u32(out, IDLE_ACTIVE_TIME, diameter_find_in(message, idle, AVP_ACTIVE_TIME));
    if (cycle != NULL) {
        double seconds = cycle_seconds(diameter_find_in(message, cycle, AVP_EDRX_CYCLE_LENGTH_VALUE),
                                       diameter_u32(diameter_find_in(message, cycle, AVP_RAT_TYPE)));
        dro_field_put(out, IDLE_EDRX_CYCLE, &seconds, sizeof seconds);
    }
    put_u32(out, IDLE_PACKETS, diameter_find_in(message, idle, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT));
    put_time(out, IDLE_TIME, diameter_find_in(message, idle, AVP_IDLE_STATUS_TIMESTAMP));
    put_u32(out, IDLE_PERIODIC_TIMER, diameter_find_in(message, idle, AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER));
    t8_object_end(out, object);
}

/* ---- connections ---- */

static bool put_address(const diameter_avp *address, dro_builder *out)
{
    char text[INET6_ADDRSTRLEN];
    uint32_t family = address->length < 2 ? 0 : (uint32_t)address->data[0] << 8 | address->data[1];
    if (family == IPV4_FAMILY && address->length == 6 && inet_ntop(AF_INET, address->data + 2, text, sizeof text) != NULL)
        dro_field_put_text(out, PDN_IPV4, text);
    else if (family == IPV6_FAMILY && address->length == 18 && inet_ntop(AF_INET6, address->data + 2, text, sizeof text) != NULL)
        dro_field_put_text(out, PDN_IPV6, text);
    else
        return false;
    return true;
}

/* A kind is always shown: without the AVP that says it by what else there is. */
static uint8_t kind_of_connection(const diameter_message *message, const diameter_avp *status, bool has_address)
{
    static const uint8_t kinds[] = { PDN_TYPE_IPV4, PDN_TYPE_IPV6, PDN_TYPE_IPV4V6, PDN_TYPE_IPV4V6 };
    const diameter_avp *kind = diameter_find_in(message, status, AVP_PDN_TYPE);
    const diameter_avp *indicator = diameter_find_in(message, status, AVP_NON_IP_PDN_TYPE_INDICATOR);
    bool is_non_ip = indicator != NULL ? diameter_u32(indicator) == VALUE_NON_IP_PDN_TYPE_INDICATOR_TRUE : kind == NULL && !has_address;
    return is_non_ip ? PDN_TYPE_NON_IP : kind == NULL ? PDN_TYPE_IPV4V6 : kinds[diameter_u32(kind)];
}

static bool put_connection(const diameter_message *message, const diameter_avp *status, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *type = diameter_find_in(message, status, AVP_PDN_CONNECTIVITY_STATUS_TYPE);
    const diameter_avp *apn = diameter_find_in(message, status, AVP_SERVICE_SELECTION);
    const diameter_avp *way = diameter_find_in(message, status, AVP_NON_IP_DATA_DELIVERY_MECHANISM);
    const diameter_avp *address = diameter_find_in(message, status, AVP_SERVED_PARTY_IP_ADDRESS);
    if (!is_known(type, wrong) || !is_known(way, wrong) || !is_known(diameter_find_in(message, status, AVP_PDN_TYPE), wrong) ||
        !is_known(diameter_find_in(message, status, AVP_NON_IP_PDN_TYPE_INDICATOR), wrong))
        return false;
    *wrong = apn;
    if (apn->length == 0 || apn->length > T8_TEXT_MAX)
        return false;
    size_t object = t8_object_begin(out, REPORT_PDN);
    t8_put_byte(out, PDN_STATUS, diameter_u32(type) == VALUE_PDN_CONNECTIVITY_STATUS_TYPE_CREATED ? PDN_STATUS_CREATED : PDN_STATUS_RELEASED);
    dro_field_put(out, PDN_APN, apn->data, apn->length);
    t8_put_byte(out, PDN_TYPE, kind_of_connection(message, status, address != NULL));
    if (way != NULL)
        t8_put_byte(out, PDN_INTERFACE, diameter_u32(way) == VALUE_NON_IP_DATA_DELIVERY_MECHANISM_SCEF ? PDN_INTERFACE_EXPOSURE_FUNCTION
                                                                                                       : PDN_INTERFACE_PDN_GATEWAY);
    bool is_good = true;
    for (; address != NULL && is_good; address = diameter_find_next(message, address)) {
        *wrong = address;
        is_good = put_address(address, out);
    }
    t8_object_end(out, object);
    return is_good;
}

/* ---- a report ---- */

/* TS 29.336's types in the order of T8's, but those with an idle status beside them. */
static uint8_t type_of(uint32_t type)
{
    switch (type) {
    case VALUE_MONITORING_TYPE_UE_REACHABILITY_AND_IDLE_STATUS_INDICATION: return MONITORING_UE_REACHABILITY;
    case VALUE_MONITORING_TYPE_AVAILABILITY_AFTER_DDN_FAILURE_AND_IDLE_STATUS_INDICATION: return MONITORING_AVAILABILITY_AFTER_DDN_FAILURE;
    case VALUE_MONITORING_TYPE_PDN_CONNECTIVITY_STATUS: return MONITORING_PDN_CONNECTIVITY_STATUS;
    default: return (uint8_t)type;
    }
}
_Static_assert((int)MONITORING_NUMBER_OF_UES_IN_AN_AREA == (int)VALUE_MONITORING_TYPE_NUMBER_OF_UES_PRESENT_IN_A_GEOGRAPHICAL_AREA,
               "the first eight types are in the same order");

static void put_failure(const diameter_message *message, const diameter_avp *failure, dro_builder *out)
{
    size_t object = t8_object_begin(out, REPORT_FAILURE);
    put_u32(out, FAILURE_BSSGP, diameter_find_in(message, failure, AVP_BSSGP_CAUSE));
    put_u32(out, FAILURE_TYPE, diameter_find_in(message, failure, AVP_CAUSE_TYPE));
    put_u32(out, FAILURE_GMM, diameter_find_in(message, failure, AVP_GMM_CAUSE));
    put_u32(out, FAILURE_RANAP, diameter_find_in(message, failure, AVP_RANAP_CAUSE));
    put_u32(out, FAILURE_S1AP, diameter_find_in(message, failure, AVP_S1AP_CAUSE));
    put_u32(out, FAILURE_SM, diameter_find_in(message, failure, AVP_SM_CAUSE));
    t8_object_end(out, object);
}

static bool has_known_values(const diameter_message *message, const diameter_avp *report, const diameter_avp **wrong)
{
    static const diameter_name names[] = { AVP_MONITORING_TYPE, AVP_LOSS_OF_CONNECTIVITY_REASON, AVP_REACHABILITY_INFORMATION, AVP_ROAMING_INFORMATION,
                                           AVP_EVENT_HANDLING, AVP_REACHABILITY_CAUSE };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!is_known(diameter_find_in(message, report, names[i]), wrong))
            return false;
    return true;
}

static void put_words(const diameter_message *message, const diameter_avp *report, dro_builder *out)
{
    const diameter_avp *type = diameter_find_in(message, report, AVP_MONITORING_TYPE);
    const diameter_avp *change = diameter_find_in(message, report, AVP_IMEI_CHANGE);
    const diameter_avp *reachability = diameter_find_in(message, report, AVP_REACHABILITY_INFORMATION);
    const diameter_avp *roaming = diameter_find_in(message, report, AVP_ROAMING_INFORMATION);
    if (type != NULL)
        t8_put_byte(out, REPORT_TYPE, type_of(diameter_u32(type)));
    put_time(out, REPORT_TIME, diameter_find_in(message, report, AVP_REPORTING_TIME_STAMP));
    if (change != NULL)
        t8_put_byte(out, REPORT_IMEI_CHANGE, diameter_u32(change) & VALUE_IMEI_CHANGE_IMEI ? ASSOCIATION_IMEI : ASSOCIATION_IMEISV);
    put_u32(out, REPORT_LOSS_REASON, diameter_find_in(message, report, AVP_LOSS_OF_CONNECTIVITY_REASON));
    put_time(out, REPORT_AVAILABLE_UNTIL, diameter_find_in(message, report, AVP_MAXIMUM_UE_AVAILABILITY_TIME));
    if (reachability != NULL)
        t8_put_byte(out, REPORT_REACHABILITY, diameter_u32(reachability) == VALUE_REACHABILITY_INFORMATION_REACHABLE_FOR_SMS ? REACHABILITY_SMS : REACHABILITY_DATA);
    if (roaming != NULL)
        t8_put_byte(out, REPORT_ROAMING, diameter_u32(roaming) == VALUE_ROAMING_INFORMATION_SUBSCRIBER_ROAMING);
}

bool report_put(const diameter_message *message, const diameter_avp *report, dro_builder *out, const diameter_avp **wrong)
{
    const diameter_avp *idle = diameter_find_in(message, report, AVP_IDLE_STATUS_INDICATION);
    const diameter_avp *location = diameter_find_in(message, report, AVP_EPS_LOCATION_INFORMATION);
    const diameter_avp *visited = diameter_find_in(message, report, AVP_VISITED_PLMN_ID);
    const diameter_avp *failure = diameter_find_in(message, report, AVP_COMMUNICATION_FAILURE_INFORMATION);
    const diameter_avp *status = diameter_find_in(message, report, AVP_PDN_CONNECTIVITY_STATUS_REPORT);
    if (!has_known_values(message, report, wrong))
        return false;
    put_words(message, report, out);
    if (idle != NULL)
        put_idle(message, idle, out);
    if (location != NULL && !report_put_location(message, location, out, wrong))
        return false;
    *wrong = visited;
    if (visited != NULL && !put_visited(visited, out))
        return false;
    if (failure != NULL)
        put_failure(message, failure, out);
    for (; status != NULL; status = diameter_find_next(message, status))
        if (!put_connection(message, status, out, wrong))
            return false;
    return true;
}

enum inquiry_verdict report_verdict(const diameter_message *message, const diameter_avp *around, uint32_t *code)
{
    enum inquiry_verdict first = VERDICT_DONE;
    const diameter_avp *report = diameter_find_in(message, around, AVP_SERVICE_REPORT);
    for (; report != NULL; report = diameter_find_next(message, report)) {
        const diameter_avp *result = diameter_find_in(message, report, AVP_SERVICE_RESULT);
        uint32_t vendor = diameter_u32(diameter_find_in(message, result, AVP_VENDOR_ID));
        uint32_t number = diameter_u32(diameter_find_in(message, result, AVP_SERVICE_RESULT_CODE));
        bool is_base = vendor == 0 || number < 5000;
        enum inquiry_verdict verdict = number == 0 ? VERDICT_DONE : inquiry_verdict_of(is_base ? number : 0, is_base ? 0 : number);
        if (verdict == VERDICT_DONE)
            return VERDICT_DONE; /* of several nodes one has it */
        if (first == VERDICT_DONE) {
            first = verdict;
            *code = number;
        }
    }
    return first;
}

static enum told_kind told_kind_of(const diameter_message *message, const diameter_avp *report)
{
    const diameter_avp *handling = diameter_find_in(message, report, AVP_EVENT_HANDLING);
    uint32_t value = diameter_u32(handling);
    return handling == NULL ? TOLD_EVENT : value == VALUE_EVENT_HANDLING_CANCEL ? TOLD_ENDED : value == VALUE_EVENT_HANDLING_SUSPEND ? TOLD_SUSPENDED : TOLD_RESUMED;
}

/* Does a report say more than what it is about? */
static bool has_event(const diameter_message *message, const diameter_avp *report)
{
    static const diameter_name names[] = {
        AVP_VISITED_PLMN_ID, AVP_ROAMING_INFORMATION, AVP_IMEI_CHANGE, AVP_REACHABILITY_INFORMATION, AVP_MAXIMUM_UE_AVAILABILITY_TIME,
        AVP_EPS_LOCATION_INFORMATION, AVP_IDLE_STATUS_INDICATION, AVP_LOSS_OF_CONNECTIVITY_REASON, AVP_PDN_CONNECTIVITY_STATUS_REPORT,
        AVP_COMMUNICATION_FAILURE_INFORMATION, AVP_NUMBER_OF_UE_PER_LOCATION_REPORT,
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (diameter_find_in(message, report, names[i]) != NULL)
            return true;
    return false;
}

bool report_put_told(const diameter_message *message, const diameter_avp *report, dro_builder *out, const diameter_avp **wrong)
{
    enum told_kind kind = told_kind_of(message, report);
    bool has_results = diameter_find_in(message, report, AVP_SERVICE_REPORT) != NULL;
    bool is_applied = diameter_find_in(message, report, AVP_UPDATED_NETWORK_CONFIGURATION) != NULL;
    uint32_t code;
    if (kind == TOLD_EVENT && (has_results || is_applied) && !has_event(message, report))
        kind = is_applied ? TOLD_APPLIED : TOLD_RESULT;
    size_t told = t8_object_begin(out, API_FIELD_TOLD);
    t8_put_byte(out, TOLD_FIELD_KIND, (uint8_t)kind);
    if (kind == TOLD_RESULT)
        t8_put_byte(out, TOLD_FIELD_VERDICT, (uint8_t)report_verdict(message, report, &code));
    size_t object = t8_object_begin(out, TOLD_FIELD_REPORT);
    bool is_good = report_put(message, report, out, wrong);
    t8_object_end(out, object);
    t8_object_end(out, told);
    return is_good;
}

/* ---- Reporting-Information-Request ---- */

/* What is answered once the cores have it. One allocation. */
typedef struct report_status { uint32_t begin, length, verdict; } report_status;
struct pending_reports {
    uint32_t count, left;        /* statuses; messages whose answer is awaited */
    bool is_busy;                /* a core could not take one */
    report_status list[REPORTS_MAX];
    uint8_t bytes[];             /* the AVPs that name each report */
};

typedef struct reading {         /* of one request */
    diameter_peer *peer;
    const diameter_message *request;
    dro_builder messages;        /* length u32, core u32, then the message; padded to 8 */
    dro_builder names;           /* of reports */
    struct pending_reports *reports;
    uint32_t count;              /* of messages */
    bool is_too_long;            /* a message, for the ring */
    size_t bytes[GATE_CORES_MAX]; /* for each core, with the heads of ring messages */
} reading;
typedef struct message_head { uint32_t length, core; } message_head;

static uint32_t home_of_reference(const gate_config *config, uint32_t reference)
{
    uint32_t partition = reference >> 20;
    return config->core_count == 1 || partition == 0 ? 0 : directory_core(config->directory, partition);
}

/* Of the node, its request and the message's place among those of it: a repetition has the same. */
static uint64_t number_of(const reading *reading)
{
    const diameter_avp *host = diameter_find(reading->request, AVP_ORIGIN_HOST);
    uint64_t hash = gate_identity_hash((const char *)host->data, host->length);
    return dro_hash_mix(hash << 32 | reading->request->header.end_to_end, reading->count + 1);
}

/* Where a message begins; its fields follow. `place`: of the report that it is of, NO_PLACE: of none. */
static size_t message_begin(reading *reading, uint32_t reference, uint16_t place, uint8_t kinds)
{
    network_report head = { .number = number_of(reading), .reference = reference, .place = place, .kinds = kinds };
    size_t begin = dro_builder_length(&reading->messages);
    dro_builder_bytes(&reading->messages, &(message_head){ 0 }, sizeof(message_head));
    dro_builder_bytes(&reading->messages, &head, sizeof head);
    reading->count++;
    return begin;
}

static void message_end(reading *reading, size_t begin, uint32_t core)
{
    dro_builder *out = &reading->messages;
    t6a_put_imsis(reading->peer, out);
    if (out->err != DRO_OK)
        return;
    dro_field_pad(out);
    message_head head = { (uint32_t)(dro_builder_length(out) - begin - sizeof head), core };
    if (out->err == DRO_OK)
        memcpy(out->start + begin, &head, sizeof head);
    reading->is_too_long |= head.length > ring_body_max(&reading->peer->gate->config->to_core[core]);
    reading->bytes[core] += head.length + sizeof(ring_header);
}

/* The AVPs that name a report in its status: as they came, and who we are where it does not say. */
static void put_name(reading *reading, const diameter_avp *report)
{
    const diameter_avp *extended = diameter_find_in(reading->request, report, AVP_SCEF_REFERENCE_ID_EXT);
    const diameter_avp *scef = diameter_find_in(reading->request, report, AVP_SCEF_ID);
    report_status *status = &reading->reports->list[reading->reports->count++];
    status->begin = (uint32_t)dro_builder_length(&reading->names);
    diameter_put_u32(&reading->names, AVP_SCEF_REFERENCE_ID, diameter_u32(diameter_find_in(reading->request, report, AVP_SCEF_REFERENCE_ID)));
    if (extended != NULL)
        diameter_put_u64(&reading->names, AVP_SCEF_REFERENCE_ID_EXT, diameter_u64(extended));
    if (scef != NULL)
        diameter_put(&reading->names, AVP_SCEF_ID, scef->data, scef->length);
    else
        diameter_put_text(&reading->names, AVP_SCEF_ID, reading->peer->gate->config->identity);
    status->length = (uint32_t)dro_builder_length(&reading->names) - status->begin;
    status->verdict = VERDICT_BUSY;
}

/* A group has devices that are not a limited peer's: of one of them it speaks by its IMSI. */
static bool judge_group(const reading *reading, uint32_t reference, const diameter_avp *user)
{
    return reference >> 19 != 1 || t6a_judge_named(reading->peer, diameter_find_in(reading->request, user, AVP_USER_NAME));
}

/* References end that a report says are gone with it. They have no status of their own. */
static bool put_ended(reading *reading, const diameter_avp *report)
{
    const diameter_avp *gone = diameter_find_in(reading->request, report, AVP_SCEF_REFERENCE_ID_FOR_DELETION);
    for (; gone != NULL; gone = diameter_find_next(reading->request, gone)) {
        uint32_t reference = diameter_u32(gone);
        if (!judge_group(reading, reference, NULL))
            return false;
        size_t begin = message_begin(reading, reference, NO_PLACE, 0);
        size_t told = t8_object_begin(&reading->messages, API_FIELD_TOLD);
        t8_put_byte(&reading->messages, TOLD_FIELD_KIND, TOLD_ENDED);
        t8_object_end(&reading->messages, told);
        message_end(reading, begin, home_of_reference(reading->peer->gate->config, reference));
    }
    return true;
}

static bool refuse(const reading *reading, const diameter_avp *wrong)
{
    return t6a_refuse_avp(reading->peer, DIAMETER_INVALID_AVP_VALUE, reading->request, wrong);
}

/* A listed peer speaks of its own devices. */
static bool judge_user(const reading *reading, const diameter_avp *user)
{
    char imsi[IMSI_DIGITS_MAX + 1];
    bool is_good = !t6a_imsi(diameter_find_in(reading->request, user, AVP_USER_NAME), imsi) || t6a_judge_user(reading->peer, imsi, NULL);
    dro_wipe(imsi, sizeof imsi);
    return is_good;
}

/* Names of the device, from a User-Identifier; NULL: none. */
static bool put_user(reading *reading, const diameter_avp *user)
{
    const diameter_avp *wrong;
    if (user != NULL && !judge_user(reading, user))
        return false;
    return user == NULL || s6t_put_identities(reading->request, user, &reading->messages, &wrong) || refuse(reading, wrong);
}

/* What was written last, about a member of a group, goes to its twin too. */
static void put_copy(reading *reading, size_t first, size_t fields, size_t names)
{
    dro_builder *out = &reading->messages;
    size_t length = dro_builder_length(out) - fields;
    network_report head;
    if (out->err != DRO_OK || (size_t)(out->end - out->at) < sizeof(message_head) + sizeof head + length) {
        out->err = DRO_LIMIT;
        return;
    }
    memcpy(&head, out->start + first + sizeof(message_head), sizeof head);
    size_t begin = message_begin(reading, head.reference, NO_PLACE, 0);
    head = (network_report){ .number = head.number, .reference = head.reference, .place = NO_PLACE, .is_copy = 1 };
    memcpy(out->start + begin + sizeof(message_head), &head, sizeof head);
    dro_builder_bytes(out, out->start + fields, length);
    message_end(reading, begin, s6t_home_of(reading->peer->gate->config, out->start + fields, names));
}

/* A report, or an item of a group's. */
static bool put_one(reading *reading, uint32_t reference, const diameter_avp *report, const diameter_avp *user)
{
    const diameter_avp *wrong;
    uint16_t place = (uint16_t)(reading->reports->count - 1);
    size_t begin = message_begin(reading, reference, place, 0), fields = dro_builder_length(&reading->messages);
    if (!judge_group(reading, reference, user) || !put_user(reading, user))
        return false;
    size_t names = dro_builder_length(&reading->messages) - fields;
    if (!report_put_told(reading->request, report, &reading->messages, &wrong))
        return refuse(reading, wrong);
    s6t_read_configuration(reading->request, diameter_find_in(reading->request, report, AVP_UPDATED_NETWORK_CONFIGURATION), &reading->messages);
    message_end(reading, begin, home_of_reference(reading->peer->gate->config, reference));
    if (names > 0 && reference >> 19 == 1)
        put_copy(reading, begin, fields, names);
    return true;
}

static bool put_group(reading *reading, const diameter_avp *report)
{
    uint32_t reference = diameter_u32(diameter_find_in(reading->request, report, AVP_SCEF_REFERENCE_ID));
    const diameter_avp *item = diameter_find_in(reading->request, report, AVP_GROUP_REPORT_ITEM);
    put_name(reading, report);
    reading->reports->list[reading->reports->count - 1].verdict = item == NULL ? VERDICT_DONE : VERDICT_NOT_THERE; /* until one of its messages knows */
    for (; item != NULL; item = diameter_find_next(reading->request, item))
        if (!put_one(reading, reference, item, diameter_find_in(reading->request, item, AVP_USER_IDENTIFIER)))
            return false;
    return true;
}

static bool put_reports(reading *reading)
{
    const diameter_message *request = reading->request;
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER);
    const diameter_avp *report = diameter_find(request, AVP_MONITORING_EVENT_REPORT);
    for (; report != NULL; report = diameter_find_next(request, report)) {
        put_name(reading, report);
        if (!put_one(reading, diameter_u32(diameter_find_in(request, report, AVP_SCEF_REFERENCE_ID)), report, user))
            return false;
    }
    for (report = diameter_find(request, AVP_GROUP_REPORT); report != NULL; report = diameter_find_next(request, report))
        if (!put_group(reading, report))
            return false;
    return true;
}

/* What ends with reports. */
static bool put_all_ended(reading *reading)
{
    const diameter_message *request = reading->request;
    const diameter_avp *report = diameter_find(request, AVP_MONITORING_EVENT_REPORT);
    bool is_good = true;
    for (; report != NULL && is_good; report = diameter_find_next(request, report))
        is_good = put_ended(reading, report);
    for (report = diameter_find(request, AVP_GROUP_REPORT); report != NULL && is_good; report = diameter_find_next(request, report)) {
        const diameter_avp *item = diameter_find_in(request, report, AVP_GROUP_REPORT_ITEM);
        for (; item != NULL && is_good; item = diameter_find_next(request, item))
            is_good = put_ended(reading, item);
    }
    return is_good;
}

/* RIR-Flags: all that the device has of a kind is over. */
static bool put_cancelled(reading *reading)
{
    uint32_t flags = diameter_u32(diameter_find(reading->request, AVP_RIR_FLAGS));
    uint8_t kinds = (uint8_t)((flags & VALUE_RIR_FLAGS_ALL_MONITORING_EVENTS_CANCELLED ? 1u << EXPOSURE_MONITORING : 0) |
                              (flags & VALUE_RIR_FLAGS_ALL_COMMUNICATION_PATTERNS_CANCELLED ? 1u << EXPOSURE_PATTERNS : 0) |
                              (flags & VALUE_RIR_FLAGS_ALL_NETWORK_PARAMETERS_CANCELLED ? 1u << EXPOSURE_PARAMETERS : 0));
    if (kinds == 0)
        return true;
    if (!t6a_judge_named(reading->peer, diameter_find_in(reading->request, diameter_find(reading->request, AVP_USER_IDENTIFIER), AVP_USER_NAME)))
        return false;
    size_t begin = message_begin(reading, 0, NO_PLACE, kinds), fields = dro_builder_length(&reading->messages);
    if (!put_user(reading, diameter_find(reading->request, AVP_USER_IDENTIFIER)))
        return false;
    size_t names = dro_builder_length(&reading->messages) - fields;
    if (names == 0)
        return t6a_refuse_missing(reading->peer, AVP_USER_IDENTIFIER, AVP_EXTERNAL_IDENTIFIER);
    message_end(reading, begin, s6t_home_of(reading->peer->gate->config, reading->messages.start + fields, names));
    return true;
}

/* Updated-Network-Configuration: what the HSS made of what was suggested. */
static bool put_applied(reading *reading)
{
    const diameter_message *request = reading->request;
    const diameter_avp *updated = diameter_find(request, AVP_UPDATED_NETWORK_CONFIGURATION);
    const diameter_avp *named = diameter_find_in(request, updated, AVP_SCEF_REFERENCE_ID);
    if (updated != NULL && !put_ended(reading, updated))
        return false;
    if (named == NULL)
        return true;
    if (!judge_group(reading, diameter_u32(named), diameter_find(request, AVP_USER_IDENTIFIER)))
        return false;
    size_t begin = message_begin(reading, diameter_u32(named), NO_PLACE, 0);
    size_t told = t8_object_begin(&reading->messages, API_FIELD_TOLD);
    t8_put_byte(&reading->messages, TOLD_FIELD_KIND, TOLD_APPLIED);
    t8_object_end(&reading->messages, told);
    s6t_read_configuration(request, updated, &reading->messages);
    message_end(reading, begin, home_of_reference(reading->peer->gate->config, diameter_u32(named)));
    return true;
}

static bool read_all(reading *reading)
{
    if (!put_reports(reading) || !put_applied(reading) || !put_all_ended(reading) || !put_cancelled(reading))
        return false;
    if (reading->messages.err != DRO_OK || reading->names.err != DRO_OK || reading->is_too_long)
        return t6a_refuse(reading->peer, DIAMETER_UNABLE_TO_COMPLY);
    return true;
}

/* All of them or none: every core has room. */
static bool has_room(const reading *reading)
{
    const gate_config *config = reading->peer->gate->config;
    for (uint32_t i = 0; i < config->core_count; i++)
        if (reading->bytes[i] > 0 && !busy_has_space(reading->peer, &config->to_core[i], (uint32_t)reading->bytes[i]))
            return false;
    return true;
}

static void send_all(const reading *reading, uint64_t id, struct pending_reports *reports)
{
    const uint8_t *at = reading->messages.start;
    for (uint32_t i = 0; i < reading->count; i++) {
        message_head head;
        memcpy(&head, at, sizeof head);
        ring_writer *ring = &reading->peer->gate->config->to_core[head.core];
        uint8_t *body = ring_reserve(ring, head.length);
        if (body != NULL) {
            memcpy(body, at + sizeof head, head.length);
            ring_commit(ring, MESSAGE_NETWORK_REPORT, RING_WIPE, id, head.length);
        } else { /* what is left up to the ring's end was too little */
            reports->left--;
            reports->is_busy = true;
        }
        at += sizeof head + head.length;
    }
}

/* ---- the answer ---- */

static void put_statuses(const struct pending_reports *reports, dro_builder *out)
{
    for (uint32_t i = 0; i < reports->count; i++) {
        const report_status *status = &reports->list[i];
        size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_REPORT_STATUS);
        dro_builder_bytes(out, reports->bytes + status->begin, status->length);
        if (status->verdict == VERDICT_NOT_THERE)
            diameter_put_u32(out, AVP_EXPERIMENTAL_RESULT_CODE, DIAMETER_ERROR_SCEF_REFERENCE_ID_UNKNOWN);
        else
            diameter_put_u32(out, AVP_RESULT_CODE, status->verdict == VERDICT_DONE ? DIAMETER_SUCCESS : DIAMETER_UNABLE_TO_COMPLY);
        diameter_group_end(out, group);
    }
}

/* 3004 where a core was busy: the node sends it again, and what was kept is not kept twice. An answer to nothing but
 * unknown references says so itself. */
static void answer(diameter_gate *gate, pending_incoming *entry)
{
    const struct pending_reports *reports = entry->reports;
    uint32_t unknown = 0;
    if (reports->is_busy) {
        t6a_answer(gate, entry, DIAMETER_TOO_BUSY, 0);
        return;
    }
    for (uint32_t i = 0; i < reports->count; i++)
        unknown += reports->list[i].verdict == VERDICT_NOT_THERE;
    bool is_unknown = reports->count > 0 && unknown == reports->count;
    size_t most = ANSWER_BYTES;
    for (uint32_t i = 0; i < reports->count; i++)
        most += STATUS_BYTES + reports->list[i].length;
    t6a_answer_with(gate, entry, &(t6a_answer_more){ .result = is_unknown ? 0 : DIAMETER_SUCCESS,
                                                     .experimental = is_unknown ? DIAMETER_ERROR_SCEF_REFERENCE_ID_UNKNOWN : 0,
                                                     .put = put_statuses, .of = reports, .most = most });
}

/* ---- taken ---- */

static bool read_and_send(reading *reading, const diameter_command *command)
{
    diameter_gate *gate = reading->peer->gate;
    uint64_t id;
    if (!read_all(reading))
        return false;
    if (!has_room(reading))
        return t6a_refuse_busy(reading->peer, reading->request);
    pending_incoming *entry = t6a_keep(reading->peer, reading->request, command, &id);
    if (entry == NULL)
        return false;
    entry->reports = reading->reports;
    reading->reports = NULL; /* the entry's now */
    entry->reports->left = reading->count;
    send_all(reading, id, entry->reports);
    if (entry->reports->left == 0)
        answer(gate, entry);
    return true;
}

bool report_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    size_t names = STATUS_BYTES;
    for (const diameter_avp *avp = request->avps; avp < request->avps + request->count; avp++)
        if (avp->name == AVP_MONITORING_EVENT_REPORT || avp->name == AVP_GROUP_REPORT)
            names += STATUS_BYTES + DIAMETER_IDENTITY_MAX;
    reading reading = { .peer = peer, .request = request, .messages = dro_builder_over(gate->members, sizeof gate->members),
                        .reports = calloc(1, sizeof *reading.reports + names) };
    if (reading.reports == NULL)
        return t6a_refuse(peer, DIAMETER_TOO_BUSY);
    reading.names = dro_builder_over(reading.reports->bytes, names);
    bool is_taken = read_and_send(&reading, command);
    dro_wipe(gate->members, dro_builder_length(&reading.messages));
    free(reading.reports);
    return is_taken;
}

void report_on_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length)
{
    report_answer told;
    pending_incoming *entry = pending_find_incoming(gate->pending, id);
    if (length < sizeof told || (entry != NULL && entry->reports == NULL)) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_BAD_CORE_MESSAGE);
        return;
    }
    if (entry == NULL) {
        diameter_count_drop(&gate->counts, DIAMETER_DROP_CORE_LATE);
        return;
    }
    memcpy(&told, body, sizeof told);
    if (told.place < entry->reports->count && entry->reports->list[told.place].verdict != VERDICT_DONE)
        entry->reports->list[told.place].verdict = told.verdict;
    entry->reports->is_busy |= told.verdict == VERDICT_BUSY;
    if (--entry->reports->left == 0)
        answer(gate, entry);
}
