#include "twin/apn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Length without ".mncNNN.mccNNN.gprs" (TS 23.003 9.1.2). */
static size_t network_length(const char *apn, size_t length)
{
    static const char form[] = ".mnc000.mcc000.gprs";
    size_t behind = sizeof form - 1;
    if (length <= behind)
        return length;
    const char *at = apn + length - behind;
    for (size_t i = 0; i < behind; i++) {
        bool is_digit = at[i] >= '0' && at[i] <= '9';
        if (form[i] == '0' ? !is_digit : strncasecmp(at + i, form + i, 1) != 0)
            return length;
    }
    return length - behind;
}

bool apn_is_same(const char *a, size_t a_length, const char *b, size_t b_length)
{
    a_length = network_length(a, a_length);
    return a_length == network_length(b, b_length) && strncasecmp(a, b, a_length) == 0;
}

bool apn_is_valid(const char *apn, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = apn[i];
        bool is_good = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.';
        if (!is_good)
            return false;
    }
    return length > 0 && length <= APN_TEXT_MAX;
}

static bool is_of_domain(const apn_rule *rule, const char *domain, size_t length)
{
    return rule->domain[0] == '\0' || (strlen(rule->domain) == length && strncasecmp(rule->domain, domain, length) == 0);
}

const char *apn_choose(const apn_policy *policy, const char *application, const char *domain, size_t domain_length)
{
    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const apn_rule *rule = &policy->rules[i];
        bool is_of_application = rule->application[0] == '\0' || strcmp(rule->application, application) == 0;
        if (is_of_application && is_of_domain(rule, domain, domain_length))
            return rule->apn;
    }
    return policy->usual != NULL ? policy->usual : "";
}

bool apn_has_policy(const apn_policy *policy)
{
    return policy->rule_count > 0 || (policy->usual != NULL && policy->usual[0] != '\0');
}

bool apn_accepts(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length)
{
    for (uint32_t i = 0; i < policy->rule_count && length > 0; i++) {
        const apn_rule *rule = &policy->rules[i];
        if (is_of_domain(rule, domain, domain_length) && apn_is_same(rule->apn, strlen(rule->apn), apn, length))
            return rule->accepts;
    }
    return !policy->refuses;
}

static bool has_rates(const apn_rule *rule)
{
    return rule->uplink.packets > 0 || rule->downlink.packets > 0;
}

bool apn_may_visit(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length, const char *plmn)
{
    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const apn_rule *rule = &policy->rules[i];
        if (rule->visited_count == 0 || !is_of_domain(rule, domain, domain_length) || !apn_is_same(rule->apn, strlen(rule->apn), apn, length))
            continue;
        for (uint32_t j = 0; j < rule->visited_count; j++)
            if (strcmp(rule->visited[j], plmn) == 0)
                return true;
        return false;
    }
    return true;
}

bool apn_has_networks(const apn_policy *policy)
{
    for (uint32_t i = 0; i < policy->rule_count; i++)
        if (policy->rules[i].visited_count > 0)
            return true;
    return false;
}

bool apn_add_visited(apn_rule *rule, const char *plmn)
{
    if (rule->visited_count == APN_NETWORKS_MAX || !plmn_is_valid(plmn))
        return false;
    memcpy(rule->visited[rule->visited_count++], plmn, strlen(plmn) + 1);
    return true;
}

bool apn_has_rates(const apn_policy *policy)
{
    for (uint32_t i = 0; i < policy->rule_count; i++)
        if (has_rates(&policy->rules[i]))
            return true;
    return false;
}

const apn_rule *apn_rates(const apn_policy *policy, const char *apn, size_t length, const char *domain, size_t domain_length)
{
    for (uint32_t i = 0; i < policy->rule_count && length > 0; i++) {
        const apn_rule *rule = &policy->rules[i];
        if (has_rates(rule) && is_of_domain(rule, domain, domain_length) && apn_is_same(rule->apn, strlen(rule->apn), apn, length))
            return rule;
    }
    return NULL;
}

bool apn_rate_read(const char *text, apn_rate *rate)
{
    static const struct { const char *name; uint32_t seconds; } units[] = {
        { "/minute", 60 }, { "/hour", 3600 }, { "/day", 24 * 3600 }, { "/week", 7 * 24 * 3600 },
    };
    char *end;
    unsigned long long packets = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    for (size_t i = 0; packets > 0 && packets <= APN_RATE_MAX && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        *rate = (apn_rate){ (uint32_t)packets, units[i].seconds };
        return true;
    }
    return false;
}
