#include "base/base64.h"
#include "twin/model.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static model parsed, back;
static char told[4096]; /* all reasons of the last parse, a line each */

static void tell(void *context, const char *reason)
{
    (void)context;
    assert_true(strlen(reason) < MODEL_REASON_MAX);
    strncat(told, reason, sizeof told - strlen(told) - 2);
    strcat(told, "\n");
}

static dro_err parse(const char *json)
{
    told[0] = '\0';
    return model_parse(&parsed, json, strlen(json), tell, NULL);
}

#define HEAD "{\"dromio:model\":\"acme/x\",\"version\":{\"model\":\"1.0.0\"}"

static void assert_refused(const char *json, const char *reason)
{
    assert_int_equal(parse(json), DRO_MALFORMED);
    if (strstr(told, reason) == NULL)
        fail_msg("no \"%s\" in: %s", reason, told);
}

/* A property's members, in a model that is good but for them. */
static void assert_property_refused(const char *members, const char *reason)
{
    char json[1024];
    snprintf(json, sizeof json, HEAD ",\"properties\":{\"p\":{%s}}}", members);
    assert_refused(json, reason);
}

static char *load(const char *path)
{
    static char bytes[MODEL_JSON_MAX];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    bytes[length] = '\0';
    return bytes;
}

static void the_sample_model_is_read_as_it_says(void **state)
{
    (void)state;
    assert_int_equal(parse(load(THERMO_MODEL)), DRO_OK);
    assert_string_equal(parsed.name, "acme/thermo");
    assert_string_equal(parsed.version, "1.0.0");
    assert_int_equal(parsed.property_count, 12);
    int temperature = model_property_find(&parsed, "temperature", 11);
    int period = model_property_find(&parsed, "period", 6);
    assert_int_equal(temperature, 0);
    assert_string_equal(parsed.properties[temperature].unit, "Cel");
    assert_int_equal(parsed.properties[temperature].source, SOURCE_DEVICE);
    assert_false(parsed.properties[temperature].is_writable);
    assert_int_equal(parsed.properties[temperature].stale_property, period);
    assert_int_equal(parsed.properties[temperature].stale_times, 3);
    assert_true(parsed.properties[period].is_writable);
    assert_int_equal(parsed.properties[period].schema.kind, VALUE_INTEGER);
    assert_true(parsed.properties[period].schema.minimum == 10);
    assert_true(parsed.properties[period].schema.maximum == 65535);
    assert_int_equal(parsed.properties[period].stale_property, -1);
    assert_int_equal(parsed.properties[model_property_find(&parsed, "average", 7)].source, SOURCE_TWIN);
    assert_int_equal(parsed.action_count, 1);
    assert_int_equal(parsed.actions[0].input_count, 1);
    assert_true(parsed.actions[0].inputs[0].schema.is_required);
    assert_int_equal(parsed.event_count, 1);
    assert_int_equal(parsed.events[0].kind, VALUE_NUMBER);
    assert_int_equal(parsed.secret_count, 2);
    assert_true(parsed.secrets[1].schema.is_base64);
    assert_int_equal(parsed.secrets[1].schema.length_minimum, 16);
}

static void the_flat_form_reads_back_the_same(void **state)
{
    (void)state;
    uint8_t flat[MODEL_FLAT_MAX];
    assert_int_equal(parse(load(THERMO_MODEL)), DRO_OK);
    dro_builder out = dro_builder_over(flat, sizeof flat);
    model_write(&out, &parsed);
    assert_int_equal(out.err, DRO_OK);
    dro_cursor in = dro_cursor_over(flat, dro_builder_length(&out));
    assert_int_equal(model_read(&back, &in), DRO_OK);
    assert_memory_equal(&parsed, &back, sizeof back);
    for (size_t length = 0; length < dro_builder_length(&out); length++) {
        in = dro_cursor_over(flat, length);
        assert_int_equal(model_read(&back, &in), DRO_TRUNCATED);
    }
}

static void the_largest_model_has_a_flat_form(void **state)
{
    (void)state;
    uint8_t flat[MODEL_FLAT_MAX];
    char name[MODEL_NAME_MAX + 1];
    memset(name, 'n', MODEL_NAME_MAX);
    name[MODEL_NAME_MAX] = '\0';
    memset(&parsed, 0, sizeof parsed);
    parsed.property_count = MODEL_PROPERTIES_MAX;
    parsed.action_count = MODEL_ACTIONS_MAX;
    parsed.event_count = MODEL_EVENTS_MAX;
    parsed.secret_count = MODEL_SECRETS_MAX;
    for (int i = 0; i < MODEL_PROPERTIES_MAX; i++) {
        strcpy(parsed.properties[i].name, name);
        memset(parsed.properties[i].unit, 'u', MODEL_UNIT_MAX);
    }
    for (int i = 0; i < MODEL_ACTIONS_MAX; i++) {
        strcpy(parsed.actions[i].name, name);
        parsed.actions[i].input_count = MODEL_INPUTS_MAX;
        for (int j = 0; j < MODEL_INPUTS_MAX; j++)
            strcpy(parsed.actions[i].inputs[j].name, name);
    }
    for (int i = 0; i < MODEL_EVENTS_MAX; i++)
        strcpy(parsed.events[i].name, name);
    for (int i = 0; i < MODEL_SECRETS_MAX; i++)
        strcpy(parsed.secrets[i].name, name);
    dro_builder out = dro_builder_over(flat, sizeof flat);
    model_write(&out, &parsed);
    assert_int_equal(out.err, DRO_OK);
}

/* Every single byte of the flat form set to 0xff: refused or another model, never a fault. */
static void a_changed_flat_form_is_refused_or_good(void **state)
{
    (void)state;
    uint8_t flat[MODEL_FLAT_MAX];
    assert_int_equal(parse(load(THERMO_MODEL)), DRO_OK);
    dro_builder out = dro_builder_over(flat, sizeof flat);
    model_write(&out, &parsed);
    for (size_t i = 0; i < dro_builder_length(&out); i++) {
        uint8_t held = flat[i];
        flat[i] = 0xff;
        dro_cursor in = dro_cursor_over(flat, dro_builder_length(&out));
        if (model_read(&back, &in) == DRO_OK)
            for (int j = 0; j < back.property_count; j++)
                assert_true(back.properties[j].stale_property < (int)back.property_count);
        flat[i] = held;
    }
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    assert_refused("", "0 bytes");
    assert_refused("{", "not JSON");
    assert_refused("[]", "not an object");
    assert_refused("{}", "dromio:model");
    assert_refused("{}", "version.model");
    assert_refused("{\"dromio:model\":\"acme\",\"version\":{\"model\":\"1\"}}", "not maker/name");
    assert_refused("{\"dromio:model\":\"a/b/c\",\"version\":{\"model\":\"1\"}}", "not maker/name");
    assert_refused("{\"dromio:model\":\"Acme/x\",\"version\":{\"model\":\"1\"}}", "lower case");
    assert_refused("{\"dromio:model\":\"acme/x\",\"version\":{\"model\":\"one two\"}}", "version.model");
    assert_refused(HEAD ",\"@type\":\"Thing\"}", "tm:ThingModel");
    assert_refused(HEAD ",\"@context\":\"https://www.w3.org/2019/wot/td/v1\"}", "td/v1.1");
    assert_refused(HEAD ",\"properties\":[]}", "properties: is array");
}

static void a_model_without_anything_is_a_model(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "}"), DRO_OK);
    assert_int_equal(parsed.property_count, 0);
}

static void every_reason_is_told(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"properties\":{\"a\":{\"type\":\"array\"},\"id\":{\"type\":\"number\"}}}"),
                     DRO_MALFORMED);
    assert_non_null(strstr(told, "dromio:model"));
    assert_non_null(strstr(told, "version.model"));
    assert_non_null(strstr(told, "\"a\": type is array"));
    assert_non_null(strstr(told, "\"id\": this name is a column of every table"));
}

static void a_property_must_keep_to_the_rules(void **state)
{
    (void)state;
    assert_property_refused("", "type is missing");
    assert_property_refused("\"type\":\"number\",\"minimum\":2,\"maximum\":1", "minimum is above maximum");
    assert_property_refused("\"type\":\"integer\",\"minimum\":0.5", "whole numbers");
    assert_property_refused("\"type\":\"boolean\",\"minimum\":0", "for numbers and integers");
    assert_property_refused("\"type\":\"string\",\"maxLength\":257", "over 256 bytes");
    assert_property_refused("\"type\":\"string\",\"minLength\":65", "minLength 65 is above maxLength 64");
    assert_property_refused("\"type\":\"string\",\"maxLength\":-1", "not a whole number");
    assert_property_refused("\"type\":\"string\",\"enum\":[\"a\"]", "does not check \"enum\"");
    assert_property_refused("\"type\":\"string\",\"contentEncoding\":\"base64\"", "for secrets");
    assert_property_refused("\"type\":\"number\",\"unit\":\"sixteen bytes ..\"", "longer than 15 bytes");
    assert_property_refused("\"type\":\"number\",\"unit\":\"a\\u0001\"", "not printable");
    assert_property_refused("\"type\":\"number\",\"unit\":\"a\\u0000b\"", "NUL");
    assert_property_refused("\"type\":\"number\",\"readOnly\":1", "not true or false");
    assert_property_refused("\"type\":\"number\",\"dromio:private\":true", "private and writable");
    assert_property_refused("\"type\":\"number\",\"dromio:source\":\"sun\"", "dromio:source is");
    assert_property_refused("\"type\":\"number\",\"dromio:stale\":{\"property\":\"q\",\"times\":3}",
                            "names no property");
    assert_property_refused("\"type\":\"number\",\"dromio:stale\":{\"property\":\"p\"}", "times is 1 to");
    assert_property_refused("\"type\":\"string\",\"dromio:stale\":{\"property\":\"p\",\"times\":1}", "\"p\" is none");
    assert_property_refused("\"tm:ref\":\"x\",\"type\":\"number\"", "tm:ref");
}

static void names_must_fit_c_and_sql(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"properties\":{\"2x\":{\"type\":\"number\"}}}", "a name is a letter");
    assert_refused(HEAD ",\"properties\":{\"a b\":{\"type\":\"number\"}}}", "a name is a letter");
    assert_refused(HEAD ",\"properties\":{\"\":{\"type\":\"number\"}}}", "a name is a letter");
    assert_refused(HEAD ",\"properties\":{\"Ab\":{\"type\":\"number\"},\"aB\":{\"type\":\"number\"}}}",
                   "is there twice");
    assert_refused(HEAD ",\"properties\":{\"revision\":{\"type\":\"number\"}}}", "column of every table");
    char json[256];
    snprintf(json, sizeof json, HEAD ",\"properties\":{\"%064d\":{\"type\":\"number\"}}}", 0);
    assert_refused(json, "longer than 63 bytes");
}

static void an_action_takes_an_object(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"actions\":{\"a\":{\"input\":{\"type\":\"number\"}}}}", "input is an object");
    assert_refused(HEAD ",\"actions\":{\"a\":{\"input\":{\"type\":\"object\",\"properties\":{},"
                        "\"required\":[\"q\"]}}}}",
                   "names no member");
    assert_refused(HEAD ",\"actions\":{\"a\":1}}", "is uint, not an object");
    assert_int_equal(parse(HEAD ",\"actions\":{\"a\":{}}}"), DRO_OK);
    assert_int_equal(parsed.actions[0].input_count, 0);
}

static void an_input_has_members_with_names_and_types(void **state)
{
    (void)state;
    #define INPUT(rest) HEAD ",\"actions\":{\"a\":{\"input\":{\"type\":\"object\"," rest "}}}}"
    assert_refused(INPUT("\"properties\":{\"p\":{\"type\":\"number\"}},\"required\":\"p\""), "input.required is not an array");
    assert_refused(INPUT("\"properties\":{\"p\":{\"type\":\"number\"}},\"required\":[1]"), "names no member");
    assert_refused(INPUT("\"properties\":{\"p\":1}"), "is uint, not an object");
    assert_refused(INPUT("\"properties\":{\"1p\":{\"type\":\"number\"}}"), "1p");
    assert_refused(INPUT("\"properties\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{},\"i\":{}}"), "more than 8 members");
    assert_refused(HEAD ",\"actions\":{\"1a\":{}}}", "1a");
    assert_int_equal(parse(INPUT("\"properties\":{\"p\":{\"type\":\"number\"},\"q\":{\"type\":\"number\"}},\"required\":[\"q\"]")), DRO_OK);
    assert_true(!parsed.actions[0].inputs[0].schema.is_required && parsed.actions[0].inputs[1].schema.is_required);
}

static void a_model_has_so_many_bytes(void **state)
{
    (void)state;
    static char json[MODEL_JSON_MAX + 1];
    told[0] = '\0';
    assert_int_equal(model_parse(&parsed, "", 0, tell, NULL), DRO_MALFORMED);
    assert_non_null(strstr(told, "the model has 0 bytes"));
    memset(json, ' ', sizeof json);
    memcpy(json, HEAD "}", strlen(HEAD "}"));
    assert_int_equal(model_parse(&parsed, json, MODEL_JSON_MAX, tell, NULL), DRO_OK);
    assert_int_equal(model_parse(&parsed, json, MODEL_JSON_MAX + 1, tell, NULL), DRO_MALFORMED);
    assert_refused("[]", "not an object");
}

static void what_is_too_large_to_be_kept_is_refused(void **state)
{
    (void)state;
    static char json[4096];
    assert_property_refused("\"type\":\"number\",\"dromio:stale\":{\"property\":\"p\",\"times\":65536}", "stale");
    assert_property_refused("\"type\":\"number\",\"dromio:stale\":{\"property\":\"p\",\"times\":1.5}", "stale");
    size_t at = (size_t)sprintf(json, HEAD ",\"dromio:secrets\":{\"s\":{\"type\":\"string\",\"default\":\"");
    memset(json + at, 'a', VALUE_STRING_MAX + 1);
    strcpy(json + at + VALUE_STRING_MAX + 1, "\"}}}");
    assert_int_equal(parse(json), DRO_MALFORMED);
}

static void an_event_has_data_the_abi_can_carry(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"events\":{\"e\":{\"data\":{\"type\":\"boolean\"}}}}", "a number, a string or absent");
    assert_int_equal(parse(HEAD ",\"events\":{\"e\":{}}}"), DRO_OK);
    assert_int_equal(parsed.events[0].kind, VALUE_NONE);
}

static void what_does_not_fit_an_event_is_refused(void **state)
{
    (void)state;
    char json[2048] = HEAD ",\"dromio:secrets\":{", one[64];
    for (int i = 0; i < 8; i++) {
        snprintf(one, sizeof one, "%s\"s%d\":{\"type\":\"string\",\"maxLength\":256}", i > 0 ? "," : "", i);
        strcat(json, one);
    }
    strcat(json, "}}");
    assert_refused(json, "take up to 2072 bytes together, an event has 2048");
}

static void a_default_must_fit_its_secret(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"dromio:secrets\":{\"s\":{\"type\":\"number\",\"maximum\":1,\"default\":2}}}",
                   "default does not fit");
    assert_refused(HEAD ",\"dromio:secrets\":{\"s\":{\"type\":\"number\",\"default\":\"2\"}}}", "default does not fit");
    assert_refused(HEAD ",\"dromio:secrets\":{\"s\":{\"type\":\"number\",\"default\":[]}}}", "its default does not fit");
    assert_refused(HEAD ",\"dromio:secrets\":{\"s\":{\"type\":\"number\",\"default\":null}}}", "its default does not fit");
}

static void more_than_the_most_is_refused(void **state)
{
    (void)state;
    char json[8192] = HEAD ",\"properties\":{", one[64];
    for (int i = 0; i <= MODEL_PROPERTIES_MAX; i++) {
        snprintf(one, sizeof one, "%s\"p%d\":{\"type\":\"number\"}", i > 0 ? "," : "", i);
        strcat(json, one);
    }
    strcat(json, "}}");
    assert_refused(json, "has 65 members, at most 64");
}

static dro_err check(const model_schema *schema, value *value)
{
    return model_check(schema, value);
}

static void numbers_and_integers_change_into_each_other(void **state)
{
    (void)state;
    const model_schema number = { .kind = VALUE_NUMBER }, integer = { .kind = VALUE_INTEGER };
    value value = { .kind = VALUE_INTEGER, .integer = 600 };
    assert_int_equal(check(&number, &value), DRO_OK);
    assert_int_equal(value.kind, VALUE_NUMBER);
    assert_true(value.number == 600);
    assert_int_equal(check(&integer, &value), DRO_OK);
    assert_int_equal(value.kind, VALUE_INTEGER);
    assert_int_equal(value.integer, 600);
    value = (struct value){ .kind = VALUE_NUMBER, .number = 600.5 };
    assert_int_equal(check(&integer, &value), DRO_MALFORMED);
    value = (struct value){ .kind = VALUE_NUMBER, .number = 0x1p63 };
    assert_int_equal(check(&integer, &value), DRO_RANGE);
}

static void bounds_belong_to_what_is_allowed(void **state)
{
    (void)state;
    const model_schema period = { .kind = VALUE_INTEGER, .has_minimum = true, .has_maximum = true, .minimum = 10,
                                  .maximum = 65535 };
    static const struct { int64_t integer; dro_err err; } cases[] = {
        { 9, DRO_RANGE }, { 10, DRO_OK }, { 65535, DRO_OK }, { 65536, DRO_RANGE }, { INT64_MIN, DRO_RANGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value value = { .kind = VALUE_INTEGER, .integer = cases[i].integer };
        assert_int_equal(check(&period, &value), cases[i].err);
    }
}

static void another_kind_is_malformed(void **state)
{
    (void)state;
    for (int kind = VALUE_NONE; kind <= VALUE_STRING; kind++) {
        const model_schema schema = { .kind = VALUE_BOOLEAN };
        value value = { .kind = (value_kind)kind };
        assert_int_equal(check(&schema, &value), kind == VALUE_BOOLEAN ? DRO_OK : DRO_MALFORMED);
    }
}

static value text(const char *bytes)
{
    return (value){ .kind = VALUE_STRING, .length = (uint32_t)strlen(bytes), .string = bytes };
}

static void a_base64_secret_counts_decoded_bytes(void **state)
{
    (void)state;
    const model_schema key = { .kind = VALUE_STRING, .is_base64 = true, .length_minimum = 4, .length_maximum = 6 };
    value three = text("Zm9v"), four = text("Zm9vYg=="), six = text("Zm9vYmFy"), seven = text("Zm9vYmFyIQ=="),
          none = text("Zm9v!mFy");
    assert_int_equal(check(&key, &three), DRO_RANGE);
    assert_int_equal(check(&key, &four), DRO_OK);
    assert_int_equal(check(&key, &six), DRO_OK);
    assert_int_equal(check(&key, &seven), DRO_RANGE);
    assert_int_equal(check(&key, &none), DRO_MALFORMED);
}

static void each_part_is_found_by_its_name(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD ",\"properties\":{\"a\":{\"type\":\"number\"},\"ab\":{\"type\":\"number\"}},\"actions\":{\"c\":{},\"cd\":{}},"
                                "\"events\":{\"e\":{\"data\":{\"type\":\"number\"}},\"ef\":{\"data\":{\"type\":\"number\"}}},"
                                "\"dromio:secrets\":{\"g\":{\"type\":\"number\"},\"gh\":{\"type\":\"number\"}}}"), DRO_OK);
    static int (*const find[])(const model *, const char *, size_t) = { model_property_find, model_action_find, model_event_find, model_secret_find };
    static const char *const names[] = { "ab", "cd", "ef", "gh" };
    for (size_t i = 0; i < sizeof find / sizeof find[0]; i++) {
        assert_int_equal(find[i](&parsed, names[i], 1), 0);
        assert_int_equal(find[i](&parsed, names[i], 2), 1);
        assert_int_equal(find[i](&parsed, "abc", 3), -1);
        assert_int_equal(find[i](&parsed, "ax", 2), -1);
        assert_int_equal(find[i](&parsed, "", 0), -1);
    }
}

static void no_bound_holds_for_what_is_no_number(void **state)
{
    (void)state;
    const model_schema number = { .kind = VALUE_NUMBER, .has_minimum = true, .minimum = -1 }, most = { .kind = VALUE_NUMBER, .has_maximum = true, .maximum = 1 },
                       integer = { .kind = VALUE_INTEGER, .has_maximum = true, .maximum = 5 };
    static const struct { double number; dro_err from, most, integer; } cases[] = {
        { NAN, DRO_RANGE, DRO_RANGE, DRO_RANGE }, { INFINITY, DRO_RANGE, DRO_RANGE, DRO_RANGE }, { -INFINITY, DRO_RANGE, DRO_RANGE, DRO_RANGE },
        { -1, DRO_OK, DRO_OK, DRO_OK }, { -2, DRO_RANGE, DRO_OK, DRO_OK }, { 6, DRO_OK, DRO_RANGE, DRO_RANGE }, { -0x1p64, DRO_RANGE, DRO_OK, DRO_RANGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const value given = { .kind = VALUE_NUMBER, .number = cases[i].number };
        value changed = given;
        assert_int_equal(model_check(&number, &changed), cases[i].from);
        changed = given;
        assert_int_equal(model_check(&most, &changed), cases[i].most);
        changed = given;
        assert_int_equal(model_check(&integer, &changed), cases[i].integer);
    }
}

static void a_value_of_another_kind_fits_nothing(void **state)
{
    (void)state;
    for (int kind = VALUE_NONE; kind <= VALUE_STRING; kind++) {
        const model_schema schema = { .kind = (value_kind)kind, .length_maximum = 64 };
        value flag = { .kind = VALUE_BOOLEAN, .boolean = true }, string = text("x");
        assert_int_equal(model_check(&schema, &flag), kind == VALUE_BOOLEAN ? DRO_OK : DRO_MALFORMED);
        assert_int_equal(model_check(&schema, &string), kind == VALUE_STRING ? DRO_OK : DRO_MALFORMED);
    }
}

static void a_string_is_utf_8_of_so_many_bytes(void **state)
{
    (void)state;
    static char longer[VALUE_STRING_MAX + 1];
    memset(longer, 'a', sizeof longer);
    const model_schema schema = { .kind = VALUE_STRING, .length_minimum = 2, .length_maximum = VALUE_STRING_MAX };
    value one = text("a"), two = text("\303\251"), broken = text("a\303"), most = { .kind = VALUE_STRING, .length = VALUE_STRING_MAX, .string = longer };
    assert_int_equal(model_check(&schema, &one), DRO_RANGE);
    assert_int_equal(model_check(&schema, &two), DRO_OK);
    assert_int_equal(model_check(&schema, &broken), DRO_MALFORMED);
    assert_int_equal(model_check(&schema, &most), DRO_OK);
    most.length++;
    assert_int_equal(model_check(&schema, &most), DRO_RANGE);
}

static void a_schema_says_what_fits_it(void **state)
{
    (void)state;
    static const struct { model_schema schema; const char *text; } cases[] = {
        { { .kind = VALUE_INTEGER, .has_minimum = true, .has_maximum = true, .minimum = 10, .maximum = 65535 }, "integer, 10 to 65535" },
        { { .kind = VALUE_NUMBER, .has_minimum = true, .minimum = 10 }, "number, from 10" },
        { { .kind = VALUE_NUMBER, .has_maximum = true, .maximum = 3.5 }, "number, at most 3.5" },
        { { .kind = VALUE_NUMBER }, "number" },
        { { .kind = VALUE_BOOLEAN, .has_minimum = true, .has_maximum = true }, "boolean" },
        { { .kind = VALUE_STRING, .length_maximum = 64 }, "string, 0 to 64 bytes" },
        { { .kind = VALUE_STRING, .is_base64 = true, .length_minimum = 16, .length_maximum = 16 }, "base64, 16 to 16 bytes" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char said[MODEL_SCHEMA_TEXT];
        assert_string_equal(model_schema_text(&cases[i].schema, said), cases[i].text);
    }
}

/* RFC 4648, 10: the test vectors, and texts that are none. */
static void base64_is_rfc_4648s(void **state)
{
    (void)state;
    static const char *const good[][2] = { { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" },
                                           { "Zm9vYg==", "foob" }, { "Zm9vYmE=", "fooba" }, { "Zm9vYmFy", "foobar" } };
    static const char *const bad[] = { "Z", "Zg", "Zg=", "=", "====", "Zg===", "Z===", "Zm9v\n", "Zh==", "Zm9=", "Zm-v",
                                       "Zg==Zg==" };
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        assert_int_equal(dro_base64_read(&out, good[i][0], strlen(good[i][0])), DRO_OK);
        assert_int_equal(dro_builder_length(&out), strlen(good[i][1]));
        assert_memory_equal(bytes, good[i][1], strlen(good[i][1]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dro_builder out = dro_builder_over(bytes, sizeof bytes);
        assert_int_equal(dro_base64_read(&out, bad[i], strlen(bad[i])), DRO_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_model_is_read_as_it_says),
        cmocka_unit_test(the_flat_form_reads_back_the_same),
        cmocka_unit_test(the_largest_model_has_a_flat_form),
        cmocka_unit_test(a_changed_flat_form_is_refused_or_good),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(a_model_without_anything_is_a_model),
        cmocka_unit_test(every_reason_is_told),
        cmocka_unit_test(a_property_must_keep_to_the_rules),
        cmocka_unit_test(names_must_fit_c_and_sql),
        cmocka_unit_test(an_action_takes_an_object),
        cmocka_unit_test(an_input_has_members_with_names_and_types),
        cmocka_unit_test(a_model_has_so_many_bytes),
        cmocka_unit_test(what_is_too_large_to_be_kept_is_refused),
        cmocka_unit_test(an_event_has_data_the_abi_can_carry),
        cmocka_unit_test(what_does_not_fit_an_event_is_refused),
        cmocka_unit_test(a_default_must_fit_its_secret),
        cmocka_unit_test(more_than_the_most_is_refused),
        cmocka_unit_test(numbers_and_integers_change_into_each_other),
        cmocka_unit_test(bounds_belong_to_what_is_allowed),
        cmocka_unit_test(another_kind_is_malformed),
        cmocka_unit_test(a_base64_secret_counts_decoded_bytes),
        cmocka_unit_test(base64_is_rfc_4648s),
        cmocka_unit_test(each_part_is_found_by_its_name),
        cmocka_unit_test(no_bound_holds_for_what_is_no_number),
        cmocka_unit_test(a_value_of_another_kind_fits_nothing),
        cmocka_unit_test(a_string_is_utf_8_of_so_many_bytes),
        cmocka_unit_test(a_schema_says_what_fits_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
