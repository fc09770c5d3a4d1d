#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "moment.h"

enum { TELL_MS = 500 };

void progress_begin(progress *progress, const char *doing, uint64_t expected)
{
    *progress = (struct progress){ .doing = doing, .expected = expected, .told_ms = moment_ms(), .is_shown = isatty(STDERR_FILENO) };
}

void progress_at(progress *progress, uint64_t bytes)
{
    int64_t now = progress->is_shown ? moment_ms() : 0;
    if (!progress->is_shown || now - progress->told_ms < TELL_MS)
        return;
    progress->told_ms = now;
    progress->is_line = true;
    fprintf(stderr, "\r%s: %.1f MiB", progress->doing, (double)bytes / (1 << 20));
    if (progress->expected > bytes)
        fprintf(stderr, " of at most %.1f MiB ", (double)progress->expected / (1 << 20));
    fputs("\033[K", stderr);
    fflush(stderr);
}

void progress_end(progress *progress)
{
    if (progress->is_line)
        fputs("\r\033[K", stderr);
    progress->is_line = false;
}
