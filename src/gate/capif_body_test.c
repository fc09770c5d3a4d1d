/* Bodies of CAPIF (TS 29.222): what of them becomes fields, and what is said of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/capif_body.h"
#include "ring/message.h"

typedef bool (*reader_fn)(const char *json);

static body_arena *arena;
static uint8_t written[BODY_FIELDS_MAX];
static dro_builder out;
static body_fault fault;
static capif_place place = { "scef.dromio.test", true };

static int set_up(void **state)
{
    (void)state;
    arena = body_arena_new();
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    body_arena_free(arena);
    return 0;
}

static body_text begin(const char *json)
{
    out = dro_builder_over(written, sizeof written);
    return (body_text){ json, strlen(json) };
}

static bool reads_check(const char *json)
{
    return capif_body_check(arena, begin(json), &out, &fault);
}

static bool reads_revocation(const char *json)
{
    return capif_body_revocation(arena, begin(json), true, &out, &fault);
}

static bool reads_notification(const char *json)
{
    return capif_body_revocation(arena, begin(json), false, &out, &fault);
}

static bool reads_invoker(const char *json)
{
    return capif_body_invoker(arena, begin(json), false, &out, &fault);
}

static bool reads_invoker_patch(const char *json)
{
    return capif_body_invoker(arena, begin(json), true, &out, &fault);
}

static bool reads_security(const char *json)
{
    return capif_body_security(arena, begin(json), &place, &out, &fault);
}

/* The n-th field of the tag as a text. */
static const char *text_of(uint32_t tag, int n)
{
    static char text[CAPIF_SECURITY_MAX + 1];
    dro_field field;
    dro_cursor in = dro_cursor_over(written, dro_builder_length(&out));
    while (dro_field_next(&in, &field)) {
        if (field.tag != tag || n-- > 0)
            continue;
        assert_true(field.length < sizeof text);
        memcpy(text, field.bytes, field.length);
        text[field.length] = '\0';
        return text;
    }
    return "(none)";
}

static void assert_taken(reader_fn reads, const char *json)
{
    if (!reads(json))
        fail_msg("%.300s: %s %s", json, fault.pointer, fault.detail);
}

static void assert_refused(reader_fn reads, const char *json, const char *pointer, const char *word)
{
    if (reads(json))
        fail_msg("%.300s: taken", json);
    assert_int_equal(fault.status, 400);
    assert_string_equal(fault.pointer, pointer);
    if (strstr(fault.detail, word) == NULL)
        fail_msg("%.300s: %s", json, fault.detail);
}

static const char *many(const char *before, const char *item, int count, const char *behind)
{
    static char json[256 * 1024];
    strcpy(json, before);
    char *at = json + strlen(json);
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i > 0 ? "," : "", item);
    strcpy(at, behind);
    return json;
}

/* ---- AEF security (TS 29.222 8.9) ---- */

static void a_check_names_an_invoker_and_features(void **state)
{
    (void)state;
    assert_taken(reads_check, "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0aF\",\"unknown\":[1]}");
    assert_string_equal(text_of(API_FIELD_APPLICATION, 0), "as1");
    assert_string_equal(text_of(API_FIELD_FEATURES, 0), "0aF");
    assert_refused(reads_check, "{\"supportedFeatures\":\"0\"}", "/apiInvokerId", "is missing");
    assert_refused(reads_check, "{\"apiInvokerId\":\"as1\"}", "/supportedFeatures", "is missing");
    assert_refused(reads_check, "{\"apiInvokerId\":\"\",\"supportedFeatures\":\"0\"}", "/apiInvokerId", "must be a text");
    assert_refused(reads_check, "{\"apiInvokerId\":5,\"supportedFeatures\":\"0\"}", "/apiInvokerId", "must be a text");
    assert_refused(reads_check, "{\"apiInvokerId\":\"a\\u0000b\",\"supportedFeatures\":\"0\"}", "/apiInvokerId", "must be a text");
    assert_refused(reads_check, "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0x\"}", "/supportedFeatures", "hexadecimal");
    assert_refused(reads_check, "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0\\u0000\"}", "/supportedFeatures", "hexadecimal");
    assert_refused(reads_check, "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":0}", "/supportedFeatures", "hexadecimal");
    assert_refused(reads_check, many("{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0", "0", 0, "0000000000000000000000000000000000000000000000000000000000000000\"}"),
                   "/supportedFeatures", "hexadecimal");
    char json[400];
    snprintf(json, sizeof json, "{\"apiInvokerId\":\"%0256d\",\"supportedFeatures\":\"0\"}", 0);
    assert_refused(reads_check, json, "/apiInvokerId", "too long");
}

static void a_body_is_an_object_of_few_members_none_twice(void **state)
{
    (void)state;
    assert_refused(reads_check, "[]", "", "no member twice");
    assert_refused(reads_check, "{", "", "no member twice");
    assert_refused(reads_check, "", "", "no member twice");
    assert_refused(reads_check, "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0\",\"apiInvokerId\":\"as2\"}", "", "no member twice");
    char json[2000] = "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0\"";
    for (int i = 2; i < 64; i++)
        sprintf(json + strlen(json), ",\"m%d\":0", i);
    strcat(json, "}");
    assert_taken(reads_check, json);
    strcpy(json + strlen(json) - 1, ",\"m64\":0}");
    assert_refused(reads_check, json, "", "no member twice");
}

static void a_revocation_names_apis_and_says_why(void **state)
{
    static const char good[] = "{\"apiInvokerId\":\"as1\",\"apiIds\":[\"nidd\",\"3gpp-me\"],\"cause\":\"OVERLIMIT_USAGE\",\"aefId\":\"scef\"}";
    char json[400];
    (void)state;
    snprintf(json, sizeof json, "{\"revokeInfo\":%s,\"supportedFeatures\":\"0\"}", good);
    assert_taken(reads_revocation, json);
    assert_string_equal(text_of(API_FIELD_CAPIF_ID, 0), "nidd");
    assert_string_equal(text_of(API_FIELD_CAPIF_ID, 1), "3gpp-me");
    assert_string_equal(text_of(API_FIELD_CAPIF_AEF, 0), "scef");
    assert_taken(reads_notification, good);
    assert_string_equal(text_of(API_FIELD_APPLICATION, 0), "as1");
    snprintf(json, sizeof json, "{\"revokeInfo\":%s}", good);
    assert_refused(reads_revocation, json, "/supportedFeatures", "is missing");
    assert_refused(reads_revocation, "{\"supportedFeatures\":\"0\"}", "/revokeInfo", "SecurityNotification");
    assert_refused(reads_notification, "{\"apiIds\":[\"a\"],\"cause\":\"c\"}", "/apiInvokerId", "is missing");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"aefId\":5,\"apiIds\":[\"a\"],\"cause\":\"c\"}", "/aefId", "a text");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"apiIds\":[\"a\"]}", "/cause", "is missing");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"apiIds\":[\"a\"],\"cause\":5}", "/cause", "a text");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"cause\":\"c\"}", "/apiIds", "1 to 16");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"cause\":\"c\",\"apiIds\":[]}", "/apiIds", "1 to 16");
    assert_refused(reads_notification, "{\"apiInvokerId\":\"a\",\"cause\":\"c\",\"apiIds\":[\"a\",1]}", "/apiIds", "list of texts");
    assert_taken(reads_notification, many("{\"apiInvokerId\":\"a\",\"cause\":\"c\",\"apiIds\":[", "\"a\"", 16, "]}"));
    assert_refused(reads_notification, many("{\"apiInvokerId\":\"a\",\"cause\":\"c\",\"apiIds\":[", "\"a\"", 17, "]}"), "/apiIds", "1 to 16");
}

/* ---- invokers (TS 29.222 8.4) ---- */

#define KEY "\"onboardingInformation\":{\"apiInvokerPublicKey\":\"key\"}"
#define LINK "\"notificationDestination\":\"https://as.example/x\""

static void an_invoker_has_a_key_and_a_destination(void **state)
{
    (void)state;
    assert_taken(reads_invoker, "{" KEY "," LINK ",\"apiInvokerInformation\":\"i\",\"supportedFeatures\":\"0\",\"apiInvokerId\":\"ours to give\"}");
    assert_string_equal(text_of(API_FIELD_PUBLIC_KEY, 0), "key");
    assert_string_equal(text_of(API_FIELD_DESTINATION, 0), "https://as.example/x");
    assert_string_equal(text_of(API_FIELD_INFORMATION, 0), "i");
    assert_string_equal(text_of(API_FIELD_FEATURES, 0), "0");
    assert_taken(reads_invoker_patch, "{}");
    assert_taken(reads_invoker_patch, "{" LINK "}");
    assert_refused(reads_invoker, "{" LINK "}", "/onboardingInformation", "is missing");
    assert_refused(reads_invoker, "{" KEY "}", "/notificationDestination", "is missing");
    assert_refused(reads_invoker, "{" KEY ",\"notificationDestination\":\"h\"}", "/notificationDestination", "absolute URI");
    assert_refused(reads_invoker, "{" KEY ",\"notificationDestination\":5}", "/notificationDestination", "absolute URI");
    assert_refused(reads_invoker, "{" KEY "," LINK ",\"apiInvokerId\":5}", "/apiInvokerId", "a text");
    assert_refused(reads_invoker, "{" KEY "," LINK ",\"supportedFeatures\":\"x\"}", "/supportedFeatures", "hexadecimal");
    assert_refused(reads_invoker, "{" KEY "," LINK ",\"apiInvokerInformation\":\"\"}", "/apiInvokerInformation", "a text");
}

static void what_onboarding_says_beside_the_key_is_text(void **state)
{
    (void)state;
    assert_taken(reads_invoker, "{" LINK ",\"onboardingInformation\":{\"apiInvokerPublicKey\":\"k\",\"apiInvokerCertificate\":\"c\",\"onboardingSecret\":\"s\"}}");
    assert_taken(reads_invoker, "{" LINK ",\"onboardingInformation\":{\"apiInvokerPublicKey\":\"k\",\"onboardingSecret\":\"s\"}}");
    assert_refused(reads_invoker, "{" LINK ",\"onboardingInformation\":5}", "/onboardingInformation", "an object");
    assert_refused(reads_invoker, "{" LINK ",\"onboardingInformation\":{}}", "/onboardingInformation/apiInvokerPublicKey", "is missing");
    assert_refused(reads_invoker, "{" LINK ",\"onboardingInformation\":{\"apiInvokerPublicKey\":\"k\",\"apiInvokerCertificate\":5}}", "/onboardingInformation", "texts");
    assert_refused(reads_invoker, "{" LINK ",\"onboardingInformation\":{\"apiInvokerPublicKey\":\"k\",\"onboardingSecret\":5}}", "/onboardingInformation", "texts");
    assert_refused(reads_invoker_patch, "{\"onboardingInformation\":{\"apiInvokerPublicKey\":5}}", "/onboardingInformation/apiInvokerPublicKey", "a text");
}

static void wishes_and_lists_of_apis_are_looked_at(void **state)
{
    static const char *const good[] = {
        "\"requestTestNotification\":true", "\"websockNotifConfig\":{}", "\"websockNotifConfig\":{\"websocketUri\":\"ws://h\",\"requestWebsocketUri\":false}",
        "\"apiList\":{}", "\"apiList\":{\"serviceAPIDescriptions\":[{\"apiName\":\"a\"}]}",
    };
    static const struct { const char *member, *pointer; } bad[] = {
        { "\"requestTestNotification\":1", "/requestTestNotification" },
        { "\"websockNotifConfig\":1", "/websockNotifConfig" },
        { "\"websockNotifConfig\":{\"websocketUri\":1}", "/websockNotifConfig" },
        { "\"websockNotifConfig\":{\"requestWebsocketUri\":1}", "/websockNotifConfig" },
        { "\"apiList\":[]", "/apiList" },
        { "\"apiList\":{\"serviceAPIDescriptions\":{}}", "/apiList" },
        { "\"apiList\":{\"serviceAPIDescriptions\":[]}", "/apiList" },
        { "\"apiList\":{\"serviceAPIDescriptions\":[1]}", "/apiList/serviceAPIDescriptions" },
        { "\"apiList\":{\"serviceAPIDescriptions\":[{\"apiName\":5}]}", "/apiList/serviceAPIDescriptions" },
    };
    char json[400];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(json, sizeof json, "{%s}", good[i]);
        assert_taken(reads_invoker_patch, json);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json, "{%s}", bad[i].member);
        assert_refused(reads_invoker_patch, json, bad[i].pointer, "");
    }
}

/* ---- security contexts (TS 29.222 8.5) ---- */

static const char *security_of(const char *row)
{
    static char json[2048];
    snprintf(json, sizeof json, "{" LINK ",\"securityInfo\":[%s]}", row);
    return json;
}

static void each_row_gets_the_first_method_that_is_here(void **state)
{
    static const struct { const char *methods, *chosen; } all[] = {
        { "[\"OAUTH\"]", "OAUTH" }, { "[\"PSK\",\"OAUTH\",\"PKI\"]", "OAUTH" }, { "[\"PKI\",\"OAUTH\"]", "PKI" }, { "[\"PKI\"]", "PKI" },
    };
    char row[256], wanted[512];
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(row, sizeof row, "{\"aefId\":\"scef.dromio.test\",\"apiId\":\"nidd\",\"prefSecurityMethods\":%s}", all[i].methods);
        assert_taken(reads_security, security_of(row));
        snprintf(wanted, sizeof wanted, "{\"securityInfo\":[{\"aefId\":\"scef.dromio.test\",\"apiId\":\"nidd\",\"prefSecurityMethods\":%s,\"selSecurityMethod\":\"%s\"}],"
                 "\"notificationDestination\":\"https://as.example/x\"}", all[i].methods, all[i].chosen);
        assert_string_equal(text_of(API_FIELD_SECURITY_CONTEXT, 0), wanted);
        assert_string_equal(text_of(API_FIELD_DESTINATION, 0), "(none)"); /* it is in the text */
    }
    assert_refused(reads_security, security_of("{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[\"PSK\"]}"), "/securityInfo", "OAUTH, PKI");
    place.has_certificates = false;
    assert_refused(reads_security, security_of("{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[\"PKI\"]}"), "/securityInfo", "none is here: OAUTH");
    place.has_certificates = true;
}

static void an_interface_is_one_address_and_a_port(void **state)
{
    static const char *const good[] = { "{\"ipv4Addr\":\"192.0.2.1\"}", "{\"ipv4Addr\":\"192.0.2.1\",\"port\":65535}", "{\"ipv6Addr\":\"2001:db8::1\",\"port\":0}" };
    static const char *const bad[] = {
        "5", "{}", "{\"port\":1}", "{\"ipv4Addr\":\"192.0.2.1\",\"ipv6Addr\":\"::1\"}", "{\"ipv4Addr\":\"::1\"}", "{\"ipv6Addr\":\"192.0.2.1\"}", "{\"ipv4Addr\":5}",
        "{\"ipv4Addr\":\"192.0.2.1\",\"port\":65536}", "{\"ipv4Addr\":\"192.0.2.1\",\"port\":\"1\"}", "{\"ipv4Addr\":\"192.0.2.1\",\"port\":-1}",
    };
    char row[256];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(row, sizeof row, "{\"interfaceDetails\":%s,\"prefSecurityMethods\":[\"OAUTH\"]}", good[i]);
        assert_taken(reads_security, security_of(row));
        snprintf(row, sizeof row, "\"interfaceDetails\":%s,", good[i]); /* shown as it was understood */
        assert_non_null(strstr(text_of(API_FIELD_SECURITY_CONTEXT, 0), row));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(row, sizeof row, "{\"interfaceDetails\":%s,\"prefSecurityMethods\":[\"OAUTH\"]}", bad[i]);
        assert_refused(reads_security, security_of(row), "/securityInfo", "InterfaceDescription");
    }
}

static void rows_that_are_none_are_refused(void **state)
{
    static const struct { const char *row, *word; } bad[] = {
        { "5", "each row" }, { "{}", "each row" }, { "{\"aefId\":\"a\",\"interfaceDetails\":{}}", "each row" }, { "{\"aefId\":\"other\"}", "not this host's" },
        { "{\"aefId\":\"scef.dromio.test\",\"apiId\":5}", "apiId must be" }, { "{\"aefId\":\"scef.dromio.test\"}", "a list of methods" },
        { "{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[]}", "a list of methods" },
        { "{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[1]}", "a list of texts" },
        { "{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}", "a list of methods" },
    };
    static const char row[] = "{\"aefId\":\"scef.dromio.test\",\"prefSecurityMethods\":[\"OAUTH\"]}";
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(reads_security, security_of(bad[i].row), "/securityInfo", bad[i].word);
    assert_refused(reads_security, "{" LINK "}", "/securityInfo", "1 to 16");
    assert_refused(reads_security, "{" LINK ",\"securityInfo\":[]}", "/securityInfo", "1 to 16");
    assert_taken(reads_security, many("{" LINK ",\"securityInfo\":[", row, 16, "]}"));
    assert_refused(reads_security, many("{" LINK ",\"securityInfo\":[", row, 17, "]}"), "/securityInfo", "1 to 16");
    assert_refused(reads_security, many("{\"securityInfo\":[", row, 1, "]}"), "/notificationDestination", "is missing");
    assert_refused(reads_security, many("{" LINK ",\"requestTestNotification\":1,\"securityInfo\":[", row, 1, "]}"), "/requestTestNotification", "true or false");
    assert_taken(reads_security, many("{" LINK ",\"supportedFeatures\":\"ff\",\"securityInfo\":[", row, 1, "]}"));
    assert_non_null(strstr(text_of(API_FIELD_SECURITY_CONTEXT, 0), ",\"supportedFeatures\":\"0\"}")); /* of them this host has none */
    assert_refused(reads_security, many("{" LINK ",\"supportedFeatures\":\"x\",\"securityInfo\":[", row, 1, "]}"), "/supportedFeatures", "hexadecimal");
}

/* ---- room ---- */

static void what_is_too_large_is_refused(void **state)
{
    static char json[2 * 1024 * 1024];
    uint8_t small[4];
    dro_builder none = dro_builder_over(small, sizeof small);
    const char *usual = "{\"apiInvokerId\":\"as1\",\"supportedFeatures\":\"0\"}";
    (void)state;
    assert_false(capif_body_check(arena, begin(usual), &none, &fault));
    assert_int_equal(fault.status, 413);
    memset(json, ' ', sizeof json - 1); /* JSON needs more memory than there is */
    memcpy(json, usual, strlen(usual));
    assert_false(reads_check(json));
    assert_int_equal(fault.status, 413);
    char row[1200];
    snprintf(row, sizeof row, "{\"aefId\":\"scef.dromio.test\",\"apiId\":\"%0200d\",\"prefSecurityMethods\":[\"OAUTH\",\"%0200d\",\"%0200d\"]}", 0, 0, 0);
    assert_refused(reads_security, many("{" LINK ",\"securityInfo\":[", row, 16, "]}"), "/securityInfo", "too large"); /* more than is kept */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_names_an_invoker_and_features),
        cmocka_unit_test(a_body_is_an_object_of_few_members_none_twice),
        cmocka_unit_test(a_revocation_names_apis_and_says_why),
        cmocka_unit_test(an_invoker_has_a_key_and_a_destination),
        cmocka_unit_test(what_onboarding_says_beside_the_key_is_text),
        cmocka_unit_test(wishes_and_lists_of_apis_are_looked_at),
        cmocka_unit_test(each_row_gets_the_first_method_that_is_here),
        cmocka_unit_test(an_interface_is_one_address_and_a_port),
        cmocka_unit_test(rows_that_are_none_are_refused),
        cmocka_unit_test(what_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
