#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate/courier.h"

/* The IANA registries of special-purpose addresses (RFC 6890): the first and the last of each block that is not globally reachable, and of
 * those that hold an IPv4 address. */
static void no_block_of_the_registries_is_reached(void **state)
{
    (void)state;
    static const char *const edges[] = {
        "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0", "127.255.255.255", "169.254.0.0",
        "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255",
        "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255",
        "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255", "::", "::1", "::ffff:0.0.0.0", "::ffff:255.255.255.255", "::ffff:0:a00:1",
        "64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::",
        "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "ff02::1",
    };
    static const char *const beside[] = { "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::", "2003::", "2600::", "2a00::1" };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        if (courier_may_reach(edges[i], ""))
            fail_msg("%s can be reached", edges[i]);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        if (!courier_may_reach(beside[i], ""))
            fail_msg("%s cannot be reached", beside[i]);
}

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
        cmocka_unit_test(no_block_of_the_registries_is_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
