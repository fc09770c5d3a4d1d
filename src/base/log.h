/* Log lines for people and machines: one line each on standard error,
 *   level room event key=value ... "free text"
 * Never an IMSI, MSISDN, secret or token. */
#pragma once

typedef enum dro_log_level { DRO_LOG_DEBUG, DRO_LOG_INFO, DRO_LOG_WARN, DRO_LOG_ERROR, DRO_LOG_NOTHING } dro_log_level;

/* The room's name is put in front of each line; `least` drops what is below it; DRO_LOG_NOTHING is for that alone. */
void dro_log_setup(const char *room, dro_log_level least);
dro_log_level dro_log_least(void);
void dro_log(dro_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define dro_debug(...) dro_log(DRO_LOG_DEBUG, __VA_ARGS__)
#define dro_info(...) dro_log(DRO_LOG_INFO, __VA_ARGS__)
#define dro_warn(...) dro_log(DRO_LOG_WARN, __VA_ARGS__)
#define dro_error(...) dro_log(DRO_LOG_ERROR, __VA_ARGS__)
