/* Moments of a command that goes on until somebody ends it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t moment_ms(void); /* monotonic */
/* SIGINT and SIGTERM end a wait at once and are remembered, instead of ending the program. */
void moment_catch_interrupts(void);
bool moment_is_interrupted(void);
