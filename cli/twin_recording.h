/* Recording: what happened to a twin, step by step, and what each step has to bring.
 *
 *   {"title": "...", "context_max": 200,
 *    "steps": [
 *      {"created": {"calibration": 0.5}, "expect": ["readings = 0"]},
 *      {"uplink": "01 00 085c 64 0ce4 d9", "after_s": 600, "expect": ["temperature = 21.4 (corrected)"]},
 *      {"configured": {"calibration": null}}, {"write": {"period": 600}}, {"action": {"blink": {"seconds": 3}}},
 *      {"timer": 1}, {"reachable": true}, {"downlink": "c0ffee"}, {"move": true}]}
 *
 * An expectation is the whole turn, a line for each effect in its order:
 *
 *   NAME = VALUE[ (QUALITY)]            a property; (good) is not said
 *   downlink HEX[ merge N][ expiry S]
 *   timer N in MS ms | timer N off
 *   event NAME[ VALUE]
 *   ticket reported|failed[ "REASON"]
 *   contact at MS
 *   log LEVEL "TEXT"
 *   not handled | swallowed | failed: WHY
 *
 * "move" takes the twin's state to another build by dromio_export_state and
 * dromio_import_state (--next IMAGE, else into the same image again).
 * A step without "expect" is run and not looked at; "say" is for the reader. Without
 * a first step "created" the twin is created without secrets. Time stands still but for "after_s". */
#pragma once

#include <stdio.h>

#include "twin_runner.h"

enum {
    RECORDING_BYTES_MAX = 4 * 1024 * 1024,
    RECORDING_STEPS_MAX = 10000,
};

typedef struct recording_report {
    uint32_t steps, failed; /* failed: steps that differ */
    int64_t context_most;   /* bytes of the largest context; -1: none seen */
} recording_report;

/* Runs a file's steps and prints each difference to `out`. With `is_record` the file's
 * expectations are written anew instead. False: the file is no recording, or the runner failed: told. */
bool recording_run(twin_runner *runner, const char *path, bool is_record, FILE *out, recording_report *report);
