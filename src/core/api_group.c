/* Groups over /v1: made, shown and removed on core 0; members on the cores that have them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "core/call.h"
#include "core/follow.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/render.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"

static bool group_seen(core *core, const call *call, const group *group)
{
    return group != NULL && application_sees(core, call->application, call->scopes, group->domain);
}

group *call_group(core *core, const call *call)
{
    group *found = call->group.at == NULL ? NULL : group_find(core, call->group.at, call->group.length);
    if (group_seen(core, call, found))
        return found;
    tell_problem(core, call->caller, 404, "about:blank", "no group is called %.*s", (int)call->group.length, call->group.at != NULL ? call->group.at : "");
    return NULL;
}

/* ---- as JSON ---- */

static void group_put(core *core, const group *group, dro_builder *out)
{
    dro_builder_text(out, "{\"id\":");
    json_string(out, group->id);
    json_put(out, ",\"kind\":\"%s\",\"members\":%llu,\"made\":", group->kind == GROUP_HSS ? "hss" : "local",
             (unsigned long long)group_members_all(core, group));
    json_time(out, group->made_ms);
    if (group->kind == GROUP_HSS)
        json_put(out, ",\"unknown\":%llu", (unsigned long long)group_unknown(core, group));
    dro_builder_text(out, "}");
}

static void group_reply(core *core, const call *call, uint16_t status, const group *group)
{
    char location[300];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    snprintf(location, sizeof location, "/v1/groups/%s", group->id);
    group_put(core, group, &out);
    call_reply(core, call, status, UINT64_MAX, status == 201 ? location : NULL, &out);
}

/* ---- cursors: a place to go on from, in base 36 behind a mark ---- */

enum { CURSOR_MARK = 'g' };

bool group_cursor_read(core *core, const call *call, uint32_t *place)
{
    char text[16] = { 0 }, *end = text;
    *place = 0;
    if (call->cursor.at == NULL)
        return true;
    if (call->cursor.length > 1 && call->cursor.length < sizeof text && call->cursor.at[0] == CURSOR_MARK) {
        memcpy(text, call->cursor.at + 1, call->cursor.length - 1);
        unsigned long long number = strtoull(text, &end, 36);
        if (*end == '\0' && number < UINT32_MAX) {
            *place = (uint32_t)number;
            return true;
        }
    }
    tell_problem(core, call->caller, 400, "about:blank", "this cursor is not one of ours");
    return false;
}

void group_cursor_put(dro_builder *out, uint32_t place)
{
    char text[16];
    int at = sizeof text - 1;
    text[at] = '\0';
    do
        text[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[place % 36];
    while ((place /= 36) > 0);
    json_put(out, ",\"cursor\":\"%c%s\"", CURSOR_MARK, text + at);
}

uint32_t group_page_limit(const call *call)
{
    if (!call->has_limit || call->limit == 0)
        return LIST_LIMIT;
    return call->limit > LIST_LIMIT_MAX ? LIST_LIMIT_MAX : (uint32_t)call->limit;
}

/* ---- groups ---- */

void api_group_list(core *core, const call *call)
{
    uint32_t slot, limit = group_page_limit(call), shown = 0;
    if (!group_cursor_read(core, call, &slot))
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"groups\":[");
    for (; slot < core->groups->high && shown < limit; slot++) {
        const group *group = &core->groups->list[slot];
        if (group->id == NULL || group->is_gone || !group_seen(core, call, group))
            continue;
        dro_builder_text(&out, shown++ > 0 ? "," : "");
        group_put(core, group, &out);
    }
    dro_builder_text(&out, "]");
    if (slot < core->groups->high)
        group_cursor_put(&out, slot);
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_group_get(core *core, const call *call)
{
    const group *group = call_group(core, call);
    if (group != NULL)
        group_reply(core, call, 200, group);
}

/* The domain of the id; the admin's is made where it is new. NONE: it is no business of the caller's. */
static uint32_t domain_of(core *core, const call *call, dro_err *err)
{
    const char *at = call->group.at == NULL ? NULL : memchr(call->group.at, '@', call->group.length);
    uint32_t domain = NONE;
    if (at == NULL)
        return NONE;
    size_t length = (size_t)(call->group.at + call->group.length - at - 1);
    if (call->scopes & SCOPE_ADMIN)
        *err = domain_get(core, at + 1, length, &domain);
    else
        domain = domain_find(core, at + 1, length);
    if (domain != NONE && core->domains[domain].is_going && application_sees(core, call->application, call->scopes, domain))
        *err = DRO_DENIED;
    return domain != NONE && application_sees(core, call->application, call->scopes, domain) ? domain : NONE;
}

void api_group_put(core *core, const call *call)
{
    dro_err err = DRO_OK;
    group *made = call->group.at == NULL ? NULL : group_find(core, call->group.at, call->group.length);
    if (made != NULL) {
        if (call_group(core, call) != NULL)
            group_reply(core, call, 200, made);
        return;
    }
    uint32_t domain = domain_of(core, call, &err);
    if (err == DRO_OK && domain == NONE) {
        tell_problem(core, call->caller, 404, "about:blank", "no group is called %.*s", (int)call->group.length, call->group.at != NULL ? call->group.at : "");
        return;
    }
    if (err == DRO_OK)
        err = group_add(core, call->group.at, call->group.length, domain, GROUP_LOCAL, &made);
    if (err == DRO_OK && (err = groups_keep(core)) != DRO_OK)
        group_remove(core, made);
    if (err == DRO_DENIED)
        tell_problem(core, call->caller, 409, "domain_is_going", "the domain is being deleted");
    else if (err == DRO_LIMIT)
        tell_problem(core, call->caller, 507, "too_many_groups", "a host has at most %d groups", GROUPS_MAX);
    else if (err != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "the group could not be kept: %s", dro_err_text(err));
    else
        group_reply(core, call, 201, made);
}

void api_group_delete(core *core, const call *call)
{
    group *gone = call_group(core, call);
    if (gone == NULL)
        return;
    group_remove(core, gone);
    if (groups_keep(core) != DRO_OK) { /* it is out of sight here and there again after a restart: say so */
        tell_problem(core, call->caller, 503, "about:blank", "the removal could not be kept; try again after a restart");
        return;
    }
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* ---- members ---- */

static void member_reply(core *core, const call *call, uint16_t status, uint32_t index, const group *group)
{
    size_t length;
    const char *id = twin_id(core, twin_at(core, index), &length);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"id\":");
    json_text(&out, id, length);
    dro_builder_text(&out, ",\"group\":");
    json_string(&out, group->id);
    dro_builder_text(&out, "}");
    call_reply(core, call, status, UINT64_MAX, NULL, &out);
}

static bool is_of_hss(core *core, const call *call, const group *group)
{
    if (group->kind == GROUP_HSS)
        tell_problem(core, call->caller, 409, "about:blank", "who is in this group is the HSS's to say");
    return group->kind == GROUP_HSS;
}

void api_group_member_put(core *core, const call *call)
{
    const group *group = call_group(core, call);
    uint32_t index = group == NULL ? NONE : call_twin(core, call);
    if (index == NONE || is_of_hss(core, call, group) || call_deferred(core, call, index))
        return;
    const twin *twin = twin_at(core, index);
    if (twin->domain != group->domain) {
        tell_problem(core, call->caller, 422, "other_domain", "a group has members of its own domain only");
        return;
    }
    if (membership_find(core, twin, group) != NULL) {
        member_reply(core, call, 200, index, group);
        return;
    }
    if (!group_has_room(core, twin)) {
        tell_problem(core, call->caller, 422, "too_many_groups", "a twin is in at most %d groups", TWIN_GROUPS_MAX);
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    group_join(core, group);
    record_end(core);
    if (membership_find(core, twin, group) == NULL)
        tell_problem(core, call->caller, 503, "about:blank", "out of memory");
    else
        member_reply(core, call, 201, index, group);
}

void api_group_member_delete(core *core, const call *call)
{
    const group *group = call_group(core, call);
    uint32_t index = group == NULL ? NONE : call_twin(core, call);
    if (index == NONE || is_of_hss(core, call, group) || call_deferred(core, call, index))
        return;
    if (membership_find(core, twin_at(core, index), group) == NULL) {
        tell_problem(core, call->caller, 404, "about:blank", "the twin is not in this group");
        return;
    }
    record_begin(core, index, RECORD_DELTA);
    group_leave(core, group);
    record_end(core);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* {"id": ...}, and with a property's name in the call what it is; a model without it: null. */
static void member_put(core *core, const call *call, uint32_t index, dro_builder *out)
{
    const twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_builder_text(out, "{\"id\":");
    json_text(out, id, length);
    if (call->name.at != NULL) {
        const model *model = twin_model(core, twin);
        int property = model_property_find(model, call->name.at, call->name.length);
        dro_builder_text(out, ",\"property\":");
        if (property >= 0 && !model->properties[property].is_private)
            render_property(core, twin, (uint32_t)property, out);
        else
            dro_builder_text(out, "null");
    }
    dro_builder_text(out, "}");
}

/* Members from a place on, as many as are wanted and fit; `put` writes one or nothing (false). */
void group_page(core *core, const call *call, const group *group, 
                bool (*put)(struct core *core, const struct call *call, const struct group *group, uint32_t place, dro_builder *out))
{
    enum { ROOM_BEHIND = 64 };
    uint32_t place, limit = group_page_limit(call), shown = 0, looked = 0;
    if (!group_cursor_read(core, call, &place))
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - ROOM_BEHIND);
    dro_builder_text(&out, "{\"members\":[");
    for (; place < group->place_count && shown < limit && looked < GROUP_PAGE_SCAN; place++, looked++) {
        uint8_t *before = out.at;
        if (group_place(group, place) == 0)
            continue;
        dro_builder_text(&out, shown > 0 ? "," : "");
        bool is_shown = put(core, call, group, place, &out);
        if (out.err != DRO_OK) { /* full: the rest is the next page */
            out.err = DRO_OK;
            out.at = before;
            break;
        }
        if (!is_shown)
            out.at = before;
        shown += is_shown;
    }
    out.end += ROOM_BEHIND;
    dro_builder_text(&out, "]");
    if (place < group->place_count)
        group_cursor_put(&out, place);
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static bool put_member(core *core, const call *call, const group *group, uint32_t place, dro_builder *out)
{
    member_put(core, call, membership_at(core, group_place(group, place))->twin, out);
    return true;
}

void api_group_member_list(core *core, const call *call)
{
    const group *group = call_group(core, call);
    if (group != NULL)
        group_page(core, call, group, put_member);
}
