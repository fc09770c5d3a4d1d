#include "gate/route.h"

#include <string.h>

#include "ring/message.h"
#include "twin/audit.h"
#include "route_table.h"

static bool path_fits(const route_path *path, const target *target)
{
    if (path->count != target->count)
        return false;
    for (uint32_t i = 0; i < path->count; i++) {
        const route_segment *wanted = &path->segments[i];
        const slice *given = &target->segments[i];
        if (wanted->text == NULL
                ? given->length == 0
                : given->length != wanted->length || memcmp(given->at, wanted->text, wanted->length) != 0)
            return false;
    }
    return true;
}

const route_path *route_find(const target *target)
{
    for (uint32_t i = 0; i < ROUTE_PATHS; i++)
        if (path_fits(&route_paths[i], target))
            return &route_paths[i];
    return NULL;
}

const route *route_of(const route_path *path, unsigned method)
{
    unsigned index = method < METHODS ? path->by_method[method] : 0;
    return index == 0 ? NULL : &routes[index - 1];
}

uint32_t route_index(const route *route)
{
    return (uint32_t)(route - routes);
}

uint32_t route_count(void)
{
    return ROUTES;
}

const route *route_at(uint32_t index)
{
    return &routes[index];
}
