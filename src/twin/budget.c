#include "twin/budget.h"

#include <string.h>

static const char *const names[BUDGET_VALUES] = {
    [BUDGET_CPU] = "cpu", [BUDGET_MESSAGES] = "messages", [BUDGET_TIMERS] = "timers", [BUDGET_LOG] = "log", [BUDGET_STORAGE] = "storage",
    [BUDGET_BURST + BUDGET_CPU] = "cpu_burst", [BUDGET_BURST + BUDGET_MESSAGES] = "messages_burst", [BUDGET_BURST + BUDGET_TIMERS] = "timers_burst",
    [BUDGET_BURST + BUDGET_LOG] = "log_burst", [BUDGET_BURST + BUDGET_STORAGE] = "storage_burst", [BUDGET_MEMORY] = "memory",
};
static const char *const scopes[BUDGET_SCOPES] = { "twin", "image" };

const char *budget_value_name(uint32_t value)
{
    return names[value];
}

const char *budget_scope_name(uint32_t scope)
{
    return scopes[scope];
}

static bool is_name(const char *name, size_t length, const char *text)
{
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

uint32_t budget_value_find(const char *name, size_t length)
{
    uint32_t value = 0;
    while (value < BUDGET_VALUES && !is_name(names[value], length, name))
        value++;
    return value;
}

uint32_t budget_scope_find(const char *name, size_t length)
{
    uint32_t scope = 0;
    while (scope < BUDGET_SCOPES && !is_name(scopes[scope], length, name))
        scope++;
    return scope;
}
