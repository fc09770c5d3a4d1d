/* Judging a Diameter message that could be read: header bits, values by type,
 * the command's grammar and those of its grouped AVPs. */
#pragma once

#include "wire/diameter/pdu.h"

/* A request: 3008 header bits, then values by type (5014, 5004), 5001 an unknown
 * AVP with M bit, 5009 and 5005 by the grammar. False: fault says why. */
bool diameter_check_request(const diameter_message *message, const diameter_command *command, diameter_fault *fault);

/* An answer: header bits, values by type, nothing too often, and a result in it.
 * What is missing else does not hurt us. With the E bit any command's grammar is
 * the one of errors (RFC 6733 7.2). */
bool diameter_check_answer(const diameter_message *message, const diameter_command *command, diameter_fault *fault);

/* The value of one AVP by its dictionary type: 0, or DIAMETER_INVALID_AVP_LENGTH or _VALUE. */
uint32_t diameter_check_value(const diameter_avp *avp);

/* Result-Code of an answer, or its Experimental-Result-Code (one of both is 0). */
void diameter_result_of(const diameter_message *answer, uint32_t *result, uint32_t *experimental);
