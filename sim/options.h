/* Options of dromio-sim: one row each, from which parsing and --help come. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    OPTIONS_MMES_MAX = 64,
    OPTIONS_HSSES_MAX = 4,
    OPTIONS_SEGMENT_MAX = 20,
    OPTIONS_DEVICES_MAX = 1000000,
    OPTIONS_WINDOW_MAX = 4096,
};

typedef struct options {
    char connect[256];  /* host:port or [v6]:port */
    char identity[200]; /* of the first MME; the others get a number behind the first label */
    char realm[200];
    char plmn[7];
    char imsi_first[16];
    char apn[101];
    char tls_ca[1024], tls_certificate[1024], tls_key[1024], tls_name[256];
    char oracle[4096];
    char temperatures[4096]; /* directory with sf-temps.csv and seattle-temps.csv */
    uint32_t mmes, devices, period_s, window, active_s;
    uint64_t seed;
    double loss, duplicate, late, restart, exchange, move, edrx, speed, for_s;
    char hss_identity[200], hss_realm[200], hss_names[200], hss_group[200];
    char hss_connect[256]; /* and hss_realm: as those of the MMEs where they are not given */
    uint32_t hsses, hss_segment;
    double hss_grant_s, hss_refuse, hss_revoke_s;
    char iwf_identity[200];
    double lose, lost_s;
    bool iwf;
    bool attach_only, text, help, version;
} options;

/* 0: go on; else the exit code to leave with (a line was printed). */
int options_read(options *out, int argc, char **argv);
void options_help(void);
