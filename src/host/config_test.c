#include "host/config.h"
#include "ring/message.h"

#include "gate/sctp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static config here;

static int begin(void **state)
{
    (void)state;
    config_defaults(&here);
    return 0;
}

static bool read_file(const char *text)
{
    char path[] = "/tmp/dromio-config-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    bool is_fine = config_read_file(&here, path);
    unlink(path);
    return is_fine;
}

static void the_defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    assert_string_equal(here.host_identity, "scef.dromio.test");
    assert_string_equal(here.http_listen, "127.0.0.1:8080");
    assert_string_equal(here.diameter_listen, "127.0.0.1:3868");
    assert_int_equal(here.contexts_memory, 1ll << 30);
    assert_string_equal(here.cell_sandbox, "on");
    assert_true(config_check(&here));
    assert_string_equal(here.vault_master_key, "dromio-data/master.key");
}

static void a_file_sets_keys_and_peers(void **state)
{
    (void)state;
    assert_true(read_file("[host]\nidentity = \"scef.example\"\n[log]\nsegment = \"2MiB\"\n"
                          "[[diameter.peers]]\nidentity = \"mme\"\nrealm = \"epc\"\napplications = [\"t6a\", \"s6t\"]\n"
                          "[[diameter.peers]]\nidentity = \"hss\"\n"));
    assert_string_equal(here.host_identity, "scef.example");
    assert_int_equal(here.log_segment, 2 << 20);
    assert_int_equal(here.peer_count, 2);
    assert_string_equal(here.peers[0].realm, "epc");
    assert_int_equal(here.peers[0].applications, 3);
    assert_string_equal(here.peers[1].identity, "hss");
    assert_true(config_check(&here));
}

static void a_file_sets_apns(void **state)
{
    (void)state;
    assert_true(read_file("[t8]\napn = \"iot\"\nwithout_configuration = \"refuse\"\n"
                          "[[t8.apns]]\ndomain = \"acme.example\"\napplication = \"as1\"\napn = \"meters\"\nwithout_configuration = \"accept\"\n"
                          "[[t8.apns]]\napn = \"rest\"\n[[diameter.peers]]\nidentity = \"hss\"\napplications = [\"s6t\"]\n"));
    assert_true(config_check(&here));
    assert_int_equal(here.apn_count, 2);
    assert_string_equal(here.apns[0].application, "as1");
    assert_true(here.apns[0].accepts && !here.apns[1].accepts);
    assert_true(config_set(&here, "t8.apns[0].visited=[\"26201\",\"310410\"]") && here.apns[0].visited_count == 2);
    assert_string_equal(here.apns[0].visited[1], "310410");
    assert_string_equal(here.apns[1].domain, "");
    assert_true(config_has_hss(&here));
    assert_true(config_set(&here, "t8.apns=[{domain=\"a.example\"}]") && here.apn_count == 1);
    assert_false(config_check(&here)); /* no apn in it */
}

static void set_overrides_any_key(void **state)
{
    (void)state;
    assert_true(config_set(&here, "host.gates=3") && here.host_gates == 3);
    assert_true(config_set(&here, "cell.sandbox=off") && strcmp(here.cell_sandbox, "off") == 0);
    assert_true(config_set(&here, "log.replay=\"1GiB\"") && here.log_replay == 1ll << 30);
    assert_true(config_set(&here, "diameter.peers=[{identity=\"a\"},{identity=\"b\"}]") && here.peer_count == 2);
    assert_true(config_set(&here, "diameter.peers=[{identity=\"c\"}]") && here.peer_count == 1);
    assert_string_equal(here.peers[0].identity, "c");
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "host.gates", "host.gates=0", "host.gates=17", "host.gates=x", "host.unknown=1", "=1", "diameter.plain=1", "log.segment=1KiB",
        "log.segment=-1", "log.segment=99999999999999GiB", "diameter.peers[0].colour=x", "diameter.peers[9999].identity=x",
        "t8.apns[0].apn=\"i t\"", "t8.apns[0].apn=5", "t8.apns[64].apn=x", "t8.apns[0].colour=x", "t8.apns[0].without_configuration=maybe",
        "t8.apns[0].visited=26201", "t8.apns[0].visited=[\"2620\"]", "t8.apns[0].visited=[26201]", "t8.apns[0].visited=\"26201\"",
        "diameter.peers[0].identity=5", "diameter.peers[0].applications=[\"none\"]", "host.identity=[1]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        config_defaults(&here);
        assert_false(config_set(&here, wrong[i]));
    }
    assert_false(read_file("[host]\ngates = 99\n"));
    assert_false(config_read_file(&here, "/nowhere/dromio.conf"));
}

static void a_text_longer_than_its_room_is_refused(void **state)
{
    (void)state;
    char text[400] = "host.identity=";
    memset(text + 14, 'x', 256);
    assert_false(config_set(&here, text));
    text[14 + 255] = '\0';
    assert_true(config_set(&here, text));
    assert_int_equal(strlen(here.host_identity), 255);
}

static void without_tls_only_loopback_is_taken(void **state)
{
    (void)state;
    static const char *const wrong[] = { "http.listen=0.0.0.0:8080", "diameter.listen=10.0.0.1:3868", "http.tls.key=x",
                                         "diameter.accept=some", "cell.sandbox=maybe" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        config_defaults(&here);
        assert_true(config_set(&here, wrong[i]));
        assert_false(config_check(&here));
    }
    config_defaults(&here);
    assert_true(config_set(&here, "diameter.listen=10.0.0.1:3868") && config_set(&here, "diameter.plain=true") && config_check(&here));
    assert_true(config_set(&here, "diameter.accept=any"));
    assert_false(config_check(&here));
}

static void with_tls_any_address_is_taken(void **state)
{
    (void)state;
    assert_true(config_set(&here, "http.listen=0.0.0.0:8443") && config_set(&here, "http.tls.certificate=c"));
    assert_false(config_check(&here)); /* no key */
    assert_true(config_set(&here, "http.tls.key=k") && config_check(&here));
    assert_true(config_set(&here, "diameter.tls.ca=a"));
    assert_false(config_check(&here)); /* an authority alone */
    assert_true(config_set(&here, "diameter.tls.certificate=c") && config_set(&here, "diameter.tls.key=k") && config_check(&here));
    assert_string_equal(here.diameter_listen, "127.0.0.1:5658");
    assert_true(config_set(&here, "diameter.listen=10.0.0.1:3868") && config_check(&here));
    assert_string_equal(here.diameter_listen, "10.0.0.1:3868");
}

static void sctp_takes_several_addresses(void **state)
{
    (void)state;
    if (!sctp_is_built()) {
        assert_true(config_set(&here, "diameter.transport=sctp"));
        assert_false(config_check(&here));
        return;
    }
    assert_true(config_set(&here, "diameter.listen=127.0.0.1,127.0.0.2:3868"));
    assert_false(config_check(&here)); /* of TCP one */
    assert_true(config_set(&here, "diameter.transport=both") && config_check(&here));
    assert_true(config_set(&here, "diameter.listen=127.0.0.1,10.0.0.1:3868"));
    assert_false(config_check(&here)); /* one of them is not loopback */
    assert_true(config_set(&here, "diameter.listen=10.0.0.1,127.0.0.1:3868"));
    assert_false(config_check(&here));
    assert_true(config_set(&here, "diameter.plain=true") && config_check(&here));
    assert_true(config_set(&here, "diameter.listen=127.0.0.1,[::1]:3868"));
    assert_false(config_check(&here)); /* of two families */
    assert_true(config_set(&here, "diameter.listen=\"[::1],[::1]:3868\"") && config_check(&here));
    assert_true(config_set(&here, "diameter.transport=udp"));
    assert_false(config_check(&here));
}

static void a_peer_we_connect_to_needs_an_authority(void **state)
{
    (void)state;
    assert_true(config_set(&here, "diameter.tls.certificate=c") && config_set(&here, "diameter.tls.key=k"));
    assert_true(config_set(&here, "diameter.peers=[{identity=\"a\",address=\"127.0.0.1:1\"}]"));
    assert_false(config_check(&here));
    assert_true(config_set(&here, "diameter.tls.ca=a") && config_check(&here));
}

static void home_networks_make_an_iwk_scef(void **state)
{
    (void)state;
    assert_true(read_file("[interworking]\nplmn = \"00101\"\n[[interworking.homes]]\nplmn = \"99970\"\napns = [\"iot\"]\nuplink = 50\nreports = [\"none\"]\n"
                          "[[interworking.homes]]\nplmn = \"310410\"\nrealm = \"home.example\"\nhosts = [\"scef1.home.example\", \"scef2.home.example\"]\n"));
    assert_true(config_check(&here));
    const roaming_home *homes = here.interworking.homes;
    assert_int_equal(here.interworking.home_count, 2);
    assert_string_equal(homes[0].realm, "epc.mnc070.mcc999.3gppnetwork.org");
    assert_true(homes[0].uplink_rate == 50 && homes[0].downlink_rate == 0 && homes[0].has_reports && homes[0].apn_count == 1);
    assert_string_equal(homes[1].hosts[1], "scef2.home.example");
    assert_true(config_set(&here, "interworking.homes=[{plmn=\"26201\"}]") && here.interworking.home_count == 1);
    const char *wrong[] = {
        "plmn=\"2620\"", "plmn=26201", "colour=1", "apns=[\"a b\"]", "apns=\"a\"", "uplink=9", "uplink=\"50\"", "reports=[\"all\"]", "hosts=[\"\"]", "more=[\"a\"]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "interworking.homes=[{%s}]", wrong[i]);
        assert_false(config_set(&here, text));
    }
}

static void agreements_that_contradict_are_refused(void **state)
{
    (void)state;
    const char *wrong[] = {
        "interworking.homes=[{realm=\"home.example\"}]", "interworking.homes=[{plmn=\"26201\"},{plmn=\"26201\",realm=\"b\"}]",
        "interworking.homes=[{plmn=\"26201\",realm=\"a\"},{plmn=\"26202\",realm=\"A\"}]", "interworking.homes=[{plmn=\"26201\",realm=\"dromio.test\"}]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_true(config_set(&here, wrong[i]));
        assert_false(config_check(&here));
    }
    assert_true(config_set(&here, "interworking.homes=[{plmn=\"26201\"}]") && config_check(&here));
    assert_true(config_set(&here, "host.gates=2"));
    assert_false(config_check(&here));
    assert_true(config_set(&here, "host.gates=1") && config_set(&here, "interworking.plmn=\"1\""));
    assert_false(config_check(&here));
}

static void a_peer_is_bound_to_devices_apns_and_a_rate(void **state)
{
    (void)state;
    assert_true(config_set(&here, "diameter.peers=[{identity=\"a\",realm=\"r\",applications=[\"t6a\",\"relay\"],realms=[\"s\"],"
                                  "imsis=[\"00101\",\"001020000000000-001020000000009\"],apns=[\"iot\"],requests_per_second=50}]"));
    const gate_peer_config *peer = &here.peers[0];
    assert_int_equal(peer->applications, PEER_T6A | PEER_RELAY);
    assert_true(peer_policy_has_imsi(&peer->policy, "001011234567890") && peer_policy_has_imsi(&peer->policy, "001020000000009"));
    assert_false(peer_policy_has_imsi(&peer->policy, "001020000000010") || peer_policy_has_imsi(&peer->policy, "00102000000000"));
    assert_true(peer_policy_has_apn(&peer->policy, "IOT.mnc001.mcc001.gprs", 22) && !peer_policy_has_apn(&peer->policy, "io", 2));
    assert_true(peer_policy_has_realm(&peer->policy, "S", 1) && !peer_policy_has_realm(&peer->policy, "r", 1));
    assert_int_equal(peer->policy.requests_per_second, 50);
    static const char *const wrong[] = {
        "imsis=[\"0010x\"]", "imsis=[\"\"]", "imsis=[\"2-1\"]", "imsis=[\"1-22\"]", "imsis=[\"1234567890123456\"]", "imsis=[1]", "imsis=\"1\"",
        "apns=[\"a b\"]", "realms=[\"\"]", "requests_per_second=0", "requests_per_second=\"1\"", "more=1", "more=[\"a\"]",
        "apns=[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "diameter.peers=[{identity=\"a\",%s}]", wrong[i]);
        assert_false(config_set(&here, text));
    }
}

static void trust_groups_have_cells_of_their_own(void **state)
{
    (void)state;
    assert_true(read_file("[cells]\nmax = 4\n[[cells.groups]]\nname = \"utilities\"\ndomains = [\"water.example\", \"*.gas.example\"]\ncpu = 50\n"
                          "[[cells.groups]]\nname = \"cars\"\ndomains = [\"cars.example\"]\n"));
    assert_true(config_check(&here));
    assert_int_equal(here.trust.group_count, 2);
    assert_int_equal(here.trust.groups[0].share, 50);
    assert_string_equal(here.trust.groups[0].domains[1], "*.gas.example");
    assert_int_equal(here.trust.groups[1].share, 0);
    assert_int_equal(trust_group_of(&here.trust, "cars.example", 12), 1);
    assert_true(config_set(&here, "cells.groups=[{name=\"a\",domains=[\"a.example\"]}]") && here.trust.group_count == 1);
    assert_true(config_set(&here, "cells.max=1"));
    assert_false(config_check(&here)); /* a cell for it, and one for the others */
    assert_true(config_set(&here, "cells.max=2") && config_check(&here));
}

static void trust_groups_that_are_wrong_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "name=1", "name=\"\"", "name=\"others\"", "name=\"a b\"", "cpu=0", "cpu=100", "cpu=\"50\"", "cpu=0.5", "domains=\"a.example\"", "domains=[1]", "domains=[\"a b\"]",
        "domains=[\"*\"]", "colour=1", "colour=[\"a\"]", "name=[\"a\"]",
    };
    char text[512];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "cells.groups=[{%s}]", wrong[i]);
        assert_false(config_set(&here, text));
    }
    assert_false(config_set(&here, "cells.groups=[{name=\"a\",domains=[\"a.example\"]},{name=\"b\",domains=[\"A.example\"]}]"));
    assert_false(config_set(&here, "cells.groups=[{name=\"a\",domains=[\"*.example\"]},{name=\"b\",domains=[\"a.example\"]}]"));
    assert_false(config_set(&here, "cells.groups=[{name=\"a\"},{name=\"a\"}]"));
    assert_false(config_set(&here, "cells.groups[15].name=x"));
    assert_true(config_set(&here, "cells.max=16"));
    static const char *const together[] = {
        "cells.groups=[{name=\"a\"}]", "cells.groups=[{domains=[\"a.example\"]}]",
        "cells.groups=[{name=\"a\",domains=[\"a.example\"],cpu=60},{name=\"b\",domains=[\"b.example\"],cpu=41}]",
        "cells.groups=[{name=\"a\",domains=[\"a.example\"],cpu=90}]", /* and 15 shared cells */
    };
    for (size_t i = 0; i < sizeof together / sizeof together[0]; i++) {
        assert_true(config_set(&here, together[i]));
        assert_false(config_check(&here));
    }
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        CLAIM(the_defaults_are_those_of_the_contract), CLAIM(a_file_sets_keys_and_peers), CLAIM(a_file_sets_apns), CLAIM(set_overrides_any_key),
        CLAIM(what_is_wrong_is_refused), CLAIM(a_text_longer_than_its_room_is_refused), CLAIM(without_tls_only_loopback_is_taken),
        CLAIM(with_tls_any_address_is_taken), CLAIM(sctp_takes_several_addresses), CLAIM(a_peer_we_connect_to_needs_an_authority),
        CLAIM(home_networks_make_an_iwk_scef), CLAIM(agreements_that_contradict_are_refused),
        CLAIM(a_peer_is_bound_to_devices_apns_and_a_rate), CLAIM(trust_groups_have_cells_of_their_own),
        CLAIM(trust_groups_that_are_wrong_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
