#include "core/charge.h"
#include "core/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/authorization.h"
#include "core/groups.h"
#include "core/inquiry.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/network.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/parameters.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "twin/event.h"
#include "twin/t8_monitoring.h"
#include "twin/value.h"

enum { REPORT_HEAD = 8 + 8 + 1 /* of FIELD_REPORT: number, exposure, kind */ };

static void report_answer_send(core *core, caller caller, enum inquiry_verdict verdict, uint32_t place, uint64_t round)
{
    report_answer answer = { verdict, place };
    bool is_reply_free = core->is_reply_free;
    core->is_reply_free |= verdict == VERDICT_BUSY; /* as a 3004 */
    if (caller.gate != NONE)
        tell(core, caller.gate, MESSAGE_REPORT_ANSWER, 0, caller.id, &answer, sizeof answer, round);
    core->is_reply_free = is_reply_free;
}

/* ---- heard before ---- */

static bool is_heard(const twin *twin, uint64_t number)
{
    const reports_heard *heard = twin->nidd == NULL ? NULL : twin->nidd->heard;
    for (uint32_t i = 0; heard != NULL && i < REPORTS_REMEMBERED; i++)
        if (heard->numbers[i] == number)
            return true;
    return false;
}

static dro_err heard_push(twin *twin, uint64_t number)
{
    nidd *nidd = nidd_get(twin);
    if (nidd == NULL || (nidd->heard == NULL && (nidd->heard = calloc(1, sizeof *nidd->heard)) == NULL))
        return DRO_NOMEM;
    memmove(nidd->heard->numbers + 1, nidd->heard->numbers, sizeof nidd->heard->numbers - sizeof number);
    nidd->heard->numbers[0] = number;
    return DRO_OK;
}

/* Of groups: core 0 keeps the newest of all of them. */
static bool group_is_heard(const core *core, uint64_t number)
{
    for (uint32_t i = 0; core->group_reports != NULL && i < GROUP_REPORTS_REMEMBERED; i++)
        if (core->group_reports[i] == number)
            return true;
    return false;
}

static void group_heard_push(core *core, uint64_t number)
{
    if (core->group_reports == NULL)
        core->group_reports = calloc(GROUP_REPORTS_REMEMBERED, sizeof core->group_reports[0]);
    if (core->group_reports != NULL)
        core->group_reports[core->group_report_count++ % GROUP_REPORTS_REMEMBERED] = number;
}

void reports_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    while (core->index == 0 && dro_cursor_left(&in) >= 8) {
        uint64_t number = dro_cursor_le(&in, 8);
        if (!group_is_heard(core, number)) /* of a dump, and of its own record */
            group_heard_push(core, number);
    }
}

void reports_write(core *core)
{
    if (core->group_reports == NULL)
        return;
    record_begin(core, NONE, RECORD_GROUPS);
    dro_builder *part = record_part(core);
    for (uint32_t i = 0; i < GROUP_REPORTS_REMEMBERED; i++) { /* the oldest first */
        uint64_t number = core->group_reports[(core->group_report_count + i) % GROUP_REPORTS_REMEMBERED];
        if (number != 0)
            dro_builder_le(part, number, 8);
    }
    record_part_end(core, FIELD_REPORTS_HEARD);
    record_end(core);
}

void reports_fini(core *core)
{
    free(core->group_reports);
    core->group_reports = NULL;
}

dro_err report_apply(core *core, uint32_t index, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    dro_err err = DRO_OK;
    if (field->tag == FIELD_REPORT)
        return field->length < REPORT_HEAD ? DRO_MALFORMED : heard_push(twin_at(core, index), dro_cursor_le(&in, 8));
    while (err == DRO_OK && dro_cursor_left(&in) >= 8) /* FIELD_REPORTS_HEARD: the oldest first */
        err = heard_push(twin_at(core, index), dro_cursor_le(&in, 8));
    return err;
}

void reports_full(core *core, const twin *twin)
{
    const reports_heard *heard = twin->nidd == NULL ? NULL : twin->nidd->heard;
    if (heard == NULL)
        return;
    dro_builder *part = record_part(core);
    for (uint32_t i = REPORTS_REMEMBERED; i-- > 0;)
        if (heard->numbers[i] != 0)
            dro_builder_le(part, heard->numbers[i], 8);
    record_part_end(core, FIELD_REPORTS_HEARD);
}

/* ---- the twin's event ---- */

static void put_integer(dro_builder *out, const uint8_t *fields, size_t length, uint32_t tag)
{
    dro_field room;
    const dro_field *field = t8_find(fields, length, tag, &room);
    dro_err err = DRO_OK;
    value value = { .kind = VALUE_NONE };
    if (field != NULL) {
        value.integer = (int64_t)dro_field_u64(field, &err);
        value.kind = err == DRO_OK ? VALUE_INTEGER : VALUE_NONE;
    }
    value_write(out, &value);
}

static void put_string(dro_builder *out, const uint8_t *fields, size_t length, uint32_t tag)
{
    dro_field room;
    const dro_field *field = t8_find(fields, length, tag, &room);
    value value = { .kind = VALUE_NONE };
    if (field != NULL && field->length <= VALUE_STRING_MAX)
        value = (struct value){ .kind = VALUE_STRING, .length = field->length, .string = (const char *)field->bytes };
    value_write(out, &value);
}

/* The fields of an object among the report's; an empty list: it is not there. */
static dro_field object_of(const report_turn *report, uint32_t tag)
{
    dro_field room = { .length = 0 };
    return t8_find(report->fields, report->length, tag, &room) != NULL ? room : (dro_field){ .length = 0 };
}

static void put_network(dro_builder *out, const dro_field *plmn)
{
    dro_field mcc, mnc;
    char text[16];
    value value = { .kind = VALUE_NONE, .string = text };
    if (t8_find(plmn->bytes, plmn->length, PLMN_MCC, &mcc) != NULL && t8_find(plmn->bytes, plmn->length, PLMN_MNC, &mnc) != NULL &&
        mcc.length == 3 && mnc.length <= 3) {
        dro_builder digits = dro_builder_over(text, sizeof text);
        dro_builder_bytes(&digits, mcc.bytes, mcc.length);
        dro_builder_text(&digits, "-");
        dro_builder_bytes(&digits, mnc.bytes, mnc.length);
        value.kind = VALUE_STRING;
        value.length = (uint32_t)dro_builder_length(&digits);
    }
    value_write(out, &value);
}

/* As sdk/abi.json has it: a value each, none where the report does not say it. */
static void put_payload(dro_builder *out, const report_turn *report)
{
    const uint8_t *fields = report->fields;
    size_t length = report->length;
    dro_field location = object_of(report, REPORT_LOCATION), idle = object_of(report, REPORT_IDLE_STATUS), visited = object_of(report, REPORT_PLMN);
    dro_field connection = object_of(report, REPORT_PDN), failure = object_of(report, REPORT_FAILURE);
    value_write(out, &(value){ .kind = VALUE_INTEGER, .integer = report->kind });
    put_integer(out, fields, length, REPORT_TIME);
    put_integer(out, fields, length, REPORT_AVAILABLE_UNTIL);
    put_integer(out, fields, length, REPORT_REACHABILITY);
    put_integer(out, fields, length, REPORT_LOSS_REASON);
    put_integer(out, fields, length, REPORT_ROAMING);
    put_network(out, &visited);
    put_string(out, location.bytes, location.length, LOCATION_CELL);
    put_string(out, location.bytes, location.length, LOCATION_TRACKING_AREA);
    put_integer(out, location.bytes, location.length, LOCATION_AGE);
    put_integer(out, fields, length, REPORT_IMEI_CHANGE);
    put_integer(out, failure.bytes, failure.length, FAILURE_S1AP);
    put_integer(out, idle.bytes, idle.length, IDLE_ACTIVE_TIME);
    put_integer(out, idle.bytes, idle.length, IDLE_PERIODIC_TIMER);
    put_integer(out, connection.bytes, connection.length, PDN_STATUS);
    put_string(out, connection.bytes, connection.length, PDN_APN);
}

/* ---- kept ---- */

static uint32_t type_of(const exposure *of, const uint8_t *report, size_t length)
{
    uint32_t asked = of == NULL ? MONITORING_TYPES : t8_option(of->fields, of->length, MONITORING_TYPE, MONITORING_TYPES);
    return t8_option(report, length, REPORT_TYPE, asked);
}

/* A network may say that a device can be reached for data to who asked for SMS: the twin hears of it, the application does not. */
static bool is_of_kind_asked(const exposure *of, const uint8_t *report, size_t length)
{
    uint32_t told = t8_option(report, length, REPORT_REACHABILITY, MONITORING_TYPES);
    uint32_t asked = t8_option(of->fields, of->length, MONITORING_REACHABILITY, told);
    return type_of(of, report, length) != MONITORING_UE_REACHABILITY || told == MONITORING_TYPES || told == asked;
}

static uint32_t seconds_of(const dro_field *idle, uint32_t tag)
{
    int64_t seconds = t8_integer(idle->bytes, idle->length, tag, SCHEDULE_UNSAID);
    return seconds < 0 || seconds > SCHEDULE_UNSAID ? SCHEDULE_UNSAID : (uint32_t)seconds;
}

/* An idle status says how the device sleeps, and any report how long it can be reached. */
static void schedule_hear(core *core, uint32_t index, const report_turn *report)
{
    dro_field idle = object_of(report, REPORT_IDLE_STATUS), cycle;
    int64_t until_ms = t8_integer(report->fields, report->length, REPORT_AVAILABLE_UNTIL, 0);
    schedule_facts facts = { seconds_of(&idle, IDLE_PERIODIC_TIMER), seconds_of(&idle, IDLE_ACTIVE_TIME), seconds_of(&idle, IDLE_PACKETS), SCHEDULE_UNSAID };
    double cycle_s = 0;
    if (t8_find(idle.bytes, idle.length, IDLE_EDRX_CYCLE, &cycle) != NULL && cycle.length == sizeof cycle_s)
        memcpy(&cycle_s, cycle.bytes, sizeof cycle_s);
    if (cycle_s > 0 && cycle_s < UINT32_MAX / 1000)
        facts.edrx_ms = (uint32_t)(cycle_s * 1000);
    if (report->kind == TOLD_EVENT && (idle.length > 0 || until_ms != 0))
        (void)schedule_learn(core, index, &facts, until_ms);
}

/* What the host itself makes of it. True: the device can be reached now, as after a connection request that says so. */
static bool contact_learn(core *core, uint32_t index, const exposure *of, const report_turn *report)
{
    uint32_t type = type_of(of, report->fields, report->length);
    uint32_t reachability = t8_option(report->fields, report->length, REPORT_REACHABILITY, REACHABILITY_DATA);
    schedule_hear(core, index, report);
    bool can_be_reached = (type == MONITORING_UE_REACHABILITY && reachability == REACHABILITY_DATA) || type == MONITORING_AVAILABILITY_AFTER_DDN_FAILURE;
    if (report->kind == TOLD_EVENT && can_be_reached)
        contact_open(core, index, t8_integer(report->fields, report->length, REPORT_AVAILABLE_UNTIL, 0));
    else if (report->kind == TOLD_EVENT && type == MONITORING_LOSS_OF_CONNECTIVITY)
        contact_expect(core, index, CONTACT_UNKNOWN, COLUMNS_NEVER);
    return report->kind == TOLD_EVENT && can_be_reached;
}

static void put_heard(core *core, const report_turn *report)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, report->number, 8);
    dro_builder_le(part, report->exposure, 8);
    dro_builder_le(part, report->kind, 1);
    dro_builder_bytes(part, report->fields, report->length);
    record_part_end(core, FIELD_REPORT);
}

/* Of a group's subscription, whose own counts are core 0's. */
static void charge_member_report(core *core, uint32_t index, const exposure *of, uint32_t type)
{
    charge_exposure(core, index, CHARGE_MONITORING, of, type < MONITORING_TYPES ? monitoring_type_texts[type] : NULL, NULL);
}

void report_turn_end(core *core, turn *turn)
{
    report_turn *report = turn->report;
    uint32_t at;
    exposure *of = exposure_find(core, report->exposure, &at);
    bool is_own = of != NULL && at == turn->twin && of->status == EXPOSURE_ACTIVE;
    put_heard(core, report);
    turn->is_reachable = contact_learn(core, turn->twin, of, report);
    if (is_own && report->kind == TOLD_ENDED)
        monitoring_cancel(core, turn->twin, of);
    else if (is_own && report->kind == TOLD_EVENT && is_of_kind_asked(of, report->fields, report->length))
        monitoring_report(core, turn->twin, of, report->fields, report->length);
    else if (of != NULL && of->group != 0 && of->status == EXPOSURE_ACTIVE && report->kind == TOLD_EVENT)
        charge_member_report(core, turn->twin, of, type_of(of, report->fields, report->length));
    core->counters.reports++;
}

void report_turn_done(core *core, turn *turn)
{
    uint32_t index = turn->twin;
    report_answer_send(core, turn->caller, VERDICT_DONE, turn->report->place, round_now(core));
    if (turn->is_reachable)
        twin_defer_reachable(core, index); /* and what waits goes with it */
    nidd_trim(twin_at(core, index));
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

/* ---- taken ---- */

typedef struct taking {          /* one message */
    const ring_header *header;
    const uint8_t *body;
    network_report head;
    grant who;                   /* fields ID, MSISDN, IMSI */
    uint8_t kind, verdict;       /* enum told_kind; of a result */
    const uint8_t *report;
    size_t length;
} taking;

static bool taking_read(taking *taken, const ring_header *header, const uint8_t *body)
{
    dro_field told, field;
    size_t length = header->length - sizeof *header;
    *taken = (taking){ .header = header, .body = body };
    if (length < sizeof taken->head)
        return false;
    memcpy(&taken->head, body, sizeof taken->head);
    taken->who = (grant){ body + sizeof taken->head, length - sizeof taken->head };
    if (t8_find(taken->who.fields, taken->who.length, API_FIELD_TOLD, &told) == NULL)
        return taken->head.reference == 0;
    taken->kind = (uint8_t)t8_option(told.bytes, told.length, TOLD_FIELD_KIND, TOLD_EVENT);
    taken->verdict = (uint8_t)t8_option(told.bytes, told.length, TOLD_FIELD_VERDICT, VERDICT_DONE);
    if (t8_find(told.bytes, told.length, TOLD_FIELD_REPORT, &field) != NULL) {
        taken->report = field.bytes;
        taken->length = field.length;
    }
    return taken->length <= REPORT_BYTES_MAX;
}

static void begin_turn(core *core, caller caller, const taking *taken, uint32_t index, const exposure *of)
{
    uint8_t payload[EVENT_BYTES_MAX];
    dro_builder out = dro_builder_over(payload, sizeof payload);
    report_turn *report = malloc(sizeof *report + taken->length);
    turn *turn = report == NULL ? NULL : turn_new(core, index, TURN_REPORT);
    if (turn == NULL) {
        free(report);
        report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
        return;
    }
    *report = (report_turn){ .number = taken->head.number, .exposure = of->number, .place = taken->head.place, .kind = taken->kind, .length = (uint16_t)taken->length };
    if (taken->length > 0)
        memcpy(report->fields, taken->report, taken->length);
    turn->caller = caller;
    turn->report = report;
    put_payload(&out, report);
    if (out.err == DRO_OK && turn_event(core, turn, EVENT_NETWORK, type_of(of, taken->report, taken->length), payload, dro_builder_length(&out)) == DRO_OK) {
        turn_send(core, turn);
        return;
    }
    turn_free(core, turn);
    report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
}

static void report_take(core *core, caller caller, const taking *taken, uint32_t index, const exposure *of)
{
    if (is_heard(twin_at(core, index), taken->head.number)) {
        core->counters.duplicates++;
        report_answer_send(core, caller, VERDICT_DONE, taken->head.place, round_now(core));
    } else if (twin_at(core, index)->flags & (TWIN_RUNNING | TWIN_CREATING)) {
        if (twin_defer(core, index, caller.gate, taken->header, taken->body) != DRO_OK)
            report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
    } else {
        begin_turn(core, caller, taken, index, of);
    }
}

bool report_is_of_member(const uint8_t *fields, size_t length)
{
    static const uint8_t names[] = { API_FIELD_ID, API_FIELD_MSISDN, API_FIELD_IMSI };
    dro_field room;
    for (size_t i = 0; i < sizeof names; i++)
        if (t8_find(fields, length, names[i], &room) != NULL)
            return true;
    return false;
}

static uint32_t twin_of_field(core *core, const dro_field *name)
{
    char digits[IMSI_DIGITS_MAX + 1];
    if (name->tag == API_FIELD_ID)
        return twin_find(core, (const char *)name->bytes, name->length);
    if (name->length == 0 || name->length > IMSI_DIGITS_MAX)
        return NONE;
    memcpy(digits, name->bytes, name->length);
    digits[name->length] = '\0';
    uint32_t found = name->tag == API_FIELD_IMSI ? twin_find_imsi(core, digits) : twin_find_msisdn(core, digits);
    dro_wipe(digits, sizeof digits);
    return found;
}

/* A limited peer was judged by the IMSI it named; of an external identifier or MSISDN beside it nobody but this core knows whose it is. */
static bool may_name(core *core, const uint8_t *fields, size_t length, const dro_field *name)
{
    dro_field room;
    if (t8_find(fields, length, API_FIELD_PEER_IMSIS, &room) == NULL)
        return true;
    uint32_t index = twin_of_field(core, name);
    return index != NONE && twin_is_of_peer(core, index, fields, length);
}

const dro_field *report_member(core *core, const uint8_t *fields, size_t length, dro_field *room)
{
    const dro_field *named = t8_find(fields, length, API_FIELD_ID, room);
    if (named == NULL)
        named = t8_find(fields, length, API_FIELD_MSISDN, room);
    if (named != NULL && may_name(core, fields, length, named))
        return named;
    named = t8_find(fields, length, API_FIELD_IMSI, room);
    uint32_t index = named == NULL ? NONE : twin_of_field(core, named);
    size_t id_length;
    if (index == NONE)
        return NULL;
    room->tag = REPORT_ID;
    room->bytes = (const uint8_t *)twin_id(core, twin_at(core, index), &id_length);
    room->length = (uint32_t)id_length;
    return room;
}

static void take_care(core *core, uint32_t index)
{
    nidd_trim(twin_at(core, index));
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

/* Of a kind that is no monitoring: its class knows what to do. */
static void class_take(core *core, caller caller, const taking *taken, uint32_t index, exposure *of)
{
    const exposure_class *class = exposure_classes[of->kind];
    if (index != NONE && twin_at(core, index)->flags & TWIN_RUNNING) {
        if (twin_defer(core, index, caller.gate, taken->header, taken->body) != DRO_OK)
            report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
        return;
    }
    bool is_of_group = index == NONE, is_whole = is_of_group && taken->kind == TOLD_ENDED && !report_is_of_member(taken->who.fields, taken->who.length);
    if (class == NULL || class->told == NULL || (is_of_group && group_is_heard(core, taken->head.number))) {
        report_answer_send(core, caller, VERDICT_DONE, taken->head.place, round_now(core));
        return;
    }
    core->counters.reports++;
    if (!is_whole)
        record_begin(core, index, is_of_group ? RECORD_GROUPS : RECORD_DELTA);
    class->told(core, index, of, (enum told_kind)taken->kind, taken->who.fields, taken->who.length);
    if (is_of_group && !is_whole) {
        group_heard_push(core, taken->head.number);
        record_put(core, FIELD_REPORTS_HEARD, &taken->head.number, 8);
    }
    report_answer_send(core, caller, VERDICT_DONE, taken->head.place, is_whole ? round_now(core) : record_end(core));
    if (!is_of_group)
        take_care(core, index);
}

/* By the name of a twin's own wish for its device's sleep. */
static void schedule_take(core *core, caller caller, const taking *taken, uint32_t index)
{
    schedule_facts facts = parameters_facts(taken->who.fields, taken->who.length);
    if (twin_at(core, index)->flags & TWIN_RUNNING) {
        if (twin_defer(core, index, caller.gate, taken->header, taken->body) != DRO_OK)
            report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
        return;
    }
    core->counters.reports++;
    record_begin(core, index, RECORD_DELTA);
    if (taken->kind == TOLD_APPLIED)
        (void)schedule_learn(core, index, &facts, 0);
    else if (taken->kind == TOLD_ENDED)
        schedule_cancelled(core, index);
    report_answer_send(core, caller, VERDICT_DONE, taken->head.place, record_end(core));
    take_care(core, index);
}

static void end_all_of_group(core *core, const taking *taken)
{
    dro_field room;
    const dro_field *name = t8_find(taken->who.fields, taken->who.length, API_FIELD_ID, &room);
    const group *group = name == NULL ? NULL : group_find(core, (const char *)name->bytes, name->length);
    for (uint32_t i = 0; group != NULL && core->index == 0 && i < core->exposures.group_high; i++) {
        exposure *e = core->exposures.of_groups[i];
        if (e == NULL || e->group != group->number || e->status != EXPOSURE_ACTIVE || !(taken->head.kinds >> e->kind & 1))
            continue;
        if (e->kind == EXPOSURE_MONITORING)
            monitoring_group_cancel(core, e, NULL);
        else if (exposure_classes[e->kind] != NULL && exposure_classes[e->kind]->told != NULL)
            exposure_classes[e->kind]->told(core, NONE, e, TOLD_ENDED, NULL, 0);
    }
}

/* The next one behind that number: what is told of one may be the end of another. */
static exposure *next_of_kinds(const twin *twin, uint32_t kinds, uint64_t after)
{
    exposure *e = twin->nidd == NULL ? NULL : twin->nidd->exposures;
    while (e != NULL && (e->number <= after || e->status != EXPOSURE_ACTIVE || !(kinds >> e->kind & 1)))
        e = e->next;
    return e;
}

/* All that the device has of some kinds is over. Each ends in a record of its own: what is said again finds it ended. */
static void end_all(core *core, caller caller, const taking *taken)
{
    uint32_t index = authorization_twin_of(core, &taken->who);
    dro_field room;
    bool is_limited = t8_find(taken->who.fields, taken->who.length, API_FIELD_PEER_IMSIS, &room) != NULL;
    if (index != NONE && !twin_is_of_peer(core, index, taken->who.fields, taken->who.length)) {
        report_answer_send(core, caller, VERDICT_NOT_THERE, taken->head.place, 0);
        return;
    }
    if (index != NONE && twin_at(core, index)->flags & TWIN_RUNNING) {
        if (twin_defer(core, index, caller.gate, taken->header, taken->body) != DRO_OK)
            report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
        return;
    }
    uint64_t after = 0;
    for (exposure *e; index != NONE && (e = next_of_kinds(twin_at(core, index), taken->head.kinds, after)) != NULL;) {
        after = e->number;
        record_begin(core, index, RECORD_DELTA);
        if (e->kind == EXPOSURE_MONITORING)
            monitoring_cancel(core, index, e);
        else if (exposure_classes[e->kind] != NULL && exposure_classes[e->kind]->told != NULL)
            exposure_classes[e->kind]->told(core, index, e, TOLD_ENDED, NULL, 0);
        else
            exposure_over(core, index, e, "cancelled");
        record_end(core);
    }
    if (index != NONE && taken->head.kinds & 1u << EXPOSURE_PARAMETERS) {
        record_begin(core, index, RECORD_DELTA);
        schedule_cancelled(core, index);
        record_end(core);
    }
    if (index != NONE)
        take_care(core, index);
    else if (!is_limited) /* a group has devices that are not that peer's */
        end_all_of_group(core, taken);
    report_answer_send(core, caller, VERDICT_DONE, taken->head.place, round_now(core));
}

/* ---- of groups ---- */

/* Kept with what else waits to be told of the group's subscription, on core 0. */
static void group_take(core *core, caller caller, const taking *taken, exposure *of)
{
    dro_field room;
    const dro_field *member = report_member(core, taken->who.fields, taken->who.length, &room);
    bool is_whole = !report_is_of_member(taken->who.fields, taken->who.length);
    if (group_is_heard(core, taken->head.number)) {
        core->counters.duplicates++;
        report_answer_send(core, caller, VERDICT_DONE, taken->head.place, round_now(core));
        return;
    }
    core->counters.reports++;
    if (taken->kind == TOLD_ENDED && is_whole) {
        monitoring_group_cancel(core, of, NULL);
        report_answer_send(core, caller, VERDICT_DONE, taken->head.place, round_now(core));
        return;
    }
    record_begin(core, NONE, RECORD_GROUPS);
    if (taken->kind == TOLD_EVENT && is_of_kind_asked(of, taken->report, taken->length))
        monitoring_group_report(core, of, member, taken->report, taken->length);
    else if (taken->kind == TOLD_ENDED && member != NULL) /* of a number that nobody here knows there is nothing to say */
        monitoring_group_cancel(core, of, member);
    else if (taken->kind == TOLD_RESULT && taken->verdict != VERDICT_DONE && member != NULL)
        monitoring_group_result(core, of, member, false);
    group_heard_push(core, taken->head.number);
    record_put(core, FIELD_REPORTS_HEARD, &taken->head.number, 8);
    report_answer_send(core, caller, VERDICT_DONE, taken->head.place, record_end(core));
}

static void of_reference(core *core, caller caller, const taking *taken)
{
    uint32_t index;
    exposure *of = exposure_find_reference(core, taken->head.reference, &index);
    uint32_t wished = of == NULL ? schedule_find(core, taken->head.reference) : NONE;
    bool is_there = of != NULL && of->status == EXPOSURE_ACTIVE;
    if (taken->head.is_copy) { /* for the member's twin; a group's subscription is known on each core */
        index = is_there ? authorization_twin_of(core, &taken->who) : NONE;
        is_there = index != NONE;
    }
    uint32_t whose = wished != NONE ? wished : is_there ? index : NONE;
    if (whose != NONE && !twin_is_of_peer(core, whose, taken->who.fields, taken->who.length)) /* as one that is unknown: it is no way to find out */
        report_answer_send(core, caller, taken->head.is_copy ? VERDICT_DONE : VERDICT_NOT_THERE, taken->head.place, 0);
    else if (wished != NONE)
        schedule_take(core, caller, taken, wished);
    else if (!is_there && !taken->head.is_copy && of == NULL && inquiry_is_about(core, taken->head.reference)) /* it was quicker than its answer */
        report_answer_send(core, caller, VERDICT_BUSY, taken->head.place, 0);
    else if (!is_there)
        report_answer_send(core, caller, taken->head.is_copy ? VERDICT_DONE : VERDICT_NOT_THERE, taken->head.place, 0);
    else if (of->kind != EXPOSURE_MONITORING)
        class_take(core, caller, taken, index, of);
    else if (index != NONE)
        report_take(core, caller, taken, index, of);
    else
        group_take(core, caller, taken, of);
}

void reports_on_message(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    caller caller = { gate, header->id };
    taking taken;
    if (!taking_read(&taken, header, body))
        report_answer_send(core, caller, VERDICT_UNFIT, taken.head.place, 0);
    else if (core_refusal(core) != NULL)
        report_answer_send(core, caller, VERDICT_BUSY, taken.head.place, 0);
    else if (taken.head.reference == 0)
        end_all(core, caller, &taken);
    else
        of_reference(core, caller, &taken);
}

/* ---- shown ---- */

void report_json(const dro_field *field, dro_builder *out)
{
    static const char *const kinds[] = { "event", "ended", "suspended", "resumed", "result", "applied" };
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    dro_cursor_le(&in, 8);
    uint64_t exposure = dro_cursor_le(&in, 8);
    uint32_t kind = (uint32_t)dro_cursor_le(&in, 1);
    json_put(out, "{\"subscription\":\"%016llx\",\"said\":\"%s\",\"report\":{", (unsigned long long)exposure, kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : "unknown");
    t8_members_json(out, &t8_monitoring_report, in.at, dro_cursor_left(&in), 0, "");
    dro_builder_text(out, "}}");
}
