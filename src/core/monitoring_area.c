/* NUMBER_OF_UES_IN_AN_AREA (TS 23.682, 5.6.4): each serving node that is connected counts its own devices there, one is asked
 * after the other, and the sum is the answer. */
#include "core/monitoring_area.h"

#include <string.h>

#include "core/call.h"
#include "core/inquiry.h"
#include "core/peers.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"
#include "twin/plmn.h"
#include "twin/t8_monitoring.h"

bool monitoring_area_is_readable(const uint8_t *fields, size_t length)
{
    static const struct { uint8_t tag; size_t digits; } kinds[] = {
        { AREA_CELLS, PLACE_CELL_DIGITS }, { AREA_TRACKING_AREAS, PLACE_AREA_DIGITS }, { AREA_ENODEBS, PLACE_ENODEB_DIGITS },
    };
    dro_field room, field;
    const dro_field *area = t8_find(fields, length, MONITORING_AREA, &room);
    dro_cursor in = dro_cursor_over(area == NULL ? NULL : area->bytes, area == NULL ? 0 : area->length);
    uint32_t count = 0;
    while (dro_field_next(&in, &field)) {
        uint8_t network[PLMN_BYTES];
        uint32_t value;
        bool is_good = false;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            is_good |= kinds[i].tag == field.tag && plmn_place_read((const char *)field.bytes, field.length, kinds[i].digits, network, &value);
        if (!is_good)
            return false;
        count++;
    }
    return count > 0;
}

/* How far it came, in an inquiry's detail. */
typedef struct progress { uint8_t asked; bool is_served, may_later; uint32_t count; } progress; /* may_later: one did not refuse for good */

static uint64_t packed(const progress *progress)
{
    return (uint64_t)progress->asked << 40 | (uint64_t)progress->is_served << 32 | (uint64_t)progress->may_later << 33 | progress->count;
}

static progress unpacked(uint64_t detail)
{
    return (progress){ .asked = (uint8_t)(detail >> 40), .is_served = (detail >> 32 & 1) != 0, .may_later = (detail >> 33 & 1) != 0, .count = (uint32_t)detail };
}

/* The serving node at that place of those that are connected now. */
static bool node_at(core *core, uint32_t place, peer_route *route)
{
    uint32_t before[MONITORING_NODES_MAX];
    for (uint32_t i = 0; i < MONITORING_NODES_MAX; i++) {
        if (!peers_route(core, PEER_T6A, before, i, route))
            return false;
        if (i == place)
            return true;
        before[i] = route->hash;
    }
    return false;
}

static void area_said(core *core, const inquiry *asked, const inquiry_said *said);

static const char *ask_next(core *core, progress progress, deferred *late, const uint8_t *fields, size_t length)
{
    peer_route route;
    if (!node_at(core, progress.asked, &route)) {
        deferred_free(late);
        return "no serving node can be reached";
    }
    progress.asked++;
    inquiry asked = { .kind = INQUIRY_AREA, .detail = packed(&progress), .late = late, .host = route.host, .realm = route.realm,
                      .fields = fields, .length = length, .done = area_said };
    return inquiry_begin(core, &asked);
}

/* All were asked: the request goes on with the sum as its report. */
static void finish(core *core, const inquiry *asked, const inquiry_said *said, const progress *progress)
{
    uint8_t inner[64], report[96], bytes[128];
    dro_builder ues = dro_builder_over(inner, sizeof inner), told = dro_builder_over(report, sizeof report), out = dro_builder_over(bytes, sizeof bytes);
    if (!progress->is_served && said->outcome != INQUIRY_ANSWERED) {
        const inquiry_said later = { .outcome = INQUIRY_NO_ANSWER, .why = "a serving node is busy or does not answer" };
        inquiry_tell_why(core, asked, said->outcome == INQUIRY_NOT_TAKEN && progress->may_later ? &later : said);
        return;
    }
    t8_put_integer(&ues, UES_COUNT, progress->count);
    dro_field_put(&told, REPORT_UES, inner, dro_builder_length(&ues));
    dro_field_put(&out, API_FIELD_REPORT, report, dro_builder_length(&told));
    inquiry_said sum = { .outcome = INQUIRY_ANSWERED, .verdict = VERDICT_DONE, .why = "", .fields = bytes, .length = dro_builder_length(&out) };
    (void)inquiry_take_up(core, asked, progress->is_served ? &sum : said);
}

static void area_said(core *core, const inquiry *asked, const inquiry_said *said)
{
    dro_field room;
    peer_route ignored;
    progress progress = unpacked(asked->detail);
    const dro_field *count = t8_find(said->fields, said->length, API_FIELD_COUNT, &room);
    if (said->outcome == INQUIRY_ANSWERED && said->verdict == VERDICT_DONE && count != NULL && count->length == sizeof progress.count) {
        uint32_t more;
        memcpy(&more, count->bytes, sizeof more);
        progress.count = more > UINT32_MAX - progress.count ? UINT32_MAX : progress.count + more;
        progress.is_served = true;
    }
    progress.may_later |= said->outcome != INQUIRY_ANSWERED && said->outcome != INQUIRY_NOT_TAKEN;
    bool is_awaited = asked->late != NULL && core->gates[asked->late->gate].is_open;
    deferred *again = is_awaited && node_at(core, progress.asked, &ignored) ? deferred_new(asked->late->gate, &asked->late->header, asked->late->body) : NULL;
    if (again == NULL || ask_next(core, progress, again, asked->fields, asked->length) != NULL)
        finish(core, asked, said, &progress);
}

void monitoring_area_ask(core *core, const exposure_call *wanted)
{
    uint8_t bytes[T8_FIELDS_MAX + 64];
    const call *call = wanted->call;
    uint32_t reference = exposure_reference_new(core, NULL);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_field_put(&out, API_FIELD_REFERENCE, &reference, 4);
    dro_field_put(&out, API_FIELD_RESOURCE, wanted->fields, wanted->length);
    deferred *late = core->is_draining ? NULL : deferred_new(call->gate, call->header, call->message);
    const char *why = late == NULL ? "the host has no room for it now" : ask_next(core, (progress){ 0 }, late, bytes, dro_builder_length(&out));
    if (why != NULL)
        tell_problem(core, call->caller, 503, "about:blank", "%s; try again", why);
}
