#include "base/files.h"

#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights of the first version of Landlock, which every later one knows: what is handled and not given is refused. */
enum {
    READS = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    WRITES = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE, /* renaming takes the old name away */
    OF_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
    HANDLED = READS | WRITES | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR |
              LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
              LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
};

/* struct landlock_ruleset_attr of the version that scopes signals; the headers may be older than the kernel. */
typedef struct rules { uint64_t files, network, scopes; } rules;
enum { VERSION_OF_SCOPES = 6, SCOPE_ABSTRACT_SOCKET = 1, SCOPE_SIGNAL = 2, ASK_VERSION = 1 };

static int set_new(void)
{
    rules rules = { .files = HANDLED, .scopes = SCOPE_SIGNAL | SCOPE_ABSTRACT_SOCKET };
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
    size_t size = version >= VERSION_OF_SCOPES ? sizeof rules : sizeof rules.files;
    return version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
}

static bool give(int set, const dro_files *files)
{
    struct landlock_path_beneath_attr beneath = { .parent_fd = files->descriptor };
    struct stat status;
    if (files->descriptor < 0)
        return true;
    if (fstat(files->descriptor, &status) != 0)
        return false;
    beneath.allowed_access = (files->rights & DRO_FILES_READ ? READS : 0u) | (files->rights & DRO_FILES_WRITE ? WRITES : 0u) |
                             (files->rights & DRO_FILES_EXECUTE ? LANDLOCK_ACCESS_FS_EXECUTE : 0u);
    if (!S_ISDIR(status.st_mode))
        beneath.allowed_access &= OF_FILES;
    return syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
}

bool dro_files_confine(const dro_files *files, size_t count)
{
    int set = set_new();
    bool is_confined = set >= 0;
    for (size_t i = 0; i < count && is_confined; i++)
        is_confined = give(set, &files[i]);
    is_confined = is_confined && syscall(SYS_landlock_restrict_self, set, 0) == 0;
    if (set >= 0)
        close(set);
    return is_confined;
}
