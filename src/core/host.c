/* The host's own tables: domains and their keys, images, applications, names of
 * Diameter nodes. Few and rarely changed, they live in two small files that are
 * replaced whole and durable before anything refers to what is new in them:
 *   keys  the domains' keys, wrapped by the master key. Outside the log, so that
 *         deleting one shreds its domain.
 *   host  the rest, sealed under the host's own key. */
#include "core/host.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/wipe.h"
#include "core/audit.h"
#include "core/groups.h"
#include "core/images.h"
#include "core/links.h"
#include "core/number.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/tell.h"
#include "core/twin_table.h"

enum {
    HOST_BYTES_MAX = 64 * 1024 * 1024,
    HOST_DOMAIN = 1,      /* number u32, name */
    HOST_IMAGE = 2,       /* index u32, digest 32, SHA-256 of the artifact 32, info, model JSON: nested fields */
    HOST_APPLICATION = 3, /* number u32, scopes u32, token 32, id length u8, id, domains u32* */
    HOST_NAME = 4,        /* text */
    HOST_NUMBERS = 5,     /* next application u32 */
    HOST_APPLICATION_MORE = 9, /* number u32; fields CEILING, CERTIFICATE, APN as in ring/message.h */
    HOST_DOMAIN_KEYS = 11, /* domain_facts_write */
    HOST_CAPIF = 55,      /* MESSAGE_CAPIF_STATE's fields */
    HOST_SIGNING = 8,     /* a signing key: signing_write */
    HOST_TOKEN_KEY = 7,   /* token_key_write */
    HOST_READY = 6,       /* on the board only: index u32 of an image, u8: STATE_ bits */
    STATE_READY = 1, STATE_BROKEN = 2,
    IMAGE_DIGEST = 1, IMAGE_SUM = 2, IMAGE_INFO = 3, IMAGE_MODEL = 4, IMAGE_JSON = 5,
};

/* ---- names of Diameter nodes ---- */

static bool is_host(const core *core, uint32_t number, const char *name, size_t length)
{
    const char *own = number < core->host_count ? core->hosts[number].name : NULL;
    return own != NULL && strlen(own) == length && memcmp(own, name, length) == 0; /* a gate's name may have NULs */
}

bool host_name_find(core *core, const char *name, size_t length, uint16_t *number)
{
    uint16_t *hint = &core->host_hints[id_hash(core, name, length) % CORE_HOSTS_MAX];
    uint32_t found = is_host(core, *hint, name, length) ? *hint : 0;
    while (found < core->host_count && !is_host(core, found, name, length))
        found++;
    if (found == core->host_count)
        return false;
    *number = *hint = (uint16_t)found;
    return true;
}

dro_err host_name_get(core *core, const char *name, size_t length, uint16_t *number)
{
    if (host_name_find(core, name, length, number))
        return core->index > 0 || core->hosts[*number].is_kept ? DRO_OK : host_keep(core);
    if (core->index > 0)
        return DRO_AGAIN;
    if (core->host_count >= CORE_HOSTS_MAX)
        return DRO_LIMIT;
    if (memchr(name, '\0', length) != NULL) /* no gate lets such a name through: as text it would be another's */
        return DRO_MALFORMED;
    char *text = strndup(name, length);
    if (text == NULL)
        return DRO_NOMEM;
    *number = (uint16_t)core->host_count;
    core->hosts[core->host_count++] = (host){ .name = text };
    return host_keep(core);
}

/* ---- applications ---- */

application *application_find(core *core, const char *id, size_t length)
{
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++) {
        application *a = &core->applications[i];
        if (a->id != NULL && !a->is_session && strlen(a->id) == length && memcmp(a->id, id, length) == 0)
            return a;
    }
    return NULL;
}

application *application_at(core *core, uint32_t number)
{
    uint16_t *hint = &core->application_hints[number % CORE_APPLICATIONS_MAX];
    if (core->applications[*hint].id != NULL && core->applications[*hint].number == number)
        return &core->applications[*hint];
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++)
        if (core->applications[i].id != NULL && core->applications[i].number == number) {
            *hint = (uint16_t)i;
            return &core->applications[i];
        }
    return NULL;
}

bool application_sees(core *core, uint32_t number, uint32_t scopes, uint32_t domain)
{
    if (scopes & SCOPE_ADMIN)
        return true;
    const application *application = application_at(core, number);
    for (uint32_t i = 0; application != NULL && i < application->domain_count; i++)
        if (application->domains[i] == domain)
            return true;
    return false;
}

bool application_may(core *core, uint32_t number, uint32_t scope, uint32_t domain)
{
    const application *application = application_at(core, number);
    return application != NULL && (application->scopes & scope) != 0 && application_sees(core, number, 0, domain);
}

/* The gate knows it before another gate tells anybody. */
static void gate_tell(core *core, uint32_t index, uint16_t type, const void *message, uint32_t length)
{
    gate_link *gate = &core->gates[index];
    if (gate->outbox.start == gate->outbox.end)
        gate->has_late_credential = false;
    if (gate->has_late_credential || !ring_send(&gate->out, type, 0, 0, message, length)) {
        gate->has_late_credential = true;
        tell(core, index, type, 0, 0, message, length, 0);
    }
    ring_publish(&gate->out);
}

void gates_tell(core *core, uint32_t gate, uint16_t type, const void *message, uint32_t length)
{
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if ((gate == NONE || gate == i) && core->gates[i].is_open)
            gate_tell(core, i, type, message, length);
}

void credentials_send(core *core, uint32_t gate, const application *application, bool is_gone)
{
    static uint8_t message[48 * 1024];
    credential head = { .number = application->number, .scopes = application->scopes, .is_gone = is_gone || application->is_stopped,
                        .is_one_time = application->is_one_time, .expires_ms = application->expires_ms };
    memcpy(head.token, application->token, 32);
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_field_put_text(&out, API_FIELD_APPLICATION, application->id);
    for (uint32_t i = 0; i < application->domain_count; i++)
        dro_field_put_text(&out, API_FIELD_DOMAIN, core->domains[application->domains[i]].name);
    application_more_write(application, &out, false);
    invoker_credential_write(core, application->number, &out);
    if (out.err == DRO_OK)
        gates_tell(core, gate, MESSAGE_CREDENTIAL, message, (uint32_t)dro_builder_length(&out));
}

void credentials_send_all(core *core, uint32_t gate)
{
    application admin = { .id = "admin", .number = 0, .scopes = SCOPE_ADMIN | SCOPE_ALL };
    memcpy(admin.token, core->options.admin_token, 32);
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++)
        if (core->applications[i].id != NULL)
            credentials_send(core, gate, &core->applications[i], false);
    signing_send_all(core, gate);
    credentials_send(core, gate, &admin, false); /* last: with it the gate knows all */
}

/* ---- the host file ---- */

static void write_image(dro_builder *out, const image *image, uint32_t index, uint8_t *part, size_t capacity)
{
    dro_builder inner = dro_builder_over(part, capacity);
    dro_builder_le(&inner, index, 4);
    dro_field_put(&inner, IMAGE_DIGEST, image->digest, 32);
    dro_field_put(&inner, IMAGE_SUM, image->artifact_sum, 32);
    admit_info info = image->info;
    memset(&info.model, 0, sizeof info.model);
    dro_field_put(&inner, IMAGE_INFO, &info, offsetof(admit_info, model));
    static uint8_t flat[128 * 1024];
    dro_builder text = dro_builder_over(flat, sizeof flat);
    model_write(&text, &image->info.model);
    dro_field_put(&inner, IMAGE_MODEL, flat, dro_builder_length(&text));
    dro_field_put(&inner, IMAGE_JSON, image->model_json, image->model_json_length);
    dro_field_put(out, HOST_IMAGE, part, dro_builder_length(&inner));
    if (inner.err != DRO_OK)
        out->err = inner.err;
}

static void write_application(dro_builder *out, const application *application)
{
    uint8_t part[2048 + 4 * 1024];
    dro_builder inner = dro_builder_over(part, sizeof part);
    dro_builder_le(&inner, application->number, 4);
    dro_builder_le(&inner, application->scopes, 4);
    dro_builder_bytes(&inner, application->token, 32);
    dro_builder_le(&inner, strlen(application->id), 1);
    dro_builder_text(&inner, application->id);
    for (uint32_t i = 0; i < application->domain_count; i++)
        dro_builder_le(&inner, application->domains[i], 4);
    dro_field_put(out, HOST_APPLICATION, part, dro_builder_length(&inner));
    if (inner.err != DRO_OK)
        out->err = inner.err;
}

void application_more_write(const application *application, dro_builder *out, bool is_whole)
{
    for (int i = 0; i < APPLICATION_LIMITS; i++)
        if (application->limits.of[i] != 0) {
            uint8_t field[5] = { (uint8_t)i };
            memcpy(field + 1, &application->limits.of[i], 4);
            dro_field_put(out, API_FIELD_CEILING, field, sizeof field);
        }
    for (uint32_t i = 0; i < application->certificate_count; i++)
        dro_field_put_text(out, API_FIELD_CERTIFICATE, application->certificates[i]);
    for (uint32_t i = 0; is_whole && i < application->apn_count; i++)
        dro_field_put_text(out, API_FIELD_APN, application->apns[i]);
}

static bool put_row(char *row, size_t room, const dro_field *field)
{
    if (field->length >= room || (field->length > 0 && memchr(field->bytes, '\0', field->length) != NULL))
        return false;
    memcpy(row, field->bytes, field->length);
    row[field->length] = '\0';
    return true;
}

dro_err application_more_read(application *application, const dro_field *field)
{
    bool is_good = true;
    if (field->tag == API_FIELD_CEILING) {
        is_good = field->length == 5 && field->bytes[0] < APPLICATION_LIMITS;
        if (is_good)
            memcpy(&application->limits.of[field->bytes[0]], field->bytes + 1, 4);
    } else if (field->tag == API_FIELD_CERTIFICATE) {
        is_good = application->certificate_count < APPLICATION_CERTIFICATES_MAX &&
                  put_row(application->certificates[application->certificate_count], sizeof application->certificates[0], field);
        application->certificate_count += is_good;
    } else if (field->tag == API_FIELD_APN) {
        is_good = application->apn_count < APPLICATION_APNS_MAX &&
                  put_row(application->apns[application->apn_count], sizeof application->apns[0], field);
        application->apn_count += is_good;
    }
    return is_good ? DRO_OK : DRO_MALFORMED;
}

static void write_all(core *core, dro_builder *out)
{
    static uint8_t part[256 * 1024];
    dro_field_put(out, HOST_NUMBERS, &core->application_next, 4);
    for (uint32_t i = 1; i < core->keys_kept; i++) /* a name without its key would be damage at the next start */
        if (core->domains[i].name[0] != '\0') { /* a key whose name the power took stays without one */
            dro_builder inner = dro_builder_over(part, sizeof part);
            dro_builder_le(&inner, i, 4);
            dro_builder_text(&inner, core->domains[i].name);
            dro_field_put(out, HOST_DOMAIN, part, dro_builder_length(&inner));
            domain_facts_write(core, i, HOST_DOMAIN_KEYS, out);
        }
    for (uint32_t i = 0; i < core->host_count; i++)
        dro_field_put_text(out, HOST_NAME, core->hosts[i].name);
    for (uint32_t i = 0; i < core->image_count; i++)
        if (core->images[i].table != NONE)
            write_image(out, &core->images[i], i, part, sizeof part);
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++)
        if (core->applications[i].id != NULL && !core->applications[i].is_session)
            write_application(out, &core->applications[i]);
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++)
        if (core->applications[i].id != NULL) {
            dro_builder inner = dro_builder_over(part, sizeof part);
            dro_builder_le(&inner, core->applications[i].number, 4);
            application_more_write(&core->applications[i], &inner, true);
            if (dro_builder_length(&inner) > 4)
                dro_field_put(out, HOST_APPLICATION_MORE, part, dro_builder_length(&inner));
        }
    for (uint32_t i = 0; i < SIGNING_KEYS_MAX; i++)
        if (core->signing.keys[i].number != 0) {
            uint8_t record[SIGNING_RECORD];
            signing_write(&core->signing.keys[i], record);
            dro_field_put(out, HOST_SIGNING, record, sizeof record);
        }
    for (uint32_t i = 0; i < core->token_keys.count; i++)
        if (!token_key_is_old(core, &core->token_keys.list[i])) {
            dro_builder inner = dro_builder_over(part, sizeof part);
            token_key_write(&core->token_keys.list[i], &inner);
            dro_field_put(out, HOST_TOKEN_KEY, part, dro_builder_length(&inner));
        }
    stops_write(core, out);
    budgets_write(core, out);
    invokers_write(core, out);
    if (core->capif.fields != NULL)
        dro_field_put(out, HOST_CAPIF, core->capif.fields, core->capif.length);
    audit_write(core, out);
    groups_write(core, out);
}

/* All of it, *plain is the caller's. */
static dro_err host_write(core *core, uint8_t **plain, size_t *length)
{
    for (size_t capacity = 1 << 20; capacity <= HOST_BYTES_MAX; capacity *= 2) {
        *plain = malloc(capacity);
        if (*plain == NULL)
            return DRO_NOMEM;
        dro_builder out = dro_builder_over(*plain, capacity);
        write_all(core, &out);
        *length = dro_builder_length(&out);
        if (out.err == DRO_OK)
            return DRO_OK;
        dro_wipe(*plain, *length);
        free(*plain);
        if (out.err != DRO_LIMIT)
            return out.err;
    }
    return DRO_NOMEM;
}

static dro_err file_keep(core *core, const uint8_t *plain, size_t length)
{
    uint8_t *sealed = malloc(length + VAULT_OVERHEAD);
    if (sealed == NULL)
        return DRO_NOMEM;
    vault_seal_log(core->vault, 0, "host", 4, plain, length, sealed);
    int error = core->options.log_disk->replace(core->options.log_disk, "host", sealed, length + VAULT_OVERHEAD);
    free(sealed);
    return disk_err(error);
}

/* For the other cores: length of the keys u32, keys as in their file, the host's file in clear, which images are ready. */
static dro_err board_keep(core *core, const uint8_t *plain, size_t length)
{
    size_t keys = domain_keys_length(core), all = 4 + keys + length + CORE_IMAGES_MAX * 16;
    uint8_t *bytes = malloc(all);
    if (bytes == NULL)
        return DRO_NOMEM;
    dro_builder out = dro_builder_over(bytes, all);
    dro_builder_le(&out, keys, 4);
    domain_keys_write(core, out.at);
    out.at += keys;
    dro_builder_bytes(&out, plain, length);
    for (uint32_t i = 0; i < core->image_count; i++)
        if (core->images[i].table != NONE) {
            uint8_t state[5] = { [4] = (uint8_t)((core->images[i].is_ready ? STATE_READY : 0) | (core->images[i].is_broken ? STATE_BROKEN : 0)) };
            memcpy(state, &i, 4);
            dro_field_put(&out, HOST_READY, state, sizeof state);
        }
    dro_err err = out.err == DRO_OK ? board_tables_put(&core->board, bytes, dro_builder_length(&out)) : out.err;
    dro_wipe(bytes, all);
    free(bytes);
    return err;
}

static dro_err host_put(core *core, bool to_file)
{
    uint8_t *plain = NULL;
    size_t length = 0;
    dro_err err = host_write(core, &plain, &length);
    if (err != DRO_OK)
        return err;
    if (to_file) {
        err = file_keep(core, plain, length);
        audit_kept(core, err == DRO_OK);
    }
    for (uint32_t i = 0; err == DRO_OK && i < core->host_count; i++)
        core->hosts[i].is_kept = true;
    if (err == DRO_OK && core->count > 1)
        err = board_keep(core, plain, length);
    dro_wipe(plain, length);
    free(plain);
    return err;
}

dro_err host_keep(core *core)
{
    assert(core->index == 0);
    bool to_file = !core->options.no_log || !core->is_started; /* a bench without a log keeps nothing else either */
    return to_file || core->count > 1 ? host_put(core, to_file) : DRO_OK;
}

dro_err host_show(core *core)
{
    return core->count > 1 ? host_put(core, false) : DRO_OK;
}

static dro_err read_image(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t index = (uint32_t)dro_cursor_le(&in, 4);
    if (in.err != DRO_OK || index >= CORE_IMAGES_MAX)
        return DRO_CORRUPT;
    image *image = &core->images[index];
    dro_field part;
    dro_err err = DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &part)) {
        dro_cursor text = dro_cursor_over(part.bytes, part.length);
        if (part.tag == IMAGE_DIGEST && part.length == 32) {
            memcpy(image->digest, part.bytes, 32);
        } else if (part.tag == IMAGE_SUM && part.length == 32) {
            memcpy(image->artifact_sum, part.bytes, 32);
        } else if (part.tag == IMAGE_INFO && part.length == offsetof(admit_info, model)) {
            memcpy(&image->info, part.bytes, part.length);
        } else if (part.tag == IMAGE_MODEL) {
            err = model_read(&image->info.model, &text);
        } else if (part.tag == IMAGE_JSON) {
            image->model_json = malloc(part.length + 1);
            if (image->model_json == NULL)
                return DRO_NOMEM;
            memcpy(image->model_json, part.bytes, part.length);
            image->model_json_length = part.length;
        }
    }
    if (core->image_count <= index)
        core->image_count = index + 1;
    return err == DRO_OK ? image_table(core, index) : err;
}

static dro_err read_application(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    application a = { .number = (uint32_t)dro_cursor_le(&in, 4), .scopes = (uint32_t)dro_cursor_le(&in, 4) };
    const uint8_t *token = dro_cursor_bytes(&in, 32);
    size_t length = dro_cursor_le(&in, 1);
    const uint8_t *id = dro_cursor_bytes(&in, length);
    if (in.err != DRO_OK)
        return DRO_CORRUPT;
    memcpy(a.token, token, 32);
    a.id = strndup((const char *)id, length);
    a.domain_count = (uint32_t)(dro_cursor_left(&in) / 4);
    a.domains = calloc(a.domain_count + 1, sizeof *a.domains);
    if (a.id == NULL || a.domains == NULL) {
        free(a.id);
        free(a.domains);
        return DRO_NOMEM;
    }
    uint32_t listed = a.domain_count;
    a.domain_count = 0;
    for (uint32_t i = 0; i < listed; i++) {
        uint32_t domain = (uint32_t)dro_cursor_le(&in, 4);
        if (domain >= core->domain_count || !core->domains[domain].is_gone)
            a.domains[a.domain_count++] = domain;
    }
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++)
        if (core->applications[i].id == NULL) {
            core->applications[i] = a;
            return DRO_OK;
        }
    free(a.id);
    free(a.domains);
    return DRO_LIMIT;
}

static dro_err read_application_more(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    application *application = application_at(core, (uint32_t)dro_cursor_le(&in, 4));
    dro_field part;
    dro_err err = in.err != DRO_OK || application == NULL ? DRO_CORRUPT : DRO_OK;
    while (err == DRO_OK && dro_field_next(&in, &part))
        err = application_more_read(application, &part);
    return err == DRO_OK ? in.err : DRO_CORRUPT;
}

static dro_err read_field(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->tag == HOST_DOMAIN) {
        uint32_t number = (uint32_t)dro_cursor_le(&in, 4);
        if (in.err != DRO_OK || number == 0 || number >= core->domain_count)
            return DRO_CORRUPT;
        if (core->domains[number].is_gone) /* the power went before its name did */
            return DRO_OK;
        free(core->domains[number].name);
        core->domains[number].is_kept = true;
        core->domains[number].name = strndup((const char *)in.at, dro_cursor_left(&in));
        if (core->domains[number].name == NULL)
            return DRO_NOMEM;
        domain_place(core, number);
        return columns_domain_set(core->columns, number, core->domains[number].name);
    }
    if (field->tag == HOST_DOMAIN_KEYS)
        return domain_facts_read(core, field);
    if (field->tag == HOST_NAME) {
        if (core->host_count >= CORE_HOSTS_MAX)
            return DRO_CORRUPT;
        core->hosts[core->host_count].is_kept = true;
        core->hosts[core->host_count].name = strndup((const char *)field->bytes, field->length);
        return core->hosts[core->host_count++].name == NULL ? DRO_NOMEM : DRO_OK;
    }
    if (field->tag == HOST_READY) {
        uint32_t number = (uint32_t)dro_cursor_le(&in, 4);
        if (in.err != DRO_OK || number >= core->image_count)
            return DRO_CORRUPT;
        uint64_t state = dro_cursor_le(&in, 1);
        core->images[number].is_ready = (state & STATE_READY) != 0;
        if ((state & STATE_BROKEN) == 0)
            image_revive(core, number);
        core->images[number].is_broken = (state & STATE_BROKEN) != 0;
    }
    if (field->tag == HOST_NUMBERS)
        core->application_next = (uint32_t)dro_cursor_le(&in, 4);
    else if (field->tag == HOST_IMAGE)
        return read_image(core, field);
    else if (field->tag == HOST_APPLICATION)
        return read_application(core, field);
    else if (field->tag == HOST_APPLICATION_MORE)
        return read_application_more(core, field);
    else if (field->tag == HOST_SIGNING)
        return signing_read(core, field->bytes, field->length);
    else if (field->tag == HOST_TOKEN_KEY && core->index == 0)
        return token_key_read(core, &in);
    else if (field->tag == HOST_BUDGET)
        return budget_read(core, field);
    else if (field->tag == HOST_STOP)
        return stop_read(core, field);
    else if (field->tag == HOST_INVOKER)
        return invoker_read(core, field);
    else if (field->tag == HOST_CAPIF)
        return capif_read(core, field);
    else if (field->tag == HOST_AUDIT)
        return audit_read(core, field);
    else if (field->tag >= HOST_GROUP_NUMBERS)
        return groups_read(core, field);
    return in.err;
}

/* A whole small file; *bytes is NULL when there is none. */
static dro_err file_read(disk *disk, const char *name, uint8_t **bytes, size_t *length)
{
    *bytes = NULL;
    *length = 0;
    int file = disk->open(disk, name, 0);
    if (file < 0) /* unreadable is not absent: that would begin anew over what is there */
        return file == -ENOENT ? DRO_OK : DRO_IO;
    int64_t size = disk->size(disk, file);
    dro_err err = size < 0 || size > HOST_BYTES_MAX ? DRO_IO : DRO_OK;
    if (err == DRO_OK && size > 0) {
        *bytes = malloc((size_t)size);
        err = *bytes == NULL ? DRO_NOMEM : disk->read(disk, file, 0, *bytes, (size_t)size) == size ? DRO_OK : DRO_IO;
        *length = (size_t)size;
    }
    disk->close(disk, file);
    return err;
}

/* The host's files are durable before its first log is begun. */
static bool has_log(const core *core)
{
    return generations_are_written(&core->generations, core->options.log_disk, core->options.logs);
}

static void lost_tell(const char *name)
{
    dro_error("log/%s is not there or empty, but the data needs it: put it back from a backup of the same moment", name);
}

/* New keys beside data of old ones would only hide what is wrong, for good. */
static bool keys_are_lost(core *core)
{
    disk *disk = core->options.log_disk;
    int host = disk->open(disk, "host", 0);
    if (host == -ENOENT && !has_log(core))
        return false;
    if (host >= 0)
        disk->close(disk, host);
    lost_tell("keys");
    return true;
}

/* Twins whose applications and images nobody knows would lose what is theirs: it would be cleaned away. */
static bool tables_are_lost(const core *core)
{
    bool are_lost = core->domain_count > 1 || has_log(core); /* a domain comes after the first tables */
    if (are_lost)
        lost_tell("host");
    return are_lost;
}

static dro_err tables_read(core *core, const uint8_t *sealed, size_t length)
{
    uint8_t *plain = malloc(length);
    dro_err err = plain == NULL ? DRO_NOMEM : length < VAULT_OVERHEAD ? DRO_CORRUPT
                  : vault_open_log(core->vault, 0, "host", 4, sealed, length, plain);
    dro_cursor in = dro_cursor_over(plain, err == DRO_OK ? length - VAULT_OVERHEAD : 0);
    dro_field field;
    while (err == DRO_OK && dro_field_next(&in, &field))
        err = read_field(core, &field);
    if (err == DRO_OK)
        err = in.err;
    if (err != DRO_OK)
        dro_error("log/host cannot be read: put it back from a backup of the same moment");
    free(plain);
    return err;
}

dro_err host_load(core *core)
{
    uint8_t *keys, *sealed = NULL;
    size_t keys_bytes, sealed_length;
    core->application_next = 1;
    dro_err err = file_read(core->options.log_disk, "keys", &keys, &keys_bytes);
    if (err == DRO_OK && keys == NULL) { /* the first start */
        if (keys_are_lost(core))
            return DRO_NOT_FOUND;
        return domain_make_host(core);
    }
    if (err == DRO_OK)
        err = domain_keys_load(core, keys, keys_bytes);
    core->keys_kept = core->domain_count;
    if (err == DRO_OK)
        err = file_read(core->options.log_disk, "host", &sealed, &sealed_length);
    if (err == DRO_OK && sealed == NULL) /* the first start may have ended between the two */
        err = tables_are_lost(core) ? DRO_NOT_FOUND : DRO_OK;
    else if (err == DRO_OK)
        err = tables_read(core, sealed, sealed_length);
    if (err == DRO_OK)
        stops_settle(core);
    free(keys);
    free(sealed);
    return err;
}

/* ---- as core 0 shows it ---- */

static bool is_known(const core *core, const dro_field *field, uint32_t names)
{
    uint32_t number;
    if (field->tag == HOST_NAME)
        return names < core->host_count;
    if ((field->tag != HOST_DOMAIN && field->tag != HOST_IMAGE) || field->length < 4)
        return false;
    memcpy(&number, field->bytes, 4);
    return field->tag == HOST_DOMAIN ? number < core->domain_count && core->domains[number].is_kept
                                     : number < core->image_count && core->images[number].table != NONE;
}

static void applications_forget(core *core)
{
    for (size_t i = 0; i < CORE_APPLICATIONS_MAX; i++) {
        free(core->applications[i].id);
        free(core->applications[i].domains);
        core->applications[i] = (application){ 0 };
    }
}

/* Only applications and groups change and go; of the rest what is here already stays. */
dro_err host_apply(core *core, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    size_t keys = dro_cursor_le(&in, 4);
    const uint8_t *at = dro_cursor_bytes(&in, keys);
    dro_err err = in.err == DRO_OK ? domain_keys_follow(core, at, keys) : in.err;
    applications_forget(core);
    stops_forget(core);
    budgets_follow_begin(core);
    groups_follow_begin(core);
    dro_field field;
    for (uint32_t names = 0; err == DRO_OK && dro_field_next(&in, &field);) {
        if (!is_known(core, &field, names))
            err = read_field(core, &field);
        names += field.tag == HOST_NAME;
    }
    if (err == DRO_OK) {
        budgets_follow_end(core);
        stops_settle(core);
    }
    if (err == DRO_OK)
        groups_follow_end(core);
    return err == DRO_OK ? in.err : err;
}

void host_free(core *core)
{
    token_keys_free(core);
    stops_free(core);
    budgets_free(core);
    domains_free(core);
    for (uint32_t i = 0; i < core->host_count; i++) {
        duplicates_free(core->hosts[i].seen);
        duplicates_free(core->hosts[i].dump);
        free(core->hosts[i].name);
    }
    for (uint32_t i = 0; i < core->image_count; i++) {
        free(core->images[i].artifact);
        free(core->images[i].model_json);
    }
    for (size_t i = 0; i < sizeof core->applications / sizeof core->applications[0]; i++) {
        free(core->applications[i].id);
        free(core->applications[i].domains);
    }
}
