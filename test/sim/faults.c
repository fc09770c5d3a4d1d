/* Every call fails once. A script of random deeds (play.h) and of those below runs once to count the calls of the core, the log and the disk at each
 * seam (kernel.h). Then it runs again, and before each step a child is forked for every call of that step: there the call fails, the play goes on for
 * a few steps, the power goes, and a new start must have all that was acknowledged, once.
 *
 *   faults [--seed N] [--steps N] [--kind NAME] [--every N] [--at N]
 *
 * --every N: only every N-th call of each kind. --at N (with --kind): that call only, in this process, for a debugger. Prints one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/groups.h"
#include "core/host.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "kernel.h"
#include "play.h"

enum { STEPS = 2000, AFTER_STEPS = 20, END_STEPS = 5, SEGMENT = 64 * 1024, CONTEXTS = 1200, DEVICES = 8, CHILDREN_MAX = 2, REOPEN_STEPS = 500, ALARM_S = 60 };
enum { ID_EXTRA = 1 << 30, EXTRAS_MAX = 4096 };

/* ---- what play does not do: applications, their configurations and downlinks, groups and their commands, images, backups ---- */

enum extra { EXTRA_TWIN, EXTRA_APPLICATION, EXTRA_CONFIGURATION, EXTRA_DELIVERY, EXTRA_GROUP, EXTRA_MEMBER, EXTRA_COMMAND, EXTRA_BACKUP, EXTRAS };

static struct scene {
    world world;
    play play;
    world_request request;
    uint64_t id_next;
    struct { enum extra what; uint64_t made; } asked[EXTRAS_MAX]; /* made: the number of what was acknowledged as made, 0: none */
    uint32_t acknowledged[EXTRAS], asked_count[EXTRAS];
    uint64_t configuration;     /* the newest */
    struct { uint64_t id, piece; bool is_asked; } backup; /* whose next piece is to be asked for; id 0: none */
} scene;

static const char device_id[] = "x0@acme0.example", device_imsi[] = "001019900000001", group_id[] = "all@acme0.example", application_id[] = "as1";

/* What a delivery brings: each another, so that none stands for another. */
static size_t delivery_data(uint64_t number, char out[24])
{
    return (size_t)snprintf(out, 24, "delivery %" PRIu64, number);
}

static void extra_fields(enum extra what)
{
    world_request *request = &scene.request;
    static const uint16_t operations[EXTRAS] = { API_TWIN_PUT, API_APPLICATION_PUT, API_NIDD_CONFIGURATION_MAKE, API_NIDD_DELIVERY_MAKE, API_GROUP_PUT,
                                                 API_GROUP_MEMBER_PUT, API_GROUP_PROPERTY_PUT, API_BACKUP };
    request_begin(request, operations[what]);
    if (what == EXTRA_TWIN) {
        request_text(request, API_FIELD_ID, device_id);
        request_text(request, API_FIELD_MODEL, "acme/thermo");
        request_text(request, API_FIELD_IMSI, device_imsi);
    } else if (what == EXTRA_APPLICATION) {
        request_text(request, API_FIELD_APPLICATION, application_id);
        request_text(request, API_FIELD_DOMAIN, "acme0.example");
        request_u64(request, API_FIELD_SCOPES, SCOPE_NIDD);
    } else if (what == EXTRA_CONFIGURATION || what == EXTRA_DELIVERY) {
        request_text(request, API_FIELD_SCS_AS, application_id);
        if (what == EXTRA_CONFIGURATION) {
            request_text(request, API_FIELD_ID, device_id);
            request_text(request, API_FIELD_DESTINATION, "http://as.example/notify");
        } else {
            char data[24];
            size_t length = delivery_data(scene.id_next, data);
            request_text(request, API_FIELD_ID, device_id);
            request_u64(request, API_FIELD_CONFIGURATION, scene.configuration);
            request_bytes(request, API_FIELD_DATA, data, length);
        }
    } else if (what == EXTRA_BACKUP) {
        request_u64(request, API_FIELD_LIMIT, 0);
    } else {
        request_text(request, API_FIELD_GROUP, group_id);
        if (what == EXTRA_MEMBER)
            request_text(request, API_FIELD_ID, device_id);
        if (what == EXTRA_COMMAND) {
            request_text(request, API_FIELD_NAME, "period");
            request_value(request, &(value){ .kind = VALUE_INTEGER, .integer = 77 });
        }
    }
}

static void ask_extra(enum extra what)
{
    uint64_t number = scene.id_next;
    extra_fields(what);
    if (number < EXTRAS_MAX && request_send(&scene.world, 0, ID_EXTRA + number, &scene.request)) {
        scene.asked[number].what = what;
        scene.asked_count[what]++;
        scene.id_next++;
    }
}

static void ask_piece(uint64_t piece)
{
    request_begin(&scene.request, API_BACKUP);
    request_u64(&scene.request, API_FIELD_LIMIT, piece);
    scene.backup.is_asked |= request_send(&scene.world, 0, scene.backup.id, &scene.request);
}

/* As who takes a backup: its next piece, once the one before is there. */
static void backup_go_on(void)
{
    if (scene.backup.id == 0 || scene.backup.is_asked)
        return;
    if (scene.backup.piece == 1)
        ask_piece(BACKUP_ALL_BEGAN);
    scene.backup.is_asked = false;
    ask_piece(scene.backup.piece);
}

static void on_piece(uint64_t id, const api_reply *reply)
{
    if (scene.backup.id != id && reply->status == 200)
        scene.backup.id = id, scene.backup.piece = 0;
    if (scene.backup.id != id)
        return; /* another one is being taken */
    scene.backup.is_asked = false;
    scene.backup.piece++;
    scene.acknowledged[EXTRA_BACKUP] += reply->status == 200 && !reply->more;
    if (!reply->more)
        scene.backup.id = 0;
}

/* The number at the end of where it is. */
static uint64_t made_at(const char *location, size_t length, int base)
{
    char number[32] = "";
    size_t from = length;
    while (from > 0 && location[from - 1] != '/')
        from--;
    WORLD_ASSERT(length - from < sizeof number);
    memcpy(number, location + from, length - from);
    return strtoull(number, NULL, base);
}

static void on_extra(uint64_t number, const api_reply *reply, const char *location)
{
    enum extra what = scene.asked[number].what;
    if (what == EXTRA_BACKUP) {
        on_piece(ID_EXTRA + number, reply);
        return;
    }
    if (reply->status < 200 || reply->status >= 300)
        return;
    scene.acknowledged[what]++;
    if (what == EXTRA_CONFIGURATION || what == EXTRA_DELIVERY || what == EXTRA_COMMAND) {
        WORLD_ASSERT(!scene.play.is_mute);
        scene.asked[number].made = made_at(location, reply->location_length, what == EXTRA_COMMAND ? 10 : 16);
        WORLD_ASSERT(scene.asked[number].made != 0);
        if (what == EXTRA_CONFIGURATION)
            scene.configuration = scene.asked[number].made;
    }
}

static void hear(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    api_reply reply;
    if (header->type != MESSAGE_API_REPLY || header->id < ID_EXTRA || header->id >= ID_EXTRA + scene.id_next) {
        play_message(context, gate, header, body, length);
        return;
    }
    memcpy(&reply, body, sizeof reply);
    on_extra(header->id - ID_EXTRA, &reply, (const char *)body + sizeof reply);
}

/* Its bytes wait for the device, once. */
static void check_delivery(const twin *twin, uint64_t asked)
{
    char data[24];
    size_t length = delivery_data(asked, data);
    const nidd_delivery *delivery = nidd_delivery_find(twin, scene.asked[asked].made);
    mail *one = nidd_mail(twin, scene.asked[asked].made, NULL);
    WORLD_ASSERT(delivery != NULL && one != NULL && nidd_mail(twin, scene.asked[asked].made, one) == NULL);
    dro_field room;
    const dro_field *field = nidd_field(delivery->fields, delivery->length, API_FIELD_DATA, &room);
    WORLD_ASSERT(field != NULL && field->length == length && memcmp(field->bytes, data, length) == 0);
}

/* What was acknowledged of these is there, once; and no more than was asked for. */
static void check_extras(void)
{
    core *core = scene.world.core;
    const group *group = group_find(core, group_id, strlen(group_id));
    uint32_t index = twin_find(core, device_id, strlen(device_id));
    const nidd *nidd = index != NONE ? twin_at(core, index)->nidd : NULL;
    WORLD_ASSERT(scene.acknowledged[EXTRA_APPLICATION] == 0 || application_find(core, application_id, strlen(application_id)) != NULL);
    WORLD_ASSERT(scene.acknowledged[EXTRA_TWIN] == 0 || (index != NONE && twin_find_imsi(core, device_imsi) == index));
    WORLD_ASSERT(scene.acknowledged[EXTRA_GROUP] == 0 || group != NULL);
    WORLD_ASSERT(scene.acknowledged[EXTRA_MEMBER] == 0 || (group != NULL && group->member_count == 1));
    for (uint64_t i = 0; i < scene.id_next; i++) {
        uint32_t owner = NONE;
        uint64_t made = scene.asked[i].made;
        if (made == 0)
            continue;
        if (scene.asked[i].what == EXTRA_CONFIGURATION)
            WORLD_ASSERT(nidd_configuration_find(core, made, &owner) != NULL && owner == index);
        else if (scene.asked[i].what == EXTRA_DELIVERY)
            check_delivery(twin_at(core, index), i);
        else
            WORLD_ASSERT(group_operation_at(core, group_number((uint32_t)made)) != NULL);
    }
    WORLD_ASSERT(nidd == NULL || (nidd->configuration_count <= scene.asked_count[EXTRA_CONFIGURATION] && nidd->delivery_count <= scene.asked_count[EXTRA_DELIVERY]));
}

/* ---- the script ---- */

static void script_begin(uint64_t seed)
{
    world_options options = { .seed = seed, .cores = 1, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT, .timeline_bytes = 4 * SEGMENT,
                              .context_bytes = CONTEXTS, .trap_percent = 1, .directory = "/sim/data", .on_message = hear, .context = &scene.play };
    play_options game = { .devices = DEVICES, .steps = STEPS, .is_still = true, .lose_percent = 1, .window = 1 /* one that is refused comes behind no other */ };
    world_init(&scene.world, &options);
    play_init(&scene.play, &scene.world, &game);
}

/* From the step after the fsync of the log that failed, when all that was acknowledged before is heard. */
static void mute(void)
{
    if (kernel.is_log_lost && !scene.play.is_mute && scene.world.core != NULL)
        world_hear(&scene.world);
    scene.play.is_mute = kernel.is_log_lost;
}

/* False: the core could not be opened, and said why. */
static bool script_step(uint32_t step)
{
    world *world = &scene.world;
    mute();
    if (step == 0 || (step % REOPEN_STEPS == 0 && world->core != NULL)) {
        world_close(world);
        kernel_power_cut();
        if (world_open(world) != DRO_OK)
            return false;
        if (step > 0)
            play_recovered(&scene.play);
        scene.backup.id = 0;
        return true;
    }
    if (step == 1) {
        world_push_image(world, THERMO);
        return true;
    }
    if (step == 700)
        world_push_image(world, THERMO_MOVED);
    backup_go_on();
    if (step % 40 == 39)
        ask_extra((enum extra)(step / 40 % EXTRAS));
    play_step(&scene.play);
    return true;
}

/* ---- one fault ---- */

static void play_on(uint32_t step, uint32_t steps)
{
    for (uint32_t i = step; i < step + AFTER_STEPS && i < steps; i++)
        if (!script_step(i) || world_failed(&scene.world))
            break;
    kernel.is_quiet = true;
    if (scene.world.core != NULL && world_failed(&scene.world)) /* nothing is acknowledged any more */
        for (uint32_t i = 0; i < AFTER_STEPS / 2; i++) {
            mute();
            play_step(&scene.play);
        }
    world_close(&scene.world);
}

/* As whoever runs it: the power is there again, and all has to be. */
static void start_again(void)
{
    kernel.is_quiet = true;
    kernel_power_cut();
    scene.play.is_mute = false;
    dro_err err = world_open(&scene.world);
    WORLD_ASSERT(err == DRO_OK);
    check_extras();
    play_recovered(&scene.play);
    world_push_image(&scene.world, THERMO); /* if it was not kept */
    scene.play.is_broken = false;
    for (uint32_t i = 0; i < END_STEPS; i++)
        play_step(&scene.play);
    play_finish(&scene.play);
}

/* In a child: from this step on, with its fault; then the power goes. True: the core ended itself, and said why. */
static bool live_on(uint32_t step, uint32_t steps)
{
    jmp_buf end;
    volatile bool has_ended = false;
    scene.play.is_broken = scene.play.is_lossy = true;
    kernel_end = &end;
    if (setjmp(end) == 0) {
        play_on(step, steps);
    } else {
        has_ended = true;
        world_forget(&scene.world);
    }
    kernel_end = NULL;
    start_again();
    return has_ended;
}

typedef struct tally { uint64_t calls[FAULTS], tried[FAULTS], missed, ended, broken; } tally;
typedef struct child { pid_t pid; enum fault_kind kind; uint64_t call; uint32_t step; } child;
static child children[CHILDREN_MAX];
static uint32_t child_count;
static uint64_t seed = 1;

enum { EXIT_FINE, EXIT_MISSED = 9, EXIT_ENDED = 10 };

static void child_end(tally *all)
{
    int status;
    pid_t pid = wait(&status);
    for (uint32_t i = 0; i < child_count; i++) {
        if (children[i].pid != pid)
            continue;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        bool is_fine = code == EXIT_FINE || code == EXIT_MISSED || code == EXIT_ENDED;
        all->missed += code == EXIT_MISSED;
        all->ended += code == EXIT_ENDED;
        if (!is_fine) {
            all->broken++;
            fprintf(stderr, "status %x: faults --seed %" PRIu64 " --kind %s --at %" PRIu64 " (step %u)\n", status, seed,
                    fault_names[children[i].kind], children[i].call, children[i].step);
        }
        children[i] = children[--child_count];
        return;
    }
}

static void try_call(tally *all, uint32_t step, uint32_t steps, enum fault_kind kind, uint64_t call)
{
    while (child_count == CHILDREN_MAX)
        child_end(all);
    fflush(NULL);
    pid_t pid = fork();
    WORLD_ASSERT(pid >= 0);
    if (pid == 0) {
        alarm(ALARM_S);
        kernel.at[kind] = call;
        bool has_ended = live_on(step, steps);
        _exit(!kernel.is_hit ? EXIT_MISSED : has_ended ? EXIT_ENDED : EXIT_FINE);
    }
    all->tried[kind]++;
    children[child_count++] = (child){ pid, kind, call, step };
}

/* How many calls of each kind were made before each step, and at the end. */
static void count_calls(uint64_t (*before)[FAULTS], uint32_t steps)
{
    script_begin(seed);
    for (uint32_t i = 0; i < steps; i++) {
        memcpy(before[i], kernel.count, sizeof kernel.count);
        WORLD_ASSERT(script_step(i));
    }
    for (uint32_t i = 0; i < EXTRAS; i++)
        WORLD_ASSERT(scene.acknowledged[i] > 0 || steps < STEPS); /* nothing is only asked for and refused */
    memcpy(before[steps], kernel.count, sizeof kernel.count);
}

static void try_all(tally *all, uint64_t (*before)[FAULTS], uint32_t steps, uint64_t kinds, uint64_t every)
{
    script_begin(seed);
    for (uint32_t i = 0; i < steps; i++) {
        for (enum fault_kind kind = 0; kind < FAULTS; kind++)
            for (uint64_t call = before[i][kind] + 1; (kinds >> kind & 1) != 0 && call <= before[i + 1][kind]; call++)
                if (call % every == 0)
                    try_call(all, i, steps, kind, call);
        WORLD_ASSERT(memcmp(before[i], kernel.count, sizeof kernel.count) == 0); /* it is the same script */
        script_step(i);
    }
    while (child_count > 0)
        child_end(all);
}

static void print(const tally *all)
{
    uint64_t tried = 0;
    printf("{\"calls\":{");
    for (int i = 0; i < FAULTS; i++)
        printf("%s\"%s\":%" PRIu64, i > 0 ? "," : "", fault_names[i], all->calls[i]);
    printf("},\"tried\":{");
    for (int i = 0; i < FAULTS; i++) {
        printf("%s\"%s\":%" PRIu64, i > 0 ? "," : "", fault_names[i], all->tried[i]);
        tried += all->tried[i];
    }
    printf("},\"faults\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"ended\":%" PRIu64 ",\"broken\":%" PRIu64 "}\n", tried, all->missed, all->ended, all->broken);
}

static int one_here(uint64_t (*before)[FAULTS], uint32_t steps, enum fault_kind kind, uint64_t call)
{
    uint32_t step = 0;
    while (step + 1 < steps && before[step + 1][kind] < call)
        step++;
    script_begin(seed);
    for (uint32_t i = 0; i < step; i++)
        script_step(i);
    kernel.at[kind] = call;
    bool has_ended = live_on(step, steps);
    printf("step %u: %s\n", step, !kernel.is_hit ? "the call was not made" : has_ended ? "holds; the core ended" : "holds");
    return 0;
}

static void script_end(void)
{
    world_fini(&scene.world);
    memset(&scene, 0, sizeof scene);
    memset(&kernel, 0, sizeof kernel);
    kernel_format();
}

int main(int argc, char **argv)
{
    uint64_t every = 1, at = 0, steps = STEPS, kinds = UINT64_MAX;
    enum fault_kind kind = FAULTS;
    tally all = { 0 };
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0 ? &seed : strcmp(argv[i], "--steps") == 0 ? &steps
                         : strcmp(argv[i], "--every") == 0 ? &every : strcmp(argv[i], "--at") == 0 ? &at : NULL;
        if (number != NULL)
            *number = strtoull(argv[i + 1], NULL, 10);
        for (enum fault_kind k = 0; number == NULL && k < FAULTS; k++)
            if (strcmp(argv[i + 1], fault_names[k]) == 0)
                kinds = 1ull << (kind = k);
    }
    uint64_t (*before)[FAULTS] = calloc(steps + 1, sizeof *before);
    WORLD_ASSERT(before != NULL && every > 0 && (at == 0 || kind != FAULTS));
    count_calls(before, (uint32_t)steps);
    memcpy(all.calls, kernel.count, sizeof all.calls);
    script_end();
    if (at > 0)
        return one_here(before, (uint32_t)steps, kind, at);
    try_all(&all, before, (uint32_t)steps, kinds, every);
    print(&all);
    free(before);
    return all.broken > 0 || all.missed > 0;
}
