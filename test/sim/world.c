#include "world.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "base/log.h"
#include "core/board.h"
#include "store/disk_directory.h"
#include "store/disk_memory.h"
#include "twin/event.h"

static const uint8_t master_key[32] = { 7, 1, 7 };
static const uint8_t admin_token[32] = { 9 };
static const char node_host[] = "mme1.epc.example", node_realm[] = "epc.example";

void (*world_on_fail)(void);

void world_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    if (world_on_fail != NULL)
        world_on_fail();
    abort();
}

/* ---- the trace ---- */

void world_trace(world *world, const char *format, ...)
{
    if (world->trace == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(world->trace, "%lld ", (long long)world->clock.monotonic_ns);
    vfprintf(world->trace, format, arguments);
    fputc('\n', world->trace);
    va_end(arguments);
}

static void trace_message(world *world, const char *way, uint32_t gate, uint16_t type, uint64_t id, const void *body, size_t length)
{
    world_trace(world, "%s %u type=%u id=%llx length=%zu hash=%llx", way, gate, type, (unsigned long long)id, length,
                (unsigned long long)dro_hash(1, body, length));
}

static void trace_file(void *context, const char *name)
{
    uint64_t *sum = context;
    *sum += dro_hash(3, name, strlen(name));
}

const char *world_trace_end(world *world, size_t *length)
{
    uint64_t names = 0, size = 0;
    char segment[32];
    int error = world->log_disk->list(world->log_disk, trace_file, &names);
    world_trace(world, "files %d %llx", error, (unsigned long long)names);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(segment, sizeof segment, "segment-%08x", i);
        const uint8_t *bytes = disk_memory_bytes(world->log_disk, segment, &size);
        if (bytes != NULL)
            world_trace(world, "%s %llx", segment, (unsigned long long)dro_hash(2, bytes, size));
    }
    fflush(world->trace);
    *length = world->trace_length;
    return world->trace_text;
}

/* ---- memory ---- */

static void *ring_memory(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(WORLD_RING) + 63) & ~(size_t)63);
    assert(memory != NULL);
    ring_format(memory, WORLD_RING);
    return memory;
}

/* ---- what the core asks of whoever runs it ---- */

static dro_err supervisor_admit(core_supervisor *supervisor, uint64_t id, const uint8_t *wasm, size_t length)
{
    world *here = ((world_seat *)supervisor)->world;
    if (here->admit_count == sizeof here->admits / sizeof here->admits[0])
        return DRO_LIMIT;
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL)
        return DRO_NOMEM;
    memcpy(copy, wasm, length);
    here->admits[here->admit_count].id = id;
    here->admits[here->admit_count].wasm = copy;
    here->admits[here->admit_count++].length = length;
    return DRO_OK;
}

static bool supervisor_is_current(core_supervisor *supervisor, const uint8_t *artifact, size_t length)
{
    const admit_options options = { .no_exact_memory = 0 };
    world *here = ((world_seat *)supervisor)->world;
    return !here->is_engine_other && admit_artifact_is_current(artifact, length, &options);
}

static dro_err supervisor_images(core_supervisor *supervisor, const uint8_t *const *artifacts, const size_t *lengths, uint32_t count)
{
    world *here = ((world_seat *)supervisor)->world;
    here->image_count = count;
    for (uint32_t i = 0; i < count; i++)
        here->images[i] = (cell_image){ artifacts[i], lengths[i] };
    for (uint32_t i = 0; i < here->core_count; i++)
        here->seats[i].is_image_new = true;
    return DRO_OK;
}

static void supervisor_replace(core_supervisor *supervisor, uint32_t index, bool is_old, bool is_cut_short)
{
    (void)is_old;
    (void)is_cut_short;
    (void)index;
    ((world_seat *)supervisor)->is_cell_wanted = true;
}

/* Compiling is slow and gives the same each time. */
static admit_result *admit_once(const uint8_t *wasm, size_t length)
{
    enum { KEPT = 8 };
    static struct { uint64_t hash; admit_result result; } kept[KEPT];
    static unsigned count;
    uint64_t hash = dro_hash(5, wasm, length);
    for (unsigned i = 0; i < KEPT && i < count; i++)
        if (kept[i].hash == hash)
            return &kept[i].result;
    admit_options options = { .no_second_validator = true };
    admit_result *result = &kept[count % KEPT].result;
    if (count >= KEPT) /* a fuzzer uploads what it likes */
        admit_result_free(result);
    dro_err err = admit_image(wasm, length, &options, result);
    assert(err == DRO_OK);
    (void)err;
    kept[count++ % KEPT].hash = hash;
    return result;
}

static int admit_answer(world *world)
{
    if (world->admit_count == 0)
        return 0;
    uint8_t *wasm = world->admits[0].wasm;
    core_admitted(world->core, world->admits[0].id, admit_once(wasm, world->admits[0].length));
    free(wasm);
    memmove(world->admits, world->admits + 1, --world->admit_count * sizeof world->admits[0]);
    return 1;
}

static void admits_forget(world *world)
{
    while (world->admit_count > 0)
        free(world->admits[--world->admit_count].wasm);
}

/* ---- cells ---- */

static void room_free(world_room *room)
{
    if (room == NULL)
        return;
    cell_free(room->cell);
    free(room->turns_memory);
    free(room->results_memory);
    free(room);
}

static void room_attach(world_seat *seat, world_room *room)
{
    ring_reader results;
    ring_writer turns;
    ring_reader_open(&results, room->results_memory, WORLD_RING);
    ring_writer_open(&turns, room->turns_memory, WORLD_RING, -1);
    core_cell_attach(seat->core, 0, results, turns, seat->world->image_count, NULL);
    seat->room = room;
    if (seat->index == 0)
        seat->world->room = room;
}

static void room_new(world_seat *seat)
{
    world *world = seat->world;
    world_room *room = calloc(1, sizeof *room);
    assert(room != NULL);
    room->turns_memory = ring_memory();
    room->results_memory = ring_memory();
    ring_reader_open(&room->turns, room->turns_memory, WORLD_RING);
    ring_writer_open(&room->results, room->results_memory, WORLD_RING, -1);
    if (!world->options.no_cell) {
        cell_options options = { .images = world->images, .image_count = world->image_count, .turns = &room->turns,
                                 .results = &room->results, .doorbell = -1, .manual_ticks = true };
        dro_err err = cell_new(&room->cell, &options);
        assert(err == DRO_OK);
        (void)err;
    }
    room_attach(seat, room);
}

/* The same cell with empty rings, as a new one would have them. */
static void room_renew(world_seat *seat)
{
    world_room *room = seat->room;
    ring_format(room->turns_memory, WORLD_RING);
    ring_format(room->results_memory, WORLD_RING);
    ring_reader_open(&room->turns, room->turns_memory, WORLD_RING);
    ring_writer_open(&room->results, room->results_memory, WORLD_RING, -1);
    room_attach(seat, room);
}

static void cell_lose(world_seat *seat)
{
    core_old_cell_lost(seat->core, 0);
    core_cell_lost(seat->core, 0);
    room_free(seat->old_room);
    seat->old_room = NULL;
    if (seat->room != NULL)
        room_renew(seat);
}

static int cell_follow(world_seat *seat)
{
    if (seat->old_room != NULL && core_cell_drained(seat->core, 0)) {
        room_free(seat->old_room);
        seat->old_room = NULL;
    }
    if (seat->is_cell_wanted) {
        seat->is_cell_wanted = false;
        cell_lose(seat);
        return 1;
    }
    if (!seat->is_image_new || seat->old_room != NULL)
        return 0;
    seat->is_image_new = false;
    seat->old_room = seat->room;
    room_new(seat);
    return 1;
}

void world_cell_lose(world *world)
{
    uint32_t index = world->core_count > 1 ? world_below(world, world->core_count) : 0;
    world_trace(world, "cell lost");
    cell_lose(&world->seats[index]);
}

/* In the cell's place: the next turn ends badly, if it is of a reading (an uplink that begins with 1). */
static int turn_trap(world *world, world_room *room)
{
    static const uint8_t statuses[] = { TURN_TRAP, TURN_OUT_OF_BOUNDS, TURN_STACK_OVERFLOW, TURN_MEMORY, TURN_EFFECTS };
    ring_header header;
    turn_request request;
    dro_err err = DRO_OK;
    if (room == NULL || room->cell == NULL || !world_chance(world, world->options.trap_percent))
        return 0;
    const uint8_t *body = ring_next(&room->turns, &header, &err);
    if (body == NULL)
        return 0;
    memcpy(&request, body, sizeof request);
    const uint8_t *event = body + sizeof request + ((request.context_length + 7u) & ~7u);
    turn_result *result = request.event_kind == EVENT_UPLINK && request.event_length > 0 && event[0] == 1
                              ? ring_reserve(&room->results, sizeof *result) : NULL;
    if (result == NULL)
        return 0;
    *result = (turn_result){ .twin = request.twin, .status = statuses[world_below(world, sizeof statuses)], .cpu_nanos = 1000 };
    ring_commit(&room->results, MESSAGE_TURN_RESULT, 0, header.id, sizeof *result);
    ring_done(&room->turns, &header);
    ring_release(&room->turns);
    ring_publish(&room->results);
    return 1;
}

static int cell_work(world_room *room, int max)
{
    if (room == NULL || room->cell == NULL)
        return 0;
    int done = cell_round(room->cell, max);
    assert(done >= 0);
    return done;
}

/* ---- gates ---- */

void world_gate_open(world *world, uint32_t index)
{
    world_gate *gate = &world->gates[index];
    for (uint32_t i = 0; i < world->core_count; i++) {
        ring_reader in;
        ring_writer out;
        ring_format(gate->in_memory[i], WORLD_RING);
        ring_format(gate->out_memory[i], WORLD_RING);
        ring_writer_open(&gate->to_core[i], gate->in_memory[i], WORLD_RING, -1);
        ring_reader_open(&gate->from_core[i], gate->out_memory[i], WORLD_RING);
        ring_reader_open(&in, gate->in_memory[i], WORLD_RING);
        ring_writer_open(&out, gate->out_memory[i], WORLD_RING, -1);
        core_gate_attach(world->seats[i].core, index, in, out);
    }
    gate->is_open = true;
    world_trace(world, "gate %u open", index);
}

void world_gate_lose(world *world, uint32_t index)
{
    world_trace(world, "gate %u lost", index);
    for (uint32_t i = 0; i < world->core_count; i++)
        core_gate_lost(world->seats[i].core, index);
    world->gates[index].is_open = false;
}

static uint32_t api_core(const world *world, const uint8_t *body, size_t length)
{
    dro_cursor in = dro_cursor_over(body + sizeof(api_request), length - sizeof(api_request));
    dro_field field;
    while (dro_field_next(&in, &field))
        if (field.tag == API_FIELD_ID)
            return directory_route(&world->directory, DIRECTORY_ID, (const char *)field.bytes, field.length);
    return 0;
}

/* As ring/message.h has it for gates. */
static uint32_t core_of(const world *world, uint16_t type, uint64_t id, const void *body, size_t length)
{
    network_user user;
    if (world->core_count == 1)
        return 0;
    if (type == MESSAGE_DOWNLINK_ANSWER) {
        for (uint32_t i = 0; i < WORLD_DOWNLINKS; i++)
            if (world->downlinks[i].id == id)
                return world->downlinks[i].core;
        return 0;
    }
    if ((type == MESSAGE_UPLINK || type == MESSAGE_CONNECTION) && length >= sizeof user) {
        memcpy(&user, body, sizeof user);
        return directory_route(&world->directory, DIRECTORY_IMSI, user.imsi, strnlen(user.imsi, sizeof user.imsi));
    }
    return (type == MESSAGE_API || type == MESSAGE_SUBSCRIBE) && length >= sizeof(api_request) ? api_core(world, body, length) : 0;
}

bool world_send(world *world, uint32_t index, uint16_t type, uint64_t id, const void *body, size_t length)
{
    world_gate *gate = &world->gates[index];
    if (!gate->is_open)
        return false;
    uint32_t core = core_of(world, type, id, body, length);
    if (!ring_send(&gate->to_core[core], type, 0, id, body, (uint32_t)length))
        return false;
    ring_publish(&gate->to_core[core]);
    trace_message(world, "->", index, type, id, body, length);
    return true;
}

static int core_listen(world *world, uint32_t index, uint32_t core, int max)
{
    world_gate *gate = &world->gates[index];
    ring_header header;
    const uint8_t *body;
    dro_err err = DRO_OK;
    int count = 0;
    while (count < max && gate->is_open && (body = ring_next(&gate->from_core[core], &header, &err)) != NULL) {
        uint32_t length = header.length - (uint32_t)sizeof header;
        if (header.type == MESSAGE_DOWNLINK) {
            world->downlinks[world->downlink_next % WORLD_DOWNLINKS].id = header.id;
            world->downlinks[world->downlink_next++ % WORLD_DOWNLINKS].core = core;
        }
        trace_message(world, "<-", index, header.type, header.id, body, length);
        if (world->options.on_message != NULL)
            world->options.on_message(world->options.context, index, &header, body, length);
        ring_done(&gate->from_core[core], &header);
        count++;
    }
    WORLD_ASSERT(err == DRO_OK);
    ring_release(&gate->from_core[core]);
    return count;
}

static int gate_listen(world *world, uint32_t index, int max)
{
    int count = 0;
    for (uint32_t i = 0; i < world->core_count; i++)
        count += core_listen(world, index, i, max);
    return count;
}

void world_hear(world *world)
{
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        gate_listen(world, i, INT_MAX);
}

/* ---- life ---- */

static void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(memory != MAP_FAILED);
    return memory;
}

static void shared_free(void **memory, size_t bytes)
{
    if (*memory != NULL)
        munmap(*memory, bytes);
    *memory = NULL;
}

void world_cores(world *world, uint32_t cores)
{
    assert(cores >= 1 && cores <= WORLD_CORES_MAX && world->core == NULL);
    shared_free(&world->directory_memory, directory_bytes(world->core_count));
    shared_free(&world->board_memory, board_bytes(world->core_count));
    world->core_count = cores;
    world->directory = (directory){ .core_count = 1 };
    if (cores > 1) {
        world->directory_memory = shared_memory(directory_bytes(cores));
        world->board_memory = shared_memory(board_bytes(cores));
    }
}

void world_init(world *world, const world_options *options)
{
    *world = (struct world){ .options = *options };
    dro_log_setup("sim", getenv("SIM_LOG") != NULL ? DRO_LOG_DEBUG : DRO_LOG_NOTHING);
    dro_clock_fake_init(&world->clock, WORLD_START_MS);
    dro_random_seeded_init(&world->random, options->seed);
    dro_random_seeded_init(&world->core_random, options->seed ^ 0xc0fe);
    if (options->directory == NULL) {
        world->log_disk = disk_memory_new(&options->faults);
        world->image_disk = disk_memory_new(NULL);
        assert(world->log_disk != NULL && world->image_disk != NULL);
        log_store_memory_init(&world->logs, world->log_disk);
    } else {
        log_store_directory_init(&world->directory_logs, options->directory);
    }
    for (uint32_t i = 0; i < WORLD_CORES_MAX; i++) {
        world->seats[i] = (world_seat){ .supervisor = { supervisor_admit, supervisor_is_current, supervisor_images, supervisor_replace },
                                        .world = world, .index = i };
        world->seats[i].columns = mmap(NULL, WORLD_COLUMNS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert(world->seats[i].columns != MAP_FAILED);
    }
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        for (uint32_t core = 0; core < WORLD_CORES_MAX; core++) {
            world->gates[i].in_memory[core] = ring_memory();
            world->gates[i].out_memory[core] = ring_memory();
        }
    world_cores(world, options->cores == 0 ? 1 : options->cores);
    if (options->is_traced)
        world->trace = open_memstream(&world->trace_text, &world->trace_length);
}

void world_fini(world *world)
{
    world_close(world);
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        for (uint32_t core = 0; core < WORLD_CORES_MAX; core++) {
            free(world->gates[i].in_memory[core]);
            free(world->gates[i].out_memory[core]);
        }
    for (uint32_t i = 0; i < WORLD_CORES_MAX; i++)
        munmap(world->seats[i].columns, WORLD_COLUMNS_BYTES);
    world_cores(world, 1);
    if (world->options.directory == NULL) {
        world->log_disk->free(world->log_disk);
        world->image_disk->free(world->image_disk);
    }
    if (world->trace != NULL)
        fclose(world->trace);
    free(world->trace_text);
}

static dro_err seat_open(world *world, uint32_t index)
{
    world_seat *seat = &world->seats[index];
    core_options options = { .clock = &world->clock.clock,
                             .random = &world->core_random.random,
                             .index = index,
                             .count = world->core_count,
                             .directory = world->directory,
                             .board = world->board_memory,
                             .logs = world->options.directory != NULL ? &world->directory_logs.store : &world->logs.store,
                             .log_disk = index == 0 ? world->log_disk : NULL,
                             .image_disk = index == 0 ? world->image_disk : NULL,
                             .master_key = master_key,
                             .columns_memory = seat->columns,
                             .columns_bytes = WORLD_COLUMNS_BYTES,
                             .supervisor = &seat->supervisor,
                             .admin_token = world->options.admin_token != NULL ? world->options.admin_token : admin_token,
                             .gate_count = WORLD_GATES,
                             .cell_count = 1,
                             .segment_bytes = world->options.segment_bytes,
                             .timeline_bytes = world->options.timeline_bytes, .context_bytes = world->options.context_bytes,
                             .replay_bytes = world->options.replay_bytes, .charging = { .is_on = world->options.is_charging },
                             .audit = { .is_on = world->options.is_audited } };
    madvise(seat->columns, WORLD_COLUMNS_BYTES, MADV_DONTNEED); /* zeroed, as at a start */
    seat->is_image_new = seat->is_cell_wanted = false;
    dro_err err = core_open(&seat->core, &options);
    if (err != DRO_OK)
        seat->core = NULL;
    return err;
}

/* As host/room.c opens them. */
static dro_err directories_open(world *world)
{
    char path[256];
    if (world->options.directory == NULL)
        return DRO_OK;
    snprintf(path, sizeof path, "%s/log", world->options.directory);
    dro_err err = disk_open_directory_by(&world->log_disk, path, DISK_SYNC);
    snprintf(path, sizeof path, "%s/images", world->options.directory);
    return err != DRO_OK ? err : disk_open_directory_by(&world->image_disk, path, DISK_SYNC);
}

static void directories_close(world *world)
{
    if (world->options.directory == NULL)
        return;
    if (world->log_disk != NULL)
        world->log_disk->free(world->log_disk);
    if (world->image_disk != NULL)
        world->image_disk->free(world->image_disk);
    world->log_disk = world->image_disk = NULL;
}

dro_err world_open(world *world)
{
    dro_err err = directories_open(world);
    if (err != DRO_OK) {
        directories_close(world);
        return err;
    }
    if (world->core_count > 1) {
        err = directory_format(world->directory_memory, world->core_count);
        if (err == DRO_OK)
            err = directory_open(&world->directory, world->directory_memory, world->core_count);
        if (err == DRO_OK)
            err = board_format(world->board_memory, world->core_count);
        assert(err == DRO_OK);
    }
    memset(world->downlinks, 0, sizeof world->downlinks); /* their numbers come again */
    world->image_count = 0; /* the last core's */
    for (uint32_t i = 0; i < world->core_count && err == DRO_OK; i++)
        err = seat_open(world, i);
    world_trace(world, "open %s", dro_err_text(err));
    if (err != DRO_OK) {
        world_close(world);
        return err;
    }
    world->core = world->seats[0].core;
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        world_gate_open(world, i);
    for (uint32_t i = 0; i < world->core_count; i++) {
        world->seats[i].is_image_new = true; /* whichever core was open when they came */
        cell_follow(&world->seats[i]);
    }
    return DRO_OK;
}

void world_close(world *world)
{
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        world->gates[i].is_open = false;
    for (uint32_t i = 0; i < WORLD_CORES_MAX; i++) {
        world_seat *seat = &world->seats[i];
        room_free(seat->room); /* its images were the core's */
        room_free(seat->old_room);
        seat->room = seat->old_room = NULL;
    }
    world->room = NULL;
    admits_forget(world);
    for (uint32_t i = 0; i < WORLD_CORES_MAX; i++) {
        core_close(world->seats[i].core);
        world->seats[i].core = NULL;
    }
    directories_close(world);
    world->core = NULL;
}

void world_forget(world *world)
{
    for (uint32_t i = 0; i < WORLD_CORES_MAX; i++) {
        world->seats[i].core = NULL;
        world->seats[i].room = world->seats[i].old_room = NULL;
    }
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        world->gates[i].is_open = false;
    if (world->options.directory != NULL)
        world->log_disk = world->image_disk = NULL;
    world->core = NULL;
    world->room = NULL;
    admits_forget(world);
}

void world_power_cut(world *world, const disk_memory_faults *next)
{
    world_trace(world, "power cut");
    world_close(world);
    disk_memory_power_cut(world->log_disk, next);
}

bool world_failed(const world *world)
{
    for (uint32_t i = 0; i < world->core_count; i++)
        if (world->seats[i].core == NULL || core_failed(world->seats[i].core))
            return true;
    return false;
}

/* ---- a round ---- */

static int seat_round(world *world, world_seat *seat)
{
    enum { CELL_MAX = 16 };
    int work = cell_follow(seat);
    if (!world_chance(world, 20))
        work += core_round(seat->core);
    if (world->options.trap_percent > 0)
        work += turn_trap(world, seat->room);
    if (!world_chance(world, 20))
        work += cell_work(seat->old_room, CELL_MAX);
    if (!world_chance(world, 20))
        work += cell_work(seat->room, 1 + (int)world_below(world, CELL_MAX));
    return work;
}

int world_round(world *world)
{
    enum { GATE_MAX = 64 };
    int work = admit_answer(world);
    for (uint32_t i = 0; i < world->core_count; i++)
        work += seat_round(world, &world->seats[i]);
    for (uint32_t i = 0; i < WORLD_GATES; i++)
        if (!world_chance(world, 20))
            work += world->options.on_gate != NULL ? world->options.on_gate(world->options.context, i)
                                                   : gate_listen(world, i, 1 + (int)world_below(world, GATE_MAX));
    world_advance(world, 0);
    return work;
}

void world_settle(world *world)
{
    enum { QUIET_ROUNDS = 60, /* a write under way is there in every other round */ ROUNDS_MAX = 100000 };
    for (int quiet = 0, rounds = 0; quiet < QUIET_ROUNDS; rounds++) {
        WORLD_ASSERT(rounds < ROUNDS_MAX);
        quiet = world_round(world) > 0 ? 0 : quiet + 1;
    }
}

void world_advance(world *world, int64_t ms)
{
    enum { ROUND_NS = 10000 };
    dro_clock_fake_advance(&world->clock, ms * 1000000 + ROUND_NS);
}

uint32_t world_below(world *world, uint32_t limit)
{
    return (uint32_t)(dro_random_next(&world->random) >> 33) % limit;
}

bool world_chance(world *world, uint32_t percent)
{
    return world_below(world, 100) < percent;
}

/* ---- requests ---- */

void world_request_begin(world_request *request, uint16_t operation)
{
    api_request head = { .operation = operation, .scopes = SCOPE_ADMIN | 0x7f };
    request->out = dro_builder_over(request->bytes, sizeof request->bytes);
    dro_builder_bytes(&request->out, &head, sizeof head);
}

void request_text(world_request *request, uint8_t tag, const char *text)
{
    dro_field_put_text(&request->out, tag, text);
}

void request_bytes(world_request *request, uint8_t tag, const void *bytes, size_t length)
{
    dro_field_put(&request->out, tag, bytes, length);
}

void request_u64(world_request *request, uint8_t tag, uint64_t number)
{
    dro_field_put_u64(&request->out, tag, number);
}

void request_value(world_request *request, const value *value)
{
    uint8_t bytes[VALUE_STRING_MAX + 16];
    dro_builder part = dro_builder_over(bytes, sizeof bytes);
    value_write(&part, value);
    dro_field_put(&request->out, API_FIELD_VALUE, bytes, dro_builder_length(&part));
}

bool world_request_send(world *world, uint32_t gate, uint64_t id, const world_request *request)
{
    WORLD_ASSERT(request->out.err == DRO_OK);
    return world_send(world, gate, MESSAGE_API, id, request->bytes, dro_builder_length(&request->out));
}

void world_push_image(world *world, const char *path)
{
    enum { PART = 32 * 1024, ID = 0x1a6e };
    static world_request request;
    static uint8_t part[PART];
    FILE *file = fopen(path, "rb");
    WORLD_ASSERT(file != NULL);
    for (bool is_last = false; !is_last;) {
        size_t length = fread(part, 1, PART, file);
        is_last = length < PART;
        request_begin(&request, API_IMAGE_PUT);
        request_bytes(&request, API_FIELD_BODY, part, length);
        if (is_last)
            request_bytes(&request, API_FIELD_LAST, "", 0);
        while (!request_send(world, 0, ID, &request))
            world_round(world);
    }
    fclose(file);
    world_settle(world);
}

/* ---- the network ---- */

static network_user user_of(const char *imsi)
{
    network_user user = { .bearer_length = 1, .bearer = { 5 } };
    snprintf(user.imsi, sizeof user.imsi, "%s", imsi);
    return user;
}

bool world_uplink(world *world, uint32_t gate, uint64_t id, const char *imsi, const world_frame *frame)
{
    uint8_t bytes[sizeof(uplink_request) + 64 + 2048];
    uplink_request request = { .user = user_of(imsi), .end_to_end = frame->end_to_end, .is_retransmission = frame->is_retransmission,
                               .host_length = sizeof node_host - 1, .realm_length = sizeof node_realm - 1, .data_length = (uint16_t)frame->length };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, node_host);
    dro_builder_text(&out, node_realm);
    dro_builder_bytes(&out, frame->data, frame->length);
    return world_send(world, gate, MESSAGE_UPLINK, id, bytes, dro_builder_length(&out));
}

bool world_connect(world *world, uint32_t gate, uint64_t id, const char *imsi, enum world_action action, bool is_reachable)
{
    uint8_t bytes[sizeof(connection_request) + 64];
    connection_request request = { .user = user_of(imsi), .action = (uint8_t)action, .is_reachable = is_reachable,
                                   .host_length = sizeof node_host - 1, .realm_length = sizeof node_realm - 1 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, node_host);
    dro_builder_text(&out, node_realm);
    return world_send(world, gate, MESSAGE_CONNECTION, id, bytes, dro_builder_length(&out));
}

bool world_downlink_answer(world *world, uint32_t gate, uint64_t id, const downlink_answer *answer)
{
    return world_send(world, gate, MESSAGE_DOWNLINK_ANSWER, id, answer, sizeof *answer);
}
