/* What nodes say of what they watch: Monitoring-Event-Report and its like become fields of T8's MonitoringEventReport,
 * Reporting-Information-Request becomes messages to the cores of its references. Inside of the Diameter side of the gate. */
#pragma once

#include "gate/diameter_gate.h"

/* Fields of enum monitoring_report_field. False: `wrong` is what cannot be. */
bool report_put(const diameter_message *message, const diameter_avp *report, dro_builder *out, const diameter_avp **wrong);
/* EPS-Location-Information as REPORT_LOCATION. */
bool report_put_location(const diameter_message *message, const diameter_avp *location, dro_builder *out, const diameter_avp **wrong);
/* One TOLD field of a Monitoring-Event-Report or Group-Report-Item: an event. */
bool report_put_told(const diameter_message *message, const diameter_avp *report, dro_builder *out, const diameter_avp **wrong);
/* Service-Result-Code of the first Service-Report that is no success, where none is one. */
enum inquiry_verdict report_verdict(const diameter_message *message, const diameter_avp *around, uint32_t *code);

/* Reporting-Information-Request of T6a and S6t. */
bool report_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command);
/* MESSAGE_REPORT_ANSWER. */
void report_on_answer(diameter_gate *gate, uint64_t id, const void *body, uint32_t length);
