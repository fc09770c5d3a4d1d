/* A backup as it comes, in pieces: what is said to be whole is listed, its parts lie in it, have good names and come in no
 * second way; a header that is read is written back as the same bytes. The first byte says how long pieces are, and in bit 7
 * whether checksums of headers and sums of parts are put right first. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_check.h"
#include "base/builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024, CHECKSUM_AT = 148, CHECKSUM = 8, SIZE_AT = 124, SIZE = 12 };

static uint64_t octal(const uint8_t *text)
{
    uint64_t number = 0;
    for (int i = 0; i < SIZE - 1 && text[i] >= '0' && text[i] <= '7'; i++)
        number = number * 8 + (uint64_t)(text[i] - '0');
    return number;
}

static void mend_head(uint8_t *head)
{
    char text[CHECKSUM + 8];
    unsigned sum = 0;
    memset(head + CHECKSUM_AT, ' ', CHECKSUM);
    for (int i = 0; i < ARCHIVE_BLOCK; i++)
        sum += head[i];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(head + CHECKSUM_AT, text, 7);
}

/* POSIX ustar: each header with its sum; in SHA256SUMS what sha256sum would say. */
static void mend(uint8_t *bytes, size_t size)
{
    static char sums[INPUT_MAX];
    dro_builder out = dro_builder_over(sums, sizeof sums - 1);
    for (size_t at = 0; at + ARCHIVE_BLOCK <= size;) {
        uint8_t *head = bytes + at;
        uint64_t length = octal(head + SIZE_AT);
        if (head[0] == 0 || length > size - at - ARCHIVE_BLOCK)
            return;
        mend_head(head);
        uint8_t sum[ARCHIVE_SUM];
        char text[2 * ARCHIVE_SUM + 1], name[ARCHIVE_NAME_MAX + 1] = "";
        memcpy(name, head, ARCHIVE_NAME_MAX);
        if (strcmp(name, ARCHIVE_SUMS) == 0 && length == dro_builder_length(&out))
            memcpy(head + ARCHIVE_BLOCK, sums, length);
        EVP_Digest(head + ARCHIVE_BLOCK, length, sum, NULL, EVP_sha256(), NULL);
        archive_sum_text(sum, text);
        dro_builder_text(&out, text);
        dro_builder_text(&out, "  ");
        dro_builder_text(&out, name);
        dro_builder_text(&out, "\n");
        at += ARCHIVE_BLOCK + length + archive_padding(length);
    }
}

static void read_head(const uint8_t *block)
{
    archive_head head;
    uint8_t again[ARCHIVE_BLOCK];
    if (archive_head_read(&head, block) != DRO_OK)
        return;
    assert(archive_name_is_good(head.name, strlen(head.name)) && head.bytes <= ARCHIVE_BYTES_MAX);
    archive_head_write(&head, again);
    assert(memcmp(block, again, sizeof again) == 0);
}

static bool check_all(const uint8_t *bytes, size_t size, size_t step, archive_check *check)
{
    bool is_good = archive_check_init(check);
    assert(is_good);
    for (size_t at = 0; is_good && at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        uint8_t *piece = malloc(length);
        assert(piece != NULL);
        memcpy(piece, bytes + at, length);
        is_good = archive_check_feed(check, piece, length);
        free(piece);
    }
    is_good = is_good && archive_check_end(check);
    assert(is_good == (check->problem[0] == '\0'));
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[INPUT_MAX];
    archive_check whole, parts;
    if (size < 2 || size > INPUT_MAX)
        return 0;
    size_t length = size - 1;
    memcpy(bytes, data + 1, length);
    if ((data[0] & 128) != 0)
        mend(bytes, length);
    for (size_t at = 0; at + ARCHIVE_BLOCK <= length; at += ARCHIVE_BLOCK)
        read_head(bytes + at);
    bool is_good = check_all(bytes, length, length, &whole), is_good_too = check_all(bytes, length, 1 + (data[0] & 127u), &parts);
    assert(is_good == is_good_too && strcmp(whole.problem, parts.problem) == 0 && whole.count == parts.count);
    for (uint32_t i = 0; is_good && i < whole.count; i++) {
        const archive_part *part = &whole.parts[i];
        assert(part->offset + part->head.bytes <= length && part->head.name[0] != '/' && strstr(part->head.name, "..") == NULL);
        for (uint32_t k = 0; k < i; k++)
            assert(strcmp(whole.parts[k].head.name, part->head.name) != 0);
    }
    archive_check_fini(&whole);
    archive_check_fini(&parts);
    return 0;
}
