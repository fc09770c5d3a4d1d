/* T8's resources beside NIDD (TS 29.122), one code for all of them: what is particular to a kind are its table
 * (twin/t8.h) and the hooks of its class (core/exposure.h). An application works under its own id only. */
#include <string.h>

#include "core/authorization.h"
#include "core/call.h"
#include "core/charge_owed.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/inquiry.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/peers.h"
#include "core/parameters.h"
#include "core/patterns.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/trigger.h"
#include "core/twin_table.h"

const exposure_class *const exposure_classes[EXPOSURE_KINDS] = {
    [EXPOSURE_MONITORING] = &monitoring_class,
    [EXPOSURE_TRIGGER] = &trigger_class,
    [EXPOSURE_PATTERNS] = &patterns_class,
    [EXPOSURE_PARAMETERS] = &parameters_class,
};

/* The class of a call; no gate names one that is not there. */
static const exposure_class *class_of(core *core, const call *call)
{
    const exposure_class *class = call->exposure < EXPOSURE_KINDS ? exposure_classes[call->exposure] : NULL;
    if (class == NULL)
        tell_problem(core, call->caller, 404, "about:blank", "there is nothing at this path");
    return class;
}

/* ---- as JSON ---- */

static void self_write(core *core, const exposure *shown, dro_builder *out)
{
    dro_builder_text(out, core->options.t8_root != NULL ? core->options.t8_root : "");
    exposure_path_write(application_at(core, shown->application), shown->kind, shown->number, out);
}

/* The URI is that of the resource, with ws for http and wss for https. */
static void websocket_write(core *core, const exposure *shown, dro_builder *out)
{
    const char *root = core->options.t8_root != NULL ? core->options.t8_root : "";
    dro_builder_text(out, ",\"websockNotifConfig\":{\"requestWebsocketUri\":true,\"websocketUri\":\"ws");
    dro_builder_text(out, strncmp(root, "http", 4) == 0 ? root + 4 : root);
    exposure_path_write(application_at(core, shown->application), shown->kind, shown->number, out);
    dro_builder_text(out, "/websocket\"}");
}

void exposure_json(core *core, const exposure *shown, dro_builder *out)
{
    const exposure_class *class = exposure_classes[shown->kind];
    dro_builder_text(out, "{\"self\":\"");
    self_write(core, shown, out);
    dro_builder_text(out, "\"");
    t8_members_json(out, class->api->resource, shown->fields, shown->length, class->api->features, ",");
    if (nidd_wants_websocket(shown->fields, shown->length))
        websocket_write(core, shown, out);
    if (class->write != NULL)
        class->write(core, shown, out);
    dro_builder_text(out, "}");
}

void exposure_reply(core *core, const call *call, uint16_t status, const exposure *shown)
{
    char location[NIDD_PATH_MAX + 300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES), self = dro_builder_over(location, sizeof location - 1);
    self_write(core, shown, &self);
    *self.at = '\0';
    exposure_json(core, shown, &out);
    call_reply(core, call, status, UINT64_MAX, status == 201 ? location : NULL, &out);
}

/* ---- whose ---- */

static bool is_in_reach(core *core, const call *call, const application *owner, const exposure *of, uint32_t index)
{
    const group *group = of->group != 0 ? group_at(core, of->group) : NULL;
    return (group == NULL || nidd_is_in_reach(core, call, owner, group->domain)) && (index == NONE || nidd_is_in_reach(core, call, owner, twin_at(core, index)->domain));
}

exposure *exposure_called(core *core, const call *call, uint32_t *index)
{
    const exposure_class *class = class_of(core, call);
    const application *owner = class == NULL ? NULL : nidd_owner_find(core, call);
    exposure *found = owner == NULL ? NULL : exposure_find(core, call->configuration, index);
    if (found != NULL && found->application == owner->number && found->kind == call->exposure && found->status == EXPOSURE_ACTIVE && is_in_reach(core, call, owner, found, *index))
        return found;
    if (owner != NULL)
        tell_problem(core, call->caller, 404, "about:blank", "no %s %016llx is here", class->api->word, (unsigned long long)call->configuration);
    return NULL;
}

/* False after a problem. */
static bool group_named(core *core, const call *call, exposure_call *wanted)
{
    dro_err err = DRO_OK;
    wanted->group = group_find(core, call->group.at, call->group.length);
    if (wanted->group == NULL && peers_have_hss(core)) /* the HSS may know it */
        wanted->group = authorization_group_named(core, call, wanted->owner, &err);
    if (wanted->group != NULL && application_sees(core, wanted->owner->number, 0, wanted->group->domain))
        return true;
    if (err != DRO_OK) {
        tell_problem(core, call->caller, 503, "about:blank", "the group could not be kept: %s", dro_err_text(err));
        return false;
    }
    tell_cause(core, call->caller, 404, "USER_UNKNOWN", "no group is known by this identifier");
    return false;
}

static void tell_full(core *core, const call *call)
{
    tell_cause(core, call->caller, 403, "QUOTA_EXCEEDED", "the device has as many of these as it can have: %d, or %d bytes together", TWIN_EXPOSURES_MAX,
               TWIN_EXPOSURE_BYTES);
}

bool exposure_fits(core *core, const call *call, uint32_t index, const exposure *old)
{
    if (index == NONE || exposure_may_change(twin_at(core, index), old))
        return true;
    tell_full(core, call);
    return false;
}

/* Whom a new one is about. False after a problem, or while its twin is busy. */
static bool subject_find(core *core, const call *call, exposure_call *wanted)
{
    dro_field room;
    if (call->group.at != NULL)
        return group_named(core, call, wanted);
    bool is_named = call->id.at != NULL || t8_find(call->resource, call->resource_length, T8_FIELD_MSISDN, &room) != NULL;
    if (!is_named)
        return true;
    wanted->twin = nidd_twin_named(core, call, call->resource, call->resource_length, wanted->owner);
    if (wanted->twin == NONE || call_deferred(core, call, wanted->twin))
        return false;
    if (exposure_has_room(twin_at(core, wanted->twin)))
        return true;
    tell_full(core, call);
    return false;
}

/* ---- reading ---- */

void api_exposure_get(core *core, const call *call)
{
    uint32_t index;
    const exposure *found = exposure_called(core, call, &index);
    if (found != NULL)
        exposure_reply(core, call, 200, found);
}

/* Those of groups, and of none, from a place on; where the next page begins. */
static uint64_t groups_list(core *core, const application *owner, uint32_t kind, uint64_t from, dro_builder *out)
{
    for (uint64_t i = from - NIDD_LIST_GROUPS; i < core->exposures.group_high; i++) {
        const exposure *shown = core->exposures.of_groups[i];
        if (shown == NULL || shown->application != owner->number || shown->kind != kind || shown->status != EXPOSURE_ACTIVE)
            continue;
        if (dro_builder_length(out) >= NIDD_LIST_PAGE)
            return NIDD_LIST_GROUPS + i;
        dro_builder_text(out, dro_builder_length(out) > 0 ? "," : "");
        exposure_json(core, shown, out);
    }
    return UINT64_MAX;
}

/* A page of those behind call->after, in the order they were made, those of groups last; see gate/pages.c. */
void api_exposure_list(core *core, const call *call)
{
    const exposure_class *class = class_of(core, call);
    const application *owner = class == NULL ? NULL : nidd_owner_find(core, call);
    if (owner == NULL)
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    uint64_t next = call->after;
    for (uint64_t number; next < NIDD_LIST_GROUPS && dro_builder_length(&out) < NIDD_LIST_PAGE; next = owner_rank(number)) {
        uint32_t index;
        if ((number = owner_next(core, &core->exposures.owners[call->exposure], owner->number, next)) == 0) {
            next = NIDD_LIST_GROUPS;
            break;
        }
        const exposure *shown = exposure_find(core, number, &index);
        if (shown->status != EXPOSURE_ACTIVE)
            continue;
        dro_builder_text(&out, dro_builder_length(&out) > 0 ? "," : "");
        exposure_json(core, shown, &out);
    }
    if (next >= NIDD_LIST_GROUPS)
        next = core->index == 0 ? groups_list(core, owner, call->exposure, next, &out) : UINT64_MAX;
    call_reply(core, call, 200, next, NULL, &out);
}

void api_exposure_websocket(core *core, const call *call)
{
    uint32_t index;
    const exposure *found = exposure_called(core, call, &index);
    if (found == NULL)
        return;
    if (found->destination == NONE)
        tell_problem(core, call->caller, 404, "about:blank", "it was made without notificationDestination");
    else
        nidd_websocket_begin(core, call, found->fields, found->length, found->destination);
}

/* ---- making and changing ---- */

static bool wants_test(const exposure_call *wanted)
{
    return wanted->old == NULL && t8_option(wanted->fields, wanted->length, T8_FIELD_TEST, 0) != 0;
}

/* The record of the twin. NULL: it could not be kept. */
static const exposure *twin_keep(core *core, const exposure_call *wanted, const exposure_class *class, const exposure *head,
                                 const dro_builder *fields)
{
    uint64_t number = head->number;
    uint32_t index = wanted->twin, ignored;
    bool is_new = wanted->old == NULL, has_test = wants_test(wanted);
    record_begin(core, index, RECORD_DELTA);
    exposure_put(core, head, fields->start, dro_builder_length(fields));
    exposure *kept = exposure_find(core, number, &ignored);
    if (kept != NULL && is_new && has_test && kept->destination != NONE)
        notice_put_of(core, index, number, NOTICE_TEST, NULL, 0);
    if (kept != NULL)
        exposure_charge(core, index, kept, is_new ? "made" : "changed");
    if (kept != NULL && class->kept != NULL)
        class->kept(core, index, kept);
    record_end(core);
    if (timers_update(core, index) != DRO_OK)
        core->counters.refused++;
    return exposure_find(core, number, &ignored);
}

static const exposure *group_keep(core *core, const exposure_call *wanted, const exposure_class *class, const exposure *head,
                                  const dro_builder *fields)
{
    exposure *kept = NULL;
    bool is_new = wanted->old == NULL, has_test = wants_test(wanted);
    dro_err err = exposure_group_put(core, head, fields->start, dro_builder_length(fields), &kept);
    if (err == DRO_OK) {
        exposure_charge(core, NONE, kept, is_new ? "made" : "changed");
        err = groups_keep(core);
    }
    if (err != DRO_OK && is_new && kept != NULL) { /* who asked hears that it is not there */
        charge_owed_take_back(core);
        exposure_group_remove(core, kept);
    }
    if (err != DRO_OK)
        return NULL;
    if (is_new && has_test)
        exposure_test(core, kept);
    if (class->kept != NULL)
        class->kept(core, NONE, kept);
    return kept;
}

/* Everybody has agreed: it is kept, and the application told. */
static void keep(core *core, const exposure_call *wanted, const exposure_class *class)
{
    uint8_t bytes[T8_FIELDS_MAX];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    exposure head = { .application = wanted->owner->number, .made_ms = core->now_ms, .kind = (uint8_t)wanted->call->exposure };
    bool is_new = wanted->old == NULL;
    if (!is_new)
        head = *wanted->old;
    else if (wanted->twin != NONE)
        head.number = nidd_number_next(core, twin_at(core, wanted->twin));
    else
        head.number = group_number(core->groups->next++);
    head.group = is_new && wanted->group != NULL ? wanted->group->number : head.group;
    dro_builder_bytes(&fields, wanted->fields, wanted->length);
    if (class->made != NULL && !class->made(core, wanted, &head, &fields))
        return;
    if (fields.err != DRO_OK) {
        tell_problem(core, wanted->call->caller, 413, "about:blank", "the %s is too large", class->api->word);
        return;
    }
    head.until_ms = class->until != NULL ? class->until(bytes, dro_builder_length(&fields)) : INT64_MAX;
    const exposure *kept = (wanted->twin != NONE ? twin_keep : group_keep)(core, wanted, class, &head, &fields);
    if (kept == NULL)
        tell_problem(core, wanted->call->caller, 503, "about:blank", "no room for another %s", class->api->word);
    else if (wanted->call->operation == API_EXPOSURE_PATCH && class->api->patch_kind == T8_PATCH_JSON)
        call_reply(core, wanted->call, 204, UINT64_MAX, NULL, NULL);
    else
        exposure_reply(core, wanted->call, is_new ? 201 : 200, kept);
}

void api_exposure_make(core *core, const call *call)
{
    const exposure_class *class = class_of(core, call);
    const application *owner = class == NULL ? NULL : nidd_owner_find(core, call);
    exposure_call wanted = { .call = call, .owner = owner, .twin = NONE, .fields = call->resource, .length = call->resource_length };
    if (owner == NULL || !subject_find(core, call, &wanted) || nidd_quota_is_reached(core, call, owner, LIMIT_CONFIGURATIONS, 1) ||
        (class->is_good != NULL && !class->is_good(core, &wanted)) || (class->asks != NULL && class->asks(core, &wanted)))
        return;
    keep(core, &wanted, class);
}

/* Whom it is about stays. False after a problem. */
static bool identity_is_same(core *core, const exposure_call *wanted)
{
    static const struct { uint8_t tag; const char *pointer; } identities[] = {
        { T8_FIELD_ID, "/externalId" }, { T8_FIELD_MSISDN, "/msisdn" }, { T8_FIELD_GROUP, "/externalGroupId" },
    };
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++) {
        dro_field rooms[2];
        const dro_field *before = t8_find(wanted->old->fields, wanted->old->length, identities[i].tag, &rooms[0]);
        const dro_field *after = t8_find(wanted->fields, wanted->length, identities[i].tag, &rooms[1]);
        bool is_same = before == NULL || after == NULL ? before == after
                     : before->length == after->length && memcmp(before->bytes, after->bytes, before->length) == 0;
        if (is_same)
            continue;
        tell_invalid(core, wanted->call->caller, 400, NULL, identities[i].pointer, "must be as it was");
        return false;
    }
    return true;
}

/* The call's exposure with other fields. */
static void change(core *core, const call *call, exposure *old, uint32_t index, const uint8_t *fields, size_t length)
{
    const exposure_class *class = exposure_classes[old->kind];
    exposure_call wanted = { .call = call, .owner = application_at(core, old->application), .twin = index,
                             .group = old->group != 0 ? group_at(core, old->group) : NULL, .old = old, .fields = fields, .length = length };
    if (!exposure_fits(core, call, index, old) || !identity_is_same(core, &wanted) || (class->is_good != NULL && !class->is_good(core, &wanted)) ||
        (class->asks != NULL && class->asks(core, &wanted)))
        return;
    keep(core, &wanted, class);
}

void api_exposure_put(core *core, const call *call)
{
    uint32_t index;
    exposure *old = exposure_called(core, call, &index);
    if (old == NULL || (index != NONE && call_deferred(core, call, index)))
        return;
    change(core, call, old, index, call->resource, call->resource_length);
}

void api_exposure_patch(core *core, const call *call)
{
    uint32_t index;
    uint8_t bytes[T8_FIELDS_MAX], tag = 0;
    exposure *old = exposure_called(core, call, &index);
    if (old == NULL || (index != NONE && call_deferred(core, call, index)))
        return;
    const t8_api *api = exposure_classes[old->kind]->api;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    const char *why = NULL;
    if (api->patch_kind == T8_PATCH_JSON)
        why = t8_apply(api->resource, old->fields, old->length, call->resource, call->resource_length, &out, &tag);
    else
        t8_merge(api->patch, old->fields, old->length, call->resource, call->resource_length, &out);
    const t8_member *member = why == NULL ? NULL : t8_member_of(api->resource, tag);
    char pointer[T8_TEXT_MAX + 2] = "/";
    if (why != NULL) {
        strncat(pointer, member != NULL ? member->name : "", T8_TEXT_MAX);
        tell_invalid(core, call->caller, 400, NULL, pointer, "%s", why);
    } else if (out.err != DRO_OK) {
        tell_problem(core, call->caller, 413, "about:blank", "the %s is too large", api->word);
    } else {
        change(core, call, old, index, bytes, dro_builder_length(&out));
    }
}

/* ---- its end ---- */

void exposure_end_ask(core *core, uint32_t index, exposure *of, const call *call, inquiry *asked)
{
    uint64_t number = of->number;
    asked->subject = number;
    asked->group = of->group;
    asked->twin = index != NONE ? twin_at(core, index)->number : 0;
    asked->late = call != NULL && !core->is_draining ? deferred_new(call->gate, call->header, call->message) : NULL;
    bool has_late = asked->late != NULL;
    of->is_asked = true;
    const char *why = inquiry_begin(core, asked);
    of = exposure_find(core, number, &index);
    if (why != NULL && of != NULL)
        exposure_put_off(core, of);
    if (call != NULL && (why != NULL || !has_late)) /* it is the application's no more, whenever the network hears of it */
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
    if (index != NONE && twin_at(core, index)->number != 0 && timers_update(core, index) != DRO_OK)
        core->counters.refused++;
}

void api_exposure_delete(core *core, const call *call)
{
    uint32_t index;
    exposure *gone = exposure_called(core, call, &index);
    if (gone == NULL || (index != NONE && call_deferred(core, call, index)))
        return;
    exposure_end(core, index, gone, call);
}

/* ---- all of a device ---- */

static bool is_shown_to(const call *call, const exposure *of)
{
    return of->status == EXPOSURE_ACTIVE && ((call->scopes & SCOPE_ADMIN) != 0 || of->application == call->application);
}

/* In the words of T8, under the path its API has there. False: it does not fit. */
static bool twin_exposure_write(core *core, const exposure *of, bool is_first, dro_builder *out)
{
    const application *owner = application_at(core, of->application);
    dro_builder before = *out;
    dro_builder_text(out, is_first ? "{\"api\":\"" : ",{\"api\":\"");
    dro_builder_text(out, exposure_classes[of->kind]->api->path);
    dro_builder_text(out, "\",\"application\":");
    if (owner != NULL)
        json_string(out, owner->id);
    else
        dro_builder_text(out, "null"); /* the twin's own */
    dro_builder_text(out, ",\"made\":");
    json_time(out, of->made_ms);
    json_put(out, ",\"reports\":%u,\"resource\":", of->reports);
    exposure_json(core, of, out);
    dro_builder_text(out, "}");
    if (out->err == DRO_OK)
        return true;
    *out = before;
    return false;
}

void api_twin_exposures(core *core, const call *call)
{
    enum { END = 32 }; /* of the answer */
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    const nidd *nidd = twin_at(core, index)->nidd;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - END);
    bool is_first = true, fits = true;
    dro_builder_text(&out, "{\"exposures\":[");
    for (const exposure *of = nidd == NULL ? NULL : nidd->exposures; of != NULL && fits; of = of->next)
        if (is_shown_to(call, of) && exposure_classes[of->kind] != NULL) {
            fits = twin_exposure_write(core, of, is_first, &out);
            is_first &= !fits;
        }
    out.end += END;
    json_put(&out, "],\"more\":%s}", fits ? "false" : "true");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}
