/* Idempotency keys, dead letters and End-to-End ids seen: tables of the host, in the log
 * with the records they belong to, and whole at each checkpoint.
 *
 * Such a dump is many records, and the power may go between two of them. So recovery
 * gathers it beside the table and takes it only when its end mark has come. */
#include "core/host_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/wipe.h"
#include "core/apply.h"
#include "core/audit.h"
#include "core/charge_owed.h"
#include "core/exposure.h"
#include "core/farewell.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/names.h"
#include "core/network.h"
#include "core/number.h"
#include "core/record.h"
#include "core/report.h"
#include "core/state.h"

/* ---- idempotency keys ---- */

static uint64_t key_hash(const uint8_t key[32])
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash); /* the key is a SHA-256 already */
    return hash;
}

static void idempotent_forget_oldest(idempotency *table)
{
    idempotent *oldest = &table->entries[table->start];
    index_remove(&table->index, key_hash(oldest->key), table->start);
    free(oldest->answer);
    *oldest = (idempotent){ 0 };
    table->start = (table->start + 1) % IDEMPOTENCY_MAX;
    table->count--;
}

static void idempotency_clear(idempotency *table)
{
    while (table->count > 0)
        idempotent_forget_oldest(table);
    index_fini(&table->index);
    free(table->entries);
    *table = (idempotency){ 0 };
}

static bool is_old(const core *core, const idempotent *entry)
{
    return core->now_ms - entry->made_ms > IDEMPOTENCY_KEPT_S * 1000ll;
}

static const idempotent *find(const core *core, const idempotency *table, const uint8_t key[32])
{
    index_probe probe = index_begin(key_hash(key));
    uint32_t at;
    while (index_next(&table->index, &probe, &at))
        if (memcmp(table->entries[at].key, key, 32) == 0 && !is_old(core, &table->entries[at]))
            return &table->entries[at];
    return NULL;
}

const idempotent *idempotent_find(core *core, const uint8_t key[32])
{
    return find(core, &core->idempotency, key);
}

static void idempotent_keep(core *core, idempotency *table, const idempotent *entry, const uint8_t *answer)
{
    if (table->entries == NULL && (table->entries = calloc(IDEMPOTENCY_MAX, sizeof *table->entries)) == NULL)
        core_no_memory("the keys of requests");
    while (table->count > 0 && (table->count == IDEMPOTENCY_MAX || is_old(core, &table->entries[table->start])))
        idempotent_forget_oldest(table);
    uint32_t at = (table->start + table->count) % IDEMPOTENCY_MAX;
    uint8_t *copy = malloc(entry->length + 1);
    if (copy == NULL || index_add(&table->index, key_hash(entry->key), at) != DRO_OK)
        core_no_memory("the key of a request"); /* without it the request would be done twice */
    if (entry->length > 0)
        memcpy(copy, answer, entry->length);
    table->entries[at] = *entry;
    table->entries[at].answer = copy;
    table->count++;
}

/* Each entry says the partition of the twin it is about, so that another number of cores finds its
 * core: partition + 1; 0: the host's own, or from before there were several cores. */
static bool is_kept_here(const core *core, uint32_t owner, bool is_for_all)
{
    return core->count == 1 || (owner == 0 ? is_for_all || core->index == 0 : core_owns(core, (owner - 1) % DIRECTORY_PARTITIONS));
}

enum { OWNER_SHIFT = 50 }; /* above the milliseconds */

static void idempotent_write(core *core, const idempotent *entry, const uint8_t *answer)
{
    dro_builder *part = record_part(core);
    dro_builder_bytes(part, entry->key, 32);
    dro_builder_bytes(part, entry->body, 32);
    dro_builder_le(part, (uint64_t)entry->made_ms | (uint64_t)entry->owner << OWNER_SHIFT, 8);
    dro_builder_le(part, entry->status, 2);
    dro_builder_bytes(part, answer, entry->length);
}

void idempotent_put(core *core, const uint8_t key[32], const uint8_t body[32], uint16_t status, const void *answer, size_t length)
{
    idempotent entry = { .made_ms = core->now_ms, .status = status, .owner = (uint16_t)record_owner(core), .domain = (uint16_t)record_domain(core),
                         .length = (uint32_t)length };
    memcpy(entry.key, key, 32);
    memcpy(entry.body, body, 32);
    idempotent_write(core, &entry, answer);
    record_part_end(core, FIELD_IDEMPOTENT);
    idempotent_keep(core, &core->idempotency, &entry, answer);
}

static void replay_into(core *core, idempotency *table, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    idempotent entry = { 0 };
    const uint8_t *key = dro_cursor_bytes(&in, 32);
    const uint8_t *body = dro_cursor_bytes(&in, 32);
    uint64_t made = dro_cursor_le(&in, 8);
    entry.made_ms = (int64_t)(made & ((1ull << OWNER_SHIFT) - 1));
    entry.owner = (uint16_t)(made >> OWNER_SHIFT);
    if (entry.owner == 0)
        entry.owner = (uint16_t)core->replay_owner;
    entry.status = (uint16_t)dro_cursor_le(&in, 2);
    entry.domain = (uint16_t)core->replay_domain;
    if (in.err != DRO_OK)
        return;
    memcpy(entry.key, key, 32);
    memcpy(entry.body, body, 32);
    entry.length = (uint32_t)dro_cursor_left(&in);
    if (is_kept_here(core, entry.owner, true) && find(core, table, entry.key) == NULL && !is_old(core, &entry))
        idempotent_keep(core, table, &entry, in.at);
}

void idempotent_replay(core *core, const dro_field *field)
{
    replay_into(core, &core->idempotency, field);
}

/* ---- dead letters ---- */

/* `domain`: with the owner in the upper half. */
static void letter_keep(dead_letters *letters, uint32_t domain, const char *json, size_t length)
{
    dead_letter *letter = &letters->list[letters->next];
    char *text = strndup(json, length);
    if (text == NULL)
        core_no_memory("a dead letter");
    free(letter->text);
    *letter = (dead_letter){ text, domain & 0xffff, (uint16_t)(domain >> 16) };
    letters->next = (letters->next + 1) % DEAD_LETTERS_MAX;
    if (letters->count < DEAD_LETTERS_MAX)
        letters->count++;
}

static void letters_clear(dead_letters *letters)
{
    for (uint32_t i = 0; i < DEAD_LETTERS_MAX; i++)
        free(letters->list[i].text);
    *letters = (dead_letters){ 0 };
}

void dead_letter_keep(core *core, uint32_t domain, const char *json, size_t length)
{
    letter_keep(&core->dead_letters, domain, json, length);
}

static bool letter_is_here(const dead_letters *letters, const char *json, size_t length)
{
    for (uint32_t i = 0; i < letters->count; i++)
        if (strlen(letters->list[i].text) == length && memcmp(letters->list[i].text, json, length) == 0)
            return true;
    return false;
}

/* An old log's letters come with its twins' records and once more with its dump. */
static void letter_replay(const core *core, dead_letters *letters, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t domain = (uint32_t)dro_cursor_le(&in, 4);
    if (domain >> 16 == 0)
        domain |= core->replay_owner << 16;
    if (in.err != DRO_OK || !is_kept_here(core, domain >> 16, false) ||
        (core->is_reading_old && letter_is_here(letters, (const char *)in.at, dro_cursor_left(&in))))
        return;
    letter_keep(letters, domain, (const char *)in.at, dro_cursor_left(&in));
}

void dead_letter_replay(core *core, const dro_field *field)
{
    letter_replay(core, &core->dead_letters, field);
}

/* ---- duplicates ---- */

bool duplicate_find(const core *core, uint16_t host, uint32_t end_to_end, uint32_t *result)
{
    uint32_t word;
    if (!duplicates_find(core->hosts[host].seen, end_to_end, &word))
        return false;
    *result = duplicate_word(word, 0);
    return true;
}

dro_err duplicate_add(core *core, uint16_t host, uint32_t end_to_end, uint32_t word)
{
    duplicates **seen = &core->hosts[host].seen;
    if (*seen == NULL && (*seen = duplicates_new(&core->duplicates_held)) == NULL)
        return DRO_NOMEM;
    return core->is_started ? duplicates_put(*seen, end_to_end, word) : duplicates_put_later(*seen, end_to_end, word);
}

/* ---- dumps: all of a table ---- */

enum { MARK_BEGIN = 1, MARK_END = 2 }; /* FIELD_EVENT: mark u8, and of duplicates the host u16 */

static void mark_put(core *core, uint8_t mark, uint16_t number)
{
    uint8_t bytes[3] = { mark, (uint8_t)number, (uint8_t)(number >> 8) };
    record_put(core, FIELD_EVENT, bytes, sizeof bytes);
}

static void idempotency_dump_forget(core *core)
{
    if (core->idempotency_dump != NULL)
        idempotency_clear(core->idempotency_dump);
    free(core->idempotency_dump);
    core->idempotency_dump = NULL;
}

static void letters_dump_forget(core *core)
{
    if (core->dead_letters_dump != NULL)
        letters_clear(core->dead_letters_dump);
    free(core->dead_letters_dump);
    core->dead_letters_dump = NULL;
}

static dro_err dump_begin(core *core, int kind, host *host)
{
    if (kind == RECORD_DUPLICATES) {
        duplicates_free(host->dump);
        return (host->dump = duplicates_new(&core->duplicates_held)) == NULL ? DRO_NOMEM : DRO_OK;
    }
    if (kind == RECORD_IDEMPOTENCY) {
        idempotency_dump_forget(core);
        return (core->idempotency_dump = calloc(1, sizeof *core->idempotency_dump)) == NULL ? DRO_NOMEM : DRO_OK;
    }
    letters_dump_forget(core);
    return (core->dead_letters_dump = calloc(1, sizeof *core->dead_letters_dump)) == NULL ? DRO_NOMEM : DRO_OK;
}

/* It is whole: what replay gathered before it is in it too. */
static void dump_end(core *core, int kind, host *host)
{
    if (kind == RECORD_DUPLICATES && host->dump != NULL) {
        duplicates_free(host->seen);
        host->seen = host->dump;
        host->dump = NULL;
    } else if (kind == RECORD_IDEMPOTENCY && core->idempotency_dump != NULL) {
        idempotency_clear(&core->idempotency);
        core->idempotency = *core->idempotency_dump;
        free(core->idempotency_dump);
        core->idempotency_dump = NULL;
    } else if (kind == RECORD_DEAD_LETTERS && core->dead_letters_dump != NULL) {
        letters_clear(&core->dead_letters);
        core->dead_letters = *core->dead_letters_dump;
        free(core->dead_letters_dump);
        core->dead_letters_dump = NULL;
    }
}

static dro_err mark_replay(core *core, int kind, const dro_field *field)
{
    if (field->length != 3)
        return DRO_MALFORMED;
    uint32_t number = field->bytes[1] | (uint32_t)field->bytes[2] << 8;
    if (kind < RECORD_DUPLICATES || kind > RECORD_IDEMPOTENCY || (kind == RECORD_DUPLICATES && number >= core->host_count))
        return DRO_MALFORMED;
    host *host = kind == RECORD_DUPLICATES ? &core->hosts[number] : NULL;
    if (core->is_reading_old) /* one of several logs: its dump is added to what the others say */
        return DRO_OK;
    if (field->bytes[0] == MARK_BEGIN)
        return dump_begin(core, kind, host);
    dump_end(core, kind, host);
    return DRO_OK;
}

static dro_err duplicate_replay(core *core, const dro_field *field)
{
    uint16_t number;
    uint32_t words[2];
    if (field->length != sizeof number + sizeof words)
        return DRO_MALFORMED;
    memcpy(&number, field->bytes, sizeof number);
    memcpy(words, field->bytes + sizeof number, sizeof words);
    if (number >= core->host_count)
        return DRO_MALFORMED;
    if (!is_kept_here(core, duplicate_owner(words[1]), true))
        return DRO_OK;
    if (core->is_reading_old)
        return duplicate_add(core, number, words[0], words[1]);
    return core->hosts[number].dump != NULL ? duplicates_put_later(core->hosts[number].dump, words[0], words[1]) : DRO_OK;
}

/* Of a table, but under the key of the domain that it tells of. What was under one that is destroyed is of nobody. */
static dro_err of_domain_replay(core *core, int kind, const dro_field *sealed)
{
    uint8_t *plain = core->log_scratch;
    dro_field field;
    if (sealed->length > LOG_RECORD_MAX)
        return DRO_MALFORMED;
    dro_err err = record_field_of(core, sealed, plain, &field);
    if (err != DRO_OK)
        return err == DRO_NOT_FOUND ? DRO_OK : err;
    memcpy(&core->replay_domain, sealed->bytes, 4);
    err = field.tag == FIELD_OF_DOMAIN ? DRO_MALFORMED : host_table_replay(core, kind, &field);
    core->replay_domain = 0;
    dro_wipe(plain, field.length);
    return err;
}

/* Of a dump whose begin was not seen nothing is taken: replay began in the middle of it. */
dro_err host_table_replay(core *core, int kind, const dro_field *field)
{
    if (kind == RECORD_GROUPS) { /* no dump of a table */
        if (field->tag == FIELD_GROUP_TOLD)
            group_told_replay(core, field);
        else if (field->tag == FIELD_IDEMPOTENT)
            idempotent_replay(core, field);
        else if (field->tag == FIELD_EXPOSURE_NEWS || field->tag == FIELD_EXPOSURE_NEWS_GONE)
            exposure_news_replay(core, field);
        else if (field->tag == FIELD_FAREWELL || field->tag == FIELD_FAREWELL_GONE)
            farewell_replay(core, field);
        else if (field->tag == FIELD_REPORTS_HEARD)
            reports_replay(core, field);
        else if (field->tag == FIELD_USAGE)
            usage_replay(core, field);
        else if (field->tag == FIELD_CHARGED)
            charges_owed_replay(core, field);
        else if (field->tag == FIELD_AUDITED || field->tag == FIELD_AUDIT_HEAD)
            audit_replay(core, field);
        return DRO_OK;
    }
    if (field->tag == FIELD_OF_DOMAIN)
        return of_domain_replay(core, kind, field);
    if (field->tag == FIELD_EVENT)
        return mark_replay(core, kind, field);
    if (field->tag == FIELD_DUPLICATE)
        return duplicate_replay(core, field);
    if (core->is_reading_old && field->tag == FIELD_IDEMPOTENT)
        idempotent_replay(core, field);
    else if (core->is_reading_old && field->tag == FIELD_DEAD)
        dead_letter_replay(core, field);
    else if (field->tag == FIELD_IDEMPOTENT && core->idempotency_dump != NULL)
        replay_into(core, core->idempotency_dump, field);
    else if (field->tag == FIELD_DEAD && core->dead_letters_dump != NULL)
        letter_replay(core, core->dead_letters_dump, field);
    return DRO_OK;
}

dro_err host_tables_settle(core *core)
{
    dro_err err = DRO_OK;
    for (uint32_t i = 0; i < core->host_count && err == DRO_OK; i++)
        err = duplicates_settle(core->hosts[i].seen);
    return err;
}

void dumps_forget(core *core)
{
    for (uint32_t i = 0; i < core->host_count; i++) {
        duplicates_free(core->hosts[i].dump);
        core->hosts[i].dump = NULL;
    }
    idempotency_dump_forget(core);
    letters_dump_forget(core);
}

static void idempotents_forget(core *core, uint32_t domain)
{
    idempotency old = core->idempotency;
    core->idempotency = (idempotency){ 0 };
    for (uint32_t i = 0; i < old.count; i++) {
        const idempotent *entry = &old.entries[(old.start + i) % IDEMPOTENCY_MAX];
        if (entry->domain != domain && !is_old(core, entry))
            idempotent_keep(core, &core->idempotency, entry, entry->answer);
    }
    idempotency_clear(&old);
}

static void letters_forget(core *core, uint32_t domain)
{
    dead_letters *old = &core->dead_letters, *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        abort(); /* what is to be gone would be written again: begin anew from the log */
    for (uint32_t i = 0; i < old->count; i++) {
        dead_letter *letter = &old->list[(old->next + DEAD_LETTERS_MAX - old->count + i) % DEAD_LETTERS_MAX];
        if (letter->domain == domain)
            continue;
        kept->list[kept->next++] = *letter;
        *letter = (dead_letter){ 0 };
    }
    kept->count = kept->next;
    kept->next %= DEAD_LETTERS_MAX;
    letters_clear(old);
    *old = *kept;
    free(kept);
}

void host_tables_forget(core *core, uint32_t domain)
{
    idempotents_forget(core, domain);
    letters_forget(core, domain);
}

void host_tables_free(core *core)
{
    dumps_forget(core);
    idempotency_clear(&core->idempotency);
    letters_clear(&core->dead_letters);
}

enum { DUMP_ENTRIES = 4096 }; /* in one record */

static void write_duplicates(core *core, uint16_t number)
{
    const duplicates *seen = core->hosts[number].seen;
    uint32_t done = 0;
    do {
        record_begin(core, NONE, RECORD_DUPLICATES);
        if (done == 0)
            mark_put(core, MARK_BEGIN, number);
        for (uint32_t n = 0; n < DUMP_ENTRIES && done < seen->count; n++, done++) {
            uint32_t at = duplicates_nth(seen, done);
            uint8_t field[10];
            memcpy(field, &number, 2);
            memcpy(field + 2, &seen->ring[at].end_to_end, 4);
            memcpy(field + 6, &seen->ring[at].result, 4);
            record_put(core, FIELD_DUPLICATE, field, sizeof field);
        }
        if (done == seen->count)
            mark_put(core, MARK_END, number);
        record_end(core);
    } while (done < seen->count);
}

static void write_idempotents(core *core)
{
    enum { BYTES = 64 * 1024 };
    const idempotency *table = &core->idempotency;
    uint32_t done = 0;
    do {
        record_begin(core, NONE, RECORD_IDEMPOTENCY);
        if (done == 0)
            mark_put(core, MARK_BEGIN, 0);
        size_t bytes = 0;
        for (uint32_t n = 0; n < DUMP_ENTRIES / 8 && bytes < BYTES && done < table->count; n++, done++) {
            const idempotent *entry = &table->entries[(table->start + done) % IDEMPOTENCY_MAX];
            idempotent_write(core, entry, entry->answer);
            record_part_end_of(core, FIELD_IDEMPOTENT, entry->domain);
            bytes += entry->length + 80;
        }
        if (done == table->count)
            mark_put(core, MARK_END, 0);
        record_end(core);
    } while (done < table->count);
}

static void write_dead_letters(core *core)
{
    enum { LETTERS = 20 };
    const dead_letters *letters = &core->dead_letters;
    uint32_t done = 0;
    do {
        record_begin(core, NONE, RECORD_DEAD_LETTERS);
        if (done == 0)
            mark_put(core, MARK_BEGIN, 0);
        for (uint32_t n = 0; n < LETTERS && done < letters->count; n++, done++) {
            uint32_t at = (letters->next + DEAD_LETTERS_MAX - letters->count + done) % DEAD_LETTERS_MAX;
            dro_builder *part = record_part(core);
            dro_builder_le(part, letters->list[at].domain | (uint32_t)letters->list[at].owner << 16, 4);
            dro_builder_text(part, letters->list[at].text);
            record_part_end_of(core, FIELD_DEAD, letters->list[at].domain);
        }
        if (done == letters->count)
            mark_put(core, MARK_END, 0);
        record_end(core);
    } while (done < letters->count);
}

void host_tables_write(core *core)
{
    for (uint32_t i = 0; i < core->host_count; i++)
        if (core->hosts[i].seen != NULL)
            write_duplicates(core, (uint16_t)i);
    write_idempotents(core);
    groups_told_write(core);
    exposure_news_write(core);
    farewells_write(core);
    reports_write(core);
    charges_owed_dump(core);
    audit_dump(core);
    usage_write(core);
    write_dead_letters(core);
}
