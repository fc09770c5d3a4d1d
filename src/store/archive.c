#include "store/archive.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* IEEE 1003.1, pax: "ustar Interchange Format". Numbers are octal text. */
struct ustar {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char typeflag;
    char linkname[100];
    char magic[6];
    char version[2];
    char uname[32];
    char gname[32];
    char devmajor[8];
    char devminor[8];
    char prefix[155];
    char reserved[12];
};
_Static_assert(sizeof(struct ustar) == ARCHIVE_BLOCK, "layout of a header");

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

bool archive_name_is_good(const char *name, size_t length)
{
    bool is_begin = true; /* of a word */
    if (length == 0 || length > ARCHIVE_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '/' ? is_begin : !is_word_byte(name[i]) || (is_begin && name[i] == '.'))
            return false;
        is_begin = name[i] == '/';
    }
    return !is_begin;
}

static void put_octal(char *out, size_t digits, uint64_t value)
{
    for (size_t i = digits; i-- > 0; value >>= 3)
        out[i] = (char)('0' + (value & 7));
}

/* The sum of the header's bytes, its own place counted as spaces. */
static uint64_t checksum(const struct ustar *header)
{
    uint8_t bytes[sizeof *header];
    uint64_t sum = 0;
    memcpy(bytes, header, sizeof bytes);
    memset(bytes + offsetof(struct ustar, checksum), ' ', sizeof header->checksum);
    for (size_t i = 0; i < sizeof bytes; i++)
        sum += bytes[i];
    return sum;
}

void archive_head_write(const archive_head *head, uint8_t out[ARCHIVE_BLOCK])
{
    struct ustar header = { .typeflag = '0', .magic = "ustar", .version = { '0', '0' } };
    size_t length = strlen(head->name);
    assert(archive_name_is_good(head->name, length) && head->bytes <= ARCHIVE_BYTES_MAX);
    memcpy(header.name, head->name, length);
    put_octal(header.mode, 7, 0600);
    put_octal(header.uid, 7, 0);
    put_octal(header.gid, 7, 0);
    put_octal(header.size, 11, head->bytes);
    put_octal(header.mtime, 11, head->time_s < 0 ? 0 : (uint64_t)head->time_s);
    put_octal(header.devmajor, 7, 0);
    put_octal(header.devminor, 7, 0);
    put_octal(header.checksum, 6, checksum(&header));
    header.checksum[7] = ' ';
    memcpy(out, &header, sizeof header);
}

static bool take_octal(const char *text, size_t digits, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '7')
            return false;
        *value = *value << 3 | (uint64_t)(text[i] - '0');
    }
    return true;
}

/* Whatever is not compared here shows when the header is written again. */
dro_err archive_head_read(archive_head *head, const uint8_t block[ARCHIVE_BLOCK])
{
    static const uint8_t zeros[ARCHIVE_BLOCK];
    struct ustar header;
    uint8_t again[ARCHIVE_BLOCK];
    uint64_t time_s;
    if (memcmp(block, zeros, sizeof zeros) == 0)
        return DRO_NOT_FOUND;
    memcpy(&header, block, sizeof header);
    *head = (archive_head){ .bytes = 0 };
    size_t length = strnlen(header.name, sizeof header.name);
    if (!archive_name_is_good(header.name, length) || !take_octal(header.size, 11, &head->bytes) ||
        !take_octal(header.mtime, 11, &time_s))
        return DRO_MALFORMED;
    memcpy(head->name, header.name, length);
    head->time_s = (int64_t)time_s;
    archive_head_write(head, again);
    return memcmp(again, block, sizeof again) == 0 ? DRO_OK : DRO_MALFORMED;
}
