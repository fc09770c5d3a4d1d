/* Control: what a core and dromiod tell each other beside the rings, over a
 * seqpacket socket pair, with descriptors where needed; and how gates get new certificates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum control_type {
    /* core -> dromiod */
    CONTROL_READY = 1,     /* recovered; status: 1 if keys sit in memfd_secret */
    CONTROL_ADMIT,         /* id; descriptors: image, room for the result */
    CONTROL_IMAGES,        /* core 0; index: their number; descriptor: all artifacts, see room.h */
    CONTROL_REPLACE_CELL,  /* index, number (1: the one being drained): it does not answer;
                            * status 1: it works for what was stopped, and its death does not count */
    CONTROL_CELL_DRAINED,  /* index: the replaced one may end */
    CONTROL_STOPPED,       /* all is told and durable */
    CONTROL_RENEW_CELL,    /* index: it is to have other images */
    /* dromiod -> core */
    CONTROL_ADMITTED = 16, /* id, status: of waitpid */
    CONTROL_CELL_UP,       /* index, set, number: images it has */
    CONTROL_CELL_LOST,     /* index, set: to be wiped */
    CONTROL_OLD_CELL_LOST, /* index, set */
    CONTROL_GATE_UP,       /* index, set */
    CONTROL_GATE_LOST,     /* index, set */
    CONTROL_DRAIN,         /* the gates finish what they took: see core_drain */
    CONTROL_STOP,
    CONTROL_LEDGER_UP,     /* index: kind, set: of rings with the room that writes its files */
    CONTROL_LEDGER_LOST,   /* index: kind */
    /* dromiod -> gate */
    CONTROL_CERTIFICATES = 32, /* descriptor: a bundle of gate/tls_bundle.h */
};

typedef struct control {
    uint32_t type, index, set, number;
    uint64_t id;
    int32_t status, reserved;
} control;

enum { CONTROL_DESCRIPTORS = 2 };

/* Sends; descriptors are -1 where there is none. */
DRO_CHECKED dro_err control_send(int socket, const control *control, const int descriptors[CONTROL_DESCRIPTORS]);
/* DRO_AGAIN: nothing there. DRO_IO: the other side is gone. */
DRO_CHECKED dro_err control_receive(int socket, control *control, int descriptors[CONTROL_DESCRIPTORS]);
