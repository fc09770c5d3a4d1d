/* Writing Diameter into a dro_builder. Write straight on and ask the builder's
 * `err` once at the end. Code, vendor and flags of an AVP come from the
 * dictionary. Whoever owns the buffer wipes it: messages carry identities. */
#pragma once

#include "base/builder.h"
#include "wire/diameter/pdu.h"

/* A message from here on; give the returned offset to diameter_end, which sets the length. */
size_t diameter_begin(dro_builder *out, const diameter_header *header);
void diameter_end(dro_builder *out, size_t begin);

void diameter_put(dro_builder *out, diameter_name name, const void *data, size_t length);
void diameter_put_text(dro_builder *out, diameter_name name, const char *text);
void diameter_put_u32(dro_builder *out, diameter_name name, uint32_t value);
void diameter_put_u64(dro_builder *out, diameter_name name, uint64_t value);
/* Seconds since 1970 as Time. */
void diameter_put_time(dro_builder *out, diameter_name name, uint32_t unix_seconds);
/* Digits as TBCD (TS 29.002): two in a byte, the first in its low half, 0xf behind an odd one. */
void diameter_put_tbcd(dro_builder *out, diameter_name name, const char *digits);
/* 4 or 16 bytes of an IP address. */
void diameter_put_address(dro_builder *out, diameter_name name, const void *address, size_t length);
/* An AVP as it came, with its own code, vendor and flags (Proxy-Info in answers). */
void diameter_put_copy(dro_builder *out, const diameter_avp *avp);

/* A grouped AVP around what is put until diameter_group_end. */
size_t diameter_group_begin(dro_builder *out, diameter_name name);
void diameter_group_end(dro_builder *out, size_t begin);

/* Vendor-Specific-Application-Id{10415, Auth-Application-Id}. */
void diameter_put_application(dro_builder *out, uint32_t application);
/* Result-Code, or when that is 0 Experimental-Result{10415, experimental}. */
void diameter_put_result(dro_builder *out, uint32_t result, uint32_t experimental);
/* Failed-AVP of the fault, if it has one. */
void diameter_put_failed(dro_builder *out, const diameter_fault *fault);

/* Header of the answer to a request: same code, application, ids and P bit. E bit for 3xxx. */
diameter_header diameter_answer_header(const diameter_header *request, uint32_t result);
