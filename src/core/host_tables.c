/* Idempotency keys and dead letters: small tables of the host, in the log with the
 * records they belong to, and whole at each checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/state.h"

/* ---- idempotency keys ---- */

static uint64_t key_hash(const uint8_t key[32])
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash); /* the key is a SHA-256 already */
    return hash;
}

static void idempotent_forget_oldest(core *core)
{
    idempotent *oldest = &core->idempotents[core->idempotent_start];
    index_remove(&core->idempotency, key_hash(oldest->key), core->idempotent_start);
    free(oldest->answer);
    *oldest = (idempotent){ 0 };
    core->idempotent_start = (core->idempotent_start + 1) % IDEMPOTENCY_MAX;
    core->idempotent_count--;
}

static bool is_old(const core *core, const idempotent *entry)
{
    return core->now_ms - entry->made_ms > IDEMPOTENCY_KEPT_S * 1000ll;
}

const idempotent *idempotent_find(core *core, const uint8_t key[32])
{
    index_probe probe = index_begin(key_hash(key));
    uint32_t at;
    while (index_next(&core->idempotency, &probe, &at))
        if (memcmp(core->idempotents[at].key, key, 32) == 0 && !is_old(core, &core->idempotents[at]))
            return &core->idempotents[at];
    return NULL;
}

static void idempotent_keep(core *core, const idempotent *entry, const uint8_t *answer)
{
    if (core->idempotents == NULL && (core->idempotents = calloc(IDEMPOTENCY_MAX, sizeof *core->idempotents)) == NULL)
        return;
    while (core->idempotent_count > 0 && (core->idempotent_count == IDEMPOTENCY_MAX || is_old(core, &core->idempotents[core->idempotent_start])))
        idempotent_forget_oldest(core);
    uint32_t at = (core->idempotent_start + core->idempotent_count) % IDEMPOTENCY_MAX;
    uint8_t *copy = malloc(entry->length + 1);
    if (copy == NULL || index_add(&core->idempotency, key_hash(entry->key), at) != DRO_OK) {
        free(copy);
        return;
    }
    if (entry->length > 0)
        memcpy(copy, answer, entry->length);
    core->idempotents[at] = *entry;
    core->idempotents[at].answer = copy;
    core->idempotent_count++;
}

static void idempotent_write(core *core, const idempotent *entry, const uint8_t *answer)
{
    dro_builder *part = record_part(core);
    dro_builder_bytes(part, entry->key, 32);
    dro_builder_bytes(part, entry->body, 32);
    dro_builder_le(part, (uint64_t)entry->made_ms, 8);
    dro_builder_le(part, entry->status, 2);
    dro_builder_bytes(part, answer, entry->length);
    record_part_end(core, FIELD_IDEMPOTENT);
}

void idempotent_put(core *core, const uint8_t key[32], const uint8_t body[32], uint16_t status, const void *answer, size_t length)
{
    idempotent entry = { .made_ms = core->now_ms, .status = status, .length = (uint32_t)length };
    memcpy(entry.key, key, 32);
    memcpy(entry.body, body, 32);
    idempotent_write(core, &entry, answer);
    idempotent_keep(core, &entry, answer);
}

void idempotent_replay(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    idempotent entry = { 0 };
    const uint8_t *key = dro_cursor_bytes(&in, 32);
    const uint8_t *body = dro_cursor_bytes(&in, 32);
    entry.made_ms = (int64_t)dro_cursor_le(&in, 8);
    entry.status = (uint16_t)dro_cursor_le(&in, 2);
    if (in.err != DRO_OK)
        return;
    memcpy(entry.key, key, 32);
    memcpy(entry.body, body, 32);
    entry.length = (uint32_t)dro_cursor_left(&in);
    if (idempotent_find(core, entry.key) == NULL && !is_old(core, &entry))
        idempotent_keep(core, &entry, in.at);
}

/* ---- dead letters ---- */

void dead_letter_keep(core *core, uint32_t domain, const char *json, size_t length)
{
    dead_letter *letter = &core->dead_letters[core->dead_letter_next];
    char *text = strndup(json, length);
    if (text == NULL)
        return;
    free(letter->text);
    *letter = (dead_letter){ text, domain };
    core->dead_letter_next = (core->dead_letter_next + 1) % DEAD_LETTERS_MAX;
    if (core->dead_letter_count < DEAD_LETTERS_MAX)
        core->dead_letter_count++;
}

/* ---- all of them, whole ---- */

static void tables_clear_dead_letters(core *core)
{
    for (uint32_t i = 0; i < DEAD_LETTERS_MAX; i++) {
        free(core->dead_letters[i].text);
        core->dead_letters[i] = (dead_letter){ 0 };
    }
    core->dead_letter_next = core->dead_letter_count = 0;
}

/* A dump says the table anew: what replay gathered before it is in it too. */
void host_table_reset(core *core, int kind, const dro_field *field)
{
    uint16_t host;
    if (kind == RECORD_DEAD_LETTERS) {
        tables_clear_dead_letters(core);
    } else if (kind == RECORD_IDEMPOTENCY) {
        while (core->idempotent_count > 0)
            idempotent_forget_oldest(core);
    } else if (kind == RECORD_DUPLICATES && field->length == sizeof host) {
        memcpy(&host, field->bytes, sizeof host);
        duplicates *seen = host < core->host_count ? core->hosts[host].seen : NULL;
        if (seen == NULL)
            return;
        core->hosts[host].seen = NULL;
        free(seen->ring);
        free(seen->results);
        free(seen->table);
        free(seen);
    }
}

enum { DUMP_ENTRIES = 4096 }; /* in one record */

static void write_duplicates(core *core, uint16_t number)
{
    const duplicates *seen = core->hosts[number].seen;
    uint32_t first = (seen->next + DUPLICATES_PER_HOST - seen->count) % DUPLICATES_PER_HOST;
    for (uint32_t done = 0; done < seen->count;) {
        record_begin(core, NONE, RECORD_DUPLICATES);
        if (done == 0)
            record_put(core, FIELD_EVENT, &number, sizeof number);
        for (uint32_t n = 0; n < DUMP_ENTRIES && done < seen->count; n++, done++) {
            uint32_t at = (first + done) % DUPLICATES_PER_HOST;
            uint8_t field[10];
            memcpy(field, &number, 2);
            memcpy(field + 2, &seen->ring[at], 4);
            memcpy(field + 6, &seen->results[at], 4);
            record_put(core, FIELD_DUPLICATE, field, sizeof field);
        }
        record_end(core);
    }
}

static void write_idempotents(core *core)
{
    for (uint32_t done = 0; done < core->idempotent_count;) {
        record_begin(core, NONE, RECORD_IDEMPOTENCY);
        if (done == 0)
            record_put(core, FIELD_EVENT, "", 0);
        size_t bytes = 0;
        for (uint32_t n = 0; n < DUMP_ENTRIES / 8 && bytes < 64 * 1024 && done < core->idempotent_count; n++, done++) {
            const idempotent *entry = &core->idempotents[(core->idempotent_start + done) % IDEMPOTENCY_MAX];
            idempotent_write(core, entry, entry->answer);
            bytes += entry->length + 80;
        }
        record_end(core);
    }
}

static void write_dead_letters(core *core)
{
    for (uint32_t done = 0; done < core->dead_letter_count;) {
        record_begin(core, NONE, RECORD_DEAD_LETTERS);
        if (done == 0)
            record_put(core, FIELD_EVENT, "", 0);
        for (uint32_t n = 0; n < 20 && done < core->dead_letter_count; n++, done++) {
            uint32_t at = (core->dead_letter_next + DEAD_LETTERS_MAX - core->dead_letter_count + done) % DEAD_LETTERS_MAX;
            dro_builder *part = record_part(core);
            dro_builder_le(part, core->dead_letters[at].domain, 4);
            dro_builder_text(part, core->dead_letters[at].text);
            record_part_end(core, FIELD_DEAD);
        }
        record_end(core);
    }
}

void host_tables_write(core *core)
{
    for (uint32_t i = 0; i < core->host_count; i++)
        if (core->hosts[i].seen != NULL)
            write_duplicates(core, (uint16_t)i);
    write_idempotents(core);
    write_dead_letters(core);
}
