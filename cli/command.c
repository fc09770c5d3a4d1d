#include "command.h"

#include <ctype.h>
#include <string.h>

#include "text.h"

static bool complain(invocation *out, const char *text, const char *what)
{
    struct buffer safe = { 0 };
    text_escape(&safe, what, strlen(what));
    snprintf(out->problem, sizeof out->problem, text, buffer_string(&safe));
    buffer_fini(&safe);
    return false;
}

static bool is_word_of(const char *name, const char *word, size_t at)
{
    size_t length = strlen(word);
    return strncmp(name + at, word, length) == 0 && (name[at + length] == '\0' || name[at + length] == ' ');
}

/* The command named by one or two words; `group` is set when only a first word fits. */
static const struct command *find_command(const char *first, const char *second, const char **group)
{
    *group = NULL;
    for (const struct command *at = commands; at->name != NULL; at++) {
        const char *space = strchr(at->name, ' ');
        if (!is_word_of(at->name, first, 0))
            continue;
        if (space == NULL)
            return at;
        *group = first;
        if (second != NULL && strcmp(space + 1, second) == 0)
            return at;
    }
    return NULL;
}

static const struct option *find_in(const struct option *options, size_t max, const char *name, size_t length)
{
    for (size_t i = 0; i < max && options[i].name != NULL; i++) {
        bool is_letter = length == 2 && name[1] != '-' && options[i].letter == name[1];
        if (is_letter || (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0))
            return &options[i];
    }
    return NULL;
}

static const struct option *find_option(const struct command *command, const char *name, size_t length)
{
    const struct option *found = find_in(global_options, COMMAND_OPTIONS_MAX, name, length);
    if (found == NULL && command != NULL)
        found = find_in(command->options, COMMAND_OPTIONS_MAX, name, length);
    return found;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; length > 0 && (at = strstr(at, value)) != NULL; at += length) {
        if ((at == choices || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    }
    return false;
}

static bool take_value(invocation *out, const struct option *option, const char *value)
{
    if (option->choices != NULL && !is_choice(option->choices, value)) {
        complain(out, "%s is not known", value);
        size_t length = strlen(out->problem);
        snprintf(out->problem + length, sizeof out->problem - length, "; %s takes one of: %s", option->name,
                 option->choices);
        return false;
    }
    if (out->option_count == OPTIONS_GIVEN_MAX)
        return complain(out, "too many options at %s", option->name);
    out->options[out->option_count++] = (option_given){ option, value };
    return true;
}

/* One option at argv[*at]; moves *at past its value. */
static bool take_option(invocation *out, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    bool is_short = word[1] != '-';
    const char *equals = is_short ? NULL : strchr(word, '=');
    size_t length = is_short ? 2 : equals != NULL ? (size_t)(equals - word) : strlen(word);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        out->is_help = true;
        return true;
    }
    const struct option *option = find_option(out->command, word, length);
    if (option == NULL)
        return complain(out, "no option %s here", word);
    if (strcmp(option->name, "--version") == 0)
        out->is_version = true;
    if (option->value == NULL) {
        if (equals != NULL || (is_short && word[2] != '\0'))
            return complain(out, "%s takes no value", option->name);
        return take_value(out, option, "");
    }
    const char *value = equals != NULL ? equals + 1 : is_short && word[2] != '\0' ? word + 2 : NULL;
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (value == NULL)
        return complain(out, "%s needs a value", option->name);
    return take_value(out, option, value);
}

static bool is_option(const char *word)
{
    /* -5 is a number, - alone is a file. */
    return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]) && word[1] != '.';
}

/* Names the command as soon as its words are there, so that its options are known. */
static bool take_word(invocation *out, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *group;
    if (out->command != NULL) {
        if (out->argument_count == ARGUMENTS_MAX)
            return complain(out, "too many arguments at %s", word);
        out->arguments[out->argument_count++] = word;
        return true;
    }
    if (out->group == NULL) {
        out->command = find_command(word, NULL, &group);
        if (out->command == NULL && group == NULL)
            return complain(out, "no command %s; dromio --help lists them", word);
        out->group = group;
    } else {
        out->command = find_command(out->group, word, &group);
        if (out->command == NULL)
            return complain(out, "no such command: %s; add --help for a list", word);
        out->group = NULL;
    }
    if (out->command != NULL && out->command->run_raw != NULL) {
        out->raw_argc = argc - *at;
        out->raw_argv = argv + *at;
        bool is_help = out->raw_argc > 1 && (strcmp(argv[*at + 1], "--help") == 0 || strcmp(argv[*at + 1], "-h") == 0);
        out->is_help = out->is_help || is_help;
        *at = argc;
    }
    return true;
}

static void count_arguments(const char *arguments, int *least, int *most)
{
    *least = *most = 0;
    for (const char *at = arguments; *at != '\0';) {
        size_t length = strcspn(at, " ");
        bool is_many =
            length > 3 && (memcmp(at + length - 4, "...]", 4) == 0 || memcmp(at + length - 3, "...", 3) == 0);
        *least += at[0] != '[';
        *most = is_many ? ARGUMENTS_MAX : *most + 1;
        at += length + strspn(at + length, " ");
    }
}

static bool check_arguments(invocation *out)
{
    int least, most;
    if (out->command == NULL || out->command->run_raw != NULL)
        return true;
    count_arguments(out->command->arguments, &least, &most);
    if (out->argument_count < least)
        return complain(out, "something is missing: it takes %s", out->command->arguments);
    if (out->argument_count > most)
        return complain(out, "too much: %s", out->arguments[most]);
    return true;
}

bool invocation_parse(invocation *out, int argc, char **argv)
{
    bool are_words_only = false;
    *out = (invocation){ 0 };
    for (int at = 1; at < argc; at++) {
        bool is_fine;
        if (!are_words_only && strcmp(argv[at], "--") == 0) {
            are_words_only = true;
            continue;
        }
        if (!are_words_only && is_option(argv[at]))
            is_fine = take_option(out, argc, argv, &at);
        else
            is_fine = take_word(out, argc, argv, &at);
        if (!is_fine)
            return false;
    }
    if (out->is_help || out->is_version)
        return true;
    if (out->command == NULL)
        return complain(out, "%s", out->group != NULL ? "which one of them?" : "what shall it do?");
    return check_arguments(out);
}

const char *invocation_option_at(const invocation *in, const char *name, int n)
{
    for (int i = 0; i < in->option_count; i++) {
        if (strcmp(in->options[i].option->name, name) == 0 && n-- == 0)
            return in->options[i].value;
    }
    return NULL;
}

const char *invocation_option(const invocation *in, const char *name)
{
    const char *last = NULL;
    for (int i = 0; i < in->option_count; i++) {
        if (strcmp(in->options[i].option->name, name) == 0)
            last = in->options[i].value;
    }
    return last;
}

bool invocation_has(const invocation *in, const char *name)
{
    return invocation_option(in, name) != NULL;
}

const char *invocation_argument(const invocation *in, int index)
{
    return index < in->argument_count ? in->arguments[index] : NULL;
}
