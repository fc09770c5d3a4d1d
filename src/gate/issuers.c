#include "gate/issuers.h"

#include <string.h>

void issuers_init(issuers *all, const issuer_config *rows, uint32_t count)
{
    *all = (issuers){ .count = count };
    for (uint32_t i = 0; i < count; i++)
        all->list[i].config = &rows[i];
}

static void forget_keys(issuer *issuer)
{
    while (issuer->key_count > 0)
        jwt_key_free(&issuer->keys[--issuer->key_count]);
}

void issuers_fini(issuers *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        forget_keys(&all->list[i]);
}

dro_err issuers_take(issuers *all, uint32_t index, const char *text, size_t length, char why[JWK_WHY_MAX])
{
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    issuer *issuer = &all->list[index];
    dro_err err = jwk_set_read(keys, &count, text, length, why);
    if (err != DRO_OK)
        return err;
    forget_keys(issuer);
    memcpy(issuer->keys, keys, count * sizeof keys[0]);
    issuer->key_count = count;
    all->serial++;
    return DRO_OK;
}

const issuer *issuers_of(const issuers *all, const jwt *jwt)
{
    const issuer *any = NULL;
    for (uint32_t i = 0; i < all->count && jwt->issuer.at != NULL; i++) {
        if (slice_is(jwt->issuer, all->list[i].config->issuer))
            return &all->list[i];
        if (strcmp(all->list[i].config->issuer, "*") == 0)
            any = &all->list[i];
    }
    return any;
}

static const jwt_key *key_of(const issuer *issuer, const jwt *jwt)
{
    const jwt_key *found = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < issuer->key_count; i++) {
        const jwt_key *key = &issuer->keys[i];
        bool is_it = key->algorithm == jwt->algorithm && (jwt->kid.at == NULL || slice_is(jwt->kid, key->kid));
        if (is_it)
            found = key;
        count += is_it;
    }
    return count == 1 ? found : NULL;
}

bool issuer_has_key(const issuer *issuer, const jwt *jwt)
{
    return key_of(issuer, jwt) != NULL;
}

bool issuer_signed(const issuer *issuer, const jwt *jwt)
{
    const jwt_key *key = key_of(issuer, jwt);
    return key != NULL && jwt_is_signed(jwt, key);
}
