#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "twin/t8.h"
#include "twin/t8_monitoring.h"
#include "twin/t8_patterns.h"

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

static void numbers_maps_and_options_are_shown_as_they_are(void **state)
{
    (void)state;
    double cycle = 20.48;
    uint8_t more[1024];
    dro_builder fields = dro_builder_over(bytes, sizeof bytes), patterns = dro_builder_over(more, sizeof more);
    size_t report = t8_object_begin(&fields, NOTIFICATION_REPORT);
    size_t idle = t8_object_begin(&fields, REPORT_IDLE_STATUS);
    dro_field_put(&fields, IDLE_EDRX_CYCLE, &cycle, sizeof cycle);
    t8_object_end(&fields, idle);
    t8_object_end(&fields, report);
    json_is(t8_monitoring.notice, &fields, "\"monitoringEventReports\":[{\"idleStatusInfo\":{\"edrxCycleLength\":20.48}}]");
    fields = dro_builder_over(bytes, sizeof bytes);
    t8_put_byte(&fields, MONITORING_IDLE_STATUS, 0);
    json_is(t8_monitoring.resource, &fields, "\"idleStatusIndication\":false");
    fields = dro_builder_over(bytes, sizeof bytes);
    dro_field_put(&fields, MONITORING_IDLE_STATUS, "\1\1", 2); /* of another length: not known to be true */
    dro_field_put(&fields, MONITORING_TYPE, "\1\1", 2);
    json_is(t8_monitoring.resource, &fields, "\"monitoringType\":null,\"idleStatusIndication\":false");
    size_t set = t8_object_begin(&patterns, PATTERNS_SET);
    t8_object_end(&patterns, set);
    json_is(t8_patterns.resource, &patterns, "\"cpParameterSets\":{\"\":{}}");
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

static void a_json_patch_changes_members_that_may_be_changed(void **state)
{
    (void)state;
    static const struct { uint8_t kind, tag; uint16_t place; const char *why; } wrong[] = {
        { T8_CHANGE_REMOVE, MONITORING_ADDED_IDS, T8_CHANGE_WHOLE, "is not there" },
        { T8_CHANGE_REPLACE, MONITORING_ADDED_IDS, T8_CHANGE_WHOLE, "is not there" },
        { T8_CHANGE_ADD, MONITORING_OTHER - 1, T8_CHANGE_WHOLE, "cannot be changed" },
        { T8_CHANGE_ADD, MONITORING_LATENCY, 0, "is not a list" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t more[256];
        dro_builder old = dro_builder_over(bytes, sizeof bytes), changes = dro_builder_over(more, sizeof more);
        put_change(&changes, wrong[i].kind, wrong[i].tag, wrong[i].place, "b@x");
        assert_string_equal(patched(&old, &changes, NULL), wrong[i].why);
    }
}

static void a_list_has_so_many_items(void **state)
{
    (void)state;
    static uint8_t many[8192];
    dro_builder old = dro_builder_over(bytes, sizeof bytes), changes = dro_builder_over(many, sizeof many);
    for (int i = 0; i < T8_LIST_MAX; i++)
        put_change(&changes, T8_CHANGE_ADD, MONITORING_ADDED_IDS, T8_CHANGE_END, "b@x");
    assert_null(patched(&old, &changes, NULL));
    put_change(&changes, T8_CHANGE_ADD, MONITORING_ADDED_IDS, T8_CHANGE_END, "b@x");
    assert_string_equal(patched(&old, &changes, NULL), "has too many items");
}

static void a_json_patch_touches_no_other_member(void **state)
{
    (void)state;
    uint8_t more[256];
    dro_builder old = dro_builder_over(bytes, sizeof bytes), changes = dro_builder_over(more, sizeof more);
    t8_put_integer(&old, MONITORING_LATENCY, 5);
    dro_field_put_text(&old, MONITORING_ADDED_IDS, "a@x");
    t8_put_integer(&changes, MONITORING_PACKETS, 1); /* no change: left out */
    dro_field_put(&changes, T8_FIELD_CHANGE, "", 1); /* nor is one that is too short */
    put_change(&changes, T8_CHANGE_REPLACE, MONITORING_ADDED_IDS, T8_CHANGE_WHOLE, "b@x");
    assert_null(patched(&old, &changes, "\"addedExternalIds\":[\"b@x\"],\"maximumLatency\":5"));
}

static void a_json_patch_that_makes_too_much_is_refused(void **state)
{
    (void)state;
    static uint8_t large[T8_FIELDS_MAX + 64], more[2048], room[T8_FIELDS_MAX];
    static char text[1000];
    uint8_t tag;
    memset(text, 'a', sizeof text - 1);
    dro_builder old = dro_builder_over(large, sizeof large), changes = dro_builder_over(more, sizeof more), out = dro_builder_over(room, sizeof room), little = dro_builder_over(room, 10);
    put_change(&changes, T8_CHANGE_ADD, MONITORING_ADDED_IDS, T8_CHANGE_END, text);
    for (int i = 0; i < 4; i++)
        dro_field_put_text(&old, MONITORING_ADDED_IDS, text);
    assert_string_equal(t8_apply(t8_monitoring.resource, large, dro_builder_length(&old), more, dro_builder_length(&changes), &out, &tag), "makes it too large");
    assert_int_equal(tag, MONITORING_ADDED_IDS);
    assert_string_equal(t8_apply(t8_monitoring.resource, large, dro_builder_length(&old), more, 0, &little, &tag), "makes it too large");
    dro_field_put_text(&old, MONITORING_ADDED_IDS, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_string_equal(t8_apply(t8_monitoring.resource, large, sizeof large, more, 0, &out, &tag), "is too large");
}

static void what_is_asked_of_fields_is_what_fits(void **state)
{
    (void)state;
    dro_builder fields = dro_builder_over(bytes, sizeof bytes);
    t8_put_byte(&fields, MONITORING_TYPE, 1);
    t8_put_integer(&fields, MONITORING_LATENCY, 5);
    size_t length = dro_builder_length(&fields);
    assert_int_equal(t8_integer(bytes, length, MONITORING_LATENCY, 9), 5);
    assert_int_equal(t8_integer(bytes, length, MONITORING_TYPE, 9), 9); /* of another kind */
    assert_int_equal(t8_integer(bytes, length, MONITORING_PACKETS, 9), 9);
    assert_int_equal(t8_option(bytes, length, MONITORING_TYPE, 9), 1);
    assert_int_equal(t8_option(bytes, length, MONITORING_LATENCY, 9), 9);
    assert_int_equal(t8_option(bytes, length, MONITORING_PACKETS, 9), 9);
    assert_null(t8_api_find("3gpp-monitoring", 15));
    assert_null(t8_api_find("3gpp-monitoring-evenT", 21));
}

static void an_object_that_finds_no_room_is_none(void **state)
{
    (void)state;
    static uint8_t large[1 << 22];
    dro_builder little = dro_builder_over(bytes, 3), whole = dro_builder_over(large, sizeof large);
    t8_object_end(&little, t8_object_begin(&little, MONITORING_AREA));
    assert_int_not_equal(little.err, DRO_OK);
    size_t begin = t8_object_begin(&whole, MONITORING_AREA);
    assert_non_null(dro_builder_room(&whole, 1 << 21)); /* its length has 21 bits */
    t8_object_end(&whole, begin);
    assert_int_equal(whole.err, DRO_LIMIT);
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
    dro_field_put(&patch, T8_FIELD_NULLED, "ab", 2); /* of no member */
    dro_field_put_text(&patch, MONITORING_OTHER - 1, "x");
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
        cmocka_unit_test(a_json_patch_changes_members_that_may_be_changed), cmocka_unit_test(a_list_has_so_many_items),
        cmocka_unit_test(a_json_patch_touches_no_other_member), cmocka_unit_test(a_json_patch_that_makes_too_much_is_refused),
        cmocka_unit_test(what_is_asked_of_fields_is_what_fits), cmocka_unit_test(an_object_that_finds_no_room_is_none),
        cmocka_unit_test(numbers_maps_and_options_are_shown_as_they_are),
        cmocka_unit_test(a_merge_patch_replaces_and_removes), cmocka_unit_test(every_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
