/* Cli: what every command works with, and the few things most of them do. */
#pragma once

#include <yyjson.h>

#include "client.h"
#include "command.h"
#include "table.h"

typedef enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_NDJSON } output_format;

struct cli {
    const invocation *in;
    output_format format;
    struct client *client;
    FILE *out;
};

/* "dromio: ..." on standard error, one line; gives `code` back. Once interrupted nothing is said (moment.h). */
int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line on standard error that is no failure. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends one segment or value of a URL. */
void url_add(struct buffer *url, const char *before, const char *text);
/* Appends ?name=value or &name=value; nothing where `value` is NULL. */
void url_query(struct buffer *url, const char *name, const char *value);

/* Sends and reads a JSON answer. *out is the caller's (yyjson_doc_free); on an exit code other than 0 it is NULL. */
int cli_json(struct cli *cli, const struct request *request, yyjson_doc **out);
int cli_get(struct cli *cli, const char *path, yyjson_doc **out);

/* A value as the user typed it: JSON where it is a number, true, false, null or a quoted string; else text. */
yyjson_mut_val *json_typed(yyjson_mut_doc *doc, const char *text);
/* The document as text into `out`. */
bool json_write(struct buffer *out, yyjson_mut_doc *doc);
/* Name and value of NAME=VALUE; false: no '='. */
bool split_pair(const char *pair, struct buffer *name, const char **value);
/* Makes `doc` the object of an action's input: the arguments NAME=VALUE from the third on. An exit code. */
int action_input(struct cli *cli, yyjson_mut_doc *doc);

/* Prints JSON (one line, or indented) safe for a terminal. */
int json_print(struct cli *cli, const yyjson_val *value, bool is_indented);
/* -o json or ndjson of an answer: whole, or one line for each item of its array `member`. */
int cli_print_json(struct cli *cli, yyjson_doc *doc, const char *member);
/* The same of one thing that was made here; frees it. */
int cli_print_made(struct cli *cli, yyjson_mut_doc *doc);

/* A cell for the member of an object; "-" where it is not there. */
void cell_json(struct table *table, const yyjson_val *value);
void cell_json_left(struct table *table,
                    const yyjson_val *value); /* numbers too: where a column mixes them with text */
void cell_member(struct table *table, const yyjson_val *object, const char *name);
const char *member_text(const yyjson_val *object, const char *name); /* or "" */

/* A table of all objects in the array `member`: `names` are their members, `heads` the columns. */
typedef struct list_columns {
    const char *member;
    size_t count;
    const char *names[16];
    const char *heads[16];
    const char *empty; /* said on standard error where there are none */
} list_columns;
int cli_print_list(struct cli *cli, yyjson_doc *doc, const list_columns *columns);

/* A table of an object's members, one a row; those of an object within it too. */
int cli_print_members(struct cli *cli, const yyjson_val *object);
/* Sends the request; shows the members of what is answered, or its JSON. */
int cli_print_answer(struct cli *cli, struct request *request);
/* GETs `path` and prints the list. */
int cli_list(struct cli *cli, const char *path, const list_columns *columns);

/* "500ms", "10s", "2m" in milliseconds; -1: not a time. */
long duration_ms(const char *text);
/* A whole number from 1 on; -1: it is none. */
long count_parse(const char *text);
