#include "gate/patience.h"

#include <assert.h>

enum { NS_PER_MS = 1000000 };
static const int64_t patience_ns = PATIENCE_MS * (int64_t)NS_PER_MS;
static const int64_t interval_ns = PATIENCE_INTERVAL_MS * (int64_t)NS_PER_MS;

static void interval_begin(patience *of, int64_t now_ns)
{
    of->answered = 0;
    of->shortest_ns = INT64_MAX;
    of->since_ns = now_ns;
    of->was_reached = of->waiting >= of->most;
}

void patience_init(patience *of, int64_t now_ns)
{
    *of = (patience){ .most = PATIENCE_ANY };
    interval_begin(of, now_ns);
}

bool patience_is_over(const patience *of)
{
    return of->waiting >= of->most;
}

void patience_asked(patience *of)
{
    of->waiting++;
    of->was_reached |= of->waiting >= of->most;
}

/* So many are answered in PATIENCE_MS, as things go. */
static uint32_t answered_in_time(const patience *of, int64_t lasted_ns)
{
    int64_t most = of->answered * patience_ns / lasted_ns;
    return most < PATIENCE_LEAST ? PATIENCE_LEAST : most < PATIENCE_ANY ? (uint32_t)most : PATIENCE_ANY;
}

/* A bound that is reached stays: it is the bound that makes answers quick. Between what stands and what is quick nothing
 * changes, so that it does not swing. */
static void judge(patience *of, int64_t lasted_ns)
{
    if (lasted_ns >= PATIENCE_IDLE_MS * (int64_t)NS_PER_MS)
        of->most = PATIENCE_ANY;
    else if (of->was_reached || (of->shortest_ns > patience_ns && of->waiting >= PATIENCE_LEAST - 1))
        of->most = answered_in_time(of, lasted_ns);
    else if (of->shortest_ns < patience_ns / 2)
        of->most = of->most < PATIENCE_MANY ? of->most * 2 : PATIENCE_ANY;
}

void patience_answered(patience *of, int64_t took_ns, int64_t now_ns)
{
    assert(of->waiting > 0);
    of->waiting--;
    of->answered++;
    if (took_ns < of->shortest_ns)
        of->shortest_ns = took_ns;
    if (now_ns - of->since_ns < interval_ns)
        return;
    judge(of, now_ns - of->since_ns);
    interval_begin(of, now_ns);
}

void patience_left(patience *of)
{
    assert(of->waiting > 0);
    of->waiting--;
}
