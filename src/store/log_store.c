#include "store/log_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { PATH_MAX_HERE = LOG_STORE_PATH_MAX + 64 };

static void path_of(const log_store_directory *here, uint32_t generation, uint32_t core, char path[PATH_MAX_HERE])
{
    if (generation == 0)
        snprintf(path, PATH_MAX_HERE, "%s/log", here->data);
    else
        snprintf(path, PATH_MAX_HERE, "%s/log-%u-%u", here->data, generation, core);
}

static dro_err directory_open(log_store *store, uint32_t generation, uint32_t core, bool to_write, disk **out)
{
    char path[PATH_MAX_HERE];
    path_of((const log_store_directory *)store, generation, core, path);
    return to_write ? disk_open_directory(out, path) : disk_read_directory(out, path);
}

/* ---- removing ---- */

/* What a log made; the host's own files may lie beside it. `end` goes first: it would call what is left, or what is made anew in its place, damaged. */
static const char *const beside[] = { ".replay.spare", ".replay.new", ".end.new" }; /* that no list shows; the last two of who died while it replaced them */

static bool is_of_log(const char *name)
{
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        if (strcmp(name, beside[i]) == 0)
            return true;
    return strncmp(name, "segment-", 8) == 0 || strncmp(name, "spare-", 6) == 0 || strcmp(name, "replay") == 0 || strcmp(name, "end") == 0;
}

/* By path: core 0 has the directory of generation 0 open, and nobody else may open it to write. */
typedef struct by_path { const char *path; int error; bool is_any; } by_path;

static void unlink_name(void *context, const char *name)
{
    by_path *here = context;
    char path[PATH_MAX_HERE + 256];
    if (!is_of_log(name) || here->error != 0)
        return;
    snprintf(path, sizeof path, "%s/%s", here->path, name);
    if (unlink(path) != 0 && errno != ENOENT)
        here->error = errno;
}

static int directory_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

static dro_err directory_remove(log_store *store, uint32_t generation, uint32_t core)
{
    char path[PATH_MAX_HERE];
    path_of((const log_store_directory *)store, generation, core, path);
    disk *files;
    dro_err err = disk_read_directory(&files, path);
    if (err != DRO_OK)
        return err == DRO_NOT_FOUND ? DRO_OK : err;
    by_path here = { .path = path };
    unlink_name(&here, "end");
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        unlink_name(&here, beside[i]);
    int error = files->list(files, unlink_name, &here);
    files->free(files);
    error = error < 0 ? -error : here.error != 0 ? here.error : directory_sync(path);
    if (error == 0 && generation != 0 && rmdir(path) != 0)
        error = errno;
    if (error == 0)
        return DRO_OK;
    dro_error("log cannot-remove directory=%s error=\"%s\"", path, strerror(error));
    return DRO_IO;
}

void log_store_directory_init(log_store_directory *store, const char *data)
{
    *store = (log_store_directory){ .store = { directory_open, directory_remove } };
    snprintf(store->data, sizeof store->data, "%s", data);
}

/* ---- in memory ---- */

enum { NAMES_MAX = 256, NAME_BYTES = 64 };
typedef struct names { char list[NAMES_MAX][NAME_BYTES]; int count; } names;

static void note_name(void *context, const char *name)
{
    names *names = context;
    if (is_of_log(name) && names->count < NAMES_MAX)
        snprintf(names->list[names->count++], NAME_BYTES, "%s", name);
}

static disk *memory_directory(log_store *store, uint32_t generation, uint32_t core)
{
    char name[NAME_BYTES] = "";
    if (generation != 0)
        snprintf(name, sizeof name, "log-%u-%u", generation, core);
    return disk_memory_directory(((log_store_memory *)store)->disk, name);
}

static dro_err memory_open(log_store *store, uint32_t generation, uint32_t core, bool to_write, disk **out)
{
    (void)to_write;
    *out = memory_directory(store, generation, core);
    return *out == NULL ? DRO_NOMEM : DRO_OK;
}

static dro_err memory_remove(log_store *store, uint32_t generation, uint32_t core)
{
    disk *files = memory_directory(store, generation, core);
    names names = { .count = 0 };
    int error = files == NULL ? -ENOMEM : files->list(files, note_name, &names);
    int gone = files == NULL ? 0 : files->remove(files, "end");
    if (error == 0 && gone != -ENOENT)
        error = gone;
    for (int i = 0; i < names.count && error == 0; i++)
        if (strcmp(names.list[i], "end") != 0)
            error = files->remove(files, names.list[i]);
    if (files != NULL)
        files->free(files);
    return error == 0 ? DRO_OK : DRO_IO;
}

void log_store_memory_init(log_store_memory *store, disk *disk)
{
    *store = (log_store_memory){ .store = { memory_open, memory_remove }, .disk = disk };
}
