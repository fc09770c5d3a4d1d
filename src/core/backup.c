/* Backup: what this core keeps on disk, as it is at one moment, in pieces to a gate.
 *
 * The moment is when the request comes: the host's own tables as they are, the log up
 * to its newest durable round. Whatever was answered before is in it. The host's small files
 * are opened then; while a backup runs they are only ever replaced, so an open one stays as it was. The log's replay
 * point is not: its file is written again in place (replace_reserved), so its bytes are copied then. Images
 * never change. Of the log the segments lie still until a checkpoint drops them, and
 * that waits for the backup. All of it is sealed as it lies there, but images; the
 * master key is not among it. Artifacts are left out: the restored host compiles anew.
 *
 * With several cores each has a moment of its own, core 0 the last: so what the logs of the others
 * name is in the host's tables. Twins of different cores have nothing in common but names. One
 * given up after its core's moment and bound before another core's would be two twins' in the
 * copy: until all have begun no name is given up, and no answer says so.
 *
 * Reading takes a bounded share of the core's time and one piece of memory. */
#include "core/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/audit.h"
#include "core/call.h"
#include "core/host.h"
#include "core/links.h"
#include "core/number.h"
#include "core/state.h"
#include "core/tell.h"
#include "store/log_files.h"

enum backup_stage { STAGE_TABLES, STAGE_IMAGES, STAGE_SEGMENTS, STAGE_END };
enum { NAME_BYTES_MAX = 256, NS_PER_S = 1000000000, NS_PER_MS = 1000000 };

/* The host's own files beside core 0's, then the log's. `epoch` is written in place too, but only when the host starts. */
static const char *const tables[] = { "keys", "host", "epoch", "generations", "replay" };
enum { TABLES = sizeof tables / sizeof tables[0], TABLE_OF_LOG = TABLES - 1 };

typedef struct backup {
    caller caller;
    uint64_t piece, asked;       /* number of the next one, pieces asked for */
    int64_t heard_ns, due_ns;    /* last asked, or told that it goes on; not before then */
    bool is_told;                /* the gate knows that it began */
    bool is_gathering;           /* not all cores have begun yet */
    int64_t begun_ns;
    int tables[TABLES];          /* open files; -1: not there, or done; the log's is copied */
    uint8_t replay[LOG_REPLAY_BYTES];
    uint32_t replay_bytes;       /* 0: not there, or done */
    uint32_t stage, next;        /* of that stage */
    uint32_t image_count;
    uint32_t segment, segment_last; /* to be read next, the last; last < next: none */
    uint64_t last_bytes;         /* of the last segment */
    /* the part being read */
    disk *disk;
    int file;                    /* -1: none */
    bool is_replay;              /* no file: the copy above */
    uint64_t offset, bytes;
    char name[NAME_BYTES_MAX];
} backup;

uint32_t backup_segment_first(const core *core)
{
    const backup *b = core->backup;
    if (b == NULL)
        return UINT32_MAX;
    return b->stage == STAGE_SEGMENTS && b->file >= 0 ? b->segment - 1 : b->segment;
}

bool backup_holds_names(const core *core)
{
    return core->backup != NULL && core->backup->is_gathering;
}

int64_t backup_due_ns(const core *core)
{
    const backup *b = core->backup;
    if (b == NULL)
        return -1;
    if (!b->is_told)
        return core->now_ns + NS_PER_MS;
    if (b->is_gathering)
        return b->begun_ns + (int64_t)BACKUP_BEGIN_MS * NS_PER_MS;
    return b->asked > 0 ? b->due_ns : b->heard_ns + (int64_t)BACKUP_IDLE_S * NS_PER_S;
}

/* ---- begin and end ---- */

/* Where the log lies. */
static void log_path(const core *core, char out[NAME_BYTES_MAX])
{
    uint32_t generation = generation_newest(&core->generations)->number;
    if (generation == 0)
        snprintf(out, NAME_BYTES_MAX, "log");
    else
        snprintf(out, NAME_BYTES_MAX, "log-%" PRIu32 "-%" PRIu32, generation, core->index);
}

static disk *table_disk(const core *core, int table)
{
    return table == TABLE_OF_LOG ? commit_log_disk(core->log) : core->options.log_disk;
}

static void part_close(backup *b)
{
    if (b->file >= 0)
        b->disk->close(b->disk, b->file);
    b->file = -1;
    b->is_replay = false;
}

void backup_end(core *core, const char *why)
{
    backup *b = core->backup;
    if (b == NULL)
        return;
    if (why != NULL)
        dro_warn("backup ended pieces=%" PRIu64 " \"%s\"", b->piece, why);
    part_close(b);
    for (int i = 0; i < TABLES; i++)
        if (b->tables[i] >= 0)
            table_disk(core, i)->close(table_disk(core, i), b->tables[i]);
    free(b);
    core->backup = NULL;
}

void backup_gate_lost(core *core, uint32_t gate)
{
    if (core->backup != NULL && core->backup->caller.gate == gate)
        backup_end(core, "its gate ended");
}

/* Where the durable log ends: the last segment that has anything. */
static void find_end(const core *core, backup *b)
{
    b->segment = commit_log_segment_first(core->log);
    b->segment_last = commit_log_segment_last(core->log);
    while (b->segment_last >= b->segment && commit_log_segment_bytes(core->log, b->segment_last) == 0)
        b->segment_last--;
    b->last_bytes = b->segment_last >= b->segment ? commit_log_segment_bytes(core->log, b->segment_last) : 0;
}

/* An errno, or 0. */
static int copy_replay(core *core, backup *b)
{
    disk *disk = table_disk(core, TABLE_OF_LOG);
    int file = disk->open(disk, tables[TABLE_OF_LOG], 0);
    if (file < 0)
        return file == -ENOENT ? 0 : -file;
    int64_t size = disk->size(disk, file);
    int64_t got = size != LOG_REPLAY_BYTES ? size : disk->read(disk, file, 0, b->replay, LOG_REPLAY_BYTES);
    disk->close(disk, file);
    if (got != LOG_REPLAY_BYTES)
        return got < 0 ? (int)-got : EIO;
    b->replay_bytes = LOG_REPLAY_BYTES;
    return 0;
}

/* An errno, or 0. */
static int open_tables(core *core, backup *b)
{
    for (int i = 0; i < TABLE_OF_LOG; i++) {
        disk *disk = table_disk(core, i);
        b->tables[i] = disk != NULL ? disk->open(disk, tables[i], 0) : -ENOENT; /* only core 0 has the host's own files */
        if (b->tables[i] < 0 && b->tables[i] != -ENOENT)
            return -b->tables[i];
    }
    return copy_replay(core, b);
}

/* The first piece is empty: it says that this core has begun. Past the answers that wait for a round: they
 * may wait for the word that all cores have begun. */
static void begun_tell(core *core)
{
    struct { api_reply reply; backup_piece piece; } first = {
        .reply = { .status = 200, .content = CONTENT_PIECE, .more = true, .etag = UINT64_MAX, .body_length = sizeof(backup_piece) } };
    backup *b = core->backup;
    gate_link *gate = &core->gates[b->caller.gate];
    if (core->index == 0)
        audit_answered(core, b->caller, &(reply){ .status = 200 });
    b->is_told = ring_send(&gate->out, MESSAGE_API_REPLY, 0, b->caller.id, &first, sizeof first);
    ring_publish(&gate->out);
}

static void backup_begin(core *core, const call *call)
{
    backup *b = calloc(1, sizeof *b);
    if (b == NULL) {
        tell_problem(core, call->caller, 503, "about:blank", "no memory for a backup");
        return;
    }
    *b = (backup){ .caller = call->caller, .piece = 1, .heard_ns = core->now_ns, .begun_ns = core->now_ns,
                   .is_gathering = core->count > 1, .image_count = core->index == 0 ? core->image_count : 0, .file = -1 };
    find_end(core, b);
    memset(b->tables, -1, sizeof b->tables);
    core->backup = b;
    int error = open_tables(core, b);
    if (error != 0) {
        tell_problem(core, call->caller, 500, "about:blank", "the host's tables cannot be read: %s", strerror(error));
        backup_end(core, "its tables cannot be read");
        return;
    }
    dro_info("backup begun segments=%" PRIu32 "-%" PRIu32 " images=%" PRIu32, b->segment, b->segment_last, b->image_count);
    begun_tell(core);
}

static bool is_callers(const backup *b, caller caller)
{
    return b != NULL && b->caller.gate == caller.gate && b->caller.id == caller.id;
}

void api_backup(core *core, const call *call)
{
    backup *b = core->backup;
    if (call->is_last) {
        if (is_callers(b, call->caller))
            backup_end(core, "who took it went away");
    } else if (call->limit == 0 && b != NULL) {
        tell_problem(core, call->caller, 409, "about:blank", "a backup is being taken already");
    } else if (call->limit == 0 && (core->is_moving || (core->index == 0 && core->generations.count > 1))) {
        tell_problem(core, call->caller, 503, "about:blank", "the host still moves to another number of cores; try again");
    } else if (call->limit == 0) {
        backup_begin(core, call);
    } else if (call->limit == BACKUP_ALL_BEGAN) {
        if (is_callers(b, call->caller)) { /* also a sign that other cores' parts still come */
            b->is_gathering = false;
            b->heard_ns = core->now_ns;
        }
    } else if (!is_callers(b, call->caller) || call->limit != b->piece + b->asked) {
        tell_problem(core, call->caller, 503, "about:blank", "the backup has ended");
    } else {
        b->asked++;
        b->heard_ns = core->now_ns;
    }
}

/* ---- parts ---- */

static void part_name(backup *b, disk *disk, const char *directory, const char *file)
{
    b->disk = disk;
    b->offset = 0;
    snprintf(b->name, sizeof b->name, "%.120s/%.120s", directory, file);
}

static void replay_open(const core *core, backup *b)
{
    char directory[NAME_BYTES_MAX];
    if (b->replay_bytes == 0)
        return;
    log_path(core, directory);
    part_name(b, NULL, directory, tables[TABLE_OF_LOG]);
    b->is_replay = true;
    b->bytes = b->replay_bytes;
    b->replay_bytes = 0;
}

/* Opens what comes next, if it is there. */
static dro_err table_open(core *core, backup *b)
{
    if (b->next == TABLE_OF_LOG) {
        replay_open(core, b);
        return DRO_OK;
    }
    disk *disk = table_disk(core, (int)b->next);
    int file = b->tables[b->next];
    if (file < 0)
        return DRO_OK;
    b->tables[b->next] = -1;
    b->file = file;
    part_name(b, disk, "log", tables[b->next]);
    int64_t size = disk->size(disk, file);
    b->bytes = size < 0 ? 0 : (uint64_t)size;
    return size < 0 ? DRO_IO : DRO_OK;
}

static dro_err image_open(core *core, backup *b)
{
    disk *disk = core->options.image_disk;
    const image *image = &core->images[b->next];
    char file[96];
    if (image->table == NONE)
        return DRO_OK;
    for (int i = 0; i < 32; i++)
        snprintf(file + 2 * i, 3, "%02x", image->digest[i]);
    snprintf(file + 64, sizeof file - 64, ".wasm");
    b->file = disk->open(disk, file, 0);
    int64_t size = b->file < 0 ? -1 : disk->size(disk, b->file);
    part_name(b, disk, "images", file);
    b->bytes = size < 0 ? 0 : (uint64_t)size;
    return size < 0 ? DRO_IO : DRO_OK;
}

static dro_err segment_open(core *core, backup *b)
{
    disk *disk = commit_log_disk(core->log);
    char file[LOG_NAME_BYTES], directory[NAME_BYTES_MAX];
    log_path(core, directory);
    log_segment_name(b->segment, file);
    part_name(b, disk, directory, file);
    b->bytes = b->segment == b->segment_last ? b->last_bytes : commit_log_segment_bytes(core->log, b->segment);
    b->file = disk->open(disk, file, 0);
    b->segment++;
    return b->file < 0 ? DRO_IO : DRO_OK;
}

static bool part_is_open(const backup *b)
{
    return b->file >= 0 || b->is_replay;
}

/* Opens the next part; none is open at the end. */
static dro_err part_next(core *core, backup *b)
{
    dro_err err = DRO_OK;
    while (err == DRO_OK && !part_is_open(b) && b->stage != STAGE_END) {
        uint32_t count = b->stage == STAGE_TABLES ? TABLES : b->stage == STAGE_IMAGES ? b->image_count : 0;
        bool is_over = b->stage == STAGE_SEGMENTS ? b->segment > b->segment_last : b->next >= count;
        if (is_over) {
            b->stage++;
            b->next = 0;
            continue;
        }
        err = b->stage == STAGE_TABLES ? table_open(core, b) : b->stage == STAGE_IMAGES ? image_open(core, b) : segment_open(core, b);
        b->next++;
    }
    return err;
}

/* Bytes read, or -errno. */
static int64_t part_read(const backup *b, uint8_t *bytes, uint32_t length)
{
    if (!b->is_replay)
        return b->disk->read(b->disk, b->file, b->offset, bytes, length);
    memcpy(bytes, b->replay + b->offset, length);
    return length;
}

/* ---- pieces ---- */

/* `room` has space for the heads and the name, then the bytes. `name` NULL: none, there is nothing left. */
static void piece_send(core *core, const backup_piece *head, const char *name, uint8_t *room, uint32_t length, bool is_more)
{
    uint32_t body = (uint32_t)sizeof *head + head->name_length + length;
    api_reply reply = { .status = 200, .content = CONTENT_PIECE, .more = is_more, .etag = UINT64_MAX, .body_length = body };
    memcpy(room, &reply, sizeof reply);
    memcpy(room + sizeof reply, head, sizeof *head);
    if (name != NULL)
        memcpy(room + sizeof reply + sizeof *head, name, head->name_length);
    tell(core, core->backup->caller.gate, MESSAGE_API_REPLY, 0, core->backup->caller.id, room, (uint32_t)sizeof reply + body, 0);
}

static void piece_fail(core *core, const char *what)
{
    tell_problem(core, core->backup->caller, 500, "about:blank", "%s cannot be read; see the host's log", what);
    backup_end(core, "a file cannot be read");
}

static void piece_next(core *core)
{
    static uint8_t message[sizeof(api_reply) + sizeof(backup_piece) + NAME_BYTES_MAX + BACKUP_PIECE_MAX];
    backup *b = core->backup;
    backup_piece head = { 0 };
    bool is_begin = !part_is_open(b);
    if (is_begin && part_next(core, b) != DRO_OK) {
        dro_error("backup cannot-open file=%s", b->name);
        piece_fail(core, b->name);
        return;
    }
    b->asked--;
    b->piece++;
    if (!part_is_open(b)) { /* all is sent */
        piece_send(core, &head, NULL, message, 0, false);
        dro_info("backup done pieces=%" PRIu64, b->piece);
        backup_end(core, NULL);
        return;
    }
    if (is_begin)
        head = (backup_piece){ .part_bytes = b->bytes, .name_length = (uint32_t)strlen(b->name) };
    uint64_t left = b->bytes - b->offset;
    uint32_t length = left < BACKUP_PIECE_MAX ? (uint32_t)left : BACKUP_PIECE_MAX;
    uint8_t *bytes = message + sizeof(api_reply) + sizeof head + head.name_length;
    int64_t got = length == 0 ? 0 : part_read(b, bytes, length);
    if (got != (int64_t)length) {
        dro_error("backup cannot-read file=%s offset=%" PRIu64 " error=\"%s\"", b->name, b->offset,
                  got < 0 ? strerror((int)-got) : "it is shorter than it was");
        piece_fail(core, b->name);
        return;
    }
    b->offset += length;
    piece_send(core, &head, b->name, message, length, true);
    if (b->offset == b->bytes)
        part_close(b);
}

/* One piece at most; then, while there is other work, the core's time is that of others. */
int backup_step(core *core)
{
    backup *b = core->backup;
    if (core->is_full) {
        backup_end(core, "the disk is full: old segments must go");
        return 0;
    }
    if (b->is_gathering && core->now_ns - b->begun_ns > (int64_t)BACKUP_BEGIN_MS * NS_PER_MS) {
        backup_end(core, "not all cores began in time");
        return 0;
    }
    if (!b->is_told)
        begun_tell(core);
    if (b->asked == 0) {
        if (core->now_ns - b->heard_ns > (int64_t)BACKUP_IDLE_S * NS_PER_S)
            backup_end(core, "nobody takes it");
        return 0;
    }
    if (core->now_ns < b->due_ns || core->gates[b->caller.gate].is_stopped)
        return 0;
    bool is_busy = core->turn_count > 0 || core->work > 0;
    int64_t began = core->clock->monotonic_ns(core->clock);
    piece_next(core);
    if (core->backup != NULL && is_busy)
        b->due_ns = began + (core->clock->monotonic_ns(core->clock) - began) * BACKUP_SHARE;
    return 1;
}
