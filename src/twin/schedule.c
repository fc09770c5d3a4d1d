#include "twin/schedule.h"

#include <stddef.h>

const char *schedule_state_text(schedule_state state)
{
    static const char *const texts[SCHEDULE_STATES] = {
        [SCHEDULE_WAITING] = "waiting", [SCHEDULE_APPLIED] = "applied", [SCHEDULE_REFUSED] = "refused",
        [SCHEDULE_HELD] = "held", [SCHEDULE_CANCELLED] = "cancelled", [SCHEDULE_NONE] = "none",
    };
    return (unsigned)state < SCHEDULE_STATES ? texts[state] : "none";
}

const char *schedule_wish_fault(const schedule_wish *wish)
{
    if (wish->latency_s != SCHEDULE_UNSAID && (wish->latency_s < SCHEDULE_LATENCY_MIN_S || wish->latency_s > SCHEDULE_LATENCY_MAX_S))
        return "the maximum latency must be 60 to 35712000 seconds";
    if (wish->response_s != SCHEDULE_UNSAID && wish->response_s > SCHEDULE_RESPONSE_MAX_S)
        return "the maximum response time must be at most 11160 seconds";
    if (wish->packets != SCHEDULE_UNSAID && wish->packets > SCHEDULE_PACKETS_MAX)
        return "at most 1000 downlinks can be kept";
    return NULL;
}
