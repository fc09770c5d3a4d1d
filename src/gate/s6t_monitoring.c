/* Monitoring events as questions: Configuration-Information of S6t (TS 29.336 8.2.3) to an HSS, and of T6a (TS 29.128 5.6)
 * to a serving node, about how many devices are in an area. */
#include <stdlib.h>
#include <string.h>

#include "gate/inquiry.h"
#include "gate/report.h"
#include "twin/plmn.h"
#include "twin/t8_monitoring.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum { LAST_SECOND = UINT32_MAX };

typedef struct wanted { const uint8_t *fields; size_t length; } wanted; /* of the T8 subscription */

static bool has(const wanted *wanted, uint32_t tag)
{
    dro_field room;
    return t8_find(wanted->fields, wanted->length, tag, &room) != NULL;
}

static void put_seconds(dro_builder *out, diameter_name name, const wanted *wanted, uint32_t tag)
{
    if (has(wanted, tag))
        diameter_put_u32(out, name, (uint32_t)t8_integer(wanted->fields, wanted->length, tag, 0));
}

static uint32_t option_of(const wanted *wanted, uint32_t tag, uint32_t absent)
{
    return t8_option(wanted->fields, wanted->length, tag, absent);
}

/* Monitoring-Type: T8's in TS 29.336's order, those with an idle status are types of their own. */
static uint32_t type_of(const wanted *wanted)
{
    uint32_t type = option_of(wanted, MONITORING_TYPE, 0);
    bool with_idle = option_of(wanted, MONITORING_IDLE_STATUS, 0) != 0;
    if (type == MONITORING_PDN_CONNECTIVITY_STATUS)
        return VALUE_MONITORING_TYPE_PDN_CONNECTIVITY_STATUS;
    if (with_idle && type == MONITORING_UE_REACHABILITY)
        return VALUE_MONITORING_TYPE_UE_REACHABILITY_AND_IDLE_STATUS_INDICATION;
    if (with_idle && type == MONITORING_AVAILABILITY_AFTER_DDN_FAILURE)
        return VALUE_MONITORING_TYPE_AVAILABILITY_AFTER_DDN_FAILURE_AND_IDLE_STATUS_INDICATION;
    return type;
}

static void put_reachability(const wanted *wanted, dro_builder *out)
{
    bool is_data = option_of(wanted, MONITORING_REACHABILITY, REACHABILITY_SMS) == REACHABILITY_DATA;
    size_t group = diameter_group_begin(out, AVP_UE_REACHABILITY_CONFIGURATION);
    diameter_put_u32(out, AVP_REACHABILITY_TYPE, is_data ? VALUE_REACHABILITY_TYPE_DATA : VALUE_REACHABILITY_TYPE_SMS);
    put_seconds(out, AVP_MAXIMUM_LATENCY, wanted, MONITORING_LATENCY);
    put_seconds(out, AVP_MAXIMUM_RESPONSE_TIME, wanted, MONITORING_RESPONSE_TIME);
    put_seconds(out, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT, wanted, MONITORING_PACKETS);
    diameter_group_end(out, group);
}

static void put_location(const wanted *wanted, dro_builder *out)
{
    static const uint32_t accuracies[] = { [ACCURACY_CGI_ECGI] = VALUE_ACCURACY_CGI_ECGI, [ACCURACY_ENODEB] = VALUE_ACCURACY_ENB,
                                           [ACCURACY_TA_RA] = VALUE_ACCURACY_LA_TA_RA, [ACCURACY_PLMN] = VALUE_ACCURACY_PLMN_ID };
    bool is_current = option_of(wanted, MONITORING_LOCATION, LOCATION_LAST_KNOWN) == LOCATION_CURRENT;
    uint32_t accuracy = option_of(wanted, MONITORING_ACCURACY, UINT32_MAX);
    size_t group = diameter_group_begin(out, AVP_LOCATION_INFORMATION_CONFIGURATION);
    diameter_put_u32(out, AVP_MONTE_LOCATION_TYPE, is_current ? VALUE_MONTE_LOCATION_TYPE_CURRENT_LOCATION : VALUE_MONTE_LOCATION_TYPE_LAST_KNOWN_LOCATION);
    if (accuracy < sizeof accuracies / sizeof accuracies[0])
        diameter_put_u32(out, AVP_ACCURACY, accuracies[accuracy]);
    put_seconds(out, AVP_PERIODIC_TIME, wanted, MONITORING_REPORT_INTERVAL);
    diameter_group_end(out, group);
}

static void put_of_type(const wanted *wanted, dro_builder *out)
{
    bool has_plmn = has(wanted, MONITORING_PLMN);
    switch (option_of(wanted, MONITORING_TYPE, MONITORING_TYPES)) {
    case MONITORING_LOSS_OF_CONNECTIVITY: put_seconds(out, AVP_MAXIMUM_DETECTION_TIME, wanted, MONITORING_DETECTION_TIME); break;
    case MONITORING_UE_REACHABILITY: put_reachability(wanted, out); break;
    case MONITORING_LOCATION_REPORTING: put_location(wanted, out); break;
    case MONITORING_CHANGE_OF_IMSI_IMEI_ASSOCIATION:
        diameter_put_u32(out, AVP_ASSOCIATION_TYPE, option_of(wanted, MONITORING_ASSOCIATION, ASSOCIATION_IMEI) == ASSOCIATION_IMEI
                         ? VALUE_ASSOCIATION_TYPE_IMEI_CHANGE : VALUE_ASSOCIATION_TYPE_IMEISV_CHANGE);
        break;
    case MONITORING_ROAMING_STATUS:
        if (has_plmn)
            diameter_put_u32(out, AVP_PLMN_ID_REQUESTED, option_of(wanted, MONITORING_PLMN, 1) != 0 ? VALUE_PLMN_ID_REQUESTED_TRUE : VALUE_PLMN_ID_REQUESTED_FALSE);
        break;
    case MONITORING_AVAILABILITY_AFTER_DDN_FAILURE:
        put_seconds(out, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT, wanted, MONITORING_PACKETS);
        break;
    default: break;
    }
}

static void put_provider(const wanted *wanted, dro_builder *out)
{
    dro_field room;
    const dro_field *provider = t8_find(wanted->fields, wanted->length, T8_FIELD_PROVIDER, &room);
    if (provider == NULL)
        return;
    size_t group = diameter_group_begin(out, AVP_MTC_PROVIDER_INFO);
    diameter_put(out, AVP_MTC_PROVIDER_ID, provider->bytes, provider->length);
    diameter_group_end(out, group);
}

/* Of which APN the connections are watched; all without. */
static void put_connections(const wanted *wanted, dro_builder *out)
{
    dro_field room;
    const dro_field *apn = t8_find(wanted->fields, wanted->length, MONITORING_DNN, &room);
    if (option_of(wanted, MONITORING_TYPE, MONITORING_TYPES) != MONITORING_PDN_CONNECTIVITY_STATUS)
        return;
    size_t group = diameter_group_begin(out, AVP_PDN_CONNECTIVITY_STATUS_CONFIGURATION);
    if (apn != NULL)
        diameter_put(out, AVP_SERVICE_SELECTION, apn->bytes, apn->length);
    diameter_group_end(out, group);
}

/* Members of a group that are not meant, or are again. */
static void put_members(const wanted *wanted, diameter_name name, uint32_t ids, uint32_t msisdns, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    if (!has(wanted, ids) && !has(wanted, msisdns))
        return;
    size_t group = diameter_group_begin(out, name);
    while (dro_field_next(&in, &field)) {
        char digits[DIAMETER_DIGITS_MAX + 1] = { 0 };
        if (field.tag == ids)
            diameter_put(out, AVP_EXTERNAL_IDENTIFIER, field.bytes, field.length);
        if (field.tag != msisdns || field.length > DIAMETER_DIGITS_MAX)
            continue;
        memcpy(digits, field.bytes, field.length);
        diameter_put_tbcd(out, AVP_MSISDN, digits);
    }
    diameter_group_end(out, group);
}

static void put_end(const wanted *wanted, dro_builder *out)
{
    int64_t until_ms = t8_integer(wanted->fields, wanted->length, MONITORING_EXPIRE_TIME, 0);
    if (option_of(wanted, MONITORING_TYPE, MONITORING_TYPES) != MONITORING_AVAILABILITY_AFTER_DDN_FAILURE)
        put_seconds(out, AVP_MAXIMUM_NUMBER_OF_REPORTS, wanted, MONITORING_REPORTS_MAX);
    if (until_ms > 0)
        diameter_put_time(out, AVP_MONITORING_DURATION, until_ms / 1000 > LAST_SECOND ? LAST_SECOND : (uint32_t)(until_ms / 1000));
}

static uint32_t number_in(const dro_field *field)
{
    uint32_t number = 0;
    if (field->length == sizeof number)
        memcpy(&number, field->bytes, sizeof number);
    return number;
}

/* References of what is to end. Without a new one the type is there because it must be. */
static void put_references(const diameter_gate *gate, const inquiry_question *asked, const wanted *wanted, dro_builder *out)
{
    dro_field reference = inquiry_field(asked, API_FIELD_REFERENCE), field;
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    if (reference.tag != 0)
        diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, number_in(&reference));
    diameter_put_text(out, AVP_SCEF_ID, gate->config->identity);
    diameter_put_u32(out, AVP_MONITORING_TYPE, type_of(wanted));
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_REFERENCE_GONE)
            diameter_put_u32(out, AVP_SCEF_REFERENCE_ID_FOR_DELETION, number_in(&field));
}

static wanted wanted_of(const inquiry_question *asked)
{
    dro_field resource = inquiry_field(asked, API_FIELD_RESOURCE);
    return (wanted){ resource.tag == 0 ? NULL : resource.bytes, resource.tag == 0 ? 0 : resource.length };
}

bool s6t_put_monitoring(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    wanted wanted = wanted_of(asked);
    bool is_new = inquiry_field(asked, API_FIELD_REFERENCE).tag != 0, ends_all = inquiry_field(asked, API_FIELD_ALL_GONE).tag != 0;
    if (!s6t_put_user(asked, out) || (is_new && option_of(&wanted, MONITORING_TYPE, MONITORING_TYPES) >= MONITORING_TYPES_REPORTED))
        return false;
    if (!ends_all) {
        size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_CONFIGURATION);
        put_references(gate, asked, &wanted, out);
        if (is_new) {
            put_end(&wanted, out);
            put_of_type(&wanted, out);
            put_provider(&wanted, out);
            put_connections(&wanted, out);
            put_members(&wanted, AVP_EXCLUDE_IDENTIFIERS, MONITORING_EXCLUDED_IDS, MONITORING_EXCLUDED_MSISDNS, out);
            put_members(&wanted, AVP_INCLUDE_IDENTIFIERS, MONITORING_ADDED_IDS, MONITORING_ADDED_MSISDNS, out);
        }
        diameter_group_end(out, group);
    } else {
        diameter_put_u32(out, AVP_CIR_FLAGS, VALUE_CIR_FLAGS_DELETE_ALL_MONITORING_EVENTS);
    }
    if (is_new && asked->request->group != 0)
        put_seconds(out, AVP_GROUP_REPORTING_GUARD_TIMER, &wanted, MONITORING_GUARD_TIME);
    return true;
}

/* ---- answers ---- */

/* What became of the reference that was asked about, beside the answer's own result. */
static void judge_status(const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told)
{
    const diameter_avp *status = diameter_find(message, AVP_MONITORING_EVENT_CONFIG_STATUS);
    for (; status != NULL && told->verdict == VERDICT_DONE; status = diameter_find_next(message, status)) {
        uint32_t reference = diameter_u32(diameter_find_in(message, status, AVP_SCEF_REFERENCE_ID));
        if (entry->reference == 0 || entry->reference == reference)
            told->verdict = report_verdict(message, status, &told->code);
    }
}

/* Reports at once, of the reference that was asked about; of all where it was asked about what is to end. */
static bool put_at_once(const pending_outgoing *entry, const diameter_message *message, dro_builder *fields)
{
    const diameter_avp *report = diameter_find(message, AVP_MONITORING_EVENT_REPORT), *wrong;
    for (; report != NULL; report = diameter_find_next(message, report)) {
        uint32_t reference = diameter_u32(diameter_find_in(message, report, AVP_SCEF_REFERENCE_ID));
        if (entry->reference != 0 && entry->reference != reference)
            continue;
        size_t object = t8_object_begin(fields, API_FIELD_REPORT);
        bool is_good = report_put(message, report, fields, &wrong);
        t8_object_end(fields, object);
        if (!is_good)
            return false;
    }
    return true;
}

bool s6t_read_monitoring(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    (void)gate;
    const diameter_avp *user = diameter_find(message, AVP_USER_IDENTIFIER), *count = diameter_find(message, AVP_NUMBER_OF_UES), *wrong;
    uint32_t number = diameter_u32(count);
    if (user != NULL && !s6t_put_identities(message, user, fields, &wrong))
        return false;
    if (count != NULL)
        dro_field_put(fields, API_FIELD_COUNT, &number, sizeof number);
    if (diameter_u32(diameter_find(message, AVP_CIA_FLAGS)) & VALUE_CIA_FLAGS_GROUP_CONFIGURATION_IN_PROGRESS)
        dro_field_put(fields, API_FIELD_IN_PROGRESS, NULL, 0);
    judge_status(entry, message, told);
    return put_at_once(entry, message, fields);
}

/* ---- an area ---- */

static void put_place(diameter_name name, const uint8_t network[PLMN_BYTES], uint32_t value, size_t bytes, dro_builder *out)
{
    uint8_t octets[PLMN_BYTES + 4];
    memcpy(octets, network, PLMN_BYTES);
    for (size_t i = 0; i < bytes; i++)
        octets[PLMN_BYTES + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    size_t around = diameter_group_begin(out, AVP_NUMBER_OF_UE_PER_LOCATION_CONFIGURATION);
    size_t location = diameter_group_begin(out, AVP_EPS_LOCATION_INFORMATION);
    size_t mme = diameter_group_begin(out, AVP_MME_LOCATION_INFORMATION);
    diameter_put(out, name, octets, PLMN_BYTES + bytes);
    diameter_group_end(out, mme);
    diameter_group_end(out, location);
    diameter_group_end(out, around);
}

/* False: none of the places is one that a serving node of E-UTRAN has. */
static bool put_places(const wanted *wanted, dro_builder *out)
{
    static const struct { uint32_t tag; size_t digits, bytes; diameter_name name; } kinds[] = {
        { AREA_CELLS, PLACE_CELL_DIGITS, 4, AVP_E_UTRAN_CELL_GLOBAL_IDENTITY }, { AREA_TRACKING_AREAS, PLACE_AREA_DIGITS, 2, AVP_TRACKING_AREA_IDENTITY },
        { AREA_ENODEBS, PLACE_ENODEB_DIGITS, 3, AVP_ENODEB_ID },
    };
    dro_field room, field;
    const dro_field *area = t8_find(wanted->fields, wanted->length, MONITORING_AREA, &room);
    uint32_t count = 0;
    dro_cursor in = dro_cursor_over(area == NULL ? NULL : area->bytes, area == NULL ? 0 : area->length);
    while (dro_field_next(&in, &field)) {
        uint8_t network[PLMN_BYTES];
        uint32_t value;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (kinds[i].tag == field.tag && plmn_place_read((const char *)field.bytes, field.length, kinds[i].digits, network, &value)) {
                put_place(kinds[i].name, network, value, kinds[i].bytes, out);
                count++;
            }
    }
    return count > 0;
}

bool t6a_put_area(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    wanted wanted = wanted_of(asked);
    dro_field reference = inquiry_field(asked, API_FIELD_REFERENCE);
    size_t group = diameter_group_begin(out, AVP_MONITORING_EVENT_CONFIGURATION);
    if (reference.tag != 0)
        diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, number_in(&reference));
    diameter_put_text(out, AVP_SCEF_ID, gate->config->identity);
    diameter_put_u32(out, AVP_MONITORING_TYPE, VALUE_MONITORING_TYPE_NUMBER_OF_UES_PRESENT_IN_A_GEOGRAPHICAL_AREA);
    bool is_good = put_places(&wanted, out);
    diameter_group_end(out, group);
    return is_good;
}

bool t6a_read_area(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    (void)gate;
    uint32_t count = 0;
    const diameter_avp *report = diameter_find(message, AVP_MONITORING_EVENT_REPORT);
    for (; report != NULL; report = diameter_find_next(message, report)) {
        const diameter_avp *place = diameter_find_in(message, report, AVP_NUMBER_OF_UE_PER_LOCATION_REPORT);
        for (; place != NULL; place = diameter_find_next(message, place)) {
            uint32_t more = diameter_u32(diameter_find_in(message, place, AVP_UE_COUNT));
            count = more > UINT32_MAX - count ? UINT32_MAX : count + more;
        }
    }
    judge_status(entry, message, told);
    dro_field_put(fields, API_FIELD_COUNT, &count, sizeof count);
    return true;
}
