#include "core/owners.h"

#include <stdlib.h>

#include "core/host.h"
#include "core/number.h"
#include "core/state.h"

enum { FIRST_ROOM = 16, SPARE = 64 };

struct owner_list {
    owner_list *next;            /* in its bucket */
    uint32_t application;
    bool is_sorted;
    uint32_t live;               /* that are there; others in `numbers` are gone */
    uint32_t count, capacity;
    uint64_t *numbers;
};

/* Numbers count up in a core below the partition, over restarts too; two cores give the same ones, in
 * different partitions, and may once be one. */
uint64_t owner_rank(uint64_t number)
{
    return number << 12 | number >> 52;
}

static owner_list **list_at(owner_table *table, uint32_t application)
{
    owner_list **at = &table->buckets[application % OWNERS_BUCKETS];
    while (*at != NULL && (*at)->application != application)
        at = &(*at)->next;
    return at;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = owner_rank(*(const uint64_t *)left), b = owner_rank(*(const uint64_t *)right);
    return a < b ? -1 : a > b;
}

/* Sorted, each number once, none that is gone. */
static void list_settle(core *core, const owner_table *table, owner_list *list)
{
    uint32_t kept = 0;
    if (!list->is_sorted)
        qsort(list->numbers, list->count, sizeof list->numbers[0], compare);
    for (uint32_t i = 0; i < list->count; i++)
        if ((kept == 0 || list->numbers[kept - 1] != list->numbers[i]) && table->is_there(core, list->numbers[i], list->application))
            list->numbers[kept++] = list->numbers[i];
    list->count = kept;
    list->is_sorted = true;
}

/* Index of the first whose rank is higher. */
static uint32_t find_behind(const owner_list *list, uint64_t rank)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (owner_rank(list->numbers[middle]) <= rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static dro_err list_grow(owner_list *list)
{
    uint32_t capacity = list->capacity == 0 ? FIRST_ROOM : list->capacity * 2;
    uint64_t *grown = realloc(list->numbers, capacity * sizeof *grown);
    if (grown == NULL)
        return DRO_NOMEM;
    list->numbers = grown;
    list->capacity = capacity;
    return DRO_OK;
}

dro_err owner_add(core *core, owner_table *table, uint32_t application, uint64_t number)
{
    owner_list **at = list_at(table, application), *list = *at;
    if (list == NULL) {
        list = *at = calloc(1, sizeof *list);
        if (list == NULL)
            return DRO_NOMEM;
        list->application = application;
        list->is_sorted = true;
    }
    bool is_last = list->count == 0 || owner_rank(list->numbers[list->count - 1]) < owner_rank(number);
    if (!is_last && list->is_sorted) { /* one that was changed is here already */
        uint32_t behind = find_behind(list, owner_rank(number));
        if (behind > 0 && list->numbers[behind - 1] == number) {
            list->live++;
            return DRO_OK;
        }
    }
    if (list->count == list->capacity && list->count > 2 * list->live + SPARE)
        list_settle(core, table, list);
    if (list->count == list->capacity && list_grow(list) != DRO_OK)
        return DRO_NOMEM;
    list->is_sorted &= list->count == 0 || owner_rank(list->numbers[list->count - 1]) < owner_rank(number);
    list->numbers[list->count++] = number;
    list->live++;
    return DRO_OK;
}

void owner_remove(owner_table *table, uint32_t application)
{
    owner_list **at = list_at(table, application), *list = *at;
    if (list == NULL || --list->live > 0)
        return;
    *at = list->next; /* the last one */
    free(list->numbers);
    free(list);
}

void owners_settle(core *core, owner_table *table)
{
    for (uint32_t i = 0; i < OWNERS_BUCKETS; i++)
        for (owner_list *list = table->buckets[i]; list != NULL; list = list->next)
            list_settle(core, table, list);
}

uint64_t owner_next(core *core, owner_table *table, uint32_t application, uint64_t after)
{
    owner_list *list = *list_at(table, application);
    if (list == NULL)
        return 0;
    if (!list->is_sorted)
        list_settle(core, table, list);
    for (uint32_t i = find_behind(list, after); i < list->count; i++)
        if (table->is_there(core, list->numbers[i], list->application))
            return list->numbers[i];
    return 0;
}

uint32_t owner_lost(core *core, const owner_table *table, uint32_t after)
{
    uint32_t lowest = 0;
    for (uint32_t i = 0; i < OWNERS_BUCKETS; i++)
        for (const owner_list *list = table->buckets[i]; list != NULL; list = list->next)
            if (list->application > after && (lowest == 0 || list->application < lowest) && application_at(core, list->application) == NULL)
                lowest = list->application;
    return lowest;
}

void owners_fini(owner_table *table)
{
    for (uint32_t i = 0; i < OWNERS_BUCKETS; i++)
        for (owner_list *list = table->buckets[i], *next; list != NULL; list = next) {
            next = list->next;
            free(list->numbers);
            free(list);
        }
}
