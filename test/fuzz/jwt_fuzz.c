/* JWTs, JWK sets, forms and scopes: what a client or an issuer's file may hold. */
#include <assert.h>
#include <string.h>

#include "gate/form.h"
#include "gate/jwt.h"
#include "gate/scope.h"
#include "ring/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_token(const char *text, size_t size)
{
    static const uint8_t public_key[JWK_PUBLIC] = { 1 };
    static jwt_memory *memory;
    static jwt_key key;
    jwt token;
    if (memory == NULL) {
        memory = jwt_memory_new();
        assert(memory != NULL && jwk_of_ed25519(&key, "k", public_key) == DRO_OK);
    }
    if (jwt_read(&token, memory, text, size) != DRO_OK)
        return;
    assert(jwt_is_likely(text, size) && size <= JWT_BYTES_MAX && token.expires_s > 0);
    assert(token.signature_length <= JWT_SIGNATURE_MAX && token.audience_count <= JWT_AUDIENCES_MAX);
    jwt_is_signed(&token, &key);
    jwt_is_for(&token, "a");
}

static void read_keys(const char *text, size_t size)
{
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX];
    dro_err err = jwk_set_read(keys, &count, text, size, why);
    assert((err == DRO_OK) == (count > 0) && count <= JWK_SET_MAX);
    for (uint32_t i = 0; i < count; i++)
        jwt_key_free(&keys[i]);
}

static void read_form(const char *text, size_t size)
{
    static char room[FORM_MAX];
    form form;
    if (size > sizeof room || !form_read(&form, text, size, room))
        return;
    assert(form.count <= FORM_MEMBERS_MAX);
    slice scope = form_get(&form, "scope");
    scope_read read = scope_of(scope, "aef");
    assert((read.bits & ~(uint32_t)SCOPE_ALL) == 0); /* never that of the administrator */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0]) { /* a letter, so that a corpus can be read */
    case 't': read_token(text, size - 1); break;
    case 'k': read_keys(text, size - 1); break;
    default: read_form(text, size - 1); break;
    }
    return 0;
}
