/* Apply: what a record's field does to a twin, at run time and at recovery alike. */
#pragma once

#include "base/fields.h"
#include "core/state.h"

/* DRO_MALFORMED: the field does not have its form. */
DRO_CHECKED dro_err apply_field(core *core, uint32_t index, const dro_field *field);
/* FIELD_DUPLICATE alone, of a twin of that partition, which need not be there. */
DRO_CHECKED dro_err apply_duplicate(core *core, uint32_t partition, const dro_field *field);
/* At most IMSI_DIGITS_MAX of them, nothing else. */
bool is_digits(const uint8_t *text, size_t length);
/* Empties what a full record says anew. */
void apply_reset(core *core, uint32_t index);
