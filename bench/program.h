/* Programs that a benchmark starts beside dromiod: what it is compared with, and
 * clients of others. Also the directory of its own that each run gets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PROGRAM_STOP_MS = 5000 /* after SIGTERM; then SIGKILL */ };

typedef struct program {
    pid_t pid; /* 0: not running */
} program;

/* Where a program is: PATH, then the places of daemons. False: not installed. */
bool program_find(const char *name, char *out, size_t room);
/* Output and errors go to the file `log`. False: said why. */
bool program_start(program *program, char *const *arguments, const char *log);
bool program_is_running(program *program);
/* Waits for its end; -1: an interrupt, or it took longer than `ms`. Else what it exited with. */
int program_wait(program *program, int ms);
void program_stop(program *program);
/* Seconds of CPU it has used, all threads. */
double program_cpu(const program *program);
/* The first line that a program prints, for its version; "" when it prints none. */
void program_first_line(char *const *arguments, char *out, size_t room);

/* A self-signed key.pem and certificate.pem for `name` in `directory`, by openssl. False: said why. */
bool program_make_certificate(const char *directory, const char *name);
/* The end of a log, on standard error: why something did not start. */
void program_show_log(const char *path);

void program_nap_ms(int ms);

/* A new directory in `where`. False: said why. */
bool directory_make(const char *where, char *out, size_t room);
void directory_remove(const char *path); /* with all that is in it; "" is fine */
