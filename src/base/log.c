#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static char room_name[32] = "dromiod";
static dro_log_level least_level = DRO_LOG_INFO;

void dro_log_setup(const char *room, dro_log_level least)
{
    snprintf(room_name, sizeof room_name, "%s", room);
    least_level = least;
}

dro_log_level dro_log_least(void)
{
    return least_level;
}

void dro_log(dro_log_level level, const char *format, ...)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    if (level < least_level)
        return;
    char line[1024];
    char when[DRO_TIME_TEXT];
    dro_time_text(dro_clock_system()->wall_ms(dro_clock_system()), when);
    int n = snprintf(line, sizeof line, "%s %-5s %s: ", when, names[level], room_name);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, arguments);
    va_end(arguments);
    size_t length = (size_t)n + (more > 0 ? (size_t)more : 0);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    for (size_t i = 0; i < length; i++) /* what a peer sent may be inside: keep it on one line */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}
