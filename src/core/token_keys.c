#include "core/token_keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/state.h"

bool token_key_is_old(const core *core, const token_key *entry)
{
    return core->now_ms - entry->made_ms > IDEMPOTENCY_KEPT_S * 1000ll;
}

const token_key *token_key_find(const core *core, const uint8_t hashes[64])
{
    const token_keys *keys = &core->token_keys;
    for (uint32_t i = keys->count; i-- > 0;)
        if (memcmp(keys->list[i].hashes, hashes, 32) == 0 && !token_key_is_old(core, &keys->list[i]))
            return &keys->list[i];
    return NULL;
}

bool token_key_open(core *core, const token_key *entry, char token[TOKEN_TEXT])
{
    token[TOKEN_TEXT - 1] = '\0';
    return vault_open_log(core->vault, 0, entry->hashes, sizeof entry->hashes, entry->sealed, TOKEN_SEALED, token) == DRO_OK;
}

/* Room for one more at the end. */
static token_key *make_room(core *core)
{
    token_keys *keys = &core->token_keys;
    if (keys->list == NULL && (keys->list = calloc(TOKEN_KEYS_MAX, sizeof *keys->list)) == NULL)
        return NULL;
    uint32_t gone = 0;
    while (gone < keys->count && (token_key_is_old(core, &keys->list[gone]) || keys->count - gone == TOKEN_KEYS_MAX))
        gone++;
    keys->count -= gone;
    memmove(keys->list, keys->list + gone, keys->count * sizeof *keys->list);
    return &keys->list[keys->count++];
}

dro_err token_key_put(core *core, const uint8_t hashes[64], uint32_t application, const char token[TOKEN_TEXT])
{
    token_key *entry = make_room(core);
    if (entry == NULL)
        return DRO_NOMEM;
    *entry = (token_key){ .made_ms = core->now_ms, .application = application };
    memcpy(entry->hashes, hashes, sizeof entry->hashes);
    vault_seal_log(core->vault, 0, entry->hashes, sizeof entry->hashes, token, TOKEN_TEXT - 1, entry->sealed);
    return DRO_OK;
}

void token_key_take_back(core *core)
{
    core->token_keys.count--;
}

void token_key_write(const token_key *entry, dro_builder *out)
{
    dro_builder_bytes(out, entry->hashes, sizeof entry->hashes);
    dro_builder_le(out, (uint64_t)entry->made_ms, 8);
    dro_builder_le(out, entry->application, 4);
    dro_builder_bytes(out, entry->sealed, sizeof entry->sealed);
}

dro_err token_key_read(core *core, dro_cursor *in)
{
    token_key read = { 0 };
    const uint8_t *hashes = dro_cursor_bytes(in, sizeof read.hashes);
    read.made_ms = (int64_t)dro_cursor_le(in, 8);
    read.application = (uint32_t)dro_cursor_le(in, 4);
    const uint8_t *sealed = dro_cursor_bytes(in, sizeof read.sealed);
    if (in->err != DRO_OK)
        return DRO_CORRUPT;
    memcpy(read.hashes, hashes, sizeof read.hashes);
    memcpy(read.sealed, sealed, sizeof read.sealed);
    token_key *entry = make_room(core);
    if (entry == NULL)
        return DRO_NOMEM;
    *entry = read;
    return DRO_OK;
}

void token_keys_free(core *core)
{
    free(core->token_keys.list);
    core->token_keys = (token_keys){ 0 };
}
