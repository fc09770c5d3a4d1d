#include "twin/identifier.h"

#include <string.h>

#include "base/utf8.h"

enum { LABEL_MAX = 63 };

static bool is_local_character(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80 ||
           (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* dot-string of RFC 4282: atoms with single dots between. */
static bool local_is_valid(const char *text, size_t length)
{
    bool after_dot = true;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.') {
            if (after_dot)
                return false;
            after_dot = true;
        } else if (is_local_character((unsigned char)text[i])) {
            after_dot = false;
        } else {
            return false;
        }
    }
    return !after_dot && dro_utf8_is_valid(text, length);
}

bool external_domain_read(const char *text, size_t length, char *out)
{
    size_t label = 0;
    if (length == 0 || length > EXTERNAL_IDENTIFIER_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool is_edge = label == 0 || i + 1 == length || text[i + 1] == '.';
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && !is_edge)) {
            if (++label > LABEL_MAX)
                return false;
        } else {
            return false;
        }
        out[i] = c;
    }
    out[length] = '\0';
    return label > 0;
}

bool external_identifier_read(const char *text, size_t length, char out[EXTERNAL_IDENTIFIER_MAX + 1])
{
    const char *at = length <= EXTERNAL_IDENTIFIER_MAX ? memchr(text, '@', length) : NULL;
    if (at == NULL)
        return false;
    size_t local = (size_t)(at - text);
    if (!local_is_valid(text, local) || !external_domain_read(at + 1, length - local - 1, out + local + 1))
        return false;
    memcpy(out, text, local);
    out[local] = '@';
    return true;
}
