/* Host: a dromiod as shipped, started for one benchmark in a data directory of its
 * own, with free ports, and removed again with all it made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    HOST_READY_MS = 300000, /* until GET /healthz says 200; long, for a big data directory */
    HOST_ASK_MS = 5000,      /* one question whether it is */
    HOST_STOP_MS = 60000,   /* after SIGTERM; then SIGKILL */
    HOST_SETS_MAX = 16,
    HOST_PROCESSES_MAX = 256,
    HOST_KINDS_MAX = 16,
};

typedef struct host {
    pid_t pid; /* 0: not running */
    uint16_t http_port, diameter_port;
    char program[4096], directory[4096], token[256], diameter[64];
    const char *sets[HOST_SETS_MAX]; /* borrowed: section.key=value beside the ports */
    int set_count;
    bool is_tls; /* its HTTP is HTTPS: only clients of others can speak to it */
} host;

/* A port nobody listens on now. */
uint16_t host_free_port(void);
/* Makes the data directory and chooses ports. */
bool host_init(host *host, const char *program, const char *directory, const char *const *sets, int set_count);
/* Starts it, waits until it is ready, reads its token. False: said why. */
bool host_start(host *host);
/* SIGTERM and wait, or SIGKILL to all its processes. */
void host_stop(host *host, bool is_kill);
/* Stops what runs and removes the data directory. */
void host_fini(host *host);

typedef struct host_usage { /* of all its processes, or of one kind of room */
    char kind[32];
    double cpu_s;
    uint64_t pss_bytes;
} host_usage;
/* Sum over all processes. With `rooms`: also each kind of room, by its process name; *count of them. */
host_usage host_use(const host *host, bool with_memory, host_usage rooms[HOST_KINDS_MAX], int *count);

/* Sum of a counter of /metrics over all its labels; -1: not there. */
double host_counter(const host *host, const char *name);
/* The same in a text. */
double host_counter_in(const char *metrics, const char *name);
