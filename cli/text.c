#include "text.h"

#include <stdbool.h>
#include <string.h>

typedef struct code_range {
    uint32_t first, last;
} code_range;

/* Unicode 15, East Asian Width W and F, in coarse blocks. */
static const code_range wide[] = {
    { 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xac00, 0xd7a3 },
    { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },
    { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1faff }, { 0x20000, 0x3fffd },
};
/* Combining marks and joiners that take no column of their own. */
static const code_range narrow[] = {
    { 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f }, { 0x1ab0, 0x1aff },
    { 0x1dc0, 0x1dff }, { 0x200b, 0x200d }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};
/* C0, DEL, C1; marks that change direction or break lines; tags and the byte order mark. */
static const code_range unsafe[] = {
    { 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x061c, 0x061c }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
    { 0x2060, 0x206f }, { 0xd800, 0xdfff }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
};

static bool code_in(uint32_t code, const code_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

#define CODE_IN(code, ranges) code_in(code, ranges, sizeof ranges / sizeof ranges[0])

size_t text_decode(const char *text, size_t length, uint32_t *code)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)text[0];
    size_t width = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4;
    *code = UINT32_MAX;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || width > length)
        return 1;
    uint32_t value = width == 1 ? first : first & (0xffu >> (width + 1));
    for (size_t i = 1; i < width; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80)
            return 1;
        value = value << 6 | (next & 0x3f);
    }
    if (value < smallest[width] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 1;
    *code = value;
    return width;
}

static void escape_code(struct buffer *out, uint32_t code)
{
    if (code == '\n')
        buffer_text(out, "\\n");
    else if (code == '\t')
        buffer_text(out, "\\t");
    else if (code < 0x100)
        buffer_printf(out, "\\x%02x", (unsigned)code);
    else
        buffer_printf(out, "\\u%04x", (unsigned)code);
}

void text_escape(struct buffer *out, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t width = text_decode(text + at, length - at, &code);
        if (code == UINT32_MAX)
            escape_code(out, (unsigned char)text[at]);
        else if (CODE_IN(code, unsafe))
            escape_code(out, code);
        else
            buffer_put(out, text + at, width);
        at += width;
    }
}

void text_escape_json(struct buffer *out, const char *json, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t width = text_decode(json + at, length - at, &code);
        /* Line ends and tabs between values are layout; inside strings JSON has them escaped already. */
        if (code == UINT32_MAX)
            buffer_text(out, "\\ufffd");
        else if (code == '\n' || code == '\t' || code == '\r' || !CODE_IN(code, unsafe))
            buffer_put(out, json + at, width);
        else if (code > 0xffff)
            buffer_printf(out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (code >> 10)),
                          (unsigned)(0xdc00 + (code & 0x3ff)));
        else
            buffer_printf(out, "\\u%04x", (unsigned)code);
        at += width;
    }
}

size_t text_width(const char *text, size_t length)
{
    size_t columns = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        at += text_decode(text + at, length - at, &code);
        if (code != UINT32_MAX && CODE_IN(code, narrow))
            continue;
        columns += code != UINT32_MAX && CODE_IN(code, wide) ? 2 : 1;
    }
    return columns;
}

void text_escape_url(struct buffer *out, const char *text, size_t length)
{
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@";
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\0' && strchr(kept, text[i]) != NULL)
            buffer_put(out, text + i, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned char)text[i]);
    }
}
