#include "host/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "cell/admit.h"
#include "core/board.h"
#include "host/control.h"
#include "host/data.h"
#include "host/listen.h"
#include "host/supervisor_private.h"
#include "twin/directory.h"

enum {
    STOP_LIMIT_MS = 4500,      /* SIGTERM to exit: 5 s */
    RESTART_LIMIT = 20,        /* deaths of a kind of room in RESTART_WINDOW_MS: give up, something is wrong for good */
    LOOK_MS = 1000,            /* between two looks at what the rooms cost */
    CORE_DIED = -2,
};

int64_t supervisor_now_ms(void)
{
    return dro_clock_system()->monotonic_ns(dro_clock_system()) / 1000000;
}

/* ---- starting ---- */

pid_t supervisor_fork(const char *what)
{
    pid_t pid = fork();
    if (pid < 0)
        dro_error("%s cannot be forked: %m", what);
    return pid;
}

bool supervisor_is_started(pid_t *pid, int64_t *again_ms)
{
    bool is_there = *pid > 0;
    if (!is_there)
        *pid = 0;
    *again_ms = is_there ? 0 : supervisor_now_ms() + ROOM_PAUSE_MS;
    return is_there;
}

static bool start_core(supervisor *here, uint32_t index)
{
    core_slot *core = &here->cores[index];
    core->pid = supervisor_fork("core");
    if (core->pid == 0) {
        here->room.control = core->core_end;
        room_core(&here->room, index);
    }
    return core->pid > 0;
}

static bool start_cores(supervisor *here)
{
    bool is_whole = true;
    for (uint32_t i = 0; i < here->layout.core_count && is_whole; i++)
        is_whole = start_core(here, i);
    return is_whole;
}

static void send_core(const core_slot *core, const control *message)
{
    if (core->pid > 0 && control_send(core->control, message, NULL) != DRO_OK)
        dro_warn("a core does not listen");
}

void supervisor_tell_core(supervisor *here, uint32_t core, uint32_t type, uint32_t index, uint32_t set, uint32_t number)
{
    send_core(&here->cores[core], &(control){ .type = type, .index = index, .set = set, .number = number });
}

static void tell_cores(supervisor *here, uint32_t type, uint32_t index, uint32_t set)
{
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        supervisor_tell_core(here, i, type, index, set, 0);
}

/* What is asked from here on is for the new desk. */
static bool start_desk(supervisor *here)
{
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        ring_reader_open(&here->room.desk_questions[i], here->layout.gates[i][here->room.gate_sets[i]].to_desk, DESK_RING);
    here->desk = supervisor_fork("desk");
    if (here->desk == 0)
        room_desk(&here->room);
    return supervisor_is_started(&here->desk, &here->again.desk_ms);
}

/* It starts with what the cores find in their logs: the host need not wait for it. */
static const char *const ledger_names[LEDGERS] = { [LEDGER_CHARGING] = "charging", [LEDGER_AUDIT] = "audit" };

static bool start_ledger(supervisor *here, enum ledger_kind kind)
{
    if (!room_has_ledger(here->config, kind))
        return true;
    here->ledgers[kind] = supervisor_fork(ledger_names[kind]);
    if (here->ledgers[kind] == 0)
        room_ledger(&here->room, kind);
    if (!supervisor_is_started(&here->ledgers[kind], &here->again.ledgers_ms[kind]))
        return false;
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        supervisor_tell_core(here, i, CONTROL_LEDGER_UP, kind, here->room.ledger_sets[kind], 0);
    return true;
}

static bool start_gate(supervisor *here, uint32_t index)
{
    bool is_load = index == here->config->host_gates; /* bench.load: one more than there are gates */
    here->gates[index] = supervisor_fork(is_load ? "load" : "gate");
    if (here->gates[index] == 0 && is_load)
        room_load(&here->room, index);
    if (here->gates[index] == 0)
        room_gate(&here->room, index);
    if (!supervisor_is_started(&here->gates[index], &here->again.gates_ms[index]))
        return false;
    tell_cores(here, CONTROL_GATE_UP, index, here->room.gate_sets[index]);
    return true;
}

static void notify_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (path == NULL || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0';
    int socket_end = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (socket_end < 0 || sendto(socket_end, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to, length) < 0)
        dro_warn("NOTIFY_SOCKET: %m");
    if (socket_end >= 0)
        close(socket_end);
}

static bool pair_is_ready(const supervisor *here, const core_slot *core)
{
    bool is_ready = core->is_ready;
    for (uint32_t i = 0; i < here->layout.cell_count; i++)
        is_ready &= core->cells[i].current > 0;
    return is_ready;
}

/* Each core has recovered and each cell is there: open the doors. */
static void run_when_ready(supervisor *here)
{
    if (here->is_running || here->is_stopping)
        return;
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        if (!pair_is_ready(here, &here->cores[i]))
            return;
    here->is_running = true;
    bool is_whole = start_desk(here);
    is_whole &= start_ledger(here, LEDGER_CHARGING);
    is_whole &= start_ledger(here, LEDGER_AUDIT);
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        is_whole &= start_gate(here, i);
    if (!is_whole)
        dro_error("not all rooms could be started: tried again in %d ms", ROOM_PAUSE_MS);
}

/* Once each gate answers, the host is ready. A gate that was started again counts too, but later than that. */
static void take_ready(supervisor *here)
{
    uint64_t count;
    bool was_ready = here->gates_ready >= here->layout.gate_count;
    if (read(here->room.gates_ready, &count, sizeof count) != sizeof count)
        return;
    here->gates_ready += count;
    if (was_ready || here->gates_ready < here->layout.gate_count)
        return;
    dro_info("ready http=%s diameter=%s", here->config->http_listen, here->config->diameter_listen);
    notify_ready();
}

/* ---- what a core says ---- */

static void start_admit(supervisor *here, uint32_t core, uint64_t id, const int files[CONTROL_DESCRIPTORS])
{
    admit_child *child = NULL;
    for (int i = 0; i < ADMITS_MAX; i++)
        if (here->admits[i].pid <= 0)
            child = &here->admits[i];
    pid_t pid = child == NULL || files[0] < 0 || files[1] < 0 ? -1 : supervisor_fork("admit");
    if (pid == 0)
        room_admit(&here->room, files[0], files[1]);
    if (pid > 0) {
        *child = (admit_child){ pid, core, id };
        return;
    }
    send_core(&here->cores[core], &(control){ .type = CONTROL_ADMITTED, .id = id, .status = -1 });
}

/* Core 0 has the images; they are for the cells of every core. */
static void on_images(supervisor *here, uint32_t count, int *file)
{
    if (here->room.images >= 0)
        close(here->room.images);
    here->room.images = *file;
    here->image_count = count;
    *file = -1;
    supervisor_cells_renew(here);
}

static void on_control(supervisor *here, uint32_t index, const control *message, int files[CONTROL_DESCRIPTORS])
{
    core_slot *core = &here->cores[index];
    bool has_cell = message->index < here->layout.place_count;
    switch (message->type) {
    case CONTROL_READY:
        here->room.is_key_secret = message->status != 0 && (index == 0 || here->room.is_key_secret);
        core->is_ready = true;
        run_when_ready(here);
        break;
    case CONTROL_ADMIT: start_admit(here, index, message->id, files); break;
    case CONTROL_IMAGES: on_images(here, message->index, &files[0]); break;
    case CONTROL_REPLACE_CELL:
        if (has_cell)
            supervisor_cell_replace(&core->cells[message->index], message->number != 0, message->status != 0);
        break;
    case CONTROL_CELL_DRAINED:
        if (has_cell)
            supervisor_cell_drained(&core->cells[message->index]);
        break;
    case CONTROL_RENEW_CELL:
        if (has_cell)
            supervisor_cell_renew(here, index, message->index);
        break;
    case CONTROL_STOPPED: core->is_stopped = true; break;
    default: break;
    }
    for (int i = 0; i < CONTROL_DESCRIPTORS; i++)
        if (files[i] >= 0)
            close(files[i]);
}

/* ---- deaths ---- */

const char *supervisor_how(int status, char text[64])
{
    if (WIFSIGNALED(status))
        snprintf(text, 64, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, 64, "exit code %d", WEXITSTATUS(status));
    return text;
}

bool supervisor_is_hopeless(supervisor *here)
{
    int64_t now = supervisor_now_ms();
    if (now - here->window_ms > RESTART_WINDOW_MS) {
        here->window_ms = now;
        here->deaths = 0;
    }
    if (++here->deaths <= RESTART_LIMIT)
        return false;
    dro_error("more than %d rooms ended in %d s: giving up", RESTART_LIMIT, RESTART_WINDOW_MS / 1000);
    return true;
}

static void gate_died(supervisor *here, uint32_t index)
{
    here->gates[index] = 0;
    tell_cores(here, CONTROL_GATE_LOST, index, here->room.gate_sets[index]);
    here->room.gate_sets[index] = (here->room.gate_sets[index] + 1) % GATE_SETS;
    layout_format_gate(&here->layout, index, here->room.gate_sets[index]);
    if (here->desk > 0) { /* it knows the old rings only; its own death starts it again */
        kill(here->desk, SIGKILL);
        waitpid(here->desk, NULL, 0);
        here->desk = 0;
    }
    bool is_whole = start_desk(here);
    is_whole &= start_gate(here, index);
    if (!is_whole)
        dro_error("gate %u or the desk cannot be started now", index);
}

static void ledger_died(supervisor *here, enum ledger_kind kind)
{
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        supervisor_tell_core(here, i, CONTROL_LEDGER_LOST, kind, 0, 0);
    here->room.ledger_sets[kind] = (here->room.ledger_sets[kind] + 1) % LEDGER_SETS;
    layout_format_ledger(&here->layout, kind, here->room.ledger_sets[kind]);
    if (!start_ledger(here, kind))
        dro_error("the %s room cannot be started now", ledger_names[kind]);
}

bool supervisor_is_due(int64_t at_ms)
{
    return at_ms != 0 && supervisor_now_ms() >= at_ms;
}

/* Those that could not be forked, and cells that were to wait. */
static void start_paused_rooms(supervisor *here)
{
    if (supervisor_is_due(here->again.desk_ms))
        start_desk(here);
    for (int kind = 0; kind < LEDGERS; kind++)
        if (supervisor_is_due(here->again.ledgers_ms[kind]))
            start_ledger(here, (enum ledger_kind)kind);
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        if (supervisor_is_due(here->again.gates_ms[i]))
            start_gate(here, i);
    supervisor_cells_start_due(here);
}

static bool admit_died(supervisor *here, pid_t pid, int status)
{
    for (int i = 0; i < ADMITS_MAX; i++) {
        if (here->admits[i].pid != pid)
            continue;
        here->admits[i].pid = 0;
        send_core(&here->cores[here->admits[i].core],
                  &(control){ .type = CONTROL_ADMITTED, .id = here->admits[i].id, .status = status });
        return true;
    }
    return false;
}

static bool all_cores_are_gone(const supervisor *here)
{
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        if (here->cores[i].pid > 0)
            return false;
    return true;
}

/* Whatever ends one core ends all: they begin anew together. CORE_DIED, an exit code, or -1: go on. */
static int core_died(supervisor *here, uint32_t index, int status)
{
    char text[64];
    core_slot *core = &here->cores[index];
    core->pid = 0;
    if (here->is_stopping && !core->is_stopped)
        return 1;
    if (here->is_stopping)
        return all_cores_are_gone(here) ? 0 : -1;
    if (here->layout.core_count > 1)
        dro_error("core %u ended: %s", index, supervisor_how(status, text));
    else
        dro_error("core ended: %s", supervisor_how(status, text));
    return WIFEXITED(status) && WEXITSTATUS(status) == 3 ? 1 : CORE_DIED;
}

/* As core_died; true when it was a core or a cell. */
static bool pair_died(supervisor *here, pid_t pid, int status, int *code)
{
    for (uint32_t core = 0; core < here->layout.core_count; core++) {
        if (pid == here->cores[core].pid) {
            *code = core_died(here, core, status);
            return true;
        }
        for (uint32_t i = 0; i < here->layout.place_count; i++) {
            const cell_slot *slot = &here->cores[core].cells[i];
            if (pid != slot->current && pid != slot->old && pid != slot->starting)
                continue;
            *code = supervisor_cell_died(here, core, i, pid, status);
            return true;
        }
    }
    return false;
}

/* As core_died. */
static int child_died(supervisor *here, pid_t pid, int status)
{
    char text[64];
    int code;
    if (admit_died(here, pid, status) || renewal_ended(&here->renewal, &here->room, pid, status, here->is_stopping))
        return -1;
    if (pair_died(here, pid, status, &code))
        return code;
    for (uint32_t i = 0; i < here->layout.gate_count; i++) {
        if (pid != here->gates[i])
            continue;
        here->gates[i] = 0;
        if (here->is_stopping)
            return -1;
        dro_warn("gate %u ended: %s; starting another", i, supervisor_how(status, text));
        gate_died(here, i);
        return supervisor_is_hopeless(here) ? 1 : -1;
    }
    for (int kind = 0; kind < LEDGERS; kind++) {
        if (pid != here->ledgers[kind])
            continue;
        here->ledgers[kind] = 0;
        if (here->is_stopping)
            return -1;
        dro_warn("%s ended: %s; starting another", ledger_names[kind], supervisor_how(status, text));
        ledger_died(here, (enum ledger_kind)kind);
        return supervisor_is_hopeless(here) ? 1 : -1;
    }
    if (pid == here->desk) {
        here->desk = 0;
        if (here->is_stopping)
            return -1;
        dro_warn("desk ended: %s; starting another", supervisor_how(status, text));
        if (!start_desk(here))
            dro_error("the desk cannot be started now");
        return supervisor_is_hopeless(here) ? 1 : -1;
    }
    return -1;
}

static int reap(supervisor *here)
{
    int status, code = -1;
    pid_t pid;
    while (code == -1 && (pid = waitpid(-1, &status, WNOHANG)) > 0)
        code = child_died(here, pid, status);
    return code;
}

/* ---- stopping ---- */

static void ring_bell(int bell)
{
    uint64_t one = 1;
    if (write(bell, &one, sizeof one) < 0)
        dro_debug("bell: %m");
}

/* First the gates finish what they took, then the core what it was given. */
static void begin_stop(supervisor *here)
{
    if (here->is_stopping)
        return;
    here->is_stopping = true;
    here->stop_by_ms = supervisor_now_ms() + STOP_LIMIT_MS;
    dro_info("stopping");
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        ring_bell(here->room.gate_stops[i]);
    ring_bell(here->room.desk_stop);
    tell_cores(here, CONTROL_DRAIN, 0, 0);
}

static bool gates_are_gone(const supervisor *here)
{
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        if (here->gates[i] > 0)
            return false;
    return true;
}

static void kill_all(supervisor *here)
{
    pid_t *all[CORES_MAX * (1 + 3 * CORE_PLACES_MAX) + CORE_GATES_MAX + ADMITS_MAX + 2 + LEDGERS];
    int n = 0;
    all[n++] = &here->desk;
    for (int kind = 0; kind < LEDGERS; kind++)
        all[n++] = &here->ledgers[kind];
    all[n++] = &here->renewal.reader;
    for (uint32_t i = 0; i < CORE_GATES_MAX; i++)
        all[n++] = &here->gates[i];
    for (uint32_t core = 0; core < CORES_MAX; core++) {
        all[n++] = &here->cores[core].pid;
        for (uint32_t i = 0; i < CORE_PLACES_MAX; i++) {
            all[n++] = &here->cores[core].cells[i].current;
            all[n++] = &here->cores[core].cells[i].old;
            all[n++] = &here->cores[core].cells[i].starting;
        }
    }
    for (int i = 0; i < ADMITS_MAX; i++)
        all[n++] = &here->admits[i].pid;
    for (int i = 0; i < n; i++)
        if (*all[i] > 0)
            kill(*all[i], SIGKILL);
    for (int i = 0; i < n; i++)
        if (*all[i] > 0) {
            waitpid(*all[i], NULL, 0);
            *all[i] = 0;
        }
}

/* ---- the loop ---- */

static void take_signals(supervisor *here)
{
    struct signalfd_siginfo info;
    while (read(here->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGHUP && !here->is_stopping)
            renewal_begin(&here->renewal, &here->room);
        else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            begin_stop(here);
}

static void take_control(supervisor *here)
{
    control message;
    int files[CONTROL_DESCRIPTORS];
    for (uint32_t i = 0; i < here->layout.core_count; i++)
        while (control_receive(here->cores[i].control, &message, files) == DRO_OK)
            on_control(here, i, &message, files);
}

/* Sleeps until a signal, a core, a gate or a cell has something to say. Which it was, each of them is asked. */
static void wait_for_news(const supervisor *here)
{
    struct pollfd on[2 + CORES_MAX * (1 + CORE_PLACES_MAX)] = { { here->signals, POLLIN, 0 }, { here->room.gates_ready, POLLIN, 0 } };
    nfds_t count = 2;
    for (uint32_t core = 0; core < here->layout.core_count; core++) {
        on[count++] = (struct pollfd){ here->cores[core].control, POLLIN, 0 };
        for (uint32_t i = 0; i < here->layout.place_count; i++)
            if (here->cores[core].cells[i].ready >= 0)
                on[count++] = (struct pollfd){ here->cores[core].cells[i].ready, POLLIN, 0 };
    }
    poll(on, count, here->is_stopping ? 50 : 1000);
}

/* What dromiod and the rooms cost. A cell that is being drained counts when it is looked for no more. */
static void look_at_rooms(supervisor *here)
{
    int64_t now = supervisor_now_ms();
    char name[32];
    if (here->looked_ms != 0 && now - here->looked_ms < LOOK_MS)
        return;
    here->looked_ms = now;
    usage_look(&here->usage, "dromiod", getpid());
    usage_look(&here->usage, "desk", here->desk);
    for (int kind = 0; kind < LEDGERS; kind++)
        if (room_has_ledger(here->config, (enum ledger_kind)kind))
            usage_look(&here->usage, ledger_names[kind], here->ledgers[kind]);
    for (uint32_t i = 0; i < (uint32_t)here->config->host_gates; i++) {
        snprintf(name, sizeof name, "gate %u", i);
        usage_look(&here->usage, name, here->gates[i]);
    }
    for (uint32_t core = 0; core < here->layout.core_count; core++) {
        snprintf(name, sizeof name, "core %u", core);
        usage_look(&here->usage, name, here->cores[core].pid);
        for (uint32_t i = 0; i < here->layout.place_count; i++)
            usage_look(&here->usage, layout_cell_name(&here->layout, core, i, name), here->cores[core].cells[i].current);
    }
}

/* Once when it is seen and once when it is over. */
static void tend_clock(supervisor *here)
{
    char when[DRO_TIME_TEXT];
    dro_clock_tend();
    bool is_off = dro_clock_off_ms() != 0;
    if (is_off == here->is_clock_off)
        return;
    here->is_clock_off = is_off;
    dro_time_text(dro_clock_system()->wall_ms(dro_clock_system()), when);
    if (is_off)
        dro_error("clock_not_believed off_s=%lld \"the machine's clock jumped by more than is believed; the host goes on from %s; if the machine is right, restart dromiod\"",
                  (long long)(dro_clock_off_ms() / 1000), when);
    else
        dro_info("clock_believed \"the machine's clock is near the host's time again\" time=%s", when);
}

static int loop(supervisor *here)
{
    bool are_cores_asked = false;
    for (;;) {
        wait_for_news(here);
        take_signals(here);
        take_control(here);
        take_ready(here);
        if (supervisor_cells_take(here))
            run_when_ready(here);
        if (!here->is_stopping)
            start_paused_rooms(here);
        look_at_rooms(here);
        tend_clock(here);
        int code = reap(here);
        if (code != -1)
            return code;
        if (here->is_stopping && !are_cores_asked && (gates_are_gone(here) || !here->is_running)) {
            are_cores_asked = true;
            tell_cores(here, CONTROL_STOP, 0, 0);
        }
        if (here->is_stopping && supervisor_now_ms() > here->stop_by_ms) {
            dro_warn("some rooms did not stop in time");
            return 0;
        }
    }
}

/* ---- making and unmaking ---- */

static bool make_bells(supervisor *here)
{
    room_context *room = &here->room;
    int flags = EFD_NONBLOCK | EFD_CLOEXEC;
    bool is_whole = (room->desk_bell = eventfd(0, flags)) >= 0 && (room->desk_stop = eventfd(0, flags)) >= 0 &&
                    (room->gates_ready = eventfd(0, flags)) >= 0;
    for (int kind = 0; kind < LEDGERS; kind++)
        is_whole &= (room->ledger_bells[kind] = eventfd(0, flags)) >= 0;
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        is_whole &= (room->gate_bells[i] = eventfd(0, flags)) >= 0 && (room->gate_stops[i] = eventfd(0, flags)) >= 0;
    for (uint32_t core = 0; core < here->layout.core_count; core++) {
        is_whole &= (room->core_bells[core] = eventfd(0, flags)) >= 0;
        for (uint32_t i = 0; i < here->layout.place_count * CELL_SETS; i++) /* a cell reads its own with a blocking call */
            is_whole &= (room->cell_bells[core][i] = eventfd(0, EFD_CLOEXEC)) >= 0;
    }
    return is_whole;
}

static void close_bells(supervisor *here)
{
    room_context *room = &here->room;
    close(room->desk_bell);
    close(room->desk_stop);
    close(room->gates_ready);
    for (int kind = 0; kind < LEDGERS; kind++)
        close(room->ledger_bells[kind]);
    for (uint32_t i = 0; i < here->layout.gate_count; i++) {
        close(room->gate_bells[i]);
        close(room->gate_stops[i]);
    }
    for (uint32_t core = 0; core < here->layout.core_count; core++) {
        close(room->core_bells[core]);
        for (uint32_t i = 0; i < here->layout.place_count * CELL_SETS; i++)
            close(room->cell_bells[core][i]);
    }
}

static bool open_cores(supervisor *here)
{
    bool is_whole = true;
    for (uint32_t i = 0; i < here->layout.core_count; i++) {
        core_slot *core = &here->cores[i];
        int pair[2] = { -1, -1 };
        is_whole &= socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0;
        *core = (core_slot){ .control = pair[0], .core_end = pair[1] };
        for (uint32_t cell = 0; cell < CORE_PLACES_MAX; cell++)
            core->cells[cell].ready = -1;
    }
    return is_whole;
}

static void close_cores(supervisor *here)
{
    for (uint32_t i = 0; i < here->layout.core_count; i++) {
        close(here->cores[i].control);
        close(here->cores[i].core_end);
    }
}

static int run_once(supervisor *here)
{
    const config *config = here->config;
    layout_shape shape = { .cores = (uint32_t)config->host_cores, .gates = (uint32_t)config->host_gates + (config->bench_load > 0),
                           .cells = (uint32_t)config->cells_max, .has_probation = config_has_probation(config), .columns_bytes = (size_t)config->columns_memory,
                           .directory_bytes = directory_bytes((uint32_t)config->host_cores), .board_bytes = board_bytes((uint32_t)config->host_cores),
                           .has_ledger = { [LEDGER_CHARGING] = config->charging_enabled, [LEDGER_AUDIT] = config->audit_enabled } };
    if (layout_new(&here->layout, &shape) != DRO_OK || directory_format(here->layout.directory, shape.cores) != DRO_OK ||
        (shape.board_bytes > 0 && board_format(here->layout.board, shape.cores) != DRO_OK) ||
        !make_bells(here) || !open_cores(here)) {
        dro_error("no memory or descriptors for the rooms: %m");
        return 1;
    }
    for (uint32_t i = 0; i < here->layout.gate_count; i++)
        layout_format_gate(&here->layout, i, here->room.gate_sets[i] = 0);
    for (int kind = 0; kind < LEDGERS; kind++) {
        here->room.ledger_sets[kind] = 0;
        if (room_has_ledger(config, (enum ledger_kind)kind))
            layout_format_ledger(&here->layout, (enum ledger_kind)kind, 0);
    }
    memset(&here->again, 0, sizeof here->again);
    int code = start_cores(here) ? loop(here) : 1;
    kill_all(here);
    renewal_forget(&here->renewal);
    close_cores(here);
    if (here->room.images >= 0)
        close(here->room.images);
    close_bells(here);
    layout_free(&here->layout);
    return code;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Of several addresses, which are SCTP's, TCP has the first. */
static int listen_for_diameter(const config *config)
{
    char first[sizeof config->diameter_listen];
    const char *comma = strchr(config->diameter_listen, ','), *colon = strrchr(config->diameter_listen, ':');
    if (strcmp(config->diameter_transport, "sctp") == 0)
        return -1;
    snprintf(first, sizeof first, "%s", config->diameter_listen);
    if (comma != NULL && colon != NULL)
        snprintf(first, sizeof first, "%.*s%s", (int)(comma - config->diameter_listen), config->diameter_listen, colon);
    return listen_on(first, "diameter.listen", config->host_gates > 1);
}

static bool open_listeners(supervisor *here)
{
    const config *config = here->config;
    room_context *room = &here->room;
    bool is_tcp = strcmp(config->diameter_transport, "sctp") != 0;
    if (strcmp(config->diameter_transport, "tcp") != 0 &&
        (room->diameter_sctp_listener = listen_on_sctp(config->diameter_listen, "diameter.listen")) < 0)
        return false;
    for (int64_t i = 0; i < config->host_gates; i++) {
        room->http_listeners[i] = listen_on(config->http_listen, "http.listen", config->host_gates > 1);
        room->diameter_listeners[i] = listen_for_diameter(config);
        if (room->http_listeners[i] < 0 || (is_tcp && room->diameter_listeners[i] < 0))
            return false;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, room->gate_renewals[i]) != 0) {
            dro_error("no descriptors for the gates: %m");
            return false;
        }
    }
    return true;
}

int supervise(const config *config, int certificates)
{
    static supervisor here;
    if (dro_clock_share() != DRO_OK) {
        dro_error("no memory for the host's time: %m");
        return 1;
    }
    dro_descriptors_raise(); /* bells: a large host has more of them than the usual soft limit */
    here = (supervisor){ .config = config, .room = { .config = config, .layout = &here.layout, .images = -1, .certificates = certificates } };
    here.room.admin_token = here.admin_token;
    here.signals = open_signals();
    here.room.usage = mmap(NULL, sizeof *here.room.usage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (here.room.usage == MAP_FAILED) {
        dro_error("no memory: %m");
        return 1;
    }
    usage_init(&here.usage, here.room.usage);
    if (!data_open(config->data, here.admin_token) || here.signals < 0)
        return 1;
    if (!open_listeners(&here))
        return 1;
    int code;
    while ((code = run_once(&here)) == CORE_DIED) { /* everything begins anew from the log */
        if (supervisor_is_hopeless(&here))
            return 1;
        here.is_running = false;
        here.gates_ready = 0;
        here.room.images = -1;
        here.image_count = 0;
    }
    return code;
}
