#include "base/toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *at, *end;
    int line;
    toml_fn each;
    void *context;
    char table[TOML_PATH_MAX];
    const char *error; /* NULL: fine so far */
    int error_line;
    struct { char path[TOML_PATH_MAX]; int count; } arrays[32];
    int array_count;
} reader;

static bool fail(reader *in, const char *error)
{
    if (in->error == NULL) {
        in->error = error;
        in->error_line = in->line;
    }
    return false;
}

static char peek(const reader *in)
{
    return in->at < in->end ? *in->at : '\0';
}

static void skip_blanks(reader *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
    if (peek(in) == '#')
        while (in->at < in->end && *in->at != '\n')
            in->at++;
}

static void skip_space(reader *in)
{
    for (skip_blanks(in); in->at < in->end && (*in->at == '\n' || *in->at == '\r'); skip_blanks(in)) {
        in->line += *in->at == '\n';
        in->at++;
    }
}

static bool path_add(char path[TOML_PATH_MAX], const char *format, const char *part, int number)
{
    size_t used = strlen(path);
    int n = part != NULL ? snprintf(path + used, TOML_PATH_MAX - used, format, part)
                         : snprintf(path + used, TOML_PATH_MAX - used, format, number);
    return n >= 0 && (size_t)n < TOML_PATH_MAX - used;
}

static bool escape(reader *in, char *out, size_t *length)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    const char *known = in->at < in->end ? memchr(from, *in->at, sizeof from - 1) : NULL;
    if (known == NULL)
        return fail(in, "unknown escape in a string");
    in->at++;
    out[(*length)++] = to[known - from];
    return true;
}

static bool read_string(reader *in, char out[TOML_TEXT_MAX])
{
    char quote = *in->at++;
    size_t length = 0;
    while (in->at < in->end && *in->at != quote && *in->at != '\n') {
        if (length + 2 >= TOML_TEXT_MAX)
            return fail(in, "string too long");
        char c = *in->at++;
        if (c == '\\' && quote == '"') {
            if (!escape(in, out, &length))
                return false;
        } else {
            out[length++] = c;
        }
    }
    if (peek(in) != quote)
        return fail(in, "string without an end");
    in->at++;
    out[length] = '\0';
    return true;
}

static bool is_bare(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* A key with its dots, added to `path`. */
static bool read_key(reader *in, char path[TOML_PATH_MAX])
{
    for (;;) {
        char part[TOML_TEXT_MAX];
        skip_blanks(in);
        if (peek(in) == '"' || peek(in) == '\'') {
            if (!read_string(in, part))
                return false;
        } else {
            size_t n = 0;
            while (in->at < in->end && is_bare(*in->at) && n < sizeof part - 1)
                part[n++] = *in->at++;
            part[n] = '\0';
        }
        if (part[0] == '\0')
            return fail(in, "a key is missing");
        if (!path_add(path, path[0] == '\0' ? "%s" : ".%s", part, 0))
            return fail(in, "key too long");
        skip_blanks(in);
        if (peek(in) != '.')
            return true;
        in->at++;
    }
}

static bool tell(reader *in, toml_value *value, const char *path)
{
    snprintf(value->path, sizeof value->path, "%s", path);
    value->line = in->line;
    const char *error = in->each(in->context, value);
    return error == NULL || fail(in, error);
}

static bool read_scalar(reader *in, const char *path)
{
    char text[64];
    size_t n = 0;
    while (in->at < in->end && (is_bare(*in->at) || *in->at == '+' || *in->at == '.') && n < sizeof text - 1)
        if (*in->at != '_')
            text[n++] = *in->at++;
        else
            in->at++;
    text[n] = '\0';
    toml_value value = { .kind = TOML_BOOLEAN, .integer = strcmp(text, "true") == 0 };
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return tell(in, &value, path);
    char *end;
    errno = 0;
    value.integer = strtoll(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
    value.kind = TOML_INTEGER;
    if (n > 0 && *end == '\0' && errno == 0)
        return tell(in, &value, path);
    value.number = strtod(text, &end);
    value.kind = TOML_FLOAT;
    if (n > 0 && *end == '\0')
        return tell(in, &value, path);
    return fail(in, "a value is missing or not understood");
}

static bool read_value(reader *in, const char *path, int depth);

static bool read_array(reader *in, const char *path, int depth)
{
    in->at++;
    for (int i = 0;; i++) {
        skip_space(in);
        if (peek(in) == ']')
            break;
        char item[TOML_PATH_MAX];
        snprintf(item, sizeof item, "%s", path);
        if (!path_add(item, "[%d]", NULL, i) || !read_value(in, item, depth + 1))
            return fail(in, "key too long");
        skip_space(in);
        if (peek(in) == ',')
            in->at++;
        else if (peek(in) != ']')
            return fail(in, "an array without an end");
    }
    in->at++;
    return true;
}

static bool read_pair(reader *in, const char *path, int depth)
{
    char key[TOML_PATH_MAX];
    snprintf(key, sizeof key, "%s", path);
    if (!read_key(in, key))
        return false;
    if (peek(in) != '=')
        return fail(in, "'=' is missing after the key");
    in->at++;
    skip_blanks(in);
    return read_value(in, key, depth);
}

static bool read_inline_table(reader *in, const char *path, int depth)
{
    in->at++;
    for (;;) {
        skip_blanks(in);
        if (peek(in) == '}')
            break;
        if (!read_pair(in, path, depth + 1))
            return false;
        skip_blanks(in);
        if (peek(in) == ',')
            in->at++;
        else if (peek(in) != '}')
            return fail(in, "an inline table without an end");
    }
    in->at++;
    return true;
}

static bool read_value(reader *in, const char *path, int depth)
{
    toml_value value = { .kind = TOML_STRING };
    if (depth > TOML_DEPTH_MAX)
        return fail(in, "nested too deep");
    switch (peek(in)) {
    case '"':
    case '\'': return read_string(in, value.text) && tell(in, &value, path);
    case '[': return read_array(in, path, depth);
    case '{': return read_inline_table(in, path, depth);
    default: return read_scalar(in, path);
    }
}

/* [[path]]: the next element of an array of tables. */
static bool next_element(reader *in)
{
    for (int i = 0; i < in->array_count; i++)
        if (strcmp(in->arrays[i].path, in->table) == 0)
            return path_add(in->table, "[%d]", NULL, in->arrays[i].count++) || fail(in, "key too long");
    if (in->array_count == 32)
        return fail(in, "too many arrays of tables");
    snprintf(in->arrays[in->array_count].path, TOML_PATH_MAX, "%s", in->table);
    in->arrays[in->array_count++].count = 1;
    return path_add(in->table, "[%d]", NULL, 0) || fail(in, "key too long");
}

static bool read_table(reader *in)
{
    in->at++;
    bool is_array = peek(in) == '[';
    in->at += is_array;
    in->table[0] = '\0';
    if (!read_key(in, in->table))
        return false;
    for (int left = is_array ? 2 : 1; left > 0; left--) {
        if (peek(in) != ']')
            return fail(in, "']' is missing");
        in->at++;
    }
    return !is_array || next_element(in);
}

dro_err toml_read(const char *text, size_t length, toml_fn each, void *context, int *line, char error[TOML_TEXT_MAX])
{
    reader in = { .at = text, .end = text + length, .line = 1, .each = each, .context = context };
    if (length > TOML_BYTES_MAX)
        fail(&in, "the file is too large");
    skip_space(&in);
    while (in.error == NULL && in.at < in.end) {
        bool is_fine = peek(&in) == '[' ? read_table(&in) : read_pair(&in, in.table, 0);
        skip_blanks(&in);
        if (is_fine && in.at < in.end && *in.at != '\n' && *in.at != '\r')
            fail(&in, "more on the line than a value");
        if (in.error == NULL) /* else the line stays that of the mistake */
            skip_space(&in);
    }
    *line = in.error != NULL ? in.error_line : in.line;
    snprintf(error, TOML_TEXT_MAX, "%s", in.error != NULL ? in.error : "");
    return in.error != NULL ? DRO_MALFORMED : DRO_OK;
}

dro_err toml_read_value(const char *path, const char *text, toml_fn each, void *context, char error[TOML_TEXT_MAX])
{
    reader in = { .at = text, .end = text + strlen(text), .line = 1, .each = each, .context = context };
    /* A bare word is a string: read as a value first without telling anybody. */
    bool is_word = *text != '\0' && strchr("\"'[{", *text) == NULL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0;
    if (is_word) {
        char *end;
        strtod(text, &end);
        is_word = *end != '\0' || end == text;
        if (is_word && strncmp(text, "0x", 2) == 0)
            is_word = false;
    }
    if (is_word || *text == '\0') {
        toml_value value = { .kind = TOML_STRING };
        if (strlen(text) >= sizeof value.text)
            fail(&in, "string too long");
        else {
            snprintf(value.text, sizeof value.text, "%s", text);
            tell(&in, &value, path);
        }
    } else if (read_value(&in, path, 0) && in.at != in.end) {
        fail(&in, "more than a value");
    }
    snprintf(error, TOML_TEXT_MAX, "%s", in.error != NULL ? in.error : "");
    return in.error != NULL ? DRO_MALFORMED : DRO_OK;
}
