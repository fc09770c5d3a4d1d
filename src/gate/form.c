#include "gate/form.h"

#include <string.h>

static bool decode(const char *raw, size_t length, char **room, slice *out)
{
    int got = target_decode(raw, length, true, *room);
    if (got < 0)
        return false;
    *out = (slice){ *room, (uint32_t)got };
    *room += got;
    return true;
}

static bool is_twice(const form *form, slice name)
{
    for (uint32_t i = 0; i < form->count; i++)
        if (form->names[i].length == name.length && memcmp(form->names[i].at, name.at, name.length) == 0)
            return true;
    return false;
}

bool form_read(form *out, const char *text, size_t length, char *room)
{
    const char *end = text + length;
    *out = (form){ 0 };
    while (text < end) {
        const char *stop = memchr(text, '&', (size_t)(end - text));
        if (stop == NULL)
            stop = end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        slice name, value;
        if (equals == NULL || equals == text || out->count == FORM_MEMBERS_MAX)
            return false;
        if (!decode(text, (size_t)(equals - text), &room, &name) || !decode(equals + 1, (size_t)(stop - equals - 1), &room, &value) ||
            is_twice(out, name))
            return false;
        out->names[out->count] = name;
        out->values[out->count++] = value;
        text = stop + 1;
    }
    return true;
}

/* "Parameters sent without a value MUST be treated as if they were omitted" (RFC 6749 3.2): scope= is no scope. */
slice form_get(const form *form, const char *name)
{
    for (uint32_t i = 0; i < form->count; i++)
        if (slice_is(form->names[i], name) && form->values[i].length > 0)
            return form->values[i];
    return (slice){ NULL, 0 };
}
