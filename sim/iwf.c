#include "sim/iwf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum {
    WINDOW = 64,
    ACTION_TRIGGER = 1, ACTION_REPORT = 2, ACTION_RECALL = 3, ACTION_REPLACE = 4,          /* Action-Type */
    STATUS_SUCCESS = 0, INVALID_EXTERNAL_ID = 102, SERVICE_UNAVAILABLE = 106, REPLACE_FAILED = 110, RECALL_FAILED = 111, /* Request-Status */
    OUTCOME_SUCCESS = 0, OUTCOME_EXPIRED = 1,                                              /* Delivery-Outcome */
    REPLACE_AND_RECALL = 1,                                                                /* Feature-Supported-In-Final-Target */
};

typedef struct trigger {
    uint32_t device, reference;
    int64_t until_s;
    uint16_t name_length;
    char name[T6A_NAME_MAX + 1];
} trigger;

struct iwf {
    iwf_network around;
    peer *peer;
    trigger *waiting;            /* [IWF_TRIGGERS_MAX] */
    uint32_t count;
    iwf_counts counts;
};

/* ---- Device-Action ---- */

typedef struct notification { const trigger *of; uint32_t action, status, outcome; } notification;

static void put_notification(dro_builder *out, const notification *said)
{
    size_t group = diameter_group_begin(out, AVP_DEVICE_NOTIFICATION);
    if (said->of->name_length > 0)
        diameter_put(out, AVP_EXTERNAL_IDENTIFIER, said->of->name, said->of->name_length);
    diameter_put_u32(out, AVP_REFERENCE_NUMBER, said->of->reference);
    diameter_put_u32(out, AVP_ACTION_TYPE, said->action);
    if (said->action == ACTION_REPORT)
        diameter_put_u32(out, AVP_DELIVERY_OUTCOME, said->outcome);
    else
        diameter_put_u32(out, AVP_REQUEST_STATUS, said->status);
    diameter_group_end(out, group);
}

static void put_answer(dro_builder *out, const void *what)
{
    put_notification(out, what);
    diameter_put_u32(out, AVP_FEATURE_SUPPORTED_IN_FINAL_TARGET, REPLACE_AND_RECALL);
}

static void put_outcome(dro_builder *out, const void *what)
{
    put_notification(out, what);
}

static trigger *find(iwf *w, uint32_t reference)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->waiting[i].reference == reference)
            return &w->waiting[i];
    return NULL;
}

static void drop(iwf *w, trigger *gone)
{
    *gone = w->waiting[--w->count];
}

/* Request-Status. */
static uint32_t take(iwf *w, const trigger *made, uint32_t action, uint32_t old_reference)
{
    trigger *old = action == ACTION_TRIGGER ? NULL : find(w, old_reference);
    if (action != ACTION_TRIGGER && old == NULL)
        return action == ACTION_RECALL ? RECALL_FAILED : REPLACE_FAILED; /* it has left already, or never was here */
    if (old != NULL)
        drop(w, old);
    w->counts.recalled += action == ACTION_RECALL;
    w->counts.replaced += action == ACTION_REPLACE;
    if (action == ACTION_RECALL)
        return STATUS_SUCCESS;
    if (w->count == IWF_TRIGGERS_MAX)
        return SERVICE_UNAVAILABLE;
    w->waiting[w->count++] = *made;
    return STATUS_SUCCESS;
}

static void on_action(iwf *w, const t6a_message *request)
{
    const diameter_message *message = request->whole;
    const diameter_avp *group = diameter_find(message, AVP_DEVICE_ACTION);
    const diameter_avp *name = diameter_find_in(message, group, AVP_EXTERNAL_IDENTIFIER);
    uint32_t action = diameter_u32(diameter_find_in(message, group, AVP_ACTION_TYPE));
    trigger made = { .reference = diameter_u32(diameter_find_in(message, group, AVP_REFERENCE_NUMBER)) };
    if (group == NULL || (action != ACTION_TRIGGER && action != ACTION_RECALL && action != ACTION_REPLACE)) {
        peer_answer(w->peer, request, group == NULL ? DIAMETER_MISSING_AVP : DIAMETER_INVALID_AVP_VALUE);
        return;
    }
    int64_t device = name == NULL || name->length > T6A_NAME_MAX ? -1 : w->around.find(w->around.owner, (t6a_text){ name->data, name->length });
    notification said = { .of = &made, .action = action, .status = INVALID_EXTERNAL_ID };
    if (device >= 0) {
        made.device = (uint32_t)device;
        made.until_s = (int64_t)time(NULL) + diameter_u32(diameter_find_in(message, group, AVP_VALIDITY_TIME));
        made.name_length = (uint16_t)name->length;
        memcpy(made.name, name->data, name->length);
        said.status = take(w, &made, action, diameter_u32(diameter_find_in(message, group, AVP_OLD_REFERENCE_NUMBER)));
    }
    w->counts.taken += said.status == STATUS_SUCCESS;
    w->counts.refused += said.status != STATUS_SUCCESS;
    peer_answer_custom(w->peer, request, DIAMETER_SUCCESS, 0, &(t6a_custom){ .put = put_answer, .what = &said });
}

static void on_request(void *owner, peer *from, const t6a_message *request)
{
    iwf *w = owner;
    if (request->command == COMMAND_DEVICE_ACTION && request->application == DIAMETER_APPLICATION_TSP)
        on_action(w, request);
    else
        peer_answer(from, request, DIAMETER_COMMAND_UNSUPPORTED);
}

/* ---- Device-Notification ---- */

static void on_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer)
{
    iwf *w = owner;
    (void)from, (void)slot, (void)tag, (void)micros;
    w->counts.outcomes_taken += answer->result == DIAMETER_SUCCESS;
}

static void on_open(void *owner, peer *from)
{
    (void)owner, (void)from;
}

void iwf_tick(iwf *w, int64_t now_ns)
{
    int64_t now_s = (int64_t)time(NULL);
    peer_tick(w->peer, now_ns);
    for (uint32_t i = 0; i < w->count && peer_has_room(w->peer);) {
        trigger *t = &w->waiting[i];
        bool is_reached = w->around.trigger(w->around.owner, t->device), is_over = !is_reached && t->until_s < now_s;
        if (!is_reached && !is_over) {
            i++;
            continue;
        }
        notification said = { .of = t, .action = ACTION_REPORT, .outcome = is_reached ? OUTCOME_SUCCESS : OUTCOME_EXPIRED };
        t6a_custom request = { COMMAND_DEVICE_NOTIFICATION, DIAMETER_APPLICATION_TSP, put_outcome, &said };
        peer_send_custom(w->peer, &request, 0, now_ns);
        w->counts.delivered += is_reached;
        w->counts.expired += is_over;
        drop(w, t);
    }
}

/* ---- life ---- */

iwf *iwf_new(const options *o, tls_context *tls, const iwf_network *around, int epoll)
{
    iwf *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->around = *around;
    made->waiting = calloc(IWF_TRIGGERS_MAX, sizeof *made->waiting);
    peer_config config = { .connect = o->hss_connect, .identity = o->iwf_identity, .realm = o->hss_realm, .tls = tls, .tls_name = o->tls_name,
                           .application = DIAMETER_APPLICATION_TSP, .window = WINDOW, .seed = o->seed + OPTIONS_MMES_MAX + OPTIONS_HSSES_MAX,
                           .epoll = epoll, .owner = made, .on_open = on_open, .on_answer = on_answer, .on_request = on_request };
    made->peer = made->waiting == NULL ? NULL : peer_new(&config);
    if (made->peer == NULL) {
        iwf_free(made);
        return NULL;
    }
    return made;
}

void iwf_free(iwf *w)
{
    if (w == NULL)
        return;
    peer_free(w->peer);
    free(w->waiting);
    free(w);
}

peer *iwf_peer(iwf *w)
{
    return w->peer;
}

const iwf_counts *iwf_count(const iwf *w)
{
    return &w->counts;
}
