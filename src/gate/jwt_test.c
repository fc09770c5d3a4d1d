#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "gate/jwt.h"

/* RFC 7515, appendix A.3. */
static const char es256[] = "eyJhbGciOiJFUzI1NiJ9"
                            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
                            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char es256_keys[] = "{\"keys\":[{\"kty\":\"oct2\",\"kid\":\"of no use\"},{\"kty\":\"EC\",\"crv\":\"P-256\","
                                 "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static jwt_memory *memory;
static jwt token;

static int begin(void **state)
{
    (void)state;
    memory = jwt_memory_new();
    return memory == NULL;
}

static int end(void **state)
{
    (void)state;
    jwt_memory_free(memory);
    return 0;
}

static dro_err reads(const char *text)
{
    return jwt_read(&token, memory, text, strlen(text));
}

/* Of a header and claims, signed by nobody. */
static dro_err reads_parts(const char *header, const char *claims)
{
    static char text[2 * JWT_BYTES_MAX];
    dro_builder out = dro_builder_over(text, sizeof text);
    dro_base64url_put(&out, (const uint8_t *)header, strlen(header));
    dro_builder_text(&out, ".");
    dro_base64url_put(&out, (const uint8_t *)claims, strlen(claims));
    dro_builder_text(&out, ".AAAA");
    assert_int_equal(out.err, DRO_OK);
    return jwt_read(&token, memory, text, dro_builder_length(&out));
}

static dro_err reads_claims(const char *claims)
{
    return reads_parts("{\"alg\":\"EdDSA\"}", claims);
}

static void the_example_of_rfc_7515_is_signed_by_its_key(void **state)
{
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX];
    (void)state;
    assert_int_equal(reads(es256), DRO_OK);
    assert_true(slice_is(token.issuer, "joe") && token.expires_s == 1300819380 && token.algorithm == JWT_ES256);
    assert_int_equal(jwk_set_read(keys, &count, es256_keys, strlen(es256_keys), why), DRO_OK);
    assert_int_equal(count, 1);
    assert_true(jwt_is_signed(&token, &keys[0]));
    for (uint32_t i = 0; i < token.signature_length; i++) {
        token.signature[i] ^= 1;
        assert_false(jwt_is_signed(&token, &keys[0]));
        token.signature[i] ^= 1;
    }
    token.signature_length--;
    assert_false(jwt_is_signed(&token, &keys[0]));
    token.signature_length++;
    token.algorithm = JWT_RS256; /* the token's word alone chooses nothing */
    assert_false(jwt_is_signed(&token, &keys[0]));
    jwt_key_free(&keys[0]);
}

/* RFC 7515, appendix A.2. */
static const char rs256[] = "eyJhbGciOiJSUzI1NiJ9"
                            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
                            ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
                            "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
                            "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
#define RSA_N "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2j" \
              "Z47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWN" \
              "moudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpo"

static void the_example_of_rfc_7515_for_rsa_is_signed_by_its_key(void **state)
{
    static const char set[] = "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"alg\":\"RS256\",\"n\":\"" RSA_N "Q\",\"e\":\"AQAB\"}]}";
    jwt_key keys[JWK_SET_MAX], others[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX];
    (void)state;
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_OK);
    assert_int_equal(count, 1);
    assert_string_equal(keys[0].kid, "r");
    assert_int_equal(reads(rs256), DRO_OK);
    assert_true(jwt_is_signed(&token, &keys[0]));
    token.signature[7] ^= 1;
    assert_false(jwt_is_signed(&token, &keys[0]));
    token.signature[7] ^= 1;
    assert_int_equal(jwk_set_read(others, &count, es256_keys, strlen(es256_keys), why), DRO_OK);
    assert_false(jwt_is_signed(&token, &others[0])); /* a key of another algorithm */
    jwt_key_free(&others[0]);
    jwt_key_free(&keys[0]);
}

/* RFC 7517 5: members of a set that cannot be used are passed over. */
static void keys_for_something_else_are_passed_over(void **state)
{
    static const char x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    static const char *const others[] = {
        "\"kty\":\"OKP\",\"crv\":\"Ed448\"", "\"kty\":\"OKP\"", "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\"", "\"kty\":5",
        "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"ES256\"", "\"kty\":\"EC\",\"crv\":\"P-384\"",
    };
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX], set[512];
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(set, sizeof set, "{\"keys\":[{%s,\"x\":\"%s\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"b\",\"x\":\"%s\"}]}", others[i], x, x);
        assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_OK);
        assert_int_equal(count, 1);
        assert_string_equal(keys[0].kid, "b");
        jwt_key_free(&keys[0]);
    }
}

static void a_set_has_16_keys_at_most_and_a_name_128_bytes(void **state)
{
    static char set[8192];
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX], kid[JWT_KID_MAX + 2];
    static const char one[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    uint8_t public_key[JWK_PUBLIC] = { 1 };
    (void)state;
    strcpy(set, "{\"keys\":[");
    for (int i = 0; i < JWK_SET_MAX; i++)
        strcat(strcat(set, i > 0 ? "," : ""), one);
    strcat(set, "]}");
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_OK);
    assert_int_equal(count, JWK_SET_MAX);
    while (count > 0)
        jwt_key_free(&keys[--count]);
    strcpy(set + strlen(set) - 2, ",");
    strcat(strcat(set, one), "]}");
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_LIMIT);
    assert_int_equal(count, 0);
    memset(kid, 'k', sizeof kid);
    kid[JWT_KID_MAX + 1] = '\0';
    assert_int_equal(jwk_of_ed25519(&keys[0], kid, public_key), DRO_LIMIT);
    snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"%s\"}]}", kid);
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_MALFORMED);
    snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"OKP\",\"kid\":5}]}");
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_MALFORMED);
    snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}");
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_DENIED); /* a secret that signs */
}

/* RFC 7518 3.3: 2048 bits or more; and what OpenSSL says of a modulus. */
static void rsa_keys_that_are_weak_or_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "\"n\":\"" RSA_N "A\",\"e\":\"AQAB\"",  /* even */
        "\"n\":\"" RSA_N "Q\",\"e\":\"AQAC\"",  /* an even exponent */
        "\"n\":\"" RSA_N "Q\"", "\"e\":\"AQAB\"", "\"n\":\"\",\"e\":\"AQAB\"",
        "\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7\",\"e\":\"AQAB\"", /* 960 bits */
    };
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX], set[2048];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"weak\",%s}]}", bad[i]);
        if (jwk_set_read(keys, &count, set, strlen(set), why) != DRO_MALFORMED)
            fail_msg("%s", bad[i]);
        assert_string_equal(why, "key \"weak\" of the set is no good RSA key");
    }
    snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%01000d\",\"e\":\"AQAB\"}]}", 0); /* beyond 4096 bits */
    assert_int_equal(jwk_set_read(keys, &count, set, strlen(set), why), DRO_MALFORMED);
}

static dro_err reads_rsa_of(unsigned bits)
{
    EVP_PKEY *pair = EVP_RSA_gen(bits);
    BIGNUM *modulus = NULL;
    uint8_t bytes[1024];
    char set[2048], why[JWK_WHY_MAX];
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    assert_int_equal(EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_RSA_N, &modulus), 1);
    dro_builder out = dro_builder_over(set, sizeof set);
    dro_builder_text(&out, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
    dro_base64url_put(&out, bytes, (size_t)BN_bn2bin(modulus, bytes));
    dro_builder_text(&out, "\"}]}");
    BN_free(modulus);
    EVP_PKEY_free(pair);
    dro_err err = jwk_set_read(keys, &count, set, dro_builder_length(&out), why);
    while (count > 0)
        jwt_key_free(&keys[--count]);
    return err;
}

/* RFC 7518 3.3. */
static void an_rsa_key_has_2048_bits_at_least(void **state)
{
    (void)state;
    assert_int_equal(reads_rsa_of(1024), DRO_MALFORMED);
    assert_int_equal(reads_rsa_of(2047), DRO_MALFORMED);
    assert_int_equal(reads_rsa_of(2048), DRO_OK);
}

static void every_shorter_token_is_refused_or_not_signed(void **state)
{
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX];
    (void)state;
    assert_int_equal(jwk_set_read(keys, &count, es256_keys, strlen(es256_keys), why), DRO_OK);
    for (size_t length = 0; length < strlen(es256); length++)
        if (jwt_read(&token, memory, es256, length) == DRO_OK)
            assert_false(jwt_is_signed(&token, &keys[0]));
    jwt_key_free(&keys[0]);
}

/* RFC 8037, appendix A: what the key of A.1 signed in A.4. */
static void the_example_of_rfc_8037_is_signed_by_its_key(void **state)
{
    static const char x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", part[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
                      signature[] = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    uint8_t public_key[JWK_PUBLIC];
    dro_builder key_bytes = dro_builder_over(public_key, sizeof public_key);
    jwt_key key;
    (void)state;
    assert_int_equal(dro_base64url_read(&key_bytes, x, strlen(x)), DRO_OK);
    assert_int_equal(jwk_of_ed25519(&key, "a", public_key), DRO_OK);
    token = (jwt){ .algorithm = JWT_EDDSA, .signed_part = { part, sizeof part - 1 } };
    dro_builder out = dro_builder_over(token.signature, sizeof token.signature);
    assert_int_equal(dro_base64url_read(&out, signature, strlen(signature)), DRO_OK);
    token.signature_length = (uint32_t)dro_builder_length(&out);
    assert_true(jwt_is_signed(&token, &key));
    token.signed_part.length--;
    assert_false(jwt_is_signed(&token, &key));
    jwt_key_free(&key);
}

static void only_signatures_that_are_known_are_read(void **state)
{
    static const char *const none[] = { "{\"alg\":\"none\"}", "{\"alg\":\"HS256\"}", "{\"alg\":\"eddsa\"}", "{\"alg\":\"EdDSA\",\"crit\":[\"b64\"]}" };
    static const char *const broken[] = { "{}", "[]", "{\"alg\":1}", "{\"alg\":\"EdDSA\",\"alg\":\"none\"}", "{\"alg\":\"EdDSA\",\"kid\":1}", "" };
    (void)state;
    char header[JWT_KID_MAX + 64];
    snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%0*d\"}", JWT_KID_MAX + 1, 0);
    assert_int_equal(reads_parts(header, "{\"exp\":1}"), DRO_MALFORMED);
    assert_int_equal(reads_parts("{\"alg\":\"EdDSA\",\"typ\":5}", "{\"exp\":1}"), DRO_MALFORMED);
    static const struct { const char *header; bool is_access_token; } types[] = { /* RFC 9068 2.1 */
        { "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", true }, { "{\"alg\":\"EdDSA\",\"typ\":\"application/at+jwt\"}", true },
        { "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", false }, { "{\"alg\":\"EdDSA\"}", false },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        assert_int_equal(reads_parts(types[i].header, "{\"exp\":1}"), DRO_OK);
        assert_int_equal(token.is_access_token, types[i].is_access_token);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(reads_parts(none[i], "{\"exp\":1}"), DRO_UNSUPPORTED);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(reads_parts(broken[i], "{\"exp\":1}"), DRO_MALFORMED);
}

static void claims_are_taken_as_they_must_be(void **state)
{
    static const char *const broken[] = {
        "{}", "{\"exp\":\"1\"}", "{\"exp\":0}", "{\"exp\":-1}", "{\"exp\":1e30}", "{\"exp\":1,\"exp\":2}", "{\"exp\":1,\"nbf\":true}",
        "{\"exp\":1,\"iss\":1}", "{\"exp\":1,\"iss\":\"\"}", "{\"exp\":1,\"sub\":\"a\\u0000b\"}", "{\"exp\":1,\"aud\":1}", "{\"exp\":1,\"aud\":[1]}",
        "{\"exp\":1,\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}", "{\"exp\":1,\"cnf\":{}}", "{\"exp\":1,\"cnf\":{\"jkt\":\"x\"}}",
        "{\"exp\":1,\"cnf\":{\"x5t#S256\":\"AAAA\"}}", "{\"exp\":1,\"scope\":[\"read\"]}", "{\"exp\":1} x",
    };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(reads_claims(broken[i]), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"client_id\":1}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"cred\":1}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"iat\":-1}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":0.5}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"cnf\":{\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"jkt\":\"x\"}}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"cnf\":{\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8!\"}}"), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1,\"cnf\":{\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"},\"aud\":\"a\"}"), DRO_OK);
    assert_true(token.is_bound && token.thumbprint[31] == 31 && jwt_is_for(&token, "a"));
    char claims[2000] = "{\"exp\":1"; /* RFC 7519 4: no member more than 64 */
    for (int i = 1; i < JWT_MEMBERS_MAX; i++)
        sprintf(claims + strlen(claims), ",\"m%d\":0", i);
    strcat(claims, "}");
    assert_int_equal(reads_claims(claims), DRO_OK);
    strcpy(claims + strlen(claims) - 1, ",\"more\":0}");
    assert_int_equal(reads_claims(claims), DRO_MALFORMED);
    assert_int_equal(reads_claims("{\"exp\":1700000000.9,\"nbf\":5,\"aud\":[\"a\",\"b\"],\"scope\":\"\",\"more\":{\"a\":[1,2]}}"), DRO_OK);
    assert_true(token.expires_s == 1700000000 && token.not_before_s == 5 && token.issued_s == 0 && !token.is_bound);
    assert_true(jwt_is_for(&token, "b") && !jwt_is_for(&token, "c"));
}

static void a_token_has_a_bound(void **state)
{
    static char text[JWT_BYTES_MAX + 2];
    (void)state;
    memset(text, 'A', sizeof text - 1);
    assert_int_equal(reads(text), DRO_LIMIT);
    static char claims[JWT_CLAIMS_MAX + 64];
    memset(claims, ' ', sizeof claims - 1);
    assert_int_equal(reads_claims(claims), DRO_LIMIT);
}

static void key_sets_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[1]}", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
    };
    jwt_key keys[JWK_SET_MAX];
    uint32_t count;
    char why[JWK_WHY_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(jwk_set_read(keys, &count, bad[i], strlen(bad[i]), why), DRO_OK);
        assert_int_equal(count, 0);
        assert_true(strlen(why) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_7515_is_signed_by_its_key),
        cmocka_unit_test(every_shorter_token_is_refused_or_not_signed),
        cmocka_unit_test(the_example_of_rfc_8037_is_signed_by_its_key),
        cmocka_unit_test(only_signatures_that_are_known_are_read),
        cmocka_unit_test(claims_are_taken_as_they_must_be),
        cmocka_unit_test(a_token_has_a_bound),
        cmocka_unit_test(key_sets_that_are_none_are_refused),
        cmocka_unit_test(the_example_of_rfc_7515_for_rsa_is_signed_by_its_key),
        cmocka_unit_test(keys_for_something_else_are_passed_over),
        cmocka_unit_test(a_set_has_16_keys_at_most_and_a_name_128_bytes),
        cmocka_unit_test(rsa_keys_that_are_weak_or_none_are_refused),
        cmocka_unit_test(an_rsa_key_has_2048_bits_at_least),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
