/* This host as an IWK-SCEF (TS 29.128): between serving nodes here (T6ai, T6bi) and SCEFs of the home
 * networks of those who roam here (T7). Which requests pass, by the agreements of gate/roaming.h, and
 * what becomes of those that end here: events that an MME got with a subscriber and tells of (T6ai CIR).
 *
 * A request whose Origin-Realm is a home network's comes down to a serving node; any other that is about
 * a subscriber, or an SCEF, of one goes up. What concerns no home network is not looked at. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gate/diameter_gate.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    REPORT_BYTES = 1024,                /* of a report of ours, without what is copied */
    STATUS_BYTES = 96,                  /* of one Monitoring-Event-Config-Status, without the SCEF's name */
    CIA_BYTES = 768,
    ACTION_ESTABLISH = 0, ACTION_UPDATE = 2,
    NO_STATE_MAINTAINED = 1,
    COMMANDS = 5,
};

typedef struct event {              /* an MME's: (its name, reference) -> SCEF */
    uint64_t reference;
    uint32_t node, order;           /* hash of its name; order 0: empty */
    uint16_t scef;
} event;

typedef struct passed {             /* of one home network and direction */
    uint64_t counts[INTERWORKING_COUNTED];
    uint64_t succeeded[COMMANDS];
    uint64_t data_bytes;            /* Non-IP-Data that was taken */
} passed;

struct interworking {
    event events[EVENT_SETS][EVENT_WAYS];
    uint32_t order, event_count;
    char *scefs[EVENT_SCEFS_MAX];
    uint32_t scef_count;
    passed passed[ROAMING_HOMES_MAX][2]; /* by row; down, up */
    relay_plan plan;                /* of the request being handled */
};

static const struct { uint32_t code; const char *name; } commands[COMMANDS] = {
    { COMMAND_MO_DATA, "MO-Data" }, { COMMAND_MT_DATA, "MT-Data" }, { COMMAND_CONNECTION_MANAGEMENT, "Connection-Management" },
    { COMMAND_REPORTING_INFORMATION, "Reporting-Information" }, { COMMAND_CONFIGURATION_INFORMATION, "Configuration-Information" },
};

dro_err interworking_new(diameter_gate *gate)
{
    gate->relay = relay_new();
    gate->interworking = calloc(1, sizeof *gate->interworking);
    return gate->relay != NULL && gate->interworking != NULL ? DRO_OK : DRO_NOMEM;
}

void interworking_free(diameter_gate *gate)
{
    relay_free(gate->relay);
    for (uint32_t i = 0; gate->interworking != NULL && i < gate->interworking->scef_count; i++)
        free(gate->interworking->scefs[i]);
    free(gate->interworking);
}

static const roaming_home *home_of(const diameter_gate *gate)
{
    return &gate->config->roaming->homes[gate->interworking->plan.home];
}

/* ---- what an MME tells of ---- */

static uint64_t reference_of(const diameter_message *message, const diameter_avp *group)
{
    const diameter_avp *extended = diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID_EXT);
    return extended != NULL ? diameter_u64(extended) : diameter_u32(diameter_find_in(message, group, AVP_SCEF_REFERENCE_ID));
}

static event *set_of(interworking *here, uint32_t node, uint64_t reference)
{
    uint64_t mixed = (reference ^ (uint64_t)node << 32) * 0x9e3779b97f4a7c15ull;
    return here->events[mixed >> 52];
}
_Static_assert(EVENT_SETS == 1 << 12, "a set is the top 12 bits");

static event *event_find(interworking *here, uint32_t node, uint64_t reference)
{
    event *set = set_of(here, node, reference);
    for (uint32_t i = 0; i < EVENT_WAYS; i++)
        if (set[i].order != 0 && set[i].node == node && set[i].reference == reference)
            return &set[i];
    return NULL;
}

/* EVENT_SCEFS_MAX: no room for one more name. */
static uint32_t scef_number(interworking *here, const diameter_avp *name)
{
    uint32_t i = 0;
    while (i < here->scef_count && !diameter_is_identity(name, here->scefs[i]))
        i++;
    if (i == here->scef_count && i < EVENT_SCEFS_MAX && (here->scefs[i] = strndup((const char *)name->data, name->length)) != NULL)
        here->scef_count++;
    return i < here->scef_count ? i : EVENT_SCEFS_MAX;
}

static void event_keep(interworking *here, uint32_t node, uint64_t reference, const diameter_avp *scef)
{
    uint32_t number = scef_number(here, scef);
    event *place = event_find(here, node, reference), *set = set_of(here, node, reference);
    if (number == EVENT_SCEFS_MAX)
        return;
    for (uint32_t i = 0; place == NULL && i < EVENT_WAYS; i++)
        if (set[i].order == 0)
            place = &set[i];
    if (place == NULL) {
        place = &set[0];
        for (uint32_t i = 1; i < EVENT_WAYS; i++)
            if (set[i].order < place->order)
                place = &set[i];
    }
    here->event_count += place->order == 0;
    here->order += here->order == UINT32_MAX ? 0 : 1;
    *place = (event){ .reference = reference, .node = node, .order = here->order, .scef = (uint16_t)number };
}

static void event_drop(interworking *here, uint32_t node, uint64_t reference)
{
    event *found = event_find(here, node, reference);
    if (found == NULL)
        return;
    *found = (event){ 0 };
    here->event_count--;
}

static uint32_t node_of(const diameter_message *request)
{
    const diameter_avp *host = diameter_find(request, AVP_ORIGIN_HOST);
    return gate_identity_hash((const char *)host->data, host->length);
}

/* ---- what concerns a home network ---- */

static int home_of_user(const diameter_gate *gate, const diameter_message *request)
{
    char imsi[IMSI_DIGITS_MAX + 1];
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER);
    if (!t6a_imsi(diameter_find_in(request, user, AVP_USER_NAME), imsi))
        return ROAMING_NONE;
    return roaming_of_imsi(gate->config->roaming, imsi);
}

static bool is_ours(const diameter_gate *gate, const diameter_avp *host)
{
    return diameter_is_identity(host, gate->config->identity);
}

/* Which SCEF a report or configuration is for: the one it names, or the one that the event came from. */
static bool plan_for_scef(diameter_gate *gate, const diameter_message *request, const diameter_avp *group)
{
    const diameter_avp *scef = diameter_find_in(request, group, AVP_SCEF_ID);
    const diameter_avp *host = diameter_find(request, AVP_DESTINATION_HOST);
    interworking *here = gate->interworking;
    const event *known = group == NULL ? NULL : event_find(here, node_of(request), reference_of(request, group));
    const uint8_t *name = NULL;
    uint32_t length = 0;
    if (scef != NULL && !is_ours(gate, scef)) {
        name = scef->data;
        length = scef->length;
    } else if (host != NULL && !is_ours(gate, host)) {
        name = host->data;
        length = host->length;
    } else if (scef == NULL && known != NULL) {
        name = (const uint8_t *)here->scefs[known->scef];
        length = (uint32_t)strlen(here->scefs[known->scef]);
    }
    if (name == NULL)
        return false;
    here->plan.home = roaming_of_host(gate->config->roaming, name, length);
    if (here->plan.home == ROAMING_NONE)
        here->plan.home = home_of_user(gate, request);
    here->plan.host = name;
    here->plan.host_length = length;
    return here->plan.home != ROAMING_NONE;
}

static bool plan_up(diameter_gate *gate, const diameter_message *request, const diameter_command *command)
{
    relay_plan *plan = &gate->interworking->plan;
    const diameter_avp *host = diameter_find(request, AVP_DESTINATION_HOST);
    if (command->code == COMMAND_REPORTING_INFORMATION)
        return plan_for_scef(gate, request, diameter_find(request, AVP_MONITORING_EVENT_REPORT));
    if (command->code == COMMAND_CONFIGURATION_INFORMATION)
        return true; /* ends here */
    if (command->code == COMMAND_MT_DATA)
        return false;
    plan->home = home_of_user(gate, request);
    if (host != NULL && !is_ours(gate, host)) {
        plan->host = host->data;
        plan->host_length = host->length;
    }
    return plan->home != ROAMING_NONE;
}

static bool plan_down(diameter_gate *gate, const diameter_message *request, int home)
{
    relay_plan *plan = &gate->interworking->plan;
    const diameter_avp *host = diameter_find(request, AVP_DESTINATION_HOST), *realm = diameter_find(request, AVP_DESTINATION_REALM);
    *plan = (relay_plan){ .home = home, .realm = realm->data, .realm_length = realm->length };
    if (host != NULL) {
        plan->host = host->data;
        plan->host_length = host->length;
    }
    return true;
}

bool interworking_concerns(diameter_gate *gate, const diameter_message *request, const diameter_command *command)
{
    if (command->application != DIAMETER_APPLICATION_T6A)
        return false;
    const diameter_avp *realm = diameter_find(request, AVP_ORIGIN_REALM);
    int home = roaming_of_realm(gate->config->roaming, realm->data, realm->length);
    if (home != ROAMING_NONE)
        return plan_down(gate, request, home);
    gate->interworking->plan = (relay_plan){ .home = ROAMING_NONE, .is_up = true };
    return plan_up(gate, request, command);
}

/* ---- may it pass ---- */

/* TS 29.128 6.5: no agreement on that. */
static bool refuse(diameter_peer *peer)
{
    diameter_gate *gate = peer->gate;
    const relay_plan *plan = &gate->interworking->plan;
    diameter_count_drop(&gate->counts, DIAMETER_DROP_NOT_ALLOWED);
    if (plan->home != ROAMING_NONE)
        interworking_count(gate, plan->home, plan->is_up, INTERWORKING_REFUSED, 1);
    gate->fault = (diameter_fault){ .experimental = DIAMETER_ERROR_OPERATION_NOT_ALLOWED };
    return false;
}

static bool judge_connection(diameter_peer *peer, const diameter_message *request)
{
    diameter_gate *gate = peer->gate;
    relay_plan *plan = &gate->interworking->plan;
    const roaming_home *home = home_of(gate);
    const diameter_avp *apn = diameter_find(request, AVP_SERVICE_SELECTION), *action = diameter_find(request, AVP_CONNECTION_ACTION);
    if (apn != NULL && !roaming_has_apn(home, apn->data, apn->length))
        return refuse(peer);
    bool is_alive = action != NULL && (diameter_u32(action) == ACTION_ESTABLISH || diameter_u32(action) == ACTION_UPDATE);
    bool has_rate = home->uplink_rate > 0 || home->downlink_rate > 0;
    plan->adds_rate = is_alive && has_rate && diameter_find(request, AVP_SERVING_PLMN_RATE_CONTROL) == NULL;
    plan->adds_plmn = is_alive && gate->config->roaming->plmn[0] != '\0' && diameter_find(request, AVP_VISITED_PLMN_ID) == NULL;
    return true;
}

/* All reports of one request go to one SCEF. */
static bool judge_reports(diameter_peer *peer, const diameter_message *request)
{
    const relay_plan *plan = &peer->gate->interworking->plan;
    const diameter_avp *report = diameter_find(request, AVP_MONITORING_EVENT_REPORT);
    for (; report != NULL; report = diameter_find_next(request, report)) {
        const diameter_avp *scef = diameter_find_in(request, report, AVP_SCEF_ID), *type = diameter_find_in(request, report, AVP_MONITORING_TYPE);
        bool is_other = scef != NULL && !(scef->length == plan->host_length && strncasecmp((const char *)scef->data, (const char *)plan->host, scef->length) == 0);
        if (is_other)
            return t6a_refuse_avp(peer, DIAMETER_INVALID_AVP_VALUE, request, scef);
        if (type != NULL && !roaming_has_report(home_of(peer->gate), diameter_u32(type)))
            return refuse(peer);
    }
    return true;
}

/* A home network speaks of its own subscribers, to a node it names. */
static bool pass_down(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    const relay_plan *plan = &gate->interworking->plan;
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER);
    if (command->code != COMMAND_MT_DATA && command->code != COMMAND_CONNECTION_MANAGEMENT)
        return t6a_refuse(peer, DIAMETER_COMMAND_UNSUPPORTED); /* a serving node's to send; events come by the HSS */
    if (plan->host == NULL || is_ours(gate, diameter_find(request, AVP_DESTINATION_HOST)))
        return t6a_refuse(peer, DIAMETER_UNABLE_TO_DELIVER);
    if (user != NULL && home_of_user(gate, request) != plan->home)
        return refuse(peer);
    return relay_request(peer, request, command, plan);
}

static bool pass_up(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    relay_plan *plan = &gate->interworking->plan;
    const roaming_home *home = home_of(gate);
    const diameter_avp *realm = diameter_find(request, AVP_DESTINATION_REALM);
    if (!diameter_is_identity(realm, gate->config->realm) && !diameter_is_identity(realm, home->realm))
        return t6a_refuse(peer, DIAMETER_REALM_NOT_SERVED);
    plan->realm = (const uint8_t *)home->realm;
    plan->realm_length = (uint32_t)strlen(home->realm);
    if (command->code == COMMAND_CONNECTION_MANAGEMENT && !judge_connection(peer, request))
        return false;
    if (command->code == COMMAND_REPORTING_INFORMATION && !judge_reports(peer, request))
        return false;
    return relay_request(peer, request, command, plan);
}

/* ---- events that an MME got with a subscriber (T6ai) ---- */

static void put_status(const diameter_message *request, const diameter_avp *configuration, bool is_allowed, dro_builder *out)
{
    const diameter_avp *scef = diameter_find_in(request, configuration, AVP_SCEF_ID);
    const diameter_avp *extended = diameter_find_in(request, configuration, AVP_SCEF_REFERENCE_ID_EXT);
    size_t status = diameter_group_begin(out, AVP_MONITORING_EVENT_CONFIG_STATUS);
    size_t report = diameter_group_begin(out, AVP_SERVICE_REPORT);
    size_t result = diameter_group_begin(out, AVP_SERVICE_RESULT);
    if (!is_allowed)
        diameter_put_u32(out, AVP_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_u32(out, AVP_SERVICE_RESULT_CODE, is_allowed ? DIAMETER_SUCCESS : DIAMETER_ERROR_OPERATION_NOT_ALLOWED);
    diameter_group_end(out, result);
    diameter_group_end(out, report);
    diameter_put_u32(out, AVP_SCEF_REFERENCE_ID, diameter_u32(diameter_find_in(request, configuration, AVP_SCEF_REFERENCE_ID)));
    if (extended != NULL)
        diameter_put_u64(out, AVP_SCEF_REFERENCE_ID_EXT, diameter_u64(extended));
    diameter_put(out, AVP_SCEF_ID, scef->data, scef->length);
    diameter_group_end(out, status);
}

static void forget_deleted(diameter_gate *gate, const diameter_message *request, const diameter_avp *configuration)
{
    static const diameter_name names[] = { AVP_SCEF_REFERENCE_ID_FOR_DELETION, AVP_SCEF_REFERENCE_ID_FOR_DELETION_EXT };
    for (int i = 0; i < 2; i++)
        for (const diameter_avp *gone = diameter_find_in(request, configuration, names[i]); gone != NULL; gone = diameter_find_next(request, gone))
            event_drop(gate->interworking, node_of(request), i == 0 ? diameter_u32(gone) : diameter_u64(gone));
}

/* Is there an agreement on it? */
static bool take_configuration(diameter_gate *gate, const diameter_message *request, const diameter_avp *configuration)
{
    const diameter_avp *scef = diameter_find_in(request, configuration, AVP_SCEF_ID);
    const diameter_avp *reference = diameter_find_in(request, configuration, AVP_SCEF_REFERENCE_ID);
    uint32_t type = diameter_u32(diameter_find_in(request, configuration, AVP_MONITORING_TYPE));
    int home = roaming_of_host(gate->config->roaming, scef->data, scef->length), user = home_of_user(gate, request);
    home = home != ROAMING_NONE ? home : user;
    bool is_allowed = home != ROAMING_NONE && (user == ROAMING_NONE || user == home) &&
                      roaming_has_report(&gate->config->roaming->homes[home], type);
    forget_deleted(gate, request, configuration);
    if (is_allowed && (reference != NULL || diameter_find_in(request, configuration, AVP_SCEF_REFERENCE_ID_EXT) != NULL))
        event_keep(gate->interworking, node_of(request), reference_of(request, configuration), scef);
    if (home != ROAMING_NONE)
        interworking_count(gate, home, true, is_allowed ? INTERWORKING_EVENT : INTERWORKING_REFUSED, 1);
    return is_allowed;
}

/* What an MME tells at once with its configuration goes on as a report of ours. */
static void send_report(diameter_peer *peer, const diameter_message *request, const diameter_avp *report)
{
    diameter_gate *gate = peer->gate;
    relay_plan *plan = &gate->interworking->plan;
    *plan = (relay_plan){ .home = ROAMING_NONE, .is_up = true };
    const diameter_avp *user = diameter_find(request, AVP_USER_IDENTIFIER), *type = diameter_find_in(request, report, AVP_MONITORING_TYPE);
    bool is_planned = plan_for_scef(gate, request, report);
    if (!is_planned || (type != NULL && !roaming_has_report(home_of(gate), diameter_u32(type))))
        return;
    plan->realm = (const uint8_t *)home_of(gate)->realm;
    plan->realm_length = (uint32_t)strlen(home_of(gate)->realm);
    size_t most = REPORT_BYTES + request->header.length;
    diameter_peer *to = relay_next_hop(peer, plan);
    pending_outgoing *entry = to == NULL ? NULL : pending_put_outgoing(gate->pending);
    dro_builder out;
    if (entry == NULL || !peer_room(to, most, &out)) {
        diameter_count_drop(&gate->counts, to == NULL ? DIAMETER_DROP_NO_PEER : DIAMETER_DROP_BUSY);
        interworking_count(gate, plan->home, true, INTERWORKING_UNANSWERED, 1);
        if (entry != NULL)
            pending_drop_outgoing(gate->pending, entry);
        return;
    }
    entry->kind = OUTGOING_RELEASE; /* whatever is answered, nothing comes of it */
    entry->end_to_end = gate->end_to_end++;
    entry->deadline_ns = loop_now_ns(gate->home) + RELEASE_TIMEOUT_MS * NS_PER_MS;
    size_t begin = t6a_request_begin(gate, to, entry, COMMAND_REPORTING_INFORMATION, DIAMETER_APPLICATION_T6A, 0, &out);
    diameter_put_u32(&out, AVP_AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    peer_put_origin(gate, &out);
    diameter_put(&out, AVP_DESTINATION_HOST, plan->host, plan->host_length);
    diameter_put(&out, AVP_DESTINATION_REALM, plan->realm, plan->realm_length);
    if (user != NULL)
        diameter_put_copy(&out, user);
    diameter_put_copy(&out, report);
    t6a_request_end(gate, to, entry, begin, &out);
}

static bool on_configuration_information(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    diameter_gate *gate = peer->gate;
    const diameter_avp *first = diameter_find(request, AVP_MONITORING_EVENT_CONFIGURATION);
    const diameter_avp *report = diameter_find(request, AVP_MONITORING_EVENT_REPORT);
    size_t most = CIA_BYTES + request->header.length; /* what is repeated is not longer than the request */
    for (const diameter_avp *avp = first; avp != NULL; avp = diameter_find_next(request, avp))
        most += STATUS_BYTES + DIAMETER_IDENTITY_MAX;
    dro_builder out;
    if (!peer_room(peer, most, &out))
        return true;
    size_t begin = t6a_answer_begin(gate, request, DIAMETER_SUCCESS, 0, &out);
    for (const diameter_avp *avp = first; avp != NULL; avp = diameter_find_next(request, avp))
        put_status(request, avp, take_configuration(gate, request, avp), &out);
    t6a_answer_end(peer, request, command, begin, DIAMETER_SUCCESS, 0, &out);
    for (; report != NULL && peer->state != PEER_GONE; report = diameter_find_next(request, report))
        send_report(peer, request, report);
    return true;
}

bool interworking_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command)
{
    const relay_plan *plan = &peer->gate->interworking->plan;
    if (!plan->is_up)
        return pass_down(peer, request, command);
    if (command->code == COMMAND_CONFIGURATION_INFORMATION)
        return on_configuration_information(peer, request, command);
    return pass_up(peer, request, command);
}

/* ---- what passed ---- */

void interworking_count(diameter_gate *gate, int home, bool is_up, interworking_counted what, uint64_t more)
{
    gate->interworking->passed[home][is_up].counts[what] += more;
}

/* The one place that sees each request that passed and was answered: for who charges for it. */
void interworking_passed(diameter_gate *gate, int home, bool is_up, const diameter_command *command, uint32_t data_length, uint32_t result)
{
    passed *passed = &gate->interworking->passed[home][is_up];
    passed->counts[INTERWORKING_ANSWERED]++;
    if (result != DIAMETER_SUCCESS)
        return;
    passed->data_bytes += data_length;
    for (uint32_t i = 0; i < COMMANDS; i++)
        passed->succeeded[i] += commands[i].code == command->code;
}

static void put_line(dro_builder *out, const char *name, const char *home, bool is_up, const char *more, uint64_t value)
{
    char text[192];
    if (value == 0)
        return;
    snprintf(text, sizeof text, "dromio_interworking_%s{home=\"%s\",direction=\"%s\"%s} %" PRIu64 "\n", name, home, is_up ? "up" : "down", more, value);
    dro_builder_text(out, text);
}

static void put_passed(const diameter_gate *gate, int kind, dro_builder *out)
{
    static const char *const counted[] = { "answered_total", "unanswered_total", "refused_total", "failovers_total", "events_total" };
    for (uint32_t i = 0; i < gate->config->roaming->home_count; i++)
        for (int up = 0; up < 2; up++) {
            const passed *passed = &gate->interworking->passed[i][up];
            const char *plmn = gate->config->roaming->homes[i].plmn;
            char command[64];
            if (kind < INTERWORKING_COUNTED)
                put_line(out, counted[kind], plmn, up, "", passed->counts[kind]);
            else if (kind == INTERWORKING_COUNTED)
                put_line(out, "data_bytes_total", plmn, up, "", passed->data_bytes);
            for (uint32_t j = 0; kind > INTERWORKING_COUNTED && j < COMMANDS; j++) {
                snprintf(command, sizeof command, ",command=\"%s\"", commands[j].name);
                put_line(out, "succeeded_total", plmn, up, command, passed->succeeded[j]);
            }
        }
}

void interworking_metrics(const diameter_gate *gate, dro_builder *out)
{
    static const struct { const char *name, *help; } heads[] = {
        { "answered_total", "Requests that passed between serving nodes here and home networks and were answered." },
        { "unanswered_total", "Requests that passed and nobody answered: 3002." },
        { "refused_total", "Requests, or events in them, that no agreement is on: 5101." },
        { "failovers_total", "Requests that went another way after their next hop was lost." },
        { "events_total", "Events of home networks that serving nodes told of." },
        { "data_bytes_total", "Bytes of Non-IP-Data that were taken." },
        { "succeeded_total", "Requests that passed and were answered 2001, by command." },
    };
    char text[256];
    for (int kind = 0; kind < (int)(sizeof heads / sizeof heads[0]); kind++) {
        snprintf(text, sizeof text, "# HELP dromio_interworking_%s %s\n# TYPE dromio_interworking_%s counter\n", heads[kind].name, heads[kind].help, heads[kind].name);
        dro_builder_text(out, text);
        put_passed(gate, kind, out);
    }
    snprintf(text, sizeof text, "# HELP dromio_interworking_events Events whose SCEF is remembered.\n# TYPE dromio_interworking_events gauge\n"
                                "dromio_interworking_events %" PRIu32 "\n", gate->interworking->event_count);
    dro_builder_text(out, text);
}
