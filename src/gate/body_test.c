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
#include "gate/scope.h"
#include "ring/message.h"
#include "twin/budget.h"

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

/* ---- who administers ---- */

#define SHA "sha256:0101010101010101010101010101010101010101010101010101010101010101"
#define TEXTS_5 "[\"a\",\"b\",\"c\",\"d\",\"e\"]"

/* A JSON array of so many times the item. */
static const char *list_of(const char *before, const char *item, int count, const char *behind)
{
    static char json[64 * 1024];
    strcpy(json, before);
    char *at = json + strlen(json);
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i > 0 ? "," : "", item);
    strcpy(at, behind);
    return json;
}

static bool has_field(const dro_builder *out, uint32_t tag, const void *wanted, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, dro_builder_length(out));
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == tag && field.length == length && (length == 0 || memcmp(field.bytes, wanted, length) == 0))
            return true;
    return false;
}

static void an_application_has_a_name_of_unreserved_characters(void **state)
{
    static const char *const bad[] = { "", "a b", "a/b", "[", "a@b", "`", "{", "\\u00e4", "dromio", "a\\n" };
    char json[256];
    (void)state;
    dro_builder out = read_good(body_read_application, "{\"id\":\"Az09-._~\",\"domains\":[\"A.example\"],\"scopes\":[\"read\",\"nidd\"]}");
    assert_true(has_field(&out, API_FIELD_APPLICATION, "Az09-._~", 8));
    assert_true(has_field(&out, API_FIELD_DOMAIN, "a.example", 9));
    uint64_t scopes = SCOPE_READ | SCOPE_NIDD;
    assert_true(has_field(&out, API_FIELD_SCOPES, &scopes, sizeof scopes));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json, "{\"id\":\"%s\",\"domains\":[\"a.example\"],\"scopes\":[]}", bad[i]);
        assert_refused(body_read_application, json, 422, "/id");
    }
    assert_refused(body_read_application, "{\"id\":5,\"domains\":[\"a.example\"],\"scopes\":[]}", 422, "/id");
    assert_refused(body_read_application, "{\"id\":\"a\",\"domains\":[\"a.example\"]}", 422, "/scopes");
}

static void domains_and_scopes_are_those_there_are(void **state)
{
    (void)state;
    assert_refused(body_read_application_patch, "{\"domains\":5}", 422, "/domains");
    assert_refused(body_read_application_patch, "{\"domains\":[]}", 422, "/domains");
    assert_refused(body_read_application_patch, "{\"domains\":[\"-\"]}", 422, "/domains/0");
    read_good(body_read_application_patch, list_of("{\"domains\":[", "\"a.example\"", BODY_DOMAINS_MAX, "]}"));
    assert_refused(body_read_application_patch, list_of("{\"domains\":[", "\"a.example\"", BODY_DOMAINS_MAX + 1, "]}"), 422, "/domains");
    assert_refused(body_read_application_patch, "{\"scopes\":\"read\"}", 422, "/scopes");
    assert_refused(body_read_application_patch, "{\"scopes\":[\"reads\"]}", 422, "/scopes/0");
    assert_refused(body_read_application_patch, "{\"scopes\":[\"read\",5]}", 422, "/scopes/1");
    assert_refused(body_read_application_patch, list_of("{\"scopes\":[", "\"read\"", 40, "]}"), 422, "/scopes");
    assert_refused(body_read_application_patch, "{\"id\":\"a\"}", 422, "/id"); /* the path has it */
}

static void limits_are_whole_numbers_of_which_0_is_none(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_application_patch, "{\"limits\":{\"requests_per_second\":7,\"burst\":0,\"downlinks_per_day\":null}}");
    assert_true(has_field(&out, API_FIELD_CEILING, &(uint8_t[]){ LIMIT_REQUESTS, 7, 0, 0, 0 }, 5));
    uint8_t none[5] = { LIMIT_BURST };
    memcpy(none + 1, &(uint32_t){ LIMIT_NONE }, sizeof(uint32_t));
    assert_true(has_field(&out, API_FIELD_CEILING, none, sizeof none));
    assert_true(has_field(&out, API_FIELD_CEILING, &(uint8_t[]){ LIMIT_DOWNLINKS, 0, 0, 0, 0 }, 5)); /* the host's own again */
    out = read_good(body_read_application_patch, "{\"limits\":null}");
    assert_true(has_field(&out, API_FIELD_NULLED, "limits", 6));
    assert_refused(body_read_application_patch, "{\"limits\":{\"requests\":7}}", 422, "/limits/requests");
    assert_refused(body_read_application_patch, "{\"limits\":{\"burst\":-1}}", 422, "/limits/burst");
    assert_refused(body_read_application_patch, "{\"limits\":{\"burst\":1000000001}}", 422, "/limits/burst");
    assert_refused(body_read_application_patch, "{\"limits\":5}", 422, "/limits");
    assert_refused(body_read_application, "{\"id\":\"a\",\"domains\":[\"a.example\"],\"scopes\":[],\"limits\":{\"burst\":null}}", 422, "/limits/burst");
    assert_refused(body_read_application, "{\"id\":\"a\",\"domains\":[\"a.example\"],\"scopes\":[],\"limits\":null}", 422, "/limits");
}

static void certificates_and_apns_are_few_and_replace_those_there_were(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_application_patch, "{\"certificates\":[\"" SHA "\",\"dns:as.example\"],\"apns\":[\"iot.example\"]}");
    assert_true(has_field(&out, API_FIELD_NULLED, "certificates", 12) && has_field(&out, API_FIELD_NULLED, "apns", 4));
    assert_true(has_field(&out, API_FIELD_CERTIFICATE, SHA, 71) && has_field(&out, API_FIELD_CERTIFICATE, "dns:as.example", 14));
    assert_true(has_field(&out, API_FIELD_APN, "iot.example", 11));
    out = read_good(body_read_application_patch, "{\"certificates\":null}");
    assert_true(has_field(&out, API_FIELD_NULLED, "certificates", 12));
    out = read_good(body_read_application, "{\"id\":\"a\",\"domains\":[\"a.example\"],\"scopes\":[],\"certificates\":[]}");
    assert_false(has_field(&out, API_FIELD_NULLED, "certificates", 12));
    assert_refused(body_read_application, "{\"id\":\"a\",\"domains\":[\"a.example\"],\"scopes\":[],\"certificates\":null}", 422, "/certificates");
    static const char *const no_certificates[] = { "dns:", "dns:-", "dnz:a.example", "sha256:01", "", "abcd" };
    for (size_t i = 0; i < sizeof no_certificates / sizeof *no_certificates; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"certificates\":[\"%s\"]}", no_certificates[i]);
        assert_refused(body_read_application_patch, json, 422, "/certificates/0");
    }
    assert_refused(body_read_application_patch, "{\"certificates\":[5]}", 422, "/certificates/0");
    assert_refused(body_read_application_patch, "{\"apns\":[\"a b\"]}", 422, "/apns/0");
    assert_refused(body_read_application_patch, "{\"apns\":" TEXTS_5 "}", 422, "/apns");
    assert_refused(body_read_application_patch, "{\"apns\":{}}", 422, "/apns");
}

static void a_budget_is_of_a_twin_and_of_an_image(void **state)
{
    uint8_t field[6] = { BUDGET_OF_TWIN, (uint8_t)budget_value_find("messages", 8), 5, 0, 0, 0 };
    (void)state;
    dro_builder out = read_good(body_read_image_patch, "{\"budget\":{\"twin\":{\"messages\":5,\"memory\":null},\"image\":{\"cpu\":2000000000}}}");
    assert_true(has_field(&out, API_FIELD_BUDGET, field, sizeof field));
    uint32_t unsaid = BUDGET_UNSAID;
    field[1] = (uint8_t)budget_value_find("memory", 6);
    memcpy(field + 2, &unsaid, sizeof unsaid);
    assert_true(has_field(&out, API_FIELD_BUDGET, field, sizeof field));
    out = read_good(body_read_image_patch, "{\"budget\":{\"image\":null}}");
    assert_true(has_field(&out, API_FIELD_NULLED, "image", 5));
    out = read_good(body_read_image_patch, "{\"budget\":null}");
    assert_true(has_field(&out, API_FIELD_NULLED, "budget", 6));
    assert_refused(body_read_image_patch, "{}", 422, "/budget");
    assert_refused(body_read_image_patch, "{\"budget\":{\"core\":{}}}", 422, "/budget/core");
    assert_refused(body_read_image_patch, "{\"budget\":{\"image\":{\"memory\":-1}}}", 422, "/budget/image/memory");
    assert_refused(body_read_image_patch, "{\"budget\":{\"twin\":{\"cpu\":-1}}}", 422, "/budget/twin/cpu");
    assert_refused(body_read_image_patch, "{\"budget\":{\"twin\":{\"cpu\":2000000001}}}", 422, "/budget/twin/cpu");
    assert_refused(body_read_image_patch, "{\"budget\":{\"twin\":5}}", 422, "/budget/twin");
}

static void a_stop_may_say_why(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_stop, "");
    assert_int_equal(dro_builder_length(&out), 0);
    out = read_good(body_read_stop, "{\"reason\":\"it loops\"}");
    assert_true(has_field(&out, API_FIELD_DETAIL, "it loops", 8));
    assert_refused(body_read_stop, "{\"reason\":5}", 422, "/reason");
    assert_refused(body_read_stop, "{\"reason\":\"a\\u0007b\"}", 422, "/reason");
    assert_refused(body_read_stop, list_of("{\"reason\":\"", "12345", BODY_REASON_MAX / 5, "\"}"), 422, "/reason");
}

static void a_trace_is_of_a_twin_or_of_a_peer_for_an_hour_at_most(void **state)
{
    uint64_t seconds = 3600;
    (void)state;
    dro_builder out = read_good(body_read_trace, "{\"twin\":\"a@b.example\",\"seconds\":3600}");
    assert_true(has_field(&out, API_FIELD_ID, "a@b.example", 11) && has_field(&out, API_FIELD_SECONDS, &seconds, sizeof seconds));
    out = read_good(body_read_trace, "{\"peer\":\"mme.example\"}");
    assert_true(has_field(&out, API_FIELD_PEER, "mme.example", 11));
    assert_refused(body_read_trace, "{\"peer\":\"mme.example\",\"twin\":\"a@b.example\"}", 422, "/peer");
    assert_refused(body_read_trace, "{}", 422, "/twin");
    assert_refused(body_read_trace, "{\"twin\":5}", 422, "/twin");
    assert_refused(body_read_trace, "{\"twin\":\"a\"}", 422, "/twin");
    assert_refused(body_read_trace, "{\"peer\":\"\"}", 422, "/peer");
    assert_refused(body_read_trace, "{\"peer\":\"p\",\"seconds\":0}", 422, "/seconds");
    assert_refused(body_read_trace, "{\"peer\":\"p\",\"seconds\":3601}", 422, "/seconds");
    assert_refused(body_read_trace, "{\"peer\":\"p\",\"seconds\":\"1\"}", 422, "/seconds");
}

static void a_group_has_no_members_in_its_body(void **state)
{
    (void)state;
    dro_builder out = read_good(body_read_group, "");
    assert_int_equal(dro_builder_length(&out), 0);
    read_good(body_read_group, "{}");
    assert_refused(body_read_group, "{\"a\":1}", 422, "/a");
    assert_refused(body_read_group, "[]", 422, "");
}

static void a_line_of_members_says_who_and_which_way(void **state)
{
    static const struct { const char *json, *id; bool is_good, is_member; } all[] = {
        { "{\"id\":\"a@B.example\"}", "a@b.example", true, true },
        { "{\"id\":\"a@b.example\",\"member\":false}", "a@b.example", true, false },
        { "{\"id\":\"a@b.example\",\"member\":true}", "a@b.example", true, true },
        { "{\"id\":\"a@b.example\",\"member\":1}", "a@b.example", false, true },
        { "{\"id\":\"nobody\"}", "", false, true },
        { "{\"id\":5}", "", false, true },
        { "{}", "", false, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char id[IDENTIFIER_MAX + 1];
        bool is_member;
        body_fault fault;
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        assert_int_equal(body_read_member_line(arena, (body_text){ all[i].json, strlen(all[i].json) }, &out, id, &is_member, &fault), all[i].is_good);
        assert_string_equal(id, all[i].id);
        assert_int_equal(is_member, all[i].is_member);
    }
}

static void sql_is_passed_on_as_it_is_and_what_is_too_long_by_one_byte(void **state)
{
    static char json[HTTP_SQL_MAX + 64];
    static uint8_t room[HTTP_SQL_MAX + 64];
    body_fault fault;
    (void)state;
    dro_builder out = read_good(body_read_query, "{\"sql\":\"select 1\"}");
    assert_int_equal(dro_builder_length(&out), 8);
    assert_memory_equal(bytes, "select 1", 8);
    assert_refused(body_read_query, "{\"sql\":5}", 422, "/sql");
    strcpy(json, "{\"sql\":\"");
    memset(json + 8, 'x', HTTP_SQL_MAX + 9);
    strcpy(json + 8 + HTTP_SQL_MAX + 9, "\"}");
    out = dro_builder_over(room, sizeof room);
    assert_true(body_read_query(arena, (body_text){ json, strlen(json) }, &out, &fault));
    assert_int_equal(dro_builder_length(&out), HTTP_SQL_MAX + 1); /* the desk says where it is wrong */
}

/* ---- texts ---- */

static void what_a_twin_may_have_is_bounded(void **state)
{
    char json[1024];
    (void)state;
    read_good(body_read_twin, list_of("{\"aliases\":[", "\"a@b.example\"", BODY_ALIASES_MAX, "]}"));
    assert_refused(body_read_twin, list_of("{\"aliases\":[", "\"a@b.example\"", BODY_ALIASES_MAX + 1, "]}"), 422, "/aliases");
    assert_refused(body_read_twin, "{\"aliases\":5}", 422, "/aliases");
    assert_refused(body_read_twin, "{\"aliases\":[5]}", 422, "/aliases/0");
    assert_refused(body_read_twin, "{\"model\":\"a\\u001fb\"}", 422, "/model");
    assert_refused(body_read_twin, "{\"model\":\"\"}", 422, "/model");
    assert_refused(body_read_twin, "{\"tags\":{\"a\\u007f\":\"b\"}}", 422, "/tags/a\x7f");
    assert_refused(body_read_twin, "{\"tags\":{\"\":\"b\"}}", 422, "/tags/");
    assert_refused(body_read_twin, "{\"tags\":5}", 422, "/tags");
    assert_refused(body_read_twin, "{\"imsi\":5}", 422, "/imsi");
    assert_refused(body_read_twin, "{\"imsi\":\"00101000000000x\"}", 422, "/imsi");
    assert_refused(body_read_twin, "{\"imsi\":\"0010100000000/\"}", 422, "/imsi");
    assert_refused(body_read_twin, "{\"image\":5}", 422, "/image");
    assert_refused(body_read_twin, "{\"image\":\"sha256:0\"}", 422, "/image");
    snprintf(json, sizeof json, "{\"secrets\":{\"k\":\"%01000d\"}}", 0);
    assert_refused(body_read_twin, json, 422, "/secrets/k");
    read_good(body_read_action, "{\"a\":18446744073709551615,\"b\":-1,\"c\":1.5,\"d\":\"x\",\"e\":true}");
    assert_refused(body_read_action, "{\"a\":[1]}", 422, "/a");
    assert_refused(body_read_property, "{\"value\":null}", 422, "/value");
    assert_refused(body_read_property, "{\"value\":{}}", 422, "/value");
}

/* 63 bytes hold 31 letters of two bytes and a half: the half is not shown. */
static void a_pointer_to_a_name_of_two_byte_letters_is_cut_between_them(void **state)
{
    char json[400] = "{\"";
    (void)state;
    for (int i = 0; i < 60; i++)
        strcat(json, "\xc3\xa4");
    strcat(json, "\":1}");
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    body_fault fault;
    assert_false(body_read_twin(arena, (body_text){ json, strlen(json) }, &out, &fault));
    assert_int_equal(strlen(fault.pointer), 1 + 62);
}

static void json_that_needs_more_memory_than_there_is_is_413(void **state)
{
    static char json[2 * 1024 * 1024];
    (void)state;
    memset(json, ' ', sizeof json - 1);
    json[0] = '{';
    json[1] = '}';
    assert_refused(body_read_twin, json, 413, "");
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
        cmocka_unit_test(an_application_has_a_name_of_unreserved_characters),
        cmocka_unit_test(domains_and_scopes_are_those_there_are),
        cmocka_unit_test(limits_are_whole_numbers_of_which_0_is_none),
        cmocka_unit_test(certificates_and_apns_are_few_and_replace_those_there_were),
        cmocka_unit_test(a_budget_is_of_a_twin_and_of_an_image),
        cmocka_unit_test(a_stop_may_say_why),
        cmocka_unit_test(a_trace_is_of_a_twin_or_of_a_peer_for_an_hour_at_most),
        cmocka_unit_test(a_group_has_no_members_in_its_body),
        cmocka_unit_test(a_line_of_members_says_who_and_which_way),
        cmocka_unit_test(sql_is_passed_on_as_it_is_and_what_is_too_long_by_one_byte),
        cmocka_unit_test(what_a_twin_may_have_is_bounded),
        cmocka_unit_test(a_pointer_to_a_name_of_two_byte_letters_is_cut_between_them),
        cmocka_unit_test(json_that_needs_more_memory_than_there_is_is_413),
        cmocka_unit_test(limits_agree_with_those_who_enforce_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
