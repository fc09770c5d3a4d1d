/* What is told of exposures of groups: reports of members as they come are kept here on core 0, each with a record of its
 * own, and told together: at most one notification of an exposure in its guard time (TS 23.682, 5.6.0). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"

enum { PUT_HEAD = 8 + 8, AGAIN_MS = 1000 };

typedef struct news { struct news *next; uint64_t number; uint16_t length; uint8_t fields[]; } news; /* of a notice object */

struct exposure_news {
    news *first, *last;          /* oldest first */
    uint32_t count;
    uint64_t out;                /* the newest in the notification under way; 0: none is */
    struct notice *notice;
    int64_t tell_ms;             /* not before */
};

static struct exposure_news *news_get(exposure *of)
{
    if (of->news == NULL)
        of->news = calloc(1, sizeof *of->news);
    return of->news;
}

static int64_t guard_ms(const exposure *of)
{
    const exposure_class *class = exposure_classes[of->kind];
    int64_t guard_s = class->guard_s == NULL ? 0 : class->guard_s(of->fields, of->length);
    return (guard_s < GROUP_NEWS_GUARD_MAX_S ? guard_s : GROUP_NEWS_GUARD_MAX_S) * 1000;
}

/* ---- kept ---- */

static dro_err news_add(core *core, uint64_t exposure_number, uint64_t number, const uint8_t *fields, size_t length)
{
    exposure *of = exposure_of_group(core, exposure_number);
    struct exposure_news *all = of == NULL ? NULL : news_get(of);
    if (of == NULL || length > UINT16_MAX)
        return DRO_NOT_FOUND;
    if (all == NULL)
        return DRO_NOMEM;
    news **at = all->last != NULL && all->last->number < number ? &all->last->next : &all->first;
    while (*at != NULL && (*at)->number < number)
        at = &(*at)->next;
    if (*at != NULL && (*at)->number == number) /* of a dump, and of its own record */
        return DRO_OK;
    news *made = malloc(sizeof *made + length);
    if (made == NULL)
        return DRO_NOMEM;
    *made = (news){ .next = *at, .number = number, .length = (uint16_t)length };
    memcpy(made->fields, fields, length);
    if (all->first == NULL && all->tell_ms <= core->now_ms) /* it waits for those of other members */
        all->tell_ms = core->now_ms + guard_ms(of);
    *at = made;
    if (made->next == NULL)
        all->last = made;
    core->exposures.news_count++;
    all->count++;
    return DRO_OK;
}

/* Up to that number, or all. */
static void news_drop(core *core, exposure *of, uint64_t last)
{
    struct exposure_news *all = of->news;
    while (all != NULL && all->first != NULL && all->first->number <= last) {
        news *gone = all->first;
        all->first = gone->next;
        free(gone);
        all->count--;
        core->exposures.news_count--;
    }
    if (all != NULL && all->first == NULL)
        all->last = NULL;
}

void exposure_news_free(core *core, exposure *of)
{
    if (of->news == NULL)
        return;
    if (of->news->notice != NULL)
        notice_group_free(core, of->news->notice);
    news_drop(core, of, UINT64_MAX);
    free(of->news);
    of->news = NULL;
}

void exposure_news_fini(exposure *of)
{
    while (of->news != NULL && of->news->first != NULL) {
        news *gone = of->news->first;
        of->news->first = gone->next;
        free(gone);
    }
    if (of->news != NULL)
        free(of->news->notice);
    free(of->news);
}

static void put_one(core *core, uint64_t exposure_number, uint64_t number, const uint8_t *fields, size_t length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, exposure_number, 8);
    dro_builder_le(part, number, 8);
    dro_builder_bytes(part, fields, length);
    record_part_end(core, FIELD_EXPOSURE_NEWS);
}

bool exposure_news_put(core *core, exposure *of, const uint8_t *fields, size_t length)
{
    uint64_t number = core->nidd.next++, exposure_number = of->number;
    const group *group = of->group == 0 ? NULL : group_at(core, of->group);
    bool may_hear = group == NULL || application_may(core, of->application, t8_apis[of->kind]->scope, group->domain);
    if (of->destination == NONE || !may_hear)
        return true;
    if (core->exposures.news_count >= GROUP_NEWS_MAX || (of->news != NULL && of->news->count >= GROUP_NEWS_OF_ONE_MAX)) {
        core->counters.notices_dropped++;
        return false;
    }
    put_one(core, exposure_number, number, fields, length);
    if (news_add(core, exposure_number, number, fields, length) == DRO_OK)
        return true;
    core->counters.notices_dropped++;
    return false;
}

void exposure_news_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint64_t exposure_number = dro_cursor_le(&in, 8), number = dro_cursor_le(&in, 8);
    exposure *of = core->index == 0 && in.err == DRO_OK ? exposure_of_group(core, exposure_number) : NULL;
    if (of == NULL)
        return;
    if (field->tag == FIELD_EXPOSURE_NEWS_GONE)
        news_drop(core, of, number);
    else if (news_add(core, exposure_number, number, in.at, dro_cursor_left(&in)) != DRO_OK)
        core->counters.notices_dropped++;
}

void exposure_news_write(core *core)
{
    for (uint32_t i = 0; core->exposures.news_count > 0 && i < core->exposures.group_high; i++) {
        const exposure *of = core->exposures.of_groups[i];
        for (const news *n = of == NULL || of->news == NULL ? NULL : of->news->first; n != NULL; n = n->next) {
            record_begin(core, NONE, RECORD_GROUPS);
            put_one(core, of->number, n->number, n->fields, n->length);
            record_end(core);
        }
    }
}

/* ---- told ---- */

/* A member that a notification has once: what several members of the group have alike becomes one, with all their names. */
typedef struct joint {
    const t8_member *member;     /* NULL: there is none yet */
    dro_builder fields;          /* of its object */
    dro_field first;             /* as it came */
    uint8_t bytes[GROUP_NOTICE_BYTES];
} joint;

/* Its fields that are of lists, or those that are not. */
static void put_some(const t8_object *object, const dro_field *of, bool is_of_lists, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(of->bytes, of->length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        const t8_member *member = t8_member_of(object, field.tag);
        if (member != NULL && ((member->uses & T8_LIST) != 0) == is_of_lists)
            dro_field_put(out, (uint8_t)field.tag, field.bytes, field.length);
    }
}

static bool is_alike(const t8_object *object, const dro_field *one, const dro_field *other)
{
    uint8_t bytes[2][256];
    dro_builder parts[2] = { dro_builder_over(bytes[0], sizeof bytes[0]), dro_builder_over(bytes[1], sizeof bytes[1]) };
    put_some(object, one, false, &parts[0]);
    put_some(object, other, false, &parts[1]);
    size_t length = dro_builder_length(&parts[0]);
    return parts[0].err == DRO_OK && parts[1].err == DRO_OK && length == dro_builder_length(&parts[1]) && memcmp(bytes[0], bytes[1], length) == 0;
}

/* The field of news that is such a member; NULL: all of it may come again and again. */
static const t8_member *single_of(const exposure *of, const news *n, dro_field *field)
{
    dro_cursor in = dro_cursor_over(n->fields, n->length);
    const t8_object *notice = exposure_classes[of->kind]->api->notice;
    const t8_member *member = notice != NULL && dro_field_next(&in, field) ? t8_member_of(notice, field->tag) : NULL;
    return member == NULL || member->kind != T8_OBJECT || member->uses & T8_LIST ? NULL : member;
}

/* False: it is another than the one that is there, and for the next notification. */
static bool joint_add(joint *all, const t8_member *member, const dro_field *field)
{
    if (all->member == NULL) {
        *all = (joint){ .member = member, .first = *field };
        all->fields = dro_builder_over(all->bytes, sizeof all->bytes);
        dro_builder_bytes(&all->fields, field->bytes, field->length);
        return true;
    }
    if (member != all->member || !is_alike(member->object, &all->first, field))
        return false;
    put_some(member->object, field, true, &all->fields);
    return true;
}

/* As many as fit, the oldest first, in one notification. */
static void tell_some(core *core, exposure *of)
{
    static _Thread_local joint joint;
    static _Thread_local uint8_t inner[GROUP_NOTICE_BYTES], bytes[GROUP_NOTICE_BYTES + 64];
    dro_builder fields = dro_builder_over(inner, sizeof inner), out = dro_builder_over(bytes, sizeof bytes);
    uint64_t newest = 0;
    uint8_t kind = of->kind;
    uint32_t count = 0;
    size_t room = sizeof inner;
    joint.member = NULL;
    for (const news *n = of->news->first; n != NULL && count < GROUP_RESULTS_MAX && n->length + 8u <= room; n = n->next, count++) {
        dro_field field;
        const t8_member *single = single_of(of, n, &field);
        if (single != NULL && !joint_add(&joint, single, &field))
            break;
        if (single == NULL)
            dro_builder_bytes(&fields, n->fields, n->length);
        room -= n->length;
        newest = n->number;
    }
    if (joint.member != NULL)
        dro_field_put(&fields, joint.member->field, joint.bytes, dro_builder_length(&joint.fields));
    dro_field_put(&out, API_FIELD_EXPOSURE, &kind, 1);
    dro_field_put(&out, API_FIELD_RESOURCE, inner, dro_builder_length(&fields));
    of->news->notice = notice_of_group(core, of->destination, of->number, NOTICE_EXPOSURE, bytes, dro_builder_length(&out));
    of->news->out = newest;
    if (of->news->notice == NULL)
        of->news->tell_ms = core->now_ms + AGAIN_MS;
}

void exposure_test(core *core, exposure *made)
{
    struct exposure_news *all = made->destination == NONE ? NULL : news_get(made);
    if (all != NULL && all->notice == NULL)
        all->notice = notice_of_group(core, made->destination, made->number, NOTICE_TEST, NULL, 0);
}

void exposure_news_gone(core *core, const notice *gone)
{
    for (uint32_t i = 0; i < core->exposures.group_high; i++) {
        exposure *of = core->exposures.of_groups[i];
        if (of == NULL || of->news == NULL || of->news->notice != gone)
            continue;
        uint64_t newest = of->news->out, number = of->number;
        of->news->notice = NULL;
        of->news->out = 0;
        if (newest == 0)
            return;
        of->news->tell_ms = core->now_ms + guard_ms(of);
        news_drop(core, of, newest);
        record_begin(core, NONE, RECORD_GROUPS);
        dro_builder *part = record_part(core);
        dro_builder_le(part, number, 8);
        dro_builder_le(part, newest, 8);
        record_part_end(core, FIELD_EXPOSURE_NEWS_GONE);
        record_end(core);
        return;
    }
}

/* ---- time ---- */

static bool has_news(const exposure *of)
{
    return of->news != NULL && of->news->first != NULL;
}

static int64_t due_of(const exposure *of)
{
    if (of->status == EXPOSURE_ENDING)
        return of->is_asked ? INT64_MAX : of->retry_ms;
    int64_t due = of->status == EXPOSURE_ACTIVE ? of->until_ms : has_news(of) || (of->news != NULL && of->news->notice != NULL) ? INT64_MAX : 0;
    int64_t tell_ms = has_news(of) && of->news->notice == NULL ? of->status == EXPOSURE_ACTIVE ? of->news->tell_ms : 0 : INT64_MAX;
    return tell_ms < due ? tell_ms : due;
}

static void is_due(core *core, exposure *of)
{
    const exposure_class *class = exposure_classes[of->kind];
    if (of->status == EXPOSURE_ENDING) {
        class->ends(core, NONE, of, NULL);
    } else if (of->status == EXPOSURE_OVER && !has_news(of)) {
        exposure_group_gone(core, of);
    } else if (of->status == EXPOSURE_ACTIVE && of->until_ms <= core->now_ms) {
        exposure_charge(core, NONE, of, "expired");
        of->status = EXPOSURE_OVER;
        if (of->kind == EXPOSURE_PARAMETERS && of->group != 0)
            groups_unsure(core, of->group);
        if (groups_keep(core) != DRO_OK)
            dro_warn("the end of what an application has at a group could not be written; the next start ends it again");
    } else {
        tell_some(core, of);
    }
}

int64_t exposures_groups_due(const core *core)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; core->index == 0 && i < core->exposures.group_high; i++)
        if (core->exposures.of_groups[i] != NULL && due_of(core->exposures.of_groups[i]) < due)
            due = due_of(core->exposures.of_groups[i]);
    return due;
}

int exposures_groups_step(core *core)
{
    int done = 0;
    for (uint32_t i = 0; core->index == 0 && core->exposures.group_count > 0 && i < core->exposures.group_high; i++) {
        exposure *of = core->exposures.of_groups[i];
        if (of == NULL || due_of(of) > core->now_ms)
            continue;
        is_due(core, of);
        done++;
    }
    return done;
}
