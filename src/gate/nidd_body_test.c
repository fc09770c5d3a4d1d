/* Bodies of non-IP data delivery (TS 29.122 5.6): what of them becomes fields, and what is said of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/nidd_body.h"
#include "ring/message.h"

static const int64_t now_ms = 1795348800000; /* 2026-11-22T12:00:00Z */

static body_arena *arena;
static uint8_t written[BODY_FIELDS_MAX];
static dro_builder out;
static body_fault fault;

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

static bool reads(enum nidd_use uses, const char *json)
{
    out = dro_builder_over(written, sizeof written);
    return nidd_body_read(arena, (body_text){ json, strlen(json) }, uses, now_ms, &out, &fault);
}

static bool reads_port(const char *json)
{
    out = dro_builder_over(written, sizeof written);
    return nidd_body_read_port(arena, (body_text){ json, strlen(json) }, &out, &fault);
}

static const dro_field *found(uint32_t tag)
{
    static dro_field field;
    dro_cursor in = dro_cursor_over(written, dro_builder_length(&out));
    while (dro_field_next(&in, &field))
        if (field.tag == tag)
            return &field;
    return NULL;
}

static void assert_field(uint32_t tag, const void *wanted, size_t length)
{
    const dro_field *field = found(tag);
    assert_non_null(field);
    assert_int_equal(field->length, length);
    assert_memory_equal(field->bytes, wanted, length);
}

/* With what a configuration and a delivery have to have. */
static bool reads_member(enum nidd_use uses, const char *member)
{
    static char json[8192];
    const char *needed = uses == NIDD_IN_CONFIGURATION ? "\"externalId\":\"a@b.example\",\"notificationDestination\":\"http://h\","
                         : uses == NIDD_IN_DELIVERY    ? "\"externalId\":\"a@b.example\",\"data\":\"AQ==\","
                                                       : "";
    int length = snprintf(json, sizeof json, "{%s%s}", needed, member);
    assert_true(length > 0 && (size_t)length < sizeof json);
    return reads(uses, json);
}

static void assert_taken(enum nidd_use uses, const char *member, uint32_t tag, const void *wanted, size_t length)
{
    if (!reads_member(uses, member))
        fail_msg("%s: %s %s", member, fault.pointer, fault.detail);
    assert_field(tag, wanted, length);
}

static void assert_refused(enum nidd_use uses, const char *member, const char *pointer, const char *word)
{
    if (reads_member(uses, member))
        fail_msg("%s: taken", member);
    assert_int_equal(fault.status, 400);
    assert_string_equal(fault.pointer, pointer);
    if (strstr(fault.detail, word) == NULL)
        fail_msg("%s: %s", member, fault.detail);
}

static void who_it_is_about_is_said_once(void **state)
{
    (void)state;
    assert_true(reads(NIDD_IN_CONFIGURATION, "{\"msisdn\":\"491701234\",\"notificationDestination\":\"http://h\"}"));
    assert_field(API_FIELD_MSISDN, "491701234", 9);
    assert_true(reads(NIDD_IN_CONFIGURATION, "{\"externalGroupId\":\"g@B.example\",\"notificationDestination\":\"http://h\"}"));
    assert_field(API_FIELD_GROUP, "g@b.example", 11);
    assert_field(API_FIELD_DESTINATION, "http://h", 8);
    assert_false(reads(NIDD_IN_CONFIGURATION, "{\"notificationDestination\":\"http://h\"}"));
    assert_string_equal(fault.detail, "one of externalId, msisdn and externalGroupId must be there");
    assert_false(reads(NIDD_IN_CONFIGURATION, "{\"externalId\":\"a@b.example\",\"msisdn\":\"491701234\",\"notificationDestination\":\"http://h\"}"));
    assert_string_equal(fault.pointer, "");
    assert_false(reads(NIDD_IN_CONFIGURATION, "{\"externalId\":\"a@b.example\"}"));
    assert_string_equal(fault.pointer, "/notificationDestination");
    assert_false(reads(NIDD_IN_DELIVERY, "{\"externalId\":\"a@b.example\"}"));
    assert_string_equal(fault.pointer, "/data");
    assert_false(reads(NIDD_IN_DELIVERY, "{\"externalId\":5,\"data\":\"\"}"));
    assert_string_equal(fault.pointer, "/externalId");
    assert_false(reads(NIDD_IN_DELIVERY, "{\"externalId\":\"a\",\"data\":\"\"}"));
    assert_string_equal(fault.pointer, "/externalId");
    assert_true(reads(NIDD_IN_CONFIGURATION_PATCH, "{}"));
    assert_true(reads(NIDD_IN_DELIVERY_PATCH, "{}"));
    assert_false(reads(NIDD_IN_DELIVERY, "[]"));
    assert_string_equal(fault.detail, "must be an object");
    assert_false(reads(NIDD_IN_DELIVERY, "{"));
    assert_non_null(strstr(fault.detail, "not JSON at byte"));
}

static void texts_and_digits_have_their_lengths(void **state)
{
    char member[400];
    (void)state;
    assert_taken(NIDD_IN_CONFIGURATION, "\"mtcProviderId\":\"m\"", API_FIELD_PROVIDER, "m", 1);
    assert_refused(NIDD_IN_CONFIGURATION, "\"mtcProviderId\":\"\"", "/mtcProviderId", "1 to 255");
    snprintf(member, sizeof member, "\"mtcProviderId\":\"%0256d\"", 0);
    assert_refused(NIDD_IN_CONFIGURATION, member, "/mtcProviderId", "1 to 255");
    assert_taken(NIDD_IN_CONFIGURATION, "\"supportedFeatures\":\"aF0\"", API_FIELD_FEATURES, "aF0", 3);
    assert_refused(NIDD_IN_CONFIGURATION, "\"supportedFeatures\":\"x\"", "/supportedFeatures", "hexadecimal");
    assert_refused(NIDD_IN_CONFIGURATION, "\"supportedFeatures\":\"00000000000000000\"", "/supportedFeatures", "at most 16");
    assert_refused(NIDD_IN_CONFIGURATION_PATCH, "\"notificationDestination\":\"ftp://h\"", "/notificationDestination", "absolute URI");
    static const char *const no_numbers[] = { "1234", "1234567890123456", "1234a" };
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        snprintf(member, sizeof member, "{\"msisdn\":\"%s\",\"data\":\"\"}", no_numbers[i]);
        assert_false(reads(NIDD_IN_DELIVERY, member));
        assert_string_equal(fault.pointer, "/msisdn");
    }
}

static void data_is_base64_and_too_much_of_it_is_for_the_core_to_say(void **state)
{
    static char json[4 * NIDD_DATA_MAX];
    (void)state;
    assert_true(reads(NIDD_IN_DELIVERY_PATCH, "{\"data\":\"AQID\"}"));
    assert_field(API_FIELD_DATA, "\1\2\3", 3);
    assert_false(reads(NIDD_IN_DELIVERY_PATCH, "{\"data\":\"A\"}"));
    assert_string_equal(fault.detail, "data must be base64");
    strcpy(json, "{\"data\":\"");
    memset(json + strlen(json), 'A', (NIDD_DATA_MAX + 2) / 3 * 4);
    strcat(json, "\"}");
    assert_true(reads(NIDD_IN_DELIVERY_PATCH, json)); /* 1359 bytes, one more than may be */
    assert_int_equal(found(API_FIELD_DATA)->length, NIDD_DATA_MAX + 1);
    strcpy(json + strlen(json) - 2, "AAAA\"}");
    assert_true(reads(NIDD_IN_DELIVERY_PATCH, json));
    assert_int_equal(found(API_FIELD_DATA)->length, NIDD_DATA_MAX + 1);
}

/* TS 29.122 5.6.2.1.6 RdsPort; as T8 names them ports are 0 to 15. */
static void ports_are_pairs_of_0_to_15(void **state)
{
    static const char *const bad[] = {
        "5", "{}", "{\"portUE\":1}", "{\"portSCEF\":1}", "{\"portUE\":16,\"portSCEF\":1}", "{\"portUE\":1,\"portSCEF\":16}", "{\"portUE\":-1,\"portSCEF\":1}",
        "{\"portUE\":\"1\",\"portSCEF\":1}", "{\"portUE\":1,\"portSCEF\":1.5}",
    };
    char member[1024] = "\"rdsPorts\":[";
    (void)state;
    assert_taken(NIDD_IN_DELIVERY, "\"rdsPort\":{\"portUE\":0,\"portSCEF\":15}", API_FIELD_RDS_PORT, "\0\17", 2);
    assert_taken(NIDD_IN_CONFIGURATION, "\"rdsPorts\":[{\"portUE\":1,\"portSCEF\":2},{\"portUE\":3,\"portSCEF\":4}]", API_FIELD_RDS_PORTS, "\1\2\3\4", 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char one[128];
        snprintf(one, sizeof one, "\"rdsPort\":%s", bad[i]);
        assert_refused(NIDD_IN_DELIVERY, one, "/rdsPort", "0 to 15");
    }
    assert_refused(NIDD_IN_CONFIGURATION, "\"rdsPorts\":[{\"portUE\":1}]", "/rdsPorts", "0 to 15");
    assert_refused(NIDD_IN_CONFIGURATION, "\"rdsPorts\":[]", "/rdsPorts", "array of 1 to 16");
    assert_refused(NIDD_IN_CONFIGURATION, "\"rdsPorts\":{}", "/rdsPorts", "array of 1 to 16");
    for (int i = 0; i < NIDD_PORTS_MAX; i++)
        strcat(member, "{\"portUE\":1,\"portSCEF\":2},");
    strcat(member, "1]");
    assert_refused(NIDD_IN_CONFIGURATION, member, "/rdsPorts", "array of 1 to 16");
}

static void options_are_those_of_table_5_6_2_3_2_1(void **state)
{
    (void)state;
    assert_taken(NIDD_IN_DELIVERY, "\"pdnEstablishmentOption\":\"WAIT_FOR_UE\"", API_FIELD_PDN_OPTION, &(uint8_t){ PDN_WAIT_FOR_UE }, 1);
    assert_taken(NIDD_IN_DELIVERY, "\"pdnEstablishmentOption\":\"INDICATE_ERROR\"", API_FIELD_PDN_OPTION, &(uint8_t){ PDN_INDICATE_ERROR }, 1);
    assert_taken(NIDD_IN_DELIVERY, "\"pdnEstablishmentOption\":\"SEND_TRIGGER\"", API_FIELD_PDN_OPTION, &(uint8_t){ PDN_SEND_TRIGGER }, 1);
    assert_refused(NIDD_IN_DELIVERY, "\"pdnEstablishmentOption\":\"WAIT\"", "/pdnEstablishmentOption", "must be WAIT_FOR_UE");
    assert_refused(NIDD_IN_DELIVERY, "\"pdnEstablishmentOption\":5", "/pdnEstablishmentOption", "must be WAIT_FOR_UE");
}

static void scalars_are_what_their_kind_says(void **state)
{
    int64_t number = 60;
    (void)state;
    assert_taken(NIDD_IN_DELIVERY, "\"maximumLatency\":60", API_FIELD_MAXIMUM_LATENCY, &number, sizeof number);
    number = INT64_MAX;
    assert_taken(NIDD_IN_DELIVERY, "\"maximumLatency\":9223372036854775807", API_FIELD_MAXIMUM_LATENCY, &number, sizeof number);
    assert_refused(NIDD_IN_DELIVERY, "\"maximumLatency\":-1", "/maximumLatency", "seconds");
    assert_refused(NIDD_IN_DELIVERY, "\"maximumLatency\":1.5", "/maximumLatency", "seconds");
    number = -3;
    assert_taken(NIDD_IN_DELIVERY, "\"priority\":-3", API_FIELD_PRIORITY, &number, sizeof number);
    assert_refused(NIDD_IN_DELIVERY, "\"priority\":\"1\"", "/priority", "whole number");
    assert_taken(NIDD_IN_CONFIGURATION, "\"reliableDataService\":true", API_FIELD_RELIABLE, "\1", 1);
    assert_taken(NIDD_IN_CONFIGURATION, "\"requestTestNotification\":false", API_FIELD_TEST, "\0", 1);
    assert_refused(NIDD_IN_CONFIGURATION, "\"requestTestNotification\":0", "/requestTestNotification", "true or false");
    assert_taken(NIDD_IN_CONFIGURATION, "\"websockNotifConfig\":{\"requestWebsocketUri\":true}", API_FIELD_WEBSOCKET, "\1", 1);
    assert_taken(NIDD_IN_CONFIGURATION, "\"websockNotifConfig\":{}", API_FIELD_WEBSOCKET, "\0", 1);
    assert_refused(NIDD_IN_CONFIGURATION, "\"websockNotifConfig\":true", "/websockNotifConfig", "requestWebsocketUri");
    assert_refused(NIDD_IN_CONFIGURATION, "\"websockNotifConfig\":{\"requestWebsocketUri\":1}", "/websockNotifConfig", "requestWebsocketUri");
}

/* 2^63 seconds became none, which means that nothing is to be kept for the device. */
static void a_latency_that_is_too_large_is_the_largest(void **state)
{
    int64_t number = INT64_MAX;
    (void)state;
    assert_taken(NIDD_IN_DELIVERY, "\"maximumLatency\":9223372036854775808", API_FIELD_MAXIMUM_LATENCY, &number, sizeof number);
    assert_taken(NIDD_IN_DELIVERY, "\"maximumLatency\":18446744073709551615", API_FIELD_MAXIMUM_LATENCY, &number, sizeof number);
    assert_taken(NIDD_IN_DELIVERY, "\"priority\":9223372036854775807", API_FIELD_PRIORITY, &number, sizeof number);
    assert_refused(NIDD_IN_DELIVERY, "\"priority\":9223372036854775808", "/priority", "whole number"); /* not a negative one */
}

static void a_duration_ends_after_the_callers_clock(void **state)
{
    int64_t end = now_ms + 1;
    (void)state;
    assert_taken(NIDD_IN_CONFIGURATION, "\"duration\":\"2026-11-22T12:00:00.001Z\"", API_FIELD_DURATION, &end, sizeof end);
    assert_refused(NIDD_IN_CONFIGURATION, "\"duration\":\"2026-11-22T12:00:00Z\"", "/duration", "in the future");
    assert_refused(NIDD_IN_CONFIGURATION, "\"duration\":\"tomorrow\"", "/duration", "RFC 3339");
    assert_refused(NIDD_IN_CONFIGURATION, "\"duration\":5", "/duration", "RFC 3339");
}

/* RFC 7396; nullable in the OpenAPI of 5.6. */
static void null_removes_what_may_be_removed_in_a_patch_alone(void **state)
{
    (void)state;
    assert_taken(NIDD_IN_CONFIGURATION_PATCH, "\"duration\":null", API_FIELD_NULLED, "duration", 8);
    assert_taken(NIDD_IN_DELIVERY_PATCH, "\"reliableDataService\":null", API_FIELD_NULLED, "reliableDataService", 19);
    assert_refused(NIDD_IN_CONFIGURATION, "\"duration\":null", "/duration", "RFC 3339");
    assert_refused(NIDD_IN_CONFIGURATION_PATCH, "\"rdsPorts\":null", "/rdsPorts", "array");
    assert_true(reads_member(NIDD_IN_CONFIGURATION_PATCH, "\"mtcProviderId\":5")); /* none of a patch: passed over */
}

static void a_configuration_may_bring_its_first_downlink(void **state)
{
    static char member[6144];
    (void)state;
    if (!reads_member(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":[{\"externalId\":\"a@b.example\",\"data\":\"AQ==\"}]"))
        fail_msg("%s", fault.detail);
    const dro_field *first = found(API_FIELD_FIRST_DELIVERY);
    assert_non_null(first);
    assert_memory_equal(first->bytes, "\1\13a@b.example\115\1\1", first->length);
    assert_refused(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":{}", "/niddDownlinkDataTransfers", "array of one");
    assert_refused(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":[]", "/niddDownlinkDataTransfers", "array of one");
    assert_refused(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":[1,2]", "/niddDownlinkDataTransfers", "array of one");
    assert_refused(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":[{\"externalId\":\"a@b.example\"}]", "/niddDownlinkDataTransfers/0/data", "is missing");
    assert_refused(NIDD_IN_CONFIGURATION, "\"niddDownlinkDataTransfers\":[1]", "/niddDownlinkDataTransfers/0", "an object");
    strcpy(member, "\"duration\":\"2026-11-22T12:00:00Z\"");
    assert_refused(NIDD_IN_CONFIGURATION, member, "/duration", "in the future"); /* of the whole, before its parts */
}

/* TS 29.122 5.6.2.1.9 ManagePort. */
static void a_port_is_managed_for_an_application_with_formats(void **state)
{
    static const struct { const char *json, *pointer, *word; } bad[] = {
        { "[]", "", "an object" }, { "{}", "/appId", "1 to 64" }, { "{\"appId\":5}", "/appId", "1 to 64" }, { "{\"appId\":\"\"}", "/appId", "1 to 64" },
        { "{\"appId\":\"00000000000000000000000000000000000000000000000000000000000000000\"}", "/appId", "1 to 64" },
        { "{\"appId\":\"a\",\"skipUeInquiry\":1}", "/skipUeInquiry", "true or false" },
        { "{\"appId\":\"a\",\"supportedFormats\":{}}", "/supportedFormats", "CBOR, JSON or XML" },
        { "{\"appId\":\"a\",\"supportedFormats\":[]}", "/supportedFormats", "CBOR, JSON or XML" },
        { "{\"appId\":\"a\",\"supportedFormats\":[\"CBOR\",\"cbor\"]}", "/supportedFormats", "CBOR, JSON or XML" },
        { "{\"appId\":\"a\",\"supportedFormats\":[5]}", "/supportedFormats", "CBOR, JSON or XML" },
        { "{\"appId\":\"a\",\"configuredFormat\":\"YAML\"}", "/configuredFormat", "CBOR, JSON or XML" },
        { "{\"appId\":\"a\",\"configuredFormat\":null}", "/configuredFormat", "CBOR, JSON or XML" },
    };
    (void)state;
    assert_true(reads_port("{\"appId\":\"a\"}"));
    assert_field(API_FIELD_RDS_MANAGED, "\0\0\0a", 4);
    assert_true(reads_port("{\"appId\":\"app\",\"skipUeInquiry\":true,\"supportedFormats\":[\"CBOR\",\"XML\"],\"configuredFormat\":\"JSON\"}"));
    assert_field(API_FIELD_RDS_MANAGED, "\1\5\2app", 6);
    assert_true(reads_port("{\"appId\":\"a\",\"skipUeInquiry\":false}"));
    assert_field(API_FIELD_RDS_MANAGED, "\0\0\0a", 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (reads_port(bad[i].json))
            fail_msg("%s: taken", bad[i].json);
        assert_string_equal(fault.pointer, bad[i].pointer);
        assert_non_null(strstr(fault.detail, bad[i].word));
    }
}

static void what_is_too_large_is_413(void **state)
{
    static char json[2 * 1024 * 1024];
    uint8_t small[12];
    dro_builder none = dro_builder_over(small, sizeof small);
    const char *usual = "{\"externalId\":\"a@b.example\",\"data\":\"AQ==\"}";
    (void)state;
    assert_false(nidd_body_read(arena, (body_text){ usual, strlen(usual) }, NIDD_IN_DELIVERY, now_ms, &none, &fault));
    assert_int_equal(fault.status, 413);
    memset(json, ' ', sizeof json - 1); /* JSON needs more memory than there is */
    memcpy(json, usual, strlen(usual));
    json[sizeof json - 1] = '\0';
    assert_false(reads(NIDD_IN_DELIVERY, json));
    assert_int_equal(fault.status, 413);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_it_is_about_is_said_once),
        cmocka_unit_test(texts_and_digits_have_their_lengths),
        cmocka_unit_test(data_is_base64_and_too_much_of_it_is_for_the_core_to_say),
        cmocka_unit_test(ports_are_pairs_of_0_to_15),
        cmocka_unit_test(options_are_those_of_table_5_6_2_3_2_1),
        cmocka_unit_test(scalars_are_what_their_kind_says),
        cmocka_unit_test(a_latency_that_is_too_large_is_the_largest),
        cmocka_unit_test(a_duration_ends_after_the_callers_clock),
        cmocka_unit_test(null_removes_what_may_be_removed_in_a_patch_alone),
        cmocka_unit_test(a_configuration_may_bring_its_first_downlink),
        cmocka_unit_test(a_port_is_managed_for_an_application_with_formats),
        cmocka_unit_test(what_is_too_large_is_413),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
