/* Completions for shells, from the command table. */
#include "commands.h"

#include <string.h>

/* Everything that may follow the command: words of options, one space between. */
static void option_words(FILE *out, const struct option *options)
{
    for (; options->name != NULL; options++)
        fprintf(out, " %s", options->name);
}

/* First words; a group's only once. */
static bool is_first_of_group(const struct command *command)
{
    size_t length = strcspn(command->name, " ");
    return command == commands || strncmp(command[-1].name, command->name, length) != 0 ||
           (command[-1].name[length] != ' ' && command[-1].name[length] != '\0');
}

static void second_words(FILE *out, const struct command *first)
{
    size_t length = strcspn(first->name, " ");
    for (const struct command *at = first; at->name != NULL && strncmp(at->name, first->name, length + 1) == 0; at++)
        fprintf(out, " %s", at->name + length + 1);
}

static void bash_choices(FILE *out, const struct option *options)
{
    for (; options->name != NULL; options++) {
        if (options->choices != NULL)
            fprintf(out, "        %s) COMPREPLY=($(compgen -W '%s' -- \"$word\")); return ;;\n", options->name,
                    options->choices);
        else if (options->value != NULL && strcmp(options->value, "FILE") == 0)
            fprintf(out, "        %s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", options->name);
        else if (options->value != NULL)
            fprintf(out, "        %s) return ;;\n", options->name);
    }
}

static void bash(FILE *out)
{
    fputs("# bash completion of dromio\n_dromio() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= at words\n"
          "    for ((at = 1; at < COMP_CWORD; at++)); do\n"
          "        case ${COMP_WORDS[at]} in -*) ;; *) command+=\"${command:+ }${COMP_WORDS[at]}\" ;; esac\n"
          "    done\n    case $before in\n        -o) COMPREPLY=($(compgen -W 'table json ndjson' -- \"$word\")); "
          "return ;;\n",
          out);
    bash_choices(out, global_options);
    fputs("    esac\n    case $command in\n", out);
    fputs("        '') words='", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        if (is_first_of_group(at))
            fprintf(out, "%.*s ", (int)strcspn(at->name, " "), at->name);
    }
    fputs("' ;;\n", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        if (strchr(at->name, ' ') != NULL && is_first_of_group(at)) {
            fprintf(out, "        %.*s) words='", (int)strcspn(at->name, " "), at->name);
            second_words(out, at);
            fputs("' ;;\n", out);
        }
    }
    for (const struct command *at = commands; at->name != NULL; at++) {
        fprintf(out, "        '%s'*)\n        case $before in\n", at->name);
        bash_choices(out, at->options);
        fputs("        esac\n        words='", out);
        option_words(out, at->options);
        fprintf(out, "'%s ;;\n",
                strstr(at->arguments, "FILE") != NULL ? "; COMPREPLY=($(compgen -f -- \"$word\"))" : "");
    }
    fputs("    esac\n    words+='", out);
    option_words(out, global_options);
    fputs("'\n    COMPREPLY+=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -o filenames -F _dromio dromio\n",
          out);
}

/* Text inside '...' of zsh and fish. */
static void quoted(FILE *out, const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr(special, *text) != NULL)
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_options(FILE *out, const struct option *options)
{
    for (; options->name != NULL; options++) {
        fprintf(out, " '*%s[", options->name);
        quoted(out, options->text, "[]:\\");
        fputs("]", out);
        if (options->choices != NULL)
            fprintf(out, ":%s:(%s)", options->value, options->choices);
        else if (options->value != NULL)
            fprintf(out, ":%s:%s", options->value, strcmp(options->value, "FILE") == 0 ? "_files" : "");
        fputs("'", out);
    }
}

static void zsh(FILE *out)
{
    fputs("#compdef dromio\n_dromio() {\n    local -a groups\n    local command=\"${words[2]}\"\n", out);
    fputs("    if (( CURRENT == 2 )); then\n        groups=(", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        if (is_first_of_group(at)) {
            bool is_group = strchr(at->name, ' ') != NULL;
            fprintf(out, " '%.*s:", (int)strcspn(at->name, " "), at->name);
            quoted(out, is_group ? "more commands" : at->summary, ":\\");
            fputs("'", out);
        }
    }
    fputs(" )\n        _describe command groups\n        return\n    fi\n    case $command in\n", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        if (strchr(at->name, ' ') != NULL && is_first_of_group(at)) {
            fprintf(out, "        %.*s) if (( CURRENT == 3 )); then groups=(", (int)strcspn(at->name, " "), at->name);
            second_words(out, at);
            fputs(" ); _describe command groups; return; fi; command+=\" ${words[3]}\" ;;\n", out);
        }
    }
    fputs("    esac\n    case $command in\n", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        fprintf(out, "        '%s') _arguments", at->name);
        zsh_options(out, at->options);
        zsh_options(out, global_options);
        fprintf(out, " '*::%s' ;;\n", strstr(at->arguments, "FILE") != NULL ? "file:_files" : "argument:");
    }
    fputs("    esac\n}\nif [ \"$funcstack[1]\" = _dromio ]; then _dromio; else compdef _dromio dromio; fi\n", out);
}

static void fish_options(FILE *out, const struct option *options, const char *when)
{
    for (; options->name != NULL; options++) {
        bool is_long = options->name[1] == '-';
        fprintf(out, "complete -c dromio -n '%s' -%c %s%s -d '", when, is_long ? 'l' : 's',
                options->name + (is_long ? 2 : 1), options->value != NULL ? " -r" : "");
        quoted(out, options->text, "\\");
        fputs("'", out);
        if (options->choices != NULL)
            fprintf(out, " -f -a '%s'", options->choices);
        else if (options->value != NULL && strcmp(options->value, "FILE") != 0)
            fputs(" -f", out);
        fputc('\n', out);
    }
}

static void fish(FILE *out)
{
    char when[128];
    fputs("# fish completion of dromio\ncomplete -c dromio -f\n", out);
    for (const struct command *at = commands; at->name != NULL; at++) {
        const char *space = strchr(at->name, ' ');
        int length = (int)strcspn(at->name, " ");
        if (is_first_of_group(at)) {
            fprintf(out, "complete -c dromio -n __fish_use_subcommand -a %.*s -d '", length, at->name);
            quoted(out, space != NULL ? "more commands" : at->summary, "\\");
            fputs("'\n", out);
        }
        if (space != NULL) {
            fprintf(out,
                    "complete -c dromio -n '__fish_seen_subcommand_from %.*s; and test (count (commandline -opc)) = 2' "
                    "-a %s -d '",
                    length, at->name, space + 1);
            quoted(out, at->summary, "\\");
            fputs("'\n", out);
            snprintf(when, sizeof when, "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s", length,
                     at->name, space + 1);
        } else {
            snprintf(when, sizeof when, "__fish_seen_subcommand_from %s", at->name);
        }
        fish_options(out, at->options, when);
        if (strstr(at->arguments, "FILE") != NULL)
            fprintf(out, "complete -c dromio -n '%s' -F\n", when);
    }
    fish_options(out, global_options, "true");
}

bool completion_print(FILE *out, const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].print(out);
            return true;
        }
    }
    return false;
}

int print_completion(struct cli *cli)
{
    const char *shell = invocation_argument(cli->in, 0);
    return completion_print(cli->out, shell)
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "no completion for %s: bash, zsh and fish have one", shell);
}
