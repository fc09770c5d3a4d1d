/* Trust groups: which domains' code runs together. An operator names groups of domains; each has a cell of its
 * own on each core, and a share of the time that the core's cells have. Domains of no group share the other cells. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRUST_CELLS_MAX = 16,              /* of a core, as CORE_CELLS_MAX */
    TRUST_GROUPS_MAX = 15,             /* one cell is for those of no group */
    TRUST_DOMAINS_MAX = 64,            /* of a group */
    TRUST_NAME_MAX = 32,
    TRUST_NONE = TRUST_GROUPS_MAX,     /* the group of those that are in none */
};
#define TRUST_REST "others"            /* what that is called */

typedef struct trust_group {
    char name[TRUST_NAME_MAX + 1];     /* letters, digits, '-', '_' and '.' */
    char domains[TRUST_DOMAINS_MAX][254]; /* in lower case; "*.acme.example": all below, not acme.example itself */
    uint32_t domain_count;
    uint32_t share;                    /* per cent; 0: an equal part of what is left */
} trust_group;

typedef struct trust_policy {
    trust_group groups[TRUST_GROUPS_MAX];
    uint32_t group_count;
} trust_policy;

/* Each returns what is wrong, or NULL. */
const char *trust_name(trust_policy *policy, uint32_t group, const char *name);
const char *trust_add_domain(trust_policy *policy, uint32_t group, const char *domain);
/* Of all together, with so many cells on each core. `error` says more. */
bool trust_check(const trust_policy *policy, uint32_t cells, char *error, size_t size);

/* The group of a domain, or TRUST_NONE. No domain is in two. */
uint32_t trust_group_of(const trust_policy *policy, const char *domain, size_t length);
/* Its cell of each core: those of no group come first and are shared by the domains' numbers, each group has the next one. */
uint32_t trust_cell_of(const trust_policy *policy, uint32_t cells, uint32_t group, uint32_t number);
uint32_t trust_group_of_cell(const trust_policy *policy, uint32_t cells, uint32_t cell);
/* Per cent of each cell, at least 1. */
void trust_shares(const trust_policy *policy, uint32_t cells, uint32_t shares[TRUST_CELLS_MAX]);
const char *trust_group_name(const trust_policy *policy, uint32_t group);
