/* Rooms as processes: how each is entered after the fork. None of these returns. */
#pragma once

#include "host/config.h"
#include "host/layout.h"
#include "ring/ring.h"
#include "ring/usage.h"

typedef struct room_context {
    const config *config;
    layout *layout;
    int control;                        /* the core's end */
    int core_bells[CORES_MAX], desk_bell;
    int gate_bells[CORE_GATES_MAX], cell_bells[CORES_MAX][CORE_PLACES_MAX * CELL_SETS];
    int ledger_bells[LEDGERS];
    int gate_stops[CORE_GATES_MAX], desk_stop;
    int certificates;                   /* bundle for the gates, 0: none */
    int gate_renewals[CORE_GATES_MAX][2]; /* socket pairs: dromiod's end, the gate's, on which new bundles come */
    int gates_ready;                    /* eventfd: counts gates that answer */
    int http_listeners[CORE_GATES_MAX], diameter_listeners[CORE_GATES_MAX]; /* -1: none */
    int diameter_sctp_listener;         /* one for all gates, 0: none */
    int images;                         /* bundle of artifacts, -1: none */
    int ready;                          /* where a starting cell says that it is */
    uint32_t gate_sets[CORE_GATES_MAX]; /* set in use */
    uint32_t ledger_sets[LEDGERS];      /* the same of the rooms that write files of lines */
    ring_reader desk_questions[CORE_GATES_MAX]; /* as they were when the desk was started */
    const uint8_t *admin_token;         /* SHA-256 */
    usage_page *usage;                  /* dromiod writes, gates read */
    bool is_key_secret;
} room_context;

_Noreturn void room_core(room_context *room, uint32_t index);
_Noreturn void room_gate(room_context *room, uint32_t index);
_Noreturn void room_load(room_context *room, uint32_t index); /* in the place of the last gate */
_Noreturn void room_ledger(room_context *room, enum ledger_kind kind);
bool room_has_ledger(const config *config, enum ledger_kind kind);
_Noreturn void room_desk(room_context *room);
_Noreturn void room_cell(room_context *room, uint32_t core, uint32_t index, uint32_t set);
_Noreturn void room_certificates(room_context *room, int bundle);
_Noreturn void room_admit(room_context *room, int wasm, int out);

/* Bundle: number u32, reserved u32, then lengths u64 each, then the artifacts, each at a multiple of 4096. */
int bundle_make(const uint8_t *const *artifacts, const size_t *lengths, uint32_t count); /* sealed memfd or -1 */

/* Called first in a child: its name, its signals, its end with its parent's, its descriptors. */
void room_enter(const char *name, const int *kept, int kept_count);
