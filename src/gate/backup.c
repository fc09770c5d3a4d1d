/* Backup: GET /v1/backup. First all cores are told to begin, one after the other, core 0 the last:
 * what its tables name is there before a log speaks of it, so the tables must be the youngest. Then
 * all are told that all have begun; till then none gives up a name (core/backup.c). Of two gates the
 * one that comes first to the first core takes the backup, the other is refused there.
 * Then their parts come one core after the other, a few pieces asked for at a time and none while
 * the client does not read. Those whose turn comes later are told again and again that all have begun: a
 * core that hears nothing ends its backup. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "gate/answer.h"
#include "gate/parts.h"
#include "store/archive.h"
#include "store/data_layout.h"

enum { NS_PER_MS = 1000000, SUM_BYTES = 32, SUM_LINE_MAX = 2 * SUM_BYTES + 2 + ARCHIVE_NAME_MAX + 2 };

struct backup {
    exchange *owner;
    uint32_t told, begun;   /* cores that were told to begin, that did */
    uint32_t released;      /* cores that were told that all did */
    int64_t released_ns;    /* when that began */
    uint32_t core;          /* whose parts come */
    uint64_t asked, taken;  /* pieces of that core, beside the first */
    uint64_t part_left;     /* bytes of the part that comes */
    uint64_t part_bytes;
    char name[ARCHIVE_NAME_MAX + 1]; /* of that part, "": none */
    int64_t time_s;
    EVP_MD_CTX *sum;
    gathered sums;          /* lines of ARCHIVE_SUMS */
    bool waits_for_room;
    uint32_t request_length;
    uint8_t request[HTTP_REQUEST_MAX];
};

bool backup_begin(http *http, exchange *exchange, const void *request, uint32_t length)
{
    backup *made = http->backup != NULL ? NULL : calloc(1, sizeof *made);
    if (made == NULL)
        return false;
    made->sum = EVP_MD_CTX_new();
    if (made->sum == NULL) {
        free(made);
        return false;
    }
    made->request_length = length < sizeof made->request ? length : (uint32_t)sizeof(api_request);
    memcpy(made->request, request, made->request_length);
    made->time_s = http->config->clock->wall_ms(http->config->clock) / 1000;
    made->owner = exchange;
    http->backup = made;
    exchange->kind = EXCHANGE_BACKUP;
    exchange->backup = made;
    return true;
}

/* False: the ring is full. */
static bool ask(http *http, uint32_t core, uint64_t piece, bool is_last)
{
    const backup *from = http->backup;
    uint8_t bytes[sizeof from->request + 32];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, from->request, from->request_length);
    dro_field_put_u64(&out, API_FIELD_LIMIT, piece);
    if (is_last)
        dro_field_put(&out, API_FIELD_LAST, NULL, 0);
    dro_field_pad(&out);
    return ring_send(&http->config->to_core[core], MESSAGE_API, 0, exchange_id(http, from->owner, core), bytes,
                     (uint32_t)dro_builder_length(&out));
}

/* A core that cannot be told now ends by itself: nobody asks for more. */
void backup_drop(http *http, exchange *exchange)
{
    backup *gone = exchange->backup;
    for (uint32_t core = gone->core; gone->told > 0 && core < http->config->core_count; core++)
        if (!ask(http, core, 0, true))
            break;
    EVP_MD_CTX_free(gone->sum);
    gathered_clear(&gone->sums);
    free(gone);
    exchange->backup = NULL;
    http->backup = NULL;
}

/* ---- writing the tar ---- */

static void pad(exchange *exchange, uint64_t bytes)
{
    static const uint8_t zeros[ARCHIVE_BLOCK];
    answer_part(exchange, zeros, archive_padding(bytes));
}

static bool file_begin(backup *to, const char *name, uint64_t bytes)
{
    uint8_t block[ARCHIVE_BLOCK];
    archive_head head = { .bytes = bytes, .time_s = to->time_s };
    if (bytes > ARCHIVE_BYTES_MAX || !archive_name_is_good(name, strlen(name)))
        return false;
    snprintf(head.name, sizeof head.name, "%s", name);
    snprintf(to->name, sizeof to->name, "%s", name);
    archive_head_write(&head, block);
    answer_part(to->owner, block, sizeof block);
    to->part_bytes = to->part_left = bytes;
    return EVP_DigestInit_ex(to->sum, EVP_sha256(), NULL) == 1;
}

static bool file_bytes(backup *to, const void *bytes, size_t length)
{
    if (length > to->part_left)
        return false;
    to->part_left -= length;
    answer_part(to->owner, bytes, length);
    return EVP_DigestUpdate(to->sum, bytes, length) == 1;
}

/* The part is whole: its line of the sums. */
static bool file_end(backup *to)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    char line[SUM_LINE_MAX + 1];
    if (to->part_left > 0 || EVP_DigestFinal_ex(to->sum, sum, NULL) != 1)
        return false;
    for (int i = 0; i < SUM_BYTES; i++)
        snprintf(line + 2 * i, 3, "%02x", sum[i]);
    int length = 2 * SUM_BYTES + snprintf(line + 2 * SUM_BYTES, sizeof line - 2 * SUM_BYTES, "  %s\n", to->name);
    pad(to->owner, to->part_bytes);
    to->name[0] = '\0';
    return gathered_add(&to->sums, line, (size_t)length, ARCHIVE_SUMS_MAX);
}

static bool manifest_write(http *http, backup *to)
{
    char text[ARCHIVE_MANIFEST_MAX], taken[DRO_TIME_TEXT];
    dro_time_text(to->time_s * 1000, taken);
    int length = snprintf(text, sizeof text, "{\"format\":%d,\"layout\":%d,\"version\":\"%s\",\"identity\":\"%s\",\"taken\":\"%s\",\"cores\":%u}\n",
                          ARCHIVE_FORMAT, DATA_LAYOUT, http->config->version != NULL ? http->config->version : "",
                          http->config->identity != NULL ? http->config->identity : "", taken, http->config->core_count);
    return file_begin(to, ARCHIVE_MANIFEST, (uint64_t)length) && file_bytes(to, text, (size_t)length) && file_end(to);
}

static void finish(backup *from)
{
    static const uint8_t zeros[ARCHIVE_END];
    exchange *owner = from->owner;
    gathered sums = from->sums; /* ARCHIVE_SUMS has no line of its own */
    if (!file_begin(from, ARCHIVE_SUMS, sums.length) || !file_bytes(from, sums.bytes, sums.length)) {
        connection_break(owner->owner);
        return;
    }
    pad(owner, sums.length);
    answer_part(owner, zeros, sizeof zeros);
    answer_end(owner);
}

/* ---- pieces ---- */

static void answer_first(http *http, exchange *exchange)
{
    answer made = { .status = 200, .content_type = "application/x-tar", .etag = ANSWER_NO_ETAG,
                    .lines = "\r\nContent-Disposition: attachment; filename=\"dromio-backup.tar\"" };
    if (exchange->is_head) {
        answer_whole(exchange, &made, NULL, 0); /* the cores are told that it is over */
        return;
    }
    answer_begin(exchange, &made, false);
    if (!manifest_write(http, exchange->backup))
        connection_break(exchange->owner);
}

static bool piece_take(backup *to, const backup_piece *head, const uint8_t *bytes, uint32_t length)
{
    if (head->name_length > 0) {
        char name[ARCHIVE_NAME_MAX + 1] = { 0 };
        if (to->name[0] != '\0' || head->name_length > ARCHIVE_NAME_MAX)
            return false;
        memcpy(name, bytes, head->name_length);
        bytes += head->name_length;
        length -= head->name_length;
        if (!file_begin(to, name, head->part_bytes))
            return false;
    }
    if (length > 0 && (to->name[0] == '\0' || !file_bytes(to, bytes, length)))
        return false;
    return to->name[0] == '\0' || to->part_left > 0 || file_end(to);
}

static void core_end(http *http, backup *from)
{
    from->core++;
    from->asked = from->taken = 0;
    if (from->core == http->config->core_count)
        finish(from);
}

void backup_on_reply(http *http, exchange *exchange, uint32_t core, const api_reply *reply, const uint8_t *body)
{
    backup *to = exchange->backup;
    backup_piece head;
    if (core < to->core) /* pieces asked for beyond its last one */
        return;
    bool is_piece = reply->status == 200 && reply->content == CONTENT_PIECE && reply->body_length >= sizeof head;
    if (is_piece)
        memcpy(&head, body, sizeof head);
    if (!is_piece || head.name_length > reply->body_length - sizeof head) { /* half a backup is out: only its end can tell */
        connection_break(exchange->owner);
        return;
    }
    exchange->deadline_ns = loop_now_ns(http->loop) + (int64_t)HTTP_ANSWER_MS * NS_PER_MS;
    if (to->begun < http->config->core_count) { /* the first piece of each core is empty */
        if (++to->begun == http->config->core_count)
            answer_first(http, exchange);
        return;
    }
    to->taken++;
    if (core != to->core || !piece_take(to, &head, body + sizeof head, reply->body_length - (uint32_t)sizeof head))
        connection_break(exchange->owner);
    else if (!reply->more)
        core_end(http, to);
}

/* False: a ring is full. */
static bool release(http *http, backup *at, uint32_t cores)
{
    int64_t now_ns = loop_now_ns(http->loop);
    bool is_again = at->released == cores && now_ns - at->released_ns >= (int64_t)HTTP_BACKUP_SIGN_MS * NS_PER_MS;
    if (at->released == 0 || is_again) {
        at->released_ns = now_ns;
        at->released = is_again ? at->core + 1 : 0; /* that core is asked for pieces */
    }
    while (at->released < cores && ask(http, at->released, BACKUP_ALL_BEGAN, false))
        at->released++;
    return at->released >= cores;
}

/* Asks for what is wanted next. A client that does not read is HTTP_WRITE_MS's business, not the core's. */
void backup_turn(http *http)
{
    backup *at = http->backup;
    if (at == NULL || at->owner->is_answered || at->owner->owner->is_broken)
        return;
    at->waits_for_room = false;
    uint32_t cores = http->config->core_count;
    if (at->told < cores && at->begun == at->told) {
        at->waits_for_room = !ask(http, (at->told + 1) % cores, 0, false); /* 1, 2, ... 0 */
        at->told += !at->waits_for_room;
        return;
    }
    if (at->begun == cores && !release(http, at, cores)) {
        at->waits_for_room = true;
        return;
    }
    const connection *client = at->owner->owner;
    bool is_first = client->first == at->owner;
    if (at->begun < cores || at->core == http->config->core_count || !is_first)
        return;
    if (client->out.bytes >= HTTP_OUT_HIGH && at->asked == at->taken)
        at->owner->deadline_ns = 0; /* the core owes nothing */
    while (at->asked - at->taken < HTTP_BACKUP_WINDOW && client->out.bytes < HTTP_OUT_HIGH) {
        if (!ask(http, at->core, at->asked + 1, false)) {
            at->waits_for_room = true;
            return;
        }
        at->asked++;
        at->owner->deadline_ns = loop_now_ns(http->loop) + (int64_t)HTTP_ANSWER_MS * NS_PER_MS;
    }
}

bool backup_is_waiting(const http *http)
{
    return http->backup != NULL && http->backup->waits_for_room;
}
