#include "gate/scope.h"

#include <stdio.h>
#include <string.h>

#include "twin/access.h"

slice scope_names(uint32_t bits, char room[SCOPE_NAMES_MAX])
{
    uint32_t length = 0;
    for (size_t i = 0; i < SCOPES_MAX; i++)
        if (bits & scope_words[i].bit)
            length += (uint32_t)snprintf(room + length, SCOPE_NAMES_MAX - length, "%s%s", length > 0 ? " " : "", scope_words[i].word);
    return (slice){ room, length };
}

/* What stands before the next `mark`; moves *rest behind it. */
static slice cut(slice *rest, char mark)
{
    const char *stop = rest->length > 0 ? memchr(rest->at, mark, rest->length) : NULL;
    slice part = { rest->at, stop != NULL ? (uint32_t)(stop - rest->at) : rest->length };
    uint32_t used = part.length + (stop != NULL);
    rest->at += used;
    rest->length -= used;
    return part;
}

static void read_capif(scope_read *out, slice text, const char *aef)
{
    out->is_capif = true;
    while (text.length > 0) {
        slice list = cut(&text, ';'), function = cut(&list, ':');
        bool is_ours = slice_is(function, aef);
        out->is_malformed |= function.length == 0 || list.length == 0;
        while (list.length > 0) {
            slice name = cut(&list, ',');
            uint32_t bit = scope_of_api(name.at, name.length);
            out->has_unknown |= is_ours && bit == 0;
            out->bits |= is_ours ? bit : 0;
        }
    }
}

scope_read scope_of(slice text, const char *aef)
{
    static const char prefix[] = "3gpp#";
    scope_read out = { 0 };
    while (text.length > 0) {
        slice word = cut(&text, ' ');
        if (word.length == 0)
            continue;
        if (word.length > sizeof prefix - 1 && memcmp(word.at, prefix, sizeof prefix - 1) == 0) {
            word.at += sizeof prefix - 1;
            word.length -= (uint32_t)sizeof prefix - 1;
            read_capif(&out, word, aef);
            continue;
        }
        uint32_t bit = scope_bit(word.at, word.length);
        out.has_unknown |= bit == 0;
        out.bits |= bit;
    }
    return out;
}
