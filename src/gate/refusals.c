#include "gate/refusals.h"

#include <stdio.h>
#include <string.h>

#include "base/builder.h"
#include "base/fields.h"
#include "ring/message.h"

static void text_keep(char to[REFUSAL_TEXT], const char *from)
{
    snprintf(to, REFUSAL_TEXT, "%s", from != NULL ? from : "");
}

static bool is_same(const char *kept, const char *text)
{
    return strncmp(kept, text != NULL ? text : "", REFUSAL_TEXT - 1) == 0;
}

static refusal *find(refusals *here, enum audit_act act, uint16_t status, const refusal_words *words)
{
    for (refusal *of = here->list; of < here->list + here->count; of++)
        if (of->act == act && of->status == status && is_same(of->actor, words->actor) && is_same(of->source, words->source) &&
            is_same(of->object, words->object) && is_same(of->detail, words->detail))
            return of;
    return NULL;
}

/* An entry of its own; NULL: there were as many as may be. */
static refusal *add(refusals *here, int64_t now_ns, const refusal_words *words)
{
    if (now_ns - here->minute_ns >= REFUSALS_MINUTE_MS * INT64_C(1000000) || here->minute_ns == 0) {
        here->minute_ns = now_ns;
        here->of_minute = 0;
    }
    if (here->count == REFUSALS_KEPT || here->of_minute == REFUSALS_KEPT)
        return NULL;
    here->of_minute++;
    refusal *of = &here->list[here->count++];
    *of = (refusal){ 0 };
    text_keep(of->actor, words->actor);
    text_keep(of->source, words->source);
    text_keep(of->object, words->object);
    text_keep(of->detail, words->detail);
    return of;
}

void refusals_note(refusals *here, dro_clock *clock, enum audit_act act, uint16_t status, const refusal_words *words)
{
    int64_t now_ns = clock->monotonic_ns(clock);
    refusal *of = find(here, act, status, words);
    if (here->due_ns == 0)
        here->due_ns = now_ns + REFUSALS_MS * INT64_C(1000000);
    if (of == NULL && (of = add(here, now_ns, words)) == NULL) {
        of = &here->others;
        status = 0;
        text_keep(of->source, "others");
    }
    if (of->count++ == 0) {
        of->act = (uint16_t)act;
        of->status = status;
        of->first_ms = clock->wall_ms(clock);
    }
}

static void put(dro_builder *out, uint8_t tag, const char *text)
{
    if (text[0] != '\0')
        dro_field_put_text(out, tag, text);
}

static bool tell(refusal *of, ring_writer *core)
{
    uint8_t bytes[4 * REFUSAL_TEXT + 64];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, of->act, 2);
    put(&out, AUDIT_ACTOR, of->actor);
    put(&out, AUDIT_SOURCE, of->source);
    put(&out, AUDIT_OBJECT, of->object);
    put(&out, AUDIT_DETAIL, of->detail);
    if (of->status != 0)
        dro_field_put(&out, AUDIT_STATUS, &of->status, sizeof of->status);
    dro_field_put_u64(&out, AUDIT_COUNT, of->count);
    dro_field_put_u64(&out, AUDIT_FIRST, (uint64_t)of->first_ms);
    dro_field_pad(&out);
    if (!ring_send(core, MESSAGE_AUDIT, 0, 0, bytes, (uint32_t)dro_builder_length(&out)))
        return false;
    *of = (refusal){ 0 };
    return true;
}

void refusals_tell(refusals *here, int64_t now_ns, ring_writer *core)
{
    if (here->due_ns == 0 || now_ns < here->due_ns)
        return;
    while (here->count > 0 && tell(&here->list[here->count - 1], core))
        here->count--;
    bool is_told = here->count == 0 && (here->others.count == 0 || tell(&here->others, core));
    ring_publish(core);
    if (is_told)
        here->due_ns = 0;
}
