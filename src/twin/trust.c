#include "twin/trust.h"

#include <stdio.h>
#include <string.h>

#include "twin/identifier.h"

_Static_assert((int)TRUST_GROUPS_MAX < (int)TRUST_CELLS_MAX, "a cell for each, and one for the others");

/* ---- read ---- */

const char *trust_name(trust_policy *policy, uint32_t group, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > TRUST_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != length)
        return "is letters, digits, '-', '_' and '.', at most 32";
    if (strcmp(name, TRUST_REST) == 0)
        return "is what domains of no group are called: take another name";
    for (uint32_t i = 0; i < policy->group_count; i++)
        if (i != group && strcmp(policy->groups[i].name, name) == 0)
            return "is the name of another group";
    memcpy(policy->groups[group].name, name, length + 1);
    return NULL;
}

/* Does a pattern, or a domain, cover the other? */
static bool covers(const char *pattern, const char *domain, size_t length)
{
    size_t own = strlen(pattern);
    if (pattern[0] != '*')
        return own == length && memcmp(pattern, domain, length) == 0;
    return length >= own && memcmp(domain + length - (own - 1), pattern + 1, own - 1) == 0;
}

const char *trust_add_domain(trust_policy *policy, uint32_t index, const char *domain)
{
    trust_group *group = &policy->groups[index];
    char text[sizeof group->domains[0]];
    size_t length = strlen(domain), below = strncmp(domain, "*.", 2) == 0 ? 2 : 0;
    if (length >= sizeof text || !external_domain_read(domain + below, length - below, text + below))
        return "is a list of domains such as \"acme.example\" or \"*.acme.example\"";
    memcpy(text, domain, below);
    length = strlen(text);
    if (group->domain_count == TRUST_DOMAINS_MAX)
        return "names too many domains: a group has at most 64";
    for (uint32_t i = 0; i < policy->group_count; i++)
        for (uint32_t k = 0; i != index && k < policy->groups[i].domain_count; k++) {
            const char *other = policy->groups[i].domains[k];
            if (covers(other, text, length) || covers(text, other, strlen(other)))
                return "is in another group too: a domain is in one";
        }
    memcpy(group->domains[group->domain_count++], text, length + 1);
    return NULL;
}

/* ---- all together ---- */

static uint32_t shared_cells(const trust_policy *policy, uint32_t cells)
{
    return policy == NULL ? cells : cells - policy->group_count;
}

static uint32_t shares_given(const trust_policy *policy, uint32_t *without)
{
    uint32_t given = 0;
    for (uint32_t i = 0; i < policy->group_count; i++) {
        given += policy->groups[i].share;
        *without += policy->groups[i].share == 0;
    }
    return given;
}

bool trust_check(const trust_policy *policy, uint32_t cells, char *error, size_t size)
{
    if (policy->group_count == 0)
        return true;
    for (uint32_t i = 0; i < policy->group_count; i++) {
        const trust_group *group = &policy->groups[i];
        if (group->name[0] == '\0' || group->domain_count == 0) {
            snprintf(error, size, "cells.groups[%u]: needs %s", i, group->name[0] == '\0' ? "a name" : "domains");
            return false;
        }
    }
    if (policy->group_count >= cells) {
        snprintf(error, size, "cells.groups: %u groups need cells.max = %u or more: a cell each, and one for domains of no group", policy->group_count,
                 policy->group_count + 1);
        return false;
    }
    uint32_t without = shared_cells(policy, cells), given = shares_given(policy, &without);
    if (given + without > 100) {
        snprintf(error, size, "cells.groups: cpu adds up to %u, and %u cells without a share need 1 each: at most 100 together", given, without);
        return false;
    }
    return true;
}

uint32_t trust_group_of(const trust_policy *policy, const char *domain, size_t length)
{
    for (uint32_t i = 0; policy != NULL && i < policy->group_count; i++)
        for (uint32_t k = 0; k < policy->groups[i].domain_count; k++)
            if (covers(policy->groups[i].domains[k], domain, length))
                return i;
    return TRUST_NONE;
}

uint32_t trust_cell_of(const trust_policy *policy, uint32_t cells, uint32_t group, uint32_t number)
{
    uint32_t shared = shared_cells(policy, cells);
    return group == TRUST_NONE ? number % shared : shared + group;
}

uint32_t trust_group_of_cell(const trust_policy *policy, uint32_t cells, uint32_t cell)
{
    uint32_t shared = shared_cells(policy, cells);
    return cell < shared ? TRUST_NONE : cell - shared;
}

/* What is left is for the cells without a share, the same for each. */
void trust_shares(const trust_policy *policy, uint32_t cells, uint32_t shares[TRUST_CELLS_MAX])
{
    uint32_t shared = shared_cells(policy, cells), without = shared;
    uint32_t left = 100 - (policy == NULL ? 0 : shares_given(policy, &without));
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t own = i < shared ? 0 : policy->groups[i - shared].share;
        shares[i] = own > 0 ? own : left / without > 0 ? left / without : 1;
    }
}

const char *trust_group_name(const trust_policy *policy, uint32_t group)
{
    return group == TRUST_NONE ? TRUST_REST : policy->groups[group].name;
}
