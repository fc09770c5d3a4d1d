/* The cells: one or two of a place of a core at a time, each started again when it dies, and anew when there are new images. */
#include "host/supervisor_private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "host/control.h"

enum {
    CELL_DEATHS = 10,          /* of one cell in RESTART_WINDOW_MS: it is foreign code's doing, and the next one comes later */
    CELL_PAUSE_MS = 1000,
    PROBATION_PAUSE_MS_MAX = 60000, /* between starts of one for twins on probation, which ended before it was ready: twice as long each time */
};

/* ---- starting ---- */

/* A set that neither a cell nor the core's memory of one still uses. */
static uint32_t set_free(const cell_slot *slot)
{
    for (uint32_t i = 1; i <= CELL_SETS; i++) {
        uint32_t set = (slot->last_set + i) % CELL_SETS;
        if (!(slot->current > 0 && slot->current_set == set) && !(slot->old > 0 && slot->old_set == set))
            return set;
    }
    return 0;
}

/* Takes back what rang for a cell that is no more; reading a bell that is quiet would block. */
static void quiet_bell(int bell)
{
    struct pollfd on = { bell, POLLIN, 0 };
    uint64_t count;
    if (poll(&on, 1, 0) > 0 && read(bell, &count, sizeof count) < 0)
        dro_debug("bell: %m");
}

/* False: it is tried again later. */
static bool start_cell(supervisor *here, uint32_t core, uint32_t index)
{
    cell_slot *slot = &here->cores[core].cells[index];
    int ends[2];
    slot->start_ms = 0;
    if (slot->starting > 0)
        return true;
    slot->start_ms = supervisor_now_ms() + ROOM_PAUSE_MS;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    slot->starting_set = slot->last_set = set_free(slot);
    slot->wants_new = false;
    layout_format_cell(&here->layout, core, index, slot->starting_set);
    quiet_bell(here->room.cell_bells[core][index * CELL_SETS + slot->starting_set]);
    here->room.ready = ends[1];
    slot->starting = supervisor_fork("cell");
    if (slot->starting == 0)
        room_cell(&here->room, core, index, slot->starting_set);
    close(ends[1]);
    if (!supervisor_is_started(&slot->starting, &slot->start_ms)) {
        close(ends[0]);
        return false;
    }
    slot->ready = ends[0];
    slot->starting_images = here->image_count;
    return true;
}

void supervisor_cells_start_due(supervisor *here)
{
    for (uint32_t core = 0; core < here->layout.core_count; core++)
        for (uint32_t i = 0; i < here->layout.place_count; i++)
            if (supervisor_is_due(here->cores[core].cells[i].start_ms))
                start_cell(here, core, i);
}

void supervisor_cell_renew(supervisor *here, uint32_t core, uint32_t index)
{
    cell_slot *slot = &here->cores[core].cells[index];
    char name[32];
    if (slot->starting > 0 || slot->old > 0)
        slot->wants_new = true; /* once that is over */
    else if (!start_cell(here, core, index))
        dro_error("%s cannot be started now", layout_cell_name(&here->layout, core, index, name));
}

void supervisor_cells_renew(supervisor *here)
{
    for (uint32_t core = 0; core < here->layout.core_count; core++)
        for (uint32_t i = 0; i < here->layout.place_count; i++)
            if (i < here->layout.cell_count || here->cores[core].cells[i].current > 0 || here->cores[core].cells[i].starting > 0)
                supervisor_cell_renew(here, core, i);
}

/* ---- taking over ---- */

/* False: it died. */
static bool cell_ready(supervisor *here, uint32_t core, uint32_t index)
{
    cell_slot *slot = &here->cores[core].cells[index];
    char byte;
    ssize_t got = read(slot->ready, &byte, 1);
    close(slot->ready);
    slot->ready = -1;
    if (got != 1)
        return false; /* SIGCHLD tells */
    if (slot->current > 0) {
        slot->old = slot->current;
        slot->old_set = slot->current_set;
    }
    slot->current = slot->starting;
    slot->current_set = slot->starting_set;
    slot->starting = 0;
    slot->pause_ms = 0;
    supervisor_tell_core(here, core, CONTROL_CELL_UP, index, slot->current_set, slot->starting_images);
    if (slot->wants_new && slot->old == 0) /* images came while it was being started in place of a dead one */
        supervisor_cell_renew(here, core, index);
    return true;
}

bool supervisor_cells_take(supervisor *here)
{
    bool is_any = false;
    for (uint32_t core = 0; core < here->layout.core_count; core++)
        for (uint32_t i = 0; i < here->layout.place_count; i++) {
            struct pollfd on = { here->cores[core].cells[i].ready, POLLIN, 0 };
            if (on.fd >= 0 && poll(&on, 1, 0) > 0)
                is_any |= cell_ready(here, core, i);
        }
    return is_any;
}

void supervisor_cell_drained(const cell_slot *slot)
{
    if (slot->old > 0)
        kill(slot->old, SIGKILL);
}

void supervisor_cell_replace(cell_slot *slot, bool is_old, bool is_cut_short)
{
    pid_t pid = is_old ? slot->old : slot->current;
    if (is_cut_short && !is_old)
        slot->cut_short = pid;
    if (pid > 0)
        kill(pid, SIGKILL);
}

/* ---- deaths ---- */

/* What foreign code can bring about may cost its own twins a wait, but not the host its life. */
static bool cell_is_paused(cell_slot *slot)
{
    int64_t now = supervisor_now_ms();
    if (now - slot->deaths_ms > RESTART_WINDOW_MS) {
        slot->deaths_ms = now;
        slot->deaths = 0;
    }
    if (++slot->deaths <= CELL_DEATHS)
        return false;
    slot->start_ms = now + CELL_PAUSE_MS;
    return true;
}

/* Nobody needs it: its twins' turns go to their ordinary cell meanwhile. */
static void probation_pause(const supervisor *here, uint32_t core, cell_slot *slot, uint32_t index)
{
    char name[32];
    slot->pause_ms = slot->pause_ms == 0 ? CELL_PAUSE_MS : 2 * slot->pause_ms;
    if (slot->pause_ms > PROBATION_PAUSE_MS_MAX)
        slot->pause_ms = PROBATION_PAUSE_MS_MAX;
    slot->start_ms = supervisor_now_ms() + slot->pause_ms;
    dro_warn("%s ended before it was ready: the next one starts in %lld ms", layout_cell_name(&here->layout, core, index, name), (long long)slot->pause_ms);
}

static void cell_died(supervisor *here, uint32_t core, uint32_t index, pid_t pid)
{
    cell_slot *slot = &here->cores[core].cells[index];
    bool was_ready = pid == slot->current, is_counted = was_ready && pid != slot->cut_short;
    bool was_starting = pid == slot->starting;
    char name[32];
    if (pid == slot->cut_short)
        slot->cut_short = 0;
    if (pid == slot->old) {
        slot->old = 0;
        supervisor_tell_core(here, core, CONTROL_OLD_CELL_LOST, index, slot->old_set, 0);
        if (slot->wants_new)
            supervisor_cell_renew(here, core, index);
        return;
    }
    if (pid == slot->starting) {
        slot->starting = 0;
        if (slot->ready >= 0)
            close(slot->ready);
        slot->ready = -1;
    } else {
        slot->current = 0;
        supervisor_tell_core(here, core, CONTROL_CELL_LOST, index, slot->current_set, 0);
    }
    if (was_starting && index >= here->layout.cell_count)
        probation_pause(here, core, slot, index);
    else if (is_counted && cell_is_paused(slot))
        dro_warn("%s ended more than %d times in %d s: the next one starts in %d ms", layout_cell_name(&here->layout, core, index, name), CELL_DEATHS,
                 RESTART_WINDOW_MS / 1000, CELL_PAUSE_MS);
    else if (!start_cell(here, core, index))
        dro_error("%s cannot be started now", layout_cell_name(&here->layout, core, index, name));
}

int supervisor_cell_died(supervisor *here, uint32_t core, uint32_t index, pid_t pid, int status)
{
    const cell_slot *slot = &here->cores[core].cells[index];
    bool is_wanted = pid == slot->old; /* it was drained: we killed it */
    bool was_ready = pid == slot->current; /* so the next one will be too, and then it is what runs in it */
    bool is_needed = index < here->layout.cell_count;
    char text[64], name[32];
    if (!is_wanted)
        dro_warn("%s ended: %s; starting another", layout_cell_name(&here->layout, core, index, name), supervisor_how(status, text));
    if (is_needed && WIFEXITED(status) && WEXITSTATUS(status) == 4)
        return 1;
    if (here->is_stopping)
        return -1;
    cell_died(here, core, index, pid);
    return is_needed && !is_wanted && !was_ready && supervisor_is_hopeless(here) ? 1 : -1;
}
