#include "twin/ticket.h"

const char *ticket_state_text(ticket_state state)
{
    switch (state) {
    case TICKET_PENDING: return "pending";
    case TICKET_SENT: return "sent";
    case TICKET_DELIVERED: return "delivered";
    case TICKET_REPORTED: return "reported";
    case TICKET_FAILED: return "failed";
    case TICKET_SUPERSEDED: return "superseded";
    case TICKET_EXPIRED: return "expired";
    }
    return "unknown";
}
