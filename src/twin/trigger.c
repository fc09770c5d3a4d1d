#include "twin/trigger.h"

uint32_t trigger_meaning(trigger_value_kind kind, uint32_t value, uint32_t unknown)
{
    const trigger_value_list *values = &trigger_values[kind];
    for (size_t i = 0; i < values->count; i++)
        if (values->list[i].value == value)
            return values->list[i].means;
    return unknown;
}
