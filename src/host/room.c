#include "host/room.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "cell/admit.h"
#include "cell/cell.h"
#include "ledger/journal.h"
#include "ledger/ledger.h"
#include "twin/audit.h"
#include "core/core.h"
#include "desk/desk.h"
#include "gate/gate.h"
#include "host/certificates.h"
#include "host/control.h"
#include "host/title.h"
#include "load/load.h"

/* ---- entering ---- */

/* A core and its cells hand turns to and fro: on one CPU they find each other's rings in its cache. */
static void pin_pair(const room_context *room, uint32_t core)
{
    cpu_set_t allowed, one;
    if (!room->config->host_pin || sched_getaffinity(0, sizeof allowed, &allowed) != 0 ||
        (uint32_t)CPU_COUNT(&allowed) < room->layout->core_count)
        return;
    int cpu = -1;
    for (uint32_t left = core + 1; left > 0; left -= CPU_ISSET(cpu, &allowed) != 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        dro_warn("host.pin: core %u cannot have CPU %d: %m", core, cpu);
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_all_but(const int *kept, int count)
{
    enum { KEPT_MAX = 256 };
    int sorted[KEPT_MAX], n = 0;
    for (int i = 0; i < count && n < KEPT_MAX; i++)
        if (kept[i] > STDERR_FILENO)
            sorted[n++] = kept[i];
    qsort(sorted, (size_t)n, sizeof sorted[0], by_number);
    unsigned from = STDERR_FILENO + 1;
    for (int i = 0; i < n; i++) {
        if ((unsigned)sorted[i] > from)
            close_range(from, (unsigned)sorted[i] - 1, 0);
        from = (unsigned)sorted[i] + 1;
    }
    close_range(from, ~0u, 0);
}

void room_enter(const char *name, const int *kept, int kept_count)
{
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || parent == 1)
        _exit(1); /* dromiod went before we could say that we go with it */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C is dromiod's to handle */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    title_set(name);
    dro_log_setup(name, dro_log_least());
    struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0);
    close_all_but(kept, kept_count);
}

/* What the rooms cost is for dromiod to write and for gates to read. */
static void keep_usage(room_context *room, bool is_reader)
{
    if (is_reader)
        mprotect(room->usage, sizeof *room->usage, PROT_READ);
    else
        munmap(room->usage, sizeof *room->usage);
}

/* ---- images on their way to cells ---- */

enum { BUNDLE_PAGE = 4096 };

static size_t page_up(size_t bytes)
{
    return (bytes + BUNDLE_PAGE - 1) & ~(size_t)(BUNDLE_PAGE - 1);
}

int bundle_make(const uint8_t *const *artifacts, const size_t *lengths, uint32_t count)
{
    uint64_t head[1 + CORE_IMAGES_MAX] = { count };
    size_t total = page_up(sizeof head);
    for (uint32_t i = 0; i < count; i++) {
        head[1 + i] = lengths[i];
        total += page_up(lengths[i]);
    }
    int file = memfd_create("dromio images", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || ftruncate(file, (off_t)total) != 0)
        return -1;
    bool is_whole = pwrite(file, head, sizeof head, 0) == (ssize_t)sizeof head;
    size_t at = page_up(sizeof head);
    for (uint32_t i = 0; i < count && is_whole; i++) {
        for (size_t done = 0; done < lengths[i] && is_whole;) {
            ssize_t n = pwrite(file, artifacts[i] + done, lengths[i] - done, (off_t)(at + done));
            is_whole = n > 0;
            done += n > 0 ? (size_t)n : 0;
        }
        at += page_up(lengths[i]);
    }
    if (!is_whole || fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        close(file);
        return -1;
    }
    return file;
}

/* Only the images that are wanted stay mapped; NULL: all. */
static uint32_t bundle_open(int file, const cell_images *wanted, cell_image images[CORE_IMAGES_MAX])
{
    uint64_t head[1 + CORE_IMAGES_MAX];
    memset(images, 0, sizeof *images * CORE_IMAGES_MAX);
    if (file < 0 || pread(file, head, sizeof head, 0) != (ssize_t)sizeof head || head[0] > CORE_IMAGES_MAX)
        return 0;
    off_t size = lseek(file, 0, SEEK_END);
    uint8_t *memory = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        return 0;
    size_t at = page_up(sizeof head);
    for (uint32_t i = 0; i < head[0]; i++) {
        if (head[1 + i] > (size_t)size - at)
            return 0;
        if (wanted == NULL || cell_images_has(wanted, i))
            images[i] = (cell_image){ memory + at, head[1 + i] };
        else if (head[1 + i] > 0)
            munmap(memory + at, page_up(head[1 + i]));
        at += page_up(head[1 + i]);
    }
    return (uint32_t)head[0];
}

/* ---- core ---- */

enum { ADMITS = 64 + CORE_IMAGES_MAX };

typedef struct core_room {
    core_supervisor supervisor; /* first: what the core sees */
    room_context *room;
    uint32_t index;
    core *core;
    int results[ADMITS];        /* descriptors of images being looked at, by id */
    bool is_stopping, is_stop_told;
    bool is_replacing[CORE_PLACES_MAX];
} core_room;

static dro_err ask_admit(core_supervisor *supervisor, uint64_t id, const uint8_t *wasm, size_t length)
{
    core_room *here = (core_room *)supervisor;
    int files[CONTROL_DESCRIPTORS] = { memfd_create("dromio image", MFD_CLOEXEC), memfd_create("dromio admit", MFD_CLOEXEC) };
    dro_err err = files[0] < 0 || files[1] < 0 || id >= ADMITS || write(files[0], wasm, length) != (ssize_t)length ? DRO_IO : DRO_OK;
    control message = { .type = CONTROL_ADMIT, .id = id };
    if (err == DRO_OK)
        err = control_send(here->room->control, &message, files);
    if (files[0] >= 0)
        close(files[0]);
    if (err == DRO_OK)
        here->results[id] = files[1];
    else if (files[1] >= 0)
        close(files[1]);
    return err;
}

static bool artifact_is_current(core_supervisor *supervisor, const uint8_t *artifact, size_t length)
{
    admit_options options = { .no_exact_memory = !DROMIO_EXACT_MEMORY };
    (void)supervisor;
    return admit_artifact_is_current(artifact, length, &options);
}

static dro_err give_images(core_supervisor *supervisor, const uint8_t *const *artifacts, const size_t *lengths, uint32_t count)
{
    core_room *here = (core_room *)supervisor;
    int files[CONTROL_DESCRIPTORS] = { bundle_make(artifacts, lengths, count), -1 };
    if (files[0] < 0)
        return DRO_IO;
    control message = { .type = CONTROL_IMAGES, .index = count };
    dro_err err = control_send(here->room->control, &message, files);
    close(files[0]);
    return err;
}

static void ask_replace_cell(core_supervisor *supervisor, uint32_t cell, bool is_old, bool is_cut_short)
{
    core_room *here = (core_room *)supervisor;
    control message = { .type = CONTROL_REPLACE_CELL, .index = cell, .number = is_old, .status = is_cut_short };
    if (control_send(here->room->control, &message, NULL) != DRO_OK)
        _exit(1);
}

static void ask_renew_cell(core_supervisor *supervisor, uint32_t cell)
{
    core_room *here = (core_room *)supervisor;
    if (control_send(here->room->control, &(control){ .type = CONTROL_RENEW_CELL, .index = cell }, NULL) != DRO_OK)
        _exit(1);
}

static void on_admitted(core_room *here, const control *message)
{
    int file = message->id < ADMITS ? here->results[message->id] : -1;
    admit_result *result = calloc(1, sizeof *result);
    bool is_read = file >= 0 && result != NULL && admit_result_read(file, message->status, result) == DRO_OK;
    core_admitted(here->core, message->id, is_read ? result : NULL);
    if (is_read)
        admit_result_free(result);
    free(result);
    if (file >= 0)
        close(file);
    if (message->id < ADMITS)
        here->results[message->id] = -1;
}

/* Contexts in clear that the dead cell did not come to. Only the core knows when nothing is put there any more. */
static void wipe_cell(const cell_memory *memory)
{
    ring_wipe(memory->turns, CELL_RING);
    ring_wipe(memory->results, CELL_RING);
}

static void attach_gate(core_room *here, const control *message)
{
    const gate_memory *memory = &here->room->layout->gates[message->index][message->set];
    ring_reader in;
    ring_writer out;
    ring_reader_open(&in, memory->to_core[here->index], GATE_RING);
    ring_writer_open(&out, memory->from_core[here->index], GATE_RING, here->room->gate_bells[message->index]);
    core_gate_attach(here->core, message->index, in, out);
}

static void lose_gate(core_room *here, const control *message)
{
    const gate_memory *memory = &here->room->layout->gates[message->index][message->set];
    core_gate_lost(here->core, message->index);
    ring_wipe(memory->to_core[here->index], GATE_RING);
    ring_wipe(memory->from_core[here->index], GATE_RING);
}

static void attach_cell(core_room *here, const control *message)
{
    const cell_memory *memory = &here->room->layout->cells[here->index][message->index][message->set];
    ring_reader in;
    ring_writer out;
    ring_reader_open(&in, memory->results, CELL_RING);
    ring_writer_open(&out, memory->turns, CELL_RING, here->room->cell_bells[here->index][message->index * CELL_SETS + message->set]);
    core_cell_attach(here->core, message->index, in, out, message->number,
                     layout_running(here->room->layout, here->index, message->index, message->set));
    here->is_replacing[message->index] = true;
}

static void attach_ledger(core_room *here, const control *message)
{
    const ledger_memory *memory = &here->room->layout->ledgers[message->index][message->set];
    ring_reader in;
    ring_writer out;
    ring_reader_open(&in, memory->to_core[here->index], LEDGER_SAID_RING);
    ring_writer_open(&out, memory->from_core[here->index], LEDGER_RING, here->room->ledger_bells[message->index]);
    core_ledger_attach(here->core, (enum ledger_kind)message->index, in, out);
}

/* Each core tells of its own cells, core 0 of the rest. */
static void died_note(core_room *here, const char *kind, const uint32_t *number)
{
    char name[32];
    if (number == NULL)
        snprintf(name, sizeof name, "%s", kind);
    else if (strcmp(kind, "cell") == 0)
        layout_cell_name(here->room->layout, here->index, *number, name);
    else
        snprintf(name, sizeof name, "%s %u", kind, *number);
    if (here->index == 0 || strcmp(kind, "cell") == 0)
        core_audit(here->core, AUDIT_ROOM_DIED, name, NULL);
}

static void on_control(core_room *here, const control *message)
{
    const cell_memory(*cells)[CELL_SETS] = here->room->layout->cells[here->index];
    switch (message->type) {
    case CONTROL_ADMITTED: on_admitted(here, message); break;
    case CONTROL_GATE_UP: attach_gate(here, message); break;
    case CONTROL_GATE_LOST:
        lose_gate(here, message);
        died_note(here, "gate", &message->index);
        break;
    case CONTROL_CELL_UP: attach_cell(here, message); break;
    case CONTROL_CELL_LOST:
        core_cell_lost(here->core, message->index);
        died_note(here, "cell", &message->index);
        wipe_cell(&cells[message->index][message->set]);
        break;
    case CONTROL_OLD_CELL_LOST:
        core_old_cell_lost(here->core, message->index);
        wipe_cell(&cells[message->index][message->set]);
        break;
    case CONTROL_LEDGER_UP: attach_ledger(here, message); break;
    case CONTROL_LEDGER_LOST:
        core_ledger_lost(here->core, (enum ledger_kind)message->index);
        died_note(here, message->index == LEDGER_AUDIT ? "audit" : "charging", NULL);
        break;
    case CONTROL_DRAIN: core_drain(here->core); break;
    case CONTROL_STOP: here->is_stopping = true; break;
    default: break;
    }
}

static void take_control(core_room *here)
{
    control message;
    int files[CONTROL_DESCRIPTORS];
    dro_err err;
    while ((err = control_receive(here->room->control, &message, files)) == DRO_OK)
        on_control(here, &message);
    if (err == DRO_IO)
        _exit(1);
}

static void tell_drained(core_room *here)
{
    for (uint32_t i = 0; i < here->room->layout->place_count; i++) {
        if (!here->is_replacing[i] || !core_cell_drained(here->core, i))
            continue;
        here->is_replacing[i] = false;
        control message = { .type = CONTROL_CELL_DRAINED, .index = i };
        if (control_send(here->room->control, &message, NULL) != DRO_OK)
            _exit(1);
    }
}

static void core_sleep(core_room *here)
{
    if (core_prepare_sleep(here->core))
        return;
    int bell = here->room->core_bells[here->index];
    struct pollfd on[] = { { bell, POLLIN, 0 }, { here->room->control, POLLIN, 0 }, { core_descriptor(here->core), POLLIN, 0 } };
    int64_t due = core_next_due(here->core);
    if (due < 0 || due > 1000000000)
        due = 1000000000;
    struct timespec wait = { due / 1000000000, due % 1000000000 };
    ppoll(on, 3, &wait, NULL);
    core_awake(here->core);
    uint64_t count;
    if (on[0].revents & POLLIN && read(bell, &count, sizeof count) < 0)
        dro_debug("bell: %m");
    if (on[1].revents != 0)
        take_control(here);
}

static void core_loop(core_room *here)
{
    enum { ROUNDS_BETWEEN_CONTROL = 64 };
    for (unsigned round = 0;; round++) {
        if (here->is_stopping && !here->is_stop_told && core_stop(here->core)) {
            control message = { .type = CONTROL_STOPPED };
            here->is_stop_told = true;
            if (control_send(here->room->control, &message, NULL) != DRO_OK)
                _exit(1);
            core_close(here->core);
            _exit(0);
        }
        int work = core_round(here->core);
        tell_drained(here);
        if (work == 0)
            core_sleep(here);
        else if (round % ROUNDS_BETWEEN_CONTROL == 0)
            take_control(here);
    }
}

static void enter_core(room_context *room, uint32_t index)
{
    int kept[9 + CORES_MAX + CORE_GATES_MAX + CORE_PLACES_MAX * CELL_SETS], n = 0;
    char name[32];
    kept[n++] = room->control;
    for (int kind = 0; kind < LEDGERS; kind++)
        if (room_has_ledger(room->config, (enum ledger_kind)kind))
            kept[n++] = room->ledger_bells[kind];
    for (uint32_t i = 0; i < room->layout->core_count; i++)
        kept[n++] = room->core_bells[i];
    for (uint32_t i = 0; i < room->layout->gate_count; i++)
        kept[n++] = room->gate_bells[i];
    for (uint32_t i = 0; i < room->layout->place_count * CELL_SETS; i++)
        kept[n++] = room->cell_bells[index][i];
    snprintf(name, sizeof name, "core %u", index);
    room_enter(name, kept, n);
    pin_pair(room, index);
    layout_keep_core(room->layout, index);
    keep_usage(room, false);
}

static void budgets_of(const config *config, budget_limits out[BUDGET_SCOPES])
{
    for (int scope = 0; scope < BUDGET_SCOPES; scope++)
        for (int value = 0; value < BUDGET_VALUES; value++)
            out[scope].of[value] = (uint32_t)config->budgets[scope][value];
}

static conduct_options conduct_of(const config *config)
{
    return (conduct_options){ .penalty_failures = (uint32_t)config->penalty_failures, .penalty_forget_ms = config->penalty_forget * 1000,
                              .penalty_first_ms = config->penalty_first * 1000, .penalty_longest_ms = config->penalty_longest * 1000,
                              .window_ms = config->quarantine_seconds * 1000, .quarantine_twins = (uint32_t)config->quarantine_twins,
                              .quarantine_percent = (uint32_t)config->quarantine_percent, .quarantine_kills = (uint32_t)config->quarantine_kills };
}

static application_limits limits_of(const config *config)
{
    return (application_limits){ .of = { [LIMIT_REQUESTS] = (uint32_t)config->limits_requests, [LIMIT_BURST] = (uint32_t)config->limits_burst,
                                         [LIMIT_DOWNLINKS] = (uint32_t)config->limits_downlinks,
                                         [LIMIT_CONFIGURATIONS] = (uint32_t)config->limits_configurations,
                                         [LIMIT_SUBSCRIPTIONS] = (uint32_t)config->limits_subscriptions } };
}

/* The host's own files are core 0's. */
static dro_err open_disks(const config *config, core_options *options)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/log", config->data);
    dro_err err = disk_open_directory(&options->log_disk, path);
    snprintf(path, sizeof path, "%s/images", config->data);
    return err == DRO_OK ? disk_open_directory(&options->image_disk, path) : err;
}

/* What is in force from now on, by its digest: `dromiod --print-config` of the same configuration has it too. */
static void started_note(core *core, const config *config)
{
    char detail[200], digest[CONFIG_DIGEST_TEXT];
    config_digest(config, digest);
    snprintf(detail, sizeof detail, "dromiod %s, configuration sha256:%s", DROMIO_VERSION, digest);
    core_audit(core, AUDIT_HOST_STARTED, config->host_identity, detail);
}

_Noreturn void room_core(room_context *room, uint32_t index)
{
    enter_core(room, index);
    static core_room here;
    here = (core_room){ .supervisor = { ask_admit, artifact_is_current, give_images, ask_replace_cell, ask_renew_cell }, .room = room, .index = index };
    const config *config = room->config;
    static log_store_directory logs;
    log_store_directory_init(&logs, config->data);
    core_options options = { .clock = dro_clock_system(), .random = dro_random_system(), .index = index,
                             .count = room->layout->core_count, .board = room->layout->board, .bells = room->core_bells,
                             .logs = &logs.store, .master_key_path = config->vault_master_key, .master_key_before = config->vault_master_key_before, .columns_memory = room->layout->columns[index],
                             .columns_bytes = room->layout->columns_bytes, .supervisor = &here.supervisor,
                             .admin_token = room->admin_token, .gate_count = room->layout->gate_count,
                             .cell_count = room->layout->cell_count,
                             .has_probation = config_has_probation(config), .trust = config->trust.group_count > 0 ? &config->trust : NULL,
                             .cell_images = config->trust.group_count > 0 ? layout_wanted(room->layout, index, 0) : NULL, .segment_bytes = (uint32_t)config->log_segment,
                             .timeline_bytes = (uint64_t)config->log_timeline,
                             .context_bytes = (uint64_t)config->contexts_memory / room->layout->core_count, .replay_bytes = (uint64_t)config->log_replay,
                             .downlink = { .packets = (uint32_t)config->downlink_packets, .bytes = (uint32_t)config->downlink_bytes,
                                           .size = (uint32_t)config->downlink_size, .age_s = config->downlink_age,
                                           .memory = (uint64_t)config->downlink_memory / room->layout->core_count },
                             .charging = { config->charging_enabled, config->charging_imsi,
                                           (uint64_t)config->charging_backlog / room->layout->core_count },
                             .audit = { config->audit_enabled, (uint64_t)config->audit_backlog / room->layout->core_count },
                             .conduct = conduct_of(config),
                             .no_log = config->bench_no_log, .t8_root = config->t8_api_root, .group_guard_s = (uint32_t)config->t8_group_guard, .schedule_pause_s = (uint32_t)config->schedule_pause,
                             .trigger_sender = config->t8_trigger_sender, .trigger_port = config->t8_trigger_port,
                             .reliable_data = config->t8_reliable_data_service, .reliable_data_timer_s = config->t8_reliable_data_timer, .has_hss = config_has_hss(config),
                             .issuer = config->auth_issuer, .audience = config->auth_audience,
                             .limits = limits_of(config), .has_provision_scope = config->auth_provision_scope, .token_life_s = config->auth_token_life, .key_life_s = config->auth_key_life };
    budgets_of(config, options.budgets);
    options.apns = (apn_policy){ config->apns, config->apn_count, config->t8_apn, strcmp(config->t8_without_configuration, "refuse") == 0 };
    dro_err err = directory_open(&options.directory, room->layout->directory, options.count);
    if (err == DRO_OK && index == 0)
        err = open_disks(config, &options);
    if (err == DRO_OK)
        err = core_open(&here.core, &options);
    if (err != DRO_OK) {
        dro_error("cannot start: \"%s\"", dro_err_text(err));
        _exit(3);
    }
    if (index == 0)
        started_note(here.core, config);
    control message = { .type = CONTROL_READY, .status = core_keys_are_secret(here.core) };
    if (control_send(room->control, &message, NULL) != DRO_OK)
        _exit(1);
    core_loop(&here);
    _exit(0);
}

/* ---- the others ---- */

static void enter_gate(room_context *room, uint32_t index)
{
    char name[32];
    int kept[9 + CORES_MAX] = { room->gate_bells[index], room->desk_bell, room->gate_stops[index], room->gates_ready,
                                room->http_listeners[index], room->diameter_listeners[index], room->certificates,
                                room->gate_renewals[index][1], room->diameter_sctp_listener };
    memcpy(kept + 9, room->core_bells, sizeof room->core_bells);
    snprintf(name, sizeof name, "gate %u", index);
    room_enter(name, kept, 9 + (int)room->layout->core_count);
    layout_keep_gate(room->layout, index, room->gate_sets[index]);
    keep_usage(room, true);
}

typedef struct core_rings { /* of a gate with every core */
    ring_writer to_core[CORES_MAX];
    ring_reader from_core[CORES_MAX];
    directory directory;
} core_rings;

static void open_rings(const room_context *room, uint32_t index, core_rings *rings)
{
    const layout *layout = room->layout;
    const gate_memory *memory = &layout->gates[index][room->gate_sets[index]];
    for (uint32_t i = 0; i < layout->core_count; i++) {
        ring_writer_open(&rings->to_core[i], memory->to_core[i], GATE_RING, room->core_bells[i]);
        ring_reader_open(&rings->from_core[i], memory->from_core[i], GATE_RING);
    }
    if (directory_open(&rings->directory, layout->directory, layout->core_count) != DRO_OK)
        _exit(3);
}

_Noreturn void room_gate(room_context *room, uint32_t index)
{
    char health[160];
    enter_gate(room, index);
    const layout *layout = room->layout;
    const gate_memory *memory = &layout->gates[index][room->gate_sets[index]];
    static core_rings rings;
    ring_writer to_desk;
    ring_reader from_desk;
    open_rings(room, index, &rings);
    ring_writer_open(&to_desk, memory->to_desk, DESK_RING, room->desk_bell);
    ring_reader_open(&from_desk, memory->from_desk, DESK_RING);
    const config *config = room->config;
    snprintf(health, sizeof health, "\"sandbox\":\"%s\",\"keys_in_memfd_secret\":%s", config->cell_sandbox,
             room->is_key_secret ? "true" : "false");
    gate_config gate = { .index = index, .core_count = layout->core_count, .to_core = rings.to_core, .from_core = rings.from_core, .directory = &rings.directory,
                         .to_desk = &to_desk,
                         .from_desk = &from_desk, .doorbell = room->gate_bells[index],
                         .http_listener = room->http_listeners[index], .diameter_listener = room->diameter_listeners[index],
                         .diameter_sctp_listener = room->diameter_sctp_listener, .connects_over_sctp = strcmp(config->diameter_transport, "sctp") == 0,
                         .certificates = room->certificates, .certificate_renewals = room->gate_renewals[index][1],
                         .identity = config->host_identity, .realm = config->host_realm, .peers = config->peers,
                         .peer_count = config->peer_count, .accept_any_peer = config->diameter_accept[0] != '\0',
                         .roaming = &config->interworking,
                         .ready = room->gates_ready, .console_directory = config->console_directory, .version = DROMIO_VERSION, .health = health,
                         .t8_root = config->t8_api_root, .t8_allow_callbacks = config->t8_allow_callbacks,
                         .issuers = config->issuers, .issuer_count = config->issuer_count, .limits = limits_of(config), .gate_count = layout->gate_count,
                         .usage = room->usage, .issuer = config->auth_issuer, .audience = config->auth_audience, .skew_s = config->auth_clock_skew,
                         .capif = config->capif, .clock = dro_clock_system(),
                         .audit = { config->audit_enabled, config->audit_twins, config->audit_t8, config->audit_commands } };
    _exit(gate_run(&gate, room->gate_stops[index]));
}

_Noreturn void room_load(room_context *room, uint32_t index)
{
    int kept[3 + CORES_MAX] = { room->gate_bells[index], room->gate_stops[index], room->gates_ready };
    memcpy(kept + 3, room->core_bells, sizeof room->core_bells);
    room_enter("load", kept, 3 + (int)room->layout->core_count);
    layout_keep_gate(room->layout, index, room->gate_sets[index]);
    keep_usage(room, false);
    static core_rings rings;
    uint64_t seed;
    open_rings(room, index, &rings);
    dro_random_system()->fill(dro_random_system(), &seed, sizeof seed);
    load_config load = { .core_count = room->layout->core_count, .to_core = rings.to_core, .from_core = rings.from_core,
                         .directory = &rings.directory, .doorbell = room->gate_bells[index],
                         .ready = room->gates_ready, .twins = (uint32_t)room->config->bench_load,
                         .packets = (uint32_t)room->config->bench_downlinks,
                         .window = (uint32_t)room->config->bench_window, .seed = seed, .clock = dro_clock_system() };
    _exit(load_run(&load, room->gate_stops[index]));
}

_Noreturn void room_desk(room_context *room)
{
    int kept[2 + CORE_GATES_MAX] = { room->desk_bell, room->desk_stop };
    memcpy(kept + 2, room->gate_bells, sizeof room->gate_bells);
    room_enter("desk", kept, 2 + (int)room->layout->gate_count);
    layout_keep_desk(room->layout);
    keep_usage(room, false);
    static ring_reader from[CORE_GATES_MAX];
    static ring_writer to[CORE_GATES_MAX];
    static uint32_t stale[CORE_GATES_MAX];
    for (uint32_t i = 0; i < room->layout->gate_count; i++) {
        gate_memory *memory = &room->layout->gates[i][room->gate_sets[i]];
        from[i] = room->desk_questions[i];
        stale[i] = from[i].tail_seen;
        ring_writer_open(&to[i], memory->from_desk, DESK_RING, room->gate_bells[i]);
    }
    desk_config desk = { .gate_count = room->layout->gate_count, .from_gate = from, .to_gate = to, .stale = stale, .doorbell = room->desk_bell,
                         .columns = (const void *const *)room->layout->columns, .core_count = room->layout->core_count, .columns_bytes = room->layout->columns_bytes,
                         .clock = dro_clock_system() };
    _exit(desk_run(&desk, room->desk_stop));
}

bool room_has_ledger(const config *config, enum ledger_kind kind)
{
    return kind == LEDGER_CHARGING ? config->charging_enabled : config->audit_enabled;
}

static void open_ledger(const room_context *room, enum ledger_kind kind, ledger_config *opened)
{
    const ledger_memory *memory = &room->layout->ledgers[kind][room->ledger_sets[kind]];
    for (uint32_t i = 0; i < room->layout->core_count; i++) {
        ring_reader_open(&opened->from_core[i], memory->from_core[i], LEDGER_RING);
        ring_writer_open(&opened->to_core[i], memory->to_core[i], LEDGER_SAID_RING, room->core_bells[i]);
    }
}

_Noreturn void room_ledger(room_context *room, enum ledger_kind kind)
{
    static ring_reader from[CORES_MAX];
    static ring_writer to[CORES_MAX];
    const layout *layout = room->layout;
    const config *config = room->config;
    bool is_audit = kind == LEDGER_AUDIT;
    const char *name = is_audit ? "audit" : "charging", *wanted = is_audit ? config->audit_directory : config->charging_directory;
    int kept[1 + CORES_MAX] = { room->ledger_bells[kind] };
    char directory[sizeof config->data + 16];
    memcpy(kept + 1, room->core_bells, sizeof room->core_bells);
    room_enter(name, kept, 1 + (int)layout->core_count);
    layout_keep_ledger(room->layout, kind, room->ledger_sets[kind]);
    keep_usage(room, false);
    snprintf(directory, sizeof directory, "%s/%s", config->data, name);
    ledger_config ledger = { .kind = is_audit ? &journal_audit : &journal_charging, .core_count = layout->core_count, .from_core = from,
                             .to_core = to, .doorbell = room->ledger_bells[kind], .directory = wanted[0] != '\0' ? wanted : directory,
                             .node = config->host_identity,
                             .file_bytes = (uint64_t)(is_audit ? config->audit_file_bytes : config->charging_file_bytes),
                             .file_age_s = is_audit ? config->audit_file_age : config->charging_file_age,
                             .clock = dro_clock_system(), .random = dro_random_system() };
    open_ledger(room, kind, &ledger);
    ledger_run(&ledger);
}

static void enter_cell(room_context *room, uint32_t core, uint32_t index, uint32_t set)
{
    char name[32];
    int kept[] = { room->cell_bells[core][index * CELL_SETS + set], room->core_bells[core], room->ready, room->images };
    layout_cell_name(room->layout, core, index, name);
    room_enter(name, kept, room->images >= 0 ? 4 : 3);
    pin_pair(room, core);
    layout_keep_cell(room->layout, core, index, set);
    keep_usage(room, false);
}

_Noreturn void room_cell(room_context *room, uint32_t core, uint32_t index, uint32_t set)
{
    cell_images wanted;
    bool has_groups = room->config->trust.group_count > 0;
    for (int i = 0; i < CORE_IMAGES_MAX / 64; i++) /* before that memory goes; what is wanted later is for the next one */
        atomic_init(&wanted.bits[i], atomic_load(&layout_wanted(room->layout, core, index)->bits[i]));
    enter_cell(room, core, index, set);
    int bell = room->cell_bells[core][index * CELL_SETS + set];
    static cell_image images[CORE_IMAGES_MAX];
    uint32_t count = bundle_open(room->images, has_groups ? &wanted : NULL, images);
    if (room->images >= 0)
        close(room->images);
    const cell_memory *memory = &room->layout->cells[core][index][set];
    ring_reader turns;
    ring_writer results;
    ring_reader_open(&turns, memory->turns, CELL_RING);
    ring_writer_open(&results, memory->results, CELL_RING, room->core_bells[core]);
    cell_options options = { .images = images, .image_count = count, .turns = &turns, .results = &results, .doorbell = bell,
                             .running = layout_running(room->layout, core, index, set), .gives_way = index >= room->layout->cell_count };
    cell *cell;
    dro_err err = cell_new(&cell, &options);
    if (err != DRO_OK)
        dro_error("cannot start: \"%s\"", dro_err_text(err));
    if (err != DRO_OK)
        _exit(3);
    if (strcmp(room->config->cell_sandbox, "on") != 0)
        cell_give_way(cell);
    else if ((err = cell_confine(cell, room->ready)) != DRO_OK) {
        dro_error("cannot be confined: \"%s\"; cell.sandbox = \"off\" runs without", dro_err_text(err));
        _exit(4);
    }
    if (write(room->ready, "r", 1) != 1) /* it cannot be closed any more; dromiod reads this byte and closes its end */
        _exit(3);
    cell_run(cell);
}

_Noreturn void room_certificates(room_context *room, int bundle)
{
    room_enter("certificates", &bundle, 1);
    layout_free(room->layout);
    certificates_read(room->config, bundle, true);
}

_Noreturn void room_admit(room_context *room, int wasm, int out)
{
    int kept[] = { wasm, out };
    room_enter("admit", kept, 2);
    layout_free(room->layout);
    admit_options options = { .no_exact_memory = !DROMIO_EXACT_MEMORY };
    _exit(admit_process(wasm, out, &options));
}
