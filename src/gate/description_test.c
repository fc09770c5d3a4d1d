/* Thing Models and the Thing Descriptions made of them (W3C WoT TD 1.1: 10.4, derivation to Thing Description instances). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "gate/http_testbed.h"

#define ASK "GET /v1/twins/a@acme.example/td" BED_HEAD "\r\n"

static yyjson_doc *described;

static void answer_model(http_testbed *host, uint64_t id, const char *name, const char *model, bool is_more)
{
    static uint8_t message[4096];
    api_reply reply = { .status = 200, .content = CONTENT_THING_MODEL, .more = is_more, .etag = UINT64_MAX,
                        .location_length = (uint32_t)strlen(name), .body_length = (uint32_t)strlen(model) };
    assert_true(sizeof reply + reply.location_length + reply.body_length <= sizeof message);
    memcpy(message, &reply, sizeof reply);
    memcpy(message + sizeof reply, name, reply.location_length);
    memcpy(message + sizeof reply + reply.location_length, model, reply.body_length);
    http_on_message(host->http, 0, MESSAGE_API_REPLY, id, message, (uint32_t)sizeof reply + reply.location_length + reply.body_length);
    bed_turn(host);
}

static void describe(http_testbed *host, const char *name, const char *model)
{
    bed_begin_anew(host);
    bed_say(host, ASK);
    answer_model(host, bed_asked(host, MESSAGE_API), name, model, false);
    bed_hear(host);
}

/* What it says at a place (RFC 6901), as JSON. */
static const char *at(const char *pointer)
{
    static char text[2048];
    yyjson_val *value = yyjson_doc_ptr_get(described, pointer);
    char *made = value != NULL ? yyjson_val_write(value, YYJSON_WRITE_NOFLAG, NULL) : NULL;
    snprintf(text, sizeof text, "%s", made != NULL ? made : "(none)");
    free(made);
    return text;
}

static void describe_good(http_testbed *host, const char *name, const char *model)
{
    describe(host, name, model);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "\r\nContent-Type: application/td+json\r\n"));
    yyjson_doc_free(described);
    const char *body = strstr(host->text, "\r\n\r\n") + 4;
    described = yyjson_read(body, strlen(body), YYJSON_READ_NOFLAG);
    assert_non_null(described);
}

static int tear_down(void **state)
{
    yyjson_doc_free(described);
    described = NULL;
    return bed_tear_down(state);
}

/* TD 1.1, 5.3.1.1: what a Thing has to have. */
static void a_description_has_what_is_mandatory(void **state)
{
    describe_good(*state, "a@acme.example", "{}");
    assert_string_equal(at("/@context"), "\"https://www.w3.org/2022/wot/td/v1.1\"");
    assert_string_equal(at("/@type"), "\"Thing\"");
    assert_string_equal(at("/title"), "\"a@acme.example\"");
    assert_string_equal(at("/id"), "\"urn:dromio:twin:a@acme.example\"");
    assert_string_equal(at("/securityDefinitions"), "{\"bearer\":{\"scheme\":\"bearer\",\"in\":\"header\",\"name\":\"Authorization\"}}");
    assert_string_equal(at("/security"), "[\"bearer\"]");
    assert_string_equal(at("/forms"), "[{\"href\":\"/v1/twins/a@acme.example/properties\",\"contentType\":\"application/json\",\"op\":[\"readallproperties\"]}]");
    assert_string_equal(at("/links"), "(none)");
    assert_string_equal(at("/properties"), "(none)");
}

static void what_a_model_says_itself_stays(void **state)
{
    describe_good(*state, "a@acme.example", "{\"@context\":[\"https://www.w3.org/2022/wot/td/v1.1\",{\"x\":\"urn:x\"}],\"title\":\"T\",\"description\":\"d\",\"x:own\":1}");
    assert_string_equal(at("/@context/1/x"), "\"urn:x\"");
    assert_string_equal(at("/title"), "\"T\"");
    assert_string_equal(at("/description"), "\"d\"");
    assert_string_equal(at("/x:own"), "1");
    describe_good(*state, "a@acme.example", "{\"title\":5}"); /* no title: it must be a string */
    assert_string_equal(at("/title"), "\"a@acme.example\"");
}

/* TD 1.1, 10.4: no word of the model's own is left; "tm:ThingModel" is not among its types. */
static void words_of_models_and_of_this_host_are_left_out(void **state)
{
    describe_good(*state, "a@acme.example",
                  "{\"@type\":[\"tm:ThingModel\",\"saref:Sensor\"],\"tm:required\":[],\"dromio:image\":\"x\",\"dromio:model\":\"acme/t m/2\","
                  "\"properties\":{\"p\":{\"tm:ref\":\"x\",\"dromio:unit\":1,\"type\":\"number\"}}}");
    assert_string_equal(at("/@type"), "[\"saref:Sensor\",\"Thing\"]");
    assert_string_equal(at("/tm:required"), "(none)");
    assert_string_equal(at("/dromio:image"), "(none)");
    assert_string_equal(at("/properties/p/tm:ref"), "(none)");
    assert_string_equal(at("/properties/p/dromio:unit"), "(none)");
    assert_string_equal(at("/properties/p/type"), "\"number\"");
    assert_string_equal(at("/links"), "[{\"rel\":\"type\",\"href\":\"urn:dromio:model:acme/t%20m/2\",\"type\":\"application/tm+json\"}]");
}

/* TD 1.1, 5.3.1.6: a description has a version of its instance. */
static void a_version_of_a_model_is_that_of_its_instances_too(void **state)
{
    describe_good(*state, "a@acme.example", "{\"version\":{\"model\":\"2.1\"}}");
    assert_string_equal(at("/version"), "{\"model\":\"2.1\",\"instance\":\"2.1\"}");
    describe_good(*state, "a@acme.example", "{\"version\":{\"instance\":\"3\",\"model\":\"2\"}}");
    assert_string_equal(at("/version/instance"), "\"3\"");
    describe_good(*state, "a@acme.example", "{\"version\":{\"model\":2}}");
    assert_string_equal(at("/version/instance"), "\"1\"");
    describe_good(*state, "a@acme.example", "{\"version\":\"2\"}");
    assert_string_equal(at("/version"), "\"2\"");
}

static void each_affordance_says_how_it_is_used(void **state)
{
    describe_good(*state, "a@acme.example",
                  "{\"properties\":{\"temp er/ature\":{\"type\":\"number\"},\"serial\":{\"readOnly\":true}},\"actions\":{\"re-set\":{}},\"events\":{\"alarm\":{}}}");
    assert_string_equal(at("/properties/temp er~1ature/forms"),
                        "[{\"href\":\"/v1/twins/a@acme.example/properties/temp%20er%2Fature\",\"contentType\":\"application/json\",\"op\":[\"readproperty\",\"writeproperty\"]},"
                        "{\"href\":\"/v1/events?twin=a@acme.example&property=temp%20er%2Fature\",\"contentType\":\"text/event-stream\","
                        "\"op\":[\"observeproperty\",\"unobserveproperty\"],\"subprotocol\":\"sse\"}]");
    assert_string_equal(at("/properties/temp er~1ature/observable"), "true");
    assert_string_equal(at("/properties/serial/forms/0/op"), "[\"readproperty\"]");
    assert_string_equal(at("/actions/re-set/forms"), "[{\"href\":\"/v1/twins/a@acme.example/actions/re-set\",\"contentType\":\"application/json\",\"op\":[\"invokeaction\"]}]");
    assert_string_equal(at("/events/alarm/forms"),
                        "[{\"href\":\"/v1/events?twin=a@acme.example\",\"contentType\":\"text/event-stream\",\"op\":[\"subscribeevent\",\"unsubscribeevent\"],\"subprotocol\":\"sse\"}]");
}

static void what_is_private_or_no_affordance_is_left_out(void **state)
{
    describe_good(*state, "a@acme.example",
                  "{\"properties\":{\"secret\":{\"dromio:private\":true},\"odd\":5,\"shown\":{\"dromio:private\":false}},\"actions\":[1],\"events\":{}}");
    assert_string_equal(at("/properties/secret"), "(none)");
    assert_string_equal(at("/properties/odd"), "(none)");
    assert_string_equal(at("/properties/shown/forms/0/op/0"), "\"readproperty\"");
    assert_string_equal(at("/actions"), "[1]");
    assert_string_equal(at("/events"), "{}");
}

/* RFC 3986 2.3: unreserved characters and the @ of an id stay as they are, all others are escaped by their bytes. */
static void names_are_escaped_in_links(void **state)
{
    describe_good(*state, "aZ09-._~\xc3\xa4+`@acme.example", "{}");
    assert_string_equal(at("/id"), "\"urn:dromio:twin:aZ09-._~%C3%A4%2B%60@acme.example\"");
    describe_good(*state, "a@acme.example", "{\"actions\":{\"[{:/\\u0000\\u007f\":{}}}");
    yyjson_val *actions = yyjson_doc_ptr_get(described, "/actions");
    yyjson_val *first = unsafe_yyjson_get_next(unsafe_yyjson_get_first(actions));
    assert_string_equal(yyjson_get_str(yyjson_ptr_get(first, "/forms/0/href")), "/v1/twins/a@acme.example/actions/%5B%7B%3A%2F%00%7F");
}

static void what_cannot_be_described_is_500(void **state)
{
    static const char *const models[] = { "", "{", "[]", "5" };
    char name[600];
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        describe(*state, "a@acme.example", models[i]);
        bed_assert_heard(*state, "HTTP/1.1 500 ");
    }
    memset(name, '/', sizeof name - 1); /* longer than any id */
    name[sizeof name - 1] = '\0';
    describe(*state, name, "{}");
    bed_assert_heard(*state, "HTTP/1.1 500 ");
}

static void a_model_may_come_in_parts(void **state)
{
    http_testbed *host = *state;
    bed_say(host, ASK);
    uint64_t id = bed_asked(host, MESSAGE_API);
    answer_model(host, id, "a@acme.example", "{\"title\":", true);
    bed_hear(host);
    assert_int_equal(host->length, 0);
    answer_model(host, id, "a@acme.example", "\"T\"}", false);
    bed_assert_heard(host, "HTTP/1.1 200 ");
    assert_non_null(strstr(host->text, "\"title\":\"T\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_description_has_what_is_mandatory),
        TEST(what_a_model_says_itself_stays),
        TEST(words_of_models_and_of_this_host_are_left_out),
        TEST(a_version_of_a_model_is_that_of_its_instances_too),
        TEST(each_affordance_says_how_it_is_used),
        TEST(what_is_private_or_no_affordance_is_left_out),
        TEST(names_are_escaped_in_links),
        TEST(what_cannot_be_described_is_500),
        TEST(a_model_may_come_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
