/* TOML, the part a configuration needs: tables, arrays of tables, dotted keys,
 * strings, integers, booleans, floats, arrays and inline tables. (Debian has no C
 * library for TOML; see docs/decisions.) Flat result: every value with its path,
 *   diameter.peers[0].identity
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { TOML_PATH_MAX = 200, TOML_TEXT_MAX = 1024, TOML_BYTES_MAX = 1 << 20, TOML_DEPTH_MAX = 8 };

typedef enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOLEAN } toml_kind;

typedef struct toml_value {
    char path[TOML_PATH_MAX];
    toml_kind kind;
    char text[TOML_TEXT_MAX]; /* of a string */
    int64_t integer;          /* of integer and boolean */
    double number;            /* of float */
    int line;
} toml_value;

/* Called for every value, in order. A text of the error ends the reading with DRO_MALFORMED. */
typedef const char *(*toml_fn)(void *context, const toml_value *value);

/* DRO_MALFORMED: `error` says what, *line where. */
DRO_CHECKED dro_err toml_read(const char *text, size_t length, toml_fn each, void *context, int *line, char error[TOML_TEXT_MAX]);
/* One value for one key, as in --set; a bare word counts as a string. */
DRO_CHECKED dro_err toml_read_value(const char *path, const char *text, toml_fn each, void *context, char error[TOML_TEXT_MAX]);
