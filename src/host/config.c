#include "host/config.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <openssl/evp.h>

#include "base/toml.h"
#include "gate/courier.h"
#include "host/layout.h"
#include "gate/sctp.h"
#include "load/load.h"
#include "ring/message.h"

typedef enum key_kind { KEY_TEXT, KEY_COUNT, KEY_BYTES, KEY_BOOLEAN } key_kind;

typedef struct key {
    const char *path;
    key_kind kind;
    size_t offset, size;
    int64_t minimum, maximum;
    const char *usual; /* default */
    const char *text;
} key;

#define TEXT(field) KEY_TEXT, offsetof(config, field), sizeof((config *)0)->field, 0, 0
#define COUNT(field, least, most) KEY_COUNT, offsetof(config, field), sizeof((config *)0)->field, least, most
#define BYTES(field, least, most) KEY_BYTES, offsetof(config, field), sizeof((config *)0)->field, least, most
#define BOOLEAN(field) KEY_BOOLEAN, offsetof(config, field), sizeof((config *)0)->field, 0, 1
#define GIB (1ll << 30)
#define MIB (1ll << 20)

static const key keys[] = {
    { "host.identity", TEXT(host_identity), "scef.dromio.test", "Diameter Origin-Host" },
    { "host.realm", TEXT(host_realm), "dromio.test", "Diameter Origin-Realm" },
    { "host.gates", COUNT(host_gates, 1, 16), "1", "rooms with sockets" },
    { "host.cores", COUNT(host_cores, 1, CORES_MAX), "1", "rooms with twins, each with cells of its own; any number opens any data" },
    { "host.pin", BOOLEAN(host_pin), "false", "each core and its cells on a CPU of their own, where there are as many CPUs as cores" },
    { "host.data", TEXT(data), "dromio-data", "directory of all that is kept; --data" },
    { "host.log_level", TEXT(log_level), "info", "debug, info, warn or error" },
    { "cells.max", COUNT(cells_max, 1, 16), "1", "rooms with guest code, of each core; domains share them by hash, but for those of cells.groups" },
    { "cells.probation", BOOLEAN(cells_probation), "true", "twins whose turns run into their deadline run in a room of their own, at the lowest priority, until they did well for penalty.longest" },
    { "cell.sandbox", TEXT(cell_sandbox), "on", "\"off\" only where the kernel has no seccomp" },
    { "http.listen", TEXT(http_listen), "127.0.0.1:8080", "address:port; without TLS only loopback" },
    { "http.tls.certificate", TEXT(http_tls_certificate), "", "file of the certificate and those that lead to its authority (PEM); with it HTTPS is spoken" },
    { "http.tls.key", TEXT(http_tls_key), "", "file of its private key (PEM, without passphrase)" },
    { "http.tls.ca", TEXT(http_tls_ca), "", "file of authorities (PEM): clients must show a certificate of one, beside their token" },
    { "http.tls.client_ca", TEXT(http_tls_client_ca), "", "file of authorities (PEM): clients may show a certificate of one, and be known by it; instead of http.tls.ca" },
    { "diameter.listen", TEXT(diameter_listen), "127.0.0.1:3868", "address:port; port 5658 where TLS is on and nothing is said; without TLS only loopback unless diameter.plain" },
    { "diameter.transport", TEXT(diameter_transport), "tcp", "\"tcp\", \"sctp\" or \"both\"; for SCTP diameter.listen may name several addresses before its port, with commas" },
    { "diameter.plain", BOOLEAN(diameter_plain), "false", "accept plain TCP beyond loopback" },
    { "diameter.accept", TEXT(diameter_accept), "", "\"any\": peers that are not listed too; loopback only" },
    { "diameter.tls.certificate", TEXT(diameter_tls_certificate), "", "file of the certificate and those that lead to its authority (PEM); with it all of Diameter is TLS, from the first byte" },
    { "diameter.tls.key", TEXT(diameter_tls_key), "", "file of its private key (PEM, without passphrase)" },
    { "diameter.tls.ca", TEXT(diameter_tls_ca), "", "file of authorities (PEM): peers must show a certificate of one, with their identity among its DNS names" },
    { "interworking.plmn", TEXT(interworking.plmn), "", "MCC and MNC of the visited network here: told in a CMR that goes to a home network without Visited-PLMN-Id" },
    { "contexts.memory", BYTES(contexts_memory, MIB / 16, 1024 * GIB), "1GiB", "sealed contexts kept in memory; others are read from the log at their twin's next event" },
    { "downlink.packets", COUNT(downlink_packets, 1, DOWNLINK_PACKETS_MAX), "32", "downlinks that wait for one device" },
    { "downlink.bytes", BYTES(downlink_bytes, 2048, DOWNLINK_BYTES_MAX), "64KiB", "bytes of them, with what is kept beside each" },
    { "downlink.size", BYTES(downlink_size, 1, 2048), "1358", "bytes of the largest downlink that waits; a larger one goes at once or fails" },
    { "downlink.age", COUNT(downlink_age, 1, 7 * 24 * 3600), "604800", "seconds a downlink waits at most" },
    { "downlink.memory", BYTES(downlink_memory, MIB / 16, 1024 * GIB), "256MiB", "waiting downlinks kept in memory; others are read from the log when their device is reached" },
    { "budgets.twin.cpu", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_CPU], 0, BUDGET_VALUE_MAX), "6000", "ms of CPU a minute, of one twin" },
    { "budgets.twin.messages", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_MESSAGES], 0, BUDGET_VALUE_MAX), "600", "downlinks, notifications and triggers a minute, of one twin" },
    { "budgets.twin.timers", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_TIMERS], 0, BUDGET_VALUE_MAX), "6000", "timers a minute; further ones wait, of one twin" },
    { "budgets.twin.log", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_LOG], 0, BUDGET_VALUE_MAX), "262144", "bytes of log lines a minute; further lines are left out, of one twin" },
    { "budgets.twin.storage", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_STORAGE], 0, BUDGET_VALUE_MAX), "268435456", "bytes a minute that its turns write into the log, of one twin" },
    { "budgets.twin.cpu_burst", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_BURST + BUDGET_CPU], 0, BUDGET_VALUE_MAX), "3000", "of that at once; 0: as much as a minute has" },
    { "budgets.twin.messages_burst", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_BURST + BUDGET_MESSAGES], 0, BUDGET_VALUE_MAX), "300", "of that at once; 0: as much as a minute has" },
    { "budgets.twin.timers_burst", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_BURST + BUDGET_TIMERS], 0, BUDGET_VALUE_MAX), "600", "of that at once; 0: as much as a minute has" },
    { "budgets.twin.log_burst", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_BURST + BUDGET_LOG], 0, BUDGET_VALUE_MAX), "65536", "of that at once; 0: as much as a minute has" },
    { "budgets.twin.storage_burst", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_BURST + BUDGET_STORAGE], 0, BUDGET_VALUE_MAX), "134217728", "of that at once; 0: as much as a minute has" },
    { "budgets.twin.memory", COUNT(budgets[BUDGET_OF_TWIN][BUDGET_MEMORY], 0, BUDGET_VALUE_MAX), "0", "bytes of one twin's context; 0: 61440, as many as there can be" },
    { "budgets.image.cpu", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_CPU], 0, BUDGET_VALUE_MAX), "0", "ms of CPU a minute, of all twins of an image; 0: no limit" },
    { "budgets.image.messages", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_MESSAGES], 0, BUDGET_VALUE_MAX), "0", "downlinks, notifications and triggers a minute, of all twins of an image; 0: no limit" },
    { "budgets.image.timers", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_TIMERS], 0, BUDGET_VALUE_MAX), "0", "timers a minute; further ones wait, of all twins of an image; 0: no limit" },
    { "budgets.image.log", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_LOG], 0, BUDGET_VALUE_MAX), "0", "bytes of log lines a minute; further lines are left out, of all twins of an image; 0: no limit" },
    { "budgets.image.storage", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_STORAGE], 0, BUDGET_VALUE_MAX), "0", "bytes a minute that its turns write into the log, of all twins of an image; 0: no limit" },
    { "budgets.image.memory", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_MEMORY], 0, BUDGET_VALUE_MAX), "0", "KiB of the contexts of all twins of an image; 0: no limit" },
    { "budgets.image.cpu_burst", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_BURST + BUDGET_CPU], 0, BUDGET_VALUE_MAX), "0", "of that at once; 0: as much as a minute has" },
    { "budgets.image.messages_burst", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_BURST + BUDGET_MESSAGES], 0, BUDGET_VALUE_MAX), "0", "of that at once; 0: as much as a minute has" },
    { "budgets.image.timers_burst", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_BURST + BUDGET_TIMERS], 0, BUDGET_VALUE_MAX), "0", "of that at once; 0: as much as a minute has" },
    { "budgets.image.log_burst", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_BURST + BUDGET_LOG], 0, BUDGET_VALUE_MAX), "0", "of that at once; 0: as much as a minute has" },
    { "budgets.image.storage_burst", COUNT(budgets[BUDGET_OF_IMAGE][BUDGET_BURST + BUDGET_STORAGE], 0, BUDGET_VALUE_MAX), "0", "of that at once; 0: as much as a minute has" },
    { "penalty.failures", COUNT(penalty_failures, 0, 100), "5", "turns of a twin that failed and are not forgotten, from which it is set aside; 0: never" },
    { "penalty.forget", COUNT(penalty_forget, 1, 86400), "10", "seconds in which one of them is forgotten" },
    { "penalty.first", COUNT(penalty_first, 1, 86400), "1", "seconds it is set aside the first time; twice as long each further time," },
    { "penalty.longest", COUNT(penalty_longest, 1, 7 * 86400), "3600", "at most so many; it is the first time again once the twin did well as long" },
    { "quarantine.twins", COUNT(quarantine_twins, 0, 3000), "32", "different twins of an image whose turns failed, from which it is quarantined; 0: never" },
    { "quarantine.percent", COUNT(quarantine_percent, 0, 100), "50", "and so many of its turns must have failed, of those since the first that did," },
    { "quarantine.seconds", COUNT(quarantine_seconds, 1, 86400), "60", "in a window of so many seconds" },
    { "quarantine.kills", COUNT(quarantine_kills, 0, 60), "3", "different twins of an image whose turns killed their cells, from which it is quarantined; 0: never" },
    { "schedule.pause", COUNT(schedule_pause, 1, 86400), "60", "seconds between two questions of a twin to the HSS about its device's sleep; the newest wish waits" },
    { "columns.memory", BYTES(columns_memory, 64 * MIB, 1024 * GIB), "16GiB", "address space for property columns (sparse)" },
    { "log.segment", BYTES(log_segment, MIB, GIB), "64MiB", "size of a segment of the log" },
    { "log.timeline", BYTES(log_timeline, 0, 1024 * GIB), "256MiB", "log kept for timelines and histories" },
    { "log.replay", BYTES(log_replay, MIB, 1024 * GIB), "128MiB", "log replayed at a start, beyond what lives" },
    { "vault.master_key_before", TEXT(vault_master_key_before), "", "file of the master key that vault.master_key takes the place of: keys are wrapped anew at the start" },
    { "vault.master_key", TEXT(vault_master_key), "", "file of the master key; default the credential master.key of systemd, else DATA/master.key" },
    { "console.directory", TEXT(console_directory), "", "files of the console; default: beside the program" },
    { "t8.allow_callbacks", TEXT(t8_allow_callbacks), "", "list of address ranges notifications may reach although loopback, link-local or private" },
    { "t8.apn", TEXT(t8_apn), "", "APN of NIDD configurations that no row of t8.apns is for; empty: any" },
    { "t8.without_configuration", TEXT(t8_without_configuration), "accept", "\"refuse\": a device connects only over an APN it is configured for, or that t8.apns accepts" },
    { "t8.api_root", TEXT(t8_api_root), "", "what links in T8 begin with; default: http://, or https:// with TLS, and http.listen" },
    { "t8.group_guard", COUNT(t8_group_guard, 1, 86400), "30", "seconds after which results of a group's downlink are told, and so often from then on; earlier when all are there" },
    { "t8.trigger_port", COUNT(t8_trigger_port, 0, 65535), "0", "port of the application in a device that is triggered because a downlink waits for it (SEND_TRIGGER)" },
    { "t8.trigger_sender", TEXT(t8_trigger_sender), "", "number (E.164, digits) by which this host sends device triggers; an SMS-SC needs it" },
    { "t8.reliable_data_service", BOOLEAN(t8_reliable_data_service), "false", "configurations may ask for the reliable data service (TS 24.250), whose bits are unverified: docs/scef.md" },
    { "t8.reliable_data_timer", COUNT(t8_reliable_data_timer, 1, 3600), "5", "its T200: seconds a device has for an acknowledgement once the network has taken the downlink" },
    { "auth.issuer", TEXT(auth_issuer), "", "iss of the access tokens (JWT) this host gives out; default: t8.api_root" },
    { "auth.audience", TEXT(auth_audience), "", "aud of them, and what tokens of other issuers must be for; default: auth.issuer" },
    { "auth.token_life", COUNT(auth_token_life, 60, 86400), "3600", "seconds an access token is good" },
    { "auth.key_life", COUNT(auth_key_life, 60, 366 * 86400), "2592000", "seconds until another key signs; at least auth.token_life" },
    { "auth.provision_scope", BOOLEAN(auth_provision_scope), "false", "imsi and msisdn of a twin take the scope provision; false: write is enough" },
    { "auth.clock_skew", COUNT(auth_clock_skew, 0, 600), "30", "seconds by which the clocks of issuers may differ from ours" },
    { "capif.core_function", TEXT(capif.root), "", "root of a CAPIF core function, such as https://capif.example:443, at which this host publishes its APIs" },
    { "capif.publish", BOOLEAN(capif.publish), "true", "false: what was published there is withdrawn" },
    { "capif.apis", TEXT(capif.apis), "", "names of the APIs that are published, with commas between; empty: all" },
    { "capif.aef_id", TEXT(capif.aef), "", "what it calls this host as exposing function; default: what a registration said, else host.identity" },
    { "capif.apf_id", TEXT(capif.apf), "", "what it calls this host as publisher; default: as above" },
    { "capif.allow", TEXT(capif.allow), "", "address ranges with commas between that it may have although loopback, link-local or private" },
    { "capif.check", COUNT(capif.check_s, 1, 86400), "600", "seconds between looks at what is published there" },
    { "capif.registration_secret", TEXT(capif_registration_secret), "", "file of the secret with which this host registers there as API provider; empty: it does not" },
    { "capif.tls.certificate", TEXT(capif_tls_certificate), "", "file of the certificate it is shown, with those that lead to its authority (PEM)" },
    { "capif.tls.key", TEXT(capif_tls_key), "", "file of its private key (PEM, without passphrase)" },
    { "capif.tls.ca", TEXT(capif_tls_ca), "", "file of authorities (PEM) for its own certificate; empty: those of the system" },
    { "limits.requests_per_second", COUNT(limits_requests, 0, 1000000000), "0", "of an application without limits of its own, over HTTP; 0: none" },
    { "limits.burst", COUNT(limits_burst, 0, 1000000000), "0", "of those at once; 0: as many as a second has" },
    { "limits.downlinks_per_day", COUNT(limits_downlinks, 0, 1000000000), "0", "of such an application, commands over /v1 too; 0: no limit" },
    { "limits.configurations", COUNT(limits_configurations, 0, 1000000000), "0", "of T8, of such an application; 0: no limit" },
    { "limits.subscriptions", COUNT(limits_subscriptions, 0, 1000000000), "0", "event streams of such an application, open at a gate; 0: no limit" },
    { "charging.enabled", BOOLEAN(charging_enabled), "false", "write charging records: docs/charging.md" },
    { "charging.directory", TEXT(charging_directory), "", "where; default: DATA/charging. Made 0700, its files 0600" },
    { "charging.file_size", BYTES(charging_file_bytes, 4096, 64 * GIB), "64MiB", "a charging file is closed when it has so much," },
    { "charging.file_age", COUNT(charging_file_age, 1, 366 * 86400), "300", "or so many seconds after its first record" },
    { "charging.backlog", BYTES(charging_backlog, 2 * MIB, 1024 * GIB), "4GiB", "log that is held back while its records cannot be written; beyond it the oldest go uncharged, and a record says so" },
    { "charging.imsi", BOOLEAN(charging_imsi), "false", "servedIMSI in the records: in clear, in the charging files" },
    { "audit.enabled", BOOLEAN(audit_enabled), "true", "write the audit log: docs/audit.md" },
    { "audit.directory", TEXT(audit_directory), "", "where; default: DATA/audit. Made 0700, its files 0600" },
    { "audit.file_size", BYTES(audit_file_bytes, 4096, 64 * GIB), "16MiB", "an audit file is closed when it has so much," },
    { "audit.file_age", COUNT(audit_file_age, 1, 366 * 86400), "86400", "or so many seconds after its first entry" },
    { "audit.backlog", BYTES(audit_backlog, 2 * MIB, 1024 * GIB), "4GiB", "log that is held back while its entries cannot be written; beyond it the oldest are lost, and an entry says so" },
    { "audit.twins", BOOLEAN(audit_twins), "true", "entries of what is done to twins and groups" },
    { "audit.t8", BOOLEAN(audit_t8), "true", "entries of what applications make over T8" },
    { "audit.commands", BOOLEAN(audit_commands), "false", "entries of property writes, actions, downlinks and triggers" },
    { "bench.no_log", BOOLEAN(bench_no_log), "false", "keep nothing: to measure turns without the log" },
    { "bench.load", COUNT(bench_load, 0, LOAD_TWINS_MAX), "0", "twins of dromio-bench that a room of this host sends readings for; 0: none" },
    { "bench.window", COUNT(bench_window, 1, LOAD_WINDOW_MAX), "1024", "readings of bench.load without an answer" },
    { "bench.downlinks", COUNT(bench_downlinks, 0, DOWNLINK_PACKETS_MAX), "0", "downlinks that it queues for each of those twins instead; 0: none" },
};

enum { KEY_TOTAL = sizeof keys / sizeof keys[0] };
_Static_assert((int)KEY_TOTAL <= (int)CONFIG_KEYS_MAX, "a place for each");

static bool read_bytes(const char *text, int64_t *bytes)
{
    static const struct { const char *unit; int shift; } units[] = {
        { "", 0 }, { "B", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 },
    };
    char *end;
    long long number = strtoll(text, &end, 10);
    for (size_t i = 0; end != text && number >= 0 && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) != 0 || number > INT64_MAX >> units[i].shift)
            continue;
        *bytes = number << units[i].shift;
        return true;
    }
    return false;
}

static const char *key_put(config *config, const key *key, const toml_value *value)
{
    char *field = (char *)config + key->offset;
    int64_t number = value->integer;
    switch (key->kind) {
    case KEY_TEXT:
        if (value->kind != TOML_STRING || strlen(value->text) >= key->size)
            return "is a string";
        memcpy(field, value->text, strlen(value->text) + 1);
        return NULL;
    case KEY_BOOLEAN:
        if (value->kind != TOML_BOOLEAN)
            return "is true or false";
        *(bool *)field = number != 0;
        return NULL;
    case KEY_BYTES:
        if (value->kind == TOML_STRING && !read_bytes(value->text, &number))
            return "is a number of bytes such as \"64MiB\"";
        /* fall through */
    case KEY_COUNT:
        if (value->kind != TOML_INTEGER && !(key->kind == KEY_BYTES && value->kind == TOML_STRING))
            return "is a whole number";
        if (number < key->minimum || number > key->maximum)
            return "is out of its range";
        *(int64_t *)field = number;
        return NULL;
    }
    return "is unknown";
}

static const char *peer_application_put(gate_peer_config *peer, const char *text)
{
    static const struct { const char *name; uint32_t bit; } names[] = {
        { "t6a", PEER_T6A }, { "t7", PEER_T6A | PEER_T7 }, { "s6t", PEER_S6T }, { "tsp", PEER_TSP }, { "s6m", PEER_S6M }, { "t4", PEER_T4 }, { "relay", PEER_RELAY },
    };
    uint32_t bit = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        bit |= strcmp(text, names[i].name) == 0 ? names[i].bit : 0;
    peer->applications |= bit;
    return bit != 0 ? NULL : "is a list of \"t6a\", \"t7\", \"s6t\", \"tsp\", \"s6m\", \"t4\", \"relay\"";
}

/* An item of a list. */
static const char *peer_list_put(gate_peer_config *peer, const char *member, const char *text)
{
    if (strcmp(member, "applications") == 0)
        return peer_application_put(peer, text);
    if (strcmp(member, "imsis") == 0)
        return peer_policy_add_imsis(&peer->policy, text) ? NULL : "is a list of at most 16 prefixes \"00101\" or ranges \"001010000000000-001010000009999\"";
    if (strcmp(member, "apns") == 0)
        return peer_policy_add_apn(&peer->policy, text) ? NULL : "is a list of at most 8 APNs";
    if (strcmp(member, "realms") == 0)
        return peer_policy_add_realm(&peer->policy, text) ? NULL : "is a list of at most 8 realms";
    return "is not a list of a peer (applications, imsis, apns, realms)";
}

static const char peer_members[] = "is not a key of a peer (identity, realm, address, applications, imsis, apns, realms, requests_per_second)";

static const char *peer_put(config *config, const toml_value *value)
{
    char member[64];
    unsigned index;
    int end = 0;
    if (sscanf(value->path, "diameter.peers[%u].%63[a-z_]%n", &index, member, &end) != 2)
        return peer_members;
    if (index >= GATE_PEERS_MAX)
        return "names too many peers";
    gate_peer_config *peer = &config->peers[index];
    if (index >= config->peer_count)
        config->peer_count = index + 1;
    if (value->path[end] == '[')
        return value->kind == TOML_STRING ? peer_list_put(peer, member, value->text) : "is a list of strings";
    if (strcmp(member, "requests_per_second") == 0) {
        if (value->kind != TOML_INTEGER || value->integer < 1 || value->integer > 1000000)
            return "is a number from 1 to 1000000";
        peer->policy.requests_per_second = (uint32_t)value->integer;
        return NULL;
    }
    char *field = strcmp(member, "identity") == 0 ? peer->identity : strcmp(member, "realm") == 0 ? peer->realm
                : strcmp(member, "address") == 0 ? peer->address : NULL;
    size_t size = field == peer->address ? sizeof peer->address : sizeof peer->identity;
    if (field == NULL || value->path[end] != '\0')
        return peer_members;
    if (value->kind != TOML_STRING || strlen(value->text) >= size)
        return "is a string";
    memcpy(field, value->text, strlen(value->text) + 1);
    return NULL;
}

static const char home_members[] = "is not a key of a home network (plmn, realm, hosts, apns, uplink, downlink, reports)";

/* An item of a list. */
static const char *home_list_put(roaming_home *home, const char *member, const char *text)
{
    if (strcmp(member, "hosts") == 0)
        return roaming_add_host(home, text) ? NULL : "is a list of at most 4 names";
    if (strcmp(member, "apns") == 0)
        return roaming_add_apn(home, text) ? NULL : "is a list of at most 8 APNs";
    if (strcmp(member, "reports") == 0)
        return roaming_add_report(home, text) ? NULL : "is a list of \"none\" or of monitoring types, such as \"loss_of_connectivity\"";
    return "is not a list of a home network (hosts, apns, reports)";
}

static const char *home_rate_put(uint32_t *rate, const toml_value *value)
{
    if (value->kind != TOML_INTEGER || value->integer < ROAMING_RATE_LEAST || value->integer > INT32_MAX)
        return "is a number of packets in six minutes, at least 10";
    *rate = (uint32_t)value->integer;
    return NULL;
}

/* A row of interworking.homes. */
static const char *home_put(config *config, const toml_value *value)
{
    char member[64];
    unsigned index;
    int end = 0;
    if (sscanf(value->path, "interworking.homes[%u].%63[a-z]%n", &index, member, &end) != 2)
        return home_members;
    if (index >= ROAMING_HOMES_MAX)
        return "names too many home networks";
    roaming_home *home = &config->interworking.homes[index];
    if (index >= config->interworking.home_count)
        config->interworking.home_count = index + 1;
    if (value->path[end] == '[')
        return value->kind == TOML_STRING ? home_list_put(home, member, value->text) : "is a list of strings";
    if (value->path[end] != '\0')
        return home_members;
    if (strcmp(member, "uplink") == 0 || strcmp(member, "downlink") == 0)
        return home_rate_put(member[0] == 'u' ? &home->uplink_rate : &home->downlink_rate, value);
    if (value->kind != TOML_STRING)
        return "is a string";
    if (strcmp(member, "plmn") == 0) {
        if (!plmn_is_valid(value->text))
            return "is five or six digits: MCC and MNC";
        memcpy(home->plmn, value->text, strlen(value->text) + 1);
        return NULL;
    }
    if (strcmp(member, "realm") != 0)
        return home_members;
    if (strlen(value->text) >= sizeof home->realm)
        return "is too long";
    memcpy(home->realm, value->text, strlen(value->text) + 1);
    return NULL;
}

/* A row of auth.issuers. */
static const char *issuer_put(config *config, const toml_value *value)
{
    char member[64];
    unsigned index;
    int end = 0;
    if (sscanf(value->path, "auth.issuers[%u].%63[a-z]%n", &index, member, &end) != 2 || value->path[end] != '\0')
        return "is not a key of an issuer (issuer, audience, keys)";
    if (index >= ISSUERS_MAX)
        return "names too many issuers";
    issuer_config *row = &config->issuers[index];
    if (index >= config->issuer_count)
        config->issuer_count = index + 1;
    char *field = strcmp(member, "issuer") == 0 ? row->issuer : strcmp(member, "audience") == 0 ? row->audience
                : strcmp(member, "keys") == 0 ? row->keys : NULL;
    size_t size = field == row->keys ? sizeof row->keys : sizeof row->issuer;
    if (field == NULL)
        return "is not a key of an issuer (issuer, audience, keys)";
    if (value->kind != TOML_STRING || strlen(value->text) >= size)
        return "is a string";
    memcpy(field, value->text, strlen(value->text) + 1);
    return NULL;
}

/* A row of t8.apns. */
static const char *apn_put(config *config, const toml_value *value)
{
    char member[64];
    unsigned index;
    int end = 0;
    if (sscanf(value->path, "t8.apns[%u].%63[a-z_]%n", &index, member, &end) != 2 || (value->path[end] != '\0' && strcmp(member, "visited") != 0))
        return "is not a key of an APN (domain, application, apn, without_configuration, uplink, downlink, over, visited)";
    if (index >= APN_RULES_MAX)
        return "names too many APNs";
    apn_rule *rule = &config->apns[index];
    if (index >= config->apn_count)
        config->apn_count = index + 1;
    if (value->kind != TOML_STRING)
        return "is a string";
    if (strcmp(member, "visited") == 0)
        return value->path[end] == '[' && apn_add_visited(rule, value->text) ? NULL : "is a list of at most 16 networks: MCC and MNC, five or six digits";
    if (strcmp(member, "without_configuration") == 0) {
        rule->accepts = strcmp(value->text, "accept") == 0;
        return rule->accepts || strcmp(value->text, "refuse") == 0 ? NULL : "is \"accept\" or \"refuse\"";
    }
    if (strcmp(member, "uplink") == 0 || strcmp(member, "downlink") == 0)
        return apn_rate_read(value->text, member[0] == 'u' ? &rule->uplink : &rule->downlink)
                   ? NULL : "is a number of packets in a minute, hour, day or week, such as \"100/hour\"";
    if (strcmp(member, "over") == 0) {
        rule->drops = strcmp(value->text, "drop") == 0;
        return rule->drops || strcmp(value->text, "accept") == 0 ? NULL : "is \"accept\" or \"drop\"";
    }
    char *field = strcmp(member, "domain") == 0 ? rule->domain : strcmp(member, "application") == 0 ? rule->application
                : strcmp(member, "apn") == 0 ? rule->apn : NULL;
    size_t size = field == rule->domain ? sizeof rule->domain : field == rule->apn ? sizeof rule->apn : sizeof rule->application;
    if (field == NULL)
        return "is not a key of an APN (domain, application, apn, without_configuration, uplink, downlink, over, visited)";
    if (strlen(value->text) >= size || (field == rule->apn && !apn_is_valid(value->text, strlen(value->text))))
        return field == rule->apn ? "is an APN: letters, digits, '-' and '.', at most 100" : "is too long";
    memcpy(field, value->text, strlen(value->text) + 1);
    return NULL;
}

static const char trust_members[] = "is not a key of a trust group (name, domains, cpu)";

/* A row of cells.groups. */
static const char *trust_put(config *config, const toml_value *value)
{
    char member[64];
    unsigned index;
    int end = 0;
    if (sscanf(value->path, "cells.groups[%u].%63[a-z]%n", &index, member, &end) != 2)
        return trust_members;
    if (index >= TRUST_GROUPS_MAX)
        return "names too many groups: there are at most 15";
    if (index >= config->trust.group_count)
        config->trust.group_count = index + 1;
    bool is_item = value->path[end] == '[';
    if (strcmp(member, "domains") == 0 && !is_item)
        return "is a list of strings";
    if (is_item && strcmp(member, "domains") != 0)
        return trust_members;
    if (is_item)
        return value->kind == TOML_STRING ? trust_add_domain(&config->trust, index, value->text) : "is a list of strings";
    if (strcmp(member, "cpu") == 0) {
        if (value->kind != TOML_INTEGER || value->integer < 1 || value->integer > 99)
            return "is per cent of a core's cell time: a whole number from 1 to 99";
        config->trust.groups[index].share = (uint32_t)value->integer;
        return NULL;
    }
    if (strcmp(member, "name") != 0 || value->path[end] != '\0')
        return trust_members;
    return value->kind == TOML_STRING ? trust_name(&config->trust, index, value->text) : "is a string";
}

/* Kept as one text with blanks between, for the gates. */
static const char *range_put(config *config, const toml_value *value)
{
    char *text = config->t8_allow_callbacks;
    size_t length = strlen(text), room = sizeof config->t8_allow_callbacks - length;
    if (value->kind != TOML_STRING || !courier_ranges_are_good(value->text))
        return "is a list of address ranges such as \"10.0.0.0/8\"";
    return snprintf(text + length, room, "%s%s", length > 0 ? " " : "", value->text) < (int)room ? NULL : "has too many ranges";
}

typedef struct setting { config *config; bool seen[CONFIG_KEYS_MAX]; char path[TOML_PATH_MAX]; } setting;

static const char *put(void *context, const toml_value *value)
{
    setting *setting = context;
    snprintf(setting->path, sizeof setting->path, "%s", value->path);
    if (strncmp(value->path, "diameter.peers[", 15) == 0)
        return peer_put(setting->config, value);
    if (strncmp(value->path, "interworking.homes[", 19) == 0)
        return home_put(setting->config, value);
    if (strncmp(value->path, "auth.issuers[", 13) == 0)
        return issuer_put(setting->config, value);
    if (strncmp(value->path, "cells.groups[", 13) == 0)
        return trust_put(setting->config, value);
    if (strncmp(value->path, "t8.apns[", 8) == 0)
        return apn_put(setting->config, value);
    if (strncmp(value->path, "t8.allow_callbacks[", 19) == 0)
        return range_put(setting->config, value);
    for (int i = 0; i < KEY_TOTAL; i++) {
        if (strcmp(keys[i].path, value->path) != 0)
            continue;
        if (setting->seen[i])
            return "is there twice";
        setting->seen[i] = setting->config->given[i] = true;
        return key_put(setting->config, &keys[i], value);
    }
    return "is not a key of the configuration";
}

void config_defaults(config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < KEY_TOTAL; i++) {
        setting setting = { .config = config };
        char error[TOML_TEXT_MAX];
        if (keys[i].kind == KEY_TEXT)
            memcpy((char *)config + keys[i].offset, keys[i].usual, strlen(keys[i].usual) + 1);
        else if (toml_read_value(keys[i].path, keys[i].usual, put, &setting, error) != DRO_OK)
            abort(); /* the table above is wrong */
    }
    memset(config->given, 0, sizeof config->given);
}

bool config_read_file(config *config, const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = malloc(TOML_BYTES_MAX + 1);
    if (file == NULL || text == NULL) {
        fprintf(stderr, "dromiod: %s cannot be read: %m\n", path);
        free(text);
        if (file != NULL)
            fclose(file);
        return false;
    }
    size_t length = fread(text, 1, TOML_BYTES_MAX + 1, file);
    fclose(file);
    setting setting = { .config = config };
    char error[TOML_TEXT_MAX];
    int line;
    dro_err err = toml_read(text, length, put, &setting, &line, error);
    if (err != DRO_OK)
        fprintf(stderr, "dromiod: %s:%d: %s %s\n", path, line, setting.path, error);
    free(text);
    return err == DRO_OK;
}

bool config_set(config *config, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char path[TOML_PATH_MAX], error[TOML_TEXT_MAX];
    if (equals == NULL || (size_t)(equals - assignment) >= sizeof path) {
        fprintf(stderr, "dromiod: --set %s: wants section.key=value\n", assignment);
        return false;
    }
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    setting setting = { .config = config };
    if (strcmp(path, "t8.allow_callbacks") == 0)
        config->t8_allow_callbacks[0] = '\0';
    if (strcmp(path, "t8.apns") == 0) { /* the list anew */
        config->apn_count = 0;
        memset(config->apns, 0, sizeof config->apns);
    }
    if (strcmp(path, "interworking.homes") == 0) {
        config->interworking.home_count = 0;
        memset(config->interworking.homes, 0, sizeof config->interworking.homes);
    }
    if (strcmp(path, "auth.issuers") == 0) {
        config->issuer_count = 0;
        memset(config->issuers, 0, sizeof config->issuers);
    }
    if (strcmp(path, "cells.groups") == 0)
        memset(&config->trust, 0, sizeof config->trust);
    if (strcmp(path, "diameter.peers") == 0) { /* the list anew */
        config->peer_count = 0;
        memset(config->peers, 0, sizeof config->peers);
    }
    dro_err err = toml_read_value(path, equals + 1, put, &setting, error);
    if (err != DRO_OK)
        fprintf(stderr, "dromiod: --set: %s %s\n", setting.path[0] != '\0' ? setting.path : path, error);
    return err == DRO_OK;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 || strncmp(address, "localhost:", 10) == 0;
}

static bool is_given(const config *config, const char *path)
{
    for (int i = 0; i < KEY_TOTAL; i++)
        if (strcmp(keys[i].path, path) == 0)
            return config->given[i];
    return false;
}

static bool wrong(const char *text)
{
    fprintf(stderr, "dromiod: %s\n", text);
    return false;
}

static bool is_set(const char *path)
{
    return path[0] != '\0';
}

static bool check_tls(config *config)
{
    if (is_set(config->http_tls_certificate) != is_set(config->http_tls_key))
        return wrong("http.tls: certificate and key are set together");
    if (is_set(config->http_tls_client_ca) && (is_set(config->http_tls_ca) || !is_set(config->http_tls_certificate)))
        return wrong("http.tls.client_ca: needs http.tls.certificate and key, and stands in place of http.tls.ca");
    if (is_set(config->http_tls_ca) && !is_set(config->http_tls_certificate))
        return wrong("http.tls.ca: needs http.tls.certificate and key");
    if (is_set(config->diameter_tls_certificate) != is_set(config->diameter_tls_key))
        return wrong("diameter.tls: certificate and key are set together");
    if (is_set(config->diameter_tls_ca) && !is_set(config->diameter_tls_certificate))
        return wrong("diameter.tls.ca: needs diameter.tls.certificate and key");
    if (!is_set(config->diameter_tls_certificate))
        return true;
    for (uint32_t i = 0; i < config->peer_count; i++)
        if (is_set(config->peers[i].address) && !is_set(config->diameter_tls_ca))
            return wrong("diameter.tls.ca: is needed to connect to peers that have an address");
    if (!is_given(config, "diameter.listen"))
        strcpy(config->diameter_listen, "127.0.0.1:5658"); /* RFC 6733 2.1 */
    return true;
}

/* A master key that systemd handed over (LoadCredential=). */
static void credential_key(config *config)
{
    char path[sizeof config->vault_master_key];
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (config->vault_master_key[0] != '\0' || directory == NULL || directory[0] != '/' ||
        snprintf(path, sizeof path, "%s/master.key", directory) >= (int)sizeof path || access(path, F_OK) != 0)
        return;
    memcpy(config->vault_master_key, path, strlen(path) + 1);
}

/* Of a list all must be. */
static bool all_loopback(const char *addresses)
{
    for (const char *at = addresses; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (!is_loopback(at) && strncmp(at, "[::1],", 6) != 0)
            return false;
    }
    return true;
}

static bool check_transport(const config *config)
{
    const char *transport = config->diameter_transport;
    host_addresses addresses;
    if (strcmp(transport, "tcp") != 0 && strcmp(transport, "sctp") != 0 && strcmp(transport, "both") != 0)
        return wrong("diameter.transport: is \"tcp\", \"sctp\" or \"both\"");
    if (strcmp(transport, "tcp") == 0)
        return strchr(config->diameter_listen, ',') == NULL || wrong("diameter.listen: several addresses are for SCTP");
    if (!sctp_is_built())
        return wrong("diameter.transport: this build has no SCTP (meson setup -Dsctp=true)");
    if (is_set(config->diameter_tls_certificate))
        return wrong("diameter.transport: TLS is for TCP only; there is no DTLS over SCTP");
    return host_addresses_parse(config->diameter_listen, &addresses) ||
           wrong("diameter.listen: for SCTP it is address[,address]...:port, numbers of one family, at most 8");
}

static bool check_auth(config *config)
{
    if (!is_set(config->auth_issuer) && snprintf(config->auth_issuer, sizeof config->auth_issuer, "%s", config->t8_api_root) >= (int)sizeof config->auth_issuer)
        return wrong("auth.issuer: t8.api_root is too long for it");
    if (!is_set(config->auth_audience))
        memcpy(config->auth_audience, config->auth_issuer, sizeof config->auth_audience);
    for (uint32_t i = 0; i < config->issuer_count; i++)
        if (!is_set(config->issuers[i].issuer) || !is_set(config->issuers[i].keys))
            return wrong("auth.issuers: each row needs an issuer and a file of keys");
    if (config->auth_key_life < config->auth_token_life)
        return wrong("auth.key_life: is at least auth.token_life");
    return true;
}

static bool check_capif(config *config)
{
    char *root = config->capif.root;
    size_t length = strlen(root);
    if (length > 0 && root[length - 1] == '/')
        root[--length] = '\0';
    if (length > 0 && strncmp(root, "https://", 8) != 0 && strncmp(root, "http://", 7) != 0)
        return wrong("capif.core_function: begins with https:// or http://");
    if (!courier_ranges_are_good(config->capif.allow))
        return wrong("capif.allow: is address ranges such as \"10.0.0.0/8\" with commas between");
    if (is_set(config->capif_tls_certificate) != is_set(config->capif_tls_key))
        return wrong("capif.tls: certificate and key are set together");
    if (is_set(config->capif_registration_secret) && !is_set(config->capif_tls_certificate))
        return wrong("capif.registration_secret: needs capif.tls.certificate and key, whose public key is registered");
    return true;
}

static bool check_apns(const config *config)
{
    if (config->t8_apn[0] != '\0' && !apn_is_valid(config->t8_apn, strlen(config->t8_apn)))
        return wrong("t8.apn: is letters, digits, '-' and '.'");
    if (strcmp(config->t8_without_configuration, "accept") != 0 && strcmp(config->t8_without_configuration, "refuse") != 0)
        return wrong("t8.without_configuration: is \"accept\" or \"refuse\"");
    for (uint32_t i = 0; i < config->apn_count; i++)
        if (config->apns[i].apn[0] == '\0')
            return wrong("t8.apns: each row needs an apn");
    return true;
}

/* And fills in the realms that 3GPP gives to networks. */
static bool check_interworking(config *config)
{
    roaming_policy *policy = &config->interworking;
    if (policy->plmn[0] != '\0' && !plmn_is_valid(policy->plmn))
        return wrong("interworking.plmn: is five or six digits: MCC and MNC");
    if (policy->home_count > 0 && config->host_gates > 1)
        return wrong("interworking.homes: what passes does not go from one gate to another: host.gates is 1");
    for (uint32_t i = 0; i < policy->home_count; i++) {
        roaming_home *home = &policy->homes[i];
        if (home->plmn[0] == '\0')
            return wrong("interworking.homes: each row needs a plmn");
        if (home->realm[0] == '\0')
            plmn_realm(home->plmn, home->realm);
        roaming_prepare(policy);
        if (strcasecmp(home->realm, config->host_realm) == 0)
            return wrong("interworking.homes: a home network has a realm other than host.realm");
        bool is_twice = roaming_of_realm(policy, home->realm, strlen(home->realm)) != (int)i;
        for (uint32_t j = 0; j < i; j++)
            is_twice |= strcmp(policy->homes[j].plmn, home->plmn) == 0;
        if (is_twice)
            return wrong("interworking.homes: two rows have the same plmn or realm");
    }
    return true;
}

static bool check_triggers(const config *config)
{
    if (strspn(config->t8_trigger_sender, "0123456789") != strlen(config->t8_trigger_sender))
        return wrong("t8.trigger_sender: is a number of at most 15 digits, without +");
    return true;
}

static bool check_trust(const config *config)
{
    char error[200];
    return trust_check(&config->trust, (uint32_t)config->cells_max, error, sizeof error) || wrong(error);
}

bool config_has_probation(const config *config)
{
    return config->cells_probation && config->penalty_failures > 0;
}

bool config_has_hss(const config *config)
{
    for (uint32_t i = 0; i < config->peer_count; i++)
        if (config->peers[i].applications & PEER_S6T)
            return true;
    return false;
}

bool config_check(config *config)
{
    if (!check_tls(config) || !check_transport(config))
        return false;
    if (!is_loopback(config->http_listen) && config->http_tls_certificate[0] == '\0')
        return wrong("http.listen: without TLS only loopback is accepted");
    if (!all_loopback(config->diameter_listen) && config->diameter_tls_certificate[0] == '\0' && !config->diameter_plain)
        return wrong("diameter.listen: without TLS only loopback is accepted; set diameter.plain = true to do it all the same");
    if (config->diameter_accept[0] != '\0' && strcmp(config->diameter_accept, "any") != 0)
        return wrong("diameter.accept: is \"any\" or absent");
    if (config->diameter_accept[0] != '\0' && !all_loopback(config->diameter_listen))
        return wrong("diameter.accept: \"any\" is for loopback only");
    if (strcmp(config->cell_sandbox, "on") != 0 && strcmp(config->cell_sandbox, "off") != 0)
        return wrong("cell.sandbox: is \"on\" or \"off\"");
    if (config->bench_load > 0 && config->host_gates == CORE_GATES_MAX)
        return wrong("bench.load: takes the place of a gate: host.gates is too large");
    if (!courier_ranges_are_good(config->t8_allow_callbacks))
        return wrong("t8.allow_callbacks: is a list of address ranges such as \"10.0.0.0/8\"");
    if (config->t8_api_root[0] == '\0')
        snprintf(config->t8_api_root, sizeof config->t8_api_root, "http%s://%s", config->http_tls_certificate[0] != '\0' ? "s" : "", config->http_listen);
    if (!check_auth(config) || !check_capif(config))
        return false;
    for (uint32_t i = 0; i < config->peer_count; i++)
        if (config->peers[i].identity[0] == '\0')
            return wrong("diameter.peers: each peer needs an identity");
    if (!check_apns(config) || !check_trust(config) || !check_triggers(config) || !check_interworking(config))
        return false;
    credential_key(config);
    if (config->vault_master_key[0] == '\0' &&
        snprintf(config->vault_master_key, sizeof config->vault_master_key, "%s/master.key", config->data) >= (int)sizeof config->vault_master_key)
        return wrong("host.data: path too long");
    return true;
}

static const char issuers_text[] = "list of {issuer, audience, keys}: others whose access tokens are taken";
static const char peers_text[] = "list of {identity, realm, address, applications, imsis, apns, realms, requests_per_second}";
static const char homes_text[] = "list of {plmn, realm, hosts, apns, uplink, downlink, reports}: home networks whose subscribers roam here; with a row this host is an IWK-SCEF";
static const char trust_text[] = "list of {name, domains, cpu}: trust groups, each with a cell of its own on each core; cpu: per cent of the core's cell time while others want it too";
static const char apns_text[] = "list of {domain, application, apn, without_configuration, uplink, downlink, over, visited}: the first that fits a configuration gives its APN";

/* A text of the key's value. */
static void digest_key(EVP_MD_CTX *digest, const config *config, const key *key)
{
    const char *field = (const char *)config + key->offset;
    char number[24];
    int64_t value = key->kind == KEY_BOOLEAN ? *(const bool *)field : 0;
    if (key->kind == KEY_COUNT || key->kind == KEY_BYTES)
        memcpy(&value, field, sizeof value);
    snprintf(number, sizeof number, "%lld", (long long)value);
    const char *text = key->kind == KEY_TEXT ? field : number;
    EVP_DigestUpdate(digest, key->path, strlen(key->path) + 1);
    EVP_DigestUpdate(digest, text, strlen(text) + 1);
}

void config_digest(const config *config, char text[CONFIG_DIGEST_TEXT])
{
    uint8_t sum[CONFIG_DIGEST_TEXT / 2];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    text[0] = '\0';
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        return;
    for (size_t i = 0; i < KEY_TOTAL; i++)
        digest_key(digest, config, &keys[i]);
    EVP_DigestUpdate(digest, config->peers, config->peer_count * sizeof config->peers[0]);
    EVP_DigestUpdate(digest, config->apns, config->apn_count * sizeof config->apns[0]);
    EVP_DigestUpdate(digest, &config->trust, sizeof config->trust);
    EVP_DigestUpdate(digest, config->issuers, config->issuer_count * sizeof config->issuers[0]);
    EVP_DigestUpdate(digest, &config->interworking, sizeof config->interworking);
    EVP_DigestFinal_ex(digest, sum, NULL);
    EVP_MD_CTX_free(digest);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(text + 2 * i, 3, "%02x", sum[i]);
}

void config_help(FILE *out)
{
    for (int i = 0; i < KEY_TOTAL; i++)
        fprintf(out, "  %-26s %-18s %s\n", keys[i].path, keys[i].usual, keys[i].text);
    fprintf(out, "  %-26s %-18s %s\n", "diameter.peers", "[]", peers_text);
    fprintf(out, "  %-26s %-18s %s\n", "auth.issuers", "[]", issuers_text);
    fprintf(out, "  %-26s %-18s %s\n", "interworking.homes", "[]", homes_text);
    fprintf(out, "  %-26s %-18s %s\n", "t8.apns", "[]", apns_text);
    fprintf(out, "  %-26s %-18s %s\n", "cells.groups", "[]", trust_text);
}

void config_keys(FILE *out)
{
    static const char *const kinds[] = {
        [KEY_TEXT] = "string", [KEY_COUNT] = "integer", [KEY_BYTES] = "bytes", [KEY_BOOLEAN] = "boolean",
    };
    for (int i = 0; i < KEY_TOTAL; i++) {
        bool is_list = strncmp(keys[i].text, "list of ", strlen("list of ")) == 0; /* TOML's, kept as one text */
        fprintf(out, "%s\t%s\t%s\t%lld\t%lld\t%s\n", keys[i].path, is_list ? "list of strings" : kinds[keys[i].kind], keys[i].usual,
                (long long)keys[i].minimum, (long long)keys[i].maximum, keys[i].text);
    }
    fprintf(out, "diameter.peers\ttables\t[]\t0\t%d\t%s\n", GATE_PEERS_MAX, peers_text);
    fprintf(out, "auth.issuers\ttables\t[]\t0\t%d\t%s\n", ISSUERS_MAX, issuers_text);
    fprintf(out, "interworking.homes\ttables\t[]\t0\t%d\t%s\n", ROAMING_HOMES_MAX, homes_text);
    fprintf(out, "t8.apns\ttables\t[]\t0\t%d\t%s\n", APN_RULES_MAX, apns_text);
    fprintf(out, "cells.groups\ttables\t[]\t0\t%d\t%s\n", TRUST_GROUPS_MAX, trust_text);
}
