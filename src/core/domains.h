/* Domains and their keys. Core 0 keeps the keys in a small file of their own, wrapped by the master key and
 * outside the log, so that deleting one shreds what was sealed under it; the other cores follow it. A domain
 * keeps its number for good: records name it, and one that was deleted stays as a gap.
 *
 * A domain has one key, or two while the newer takes the place of the older (core/rotation.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/core.h"
#include "core/vault.h"

enum domain_stage {              /* of what this core has to do for a domain whose keys change */
    DOMAIN_SETTLED, DOMAIN_WAITS, DOMAIN_WALKED, DOMAIN_SEALED,
};

typedef struct domain {
    char *name;                  /* "": gone, or its name is not known yet */
    uint32_t twins;              /* of this core */
    uint32_t left;               /* of them, under the older key */
    int64_t since_ms;            /* the newest key; 0: not known */
    uint32_t old_segment;        /* the last one that may hold something under the older key */
    uint16_t generation;         /* of the newest key */
    uint8_t cell;                /* where its twins' code runs */
    uint8_t stage;
    bool is_kept;                /* name and key are on the disk */
    bool has_older;              /* the key of the generation before is still there */
    bool drops_history;          /* it does not wait for the timelines under it */
    bool is_stopped;             /* core/stops.h */
    bool is_going, is_gone;      /* its twins are being deleted; they are, and its key */
    uint8_t key[VAULT_WRAPPED], older_key[VAULT_WRAPPED];
} domain;

uint32_t domain_find(const core *core, const char *name, size_t length);  /* or NONE */
/* Made if missing. DRO_AGAIN: core 0 makes it, see question_ask. DRO_DENIED: it is being deleted. */
DRO_CHECKED dro_err domain_get(core *core, const char *name, size_t length, uint32_t *number);
/* Of the host itself, at its first start. */
DRO_CHECKED dro_err domain_make_host(core *core);
void domain_twins_add(core *core, uint32_t number, int by);
void domain_place(core *core, uint32_t number); /* its name is known: so is its cell */

/* The file of keys: as it is, for `count` domains, and read. */
/* Durable on return. `is_over`: what was there is overwritten, as it holds a key that is to be gone; not while a backup reads it. */
DRO_CHECKED dro_err domain_keys_keep(core *core, bool is_over);
size_t domain_keys_length(const core *core);        /* of those that are kept */
void domain_keys_write(const core *core, uint8_t *bytes);
DRO_CHECKED dro_err domain_keys_load(core *core, const uint8_t *bytes, size_t length);
DRO_CHECKED dro_err domain_keys_follow(core *core, const uint8_t *bytes, size_t length); /* as core 0 has them now */
/* What the host's file says besides names. */
void domain_facts_write(const core *core, uint32_t number, uint8_t tag, dro_builder *out);
DRO_CHECKED dro_err domain_facts_read(core *core, const dro_field *field);

/* Another master key. DRO_UNSUPPORTED: it is not the host's to replace. */
DRO_CHECKED dro_err domains_rekey(core *core);
void domains_free(core *core);
