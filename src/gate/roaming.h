/* Roaming agreements of an IWK-SCEF (TS 29.128): for which home networks this host carries T6a messages
 * between serving nodes here and their SCEFs, and what of it. Rows of interworking.homes; what no row
 * names is not carried. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "twin/plmn.h"

enum {
    ROAMING_HOMES_MAX = 64,
    ROAMING_HOSTS_MAX = 4,
    ROAMING_APNS_MAX = 8,
    ROAMING_APN_MAX = 100,
    ROAMING_RATE_LEAST = 10,       /* packets in six minutes: the least a serving network may say */
    ROAMING_NONE = -1,
};

typedef struct roaming_home {      /* a network whose subscribers come here */
    char plmn[PLMN_DIGITS_MAX + 1];
    char realm[256];               /* of its SCEFs */
    char hosts[ROAMING_HOSTS_MAX][256]; /* its SCEFs, the preferred one first; none: whoever is of that realm */
    char apns[ROAMING_APNS_MAX][ROAMING_APN_MAX + 1]; /* none: all */
    uint32_t host_count, apn_count;
    uint32_t uplink_rate, downlink_rate; /* Serving-PLMN-Rate-Control for those who have none; 0: none */
    bool has_reports;              /* a list was given; else all types are */
    uint32_t reports;              /* Monitoring-Types that may be configured and reported, a bit each */
} roaming_home;

typedef struct roaming_key {       /* of a row, apart: every request looks here */
    uint32_t network, limit;       /* its PLMN's digits as a number, and how many numbers of six digits begin so: 1 or 10 */
    uint32_t realm_hash, realm_length;
} roaming_key;

typedef struct roaming_policy {
    char plmn[PLMN_DIGITS_MAX + 1]; /* the network here; "": not said */
    roaming_home homes[ROAMING_HOMES_MAX];
    uint32_t home_count;           /* 0: this host is no IWK-SCEF */
    roaming_key keys[ROAMING_HOMES_MAX]; /* by roaming_prepare */
} roaming_policy;

/* Once all rows are there, before anybody looks. */
void roaming_prepare(roaming_policy *policy);

/* Each false: what is wrong, or there are too many. */
bool roaming_add_host(roaming_home *home, const char *text);
bool roaming_add_apn(roaming_home *home, const char *text);
bool roaming_add_report(roaming_home *home, const char *text); /* "location_reporting" and so on; "none" */

/* Rows, or ROAMING_NONE: of the network an IMSI is of, by a realm, by an SCEF's name. */
int roaming_of_imsi(const roaming_policy *policy, const char *imsi);
int roaming_of_realm(const roaming_policy *policy, const void *realm, size_t length);
int roaming_of_host(const roaming_policy *policy, const void *host, size_t length);
/* In any case of letters, with or without an operator identifier behind it (TS 23.003 9.1). */
bool roaming_has_apn(const roaming_home *home, const void *apn, size_t length);
bool roaming_has_report(const roaming_home *home, uint32_t monitoring_type);
