/* Command: what the user can say. One table (commands.c) holds name, arguments,
 * options, text and examples of each; parsing, --help, the man page and the
 * shells' completions all come from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes; docs and scripts rely on them. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* failed or differs */
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_CONFLICT = 4,
    EXIT_NOT_ALLOWED = 5,
    EXIT_TIMED_OUT = 6, /* waited, and it did not come */
    EXIT_PARTLY = 7,    /* some of it is done */
    EXIT_REJECTED = 8,  /* the image is not acceptable */
    EXIT_UNREACHABLE = 9,
    EXIT_INTERRUPTED = 130, /* as shells say of SIGINT */
};

enum { COMMAND_OPTIONS_MAX = 12, COMMAND_EXAMPLES_MAX = 4, ARGUMENTS_MAX = 256, OPTIONS_GIVEN_MAX = 256 };

struct option {
    const char *name;  /* "--tag" */
    char letter;       /* "-o", or 0 */
    const char *value; /* what it takes: "NAME=VALUE"; NULL: nothing */
    const char *text;
    const char *choices; /* "table json ndjson": no other value is taken; NULL: any */
};

struct cli;
struct command {
    const char *name;                           /* "twin put" */
    const char *arguments;                      /* "ID [NAME=VALUE...]": [] may be left out, ... may come again */
    const char *summary;                        /* one line */
    const char *text;                           /* more of it, or NULL */
    struct option options[COMMAND_OPTIONS_MAX]; /* ends at a NULL name */
    const char *examples[COMMAND_EXAMPLES_MAX]; /* ends at NULL */
    bool is_local;                              /* needs no host and no token */
    bool is_local_with_arguments;               /* with one it needs neither */
    const char *local_option;                   /* with this option neither; or NULL */
    int (*run)(struct cli *cli);                /* -> enum exit_code */
    int (*run_raw)(int argc, char **argv);      /* instead: does its own reading of what follows its name */
};

extern const struct command commands[]; /* ends at a NULL name */
extern const struct option global_options[];

typedef struct option_given {
    const struct option *option;
    const char *value; /* NULL for a flag */
} option_given;

typedef struct invocation {        /* borrows argv */
    const struct command *command; /* NULL: none named */
    const char *group;             /* "twin", where only the first word was given */
    bool is_help, is_version;
    int argument_count, option_count;
    const char *arguments[ARGUMENTS_MAX];
    option_given options[OPTIONS_GIVEN_MAX];
    int raw_argc; /* for run_raw: argv from the command's last word on */
    char **raw_argv;
    char problem[256]; /* why it cannot be, already fit for a terminal */
} invocation;

/* False: `problem` says why. */
bool invocation_parse(invocation *out, int argc, char **argv);
/* The last value given, or NULL. */
const char *invocation_option(const invocation *in, const char *name);
bool invocation_has(const invocation *in, const char *name);
/* The n-th value given, or NULL. */
const char *invocation_option_at(const invocation *in, const char *name, int n);
const char *invocation_argument(const invocation *in, int index); /* or NULL */

/* --help for what was named. */
void help_print(FILE *out, const invocation *in);
/* One line on how to call it. */
void usage_print(FILE *out, const struct command *command);
/* dromio(1) as roff, and completions; false: no such shell. */
void manual_print(FILE *out);
bool completion_print(FILE *out, const char *shell);
