#include "core/trigger.h"

#include <string.h>

#include "core/network.h"
#include "core/state.h"

enum { RESULT_UNKNOWN_REFERENCE = 5004, RESULT_UNABLE_TO_COMPLY = 5012 };

/* No trigger has been sent, so no reference is known. */
void triggers_on_outcome(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    trigger_outcome outcome;
    bool is_whole = header->length - sizeof *header >= sizeof outcome;
    (void)body;
    network_answer_send(core, (caller){ gate, header->id }, is_whole ? RESULT_UNKNOWN_REFERENCE : RESULT_UNABLE_TO_COMPLY, 0, 0);
}
