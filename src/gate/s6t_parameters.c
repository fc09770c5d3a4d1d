/* Parameters of a device over S6t: Configuration-Information of TS 29.336, 8.2.1 and 8.2.2 with communication patterns
 * (8.4.25), a suggested network configuration (8.4.73) or a restriction of enhanced coverage (8.4.58). */
#include <string.h>

#include "base/wipe.h"
#include "gate/inquiry.h"
#include "twin/plmn.h"
#include "twin/t8_patterns.h"
#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    DAY_S = 24 * 3600,
    PLMNS_MAX = 64,               /* in one answer */
    STATUSES_MAX = 256,           /* the same */
    FLAG_COVERAGE_QUERY = 2,      /* CIR-Flags, bit 1 */
    BATTERY_NO = 1, BATTERY_REPLACEABLE = 2, BATTERY_RECHARGEABLE = 4, /* Battery-Indicator */
};

/* ---- units ---- */

uint32_t s6t_day_mask(uint32_t t8_days, int shift)
{
    uint32_t mask = 0;
    for (int day = 1; day <= 7; day++)
        if (t8_days & 1u << day)
            mask |= 1u << ((day + shift + 7) % 7); /* Sunday is 7 there, 0 here */
    return mask;
}

/* `count` digits at the start, or -1. */
static int digits(const char *text, size_t length, size_t count)
{
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= length || text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* HH:MM at the start in seconds, or -1. */
static int hours_and_minutes(const char *text, size_t length)
{
    int hours = digits(text, length, 2), minutes = length > 3 && text[2] == ':' ? digits(text + 3, length - 3, 2) : -1;
    return hours < 0 || hours > 23 || minutes < 0 || minutes > 59 ? -1 : hours * 3600 + minutes * 60;
}

bool s6t_time_of_day(const char *text, size_t length, uint32_t *seconds, int *shift)
{
    enum { WHOLE = 8 /* HH:MM:SS */, OFFSET = 6 /* +HH:MM */ };
    int since = hours_and_minutes(text, length), second = length >= WHOLE && text[5] == ':' ? digits(text + 6, length - 6, 2) : -1;
    size_t at = WHOLE;
    *shift = 0;
    if (since < 0 || second < 0 || second > 60)
        return false;
    since += second == 60 ? 59 : second; /* a leap second */
    if (at < length && text[at] == '.')
        for (at++; at < length && text[at] >= '0' && text[at] <= '9'; at++)
            ;
    if (length - at == OFFSET && (text[at] == '+' || text[at] == '-')) {
        int offset = hours_and_minutes(text + at + 1, OFFSET - 1);
        if (offset < 0)
            return false;
        since -= text[at] == '+' ? offset : -offset;
        at = length;
    } else if (length - at == 1 && (text[at] == 'Z' || text[at] == 'z')) {
        at = length;
    }
    *shift = since < 0 ? -1 : since >= DAY_S ? 1 : 0;
    *seconds = (uint32_t)(since - *shift * DAY_S);
    return at == length;
}

/* ---- what all of them have ---- */

static uint32_t number_of(const dro_field *field)
{
    uint32_t number = 0;
    if (field->length == sizeof number)
        memcpy(&number, field->bytes, sizeof number);
    return number;
}

static void put_scef(const diameter_gate *gate, dro_builder *out)
{
    diameter_put_text(out, AVP_SCEF_ID, gate->config->identity);
}

static void put_provider(const inquiry_question *asked, dro_builder *out)
{
    dro_field provider = inquiry_field(asked, API_FIELD_PROVIDER);
    if (provider.tag == 0)
        return;
    size_t group = diameter_group_begin(out, AVP_MTC_PROVIDER_INFO);
    diameter_put(out, AVP_MTC_PROVIDER_ID, provider.bytes, provider.length);
    diameter_group_end(out, group);
}

/* One AVP for each field of the tag, a u32. */
static void put_numbers(const inquiry_question *asked, uint32_t tag, diameter_name name, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == tag)
            diameter_put_u32(out, name, number_of(&field));
}

static void put_number(const inquiry_question *asked, uint32_t tag, diameter_name name, dro_builder *out)
{
    dro_field field = inquiry_field(asked, tag);
    if (field.tag != 0)
        diameter_put_u32(out, name, number_of(&field));
}

/* ---- communication patterns ---- */

static uint32_t days_of(const dro_field *times)
{
    dro_cursor in = dro_cursor_over(times->bytes, times->length);
    dro_field field;
    uint32_t days = 0;
    while (dro_field_next(&in, &field)) {
        int64_t day = 0;
        if (field.tag == TIMES_DAY && field.length == sizeof day)
            memcpy(&day, field.bytes, sizeof day);
        days |= day >= 1 && day <= 7 ? 1u << day : 0;
    }
    return days;
}

/* A start in another time zone may be on another day in UTC; then all its days are. */
static bool put_times(const dro_field *times, dro_builder *out)
{
    dro_field start, end;
    uint32_t from = 0, to = 0, days = days_of(times);
    int shift = 0, unused;
    bool has_start = t8_find(times->bytes, times->length, TIMES_START, &start) != NULL;
    bool has_end = t8_find(times->bytes, times->length, TIMES_END, &end) != NULL;
    if ((has_start && !s6t_time_of_day((const char *)start.bytes, start.length, &from, &shift)) ||
        (has_end && !s6t_time_of_day((const char *)end.bytes, end.length, &to, &unused)))
        return false;
    size_t group = diameter_group_begin(out, AVP_SCHEDULED_COMMUNICATION_TIME);
    if (days != 0)
        diameter_put_u32(out, AVP_DAY_OF_WEEK_MASK, s6t_day_mask(days, shift));
    if (has_start)
        diameter_put_u32(out, AVP_TIME_OF_DAY_START, from);
    if (has_end)
        diameter_put_u32(out, AVP_TIME_OF_DAY_END, to);
    diameter_group_end(out, group);
    return true;
}

static uint32_t battery_bit(uint32_t indication)
{
    switch (indication) {
    case BATTERY_RECHARGE: return BATTERY_RECHARGEABLE;
    case BATTERY_REPLACE: return BATTERY_REPLACEABLE;
    case BATTERY_NONE: return BATTERY_NO;
    default: return 0; /* that it is not so is the bit that is not set */
    }
}

/* What T8 counts in 64 bits has 32 here. */
static void put_seconds(const uint8_t *fields, size_t length, uint32_t tag, diameter_name name, dro_builder *out)
{
    int64_t seconds = t8_integer(fields, length, tag, -1);
    if (seconds >= 0)
        diameter_put_u32(out, name, seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds);
}

static void put_option(const uint8_t *fields, size_t length, uint32_t tag, diameter_name name, dro_builder *out)
{
    uint32_t option = t8_option(fields, length, tag, UINT32_MAX);
    if (option != UINT32_MAX)
        diameter_put_u32(out, name, option); /* the specifications count them alike */
}

static bool put_set(const uint8_t *fields, size_t length, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field, times;
    uint32_t battery = 0;
    bool has_battery = false, is_periodic = t8_option(fields, length, PATTERN_PERIODIC, PATTERN_PERIODICALLY) == PATTERN_PERIODICALLY;
    int64_t until_ms = t8_integer(fields, length, PATTERN_VALIDITY, 0);
    size_t group = diameter_group_begin(out, AVP_COMMUNICATION_PATTERN_SET);
    put_option(fields, length, PATTERN_PERIODIC, AVP_PERIODIC_COMMUNICATION_INDICATOR, out);
    if (is_periodic) { /* TS 29.336, 8.4.27: with nothing else */
        put_seconds(fields, length, PATTERN_DURATION, AVP_COMMUNICATION_DURATION_TIME, out);
        put_seconds(fields, length, PATTERN_PERIOD, AVP_PERIODIC_TIME, out);
    }
    if (t8_find(fields, length, PATTERN_TIMES, &times) != NULL && !put_times(&times, out))
        return false;
    put_option(fields, length, PATTERN_STATIONARY, AVP_STATIONARY_INDICATION, out);
    if (until_ms > 0)
        diameter_put_time(out, AVP_REFERENCE_ID_VALIDITY_TIME, (uint32_t)(until_ms / 1000));
    put_option(fields, length, PATTERN_TRAFFIC, AVP_TRAFFIC_PROFILE, out);
    while (dro_field_next(&in, &field))
        if (field.tag == PATTERN_BATTERY && field.length == 1) {
            has_battery = true;
            battery |= battery_bit(field.bytes[0]);
        }
    if (has_battery) /* without a battery nothing can be said of one */
        diameter_put_u32(out, AVP_BATTERY_INDICATOR, battery & BATTERY_NO ? BATTERY_NO : battery);
    diameter_group_end(out, group);
    return true;
}

static bool put_pattern(diameter_gate *gate, const inquiry_question *asked, const dro_field *set, dro_builder *out)
{
    dro_field reference, replaced;
    if (t8_find(set->bytes, set->length, PATTERN_REFERENCE, &reference) == NULL)
        return false;
    size_t group = diameter_group_begin(out, AVP_AESE_COMMUNICATION_PATTERN);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, number_of(&reference));
    put_scef(gate, out);
    if (t8_find(set->bytes, set->length, PATTERN_REPLACES, &replaced) != NULL)
        diameter_put_u32(out, AVP_SCEF_REFERENCE_ID_FOR_DELETION, number_of(&replaced));
    bool is_good = put_set(set->bytes, set->length, out);
    put_provider(asked, out);
    diameter_group_end(out, group);
    return is_good;
}

bool s6t_put_patterns(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field;
    if (!s6t_put_user(asked, out))
        return false;
    if (inquiry_field(asked, API_FIELD_REFERENCE_GONE).tag != 0) { /* first: there may be room for a new one only then */
        size_t group = diameter_group_begin(out, AVP_AESE_COMMUNICATION_PATTERN);
        put_scef(gate, out);
        put_numbers(asked, API_FIELD_REFERENCE_GONE, AVP_SCEF_REFERENCE_ID_FOR_DELETION, out);
        diameter_group_end(out, group);
    }
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_PATTERN && !put_pattern(gate, asked, &field, out))
            return false;
    return true;
}

/* A pattern without a status, or with one that says 2xxx, is there. */
bool s6t_read_patterns(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    const diameter_avp *status = diameter_find(message, AVP_AESE_COMMUNICATION_PATTERN_CONFIG_STATUS);
    (void)gate;
    (void)entry;
    (void)told;
    for (uint32_t count = 0; status != NULL && count < STATUSES_MAX; status = diameter_find_next(message, status), count++) {
        const diameter_avp *report = diameter_find_in(message, status, AVP_AESE_ERROR_REPORT);
        const diameter_avp *result = diameter_find_in(message, report, AVP_SERVICE_RESULT);
        const diameter_avp *code = diameter_find_in(message, result, AVP_SERVICE_RESULT_CODE);
        uint32_t said = code == NULL ? (report == NULL ? 0 : DIAMETER_UNABLE_TO_COMPLY) : diameter_u32(code);
        uint32_t pair[2] = { diameter_u32(diameter_find_in(message, status, AVP_SCEF_REFERENCE_ID)), said / 1000 == 2 ? 0 : said };
        dro_field_put(fields, API_FIELD_REFERENCE_RESULT, pair, sizeof pair);
    }
    return true;
}

/* ---- network parameters ---- */

bool s6t_put_parameters(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    dro_field reference = inquiry_field(asked, API_FIELD_REFERENCE), gone = inquiry_field(asked, API_FIELD_REFERENCE_GONE);
    if (!s6t_put_user(asked, out) || (reference.tag == 0 && gone.tag == 0))
        return false;
    put_number(asked, API_FIELD_GUARD_TIME, AVP_GROUP_REPORTING_GUARD_TIMER, out);
    size_t group = diameter_group_begin(out, AVP_SUGGESTED_NETWORK_CONFIGURATION);
    /* The grammar wants a reference even where one ends: then it is the same. */
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, number_of(reference.tag != 0 ? &reference : &gone));
    put_scef(gate, out);
    put_number(asked, API_FIELD_LATENCY, AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER, out);
    put_number(asked, API_FIELD_RESPONSE_TIME, AVP_ACTIVE_TIME, out);
    put_number(asked, API_FIELD_PACKETS, AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT, out);
    put_provider(asked, out);
    put_numbers(asked, API_FIELD_REFERENCE_GONE, AVP_SCEF_REFERENCE_ID_FOR_DELETION, out);
    diameter_group_end(out, group);
    return true;
}

void s6t_read_configuration(const diameter_message *message, const diameter_avp *group, dro_builder *fields)
{
    static const struct { diameter_name name; uint8_t field; } parts[] = {
        { AVP_SUBSCRIBED_PERIODIC_RAU_TAU_TIMER, API_FIELD_LATENCY }, { AVP_ACTIVE_TIME, API_FIELD_RESPONSE_TIME },
        { AVP_DL_BUFFERING_SUGGESTED_PACKET_COUNT, API_FIELD_PACKETS },
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const diameter_avp *part = diameter_find_in(message, group, parts[i].name);
        uint32_t number = diameter_u32(part);
        if (part != NULL)
            dro_field_put(fields, parts[i].field, &number, sizeof number);
    }
}

bool s6t_read_parameters(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    (void)gate;
    (void)entry;
    (void)told;
    s6t_read_configuration(message, diameter_find(message, AVP_SUGGESTED_NETWORK_CONFIGURATION), fields);
    return true;
}

/* ---- enhanced coverage ---- */

bool s6t_put_coverage(diameter_gate *gate, const inquiry_question *asked, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(asked->fields, asked->length);
    dro_field field, list = inquiry_field(asked, API_FIELD_COVERAGE);
    uint32_t kind = list.length == 1 ? list.bytes[0] : COVERAGE_UNSAID;
    (void)gate;
    if (!s6t_put_user(asked, out))
        return false;
    if (kind == COVERAGE_UNSAID) {
        diameter_put_u32(out, AVP_CIR_FLAGS, FLAG_COVERAGE_QUERY);
        return true;
    }
    size_t restriction = diameter_group_begin(out, AVP_ENHANCED_COVERAGE_RESTRICTION);
    size_t plmns = diameter_group_begin(out, kind == COVERAGE_ALLOWED ? AVP_ALLOWED_PLMN_LIST : AVP_RESTRICTED_PLMN_LIST);
    while (dro_field_next(&in, &field)) {
        uint8_t octets[PLMN_BYTES];
        char text[PLMN_DIGITS_MAX + 1] = { 0 };
        if (field.tag != API_FIELD_PLMN)
            continue;
        memcpy(text, field.bytes, field.length <= PLMN_DIGITS_MAX ? field.length : 0);
        if (!plmn_is_valid(text))
            return false;
        plmn_write(text, octets);
        diameter_put(out, AVP_VISITED_PLMN_ID, octets, sizeof octets);
    }
    diameter_group_end(out, plmns);
    diameter_group_end(out, restriction);
    return true;
}

static bool read_plmns(const diameter_message *message, const diameter_avp *group, uint8_t tag, dro_builder *fields)
{
    const diameter_avp *plmn = diameter_find_in(message, group, AVP_VISITED_PLMN_ID);
    for (uint32_t count = 0; plmn != NULL; plmn = diameter_find_next(message, plmn)) {
        char text[PLMN_DIGITS_MAX + 1];
        if (++count > PLMNS_MAX || plmn->length != PLMN_BYTES || !plmn_read(plmn->data, text))
            return false;
        dro_field_put_text(fields, tag, text);
    }
    return true;
}

bool s6t_read_coverage(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields)
{
    const diameter_avp *data = diameter_find(message, AVP_ENHANCED_COVERAGE_RESTRICTION_DATA);
    const diameter_avp *restriction = diameter_find_in(message, data, AVP_ENHANCED_COVERAGE_RESTRICTION);
    const diameter_avp *restricted = diameter_find_in(message, restriction, AVP_RESTRICTED_PLMN_LIST);
    const diameter_avp *allowed = diameter_find_in(message, restriction, AVP_ALLOWED_PLMN_LIST);
    uint8_t kind = restricted != NULL ? COVERAGE_RESTRICTED : COVERAGE_ALLOWED;
    (void)gate;
    (void)entry;
    (void)told;
    if (restricted != NULL || allowed != NULL)
        dro_field_put(fields, API_FIELD_COVERAGE, &kind, 1);
    return read_plmns(message, restricted != NULL ? restricted : allowed, API_FIELD_PLMN, fields) &&
           read_plmns(message, data, API_FIELD_PLMN_VISITED, fields);
}
