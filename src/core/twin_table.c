/* The table of twins and the ways to find one. */
#include "core/twin_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pages.h"
#include "base/wipe.h"
#include "core/checkpoint.h"
#include "core/cold.h"
#include "core/conduct.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/nidd.h"
#include "core/rate.h"
#include "core/rds_ports.h"
#include "core/number.h"
#include "core/schedule.h"
#include "core/serving.h"
#include "core/state.h"
#include "core/timers.h"
#include "core/turn.h"

/* Chunks are made as many as lie in a batch; a host of few twins has no use for huge pages. */
enum {
    BATCH_CHUNKS = 16,
    BATCH_BYTES = BATCH_CHUNKS * TWIN_CHUNK * sizeof(twin),
    MANY = 4 * BATCH_CHUNKS,     /* from here on a whole batch more is little */
};

static dro_err table_grow(core *core)
{
    if (core->chunk_count >= CORE_TWINS_MAX / TWIN_CHUNK)
        return DRO_LIMIT;
    twin **chunks = realloc(core->chunks, (core->chunk_count + BATCH_CHUNKS) * sizeof *chunks);
    if (chunks == NULL)
        return DRO_NOMEM;
    core->chunks = chunks;
    twin *batch = dro_pages_new(BATCH_BYTES);
    if (batch == NULL)
        return DRO_NOMEM;
    if (core->chunk_count > 0)
        dro_pages_huge(batch, BATCH_BYTES);
    if (core->chunk_count >= MANY) /* its beginning is touched at once */
        dro_pages_soon((uint8_t *)batch + DRO_PAGES_HUGE, BATCH_BYTES - DRO_PAGES_HUGE);
    for (int i = 0; i < BATCH_CHUNKS; i++)
        chunks[core->chunk_count++] = batch + i * TWIN_CHUNK;
    return DRO_OK;
}

void twins_free(core *core)
{
    for (uint32_t i = 0; i < core->chunk_count; i += BATCH_CHUNKS)
        dro_pages_free(core->chunks[i], BATCH_BYTES);
    free(core->chunks);
}

dro_err twin_new(core *core, uint32_t *index)
{
    if (core->twin_free != NONE) {
        *index = core->twin_free;
        core->twin_free = twin_at(core, *index)->row;
    } else {
        if (core->twin_high == core->chunk_count * TWIN_CHUNK) {
            dro_err err = table_grow(core);
            if (err != DRO_OK)
                return err;
        }
        *index = core->twin_high++;
    }
    twin *twin = twin_at(core, *index);
    memset(twin, 0, sizeof *twin);
    twin->row = twin->table = twin->image = twin->domain = NONE;
    twin->connection.host = twin->connection.realm = NONE16;
    twin->last_contact_ms = twin->next_contact_ms = COLUMNS_NEVER;
    core->twin_count++;
    return DRO_OK;
}

void ticket_free(ticket *ticket)
{
    free(ticket);
}

/* What else is in it is gone already. */
static void extra_release(twin *twin)
{
    for (int i = 0; i < twin->extra->alias_count; i++)
        free(twin->extra->aliases[i]);
    free(twin->extra->aliases);
    free(twin->extra->timers);
    free(twin->extra);
    twin->extra = NULL;
}

static void extra_free(core *core, uint32_t index, twin *twin)
{
    twin_extra *extra = twin->extra;
    if (extra == NULL) {
        nidd_free(core, index);
        return;
    }
    core->mail_count -= extra->mail_count;
    int64_t bytes = 0;
    while (extra->mail != NULL) {
        mail *next = extra->mail->next;
        bytes += (int64_t)sizeof *next + extra->mail->length;
        free(extra->mail);
        extra->mail = next;
    }
    queue_changed(core, index, -bytes);
    while (extra->tickets != NULL) {
        ticket *next = extra->tickets->next;
        ticket_free(extra->tickets);
        extra->tickets = next;
    }
    while (extra->deferred != NULL) {
        deferred *next = extra->deferred->next;
        dro_wipe(extra->deferred->body, extra->deferred->length);
        free(extra->deferred);
        extra->deferred = next;
    }
    for (int i = 0; i < extra->alias_count; i++)
        index_remove(&core->ids, id_hash(core, extra->aliases[i], strlen(extra->aliases[i])), index);
    nidd_free(core, index);
    queue_free(core, index);
    rates_free(twin);
    rds_free(twin);
    schedule_free(core, index);
    rds_ports_free(twin);
    penalty_free(twin);
    free(extra->creating_id);
    extra_release(twin);
}

static void domain_leave(core *core, const twin *twin)
{
    rotation_twin_gone(core, twin);
    domain_twins_add(core, twin->domain, -1);
}

void twin_free(core *core, uint32_t index)
{
    twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    budget_forget(core, index);
    names_release_twin(core, twin);
    if (id != NULL)
        index_remove(&core->ids, id_hash(core, id, length), index);
    if (twin->flags & TWIN_HAS_IMSI)
        index_remove(&core->imsis, twin->imsi_hash, index);
    if (twin->flags & TWIN_HAS_MSISDN)
        index_remove(&core->msisdns, twin->msisdn_hash, index);
    if (twin->number != 0)
        index_remove(&core->numbers, dro_hash_mix(twin->number, core->hash_key), index);
    groups_leave_all(core, index);
    serving_end(core, twin);
    extra_free(core, index, twin);
    timers_remove(core, index);
    if (twin->row != NONE)
        columns_row_remove(core->columns, twin->table, twin->row);
    if (twin->row != NONE && twin->image != NONE)
        core->images[twin->image].twins--;
    if (twin->domain != NONE && twin->row != NONE)
        domain_leave(core, twin);
    context_forget(core, twin);
    base_move(core, twin, 0);
    memset(twin, 0, sizeof *twin);
    twin->row = core->twin_free;
    core->twin_free = index;
    core->twin_count--;
}

/* ---- after recovery ---- */

/* Entries on their way into an index: their places are fetched into the cache meanwhile. */
typedef struct entering {
    struct entry { index_table *ways; uint64_t hash; uint32_t index; } waiting[16];
    uint32_t count; /* so far */
} entering;
enum { ENTERING_MAX = sizeof((entering *)NULL)->waiting / sizeof(struct entry) };

static dro_err enter_oldest(entering *entering, uint32_t number)
{
    const struct entry *oldest = &entering->waiting[number % ENTERING_MAX];
    return index_add(oldest->ways, oldest->hash, oldest->index);
}

static dro_err enter(entering *entering, index_table *ways, uint64_t hash, uint32_t index)
{
    dro_err err = entering->count >= ENTERING_MAX ? enter_oldest(entering, entering->count) : DRO_OK;
    index_prefetch(ways, hash);
    entering->waiting[entering->count++ % ENTERING_MAX] = (struct entry){ ways, hash, index };
    return err;
}

static dro_err enter_all(entering *entering)
{
    dro_err err = DRO_OK;
    for (uint32_t left = entering->count < ENTERING_MAX ? entering->count : ENTERING_MAX; left > 0 && err == DRO_OK; left--)
        err = enter_oldest(entering, entering->count - left);
    return err;
}

static dro_err enter_twin(core *core, entering *entering, uint32_t index)
{
    const twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_err err = id != NULL ? enter(entering, &core->ids, id_hash(core, id, length), index) : DRO_OK;
    if (err == DRO_OK && twin->flags & TWIN_HAS_IMSI)
        err = enter(entering, &core->imsis, twin->imsi_hash, index);
    if (err == DRO_OK && twin->flags & TWIN_HAS_MSISDN)
        err = enter(entering, &core->msisdns, twin->msisdn_hash, index);
    for (int i = 0; twin->extra != NULL && i < twin->extra->alias_count && err == DRO_OK; i++)
        err = enter(entering, &core->ids, id_hash(core, twin->extra->aliases[i], strlen(twin->extra->aliases[i])), index);
    return err;
}

static uint32_t twins_with(const core *core, uint8_t flag)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->twin_high; i++)
        count += (twin_at(core, i)->flags & flag) != 0;
    return count;
}

dro_err twins_index(core *core)
{
    entering entering = { .count = 0 };
    dro_err err = DRO_OK;
    index_reserve(&core->ids, core->twin_count);
    index_reserve(&core->imsis, twins_with(core, TWIN_HAS_IMSI));
    for (uint32_t i = 0; i < core->twin_high && err == DRO_OK; i++)
        if (twin_at(core, i)->number != 0)
            err = enter_twin(core, &entering, i);
    return err == DRO_OK ? enter_all(&entering) : err;
}

uint64_t id_hash(const core *core, const char *id, size_t length)
{
    return dro_hash(core->hash_key, id, length);
}

const char *twin_id(const core *core, const twin *twin, size_t *length)
{
    if (twin->row != NONE)
        return columns_id_get(core->columns, twin->table, twin->row, length);
    if (twin->extra == NULL || twin->extra->creating_id == NULL)
        return NULL;
    *length = strlen(twin->extra->creating_id);
    return twin->extra->creating_id;
}

static bool is_called(const core *core, const twin *twin, const char *id, size_t length)
{
    size_t own_length = 0;
    const char *own = twin_id(core, twin, &own_length);
    if (own != NULL && own_length == length && memcmp(own, id, length) == 0)
        return true;
    for (int i = 0; twin->extra != NULL && i < twin->extra->alias_count; i++)
        if (strlen(twin->extra->aliases[i]) == length && memcmp(twin->extra->aliases[i], id, length) == 0)
            return true;
    return false;
}

uint32_t twin_find(const core *core, const char *id, size_t length)
{
    index_probe probe = index_begin(id_hash(core, id, length));
    uint32_t index;
    while (index_next(&core->ids, &probe, &index))
        if (is_called(core, twin_at(core, index), id, length))
            return index;
    return NONE;
}

uint64_t imsi_hash(core *core, const char *imsi)
{
    uint64_t hash[2];
    vault_identity_hash(core->vault, "imsi", imsi, strlen(imsi), hash);
    return hash[0];
}

void imsi_hashes(core *core, const char *const imsis[], uint32_t count, uint64_t hashes[])
{
    uint64_t whole[VAULT_IDENTITIES_MAX][2];
    vault_identity_hashes(core->vault, "imsi", imsis, count, whole);
    for (uint32_t i = 0; i < count; i++)
        hashes[i] = whole[i][0];
}

uint32_t twin_find_imsi_hash(const core *core, uint64_t hash)
{
    index_probe probe = index_begin(hash);
    uint32_t index;
    while (index_next(&core->imsis, &probe, &index))
        if (twin_at(core, index)->imsi_hash == hash)
            return index;
    return NONE;
}

uint32_t twin_find_imsi(core *core, const char *imsi)
{
    return twin_find_imsi_hash(core, imsi_hash(core, imsi));
}

uint32_t twin_find_msisdn(core *core, const char *msisdn)
{
    uint64_t hash[2];
    vault_identity_hash(core->vault, "msisdn", msisdn, strlen(msisdn), hash);
    index_probe probe = index_begin(hash[0]);
    uint32_t index;
    while (index_next(&core->msisdns, &probe, &index))
        if (twin_at(core, index)->msisdn_hash == hash[0])
            return index;
    return NONE;
}

uint32_t twin_find_number(const core *core, uint64_t number)
{
    index_probe probe = index_begin(dro_hash_mix(number, core->hash_key));
    uint32_t index;
    while (index_next(&core->numbers, &probe, &index))
        if (twin_at(core, index)->number == number)
            return index;
    return NONE;
}

twin_extra *twin_extra_get(twin *twin)
{
    if (twin->extra == NULL)
        twin->extra = calloc(1, sizeof *twin->extra);
    return twin->extra;
}

void twin_extra_trim(twin *twin)
{
    const twin_extra *extra = twin->extra;
    if (extra == NULL || extra->mail != NULL || extra->tickets != NULL || extra->deferred != NULL ||
        extra->creating_id != NULL || extra->queue.bytes > 0 || extra->timer_count > 0 || extra->alias_count > 0 ||
        extra->queue.chunk_count > 0 || extra->queue.unplaced > 0 || extra->rates != NULL || extra->rds != NULL || extra->rds_ports != NULL || extra->schedule != NULL ||
        extra->penalty != NULL)
        return;
    extra_release(twin);
}

/* What a twin without code shows: nothing of its own. */
static const model plain_model = { .name = PLAIN_MODEL };

const model *image_model(const core *core, uint32_t image)
{
    assert(image == NONE || image < core->image_count);
    return image == NONE ? &plain_model : &core->images[image].info.model;
}

const model *twin_model(const core *core, const twin *twin)
{
    return image_model(core, twin->image);
}

ticket *ticket_find(const twin *twin, uint64_t number)
{
    for (ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next)
        if (t->number == number)
            return t;
    return NULL;
}

ticket *ticket_newest(const twin *twin, uint8_t property)
{
    for (ticket *t = twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next)
        if (!t->is_action && t->index == property)
            return t;
    return NULL;
}

mail *mail_find(const twin *twin, uint64_t number)
{
    for (mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL; m = m->next)
        if (m->number == number)
            return m;
    return NULL;
}

mail *mail_of_ticket(const twin *twin, uint64_t number)
{
    for (mail *m = twin->extra != NULL ? twin->extra->mail : NULL; m != NULL; m = m->next)
        if (m->ticket == number && number != 0)
            return m;
    return NULL;
}
