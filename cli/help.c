#include "commands.h"

#include <string.h>

static const char *const exit_texts[][2] = {
    { "0", "done" },           { "1", "failed, or differs" }, { "2", "wrong usage" },       { "3", "not found" },
    { "4", "conflict" },       { "5", "not allowed" },        { "6", "timed out waiting" }, { "7", "partly done" },
    { "8", "image rejected" }, { "9", "host unreachable" },   { "130", "interrupted" },
};

enum { HELP_COLUMNS = 80, HELP_INDENT = 30 };

/* Words of `text` filled into lines, each but the first indented. */
static void fill(FILE *out, const char *text, int indent)
{
    int column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > HELP_COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(out, "%s%.*s", column > indent ? " " : "", length, text);
        text += length;
        text += *text == ' ';
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const struct option *option)
{
    char head[96];
    int length = snprintf(head, sizeof head, "  %s%.1s%s%s%s%s", option->letter != 0 ? "-" : "",
                          option->letter != 0 ? &option->letter : "", option->letter != 0 ? ", " : "", option->name,
                          option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
    if (length < HELP_INDENT - 1)
        fprintf(out, "%-*s", HELP_INDENT, head);
    else
        fprintf(out, "%s\n%*s", head, HELP_INDENT, "");
    fill(out, option->text, HELP_INDENT);
}

static void print_options(FILE *out, const char *title, const struct option *options)
{
    if (options[0].name == NULL)
        return;
    fprintf(out, "\n%s:\n", title);
    for (; options->name != NULL; options++)
        print_option(out, options);
}

void usage_print(FILE *out, const struct command *command)
{
    const char *gap = command->arguments[0] != '\0' ? " " : "";
    fprintf(out, "usage: dromio %s%s%s%s\n", command->name, gap, command->arguments,
            command->options[0].name != NULL ? " [OPTIONS]" : "");
    fprintf(out, "       dromio %s --help says more\n", command->name);
}

static void command_help(FILE *out, const struct command *command)
{
    fprintf(out, "dromio %s: %s\n\nusage: dromio %s%s%s%s\n", command->name, command->summary, command->name,
            command->arguments[0] != '\0' ? " " : "", command->arguments,
            command->options[0].name != NULL ? " [OPTIONS]" : "");
    if (command->text != NULL) {
        fputc('\n', out);
        fill(out, command->text, 0);
    }
    print_options(out, "Options", command->options);
    if (command->run_raw == NULL)
        print_options(out, "Options of every command", global_options);
    if (command->examples[0] != NULL)
        fprintf(out, "\nExamples:\n");
    for (int i = 0; i < COMMAND_EXAMPLES_MAX && command->examples[i] != NULL; i++)
        fprintf(out, "  %s\n", command->examples[i]);
}

static void list_commands(FILE *out, const char *group)
{
    for (const struct command *at = commands; at->name != NULL; at++) {
        char head[96];
        size_t length = group != NULL ? strlen(group) : 0;
        if (group != NULL && (strncmp(at->name, group, length) != 0 || at->name[length] != ' '))
            continue;
        int width = snprintf(head, sizeof head, "  %s %s", at->name, at->arguments);
        if (width < HELP_INDENT - 1)
            fprintf(out, "%-*s", HELP_INDENT, head);
        else
            fprintf(out, "%s\n%*s", head, HELP_INDENT, "");
        fill(out, at->summary, HELP_INDENT);
    }
}

void help_print(FILE *out, const invocation *in)
{
    if (in->command != NULL) {
        command_help(out, in->command);
        return;
    }
    fprintf(out, "usage: dromio %s%sCOMMAND [ARGUMENTS] [OPTIONS]\n\n", in->group != NULL ? in->group : "",
            in->group != NULL ? " " : "");
    if (in->group == NULL)
        fill(out,
             "Speaks to a Dromio host, which keeps digital twins of devices. dromio COMMAND --help says more on each.",
             0);
    fprintf(out, "\nCommands:\n");
    list_commands(out, in->group);
    print_options(out, "Options of every command", global_options);
    if (in->group != NULL)
        return;
    fprintf(out, "\nExit codes:");
    for (size_t i = 0; i < sizeof exit_texts / sizeof exit_texts[0]; i++)
        fprintf(out, "%s %s %s", i > 0 ? "," : "", exit_texts[i][0], exit_texts[i][1]);
    fputc('\n', out);
}

/* Text of roff: a hyphen stays one, a backslash too, and no line begins a request. */
static void roff_text(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void roff_option(FILE *out, const struct option *option)
{
    fputs(".TP\n", out);
    if (option->letter != 0)
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB", out);
    roff_text(out, option->name);
    fputs("\\fR", out);
    if (option->value != NULL)
        fprintf(out, " \\fI%s\\fR", option->value);
    fputc('\n', out);
    roff_text(out, option->text);
    if (option->choices != NULL)
        fprintf(out, " (one of: %s)", option->choices);
    fputc('\n', out);
}

static void roff_command(FILE *out, const struct command *command)
{
    fputs(".SS \"dromio ", out);
    roff_text(out, command->name);
    fputs(command->arguments[0] != '\0' ? " " : "", out);
    roff_text(out, command->arguments);
    fprintf(out, "\"\n%c",
            command->summary[0] >= 'a' && command->summary[0] <= 'z' ? command->summary[0] - 'a' + 'A'
                                                                     : command->summary[0]);
    roff_text(out, command->summary + 1);
    fputs(".\n", out);
    if (command->text != NULL) {
        fputs(".PP\n", out);
        roff_text(out, command->text);
        fputc('\n', out);
    }
    for (const struct option *at = command->options; at->name != NULL; at++)
        roff_option(out, at);
    for (int i = 0; i < COMMAND_EXAMPLES_MAX && command->examples[i] != NULL; i++) {
        fputs(i == 0 ? ".PP\n.RS 4\n.nf\n" : "", out);
        roff_text(out, command->examples[i]);
        fputc('\n', out);
    }
    if (command->examples[0] != NULL)
        fputs(".fi\n.RE\n", out);
}

void manual_print(FILE *out)
{
    fprintf(out, ".TH DROMIO 1 \"\" \"Dromio %s\" \"Dromio\"\n", DROMIO_VERSION);
    fputs(".SH NAME\ndromio \\- speak to a host of device twins\n"
          ".SH SYNOPSIS\n\\fBdromio\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
          out);
    fputs("Reads and commands the digital twins of devices that a Dromio host keeps, uploads their images, and looks "
          "after the host. "
          "It speaks only to the host's HTTP API. Data goes to standard output, all else to standard error. Text from "
          "the host "
          "reaches the terminal without control characters.\n.SH OPTIONS\n",
          out);
    for (const struct option *at = global_options; at->name != NULL; at++)
        roff_option(out, at);
    fputs(".SH COMMANDS\n", out);
    for (const struct command *at = commands; at->name != NULL; at++)
        roff_command(out, at);
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof exit_texts / sizeof exit_texts[0]; i++)
        fprintf(out, ".TP\n%s\n%s\n", exit_texts[i][0], exit_texts[i][1]);
    fputs(".SH ENVIRONMENT\n"
          ".TP\nDROMIO_HOST\naddress of the host\n"
          ".TP\nDROMIO_TOKEN\ntoken of who is asking\n"
          ".TP\nDROMIO_TOKEN_FILE\nfile with that token\n"
          ".TP\nDROMIO_CA\nfile of certificates (PEM) to trust for https\n"
          ".SH FILES\n.TP\n.I .demo/admin.token\nthe token used where nothing else names one\n"
          ".SH SEE ALSO\n.BR dromiod (8)\n",
          out);
}

int print_manual(struct cli *cli)
{
    manual_print(cli->out);
    return EXIT_OK;
}
