#include "archive_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_HEAD, STATE_BYTES, STATE_PADDING, STATE_ZEROS, STATE_END };

static bool fail(archive_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(archive_check *check, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(check->problem, sizeof check->problem, format, list);
    va_end(list);
    return false;
}

bool archive_check_init(archive_check *check)
{
    *check = (archive_check){ .part_sum = EVP_MD_CTX_new(), .whole_sum = EVP_MD_CTX_new() };
    check->manifest.limit = ARCHIVE_MANIFEST_MAX;
    check->sums.limit = ARCHIVE_SUMS_MAX;
    return check->part_sum != NULL && check->whole_sum != NULL && EVP_DigestInit_ex(check->whole_sum, EVP_sha256(), NULL) == 1;
}

void archive_check_fini(archive_check *check)
{
    EVP_MD_CTX_free(check->part_sum);
    EVP_MD_CTX_free(check->whole_sum);
    buffer_fini(&check->manifest);
    buffer_fini(&check->sums);
    free(check->parts);
    check->parts = NULL;
}

void archive_sum_text(const uint8_t sum[ARCHIVE_SUM], char out[2 * ARCHIVE_SUM + 1])
{
    for (int i = 0; i < ARCHIVE_SUM; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

static archive_part *part(archive_check *check)
{
    return &check->parts[check->count - 1];
}

static bool is_sums(const archive_check *check)
{
    return strcmp(check->parts[check->count - 1].head.name, ARCHIVE_SUMS) == 0;
}

static bool push(archive_check *check, const archive_head *head)
{
    if (check->count == check->capacity) {
        uint32_t more = check->capacity == 0 ? 64 : check->capacity * 2;
        archive_part *parts = more > 2 * ARCHIVE_PARTS_MAX ? NULL : realloc(check->parts, more * sizeof *parts);
        if (parts == NULL)
            return fail(check, "no memory for its %u parts", more);
        check->parts = parts;
        check->capacity = more;
    }
    check->parts[check->count++] = (archive_part){ .head = *head, .offset = check->bytes + ARCHIVE_BLOCK };
    return true;
}

/* Nothing may be there twice, or be where it is not looked for. Parts of one directory come
 * in order, so only the few names without a number could come again. */
static bool is_expected(archive_check *check, const archive_head *head)
{
    bool is_first = check->count == 0, is_manifest = strcmp(head->name, ARCHIVE_MANIFEST) == 0;
    if (is_first != is_manifest)
        return fail(check, is_first ? "it does not begin with %s: it is no backup of Dromio" : "%s comes twice", ARCHIVE_MANIFEST);
    if (!is_first && head->time_s != check->parts[0].head.time_s)
        return fail(check, "byte %" PRIu64 ": %s is of another backup", check->bytes, head->name);
    for (uint32_t i = 0; i < check->count; i++)
        if (strcmp(check->parts[i].head.name, head->name) == 0)
            return fail(check, "byte %" PRIu64 ": %s comes twice", check->bytes, head->name);
    if (is_manifest && head->bytes > ARCHIVE_MANIFEST_MAX)
        return fail(check, "%s is too long", head->name);
    if (strcmp(head->name, ARCHIVE_SUMS) == 0 && head->bytes > ARCHIVE_SUMS_MAX)
        return fail(check, "%s is too long", head->name);
    return true;
}

/* The sums were read: do they say what came? */
static bool compare_sums(archive_check *check)
{
    const char *at = buffer_string(&check->sums), *end = at + check->sums.length;
    for (uint32_t i = 0; i + 1 < check->count; i++) {
        const archive_part *told = &check->parts[i];
        char line[2 * ARCHIVE_SUM + ARCHIVE_NAME_MAX + 8];
        archive_sum_text(told->sum, line);
        int length = 2 * ARCHIVE_SUM + snprintf(line + 2 * ARCHIVE_SUM, sizeof line - 2 * ARCHIVE_SUM, "  %s\n", told->head.name);
        if (end - at < length || memcmp(at + 2 * ARCHIVE_SUM, line + 2 * ARCHIVE_SUM, (size_t)length - 2 * ARCHIVE_SUM) != 0)
            return fail(check, "%s does not list %s (its line %u): one of both was changed", ARCHIVE_SUMS, told->head.name, i + 1);
        if (memcmp(at, line, 2 * ARCHIVE_SUM) != 0)
            return fail(check, "%s was changed: its SHA-256 is not what %s says; it lies at bytes %" PRIu64 " to %" PRIu64,
                        told->head.name, ARCHIVE_SUMS, told->offset, told->offset + told->head.bytes);
        at += length;
    }
    return at == end || fail(check, "%s lists parts that are not there", ARCHIVE_SUMS);
}

static bool part_end(archive_check *check)
{
    if (EVP_DigestFinal_ex(check->part_sum, part(check)->sum, NULL) != 1)
        return fail(check, "no SHA-256");
    check->zeros = archive_padding(part(check)->head.bytes);
    check->state = STATE_PADDING;
    return true;
}

static bool take_head(archive_check *check)
{
    archive_head head;
    uint64_t at = check->bytes;
    dro_err err = archive_head_read(&head, check->block);
    check->block_length = 0;
    if (err == DRO_NOT_FOUND) {
        if (check->count == 0 || !is_sums(check))
            return fail(check, "byte %" PRIu64 ": it ends without %s: it is not whole", at, ARCHIVE_SUMS);
        check->state = STATE_ZEROS;
        check->zeros = ARCHIVE_END - ARCHIVE_BLOCK;
        return compare_sums(check);
    }
    if (err != DRO_OK && check->count == 0)
        return fail(check, "it does not begin with %s: it is no backup of Dromio", ARCHIVE_MANIFEST);
    if (err != DRO_OK)
        return fail(check, "byte %" PRIu64 ": no header behind %s; it was changed there", at, part(check)->head.name);
    if (check->count > 0 && is_sums(check))
        return fail(check, "byte %" PRIu64 ": %s comes behind %s", at, head.name, ARCHIVE_SUMS);
    if (!is_expected(check, &head) || !push(check, &head))
        return false;
    check->left = head.bytes;
    check->state = STATE_BYTES;
    if (EVP_DigestInit_ex(check->part_sum, EVP_sha256(), NULL) != 1)
        return fail(check, "no SHA-256");
    return head.bytes > 0 || part_end(check);
}

static size_t head_bytes(archive_check *check, const uint8_t *bytes, size_t length)
{
    size_t room = ARCHIVE_BLOCK - check->block_length;
    size_t taken = length < room ? length : room;
    memcpy(check->block + check->block_length, bytes, taken);
    check->block_length += taken;
    return taken;
}

static bool part_bytes(archive_check *check, const uint8_t *bytes, size_t length)
{
    if (check->count == 1)
        buffer_put(&check->manifest, bytes, length);
    else if (is_sums(check))
        buffer_put(&check->sums, bytes, length);
    if (EVP_DigestUpdate(check->part_sum, bytes, length) != 1)
        return fail(check, "no SHA-256");
    check->left -= length;
    return check->left > 0 || part_end(check);
}

static bool zero_bytes(archive_check *check, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return fail(check, "byte %" PRIu64 ": not zero behind %s; it was changed there", check->bytes + i, part(check)->head.name);
    check->zeros -= length;
    return true;
}

/* One step: as much as belongs together. 0: failed. */
static size_t step(archive_check *check, const uint8_t *bytes, size_t length)
{
    size_t taken = length;
    bool is_fine = true;
    switch (check->state) {
    case STATE_HEAD:
        taken = head_bytes(check, bytes, length);
        if (check->block_length == ARCHIVE_BLOCK) {
            check->bytes -= ARCHIVE_BLOCK - taken; /* where it began */
            is_fine = take_head(check);
            check->bytes += ARCHIVE_BLOCK - taken;
        }
        break;
    case STATE_BYTES:
        taken = length < check->left ? length : (size_t)check->left;
        is_fine = part_bytes(check, bytes, taken);
        break;
    case STATE_PADDING:
    case STATE_ZEROS:
        taken = length < check->zeros ? length : (size_t)check->zeros;
        is_fine = zero_bytes(check, bytes, taken);
        break;
    default: is_fine = fail(check, "byte %" PRIu64 ": there is more behind its end", check->bytes); break;
    }
    if (is_fine && check->zeros == 0 && (check->state == STATE_PADDING || check->state == STATE_ZEROS))
        check->state = check->state == STATE_PADDING ? STATE_HEAD : STATE_END;
    return is_fine ? taken : 0;
}

bool archive_check_feed(archive_check *check, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    if (check->problem[0] != '\0')
        return false;
    if (EVP_DigestUpdate(check->whole_sum, bytes, length) != 1)
        return fail(check, "no SHA-256");
    while (length > 0) {
        size_t taken = step(check, at, length);
        if (check->problem[0] != '\0')
            return false;
        check->bytes += taken;
        at += taken;
        length -= taken;
    }
    return true;
}

bool archive_check_end(archive_check *check)
{
    if (check->problem[0] != '\0')
        return false;
    if (check->state != STATE_END && check->count == 0)
        return fail(check, "it ends at byte %" PRIu64 ": it is empty, or no backup", check->bytes);
    if (check->state != STATE_END)
        return fail(check, "it ends at byte %" PRIu64 ", %s %s: it is not whole", check->bytes,
                    check->state == STATE_BYTES ? "in the middle of" : "behind", part(check)->head.name);
    return EVP_DigestFinal_ex(check->whole_sum, check->sum, NULL) == 1 || fail(check, "no SHA-256");
}
