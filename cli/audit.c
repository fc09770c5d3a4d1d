/* dromio audit: the audit log, shown, taken out, and verified over the API or from files alone (docs/audit.md). */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "commands.h"

enum {
    HEX = 2 * SHA256_DIGEST_LENGTH,
    KEY_BYTES = 32, SIGNATURE_BYTES = 64,
    HEADS_KEPT = 65536,        /* newest lines whose hashes signatures are compared with */
    UNPROVEN_MAX = 2000,       /* a signature follows after 1,000 entries; a few more may come while it is made */
    LINE_BYTES_MAX = 64 * 1024, WHY_MAX = 200, PAGE = 1000,
};
static const char hash_begin[] = ",\"hash\":\"", hash_end[] = "\"}\n";

typedef struct checking {
    uint64_t first, last, lines, series_begun, signatures, cuts, gaps;
    char series[24], head[HEX + 1];
    char (*heads)[HEX + 1];    /* [HEADS_KEPT], by number of the line */
    uint8_t key[KEY_BYTES];
    bool has_key;
    uint64_t proven;           /* of this series, the newest that a signature or the wanted head vouches for; 0: none */
    const char *wanted;        /* a head that has to be among them; NULL: none */
    const char *after;         /* the head that the first of them has to follow; NULL: any */
    uint64_t begin;            /* the first of all, */
    char begin_after[HEX + 1]; /* and the hash of the one before it */
    bool is_found;
    char place[300], why[WHY_MAX]; /* "": nothing is wrong */
} checking;

static bool hex_read(const char *text, uint8_t *out, size_t bytes)
{
    if (strlen(text) != 2 * bytes || strspn(text, "0123456789abcdef") != 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        unsigned value = 0;
        sscanf(text + 2 * i, "%2x", &value);
        out[i] = (uint8_t)value;
    }
    return true;
}

__attribute__((format(printf, 2, 3))) static bool wrong(checking *to, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(to->why, sizeof to->why, format, values);
    va_end(values);
    return false;
}

/* ---- a line ---- */

/* Its own hash, which is of the bytes before it. */
static bool check_hash(checking *to, const char *text, size_t length, char hash[HEX + 1])
{
    size_t tail = sizeof hash_begin - 1 + HEX + sizeof hash_end - 1;
    uint8_t sum[SHA256_DIGEST_LENGTH];
    if (length <= tail || memcmp(text + length - tail, hash_begin, sizeof hash_begin - 1) != 0 ||
        memcmp(text + length - (sizeof hash_end - 1), hash_end, sizeof hash_end - 1) != 0)
        return wrong(to, "is no entry, or its end is missing");
    memcpy(hash, text + length - (sizeof hash_end - 1) - HEX, HEX);
    hash[HEX] = '\0';
    SHA256((const uint8_t *)text, length - tail, sum);
    for (size_t i = 0; i < sizeof sum; i++) {
        char pair[3];
        snprintf(pair, sizeof pair, "%02x", sum[i]);
        if (memcmp(pair, hash + 2 * i, 2) != 0)
            return wrong(to, "was changed: its hash is not that of its bytes");
    }
    return true;
}

static bool is_good_signature(const uint8_t key[KEY_BYTES], const uint8_t signature[SIGNATURE_BYTES], const char *text)
{
    EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = public_key != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1 &&
                   EVP_DigestVerify(context, signature, SIGNATURE_BYTES, (const uint8_t *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public_key);
    return is_good;
}

/* Of "series", "sequence" and the head, by "key": the one that is known, or the first that is seen. */
static bool check_signature(checking *to, const char *series, uint64_t sequence, const char *head, const char *signature, const char *key)
{
    uint8_t by[KEY_BYTES], bytes[SIGNATURE_BYTES];
    char text[200];
    if (!hex_read(key, by, sizeof by) || !hex_read(signature, bytes, sizeof bytes))
        return wrong(to, "has no whole signature");
    if (!to->has_key) {
        memcpy(to->key, by, sizeof by);
        to->has_key = true;
    }
    if (memcmp(to->key, by, sizeof by) != 0)
        return wrong(to, "is signed by another key");
    snprintf(text, sizeof text, "dromio audit %s %" PRIu64 " %s\n", series, sequence, head);
    if (!is_good_signature(by, bytes, text))
        return wrong(to, "has a signature that is not good");
    to->signatures++;
    return true;
}

/* What a signature says of an earlier line of these. */
static bool check_signed_line(checking *to, const char *series, uint64_t sequence, const char *head)
{
    bool is_here = strcmp(series, to->series) == 0 && sequence >= to->first && sequence <= to->last && to->last - sequence < HEADS_KEPT;
    if (is_here && strcmp(to->heads[sequence % HEADS_KEPT], head) != 0)
        return wrong(to, "signs another line %" PRIu64 " than the one here", sequence);
    if (is_here && sequence > to->proven)
        to->proven = sequence;
    return true;
}

static bool check_chain(checking *to, yyjson_val *entry, const char *hash)
{
    const char *id = member_text(entry, "id"), *previous = member_text(entry, "previous");
    uint64_t sequence = yyjson_get_uint(yyjson_obj_get(entry, "seq"));
    size_t series = strcspn(id, "-");
    if (sequence == 0 || series == 0 || series >= sizeof to->series || strlen(previous) != HEX)
        return wrong(to, "is no entry of an audit log");
    bool is_begin = sequence == 1 && strspn(previous, "0") == HEX;
    if (to->lines == 0 && to->after != NULL && strcmp(previous, to->after) != 0)
        return wrong(to, "is entry %" PRIu64 ", which does not follow the one with the hash of --after-head: those between are missing, or it is another log", sequence);
    bool is_same = strncmp(to->series, id, series) == 0 && to->series[series] == '\0';
    if (to->lines > 0 && !is_same && !is_begin)
        return wrong(to, "is of another directory, and not its first entry");
    if (to->lines > 0 && is_same && sequence != to->last + 1)
        return wrong(to, sequence > to->last ? "is entry %" PRIu64 " behind %" PRIu64 ": those between are missing"
                                             : "is entry %" PRIu64 " behind %" PRIu64 ": twice, or out of order", sequence, to->last);
    if (to->lines > 0 && is_same && strcmp(previous, to->head) != 0)
        return wrong(to, "does not follow entry %" PRIu64 ": entries were changed, removed or added between the two", to->last);
    if (sequence == 1 && !is_begin)
        return wrong(to, "is the first entry, but says that one came before");
    if (to->lines == 0) {
        to->begin = sequence;
        snprintf(to->begin_after, sizeof to->begin_after, "%s", previous);
    }
    if (to->lines == 0 || !is_same) {
        to->first = sequence;
        to->proven = 0;
        snprintf(to->series, sizeof to->series, "%.*s", (int)series, id);
        to->series_begun++;
    }
    to->last = sequence;
    to->lines++;
    snprintf(to->head, sizeof to->head, "%s", hash);
    memcpy(to->heads[sequence % HEADS_KEPT], hash, HEX + 1);
    if (to->wanted != NULL && strcmp(hash, to->wanted) == 0) {
        to->is_found = true;
        to->proven = sequence;
    }
    return true;
}

static bool check_entry(checking *to, yyjson_val *entry, const char *hash)
{
    const char *act = member_text(entry, "act"), *series = member_text(entry, "series"), *head = member_text(entry, "head");
    uint64_t sequence = yyjson_get_uint(yyjson_obj_get(entry, "sequence"));
    if (!check_chain(to, entry, hash))
        return false;
    to->gaps += strcmp(act, "audit.gap") == 0;
    to->cuts += strcmp(act, "audit.cut") == 0;
    if (strcmp(act, "audit.signed") != 0)
        return true;
    return check_signature(to, series, sequence, head, member_text(entry, "signature"), member_text(entry, "key")) &&
           check_signed_line(to, series, sequence, head);
}

static bool check_line(checking *to, const char *name, uint64_t line, const char *text, size_t length)
{
    char hash[HEX + 1];
    bool is_fine = check_hash(to, text, length, hash);
    yyjson_doc *doc = is_fine ? yyjson_read(text, length, 0) : NULL;
    if (is_fine)
        is_fine = doc != NULL ? check_entry(to, yyjson_doc_get_root(doc), hash) : wrong(to, "is no JSON");
    yyjson_doc_free(doc);
    if (!is_fine)
        snprintf(to->place, sizeof to->place, "%.200s:%" PRIu64, name, line);
    return is_fine;
}

/* ---- files ---- */

static bool check_file(checking *to, const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    bool is_fine = file != NULL;
    for (uint64_t line = 1; is_fine && (length = getline(&text, &room, file)) > 0; line++)
        is_fine = length <= LINE_BYTES_MAX ? check_line(to, name, line, text, (size_t)length) : wrong(to, "is too long");
    if (file == NULL || (is_fine && ferror(file))) {
        is_fine = wrong(to, "cannot be read");
        snprintf(to->place, sizeof to->place, "%.250s", name);
    }
    free(text);
    if (file != NULL)
        fclose(file);
    return is_fine;
}

static int only_audit(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return strncmp(entry->d_name, "audit-", 6) == 0 && length > 11 &&
           (strcmp(entry->d_name + length - 6, ".jsonl") == 0 || strcmp(entry->d_name + length - 11, ".jsonl.open") == 0);
}

static bool check_directory(checking *to, const char *directory)
{
    struct dirent **names = NULL;
    int count = scandir(directory, &names, only_audit, alphasort); /* numbers have ten digits: in their order */
    bool is_fine = count > 0;
    for (int i = 0; i < count; i++) {
        struct buffer path = { 0 };
        buffer_text(&path, directory);
        buffer_text(&path, "/");
        buffer_text(&path, names[i]->d_name);
        is_fine = is_fine && check_file(to, buffer_string(&path));
        buffer_fini(&path);
        free(names[i]);
    }
    free(names);
    if (count <= 0) {
        wrong(to, "has no audit files");
        snprintf(to->place, sizeof to->place, "%.250s", directory);
    }
    return is_fine;
}

static bool check_path(checking *to, const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? check_directory(to, path) : check_file(to, path);
}

/* ---- the host ---- */

/* Pages of entries, each given to `each` as a line; an exit code. */
static int walk(struct cli *cli, uint64_t after, uint64_t most, bool (*each)(void *context, const char *line, size_t length, uint64_t sequence), void *context)
{
    int code = EXIT_OK;
    bool goes_on = true;
    while (code == EXIT_OK && goes_on && most > 0) {
        struct response response = { 0 };
        char path[96];
        snprintf(path, sizeof path, "/v1/audit?after=%" PRIu64 "&limit=%" PRIu64, after, most < PAGE ? most : PAGE);
        struct request request = { .method = "GET", .path = path, .accept = "application/x-ndjson" };
        code = client_call(cli->client, &request, &response);
        const char *at = code == EXIT_OK ? buffer_string(&response.body) : "", *end = strchr(at, '\n');
        goes_on = end != NULL;
        for (; end != NULL && goes_on; at = end + 1, end = strchr(at, '\n')) {
            uint64_t sequence = 0;
            if (sscanf(at, "{\"seq\":%" SCNu64, &sequence) != 1 || sequence <= after) {
                code = cli_fail(EXIT_FAILED, "the host sent something else than its audit log");
                break;
            }
            after = sequence;
            most--;
            goes_on = each(context, at, (size_t)(end + 1 - at), sequence);
        }
        response_fini(&response);
    }
    return code;
}

static bool check_sent(void *context, const char *line, size_t length, uint64_t sequence)
{
    return check_line(context, "entry", sequence, line, length);
}

/* The head that the host shows has to be among what it sent, and its signature good. */
static bool check_head(checking *to, yyjson_val *head)
{
    uint64_t sequence = yyjson_get_uint(yyjson_obj_get(head, "seq"));
    const char *hash = member_text(head, "hash"), *signature = member_text(head, "signature");
    snprintf(to->place, sizeof to->place, "the head");
    if (sequence < to->first || sequence > to->last)
        return wrong(to, "is entry %" PRIu64 ", which is not among the files' entries", sequence);
    return check_signed_line(to, member_text(head, "series"), sequence, hash) &&
           (*signature == '\0' || check_signature(to, member_text(head, "series"), sequence, hash, signature, member_text(head, "key")));
}

static int verify_host(struct cli *cli, checking *to, bool *is_fine)
{
    yyjson_doc *doc;
    int code = cli_get(cli, "/v1/audit/head", &doc);
    if (code != EXIT_OK)
        return code;
    yyjson_val *head = yyjson_doc_get_root(doc);
    if (strcmp(member_text(head, "state"), "writing") != 0)
        code = cli_fail(EXIT_FAILED, "the host writes no audit log now: it is %s", member_text(head, "state"));
    else
        code = walk(cli, 0, UINT64_MAX, check_sent, to);
    *is_fine = to->why[0] == '\0' && (code != EXIT_OK || check_head(to, head));
    yyjson_doc_free(doc);
    return code;
}

static int print_verified(struct cli *cli, const checking *to)
{
    if (cli->format == OUTPUT_TABLE) {
        fprintf(cli->out, "entries %" PRIu64 " to %" PRIu64 " hold together, %" PRIu64 " signatures are good, ", to->first, to->last, to->signatures);
        if (to->proven > 0)
            fprintf(cli->out, "the newest vouches for entry %" PRIu64 " and all before it; head %s\n", to->proven, to->head);
        else
            fprintf(cli->out, "none vouches for any of them yet; head %s\n", to->head);
        return EXIT_OK;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "first", to->first);
    yyjson_mut_obj_add_uint(doc, root, "last", to->last);
    yyjson_mut_obj_add_uint(doc, root, "signatures", to->signatures);
    yyjson_mut_obj_add_uint(doc, root, "proven", to->proven);
    yyjson_mut_obj_add_uint(doc, root, "gaps", to->gaps);
    yyjson_mut_obj_add_str(doc, root, "series", to->series);
    yyjson_mut_obj_add_str(doc, root, "head", to->head);
    int code = cli_print_made(cli, doc);
    return code;
}

/* A chain alone can be made by anybody: with a key, somebody who has its other half has to vouch for it, up to what is newest. */
static int judge_authorship(struct cli *cli, const checking *to)
{
    bool is_asked = invocation_option(cli->in, "--key") != NULL;
    if (is_asked && to->proven == 0)
        return cli_fail(EXIT_FAILED, "entries %" PRIu64 " to %" PRIu64 " hold together, but none is signed by that key: anybody may have written them. A host signs within a minute: "
                        "take them again later, or give a head that was kept (--since-head)", to->first, to->last);
    if (is_asked && to->last - to->proven > UNPROVEN_MAX)
        return cli_fail(EXIT_FAILED, "the %" PRIu64 " entries behind %" PRIu64 " are not signed, and a host signs after 1,000: anybody may have written them. Take them again "
                        "in a minute, or give a head that was kept (--since-head)", to->last - to->proven, to->proven);
    if (!is_asked && invocation_argument(cli->in, 0) != NULL)
        cli_note("that the host wrote them shows with its public key alone, kept elsewhere: --key");
    return EXIT_OK;
}

static int judge(struct cli *cli, checking *to, bool is_fine)
{
    if (!is_fine)
        return cli_fail(EXIT_FAILED, "%s %s", to->place, to->why);
    if (to->lines == 0)
        return cli_fail(EXIT_FAILED, "there is no entry: nothing was verified");
    if (to->wanted != NULL && !to->is_found)
        return cli_fail(EXIT_FAILED, "no entry has the hash %s: the log was cut before it, or is another one", to->wanted);
    if (to->cuts > 0)
        return cli_fail(EXIT_FAILED, "the chain holds, but has %" PRIu64 " entries audit.cut: the host found its files shorter, or others, than they were", to->cuts);
    if (to->gaps > 0)
        cli_note("%" PRIu64 " entries audit.gap: entries were lost before they were written", to->gaps);
    if (to->begin > 1)
        cli_note("begins at entry %" PRIu64 ", behind one with the hash %s: none before it is here%s", to->begin, to->begin_after,
                 to->after != NULL ? "" : "; with --after-head that hash, kept where nobody of the host can change it, shows that none behind it was taken away");
    if (to->series_begun > 1)
        cli_note("%" PRIu64 " directories, one after the other: an entry audit.begun says how each before it ended", to->series_begun);
    int code = judge_authorship(cli, to);
    return code == EXIT_OK ? print_verified(cli, to) : code;
}

int audit_verify(struct cli *cli)
{
    checking to = { .wanted = invocation_option(cli->in, "--since-head"), .after = invocation_option(cli->in, "--after-head") };
    const char *key = invocation_option(cli->in, "--key");
    bool is_fine = true;
    int code = EXIT_OK;
    if (to.wanted != NULL && (strlen(to.wanted) != HEX || strspn(to.wanted, "0123456789abcdef") != HEX))
        return cli_fail(EXIT_USAGE, "--since-head takes a hash: 64 hexadecimal digits");
    if (to.after != NULL && (strlen(to.after) != HEX || strspn(to.after, "0123456789abcdef") != HEX))
        return cli_fail(EXIT_USAGE, "--after-head takes a hash: 64 hexadecimal digits");
    if (key != NULL && !(to.has_key = hex_read(key, to.key, sizeof to.key)))
        return cli_fail(EXIT_USAGE, "--key takes a public key: 64 hexadecimal digits");
    to.heads = calloc(HEADS_KEPT, sizeof *to.heads);
    if (to.heads == NULL)
        return cli_fail(EXIT_FAILED, "out of memory");
    for (int i = 0; is_fine && invocation_argument(cli->in, i) != NULL; i++)
        is_fine = check_path(&to, invocation_argument(cli->in, i));
    if (invocation_argument(cli->in, 0) == NULL)
        code = verify_host(cli, &to, &is_fine);
    if (code == EXIT_OK || !is_fine)
        code = judge(cli, &to, is_fine);
    free(to.heads);
    return code;
}

/* ---- shown ---- */

int audit_head(struct cli *cli)
{
    struct request request = { .method = "GET", .path = "/v1/audit/head" };
    return cli_print_answer(cli, &request);
}

static bool print_line(void *context, const char *line, size_t length, uint64_t sequence)
{
    const struct cli *cli = context;
    (void)sequence;
    return fwrite(line, 1, length, cli->out) == length;
}

/* -1: not a number. */
static long long number_option(const struct cli *cli, const char *name, long long usual)
{
    const char *text = invocation_option(cli->in, name);
    char *end;
    if (text == NULL)
        return usual;
    long long number = strtoll(text, &end, 10);
    return end == text || *end != '\0' ? -1 : number;
}

int audit_export(struct cli *cli)
{
    long long after = number_option(cli, "--after", 0);
    if (after < 0)
        return cli_fail(EXIT_USAGE, "--after takes the number of an entry");
    return walk(cli, (uint64_t)after, UINT64_MAX, print_line, cli);
}

typedef struct gathering { struct buffer json; bool has_any; } gathering;

static bool gather(void *context, const char *line, size_t length, uint64_t sequence)
{
    gathering *to = context;
    (void)sequence;
    buffer_text(&to->json, to->has_any ? "," : "");
    buffer_put(&to->json, line, length - 1);
    to->has_any = true;
    return true;
}

/* The newest ones, where nothing else is asked for. */
static int first_of(struct cli *cli, long long limit, long long *after)
{
    yyjson_doc *doc;
    int code = cli_get(cli, "/v1/audit/head", &doc);
    if (code != EXIT_OK)
        return code;
    long long last = (long long)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "seq"));
    *after = last > limit ? last - limit : 0;
    yyjson_doc_free(doc);
    return EXIT_OK;
}

int audit_list(struct cli *cli)
{
    static const list_columns columns = { .member = "entries", .count = 8, .names = { "seq", "time", "act", "outcome", "status", "actor", "in", "objects" },
                                          .heads = { "SEQ", "TIME", "ACT", "OUTCOME", "STATUS", "ACTOR", "IN", "OBJECTS" }, .empty = "no entry yet" };
    long long limit = number_option(cli, "--limit", 50), after = number_option(cli, "--after", -2);
    gathering all = { 0 };
    if (limit < 1 || after == -1)
        return cli_fail(EXIT_USAGE, "--limit and --after take whole numbers");
    int code = after == -2 ? first_of(cli, limit, &after) : EXIT_OK;
    buffer_text(&all.json, "{\"entries\":[");
    if (code == EXIT_OK)
        code = walk(cli, (uint64_t)after, (uint64_t)limit, gather, &all);
    buffer_text(&all.json, "]}");
    yyjson_doc *doc = code == EXIT_OK ? yyjson_read(buffer_string(&all.json), strlen(buffer_string(&all.json)), 0) : NULL;
    buffer_fini(&all.json);
    if (code != EXIT_OK)
        return code;
    if (doc == NULL)
        return cli_fail(EXIT_FAILED, "the host sent something else than its audit log");
    code = cli->format == OUTPUT_TABLE ? cli_print_list(cli, doc, &columns) : cli_print_json(cli, doc, "entries");
    yyjson_doc_free(doc);
    return code;
}
