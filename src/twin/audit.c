#include "twin/audit.h"

#include <inttypes.h>
#include <string.h>

#include "twin/value.h"

/* `made`: what it is called where the answer was 201. */
static const struct act { uint16_t act; uint8_t class; const char *name, *made; } acts[] = {
    { AUDIT_APPLICATION_MADE, AUDIT_CLASS_ADMIN, "application.made", NULL },
    { AUDIT_APPLICATION_CHANGED, AUDIT_CLASS_ADMIN, "application.changed", NULL },
    { AUDIT_APPLICATION_REMOVED, AUDIT_CLASS_ADMIN, "application.removed", NULL },
    { AUDIT_APPLICATION_TOKEN, AUDIT_CLASS_ADMIN, "application.token.renewed", NULL },
    { AUDIT_SESSION_OFFERED, AUDIT_CLASS_ADMIN, "session.offered", NULL },
    { AUDIT_SESSION_BEGUN, AUDIT_CLASS_ADMIN, "session.begun", NULL },
    { AUDIT_IMAGE_UPLOADED, AUDIT_CLASS_ADMIN, "image.uploaded", NULL },
    { AUDIT_IMAGE_QUARANTINED, AUDIT_CLASS_SECURITY, "image.quarantined", NULL },
    { AUDIT_IMAGE_REMOVED, AUDIT_CLASS_ADMIN, "image.removed", NULL },
    { AUDIT_BACKUP_TAKEN, AUDIT_CLASS_ADMIN, "backup.taken", NULL },
    { AUDIT_BACKUP_RESTORED, AUDIT_CLASS_ADMIN, "backup.restored", NULL },
    { AUDIT_TRACE_BEGUN, AUDIT_CLASS_ADMIN, "trace.begun", NULL },
    { AUDIT_TRACE_ENDED, AUDIT_CLASS_ADMIN, "trace.ended", NULL },
    { AUDIT_DOMAIN_MADE, AUDIT_CLASS_ADMIN, "domain.made", NULL },
    { AUDIT_DOMAIN_ROTATED, AUDIT_CLASS_ADMIN, "domain.rotated", NULL },
    { AUDIT_DOMAIN_SHREDDED, AUDIT_CLASS_ADMIN, "domain.shredded", NULL },
    { AUDIT_MASTER_KEY_ROTATED, AUDIT_CLASS_ADMIN, "master-key.rotated", NULL },
    { AUDIT_BUDGET_CHANGED, AUDIT_CLASS_ADMIN, "budget.changed", NULL },
    { AUDIT_TWIN_PENALIZED, AUDIT_CLASS_SECURITY, "twin.penalized", NULL },
    { AUDIT_TWIN_PARDONED, AUDIT_CLASS_ADMIN, "twin.pardoned", NULL },
    { AUDIT_STOP_PUT, AUDIT_CLASS_ADMIN, "stop.made", NULL },
    { AUDIT_STOP_REMOVED, AUDIT_CLASS_ADMIN, "stop.ended", NULL },
    { AUDIT_HOST_STARTED, AUDIT_CLASS_ADMIN, "host.started", NULL },
    { AUDIT_HOST_STOPPED, AUDIT_CLASS_ADMIN, "host.stopped", NULL },
    { AUDIT_ROOM_DIED, AUDIT_CLASS_SECURITY, "room.died", NULL },
    { AUDIT_LOG_BEGUN, AUDIT_CLASS_ADMIN, "audit.begun", NULL },
    { AUDIT_LOG_GAP, AUDIT_CLASS_SECURITY, "audit.gap", NULL },
    { AUDIT_LOG_SIGNED, AUDIT_CLASS_ADMIN, "audit.signed", NULL },
    { AUDIT_LOG_CUT, AUDIT_CLASS_SECURITY, "audit.cut", NULL },
    { AUDIT_LOG_FILES_REMOVED, AUDIT_CLASS_ADMIN, "audit.files.removed", NULL },
    { AUDIT_ACCESS_REFUSED, AUDIT_CLASS_SECURITY, "access.refused", NULL },
    { AUDIT_TOKEN_ISSUED, AUDIT_CLASS_SECURITY, "token.issued", NULL },
    { AUDIT_CERTIFICATE_REFUSED, AUDIT_CLASS_SECURITY, "certificate.refused", NULL },
    { AUDIT_PEER_CONNECTED, AUDIT_CLASS_SECURITY, "peer.connected", NULL },
    { AUDIT_PEER_LOST, AUDIT_CLASS_SECURITY, "peer.lost", NULL },
    { AUDIT_PEER_REFUSED, AUDIT_CLASS_SECURITY, "peer.refused", NULL },
    { AUDIT_REFUSALS_DROPPED, AUDIT_CLASS_SECURITY, "refusals.dropped", NULL },
    { AUDIT_INVOKER_ONBOARDED, AUDIT_CLASS_SECURITY, "invoker.onboarded", NULL },
    { AUDIT_INVOKER_CHANGED, AUDIT_CLASS_SECURITY, "invoker.changed", NULL },
    { AUDIT_INVOKER_OFFBOARDED, AUDIT_CLASS_SECURITY, "invoker.offboarded", NULL },
    { AUDIT_INVOKER_SECURITY_SET, AUDIT_CLASS_SECURITY, "invoker.security.set", NULL },
    { AUDIT_INVOKER_SECURITY_REMOVED, AUDIT_CLASS_SECURITY, "invoker.security.removed", NULL },
    { AUDIT_INVOKER_REVOKED, AUDIT_CLASS_SECURITY, "invoker.revoked", NULL },
    { AUDIT_TWIN_PUT, AUDIT_CLASS_TWINS, "twin.changed", "twin.made" },
    { AUDIT_TWIN_REMOVED, AUDIT_CLASS_TWINS, "twin.removed", NULL },
    { AUDIT_GROUP_PUT, AUDIT_CLASS_TWINS, "group.changed", "group.made" },
    { AUDIT_GROUP_REMOVED, AUDIT_CLASS_TWINS, "group.removed", NULL },
    { AUDIT_GROUP_MEMBER_ADDED, AUDIT_CLASS_TWINS, "group.member.added", NULL },
    { AUDIT_GROUP_MEMBER_REMOVED, AUDIT_CLASS_TWINS, "group.member.removed", NULL },
    { AUDIT_NIDD_MADE, AUDIT_CLASS_T8, "nidd.configuration.made", NULL },
    { AUDIT_NIDD_CHANGED, AUDIT_CLASS_T8, "nidd.configuration.changed", NULL },
    { AUDIT_NIDD_REMOVED, AUDIT_CLASS_T8, "nidd.configuration.removed", NULL },
    { AUDIT_NIDD_PORT_SET, AUDIT_CLASS_T8, "nidd.port.set", NULL },
    { AUDIT_NIDD_PORT_REMOVED, AUDIT_CLASS_T8, "nidd.port.removed", NULL },
    { AUDIT_EXPOSURE_MADE, AUDIT_CLASS_T8, "exposure.made", NULL },
    { AUDIT_EXPOSURE_CHANGED, AUDIT_CLASS_T8, "exposure.changed", NULL },
    { AUDIT_EXPOSURE_REMOVED, AUDIT_CLASS_T8, "exposure.removed", NULL },
    { AUDIT_PATTERN_SET, AUDIT_CLASS_T8, "pattern.set", NULL },
    { AUDIT_PATTERN_REMOVED, AUDIT_CLASS_T8, "pattern.removed", NULL },
    { AUDIT_COVERAGE_CONFIGURED, AUDIT_CLASS_T8, "coverage.configured", NULL },
    { AUDIT_PROPERTY_WRITTEN, AUDIT_CLASS_COMMANDS, "property.written", NULL },
    { AUDIT_ACTION_CALLED, AUDIT_CLASS_COMMANDS, "action.called", NULL },
    { AUDIT_TICKET_ENDED, AUDIT_CLASS_COMMANDS, "ticket.ended", NULL },
    { AUDIT_DELIVERY_MADE, AUDIT_CLASS_COMMANDS, "delivery.made", NULL },
    { AUDIT_DELIVERY_CHANGED, AUDIT_CLASS_COMMANDS, "delivery.changed", NULL },
    { AUDIT_DELIVERY_REMOVED, AUDIT_CLASS_COMMANDS, "delivery.removed", NULL },
    { AUDIT_TRIGGER_MADE, AUDIT_CLASS_COMMANDS, "trigger.made", NULL },
    { AUDIT_TRIGGER_CHANGED, AUDIT_CLASS_COMMANDS, "trigger.changed", NULL },
    { AUDIT_TRIGGER_REMOVED, AUDIT_CLASS_COMMANDS, "trigger.removed", NULL },
};

/* A member's place in the line is its row's; a tag that may come again is a list. */
static const line_member members[] = {
    { AUDIT_ACTOR, LINE_TEXT, 1, 255, "actor" },
    { AUDIT_SOURCE, LINE_TEXT, 1, 255, "source" },
    { AUDIT_REQUEST, LINE_HEX, 8, 8, "request" },
    { AUDIT_IN, LINE_TEXT, 1, 255, "in" },
    { AUDIT_OBJECT, LINE_LIST, 0, 255, "objects" },
    { AUDIT_MEMBER, LINE_LIST, 0, 255, "members" },
    { AUDIT_STATUS, LINE_NUMBER, 2, 2, "status" },
    { AUDIT_COUNT, LINE_NUMBER, 8, 8, "count" },
    { AUDIT_FIRST, LINE_TIME, 8, 8, "first" },
    { AUDIT_DETAIL, LINE_TEXT, 1, 255, "detail" },
    { AUDIT_SERIES, LINE_HEX, 8, 8, "series" },
    { AUDIT_SEQUENCE, LINE_NUMBER, 8, 8, "sequence" },
    { AUDIT_HASH, LINE_BYTES, AUDIT_HASH_BYTES, AUDIT_HASH_BYTES, "head" },
    { AUDIT_SIGNATURE, LINE_BYTES, AUDIT_SIGNATURE_BYTES, AUDIT_SIGNATURE_BYTES, "signature" },
    { AUDIT_KEY, LINE_BYTES, 32, 32, "key" },
};

static const struct act *act_of(uint32_t act)
{
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (acts[i].act == act)
            return &acts[i];
    return NULL;
}

const char *audit_act_text(uint32_t act, uint32_t status)
{
    const struct act *row = act_of(act);
    return row == NULL ? NULL : status == 201 && row->made != NULL ? row->made : row->name;
}

enum audit_class audit_class_of(uint32_t act)
{
    const struct act *row = act_of(act);
    return row == NULL ? AUDIT_CLASS_ADMIN : (enum audit_class)row->class;
}

const char *audit_class_text(enum audit_class is)
{
    static const char *const texts[AUDIT_CLASSES] = { "admin", "security", "twins", "t8", "commands" };
    return texts[is];
}

static const dro_field *find(dro_cursor in, uint8_t tag, dro_field *room)
{
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

static uint32_t status_of(dro_cursor in)
{
    dro_field room;
    dro_err ignored = DRO_OK;
    const dro_field *status = find(in, AUDIT_STATUS, &room);
    return status == NULL ? 0 : (uint32_t)dro_field_u64(status, &ignored);
}

/* In HTTP's numbers or Diameter's; without one nobody was answered: of a request, nobody knows what became of it. */
static const char *outcome_of(uint32_t status, bool is_request)
{
    if (status == 0 && is_request)
        return "unknown";
    return status == 0 || (status >= 200 && status < 300) || (status >= 2000 && status < 3000) ? "done" : status < 500 || status >= 1000 ? "refused" : "failed";
}

dro_err audit_line(dro_builder *out, const line_origin *origin, const uint8_t previous[AUDIT_HASH_BYTES], const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    uint32_t act = (uint32_t)dro_cursor_le(&in, 2), status = status_of(in);
    const char *name = audit_act_text(act, status);
    char id[LINE_ID_TEXT];
    dro_field room;
    if (in.err != DRO_OK || name == NULL)
        return DRO_MALFORMED;
    line_id(origin, id);
    line_put(out, "{\"seq\":%" PRIu64 ",\"id\":\"%s\",\"time\":", origin->sequence, id);
    line_put_time(out, origin->time_ms);
    dro_builder_text(out, ",\"host\":");
    json_text(out, origin->node, strlen(origin->node));
    line_put(out, ",\"act\":\"%s\",\"class\":\"%s\",\"outcome\":\"%s\"", name, audit_class_text(audit_class_of(act)), outcome_of(status, find(in, AUDIT_REQUEST, &room) != NULL));
    dro_err err = line_put_members(out, members, sizeof members / sizeof members[0], in);
    dro_builder_text(out, ",\"previous\":\"");
    line_put_hex(out, previous, AUDIT_HASH_BYTES);
    dro_builder_text(out, "\"");
    return err == DRO_OK ? out->err : err;
}

/* All but the objects, in their order. */
static bool next_but_object(dro_cursor *in, dro_field *field)
{
    while (dro_field_next(in, field))
        if (field->tag != AUDIT_OBJECT)
            return true;
    return false;
}

bool audit_may_join(const uint8_t *one, size_t one_length, const uint8_t *other, size_t other_length)
{
    dro_cursor a = dro_cursor_over(one, one_length), b = dro_cursor_over(other, other_length);
    dro_field of_a = { 0 }, of_b = { 0 }, room;
    if (dro_cursor_le(&a, 2) != dro_cursor_le(&b, 2) || a.err != DRO_OK || b.err != DRO_OK || find(b, AUDIT_OBJECT, &room) == NULL ||
        find(a, AUDIT_REQUEST, &room) == NULL)
        return false;
    for (;;) {
        bool has_a = next_but_object(&a, &of_a), has_b = next_but_object(&b, &of_b);
        if (has_a != has_b || a.err != DRO_OK || b.err != DRO_OK)
            return false;
        if (!has_a)
            return true;
        if (of_a.tag != of_b.tag || of_a.length != of_b.length || memcmp(of_a.bytes, of_b.bytes, of_a.length) != 0)
            return false;
    }
}

size_t audit_signed(char out[AUDIT_SIGNED_TEXT], uint64_t series, uint64_t sequence, const uint8_t hash[AUDIT_HASH_BYTES])
{
    dro_builder text = dro_builder_over(out, AUDIT_SIGNED_TEXT);
    line_put(&text, "dromio audit %016" PRIx64 " %" PRIu64 " ", series, sequence);
    line_put_hex(&text, hash, AUDIT_HASH_BYTES);
    dro_builder_text(&text, "\n");
    return dro_builder_length(&text);
}
