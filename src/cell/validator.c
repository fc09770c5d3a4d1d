/* The second validator: wabt's wasm-validate, a program of other authors than the
 * engine's, in a process with limits, fed from a memfd. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/admit_private.h"

enum { IMAGE_FD = 3, OUTPUT_MAX = 8192, FILES_MAX = 8, EXIT_NOT_STARTED = 126, FILE_BYTES_MAX = 1024 * 1024 };

static void limit(int resource, rlim_t value)
{
    struct rlimit rlimit = { value, value };
    if (setrlimit(resource, &rlimit) != 0)
        _exit(EXIT_NOT_STARTED);
}

_Noreturn static void run_program(int image, int output)
{
    /* What our own reader accepts: nothing that wabt leaves off by default. */
    char *const arguments[] = { (char[]){ "wasm-validate" }, (char[]){ "--ignore-custom-section-errors" },
                                (char[]){ "/proc/self/fd/3" }, NULL };
    char *const environment[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" }, (char[]){ "LC_ALL=C" }, NULL };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int kept = fcntl(image, F_DUPFD, FILES_MAX), out = fcntl(output, F_DUPFD, FILES_MAX);
    if (null < 0 || kept < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        dup2(kept, IMAGE_FD) < 0 || close_range(IMAGE_FD + 1, ~0u, 0) != 0)
        _exit(EXIT_NOT_STARTED);
    limit(RLIMIT_CPU, ADMIT_CPU_S);
    limit(RLIMIT_AS, ADMIT_ADDRESS_SPACE);
    limit(RLIMIT_NOFILE, FILES_MAX);
    limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
    limit(RLIMIT_CORE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(EXIT_NOT_STARTED);
    execve(WASM_VALIDATE, arguments, environment);
    execvpe("wasm-validate", arguments, environment);
    _exit(EXIT_NOT_STARTED);
}

/* "/proc/self/fd/3:0000038: error: what", or as newer versions say "0000038: error: what", becomes "second validator, offset 0x38: what". */
static void tell_line(const char *line, wasm_reason_fn reason, void *context)
{
    char text[WASM_REASON_MAX];
    unsigned long offset;
    int used = 0;
    bool has_offset = sscanf(line, "/proc/self/fd/3:%lx: error: %n", &offset, &used) == 1 && used > 0;
    if (!has_offset)
        has_offset = sscanf(line, "%lx: error: %n", &offset, &used) == 1 && used > 0;
    if (has_offset)
        snprintf(text, sizeof text, "second validator, offset 0x%lx: %s", offset, line + used);
    else
        snprintf(text, sizeof text, "second validator: %s", line);
    for (char *at = text; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            *at = ' ';
    reason(context, text);
}

static void tell_output(char *output, wasm_reason_fn reason, void *context)
{
    char *rest = NULL;
    for (char *line = strtok_r(output, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        tell_line(line, reason, context);
}

static size_t read_all(int from, char *output, size_t capacity)
{
    size_t length = 0;
    char rest[512];
    for (;;) {
        size_t room = capacity - 1 - length;
        ssize_t count = room > 0 ? read(from, output + length, room) : read(from, rest, sizeof rest);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        if (room > 0)
            length += (size_t)count;
    }
    output[length] = '\0';
    return length;
}

static int image_file(const uint8_t *wasm, size_t length)
{
    int image = memfd_create("image", MFD_CLOEXEC);
    for (size_t done = 0; image >= 0 && done < length;) {
        ssize_t count = write(image, wasm + done, length - done);
        if (count <= 0) {
            close(image);
            return -1;
        }
        done += (size_t)count;
    }
    return image;
}

dro_err validator_run(const uint8_t *wasm, size_t length, wasm_reason_fn reason, void *context)
{
    char output[OUTPUT_MAX];
    int pipe_ends[2] = { -1, -1 }, status = 0;
    int image = image_file(wasm, length);
    if (image < 0 || pipe2(pipe_ends, O_CLOEXEC) != 0) {
        if (image >= 0)
            close(image);
        return DRO_IO;
    }
    pid_t child = fork();
    if (child == 0)
        run_program(image, pipe_ends[1]);
    close(image);
    close(pipe_ends[1]);
    if (child > 0)
        read_all(pipe_ends[0], output, sizeof output);
    close(pipe_ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return DRO_IO;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_STARTED)
        return DRO_UNSUPPORTED; /* wabt is not installed */
    if (WIFSIGNALED(status))
        reason(context, "second validator: it needed too much time or memory");
    else if (WEXITSTATUS(status) != 0 && output[0] != '\0')
        tell_output(output, reason, context);
    else if (WEXITSTATUS(status) != 0)
        reason(context, "second validator: it refuses the image without saying why");
    return DRO_OK;
}
