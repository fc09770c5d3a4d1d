#include "core/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/log.h"

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
    if (disk->replace(disk, name, wasm, length) != 0)
        return DRO_IO;
    file_name(digest, "artifact", name);
    return disk->replace(disk, name, result->artifact, result->artifact_length) == 0 ? DRO_OK : DRO_IO;
}

dro_err image_add(core *core, const uint8_t digest[32], const uint8_t *wasm, size_t length, const admit_result *result,
                  uint32_t *index)
{
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
    SHA256(result->artifact, result->artifact_length, image->artifact_sum);
    image->artifact = malloc(result->artifact_length);
    image->model_json = malloc(result->model_json_length + 1);
    if (image->artifact == NULL || image->model_json == NULL) {
        free(image->artifact);
        free(image->model_json);
        return DRO_NOMEM;
    }
    memcpy(image->artifact, result->artifact, result->artifact_length);
    image->artifact_length = result->artifact_length;
    image->is_ready = true;
    memcpy(image->model_json, result->model_json, result->model_json_length);
    image->model_json_length = result->model_json_length;
    image->table = table;
    *index = core->image_count++;
    err = host_keep(core);
    if (err != DRO_OK) { /* no twin may be made of it */
        core->image_count--;
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
    }
    return err;
}

/* Is the artifact what we wrote, and fit for this engine and processor? */
static bool artifact_load(core *core, image *image)
{
    uint8_t sum[32];
    if (file_read(core, image, "artifact", &image->artifact, &image->artifact_length) != DRO_OK)
        return false;
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

void image_readmitted(core *core, uint32_t index, const admit_result *result)
{
    image *image = index < core->image_count ? &core->images[index] : NULL;
    if (image == NULL || image->table == NONE || image->artifact != NULL)
        return;
    uint8_t *copy = result != NULL && result->reason_count == 0 ? malloc(result->artifact_length) : NULL;
    char name[96];
    file_name(image->digest, "artifact", name);
    disk *disk = core->options.image_disk;
    if (copy == NULL || disk->replace(disk, name, result->artifact, result->artifact_length) != 0) {
        dro_error("image of %s cannot be compiled: %s", image->info.model.name,
                  result != NULL && result->reason_count > 0 ? result->reasons[0] : "see the lines above");
        free(copy);
        return;
    }
    memcpy(copy, result->artifact, result->artifact_length);
    image->artifact = copy;
    image->is_ready = true;
    image->artifact_length = result->artifact_length;
    SHA256(copy, image->artifact_length, image->artifact_sum);
    admit_info info = result->info;
    info.model = image->info.model;
    image->info = info;
    if (host_keep(core) != DRO_OK || tell_supervisor(core) != DRO_OK)
        dro_error("image of %s cannot be given to the cells", image->info.model.name);
}

dro_err images_load(core *core)
{
    for (uint32_t i = 0; i < core->image_count; i++) {
        if (core->images[i].table == NONE || artifact_load(core, &core->images[i]))
            continue;
        dro_err err = readmit(core, i);
        if (err != DRO_OK) {
            dro_error("image of %s \"%s\": restore images/ from a backup", core->images[i].info.model.name, dro_err_text(err));
            return err;
        }
    }
    return tell_supervisor(core);
}
