#include "twin/event.h"

const char *event_kind_text(event_kind kind)
{
    switch (kind) {
    case EVENT_CREATED: return "created";
    case EVENT_CONFIGURED: return "configured";
    case EVENT_UPLINK: return "uplink";
    case EVENT_PROPERTY_WRITE: return "property_write";
    case EVENT_ACTION: return "action";
    case EVENT_TIMER: return "timer";
    case EVENT_REACHABILITY: return "reachability";
    case EVENT_DOWNLINK: return "downlink";
    case EVENT_PEER: return "peer";
    case EVENT_NETWORK: return "network";
    case EVENT_TRIGGER_OUTCOME: return "trigger_outcome";
    case EVENT_SCHEDULE: return "schedule";
    }
    return "unknown";
}
