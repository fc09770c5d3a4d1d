/* Diameter nodes, as the gates tell of them. */
#pragma once

#include <stdint.h>

#include "core/core.h"

void peers_update(core *core, uint32_t gate, const uint8_t *body, uint32_t length);
void peers_gate_lost(core *core, uint32_t gate);
/* The gate that has this node open; `usual` if it does, or if none is known to. */
uint32_t peers_gate(const core *core, const char *host, uint32_t usual);
