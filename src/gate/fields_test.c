/* What the path, query and header of a request become on their way to the core, and what is said of those that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "gate/http_testbed.h"
#include "twin/nidd.h"
#include "twin/t8.h"
#include "twin/ticket.h"

enum { REQUEST_BYTES = 12 * 1024 };

#define ID_16 "0123456789abcdef"
#define NIDD "/3gpp-nidd/v1/as1/configurations/"
#define DISCOVER "GET /service-apis/v1/allServiceAPIs?"
#define A_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A_256 A_64 A_64 A_64 A_64
#define A_512 A_256 A_256
#define SHA "sha256:0101010101010101010101010101010101010101010101010101010101010101"

/* Says a request (its first line without the version, further lines, a body); the last one's is over. */
static void ask(http_testbed *host, const char *line, const char *lines, const char *body)
{
    static char text[REQUEST_BYTES];
    bed_begin_anew(host);
    int length = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n" BED_TOKEN "%sContent-Length: %zu\r\n\r\n%s", line, lines, strlen(body), body);
    assert_true(length > 0 && (size_t)length < sizeof text);
    bed_say(host, text);
}

static void assert_taken(http_testbed *host, uint16_t type, const char *line, const char *lines, const char *body)
{
    ask(host, line, lines, body);
    if (bed_asked(host, type) == 0) {
        bed_hear(host);
        fail_msg("%s %s: not asked, heard %.300s", line, lines, host->text);
    }
}

static void assert_refused(http_testbed *host, int status, const char *line, const char *lines, const char *word)
{
    char start[16];
    ask(host, line, lines, "");
    snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
    bed_assert_heard(host, start);
    if (strstr(host->text, word) == NULL)
        fail_msg("%s %s: '%s' is not in %.500s", line, lines, word, host->text);
    assert_true(ring_is_empty(&host->core));
}

/* The n-th field of the tag, counted from 0; NULL: there is none. */
static const dro_field *field_of(http_testbed *host, uint32_t tag, int n)
{
    static dro_field field;
    dro_cursor in = dro_cursor_over(host->body, host->body_length);
    dro_cursor_bytes(&in, sizeof(api_request));
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == tag && n-- == 0)
            return &field;
    return NULL;
}

static void assert_field(http_testbed *host, uint32_t tag, const void *wanted, size_t length)
{
    const dro_field *field = field_of(host, tag, 0);
    assert_non_null(field);
    assert_int_equal(field->length, length);
    assert_memory_equal(field->bytes, wanted, length);
}

static void assert_number(http_testbed *host, uint32_t tag, int n, uint64_t wanted)
{
    uint64_t number;
    const dro_field *field = field_of(host, tag, n);
    assert_non_null(field);
    assert_int_equal(field->length, sizeof number);
    memcpy(&number, field->bytes, sizeof number);
    assert_int_equal(number, wanted);
}

/* ---- path ---- */

static void a_resource_is_16_digits_of_the_core(void **state)
{
    static const char *const no_resources[] = {
        "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "0123456789abcd%2Fe",
    };
    char line[128];
    assert_taken(*state, MESSAGE_API, "GET " NIDD ID_16, "", "");
    assert_number(*state, API_FIELD_CONFIGURATION, 0, 0x0123456789abcdef);
    assert_field(*state, API_FIELD_SCS_AS, "as1", 3);
    assert_taken(*state, MESSAGE_API, "GET " NIDD ID_16 "/downlink-data-deliveries/fedcba9876543210", "", "");
    assert_number(*state, API_FIELD_DELIVERY, 0, 0xfedcba9876543210);
    assert_taken(*state, MESSAGE_API, "GET /v1/traces/" ID_16, "", "");
    assert_number(*state, API_FIELD_TRACE, 0, 0x0123456789abcdef);
    assert_refused(*state, 400, "GET " NIDD "0123456789abcde%00", "", "malformed");
    for (size_t i = 0; i < sizeof no_resources / sizeof *no_resources; i++) {
        snprintf(line, sizeof line, "GET " NIDD "%s", no_resources[i]);
        assert_refused(*state, 404, line, "", "no such resource");
    }
}

static void ports_of_reliable_data_are_numbers_to_15_as_t8_writes_them(void **state)
{
    static const struct { const char *name; uint8_t ports[2]; } good[] = {
        { "ue0-ef0", { 0, 0 } }, { "ue3-ef15", { 3, 15 } }, { "ue15-ef7", { 15, 7 } }, { "ue10-ef9", { 10, 9 } },
    };
    static const char *const bad[] = {
        "ue16-ef0", "ue0-ef16", "ue00-ef1", "ue1-ef01", "ue-ef12", "ue1-efx", "ue1-ef", "ue1-ef1x", "ux1-ef1", "ue1_ef1", "ue123-ef1",
        "ue1-ef123", "ue1-e", "uea-ef1", "ue1-ef1-", "ue12-ef", "ue-1-ef1", "UE1-EF1", "ue1:ef1",
    };
    char line[128];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(line, sizeof line, "GET " NIDD ID_16 "/rds-ports/%s", good[i].name);
        assert_taken(*state, MESSAGE_API, line, "", "");
        assert_field(*state, API_FIELD_RDS_PORT, good[i].ports, 2);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "GET " NIDD ID_16 "/rds-ports/%s", bad[i]);
        assert_refused(*state, 404, line, "", "no such ports");
    }
}

static void names_in_a_path_have_a_bound_and_are_404_beyond_it(void **state)
{
    assert_taken(*state, MESSAGE_API, "GET /v1/twins/a@acme.example/properties/temperature", "", "");
    assert_field(*state, API_FIELD_ID, "a@acme.example", 14);
    assert_field(*state, API_FIELD_NAME, "temperature", 11);
    assert_refused(*state, 404, "GET /v1/twins/a@acme.example/properties/" A_64, "", "no such name");
    assert_refused(*state, 404, "GET /v1/applications/" A_64, "", "no such application");
    assert_refused(*state, 404, "GET /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16 "/cpSets/" A_256, "", "no such set");
    assert_refused(*state, 404, "GET /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16 "/cpSets/", "", "nothing at this path"); /* no parameter is empty */
    assert_taken(*state, MESSAGE_API, "GET /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16 "/cpSets/s%2F1", "", "");
    assert_field(*state, API_FIELD_SET_ID, "s/1", 3);
    assert_field(*state, API_FIELD_EXPOSURE, &(uint8_t){ EXPOSURE_PATTERNS }, 1);
}

static void the_first_segment_says_which_api_of_t8_it_is(void **state)
{
    static const struct { const char *line; uint8_t kind; } all[] = {
        { "GET /3gpp-monitoring-event/v1/as1/subscriptions/" ID_16, EXPOSURE_MONITORING },
        { "GET /3gpp-device-triggering/v1/as1/transactions/" ID_16, EXPOSURE_TRIGGER },
        { "GET /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16, EXPOSURE_PATTERNS },
        { "GET /3gpp-network-parameter-configuration/v1/as1/configurations/" ID_16, EXPOSURE_PARAMETERS },
        { "DELETE /3gpp-cp-parameter-provisioning/v1/as1/subscriptions/" ID_16 "/cpSets/a", EXPOSURE_PATTERNS },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_taken(*state, MESSAGE_API, all[i].line, "", "");
        assert_field(*state, API_FIELD_EXPOSURE, &all[i].kind, 1);
        assert_null(field_of(*state, API_FIELD_EXPOSURE, 1));
    }
    assert_taken(*state, MESSAGE_API, "GET /v1/twins", "", "");
    assert_null(field_of(*state, API_FIELD_EXPOSURE, 0));
}

/* Who makes something is told what its name lacks; who asks for it, that it is not there. */
static void an_id_that_is_none_is_400_where_it_would_be_made_and_404_elsewhere(void **state)
{
    assert_refused(*state, 404, "GET /v1/twins/nobody", "", "External Identifier");
    assert_refused(*state, 400, "PUT /v1/twins/nobody", "", "External Identifier");
    assert_refused(*state, 404, "PUT /v1/twins/nobody/properties/p", "", "External Identifier");
    assert_refused(*state, 404, "GET /v1/groups/nobody", "", "External Group Identifier");
    assert_refused(*state, 400, "PUT /v1/groups/nobody", "", "External Group Identifier");
    assert_taken(*state, MESSAGE_API, "GET /v1/groups/g@ACME.example", "", "");
    assert_field(*state, API_FIELD_GROUP, "g@acme.example", 14);
}

static void digests_domains_and_tickets_are_read_as_such(void **state)
{
    uint8_t digest[32];
    memset(digest, 1, sizeof digest);
    assert_taken(*state, MESSAGE_API, "GET /v1/images/" SHA, "", "");
    assert_field(*state, API_FIELD_IMAGE, digest, sizeof digest);
    assert_refused(*state, 404, "GET /v1/images/sha256:01", "", "no such image");
    assert_taken(*state, MESSAGE_API, "GET /v1/domains/ACME.example", "", "");
    assert_field(*state, API_FIELD_DOMAIN, "acme.example", 12);
    assert_refused(*state, 404, "GET /v1/domains/-", "", "no such domain");
    assert_refused(*state, 404, "GET /v1/domains/" A_256, "", "no such domain");
    assert_taken(*state, MESSAGE_API, "GET /v1/twins/a@b.example/tickets/17", "", "");
    assert_number(*state, API_FIELD_TICKET, 0, 17);
    assert_refused(*state, 404, "GET /v1/twins/a@b.example/tickets/1x", "", "no such ticket");
}

/* An application learns of a twin of another domain nothing, not even that its request was malformed. */
static void what_is_wrong_with_a_request_for_somebody_elses_twin_is_not_said(void **state)
{
    http_testbed *host = *state;
    bed_let_application_in(host, "as1", SCOPE_READ | SCOPE_WRITE, "acme.example");
    assert_refused(host, 400, "GET /v1/twins/a@acme.example/timeline?limit=0", "", "limit must be");
    assert_refused(host, 404, "GET /v1/twins/a@other.example/timeline?limit=0", "", "no such twin");
    assert_refused(host, 404, "GET /v1/groups/g@other.example/members?limit=0", "", "no such twin");
    assert_refused(host, 400, "GET /v1/groups/g@acme.example/members?limit=0", "", "limit must be");
    assert_refused(host, 404, "PUT /v1/groups/g@acme.example/members/a@other.example?limit=1", "", "no such twin");
    assert_refused(host, 404, "PUT /v1/twins/a@other.example", "Content-Type: text/html\r\nIf-Match: x\r\n", "no such twin");
}

/* ---- query ---- */

static void parameters_that_are_good_become_fields(void **state)
{
    assert_taken(*state, MESSAGE_API, "GET /v1/twins?model=acme/thermo&tag=room=a=b&limit=1000&cursor=x.1", "", "");
    assert_field(*state, API_FIELD_MODEL, "acme/thermo", 11);
    assert_field(*state, API_FIELD_TAG, "\4rooma=b", 8);
    assert_number(*state, API_FIELD_LIMIT, 0, 1000);
    assert_field(*state, API_FIELD_CURSOR, "x.1", 3);
    assert_taken(*state, MESSAGE_API, "GET /v1/traces/" ID_16 "?after=18", "", "");
    assert_number(*state, API_FIELD_AFTER, 0, 18);
    assert_taken(*state, MESSAGE_API, "GET /v1/twins/a@b.example/timeline?network=true", "", "");
    assert_field(*state, API_FIELD_NETWORK, "", 0);
    assert_taken(*state, MESSAGE_API, "GET /v1/twins/a@b.example/timeline?network=false", "", "");
    assert_null(field_of(*state, API_FIELD_NETWORK, 0));
    assert_taken(*state, MESSAGE_API, "POST /v1/domains/acme.example/keys?history=drop", "", "");
    assert_field(*state, API_FIELD_HISTORY_DROPS, "", 0);
    assert_taken(*state, MESSAGE_API, "POST /v1/domains/acme.example/keys?history=keep", "", "");
    assert_null(field_of(*state, API_FIELD_HISTORY_DROPS, 0));
    assert_taken(*state, MESSAGE_API, "GET /v1/twins/a@b.example/history?property=p", "", "");
    assert_field(*state, API_FIELD_NAME, "p", 1);
    assert_taken(*state, MESSAGE_SUBSCRIBE, "GET /v1/events?property=p&twin=a@B.example", "", "");
    assert_field(*state, API_FIELD_PROPERTY, "p", 1);
    assert_field(*state, API_FIELD_ID, "a@b.example", 11);
}

static void states_of_members_are_numbered_as_the_core_numbers_them(void **state)
{
    static const char *const states[] = { "waiting", "pending", "sent", "delivered", "reported", "failed" };
    char line[128];
    for (uint8_t i = 0; i < sizeof states / sizeof *states; i++) {
        snprintf(line, sizeof line, "GET /v1/groups/g@b.example/tickets/1/members?state=%s", states[i]);
        assert_taken(*state, MESSAGE_API, line, "", "");
        assert_field(*state, API_FIELD_STATUS, &i, 1);
    }
    assert_refused(*state, 400, "GET /v1/groups/g@b.example/tickets/1/members?state=Sent", "", "state must be");
}

static void a_wait_is_for_a_state_and_has_its_time(void **state)
{
    assert_taken(*state, MESSAGE_API, "PUT /v1/twins/a@b.example/properties/p?wait=reported", "", "{\"value\":1}");
    assert_field(*state, API_FIELD_WAIT, &(uint8_t){ TICKET_REPORTED }, 1);
    assert_number(*state, API_FIELD_TIMEOUT, 0, HTTP_WAIT_DEFAULT_MS);
    assert_taken(*state, MESSAGE_API, "PUT /v1/twins/a@b.example/properties/p?timeout=10m&wait=delivered", "", "{\"value\":1}");
    assert_field(*state, API_FIELD_WAIT, &(uint8_t){ TICKET_DELIVERED }, 1);
    assert_number(*state, API_FIELD_TIMEOUT, 0, HTTP_WAIT_MAX_MS);
    assert_taken(*state, MESSAGE_API, "PUT /v1/twins/a@b.example/properties/p?timeout=1s", "", "{\"value\":1}"); /* of no wait */
    assert_null(field_of(*state, API_FIELD_TIMEOUT, 0));
}

static void parameters_that_are_wrong_are_400_and_say_what_they_may_be(void **state)
{
    static const struct { const char *line, *word; } all[] = {
        { "GET /v1/twins?model=", "1 to 63 bytes" },
        { "GET /v1/twins?model=" A_64, "1 to 63 bytes" },
        { "GET /v1/twins?tag=a", "name=text" },
        { "GET /v1/twins?tag==b", "name=text" },
        { "GET /v1/twins?tag=a=", "name=text" },
        { "GET /v1/twins?tag=" A_64 "=b", "name=text" },
        { "GET /v1/twins?tag=a=" A_256, "name=text" },
        { "GET /v1/twins?limit=0", "1 to 1000" },
        { "GET /v1/twins?limit=1001", "1 to 1000" },
        { "GET /v1/twins?limit=-1", "1 to 1000" },
        { "GET /v1/twins?cursor=", "not one of ours" },
        { "GET /v1/twins?cursor=" A_512 "a", "not one of ours" },
        { "GET /v1/twins?limit=1&limit=1", "twice" },
        { "GET /v1/twins?nonsense=1", "not known here" },
        { "GET /v1/twins?model=%zz", "malformed" },
        { "GET /v1/twins/a@b.example/timeline?tag=a=b", "not known here" },
        { "GET /v1/twins/a@b.example/timeline?network=yes", "true or false" },
        { "GET /v1/traces/" ID_16 "?after=x", "number of a message" },
        { "POST /v1/domains/a.example/keys?history=lose", "keep or drop" },
        { "GET /v1/twins/a@b.example/history", "property is missing" },
        { "GET /v1/twins/a@b.example/history?property=", "1 to 63 bytes" },
        { "GET /v1/twins/a@b.example/history?property=" A_64, "1 to 63 bytes" },
        { "GET /v1/events?twin=nobody", "External Identifier" },
        { "PUT /v1/twins/a@b.example/properties/p?wait=sent", "delivered or reported" },
        { "PUT /v1/twins/a@b.example/properties/p?timeout=1h", "a duration" },
        { "PUT /v1/twins/a@b.example/properties/p?timeout=0s", "a duration" },
        { "PUT /v1/twins/a@b.example/properties/p?timeout=601s", "a duration" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_refused(*state, 400, all[i].line, "", all[i].word);
}

/* ---- what CAPIF asks by ---- */

static void filters_of_a_discovery_say_which_they_are(void **state)
{
    http_testbed *host = *state;
    bed_let_application_in(host, "as1", SCOPE_NIDD, "acme.example");
    ask(host, DISCOVER "api-invoker-id=as1&api-name=3gpp-nidd&supported-features=0", "", "");
    bed_assert_heard(host, "HTTP/1.1 200 ");
    ask(host, DISCOVER "api-invoker-id=as1&api-name=3gpp-monitoring-event", "", "");
    bed_assert_heard(host, "HTTP/1.1 ");
    assert_null(strstr(host->text, "\"3gpp-nidd\""));
}

static void filters_of_capif_are_looked_at(void **state)
{
    assert_refused(*state, 400, DISCOVER "api-invoker-id=" A_512 "a", "", "too long");
    assert_refused(*state, 400, DISCOVER "supported-features=0g", "", "hexadecimal");
    assert_refused(*state, 400, DISCOVER "api-supported-features=g", "", "hexadecimal");
    assert_refused(*state, 400, DISCOVER "supported-features=%00", "", "malformed");
    assert_refused(*state, 400, "GET /capif-security/v1/trustedInvokers/a?authenticationInfo=yes", "", "true or false");
    assert_refused(*state, 400, "GET /capif-security/v1/trustedInvokers/a?authorizationInfo=1", "", "true or false");
    assert_taken(*state, MESSAGE_API, "GET /capif-security/v1/trustedInvokers/a?authenticationInfo=true&authorizationInfo=false", "", "");
    assert_non_null(field_of(*state, API_FIELD_CAPIF_FILTER, 1));
}

/* Each filter is within its bound, and all together are more than a request has room for. That was an assert. */
static void filters_that_are_too_long_together_are_refused(void **state)
{
    assert_refused(*state, 414, DISCOVER "api-invoker-id=" A_512 "&api-name=" A_512 "&api-version=" A_512 "&aef-id=" A_512 "&protocol=" A_512, "", "too long");
    assert_refused(*state, 414, DISCOVER "supported-features=" A_512 "&api-supported-features=" A_512 "&api-name=" A_512 "&aef-id=" A_512 "&api-cat=" A_512, "",
                   "too long");
}

/* ---- header ---- */

static void if_match_is_a_list_of_tags_of_which_ours_are_numbers(void **state)
{
    static const char line[] = "DELETE /v1/twins/a@b.example";
    assert_taken(*state, MESSAGE_API, line, "If-Match: \"17\"\r\n", "");
    assert_number(*state, API_FIELD_IF_MATCH, 0, 17);
    assert_taken(*state, MESSAGE_API, line, "If-Match: *\r\n", "");
    assert_number(*state, API_FIELD_IF_MATCH, 0, UINT64_MAX);
    /* RFC 9110 13.1.1: a list; 8.8.3.2: a weak tag is the same as none; empty elements are nothing (5.6.1) */
    assert_taken(*state, MESSAGE_API, line, "If-Match: , W/\"17\" ,\t\"x\",,\"18\"\t\r\n", "");
    assert_number(*state, API_FIELD_IF_MATCH, 0, UINT64_MAX - 1);
    assert_number(*state, API_FIELD_IF_MATCH, 1, UINT64_MAX - 1);
    assert_number(*state, API_FIELD_IF_MATCH, 2, 18);
    assert_null(field_of(*state, API_FIELD_IF_MATCH, 3));
    assert_taken(*state, MESSAGE_API, line, "If-Match: \"\"\r\n", "");
    assert_number(*state, API_FIELD_IF_MATCH, 0, UINT64_MAX - 1);
    assert_taken(*state, MESSAGE_API, line, "", "");
    assert_null(field_of(*state, API_FIELD_IF_MATCH, 0));
}

static void what_is_no_entity_tag_is_400(void **state)
{
    static const char *const bad[] = { "17", "\"17", "17\"", "W/17", "W/\"", "W/", "\"", "\"1\"2\"", "w/\"17\"", "\"1\" \"2\"", "\"1\",x", "Wx\"17\"" };
    char lines[400];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(lines, sizeof lines, "If-Match: %s\r\n", bad[i]);
        assert_refused(*state, 400, "DELETE /v1/twins/a@b.example", lines, "entity tags");
    }
    strcpy(lines, "If-Match: \"0\"");
    for (int i = 1; i < HTTP_IF_MATCH_MAX; i++)
        strcat(lines, ", \"1\"");
    strcat(lines, "\r\n");
    assert_taken(*state, MESSAGE_API, "DELETE /v1/twins/a@b.example", lines, "");
    assert_non_null(field_of(*state, API_FIELD_IF_MATCH, HTTP_IF_MATCH_MAX - 1));
    strcpy(lines + strlen(lines) - 2, ", \"1\"\r\n");
    assert_refused(*state, 400, "DELETE /v1/twins/a@b.example", lines, "at most 16");
}

static void if_none_match_is_for_a_twin_that_is_to_be_new(void **state)
{
    assert_taken(*state, MESSAGE_API, "PUT /v1/twins/a@b.example", "If-None-Match: *\r\n", "{}");
    assert_field(*state, API_FIELD_IF_NONE_MATCH, "", 0);
    assert_refused(*state, 400, "PUT /v1/twins/a@b.example", "If-None-Match: \"1\"\r\n", "takes * here");
    assert_refused(*state, 400, "DELETE /v1/twins/a@b.example", "If-None-Match: *\r\n", "takes * here");
}

/* RFC 9110 13.1.2: 304 where the client has it already. */
static void who_has_a_twin_already_gets_304(void **state)
{
    http_testbed *host = *state;
    api_reply reply = { .status = 200, .content = CONTENT_JSON, .etag = 17 };
    static const struct { const char *lines; int status; } all[] = {
        { "If-None-Match: \"17\"\r\n", 304 }, { "If-None-Match: \"16\"\r\n", 200 }, { "If-None-Match: x\r\n", 200 }, { "", 200 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char start[16];
        ask(host, "GET /v1/twins/a@b.example", all[i].lines, "");
        http_on_message(host->http, 0, MESSAGE_API_REPLY, bed_asked(host, MESSAGE_API), &reply, sizeof reply);
        bed_turn(host);
        snprintf(start, sizeof start, "HTTP/1.1 %d ", all[i].status);
        bed_assert_heard(host, start);
    }
}

static void an_idempotency_key_counts_application_route_path_key_and_body(void **state)
{
    static const struct { const char *line, *lines, *body; bool is_same_key, is_same_body; } all[] = {
        { "PUT /v1/twins/a@b.example/properties/p", "Idempotency-Key: k\r\n", "{\"value\":1}", true, true },
        { "PUT /v1/twins/a%40b.example/properties/%70", "Idempotency-Key: k\r\n", "{\"value\":1}", true, true },
        { "PUT /v1/twins/a@b.example/properties/p", "Idempotency-Key: k\r\n", "{\"value\":2}", true, false },
        { "PUT /v1/twins/a@b.example/properties/p", "Idempotency-Key: l\r\n", "{\"value\":1}", false, true },
        { "PUT /v1/twins/a@b.example/properties/q", "Idempotency-Key: k\r\n", "{\"value\":1}", false, true },
        { "POST /v1/twins/a@b.example/actions/p", "Idempotency-Key: k\r\n", "{\"value\":1}", false, true },
    };
    uint8_t first[64];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_taken(*state, MESSAGE_API, all[i].line, all[i].lines, all[i].body);
        const dro_field *field = field_of(*state, API_FIELD_IDEMPOTENCY, 0);
        assert_non_null(field);
        assert_int_equal(field->length, sizeof first);
        if (i == 0)
            memcpy(first, field->bytes, sizeof first);
        assert_int_equal(memcmp(first, field->bytes, 32) == 0, all[i].is_same_key);
        assert_int_equal(memcmp(first + 32, field->bytes + 32, 32) == 0, all[i].is_same_body);
    }
    bed_let_application_in(*state, "as1", SCOPE_WRITE, "b.example");
    assert_taken(*state, MESSAGE_API, all[0].line, all[0].lines, all[0].body);
    assert_memory_not_equal(field_of(*state, API_FIELD_IDEMPOTENCY, 0)->bytes, first, 32);
}

static void an_idempotency_key_is_for_what_changes_something_at_once(void **state)
{
    http_testbed *host = *state;
    assert_taken(host, MESSAGE_API, "GET /v1/twins/a@b.example", "Idempotency-Key: k\r\n", "");
    assert_null(field_of(host, API_FIELD_IDEMPOTENCY, 0));
    assert_taken(host, MESSAGE_API, "POST /v1/query", "Idempotency-Key: k\r\n", "{\"sql\":\"select 1\"}");
    assert_null(field_of(host, API_FIELD_IDEMPOTENCY, 0));
    assert_taken(host, MESSAGE_API, "POST /v1/images", "Idempotency-Key: k\r\n", "image");
    assert_null(field_of(host, API_FIELD_IDEMPOTENCY, 0));
    assert_taken(host, MESSAGE_API, "POST /v1/twins:bulk", "Idempotency-Key: k\r\n", "{\"id\":\"a@b.example\"}\n");
    assert_null(field_of(host, API_FIELD_IDEMPOTENCY, 0));
    assert_refused(host, 400, "DELETE /v1/twins/a@b.example", "Idempotency-Key: " A_256 "\r\n", "255 bytes");
}

static void a_stream_resumes_where_its_client_was(void **state)
{
    assert_taken(*state, MESSAGE_SUBSCRIBE, "GET /v1/events", "Last-Event-ID: 1.2\r\n", "");
    assert_field(*state, API_FIELD_RESUME, "1.2", 3);
    assert_taken(*state, MESSAGE_SUBSCRIBE, "GET /v1/events", "", "");
    assert_null(field_of(*state, API_FIELD_RESUME, 0));
    assert_taken(*state, MESSAGE_API, "GET /v1/twins", "Last-Event-ID: 1.2\r\n", "");
    assert_null(field_of(*state, API_FIELD_RESUME, 0));
    assert_refused(*state, 400, "GET /v1/events", "Last-Event-ID: " A_256 "a\r\n", "not one of ours");
}

static void a_body_of_another_type_than_json_is_415(void **state)
{
    static const char *const good[] = {
        "application/json", "Application/JSON; charset=utf-8", "application/json \t; charset=utf-8", "application/merge-patch+json",
        "application/x-www-form-urlencoded", /* what curl says when it is not told */
    };
    static const char *const bad[] = {
        "text/plain", "application/jsox", "application/xml", "application/x-www-form-urlencodeX", "text/html+json", "application/+jso", "+json", ";", "application/a+jsonx",
        "application/x+json5", "text/of-another-kind+json",
    };
    char lines[128];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(lines, sizeof lines, "Content-Type: %s\r\n", good[i]);
        assert_taken(*state, MESSAGE_API, "PUT /v1/twins/a@b.example", lines, "{}");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(lines, sizeof lines, "Content-Type: %s\r\n", bad[i]);
        ask(*state, "PUT /v1/twins/a@b.example", lines, "{}");
        bed_assert_heard(*state, "HTTP/1.1 415 ");
    }
}

/* ---- bodies ---- */

/* Of two kinds it was whatever stood behind the table of bounds. */
static void every_body_has_a_bound(void **state)
{
    static const struct { const char *line; uint32_t most; } all[] = {
        { "PUT /v1/stops/code", HTTP_BODY_SMALL_MAX },
        { "PATCH /v1/images/" SHA, HTTP_BODY_SMALL_MAX },
        { "PUT /v1/twins/a@b.example", HTTP_BODY_TWIN_MAX },
        { "PUT /v1/twins/a@b.example/properties/p", HTTP_BODY_SMALL_MAX },
        { "POST /v1/applications", HTTP_BODY_TWIN_MAX },
        { "POST /v1/query", HTTP_BODY_QUERY_MAX },
        { "POST /v1/images", HTTP_IMAGE_MAX },
        { "POST /3gpp-nidd/v1/as1/configurations", HTTP_BODY_TWIN_MAX },
        { "GET /v1/twins", HTTP_DISCARD_MAX },
    };
    char lines[400];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bed_begin_anew(*state);
        snprintf(lines, sizeof lines, "%s" BED_HEAD "Content-Length: %u\r\n\r\n", all[i].line, all[i].most + 1);
        bed_say(*state, lines);
        bed_assert_heard(*state, "HTTP/1.1 413 ");
        bed_begin_anew(*state);
        snprintf(lines, sizeof lines, "%s" BED_HEAD "Content-Length: %u\r\n\r\n", all[i].line, all[i].most);
        bed_say(*state, lines);
        bed_hear(*state);
        assert_int_equal(((http_testbed *)*state)->length, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_resource_is_16_digits_of_the_core),
        TEST(ports_of_reliable_data_are_numbers_to_15_as_t8_writes_them),
        TEST(names_in_a_path_have_a_bound_and_are_404_beyond_it),
        TEST(the_first_segment_says_which_api_of_t8_it_is),
        TEST(an_id_that_is_none_is_400_where_it_would_be_made_and_404_elsewhere),
        TEST(digests_domains_and_tickets_are_read_as_such),
        TEST(what_is_wrong_with_a_request_for_somebody_elses_twin_is_not_said),
        TEST(parameters_that_are_good_become_fields),
        TEST(states_of_members_are_numbered_as_the_core_numbers_them),
        TEST(a_wait_is_for_a_state_and_has_its_time),
        TEST(parameters_that_are_wrong_are_400_and_say_what_they_may_be),
        TEST(filters_of_a_discovery_say_which_they_are),
        TEST(filters_of_capif_are_looked_at),
        TEST(filters_that_are_too_long_together_are_refused),
        TEST(if_match_is_a_list_of_tags_of_which_ours_are_numbers),
        TEST(what_is_no_entity_tag_is_400),
        TEST(if_none_match_is_for_a_twin_that_is_to_be_new),
        TEST(who_has_a_twin_already_gets_304),
        TEST(an_idempotency_key_counts_application_route_path_key_and_body),
        TEST(an_idempotency_key_is_for_what_changes_something_at_once),
        TEST(a_stream_resumes_where_its_client_was),
        TEST(a_body_of_another_type_than_json_is_415),
        TEST(every_body_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
