/* dromio-twin: the commands of `dromio twin` that need no host, as a program of their
 * own, so that a build can make images before the command line is there. */
#include <stdio.h>
#include <string.h>

#include "twin_local.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "build") == 0)
        return command_twin_build(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "test") == 0)
        return command_twin_test(argc - 1, argv + 1);
    fprintf(stderr, "usage: dromio-twin build|test [--help] ...\n");
    return 2;
}
