#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/t6a.h"

enum { EXIT_USAGE = 2, OPTION_BASE = 1000 };

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_U32, OPTION_U64, OPTION_NUMBER };

typedef struct option_row {
    const char *name, *value, *help;
    enum option_kind kind;
    size_t offset, size;
    double least, most;
} option_row;

#define AT(member) offsetof(options, member), sizeof((options *)0)->member
static const option_row rows[] = {
    { "connect", "ADDRESS", "the host's Diameter listener, host:port (127.0.0.1:3868)", OPTION_TEXT, AT(connect) },
    { "host", "ADDRESS", "the same", OPTION_TEXT, AT(connect) },
    { "tls-ca", "FILE", "speak TLS; the host's certificate is of one of these authorities (PEM)", OPTION_TEXT, AT(tls_ca) },
    { "tls-certificate", "FILE", "what the MMEs show; its DNS names are all their identities", OPTION_TEXT, AT(tls_certificate) },
    { "tls-key", "FILE", "its private key", OPTION_TEXT, AT(tls_key) },
    { "tls-name", "NAME", "a DNS name of the host's certificate (scef.dromio.test)", OPTION_TEXT, AT(tls_name) },
    { "identity", "NAME", "Origin-Host of the first MME (mme.epc.dromio.test)", OPTION_TEXT, AT(identity) },
    { "realm", "NAME", "Origin-Realm of the MMEs (epc.dromio.test)", OPTION_TEXT, AT(realm) },
    { "plmn", "DIGITS", "the network here, where it is not the devices' own: MCC and MNC (that of their IMSIs)", OPTION_TEXT, AT(plmn) },
    { "mmes", "N", "number of MMEs, a connection each (1)", OPTION_U32, AT(mmes), 1, OPTIONS_MMES_MAX },
    { "devices", "N", "number of devices (1000)", OPTION_U32, AT(devices), 1, OPTIONS_DEVICES_MAX },
    { "imsi-first", "DIGITS", "IMSI of the first device (001010000000001); the others follow", OPTION_TEXT, AT(imsi_first) },
    { "apn", "NAME", "Service-Selection (iot)", OPTION_TEXT, AT(apn) },
    { "period", "SECONDS", "between two readings of a device, in its own time (600)", OPTION_U32, AT(period_s), 1, 65535 },
    { "active", "SECONDS", "a device stays reachable after an uplink, in its own time (10)", OPTION_U32, AT(active_s), 1, 3600 },
    { "speed", "N", "the devices' time runs N times as fast (1); times on the wire are of the wall clock", OPTION_NUMBER, AT(speed), 0.001, 1e6 },
    { "loss", "P", "a reading, or a downlink, is lost over the air with this probability (0)", OPTION_NUMBER, AT(loss), 0, 1 },
    { "duplicate", "P", "an uplink is sent twice, with the same End-to-End id (0)", OPTION_NUMBER, AT(duplicate), 0, 1 },
    { "late", "P", "a reading arrives after the one that follows it (0)", OPTION_NUMBER, AT(late), 0, 1 },
    { "restart", "P", "a device restarts before a reading: its sequence begins at 0 (0)", OPTION_NUMBER, AT(restart), 0, 1 },
    { "exchange", "P", "a device that restarts is another piece of equipment (IMEI) with this probability (0)", OPTION_NUMBER, AT(exchange), 0, 1 },
    { "move", "P", "a device moves to another MME before a reading (0)", OPTION_NUMBER, AT(move), 0, 1 },
    { "edrx", "P", "share of devices that are paged (eDRX) instead of asleep (PSM) (0.2)", OPTION_NUMBER, AT(edrx), 0, 1 },
    { "window", "N", "requests in flight for each MME (256)", OPTION_U32, AT(window), 1, OPTIONS_WINDOW_MAX },
    { "for", "SECONDS", "stop after this time of the wall clock (0: until a signal)", OPTION_NUMBER, AT(for_s), 0, 1e9 },
    { "seed", "N", "of all that is random (1)", OPTION_U64, AT(seed) },
    { "hss", "N", "HSSs beside the MMEs, a connection each (0)", OPTION_U32, AT(hsses), 0, OPTIONS_HSSES_MAX },
    { "hss-identity", "NAME", "Origin-Host of the first HSS (hss.epc.dromio.test)", OPTION_TEXT, AT(hss_identity) },
    { "hss-connect", "ADDRESS", "where HSSs and the MTC-IWF connect, where their SCEF is not the host of the MMEs: roaming (that of the MMEs)", OPTION_TEXT, AT(hss_connect) },
    { "hss-realm", "NAME", "Origin-Realm of HSSs and the MTC-IWF (that of the MMEs)", OPTION_TEXT, AT(hss_realm) },
    { "hss-names", "PATTERN", "External Identifiers that the HSSs know; % is the number of a device (thermo-%@demo.example)", OPTION_TEXT, AT(hss_names) },
    { "hss-grant", "SECONDS", "what an HSS grants ends so long after (0: never)", OPTION_NUMBER, AT(hss_grant_s), 0, 1e9 },
    { "hss-refuse", "P", "share of the devices that are refused (0)", OPTION_NUMBER, AT(hss_refuse), 0, 1 },
    { "hss-revoke", "SECONDS", "every so often an HSS revokes what it has granted to a device (0: never)", OPTION_NUMBER, AT(hss_revoke_s), 0, 1e9 },
    { "hss-group", "NAME", "External Group Identifier of all devices (all@demo.example)", OPTION_TEXT, AT(hss_group) },
    { "hss-segment", "N", "members of the group in one message (10)", OPTION_U32, AT(hss_segment), 1, OPTIONS_SEGMENT_MAX },
    { "iwf", NULL, "an MTC-IWF beside them: devices can be triggered", OPTION_FLAG, AT(iwf) },
    { "iwf-identity", "NAME", "its Origin-Host (iwf.epc.dromio.test)", OPTION_TEXT, AT(iwf_identity) },
    { "lose", "N", "devices that get lost in an hour of the wall clock (0)", OPTION_NUMBER, AT(lose), 0, 1e9 },
    { "lost", "SECONDS", "until a lost one is back (60)", OPTION_NUMBER, AT(lost_s), 0.1, 1e9 },
    { "attach-only", NULL, "attach all devices, then leave", OPTION_FLAG, AT(attach_only) },
    { "oracle", "FILE", "one line of JSON a device at the end, appended; a run begins where the file's last one ended", OPTION_TEXT, AT(oracle) },
    { "temperatures", "DIR", "where sf-temps.csv and seattle-temps.csv are ($DROMIO_DEPS/share)", OPTION_TEXT, AT(temperatures) },
    { "help", NULL, "this text", OPTION_FLAG, AT(help) },
    { "version", NULL, "the version", OPTION_FLAG, AT(version) },
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

void options_help(void)
{
    printf("usage: dromio-sim [OPTION]...\n"
           "A simulated NB-IoT network: MMEs that speak Diameter T6a to a host, their devices, HSSs that speak S6t, an MTC-IWF that speaks Tsp.\n\n");
    for (int i = 0; i < ROW_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s%s%s", rows[i].name, rows[i].value != NULL ? " " : "",
                 rows[i].value != NULL ? rows[i].value : "");
        printf("  %-22s %s\n", name, rows[i].help);
    }
    printf("  %-22s %s\n", "-o text|json", "form of the summary on standard output (json)");
    printf("\nProgress goes to standard error. Exit: 0 ok, 1 failed, 2 usage, 9 host unreachable all the time.\n");
}

static bool take_number(const option_row *row, const char *text, options *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < row->least || value > row->most)
        return false;
    if (row->kind == OPTION_NUMBER) {
        memcpy((char *)out + row->offset, &value, sizeof value);
        return true;
    }
    uint32_t whole = (uint32_t)value;
    memcpy((char *)out + row->offset, &whole, sizeof whole);
    return (double)whole == value;
}

static bool take(const option_row *row, const char *text, options *out)
{
    char *at = (char *)out + row->offset, *end;
    uint64_t whole;
    switch (row->kind) {
    case OPTION_FLAG:
        *at = true;
        return true;
    case OPTION_TEXT:
        if (strlen(text) >= row->size || text[0] == '\0')
            return false;
        memcpy(at, text, strlen(text) + 1);
        return true;
    case OPTION_U64:
        whole = strtoull(text, &end, 10);
        memcpy(at, &whole, sizeof whole);
        return end != text && *end == '\0';
    case OPTION_U32:
    case OPTION_NUMBER:
        return take_number(row, text, out);
    }
    return false;
}

static void defaults(options *out)
{
    *out = (options){ .connect = "127.0.0.1:3868", .identity = "mme.epc.dromio.test", .realm = "epc.dromio.test",
                      .tls_name = "scef.dromio.test", .imsi_first = "001010000000001", .apn = "iot", .mmes = 1, .devices = 1000, .period_s = 600,
                      .window = 256, .active_s = 10, .seed = 1, .edrx = 0.2, .speed = 1,
                      .hss_identity = "hss.epc.dromio.test", .hss_names = "thermo-%@demo.example", .hss_group = "all@demo.example", .hss_segment = 10,
                      .iwf_identity = "iwf.epc.dromio.test", .lost_s = 60 };
    const char *deps = getenv("DROMIO_DEPS"), *home = getenv("HOME");
    if (deps != NULL)
        snprintf(out->temperatures, sizeof out->temperatures, "%s/share", deps);
    else
        snprintf(out->temperatures, sizeof out->temperatures, "%s/.cache/dromio/deps/share", home != NULL ? home : "");
}

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "dromio-sim: %s %s (--help lists the options)\n", what, which);
    return EXIT_USAGE;
}

/* What the options say together. */
static int check(const options *out)
{
    size_t digits = strspn(out->imsi_first, "0123456789");
    if (digits != strlen(out->imsi_first) || digits < 6 || digits > 15)
        return complain("an IMSI is 6 to 15 digits, not", out->imsi_first);
    double last = strtod(out->imsi_first, NULL) + out->devices - 1;
    if (last >= pow(10, (double)digits))
        return complain("too many devices behind", out->imsi_first);
    size_t network = strlen(out->plmn);
    if (network != 0 && (strspn(out->plmn, "0123456789") != network || network < 5))
        return complain("a network is 5 or 6 digits, not", out->plmn);
    const char *number = strchr(out->hss_names, '%');
    if (number == NULL || strchr(number + 1, '%') != NULL)
        return complain("--hss-names has one % in it, not", out->hss_names);
    enum { REST_MAX = 700 }; /* of a NIDD-Information-Request: names of sane length */
    if (out->hss_segment * (S6T_MEMBER_MAX + 9 + strlen(out->hss_names)) + REST_MAX > T6A_REQUEST_MAX)
        return complain("--hss-segment is too large for names such as", out->hss_names);
    if ((out->tls_certificate[0] == '\0') != (out->tls_key[0] == '\0'))
        return complain("--tls-certificate and --tls-key are given together,", "or neither");
    if (out->tls_certificate[0] != '\0' && out->tls_ca[0] == '\0')
        return complain("--tls-certificate needs", "--tls-ca");
    if (strrchr(out->connect, ':') == NULL)
        return complain("an address is host:port, not", out->connect);
    if (strrchr(out->hss_connect, ':') == NULL)
        return complain("an address is host:port, not", out->hss_connect);
    return 0;
}

int options_read(options *out, int argc, char **argv)
{
    struct option long_options[ROW_COUNT + 1] = { 0 };
    for (int i = 0; i < ROW_COUNT; i++)
        long_options[i] = (struct option){ rows[i].name, rows[i].kind == OPTION_FLAG ? no_argument : required_argument,
                                           NULL, OPTION_BASE + i };
    defaults(out);
    int got;
    while ((got = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
        if (got == 'h')
            out->help = true;
        else if (got == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0))
            out->text = optarg[0] == 't';
        else if (got == 'o')
            return complain("-o takes text or json, not", optarg);
        else if (got < OPTION_BASE)
            return EXIT_USAGE; /* getopt_long has said why */
        else if (!take(&rows[got - OPTION_BASE], optarg, out))
            return complain("bad value for --", rows[got - OPTION_BASE].name);
    }
    if (optind < argc)
        return complain("unexpected argument", argv[optind]);
    if (out->hss_connect[0] == '\0')
        memcpy(out->hss_connect, out->connect, sizeof out->hss_connect);
    if (out->hss_realm[0] == '\0')
        memcpy(out->hss_realm, out->realm, sizeof out->hss_realm);
    return out->help || out->version ? 0 : check(out);
}
