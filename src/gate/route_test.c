#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/route.h"
#include "ring/message.h"

static char room[HTTP_TARGET_MAX];

static const route_path *find(const char *path)
{
    target target;
    assert_int_equal(target_read(&target, path, strlen(path), room), 0);
    return route_find(&target);
}

static void a_path_and_a_method_lead_to_an_operation(void **state)
{
    (void)state;
    const route_path *path = find("/v1/twins/a@b.example/properties/x");
    assert_non_null(path);
    assert_int_equal(route_of(path, METHOD_GET)->operation, API_PROPERTY_GET);
    assert_int_equal(route_of(path, METHOD_PUT)->operation, API_PROPERTY_PUT);
    assert_null(route_of(path, METHOD_DELETE));
    assert_null(route_of(path, METHOD_OTHER));
    assert_string_equal(path->allow, "GET, HEAD, PUT");
}

static void bulk_is_no_twin(void **state)
{
    (void)state;
    assert_int_equal(route_of(find("/v1/twins:bulk"), METHOD_POST)->handler, HANDLER_BULK);
    assert_null(route_of(find("/v1/twins:bulk"), METHOD_GET));
    assert_null(route_of(find("/v1/twins"), METHOD_POST));
}

static void an_empty_segment_is_no_parameter(void **state)
{
    (void)state;
    assert_null(find("/v1/twins/"));
    assert_null(find("/v1/twins//td"));
}

static void a_prefix_or_more_is_not_found(void **state)
{
    (void)state;
    assert_null(find("/v1"));
    assert_null(find("/v1/twins/a@b.example/nothing"));
    assert_null(find("/v1/status/x"));
    assert_null(find("/v1/statu"));
    assert_null(find("/v1/statuss"));
}

static void a_fixed_segment_may_be_escaped(void **state)
{
    (void)state;
    assert_non_null(find("/v1/st%61tus"));
}

/* A write is never open to a token that may only read. */
static void every_route_that_writes_asks_for_more_than_read(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < route_count(); i++) {
        const route *route = route_at(i);
        bool is_query = route->handler == HANDLER_QUERY;
        bool is_token = route->handler == HANDLER_TOKEN; /* who asks for one shows himself there */
        bool is_own = route->operation >= API_CAPIF_CHECK && route->operation <= API_INVOKER_SECURITY_DELETE; /* of the caller itself: the core sees to it */
        if (route->method != METHOD_GET && !is_query && !is_token && !is_own)
            assert_int_equal(route->scopes & (SCOPE_READ | ROUTE_ANY | ROUTE_OPEN), 0);
        if (route->scopes & ROUTE_OPEN)
            assert_true(is_token || route->handler == HANDLER_HEALTH || route->handler == HANDLER_KEYS || route->handler == HANDLER_ISSUER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_and_a_method_lead_to_an_operation),
        cmocka_unit_test(bulk_is_no_twin),
        cmocka_unit_test(an_empty_segment_is_no_parameter),
        cmocka_unit_test(a_prefix_or_more_is_not_found),
        cmocka_unit_test(a_fixed_segment_may_be_escaped),
        cmocka_unit_test(every_route_that_writes_asks_for_more_than_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
