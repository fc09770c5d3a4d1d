/* SQL as text: just enough of its lexical rules to find what SQLite does not know
 * (a tag by its name) and to say where an error is. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum sql_token {
    SQL_END,
    SQL_SPACE,  /* blanks and comments */
    SQL_WORD,   /* keyword or plain identifier */
    SQL_STRING, /* 'text' */
    SQL_QUOTED, /* "identifier", `identifier`, [identifier] */
    SQL_OTHER,
} sql_token;

/* The token at *at, which then is behind it. What is not closed reaches to the end. */
sql_token sql_next(const char *sql, size_t length, size_t *at);

/* Called with the text between the quotes of tag('...'). */
typedef dro_err (*sql_tag_fn)(void *context, const char *name, size_t length);

/* Copies the statement; each tag('name') becomes the quoted identifier "tag('name')",
 * which the tables have as a column. NUL-terminated. DRO_LIMIT: no space; else what
 * `on_tag` said. sql_rewritten_max bytes are always enough. */
DRO_CHECKED dro_err sql_rewrite(const char *sql, size_t length, char *out, size_t capacity, sql_tag_fn on_tag,
                                void *context);
static inline size_t sql_rewritten_max(size_t length)
{
    return 2 * length + 1;
}
/* Where in the statement the byte at `offset` of the rewritten one came from. */
size_t sql_offset_before(const char *sql, size_t length, size_t offset);

/* Undoes it in place, for the name of a result: count("tag('a')") is count(tag('a')).
 * The new length; not NUL-terminated. */
size_t sql_name_shown(char *name);

/* True when nothing but blanks, comments and semicolons follows `at`; else *at is
 * where it does. */
bool sql_is_over(const char *sql, size_t length, size_t *at);
/* Does the statement begin with this keyword (lower case)? */
bool sql_begins_with(const char *sql, size_t length, const char *keyword);
/* Where a name is first used; false: nowhere. */
bool sql_find(const char *sql, size_t length, const char *name, size_t name_length, size_t *at);
/* A name that can be written without quotes. */
bool sql_is_plain(const char *name, size_t length);
