/* The whole Diameter side of a gate for fuzz targets: one core, which the target plays, fake time, and peers over socket pairs. */
#pragma once

#include "gate/diameter_gate.h"

enum { FUZZ_RING_BYTES = 256 * 1024 };

typedef struct fuzz_gate {
    dro_clock_fake clock;
    void *memory;                         /* of the ring */
    loop *home;
    diameter_gate *gate;
    ring_writer to_core;
    ring_reader core;
    gate_config config;
    const roaming_policy *roaming;        /* set before the first call; NULL: none */
    void (*serve)(struct fuzz_gate *bed); /* the core: takes what there is in the ring */
    int peer;                             /* our end; -1: closed */
} fuzz_gate;

/* Made at the first call, and again after a hundred years of its clock; then a new peer, whose CER is awaited. False: no sockets. */
bool fuzz_gate_begin(fuzz_gate *bed, void (*serve)(fuzz_gate *bed));
/* The gate's turn with the core's after it. What the gate wrote is left in the socket. */
void fuzz_gate_turn(fuzz_gate *bed);
/* What the gate wrote, the first of it; its length. */
size_t fuzz_gate_said(const fuzz_gate *bed, uint8_t *out, size_t room);
/* The peer goes and all time limits pass: aborts if the gate still has it. */
void fuzz_gate_end(fuzz_gate *bed);
