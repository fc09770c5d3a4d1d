/* flips SEED FIRST COUNT: damages a copy of a host's files on disk, opens it by the real recovery, and compares every twin, its timeline
 * and what its next turn makes of its context with the truth. Prints what became of each trial; ends with 1 where a value is wrong, or an
 * opening is refused without a word. For the proof `flips`. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"
#include "world.h"

enum {
    TWINS = 6, READINGS = 700, FILES_MAX = 64, TEXT_MAX = 64 * 1024, PARTS = 3, /* of a twin: itself, its timeline, itself after one more reading */
    SEGMENT = 1 << 20, ANSWERS = 64, COLD_BYTES = 1000, SECTOR = 512,
};

typedef struct kept_file { char name[256]; uint8_t *bytes; uint64_t size; } kept_file;
typedef struct answer { uint64_t id; uint16_t status; char *text; size_t length; } answer;
typedef struct part { bool is_there; uint16_t status; char text[TEXT_MAX]; } part;
typedef part shown[TWINS][PARTS];

static struct { kept_file files[FILES_MAX]; int count; } kept[2]; /* the log's directory, the images' */
static answer answers[ANSWERS];
static uint32_t answer_next;
static uint64_t next_id = 1000;
static uint32_t end_to_end;
static world here;
static world_request request;
static shown truth, found;

static void imsi_of(uint32_t twin, char imsi[16])
{
    snprintf(imsi, 16, "0010100000%05u", twin);
}

static void hear(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    api_reply reply;
    (void)context, (void)gate;
    answer *answer = &answers[answer_next++ % ANSWERS];
    free(answer->text);
    *answer = (struct answer){ .id = header->id };
    if (header->type != MESSAGE_API_REPLY || length < sizeof reply)
        return;
    memcpy(&reply, body, sizeof reply);
    answer->status = reply.status;
    answer->length = length - sizeof reply - reply.location_length;
    answer->text = malloc(answer->length + 1);
    memcpy(answer->text, body + sizeof reply + reply.location_length, answer->length);
    answer->text[answer->length] = '\0';
}

static void ask(part *out)
{
    uint64_t id = ++next_id;
    WORLD_ASSERT(request_send(&here, 0, id, &request));
    world_settle(&here);
    *out = (part){ 0 };
    for (int i = 0; i < ANSWERS; i++)
        if (answers[i].id == id && answers[i].text != NULL) {
            out->is_there = true;
            out->status = answers[i].status;
            snprintf(out->text, sizeof out->text, "%s", answers[i].text);
        }
}

static void ask_about(uint32_t twin, uint16_t operation, part *out)
{
    char id[64];
    snprintf(id, sizeof id, "t%u@acme.example", twin);
    request_begin(&request, operation);
    request_text(&request, API_FIELD_ID, id);
    if (operation == API_TIMELINE)
        request_u64(&request, API_FIELD_LIMIT, 1000);
    ask(out);
}

static void send_reading(uint32_t twin)
{
    uint8_t frame[8] = { 1, (uint8_t)(end_to_end / TWINS), 8, (uint8_t)end_to_end, 100, 0x0d, 0xac };
    char imsi[16];
    imsi_of(twin, imsi);
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    world_frame uplink = { .end_to_end = ++end_to_end, .data = frame, .length = sizeof frame };
    WORLD_ASSERT(world_uplink(&here, 0, ++next_id, imsi, &uplink));
    world_settle(&here);
}

static void look(shown out)
{
    uint32_t before = end_to_end;
    for (uint32_t i = 0; i < TWINS; i++) {
        ask_about(i, API_TWIN_GET, &out[i][0]);
        ask_about(i, API_TIMELINE, &out[i][1]);
    }
    for (uint32_t i = 0; i < TWINS; i++) {
        send_reading(i);
        ask_about(i, API_TWIN_GET, &out[i][2]);
    }
    end_to_end = before;
}

/* ---- the files ---- */

static disk *disk_of(int which)
{
    return which == 0 ? here.log_disk : here.image_disk;
}

static void keep_file(void *context, const char *name)
{
    int which = *(int *)context;
    kept_file *file = &kept[which].files[kept[which].count++];
    WORLD_ASSERT(kept[which].count <= FILES_MAX);
    snprintf(file->name, sizeof file->name, "%s", name);
}

static void keep_files(void)
{
    for (int which = 0; which < 2; which++) {
        WORLD_ASSERT(disk_of(which)->list(disk_of(which), keep_file, &which) == 0);
        for (int i = 0; i < kept[which].count; i++) {
            kept_file *file = &kept[which].files[i];
            const uint8_t *bytes = disk_memory_bytes(disk_of(which), file->name, &file->size);
            if (bytes == NULL)
                fprintf(stderr, "%s is empty\n", file->name);
            file->bytes = malloc(file->size + 1);
            if (bytes != NULL)
                memcpy(file->bytes, bytes, file->size);
        }
    }
}

static void begin(uint64_t seed)
{
    world_options options = { .seed = seed, .segment_bytes = SEGMENT, .timeline_bytes = 3 << 20, .replay_bytes = 1 << 20,
                              .context_bytes = COLD_BYTES, .on_message = hear };
    world_init(&here, &options);
    dro_log_setup("flips", DRO_LOG_ERROR);
}

static void put_files(void)
{
    here.log_disk->free(here.log_disk);
    here.image_disk->free(here.image_disk);
    here.log_disk = disk_memory_new(&(disk_memory_faults){ 0 });
    here.image_disk = disk_memory_new(NULL);
    log_store_memory_init(&here.logs, here.log_disk);
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < kept[which].count; i++)
            WORLD_ASSERT(disk_of(which)->replace(disk_of(which), kept[which].files[i].name, kept[which].files[i].bytes, kept[which].files[i].size) == 0);
}

static void make_host(uint64_t seed)
{
    begin(seed);
    WORLD_ASSERT(world_open(&here) == DRO_OK);
    world_push_image(&here, THERMO);
    for (uint32_t i = 0; i < TWINS; i++) {
        char id[64], imsi[16];
        part made;
        imsi_of(i, imsi);
        snprintf(id, sizeof id, "t%u@acme.example", i);
        request_begin(&request, API_TWIN_PUT);
        request_text(&request, API_FIELD_ID, id);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        request_text(&request, API_FIELD_IMSI, imsi);
        ask(&made);
        WORLD_ASSERT(made.status == 201);
        WORLD_ASSERT(world_connect(&here, 0, ++next_id, imsi, WORLD_ESTABLISH, false));
        world_settle(&here);
    }
    for (uint32_t i = 0; i < TWINS * READINGS; i++)
        send_reading(i % TWINS);
    core_settle(here.core);
    world_close(&here);
    keep_files();
    world_fini(&here);
}

/* ---- damage ---- */

enum damage { FLIP, FLIPS, SECTOR_ZERO, CUT, SWAP, GONE, DAMAGES };
static const char *const damage_names[] = { "flipped bit", "flipped bits", "zeroed sector", "file cut short", "blocks changed places", "file gone" };

static bool is_segment(const char *name)
{
    return strncmp(name, "segment-", 8) == 0;
}

/* Each file is as likely. While the host runs, what it reads later: segments. */
static const kept_file *damage(dro_random_seeded *dice, bool is_running, int *which, enum damage *how, uint64_t *at)
{
    int all = kept[0].count + kept[1].count;
    int number = (int)(dro_random_next(dice) % (uint64_t)all);
    while (is_running && (number >= kept[0].count || !is_segment(kept[0].files[number].name)))
        number = (int)(dro_random_next(dice) % (uint64_t)all);
    *which = number >= kept[0].count;
    const kept_file *file = &kept[*which].files[*which ? number - kept[0].count : number];
    uint64_t kind = dro_random_next(dice) % 20, size;
    *how = kind < 11 ? FLIP : kind < 14 ? FLIPS : kind < 16 ? SECTOR_ZERO : kind < 18 ? CUT : kind < 19 ? SWAP : GONE;
    uint8_t *bytes = disk_memory_bytes(disk_of(*which), file->name, &size);
    uint64_t used = size;
    while (used > 0 && bytes[used - 1] == 0)
        used--;
    *at = used > 0 ? dro_random_next(dice) % used : 0;
    if (used == 0)
        *how = GONE;
    switch (*how) {
    case FLIP: bytes[*at] ^= (uint8_t)(1u << dro_random_next(dice) % 8); break;
    case FLIPS:
        for (uint64_t i = *at; i < used && i < *at + 16; i++)
            bytes[i] ^= (uint8_t)dro_random_next(dice);
        break;
    case SECTOR_ZERO:
        *at -= *at % SECTOR;
        memset(bytes + *at, 0, used - *at < SECTOR ? used - *at : SECTOR);
        break;
    case CUT: disk_memory_truncate(disk_of(*which), file->name, *at); break;
    case SWAP: {
        uint8_t block[4096];
        uint64_t blocks = size / sizeof block, one = blocks > 0 ? dro_random_next(dice) % blocks : 0, other = blocks > 0 ? dro_random_next(dice) % blocks : 0;
        if (blocks == 0)
            break;
        memcpy(block, bytes + one * sizeof block, sizeof block);
        memcpy(bytes + one * sizeof block, bytes + other * sizeof block, sizeof block);
        memcpy(bytes + other * sizeof block, block, sizeof block);
        *at = one * sizeof block;
        break;
    }
    default: WORLD_ASSERT(disk_of(*which)->remove(disk_of(*which), file->name) == 0);
    }
    return file;
}

/* ---- a trial ---- */

static int said; /* what the log says goes here */

static bool has_said(void)
{
    return lseek(said, 0, SEEK_END) > 0;
}

static void forget_said(void)
{
    if (ftruncate(said, 0) != 0 || lseek(said, 0, SEEK_SET) != 0)
        abort();
}

/* A timeline that ends early: it shows the newest of what it should, and the log has named its twin, or the missing file that all of them reached into. */
static bool is_cut_and_told(const part *is, const part *should, uint32_t twin)
{
    static char text[TEXT_MAX];
    static const char end[] = "]}";
    char id[64], name[32];
    size_t length = strlen(is->text), shown_bytes = length - strlen(end);
    if (length < strlen(end) || strcmp(is->text + shown_bytes, end) != 0 || strncmp(is->text, should->text, shown_bytes) != 0
        || (should->text[shown_bytes] != ',' && is->text[shown_bytes - 1] != '[')) /* between two of its entries */
        return false;
    ssize_t got = pread(said, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    snprintf(id, sizeof id, "t%u@acme.example", twin);
    uint32_t index = twin_find(here.core, id, strlen(id));
    if (index == NONE)
        return false;
    snprintf(name, sizeof name, "twin=%016llx ", (unsigned long long)twin_at(here.core, index)->number);
    return strstr(text, name) != NULL || strstr(text, "it is missing: the timelines of twins begin later than they did") != NULL;
}

/* Right, told, or wrong. Told: refused in the protocol's words, or a past that is cut and the log says of which twin; another value is wrong, and so is silence. */
enum verdict { RIGHT, TOLD, WRONG };
static enum verdict compare(uint32_t twin, int k)
{
    const part *one = &found[twin][k], *should = &truth[twin][k];
    if (one->is_there && one->status == should->status && strcmp(one->text, should->text) == 0)
        return RIGHT;
    if (one->is_there && (one->status == 503 || (k == 1 && one->status == should->status && is_cut_and_told(one, should, twin))))
        return TOLD;
    return WRONG;
}

static bool trial(uint64_t seed, uint64_t number)
{
    static const char *const part_names[PARTS] = { "twin", "timeline", "next turn" };
    dro_random_seeded dice;
    int which;
    enum damage how;
    uint64_t at;
    dro_random_seeded_init(&dice, seed * 1000003 + number);
    begin(seed);
    put_files();
    bool is_running = dro_random_next(&dice) % 3 == 0;
    forget_said();
    dro_err err = is_running ? world_open(&here) : DRO_OK;
    WORLD_ASSERT(err == DRO_OK);
    const kept_file *file = damage(&dice, is_running, &which, &how, &at);
    if (!is_running)
        err = world_open(&here);
    int told = 0;
    bool is_right = true;
    if (err == DRO_OK) {
        look(found);
        for (uint32_t i = 0; i < TWINS; i++) {
            bool is_told = false;
            for (int k = 0; k < PARTS; k++) {
                enum verdict verdict = compare(i, k);
                is_told |= verdict == TOLD;
                if (verdict == WRONG) {
                    printf("trial %lu: WRONG: %s of twin %u after %s in %s at %lu:\n%s\nin place of\n%s\n", (unsigned long)number, part_names[k], i, damage_names[how], file->name,
                           (unsigned long)at, found[i][k].text, truth[i][k].text);
                    is_right = false;
                }
            }
            told += is_told;
        }
        if (how == FLIP && told > 1) {
            printf("trial %lu: SPREAD: a flipped bit in %s at %lu reached %d twins\n", (unsigned long)number, file->name, (unsigned long)at, told);
            is_right = false;
        }
    }
    if (err != DRO_OK && !has_said()) {
        printf("trial %lu: SILENT: refused (%s) without a word after %s in %s at %lu\n", (unsigned long)number, dro_err_text(err), damage_names[how], file->name, (unsigned long)at);
        is_right = false;
    }
    printf("trial %lu %s %s: %s %d\n", (unsigned long)number, which ? "image" : is_segment(file->name) ? is_running ? "segment-in-use" : "segment" : strncmp(file->name, "spare-", 6) == 0 ? "spare" : file->name,
           damage_names[how], err != DRO_OK ? "refused" : told > 0 ? "told" : "right", told);
    world_fini(&here);
    return is_right;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: flips SEED FIRST COUNT\n");
        return 2;
    }
    uint64_t seed = strtoull(argv[1], NULL, 10), first = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
    said = memfd_create("log", MFD_CLOEXEC);
    make_host(seed);
    int err_copy = dup(STDERR_FILENO);
    if (said < 0 || err_copy < 0 || dup2(said, STDERR_FILENO) < 0)
        return 2;
    begin(seed);
    put_files();
    uint32_t readings = end_to_end;
    WORLD_ASSERT(world_open(&here) == DRO_OK);
    look(truth);
    world_fini(&here);
    bool is_right = true;
    for (uint64_t i = first; i < first + count; i++) {
        end_to_end = readings;
        is_right &= trial(seed, i);
        fflush(stdout);
    }
    return is_right ? 0 : 1;
}
