#include "gate/peer_policy.h"

#include <string.h>
#include <strings.h>

#include "twin/apn.h"

bool peer_policy_add_imsis(peer_policy *policy, const char *text)
{
    if (policy->range_count == PEER_RANGES_MAX || !imsi_range_read(&policy->ranges[policy->range_count], text, strlen(text)))
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

bool peer_policy_has_imsi(const peer_policy *policy, const char *imsi)
{
    for (uint32_t i = 0; i < policy->range_count; i++)
        if (imsi_range_has(&policy->ranges[i], imsi))
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
