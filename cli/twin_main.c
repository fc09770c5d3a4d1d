/* dromio-twin: the commands of `dromio twin` that need no host, as a program of their
 * own, so that a build can make images before the command line is there. */
#include <stdio.h>
#include <string.h>

#include "twin_local.h"

int main(int argc, char **argv)
{
    static const struct { const char *name; int (*run)(int argc, char **argv); } commands[] = {
        { "new", command_twin_new }, { "build", command_twin_build }, { "test", command_twin_test },
    };
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "usage: dromio-twin new|build|test [--help] ...\n");
    return 2;
}
