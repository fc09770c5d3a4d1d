/* Twins over the API: made, changed, read, listed, removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/wipe.h"
#include "core/api.h"
#include "core/apply.h"
#include "core/call.h"
#include "core/exposure.h"
#include "core/follow.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/images.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/exposure.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/schedule.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/event.h"
#include "twin/identifier.h"

enum { PAYLOAD_MAX = EVENT_BYTES_MAX, ALIASES_BYTES = TWIN_ALIASES_MAX * 256 };

struct put { /* what a PUT wants of a twin; checked */
    bool is_new;
    bool is_given;               /* an image, to a twin that had none */
    bool has_imsi, has_msisdn, has_aliases, has_tags, has_secrets;
    char id[256];
    char imsi[16], msisdn[16];
    uint64_t number;             /* of the twin, old or new */
    uint32_t image, domain;
    uint32_t aliases_length, tags_length, payload_length;
    uint8_t aliases[ALIASES_BYTES];
    uint8_t tags[COLUMNS_TAGS_MAX];
    uint8_t payload[PAYLOAD_MAX];
};

void put_free(struct put *put)
{
    if (put != NULL)
        dro_wipe(put, sizeof *put);
    free(put);
}

/* ---- tags ---- */

/* Takes `name` out of the tags; a text that is not empty goes in anew. False: too many or too long. */
static bool tag_set(struct put *put, const uint8_t *name, size_t name_length, const uint8_t *text, size_t length)
{
    uint8_t kept[COLUMNS_TAGS_MAX];
    dro_cursor in = dro_cursor_over(put->tags, put->tags_length);
    dro_builder out = dro_builder_over(kept, sizeof kept);
    uint32_t count = 0;
    while (dro_cursor_left(&in) > 0) {
        const uint8_t *start = in.at;
        size_t n = dro_cursor_le(&in, 1);
        const uint8_t *old = dro_cursor_bytes(&in, n);
        dro_cursor_bytes(&in, dro_cursor_le(&in, 2));
        if (in.err != DRO_OK)
            return false;
        if (n == name_length && memcmp(old, name, n) == 0)
            continue;
        dro_builder_bytes(&out, start, (size_t)(in.at - start));
        count++;
    }
    if (length > 0) {
        dro_builder_le(&out, name_length, 1);
        dro_builder_bytes(&out, name, name_length);
        dro_builder_le(&out, length, 2);
        dro_builder_bytes(&out, text, length);
        count++;
    }
    if (out.err != DRO_OK || count > TWIN_TAGS_MAX)
        return false;
    put->tags_length = (uint32_t)dro_builder_length(&out);
    memcpy(put->tags, kept, put->tags_length);
    return true;
}

/* ---- secrets ---- */

/* A secret as the twin gets it, after model_check has taken it: base64 decoded, so not
 * bound to be UTF-8. Removed: the twin falls back to the model's default. */
static void write_secret(dro_builder *out, const model_schema *schema, const value *value, bool is_removed)
{
    uint8_t decoded[VALUE_STRING_MAX];
    struct value plain = *value;
    if (is_removed) {
        dro_builder_le(out, EVENT_SECRET_REMOVED, 1);
        return;
    }
    if (schema->is_base64 && value->kind == VALUE_STRING) {
        dro_builder bytes = dro_builder_over(decoded, sizeof decoded);
        if (dro_base64_read(&bytes, value->string, value->length) != DRO_OK)
            out->err = DRO_MALFORMED;
        plain.string = (const char *)decoded;
        plain.length = (uint32_t)dro_builder_length(&bytes);
    }
    value_write(out, &plain);
    dro_wipe(decoded, sizeof decoded);
}

/* One value for each secret of the model, in order; false after a 422. */
static bool secrets_read(core *core, const call *call, struct put *put)
{
    const model *model = image_model(core, put->image);
    dro_builder out = dro_builder_over(put->payload, sizeof put->payload);
    uint32_t known = 0, given = 0;
    for (uint32_t s = 0; s < model->secret_count; s++) {
        value found = { .kind = VALUE_NONE };
        bool is_removed = false;
        dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
        dro_field field;
        while (dro_field_next(&in, &field)) {
            if (field.tag != API_FIELD_SECRET)
                continue;
            dro_cursor part = dro_cursor_over(field.bytes, field.length);
            size_t n = dro_cursor_le(&part, 1);
            const uint8_t *name = dro_cursor_bytes(&part, n);
            if (name == NULL || model_secret_find(model, (const char *)name, n) != (int)s)
                continue;
            const model_schema *schema = &model->secrets[s].schema;
            found = value_read(&part);
            known++;
            is_removed = found.kind == VALUE_NONE && part.err == DRO_OK;
            if (part.err != DRO_OK || (!is_removed && model_check(schema, &found) != DRO_OK)) {
                char asked[MODEL_SCHEMA_TEXT];
                tell_problem(core, call->caller, 422, "about:blank", "/secrets/%s is not what the model %s asks for: %s", model->secrets[s].name, model->name,
                             model_schema_text(schema, asked));
                return false;
            }
        }
        write_secret(&out, &model->secrets[s].schema, &found, is_removed);
    }
    text stranger = { 0 };
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_SECRET)
            continue;
        given++;
        dro_cursor part = dro_cursor_over(field.bytes, field.length);
        size_t n = dro_cursor_le(&part, 1);
        const char *name = (const char *)dro_cursor_bytes(&part, n);
        if (name != NULL && model_secret_find(model, name, n) < 0)
            stranger = (text){ name, (uint32_t)n };
    }
    put->has_secrets = given > 0;
    put->payload_length = (uint32_t)dro_builder_length(&out);
    if (given == known && out.err == DRO_OK)
        return true;
    tell_problem(core, call->caller, 422, "about:blank", "/secrets/%.*s: the model %s does not know it", (int)stranger.length, stranger.at != NULL ? stranger.at : "",
                 model->name);
    return false;
}

/* ---- checks ---- */

static uint32_t image_by_model(const core *core, text name)
{
    for (uint32_t i = core->image_count; i-- > 0;) /* the newest */
        if (core->images[i].table != NONE && strlen(core->images[i].info.model.name) == name.length &&
            memcmp(core->images[i].info.model.name, name.at, name.length) == 0)
            return i;
    return NONE;
}

/* Does the twin keep what it runs? One that runs nothing may be given an image. */
static bool image_is_other(const core *core, const call *call, const twin *twin, uint32_t wanted)
{
    if (twin->image == NONE || twin->image == wanted)
        return false;
    return call->image != NULL || strcmp(core->images[wanted].info.model.name, core->images[twin->image].info.model.name) != 0;
}

static bool image_choose(core *core, const call *call, struct put *put, const twin *twin)
{
    dro_field room;
    put->image = twin != NULL ? twin->image : NONE;
    if (call->image == NULL && call->model.at == NULL) {
        if (twin != NULL || nidd_field(call->fields, call->fields_length, API_FIELD_IMSI, &room) != NULL)
            return true;
        tell_problem(core, call->caller, 422, "about:blank", "a new twin needs a model or an image, or an imsi to pass its device's bytes on");
        return false;
    }
    uint32_t wanted = call->image != NULL ? image_find(core, call->image) : image_by_model(core, call->model);
    if (wanted == NONE) {
        tell_problem(core, call->caller, 422, "unknown_image", "no such %s is here; push it first", call->image != NULL ? "image" : "model");
        return false;
    }
    if (call->image != NULL && call->model.at != NULL &&
        (strlen(core->images[wanted].info.model.name) != call->model.length ||
         memcmp(core->images[wanted].info.model.name, call->model.at, call->model.length) != 0)) {
        tell_problem(core, call->caller, 422, "about:blank", "the image is of another model; say one of both");
        return false;
    }
    if (twin != NULL && image_is_other(core, call, twin, wanted)) {
        tell_problem(core, call->caller, 409, "image_change", "the twin runs another image; a twin keeps the image it was made with");
        return false;
    }
    put->is_given = twin != NULL && twin->image == NONE;
    if (twin == NULL || put->is_given)
        put->image = wanted;
    if ((twin == NULL || put->is_given) && core->images[wanted].is_broken) {
        tell_broken(core, call->caller, wanted);
        return false;
    }
    const stop *stop = twin == NULL || put->is_given ? stop_of_image(core, wanted) : NULL;
    if (stop != NULL) {
        tell_quarantined(core, call->caller, 409, stop);
        return false;
    }
    return true;
}

/* `digits` "": none is asked for. False after a 409, which names the other twin to the administrator (`names_it`) alone. */
static bool number_is_free(core *core, caller caller, const char *kind, const char *digits, uint32_t self, bool names_it)
{
    uint64_t hash[2];
    bool is_imsi = strcmp(kind, "imsi") == 0;
    if (digits[0] == '\0')
        return true;
    vault_identity_hash(core->vault, kind, digits, strlen(digits), hash);
    index_probe probe = index_begin(hash[0]);
    uint32_t index;
    while (index_next(is_imsi ? &core->imsis : &core->msisdns, &probe, &index)) {
        if (index == self || (is_imsi ? twin_at(core, index)->imsi_hash : twin_at(core, index)->msisdn_hash) != hash[0])
            continue;
        size_t length = 0;
        const char *id = twin_id(core, twin_at(core, index), &length);
        if (names_it && id != NULL)
            tell_problem(core, caller, 409, "already_bound", "this %s is bound to another twin, %.*s", kind, (int)length, id);
        else
            tell_problem(core, caller, 409, "already_bound", "this %s is bound to another twin", kind);
        return false;
    }
    return true;
}

/* Does the twin have this number (NULL: any)? */
static bool has_number(core *core, uint32_t self, bool is_imsi, const char *digits)
{
    uint64_t hash[2];
    if (self == NONE || (twin_at(core, self)->flags & (is_imsi ? TWIN_HAS_IMSI : TWIN_HAS_MSISDN)) == 0)
        return false;
    if (digits == NULL)
        return true;
    vault_identity_hash(core->vault, is_imsi ? "imsi" : "msisdn", digits, strlen(digits), hash);
    return (is_imsi ? twin_at(core, self)->imsi_hash : twin_at(core, self)->msisdn_hash) == hash[0];
}

/* With auth.provision_scope, which device a twin stands for is not its domain's to say: who may can take any device
 * that has no twin yet. What changes nothing is nobody's business. False after a 403, which tells nothing of whether the number is bound. */
static bool numbers_are_allowed(core *core, const call *call, const struct put *put, uint32_t self)
{
    bool has_change = false;
    for (int is_imsi = 0; is_imsi <= 1; is_imsi++) {
        const char *digits = is_imsi ? put->imsi : put->msisdn;
        if (digits[0] != '\0')
            has_change |= !has_number(core, self, is_imsi, digits);
        else if (is_imsi ? put->has_imsi : put->has_msisdn)
            has_change |= has_number(core, self, is_imsi, NULL);
    }
    if (!has_change || !core->options.has_provision_scope || (call->scopes & (SCOPE_ADMIN | SCOPE_PROVISION)) != 0)
        return true;
    tell_problem(core, call->caller, 403, "provision_needed", "imsi and msisdn are set with the scope provision, or by the administrator");
    return false;
}

static bool numbers_read(core *core, const call *call, struct put *put, uint32_t self)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    put->has_imsi = call_nulls(call, "imsi");
    put->has_msisdn = call_nulls(call, "msisdn");
    while (dro_field_next(&in, &field)) {
        bool is_imsi = field.tag == API_FIELD_IMSI;
        if (!is_imsi && field.tag != API_FIELD_MSISDN)
            continue;
        if (!is_digits(field.bytes, field.length)) { /* the gate lets none through */
            tell_problem(core, call->caller, 422, "about:blank", "/%s: digits", is_imsi ? "imsi" : "msisdn");
            return false;
        }
        char *digits = is_imsi ? put->imsi : put->msisdn;
        memcpy(digits, field.bytes, field.length);
        digits[field.length] = '\0';
        *(is_imsi ? &put->has_imsi : &put->has_msisdn) = true;
    }
    bool is_admin = (call->scopes & SCOPE_ADMIN) != 0;
    return numbers_are_allowed(core, call, put, self) && number_is_free(core, call->caller, "imsi", put->imsi, self, is_admin) &&
           number_is_free(core, call->caller, "msisdn", put->msisdn, self, is_admin);
}

static bool alias_is_free(core *core, caller caller, const char *alias, size_t length, uint32_t self)
{
    uint32_t other = twin_find(core, alias, length);
    if (other == NONE || other == self)
        return true;
    tell_problem(core, caller, 409, "already_bound", "the alias %.*s is another twin's name", (int)length, alias);
    return false;
}

static bool is_own_id(const core *core, const call *call, uint32_t self, const char *name)
{
    size_t length = call->id.length;
    const char *id = self == NONE ? call->id.at : twin_id(core, twin_at(core, self), &length);
    return id != NULL && strlen(name) == length && memcmp(name, id, length) == 0;
}

static bool aliases_read(core *core, const call *call, struct put *put, uint32_t self)
{
    dro_builder out = dro_builder_over(put->aliases, sizeof put->aliases);
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    uint32_t count = 0;
    put->has_aliases = call_nulls(call, "aliases");
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_ALIAS)
            continue;
        put->has_aliases = true;
        if (field.length == 0) /* an empty list */
            continue;
        char alias[EXTERNAL_IDENTIFIER_MAX + 1];
        if (!external_identifier_read((const char *)field.bytes, field.length, alias)) {
            tell_problem(core, call->caller, 422, "about:blank", "/aliases: each is an External Identifier, local@domain");
            return false;
        }
        const char *name = strchr(alias, '@') + 1;
        uint32_t domain = domain_find(core, name, strlen(name));
        if (!(call->scopes & SCOPE_ADMIN) && (domain == NONE || !application_sees(core, call->application, call->scopes, domain))) {
            tell_problem(core, call->caller, 403, "about:blank", "an alias must be in a domain of yours");
            return false;
        }
        if (is_own_id(core, call, self, alias) || names_have(&out, alias))
            continue;
        if (!alias_is_free(core, call->caller, alias, strlen(alias), self))
            return false;
        dro_builder_bytes(&out, alias, strlen(alias) + 1);
        count++;
    }
    put->aliases_length = (uint32_t)dro_builder_length(&out);
    if (out.err == DRO_OK && count <= TWIN_ALIASES_MAX)
        return true;
    tell_problem(core, call->caller, 422, "about:blank", "/aliases: at most %d", TWIN_ALIASES_MAX);
    return false;
}

static bool tags_read(core *core, const call *call, struct put *put, const twin *twin)
{
    size_t length = 0;
    const uint8_t *old = twin == NULL ? NULL : columns_tags_get(core->columns, twin->table, twin->row, &length);
    if (call_nulls(call, "tags"))
        put->has_tags = true;
    else if (length > 0 && length <= sizeof put->tags) {
        memcpy(put->tags, old, length);
        put->tags_length = (uint32_t)length;
    }
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    dro_field field;
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_TAG)
            continue;
        dro_cursor part = dro_cursor_over(field.bytes, field.length);
        size_t n = dro_cursor_le(&part, 1);
        const uint8_t *name = dro_cursor_bytes(&part, n);
        if (part.err != DRO_OK || !tag_set(put, name, n, part.at, dro_cursor_left(&part))) {
            tell_problem(core, call->caller, 422, "about:blank", "/tags: at most %d, %d bytes in all", TWIN_TAGS_MAX, COLUMNS_TAGS_MAX);
            return false;
        }
        put->has_tags = true;
    }
    return true;
}

/* ---- the record ---- */

static void put_identity(core *core, const struct put *put)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, put->domain, 4);
    dro_builder_le(part, put->image, 4);
    dro_builder_text(part, put->id);
    record_part_end(core, FIELD_IDENTITY);
}

/* What the PUT says, into the record being written. */
static void put_write(core *core, uint32_t index, const struct put *put)
{
    if (put->is_new || put->is_given)
        put_identity(core, put);
    if (put->is_given && twin_at(core, index)->image != put->image)
        return; /* no room for its row: turn_keep gives all of it up */
    uint64_t revision = twin_at(core, index)->revision + 1;
    record_put(core, FIELD_REVISION, &revision, 8);
    if (put->has_imsi)
        record_put(core, FIELD_IMSI, put->imsi, strlen(put->imsi));
    if (put->has_msisdn)
        record_put(core, FIELD_MSISDN, put->msisdn, strlen(put->msisdn));
    if (put->has_imsi && put->imsi[0] == '\0' && twin_at(core, index)->flags & TWIN_CONNECTED)
        record_put(core, FIELD_CONNECTION, "", 0);
    if (put->has_aliases && (put->aliases_length > 0 || twin_at(core, index)->extra != NULL))
        record_put(core, FIELD_ALIASES, put->aliases, put->aliases_length);
    if (put->has_tags)
        record_put(core, FIELD_TAGS, put->tags, put->tags_length);
}

bool api_put_is_taken(core *core, const turn *turn)
{
    const struct put *put = turn->put;
    if (core->domains[put->domain].is_going || core->domains[put->domain].is_gone) {
        if (turn->caller.gate != NONE)
            tell_problem(core, turn->caller, 409, "domain_is_going", "the domain is being deleted");
        return true;
    }
    if (put->imsi[0] != '\0' && !number_is_free(core, turn->caller, "imsi", put->imsi, turn->twin, false))
        return true;
    if (put->msisdn[0] != '\0' && !number_is_free(core, turn->caller, "msisdn", put->msisdn, turn->twin, false))
        return true;
    const char *aliases = (const char *)put->aliases;
    for (uint32_t at = 0; at < put->aliases_length; at += (uint32_t)strlen(aliases + at) + 1)
        if (!alias_is_free(core, turn->caller, aliases + at, strlen(aliases + at), turn->twin))
            return true;
    return false;
}

void api_put_write(core *core, const turn *turn)
{
    put_write(core, turn->twin, turn->put);
}

void api_put_answer(core *core, caller caller, uint32_t index, bool is_new)
{
    if (caller.gate == NONE)
        return;
    const twin *twin = twin_at(core, index);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    char location[300];
    size_t length;
    const char *id = twin_id(core, twin, &length);
    snprintf(location, sizeof location, "/v1/twins/%.*s", (int)length, id);
    render_twin(core, index, false, &out);
    reply reply = { .status = is_new ? 201 : 200, .content = CONTENT_JSON, .etag = twin->revision, .location = is_new ? location : NULL };
    tell_reply(core, caller, &reply, core->scratch, dro_builder_length(&out));
}

bool api_put_is_new(const turn *turn)
{
    return turn->put->is_new;
}

void api_create_failed(core *core, turn *turn, const char *reason)
{
    uint32_t index = turn->twin;
    tell_problem(core, turn->caller, 422, "twin_failed", "the twin failed while it was made: %s", reason);
    twin_forget(core, index);
}

/* A repeat gets the twin as it was then; one too large to keep for that, the status alone. */
void api_put_idempotency(core *core, const uint8_t (*keys)[32], uint32_t index, uint16_t status)
{
    enum { KEPT_MAX = 8192 };
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    render_twin(core, index, false, &out);
    size_t length = dro_builder_length(&out);
    idempotent_put(core, keys[0], keys[1], status, core->scratch, out.err == DRO_OK && length <= KEPT_MAX ? length : 0);
}

static void keep_idempotency(core *core, const call *call, uint32_t index, uint16_t status)
{
    if (call->idempotency == NULL)
        return;
    api_put_idempotency(core, (const uint8_t (*)[32])call->idempotency, index, status);
}

/* ---- making one ---- */

static uint64_t number_new(core *core, const char *id, size_t length)
{
    return (uint64_t)partition_new(core, id, length) << 52 | (core->twin_next++ & 0xfffffffffffffu);
}

/* A slot that holds the names, so that nobody else takes them meanwhile. */
static dro_err reserve(core *core, const struct put *put, uint32_t *index)
{
    dro_err err = twin_new(core, index);
    if (err != DRO_OK)
        return err;
    twin *twin = twin_at(core, *index);
    size_t length = strlen(put->id);
    twin->number = put->number;
    twin->flags = TWIN_CREATING;
    twin->image = put->image;
    twin->domain = put->domain;
    twin_extra *extra = twin_extra_get(twin);
    if (extra == NULL || (extra->creating_id = strdup(put->id)) == NULL)
        err = DRO_NOMEM;
    if (err == DRO_OK)
        err = index_add(&core->ids, id_hash(core, put->id, length), *index);
    if (err == DRO_OK)
        err = index_add(&core->numbers, dro_hash_mix(twin->number, core->hash_key), *index);
    dro_field imsi = { FIELD_IMSI, (uint32_t)strlen(put->imsi), (const uint8_t *)put->imsi };
    dro_field msisdn = { FIELD_MSISDN, (uint32_t)strlen(put->msisdn), (const uint8_t *)put->msisdn };
    if (err == DRO_OK && put->has_imsi)
        err = apply_field(core, *index, &imsi);
    if (err == DRO_OK && put->has_msisdn)
        err = apply_field(core, *index, &msisdn);
    dro_field aliases = { FIELD_ALIASES, put->aliases_length, put->aliases };
    if (err == DRO_OK && put->has_aliases)
        err = apply_field(core, *index, &aliases);
    if (err != DRO_OK)
        twin_free(core, *index);
    return err;
}

static void start_turn(core *core, const call *call, struct put *put, uint32_t index)
{
    turn *turn = turn_new(core, index, put->is_new ? TURN_CREATE : TURN_CONFIGURE);
    dro_err err = turn == NULL ? DRO_LIMIT
                : turn_event(core, turn, put->is_new || put->is_given ? EVENT_CREATED : EVENT_CONFIGURED, 0, put->payload, put->payload_length);
    if (err == DRO_OK && call->idempotency != NULL) {
        turn->idempotency = malloc(64);
        err = turn->idempotency == NULL ? DRO_NOMEM : DRO_OK;
        if (err == DRO_OK)
            memcpy(turn->idempotency, call->idempotency, 64);
    }
    if (err != DRO_OK) {
        if (turn != NULL)
            turn_free(core, turn);
        if (put->is_new)
            twin_free(core, index);
        bool is_broken = !put->is_new && twin_is_broken(core, index);
        api_put_end(core, put);
        if (is_broken)
            tell_broken(core, call->caller, twin_at(core, index)->image);
        else
            tell_problem(core, call->caller, 503, "about:blank", "too much is under way; try again");
        return;
    }
    dro_wipe(put->payload, sizeof put->payload);
    turn->put = put;
    turn->image = put->image;
    turn->caller = call->caller;
    turn_send(core, turn);
}

/* True: the request waits until core 0 has made the domain. */
static bool domain_ask(core *core, const call *call)
{
    const char *name = (const char *)memchr(call->id.at, '@', call->id.length) + 1;
    return question_ask(core, BOARD_DOMAIN, name, (size_t)(call->id.at + call->id.length - name), call->gate, call->header, call->message);
}

/* Makes the domain if it is the admin who asks; *err: it could not be made. */
static bool domain_choose(core *core, const call *call, struct put *put, dro_err *err)
{
    const char *at = call->id.at == NULL ? NULL : memchr(call->id.at, '@', call->id.length);
    if (at == NULL || call->id.length >= sizeof put->id)
        return false;
    memcpy(put->id, call->id.at, call->id.length);
    size_t length = (size_t)(call->id.at + call->id.length - at - 1);
    put->domain = domain_find(core, at + 1, length);
    if (put->domain != NONE && core->domains[put->domain].is_going && application_sees(core, call->application, call->scopes, put->domain)) {
        *err = DRO_DENIED;
        return false;
    }
    if (call->scopes & SCOPE_ADMIN) {
        *err = domain_get(core, at + 1, length, &put->domain);
        return *err == DRO_OK;
    }
    return put->domain != NONE && application_sees(core, call->application, call->scopes, put->domain);
}

/* Each name of the PUT; stops at the first that `each` refuses. */
static dro_err put_names(core *core, const struct put *put, dro_err (*each)(struct core *core, const struct put *put, directory_kind kind, const char *text))
{
    dro_err err = put->is_new ? each(core, put, DIRECTORY_ID, put->id) : DRO_OK;
    if (err == DRO_OK && put->imsi[0] != '\0')
        err = each(core, put, DIRECTORY_IMSI, put->imsi);
    if (err == DRO_OK && put->msisdn[0] != '\0')
        err = each(core, put, DIRECTORY_MSISDN, put->msisdn);
    const char *aliases = (const char *)put->aliases;
    for (uint32_t at = 0; err == DRO_OK && at < put->aliases_length; at += (uint32_t)strlen(aliases + at) + 1)
        err = each(core, put, DIRECTORY_ID, aliases + at);
    return err;
}

static dro_err claim_name(core *core, const struct put *put, directory_kind kind, const char *text)
{
    return name_claim(core, kind, text, strlen(text), (uint32_t)(put->number >> 52));
}

static dro_err release_name(core *core, const struct put *put, directory_kind kind, const char *text)
{
    (void)put;
    name_release(core, kind, text, strlen(text));
    return DRO_OK;
}

/* What no twin of this core has is free among the other cores' too, and theirs no more. False after a 409 or 503. */
static bool put_claim(core *core, caller caller, const struct put *put)
{
    dro_err err = put_names(core, put, claim_name);
    if (err == DRO_EXISTS)
        tell_problem(core, caller, 409, "already_bound", "the id, an alias or a number of it is another twin's");
    else if (err != DRO_OK)
        tell_problem(core, caller, 503, "about:blank", "no room for another name: %s", dro_err_text(err));
    return err == DRO_OK;
}

void api_put_end(core *core, struct put *put)
{
    if (put != NULL && core->count > 1)
        (void)put_names(core, put, release_name);
    put_free(put);
}

static bool put_check(core *core, const call *call, struct put *put, uint32_t index)
{
    const twin *twin = index == NONE ? NULL : twin_at(core, index);
    return image_choose(core, call, put, twin) && numbers_read(core, call, put, index) &&
           aliases_read(core, call, put, index) && tags_read(core, call, put, twin) && secrets_read(core, call, put);
}

static void put_now(core *core, const call *call, struct put *put, uint32_t index)
{
    record_begin(core, index, RECORD_DELTA);
    put_write(core, index, put);
    keep_idempotency(core, call, index, 200);
    record_end(core);
    put_free(put);
    api_put_answer(core, call->caller, index, false);
    mailbox_flush(core, index);
}

static void id_copy(core *core, struct put *put, uint32_t index)
{
    size_t length;
    const char *id = twin_id(core, twin_at(core, index), &length);
    memcpy(put->id, id, length);
    put->id[length] = '\0';
    put->domain = twin_at(core, index)->domain;
}

void api_twin_put(core *core, const call *call)
{
    struct put *put = calloc(1, sizeof *put);
    uint32_t index = call->id.at == NULL ? NONE : twin_find(core, call->id.at, call->id.length);
    if (put == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "out of memory");
        return;
    }
    dro_err err = DRO_OK;
    if (!(index == NONE ? domain_choose(core, call, put, &err) : application_sees(core, call->application, call->scopes, twin_at(core, index)->domain))) {
        put_free(put);
        if (err == DRO_AGAIN && domain_ask(core, call))
            return;
        if (err == DRO_DENIED)
            tell_problem(core, call->caller, 409, "domain_is_going", "the domain is being deleted");
        else if (err != DRO_OK)
            tell_problem(core, call->caller, 503, "about:blank", "the domain could not be kept: %s", dro_err_text(err));
        else
            tell_problem(core, call->caller, 404, "about:blank", "no twin is called %.*s", (int)call->id.length, call->id.at);
        return;
    }
    put->is_new = index == NONE;
    if ((index != NONE && call_deferred(core, call, index)) || !call_idempotent(core, call) ||
        (index != NONE && !call_precondition(core, call, twin_at(core, index)))) {
        put_free(put);
        return;
    }
    if (index == NONE && call->if_match_count > 0) {
        put_free(put);
        tell_problem(core, call->caller, 412, "about:blank", "there is no such twin yet");
        return;
    }
    if (!put_check(core, call, put, index)) {
        put_free(put);
        return;
    }
    put->number = put->is_new ? number_new(core, put->id, strlen(put->id)) : twin_at(core, index)->number;
    if (!put_claim(core, call->caller, put)) {
        api_put_end(core, put);
        return;
    }
    if (put->is_given)
        id_copy(core, put, index);
    if (index != NONE && !put->has_secrets && !put->is_given) {
        put_now(core, call, put, index);
        return;
    }
    err = put->is_new ? reserve(core, put, &index) : DRO_OK;
    if (err != DRO_OK) {
        api_put_end(core, put);
        tell_problem(core, call->caller, 503, "about:blank", "no room for another twin: %s", dro_err_text(err));
        return;
    }
    start_turn(core, call, put, index);
}

/* ---- the rest ---- */

void api_twin_get(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred_new(core, call, index))
        return;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    render_twin(core, index, (call->scopes & SCOPE_ADMIN) != 0, &out);
    call_reply(core, call, 200, twin_at(core, index)->revision, NULL, &out);
}

void twin_delete(core *core, uint32_t index)
{
    record_begin(core, index, RECORD_GONE);
    exposures_forsaken(core, index);
    schedule_forsaken(core, twin_at(core, index));
    record_end(core);
    twin_forget(core, index);
}

void api_twin_delete(core *core, const call *call)
{
    uint32_t index = call_twin(core, call);
    if (index == NONE || call_deferred(core, call, index) || !call_precondition(core, call, twin_at(core, index)))
        return;
    twin_delete(core, index);
    call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

/* Does the row carry the tag "name:value" (or just the name)? */
static bool has_tag(core *core, const twin *twin, text wanted)
{
    size_t length;
    const uint8_t *tags = columns_tags_get(core->columns, twin->table, twin->row, &length);
    dro_cursor in = dro_cursor_over(tags, length);
    dro_cursor want = dro_cursor_over(wanted.at, wanted.length);
    size_t name_length = dro_cursor_le(&want, 1);
    const uint8_t *name = dro_cursor_bytes(&want, name_length);
    while (want.err == DRO_OK && dro_cursor_left(&in) > 0) {
        size_t n = dro_cursor_le(&in, 1);
        const uint8_t *own = dro_cursor_bytes(&in, n);
        size_t text_length = dro_cursor_le(&in, 2);
        const uint8_t *own_text = dro_cursor_bytes(&in, text_length);
        if (own == NULL || own_text == NULL)
            break;
        if (n == name_length && memcmp(own, name, n) == 0)
            return dro_cursor_left(&want) == 0 || (dro_cursor_left(&want) == text_length && memcmp(want.at, own_text, text_length) == 0);
    }
    return false;
}

static bool is_listed(core *core, const call *call, const twin *twin)
{
    if (twin->number == 0 || twin->row == NONE || !application_sees(core, call->application, call->scopes, twin->domain))
        return false;
    const char *model = twin->image == NONE ? "" : core->images[twin->image].info.model.name;
    if (call->model.at != NULL && (strlen(model) != call->model.length || memcmp(model, call->model.at, call->model.length) != 0))
        return false;
    return call->tag.at == NULL || has_tag(core, twin, call->tag);
}

void api_twin_list(core *core, const call *call)
{
    enum { SLOTS_LOOKED_AT_MAX = 200000, CURSOR_MARK = 't' };
    char cursor[24] = { 0 };
    if (call->cursor.at != NULL && call->cursor.length < sizeof cursor)
        memcpy(cursor, call->cursor.at, call->cursor.length);
    char *end = NULL;
    bool is_ours = call->cursor.at == NULL || (cursor[0] == CURSOR_MARK && cursor[1] != '\0');
    uint64_t start = call->cursor.at != NULL && is_ours ? strtoull(cursor + 1, &end, 36) : 0;
    if (!is_ours || start > core->twin_high || (end != NULL && *end != '\0')) {
        tell_problem(core, call->caller, 400, "about:blank", "this cursor is not one of ours");
        return;
    }
    uint32_t limit = call->has_limit && call->limit > 0 ? (uint32_t)(call->limit > LIST_LIMIT_MAX ? LIST_LIMIT_MAX : call->limit) : LIST_LIMIT;
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - 64);
    dro_builder_text(&out, "{\"twins\":[");
    uint64_t slot = start;
    for (uint32_t found = 0, looked = 0; slot < core->twin_high && found < limit && looked < SLOTS_LOOKED_AT_MAX; slot++, looked++) {
        if (!is_listed(core, call, twin_at(core, (uint32_t)slot)))
            continue;
        uint8_t *before = out.at;
        dro_builder_text(&out, found > 0 ? "," : "");
        render_twin(core, (uint32_t)slot, (call->scopes & SCOPE_ADMIN) != 0, &out);
        if (out.err != DRO_OK) { /* full: the rest is the next page */
            out.err = DRO_OK;
            out.at = before;
            break;
        }
        found++;
    }
    out.end += 64;
    dro_builder_text(&out, "]");
    if (slot < core->twin_high) {
        char next[16];
        int at = sizeof next - 1;
        next[at] = '\0';
        for (uint64_t rest = slot; rest > 0 && at > 0; rest /= 36)
            next[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
        json_put(&out, ",\"cursor\":\"%c%s\"", CURSOR_MARK, next + at);
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}
