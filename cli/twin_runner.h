/* Runner: something that runs turns of one twin. The cell's runner takes an image
 * through admit and a cell, as the host does; the native one (sdk/native/) calls a
 * twin compiled for this machine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "twin/model.h"

typedef struct twin_turn {
    int64_t wall_ms;
    uint64_t seed;
    uint32_t kind, id;      /* twin/event.h */
    const uint8_t *payload;
    uint32_t length;
} twin_turn;

typedef struct twin_turn_end {
    const char *fault;      /* NULL: none; else why the turn failed, and nothing of it counts */
    uint32_t outcome;       /* event_outcome */
    const uint8_t *effects; /* encoded (twin/effect.h); borrowed until the next turn */
    uint32_t effects_length;
    int64_t context_length; /* -1: a native twin has none */
} twin_turn_end;

typedef struct twin_runner twin_runner;
struct twin_runner {
    const model *model;
    bool (*reset)(twin_runner *runner);  /* back to a twin as it is born; false: told why */
    bool (*turn)(twin_runner *runner, const twin_turn *turn, twin_turn_end *end); /* false: the runner itself failed */
    /* The twin's state out of this build and into the next one; *fault as in twin_turn_end. */
    bool (*move)(twin_runner *runner, const char **fault);
    void (*free)(twin_runner *runner);
};

/* Admits the image, and the one a "move" goes to (NULL: the same). NULL: told every reason. */
twin_runner *twin_runner_cell_new(const char *path, const char *next_path);
