#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate/courier.h"

static void ranges_are_addresses_with_a_length_or_without(void **state)
{
    static const char *const good[] = { "", "127.0.0.1", "10.0.0.0/8", "127.0.0.0/8 ::1/128", "10.1.2.3, fd00::/8", "0.0.0.0/0" };
    static const char *const bad[] = { "10.0.0.0/33", "10.0.0/8", "::1/129", "example.org", "10.0.0.0/", "10.0.0.0/8x", "/8",
                                       "10.0.0.0/8;::1", "1.2.3.4/0008" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(courier_ranges_are_good(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(courier_ranges_are_good(bad[i]));
}

/* RFC 6890 and the registries it made; public addresses of well-known resolvers. */
static void only_public_addresses_are_reached_unless_allowed(void **state)
{
    static const char *const special[] = { "127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1",
                                           "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd12::1", "ff02::1",
                                           "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a00:1", "2002:a00:1::1", "::127.0.0.1", "fec0::1", "fd00:ec2::254" };
    static const char *const open[] = { "8.8.8.8", "172.32.0.1", "100.128.0.1", "11.0.0.1", "2606:4700:4700::1111" };
    (void)state;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        assert_false(courier_may_reach(special[i], ""));
        assert_true(courier_may_reach(special[i], "0.0.0.0/0 ::/0"));
    }
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        assert_true(courier_may_reach(open[i], ""));
    assert_true(courier_may_reach("127.0.0.1", "127.0.0.0/8"));
    assert_false(courier_may_reach("10.0.0.1", "127.0.0.0/8"));
    assert_false(courier_may_reach("127.0.0.1", "127.0.0.2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_addresses_with_a_length_or_without),
        cmocka_unit_test(only_public_addresses_are_reached_unless_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
