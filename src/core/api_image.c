/* Images: pushed in parts, looked at by admit, kept as files, given to the cells. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/log.h"
#include "core/call.h"
#include "core/host.h"
#include "core/images.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/tell.h"

enum { UPLOADS_MAX = 8 };

typedef struct upload {
    bool is_used, is_admitting;
    caller caller;
    uint8_t digest[32];
    uint8_t *bytes;
    size_t length;
    int64_t heard_ns;
} upload;

struct upload_table { upload uploads[UPLOADS_MAX]; };

static void digest_text(const uint8_t digest[32], char out[72])
{
    memcpy(out, "sha256:", 8);
    for (int i = 0; i < 32; i++)
        snprintf(out + 7 + 2 * i, 3, "%02x", digest[i]);
}

static upload *upload_get(core *core, caller caller)
{
    enum { ABANDONED_S = 60 };
    if (core->uploads == NULL)
        core->uploads = calloc(1, sizeof *core->uploads);
    if (core->uploads == NULL)
        return NULL;
    upload *free_one = NULL;
    for (int i = 0; i < UPLOADS_MAX; i++) {
        upload *u = &core->uploads->uploads[i];
        if (u->is_used && !u->is_admitting && u->caller.gate == caller.gate && u->caller.id == caller.id)
            return u;
        bool is_abandoned = u->is_used && !u->is_admitting && core->now_ns - u->heard_ns > ABANDONED_S * 1000000000ll;
        if (!u->is_used || is_abandoned)
            free_one = u;
    }
    if (free_one != NULL) {
        free(free_one->bytes);
        *free_one = (upload){ .is_used = true, .caller = caller };
    }
    return free_one;
}

static void upload_free(upload *upload)
{
    free(upload->bytes);
    *upload = (struct upload){ 0 };
}

static void image_json(const core *core, const image *image, dro_builder *out)
{
    uint32_t index = (uint32_t)(image - core->images);
    uint64_t twins = image->twins + (core->count > 1 ? board_counted_twins(&core->board, index) : 0);
    char digest[72];
    digest_text(image->digest, digest);
    json_put(out, "{\"image\":\"%s\",\"model\":", digest);
    json_string(out, image->info.model.name);
    dro_builder_text(out, ",\"version\":");
    json_string(out, image->info.model.version);
    json_put(out, ",\"twins\":%llu,\"memory\":%u,\"exact_memory\":%s,\"fresh_instances\":%s,\"computes\":%s,\"imports\":[",
             (unsigned long long)twins, image->info.memory_bytes, image->info.is_exact ? "true" : "false",
             image->info.is_fresh ? "true" : "false", image->info.exports & ADMIT_EXPORTS_COMPUTE ? "true" : "false");
    for (int i = 0; i < image->info.import_count; i++) {
        dro_builder_text(out, i > 0 ? "," : "");
        json_string(out, image->info.imports[i]);
    }
    dro_builder_text(out, "]");
    const stop *stop = stop_of_image(core, index);
    if (stop != NULL) {
        json_put(out, ",\"quarantined\":{\"by\":\"%s\",\"reason\":", stop->is_automatic ? "host" : "operator");
        json_string(out, stop->reason);
        dro_builder_text(out, ",\"since\":");
        json_time(out, stop->since_ms);
        dro_builder_text(out, "}");
    }
    dro_builder_text(out, ",\"budget\":");
    budget_put(core, index, out);
    dro_builder_text(out, "}");
}

static void answer(core *core, caller caller, uint16_t status, const image *image)
{
    char digest[72], location[100];
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    digest_text(image->digest, digest);
    snprintf(location, sizeof location, "/v1/images/%s", digest);
    json_put(&out, "{\"image\":\"%s\",\"model\":", digest);
    json_string(&out, image->info.model.name);
    dro_builder_text(&out, ",\"version\":");
    json_string(&out, image->info.model.version);
    dro_builder_text(&out, "}");
    reply reply = { .status = status, .content = CONTENT_JSON, .etag = UINT64_MAX, .location = location };
    tell_reply(core, caller, &reply, core->scratch, dro_builder_length(&out));
}

/* The log names images by their place in the table, and a log reaches far back: no place is given twice. */
static void refuse_more(core *core, caller caller)
{
    tell_problem(core, caller, 507, "too_many_images", "%d images are kept, as many as there can be on a host; none can be removed in this version",
                 CORE_IMAGES_MAX);
}

void api_image_put(core *core, const call *call)
{
    upload *upload = upload_get(core, call->caller);
    if (upload == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "%d images are being pushed already", UPLOADS_MAX);
        return;
    }
    upload->heard_ns = core->now_ns;
    if (upload->length + call->body_length > ADMIT_WASM_MAX) {
        upload_free(upload);
        tell_problem(core, call->caller, 413, "about:blank", "an image has at most %d bytes", ADMIT_WASM_MAX);
        return;
    }
    uint8_t *bytes = realloc(upload->bytes, upload->length + call->body_length + 1);
    if (bytes == NULL) {
        upload_free(upload);
        tell_problem(core, call->caller, 503, "about:blank", "out of memory");
        return;
    }
    upload->bytes = bytes;
    if (call->body_length > 0)
        memcpy(bytes + upload->length, call->body, call->body_length);
    upload->length += call->body_length;
    if (!call->is_last)
        return;
    SHA256(upload->bytes, upload->length, upload->digest);
    uint32_t known = image_find(core, upload->digest);
    if (known != NONE && !core->images[known].is_broken) {
        upload_free(upload);
        answer(core, call->caller, 200, &core->images[known]);
        return;
    }
    if (known == NONE && core->image_count >= CORE_IMAGES_MAX) {
        upload_free(upload);
        refuse_more(core, call->caller);
        return;
    }
    upload->is_admitting = true;
    core_supervisor *supervisor = core->options.supervisor;
    uint64_t id = (uint64_t)(upload - core->uploads->uploads) + 1;
    if (supervisor->admit(supervisor, id, upload->bytes, upload->length) != DRO_OK) {
        upload_free(upload);
        tell_problem(core, call->caller, 503, "about:blank", "the image could not be looked at");
    }
}

static void refuse(core *core, const upload *upload, const admit_result *result)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    json_put(&out, "{\"type\":\"image_rejected\",\"title\":\"Image rejected\",\"status\":422,\"detail\":\"%u reason%s\",\"reasons\":[",
             result->reason_count, result->reason_count == 1 ? "" : "s");
    for (uint32_t i = 0; i < result->reason_count && i < ADMIT_REASONS_MAX; i++) {
        dro_builder_text(&out, i > 0 ? "," : "");
        json_string(&out, result->reasons[i]);
    }
    dro_builder_text(&out, "]}");
    reply reply = { .status = 422, .content = CONTENT_PROBLEM, .etag = UINT64_MAX };
    tell_reply(core, upload->caller, &reply, core->scratch, dro_builder_length(&out));
}

void core_admitted(core *core, uint64_t id, const admit_result *result)
{
    if (id >= READMIT) {
        image_readmitted(core, (uint32_t)id - READMIT, result);
        return;
    }
    upload *upload = core->uploads != NULL && id >= 1 && id <= UPLOADS_MAX ? &core->uploads->uploads[id - 1] : NULL;
    if (upload == NULL || !upload->is_admitting)
        return;
    uint32_t index = NONE;
    if (result == NULL) {
        tell_problem(core, upload->caller, 503, "about:blank", "the image could not be looked at");
    } else if (result->reason_count > 0) {
        refuse(core, upload, result);
    } else {
        bool is_new = image_find(core, upload->digest) == NONE;
        dro_err err = image_add(core, upload->digest, upload->bytes, upload->length, result, &index);
        if (err == DRO_LIMIT && core->image_count >= CORE_IMAGES_MAX)
            refuse_more(core, upload->caller);
        else if (err == DRO_EXISTS)
            tell_problem(core, upload->caller, 409, "model_change", "a model %s with other properties is here already", result->info.model.name);
        else if (err != DRO_OK)
            tell_problem(core, upload->caller, 503, "about:blank", "the image could not be kept: %s", dro_err_text(err));
        else
            answer(core, upload->caller, is_new ? 201 : 200, &core->images[index]);
    }
    upload_free(upload);
}

void uploads_gate_lost(core *core, uint32_t gate)
{
    for (int i = 0; core->uploads != NULL && i < UPLOADS_MAX; i++) {
        upload *upload = &core->uploads->uploads[i];
        if (upload->caller.gate != gate || !upload->is_used)
            continue;
        if (upload->is_admitting)
            upload->caller.gate = NONE; /* kept all the same */
        else
            upload_free(upload);
    }
}

void uploads_free(core *core)
{
    for (int i = 0; core->uploads != NULL && i < UPLOADS_MAX; i++)
        free(core->uploads->uploads[i].bytes);
    free(core->uploads);
    core->uploads = NULL;
}

void api_image_list(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    bool is_first = true;
    dro_builder_text(&out, "{\"images\":[");
    for (uint32_t i = 0; i < core->image_count; i++) {
        if (core->images[i].table == NONE)
            continue;
        dro_builder_text(&out, is_first ? "" : ",");
        image_json(core, &core->images[i], &out);
        is_first = false;
    }
    dro_builder_text(&out, "]}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void api_image_get(core *core, const call *call)
{
    for (uint32_t i = 0; call->image != NULL && i < core->image_count; i++) {
        const image *image = &core->images[i];
        if (image->table == NONE || memcmp(image->digest, call->image, 32) != 0)
            continue;
        dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
        image_json(core, image, &out);
        out.at--; /* the model behind the rest */
        dro_builder_text(&out, ",\"thing_model\":");
        dro_builder_bytes(&out, image->model_json, image->model_json_length);
        dro_builder_text(&out, "}");
        call_reply(core, call, 200, UINT64_MAX, NULL, &out);
        return;
    }
    tell_problem(core, call->caller, 404, "about:blank", "no such image is here");
}
