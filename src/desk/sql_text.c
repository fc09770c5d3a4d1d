#include "desk/sql_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_word_byte(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || byte == '$' || (unsigned char)byte >= 0x80;
}

/* Behind the closing quote, or the end; a doubled quote is a quote inside. */
static size_t behind_quoted(const char *sql, size_t length, size_t at, char close)
{
    while (at < length) {
        if (sql[at++] != close)
            continue;
        if (close == ']' || at >= length || sql[at] != close)
            return at;
        at++;
    }
    return length;
}

static size_t behind_space(const char *sql, size_t length, size_t at)
{
    while (at < length) {
        const char *left = sql + at;
        if (isspace((unsigned char)*left)) {
            at++;
        } else if (length - at >= 2 && memcmp(left, "--", 2) == 0) {
            const char *end = memchr(left, '\n', length - at);
            at = end == NULL ? length : (size_t)(end - sql) + 1;
        } else if (length - at >= 2 && memcmp(left, "/*", 2) == 0) {
            const char *end = memmem(left + 2, length - at - 2, "*/", 2);
            at = end == NULL ? length : (size_t)(end - sql) + 2;
        } else {
            break;
        }
    }
    return at;
}

sql_token sql_next(const char *sql, size_t length, size_t *at)
{
    size_t start = *at;
    if (start >= length)
        return SQL_END;
    *at = behind_space(sql, length, start);
    if (*at > start)
        return SQL_SPACE;
    char first = sql[start];
    *at = start + 1;
    switch (first) {
    case '\'': *at = behind_quoted(sql, length, *at, '\''); return SQL_STRING;
    case '"':
    case '`': *at = behind_quoted(sql, length, *at, first); return SQL_QUOTED;
    case '[': *at = behind_quoted(sql, length, *at, ']'); return SQL_QUOTED;
    default: break;
    }
    if (!is_word_byte(first))
        return SQL_OTHER;
    while (*at < length && is_word_byte(sql[*at]))
        ++*at;
    return isdigit((unsigned char)first) ? SQL_OTHER : SQL_WORD;
}

static sql_token next_but_space(const char *sql, size_t length, size_t *start, size_t *at)
{
    sql_token token;
    do {
        *start = *at;
        token = sql_next(sql, length, at);
    } while (token == SQL_SPACE);
    return token;
}

static bool is_one(const char *sql, size_t start, size_t end, char what)
{
    return end - start == 1 && sql[start] == what;
}

/* Is there ('name') behind the word that ends at *at? Then *at is behind it. */
static bool tag_argument(const char *sql, size_t length, size_t *at, const char **name, size_t *name_length)
{
    size_t start, end = *at, text_start, text_end;
    if (next_but_space(sql, length, &start, &end) != SQL_OTHER || !is_one(sql, start, end, '('))
        return false;
    if (next_but_space(sql, length, &start, &end) != SQL_STRING || end - start < 2 || sql[end - 1] != '\'')
        return false;
    text_start = start + 1;
    text_end = end - 1;
    if (next_but_space(sql, length, &start, &end) != SQL_OTHER || !is_one(sql, start, end, ')'))
        return false;
    *name = sql + text_start;
    *name_length = text_end - text_start;
    *at = end;
    return true;
}

typedef struct rewrite {
    const char *sql;
    size_t length, at;
    char *out; /* NULL: only counts */
    size_t capacity, used;
} rewrite;

static void put(rewrite *rewrite, const char *bytes, size_t length)
{
    if (rewrite->out != NULL && rewrite->used + length < rewrite->capacity)
        memcpy(rewrite->out + rewrite->used, bytes, length);
    rewrite->used += length;
}

static void put_tag(rewrite *rewrite, const char *name, size_t length)
{
    put(rewrite, "\"tag('", 6);
    for (size_t i = 0; i < length; i++) {
        put(rewrite, name + i, 1);
        if (name[i] == '"')
            put(rewrite, "\"", 1);
    }
    put(rewrite, "')\"", 3);
}

/* Rewrites one token; false at the end. *name is set when it was a tag. */
static bool rewrite_token(rewrite *rewrite, const char **name, size_t *name_length)
{
    size_t start = rewrite->at;
    sql_token token = sql_next(rewrite->sql, rewrite->length, &rewrite->at);
    *name = NULL;
    if (token == SQL_WORD && rewrite->at - start == 3 && strncasecmp(rewrite->sql + start, "tag", 3) == 0 &&
        tag_argument(rewrite->sql, rewrite->length, &rewrite->at, name, name_length))
        put_tag(rewrite, *name, *name_length);
    else
        put(rewrite, rewrite->sql + start, rewrite->at - start);
    return token != SQL_END;
}

dro_err sql_rewrite(const char *sql, size_t length, char *out, size_t capacity, sql_tag_fn on_tag, void *context)
{
    rewrite rewrite = { .sql = sql, .length = length, .out = out, .capacity = capacity };
    const char *name;
    size_t name_length = 0;
    while (rewrite_token(&rewrite, &name, &name_length)) {
        dro_err err = name == NULL ? DRO_OK : on_tag(context, name, name_length);
        if (err != DRO_OK)
            return err;
    }
    if (rewrite.used >= capacity)
        return DRO_LIMIT;
    out[rewrite.used] = '\0';
    return DRO_OK;
}

size_t sql_offset_before(const char *sql, size_t length, size_t offset)
{
    rewrite rewrite = { .sql = sql, .length = length };
    const char *name;
    size_t name_length, before, used;
    do {
        before = rewrite.at;
        used = rewrite.used;
        if (!rewrite_token(&rewrite, &name, &name_length))
            return length;
    } while (rewrite.used <= offset);
    return name != NULL ? before : before + (offset - used);
}

bool sql_is_over(const char *sql, size_t length, size_t *at)
{
    size_t start;
    sql_token token;
    while ((token = next_but_space(sql, length, &start, at)) != SQL_END)
        if (token != SQL_OTHER || !is_one(sql, start, *at, ';')) {
            *at = start;
            return false;
        }
    return true;
}

bool sql_begins_with(const char *sql, size_t length, const char *keyword)
{
    size_t start = 0, at = 0, size = strlen(keyword);
    return next_but_space(sql, length, &start, &at) == SQL_WORD && at - start == size &&
           strncasecmp(sql + start, keyword, size) == 0;
}

bool sql_find(const char *sql, size_t length, const char *name, size_t name_length, size_t *at)
{
    size_t end = 0;
    sql_token token;
    while ((token = next_but_space(sql, length, at, &end)) != SQL_END) {
        size_t quote = token == SQL_QUOTED;
        if ((token == SQL_WORD || token == SQL_QUOTED) && end - *at == name_length + 2 * quote &&
            strncasecmp(sql + *at + quote, name, name_length) == 0)
            return true;
    }
    return false;
}

bool sql_is_plain(const char *name, size_t length)
{
    bool is_plain = length > 0 && !isdigit((unsigned char)name[0]);
    for (size_t i = 0; i < length; i++)
        is_plain = is_plain && (isalnum((unsigned char)name[i]) || name[i] == '_');
    return is_plain;
}

size_t sql_name_shown(char *name)
{
    static const char open[] = "\"tag('", close[] = "')\"";
    size_t used = 0, at = 0, length = strlen(name);
    while (at < length) {
        size_t start = at, end;
        sql_token token = sql_next(name, length, &at);
        bool is_tag = token == SQL_QUOTED && at - start >= sizeof open - 1 + sizeof close - 1 &&
                      memcmp(name + start, open, sizeof open - 1) == 0 &&
                      memcmp(name + at - (sizeof close - 1), close, sizeof close - 1) == 0;
        end = is_tag ? at - 1 : at;
        for (size_t i = is_tag ? start + 1 : start; i < end; i++) {
            name[used++] = name[i];
            i += is_tag && name[i] == '"'; /* two stand for one */
        }
    }
    return used;
}
