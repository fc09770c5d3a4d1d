/* Looking ahead in a ring: what the next messages will touch is fetched into the cache
 * while there are others to handle. With a million twins nearly each of these places is
 * otherwise a wait for memory (docs/internals/turn_path.md). Guesses only: the
 * messages are read and checked again when they are taken. */
#include "core/ahead.h"

#include <string.h>

#include "base/hash.h"
#include "base/wipe.h"
#include "core/links.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"
#include "twin/effect.h"

enum { TO_WRITE = 1, CACHE_LINE = 64 };
_Static_assert((int)AHEAD <= (int)VAULT_IDENTITIES_MAX, "all are hashed at once");

static void fetch(const void *at, size_t length)
{
    const uint8_t *byte = at;
    __asm__ volatile("" : : "r"(byte)); /* gcc takes a function that only prefetches for one without effect, and drops it */
    for (size_t i = 0; i < length; i += CACHE_LINE)
        __builtin_prefetch(byte + i, TO_WRITE);
    if (length > 0)
        __builtin_prefetch(byte + length - 1, TO_WRITE);
}

static void fetch_context(const twin *twin)
{
    if (!twin->is_cold && twin->context != NULL)
        fetch(twin->context, offsetof(context, sealed) + twin->context_length);
}

/* ---- records of the log ---- */

void ahead_record(void *context, int step, const uint8_t *bytes, size_t length)
{
    core *core = context;
    uint64_t number = record_twin(bytes, length), hash = dro_hash_mix(number, core->hash_key);
    uint32_t index;
    if (number == 0)
        return;
    if (step == 0) {
        index_prefetch(&core->numbers, hash);
        return;
    }
    index_probe probe = index_begin(hash);
    if (!index_next(&core->numbers, &probe, &index))
        return;
    if (step == 1) {
        fetch(twin_at(core, index), sizeof(twin));
        return;
    }
    const twin *twin = twin_at(core, index);
    fetch_context(twin);
    if (twin->row != NONE)
        columns_row_prefetch(core->columns, twin->table, twin->row);
}

/* ---- uplinks of a gate ---- */

/* All at once, and then the index of each. */
static void hash_imsis(core *core)
{
    ahead *ahead = &core->ahead;
    const char *imsis[AHEAD];
    uint64_t hashes[AHEAD];
    for (uint32_t i = 0; i < ahead->count; i++)
        imsis[i] = ahead->uplinks[i].imsi;
    imsi_hashes(core, imsis, ahead->count, hashes);
    for (uint32_t i = 0; i < ahead->count; i++) {
        ahead->uplinks[i].imsi_hash = hashes[i];
        if (ahead->uplinks[i].imsi[0] != '\0')
            index_prefetch(&core->imsis, hashes[i]);
    }
}

static void guess_twin(core *core, ahead_uplink *guess)
{
    index_probe probe = index_begin(guess->imsi_hash);
    guess->twin = NONE;
    if (index_next(&core->imsis, &probe, &guess->twin))
        fetch(twin_at(core, guess->twin), sizeof(twin));
}

void ahead_uplinks(core *core, gate_link *gate)
{
    ahead *ahead = &core->ahead;
    uint32_t position = 0;
    ring_header header;
    const uint8_t *body;
    ahead->next = ahead->count = 0;
    while (ahead->count < AHEAD && (body = ring_peek(&gate->in, &position, &header)) != NULL) {
        ahead_uplink *guess = &ahead->uplinks[ahead->count++];
        guess->twin = NONE;
        guess->imsi[0] = '\0';
        if (header.type != MESSAGE_UPLINK || header.length - sizeof header < sizeof(uplink_request))
            continue;
        memcpy(guess->imsi, body + offsetof(uplink_request, user.imsi), sizeof guess->imsi);
        memcpy(&guess->end_to_end, body + offsetof(uplink_request, end_to_end), sizeof guess->end_to_end);
        guess->imsi[sizeof guess->imsi - 1] = '\0';
    }
    hash_imsis(core);
    for (uint32_t i = 0; i < ahead->count; i++)
        if (ahead->uplinks[i].imsi[0] != '\0')
            guess_twin(core, &ahead->uplinks[i]);
    for (uint32_t i = 0; i < ahead->count; i++) {
        uint32_t index = ahead->uplinks[i].twin;
        if (index == NONE)
            continue;
        fetch_context(twin_at(core, index));
        if (twin_at(core, index)->connection.host < core->host_count) /* who sent the last one */
            duplicates_prefetch(core->hosts[twin_at(core, index)->connection.host].seen, ahead->uplinks[i].end_to_end);
    }
}

bool ahead_knows(const core *core, const char imsi[16], uint64_t *hash)
{
    const ahead *ahead = &core->ahead;
    if (ahead->next >= ahead->count || memcmp(ahead->uplinks[ahead->next].imsi, imsi, sizeof ahead->uplinks[0].imsi) != 0)
        return false;
    *hash = ahead->uplinks[ahead->next].imsi_hash;
    return true;
}

void ahead_forget(core *core)
{
    dro_wipe(&core->ahead, sizeof core->ahead);
}

/* ---- results of a cell ---- */

static void fetch_row(core *core, const twin *twin, const uint8_t *effects, size_t length)
{
    dro_cursor in = dro_cursor_over(effects, length);
    dro_field field;
    columns_contact_prefetch(core->columns, twin->table, twin->row);
    while (dro_field_next(&in, &field))
        if (field.tag == EFFECT_PROPERTY && field.length > 1)
            columns_value_prefetch(core->columns, twin->table, twin->row, field.bytes[0] | (uint32_t)field.bytes[1] << 8);
}

int ahead_results(core *core, cell_link *cell)
{
    struct { const turn *turn; const uint8_t *effects; size_t length; } results[AHEAD];
    uint32_t position = 0;
    int count = 0;
    ring_header header;
    const uint8_t *body;
    while (count < AHEAD && (body = ring_peek(&cell->results, &position, &header)) != NULL) {
        turn_result result;
        uint32_t index = (uint32_t)header.id;
        size_t length = header.length - sizeof header;
        if (header.type != MESSAGE_TURN_RESULT || length < sizeof result || index >= CORE_TURNS_MAX)
            break;
        memcpy(&result, body, sizeof result);
        uint64_t context = ((uint64_t)result.context_length + 7) & ~7ull;
        if (result.status != TURN_OK || context + result.effects_length > length - sizeof result)
            break;
        results[count].turn = &core->turns[index];
        results[count].effects = body + sizeof result + context;
        results[count++].length = result.effects_length;
        fetch(&core->turns[index], sizeof(turn));
    }
    for (int i = 0; i < count; i++)
        if (results[i].turn->state == TURN_SENT)
            fetch(twin_at(core, results[i].turn->twin), sizeof(twin));
    for (int i = 0; i < count; i++) {
        const twin *twin = results[i].turn->state == TURN_SENT ? twin_at(core, results[i].turn->twin) : NULL;
        if (twin == NULL || twin->row == NONE)
            continue;
        if (results[i].turn->operation == TURN_UPLINK && results[i].turn->host < core->host_count)
            duplicates_prefetch(core->hosts[results[i].turn->host].seen, results[i].turn->end_to_end);
        fetch_context(twin);
        fetch_row(core, twin, results[i].effects, results[i].length);
    }
    return count > 0 ? count : 1;
}
