/* A twin's last events and the recent values of a property, read from its chain of records. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* with_network: with procedures of the network that are no events of the twin, as far as the log has them. */
size_t timeline_json(core *core, uint32_t twin, uint32_t limit, bool with_network, char *out, size_t capacity);
size_t history_json(core *core, uint32_t twin, uint32_t property, uint32_t limit, char *out, size_t capacity);
