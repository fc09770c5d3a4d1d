#include "simulation.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "core/number.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

enum {
    SEGMENT = 256 * 1024,
    BACKLOG = 64,
    MINUTES_LEAST = 2, MINUTES_MORE = 5,
    ROUND_IDLE = 8,           /* rounds without work, from which time goes on to what is due */
    JUMP_MS_MAX = 2000,
    CALM_MS_MAX = 40 * 60 * 1000,
    WOES_PERMILLE = 3,        /* of the rounds in which something breaks */
};
static const char token[] = "simulated-admin";

const char *sim_token(void)
{
    return token;
}

const uint8_t *sim_image(size_t *length)
{
    static uint8_t bytes[48 * 1024];
    static size_t kept;
    if (kept == 0) {
        FILE *file = fopen(THERMO, "rb");
        WORLD_ASSERT(file != NULL);
        kept = fread(bytes, 1, sizeof bytes, file);
        WORLD_ASSERT(kept > 0 && kept < sizeof bytes);
        fclose(file);
    }
    *length = kept;
    return bytes;
}

/* Memory that the kernel hides costs 30 ms a start: here nobody looks. */
void *__wrap_vault_secret_new(size_t bytes, bool *is_secret);
void *__wrap_vault_secret_new(size_t bytes, bool *is_secret)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *is_secret = false;
    return memory == MAP_FAILED ? NULL : memory;
}

/* ---- the trace ---- */

int64_t sim_now(const simulation *sim)
{
    return sim->world.clock.wall_ms;
}

uint32_t sim_below(simulation *sim, uint32_t limit)
{
    return world_below(&sim->world, limit);
}

bool sim_chance(simulation *sim, uint32_t permille)
{
    return world_below(&sim->world, 1000) < permille;
}

uint64_t sim_digest(const void *bytes, size_t length)
{
    return dro_hash(11, bytes, length);
}

void sim_note(simulation *sim, const char *format, ...)
{
    char *line = sim->lines[sim->line_next++ % SIM_LINES];
    int head = snprintf(line, SIM_LINE_BYTES, "%9.3f ", (double)(sim->world.clock.monotonic_ns) / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + head, SIM_LINE_BYTES - (size_t)head, format, arguments);
    va_end(arguments);
    sim->hash = dro_hash(sim->hash, line, strlen(line));
    if (sim->options.is_traced)
        puts(line);
}

static simulation *running;

static void show_last(void)
{
    if (running == NULL)
        return;
    for (uint64_t i = running->line_next > SIM_LINES ? running->line_next - SIM_LINES : 0; i < running->line_next; i++)
        fprintf(stderr, "%s\n", running->lines[i % SIM_LINES]);
    fprintf(stderr, "seed %llu; all of it: simulate --seed %llu --trace\n", (unsigned long long)running->options.seed,
            (unsigned long long)running->options.seed);
}

void sim_fail(simulation *sim, const char *file, int line, const char *what)
{
    (void)sim;
    world_fail(file, line, what);
}

/* ---- gates ---- */

static int listen_somewhere(char name[16], size_t *length)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof address;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = descriptor < 0 ? -1 : bind(descriptor, (struct sockaddr *)&address, sizeof address.sun_family); /* any name */
    if (result == 0)
        result = listen(descriptor, BACKLOG);
    if (result == 0)
        result = getsockname(descriptor, (struct sockaddr *)&address, &size);
    WORLD_ASSERT(result == 0);
    *length = size - offsetof(struct sockaddr_un, sun_path);
    WORLD_ASSERT(*length <= 16);
    memcpy(name, address.sun_path, *length);
    return descriptor;
}

static void gate_begin(simulation *sim, uint32_t index)
{
    struct sim_gate *gate = &sim->gates[index];
    world *world = &sim->world;
    gate_config config = { .index = index, .core_count = world->core_count, .to_core = world->gates[index].to_core,
                           .from_core = world->gates[index].from_core, .directory = world->core_count > 1 ? &world->directory : NULL,
                           .doorbell = gate->doorbell, .http_listener = gate->http, .diameter_listener = gate->diameter,
                           .identity = "scef.dromio.test", .realm = "dromio.test", .accept_any_peer = true, .gate_count = WORLD_GATES,
                           .version = "0", .t8_root = "http://h", .t8_allow_callbacks = "", .health = "", .clock = &world->clock.clock,
                           .random = &world->random.random };
    dro_err err = gate_room_new(&gate->room, &config, gate->stop);
    WORLD_ASSERT(err == DRO_OK);
}

static void gates_end(simulation *sim)
{
    for (uint32_t i = 0; i < WORLD_GATES; i++) {
        gate_room_free(sim->gates[i].room);
        sim->gates[i].room = NULL;
    }
}

static int on_gate(void *context, uint32_t index)
{
    simulation *sim = context;
    if (sim->gates[index].room == NULL)
        return 0;
    bool goes_on = gate_room_step(sim->gates[index].room, 0);
    SIM_MUST(sim, goes_on);
    return 0;
}

static void gate_lose(simulation *sim)
{
    uint32_t index = sim_below(sim, WORLD_GATES);
    sim_note(sim, "gate %u dies", index);
    gate_room_free(sim->gates[index].room);
    world_gate_lose(&sim->world, index);
    world_gate_open(&sim->world, index);
    gate_begin(sim, index);
    sim->counts.gates_lost++;
}

/* ---- starts and ends ---- */

static void disk_fills(simulation *sim, bool is_full)
{
    sim_note(sim, "the disk is %s", is_full ? "full" : "not full any more");
    sim->is_disk_full = is_full;
    disk_memory_fill(sim->world.log_disk, is_full);
    sim->counts.full_disks += is_full;
}

static void host_begin(simulation *sim)
{
    dro_err err = world_open(&sim->world);
    sim_note(sim, "%u cores open: %s", sim->world.core_count, dro_err_text(err));
    if (err == DRO_LIMIT && sim->is_disk_full) { /* who runs it makes room, and starts it again */
        disk_fills(sim, false);
        err = world_open(&sim->world);
    }
    SIM_MUST(sim, err == DRO_OK);
    world_check(&sim->world);
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        gate_begin(sim, i);
}

/* All rooms end at once. Of what was being written, any part may be there; with `is_power`, of each write any of its blocks. */
static void host_end(simulation *sim, bool is_power)
{
    gates_end(sim);
    disk_memory_tear(sim->world.log_disk, is_power);
    disk_memory_faults next = { .seed = dro_random_next(&sim->world.random) };
    world_power_cut(&sim->world, &next);
}

static void host_again(simulation *sim, bool is_power)
{
    host_end(sim, is_power);
    if (sim_chance(sim, 250)) {
        uint32_t cores = 1 + sim_below(sim, 3);
        if (cores != sim->world.core_count) {
            sim->follower.may_miss = true;
            sim->counts.moves++;
        }
        world_cores(&sim->world, cores);
    }
    host_begin(sim);
}

/* ---- woes ---- */

static void disk_fails(simulation *sim)
{
    sim_note(sim, "the disk is about to fail");
    disk_memory_fail(sim->world.log_disk, 1 + sim_below(sim, 40));
    sim->counts.broken_disks++;
}

static void something_breaks(simulation *sim)
{
    uint32_t what = sim_below(sim, 100);
    if (what < 30) {
        network_lose(sim);
    } else if (what < 50) {
        customer_lose(sim);
    } else if (what < 58) {
        link_close(&sim->follower.link);
        sim->follower.is_open = false;
    } else if (what < 68) {
        gate_lose(sim);
    } else if (what < 80) {
        sim_note(sim, "a cell dies");
        world_cell_lose(&sim->world);
        sim->counts.cells_lost++;
    } else if (what < 87) {
        sim_note(sim, "all rooms are killed");
        host_again(sim, false);
        sim->counts.kills++;
    } else if (what < 95) {
        sim_note(sim, "the power goes");
        host_again(sim, true);
        sim->counts.power_cuts++;
    } else if (what < 97) {
        disk_fails(sim);
    } else {
        disk_fills(sim, !sim->is_disk_full);
    }
}

/* ---- time ---- */

static int64_t soonest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_due_ms(const simulation *sim)
{
    int64_t due = soonest(soonest(network_due(sim), customers_due(sim)), follower_due(sim));
    for (uint32_t i = 0; i < sim->world.core_count; i++) {
        int64_t left_ns = core_next_due(sim->world.seats[i].core);
        if (left_ns >= 0)
            due = soonest(due, sim_now(sim) + left_ns / 1000000 + 1);
    }
    return due;
}

static void time_goes(simulation *sim, int work)
{
    sim->idle = work > 0 ? 0 : sim->idle + 1;
    if (sim->idle < ROUND_IDLE) {
        world_advance(&sim->world, sim_below(sim, 3));
        return;
    }
    int64_t left = next_due_ms(sim) - sim_now(sim);
    world_advance(&sim->world, left < 1 ? 1 : left > JUMP_MS_MAX ? JUMP_MS_MAX : left);
}

static void step(simulation *sim)
{
    links_look(sim);
    int work = network_step(sim) + customers_step(sim) + follower_step(sim);
    sim->counts.steps++;
    if (world_failed(&sim->world)) {
        sim_note(sim, "the log is broken: all begins anew");
        host_again(sim, false);
    }
    work += world_round(&sim->world);
    if (sim_chance(sim, 20))
        world_check(&sim->world);
    time_goes(sim, work);
}

/* ---- the end ---- */

uint32_t sim_letters(simulation *sim, const device *device)
{
    char id[64];
    uint32_t count = 0;
    snprintf(id, sizeof id, "{\"id\":\"%s\"", device->id);
    for (uint32_t c = 0; c < sim->world.core_count; c++) {
        const dead_letters *letters = &sim->world.seats[c].core->dead_letters;
        for (uint32_t i = 0; i < letters->count; i++)
            count += strncmp(letters->list[i].text, id, strlen(id)) == 0 && strstr(letters->list[i].text, "\"frame\":\"01") != NULL;
    }
    return count;
}

static bool is_done(const simulation *sim)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        const device *device = &sim->devices[i];
        if (device->asks != DEVICE_IDLE || device->acked != device->sent || device->confirm >= 0)
            return false;
        if (device->is_event_known && device->event_seen != device->readings_seen)
            return false;
    }
    return customers_are_done(sim);
}

static void calm(simulation *sim)
{
    sim_note(sim, "calm");
    sim->is_calm = true;
    if (sim->is_disk_full)
        disk_fills(sim, false);
    disk_memory_fail(sim->world.log_disk, UINT32_MAX);
    for (uint32_t i = 0; i < sim->device_count; i++)
        sim->devices[i].wake_ms = sim_now(sim); /* a contact: what waits leaves */
    for (int64_t until = sim_now(sim) + CALM_MS_MAX; !is_done(sim);) {
        SIM_MUST(sim, sim_now(sim) < until);
        step(sim);
    }
}

static uint32_t tickets_of(const simulation *sim, const device *device)
{
    for (uint32_t i = 0; i < sim->world.core_count; i++) {
        const core *core = sim->world.seats[i].core;
        uint32_t index = twin_find(core, device->id, strlen(device->id));
        if (index != NONE)
            return twin_at(core, index)->extra == NULL ? 0 : twin_at(core, index)->extra->ticket_count;
    }
    return UINT32_MAX;
}

static void check_end(simulation *sim)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        const device *device = &sim->devices[i];
        int newest = -1;
        SIM_MUST(sim, tickets_of(sim, device) == device->command_count); /* none was made for an answer that was lost */
        for (uint32_t k = 0; k < device->command_count; k++)
            if (!device->commands[k].is_action && device->commands[k].fate == COMMAND_REPORTED)
                newest = (int)k;
        if (device->newest_command > 0 && newest >= 0)
            SIM_MUST(sim, device->period >= newest + 10);
    }
}

/* A start then reads little, and cannot tell all events again that came before. */
static bool is_log_short(const sim_options *options)
{
    return options->seed % 2 == 0;
}

static void begin(simulation *sim, const sim_options *options)
{
    static uint8_t hash[32];
    SHA256((const uint8_t *)token, sizeof token - 1, hash);
    world_options of_world = { .seed = options->seed, .segment_bytes = SEGMENT, .replay_bytes = is_log_short(options) ? 2 * SEGMENT : 16 << 20, .timeline_bytes = 16 << 20,
                               .context_bytes = options->seed % 3 == 0 ? 1000 : 0, .faults = { .seed = options->seed },
                               .cores = 1 + (uint32_t)(options->seed % 3), .on_gate = on_gate, .context = sim, .admin_token = hash };
    *sim = (simulation){ .options = *options, .hash = 14695981039346656037u };
    running = sim;
    world_on_fail = show_last;
    world_init(&sim->world, &of_world);
    sim->epoll = epoll_create1(EPOLL_CLOEXEC);
    WORLD_ASSERT(sim->epoll >= 0);
    for (uint32_t i = 0; i < WORLD_GATES; i++) {
        struct sim_gate *gate = &sim->gates[i];
        gate->http = listen_somewhere(gate->http_name, &gate->http_length);
        gate->diameter = listen_somewhere(gate->diameter_name, &gate->diameter_length);
        gate->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        gate->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        WORLD_ASSERT(gate->doorbell >= 0 && gate->stop >= 0);
    }
    sim->device_count = 2 + sim_below(sim, SIM_DEVICES_MAX - 1);
    sim->began_ms = sim_now(sim);
    uint32_t minutes = options->minutes > 0 ? options->minutes : MINUTES_LEAST + sim_below(sim, MINUTES_MORE);
    sim->end_ms = sim->began_ms + minutes * 60000ll;
    network_init(sim);
    customers_init(sim);
    follower_init(sim);
    sim->follower.has_gaps = is_log_short(options);
    host_begin(sim);
}

static void end(simulation *sim)
{
    network_fini(sim);
    customers_fini(sim);
    follower_fini(sim);
    gates_end(sim);
    for (uint32_t i = 0; i < WORLD_GATES; i++) {
        close(sim->gates[i].http);
        close(sim->gates[i].diameter);
        close(sim->gates[i].doorbell);
        close(sim->gates[i].stop);
    }
    close(sim->epoll);
    world_fini(&sim->world);
    running = NULL;
}

uint64_t simulate(const sim_options *options, sim_counts *counts, int64_t *simulated_ms)
{
    static simulation sim;
    begin(&sim, options);
    while (sim_now(&sim) < sim.end_ms) {
        if (sim_chance(&sim, WOES_PERMILLE) && sim.is_image_kept)
            something_breaks(&sim);
        step(&sim);
    }
    calm(&sim);
    check_end(&sim);
    world_check(&sim.world);
    *simulated_ms = sim_now(&sim) - sim.began_ms;
    *counts = sim.counts;
    end(&sim);
    return sim.hash;
}
