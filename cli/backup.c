/* Backup: takes one of a running host, checks it while it comes and once more on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup.h"
#include "commands.h"
#include "moment.h"
#include "progress.h"
#include "store/data_layout.h"
#include "stored.h"

enum { READ_BYTES = 256 * 1024 };

static const char key_note[] =
    "The master key is NOT in it, and without the key nobody can read it: keep a copy of the host's master.key "
    "(host.data/master.key, or vault.master_key), but not where the backups are.";

/* ---- what can be said of one ---- */

bool backup_read(int fd, const char *name, archive_check *check)
{
    char *buffer = malloc(READ_BYTES);
    struct stat stat;
    progress progress;
    ssize_t got = buffer == NULL ? -1 : 1;
    if (!archive_check_init(check) || buffer == NULL || fstat(fd, &stat) != 0) {
        free(buffer);
        cli_fail(EXIT_FAILED, "%s: no memory", name);
        return false;
    }
    progress_begin(&progress, "checking", (uint64_t)stat.st_size);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    bool is_fine = true;
    while (is_fine && !moment_is_interrupted() && (got = pread(fd, buffer, READ_BYTES, (off_t)check->bytes)) > 0) {
        is_fine = archive_check_feed(check, buffer, (size_t)got);
        progress_at(&progress, check->bytes);
    }
    progress_end(&progress);
    free(buffer);
    if (got < 0) {
        cli_fail(EXIT_FAILED, "%s cannot be read: %s", name, strerror(errno));
        return false;
    }
    if (is_fine && archive_check_end(check))
        return true;
    cli_fail(EXIT_FAILED, "%s: %s", name, check->problem);
    return false;
}

/* The manifest: a format we know? */
static int64_t manifest_number(const archive_check *check, const char *name)
{
    yyjson_doc *doc = yyjson_read(check->manifest.bytes, check->manifest.length, 0);
    int64_t number = yyjson_get_sint(yyjson_obj_get(yyjson_doc_get_root(doc), name));
    yyjson_doc_free(doc);
    return number;
}

uint32_t backup_layout(const archive_check *check)
{
    int64_t layout = manifest_number(check, "layout");
    return layout < 0 || layout > UINT32_MAX ? UINT32_MAX : (uint32_t)layout;
}

static bool manifest_is_known(const char *name, const archive_check *check)
{
    int64_t format = manifest_number(check, "format");
    if (backup_layout(check) > DATA_LAYOUT) {
        cli_fail(EXIT_FAILED, "%s is of a newer dromiod: it has layout %" PRIu32 ", this dromio knows layouts up to %d: use the one of the host it was taken from",
                 name, backup_layout(check), DATA_LAYOUT);
        return false;
    }
    if (format != ARCHIVE_FORMAT)
        cli_fail(EXIT_FAILED, "%s has format %" PRId64 ", this dromio knows %d: use the one of the host it was taken from", name,
                 format, ARCHIVE_FORMAT);
    return format == ARCHIVE_FORMAT;
}

bool backup_check(int fd, const char *name, const char *key, const archive_check *check, stored *files, stored_logs *found)
{
    *files = (stored){ .fd = -1 };
    if (!manifest_is_known(name, check))
        return false;
    bool is_fine = stored_of_archive(files, fd, check) && stored_check_logs(files, found) && stored_check_generations(files, &found->cores);
    if (is_fine && stored_named(files, "keys", NULL) == NULL) {
        snprintf(files->problem, sizeof files->problem, "there are no keys in it");
        is_fine = false;
    }
    is_fine = is_fine && (key == NULL || stored_check_key(files, key));
    if (!is_fine)
        cli_fail(EXIT_FAILED, "%s: %s", name, files->problem);
    return is_fine;
}

static const char *manifest_text(yyjson_doc *manifest, const char *name)
{
    return member_text(yyjson_doc_get_root(manifest), name);
}

void backup_describe(const archive_check *check, char *out, size_t bytes)
{
    char sum[2 * ARCHIVE_SUM + 1];
    yyjson_doc *manifest = yyjson_read(check->manifest.bytes, check->manifest.length, 0);
    archive_sum_text(check->sum, sum);
    snprintf(out, bytes, "backup sha256:%s of %.60s, taken %.30s", sum, manifest_text(manifest, "identity"), manifest_text(manifest, "taken"));
    yyjson_doc_free(manifest);
}

static int print_summary(struct cli *cli, const char *name, const archive_check *check, const stored_logs *found, bool has_key)
{
    char sum[2 * ARCHIVE_SUM + 1];
    yyjson_doc *manifest = yyjson_read(check->manifest.bytes, check->manifest.length, 0);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    archive_sum_text(check->sum, sum);
    if (manifest == NULL || root == NULL)
        return cli_fail(EXIT_FAILED, "no memory");
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "file", name);
    yyjson_mut_obj_add_uint(doc, root, "bytes", check->bytes);
    yyjson_mut_obj_add_str(doc, root, "sha256", sum);
    yyjson_mut_obj_add_str(doc, root, "taken", manifest_text(manifest, "taken"));
    yyjson_mut_obj_add_str(doc, root, "identity", manifest_text(manifest, "identity"));
    yyjson_mut_obj_add_str(doc, root, "version", manifest_text(manifest, "version"));
    yyjson_mut_obj_add_uint(doc, root, "parts", check->count - 2);
    yyjson_mut_obj_add_uint(doc, root, "cores", found->cores);
    yyjson_mut_obj_add_uint(doc, root, "segments", found->segments);
    yyjson_mut_obj_add_uint(doc, root, "rounds", found->rounds);
    yyjson_mut_obj_add_uint(doc, root, "records", found->records);
    if (has_key)
        yyjson_mut_obj_add_str(doc, root, "master_key", "fits");
    yyjson_doc *read = yyjson_mut_doc_imut_copy(doc, NULL);
    int code = read == NULL                 ? cli_fail(EXIT_FAILED, "no memory")
               : cli->format == OUTPUT_TABLE ? cli_print_members(cli, yyjson_doc_get_root(read))
                                             : cli_print_json(cli, read, NULL);
    yyjson_doc_free(read);
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(manifest);
    return code;
}

int backup_verify(struct cli *cli, const char *name, const char *key)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    archive_check check = { 0 };
    stored files = { .fd = -1 };
    stored_logs found;
    if (fd < 0)
        return cli_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "%s cannot be read: %s", name, strerror(errno));
    bool is_fine = backup_read(fd, name, &check) && backup_check(fd, name, key, &check, &files, &found);
    int code = is_fine ? print_summary(cli, name, &check, &found, key != NULL) : EXIT_FAILED;
    stored_fini(&files);
    archive_check_fini(&check);
    close(fd);
    return code;
}

/* ---- taking one ---- */

struct taking {
    int fd;
    archive_check check;
    progress progress;
    int error; /* of a write */
};

static bool on_bytes(void *context, const char *bytes, size_t length)
{
    struct taking *to = context;
    for (size_t done = 0; done < length;) {
        ssize_t put = write(to->fd, bytes + done, length - done);
        if (put < 0 && errno != EINTR) {
            to->error = errno;
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    bool is_fine = archive_check_feed(&to->check, bytes, length);
    progress_at(&to->progress, to->check.bytes);
    return is_fine;
}

/* About how much will come. A host that does not say gets no percentage. */
static uint64_t expect_bytes(struct cli *cli)
{
    struct request request = { .method = "GET", .path = "/v1/status" };
    struct response response;
    client_send(cli->client, &request, &response);
    yyjson_doc *doc = response.status == 200 ? yyjson_read(buffer_string(&response.body), response.body.length, 0) : NULL;
    uint64_t bytes = yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "log_bytes"));
    yyjson_doc_free(doc);
    response_fini(&response);
    return bytes;
}

static int fetch(struct cli *cli, struct taking *to, const char *name)
{
    struct request request = { .method = "GET", .path = "/v1/backup", .accept = "application/x-tar, application/problem+json",
                               .timeout_ms = -1, .on_bytes = on_bytes, .context = to };
    struct response response;
    progress_begin(&to->progress, "copying", expect_bytes(cli));
    client_send(cli->client, &request, &response);
    progress_end(&to->progress);
    int code;
    if (to->error != 0)
        code = cli_fail(EXIT_FAILED, "%s cannot be written: %s", name, strerror(to->error));
    else if (response.is_ended)
        code = cli_fail(EXIT_FAILED, "the backup came damaged: %s; take it again", to->check.problem);
    else if (response.status == 200 && response.transport != EXIT_OK)
        code = cli_fail(EXIT_UNREACHABLE, "the backup broke off at byte %" PRIu64 " (%s): the host's log says why; take it again",
                        to->check.bytes, response.reason);
    else
        code = client_judge(cli->client, &response);
    if (code == EXIT_OK && !archive_check_end(&to->check))
        code = cli_fail(EXIT_FAILED, "the backup came damaged: %s; take it again", to->check.problem);
    response_fini(&response);
    return code;
}

static bool sync_directory_of(const char *name)
{
    char *copy = strdup(name);
    int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool is_fine = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    free(copy);
    return is_fine;
}

/* All came: is it on the disk as it came, and are the logs in it whole? Only then it gets its name. */
static int keep(struct cli *cli, struct taking *to, const char *fresh, const char *name)
{
    archive_check again = { 0 };
    stored files = { .fd = -1 };
    stored_logs found;
    if (fsync(to->fd) != 0)
        return cli_fail(EXIT_FAILED, "%s cannot be written: %s", name, strerror(errno));
    bool is_fine = backup_read(to->fd, fresh, &again) && backup_check(to->fd, fresh, NULL, &again, &files, &found) && !moment_is_interrupted();
    int code = is_fine ? EXIT_OK : EXIT_FAILED;
    if (is_fine && (rename(fresh, name) != 0 || !sync_directory_of(name)))
        code = cli_fail(EXIT_FAILED, "%s cannot be given its name: %s", name, strerror(errno));
    if (code == EXIT_OK)
        code = print_summary(cli, name, &again, &found, false);
    stored_fini(&files);
    archive_check_fini(&again);
    return code;
}

static int take_to_file(struct cli *cli, struct taking *to, const char *name)
{
    char fresh[4096];
    if (access(name, F_OK) == 0)
        return cli_fail(EXIT_CONFLICT, "%s is there already: choose another name, or move it away", name);
    if (snprintf(fresh, sizeof fresh, "%s.part", name) >= (int)sizeof fresh)
        return cli_fail(EXIT_USAGE, "the name is too long");
    to->fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to->fd < 0)
        return cli_fail(EXIT_FAILED, "%s cannot be made: %s", fresh, strerror(errno));
    moment_catch_interrupts(); /* nothing of a half one is left */
    int code = fetch(cli, to, name);
    if (code == EXIT_OK)
        code = keep(cli, to, fresh, name);
    close(to->fd);
    if (code != EXIT_OK)
        unlink(fresh);
    return code;
}

int backup_take(struct cli *cli)
{
    const char *name = invocation_argument(cli->in, 0), *key = invocation_option(cli->in, "--master-key");
    if (invocation_has(cli->in, "--verify"))
        return backup_verify(cli, name, key);
    if (key != NULL)
        return cli_fail(EXIT_USAGE, "--master-key goes with --verify");
    struct taking to = { .fd = STDOUT_FILENO };
    bool is_piped = strcmp(name, "-") == 0;
    if (is_piped && isatty(STDOUT_FILENO))
        return cli_fail(EXIT_USAGE, "a backup is no text for a terminal: dromio backup FILE");
    int code = archive_check_init(&to.check) ? EXIT_OK : cli_fail(EXIT_FAILED, "no memory");
    if (code == EXIT_OK)
        code = is_piped ? fetch(cli, &to, "standard output") : take_to_file(cli, &to, name);
    if (code == EXIT_OK) {
        char sum[2 * ARCHIVE_SUM + 1];
        archive_sum_text(to.check.sum, sum);
        if (is_piped)
            cli_note("%" PRIu64 " bytes, SHA-256 %s; dromio backup --verify FILE checks the logs in it too", to.check.bytes, sum);
        cli_note("%s", key_note);
    }
    archive_check_fini(&to.check);
    return code;
}
