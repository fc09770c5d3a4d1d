#include "core/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/log.h"
#include "core/host.h"
#include "core/number.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/twin_table.h"

static void file_name(const uint8_t digest[32], const char *suffix, char out[96])
{
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    snprintf(out + 64, 32, ".%s", suffix);
}

static dro_err tell_supervisor(core *core)
{
    const uint8_t *artifacts[CORE_IMAGES_MAX];
    size_t lengths[CORE_IMAGES_MAX];
    for (uint32_t i = 0; i < core->image_count; i++) {
        artifacts[i] = core->images[i].artifact;
        lengths[i] = core->images[i].artifact_length;
    }
    core_supervisor *supervisor = core->options.supervisor;
    return supervisor->images(supervisor, artifacts, lengths, core->image_count);
}

/* Two versions of a model share its table only if it looks the same. */
static bool is_same_table(const model *a, const model *b)
{
    if (a->property_count != b->property_count)
        return false;
    for (uint32_t i = 0; i < a->property_count; i++) {
        const model_property *p = &a->properties[i], *q = &b->properties[i];
        if (strcmp(p->name, q->name) != 0 || p->schema.kind != q->schema.kind || p->is_private != q->is_private ||
            p->schema.length_maximum != q->schema.length_maximum)
            return false;
    }
    return true;
}

static dro_err table_for(core *core, const model *model, uint32_t *table)
{
    *table = NONE;
    for (uint32_t i = 0; i < core->image_count; i++) {
        const image *image = &core->images[i];
        if (image->table == NONE || strcmp(image->info.model.name, model->name) != 0)
            continue;
        if (!is_same_table(&image->info.model, model))
            return DRO_EXISTS;
        *table = image->table;
    }
    return *table != NONE ? DRO_OK : columns_table_add(core->columns, model, table);
}

dro_err image_table(core *core, uint32_t index)
{
    uint32_t table;
    dro_err err = table_for(core, &core->images[index].info.model, &table);
    if (err == DRO_OK)
        core->images[index].table = table;
    return err;
}

static dro_err keep_files(core *core, const uint8_t digest[32], const uint8_t *wasm, size_t length, const admit_result *result)
{
    disk *disk = core->options.image_disk;
    char name[96];
    file_name(digest, "wasm", name);
    int error = disk->replace(disk, name, wasm, length);
    if (error == 0) {
        file_name(digest, "artifact", name);
        error = disk->replace(disk, name, result->artifact, result->artifact_length);
    }
    return disk_err(error);
}

/* The artifact of an image that is kept, for the cells and in the host's table. */
static dro_err artifact_take(image *image, const admit_result *result)
{
    uint8_t *copy = malloc(result->artifact_length);
    if (copy == NULL)
        return DRO_NOMEM;
    memcpy(copy, result->artifact, result->artifact_length);
    free(image->artifact);
    image->artifact = copy;
    image->artifact_length = result->artifact_length;
    SHA256(copy, image->artifact_length, image->artifact_sum);
    admit_info info = result->info;
    info.model = image->info.model; /* the one its twins' rows were made by */
    image->info = info;
    image->is_ready = true;
    return DRO_OK;
}

/* Its twins' timers stood still. */
void image_revive(core *core, uint32_t index)
{
    if (!core->images[index].is_broken)
        return;
    core->images[index].is_broken = false;
    for (uint32_t i = 0; i < core->twin_high; i++)
        if (twin_at(core, i)->number != 0 && twin_at(core, i)->image == index && timers_update(core, i) != DRO_OK)
            dro_error("timers: out of memory");
}

static void image_break(core *core, uint32_t index, const char *why)
{
    core->images[index].is_broken = true;
    if (host_show(core) != DRO_OK)
        dro_error("the other cores do not know it");
    dro_error("image of %s cannot be run: %s. Push it again or restore images/ from a backup; until then nothing is taken for its twins",
              core->images[index].info.model.name, why);
}

uint32_t image_find(const core *core, const uint8_t digest[32])
{
    for (uint32_t i = 0; i < core->image_count; i++)
        if (core->images[i].table != NONE && memcmp(core->images[i].digest, digest, 32) == 0)
            return i;
    return NONE;
}

/* It is here, but could not be run any more: its files and artifact anew. */
static dro_err image_mend(core *core, uint32_t index, const uint8_t *wasm, size_t length, const admit_result *result)
{
    image *image = &core->images[index];
    if (image->artifact != NULL)
        return DRO_OK;
    dro_err err = keep_files(core, image->digest, wasm, length, result);
    if (err == DRO_OK)
        err = artifact_take(image, result);
    if (err == DRO_OK)
        err = host_keep(core);
    if (err == DRO_OK)
        err = tell_supervisor(core);
    if (err == DRO_OK) {
        image_revive(core, index);
        err = host_show(core);
    }
    return err;
}

dro_err image_add(core *core, const uint8_t digest[32], const uint8_t *wasm, size_t length, const admit_result *result,
                  uint32_t *index)
{
    *index = image_find(core, digest);
    if (*index != NONE)
        return image_mend(core, *index, wasm, length, result);
    if (core->image_count >= CORE_IMAGES_MAX)
        return DRO_LIMIT;
    uint32_t table;
    dro_err err = table_for(core, &result->info.model, &table);
    if (err == DRO_OK)
        err = keep_files(core, digest, wasm, length, result);
    if (err != DRO_OK)
        return err;
    image *image = &core->images[core->image_count];
    *image = (struct image){ .table = NONE, .info = result->info };
    memcpy(image->digest, digest, 32);
    image->model_json = malloc(result->model_json_length + 1);
    err = image->model_json != NULL ? artifact_take(image, result) : DRO_NOMEM;
    if (err == DRO_OK) {
        memcpy(image->model_json, result->model_json, result->model_json_length);
        image->model_json_length = result->model_json_length;
        image->table = table;
        *index = core->image_count++;
        err = host_keep(core);
        core->image_count -= err != DRO_OK;
    }
    if (err != DRO_OK) { /* no twin may be made of it */
        free(image->artifact);
        free(image->model_json);
        *image = (struct image){ .table = NONE };
        return err;
    }
    return tell_supervisor(core);
}

static dro_err file_read(core *core, const image *image, const char *suffix, uint8_t **bytes, size_t *length)
{
    disk *disk = core->options.image_disk;
    char name[96];
    file_name(image->digest, suffix, name);
    int file = disk->open(disk, name, 0);
    int64_t size = file < 0 ? -1 : disk->size(disk, file);
    *bytes = size > 0 ? malloc((size_t)size) : NULL;
    *length = size > 0 ? (size_t)size : 0;
    dro_err err = *bytes != NULL && disk->read(disk, file, 0, *bytes, *length) == size ? DRO_OK : DRO_IO;
    if (file >= 0)
        disk->close(disk, file);
    if (err != DRO_OK) {
        free(*bytes);
        *bytes = NULL;
        *length = 0;
    }
    return err;
}

static bool file_is_there(core *core, const image *image, const char *suffix)
{
    disk *disk = core->options.image_disk;
    char name[96];
    file_name(image->digest, suffix, name);
    int file = disk->open(disk, name, 0);
    if (file >= 0)
        disk->close(disk, file);
    return file >= 0;
}

/* Is the artifact what we wrote, and fit for this engine and processor? Else it says what it is. */
static bool artifact_load(core *core, image *image)
{
    uint8_t sum[32];
    if (file_read(core, image, "artifact", &image->artifact, &image->artifact_length) != DRO_OK) {
        dro_info("image of %s: %s", image->info.model.name, file_is_there(core, image, "artifact")
                 ? "the code kept of it cannot be read" : "no code is kept of it, as after a restore: a backup has none");
        return false;
    }
    SHA256(image->artifact, image->artifact_length, sum);
    core_supervisor *supervisor = core->options.supervisor;
    if (memcmp(sum, image->artifact_sum, 32) == 0 &&
        supervisor->artifact_is_current(supervisor, image->artifact, image->artifact_length)) {
        image->is_ready = true;
        return true;
    }
    free(image->artifact);
    image->artifact = NULL;
    image->artifact_length = 0;
    dro_info("image of %s: the code kept of it is of another engine or processor, or damaged", image->info.model.name);
    return false;
}

static dro_err readmit(core *core, uint32_t index)
{
    uint8_t *wasm, digest[32];
    size_t length;
    dro_err err = file_read(core, &core->images[index], "wasm", &wasm, &length);
    if (err != DRO_OK)
        return err;
    SHA256(wasm, length, digest);
    core_supervisor *supervisor = core->options.supervisor;
    dro_info("image of %s is compiled anew", core->images[index].info.model.name);
    err = memcmp(digest, core->images[index].digest, 32) == 0 ? supervisor->admit(supervisor, READMIT + index, wasm, length) : DRO_CORRUPT;
    free(wasm);
    return err;
}

/* One after the other, so that a new engine does not compile all images at once. */
static void readmit_more(core *core)
{
    for (; core->readmit_next < core->image_count && core->readmits < READMITS_MAX; core->readmit_next++) {
        uint32_t index = core->readmit_next;
        if (core->images[index].table == NONE || core->images[index].artifact != NULL)
            continue;
        dro_err err = readmit(core, index);
        if (err == DRO_OK)
            core->readmits++;
        else
            image_break(core, index, dro_err_text(err));
    }
}

void image_readmitted(core *core, uint32_t index, const admit_result *result)
{
    image *image = index < core->image_count ? &core->images[index] : NULL;
    if (core->readmits > 0)
        core->readmits--;
    readmit_more(core);
    if (image == NULL || image->table == NONE || image->artifact != NULL)
        return;
    char name[96];
    file_name(image->digest, "artifact", name);
    disk *disk = core->options.image_disk;
    bool is_good = result != NULL && result->reason_count == 0;
    if (!is_good || disk->replace(disk, name, result->artifact, result->artifact_length) != 0 || artifact_take(image, result) != DRO_OK) {
        image_break(core, index, result != NULL && result->reason_count > 0 ? result->reasons[0] : "see the lines above");
        return;
    }
    if (host_keep(core) != DRO_OK || tell_supervisor(core) != DRO_OK)
        dro_error("image of %s cannot be given to the cells", image->info.model.name);
}

/* ---- what an interrupted push left ---- */

enum { LEFT_MAX = 64 }; /* removed at one start */
typedef struct left_files { const core *core; char *names[LEFT_MAX]; uint32_t count; } left_files;

/* Ours by its name, and of no image that is kept; or a file that was being replaced. */
static bool is_left(const core *core, const char *name)
{
    uint8_t digest[32];
    bool is_new = name[0] == '.';
    const char *end = name + is_new;
    for (int i = 0; i < 32; i++, end += 2) {
        unsigned byte;
        if (strspn(end, "0123456789abcdef") < 2 || sscanf(end, "%2x", &byte) != 1)
            return false;
        digest[i] = (uint8_t)byte;
    }
    if (is_new)
        return strcmp(end, ".wasm.new") == 0 || strcmp(end, ".artifact.new") == 0;
    return (strcmp(end, ".wasm") == 0 || strcmp(end, ".artifact") == 0) && image_find(core, digest) == NONE;
}

static void on_file(void *context, const char *name)
{
    left_files *left = context;
    if (left->count < LEFT_MAX && is_left(left->core, name) && (left->names[left->count] = strdup(name)) != NULL)
        left->count++;
}

static void left_remove(core *core)
{
    left_files left = { .core = core };
    disk *disk = core->options.image_disk;
    if (disk->list(disk, on_file, &left) != 0)
        dro_warn("images/ cannot be listed");
    for (uint32_t i = 0; i < left.count; i++) {
        if (disk->remove(disk, left.names[i]) == 0)
            dro_info("images/%s removed: of no image that is kept", left.names[i]);
        free(left.names[i]);
    }
}

dro_err images_load(core *core)
{
    left_remove(core);
    for (uint32_t i = 0; i < core->image_count; i++)
        if (core->images[i].table != NONE)
            (void)artifact_load(core, &core->images[i]);
    readmit_more(core);
    return tell_supervisor(core);
}
