#include "core/old_logs.h"

#include <stdlib.h>

#include "base/log.h"
#include "core/state.h"

typedef struct old_log {
    disk *disk;
    commit_log *log;             /* NULL: not open */
} old_log;

struct old_logs {
    old_log list[OLD_LOGS_MAX + 1]; /* by number */
};

static dro_err open_one(core *core, uint32_t number, old_log *out)
{
    dro_err err = generations_old_log(&core->generations, core->options.logs, number, &out->disk);
    if (err != DRO_OK)
        return err == DRO_AGAIN ? DRO_NOT_FOUND : err;
    err = commit_log_open_old(&out->log, out->disk);
    if (err != DRO_OK)
        out->disk->free(out->disk);
    return err;
}

dro_err old_logs_read(core *core, uint32_t number, log_place place, void *buffer, size_t *length)
{
    if (core->old_logs == NULL)
        core->old_logs = calloc(1, sizeof *core->old_logs);
    if (core->old_logs == NULL || number > OLD_LOGS_MAX)
        return core->old_logs == NULL ? DRO_NOMEM : DRO_NOT_FOUND;
    old_log *old = &core->old_logs->list[number];
    dro_err err = old->log == NULL ? open_one(core, number, old) : DRO_OK;
    return err == DRO_OK ? commit_log_read(old->log, place, buffer, LOG_RECORD_MAX, length) : err;
}

void old_logs_close(core *core)
{
    for (uint32_t i = 0; core->old_logs != NULL && i <= OLD_LOGS_MAX; i++) {
        if (core->old_logs->list[i].log == NULL)
            continue;
        commit_log_close(core->old_logs->list[i].log);
        core->old_logs->list[i].disk->free(core->old_logs->list[i].disk);
    }
    free(core->old_logs);
    core->old_logs = NULL;
}
