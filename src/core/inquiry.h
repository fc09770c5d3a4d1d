/* Inquiries: what the core asks a node of the network (an HSS, a serving node, who triggers devices), and its word.
 * A question goes to the first node of its kind's role that any gate has open, or to one that is named; one that is
 * lost or stays without an answer goes to another of the same role, as the same request. Its asker hears in every case.
 *
 * A request of an application waits here as its message, and is taken up again with core->said: whoever handles it finds
 * the answer there. Which protocol carries a question is the gate's business (gate/inquiry.c). */
#pragma once

#include "core/call.h"
#include "core/turn.h"

typedef struct inquiry_said {    /* borrowed */
    enum inquiry_outcome outcome; /* ANSWERED, and never VERDICT_BUSY or NOT_TAKEN then; else nobody did, for the reason in `why` */
    enum inquiry_verdict verdict;
    uint32_t code;               /* as the node's protocol has it, for people */
    const char *why;
    const uint8_t *fields;
    size_t length;
    const char *host, *realm;    /* who said it; NULL: not known, a relay brought it */
} inquiry_said;

typedef struct inquiry inquiry;
/* Called once, whatever happened, but not at the end of the core. Where it is ANSWERED the twin is in no turn and the
 * core takes records; else the twin may be in one. `asked` is the asker's own words; asked->late is freed behind. */
typedef void inquiry_done_fn(core *core, const inquiry *asked, const inquiry_said *said);

struct inquiry {
    enum inquiry_kind kind;
    uint32_t group;              /* number; 0: a device is asked about */
    uint64_t twin;               /* number; 0: none is concerned. The answer waits for the end of its turn */
    uint64_t subject;            /* the asker's own, as `detail` */
    uint64_t detail;
    deferred *late;              /* the request that waits for it; NULL: none, or it went with its gate */
    bool had_late;
    const char *host, *realm;    /* the node that alone can answer; NULL: any of the kind's role. Copied */
    const uint8_t *fields;       /* copied */
    size_t length;
    inquiry_done_fn *done;
};

/* NULL: it is on its way, and `done` will be called. Else why not: asked->late is freed, `done` is not called. */
const char *inquiry_begin(core *core, const inquiry *asked);
/* The same for the request of the call, which waits. False after a 503. */
bool inquiry_defer(core *core, const call *call, inquiry *asked);
/* From `done`: the request goes on with core->said. False: nobody waits for it any more. */
bool inquiry_take_up(core *core, const inquiry *asked, const inquiry_said *said);
/* From `done`: who waits is told 503 with said->why. */
void inquiry_tell_why(core *core, const inquiry *asked, const inquiry_said *said);
/* 500, with the network's code and its name. */
void inquiry_tell_refusal(core *core, caller caller, uint32_t code);
/* Are there nodes, reachable or not, that are asked such things? */
bool inquiry_has_node(const core *core, enum inquiry_kind kind);

/* Is the network being asked to have this reference? Then it may know it before this host does. */
bool inquiry_is_about(const core *core, uint32_t reference);

void inquiries_on_answer(core *core, uint32_t gate, const ring_header *header, const uint8_t *body);
void inquiries_due(core *core);
void inquiries_gate_lost(core *core, uint32_t gate);
void inquiries_free(core *core);
