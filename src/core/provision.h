/* Provisions: what an application has the network keep for a device or group beside monitoring: communication patterns
 * (patterns.c) and network parameters (parameters.c). Both are exposures; asking the network for them, and telling it
 * that they are over until it has heard, is the same here.
 *
 * References in the network are taken in a run, so that a request that waits for the network's word needs to remember the
 * first one only (core->exposures.agreed when it is taken up again). */
#pragma once

#include "core/exposure.h"
#include "core/inquiry.h"

enum { PROVISION_FIELDS_MAX = T8_FIELDS_MAX + 1024 };
/* Times go to the network in seconds of 32 bits since 1900 (RFC 6733, 4.3.1): no later one can be said. */
#define PROVISION_TIME_MAX_MS 2085978495000 /* 2036-02-07T06:28:15Z */

/* The first of so many references in a row. */
uint32_t provision_references(core *core, uint32_t twin, uint32_t count);
/* Who is meant, and for whom it is, as a question has it. */
void provision_put_subject(dro_builder *out, const uint8_t *fields, size_t length);
/* Asks for the call, which waits; `count` references from `first` are new in the question. False after a 503. */
bool provision_ask(core *core, const exposure_call *wanted, enum inquiry_kind kind, uint32_t first, uint32_t count, const dro_builder *question);
/* True after a problem: there is no one to ask. */
bool provision_has_nobody(core *core, const call *call, enum inquiry_kind kind);
/* The network's refusal of the whole, to the application: true after a problem. `pointer`: of a value out of range. */
bool provision_refused(core *core, const call *call, const inquiry_said *said, bool is_group, const char *pointer);
void provision_tell_unknown(core *core, const call *call, bool is_group); /* the network does not know whom it is about */
/* The hook `ends`: tells the network that those references are over; the exposure goes with its answer. */
void provision_ends(core *core, uint32_t twin, exposure *of, const call *call, enum inquiry_kind kind, const uint32_t *references, uint32_t count);
/* The same of what goes with its twin: farewells, inside the record in which that goes. */
void provision_forget(core *core, enum inquiry_kind kind, const twin *twin, const uint32_t *references, uint32_t count);
/* Inside a record: an exposure that the network has ended, or that ends without asking it. */
void provision_over(core *core, uint32_t twin, exposure *of, const char *why);
