#include "gate/jwt.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/base64.h"

enum {
    POOL_BYTES = 13 * (JWT_HEADER_MAX + JWT_CLAIMS_MAX) + 4096, /* what yyjson may need for both parts */
    ES256_HALF = 32,
    ES256_DER_MAX = 2 + 2 * (2 + 1 + ES256_HALF), /* a sequence of two integers */
    RSA_BITS_MIN = 2048,
    KEY_PART_MAX = JWT_SIGNATURE_MAX,  /* which is the bound of RSA keys too */
};
static const int64_t seconds_max = 253402300799; /* the year 9999 */

struct jwt_memory {
    _Alignas(16) uint8_t pool[POOL_BYTES];
    char parts[JWT_HEADER_MAX + JWT_CLAIMS_MAX];
    yyjson_alc allocator;
};

static const char *const algorithm_names[JWT_ALGORITHMS] = { [JWT_EDDSA] = "EdDSA", [JWT_ES256] = "ES256", [JWT_RS256] = "RS256" };

jwt_memory *jwt_memory_new(void)
{
    return calloc(1, sizeof(jwt_memory));
}

void jwt_memory_free(jwt_memory *memory)
{
    free(memory);
}

/* ---- JSON ---- */

static slice text_of(yyjson_val *value)
{
    return yyjson_is_str(value) ? (slice){ unsafe_yyjson_get_str(value), (uint32_t)unsafe_yyjson_get_len(value) } : (slice){ NULL, 0 };
}

/* Of an object that names a member twice two readers may see two different ones. */
static bool has_twice(yyjson_val *object)
{
    size_t i, j, count, ignored;
    yyjson_val *key, *value, *other, *unused;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        (void)value;
        yyjson_obj_foreach(object, j, ignored, other, unused)
        {
            (void)unused;
            if (j > i && unsafe_yyjson_equals_strn(other, unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key)))
                return true;
        }
    }
    return false;
}

/* An object of few members, or NULL. */
static yyjson_val *read_object(jwt_memory *memory, const dro_builder *json)
{
    yyjson_doc *document =
        yyjson_read_opts((char *)json->start, dro_builder_length(json), YYJSON_READ_NOFLAG, &memory->allocator, NULL);
    yyjson_val *root = yyjson_doc_get_root(document);
    bool is_good = yyjson_is_obj(root) && yyjson_obj_size(root) <= JWT_MEMBERS_MAX && !has_twice(root);
    return is_good ? root : NULL;
}

/* A text, or absent. */
static bool read_text(yyjson_val *object, const char *name, slice *out)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    *out = text_of(value);
    return value == NULL || (out->at != NULL && out->length > 0 && memchr(out->at, 0, out->length) == NULL);
}

/* NumericDate (RFC 7519 2), fractions cut off; 0: absent. */
static bool read_seconds(yyjson_val *object, const char *name, int64_t *out)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    *out = 0;
    if (value == NULL)
        return true;
    double number = yyjson_is_num(value) ? yyjson_get_num(value) : -1;
    if (!(number > 0 && number <= (double)seconds_max))
        return false;
    *out = (int64_t)number;
    return *out > 0;
}

static bool read_audience(yyjson_val *claims, jwt *out)
{
    yyjson_val *value = yyjson_obj_get(claims, "aud"), *item;
    size_t i, count;
    if (value == NULL)
        return true;
    if (yyjson_is_str(value)) {
        out->audiences[out->audience_count++] = text_of(value);
        return true;
    }
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) > JWT_AUDIENCES_MAX)
        return false;
    yyjson_arr_foreach(value, i, count, item)
    {
        if (!yyjson_is_str(item))
            return false;
        out->audiences[out->audience_count++] = text_of(item);
    }
    return true;
}

/* A confirmation that is there and that we cannot check must not be passed over (RFC 7800 3.1). */
static bool read_confirmation(yyjson_val *claims, jwt *out)
{
    yyjson_val *value = yyjson_obj_get(claims, "cnf");
    slice text = text_of(yyjson_obj_get(value, "x5t#S256"));
    dro_builder bytes = dro_builder_over(out->thumbprint, sizeof out->thumbprint);
    if (value == NULL)
        return true;
    out->is_bound = true;
    return text.at != NULL && yyjson_obj_size(value) == 1 && dro_base64url_read(&bytes, text.at, text.length) == DRO_OK &&
           dro_builder_length(&bytes) == JWT_THUMBPRINT;
}

/* ---- parts ---- */

static dro_err read_header(yyjson_val *header, jwt *out)
{
    slice algorithm, type;
    if (!read_text(header, "alg", &algorithm) || !read_text(header, "typ", &type) || !read_text(header, "kid", &out->kid) ||
        algorithm.at == NULL || out->kid.length > JWT_KID_MAX)
        return DRO_MALFORMED;
    if (yyjson_obj_get(header, "crit") != NULL)
        return DRO_UNSUPPORTED;
    out->is_access_token = type.at != NULL && (slice_is(type, "at+jwt") || slice_is(type, "application/at+jwt"));
    for (int i = 0; i < JWT_ALGORITHMS; i++)
        if (slice_is(algorithm, algorithm_names[i])) {
            out->algorithm = i;
            return DRO_OK;
        }
    return DRO_UNSUPPORTED;
}

static dro_err read_claims(yyjson_val *claims, jwt *out)
{
    bool is_good = read_text(claims, "iss", &out->issuer) && read_text(claims, "sub", &out->subject) &&
                   read_text(claims, "client_id", &out->client_id) && read_text(claims, "cred", &out->credential) &&
                   read_seconds(claims, "exp", &out->expires_s) && read_seconds(claims, "nbf", &out->not_before_s) &&
                   read_seconds(claims, "iat", &out->issued_s) && read_audience(claims, out) && read_confirmation(claims, out);
    yyjson_val *scope = yyjson_obj_get(claims, "scope"); /* may be empty */
    out->scope = text_of(scope);
    return is_good && out->expires_s > 0 && (scope == NULL || out->scope.at != NULL) ? DRO_OK : DRO_MALFORMED;
}

/* "a.b.c" -> its parts. */
static bool split(const char *text, size_t length, slice parts[3])
{
    const char *end = text + length;
    for (int i = 0; i < 3; i++) {
        const char *dot = i < 2 ? memchr(text, '.', (size_t)(end - text)) : end;
        if (dot == NULL || dot == text)
            return false;
        parts[i] = (slice){ text, (uint32_t)(dot - text) };
        text = dot + 1;
    }
    return memchr(parts[2].at, '.', parts[2].length) == NULL;
}

bool jwt_is_likely(const char *text, size_t length)
{
    slice parts[3];
    return split(text, length, parts);
}

dro_err jwt_read(jwt *out, jwt_memory *memory, const char *text, size_t length)
{
    slice parts[3];
    *out = (jwt){ 0 };
    if (length > JWT_BYTES_MAX)
        return DRO_LIMIT;
    if (!split(text, length, parts))
        return DRO_MALFORMED;
    dro_builder header = dro_builder_over(memory->parts, JWT_HEADER_MAX);
    dro_builder claims = dro_builder_over(memory->parts + JWT_HEADER_MAX, JWT_CLAIMS_MAX);
    dro_builder signature = dro_builder_over(out->signature, sizeof out->signature);
    dro_err err = dro_base64url_read(&header, parts[0].at, parts[0].length);
    if (err == DRO_OK)
        err = dro_base64url_read(&claims, parts[1].at, parts[1].length);
    if (err == DRO_OK)
        err = dro_base64url_read(&signature, parts[2].at, parts[2].length);
    if (err != DRO_OK)
        return err;
    yyjson_alc_pool_init(&memory->allocator, memory->pool, sizeof memory->pool);
    yyjson_val *header_json = read_object(memory, &header), *claims_json = read_object(memory, &claims);
    if (header_json == NULL || claims_json == NULL)
        return DRO_MALFORMED;
    out->signed_part = (slice){ text, parts[0].length + 1 + parts[1].length };
    out->signature_length = (uint32_t)dro_builder_length(&signature);
    err = read_header(header_json, out);
    return err == DRO_OK ? read_claims(claims_json, out) : err;
}

bool jwt_is_for(const jwt *jwt, const char *audience)
{
    for (uint32_t i = 0; i < jwt->audience_count; i++)
        if (slice_is(jwt->audiences[i], audience))
            return true;
    return false;
}

/* ---- signatures ---- */

/* R and S side by side (RFC 7518 3.4) -> as OpenSSL wants them. The length, 0: none. */
static size_t ecdsa_der(const jwt *jwt, uint8_t out[ES256_DER_MAX])
{
    if (jwt->signature_length != 2 * ES256_HALF)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(jwt->signature, ES256_HALF, NULL), *s = BN_bin2bn(jwt->signature + ES256_HALF, ES256_HALF, NULL);
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return 0;
    }
    uint8_t *at = out;
    int length = i2d_ECDSA_SIG(pair, &at);
    assert(length <= ES256_DER_MAX);
    ECDSA_SIG_free(pair); /* with both numbers */
    return length > 0 ? (size_t)length : 0;
}

bool jwt_is_signed(const jwt *jwt, const jwt_key *key)
{
    uint8_t der[ES256_DER_MAX];
    const uint8_t *signature = jwt->signature;
    size_t length = jwt->signature_length;
    if (jwt->algorithm != key->algorithm)
        return false;
    if (jwt->algorithm == JWT_ES256) {
        length = ecdsa_der(jwt, der);
        signature = der;
    }
    EVP_MD_CTX *context = length > 0 ? EVP_MD_CTX_new() : NULL;
    bool is_good = context != NULL &&
                   EVP_DigestVerifyInit_ex(context, NULL, jwt->algorithm == JWT_EDDSA ? NULL : "SHA256", NULL, NULL, key->key, NULL) == 1 &&
                   EVP_DigestVerify(context, signature, length, (const uint8_t *)jwt->signed_part.at, jwt->signed_part.length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error(); /* what is wrong with a stranger's token is not the next one's to find */
    return is_good;
}

/* ---- keys ---- */

void jwt_key_free(jwt_key *key)
{
    EVP_PKEY_free(key->key);
    *key = (jwt_key){ 0 };
}

dro_err jwk_of_ed25519(jwt_key *out, const char *kid, const uint8_t public_key[JWK_PUBLIC])
{
    *out = (jwt_key){ .algorithm = JWT_EDDSA };
    if (snprintf(out->kid, sizeof out->kid, "%s", kid) >= (int)sizeof out->kid)
        return DRO_LIMIT;
    out->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, JWK_PUBLIC);
    return out->key == NULL ? DRO_NOMEM : DRO_OK;
}

/* A member of a key: the bytes of a base64url text. False: absent or malformed. */
static bool read_part(yyjson_val *jwk, const char *name, dro_builder *out)
{
    slice text = text_of(yyjson_obj_get(jwk, name));
    return text.at != NULL && text.length > 0 && dro_base64url_read(out, text.at, text.length) == DRO_OK;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL), *check = NULL;
    EVP_PKEY *made = NULL;
    bool is_good = parameters != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, &made, EVP_PKEY_PUBLIC_KEY, parameters) == 1;
    if (is_good)
        check = EVP_PKEY_CTX_new_from_pkey(NULL, made, NULL);
    if (!is_good || check == NULL || EVP_PKEY_public_check(check) != 1) {
        EVP_PKEY_free(made);
        made = NULL;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    ERR_clear_error();
    return made;
}

static EVP_PKEY *read_p256(yyjson_val *jwk)
{
    uint8_t point[1 + 2 * ES256_HALF] = { 4 }; /* uncompressed (SEC 1, 2.3.3) */
    dro_builder x = dro_builder_over(point + 1, ES256_HALF), y = dro_builder_over(point + 1 + ES256_HALF, ES256_HALF);
    if (!read_part(jwk, "x", &x) || !read_part(jwk, "y", &y) || dro_builder_length(&x) != ES256_HALF ||
        dro_builder_length(&y) != ES256_HALF)
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *made = NULL;
    if (build != NULL && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        made = pkey_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return made;
}

static EVP_PKEY *read_rsa(yyjson_val *jwk)
{
    uint8_t modulus[KEY_PART_MAX], exponent[8];
    dro_builder n = dro_builder_over(modulus, sizeof modulus), e = dro_builder_over(exponent, sizeof exponent);
    if (!read_part(jwk, "n", &n) || !read_part(jwk, "e", &e))
        return NULL;
    BIGNUM *n_number = BN_bin2bn(modulus, (int)dro_builder_length(&n), NULL);
    BIGNUM *e_number = BN_bin2bn(exponent, (int)dro_builder_length(&e), NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *made = NULL;
    bool is_sized = n_number != NULL && BN_num_bits(n_number) >= RSA_BITS_MIN;
    if (is_sized && e_number != NULL && build != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n_number) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e_number) == 1)
        made = pkey_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(n_number);
    BN_free(e_number);
    return made;
}

static EVP_PKEY *read_ed25519(yyjson_val *jwk)
{
    uint8_t public_key[JWK_PUBLIC];
    dro_builder x = dro_builder_over(public_key, sizeof public_key);
    if (!read_part(jwk, "x", &x) || dro_builder_length(&x) != JWK_PUBLIC)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, JWK_PUBLIC);
}

/* One of a kind that we use; `key` NULL after DRO_OK: passed over (RFC 7517 5). */
static dro_err read_jwk(yyjson_val *jwk, jwt_key *out, char why[JWK_WHY_MAX])
{
    static const struct {
        const char *type, *curve;
        EVP_PKEY *(*read)(yyjson_val *jwk);
        jwt_algorithm algorithm;
    } kinds[] = { { "OKP", "Ed25519", read_ed25519, JWT_EDDSA }, { "EC", "P-256", read_p256, JWT_ES256 }, { "RSA", NULL, read_rsa, JWT_RS256 } };
    slice type = text_of(yyjson_obj_get(jwk, "kty")), curve = text_of(yyjson_obj_get(jwk, "crv")), use = text_of(yyjson_obj_get(jwk, "use"));
    slice algorithm = text_of(yyjson_obj_get(jwk, "alg")), kid;
    *out = (jwt_key){ 0 };
    if (!yyjson_is_obj(jwk) || has_twice(jwk) || !read_text(jwk, "kid", &kid) || kid.length > JWT_KID_MAX) {
        snprintf(why, JWK_WHY_MAX, "a key of the set is malformed");
        return DRO_MALFORMED;
    }
    if (yyjson_obj_get(jwk, "d") != NULL || yyjson_obj_get(jwk, "k") != NULL) {
        snprintf(why, JWK_WHY_MAX, "it has a private key: only public keys belong there");
        return DRO_DENIED;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool is_kind = type.at != NULL && slice_is(type, kinds[i].type) &&
                       (kinds[i].curve == NULL || (curve.at != NULL && slice_is(curve, kinds[i].curve))) &&
                       (use.at == NULL || slice_is(use, "sig")) &&
                       (algorithm.at == NULL || slice_is(algorithm, algorithm_names[kinds[i].algorithm]));
        if (!is_kind)
            continue;
        out->algorithm = kinds[i].algorithm;
        if (kid.at != NULL)
            memcpy(out->kid, kid.at, kid.length);
        out->key = kinds[i].read(jwk);
        if (out->key == NULL)
            snprintf(why, JWK_WHY_MAX, "key \"%.40s\" of the set is no good %s key", out->kid, kinds[i].type);
        return out->key == NULL ? DRO_MALFORMED : DRO_OK;
    }
    return DRO_OK;
}

dro_err jwk_set_read(jwt_key keys[JWK_SET_MAX], uint32_t *count, const char *text, size_t length, char why[JWK_WHY_MAX])
{
    yyjson_doc *document = yyjson_read(text, length, YYJSON_READ_NOFLAG);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(document), "keys"), *jwk;
    size_t i, total;
    dro_err err = yyjson_is_arr(list) ? DRO_OK : DRO_MALFORMED;
    *count = 0;
    snprintf(why, JWK_WHY_MAX, "is no JWK set: {\"keys\":[...]}");
    yyjson_arr_foreach(list, i, total, jwk)
    {
        if (err != DRO_OK)
            break;
        jwt_key made;
        err = read_jwk(jwk, &made, why);
        if (err != DRO_OK || made.key == NULL)
            continue;
        if (*count == JWK_SET_MAX) {
            jwt_key_free(&made);
            snprintf(why, JWK_WHY_MAX, "has more than %d keys", JWK_SET_MAX);
            err = DRO_LIMIT;
            break;
        }
        keys[(*count)++] = made;
    }
    if (err == DRO_OK && *count == 0) {
        snprintf(why, JWK_WHY_MAX, "has no key of Ed25519, P-256 or RSA for signatures");
        err = DRO_NOT_FOUND;
    }
    yyjson_doc_free(document);
    while (err != DRO_OK && *count > 0)
        jwt_key_free(&keys[--*count]);
    return err;
}
