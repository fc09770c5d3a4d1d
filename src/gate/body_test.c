#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "cell/admit.h"
#include "desk/desk.h"
#include "gate/body.h"
#include "ring/message.h"

typedef bool (*reader_fn)(body_arena *arena, body_text json, dro_builder *out, body_fault *fault);

static body_arena *arena;
static uint8_t bytes[BODY_FIELDS_MAX];

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

static dro_builder read_good(reader_fn read, const char *json)
{
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    body_fault fault;
    if (!read(arena, (body_text){ json, strlen(json) }, &out, &fault))
        fail_msg("%s: %d %s %s", json, fault.status, fault.pointer, fault.detail);
    return out;
}

static void assert_refused(reader_fn read, const char *json, int status, const char *pointer)
{
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    body_fault fault;
    if (read(arena, (body_text){ json, strlen(json) }, &out, &fault))
        fail_msg("%s: taken", json);
    assert_int_equal(fault.status, status);
    assert_string_equal(fault.pointer, pointer);
    assert_true(fault.detail[0] != '\0');
}

static void assert_field(dro_cursor *in, uint32_t tag, const void *wanted, size_t length)
{
    dro_field field;
    assert_true(dro_field_next(in, &field));
    assert_int_equal(field.tag, tag);
    assert_int_equal(field.length, length);
    assert_memory_equal(field.bytes, wanted, length);
}

static void members_become_fields_in_their_order(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_twin,
                                "{\"msisdn\":\"49170\",\"imsi\":\"001010000000001\",\"tags\":{\"a\":\"b\",\"c\":null},"
                                "\"secrets\":{\"k\":true,\"x\":null},\"model\":null}");
    dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
    assert_field(&in, API_FIELD_MSISDN, "49170", 5);
    assert_field(&in, API_FIELD_IMSI, "001010000000001", 15);
    assert_field(&in, API_FIELD_TAG, "\1ab", 3);
    assert_field(&in, API_FIELD_TAG, "\1c", 2);
    assert_field(&in, API_FIELD_SECRET, "\1k\3\1", 4);
    assert_field(&in, API_FIELD_SECRET, "\1x\0", 3);
    assert_field(&in, API_FIELD_NULLED, "model", 5);
    assert_int_equal(dro_cursor_left(&in), 0);
}

static void an_empty_list_of_aliases_removes_them(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_twin, "{\"aliases\":[]}");
    dro_cursor in = dro_cursor_over(bytes, dro_builder_length(&out));
    assert_field(&in, API_FIELD_NULLED, "aliases", 7);
}

static void every_shorter_body_is_400(void **state)
{
    static const char json[] =
        "{\"model\":\"acme/thermo\",\"imsi\":\"001010000000001\",\"tags\":{\"a\":\"b\"},\"secrets\":{\"k\":-1.5e3}}";
    (void)state;
    for (size_t length = 0; length < sizeof json - 1; length++) {
        char cut[sizeof json];
        memcpy(cut, json, length);
        cut[length] = '\0';
        assert_refused(body_read_twin, cut, 400, "");
    }
    read_good(body_read_twin, json);
}

static void a_fault_points_to_its_member(void **state)
{
    (void)state;
    assert_refused(body_read_twin, "{\"imsi\":\"1\"}", 422, "/imsi");
    assert_refused(body_read_twin, "{\"tags\":{\"a/b~c\":1}}", 422, "/tags/a~1b~0c");
    assert_refused(body_read_twin, "{\"aliases\":[\"a@b\",\"c\"]}", 422, "/aliases/1");
    assert_refused(body_read_twin, "{\"x\\ny\":1}", 422, "/x?y");
    assert_refused(body_read_property, "{}", 422, "/value");
    assert_refused(body_read_application, "{\"id\":\"a\",\"scopes\":[],\"domains\":[\"a\",5]}", 422, "/domains/1");
    assert_refused(body_read_twin, "[]", 422, "");
}

static void a_member_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    assert_refused(body_read_twin, "{\"model\":\"a\",\"model\":\"a\"}", 422, "/model");
    assert_refused(body_read_twin, "{\"tags\":{\"a\":\"1\",\"b\":\"1\",\"\\u0061\":\"1\"}}", 422, "/tags/a");
    assert_refused(body_read_action, "{\"a\":1,\"a\":1}", 422, "/a");
}

static void a_pointer_to_a_long_name_is_cut_between_characters(void **state)
{
    char json[400] = "{\"tags\":{\"";
    (void)state;
    for (int i = 0; i < 60; i++)
        strcat(json, "\xe2\x82\xac"); /* 3 bytes each; 63 hold 21 */
    strcat(json, "\":\"x\"}}");
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    body_fault fault;
    assert_false(body_read_twin(arena, (body_text){ json, strlen(json) }, &out, &fault));
    assert_int_equal(strlen(fault.pointer), 6 + 63);
}

static void the_arena_holds_nothing_afterwards(void **state)
{
    size_t length;
    (void)state;
    read_good(body_read_twin, "{\"secrets\":{\"key\":\"very-secret-indeed\"}}");
    assert_refused(body_read_twin, "{\"secrets\":{\"key\":\"very-secret-indeed\",\"x\":[]}}", 422, "/secrets/x");
    assert_refused(body_read_twin, "{\"secrets\":{\"key\":\"very-secret-indeed\"", 400, "");
    const uint8_t *memory = body_arena_bytes(arena, &length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(memory[i], 0);
}

static void depth_is_no_danger(void **state)
{
    enum { DEPTH = HTTP_BODY_TWIN_MAX };
    char *json = malloc(DEPTH + 1);
    (void)state;
    assert_non_null(json);
    memset(json, '[', DEPTH);
    json[DEPTH] = '\0';
    assert_refused(body_read_twin, json, 400, "");
    memset(json + DEPTH / 2, ']', DEPTH / 2);
    assert_refused(body_read_twin, json, 422, "");
    free(json);
}

static void a_line_tells_its_id_even_when_it_is_refused(void **state)
{
    static const char json[] = "{\"id\":\"a@B.example\",\"nonsense\":1}";
    char id[IDENTIFIER_MAX + 1];
    body_fault fault;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    (void)state;
    assert_false(body_read_twin_line(arena, (body_text){ json, sizeof json - 1 }, &out, id, &fault));
    assert_string_equal(id, "a@b.example");
    assert_int_equal(fault.status, 422);
}

static void an_action_without_a_body_has_no_input(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_action, "");
    assert_int_equal(dro_builder_length(&out), 0);
    out = read_good(body_read_action, "null");
    assert_int_equal(dro_builder_length(&out), 0);
    assert_refused(body_read_action, "{\"a\":null}", 422, "/a");
    assert_refused(body_read_action, "5", 422, "");
}

static void fields_that_do_not_fit_are_413(void **state)
{
    uint8_t small[8];
    body_fault fault;
    dro_builder out = dro_builder_over(small, sizeof small);
    (void)state;
    assert_false(body_read_twin(arena, (body_text){ "{\"model\":\"acme/thermo\"}", 23 }, &out, &fault));
    assert_int_equal(fault.status, 413);
}

static void limits_agree_with_those_who_enforce_them(void **state)
{
    (void)state;
    assert_int_equal(HTTP_SQL_MAX, DESK_SQL_MAX);
    assert_int_equal(HTTP_IMAGE_MAX, ADMIT_WASM_MAX);
    assert_int_equal(BODY_NAME_MAX, MODEL_NAME_MAX);
    assert_int_equal(BODY_SECRETS_MAX, MODEL_SECRETS_MAX);
    assert_int_equal(BODY_INPUTS_MAX, MODEL_INPUTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_become_fields_in_their_order),
        cmocka_unit_test(an_empty_list_of_aliases_removes_them),
        cmocka_unit_test(every_shorter_body_is_400),
        cmocka_unit_test(a_fault_points_to_its_member),
        cmocka_unit_test(a_member_that_is_there_twice_is_refused),
        cmocka_unit_test(a_pointer_to_a_long_name_is_cut_between_characters),
        cmocka_unit_test(the_arena_holds_nothing_afterwards),
        cmocka_unit_test(depth_is_no_danger),
        cmocka_unit_test(a_line_tells_its_id_even_when_it_is_refused),
        cmocka_unit_test(an_action_without_a_body_has_no_input),
        cmocka_unit_test(fields_that_do_not_fit_are_413),
        cmocka_unit_test(limits_agree_with_those_who_enforce_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
