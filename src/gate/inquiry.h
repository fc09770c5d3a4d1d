/* Inquiries (core/inquiry.h) as Diameter: a row for each kind says which command of which application asks it, how its
 * fields become AVPs and how the answer's AVPs become fields. Inside of the Diameter side of the gate. */
#pragma once

#include "base/fields.h"
#include "gate/diameter_gate.h"

typedef struct inquiry_question { /* borrowed */
    const inquiry_request *request;
    const uint8_t *fields;
    uint32_t length;
} inquiry_question;

typedef struct inquiry_row {
    uint32_t command, application;
    uint32_t peers;               /* enum peer_application */
    /* What follows Destination-Realm. False: these fields make no question. */
    bool (*put)(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
    /* The answer's fields; `told` has the verdict of its result, which the AVPs may change. False: it cannot be used. */
    bool (*read)(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
} inquiry_row;

/* ---- inquiry.c ---- */

/* `text`: host, realm and fields, `length` bytes. */
void inquiry_ask(diameter_gate *gate, uint32_t core, uint64_t id, const inquiry_request *request, const uint8_t *text, uint32_t length);
/* The request is over. True: the core knows. */
bool inquiry_tell(diameter_gate *gate, const pending_outgoing *entry, uint32_t outcome);
/* Its answer came; false: it cannot be used. */
bool inquiry_on_answer(diameter_gate *gate, pending_outgoing *entry, const diameter_message *answer);
/* Of Result-Code or Experimental-Result-Code, one of which is 0. */
enum inquiry_verdict inquiry_verdict_of(uint32_t result, uint32_t experimental);
/* The first field of the list with that tag; tag 0 in it: none. */
dro_field inquiry_field(const inquiry_question *asked, uint32_t tag);

/* ---- s6t.c ---- */

bool s6t_put_nidd(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6t_read_nidd(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
/* User-Identifier of the ID, a group's where the request says so, or of the MSISDN. False: neither is there. */
bool s6t_put_user(const inquiry_question *asked, dro_builder *out);

/* ---- s6t_monitoring.c ---- */

bool s6t_put_monitoring(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6t_read_monitoring(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
bool t6a_put_area(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool t6a_read_area(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);

/* ---- s6t_parameters.c: communication patterns, network parameters, enhanced coverage (TS 29.336, 8.2.1 and 8.2.2) ---- */

bool s6t_put_patterns(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6t_read_patterns(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
bool s6t_put_parameters(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6t_read_parameters(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
bool s6t_put_coverage(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6t_read_coverage(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
/* Network parameters in a Suggested- or Updated-Network-Configuration as fields LATENCY, RESPONSE_TIME, PACKETS. NULL: none. */
void s6t_read_configuration(const diameter_message *message, const diameter_avp *group, dro_builder *fields);
/* Days of T8 (1 Monday to 7 Sunday) as bits of Day-Of-Week-Mask (0 Sunday to 6 Saturday), moved by whole days. */
uint32_t s6t_day_mask(uint32_t t8_days, int shift);
/* A time of day (RFC 3339 partial-time or full-time) as seconds of the day in UTC; *shift: how many days later that is. False: it is none. */
bool s6t_time_of_day(const char *text, size_t length, uint32_t *seconds, int *shift);

/* ---- trigger.c ---- */

bool tsp_put_action(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool tsp_read_action(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
bool s6m_put_subscriber(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool s6m_read_subscriber(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
bool t4_put_trigger(diameter_gate *gate, const inquiry_question *asked, dro_builder *out);
bool t4_read_trigger(diameter_gate *gate, const pending_outgoing *entry, const diameter_message *message, inquiry_answer *told, dro_builder *fields);
