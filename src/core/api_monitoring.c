/* MonitoringEvent of T8 (TS 29.122, 5.3): what a subscription may be, the network's part of it (TS 23.682, 5.6), its reports. */
#include <string.h>

#include "base/log.h"
#include "core/authorization.h"
#include "core/call.h"
#include "core/charge.h"
#include "core/exposure.h"
#include "core/farewell.h"
#include "core/groups.h"
#include "core/inquiry.h"
#include "core/monitoring_area.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/provision.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/t8_monitoring.h"

enum { FIELDS_MAX = T8_FIELDS_MAX + 512 };
/* Times go to the network in seconds of 32 bits since 1900 (RFC 6733, 4.3.1): no later one can be said. */
static const int64_t time_max_ms = 2085978495000; /* 2036-02-07T06:28:15Z */

/* ---- what is allowed ---- */

typedef struct rule { uint8_t tag; bool is_wrong; const char *member, *why; } rule;

static bool has(const exposure_call *wanted, uint32_t tag)
{
    dro_field room;
    return t8_find(wanted->fields, wanted->length, tag, &room) != NULL;
}

static uint32_t option(const exposure_call *wanted, uint32_t tag)
{
    return t8_option(wanted->fields, wanted->length, tag, UINT32_MAX);
}

/* The first that is broken, told with that status. False after a problem. */
static bool rules_hold(core *core, const exposure_call *wanted, uint16_t status, const char *cause, const rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!rules[i].is_wrong)
            continue;
        tell_invalid(core, wanted->call->caller, status, cause, rules[i].member, "%s %s", rules[i].member + 1, rules[i].why);
        return false;
    }
    return true;
}
#define RULES(list) list, sizeof list / sizeof list[0]

/* What the schema wants, and what goes with the type (5.3.2.1.2): else 400. */
static bool is_complete(core *core, const exposure_call *wanted)
{
    uint32_t type = option(wanted, MONITORING_TYPE);
    bool has_area = type == MONITORING_NUMBER_OF_UES_IN_AN_AREA, is_of_group = wanted->group != NULL;
    bool is_of_device = has(wanted, T8_FIELD_ID) || has(wanted, T8_FIELD_MSISDN);
    bool has_members = has(wanted, MONITORING_ADDED_IDS) || has(wanted, MONITORING_ADDED_MSISDNS) ||
                       has(wanted, MONITORING_EXCLUDED_IDS) || has(wanted, MONITORING_EXCLUDED_MSISDNS);
    const rule rules[] = {
        { .is_wrong = !has(wanted, MONITORING_REPORTS_MAX) && !has(wanted, MONITORING_EXPIRE_TIME), .member = "/maximumNumberOfReports",
          .why = "or monitorExpireTime must be there" },
        { .is_wrong = type == MONITORING_UE_REACHABILITY && !has(wanted, MONITORING_REACHABILITY), .member = "/reachabilityType",
          .why = "is missing: UE_REACHABILITY needs it" },
        { .is_wrong = type == MONITORING_LOCATION_REPORTING && !has(wanted, MONITORING_LOCATION), .member = "/locationType",
          .why = "is missing: LOCATION_REPORTING needs it" },
        { .is_wrong = type == MONITORING_CHANGE_OF_IMSI_IMEI_ASSOCIATION && !has(wanted, MONITORING_ASSOCIATION), .member = "/associationType",
          .why = "is missing: CHANGE_OF_IMSI_IMEI_ASSOCIATION needs it" },
        { .is_wrong = has_area && !has(wanted, MONITORING_AREA), .member = "/locationArea", .why = "is missing: NUMBER_OF_UES_IN_AN_AREA needs it" },
        { .is_wrong = has_area && is_of_device, .member = "/externalId", .why = "cannot be there with NUMBER_OF_UES_IN_AN_AREA" },
        { .is_wrong = type < MONITORING_TYPES_REPORTED && !has_area && !is_of_device && !is_of_group && !has(wanted, MONITORING_IPV4) && !has(wanted, MONITORING_IPV6),
          .member = "/externalId", .why = ", msisdn or externalGroupId must be there" },
        { .is_wrong = has_members && !is_of_group, .member = "/externalGroupId", .why = "is missing: members are added to and excluded from a group" },
        { .is_wrong = has(wanted, MONITORING_GUARD_TIME) && !is_of_group, .member = "/groupReportGuardTime", .why = "is of a group" },
    };
    return rules_hold(core, wanted, 400, NULL, RULES(rules));
}

/* What no node of this network could do: 403. */
static bool is_in_range(core *core, const exposure_call *wanted)
{
    uint32_t type = option(wanted, MONITORING_TYPE), location = option(wanted, MONITORING_LOCATION), accuracy = option(wanted, MONITORING_ACCURACY);
    int64_t reports = t8_integer(wanted->fields, wanted->length, MONITORING_REPORTS_MAX, 1);
    int64_t until_ms = t8_integer(wanted->fields, wanted->length, MONITORING_EXPIRE_TIME, 0);
    bool is_sms = type == MONITORING_UE_REACHABILITY && option(wanted, MONITORING_REACHABILITY) == REACHABILITY_SMS;
    bool is_area = type == MONITORING_NUMBER_OF_UES_IN_AN_AREA;
    const rule rules[] = {
        { .is_wrong = is_sms && reports > 1, .member = "/maximumNumberOfReports", .why = "can be 1 only with reachabilityType SMS" },
        { .is_wrong = type == MONITORING_LOCATION_REPORTING && location == LOCATION_LAST_KNOWN && reports > 1, .member = "/maximumNumberOfReports",
          .why = "can be 1 only with LAST_KNOWN_LOCATION" },
        { .is_wrong = type == MONITORING_LOCATION_REPORTING && location > LOCATION_LAST_KNOWN, .member = "/locationType",
          .why = "is one that this network cannot report" },
        { .is_wrong = type == MONITORING_LOCATION_REPORTING && accuracy != UINT32_MAX && accuracy > ACCURACY_TWAN_ID, .member = "/accuracy",
          .why = "is one that this network cannot report" },
        { .is_wrong = is_area && (reports != 1 || !has(wanted, MONITORING_REPORTS_MAX)), .member = "/maximumNumberOfReports",
          .why = "can be 1 only: serving nodes count when they are asked" },
        { .is_wrong = is_area && wanted->group != NULL, .member = "/externalGroupId", .why = "cannot be there: serving nodes count all devices" },
        { .is_wrong = is_area && !monitoring_area_is_readable(wanted->fields, wanted->length), .member = "/locationArea",
          .why = "has a place that no serving node can be asked about: cellIds as 001-01-0a1b2c3, trackingAreaIds as 001-01-0a1b, enodeBIds as 001-01-0a1b2c" },
        { .is_wrong = until_ms > time_max_ms, .member = "/monitorExpireTime", .why = "is later than 2036-02-07T06:28:15Z" },
    };
    return rules_hold(core, wanted, 403, "PARAMETER_OUT_OF_RANGE", RULES(rules));
}

static bool monitoring_is_good(core *core, const exposure_call *wanted)
{
    if (option(wanted, MONITORING_TYPE) >= MONITORING_TYPES_REPORTED) {
        tell_invalid(core, wanted->call->caller, 403, "OPERATION_NOT_ALLOWED", "/monitoringType",
                     "monitoringType is one that this network cannot report");
        return false;
    }
    if (!is_complete(core, wanted) || !is_in_range(core, wanted))
        return false;
    bool is_by_address = wanted->twin == NONE && wanted->group == NULL && option(wanted, MONITORING_TYPE) != MONITORING_NUMBER_OF_UES_IN_AN_AREA;
    if (is_by_address)
        tell_cause(core, wanted->call->caller, 404, "USER_UNKNOWN", "no device is known by its IP address here");
    return !is_by_address;
}

static int64_t monitoring_until(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, MONITORING_EXPIRE_TIME, INT64_MAX);
}

/* ---- asking the network ---- */

static void put_reference(dro_builder *out, uint8_t tag, uint32_t reference)
{
    if (reference != 0)
        dro_field_put(out, tag, &reference, 4);
}

/* Nobody here has what the network may have under that reference, until then. */
static void network_forget(core *core, uint32_t reference, const inquiry *like, int64_t until_ms, const uint8_t *fields, size_t length)
{
    uint8_t bytes[FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    exposure_put_subject(&out, fields, length);
    put_reference(&out, API_FIELD_REFERENCE_GONE, reference);
    farewell head = { .kind = INQUIRY_MONITORING, .group = like->group, .until_ms = until_ms };
    farewell_put(core, like->twin, &head, bytes, dro_builder_length(&out));
}

/* The network's word on a new one, or on a change. */
static void agreed(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t reference = (uint32_t)asked->subject, ignored;
    if (said->outcome != INQUIRY_ANSWERED) {
        inquiry_tell_why(core, asked, said);
        if (asked->group != 0)
            authorization_group_refused(core, asked->group);
        return;
    }
    core->exposures.agreed = reference;
    core->exposures.is_done = false;
    (void)inquiry_take_up(core, asked, said);
    core->exposures.agreed = 0;
    bool is_kept = core->exposures.is_done || exposure_find_reference(core, reference, &ignored) != NULL;
    if (said->verdict == VERDICT_DONE && !is_kept)
        network_forget(core, reference, asked, INT64_MAX, asked->fields, asked->length);
    if (!is_kept && asked->group != 0)
        authorization_group_refused(core, asked->group);
}

static bool ask(core *core, const exposure_call *wanted)
{
    uint8_t bytes[FIELDS_MAX];
    const twin *twin = wanted->twin == NONE ? NULL : twin_at(core, wanted->twin);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    uint32_t reference = exposure_reference_new(core, twin);
    exposure_put_subject(&out, wanted->fields, wanted->length);
    put_reference(&out, API_FIELD_REFERENCE, reference);
    put_reference(&out, API_FIELD_REFERENCE_GONE, wanted->old != NULL ? wanted->old->reference : 0);
    dro_field_put(&out, API_FIELD_RESOURCE, wanted->fields, wanted->length);
    inquiry asked = { .kind = INQUIRY_MONITORING, .subject = reference, .group = wanted->group != NULL ? wanted->group->number : 0,
                      .twin = twin != NULL ? twin->number : 0, .fields = bytes, .length = dro_builder_length(&out), .done = agreed };
    (void)inquiry_defer(core, wanted->call, &asked);
    return true;
}

static bool refused(core *core, const call *call, const inquiry_said *said, bool is_group)
{
    switch (said->verdict) {
    case VERDICT_DONE: return false;
    case VERDICT_USER_UNKNOWN: provision_tell_unknown(core, call, is_group); break;
    case VERDICT_NOT_ALLOWED: tell_cause(core, call->caller, 403, "OPERATION_NOT_ALLOWED", "the network does not let this be monitored (%u)", said->code); break;
    case VERDICT_OUT_OF_RANGE:
        tell_invalid(core, call->caller, 403, "PARAMETER_OUT_OF_RANGE", "", "the network does not take these values (%u)", said->code);
        break;
    case VERDICT_NOT_SERVED:
        tell_invalid(core, call->caller, 403, "PARAMETER_OUT_OF_RANGE", "/locationArea", "locationArea is served by no node that is connected");
        break;
    case VERDICT_BUSY: tell_problem(core, call->caller, 503, "about:blank", "the network has too much to do; try again"); break;
    default: inquiry_tell_refusal(core, call->caller, said->code); break;
    }
    return true;
}

/* Without an HSS: this host sees contacts of a device itself. */
static bool is_seen_here(const exposure_call *wanted)
{
    return wanted->twin != NONE && option(wanted, MONITORING_TYPE) == MONITORING_UE_REACHABILITY &&
           option(wanted, MONITORING_REACHABILITY) == REACHABILITY_DATA && option(wanted, MONITORING_IDLE_STATUS) != 1;
}

static bool monitoring_asks(core *core, const exposure_call *wanted)
{
    if (core->said != NULL)
        return refused(core, wanted->call, core->said, wanted->group != NULL);
    if (option(wanted, MONITORING_TYPE) == MONITORING_NUMBER_OF_UES_IN_AN_AREA) {
        monitoring_area_ask(core, wanted);
        return true;
    }
    if (inquiry_has_node(core, INQUIRY_MONITORING))
        return ask(core, wanted);
    if (is_seen_here(wanted))
        return false;
    tell_problem(core, wanted->call->caller, 503, "about:blank", "no HSS is among diameter.peers: without one this host reports UE_REACHABILITY of DATA alone");
    return true;
}

/* ---- reports ---- */

/* The name the application knows the device by; of a group's the member's. */
static void put_name(const uint8_t *fields, size_t length, const dro_field *member, dro_builder *out)
{
    dro_field room;
    const dro_field *name = member != NULL ? member : t8_find(fields, length, T8_FIELD_ID, &room);
    if (name == NULL)
        name = t8_find(fields, length, T8_FIELD_MSISDN, &room);
    if (name != NULL)
        dro_field_put(out, (uint8_t)name->tag, name->bytes, name->length);
}

/* The network's report as the application sees it: with the type, the time, and whose it is. */
static void put_report(core *core, const uint8_t *fields, size_t fields_length, const dro_field *member, const uint8_t *report, size_t length,
                       dro_builder *out)
{
    dro_field room;
    if (t8_find(report, length, REPORT_TYPE, &room) == NULL)
        t8_put_byte(out, REPORT_TYPE, (uint8_t)t8_option(fields, fields_length, MONITORING_TYPE, 0));
    put_name(fields, fields_length, member, out);
    if (t8_find(report, length, REPORT_TIME, &room) == NULL)
        t8_put_integer(out, REPORT_TIME, core->now_ms);
    dro_cursor in = dro_cursor_over(report, length);
    while (dro_field_next(&in, &room))
        dro_field_put(out, (uint8_t)room.tag, room.bytes, room.length);
}

/* The first report in the network's answer; NULL: none came at once. */
static const dro_field *report_at_once(const core *core, dro_field *room)
{
    return core->said == NULL ? NULL : t8_find(core->said->fields, core->said->length, API_FIELD_REPORT, room);
}

static const char *type_text(const uint8_t *fields, size_t length)
{
    uint32_t type = (uint32_t)t8_option(fields, length, MONITORING_TYPE, 0);
    return type < MONITORING_TYPES ? monitoring_type_texts[type] : NULL;
}

const char *monitoring_type_text(const exposure *of)
{
    return type_text(of->fields, of->length);
}

static uint32_t reports_max(const uint8_t *fields, size_t length)
{
    return (uint32_t)t8_integer(fields, length, MONITORING_REPORTS_MAX, 0);
}

static void reply_report(core *core, const call *call, const uint8_t *report, size_t length)
{
    dro_builder json = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&json, "{");
    t8_members_json(&json, &t8_monitoring_report, report, length, 0, "");
    dro_builder_text(&json, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &json);
}

/* Nothing else of it is kept. */
static void charge_one_report(core *core, const exposure_call *wanted, const exposure *of)
{
    if (!charging_is_on(core) || wanted->twin == NONE)
        return;
    record_begin(core, wanted->twin, RECORD_DELTA);
    charge_exposure(core, wanted->twin, CHARGE_MONITORING, of, type_text(wanted->fields, wanted->length), NULL);
    record_end(core);
}

/* The subscription with that report, in place of the one that an earlier request got. */
static void report_put(const exposure_call *wanted, const dro_builder *report, dro_builder *fields)
{
    dro_cursor in = dro_cursor_over(wanted->fields, wanted->length);
    dro_field field;
    fields->at = fields->start;
    while (dro_field_next(&in, &field))
        if (field.tag != MONITORING_REPORT)
            dro_field_put(fields, (uint8_t)field.tag, field.bytes, field.length);
    dro_field_put(fields, MONITORING_REPORT, report->start, dro_builder_length(report));
}

static bool monitoring_made(core *core, const exposure_call *wanted, exposure *head, dro_builder *fields)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_field room;
    dro_builder report = dro_builder_over(bytes, sizeof bytes);
    const dro_field *told = report_at_once(core, &room);
    head->reference = core->exposures.agreed;
    head->reports = 0;
    if (told == NULL)
        return true;
    put_report(core, wanted->fields, wanted->length, NULL, told->bytes, told->length, &report);
    head->reports = 1;
    if (wanted->old == NULL && reports_max(wanted->fields, wanted->length) == 1 && report.err == DRO_OK) { /* one-time: there is nothing left to subscribe to */
        core->exposures.is_done = true;
        charge_one_report(core, wanted, head);
        reply_report(core, wanted->call, bytes, dro_builder_length(&report));
        return false;
    }
    report_put(wanted, &report, fields);
    return true;
}

/* With a report that came at once. */
static void monitoring_kept(core *core, uint32_t index, exposure *kept)
{
    if (index != NONE && kept->reports > 0)
        charge_exposure(core, index, CHARGE_MONITORING, kept, type_text(kept->fields, kept->length), NULL);
}

void monitoring_report(core *core, uint32_t index, exposure *of, const uint8_t *report, size_t length)
{
    uint8_t bytes[T8_FIELDS_MAX], inner[T8_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes), put = dro_builder_over(inner, sizeof inner);
    uint64_t number = of->number;
    uint32_t most = reports_max(of->fields, of->length), count = of->reports + 1;
    put_report(core, of->fields, of->length, NULL, report, length, &put);
    dro_field_put(&out, NOTIFICATION_REPORT, inner, dro_builder_length(&put));
    if (put.err != DRO_OK || out.err != DRO_OK) {
        core->counters.notices_dropped++;
        return;
    }
    charge_exposure(core, index, CHARGE_MONITORING, of, type_text(of->fields, of->length), NULL);
    exposure_count_put(core, of, count);
    of = exposure_of(twin_at(core, index), number);
    exposure_notice(core, index, of, bytes, dro_builder_length(&out));
    if (most != 0 && count >= most)
        exposure_over(core, index, exposure_of(twin_at(core, index), number), "completed");
}

/* The next one behind that number that this host itself reports for. */
static exposure *seen_here(const twin *twin, uint64_t after)
{
    exposure *e = twin->nidd->exposures;
    while (e != NULL && (e->number <= after || e->kind != EXPOSURE_MONITORING || e->status != EXPOSURE_ACTIVE || e->reference != 0))
        e = e->next;
    return e;
}

void monitoring_contact(core *core, uint32_t index, int64_t before_ms)
{
    uint8_t bytes[16];
    dro_builder report = dro_builder_over(bytes, sizeof bytes);
    const twin *twin = twin_at(core, index);
    bool is_same = before_ms != COLUMNS_NEVER && core->now_ms - before_ms < MONITORING_CONTACT_MS;
    if (twin->nidd == NULL || twin->nidd->exposures == NULL || is_same)
        return;
    t8_put_byte(&report, REPORT_REACHABILITY, REACHABILITY_DATA);
    uint64_t after = 0;
    for (exposure *e; (e = seen_here(twin, after)) != NULL;) { /* it is another one when its report was counted */
        after = e->number;
        monitoring_report(core, index, e, bytes, dro_builder_length(&report));
    }
}

void monitoring_cancel(core *core, uint32_t index, exposure *of)
{
    uint8_t bytes[16];
    uint64_t number = of->number;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    t8_put_byte(&out, NOTIFICATION_CANCELLED, 1);
    exposure_notice(core, index, of, bytes, dro_builder_length(&out));
    exposure_over(core, index, exposure_of(twin_at(core, index), number), "cancelled");
}

/* ---- of groups ---- */

void monitoring_group_report(core *core, exposure *of, const dro_field *member, const uint8_t *report, size_t length)
{
    uint8_t bytes[T8_FIELDS_MAX], inner[T8_FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes), put = dro_builder_over(inner, sizeof inner);
    put_report(core, of->fields, of->length, member, report, length, &put);
    dro_field_put(&out, NOTIFICATION_REPORT, inner, dro_builder_length(&put));
    of->reports++;
    if (put.err == DRO_OK && out.err == DRO_OK)
        (void)exposure_news_put(core, of, bytes, dro_builder_length(&out)); /* counted where it cannot be kept */
    else
        core->counters.notices_dropped++;
}

void monitoring_group_cancel(core *core, exposure *of, const dro_field *member)
{
    uint8_t bytes[T8_TEXT_MAX + 16];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (member != NULL) {
        dro_field_put(&out, member->tag == REPORT_ID ? NOTIFICATION_CANCELLED_ID : NOTIFICATION_CANCELLED_MSISDN, member->bytes, member->length);
        (void)exposure_news_put(core, of, bytes, dro_builder_length(&out));
        return;
    }
    t8_put_byte(&out, NOTIFICATION_CANCELLED, 1);
    record_begin(core, NONE, RECORD_GROUPS);
    (void)exposure_news_put(core, of, bytes, dro_builder_length(&out));
    record_end(core);
    exposure_charge(core, NONE, of, "cancelled");
    of->status = EXPOSURE_OVER;
    if (groups_keep(core) != DRO_OK)
        dro_warn("monitoring: the end of a group's subscription could not be written; the network ends it again when asked");
}

void monitoring_group_result(core *core, exposure *of, const dro_field *member, bool is_roaming)
{
    uint8_t bytes[T8_TEXT_MAX + 32];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    size_t begin = t8_object_begin(&out, NOTIFICATION_CONFIG_RESULT);
    dro_field_put(&out, member->tag == REPORT_ID ? RESULT_ID : RESULT_MSISDN, member->bytes, member->length);
    t8_put_byte(&out, RESULT_REASON, is_roaming ? RESULT_ROAMING_NOT_ALLOWED : RESULT_OTHER_REASON);
    t8_object_end(&out, begin);
    (void)exposure_news_put(core, of, bytes, dro_builder_length(&out));
}

static int64_t monitoring_guard(const uint8_t *fields, size_t length)
{
    return t8_integer(fields, length, MONITORING_GUARD_TIME, 0);
}

/* ---- its end ---- */

static void reply_ended(core *core, const inquiry *asked, const inquiry_said *said, const exposure *of)
{
    caller caller = { asked->late->gate, asked->late->header.id };
    dro_field room;
    dro_cursor in = dro_cursor_over(said->fields, said->length);
    dro_builder json = dro_builder_over(core->scratch, SCRATCH_BYTES);
    const char *before = "[";
    while (of != NULL && said->outcome == INQUIRY_ANSWERED && dro_field_next(&in, &room)) {
        uint8_t bytes[T8_FIELDS_MAX];
        dro_builder report = dro_builder_over(bytes, sizeof bytes);
        if (room.tag != API_FIELD_REPORT)
            continue;
        put_report(core, of->fields, of->length, NULL, room.bytes, room.length, &report);
        dro_builder_text(&json, before);
        dro_builder_text(&json, "{");
        t8_members_json(&json, &t8_monitoring_report, bytes, dro_builder_length(&report), 0, "");
        dro_builder_text(&json, "}");
        before = ",";
    }
    dro_builder_text(&json, "]");
    bool has_reports = before[0] == ',' && json.err == DRO_OK;
    reply reply = { .status = has_reports ? 200 : 204, .content = has_reports ? CONTENT_JSON : CONTENT_NONE, .etag = UINT64_MAX };
    tell_reply(core, caller, &reply, has_reports ? json.start : NULL, has_reports ? dro_builder_length(&json) : 0);
}

/* The network knows that it is over, or says that it never knew it; else it is told again. */
static void ended(core *core, const inquiry *asked, const inquiry_said *said)
{
    uint32_t index;
    uint64_t number = asked->subject;
    exposure *of = exposure_find(core, number, &index);
    bool is_over = said->outcome == INQUIRY_ANSWERED;
    if (asked->late != NULL && core->gates[asked->late->gate].is_open)
        reply_ended(core, asked, said, of);
    if (of == NULL || of->status != EXPOSURE_ENDING)
        return;
    if (!is_over) {
        exposure_put_off(core, of);
    } else if (index == NONE) {
        exposure_group_gone(core, of);
        return;
    } else {
        record_begin(core, index, RECORD_DELTA);
        exposure_gone(core, index, number);
        record_end(core);
        nidd_trim(twin_at(core, index));
    }
    if (index != NONE && timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

/* The network has no part of it. */
static void end_here(core *core, uint32_t index, const exposure *of, const call *call)
{
    record_begin(core, index, RECORD_DELTA);
    exposure_gone(core, index, of->number);
    record_end(core);
    nidd_trim(twin_at(core, index));
    if (call != NULL)
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

static void monitoring_ends(core *core, uint32_t index, exposure *of, const call *call)
{
    uint8_t bytes[FIELDS_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (of->reference == 0 && index != NONE) {
        end_here(core, index, of, call);
        return;
    }
    exposure_put_subject(&out, of->fields, of->length);
    put_reference(&out, API_FIELD_REFERENCE_GONE, of->reference);
    exposure_end_ask(core, index, of, call, &(inquiry){ .kind = INQUIRY_MONITORING, .fields = bytes, .length = dro_builder_length(&out), .done = ended });
}

/* The network's part had the same end. */
static void monitoring_expires(core *core, uint32_t index, exposure *of)
{
    record_begin(core, index, RECORD_DELTA);
    exposure_over(core, index, of, "expired");
    record_end(core);
}

static void monitoring_forsaken(core *core, const twin *twin, const exposure *lost)
{
    const inquiry like = { .twin = twin->number };
    if (lost->reference != 0 && lost->status != EXPOSURE_OVER)
        network_forget(core, lost->reference, &like, lost->until_ms, lost->fields, lost->length);
}

const exposure_class monitoring_class = {
    .api = &t8_monitoring,
    .is_good = monitoring_is_good,
    .asks = monitoring_asks,
    .made = monitoring_made, .kept = monitoring_kept,
    .ends = monitoring_ends,
    .expires = monitoring_expires,
    .forsaken = monitoring_forsaken,
    .until = monitoring_until,
    .guard_s = monitoring_guard,
};
