/* JSON of twins, for answers and events. */
#pragma once

#include <stdint.h>

#include "base/builder.h"
#include "core/twin_table.h"

void json_put(dro_builder *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_string(dro_builder *out, const char *text);
void json_time(dro_builder *out, int64_t ms); /* quoted, or null for COLUMNS_NEVER */
void render_property(core *core, const twin *twin, uint32_t property, dro_builder *out);
void render_digest(const core *core, uint32_t image, dro_builder *out); /* quoted; NONE: null */
void render_twin(core *core, uint32_t index, bool is_whole, dro_builder *out); /* whole: with the names of its nodes */
