#include "core/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/call.h"
#include "core/host.h"
#include "core/ledger.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"

enum {
    BUCKETS = 1024,
    MEMBERS_MAX = 32,            /* of a request that are named */
    ROOM_BYTES = AUDIT_BYTES_MAX + 512, /* of a record with one note */
    SEAL_MS = 1000,              /* how far the files are goes into the log so often at most */
    SIGN_MS = 60000,             /* a signature follows new lines so long after the one before, */
    SIGN_LINES = 1000,           /* or so many lines */
    DROPPED_MS = 10000,          /* refusals without an entry are told of so often */
    ASK_MS = 5000,               /* the room has so long to answer */
    SIGNING_KEY = 0x80000001,    /* number of the key: none of tokens ever has it */
    ASKED_CHECK = 1,             /* id of the question whether the line that was sealed is still there */
};

/* A request under way, or what is owed for one, or of the host's own. */
typedef struct note {
    struct note *next;
    caller caller;
    uint64_t number;
    uint64_t round;              /* of its record; 0: it has none yet */
    bool is_in_file;             /* the host's file has it */
    bool is_written;             /* into what host_keep is writing */
    uint32_t length;
    uint8_t bytes[];
} note;

typedef struct head { uint64_t series, sequence; uint8_t hash[AUDIT_HASH_BYTES]; } head;

typedef struct asked {           /* who waits for lines */
    struct asked *next;
    uint64_t id;
    int64_t until_ns;
    caller caller;
} asked;

struct audit {
    note *pending[BUCKETS];
    uint32_t pending_count;
    note *now;                   /* of the request being handled; NULL: none */
    note *owed;                  /* in the host's file, or to be; oldest first */
    uint32_t owed_count;
    note *waiting, **waiting_end; /* for the record that is open */
    uint32_t waiting_count;
    bool is_writing;             /* a note of ours is being written */
    uint64_t number_next;
    int64_t second_ns;           /* refusals of the second that began then */
    uint32_t refusals;
    uint64_t dropped, dropped_told;
    int64_t dropped_ns;
    head sealed;                 /* as the log has it */
    head asked_for;              /* the room was asked for this line */
    int64_t sealed_ns, signed_ns;
    uint64_t signed_sequence;
    uint8_t public_key[VAULT_PUBLIC];
    bool has_key, is_begun;
    uint64_t cuts;
    asked *asked;
    uint64_t asked_last;
};

/* ---- notes ---- */

static bool is_able(const core *core)
{
    return core->audit != NULL && core->is_started && !core_failed(core) && !core->options.no_log;
}

static void note_record(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    record_begin(core, NONE, RECORD_GROUPS);
    record_is_noted(core);
    record_put(core, FIELD_AUDIT, bytes, length);
    if (number != 0)
        record_put(core, FIELD_AUDITED, &number, sizeof number);
    record_end(core);
}

static note *note_new(const uint8_t *bytes, size_t length)
{
    note *made = calloc(1, sizeof *made + length);
    if (made == NULL)
        return NULL;
    made->length = (uint32_t)length;
    memcpy(made->bytes, bytes, length);
    return made;
}

/* Once the record that is open has ended. */
static void note_later(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    struct audit *audit = core->audit;
    note *made = audit->waiting_count < AUDIT_NOTES_WAITING_MAX ? note_new(bytes, length) : NULL;
    if (made == NULL) {
        dro_error("audit: an entry is lost: no memory");
        audit->dropped++;
        return;
    }
    made->number = number;
    *audit->waiting_end = made;
    audit->waiting_end = &made->next;
    audit->waiting_count++;
}

static void note_write(core *core, const uint8_t *bytes, size_t length, uint64_t number)
{
    if (record_is_open(core))
        note_later(core, bytes, length, number);
    else
        note_record(core, bytes, length, number);
}

void audit_recorded(core *core)
{
    struct audit *audit = core->audit;
    if (audit->waiting == NULL || audit->is_writing)
        return;
    audit->is_writing = true;
    while (audit->waiting != NULL) {
        note *next = audit->waiting;
        audit->waiting = next->next;
        if (audit->waiting == NULL)
            audit->waiting_end = &audit->waiting;
        audit->waiting_count--;
        note_record(core, next->bytes, next->length, next->number);
        free(next);
    }
    audit->is_writing = false;
}

void audit_note_bytes(core *core, const uint8_t *bytes, size_t length)
{
    if (is_able(core))
        note_write(core, bytes, length, 0);
    else if (core->audit != NULL)
        core->audit->dropped++;
}

static void text_put(dro_builder *out, uint8_t tag, const char *text)
{
    size_t length = text == NULL ? 0 : strlen(text);
    if (length > 0)
        dro_field_put(out, tag, text, length > 255 ? 255 : length);
}

static size_t note_build(uint8_t bytes[AUDIT_BYTES_MAX], enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail)
{
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    uint16_t code = (uint16_t)status;
    dro_builder_le(&out, act, 2);
    text_put(&out, AUDIT_ACTOR, actor);
    text_put(&out, AUDIT_OBJECT, object);
    if (status != 0)
        dro_field_put(&out, AUDIT_STATUS, &code, sizeof code);
    text_put(&out, AUDIT_DETAIL, detail);
    return dro_builder_length(&out);
}

void audit_note_of(core *core, enum audit_act act, const char *actor, const char *object, uint32_t status, const char *detail)
{
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (core->audit != NULL)
        audit_note_bytes(core, bytes, note_build(bytes, act, actor, object, status, detail));
}

void audit_note(core *core, enum audit_act act, const char *object, const char *detail)
{
    audit_note_of(core, act, "host", object, 0, detail);
}

void core_audit(core *core, uint32_t act, const char *object, const char *detail)
{
    audit_note(core, (enum audit_act)act, object, detail);
}

/* ---- requests ---- */

static note **place_of(struct audit *audit, caller caller)
{
    note **at = &audit->pending[(caller.id * 0x9e3779b97f4a7c15u >> 32 ^ caller.gate) % BUCKETS];
    while (*at != NULL && ((*at)->caller.gate != caller.gate || (*at)->caller.id != caller.id))
        at = &(*at)->next;
    return at;
}

static const dro_field *field_of(const call *call, uint8_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

static void put_actor(core *core, const call *call, dro_builder *out)
{
    char text[256];
    const application *application = call->application == 0 ? NULL : application_at(core, call->application);
    if (call->operation == API_ACCESS_TOKEN)
        snprintf(text, sizeof text, "application %.*s", (int)(call->application_id.length < 200 ? call->application_id.length : 200),
                 call->application_id.at != NULL ? call->application_id.at : "");
    else if (call->application == 0)
        snprintf(text, sizeof text, "admin");
    else if (application != NULL && !application->is_session)
        snprintf(text, sizeof text, "application %.200s", application->id);
    else
        snprintf(text, sizeof text, "session %" PRIu32, call->application);
    text_put(out, AUDIT_ACTOR, text);
}

static void put_text(dro_builder *out, uint8_t tag, text value)
{
    if (value.at != NULL && value.length > 0)
        dro_field_put(out, tag, value.at, value.length > 255 ? 255 : value.length);
}

static void put_number(dro_builder *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, number);
    if (number != 0)
        text_put(out, AUDIT_OBJECT, text);
}

static bool is_of_applications(uint32_t operation)
{
    return operation == API_APPLICATION_PUT || operation == API_APPLICATION_PATCH || operation == API_APPLICATION_DELETE ||
           operation == API_APPLICATION_TOKEN || operation == API_CAPIF_REVOKE || (operation >= API_INVOKER_MAKE && operation <= API_INVOKER_SECURITY_REVOKE);
}

/* What is stopped, or goes on: the subject of a path under /v1/stops. */
static void put_stop(const call *call, dro_builder *out)
{
    char text[2 * 32 + 8];
    dro_field room;
    const dro_field *domain = field_of(call, API_FIELD_DOMAIN, &room);
    dro_builder digest = dro_builder_over(text, sizeof text - 1);
    if (call->operation != API_STOP_PUT && call->operation != API_STOP_DELETE)
        return;
    if (call->image != NULL) {
        dro_builder_text(&digest, "sha256:");
        line_put_hex(&digest, call->image, 32);
        *digest.at = '\0';
        text_put(out, AUDIT_OBJECT, text);
    } else if (call->application_id.at != NULL) {
        put_text(out, AUDIT_OBJECT, call->application_id);
    } else if (domain != NULL) {
        dro_field_put(out, AUDIT_OBJECT, domain->bytes, domain->length > 255 ? 255 : domain->length);
    } else {
        text_put(out, AUDIT_OBJECT, "code");
    }
}

static void put_objects(const call *call, dro_builder *out)
{
    bool has_both = call->group.at != NULL && call->id.at != NULL;
    put_text(out, AUDIT_IN, has_both && call->scs_as.at == NULL ? call->group : call->scs_as);
    if (is_of_applications(call->operation))
        put_text(out, AUDIT_OBJECT, call->application_id);
    if (call->group.at != NULL && (!has_both || call->scs_as.at != NULL))
        put_text(out, AUDIT_OBJECT, call->group);
    put_text(out, AUDIT_OBJECT, call->id);
    put_stop(call, out);
    if (call->operation == API_DOMAIN_ROTATE || call->operation == API_DOMAIN_DELETE)
        put_text(out, AUDIT_OBJECT, call->domain);
    put_text(out, AUDIT_OBJECT, call->peer);
    put_number(out, call->configuration);
    put_number(out, call->delivery);
    put_number(out, call->trace);
    put_text(out, AUDIT_MEMBER, call->name);
}

/* The names of what was given; of secrets and tags each. No value. */
static void put_members(const call *call, dro_builder *out)
{
    static const struct { uint8_t tag; const char *name; } names[] = {
        { API_FIELD_IMAGE, "image" }, { API_FIELD_MODEL, "model" }, { API_FIELD_IMSI, "imsi" }, { API_FIELD_MSISDN, "msisdn" },
        { API_FIELD_ALIAS, "aliases" }, { API_FIELD_TAG, "tags" }, { API_FIELD_SCOPES, "scopes" }, { API_FIELD_DOMAIN, "domains" },
        { API_FIELD_CEILING, "limits" }, { API_FIELD_CERTIFICATE, "certificates" }, { API_FIELD_APN, "apns" }, { API_FIELD_DESTINATION, "notificationDestination" },
        { API_FIELD_PUBLIC_KEY, "publicKey" }, { API_FIELD_SECURITY_CONTEXT, "securityInfo" },
    };
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    uint64_t told = 0;
    uint32_t count = 0;
    char text[256];
    while (dro_field_next(&in, &field) && count < MEMBERS_MAX) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (field.tag == names[i].tag && (told >> i & 1) == 0) {
                told |= 1ull << i;
                text_put(out, AUDIT_MEMBER, names[i].name);
                count++;
            }
        if (field.tag == API_FIELD_SECRET && field.length > 0 && field.bytes[0] < field.length) {
            snprintf(text, sizeof text, "secrets.%.*s", field.bytes[0] < 60 ? field.bytes[0] : 60, (const char *)field.bytes + 1);
            text_put(out, AUDIT_MEMBER, text);
            count++;
        } else if (field.tag == API_FIELD_NULLED) {
            snprintf(text, sizeof text, "%.*s=null", (int)(field.length < 60 ? field.length : 60), (const char *)field.bytes);
            text_put(out, AUDIT_MEMBER, text);
            count++;
        }
    }
}

static size_t request_build(core *core, const call *call, const dro_field *asked, uint8_t bytes[AUDIT_BYTES_MAX])
{
    enum { HEAD = 2 + 8 };
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    dro_builder_bytes(&out, asked->bytes, 2);
    put_actor(core, call, &out);
    if (asked->length > HEAD)
        dro_field_put(&out, AUDIT_SOURCE, asked->bytes + HEAD, asked->length - HEAD > 255 ? 255 : asked->length - HEAD);
    dro_field_put(&out, AUDIT_REQUEST, asked->bytes + 2, 8);
    put_objects(call, &out);
    dro_builder whole = out;
    put_members(call, &out);
    return out.err == DRO_OK ? dro_builder_length(&out) : dro_builder_length(&whole);
}

bool audit_begin(core *core, const call *call)
{
    struct audit *audit = core->audit;
    dro_field room;
    const dro_field *asked = audit == NULL ? NULL : field_of(call, API_FIELD_AUDIT, &room);
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (audit == NULL)
        return true;
    audit->now = NULL;
    bool is_part = (call->operation == API_BACKUP && (call->limit != 0 || call->is_last || core->index > 0)) || (call->operation == API_IMAGE_PUT && !call->is_last);
    if (asked == NULL || asked->length < 2 + 8 || is_part)
        return true;
    note **at = place_of(audit, call->caller);
    if (*at != NULL) { /* it had to wait, or comes in parts */
        audit->now = *at;
        return true;
    }
    note *made = audit->pending_count < AUDIT_PENDING_MAX ? note_new(bytes, request_build(core, call, asked, bytes)) : NULL;
    if (made == NULL)
        return false;
    made->caller = call->caller;
    made->number = audit->number_next++;
    *at = audit->now = made;
    audit->pending_count++;
    return true;
}

void audit_pause(core *core)
{
    if (core->audit != NULL)
        core->audit->now = NULL;
}

void audit_resume(core *core, caller caller)
{
    if (core->audit != NULL)
        core->audit->now = *place_of(core->audit, caller);
}

void audit_object(core *core, caller caller, const char *object)
{
    note **at = core->audit == NULL ? NULL : place_of(core->audit, caller);
    if (at == NULL || *at == NULL)
        return;
    uint8_t bytes[AUDIT_BYTES_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, (*at)->bytes, (*at)->length);
    text_put(&out, AUDIT_OBJECT, object);
    note *made = out.err == DRO_OK ? note_new(bytes, dro_builder_length(&out)) : NULL;
    if (made == NULL)
        return;
    note *old = *at;
    made->next = old->next;
    made->caller = old->caller;
    made->number = old->number;
    made->is_in_file = old->is_in_file;
    *at = made;
    if (core->audit->now == old)
        core->audit->now = made;
    free(old);
}

/* Is there an entry left for another refusal in this second? */
static bool refusal_has_room(core *core)
{
    struct audit *audit = core->audit;
    if (core->now_ns - audit->second_ns >= 1000000000) {
        audit->second_ns = core->now_ns;
        audit->refusals = 0;
    }
    if (audit->refusals++ < AUDIT_REFUSALS_A_SECOND)
        return true;
    audit->dropped++;
    return false;
}

void audit_note_often(core *core, enum audit_act act, const char *object, const char *detail)
{
    if (core->audit != NULL && refusal_has_room(core))
        audit_note(core, act, object, detail);
}

/* What was made, by the last part of its path; a twin's, a group's and an application's the request named. */
static void put_location(const note *of, const char *location, dro_builder *out)
{
    const char *last = location == NULL ? NULL : strrchr(location, '/');
    dro_cursor in = dro_cursor_over(of->bytes, of->length);
    dro_field field;
    if (last == NULL || last[1] == '\0')
        return;
    dro_cursor_le(&in, 2);
    while (dro_field_next(&in, &field))
        if (field.tag == AUDIT_OBJECT && (strstr(location, "/v1/") == location && strstr(location, "/images/") == NULL))
            return;
    text_put(out, AUDIT_OBJECT, last + 1);
}

/* Out of the requests under way; what the host's file has of it stays owed until that is written without it. */
static void note_done(struct audit *audit, note **at, uint64_t round)
{
    note *gone = *at;
    *at = gone->next;
    audit->pending_count--;
    if (audit->now == gone)
        audit->now = NULL;
    if (!gone->is_in_file) {
        free(gone);
        return;
    }
    note **end = &audit->owed;
    while (*end != NULL)
        end = &(*end)->next;
    gone->next = NULL;
    gone->round = round;
    *end = gone;
    audit->owed_count++;
}

void audit_answered(core *core, caller caller, const reply *reply)
{
    uint8_t bytes[AUDIT_BYTES_MAX + 512];
    note **at = core->audit == NULL || core->audit->pending_count == 0 ? NULL : place_of(core->audit, caller);
    if (at == NULL || *at == NULL)
        return;
    const note *pending = *at;
    dro_builder out = dro_builder_over(bytes, AUDIT_BYTES_MAX);
    dro_builder_bytes(&out, pending->bytes, pending->length);
    dro_builder whole = out;
    bool is_refusal = reply->status >= 400;
    if (reply->status == 201 || reply->status == 200)
        put_location(pending, reply->location, &out);
    if (out.err != DRO_OK)
        out = whole;
    out.end = bytes + sizeof bytes; /* the status always has room */
    dro_field_put(&out, AUDIT_STATUS, &reply->status, sizeof reply->status);
    bool is_told = is_able(core) && (!is_refusal || pending->is_in_file || (!core->is_full && refusal_has_room(core)));
    if (is_told)
        note_write(core, bytes, dro_builder_length(&out), pending->is_in_file ? pending->number : 0);
    else if (is_refusal && (core->is_full || !is_able(core)))
        core->audit->dropped++;
    note_done(core->audit, at, is_told ? core->round_last + 1 : 0);
}

/* Whether it was done nobody will know from an answer: the entry says so. */
void audit_gate_lost(core *core, uint32_t gate)
{
    static const char why[] = "the gate ended before the answer left";
    struct audit *audit = core->audit;
    for (uint32_t i = 0; audit != NULL && i < BUCKETS; i++)
        for (note **at = &audit->pending[i]; *at != NULL;) {
            uint8_t bytes[AUDIT_BYTES_MAX + 512];
            dro_builder out = dro_builder_over(bytes, sizeof bytes);
            if ((*at)->caller.gate != gate) {
                at = &(*at)->next;
                continue;
            }
            dro_builder_bytes(&out, (*at)->bytes, (*at)->length);
            dro_field_put_text(&out, AUDIT_DETAIL, why);
            if (is_able(core))
                note_write(core, bytes, dro_builder_length(&out), (*at)->is_in_file ? (*at)->number : 0);
            note_done(audit, at, is_able(core) ? core->round_last + 1 : 0);
        }
}

void audit_gate_says(core *core, const uint8_t *body, size_t length)
{
    dro_cursor in = dro_cursor_over(body, length);
    dro_field field;
    if (core->audit == NULL || length > AUDIT_BYTES_MAX || audit_act_text((uint32_t)dro_cursor_le(&in, 2), 0) == NULL)
        return;
    while (in.err == DRO_OK && dro_cursor_left(&in) > 0 && *in.at != 0) /* tag 0 is the padding */
        (void)dro_field_next(&in, &field);
    if (in.err == DRO_OK)
        audit_note_bytes(core, body, (size_t)(in.at - body));
}

/* ---- owed in the host's file ---- */

void audit_owe(core *core, enum audit_act act, const char *object, const char *detail)
{
    struct audit *audit = core->audit;
    uint8_t bytes[AUDIT_BYTES_MAX];
    if (audit == NULL)
        return;
    note *made = audit->owed_count < AUDIT_OWED_MAX ? note_new(bytes, note_build(bytes, act, "host", object, 0, detail)) : NULL;
    if (made == NULL) {
        audit->dropped++;
        return;
    }
    made->number = audit->number_next++;
    note **end = &audit->owed;
    while (*end != NULL)
        end = &(*end)->next;
    *end = made;
    audit->owed_count++;
}

static void write_one(note *of, dro_builder *out)
{
    uint8_t part[8 + AUDIT_BYTES_MAX];
    dro_builder inner = dro_builder_over(part, sizeof part);
    dro_builder_le(&inner, of->number, 8);
    dro_builder_bytes(&inner, of->bytes, of->length);
    dro_field_put(out, HOST_AUDIT, part, dro_builder_length(&inner));
    of->is_written = true;
}

/* Those whose record is durable stay away. */
void audit_write(core *core, dro_builder *out)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    for (note *o = audit->owed; o != NULL; o = o->next) {
        o->is_written = false;
        if (o->round == 0 || o->round > core->round_told)
            write_one(o, out);
    }
    if (audit->now != NULL)
        write_one(audit->now, out);
}

void audit_kept(core *core, bool is_kept)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    if (audit->now != NULL && is_kept)
        audit->now->is_in_file = audit->now->is_written;
    for (note **at = &audit->owed; *at != NULL;) {
        note *o = *at;
        if (is_kept)
            o->is_in_file = o->is_written;
        if (o->is_in_file || (o->is_written && !is_kept && o->round != 0)) {
            at = &o->next;
            continue;
        }
        *at = o->next; /* the file has it no more; or never had it, and what it tells of was not kept */
        audit->owed_count--;
        free(o);
    }
}

dro_err audit_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint64_t number = dro_cursor_le(&in, 8);
    if (in.err != DRO_OK || dro_cursor_left(&in) > AUDIT_BYTES_MAX)
        return DRO_CORRUPT;
    if (core->audit == NULL || core->index > 0 || core->is_started)
        return DRO_OK;
    note *made = note_new(in.at, dro_cursor_left(&in));
    if (made == NULL)
        return DRO_NOMEM;
    made->number = number;
    made->is_in_file = true;
    made->next = core->audit->owed;
    core->audit->owed = made;
    core->audit->owed_count++;
    return DRO_OK;
}

void audit_replay(core *core, const dro_field *field)
{
    struct audit *audit = core->audit;
    if (audit == NULL || core->index > 0)
        return;
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->tag == FIELD_AUDIT_HEAD) {
        head sealed = { .series = dro_cursor_le(&in, 8), .sequence = dro_cursor_le(&in, 8) };
        const uint8_t *hash = dro_cursor_bytes(&in, AUDIT_HASH_BYTES);
        if (in.err != DRO_OK)
            return;
        memcpy(sealed.hash, hash, AUDIT_HASH_BYTES);
        audit->sealed = sealed;
        return;
    }
    while (dro_cursor_left(&in) >= 8) {
        uint64_t number = dro_cursor_le(&in, 8);
        for (note *o = audit->owed; o != NULL; o = o->next)
            if (o->number == number)
                o->round = 1; /* of before: durable */
    }
}

void audit_settle(core *core)
{
    if (core->audit != NULL)
        core->audit->number_next = core->epoch.counter << 32 | (uint64_t)core->index << 28 | 1;
}

/* What was kept while nobody could be answered any more. */
static int owed_step(core *core)
{
    struct audit *audit = core->audit;
    int done = 0;
    for (note *o = audit->owed; o != NULL; o = o->next) {
        if (o->round != 0 || !o->is_in_file)
            continue;
        uint8_t bytes[AUDIT_BYTES_MAX + 512];
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        dro_builder_bytes(&out, o->bytes, o->length);
        if (o->caller.id == 0 && o->number < core->epoch.counter << 32)
            dro_field_put_text(&out, AUDIT_DETAIL, "kept; the host ended before the answer left");
        note_record(core, bytes, dro_builder_length(&out), o->number);
        o->round = core->round_last;
        done++;
    }
    return done;
}

static void seal(core *core)
{
    const head *sealed = &core->audit->sealed;
    dro_builder *part = record_part(core);
    dro_builder_le(part, sealed->series, 8);
    dro_builder_le(part, sealed->sequence, 8);
    dro_builder_bytes(part, sealed->hash, sizeof sealed->hash);
    record_part_end(core, FIELD_AUDIT_HEAD);
}

void audit_dump(core *core)
{
    if (core->audit == NULL || core->index > 0)
        return;
    record_begin(core, NONE, RECORD_GROUPS);
    if (core->audit->sealed.series != 0)
        seal(core);
    for (const note *o = core->audit->owed; o != NULL; o = o->next)
        if (o->round != 0)
            record_put(core, FIELD_AUDITED, &o->number, sizeof o->number);
    record_end(core);
}

/* ---- the head: sealed, signed, compared ---- */

static void note_head(core *core, enum audit_act act, const head *head, const char *detail)
{
    uint8_t bytes[AUDIT_BYTES_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, act, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_text(&out, AUDIT_DETAIL, detail);
    if (head != NULL) {
        dro_field_put_u64(&out, AUDIT_SERIES, head->series);
        dro_field_put_u64(&out, AUDIT_SEQUENCE, head->sequence);
        dro_field_put(&out, AUDIT_HASH, head->hash, sizeof head->hash);
    }
    if (core->audit->has_key)
        dro_field_put(&out, AUDIT_KEY, core->audit->public_key, sizeof core->audit->public_key);
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

static head head_said(const core *core)
{
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    head now = { .series = said->series, .sequence = said->sequence > 0 ? said->sequence - 1 : 0 };
    memcpy(now.hash, said->head, sizeof now.hash);
    return now;
}

static void cut_tell(core *core, const head *missing)
{
    struct audit *audit = core->audit;
    audit->cuts++;
    dro_error("audit: the files are not what they were: line %" PRIu64 " is not there as it was written; entries may be lost: docs/audit.md",
              missing->sequence);
    note_head(core, AUDIT_LOG_CUT, missing, "the files do not have this line as it was written");
}

/* A session of the room begins: is what the log says of the files still true of them? */
static void head_compare(core *core)
{
    struct audit *audit = core->audit;
    head now = head_said(core);
    const head *sealed = &audit->sealed;
    if (sealed->series == 0)
        note_head(core, AUDIT_LOG_BEGUN, NULL, "the first series");
    else if (sealed->series != now.series)
        note_head(core, AUDIT_LOG_BEGUN, sealed, "another series ended so, whose files are not here");
    else if (sealed->sequence > now.sequence || (sealed->sequence == now.sequence && memcmp(sealed->hash, now.hash, sizeof now.hash) != 0))
        cut_tell(core, sealed);
    else if (sealed->sequence > 0) {
        ledger_question question = { .id = ASKED_CHECK, .since = sealed->sequence, .lines_max = 1 };
        audit->asked_for = *sealed;
        if (!ledger_ask(core, LEDGER_AUDIT, &question))
            dro_warn("audit: its room does not listen");
        return;
    }
    audit->sealed = now;
}

/* The line that was sealed, or another one, or nothing. */
static void checked(core *core, const uint8_t *lines, size_t length)
{
    const head *sealed = &core->audit->asked_for;
    char text[2 * AUDIT_HASH_BYTES + 16];
    dro_builder out = dro_builder_over(text, sizeof text);
    dro_builder_text(&out, "\"hash\":\"");
    line_put_hex(&out, sealed->hash, sizeof sealed->hash);
    dro_builder_text(&out, "\"}\n");
    size_t tail = dro_builder_length(&out);
    if (length < tail || memcmp(lines + length - tail, text, tail) != 0)
        cut_tell(core, sealed);
}

static int64_t head_due_ns(const core *core)
{
    const struct audit *audit = core->audit;
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    int64_t due = INT64_MAX;
    if (core->index > 0 || said->session == 0 || !audit->is_begun)
        return due;
    if (said->sequence - 1 > audit->sealed.sequence)
        due = audit->sealed_ns + SEAL_MS * 1000000ll;
    if (said->sequence - 1 > audit->signed_sequence + 1) { /* the signature's own line is no news */
        int64_t sign = said->sequence - 1 > audit->signed_sequence + SIGN_LINES ? 0 : audit->signed_ns + SIGN_MS * 1000000ll;
        due = sign < due ? sign : due;
    }
    return due;
}

static bool head_sign(core *core, const head *head, uint8_t signature[VAULT_SIGNATURE])
{
    char text[AUDIT_SIGNED_TEXT];
    size_t length = audit_signed(text, head->series, head->sequence, head->hash);
    return core->audit->has_key && vault_sign(core->vault, SIGNING_KEY, text, length, signature) == DRO_OK;
}

static void sign_note(core *core)
{
    uint8_t bytes[AUDIT_BYTES_MAX], signature[VAULT_SIGNATURE];
    head now = head_said(core);
    core->audit->signed_ns = core->now_ns;
    core->audit->signed_sequence = now.sequence;
    if (!head_sign(core, &now, signature))
        return;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, AUDIT_LOG_SIGNED, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_u64(&out, AUDIT_SERIES, now.series);
    dro_field_put_u64(&out, AUDIT_SEQUENCE, now.sequence);
    dro_field_put(&out, AUDIT_HASH, now.hash, sizeof now.hash);
    dro_field_put(&out, AUDIT_SIGNATURE, signature, sizeof signature);
    dro_field_put(&out, AUDIT_KEY, core->audit->public_key, sizeof core->audit->public_key);
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

static int head_step(core *core)
{
    struct audit *audit = core->audit;
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    if (head_due_ns(core) > core->now_ns || !is_able(core) || core->is_full)
        return 0;
    if (said->sequence - 1 > audit->sealed.sequence && core->now_ns >= audit->sealed_ns + SEAL_MS * 1000000ll) {
        audit->sealed = head_said(core);
        audit->sealed_ns = core->now_ns;
        record_begin(core, NONE, RECORD_GROUPS);
        seal(core);
        record_end(core);
    }
    bool is_much = said->sequence - 1 > audit->signed_sequence + SIGN_LINES;
    if (said->sequence - 1 > audit->signed_sequence + 1 && (is_much || core->now_ns >= audit->signed_ns + SIGN_MS * 1000000ll))
        sign_note(core);
    return 1;
}

void audit_room_said(core *core, bool is_new_session)
{
    struct audit *audit = core->audit;
    if (core->index > 0 || ledger_said(core, LEDGER_AUDIT)->session == 0 || !is_new_session)
        return;
    head_compare(core);
    audit->is_begun = true;
    audit->signed_ns = core->now_ns;
}

/* ---- lines ---- */

static asked *asked_take(struct audit *audit, uint64_t id)
{
    asked **at = &audit->asked;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    asked *found = *at;
    if (found != NULL)
        *at = found->next;
    return found;
}

void audit_room_lost(core *core)
{
    while (core->audit->asked != NULL) {
        asked *gone = core->audit->asked;
        core->audit->asked = gone->next;
        tell_problem(core, gone->caller, 503, "about:blank", "the audit files cannot be read now: the host's log says why");
        free(gone);
    }
}

void audit_room_answers(core *core, uint64_t id, const uint8_t *body, size_t length)
{
    ledger_lines head;
    if (length < sizeof head)
        return;
    memcpy(&head, body, sizeof head);
    if (head.length > length - sizeof head || head.length > LEDGER_LINES_MAX)
        return;
    if (id == ASKED_CHECK) {
        checked(core, body + sizeof head, head.length);
        return;
    }
    asked *who = asked_take(core->audit, id);
    if (who == NULL)
        return;
    reply reply = { .status = 200, .content = CONTENT_LINES, .etag = UINT64_MAX };
    if (head.is_failed)
        tell_problem(core, who->caller, 503, "about:blank", "the audit files cannot be read: the host's log says why");
    else
        tell_reply(core, who->caller, &reply, body + sizeof head, head.length);
    free(who);
}

void api_audit_list(core *core, const call *call)
{
    struct audit *audit = core->audit;
    if (audit == NULL) {
        tell_problem(core, call->caller, 404, "about:blank", "audit.enabled is false: there is no audit log");
        return;
    }
    asked *made = calloc(1, sizeof *made);
    uint64_t most = call->has_limit && call->limit > 0 && call->limit < AUDIT_LINES_MAX ? call->limit : AUDIT_LINES_MAX;
    ledger_question question = { .id = ASKED_CHECK + 1 + audit->asked_last, .since = call->after + 1, .lines_max = (uint32_t)most };
    if (made == NULL || !ledger_ask(core, LEDGER_AUDIT, &question)) {
        free(made);
        tell_problem(core, call->caller, 503, "about:blank", "the audit files cannot be read now: the host's log says why");
        return;
    }
    audit->asked_last++;
    *made = (asked){ .next = audit->asked, .id = question.id, .until_ns = core->now_ns + ASK_MS * 1000000ll, .caller = call->caller };
    audit->asked = made;
}

static void hex_json(dro_builder *out, const char *name, const uint8_t *bytes, size_t length)
{
    json_put(out, ",\"%s\":\"", name);
    line_put_hex(out, bytes, length);
    dro_builder_text(out, "\"");
}

void api_audit_head(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    uint8_t signature[VAULT_SIGNATURE];
    head now = head_said(core);
    json_put(&out, "{\"enabled\":%s,\"state\":\"%s\"", core->audit != NULL ? "true" : "false",
             core->audit == NULL ? "off" : said->session != 0 ? "writing" : said->error[0] != '\0' ? "failed" : "starting");
    if (core->audit != NULL && said->session != 0) {
        json_put(&out, ",\"series\":\"%016" PRIx64 "\",\"seq\":%" PRIu64, now.series, now.sequence);
        hex_json(&out, "hash", now.hash, sizeof now.hash);
        if (head_sign(core, &now, signature)) {
            hex_json(&out, "signature", signature, sizeof signature);
            hex_json(&out, "key", core->audit->public_key, sizeof core->audit->public_key);
        }
        json_put(&out, ",\"sealed\":%" PRIu64 ",\"cuts\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"backlog_bytes\":%" PRIu64, core->audit->sealed.sequence, core->audit->cuts,
                 core_count_all(core, COUNT_AUDIT_GAPS), core_count_all(core, COUNT_AUDIT_DROPPED), core_count_all(core, COUNT_AUDIT_BACKLOG));
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

/* ---- the core's ---- */

dro_err audit_init(core *core)
{
    core->audit = calloc(1, sizeof *core->audit);
    if (core->audit == NULL)
        return DRO_NOMEM;
    core->audit->waiting_end = &core->audit->waiting;
    return ledger_init(core, LEDGER_AUDIT);
}

static void notes_free(note *first)
{
    while (first != NULL) {
        note *gone = first;
        first = gone->next;
        free(gone);
    }
}

void audit_fini(core *core)
{
    struct audit *audit = core->audit;
    if (audit == NULL)
        return;
    for (uint32_t i = 0; i < BUCKETS; i++)
        notes_free(audit->pending[i]);
    notes_free(audit->owed);
    notes_free(audit->waiting);
    while (audit->asked != NULL) {
        asked *gone = audit->asked;
        audit->asked = gone->next;
        free(gone);
    }
    free(audit);
    core->audit = NULL;
}

static void asked_expire(core *core)
{
    for (asked **at = &core->audit->asked; *at != NULL;) {
        asked *late = *at;
        if (late->until_ns > core->now_ns) {
            at = &late->next;
            continue;
        }
        *at = late->next;
        tell_problem(core, late->caller, 503, "about:blank", "the room of the audit files does not answer");
        free(late);
    }
}

static void dropped_tell(core *core)
{
    struct audit *audit = core->audit;
    uint8_t bytes[256];
    if (audit->dropped == audit->dropped_told || core->now_ns < audit->dropped_ns || !is_able(core) || core->is_full)
        return;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, AUDIT_REFUSALS_DROPPED, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_u64(&out, AUDIT_COUNT, audit->dropped - audit->dropped_told);
    audit->dropped_told = audit->dropped;
    audit->dropped_ns = core->now_ns + DROPPED_MS * 1000000ll;
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

int audit_step(core *core)
{
    struct audit *audit = core->audit;
    int done = 0;
    if (!audit->has_key && core->index == 0)
        audit->has_key = vault_sign_public(core->vault, SIGNING_KEY, audit->public_key) == DRO_OK;
    if (is_able(core) && core->index == 0 && audit->owed != NULL)
        done += owed_step(core);
    if (audit->asked != NULL)
        asked_expire(core);
    dropped_tell(core);
    return done + (core->index == 0 ? head_step(core) : 0);
}

int64_t audit_due_ns(const core *core)
{
    const struct audit *audit = core->audit;
    if (audit == NULL)
        return INT64_MAX;
    int64_t due = head_due_ns(core);
    for (const asked *a = audit->asked; a != NULL; a = a->next)
        due = a->until_ns < due ? a->until_ns : due;
    if (audit->dropped != audit->dropped_told && audit->dropped_ns < due)
        due = audit->dropped_ns;
    return due;
}

bool audit_has_room(const core *core, size_t length)
{
    return core->audit == NULL || core->audit->pending_count == 0 || commit_log_has_room(core->log, length, ROOM_BYTES);
}

uint64_t audit_dropped(const core *core)
{
    return core->audit == NULL ? 0 : core->audit->dropped;
}

void audit_metrics(const core *core, dro_builder *out)
{
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    const struct { const char *name, *kind, *help; uint64_t value; } rows[] = {
        { "dromio_audit_is_writing", "gauge", "1: the audit files can be written.", said->session != 0 },
        { "dromio_audit_entries_total", "counter", "Entries in the audit files, of all starts.", said->sequence > 0 ? said->sequence - 1 : 0 },
        { "dromio_audit_failures_total", "counter", "Times the audit files could not be written.", said->failures },
        { "dromio_audit_cuts_total", "counter", "Times the audit files were found to be not what they were.", core->audit == NULL ? 0 : core->audit->cuts },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name,
                 (unsigned long long)rows[i].value);
}
