/* Names over several cores: an id, alias, IMSI or MSISDN is claimed in the directory before the
 * record that binds it, and given up once the record that unbinds it is durable: else a power cut
 * could leave it to two twins. With one core all of this does nothing. */
#include "core/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/backup.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/twin_table.h"
#include "twin/imsi_range.h"

/* Where its hash says, if that is this core's; else in one of its own: the directory finds it anywhere. */
uint32_t partition_new(const core *core, const char *id, size_t length)
{
    uint32_t partition = directory_partition_keyed(core->directory_key, DIRECTORY_ID, id, length);
    while (!core_owns(core, partition))
        partition = (partition + DIRECTORY_PARTITIONS / DIRECTORY_GROUPS) % DIRECTORY_PARTITIONS;
    return partition;
}

dro_err name_claim(core *core, directory_kind kind, const char *text, size_t length, uint32_t partition)
{
    return core->count == 1 ? DRO_OK : directory_claim(&core->options.directory, kind, text, length, partition);
}

/* ---- giving up ---- */

void name_release(core *core, directory_kind kind, const char *text, size_t length)
{
    if (core->count == 1 || !core->is_started)
        return;
    release *late = malloc(sizeof *late + length + 1);
    if (late == NULL) {
        dro_error("names: out of memory; one stays bound until the next start");
        return;
    }
    *late = (release){ .round = record_is_open(core) ? ROUND_NEVER : core->round_last, .kind = kind, .length = (uint32_t)length };
    memcpy(late->text, text, length);
    late->text[length] = '\0';
    if (core->releases == NULL)
        core->releases = late;
    else
        core->release_last->next = late;
    core->release_last = late;
}

static void release_free(release *late)
{
    dro_wipe(late->text, late->length);
    free(late);
}

/* Another twin of this core may have taken it meanwhile, or the same one never gave it up. */
static bool is_held(core *core, const release *late)
{
    switch ((directory_kind)late->kind) {
    case DIRECTORY_ID: return twin_find(core, late->text, late->length) != NONE;
    case DIRECTORY_IMSI: return twin_find_imsi(core, late->text) != NONE;
    case DIRECTORY_MSISDN: return twin_find_msisdn(core, late->text) != NONE;
    }
    return false;
}

static uint32_t own_partition(const core *core)
{
    uint32_t partition = 0;
    while (!core_owns(core, partition))
        partition += DIRECTORY_PARTITIONS / DIRECTORY_GROUPS;
    return partition;
}

void names_recorded(core *core, uint64_t round)
{
    for (release *late = core->releases; late != NULL; late = late->next)
        if (late->round == ROUND_NEVER)
            late->round = round;
}

void names_flush(core *core)
{
    while (core->releases != NULL && !backup_holds_names(core) && (core->releases->round <= core->round_told || core->options.no_log)) {
        release *late = core->releases;
        core->releases = late->next;
        if (!is_held(core, late))
            directory_release(&core->options.directory, (directory_kind)late->kind, late->text, late->length, own_partition(core));
        release_free(late);
    }
}

bool twin_is_of_peer(const core *core, uint32_t index, const uint8_t *fields, size_t length)
{
    const twin *twin = twin_at(core, index);
    char digits[16] = "";
    bool is_limited = false, is_in = false;
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    imsi_range range;
    while (dro_field_next(&in, &field)) {
        if (field.tag != API_FIELD_PEER_IMSIS)
            continue;
        if (!is_limited && twin->flags & TWIN_HAS_IMSI && vault_identity_open(core->vault, twin->number, twin->imsi, digits) != DRO_OK)
            digits[0] = '\0';
        is_limited = true;
        is_in |= imsi_range_read(&range, (const char *)field.bytes, field.length) && imsi_range_has(&range, digits);
    }
    dro_wipe(digits, sizeof digits);
    return !is_limited || is_in;
}

static void number_each(core *core, const twin *twin, void (*each)(struct core *, directory_kind, const char *, size_t, const struct twin *))
{
    char digits[16];
    if (twin->flags & TWIN_HAS_IMSI && vault_identity_open(core->vault, twin->number, twin->imsi, digits) == DRO_OK)
        each(core, DIRECTORY_IMSI, digits, strlen(digits), twin);
    if (twin->flags & TWIN_HAS_MSISDN && vault_identity_open(core->vault, twin->number, twin->msisdn, digits) == DRO_OK)
        each(core, DIRECTORY_MSISDN, digits, strlen(digits), twin);
    dro_wipe(digits, sizeof digits);
}

static void name_each(core *core, const twin *twin, void (*each)(struct core *, directory_kind, const char *, size_t, const struct twin *))
{
    size_t length;
    const char *id = twin_id(core, twin, &length);
    if (id != NULL)
        each(core, DIRECTORY_ID, id, length, twin);
    for (int i = 0; twin->extra != NULL && i < twin->extra->alias_count; i++)
        each(core, DIRECTORY_ID, twin->extra->aliases[i], strlen(twin->extra->aliases[i]), twin);
    number_each(core, twin, each);
}

static void release_one(core *core, directory_kind kind, const char *text, size_t length, const twin *twin)
{
    (void)twin;
    name_release(core, kind, text, length);
}

void names_release_twin(core *core, const twin *twin)
{
    if (core->count > 1 && core->is_started)
        name_each(core, twin, release_one);
}

/* ---- after recovery ---- */

static void enter_one(core *core, directory_kind kind, const char *text, size_t length, const twin *twin)
{
    static const char *const kinds[] = { "an id", "an IMSI", "an MSISDN" };
    dro_err err = directory_claim(&core->options.directory, kind, text, length, twin_partition(twin));
    if (err != DRO_OK) /* identities are not printed */
        dro_error("%s of a twin of core %u cannot be entered: \"%s\"", kinds[kind], core->index,
                  err == DRO_EXISTS ? "a twin of another core has it too; remove one of them" : dro_err_text(err));
}

void names_enter(core *core)
{
    if (core->count == 1)
        return;
    for (uint32_t i = 0; i < core->twin_high; i++)
        if (twin_at(core, i)->number != 0)
            name_each(core, twin_at(core, i), enter_one);
}

void names_free(core *core)
{
    while (core->releases != NULL) {
        release *next = core->releases->next;
        release_free(core->releases);
        core->releases = next;
    }
}

bool names_have(const dro_builder *names, const char *name)
{
    for (const char *at = (const char *)names->start; at < (const char *)names->at; at += strlen(at) + 1)
        if (strcmp(at, name) == 0)
            return true;
    return false;
}
