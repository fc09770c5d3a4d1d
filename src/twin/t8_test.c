#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "twin/t8.h"
#include "twin/t8_monitoring.h"

static uint8_t bytes[1024];

static void json_is(const t8_object *object, const dro_builder *fields, const char *wanted)
{
    uint8_t text[2048];
    dro_builder out = dro_builder_over(text, sizeof text - 1);
    t8_members_json(&out, object, fields->start, dro_builder_length(fields), 0x5, "");
    assert_int_equal(out.err, DRO_OK);
    *out.at = '\0';
    assert_string_equal((char *)text, wanted);
}

static void an_object_is_written_in_the_order_of_its_table(void **state)
{
    (void)state;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    size_t area = t8_object_begin(&fields, MONITORING_AREA);
    dro_field_put_text(&fields, AREA_CELLS, "a\"b");
    dro_field_put_text(&fields, AREA_GEOGRAPHIC, "{\"shape\":\"POINT\"}");
    dro_field_put_text(&fields, AREA_CELLS, "c");
    t8_object_end(&fields, area);
    t8_put_integer(&fields, MONITORING_EXPIRE_TIME, 1900000000123);
    t8_put_byte(&fields, MONITORING_TYPE, MONITORING_UE_REACHABILITY);
    t8_put_byte(&fields, MONITORING_IDLE_STATUS, 1);
    dro_field_put_text(&fields, T8_FIELD_FEATURES, "F");
    t8_put_byte(&fields, T8_FIELD_TEST, 1);
    json_is(t8_monitoring.resource, &fields,
            "\"supportedFeatures\":\"5\",\"monitoringType\":\"UE_REACHABILITY\",\"monitorExpireTime\":\"2030-03-17T17:46:40.123Z\","
            "\"idleStatusIndication\":true,\"locationArea\":{\"cellIds\":[\"a\\\"b\",\"c\"],\"geographicAreas\":[{\"shape\":\"POINT\"}]}");
}

static void a_field_that_does_not_fit_is_null(void **state)
{
    (void)state;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    t8_put_byte(&fields, MONITORING_TYPE, 200);
    dro_field_put_text(&fields, MONITORING_REPORTS_MAX, "abc");
    json_is(t8_monitoring.resource, &fields, "\"monitoringType\":null,\"maximumNumberOfReports\":null");
}

static void put_change(dro_builder *out, uint8_t kind, uint8_t tag, uint16_t place, const char *value)
{
    t8_change change = { kind, tag, place };
    size_t begin = t8_object_begin(out, T8_FIELD_CHANGE);
    dro_builder_bytes(out, &change, sizeof change);
    if (value != NULL)
        dro_field_put_text(out, tag, value);
    t8_object_end(out, begin);
}

static const char *patched(const dro_builder *old, const dro_builder *changes, const char *wanted)
{
    uint8_t room[1024], tag = 0;
    dro_builder out = dro_builder_over(room, sizeof room);
    const char *why = t8_apply(t8_monitoring.resource, old->start, dro_builder_length(old), changes->start, dro_builder_length(changes), &out, &tag);
    if (wanted != NULL)
        json_is(t8_monitoring.resource, &out, wanted);
    return why;
}

static void a_json_patch_changes_lists(void **state)
{
    (void)state;
    uint8_t more[1024];
    dro_builder old = dro_builder_over(bytes, sizeof bytes), changes = dro_builder_over(more, sizeof more);
    dro_field_put_text(&old, MONITORING_EXCLUDED_IDS, "a@x");
    dro_field_put_text(&old, MONITORING_EXCLUDED_IDS, "b@x");
    put_change(&changes, T8_CHANGE_ADD, MONITORING_EXCLUDED_IDS, 1, "c@x");
    put_change(&changes, T8_CHANGE_ADD, MONITORING_EXCLUDED_IDS, T8_CHANGE_END, "d@x");
    put_change(&changes, T8_CHANGE_REMOVE, MONITORING_EXCLUDED_IDS, 0, NULL);
    put_change(&changes, T8_CHANGE_REPLACE, MONITORING_EXCLUDED_IDS, 1, "e@x");
    assert_null(patched(&old, &changes, "\"excludedExternalIds\":[\"c@x\",\"e@x\",\"d@x\"]"));
    put_change(&changes, T8_CHANGE_REMOVE, MONITORING_EXCLUDED_IDS, T8_CHANGE_WHOLE, NULL);
    put_change(&changes, T8_CHANGE_ADD, MONITORING_ADDED_IDS, T8_CHANGE_WHOLE, "f@x");
    assert_null(patched(&old, &changes, "\"addedExternalIds\":[\"f@x\"]"));
}

static void a_json_patch_of_what_is_not_there_says_so(void **state)
{
    (void)state;
    static const struct { uint8_t kind; uint16_t place; } wrong[] = {
        { T8_CHANGE_REMOVE, 1 }, { T8_CHANGE_REMOVE, T8_CHANGE_END }, { T8_CHANGE_REPLACE, 1 }, { T8_CHANGE_ADD, 2 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t more[256];
        dro_builder old = dro_builder_over(bytes, sizeof bytes), changes = dro_builder_over(more, sizeof more);
        dro_field_put_text(&old, MONITORING_EXCLUDED_IDS, "a@x");
        put_change(&changes, wrong[i].kind, MONITORING_EXCLUDED_IDS, wrong[i].place, "b@x");
        assert_string_equal(patched(&old, &changes, NULL), "has no such item");
    }
}

static void a_merge_patch_replaces_and_removes(void **state)
{
    (void)state;
    uint8_t more[256], room[256], nulled = MONITORING_LATENCY;
    dro_builder old = dro_builder_over(bytes, sizeof bytes), patch = dro_builder_over(more, sizeof more), out = dro_builder_over(room, sizeof room);
    t8_put_integer(&old, MONITORING_LATENCY, 5);
    t8_put_integer(&old, MONITORING_RESPONSE_TIME, 6);
    t8_put_integer(&old, MONITORING_PACKETS, 7);
    t8_put_integer(&patch, MONITORING_PACKETS, 8);
    dro_field_put(&patch, T8_FIELD_NULLED, &nulled, 1);
    t8_merge(t8_monitoring.resource, bytes, dro_builder_length(&old), more, dro_builder_length(&patch), &out);
    json_is(t8_monitoring.resource, &out, "\"maximumResponseTime\":6,\"suggestedNumberOfDlPackets\":8");
}

/* No two members of an object have one tag. */
static void tags_are_different(const t8_object *object)
{
    for (uint32_t i = 0; i < object->count; i++) {
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(object->members[i].field, object->members[j].field);
        if (object->members[i].object != NULL)
            tags_are_different(object->members[i].object);
        assert_true(object->members[i].kind != T8_OPTION || object->members[i].options != NULL);
        assert_true((object->members[i].kind != T8_OBJECT && object->members[i].kind != T8_MAP) || object->members[i].object != NULL);
    }
}

static void every_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXPOSURE_KINDS; i++) {
        if (t8_apis[i] == NULL)
            continue;
        tags_are_different(t8_apis[i]->resource);
        if (t8_apis[i]->patch != NULL)
            tags_are_different(t8_apis[i]->patch);
        if (t8_apis[i]->notice != NULL)
            tags_are_different(t8_apis[i]->notice);
        assert_ptr_equal(t8_api_find(t8_apis[i]->path, strlen(t8_apis[i]->path)), t8_apis[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_written_in_the_order_of_its_table), cmocka_unit_test(a_field_that_does_not_fit_is_null),
        cmocka_unit_test(a_json_patch_changes_lists), cmocka_unit_test(a_json_patch_of_what_is_not_there_says_so),
        cmocka_unit_test(a_merge_patch_replaces_and_removes), cmocka_unit_test(every_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
