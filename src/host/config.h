/* Configuration of dromiod: one table of keys (config.c), from which the help and
 * the manual page come too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "gate/gate.h"
#include "gate/issuers.h"
#include "twin/apn.h"
#include "twin/budget.h"
#include "twin/trust.h"

enum { CONFIG_KEYS_MAX = 192 };

typedef struct config {
    char data[1024];
    char host_identity[256], host_realm[256];
    int64_t host_gates, host_cores, cells_max;
    bool cells_probation;
    trust_policy trust;
    bool host_pin;
    char http_listen[128], http_tls_certificate[1024], http_tls_key[1024], http_tls_ca[1024], http_tls_client_ca[1024];
    char diameter_listen[512], diameter_accept[16], diameter_transport[8], diameter_tls_certificate[1024], diameter_tls_key[1024], diameter_tls_ca[1024];
    bool diameter_plain;
    gate_peer_config peers[GATE_PEERS_MAX];
    uint32_t peer_count;
    roaming_policy interworking;
    int64_t downlink_packets, downlink_bytes, downlink_size, downlink_age, downlink_memory;
    int64_t contexts_memory, columns_memory, log_segment, log_timeline, log_replay;
    char cell_sandbox[8];
    char vault_master_key[1024];
    char vault_master_key_before[1024];
    char console_directory[1024];
    char t8_apn[APN_TEXT_MAX + 1], t8_without_configuration[8];
    apn_rule apns[APN_RULES_MAX];
    uint32_t apn_count;
    char t8_api_root[512], t8_allow_callbacks[1024];
    char t8_trigger_sender[16];
    int64_t t8_trigger_port;
    int64_t budgets[BUDGET_SCOPES][BUDGET_VALUES];
    int64_t penalty_failures, penalty_forget, penalty_first, penalty_longest;
    int64_t quarantine_twins, quarantine_percent, quarantine_seconds, quarantine_kills;
    int64_t schedule_pause;
    int64_t t8_group_guard, t8_reliable_data_timer;
    bool t8_reliable_data_service;
    issuer_config issuers[ISSUERS_MAX];
    uint32_t issuer_count;
    char auth_issuer[256], auth_audience[256];
    int64_t limits_requests, limits_burst, limits_downlinks, limits_configurations, limits_subscriptions;
    int64_t auth_token_life, auth_key_life, auth_clock_skew;
    bool auth_provision_scope;
    char capif_tls_certificate[1024], capif_tls_key[1024], capif_tls_ca[1024], capif_registration_secret[1024];
    capif_config capif;
    char log_level[16];
    bool given[CONFIG_KEYS_MAX]; /* that was set */
    bool charging_enabled, charging_imsi;
    char charging_directory[1024];
    int64_t charging_file_bytes, charging_file_age, charging_backlog;
    bool audit_enabled, audit_twins, audit_t8, audit_commands;
    char audit_directory[1024];
    int64_t audit_file_bytes, audit_file_age, audit_backlog;
    bool bench_no_log;
    int64_t bench_load, bench_window, bench_downlinks;
} config;

void config_defaults(config *config);
/* Reads a file. False after one line on standard error naming file, line and key. */
bool config_read_file(config *config, const char *path);
/* "section.key=value". */
bool config_set(config *config, const char *assignment);
/* What only all keys together tell. */
bool config_check(config *config);
/* Is an HSS among the peers? */
bool config_has_hss(const config *config);
bool config_has_probation(const config *config); /* core/cells.h; it is a part of what penalties are */
enum { CONFIG_DIGEST_TEXT = 65 };
/* SHA-256 of all keys, in hexadecimal: equal for equal configurations of one build. */
void config_digest(const config *config, char text[CONFIG_DIGEST_TEXT]);
/* One line a key: name, default, text. */
void config_help(FILE *out);
/* The table for programs that make manual pages and samples of it: name, kind, default,
 * least, most and text, with tabs between. */
void config_keys(FILE *out);
