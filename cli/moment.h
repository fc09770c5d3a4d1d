/* Moments of a command that goes on until somebody ends it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t moment_ms(void); /* monotonic */

/* SIGINT and SIGTERM are remembered instead of ending the program, and end what blocks: a wait, a write, a request
 * (client.h). What fails from then on is no error and not told (cli_fail); the exit code is EXIT_INTERRUPTED, or 0
 * for a command that Ctrl-C is the way to end. */
void moment_catch_interrupts(void);
bool moment_is_interrupted(void);
void moment_wait(int64_t ms); /* or until interrupted */
