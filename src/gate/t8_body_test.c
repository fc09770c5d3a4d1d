/* Bodies of T8 by a table that has a member of each kind: what is taken, and what is said of what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/t8_body.h"

enum {
    TEXT = 170, SHORT, LINK, TIME, LATER, CLOCK, INTEGER, RANGE, NUMBER, TRUTH, OPTION, BYTES, BLOB, OBJECT, MAP, SOCKET,
    ANY, JSON_OBJECT, JSON_ARRAY, JSON_TEXT, JSON_NUMBER, JSON_TRUTH, DROPPED, LIST, EMPTY, NEEDED, OWN, NULLABLE, MANY, NODE_NUMBER, NODE_INNER, NODE_NEEDED,
};

static const int64_t now_ms = 1795348800000; /* 2026-11-22T12:00:00Z */

static const t8_object node;
static const t8_member node_members[] = {
    { .name = "number", .field = NODE_NUMBER, .kind = T8_INTEGER },
    { .name = "inner", .field = NODE_INNER, .kind = T8_OBJECT, .object = &node },
    { .name = "name/~", .field = NODE_NEEDED, .kind = T8_TEXT, .uses = T8_NULLABLE },
};
static const t8_object node = { node_members, 3 };
static const char *const options[] = { "ONE", "TWO", NULL };
#define WORD "A_WORD_OF_FIFTY_BYTES_THAT_IS_ONE_OF_MANY_OPTIONS_"
static const char *const many[] = { WORD "0", WORD "1", WORD "2", WORD "3", WORD "4", WORD "5", WORD "6", WORD "7", WORD "8", NULL };

static const t8_member members[] = {
    { .name = "externalId", .field = T8_FIELD_ID, .kind = T8_IDENTIFIER },
    { .name = "msisdn", .field = T8_FIELD_MSISDN, .kind = T8_DIGITS },
    { .name = "externalGroupId", .field = T8_FIELD_GROUP, .kind = T8_IDENTIFIER },
    { .name = "supportedFeatures", .field = T8_FIELD_FEATURES, .kind = T8_FEATURES },
    { .name = "text", .field = TEXT, .kind = T8_TEXT, .uses = T8_PATCHED },
    { .name = "short", .field = SHORT, .kind = T8_TEXT, .least = 2, .most = 4 },
    { .name = "link", .field = LINK, .kind = T8_LINK },
    { .name = "time", .field = TIME, .kind = T8_TIME },
    { .name = "later", .field = LATER, .kind = T8_TIME, .uses = T8_FUTURE },
    { .name = "clock", .field = CLOCK, .kind = T8_TIME_OF_DAY },
    { .name = "integer", .field = INTEGER, .kind = T8_INTEGER },
    { .name = "range", .field = RANGE, .kind = T8_INTEGER, .least = -5, .most = 5 },
    { .name = "number", .field = NUMBER, .kind = T8_NUMBER },
    { .name = "truth", .field = TRUTH, .kind = T8_BOOLEAN },
    { .name = "option", .field = OPTION, .kind = T8_OPTION, .options = options },
    { .name = "many", .field = MANY, .kind = T8_OPTION, .options = many },
    { .name = "bytes", .field = BYTES, .kind = T8_BYTES, .most = 4 },
    { .name = "blob", .field = BLOB, .kind = T8_BYTES },
    { .name = "object", .field = OBJECT, .kind = T8_OBJECT, .object = &node },
    { .name = "map", .field = MAP, .kind = T8_MAP, .object = &node },
    { .name = "socket", .field = SOCKET, .kind = T8_WEBSOCKET },
    { .name = "any", .field = ANY, .kind = T8_JSON, .least = T8_JSON_ANY },
    { .name = "json_object", .field = JSON_OBJECT, .kind = T8_JSON, .least = T8_JSON_OBJECT },
    { .name = "json_array", .field = JSON_ARRAY, .kind = T8_JSON, .least = T8_JSON_ARRAY },
    { .name = "json_text", .field = JSON_TEXT, .kind = T8_JSON, .least = T8_JSON_TEXT },
    { .name = "json_number", .field = JSON_NUMBER, .kind = T8_JSON, .least = T8_JSON_NUMBER },
    { .name = "json_truth", .field = JSON_TRUTH, .kind = T8_JSON, .least = T8_JSON_BOOLEAN },
    { .name = "dropped", .field = DROPPED, .kind = T8_JSON, .uses = T8_DROPPED, .least = T8_JSON_OBJECT },
    { .name = "list", .field = LIST, .kind = T8_INTEGER, .uses = T8_LIST | T8_PATCHED },
    { .name = "empty", .field = EMPTY, .kind = T8_INTEGER, .uses = T8_LIST | T8_MAY_BE_EMPTY },
    { .name = "own", .field = OWN, .kind = T8_TEXT, .uses = T8_READ_ONLY },
    { .name = "nullable", .field = NULLABLE, .kind = T8_INTEGER, .uses = T8_NULLABLE },
    { .name = "needed", .field = NEEDED, .kind = T8_INTEGER, .uses = T8_REQUIRED },
};
static const t8_object resource = { members, sizeof members / sizeof *members };
static const t8_api by_one = { .resource = &resource, .patch = &resource, .patch_kind = T8_PATCH_MERGE, .identities = T8_BY_ID | T8_BY_MSISDN | T8_BY_GROUP };
static const t8_api by_few = { .resource = &resource, .patch_kind = T8_PATCH_JSON, .identities = T8_BY_ID | T8_BY_MSISDN };
static const t8_api by_nobody = { .resource = &resource, .identities = T8_BY_ID | T8_BY_NOBODY };

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

static bool reads(const char *json, const t8_api *api, bool is_patch)
{
    out = dro_builder_over(written, sizeof written);
    return t8_body_read(arena, (body_text){ json, strlen(json) }, &(t8_body){ api, is_patch, now_ms }, &out, &fault);
}

/* With what has to be there. */
static bool reads_member(const char *member)
{
    static char json[64 * 1024];
    int length = snprintf(json, sizeof json, "{\"externalId\":\"a@b.example\",\"needed\":1,%s}", member);
    assert_true(length > 0 && (size_t)length < sizeof json);
    return reads(json, &by_one, false);
}

static const dro_field *found(uint32_t tag)
{
    static dro_field room, field;
    const dro_field *inside = t8_find(written, dro_builder_length(&out), API_FIELD_RESOURCE, &room);
    assert_non_null(inside);
    return t8_find(inside->bytes, inside->length, tag, &field);
}

static void assert_taken(const char *member, uint32_t tag, const void *wanted, size_t length)
{
    if (!reads_member(member))
        fail_msg("%.200s: %s %s", member, fault.pointer, fault.detail);
    const dro_field *field = found(tag);
    assert_non_null(field);
    assert_int_equal(field->length, length);
    assert_memory_equal(field->bytes, wanted, length);
}

static void assert_refused(const char *member, const char *pointer, const char *word)
{
    if (reads_member(member))
        fail_msg("%.200s: taken", member);
    assert_int_equal(fault.status, 400);
    assert_string_equal(fault.pointer, pointer);
    if (strstr(fault.detail, word) == NULL)
        fail_msg("%.200s: %s", member, fault.detail);
}

static void assert_i64(const char *member, uint32_t tag, int64_t wanted)
{
    assert_taken(member, tag, &wanted, sizeof wanted);
}

/* ---- texts ---- */

static void texts_have_their_lengths(void **state)
{
    char member[400] = "\"text\":\"";
    (void)state;
    assert_taken("\"text\":\"a\"", TEXT, "a", 1);
    assert_refused("\"text\":\"\"", "/text", "1 to 255");
    memset(member + 8, 'a', 255);
    strcpy(member + 8 + 255, "\"");
    assert_taken(member, TEXT, member + 8, 255);
    strcpy(member + 8 + 255, "a\"");
    assert_refused(member, "/text", "1 to 255");
    assert_taken("\"short\":\"ab\"", SHORT, "ab", 2);
    assert_refused("\"short\":\"a\"", "/short", "2 to 4");
    assert_refused("\"short\":\"abcde\"", "/short", "2 to 4");
    assert_refused("\"short\":5", "/short", "a string");
}

static void features_are_hexadecimal(void **state)
{
    (void)state;
    assert_taken("\"supportedFeatures\":\"0aF\"", T8_FIELD_FEATURES, "0aF", 3);
    assert_refused("\"supportedFeatures\":\"0g\"", "/supportedFeatures", "hexadecimal");
    assert_refused("\"supportedFeatures\":\"0\\u0000\"", "/supportedFeatures", "hexadecimal");
    assert_refused("\"supportedFeatures\":\"01234567890123456\"", "/supportedFeatures", "at most 16");
}

/* RFC 3986 3.2; RFC 9110 4.2.1: a host is needed; 4.2.4: no user. */
static void links_are_those_that_a_connection_can_be_made_to(void **state)
{
    static const char *const good[] = { "http://h", "https://h.example:8443/a?b#c", "http://h:1?x", "https://[::1]:65535/", "http://1", "http://h/a@b", "https://h#a:b" };
    static const char *const bad[] = {
        "", "h", "ftp://h", "http://", "https://", "http:///a", "http://?a", "http://:80", "http://u@h", "http://u:p@h/", "http://h:0", "http://h:/", "http://h:65536", "http://h:99999999999/",
        "http://h /", "http://h\\u007f", "http://\\u00e4", "https:h", "http://h\\t", "https:///x",
    };
    char member[2 * T8_LINK_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(member, sizeof member, "\"link\":\"%s\"", good[i]);
        assert_taken(member, LINK, good[i], strlen(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(member, sizeof member, "\"link\":\"%s\"", bad[i]);
        assert_refused(member, "/link", "absolute URI");
    }
    memset(member, 'a', sizeof member);
    memcpy(member, "\"link\":\"http://", 15);
    strcpy(member + 8 + T8_LINK_MAX, "\"");
    assert_taken(member, LINK, member + 8, T8_LINK_MAX);
    strcpy(member + 8 + T8_LINK_MAX, "a\"");
    assert_refused(member, "/link", "at most 1024");
}

static void identities_are_read_and_one_is_needed(void **state)
{
    (void)state;
    assert_true(reads("{\"externalId\":\"a@B.example\",\"needed\":1}", &by_one, false));
    assert_memory_equal(written, "\x01\x0b" "a@b.example", 13); /* in front, for the way to its core */
    assert_true(reads("{\"msisdn\":\"491701234\",\"needed\":1}", &by_one, false));
    assert_true(reads("{\"externalGroupId\":\"g@b.example\",\"needed\":1}", &by_one, false));
    assert_false(reads("{\"needed\":1}", &by_one, false));
    assert_string_equal(fault.detail, "one of externalId, msisdn and externalGroupId must be there");
    assert_false(reads("{\"externalId\":\"a@b.example\",\"msisdn\":\"491701234\",\"needed\":1}", &by_one, false));
    assert_false(reads("{\"externalGroupId\":\"g@b.example\",\"needed\":1}", &by_few, false));
    assert_string_equal(fault.detail, "one of externalId and msisdn must be there");
    assert_true(reads("{\"needed\":1}", &by_nobody, false));
    assert_true(reads("{\"externalId\":\"a@b.example\",\"needed\":1}", &by_nobody, false));
    assert_false(reads("{\"externalId\":\"a\",\"needed\":1}", &by_one, false));
    assert_string_equal(fault.pointer, "/externalId");
    static const char *const no_numbers[] = { "1234", "1234567890123456", "12345a", "+12345" };
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        char json[80];
        snprintf(json, sizeof json, "{\"msisdn\":\"%s\",\"needed\":1}", no_numbers[i]);
        assert_false(reads(json, &by_one, false));
        assert_string_equal(fault.pointer, "/msisdn");
    }
}

static void options_are_numbered_by_their_place(void **state)
{
    (void)state;
    assert_taken("\"option\":\"TWO\"", OPTION, &(uint8_t){ 1 }, 1);
    assert_refused("\"option\":\"THREE\"", "/option", "must be one of ONE, TWO");
    assert_taken("\"many\":\"" WORD "8\"", MANY, &(uint8_t){ 8 }, 1);
    assert_refused("\"many\":\"x\"", "/many", WORD "0, " WORD "1"); /* as many as there is room for */
    assert_true(strlen(fault.detail) < BODY_DETAIL_MAX);
}

static void bytes_are_base64_within_their_bound(void **state)
{
    (void)state;
    assert_taken("\"bytes\":\"AQIDBA==\"", BYTES, "\1\2\3\4", 4);
    assert_taken("\"bytes\":\"\"", BYTES, "", 0);
    assert_refused("\"bytes\":\"AQIDBAU=\"", "/bytes", "at most 4 bytes");
    assert_refused("\"bytes\":\"AQ\"", "/bytes", "base64");
    assert_refused("\"bytes\":\"A-==\"", "/bytes", "base64");
    assert_taken("\"blob\":\"AQID\"", BLOB, "\1\2\3", 3);
}

/* ---- times ---- */

static void times_are_those_of_rfc_3339(void **state)
{
    (void)state;
    assert_i64("\"time\":\"1985-04-12T23:20:50.52Z\"", TIME, 482196050520);  /* its 5.8 */
    assert_i64("\"time\":\"1996-12-19T16:39:57-08:00\"", TIME, 851042397000); /* the same */
    assert_refused("\"time\":\"1985-04-12\"", "/time", "RFC 3339");
}

static void what_has_to_be_in_the_future_is_later_than_the_callers_clock(void **state)
{
    (void)state;
    assert_i64("\"later\":\"2026-11-22T12:00:00.001Z\"", LATER, now_ms + 1);
    assert_refused("\"later\":\"2026-11-22T12:00:00Z\"", "/later", "in the future");
    assert_refused("\"later\":\"2026-11-22T11:59:59Z\"", "/later", "in the future");
    assert_i64("\"time\":\"2026-11-22T11:59:59Z\"", TIME, now_ms - 1000); /* need not be */
}

/* RFC 3339 5.6: partial-time and full-time. */
static void times_of_day_are_those_of_rfc_3339(void **state)
{
    static const char *const good[] = { "20:15:00", "20:15:00.5", "20:15:00-08:00", "20:15:00Z", "20:15:00z", "23:59:60.123456+23:59", "00:00:00.0Z", "20:15:00+00:00" };
    static const char *const bad[] = {
        "", "2", "20:15", "20:15:0", "24:00:00", "20:60:00", "20:15:61", "20.15:00", "20:15.00", "a0:15:00", "2a:15:00", "20:15:00.", "20:15:00.Z", "20:15:00.5a",
        "20:15:00x", "20:15:00Zx", "20:15:00+08", "20:15:00*08:00", "20:15:00+24:00", "20:15:00+08-00", "20:15:00+08:60", "20:15:00+08:000", "20:1a:00", "2/:15:00",
        "/0:15:00", "20:15:/0", "20:15:0/", "20:15:00.123456789012345678901234567890",
    };
    char member[100];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(member, sizeof member, "\"clock\":\"%s\"", good[i]);
        assert_taken(member, CLOCK, good[i], strlen(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(member, sizeof member, "\"clock\":\"%s\"", bad[i]);
        assert_refused(member, "/clock", "time of day");
    }
}

/* ---- numbers and truth ---- */

static void numbers_have_their_ranges(void **state)
{
    double number = 2.5;
    (void)state;
    assert_i64("\"integer\":0", INTEGER, 0);
    assert_i64("\"integer\":4294967295", INTEGER, UINT32_MAX);
    assert_refused("\"integer\":-1", "/integer", "0 to 4294967295");
    assert_refused("\"integer\":4294967296", "/integer", "0 to 4294967295");
    assert_refused("\"integer\":18446744073709551615", "/integer", "0 to 4294967295");
    assert_refused("\"integer\":1.5", "/integer", "whole number");
    assert_refused("\"integer\":\"1\"", "/integer", "whole number");
    assert_i64("\"range\":-5", RANGE, -5);
    assert_i64("\"range\":5", RANGE, 5);
    assert_refused("\"range\":-6", "/range", "-5 to 5");
    assert_refused("\"range\":6", "/range", "-5 to 5");
    assert_refused("\"range\":18446744073709551615", "/range", "-5 to 5"); /* not -1 */
    assert_taken("\"number\":2.5", NUMBER, &number, sizeof number);
    number = 7;
    assert_taken("\"number\":7", NUMBER, &number, sizeof number);
    assert_refused("\"number\":-0.5", "/number", "0 or more");
    assert_refused("\"number\":-1", "/number", "0 or more");
    assert_refused("\"number\":\"1\"", "/number", "a number");
    assert_taken("\"truth\":true", TRUTH, "\1", 1);
    assert_taken("\"truth\":false", TRUTH, "\0", 1);
    assert_refused("\"truth\":1", "/truth", "true or false");
}

/* ---- objects ---- */

static void objects_are_fields_in_fields(void **state)
{
    const uint8_t inner[] = { NODE_INNER, 10, NODE_NUMBER, 8, 3, 0, 0, 0, 0, 0, 0, 0 };
    (void)state;
    if (!reads_member("\"object\":{\"inner\":{\"number\":3}}"))
        fail_msg("%s", fault.detail);
    const dro_field *field = found(OBJECT);
    dro_field room;
    field = t8_find(field->bytes, field->length, NODE_INNER, &room);
    assert_non_null(field);
    assert_non_null(t8_find(field->bytes, field->length, NODE_NUMBER, &room));
    assert_memory_equal(room.bytes, inner + 4, 8);
    assert_refused("\"object\":5", "/object", "an object");
    assert_refused("\"object\":{\"inner\":{\"name/~\":5}}", "/object/inner/name~1~0", "a string"); /* RFC 6901 3 */
    assert_refused("\"object\":{\"name/~\":null}", "/object/name~1~0", "a string"); /* what a patch may null it may not */
    assert_refused("\"object\":{\"inner\":{\"inner\":{\"inner\":{\"inner\":{\"inner\":{\"inner\":{\"number\":1}}}}}}}",
                   "/object/inner/inner/inner/inner/inner/inner", "too deep");
    if (!reads_member("\"object\":{\"inner\":{\"inner\":{\"inner\":{\"inner\":{\"inner\":{\"number\":1}}}}}}"))
        fail_msg("%s", fault.detail);
}

static void maps_have_named_entries(void **state)
{
    char member[600];
    dro_field room;
    (void)state;
    if (!reads_member("\"map\":{\"a\":{\"number\":1},\"b\":{}}"))
        fail_msg("%s", fault.detail);
    const dro_field *field = found(MAP);
    assert_non_null(t8_find(field->bytes, field->length, T8_FIELD_KEY, &room));
    assert_memory_equal(room.bytes, "a", 1);
    assert_refused("\"map\":{}", "/map", "1 to 64 members");
    assert_refused("\"map\":[]", "/map", "1 to 64 members");
    assert_refused("\"map\":{\"\":{}}", "/map/", "a name of 1 to 255");
    assert_refused("\"map\":{\"a\":{\"number\":-1}}", "/map/a/number", "0 to");
    memset(member, 'a', sizeof member);
    memcpy(member, "\"map\":{\"", 8);
    strcpy(member + 8 + 256, "\":{}}");
    assert_false(reads_member(member));
    assert_non_null(strstr(fault.detail, "a name of 1 to 255"));
    assert_int_equal(strlen(fault.pointer), BODY_POINTER_MAX - 2); /* cut, and nothing behind it */
    strcpy(member + 8 + 255, "\":{\"inner\":{\"number\":\"x\"}}}");
    assert_false(reads_member(member));
    assert_int_equal(strlen(fault.pointer), BODY_POINTER_MAX - 1);
    strcpy(member, "\"map\":{\"k0\":{}");
    for (int i = 1; i < 65; i++)
        snprintf(member + strlen(member), sizeof member - strlen(member), ",\"k%d\":1", i);
    strcat(member, "}");
    assert_refused(member, "/map", "1 to 64 members");
}

static void lists_have_1_to_64_items(void **state)
{
    char member[400] = "\"list\":[0";
    (void)state;
    assert_i64("\"list\":[7,8]", LIST, 7);
    assert_refused("\"list\":[]", "/list", "1 to 64");
    assert_refused("\"list\":5", "/list", "1 to 64");
    assert_refused("\"list\":[1,2,-3]", "/list/2", "0 to");
    assert_taken("\"empty\":[]", EMPTY, "", 0);
    assert_i64("\"empty\":[3]", EMPTY, 3);
    assert_refused("\"empty\":{}", "/empty", "0 to 64");
    for (int i = 1; i < 64; i++)
        strcat(member, ",1");
    strcat(member, "]");
    assert_i64(member, LIST, 0);
    strcpy(member + strlen(member) - 1, ",1]");
    assert_refused(member, "/list", "1 to 64");
}

static void values_that_are_kept_as_they_came_have_a_type_and_a_bound(void **state)
{
    static char member[8 * T8_JSON_MAX];
    (void)state;
    assert_taken("\"any\":[1,{\"a\":null}]", ANY, "[1,{\"a\":null}]", 14);
    assert_taken("\"json_object\":{\"a\": 1}", JSON_OBJECT, "{\"a\":1}", 7);
    assert_taken("\"json_array\":[1]", JSON_ARRAY, "[1]", 3);
    assert_taken("\"json_text\":\"a\"", JSON_TEXT, "\"a\"", 3);
    assert_taken("\"json_number\":1.5", JSON_NUMBER, "1.5", 3);
    assert_taken("\"json_truth\":true", JSON_TRUTH, "true", 4);
    assert_refused("\"json_object\":[]", "/json_object", "must be an object");
    assert_refused("\"json_array\":{}", "/json_array", "must be an array");
    assert_refused("\"json_text\":1", "/json_text", "must be a string");
    assert_refused("\"json_number\":\"1\"", "/json_number", "must be a number");
    assert_refused("\"json_truth\":1", "/json_truth", "must be true or false");
    if (!reads_member("\"dropped\":{\"a\":1}"))
        fail_msg("%s", fault.detail);
    assert_null(found(DROPPED));
    assert_refused("\"dropped\":1", "/dropped", "must be an object");
    memset(member, 'a', sizeof member);
    memcpy(member, "\"any\":\"", 7);
    strcpy(member + 7 + T8_JSON_MAX - 2, "\""); /* with its quotes it is as long as it may be */
    assert_taken(member, ANY, member + 6, T8_JSON_MAX);
    strcpy(member, "\"any\":[");
    for (int i = 0; i < 128; i++) /* 128 items of 7 bytes with a comma, less the last, and brackets: 1025 */
        strcat(member, i == 0 ? "\"aaaaa\"" : ",\"aaaaa\"");
    strcat(member, "]");
    assert_refused(member, "/any", "larger than 1024");
    strcpy(member + strlen(member) - 3, "\"]");
    assert_taken(member, ANY, member + 6, T8_JSON_MAX);
    memset(member, 'a', sizeof member);
    memcpy(member, "\"any\":\"", 7);
    strcpy(member + 7 + T8_JSON_MAX - 1, "\"");
    memset(member + 7, 'a', T8_JSON_MAX - 1);
    assert_refused(member, "/any", "larger than 1024");
    memset(member + 7, 'a', sizeof member - 9); /* beyond what is looked at */
    strcpy(member + sizeof member - 2, "\"");
    assert_refused(member, "/any", "larger than 1024");
}

static void a_websocket_is_wished_for(void **state)
{
    (void)state;
    assert_taken("\"socket\":{\"requestWebsocketUri\":true}", SOCKET, "\1", 1);
    assert_taken("\"socket\":{\"requestWebsocketUri\":false,\"websocketUri\":\"ws://h\"}", SOCKET, "\0", 1);
    assert_taken("\"socket\":{}", SOCKET, "\0", 1);
    assert_taken("\"socket\":{\"websocketUri\":\"ws://h\"}", SOCKET, "\0", 1);
    assert_refused("\"socket\":true", "/socket", "requestWebsocketUri");
    assert_refused("\"socket\":{\"requestWebsocketUri\":1}", "/socket", "requestWebsocketUri");
    assert_refused("\"socket\":{\"websocketUri\":1}", "/socket", "requestWebsocketUri");
}

static void what_is_needed_must_be_there_and_what_is_ours_is_passed_over(void **state)
{
    (void)state;
    assert_false(reads("{\"externalId\":\"a@b.example\"}", &by_one, false));
    assert_string_equal(fault.pointer, "/needed");
    assert_string_equal(fault.detail, "needed is missing");
    if (!reads_member("\"own\":5,\"unknown\":{\"a\":1}"))
        fail_msg("%s", fault.detail);
    assert_null(found(OWN));
    assert_false(reads("[]", &by_one, false));
    assert_string_equal(fault.detail, "must be an object");
    assert_false(reads("{", &by_one, false));
    assert_non_null(strstr(fault.detail, "not JSON at byte"));
    assert_refused("\"nullable\":null", "/nullable", "whole number");
}

/* ---- patches ---- */

/* RFC 7396. */
static void a_merge_patch_removes_by_null(void **state)
{
    (void)state;
    assert_true(reads("{\"nullable\":null}", &by_one, true));
    assert_memory_equal(found(T8_FIELD_NULLED)->bytes, &(uint8_t){ NULLABLE }, 1);
    assert_true(reads("{\"nullable\":3}", &by_one, true));
    assert_non_null(found(NULLABLE));
    assert_false(reads("{\"integer\":null}", &by_one, true));
    assert_true(reads("{}", &by_one, true)); /* nothing is needed */
}

/* RFC 6902 4. */
static void a_json_patch_names_members_and_items(void **state)
{
    static const struct { const char *json; t8_change change; } good[] = {
        { "[{\"op\":\"add\",\"path\":\"/list/-\",\"value\":3}]", { T8_CHANGE_ADD, LIST, T8_CHANGE_END } },
        { "[{\"op\":\"add\",\"path\":\"/list/63\",\"value\":3}]", { T8_CHANGE_ADD, LIST, 63 } },
        { "[{\"op\":\"replace\",\"path\":\"/list\",\"value\":[3]}]", { T8_CHANGE_REPLACE, LIST, T8_CHANGE_WHOLE } },
        { "[{\"op\":\"remove\",\"path\":\"/list/0\"}]", { T8_CHANGE_REMOVE, LIST, 0 } },
        { "[{\"op\":\"remove\",\"path\":\"/text\"},{\"op\":\"add\",\"path\":\"/list\",\"value\":[1]}]", { T8_CHANGE_REMOVE, TEXT, T8_CHANGE_WHOLE } },
    };
    static const struct { const char *json, *word; } bad[] = {
        { "{}", "array of 1 to 64" }, { "[]", "array of 1 to 64" }, { "[1]", "op and path" }, { "[{\"op\":\"add\"}]", "op and path" },
        { "[{\"path\":\"/text\"}]", "op and path" }, { "[{\"op\":\"move\",\"path\":\"/text\",\"from\":\"/a\"}]", "add, remove or replace" },
        { "[{\"op\":\"remove\",\"path\":\"\"}]", "path of a member" }, { "[{\"op\":\"remove\",\"path\":\"text\"}]", "path of a member" },
        { "[{\"op\":\"remove\",\"path\":\"/\"}]", "path of a member" }, { "[{\"op\":\"remove\",\"path\":\"/integer\"}]", "path of a member" },
        { "[{\"op\":\"remove\",\"path\":\"/unknown\"}]", "path of a member" }, { "[{\"op\":\"remove\",\"path\":\"/list/64\"}]", "path of a member" },
        { "[{\"op\":\"remove\",\"path\":\"/list/x\"}]", "path of a member" }, { "[{\"op\":\"remove\",\"path\":\"/list/\"}]", "path of a member" },
        { "[{\"op\":\"add\",\"path\":\"/text\"}]", "a value" }, { "[{\"op\":\"add\",\"path\":\"/list/-\",\"value\":-1}]", "0 to" },
        { "[{\"op\":\"replace\",\"path\":\"/text\",\"value\":null}]", "a string" },
    };
    char many_changes[65 * 40] = "[";
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!reads(good[i].json, &by_few, true))
            fail_msg("%s: %s", good[i].json, fault.detail);
        assert_memory_equal(found(T8_FIELD_CHANGE)->bytes, &good[i].change, sizeof(t8_change));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(reads(bad[i].json, &by_few, true));
        if (strstr(fault.detail, bad[i].word) == NULL)
            fail_msg("%s: %s", bad[i].json, fault.detail);
    }
    for (int i = 0; i < 64; i++)
        strcat(many_changes, i == 0 ? "{\"op\":\"remove\",\"path\":\"/text\"}" : ",{\"op\":\"remove\",\"path\":\"/text\"}");
    strcat(many_changes, "]");
    assert_true(reads(many_changes, &by_few, true));
    strcpy(many_changes + strlen(many_changes) - 1, ",1]");
    assert_false(reads(many_changes, &by_few, true));
    assert_non_null(strstr(fault.detail, "1 to 64 operations"));
}

/* ---- room ---- */

static void what_is_too_large_is_413(void **state)
{
    static char json[2 * 1024 * 1024];
    uint8_t small[16];
    (void)state;
    strcpy(json, "{\"externalId\":\"a@b.example\",\"needed\":1,\"map\":{");
    for (int i = 0; i < 64; i++) /* more fields than a resource may have, though each is within its bound */
        sprintf(json + strlen(json), "%s\"k%0254d\":{}", i > 0 ? "," : "", i);
    strcat(json, "}}");
    assert_false(reads(json, &by_one, false));
    assert_int_equal(fault.status, 413);
    dro_builder none = dro_builder_over(small, sizeof small);
    const char *usual = "{\"externalId\":\"a@b.example\",\"needed\":1}";
    assert_false(t8_body_read(arena, (body_text){ usual, strlen(usual) }, &(t8_body){ &by_one, false, now_ms }, &none, &fault));
    assert_int_equal(fault.status, 413);
    memset(json, ' ', sizeof json - 1); /* JSON needs more memory than there is */
    memcpy(json, usual, strlen(usual));
    json[sizeof json - 1] = '\0';
    assert_false(reads(json, &by_one, false));
    assert_int_equal(fault.status, 413);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_their_lengths),
        cmocka_unit_test(features_are_hexadecimal),
        cmocka_unit_test(links_are_those_that_a_connection_can_be_made_to),
        cmocka_unit_test(identities_are_read_and_one_is_needed),
        cmocka_unit_test(options_are_numbered_by_their_place),
        cmocka_unit_test(bytes_are_base64_within_their_bound),
        cmocka_unit_test(times_are_those_of_rfc_3339),
        cmocka_unit_test(what_has_to_be_in_the_future_is_later_than_the_callers_clock),
        cmocka_unit_test(times_of_day_are_those_of_rfc_3339),
        cmocka_unit_test(numbers_have_their_ranges),
        cmocka_unit_test(objects_are_fields_in_fields),
        cmocka_unit_test(maps_have_named_entries),
        cmocka_unit_test(lists_have_1_to_64_items),
        cmocka_unit_test(values_that_are_kept_as_they_came_have_a_type_and_a_bound),
        cmocka_unit_test(a_websocket_is_wished_for),
        cmocka_unit_test(what_is_needed_must_be_there_and_what_is_ours_is_passed_over),
        cmocka_unit_test(a_merge_patch_removes_by_null),
        cmocka_unit_test(a_json_patch_names_members_and_items),
        cmocka_unit_test(what_is_too_large_is_413),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
