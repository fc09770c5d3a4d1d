#include "gate/roaming.h"

#include <string.h>
#include <strings.h>

#include "twin/apn.h"

/* By Monitoring-Type (TS 29.336 8.4.4). */
static const char *const report_names[] = {
    "loss_of_connectivity", "ue_reachability", "location_reporting", "change_of_imsi_imei_association", "roaming_status",
    "communication_failure", "availability_after_ddn_failure", "number_of_ues_in_an_area", "ue_reachability_and_idle_status",
    "availability_after_ddn_failure_and_idle_status", "pdn_connectivity_status",
};
enum { REPORT_NAMES = sizeof report_names / sizeof report_names[0] };

bool roaming_add_host(roaming_home *home, const char *text)
{
    size_t length = strlen(text);
    if (home->host_count == ROAMING_HOSTS_MAX || length == 0 || length >= sizeof home->hosts[0])
        return false;
    memcpy(home->hosts[home->host_count++], text, length + 1);
    return true;
}

bool roaming_add_apn(roaming_home *home, const char *text)
{
    size_t length = strlen(text);
    if (home->apn_count == ROAMING_APNS_MAX || length > ROAMING_APN_MAX || !apn_is_valid(text, length))
        return false;
    memcpy(home->apns[home->apn_count++], text, length + 1);
    return true;
}

bool roaming_add_report(roaming_home *home, const char *text)
{
    home->has_reports = true;
    if (strcmp(text, "none") == 0)
        return true;
    for (uint32_t i = 0; i < REPORT_NAMES; i++)
        if (strcmp(report_names[i], text) == 0) {
            home->reports |= 1u << i;
            return true;
        }
    return false;
}

/* FNV-1a, letters without case. */
static uint32_t hash_of(const void *text, size_t length)
{
    const uint8_t *bytes = text;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + 32u : bytes[i])) * 16777619u;
    return hash;
}

/* The first six digits as a number; of five as if a 0 followed. */
static uint32_t number_of(const char *digits)
{
    uint32_t number = 0, count = 0;
    for (; count < PLMN_DIGITS_MAX && digits[count] != '\0'; count++)
        number = number * 10 + (uint32_t)(digits[count] - '0');
    return count < PLMN_DIGITS_MAX ? number * 10 : number;
}

void roaming_prepare(roaming_policy *policy)
{
    for (uint32_t i = 0; i < policy->home_count; i++) {
        const roaming_home *home = &policy->homes[i];
        size_t length = strlen(home->realm);
        policy->keys[i] = (roaming_key){ number_of(home->plmn), strlen(home->plmn) == PLMN_DIGITS_MAX ? 1 : 10, hash_of(home->realm, length), (uint32_t)length };
    }
}

/* The longest one: two networks may share five digits. */
int roaming_of_imsi(const roaming_policy *policy, const char *imsi)
{
    int best = ROAMING_NONE;
    if (strnlen(imsi, PLMN_DIGITS_MAX) < PLMN_DIGITS_MAX)
        return ROAMING_NONE;
    uint32_t number = number_of(imsi);
    for (uint32_t i = 0; i < policy->home_count; i++) {
        const roaming_key *key = &policy->keys[i];
        if (number - key->network < key->limit && (best == ROAMING_NONE || key->limit < policy->keys[best].limit))
            best = (int)i;
    }
    return best;
}

static bool is_text(const char *text, const void *bytes, size_t length)
{
    return strlen(text) == length && strncasecmp(text, bytes, length) == 0;
}

int roaming_of_realm(const roaming_policy *policy, const void *realm, size_t length)
{
    uint32_t hash = hash_of(realm, length);
    for (uint32_t i = 0; i < policy->home_count; i++) {
        const roaming_key *key = &policy->keys[i];
        if (key->realm_hash == hash && key->realm_length == length && strncasecmp(policy->homes[i].realm, realm, length) == 0)
            return (int)i;
    }
    return ROAMING_NONE;
}

int roaming_of_host(const roaming_policy *policy, const void *host, size_t length)
{
    for (uint32_t i = 0; i < policy->home_count; i++) {
        const roaming_home *home = &policy->homes[i];
        size_t behind = strlen(home->realm); /* a node's name mostly ends with its realm */
        for (uint32_t j = 0; j < home->host_count; j++)
            if (is_text(home->hosts[j], host, length))
                return (int)i;
        if (length > behind + 1 && ((const char *)host)[length - behind - 1] == '.' &&
            is_text(home->realm, (const char *)host + length - behind, behind))
            return (int)i;
    }
    return ROAMING_NONE;
}

bool roaming_has_apn(const roaming_home *home, const void *apn, size_t length)
{
    for (uint32_t i = 0; i < home->apn_count; i++)
        if (apn_is_same(home->apns[i], strlen(home->apns[i]), apn, length))
            return true;
    return home->apn_count == 0;
}

bool roaming_has_report(const roaming_home *home, uint32_t monitoring_type)
{
    return !home->has_reports || (monitoring_type < REPORT_NAMES && (home->reports >> monitoring_type & 1) != 0);
}
