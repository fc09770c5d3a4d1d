/* The file of keys: for each domain its keys, the older first: number u16, generation u16, wrapped key. One that
 * was deleted has a single entry, of generation VAULT_GENERATION_GONE and zeros. */
#include "core/domains.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wipe.h"
#include "core/audit.h"
#include "core/host.h"
#include "core/number.h"
#include "core/rotation.h"
#include "core/state.h"
#include "core/vault_cipher.h"
#include "core/vault_master.h"

enum {
    ENTRY = 4 + VAULT_WRAPPED,
    FLAG_DROPS_HISTORY = 1, FLAG_GOING = 2,
};

uint32_t domain_find(const core *core, const char *name, size_t length)
{
    for (uint32_t i = 1; length > 0 && i < core->domain_count; i++)
        if (strlen(core->domains[i].name) == length && memcmp(core->domains[i].name, name, length) == 0)
            return i;
    return NONE;
}

void domain_twins_add(core *core, uint32_t number, int by)
{
    domain *domain = &core->domains[number];
    domain->twins = (uint32_t)((int64_t)domain->twins + by);
    if (core->count > 1)
        board_domain_twins(&core->board, number, domain->twins);
}

/* ---- the file ---- */

static size_t entries_of(const domain *domain)
{
    return domain->has_older && !domain->is_gone ? 2 : 1;
}

static size_t length_of(const core *core, uint32_t count)
{
    size_t entries = 0;
    for (uint32_t i = 0; i < count; i++)
        entries += entries_of(&core->domains[i]);
    return entries * ENTRY;
}

static uint8_t *put_entry(uint8_t *at, uint32_t key, const uint8_t *wrapped)
{
    memcpy(at, &key, 4);
    if (wrapped != NULL)
        memcpy(at + 4, wrapped, VAULT_WRAPPED);
    else
        memset(at + 4, 0, VAULT_WRAPPED);
    return at + ENTRY;
}

static void write_entries(const core *core, uint32_t count, uint8_t *at)
{
    for (uint32_t i = 0; i < count; i++) {
        const domain *domain = &core->domains[i];
        if (domain->has_older && !domain->is_gone)
            at = put_entry(at, vault_key(i, (uint16_t)(domain->generation - 1)), domain->older_key);
        at = put_entry(at, vault_key(i, domain->is_gone ? VAULT_GENERATION_GONE : domain->generation), domain->is_gone ? NULL : domain->key);
    }
}

size_t domain_keys_length(const core *core)
{
    return length_of(core, core->keys_kept);
}

void domain_keys_write(const core *core, uint8_t *bytes)
{
    write_entries(core, core->keys_kept, bytes);
}

dro_err domain_keys_keep(core *core, bool is_over)
{
    disk *disk = core->options.log_disk;
    size_t length = length_of(core, core->domain_count);
    uint8_t *bytes = malloc(length + 1); /* nothing may be there */
    if (bytes == NULL)
        return DRO_NOMEM;
    write_entries(core, core->domain_count, bytes);
    int error = (is_over && disk->replace_over != NULL ? disk->replace_over : disk->replace)(disk, "keys", bytes, length);
    free(bytes);
    if (error == 0)
        core->keys_kept = core->domain_count;
    return disk_err(error);
}

/* ---- made ---- */

void domain_place(core *core, uint32_t number)
{
    domain *domain = &core->domains[number];
    const trust_policy *trust = core->options.trust;
    uint32_t group = trust_group_of(trust, domain->name, strlen(domain->name));
    domain->cell = (uint8_t)trust_cell_of(trust, core->options.cell_count, group, number);
}

static dro_err domain_add(core *core, const char *name, size_t length)
{
    if (core->domain_count >= VAULT_DOMAINS_MAX || length > COLUMNS_DOMAIN_MAX)
        return DRO_LIMIT;
    uint32_t number = core->domain_count;
    domain *domains = realloc(core->domains, (number + 1) * sizeof *domains);
    if (domains == NULL)
        return DRO_NOMEM;
    core->domains = domains;
    domains[number] = (domain){ .name = strndup(name, length) };
    if (domains[number].name == NULL)
        return DRO_NOMEM;
    domain_place(core, number);
    core->domain_count++;
    return length == 0 ? DRO_OK : columns_domain_set(core->columns, number, domains[number].name);
}

/* Nothing may refer to a domain whose key is not on the disk: a failure here is mended by the next who asks. */
static dro_err domain_keep(core *core, uint32_t number)
{
    dro_err err = domain_keys_keep(core, false);
    if (err == DRO_OK) {
        audit_owe(core, AUDIT_DOMAIN_MADE, core->domains[number].name, NULL);
        err = host_keep(core);
    }
    core->domains[number].is_kept = err == DRO_OK;
    return err;
}

dro_err domain_get(core *core, const char *name, size_t length, uint32_t *number)
{
    *number = domain_find(core, name, length);
    if (*number != NONE && core->domains[*number].is_going)
        return DRO_DENIED;
    if (core->index > 0)
        return *number != NONE ? DRO_OK : DRO_AGAIN;
    if (*number != NONE)
        return core->domains[*number].is_kept ? DRO_OK : domain_keep(core, *number);
    dro_err err = domain_add(core, name, length);
    if (err != DRO_OK)
        return err;
    *number = core->domain_count - 1;
    core->domains[*number].since_ms = core->now_ms;
    err = vault_domain_new(core->vault, *number, core->domains[*number].key);
    return err == DRO_OK ? domain_keep(core, *number) : err;
}

dro_err domain_make_host(core *core)
{
    dro_err err = domain_add(core, "", 0);
    if (err == DRO_OK)
        err = vault_domain_new(core->vault, 0, core->domains[0].key);
    return err == DRO_OK ? domain_keys_keep(core, false) : err;
}

/* ---- read ---- */

static void wrapped_take(domain *domain, uint16_t generation, const uint8_t *wrapped, bool is_first)
{
    if (!is_first) { /* the newer one comes second */
        memcpy(domain->older_key, domain->key, VAULT_WRAPPED);
        domain->has_older = true;
    }
    domain->generation = generation;
    memcpy(domain->key, wrapped, VAULT_WRAPPED);
}

/* The master key is read again where it was replaced since: core 0 did that before it showed what it wraps. */
static dro_err key_load(core *core, uint32_t key, const uint8_t *wrapped)
{
    dro_err err = vault_domain_load(core->vault, key, wrapped);
    if (err != DRO_CORRUPT || core->index == 0 || core->options.master_key_path == NULL)
        return err;
    uint8_t master[VAULT_KEY];
    err = vault_master_load(core->options.master_key_path, core->options.random, master);
    if (err == DRO_OK) {
        vault_master_next(core->vault, master);
        vault_master_take(core->vault);
        err = vault_domain_load(core->vault, key, wrapped);
    }
    dro_wipe(master, sizeof master);
    return err;
}

/* Forgets what was sealed under it, here: its twins are gone. */
static void domain_end_here(core *core, uint32_t number)
{
    domain *domain = &core->domains[number];
    vault_domain_drop(core->vault, number);
    dro_wipe(domain->key, VAULT_WRAPPED);
    dro_wipe(domain->older_key, VAULT_WRAPPED);
    domain->name[0] = '\0';
    domain->is_gone = true;
    domain->is_going = domain->has_older = false;
    rotation_forget(core, number);
}

static dro_err entry_take(core *core, const uint8_t *at, uint32_t *before)
{
    uint32_t key, number;
    memcpy(&key, at, 4);
    number = vault_key_domain(key);
    bool is_new = number == core->domain_count, is_first = is_new || number != *before;
    if (number > core->domain_count || (!is_new && number < *before && *before != NONE))
        return DRO_CORRUPT;
    dro_err err = is_new ? domain_add(core, "", 0) : DRO_OK;
    if (err != DRO_OK)
        return err;
    *before = number;
    domain *domain = &core->domains[number];
    if (vault_key_generation(key) == VAULT_GENERATION_GONE) {
        if (!domain->is_gone)
            domain_end_here(core, number);
        return DRO_OK;
    }
    if (is_first && domain->has_older && domain->generation == vault_key_generation(key)) { /* the older one is not there any more */
        vault_older_drop(core->vault, number);
        dro_wipe(domain->older_key, VAULT_WRAPPED);
        rotation_forget(core, number);
    }
    if (is_first)
        domain->has_older = false;
    else if (vault_key_generation(key) != domain->generation + 1)
        return DRO_CORRUPT;
    wrapped_take(domain, vault_key_generation(key), at + 4, is_first);
    return vault_domain_has(core->vault, key) ? DRO_OK : key_load(core, key, at + 4);
}

static dro_err entries_take(core *core, const uint8_t *bytes, size_t length)
{
    uint32_t before = NONE;
    dro_err err = length % ENTRY == 0 ? DRO_OK : DRO_CORRUPT;
    for (size_t at = 0; err == DRO_OK && at < length; at += ENTRY)
        err = entry_take(core, bytes + at, &before);
    return err;
}

dro_err domain_keys_follow(core *core, const uint8_t *bytes, size_t length)
{
    uint32_t known = core->domain_count;
    dro_err err = entries_take(core, bytes, length);
    for (uint32_t i = 1; err == DRO_OK && i < core->domain_count; i++)
        if (core->domains[i].has_older && (i >= known || core->domains[i].stage == DOMAIN_SETTLED))
            rotation_begin(core, i);
    return err;
}

static void forget_all(core *core)
{
    for (uint32_t i = 0; i < core->domain_count; i++) {
        vault_domain_drop(core->vault, i);
        free(core->domains[i].name);
    }
    core->domain_count = 0;
}

/* The power went between the new master key and the place of the old one, or an operator gave both. */
static dro_err load_with(core *core, const char *path, const uint8_t *bytes, size_t length)
{
    uint8_t master[VAULT_KEY];
    dro_err err = vault_master_read(path, master);
    if (err == DRO_OK) {
        forget_all(core);
        vault_master_next(core->vault, master);
        vault_master_take(core->vault);
        err = entries_take(core, bytes, length);
    }
    dro_wipe(master, sizeof master);
    return err;
}

static dro_err wrap_all(core *core);

/* The keys are under the one before: under the one that is there, from now on. */
static dro_err take_over(core *core)
{
    uint8_t master[VAULT_KEY];
    dro_err err = vault_master_read(core->options.master_key_path, master);
    if (err == DRO_OK) {
        vault_master_next(core->vault, master);
        err = wrap_all(core);
    }
    if (err == DRO_OK)
        err = domain_keys_keep(core, true);
    if (err == DRO_OK) {
        vault_master_take(core->vault);
        dro_info("vault rekeyed domains=%u \"all keys are wrapped by %s now; vault.master_key_before is needed no more\"",
                 core->domain_count, core->options.master_key_path);
    }
    dro_wipe(master, sizeof master);
    return err;
}

dro_err domain_keys_load(core *core, const uint8_t *bytes, size_t length)
{
    const char *path = core->options.master_key_path, *before = core->options.master_key_before;
    dro_err err = entries_take(core, bytes, length);
    bool is_next = err == DRO_CORRUPT && path != NULL && load_with(core, vault_master_next_path(path), bytes, length) == DRO_OK;
    if (is_next)
        err = vault_master_replace(path);
    else if (err == DRO_OK && path != NULL)
        vault_master_discard(path); /* a start that the power ended did not come to use it */
    else if (err == DRO_CORRUPT && before != NULL && before[0] != '\0')
        err = (err = load_with(core, before, bytes, length)) == DRO_OK ? take_over(core) : err;
    if (length % ENTRY != 0)
        dro_error("log/keys is damaged, it has no whole number of keys: put it back from a backup of the same moment");
    else if (err == DRO_CORRUPT)
        dro_error("log/keys has a key of domains that cannot be opened: is this the master key the data was made with? Else put it back from a "
                  "backup of the same moment");
    return err;
}

/* ---- in the host's file ---- */

void domain_facts_write(const core *core, uint32_t number, uint8_t tag, dro_builder *out)
{
    const domain *domain = &core->domains[number];
    uint8_t bytes[13];
    dro_builder part = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&part, number, 4);
    dro_builder_le(&part, (uint64_t)domain->since_ms, 8);
    dro_builder_le(&part, (domain->drops_history ? FLAG_DROPS_HISTORY : 0) | (domain->is_going ? FLAG_GOING : 0u), 1);
    dro_field_put(out, tag, bytes, sizeof bytes);
}

dro_err domain_facts_read(core *core, const dro_field *field)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    uint32_t number = (uint32_t)dro_cursor_le(&in, 4);
    int64_t since_ms = (int64_t)dro_cursor_le(&in, 8);
    uint32_t flags = (uint32_t)dro_cursor_le(&in, 1);
    if (in.err != DRO_OK || number == 0 || number >= core->domain_count)
        return DRO_CORRUPT;
    domain *domain = &core->domains[number];
    domain->since_ms = since_ms;
    domain->drops_history = (flags & FLAG_DROPS_HISTORY) != 0;
    if ((flags & FLAG_GOING) == 0 || domain->is_going || domain->is_gone)
        return DRO_OK;
    domain->is_going = true;
    rotation_begin(core, number);
    return DRO_OK;
}

/* ---- another master key ---- */

/* Under the next master key, all or none. */
static dro_err wrap_all(core *core)
{
    uint8_t *again = malloc((size_t)core->domain_count * 2 * VAULT_WRAPPED);
    dro_err err = again == NULL ? DRO_NOMEM : DRO_OK;
    for (uint32_t i = 0; err == DRO_OK && i < core->domain_count; i++) {
        const domain *domain = &core->domains[i];
        uint8_t *at = again + (size_t)i * 2 * VAULT_WRAPPED;
        if (!domain->is_gone)
            err = vault_rewrap(core->vault, vault_key(i, domain->generation), domain->key, at);
        if (err == DRO_OK && !domain->is_gone && domain->has_older)
            err = vault_rewrap(core->vault, vault_key(i, (uint16_t)(domain->generation - 1)), domain->older_key, at + VAULT_WRAPPED);
    }
    for (uint32_t i = 0; err == DRO_OK && i < core->domain_count; i++) {
        domain *domain = &core->domains[i];
        const uint8_t *at = again + (size_t)i * 2 * VAULT_WRAPPED;
        if (!domain->is_gone)
            memcpy(domain->key, at, VAULT_WRAPPED);
        if (!domain->is_gone && domain->has_older)
            memcpy(domain->older_key, at + VAULT_WRAPPED, VAULT_WRAPPED);
    }
    free(again);
    return err;
}

/* The new key is durable beside the old one before anything is under it, and takes its place once all is: whenever the
 * power goes, one of the two opens the file of keys. */
dro_err domains_rekey(core *core)
{
    const char *path = core->options.master_key_path;
    uint8_t master[VAULT_KEY];
    if (path == NULL || !vault_master_is_ours(path))
        return DRO_UNSUPPORTED;
    dro_err err = vault_master_make_next(path, core->options.random, master);
    if (err == DRO_OK) {
        vault_master_next(core->vault, master);
        err = wrap_all(core);
    }
    dro_wipe(master, sizeof master);
    if (err != DRO_OK) {
        vault_master_discard(path);
        return err;
    }
    if (domain_keys_keep(core, true) != DRO_OK || vault_master_replace(path) != DRO_OK)
        abort(); /* either file may be on the disk: the next start sees which, and goes on from there */
    vault_master_take(core->vault);
    dro_info("vault rekeyed domains=%u \"all keys are wrapped by a new master key: keep a copy of it apart from the data\"", core->domain_count);
    return host_show(core);
}

void domains_free(core *core)
{
    for (uint32_t i = 0; i < core->domain_count; i++)
        free(core->domains[i].name);
    free(core->domains);
}
