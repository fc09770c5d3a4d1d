/* Admit in a process of its own: limits, the way of the result to who asked. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/builder.h"
#include "base/cursor.h"
#include "cell/admit_private.h"
#include "cell/artifact.h"

static const char magic[8] = { 'D', 'R', 'O', 'M', 'A', 'D', 'M', '1' };

enum {
    RESULT_FIXED_MAX = 4096 + ADMIT_REASONS_MAX * MODEL_REASON_MAX + ADMIT_IMPORTS_MAX * 32,
    ARTIFACT_MAX = ARTIFACT_CODE_MAX + ADMIT_MEMORY_MAX + 4096,
    RESULT_MAX = ARTIFACT_MAX + MODEL_FLAT_MAX + MODEL_JSON_MAX + RESULT_FIXED_MAX,
    EXIT_FAILED = 1,
};

/* ---- The flat form ---- */

static void write_text(dro_builder *out, const char *text)
{
    dro_builder_le(out, strlen(text), 1);
    dro_builder_text(out, text);
}

static void write_info(dro_builder *out, const admit_info *info)
{
    dro_builder_le(out, info->memory_bytes, 4);
    dro_builder_le(out, info->baseline_bytes, 4);
    dro_builder_le(out, info->is_exact, 1);
    dro_builder_le(out, info->is_fresh, 1);
    dro_builder_le(out, info->exports, 1);
    dro_builder_le(out, info->import_count, 1);
    for (uint32_t i = 0; i < info->import_count; i++)
        write_text(out, info->imports[i]);
}

dro_err admit_result_flatten(const admit_result *result, uint8_t **bytes, size_t *length)
{
    size_t capacity = RESULT_FIXED_MAX + MODEL_FLAT_MAX + result->model_json_length + result->artifact_length;
    uint8_t *room = malloc(capacity);
    if (room == NULL)
        return DRO_NOMEM;
    dro_builder out = dro_builder_over(room, capacity);
    dro_builder_bytes(&out, magic, sizeof magic);
    dro_builder_le(&out, result->reason_count, 1);
    for (uint32_t i = 0; i < result->reason_count; i++)
        write_text(&out, result->reasons[i]);
    if (result->reason_count == 0) {
        write_info(&out, &result->info);
        model_write(&out, &result->info.model);
        dro_builder_le(&out, result->model_json_length, 4);
        dro_builder_bytes(&out, result->model_json, result->model_json_length);
        dro_builder_le(&out, result->artifact_length, 4);
        dro_builder_bytes(&out, result->artifact, result->artifact_length);
    }
    if (out.err != DRO_OK) {
        free(room);
        return out.err;
    }
    *bytes = room;
    *length = dro_builder_length(&out);
    return DRO_OK;
}

/* A text of printable ASCII that fits with its NUL. */
static void read_text(dro_cursor *in, char *text, size_t capacity)
{
    size_t length = (size_t)dro_cursor_le(in, 1);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    if (bytes == NULL)
        return;
    if (length >= capacity) {
        in->err = DRO_CORRUPT;
        return;
    }
    memcpy(text, bytes, length);
    text[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 && text[i] >= 0)
            text[i] = ' ';
}

static uint8_t read_upto(dro_cursor *in, uint8_t most)
{
    uint64_t number = dro_cursor_le(in, 1);
    if (in->err == DRO_OK && number > most)
        in->err = DRO_CORRUPT;
    return in->err == DRO_OK ? (uint8_t)number : 0;
}

static void read_info(dro_cursor *in, admit_info *info)
{
    info->memory_bytes = (uint32_t)dro_cursor_le(in, 4);
    info->baseline_bytes = (uint32_t)dro_cursor_le(in, 4);
    info->is_exact = read_upto(in, 1);
    info->is_fresh = read_upto(in, 1);
    info->exports = read_upto(in, ADMIT_EXPORTS_STATE | ADMIT_EXPORTS_COMPUTE);
    info->import_count = read_upto(in, ADMIT_IMPORTS_MAX);
    for (uint32_t i = 0; i < info->import_count; i++)
        read_text(in, info->imports[i], sizeof info->imports[i]);
}

static uint8_t *read_copy(dro_cursor *in, uint32_t most, size_t *length)
{
    *length = (size_t)dro_cursor_le(in, 4);
    if (in->err == DRO_OK && *length > most)
        in->err = DRO_CORRUPT;
    const uint8_t *bytes = dro_cursor_bytes(in, *length);
    uint8_t *copy = bytes != NULL ? malloc(*length + 1) : NULL;
    if (copy == NULL) {
        in->err = in->err == DRO_OK ? DRO_NOMEM : in->err;
        *length = 0;
        return NULL;
    }
    memcpy(copy, bytes, *length);
    copy[*length] = '\0';
    return copy;
}

static dro_err read_admitted(dro_cursor *in, admit_result *result)
{
    artifact artifact;
    read_info(in, &result->info);
    dro_err err = in->err == DRO_OK ? model_read(&result->info.model, in) : in->err;
    if (err != DRO_OK)
        return DRO_CORRUPT;
    result->model_json = (char *)read_copy(in, MODEL_JSON_MAX, &result->model_json_length);
    result->artifact = read_copy(in, ARTIFACT_MAX, &result->artifact_length);
    if (in->err == DRO_NOMEM)
        return DRO_NOMEM;
    if (in->err != DRO_OK || artifact_read(&artifact, result->artifact, result->artifact_length) != DRO_OK)
        return DRO_CORRUPT;
    bool agrees = artifact.info.memory_bytes == result->info.memory_bytes &&
                  artifact.info.property_count == result->info.model.property_count &&
                  artifact.info.event_count == result->info.model.event_count;
    return agrees ? DRO_OK : DRO_CORRUPT;
}

dro_err admit_result_unflatten(admit_result *result, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    memset(result, 0, sizeof *result);
    const uint8_t *start = dro_cursor_bytes(&in, sizeof magic);
    if (start == NULL || memcmp(start, magic, sizeof magic) != 0)
        return DRO_CORRUPT;
    result->reason_count = read_upto(&in, ADMIT_REASONS_MAX);
    for (uint32_t i = 0; i < result->reason_count; i++)
        read_text(&in, result->reasons[i], sizeof result->reasons[i]);
    dro_err err = in.err == DRO_OK ? DRO_OK : DRO_CORRUPT;
    if (err == DRO_OK && result->reason_count == 0)
        err = read_admitted(&in, result);
    if (err == DRO_OK && dro_cursor_left(&in) != 0)
        err = DRO_CORRUPT;
    if (err != DRO_OK)
        admit_result_free(result);
    return err;
}

/* ---- The process ---- */

static bool limit(int resource, rlim_t value)
{
    struct rlimit rlimit = { value, value };
    return setrlimit(resource, &rlimit) == 0;
}

/* Compiled code needs address space for its parts, not memory: data is what is limited. */
static dro_err limits_set(void)
{
    bool are_set = limit(RLIMIT_CPU, ADMIT_CPU_S) && limit(RLIMIT_DATA, ADMIT_ADDRESS_SPACE) &&
                   limit(RLIMIT_FSIZE, RESULT_MAX) && limit(RLIMIT_CORE, 0) &&
                   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
    return are_set ? DRO_OK : DRO_DENIED;
}

static dro_err read_image(int from, uint8_t **bytes, size_t *length)
{
    struct stat status;
    if (fstat(from, &status) != 0 || status.st_size < 0)
        return DRO_IO;
    *length = status.st_size <= ADMIT_WASM_MAX ? (size_t)status.st_size : ADMIT_WASM_MAX + 1;
    *bytes = malloc(*length + 1);
    if (*bytes == NULL)
        return DRO_NOMEM;
    for (size_t done = 0; done < *length;) {
        ssize_t count = pread(from, *bytes + done, *length - done, (off_t)done);
        if (count <= 0)
            return DRO_IO;
        done += (size_t)count;
    }
    return DRO_OK;
}

static dro_err write_result(int to, const uint8_t *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = pwrite(to, bytes + done, length - done, (off_t)done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return DRO_IO;
        done += (size_t)count;
    }
    return DRO_OK;
}

/* What dromiod had open besides is none of this process's business. */
static dro_err others_close(int one, int other)
{
    unsigned low = (unsigned)(one < other ? one : other), high = (unsigned)(one < other ? other : one);
    const struct { unsigned from, to; } gaps[] = { { 3, low - 1 }, { low + 1, high - 1 }, { high + 1, ~0u } };
    for (int i = 0; i < 3; i++)
        if (gaps[i].from <= gaps[i].to && close_range(gaps[i].from, gaps[i].to, 0) != 0)
            return DRO_DENIED;
    return DRO_OK;
}

int admit_process(int wasm, int out, const admit_options *options)
{
    static uint8_t *image, *flat; /* all memory goes with the process */
    static admit_result *result;
    size_t length = 0, flat_length = 0;
    result = calloc(1, sizeof *result);
    prctl(PR_SET_NAME, "dromiod: admit", 0, 0, 0);
    dro_err err = result != NULL ? limits_set() : DRO_NOMEM;
    if (err == DRO_OK && wasm > 2 && out > 2)
        err = others_close(wasm, out);
    if (err == DRO_OK)
        err = admit_confine();
    if (err == DRO_OK)
        err = read_image(wasm, &image, &length);
    if (err == DRO_OK)
        err = admit_image_staged(image, length, options, admit_confine_compiler, result);
    if (err == DRO_OK)
        err = admit_result_flatten(result, &flat, &flat_length);
    if (err == DRO_OK)
        err = write_result(out, flat, flat_length);
    return err == DRO_OK ? 0 : EXIT_FAILED;
}

static dro_err died(admit_result *result, int signal_number)
{
    char text[MODEL_REASON_MAX];
    memset(result, 0, sizeof *result);
    if (signal_number == SIGXCPU || signal_number == SIGKILL)
        snprintf(text, sizeof text, "the image needs more than %d s of processor time or too much memory to compile",
                 ADMIT_CPU_S);
    else
        snprintf(text, sizeof text, "looking at the image ended with signal %d", signal_number);
    admit_reason(result, text);
    return DRO_OK;
}

dro_err admit_result_read(int out, int wait_status, admit_result *result)
{
    struct stat status;
    memset(result, 0, sizeof *result);
    if (WIFSIGNALED(wait_status))
        return died(result, WTERMSIG(wait_status));
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)
        return DRO_IO;
    if (fstat(out, &status) != 0 || status.st_size <= 0 || status.st_size > RESULT_MAX)
        return DRO_CORRUPT;
    /* A private copy: the writer is gone, but the descriptor may have been passed on. */
    uint8_t *bytes = malloc((size_t)status.st_size);
    if (bytes == NULL)
        return DRO_NOMEM;
    dro_err err = pread(out, bytes, (size_t)status.st_size, 0) == status.st_size ? DRO_OK : DRO_IO;
    if (err == DRO_OK)
        err = admit_result_unflatten(result, bytes, (size_t)status.st_size);
    free(bytes);
    return err;
}
