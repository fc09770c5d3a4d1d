/* Access point names: which one an application's devices use, and what becomes of a
 * connection that no application has configured. Rules come from the configuration
 * (t8.apn, t8.without_configuration, t8.apns), the first that fits decides. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "twin/plmn.h"

enum {
    APN_TEXT_MAX = 100, /* octets, TS 23.003 9.1 */
    APN_RULES_MAX = 64,
    APN_NETWORKS_MAX = 16, /* a rule names */
    APN_RATE_MAX = 16777215, /* packets in a unit: three octets, TS 24.008 10.5.6.3.2 */
};

typedef struct apn_rate { uint32_t packets, seconds; } apn_rate; /* so many packets in that time; packets 0: any number */

typedef struct apn_rule {
    char domain[256];          /* of the device's id; "": of any */
    char application[128];     /* id of the application; "": any */
    char apn[APN_TEXT_MAX + 1];
    bool accepts;              /* a connection without a configuration */
    apn_rate uplink, downlink; /* APN rate control (TS 23.401, 4.7.7.3) */
    bool drops;                /* uplinks over the rate; else they are only counted */
    char visited[APN_NETWORKS_MAX][PLMN_DIGITS_MAX + 1]; /* networks it may be used in beside the home network; none: all */
    uint32_t visited_count;
} apn_rule;

typedef struct apn_policy {
    const apn_rule *rules;
    uint32_t rule_count;
    const char *usual;         /* where no rule fits; "" or NULL: any APN will do */
    bool refuses;              /* a connection without a configuration, over an APN that no rule names */
} apn_policy;

/* The APN of a new configuration; "": any. */
const char *apn_choose(const apn_policy *policy, const char *application, const char *domain, size_t domain_length);
/* Does it tell APNs apart at all? */
bool apn_has_policy(const apn_policy *policy);
/* May a device of this domain connect over the APN although nobody has configured it? */
bool apn_accepts(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length);
/* The first rule with rates for the APN and domain; NULL: none. */
const apn_rule *apn_rates(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length);
/* May a device of this domain use the APN in that network, which is not its own? The first rule for both that names networks says so. */
bool apn_may_visit(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length, const char *plmn);
/* False: no network, or too many. */
bool apn_add_visited(apn_rule *rule, const char *plmn);
bool apn_has_networks(const apn_policy *policy); /* any rule of it */
bool apn_has_rates(const apn_policy *policy); /* any rule of it */
/* "100/hour": of minute, hour, day or week. */
bool apn_rate_read(const char *text, apn_rate *rate);
/* The same network? Letters without case, and without an operator identifier ("iot" is "IOT.mnc001.mcc001.gprs"). */
bool apn_is_same(const char *a, size_t a_length, const char *b, size_t b_length);
/* Letters, digits, hyphens and dots. */
bool apn_is_valid(const char *apn, size_t length);
