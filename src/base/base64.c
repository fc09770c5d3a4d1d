#include "base/base64.h"

void dro_base64_put(dro_builder *out, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0u);
        char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=',
                         left > 2 ? digits[bits & 63] : '=' };
        dro_builder_bytes(out, four, sizeof four);
    }
}

/* The six bits of a character of RFC 4648's first alphabet, or -1. */
static int base64_bits(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

/* ... of the second one. */
static int base64url_bits(char character)
{
    return character == '-' ? 62 : character == '_' ? 63 : character == '+' || character == '/' ? -1 : base64_bits(character);
}

/* Without padding. */
static dro_err read_digits(dro_builder *out, const char *text, size_t length, int (*bits_of)(char))
{
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < length; i++) {
        int six = bits_of(text[i]);
        if (six < 0)
            return DRO_MALFORMED;
        bits = bits << 6 | (uint32_t)six;
        held += 6;
        if (held >= 8) {
            held -= 8;
            dro_builder_le(out, bits >> held & 0xff, 1);
        }
    }
    if (held == 6 || (bits & ((1u << held) - 1)) != 0) /* one text for the same bytes, no other */
        return DRO_MALFORMED;
    return out->err;
}

dro_err dro_base64_read(dro_builder *out, const char *text, size_t length)
{
    size_t padding = length > 0 && text[length - 1] == '=' ? 1 : 0;
    if (padding == 1 && length > 1 && text[length - 2] == '=')
        padding = 2;
    return length % 4 != 0 ? DRO_MALFORMED : read_digits(out, text, length - padding, base64_bits);
}

void dro_base64url_put(dro_builder *out, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            dro_builder_bytes(out, &digits[bits >> (held - 6) & 63], 1);
    }
    if (held > 0)
        dro_builder_bytes(out, &digits[bits << (6 - held) & 63], 1);
}

dro_err dro_base64url_read(dro_builder *out, const char *text, size_t length)
{
    return read_digits(out, text, length, base64url_bits);
}
