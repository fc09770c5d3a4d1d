#include "gate/peer_policy.h"

#include <string.h>
#include <strings.h>

#include "twin/apn.h"

static bool is_digits(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return length > 0 && length <= PEER_IMSI_MAX;
}

bool peer_range_read(peer_range *out, const char *text)
{
    const char *dash = strchr(text, '-');
    size_t length = dash != NULL ? (size_t)(dash - text) : strlen(text);
    *out = (peer_range){ .low = "" };
    if (!is_digits(text, length))
        return false;
    memcpy(out->low, text, length);
    if (dash == NULL)
        return true;
    if (strlen(dash + 1) != length || !is_digits(dash + 1, length) || memcmp(dash + 1, text, length) < 0)
        return false;
    memcpy(out->high, dash + 1, length);
    return true;
}

bool peer_policy_add_imsis(peer_policy *policy, const char *text)
{
    if (policy->range_count == PEER_RANGES_MAX || !peer_range_read(&policy->ranges[policy->range_count], text))
        return false;
    policy->range_count++;
    return true;
}

bool peer_policy_add_apn(peer_policy *policy, const char *text)
{
    size_t length = strlen(text);
    if (policy->apn_count == PEER_APNS_MAX || length > PEER_APN_MAX || !apn_is_valid(text, length))
        return false;
    memcpy(policy->apns[policy->apn_count++], text, length + 1);
    return true;
}

bool peer_policy_add_realm(peer_policy *policy, const char *text)
{
    size_t length = strlen(text);
    if (policy->realm_count == PEER_REALMS_MAX || length == 0 || length >= sizeof policy->realms[0])
        return false;
    memcpy(policy->realms[policy->realm_count++], text, length + 1);
    return true;
}

static bool is_in(const peer_range *range, const char *imsi)
{
    size_t length = strlen(range->low);
    if (range->high[0] == '\0')
        return strncmp(imsi, range->low, length) == 0;
    return strlen(imsi) == length && strcmp(imsi, range->low) >= 0 && strcmp(imsi, range->high) <= 0;
}

bool peer_policy_has_imsi(const peer_policy *policy, const char *imsi)
{
    for (uint32_t i = 0; i < policy->range_count; i++)
        if (is_in(&policy->ranges[i], imsi))
            return true;
    return policy->range_count == 0;
}

bool peer_policy_has_apn(const peer_policy *policy, const void *apn, size_t length)
{
    for (uint32_t i = 0; i < policy->apn_count; i++)
        if (apn_is_same(policy->apns[i], strlen(policy->apns[i]), apn, length))
            return true;
    return policy->apn_count == 0;
}

bool peer_policy_has_realm(const peer_policy *policy, const void *realm, size_t length)
{
    for (uint32_t i = 0; i < policy->realm_count; i++)
        if (strlen(policy->realms[i]) == length && strncasecmp(policy->realms[i], realm, length) == 0)
            return true;
    return false;
}
